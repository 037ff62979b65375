"""The exercises: for each the right answer, the cases it is tried on, and typical wrong answers.

A chapter's check cell is ``exercises.check(function)``; the function's name says which exercise it
answers. To add one, write its solution here below `_exercise`, with a hint for each mistake that
you expect: an answer that does what a wrong one does gets that one's hint. A solution's arguments
with a default are for the wrong answers, which vary them. What cannot be told by cases has a rule
of its own, which raises `Hint`: ``exercises.check(rule, *answers)``.
"""

from collections.abc import Callable
from copy import deepcopy
from itertools import product
from numbers import Real

import numpy as np
import pandas as pd
from scipy import stats

from allm_utils.book import paper
from allm_utils.data import people

EXERCISES: dict[str, dict] = {}
"""By name: ``right`` function, ``cases`` of arguments, and ``wrong`` functions with their hints."""


class Hint(AssertionError):
    """What is still missing, in one line."""


def check(what: Callable, *answers) -> None:
    """Print a tick or a hint, as `judge` finds it."""
    try:
        judge(what, *answers)
    except Hint as hint:
        print(f"✗ Not yet: {hint}")
    else:
        print("✓ Correct")


def judge(what: Callable, *answers) -> None:
    """Try the reader's function on the cases of the exercise of its name; a `Hint` is raised.

    With answers behind it, `what` is the rule that judges them.
    """
    if answers:
        return what(*answers)
    name = getattr(what, "__name__", "")
    if name not in EXERCISES:
        raise Hint("the answer is a function: keep its def line, and its name")
    exercise, tried = EXERCISES[name], []
    for case in exercise["cases"]:
        answer, expected = (_call(one, case) for one in (what, exercise["right"]))
        tried.append((case, answer))
        if answer is ... or answer is None:
            raise Hint(f"{name} returns nothing yet: replace the three dots, and mind the return")
        if _same(answer, expected):
            continue
        for wrong, hint in exercise["wrong"].items():
            if all(_same(answer, _call(wrong, case)) for case, answer in tried):
                raise Hint(hint)
        if isinstance(expected, tuple) and (np.ndim(answer) == 0 or len(answer) != len(expected)):
            raise Hint(f"return {len(expected)} things, not {_short(answer)}")
        said = f"{name}({', '.join(map(_short, case))})"
        if np.ndim(expected) > 1 and np.shape(answer) == np.shape(expected):
            for at in np.argwhere(~np.isclose(answer, expected))[:1].tolist():
                said, answer, expected = f"{said}{at}", np.asarray(answer)[*at], expected[*at]
        raise Hint(f"{said} is {_short(expected)}, not {_short(answer)}")


def check_guess(guess: str | float, found: str | float, within: float = 0) -> None:
    """Compare a guess that was written down first with what the run then found, give or take."""
    if guess is ...:
        raise Hint("write down your guess first: replace the three dots")
    if isinstance(found, str) and str(guess).strip().lower() != found:
        raise Hint(f"you guessed {guess!r}, the run says {found!r}; what did you leave out?")
    if not isinstance(found, str) and not isinstance(guess, Real):
        raise Hint(f"guess a number, not {guess!r}")
    if not isinstance(found, str) and not abs(guess - found) <= within:
        raise Hint(f"you guessed {guess:g}, the run says {found:.3g}; why is it so far off?")


def _exercise(cases, wrong):
    """Register the decorated function as the right answer to the exercise of its name."""

    def register(right):
        EXERCISES[right.__name__] = {"right": right, "cases": cases, "wrong": wrong}
        return right

    return register


def _call(function, case):
    """The answer, on arguments of its own; a seed among them becomes a generator."""
    arguments = [one() if callable(one) else deepcopy(one) for one in case]
    with np.errstate(all="ignore"):
        return function(*arguments)


