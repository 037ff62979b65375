"""How large a run is, and whose cells it sees: ``smoke`` for everyone, ``full`` for a GPU.

Only this module and the command line read the environment:

- ``ALLM_PROFILE``: ``smoke`` or ``full``; without it, full when a GPU and C-NMC are both there.
- ``ALLM_DATA``: folder that holds C-NMC 2019; without it, the sample that the package ships.
- ``ALLM_WORK``: scratch folder for caches; ``work`` beside the notebooks by default.
- ``ALLM_WEIGHTS``: file with ImageNet weights for ``full``, where they cannot be downloaded.
"""

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from allm_utils.data import cnmc, sample
from allm_utils.errors import ConfigError


@dataclass(frozen=True)
class Profile:
    """The size of a run, and where its cells are; without `data`, in the sample."""

    name: str
    image_size: int
    crop: int
    alpha: float
    weights: str
    epochs: int
    batch_size: int
    learning_rate: float
    bn_momentum: float
    data: Path | None = None
    work: Path = Path("work")

    def root(self) -> Path:
        """Folder that holds the cells, in the published layout; the sample's is written once."""
        return self.data or sample.root(self.work)

    def frame(self) -> pd.DataFrame:
        """Index the cells that a network may train on: `cnmc.index` of `root`.

        Of the sample without the cells of people from outside, which `sample.index` has.
        """
        if self.data:
            return cnmc.index(self.data)
        frame = sample.index(self.work)
        return frame[~frame["outside"]].drop(columns="outside")

    @property
    def source(self) -> str:
        """Whose cells the pictures of this run show, for captions and axes."""
        return "C-NMC 2019" if self.data else "sample of C-NMC 2019"

    @property
    def credit(self) -> str:
        """Attribution in two lines, for below the first picture of a page."""
        return sample.CITATION.replace(", The", ",\nThe")


SMOKE = Profile(
    name="smoke",
    image_size=128,
    crop=300,
    alpha=0.25,
    weights="imagenet",  # they ship with the package at this width
    epochs=12,
    batch_size=16,
    learning_rate=2e-3,
    bn_momentum=0.9,
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
)


def current() -> Profile:
    """Choose the profile for this machine, by its environment."""
    name = os.environ.get("ALLM_PROFILE")
    data = os.environ.get("ALLM_DATA")
    if name not in (None, "", "smoke", "full"):
        raise ConfigError(f"ALLM_PROFILE={name}: choose smoke or full")
    if data and not Path(data).is_dir():
        raise ConfigError(f"ALLM_DATA={data}: no such folder; point it at C-NMC 2019 or unset it")
    if not name and data:
        from allm_utils.network.training import has_gpu  # loads Keras

        name = "full" if has_gpu() else "smoke"
    chosen = FULL if name == "full" else SMOKE
    weights = os.environ.get("ALLM_WEIGHTS")  # made for the full width
    return replace(
        chosen,
        weights=weights if weights and name == "full" else chosen.weights,
        data=Path(data) if data else None,
        work=Path(os.environ.get("ALLM_WORK") or "work").absolute(),
    )


def banner() -> Profile:
    """Print what this run is, in words no reader can miss, and return the profile."""
    profile = current()
    print(f"Profile {profile.name}: {profile.image_size} px, width x{profile.alpha}, "
          f"{profile.epochs} epochs")  # fmt: skip
    if profile.data:
        print("Cells: C-NMC 2019")
        return profile
    print("Cells: 600 real cells of C-NMC 2019, a sample; numbers on this page are noisier than "
          "the records")  # fmt: skip
    if shutil.which("nvidia-smi"):
        print("A GPU is here: `allm data download DEST`, set ALLM_DATA to DEST, and this chapter "
              "runs at full size.")  # fmt: skip
    return profile
