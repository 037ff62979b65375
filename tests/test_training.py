"""Training: Table 5, what a step sees, and runs that survive a kill, a NaN and a full disk."""

import io
import json
import os
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
    layers, l1 = keras.layers, keras.regularizers.L1(0.015)
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
            layers.Dense(2, "softmax", kernel_regularizer=l1, dtype="float32", name="prediction"),
        ]
    )


def config(recipe=None, **changes):
    small = {"epochs": 4, "batch_size": 16, "lr_patience": 1, "early_stop": 20, "seed": 3}
    return TrainingConfig(recipe=Recipe(**recipe or {}), **small | changes)


def train(pictures, validation, settings, folder=None, model=None, kind=TrainingData, **more):
    model = model or small_model()
    data = kind(*pictures, settings)
    return model, fit(model, data, validation, settings, folder, progress=False, **more)


def state(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(v) for v in variables]


def checkpoint(folder):
    with np.load(folder / CHECKPOINT) as arrays:
        return {name: arrays[name] for name in arrays.files}


def same(a, b):
    return len(a) == len(b) and all(map(np.array_equal, a, b))


# -- the configuration ------------------------------------------------------------------------


def test_precision_follows_the_device(monkeypatch):
    for there, policy in ((True, "mixed_float16"), (False, "float32")):
        monkeypatch.setattr(training, "has_gpu", lambda there=there: there)
        assert TrainingConfig().dtype_policy() == policy
        assert TrainingConfig(precision="mixed_bfloat16").dtype_policy() == "mixed_bfloat16"


@pytest.mark.parametrize("place", training.get_args(training.Place))
def test_in_half_precision_the_loss_is_scaled_wherever_pictures_are_made(place):
    settings = config(precision="mixed_float16", augment_on=place)
    with models.precision(settings.dtype_policy()):
        model = small_model()
    made = training.compiled(model, settings)  # outside, as in a run
    assert isinstance(made.optimizer, keras.optimizers.LossScaleOptimizer)


# -- what a step sees -------------------------------------------------------------------------


@pytest.mark.parametrize("balance", ["hem", "both", "none"])
def test_an_epoch_shows_every_picture_once_and_its_copies_in_grey(pictures, balance):
    rows = np.arange(5, 35)
    data = TrainingData(*pictures, config({"augment": False, "balance": balance}), rows)
    shown, targets = (
        np.concatenate(part)
        for part in zip(*(data.batch(2, i) for i in range(len(data))), strict=True)
    )
    hem = (pictures[1][rows] == 0).sum()
    copies = {"hem": hem, "both": 30, "none": 0}[balance]
    assert sorted(data.order(2)) == list(range(30 + copies)) and set(data.rows) == set(rows)
    assert targets.sum(0).tolist() == np.bincount(pictures[1][data.rows]).tolist()
    grey = (shown == shown[..., :1]).all(axis=(1, 2, 3))
    assert grey.sum() == copies and np.array_equal(grey, data.grey[data.order(2)])
    assert not np.array_equal(data.order(0), data.order(1))


def test_a_batch_is_a_function_of_seed_epoch_and_index_and_spares_its_pictures(pictures):
    frozen = pictures[0].copy()
    frozen.flags.writeable = False
    one, other = TrainingData(frozen, pictures[1], config()), TrainingData(*pictures, config())
    places = [(epoch, index) for epoch in range(3) for index in range(len(one))]
    forward = {place: one.batch(*place) for place in places}
    for place in reversed(places):
        assert same(forward[place], other.batch(*place))
    assert not same(forward[0, 0], forward[0, 1])
    assert not same(forward[0, 0], forward[1, 0])
    assert not same(forward[0, 0], TrainingData(*pictures, config(seed=4)).batch(0, 0))


def test_people_are_drawn_by_one_over_the_root_of_their_pictures():
    people = np.array(["a"] * 16 + ["b"] * 4 + ["c"] * 18 + ["d"] * 2)  # HEM: a, b; ALL: c, d
    images, labels, settings = make_pictures()[0], np.repeat([0, 1], 20), config(draw="person")
    data, again = (TrainingData(images, labels, settings, people=people) for _ in range(2))
    drawn = np.concatenate([data.rows[data.order(epoch)] for epoch in range(400)])
    names, counts = np.unique(people[drawn], return_counts=True)
    shares = dict(zip(names, counts / len(drawn), strict=True))
    # HEM and its grey copies keep two thirds; within a class people go by the root of their cells
    assert shares["a"] == pytest.approx(2 / 3 * 4 / 6, abs=0.01)
    assert shares["b"] == pytest.approx(2 / 3 * 2 / 6, abs=0.01)
    assert shares["c"] == pytest.approx(1 / 3 * 18**0.5 / (18**0.5 + 2**0.5), abs=0.01)
    cells = np.bincount(drawn, minlength=40)
    assert cells[:16] == pytest.approx(cells[:16].mean(), rel=0.1)
    assert len(data.order(0)) == len(data.rows) == 60  # as many steps as before
    assert np.array_equal(data.order(1), again.order(1))
    assert not np.array_equal(data.order(1), data.order(2))
    with pytest.raises(DataError, match="person of each picture"):
        TrainingData(images, labels, settings)


