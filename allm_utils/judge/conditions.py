"""Every way in which a test picture is changed, once: a name, what it does, and its range."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from allm_utils.data.images import as_batch
from allm_utils.errors import ConfigError, need
from allm_utils.network.recipe import desaturate

_STAIN_STEP = 0.05  # ``stain:s`` scales each stain by a factor within 1 ± s times this


@dataclass(frozen=True)
class Condition:
    """One way in which a picture is changed.

    ``change`` goes from a picture, ``uint8 (H, W, 3)``, the value behind the colon of the name and
    a generator of the picture's own, to the changed picture. ``value`` names what stands behind the
    colon, empty where nothing does; ``low`` to ``high`` is its range; ``needs`` the module of the
    extra ``explain`` that it asks for.
    """

    help: str
    change: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    value: str = ""
    low: float = 0
    high: float = 0
    whole: bool = False
    needs: str = ""

    @property
    def range(self) -> str:
        """The value and its range, in words."""
        whole = ", whole" if self.whole else ""
        return f"{self.value} from {self.low:g} to {self.high:g}{whole}"


def _same(picture, *_):
    return picture


def _noise(picture, sigma, rng):
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    noise *= np.float32(sigma)
    noise += picture
    return np.clip(np.rint(noise), 0, 255).astype(np.uint8)


def _stain(picture, severity, rng):
    """Unmix haematoxylin, eosin and the rest, scale each, mix again (Tellez et al., 2018)."""
    from skimage.color import hed2rgb, rgb2hed

    factors = 1 + severity * _STAIN_STEP * rng.uniform(-1, 1, 3)
    return np.rint(255 * hed2rgb(rgb2hed(picture) * factors))


def _on_black(change):
    """Change the cell only. Programs cut cells out last: C-NMC's background is exactly black."""
    return lambda picture, *how: (change(picture, *how) * _cell(picture)).astype(np.uint8)


def _resized(picture, factor, _=None):
    """Enlarge the cell about its middle; the picture keeps its size."""
    cell = _cell(picture)[..., 0].astype(np.uint8)
    x, y, width, height = cv2.boundingRect(cell)
    middle = x + (width - 1) / 2, y + (height - 1) / 2
    matrix = cv2.getRotationMatrix2D(middle, 0, float(factor))
    cell = cv2.warpAffine(cell, matrix, picture.shape[1::-1], flags=cv2.INTER_NEAREST)
    return cv2.warpAffine(picture, matrix, picture.shape[1::-1]) * cell[..., None]


def _of_one_size(picture, area, _):
    return _resized(picture, np.sqrt(area / max(_cell(picture).sum(), 1)))


def _cell(picture):
    return picture.any(axis=-1, keepdims=True)


def _spoilt(help, kind):
    def change(picture, severity, _):
        from imagecorruptions import corrupt  # takes seconds: it compiles

        return corrupt(picture, int(severity), kind)

    return Condition(help, _on_black(change), *_SEVERITY, needs="imagecorruptions")


_SIGMA, _SEVERITY, _FACTOR = ("σ", 0, 255), ("s", 1, 5, True), ("factor", 0.25, 4)
_STAIN = f"each stain scaled within ±{_STAIN_STEP:.0%} times s"

CONDITIONS = {
    "clean": Condition("as it is", _same),
    "noise": Condition("Gaussian noise of σ grey levels", _noise, *_SIGMA),
    "cell-noise": Condition("the same, in the cell only", _on_black(_noise), *_SIGMA),
    "blur": _spoilt("out of focus", "defocus_blur"),
    "light": _spoilt("brighter", "brightness"),
    "contrast": _spoilt("of less contrast", "contrast"),
    "jpeg": _spoilt("compressed", "jpeg_compression"),
    "stain": Condition(_STAIN, _on_black(_stain), *_SEVERITY, needs="skimage"),
    "size": Condition("the cell enlarged", _resized, *_FACTOR),
    "size-normalised": Condition("every cell of the median area of them all", _of_one_size),
    "grey": Condition("without saturation", lambda picture, *_: desaturate(picture)),
    "tta": Condition("mean over four rotations, and of the mirror image", _same),
    "own-statistics": Condition("batch statistics of the person's own cells", _same),
}
"""By name. Blur, light, contrast and JPEG are those of Hendrycks & Dietterich (2019). The last one
changes the network and not the picture: `predict` does it."""

