"""Every way in which a test picture is changed, once: a name, what it does, and its range."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from allm_utils.errors import ConfigError, ImageError, need
from allm_utils.network.recipe import desaturate

STAIN_STEP = 0.05
"""``stain:s`` scales each stain by a factor within 1 ± s times this."""


@dataclass(frozen=True)
class Condition:
    """One way in which a picture is changed.

    Attributes
    ----------
    help : str
        What it does, in a sentence.
    change : callable
        From a picture, ``uint8 (H, W, 3)``, the value behind the name's colon and a generator of
        its own, to the changed picture.
    value : str
        What stands behind the colon; empty where nothing does.
    low, high : float
        The value's range, both ends included.
    whole : bool
        The value is a whole number.
    needs : tuple of str
        Modules of the extra ``explain`` that it asks for.
    """

    help: str
    change: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    value: str = ""
    low: float = 0
    high: float = 0
    whole: bool = False
    needs: tuple[str, ...] = ()


def _noise(picture, sigma, rng, cell_only=False):
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    noise *= np.float32(sigma)
    if cell_only:
        noise *= _mask(picture)
    noise += picture
    return np.clip(np.rint(noise), 0, 255).astype(np.uint8)


def _corruption(kind):
    def change(picture, severity, _):
        from imagecorruptions import corrupt  # takes seconds: it compiles

        return _on_black(corrupt(picture, int(severity), kind), picture)

    return change


def _stain(picture, severity, rng):
    """Unmix haematoxylin, eosin and the rest, scale each, mix again (Tellez et al., 2018)."""
    from skimage.color import hed2rgb, rgb2hed

    factors = 1 + severity * STAIN_STEP * rng.uniform(-1, 1, 3)
    return _on_black(np.rint(255 * hed2rgb(rgb2hed(picture) * factors)), picture)


def _resized(picture, factor, _=None):
    """Enlarge the cell about its middle; the picture keeps its size."""
    cell = _mask(picture)[..., 0].astype(np.uint8)
    x, y, width, height = cv2.boundingRect(cell)
    middle = x + (width - 1) / 2, y + (height - 1) / 2
    matrix = cv2.getRotationMatrix2D(middle, 0, float(factor))
    size = picture.shape[1::-1]
    cell = cv2.warpAffine(cell, matrix, size, flags=cv2.INTER_NEAREST)
    return cv2.warpAffine(picture, matrix, size) * cell[..., None]


def _of_one_size(picture, area, _):
    return _resized(picture, np.sqrt(area / max(_mask(picture).sum(), 1)))


def _mask(picture):
    """Where the cell is: the background of C-NMC is exactly black. bool (H, W, 1)."""
    return picture.any(axis=-1, keepdims=True)


def _on_black(changed, picture):
    """Blacken the background again, since a program cuts the cells out last."""
    return (changed * _mask(picture)).astype(np.uint8)


_SIGMA = {"value": "σ", "high": 255}
_SEVERITY = {"value": "s", "low": 1, "high": 5, "whole": True}
_CORRUPTED = {**_SEVERITY, "needs": ("imagecorruptions",)}

CONDITIONS = {
    "clean": Condition("the picture as it is", lambda picture, *_: picture),
    "noise": Condition("Gaussian noise of σ grey levels, background too", _noise, **_SIGMA),
    "cell-noise": Condition(
        "Gaussian noise of σ grey levels, in the cell only",
        lambda *of: _noise(*of, cell_only=True),
        **_SIGMA,
    ),
    "blur": Condition("out of focus", _corruption("defocus_blur"), **_CORRUPTED),
    "light": Condition("brighter", _corruption("brightness"), **_CORRUPTED),
    "contrast": Condition("less contrast", _corruption("contrast"), **_CORRUPTED),
    "jpeg": Condition("compressed by JPEG", _corruption("jpeg_compression"), **_CORRUPTED),
    "stain": Condition(
        f"each stain scaled within ±{STAIN_STEP:.0%} times s",
        _stain,
        **_SEVERITY,
        needs=("skimage",),
    ),
    "size": Condition(
        "the cell enlarged by the factor", _resized, value="factor", low=0.25, high=4
    ),
    "size-normalised": Condition("every cell of the median area of them all", _of_one_size),
    "grey": Condition("without saturation", lambda picture, *_: desaturate(picture)),
    "tta": Condition(
        "mean over four rotations, and of the mirror image", lambda picture, *_: picture
    ),
}
"""By name. Blur, light, contrast and JPEG are those of Hendrycks & Dietterich (2019)."""


def names() -> list[str]:
    """Name all conditions, each with what stands behind its colon."""
    return [f"{name}:{how.value}" if how.value else name for name, how in CONDITIONS.items()]


def described() -> str:
    """Say in one line what there is, for a command's help."""
    return "; ".join(
        f"{name} ({how.help}{f'; {_range(how)}' if how.value else ''})"
        for name, how in zip(names(), CONDITIONS.values(), strict=True)
    )


