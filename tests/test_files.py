"""Silence is kept for what is said, not for what goes wrong."""

import logging
import os
from pathlib import Path

import pytest

from allm_utils import files
from allm_utils.errors import DataError


def test_quiet_holds_back_what_is_said_and_not_what_goes_wrong(capfd):
    with pytest.raises(ValueError, match="wrong"), files.quiet():
        print("said")
        os.write(2, b"said by a library")
        logging.getLogger("library").warning("said")
        raise ValueError("wrong")
    logging.getLogger("library").warning("heard")
    os.write(2, b"heard too")
    out, err = capfd.readouterr()
    assert out == "" and "said" not in err and "heard too" in err


@pytest.mark.parametrize("folder", [True, False])
def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path, folder):
    for name in ("dead", "living"):
        part = tmp_path / f".cells.{name}.part"
        part.mkdir() if folder else part.touch()
    with files._claimed(tmp_path / ".cells.living.part"):
        write = (lambda part: (part / "x").touch()) if folder else Path.touch
        files.write_atomically(tmp_path / "cells", write, folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".cells.living.part", "cells"]
    assert (tmp_path / "cells").is_dir() == folder


def test_an_error_without_a_number_is_told_too(tmp_path):
    """As NumPy's, when the disk is full."""

    def write(part):
        raise OSError("8 requested and 0 written")

    with pytest.raises(DataError, match="8 requested"):
        files.write_atomically(tmp_path / "x", write)
    assert not list(tmp_path.iterdir())
