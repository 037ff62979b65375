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
from allm_utils.network.recipe import Recipe
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


def config(recipe=None, **changes):
    small = {"epochs": 4, "batch_size": 16, "lr_patience": 1, "early_stop": 20, "seed": 3}
    return TrainingConfig(recipe=Recipe(**recipe or {}), **small | changes)


def train(pictures, validation, settings, folder=None, resume=False, model=None, **more):
    model = model or small_model()
    data = TrainingData(*pictures, settings)
    history = fit(model, data, validation, settings, folder, resume, progress=False, **more)
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
    assert (c.recipe, c.draw) == (Recipe(), "cell")


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"lr_patience": 0},
        {"early_stop": 0},
        {"learning_rate": 0},
        {"learning_rate": 1e-7},
        {"learning_rate": float("nan")},
        {"min_learning_rate": 0},
        {"draw": "smear"},
        {"precision": "float8"},
        {"lr_factor": 1.0},
        {"seed": -1},
        {"seed": 2**32},
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(changes):
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
    assert TrainingData(*pictures, config({"balance": balance})).grey.sum() == copies


def test_an_epoch_shows_every_picture_once(pictures):
    data = TrainingData(*pictures, config({"augment": False}))
    targets = np.concatenate([data.batch(0, i)[1] for i in range(len(data))])
    assert targets.shape == (len(data.rows), 2)
    assert targets.sum(0).tolist() == np.bincount(pictures[1][data.rows]).tolist()
    assert sorted(data.order(0)) == list(range(len(data.rows)))
    assert not np.array_equal(data.order(0), data.order(1))


def test_copies_are_grey_and_originals_are_not(pictures):
    data = TrainingData(*pictures, config({"augment": False}))
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


PEOPLE = np.array(["a"] * 16 + ["b"] * 4 + ["c"] * 18 + ["d"] * 2)


def by_person(**changes):
    """20 HEM cells of a and b, 20 ALL cells of c and d."""
    labels = np.repeat([0, 1], 20)
    return TrainingData(make_pictures()[0], labels, config(draw="person", **changes), people=PEOPLE)


def test_people_are_drawn_by_one_over_the_root_of_their_pictures():
    data = by_person()
    drawn = np.concatenate([data.rows[data.order(epoch)] for epoch in range(400)])
    names, counts = np.unique(PEOPLE[drawn], return_counts=True)
    shares = dict(zip(names, counts / len(drawn), strict=True))
    # HEM and its grey copies keep two thirds; within a class people go by the root of their cells
    assert shares["a"] == pytest.approx(2 / 3 * 4 / 6, abs=0.01)
    assert shares["b"] == pytest.approx(2 / 3 * 2 / 6, abs=0.01)
    assert shares["c"] == pytest.approx(1 / 3 * 18**0.5 / (18**0.5 + 2**0.5), abs=0.01)
    cells = np.bincount(drawn, minlength=40)
    assert cells[:16] == pytest.approx(cells[:16].mean(), rel=0.1)


def test_people_drawn_leave_the_steps_and_the_seed_as_they_are():
    data, again = by_person(), by_person()
    assert len(data.order(0)) == len(data.rows) == 60
    assert np.array_equal(data.order(1), again.order(1))
    assert not np.array_equal(data.order(1), data.order(2))
    with pytest.raises(DataError, match="person of each picture"):
        TrainingData(data.images, data.labels, data.config)


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
    train(pictures, validation, config(epochs=1), folder, fingerprint={"data": "abc"})
    return (folder / CHECKPOINT).read_bytes()


