"""From probabilities to metrics, as the paper computes them and as they should be named."""

import warnings

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score
from statsmodels.stats.contingency_tables import mcnemar
from tqdm.auto import tqdm

from allm_utils.errors import ConfigError, DataError, ModelError

COUNTS = ("n", "tp", "fp", "fn", "tn")
AVERAGES = ("macro", "weighted", "all")


def predict(model, images, batch_size=64, progress=False, tta=False):
    """Probability of ALL for each image, in bounded memory.

    Parameters
    ----------
    model : keras.Model
        Takes raw pixels in [0, 255] and gives a softmax over (HEM, ALL).
    images : array of uint8, shape (N, size, size, 3)
        May be a memory map: one batch at a time is read.
    batch_size : int
        Images per step.
    progress : bool
        Show a progress bar.
    tta : bool
        Test-time augmentation: the mean over the four rotations of the picture and of its mirror
        image. None of them changes what the picture shows.

    Returns
    -------
    p_all : ndarray of float32, shape (N,)

    Raises
    ------
    ModelError
        The model does not have two outputs.
    """
    if tuple(model.output_shape) != (None, 2):
        raise ModelError(
            f"model {model.name!r} gives {model.output_shape}, not one probability for each of "
            "HEM and ALL; use a model that ends in a softmax over two classes"
        )
    parts = [np.empty(0)]
    starts = range(0, len(images), batch_size)
    with tqdm(starts, desc="predict", unit="batch", disable=not progress) as bar:
        for start in bar:
            batch = np.asarray(images[start : start + batch_size])
            views = [batch]
            if tta:
                mirrored = batch[:, :, ::-1]
                views = [np.rot90(b, k, axes=(1, 2)) for b in (batch, mirrored) for k in range(4)]
            parts.append(np.mean([model.predict_on_batch(view)[:, 1] for view in views], axis=0))
    return np.concatenate(parts).astype(np.float32)


def metrics(labels, p_all, threshold=0.5):
    """Metrics of one test set, from the probability of each image.

    Macro precision, recall and F1 are what Tables 6-8 of the paper print; ``balanced_accuracy``
    is its column "AUC"; Eqs. 5-7 define ``precision_all``, ``sensitivity`` and ``f1_all``.

    Parameters
    ----------
    labels : array of int, shape (N,)
        0 HEM, 1 ALL.
    p_all : array of float, shape (N,)
        Probability of ALL in [0, 1].
    threshold : float
        An image is called ALL when ``p_all >= threshold``.

    Returns
    -------
    dict of str to int or float
        The counts ``n, tp, fp, fn, tn`` and the rates in [0, 1]. A class that is never predicted
        has precision 0, as in scikit-learn. Where the labels hold one class only, whatever needs
        the other (its recall and F1, the macro averages, ROC-AUC) is nan.

    Raises
    ------
    DataError
        The two arrays are empty, differ in length, or hold other values.
    """
    labels, p_all = _checked(labels, p_all)
    called = p_all >= threshold
    tp, fp = int(np.sum(called & (labels == 1))), int(np.sum(called & (labels == 0)))
    fn, tn = int(np.sum(labels == 1)) - tp, int(np.sum(labels == 0)) - fp
    rates = {name: float(value) for name, value in rates_from_counts(tp, fp, fn, tn).items()}
    both = 0 < labels.sum() < len(labels)
    auc = float(roc_auc_score(labels, p_all)) if both else np.nan
    counts = dict(zip(COUNTS, (len(labels), tp, fp, fn, tn), strict=True))
    return {**counts, **rates, "roc_auc": auc}


def rates_from_counts(tp, fp, fn, tn):
    """Every metric that follows from the confusion matrix, for one matrix or arrays of them.

    Parameters
    ----------
    tp, fp, fn, tn : int or array, all of one shape
        ALL called ALL, HEM called ALL, ALL called HEM, HEM called HEM.

    Returns
    -------
    dict of str to ndarray
        Of the shape of the counts. Undefined values as in `metrics`.
    """
    tp, fp, fn, tn = (np.asarray(count, float) for count in (tp, fp, fn, tn))
    n_all, n_hem = tp + fn, fp + tn
    total = n_all + n_hem
    recall_all, precision_all, f1_all = _class_rates(tp, fp, fn)
    recall_hem, precision_hem, f1_hem = _class_rates(tn, fn, fp)

    def macro(all_, hem):
        return np.where((n_all > 0) & (n_hem > 0), (all_ + hem) / 2, np.nan)

    def weighted(all_, hem):
        part_all = np.where(n_all > 0, n_all * all_, 0)
        return _ratio(part_all + np.where(n_hem > 0, n_hem * hem, 0), total)

    return {
        "accuracy": _ratio(tp + tn, total),
        "sensitivity": recall_all,
        "specificity": recall_hem,
        "precision_macro": macro(precision_all, precision_hem),
        "recall_macro": macro(recall_all, recall_hem),
        "f1_macro": macro(f1_all, f1_hem),
        "precision_weighted": weighted(precision_all, precision_hem),
        "recall_weighted": weighted(recall_all, recall_hem),
        "f1_weighted": weighted(f1_all, f1_hem),
        "precision_all": precision_all,
        "precision_hem": precision_hem,
        "f1_all": f1_all,
        "f1_hem": f1_hem,
        "balanced_accuracy": macro(recall_all, recall_hem),
    }


