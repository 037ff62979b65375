"""Write each chapter's notebook from its text, and its Colab cell from ``_config.yml``.

``notebooks/NN_name.py`` is the source. Its pair ``NN_name.ipynb`` has the same cells, no outputs,
and the kernel ``python3``. Run it as ``make sync``.
"""

import re
from pathlib import Path

import jupytext
import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
CELL = re.compile(r"^(?=# %%)", re.MULTILINE)
COLAB_CELL = '''\
# %% tags=["colab", "remove-cell"]
import sys

if "google.colab" in sys.modules:  # installs the package, and nothing that Colab has
    from IPython import get_ipython

    get_ipython().run_line_magic(
        "pip",
        "install -q --no-deps imaug=={imaug} "
        "git+{url}@{branch}",
    )

'''


def colab_cell(root=ROOT):
    """Return the install cell: the repository of ``_config.yml``, imaug of ``constraints.txt``."""
    repository = yaml.safe_load((root / "_config.yml").read_text())["repository"]
    constraints = (root / "constraints.txt").read_text()
    imaug = re.search(r"^imaug==(\S+)$", constraints, re.MULTILINE).group(1)
    return COLAB_CELL.format(imaug=imaug, url=repository["url"], branch=repository["branch"])


def with_colab_cell(text, cell):
    """Return the chapter's text with ``cell`` as its second cell, after the title."""
    header, *cells = CELL.split(text)
    cells = [c for c in cells if '"colab"' not in c.splitlines()[0]]
    return "".join([header, cells[0], cell, *cells[1:]])


def notebook(text):
    """Return the chapter's text as a notebook: no outputs, cell ids that do not change."""
    pair = jupytext.reads(text, fmt="py:percent")
    pair.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        **{key: pair.metadata[key] for key in ("accelerator",) if key in pair.metadata},
    }
    for number, cell in enumerate(pair.cells):
        cell.id = f"cell-{number:02d}"
    return nbformat.writes(pair, version=4) + "\n"


def regenerate(root=ROOT):
    """Return what every text and every notebook of ``root`` should hold, by path."""
    files = {}
    for path in sorted((root / "notebooks").glob("*.py")):
        text = with_colab_cell(path.read_text(encoding="utf-8"), colab_cell(root))
        files[path] = text
        files[path.with_suffix(".ipynb")] = notebook(text)
    return files


if __name__ == "__main__":
    for path, content in regenerate().items():
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