@pytest.mark.parametrize(
    ("settings", "fingerprint", "name"),
    [
        (config(epochs=1, learning_rate=0.1), {"data": "abc"}, "learning_rate"),
        (config(epochs=1, seed=4), {"data": "abc"}, "seed"),
        (config({"stain": 0.1}, epochs=1), {"data": "abc"}, "stain"),
        (config(epochs=1), {"data": "xyz"}, "data"),
        (config(epochs=1), None, "data"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_by_name(
    tmp_path, pictures, validation, trained, settings, fingerprint, name
):
    (tmp_path / CHECKPOINT).write_bytes(trained)
    with pytest.raises(ConfigError, match=f"made with another {name};") as caught:
        train(pictures, validation, settings, tmp_path, resume=True, fingerprint=fingerprint)
    assert str(tmp_path / CHECKPOINT) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "no counters"])
def test_a_damaged_checkpoint_is_refused(tmp_path, pictures, validation, trained, damage):
    path = tmp_path / CHECKPOINT
    if damage == "no counters":
        np.savez(path, v0=np.zeros(1))
    else:
        path.write_bytes({"truncated": trained[:-500], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(DataError, match="delete it") as caught:
        train(pictures, validation, config(epochs=1), tmp_path, resume=True)
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
    same_run = {"resume": True, "fingerprint": {"data": "abc"}}
    with pytest.raises(ConfigError, match="another model"):
        train(pictures, validation, config(epochs=1), tmp_path, model=other, **same_run)


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    tmp_path, pictures, validation, trained, monkeypatch
):
    (tmp_path / CHECKPOINT).write_bytes(trained)

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(DataError, match="No space left"):
        training._write(tmp_path / CHECKPOINT, {"counters": np.array("{}")})
    assert (tmp_path / CHECKPOINT).read_bytes() == trained
    assert [p.name for p in tmp_path.iterdir()] == [CHECKPOINT]


def test_mixed_precision_trains_and_resumes(tmp_path, pictures, validation):
    found = []
    for folder, kill in ((tmp_path / "a", False), (tmp_path / "b", True)):
        settings = config(epochs=2, precision="mixed_bfloat16")
        with models.precision(settings.dtype_policy()):
            if kill:
                broken = Broken(*pictures, settings)
                with pytest.raises(Exception, match="by zero"):
                    fit(small_model(), broken, validation, settings, folder, progress=False)
            model, _ = train(pictures, validation, settings, folder, resume=kill)
        found.append(state(model))
        assert model.get_layer("prediction").compute_dtype == "float32"
        assert model.get_layer("conv").compute_dtype == "bfloat16"
    assert same(*found)


class Broken(TrainingData):
    """Its second epoch fails."""

    def batch(self, epoch, index):
        return super().batch(epoch, index // (1 - epoch))


class Diverging(TrainingData):
    """Its second epoch asks for the impossible: a target that is no number."""

    def batch(self, epoch, index):
        pictures, targets = super().batch(epoch, index)
        return pictures, targets * (np.nan if (epoch, index) == (1, 1) else 1)


def test_a_loss_that_is_no_number_stops_at_once_and_spares_the_checkpoint(
    tmp_path, pictures, validation
):
    settings, model = config(), small_model()
    data = Diverging(*pictures, settings)
    with pytest.raises(ConfigError) as stopped:
        fit(model, data, validation, settings, tmp_path, progress=False)
    message = str(stopped.value)
    assert "loss is nan after step 2 of epoch 2" in message and "\n" not in message
    assert f"{tmp_path / CHECKPOINT} keeps epoch 1" in message and "learning_rate 0.001" in message
    assert int(model.optimizer.iterations) == len(data) + 2
    kept = checkpoint(tmp_path)
    assert all(np.isfinite(kept[name]).all() for name in kept if name != "counters")
    again, _ = train(pictures, validation, settings, tmp_path, resume=True)
    straight, _ = train(pictures, validation, settings)
    assert same(state(again), state(straight))


def test_parts_of_a_killed_process_are_cleaned(tmp_path, pictures, validation):
    (tmp_path / f".{CHECKPOINT}.x1.part").write_bytes(b"half")
    train(pictures, validation, config(epochs=1), tmp_path, resume=True)
    assert [p.name for p in tmp_path.iterdir()] == [CHECKPOINT]


def test_the_bar_counts_steps_and_shows_metrics(pictures, validation, capsys):
    settings = config(epochs=1)
    fit(small_model(), TrainingData(*pictures, settings), validation, settings)
    shown = capsys.readouterr().err
    assert "1/1" in shown and f"/{len(TrainingData(*pictures, settings))}" in shown
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
TWO_STEPS = config({"balance": "none"}, epochs=1)


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
