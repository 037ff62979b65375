"""One fold in one file: published bytes in, the same bytes out, wherever a folder is taken."""

import shutil
import tempfile
import zipfile
from pathlib import Path

import pytest

from allm_utils import cli
from allm_utils.book import profile
from allm_utils.data import cnmc, pack, sample
from allm_utils.errors import DataError


@pytest.fixture(scope="module")
def tree(work, tmp_path_factory):
    """Eight cells of fold 1."""
    place = tmp_path_factory.mktemp("tree")
    frame = sample.index(work).query("fold == 1").groupby("label").head(4)
    for path in map(Path, frame["path"]):
        target = place.joinpath(*path.parts[-3:])
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return place


@pytest.fixture(scope="module")
def archive(tree, tmp_path_factory):
    file = tmp_path_factory.mktemp("packed") / "fold_1.zip"
    assert cli.main(["data", "pack", str(tree), str(file), "--fold", "1"]) == 0
    return file


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "unpacked"))


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.bmp")}


def test_archive_is_small_and_gives_every_byte_back(tree, archive):
    before = contents(tree)
    assert contents(pack.opened(archive)) == before
    assert archive.stat().st_size < sum(map(len, before.values())) / 10
    assert pack.opened(archive) == pack.opened(archive)


def test_commands_and_the_class_profile_take_an_archive(archive, monkeypatch, capsys):
    assert len(cnmc.index(archive)) == 8
    assert cli.main(["data", "index", str(archive)]) == 0 and "fold 1" in capsys.readouterr().out
    found = cnmc.verify(archive, progress=False)
    assert (found.n_checked, found.altered, found.unknown) == (8, (), ())
    monkeypatch.setenv("ALLM_DATA", str(archive))
    monkeypatch.setenv("ALLM_PROFILE", "class")
    run = profile.current()
    assert len(run.frame()) == 8 and (run.image_size, run.alpha) == (112, 1.0)


def test_damaged_and_foreign_archives_are_refused(tree, archive, tmp_path):
    broken, foreign = tmp_path / "broken.zip", tmp_path / "foreign.zip"
    broken.write_bytes(archive.read_bytes()[:-200])
    with zipfile.ZipFile(foreign, "w") as file:
        file.writestr("fold_1/all/notes.webp", b"")
    with zipfile.ZipFile(archive) as good, zipfile.ZipFile(tmp_path / "swapped.zip", "w") as bad:
        names = good.namelist()
        for name, other in zip(names, reversed(names), strict=True):
            bad.writestr(name, good.read(other))
    for file, words in (
        (broken, "copy the archive again"),
        (foreign, "not made by"),
        (tmp_path / "swapped.zip", "not the cell that was published"),
    ):
        with pytest.raises(DataError, match=words):
            pack.opened(file)
    assert not list((tmp_path / "unpacked").glob("*"))
    with pytest.raises(DataError, match="no fold 0"):
        pack.write(tree, tmp_path / "none.zip", 0)
    assert not (tmp_path / "none.zip").exists()
