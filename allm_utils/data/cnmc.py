"""C-NMC 2019 on disk: find it, index it, verify it, download it.

The training set is three folds of single-cell images, ``fold_{0,1,2}/{all,hem}/*.bmp``, named by

    UID_{subject}_{smear}_{cell}_{class}.bmp

where the subjects of class HEM carry an H (``11`` and ``H11`` are two people). Two test sets may
stand beside it: the preliminary one, labelled by a CSV file, and the final one, unlabelled.

References
----------
Gupta, A., & Gupta, R. (2019). ALL Challenge dataset of ISBI 2019 [Data set]. The Cancer Imaging
Archive. https://doi.org/10.7937/tcia.2019.dc64i46r
"""

import json
import lzma
import os
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from allm_utils.data import images
from allm_utils.errors import DataError, need, reason
from allm_utils.files import sha256, walk

CLASSES = ("HEM", "ALL")
"""Class names by label: 0 is HEM (healthy), 1 is ALL (leukemia, the positive class)."""

FINGERPRINTS: dict[str, str] = json.loads(
    resources.files("allm_utils.data").joinpath("fingerprints.json").read_text("utf-8")
)
"""Of the published folds, as "0+1", and with the preliminary set, by `images.fingerprint`.

:meta hide-value:
"""

_KAGGLE_HANDLE = "andrewmvd/leukemia-classification"

_GRAMMAR = re.compile(r"UID_(H?\d{1,9})_(\d{1,9})_(\d{1,9})_(all|hem)\.bmp", re.IGNORECASE)
_FOLD = re.compile(r"fold[ _-]?(\d{1,2})", re.IGNORECASE)
_TEST_SET = re.compile(r"test_(prelim|final)_phase", re.IGNORECASE)
_LABELS = re.compile(r"[^.].*prelim.*labels.*\.csv", re.IGNORECASE)
_SHOWN = 20  # files of a fault that a printed verification names
_COLUMNS = ("path", "label", "fold", "subject", "smear", "cell", "split")
_INTEGERS = {"label": "Int8", "fold": "Int8", "smear": "Int64", "cell": "Int64"}
_CURE = (
    "give the folder that holds fold_0, fold_1 and fold_2, or write the sample with "
    "'allm data sample'"
)


class _Folder(NamedTuple):
    split: str
    fold: int | None
    label: int | None
    path: Path
    names: list[str]


def index(root: str | os.PathLike) -> pd.DataFrame:
    """Index a C-NMC tree in any of its published layouts, without opening an image.

    `root` is a folder at any level above the folds, a fold itself, or what `pack.write` made. Of
    folds that were merged into ``all`` and ``hem`` the published names tell the fold. A DataError
    names a class folder that is empty or absent, a folder that stands twice, a file name outside
    the grammar, or a label file that does not match its images.

    Returns
    -------
    pandas.DataFrame
        One row per image, sorted by split, fold, label and file name: `path` (absolute), `label`
        (0 HEM, 1 ALL, missing in the final test set), `fold` (missing in the test sets),
        `subject` (``"11"``, ``"H11"``), `smear`, `cell`, `split` (``"train"``, ``"prelim"``,
        ``"final"``).
    """
    folders = _locate(root)
    _check_folds(folders)
    rows = []
    for folder in folders:
        rows += _ROWS[folder.split](folder)
    return _frame(rows)


def shipped_index() -> pd.DataFrame:
    """Index of the 10,661 training files as published, from a table in the package.

    The columns of `index`, `path` being relative (``fold_0/all/UID_1_1_1_all.bmp``), and
    `digest`: the first 12 hexadecimal digits of the file's SHA-256.
    """
    return _shipped_index().copy()


def shipped_prelim() -> pd.DataFrame:
    """Index of the 1,867 images of the preliminary test set; `path` is the name (``1.bmp``)."""
    rows = []
    for number, patient in enumerate(_table("cnmc_prelim.txt.xz"), start=1):
        subject, smear, cell, label = _parse(patient, "cnmc_prelim.txt.xz")
        rows.append((f"{number}.bmp", label, None, subject, smear, cell, "prelim"))
    return _frame(sorted(rows))


def file_names(frame: pd.DataFrame, column: str = "path") -> pd.Series:
    """File name of each row of an index, without its folders."""
    return frame[column].str.replace(r"(?s).*[/\\]", "", regex=True)


