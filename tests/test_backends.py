"""The nine runs that the page on backends compares."""

import itertools
import re
from pathlib import Path

from allm_utils.runs import records, sweep

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "benchmarks" / "results" / "backends"
BACKENDS = ("tensorflow", "jax", "torch")


def test_nine_runs_of_clean_commits_are_those_of_the_study():
    study = sweep.expand(PLACE.parents[1] / "backends.toml")
    for backend, config in itertools.product(BACKENDS, study):
        record = records.load(PLACE / backend / "sample" / f"{config.run_id()}.json")
        assert sweep.differing(config, record) == set() and record.stale() == []
        assert record.data["data"]["kind"] == "cnmc-2019-sample"
        for process in record.data["processes"]:
            assert process["backend"]["name"] == backend
            assert re.fullmatch(r"[0-9a-f]{40}", process["package"]["commit"])