def _same(answer, expected):
    if isinstance(expected, tuple):
        whole = isinstance(answer, tuple | list | np.ndarray) and len(answer) == len(expected)
        return whole and all(map(_same, answer, expected))
    if isinstance(expected, str | bool) or isinstance(answer, str):
        return isinstance(answer, type(expected) | np.bool_) and answer == expected
    try:
        close = np.allclose(answer, expected, equal_nan=True)
        close &= np.shape(answer) == np.shape(expected)
    except (TypeError, ValueError):
        return False
    picture = np.uint8 in (getattr(one, "dtype", None) for one in (answer, expected))
    return close and (not picture or getattr(answer, "dtype", None) == expected.dtype)


def _short(value):
    """The value in one short line."""
    if callable(value):
        return "rng"
    if (isinstance(value, tuple | list) or np.ndim(value) == 1) and len(value) < 11:
        return f"({', '.join(map(_short, value))})"
    if np.ndim(value):
        return f"… of shape {np.shape(value)} and {getattr(value, 'dtype', type(value).__name__)}"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


# fmt: off
# ruff: noqa: E501 (a wrong answer and its hint stand on one line)

# Chapter 0: a first look
@_exercise([(np.array([1, 1, 1, 1, 1, 0, 0, 0]), np.array(answers))
            for answers in ([1, 1, 1, 1, 0, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1])], {
    lambda labels, answers: (labels == answers).mean(): "that is the accuracy: average the two shares",
    lambda labels, answers: answers[labels == 1].mean(): "that is the sensitivity alone",
    lambda labels, answers: 1 - answers[labels == 0].mean(): "that is the specificity alone",
    lambda labels, answers: (answers[labels == 1].mean() + answers[labels == 0].mean()) / 2:
        "specificity counts the HEM cells that are called HEM, 0",
    lambda *a: 2 * balanced_accuracy(*a): "that is the sum of the two shares: halve it",
})
def balanced_accuracy(labels, answers):
    return (answers[labels == 1].mean() + 1 - answers[labels == 0].mean()) / 2

# Chapter 1: the data set
@_exercise([("UID_11_3_5_all.bmp",), ("UID_H11_30_2_hem.bmp",), ("UID_h3_10_2_hem.bmp",)], {
    lambda n: (n.split("_")[1], *parse(n)[1:]): "36 files write H3 as h3: upper case, with H",
    lambda n: (parse(n)[0].strip("H"), *parse(n)[1:]): "keep the H: 11 and H11 are two people",
    lambda n: (parse(n)[0], *n.split("_")[2:4], parse(n)[3]): "smear and cell are numbers: int()",
    lambda n: (*parse(n)[:3], 1 - parse(n)[3]): "the label of all is 1, that of hem is 0",
})
def parse(name):
    _, subject, smear, cell, kind = name.removesuffix(".bmp").split("_")
    return subject.upper(), int(smear), int(cell), int(kind == "all")

@_exercise([[pd.DataFrame({"subject": names, "smear": smears}) for names, smears in both] for both in (
    [(["11", "11", "H11", "H2"], [1, 2, 3, 4]), (["11", "11", "H11", "H2"], [1, 1, 1, 5])],
    [(["1", "1", "1"], [12, 12, 12]), (["1", "11", "H3", "H2", "H5"], [12, 2, 4, 5, 1])])], {
    lambda *a: 100 * smear_leak(*a): "a share lies between 0 and 1",
    lambda train, test: len(test) * smear_leak(train, test): "a share: divide by the number of test cells",
    lambda train, test: len(test.merge(train)) / len(test): "smear 12 of 1 has several rows in train: count the test row once",
    lambda *both: smear_leak(*(one.assign(subject=one["subject"] + one["smear"].astype(str)) for one in both), ["subject"]): "1 with smear 12 and 11 with smear 2 are two smears: keep subject and smear apart",
    lambda train, test: smear_leak(train, test.drop_duplicates()): "a share of the rows of test: two cells of one smear are two rows",
    lambda *a: smear_leak(*a, ["smear"]): "smear 1 of 11 is not smear 1 of H11: compare both columns",
    lambda *a: smear_leak(*a, ["subject"]): "the same subject is not enough: compare smears too",
})
def smear_leak(train, test, columns=("subject", "smear")):
    train, test = (pd.MultiIndex.from_frame(cells[[*columns]]) for cells in (train, test))
    return test.isin(train).mean()

