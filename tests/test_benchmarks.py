"""The benchmarks run, on tiny sizes, and keep what they measure. No time is asserted."""

import functools
import json
import math
import os
import shutil
import signal
import subprocess
import time
from types import SimpleNamespace

import numpy as np
import pytest

from allm_utils.data import cnmc, sample
from allm_utils.network import models, saving
from benchmarks import __main__ as command
from benchmarks import book, card, growth, inference, measure, report, steps
from benchmarks.measure import TINY, compare, row

ROW = {"what", "unit", "ours", "alternative", "alternative_name", "ratio", "low", "high", "goal"}


@pytest.fixture(scope="module")
def run(tree, tmp_path_factory):
    """A tiny run of everything but the book, on one sample and one narrow network: its folder."""
    folder, once = tmp_path_factory.mktemp("results"), tmp_path_factory.mktemp("network")
    narrow = functools.partial(models.mobilenet_m, alpha=0.25)
    narrow = SimpleNamespace(mobilenet_m=narrow, precision=models.precision)
    made = functools.partial(functools.cache(inference.model_files), folder=once)

    def model_files(scale, folder):
        for path in made(scale).values():
            for file in (path, saving.card_path(path)):
                shutil.copy(file, folder)
        return made(scale)

    def watched(step, root):
        return growth._watched(growth.STEPS[step], root)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample, "root", lambda _: tree)
        for module in (steps, card, inference):
            patch.setattr(module, "models", narrow)
        patch.setattr(inference, "model_files", model_files)
        patch.setattr(growth, "_in_a_child", watched)
        command.main(["--tiny", "--results", str(folder)])
    return folder


def test_a_run_is_kept_by_date_and_all_of_it_is_shown(run):
    (path,) = run.iterdir()
    kept = json.loads(path.read_text())
    assert path.stem == kept["date"] and len(kept["date"].split("-")) == 3
    assert kept["hardware"] and kept["backend"]["version"] and kept["package"]["version"]
    assert report.latest(run) == kept and len(kept["rows"]) >= 6
    shown = report.tables(kept)
    for one in kept["rows"]:
        assert set(one) == ROW and one["alternative_name"]
        assert 0 < one["low"] <= one["ratio"] <= one["high"] < math.inf
        assert min(one["ours"], one["alternative"]) > 0
        assert f"| {one['what']} |" in shown and f"**{report.number(one['ratio'])}**" in shown
    for what, sizes in kept["growth"].items():
        assert [one["pictures"] for one in sizes] == [TINY.pictures, TINY.many]
        assert all(one["seconds"] > 0 and 10 < one["peak_mb"] < 10_000 for one in sizes)
        assert shown.count(f"| {what} |") == 2
    assert [one["goal"] for one in kept["rows"][:5]] == [10, 2, 1 / 1.05, None, None]
    assert [n for n, one in enumerate(kept["rows"]) if one["what"] == card.WHAT] == [3, 4]


def test_one_topic_is_shown_and_not_kept(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setitem(command.TOPICS, "steps", None)
    monkeypatch.setattr(
        command, "compare", lambda *_: [row("this", "that", [1], [2], unit="s", goal=None)]
    )
    command.main(["steps"])
    assert "| this | 1\xa0s | that | 2\xa0s | **2** |" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_later_topic_joins_the_result_of_the_day(tmp_path):
    def measured(*names, growth=None):
        rows = [row(what, "that", [1], [len(names)], unit="s") for what in names]
        return report.describe(rows, growth or {})

    report.save(measured("one", "two", growth={"g": []}), tmp_path)
    report.save(measured("two", "book", "more"), tmp_path)
    kept = report.latest(tmp_path)
    assert [(r["what"], r["alternative"]) for r in kept["rows"]] == [
        ("one", 2), ("two", 3), ("book", 3), ("more", 3)
    ]  # fmt: skip
    assert kept["growth"] == {"g": []}
    assert [("commit" in r) for r in kept["rows"]] == [True, False, False, False]
    report.save(measured("one") | {"hardware": "another"}, tmp_path)
    assert [r["what"] for r in report.latest(tmp_path)["rows"]] == ["one"]


def test_a_row_is_the_median_of_the_turns():
    made = row("a", "b", [0.001, 0.002, 0.004], [0.01, 0.01, 0.01], unit="ms a picture", goal=3)
    assert made["ours"] == pytest.approx(2) and made["alternative"] == pytest.approx(10)
    assert [made[name] for name in ("low", "ratio", "high")] == pytest.approx([2.5, 5, 10])
    assert row("a", "b", [2], [4], unit="s")["ours"] == 2


def test_ways_take_turns_and_the_clock_is_the_one_named():
    calls, now = [], iter(range(100))
    made = compare(
        "a", "b", lambda: calls.append("a"), lambda: calls.append("b"),
        turns=2, count=4, unit="s", clock=lambda: float(next(now)),
    )  # fmt: skip
    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert made["ours"] == made["alternative"] == 0.25 and made["ratio"] == 1


def test_a_card_is_watched_while_a_way_runs(tmp_path, monkeypatch):
    watcher = tmp_path / "nvidia-smi"
    watcher.write_text("#!/bin/sh\nfor share in 0 50 70 90; do echo $share; done; exec sleep 9\n")
    watcher.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    calls, watchers = [], []

    class Seen(subprocess.Popen):
        def __init__(self, *words, **how):
            super().__init__(*words, **how)
            watchers.append(self)

    monkeypatch.setattr(subprocess, "Popen", Seen)
    assert measure.busy(lambda: calls.append(time.sleep(0.05)), seconds=0.2) == pytest.approx(0.7)
    assert len(calls) >= 2
    with pytest.raises(ZeroDivisionError):
        measure.busy(lambda: 1 / 0)
    assert [watcher.returncode for watcher in watchers] == [-signal.SIGTERM] * 2
    measured = row("this", "that", [1], [2], unit="s") | {"busy": 0.7, "alternative_busy": 0.25}
    shown = report.tables({"rows": [measured], "growth": {}})
    assert "the card busy 70% of it" in shown and "the card busy 25% of it" in shown


def test_a_tree_has_the_names_of_the_training_set(work, tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "root", lambda _, root=sample.root: root(work))
    root = measure.tree(tmp_path, 96)
    assert growth._in_a_child("Index", root)["peak_mb"] > 10
    frame = cnmc.index(root)
    assert len(frame) == 96 and set(frame["fold"]) == {0, 1, 2} and set(frame["label"]) == {0, 1}


def test_memory_is_watched_while_it_is_taken():
    def take():
        block = np.ones(2**23)  # 64 MB
        time.sleep(0.2)  # held for twenty looks at the memory, however busy the machine is
        return block.sum()

    before = growth._memory()
    assert growth._watched(take)["peak_mb"] > before + 50


def test_the_book_is_built_twice(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book").mkdir()
    (tmp_path / "_config.yml").write_text("title: tiny\nexecute: {execute_notebooks: 'off'}\n")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (tmp_path / "book" / "index.md").write_text("# Tiny\n")
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    (built,) = book.rows(measure.TINY, tmp_path / "work", root=tmp_path)
    assert set(built) == ROW and built["alternative_name"] == "the first build"
    assert (tmp_path / "work" / "book" / "_build" / "html" / "book" / "index.html").exists()
