import json
import os
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

from allm_utils.errors import ConfigError, DataError
from allm_utils.network import models, training
from allm_utils.network.training import CHECKPOINT, TrainingConfig, TrainingData, fit

SIZE = 16


def make_pictures(n=40, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3 % 2  # two HEM for one ALL
    pictures = rng.integers(20, 120, (n, SIZE, SIZE, 3), dtype=np.uint8)
    pictures[:, : SIZE // 4] = 0
    return pictures, labels


@pytest.fixture(scope="module")
def pictures():
    return make_pictures()


@pytest.fixture(scope="module")
def validation():
    return make_pictures(20, seed=1)


def small_model(seed=3):
    """What MobileNet_M is made of, in small: convolution, batch norm, dropout, L1, softmax."""
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, strides=2, use_bias=False, name="conv"),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(
                2,
                activation="softmax",
                kernel_regularizer=keras.regularizers.L1(0.015),
                dtype="float32",
                name="prediction",
            ),
        ]
    )


def config(**changes):
    return TrainingConfig(
        **{"epochs": 4, "batch_size": 16, "lr_patience": 1, "early_stop": 20, "seed": 3} | changes
    )


def train(pictures, validation, settings, folder=None, resume=False, model=None):
    model = model or small_model()
    data = TrainingData(*pictures, settings)
    history = fit(model, data, validation, settings, folder, resume, progress=False)
    return model, history


def state(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(v) for v in variables]


def checkpoint(folder):
    with np.load(folder / CHECKPOINT) as arrays:
        return {name: arrays[name] for name in arrays.files}


def same(a, b):
    return len(a) == len(b) and all(map(np.array_equal, a, b))


# -- the configuration ------------------------------------------------------------------------


def test_defaults_are_table_5():
    c = TrainingConfig()
    assert (c.epochs, c.early_stop, c.lr_patience, c.batch_size) == (100, 20, 5, 16)
    assert (c.learning_rate, c.min_learning_rate, c.lr_factor) == (1e-3, 1e-6, 0.1)
    assert (c.balance, c.augment, c.clean_share) == ("hem", True, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"lr_patience": 0},
        {"early_stop": 0},
        {"learning_rate": 0},
        {"learning_rate": 1e-7},
        {"min_learning_rate": 0},
        {"clean_share": 1.5},
        {"average": 1.0},
        {"balance": "all"},
        {"precision": "float8"},
        {"lr_factor": 1.0},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ConfigError) as caught:
        TrainingConfig(**changes)
    (name,) = changes
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_precision_follows_the_device(monkeypatch):
    monkeypatch.setattr(training, "has_gpu", lambda: True)
    assert TrainingConfig().dtype_policy() == "mixed_float16"
    monkeypatch.setattr(training, "has_gpu", lambda: False)
    assert TrainingConfig().dtype_policy() == "float32"
    assert TrainingConfig(precision="mixed_bfloat16").dtype_policy() == "mixed_bfloat16"


# -- what a step sees -------------------------------------------------------------------------


def test_hem_pictures_are_doubled(pictures):
    labels = pictures[1]
    counts = np.bincount(labels)
    data = TrainingData(*pictures, config())
    assert np.bincount(labels[data.rows]).tolist() == [2 * counts[0], counts[1]]
    assert data.grey.sum() == counts[0]
    assert (labels[data.rows[data.grey]] == 0).all()


@pytest.mark.parametrize(("balance", "copies"), [("none", 0), ("both", 40)])
def test_other_balances(pictures, balance, copies):
    assert TrainingData(*pictures, config(balance=balance)).grey.sum() == copies


def test_an_epoch_shows_every_picture_once(pictures):
    data = TrainingData(*pictures, config(augment=False))
    targets = np.concatenate([data.batch(0, i)[1] for i in range(len(data))])
    assert targets.shape == (len(data.rows), 2)
    assert targets.sum(0).tolist() == np.bincount(pictures[1][data.rows]).tolist()
    assert sorted(data.order(0)) == list(range(len(data.rows)))
    assert not np.array_equal(data.order(0), data.order(1))


def test_copies_are_grey_and_originals_are_not(pictures):
    data = TrainingData(*pictures, config(augment=False))
    shown = np.concatenate([data.batch(2, i)[0] for i in range(len(data))])
    grey = (shown == shown[..., :1]).all(axis=(1, 2, 3))
    assert np.array_equal(grey, data.grey[data.order(2)])


def test_only_the_chosen_rows_are_seen(pictures):
    rows = np.arange(5, 25)
    data = TrainingData(*pictures, config(), rows=rows)
    assert set(data.rows) == set(rows)


def test_a_batch_is_a_function_of_seed_epoch_and_index(pictures):
    one, other = TrainingData(*pictures, config()), TrainingData(*pictures, config())
    places = [(epoch, index) for epoch in range(3) for index in range(len(one))]
    forward = {place: one.batch(*place) for place in places}
    for place in reversed(places):
        assert same(forward[place], other.batch(*place))
    assert not same(forward[0, 0], forward[0, 1])
    assert not same(forward[0, 0], forward[1, 0])
    assert not same(forward[0, 0], TrainingData(*pictures, config(seed=4)).batch(0, 0))


