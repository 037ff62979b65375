"""Hand-made measures of cells on black: a row for each picture, a column for each measure.

`handmade_features` are some hundred, of pictures of any size. `fine_features` are some hundreds
more, of pictures that were not made smaller: the nucleus apart, rings, and grain by its size.
"""

from itertools import pairwise

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage
from tqdm.auto import tqdm

from allm_utils.data.images import as_batch
from allm_utils.errors import DataError, need

GROUPS = ("colour", "texture", "size")
"""Kinds of hand-made measures; the name of each measure begins with its kind."""

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_SCALES = (1, 2, 4, 8)
_GRAINS = tuple(1.5**power for power in range(7))
_STEPS = (1, 2, 4, 8)  # between the two pixels of a co-occurrence
_ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
_RINGS = 6
_RIM = (0, 2, 4, 7, 11, 16)  # pixels from the outline
_SHAPE = ("area", "perimeter", "eccentricity", "solidity", "extent", "axis_major_length")


def handmade_features(pictures, progress=False):
    """Measure each cell on black, ``uint8 (N, S, S, 3)``: a row per picture, a column per measure.

    Colour: mean, deviation, quantiles and histogram of red, green, blue and saturation inside the
    cell. Texture: how much the brightness varies at four scales. Size: area, perimeter, box,
    roundness, in pixels. A DataError for a picture that is all black.
    """
    return _measured(pictures, _coarse, progress)


def fine_features(pictures, progress=False):
    """Measure each cell finely, ``uint8 (N, S, S, 3)`` on black, not made smaller.

    The measures of `handmade_features`, and more. Size: the shapes of cell and nucleus, which
    Otsu's threshold divides. Colour: moments and quantiles inside the cell, means of rings from
    rim to centre. Texture: Haralick's co-occurrences, local binary patterns, grain and spots of
    seven sizes. A DataError for a picture that is all black.
    """
    need("explain", "skimage")
    return _measured(pictures, lambda *seen: _coarse(*seen) | _fine(*seen), progress)


def _coarse(picture, cell):
    return _colour(picture, cell) | _texture(picture, cell) | _size(cell)


def _measured(pictures, measure, progress):
    rows, pictures = [], as_batch(pictures)
    for number, picture in enumerate(tqdm(pictures, "measuring", disable=not progress)):
        cell = picture.any(axis=-1)
        if not cell.any():
            raise DataError(f"picture {number} is all black; leave it out")
        rows.append(measure(picture, cell))
    return pd.DataFrame(rows)


def _colour(picture, cell):
    inside = picture[cell].astype(float)
    red, green, blue = inside.T
    channels = {"red": red, "green": green, "blue": blue}
    channels["saturation"] = 255 * (1 - inside.min(axis=1) / inside.max(axis=1))
    found = {}
    for name, values in channels.items():
        found |= _spread(f"colour: {name}", values)
        bins = (0, 25, 50, 75, 100, 125, 150, 256)
        shares = np.histogram(values, bins)[0] / len(values)
        found |= {f"colour: {name} from {b}": s for b, s in zip(bins, shares, strict=False)}
    return found


