"""Write what is made from something else; run it as ``make sync``.

- The Colab cell of each chapter, from ``_config.yml`` and ``constraints.txt``.
- ``notebooks/NAME.ipynb`` beside ``NAME.py``, by Jupytext: inputs only.
- The block of headline results in README.md, and its chart, from ``results/``.
"""

import re
from math import isnan
from pathlib import Path

import jupytext.cli
import yaml

from allm_utils.book import figures, scorecard
from allm_utils.runs.records import Runs

ROOT = Path(__file__).resolve().parents[1]
CELL = re.compile(r"^(?=# %%)", re.MULTILINE)
COLAB_CELL = """\
# %% tags=["colab", "remove-cell"]
import sys

if "google.colab" in sys.modules:  # installs the package, and nothing that Colab has
    from IPython import get_ipython

    packages = "{base} git+{url}@{branch}"
{more}    get_ipython().run_line_magic("pip", "install -q --no-deps " + packages)

"""
COLAB_BASE = ("cyclopts", "imaug", "rich-rst")
COLAB_MORE = {
    r"\b(?:conditions|explain)\b": ("Deprecated", "imagecorruptions-imaug", "tf-keras-vis"),
    r"\bexport\b": ("ai-edge-litert", "backports.strenum", "onnx", "onnxruntime", "tf2onnx"),
}
"""What all chapters need, or those that import such a module, and Colab has not."""
GLUE = """\
    from types import SimpleNamespace

    # puts numbers into the text of the book's pages; here it does nothing
    sys.modules["myst_nb"] = SimpleNamespace(glue=lambda *_, **__: None)
"""


def colab_cell(text: str, root: Path = ROOT) -> str:
    """Return the install cell of a chapter: from the book's repository, with our versions."""
    repository = yaml.safe_load((root / "_config.yml").read_text())["repository"]
    constraints = (root / "constraints.txt").read_text()
    version = dict(re.findall(r"^(\S+)==(\S+)$", constraints, re.MULTILINE))
    imports = "\n".join(re.findall(r"^from allm_utils.*import (?:\([^)]*\)|.*)$", text, re.M))

    def pinned(names):
        return " ".join(f"{name}=={version[name]}" for name in names)

    chosen = [names for module, names in COLAB_MORE.items() if re.search(module, imports)]
    more = "".join(f'    packages += " {pinned(names)}"\n' for names in chosen)
    cell = COLAB_CELL.format(base=pinned(COLAB_BASE), more=more, **repository)
    return cell.rstrip("\n") + "\n" + GLUE * ("from myst_nb" in text) + "\n"


def with_colab_cell(text: str, root: Path = ROOT) -> str:
    """Return a chapter's text with its install cell as the second, after the title."""
    header, *cells = CELL.split(text)
    cells = [c for c in cells if '"colab"' not in c.splitlines()[0]]
    return "".join([header, cells[0], colab_cell(text, root), *cells[1:]])


README_BLOCK = re.compile(r"(<!-- headline.*?-->\n).*?(<!-- end)", re.DOTALL)


def headline(runs: Runs) -> str:
    """Return the headline results as a Markdown table, and the spread over seeds below it."""
    measure = "Balanced accuracy (95 % interval, by people)"
    lines = [f"| Tested on | Images | People | {measure} | Paper |", "|---|---|---|---|---|"]
    for who, row in scorecard.headline(runs).iterrows():
        ours = f"**{row['value']:.3f}** ({row['low']:.3f} to {row['high']:.3f})"
        paper = "not reported" if isnan(row["paper"]) else f"{row['paper']:.3f}"
        lines.append(f"| {who} | {row['images']:,.0f} | {row['people']:.0f} | {ours} | {paper} |")
    return "\n".join(["", *lines, "", f"{scorecard.spread(runs)}.", "", ""])


def chart(runs: Runs) -> str:
    """Return the headline results as a drawing with a name."""
    name = "Balanced accuracy on known people, on new people and on people from outside"
    drawn = figures.headline(scorecard.headline(runs)).svg()
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)


def main() -> None:
    """Write every file that is made, or partly made; say which have changed."""
    texts = sorted((ROOT / "notebooks").glob("*.py"))
    made = {path: with_colab_cell(path.read_text(encoding="utf-8")) for path in texts}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    runs = Runs.load(ROOT / "results")
    table = headline(runs)
    (ROOT / "book/_static/headline.svg").write_text(chart(runs), encoding="utf-8")
    made[ROOT / "README.md"] = README_BLOCK.sub(rf"\g<1>{table}\2", readme)
    for path, content in made.items():
        if path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    jupytext.cli.jupytext(["--quiet", "--sync", *map(str, texts)])


if __name__ == "__main__":
    main()
