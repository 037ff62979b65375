"""Who is whom: the groups, the twins that ship, and the search that finds them in the sample."""

import os

import numpy as np
import pandas as pd
import pytest

from allm_utils.data import cnmc, images, people, sample
from allm_utils.errors import DataError


@pytest.fixture(scope="module")
def published():
    return cnmc.shipped_index()


def subject_of(files):
    return files.str.split("_").str[1].str.upper()


def pairs_of(twins):
    return {frozenset(pair) for pair in zip(twins["file_a"], twins["file_b"], strict=True)}


def test_73_names_are_58_people_and_folds_0_and_1_share_three(published):
    who = people.person(published["subject"])
    assert published["subject"].nunique() == 73 and who.nunique() == 58
    two = published["fold"] < 2
    assert who[two].groupby(published["label"][two]).nunique().to_dict() == {0: 10, 1: 25}
    shared = set(who[published["fold"] == 0]) & set(who[published["fold"] == 1])
    assert shared == {"1+15+16+17+18+20+21", "43+44", "H14+H24"}
    prelim = set(people.person(cnmc.shipped_prelim()["subject"]))
    assert prelim & set(who) == {"51+55+75+78"}
    both = pd.concat([published, cnmc.shipped_prelim()])
    assert (both.groupby(people.person(both["subject"]))["label"].nunique() == 1).all()


def test_person_of_one_and_of_many():
    assert people.person("43") == people.person("44") == "43+44"
    assert people.person("H43") == "H43"
    assert list(people.person(pd.Series(["H24", "7"]))) == ["H14+H24", "7"]
    assert people.person(pd.Series([None, "7"])).isna().tolist() == [True, False]
    assert pd.Series([None, "7"]).map(people.person).isna().tolist() == [True, False]


def test_groups_are_those_who_share_a_cell_and_no_others():
    """Joining the names of every pair that ships gives the groups."""
    twins = pd.concat([people.byte_twins(), people.pixel_twins()])
    final = twins["file_a"].str.fullmatch(r"\d+\.bmp")  # who that is, is not published
    groups = {}
    for file_a, file_b in twins.loc[~final, ["file_a", "file_b"]].itertuples(index=False):
        a, b = subject_of(pd.Series([file_a, file_b]))
        joined = groups.get(a, {a}) | groups.get(b, {b})
        groups |= dict.fromkeys(joined, joined)
    found = {frozenset(group) for group in groups.values() if len(group) > 1}
    assert found == {frozenset(subjects) for subjects in people.GROUPS.values()}


def test_twins_that_ship_are_published_files(published):
    byte, pixel = people.byte_twins(), people.pixel_twins()
    assert len(byte) == 104 and len(pixel) == 97
    digest = dict(zip(cnmc.file_names(published), published["digest"], strict=True))
    fold = dict(zip(cnmc.file_names(published), published["fold"].astype(str), strict=True))
    assert (byte["file_a"].map(digest) == byte["file_b"].map(digest)).all()
    for twins in (byte, pixel):
        for side in "ab":
            rows = twins[twins[f"fold_{side}"].isin(["0", "1", "2"])]
            assert (rows[f"file_{side}"].map(fold) == rows[f"fold_{side}"]).all()
    assert pixel["ncc"].is_monotonic_decreasing and pixel["ncc"].between(0.75, 1).all()
    assert not pairs_of(byte) & pairs_of(pixel)


@pytest.mark.parametrize(
    ("trained", "known", "new", "outside"),
    [
        # people of fold 1 alone; H14+H24 was trained by its other name
        (["2", "23", "H22", "H14+H24"], ["2", "H24"], ["30", "H10"], ["5", "H6", "13", "53"]),
        # a round over folds 0 and 1
        (["2", "5", "H22", "51+55+75+78"], ["5", "55"], ["28", "H6", "H2"], ["13", "H40", "53"]),
    ],
)
def test_known_new_and_outside_go_by_people(trained, known, new, outside):
    frame = pd.DataFrame({"subject": [*known, *new, *outside, None]})
    found = people.relation(frame, trained)
    expected = ["known"] * len(known) + ["new"] * len(new) + ["outside"] * len(outside)
    assert list(found[:-1]) == expected and pd.isna(found.iloc[-1])


@pytest.fixture(scope="module")
def found(work):
    return people.find_twins(sample.index(work), progress=False)


def test_the_search_finds_the_twenty_pairs_of_the_sample_and_no_other(work, found):
    names = set(cnmc.file_names(sample.index(work)))
    twins = people.pixel_twins()
    here = twins[twins["file_a"].isin(names) & twins["file_b"].isin(names)]
    assert pairs_of(found.pairs) == pairs_of(here) and len(here) == sample.N_TWINS
    assert set(here["fold_a"]) == {"0"} and set(here["fold_b"]) == {"1"}
    assert found.pairs["ncc"].is_monotonic_decreasing
    assert (subject_of(found.pairs["file_a"]) == found.pairs["subject_a"]).all()


def test_the_control_across_classes_ends_below_the_twins(found):
    assert len(found.control) > 1000
    assert found.control.max() < people.TWIN - 0.1
    lines = str(found).splitlines()
    assert len(lines) == sample.N_TWINS + 2
    assert lines[0].startswith(f"{found.pairs['file_a'][0]} {found.pairs['subject_a'][0]} ")
    assert f"largest {found.control.max():.3f}" in lines[-1]


def test_a_twin_is_found_though_shifted_lit_otherwise_and_cut_otherwise(work, tmp_path):
    frame = sample.index(work)
    frame = frame[frame["subject"].isin(["5", "H6"])].reset_index(drop=True)
    twin = np.roll(images.read(frame["path"][frame["subject"] == "5"].iloc[0]), (30, -17), (0, 1))
    twin = (twin * 0.8).astype(np.uint8)
    rows = np.flatnonzero(twin.any(axis=(1, 2)))
    twin[rows[0] : rows[0] + 12] = 0
    path = tmp_path / "UID_99_1_1_all.png"
    images.Image.fromarray(twin).save(path)
    other = frame[frame["subject"] == "5"].iloc[:1].assign(path=str(path), subject="99")
    twins = people.find_twins(pd.concat([frame, other]), progress=False).pairs
    assert len(twins) == 1 and twins["subject_b"][0] == "99" and twins["ncc"][0] > 0.9
    assert os.path.basename(frame["path"][frame["subject"] == "5"].iloc[0]) == twins["file_a"][0]


def test_one_subject_has_nobody_to_be_compared_with(work):
    frame = sample.index(work)
    with pytest.raises(DataError, match="fewer than two subjects"):
        people.find_twins(frame[frame["subject"] == "5"])
