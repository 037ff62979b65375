"""A pytest plugin: nbmake runs a notebook from top to bottom, and then each cell again.

A cell tagged `once` trains, or takes as long: it runs once. What nbmake keeps is the first run, and
the book under test is built from it.
"""

import copy
import json
import tempfile
from pathlib import Path

import nbmake.nb_run
from nbclient import NotebookClient
from traitlets.config import Config

PAGES = Path(__file__).resolve().parents[2] / "benchmarks" / "pages.json"


class Client(NotebookClient):
    def execute(self, **kwargs):
        cells = self.nb.cells
        first = len(cells)
        cells += [
            copy.deepcopy(cell) for cell in cells if "once" not in cell.metadata.get("tags", [])
        ]
        # The kernel is spoken to through files: two that start at once may be given the same port,
        # and one of them then never answers.
        with tempfile.TemporaryDirectory() as place:
            manager = {"transport": "ipc", "ip": f"{place}/kernel"}
            self.update_config(Config({"KernelManager": manager}))
            super().execute(**kwargs)
        del cells[first:]


def pytest_configure():
    nbmake.nb_run.NotebookClient = Client


def pytest_collection_modifyitems(items):
    """Put the longest first: then the two processes of a run end together."""
    seconds = json.loads(PAGES.read_text(encoding="utf-8"))["seconds"]
    items.sort(key=lambda item: -seconds.get(item.path.stem, 0))
