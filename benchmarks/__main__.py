"""Run the benchmarks, print their table, and keep the result: ``python -m benchmarks``."""

import argparse
import tempfile
from dataclasses import replace

from allm_utils.network.training import has_gpu

from . import book, card, files, growth, inference, page, pipeline, report, steps
from .measure import TINY, Scale

TOPICS = {
    "pipeline": pipeline,
    "steps": steps,
    "card": card,
    "files": files,
    "inference": inference,
}
LONG = {"book": book, "page": page, "cells": None}  # many minutes, or npm; only when named


def compare(scale, topics):
    """Return the rows of some topics, and print each when it is there."""
    rows = []
    for topic in topics:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            for row in topic.rows(scale, folder):
                print(f"{row['what']}: {row['ratio']:.3g} times as fast", flush=True)
                rows.append(row)
    return rows


def main(argv=None):
    """Parse the command line, measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "topics", nargs="*", metavar="TOPIC", help=f"only {', '.join(TOPICS | LONG)}"
    )
    parser.add_argument("--tiny", action="store_true", help="try the machinery on few pictures")
    parser.add_argument("--results", help="folder to keep the result in (a whole run: its own)")
    args = parser.parse_args(argv)
    named = TOPICS | LONG
    if unknown := set(args.topics) - set(named):
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(named)}")
    scale, folder = (TINY, None) if args.tiny else (Scale(), report.RESULTS)
    if has_gpu():
        # so fast that fewer steps would measure the epoch's beginning
        scale = replace(scale, steps=300, turns=3)
    cells = "cells" in args.topics
    topics = [named[name] for name in args.topics or TOPICS if name != "cells"]
    rows, grown = compare(scale, topics), {}
    if cells or not args.topics:
        with tempfile.TemporaryDirectory(prefix="bench-") as trees:
            grown = growth.grow(scale, trees, **growth.CELLS if cells else {})
        folder = folder and (folder / "cells" if cells else folder)
    else:
        folder = None
    result = report.describe(rows, grown)
    print(report.tables(result))
    if folder := args.results or folder:
        print(f"Kept in {report.save(result, folder)}; `make sync` puts it into the README.")


if __name__ == "__main__":
    main()
