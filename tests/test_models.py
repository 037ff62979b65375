"""MobileNet_M: the counts of Tables 3 and 4, the weights, and models that survive the disk."""

import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from allm_utils.book import paper
from allm_utils.data.cnmc import CLASSES
from allm_utils.errors import ConfigError, ModelError, WeightsError
from allm_utils.network import models

CARD = {"image_size": 64, "crop": 300}


@pytest.fixture(scope="module")
def full():
    """The paper's model, with random weights."""
    return models.mobilenet_m(weights=None, seed=0)


@pytest.fixture(scope="module")
def small():
    return models.mobilenet_m(weights=None, image_size=64, alpha=0.25, bn_momentum=0.9, seed=0)


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3)).astype(np.uint8)


# -- what it is ------------------------------------------------------------------------------


def test_parameters_of_table_4(full):
    note = paper.TABLE_4_NOTE
    counted = models.parameters(full)
    assert counted == {name: note["parameters" if name == "total" else name] for name in counted}
    assert counted == {"total": 3_235_010, "trainable": 3_211_074, "non_trainable": 23_936}
    assert 4 * counted["total"] / 2**20 == pytest.approx(note["size_mb"], abs=5e-5)
    assert round(2 * counted["total"] / 2**20, 1) == note["gpu_memory_mb"]


def test_layers_of_table_4(full):
    rows = models.table_4(full)
    kinds = ("MobileNet", "GlobalAveragePooling2D", "Flatten", "Dropout")
    assert tuple(kind for kind, _, _ in rows) == (*kinds, "BatchNormalization", "Dense")
    for (_, shape, count), printed in zip(rows, paper.TABLE_4, strict=True):
        assert shape == (None, *printed["output_shape"])
        assert count == printed["parameters"]


def test_layers_of_table_3(full):
    """The printed table, its misprints corrected."""
    convolutions = [
        layer
        for layer in full.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
    ]
    assert len(convolutions) == 1 + 2 * 13
    assert convolutions[0].kernel.shape == (3, 3, 3, 32)
    strides = [layer.strides[0] for layer in convolutions[1::2]]
    assert strides == [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]
    assert [layer.filters for layer in convolutions[2::2]] == (
        [64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
    )
    assert full.get_layer("conv_dw_13").output.shape == (None, 7, 7, 1024)


def test_multiply_adds(full):
    """569 million with the classifier that is cut off (Howard et al.); 1.024 million less here."""
    assert models.multiply_adds(full) == 567_716_352
    assert round((models.multiply_adds(full) + 1024 * 1000) / 1e6) == 569


def test_multiply_adds_by_hand(small):
    """The first block of width 8 at 64 px: stem, depthwise, pointwise."""
    cut = keras.Model(small.inputs, small.get_layer("conv_pw_1").output)
    assert models.multiply_adds(cut) == 32 * 32 * (3 * 3 * 3 * 8 + 3 * 3 * 8 + 8 * 16)


def test_flat_and_without_lambda(full):
    for layer in full.layers:
        assert not isinstance(layer, keras.Model | keras.layers.Lambda), layer.name
    assert full.get_layer(models.BACKBONE_END).output.shape == (None, 7, 7, 1024)


@pytest.mark.parametrize(("scaling", "low", "high"), [("unit", 0, 1), ("imagenet", -1, 1)])
def test_raw_pixels_in_scaled_by_the_first_layer(scaling, low, high):
    model = models.mobilenet_m(weights=None, image_size=32, alpha=0.25, scaling=scaling)
    first = model.layers[1]
    assert isinstance(first, keras.layers.Rescaling) and first.count_params() == 0
    pixels = np.array([0, 255], np.float32).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(np.ravel(first(pixels)), [low, high], atol=1e-6)
    # the same counts as Keras' own MobileNet and the head
    backbone = keras.applications.MobileNet(
        input_shape=(32, 32, 3), alpha=0.25, include_top=False, weights=None
    )
    features = backbone.output.shape[-1]
    assert model.count_params() == backbone.count_params() + 4 * features + 2 * features + 2


def test_output_is_two_probabilities(small, pictures):
    for batch in (pictures, pictures.astype(np.float32)):
        found = small.predict(batch, verbose=0)
        assert found.dtype == np.float32 and found.shape == (4, len(CLASSES))
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found, small.predict(pictures, verbose=0))


