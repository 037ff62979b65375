"""The networks: counts of Tables 3 and 4 and of the papers, weights, and that they learn."""

import os
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from allm_utils.data.cnmc import CLASSES
from allm_utils.errors import ConfigError, WeightsError
from allm_utils.network import models
from allm_utils.network.models import BUILDERS
from allm_utils.runs.records import PARAMETERS

PEERS = [name for name in BUILDERS if name != "mobilenet_m"]


@pytest.fixture(scope="module")
def full():
    """Every network at 224 px with random weights."""
    return {name: models.build(name, {"weights": None, "seed": 0}) for name in BUILDERS}


@pytest.fixture(scope="module")
def small():
    """Every network at 64 px; the scaling is the one that may hold a list."""
    settings = {"dropout": 0.0, "l1": 0.01, "scaling": "imagenet", "bn_momentum": 0.9, "seed": 0}
    settings |= {"image_size": 64, "alpha": 0.25, "weights": None}
    return {name: models.build(name, settings) for name in BUILDERS}


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3)).astype(np.uint8)


def refused(kind, function, *arguments, **settings):
    with pytest.raises(kind) as error:
        function(*arguments, **settings)
    return str(error.value)


# -- what they are ---------------------------------------------------------------------------


def test_table_4(full):
    model = full["mobilenet_m"]
    assert models.parameters(model) == {
        "total": 3_235_010,
        "trainable": 3_211_074,
        "non_trainable": 23_936,
    }
    end = [layer.name for layer in model.layers].index(models.BACKBONE_END) + 1
    assert model.layers[end - 1].output.shape == (None, 7, 7, 1024)
    assert sum(layer.count_params() for layer in model.layers[:end]) == 3_228_864
    rows = [(type(la).__name__, la.output.shape, la.count_params()) for la in model.layers[end:]]
    assert rows == [
        ("GlobalAveragePooling2D", (None, 1024), 0),
        ("Flatten", (None, 1024), 0),
        ("Dropout", (None, 1024), 0),
        ("BatchNormalization", (None, 1024), 4_096),
        ("Dense", (None, 2), 2_050),
    ]


def test_records_are_judged_by_the_counts_of_the_networks(full):
    for (name, alpha), counts in PARAMETERS.items():
        if name in BUILDERS:
            model = full[name] if alpha == 1 else models.mobilenet_m(None, 32, alpha)
            found = models.parameters(model)
            assert counts == {key: found[key] for key in counts}, (name, alpha)


