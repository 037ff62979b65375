"""One run, from configuration to record: what the command line, a chapter and a cluster call."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from allm_utils import __version__
from allm_utils.data import cnmc, images, people, sample, splits
from allm_utils.errors import DataError, ModelError, RecordError
from allm_utils.files import check_writable, exclusive, sha256, write_whole
from allm_utils.judge import conditions
from allm_utils.judge.predict import predict
from allm_utils.judge.together import voice
from allm_utils.network import models, saving
from allm_utils.network.training import CHECKPOINT, TrainingData, check_same, fit, has_gpu, shared
from allm_utils.runs import store
from allm_utils.runs.config import ExperimentConfig, RunConfig
from allm_utils.runs.records import Record

Test = Callable[[np.ndarray], np.ndarray]
"""From pictures, uint8 (N, S, S, 3), to one number each: the probability of ALL, or a measure."""


def select(config: RunConfig) -> tuple[pd.DataFrame, pd.Series]:
    """Index the data of a run and split it.

    Returns rows of `cnmc.index`, of its folds and of the preliminary set if that is the test, and
    for each "train", "val", "test" or "unused".
    """
    return _select(root(config), config.values())


def select_again(
    source: Record, data: str | os.PathLike | None, work: str | os.PathLike
) -> tuple[pd.DataFrame, pd.Series]:
    """Index and split the data of a record again, as `select`; a RecordError for other images."""
    frame, split = _select(data or sample.root(work), source.data["config"])
    if images.fingerprint(frame, Path(work) / "images") != source.data["data"]["fingerprint"]:
        raise RecordError(f"{data}: not the images of record {source.name}; give the tree it used")
    return frame, split


def root(config: RunConfig) -> Path:
    """Root of the tree that a run reads: its data, or the sample, which is written if need be."""
    return config.data or sample.root(config.work)


def asked_about(config: RunConfig, relation: str | None, card: dict) -> pd.DataFrame:
    """Rows of the test part or, by a model's card, of people known to it, new, or from outside."""
    if relation in ("new", "outside"):
        frame = cnmc.index(root(config))
        frame = frame[frame["label"].notna()]
    else:
        frame, split = select(config)
        frame = frame[split == "test"]
    if relation:
        if "people" not in card:
            raise ModelError("the model's card does not name the people of its training")
        frame = frame[people.relation(frame, card["people"]) == relation]
        if frame.empty:
            raise DataError(f"no cell of {relation} people is there; give another tree with --data")
    return frame


def _select(data, values):
    frame, also_train = cnmc.index(data), values.get("also_train", ())
    folds = {*values["folds"], *also_train}
    if absent := folds - set(frame["fold"].dropna().astype(int)):
        raise DataError(f"{data}: no fold {sorted(absent)} there; check `allm data index`")
    chosen = frame["fold"].isin(folds).fillna(False)
    if values["test"] == "prelim":
        chosen |= frame["split"] == "prelim"
    frame = frame[chosen].reset_index(drop=True)
    how = (values[name] for name in ("protocol", "folds", "split_seed", "round", "test"))
    return frame, splits.protocol_split(frame, *how, also_train)


