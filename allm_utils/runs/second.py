"""A second judge beside a network: boosted trees on hand-made measures of the same pictures.

NAME-handmade.safetensors, beside the network NAME, holds the trees as plain arrays, and its card
what is to be known of the pair. Nothing in it is run.
"""

import os
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from allm_utils.data import images
from allm_utils.data.people import person
from allm_utils.errors import ModelError, RecordError, check_choice, reason
from allm_utils.judge.calibration import EPSILON
from allm_utils.judge.metrics import metrics
from allm_utils.judge.predict import predict
from allm_utils.network import saving
from allm_utils.runs import experiment, measures, probe
from allm_utils.runs.config import ProbeConfig

SHARES = (0, 0.25, 0.5, 1, 2)
"""Shares of the trees' log-odds among which one is chosen."""

_TYPES = {"feature": "u1", "threshold": "f8", "left": "u2", "right": "u2", "value": "f4"}


def place(network: str | os.PathLike) -> Path:
    """Name the file of the second judge of a network."""
    return Path(network).with_name(f"{Path(network).stem}-handmade.safetensors")


def make(config: ProbeConfig, network: str | os.PathLike, progress: bool = True) -> Path:
    """Fit the second judge of a saved network on its split, and write it beside it.

    The trees learn from the training part alone. Their share is the one with the best ROC-AUC on
    the validation part, whose people neither judge has learned from.
    """
    check_choice("model", config.model, ("probe_handmade",))
    check_choice("learn_from", config.learn_from, ("train",))  # on the rest the share is chosen
    model, card = saving.load(network)
    frame, split = experiment.select(config)
    train, val = ((split == part).to_numpy() for part in ("train", "val"))
    if {*map(person, card.get("people", ()))} != {*person(frame["subject"][train])}:
        raise RecordError(f"{network}: was trained on other people; give the split of its record")
    labels, values = frame["label"].to_numpy(int), probe.features(config, frame, progress)
    weights = probe.cell_weights(config.draw, frame[train])
    arrays = _arrays(probe.fit(config, values[train], labels[train], weights))
    about = {key: card[key] for key in ("image_size", "crop", "classes", "people", "record")}
    about |= {"neutral": float(labels[train].mean()), "measures": values.shape[1]}
    shown = images.load(frame[val], card["image_size"], card["crop"], config.work / "images")
    judge = Second(arrays, {**about, "share": 1.0})
    p_all, odds = predict(model, shown, progress=progress), judge.odds(values[val])
    scores = {s: metrics(labels[val], judge.added(p_all, s * odds))["roc_auc"] for s in SHARES}
    about["share"] = max(scores, key=lambda s: scores[s])
    return saving.write(place(network), arrays, about)


def load(network: str | os.PathLike) -> "Second":
    """Open the second judge of a network; a ModelError where it is missing, broken or another's."""
    path = place(network)
    if not path.is_file():
        raise ModelError(
            f"{path}: no second judge beside the network; make it: allm probe --beside"
        )
    card, its = saving.read_card(path), saving.read_card(network)
    try:
        if any(card[key] != its.get(key) for key in ("image_size", "crop", "record")):
            raise ValueError("it belongs to another network")
        return Second(saving.arrays(path, card), card)
    except Exception as error:  # safetensors and NumPy raise many kinds for a broken file
        raise ModelError(f"{path}: cannot be loaded ({reason(error)}); make it again") from None


class Second:
    """Trees, and how much they count beside their network.

    The arrays are ``feature, threshold, left, right, value``, of shape (trees, nodes), where left
    and right of a leaf are 0, and ``baseline``, of shape (1,). The card says ``measures``, how many
    there are; ``neutral``, the network's probability that favours no class; ``share``, the weight
    of the trees' log-odds.
    """

    def __init__(self, arrays: dict[str, np.ndarray], card: dict):
        self.card, self._baseline = card, float(arrays["baseline"][0])
        self._nodes = {name: arrays[name].astype(kind) for name, kind in _TYPES.items()}
        self.share, self.neutral = float(card["share"]), float(card["neutral"])
        n = self._nodes["left"].shape[1]
        for name in ("left", "right"):  # a walk only goes on, so it ends
            child = self._nodes[name]
            if not ((child == 0) | (child > np.arange(n)) & (child < n)).all():
                raise ValueError("its trees are no trees")
        numbers = [self._nodes["value"], self._baseline, self.share, logit(self.neutral)]
        if not all(np.isfinite(one).all() for one in numbers):
            raise ValueError("not all its values are numbers")
        if not (self._nodes["feature"] < card["measures"]).all():
            raise ValueError("it asks for measures that are not there")

    def odds(self, values: np.ndarray) -> np.ndarray:
        """Log-odds of ALL from hand-made measures, ``float (N, K)``."""
        trees, node = np.arange(len(self._nodes["left"])), None
        node = np.zeros((len(values), len(trees)), np.intp)
        while (left := self._nodes["left"][trees, node]).any():
            measured = np.take_along_axis(values, self._nodes["feature"][trees, node], axis=1)
            below = measured <= self._nodes["threshold"][trees, node]
            child = np.where(below, left, self._nodes["right"][trees, node])
            node = np.where(left > 0, child, node)
        return self._baseline + self._nodes["value"][trees, node].sum(axis=1)

    def added(self, p_all: np.ndarray, odds: np.ndarray) -> np.ndarray:
        """Probability of ALL of the network and these log-odds together, 0.5 being neutral."""
        network = logit(np.clip(np.asarray(p_all, float), EPSILON, 1 - EPSILON))
        return expit(network - logit(self.neutral) + odds)

    def judge(self, p_all: np.ndarray, pictures: np.ndarray) -> np.ndarray:
        """Probability of ALL of both judges, from the network's and the pictures that it saw."""
        values = measures.handmade_features(pictures).to_numpy()
        return self.added(p_all, self.share * self.odds(values))


def _arrays(classifier) -> dict[str, np.ndarray]:
    """Nodes of scikit-learn's boosted trees, padded to the largest tree."""
    trees = [tree.nodes for (tree,) in classifier._predictors]
    found = {n: np.zeros((len(trees), max(map(len, trees))), kind) for n, kind in _TYPES.items()}
    names = {"feature": "feature_idx", "threshold": "num_threshold", "value": "value"}
    for row, nodes in enumerate(trees):
        inner = nodes["is_leaf"] == 0
        for name, kind in _TYPES.items():
            values = nodes[names.get(name, name)]
            kept = inner if name != "value" else ~inner
            found[name][row, : len(nodes)] = np.where(kept, values, 0).astype(kind)
    return {**found, "baseline": np.ravel(classifier._baseline_prediction)}
