import dataclasses

import cv2
import numpy as np
import pytest
from scipy.special import expit, logit

from allm_utils.data import synthetic
from allm_utils.errors import ConfigError, DataError, RecordError
from allm_utils.judge import trust
from allm_utils.network import models
from allm_utils.network.training import TrainingConfig
from allm_utils.runs import experiment, records

# -- calibration ------------------------------------------------------------------------------


def made(n=4000, temperature=1.0, seed=0):
    """Labels that are true to a probability, and that probability at another temperature."""
    rng = np.random.default_rng(seed)
    p = expit(rng.normal(0.5, 2, n))
    return (rng.random(n) < p).astype(int), expit(logit(p) / temperature)


def test_calibration_error_by_hand():
    labels, p_all = [1, 0, 1, 1], [0.62, 0.68, 0.68, 1.0]
    # bin 0.6 to 0.7: promised 0.66, came true 2 of 3; bin 0.9 to 1: 1.0, 1 of 1
    assert trust.calibration_error(labels, p_all) == pytest.approx(0.75 * abs(0.66 - 2 / 3))
    assert trust.calibration_error([1, 0], [0.5, 0.5], bins=1) == 0
    assert trust.calibration_error([0, 0], [1.0, 1.0]) == 1


def test_calibration_error_by_chance_is_that_of_a_perfect_model():
    labels, p_all = made(500)
    by_chance = trust.calibration_error_by_chance(p_all, n=300)
    assert by_chance.shape == (300,) and by_chance.min() > 0
    found = trust.calibration_error(labels, p_all)
    assert np.quantile(by_chance, 0.005) < found < np.quantile(by_chance, 0.995)
    assert trust.calibration_error(*made(500, 0.3)) > by_chance.max()
    again = trust.calibration_error_by_chance(p_all, n=300)
    np.testing.assert_array_equal(by_chance, again)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_temperature_is_found_again(temperature):
    labels, p_all = made(temperature=1 / temperature)
    found = trust.fit_temperature(labels, p_all)
    assert found == pytest.approx(temperature, rel=0.1)
    better = trust.with_temperature(p_all, found)
    assert trust.calibration_error(labels, better) < 0.02


def test_a_temperature_keeps_order_and_answers():
    _, p_all = made(300)
    cooled = trust.with_temperature(p_all, 0.5)
    np.testing.assert_array_equal(np.argsort(cooled), np.argsort(p_all))
    np.testing.assert_array_equal(cooled >= 0.5, p_all >= 0.5)
    np.testing.assert_allclose(trust.with_temperature(p_all, 1), p_all)
    assert np.isfinite(trust.with_temperature([0.0, 1.0], 3)).all()
    with pytest.raises(ConfigError, match="positive"):
        trust.with_temperature(p_all, 0)


def test_cross_fitted_never_sees_the_own_subject():
    labels, p_all = made(900, temperature=0.5)
    groups = np.array(["a", "b", "c"])[np.arange(900) % 3]
    calibrated, temperatures = trust.cross_fitted(labels, p_all, groups)
    for group in "abc":
        own = groups == group
        alone = trust.fit_temperature(labels[~own], p_all[~own])
        assert temperatures[group] == alone
        np.testing.assert_allclose(calibrated[own], trust.with_temperature(p_all[own], alone))
    with pytest.raises(DataError, match="one subject"):
        trust.cross_fitted(labels, p_all, np.full(900, "a"))


# -- operating point --------------------------------------------------------------------------


def test_threshold_at_is_the_lowest():
    labels = np.array([0, 0, 0, 0, 1, 1])
    p_all = np.array([0.1, 0.2, 0.2, 0.7, 0.15, 0.9])
    for specificity in (0.25, 0.5, 0.75, 0.9, 1.0):
        threshold = trust.threshold_at(labels, p_all, specificity)
        assert np.mean(p_all[labels == 0] < threshold) >= specificity
        lower = np.nextafter(threshold, 0)
        assert np.mean(p_all[labels == 0] < lower) < specificity
    assert trust.threshold_at(labels, p_all, 0) == 0
    assert trust.threshold_at([0], [1.0], 1) > 1
    with pytest.raises(DataError, match="no HEM"):
        trust.threshold_at([1], [0.5], 0.9)


