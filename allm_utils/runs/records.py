"""Run records: what ran, on what, and every answer; and the one way to find and join them.

A record is two files, ``<experiment>/<id>.json`` and ``<id>.csv``. The CSV holds one row per test
image and condition, ``file, subject, label, condition, p_all``; metrics are not stored but computed
from it, here and wherever a number is shown. `record.schema.json` beside this module says what the
JSON holds.
"""

import functools
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastjsonschema
import numpy as np
import pandas as pd

from allm_utils.data import cnmc, people, splits
from allm_utils.errors import AllmError, RecordError
from allm_utils.files import write_atomically
from allm_utils.judge import metrics

SCHEMA_VERSION = 2

COLUMNS = ("file", "subject", "label", "condition", "p_all")
PARTS = ("train", "val", "test")

PARAMETERS = {
    ("mobilenet_m", 1.0): {"total": 3_235_010, "trainable": 3_211_074},
    ("mobilenet_m", 0.75): {"total": 1_837_586, "trainable": 1_819_634},
    ("mobilenet_m", 0.5): {"total": 832_610, "trainable": 820_642},
    ("mobilenet_m", 0.25): {"total": 220_082, "trainable": 214_098},
    ("alnett_style", 1.0): {"total": 543_004, "trainable": 541_020},
    ("vgg16", 1.0): {"total": 14_715_714, "trainable": 14_715_714},
    ("resnet50", 1.0): {"total": 23_591_810, "trainable": 23_538_690},
    ("googlenet", 1.0): {"total": 5_997_442, "trainable": 5_982_882},
    ("alexnet", 1.0): {"total": 3_749_122, "trainable": 3_748_418},
    ("probe_mobilenet", None): {"total": 3_229_889, "trainable": 1_025},
    ("probe_handmade", None): {"total": 0, "trainable": 0},  # trees, as large as they grow
    ("area", None): {"total": 2, "trainable": 2},
}
"""Parameters by model and width: a record with other counts is of another network."""

FINGERPRINTS = {
    (0,): "2af62e8fe1ecf4c5ba53be5b8ebf5f6ac5177f519b57d52492539d0e1fd3500d",
    (1,): "bec3f7f646103ab84895a5e870625c1dcbe445467bcb6a8e82cc64c5461a2bce",
    (2,): "97ea011db29306dbfb7355d19324f94e6ef377f3b697bed54257a136bc46f272",
    (0, 1): "cb429e3b3aa88f2966e9e14a577a8127a635345bbfd3742aee401e03c47d02cd",
    (0, 2): "dfef2d15dadeb3f3076add728fca6c41e3db41172955b57f20c46e306d06b447",
    (1, 2): "4ea9a96f5bf1617b057f21b97fc559d7605ddaf95022a30f7bdd002cac2fe7f1",
    (0, 1, 2): "526b462884729181d7d17ddab8b046862b9f0cd8ee568436f29a342b629dd109",
    (0, "prelim"): "eeb420a8055dc9c89438220aeb63085ce9d4d1cb055533490a6f8360f7953abb",
    (1, "prelim"): "07859ec7f2c99687c9959ec52a341a93900803e7d5f31f5f99d7c7449c368b96",
    (2, "prelim"): "886695498c97dd8ce6ebd8757bfcc98c64eb7ff1d9a75981d3ff194d6317753c",
    (0, 1, "prelim"): "91538ba687e106ab7322852c0beb2ff888172efeab8b3463c9d831f7c2979bd1",
    (0, 2, "prelim"): "4f5590ff9e79b47c417b8d4e58abc8c42a80f4238ba63310a534cad935251cc4",
    (1, 2, "prelim"): "f5c130b0d2c4b39cfdfd687d6c2745c74b66c1577d8fb4cdc393ae87a7c313d8",
    (0, 1, 2, "prelim"): "f0a8b6bc92aff13ad2ae9673263782421351622933b8ae0c52038180de613a2f",
}
"""Of the published folds, and of these with the preliminary test set, as `images.fingerprint`:
sha256 over the sorted sha256 of the images."""

_PACKAGED = Path(__file__).parents[1] / "results"
RESULTS = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "results"
"""The records that come with the package: in a checkout the folder beside it."""