def test_head_as_in_section_3_6(full):
    dense = full.get_layer("prediction")
    assert isinstance(dense.kernel_initializer, keras.initializers.RandomUniform)
    kernel = keras.ops.convert_to_numpy(dense.kernel)
    assert kernel.min() < -0.049 and kernel.max() > 0.049 and np.abs(kernel).max() <= 0.05
    assert kernel.std() == pytest.approx(0.1 / np.sqrt(12), rel=0.03)
    assert not keras.ops.convert_to_numpy(dense.bias).any()
    assert float(dense.kernel_regularizer.l1) == pytest.approx(paper.HYPERPARAMETERS["l1"])
    assert float(full.losses[0]) == pytest.approx(0.015 * np.abs(kernel).sum(), rel=1e-5)
    assert len(full.losses) == 1  # and on no other layer
    assert dense.bias_regularizer is None
    assert full.get_layer("dropout").rate == 0.5


def test_settings_reach_the_layers():
    model = models.mobilenet_m(
        weights=None, image_size=32, alpha=0.25, dropout=0.2, l1=0.1, bn_momentum=0.9
    )
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert len(norms) == 1 + 2 * 13 + 1
    assert {norm.momentum for norm in norms} == {0.9}
    assert model.get_layer("dropout").rate == 0.2
    assert float(model.get_layer("prediction").kernel_regularizer.l1) == pytest.approx(0.1)


def test_seed_decides_the_random_weights(small):
    def kernels(seed):
        model = models.mobilenet_m(weights=None, image_size=64, alpha=0.25, seed=seed)
        return [model.get_layer(name).get_weights()[0] for name in ("conv1", "prediction")]

    first = [small.get_layer(name).get_weights()[0] for name in ("conv1", "prediction")]
    for one, same, other in zip(first, kernels(0), kernels(1), strict=True):
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()


def test_last_layer_stays_float32_under_mixed_precision():
    before = keras.config.dtype_policy().name
    with models.precision("mixed_float16"):
        model = models.mobilenet_m(weights=None, image_size=32, alpha=0.25)
    assert keras.config.dtype_policy().name == before
    assert model.get_layer("conv1").compute_dtype == "float16"
    assert model.get_layer("prediction").compute_dtype == model.output.dtype == "float32"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"scaling": "zscore"}, "'zscore': choose one of unit, imagenet"),
        ({"image_size": 31}, "31: .* 32 or more"),
    ],
)
def test_wrong_settings_are_refused(wrong, words):
    with pytest.raises(ConfigError, match=words):
        models.mobilenet_m(weights=None, **wrong)


# -- the ALNett-style network ----------------------------------------------------------------


@pytest.fixture(scope="module")
def style():
    return models.alnett_style(image_size=64, bn_momentum=0.9, seed=0)


def test_alnett_style_counts():
    """By hand: in each cluster three depthwise filters and their biases, 1x1, normalisation."""
    model = models.alnett_style()
    total, flops, channels, side = 0, 0, 3, 224
    for filters in models.ALNETT_STYLE_FILTERS:
        total += 3 * (9 + 1) * channels + (3 * channels + 1) * filters + 4 * filters
        flops += side**2 * (3 * 9 * channels + 3 * channels * filters)
        channels, side = filters, side // 2
    assert models.parameters(model)["total"] == total + 2 * channels + 2 == 543_004
    assert models.multiply_adds(model) == flops == 347_117_568


def test_alnett_style_costs_less_than_mobilenet(full):
    model = models.alnett_style()
    assert models.parameters(model)["total"] < models.parameters(full)["total"]
    assert models.multiply_adds(model) < models.multiply_adds(full)


