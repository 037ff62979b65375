"""Studies: what they expand to, and that a run which dies is gone on with, on every engine."""

import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
import yaml

from allm_utils import cli
from allm_utils.errors import ConfigError, RecordError
from allm_utils.runs import engines, records, sweep
from allm_utils.runs.engines import EngineConfig

ROOT = Path(__file__).resolve().parents[1]
STUDIES = sorted((ROOT / "studies").glob("*.toml"))

TINY = """
[[runs]]
experiment = "tiny"
image_size = 32
epochs = 2
conditions = ["clean"]
each.alpha = [0.25]
each.seed = [1, 2]

[[runs]]
model = "area"
"""

REAL = """
[[runs]]
model = "alnett_style"
weights = "none"
image_size = 32
epochs = 5
conditions = ["clean"]
each.seed = [1, 2]

[[runs]]
model = "area"
"""


@pytest.fixture
def study(tmp_path, tree, work):
    """Expand a small study whose folders are below the test's own."""

    def expand(text=TINY):
        (tmp_path / "study.toml").write_text(text)
        (work / "images").mkdir(exist_ok=True)
        (tmp_path / "work").mkdir(exist_ok=True)
        if not (tmp_path / "work" / "images").exists():
            (tmp_path / "work" / "images").symlink_to(work / "images")
        return sweep.expand(tmp_path / "study.toml", data=tree, work=tmp_path / "work")

    return expand


# -- what a study is --------------------------------------------------------------------------


def test_the_studies_of_the_book_make_the_records_of_the_book(runs):
    """Each of its records but those of networks that were tested again, with the same settings."""
    studied = {sweep.name(c): c for path in STUDIES for c in sweep.expand(path)}
    made = {r.name: r for r in runs if "source" not in r.data}
    assert set(studied) == set(made), "change studies/*.toml, or results/"
    for name, record in made.items():
        assert sweep.differing(studied[name], record) == set()
        asked = getattr(studied[name], "conditions", ["clean"])
        assert set(record.data["conditions"]) <= set(asked), name


def test_every_combination_is_a_run_named_by_what_it_is(study):
    one, two, ruler = study()
    assert sweep.name(one) == "tiny-alpha0.25/mobilenet_m-paper-fold1-seed1"
    assert two.seed == 2 and two.alpha == 0.25 and two.image_size == 32
    assert sweep.name(ruler) == "probe/area-paper-fold1-seed1337"
    text = "[[runs]]\neach.sigmas = [[3, 9], [5]]\neach.folds = [[0], [1]]"
    names = [sweep.name(config) for config in study(text)]
    assert (
        len(set(names)) == 4 and "mobilenet_m-sigmas-3-9/mobilenet_m-paper-fold0-seed1337" in names
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "not a study"),
        ("[[runs]", "not a study"),
        ("runs = 3", "not a study"),
        ("[[runs]]\neach.seed = 3", "not a study"),
        ("[[runs]]\nepoch = 3", "epoch"),
        ("[[runs]]\nepochs = 0", "epochs 0"),
        ('[[runs]]\nepochs = "many"', "wrong kind"),
        ("[[runs]]\nepochs = 3\n[[runs]]\nepochs = 4", "twice"),
    ],
)
def test_what_is_wrong_with_a_study_is_one_line(study, text, named):
    with pytest.raises(ConfigError, match=rf"study\.toml.*{named}"):
        study(text)


def test_a_plan_prices_what_is_not_there_by_recorded_speed(study, runs, capsys):
    known = runs
    (path,) = [p for p in STUDIES if p.stem == "table5"]
    table = sweep.plan(sweep.expand(path), known)
    recorded = {r.name: r.seconds / 3600 for r in known.where(experiment="table5")}
    assert not table["there"].any() and table["gpu"].all()
    assert 0.7 < table["hours"].sum() / sum(recorded.values()) < 1.3
    table = sweep.plan(sweep.expand(path, out=records.RESULTS), known)
    assert table["there"].all()
    config = study("[[runs]]\nepochs = 100\neach.image_size = [224, 64]\neach.alpha = [1.0, 0.75]")
    there, *unknown = sweep.plan(config, known)["hours"]
    assert there > 0 and all(hours != hours for hours in unknown)
    assert "3 runs of networks or sizes" in sweep.priced(sweep.plan(config, known), 0.125)
    argv = ["sweep", str(path), "--plan", "--out", str(records.RESULTS)]
    assert cli.main(argv) == 0 and "0 of 6 would run" in capsys.readouterr().out


# -- an engine that does as it is told --------------------------------------------------------


class Told:
    """Runs that end as listed: a text is returned, an exception raised."""

    workers = 2

    def __init__(self, *ends):
        self.ends, self.began, self.stopped = list(ends), [], False

    def submit(self, config):
        self.began.append(sweep.name(config))
        end = self.ends.pop(0)

        class Job:
            done = staticmethod(lambda: True)

            def result(self):
                if isinstance(end, BaseException):
                    raise end
                return end

        return Job()

    def stop(self):
        self.stopped = True


def test_a_run_that_dies_is_tried_three_times_more_and_one_that_refuses_is_not(study):
    configs = study()[:2]
    engine = Told(OSError("node lost"), "no fold 7", *[OSError("node lost")] * 3)
    failed = sweep.sweep(configs, engine, progress=False)
    one, two = map(sweep.name, configs)
    assert failed == {one: "node lost", two: "no fold 7"} and engine.stopped
    assert engine.began == [one, two, one, one, one]


