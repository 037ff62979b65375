"""The checks of the exercises: each answers a reader's attempt with a tick or a hint."""

from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import binom

from allm_utils.book import paper


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


def check_guess(guess, found, within=0):
    """Compare a guess that was written down first with what the run then found.

    Parameters
    ----------
    guess, found : str or float
    within : float
        How far a number may be off.
    """
    if guess is ...:
        raise Hint("write down your guess first: replace the three dots")
    if isinstance(found, str):
        if guess != found:
            raise Hint(f"you guessed {guess!r}, the run says {found!r}; what did you leave out?")
        return True
    if isinstance(guess, bool) or not isinstance(guess, int | float):
        raise Hint(f"guess a number, not {guess!r}")
    if not abs(guess - found) <= within:
        raise Hint(f"you guessed {guess:g}, the run says {found:.3g}; why is it so far off?")
    return True


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


def check_add_noise(add_noise):
    """Chapter 3: Gaussian noise, rounded and clipped."""
    grey = np.full((80, 80, 3), 128, np.uint8)
    noisy = _call(add_noise, grey, 9, np.random.default_rng(1))
    if not isinstance(noisy, np.ndarray) or noisy.shape != grey.shape:
        raise Hint("return an array of the same shape as the picture")
    if noisy.dtype != np.uint8:
        raise Hint(f"return uint8, not {noisy.dtype}: round, clip, then .astype(np.uint8)")
    noise = noisy.astype(int) - 128
    if not noise.any():
        raise Hint("the picture is unchanged: add rng.normal(0, sigma, image.shape)")
    if (noise[..., 0] == noise[..., 1]).all():
        raise Hint("all three channels got the same noise: draw image.shape numbers")
    if abs(noise.std() - 9) > 0.5:
        raise Hint(f"for sigma 9 the noise has standard deviation {noise.std():.1f}")
    ends = [np.full((80, 80, 3), value, np.uint8) for value in (0, 255)]
    black, white = (_call(add_noise, end, 9, np.random.default_rng(2)) for end in ends)
    if black.max() > 128 or white.min() < 128:
        raise Hint("values wrap round at 0 or 255: clip before you turn them into uint8")
    if abs(noise.mean()) > 0.3:
        raise Hint(f"on grey the mean moved by {noise.mean():.2f}: round, do not cut off")
    if abs(black.mean() - 9 / np.sqrt(2 * np.pi)) > 0.2:
        raise Hint(f"on black the mean is {black.mean():.2f} instead of 3.59: clip to 0")
    return True


def check_rotation(rotation):
    """Chapter 3: a turn about a centre as one matrix."""
    centre = np.array([111.5, 40.0])
    matrix = _call(rotation, 30, centre)
    if not isinstance(matrix, np.ndarray) or matrix.shape != (2, 3):
        raise Hint("return a NumPy array of shape (2, 3): np.column_stack([turn, shift])")
    quarter = np.asarray(_call(rotation, 90, np.zeros(2)))
    if np.allclose(quarter @ [1, 0, 1], [0, -1]):
        raise Hint("that turns the other way round: (1, 0) is to go to (0, 1)")
    if not np.allclose(quarter @ [1, 0, 1], [0, 1]):
        raise Hint("90 degrees about the origin is to take (1, 0) to (0, 1); radians?")
    if not np.allclose(matrix @ [*centre, 1], centre):
        raise Hint("the centre moves: the shift is centre - turn @ centre")
    half = np.sqrt(3) / 2
    if not np.allclose(matrix @ [113.5, 40, 1], [111.5 + 2 * half, 41]):
        raise Hint("the centre stays, but 30 degrees do not turn the rest as they should")
    return True


def check_clipped_mean(clipped_mean):
    """Chapter 3: the mean of noise of which the negative part is set to zero."""
    on_black = _number(clipped_mean, 0, 9)
    if np.isclose(on_black, 0):
        raise Hint("on black the mean is not 0: only the positive half of the noise is left")
    if np.isclose(on_black, 9 * np.sqrt(2 / np.pi), rtol=0.01):
        raise Hint("that is the mean of the positive half alone; the other half counts as 0")
    if not np.isclose(on_black, 9 / np.sqrt(2 * np.pi), rtol=1e-3):
        raise Hint(f"level 0, sigma 9: {on_black:.3f}; it is 9 / sqrt(2 pi) = 3.590")
    for level, expected in ((9, 9.750), (20, 20.041)):
        answer = _number(clipped_mean, level, 9)
        if not np.isclose(answer, expected, atol=2e-3):
            raise Hint(f"level {level}, sigma 9: {answer:.3f} instead of {expected:.3f}")
    return True