def test_alnett_style_clusters(style):
    """Depthwise convolutions of three dilations, convolution, max-pooling, normalisation."""
    for number in range(1, 6):
        rates = [
            layer.dilation_rate
            for layer in style.layers
            if layer.name.startswith(f"cluster_{number}_dilation")
        ]
        assert rates == [(1, 1), (2, 2), (3, 3)]
        kinds = [
            type(layer).__name__
            for layer in style.layers
            if layer.name.startswith(f"cluster_{number}_")
        ]
        assert kinds == (
            ["DepthwiseConv2D"] * 3
            + ["Concatenate", "Conv2D", "MaxPooling2D", "BatchNormalization"]
        )
    assert {norm.momentum for norm in style.layers if hasattr(norm, "momentum")} == {0.9}


def test_alnett_style_says_what_it_is():
    assert "it is not ALNett" in models.alnett_style.__doc__
    assert models.alnett_style(image_size=32).name == "alnett_style"


# -- weights ---------------------------------------------------------------------------------


def refused(kind, function, *arguments, **settings):
    """Return the message of the error, which must be one line."""
    with pytest.raises(kind) as error:
        function(*arguments, **settings)
    message = str(error.value)
    assert "\n" not in message and len(message) < 400
    return message


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """An empty Keras cache and no way out."""

    def fail(*_, **__):
        raise OSError("URL fetch failure\non two lines")

    monkeypatch.setattr(keras.utils, "get_file", fail)


def test_none_is_random_in_so_many_words(no_network):
    assert models.resolve_weights(None) is None


def test_a_path_is_taken_first(tmp_path, no_network):
    path = tmp_path / "mine.h5"
    path.write_bytes(b"-")
    assert models.resolve_weights(path) == models.resolve_weights(str(path)) == path


def test_then_keras_cache_and_the_download(monkeypatch, tmp_path):
    asked = []

    def get_file(name, origin, **settings):
        asked.append((name, origin, settings))
        return str(tmp_path / name)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    found = models.resolve_weights("imagenet", 0.25)
    name = "mobilenet_2_5_224_tf_no_top.h5"
    assert found == tmp_path / name
    ((asked_name, origin, settings),) = asked
    assert asked_name == name and settings["cache_subdir"] == "models"
    assert origin.startswith("https://storage.googleapis.com/") and origin.endswith(name)


def test_no_weights_at_all_is_an_error_not_a_random_model(no_network):
    message = refused(WeightsError, models.mobilenet_m)
    assert "mobilenet_1_0_224_tf_no_top.h5" in message and "give its path" in message


def test_an_error_without_words_is_still_one_line(monkeypatch):
    def fail(*_, **__):
        raise TimeoutError

    monkeypatch.setattr(keras.utils, "get_file", fail)
    assert "TimeoutError" in refused(WeightsError, models.resolve_weights, "imagenet")


def test_a_missing_path_is_named(tmp_path):
    path = tmp_path / "none.h5"
    message = refused(WeightsError, models.mobilenet_m, weights=path)
    assert str(path) in message and "'imagenet'" in message
    assert str(tmp_path) in refused(WeightsError, models.resolve_weights, tmp_path)  # a folder


def test_a_width_without_imagenet_weights(no_network):
    message = refused(WeightsError, models.resolve_weights, "imagenet", 0.3)
    assert "alpha 0.3" in message and "0.25" in message and "weights=None" in message


def junk(path):
    path.write_bytes(b"not weights" * 100)


def empty(path):
    path.write_bytes(b"")


def other_hdf5(path):
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(3)


@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize("make", [junk, empty, other_hdf5])
@pytest.mark.parametrize("name", ["junk.h5", "junk.weights.h5", "junk.txt"])
def test_a_file_that_holds_no_weights(tmp_path, make, name):
    make(tmp_path / name)
    message = refused(WeightsError, models.mobilenet_m, tmp_path / name, image_size=32, alpha=0.25)
    assert str(tmp_path / name) in message and "give the right file" in message


