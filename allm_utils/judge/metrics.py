"""From probabilities to metrics, as the paper computes them and as they should be named."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from allm_utils.errors import DataError, check_choice, need

COUNTS = ("n", "tp", "fp", "fn", "tn")
AVERAGES = ("macro", "weighted", "all")


def metrics(labels: ArrayLike, p_all: ArrayLike, threshold: float = 0.5) -> dict[str, int | float]:
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
    """
    labels, p_all = _checked(labels, p_all)
    called = p_all >= threshold
    tp, fp = int(np.sum(called & (labels == 1))), int(np.sum(called & (labels == 0)))
    fn, tn = int(np.sum(labels == 1)) - tp, int(np.sum(labels == 0)) - fp
    rates = {name: float(value) for name, value in rates_from_counts(tp, fp, fn, tn).items()}
    hem, leukemic = np.sort(p_all[labels == 0]), p_all[labels == 1]
    wins = sum(np.searchsorted(hem, leukemic, side).sum() for side in ("left", "right")) / 2
    pairs = len(hem) * len(leukemic)  # a tie wins half
    auc = float(wins / pairs) if pairs else np.nan
    counts = dict(zip(COUNTS, (len(labels), tp, fp, fn, tn), strict=True))
    return {**counts, **rates, "roc_auc": auc}


def rates_from_counts(
    tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike
) -> dict[str, np.ndarray]:
    """Every metric that follows from the confusion matrix, for one matrix or arrays of them.

    The counts are ALL called ALL, HEM called ALL, ALL called HEM, HEM called HEM. Undefined values
    are as in `metrics`.
    """
    tp, fp, fn, tn = (np.asarray(count, float) for count in (tp, fp, fn, tn))
    n_all, n_hem = tp + fn, fp + tn
    total = n_all + n_hem
    recall_all, precision_all, f1_all = _class_rates(tp, fp, fn)
    recall_hem, precision_hem, f1_hem = _class_rates(tn, fn, fp)
    rates = {
        "accuracy": _ratio(tp + tn, total),
        "sensitivity": recall_all,
        "specificity": recall_hem,
        "precision_all": precision_all,
        "precision_hem": precision_hem,
        "f1_all": f1_all,
        "f1_hem": f1_hem,
    }
    pairs = {
        "precision": (precision_all, precision_hem),
        "recall": (recall_all, recall_hem),
        "f1": (f1_all, f1_hem),
    }
    for name, (of_all, of_hem) in pairs.items():
        parts = np.where(n_all > 0, n_all * of_all, 0) + np.where(n_hem > 0, n_hem * of_hem, 0)
        mean = np.where((n_all > 0) & (n_hem > 0), (of_all + of_hem) / 2, np.nan)
        rates |= {f"{name}_macro": mean, f"{name}_weighted": _ratio(parts, total)}
    return rates | {"balanced_accuracy": rates["recall_macro"]}


def intervals(
    labels: ArrayLike,
    p_all: ArrayLike,
    groups: ArrayLike | None = None,
    n: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """95 % percentile bootstrap interval, (low, high), of every rate of `metrics` at 0.5.

    Units are drawn with replacement within each class, `n` times, which keeps the class sizes of
    the test set (by image) or the number of people of each class (by person). With `groups`, the
    person of each image, whole people are drawn, because the cells of one person resemble each
    other. nan where a class has fewer than two units.
    """
    return _bootstrap(labels, [p_all], groups, n, seed)


def paired_intervals(
    labels: ArrayLike,
    p_a: ArrayLike,
    p_b: ArrayLike,
    groups: ArrayLike | None = None,
    n: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float, float]]:
    """As `intervals`, of the difference of two classifiers on the same images, A minus B.

    Both are judged on the same draw of units, so what is hard in it is hard for both, and the
    interval is shorter than those of the two rates suggest. Gives (difference, low, high) by rate.
    """
    a, b = metrics(labels, p_a), metrics(labels, p_b)
    limits = _bootstrap(labels, [p_a, p_b], groups, n, seed)
    return {name: (a[name] - b[name], *ends) for name, ends in limits.items()}