@pytest.fixture(scope="module")
def two_epochs(pictures, validation):
    """Where a run of two epochs ends."""
    return state(train(pictures, validation, config(epochs=2))[0])


def test_workers_change_nothing_and_a_bar_tells(pictures, validation, two_epochs, capsys):
    asked, settings = set(), config(epochs=2)

    class Alone(TrainingData):
        def __init__(self, *given):
            super().__init__(*given)
            self.workers = 1

        def batch(self, epoch, index):
            asked.add((epoch, index))
            return super().batch(epoch, index)

    model = small_model()
    fit(model, Alone(*pictures, settings), validation, settings)
    assert asked == {(epoch, index) for epoch in range(2) for index in range(5)}
    assert same(state(model), two_epochs)
    shown = capsys.readouterr().err
    assert "2/2" in shown and "/5" in shown and "val_accuracy" in shown


def test_an_empty_class_is_an_error(pictures):
    images, labels = pictures
    with pytest.raises(DataError, match=r"0 HEM and \d+ ALL"):
        TrainingData(images, labels, config(), rows=np.flatnonzero(labels == 1))


# -- fit --------------------------------------------------------------------------------------


def test_plateau_early_stop_and_best_weights_follow_the_validation_loss(
    tmp_path, pictures, validation
):
    settings = config(epochs=12, early_stop=3, learning_rate=0.02)
    model, history = train(pictures, validation, settings, tmp_path)
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
    assert history.best_epoch == int(np.argmin(losses))
    assert len(history) == len(losses) == history.best_epoch + 1 + settings.early_stop < 12
    targets = np.eye(2)[validation[1]]
    loss = model.evaluate(validation[0], targets, batch_size=64, verbose=0)[0]
    assert loss == pytest.approx(min(losses), rel=1e-5)
    # resumed, a run that has stopped trains no further
    again, history_again = train(pictures, validation, settings, tmp_path, resume=True)
    assert history_again == history and same(model.get_weights(), again.get_weights())


class Killed(TrainingData):
    """In the middle of its third epoch; tests/soak kills processes."""

    at = 2, 2

    def batch(self, epoch, index):
        if (epoch, index) == self.at:
            raise RuntimeError("killed")
        return super().batch(epoch, index)


class KilledEarlier(Killed):
    at = 1, 2


class KilledAtOnce(Killed):
    at = 0, 0


class Diverging(TrainingData):
    """Its second epoch asks for the impossible: a target that is no number."""

    def batch(self, epoch, index):
        pictures, targets = super().batch(epoch, index)
        return pictures, targets * (np.nan if (epoch, index) == (1, 1) else 1)


RESTLESS = {"learning_rate": 0.03, "lr_patience": 2}  # waits when it is killed, gives way after


@pytest.mark.parametrize("place", [{}, {"augment_on": "device", "steps_per_call": 2}])
def test_killed_and_resumed_equals_straight(tmp_path, pictures, validation, place):
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    settings = config(**RESTLESS | place)
    model, history = train(pictures, validation, settings, straight)
    # the case must hold what a resume could lose: a counter, the best loss, the best weights
    assert np.diff(history.epochs["learning_rate"]).tolist()[:2] == [0, 0]
    assert history.epochs["learning_rate"][3] < 0.01
    assert history.best_epoch == 0

    with pytest.raises(Exception, match="killed"):
        train(pictures, validation, settings, resumed, kind=Killed)
    assert len(json.loads(str(checkpoint(resumed)["counters"]))["history"]["loss"]) == 2
    (resumed / f".{CHECKPOINT}.x1.part").write_bytes(b"of one killed as it wrote")

    again, history_again = train(pictures, validation, settings, resumed, resume=True)
    assert same(model.get_weights(), again.get_weights()) and history_again == history
    assert [p.name for p in resumed.iterdir()] == [CHECKPOINT]
    expected, found = checkpoint(straight), checkpoint(resumed)
    assert expected.keys() == found.keys()
    for name in expected:
        assert np.array_equal(expected[name], found[name]), name


