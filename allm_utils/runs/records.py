"""Run records: what ran, on what, and every prediction; and the scorecard made from them.

A record is two files, ``<id>.json`` and ``<id>.csv``. The CSV holds one row per test image and
condition; every metric is recomputed from it, here and wherever a number is shown.
"""

import contextlib
import json
import math
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from allm_utils.book import paper
from allm_utils.data import cnmc, splits
from allm_utils.errors import AllmError, RecordError
from allm_utils.judge import metrics
from allm_utils.network import balance

SCHEMA_VERSION = 1

COLUMNS = ("file", "subject", "label", "condition", "p_all")
PARTS = ("train", "val", "test")
KINDS = ("cnmc-2019", "synthetic")

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
    ("probe_mobilenet", 1.0): {"total": 3_229_889, "trainable": 1_025},
    ("probe_handmade", None): {"total": 0, "trainable": 0},  # trees, as large as they grow
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

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CONDITION = re.compile(r"[a-z][a-z-]*(:\d+(\.\d+)?)?")

_number = (int, float)
_SCHEMA = {
    "schema": int,
    "id": str,
    "experiment": str,
    "model": str,
    "folds": list,
    "protocol": str,
    "config": dict,
    "seed": int,
    "data": {"kind": str, "fingerprint": str, "n_images": int},
    "split": {
        part: {"n": int, "n_all": int, "n_hem": int, "subjects": list, "sha256": str}
        for part in PARTS
    },
    "package": {"version": str, "commit": (str, type(None))},
    "backend": {"name": str, "version": str, "keras": str, "python": str},
    "hardware": str,
    "weights": (dict, type(None)),
    "parameters": {"total": int, "trainable": int},
    "started": str,
    "finished": str,
    "seconds": _number,
    "epochs_run": int,
    "history": dict,
    "conditions": list,
    "note": str,
}


@dataclass(frozen=True)
class Record:
    """A run, as `load` reads it.

    Attributes
    ----------
    data : dict
        The JSON file.
    predictions : DataFrame
        Columns ``file, subject, label, condition, p_all``, one row per test image and condition.
    """

    data: dict
    predictions: pd.DataFrame

    @property
    def id(self):
        """Name of the run."""
        return self.data["id"]

    @property
    def name(self):
        """Experiment and name of the run: where it stands below ``results/``."""
        return f"{self.data['experiment']}/{self.id}"

    def rows(self, condition="clean"):
        """Predictions under one condition.

        Raises
        ------
        RecordError
            The run was not tested under it.
        """
        rows = self.predictions[self.predictions["condition"] == condition]
        if rows.empty:
            raise RecordError(
                f"record {self.id}: no condition {condition!r}; "
                f"it has {', '.join(self.data['conditions'])}"
            )
        return rows

    def metrics(self, condition="clean"):
        """`metrics.metrics` under one condition, from the predictions."""
        rows = self.rows(condition)
        return metrics.metrics(rows["label"], rows["p_all"])

    def intervals(self, condition="clean", by="image", **options):
        """`metrics.intervals` under one condition, from the predictions.

        Parameters
        ----------
        condition : str
        by : {"image", "subject"}
            What is resampled. Subjects that share images count as one.
        **options
            `n`, `seed`, `level` of `metrics.intervals`.
        """
        rows = self.rows(condition)
        groups = cnmc.merged_subject(rows["subject"]) if by == "subject" else None
        return metrics.intervals(rows["label"], rows["p_all"], groups, **options)


def check_free(directory, record_id, kind):
    """Make sure, before hours of training, that a record can be written.

    Parameters
    ----------
    directory : path-like
        Folder of the experiment, below the results folder.
    record_id : str
    kind : {"cnmc-2019", "synthetic"}
        Of the data.

    Raises
    ------
    RecordError
        One is there already, or made data would enter a folder named results.
    """
    directory = Path(directory)
    if kind == "synthetic" and "results" in _last_two(directory):
        raise RecordError(
            f"{directory}: records of synthetic data do not enter a folder named results; "
            "give another with --out"
        )
    for path in (directory / f"{record_id}.json", directory / f"{record_id}.csv"):
        if path.exists():
            raise RecordError(
                f"{path}: there already, and records are not overwritten; "
                "remove it, or change the seed or the experiment's name"
            )


