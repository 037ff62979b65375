"""Fitted classifiers as plain arrays, so that nothing in their file is run.

Boosted trees are ``feature, threshold, left, right, value``, of shape (trees, nodes), where left
and right of a leaf are 0, and ``bias``, of shape (1,). What is linear is ``weights``, of shape
(K,), and ``bias``. Both give log-odds of ALL.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

_NODES = {"feature": "u2", "threshold": "f8", "left": "u2", "right": "u2", "value": "f4"}


def arrays(classifier: Any) -> dict[str, np.ndarray]:
    """Take what decides out of a classifier that `probe.fit` has made."""
    if not isinstance(classifier, HistGradientBoostingClassifier):
        scaler, linear = classifier[0], classifier[-1]
        weights = np.ravel(linear.coef_) / scaler.scale_
        return {"weights": weights, "bias": np.ravel(linear.intercept_) - scaler.mean_ @ weights}
    trees = [tree.nodes for (tree,) in classifier._predictors]
    found = {n: np.zeros((len(trees), max(map(len, trees))), kind) for n, kind in _NODES.items()}
    names = {"feature": "feature_idx", "threshold": "num_threshold"}
    for row, nodes in enumerate(trees):
        inner = nodes["is_leaf"] == 0
        for name, kind in _NODES.items():
            kept = inner if name != "value" else ~inner
            values = np.where(kept, nodes[names.get(name, name)], 0)
            found[name][row, : len(nodes)] = values.astype(kind)
    return {**found, "bias": np.ravel(classifier._baseline_prediction)}


def check(arrays: Mapping[str, np.ndarray], n_measures: int) -> None:
    """Refuse, by a ValueError, arrays that cannot decide by so many measures."""
    if not all(np.isfinite(values).all() for values in arrays.values()):
        raise ValueError("not all its values are numbers")
    if arrays["bias"].shape != (1,):
        raise ValueError("it has no bias")
    if "weights" in arrays:
        if arrays["weights"].shape != (n_measures,):
            raise ValueError("its weights are not one for each measure")
        return
    feature, _, left, right, _ = nodes = [arrays[name] for name in _NODES]
    kinds = [np.dtype(kind) for kind in _NODES.values()]
    shapes = {one.shape for one in nodes}
    if [one.dtype for one in nodes] != kinds or len(shapes) != 1 or left.ndim != 2:
        raise ValueError("its trees are no trees")
    after = np.arange(left.shape[1])
    for child in (left, right):  # a walk only goes on, so it ends
        if not ((child == 0) | (child > after) & (child < len(after))).all():
            raise ValueError("its trees are no trees")
    if (feature >= n_measures).any():
        raise ValueError("it asks for measures that are not there")


def odds(arrays: Mapping[str, np.ndarray], values: np.ndarray) -> np.ndarray:
    """Log-odds of ALL, ``float (N,)``, of measures, ``float (N, K)``."""
    if "weights" in arrays:
        return values @ arrays["weights"] + arrays["bias"]
    left, trees = arrays["left"], np.arange(len(arrays["left"]))
    node = np.zeros((len(values), len(trees)), np.intp)
    while (inner := left[trees, node]).any():
        measured = np.take_along_axis(values, arrays["feature"][trees, node].astype(int), axis=1)
        below = measured <= arrays["threshold"][trees, node]
        child = np.where(below, inner, arrays["right"][trees, node])
        node = np.where(inner > 0, child, node)
    return arrays["bias"] + arrays["value"][trees, node].sum(axis=1)
