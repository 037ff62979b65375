"""When a network is to be silent: calls with a promise by people, and how strange a cell is.

A cell is called HEM below one limit and ALL above another; between them it is referred to a human.
The limits come from people who are neither in training nor judged. Cells of one person resemble
each other, so people count: the quantile is that of hierarchical conformal prediction (Lee, Barber
& Willett, 2023), where each person has one vote, shared among their cells. Libraries such as MAPIE
take the cells themselves as exchangeable, which would promise far too much.
"""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.covariance import LedoitWolf
from sklearn.preprocessing import StandardScaler

from allm_utils.data.cnmc import CLASSES
from allm_utils.errors import ConfigError, DataError

REFER = "refer"
CALLS = (CLASSES[0], REFER, CLASSES[1])


def limits(
    labels: ArrayLike, odds: ArrayLike, groups: ArrayLike, miss_all: float, miss_hem: float
) -> tuple[float, float]:
    """Limits under which a cell of a new person is called wrongly with a small chance.

    Parameters
    ----------
    labels, odds, groups : arrays, shape (N,)
        0 HEM or 1 ALL; whatever rises with the chance of ALL, as log-odds; the person of each cell.
        To judge people, give one row each.
    miss_all, miss_hem : float
        Chance at most that a random cell of a new leukemic person is called HEM, and that one of a
        new healthy person is called ALL. It holds if new people come as those here did.

    Returns
    -------
    low, high : float
        As `calls` takes them. Infinite where there are too few people: k people can promise no
        less than 1 / (k + 1).
    """
    labels, odds, groups = np.asarray(labels), np.asarray(odds, float), np.asarray(groups)
    if not {0, 1} <= set(labels.tolist()):
        raise DataError("limits need people of both classes; give them")
    low = _lowest(odds[labels == 1], groups[labels == 1], miss_all)
    high = -_lowest(-odds[labels == 0], groups[labels == 0], miss_hem)
    if low > high:  # any limit between the two keeps both promises
        low = high = (low + high) / 2
    return low, high


def _lowest(odds, groups, miss):
    """Largest value below which lies at most this share of the votes, a stranger's included."""
    if not 0 < miss < 1:
        raise ConfigError(f"chance {miss}: give a number between 0 and 1")
    _, person, cells = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(odds, kind="stable")
    votes = 1 / cells[person[order]]
    below = (1 + np.cumsum(votes) - votes) / (len(cells) + 1)
    kept = np.flatnonzero(below <= miss + 1e-12)
    return float(odds[order][kept[-1]]) if len(kept) else -np.inf


def calls(odds: ArrayLike, low: float, high: float) -> np.ndarray:
    """Call each cell "HEM" (below `low`), "ALL" (above `high`), or `REFER` it."""
    odds = np.asarray(odds, float)
    if low == high:
        return np.where(odds < low, *CLASSES)
    return np.select([odds < low, odds > high], CLASSES, REFER)


def outcome(labels: ArrayLike, called: ArrayLike, groups: ArrayLike) -> dict[str, float]:
    """Say what calls leave to a human, and what is wrong among the rest, as shares.

    ``referred`` of all cells; ``wrong`` of the cells that are called; ``missed``, cells of leukemic
    people called HEM, and ``alarms``, cells of healthy people called ALL, both as the mean over
    people, as promised by `limits`; ``people referred``, those with no more than half of their
    cells called.
    """
    labels, called, groups = np.asarray(labels), np.asarray(called), np.asarray(groups)
    silent = called == REFER
    wrong = ~silent & (called != np.asarray(CLASSES)[labels])
    by_person = {
        who: (labels[groups == who][0], wrong[groups == who].mean(), silent[groups == who].mean())
        for who in np.unique(groups)
    }
    label, share, asked = map(np.array, zip(*by_person.values(), strict=True))
    return {
        "referred": float(silent.mean()),
        "wrong": float(wrong.sum() / max(1, (~silent).sum())),
        "missed": float(share[label == 1].mean()) if (label == 1).any() else np.nan,
        "alarms": float(share[label == 0].mean()) if (label == 0).any() else np.nan,
        "people referred": float((asked >= 0.5).mean()),
    }


def strangeness(known: ArrayLike, labels: ArrayLike, features: ArrayLike) -> np.ndarray:
    """Mahalanobis distance of cells to the nearer class of the known ones (Lee et al., 2018).

    Takes features (N, K) and classes (N,) of the cells in training, and features (M, K) of those in
    question. Within a class the features have one covariance, shrunk as by Ledoit and Wolf.
    """
    labels, scaler = np.asarray(labels), StandardScaler()
    inside, asked = scaler.fit_transform(known), scaler.transform(features)
    centres = np.stack([inside[labels == label].mean(axis=0) for label in (0, 1)])
    shape = LedoitWolf(assume_centered=True).fit(inside - centres[labels])
    return np.sqrt(np.min([shape.mahalanobis(asked - centre) for centre in centres], axis=0))