def write(directory, record, predictions):
    """Write a record: both files whole, or none; never over another.

    Parameters
    ----------
    directory : path-like
        Folder of the experiment, below the results folder; made if absent.
    record : dict
        The run, with every key that `validate` asks for but ``metrics``, computed here.
    predictions : DataFrame
        Columns ``file, subject, label, condition, p_all``. Six decimals of `p_all` are kept.

    Returns
    -------
    Path
        The JSON file.

    Raises
    ------
    RecordError
        A record of this id is there, the two parts do not agree, made data would enter
        ``results``, or the disk refuses.
    """
    directory = Path(directory)
    record = _plain(record)
    predictions = predictions[list(COLUMNS)].astype({"p_all": float}).round({"p_all": 6})
    _check_header(record, f"record {record.get('id')}")
    _check_predictions(record, predictions, f"record {record['id']}")
    check_free(directory, record["id"], record["data"]["kind"])
    run = Record(record, predictions)
    metrics = {condition: _with_intervals(run, condition) for condition in record["conditions"]}
    text = json.dumps({**record, "metrics": _plain(metrics)}, indent=1, allow_nan=False) + "\n"
    target, table = directory / f"{record['id']}.json", directory / f"{record['id']}.csv"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=".writing-") as folder:
            parts = Path(folder, "json"), Path(folder, "csv")
            parts[0].write_text(text, encoding="utf-8")
            predictions.to_csv(parts[1], index=False, float_format="%.6f", lineterminator="\n")
            with table.open("x"):  # reserves the id: of two writers one fails here
                pass
            try:
                os.replace(parts[1], table)
                os.replace(parts[0], target)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    table.unlink()
                raise
    except OSError as error:
        raise RecordError(
            f"{target}: cannot be written ({error.strerror}); "
            "free some space, or choose another folder with --out"
        ) from None
    return target


def load(path):
    """Read and check a record.

    Parameters
    ----------
    path : path-like
        The JSON file; its CSV stands beside it.

    Returns
    -------
    Record

    Raises
    ------
    RecordError
        A file is missing or malformed, or the two disagree: in counts, subjects or any metric.
    """
    path = Path(path)
    data = _read_json(path)
    validate(data, path)
    if data["id"] != path.stem:
        raise RecordError(f"{path}: holds record {data['id']!r}; name the file after its id")
    table = path.with_suffix(".csv")
    try:
        predictions = pd.read_csv(table, dtype={"file": str, "subject": str, "condition": str})
    except FileNotFoundError:
        raise RecordError(f"{table}: missing; keep it beside {path.name}") from None
    except (OSError, ValueError) as error:
        raise RecordError(
            f"{table}: cannot be read ({str(error).splitlines()[0]}); restore it from git"
        ) from None
    if tuple(predictions.columns) != COLUMNS:
        raise RecordError(f"{table}: its columns are not {', '.join(COLUMNS)}; restore it from git")
    _check_predictions(data, predictions, str(table))
    record = Record(data, predictions)
    for condition in data["conditions"]:
        for name, value in record.metrics(condition).items():
            written = data["metrics"].get(condition, {}).get(name)
            written = written["value"] if isinstance(written, dict) else written
            if _plain(value) is None and written is None:
                continue
            if not isinstance(written, _number) or abs(written - value) > 1e-6:
                raise RecordError(
                    f"{path}: {name} under {condition} is {written}, but the CSV gives "
                    f"{value:.6g}; restore both files from git"
                )
    return record


def load_all(results=RESULTS):
    """Read every record below a results folder (``<experiment>/<id>.json``).

    Parameters
    ----------
    results : path-like
        By default the records that come with the package.

    Returns
    -------
    list of Record
        Sorted by experiment and id.

    Raises
    ------
    RecordError
        No such folder, a record that `load` refuses, or one of synthetic data.
    """
    results = Path(results)
    if not results.is_dir():
        raise RecordError(f"{results}: no such folder; give the one that holds the records")
    paths = sorted(path for path in results.glob("*/*.json") if path.parent.name != "models")
    records = [load(path) for path in paths]
    for path, record in zip(paths, records, strict=True):
        if record.data["data"]["kind"] == "synthetic":
            raise RecordError(
                f"{path}: a record of synthetic data, which says nothing about leukemia; "
                "move it out of the results"
            )
    return records


def validate(data, where="record"):
    """Check the JSON part of a record against the schema.

    Parameters
    ----------
    data : dict
    where : path-like
        Named in the message.

    Raises
    ------
    RecordError
        A key is missing, of another type, or contradicts another; or the schema has another
        version.
    """
    _check_header(data, where)
    if not isinstance(data.get("metrics"), dict) or set(data["metrics"]) != set(data["conditions"]):
        raise RecordError(f"{where}: needs metrics for each of its conditions; write it again")


