"""How large a run is, and whose cells it sees: ``smoke`` for all, ``class`` and ``full`` for GPUs.

Only this module and the command line read the environment:

- ``ALLM_PROFILE``: ``smoke``, ``class``, ``full``; else full where a GPU and C-NMC are there.
- ``ALLM_DATA``: C-NMC 2019, a folder or a fold packed by `allm data pack`; without it, the sample.
- ``ALLM_WORK``: scratch folder for caches; ``work`` beside the notebooks by default.
- ``ALLM_CHECKPOINTS``: folder where the network of chapter 5 is saved after every epoch.
- ``ALLM_WEIGHTS``: file with ImageNet weights of the full width, where they cannot be downloaded.
"""

import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from allm_utils.data import cnmc, sample
from allm_utils.errors import ConfigError


@dataclass(frozen=True)
class Profile:
    """The size of a run, and where its cells are; without `data`, in the sample."""

    name: str
    image_size: int = 224
    crop: int = 300
    alpha: float = 1.0
    weights: str = "imagenet"  # those of alpha 0.25 ship with the package
    epochs: int = 100
    batch_size: int = 16
    learning_rate: float = 1e-3
    bn_momentum: float = 0.99
    data: Path | None = None
    work: Path = Path("work")
    checkpoints: Path | None = None

    def root(self) -> Path:
        """Folder that holds the cells, in the published layout; the sample's is written once."""
        return self.data or sample.root(self.work)

    def frame(self) -> pd.DataFrame:
        """Index the cells that a network may train on: `cnmc.index` of `root`.

        Of the sample without the cells of people from outside, which `sample.index` has.
        """
        if self.data:
            frame = cnmc.index(self.data)
            if self.name == "class":
                frame = frame[frame["fold"] == CLASS_FOLD].reset_index(drop=True)
            return frame
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


FULL = Profile("full")
SMOKE = Profile("smoke", image_size=128, alpha=0.25, epochs=12, learning_rate=2e-3, bn_momentum=0.9)
CLASS = replace(FULL, name="class", image_size=112, epochs=30)
"""The paper's network and recipe on one fold, in small pictures: for a lesson on a GPU."""
CLASS_FOLD = 1
DRIVE = Path("/content/drive/MyDrive/allm")
"""Where a class keeps its fold and its checkpoints, on Google Colab."""


def current() -> Profile:
    """Choose the profile for this machine, by its environment."""
    name = os.environ.get("ALLM_PROFILE")
    data = os.environ.get("ALLM_DATA")
    profiles = {profile.name: profile for profile in (SMOKE, CLASS, FULL)}
    if name and name not in profiles:
        raise ConfigError(f"ALLM_PROFILE={name}: choose one of {', '.join(profiles)}")
    if data and not Path(data).exists():
        raise ConfigError(f"ALLM_DATA={data}: not there; point it at C-NMC 2019 or unset it")
    if not name and data:
        from allm_utils.network.training import has_gpu  # loads Keras

        name = "full" if has_gpu() else "smoke"
    chosen = profiles[name or "smoke"]
    weights = os.environ.get("ALLM_WEIGHTS")  # made for the full width
    kept = os.environ.get("ALLM_CHECKPOINTS")
    return replace(
        chosen,
        weights=weights if weights and chosen.alpha == 1 else chosen.weights,
        data=Path(data) if data else None,
        work=Path(os.environ.get("ALLM_WORK") or "work").absolute(),
        checkpoints=Path(kept) if kept else None,
    )


def use_real_data() -> None:
    """Let the rest of this notebook train on C-NMC 2019, in the class profile.

    ``allm/fold_1.zip``, an archive of `allm data pack`, is taken if it is there; else the set is
    fetched from Kaggle, and where the machine has it already, nothing is copied. Checkpoints go
    to ``allm``. On Google Colab your Drive is mounted first, and the folder is the one there.
    """
    folder = Path("allm")
    if "google.colab" in sys.modules:
        from google.colab import drive

        drive.mount("/content/drive")
        folder = DRIVE
    data = folder / f"fold_{CLASS_FOLD}.zip"
    if not data.exists():
        data = cnmc.download("C-NMC")  # which says where it is: on Colab and Kaggle elsewhere
    print(f"Cells: {data}; checkpoints: {folder}")
    os.environ |= {
        "ALLM_PROFILE": "class",
        "ALLM_DATA": str(data),
        "ALLM_CHECKPOINTS": str(folder),
    }


def banner() -> Profile:
    """Print what this run is, in words no reader can miss, and return the profile."""
    profile = current()
    print(f"Profile {profile.name}: {profile.image_size} px, width × {profile.alpha}, "
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
