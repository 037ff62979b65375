"""The page on backends, recomputed from the tables of its nine runs."""

import csv
import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from allm_utils.runs import records, sweep

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "benchmarks" / "results" / "backends"
BACKENDS, SEEDS = ("tensorflow", "jax", "torch"), (1337, 2, 3)


@pytest.fixture(scope="module")
def answers():
    """The probability of ALL of every test cell, by backend and seed."""
    found = {}
    for backend, seed in itertools.product(BACKENDS, SEEDS):
        (path,) = PLACE.glob(f"{backend}/sample/*-seed{seed}*.csv")
        with path.open() as file:
            rows = sorted(csv.DictReader(file), key=lambda row: row["file"])
        found[backend, seed] = np.array([float(row["p_all"]) for row in rows])
    return found


@pytest.fixture(scope="module")
def page():
    """What the cells of the page leave behind, and the numbers that they glue into its text."""
    text, glued = (ROOT / "book" / "backends.md").read_text(encoding="utf-8"), {}
    cells = re.findall(r"```\{code-cell\} ipython3\n(.*?)```", text, re.DOTALL)
    left = {"glue": lambda name, value, display: glued.update({name: value})}
    for cell in cells:
        code = re.sub(r"\A(---\n.*?\n---\n|(:[^\n]*\n)+)", "", cell, flags=re.DOTALL)
        exec(code.replace("from myst_nb import glue\n", ""), left)
    assert set(re.findall(r"\{glue:text\}`(.+?)`", text)) == set(glued)
    return left, glued


def test_nine_runs_of_clean_commits_are_those_of_the_study():
    study = sweep.expand(PLACE.parents[1] / "backends.toml")
    for backend, config in itertools.product(BACKENDS, study):
        record = records.load(PLACE / backend / "sample" / f"{config.run_id()}.json")
        assert sweep.differing(config, record) == set() and record.stale() == []
        assert record.data["data"]["kind"] == "cnmc-2019-sample"
        for process in record.data["processes"]:
            assert process["backend"]["name"] == backend
            assert re.fullmatch(r"[0-9a-f]{40}", process["package"]["commit"])


def test_the_page_says_what_the_tables_hold(page, answers):
    left, glued = page
    kinds = {
        "another backend, the same seed": ("backend", lambda a, b: a[1] == b[1]),
        "another seed, the same backend": ("seed", lambda a, b: a[0] == b[0]),
    }
    for kind, (short, alike) in kinds.items():
        chosen = [(a, b) for a, b in itertools.combinations(answers, 2) if alike(a, b)]
        apart = np.array([np.abs(answers[a] - answers[b]) for a, b in chosen])
        flips = [((answers[a] >= 0.5) != (answers[b] >= 0.5)).sum() for a, b in chosen]
        shown = left["apart"].loc[kind]
        assert len(chosen) == shown["pairs of runs"] == 9
        assert (shown["mean difference of p"], shown["largest"]) == pytest.approx(
            (apart.mean(), apart.max())
        )
        assert (shown["fewest"], shown["most"]) == (min(flips), max(flips))
        assert float(glued[f"by-{short}"]) == round(apart.mean(), 3)
        assert float(glued[f"flips-{short}"]) == pytest.approx(np.mean(flips), abs=0.051)
