"""Training, validation and test parts: the paper's way, and without a patient in two of them.

Every split is a Series on the index of its frame, with the values ``"train"``, ``"val"`` and
``"test"``, and ``"unused"`` for an image that takes no part (those of the two test sets).
"""

import hashlib
import json
import random
from importlib import resources

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from allm_utils.data import cnmc
from allm_utils.errors import ConfigError, DataError

PROTOCOLS = ("paper", "patient-disjoint", "cross-fold")
"""Ways to make a split: by image in one fold, by subject, from one fold to another."""

TESTS = ("split", "prelim")
"""What a run is tested on: a part of its folds, or the preliminary test set."""

N_PARTS = 5
"""Patient-disjoint splits of a run."""

_ATTEMPTS = 50


def paper_split(frame, seed=1337):
    """Divide every class of every fold 70/10/20 by image, as Table 1 of the paper.

    The paper does not name its tool. All 18 cells of Table 1 are ``int(0.7 n)``, ``int(0.1 n)`` and
    the rest, which is the rule of the package split-folders: sort the files of a class by name,
    shuffle them with the seed (1337 by default there too), cut. Cells of one patient, even of one
    smear, fall on both sides: see `leakage`.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `allm_utils.cnmc.index` gives; only rows with `split` ``"train"`` are divided.
    seed : int
        Of the shuffle.

    Returns
    -------
    pandas.Series of str
        ``"train"``, ``"val"`` or ``"test"`` per row of the frame.

    Raises
    ------
    DataError
        A class of a fold has fewer than 10 images, so that a part would be empty.
    """
    split = _unused(frame)
    rows = frame[frame["split"] == "train"]
    for (fold, label), part in rows.groupby(["fold", "label"]):
        n = len(part)
        if n < 10:
            raise DataError(
                f"fold_{fold}: {n} images of class {cnmc.CLASSES[label]} cannot be divided "
                "70/10/20; at least 10 are needed"
            )
        order = list(_file_names(part).sort_values(kind="stable").index)
        random.Random(seed).shuffle(order)
        n_train, n_val = int(0.7 * n), int(0.1 * n)
        split[order[:n_train]] = "train"
        split[order[n_train : n_train + n_val]] = "val"
        split[order[n_train + n_val :]] = "test"
    return split


def patient_disjoint_split(frame, n_splits=5, seed=0):
    """Divide the training images so that no patient is in two parts; cross-validated.

    The subjects, with those that share images merged (`allm_utils.cnmc.GROUPS`, or the frame's
    own column `group`), are dealt into `n_splits` groups of about equal numbers of images of each
    class. Split k tests on group k, validates on group k + 1 (after the last, the first) and
    trains on the others.

    For the published folds (each alone, 0 and 1, all three), seed 0 and 3 or 5 splits, the groups
    are frozen in the package, because scikit-learn deals them differently from one version to
    the next. Other frames are dealt by its StratifiedGroupKFold, again with a seed derived from
    `seed` until every part holds both classes.

    One part of fold 0 holds a single HEM subject, H24, with 404 of the 1130 images; every part of
    fold 1 does. Take several folds where you can.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `allm_utils.cnmc.index` gives; only rows with `split` ``"train"`` are divided.
    n_splits : int
        At least 3.
    seed : int
        Of the deal.

    Returns
    -------
    list of pandas.Series of str
        `n_splits` splits of the frame; every image is tested once.

    Raises
    ------
    ConfigError
        `n_splits` is below 3.
    DataError
        Too few subjects of a class for every part to have one.
    """
    if n_splits < 3:
        raise ConfigError(
            f"n_splits is {n_splits}: train, validation and test need 3 groups; give 3 or more"
        )
    part = _deal(frame[frame["split"] == "train"], n_splits, seed)
    splits = []
    for k in range(n_splits):
        split = _unused(frame)
        split[part.index] = "train"
        split[part.index[part == (k + 1) % n_splits]] = "val"
        split[part.index[part == k]] = "test"
        splits.append(_checked(frame, split))
    return splits


def cross_fold_split(frame, train_fold, test_fold, seed=0):
    """Train on one fold of the data set and test on the whole of another.

    The training fold is dealt into five patient-disjoint parts (three where a class has fewer than
    five subjects, as HEM in fold 1); that nearest a fifth (third) of each class is validation.
    Folds 0 and 2, and 1 and 2, share merged subjects: the images of these in the training fold are
    ``"unused"``. Folds 0 and 1 share none.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `allm_utils.cnmc.index` gives.
    train_fold, test_fold : int
        Two different folds of the frame.
    seed : int
        Of the deal into training and validation, as in `patient_disjoint_split`.

    Returns
    -------
    pandas.Series of str
        The split; images of other folds are ``"unused"``.

    Raises
    ------
    ConfigError
        Both folds are the same.
    DataError
        A fold is absent, or has too few subjects of a class.
    """
    if train_fold == test_fold:
        raise ConfigError(f"train_fold and test_fold are both {test_fold}; give two folds")
    folds = frame["fold"].where(frame["split"] == "train")
    for fold in (train_fold, test_fold):
        if not (folds == fold).any():
            raise DataError(f"fold_{fold}: not in this frame; index a tree that has it")
    train, test = frame[folds == train_fold], frame[folds == test_fold]
    kept = ~_groups(train).isin(_groups(test))
    if not kept.any():
        raise DataError(
            f"every subject of fold_{train_fold} is also in fold_{test_fold}; take other folds"
        )
    split = _unused(frame)
    split[test.index] = "test"
    split[train.index[kept]] = _train_and_val(train, kept, seed)
    return _checked(frame, split)