def kind(frame: pd.DataFrame, cache: str | os.PathLike) -> str:
    """Name the kind of some images by their content, hashed as in `images.digests`.

    ``"cnmc-2019"`` if these are whole published folds; ``"cnmc-2019-sample"`` if every file is of
    them, under its own name; else ``"other"``.
    """
    published = shipped_index()
    digest_of = dict(zip(file_names(published).str.lower(), published["digest"], strict=True))
    found = [digest[:12] for digest in images.digests(frame, cache)]
    meant = file_names(frame).str.lower().map(digest_of)  # the name is the label
    whole = images.fingerprint(frame, cache) in FINGERPRINTS.values()
    if whole and (meant.isna() | (meant == found)).all():
        return "cnmc-2019"
    return "cnmc-2019-sample" if (meant == found).all() else "other"


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Count images and subjects of an index per fold, test set and class, with totals."""
    train = frame[frame["split"] == "train"]
    parts = {f"fold {fold}": part for fold, part in train.groupby("fold")}
    parts["training"] = train
    parts |= {name: frame[frame["split"] == name] for name in ("prelim", "final")}
    table = {}
    for name, part in parts.items():
        classes = {"ALL ": part[part["label"] == 1], "HEM ": part[part["label"] == 0], "": part}
        table[name] = {f"{c}images": len(rows) for c, rows in classes.items()}
        table[name] |= {f"{c}subjects": rows["subject"].nunique() for c, rows in classes.items()}
        if part["label"].isna().any():
            table[name] = {"images": len(part)}
    columns = [f"{c}{what}" for what in ("images", "subjects") for c in ("ALL ", "HEM ", "")]
    counts = pd.DataFrame.from_dict(table, orient="index", columns=columns, dtype="Int64")
    return counts[counts["images"] > 0]


@dataclass(frozen=True)
class Verification:
    """What `verify` found. Paths are relative to the tree, those of missing files to its folds.

    Files of the same bytes are ``duplicated`` where the published ones differ, else
    ``known_duplicates``. ``notes`` say what was not checked, and who in a test set is known.
    """

    n_checked: int
    missing: tuple[str, ...]
    altered: tuple[str, ...]
    unknown: tuple[str, ...]
    duplicated: tuple[str, ...]
    known_duplicates: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every fold of the tree is, file by file, the published one."""
        return not (self.missing or self.altered or self.unknown or self.duplicated)

    def __str__(self) -> str:
        lines, counts = [], []
        for fault in ("missing", "altered", "unknown", "duplicated"):
            found = getattr(self, fault)
            lines += [f"{fault}: {path}" for path in found[:_SHOWN]]
            lines += [f"{fault}: {len(found) - _SHOWN} more"] * (len(found) > _SHOWN)
            counts.append(f"{len(found)} {fault}")
        lines += self.notes
        lines.append(
            f"{self.n_checked} files checked: {', '.join(counts)} "
            f"({len(self.known_duplicates)} more as published)"
        )
        return "\n".join(lines)


def verify(root: str | os.PathLike, *, progress: bool = True) -> Verification:
    """Compare the training files of a tree, or a fold, with the published ones, byte for byte."""
    root = _opened(root)
    folders = _locate(root)
    train = [folder for folder in folders if folder.split == "train"]
    if not train:
        raise DataError(f"{root}: no training fold here to verify; {_CURE}")
    published = shipped_index()
    published["key"] = published["path"].str.lower()
    paths = [folder.path / name for folder in train for name in folder.names]
    digests = list(images.in_threads(_digest, paths, "hashing", progress))
    places = [f"fold_{f.fold}/{CLASSES[f.label]}/{name}" for f in train for name in f.names]
    shown = [path.relative_to(root).as_posix() for path in paths]
    files = pd.DataFrame({"path": shown, "key": places, "digest": digests}, dtype=str)
    files["key"] = files["key"].str.lower()

    expected = files["key"].map(published.set_index("key")["digest"])
    absent = published[~published["key"].isin(files["key"])]
    present = {folder.fold for folder in train}
    twins_of = published.groupby("digest")["key"].agg(frozenset).to_dict()
    known, duplicated = [], []
    for digest, twins in files[files.duplicated("digest", keep=False)].groupby("digest"):
        as_published = twins["key"].is_unique and twins_of.get(digest, set()) >= set(twins["key"])
        (known if as_published else duplicated).append(" = ".join(twins["path"]))
    return Verification(
        n_checked=len(files),
        missing=tuple(absent.loc[absent["fold"].isin(present), "path"]),
        altered=tuple(files.loc[expected.notna() & (expected != files["digest"]), "path"]),
        unknown=tuple(files.loc[expected.isna(), "path"]),
        duplicated=tuple(duplicated),
        known_duplicates=tuple(known),
        notes=tuple(_notes(folders, set(published["fold"]) - present)),
    )