def check_macro_f1(macro_f1):
    """Chapter 6: the F1 that Tables 6-8 print."""
    for tp, fn, fp, tn in ((469, 12, 15, 211), (40, 10, 30, 20), (5, 0, 5, 90)):
        answer = _number(macro_f1, tp, fn, fp, tn)
        f1_all, f1_hem = 2 * tp / (2 * tp + fn + fp), 2 * tn / (2 * tn + fn + fp)
        n_all, n_hem = tp + fn, fp + tn
        precision = (tp / (tp + fp) + tn / (tn + fn)) / 2
        recall = (tp / n_all + tn / n_hem) / 2
        expected = (f1_all + f1_hem) / 2
        if np.isclose(answer, expected):
            continue
        if np.isclose(answer, f1_all):
            raise Hint("that is Equation 7, the F1 of ALL alone; average it with that of HEM")
        if np.isclose(answer, f1_hem):
            raise Hint("that is the F1 of HEM alone; average it with that of ALL")
        if np.isclose(answer, (n_all * f1_all + n_hem * f1_hem) / (n_all + n_hem)):
            raise Hint("that is the weighted F1; macro gives both classes the same weight")
        if np.isclose(answer, 2 * precision * recall / (precision + recall)):
            raise Hint("take F1 of each class first and average then, not the other way round")
        raise Hint(f"tp {tp}, fn {fn}, fp {fp}, tn {tn} give {expected:.4f}, not {answer:.4f}")
    return True


def check_threshold_for(threshold_for):
    """Chapter 6: the highest threshold that still finds enough of the leukemic cells."""
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])
    p_all = np.array([0.1, 0.35, 0.4, 0.9, 0.3, 0.45, 0.6, 0.7, 0.95])
    for sensitivity, expected in ((1.0, 0.3), (0.8, 0.45), (0.5, 0.6), (0.2, 0.95)):
        answer = _number(threshold_for, labels, p_all, sensitivity)
        found = np.mean(p_all[labels == 1] >= answer)
        if found < sensitivity:
            raise Hint(
                f"at {answer:g} only {found:.0%} of the ALL cells are found, asked were "
                f"{sensitivity:.0%}; remember that p >= threshold is called ALL"
            )
        if not np.isclose(answer, expected):
            raise Hint(f"{answer:g} finds {found:.0%}; {expected:g} is higher and finds enough too")
    return True


def check_draw_subjects(draw_subjects):
    """Chapter 6: one bootstrap draw of whole subjects."""
    subjects = np.array(["1", "1", "1", "2", "2", "3", "4", "4", "4", "4"])
    times = []
    for seed in range(40):
        rows = _call(draw_subjects, subjects, np.random.default_rng(seed))
        rows = np.asarray(rows)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise Hint("return the row numbers of the images: one array of whole numbers")
        if len(rows) and (rows.min() < 0 or rows.max() >= len(subjects)):
            raise Hint(f"row numbers run from 0 to {len(subjects) - 1}")
        count = np.bincount(rows, minlength=len(subjects))
        per_subject = [set(count[subjects == subject]) for subject in np.unique(subjects)]
        if any(len(found) > 1 for found in per_subject):
            raise Hint("a subject comes with all of its images, each as often as the subject")
        times.append([found.pop() for found in per_subject])
        if sum(times[-1]) != 4:
            raise Hint(f"draw as many subjects as there are, 4; that draw holds {sum(times[-1])}")
    if np.max(times) == 1:
        raise Hint("draw with replacement: some subjects come twice, others not at all")
    if np.ptp(times, axis=0).max() == 0:
        raise Hint("every draw is the same: use the generator rng")
    return True


def check_specificity_from(specificity_from):
    """Chapter 7: what accuracy and balanced accuracy say about HEM."""
    for tp, n_all, tn, n_hem in ((469, 481, 211, 226), (480, 485, 150, 233), (30, 60, 90, 100)):
        accuracy, n = (tp + tn) / (n_all + n_hem), n_all + n_hem
        balanced = (tp / n_all + tn / n_hem) / 2
        answer = _number(specificity_from, accuracy, balanced, n_all, n_hem)
        if np.isclose(answer, tn / n_hem):
            continue
        if np.isclose(answer, tp / n_all):
            raise Hint("that is the sensitivity; specificity is the recall of HEM")
        if np.isclose(answer, 2 * balanced - accuracy):
            raise Hint("accuracy is not the sensitivity: it mixes both recalls, n_all to n_hem")
        if np.isclose(answer, accuracy) or np.isclose(answer, balanced):
            raise Hint("solve the two equations for the specificity; neither number is it yet")
        raise Hint(
            f"accuracy {accuracy:.4f} and balanced accuracy {balanced:.4f} on {n_all} ALL of {n} "
            f"images mean a specificity of {tn / n_hem:.4f}, not {answer:.4f}"
        )
    return True


