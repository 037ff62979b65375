"""Write what is made from something else; run it as ``make sync``.

- The run time on the card of each chapter, from ``benchmarks/pages.json``.
- ``notebooks/NAME.ipynb`` beside ``NAME.py``, by Jupytext: inputs only.
- ``editions/``: these notebooks in plain Markdown, for the student and for the instructor.
- ``codecheck.yml`` and ``codecheck/``: what others check, from the notebooks and from ``results/``.
- The block of headline results in README.md, and its chart, from ``results/``.
"""

import re
import sys
from math import isnan
from pathlib import Path

import jupytext.cli

import codecheck
import editions
from allm_utils.book import figures, scorecard
from allm_utils.runs.records import Runs

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks import pages  # noqa: E402

README_BLOCK = re.compile(r"(<!-- headline.*?-->\n).*?(<!-- end)", re.DOTALL)


def headline(runs: Runs) -> str:
    """Return the headline results as a Markdown table; below it how they were trained."""
    measure = "Balanced accuracy (95 % interval, by people)"
    lines = [f"| Tested on | Images | People | {measure} | Paper |", "|---|---|---|---|---|"]
    for who, row in scorecard.headline(runs).iterrows():
        ours = f"**{row['value']:.3f}** ({row['low']:.3f} to {row['high']:.3f})"
        paper = "not reported" if isnan(row["paper"]) else f"{row['paper']:.3f}"
        lines.append(f"| {who} | {row['images']:,.0f} | {row['people']:.0f} | {ours} | {paper} |")
    told = [scorecard.schedule(runs), f"{scorecard.spread(runs)}."]
    return "\n".join(["", *lines, "", " ".join(told), "", ""])


def chart(runs: Runs) -> str:
    """Return the headline results as a drawing with a name."""
    name = "Balanced accuracy on known people, on new people and on people from outside"
    drawn = figures.headline(scorecard.headline(runs)).svg()
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)


def main() -> None:
    """Write every file that is made, or partly made."""
    texts = sorted((ROOT / "notebooks").glob("*.py"))
    for path in texts:
        before = path.read_text(encoding="utf-8")
        if (text := pages.with_time(before, path.stem)) != before:
            path.write_text(text, encoding="utf-8")
    jupytext.cli.jupytext(["--quiet", "--sync", *map(str, texts)])
    editions.write()
    codecheck.write(ROOT)
    runs = Runs.load(ROOT / "results")
    (ROOT / "book/_static/headline.svg").write_text(chart(runs), encoding="utf-8")
    table = headline(runs)
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(README_BLOCK.sub(rf"\g<1>{table}\2", text), encoding="utf-8")


if __name__ == "__main__":
    main()
