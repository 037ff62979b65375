import json
import os

import keras
import numpy as np
import pandas as pd
import pytest

from allm_utils.book import profile
from allm_utils.data import images, synthetic
from allm_utils.errors import ConfigError, DataError, RecordError
from allm_utils.network import models, saving, training
from allm_utils.network.training import TrainingConfig
from allm_utils.runs import experiment, records
from allm_utils.runs.experiment import ExperimentConfig


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return synthetic.make(tmp_path_factory.mktemp("data") / "tree", profile.SMOKE.synthetic_images)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


def small(seed=None, image_size=32, **_):
    """Stand in for MobileNet_M where only the bookkeeping is tested."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 5, strides=4, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(2, activation="softmax", dtype="float32"),
        ],
        name="mobilenet_m",
    )


@pytest.fixture
def config(tree, work, tmp_path, monkeypatch):
    monkeypatch.setitem(experiment.MODELS, "mobilenet_m", small)
    images_once = tmp_path / "work" / "images"
    images_once.parent.mkdir()
    (work / "images").mkdir(exist_ok=True)
    images_once.symlink_to(work / "images")

    def make(**changes):
        train = {"epochs": 3, "seed": 7} | {
            key: changes.pop(key) for key in list(changes) if key in vars(TrainingConfig())
        }
        return ExperimentConfig(
            **{
                "data": tree,
                "out": tmp_path / "out",
                "work": tmp_path / "work",
                "image_size": 32,
                "alpha": 0.25,
                "weights": None,
                "training": TrainingConfig(**train),
            }
            | changes
        )

    return make


def run(config, **options):
    return records.load(experiment.run(config, progress=False, **options))


# -- one real run of the smoke profile --------------------------------------------------------


@pytest.fixture(scope="module")
def smoke(tree, work):
    p = profile.SMOKE
    config = ExperimentConfig(
        data=tree,
        out=work / "out",
        work=work,
        image_size=p.image_size,
        crop=p.crop,
        alpha=p.alpha,
        weights=p.weights,
        bn_momentum=p.bn_momentum,
        model_file=work / "smoke.safetensors",
        training=TrainingConfig(
            epochs=p.epochs, learning_rate=p.learning_rate, batch_size=p.batch_size
        ),
        note="a test",
    )
    return config, run(config)


def test_the_smoke_model_beats_the_majority_class(smoke):
    _, record = smoke
    found = record.metrics()
    majority = max(found["tp"] + found["fn"], found["tn"] + found["fp"]) / found["n"]
    assert found["accuracy"] > majority
    assert found["balanced_accuracy"] > 0.5
    assert found["roc_auc"] > 0.6


def test_the_record_says_what_ran(smoke, tree, work):
    config, record = smoke
    data = record.data
    frame, split = experiment.select(config)
    assert data["id"] == config.run_id() == "mobilenet_m-paper-fold1-seed1337"
    assert data["data"]["kind"] == "synthetic"
    assert data["data"]["n_images"] == len(frame)
    assert data["data"]["fingerprint"] == images.fingerprint(frame, work / "images")
    assert data["parameters"]["total"] == 220_082
    assert data["weights"] is None
    assert data["epochs_run"] == len(data["history"]["val_loss"]) == profile.SMOKE.epochs
    assert data["best_epoch"] == int(np.argmin(data["history"]["val_loss"]))
    assert data["backend"]["name"] == keras.backend.backend()
    assert data["note"] == "a test"
    assert data["started"] <= data["finished"]
    for part in ("train", "val", "test"):
        chosen = frame[split == part]
        assert data["split"][part]["n"] == len(chosen)
        assert data["split"][part]["subjects"] == sorted(chosen["subject"].unique())
    settings = data["config"]
    assert (settings["epochs"], settings["image_size"], settings["alpha"]) == (
        profile.SMOKE.epochs,
        64,
        0.25,
    )
    assert settings["balance"] == "hem" and settings["augment"] is True
    assert records.stale(record) == []


def test_the_record_names_no_folder_of_this_machine(smoke, tree, work):
    text = json.dumps(smoke[1].data)
    assert str(tree) not in text and str(work) not in text
    assert os.path.expanduser("~") + os.sep not in text


def test_every_test_image_is_predicted_under_every_condition(smoke):
    config, record = smoke
    frame, split = experiment.select(config)
    names = {os.path.basename(path) for path in frame.loc[split == "test", "path"]}
    conditions = {"clean", "grey", *(f"noise:{s}" for s in (2, 5, 8, 10))}
    assert conditions <= set(record.data["conditions"])
    for condition in record.data["conditions"]:
        assert set(record.rows(condition)["file"]) == names


def test_the_saved_model_gives_the_recorded_predictions(smoke):
    config, record = smoke
    model, card = saving.load(config.model_file)
    assert card["image_size"] == 64 and card["crop"] == 300
    assert card["record"] == record.name
    rows = record.rows("clean").head(10)
    frame, _ = experiment.select(config)
    by_name = {os.path.basename(path): path for path in frame["path"]}
    pictures = np.stack([images.prepare(by_name[name], 64, 300) for name in rows["file"]])
    found = model.predict_on_batch(pictures)[:, 1]
    assert found == pytest.approx(rows["p_all"].to_numpy(), abs=0.02)  # weights are float16


# -- bookkeeping ------------------------------------------------------------------------------


def interrupted_after(epochs, monkeypatch):
    """Stop as with Ctrl-C when so many epochs have been saved."""
    save = training._Checkpoint.on_epoch_end

    def then_stop(self, epoch, logs=None):
        save(self, epoch, logs)
        if epoch + 1 == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(training._Checkpoint, "on_epoch_end", then_stop)


def test_resume_continues_and_records_the_same(config, tmp_path, monkeypatch):
    straight = run(config(work=config().work / "a", out=tmp_path / "a"))
    settings = config()
    with monkeypatch.context() as patch:
        interrupted_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            run(settings)
    assert not (tmp_path / "out").exists()
    began = json.loads(
        (settings.work / "runs/mobilenet_m" / settings.run_id() / "run.json").read_text()
    )
    resumed = run(settings, resume=True)
    assert resumed.data["history"] == straight.data["history"]
    assert resumed.data["epochs_run"] == 3
    assert resumed.data["started"] == began["started"]
    pd.testing.assert_frame_equal(resumed.predictions, straight.predictions)


def test_the_same_seed_gives_the_same_run_and_another_does_not(config, tmp_path):
    one = run(config(out=tmp_path / "a"))
    same = run(config(out=tmp_path / "b"))
    other = run(config(out=tmp_path / "c", seed=8))
    pd.testing.assert_frame_equal(one.predictions, same.predictions)
    assert one.data["split"]["test"]["sha256"] != other.data["split"]["test"]["sha256"]


def test_resuming_with_other_settings_is_refused(config, monkeypatch):
    with monkeypatch.context() as patch:
        interrupted_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            run(config())
    with pytest.raises(ConfigError, match=r"other settings \(learning_rate\)") as caught:
        run(config(learning_rate=1e-4), resume=True)
    assert "\n" not in str(caught.value)


def test_a_record_that_is_there_stops_the_run_before_it_starts(config, monkeypatch):
    run(config(epochs=1))
    monkeypatch.setattr(experiment, "fit", None)  # would fail if it were reached
    with pytest.raises(RecordError, match="there already"):
        run(config(epochs=1))


def test_synthetic_records_do_not_enter_results(config, tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "fit", None)
    with pytest.raises(RecordError, match="synthetic"):
        run(config(out=tmp_path / "results"))
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("protocol", "folds"), [("patient-disjoint", (0, 1, 2)), ("cross-fold", (0, 1))]
)
def test_other_protocols(config, protocol, folds):
    settings = config(epochs=1, protocol=protocol, folds=folds)
    record = run(settings)
    assert record.data["protocol"] == protocol
    parts = [set(record.data["split"][part]["subjects"]) for part in ("train", "val", "test")]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert all(record.data["split"][part]["n_hem"] for part in ("train", "val", "test"))


def test_the_preliminary_set_tests_what_the_folds_trained(config, tmp_path):
    root = synthetic.make(tmp_path / "tree", 120, n_prelim=18)
    settings = config(
        data=root, epochs=1, protocol="patient-disjoint", folds=(0, 1, 2), test="prelim"
    )
    record = run(settings)
    assert record.id == "mobilenet_m-patient-disjoint-fold0-1-2-prelim-seed7"
    assert record.data["split"]["test"]["subjects"] == sorted(synthetic.PRELIM)
    assert record.data["split"]["test"]["n"] == 18
    assert sum(record.data["split"][p]["n"] for p in ("train", "val")) == 120
    assert record.data["config"]["test"] == "prelim"
    assert len(record.rows()) == 18


def test_another_part_is_another_run(config):
    settings = config(epochs=1, protocol="patient-disjoint", folds=(0, 1, 2), part=2)
    assert settings.run_id() == "mobilenet_m-patient-disjoint-fold0-1-2-part2-seed7"
    first, other = (
        experiment.select(config(protocol="patient-disjoint", folds=(0, 1, 2), part=part))
        for part in (0, 2)
    )
    tested = [set(frame["subject"][split == "test"]) for frame, split in (first, other)]
    assert not tested[0] & tested[1]


def test_what_was_changed_between_two_runs(config):
    baseline = config(seed=1).values()
    other = config(seed=2, balance="both", epochs=5, folds=(0,)).values()
    del baseline["average"]  # of a record that is older than this setting
    assert experiment.changed(other, baseline) == {"balance": ("hem", "both"), "epochs": (3, 5)}
    assert experiment.changed(baseline, baseline) == {}
    assert experiment.changed(config(average=0.99).values(), baseline) == {"average": (0.0, 0.99)}


def test_frozen_layers_stay_as_they_were(config, monkeypatch):
    monkeypatch.setitem(experiment.MODELS, "mobilenet_m", models.mobilenet_m)
    settings = config(epochs=1, freeze="conv_pw_1_relu")
    before = experiment._build(settings, "float32")
    frozen = [layer for layer in before.layers if not layer.trainable]
    assert frozen[-1].name == "conv_pw_1_relu"
    assert before.get_layer("conv_dw_2").trainable
    record = run(config(epochs=1, freeze="conv_pw_1_relu", seed=8))
    expected = sum(int(np.prod(w.shape)) for w in before.trainable_weights)
    assert record.data["parameters"]["trainable"] == expected
    with pytest.raises(ConfigError, match="no such layer"):
        run(config(freeze="conv_99"))


def test_a_leaking_split_stops_a_patient_disjoint_run(config, monkeypatch):
    leaky = experiment.splits.paper_split
    monkeypatch.setattr(
        experiment.splits, "patient_disjoint_split", lambda frame, *_: [leaky(frame)]
    )
    with pytest.raises(DataError, match="more than one part"):
        run(config(protocol="patient-disjoint", folds=(0, 1, 2)))


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": "random"},
        {"model": "resnet"},
        {"folds": (0, 1)},
        {"protocol": "cross-fold", "folds": (0,)},
        {"protocol": "patient-disjoint", "part": 5},
        {"protocol": "paper", "test": "prelim"},
    ],
)
def test_settings_out_of_range_are_refused(config, changes):
    with pytest.raises(ConfigError) as caught:
        config(**changes)
    assert "\n" not in str(caught.value)


def test_a_fold_that_is_not_there(config):
    with pytest.raises(DataError, match=r"no fold \[7\]"):
        run(config(folds=(7,)))


def test_values_hold_every_setting_that_decides_a_number(config):
    values = config().values()
    expected = set(vars(config())) | set(vars(TrainingConfig()))
    expected -= {"data", "out", "work", "model_file", "test_sigmas", "note", "experiment"}
    expected -= {"training"}
    assert set(values) == expected
    assert values == json.loads(json.dumps(values))
    assert config(weights="/some/where/w.h5").values()["weights"] == "w.h5"
