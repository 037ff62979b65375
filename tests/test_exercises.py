"""The exercises: the right answer passes, each typical wrong one gets its own hint."""

import pytest

from allm_utils.book import exercises


def hint(function, name):
    """The one line that a wrong answer gets."""

    def answer(*arguments):
        return function(*arguments)

    answer.__name__ = name
    with pytest.raises(exercises.Hint) as caught:
        exercises.judge(answer)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    return str(caught.value)


@pytest.mark.parametrize("name", exercises.EXERCISES)
def test_the_right_answer_passes(name, capsys):
    exercises.check(exercises.EXERCISES[name]["right"])
    assert capsys.readouterr().out == "✓ Correct\n"


@pytest.mark.parametrize(
    ("name", "number"),
    [(name, i) for name, one in exercises.EXERCISES.items() for i in range(len(one["wrong"]))],
)
def test_each_wrong_answer_gets_its_hint(name, number):
    wrong, expected = list(exercises.EXERCISES[name]["wrong"].items())[number]
    assert hint(wrong, name) == expected


@pytest.mark.parametrize("name", exercises.EXERCISES)
def test_no_answer_and_strange_answers_get_a_hint(name):
    assert "three dots" in hint(lambda *arguments: ..., name)
    assert "three dots" in hint(lambda *arguments: None, name)
    for strange in (17.25, "word", (1, 2, 3, 4, 5, 6, 7), [[1.5]]):
        assert hint(lambda *arguments, strange=strange: strange, name)


@pytest.mark.parametrize("answer", [..., None, 3, lambda name: name])
def test_what_is_no_answer_to_an_exercise_is_told_so(answer, capsys):
    exercises.check(answer)
    assert "keep its def line, and its name" in capsys.readouterr().out


def test_an_answer_may_not_spoil_the_next_case():
    def desaturate(image):
        image[:] = image.max(axis=2, keepdims=True)
        return image

    for _ in range(2):
        exercises.judge(desaturate)


def test_a_guess_is_compared_with_the_run(capsys):
    for guess, found in (("precision", "precision"), (0.52, 0.5)):
        exercises.check(exercises.check_guess, guess, found, 0.05)
        assert capsys.readouterr().out == "✓ Correct\n"
    for guess, found, hint in (
        (..., "precision", "first"),
        ("recall", "precision", "'precision'"),
        (0.6, 0.5, "0.5;"),
        ("half", 0.5, "a number"),
    ):
        exercises.check(exercises.check_guess, guess, found, 0.05)
        assert hint in capsys.readouterr().out
