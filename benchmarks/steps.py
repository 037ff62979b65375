"""An epoch of training, beside its steps alone: the same ready batch over and over.

No input path could be faster. The epoch is Keras' `fit` on the live pictures, which the host makes
while the network computes.
"""

from pathlib import Path

import numpy as np

from allm_utils.network import models
from allm_utils.network.recipe import Recipe
from allm_utils.network.training import TrainingConfig, TrainingData, compiled

from .measure import compare, tree
from .pipeline import training_data


def epoch(scale, folder):
    """Return the data of one epoch of so many steps, which shows its pictures over and over."""
    root = tree(folder, scale.pictures)
    pictures = training_data(root, scale.size, Path(folder) / "cache").images
    config = TrainingConfig(recipe=Recipe(balance="none"))
    n = scale.steps * config.batch_size
    labels, shown = np.arange(len(pictures)) % 2, np.arange(n) % len(pictures)
    return TrainingData(pictures, labels, config, shown)


def rows(scale, folder):
    """Compare an epoch with bare steps; MobileNet_M at its full width."""
    data = epoch(scale, folder)
    batch = data.batch(0, 0)
    model = compiled(models.mobilenet_m(weights=None, image_size=scale.size), data.config)

    def bare():
        for _ in range(scale.steps):
            model.train_on_batch(*batch)

    yield compare(
        "A training epoch, its pictures made meanwhile", "the same steps on a ready batch",
        lambda: model.fit(data, shuffle=False, verbose=0), bare,
        turns=scale.turns, count=len(data.rows), goal=1 / 1.05,
    )  # fmt: skip
