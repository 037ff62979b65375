"""The paper's balancing: every healthy training cell once more, in grey (section 3.2, Table 2)."""

import cv2
import numpy as np

from allm_utils.errors import ConfigError

GREY = ("none", "hem", "both")
"""Which classes get a grey copy: none, HEM only (the paper), or both (no grey shortcut)."""


def desaturate(images: np.ndarray) -> np.ndarray:
    """Convert to HSV, set saturation to zero, convert back.

    With S = 0 every channel equals the value V = max(R, G, B), so no conversion is needed. The
    result equals ``imgaug.augmenters.RemoveSaturation(1.0)`` and OpenCV's HSV way bit for bit.

    Parameters
    ----------
    images : numpy.ndarray
        ``uint8 (..., W, 3)``, RGB.

    Returns
    -------
    numpy.ndarray
        ``uint8``, same shape, three equal channels.
    """
    if not images.size:
        return images.copy()
    flat = images.reshape(-1, images.shape[-2], 3)  # OpenCV knows rows and columns only
    red, green, blue = cv2.split(flat)
    value = cv2.max(cv2.max(red, green), blue)
    return cv2.cvtColor(value, cv2.COLOR_GRAY2RGB).reshape(images.shape)


def balanced_rows(labels: np.ndarray, grey: str = "hem") -> tuple[np.ndarray, np.ndarray]:
    """List the pictures of the balanced training set without making them.

    Parameters
    ----------
    labels : array of int
        0 = HEM, 1 = ALL, one per training picture.
    grey : {"hem", "both", "none"}
        Which class gets a grey copy. "hem" is the paper's way: Table 2.

    Returns
    -------
    rows : numpy.ndarray of int
        Index into the training pictures; originals first, then the copies.
    is_grey : numpy.ndarray of bool
        Whether the picture is to be desaturated.
    """
    if grey not in GREY:
        raise ConfigError(f"balance {grey!r}: choose one of {', '.join(GREY)}")
    labels = np.asarray(labels)
    originals = np.arange(len(labels))
    copies = {
        "none": originals[:0],
        "hem": np.flatnonzero(labels == 0),
        "both": originals,
    }[grey]
    rows = np.concatenate([originals, copies])
    return rows, np.arange(len(rows)) >= len(originals)
