"""Where a network looks: Grad-CAM, and how much of it lies beside the cell."""

from collections.abc import Callable

import cv2
import keras
import numpy as np

from allm_utils.data.images import as_batch
from allm_utils.errors import ConfigError, need
from allm_utils.judge.predict import predict
from allm_utils.network.models import BACKBONE_END


def gradcam(model: keras.Model, pictures: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Show where MobileNet_M finds support for a class (Selvaraju et al., 2017); TensorFlow only.

    Takes ``uint8 (N, size, size, 3)`` and, for each picture, the class whose support is looked for.
    Returns ``float32 (N, size, size)``, from 0 to 1 in each picture; all 0 where nothing supports
    the class.
    """
    if keras.backend.backend() != "tensorflow":
        raise ConfigError("Grad-CAM comes from tf-keras-vis: set KERAS_BACKEND=tensorflow")
    need("explain", "tf_keras_vis")
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.model_modifiers import ReplaceToLinear
    from tf_keras_vis.utils.scores import CategoricalScore

    pictures = as_batch(pictures)
    explain = Gradcam(model, model_modifier=ReplaceToLinear(), clone=True)
    heat = np.zeros(pictures.shape[:3], np.float32)
    for start in range(0, len(pictures), 32):
        part = slice(start, start + 32)
        maps = explain(
            CategoricalScore([int(label) for label in labels[part]]),
            np.asarray(pictures[part], np.float32),
            penultimate_layer=BACKBONE_END,
            seek_penultimate_conv_layer=False,  # else it takes a convolution before this layer
            expand_cam=False,
            normalize_cam=False,
        )
        heat[part] = [_enlarged(found, pictures.shape[1]) for found in maps]
    return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)


def background_share(heat: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """Share of each heat map, ``(N, H, W)``, that lies on exactly black; nan for an empty one."""
    total = heat.sum(axis=(1, 2), dtype=float)
    outside = (heat * ~pictures.any(axis=-1)).sum(axis=(1, 2), dtype=float)
    return np.divide(outside, total, out=np.full(len(heat), np.nan), where=total > 0)


def coarse_cell(pictures: np.ndarray) -> np.ndarray:
    """Heat maps of the cell itself, as coarse as Grad-CAM's: the best that it could do.

    Its share of each field of the last layer, of 32 x 32 pixels, enlarged to ``(N, H, W)``.
    """
    size = pictures.shape[1]

    def coarse(cell):
        fields = (size // 32, size // 32)
        return cv2.resize(np.asarray(cell, np.float32), fields, interpolation=cv2.INTER_AREA)

    return np.stack([_enlarged(coarse(picture.any(axis=-1)), size) for picture in pictures])


def _enlarged(fields, size):
    """A small map, enlarged to size x size, each field over the pixels that it stands for."""
    return cv2.resize(np.asarray(fields, np.float32), (size, size), interpolation=cv2.INTER_LINEAR)


def measures(model: keras.Model) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """What to note of each test picture beside the answer, by name; for `runs.experiment.retest`.

    ``area``, the share of the picture that is cell, and the `background_share` of the network's
    Grad-CAM for its own answer and of `coarse_cell`.
    """

    def heat_on_background(pictures):
        heat = gradcam(model, pictures, predict(model, pictures) >= 0.5)
        return background_share(heat, pictures)

    return {
        "area": lambda pictures: pictures.any(axis=-1).mean(axis=(1, 2)),
        "heat_on_background": heat_on_background,
        "cell_on_background": lambda pictures: background_share(coarse_cell(pictures), pictures),
    }
