"""Training, validation and test parts: the paper's way, and without a person in two of them.

A frame is as `allm_utils.data.cnmc.index` gives it. A split is a Series on its index with the
values ``"train"``, ``"val"``, ``"test"``, and ``"unused"`` for an image that takes no part: those
of other folds and of the test sets, those of people who would be in two parts, and those from
outside (a column `outside`, see `allm_utils.data.sample`).
"""

import hashlib
import json
import random
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from allm_utils.data import cnmc
from allm_utils.data.leaks import in_two_parts
from allm_utils.data.people import person
from allm_utils.errors import ConfigError, DataError, check_choice

PARTS = ("train", "val", "test")

# ways to make a split: by image in each fold, by people, from one fold to another
_PROTOCOLS = ("paper", "patient-disjoint", "cross-fold")
# what a run is tested on: a part of its folds, or the preliminary test set
_TESTS = ("split", "prelim")
N_ROUNDS = 5
"""Patient-disjoint splits of a run; together they test every image once."""

_ATTEMPTS = 50


def paper_split(frame: pd.DataFrame, seed: int = 1337) -> pd.Series:
    """Divide every class of every fold 70/10/20 by image, as Table 1 of the paper.

    The paper does not name its tool. All 18 cells of Table 1 are ``int(0.7 n)``, ``int(0.1 n)`` and
    the rest, which is the rule of the package split-folders: sort the files of a class by name,
    shuffle them with the seed (1337 by default there too), cut. Cells of one person, even of one
    smear, fall on both sides: see `leakage`.
    """
    split = _unused(frame)
    for (fold, label), rows in _training(frame).groupby(["fold", "label"]):
        n = len(rows)
        if n < 10:
            raise DataError(
                f"fold_{fold}: {n} images of class {cnmc.CLASSES[label]} cannot be divided "
                "70/10/20; at least 10 are needed"
            )
        order = list(cnmc.file_names(rows).sort_values(kind="stable").index)
        random.Random(seed).shuffle(order)
        n_train, n_val = int(0.7 * n), int(0.1 * n)
        split[order] = np.repeat(PARTS, (n_train, n_val, n - n_train - n_val))
    return split


def patient_disjoint_split(
    frame: pd.DataFrame, n_splits: int = N_ROUNDS, seed: int = 0
) -> list[pd.Series]:
    """Divide the training images so that no person is in two parts; cross-validated.

    The people are dealt into `n_splits` groups of about equal numbers of images of each class.
    Round k tests on group k, validates on group k + 1 (after the last, the first) and trains on
    the others. For the published folds (each alone, 0 and 1, all three), seed 0 and 3 or 5 splits,
    the deals are frozen in the package, because scikit-learn deals differently from one version to
    the next. Other frames are dealt by its StratifiedGroupKFold with the seed, until every part
    holds both classes; a DataError where too few people of a class are there.
    """
    if n_splits < 3:
        raise ConfigError(
            f"n_splits is {n_splits}: train, validation and test need 3 groups; give 3 or more"
        )
    group = _deal(_training(frame), n_splits, seed)
    return [_round(frame, group, k, n_splits) for k in range(n_splits)]


def cross_fold_split(frame: pd.DataFrame, train_fold: int, test_fold: int) -> pd.Series:
    """Train on one fold of the data set and test on the whole of another.

    Where the folds share people, those are left out of training: see `dropped`. The rest of the
    training fold is dealt by people into five groups (three where a class has fewer
    than five people); that nearest a fifth (third) of each class is validation.
    """
    if train_fold == test_fold:
        raise ConfigError(f"train_fold and test_fold are both {test_fold}; give two folds")
    rows = _training(frame)
    for fold in (train_fold, test_fold):
        if not (rows["fold"] == fold).any():
            raise DataError(f"fold_{fold}: not in this frame; index a tree that has it")
    train, test = rows[rows["fold"] == train_fold], rows[rows["fold"] == test_fold]
    kept = ~person(train["subject"]).isin(_people(test))
    if not kept.any():
        raise DataError(
            f"everybody in fold_{train_fold} is also in fold_{test_fold}; take other folds"
        )
    split = _unused(frame)
    split[test.index] = "test"
    split[train.index[kept]] = _train_and_val(train, kept)
    return _checked(frame, split)


