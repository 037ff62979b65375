"""Make every number that is taken from the records anew, and compare: ``make codecheck``.

The tables of `TABLES` go into a folder, as CSV. `codecheck.yml` lists them, and every figure of the
chapters, with the command that makes it (https://codecheck.org.uk/spec/config/1.0).
"""

import sys
from pathlib import Path

import nbformat
import pandas as pd
import yaml

from allm_utils.book import scorecard
from allm_utils.judge import metrics
from allm_utils.runs import records
from allm_utils.runs.records import Runs

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ["tp", "fp", "fn", "tn", "accuracy", "balanced_accuracy", "f1_macro", "roc_auc"]


def card(runs):
    """Every number of the paper beside ours."""
    columns = ["table", "row", "column", "paper", "ours", "low", "high", "verdict", "record"]
    return scorecard.scorecard(runs)[columns]


def of_records(runs):
    """Metrics of every record under every condition."""
    rows = [
        {"record": run.name, "condition": condition, **run.metrics(condition)}
        for run in sorted(runs, key=lambda run: run.name)
        for condition in run.data["conditions"]
    ]
    return pd.DataFrame(rows)[["record", "condition", *SHOWN]]


def of_outside(runs):
    """Metrics of every classifier on people from outside."""
    table = records.outside(ROOT / "results")
    asked = table.columns[table.columns.get_loc("label") + 1 :]
    rows = []
    for name in asked:
        found = table.dropna(subset=[name])
        rows.append({"classifier": name, **metrics.metrics(found["label"], found[name])})
    return pd.DataFrame(rows)[["classifier", *SHOWN]]


def headline(runs):
    """Balanced accuracy on three kinds of people."""
    return scorecard.headline(runs).rename_axis("tested on").reset_index()


TABLES = {"scorecard": card, "records": of_records, "outside": of_outside, "headline": headline}


def manifest():
    """Return the manifest of `codecheck.yml`: our tables, and the chapters' figures."""
    listed = [
        {"file": f"codecheck/{name}.csv", "comment": make.__doc__, "command": "make codecheck"}
        for name, make in TABLES.items()
    ]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if figure := cell.metadata.get("mystnb", {}).get("figure"):
                place = f"_build/html/notebooks/{path.stem}.html#{figure['name']}"
                listed.append({"file": place, "comment": figure["caption"], "command": "make book"})
    return listed


def write(root):
    """Write the tables and the manifest below `root`; return each file's text before and now."""
    runs, texts = Runs.load(ROOT / "results"), {}
    for name, make in TABLES.items():
        table = make(runs).to_csv(index=False, float_format="%.6f", lineterminator="\n")
        texts[f"codecheck/{name}.csv"] = table
    told = yaml.safe_load((ROOT / "codecheck.yml").read_text(encoding="utf-8"))
    told |= {"manifest": manifest()}
    texts["codecheck.yml"] = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100)
    before = {name: (ROOT / name).read_text(encoding="utf-8") for name in texts}
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return before, texts


def main(folder):
    """Make everything anew in a folder, and say what differs from the repository's."""
    before, now = write(Path(folder))
    differ = [name for name in now if now[name] != before[name]]
    for name, text in now.items():
        print(
            f"{name}: {len(text.splitlines())} lines, {'DIFFERS' if name in differ else 'as kept'}"
        )
    return f"differ from a run on this machine: {', '.join(differ)}" if differ else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