@pytest.fixture(scope="module")
def quarter_weights(tmp_path_factory):
    """A weight file of MobileNet x0.25 without top, as Keras publishes them, but random."""
    keras.utils.set_random_seed(3)
    backbone = keras.applications.MobileNet(
        input_shape=(32, 32, 3), alpha=0.25, include_top=False, weights=None
    )
    path = tmp_path_factory.mktemp("weights") / "quarter.weights.h5"
    backbone.save_weights(path)
    return path, backbone


def test_weights_arrive_in_the_backbone(quarter_weights):
    path, backbone = quarter_weights
    model = models.mobilenet_m(weights=path, image_size=64, alpha=0.25, seed=9)
    for name in ("conv1", "conv_dw_7", "conv_pw_13"):
        np.testing.assert_array_equal(
            model.get_layer(name).get_weights()[0], backbone.get_layer(name).get_weights()[0]
        )


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_another_width_are_refused(quarter_weights):
    path, _ = quarter_weights
    message = refused(WeightsError, models.mobilenet_m, path, image_size=32, alpha=0.5)
    assert "x0.5" in message and str(path) in message


# -- to the disk and back --------------------------------------------------------------------


@pytest.mark.parametrize("half", [False, True])
def test_saved_models_predict_the_same(small, pictures, tmp_path, half):
    path = models.save(small, tmp_path / "deep" / "model.keras", CARD | {"fold": 1}, half=half)
    loaded, card = models.load(path)
    assert card == CARD | {"fold": 1, "classes": ["HEM", "ALL"]}
    assert {str(v.dtype) for v in loaded.weights} == {"float32"}
    expected = small.predict(pictures, verbose=0)
    tolerance = 5e-3 if half else 1e-6
    np.testing.assert_allclose(loaded.predict(pictures, verbose=0), expected, atol=tolerance)
    assert sorted(p.name for p in path.parent.iterdir()) == ["model.json", "model.keras"]


