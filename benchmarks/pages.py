"""How long the code of each chapter runs: ``python -m benchmarks.pages`` after ``make test``.

``make test`` runs every notebook, two at a time on two cores, and Jupyter notes the time of
each cell.
"""

import json
import re
from datetime import date, datetime
from pathlib import Path

import nbformat

from allm_utils.runs import experiment

ROOT = Path(__file__).resolve().parents[1]
KEPT = Path(__file__).parent / "pages.json"


def seconds(path):
    """The first run of a notebook's cells, from what Jupyter noted."""
    took = 0.0
    for cell in nbformat.read(path, as_version=4).cells:
        times = cell.metadata.get("execution", {})
        if "shell.execute_reply" in times:
            begun, ended = (
                datetime.fromisoformat(times[key])
                for key in ("iopub.execute_input", "shell.execute_reply")
            )
            took += (ended - begun).total_seconds()
    return took


def told(stem):
    """What the card of a chapter says: seconds, rounded up to tens."""
    measured = json.loads(KEPT.read_text(encoding="utf-8"))["seconds"][stem]
    return f"about {10 * max(1, -int(-measured // 10)):d} s"


def with_time(text, stem):
    """A chapter's text with the measured time in its card."""
    return re.sub(r"(\*\*Run time:\*\* )about \d+ s", rf"\g<1>{told(stem)}", text)


def main():
    """Keep the times of the notebooks that were run last; `make sync` puts them on the cards."""
    executed = sorted((ROOT / "work/executed/notebooks").glob("*.ipynb"))
    kept = {
        "date": date.today().isoformat(),
        **experiment.provenance(),
        "seconds": {path.stem: round(seconds(path), 1) for path in executed},
    }
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
