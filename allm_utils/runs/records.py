"""Run records: what ran, on what, and every answer; and the one way to find and join them.

A record is two files, ``<experiment>/<id>.json`` and ``<id>.csv``. The CSV holds one row per test
image and condition, ``file, subject, label, condition, p_all``; metrics are not stored but computed
from it, here and wherever a number is shown. `record.schema.json` beside this module says what the
JSON holds.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from allm_utils.data import people, splits
from allm_utils.errors import RecordError
from allm_utils.judge import metrics
from allm_utils.runs import store
from allm_utils.runs.store import PARAMETERS as PARAMETERS  # what else a record is judged by

_PACKAGED = Path(__file__).parents[1] / "results"
RESULTS = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "results"
"""The records that come with the package: in a checkout the folder beside it."""

_KEYS = ["file", "subject", "person", "label"]
_APART = ("models", "outside", "curve")
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
        """Compute `metrics.intervals` under one condition, by "image" or by "person"."""
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

    ``data`` is the JSON file; ``answers`` a table ``file, subject, label, condition, p_all`` with
    one row per test image and condition.
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

    def stale(self) -> list[str]:
        """Say where the record disagrees with today's code, as `store.stale`."""
        return store.stale(self.data, self.answers)

    def rows(self, condition: str = "clean") -> pd.DataFrame:
        """Answers under one condition, sorted by file: ``file, subject, person, label, p_all``."""
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

    >>> runs = Runs.load().where(experiment="table5", fold=1)
    >>> runs.where(seed=1337).one().metrics()["accuracy"]
    """

    def __init__(self, records: Iterable[Record]):
        self._records = tuple(records)

    @classmethod
    def load(cls, results: str | os.PathLike = RESULTS) -> "Runs":
        """Read every record below a results folder, sorted by experiment and id.

        A RecordError for one that `load` refuses, that is stale, or that is not of C-NMC 2019.
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
            if reasons := record.stale():
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
        """Choose the runs that have these settings: experiment, fold, or any key of ``config``."""
        chosen = list(self)
        for name, value in settings.items():
            if len(self) and not any(name in record.settings for record in self):
                raise RecordError(f"no record has a setting {name!r}; check its name")
            wanted = list(value) if isinstance(value, tuple) else value
            chosen = [r for r in chosen if name in r.settings and r.settings[name] == wanted]
        return Runs(chosen)

    def one(self) -> Record:
        """Return the only run; a RecordError if there is none, or more than one."""
        if len(self) != 1:
            names = ", ".join(record.name for record in self._records[:3])
            raise RecordError(f"{len(self)} records where one is meant ({names}); say which")
        return self._records[0]

    def pooled(self, condition: str = "clean") -> pd.DataFrame:
        """Put the answers of all runs into one table as `Record.rows`; each image stands in one."""
        if not len(self):
            raise RecordError("no record to pool; check what was asked for")
        rows = pd.concat([record.rows(condition) for record in self], ignore_index=True)
        twice = rows["file"][rows["file"].duplicated()]
        if len(twice):
            raise RecordError(f"{twice.iloc[0]} is tested twice; pool runs of different test parts")
        return rows.sort_values("file", ignore_index=True)

    _answered = pooled

    def table(self, *names: str, condition: str = "clean") -> pd.DataFrame:
        """Put metrics of each run, by their names in `metrics.metrics`, into a table.

        A row per run, by its seed and by what else differs among the runs: experiment, fold, round.
        Columns as a page names them: ``balanced accuracy``, ``ROC-AUC``.
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
        """Share of ALL among the training images of all runs, without grey copies."""
        parts = [record.data["split"]["train"] for record in self]
        return sum(part["n_all"] for part in parts) / sum(part["n"] for part in parts)


def load(path: str | os.PathLike) -> Record:
    """Read and check a record by its JSON file."""
    return Record(*store.read(path))


def aligned(*answers: pd.DataFrame | _Judged, condition: str = "clean") -> pd.DataFrame:
    """Put the answers of several classifiers on the same images side by side.

    Takes records, runs, or tables as `Runs.pooled` gives. Returns ``file, subject, person, label,
    p_a, p_b`` and so on, sorted by file.
    """
    columns = []
    for letter, found in zip("abcdefghijklmnopqrstuvwxyz", answers, strict=False):
        rows = found._answered(condition) if isinstance(found, _Judged) else found
        columns.append(rows.set_index(_KEYS)["p_all"].rename(f"p_{letter}"))
    if any(set(column.index) != set(columns[0].index) for column in columns):
        raise RecordError("tested on different images; give runs of one test")
    table = pd.concat(columns, axis=1).reset_index()
    return table.sort_values("file", ignore_index=True)


def changed(record: Record, baseline: Record) -> dict[str, tuple[Any, Any]]:
    """Settings in which a record differs from another, as name to (before, after).

    Without what chooses the data or the machine: folds, round, seeds, precision and the like. None
    where a record lacks the setting.
    """
    before, after = baseline.data["config"], record.data["config"]
    names = set(before) | set(after)
    names -= {"folds", "round", "seed", "split_seed"}
    names -= {"devices", "precision", "augment_on", "steps_per_call"}
    pairs = {name: (before.get(name), after.get(name)) for name in sorted(names)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def outside(results: str | os.PathLike = RESULTS) -> pd.DataFrame:
    """Read what networks of folds 0 and 1 say of people who are in neither.

    Columns ``set`` ("fold 2", "prelim"), ``file, subject, person, label``, and for each classifier
    its probability of ALL; nan where it was not asked. ``outside/outside.json`` says how each was
    made.
    """
    path = Path(results) / "outside" / "outside.json"
    about, (table, sha256) = store.read_json(path), store.read_table(path.with_suffix(".csv.gz"))
    try:
        sound, asked = about["answers"] == sha256, list(about["classifiers"])
    except (KeyError, TypeError):
        sound, asked = False, []
    if not sound or list(table) != ["set", "file", "subject", "label", *asked]:
        raise RecordError(f"{path}: not the record of the table beside it; restore both from git")
    who = table["subject"].map(people.person).rename("person")
    return pd.concat([table.iloc[:, :3], who, table.iloc[:, 3:]], axis=1).copy()  # in one piece


def by_rounds(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Ask the five classifiers of the rounds about people from outside, who are strangers to all.

    The first five columns of `outside`, once for each round; ``p_all`` is what that round's
    classifier says, and ``round`` its number.
    """
    rounds, about = range(splits.N_ROUNDS), table.iloc[:, :5]
    return pd.concat(about.assign(p_all=table[f"{name}-round{n}"], round=n) for n in rounds)


def _with_person(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.assign(person=rows["subject"].map(people.person))
    return rows[[*_KEYS, "p_all"]].sort_values("file", ignore_index=True)