def run(config: ExperimentConfig, resume: bool = False, progress: bool = True) -> Path:
    """Train, test under every condition, save the model and record the run.

    With `resume` a killed run of the same configuration on the same data goes on, wherever it was
    killed; a ConfigError if it is another, or if another process is at it. Returns the record's
    JSON file, which is written last: where it stands, the model is whole.
    """
    run_id, cache = config.run_id(), config.work / "images"
    folder = config.work / "runs" / config.experiment / run_id
    for place in (folder, config.records):
        check_writable(place)
    if config.model_file:
        saving.check_place(config.model_file, config.records)
    frame, split = select(config)
    left_out = splits.dropped(frame, split)
    if progress and len(left_out):
        who_else = f"{left_out.sum()} images of {', '.join(left_out.index)}"
        tqdm.write(f"left out: {who_else}, in another part too", sys.stderr)
    weights = models.resolve_weights(config.weights, config.alpha, config.model)
    policy = config.training.dtype_policy()
    with exclusive(folder):
        with shared(config.training.devices):
            model = _build(config, policy)  # refuses what is out of its range
            about = describe(config, frame, split)
            store.check_free(config.records, run_id, about["data"]["kind"], resume)
            pictures = images.load(frame, config.image_size, config.crop, cache, progress)
            made_with = {**config.values(), "weights": weights_file(weights), "data": about["data"]}
            made_with |= {"split": about["split"], "backend": keras.backend.backend()}
            made_with["schema"] = store.SCHEMA_VERSION
            note = _Note(folder, made_with, resume)
            labels = frame["label"].to_numpy(int)
            rows = {part: np.flatnonzero(split == part) for part in splits.PARTS}
            who = frame["subject"].map(people.person)
            data = _Timed(pictures, labels, config.training, rows["train"], who)
            data.note = note
            history = fit(
                model,
                data,
                (pictures[rows["val"]], labels[rows["val"]]),
                config.training,
                checkpoints=folder,
                resume=note.resumed,
                progress=progress,
                fingerprint=note.made_with,
            )
        if policy != "float32" or config.training.devices > 1:
            trained, model = model, _build(config, "float32")
            model.set_weights(trained.get_weights())
        tested = pictures[rows["test"]]
        p_all = {
            condition: predict(model, tested, condition, config.seed, people=who[rows["test"]])
            for condition in tqdm(config.conditions, "test", disable=not progress)
        }
        if config.model_file:
            card = {"crop": config.crop, "record": f"{config.experiment}/{run_id}"}
            card["test"] = about["split"]["test"]["sha256"]
            card["people"] = sorted(who[split == "train"].unique())
            p_val = predict(model, pictures[rows["val"]])
            card |= voice(p_val, labels[rows["train"]].mean())
            saving.save(model, config.model_file, card)
        note.beat(len(history))
        record = {
            **about,
            "weights": made_with["weights"],
            "parameters": models.parameters(model),
            "processes": note.processes,
            "resumed": len(note.processes) > 1,
            "epochs_run": len(history),
            "best_epoch": history.best_epoch,
            "history": history.epochs,
            "conditions": list(p_all),
        }
        return store.write(config.records, record, answers(frame.iloc[rows["test"]], p_all))


def retest(
    saved: str | os.PathLike,
    source: Record,
    data: str | os.PathLike | None,
    out: str | os.PathLike,
    work: str | os.PathLike,
    experiment: str,
    tests: Mapping[str, Test] | Iterable[str],
    measures: Mapping[str, Test] | None = None,
    more: dict | None = None,
    note: str = "",
    progress: bool = True,
) -> Path:
    """Test a saved model again on the test part of its own run, and record it beside the first.

    The new record has the split and the settings of the old one, no epochs, ``source`` (the old
    record and the file of the model) and, if "clean" is tested, ``validation`` (answers on the
    validation part, to choose a temperature or a threshold on). A RecordError where model or data
    are not those of the record.

    Parameters
    ----------
    saved, source
        The model, and the record of the run that trained it.
    data, out, work, note
        As in `RunConfig`; data as the run used them, None for the sample.
    experiment
        Name of the new experiment; the record goes to ``out/experiment``.
    tests
        Conditions of `judge.conditions`, or by name what answers for the test pictures.
    measures
        What else to note of each test picture, under ``pictures``.
    more
        Further keys of the record.
    """
    clock, place = Clock(), Path(out) / experiment
    check_model(source, saved)
    store.check_free(place, source.id, source.data["data"]["kind"])
    check_writable(place)
    model, card = saving.load(saved)
    frame, split = select_again(source, data, work)
    test, val = ((split == part).to_numpy() for part in ("test", "val"))
    cache, who = Path(work) / "images", frame["subject"][test].map(people.person)
    if not isinstance(tests, Mapping):
        ask = partial(predict, model, seed=source.data["seed"], people=who)
        tests = {name: partial(ask, condition=name) for name in conditions.check(tests)}
    pictures = images.load(frame, card["image_size"], card["crop"], cache, progress)
    seen = pictures[test]
    p_all = {name: ask(seen) for name, ask in tqdm(tests.items(), "test", disable=not progress)}
    record = {
        **{key: value for key, value in source.data.items() if key != "best_epoch"},
        "experiment": experiment,
        **clock.alone(),
        "conditions": list(p_all),
        "source": {"record": source.name, "model": Path(saved).name, "sha256": sha256(saved)},
        "note": note,
        **(more or {}),
    }
    if "clean" in tests:
        table = answers(frame[val], {"clean": predict(model, pictures[val])})
        table = table.drop(columns="condition").round({"p_all": 6})
        record["validation"] = table.to_dict("list")
    if measures:
        found = {name: np.round(ask(seen), 4).tolist() for name, ask in measures.items()}
        record["pictures"] = {"file": [Path(p).name for p in frame["path"][test]], **found}
    return store.write(place, record, answers(frame[test], p_all))


def check_model(source: Record, saved: str | os.PathLike) -> None:
    """Make sure that a saved model is that of a record; else a RecordError."""
    card, config = saving.read_card(saved), source.data["config"]
    fits = all(card.get(key) == config.get(key) for key in ("image_size", "crop"))
    if card.get("record") != source.name or not fits:
        raise RecordError(f"{saved}: not the model of record {source.name}; give its own record")


