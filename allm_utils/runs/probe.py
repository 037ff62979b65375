"""Two classifiers that are fitted in seconds, to ask what a split alone is worth.

One is a linear probe: a logistic regression on the 1,024 features of MobileNet as ImageNet left it.
The other reads some eighty hand-made measures of colour, texture and size with boosted trees. No
network is trained, so neither can learn a patient by heart as a fine-tuned network can, and all
five parts of a split are done in a minute. Their runs are recorded like those of the networks.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from allm_utils.data import images, splits
from allm_utils.errors import ConfigError, DataError
from allm_utils.network.models import mobilenet_m, resolve_weights
from allm_utils.runs import experiment, records

MODELS = ("probe_mobilenet", "probe_handmade")

GROUPS = ("colour", "texture", "size")
"""Kinds of hand-made measures; the name of each measure begins with its kind."""

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_SCALES = (1, 2, 4, 8)


def deep_features(pictures, weights="imagenet", alpha=1.0, batch_size=64, progress=False):
    """Features of a MobileNet that has not seen a cell: what its average pooling gives.

    Parameters
    ----------
    pictures : array of uint8, shape (N, S, S, 3)
        May be a memory map: one batch at a time is read.
    weights : "imagenet", path-like or None
        As in `allm_utils.models.mobilenet_m`; None gives random features.
    alpha : float
        Width multiplier.
    batch_size : int
    progress : bool

    Returns
    -------
    ndarray of float32, shape (N, 1024 alpha)
        Of pictures scaled to [-1, 1], the range of the ImageNet weights.

    Raises
    ------
    WeightsError
        The weights are not to be had.
    """
    whole = mobilenet_m(weights, pictures.shape[1], alpha, scaling="imagenet", seed=0)
    backbone = keras.Model(whole.inputs, whole.get_layer("average_pooling").output)
    starts = tqdm(range(0, len(pictures), batch_size), "features", disable=not progress)
    batches = (np.asarray(pictures[start : start + batch_size]) for start in starts)
    return np.concatenate([np.asarray(backbone.predict_on_batch(batch)) for batch in batches])


def handmade_features(pictures, progress=False):
    """Measure colour, texture and size of each cell.

    Parameters
    ----------
    pictures : array of uint8, shape (N, S, S, 3)
        Cells on black.
    progress : bool

    Returns
    -------
    pandas.DataFrame of float
        One row per picture, one column per measure. Colour: mean, deviation, quantiles and
        histogram of red, green, blue and saturation inside the cell. Texture: how much the
        brightness varies at four scales. Size: area, perimeter, box, roundness, in pixels.

    Raises
    ------
    DataError
        A picture is all black.
    """
    rows = []
    for number, picture in enumerate(tqdm(pictures, "measuring", disable=not progress)):
        cell = picture.any(axis=-1)
        if not cell.any():
            raise DataError(f"picture {number} is all black; leave it out")
        rows.append(_colour(picture, cell) | _texture(picture, cell) | _size(cell))
    return pd.DataFrame(rows)


def _colour(picture, cell):
    inside = picture[cell].astype(float)
    red, green, blue = inside.T
    channels = {"red": red, "green": green, "blue": blue}
    channels["saturation"] = 255 * (1 - inside.min(axis=1) / inside.max(axis=1))
    found = {}
    for name, values in channels.items():
        found |= _spread(f"colour: {name}", values)
        bins = (0, 25, 50, 75, 100, 125, 150, 256)
        shares = np.histogram(values, bins)[0] / len(values)
        found |= {f"colour: {name} from {b}": s for b, s in zip(bins, shares, strict=False)}
    return found


def _texture(picture, cell):
    """How much the brightness varies inside the cell: its detail at each of four scales."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    inner = cv2.erode(cell.astype(np.uint8), np.ones((9, 9))).astype(bool)
    inner = inner if inner.any() else cell
    found = {}
    finer = grey
    for scale in _SCALES:
        coarser = cv2.GaussianBlur(grey, (0, 0), scale)
        found |= _spread(f"texture: detail {scale}", (finer - coarser)[inner])
        finer = coarser
    slopes = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return found | _spread("texture: slope", slopes[inner])


def _size(cell):
    mask = np.ascontiguousarray(cell, np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=cv2.contourArea)
    _, _, width, height = cv2.boundingRect(outline)
    perimeter, hull = cv2.arcLength(outline, closed=True), cv2.convexHull(outline)
    area = float(cell.sum())
    return {
        "size: area": area,
        "size: perimeter": perimeter,
        "size: width": float(width),
        "size: height": float(height),
        "size: thickness": float(cv2.distanceTransform(mask, cv2.DIST_L2, 5).max()),
        "size: roundness": 4 * np.pi * area / max(perimeter, 1.0) ** 2,
        "size: solidity": area / max(cv2.contourArea(hull), 1.0),
    }


def _spread(name, values):
    quantiles = zip(_QUANTILES, np.quantile(values, _QUANTILES), strict=True)
    found = {f"{name} mean": values.mean(), f"{name} deviation": values.std()}
    return found | {f"{name} quantile {q}": value for q, value in quantiles}


