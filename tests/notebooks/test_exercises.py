"""Each exercise both ways: the unsolved stub gets a hint, the solution passes."""

from pathlib import Path

import nbformat
import pytest

from allm_utils.book import exercises

CHAPTERS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("[0-9]*.ipynb"))


def cells(path, *tags):
    """Return (tag, source) of the notebook's code cells that carry one of ``tags``, in order."""
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        for tag in cell.metadata.get("tags", []):
            if cell.cell_type == "code" and tag in tags:
                found.append((tag, cell.source))
    return found


@pytest.fixture
def strict(monkeypatch):
    """Let a hint through instead of printing it."""

    def check(check, *answers):
        if check(*answers) is not True:
            raise TypeError(f"{check.__name__} must return True or raise Hint")

    monkeypatch.setattr(exercises, "check", check)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_stub_gets_a_hint_and_solution_passes(path, strict):
    exercise_cells = cells(path, "exercise", "check", "solution")
    assert exercise_cells, "a chapter has at least one exercise"
    assert [tag for tag, _ in exercise_cells] == ["exercise", "check", "solution"] * (
        len(exercise_cells) // 3
    )
    names = {"__name__": path.stem}
    for _, source in cells(path, "setup"):
        exec(source, names)
    for i in range(0, len(exercise_cells), 3):
        (_, stub), (_, check), (_, solution) = exercise_cells[i : i + 3]
        attempt = dict(names)
        exec(stub, attempt)
        with pytest.raises(exercises.Hint) as hint:
            exec(check, attempt)
        assert str(hint.value) and "\n" not in str(hint.value)
        assert "exercises.check(" in solution
        exec(solution, dict(names))


def test_check_prints_a_tick_or_the_hint(capsys):
    def positive(x):
        if x is ... or x <= 0:
            raise exercises.Hint("x must be positive")
        return True

    exercises.check(positive, 1)
    assert capsys.readouterr().out == "✓ Correct\n"
    exercises.check(positive, ...)
    assert capsys.readouterr().out == "✗ Not yet: x must be positive\n"
