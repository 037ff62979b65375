"""The paper's training pictures: grey copies, noise, one warp, darkness (sections 3.2 and 3.3).

`Recipe` holds every setting. `reference` writes the augmentation as it reads, in imgaug;
`Augmenter` is the same, fast.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import cv2
import numpy as np

from allm_utils.data.images import as_batch
from allm_utils.errors import check_choice, check_range

if TYPE_CHECKING:
    import imgaug.augmenters as iaa

cv2.setNumThreads(1)  # the training loop runs several pictures at once; nested threads only fight

Balance = Literal["hem", "both", "none"]
_BALANCES: tuple[str, ...] = get_args(Balance)

# samples per noise bank: 28 pictures' worth of 224 x 224 x 3, 8 MB in two bytes each
_BANK_SIZE = 1 << 22


@dataclass(frozen=True)
class Recipe:
    """How training pictures are made. The defaults are the paper's.

    Section 3.3 gives the ranges as Keras' ``ImageDataGenerator`` reads them.

    Attributes
    ----------
    balance : {"hem", "both", "none"}
        Which class gets a grey copy of each training picture; "hem" is the paper's way.
    augment : bool
        Whether pictures get noise, warp and brightness at all.
    sigmas : tuple of float
        Gaussian noise in grey levels; each picture gets one of them, with equal chances.
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
    size : float
        The cell is scaled by a factor, uniform in 1 ± this. Not in the paper; 0. In folds 0 and 1
        size tells the classes apart; for new people it hardly does.
    """

    balance: Balance = "hem"
    augment: bool = True
    sigmas: tuple[float, ...] = (3, 9)
    rotation: float = 45
    shift: float = 0.1
    shear: float = 3
    zoom: tuple[float, float] = (0.8, 1.0)
    brightness: tuple[float, float] = (0.4, 0.8)
    flip: float = 0.5
    stain: float = 0.0
    size: float = 0.0

    def __post_init__(self):
        check_choice("balance", self.balance, _BALANCES)
        for sigma in self.sigmas:
            check_range("sigma", sigma, 0, 255)
        highest = {"rotation": 180, "shift": 1, "shear": 45, "flip": 1, "stain": 0.9, "size": 0.9}
        for name, high in highest.items():
            check_range(name, getattr(self, name), 0, high)
        for name in ("zoom", "brightness"):
            low, high = getattr(self, name)
            check_range(name, low, 0.01, high)
            check_range(name, high, low, 10)


def desaturate(images: np.ndarray) -> np.ndarray:
    """Convert RGB, ``uint8 (..., W, 3)``, to HSV, set saturation to zero, convert back.

    With S = 0 every channel equals the value V = max(R, G, B), so no conversion is needed. The
    result equals ``imgaug.augmenters.RemoveSaturation(1.0)`` and OpenCV's HSV way bit for bit.
    """
    if not images.size:
        return images.copy()
    as_batch(images if images.ndim == 4 else images[None])
    flat = images.reshape(-1, images.shape[-2], 3)  # OpenCV knows rows and columns only
    red, green, blue = cv2.split(flat)
    value = cv2.max(cv2.max(red, green), blue)
    return cv2.cvtColor(value, cv2.COLOR_GRAY2RGB).reshape(images.shape)


def balanced_rows(labels: np.ndarray, balance: str = "hem") -> tuple[np.ndarray, np.ndarray]:
    """List the pictures of the balanced training set (Table 2) without making them.

    Returns rows of the training pictures, originals first, then the copies, and for each whether
    the picture is to be desaturated.
    """
    check_choice("balance", balance, _BALANCES)
    labels = np.asarray(labels)
    copied = {"hem": labels == 0, "both": labels >= 0, "none": labels < 0}[balance]
    rows = np.concatenate([np.arange(len(labels)), np.flatnonzero(copied)])
    return rows, np.arange(len(rows)) >= len(labels)


def reference(seed: int | None = None, recipe: Recipe | None = None) -> "iaa.Augmenter":
    """Write section 3.3 down in imgaug, the library the authors used.

    The area that a warp uncovers is filled with black, the background of every picture. (The
    paper does not say; Keras' default smears the edge pixels instead.) Keras shifts before it
    zooms, imgaug after; so that both mean the same, the shift is zoomed here too. imgaug, like
    Keras, cuts fractions of a grey level off when it darkens; `Augmenter` rounds.
    """
    import imgaug.augmenters as iaa
    import imgaug.parameters as iap

    recipe = recipe or Recipe()
    zoom = iap.Uniform(*recipe.zoom)
    shift = iap.Divide(iap.Uniform(-recipe.shift, recipe.shift), zoom, elementwise=True)
    noise = [iaa.AdditiveGaussianNoise(scale=s, per_channel=True) for s in recipe.sigmas]
    augmenter = iaa.Sequential(
        [
            iaa.OneOf(noise),
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
            # not in the paper, where both change nothing
            iaa.Affine(scale=(1 - recipe.size, 1 + recipe.size)),
            iaa.Multiply((1 - recipe.stain, 1 + recipe.stain), per_channel=True),
        ]
    )
    if seed is not None:
        augmenter.seed_(seed)  # the argument `seed` would not reach the steps
    return augmenter


def affine(recipe: Recipe, side: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one warp: rotation, shift, shear, zoom, flip and size about the centre, as one matrix.

    ``float64 (2, 3)``; maps output pixel coordinates (x, y) to input coordinates.
    """
    theta = math.radians(rng.uniform(-recipe.rotation, recipe.rotation))
    shear = math.radians(rng.uniform(-recipe.shear, recipe.shear))
    dx, dy = rng.uniform(-recipe.shift, recipe.shift, 2) * side
    zoom_x, zoom_y = rng.uniform(*recipe.zoom, 2)
    if rng.random() < recipe.flip:
        zoom_x = -zoom_x
    if recipe.size:
        grown = rng.uniform(1 - recipe.size, 1 + recipe.size)
        zoom_x, zoom_y = zoom_x / grown, zoom_y / grown
    # rotation @ shear @ zoom, multiplied out: a shear turns the y axis only
    cos, sin, centre = math.cos(theta), math.sin(theta), (side - 1) / 2
    a, b = cos * zoom_x, -math.sin(theta + shear) * zoom_y
    c, d = sin * zoom_x, math.cos(theta + shear) * zoom_y
    x = centre * (1 - a - b) + cos * dx - sin * dy
    y = centre * (1 - c - d) + sin * dx + cos * dy
    return np.array([[a, b, x], [c, d, y]])


class NoiseBank:
    """Gaussian noise for training at the price of a copy.

    One long vector of rounded normal samples is drawn per sigma. Every picture gets a window of
    it at a random offset, with a random sign. Two pictures share noise values only where their
    windows overlap, never at the same pixels unless offset and sign agree.
    """

    def __init__(self, sigmas: Iterable[float], seed: int = 0):
        rng = np.random.default_rng([seed, 0x6E])
        self._banks = {}
        for sigma in sigmas:
            bank = rng.standard_normal(_BANK_SIZE, dtype=np.float32) * np.float32(sigma)
            np.rint(bank, out=bank)
            # what lies above 0 and what lies below, so that no step leaves eight bits
            self._banks[sigma] = [np.clip(part, 0, 255).astype(np.uint8) for part in (bank, -bank)]

    def add(
        self, image: np.ndarray, sigma: float, rng: np.random.Generator, out=None
    ) -> np.ndarray:
        """Return ``uint8 (H, W, 3)`` with noise of one of the bank's sigmas, in `out` if given."""
        start = int(rng.integers(_BANK_SIZE - image.size + 1))
        above, below = (
            part[start : start + image.size].reshape(image.shape) for part in self._banks[sigma]
        )
        if rng.random() >= 0.5:
            above, below = below, above
        noisy = cv2.add(image, above, dst=out)  # saturates, as does the next: like the reference
        return cv2.subtract(noisy, below, dst=noisy)


class Augmenter:
    """The recipe, fast: banked noise, one warp per picture, brightness by a scaled copy."""

    def __init__(self, recipe: Recipe | None = None, seed: int = 0):
        self.recipe = recipe or Recipe()
        self._noise = NoiseBank(self.recipe.sigmas, seed)

    def __call__(self, images: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """Augment N pictures, ``uint8 (S, S, 3)``, into a new array; all randomness is `rng`'s."""
        recipe, shape = self.recipe, as_batch(images[:1]).shape[1:]
        augmented = np.empty((len(images), *shape), np.uint8)
        noisy, warped = np.empty((2, *shape), np.uint8)  # for all pictures: new memory is slow
        for image, out in zip(images, augmented, strict=True):
            if recipe.sigmas:
                rng.random()  # decides nothing any more; kept, so that old seeds draw as before
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
            factors = _gains(recipe, rng)
            if recipe.stain:
                cv2.transform(warped, np.diag(factors), dst=out)
            else:
                cv2.convertScaleAbs(warped, dst=out, alpha=factors[0])
        return augmented


def _gains(recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """Draw the factor of each channel of one picture: brightness, and stain where there is any."""
    gains = np.full(3, rng.uniform(*recipe.brightness))
    return gains * rng.uniform(1 - recipe.stain, 1 + recipe.stain, 3) if recipe.stain else gains


DRAWS = 11
"""Numbers that say what is done to one picture: grey or not, sigma, warp (6), gains (3)."""


def draws(recipe: Recipe, side: int, grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw what is to be done to N pictures, without doing it: ``float32 (N, DRAWS)``.

    `grey` says which are to be desaturated, ``bool (N,)``; all else comes from `rng`.
    """
    drawn = np.zeros((len(grey), DRAWS), np.float32)
    drawn[:, 0] = grey
    drawn[:, [2, 6]] = drawn[:, 8:] = 1  # as it is: no noise, no warp, no darkness
    for one in drawn if recipe.augment else ():
        if recipe.sigmas:
            one[1] = recipe.sigmas[rng.integers(len(recipe.sigmas))]
        one[2:8] = affine(recipe, side, rng).ravel()
        one[8:] = _gains(recipe, rng)
    return drawn
