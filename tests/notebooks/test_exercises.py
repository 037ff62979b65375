"""Each exercise both ways: the unsolved stub gets a hint, the solution passes."""

from pathlib import Path

import nbformat
import pytest

from allm_utils.book import exercises

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CHAPTERS = [*sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), NOTEBOOKS / "scorecard.ipynb"]


def cells(path, *tags):
    """Return (tag, source) of the notebook's code cells that carry one of ``tags``, in order."""
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        for tag in cell.metadata.get("tags", []):
            if cell.cell_type == "code" and tag in tags:
                found.append((tag, cell.source))
    return found


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_stub_gets_a_hint_and_solution_passes(path, monkeypatch):
    monkeypatch.setattr(exercises, "check", exercises.judge)  # raises its hint
    exercise_cells = cells(path, "exercise", "check", "solution")
    assert exercise_cells, "a chapter has at least one exercise"
    tags = [tag for tag, _ in exercise_cells]
    assert tags == ["exercise", "check", "solution"] * (len(tags) // 3)
    names = {"__name__": path.stem}
    for _, source in cells(path, "setup"):
        exec(source, names)
    for i in range(0, len(exercise_cells), 3):
        (_, stub), (_, check), (_, solution) = exercise_cells[i : i + 3]
        attempt = dict(names)
        exec(stub, attempt)
        with pytest.raises(exercises.Hint):
            exec(check, attempt)
        assert "exercises.check(" in solution
        exec(solution, dict(names))