def prelim_split(frame: pd.DataFrame) -> pd.Series:
    """Train on the training images of the frame and test on the preliminary test set.

    Its subjects have no name in common with the training set, but 55 is 51 of fold 1: who is in
    training is left out of the test, see `dropped`. Validation is as in `cross_fold_split`.
    """
    train, test = _training(frame), frame[frame["split"] == "prelim"]
    if test.empty:
        raise DataError(
            "no preliminary test set in this tree; put C-NMC_test_prelim_phase_data and its label "
            "file beside the folds"
        )
    split = _unused(frame)
    split[test.index[~person(test["subject"]).isin(_people(train))]] = "test"
    split[train.index] = _train_and_val(train, train["label"].notna())
    return _checked(frame, split)


def dropped(frame: pd.DataFrame, split: pd.Series) -> pd.Series:
    """Count, by person, the images that a split leaves out because the person is in another part.

    These are the shared people of `cross_fold_split`, out of training, and subject 55 of
    `prelim_split`, out of the test.
    """
    who = person(frame["subject"])
    met = who.isin(who[split != "unused"].unique())
    asked = frame["fold"].isin(frame["fold"][split == "train"]) | (frame["split"] == "prelim")
    return who[(split == "unused") & met & asked].value_counts()


def protocol_split(
    frame: pd.DataFrame,
    protocol: str,
    folds: Sequence[int],
    seed: int = 1337,
    round: int = 0,
    test: str = "split",
    also_train: Sequence[int] = (),
) -> pd.Series:
    """Split a frame, which holds the rows of `folds` and `also_train` only, as a run does.

    By `protocol` and `test`, as a run's configuration names them: `paper_split` with the seed, one
    round of `patient_disjoint_split`, `cross_fold_split` (from the first fold to the second) or
    `prelim_split`; the last three use the frozen deals. Where 2 is one of the folds, the cells from
    outside are asked for by name, and take part. People of `also_train` are in training, but for
    those who are in the rest of the frame: these rows are unused.
    """
    check_protocol(protocol, round, test)
    if also_train:
        more = frame["fold"].isin(also_train).fillna(False)
        rest = frame[~more]
        split = protocol_split(rest, protocol, folds, seed, round, test).reindex(frame.index)
        new = ~person(frame["subject"]).isin(_people(rest))
        return split.fillna(new.map({True: "train", False: "unused"}))
    if "outside" in frame and 2 in folds:
        frame = frame.drop(columns="outside")
    if protocol == "paper":
        return paper_split(frame, seed)
    if test == "prelim":
        return prelim_split(frame)
    if protocol == "patient-disjoint":
        return _round(frame, _deal(_training(frame), N_ROUNDS, 0), round, N_ROUNDS)
    return cross_fold_split(frame, *folds)


def check_protocol(protocol: str, round: int = 0, test: str = "split") -> None:
    """Raise ConfigError unless protocol, round and test go together, as in `protocol_split`."""
    check_choice("protocol", protocol, _PROTOCOLS)
    check_choice("test", test, _TESTS)
    if test == "prelim" and protocol != "patient-disjoint":
        raise ConfigError(
            f"test prelim with protocol {protocol}: its people are new; "
            "give --protocol patient-disjoint"
        )
    rounds = N_ROUNDS if protocol == "patient-disjoint" and test == "split" else 1
    if round not in range(rounds):
        raise ConfigError(f"round {round}: protocol {protocol}, test {test} has 0 to {rounds - 1}")


def assert_patient_disjoint(frame: pd.DataFrame, split: pd.Series) -> None:
    """Raise DataError, naming the first of them, where a person is in two parts."""
    shared = in_two_parts(person(frame["subject"]), split)["parts"]
    if len(shared):
        named = ", ".join(f"{name} ({parts})" for name, parts in shared[:3].items())
        raise DataError(
            f"{len(shared)} people are in more than one part: {named}; "
            "use patient_disjoint_split, which keeps them apart"
        )


def leakage(frame: pd.DataFrame, split: pd.Series) -> dict[str, float]:
    """Share of the test images that training has met before, in three degrees.

    ``"person"``, the same person is in training; ``"smear"``, a cell of the same smear image is;
    ``"twin"``, a byte-identical file is (only if the frame has a column `digest`).
    """
    degrees = {
        "person": person(frame["subject"]),
        "smear": frame["subject"] + frame["smear"].map("_{}".format),
    }
    if "digest" in frame:
        degrees["twin"] = frame["digest"]
    train, test = split == "train", split == "test"
    return {name: float(key[test].isin(key[train]).mean()) for name, key in degrees.items()}


def part_of(frame: pd.DataFrame) -> dict[str, Any]:
    """Count a part, and name its subjects and `membership`, as a record does."""
    return {
        "n": len(frame),
        "n_hem": int((frame["label"] == 0).sum()),
        "n_all": int((frame["label"] == 1).sum()),
        "subjects": sorted(frame["subject"].unique()),
        "sha256": membership(places(frame)),
    }