def _notes(folders, absent):
    """What was not checked, and who in the test sets of the tree is known from training."""
    from allm_utils.data import people  # which imports this module

    yield from (f"not checked: fold_{fold}, which is not here" for fold in sorted(absent))
    sizes = {folder.split: len(folder.names) for folder in folders}
    if "prelim" in sizes:
        yield f"not checked: the {sizes['prelim']} files of the preliminary test set"
        subjects = shipped_prelim()["subject"]
        known = people.person(subjects).isin(people.person(shipped_index()["subject"]))
        for subject, n in subjects[known].value_counts().items():
            others = ", ".join(s for s in people.GROUPS[people.person(subject)] if s != subject)
            yield f"note: its subject {subject} ({n} files) is in training, as {others}"
    if "final" in sizes:
        yield f"not checked: the {sizes['final']} files of the final test set"
        twins = people.pixel_twins().query("fold_a == 'final'")
        for subject, rows in twins.groupby(twins["file_b"].str.split("_").str[1]):
            yield f"note: {rows['file_a'].nunique()} or more show cells of {subject}, in training"


def download(dest: str | os.PathLike) -> Path:
    """Download C-NMC 2019 (10.4 GB, with both test sets) from Kaggle, and return its root.

    No login is needed. The folder is made if absent.
    """
    need("download", "kagglehub")
    import kagglehub

    try:
        Path(dest).mkdir(parents=True, exist_ok=True)
        return Path(kagglehub.dataset_download(_KAGGLE_HANDLE, output_dir=str(dest)))
    except FileExistsError:
        raise DataError(f"{dest}: holds no finished download; empty it, or give another") from None
    except Exception as error:  # kagglehub lets through its own errors, requests' and the system's
        raise DataError(
            f"{dest}: cannot download {_KAGGLE_HANDLE} ({reason(error)}); check the connection and "
            "the space on the disk, or fetch it by hand from kaggle.com/datasets/" + _KAGGLE_HANDLE
        ) from error


def _opened(root):
    """The folder; or that of an archive, unpacked."""
    from allm_utils.data import pack  # which imports this module

    root = Path(os.path.abspath(root))
    return pack.opened(root) if root.is_file() else root


def _locate(root):
    """Image folders of the tree, in the order of the index; their completeness is not judged."""
    root = _opened(root)
    if not root.is_dir():
        raise DataError(f"{root}: {'not a' if root.exists() else 'no such'} folder; {_CURE}")
    folders = []
    for path, names in walk(root, (".bmp",)):
        fold = _FOLD.fullmatch(path.parent.name)
        test_set = _TEST_SET.search(path.name)
        if fold and path.name.upper() in CLASSES:
            label = CLASSES.index(path.name.upper())
            folders.append(_Folder("train", int(fold[1]), label, path, names))
        elif path.name.upper() in CLASSES and names:
            folders += _unmerged(path, names)
        elif _FOLD.fullmatch(path.name) and not any(
            _FOLD.fullmatch(child.name) or child.name.upper() in CLASSES for child in path.iterdir()
        ):
            raise DataError(f"{path}: neither an 'all' nor a 'hem' folder in it; {_CURE}")
        elif test_set and names:
            folders.append(_Folder(test_set[1].lower(), None, None, path, names))
    if not folders:
        raise DataError(f"{root}: no C-NMC images here (fold_*/all, fold_*/hem); {_CURE}")
    order = list(_ROWS)
    return sorted(folders, key=lambda f: (order.index(f.split), f.fold or 0, f.label or 0, f.path))


def _unmerged(path, names):
    published = shipped_index()
    fold_of = dict(zip(file_names(published).str.lower(), published["fold"], strict=True))
    parts = defaultdict(list)
    for name in names:
        if name.lower() not in fold_of:
            raise DataError(
                f"{path}: in no fold_*, and '{name}' is no published name, which would tell the "
                "fold; remove it, or put the class folders into one named fold_0"
            )
        parts[fold_of[name.lower()]].append(name)
    label = CLASSES.index(path.name.upper())
    return [_Folder("train", fold, label, path, part) for fold, part in parts.items()]


