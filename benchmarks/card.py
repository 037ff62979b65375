"""An epoch whose pictures the device makes, beside `fit` on ready arrays, and beside the host's.

It is meant for a GPU, of which it also tells how much of the time it computed; on a CPU it only
costs. Run it alone there: ``KERAS_BACKEND=jax python -m benchmarks card``.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from allm_utils.network import models
from allm_utils.network.recipe import Recipe
from allm_utils.network.training import TrainingConfig, TrainingData, compiled, has_gpu

from .measure import busy, compare, tree
from .pipeline import training_data

WHAT = "A training epoch, its pictures made on the device"


def rows(scale, folder):
    """Compare an epoch of MobileNet_M, at its full width, with two others."""
    root = tree(folder, scale.pictures)
    pictures = training_data(root, scale.size, Path(folder) / "cache").images
    config = TrainingConfig(recipe=Recipe(balance="none"))
    n = scale.steps * config.batch_size
    labels, shown = np.arange(len(pictures)) % 2, np.arange(n) % len(pictures)
    ready, targets = pictures[shown], np.eye(2)[labels[shown]]
    plain = _network(scale, config)

    def epoch(config):
        network = _network(scale, config)
        data = TrainingData(pictures, labels, config, shown)
        return lambda: network.fit(data, shuffle=False, verbose=0)

    def fit():
        plain.fit(ready, targets, batch_size=config.batch_size, shuffle=False, verbose=0)

    there = epoch(replace(config, augment_on="device", steps_per_call=scale.steps))
    others = {"Keras' `fit` on ready arrays": fit, "its pictures made on the host": epoch(config)}
    for name, other in others.items():
        made = compare(WHAT, name, there, other, turns=scale.turns, count=n)
        if has_gpu():
            made |= {"busy": busy(there), "alternative_busy": busy(other)}
        yield made


def _network(scale, config):
    with models.precision(config.dtype_policy()):
        return compiled(models.mobilenet_m(weights=None, image_size=scale.size), config)
