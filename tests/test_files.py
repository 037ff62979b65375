"""Silence is kept for what is said, not for what goes wrong."""

import logging
import os

import pytest

from allm_utils import files


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
