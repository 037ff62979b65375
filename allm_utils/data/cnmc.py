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

import hashlib
import lzma
import os
import re
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from tqdm.auto import tqdm

from allm_utils.errors import DataError
from allm_utils.files import walk

CLASSES = ("HEM", "ALL")
"""Class names by label: 0 is HEM (healthy), 1 is ALL (leukemia, the positive class)."""

KAGGLE_HANDLE = "andrewmvd/leukemia-classification"

_GRAMMAR = re.compile(r"UID_(H?\d{1,9})_(\d{1,9})_(\d{1,9})_(all|hem)\.bmp", re.IGNORECASE)
_FOLD = re.compile(r"fold_(\d+)", re.IGNORECASE)
_TEST_SET = re.compile(r"test_(prelim|final)_phase", re.IGNORECASE)
_LABELS = re.compile(r"[^.].*prelim.*labels.*\.csv", re.IGNORECASE)
_COLUMNS = ("path", "label", "fold", "subject", "smear", "cell", "split")
_INTEGERS = {"label": "Int8", "fold": "Int8", "smear": "Int64", "cell": "Int64"}


class _Folder(NamedTuple):
    """One folder of images: its place in the data set, and the BMP files in it."""

    split: str
    fold: int | None
    label: int | None
    path: Path
    names: list[str]


def index(root):
    """Index a C-NMC tree in any of its published layouts, without opening an image.

    Parameters
    ----------
    root : path-like
        A folder at any level above the folds, or a fold itself.

    Returns
    -------
    pandas.DataFrame
        One row per image, sorted by split, fold, label and file name: `path` (absolute), `label`
        (0 HEM, 1 ALL, missing in the final test set), `fold` (missing in the test sets),
        `subject` (``"11"``, ``"H11"``), `smear`, `cell`, `split` (``"train"``, ``"prelim"``,
        ``"final"``).

    Raises
    ------
    DataError
        No tree there, a class folder empty or absent, a folder twice, a file name outside the
        grammar, or a label file that does not match its images.
    """
    folders = _locate(root)
    _check_folds(folders)
    rows = []
    for folder in folders:
        if folder.split == "train":
            rows += _training_rows(folder)
        elif folder.split == "prelim":
            rows += _prelim_rows(folder)
        else:
            rows += [
                (str(folder.path / name), None, None, None, None, None, "final")
                for name in folder.names
            ]
    return _frame(rows)


def shipped_index():
    """Index of the 10,661 training files as published, from a table in the package.

    Returns
    -------
    pandas.DataFrame
        The columns of `index`, `path` being relative (``fold_0/all/UID_1_1_1_all.bmp``), and
        `digest`: the first 12 hexadecimal digits of the file's SHA-256.
    """
    table = resources.files("allm_utils").joinpath("data/cnmc_training.tsv.xz").read_bytes()
    digests = dict(line.split("\t") for line in lzma.decompress(table).decode().splitlines())
    names = defaultdict(list)
    for path in digests:
        fold, class_name, name = path.split("/")
        names[fold, class_name].append(name)
    rows = []
    for fold in ("fold_0", "fold_1", "fold_2"):
        for label, class_name in enumerate(("hem", "all")):
            folder = Path(fold, class_name)
            files = sorted(names[fold, class_name])
            rows += _training_rows(_Folder("train", int(fold[-1]), label, folder, files))
    frame = _frame(rows)
    frame["path"] = frame["path"].str.replace(os.sep, "/")
    return frame.assign(digest=frame["path"].map(digests))


def shipped_prelim():
    """Index of the 1,867 images of the preliminary test set, from their published labels.

    Returns
    -------
    pandas.DataFrame
        The columns of `index`, `path` being the name (``1.bmp``), in the order of `index`.
    """
    table = resources.files("allm_utils").joinpath("data/cnmc_prelim.txt.xz").read_bytes()
    rows = {}
    for number, patient in enumerate(lzma.decompress(table).decode().splitlines(), start=1):
        subject, smear, cell, label = _parse(patient, "cnmc_prelim.txt.xz")
        name = f"{number}.bmp"
        rows[name] = (name, label, None, subject, smear, cell, "prelim")
    return _frame([rows[name] for name in sorted(rows)])


def merged_subject(subject):
    from allm_utils.data import people

    return people.person(subject)


def file_names(frame: pd.DataFrame) -> pd.Series:
    """File name of each row, without its folders."""
    return frame["path"].str.replace("\\", "/").str.rsplit("/", n=1).str[-1]


def summary(frame):
    """Images and subjects per fold and class, with totals.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `index` or `shipped_index` gives.

    Returns
    -------
    pandas.DataFrame of Int64
        Rows ``fold 0`` ..., ``training``, and ``prelim`` and ``final`` where present. Columns
        ``ALL images``, ``HEM images``, ``images``, ``ALL subjects``, ``HEM subjects``,
        ``subjects``; missing where the labels are not published.
    """
    train = frame[frame["split"] == "train"]
    parts = {f"fold {fold}": part for fold, part in train.groupby("fold")}
    if len(train):
        parts["training"] = train
    parts |= {
        name: frame[frame["split"] == name]
        for name in ("prelim", "final")
        if (frame["split"] == name).any()
    }
    return pd.DataFrame({name: _counts(part) for name, part in parts.items()}, dtype="Int64").T


