"""How large this run is: ``smoke`` for everyone, ``full`` for a GPU and the real data.

Only this module and the command line read the environment:

- ``ALLM_PROFILE``: ``smoke`` or ``full``; without it, full when a GPU and C-NMC are both there.
- ``ALLM_DATA``: folder that holds C-NMC 2019.
- ``ALLM_WORK``: scratch folder for caches and made data; ``work`` beside the notebooks by default.
- ``ALLM_WEIGHTS``: file with ImageNet weights, where they cannot be downloaded.
"""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from allm_utils.errors import ConfigError


@dataclass(frozen=True)
class Profile:
    """The size of a run, and where its data are.

    Attributes
    ----------
    name : str
        ``"smoke"`` or ``"full"``.
    image_size, crop : int
        Side of the model's input and of the centre crop, in pixels.
    alpha : float
        Width multiplier of MobileNet.
    weights : str or None
        ``"imagenet"``, a path, or None for random ones.
    epochs, batch_size : int
    learning_rate, bn_momentum : float
    synthetic_images : int
        Size of the made data set when there is no C-NMC.
    data : Path or None
        Root of C-NMC 2019, if it is there.
    work : Path
        Scratch folder.
    """

    name: str
    image_size: int
    crop: int
    alpha: float
    weights: str | None
    epochs: int
    batch_size: int
    learning_rate: float
    bn_momentum: float
    synthetic_images: int
    data: Path | None = None
    work: Path = Path("work")


SMOKE = Profile(
    name="smoke",
    image_size=64,
    crop=300,
    alpha=0.25,
    weights=None,
    epochs=24,
    batch_size=16,
    learning_rate=3e-3,
    bn_momentum=0.9,
    synthetic_images=600,
)
FULL = Profile(
    name="full",
    image_size=224,
    crop=300,
    alpha=1.0,
    weights="imagenet",
    epochs=100,
    batch_size=16,
    learning_rate=1e-3,
    bn_momentum=0.99,
    synthetic_images=600,
)


def has_gpu() -> bool:
    """Whether Keras' backend sees a GPU."""
    if not (shutil.which("nvidia-smi") or shutil.which("rocm-smi")):
        return False  # no driver, so no need for the seconds that a backend takes to load
    import keras

    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available()
    return bool(keras.distribution.list_devices("gpu"))


def current() -> Profile:
    """Choose the profile for this machine.

    Raises
    ------
    ConfigError
        If ``ALLM_PROFILE`` is neither smoke nor full, or ``ALLM_DATA`` is not a folder.
    """
    name = os.environ.get("ALLM_PROFILE")
    data = os.environ.get("ALLM_DATA")
    if name not in (None, "", "smoke", "full"):
        raise ConfigError(f"ALLM_PROFILE={name}: choose smoke or full")
    if data and not Path(data).is_dir():
        raise ConfigError(f"ALLM_DATA={data}: no such folder; point it at C-NMC 2019 or unset it")
    if not name:
        name = "full" if data and has_gpu() else "smoke"
    chosen = FULL if name == "full" else SMOKE
    return replace(
        chosen,
        weights=(os.environ.get("ALLM_WEIGHTS") or chosen.weights) if name == "full" else None,
        data=Path(data) if data else None,
        work=Path(os.environ.get("ALLM_WORK") or "work").absolute(),
    )


def banner() -> Profile:
    """Print what this run is, in words no reader can miss, and return the profile."""
    profile = current()
    if profile.data:
        cells = "REAL cells: C-NMC 2019"
    else:
        cells = "SYNTHETIC cells: drawn by this package, not taken from any patient"
    print(f"Profile {profile.name}: {profile.image_size} px, width x{profile.alpha}, "
          f"{profile.epochs} epochs")  # fmt: skip
    print(cells)
    if not profile.data:
        print("For the real thing: `allm data download DEST`, set ALLM_DATA to DEST, use a GPU.")
        if has_gpu():
            print("A GPU is here; with ALLM_DATA set this chapter would run at full size.")
    return profile
