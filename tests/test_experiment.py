"""A run from configuration to record: resumed, refused, locked, tested again."""

import json
import math
import os
import shutil
from dataclasses import fields

import keras
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from allm_utils.data import images, people, sample, splits
from allm_utils.errors import ConfigError, DataError, RecordError
from allm_utils.network import models, saving, training
from allm_utils.network.recipe import Recipe
from allm_utils.network.training import TrainingConfig
from allm_utils.runs import experiment, records, store
from allm_utils.runs.config import ExperimentConfig
from allm_utils.runs.config import configured as config_of
from allm_utils.runs.records import Record

TESTED = ("clean", "noise:5", "grey", "tta")

pytestmark = pytest.mark.usefixtures("stand_in")


@pytest.fixture(scope="module")
def cache(work):
    (work / "images").mkdir(parents=True, exist_ok=True)
    return work / "images"


def configured(base, tree, cache, **changes):
    """A configuration whose folders are below `base`, with a cache that all tests share."""
    train = {"epochs": 3, "seed": 7}
    recipe = {key: changes.pop(key) for key in list(changes) if key in names(Recipe)}
    train |= {key: changes.pop(key) for key in list(changes) if key in names(TrainingConfig)}
    (base / "work").mkdir(exist_ok=True, parents=True)
    if not (base / "work" / "images").exists():
        (base / "work" / "images").symlink_to(cache)
    how = {"data": tree, "work": base / "work", "out": base / "out", "model": "small"}
    how |= {"weights": None, "image_size": 32, "conditions": TESTED, "experiment": "e"}
    how["training"] = TrainingConfig(**train, recipe=Recipe(**recipe))
    return ExperimentConfig(**how | changes)


@pytest.fixture
def config(tree, cache, tmp_path):
    return lambda **changes: configured(tmp_path, tree, cache, **changes)


def names(kind):
    return {field.name for field in fields(kind)}


def run(config, **options):
    return records.load(experiment.run(config, progress=False, **options))


def folder(config):
    return config.work / "runs" / config.experiment / config.run_id()


def kill_after(epochs, monkeypatch, kind=KeyboardInterrupt):
    """End as when killed, once so many epochs have been saved."""
    save = training._Checkpoint.on_epoch_end

    def then_stop(self, epoch, logs=None):
        save(self, epoch, logs)
        if epoch + 1 == epochs:
            raise kind

    monkeypatch.setattr(training._Checkpoint, "on_epoch_end", then_stop)


def killed(config, epochs, monkeypatch, **options):
    with monkeypatch.context() as patch:
        kill_after(epochs, patch)
        with pytest.raises(KeyboardInterrupt):
            run(config, **options)


# -- what is recorded -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(stand_in, tree, cache, tmp_path_factory):
    base = tmp_path_factory.mktemp("done")
    settings = configured(base, tree, cache, model_file=base / "m.safetensors", note="a test")
    return settings, run(settings)


def test_the_record_says_what_ran(done, tree):
    settings, record = done
    data = record.data
    frame, split = experiment.select(settings)
    assert data["id"] == "small-paper-fold1-seed7" and record.name == f"e/{data['id']}"
    assert data["data"]["kind"] == "cnmc-2019-sample"
    assert data["data"]["fingerprint"] == images.fingerprint(frame, settings.work / "images")
    for condition in TESTED:
        tested = sorted(os.path.basename(path) for path in frame["path"][split == "test"])
        assert record.rows(condition)["file"].tolist() == tested
    for part in splits.PARTS:
        chosen = frame[split == part]
        assert data["split"][part]["n"] == len(chosen)
        assert data["split"][part]["subjects"] == sorted(chosen["subject"].unique())
    assert data["epochs_run"] == len(data["history"]["val_loss"]) == 3
    assert data["best_epoch"] == int(np.argmin(data["history"]["val_loss"]))
    (process,) = data["processes"]
    assert process["epochs"] == 3 and 0 < process["seconds"] < 600 and not data["resumed"]
    assert process["backend"]["name"] == keras.backend.backend()
    assert process["hardware"]["cores"] == os.cpu_count()
    assert data["config"]["brightness"] == [0.4, 0.8] and data["config"]["split_seed"] == 7
    assert record.stale() == []
    text = json.dumps(data)
    assert all(str(place) not in text for place in (tree, settings.work, os.path.expanduser("~/")))


