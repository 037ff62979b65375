"""One run, from configuration to record: what the command line, a chapter and a cluster call."""

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from . import __version__, cnmc, images, splits, synthetic
from .balance import desaturate
from .errors import ConfigError, DataError
from .evaluation import predict
from .models import mobilenet_m, parameters, precision, resolve_weights, save
from .noise import add_gaussian_noise
from .records import SCHEMA_VERSION, check_free, write
from .training import TrainingConfig, TrainingData, fit

MODELS: dict[str, Callable] = {"mobilenet_m": mobilenet_m}
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
        One of `MODELS`.
    folds : tuple of int
        Folds to use. "paper": one fold, split by image. "patient-disjoint": any, split by subject.
        "cross-fold": two, train on the first and test on the second.
    protocol : {"paper", "patient-disjoint", "cross-fold"}
    image_size, crop : int
        In pixels.
    alpha, dropout, l1, bn_momentum : float
    scaling : {"unit", "imagenet"}
    weights : "imagenet", path-like or None
    model_file : path-like or None
        Where to save the trained model (float16), if anywhere.
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
    image_size: int = 224
    crop: int = 300
    alpha: float = 1.0
    dropout: float = 0.5
    l1: float = 0.015
    bn_momentum: float = 0.99
    scaling: str = "unit"
    weights: str | os.PathLike | None = "imagenet"
    model_file: str | os.PathLike | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)
    note: str = ""

    def __post_init__(self):
        if self.protocol not in splits.PROTOCOLS:
            known = ", ".join(splits.PROTOCOLS)
            raise ConfigError(f"protocol {self.protocol!r}: choose one of {known}")
        if self.model not in MODELS:
            raise ConfigError(f"model {self.model!r}: choose one of {', '.join(MODELS)}")
        needed = {"paper": 1, "cross-fold": 2}.get(self.protocol)
        if needed and len(self.folds) != needed:
            raise ConfigError(
                f"protocol {self.protocol} needs {needed} fold(s), not {len(self.folds)}"
            )

    def values(self) -> dict:
        """Return what decides the numbers, as plain JSON values; no paths of this machine."""
        values = asdict(self)
        training = values.pop("training")
        for name in ("data", "out", "work", "model_file", "note", "experiment"):
            values.pop(name)
        values["folds"] = list(self.folds)
        if self.weights is not None:
            values["weights"] = Path(self.weights).name
        return values | training

    def run_id(self) -> str:
        """Name the run: model, protocol, folds, seed."""
        folds = "-".join(map(str, self.folds))
        return f"{self.model}-{self.protocol}-fold{folds}-seed{self.training.seed}"


def select(config: ExperimentConfig) -> tuple[pd.DataFrame, pd.Series]:
    """Index the data and split it.

    Returns
    -------
    frame : pandas.DataFrame
        Rows of the chosen folds, as `cnmc.index` gives them.
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
    frame = frame[frame["fold"].isin(config.folds).fillna(False)].reset_index(drop=True)
    return frame, splits.protocol_split(frame, config.protocol, config.folds, config.training.seed)


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
    kind = "synthetic" if synthetic.is_synthetic(config.data) else "cnmc-2019"
    check_free(Path(config.out) / config.experiment, run_id, kind)
    frame, split = select(config)
    resolve_weights(config.weights, config.alpha)  # better missed now than after reading a fold
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
        TrainingData(pictures, labels, config.training, rows["train"]),
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
    finished = datetime.now(UTC).replace(microsecond=0)
    record = {
        "schema": SCHEMA_VERSION,
        "id": run_id,
        "experiment": config.experiment,
        "model": config.model,
        "folds": list(config.folds),
        "protocol": config.protocol,
        "config": config.values(),
        "seed": config.training.seed,
        "data": {
            "kind": kind,
            "fingerprint": images.fingerprint(frame, Path(config.work) / "images"),
            "n_images": len(frame),
        },
        "split": {part: _membership(frame.iloc[rows[part]]) for part in rows},
        "package": start["package"],
        "backend": _backend(),
        "hardware": _hardware(),
        "weights": _weights(config),
        "parameters": parameters(model),
        "started": start["started"],
        "finished": finished.isoformat(timespec="seconds"),
        "seconds": (finished - datetime.fromisoformat(start["started"])).total_seconds(),
        "epochs_run": len(history),
        "best_epoch": history.best_epoch,
        "history": history.epochs,
        "conditions": list(predictions["condition"].unique()),
        "note": config.note,
    }
    path = write(Path(config.out) / config.experiment, record, predictions)
    if config.model_file:
        card = {"image_size": config.image_size, "crop": config.crop, "record": run_id}
        save(model, config.model_file, card, half=True)
    return path


def _build(config: ExperimentConfig, policy: str) -> keras.Model:
    with precision(policy):
        return MODELS[config.model](
            weights=config.weights,
            image_size=config.image_size,
            alpha=config.alpha,
            dropout=config.dropout,
            l1=config.l1,
            scaling=config.scaling,
            bn_momentum=config.bn_momentum,
            seed=config.training.seed,
        )


def _begin(config: ExperimentConfig, folder: Path, resume: bool) -> dict:
    """Note when and with which code the run began; a resumed run keeps its first note."""
    note = folder / "run.json"
    fresh = {
        "config": json.loads(json.dumps(config.values())),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "package": {"version": __version__, "commit": _commit()},
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
    for sigma in TEST_SIGMAS:
        p_all[f"noise:{sigma}"] = predict(model, add_gaussian_noise(pictures, sigma, seed))
    for sigma in TEST_SIGMAS:
        noisy = add_gaussian_noise(pictures, sigma, seed, cell_only=True)
        p_all[f"cell-noise:{sigma}"] = predict(model, noisy)
    p_all["grey"] = predict(model, desaturate(pictures))
    p_all["tta"] = predict(model, pictures, tta=True)
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


def _weights(config: ExperimentConfig) -> dict | None:
    path = resolve_weights(config.weights, config.alpha)
    return None if path is None else {"name": path.name, "sha256": images.sha256(path)}


def _backend() -> dict:
    name = keras.backend.backend()
    return {
        "name": name,
        "version": importlib.metadata.version(name),
        "keras": keras.__version__,
        "python": platform.python_version(),
    }


def _hardware() -> str:
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{os.cpu_count()} cores of {model}"


def _commit() -> str | None:
    """Return the commit of the package's source, marked when it holds uncommitted changes."""
    where = Path(__file__).parent
    command = ["git", "-C", str(where), "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