def check_noise_in_cell(noise_in_cell):
    """Chapter 7: noise where the cell is, and nowhere else."""
    image = np.zeros((4, 5, 3), np.uint8)
    image[1:3, 1:4] = (60, 0, 3)
    image[1, 1] = (250, 200, 2)
    noise = np.tile([10.4, 7.0, -9.0], (4, 5, 1))
    answer = _call(noise_in_cell, image.copy(), noise.copy())
    if not isinstance(answer, np.ndarray) or answer.shape != image.shape:
        raise Hint(f"return a picture of the shape {image.shape}")
    if answer.dtype != np.uint8:
        raise Hint(f"a picture is uint8, not {answer.dtype}")
    cell = image.any(axis=-1)
    if answer[~cell].any():
        raise Hint("the background is not black any more: keep the noise out of it")
    expected = np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
    if np.array_equal(answer[cell], image[cell]):
        raise Hint("there is no noise in the cell")
    if (np.abs(answer[cell].astype(int) - expected[cell]) > 200).any():
        raise Hint("250 + 10 became 4, or 3 - 9 became 250: clip to 0-255 before uint8")
    if (answer[cell] == image[cell])[:, 1].any():
        raise Hint("a pixel of the cell may be 0 in one channel: it gets noise there too")
    if np.abs(answer[cell].astype(int) - expected[cell]).max() > 1:
        raise Hint("inside the cell add the noise to the pixel, round, and clip to 0-255")
    return True


def check_disagreements(disagreements):
    """Chapter 7: images that only one of two tests got right."""
    first = np.array([True, True, True, False, False, True, True, False])
    second = np.array([True, False, False, True, False, False, True, True])
    answer = _call(disagreements, first.copy(), second.copy())
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Hint("return two numbers: right in the first only, right in the second only")
    if not all(np.isscalar(count) for count in answer):
        raise Hint("count the images: two whole numbers")
    if tuple(answer) == (2, 3):
        raise Hint("the other way round: first the images that only the first got right")
    if tuple(answer) != (3, 2):
        raise Hint(f"3 images are right in the first only, 2 in the second only, not {answer}")
    return True


def check_verdict(verdict):
    """Scorecard: reproduced, within interval, or differs."""
    cases = (
        ((0.96, 0.9554, 0.94, 0.97, 2), "reproduced"),
        ((0.96, 0.9449, 0.93, 0.97, 2), "within interval"),
        ((0.96, 0.9449, 0.93, 0.955, 2), "differs"),
        ((0.948, 0.9484, 0.93, 0.97, 3), "reproduced"),
        ((0.948, 0.9489, 0.93, 0.97, 3), "within interval"),
        ((96, 95.6, 94.1, 97.0, 0), "reproduced"),
        ((680, 700.0, 690.0, 705.0, 0), "differs"),
    )
    for numbers, expected in cases:
        answer = _call(verdict, *numbers)
        if not isinstance(answer, str):
            raise Hint("return one of the three words, as text")
        if answer not in ("reproduced", "within interval", "differs"):
            raise Hint(f"{answer!r} is none of: reproduced, within interval, differs")
        if answer != expected:
            printed, ours, low, high, digits = numbers
            raise Hint(
                f"paper {printed}, ours {ours} ({low} to {high}), {digits} decimals printed: "
                f"{expected}, not {answer}"
            )
    return True


def check_depthwise(depthwise):
    """Chapter 4: each channel filtered with its own kernel, with a stride."""
    rng = np.random.default_rng(4)
    image, kernel = rng.integers(0, 9, (7, 9, 3)), rng.integers(-2, 3, (3, 3, 3))
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(0, 1))
    products = windows * kernel.transpose(2, 0, 1)
    for stride in (1, 2):
        expected = products.sum(axis=(3, 4))[::stride, ::stride]
        answer = np.asarray(_call(depthwise, image, kernel, stride))
        if answer.shape == expected.shape[:2] or answer.shape == (*expected.shape[:2], 1):
            raise Hint("the channels were added up: depthwise keeps them apart, pointwise mixes")
        if stride == 2 and answer.shape == (5, 7, 3):
            raise Hint("stride 2 is to move the window by two pixels: the result is 3 x 4 x 3")
        if answer.shape == image.shape:
            raise Hint("the picture was padded: only windows that lie inside it count")
        if answer.shape != expected.shape:
            raise Hint(f"7 x 9 x 3 and stride {stride}: {expected.shape}, not {answer.shape}")
        flipped = (windows * kernel[::-1, ::-1].transpose(2, 0, 1)).sum(axis=(3, 4))
        if np.allclose(answer, flipped[::stride, ::stride]):
            raise Hint("the kernel is turned round, as in mathematics; networks do not turn it")
        if np.allclose(answer, windows.sum(axis=(3, 4))[::stride, ::stride]):
            raise Hint("multiply each window with the kernel before you add it up")
        if not np.allclose(answer, expected):
            raise Hint("the shape is right, the values are not: sum of window times kernel")
    return True