def stale(record):
    """Say where a record of real data disagrees with today's code.

    A record of another schema version does not get this far: `load` refuses it.

    Parameters
    ----------
    record : Record

    Returns
    -------
    list of str
        Reasons, empty for a record that stands: the data's fingerprint, the membership of the
        three parts, the test images with their labels, the parameter count. Records of synthetic
        data are compared with the parameter count only.
    """
    data = record.data
    reasons = []
    alpha = data["config"].get("alpha")
    expected = PARAMETERS.get((data["model"], alpha), {})
    frozen = data["config"].get("freeze") is not None
    for name in ("total",) if frozen else ("total", "trainable"):
        count = data["parameters"][name]
        if count != expected.get(name):
            reasons.append(
                f"{count} parameters ({name}), where {data['model']} of width {alpha} has "
                f"{expected.get(name)}"
            )
    if data["data"]["kind"] == "synthetic":
        return reasons
    folds, test = data["folds"], data["config"].get("test", "split")
    prelim = ("prelim",) if test == "prelim" else ()
    if data["data"]["fingerprint"] != FINGERPRINTS.get((*sorted(folds), *prelim)):
        reasons.append(f"data fingerprint is not that of the published folds {folds}")
    frame = cnmc.shipped_index()
    frame = frame[frame["fold"].isin(folds)].drop(columns="digest")
    if prelim:
        frame = pd.concat([frame, cnmc.shipped_prelim()])
    frame = frame.reset_index(drop=True)
    try:
        how = data["protocol"], folds, data["seed"], data["config"].get("part", 0), test
        split = splits.protocol_split(frame, *how)
    except AllmError as error:
        return [*reasons, f"its split can no longer be made ({error})"]
    for part in PARTS:
        if data["split"][part]["sha256"] != splits.membership(frame[split == part]):
            reasons.append(f"the {part} part of the split has other images")
    test = frame[split == "test"]
    test = test.assign(file=test["path"].str.rsplit("/", n=1).str[-1])
    columns = ["file", "subject", "label"]
    known = set(test[columns].itertuples(index=False, name=None))
    if known != set(record.predictions[columns].itertuples(index=False, name=None)):
        reasons.append("the predictions are of other test images, subjects or labels")
    return reasons


def joined(tests):
    """Put the answers of several classifiers for the same images side by side.

    Parameters
    ----------
    tests : dict of str to (list of Record, str)
        By the classifier's name: its runs, which together test the images, and the condition.

    Returns
    -------
    DataFrame
        Columns ``file, subject, label``, and one per classifier with its probability of ALL.

    Raises
    ------
    RecordError
        The classifiers were not tested on the same images, or one image was tested twice.
    """
    keys, columns = ["file", "subject", "label"], {}
    for name, (runs, condition) in tests.items():
        rows = pd.concat([run.rows(condition) for run in runs]).set_index(keys)
        if rows.index.has_duplicates:
            raise RecordError(f"{name}: an image is tested twice; give runs of different parts")
        columns[name] = rows["p_all"]
    table = pd.DataFrame(columns)
    if table.isna().any(axis=None):
        raise RecordError(f"{', '.join(tests)}: tested on different images; give runs of one test")
    return table.reset_index()


def share_of_all(runs):
    """Return the share of ALL among the training images of runs, without grey copies."""
    parts = [run.data["split"]["train"] for run in runs]
    return sum(part["n_all"] for part in parts) / sum(part["n"] for part in parts)


def paper_runs(records, fold):
    """Choose the runs of MobileNet_M with the paper's recipe, protocol and size.

    Parameters
    ----------
    records : list of Record
    fold : int

    Returns
    -------
    list of Record
        That with the paper's split (seed 1337) first, then by seed, whatever their scores.
    """
    runs = _trained(records, fold, "hem", True)
    return [run for run in runs if _side(run) == paper.IMAGE_SIZE]


def paper_run(records, fold):
    """Choose the run that stands for a fold: the first of `paper_runs`, or None."""
    return next(iter(paper_runs(records, fold)), None)


