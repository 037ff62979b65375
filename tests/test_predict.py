"""A network is asked batch by batch, and answers in probabilities or not at all."""

import keras
import numpy as np
import pytest
from keras import layers

from allm_utils.errors import ConfigError, ImageError, ModelError
from allm_utils.judge import conditions
from allm_utils.judge.predict import predict


@pytest.fixture(scope="module")
def model():
    """Sees every pixel by itself, so that any change of a picture changes its answer."""
    inputs = keras.Input((8, 8, 3))
    flat = layers.Flatten()(layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(flat))


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (11, 8, 8, 3)).astype(np.uint8)


class Answers:
    """A model that gives these answers, whatever it is asked."""

    name, input_shape, output_shape = "broken", (None, 8, 8, 3), (None, 2)

    def __init__(self, answer):
        self.predict_on_batch = lambda batch: np.tile(np.float32(answer), (len(batch), 1))


@pytest.mark.parametrize(
    "condition", ["clean", "noise:10", "cell-noise:5", "size-normalised", "tta"]
)
def test_the_batch_size_does_not_change_the_answer(model, pictures, condition):
    (views,) = conditions.batches(condition, pictures, seed=3)
    expected = np.mean([np.asarray(model(view))[:, 1] for view in views], axis=0)
    for batch_size in (1, 4, 64):
        p_all = predict(model, pictures, condition, seed=3, batch_size=batch_size)
        assert p_all.dtype == np.float32
        np.testing.assert_allclose(p_all, expected, atol=1e-6)


def test_eight_views_make_orientation_irrelevant(model, pictures):
    views = [np.rot90(pictures[0], k) for k in range(4)]
    views = np.stack([*views, *(view[:, ::-1] for view in views)])
    one_by_one = predict(model, views)
    assert np.ptp(one_by_one) > 0.01
    np.testing.assert_allclose(predict(model, views, "tta"), one_by_one.mean(), atol=1e-6)


@pytest.mark.parametrize("condition", ["clean", "size-normalised"])
def test_no_more_than_a_batch_is_read_at_once(model, pictures, condition):
    most = 0

    class Watched:
        def __len__(self):
            return len(pictures)

        def __getitem__(self, rows):
            nonlocal most
            most = max(most, len(pictures[rows]))
            return pictures[rows]

    predict(model, Watched(), condition, batch_size=2)
    assert most == 2


def test_own_statistics_are_those_of_the_person(pictures):
    """Each person is a batch as in training, but nothing drops out; the network stays as it was."""
    inputs = keras.Input((8, 8, 3))
    drop, norm = layers.Dropout(0.5), layers.BatchNormalization(momentum=0.9)
    flat = layers.GlobalAveragePooling2D()(norm(drop(layers.Rescaling(1 / 255)(inputs))) ** 2)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(flat))
    who = np.array(["a", "b"] * 5 + ["b"])
    dark = np.where(who[:, None, None, None] == "a", pictures // 4, pictures)
    clean, kept = predict(model, dark), [w.copy() for w in model.get_weights()]
    expected = np.empty(len(dark))
    for person in ("a", "b"):
        x = dark[who == person] / 255
        spread = np.sqrt(x.var((0, 1, 2)) + norm.epsilon)
        flat = (((x - x.mean((0, 1, 2))) / spread) ** 2).mean((1, 2))
        score = np.exp(flat @ kept[-2] + kept[-1])
        expected[who == person] = (score / score.sum(1, keepdims=True))[:, 1]
    found = predict(model, dark, "own-statistics", batch_size=3, people=who)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - clean).max() > 0.01 and (norm.momentum, drop.rate) == (0.9, 0.5)
    np.testing.assert_array_equal(predict(model, dark), clean)


def test_own_statistics_need_a_person_and_a_network_that_keeps_some(model, pictures):
    with pytest.raises(ModelError, match="no batch normalisation"):
        predict(model, pictures, "own-statistics", people=np.zeros(11))
    norm = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.BatchNormalization(), *model.layers[1:]]
    )
    with pytest.raises(ConfigError, match="name their people"):
        predict(norm, pictures, "own-statistics")


def test_no_pictures_give_no_probabilities(model, pictures):
    assert predict(model, pictures[:0]).shape == predict(model, pictures[:0], "tta").shape == (0,)


@pytest.mark.parametrize(
    "answer", [(0.5, np.nan), (-np.inf, 1), (-0.2, 1.2), (0.9, 0.9), (0.2, 0.2), (3.1, -2.0)]
)
def test_what_is_no_probability_is_no_answer(pictures, answer):
    with pytest.raises(ModelError, match="'broken' answers .* no probabilities"):
        predict(Answers(answer), pictures)


def test_the_rounding_of_eight_bits_is_let_pass(pictures):
    np.testing.assert_allclose(predict(Answers((0.0, 255 / 256)), pictures), 255 / 256)


def test_what_the_model_cannot_be_asked_is_refused(model, pictures):
    for wrong in (pictures / 255, pictures[0], pictures[..., 0]):
        with pytest.raises(ImageError, match="give uint8"):
            predict(model, wrong)
    with pytest.raises(ImageError, match=r"\(4, 8, 3\).*takes \(8, 8, 3\)"):
        predict(model, pictures[:, :4])
    with pytest.raises(ConfigError, match="batch size 0"):
        predict(model, pictures, batch_size=0)
    with pytest.raises(ConfigError, match="'fog:1' is unknown"):
        predict(model, pictures, "fog:1")
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(ModelError, match="two classes"):
        predict(keras.Model(inputs, layers.GlobalAveragePooling2D()(inputs)), pictures)