def check_block_parameters(block_parameters):
    """Chapter 4: the trained parameters of one block of MobileNet."""
    for m, n in ((32, 64), (512, 1024)):
        answer = _number(block_parameters, m, n)
        weights = 9 * m + m * n
        expected = weights + 2 * m + 2 * n
        if answer == 9 * m * n:
            raise Hint("that is one standard convolution: depthwise has 9 m weights")
        if answer == weights:
            raise Hint("the two batch normalisations have trained parameters as well")
        if answer == weights + 4 * m + 4 * n:
            raise Hint("two of the four numbers of a batch normalisation are not trained")
        if answer == expected + m + n:
            raise Hint("these convolutions have no bias: the batch normalisation has one")
        if answer == weights + 4 * n:
            raise Hint("the first normalisation acts on m channels, the second on n")
        if answer != expected:
            raise Hint(f"m = {m}, n = {n}: {expected}, not {answer:g}")
    return True


def check_softmax(softmax):
    """Chapter 4: probabilities from scores, also from large ones."""
    with np.errstate(all="ignore"):
        small = np.asarray(_call(softmax, np.array([0.0, 1.0, 2.0])))
        large = np.asarray(_call(softmax, np.array([1000.0, 1001.0])))
    if small.shape != (3,):
        raise Hint("return as many probabilities as there are scores")
    if not np.isclose(small.sum(), 1):
        raise Hint(f"the probabilities add up to {small.sum():.3f}: divide by the sum")
    if not np.allclose(small, [0.09003057, 0.24472847, 0.66524096]):
        raise Hint("they add up to 1, but are not exp(z) / sum(exp(z))")
    if not np.isfinite(large).all():
        raise Hint("1000 is too much for exp: subtract the largest score first")
    if not np.allclose(large, [0.26894142, 0.73105858]):
        raise Hint("scores of 1000 and 1001 are to give the same as 0 and 1")
    return True


def check_learning_rates(learning_rates):
    """Chapter 5: the learning rate of every epoch, from the validation losses."""
    losses = [0.70, 0.60, 0.65, 0.60, 0.62, 0.50, 0.51, 0.52, 0.53, 0.40]
    rates = _call(learning_rates, list(losses), 1e-3, 0.1, 3, 1e-6)
    if not isinstance(rates, list | tuple | np.ndarray) or len(rates) != len(losses):
        raise Hint(f"return one rate for each of the {len(losses)} epochs, in a list")
    rates = np.asarray(rates, float)
    if not np.isclose(rates[0], 1e-3):
        raise Hint("the first epoch is trained at the first rate: no loss is known before it")
    late = np.array([1e-3] * 4 + [1e-4] * 4 + [1e-5] * 2)
    right = np.array([1e-3] * 5 + [1e-4] * 4 + [1e-5])
    if np.allclose(rates, late, rtol=1e-3, atol=0):
        raise Hint("the rate falls after the third epoch without progress, so from the next one on")
    if len(rates) > 5 and np.isclose(rates[4], 1e-3) and np.isclose(rates[5], 1e-3):
        raise Hint("0.60 after 0.60 is no progress: only a smaller loss counts")
    if not np.allclose(rates, right, rtol=1e-3, atol=0):
        raise Hint(f"losses {losses} with patience 3 give {right.tolist()}, not {rates.tolist()}")
    falling = np.asarray(_call(learning_rates, [1.0] * 12, 1e-3, 0.1, 2, 1e-6), float)
    if falling.min() < 0.99e-6:
        raise Hint(f"the floor is 1e-6, and your rate falls to {falling.min():.0e}")
    floor = [1e-3] * 3 + [1e-4] * 2 + [1e-5] * 2 + [1e-6] * 5
    if falling.shape != (12,) or not np.allclose(falling, floor, rtol=1e-3, atol=0):
        raise Hint("twelve equal losses, patience 2: it falls every second epoch, so count anew")
    return True


def check_early_stop(early_stop):
    """Chapter 5: the best epoch and the last, from the validation losses."""
    losses = [0.9, 0.5, 0.6, 0.7, 0.4, 0.5, 0.45, 0.41, 0.42, 0.2]
    answer = _call(early_stop, list(losses), 3)
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Hint("return two numbers: the best epoch and the last one")
    best, last = (int(number) for number in answer)
    if (best, last) == (4, 7):
        raise Hint("count the epochs from 1")
    if best == 10:
        raise Hint("the 0.2 of epoch 10 is never seen: training has stopped before")
    if last == 4:
        raise Hint("epochs 3 and 4 are two without progress, and the patience is three")
    if last == 6:
        raise Hint("the best of all so far, in epoch 5, starts the count anew")
    if last in (7, 9):
        raise Hint("it stops after the third epoch in a row without a new best: the eighth")
    if (best, last) != (5, 8):
        raise Hint(f"losses {losses} with patience 3: best is epoch 5, last is 8, not {answer}")
    if tuple(_call(early_stop, [0.5, 0.4, 0.3], 3)) != (3, 3):
        raise Hint("when the losses end before the patience does, all epochs run")
    return True