def test_sensitivity_at_and_its_intervals():
    labels, p_all = made(600)
    value, low, high = trust.sensitivity_at(labels, p_all, 0.9, n=300)
    threshold = trust.threshold_at(labels, p_all, 0.9)
    assert value == np.mean(p_all[labels == 1] >= threshold)
    assert low < value < high
    groups = np.arange(600) % 5 + 10 * labels
    few = trust.sensitivity_at(labels, p_all, 0.9, groups, n=300)
    assert few[0] == value and few[1] < few[2] and few[1:] != (low, high)
    alone = np.where(labels == 1, groups, 0)
    assert np.isnan(trust.sensitivity_at(labels, p_all, 0.9, alone)[1:]).all()


# -- Grad-CAM ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cells():
    """Two discs, a large and a small one, off the middle."""
    pictures = np.zeros((2, 64, 64, 3), np.uint8)
    cv2.circle(pictures[0], (28, 34), 20, (90, 40, 120), -1)
    cv2.circle(pictures[1], (36, 30), 10, (60, 30, 100), -1)
    rng = np.random.default_rng(0)
    inside = pictures.any(axis=-1, keepdims=True)
    return (pictures + inside * rng.integers(-15, 15, pictures.shape)).astype(np.uint8)


def test_gradcam_is_the_weighted_mean_of_the_maps(cells):
    import keras

    model = models.mobilenet_m(weights=None, image_size=64, alpha=0.25, seed=3)
    heat = trust.gradcam(model, cells, [0, 1])
    assert heat.shape == (2, 64, 64) and heat.dtype == np.float32
    # The head is linear after the mean over the map, so the weights can be written down.
    layer = model.get_layer(models.BACKBONE_END).output
    maps = keras.Model(model.input, layer)(cells.astype(np.float32)).numpy()
    norm = model.get_layer("batch_normalization")
    gain = norm.gamma / np.sqrt(norm.moving_variance + norm.epsilon)
    kernel = model.get_layer("prediction").kernel.numpy()
    for i, label in enumerate((0, 1)):
        coarse = np.maximum(maps[i] @ (np.asarray(gain) * kernel[:, label]), 0).astype(np.float32)
        expected = cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(heat[i], expected / max(expected.max(), 1e-30), atol=1e-4)
    assert model.layers[-1].activation.__name__ == "softmax"


def test_background_share(cells):
    everywhere = np.ones((2, 64, 64), np.float32)
    black = 1 - cells.any(axis=-1).mean(axis=(1, 2))
    np.testing.assert_allclose(trust.background_share(everywhere, cells), black)
    cell = cells.any(axis=-1).astype(np.float32)
    np.testing.assert_allclose(trust.background_share(cell, cells), 0)
    assert np.isnan(trust.background_share(0 * everywhere, cells)).all()


def test_coarse_cell_lies_between_the_cell_and_nothing(cells):
    heat = trust.coarse_cell(cells)
    assert heat.shape == (2, 64, 64) and 0 <= heat.min() and heat.max() <= 1
    share = trust.background_share(heat, cells)
    assert (share > 0.05).all() and (share < 1 - cells.any(axis=-1).mean(axis=(1, 2))).all()


# -- corruptions ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*trust.CORRUPTIONS, "stain"])
def test_corruptions_grow_and_leave_the_background(cells, kind):
    before = cells.copy()
    weak, strong = (trust.corrupt(cells, kind, severity) for severity in (1, 5))
    np.testing.assert_array_equal(cells, before)
    assert weak.dtype == np.uint8 and weak.shape == cells.shape
    assert not strong[~cells.any(axis=-1)].any()
    inside = cells.any(axis=-1)
    change = [np.abs(c[inside].astype(int) - cells[inside]).mean() for c in (weak, strong)]
    assert 0.3 < change[0] < change[1]
    np.testing.assert_array_equal(weak, trust.corrupt(cells, kind, 1))


def test_stain_depends_on_seed_and_place_only(cells):
    one, other = (trust.corrupt(cells, "stain", 3, seed) for seed in (0, 1))
    assert (one != other).any()
    np.testing.assert_array_equal(one[:1], trust.corrupt(cells[:1], "stain", 3, 0))


@pytest.mark.parametrize(("kind", "severity"), [("snow", 1), ("blur", 6), ("blur", 0)])
def test_unknown_corruptions_are_refused(cells, kind, severity):
    with pytest.raises(ConfigError, match="choose one of"):
        trust.corrupt(cells, kind, severity)


