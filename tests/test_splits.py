"""Splits of the published index, which needs no images, and of small made frames."""

import json
import random
from importlib import resources

import numpy as np
import pandas as pd
import pytest
import sklearn

from allm_utils.data import cnmc, people, splits
from allm_utils.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def published():
    return cnmc.shipped_index()


@pytest.fixture(scope="module")
def with_prelim(published):
    return pd.concat([published, cnmc.shipped_prelim()], ignore_index=True)


def folds(frame, *wanted):
    return frame[frame["fold"].isin(wanted)]


def made(images, fold=0):
    """A frame of the given number of images per subject."""
    rows = [(subject, cell) for subject, n in images.items() for cell in range(n)]
    frame = pd.DataFrame(rows, columns=["subject", "cell"])
    kind = np.where(frame["subject"].str.startswith("H"), "hem", "all")
    frame = frame.assign(label=(kind == "all").astype(int), fold=fold, smear=frame["cell"] // 4)
    names = frame[["subject", "smear", "cell"]].astype(str).agg("_".join, axis=1)
    return frame.assign(path="UID_" + names + "_" + kind + ".bmp", split="train")


@pytest.fixture
def small():
    rng = random.Random(0)
    subjects = [f"{prefix}{n}" for prefix in ("", "H") for n in range(100, 108)]
    return made({subject: rng.randint(5, 40) for subject in subjects})


def is_whole(frame, split):
    """Both classes in every part, nobody in two."""
    splits.assert_patient_disjoint(frame, split)
    return all(set(frame["label"][split == part]) == {0, 1} for part in splits.PARTS)


# -- the paper's ------------------------------------------------------------------------------


def test_paper_split_is_that_of_split_folders(published):
    """Sort the names, seed, shuffle, cut; written out as split-folders 0.6 does it."""
    split = splits.paper_split(published)
    for (_, _), rows in published.groupby(["fold", "label"]):
        files = sorted(rows["path"])
        random.seed(1337)
        random.shuffle(files)
        n_train = int(0.7 * len(files))
        n_val = n_train + int(0.1 * len(files))
        of = dict(zip(rows["path"], split[rows.index], strict=True))
        assert {of[file] for file in files[:n_train]} == {"train"}
        assert {of[file] for file in files[n_train:n_val]} == {"val"}
        assert {of[file] for file in files[n_val:]} == {"test"}


def test_paper_split_depends_on_the_seed_not_on_order_place_or_company(published):
    split = splits.paper_split(published)
    shuffled = published.sample(frac=1, random_state=0)
    pd.testing.assert_series_equal(splits.paper_split(shuffled).sort_index(), split)
    moved = published.assign(path="C:\\data\\" + published["path"].str.replace("/", "\\"))
    pd.testing.assert_series_equal(splits.paper_split(moved), split)
    one = folds(published, 1)
    pd.testing.assert_series_equal(splits.paper_split(one), split[one.index])
    two = folds(published, 0, 1)  # several folds: each by itself
    found = splits.protocol_split(two, "paper", (0, 1))
    pd.testing.assert_series_equal(found, split[two.index])
    assert (splits.paper_split(one, seed=1) != split[one.index]).any()


def test_paper_split_of_too_few_images():
    with pytest.raises(DataError, match=r"fold_0: 9 images of class HEM .* at least 10"):
        splits.paper_split(made({"1": 20, "H1": 9}))


# -- by people --------------------------------------------------------------------------------


def frozen_deals():
    text = resources.files("allm_utils.data").joinpath("subject_folds.json").read_text("utf-8")
    table = json.loads(text)
    return [
        (names, int(n), subjects, table["seed"][names][n])
        for names, of_n in table["parts"].items()
        for n, subjects in of_n.items()
    ]


@pytest.mark.parametrize(("names", "n", "subjects", "seed"), frozen_deals())
def test_the_deals_of_the_published_folds_are_frozen(
    published, monkeypatch, names, n, subjects, seed
):
    frame = folds(published, *map(int, names.split("+")))
    with monkeypatch.context() as patch:  # the table decides, not scikit-learn
        patch.delattr(splits, "_stratified")
        rounds = splits.patient_disjoint_split(frame, n)
    assert len(rounds) == n
    for k, split in enumerate(rounds):
        assert set(frame["subject"][split == "test"]) == set(subjects[k])
        assert set(frame["subject"][split == "val"]) == set(subjects[(k + 1) % n])
        assert is_whole(frame, split)
        assert splits.leakage(frame, split) == {"person": 0, "smear": 0, "twin": 0}
    tested = sum((split == "test").astype(int) for split in rounds)
    assert (tested == 1).all()
    if sklearn.__version__.startswith("1.9."):
        dealt = splits._stratified(frame, n, [seed, 0])
        assert [set(frame["subject"][dealt == k]) for k in range(n)] == [set(s) for s in subjects]


def test_frozen_for_what_we_use_and_only_for_whole_folds(published):
    frozen = {(names, n) for names, n, *_ in frozen_deals()}
    assert frozen >= {("1", 3), *((f, n) for f in ("0", "0+1", "0+1+2") for n in (3, 5))}
    fold = folds(published, 0)
    assert splits._frozen(fold, 5) is not None
    assert splits._frozen(fold.iloc[1:], 5) is None
    assert splits._frozen(fold, 4) is None


def test_other_seeds_deal_other_parts(published):
    fold = folds(published, 0)
    deals = [splits.patient_disjoint_split(fold, 3, seed=seed) for seed in range(4)]
    tests = {frozenset(frozenset(fold["subject"][s == "test"]) for s in deal) for deal in deals}
    assert len(tests) == 4
    again = splits.patient_disjoint_split(fold, 3, seed=3)
    assert all((a == b).all() for a, b in zip(again, deals[3], strict=True))


@pytest.mark.parametrize("n_splits", [3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_patient_disjoint_split_of_another_tree(small, n_splits, seed):
    prelim = small.tail(5).assign(split="prelim", subject="H900")
    frame = pd.concat([small, prelim], ignore_index=True)
    for split in splits.patient_disjoint_split(frame, n_splits, seed):
        assert (split[-5:] == "unused").all() and not (split[:-5] == "unused").any()
        assert is_whole(frame, split)


def test_names_of_one_person_stay_together():
    names = ["20", "1", "43", "44", "5", "H1", "H14", "H24", "H9"]
    frame = made(dict.fromkeys(names, 20))
    for split in splits.patient_disjoint_split(frame, 3):
        for one in (["20", "1"], ["43", "44"], ["H14", "H24"]):
            assert split[frame["subject"].isin(one)].nunique() == 1


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda f: splits.patient_disjoint_split(folds(f, 1), 5), "3 people of class HEM cannot"),
        (lambda f: splits.patient_disjoint_split(f[f["label"] == 1], 3), "0 people of class HEM"),
        (lambda f: splits.patient_disjoint_split(f, 2), "n_splits is 2"),
        (lambda f: splits.cross_fold_split(f, 1, 1), "both 1"),
        (lambda f: splits.cross_fold_split(f, 1, 7), "fold_7: not in this frame"),
        (lambda f: splits.prelim_split(f), "no preliminary test set"),
    ],
)
def test_what_cannot_be_split_is_refused(published, call, named):
    with pytest.raises((ConfigError, DataError), match=named):
        call(published)