def check_steps(steps):
    """Chapter 5: steps per epoch in the paper's balanced folds."""
    table = {0: 204, 1: 208, 2: 204}
    for fold, expected in table.items():
        n_all, n_hem = (paper.TABLE_1[fold][name]["train"] for name in ("ALL", "HEM"))
        answer = _number(steps, n_all, n_hem, 16)
        if answer == -(-(n_all + n_hem) // 16):
            raise Hint("balancing shows every HEM picture twice, once in grey")
        if answer != int(answer):
            raise Hint(f"fold {fold}: {answer:.2f} is no number of steps; the rest is a step too")
        if answer == expected - 1:
            raise Hint(f"fold {fold}: the last batch is smaller, but it is a step: round up")
        if answer != expected:
            raise Hint(f"fold {fold}: {expected} steps of 16, not {answer:.0f}")
    return True


def check_calibration_error(calibration_error):
    """Chapter 11: promised against come true, bin by bin."""
    labels = np.array([1, 0, 1, 1, 0, 0, 1, 0])
    p_all = np.array([0.62, 0.68, 0.68, 0.97, 0.05, 0.15, 0.95, 1.0])
    answer = _number(calibration_error, labels.copy(), p_all.copy(), 10)
    bin_of = np.minimum((p_all * 10).astype(int), 9)
    gaps = np.array([abs((p_all - labels)[bin_of == b].mean()) for b in np.unique(bin_of)])
    sizes = np.unique(bin_of, return_counts=True)[1]
    expected = float(gaps @ sizes / len(labels))
    if np.isclose(answer, gaps.mean()):
        raise Hint("weigh each bin by its number of images: a bin of one image counts little")
    if np.isclose(answer, np.abs(p_all - labels).mean()):
        raise Hint("average inside each bin first: one image has no frequency")
    if np.isclose(answer, abs((p_all - labels).mean())):
        raise Hint("take the distance in each bin, not over all images: they would cancel out")
    if np.isclose(answer, gaps @ sizes):
        raise Hint("divide by the number of images")
    with_last = p_all < 1
    partial = np.array([(p_all - labels)[(bin_of == b) & with_last].sum() for b in range(10)])
    if np.isclose(answer, np.abs(partial).sum() / len(labels)):
        raise Hint("p = 1.0 belongs into the last bin, and yours has lost it")
    if not np.isclose(answer, expected):
        raise Hint(f"these eight images give {expected:.4f}, not {answer:.4f}")
    return True


def check_with_temperature(with_temperature):
    """Chapter 11: the logit of a probability divided by a temperature."""
    p_all = np.array([0.1, 0.5, 0.8, 0.99])
    answer = np.asarray(_call(with_temperature, p_all.copy(), 2.0), float)
    logits = np.log(p_all / (1 - p_all))
    expected = 1 / (1 + np.exp(-logits / 2))
    if answer.shape != p_all.shape:
        raise Hint("return as many probabilities as there were")
    if np.allclose(answer, p_all / 2):
        raise Hint("divide the logit by the temperature, not the probability")
    if np.allclose(answer, logits / 2):
        raise Hint("that is the new logit: turn it back into a probability")
    if np.allclose(answer, 1 / (1 + np.exp(-logits * 2))):
        raise Hint("a temperature of 2 makes the answers less sure: divide, do not multiply")
    if not np.isclose(answer[1], 0.5):
        raise Hint("0.5 has the logit 0, and stays 0.5 at every temperature")
    if not np.allclose(answer, expected):
        raise Hint(f"0.8 at temperature 2 becomes {expected[2]:.4f}, not {answer[2]:.4f}")
    return True


def check_sensitivity_at(sensitivity_at):
    """Chapter 11: the sensitivity left when a share of the HEM images must not raise an alarm."""
    rng = np.random.default_rng(11)
    labels = np.repeat([0, 1], [40, 60])
    p_all = np.where(labels == 1, rng.beta(4, 2, 100), rng.beta(2, 4, 100)).round(4)
    hem, leukemic = np.sort(p_all[labels == 0]), p_all[labels == 1]
    for specificity in (0.5, 0.9, 0.95):
        answer = _number(sensitivity_at, labels.copy(), p_all.copy(), specificity)
        needed = int(np.ceil(specificity * 40 - 1e-9))
        expected = float((leukemic > hem[needed - 1]).mean())
        if np.isclose(answer, hem[needed - 1]):
            raise Hint("that is the threshold: now count the ALL images above it")
        if np.isclose(answer, (p_all > hem[needed - 1]).mean()):
            raise Hint("count among the ALL images only")
        if np.isclose(answer, 1 - expected):
            raise Hint("these are the ALL images that are missed: sensitivity is the rest")
        if np.isclose(answer, (leukemic >= 0.5).mean()) and not np.isclose(answer, expected):
            raise Hint("0.5 is not the threshold: it follows from the specificity")
        below = np.sort(leukemic)[int(np.ceil(specificity * 60)) - 1]
        if np.isclose(answer, (leukemic > below).mean()):
            raise Hint("the threshold comes from the HEM images, not from the ALL images")
        if not np.isclose(answer, expected):
            raise Hint(
                f"{needed} of 40 HEM images must lie below the threshold; then {expected:.3f} of "
                f"ALL are found, not {answer:.3f}"
            )
    return True


def check_recalls(recalls):
    """Chapter 9: both recalls from both precisions and the sizes of the classes."""
    for tp, n_all, tn, n_hem in ((181, 481, 220, 226), (469, 481, 211, 226), (30, 60, 90, 100)):
        precision_all = tp / (tp + n_hem - tn)
        precision_hem = tn / (tn + n_all - tp)
        answer = _call(recalls, precision_all, precision_hem, n_all, n_hem)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise Hint("return two numbers: the recall of ALL and the recall of HEM")
        expected = tp / n_all, tn / n_hem
        if np.allclose(answer, expected):
            continue
        if np.allclose(answer, expected[::-1]):
            raise Hint("the other way round: first the recall of ALL")
        if np.allclose(answer, (tp, tn)):
            raise Hint("these are the cells called rightly: divide by the sizes of the classes")
        if np.isclose(answer[0], (tp + n_hem - tn) / n_all):
            raise Hint("of the cells called ALL only the share precision_all is ALL")
        raise Hint(
            f"precisions {precision_all:.3f}, {precision_hem:.3f} on {n_all} ALL, {n_hem} HEM "
            f"mean recalls of {expected[0]:.3f} and {expected[1]:.3f}; how many are called ALL?"
        )
    return True


def check_effects(effects):
    """Chapter 9: two main effects and the interaction, from the four corners of a grid."""
    for corners in ((0.80, 0.86, 0.90, 0.92), (0.5, 0.6, 0.7, 0.9), (0.9, 0.8, 0.85, 0.75)):
        neither, balanced, augmented, both = corners
        answer = _call(effects, *corners)
        if not isinstance(answer, tuple | list) or len(answer) != 3:
            raise Hint("return three numbers: balance, augmentation, interaction")
        balance = (balanced - neither + both - augmented) / 2
        augmentation = (augmented - neither + both - balanced) / 2
        interaction = (both - augmented) - (balanced - neither)
        expected = balance, augmentation, interaction
        if np.allclose(answer, expected):
            continue
        if np.allclose(answer[:2], (2 * balance, 2 * augmentation)):
            raise Hint("a main effect is the mean of two differences, not their sum")
        if np.allclose(answer[:2], (balanced - neither, augmented - neither)):
            raise Hint("each factor has two differences, without and with the other: average them")
        if np.allclose(answer[:2], expected[1::-1]) and not np.allclose(answer[:2], expected[:2]):
            raise Hint("the other way round: first balance, then augmentation")
        if np.isclose(answer[2], -interaction) and not np.isclose(interaction, 0):
            raise Hint("interaction: the effect with the other factor minus that without it")
        if np.isclose(answer[2], interaction / 2) and not np.isclose(interaction, 0):
            raise Hint("the interaction is the whole difference of the two differences here")
        raise Hint(
            f"corners {corners} give balance {balance:+.3f}, augmentation {augmentation:+.3f}, "
            f"interaction {interaction:+.3f}"
        )
    return True


def check_running_mean(running_mean):
    """Chapter 9: what batch normalisation remembers after some batches."""
    for means, momentum in (([1.0, 2.0, 3.0], 0.9), ([0.2, 0.6, 1.0], 0.5), ([2.0] * 60, 0.99)):
        answer = _number(running_mean, list(means), momentum)
        expected = swapped = 0.0
        for mean in means:
            expected = momentum * expected + (1 - momentum) * mean
            swapped = (1 - momentum) * swapped + momentum * mean
        if np.isclose(answer, expected):
            continue
        if np.isclose(answer, np.mean(means)):
            raise Hint("that is the plain mean; the running one starts at 0 and moves slowly")
        if np.isclose(answer, swapped):
            raise Hint("momentum is the share of the old value that stays")
        raise Hint(
            f"{len(means)} batches, momentum {momentum}: {expected:.4f}, not {answer:.4f}; start "
            "at 0"
        )
    return True


def check_reach(reach):
    """Chapter 8: how wide a window the last of some layers sees."""
    plain = [(3, 1), (2, 2)] * 5
    dilated = [(7, 1), (2, 2)] * 5
    for layers, expected in (
        ([(3, 1)], 3),
        ([(3, 1), (3, 1)], 5),
        ([(2, 2), (3, 1)], 6),
        ([(3, 2), (3, 2), (5, 1)], 23),
        (plain, 94),
        (dilated, 218),
    ):
        answer = _number(reach, list(layers))
        if answer == expected:
            continue
        if answer == sum(window for window, _ in layers):
            raise Hint("windows overlap: the second adds its window less one, not all of it")
        if answer == 1 + sum(window - 1 for window, _ in layers):
            raise Hint("after a stride of 2 a neighbour is two pixels away, then four")
        raise Hint(f"{layers} (window, stride) sees {expected} pixels, not {answer:g}")
    return True


def check_mcnemar(mcnemar):
    """Chapter 8: the exact p-value of two counts of disagreement."""
    for only_a, only_b in ((19, 11), (8, 0), (0, 8), (1, 4), (5, 5)):
        few, n = min(only_a, only_b), only_a + only_b
        one_sided = binom.cdf(few, n, 0.5)
        expected = min(1, 2 * one_sided)
        answer = _number(mcnemar, only_a, only_b)
        if np.isclose(answer, expected):
            continue
        if answer > 1:
            raise Hint(f"{answer:.3f} is no probability: cut it at 1")
        if np.isclose(answer, one_sided):
            raise Hint("either of the two could have been ahead: count both sides")
        if np.isclose(answer, binom.pmf(few, n, 0.5)) or np.isclose(
            answer, 2 * binom.pmf(few, n, 0.5)
        ):
            raise Hint("not only this outcome: this one and all that are more extreme")
        raise Hint(f"{only_a} against {only_b}: p is {expected:.4f}, not {answer:.4f}")
    return True


def check_sign_flips(sign_flips):
    """Chapter 8: the exact p-value of gains by subject, whose signs are flipped."""
    for gains in ([7, 3, 2, 2, -1, 1], [3, 2, -1], [4, 1, 1, 2], [5, -5], [0, 0, 3]):
        sums = np.array([np.dot(signs, gains) for signs in product((1, -1), repeat=len(gains))])
        expected = np.mean(np.abs(sums) >= abs(sum(gains)))
        answer = _number(sign_flips, list(gains))
        if np.isclose(answer, expected):
            continue
        if np.isclose(answer, np.mean(np.abs(sums) > abs(sum(gains)))):
            raise Hint("the sums that were found are among the flips: count ties too (>=)")
        if np.isclose(answer, np.mean(sums >= sum(gains))):
            raise Hint("a difference the other way would be as surprising: compare sizes, abs()")
        raise Hint(f"gains {gains}: p is {expected:.4f}, not {answer:.4f}")
    return True


def check_round_trip(round_trip):
    """Chapter 12: to eight bits and back."""
    values = np.array([-1.0, -0.26, 0.0, 0.26, 0.74, 1.0])
    answer = np.asarray(_call(round_trip, values, 0.5, 0))
    if answer.shape != values.shape:
        raise Hint(f"give as many numbers as came in, {len(values)}")
    if np.allclose(answer, np.rint(values / 0.5)):
        raise Hint("these are the whole numbers: now go back, scale times (q - zero)")
    if np.allclose(answer, values):
        raise Hint("nothing was lost: round to whole numbers on the way, with np.rint")
    if np.allclose(answer, 0.5 * np.trunc(values / 0.5)):
        raise Hint("round to the nearest whole number (np.rint), do not cut off")
    if not np.allclose(answer, 0.5 * np.rint(values / 0.5)):
        raise Hint(f"with scale 0.5 and zero 0, {values[1]} becomes -0.5, not {answer[1]:g}")
    wide = np.array([-200.0, -127.0, 0.0, 99.0, 150.0])
    answer = np.asarray(_call(round_trip, wide, 1.0, -28))
    if np.allclose(answer, wide):
        raise Hint("eight bits hold -128 to 127 only: clip q before you go back")
    if np.allclose(answer, np.clip(wide, -128, 127)):
        raise Hint("mind the zero: q = value / scale + zero, and it is q that is clipped")
    if not np.allclose(answer, np.clip(np.rint(wide) - 28, -128, 127) + 28):
        raise Hint(f"scale 1, zero -28: {wide[0]:g} becomes -100, not {answer[0]:g}")
    return True


def check_typical(typical):
    """Chapter 12: the time of a call, without its first."""
    for times, warm_up in (([900.0, 40, 5, 7, 6, 5, 90], 2), ([30.0, 4, 3, 3, 3, 100], 1)):
        answer = _number(typical, list(times), warm_up)
        kept = np.array(times[warm_up:])
        if np.isclose(answer, np.median(kept)):
            continue
        if np.isclose(answer, np.median(times)):
            raise Hint(f"drop the first {warm_up} of the times, they are the warm-up")
        if np.isclose(answer, np.mean(kept)):
            raise Hint("a mean follows its largest values: take the median")
        if np.isclose(answer, np.min(kept)):
            raise Hint("the shortest is the best case, not the typical one: take the median")
        raise Hint(f"{times}, warm-up {warm_up}: {np.median(kept):g}, not {answer:g}")
    return True


def check_megabytes(megabytes):
    """Chapter 12: the size of a file from its parameters."""
    for parameters, bits in ((3_235_010, 32), (3_235_010, 8), (1_000_000, 16)):
        answer, expected = _number(megabytes, parameters, bits), parameters * bits / 8 / 1e6
        if np.isclose(answer, expected):
            continue
        if np.isclose(answer, 8 * expected):
            raise Hint("a byte has eight bits")
        if np.isclose(answer, 1e6 * expected):
            raise Hint("these are bytes: a megabyte is a million of them")
        if np.isclose(answer, expected * 1e6 / 2**20):
            raise Hint("that is in MiB, of 2**20 bytes; a megabyte is 1,000,000")
        raise Hint(f"{parameters:,} numbers of {bits} bits: {expected:g} MB, not {answer:g}")
    return True


def check_leaks(leaks):
    """Chapter 10: does anybody stand on both sides of a split?"""
    cases = (
        (["11", "H2", "14"], ["15", "H7"], False, "nobody is on both sides"),
        (["11", "H2", "14"], ["15", "14"], True, "subject 14 is on both sides"),
        (["11", "H2"], ["H11", "2"], False, "11 and H11 are two people: keep the H"),
        (["20", "H7"], ["21", "H8"], True, "20 and 21 share 71 files: use cnmc.merged_subject"),
        (["H10", "1"], ["H3", "2"], True, "H10 and H3 share a file: merge the names first"),
    )
    for train, test, expected, hint in cases:
        answer = _call(leaks, pd.Series(train), pd.Series(test))
        if not isinstance(answer, bool | np.bool_):
            raise Hint(f"return True or False, not {type(answer).__name__}")
        if answer != expected:
            raise Hint(f"train {', '.join(train)}, test {', '.join(test)}: {hint}")
    return True


def check_test_people(test_people):
    """Chapter 10: a random test part of whole subjects."""
    subjects = np.repeat(["1", "2", "3", "H4", "H5", "H6", "7", "8"], [40, 5, 9, 30, 12, 2, 1, 21])
    drawn = []
    for seed in range(30):
        answer = np.asarray(_call(test_people, subjects, 0.2, np.random.default_rng(seed)))
        if answer.shape != subjects.shape or answer.dtype != bool:
            raise Hint(f"return one True or False for each of the {len(subjects)} images")
        mixed = [name for name in np.unique(subjects) if len(set(answer[subjects == name])) > 1]
        if mixed:
            raise Hint(f"subject {mixed[0]} is in training and in test: draw people, not images")
        if answer.mean() < 0.2:
            raise Hint(f"the test part holds {answer.mean():.0%} of the images: go on up to 20 %")
        sizes = [np.mean(subjects == name) for name in np.unique(subjects[answer])]
        if answer.all() or answer.mean() - max(sizes) >= 0.2:
            raise Hint(f"{answer.mean():.0%} are tested: stop once 20 % are reached")
        drawn.append(tuple(np.unique(subjects[answer])))
    if len(set(drawn)) == 1:
        raise Hint("every draw is the same: shuffle the people with rng")
    return True


def check_weighted_f1(weighted_f1):
    """Chapter 10: the metric of the challenge."""
    for tp, fn, fp, tn in ((1100, 119, 200, 448), (40, 10, 30, 20), (5, 0, 5, 90)):
        answer = _number(weighted_f1, tp, fn, fp, tn)
        f1_all, f1_hem = 2 * tp / (2 * tp + fn + fp), 2 * tn / (2 * tn + fn + fp)
        n_all, n_hem = tp + fn, fp + tn
        expected = (n_all * f1_all + n_hem * f1_hem) / (n_all + n_hem)
        if np.isclose(answer, expected):
            continue
        if np.isclose(answer, (f1_all + f1_hem) / 2):
            raise Hint("that is the macro F1: weight each class by its number of cells")
        if np.isclose(answer, f1_all):
            raise Hint("that is the F1 of ALL alone: HEM has one too")
        if np.isclose(answer, (n_hem * f1_all + n_all * f1_hem) / (n_all + n_hem)):
            raise Hint("the weights are swapped: ALL has tp + fn cells, HEM fp + tn")
        raise Hint(f"tp {tp}, fn {fn}, fp {fp}, tn {tn} give {expected:.4f}, not {answer:.4f}")
    return True