# Weights and biases of the published networks without classifiers; what we add to normalise, in
# place of a bias or anew; features. Then multiply-adds in billions: of Howard et al. (2017) Table 8
# less what we cut, of He et al. Table 1.
PUBLISHED = {
    "vgg16": (14_714_688, 0, 512, 15.3),  # 138,357,544 with its fully connected layers
    "resnet50": (23_587_712, 0, 2048, 3.86),  # 25,636,712 with its classifier
    "googlenet": (6_998_552 - 1_025_000, 3 * 7_280, 1024, 1.58),  # without auxiliary classifiers
    # one stream: layers 2, 4, 5 see all
    "alexnet": (2_334_080 + 307_200 + 663_552 + 442_368, 4 * (96 + 256), 256, 1.08),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_and_multiply_adds_of_the_papers(full, name):
    weights, normalised, features, billions = PUBLISHED[name]
    assert models.parameters(full[name])["total"] == weights + normalised + 2 * features + 2
    assert models.multiply_adds(full[name]) / 1e9 == pytest.approx(billions, abs=0.05)


def test_multiply_adds_of_mobilenet(full, small):
    """569 million with the classifier that is cut off; one block of width 8 by hand."""
    assert models.multiply_adds(full["mobilenet_m"]) + 1024 * 1000 == 568_740_352
    model = small["mobilenet_m"]
    cut = keras.Model(model.inputs, model.get_layer("conv_pw_1").output)
    assert models.multiply_adds(cut) == 32 * 32 * (3 * 3 * 3 * 8 + 3 * 3 * 8 + 8 * 16)


def test_alnett_style_is_what_it_says(full):
    """In each cluster three depthwise filters and their biases, 1x1, pooling, normalisation."""
    model, total, flops, channels, side = full["alnett_style"], 0, 0, 3, 224
    for number, filters in enumerate(models.ALNETT_STYLE_FILTERS, start=1):
        total += 3 * (9 + 1) * channels + (3 * channels + 1) * filters + 4 * filters
        flops += side**2 * (3 * 9 * channels + 3 * channels * filters)
        channels, side = filters, side // 2
        cluster = [la for la in model.layers if la.name.startswith(f"cluster_{number}_")]
        kinds = ["Concatenate", "Conv2D", "MaxPooling2D", "BatchNormalization"]
        assert [type(la).__name__ for la in cluster] == ["DepthwiseConv2D"] * 3 + kinds
        assert [la.dilation_rate for la in cluster[:3]] == [(1, 1), (2, 2), (3, 3)]
    assert models.parameters(model)["total"] == total + 2 * channels + 2
    assert models.multiply_adds(model) == flops
    assert models.parameters(model)["total"] < models.parameters(full["mobilenet_m"])["total"]
    assert "it is not ALNett" in models.alnett_style.__doc__


# -- what all of them have in common ---------------------------------------------------------


@pytest.mark.parametrize("name", BUILDERS)
def test_flat_raw_pixels_in_two_probabilities_out(small, pixels, name):
    model = small[name]
    for layer in model.layers:
        assert not isinstance(layer, keras.Model | keras.layers.Lambda), layer.name
    assert model.name == name and model.layers[1].name == "scaling"
    assert model.get_layer("dropout").rate == 0.0
    assert {getattr(layer, "momentum", 0.9) for layer in model.layers} == {0.9}
    last = model.get_layer("prediction")
    assert last.dtype_policy.name == "float32" and model.output.shape == (None, len(CLASSES))
    assert float(last.kernel_regularizer.l1) == pytest.approx(0.01)
    found = np.asarray(model(pixels))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found, model(pixels.astype(np.float32)), atol=1e-6)


@pytest.mark.parametrize("name", BUILDERS)
def test_every_layer_learns(small, name):
    """A step on a batch lowers its loss, and moves every weight."""
    model = small[name]
    model.compile(keras.optimizers.Adam(1e-4), "categorical_crossentropy", run_eagerly=True)
    labels = np.arange(4) % 2
    noise = np.random.default_rng(0).integers(0, 120, (4, 64, 64, 3))
    batch = (noise + 60 * labels[:, None, None, None]).astype(np.uint8)
    before = [np.array(v) for v in model.trainable_variables]
    loss = model.train_on_batch(batch, np.eye(2)[labels])
    assert model.compute_loss(y=np.eye(2)[labels], y_pred=model(batch, training=True)) < loss
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert (np.array(variable) != old).any(), variable.path


@pytest.mark.parametrize(("scaling", "low", "high"), [("unit", 0, 1), ("imagenet", -1, 1)])
def test_pixels_are_scaled_by_the_first_layer(scaling, low, high):
    first = models.mobilenet_m(None, image_size=32, alpha=0.25, scaling=scaling).layers[1]
    pixels = np.array([0, 255], np.float32).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(np.ravel(first(pixels)), [low, high], atol=1e-6)


def test_the_head_of_section_3_6(full):
    model = full["mobilenet_m"]
    dense = model.get_layer("prediction")
    kernel = keras.ops.convert_to_numpy(dense.kernel)
    assert kernel.min() < -0.049 and kernel.max() > 0.049 and np.abs(kernel).max() <= 0.05
    assert kernel.std() == pytest.approx(0.1 / np.sqrt(12), rel=0.03)
    assert not keras.ops.convert_to_numpy(dense.bias).any()
    assert len(model.losses) == 1  # the penalty is on no other layer
    assert float(model.losses[0]) == pytest.approx(0.015 * np.abs(kernel).sum(), rel=1e-5)
    assert model.get_layer("dropout").rate == 0.5


