"""The checks of the exercises: each answers a reader's attempt with a tick or a hint."""

import numpy as np
import pandas as pd

from . import paper


class Hint(AssertionError):
    """What is still missing, in one line."""


def check(check, *answers):
    """Print whether the reader's answers pass ``check``: a tick, or what is still missing.

    Parameters
    ----------
    check : callable
        One of this module's ``check_...``; it returns True or raises `Hint`.
    *answers
        What the exercise asked for.
    """
    try:
        check(*answers)
    except Hint as hint:
        print(f"✗ Not yet: {hint}")
    else:
        print("✓ Correct")


def _call(function, *arguments):
    """What the reader's function returns; a hint if there is nothing yet."""
    if not callable(function):
        raise Hint("the answer is a function: keep its def line")
    answer = function(*arguments)
    if answer is ... or answer is None:
        raise Hint(f"{function.__name__} returns nothing yet: replace the three dots")
    return answer


def _number(function, *arguments):
    """The single number that the reader's function returns."""
    answer = _call(function, *arguments)
    if isinstance(answer, bool) or not np.isscalar(answer) or isinstance(answer, str):
        raise Hint(f"{function.__name__} is to return one number, not {type(answer).__name__}")
    return float(answer)


def check_parse(parse):
    """Chapter 1: subject, smear, cell and label from a file name."""
    cases = {
        "UID_11_3_5_all.bmp": ("11", 3, 5, 1),
        "UID_H11_30_2_hem.bmp": ("H11", 30, 2, 0),
        "UID_h3_10_2_hem.bmp": ("H3", 10, 2, 0),
    }
    for name, expected in cases.items():
        answer = _call(parse, name)
        if not isinstance(answer, tuple) or len(answer) != 4:
            raise Hint("return four things: subject, smear, cell, label")
        subject, smear, cell, label = answer
        if subject in ("3", "h3"):
            raise Hint("36 files write H3 as h3: make the subject upper case, and keep its H")
        if subject == "11" and name.startswith("UID_H"):
            raise Hint("keep the H: subjects 11 and H11 are two people")
        if subject != expected[0]:
            raise Hint(f"{name}: the subject is {expected[0]!r}, not {subject!r}")
        if isinstance(smear, str) or isinstance(cell, str):
            raise Hint("smear and cell are numbers: turn them into int")
        if label != expected[3]:
            raise Hint(f"{name}: the label is {expected[3]}, not {label!r}; 0 is HEM, 1 is ALL")
        if answer != expected:
            raise Hint(f"{name}: that is {expected}, not {answer}")
    return True


def check_sizes(sizes):
    """Chapter 1: the rule of Table 1."""
    for fold in paper.TABLE_1.values():
        for counts in fold.values():
            n = counts["total"]
            answer = _call(sizes, n)
            if not isinstance(answer, tuple) or len(answer) != 3:
                raise Hint("return three numbers: train, val, test")
            if not all(isinstance(size, int) for size in answer):
                raise Hint(f"{n} images: the parts are whole numbers; cut with int()")
            if sum(answer) != n:
                raise Hint(f"{n} images: the three parts hold {sum(answer)}; test gets the rest")
            if answer != tuple(counts[part] for part in ("train", "val", "test")):
                raise Hint(f"{n} images: {answer} is not in Table 1; cut off, do not round")
    return True


def check_smear_leak(smear_leak):
    """Chapter 1: the share of test cells whose smear is also in training."""
    train = pd.DataFrame({"subject": ["11", "11", "H11", "H2"], "smear": [1, 2, 3, 4]})
    test = pd.DataFrame({"subject": ["11", "11", "H11", "H2"], "smear": [1, 1, 1, 5]})
    share = _number(smear_leak, train, test)
    if share in (2, 50):
        raise Hint(f"{share:g} is not a share: a share lies between 0 and 1")
    if share == 0.75:
        raise Hint("smear 1 of subject 11 is not smear 1 of subject H11: compare both columns")
    if share == 1:
        raise Hint("the same subject is not enough: the smear has to be the same too")
    if share != 0.5:
        raise Hint(f"2 of these 4 test cells have their smear in training, not {share:g} of all")
    return True


def check_desaturate(desaturate):
    """Chapter 2: saturation removed by hand."""
    image = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    image[0] = 0
    answer = _call(desaturate, image.copy())
    if not isinstance(answer, np.ndarray):
        raise Hint(f"return an array, not {type(answer).__name__}")
    if answer.shape == image.shape[:2]:
        raise Hint("that is one channel: write it into all three")
    if answer.shape != image.shape:
        raise Hint(f"the shape is {answer.shape}; keep {image.shape}")
    if answer.dtype != np.uint8:
        raise Hint(f"the type is {answer.dtype}; keep uint8")
    if np.array_equal(answer, np.repeat(image.max(axis=2, keepdims=True), 3, axis=2)):
        return True
    if not (answer == answer[..., :1]).all():
        raise Hint("without saturation the three channels are equal; yours differ")
    if np.abs(answer[..., 0] - image.mean(axis=2)).max() <= 1:
        raise Hint("that is the mean of the channels; HSV keeps the value V, their largest")
    if np.array_equal(answer[..., 0], image.min(axis=2)):
        raise Hint("that is the smallest channel; V is the largest")
    raise Hint("grey, but not the value V: V is the largest of the three channels")


def check_balanced_accuracy(balanced_accuracy):
    """Chapter 2: the mean of the two recalls."""
    labels = np.array([1, 1, 1, 1, 1, 1, 0, 0])
    always = _number(balanced_accuracy, labels, np.ones(8, int))
    if np.isclose(always, 0.75):
        raise Hint("always ALL gives 0.75 here: that is the accuracy; average the two recalls")
    if not np.isclose(always, 0.5):
        raise Hint(f"always ALL finds all of ALL and none of HEM: 0.5, not {always:.3g}")
    answers = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    found = _number(balanced_accuracy, labels, answers)
    if not np.isclose(found, 0.75):
        raise Hint(f"half of ALL and all of HEM found: 0.75, not {found:.3g}")
    return True


def check_class_weights(class_weights):
    """Chapter 2: weights that make the classes count the same."""
    labels = np.repeat([0, 1], [814, 1692])
    answer = _call(class_weights, labels)
    if not isinstance(answer, tuple | list | np.ndarray) or len(answer) != 2:
        raise Hint("return two numbers: the weight of HEM, then that of ALL")
    hem, all_ = (float(weight) for weight in answer)
    if np.isclose(814 * all_, 1692 * hem):
        raise Hint("the other way round: the rarer class, HEM, gets the larger weight, and first")
    if not np.isclose(814 * hem, 1692 * all_):
        raise Hint(f"HEM now counts {814 * hem:.0f} and ALL {1692 * all_:.0f}: make them equal")
    if not np.isclose(814 * hem + 1692 * all_, 2506):
        raise Hint("equal, but the weights of all 2,506 images together should still be 2,506")
    return True