def places(frame: pd.DataFrame) -> pd.Series:
    """Place of each image in the data set, wherever the tree stands; also of `shipped_index`."""
    folds = frame["fold"].astype("string").fillna("")
    return frame["split"] + folds + "/" + cnmc.file_names(frame)


def membership(places: pd.Series) -> str:
    """Fingerprint of a part: the SHA-256 over the sorted `places` of its images."""
    return hashlib.sha256("\n".join(sorted(places.tolist())).encode()).hexdigest()


def _round(frame, group, k, n_splits):
    split = _unused(frame)
    turn = (group - k) % n_splits
    split[group.index] = np.select([turn == 0, turn == 1], ["test", "val"], "train")
    return _checked(frame, split)


def _unused(frame):
    return pd.Series("unused", index=frame.index, name="split")


def _training(frame):
    """Rows that may be divided: the training images, without those from outside."""
    rows = frame["split"] == "train"
    return frame[rows & ~frame["outside"] if "outside" in frame else rows]


def _people(frame):
    return person(frame["subject"]).unique()


def _n_people(frame):
    """Number of people per label, 0 and 1."""
    people = person(frame["subject"]).groupby(frame["label"])
    return people.nunique().reindex([0, 1], fill_value=0)


def _train_and_val(frame, kept):
    """Part of the kept rows, the group nearest its share of each class being "val"."""
    n_parts = 5 if _n_people(frame).min() >= 5 else 3
    part = _deal(frame, n_parts, 0)[kept]
    images = pd.crosstab(part, frame["label"][kept])
    val = ((n_parts * images / images.sum() - 1) ** 2).sum(axis=1).idxmin()
    return np.where(part == val, "val", "train")


def _deal(frame, n_parts, seed):
    """Number of the part, 0 to `n_parts` - 1, of every row; people whole, classes balanced."""
    if seed == 0 and (frozen := _frozen(frame, n_parts)) is not None:
        return frozen
    n_people = _n_people(frame)
    if n_people.min() < n_parts:
        raise DataError(
            f"{n_people.min()} people of class {cnmc.CLASSES[n_people.idxmin()]} cannot fill "
            f"{n_parts} parts; take fewer splits or more folds"
        )
    for attempt in range(_ATTEMPTS):
        part = _stratified(frame, n_parts, [seed, attempt])
        if len(set(zip(part, frame["label"], strict=True))) == 2 * n_parts:
            return part
    raise DataError(
        f"{n_people.sum()} people cannot be dealt into {n_parts} parts with both classes in each; "
        "take fewer splits or more folds"
    )


def _stratified(frame, n_parts, seed):
    """Deal by StratifiedGroupKFold, on a random half of the images.

    The dealer is greedy and leaves only ties to chance; the half makes the deal depend on the seed.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second

    people = person(frame["subject"])
    rng = np.random.default_rng(seed)
    drawn = (rng.random(len(frame)) < 0.5) | ~people.duplicated()
    labels, half = frame["label"][drawn].to_numpy(int), people[drawn]
    part_of = {}
    for part, (_, rows) in enumerate(StratifiedGroupKFold(n_parts).split(labels, labels, half)):
        part_of |= dict.fromkeys(half.iloc[rows], part)
    return people.map(part_of)


def _frozen(frame, n_parts):
    """The frozen deal of a set of published folds, if the frame is one; else None."""
    part_of, whole = _published_deal(tuple(sorted(frame["fold"].unique())), n_parts)
    if not part_of or not frame.groupby(["fold", "subject"]).size().equals(whole):
        return None
    return frame["subject"].map(part_of)


@cache
def _published_deal(folds, n_parts):
    """The part of each subject in a frozen deal, if there is one, and how many images they have."""
    table = resources.files("allm_utils.data").joinpath("subject_folds.json").read_text("utf-8")
    parts = json.loads(table)["parts"].get("+".join(map(str, folds)), {}).get(str(n_parts), [])
    part_of = {name: k for k, names in enumerate(parts) for name in names}
    published = cnmc.shipped_index().query("fold in @folds")
    return part_of, published.groupby(["fold", "subject"]).size()


def _checked(frame, split):
    """The split, if its three parts hold both classes each and share no person."""
    for name in PARTS:
        for label in {0, 1} - set(frame["label"][split == name].unique()):
            raise DataError(
                f"no image of class {cnmc.CLASSES[label]} is left for '{name}'; take fewer splits "
                "or more folds"
            )
    assert_patient_disjoint(frame, split)
    return split
