"""Every notebook runs from top to bottom; then each cell again, but for those tagged `once`.

On the way each exercise is tried both ways.

The first pass is kept: the book under test is built from it.
"""

import json
import re
import tempfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[2]
SECONDS = json.loads((ROOT / "benchmarks" / "pages.json").read_text(encoding="utf-8"))["seconds"]
SOURCES = sorted(  # the longest first: then the two processes of a run end together
    (ROOT / "notebooks").glob("*.ipynb"), key=lambda path: -SECONDS.get(path.stem, 0)
)
EXECUTED = ROOT / "work" / "executed" / "notebooks"


@pytest.fixture
def client():
    """Make what executes a notebook in a folder.

    Its kernel is spoken to through files: two that start at once may be given the same port, and
    one of them then never answers.
    """
    with tempfile.TemporaryDirectory() as place:
        config = Config({"KernelManager": {"transport": "ipc", "ip": f"{place}/kernel"}})

        def client(notebook, folder):
            where = {"metadata": {"path": str(folder)}}
            return NotebookClient(notebook, timeout=600, config=config, resources=where)

        yield client


def check_exercises(cells, is_chapter):
    """Each exercise both ways: the unsolved stub gets a hint, the solution passes."""
    kinds = ("exercise", "check", "solution")
    tagged = [(kind, cell) for _, cell in cells for kind in cell.metadata.get("tags", [])]
    found = [(kind, cell) for kind, cell in tagged if kind in kinds]
    assert [kind for kind, _ in found] == [*kinds] * (len(found) // 3)
    assert found or not is_chapter, "a chapter has at least one exercise"
    for kind, cell in found:
        said = "".join(output.get("text", "") for output in cell.outputs)
        answer = {"exercise": "", "check": "✗ Not yet: ", "solution": "✓ Correct\n"}[kind]
        assert answer in said, cell.source


def test_students_edition_runs_and_its_text_has_all_its_numbers(tmp_path, client):
    notebook = nbformat.read(ROOT / "editions" / "student" / "00_first_look.ipynb", as_version=4)
    folder = EXECUTED if EXECUTED.is_dir() else tmp_path
    client(notebook, folder).execute()
    said = [cell for cell in notebook.cells if cell.source.startswith("say(")]
    assert said
    for cell in said:
        (output,) = cell.outputs
        assert not re.search(r"…|\[\[", output["data"]["text/markdown"])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_runs_and_any_cell_runs_again(path, client):
    notebook = nbformat.read(path, as_version=4)
    folder = EXECUTED if EXECUTED.is_dir() else path.parent
    client = client(notebook, folder)
    cells = [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    with client.setup_kernel():
        for index, cell in cells:
            client.execute_cell(cell, index)
        if EXECUTED.is_dir():
            nbformat.write(notebook, EXECUTED / path.name)
        check_exercises(cells, is_chapter=path.stem[0].isdigit())
        for index, cell in cells:
            if "once" not in cell.metadata.get("tags", []):  # a training, or as long
                client.execute_cell(cell, index)
