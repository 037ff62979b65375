"""The checks of the exercises: right answers pass, typical wrong ones get their hint."""

import numpy as np
import pandas as pd
import pytest

from allm_utils import exercises


def hint(check, *answers):
    """The one line that a wrong answer gets."""
    with pytest.raises(exercises.Hint) as caught:
        check(*answers)
    assert "\n" not in str(caught.value)
    return str(caught.value)


UNSOLVED = [..., None, 3, lambda *arguments: ..., lambda *arguments: None]


@pytest.mark.parametrize("answer", UNSOLVED)
@pytest.mark.parametrize(
    "check",
    [
        exercises.check_parse,
        exercises.check_sizes,
        exercises.check_smear_leak,
        exercises.check_desaturate,
        exercises.check_balanced_accuracy,
        exercises.check_class_weights,
        exercises.check_learning_rates,
        exercises.check_early_stop,
        exercises.check_steps,
    ],
)
def test_no_answer_yet_gets_a_hint(check, answer):
    hint(check, answer)


# -- chapter 1 --------------------------------------------------------------------------------


def parsed(name, keep=str.upper, number=int, label=None):
    _, subject, smear, cell, kind = name.removesuffix(".bmp").split("_")
    return (
        keep(subject),
        number(smear),
        number(cell),
        int(kind == "all") if label is None else label,
    )


def test_parse():
    assert exercises.check_parse(parsed)
    assert "keep its H" in hint(exercises.check_parse, lambda name: parsed(name, str))
    assert "two people" in hint(
        exercises.check_parse, lambda name: parsed(name, lambda s: s.lstrip("Hh"))
    )
    assert "int" in hint(exercises.check_parse, lambda name: parsed(name, number=str))
    assert "label" in hint(exercises.check_parse, lambda name: parsed(name, label=0))
    assert "four" in hint(exercises.check_parse, lambda name: parsed(name)[:3])


def test_sizes():
    def by(cut):
        def sizes(n):
            train, val = cut(0.7 * n), cut(0.1 * n)
            return train, val, n - train - val

        return sizes

    assert exercises.check_sizes(by(int))
    assert "round" in hint(exercises.check_sizes, by(round))
    assert "whole numbers" in hint(exercises.check_sizes, by(float))
    assert "rest" in hint(
        exercises.check_sizes, lambda n: (int(0.7 * n), int(0.1 * n), int(0.2 * n))
    )


def test_smear_leak():
    def leak(columns, scale=1):
        def smear_leak(train, test):
            known = pd.MultiIndex.from_frame(train[columns])
            return scale * pd.MultiIndex.from_frame(test[columns]).isin(known).mean()

        return smear_leak

    assert exercises.check_smear_leak(leak(["subject", "smear"]))
    assert "both columns" in hint(exercises.check_smear_leak, leak(["smear"]))
    assert "same subject" in hint(exercises.check_smear_leak, leak(["subject"]))
    assert "share" in hint(exercises.check_smear_leak, leak(["subject", "smear"], 100))


# -- chapter 2 --------------------------------------------------------------------------------


def test_desaturate():
    def grey(image, function, copies=3):
        one = function(image, axis=2, keepdims=True)
        return np.repeat(one, copies, axis=2).astype(np.uint8)

    assert exercises.check_desaturate(lambda image: grey(image, np.max))
    assert "mean" in hint(exercises.check_desaturate, lambda image: grey(image, np.mean))
    assert "smallest" in hint(exercises.check_desaturate, lambda image: grey(image, np.min))
    assert "one channel" in hint(exercises.check_desaturate, lambda image: image.max(axis=2))
    assert "uint8" in hint(exercises.check_desaturate, lambda image: grey(image, np.max) / 1)
    assert "differ" in hint(exercises.check_desaturate, lambda image: image)


def test_balanced_accuracy():
    def balanced(labels, answers):
        return np.mean([np.mean(answers[labels == label] == label) for label in (0, 1)])

    assert exercises.check_balanced_accuracy(balanced)
    assert "accuracy" in hint(
        exercises.check_balanced_accuracy, lambda labels, answers: np.mean(labels == answers)
    )
    assert "0.5" in hint(exercises.check_balanced_accuracy, lambda labels, answers: 1.0)
    assert "one number" in hint(exercises.check_balanced_accuracy, lambda labels, answers: (0, 1))


def test_class_weights():
    def weights(labels):
        return len(labels) / (2 * np.bincount(labels))

    assert exercises.check_class_weights(weights)
    assert "other way round" in hint(
        exercises.check_class_weights, lambda labels: weights(labels)[::-1]
    )
    assert "2,506" in hint(exercises.check_class_weights, lambda labels: 2 * weights(labels))
    assert "make them equal" in hint(exercises.check_class_weights, lambda labels: (1.0, 1.0))


# -- chapter 5 --------------------------------------------------------------------------------


def plateau(losses, rate, factor, patience, floor, early=0, better=float.__lt__, anew=True):
    rates, best, waited = [], float("inf"), early
    for loss in losses:
        rates.append(rate)
        waited = 0 if better(loss, best) else waited + 1
        best = min(best, loss)
        if waited >= patience:
            rate, waited = max(rate * factor, floor), 0 if anew else waited
    return rates


def test_learning_rates():
    check = exercises.check_learning_rates
    assert check(plateau)
    assert "only a smaller loss" in hint(check, lambda *a: plateau(*a, better=float.__le__))
    assert "floor" in hint(check, lambda *a: plateau(*a[:4], 0))
    assert "first rate" in hint(check, lambda losses, rate, *a: [rate / 10] * len(losses))
    assert "one rate for each" in hint(check, lambda *a: plateau(*a)[:-1])
    assert "one rate for each" in hint(check, lambda *a: 1e-3)
    assert "count anew" in hint(check, lambda *a: plateau(*a, anew=False))
    hint(check, lambda losses, rate, factor, patience, floor: plateau(
        losses, rate, factor, patience - 1, floor))  # fmt: skip


def test_early_stop():
    def stop(losses, patience, first=1):
        best = min_at = 0
        for epoch, loss in enumerate(losses):
            if epoch == 0 or loss < best:
                best, min_at = loss, epoch
            elif epoch - min_at >= patience:
                return min_at + first, epoch + first
        return min_at + first, len(losses) - 1 + first

    check = exercises.check_early_stop
    assert check(stop)
    assert "from 1" in hint(check, lambda *a: stop(*a, first=0))
    assert "never seen" in hint(check, lambda losses, p: (int(np.argmin(losses)) + 1, len(losses)))
    assert "third epoch" in hint(check, lambda losses, p: stop(losses, p + 1))
    assert "two without" in hint(check, lambda losses, p: stop(losses, p - 1))
    assert "starts the count anew" in hint(check, lambda losses, p: (5, 6))
    assert "two numbers" in hint(check, lambda losses, p: 5)


def test_steps():
    check = exercises.check_steps
    assert check(lambda n_all, n_hem, size: int(np.ceil((n_all + 2 * n_hem) / size)))
    assert "twice" in hint(check, lambda n_all, n_hem, size: -(-(n_all + n_hem) // size))
    assert "round up" in hint(check, lambda n_all, n_hem, size: (n_all + 2 * n_hem) // size)
    assert "no number" in hint(check, lambda n_all, n_hem, size: (n_all + 2 * n_hem) / size)
    assert "208" in hint(check, lambda n_all, n_hem, size: 208 if n_all == 1 else 204.0 + (
        n_all == 1692) * 9)  # fmt: skip
