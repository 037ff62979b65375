"""Classifiers that are fitted in seconds, to ask what a split alone is worth.

`probe_mobilenet` is a logistic regression on the 1,024 features of MobileNet as ImageNet left it.
`probe_handmade` reads some hundred measures of colour, texture and size with boosted trees.
`probe_fine` is a linear discriminant (Fisher) on hundreds of finer ones, of pictures that were not
made smaller. `area` is a logistic regression on the area of the cell alone: the ruler that every
network must beat. No network is trained, so none can learn a person by heart.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from allm_utils.data import images
from allm_utils.errors import ConfigError
from allm_utils.files import check_writable, sha256, write_arrays
from allm_utils.network.models import mobilenet_m, resolve_weights
from allm_utils.runs import experiment, measures, store
from allm_utils.runs.config import ProbeConfig


def deep_features(pictures, weights="imagenet", alpha=1.0, batch_size=64, progress=False):
    """Features of a MobileNet that has not seen a cell: what its average pooling gives.

    Takes ``uint8 (N, S, S, 3)``, which may be a memory map, and weights as `mobilenet_m` does.
    Returns ``float32 (N, 1024 alpha)``, of pictures scaled to [-1, 1].
    """
    pictures = images.as_batch(pictures)
    whole = mobilenet_m(weights, pictures.shape[1], alpha, scaling="imagenet", seed=0)
    backbone = keras.Model(whole.inputs, whole.get_layer("average_pooling").output)
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


def fisher() -> Pipeline:
    """Make Fisher's discriminant: standardised measures, their covariance shrunk by a tenth.

    Both classes weigh alike. The features are many and move together; without shrinkage it would
    lean on differences that nobody could see twice.
    """
    discriminant = LinearDiscriminantAnalysis("lsqr", shrinkage=0.1, priors=(0.5, 0.5))
    return make_pipeline(StandardScaler(), discriminant)


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
    if config.model == "probe_mobilenet":
        return deep_features(pictures, config.weights, progress=progress)
    if config.model == "area":
        return area(pictures)
    fine = config.model == "probe_fine"
    measure = measures.fine_features if fine else measures.handmade_features
    return measure(pictures, progress).to_numpy()


def fit(config: ProbeConfig, values: np.ndarray, labels: np.ndarray, weights=None) -> Any:
    """Fit the classifier of a probe to ``float (N, K)`` values and ``int (N,)`` labels.

    Without weights all cells weigh the same; a ConfigError for those of probe_fine.
    """
    if config.model == "probe_handmade":
        return boosted(config.seed).fit(values, labels, weights)
    if config.model == "probe_fine":
        if weights is not None:
            raise ConfigError("model probe_fine: all its cells weigh the same; give another model")
        return fisher().fit(values, labels)
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
    classifier = fit(config, values[train], labels[train])
    p_all = classifier.predict_proba(values[test])[:, 1]
    record = {
        **about,
        "weights": experiment.weights_file(resolve_weights(config.weights)),
        "parameters": store.PARAMETERS[config.model, None],
        **clock.alone(),
        "conditions": ["clean"],
    }
    return store.write(config.records, record, experiment.answers(frame[test], {"clean": p_all}))