@dataclass(frozen=True)
class Verification:
    """What `verify` found. Paths are relative to the tree, those of missing files to its folds.

    Attributes
    ----------
    n_checked : int
        Files hashed.
    missing : tuple of str
        Published files that a fold of the tree lacks.
    altered : tuple of str
        Files whose bytes are not the published ones.
    unknown : tuple of str
        Files that were never published.
    duplicated : tuple of tuple of str
        Files with the same bytes, where the published ones differ.
    known_duplicates : tuple of tuple of str
        Files with the same bytes, as published (104 pairs in the whole training set).
    absent_folds : tuple of int
        Published folds of which the tree has nothing.
    """

    n_checked: int
    missing: tuple
    altered: tuple
    unknown: tuple
    duplicated: tuple
    known_duplicates: tuple
    absent_folds: tuple

    @property
    def ok(self):
        """Whether every fold of the tree is, file by file, the published one."""
        return not (self.missing or self.altered or self.unknown or self.duplicated)

    def __str__(self):
        lines = [
            *(f"missing: {path}" for path in self.missing),
            *(f"altered: {path}" for path in self.altered),
            *(f"unknown: {path}" for path in self.unknown),
            *(f"duplicated: {' = '.join(paths)}" for paths in self.duplicated),
            *(f"absent: fold_{fold} (not checked)" for fold in self.absent_folds),
            f"{self.n_checked} files checked: {len(self.missing)} missing, "
            f"{len(self.altered)} altered, {len(self.unknown)} unknown, "
            f"{len(self.duplicated)} duplicated ({len(self.known_duplicates)} more as published)",
        ]
        return "\n".join(lines)


def verify(root, *, folds=None, progress=True):
    """Compare the training files of a tree with the published ones, byte for byte.

    Parameters
    ----------
    root : path-like
        As for `index`.
    folds : sequence of int, optional
        Folds that must be there. By default those that are: a tree of one fold can be verified.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Verification

    Raises
    ------
    DataError
        No training fold there, or a file that cannot be read.
    """
    root = Path(os.path.abspath(root))
    folders = [folder for folder in _locate(root) if folder.split == "train"]
    if not folders:
        raise DataError(f"{root}: no training fold here to verify; {_CURE}")
    present = {folder.fold for folder in folders}
    required = present if folds is None else set(folds)

    published = shipped_index()
    published["key"] = published["path"].str.lower()
    digest_of = dict(zip(published["key"], published["digest"], strict=True))
    twins_of = published.groupby("digest")["key"].agg(frozenset).to_dict()

    keys, paths = [], []
    for folder in folders:
        for name in folder.names:
            keys.append(f"fold_{folder.fold}/{CLASSES[folder.label]}/{name}".lower())
            paths.append(folder.path / name)
    with ThreadPoolExecutor() as pool:
        hashed = pool.map(_digest, paths)
        digests = list(tqdm(hashed, "Hashing", len(paths), unit="file", disable=not progress))

    shown = [path.relative_to(root).as_posix() for path in paths]
    files = pd.DataFrame({"key": keys, "path": shown, "digest": digests})
    expected = files["key"].map(digest_of)
    missing = published["fold"].isin(required) & ~published["key"].isin(keys)
    known, duplicated = [], []
    for digest, twins in files[files.duplicated("digest", keep=False)].groupby("digest"):
        as_published = twins["key"].is_unique and twins_of.get(digest, set()) >= set(twins["key"])
        (known if as_published else duplicated).append(tuple(twins["path"]))
    return Verification(
        n_checked=len(files),
        missing=tuple(published.loc[missing, "path"]),
        altered=tuple(files.loc[expected.notna() & (expected != files["digest"]), "path"]),
        unknown=tuple(files.loc[expected.isna(), "path"]),
        duplicated=tuple(duplicated),
        known_duplicates=tuple(known),
        absent_folds=tuple(sorted(set(published["fold"]) - present - required)),
    )


def download(dest):
    """Download C-NMC 2019 (10.4 GB, with both test sets) from Kaggle; no login is needed.

    Parameters
    ----------
    dest : path-like
        Folder to put it in; made if absent.

    Returns
    -------
    pathlib.Path
        Root to give to `index`.

    Raises
    ------
    DataError
        kagglehub is not installed, Kaggle cannot be reached, or `dest` cannot hold the files.
    """
    try:
        import kagglehub
    except ImportError:
        raise DataError(
            "kagglehub is not installed: run 'pip install kagglehub' to download C-NMC 2019"
        ) from None
    try:
        Path(dest).mkdir(parents=True, exist_ok=True)
        return Path(kagglehub.dataset_download(KAGGLE_HANDLE, output_dir=str(dest)))
    except FileExistsError:
        raise DataError(
            f"{dest}: holds files but no finished download; empty it, or give another folder"
        ) from None
    except Exception as error:  # kagglehub lets through its own errors, requests' and the system's
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{dest}: cannot download {KAGGLE_HANDLE} ({reason}); check the connection and the "
            "space on the disk, or fetch it by hand from kaggle.com/datasets/" + KAGGLE_HANDLE
        ) from error


