"""The networks of Fig. 9: the counts of their papers, the weights, and that they learn."""

import inspect

import keras
import numpy as np
import pytest

from allm_utils.data.cnmc import CLASSES
from allm_utils.errors import ConfigError, WeightsError
from allm_utils.network import models, peers

BUILDERS = {
    builder.__name__: builder
    for builder in (
        models.alnett_style,
        peers.vgg16,
        peers.resnet50,
        peers.googlenet,
        peers.alexnet,
    )
}
# convolutions and their biases, of the published networks without classifiers, and what we add
PUBLISHED = {
    "vgg16": 14_714_688,  # 138,357,544 with its fully connected layers
    "resnet50": 23_587_712,  # 25,636,712 with its classifier
    "googlenet": 6_998_552 - 1_025_000,  # without auxiliary classifiers
    "alexnet": 2_334_080 + 307_200 + 663_552 + 442_368,  # one stream: layers 2, 4, 5 see all
}
NORMALISED = {"googlenet": 7_280, "alexnet": 96 + 256}
FEATURES = {"vgg16": 512, "resnet50": 2048, "googlenet": 1024, "alexnet": 256}


@pytest.fixture(scope="module")
def full():
    """Each peer at 224 px, built once."""
    return {name: BUILDERS[name]() for name in FEATURES}


@pytest.fixture(scope="module")
def small():
    """Each network at 64 px; the scaling is the one that may hold a list."""
    settings = {"dropout": 0.0, "l1": 0.01, "scaling": "imagenet", "bn_momentum": 0.9, "seed": 0}
    return {name: build(image_size=64, **settings) for name, build in BUILDERS.items()}


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", FEATURES)
def test_counts_of_the_papers(full, name):
    expected = PUBLISHED[name] + 2 * FEATURES[name] + 2
    if name == "googlenet":  # four numbers of batch normalisation replace each bias
        expected += 3 * NORMALISED[name]
    if name == "alexnet":
        expected += 4 * NORMALISED[name]
    assert models.parameters(full[name])["total"] == expected


@pytest.mark.parametrize(
    ("name", "billions"),
    # Howard et al. (2017) Table 8 for the first two without what we cut; He et al. Table 1
    [("vgg16", 15.3), ("googlenet", 1.58), ("resnet50", 3.86), ("alexnet", 1.08)],
)
def test_multiply_adds(full, name, billions):
    assert models.multiply_adds(full[name]) / 1e9 == pytest.approx(billions, abs=0.05)


def test_shapes_of_alexnet(full):
    sides = [full["alexnet"].get_layer(f"convolution_{n}").output.shape[1] for n in range(1, 6)]
    assert sides == [55, 27, 13, 13, 13]
    assert full["alexnet"].get_layer("pooling_5").output.shape == (None, 6, 6, 256)


def test_shapes_of_googlenet(full):
    """Output sizes of Table 1 of Szegedy et al."""
    expected = {
        "1_convolution": (112, 64), "1_pooling": (56, 64), "2_convolution": (56, 192),
        "2_pooling": (28, 192), "3a_concatenation": (28, 256), "3b_concatenation": (28, 480),
        "4a_concatenation": (14, 512), "4b_concatenation": (14, 512), "4c_concatenation": (14, 512),
        "4d_concatenation": (14, 528), "4e_concatenation": (14, 832), "5a_concatenation": (7, 832),
        "5b_concatenation": (7, 1024),
    }  # fmt: skip
    found = {name: full["googlenet"].get_layer(name).output.shape[2:] for name in expected}
    assert found == expected


def test_one_signature():
    signatures = {
        tuple((p.name, p.default) for p in inspect.signature(builder).parameters.values())
        for builder in BUILDERS.values()
    }
    assert len(signatures) == 1