def area(pictures):
    return pictures.any(axis=-1).sum(axis=(1, 2))


def test_zoom_scales_the_area_about_the_middle_of_the_cell(cells):
    for factor in (0.8, 1.2):
        zoomed = trust.zoom(cells, factor)
        np.testing.assert_allclose(area(zoomed) / area(cells), factor**2, rtol=0.08)
        for picture, was in zip(zoomed, cells, strict=True):
            now, then = (np.argwhere(p.any(axis=-1)).mean(axis=0) for p in (picture, was))
            np.testing.assert_allclose(now, then, atol=1)


def test_size_normalised_leaves_no_difference_of_area(cells):
    assert area(cells)[0] > 3 * area(cells)[1]
    same = area(trust.size_normalised(cells))
    assert same[0] == pytest.approx(same[1], rel=0.06)
    assert same[0] == pytest.approx(np.median(area(cells)), rel=0.06)


def test_under_knows_every_condition(cells):
    assert trust.under(cells, "clean") is cells
    np.testing.assert_array_equal(trust.under(cells, "zoom:0.8"), trust.zoom(cells, 0.8))
    np.testing.assert_array_equal(
        trust.under(cells, "size-normalised"), trust.size_normalised(cells)
    )
    np.testing.assert_array_equal(
        trust.under(cells, "stain:2", 7), trust.corrupt(cells, "stain", 2, 7)
    )
    for wrong in ("fog:1", "blur", "unknown"):
        with pytest.raises(ConfigError):
            trust.under(cells, wrong)


# -- a second record --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tree, a model trained on it for one epoch, and its record."""
    folder = tmp_path_factory.mktemp("trust")
    tree = synthetic.make(folder / "tree", 90)
    config = experiment.ExperimentConfig(
        data=tree,
        out=folder / "out",
        work=folder / "work",
        image_size=32,
        alpha=0.25,
        weights=None,
        bn_momentum=0.5,
        model_file=folder / "model.keras",
        training=TrainingConfig(epochs=6, learning_rate=3e-3, seed=5),
    )
    return tree, folder, records.load(experiment.run(config, progress=False))


def test_retest_writes_a_record_of_the_same_model(trained, tmp_path):
    tree, folder, source = trained
    conditions = ("clean", "blur:3", "zoom:0.8", "size-normalised")
    path = trust.retest(
        folder / "model.keras", source, tree, tmp_path, folder / "work", conditions, "A test."
    )
    found = records.load(path)
    assert path == tmp_path / "trust" / f"{source.id}-trust.json"
    for key in ("split", "config", "history", "parameters", "data", "folds", "protocol", "seed"):
        assert found.data[key] == source.data[key]
    assert tuple(found.data["conditions"]) == conditions
    assert found.data["source"]["record"] == source.id
    assert source.id in found.data["note"] and found.data["note"].endswith("A test.")
    clean = source.rows().merge(found.rows(), on=["file", "subject", "label"])
    assert len(clean) == source.data["split"]["test"]["n"]
    assert np.abs(clean["p_all_x"] - clean["p_all_y"]).max() < 0.02  # stored as float16
    blurred = found.rows("blur:3")["p_all"].to_numpy()
    assert (blurred != found.rows()["p_all"].to_numpy()).any()

    validation, pictures = found.data["validation"], found.data["pictures"]
    part = source.data["split"]["val"]
    assert sum(validation["label"]) == part["n_all"] and len(validation["p_all"]) == part["n"]
    assert sorted(set(validation["subject"])) == part["subjects"]
    assert pictures["file"] == found.rows()["file"].tolist()
    assert all(0 < area < 1 for area in pictures["area"])
    assert records.stale(found) == records.stale(source)

    with pytest.raises(RecordError, match="there already"):
        trust.retest(folder / "model.keras", source, tree, tmp_path, folder / "work", conditions)


def test_retest_refuses_another_model_or_other_data(trained, tmp_path):
    tree, folder, source = trained
    other = dataclasses.replace(source, data={**source.data, "id": "other"})
    with pytest.raises(RecordError, match="not the model of record mobilenet_m/other"):
        trust.retest(folder / "model.keras", other, tree, tmp_path, folder / "work")
    elsewhere = synthetic.make(tmp_path / "tree", 90, seed=1)
    with pytest.raises(RecordError, match="not the images of record"):
        trust.retest(folder / "model.keras", source, elsewhere, tmp_path, folder / "work")