_CURE = (
    "give the folder that holds fold_0, fold_1 and fold_2, or write the sample with "
    "'allm data sample'"
)


def _locate(root):
    """Image folders of the tree, in the order of the index; their completeness is not judged."""
    root = Path(os.path.abspath(root))
    if not root.exists():
        raise DataError(f"{root}: no such folder; {_CURE}")
    if not root.is_dir():
        raise DataError(f"{root}: not a folder; {_CURE}")
    folders = []
    for path, names in walk(root, (".bmp",)):
        fold = _FOLD.fullmatch(path.parent.name)
        test_set = _TEST_SET.search(path.name)
        if fold and path.name.upper() in CLASSES:
            label = CLASSES.index(path.name.upper())
            folders.append(_Folder("train", int(fold[1]), label, path, names))
        elif _FOLD.fullmatch(path.name) and not any(
            _FOLD.fullmatch(child.name) or child.name.upper() in CLASSES for child in path.iterdir()
        ):
            raise DataError(f"{path}: neither an 'all' nor a 'hem' folder in it; {_CURE}")
        elif test_set and names:
            folders.append(_Folder(test_set[1].lower(), None, None, path, names))
    if not folders:
        raise DataError(f"{root}: no C-NMC images here (fold_*/all, fold_*/hem); {_CURE}")
    order = ("train", "prelim", "final")
    return sorted(folders, key=lambda f: (order.index(f.split), f.fold or 0, f.label or 0, f.path))


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
            other = CLASSES[1 - label].lower()
            raise DataError(
                f"{seen[split, fold, label].parent}: no '{other}' folder beside "
                f"'{seen[split, fold, label].name}'; unpack or download the fold again"
            )


def _training_rows(folder):
    prefix = os.path.join(folder.path, "")
    class_name = CLASSES[folder.label]
    rows = []
    for name in folder.names:
        subject, smear, cell, label = _parse(name, folder.path)
        if label != folder.label:
            raise DataError(
                f"{prefix}{name}: named as {CLASSES[label]} in a folder of {class_name}; move it "
                "to its class, or run 'allm data verify'"
            )
        rows.append((prefix + name, label, folder.fold, subject, smear, cell, "train"))
    return rows


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
    near = (folder.path, *folder.path.parents[:2])
    found = [p for place in near for p in sorted(place.iterdir()) if _LABELS.fullmatch(p.name)]
    if not found:
        raise DataError(
            f"{folder.path}: no C-NMC_test_prelim_phase_data_labels.csv in it or beside it; "
            "put the published label file there"
        )
    table = _read_labels(found[0])
    known = {name.lower() for name in folder.names}
    for name in table:
        if name not in known:
            raise DataError(
                f"{folder.path}: no image {name}, which {found[0].name} lists; "
                "unpack or download the folder again"
            )
    rows = []
    for name in folder.names:
        if name.lower() not in table:
            raise DataError(
                f"{found[0]}: no row for image {name}; download the label file again, or remove "
                "the image"
            )
        subject, smear, cell, label = table[name.lower()]
        rows.append((str(folder.path / name), label, None, subject, smear, cell, "prelim"))
    return rows


def _read_labels(path):
    """Subject, smear, cell and label by image name, from the CSV of the preliminary test set."""
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read ({reason}); download it again") from error
    columns = ("Patient_ID", "new_names", "labels")
    if not set(columns) <= set(table.columns):
        raise DataError(f"{path}: lacks the columns {', '.join(columns)}; download it again")
    labels = {}
    for patient, name, label in table[list(columns)].itertuples(index=False):
        row = _parse(str(patient), path)
        if str(label) != str(row[3]):
            raise DataError(f"{path}: {name} has label {label} but is {patient}; correct the row")
        if str(name).lower() in labels:
            raise DataError(f"{path}: two rows for image {name}; remove one")
        labels[str(name).lower()] = row
    return labels


def _frame(rows):
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_INTEGERS)


def _counts(part):
    counts = {}
    for name, label in (("ALL", 1), ("HEM", 0)):
        of_class = part[part["label"] == label]
        counts[f"{name} images"] = len(of_class)
        counts[f"{name} subjects"] = of_class["subject"].nunique()
    counts |= {"images": len(part), "subjects": part["subject"].nunique()}
    if part["label"].isna().any():
        counts = {"images": len(part)}
    columns = ("ALL images", "HEM images", "images", "ALL subjects", "HEM subjects", "subjects")
    return pd.Series({column: counts.get(column, pd.NA) for column in columns}, dtype="Int64")


def _digest(path):
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); check its rights, or download it again"
        ) from error