def linear(seed=0):
    """Make the linear probe: standardised features, logistic regression, classes weighted alike.

    Parameters
    ----------
    seed : int
        Not used: the solution is unique.

    Returns
    -------
    sklearn.pipeline.Pipeline
    """
    logistic = LogisticRegression(C=0.01, max_iter=2000, class_weight="balanced")
    return make_pipeline(StandardScaler(), logistic)


def boosted(seed=0):
    """Make the boosted trees: scikit-learn's defaults, classes weighted alike.

    Returns
    -------
    sklearn.ensemble.HistGradientBoostingClassifier
    """
    return HistGradientBoostingClassifier(class_weight="balanced", random_state=seed)


@dataclass(frozen=True)
class ProbeConfig:
    """Everything that decides a run of a probe.

    Attributes
    ----------
    data, out, work, experiment, folds, protocol, part, test, note
        As in `allm_utils.experiment.ExperimentConfig`.
    model : str
        One of `MODELS`.
    weights : "imagenet", path-like or None
        Of the linear probe's MobileNet. The hand-made measures need none.
    image_size, crop : int
        In pixels.
    seed : int
        Of the paper's split, and of the trees.
    """

    data: str | os.PathLike
    out: str | os.PathLike
    work: str | os.PathLike
    experiment: str = "probe"
    model: str = "probe_mobilenet"
    folds: tuple[int, ...] = (1,)
    protocol: str = "paper"
    part: int = 0
    test: str = "split"
    weights: str | os.PathLike | None = "imagenet"
    image_size: int = images.SIZE
    crop: int = images.CROP
    seed: int = 1337
    note: str = ""

    def __post_init__(self):
        splits.check_protocol(self.protocol, self.part, self.test)
        if self.model not in MODELS:
            raise ConfigError(f"model {self.model!r}: choose one of {', '.join(MODELS)}")
        if self.model == "probe_handmade":
            object.__setattr__(self, "weights", None)

    @property
    def alpha(self) -> float | None:
        """Width of the MobileNet, if there is one."""
        return 1.0 if self.model == "probe_mobilenet" else None

    def values(self) -> dict:
        """Return what decides the numbers, as plain JSON values; no paths of this machine."""
        values = asdict(self) | {"alpha": self.alpha, "folds": list(self.folds)}
        values["round"], values["split_seed"] = values.pop("part"), self.seed
        for name in ("data", "out", "work", "note", "experiment"):
            values.pop(name)
        if self.weights is not None:
            values["weights"] = Path(self.weights).name
        return values

    def run_id(self) -> str:
        """Name the run: model, protocol, folds, part, seed."""
        return experiment.name_run(self)


def features(config, frame, progress=False):
    """Features of each picture of a frame, computed once per fold and kept in the work folder.

    Parameters
    ----------
    config : ProbeConfig
    frame : pandas.DataFrame
        As `allm_utils.cnmc.index` gives.
    progress : bool

    Returns
    -------
    ndarray of float, shape (N, K)
        In the order of the frame.
    """
    cache = Path(config.work) / "images"
    weights = resolve_weights(config.weights)
    settings = [config.model, config.image_size, config.crop, weights and images.sha256(weights)]
    found = []
    for _, part in frame.groupby("fold", dropna=False):
        key = json.dumps(["features-1", *settings, images.digests(part, cache, progress)])
        name = f"features-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"
        path = Path(config.work) / "probe" / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            pictures = images.load(part, config.image_size, config.crop, cache, progress)
            if config.model == "probe_mobilenet":
                values = deep_features(pictures, config.weights, progress=progress)
            else:
                values = handmade_features(pictures, progress).to_numpy()
            np.save(path, values)
        found.append(pd.DataFrame(np.load(path), index=part.index))
    return pd.concat(found).loc[frame.index].to_numpy()


def run(config, progress=True):
    """Fit a probe on the training part, test it and record the run.

    Nothing is tuned, so the validation part is not used.

    Parameters
    ----------
    config : ProbeConfig
    progress : bool

    Returns
    -------
    Path
        The record's JSON file. It holds one condition, ``clean``; of the hand-made probe no
        parameters are counted, because trees grow with the data.

    Raises
    ------
    AllmError
        As the steps raise them; the record is written last, whole or not at all.
    """
    folder = Path(config.out) / config.experiment
    records.check_free(folder, config.run_id(), experiment.kind_of(config.data))
    start = experiment.began()
    frame, split = experiment.select(config)
    values, labels = features(config, frame, progress), frame["label"].to_numpy(int)
    train, test = (split == "train").to_numpy(), (split == "test").to_numpy()
    make = linear if config.model == "probe_mobilenet" else boosted
    classifier = make(config.seed).fit(values[train], labels[train])
    p_all = classifier.predict_proba(values[test])[:, 1]
    record = {
        **experiment.describe(config, frame, split, start),
        "weights": experiment.weights_file(resolve_weights(config.weights)),
        "parameters": records.PARAMETERS[config.model, config.alpha],
        "epochs_run": 0,
        "history": {},
        "conditions": ["clean"],
    }
    return records.write(folder, record, experiment.answers(frame[test], {"clean": p_all}))