def test_the_pictures_are_left_as_they_are(pictures):
    before = pictures[0].copy()
    frozen = pictures[0].view()
    frozen.flags.writeable = False
    data = TrainingData(frozen, pictures[1], config())
    for index in range(len(data)):
        data.batch(0, index)
    assert np.array_equal(pictures[0], before)


def test_the_number_of_workers_changes_nothing(pictures, validation):
    class Watched(TrainingData):
        def batch(self, epoch, index):
            self.asked.add((epoch, index))
            return super().batch(epoch, index)

    found = []
    for workers in (1, 4):
        model = small_model()
        data = Watched(*pictures, config(epochs=2))
        data.workers, data.asked = workers, set()
        fit(model, data, validation, data.config, progress=False)
        assert data.asked == {(e, i) for e in range(2) for i in range(len(data))}
        found.append(state(model))
    assert same(*found)


def test_an_empty_class_is_an_error(pictures):
    images, labels = pictures
    with pytest.raises(DataError, match=r"0 HEM and \d+ ALL"):
        TrainingData(images, labels, config(), rows=np.flatnonzero(labels == 1))


# -- fit --------------------------------------------------------------------------------------


def test_best_weights_come_back(pictures, validation):
    settings = config(epochs=3, learning_rate=0.05)
    model, history = train(pictures, validation, settings)
    assert len(history) == 3
    assert history.best_epoch == int(np.argmin(history.epochs["val_loss"]))
    targets = np.eye(2)[validation[1]]
    loss = model.evaluate(validation[0], targets, batch_size=64, verbose=0)[0]
    assert loss == pytest.approx(min(history.epochs["val_loss"]), rel=1e-5)


def test_plateau_and_early_stop_follow_the_validation_loss(pictures, validation):
    settings = config(epochs=12, lr_patience=1, early_stop=3, learning_rate=0.02)
    _, history = train(pictures, validation, settings)
    losses, rates = history.epochs["val_loss"], history.epochs["learning_rate"]
    # the two rules written down again, epoch by epoch
    rate, best, waited, expected = settings.learning_rate, np.inf, 0, []
    for loss in losses:
        expected.append(rate)
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited >= settings.lr_patience:
            rate, waited = max(rate * settings.lr_factor, settings.min_learning_rate), 0
    assert rates == pytest.approx(expected, rel=1e-5)
    assert len(losses) == min(settings.epochs, history.best_epoch + 1 + settings.early_stop)
    assert len(losses) < settings.epochs, "the case must reach the early stop"


def test_killed_and_resumed_equals_straight(tmp_path, pictures, validation):
    settings = RESTLESS
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    model, history = train(pictures, validation, settings, straight)
    # the case must hold what a resume could lose: a counter, the best loss, the best weights
    assert np.diff(history.epochs["learning_rate"]).tolist()[:2] == [0, 0]
    assert history.epochs["learning_rate"][3] < 0.01
    assert history.best_epoch == 0

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(resumed), os.path.abspath(__file__)],
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    left = json.loads(str(checkpoint(resumed)["counters"]))
    assert len(left["history"]["loss"]) == 2
    assert [p.name for p in resumed.iterdir()] == [CHECKPOINT]

    again, history_again = train(pictures, validation, settings, resumed, resume=True)
    assert same(state(model), state(again))
    assert history_again == history
    expected, found = checkpoint(straight), checkpoint(resumed)
    assert expected.keys() == found.keys()
    for name in expected:
        assert np.array_equal(expected[name], found[name]), name


RESTLESS = config(learning_rate=0.03, lr_patience=2)  # waits when it is killed, gives way after
KILLED = textwrap.dedent("""
    import importlib.util, os, pathlib, signal, sys
    spec = importlib.util.spec_from_file_location("test_training", sys.argv[2])
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)

    class Fatal(tests.TrainingData):
        def batch(self, epoch, index):
            if (epoch, index) == (2, 2):
                os.kill(os.getpid(), signal.SIGKILL)
            return super().batch(epoch, index)

    tests.TrainingData = Fatal
    folder = pathlib.Path(sys.argv[1])
    tests.train(tests.make_pictures(), tests.make_pictures(20, seed=1), tests.RESTLESS, folder)
""")


def test_averaged_weights_are_those_kept_and_survive_a_resume(tmp_path, pictures, validation):
    settings = config(epochs=3, learning_rate=0.03, average=0.9)
    model, history = train(pictures, validation, settings, tmp_path / "straight")
    plain, _ = train(pictures, validation, config(epochs=3, learning_rate=0.03))
    assert not same(model.get_weights(), plain.get_weights())
    images, labels = validation
    loss = model.evaluate(images, np.eye(2)[labels], verbose=0)[0]
    assert loss == pytest.approx(min(history.epochs["val_loss"]), rel=1e-4)

    broken = TrainingData(*pictures, settings)
    broken.batch = lambda epoch, index: TrainingData.batch(broken, epoch, 99 * (epoch == 2) + index)
    with pytest.raises(Exception, match="0"):  # an empty batch in the third epoch
        fit(small_model(), broken, validation, settings, tmp_path, progress=False)
    again, history_again = train(pictures, validation, settings, tmp_path, resume=True)
    assert history_again == history
    assert same(state(model), state(again))