def test_the_seed_decides_the_random_weights():
    def kernels(seed):
        model = models.mobilenet_m(None, image_size=64, alpha=0.25, dropout=0.0, seed=seed)
        return [model.get_layer(name).get_weights()[0] for name in ("conv1", "prediction")]

    for one, same, other in zip(*map(kernels, (0, 0, 1)), strict=True):
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()


def test_the_last_layer_stays_float32_under_mixed_precision():
    before = keras.config.dtype_policy().name
    with models.precision("mixed_float16"):
        model = models.mobilenet_m(None, image_size=32, alpha=0.25)
    assert keras.config.dtype_policy().name == before
    assert model.get_layer("conv1").compute_dtype == "float16"
    assert model.get_layer("prediction").compute_dtype == model.output.dtype == "float32"


@pytest.mark.parametrize("name", BUILDERS)
def test_the_users_keras_json_does_not_change_the_network(small, name):
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    keras.config.set_epsilon(0.1)
    keras.config.set_max_epochs(1)
    keras.config.set_max_steps_per_epoch(1)
    model = models.build(name, {"image_size": 64, "alpha": 0.25, "weights": None})
    now = [keras.config.epsilon(), keras.config.max_epochs(), keras.config.max_steps_per_epoch()]
    assert now == [1e-7, None, None] and {str(v.dtype) for v in model.weights} == {"float32"}
    shapes = [layer.output.shape for layer in model.layers]
    assert shapes == [layer.output.shape for layer in small[name].layers]


WRONG = {"scaling": ["zscore"], "image_size": [31, 1025], "alpha": [2.1, 0], "dropout": [1]}
WRONG |= {"l1": [-1, float("inf")], "bn_momentum": [float("nan")]}


@pytest.mark.parametrize(("name", "values"), WRONG.items())
def test_a_setting_out_of_range_is_refused_by_name(name, values):
    for value in values:
        assert f"{name} {value!r}" in refused(
            ConfigError, models.mobilenet_m, None, **{name: value}
        )


@pytest.mark.parametrize("name", PEERS)
def test_the_smallest_picture(name):
    smallest = 63 if name == "alexnet" else 32
    assert f"{smallest} to" in refused(ConfigError, BUILDERS[name], image_size=smallest - 1)
    assert min(BUILDERS[name](image_size=smallest).get_layer("dropout").output.shape[1:]) > 0


def test_a_network_is_built_by_name_from_what_is_its_own():
    settings = {"image_size": 32, "alpha": 0.5, "weights": None, "epochs": 3, "protocol": "paper"}
    assert models.build("mobilenet_m", settings).get_layer("conv1").filters == 16
    assert models.build("alnett_style", settings).input_shape == (None, 32, 32, 3)
    assert "choose one of mobilenet_m" in refused(ConfigError, models.build, "lenet", {})


# -- weights ---------------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch):
    """An empty Keras cache and no way out."""

    def fail(*_, **__):
        raise OSError("URL fetch failure\non two lines")

    monkeypatch.setattr(keras.utils, "get_file", fail)


def test_none_is_random_and_a_path_is_taken_first(tmp_path, no_network):
    path = tmp_path / "mine.h5"
    path.write_bytes(b"-")
    assert models.resolve_weights(None) is None
    assert models.resolve_weights(path) == models.resolve_weights(str(path)) == path


def test_the_package_brings_those_of_a_quarter(no_network):
    path = models.resolve_weights("imagenet", 0.25)
    assert path.parent == Path(models.__file__).parents[1] / "data" / "weights"
    model = models.mobilenet_m("imagenet", image_size=32, alpha=0.25)
    kernel = model.get_layer("conv1").get_weights()[0]
    assert kernel.shape == (3, 3, 3, 8) and np.abs(kernel).max() > 0.5  # no random one is so large


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mobilenet_m", "mobilenet_1_0_224_tf_no_top.h5"),
        ("vgg16", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        ("resnet50", "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
    ],
)
def test_then_keras_cache_and_the_download(name, file, monkeypatch):
    asked = []

    def get_file(name, origin, **settings):
        asked.append((name, origin, settings))
        raise TimeoutError  # without words

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    message = refused(WeightsError, BUILDERS[name], "imagenet")
    assert file in message and "TimeoutError" in message and "give its path" in message
    ((asked_name, origin, settings),) = asked
    assert asked_name == file and settings["cache_subdir"] == "models"
    assert origin.startswith("https://storage.googleapis.com/") and origin.endswith(file)