def describe(config: RunConfig, frame: pd.DataFrame, split: pd.Series) -> dict[str, Any]:
    """Say for a record what is run, and on what: all but the results and the processes."""
    cache = config.work / "images"
    return {
        "id": config.run_id(),
        "experiment": config.experiment,
        "model": config.model,
        "folds": list(config.folds),
        "protocol": config.protocol,
        "seed": config.seed,
        "config": config.values(),
        "data": {
            "kind": cnmc.kind(frame, cache),
            "fingerprint": images.fingerprint(frame, cache),
            "n_images": len(frame),
        },
        "split": {part: splits.part_of(frame[split == part]) for part in splits.PARTS},
        "note": config.note,
    }


def answers(frame: pd.DataFrame, p_all: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Arrange the probabilities of ALL of some pictures, by condition, as a record holds them."""
    cells = frame[["subject", "label"]].astype({"label": int}).assign(file=cnmc.file_names(frame))
    parts = [cells.assign(condition=name, p_all=values) for name, values in p_all.items()]
    return pd.concat(parts, ignore_index=True)[list(store.COLUMNS)]


def weights_file(path: Path | None) -> dict[str, str] | None:
    """Name a file of pre-trained weights, as `models.resolve_weights` finds it, for a record."""
    return None if path is None else {"name": path.name, "sha256": sha256(path)}


def _build(config: ExperimentConfig, policy: str) -> keras.Model:
    with models.precision(policy):
        return models.build(config.model, config.values() | {"weights": config.weights})


# -- processes --------------------------------------------------------------------------------


def provenance() -> dict[str, Any]:
    """Say with which code, versions and machine this process runs, as a record holds it."""
    backend = keras.backend.backend()
    return {
        "package": {"version": __version__, "commit": _commit()},
        "backend": {
            "name": backend,
            "version": sys.modules[backend].__version__,  # however it was installed
            "keras": keras.__version__,
            "python": platform.python_version(),
        },
        "hardware": {"cpu": _cpu(), "cores": os.cpu_count() or 1, "accelerator": accelerator()},
    }


class Clock:
    """When this process began, with which code and machine, and how long it has run."""

    def __init__(self):
        self._began, self._from = _now(), time.monotonic()
        self._provenance = provenance()  # of now: the code may be changed while it runs

    def process(self, epochs: int) -> dict[str, Any]:
        """Say for a record what this process has done so far."""
        seconds = round(time.monotonic() - self._from, 1)
        times = {"started": self._began, "finished": _now(), "seconds": seconds}
        return {**times, "epochs": epochs, **self._provenance}

    def alone(self) -> dict[str, Any]:
        """Say for a record of no epochs that this process made it."""
        made = {"processes": [self.process(epochs=0)], "resumed": False}
        return made | {"epochs_run": 0, "history": {}}


class _Note:
    """What a run was made with and the processes so far; in its folder, for who resumes it."""

    def __init__(self, folder: Path, made_with: dict, resume: bool):
        self._path, self._clock = folder / "run.json", Clock()
        self.made_with = json.loads(json.dumps(made_with))
        self.resumed = resume and self._path.exists()
        self._before = self._read() if self.resumed else []
        if not self.resumed:
            (folder / CHECKPOINT).unlink(missing_ok=True)  # first: it belongs to the old note
        self._done = sum(process["epochs"] for process in self._before)
        self.beat(self._done)

    def _read(self) -> list[dict]:
        try:
            said = json.loads(self._path.read_text(encoding="utf-8"))
            before, processes = dict(said["made_with"]), said["processes"]
            sum(process["epochs"] for process in processes)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise DataError(
                f"{self._path}: not a readable note of a run; start without --resume"
            ) from None
        check_same(self._path, before, self.made_with)
        return processes

    def beat(self, epochs: int) -> None:
        """Note that so many epochs are done, of all processes together."""
        self.processes = [*self._before, self._clock.process(epochs - self._done)]
        text = json.dumps({"made_with": self.made_with, "processes": self.processes}, indent=1)
        write_whole(self._path, text)


class _Timed(TrainingData):
    """Training data that tell the run's note when an epoch begins."""

    note: _Note

    def on_epoch_begin(self):
        """Note that `epoch` epochs are done; Keras calls it."""
        self.note.beat(self.epoch)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def accelerator() -> str | None:
    """Name of the first GPU that the backend sees."""
    if not has_gpu():
        return None
    ask = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return _output(ask).partition("\n")[0] or keras.distribution.list_devices("gpu")[0]


def _commit() -> str | None:
    """Commit of the checkout, marked when it holds changes; None where there is no checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    ask = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty"]
    return _output(ask) or None


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
