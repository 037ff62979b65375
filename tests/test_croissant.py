"""The description of the sample and of the answers for machines, read as they read it."""

import pandas as pd
import pytest

from allm_utils import __version__

# Not among the tests' requirements: it brings type stubs of pandas, which `make lint` would follow.
mlcroissant = pytest.importorskip("mlcroissant")


def test_a_machine_reads_the_answers_and_finds_the_cells(root):
    described = mlcroissant.Dataset(root / "croissant.json", mapping={"repository": root})
    assert described.metadata.version == __version__
    answer = next(iter(described.records("answer")))
    rows = [
        row
        for path in (root / "results").glob("*/*-seed*.csv.gz")
        for row in pd.read_csv(path, nrows=1).itertuples(index=False)
    ]
    told = (answer["answer/file"].decode(), answer["answer/label"], answer["answer/p_all"])
    assert told in {(row.file, row.label, row.p_all) for row in rows}
    (cells,) = (each for each in described.metadata.distribution if each.name == "cells")
    assert len(list(root.glob(*cells.includes))) == 600