# Chapter 2: balancing
@_exercise([(np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8),)], {
    lambda image: image.max(axis=2): "that is one channel: write it into all three",
    lambda image: desaturate(image) / 1.0: "a picture is uint8: keep it so",
    lambda image: image: "without saturation the three channels are equal; yours differ",
    lambda image: desaturate(image, np.mean): "that is the mean; HSV keeps the value V, their largest",
    lambda image: desaturate(image, np.min): "that is the smallest channel; V is the largest",
})
def desaturate(image, channel=np.max):
    return np.repeat(channel(image, axis=2, keepdims=True), 3, axis=2).astype(np.uint8)

@_exercise([(np.array([.1, .4, .4]), np.array([.2, .3, .4, .9])), (np.array([.6, .7]), np.array([.1, .2, .65]))], {
    lambda hem, leukemic: share_of_pairs(leukemic, hem): "the other way round: the ALL cell is to get more",
    lambda hem, leukemic: np.mean(leukemic[:, None] > hem): "a tie counts one half",
    lambda hem, leukemic: np.mean(leukemic[:, None] >= hem): "a tie counts one half, not one",
    lambda hem, leukemic: np.sum(leukemic[:, None] > hem): "a share: divide by the number of pairs",
})
def share_of_pairs(hem, leukemic):
    return np.mean((leukemic[:, None] > hem) + .5 * (leukemic[:, None] == hem))

# Chapter 3: augmentation
@_exercise([(np.full((9, 9, 3), grey, np.uint8), 9, lambda: np.random.default_rng(1))
            for grey in (128, 0, 255)], {
    lambda image, sigma, rng: image: "the picture is unchanged: add rng.normal(0, sigma, ...)",
    lambda image, sigma, rng: np.repeat(add_noise(image[..., :1], sigma, rng), 3, axis=2): "the three channels got the same noise: draw image.shape numbers",
    lambda image, sigma, rng: add_noise(image, sigma**2, rng): "sigma is no variance: do not square",
    lambda *a: add_noise(*a, clip=False): "values wrap round at 0 or 255: clip before uint8",
    lambda *a: add_noise(*a, finish=np.floor): "the mean moves: round, do not cut off",
    lambda *a: add_noise(*a) / 1.0: "a picture is uint8: round, clip, then .astype(np.uint8)",
})
def add_noise(image, sigma, rng, finish=np.rint, clip=True):
    noisy = finish(image + rng.normal(0, sigma, image.shape))
    return (np.clip(noisy, 0, 255) if clip else noisy).astype(int).astype(np.uint8)

# Chapter 4: MobileNet_M
_MAPS = [np.random.default_rng(4).integers(-2, 9, shape) for shape in ((7, 9, 3), (3, 3, 3))]

@_exercise([(*_MAPS, 1), (*_MAPS, 2)], {
    lambda *a: depthwise(*a).sum(axis=2): "the channels were added up: pointwise does that later",
    lambda i, k, s: depthwise(i, k, 1): "stride 2 is to move the window by two pixels",
    lambda i, k, s: depthwise(i, k[::-1, ::-1], s): "the kernel is turned round; networks do not",
    lambda i, k, s: depthwise(i, k * 0 + 1, s): "multiply each window with the kernel, then add up",
    lambda i, k, s: depthwise(np.pad(i, ((1, 1), (1, 1), (0, 0))), k, s):
        "the picture was padded: only windows that lie inside it count",
})
def depthwise(image, kernel, stride):
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape[:2], axis=(0, 1))
    return np.einsum("yxcij,ijc->yxc", windows, kernel)[::stride, ::stride]