_KEYS = ["file", "subject", "person", "label"]
_APART = ("models", "outside")
"""Folders of the results that hold no run records."""


class _Judged:
    """What one record and several have in common: a table of answers, judged as a whole."""

    def _answered(self, condition: str) -> pd.DataFrame:
        raise NotImplementedError

    def metrics(self, condition: str = "clean") -> dict[str, float]:
        """Compute `metrics.metrics` under one condition from the answers."""
        rows = self._answered(condition)
        return metrics.metrics(rows["label"], rows["p_all"])

    def intervals(
        self, condition: str = "clean", by: str = "image", **options: Any
    ) -> dict[str, tuple[float, float]]:
        """Compute `metrics.intervals` under one condition from the answers.

        Parameters
        ----------
        condition : str
        by : {"image", "person"}
            What is resampled.
        **options
            `n`, `seed`, `level` of `metrics.intervals`.
        """
        rows = self._answered(condition)
        groups = {"image": None, "person": rows["person"]}[by]
        return metrics.intervals(rows["label"], rows["p_all"], groups, **options)

    def right(self, condition: str = "clean") -> pd.Series:
        """Say for each test image (the index) whether it was called rightly, at threshold 0.5."""
        rows = self._answered(condition).set_index("file")
        return ((rows["p_all"] >= 0.5) == (rows["label"] == 1)).rename("right")


@dataclass(frozen=True, eq=False)
class Record(_Judged):
    """One run, as `load` reads it.

    Attributes
    ----------
    data : dict
        The JSON file.
    answers : pandas.DataFrame
        Columns ``file, subject, label, condition, p_all``, one row per test image and condition.
    """

    data: dict
    answers: pd.DataFrame

    @property
    def id(self) -> str:
        """Name of the run."""
        return self.data["id"]

    @property
    def name(self) -> str:
        """Experiment and name of the run: where it stands below ``results/``."""
        return f"{self.data['experiment']}/{self.id}"

    @property
    def seconds(self) -> float:
        """Time that the run took, of all its processes."""
        return sum(process["seconds"] for process in self.data["processes"])

    @property
    def last(self) -> dict:
        """The process that ended the run: ``package``, ``backend``, ``hardware``, ``finished``."""
        return self.data["processes"][-1]

    @property
    def settings(self) -> dict[str, Any]:
        """What `Runs.where` asks for: ``config``, ``experiment``, and ``fold`` if there is one."""
        folds = self.data["folds"]
        fold = folds[0] if len(folds) == 1 else None
        return {**self.data["config"], "experiment": self.data["experiment"], "fold": fold}

    def rows(self, condition: str = "clean") -> pd.DataFrame:
        """Return the answers under one condition, sorted by file.

        Returns
        -------
        pandas.DataFrame
            Columns ``file, subject, person, label, p_all``.

        Raises
        ------
        RecordError
            The run was not tested under it.
        """
        rows = self.answers[self.answers["condition"] == condition]
        if rows.empty:
            raise RecordError(
                f"record {self.name}: no condition {condition!r}; "
                f"it has {', '.join(self.data['conditions'])}"
            )
        return _with_person(rows)

    _answered = rows

    @property
    def validation(self) -> pd.DataFrame:
        """Answers on the validation part, as `rows`; of a model that was tested again only."""
        if "validation" not in self.data:
            raise RecordError(f"record {self.name}: keeps no answers on its validation part")
        return _with_person(pd.DataFrame(self.data["validation"]))


