"""Predictions: of one picture in memory, and of a folder of files.

The network is MobileNet_M at its full width. Its weights are random, which changes no time. Keras
uses as many threads as it likes, LiteRT and ONNX Runtime one per core.
"""

from pathlib import Path

import keras
import numpy as np

from allm_utils.data import images, sample
from allm_utils.network import models, saving
from allm_utils.ship import export, inference

from .measure import compare, tree


def model_files(scale, folder):
    """Save a network in ``folder`` in every format, and return the files by format."""
    saved = saving.save(
        models.mobilenet_m(weights=None, image_size=scale.size, seed=0),
        Path(folder) / "network.safetensors",
        {"image_size": scale.size, "crop": images.CROP},
    )
    cells = sample.index(folder)["path"].tolist()
    calibration = export.calibration_cells(cells, saving.read_card(saved), n=20)
    return {"keras": saved, **export.export(saved, export.CONDITION, calibration=calibration)}


def by_dataset(model, root, size):
    """Predict a tree as Keras' documentation does; whole pictures, resized."""
    pictures = keras.utils.image_dataset_from_directory(
        root, labels=None, image_size=(size, size), batch_size=64, shuffle=False, verbose=False
    )
    return model.predict(pictures, verbose=0)


def rows(scale, folder):
    """Compare the formats on one picture, and the ways to predict a folder."""
    files = model_files(scale, folder)
    opened = {name: inference.load(path)[0] for name, path in files.items()}
    one = np.random.default_rng(0).integers(0, 256, (1, scale.size, scale.size, 3), np.uint8)

    def way(name):
        return lambda: opened[name].predict_on_batch(one)

    def by_predict():
        opened["keras"].predict(one, verbose=0)

    for what, name, other, alternative, goal in (
        ("LiteRT int8", "litert-int8", "Keras' `model.predict`", by_predict, 20),
        ("LiteRT int8", "litert-int8", "LiteRT float", way("litert"), 2.5),
        ("ONNX Runtime int8", "onnx-int8", "ONNX Runtime float", way("onnx"), None),
    ):
        yield compare(
            f"Predict one picture by {what}", other, way(name), alternative,
            turns=5 * scale.turns, goal=goal,
        )  # fmt: skip
    root = tree(folder, scale.pictures)

    def by_us(name):
        return lambda: inference.predict_images(files[name], root, progress=False)

    yield compare(
        "Predict a folder by Keras, as `allm predict` does", "`image_dataset_from_directory`",
        by_us("keras"), lambda: by_dataset(opened["keras"], root, scale.size),
        turns=min(3, scale.turns), count=scale.pictures,
    )  # fmt: skip
    yield compare(
        "Predict a folder by LiteRT int8, as `allm predict` does", "the same by Keras",
        by_us("litert-int8"), by_us("keras"), turns=min(3, scale.turns), count=scale.pictures,
    )  # fmt: skip
