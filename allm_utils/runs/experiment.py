"""One run, from configuration to record: what the command line, a chapter and a cluster call."""

import importlib.metadata
import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from allm_utils import __version__
from allm_utils.data import cnmc, images, people, splits, synthetic
from allm_utils.errors import ConfigError, DataError, RecordError
from allm_utils.judge.conditions import add_gaussian_noise
from allm_utils.judge.predict import predict
from allm_utils.network.models import BUILDERS, build, parameters, precision, resolve_weights
from allm_utils.network.recipe import desaturate
from allm_utils.network.saving import read_card, save
from allm_utils.network.training import TrainingConfig, TrainingData, fit
from allm_utils.runs.records import Record, check_free, write

TEST_SIGMAS = (2, 5, 8, 10)


@dataclass(frozen=True)
class ExperimentConfig:
    """Everything that decides a run.

    Attributes
    ----------
    data : path-like
        Root of a C-NMC tree, real or made.
    out : path-like
        Results folder; the record goes to ``out/<experiment>/``.
    work : path-like
        Scratch folder for the image cache and the checkpoints of this run.
    experiment : str
        Name of the experiment; the folder of the record.
    model : str
        One of `models.BUILDERS`.
    folds : tuple of int
        Folds to use. "paper": one fold, split by image. "patient-disjoint": any, split by subject.
        "cross-fold": two, train on the first and test on the second.
    protocol : {"paper", "patient-disjoint", "cross-fold"}
    part : int
        Which of the five patient-disjoint splits, from 0.
    test : {"split", "prelim"}
        Test on a part of the folds, or on the 28 new patients of the preliminary test set. For the
        latter the protocol is patient-disjoint, and the folds are divided into training and
        validation.
    image_size, crop : int
        In pixels.
    alpha, dropout, l1, bn_momentum : float
    scaling : {"unit", "imagenet"}
    weights : "imagenet", path-like or None
    model_file : path-like or None
        Where to save the trained model (float16), if anywhere.
    test_sigmas : tuple of float
        Noise of the test, everywhere and in the cell only. Each costs two passes.
    training : TrainingConfig
    note : str
        What a reader of the record must know.
    """

    data: str | os.PathLike
    out: str | os.PathLike
    work: str | os.PathLike
    experiment: str = "mobilenet_m"
    model: str = "mobilenet_m"
    folds: tuple[int, ...] = (1,)
    protocol: str = "paper"
    part: int = 0
    test: str = "split"
    image_size: int = 224
    crop: int = 300
    alpha: float = 1.0
    dropout: float = 0.5
    l1: float = 0.015
    bn_momentum: float = 0.99
    scaling: str = "unit"
    weights: str | os.PathLike | None = "imagenet"
    model_file: str | os.PathLike | None = None
    test_sigmas: tuple[float, ...] = TEST_SIGMAS
    training: TrainingConfig = field(default_factory=TrainingConfig)
    note: str = ""

    def __post_init__(self):
        splits.check_protocol(self.protocol, self.part, self.test)
        if self.model not in BUILDERS:
            raise ConfigError(f"model {self.model!r}: choose one of {', '.join(BUILDERS)}")
        needed = {"paper": 1, "cross-fold": 2}.get(self.protocol)
        if needed and len(self.folds) != needed:
            raise ConfigError(
                f"protocol {self.protocol} needs {needed} fold(s), not {len(self.folds)}"
            )

    @property
    def seed(self) -> int:
        """Of the split and of training."""
        return self.training.seed

    def values(self) -> dict:
        """Return what decides the numbers, as plain JSON values; no paths of this machine."""
        values = asdict(self)
        training = values.pop("training")
        for name in ("data", "out", "work", "model_file", "test_sigmas", "note", "experiment"):
            values.pop(name)
        values["folds"] = list(self.folds)
        values["round"], values["split_seed"] = values.pop("part"), self.seed
        if self.weights is not None:
            values["weights"] = Path(self.weights).name
        training |= json.loads(json.dumps(training.pop("recipe")))
        return values | training

    def run_id(self) -> str:
        """Name the run: model, protocol, folds, part, seed."""
        return name_run(self)


