"""Trees in every published layout, made of files with a few bytes: indexing opens none of them."""

import os
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from allm_utils.data import cnmc, images, sample
from allm_utils.errors import AllmError, DataError

TRAINING = {
    "fold_0/all": ["UID_11_1_1_all.bmp", "UID_11_1_2_all.bmp", "UID_3_4_1_all.bmp"],
    "fold_0/hem": ["UID_H11_2_1_hem.bmp"],
    "fold_1/all": ["UID_2_10_3_all.bmp"],
    "fold_1/hem": ["UID_h3_7_1_hem.bmp", "UID_H10_7_2_hem.bmp"],
}
LABELS = (
    "Patient_ID,new_names,labels\r\n"
    "UID_57_29_1_all.bmp,1.bmp,1\r\n"
    "UID_H49_35_1_hem.bmp,2.bmp,0\r\n"
    "UID_57_3_2_all.bmp,10.bmp,1\r\n"
)
LABEL_FILE = "C-NMC_test_prelim_phase_data_labels.csv"
PRELIM = "C-NMC_test_prelim_phase_data"
FINAL = "C-NMC_test_final_phase_data"


def tcia(top):
    return f"{top}/C-NMC_training_data", *(f"{top}/{part}" for part in (PRELIM, PRELIM, FINAL))


LAYOUTS = {
    # name: (folder of the folds, of the preliminary set, of its labels, of the final set)
    "tcia": tcia("PKG - C-NMC 2019"),
    "tcia re-upload": tcia("C-NMC 2019 (PKG)"),
    "kaggle avk256": ("cnmc-leukemia", None, None, None),
    "kaggle andrewmvd": (
        "C-NMC_Leukemia/training_data",
        f"C-NMC_Leukemia/validation_data/{PRELIM}",
        "C-NMC_Leukemia/validation_data",
        f"C-NMC_Leukemia/testing_data/{FINAL}",
    ),
}


