"""Splits of the published index, which needs no images, and of small made frames."""

import json
import random
from importlib import resources

import numpy as np
import pandas as pd
import pytest
import sklearn

from allm_utils.book import paper
from allm_utils.data import cnmc, splits
from allm_utils.errors import ConfigError, DataError

PARTS = ("train", "val", "test")


@pytest.fixture(scope="module")
def published():
    return cnmc.shipped_index()


def made(images, fold=0):
    """A frame of the given number of images per subject."""
    rows = [
        (
            f"UID_{subject}_{cell // 4}_{cell}_{'hem' if subject[0] == 'H' else 'all'}.bmp",
            int(subject[0] != "H"),
            fold,
            subject,
            cell // 4,
            cell,
            "train",
        )
        for subject, n in images.items()
        for cell in range(n)
    ]
    columns = ["path", "label", "fold", "subject", "smear", "cell", "split"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture
def small():
    rng = random.Random(0)
    subjects = [f"{prefix}{n}" for prefix in ("", "H") for n in range(100, 108)]
    return made({subject: rng.randint(5, 40) for subject in subjects})


def counts(frame, split):
    return frame.groupby(["fold", "label", split]).size()


def holds_both_classes(frame, split):
    return all(set(frame["label"][split == part]) == {0, 1} for part in PARTS)


def test_paper_split_is_table_1(published):
    table = counts(published, splits.paper_split(published))
    for fold, classes in paper.TABLE_1.items():
        for name, cells in classes.items():
            for part in PARTS:
                assert table[fold, cnmc.CLASSES.index(name), part] == cells[part]


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


def test_paper_split_does_not_depend_on_order_place_or_company(published):
    split = splits.paper_split(published)
    shuffled = published.sample(frac=1, random_state=0)
    pd.testing.assert_series_equal(splits.paper_split(shuffled).sort_index(), split)
    moved = published.assign(path="C:\\data\\" + published["path"].str.replace("/", "\\"))
    pd.testing.assert_series_equal(splits.paper_split(moved), split)
    one = published[published["fold"] == 1]
    pd.testing.assert_series_equal(splits.paper_split(one), split[one.index])


def test_paper_split_changes_with_the_seed(small):
    assert (splits.paper_split(small) == splits.paper_split(small)).all()
    assert (splits.paper_split(small) != splits.paper_split(small, seed=1)).any()


def test_paper_split_leaves_the_test_sets_alone(small):
    small.loc[small.index[-5:], "split"] = "prelim"
    split = splits.paper_split(small)
    assert (split[-5:] == "unused").all() and not (split[:-5] == "unused").any()


def test_paper_split_of_too_few_images():
    with pytest.raises(DataError, match=r"fold_0: 9 images of class HEM .* at least 10"):
        splits.paper_split(made({"1": 20, "H1": 9}))


def frozen_tables():
    text = resources.files("allm_utils").joinpath("data/subject_folds.json").read_text("utf-8")
    table = json.loads(text)
    return [
        (folds, int(n), subjects, table["seed"][folds][n])
        for folds, of_n in table["parts"].items()
        for n, subjects in of_n.items()
    ]


def test_tables_are_frozen_for_what_we_use():
    frozen = {(folds, n) for folds, n, *_ in frozen_tables()}
    assert frozen >= {(folds, n) for folds in ("0", "0+1", "0+1+2") for n in (3, 5)}
    assert ("1", 3) in frozen


@pytest.mark.parametrize(("folds", "n", "subjects", "seed"), frozen_tables())
def test_frozen_patient_disjoint_splits(published, monkeypatch, folds, n, subjects, seed):
    frame = published[published["fold"].isin([int(fold) for fold in folds.split("+")])]
    with monkeypatch.context() as patch:  # the table decides, not scikit-learn
        patch.delattr(splits, "_stratified")
        by_part = splits.patient_disjoint_split(frame, n)
    assert len(by_part) == n
    for k, split in enumerate(by_part):
        assert set(frame["subject"][split == "test"]) == set(subjects[k])
        assert set(frame["subject"][split == "val"]) == set(subjects[(k + 1) % n])
        assert holds_both_classes(frame, split)
        splits.assert_patient_disjoint(frame, split)
        assert splits.leakage(frame, split) == {"subject": 0, "smear": 0, "twin": 0}
    tested = sum((split == "test").astype(int) for split in by_part)
    assert (tested == 1).all()
    for _, part in frame.groupby("label"):
        sizes = [(split[part.index] == "test").sum() for split in by_part]
        largest_subject = part.groupby("subject").size().max()
        assert max(sizes) <= max(1.11 * len(part) / n, largest_subject)

    if sklearn.__version__.startswith("1.9."):
        dealt = splits._stratified(frame, splits._groups(frame), n, [seed, 0])
        assert [set(frame["subject"][dealt == k]) for k in range(n)] == [set(s) for s in subjects]


def test_frozen_table_needs_the_whole_fold(published):
    """A frame with the same subjects but fewer images is not the published one."""
    fold = published[published["fold"] == 0]
    assert splits._frozen(fold, 5) is not None
    assert splits._frozen(fold.iloc[1:], 5) is None
    assert splits._frozen(fold, 4) is None


def test_other_seeds_deal_other_parts(published):
    fold = published[published["fold"] == 0]
    deals = [splits.patient_disjoint_split(fold, 3, seed=seed) for seed in range(4)]
    tests = {
        frozenset(frozenset(fold["subject"][split == "test"]) for split in deal) for deal in deals
    }
    assert len(tests) == 4
    again = splits.patient_disjoint_split(fold, 3, seed=3)
    assert all((a == b).all() for a, b in zip(again, deals[3], strict=True))


@pytest.mark.parametrize("n_splits", [3, 4, 5])
@pytest.mark.parametrize("seed", range(5))
def test_patient_disjoint_split_of_a_made_tree(small, n_splits, seed):
    for split in splits.patient_disjoint_split(small, n_splits, seed):
        assert list(split.index) == list(small.index)
        assert set(split) == set(PARTS) and holds_both_classes(small, split)
        splits.assert_patient_disjoint(small, split)


def test_merged_subjects_stay_together():
    frame = made({"20": 20, "21": 20, "1": 20, "5": 20, "H1": 20, "H7": 20, "H3": 20, "H10": 20})
    for split in splits.patient_disjoint_split(frame, 3):
        for group in (["20", "21"], ["H3", "H10"]):
            assert split[frame["subject"].isin(group)].nunique() == 1


def test_a_column_group_is_obeyed(published, small):
    hospital = small["subject"].str[-1].astype(int) // 2
    small["group"] = small["subject"].str[:1] + hospital.astype(str)
    for split in splits.patient_disjoint_split(small, 3):
        assert split.groupby(small["group"]).nunique().max() == 1
    fold = published[published["fold"] == 0].copy()
    fold["group"] = fold["subject"].replace({"H24": "one ward", "H6": "one ward", "H7": "one ward"})
    for split in splits.patient_disjoint_split(fold, 3):
        assert split.groupby(fold["group"]).nunique().max() == 1


def test_patient_disjoint_split_leaves_the_test_sets_alone(small):
    prelim = small.tail(5).assign(split="prelim", subject="H900")
    frame = pd.concat([small, prelim], ignore_index=True)
    for split in splits.patient_disjoint_split(frame, 3):
        assert (split[-5:] == "unused").all() and not (split[:-5] == "unused").any()


def test_the_preliminary_set_is_the_test_part_and_its_people_are_new(published):
    frame = pd.concat([published, cnmc.shipped_prelim()], ignore_index=True)
    split = splits.protocol_split(frame, "patient-disjoint", (0, 1, 2), test="prelim")
    assert (split == "test").equals(frame["split"] == "prelim")
    assert set(split[: len(published)]) == {"train", "val"}
    splits.assert_patient_disjoint(frame, split)
    val = frame["label"][split == "val"].value_counts() / published["label"].value_counts()
    assert val.between(0.15, 0.25).all()
    assert holds_both_classes(frame, split)
    with pytest.raises(DataError, match="no preliminary test set"):
        splits.prelim_split(published)


def test_a_run_may_take_any_of_the_five_parts(published):
    fold = published[published["fold"] == 0]
    five = splits.patient_disjoint_split(fold, splits.N_PARTS)
    for part, split in enumerate(five):
        found = splits.protocol_split(fold, "patient-disjoint", (0,), part=part)
        pd.testing.assert_series_equal(found, split)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (("official",), "protocol 'official'"),
        (("patient-disjoint", 5), "part 5"),
        (("patient-disjoint", -1), "part -1"),
        (("paper", 1), "part 1"),
        (("patient-disjoint", 1, "prelim"), "part 1"),
        (("patient-disjoint", 0, "final"), "test 'final'"),
        (("paper", 0, "prelim"), "patient-disjoint"),
    ],
)
def test_protocols_that_do_not_exist(settings, named):
    with pytest.raises(ConfigError, match=named):
        splits.check_protocol(*settings)