def _texture(picture, cell):
    """How much the brightness varies inside the cell: its detail at each of four scales."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    inner = cv2.erode(cell.astype(np.uint8), np.ones((9, 9))).astype(bool)
    inner = inner if inner.any() else cell
    found = {}
    finer = grey
    for scale in _SCALES:
        coarser = cv2.GaussianBlur(grey, (0, 0), scale)
        found |= _spread(f"texture: detail {scale}", (finer - coarser)[inner])
        finer = coarser
    slopes = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return found | _spread("texture: slope", slopes[inner])


def _size(cell):
    mask = np.ascontiguousarray(cell, np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=cv2.contourArea)
    _, _, width, height = cv2.boundingRect(outline)
    perimeter, hull = cv2.arcLength(outline, closed=True), cv2.convexHull(outline)
    area = float(cell.sum())
    return {
        "size: area": area,
        "size: perimeter": perimeter,
        "size: width": float(width),
        "size: height": float(height),
        "size: thickness": float(cv2.distanceTransform(mask, cv2.DIST_L2, 5).max()),
        "size: roundness": 4 * np.pi * area / max(perimeter, 1.0) ** 2,
        "size: solidity": area / max(cv2.contourArea(hull), 1.0),
    }


def _spread(name, values):
    quantiles = zip(_QUANTILES, np.quantile(values, _QUANTILES), strict=True)
    found = {f"{name} mean": values.mean(), f"{name} deviation": values.std()}
    return found | {f"{name} quantile {q}": value for q, value in quantiles}


def _fine(picture, cell):
    """All fine measures of one cell: of the largest piece that is not black, without its holes."""
    from skimage.filters import threshold_otsu

    cell = _largest(ndimage.binary_fill_holes(cell))
    y, x = (slice(max(0, at.min() - 9), at.max() + 10) for at in np.nonzero(cell))
    cell, picture = np.ascontiguousarray(cell[y, x]), picture[y, x].astype(np.float32)
    depth = ndimage.distance_transform_edt(np.pad(cell, 1))[1:-1, 1:-1]
    inner = depth > min(5, 0.5 * depth.max())
    # where it is black, the light of the cell nearby: so no filter sees the outline
    around = cv2.GaussianBlur(picture * cell[..., None], (0, 0), 6)
    around /= cv2.GaussianBlur(cell.astype(np.float32), (0, 0), 6)[..., None] + 1e-6
    picture = np.where(cell[..., None], picture, around).clip(0, 255)
    green = np.ascontiguousarray(picture[..., 1])
    smooth = cv2.GaussianBlur(green, (0, 0), 1.5)
    dark = smooth[inner]
    dark = threshold_otsu(dark) if np.ptp(dark) > 0.1 else dark.max()  # else there is nothing apart
    nucleus = ndimage.binary_fill_holes(_largest(cell & (smooth <= dark)))
    found = {"size: nucleus share": nucleus.sum() / cell.sum()}
    found |= _shape("cell", cell) | _shape("nucleus", nucleus)
    return found | _rings(picture, cell, inner, depth) | _grain(picture, green, inner)


def _largest(mask):
    pieces, _ = ndimage.label(mask)
    return pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()


def _shape(name, mask):
    from skimage.measure import regionprops

    (region,) = regionprops(mask.astype(np.uint8))
    found = {f"size: {name} {key}": float(getattr(region, key)) for key in _SHAPE}
    return found | {f"size: {name} Hu {k}": np.cbrt(region.moments_hu[k]) for k in range(4)}


def _rings(picture, cell, inner, depth):
    density = -np.log((picture + 1) / 256)  # of stain, as Beer and Lambert have it
    share = density / np.maximum(density.sum(axis=-1, keepdims=True), 1e-6)  # white has none
    planes = dict(zip(("red", "green", "blue"), np.moveaxis(picture, -1, 0), strict=True))
    planes |= {"share of red": share[..., 0], "share of green": share[..., 1]}
    ring = np.minimum(_RINGS * depth / depth.max(), _RINGS - 1).astype(int)
    edges = list(pairwise(_RIM))
    found = {}
    for name, plane in planes.items():
        found |= _moments(f"colour: inner {name}", plane[inner])
        found |= _spread(f"colour: inner {name}", plane[inner])
        for k in range(_RINGS):
            band = plane[cell & (ring == k)]
            found[f"colour: {name} ring {k}"] = band.mean() if band.size else plane[cell].mean()
        for low, high in edges:
            rim = plane[cell & (depth > low) & (depth <= high)]
            found[f"colour: {name} rim {low}"] = rim.mean() if rim.size else plane[cell].mean()
            found[f"texture: {name} rim {low}"] = rim.std() if rim.size else 0.0
    return found


def _grain(picture, green, inner):
    from skimage.feature import local_binary_pattern

    found = {}
    for plane, name in enumerate(("red", "green", "blue")):
        values = picture[..., plane]
        cuts = np.quantile(values[inner], np.arange(1, 16) / 16)
        found |= _haralick(f"{name} ranks", np.where(inner, 1 + np.searchsorted(cuts, values), 0))
    found |= _haralick("green", np.where(inner, 1 + green // 8, 0))
    for radius in _STEPS[:3]:
        codes = local_binary_pattern(green.astype(np.uint8), 8, radius, "uniform")[inner]
        shares = np.bincount(codes.astype(int), minlength=10) / len(codes)
        found |= {f"texture: pattern {radius} {code}": s for code, s in enumerate(shares)}
    finer, spread = green, green[inner].std() + 1e-6
    for scale in _GRAINS:
        coarser = cv2.GaussianBlur(green, (0, 0), scale)
        grain, spots = (finer - coarser)[inner], cv2.Laplacian(coarser, cv2.CV_32F)[inner]
        found |= _moments(f"texture: grain {scale:.1f}", grain)
        found |= _moments(f"texture: spots {scale:.1f}", scale**2 * spots / spread)
        found[f"texture: grain {scale:.1f} share"] = grain.std() / spread
        finer = coarser
    return found


def _haralick(name, levels):
    """Co-occurrence of grey levels inside the cell; level 0 is outside (Haralick 1973)."""
    from skimage.feature import graycomatrix, graycoprops

    n = int(levels.max()) + 1
    pairs = graycomatrix(levels.astype(np.uint8), _STEPS, _ANGLES, n, symmetric=True)[1:, 1:]
    pairs = pairs.sum(axis=-1, keepdims=True) / np.maximum(pairs.sum(axis=(0, 1, 3)), 1)[:, None]
    found = {"entropy": -(pairs * np.log(pairs + 1e-12)).sum(axis=(0, 1))}
    for key in ("contrast", "dissimilarity", "homogeneity", "energy", "correlation"):
        found[key] = graycoprops(pairs, key)
    return {
        f"texture: {name} {key} {step}": float(value)
        for key, values in found.items()
        for step, value in zip(_STEPS, values[:, 0], strict=True)
    }


def _moments(name, values):
    """Deviation, skewness and kurtosis; products, because powers take ten times as long."""
    values = values.astype(float)
    apart = (values - values.mean()) / (values.std() + 1e-9)
    square = apart * apart
    third, fourth = (square * apart).mean(), (square * square).mean()
    return {f"{name} deviation": values.std(), f"{name} skew": third, f"{name} kurtosis": fourth}
