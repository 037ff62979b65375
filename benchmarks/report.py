"""Results of the benchmarks: a dated file, and the tables made from it."""

import html
import json
import os
from datetime import date
from pathlib import Path

from allm_utils.runs import experiment

RESULTS = Path(__file__).parent / "results"


def describe(rows, growth):
    """Put the date, the machine and the versions beside what was measured.

    Parameters
    ----------
    rows : list of dict
        As the package describes them.
    growth : dict of str to list of dict
        As `growth.grow` returns it.
    """
    return {
        "date": date.today().isoformat(),
        "cores": os.cpu_count(),
        **experiment.provenance(),
        "rows": rows,
        "growth": growth,
    }


def save(report, folder=RESULTS):
    """Write a run to ``folder``, under its date, and return the path.

    What the same machine and versions measured on the same day, and this run did not, is kept;
    such rows name the code that they were measured with.
    """
    path = Path(folder) / f"{report['date']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        if all(before[key] == report[key] for key in ("hardware", "backend")):
            measured = {(row["what"], row["alternative_name"]) for row in report["rows"]}
            code = {"commit": before["package"]["commit"]}
            kept = [
                code | row
                for row in before["rows"]
                if (row["what"], row["alternative_name"]) not in measured
            ]
            growth = before["growth"] | report["growth"]
            report = report | {"rows": kept + report["rows"], "growth": growth}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return path


def latest(folder=RESULTS):
    """Return the last saved run, or None."""
    paths = sorted(Path(folder).glob("*.json"))
    return json.loads(paths[-1].read_text(encoding="utf-8")) if paths else None


def tables(report):
    """Return a run as Markdown: the comparisons, and what grows with the number of pictures."""
    lines = [
        "| What | Time | Instead | Its time | Times as fast | Lowest to highest | Goal |",
        "|---|---|---|---|---|---|---|",
    ] * bool(report["rows"])
    for row in report["rows"]:
        goal = "" if row["goal"] is None else number(row["goal"])
        reach = " to ".join(dict.fromkeys(number(row[end]) for end in ("low", "high")))
        cells = (
            row["what"], time(row["ours"], row["unit"]) + share(row.get("busy")),
            row["alternative_name"],
            time(row["alternative"], row["unit"]) + share(row.get("alternative_busy")),
            f"**{number(row['ratio'])}**", reach, goal,
        )  # fmt: skip
        cells = (html.escape(cell).replace("|", "&#124;") for cell in cells)
        lines.append(f"| {' | '.join(cells)} |")
    if report["growth"]:
        lines += ["", "| It grows | Pictures | Time | Peak memory |", "|---|---|---|---|"]
    for what, sizes in report["growth"].items():
        for one in sizes:
            took, peak = time(one["seconds"], "s"), f"{one['peak_mb']:.0f}\xa0MB"
            lines.append(f"| {what} | {one['pictures']:,} | {took} | {peak} |")
    return "\n".join(lines)


def time(value, unit):
    """Write a time of a row, as ``0.41 ms a picture``."""
    return f"{number(value)}\xa0{unit}"


def share(busy):
    """Write the share of the time in which a GPU computed, if it was measured."""
    return "" if busy is None else f", the card busy {busy:.0%} of it"


def number(value):
    """Write a number with two or three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 1 else f"{value:.3g}"