def test_too_few_subjects(published):
    fold = published[published["fold"] == 1]
    with pytest.raises(DataError, match="3 subjects of class HEM cannot fill 5 parts"):
        splits.patient_disjoint_split(fold, 5)
    with pytest.raises(DataError, match="0 subjects of class HEM"):
        splits.patient_disjoint_split(fold[fold["label"] == 1], 3)


def test_too_few_splits(small):
    with pytest.raises(ConfigError, match="n_splits is 2"):
        splits.patient_disjoint_split(small, 2)


def test_a_deal_without_a_class_is_refused(small, monkeypatch):
    def lopsided(frame, groups, n_parts, seed):
        return pd.Series(np.where(frame["label"] == 0, 0, 1), index=frame.index)

    monkeypatch.setattr(splits, "_stratified", lopsided)
    with pytest.raises(DataError, match="cannot be dealt into 3 parts with both classes"):
        splits.patient_disjoint_split(small, 3)


@pytest.mark.parametrize(("train", "test"), [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)])
def test_cross_fold_split_of_the_published_folds(published, train, test):
    split = splits.cross_fold_split(published, train, test)
    fold = published["fold"]
    assert (split[fold == test] == "test").all()
    assert set(split[fold == train]) <= {"train", "val", "unused"}
    assert (split[~fold.isin([train, test])] == "unused").all()
    assert holds_both_classes(published, split)
    splits.assert_patient_disjoint(published, split)

    dropped = set(published["subject"][(fold == train) & (split == "unused")])
    shared = {
        (0, 2): {"20", "H6"},
        (2, 0): {"21", "H2", "H4", "H5"},
        (1, 2): {"51", "H10"},
        (2, 1): {"75", "78", "H3"},
    }
    assert dropped == shared.get((train, test), set())