def test_mixed_precision_resumes_and_a_fresh_start_forgets(tmp_path, pictures, validation):
    settings = config(epochs=2, precision="mixed_bfloat16")
    with models.precision(settings.dtype_policy()):
        straight, _ = train(pictures, validation, settings, tmp_path)
        for kind in (KilledAtOnce, KilledEarlier):
            with pytest.raises(Exception, match="killed"):
                train(pictures, validation, settings, tmp_path, kind=kind)
            assert (tmp_path / CHECKPOINT).exists() == (kind is KilledEarlier)
        model, history = train(pictures, validation, settings, tmp_path, resume=True)
    assert len(history) == 2 and same(state(straight), state(model))
    assert model.get_layer("prediction").compute_dtype == "float32"
    assert model.get_layer("conv").compute_dtype == "bfloat16"


def test_a_loss_that_is_no_number_stops_at_once_and_spares_the_checkpoint(
    tmp_path, pictures, validation, two_epochs
):
    settings, model = config(epochs=2), small_model()
    with pytest.raises(ConfigError) as stopped:
        train(pictures, validation, settings, tmp_path, model, kind=Diverging)
    message = str(stopped.value)
    assert "loss is nan after step 2 of epoch 2" in message
    assert f"{tmp_path / CHECKPOINT} keeps epoch 1" in message and "learning_rate 0.001" in message
    assert int(model.optimizer.iterations) == 5 + 2
    again, _ = train(pictures, validation, settings, tmp_path, resume=True)
    assert same(state(again), two_epochs)


# -- checkpoints that do not serve ------------------------------------------------------------

RUN = {"fingerprint": {"data": "abc"}, "resume": True}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pictures, validation):
    folder = tmp_path_factory.mktemp("trained")
    train(pictures, validation, config(epochs=1), folder, **RUN)
    return (folder / CHECKPOINT).read_bytes()


