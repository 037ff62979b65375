"""Fitted classifiers as plain arrays."""

import numpy as np
import pytest
from scipy.special import expit

from allm_utils.runs import fitted, probe
from allm_utils.runs.config import PROBES, ProbeConfig


@pytest.fixture(scope="module")
def learned():
    """Measures and labels of 600 cells: one measure is constant, two matter only together."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(600, 9)).round(1)
    values[:, 8] = 3
    odds = values[:, 0] * values[:, 1] + values[:, 2] + rng.normal(0, 0.3, 600)
    return values, (odds > 0).astype(int)


@pytest.fixture(scope="module", params=PROBES)
def classifier(request, learned):
    size = {"image_size": 300} if request.param == "probe_fine" else {}
    return probe.fit(ProbeConfig(model=request.param, **size), *learned)


def test_the_arrays_answer_as_scikit_learn_does(classifier, learned):
    arrays, values = fitted.arrays(classifier), learned[0]
    fitted.check(arrays, 9)
    expected = classifier.predict_proba(values)[:, 1]
    np.testing.assert_allclose(expit(fitted.odds(arrays, values)), expected, atol=1e-6)
    assert np.ptp(expected) > 0.5


SPOILT = [
    ("left", lambda one: one + 1),
    ("left", lambda one: one[0]),
    ("left", lambda one: one.astype("i8") - 65536),
    ("right", lambda one: one[:, 1:]),
    ("feature", lambda one: one + 9),
    ("value", lambda one: np.nan * one),
    ("weights", lambda one: np.inf * one),
    ("weights", lambda one: one[1:]),
    ("bias", lambda one: np.r_[one, one]),
]


@pytest.mark.parametrize(("name", "spoil"), SPOILT)
def test_spoilt_arrays_are_refused(classifier, name, spoil):
    arrays = fitted.arrays(classifier)
    if name not in arrays:
        pytest.skip("of the other kind")
    with pytest.raises(ValueError, match=r"^(its|it|not) "):
        fitted.check(arrays | {name: spoil(arrays[name])}, 9)