def put(path, content=None):
    """A file of the given bytes, or of its own name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(path.name.encode() if content is None else content)


def put_training(folder, doubled=False, upper=False):
    for place, names in TRAINING.items():
        fold = place.split("/")[0]
        for name in names:
            name = name.replace(".bmp", ".BMP") if upper else name
            put(folder / (f"{fold}/{place}" if doubled else place) / name)


def put_tests(root, prelim, labels, final):
    for name in ("1.bmp", "2.bmp", "10.bmp"):
        put(root / prelim / name)
    put(root / labels / LABEL_FILE, LABELS.encode())
    for name in ("1.bmp", "2.bmp"):
        put(root / final / name)


@pytest.fixture
def tree(tmp_path):
    put_training(tmp_path / "tree")
    return tmp_path / "tree"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_index_of_every_layout(tmp_path, layout):
    training, *tests = LAYOUTS[layout]
    put_training(tmp_path / training)
    if tests[0]:
        put_tests(tmp_path, *tests)
    frame = cnmc.index(tmp_path)

    train = frame[frame["split"] == "train"]
    names = train["path"].map(lambda path: Path(path).name)
    places = ("fold_0/hem", "fold_0/all", "fold_1/hem", "fold_1/all")
    assert list(names) == [name for place in places for name in sorted(TRAINING[place])]
    assert list(train["label"]) == [0, 1, 1, 1, 0, 0, 1]
    assert list(train["fold"]) == [0, 0, 0, 0, 1, 1, 1]
    assert list(train["subject"]) == ["H11", "11", "11", "3", "H10", "H3", "2"]
    assert list(train["smear"]) == [2, 1, 1, 4, 7, 7, 10]
    assert list(train["cell"]) == [1, 1, 2, 1, 2, 1, 3]
    assert all(Path(path).is_absolute() and Path(path).is_file() for path in frame["path"])
    assert list(frame.columns) == ["path", "label", "fold", "subject", "smear", "cell", "split"]
    assert frame.dtypes["label"] == frame.dtypes["fold"] == "Int8"
    assert list(frame.index) == list(range(len(frame)))

    table = cnmc.summary(frame)
    assert list(table.loc["training"]) == [4, 3, 7, 3, 3, 6]
    prelim = frame[frame["split"] == "prelim"]
    final = frame[frame["split"] == "final"]
    assert (len(prelim), len(final)) == ((3, 2) if tests[0] else (0, 0))
    if tests[0]:
        by_name = prelim.assign(name=prelim["path"].map(lambda path: Path(path).name))
        row = by_name.set_index("name").loc["10.bmp"]
        assert (row["subject"], row["smear"], row["cell"], row["label"]) == ("57", 3, 2, 1)
        assert list(by_name["label"]) == [1, 1, 0]  # 1, 10, 2
        assert prelim["fold"].isna().all()
        assert final[["label", "fold", "subject", "smear", "cell"]].isna().all(axis=None)
        assert list(frame["split"].unique()) == ["train", "prelim", "final"]
        assert list(table.loc["prelim"]) == [2, 1, 3, 1, 1, 2]
        assert table.loc["final", "images"] == 2 and table.loc["final"].isna().sum() == 5


def test_index_from_any_level_of_doubled_folders_and_upper_case(tmp_path, monkeypatch):
    put_training(tmp_path / "a" / "training_data")
    for root in (tmp_path, tmp_path / "a", tmp_path / "a" / "training_data"):
        assert len(cnmc.index(root)) == 7
    for how in ({"doubled": True}, {"upper": True}):
        put_training(tmp_path / str(how), **how)
        found = cnmc.index(tmp_path / str(how))["subject"]
        assert len(found) == 7 and set(found) == {"11", "3", "H11", "2", "H3", "H10"}
    monkeypatch.chdir(tmp_path / "a" / "training_data" / "fold_1")
    fold = cnmc.index(".")
    assert set(fold["fold"]) == {1} and len(fold) == 3 and Path(fold["path"][0]).is_absolute()


def test_folds_that_were_merged_are_told_apart_by_the_published_names(tmp_path):
    published = cnmc.shipped_index().sample(40, random_state=0)
    for path in published["path"]:
        put(tmp_path / "cells" / path.split("/", 1)[1])  # without its fold
    frame = cnmc.index(tmp_path)
    expected = published.set_index(cnmc.file_names(published))[["fold", "label"]]
    found = frame.set_index(cnmc.file_names(frame))[["fold", "label"]]
    assert found.sort_index().equals(expected.sort_index())
    put_training(tmp_path / "own")
    for place in ("all", "hem"):
        (tmp_path / "own" / "fold_0" / place).rename(tmp_path / "own" / place)
    (tmp_path / "own" / "fold_0").rmdir()
    with pytest.raises(DataError, match="named fold_0"):
        cnmc.index(tmp_path / "own")
    (tmp_path / "own" / "fold_1").rename(tmp_path / "fold1")  # as some unpack them
    assert set(cnmc.index(tmp_path / "fold1")["fold"]) == {1}


def test_stray_files_links_and_loops_of_links(tree, tmp_path):
    put(tree / "__MACOSX" / "fold_0" / "all" / "._UID_11_1_1_all.bmp")
    put(tree / ".cache" / "fold_0" / "all" / "UID_11_1_1_all.bmp")
    put(tree / "fold_0" / "all" / "._UID_11_1_1_all.bmp")
    put(tree / "fold_0" / "all" / "Thumbs.db")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "data").symlink_to(tree)
    (tree / "fold_0" / "up").symlink_to(tree)
    assert len(cnmc.index(tmp_path / "home")) == 7


@pytest.mark.parametrize(
    ("break_it", "named", "cure"),
    [
        (lambda t: shutil.rmtree(t), "tree", "give the folder"),
        (lambda t: (shutil.rmtree(t), t.write_text("")), "not a folder", "give the folder"),
        (lambda t: (shutil.rmtree(t), t.mkdir()), "no C-NMC images", "allm data sample"),
        (lambda t: [p.unlink() for p in (t / "fold_0/hem").iterdir()], "fold_0/hem", "unpack"),
        (lambda t: shutil.rmtree(t / "fold_1/hem"), "no 'hem' folder", "fold again"),
        (
            lambda t: (shutil.rmtree(t / "fold_1"), put(t / "fold_1/UID_2_1_1_all.bmp")),
            "neither an 'all' nor a 'hem'",
            "give the folder",
        ),
        (
            lambda t: (shutil.rmtree(t / "fold_0"), (t / "fold_1").rename(t / "fold_300")),
            "all: in no fold_*",
            "named fold_0",
        ),
        (lambda t: put(t / "fold_0/all/cell 7.bmp"), "'cell 7.bmp'", "UID_<n>_<smear>_<cell>"),
        (lambda t: put(t / "fold_0/all/UID_H9_1_1_all.bmp"), "UID_H9_1_1_all.bmp", "rename"),
        (lambda t: put(t / "fold_0/hem/UID_9_1_1_all.bmp"), "in a folder of HEM", "move it"),
        (lambda t: put_training(t / "copy"), "second copy", "one tree only"),
    ],
)
def test_what_is_wrong_with_a_tree_is_one_line(tree, break_it, named, cure):
    break_it(tree)
    with pytest.raises(DataError) as error:
        cnmc.index(tree)
    message = str(error.value)
    assert named in message.replace("\\", "/") and cure in message


def test_the_cure_of_one_class_is_the_folder_above_where_that_holds_both(tree):
    with pytest.raises(DataError, match="no 'hem' folder") as error:
        cnmc.index(tree / "fold_0" / "all")
    cure = str(error.value).split("; give ")[1]
    assert len(cnmc.index(cure)) == 4


@pytest.fixture
def prelim(tmp_path):
    put_tests(tmp_path, PRELIM, PRELIM, FINAL)
    return tmp_path / PRELIM


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (LABELS.replace("UID_57_3_2_all.bmp,10.bmp,1\r\n", ""), "no row for image 10.bmp"),
        (LABELS + "UID_57_4_2_all.bmp,11.bmp,1\r\n", "a row, but no image, of 11.bmp"),
        (LABELS.replace("UID_57_29_1_all.bmp", "57"), "'57' is not named"),
        (LABELS.replace("new_names", "name"), "cannot be read"),
        (LABELS.replace(",", ";"), "with commas between them"),
        (LABELS.replace("2.bmp", ""), "a row, but no image, of"),
        ("", "cannot be read"),
        (None, f"no {LABEL_FILE}"),
    ],
)
def test_what_is_wrong_with_the_labels_is_one_line(prelim, labels, named):
    (prelim / LABEL_FILE).unlink()
    if labels is not None:
        (prelim / LABEL_FILE).write_bytes(labels.encode())
    with pytest.raises(DataError) as error:
        cnmc.index(prelim.parent)
    assert named in str(error.value)


def test_shipped_index_has_the_published_counts():
    frame = cnmc.shipped_index()
    table = cnmc.summary(frame)
    assert table.to_numpy().tolist() == [
        [2397, 1130, 3527, 19, 9, 28],
        [2418, 1163, 3581, 11, 3, 14],
        [2457, 1096, 3553, 17, 14, 31],
        [7272, 3389, 10661, 47, 26, 73],
    ]
    assert list(table.index) == ["fold 0", "fold 1", "fold 2", "training"]
    assert frame["path"].str.fullmatch(r"fold_[012]/(all|hem)/UID_[Hh]?[\d_]+_(all|hem)\.bmp").all()
    assert frame["digest"].str.fullmatch("[0-9a-f]{12}").all()
    assert frame["path"].str.contains("UID_h3_").sum() == 36
    subjects = frame.groupby("fold")["subject"].unique()
    assert not set(subjects[0]) & set(subjects[1]) and not set(subjects[1]) & set(subjects[2])
    pairs = frame[frame.duplicated("digest", keep=False)].groupby("digest").size()
    assert len(pairs) == 104 and set(pairs) == {2}
    prelim = cnmc.shipped_prelim()
    assert list(prelim) == list(frame)[:-1]
    assert not set(prelim["subject"]) & set(frame["subject"])
    assert prelim["path"].tolist() == sorted(f"{n}.bmp" for n in range(1, 1868))


def test_shipped_index_and_index_have_one_order(tmp_path):
    shipped = cnmc.shipped_index()[::20].reset_index(drop=True)
    for path in shipped["path"]:
        put(tmp_path / path)
    frame = cnmc.index(tmp_path)
    relative = frame["path"].map(lambda path: Path(path).relative_to(tmp_path).as_posix())
    pd.testing.assert_frame_equal(
        frame.assign(path=relative), shipped.drop(columns="digest"), check_dtype=False
    )


@pytest.fixture
def published(tree, monkeypatch):
    """The tree as published: two subjects of fold 0 share a file; fold 2 is not on this disk."""
    put(
        tree / "fold_0/all/UID_11_1_2_all.bmp", (tree / "fold_0/all/UID_3_4_1_all.bmp").read_bytes()
    )
    frame = cnmc.index(tree)
    frame["digest"] = [cnmc._digest(path) for path in frame["path"]]
    frame["path"] = [Path(path).relative_to(tree).as_posix() for path in frame["path"]]
    elsewhere = frame.iloc[-1:].assign(path="fold_2/all/UID_9_1_1_all.bmp", fold=2, digest="0" * 12)
    index = pd.concat([frame, elsewhere], ignore_index=True)
    monkeypatch.setattr(cnmc, "shipped_index", lambda: index.copy())
    return tree


def test_verify_the_published_tree(published):
    result = cnmc.verify(published, progress=False)
    assert result.ok and result.n_checked == 7
    pair = "fold_0/all/UID_11_1_2_all.bmp = fold_0/all/UID_3_4_1_all.bmp"
    assert result.known_duplicates == (pair,) and result.duplicated == ()
    assert str(result).splitlines() == [
        "not checked: fold_2, which is not here",
        "7 files checked: 0 missing, 0 altered, 0 unknown, 0 duplicated (1 more as published)",
    ]


def test_verify_one_fold_in_letters_of_another_case(published):
    path = published / "fold_1/all/UID_2_10_3_all.bmp"
    path.rename(path.with_name("uid_2_10_3_all.BMP"))
    result = cnmc.verify(published / "fold_1", progress=False)
    assert result.ok and result.n_checked == 3 and len(result.notes) == 2


def test_verify_names_what_is_missing_altered_unknown_and_duplicated(published):
    (published / "fold_1/all/UID_2_10_3_all.bmp").unlink()
    os.mkfifo(published / "fold_1/all/UID_2_10_3_all.bmp")  # no regular file: as if not there
    put(published / "fold_0/hem/UID_H11_2_1_hem.bmp", b"")
    original = published / "fold_1/hem/UID_H10_7_2_hem.bmp"
    shutil.copy(original, published / "fold_1/hem/copy of UID_H10_7_2_hem.bmp")
    shutil.copytree(published / "fold_0" / "all", published / "backup" / "fold_0" / "all")
    result = cnmc.verify(published, progress=False)
    assert not result.ok
    assert result.missing == ("fold_1/all/UID_2_10_3_all.bmp",)
    assert result.altered == ("fold_0/hem/UID_H11_2_1_hem.bmp",)
    assert result.unknown == ("fold_1/hem/copy of UID_H10_7_2_hem.bmp",)
    twins, *copies = sorted(result.duplicated, key=lambda one: "fold_1" not in one)
    assert set(twins.split(" = ")) == {*result.unknown, "fold_1/hem/UID_H10_7_2_hem.bmp"}
    assert copies and all("backup/fold_0" in copy for copy in copies)
    for word in ("missing: fold_1", "altered: fold_0", "unknown: fold_1", "duplicated: fold_1"):
        assert word in str(result)


def test_verify_tells_who_in_the_test_sets_is_known_from_training(tmp_path):
    training, *tests = LAYOUTS["tcia"]
    put_tests(tmp_path, *tests)
    with pytest.raises(DataError, match="no training fold"):
        cnmc.verify(tmp_path, progress=False)
    put_training(tmp_path / training)
    assert cnmc.verify(tmp_path, progress=False).notes == (
        "not checked: fold_2, which is not here",
        "not checked: the 3 files of the preliminary test set",
        "note: its subject 55 (47 files) is in training, as 51, 75, 78",
        "not checked: the 2 files of the final test set",
        "note: 16 or more show cells of 51, in training",
    )


def test_kind_is_told_by_content(work, tmp_path):
    frame = sample.index(work)
    assert cnmc.kind(frame, work / "images") == "cnmc-2019-sample"
    put(tmp_path / "fold_0/hem/UID_H11_2_1_hem.bmp")
    more = frame[["path"]].iloc[:3]
    more.loc[len(more)] = str(tmp_path / "fold_0/hem/UID_H11_2_1_hem.bmp")
    assert cnmc.kind(more, tmp_path / "cache") == "other"


def test_content_under_the_name_of_another_class_is_not_the_data_set(work, monkeypatch):
    frame, cache = sample.index(work), work / "images"
    monkeypatch.setitem(cnmc.FINGERPRINTS, ("these",), images.fingerprint(frame, cache))
    assert cnmc.kind(frame, cache) == "cnmc-2019"
    digests = images.digests(frame, cache)
    digests[0], digests[-1] = digests[-1], digests[0]
    monkeypatch.setattr(images, "digests", lambda *_: digests)
    assert cnmc.kind(frame, cache) == "other"


@pytest.mark.skipif("ALLM_DATA" not in os.environ, reason="no C-NMC: ALLM_DATA is not set")
def test_published_folds_are_known_by_their_fingerprint(work):
    frame = cnmc.index(os.environ["ALLM_DATA"])
    assert cnmc.kind(frame[frame["fold"].isin([0, 1])], work / "images") == "cnmc-2019"


class Kaggle:
    """Stands for kagglehub."""

    __spec__ = "there"

    def __init__(self, outcome):
        self.outcome = outcome

    def dataset_download(self, handle, output_dir):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        assert handle == "andrewmvd/leukemia-classification"
        return output_dir


def test_download_returns_the_root(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", Kaggle(None))
    assert cnmc.download(tmp_path / "new") == tmp_path / "new"


@pytest.mark.parametrize(
    ("kaggle", "cure"),
    [
        (Kaggle(ConnectionError("no route\nto host")), "check the connection"),
        (Kaggle(OSError(28, "No space left on device")), "No space left"),
        (Kaggle(FileExistsError("not empty")), "empty it"),
        (None, "allm-utils[download]"),
    ],
)
def test_download_fails_in_one_line(tmp_path, monkeypatch, kaggle, cure):
    monkeypatch.setitem(sys.modules, "kagglehub", kaggle)
    with pytest.raises(AllmError) as error:
        cnmc.download(tmp_path)
    assert cure in str(error.value)