def scorecard(records):
    """Compare the paper's numbers with ours, one row each.

    Every number of Tables 1-11, and of the text: the averages of the abstract, the sizes of the
    data set, training and prediction times, the counts of section 4.4. The settings of section 3
    are inputs, not results, and are left out. A fold is represented by its `paper_run`; where there
    is none, by a run of the same settings on smaller pictures, and the note says how small.

    Parameters
    ----------
    records : list of Record
        Of real data, as `load_all` gives.

    Returns
    -------
    DataFrame
        Columns ``table, item, paper, ours, low, high, digits, verdict, note, record``. `paper` and
        `ours` are numbers, or text for the rows of Table 3 and the shapes of Table 4. `low` and
        `high` are the 95 % bootstrap interval of ours, by image; `digits` counts the paper's
        decimals. Verdicts: ``reproduced`` (ours rounds to the paper's value), ``within interval``
        (the paper's value lies in ours), ``differs`` (`note` says how), ``not comparable`` (`note`
        says why), ``not run yet`` (`note` says what it needs).
    """
    runs, bare = (
        {fold: next(iter(_trained(records, fold, *how)), None) for fold in range(3)}
        for how in (("hem", True), ("none", False))
    )
    rows = [
        *_counted_rows(),
        *_architecture_rows(),
        *_setting_rows(runs),
        *_tested_rows(runs, bare),
        *_text_rows(runs),
    ]
    card = pd.DataFrame(rows)
    card["verdict"] = [row.verdict or _verdict(row) for row in card.itertuples()]
    measured = (card["verdict"] == "differs") & card["low"].notna()
    for row in card[measured].itertuples():
        side = "ours is higher" if row.ours > row.paper else "ours is lower"
        card.loc[row.Index, "note"] = ", ".join(filter(None, (side, row.note)))
    order = card["table"].str.extract(r"(\d+)")[0].astype(float)
    card = card.loc[order.sort_values(kind="stable").index].reset_index(drop=True)
    names = ["table", "item", "paper", "ours", "low", "high", "digits", "verdict", "note", "record"]
    return card[names]


def as_printed(card):
    """The scorecard as text: the paper's digits, one more for what we measured.

    Parameters
    ----------
    card : DataFrame
        As `scorecard` gives.

    Returns
    -------
    DataFrame of str
        Columns ``Table, Item, Paper, Ours, 95 % interval, Verdict, Record``.
    """

    def text(value, digits):
        if isinstance(value, str):
            return value
        return "" if pd.isna(value) else f"{value:,.{digits}f}"

    rows = []
    for row in card.itertuples():
        finer = row.digits if pd.isna(row.low) else row.digits + 1
        interval = "" if pd.isna(row.low) else f"{text(row.low, finer)} to {text(row.high, finer)}"
        numbers = text(row.paper, row.digits), text(row.ours, finer), interval
        verdict = f"{row.verdict}: {row.note}" if row.note else row.verdict
        rows.append((row.table, row.item, *numbers, verdict, row.record))
    names = ["Table", "Item", "Paper", "Ours", "95 % interval", "Verdict", "Record"]
    return pd.DataFrame(rows, columns=names)


def errata(table):
    """List what does not add up in a table of the paper, and how this book reads it.

    Parameters
    ----------
    table : str
        As in the scorecard: "Table 1" to "Table 11", or "Text" for what belongs to no table.

    Returns
    -------
    list of dict
        Entries of `allm_utils.paper.ERRATA`.
    """
    return [erratum for erratum in paper.ERRATA if table in _tables_named(erratum["where"])]


def _tables_named(where):
    spans = re.findall(r"Tables? (\d+)(?:(?:-| and )(\d+))?", where)
    numbers = [n for first, last in spans for n in range(int(first), int(last or first) + 1)]
    return [f"Table {number}" for number in numbers] or ["Text"]


_PRINTED = {
    "precision": ("precision_macro", "macro precision", 2),
    "recall": ("recall_macro", "macro recall", 2),
    "f1": ("f1_macro", "macro F1", 2),
    "precision_all": ("precision_all", "precision of ALL", 2),
    "precision_hem": ("precision_hem", "precision of HEM", 2),
    "precision_weighted": ("precision_weighted", "weighted precision", 2),
    "accuracy": ("accuracy", "accuracy", 2),
    "auc": ("balanced_accuracy", "balanced accuracy (the paper's AUC)", 3),
}
"""The paper's columns: our metric, its name, and the decimals printed."""

_BLOCKS = (
    *((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512)),
    *[(1, 512)] * 5,
    *((2, 1024), (1, 1024)),
)
"""MobileNet's depthwise separable blocks: stride, channels out (Howard et al., 2017)."""


def _row(table, item, printed, digits, ours=np.nan, **more):
    """One row of the scorecard; `more` holds low, high, record, and a verdict with its note."""
    empty = {"low": np.nan, "high": np.nan, "record": "", "verdict": "", "note": ""}
    found = {"table": table, "item": item, "paper": printed, "digits": digits, "ours": ours}
    return {**found, **empty, **more}


def _apart(table, item, printed, digits, note, **more):
    """One row that nothing of ours can be set beside fairly."""
    return _row(table, item, printed, digits, verdict="not comparable", note=note, **more)