def test_resuming_a_stopped_run_trains_no_further(tmp_path, pictures, validation):
    settings = config(epochs=12, early_stop=1, learning_rate=0.02)
    model, history = train(pictures, validation, settings, tmp_path)
    assert len(history) < 12
    again, history_again = train(pictures, validation, settings, tmp_path, resume=True)
    assert history_again == history
    assert same(model.get_weights(), again.get_weights())


def test_a_fresh_start_forgets_the_old_checkpoint(
    tmp_path, pictures, validation, trained, monkeypatch
):
    (tmp_path / CHECKPOINT).write_bytes(trained)

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(pictures, validation, config(), tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()


def test_resume_without_a_checkpoint_starts_from_the_beginning(tmp_path, pictures, validation):
    _, history = train(pictures, validation, config(epochs=1), tmp_path, resume=True)
    assert len(history) == 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pictures, validation):
    folder = tmp_path_factory.mktemp("trained")
    train(pictures, validation, config(epochs=1), folder)
    return (folder / CHECKPOINT).read_bytes()


def test_a_checkpoint_of_another_seed_is_refused(tmp_path, pictures, validation, trained):
    (tmp_path / CHECKPOINT).write_bytes(trained)
    with pytest.raises(ConfigError, match="seed 3, not 4"):
        train(pictures, validation, config(seed=4), tmp_path, resume=True)


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "no counters"])
def test_a_damaged_checkpoint_is_refused(tmp_path, pictures, validation, trained, damage):
    path = tmp_path / CHECKPOINT
    if damage == "no counters":
        np.savez(path, v0=np.zeros(1))
    else:
        path.write_bytes({"truncated": trained[:-500], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(DataError, match="delete it") as caught:
        train(pictures, validation, config(), tmp_path, resume=True)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_model_is_refused(tmp_path, pictures, validation, trained):
    (tmp_path / CHECKPOINT).write_bytes(trained)
    layers = keras.layers
    other = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    with pytest.raises(ConfigError, match="another model"):
        train(pictures, validation, config(), tmp_path, resume=True, model=other)


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch):
    path = tmp_path / CHECKPOINT
    training._save_arrays(path, {"counters": np.array("{}")})
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(DataError, match="No space left"):
        training._save_arrays(path, {"counters": np.array("{}")})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [CHECKPOINT]


def test_mixed_precision_trains_and_resumes(tmp_path, pictures, validation):
    found = []
    for folder, kill in ((tmp_path / "a", False), (tmp_path / "b", True)):
        settings = config(epochs=2, precision="mixed_bfloat16")
        with models.precision(settings.dtype_policy()):
            for epochs in (1, 2) if kill else (2,):
                model, _ = train(pictures, validation, config(epochs=epochs), folder, resume=kill)
        found.append(state(model))
        assert model.get_layer("prediction").compute_dtype == "float32"
        assert model.get_layer("conv").compute_dtype == "bfloat16"
    assert same(*found)


def test_the_bar_counts_steps_and_shows_metrics(pictures, validation, capsys):
    settings = config(epochs=1)
    fit(small_model(), TrainingData(*pictures, settings), validation, settings)
    shown = capsys.readouterr().err
    assert "epoch 1/1" in shown
    assert "val_accuracy" in shown


# -- backends ---------------------------------------------------------------------------------

STEPS = textwrap.dedent("""
    import importlib.util, json, sys
    import keras, numpy as np
    spec = importlib.util.spec_from_file_location("test_training", sys.argv[1])
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    model = tests.models.mobilenet_m(None, image_size=32, alpha=0.25, bn_momentum=0.9, seed=3)
    before = model.get_weights()
    part, settings = tests.two_batches(), tests.TWO_STEPS
    model, history = tests.train(part, part, settings, model=model)
    print(json.dumps({
        "backend": keras.backend.backend(),
        "steps": int(model.optimizer.iterations),
        "loss": history.epochs["loss"],
        "still": sum(map(np.array_equal, before, model.get_weights())),
        "batch": int(tests.TrainingData(*part, settings).batch(0, 1)[0].sum()),
    }))
""")
TWO_STEPS = config(epochs=1, balance="none")


def two_batches():
    images, _ = make_pictures(32)
    return images.repeat(2, axis=1).repeat(2, axis=2), np.arange(32) % 2


@pytest.mark.parametrize(
    "backend",
    [
        "tensorflow",
        pytest.param("jax", marks=pytest.mark.needs("jax")),
        pytest.param("torch", marks=pytest.mark.needs("torch")),
    ],
)
def test_two_steps(backend):
    done = subprocess.run(
        [sys.executable, "-c", STEPS, os.path.abspath(__file__)],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": backend},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["backend"] == backend
    assert found["steps"] == 2
    assert np.isfinite(found["loss"]).all()
    assert found["still"] == 0
    assert found["batch"] == int(TrainingData(*two_batches(), TWO_STEPS).batch(0, 1)[0].sum())