@_exercise([(32, 64), (512, 1024)], {
    lambda m, n: 9 * m * n: "that is one standard convolution: depthwise has 9 m weights",
    lambda m, n: 9 * m + m * n: "the two batch normalisations have trained parameters as well",
    lambda m, n: 9 * m + m * n + 4 * (m + n): "two of the four of a normalisation are not trained",
    lambda m, n: 9 * m + m * n + 3 * (m + n): "no bias here: the batch normalisation has one",
    lambda m, n: 9 * m + m * n + 4 * n: "the first normalisation acts on m channels, not on n",
})
def block_parameters(m, n):
    return 9 * m + m * n + 2 * (m + n)

# Chapter 5: training
@_exercise([([.9, .5, .6, .7, .4, .5, .45, .41, .42, .2], 3), ([.5, .4, .3], 3), ([.5, .4, .4, .6, .3], 2)], {
    lambda *a: tuple(epoch - 1 for epoch in early_stop(*a)): "count the epochs from 1",
    lambda losses, patience: (int(np.argmin(losses)) + 1, len(losses)): "the 0.2 of epoch 10 is never seen: training has stopped before",
    lambda losses, patience: early_stop(losses, patience + 1): "that waits one epoch too long",
    lambda losses, patience: early_stop(losses, patience - 1): "that waits one epoch too little",
    lambda *a: early_stop(*a, better=np.less_equal): "an equal loss is no smaller loss: go on waiting",
})
def early_stop(losses, patience, better=np.less):
    best = 0
    for epoch, loss in enumerate(losses):
        best = epoch if better(loss, losses[best]) else best
        if epoch - best >= patience:
            return best + 1, epoch + 1
    return best + 1, len(losses)