def test_half_precision_fits_in_7_mb(full, tmp_path):
    path = models.save(full, tmp_path / "half.keras", {"image_size": 224, "crop": 300}, half=True)
    assert path.stat().st_size <= 7e6
    loaded, _ = models.load(path)
    assert models.parameters(loaded) == models.parameters(full)
    for one, other in zip(loaded.weights, full.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


def test_half_leaves_the_optimiser_out(tmp_path):
    model = models.mobilenet_m(weights=None, image_size=32, alpha=0.25)
    model.compile("adam", "categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    whole = models.save(model, tmp_path / "whole.keras", CARD)
    half = models.save(model, tmp_path / "half.keras", CARD, half=True)
    assert half.stat().st_size < whole.stat().st_size / 4
    models.load(half)


def test_a_saved_model_can_be_saved_over(small, tmp_path):
    path = models.save(small, tmp_path / "model.keras", CARD)
    models.save(small, path, CARD | {"fold": 2})
    assert models.load(path)[1]["fold"] == 2


@pytest.mark.parametrize("entry", list(CARD))
def test_a_card_is_required_to_save(small, tmp_path, entry):
    card = {name: value for name, value in CARD.items() if name != entry}
    message = refused(ModelError, models.save, small, tmp_path / "model.keras", card)
    assert entry in message
    assert not list(tmp_path.iterdir())


@pytest.fixture
def saved(small, tmp_path):
    return models.save(small, tmp_path / "model.keras", CARD)


def without_card(path):
    path.with_suffix(".json").unlink()


def broken_card(path):
    path.with_suffix(".json").write_text("{")


def list_for_a_card(path):
    path.with_suffix(".json").write_text("[1, 2]")


def other_classes(path):
    path.with_suffix(".json").write_text(json.dumps(CARD | {"classes": ["ALL", "HEM"]}))


def card_without_crop(path):
    path.with_suffix(".json").write_text(json.dumps({"image_size": 64, "classes": list(CLASSES)}))


@pytest.mark.parametrize(
    "spoil", [without_card, broken_card, list_for_a_card, other_classes, card_without_crop]
)
def test_a_card_is_required_to_load(saved, spoil):
    spoil(saved)
    assert "model.json" in refused(ModelError, models.load, saved)


def missing(path):
    path.unlink()


def cut_short(path):
    path.write_bytes(path.read_bytes()[:1000])


def other_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "not a model")


@pytest.mark.parametrize("spoil", [missing, junk, empty, cut_short, other_archive])
def test_a_file_that_is_no_model(saved, spoil):
    spoil(saved)
    assert str(saved) in refused(ModelError, models.load, saved)


def test_another_suffix_is_refused(saved):
    moved = saved.with_suffix(".h5")
    saved.rename(moved)
    assert "give a .keras file" in refused(ModelError, models.load, moved)


def test_a_model_that_runs_code_is_refused(tmp_path):
    """Safe mode: a Lambda layer would execute what its author wrote."""
    inputs = keras.Input((64, 64, 3))
    flat = keras.layers.Flatten()(keras.layers.Lambda(lambda x: x[:, ::32, ::32])(inputs))
    outputs = keras.layers.Dense(2)(flat)
    path = tmp_path / "trojan.keras"
    keras.Model(inputs, outputs).save(path)
    path.with_suffix(".json").write_text(json.dumps(CARD | {"classes": list(CLASSES)}))
    assert str(path) in refused(ModelError, models.load, path)


# -- the real weights ------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.parametrize(("alpha", "name"), [(1.0, "1_0"), (0.25, "2_5")])
def test_imagenet_features_are_those_of_keras(shared, alpha, name):
    """With the scaling it was trained on, the backbone sees what Keras' own MobileNet sees."""
    path = shared / "weights" / f"mobilenet_{name}_224_tf_no_top.h5"
    ours = models.mobilenet_m(weights=path, alpha=alpha, scaling="imagenet")
    theirs = keras.applications.MobileNet(
        input_shape=(224, 224, 3), alpha=alpha, include_top=False, weights=str(path)
    )
    yy, xx = np.mgrid[:224, :224]
    disc = ((yy - 112) ** 2 + (xx - 112) ** 2 < 80**2)[..., None] * [90, 40, 110]
    picture = disc[None].astype(np.uint8)
    features = keras.Model(ours.inputs, ours.get_layer(models.BACKBONE_END).output)
    found = features.predict(picture, verbose=0)
    scaled = keras.applications.mobilenet.preprocess_input(picture.astype(np.float32))
    assert np.isfinite(found).all() and found.std() > 0.05
    np.testing.assert_allclose(found, theirs.predict(scaled, verbose=0), atol=1e-3)


@pytest.mark.real
def test_real_weights_of_another_width_are_refused(shared):
    path = shared / "weights" / "mobilenet_2_5_224_tf_no_top.h5"
    assert str(path) in refused(WeightsError, models.mobilenet_m, path, alpha=1.0)


def config_that_reaches_keras(saved, monkeypatch, old, new):
    """Change the configuration inside a saved model, load it, and return what Keras is given."""
    with zipfile.ZipFile(saved) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    config = entries["config.json"].decode()
    assert old in config
    entries["config.json"] = config.replace(old, new).encode()
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    given = []

    def load_model(path, **_):
        with zipfile.ZipFile(path) as archive:
            given.append(archive.read("config.json").decode())

    monkeypatch.setattr(keras.models, "load_model", load_model)
    models.load(saved)
    return given[0]


@pytest.mark.parametrize(
    "setting", ['"renorm_clipping": null', '"renorm_momentum": 0.99', '"input_axes": null']
)
def test_a_model_of_a_newer_keras_opens_in_an_older_one(saved, setting, monkeypatch):
    # an older Keras refuses names that it does not know
    old = '"trainable": true'
    given = config_that_reaches_keras(saved, monkeypatch, old, f"{old}, {setting}")
    assert old in given and setting not in given


def test_a_setting_that_changes_something_is_left_to_keras(saved, monkeypatch):
    old, setting = '"trainable": true', '"renorm_momentum": 0.5'
    given = config_that_reaches_keras(saved, monkeypatch, old, f"{old}, {setting}")
    assert setting in given
