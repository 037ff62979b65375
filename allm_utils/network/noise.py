"""Zero-mean Gaussian noise, different per pixel and channel (paper, sections 3.3 and 4.1)."""

from collections.abc import Iterable

import cv2
import numpy as np

from allm_utils.errors import ConfigError

BANK_SIZE = 1 << 22
"""Samples per noise bank: 28 pictures' worth of 224 x 224 x 3, 8 MB in two bytes each."""


def _check_sigma(sigma: float) -> None:
    if not 0 <= sigma <= 255:
        raise ConfigError(f"sigma {sigma}: give a number from 0 to 255 (grey levels)")


class NoiseBank:
    """Gaussian noise for training at the price of a copy.

    One long vector of rounded normal samples is drawn per sigma. Every picture gets a window of
    it at a random offset, with a random sign. Two pictures share noise values only where their
    windows overlap, never at the same pixels unless offset and sign agree.

    Parameters
    ----------
    sigmas : iterable of float
        Standard deviations in grey levels.
    seed : int
        Seed of the bank.
    """

    def __init__(self, sigmas: Iterable[float], seed: int = 0):
        rng = np.random.default_rng([seed, 0x6E])
        self._banks = {}
        for sigma in sigmas:
            _check_sigma(sigma)
            bank = rng.standard_normal(BANK_SIZE, dtype=np.float32) * np.float32(sigma)
            np.rint(bank, out=bank)
            # what lies above 0 and what lies below, so that no step leaves eight bits
            self._banks[sigma] = [np.clip(part, 0, 255).astype(np.uint8) for part in (bank, -bank)]

    def add(
        self,
        image: np.ndarray,
        sigma: float,
        rng: np.random.Generator,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return ``image`` (``uint8 (H, W, 3)``) with noise of one of the bank's sigmas.

        With ``out``, of the same kind, it is written there.
        """
        start = int(rng.integers(BANK_SIZE - image.size + 1))
        above, below = (
            part[start : start + image.size].reshape(image.shape) for part in self._banks[sigma]
        )
        if rng.random() >= 0.5:
            above, below = below, above
        noisy = cv2.add(image, above, dst=out)  # saturates, as does the next: like the reference
        return cv2.subtract(noisy, below, dst=noisy)
