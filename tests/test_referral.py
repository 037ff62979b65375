"""Referral: the promise holds for new people of the same kind, and not for others."""

import numpy as np
import pytest

from allm_utils.errors import ConfigError, DataError
from allm_utils.judge import referral


def made(rng, n_people):
    """People of both classes; the cells of one lie close together, and some have many."""
    labels, odds, groups = [], [], []
    for number in range(n_people):
        label, cells = number % 2, int(rng.integers(2, 60))
        own = rng.normal(3 * label - 1.5, 1.5) + rng.normal(0, 0.5, cells)
        labels += [label] * cells
        odds += own.tolist()
        groups += [number] * cells
    return np.array(labels), np.array(odds), np.array(groups)


def test_the_promise_is_kept_by_people_and_not_by_cells():
    rng = np.random.default_rng(0)
    found = {"people": [], "cells": [], "moved": []}
    for _ in range(80):
        labels, odds, groups = made(rng, 40)
        new, new_odds, new_groups = made(rng, 40)
        fair = referral.limits(labels, odds, groups, 0.1, 0.2)
        rosy = referral.limits(labels, odds, np.arange(len(odds)), 0.1, 0.2)
        for name, (low, high), shift in (
            ("people", fair, 0),
            ("cells", rosy, 0),
            ("moved", fair, 2),
        ):
            called = referral.calls(new_odds + shift, low, high)
            found[name].append(referral.outcome(new, called, new_groups))
    missed, alarms = (
        {name: np.mean([one[key] for one in several]) for name, several in found.items()}
        for key in ("missed", "alarms")
    )
    assert 0.05 < missed["people"] <= 0.105 and 0.14 < alarms["people"] <= 0.21
    assert missed["cells"] > missed["people"] + 0.02  # cells promise too much
    assert alarms["moved"] > 0.4 and missed["moved"] < missed["people"]  # the people have changed


def test_limits_by_hand():
    labels = np.array([1, 1, 1, 1, 0, 0])
    odds = np.array([-1.0, 2.0, 1.0, 3.0, 0.5, -2.0])
    groups = np.array(["a", "a", "b", "c", "x", "y"])
    # three leukemic people and a stranger: a quarter of the votes is gone; half of a's is an eighth
    assert referral.limits(labels, odds, groups, 0.3, 0.4) == (-1.0, 0.5)
    assert referral.limits(labels, odds, groups, 0.38, 0.4) == (0.75, 0.75)  # 1.0 and 0.5 cross
    low, high = referral.limits(labels, odds, groups, 0.2, 0.3)
    assert (low, high) == (-np.inf, np.inf)  # too few people for so much
    assert set(referral.calls(odds, low, high)) == {"refer"}
    assert referral.calls([-3, 0, 3], -1, 1).tolist() == ["HEM", "refer", "ALL"]
    assert referral.calls([0, 1, 2], 1, 1).tolist() == ["HEM", "ALL", "ALL"]
    with pytest.raises(DataError, match="both classes"):
        referral.limits(labels[:4], odds[:4], groups[:4], 0.3, 0.3)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        referral.limits(labels, odds, groups, 0, 0.3)


def test_an_outcome_by_hand():
    labels, groups = [1, 1, 1, 0, 0], ["a", "a", "b", "x", "x"]
    found = referral.outcome(labels, ["HEM", "ALL", "refer", "ALL", "HEM"], groups)
    assert found == {
        "referred": 0.2,
        "wrong": 0.5,
        "missed": 0.25,
        "alarms": 0.5,
        "people referred": pytest.approx(1 / 3),
    }


def test_what_is_like_no_class_is_strange():
    rng = np.random.default_rng(1)
    labels = np.arange(400) % 2
    known = rng.normal(0, 1, (400, 5)) + 6 * labels[:, None]
    near = rng.normal(0, 1, (200, 5)) + 6 * (np.arange(200) % 2)[:, None]
    between = rng.normal(3, 1, (200, 5))
    strange = referral.strangeness(known, labels, np.concatenate([near, between]))
    assert np.median(strange[:200]) == pytest.approx(np.sqrt(5), abs=0.4)
    assert (strange[200:] > np.quantile(strange[:200], 0.95)).mean() > 0.9