_AS_IN_THE_PAPER = {
    "alpha": 1.0,
    "l1": 0.015,
    "scaling": "unit",
    "balance": "hem",
    "augment": True,
    "clean_share": 0.0,
    "brightness": [0.4, 0.8],
    "stain": 0.0,
    "average": 0.0,
    "freeze": None,
}
"""A record that lacks one of these settings is older than it, and was as in the paper."""


def _trained(records, fold, balance, augment):
    """The trainings on a fold in the paper's protocol, the one that stands for them first.

    MAC of Table 9 is balanced ("hem") and augmented, MCN neither ("none"). First comes a run at the
    paper's size, else the largest; then that with the paper's split, else the lowest seed.
    """
    wanted = {"model": "mobilenet_m", "protocol": "paper", "folds": [fold]}
    settings = {**_AS_IN_THE_PAPER, "balance": balance, "augment": augment}
    runs = [
        record
        for record in records
        if "source" not in record.data  # a trained model tested again
        and all(record.data[key] == value for key, value in wanted.items())
        and all(
            record.data["config"].get(key, _AS_IN_THE_PAPER[key]) == value
            for key, value in settings.items()
        )
    ]
    return sorted(runs, key=_preference)


def _preference(record):
    size, seed = _side(record), record.data["seed"]
    apart = record.data["experiment"] != "mobilenet_m"
    return size != paper.IMAGE_SIZE, -size, apart, seed != 1337, seed


def _side(record):
    return record.data["config"]["image_size"]


def _counted_rows():
    """Tables 1 and 2, and the data sets of section 3.1: from the shipped lists."""
    frame = cnmc.shipped_index()
    split = splits.paper_split(frame)
    sizes = frame.groupby(["fold", "label", split]).size()
    for fold, table in paper.TABLE_1.items():
        for name, counts in table.items():
            found = sizes[fold, cnmc.CLASSES.index(name)]
            found = {**found, "total": found.sum()}
            for part, value in counts.items():
                yield _row("Table 1", f"fold {fold}, {name}, {part}", value, 0, float(found[part]))
    for fold, counts in paper.TABLE_2.items():
        train = frame[(split == "train") & (frame["fold"] == fold)]
        hem = train["label"].to_numpy(int) == 0
        source, _ = balance.balanced_rows(train["label"].to_numpy(int), grey="hem")
        found = {"before": hem.sum(), "after": hem[source].sum()}
        for when, value in counts.items():
            item = f"fold {fold}, HEM images in training, {when} balancing"
            yield _row("Table 2", item, value, 0, float(found[when]))
    training = paper.DATASET["training"]
    yield _row("Text", "section 3.1, training images", training["images"], 0, float(len(frame)))
    for label, name in enumerate(cnmc.CLASSES):
        part = frame[frame["label"] == label]
        found = {"images": len(part), "subjects": part["subject"].nunique()}
        for what, value in training[name].items():
            item = f"section 3.1, training, {name} {what}"
            yield _row("Text", item, value, 0, float(found[what]))
    prelim = cnmc.shipped_prelim()
    for label, name in enumerate(cnmc.CLASSES):
        part = prelim[prelim["label"] == label]
        found = {"images": len(part), "subjects": part["subject"].nunique()}
        for what, value in paper.DATASET["preliminary"][name].items():
            item = f"section 3.1, preliminary test, {name} {what}"
            yield _row("Text", item, value, 0, float(found[what]))
    final, note = paper.DATASET["final"], "the package has no list of the final test set"
    yield _apart("Text", "section 3.1, final test images", final["images"], 0, note)
    for name in ("ALL", "HEM"):
        for what, value in final[name].items():
            yield _apart("Text", f"section 3.1, final test, {name} {what}", value, 0, note)


def _mobilenet():
    """MobileNet at 224 px: (rows as Table 3 prints them, parameters, of these not trainable)."""
    side, channels = paper.IMAGE_SIZE // 2, 32
    rows = [("Conv/s2", "3×3×3×32", "224×224×3")]
    weights, moving = 27 * channels + 4 * channels, 2 * channels
    for stride, out in _BLOCKS:
        rows.append((f"Conv dw/s{stride}", f"3×3×{channels} dw", f"{side}×{side}×{channels}"))
        side //= stride
        rows.append(("Conv/s1", f"1×1×{channels}×{out}", f"{side}×{side}×{channels}"))
        weights += (9 + 4) * channels + (channels + 4) * out
        moving += 2 * channels + 2 * out
        channels = out
    printed_once = [*rows[:15], *rows[23:]]  # the paper shows one of the five blocks of 512
    top = (
        ("Avrg pool/s1", f"Pool {side}×{side}", f"{side}×{side}×{channels}"),
        ("FC/s1", f"{channels}×1000", f"1×1×{channels}"),
        ("Softmax/s1", "Classifier", "1×1×1000"),
    )
    return [*printed_once, *top], weights + (channels + 1) * 1000, moving


