"""The checks of the exercises: right answers pass, typical wrong ones get their hint."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from allm_utils.book import exercises
from allm_utils.data import cnmc


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
        exercises.check_add_noise,
        exercises.check_rotation,
        exercises.check_clipped_mean,
        exercises.check_depthwise,
        exercises.check_block_parameters,
        exercises.check_softmax,
        exercises.check_learning_rates,
        exercises.check_early_stop,
        exercises.check_reach,
        exercises.check_mcnemar,
        exercises.check_sign_flips,
        exercises.check_steps,
        exercises.check_macro_f1,
        exercises.check_threshold_for,
        exercises.check_draw_subjects,
        exercises.check_specificity_from,
        exercises.check_noise_in_cell,
        exercises.check_disagreements,
        exercises.check_recalls,
        exercises.check_effects,
        exercises.check_running_mean,
        exercises.check_verdict,
    ],
)
def test_no_answer_yet_gets_a_hint(check, answer):
    hint(check, answer)


def test_guess():
    check = exercises.check_guess
    assert check("precision", "precision") and check(0.52, 0.5, within=0.05)
    assert "first" in hint(check, ..., "precision")
    assert "'precision'" in hint(check, "recall", "precision")
    assert "0.5;" in hint(check, 0.6, 0.5, 0.05) and "a number" in hint(check, "half", 0.5, 0.05)


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


# -- chapter 3 --------------------------------------------------------------------------------


def noised(image, sigma, rng, shape=slice(None), finish=np.rint, clip=True):
    noisy = finish(image + rng.normal(0, sigma, image[..., shape].shape))
    return (np.clip(noisy, 0, 255) if clip else noisy).astype(np.int64).astype(np.uint8)


def test_add_noise():
    check = exercises.check_add_noise

    def wrong(**settings):
        return hint(check, lambda *arguments: noised(*arguments, **settings))

    assert check(noised)
    assert "three channels" in wrong(shape=slice(1))
    assert "wrap" in wrong(clip=False)
    assert "round" in wrong(finish=np.floor)
    assert "unchanged" in hint(check, lambda image, sigma, rng: image)
    assert "standard deviation" in hint(check, lambda i, sigma, rng: noised(i, sigma**2, rng))
    assert "uint8" in hint(check, lambda *arguments: noised(*arguments).astype(float))
    assert "same shape" in hint(check, lambda *arguments: noised(*arguments)[0])


def turned(degrees, centre, way=1, unit=np.deg2rad, move=True):
    angle = way * unit(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn, centre - turn @ centre if move else centre])


def test_rotation():
    check = exercises.check_rotation
    assert check(turned)
    assert "other way" in hint(check, lambda d, c: turned(d, c, way=-1))
    assert "radians" in hint(check, lambda d, c: turned(d, c, unit=float))
    assert "centre moves" in hint(check, lambda d, c: turned(d, c, move=False))
    assert "(2, 3)" in hint(check, lambda d, c: turned(d, c)[:, :2])


def test_clipped_mean():
    check = exercises.check_clipped_mean

    def solution(level, sigma):
        return stats.norm(level, sigma).expect(lambda x: max(0, x), points=[0], lb=-200, ub=200)

    assert check(solution)
    assert "positive half of the noise" in hint(check, lambda level, sigma: level)
    assert "alone" in hint(check, lambda level, sigma: sigma * (2 / np.pi) ** 0.5)
    assert "3.590" in hint(check, lambda level, sigma: sigma / 2)
    assert "level 9" in hint(check, lambda level, sigma: level + sigma / (2 * np.pi) ** 0.5)
    assert "one number" in hint(check, lambda level, sigma: [level])


# -- chapter 4 --------------------------------------------------------------------------------


def filtered(image, kernel, stride=1):
    rows, columns = ((side - 2 - 1) // stride + 1 for side in image.shape[:2])
    result = np.empty((rows, columns, image.shape[2]))
    for y, x in np.ndindex(rows, columns):
        window = image[y * stride : y * stride + 3, x * stride : x * stride + 3]
        result[y, x] = (window * kernel).sum(axis=(0, 1))
    return result


def test_depthwise():
    check = exercises.check_depthwise
    assert check(filtered)
    assert "pointwise" in hint(check, lambda *a: filtered(*a).sum(axis=2))
    assert "stride 2" in hint(check, lambda image, kernel, stride: filtered(image, kernel))
    assert "turned" in hint(check, lambda i, k, s: filtered(i, k[::-1, ::-1], s))
    assert "multiply" in hint(check, lambda i, k, s: filtered(i, np.ones_like(k), s))
    assert "values" in hint(check, lambda *a: filtered(*a) + 1)
    assert "padded" in hint(
        check, lambda i, k, s: filtered(np.pad(i, ((1, 1), (1, 1), (0, 0))), k, s)
    )


def test_block_parameters():
    check = exercises.check_block_parameters
    assert check(lambda m, n: 9 * m + m * n + 2 * m + 2 * n)
    assert "standard" in hint(check, lambda m, n: 9 * m * n)
    assert "as well" in hint(check, lambda m, n: 9 * m + m * n)
    assert "not trained" in hint(check, lambda m, n: 9 * m + m * n + 4 * m + 4 * n)
    assert "bias" in hint(check, lambda m, n: 9 * m + m * n + 3 * m + 3 * n)
    assert "m channels" in hint(check, lambda m, n: 9 * m + m * n + 4 * n)
    assert "2528" in hint(check, lambda m, n: m)


def test_softmax():
    check = exercises.check_softmax
    assert check(lambda z: np.exp(z - z.max()) / np.exp(z - z.max()).sum())
    assert "1000" in hint(check, lambda z: np.exp(z) / np.exp(z).sum())
    assert "add up" in hint(check, np.exp)
    assert "not exp" in hint(check, lambda z: (z + 1) / (z + 1).sum())
    assert "as many" in hint(check, lambda z: 1.0)


# -- chapter 6 --------------------------------------------------------------------------------


def macro(tp, fn, fp, tn):
    return (2 * tp / (2 * tp + fn + fp) + 2 * tn / (2 * tn + fn + fp)) / 2


def weighted(tp, fn, fp, tn):
    one, other = 2 * tp / (2 * tp + fn + fp), 2 * tn / (2 * tn + fn + fp)
    return ((tp + fn) * one + (fp + tn) * other) / (tp + fn + fp + tn)


def of_means(tp, fn, fp, tn):
    precision = (tp / (tp + fp) + tn / (tn + fn)) / 2
    recall = (tp / (tp + fn) + tn / (tn + fp)) / 2
    return 2 * precision * recall / (precision + recall)


def test_macro_f1():
    check = exercises.check_macro_f1
    assert check(macro)
    assert "Equation 7" in hint(check, lambda tp, fn, fp, tn: 2 * tp / (2 * tp + fn + fp))
    assert "HEM alone" in hint(check, lambda tp, fn, fp, tn: 2 * tn / (2 * tn + fn + fp))
    assert "weighted" in hint(check, weighted)
    assert "average then" in hint(check, of_means)
    assert "0.9559" in hint(check, lambda tp, fn, fp, tn: 1.0)


def test_threshold_for():
    def right(labels, p_all, sensitivity):
        of_all = np.sort(p_all[labels == 1])[::-1]
        return of_all[int(np.ceil(sensitivity * len(of_all) - 1e-9)) - 1]

    check = exercises.check_threshold_for
    assert check(right)
    assert "higher" in hint(check, lambda labels, p_all, sensitivity: p_all.min())
    assert "only" in hint(check, lambda labels, p_all, sensitivity: 0.5)
    assert "only" in hint(check, lambda labels, p, s: right(labels, p, s) + 1e-6)
    assert "higher" in hint(
        check, lambda labels, p_all, s: np.quantile(p_all[labels == 0], 1 - s) * 0
    )


def test_draw_subjects():
    def draw(subjects, rng, replace=True, count=4, once=False):
        names = rng.choice(np.unique(subjects), count, replace)
        rows = [np.flatnonzero(subjects == name)[: 1 if once else None] for name in names]
        return np.concatenate(rows)

    check = exercises.check_draw_subjects
    assert check(draw)
    assert "with replacement" in hint(check, lambda s, rng: draw(s, rng, replace=False))
    assert "as many subjects" in hint(check, lambda s, rng: draw(s, rng, count=3))
    assert "all of its images" in hint(check, lambda s, rng: draw(s, rng, once=True))
    assert "all of its images" in hint(check, lambda s, rng: rng.integers(0, 10, 10))
    assert "row numbers" in hint(check, lambda s, rng: rng.choice(np.unique(s), 4))
    assert "every draw" in hint(check, lambda s, rng: draw(s, np.random.default_rng(0)))


# -- chapter 7 --------------------------------------------------------------------------------


def test_specificity_from():
    def right(accuracy, balanced, n_all, n_hem):
        return (2 * balanced * n_all - accuracy * (n_all + n_hem)) / (n_all - n_hem)

    check = exercises.check_specificity_from
    assert check(right)
    assert "sensitivity" in hint(check, lambda a, b, n, m: 2 * b - right(a, b, n, m))
    assert "mixes both" in hint(check, lambda a, b, n, m: 2 * b - a)
    assert "two equations" in hint(check, lambda a, b, n, m: b)
    assert "0.93" in hint(check, lambda a, b, n, m: 0.5)


def test_noise_in_cell():
    def right(image, noise, keep=True, clip=True):
        cell = image.any(axis=-1, keepdims=True) if keep else 1
        noisy = np.rint(image + noise * cell)
        return (np.clip(noisy, 0, 255) if clip else noisy % 256).astype(np.uint8)

    check = exercises.check_noise_in_cell
    assert check(right)
    assert "background" in hint(check, lambda image, noise: right(image, noise, keep=False))
    assert "clip" in hint(check, lambda image, noise: right(image, noise, clip=False))
    assert "uint8" in hint(check, lambda image, noise: right(image, noise).astype(float))
    assert "no noise" in hint(check, lambda image, noise: image)
    assert "in one channel" in hint(check, lambda image, noise: right(image, noise * (image > 0)))
    assert "add the noise" in hint(check, lambda image, noise: right(image, 2 * noise))
    assert "shape" in hint(check, lambda image, noise: right(image, noise)[..., 0])


def test_disagreements():
    check = exercises.check_disagreements
    assert check(lambda a, b: ((a & ~b).sum(), (~a & b).sum()))
    assert "other way" in hint(check, lambda a, b: ((~a & b).sum(), (a & ~b).sum()))
    assert "two numbers" in hint(check, lambda a, b: (a != b).sum())
    assert "count" in hint(check, lambda a, b: (a & ~b, ~a & b))
    assert "3 images" in hint(check, lambda a, b: (a.sum(), b.sum()))


# -- chapter 11 -------------------------------------------------------------------------------


def test_calibration_error():
    def right(labels, p_all, bins, last=True, mean=False):
        bin_of = np.minimum((p_all * bins).astype(int), bins - 1 if last else bins)
        gaps = np.abs(np.bincount(bin_of, p_all - labels, bins + 1)[:bins])
        if mean:
            n = np.bincount(bin_of, minlength=bins + 1)[:bins]
            return (gaps[n > 0] / n[n > 0]).mean()
        return gaps.sum() / len(labels)

    check = exercises.check_calibration_error
    assert check(right)
    assert "weigh" in hint(check, lambda y, p, b: right(y, p, b, mean=True))
    assert "inside each bin" in hint(check, lambda y, p, b: np.abs(p - y).mean())
    assert "cancel" in hint(check, lambda y, p, b: abs((p - y).mean()))
    assert "divide" in hint(check, lambda y, p, b: 8 * right(y, p, b))
    assert "last bin" in hint(check, lambda y, p, b: right(y, p, b, last=False))
    assert "eight images" in hint(check, lambda y, p, b: 0.0)


def test_with_temperature():
    def right(p, t):
        return 1 / (1 + np.exp(-np.log(p / (1 - p)) / t))

    check = exercises.check_with_temperature
    assert check(right)
    assert "as many" in hint(check, lambda p, t: 0.5)
    assert "not the probability" in hint(check, lambda p, t: p / t)
    assert "new logit" in hint(check, lambda p, t: np.log(p / (1 - p)) / t)
    assert "less sure" in hint(check, lambda p, t: right(p, 1 / t))
    assert "stays 0.5" in hint(check, lambda p, t: p**t)
    assert "becomes" in hint(check, lambda p, t: right(p, t + 1))


def test_sensitivity_at():
    def right(labels, p_all, specificity, of=0, among=1):
        chosen = np.sort(p_all[labels == of])
        threshold = chosen[int(np.ceil(specificity * len(chosen) - 1e-9)) - 1]
        counted = p_all if among is None else p_all[labels == among]
        return (counted > threshold).mean()

    check = exercises.check_sensitivity_at
    assert check(right)
    assert "threshold: now" in hint(check, lambda y, p, s: np.sort(p[y == 0])[int(40 * s) - 1])
    assert "ALL images only" in hint(check, lambda y, p, s: right(y, p, s, among=None))
    assert "missed" in hint(check, lambda y, p, s: 1 - right(y, p, s))
    assert "0.5 is not" in hint(check, lambda y, p, s: (p[y == 1] >= 0.5).mean())
    assert "from the HEM" in hint(check, lambda y, p, s: right(y, p, s, of=1))
    assert "of 40" in hint(check, lambda y, p, s: 0.0)


# -- scorecard --------------------------------------------------------------------------------


def test_verdict():
    def right(printed, ours, low, high, digits):
        if abs(ours - printed) <= 0.5 * 10**-digits + 1e-9:
            return "reproduced"
        return "within interval" if low <= printed <= high else "differs"

    check = exercises.check_verdict
    assert check(right)
    assert "as text" in hint(check, lambda *numbers: True)
    assert "none of" in hint(check, lambda *numbers: "Reproduced")
    assert "within interval" in hint(check, lambda p, o, low, high, d: right(p, o, 2, 1, d))
    assert "reproduced, not" in hint(check, lambda p, o, low, high, d: right(p, o, low, high, 9))
    assert "differs" in hint(check, lambda p, o, low, high, d: right(p, o, 0, 1e9, d))


# -- chapter 9 --------------------------------------------------------------------------------


def test_recalls():
    def called(precision_all, precision_hem, n_all, n_hem):
        n = n_all + n_hem
        return (n_all - (1 - precision_hem) * n) / (precision_all + precision_hem - 1), n

    def right(p, q, n_all, n_hem):
        as_all, n = called(p, q, n_all, n_hem)
        return p * as_all / n_all, q * (n - as_all) / n_hem

    check = exercises.check_recalls
    assert check(right)
    assert "other way" in hint(check, lambda *a: right(*a)[::-1])
    assert "only the share" in hint(check, lambda *a: (called(*a)[0] / a[2], 0.5))
    assert "divide" in hint(check, lambda *a: (right(*a)[0] * a[2], right(*a)[1] * a[3]))
    assert "two numbers" in hint(check, lambda *a: right(*a)[0])
    assert "0.376" in hint(check, lambda p, q, n, m: (p, q))


def test_effects():
    def right(n, b, a, c, mean=0.5, sign=1):
        return mean * (b - n + c - a), mean * (a - n + c - b), sign * ((c - a) - (b - n))

    check = exercises.check_effects
    assert check(right)
    assert "not their sum" in hint(check, lambda *c: right(*c, mean=1))
    assert "average" in hint(check, lambda n, b, a, c: (b - n, a - n, 0))
    assert "other way" in hint(check, lambda n, b, a, c: right(n, a, b, c))
    assert "minus that without" in hint(check, lambda *c: right(*c, sign=-1))
    assert "whole difference" in hint(check, lambda *c: right(*c, sign=0.5))
    assert "three numbers" in hint(check, lambda *c: right(*c)[:2])
    assert "balance +0.040" in hint(check, lambda *c: (0, 0, 0))


def test_running_mean():
    def right(means, momentum, start=0.0):
        for mean in means:
            start = momentum * start + (1 - momentum) * mean
        return start

    check = exercises.check_running_mean
    assert check(right)
    assert "plain mean" in hint(check, lambda means, momentum: np.mean(means))
    assert "stays" in hint(check, lambda means, momentum: right(means, 1 - momentum))
    assert "start at 0" in hint(check, lambda means, momentum: right(means, momentum, means[0] / 2))


def test_reach():
    def right(layers, overlap=1):
        seen, apart = 1, 1
        for window, stride in layers:
            seen, apart = seen + (window - overlap) * apart, apart * stride
        return seen

    check = exercises.check_reach
    assert check(right)
    assert "overlap" in hint(check, lambda layers: sum(w for w, _ in layers) or 1)
    assert "two pixels" in hint(check, lambda layers: 1 + sum(w - 1 for w, _ in layers))
    assert "sees 3 pixels" in hint(check, lambda layers: 4)
    assert "one number" in hint(check, lambda layers: [3])


def test_mcnemar():
    def right(a, b):
        return stats.binomtest(a, a + b).pvalue

    check = exercises.check_mcnemar
    assert check(right)
    assert "both sides" in hint(check, lambda a, b: right(a, b) / 2)
    assert "more extreme" in hint(check, lambda a, b: stats.binom.pmf(min(a, b), a + b, 0.5))
    assert "cut it" in hint(check, lambda a, b: 2 * stats.binom.cdf(min(a, b), a + b, 0.5))
    assert "19 against 11" in hint(check, lambda a, b: 0.5)


def test_sign_flips():
    def sums(gains):
        return np.array([np.dot(s, gains) for s in product((1, -1), repeat=len(gains))])

    check = exercises.check_sign_flips
    assert check(lambda g: np.mean(np.abs(sums(g)) >= abs(sum(g))))
    assert "ties" in hint(check, lambda g: np.mean(np.abs(sums(g)) > abs(sum(g))))
    assert "abs()" in hint(check, lambda g: np.mean(sums(g) >= sum(g)))
    assert "p is" in hint(check, lambda g: 0.0321)


def test_round_trip():
    def right(values, scale, zero, rounded=np.rint, low=-128, high=127):
        return scale * (np.clip(rounded(values / scale) + zero, low, high) - zero)

    check = exercises.check_round_trip
    assert check(right)
    assert "now go back" in hint(check, lambda v, s, z: np.rint(v / s) + z)
    assert "nothing was lost" in hint(check, lambda v, s, z: v)
    assert "do not cut off" in hint(check, lambda *a: right(*a, rounded=np.trunc))
    assert "clip q" in hint(check, lambda *a: right(*a, low=-1e9, high=1e9))
    assert "mind the zero" in hint(check, lambda v, s, z: right(v, s, 0))
    assert "as many" in hint(check, lambda v, s, z: v[:2])
    assert "becomes -0.5" in hint(check, lambda v, s, z: v + 1)
    assert "becomes -100" in hint(check, lambda v, s, z: right(v, s, -z))


def test_typical():
    check = exercises.check_typical
    assert check(lambda times, warm_up: np.median(times[warm_up:]))
    assert "drop the first 2" in hint(check, lambda times, warm_up: np.median(times))
    assert "a mean" in hint(check, lambda times, warm_up: np.mean(times[warm_up:]))
    assert "best case" in hint(check, lambda times, warm_up: np.min(times[warm_up:]))
    assert "6, not 0" in hint(check, lambda times, warm_up: 0)


def test_megabytes():
    check = exercises.check_megabytes
    assert check(lambda n, bits: n * bits / 8e6)
    assert "eight bits" in hint(check, lambda n, bits: n * bits / 1e6)
    assert "a million" in hint(check, lambda n, bits: n * bits / 8)
    assert "MiB" in hint(check, lambda n, bits: n * bits / 8 / 2**20)
    assert "12.94 MB" in hint(check, lambda n, bits: 3)


def test_leaks():
    check = exercises.check_leaks
    merged = cnmc.merged_subject
    assert check(lambda a, b: bool(set(merged(a)) & set(merged(b))))
    assert check(lambda a, b: merged(b).isin(merged(a)).any())
    assert "merged_subject" in hint(check, lambda a, b: bool(set(a) & set(b)))
    assert "keep the H" in hint(
        check, lambda a, b: bool(set(a.str.strip("H")) & set(b.str.strip("H")))
    )
    assert "True or False" in hint(check, lambda a, b: len(set(a) & set(b)))
    assert "nobody" in hint(check, lambda a, b: True)
    assert "subject 14" in hint(check, lambda a, b: False)


def test_test_people():
    def right(subjects, share, rng, shuffle=True, stop=True):
        test = np.zeros(len(subjects), bool)
        names = np.unique(subjects)
        for name in rng.permutation(names) if shuffle else names:
            if stop and test.mean() >= share:
                break
            test |= subjects == name
        return test

    check = exercises.check_test_people
    assert check(right)
    assert "draw people" in hint(check, lambda s, share, rng: rng.random(len(s)) < share)
    assert "the same" in hint(check, lambda *a: right(*a, shuffle=False))
    assert "stop once" in hint(check, lambda *a: right(*a, stop=False))
    assert "go on up to" in hint(check, lambda s, share, rng: s == rng.choice(["2", "7"]))
    assert "one True or False" in hint(check, lambda s, share, rng: np.unique(s))


def test_weighted_f1():
    def f1s(tp, fn, fp, tn):
        return 2 * tp / (2 * tp + fn + fp), 2 * tn / (2 * tn + fn + fp)

    def right(tp, fn, fp, tn):
        return np.average(f1s(tp, fn, fp, tn), weights=(tp + fn, fp + tn))

    check = exercises.check_weighted_f1
    assert check(right)
    assert "macro" in hint(check, lambda *c: np.mean(f1s(*c)))
    assert "ALL alone" in hint(check, lambda *c: f1s(*c)[0])
    swapped = hint(check, lambda a, b, c, d: np.average(f1s(a, b, c, d), weights=(c + d, a + b)))
    assert "swapped" in swapped
    assert "give 0.8262" in hint(check, lambda *c: 0.5)