def other_model():
    flat = [keras.Input((SIZE, SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    return keras.Sequential(flat)


@pytest.mark.parametrize(
    ("changes", "how", "name"),
    [
        ({"learning_rate": 0.1}, {}, "made with another learning_rate;"),
        ({"seed": 4}, {}, "made with another seed;"),
        ({"recipe": {"stain": 0.1}}, {}, "made with another stain;"),
        ({}, {"fingerprint": {"data": "xyz"}}, "made with another data;"),
        ({}, {"fingerprint": None}, "made with another data;"),
        ({}, {"model": other_model}, "another model"),
    ],
)
def test_that_of_another_run_is_refused_by_name(
    tmp_path, pictures, validation, trained, changes, how, name
):
    (tmp_path / CHECKPOINT).write_bytes(trained)
    how = RUN | how | {"model": how.get("model", small_model)()}
    with pytest.raises(ConfigError, match=name) as refused:
        train(pictures, validation, config(**{"epochs": 1} | changes), tmp_path, **how)
    assert str(tmp_path / CHECKPOINT) in str(refused.value)


SPOILT = [{"plateau": [1]}, {"history": {"loss": 3}}, {"stopper": 0}, {"history": {}}]


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "no counters", *SPOILT])
def test_a_damaged_one_is_refused(tmp_path, pictures, validation, trained, damage):
    path = tmp_path / CHECKPOINT
    if isinstance(damage, dict):
        with np.load(io.BytesIO(trained)) as found:
            arrays = dict(found)
        counters = json.loads(str(arrays["counters"])) | damage
        np.savez(path, **arrays | {"counters": np.array(json.dumps(counters))})
    elif damage == "no counters":
        np.savez(path, v0=np.zeros(1))
    else:
        path.write_bytes({"truncated": trained[:-500], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(DataError, match="delete it") as refused:
        train(pictures, validation, config(epochs=1), tmp_path, **RUN)
    assert str(path) in str(refused.value)


# -- backends ----------------------------------------------------------------------------------


ELSEWHERE = """
    import importlib.util, itertools, json, sys, time
    spec = importlib.util.spec_from_file_location("test_training", sys.argv[-1])
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    backend = tests.keras.backend.backend()
    found = {"backend": backend}
    if backend == "tensorflow":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)

    class Late(tests.TrainingData):
        def batch(self, epoch, index):
            time.sleep(0.02 * (index % 3))
            return super().batch(epoch, index)

    class Plain(tests.TrainingData):
        def __init__(self, *given):
            super().__init__(*given)
            self.workers = 1

        def __getitem__(self, index):
            return self.batch(self.epoch, index)

    if backend != "tensorflow":
        model = tests.models.mobilenet_m(None, image_size=32, alpha=0.25, bn_momentum=0.9, seed=3)
        before, part = model.get_weights(), tests.two_batches()
        model, history = tests.train(part, part, tests.TWO_STEPS, model=model)
        found["steps"] = {
            "steps": int(model.optimizer.iterations),
            "finite": bool(tests.np.isfinite(history.epochs["loss"]).all()),
            "still": sum(map(tests.np.array_equal, before, model.get_weights())),
            "batch": int(tests.TrainingData(*part, tests.TWO_STEPS).batch(0, 1)[0].sum()),
        }

        part, validation = tests.make_pictures(), tests.make_pictures(20, seed=1)
        settings = tests.config(epochs=3, batch_size=4)
        runs = [tests.train(part, validation, settings, kind=kind) for kind in (Late, Plain)]
        states = [tests.state(model) for model, _ in runs]
        found["equal"] = runs[0][1] == runs[1][1] and tests.same(*states)

    found["curves"] = {"host": [], "device": []}
    part, validation = tests.make_pictures(41), tests.make_pictures(21, 1)
    numbers = (1,) if backend == "torch" else (1, 2)
    for (place, curves), devices in itertools.product(found["curves"].items(), numbers):
        where = {"augment_on": place, "devices": devices}
        settings = tests.config({"balance": "none"}, epochs=3, **where)
        with tests.training.shared(devices):
            curves.append(tests.train(part, validation, settings)[1].epochs)
    print(json.dumps(found))
"""
TWO_STEPS = config({"balance": "none"}, epochs=1)


def two_batches():
    images, _ = make_pictures(32)
    return images.repeat(2, axis=1).repeat(2, axis=2), np.arange(32) % 2


BACKENDS = ["tensorflow", *(pytest.param(b, marks=pytest.mark.needs(b)) for b in ("jax", "torch"))]


@pytest.fixture(scope="module", params=BACKENDS)
def elsewhere(request):
    """What one process on each backend found, that has two devices."""
    command = [sys.executable, "-c", textwrap.dedent(ELSEWHERE), os.path.abspath(__file__)]
    two = "--xla_force_host_platform_device_count=2"
    flags = {"KERAS_BACKEND": request.param, "XLA_FLAGS": two}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | flags)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_two_steps_move_every_weight_on_every_backend(elsewhere, request):
    pixels = int(TrainingData(*two_batches(), TWO_STEPS).batch(0, 1)[0].sum())
    expected = {"steps": 2, "finite": True, "still": 0, "batch": pixels}
    assert elsewhere["backend"] == request.node.callspec.params["elsewhere"]
    assert elsewhere.get("steps", expected) == expected  # TensorFlow: by test_models


def test_equal_runs_end_bit_for_bit_alike_also_without_threads(elsewhere):
    """Keras' own workers would hand batches over that an epoch before had left."""
    assert elsewhere.get("equal", True)  # TensorFlow: by the tests above


def test_pictures_made_on_the_device_teach_what_those_of_the_host_do(elsewhere):
    host, device = (curves[0] for curves in elsewhere["curves"].values())
    assert host["loss"] != device["loss"]  # its noise is its own
    assert device["loss"] == pytest.approx(host["loss"], abs=0.15)  # dropout has a part in it
    assert device["val_loss"] == pytest.approx(host["val_loss"], abs=0.05)


def test_two_devices_share_a_batch_and_learn_the_same(elsewhere):
    """The odd picture is left out, and TensorFlow normalises each half of a batch by itself."""
    if elsewhere["backend"] == "torch":
        pytest.skip("PyTorch shares no batch")
    for one, both in elsewhere["curves"].values():
        assert both["loss"] != one["loss"]  # the odd picture is left out, so it did share
        within = 0.2 if elsewhere["backend"] == "tensorflow" else 0.01
        for name in ("loss", "val_loss"):
            assert both[name] == pytest.approx(one[name], abs=within)


def test_devices_that_are_not_there_are_one_line():
    with pytest.raises(ConfigError, match="devices 3: .* share 16"):
        config(devices=3)
    with pytest.raises(ConfigError, match="devices 8: .* sees"), training.shared(8):
        pass
    with pytest.raises(ConfigError, match="steps_per_call 3: several devices take 1"):
        config(devices=2, steps_per_call=3)