@_exercise([*((one["ALL"]["train"], one["HEM"]["train"], 16) for one in paper.TABLE_1.values()), (40, 12, 32)], {
    lambda n_all, n_hem, size: -(-(n_all + n_hem) // size): "balancing shows every HEM twice",
    lambda n_all, n_hem, size: (n_all + 2 * n_hem) // size: "the rest is a step too: round up",
    lambda n_all, n_hem, size: (n_all + 2 * n_hem) // size + 1: "40 + 2 * 12 are two batches of 32: there is no rest",
    lambda n_all, n_hem, size: (n_all + 2 * n_hem) / size: "steps are whole; the rest is one too",
})
def steps(n_all, n_hem, size):
    return -(-(n_all + 2 * n_hem) // size)

# Chapter 6: evaluation
_COUNTS = [(469, 12, 15, 211), (40, 10, 30, 20), (5, 0, 5, 90)]

def _f1(right, missed, false):
    return 2 * right / (2 * right + missed + false)

@_exercise(_COUNTS, {
    lambda tp, fn, fp, tn: _f1(tp, fn, fp): "that is Equation 7, the F1 of ALL: average with HEM's",
    lambda tp, fn, fp, tn: _f1(tn, fp, fn): "that is the F1 of HEM alone: average with that of ALL",
    lambda *n: macro_f1(*n, (n[0] + n[1], n[2] + n[3])): "that is the weighted F1: macro has no weights",
    lambda tp, fn, fp, tn: stats.hmean([(tp / (tp + fp) + tn / (tn + fn)) / 2,
                                        (tp / (tp + fn) + tn / (tn + fp)) / 2]):
        "take F1 of each class first and average then, not the other way round",
})
def macro_f1(tp, fn, fp, tn, weights=None):
    return np.average([_f1(tp, fn, fp), _f1(tn, fp, fn)], weights=weights)

@_exercise([(np.array([*"1122344"]), np.array(drawn)) for drawn in ([*"1234"], [*"4412"])], {
    lambda who, drawn: np.flatnonzero(np.isin(who, drawn)): "a person drawn twice brings each cell twice",
    lambda *a: np.sort(cells_of(*a)): "the rows are right: give them person by person, as drawn",
    lambda who, drawn: np.isin(who, drawn): "give the row numbers: np.flatnonzero",
    lambda who, drawn: np.array([np.argmax(who == one) for one in drawn]): "a person comes with all cells",
})
def cells_of(people, drawn):
    return np.concatenate([np.flatnonzero(people == name) for name in drawn])

# Chapter 7: noise
@_exercise([((tp + tn) / (n_all + n_hem), (tp / n_all + tn / n_hem) / 2, n_all, n_hem)
            for tp, n_all, tn, n_hem in ((469, 481, 211, 226), (480, 485, 150, 233))], {
    lambda accuracy, balanced, *n: 2 * balanced - specificity_from(accuracy, balanced, *n):
        "that is the sensitivity; specificity is the recall of HEM",
    lambda accuracy, balanced, *n: 2 * balanced - accuracy: "accuracy mixes both recalls, n_all to n_hem",
    lambda accuracy, balanced, *n: accuracy: "solve the two equations for the specificity",
    lambda accuracy, balanced, *n: balanced: "solve the two equations for the specificity",
})
def specificity_from(accuracy, balanced, n_all, n_hem):
    return (2 * balanced * n_all - accuracy * (n_all + n_hem)) / (n_all - n_hem)

_CELL = np.zeros((4, 5, 3), np.uint8)
_CELL[1:3, 1:4] = (60, 0, 3)
_CELL[1, 1] = (250, 200, 2)

@_exercise([(_CELL, np.tile([10.4, 6.6, -9.0], (4, 5, 1)))], {
    lambda image, noise: noise_in_cell(image, noise, True): "the background is to stay black: no noise there",
    lambda image, noise: image: "there is no noise in the cell",
    lambda image, noise: noise_in_cell(image, noise, clip=False): "250 + 10 became 4: clip before uint8",
    lambda image, noise: noise_in_cell(image, noise, image > 0): "a pixel of the cell may be 0 in one channel",
    lambda *a: noise_in_cell(*a, finish=np.floor): "round, do not cut off: 200 + 6.6 is 207",
    lambda image, noise: noise_in_cell(image, noise) / 1.0: "a picture is uint8",
})
def noise_in_cell(image, noise, cell=None, clip=True, finish=np.rint):
    cell = image.any(axis=-1, keepdims=True) if cell is None else cell
    noisy = finish(image + noise * cell)
    return (np.clip(noisy, 0, 255) if clip else noisy % 256).astype(np.uint8)

# Chapter 8: two networks compared
def _flips(gains):
    return np.array([np.dot(signs, gains) for signs in product((1, -1), repeat=len(gains))])

@_exercise([(np.array(gains),) for gains in ([7, 3, 2, 2, -1, 1], [3, 2, -1], [-4, 1, 1, 2], [0, 0, 3], [-5, -3, 1])], {
    lambda gains: np.mean(abs(_flips(gains)) > abs(sum(gains))): "what was found is one of the flips: count ties",
    lambda gains: np.mean(_flips(gains) >= sum(gains)): "the other way would surprise as much: compare abs()",
})
def sign_flips(gains):
    return np.mean(abs(_flips(gains)) >= abs(sum(gains)))

# Chapter 9: ablation
@_exercise([(tp / (tp + n_hem - tn), tn / (tn + n_all - tp), n_all, n_hem)
            for tp, n_all, tn, n_hem in ((181, 481, 220, 226), (30, 60, 90, 100))], {
    lambda *a: recalls(*a)[::-1]: "the other way round: first the recall of ALL",
    lambda *a: (recalls(*a)[0] * a[2], recalls(*a)[1] * a[3]): "divide by the sizes of the classes",
    lambda *a: (recalls(*a)[0] / a[0], recalls(*a)[1] / a[1]): "of those called ALL only a share is ALL",
})
def recalls(precision_all, precision_hem, n_all, n_hem):
    n = n_all + n_hem
    called_all = (n_all - (1 - precision_hem) * n) / (precision_all + precision_hem - 1)
    return precision_all * called_all / n_all, precision_hem * (n - called_all) / n_hem

@_exercise([(0.80, 0.86, 0.90, 0.92), (0.9, 0.8, 0.85, 0.7)], {
    lambda *a: (2 * effects(*a)[0], 2 * effects(*a)[1], effects(*a)[2]): "a main effect is a mean of two",
    lambda n, b, a, c: (b - n, a - n, effects(n, b, a, c)[2]): "each factor has two differences: average",
    lambda n, b, a, c: effects(n, a, b, c): "the other way round: first balance, then augmentation",
    lambda *a: (*effects(*a)[:2], -effects(*a)[2]): "interaction: with the other factor minus without",
    lambda *a: (*effects(*a)[:2], effects(*a)[2] / 2): "the interaction is the whole difference here",
})
def effects(neither, balanced, augmented, both):
    alone, together = balanced - neither, both - augmented
    return (alone + together) / 2, (augmented - neither + both - balanced) / 2, together - alone

# Chapter 10: unseen people
@_exercise([(pd.Series(train), pd.Series(test)) for train, test in (
    (["11", "H2"], ["15", "H8"]), (["11", "H2"], ["H11", "2"]), (["11", "14"], ["15", "14"]),
    (["20", "H8"], ["21", "H9"]), (["H10", "2"], ["H3", "4"]), (["20", "21"], ["14", "H8"]))], {
    lambda *a: leaks(*a, lambda names: names.str.strip("H")): "11 and H11 are two people",
    lambda *a: leaks(*a, list): "20 and 21 are one person: merge the names first",
    lambda *a: True: "nobody of 11, H2 is among 15, H8",
    lambda *a: False: "a person on both sides is a leak, also under two names; and `in` asks a Series for its index",
})
def leaks(train, test, name=people.person):
    return bool(set(name(train)) & set(name(test)))

@_exercise([(np.repeat([*"1234"], [3, 2, 1, 4]), share, [*order]) for share, order in ((.2, "3214"), (.5, "4123"), (.4, "4123"))], {
    lambda names, share, order: np.arange(len(names)) < share * len(names): "draw people, not images",
    lambda names, share, order: np.isin(names, order[:int(share * 4)]): "the share is one of images",
    lambda names, share, order: test_people(names, share - .1, order): "go on until the share is reached",
    lambda names, share, order: names == names: "stop once the share is reached",
    lambda names, share, order: test_people(names, share + 1e-9, order): "at least: a share that is just reached is enough",
})
def test_people(names, share, order):
    test = np.zeros(len(names), bool)
    for name in order:
        test |= (names == name) & (test.mean() < share)
    return test

# Chapter 11: what helps
@_exercise([(np.array([*"aaab"]),), (np.array([*"abbcccc"]),)], {
    lambda names: np.ones(len(names)): "these weigh cells alike: a person of three cells weighs three",
    lambda names: person_weights(names, scaled=False): "now divide by their mean, so that the mean is 1",
    lambda names: person_weights(names, -1): "who has many cells needs a small weight for each",
    lambda names: person_weights(names, 0.5): "that is half of the way: one over the number of cells",
})
def person_weights(names, power=1.0, scaled=True):
    _, index, counts = np.unique(names, return_inverse=True, return_counts=True)
    weights = counts[index] ** -power
    return weights / weights.mean() if scaled else weights

@_exercise([(0.05,), (0.2,), (0.1,), (0.3,), (0.01,)], {
    lambda miss: round(1 / miss): "the person who is asked about counts too: 1 / (k + 1)",
    lambda miss: 1 / miss - 1: "people are whole: round upwards",
    lambda miss: int(1 / miss) + 1: "fewer will do: where does 1 / (k + 1) reach the chance?",
})
def people_needed(miss):
    return int(np.ceil(1 / miss - 1e-9)) - 1

# Chapter 12: trust
@_exercise([(np.array([1, 0, 1, 1, 0, 0, 1, 0]), np.array([.62, .68, .68, .97, .05, .15, .95, 1.]), n) for n in (10, 3)], {
    lambda y, p, bins: abs(p - y).mean(): "average inside each bin first: one image has no frequency",
    lambda y, p, bins: abs((p - y).mean()): "take the distance in each bin: over all they cancel out",
    lambda y, p, bins: calibration_error(y, p, bins) * len(y): "divide by the number of images",
    lambda *a: np.nan: "a bin without cells has no mean: leave it out",
    lambda y, p, bins: calibration_error(y, p, bins, last=False): "1.0 belongs into the last bin, yours has lost it",
})
def calibration_error(labels, p_all, bins, last=True):
    bin_of = np.minimum((p_all * bins).astype(int), bins - 1 if last else bins)
    return abs(np.bincount(bin_of, p_all - labels, bins + 1)[:bins]).sum() / len(labels)

def _above(labels, p_all, specificity, of=0):
    chosen = np.sort(p_all[labels == of])
    return p_all > chosen[int(np.ceil(specificity * len(chosen) - 1e-9)) - 1]

@_exercise([(np.repeat([0, 1], 5), np.array([.1, .2, .5, .6, .3, .48, .4, .7, .9, .8]), share)
            for share in (0.6, 0.8, 0.7)], {
    lambda y, p, share: np.sort(p[y == 0])[int(share * 5) - 1]: "that is the threshold: now count above it",
    lambda y, p, share: _above(y, p, share).mean(): "count among the ALL images only",
    lambda y, p, share: 1 - sensitivity_at(y, p, share): "these are missed: sensitivity is the rest",
    lambda y, p, share: _above(y, p, share, of=1)[y == 1].mean(): "the threshold comes from HEM images",
    lambda y, p, share: (p >= np.quantile(p[y == 0], share))[y == 1].mean(): "np.quantile falls short: 3 HEM images of 5 are less than 0.7",
    lambda y, p, share: sensitivity_at(y, p, share + .2): "a lower threshold will do: one between two HEM images",
})
def sensitivity_at(labels, p_all, specificity):
    return _above(labels, p_all, specificity)[labels == 1].mean()

# Chapter 13: deployment
@_exercise([(np.array([-1.0, -0.26, 0.0, 0.26, 0.74, 1.0]), 0.5, 0),
            (np.array([-200.0, -127.0, 0.0, 99.0, 150.0]), 1.0, -28)], {
    lambda v, s, z: np.rint(v / s) + z: "these are whole numbers: now go back, scale * (q - zero)",
    lambda v, s, z: v * 1.0: "nothing was lost: round to whole numbers, and clip to -128 ... 127",
    lambda *a: round_trip(*a, rounded=np.trunc): "round to the nearest (np.rint), do not cut off",
    lambda *a: round_trip(*a, low=-1e9, high=1e9): "eight bits hold -128 to 127 only: clip q",
    lambda v, s, z: s * ((round_trip(v, s, z) / s + z).astype(np.int8) - np.int8(z)): "q - zero does not fit in int8: make q a float first",
    lambda v, s, z: round_trip(v, s, 0): "mind the zero: it is q = value / scale + zero that is clipped",
})
def round_trip(values, scale, zero, rounded=np.rint, low=-128, high=127):
    return scale * (np.clip(rounded(values / scale) + zero, low, high) - zero)

# Chapter 14: scaling
@_exercise([(1.6, 2), (2.74, 8)], {
    lambda gain, n: 1 - gain / n: "that is the share of the workers' time that is lost: solve the equation for s",
    lambda gain, n: 1 / gain - 1 / n: "nearly: divide by 1 - 1/n, for one worker does all of the work",
    lambda gain, n: 1 - serial_share(gain, n): "that is the share that can be shared out",
})
def serial_share(gain, n):
    return (1 / gain - 1 / n) / (1 - 1 / n)

# Scorecard
@_exercise([(.96, .9554, .94, .97, 2), (.96, .9449, .93, .97, 2), (.96, .9449, .93, .955, 2),
            (.948, .9489, .93, .97, 3), (96, 95.6, 94.1, 97., 0), (680, 700., 690., 705., 0)], {
    lambda printed, *a: verdict(printed, *a).capitalize(): "one of: reproduced, within interval, differs",
    lambda printed, ours, low, high, n: "within interval" if low <= printed <= high else "differs":
        "ours rounds to what is printed: reproduced",
})
def verdict(printed, ours, low, high, digits):
    if abs(ours - printed) <= 0.5 * 10**-digits + 1e-9:
        return "reproduced"
    return "within interval" if low <= printed <= high else "differs"
