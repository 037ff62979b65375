"""The real cells that ship: chosen by the rule, and the published files byte for byte."""

import os
from importlib import resources
from pathlib import Path

import pytest

from allm_utils.data import cnmc, images, people, sample
from allm_utils.errors import DataError

CELLS = Path(str(resources.files("allm_utils.data"))) / "cells"


@pytest.fixture(scope="module")
def frame(work):
    return sample.index(work)


def file_names(frame):
    return frame["path"].str.rsplit(os.sep, n=1).str[-1]


def test_the_rule_chooses_the_cells_that_ship():
    shipped = {path.stem for path in CELLS.glob("*.webp")}
    assert {Path(name).stem for name in sample.choose()["file"]} == shipped


def test_both_classes_are_equal_and_all_people_are_there(frame):
    published = cnmc.shipped_index()
    published = published[published["fold"] < 2]
    for outside, n in ((False, sample.N_CELLS), (True, sample.N_OUTSIDE)):
        labels = frame["label"][frame["outside"] == outside]
        assert labels.value_counts().to_dict() == {0: n // 2, 1: n // 2}
    who = people.person(frame["subject"])
    known = set(people.person(published["subject"]))
    assert set(who[~frame["outside"]]) == known and len(known) == 35
    outside = who[frame["outside"]]
    assert outside.nunique() == 14 and not set(outside) & known
    assert who[~frame["outside"]].value_counts().min() >= 9  # enough to split


def test_the_files_are_the_published_ones_byte_for_byte(work, frame):
    found = cnmc.verify(sample.root(work), progress=False)
    assert found.n_checked == len(frame) == 600
    assert not (found.altered or found.unknown or found.duplicated or found.known_duplicates)
    published = cnmc.shipped_index()
    n_published = published["fold"].value_counts()
    assert len(found.missing) == n_published.sum() - len(frame)


def test_a_cell_that_is_not_the_published_one_leaves_nothing(tmp_path, monkeypatch):
    digests = sample._shipped().assign(digest="0" * 12)
    monkeypatch.setattr(sample, "_shipped", lambda: digests)
    with pytest.raises(DataError, match="not the cell that was published"):
        sample.write(tmp_path / "tree")
    assert not any(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "sample" / "fold_0").mkdir(parents=True)
    with pytest.raises(DataError, match="exists already; give a new folder"):
        sample.write(tmp_path / "sample")
    with pytest.raises(DataError, match="not the sample that ships; remove this folder"):
        sample.root(tmp_path)
    assert [p.name for p in (tmp_path / "sample").iterdir()] == ["fold_0"]


def test_the_sample_weighs_at_most_16_mib_and_says_whose_it_is():
    blocks = sum(path.stat().st_blocks * 512 for path in CELLS.iterdir())
    assert blocks <= 16 * 2**20
    licence = (CELLS / "LICENSE").read_text()
    for word in ("Anubha Gupta", "10.7937/tcia.2019.dc64i46r", "Attribution 3.0", "without loss"):
        assert word in licence
    assert "10.7937/tcia.2019.dc64i46r" in sample.CITATION and "CC BY 3.0" in sample.CITATION
    notice = (CELLS.parent / "weights" / "NOTICE").read_text()
    assert "Google" in notice and "Apache" in notice and "not the official file" in notice


def test_captions_name_the_people(frame):
    shown = frame[frame["subject"].isin(["43", "44", "H11"])]
    assert sample.people_shown(shown) == "people: HEM H11; ALL 43+44"
    assert sample.people_shown(frame[frame["subject"] == "5"]) == "people: ALL 5"


def test_encoding_again_keeps_every_pixel(work, frame, tmp_path, monkeypatch):
    few = frame.iloc[::120].assign(file=file_names(frame))
    monkeypatch.setattr(sample, "choose", lambda: few)
    sample.encode(tmp_path, sample.root(work))
    for path in few["path"]:
        again = images.read((tmp_path / Path(path).name).with_suffix(".webp"))
        assert (again == images.read(path)).all()
    with pytest.raises(DataError, match="lacks 5 cells of the sample; give all the trees"):
        fold = few["path"][few["fold"] == 0].iloc[0]
        sample.encode(tmp_path, Path(fold).parents[1].parent / "fold_2")
