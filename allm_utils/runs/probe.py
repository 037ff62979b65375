"""Classifiers that are fitted in seconds, to ask what a split alone is worth.

`probe_mobilenet` is a logistic regression on the 1,024 features of MobileNet as ImageNet left it.
`probe_middle` is Fisher's discriminant on what layers in its middle find, mean and spread.
`probe_handmade` reads some hundred measures of colour, texture and size with boosted trees.
`probe_fine` is Fisher's discriminant on hundreds of finer ones, of pictures that were not made
smaller. `area` is a logistic regression on the area of the cell alone: the ruler that every
network must beat. No network is trained, so none can learn a person by heart.

A probe can be saved, and is then a model like any other: NAME.safetensors holds it as plain arrays
(`fitted`), NAME.json the card that says how to feed it.
"""

import hashlib
import json
import os
from collections.abc import Callable
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
from allm_utils.data.cnmc import CLASSES
from allm_utils.data.people import person
from allm_utils.errors import ModelError, WeightsError, check_choice, need, reason
from allm_utils.files import check_writable, sha256, write_arrays
from allm_utils.judge.together import voice
from allm_utils.network import saving
from allm_utils.network.models import mobilenet_m, resolve_weights
from allm_utils.network.training import chances
from allm_utils.runs import experiment, fitted, measures, store
from allm_utils.runs.config import FROZEN, PROBES, ProbeConfig

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
    network = _frozen(weights, pictures.shape[1], alpha, middle)
    return _through(network, pictures, progress, batch_size)


def _frozen(weights, size, alpha, middle):
    whole = mobilenet_m(weights, size, alpha, scaling="imagenet", seed=0)
    found = whole.get_layer("average_pooling").output
    if middle:
        maps = [whole.get_layer(name).output for name in MIDDLE]
        both = [measure(one, (1, 2)) for one in maps for measure in (ops.mean, ops.std)]
        found = ops.concatenate(both, -1)
    return keras.Model(whole.inputs, found)


def _through(network, pictures, progress=False, batch_size=64):
    starts = tqdm(range(0, len(pictures), batch_size), "features", disable=not progress)
    batches = (np.asarray(pictures[start : start + batch_size]) for start in starts)
    return np.concatenate([np.asarray(network.predict_on_batch(batch)) for batch in batches])


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
    regression can weigh cells. (1 + regression) / 2 is an estimate of the probability of ALL, but
    leaves [0, 1]; the logistic curve of twice the regression has the same slope in the middle. So
    twice the regression is kept, as log-odds.
    """

    def fit(self, values, labels, sample_weight=None):
        """Fit to ``float (N, K)`` values and ``int (N,)`` labels."""
        super().fit(values, labels, sample_weight)
        self.coef_, self.intercept_ = 2 * self.coef_, 2 * self.intercept_
        return self

    def predict_proba(self, values: np.ndarray) -> np.ndarray:
        """Turn the log-odds into probabilities, ``float (N, 2)``."""
        p_all = expit(self.decision_function(values))
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
            measure = _reader(config.model, config.image_size, config.weights)
            write_arrays(path, np.save, measure(pictures, progress))
        values = images.open_array(path, (len(part),), np.floating)
        found.append(pd.DataFrame(values, index=part.index))
    return pd.concat(found).loc[frame.index].to_numpy()


def _reader(model: str, size: int, weights: Any) -> Callable[..., np.ndarray]:
    """What turns pictures, ``uint8 (N, size, size, 3)``, into the measures of a probe."""
    if model in FROZEN:
        network = _frozen(weights, size, 1.0, model == "probe_middle")
        return lambda pictures, progress=False: _through(network, pictures, progress)
    if model == "area":
        return lambda pictures, _=False: area(pictures)
    fine = model == "probe_fine"
    measure = measures.fine_features if fine else measures.handmade_features
    return lambda pictures, progress=False: measure(pictures, progress).to_numpy()


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

    The record holds one condition, ``clean``. It is written last, after the model, if that is kept.
    """
    clock = experiment.Clock()
    check_writable(config.records)
    if config.model_file:
        saving.check_place(config.model_file, config.records)
    frame, split = experiment.select(config)
    about = experiment.describe(config, frame, split)
    store.check_free(config.records, config.run_id(), about["data"]["kind"])
    weights = experiment.weights_file(resolve_weights(config.weights))
    values, labels = features(config, frame, progress), frame["label"].to_numpy(int)
    learned = split.isin(config.learn_from.split("+")).to_numpy()
    test = (split == "test").to_numpy()

    def learn(rows: np.ndarray) -> Any:
        return fit(config, values[rows], labels[rows], cell_weights(config.draw, frame[rows]))

    classifier = learn(learned)
    p_all = classifier.predict_proba(values[test])[:, 1]
    if config.model_file:
        train, val = ((split == part).to_numpy() for part in ("train", "val"))
        card = {"image_size": config.image_size, "crop": config.crop}
        card["weights"] = weights and weights["name"]
        card["record"] = f"{config.experiment}/{config.run_id()}"
        card["test"] = about["split"]["test"]["sha256"]
        card["people"] = sorted(person(frame["subject"][learned]).unique())
        card |= voice(learn(train).predict_proba(values[val])[:, 1])
        save(config.model, classifier, config.model_file, card)
    record = {
        **about,
        "weights": weights,
        "parameters": store.PARAMETERS[config.model, None],
        **clock.alone(),
        "conditions": ["clean"],
    }
    return store.write(config.records, record, experiment.answers(frame[test], {"clean": p_all}))