def intervals(labels, p_all, groups=None, n=1000, seed=0, level=0.95, threshold=0.5):
    """Percentile bootstrap interval of every rate that `metrics` gives.

    Units are drawn with replacement within each class, which keeps the class sizes of the test
    set (by image) or the number of subjects of each class (by group).

    Parameters
    ----------
    labels, p_all, threshold
        As in `metrics`.
    groups : array, shape (N,), optional
        The subject of each image. With it whole subjects are drawn, because the cells of one
        subject resemble each other; without it single images are.
    n : int
        Number of resamples.
    seed : int
        The same seed gives the same intervals.
    level : float
        Coverage.

    Returns
    -------
    dict of str to (float, float)
        Low and high. nan where a class has fewer than two units: then nothing is known of the
        variation between them.

    Raises
    ------
    DataError
        As `metrics`, or `groups` has another length.
    """
    labels, p_all = _checked(labels, p_all)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if len(groups) != len(labels):
        raise DataError(f"{len(groups)} groups for {len(labels)} labels; give one per image")

    order = np.argsort(p_all, kind="stable")
    labels, p_all, groups = labels[order], p_all[order], groups[order]
    p = {label: p_all[labels == label] for label in (0, 1)}
    units = {label: np.unique(groups[labels == label], return_inverse=True)[1] for label in (0, 1)}
    present = [label for label in (0, 1) if len(p[label])]
    # For each ALL image, the HEM images below it and those below or equal: a tie counts half.
    below = np.searchsorted(p[0], p[1], side="left")
    upto = np.searchsorted(p[0], p[1], side="right")

    def statistic(*draws, axis=-1):
        rows = len(np.atleast_2d(draws[0]))
        weight = {0: np.zeros((rows, 0)), 1: np.zeros((rows, 0))}
        for label, draw in zip(present, draws, strict=True):
            weight[label] = _times_drawn(np.atleast_2d(draw))[:, units[label]]
        tp, fp = weight[1] @ (p[1] >= threshold), weight[0] @ (p[0] >= threshold)
        n_all, n_hem = weight[1].sum(1), weight[0].sum(1)
        rates = rates_from_counts(tp, fp, n_all - tp, n_hem - fp)
        lower = np.pad(np.cumsum(weight[0], axis=1), ((0, 0), (1, 0)))
        wins = (weight[1] * (lower[:, below] + lower[:, upto])).sum(1) / 2
        auc = np.where(n_all * n_hem > 0, _ratio(wins, n_all * n_hem), np.nan)
        return np.stack([*rates.values(), auc])

    names = [*rates_from_counts(1, 1, 1, 1), "roc_auc"]
    data = [np.arange(units[label].max() + 1) for label in present]
    if min(len(unit) for unit in data) < 2:
        return dict.fromkeys(names, (np.nan, np.nan))
    with warnings.catch_warnings():
        # With one class only, the rates that need both are nan in every resample.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            data,
            statistic,
            n_resamples=n,
            batch=max(1, 2_000_000 // len(labels)),
            vectorized=True,
            confidence_level=level,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    limits = zip(found.low, found.high, strict=True)
    return {name: (float(a), float(b)) for name, (a, b) in zip(names, limits, strict=True)}


def combined(answers, shares):
    """Ask several classifiers at once: the mean of their log-odds above their neutral points.

    Every classifier has one vote of the same weight, so nothing is fitted.

    Parameters
    ----------
    answers : sequence of K arrays of float, shape (N,)
        Probability of ALL by each classifier, for the same images.
    shares : sequence of K floats
        Share of ALL among the cells that each classifier learned from, at which its answer favours
        neither class; 0.5 for one that was trained with class weights.

    Returns
    -------
    p_all : ndarray of float, shape (N,)
        Above 0.5 where the mean of ``logit(p) - logit(share)`` is above 0. A probability nearer to
        0 or 1 than 1e-6 counts as that near.

    Raises
    ------
    ConfigError
        A share is not between 0 and 1, or there is not one for each classifier.
    DataError
        The classifiers answered for different numbers of images.
    """
    if len(shares) != len(answers) or not all(0 < share < 1 for share in shares):
        raise ConfigError(
            f"shares {list(shares)} for {len(answers)} classifiers; give one for each, "
            "between 0 and 1"
        )
    if len({len(p) for p in answers}) > 1:
        sizes = ", ".join(str(len(p)) for p in answers)
        raise DataError(f"the classifiers answered for {sizes} images; give the same images to all")
    odds = [
        logit(np.clip(np.asarray(p, float), 1e-6, 1 - 1e-6)) - logit(share)
        for p, share in zip(answers, shares, strict=True)
    ]
    return expit(np.mean(odds, axis=0))


def paired_test(labels, p_a, p_b, threshold=0.5):
    """McNemar's test of two classifiers on the same images.

    Only the images on which one is right and the other is not can tell the two apart. If both
    were equally good, each such image would be the toss of a coin. That takes the images to be
    independent of each other, which cells of one subject are not: see `paired_test_by_subject`.

    Parameters
    ----------
    labels : array of int, shape (N,)
        0 HEM, 1 ALL.
    p_a, p_b : array of float, shape (N,)
        Probability of ALL in [0, 1], of classifiers A and B, image by image.
    threshold : float
        An image is called ALL when its probability is at or above it.

    Returns
    -------
    dict
        ``both, only_a, only_b, neither``, the images rightly called; ``pvalue``, two-sided, from
        the binomial distribution where fewer than 25 images tell the two apart, else from the
        chi-squared with continuity correction; ``exact``, which of the two it was.

    Raises
    ------
    DataError
        As `metrics`.
    """
    right_a, right_b = _right(labels, p_a, threshold), _right(labels, p_b, threshold)
    pairs = ((right_a & right_b, right_a & ~right_b), (~right_a & right_b, ~right_a & ~right_b))
    table = [[int(pair.sum()) for pair in row] for row in pairs]
    (both, only_a), (only_b, neither) = table
    exact = only_a + only_b < 25
    counts = {"both": both, "only_a": only_a, "only_b": only_b, "neither": neither}
    pvalue = float(mcnemar(table, exact=exact, correction=True).pvalue)
    return {**counts, "pvalue": pvalue, "exact": exact}


def paired_test_by_subject(labels, p_a, p_b, groups, n=20_000, seed=0, threshold=0.5):
    """Sign-flip permutation test of two classifiers on the same images, whole subjects at a time.

    If A and B were equally good, then in each subject it would be chance which of the two comes
    out ahead. So the two swap places in whole subjects, at random, and the difference that was
    found is compared with those that arise so. Nothing is assumed of the images of one subject.

    Parameters
    ----------
    labels, p_a, p_b, threshold
        As in `paired_test`.
    groups : array, shape (N,)
        The subject of each image.
    n : int
        Number of permutations; all of them where there are no more than that (14 subjects).
    seed : int
        The same seed gives the same p-value.

    Returns
    -------
    dict
        ``difference``, accuracy of A minus that of B; ``subjects``, how many there are;
        ``pvalue``, two-sided. It cannot fall below 2 to the power of 1 - `subjects`.

    Raises
    ------
    DataError
        As `metrics`, or `groups` has another length.
    """
    gain = _right(labels, p_a, threshold).astype(int) - _right(labels, p_b, threshold)
    if len(groups) != len(gain):
        raise DataError(f"{len(groups)} groups for {len(gain)} labels; give one per image")
    by_subject = pd.Series(gain).groupby(np.asarray(groups)).sum().to_numpy()
    pvalue = 1.0  # of one subject: both of its two swaps are as far from 0
    if len(by_subject) > 1:
        pvalue = stats.permutation_test(
            (by_subject,),
            np.sum,
            permutation_type="samples",
            n_resamples=n,
            batch=1000,
            rng=np.random.default_rng(seed),
        ).pvalue
    difference = float(gain.mean())
    return {"difference": difference, "subjects": len(by_subject), "pvalue": float(pvalue)}


def paired_intervals(labels, p_a, p_b, groups=None, n=2000, seed=0, level=0.95, threshold=0.5):
    """Percentile bootstrap interval of the difference of two classifiers, A minus B.

    Both are judged on the same draw of units, so what is hard in it is hard for both, and the
    interval is shorter than those of the two rates by themselves suggest.

    Parameters
    ----------
    labels, p_a, p_b, threshold
        As in `paired_test`.
    groups, n, seed, level
        As in `intervals`.

    Returns
    -------
    dict of str to (float, float, float)
        Difference, low and high of every rate of `rates_from_counts`. Low and high are nan where a
        class has fewer than two units.

    Raises
    ------
    DataError
        As `metrics`, or `groups` has another length.
    """
    right = np.stack([_right(labels, p, threshold) for p in (p_a, p_b)], axis=1).astype(float)
    labels = np.asarray(labels)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if len(groups) != len(labels):
        raise DataError(f"{len(groups)} groups for {len(labels)} labels; give one per image")
    rng = np.random.default_rng(seed)
    hits, sizes, units = {}, {}, []
    for label in (0, 1):
        unit = np.unique(groups[labels == label], return_inverse=True)[1]
        k = unit.max(initial=-1) + 1
        units.append(k)
        draws = _times_drawn(rng.integers(0, k, (n, k))) if k else np.zeros((n, 0))
        weights = np.vstack([np.ones(k), draws])  # the first row is the sample itself
        per_unit = np.zeros((k, 2))
        np.add.at(per_unit, unit, right[labels == label])
        hits[label], sizes[label] = weights @ per_unit, weights @ np.bincount(unit, minlength=k)
    rates = [
        rates_from_counts(
            hits[1][:, i], sizes[0] - hits[0][:, i], sizes[1] - hits[1][:, i], hits[0][:, i]
        )
        for i in (0, 1)
    ]
    found = {}
    for name in rates[0]:
        difference = rates[0][name] - rates[1][name]
        ends = (1 - level) / 2, (1 + level) / 2
        low, high = np.quantile(difference[1:], ends) if min(units) > 1 else (np.nan, np.nan)
        found[name] = float(difference[0]), float(low), float(high)
    return found


def confusion_from_printed(
    precision, recall, f1, accuracy, auc, n_all, n_hem, average="macro", decimals=(2, 2, 2, 2, 3)
):
    """Every integer confusion matrix that rounds to a row of Tables 6-8.

    Parameters
    ----------
    precision, recall, f1, accuracy, auc : float
        As printed; `auc` is read as balanced accuracy.
    n_all, n_hem : int
        Test images of each class (Table 1).
    average : {"macro", "weighted", "all"}
        How precision, recall and F1 are meant: over both classes, or of ALL alone (Eqs. 5-7).
    decimals : tuple of int
        Printed digits of the five values.

    Returns
    -------
    DataFrame
        Columns ``tp, fn, fp, tn``; empty when no matrix fits.

    Raises
    ------
    ConfigError
        Unknown `average`.
    """
    if average not in AVERAGES:
        raise ConfigError(f"average {average!r} is unknown; use one of {', '.join(AVERAGES)}")
    tp, fp = (grid.ravel() for grid in np.mgrid[0 : n_all + 1, 0 : n_hem + 1])
    counts = {"tp": tp, "fn": n_all - tp, "fp": fp, "tn": n_hem - fp}
    rates = rates_from_counts(**counts)
    recall_name = "sensitivity" if average == "all" else f"recall_{average}"
    names = (f"precision_{average}", recall_name, f"f1_{average}", "accuracy", "balanced_accuracy")
    fits = np.ones(len(tp), bool)
    printed = (precision, recall, f1, accuracy, auc)
    for name, value, digits in zip(names, printed, decimals, strict=True):
        fits &= np.abs(rates[name] - value) <= 0.5 * 10.0**-digits + 1e-9
    return pd.DataFrame(counts)[fits].reset_index(drop=True)


def _right(labels, p_all, threshold):
    labels, p_all = _checked(labels, p_all)
    return (p_all >= threshold) == (labels == 1)


def _class_rates(hits, false, missed):
    """Recall, precision and F1 of one class; recall and F1 are nan where it has no images."""
    absent = hits + missed == 0
    recall = np.where(absent, np.nan, _ratio(hits, hits + missed))
    f1 = np.where(absent, np.nan, _ratio(2 * hits, 2 * hits + false + missed))
    return recall, _ratio(hits, hits + false), f1


def _ratio(part, whole):
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)


def _times_drawn(draws):
    """How often each of the units 0..k-1 occurs in each row of k draws."""
    rows, k = draws.shape
    flat = draws + k * np.arange(rows)[:, None]
    return np.bincount(flat.ravel(), minlength=rows * k).reshape(rows, k).astype(float)


def _checked(labels, p_all):
    labels, p_all = np.asarray(labels), np.asarray(p_all, float)
    if labels.ndim != 1 or labels.shape != p_all.shape or not len(labels):
        raise DataError(
            f"labels {labels.shape} and p_all {p_all.shape} do not pair up; "
            "give one of each per image, and at least one image"
        )
    if not np.isin(labels, (0, 1)).all():
        raise DataError(
            "labels hold other values than 0 (HEM) and 1 (ALL); leave out unlabelled images"
        )
    if not ((p_all >= 0) & (p_all <= 1)).all():
        raise DataError("p_all holds values outside [0, 1]; give the softmax output for ALL")
    return labels.astype(np.int64), p_all