def test_cross_fold_split_of_wrong_folds(published):
    with pytest.raises(ConfigError, match="both 1"):
        splits.cross_fold_split(published, 1, 1)
    with pytest.raises(DataError, match="fold_7"):
        splits.cross_fold_split(published, 1, 7)
    people = {f"{prefix}{n}": 9 for prefix in ("", "H") for n in (101, 102, 103)}
    twice = pd.concat([made(people, fold) for fold in (0, 1)], ignore_index=True)
    with pytest.raises(DataError, match="every subject of fold_0 is also in fold_1"):
        splits.cross_fold_split(twice, 0, 1)


def test_assert_patient_disjoint(small):
    split = small["subject"].map(lambda subject: PARTS[int(subject[-1]) % 3])
    splits.assert_patient_disjoint(small, split)
    split[small.index[0]] = "test"
    with pytest.raises(DataError, match=r"1 subjects .*: 100 \(test\+\w+\)"):
        splits.assert_patient_disjoint(small, split)
    split[small.index[0]] = "unused"
    splits.assert_patient_disjoint(small, split)


def test_assert_patient_disjoint_knows_the_merged_subjects(published):
    split = pd.Series(np.where(published["fold"] == 2, "test", "train"), index=published.index)
    with pytest.raises(DataError, match="4 subjects"):
        splits.assert_patient_disjoint(published, split)
    without = published[published["fold"] != 2]
    split = pd.Series(np.where(without["fold"] == 1, "test", "train"), index=without.index)
    splits.assert_patient_disjoint(without, split)


@pytest.mark.parametrize(("fold", "smear"), [(0, 0.925), (1, 0.926), (2, 0.905)])
def test_leakage_of_the_papers_protocol(published, fold, smear):
    frame = published[published["fold"] == fold]
    leaks = [splits.leakage(frame, splits.paper_split(frame, seed)) for seed in range(10)]
    assert all(leak["subject"] == 1 for leak in leaks)
    assert np.mean([leak["smear"] for leak in leaks]) == pytest.approx(smear, abs=0.01)
    n_twins = np.mean([leak["twin"] for leak in leaks]) * paper_test_images(fold)
    assert n_twins == pytest.approx(0 if fold == 0 else 1.3, abs=0.8)


def paper_test_images(fold):
    return sum(paper.TABLE_1[fold][name]["test"] for name in cnmc.CLASSES)


def test_leakage_counts_shares():
    frame = made({"1": 8, "H1": 8})
    split = pd.Series("train", index=frame.index)
    split[:4] = "test"  # a whole smear of subject 1
    split[15] = "test"  # a cell of the last smear of H1
    assert splits.leakage(frame, split) == {"subject": 1.0, "smear": 0.2}
    twins = frame.assign(digest=[*"abcdefghabcdefgh"])
    assert splits.leakage(twins, split)["twin"] == 1.0


def test_membership_is_of_places_not_of_paths(published):
    fold = published[published["fold"] == 1]
    moved = fold.assign(path="/somewhere/" + fold["path"]).sample(frac=1, random_state=0)
    assert splits.membership(moved) == splits.membership(fold)
    assert splits.membership(fold.iloc[1:]) != splits.membership(fold)
    elsewhere = fold.assign(fold=2)
    assert splits.membership(elsewhere) != splits.membership(fold)
