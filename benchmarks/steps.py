"""An epoch of training, beside its steps alone.

The steps alone get the same ready batch over and over: no input path could be faster. The epoch
is Keras' `fit` on the live pictures, which are made while the network computes.
"""

from pathlib import Path

import numpy as np

from allm_utils.network import models
from allm_utils.network.recipe import Recipe
from allm_utils.network.training import TrainingConfig, TrainingData

from .measure import compare, tree
from .pipeline import training_data


def rows(scale, folder):
    """Compare an epoch with bare steps; MobileNet_M at its full width."""
    root = tree(folder, scale.pictures)
    pictures = training_data(root, scale.size, Path(folder) / "cache").images
    config = TrainingConfig(recipe=Recipe(balance="none"))
    n = scale.steps * config.batch_size
    data = TrainingData(pictures, np.arange(len(pictures)) % 2, config, rows=np.arange(n))
    batch = data.batch(0, 0)
    model = models.mobilenet_m(weights=None, image_size=scale.size)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])

    def bare():
        for _ in range(scale.steps):
            model.train_on_batch(*batch)

    yield compare(
        "A training epoch, its pictures made meanwhile", "the same steps on a ready batch",
        lambda: model.fit(data, shuffle=False, verbose=0), bare,
        turns=scale.turns, count=n, goal=1 / 1.05,
    )  # fmt: skip