def test_the_saved_model_gives_the_recorded_answers_and_names_its_people(done):
    settings, record = done
    model, card = saving.load(settings.model_file)
    frame, split = experiment.select(settings)
    assert card["record"] == record.name
    assert set(card["people"]) == set(people.person(frame["subject"][split == "train"]))
    rows = record.rows().head(10)
    paths = {os.path.basename(path): path for path in frame["path"]}
    pictures = np.stack([images.prepare(paths[name], 32, 300) for name in rows["file"]])
    found = np.asarray(model.predict_on_batch(pictures))[:, 1]
    assert found == pytest.approx(rows["p_all"].to_numpy(), abs=0.01)  # half precision


def test_the_seed_decides_the_run_and_the_split_seed_the_paper_s_shuffle(config, done):
    _, one = done
    same = run(config())
    pd.testing.assert_frame_equal(one.answers, same.answers)
    _, split = experiment.select(config(seed=8))
    assert not split.equals(experiment.select(config())[1])
    paired = run(config(seed=8, split_seed=7))
    assert paired.id == "small-paper-fold1-seed8-split7"
    assert paired.rows()["file"].equals(one.rows()["file"])
    assert not paired.rows()["p_all"].equals(one.rows()["p_all"])


def test_people_of_another_fold_join_the_training_part_and_no_other(config):
    those = {"protocol": "patient-disjoint", "folds": (0, 1), "round": 2}
    (frame, split), (plain, before) = (
        experiment.select(config(**those, also_train=more)) for more in [(2,), ()]
    )
    for part in ("val", "test"):
        assert splits.part_of(frame[split == part]) == splits.part_of(plain[before == part])
    joined = frame[frame["fold"] == 2]
    assert len(joined) == 60 and set(split[joined.index]) == {"train"}
    assert (split == "train").sum() == (before == "train").sum() + 60
    splits.assert_patient_disjoint(frame, split)

    frame, split = experiment.select(config(folds=(1,), also_train=(0,)))
    who, more = people.person(frame["subject"]), frame["fold"] == 0
    in_both = more & who.isin(who[~more])
    assert in_both.any() and set(split[in_both]) == {"unused"}
    assert set(split[more & ~in_both]) == {"train"}


@pytest.mark.parametrize(
    ("protocol", "folds"), [("patient-disjoint", (0, 1)), ("cross-fold", (0, 1)), ("paper", (0, 1))]
)
def test_other_protocols(config, protocol, folds, capsys):
    record = records.load(experiment.run(config(epochs=1, protocol=protocol, folds=folds)))
    told = capsys.readouterr().err
    assert ("left out: " in told and "H14+H24" in told) == (protocol == "cross-fold")
    who = [set(people.person(pd.Series(record.data["split"][p]["subjects"]))) for p in splits.PARTS]
    assert bool(who[0] & who[2]) == (protocol == "paper")
    assert all(record.data["split"][part]["n_hem"] for part in splits.PARTS)
    assert "round" not in record.id or record.id.endswith("fold0-1-round0-seed7")


def test_without_data_the_sample_is_read(config, tree):
    settings = config(data=None)
    (settings.work / "sample").symlink_to(tree)
    frame, _ = experiment.select(settings)
    assert frame["fold"].unique().tolist() == [1] and len(frame) < sample.N_CELLS


def test_the_accelerator_has_a_name(monkeypatch):
    assert experiment.accelerator() is None or training.has_gpu()
    monkeypatch.setattr(experiment, "has_gpu", lambda: True)
    monkeypatch.setattr(experiment, "_output", lambda _: "NVIDIA H200\nNVIDIA H200")
    assert experiment.provenance()["hardware"]["accelerator"] == "NVIDIA H200"


# -- killed and resumed -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def left(stand_in, tree, cache, tmp_path_factory):
    """What a run leaves that is killed after its first epoch."""
    settings = configured(tmp_path_factory.mktemp("left"), tree, cache)
    with pytest.MonkeyPatch.context() as patch:
        killed(settings, 1, patch)
    return folder(settings)


@pytest.fixture
def half(config, left):
    """Settings of a run that was killed after its first epoch."""
    shutil.copytree(left, folder(config()))
    return config()