def changed(config: dict, baseline: dict) -> dict:
    """Say which settings of a record differ from those of another.

    Parameters
    ----------
    config, baseline : dict
        ``config`` of two records. A setting that one of them lacks, because it is older than the
        setting, has today's default.

    Returns
    -------
    dict of str to (before, after)
        Without the folds, the seed and the precision, which choose the data and the machine.
    """
    defaults = ExperimentConfig(data="", out="", work="").values()
    before, after = (defaults | values for values in (baseline, config))
    names = set(before) - {"folds", "seed", "precision", "part"}
    return {
        name: (before[name], after.get(name))
        for name in sorted(names)
        if before[name] != after.get(name)
    }


def name_run(config) -> str:
    """Name a run by what it was made of: model, protocol, folds, part, seed."""
    folds = "-".join(map(str, config.folds))
    part = ""
    if config.test == "prelim":
        part = "-prelim"
    elif config.protocol == "patient-disjoint":
        part = f"-part{config.part}"
    return f"{config.model}-{config.protocol}-fold{folds}{part}-seed{config.seed}"


def select(config: ExperimentConfig) -> tuple[pd.DataFrame, pd.Series]:
    """Index the data and split it.

    Returns
    -------
    frame : pandas.DataFrame
        Rows of the chosen folds, and of the preliminary test set if that is the test, as
        `cnmc.index` gives them.
    split : pandas.Series of str
        "train", "val" or "test" for each row.

    Raises
    ------
    DataError
        If a fold is not there, or a patient-disjoint split is not one.
    """
    frame = cnmc.index(config.data)
    absent = set(config.folds) - set(frame["fold"].dropna().astype(int))
    if absent:
        raise DataError(f"{config.data}: no fold {sorted(absent)} there; check `allm data index`")
    chosen = frame["fold"].isin(config.folds).fillna(False)
    if config.test == "prelim":
        chosen |= frame["split"] == "prelim"
    frame = frame[chosen].reset_index(drop=True)
    how = config.protocol, config.folds, config.seed, config.part, config.test
    return frame, splits.protocol_split(frame, *how)


def kind_of(data: str | os.PathLike) -> str:
    """Name the kind of a tree, as records do: "other" or "cnmc-2019"."""
    return "other" if synthetic.is_synthetic(data) else "cnmc-2019"


def describe(config, frame: pd.DataFrame, split: pd.Series, start: dict, epochs: int = 0) -> dict:
    """Say for a record what ran, on what and where; the results are still to be added.

    Parameters
    ----------
    config : ExperimentConfig or allm_utils.probe.ProbeConfig
    frame, split
        As `select` gives them.
    start : dict
        ``started`` and ``package``, from `began`.

    Returns
    -------
    dict
    """
    finished = datetime.now(UTC).replace(microsecond=0)
    return {
        "id": config.run_id(),
        "experiment": config.experiment,
        "model": config.model,
        "folds": list(config.folds),
        "protocol": config.protocol,
        "config": config.values(),
        "seed": config.seed,
        "data": {
            "kind": kind_of(config.data),
            "fingerprint": images.fingerprint(frame, Path(config.work) / "images"),
            "n_images": len(frame),
        },
        "split": {part: _membership(frame[split == part]) for part in ("train", "val", "test")},
        "processes": [
            {
                **provenance(),
                "package": start["package"],
                "started": start["started"],
                "finished": finished.isoformat(timespec="seconds"),
                "seconds": (finished - datetime.fromisoformat(start["started"])).total_seconds(),
                "epochs": epochs,
            }
        ],
        "resumed": False,
        "note": config.note,
    }