def test_a_deal_without_a_class_is_refused(small, monkeypatch):
    by_class = pd.Series(np.where(small["label"] == 0, 0, 1), index=small.index)
    monkeypatch.setattr(splits, "_stratified", lambda *_: by_class)
    with pytest.raises(DataError, match="cannot be dealt into 3 parts with both classes"):
        splits.patient_disjoint_split(small, 3)


# -- across folds, and the preliminary set ----------------------------------------------------


@pytest.mark.parametrize(
    ("train", "test", "shared"),
    [
        (0, 1, {"43", "H24", "1", "15", "17", "20"}),
        (1, 0, {"44", "H14", "16"}),
        (0, 2, {"1", "15", "17", "20", "H6", "H7"}),
        (2, 0, {"18", "21", "H2", "H4", "H5"}),
        (1, 2, {"16", "51", "H10"}),
        (2, 1, {"18", "21", "75", "78", "H3"}),
    ],
)
def test_cross_fold_drops_the_shared_people_and_says_how_many(published, train, test, shared):
    split = splits.cross_fold_split(published, train, test)
    fold = published["fold"]
    assert (split[fold == test] == "test").all()
    assert set(split[fold == train]) == {"train", "val", "unused"}
    assert (split[~fold.isin([train, test])] == "unused").all()
    assert is_whole(published, split)
    gone = published[(fold == train) & (split == "unused")]
    assert set(gone["subject"]) == shared
    dropped = splits.dropped(published, split)
    assert dropped.sum() == len(gone)
    assert set(dropped.index) == {people.person(subject) for subject in shared}


