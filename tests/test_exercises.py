"""The exercises: the right answer passes, each typical wrong one gets its own hint."""

import numpy as np
import pandas as pd
import pytest

from allm_utils.book import exercises
from allm_utils.data import people


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


@pytest.mark.parametrize("name", exercises.EXERCISES)
def test_a_constant_does_not_pass_unless_it_is_a_picture(name):
    one = exercises.EXERCISES[name]
    first = exercises._call(one["right"], one["cases"][0])
    if name not in ("desaturate", "noise_in_cell"):
        assert hint(lambda *arguments: first, name)


def twice(*sides):
    return pd.concat([people.person(side) for side in sides]).duplicated().any()


def one_sided(gains):
    return min(1, 2 * np.mean(exercises._flips(gains) >= sum(gains)))


@pytest.mark.parametrize(
    ("name", "wrong", "told"),
    [
        ("steps", lambda n_all, n_hem, size: -(-(n_all + 2 * n_hem) // 16), "(40, 12, 32) is 2, n"),
        ("calibration_error", lambda y, p, bins: exercises.calibration_error(y, p, 10), ", 3) is"),
        ("desaturate", lambda image: image * 0, "[0, 0, 0] is 194, not 0"),
        ("person_weights", lambda names: np.ones(4) / 4, "is (0.66667, 0.66667, 0.66667, 2), not"),
        ("balanced_accuracy", print, "return"),
        ("share_of_pairs", lambda hem, leukemic: (leukemic[:3] > hem).mean(), "is 0.58333, not"),
        ("sign_flips", one_sided, "sign_flips((-5, -3, 1)) is 0.5, not 1"),
        ("leaks", twice, "leaks((20, 21), (14, H8)) is False"),
        ("test_people", lambda names, share, order: names == order[0], "share is reached"),
    ],
)
def test_an_answer_that_nobody_foresaw_is_told_where_it_is_off(name, wrong, told):
    assert told in hint(wrong, name)


def test_an_array_is_an_array_and_a_list_is_as_good_as_one():
    def sign_flips(gains):
        signs = np.array(np.meshgrid(*[(1, -1)] * len(gains))).reshape(len(gains), -1)
        return (abs(gains @ signs) >= abs(gains.sum())).mean()

    def cells_of(people, drawn):
        return [row for name in drawn for row, one in enumerate(people) if one == name]

    exercises.judge(sign_flips)
    exercises.judge(cells_of)


def test_an_answer_may_not_spoil_the_next_case():
    def desaturate(image):
        image[:] = image.max(axis=2, keepdims=True)
        return image

    for _ in range(2):
        exercises.judge(desaturate)


def test_a_guess_is_compared_with_the_run(capsys):
    for guess, found in (("Precision ", "precision"), (0.52, 0.5), (np.int64(17), 17)):
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
