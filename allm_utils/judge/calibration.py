"""Whether a probability means what it says, and what a threshold costs.

``labels`` (0 HEM, 1 ALL) and ``p_all`` (probability of ALL) are arrays of shape (N,), as in
`judge.metrics`.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.metrics import log_loss

from allm_utils.errors import ConfigError, DataError

_EPSILON = 1e-6  # from 0 and 1, before a logit; records hold six decimals
_BINS = 10  # of equal width, as in the reliability diagram


def log_odds(p_all: ArrayLike, neutral: float = 0.5) -> np.ndarray:
    """Log-odds of ALL, ``float (N,)``, above those of the probability that favours no class.

    A Series keeps its index.
    """
    return logit(np.clip(p_all, _EPSILON, 1 - _EPSILON)) - logit(neutral)


def calibration_error(labels: ArrayLike, p_all: ArrayLike) -> float:
    """Expected calibration error of the probability of ALL (Guo et al., 2017, Eq. 3), in [0, 1].

    The mean distance between what was promised and what came true, each of ten bins weighted by
    its images. Guo et al. take the probability of whichever class was answered; here it is that of
    ALL, as in the reliability diagram.
    """
    labels, p_all = np.asarray(labels), np.asarray(p_all, float)
    bin_of = np.minimum((p_all * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bin_of, p_all - labels, _BINS)  # n of the bin times its distance
    return float(np.abs(gaps).sum() / len(labels))


def calibration_error_by_chance(p_all: ArrayLike, n: int = 1000, seed: int = 0) -> np.ndarray:
    """Calibration errors of `n` test sets on which every probability is exactly right, ``(n,)``.

    Each image is ALL with its own probability. The error is not 0 even so: it counts the chance
    in every bin, and in small test sets there is much of it.
    """
    rng, p_all = np.random.default_rng(seed), np.asarray(p_all, float)
    return np.array([calibration_error(rng.random(len(p_all)) < p_all, p_all) for _ in range(n)])


def fit_temperature(labels: ArrayLike, p_all: ArrayLike) -> float:
    """Find the temperature under which the labels are the most likely (Guo et al., 2017).

    Above 1 for a model that is too sure, below 1 for one that is not sure enough; from 0.05 to 20.
    The images are not to be those that are judged.
    """

    def loss(log_temperature):
        return log_loss(labels, with_temperature(p_all, np.exp(log_temperature)), labels=(0, 1))

    return float(np.exp(minimize_scalar(loss, bounds=np.log((0.05, 20)), method="bounded").x))


def with_temperature(p_all: ArrayLike, temperature: float) -> np.ndarray:
    """Divide the logit of each probability by a temperature above 0.

    The order of the images stays, and so does each answer at the threshold 0.5.
    """
    if not temperature > 0:
        raise ConfigError(f"temperature {temperature}: give a positive number")
    return expit(log_odds(p_all) / temperature)


def threshold_at(labels: ArrayLike, p_all: ArrayLike, specificity: float) -> float:
    """Lowest threshold that leaves at least this share of the HEM images alone.

    An image is called ALL when ``p_all >= threshold``. Just above 1 where nothing less will do.
    """
    hem = np.sort(np.asarray(p_all, float)[np.asarray(labels) == 0])
    if not len(hem):
        raise DataError("no HEM image: specificity cannot be asked for")
    needed = int(np.ceil(specificity * len(hem) - 1e-9))
    return 0.0 if needed == 0 else float(np.nextafter(hem[needed - 1], 2))