def _check_folds(folders):
    seen = {}
    for folder in folders:
        place = (folder.split, folder.fold, folder.label)
        if place in seen:
            raise DataError(
                f"{folder.path}: a second copy of {seen[place]}; give the folder of one tree only"
            )
        if not folder.names:
            raise DataError(f"{folder.path}: no .bmp file in it; unpack or download it again")
        seen[place] = folder.path
    for split, fold, label in list(seen):
        if split == "train" and (split, fold, 1 - label) not in seen:
            here, other = seen[split, fold, label], CLASSES[1 - label].lower()
            there = any(p.is_dir() and p.name.lower() == other for p in here.parent.iterdir())
            cure = f"give {here.parent}" if there else "unpack or download the fold again"
            raise DataError(f"{here}: no '{other}' folder came with it; {cure}")


def _training_rows(folder):
    for name in folder.names:
        path = os.path.join(folder.path, name)
        subject, smear, cell, label = _parse(name, folder.path)
        if label != folder.label:
            raise DataError(
                f"{path}: named as {CLASSES[label]} in a folder of {CLASSES[folder.label]}; move "
                "it to its class, or run 'allm data verify'"
            )
        yield path, label, folder.fold, subject, smear, cell, "train"


def _parse(name, where):
    """Subject, smear, cell and label of a file name."""
    match = _GRAMMAR.fullmatch(name)
    if match:
        subject, smear, cell, class_name = match.groups()
        subject, label = subject.upper(), CLASSES.index(class_name.upper())
        if subject.startswith("H") == (label == 0):
            return subject, int(smear), int(cell), label
    raise DataError(
        f"{where}: '{name}' is not named UID_<n>_<smear>_<cell>_all.bmp or "
        "UID_H<n>_<smear>_<cell>_hem.bmp; rename or remove it"
    )


def _prelim_rows(folder):
    near = [p for place in (folder.path, *folder.path.parents[:2]) for p in sorted(place.iterdir())]
    found = [path for path in near if _LABELS.fullmatch(path.name) and path.is_file()]
    if not found:
        raise DataError(
            f"{folder.path}: no C-NMC_test_prelim_phase_data_labels.csv in it or beside it; "
            "put the published label file there"
        )
    labels = _read_labels(found[0])
    if odd := {name.lower() for name in folder.names} ^ set(labels):
        name = min(odd)
        lacks = "no row for image" if name not in labels else "a row, but no image, of"
        raise DataError(f"{found[0]}: {lacks} {name}; unpack or download the set again")
    for name in folder.names:
        subject, smear, cell, label = labels[name.lower()]
        yield str(folder.path / name), label, None, subject, smear, cell, "prelim"


def _final_rows(folder):
    for name in folder.names:
        yield str(folder.path / name), None, None, None, None, None, "final"


_ROWS = {"train": _training_rows, "prelim": _prelim_rows, "final": _final_rows}


def _read_labels(path):
    """Subject, smear, cell and label by image name, from the CSV of the preliminary test set."""
    try:
        columns = ["Patient_ID", "new_names"]
        table = pd.read_csv(path, dtype=str, usecols=columns, na_filter=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read ({reason(error)}); it needs the columns Patient_ID and "
            "new_names with commas between them, as the published file has"
        ) from None
    names, patients = table["new_names"].str.lower(), table["Patient_ID"]
    return {n: _parse(patient, path) for n, patient in zip(names, patients, strict=True)}


def _frame(rows):
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_INTEGERS)


@cache
def _shipped_index():
    digests = dict(line.split("\t") for line in _table("cnmc_training.tsv.xz"))
    rows = []
    for path in digests:
        fold, _, name = path.split("/")
        subject, smear, cell, label = _parse(name, path)
        rows.append((path, label, int(fold[-1]), subject, smear, cell, "train"))
    frame = _frame(sorted(rows, key=lambda row: (row[2], row[1], row[0])))
    return frame.assign(digest=frame["path"].map(digests))


def _table(name):
    packed = resources.files("allm_utils.data").joinpath(name).read_bytes()
    return lzma.decompress(packed).decode().splitlines()


def _digest(path):
    try:
        return sha256(path)[:12]
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({reason(error)}); check its rights, or download it again"
        ) from error
