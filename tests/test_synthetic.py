"""The made tree: its grammar, its calibration on the real folds, and how it is put there."""

import errno
import hashlib
import re
import shutil
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from allm_utils.data import cnmc, splits, synthetic
from allm_utils.errors import ConfigError, DataError

NAME = re.compile(r"UID_(\d+)_(\d+)_(\d+)_all\.bmp|UID_[Hh](\d+)_(\d+)_(\d+)_hem\.bmp")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return synthetic.make(tmp_path_factory.mktemp("made") / "tree")


@pytest.fixture(scope="module")
def frame(tree):
    return cnmc.index(tree)


@pytest.fixture(scope="module")
def pictures(frame):
    return np.stack([cv2.imread(path)[..., ::-1] for path in frame["path"]])


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """Frame and hand-made features of 600 images; the images themselves are deleted at once."""
    root = synthetic.make(tmp_path_factory.mktemp("lesson") / "tree", 600)
    frame = cnmc.index(root)
    features = np.stack([_features(cv2.imread(path)[..., ::-1]) for path in frame["path"]])
    shutil.rmtree(root)
    return frame, features


def _features(image):
    """Area, mean and spread of the colours in and at the edge of a cell, and its texture."""
    image = cv2.resize(image, (150, 150), interpolation=cv2.INTER_AREA)
    mask = image.any(2).astype(np.uint8)
    core = cv2.erode(mask, np.ones((5, 5))) > 0
    edge = (mask > 0) & ~core
    grey = image.mean(2).astype(np.float32)
    fine, coarse = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (1, 3))
    texture = (grey - fine)[core].std(), (fine - coarse)[core].std()
    return np.r_[mask.sum(), image[core].mean(0), image[core].std(0), image[edge].mean(0), texture]


def digests(root):
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


# -- grammar ----------------------------------------------------------------------------------


def test_files_are_named_and_sized_as_the_real_ones(tree):
    files = sorted((tree / "C-NMC_Leukemia" / "training_data").glob("fold_[012]/*/*"))
    assert len(files) == 120
    for path in files:
        assert NAME.fullmatch(path.name)
        assert path.name.endswith(f"_{path.parent.name}.bmp")
        assert path.stat().st_size == 608_454
        header = path.read_bytes()[:54]
        assert header[:2] == b"BM"
        assert np.frombuffer(header[18:26], "<i4").tolist() == [450, 450]
        assert np.frombuffer(header[28:34], "<u2").tolist() == [24, 0, 0]
    assert any(path.name.startswith("UID_h3_") for path in files)


@pytest.mark.parametrize("n_images", [23, 24, 61, 120, 1000])
def test_every_number_of_images_is_met_and_no_name_is_given_twice(n_images):
    paths = [cell.path for cell in synthetic._plan(n_images, 0)]
    assert len(paths) == len(set(paths)) == n_images


def test_smears_hold_several_cells(lesson):
    frame, _ = lesson
    cells = frame.groupby(["subject", "smear"]).size()
    assert 4 < cells.mean() < 6.5
    assert cells.max() <= 22


# -- who is where -----------------------------------------------------------------------------


def test_classes_folds_and_subjects_are_in_real_proportion(frame):
    images = frame.groupby(["fold", "label"]).size()
    assert (images.groupby("label").sum() / len(frame)).round(1).tolist() == [0.3, 0.7]
    assert images.min() >= 10  # every part of the paper's split holds an image
    people = frame.groupby(["fold", "label"])["subject"].nunique()
    assert people.min() >= 3
    assert people[1, 0] == 3  # as in the real fold 1
    assert (frame.groupby("subject")["fold"].nunique() == 1).all()
    per_subject = frame["subject"].value_counts()
    assert per_subject.max() > 8 * per_subject.min()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_patients_can_be_kept_apart_in_five_splits(frame, seed):
    for split in splits.patient_disjoint_split(frame, 5, seed):
        splits.assert_patient_disjoint(frame, split)
        present = frame.groupby(split)["label"].nunique()
        assert present.to_dict() == {"train": 2, "val": 2, "test": 2}


def test_a_few_files_are_the_same_under_two_names_in_two_folds(frame):
    by_digest = defaultdict(list)
    for row in frame.itertuples():
        by_digest[Path(row.path).read_bytes()].append(row)
    twins = [rows for rows in by_digest.values() if len(rows) > 1]
    assert 3 <= len(twins) <= 0.1 * len(frame)
    pairs = {frozenset(row.subject for row in rows) for rows in twins}
    assert pairs == {frozenset(pair) for pair in synthetic.TWINS.items()}
    for first, second in twins:
        assert first.fold != second.fold
        assert cnmc.merged_subject(first.subject) == cnmc.merged_subject(second.subject)


