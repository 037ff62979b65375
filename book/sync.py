"""Write what is made from something else; run it as ``make sync``.

- ``notebooks/NN_name.ipynb`` from ``NN_name.py``: the same cells, no outputs, kernel ``python3``.
- The Colab cell of each chapter from ``_config.yml``.
- The table of the headline results, in README.md and on the landing page, from ``results/``.
"""

import re
from pathlib import Path

import jupytext
import nbformat
import yaml

from allm_utils import paper, records

ROOT = Path(__file__).resolve().parents[1]
CELL = re.compile(r"^(?=# %%)", re.MULTILINE)
COLAB_CELL = """\
# %% tags=["colab", "remove-cell"]
import sys

if "google.colab" in sys.modules:  # installs the package, and nothing that Colab has
    from IPython import get_ipython

    packages = "imaug=={imaug} git+{url}@{branch}"
    get_ipython().run_line_magic("pip", "install -q --no-deps " + packages)

"""


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


HEADLINE = re.compile(r"(<!-- headline.*?-->\n).*?(<!-- end)", re.DOTALL)
ROWS = {
    "sigma 0, accuracy": "accuracy",
    "sigma 0, balanced accuracy (the paper's AUC)": "balanced accuracy",
    "sigma 10, accuracy": "accuracy, noise σ = 10",
    "sigma 10, balanced accuracy (the paper's AUC)": "balanced accuracy, noise σ = 10",
}


def never_met(run):
    """Yield the headline's rows of a run that was tested on patients it had not met."""
    folds = run.data["folds"]
    where = f"fold {' and '.join(map(str, folds))}"
    if run.data["protocol"] == "cross-fold":
        where = f"trained on fold {folds[0]}, tested on fold {folds[1]}"
    values, limits = run.metrics(), run.intervals(by="subject")
    for name in ("accuracy", "balanced_accuracy"):
        low, high = limits[name]
        what = f"New patients, {where}: {name.replace('_', ' ')}"
        interval = f"{low:.3f} to {high:.3f}, by patient"
        yield f"| {what} | not reported | {values[name]:.3f} | {interval} |"


def headline(runs):
    """Return the paper's numbers beside those of ``runs`` as a Markdown table."""
    card = records.as_printed(records.scorecard(runs))
    card = card[card["Record"] != ""]
    shown = []
    lines = [
        "| MobileNet_M on real cells | Paper | Ours | 95 % interval |",
        "|---|---|---|---|",
    ]
    for _, row in card[card["Table"].isin(["Table 6", "Table 7", "Table 8"])].iterrows():
        fold, item = row["Item"].split(", ", 1)
        if item in ROWS:
            what = f"Split by image, {fold}: {ROWS[item]}"
            values = row["Paper"], row["Ours"], row["95 % interval"]
            lines.append(f"| {' | '.join((what, *values))} |")
            shown.append(f"`{row['Record']}`")
    for run in runs:
        if run.data["experiment"] == "mobilenet_m" and run.data["protocol"] != "paper":
            lines.extend(never_met(run))
            shown.append(f"`{run.id}`")
    if not shown:
        lines = ["No run on the real cells is recorded yet."]
    else:
        lines += ["", f"Computed from {', '.join(dict.fromkeys(shown))} in `results/`."]
    return "\n".join(["", *lines, "", ""])


ERRATA = re.compile(r"(<!-- errata.*?-->\n).*?(<!-- end)", re.DOTALL)


def errata():
    """Return the paper's errata as a numbered Markdown list."""
    entries = [
        f"{number}. **{one['where']}.** {one['finding']}\n\n   *Our reading:* {one['reading']}"
        for number, one in enumerate(paper.ERRATA, start=1)
    ]
    return "\n" + "\n\n".join(entries) + "\n\n"


def regenerate(root=ROOT):
    """Return what every file that is made, or partly made, should hold, by path."""
    files = {}
    for path in sorted((root / "notebooks").glob("*.py")):
        text = with_colab_cell(path.read_text(encoding="utf-8"), colab_cell(root))
        files[path] = text
        files[path.with_suffix(".ipynb")] = notebook(text)
    table = headline(records.load_all(root / "results"))
    for path in (root / "README.md", root / "book" / "index.md"):
        files[path] = HEADLINE.sub(rf"\g<1>{table}\2", path.read_text(encoding="utf-8"))
    path = root / "book" / "errata.md"
    files[path] = ERRATA.sub(rf"\g<1>{errata()}\2", path.read_text(encoding="utf-8"))
    return files


if __name__ == "__main__":
    for path, content in regenerate().items():
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