CORRUPTIONS = (
    "clean",
    *(f"{kind}:{s}" for kind in ("blur", "light", "contrast", "jpeg", "stain") for s in (1, 3, 5)),
    *(f"size:{factor}" for factor in (0.8, 0.9, 1.1, 1.2)),
    "size-normalised",
)
"""What a trained network is tested under to learn whether to trust it."""


def names() -> list[str]:
    """Name all conditions, each with what stands behind its colon."""
    return [f"{name}:{how.value}" if how.value else name for name, how in CONDITIONS.items()]


def in_words(condition: str) -> str:
    """Name a condition for the line of a table: "jpeg:3" as "JPEG, severity 3"."""
    name, value = _parsed(condition)
    said = {"cell-noise": "noise in the cell", "jpeg": "JPEG", "size-normalised": "all of one size"}
    said |= {"tta": "mean of eight views", "own-statistics": "each person's own batch statistics"}
    strength = {"σ": f", σ {value:g}", "s": f", severity {value:g}", "factor": f" × {value:g}"}
    return said.get(name, name) + strength.get(CONDITIONS[name].value, "")


def described() -> str:
    """Say in one line what there is, for a command's help."""
    hows = zip(names(), CONDITIONS.values(), strict=True)
    return "; ".join(f"{n} ({how.help}{how.value and f'; {how.range}'})" for n, how in hows)


def check(conditions: Iterable[str]) -> tuple[str, ...]:
    """Refuse what is no condition, as "clean" or "noise:5", before any work.

    Returns each once, with its value written in one way: "noise:5.0" becomes "noise:5". A
    ConfigError names all that are none, or the package that one needs.
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
        need("explain", *filter(None, [CONDITIONS[condition.partition(":")[0]].needs]))
    return tuple(dict.fromkeys(good))


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
        raise ValueError(f"{condition!r} needs {how.range}")
    return name, value


def batches(
    condition: str, pictures: Sequence, seed: int = 0, batch_size: int = 64
) -> Iterator[list[np.ndarray]]:
    """Change pictures, ``uint8 (N, H, W, 3)``, batch by batch; no more than one is in memory.

    Picture ``i`` of all draws from ``(seed, i)``, whatever the batch. Yields the views of a batch:
    eight for "tta", else one.
    """
    (condition,) = check([condition])
    name, value = _parsed(condition)
    change, starts = CONDITIONS[name].change, range(0, len(pictures), batch_size)
    if name == "size-normalised" and starts:
        areas = [as_batch(pictures[a : a + batch_size]).any(-1).sum((1, 2)) for a in starts]
        value = np.median(np.concatenate(areas))
    for start in starts:
        batch = as_batch(pictures[start : start + batch_size])
        if change is not _same:
            rngs = (np.random.default_rng([seed, i]) for i in range(start, start + len(batch)))
            changed = [change(p, value, rng) for p, rng in zip(batch, rngs, strict=True)]
            batch = np.stack(changed)
        yield _eight(batch) if name == "tta" else [batch]


def _eight(batch):
    """The pictures in four rotations, and their mirror images: none changes what they show."""
    return [np.rot90(b, k, axes=(1, 2)) for b in (batch, batch[:, :, ::-1]) for k in range(4)]


def apply(condition: str, pictures: np.ndarray, seed: int = 0) -> np.ndarray:
    """As `batches`, all pictures at once: the first of their views."""
    whole = batches(condition, pictures, seed, max(1, len(pictures)))
    return next(whole, [np.asarray(pictures)])[0]