# -- calibration on the real folds ---------------------------------------------------------------


def test_the_background_is_black_and_as_large_as_in_the_real_set(pictures):
    assert (pictures == 0).all(axis=3).mean() == pytest.approx(0.836, abs=0.02)
    border = np.ones((450, 450), bool)
    border[2:-2, 2:-2] = False
    assert not pictures[:, border].any()


def test_area_alone_tells_the_classes_apart_as_in_the_real_set(frame, pictures):
    area = pictures.any(axis=3).sum(axis=(1, 2))
    labels = frame["label"].to_numpy(int)
    assert roc_auc_score(labels, area) == pytest.approx(0.868, abs=0.03)
    assert area[labels == 1].mean() == pytest.approx(36_944, rel=0.05)
    assert area[labels == 0].mean() == pytest.approx(25_605, rel=0.05)


@pytest.mark.parametrize("seed", range(1, 6))
def test_the_area_is_calibrated_for_every_seed(seed):
    cells = synthetic._plan(120, seed)
    labels, area = [cell.label for cell in cells], [cell.area for cell in cells]
    assert roc_auc_score(labels, area) == pytest.approx(0.868, abs=0.03)


def test_cells_are_dark_and_purple(pictures):
    brightest = pictures.max(axis=(1, 2, 3))
    assert brightest.min() >= 90
    assert brightest.max() <= 193
    assert (brightest < 100).mean() < 0.1
    inside = pictures[pictures.any(axis=3)]
    assert inside.mean() == pytest.approx(60, abs=5)
    red, green, blue = inside.mean(axis=0)
    assert green < 0.6 * red < 0.6 * blue


def test_one_cell_stands_near_the_middle(pictures):
    for picture in pictures:
        mask = picture.any(axis=2).astype(np.uint8)
        pieces, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        assert stats[1:, cv2.CC_STAT_AREA].max() > 0.99 * mask.sum(), pieces
        rows, cols = np.nonzero(mask)
        assert abs((rows.min() + rows.max()) / 2 - 224.5) <= 50
        assert abs((cols.min() + cols.max()) / 2 - 224.5) <= 50


def test_a_person_has_a_stain_of_their_own(lesson):
    """Colour varies more between people than the cells of one of them would explain."""
    frame, features = lesson
    people = cnmc.merged_subject(frame["subject"]).to_numpy()
    for colour in features[:, 1:4].T:
        within = np.mean([colour[people == person].var() for person in set(people)])
        assert colour.var() > 2 * within


def test_random_splits_flatter_a_model(lesson):
    """Balanced accuracy falls by 5 points and more on unseen people, mean of five seeds."""
    frame, features = lesson
    labels = frame["label"].to_numpy(int)

    def score(part, k):
        train, test = part != k, part == k
        model = RandomForestClassifier(60, class_weight="balanced", random_state=0)
        called = model.fit(features[train], labels[train]).predict(features[test])
        return balanced_accuracy_score(labels[test], called)

    random, unseen = [], []
    for seed in range(5):
        mixed = np.random.default_rng(seed).permutation(len(frame)) % 5
        disjoint = splits.patient_disjoint_split(frame, 5, seed)
        apart = np.argmax([split == "test" for split in disjoint], axis=0)
        random += [score(mixed, k) for k in range(5)]
        unseen += [score(apart, k) for k in range(5)]
    assert np.mean(random) > 0.8
    assert np.mean(unseen) > 0.6
    assert np.mean(random) - np.mean(unseen) >= 0.05


# -- putting it there ---------------------------------------------------------------------------


def test_the_same_settings_give_the_same_bytes_on_any_number_of_threads(tmp_path, monkeypatch):
    first = digests(synthetic.make(tmp_path / "one", 30, seed=3))
    monkeypatch.setattr(synthetic.os, "cpu_count", lambda: 1)
    assert digests(synthetic.make(tmp_path / "two", 30, seed=3)) == first
    other = digests(synthetic.make(tmp_path / "three", 30, seed=4))
    assert not set(other.values()) & set(first.values())