def test_a_resumed_run_ends_as_one_that_was_never_killed(half, done, tmp_path, monkeypatch):
    straight, settings = done[1], half
    assert not (tmp_path / "out").exists()
    note = folder(settings) / "run.json"
    said = json.loads(note.read_text())
    said["processes"][0]["started"] = "2026-01-01T00:00:00+00:00"  # days in which nothing ran
    note.write_text(json.dumps(said))
    killed(settings, 2, monkeypatch, resume=True)
    record = run(settings, resume=True)
    assert record.data["history"] == straight.data["history"]
    pd.testing.assert_frame_equal(record.answers, straight.answers)
    assert record.data["resumed"]
    assert [process["epochs"] for process in record.data["processes"]] == [0, 1, 2]
    assert record.seconds < 600
    assert record.data["processes"][0]["started"].startswith("2026-01-01")


@pytest.mark.parametrize(
    ("changes", "named"), [({"learning_rate": 1e-4}, "learning_rate"), ({"stain": 0.1}, "stain")]
)
def test_another_configuration_is_not_resumed(half, config, changes, named):
    with pytest.raises(ConfigError, match=f"another {named}"):
        run(config(**changes), resume=True)


def test_other_weights_of_one_name_are_not_resumed(config, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "resolve_weights", lambda *_: tmp_path / "w.h5")
    (tmp_path / "w.h5").write_bytes(b"one")
    killed(config(), 1, monkeypatch)
    (tmp_path / "w.h5").write_bytes(b"other")
    with pytest.raises(ConfigError, match="another weights"):
        run(config(), resume=True)


def test_a_run_of_another_backend_is_not_resumed(half):
    note = folder(half) / "run.json"
    said = json.loads(note.read_text())
    assert said["made_with"].pop("backend") == keras.backend.backend()
    note.write_text(json.dumps({**said, "made_with": {**said["made_with"], "backend": "numpy"}}))
    with pytest.raises(ConfigError, match="another backend"):
        run(half, resume=True)


def test_other_data_are_not_resumed(half, config, tree, tmp_path):
    other = shutil.copytree(tree, tmp_path / "other", copy_function=os.link)
    victim, another, *_ = (other / "fold_1" / "all").iterdir()
    victim.unlink()
    victim.write_bytes(another.read_bytes())
    with pytest.raises(ConfigError, match="another data"):
        run(config(data=other), resume=True)


@pytest.mark.parametrize("text", ["", "{}", "null", "[1]", '{"made_with": 1, "processes": 2}'])
def test_a_broken_note_is_one_line(half, text):
    (folder(half) / "run.json").write_text(text)
    with pytest.raises(DataError, match="start without --resume"):
        run(half, resume=True)


def test_a_new_run_never_continues_an_older_checkpoint(half, config, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "fit", None)  # killed before the first epoch
        with pytest.raises(TypeError):
            run(config(learning_rate=1e-4))
    assert not (folder(config()) / training.CHECKPOINT).exists()


def test_two_processes_do_not_work_on_one_run(config):
    settings = config()
    folder(settings).mkdir(parents=True)
    with FileLock(folder(settings) / "lock"), pytest.raises(ConfigError, match="another process"):
        run(settings)


