"""Grad-CAM against its definition, and the shares of a heat map."""

import cv2
import keras
import numpy as np
import pytest

from allm_utils.judge import explain
from allm_utils.judge.predict import predict
from allm_utils.network import models


@pytest.fixture(scope="module")
def model():
    return models.mobilenet_m(weights=None, image_size=64, alpha=0.25, seed=3)


def test_gradcam_is_the_weighted_mean_of_the_maps(model, discs):
    heat = explain.gradcam(model, discs, [0, 1])
    assert heat.shape == (2, 64, 64) and heat.dtype == np.float32
    # The head is linear after the mean over the map, so the weights can be written down.
    layer = model.get_layer(models.BACKBONE_END).output
    maps = keras.Model(model.input, layer)(discs.astype(np.float32)).numpy()
    norm = model.get_layer("batch_normalization")
    gain = norm.gamma / np.sqrt(norm.moving_variance + norm.epsilon)
    kernel = model.get_layer("prediction").kernel.numpy()
    for i, label in enumerate((0, 1)):
        coarse = np.maximum(maps[i] @ (np.asarray(gain) * kernel[:, label]), 0).astype(np.float32)
        expected = cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(heat[i], expected / max(expected.max(), 1e-30), atol=1e-4)
    assert model.layers[-1].activation.__name__ == "softmax"


def test_background_share(discs):
    everywhere = np.ones((2, 64, 64), np.float32)
    black = 1 - discs.any(axis=-1).mean(axis=(1, 2))
    np.testing.assert_allclose(explain.background_share(everywhere, discs), black)
    cell = discs.any(axis=-1).astype(np.float32)
    np.testing.assert_allclose(explain.background_share(cell, discs), 0)
    assert np.isnan(explain.background_share(0 * everywhere, discs)).all()


def test_coarse_cell_lies_between_the_cell_and_nothing(discs):
    heat = explain.coarse_cell(discs)
    assert heat.shape == (2, 64, 64) and 0 <= heat.min() and heat.max() <= 1
    share = explain.background_share(heat, discs)
    assert (share > 0.05).all() and (share < 1 - discs.any(axis=-1).mean(axis=(1, 2))).all()


def test_measures_are_what_a_record_notes_of_each_picture(model, discs):
    found = {name: ask(discs) for name, ask in explain.measures(model).items()}
    np.testing.assert_allclose(found["area"], discs.any(axis=-1).mean(axis=(1, 2)))
    heat = explain.gradcam(model, discs, (predict(model, discs) >= 0.5).astype(int))
    np.testing.assert_allclose(found["heat_on_background"], explain.background_share(heat, discs))
    coarse = explain.background_share(explain.coarse_cell(discs), discs)
    np.testing.assert_allclose(found["cell_on_background"], coarse)
