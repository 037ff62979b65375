"""An epoch of training, beside its steps alone and beside Keras' `fit` on ready arrays.

The steps alone get the same ready batch over and over: no input path could be faster. The epoch
is Keras' `fit` on the live pictures, which the host makes while the network computes, or the device
itself within each step. The second is meant for a GPU; on a CPU it only costs.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from allm_utils.network import models
from allm_utils.network.recipe import Recipe
from allm_utils.network.training import TrainingConfig, TrainingData, compiled

from .measure import compare, tree
from .pipeline import training_data


def rows(scale, folder):
    """Compare an epoch with bare steps; MobileNet_M at its full width."""
    root = tree(folder, scale.pictures)
    pictures = training_data(root, scale.size, Path(folder) / "cache").images
    config = TrainingConfig(recipe=Recipe(balance="none"))
    n = scale.steps * config.batch_size
    labels, shown = np.arange(len(pictures)) % 2, np.arange(n) % len(pictures)
    data = TrainingData(pictures, labels, config, shown)
    batch = data.batch(0, 0)
    model = compiled(models.mobilenet_m(weights=None, image_size=scale.size), config)

    def bare():
        for _ in range(scale.steps):
            model.train_on_batch(*batch)

    yield compare(
        "A training epoch, its pictures made meanwhile", "the same steps on a ready batch",
        lambda: model.fit(data, shuffle=False, verbose=0), bare,
        turns=scale.turns, count=n, goal=1 / 1.05,
    )  # fmt: skip

    config = replace(config, augment_on="device", steps_per_call=scale.steps)
    there = compiled(models.mobilenet_m(weights=None, image_size=scale.size), config)
    made_there = TrainingData(pictures, labels, config, shown)
    ready = pictures[shown], np.eye(2)[labels[shown]]
    yield compare(
        "A training epoch, its pictures made on the device", "Keras' `fit` on ready arrays",
        lambda: there.fit(made_there, shuffle=False, verbose=0),
        lambda: model.fit(*ready, batch_size=config.batch_size, shuffle=False, verbose=0),
        turns=scale.turns, count=n,
    )  # fmt: skip
