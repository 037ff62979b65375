"""What a reader's own split lets leak."""

import pandas as pd
import pytest

from allm_utils.data import cnmc, leaks, splits
from allm_utils.errors import DataError

SPLIT = """file,part
UID_43_4_4_all.bmp,train
UID_44_23_4_all.bmp,test
folder/UID_44_23_5_all.bmp,train
UID_20_5_2_all.bmp,val
C:\\cells\\UID_5_1_1_all.bmp,train
UID_5_1_2_all.bmp,train
UID_H10_135_2_hem.bmp,train
UID_H10_168_2_hem.bmp,unused
UID_h3_1_1_hem.bmp,
UID_H22_1_1_hem.bmp,train
UID_H22_1_1_hem.bmp,val
"""


def found(table):
    return {(row.kind, row.what): (row.parts, row.images) for row in table.itertuples()}


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text(SPLIT)
    return path


def test_people_smears_files_and_twins_in_two_parts_are_named(csv):
    assert found(leaks.leaks(pd.read_csv(csv))) == {
        ("file", "UID_H22_1_1_hem.bmp"): ("train+val", 2),
        ("person", "43+44"): ("test+train", 3),
        ("person", "H22"): ("train+val", 2),
        ("smear", "44, smear 23"): ("test+train", 2),
        ("smear", "H22, smear 1"): ("train+val", 2),
        ("pixel twin", "UID_43_4_4_all.bmp = UID_44_23_4_all.bmp"): ("test+train", 2),
    }


def test_byte_twins_are_named(csv):
    csv.write_text(SPLIT.replace("unused", "test"))
    twins = ("byte twin", "UID_H10_135_2_hem.bmp = UID_H10_168_2_hem.bmp")
    assert found(leaks.leaks(pd.read_csv(csv)))[twins] == ("test+train", 2)


def test_a_column_says_who_it_is_where_the_name_does_not():
    frame = pd.DataFrame({"path": ["1.bmp", "2.bmp", "3.bmp"], "part": ["a", "b", "b"]})
    with pytest.raises(DataError, match="1.bmp: who is it. Give a column 'subject'"):
        leaks.leaks(frame)
    table = leaks.leaks(frame.assign(subject=["55", "51", "53"]))
    assert found(table) == {("person", "51+55+75+78"): ("a+b", 2)}


def test_every_split_of_ours_leaks_what_it_says():
    frame = cnmc.shipped_index().query("fold == 1")
    split = splits.paper_split(frame)
    kinds = leaks.leaks(frame.assign(part=split)).groupby("kind").size()
    assert kinds["person"] == 14 and kinds["smear"] > 300 and kinds["byte twin"] >= 1
    for whole in splits.patient_disjoint_split(frame, 3):
        assert leaks.leaks(frame.assign(part=whole)).empty


def test_the_report_counts_and_names_the_first(csv, tmp_path):
    lines = leaks.report(csv).splitlines()
    assert "person: 2 in more than one part (5 images)" in lines
    assert "  UID_43_4_4_all.bmp = UID_44_23_4_all.bmp (test+train)" in lines
    frame = cnmc.shipped_index()
    frame.assign(part=splits.paper_split(frame)).to_csv(csv)
    assert "  ..." in leaks.report(csv).splitlines() and len(leaks.report(csv)) < 4000
    csv.write_text("file,part\nUID_5_1_1_all.bmp,train\n")
    assert leaks.report(csv) == f"{csv}: nothing stands in two parts"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "cannot be read"),
        ("file\nUID_5_1_1_all.bmp\n", "no column 'part'"),
        ("image,part\nUID_5_1_1_all.bmp,train\n", "no column 'path'"),
        ("file,part\ncell 7.png,train\n", "cell 7.png: who is it"),
        (None, "cannot be read"),
    ],
)
def test_what_is_wrong_with_the_file_is_one_line(csv, text, named):
    csv.unlink() if text is None else csv.write_text(text)
    with pytest.raises(DataError, match=named) as error:
        leaks.report(csv)
    assert str(csv) in str(error.value)