def _architecture_rows():
    """Tables 3 and 4: from the definition of the networks."""
    rows, total, moving = _mobilenet()
    for number, (printed, found) in enumerate(zip(paper.TABLE_3, rows, strict=True), start=1):
        text, ours = ", ".join(printed.values()), ", ".join(found)
        note = "" if text == ours else "a misprint"
        yield _row("Table 3", f"row {number}: type, filter, input", text, 0, ours, note=note)
    note = paper.TABLE_3_NOTE
    for name, value in (("total", total), ("trainable", total - moving), ("non-trainable", moving)):
        printed = note["parameters" if name == "total" else name.replace("-", "_")]
        yield _row("Table 3", f"MobileNet, parameters, {name}", printed, 0, float(value))
    size = total * 4 / 2**20
    yield _row("Table 3", "MobileNet, size of the weights, MiB", note["size_mb"], 0, size)

    classes, channels = len(cnmc.CLASSES), _BLOCKS[-1][1]
    backbone, whole = total - (channels + 1) * 1000, PARAMETERS["mobilenet_m", 1.0]
    layers = {"MobileNet": backbone, "Batch normalization": 4 * channels}
    layers["Dense"] = (channels + 1) * classes
    shapes = {"MobileNet": (7, 7, channels), "Dense": (classes,)}
    for layer in paper.TABLE_4:
        name = layer["layer"]
        shape = ["×".join(map(str, s)) for s in (layer["output_shape"], shapes.get(name, (1024,)))]
        yield _row("Table 4", f"{name}, output shape", shape[0], 0, shape[1])
        count = float(layers.get(name, 0))
        yield _row("Table 4", f"{name}, parameters", layer["parameters"], 0, count)
    found = {**whole, "non-trainable": whole["total"] - whole["trainable"]}
    note = paper.TABLE_4_NOTE
    printed = (note["parameters"], note["trainable"], note["non_trainable"])
    for name, value in zip(("total", "trainable", "non-trainable"), printed, strict=True):
        yield _row("Table 4", f"parameters, {name}", value, 0, float(found[name]))
    half = whole["total"] * 2 / 2**20
    why = "ours is the size of the weights in half precision"
    yield _apart("Table 4", "GPU memory, MB", note["gpu_memory_mb"], 1, why, ours=half)
    yield _row("Table 4", "size of the weights, MiB", note["size_mb"], 4, 2 * half)


def _setting_rows(runs):
    """Table 5: against the settings of the first fold that was run."""
    run = min(filter(None, runs.values()), key=_preference, default=None)
    settings = (
        ("epochs", "epochs", 0),
        ("patience of early stopping", "early_stop", 0),
        ("patience of the learning rate", "lr_patience", 0),
        ("batch size", "batch_size", 0),
        ("learning rate, first", "learning_rate", 3),
        ("learning rate, last", "min_learning_rate", 6),
        ("L1 regularization", "l1", 3),
    )
    for item, key, digits in settings:
        value = run.data["config"].get(key, np.nan) if run else np.nan
        more = {"record": run.name} if run else {"note": "needs any fold"}
        yield _row("Table 5", item, paper.HYPERPARAMETERS[key], digits, value, **more)


