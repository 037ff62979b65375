"""Calibration and operating points, against theory."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from allm_utils.errors import ConfigError, DataError
from allm_utils.judge import calibration


def made(n=4000, temperature=1.0, seed=0):
    """Labels that are true to a probability, and that probability at another temperature."""
    rng = np.random.default_rng(seed)
    p = expit(rng.normal(0.5, 2, n))
    return (rng.random(n) < p).astype(int), expit(logit(p) / temperature)


def test_log_odds_are_those_above_the_probability_that_favours_no_class():
    np.testing.assert_allclose(calibration.log_odds([0.5, 0.8], 0.5), [0, np.log(4)])
    np.testing.assert_allclose(calibration.log_odds([0.6, 0.8], 0.6), [0, logit(0.8) - logit(0.6)])
    assert np.isfinite(calibration.log_odds(np.array([0, 1], np.float32))).all()
    assert calibration.log_odds(pd.Series([0.5], ["a"]))["a"] == 0


def test_calibration_error_by_hand():
    labels, p_all = [1, 0, 1, 1], [0.62, 0.68, 0.68, 1.0]
    # bin 0.6 to 0.7: promised 0.66, came true 2 of 3; bin 0.9 to 1: 1.0, 1 of 1
    assert calibration.calibration_error(labels, p_all) == pytest.approx(0.75 * abs(0.66 - 2 / 3))
    assert calibration.calibration_error([1, 0], [0.5, 0.5]) == 0
    assert calibration.calibration_error([0, 0], [1.0, 1.0]) == 1


def test_calibration_error_by_chance_is_that_of_a_perfect_model():
    labels, p_all = made(500)
    by_chance = calibration.calibration_error_by_chance(p_all, n=300)
    assert by_chance.shape == (300,) and by_chance.min() > 0
    found = calibration.calibration_error(labels, p_all)
    assert np.quantile(by_chance, 0.005) < found < np.quantile(by_chance, 0.995)
    assert calibration.calibration_error(*made(500, 0.3)) > by_chance.max()
    again = calibration.calibration_error_by_chance(p_all, n=300)
    np.testing.assert_array_equal(by_chance, again)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_temperature_is_found_again(temperature):
    labels, p_all = made(temperature=1 / temperature)
    found = calibration.fit_temperature(labels, p_all)
    assert found == pytest.approx(temperature, rel=0.1)
    better = calibration.with_temperature(p_all, found)
    assert calibration.calibration_error(labels, better) < 0.02


def test_a_temperature_keeps_order_and_answers():
    _, p_all = made(300)
    cooled = calibration.with_temperature(p_all, 0.5)
    np.testing.assert_array_equal(np.argsort(cooled), np.argsort(p_all))
    np.testing.assert_array_equal(cooled >= 0.5, p_all >= 0.5)
    np.testing.assert_allclose(calibration.with_temperature(p_all, 1), p_all)
    assert np.isfinite(calibration.with_temperature([0.0, 1.0], 3)).all()
    with pytest.raises(ConfigError, match="positive"):
        calibration.with_temperature(p_all, 0)


def test_threshold_at_is_the_lowest():
    labels = np.array([0, 0, 0, 0, 1, 1])
    p_all = np.array([0.1, 0.2, 0.2, 0.7, 0.15, 0.9])
    for specificity in (0.25, 0.5, 0.75, 0.9, 1.0):
        threshold = calibration.threshold_at(labels, p_all, specificity)
        assert np.mean(p_all[labels == 0] < threshold) >= specificity
        lower = np.nextafter(threshold, 0)
        assert np.mean(p_all[labels == 0] < lower) < specificity
    assert calibration.threshold_at(labels, p_all, 0) == 0
    assert calibration.threshold_at([0], [1.0], 1) > 1
    with pytest.raises(DataError, match="no HEM"):
        calibration.threshold_at([1], [0.5], 0.9)