def _bootstrap(labels, answers, groups, n, seed) -> dict[str, tuple[float, float]]:
    """Low and high of the rates of one classifier, or of what two differ by on the same draws."""
    names = [*rates_from_counts(1, 1, 1, 1), "roc_auc"]
    labels, _ = _checked(labels, answers[0])
    groups = _groups(groups, labels)
    inverse = {y: np.unique(groups[labels == y], return_inverse=True)[1] for y in (0, 1)}
    sizes = {y: 1 + of_class.max() for y, of_class in inverse.items() if len(of_class)}
    if min(sizes.values()) < 2:
        return dict.fromkeys(names, (np.nan, np.nan))
    rates = [_Rates(*_checked(labels, p), inverse) for p in answers]
    rng, found = np.random.default_rng(seed), []
    batch, few = (max(1, of // len(labels)) for of in (2_000_000, 250_000))
    for start in range(0, n, batch):
        rows = min(batch, n - start)
        draws = {y: rng.integers(0, k, (rows, k)) for y, k in sizes.items()}
        for part in range(0, rows, few):  # what the processor's cache holds
            drawn = {y: _times_drawn(units[part : part + few]) for y, units in draws.items()}
            first, *second = (one.of(drawn) for one in rates)
            found.append(first - second[0] if second else first)
    limits = np.quantile(np.concatenate(found, axis=1), (0.025, 0.975), axis=1).T.tolist()
    return {name: (low, high) for name, (low, high) in zip(names, limits, strict=True)}


class _Rates:
    """Every rate of one classifier, in resamples that are given by how often each unit is drawn."""

    def __init__(self, labels, p_all, units):
        order = {y: np.argsort(p_all[labels == y], kind="stable") for y in (0, 1)}
        p = {y: p_all[labels == y][order[y]] for y in (0, 1)}
        self.units = {y: units[y][order[y]] for y in (0, 1)}
        self.called = {y: np.searchsorted(p[y], 0.5) for y in (0, 1)}  # from here on
        # For each ALL image, the HEM images below it and those below or equal: a tie counts half.
        self.below = [np.searchsorted(p[0], p[1], side) for side in ("left", "right")]

    def of(self, drawn):
        """From the draws of each class, float (rows, units), to the rates, (rates, rows)."""
        rows = len(next(iter(drawn.values())))
        weight = {
            y: drawn[y][:, unit] if len(unit) else np.zeros((rows, 0))
            for y, unit in self.units.items()
        }
        fp, tp = (weight[y][:, self.called[y] :].sum(1) for y in (0, 1))
        n_all, n_hem = weight[1].sum(1), weight[0].sum(1)
        rates = rates_from_counts(tp, fp, n_all - tp, n_hem - fp)
        lower = np.pad(np.cumsum(weight[0], axis=1), ((0, 0), (1, 0)))
        wins = (weight[1] * sum(lower[:, below] for below in self.below)).sum(1) / 2
        auc = np.where(n_all * n_hem > 0, _ratio(wins, n_all * n_hem), np.nan)
        return np.stack([*rates.values(), auc])


def _times_drawn(draws):
    """How often each of the units 0..k-1 occurs in each row of k draws."""
    rows, k = draws.shape
    flat = draws + k * np.arange(rows)[:, None]
    return np.bincount(flat.ravel(), minlength=rows * k).reshape(rows, k).astype(float)


def paired_test(labels: ArrayLike, p_a: ArrayLike, p_b: ArrayLike) -> dict:
    """McNemar's test of two classifiers on the same images.

    Only the images on which one is right and the other is not can tell the two apart. If both
    were equally good, each such image would be the toss of a coin. That takes the images to be
    independent of each other, which cells of one person are not: see `paired_test_by_person`.

    Returns
    -------
    dict
        ``both, only_a, only_b, neither``, the images rightly called; ``pvalue``, two-sided, from
        the binomial distribution where fewer than 25 images tell the two apart, else from the
        chi-squared with continuity correction; ``exact``, which of the two it was.
    """
    need("explain", "statsmodels")
    from statsmodels.stats.contingency_tables import mcnemar

    a, b = _right(labels, p_a), _right(labels, p_b)
    both, only_a, only_b, neither = (int(pair.sum()) for pair in (a & b, a & ~b, ~a & b, ~a & ~b))
    exact = only_a + only_b < 25
    found = mcnemar([[both, only_a], [only_b, neither]], exact=exact, correction=True)
    counts = {"both": both, "only_a": only_a, "only_b": only_b, "neither": neither}
    return {**counts, "pvalue": float(found.pvalue), "exact": exact}


def paired_test_by_person(
    labels: ArrayLike,
    p_a: ArrayLike,
    p_b: ArrayLike,
    groups: ArrayLike,
    n: int = 20_000,
    seed: int = 0,
) -> dict:
    """Sign-flip permutation test of two classifiers on the same images, whole people at a time.

    If A and B were equally good, then in each person it would be chance which of the two comes
    out ahead. So the two swap places in whole people, `n` times at random (or in all ways, where
    there are no more), and the difference that was found is compared with those that arise so.

    Returns
    -------
    dict
        ``difference``, accuracy of A minus that of B; ``people``, how many there are;
        ``pvalue``, two-sided. It cannot fall below 2 to the power of 1 - `people`.
    """
    from scipy import stats  # takes half a second

    gain = _right(labels, p_a).astype(int) - _right(labels, p_b)
    by_person = pd.Series(gain).groupby(_groups(groups, gain)).sum().to_numpy()
    pvalue = 1.0  # of one person: both of its two swaps are as far from 0
    if len(by_person) > 1:
        pvalue = stats.permutation_test(
            (by_person,),
            np.sum,
            permutation_type="samples",
            n_resamples=n,
            batch=1000,
            rng=np.random.default_rng(seed),
        ).pvalue
    return {"difference": float(gain.mean()), "people": len(by_person), "pvalue": float(pvalue)}


def confusion_from_printed(
    precision: float,
    recall: float,
    f1: float,
    accuracy: float,
    auc: float,
    n_all: int,
    n_hem: int,
    average: str = "macro",
) -> pd.DataFrame:
    """Every integer confusion matrix, ``tp, fn, fp, tn``, that rounds to a row of Tables 6-8.

    `auc`, which is balanced accuracy, is printed with three decimals and the others with two.
    `average` says how precision, recall and F1 are meant: over both classes ("macro", "weighted"),
    or of ALL alone ("all", Eqs. 5-7).
    """
    check_choice("average", average, AVERAGES)
    tp, fp = (grid.ravel() for grid in np.mgrid[0 : n_all + 1, 0 : n_hem + 1])
    counts = {"tp": tp, "fn": n_all - tp, "fp": fp, "tn": n_hem - fp}
    rates = rates_from_counts(**counts)
    printed = {
        f"precision_{average}": precision,
        "sensitivity" if average == "all" else f"recall_{average}": recall,
        f"f1_{average}": f1,
        "accuracy": accuracy,
    }
    fits = np.abs(rates["balanced_accuracy"] - auc) <= 0.0005 + 1e-9
    for name, value in printed.items():
        fits &= np.abs(rates[name] - value) <= 0.005 + 1e-9
    return pd.DataFrame(counts)[fits].reset_index(drop=True)


def _right(labels, p_all):
    labels, p_all = _checked(labels, p_all)
    return (p_all >= 0.5) == (labels == 1)


def _groups(groups, labels):
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    if len(groups) != len(labels):
        raise DataError(f"{len(groups)} groups for {len(labels)} labels; give one per image")
    return groups


def _class_rates(hits, false, missed):
    """Recall, precision and F1 of one class; recall and F1 are nan where it has no images."""
    absent = hits + missed == 0
    recall = np.where(absent, np.nan, _ratio(hits, hits + missed))
    f1 = np.where(absent, np.nan, _ratio(2 * hits, 2 * hits + false + missed))
    return recall, _ratio(hits, hits + false), f1


def _ratio(part, whole):
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)


def _checked(labels, p_all):
    labels, p_all = np.asarray(labels), np.asarray(p_all, float)
    if labels.ndim != 1 or labels.shape != p_all.shape or not len(labels):
        raise DataError(
            f"labels {labels.shape} and p_all {p_all.shape} do not pair up; "
            "give one of each per image, and at least one image"
        )
    if not np.isin(labels, (0, 1)).all():
        raise DataError("labels other than 0 (HEM) and 1 (ALL); leave out unlabelled images")
    if not ((p_all >= 0) & (p_all <= 1)).all():
        raise DataError("p_all holds values outside [0, 1]; give the softmax output for ALL")
    return labels.astype(np.int64), p_all