def _tested_rows(runs, bare):
    """Tables 6-11 and the counts and averages of the text: from the predictions of the runs."""
    tables = {0: paper.TABLE_6, 1: paper.TABLE_7, 2: paper.TABLE_8}
    clean = {}

    def row(table, item, found, fold, column, value):
        key, name, digits = _PRINTED[column]
        more = found.get(key) or {"note": f"needs fold {fold}"}
        return _row(table, f"fold {fold}, {item}, {name}", value, digits, **more)

    for fold, table in tables.items():
        for sigma, printed in table.items():
            found = _measured(runs[fold], f"noise:{sigma}" if sigma else "clean")
            clean.setdefault(fold, found)
            for column, value in printed.items():
                yield row(f"Table {6 + fold}", f"sigma {sigma}", found, fold, column, value)
    for fold, printed in paper.TABLE_9.items():
        for column, value in printed["MAC"].items():
            yield row("Table 9", "balanced and augmented", clean[fold], fold, column, value)
        found = _measured(bare[fold], "clean")
        for column, value in printed["MCN"].items():
            yield row("Table 9", "neither", found, fold, column, value)

    quoted = "quoted from its authors, on another split"
    for fold, printed in paper.TABLE_10.items():
        if fold == "average":
            more = _average(clean, "accuracy", 100)
            where = "average"
        else:
            more, where = _times(clean[fold], "accuracy", 100, fold), f"fold {fold}"
        digits = 2 if fold == "average" else 0
        yield _row("Table 10", f"{where}, accuracy, %", printed["MobileNet_M"], digits, **more)
        digits = 0 if float(printed["ALNett"]).is_integer() else 2
        yield _apart("Table 10", f"{where}, ALNett, accuracy, %", printed["ALNett"], digits, quoted)
    for printed in paper.TABLE_11:
        item = f"{printed['model']}, F1, %"
        if printed["model"] == "MobileNet_M":
            yield _row(
                "Table 11", item, printed["f1_percent"], 0, **_average(clean, "f1_macro", 100)
            )
        else:
            yield _apart("Table 11", item, printed["f1_percent"], 0, "other data and splits")

    item = "abstract, average accuracy, %"
    value = paper.HEADLINE["accuracy_percent"]
    yield _row("Text", item, value, 2, **_average(clean, "accuracy", 100))
    value = paper.HEADLINE["f1"]
    yield _row("Text", "abstract, average F1", value, 2, **_average(clean, "f1_macro"))
    n_test = sum(classes["test"] for classes in paper.TABLE_1[0].values())
    more = _times(clean[0], "accuracy", n_test, 0)
    item = f"section 4.4, fold 0, right of {n_test}"
    yield _row("Text", item, paper.FOLD_0_CORRECT["MobileNet_M"], 0, **more)
    yield _apart("Text", f"{item}, ALNett", paper.FOLD_0_CORRECT["ALNett"], 0, quoted)
    cited = paper.ALNETT_TEXT
    item = "section 2.2, ALNett, accuracy, %"
    yield _apart("Text", item, cited["accuracy_percent"], 2, quoted)
    yield _apart("Text", "section 2.2, ALNett, F1", cited["f1"], 2, quoted)
    item = "section 4.4, ALNett, fold 0, accuracy, %"
    yield _apart("Text", item, cited["fold_0_accuracy_percent"], 2, quoted)


def _text_rows(runs):
    """Section 4.2 on training and section 4.3 on time: nothing fair can be set beside them."""
    for fold, printed in paper.TRAINING.items():
        run = runs[fold]
        ours = {"ours": float(run.data["epochs_run"]), "record": run.name} if run else {}
        for key, item, digits, note, more in (
            ("converged_epoch", "epoch of convergence", 0, "read off a curve", {}),
            ("stopped_epoch", "epochs run", 0, "depends on seed and schedule", ours),
            ("accuracy_percent", "training accuracy, %", 2, "average over what is not said", {}),
        ):
            item = f"section 4.2, fold {fold}, {item}"
            yield _apart("Text", item, printed[key], digits, note, **more)
    for machine, value in paper.TIME_PER_IMAGE_MS.items():
        note = "no hardware, batch or warm-up is given"
        yield _apart("Text", f"section 4.3, ms per image, {machine}", value, 2, note)


def _measured(run, condition):
    """By metric: ours, low, high, record; empty if it was not run."""
    if run is None or condition not in run.data["conditions"]:
        return {}
    values, limits = run.metrics(condition), run.intervals(condition)
    where = {"record": run.name}
    if _side(run) != paper.IMAGE_SIZE:
        where["note"] = f"at {_side(run)} px"
    return {
        name: {"ours": values[name], "low": low, "high": high, **where}
        for name, (low, high) in limits.items()
    }


def _times(found, key, factor, fold):
    """A metric in another unit, or what it needs."""
    if key not in found:
        return {"note": f"needs fold {fold}"}
    return {
        name: value if isinstance(value, str) else factor * value
        for name, value in found[key].items()
    }


def _average(clean, key, factor=1):
    """A metric's mean over the three folds, or what it needs."""
    lacking = [str(fold) for fold, found in clean.items() if key not in found]
    if lacking:
        return {"note": f"needs fold{'s' * (len(lacking) > 1)} {', '.join(lacking)}"}
    return {"ours": factor * float(np.mean([found[key]["ours"] for found in clean.values()]))}


