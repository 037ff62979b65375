"""Everything that decides a run, each setting once: its default, its range and its help."""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from allm_utils.data import images, splits
from allm_utils.errors import ConfigError, check_choice, check_range, reason
from allm_utils.judge import conditions
from allm_utils.network.models import BUILDERS, LARGEST
from allm_utils.network.training import Draw, TrainingConfig

_NOISE = [f"{place}:{sigma}" for place in ("noise", "cell-noise") for sigma in (2, 5, 8, 10)]
_TEST = ("clean", *_NOISE, "grey", "tta")  # as in Tables 6-8, and what they leave out
FROZEN = ("probe_mobilenet", "probe_middle")  # read a MobileNet that has not seen a cell
PROBES = (*FROZEN, "probe_handmade", "probe_fine", "area")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# settings that decide no number of a run
_PLACES = ("data", "out", "work", "experiment", "note", "model_file", "conditions")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What a run of a network and one of a probe have in common.

    Attributes
    ----------
    data : Path or None
        Root of a C-NMC tree; without one, the sample that the package ships.
    work : Path
        Scratch folder for caches and checkpoints.
    out : Path or None
        Folder of the records; without one, WORK/records.
    experiment : str
        Name of the experiment: the folder of its records.
    model : str
        Network or probe.
    folds : tuple of int
        Folds to use. For cross-fold two: train on the first, test on the second.
    protocol : str
        "paper" splits each fold by image, "patient-disjoint" by people, and "cross-fold" trains on
        one fold and tests on another.
    round : int
        Which of the five rounds of patient-disjoint, from 0.
    test : str
        "split": a part of the folds. "prelim": the preliminary test set, with patient-disjoint.
    also_train : tuple of int
        More folds: their people join the training part, but for those who are in the folds above.
    image_size : int
        Side of the model's input, pixels.
    crop : float
        Side of the centre crop, pixels. Below 1 the share of the crop that each cell is to fill, as
        0.35: every cell then has one size. Not in the paper.
    model_file : Path or None
        Where to save the model, NAME.safetensors; without one, nowhere.
    note : str
        What a reader of the record must know.
    """

    data: Path | None = None
    work: Path = Path("work")
    out: Path | None = None
    experiment: str
    model: str
    folds: tuple[int, ...] = (1,)
    protocol: str = "paper"
    round: int = 0
    test: str = "split"
    also_train: tuple[int, ...] = ()
    image_size: int = images.SIZE
    crop: float = images.CROP
    model_file: Path | None = None
    note: str = ""

    def __post_init__(self):
        for name in ("data", "work", "out", "model_file"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        for name in ("folds", "also_train"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not _NAME.fullmatch(self.experiment):
            raise ConfigError(
                f"experiment {self.experiment!r}: cannot name a folder; give letters, digits, "
                "dots, underscores and hyphens"
            )
        splits.check_protocol(self.protocol, self.round, self.test)
        if not self.folds or len(set(self.folds)) < len(self.folds) or min(self.folds) < 0:
            raise ConfigError(f"folds {list(self.folds)}: give each fold once, from 0")
        if twice := set(self.folds) & set(self.also_train):
            raise ConfigError(f"also_train {sorted(twice)}: among the folds already; give others")
        if self.protocol == "cross-fold" and len(self.folds) != 2:
            raise ConfigError(f"folds {list(self.folds)}: protocol cross-fold needs two")
        if self.model_file and self.model_file.suffix != ".safetensors":
            raise ConfigError(f"model_file {self.model_file}: name it NAME.safetensors")
        check_range("image_size", self.image_size, 1, LARGEST)
        share = 0 < self.crop < 1
        check_range("crop", self.crop, *((0.05, 0.95) if share else (1, LARGEST)))
        object.__setattr__(self, "crop", float(self.crop) if share else int(self.crop))

    @property
    def seed(self) -> int:
        """Of everything random but the paper's split."""
        raise NotImplementedError

    @property
    def paper_seed(self) -> int:
        """Of the paper's split."""
        split_seed = getattr(self, "split_seed", None)
        return self.seed if split_seed is None else split_seed

    @property
    def records(self) -> Path:
        """Folder of the experiment's records."""
        return (self.out or self.work / "records") / self.experiment

    def values(self) -> dict[str, Any]:
        """What decides the numbers, flat, as plain JSON values; no paths of this machine."""
        values = _flat(asdict(self)) | {"seed": self.seed, "split_seed": self.paper_seed}
        if values.get("weights") is not None:
            values["weights"] = Path(values["weights"]).name
        values = {name: value for name, value in values.items() if name not in _PLACES}
        return {
            n: list(value) if isinstance(value, tuple) else value for n, value in values.items()
        }

    def run_id(self) -> str:
        """Name the run: model, protocol, folds, round, seed."""
        where = ""
        if self.test == "prelim":
            where = "-prelim"
        elif self.protocol == "patient-disjoint":
            where = f"-round{self.round}"
        split = "" if self.paper_seed == self.seed else f"-split{self.paper_seed}"
        folds = "-".join(map(str, self.folds))
        return f"{self.model}-{self.protocol}-fold{folds}{where}-seed{self.seed}{split}"


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig(RunConfig):
    """Everything that decides the training of a network, and its test.

    Attributes
    ----------
    alpha : float
        Width of the network.
    dropout : float
        Share of features dropped.
    l1 : float
        Penalty on the last layer's kernel.
    bn_momentum : float
        Of batch normalisation.
    scaling : str
        "unit" or "imagenet": pixels become [0, 1] or [-1, 1].
    weights : str or None
        "imagenet", a .h5 file, or none.
    conditions : tuple of str
        What the test pictures go through.
    training : TrainingConfig
        How the network is trained.
    split_seed : int or None
        Of the paper's split; without one, the seed.
    """

    experiment: str = "mobilenet_m"
    model: str = "mobilenet_m"
    alpha: float = 1.0
    dropout: float = 0.5
    l1: float = 0.015
    bn_momentum: float = 0.99
    scaling: str = "unit"
    weights: str | os.PathLike | None = "imagenet"
    conditions: tuple[str, ...] = _TEST
    training: TrainingConfig = field(default_factory=TrainingConfig)
    split_seed: int | None = None

    def __post_init__(self):
        super().__post_init__()
        check_choice("model", self.model, BUILDERS)
        if self.split_seed is not None:
            check_range("split_seed", self.split_seed, 0, 2**32 - 1)
        object.__setattr__(self, "conditions", conditions.check(self.conditions))
        if not self.conditions:
            raise ConfigError("conditions: give at least one, as clean")

    @property
    def seed(self) -> int:
        """Of everything random but the paper's split."""
        return self.training.seed