def test_a_tree_that_is_there_is_left_alone(tmp_path, monkeypatch):
    root = synthetic.make(tmp_path / "tree", 23)
    before = digests(root)
    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "_draw", pytest.fail)
        assert synthetic.make(str(root), 23) == root
    assert digests(root) == before


def test_other_settings_replace_a_synthetic_tree(tmp_path):
    root = synthetic.make(tmp_path / "tree", 30)
    assert synthetic.make(root, 24, seed=1) == root
    assert len(list(root.rglob("*.bmp"))) == 24
    assert list(tmp_path.iterdir()) == [root]


def test_a_preliminary_set_of_other_people_stands_beside_the_same_folds(tmp_path):
    without = digests(synthetic.make(tmp_path / "without", 24))
    root = synthetic.make(tmp_path / "with", 24, n_prelim=12)
    found = digests(root)
    del without[synthetic.MARKER]
    assert without.items() <= found.items()
    frame = cnmc.index(root)
    prelim = frame[frame["split"] == "prelim"]
    assert len(prelim) == 12 and len(frame) == 36
    assert set(prelim["subject"]) == set(synthetic.PRELIM)
    assert not set(prelim["subject"]) & set(frame["subject"][frame["split"] == "train"])
    assert set(prelim["label"]) == {0, 1}
    assert synthetic.make(root, 24) == root  # other settings: drawn anew, without
    assert len(cnmc.index(root)) == 24
    with pytest.raises(ConfigError, match="n_prelim=3"):
        synthetic.make(tmp_path / "few", 24, n_prelim=3)


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_nothing_half_made(tmp_path, monkeypatch, there):
    root = tmp_path / "deep" / "tree"
    if there:
        synthetic.make(root, 23)
    before = digests(tmp_path)

    def full(cell, rng, render=synthetic._render):
        if cell.index == 15:
            raise OSError(errno.ENOSPC, "No space left on device")
        return render(cell, rng)

    monkeypatch.setattr(synthetic, "_render", full)
    with pytest.raises(DataError, match=r"tree: cannot be written \(No space left on device\)"):
        synthetic.make(root, 30)
    assert digests(tmp_path) == before
    assert root.exists() == there
    assert [path.name for path in root.parent.iterdir()] == ["tree"] * there


def test_the_work_of_a_faster_process_is_kept(tmp_path, monkeypatch):
    root = tmp_path / "tree"
    draw = synthetic._draw

    def slow(tree, *settings):
        draw(tree, *settings)
        with monkeypatch.context() as patch:
            patch.setattr(synthetic, "_draw", draw)
            synthetic.make(root, 23)
        (root / "mine").touch()

    monkeypatch.setattr(synthetic, "_draw", slow)
    assert synthetic.make(root, 23) == root
    assert (root / "mine").exists()
    assert list(tmp_path.iterdir()) == [root]


def test_foreign_files_are_not_touched(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(DataError, match="mine: holds files that are not synthetic; choose"):
        synthetic.make(tmp_path / "mine", 23)
    with pytest.raises(DataError, match=r"thesis\.txt: is a file; choose a folder"):
        synthetic.make(tmp_path / "mine" / "thesis.txt", 23)
    with pytest.raises(DataError, match="cannot be made"):
        synthetic.make(tmp_path / "mine" / "thesis.txt" / "tree", 23)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "thesis.txt"]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    assert synthetic.is_synthetic(synthetic.make(tmp_path / "empty", 23))


@pytest.mark.parametrize("settings", [{"n_images": 22}, {"seed": -1}])
def test_settings_out_of_range_are_refused(tmp_path, settings):
    with pytest.raises(ConfigError, match=r"; give .* or more"):
        synthetic.make(tmp_path / "tree", **settings)
    assert not any(tmp_path.iterdir())


def test_a_synthetic_tree_is_known_from_any_of_its_folders(tree, tmp_path):
    assert synthetic.is_synthetic(tree)
    assert synthetic.is_synthetic(tree / "C-NMC_Leukemia" / "training_data" / "fold_1")
    assert not synthetic.is_synthetic(tree.parent)
    assert not synthetic.is_synthetic(tmp_path)


def test_a_chapter_gets_the_real_data_if_there_is_any(tmp_path):
    real = SimpleNamespace(data=tmp_path / "real", work=tmp_path, synthetic_images=23)
    assert synthetic.data_root(real) == tmp_path / "real"
    assert not any(tmp_path.iterdir())
    made = SimpleNamespace(data=None, work=tmp_path, synthetic_images=23)
    assert len(cnmc.index(synthetic.data_root(made))) == 23
