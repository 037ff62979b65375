"""What others check: every number from the records, made anew; and a list of all figures."""

import sys

import pytest


@pytest.fixture
def codecheck(root, runs, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(root / "book"), *sys.path])
    import codecheck

    monkeypatch.setattr(codecheck.Runs, "load", lambda folder: runs)
    return codecheck


def test_made_anew_everything_is_as_it_is_kept(codecheck, tmp_path, capsys):
    assert codecheck.main(tmp_path) is None
    assert capsys.readouterr().out.count("as kept") == len(codecheck.TABLES) + 1


def test_a_number_that_differs_is_told(codecheck, tmp_path, monkeypatch):
    monkeypatch.setattr(
        codecheck, "TABLES", {"headline": lambda runs: codecheck.headline(runs).assign(value=0.99)}
    )
    assert "codecheck/headline.csv" in codecheck.main(tmp_path)