@pytest.mark.parametrize("name", BUILDERS)
def test_flat_raw_pixels_in_two_probabilities_out(small, pixels, name):
    model = small[name]
    for layer in model.layers:
        assert not isinstance(layer, keras.Model | keras.layers.Lambda), layer.name
    assert model.name == name
    assert model.layers[1].name == "scaling"
    assert model.get_layer("dropout").rate == 0.0
    assert {getattr(layer, "momentum", 0.9) for layer in model.layers} == {0.9}
    last = model.get_layer("prediction")
    assert last.dtype_policy.name == "float32" and model.output.shape == (None, len(CLASSES))
    assert float(last.kernel_regularizer.l1) == pytest.approx(0.01)
    found = model.predict_on_batch(pixels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", BUILDERS)
def test_saved_and_loaded_in_safe_mode(small, pixels, name, tmp_path):
    card = {"image_size": 64, "crop": 300}
    loaded, _ = models.load(models.save(small[name], tmp_path / "model.keras", card))
    np.testing.assert_allclose(
        loaded.predict_on_batch(pixels), small[name].predict_on_batch(pixels), atol=1e-5
    )


@pytest.mark.parametrize("name", BUILDERS)
def test_every_layer_learns(name):
    """Three steps on one batch lower its loss, and move every weight."""
    model = BUILDERS[name](image_size=64, dropout=0.0, bn_momentum=0.9, seed=0)
    model.compile(keras.optimizers.Adam(1e-4), "categorical_crossentropy")
    labels = np.arange(4) % 2
    noise = np.random.default_rng(0).integers(0, 120, (4, 64, 64, 3))
    batch = (noise + 60 * labels[:, None, None, None]).astype(np.uint8)
    before = [np.array(v) for v in model.trainable_variables]
    losses = [float(model.train_on_batch(batch, np.eye(2)[labels])) for _ in range(3)]
    assert losses[-1] < losses[0]
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert (np.array(variable) != old).any(), variable.path


@pytest.mark.parametrize("name", ["alnett_style", "googlenet", "alexnet"])
@pytest.mark.parametrize("weights", ["imagenet", "mine.h5"])
def test_weights_that_do_not_exist_are_refused(name, weights):
    with pytest.raises(WeightsError, match=f"{name}: no pre-trained weights .*{weights}.*None"):
        BUILDERS[name](weights=weights)


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_imagenet_weights_come_from_keras(name, monkeypatch, tmp_path):
    asked = []

    def get_file(file, origin, **settings):
        asked.append((file, origin))
        raise OSError("no network")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    with pytest.raises(WeightsError, match=f"{name}.*give its path"):
        BUILDERS[name](weights="imagenet")
    ((file, origin),) = asked
    assert file.endswith("notop.h5") and origin.endswith(file)
    with pytest.raises(WeightsError, match="no such weight file"):
        BUILDERS[name](weights=tmp_path / "none.h5")
    (tmp_path / "junk.h5").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match=f"not weights of {name}"):
        BUILDERS[name](weights=tmp_path / "junk.h5", image_size=32)


@pytest.mark.parametrize(
    ("name", "application", "preprocess"),
    [
        ("vgg16", keras.applications.VGG16, keras.applications.vgg16.preprocess_input),
        ("resnet50", keras.applications.ResNet50, keras.applications.resnet.preprocess_input),
    ],
)
def test_loaded_weights_see_what_they_were_trained_on(name, application, preprocess, tmp_path):
    """Keras' weights expect blue, green, red minus a mean; ours get raw red, green, blue."""
    theirs = application(input_shape=(32, 32, 3), include_top=False, weights=None)
    path = tmp_path / "random.weights.h5"
    theirs.save_weights(path)
    ours = BUILDERS[name](weights=path, image_size=32, scaling="imagenet")
    end = ours.layers[[layer.name for layer in ours.layers].index("average_pooling") - 1]
    features = keras.Model(ours.inputs, end.output)
    pixels = np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3)).astype(np.uint8)
    expected = theirs.predict(preprocess(pixels.astype(np.float32)), verbose=0)
    assert expected.std() > 0
    np.testing.assert_allclose(features.predict(pixels, verbose=0), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", BUILDERS)
def test_settings_that_do_not_fit(name):
    smallest = 63 if name == "alexnet" else 32
    with pytest.raises(ConfigError, match=f"{smallest - 1}: .* {smallest} or more"):
        BUILDERS[name](image_size=smallest - 1)
    if name == "alexnet":  # one pixel less, and nothing is left to pool
        assert peers.alexnet(image_size=smallest).get_layer("pooling_5").output.shape[1] == 1
    with pytest.raises(ConfigError, match="choose one of unit, imagenet"):
        BUILDERS[name](scaling="zscore")
