"""What the notebooks said when nbmake ran them, as `make test` does."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXECUTED = ROOT / "work" / "executed"
SOURCES = sorted((ROOT / "notebooks").glob("*.ipynb"))

pytestmark = pytest.mark.needs("executed")  # by `make test`


def code(path):
    """The code cells of a notebook, of which each was run, in their order."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    return cells


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_each_exercise_both_ways(path):
    """The unsolved stub gets a hint, and the solution passes."""
    kinds = ("exercise", "check", "solution")
    cells = code(EXECUTED / "notebooks" / path.name)
    tagged = [(kind, cell) for cell in cells for kind in cell.metadata.get("tags", [])]
    found = [(kind, cell) for kind, cell in tagged if kind in kinds]
    assert [kind for kind, _ in found] == [*kinds] * (len(found) // 3)
    assert found or not path.stem[0].isdigit(), "a chapter has at least one exercise"
    for kind, cell in found:
        said = "".join(output.get("text", "") for output in cell.outputs)
        answer = {"exercise": "", "check": "✗ Not yet: ", "solution": "✓ Correct\n"}[kind]
        assert answer in said, cell.source


def test_text_of_the_students_edition_has_all_its_numbers():
    cells = code(EXECUTED / "student" / "00_first_look.ipynb")
    said = [cell for cell in cells if cell.source.startswith("say(")]
    assert said
    for cell in said:
        (output,) = cell.outputs
        assert not re.search(r"…|\[\[", output["data"]["text/markdown"])
