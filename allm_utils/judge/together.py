"""Several judges asked together, each counting alike.

The voice of a judge stands on its card: ``neutral``, the probability that favours no class, and
``spread``, the standard deviation of its log-odds on cells that it has not learned from. No label
is needed to weigh a judge.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from allm_utils.errors import ModelError
from allm_utils.judge.calibration import log_odds


def voice(p_all: ArrayLike, neutral: float = 0.5) -> dict[str, float]:
    """Measure the voice of a judge.

    Parameters
    ----------
    p_all : array, shape (N,)
        What it answers for cells that it has not learned from.
    neutral : float
        A network favours no class at the share of ALL among its training cells, grey copies left
        out; a probe, whose classes weigh alike, at 0.5.

    Returns
    -------
    dict of float
        ``neutral`` and ``spread``, for its card.
    """
    return {"neutral": float(neutral), "spread": float(log_odds(p_all, neutral).std())}


def together(answers: Iterable[ArrayLike], voices: Iterable[Mapping[str, Any]]) -> np.ndarray:
    """Probability of ALL, ``float (N,)``: the sum of all log-odds, each divided by its spread."""
    both = zip(answers, voices, strict=True)
    return expit(sum(log_odds(p, own["neutral"]) / own["spread"] for p, own in both))


def check(name: Any, card: Mapping[str, Any]) -> None:
    """Refuse, by a ModelError, the card of a judge that has no voice."""
    said = (card.get(key) for key in ("neutral", "spread"))
    neutral, spread = (value if isinstance(value, float) else math.nan for value in said)
    if not (0 < neutral < 1 and 0 < spread < math.inf):
        raise ModelError(
            f"{name}: its card does not say how it counts beside others (neutral, spread); "
            "train it again"
        )