@dataclass(frozen=True, kw_only=True)
class ProbeConfig(RunConfig):
    """Everything that decides a run of a probe.

    Attributes
    ----------
    weights : str or None
        Of the MobileNet of probe_mobilenet and probe_middle: "imagenet" or a .h5 file.
    draw : {"cell", "person"}
        "cell": all cells weigh the same. "person": as networks draw people, see TrainingConfig.
    learn_from : {"train", "train+val"}
        Parts to fit on. Nothing is chosen on the validation part, so a probe may learn from it.
    seed : int
        Of the paper's split, and of the trees.
    """

    experiment: str = "probe"
    model: str = "probe_mobilenet"
    weights: str | os.PathLike | None = "imagenet"
    draw: Draw = "cell"
    learn_from: Literal["train", "train+val"] = "train"
    seed: int = 1337  # type: ignore[reportIncompatibleMethodOverride]

    def __post_init__(self):
        super().__post_init__()
        check_choice("model", self.model, PROBES)
        check_choice("draw", self.draw, get_args(Draw))
        check_choice("learn_from", self.learn_from, ("train", "train+val"))
        check_range("seed", self.seed, 0, 2**32 - 1)
        if self.model not in FROZEN:
            object.__setattr__(self, "weights", None)
        if self.model == "probe_fine" and self.image_size != self.crop:
            raise ConfigError(
                f"image_size {self.image_size}: probe_fine measures original pixels; give the "
                f"crop's, {self.crop}"
            )


def configured(kind: type, settings: Mapping[str, Any]) -> Any:
    """Make a configuration, and those inside it, of flat settings; each other has its default.

    A list stands for a tuple, and the word none for no weights: a command line and a study file
    know neither. A ConfigError where the kind has no such setting, or a value is wrong.
    """
    left = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    if left.get("weights") == "none":
        left["weights"] = None
    try:
        made = _made(kind, left)
    except TypeError as error:
        raise ConfigError(f"a setting is of the wrong kind ({reason(error)})") from None
    if left:
        raise ConfigError(f"{', '.join(left)}: {kind.__name__} has no such setting")
    return made


def _made(kind, left):
    """A configuration of the settings that it has; they are taken out of the others."""
    values = {}
    for name, type_ in get_type_hints(kind).items():
        if is_dataclass(type_):
            values[name] = _made(type_, left)
        elif name in left:
            values[name] = left.pop(name)
    return kind(**values)


def _flat(values: dict) -> dict:
    """Lift what is nested: TrainingConfig, and in it Recipe."""
    flat = {}
    for name, value in values.items():
        flat |= _flat(value) if isinstance(value, dict) else {name: value}
    return flat