def check(conditions: Iterable[str]) -> tuple[str, ...]:
    """Refuse what is no condition, before any work.

    Parameters
    ----------
    conditions : iterable of str
        As "clean" or "noise:5".

    Returns
    -------
    tuple of str
        The same, each once, their values written in one way: "noise:5.0" becomes "noise:5".

    Raises
    ------
    ConfigError
        Names all that are none, or the package that one needs.
    """
    good, bad = [], []
    for condition in conditions:
        try:
            name, value = _parsed(condition)
            good.append(f"{name}:{value:g}" if CONDITIONS[name].value else name)
        except ValueError as error:
            bad.append(str(error))
    if bad:
        raise ConfigError(f"condition {', '.join(bad)}; choose of {', '.join(names())}")
    for condition in good:
        need("explain", *CONDITIONS[condition.partition(":")[0]].needs)
    return tuple(dict.fromkeys(good))


def batches(
    condition: str, pictures: Sequence, seed: int = 0, batch_size: int = 64
) -> Iterator[list[np.ndarray]]:
    """Change pictures batch by batch; no more than one batch is in memory.

    Parameters
    ----------
    condition : str
    pictures : array of uint8, shape (N, H, W, 3)
        May be a memory map.
    seed : int
        Picture ``i`` of all draws from ``(seed, i)``, whatever the batch.
    batch_size : int

    Yields
    ------
    list of ndarray of uint8, shape (n, H, W, 3)
        The views of a batch: eight for "tta", else one.

    Raises
    ------
    ConfigError
        It is no condition.
    ImageError
        The pictures are not a batch of 8-bit RGB.
    """
    (condition,) = check([condition])
    name, value = _parsed(condition)
    starts = range(0, len(pictures), batch_size)
    if name == "size-normalised":
        areas = [_checked(pictures[a : a + batch_size]).any(-1).sum((1, 2)) for a in starts]
        value = np.median(np.concatenate(areas)) if areas else 0
    for start in starts:
        batch = _checked(pictures[start : start + batch_size])
        if name not in ("clean", "tta"):
            change = CONDITIONS[name].change
            batch = np.stack(
                [
                    change(picture, value, np.random.default_rng([seed, i]))
                    for i, picture in enumerate(batch, start)
                ]
            )
        yield _eight(batch) if name == "tta" else [batch]


def views(condition: str, pictures: np.ndarray, seed: int = 0) -> list[np.ndarray]:
    """Change pictures, all at once; parameters and errors as those of `batches`.

    Returns
    -------
    list of ndarray of uint8, shape (N, H, W, 3)
        Eight for "tta", else one.
    """
    return next(batches(condition, pictures, seed, max(1, len(pictures))), [np.asarray(pictures)])


def apply(condition: str, pictures: np.ndarray, seed: int = 0) -> np.ndarray:
    """Change pictures, all at once: the first of their `views`."""
    return views(condition, pictures, seed)[0]


def add_gaussian_noise(
    images: np.ndarray, sigma: float, seed: int = 0, cell_only: bool = False
) -> np.ndarray:
    """Add noise to test pictures, as imgaug's ``AdditiveGaussianNoise(per_channel=True)``.

    The sum is rounded and clipped to [0, 255]. On a black background the clipping cuts the
    negative half away: there the noise is not zero-mean any more (paper, section 4.1).

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, 3)
    sigma : float
        Standard deviation in grey levels, 0 to 255.
    seed : int
        Picture ``i`` gets the noise of ``(seed, i)``.
    cell_only : bool
        Leave the exactly black background black: a fairer test, with next to no clipping.

    Returns
    -------
    ndarray of uint8, shape (N, H, W, 3)
        A new array.

    Raises
    ------
    ConfigError
        Sigma is out of its range.
    ImageError
        The pictures are not a batch of 8-bit RGB.
    """
    return apply(f"{'cell-noise' if cell_only else 'noise'}:{sigma}", images, seed)


def _parsed(condition):
    """Name and value; a ValueError says what is wrong."""
    name, colon, text = str(condition).partition(":")
    how = CONDITIONS.get(name)
    if how is None:
        raise ValueError(f"{condition!r} is unknown")
    if not how.value:
        if colon:
            raise ValueError(f"{condition!r} takes no value")
        return name, 0.0
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not how.low <= value <= how.high or (how.whole and value % 1):
        raise ValueError(f"{condition!r} needs {_range(how)}")
    return name, value


def _range(how):
    kind = ", whole" if how.whole else ""
    return f"{how.value} from {how.low:g} to {how.high:g}{kind}"


def _eight(batch):
    """The pictures in four rotations, and their mirror images: none changes what they show."""
    return [np.rot90(b, k, axes=(1, 2)) for b in (batch, batch[:, :, ::-1]) for k in range(4)]


def _checked(pictures):
    pictures = np.asarray(pictures)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3:
        raise ImageError(
            f"pictures of {pictures.dtype} {pictures.shape}: give uint8 (N, H, W, 3), RGB from 0 "
            "to 255; of one picture, picture[None]"
        )
    return pictures