def prelim_split(frame, seed=0):
    """Train on the training images of the frame and test on the preliminary test set.

    Its 28 subjects have no name in common with the 73 of the training set. The training images are
    divided into training and validation as in `cross_fold_split`.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `allm_utils.cnmc.index` gives.
    seed : int
        Of the deal into training and validation, as in `patient_disjoint_split`.

    Returns
    -------
    pandas.Series of str

    Raises
    ------
    DataError
        No preliminary set in the frame, or too few subjects of a class.
    """
    train = frame[frame["split"] == "train"]
    split = _unused(frame)
    split[frame["split"] == "prelim"] = "test"
    if not (split == "test").any():
        raise DataError(
            "no preliminary test set in this tree; put C-NMC_test_prelim_phase_data and its label "
            "file beside the folds"
        )
    split[train.index] = _train_and_val(train, train["label"].notna(), seed)
    return _checked(frame, split)


def protocol_split(frame, protocol, folds, seed=1337, part=0, test="split"):
    """Split as a run does.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `allm_utils.cnmc.index` gives, with the rows of `folds` only.
    protocol : str
        One of `PROTOCOLS`: `paper_split`, one of `N_PARTS` by `patient_disjoint_split`, or
        `cross_fold_split`.
    folds : sequence of int
        For cross-fold: the training fold, then the test fold.
    seed : int
        Of the paper's shuffle. The other two protocols use the frozen deals.
    part : int
        Which of the patient-disjoint splits, from 0.
    test : str
        One of `TESTS`: with "prelim" it is `prelim_split`, for which the protocol has to be
        patient-disjoint.

    Returns
    -------
    pandas.Series of str

    Raises
    ------
    ConfigError
        `part` or `test` does not go with the protocol.
    DataError
        As those functions, and where a split that should be patient-disjoint is not.
    """
    check_protocol(protocol, part, test)
    if protocol == "paper":
        return paper_split(frame, seed)
    if test == "prelim":
        split = prelim_split(frame)
    elif protocol == "patient-disjoint":
        split = patient_disjoint_split(frame, N_PARTS)[part]
    else:
        split = cross_fold_split(frame, *folds)
    assert_patient_disjoint(frame, split)
    return split


def check_protocol(protocol, part=0, test="split"):
    """Make sure that a protocol exists, and that part and test set go with it.

    Parameters
    ----------
    protocol, part, test
        As in `protocol_split`.

    Raises
    ------
    ConfigError
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol {protocol!r}: choose one of {', '.join(PROTOCOLS)}")
    if test not in TESTS:
        raise ConfigError(f"test {test!r}: choose one of {', '.join(TESTS)}")
    if test == "prelim" and protocol != "patient-disjoint":
        raise ConfigError(
            f"test prelim with protocol {protocol}: its patients are new; "
            "give --protocol patient-disjoint"
        )
    parts = N_PARTS if protocol == "patient-disjoint" and test == "split" else 1
    if part not in range(parts):
        raise ConfigError(f"part {part}: protocol {protocol}, test {test} has 0 to {parts - 1}")


def assert_patient_disjoint(frame, split):
    """Check that no subject, merged as in `patient_disjoint_split`, is in two parts.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `allm_utils.cnmc.index` gives.
    split : pandas.Series of str
        On the index of the frame.

    Raises
    ------
    DataError
        One line that names the first such subjects and their parts.
    """
    used = frame[split != "unused"]
    parts = split[used.index].groupby(_groups(used)).unique()
    shared = parts[parts.str.len() > 1]
    if len(shared):
        named = ", ".join(f"{group} ({'+'.join(sorted(p))})" for group, p in shared[:3].items())
        raise DataError(
            f"{len(shared)} subjects are in more than one part: {named}; "
            "use patient_disjoint_split, which keeps them apart"
        )


def leakage(frame, split):
    """Share of the test images that training has met before, in three degrees.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `allm_utils.cnmc.index` gives; for the paper's protocol one fold at a time, as there a
        model is trained on one fold.
    split : pandas.Series of str
        On the index of the frame.

    Returns
    -------
    dict of float
        In [0, 1]: ``"subject"``, the same (merged) patient is in training; ``"smear"``, a cell of
        the same smear image is; ``"twin"``, a byte-identical file is (only if the frame has a
        column `digest`).
    """
    train, test = frame[split == "train"], frame[split == "test"]
    shares = {
        "subject": _groups(test).isin(_groups(train)).mean(),
        "smear": _smears(test).isin(_smears(train)).mean(),
    }
    if "digest" in frame:
        shares["twin"] = test["digest"].isin(train["digest"]).mean()
    return {name: float(share) for name, share in shares.items()}


def membership(frame):
    """Fingerprint of a part: the SHA-256 over the sorted places of its images in the data set.

    Parameters
    ----------
    frame : pandas.DataFrame
        Rows of one part, of `allm_utils.cnmc.index` or `allm_utils.cnmc.shipped_index`: both give
        the same fingerprint, wherever the tree stands.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    folds = frame["fold"].astype("string").fillna("")
    places = sorted(frame["split"] + folds + "/" + _file_names(frame))
    return hashlib.sha256("\n".join(places).encode()).hexdigest()


