"""The paper's augmentation (section 3.3): as it reads, in imgaug, and fast, for training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import imgaug.augmenters as iaa
import imgaug.parameters as iap
import numpy as np

from allm_utils.errors import ConfigError
from allm_utils.network.noise import NoiseBank

cv2.setNumThreads(1)  # the training loop runs several pictures at once; nested threads only fight


@dataclass(frozen=True)
class Recipe:
    """Ranges of section 3.3, as Keras' ``ImageDataGenerator`` reads them.

    Attributes
    ----------
    sigmas : tuple of float
        Gaussian noise; each picture gets one of them, with equal chances.
    clean_share : float
        Share of pictures left without noise. The paper does not say; 0 here.
    rotation : float
        Degrees, uniform in ± this.
    shift : float
        Share of width and of height, uniform in ± this.
    shear : float
        Degrees, uniform in ± this.
    zoom : tuple of float
        Uniform, drawn for each axis; below 1 the cell grows.
    brightness : tuple of float
        Factor, uniform. Always below 1: every training picture is darkened, no test picture is.
    flip : float
        Probability of a horizontal flip.
    stain : float
        Each colour channel is scaled by a factor of its own, uniform in 1 ± this. Not in the
        paper; 0. Another laboratory stains and lights its cells in another way.
    """

    sigmas: tuple[float, ...] = (3, 9)
    clean_share: float = 0.0
    rotation: float = 45
    shift: float = 0.1
    shear: float = 3
    zoom: tuple[float, float] = (0.8, 1.0)
    brightness: tuple[float, float] = (0.4, 0.8)
    flip: float = 0.5
    stain: float = 0.0

    def __post_init__(self):
        if not 0 <= self.clean_share <= 1:
            raise ConfigError(f"clean_share {self.clean_share}: give a share from 0 to 1")
        if not 0 <= self.stain < 1:
            raise ConfigError(f"stain {self.stain}: give a number from 0 to below 1")
        if not 0 < self.brightness[0] <= self.brightness[1]:
            raise ConfigError(f"brightness {self.brightness}: give two factors, the smaller first")


def reference(seed: int | None = None, recipe: Recipe | None = None) -> iaa.Augmenter:
    """Write section 3.3 down in imgaug, the library the authors used.

    The area that a warp uncovers is filled with black, the background of every picture. (The
    paper does not say; Keras' default smears the edge pixels instead.) Keras shifts before it
    zooms, imgaug after; so that both mean the same, the shift is zoomed here too. imgaug, like
    Keras, cuts fractions of a grey level off when it darkens; `Augmenter` rounds.

    Returns
    -------
    imgaug.augmenters.Augmenter
        Call it with ``images=`` and a ``uint8 (N, H, W, 3)`` batch.
    """
    recipe = recipe or Recipe()
    zoom = iap.Uniform(*recipe.zoom)
    shift = iap.Divide(iap.Uniform(-recipe.shift, recipe.shift), zoom, elementwise=True)
    noise = iaa.OneOf([iaa.AdditiveGaussianNoise(scale=s, per_channel=True) for s in recipe.sigmas])
    augmenter = iaa.Sequential(
        [
            iaa.Sometimes(1 - recipe.clean_share, [noise]),  # in a list, or seed_ passes OneOf over
            iaa.Affine(
                rotate=(-recipe.rotation, recipe.rotation),
                translate_percent={axis: shift for axis in "xy"},
                shear={"x": (-recipe.shear, recipe.shear)},  # for a plain tuple imgaug only turns
                scale={axis: iap.Divide(1.0, zoom, elementwise=True) for axis in "xy"},
                mode="constant",
                cval=0,
            ),
            iaa.Fliplr(recipe.flip),
            iaa.Multiply(recipe.brightness),
        ]
    )
    if seed is not None:
        augmenter.seed_(seed)  # the argument `seed` would not reach the steps
    return augmenter


def affine(recipe: Recipe, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one warp: rotation, shift, shear, zoom and flip about the centre, as one matrix.

    Returns
    -------
    numpy.ndarray
        ``float64 (2, 3)``; maps output pixel coordinates (x, y) to input coordinates.
    """
    theta = math.radians(rng.uniform(-recipe.rotation, recipe.rotation))
    shear = math.radians(rng.uniform(-recipe.shear, recipe.shear))
    dx, dy = rng.uniform(-recipe.shift, recipe.shift, 2) * size
    zoom_x, zoom_y = rng.uniform(*recipe.zoom, 2)
    if rng.random() < recipe.flip:
        zoom_x = -zoom_x
    # rotation @ shear @ zoom, multiplied out: a shear turns the y axis only
    cos, sin, centre = math.cos(theta), math.sin(theta), (size - 1) / 2
    a, b = cos * zoom_x, -math.sin(theta + shear) * zoom_y
    c, d = sin * zoom_x, math.cos(theta + shear) * zoom_y
    return np.array(
        [
            [a, b, centre * (1 - a - b) + cos * dx - sin * dy],
            [c, d, centre * (1 - c - d) + sin * dx + cos * dy],
        ]
    )


class Augmenter:
    """The same recipe, fast: banked noise, one warp per picture, brightness by a scaled copy.

    Parameters
    ----------
    recipe : Recipe, optional
    seed : int
        Seed of the noise bank.
    """

    def __init__(self, recipe: Recipe | None = None, seed: int = 0):
        self.recipe = recipe or Recipe()
        self._noise = NoiseBank(self.recipe.sigmas, seed)

    def __call__(self, images: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """Augment a batch.

        Parameters
        ----------
        images : sequence of numpy.ndarray
            N pictures, ``uint8 (S, S, 3)``.
        rng : numpy.random.Generator
            All randomness of the batch comes from it.

        Returns
        -------
        numpy.ndarray
            ``uint8 (N, S, S, 3)``, a new array.
        """
        recipe, shape = self.recipe, images[0].shape
        augmented = np.empty((len(images), *shape), np.uint8)
        noisy, warped = np.empty((2, *shape), np.uint8)  # for all pictures: new memory is slow
        for image, out in zip(images, augmented, strict=True):
            if recipe.sigmas and rng.random() >= recipe.clean_share:
                sigma = recipe.sigmas[rng.integers(len(recipe.sigmas))]
                image = self._noise.add(image, sigma, rng, out=noisy)
            cv2.warpAffine(
                image,
                affine(recipe, shape[0], rng),
                shape[:2],
                dst=warped,
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_CONSTANT,
            )
            factor = rng.uniform(*recipe.brightness)
            if recipe.stain:
                gains = factor * rng.uniform(1 - recipe.stain, 1 + recipe.stain, 3)
                cv2.transform(warped, np.diag(gains), dst=out)
            else:
                cv2.convertScaleAbs(warped, dst=out, alpha=factor)
        return augmented