def test_the_preliminary_set_is_the_test_without_55_who_is_51(with_prelim):
    split = splits.protocol_split(with_prelim, "patient-disjoint", (0, 1, 2), test="prelim")
    prelim = with_prelim["split"] == "prelim"
    assert set(split[~prelim]) == {"train", "val"} and set(split[prelim]) == {"test", "unused"}
    assert set(with_prelim["subject"][split == "unused"]) == {"55"}
    assert splits.dropped(with_prelim, split).to_dict() == {people.person("55"): 47}
    assert is_whole(with_prelim, split)
    val = with_prelim["label"][split == "val"].value_counts()
    assert (val / with_prelim["label"][~prelim].value_counts()).between(0.15, 0.25).all()


def test_55_is_new_where_51_is_not_in_training(with_prelim):
    frame = with_prelim[(with_prelim["fold"] == 0) | (with_prelim["split"] == "prelim")]
    split = splits.prelim_split(frame)
    assert (split[frame["split"] == "prelim"] == "test").all()
    assert splits.dropped(frame, split).empty


# -- a run's ----------------------------------------------------------------------------------


def test_cells_from_outside_take_part_only_where_fold_2_is_asked_for(published):
    frame = published.assign(outside=published["fold"] == 2)
    whole = [splits.paper_split(frame), *splits.patient_disjoint_split(frame)]
    whole += [splits.cross_fold_split(frame, 0, 1)]
    whole += [splits.protocol_split(frame, "patient-disjoint", (0, 1), round=1)]
    for split in whole:
        assert (split[frame["outside"]] == "unused").all()
    with pytest.raises(DataError, match="fold_2"):
        splits.cross_fold_split(frame, 0, 2)
    asked = splits.protocol_split(frame, "cross-fold", (0, 2))
    assert (asked[frame["outside"]] == "test").all()
    two = folds(frame, 0, 1)
    last = splits.protocol_split(two, "patient-disjoint", (0, 1), round=splits.N_ROUNDS - 1)
    pd.testing.assert_series_equal(last, splits.patient_disjoint_split(two)[-1])
    asked = splits.protocol_split(folds(frame, 2), "paper", (2,))
    assert set(asked) == set(splits.PARTS)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (("official",), "protocol 'official'"),
        (("patient-disjoint", 5), "round 5"),
        (("patient-disjoint", -1), "round -1"),
        (("paper", 1), "round 1"),
        (("patient-disjoint", 1, "prelim"), "round 1"),
        (("patient-disjoint", 0, "final"), "test 'final'"),
        (("paper", 0, "prelim"), "patient-disjoint"),
    ],
)
def test_protocols_that_do_not_exist(settings, named):
    with pytest.raises(ConfigError, match=named):
        splits.check_protocol(*settings)


# -- what leaks, and what a part is called ----------------------------------------------------


def test_somebody_in_two_parts_is_named(published, small):
    split = small["subject"].map(lambda subject: splits.PARTS[int(subject[-1]) % 3])
    splits.assert_patient_disjoint(small, split)
    split[small.index[0]] = "test"
    with pytest.raises(DataError, match=r"1 people .*: 100 \(test\+\w+\)"):
        splits.assert_patient_disjoint(small, split)
    split[small.index[0]] = "unused"
    splits.assert_patient_disjoint(small, split)
    two = folds(published, 0, 1)  # no name in common, but three people
    split = two["fold"].map({0: "train", 1: "test"})
    with pytest.raises(DataError, match="3 people are in more than one part"):
        splits.assert_patient_disjoint(two, split)


def test_leakage_counts_shares():
    frame = made({"1": 8, "H1": 8})
    split = pd.Series("train", index=frame.index)
    split[:4] = "test"  # a whole smear of subject 1
    split[15] = "test"  # a cell of the last smear of H1
    assert splits.leakage(frame, split) == {"person": 1.0, "smear": 0.2}
    twins = frame.assign(digest=[*"abcdefghabcdefgh"])
    assert splits.leakage(twins, split)["twin"] == 1.0


def test_membership_is_of_places_not_of_paths(published):
    fold = folds(published, 1)
    moved = fold.assign(path="/somewhere/" + fold["path"]).sample(frac=1, random_state=0)
    frames = fold, moved, fold.iloc[1:], fold.assign(fold=2)
    whole, same, less, elsewhere = (splits.membership(splits.places(one)) for one in frames)
    assert whole == same and len({whole, less, elsewhere}) == 3