def _file_names(frame):
    return frame["path"].str.replace("\\", "/").str.rsplit("/", n=1).str[-1]


def _unused(frame):
    return pd.Series("unused", index=frame.index, name="split")


def _groups(frame):
    return frame["group"] if "group" in frame else cnmc.merged_subject(frame["subject"])


def _smears(frame):
    return pd.MultiIndex.from_frame(frame[["subject", "smear"]])


def _n_groups(frame):
    """Number of merged subjects per label, 0 and 1."""
    return _groups(frame).groupby(frame["label"]).nunique().reindex([0, 1], fill_value=0)


def _train_and_val(frame, kept, seed):
    """Part "train" or "val" of the kept rows: whole subjects, nearest a fifth (or third) of them.

    Five parts are dealt, or three where a class has fewer than five subjects.
    """
    n_parts = 5 if _n_groups(frame).min() >= 5 else 3
    part = _deal(frame, n_parts, seed)[kept]
    images = pd.crosstab(part, frame["label"][kept])
    val = ((n_parts * images / images.sum() - 1) ** 2).sum(axis=1).idxmin()
    return np.where(part == val, "val", "train")


def _deal(frame, n_parts, seed):
    """Number of the part, 0 to `n_parts` - 1, of every row; subjects whole, classes balanced."""
    for label, n_groups in _n_groups(frame).items():
        if n_groups < n_parts:
            raise DataError(
                f"{n_groups} subjects of class {cnmc.CLASSES[label]} cannot fill {n_parts} parts; "
                "take fewer splits or more folds"
            )
    frozen = _frozen(frame, n_parts) if seed == 0 else None
    if frozen is not None:
        return frozen
    groups = _groups(frame)
    for attempt in range(_ATTEMPTS):
        part = _stratified(frame, groups, n_parts, [seed, attempt])
        if _both_classes(frame["label"], part, n_parts):
            return part
    raise DataError(
        f"{groups.nunique()} subjects cannot be dealt into {n_parts} parts with both classes in "
        "each; take fewer splits or more folds"
    )


def _stratified(frame, groups, n_parts, seed):
    """Deal by StratifiedGroupKFold, on a random half of the images.

    The dealer is greedy and leaves only ties to chance; the half makes the deal depend on the seed.
    """
    rng = np.random.default_rng(seed)
    drawn = (rng.random(len(frame)) < 0.5) | ~groups.duplicated()
    labels, half = frame["label"][drawn].to_numpy(int), groups[drawn]
    part_of = {}
    for part, (_, rows) in enumerate(StratifiedGroupKFold(n_parts).split(labels, labels, half)):
        part_of |= dict.fromkeys(half.iloc[rows], part)
    return groups.map(part_of)


def _both_classes(labels, part, n_parts):
    return len(set(zip(part, labels, strict=True))) == 2 * n_parts


def _frozen(frame, n_parts):
    """The frozen deal of a set of published folds, if the frame is one; else None."""
    published = cnmc.shipped_index()
    published = published[published["fold"].isin(frame["fold"])]
    count = ["fold", "subject"]
    if (
        not frame.value_counts(count)
        .sort_index()
        .equals(published.value_counts(count).sort_index())
    ):
        return None
    table = json.loads(
        resources.files("allm_utils").joinpath("data/subject_folds.json").read_text("utf-8")
    )
    folds = "+".join(str(fold) for fold in sorted(frame["fold"].unique()))
    parts = table["parts"].get(folds, {}).get(str(n_parts))
    if parts is None:
        return None
    part_of = {subject: k for k, subjects in enumerate(parts) for subject in subjects}
    part = frame["subject"].map(part_of)
    whole = part.groupby(_groups(frame)).nunique().max() == 1
    return part if whole else None


def _checked(frame, split):
    """The split, if its three parts share no subject and hold both classes each."""
    for name in ("train", "val", "test"):
        labels = frame["label"][split == name]
        for label, class_name in enumerate(cnmc.CLASSES):
            if not (labels == label).any():
                raise DataError(
                    f"no image of class {class_name} is left for '{name}'; "
                    "take fewer splits or more folds"
                )
    assert_patient_disjoint(frame, split)
    return split
