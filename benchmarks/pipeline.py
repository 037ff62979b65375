"""Training pictures: from the cache to a batch, beside the paper's way of making them.

Ours is `training.TrainingData.batch`, to the letter what `fit` is fed with: read from the cache,
grey copies, noise, one warp, brightness. The other way is what the paper used: noise by imgaug,
then Keras' ``ImageDataGenerator`` with the ranges of section 3.3. Reading and grey copies cost the
other way nothing here: its pictures are in memory, and balanced before.

Each way has one thread, and its time is that of the core: ``OMP_NUM_THREADS`` is 1, OpenCV has one
thread since `augment` says so, and SciPy's warp never had more.

The second row is what is left for the host where a GPU makes the pictures of a step itself: to read
them, and to draw what is to be done to each.
"""

import time
from dataclasses import replace
from pathlib import Path

from allm_utils.data import cnmc, images
from allm_utils.network.recipe import Recipe
from allm_utils.network.training import TrainingConfig, TrainingData

from .measure import compare, tree


def image_data_generator(recipe):
    """Return a function that makes a batch as the paper did, by imgaug and Keras."""
    import imgaug.augmenters as iaa
    import tensorflow as tf

    noise = iaa.OneOf([iaa.AdditiveGaussianNoise(scale=s, per_channel=True) for s in recipe.sigmas])
    generator = tf.keras.preprocessing.image.ImageDataGenerator(
        rotation_range=recipe.rotation,
        width_shift_range=recipe.shift,
        height_shift_range=recipe.shift,
        shear_range=recipe.shear,
        zoom_range=recipe.zoom,
        brightness_range=recipe.brightness,
        horizontal_flip=True,
        fill_mode="constant",
    )

    def make(pictures):
        noisy = noise(images=pictures)
        return next(generator.flow(noisy, batch_size=len(noisy), shuffle=False))

    return make


def training_data(root, size, cache):
    """Return the training pictures of a tree, balanced as in the paper."""
    frame = cnmc.index(root)
    pictures = images.load(frame["path"], size, images.CROP, cache, progress=False)
    return TrainingData(pictures, frame["label"].to_numpy(int), TrainingConfig())


def rows(scale, folder):
    """Compare the training pictures of this package with the paper's way."""
    root = tree(folder, scale.pictures)
    data = training_data(root, scale.size, Path(folder) / "cache")
    count = scale.batches * data.config.batch_size
    ready = data.images[: data.config.batch_size].copy()
    theirs = image_data_generator(Recipe())

    def ours():
        for index in range(scale.batches):
            data.batch(0, index)

    yield compare(
        "Training pictures, from the cache to a batch", "imgaug and Keras' `ImageDataGenerator`",
        ours, lambda: [theirs(ready) for _ in range(scale.batches)],
        turns=scale.turns, count=count, unit="ms of a core", goal=10, clock=time.process_time,
    )  # fmt: skip
    config = replace(data.config, augment_on="device")
    device = TrainingData(data.images, data.labels, config)
    yield compare(
        "Pictures as they are, for a GPU that makes the rest", "training pictures made by the host",
        lambda: [device.batch(0, index) for index in range(scale.batches)], ours,
        turns=scale.turns, count=count, unit="ms of a core", goal=2, clock=time.process_time,
    )  # fmt: skip
