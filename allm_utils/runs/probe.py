"""Classifiers that are fitted in seconds, to ask what a split alone is worth.

`probe_mobilenet` is a logistic regression on the 1,024 features of MobileNet as ImageNet left it.
`probe_middle` is Fisher's discriminant on what layers in its middle find, mean and spread.
`probe_handmade` reads some hundred measures of colour, texture and size with boosted trees.
`probe_fine` is Fisher's discriminant on hundreds of finer ones, of pictures that were not made
smaller. `area` is a logistic regression on the area of the cell alone: the ruler that every
network must beat. No network is trained, so none can learn a person by heart.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import ops
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from allm_utils.data import images
from allm_utils.data.people import person
from allm_utils.files import check_writable, sha256, write_arrays
from allm_utils.network.models import mobilenet_m, resolve_weights
from allm_utils.network.training import chances
from allm_utils.runs import experiment, measures, store
from allm_utils.runs.config import FROZEN, ProbeConfig

MIDDLE = ("conv_pw_5_relu", "conv_pw_7_relu", "conv_pw_9_relu")
"""Layers of MobileNet that `probe_middle` reads, of thirteen pairs."""


def deep_features(
    pictures, weights="imagenet", alpha=1.0, batch_size=64, progress=False, middle=False
):
    """Features of a MobileNet that has not seen a cell: what its average pooling gives.

    Takes ``uint8 (N, S, S, 3)``, which may be a memory map, and weights as `mobilenet_m` does.
    Returns ``float32 (N, 1024 alpha)``, of pictures scaled to [-1, 1]; with `middle` instead mean
    and standard deviation of every channel of the layers `MIDDLE`, ``float32 (N, 2560 alpha)``.
    """
    pictures = images.as_batch(pictures)
    whole = mobilenet_m(weights, pictures.shape[1], alpha, scaling="imagenet", seed=0)
    found = whole.get_layer("average_pooling").output
    if middle:
        maps = [whole.get_layer(name).output for name in MIDDLE]
        both = [measure(one, (1, 2)) for one in maps for measure in (ops.mean, ops.std)]
        found = ops.concatenate(both, -1)
    backbone = keras.Model(whole.inputs, found)
    starts = tqdm(range(0, len(pictures), batch_size), "features", disable=not progress)
    batches = (np.asarray(pictures[start : start + batch_size]) for start in starts)
    return np.concatenate([np.asarray(backbone.predict_on_batch(batch)) for batch in batches])


def area(pictures: np.ndarray) -> np.ndarray:
    """Count the pixels of each cell that are not exactly black: ``float (N, 1)``."""
    return np.array([[float(picture.any(axis=-1).sum())] for picture in images.as_batch(pictures)])


def linear() -> Pipeline:
    """Make the linear probe: standardised features, logistic regression, classes weighted alike."""
    logistic = LogisticRegression(C=0.01, max_iter=2000, class_weight="balanced")
    return make_pipeline(StandardScaler(), logistic)


def boosted(seed: int = 0) -> HistGradientBoostingClassifier:
    """Make the boosted trees: scikit-learn's defaults, classes weighted alike."""
    return HistGradientBoostingClassifier(class_weight="balanced", random_state=seed)


class _Fisher(RidgeClassifier):
    """Fisher's discriminant of two classes, found by ridge regression to the class, -1 or 1.

    Of two classes both find the same direction (Hastie et al., 2009, exercise 4.2), and the
    regression can weigh cells.
    """

    def predict_proba(self, values: np.ndarray) -> np.ndarray:
        """Turn the regression into probabilities, ``float (N, 2)``.

        (1 + regression) / 2 is an estimate of that of ALL, but leaves [0, 1]; this is the logistic
        curve with the same slope in the middle.
        """
        p_all = expit(2 * self.decision_function(values))
        return np.stack([1 - p_all, p_all], axis=1)


def fisher(n: int) -> Pipeline:
    """Make Fisher's discriminant of n cells: standardised features, their spread plus a tenth.

    Both classes weigh alike. The features are many and move together; without the tenth it would
    lean on differences that nobody could see twice.
    """
    regression = _Fisher(alpha=0.1 * n, class_weight="balanced")
    return Pipeline([("scale", StandardScaler()), ("fisher", regression)])


def features(config: ProbeConfig, frame: pd.DataFrame, progress: bool = False) -> np.ndarray:
    """Features of each picture of a frame, ``float (N, K)``, computed once and kept in work."""
    cache = config.work / "images"
    weights = resolve_weights(config.weights)
    settings = [config.model, config.image_size, config.crop, weights and sha256(weights)]
    found = []
    for _, part in frame.groupby("fold", dropna=False):
        key = json.dumps(["features-2", *settings, images.digests(part, cache, progress)])
        name = f"features-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"
        path = config.work / "probe" / name
        if not path.exists():
            pictures = images.load(part, config.image_size, config.crop, cache, progress)
            write_arrays(path, np.save, _measured(config, pictures, progress))
        values = images.open_array(path, (len(part),), np.floating)
        found.append(pd.DataFrame(values, index=part.index))
    return pd.concat(found).loc[frame.index].to_numpy()


def _measured(config, pictures, progress):
    if config.model in FROZEN:
        middle = config.model == "probe_middle"
        return deep_features(pictures, config.weights, progress=progress, middle=middle)
    if config.model == "area":
        return area(pictures)
    fine = config.model == "probe_fine"
    measure = measures.fine_features if fine else measures.handmade_features
    return measure(pictures, progress).to_numpy()


def cell_weights(draw: str, frame: pd.DataFrame) -> np.ndarray | None:
    """Weights of training cells, mean 1 in each class, ``float (N,)``; None for alike.

    If people are drawn, each cell weighs 1 / sqrt(cells of its person), as `training.chances`.
    """
    if draw == "cell":
        return None
    people = person(frame["subject"]).to_numpy()
    return len(frame) * chances(frame["label"].to_numpy(int), people)


def fit(config: ProbeConfig, values: np.ndarray, labels: np.ndarray, weights=None) -> Any:
    """Fit the classifier of a probe to ``float (N, K)`` values and ``int (N,)`` labels.

    Without weights, ``float (N,)``, all cells weigh the same.
    """
    if config.model == "probe_handmade":
        return boosted(config.seed).fit(values, labels, weights)
    if config.model in ("probe_fine", "probe_middle"):
        return fisher(len(values)).fit(values, labels, fisher__sample_weight=weights)
    return linear().fit(values, labels, logisticregression__sample_weight=weights)


def run(config: ProbeConfig, progress: bool = True) -> Path:
    """Fit a probe on the parts that it learns from, test it, and return the record's JSON file.

    The record holds one condition, ``clean``.
    """
    clock = experiment.Clock()
    check_writable(config.records)
    frame, split = experiment.select(config)
    about = experiment.describe(config, frame, split)
    store.check_free(config.records, config.run_id(), about["data"]["kind"])
    values, labels = features(config, frame, progress), frame["label"].to_numpy(int)
    train = split.isin(config.learn_from.split("+")).to_numpy()
    test = (split == "test").to_numpy()
    drawn = cell_weights(config.draw, frame[train])
    classifier = fit(config, values[train], labels[train], drawn)
    p_all = classifier.predict_proba(values[test])[:, 1]
    record = {
        **about,
        "weights": experiment.weights_file(resolve_weights(config.weights)),
        "parameters": store.PARAMETERS[config.model, None],
        **clock.alone(),
        "conditions": ["clean"],
    }
    return store.write(config.records, record, experiment.answers(frame[test], {"clean": p_all}))