def test_model_and_record_are_one_unit(config, monkeypatch):
    settings = config(model_file=config().work / "m.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(store, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(settings)
    assert settings.model_file.exists() and not settings.records.exists()
    record = run(settings, resume=True)
    assert [process["epochs"] for process in record.data["processes"]] == [3, 0]
    assert saving.read_card(settings.model_file)["record"] == record.name


# -- refused before any work ------------------------------------------------------------------


@pytest.fixture
def untrained(monkeypatch):
    monkeypatch.setattr(experiment, "fit", None)  # would fail if it were reached


def test_a_record_that_is_there_stops_the_run(done, untrained):
    with pytest.raises(RecordError, match="there already"):
        run(done[0])


def test_records_of_the_sample_do_not_enter_results(config, tmp_path, untrained):
    with pytest.raises(RecordError, match="cnmc-2019-sample"):
        run(config(out=tmp_path / "results"))
    assert not (tmp_path / "results").exists()


def test_a_model_has_its_own_place(config, untrained):
    settings = config(model_file=config().work / "m.safetensors")
    saving.card_path(settings.model_file).mkdir()
    with pytest.raises(DataError, match="a folder is there"):
        run(settings)
    with pytest.raises(DataError, match="among the records"):
        run(config(model_file=settings.records / "m.safetensors"))


@pytest.mark.parametrize("place", ["out", "work", "model_file"])
def test_a_folder_that_cannot_be_written_stops_the_run(config, tmp_path, untrained, place):
    (tmp_path / "file").write_text("")
    where = {"out": tmp_path / "file", "model_file": tmp_path / "file" / "m.safetensors"}
    settings = config(**{place: where[place]} if place in where else {})
    if place == "work":
        object.__setattr__(settings, "work", tmp_path / "file")
    with pytest.raises(DataError, match="cannot be written"):
        run(settings)


WRONG = {
    "experiment": ["../e"], "model": ["resnet"], "protocol": ["random", "cross-fold"], "round": [1],
    "folds": [(), (1, 1), (-1,)], "also_train": [(1,)], "test": ["final", "prelim"],
    "image_size": [0], "crop": [0, 0.01, 5000], "split_seed": [-1], "seed": [-1, 2**32],
    "conditions": [(), ("noise:-1",)], "model_file": ["m.h5"], "epochs": [0], "batch_size": [0],
    "lr_patience": [0], "early_stop": [0], "steps_per_call": [0], "min_learning_rate": [0],
    "learning_rate": [1e-7, math.nan], "lr_factor": [1.0], "draw": ["smear"],
    "augment_on": ["moon"], "precision": ["float8"], "balance": ["all"], "rotation": [181],
    "sigmas": [(-3,), (math.nan,)], "shift": [-0.1], "shear": [46], "flip": [1.1], "stain": [1.0],
    "size": [math.nan], "zoom": [(0, 1)], "brightness": [(0.8, 0.4)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, several in WRONG.items() for value in several]
)
def test_a_setting_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=name[:5]):
        config_of(ExperimentConfig, {name: value})


def test_values_hold_every_setting_that_decides_a_number(config):
    values = config(weights=None).values()
    places = {"data", "out", "work", "model_file", "conditions", "note", "experiment"}
    inside = names(ExperimentConfig) | names(TrainingConfig) | names(Recipe)
    assert set(values) == inside - places - {"training", "recipe"}
    assert values == json.loads(json.dumps(values))
    assert ExperimentConfig(weights="/some/where/w.h5").values()["weights"] == "w.h5"
    assert [type(config(crop=crop).crop) for crop in (300.0, 300, 0.35)] == [int, int, float]


# -- tested again -----------------------------------------------------------------------------


def test_a_saved_model_is_tested_again(done, tree, tmp_path):
    settings, source = done
    where = tree, tmp_path / "again", settings.work, "trust"
    path = experiment.retest(
        settings.model_file, source, *where, ["clean", "size:0.9"],
        measures={"area": lambda pictures: pictures.any(axis=-1).mean(axis=(1, 2))},
        progress=False,
    )  # fmt: skip
    record = records.load(path)
    assert record.name == f"trust/{source.id}"
    assert record.data["conditions"] == ["clean", "size:0.9"]
    assert record.data["source"]["record"] == source.name and record.data["epochs_run"] == 0
    assert record.rows()["p_all"].to_numpy() == pytest.approx(source.rows()["p_all"], abs=0.01)
    assert not record.rows("size:0.9").equals(record.rows())
    assert len(record.validation) == source.data["split"]["val"]["n"]
    assert 0 < min(record.data["pictures"]["area"]) < max(record.data["pictures"]["area"]) < 1
    assert record.stale() == []
    with pytest.raises(RecordError, match="there already"):
        experiment.retest(settings.model_file, source, *where, ["clean"])
    again = experiment.retest(
        settings.model_file, source, *where[:3], "other", ["size:0.9"], progress=False
    )
    assert "validation" not in records.load(again).data
    assert records.load(again).rows("size:0.9").equals(record.rows("size:0.9"))


def test_only_the_model_and_the_data_of_the_record_are_tested(done, tree, tmp_path):
    settings, source = done
    other = Record({**source.data, "experiment": "other"}, source.answers)
    where = tmp_path / "c", settings.work, "trust", ["clean"]
    with pytest.raises(RecordError, match="not the model"):
        experiment.retest(settings.model_file, other, tree, *where)
    smaller = shutil.copytree(tree, tmp_path / "smaller", copy_function=os.link)
    next((smaller / "fold_1" / "all").iterdir()).unlink()
    with pytest.raises(RecordError, match="not the images"):
        experiment.retest(settings.model_file, source, smaller, *where)
