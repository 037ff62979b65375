"""An epoch whose pictures the device makes, beside `fit` on ready arrays, and beside the host's.

It is meant for a GPU, of which it also tells how much of the time it computed; on a CPU it only
costs. Run it alone there: ``KERAS_BACKEND=jax python -m benchmarks card``.
"""

from dataclasses import replace

import numpy as np

from allm_utils.network import models
from allm_utils.network.training import TrainingData, compiled, has_gpu

from . import steps
from .measure import busy, compare

WHAT = "A training epoch, its pictures made on the device"


def rows(scale, folder):
    """Compare an epoch of MobileNet_M, at its full width, with two others."""
    data = steps.epoch(scale, folder)
    pictures, labels, shown, config = data.images, data.labels, data.rows, data.config
    ready, targets = pictures[shown], np.eye(2)[labels[shown]]
    plain = _network(scale, config)

    def epoch(config):
        network = _network(scale, config)
        live = TrainingData(pictures, labels, config, shown)
        return lambda: network.fit(live, shuffle=False, verbose=0)

    def fit():
        plain.fit(ready, targets, batch_size=config.batch_size, shuffle=False, verbose=0)

    there = epoch(replace(config, augment_on="device", steps_per_call=scale.steps))
    others = {"Keras' `fit` on ready arrays": fit, "its pictures made on the host": epoch(config)}
    for name, other in others.items():
        made = compare(WHAT, name, there, other, turns=scale.turns, count=len(shown))
        if has_gpu():
            made |= {"busy": busy(there), "alternative_busy": busy(other)}
        yield made


def _network(scale, config):
    with models.precision(config.dtype_policy()):
        return compiled(models.mobilenet_m(weights=None, image_size=scale.size), config)