def test_a_run_given_up_too_early_that_ended_after_all_is_no_failure(study, monkeypatch):
    """Its replacement then finds the record there, and refuses."""
    ended = iter([False, True])
    monkeypatch.setattr(sweep, "finished", lambda config: next(ended))
    assert sweep.sweep(study()[:1], Told("there already"), progress=False) == {}


def test_ctrl_c_stops_the_engine_and_says_how_to_go_on(study, monkeypatch, capsys, tmp_path):
    study()
    engine = Told(KeyboardInterrupt())
    monkeypatch.setattr(engines, "Here", lambda *_: engine)
    argv = ["sweep", tmp_path / "study.toml", "--work", tmp_path / "work", "--only", "2"]
    assert cli.main(list(map(str, argv))) == 130 and engine.stopped
    assert "1 runs are left; the same command" in capsys.readouterr().err


def test_a_record_of_other_settings_is_not_taken_for_the_run(study):
    ruler = study()[2]
    engines.attempt(ruler)
    assert sweep.finished(ruler) and engines.attempt(ruler).endswith("experiment's name")
    (other,) = study('[[runs]]\nmodel = "area"\ncrop = 200')
    with pytest.raises(RecordError, match="another crop"):
        sweep.finished(other)


# -- engines ----------------------------------------------------------------------------------


def after_an_epoch(configs, act):
    """Act, beside the test, once each of these runs has finished an epoch."""

    def done(config):
        note = config.work / "runs" / config.experiment / config.run_id() / "run.json"
        return note.exists() and sum(p["epochs"] for p in json.loads(note.read_text())["processes"])

    def wait():
        while not all(map(done, configs)):
            time.sleep(0.05)
        act()

    threading.Thread(target=wait, daemon=True).start()


def resumed(configs):
    """Which runs were made by two processes, by their records."""
    made = [records.load(config.records / f"{config.run_id()}.json") for config in configs]
    return [record.data["resumed"] for record in made]


def test_here_a_killed_run_is_gone_on_with_and_a_finished_one_is_not_run_again(study, tmp_path):
    network, _, ruler = study(REAL)
    engine = engines.Here(EngineConfig(workers=2), tmp_path)
    after_an_epoch([network], lambda: engine._children[network].kill())
    configs = network, ruler
    assert sweep.sweep(configs, engine, progress=False) == {}
    assert resumed(configs) == [True, False]
    assert sweep.sweep(configs, Told(), progress=False) == {}


def test_runs_share_the_cards_and_the_cores(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    engine = engines.Here(EngineConfig(gpus=0.5), tmp_path)
    assert engine.workers <= 4
    slots = [engine._slots.get()["CUDA_VISIBLE_DEVICES"] for _ in range(engine.workers)]
    assert slots[:2] == ["2", "3"]
    engine.stop()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert engines.Here(EngineConfig(cpus=os.cpu_count()), tmp_path).workers == 1


@pytest.mark.needs("ray")
def test_a_lost_node_of_a_ray_cluster_loses_no_run(study, tmp_path, monkeypatch):
    # niceness is 15 by default: beside other work its runs hardly ever end
    for name in ("worker_niceness", "USAGE_STATS_ENABLED", "ENABLE_UV_RUN_RUNTIME_ENV"):
        monkeypatch.setenv(f"RAY_{name}", "0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        lost = cluster.add_node(num_cpus=1)
        configs = study(REAL)[:2]
        where = EngineConfig(engine="ray", address=cluster.address, cpus=1)
        engine = engines.start(where, tmp_path)
        after_an_epoch(configs, lambda: cluster.remove_node(lost, allow_graceful=False))
        assert sweep.sweep(configs, engine, progress=False) == {}
    finally:
        cluster.shutdown()
    assert sorted(resumed(configs)) == [False, True]


@pytest.mark.needs("submitit")
def test_under_slurm_a_job_that_dies_is_submitted_again(study, tmp_path):
    configs = study(REAL)[:1]
    engine = engines.Slurm(EngineConfig(gpus=0), tmp_path, cluster="local")

    def kill():  # the run itself: the process that watches it would leave it running
        subprocess.run(["pkill", "-KILL", "-P", str(engine._jobs[0]._process.pid)], check=True)

    after_an_epoch(configs, kill)
    assert sweep.sweep(configs, engine, progress=False) == {}
    assert len(engine._jobs) == 2 and resumed(configs) == [True]


def test_the_kubernetes_example_is_an_indexed_job_with_an_index_for_each_run():
    job = yaml.safe_load((ROOT / "studies" / "kubernetes.yaml").read_text())
    spec = job["spec"]
    assert (job["kind"], spec["completionMode"]) == ("Job", "Indexed")
    assert spec["completions"] == len(sweep.expand(ROOT / "studies" / "table5.toml"))
    assert spec["backoffLimitPerIndex"] == sweep.RETRIES
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # which backoffLimitPerIndex asks for
    (container,) = pod["containers"]
    line = " ".join(container["command"])
    assert "--only $(JOB_COMPLETION_INDEX)" in line and "table5.toml" in line
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