def test_weights_that_do_not_exist_are_refused(tmp_path, no_network):
    path = tmp_path / "none.h5"
    message = refused(WeightsError, models.mobilenet_m, weights=path)
    assert str(path) in message and "'imagenet'" in message
    assert str(tmp_path) in refused(WeightsError, models.resolve_weights, tmp_path)  # a folder
    message = refused(WeightsError, models.resolve_weights, "imagenet", 0.3)
    assert "alpha 0.3" in message and "0.25" in message and "weights=None" in message
    for name in ("alnett_style", "googlenet", "alexnet"):
        for weights in ("imagenet", "mine.h5"):
            message = refused(WeightsError, BUILDERS[name], weights=weights)
            assert f"{name}: no pre-trained weights" in message and weights in message


@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize("content", [b"not weights" * 100, b"", None])
@pytest.mark.parametrize("name", ["junk.h5", "junk.weights.h5", "junk.txt"])
def test_a_file_that_holds_no_weights(tmp_path, content, name):
    if content is None:
        with h5py.File(tmp_path / name, "w") as file:
            file["x"] = np.zeros(3)
    else:
        (tmp_path / name).write_bytes(content)
    message = refused(WeightsError, models.mobilenet_m, tmp_path / name, image_size=32, alpha=0.25)
    assert str(tmp_path / name) in message and "give the right file" in message


@pytest.mark.parametrize(
    ("name", "application", "preprocess"),
    [
        ("mobilenet_m", keras.applications.MobileNet, keras.applications.mobilenet),
        ("vgg16", keras.applications.VGG16, keras.applications.vgg16),
        ("resnet50", keras.applications.ResNet50, keras.applications.resnet),
    ],
)
def test_loaded_weights_see_what_they_were_trained_on(name, application, preprocess, tmp_path):
    """What Keras' own backbone finds behind its own scaling, ours finds in raw pixels."""
    theirs = application(input_shape=(32, 32, 3), include_top=False, weights=None)
    path = tmp_path / "random.weights.h5"
    theirs.save_weights(path)
    ours = BUILDERS[name](weights=path, image_size=32, scaling="imagenet")
    end = ours.layers[[layer.name for layer in ours.layers].index("average_pooling") - 1]
    features = keras.Model(ours.inputs, end.output)
    pixels = np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3)).astype(np.uint8)
    expected = np.asarray(theirs(preprocess.preprocess_input(pixels.astype(np.float32))))
    assert expected.std() > 0
    np.testing.assert_allclose(features(pixels), expected, rtol=1e-3, atol=1e-4)
    assert str(path) in refused(WeightsError, models.mobilenet_m, path, image_size=32, alpha=0.25)


@pytest.mark.parametrize("alpha", [0.25, 1.0])
def test_imagenet_features_are_those_of_keras(alpha):
    path = models.resolve_weights("imagenet", alpha) if alpha == 0.25 else None
    path = path or os.environ.get("ALLM_WEIGHTS")
    if path is None:
        pytest.skip("ALLM_WEIGHTS is not set: no ImageNet weights of full width")
    ours = models.mobilenet_m(path, alpha=alpha, scaling="imagenet")
    theirs = keras.applications.MobileNet(
        input_shape=(224, 224, 3), alpha=alpha, include_top=False, weights=str(path)
    )
    yy, xx = np.mgrid[:224, :224]
    disc = ((yy - 112) ** 2 + (xx - 112) ** 2 < 80**2)[..., None] * [90, 40, 110]
    picture = disc[None].astype(np.uint8)
    features = keras.Model(ours.inputs, ours.get_layer(models.BACKBONE_END).output)
    found = np.asarray(features(picture))
    scaled = keras.applications.mobilenet.preprocess_input(picture.astype(np.float32))
    assert np.isfinite(found).all() and found.std() > 0.05
    np.testing.assert_allclose(found, theirs(scaled), atol=1e-3)