class Runs(_Judged):
    """Some of the records, found by their settings and judged together.

    Parameters
    ----------
    records : iterable of Record

    Examples
    --------
    >>> runs = Runs.load().where(experiment="table5", fold=1)
    >>> runs.where(seed=1337).one().metrics()["accuracy"]
    """

    def __init__(self, records: Iterable[Record]):
        self._records = tuple(records)

    @classmethod
    def load(cls, results: str | os.PathLike = RESULTS) -> "Runs":
        """Read every record below a results folder, sorted by experiment and id.

        Raises
        ------
        RecordError
            No such folder; a record that `load` refuses, that is stale, or that is not of C-NMC
            2019 as published.
        """
        results = Path(results)
        if not results.is_dir():
            raise RecordError(f"{results}: no such folder; give the one that holds the records")
        paths = [p for p in sorted(results.glob("*/*.json")) if p.parent.name not in _APART]
        records = [load(path) for path in paths]
        for path, record in zip(paths, records, strict=True):
            if record.data["data"]["kind"] != "cnmc-2019":
                raise RecordError(
                    f"{path}: a record of {record.data['data']['kind']}, not of C-NMC 2019; "
                    "move it out of the results"
                )
            if reasons := stale(record):
                raise RecordError(
                    f"{path}: is stale ({'; '.join(reasons)}); run it again, or remove it"
                )
        return cls(records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return f"Runs({', '.join(record.name for record in self)})"

    def where(self, **settings: Any) -> "Runs":
        """Choose the runs with these settings.

        Parameters
        ----------
        **settings
            ``experiment``, ``model``, ``fold``, ``folds``, ``protocol``, ``round``, ``seed`` or any
            key of ``config``, with the value that it must have.

        Raises
        ------
        RecordError
            No record has a setting of this name.
        """
        chosen = list(self)
        for name, value in settings.items():
            if len(self) and not any(name in record.settings for record in self):
                raise RecordError(f"no record has a setting {name!r}; check its name")
            wanted = list(value) if isinstance(value, tuple) else value
            chosen = [r for r in chosen if name in r.settings and r.settings[name] == wanted]
        return Runs(chosen)

    def one(self) -> Record:
        """Return the only run.

        Raises
        ------
        RecordError
            There is none, or more than one.
        """
        if len(self) != 1:
            names = ", ".join(record.name for record in self._records[:3])
            raise RecordError(f"{len(self)} records where one is meant ({names}); say which")
        return self._records[0]

    def pooled(self, condition: str = "clean") -> pd.DataFrame:
        """Put the answers of all runs into one table, sorted by file.

        Returns
        -------
        pandas.DataFrame
            Columns ``file, subject, person, label, p_all``; each image once.

        Raises
        ------
        RecordError
            There is no run, one was not tested under the condition, or an image was tested twice.
        """
        if not len(self):
            raise RecordError("no record to pool; check what was asked for")
        rows = pd.concat([record.rows(condition) for record in self], ignore_index=True)
        twice = rows["file"][rows["file"].duplicated()]
        if len(twice):
            raise RecordError(f"{twice.iloc[0]} is tested twice; pool runs of different test parts")
        return rows.sort_values("file", ignore_index=True)

    _answered = pooled

    def table(self, *names: str, condition: str = "clean") -> pd.DataFrame:
        """Put metrics of each run into a table.

        Parameters
        ----------
        *names : str
            Of `metrics.metrics`.
        condition : str

        Returns
        -------
        pandas.DataFrame
            A row per run, by its seed and by what else differs among the runs: experiment, fold,
            round. Columns as a page names them: ``balanced accuracy``, ``ROC-AUC``.

        Raises
        ------
        RecordError
            A run was not tested under the condition.
        """
        levels = [
            {
                "experiment": record.data["experiment"],
                "fold": "+".join(map(str, record.data["folds"])),
                "round": record.data["config"]["round"],
                "seed": record.data["seed"],
            }
            for record in self
        ]
        found = [[record.metrics(condition)[name] for name in names] for record in self]
        columns = [name.replace("roc_auc", "ROC-AUC").replace("_", " ") for name in names]
        index = pd.DataFrame(levels)
        index = index.loc[:, (index.nunique() > 1) | (index.columns == "seed")]
        return pd.DataFrame(found, columns=columns).set_index([index[level] for level in index])

    def share_of_all(self) -> float:
        """Return the share of ALL among the training images of all runs, without grey copies."""
        parts = [record.data["split"]["train"] for record in self]
        return sum(part["n_all"] for part in parts) / sum(part["n"] for part in parts)


def aligned(*answers: pd.DataFrame | Record | Runs, condition: str = "clean") -> pd.DataFrame:
    """Put the answers of several classifiers on the same images side by side.

    Parameters
    ----------
    *answers : tables as `Runs.pooled` gives, records or runs
    condition : str
        Of records and runs.

    Returns
    -------
    pandas.DataFrame
        Columns ``file, subject, person, label, p_a, p_b`` and so on, sorted by file.

    Raises
    ------
    RecordError
        They are not of the same images.
    """
    columns = []
    for letter, found in zip("abcdefghijklmnopqrstuvwxyz", answers, strict=False):
        rows = found if isinstance(found, pd.DataFrame) else found._answered(condition)
        columns.append(rows.set_index(_KEYS)["p_all"].rename(f"p_{letter}"))
    if any(set(column.index) != set(columns[0].index) for column in columns):
        raise RecordError("tested on different images; give runs of one test")
    table = pd.concat(columns, axis=1).reset_index()
    return table.sort_values("file", ignore_index=True)


def changed(record: Record, baseline: Record) -> dict[str, tuple[Any, Any]]:
    """Say which settings of a record differ from those of another.

    Returns
    -------
    dict of str to (before, after)
        Without what chooses the data or the machine: folds, round, seeds, precision. None where a
        record lacks the setting.
    """
    before, after = baseline.data["config"], record.data["config"]
    names = set(before) | set(after)
    names -= {"folds", "round", "seed", "split_seed", "precision"}
    pairs = {name: (before.get(name), after.get(name)) for name in sorted(names)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def outside(results: str | os.PathLike = RESULTS) -> pd.DataFrame:
    """Read what networks of folds 0 and 1 say of people who are in neither.

    Returns
    -------
    pandas.DataFrame
        Columns ``set`` ("fold 2", "prelim"), ``file, subject, person, label``, and for each
        classifier its probability of ALL; nan where it was not asked. ``outside/outside.json`` says
        how each was made.

    Raises
    ------
    RecordError
        The files are missing or malformed.
    """
    path = Path(results) / "outside" / "outside.json"
    about = _read_json(path)
    table = _read_table(path.with_suffix(".csv"))
    try:
        sound = about["kind"] == "outside" and about["answers"] == _hash(path.with_suffix(".csv"))
        asked = list(about["classifiers"])
    except (KeyError, TypeError):
        sound, asked = False, []
    if not sound or list(table) != ["set", "file", "subject", "label", *asked]:
        raise RecordError(f"{path}: not the record of the table beside it; restore both from git")
    table.insert(3, "person", people.person(table["subject"]))
    return table


def check_free(
    directory: str | os.PathLike, record_id: str, kind: str, resume: bool = False
) -> None:
    """Make sure, before hours of training, that a record can be written.

    Parameters
    ----------
    directory : path-like
        Folder of the experiment, below the results folder.
    record_id : str
    kind : str
        Of the data, as `images.kind` names it.
    resume : bool
        Remove the half that a killed process left, a table without its JSON file.

    Raises
    ------
    RecordError
        One is there already, or other data than C-NMC 2019 would enter a folder named results.
    """
    directory = Path(directory)
    if kind != "cnmc-2019" and "results" in Path(os.path.abspath(directory)).parts[-2:]:
        raise RecordError(
            f"{directory}: only records of C-NMC 2019 enter a folder named results, and this is "
            f"{kind}; give another folder with --out"
        )
    path, table = directory / f"{record_id}.json", directory / f"{record_id}.csv"
    if path.exists():
        raise RecordError(
            f"{path}: there already, and records are not overwritten; "
            "remove it, or change the seed or the experiment's name"
        )
    if table.exists() and not resume:
        raise RecordError(f"{table}: left by a run that was killed; add --resume, or remove it")
    table.unlink(missing_ok=True)


def write(directory: str | os.PathLike, record: dict, answers: pd.DataFrame) -> Path:
    """Write a record: both files whole, or none; never over another.

    Parameters
    ----------
    directory : path-like
        Folder of the experiment, below the results folder; made if absent.
    record : dict
        What `record.schema.json` asks for, without ``schema`` and ``answers``, computed here.
    answers : pandas.DataFrame
        Columns ``file, subject, label, condition, p_all``. Six decimals of `p_all` are kept.

    Returns
    -------
    Path
        The JSON file, written last.

    Raises
    ------
    RecordError
        A record of this id is there, the two parts do not agree, other data would enter
        ``results``, or the disk refuses.
    """
    directory = Path(directory)
    answers = answers[list(COLUMNS)].astype({"p_all": float}).round({"p_all": 6})
    text = answers.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    record = _plain({"schema": SCHEMA_VERSION, **record, "answers": sha256})
    where = f"record {record.get('id')}"
    _check(record, where)
    _check_answers(record, answers, where)
    check_free(directory, record["id"], record["data"]["kind"])
    path, table = directory / f"{record['id']}.json", directory / f"{record['id']}.csv"
    whole = json.dumps(record, indent=1, allow_nan=False) + "\n"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        table.open("x").close()  # reserves the id: of two writers one fails here
        try:
            write_atomically(table, lambda part: part.write_bytes(text.encode()))
            write_atomically(path, lambda part: part.write_bytes(whole.encode()))
        except BaseException:
            table.unlink(missing_ok=True)
            raise
    except FileExistsError:
        raise RecordError(f"{path}: another process is writing it; run one at a time") from None
    except OSError as error:
        raise RecordError(
            f"{path}: cannot be written ({error.strerror}); "
            "free some space, or choose another folder with --out"
        ) from None
    return path


def load(path: str | os.PathLike) -> Record:
    """Read and check a record.

    Parameters
    ----------
    path : path-like
        The JSON file; its CSV stands beside it.

    Raises
    ------
    RecordError
        A file is missing or malformed, or the two disagree.
    """
    path = Path(path)
    data, table = _read_json(path), path.with_suffix(".csv")
    _check(data, path)
    if (data["experiment"], data["id"]) != (Path(os.path.abspath(path)).parent.name, path.stem):
        raise RecordError(
            f"{path}: holds record {data['experiment']}/{data['id']}; name folder and file after it"
        )
    answers = _read_table(table)
    if tuple(answers.columns) != COLUMNS:
        raise RecordError(f"{table}: its columns are not {', '.join(COLUMNS)}; restore it from git")
    _check_answers(data, answers, str(table))
    if data["answers"] != _hash(table):
        raise RecordError(f"{table}: was changed after the run; restore both files from git")
    return Record(data, answers)


def stale(record: Record) -> list[str]:
    """Say where a record disagrees with today's code.

    A record of another schema does not get this far: `load` refuses it.

    Returns
    -------
    list of str
        Reasons, empty for a record that stands: the data's fingerprint, the membership of the
        three parts, the test images with their labels, the parameter count. Records of other data
        than C-NMC 2019 are compared with the parameter count only.
    """
    data, config = record.data, record.data["config"]
    reasons = []
    expected = PARAMETERS.get((data["model"], config.get("alpha")), {})
    for name in ("total", "trainable"):
        if data["parameters"][name] != expected.get(name):
            reasons.append(
                f"{data['parameters'][name]} parameters ({name}), where {data['model']} of width "
                f"{config.get('alpha')} has {expected.get(name)}"
            )
    if data["data"]["kind"] != "cnmc-2019":
        return reasons
    folds, test = tuple(data["folds"]), config["test"]
    prelim = ("prelim",) if test == "prelim" else ()
    if data["data"]["fingerprint"] != FINGERPRINTS.get((*sorted(folds), *prelim)):
        reasons.append(f"data fingerprint is not that of the published folds {list(folds)}")
    try:
        members, tested = _published_split(
            data["protocol"], folds, config["split_seed"], config["round"], test
        )
    except AllmError as error:
        return [*reasons, f"its split can no longer be made ({error})"]
    for part in PARTS:
        if data["split"][part]["sha256"] != members[part]:
            reasons.append(f"the {part} part of the split has other images")
    columns = ["file", "subject", "label"]
    if tested != set(record.answers[columns].itertuples(index=False, name=None)):
        reasons.append("the answers are of other test images, subjects or labels")
    return reasons


@functools.cache
def _published_split(protocol, folds, seed, number, test):
    """Membership of each part of a split of the published folds, and its test images."""
    frame = cnmc.shipped_index()
    frame = frame[frame["fold"].isin(folds)].drop(columns="digest")
    if test == "prelim":
        frame = pd.concat([frame, cnmc.shipped_prelim()])
    frame = frame.reset_index(drop=True)
    split = splits.protocol_split(frame, protocol, folds, seed, number, test)
    tested = frame[split == "test"]
    tested = tested.assign(file=tested["path"].str.rsplit("/", n=1).str[-1])
    rows = tested[["file", "subject", "label"]].itertuples(index=False, name=None)
    return {part: splits.membership(frame[split == part]) for part in PARTS}, set(rows)


@functools.cache
def _schema() -> Callable[[Any], Any]:
    path = Path(__file__).with_name("record.schema.json")
    return fastjsonschema.compile(json.loads(path.read_text(encoding="utf-8")))


def _check(data: Any, where: object) -> None:
    """Refuse what is not a record of this schema, or contradicts itself."""
    if not isinstance(data, dict) or "schema" not in data:
        raise RecordError(f"{where}: not a run record; give a JSON file made by `allm train`")
    if data["schema"] != SCHEMA_VERSION:
        raise RecordError(
            f"{where}: has schema {str(data['schema'])[:20]}, this package reads "
            f"{SCHEMA_VERSION}; run the experiment again, or use the version that wrote it"
        )
    try:
        _schema()(data)
    except fastjsonschema.JsonSchemaValueException as error:
        fault = error.message.replace("data.", "", 1)[:200]
        raise RecordError(f"{where}: {fault}; write the record again") from None
    config, processes = data["config"], data["processes"]
    faults = {
        "epochs_run against history": any(
            len(values) != data["epochs_run"] for values in data["history"].values()
        ),
        "epochs_run against processes": data["epochs_run"] != sum(p["epochs"] for p in processes),
        "resumed against processes": data["resumed"] != (len(processes) > 1),
        "split counts": any(p["n"] != p["n_all"] + p["n_hem"] for p in data["split"].values()),
        "seed against config": config["seed"] != data["seed"],
    }
    for what, wrong in faults.items():
        if wrong:
            raise RecordError(f"{where}: {what} is not what a record may hold; write it again")


def _check_answers(data: dict, answers: pd.DataFrame, where: str) -> None:
    """Every condition has each test image once, with one label and one subject each."""
    test = data["split"]["test"]
    images = answers.drop_duplicates(["file", "subject", "label"])
    n_rows = test["n"] * len(data["conditions"])
    p_all = answers["p_all"]
    faults = {
        f"{len(answers)} rows, not {n_rows} ({test['n']} test images, "
        f"{len(data['conditions'])} conditions)": len(answers) != n_rows,
        "conditions other than the record's": set(answers["condition"]) != set(data["conditions"]),
        "an image twice under one condition": answers.duplicated(["file", "condition"]).any(),
        "an image with two labels or subjects, or not under every condition": len(images)
        != test["n"],
        f"classes other than {test['n_all']} ALL and {test['n_hem']} HEM": (
            images["label"].value_counts().reindex([1, 0], fill_value=0).tolist()
            != [test["n_all"], test["n_hem"]]
        ),
        "subjects other than the record's": set(images["subject"]) != set(test["subjects"]),
        "a p_all outside [0, 1]": not (
            pd.api.types.is_numeric_dtype(p_all) and p_all.between(0, 1).all()
        ),
    }
    for what, wrong in faults.items():
        if wrong:
            raise RecordError(f"{where}: {what}; record and answers must be of one run")


def _with_person(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.assign(person=people.person(rows["subject"]))
    return rows[[*_KEYS, "p_all"]].sort_values("file", ignore_index=True)


def _plain(value: Any) -> Any:
    """The value as JSON knows it; what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise RecordError(f"{path}: no such record; check the path") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, RecursionError):
        raise RecordError(f"{path}: not JSON; give a record made by `allm train`") from None


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype={"file": str, "subject": str, "condition": str})
    except FileNotFoundError:
        raise RecordError(f"{path}: missing; keep it beside its record") from None
    except (OSError, ValueError) as error:
        fault = (str(error).splitlines() or ["empty"])[0]
        raise RecordError(f"{path}: cannot be read ({fault}); restore it from git") from None


def _hash(table: Path) -> str:
    """Of a CSV file as it was written, whatever line ends a checkout gave it."""
    return hashlib.sha256(table.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