def began() -> dict:
    """Note now as the time when a run starts, and the code that runs."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "package": provenance()["package"],
    }


def run(config: ExperimentConfig, resume: bool = False, progress: bool = True) -> Path:
    """Train, test at every noise level and record.

    Parameters
    ----------
    config : ExperimentConfig
    resume : bool
        Continue a killed run of the same configuration.
    progress : bool

    Returns
    -------
    Path
        The record's JSON file.

    Raises
    ------
    ConfigError
        If a run of another configuration is being resumed.
    AllmError
        As the steps raise them; the record is written last, whole or not at all.
    """
    run_id = config.run_id()
    folder = Path(config.work) / "runs" / config.experiment / run_id
    check_free(Path(config.out) / config.experiment, run_id, kind_of(config.data))
    frame, split = select(config)
    # better missed now than after reading a fold
    resolve_weights(config.weights, config.alpha, config.model)
    pictures = images.load(
        frame, config.image_size, config.crop, Path(config.work) / "images", progress
    )
    start = _begin(config, folder, resume)
    labels = frame["label"].to_numpy(int)
    rows = {part: np.flatnonzero(split == part) for part in ("train", "val", "test")}
    policy = config.training.dtype_policy()
    model = _build(config, policy)
    history = fit(
        model,
        TrainingData(
            pictures, labels, config.training, rows["train"], people.person(frame["subject"])
        ),
        (pictures[rows["val"]], labels[rows["val"]]),
        config.training,
        checkpoints=folder,
        resume=resume,
        progress=progress,
    )
    if policy != "float32":
        trained, model = model, _build(config, "float32")
        model.set_weights(trained.get_weights())
    predictions = _test(model, frame.iloc[rows["test"]], pictures[rows["test"]], config)
    record = {
        **describe(config, frame, split, start, len(history)),
        "weights": weights_file(resolve_weights(config.weights, config.alpha, config.model)),
        "parameters": parameters(model),
        "epochs_run": len(history),
        "best_epoch": history.best_epoch,
        "history": history.epochs,
        "conditions": list(predictions["condition"].unique()),
    }
    path = write(Path(config.out) / config.experiment, record, predictions)
    if config.model_file:
        card = {"image_size": config.image_size, "crop": config.crop}
        card["record"] = f"{config.experiment}/{run_id}"
        save(model, config.model_file, card)
    return path


def select_again(
    source: Record, data: str | os.PathLike, work: str | os.PathLike
) -> tuple[pd.DataFrame, pd.Series]:
    """Index and split the data of a record again.

    Parameters
    ----------
    source : Record
    data : path-like
        Root of the tree that the run used.
    work : path-like
        Scratch folder.

    Returns
    -------
    frame, split
        As `select`.

    Raises
    ------
    RecordError
        The images are not those that the run used.
    """
    old = source.data
    config = ExperimentConfig(
        data=data,
        out=work,
        work=work,
        folds=tuple(old["folds"]),
        protocol=old["protocol"],
        **{key: old["config"][key] for key in ("part", "test") if key in old["config"]},
        training=TrainingConfig(seed=old["seed"]),
    )
    frame, split = select(config)
    if images.fingerprint(frame, Path(work) / "images") != old["data"]["fingerprint"]:
        raise RecordError(f"{data}: not the images of record {source.id}; give the tree it used")
    return frame, split


def check_model(source: Record, saved: str | os.PathLike) -> None:
    """Make sure that a saved model is that of a record.

    Raises
    ------
    RecordError
        Its card names another, or another size or crop.
    """
    card, config = read_card(saved), source.data["config"]
    fits = all(card[key] == config.get(key) for key in ("image_size", "crop"))
    if card.get("record") != source.name or not fits:
        raise RecordError(f"{saved}: not the model of record {source.name}; give its own record")


def describe_again(
    source: Record, saved: str | os.PathLike, name: str, started: datetime, note: str = ""
) -> dict:
    """Say for a record that a trained model was tested again; the results are still to be added.

    Parameters
    ----------
    source : Record
        Of the run that trained it; split, settings and history are taken from there.
    saved : path-like
        The model's file.
    name : str
        Of the experiment.
    started : datetime
        When the new test began, in UTC.
    note : str
        What a reader of the record must know, beside where it comes from.

    Returns
    -------
    dict
        Its ``source`` names the old record and the file.

    Raises
    ------
    RecordError
        The file is not the model of the record.
    """
    check_model(source, saved)
    finished = datetime.now(UTC)
    origin = f"No new training: the saved model of record {source.id}, tested again."
    return {
        **{key: value for key, value in source.data.items() if key != "metrics"},
        "id": f"{source.id}-{name}",
        "experiment": name,
        **provenance(),
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "seconds": round((finished - started).total_seconds()),
        "source": {
            "record": source.id,
            "experiment": source.data["experiment"],
            "model": Path(saved).name,
            "sha256": images.sha256(saved),
        },
        "note": f"{origin} {note}".strip(),
    }


def _build(config: ExperimentConfig, policy: str) -> keras.Model:
    with precision(policy):
        return build(config.model, config.values() | {"weights": config.weights})


def _begin(config: ExperimentConfig, folder: Path, resume: bool) -> dict:
    """Note when and with which code the run began; a resumed run keeps its first note."""
    note = folder / "run.json"
    fresh = {
        "config": json.loads(json.dumps(config.values())),
        **began(),
    }
    if resume and note.exists():
        before = json.loads(note.read_text())
        if before["config"] != fresh["config"]:
            changed = sorted(
                k for k, v in fresh["config"].items() if before["config"].get(k, None) != v
            )
            raise ConfigError(
                f"{folder}: holds a run with other settings ({', '.join(changed)}); "
                "use those to resume, or start without --resume"
            )
        return before
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(fresh))
    return fresh


def _test(model, frame: pd.DataFrame, pictures: np.ndarray, config) -> pd.DataFrame:
    """Predict the test part: clean, under noise, in grey, and averaged over eight views."""
    seed = config.training.seed
    p_all = {"clean": predict(model, pictures)}
    for sigma in config.test_sigmas:
        p_all[f"noise:{sigma:g}"] = predict(model, add_gaussian_noise(pictures, sigma, seed))
    for sigma in config.test_sigmas:
        noisy = add_gaussian_noise(pictures, sigma, seed, cell_only=True)
        p_all[f"cell-noise:{sigma:g}"] = predict(model, noisy)
    p_all["grey"] = predict(model, desaturate(pictures))
    p_all["tta"] = predict(model, pictures, "tta")
    return answers(frame, p_all)


def answers(frame: pd.DataFrame, p_all: dict[str, np.ndarray]) -> pd.DataFrame:
    """Arrange predictions as a record holds them.

    Parameters
    ----------
    frame : pandas.DataFrame
        The test images, as `select` gives them.
    p_all : dict of str to array of float
        By condition: the probability of ALL of each image.

    Returns
    -------
    pandas.DataFrame
        Columns ``file, subject, label, condition, p_all``.
    """
    cells = pd.DataFrame(
        {
            "file": [Path(path).name for path in frame["path"]],
            "subject": frame["subject"].to_numpy(),
            "label": frame["label"].to_numpy(int),
        }
    )
    parts = [cells.assign(condition=name, p_all=values) for name, values in p_all.items()]
    return pd.concat(parts, ignore_index=True)


def _membership(frame: pd.DataFrame) -> dict:
    return {
        "n": len(frame),
        "n_hem": int((frame["label"] == 0).sum()),
        "n_all": int((frame["label"] == 1).sum()),
        "subjects": sorted(frame["subject"].unique()),
        "sha256": splits.membership(frame),
    }


def weights_file(path: Path | None) -> dict | None:
    """Name a file of pre-trained weights, as `resolve_weights` finds it, for a record."""
    return None if path is None else {"name": path.name, "sha256": images.sha256(path)}


def provenance() -> dict:
    """Say with which code, versions and machine this process runs, as a record holds it."""
    package = {"version": __version__, "commit": _commit()}
    return {"package": package, "backend": _backend(), "hardware": _hardware()}


def _backend() -> dict:
    name = keras.backend.backend()
    return {
        "name": name,
        "version": importlib.metadata.version(name),
        "keras": keras.__version__,
        "python": platform.python_version(),
    }


def _hardware() -> dict:
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"cpu": model, "cores": os.cpu_count(), "accelerator": None}


def _commit() -> str | None:
    """Return the commit of the package's source, marked when it holds uncommitted changes."""
    where = Path(__file__).parent
    command = ["git", "-C", str(where), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