# -- on disk ----------------------------------------------------------------------------------


def save(model: str, classifier: Any, path: Path, card: dict) -> Path:
    """Write a fitted probe as arrays, and its card.

    To be given are ``image_size``, ``crop`` and ``weights``, the name of the file with the ImageNet
    weights of a frozen MobileNet, or None.
    """
    n = classifier.n_features_in_
    about = {"probe": model, "measures": n, "classes": list(CLASSES), **card}
    return saving.write(path, fitted.arrays(classifier), about)


def load(
    path: str | os.PathLike, weights: str | os.PathLike | None = "imagenet"
) -> tuple["Probe", dict]:
    """Open a saved probe with its card; a ModelError where it is broken.

    What reads a frozen MobileNet needs its weights, as `resolve_weights` finds them, or says that
    it cannot. Finer measures need scikit-image; a ConfigError where it is missing.
    """
    card = saving.read_card(path)
    if card.get("probe") == "probe_fine":
        need("explain", "skimage")
    try:
        check_choice("probe", card["probe"], PROBES)
        saving.check_size(Path(path).stat().st_size)
        arrays = saving.arrays(Path(path), card)
        fitted.check(arrays, card["measures"])
        found = card["weights"] and resolve_weights(weights)
        if card["weights"] and Path(found or "none").name != card["weights"]:
            raise ValueError(f"it needs {card['weights']} as weights, and not {weights}")
        return Probe(card, arrays, found), card
    except WeightsError:
        raise
    except Exception as error:  # safetensors, NumPy and Keras raise many kinds for a broken file
        raise ModelError(
            f"{path}: cannot be loaded ({reason(error)}); fit or copy it again"
        ) from None


class Probe:
    """A probe that was saved, asked as a network is."""

    output_shape = (None, 2)

    def __init__(self, card: dict, arrays: dict[str, np.ndarray], weights: Path | None):
        size = card["image_size"]
        self.name, self.input_shape = card["probe"], (None, size, size, 3)
        self._read, self._arrays = _reader(self.name, size, weights), arrays

    def predict_on_batch(self, pictures: np.ndarray) -> np.ndarray:
        """Probabilities of HEM and ALL, ``float32 (N, 2)``, of ``uint8 (N, H, W, 3)``."""
        p_all = expit(fitted.odds(self._arrays, self._read(pictures))).astype(np.float32)
        return np.stack([1 - p_all, p_all], axis=1)
