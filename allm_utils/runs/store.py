"""A record on disk: written whole, read with every check, compared with today's code."""

import functools
import gzip
import hashlib
import io
import json
import math
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastjsonschema
import numpy as np
import pandas as pd

from allm_utils.data import cnmc, sample, splits
from allm_utils.errors import AllmError, DataError, RecordError, reason
from allm_utils.files import write_whole

SCHEMA_VERSION = 2

COLUMNS = ("file", "subject", "label", "condition", "p_all")

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
    ("probe_middle", None): {"total": 1_088_705, "trainable": 2_561},
    ("probe_handmade", None): {"total": 0, "trainable": 0},  # trees, as large as they grow
    ("probe_fine", None): {"total": 420, "trainable": 420},
    ("area", None): {"total": 2, "trainable": 2},
}
"""Parameters by model and width: a record with other counts is of another network."""


def check_free(
    directory: str | os.PathLike, record_id: str, kind: str, resume: bool = False
) -> None:
    """Refuse, before hours of training, a record that could not be written.

    Because one is there already, or because other data than C-NMC 2019 (`kind`, as `cnmc.kind`)
    would enter a folder named results. With `resume` the table without its JSON file that a killed
    process left is removed.
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

    Takes what `record.schema.json` asks for, without ``schema`` and ``answers``, which are computed
    here, and a table of `COLUMNS`, of whose `p_all` six decimals are kept. Returns the JSON file,
    written last. A RecordError where the two do not agree.
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
    except FileExistsError:
        raise RecordError(f"{path}: another process is writing it; run one at a time") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({reason(error)}); free some space") from None
    try:
        write_whole(table, text)
        write_whole(path, whole)
    except BaseException:
        table.unlink(missing_ok=True)
        raise
    return path


def read(path: str | os.PathLike) -> tuple[dict, pd.DataFrame]:
    """Read and check a record, ``<id>.json`` and the CSV beside it; `records.load` wraps it.

    The CSV may have been packed by gzip since.
    """
    path = Path(path)
    data, table = read_json(path), path.with_suffix(".csv")
    if not table.exists() and (packed := path.with_suffix(".csv.gz")).exists():
        table = packed
    _check(data, path)
    if (data["experiment"], data["id"]) != (Path(os.path.abspath(path)).parent.name, path.stem):
        raise RecordError(
            f"{path}: holds record {data['experiment']}/{data['id']}; name folder and file after it"
        )
    answers, sha256 = read_table(table)
    if tuple(answers.columns) != COLUMNS:
        raise RecordError(f"{table}: its columns are not {', '.join(COLUMNS)}; restore it from git")
    _check_answers(data, answers, str(table))
    if data["answers"] != sha256:
        raise RecordError(f"{table}: was changed after the run; restore both files from git")
    return data, answers


def stale(data: dict, answers: pd.DataFrame) -> list[str]:
    """Say where a record, as `read` gives it, disagrees with today's code; nothing if it stands.

    Compared are the data's fingerprint, the members of the three parts, the test images with their
    labels, and the parameter count; of other data than C-NMC 2019 the last one only.
    """
    config = data["config"]
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
    folds, test, more = tuple(data["folds"]), config["test"], tuple(config.get("also_train", ()))
    prelim = ("prelim",) if test == "prelim" else ()
    whole = "+".join(map(str, (*sorted(folds + more), *prelim)))
    names = {cnmc.FINGERPRINTS.get(name): name for name in (whole, f"{whole} at hand")}
    name = names.get(data["data"]["fingerprint"])
    if name is None:
        reasons.append(f"data fingerprint is not that of the published folds {list(folds + more)}")
    seed = config["split_seed"] if data["protocol"] == "paper" else 0  # the other deals are frozen
    how = data["protocol"], folds, seed, config["round"], test, more
    try:
        members, tested = _published_split(*how, at_hand=name not in (None, whole))
    except AllmError as error:
        return [*reasons, f"its split can no longer be made ({error})"]
    for part in splits.PARTS:
        if data["split"][part]["sha256"] != members[part]:
            reasons.append(f"the {part} part of the split has other images")
    if tested != _images(answers[: data["split"]["test"]["n"]]):
        reasons.append("the answers are of other test images, subjects or labels")
    return reasons


@functools.cache
def _published() -> pd.DataFrame:
    """What a split needs to know of the training and the preliminary set."""
    frame = pd.concat([cnmc.shipped_index(), cnmc.shipped_prelim()])
    frame = frame.assign(file=cnmc.file_names(frame), place=splits.places(frame))
    return frame.drop(columns=["smear", "cell", "digest"]).sort_values("place", ignore_index=True)


@functools.cache
def _published_split(protocol, folds, seed, number, test, more, at_hand):
    """Membership of each part of a split of the published folds, and its test images."""
    frame = _published()
    frame = frame[frame["fold"].isin(folds + more) | (frame["split"] == test)]  # prelim, if asked
    if at_hand:
        frame = frame[(frame["fold"] != 2) | frame["file"].isin(sample.at_hand())]
    split = splits.protocol_split(frame, protocol, folds, seed, number, test, more)
    members = {part: splits.membership(frame["place"][split == part]) for part in splits.PARTS}
    return members, _images(frame[split == "test"])


def _images(rows: pd.DataFrame) -> set[tuple[str, str, int]]:
    columns = (rows[name].tolist() for name in ("file", "subject", "label"))
    return set(zip(*columns, strict=True))


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
    """One condition after the other, each has the test images in one order, and each image once."""
    test, conditions, p_all = data["split"]["test"], data["conditions"], answers["p_all"]
    n, n_rows = test["n"], test["n"] * len(conditions)
    columns = [answers[name].to_numpy() for name in ("file", "subject", "label")]
    files, subjects, labels = (column[:n] for column in columns)

    def fault() -> str:
        if len(answers) != n_rows:
            counts = f"{n} test images, {len(conditions)} conditions"
            return f"{len(answers)} rows, not {n_rows} ({counts})"
        if (answers["condition"].to_numpy() != np.repeat(conditions, n)).any():
            return "conditions other than the record's, or in another order"
        if len(set(files)) != n:
            return "an image twice under one condition"
        if any((column != np.resize(column[:n], n_rows)).any() for column in columns):
            return "an image with two labels or subjects, or not in one place under every condition"
        if [(labels == label).sum() for label in (1, 0)] != [test["n_all"], test["n_hem"]]:
            return f"classes other than {test['n_all']} ALL and {test['n_hem']} HEM"
        if set(subjects) != set(test["subjects"]):
            return "subjects other than the record's"
        if not (pd.api.types.is_numeric_dtype(p_all) and p_all.between(0, 1).all()):
            return "a p_all outside [0, 1]"
        return ""

    if what := fault():
        raise RecordError(f"{where}: {what}; record and answers must be of one run")


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise RecordError(f"{path}: no such record; check the path") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({reason(error)}); check the path") from None
    except (ValueError, RecursionError):
        raise RecordError(f"{path}: not JSON; give a record made by `allm train`") from None


def read_table(path: Path) -> tuple[pd.DataFrame, str]:
    """A CSV file, packed or not, and its SHA-256, whatever line ends a checkout gave it."""
    try:
        text = path.read_bytes()
        text = gzip.decompress(text) if path.suffix == ".gz" else text
        names = dict.fromkeys(("file", "subject", "condition"), str)
        table = pd.read_csv(io.BytesIO(text), dtype=names)
    except FileNotFoundError:
        raise RecordError(f"{path}: missing; keep it beside its record") from None
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise RecordError(
            f"{path}: cannot be read ({reason(error)}); restore it from git"
        ) from None
    return table, hashlib.sha256(text.replace(b"\r\n", b"\n")).hexdigest()


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