def _verdict(row):
    if isinstance(row.ours, str):
        return "reproduced" if row.ours == row.paper else "differs"
    if pd.isna(row.ours):
        return "not run yet"
    if abs(row.ours - row.paper) <= 0.5 * 10.0**-row.digits + 1e-9:
        return "reproduced"
    return "within interval" if row.low <= row.paper <= row.high else "differs"


def _check_header(data, where):
    if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
        raise RecordError(f"{where}: not a run record; give a JSON file made by `allm train`")
    if data["schema"] != SCHEMA_VERSION:
        raise RecordError(
            f"{where}: has schema {data['schema']}, this package reads {SCHEMA_VERSION}; "
            "run the experiment again, or use the version that wrote it"
        )
    _check_types(data, _SCHEMA, where, "")
    for name in ("id", "experiment"):
        if not _NAME.fullmatch(data[name]):
            raise RecordError(f"{where}: {name} {data[name]!r} cannot name a file; rename it")
    faults = {
        f"protocol {data['protocol']!r}": data["protocol"] not in splits.PROTOCOLS,
        f"data kind {data['data']['kind']!r}": data["data"]["kind"] not in KINDS,
        f"folds {data['folds']}": not data["folds"]
        or not all(isinstance(fold, int) for fold in data["folds"]),
        f"conditions {data['conditions']}": not data["conditions"]
        or len(set(data["conditions"])) != len(data["conditions"])
        or not all(_CONDITION.fullmatch(str(c)) for c in data["conditions"]),
        "epochs_run against history": any(
            not isinstance(values, list) or len(values) != data["epochs_run"]
            for values in data["history"].values()
        ),
        "split counts": any(
            part["n"] != part["n_all"] + part["n_hem"] for part in data["split"].values()
        ),
        "seed against config": data["config"].get("seed", data["seed"]) != data["seed"],
    }
    for what, wrong in faults.items():
        if wrong:
            raise RecordError(f"{where}: {what} is not what a record may hold; write it again")


def _check_types(data, schema, where, inside):
    for key, kind in schema.items():
        name = f"{inside}{key}"
        if key not in data:
            raise RecordError(f"{where}: lacks '{name}'; write the record again")
        expected = dict if isinstance(kind, dict) else kind
        value = data[key]
        if not isinstance(value, expected) or isinstance(value, bool):
            raise RecordError(
                f"{where}: '{name}' holds {type(value).__name__}; write the record again"
            )
        if isinstance(kind, dict):
            _check_types(value, kind, where, f"{name}.")


def _check_predictions(data, predictions, where):
    """Every condition has each test image once, with one label and one subject each."""
    test = data["split"]["test"]
    images = predictions.drop_duplicates(["file", "subject", "label"])
    n_rows = test["n"] * len(data["conditions"])
    p_all = predictions["p_all"]
    faults = {
        f"{len(predictions)} rows, not {n_rows} ({test['n']} test images, "
        f"{len(data['conditions'])} conditions)": len(predictions) != n_rows,
        "conditions other than the record's": set(predictions["condition"])
        != set(data["conditions"]),
        "an image twice under one condition": predictions.duplicated(["file", "condition"]).any(),
        "an image with two labels or subjects, or not under every condition": len(images)
        != test["n"],
        f"classes other than {test['n_all']} ALL and {test['n_hem']} HEM": (
            images["label"].value_counts().reindex([1, 0], fill_value=0).tolist()
            != [test["n_all"], test["n_hem"]]
        ),
        "subjects other than the record's": sorted(images["subject"].astype(str).unique())
        != sorted(test["subjects"]),
        "a p_all outside [0, 1]": not (
            pd.api.types.is_numeric_dtype(p_all) and p_all.between(0, 1).all()
        ),
    }
    for what, wrong in faults.items():
        if wrong:
            raise RecordError(f"{where}: {what}; record and predictions must be of one run")


def _with_intervals(run, condition):
    """Metrics as they stand in the JSON: counts, and rates with both kinds of interval."""
    image, subject = (run.intervals(condition, by) for by in ("image", "subject"))
    written = {}
    for name, value in run.metrics(condition).items():
        if name in metrics.COUNTS:
            written[name] = value
            continue
        written[name] = {
            "value": round(value, 8),
            "low": round(image[name][0], 6),
            "high": round(image[name][1], 6),
            "low_by_subject": round(subject[name][0], 6),
            "high_by_subject": round(subject[name][1], 6),
        }
    return written


def _plain(value):
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


def _read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{path}: no such record; check the path") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except ValueError:
        raise RecordError(f"{path}: not JSON; give a record made by `allm train`") from None


def _last_two(directory):
    return Path(os.path.abspath(directory)).parts[-2:]
