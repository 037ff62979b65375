"""Whether to believe a trained model: calibration, the operating point, Grad-CAM, corruptions."""

from datetime import UTC, datetime
from pathlib import Path

import cv2
import keras
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from scipy.stats import bootstrap
from sklearn.metrics import log_loss
from sklearn.model_selection import LeaveOneGroupOut
from tqdm.auto import tqdm

from allm_utils.data import images
from allm_utils.errors import ConfigError, DataError
from allm_utils.judge.metrics import predict
from allm_utils.network import models
from allm_utils.runs import experiment, records

EPSILON = 1e-6
"""Probabilities are kept this far from 0 and 1 before their logit is taken; records hold six
decimals."""

# -- calibration ------------------------------------------------------------------------------


def calibration_error(labels, p_all, bins=10):
    """Expected calibration error of the probability of ALL (Guo et al., 2017, Eq. 3).

    Guo et al. take the probability of whichever class was answered; here it is that of ALL, as in
    the reliability diagram.

    Parameters
    ----------
    labels : array of int, shape (N,)
        0 HEM, 1 ALL.
    p_all : array of float, shape (N,)
        Probability of ALL in [0, 1].
    bins : int
        Of equal width.

    Returns
    -------
    float
        Mean distance between what was promised and what came true, in [0, 1], each bin weighted
        by its images.
    """
    labels, p_all = np.asarray(labels), np.asarray(p_all, float)
    bin_of = np.minimum((p_all * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, p_all - labels, bins)  # n of the bin times its distance
    return float(np.abs(gaps).sum() / len(labels))


def calibration_error_by_chance(p_all, bins=10, n=1000, seed=0):
    """Calibration errors of `n` test sets on which every probability is exactly right.

    Each image is ALL with its own probability. The error is not 0 even so: it counts the chance
    in every bin, and in small test sets there is much of it.

    Parameters
    ----------
    p_all : array of float, shape (N,)
    bins, n, seed : int

    Returns
    -------
    ndarray of float, shape (n,)
    """
    rng = np.random.default_rng(seed)
    return np.array(
        [calibration_error(rng.random(len(p_all)) < p_all, p_all, bins) for _ in range(n)]
    )


def fit_temperature(labels, p_all):
    """Find the temperature under which the labels are the most likely (Guo et al., 2017).

    Parameters
    ----------
    labels : array of int, shape (N,)
        Of images that are not those to be judged.
    p_all : array of float, shape (N,)

    Returns
    -------
    float
        Above 1 for a model that is too sure, below 1 for one that is not sure enough. From 0.05
        to 20.
    """

    def loss(log_temperature):
        return log_loss(labels, with_temperature(p_all, np.exp(log_temperature)), labels=(0, 1))

    return float(np.exp(minimize_scalar(loss, bounds=np.log((0.05, 20)), method="bounded").x))


def with_temperature(p_all, temperature):
    """Divide the logit of each probability by a temperature.

    The order of the images stays, and so does each answer at the threshold 0.5.

    Parameters
    ----------
    p_all : array of float, shape (N,)
    temperature : float
        Positive.

    Returns
    -------
    ndarray of float, shape (N,)

    Raises
    ------
    ConfigError
        The temperature is not positive.
    """
    if not temperature > 0:
        raise ConfigError(f"temperature {temperature}: give a positive number")
    return expit(logit(np.clip(p_all, EPSILON, 1 - EPSILON)) / temperature)


def cross_fitted(labels, p_all, groups):
    """Calibrate the images of each subject with the temperature of all the others.

    For test sets to which no validation part belongs. No image is judged by a temperature that
    has seen its label, or that of another cell of the same subject.

    Parameters
    ----------
    labels, p_all
        As in `fit_temperature`.
    groups : array, shape (N,)
        The subject of each image.

    Returns
    -------
    calibrated : ndarray of float, shape (N,)
    temperatures : dict of str to float
        That used for each subject.

    Raises
    ------
    DataError
        There are fewer than two subjects.
    """
    labels, p_all, groups = np.asarray(labels), np.asarray(p_all, float), np.asarray(groups)
    if len(np.unique(groups)) < 2:
        raise DataError("one subject only: no other one is there to fit the temperature on")
    calibrated, temperatures = np.empty(len(p_all)), {}
    for others, own in LeaveOneGroupOut().split(p_all, labels, groups):
        temperature = fit_temperature(labels[others], p_all[others])
        calibrated[own] = with_temperature(p_all[own], temperature)
        temperatures[groups[own][0]] = temperature
    return calibrated, temperatures


# -- operating point --------------------------------------------------------------------------


def threshold_at(labels, p_all, specificity):
    """Lowest threshold that leaves at least this share of the HEM images alone.

    Parameters
    ----------
    labels : array of int, shape (N,)
        0 HEM, 1 ALL.
    p_all : array of float, shape (N,)
    specificity : float
        In [0, 1].

    Returns
    -------
    float
        An image is called ALL when ``p_all >= threshold``. Just above 1 where nothing less will
        do.

    Raises
    ------
    DataError
        There is no HEM image.
    """
    hem = np.sort(np.asarray(p_all, float)[np.asarray(labels) == 0])
    if not len(hem):
        raise DataError("no HEM image: specificity cannot be asked for")
    needed = int(np.ceil(specificity * len(hem) - 1e-9))
    return 0.0 if needed == 0 else float(np.nextafter(hem[needed - 1], 2))


def sensitivity_at(labels, p_all, specificity, groups=None, n=1000, seed=0, level=0.95):
    """Sensitivity at a fixed specificity, with its percentile bootstrap interval.

    Every resample sets the threshold anew, so the interval knows that a threshold was chosen.
    Chosen on the very images that are judged, all the same: a little rosy.

    Parameters
    ----------
    labels, p_all, specificity
        As in `threshold_at`.
    groups : array, shape (N,), optional
        The subject of each image: with it, subjects are drawn instead of images, as in
        `evaluation.intervals`.
    n, seed : int
    level : float

    Returns
    -------
    value, low, high : float
        The limits are nan where a class has fewer than two units.
    """
    labels, p_all = np.asarray(labels), np.asarray(p_all, float)
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    cells = {}
    for label in (0, 1):
        own = labels == label
        cells[label] = [p_all[own & (groups == group)] for group in np.unique(groups[own])]

    def statistic(drawn_hem, drawn_all):
        hem = np.concatenate([cells[0][int(i)] for i in drawn_hem])
        leukemic = np.concatenate([cells[1][int(i)] for i in drawn_all])
        return np.mean(leukemic >= threshold_at(np.zeros(len(hem)), hem, specificity))

    units = [np.arange(len(cells[label])) for label in (0, 1)]
    value = float(statistic(*units))
    if min(map(len, units)) < 2:
        return value, np.nan, np.nan
    found = bootstrap(
        units,
        statistic,
        n_resamples=n,
        vectorized=False,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return value, float(found.low), float(found.high)


# -- Grad-CAM ---------------------------------------------------------------------------------


def gradcam(model, pictures, labels, layer=models.BACKBONE_END):
    """Show where a model finds support for a class (Selvaraju et al., 2017).

    Parameters
    ----------
    model : keras.Model
        Flat, ending in a softmax; with the TensorFlow backend.
    pictures : array of uint8, shape (N, size, size, 3)
    labels : array of int, shape (N,)
        For each picture, the class whose support is looked for: 0 HEM, 1 ALL.
    layer : str
        The layer whose maps are weighed; the later, the coarser.

    Returns
    -------
    ndarray of float32, shape (N, size, size)
        From 0 to 1 in each picture; all 0 where nothing supports the class.

    Raises
    ------
    ConfigError
        Keras runs on another backend.
    """
    if keras.backend.backend() != "tensorflow":
        raise ConfigError("Grad-CAM comes from tf-keras-vis: set KERAS_BACKEND=tensorflow")
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.model_modifiers import ReplaceToLinear
    from tf_keras_vis.utils.scores import CategoricalScore

    explain = Gradcam(model, model_modifier=ReplaceToLinear(), clone=True)
    heat = np.zeros(pictures.shape[:3], np.float32)
    for start in range(0, len(pictures), 32):
        part = slice(start, start + 32)
        maps = explain(
            CategoricalScore([int(label) for label in labels[part]]),
            np.asarray(pictures[part], np.float32),
            penultimate_layer=layer,
            seek_penultimate_conv_layer=False,  # else it takes a convolution before this layer
            expand_cam=False,
            normalize_cam=False,
        )
        heat[part] = [_enlarged(found, pictures.shape[1]) for found in maps]
    return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)


def background_share(heat, pictures):
    """Share of a heat map that lies on the exactly black background.

    Parameters
    ----------
    heat : array of float, shape (N, H, W)
        At least 0.
    pictures : array of uint8, shape (N, H, W, 3)

    Returns
    -------
    ndarray of float, shape (N,)
        In [0, 1]; nan for a map that is 0 everywhere.
    """
    total = heat.sum(axis=(1, 2), dtype=float)
    outside = (heat * ~pictures.any(axis=-1)).sum(axis=(1, 2), dtype=float)
    return np.divide(outside, total, out=np.full(len(heat), np.nan), where=total > 0)


def coarse_cell(pictures, side=7):
    """Heat maps of the cell itself, as coarse as Grad-CAM's: the best that it could do.

    Parameters
    ----------
    pictures : array of uint8, shape (N, H, W, 3)
    side : int
        Of the maps of the layer.

    Returns
    -------
    ndarray of float32, shape (N, H, W)
        The share of the cell in each of side x side fields, enlarged to the picture.
    """
    maps = []
    for cell in pictures.any(axis=-1).astype(np.float32):
        fields = cv2.resize(cell, (side, side), interpolation=cv2.INTER_AREA)
        maps.append(_enlarged(fields, len(cell)))
    return np.stack(maps)


def _enlarged(fields, size):
    """A small map, enlarged to size x size, each field over the pixels that it stands for."""
    return cv2.resize(np.asarray(fields, np.float32), (size, size), interpolation=cv2.INTER_LINEAR)


# -- corruptions ------------------------------------------------------------------------------

CORRUPTIONS = {
    "blur": "defocus_blur",
    "brightness": "brightness",
    "contrast": "contrast",
    "jpeg": "jpeg_compression",
}
"""Those of Hendrycks & Dietterich (2019) used here: our names, and the library's."""

SEVERITIES = (1, 3, 5)
"""Of the five of the library, those that `CONDITIONS` uses."""

STAIN_STEP = 0.05
"""Stain severity s scales each stain by a factor within 1 ± s times this."""

ZOOMS = (0.8, 0.9, 1.1, 1.2)
CONDITIONS = (
    "clean",
    *(f"{kind}:{severity}" for kind in (*CORRUPTIONS, "stain") for severity in SEVERITIES),
    *(f"zoom:{factor}" for factor in ZOOMS),
    "size-normalised",
)
"""What `retest` tests, as conditions of a record."""


def corrupt(pictures, kind, severity, seed=0):
    """Spoil pictures as a microscope, a camera or a file format may, inside the cell.

    The background is set to black again, since a program cuts the cells out last: else a
    brighter picture would have a grey background, which no picture of C-NMC has.

    Parameters
    ----------
    pictures : array of uint8, shape (N, H, W, 3)
    kind : str
        One of `CORRUPTIONS`, or "stain": haematoxylin, eosin and the rest are unmixed, scaled
        each by a factor of its own, and mixed again (Tellez et al., 2018).
    severity : int
        1 to 5.
    seed : int
        Of the stains; picture ``i`` draws from ``(seed, i)``. Nothing else is random.

    Returns
    -------
    ndarray of uint8, shape (N, H, W, 3)

    Raises
    ------
    ConfigError
        Another kind or severity.
    """
    if kind not in (*CORRUPTIONS, "stain") or severity not in range(1, 6):
        known = ", ".join((*CORRUPTIONS, "stain"))
        raise ConfigError(f"{kind}:{severity}: choose one of {known}, severity 1 to 5")
    from imagecorruptions import corrupt as corrupt_one  # takes seconds: it compiles

    spoilt = np.empty_like(pictures)
    for i, picture in enumerate(pictures):
        if kind == "stain":
            factors = 1 + severity * STAIN_STEP * np.random.default_rng([seed, i]).uniform(-1, 1, 3)
            changed = _restained(picture, factors)
        else:
            changed = corrupt_one(picture, severity, CORRUPTIONS[kind])
        spoilt[i] = changed * picture.any(axis=-1, keepdims=True)
    return spoilt


def zoom(pictures, factor):
    """Enlarge the cells about their middle, each by its factor; the picture keeps its size.

    Parameters
    ----------
    pictures : array of uint8, shape (N, H, W, 3)
    factor : float or array of float, shape (N,)
        Below 1 the cell shrinks. What grows beyond the picture is cut off.

    Returns
    -------
    ndarray of uint8, shape (N, H, W, 3)
    """
    height, width = pictures.shape[1:3]
    zoomed = np.empty_like(pictures)
    for i, scale in enumerate(np.broadcast_to(factor, len(pictures))):
        cell = pictures[i].any(axis=-1).astype(np.uint8)
        x, y, w, h = cv2.boundingRect(cell)
        matrix = cv2.getRotationMatrix2D((x + (w - 1) / 2, y + (h - 1) / 2), 0, float(scale))
        cell = cv2.warpAffine(cell, matrix, (width, height), flags=cv2.INTER_NEAREST)
        zoomed[i] = cv2.warpAffine(pictures[i], matrix, (width, height)) * cell[..., None]
    return zoomed


def size_normalised(pictures):
    """Give every cell the same area: the median area of them all.

    Parameters
    ----------
    pictures : array of uint8, shape (N, H, W, 3)

    Returns
    -------
    ndarray of uint8, shape (N, H, W, 3)
    """
    area = pictures.any(axis=-1).sum(axis=(1, 2))
    return zoom(pictures, np.sqrt(np.median(area) / np.maximum(area, 1)))


def under(pictures, condition, seed=0):
    """Pictures under one of `CONDITIONS`.

    Raises
    ------
    ConfigError
        It is none of these.
    """
    kind, _, value = condition.partition(":")
    if condition == "clean":
        return pictures
    if condition == "size-normalised":
        return size_normalised(pictures)
    if kind == "zoom":
        return zoom(pictures, float(value))
    return corrupt(pictures, kind, int(value or 0), seed)


def _restained(picture, factors):
    from skimage.color import hed2rgb, rgb2hed

    return np.rint(255 * hed2rgb(rgb2hed(picture) * factors)).astype(np.uint8)


# -- a second record of a trained model -------------------------------------------------------


def retest(saved, source, data, out, work, conditions=CONDITIONS, note="", progress=True):
    """Test a saved model again, under other conditions, and record it beside the first test.

    The new record has the split, the settings and the history of the old one, and besides, for
    who wants to look deeper: ``source`` (the old record, the file of the model), ``validation``
    (labels, subjects and answers on the validation part, to choose a temperature or a threshold
    on) and ``pictures`` (for each test image the area of the cell in the network's input, and the
    share of its Grad-CAM that lies on the background, beside that of `coarse_cell`).

    Parameters
    ----------
    saved : path-like
        A ``.keras`` file with its card.
    source : Record
        Of the run that trained it.
    data : path-like
        Root of the tree that the run used.
    out : path-like
        Results folder; the record goes to ``out/trust``.
    work : path-like
        Scratch folder for the image cache.
    conditions : sequence of str
        Of `CONDITIONS`.
    note : str
        What a reader of the record must know, beside where it comes from.
    progress : bool

    Returns
    -------
    Path
        The record's JSON file.

    Raises
    ------
    RecordError
        The model is not that of the record, the data are not those it used, or the new record is
        there already.
    """
    started, old = datetime.now(UTC), source.data
    experiment.describe_again(source, saved, "trust", started)  # refuses another model at once
    records.check_free(Path(out) / "trust", f"{source.id}-trust", old["data"]["kind"])
    model, card = models.load(saved)
    frame, split = experiment.select_again(source, data, work)
    cache = Path(work) / "images"
    pictures = images.load(frame, card["image_size"], card["crop"], cache, progress)
    rows = {part: np.flatnonzero(split == part) for part in ("val", "test")}
    test, seen = frame.iloc[rows["test"]], pictures[rows["test"]]
    p_all = {}
    for condition in tqdm(conditions, desc="test", disable=not progress):
        p_all[condition] = predict(model, under(seen, condition, old["seed"]))
    clean = p_all["clean"] if "clean" in p_all else predict(model, seen)
    heat = gradcam(model, seen, clean >= 0.5)
    record = {
        **experiment.describe_again(source, saved, "trust", started, note),
        "conditions": list(conditions),
        "validation": _answers(frame.iloc[rows["val"]], predict(model, pictures[rows["val"]])),
        "pictures": {
            "file": [Path(path).name for path in test["path"]],
            "area": seen.any(axis=-1).mean(axis=(1, 2)).round(4).tolist(),
            "heat_on_background": background_share(heat, seen).round(4).tolist(),
            "cell_on_background": background_share(coarse_cell(seen), seen).round(4).tolist(),
        },
    }
    return records.write(Path(out) / "trust", record, experiment.answers(test, p_all))


def _answers(frame, p_all):
    return {
        "subject": frame["subject"].tolist(),
        "label": frame["label"].astype(int).tolist(),
        "p_all": [round(float(p), 6) for p in p_all],
    }
