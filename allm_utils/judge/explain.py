"""Where a network looks: Grad-CAM, and how much of it lies beside the cell."""

import cv2
import keras
import numpy as np
from numpy.typing import ArrayLike

from allm_utils.errors import ConfigError, need
from allm_utils.network import models


def gradcam(
    model: keras.Model,
    pictures: np.ndarray,
    labels: ArrayLike,
    layer: str = models.BACKBONE_END,
) -> np.ndarray:
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
        Keras runs on another backend, or tf-keras-vis is not installed.
    """
    if keras.backend.backend() != "tensorflow":
        raise ConfigError("Grad-CAM comes from tf-keras-vis: set KERAS_BACKEND=tensorflow")
    need("explain", "tf_keras_vis")
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


def background_share(heat: np.ndarray, pictures: np.ndarray) -> np.ndarray:
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


def coarse_cell(pictures: np.ndarray, side: int = 7) -> np.ndarray:
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
