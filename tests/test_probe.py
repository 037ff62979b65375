"""The probes: their features, their classifiers, and the record of a run."""

import json

import keras
import numpy as np
import pytest
from scipy.special import expit
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler

from allm_utils import cli
from allm_utils.data import cnmc, images, people
from allm_utils.errors import AllmError, DataError, ModelError, WeightsError
from allm_utils.judge import together
from allm_utils.judge.predict import predict
from allm_utils.network import models, saving
from allm_utils.runs import experiment, measures, probe, records
from allm_utils.runs.config import ProbeConfig
from allm_utils.ship import export, inference


@pytest.fixture
def config(tree, work, tmp_path):
    def make(**changes):
        given = {"data": tree, "out": tmp_path, "work": work, "model": "probe_handmade"}
        return ProbeConfig(**given | {"image_size": 64} | changes)

    return make


def disc(radius, colour=(120, 60, 90), size=96):
    y, x = np.indices((size, size)) - size / 2
    return np.where((x**2 + y**2 < radius**2)[..., None], np.array(colour, np.uint8), 0)


def test_hand_made_measures_say_what_they_are_named_after():
    small, large, pale = disc(20), disc(30), disc(20, (200, 150, 170))
    noise = np.random.default_rng(0).integers(-30, 30, small.shape)
    rough = np.where(small > 0, small + noise, 0).astype(np.uint8)
    pictures = np.stack([small, large, pale, rough])
    found = measures.handmade_features(pictures)
    assert {name.split(":")[0] for name in found} == set(measures.GROUPS)
    assert np.isfinite(found.to_numpy()).all()
    assert probe.area(pictures)[:, 0].tolist() == found["size: area"].tolist()
    assert found["size: area"][0] == small.any(axis=-1).sum()
    assert found["size: roundness"].between(0.7, 1.1).all()
    assert found["colour: red mean"].tolist()[:3] == [120, 120, 200]
    assert found["colour: saturation mean"][0] == pytest.approx(127.5)
    assert found["texture: detail 1 deviation"][0] < 0.1 < found["texture: detail 1 deviation"][3]
    sizes = found.filter(like="size:")
    assert (sizes.loc[0] == sizes.loc[2]).all()  # colour does not enter


def test_fine_measures_find_nucleus_and_grain_and_stay_when_a_cell_is_turned_or_moved(tree):
    plain = disc(40, (200, 150, 180), 120)
    plain[disc(20, size=120).any(axis=-1)] = 90, 50, 120
    rough = plain + (plain > 0) * np.random.default_rng(0).integers(0, 30, plain.shape)
    path = cnmc.index(tree)["path"].iloc[0]
    real = images.prepare(path, 300, 300)
    for one in (rough.astype(np.uint8), real):
        turned, moved = np.rot90(one), np.roll(one, (3, -2), (0, 1))
        three = np.stack([one, turned, moved])
        found = measures.fine_features(three)
        assert np.isfinite(found.to_numpy()).all()
        found = found.drop(columns=measures.handmade_features(three).columns).to_numpy()
        np.testing.assert_allclose(found[1:], found[[0, 0]], rtol=2e-3, atol=2e-3)
    found = measures.fine_features(np.stack([plain, rough.astype(np.uint8)]))
    assert {name.split(":")[0] for name in found} == set(measures.GROUPS)
    assert found.shape[1] + 1 == records.PARAMETERS["probe_fine", None]["total"]
    assert found["size: nucleus share"].tolist() == pytest.approx([0.25, 0.25], abs=0.02)
    rings = found.filter(like="colour: red ring").iloc[0]
    assert rings.iloc[0] == pytest.approx(200, abs=2) and rings.iloc[-1] == pytest.approx(90, abs=2)
    for name in ("grain 1.0 deviation", "green contrast 1", "green entropy 1"):
        smooth, grainy = found[f"texture: {name}"]
        assert grainy > 1.3 * smooth
    assert found["texture: green homogeneity 1"].is_monotonic_decreasing


SMALLEST = [np.s_[9:10, 9:10], np.s_[9:10, 4:15], np.s_[4:15, 9:11], np.s_[0:19, 0:19]]


@pytest.mark.parametrize("measure", [measures.handmade_features, measures.fine_features])
@pytest.mark.parametrize("where", SMALLEST)
@pytest.mark.parametrize("colour", [(1, 0, 0), (255, 0, 0), (255, 255, 255), (90, 50, 120)])
def test_whatever_is_not_black_has_measures(measure, where, colour):
    picture = np.zeros((1, 19, 19, 3), np.uint8)
    picture[0][where] = colour
    two = picture.copy()
    two[0, 9, 9] = 255, 255, 254
    assert np.isfinite(measure(np.concatenate([picture, two])).to_numpy()).all()


@pytest.mark.parametrize("measure", [measures.handmade_features, measures.fine_features])
def test_a_black_picture_cannot_be_measured(measure):
    with pytest.raises(DataError, match="picture 1 is all black"):
        measure(np.stack([disc(9), 0 * disc(9)]))


def test_deep_features_are_those_of_the_frozen_network():
    pictures = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    found = probe.deep_features(pictures, None, alpha=0.25, batch_size=2)
    assert found.shape == (5, 256) and found.min() >= 0
    again = probe.deep_features(pictures, None, alpha=0.25, batch_size=5)
    np.testing.assert_allclose(found, again, rtol=1e-4, atol=1e-5)


def test_features_of_the_middle_are_mean_and_spread_of_every_channel():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    found = probe.deep_features(pictures, None, alpha=0.25, middle=True)
    settings = {"image_size": 64, "weights": None, "alpha": 0.25, "scaling": "imagenet", "seed": 0}
    whole = models.build("mobilenet_m", settings)
    layers = [whole.get_layer(name).output for name in probe.MIDDLE]
    maps = map(np.asarray, keras.Model(whole.inputs, layers).predict_on_batch(pictures))
    expected = [f(one, axis=(1, 2)) for one in maps for f in (np.mean, np.std)]
    np.testing.assert_allclose(found, np.hstack(expected), rtol=1e-3, atol=1e-5)
    assert found.shape == (3, 640)


@pytest.mark.parametrize(
    ("model", "layers", "each"),
    [("probe_mobilenet", [models.BACKBONE_END], 1), ("probe_middle", probe.MIDDLE, 2)],
)
def test_parameters_of_the_probes_of_a_frozen_network_are_counted(model, layers, each):
    whole = models.build("mobilenet_m", {"image_size": 64, "weights": None, "seed": 0})
    names = [layer.name for layer in whole.layers]
    end = names.index(layers[-1]) + 1
    frozen = sum(layer.count_params() for layer in whole.layers[:end])
    width = each * sum(whole.get_layer(name).output.shape[-1] for name in layers)
    expected = {"total": frozen + width + 1, "trainable": width + 1}
    assert records.PARAMETERS[model, None] == expected


@pytest.mark.parametrize(
    "make", [probe.linear, lambda: probe.fisher(200), lambda: probe.boosted(seed=1)]
)
def test_each_classifier_learns_and_repeats(make):
    rng = np.random.default_rng(0)
    labels = (rng.random(300) < 0.7).astype(int)
    values = rng.normal(0, 1, (300, 5)) + 2 * labels[:, None]
    p_all = [
        make().fit(values[:200], labels[:200]).predict_proba(values[200:])[:, 1] for _ in range(2)
    ]
    assert np.mean((p_all[0] >= 0.5) == labels[200:]) > 0.9
    np.testing.assert_array_equal(*p_all)


def test_the_regression_finds_the_direction_of_fishers_discriminant():
    rng = np.random.default_rng(0)
    labels = (rng.random(400) < 0.7).astype(int)
    values = rng.normal(0, 1, (400, 4)) @ rng.normal(0, 1, (4, 4)) + labels[:, None]
    values = StandardScaler().fit_transform(values)
    ours = probe._Fisher(alpha=1e-6).fit(values, labels)
    theirs = LinearDiscriminantAnalysis("lsqr").fit(values, labels)
    both = [np.ravel(one.coef_) / np.linalg.norm(one.coef_) for one in (ours, theirs)]
    np.testing.assert_allclose(*both, atol=1e-6)
    ridge = RidgeClassifier(alpha=1e-6).fit(values, labels)
    odds = 2 * ridge.decision_function(values)  # the slope of (1 + regression) / 2 in the middle
    np.testing.assert_allclose(ours.decision_function(values), odds)
    np.testing.assert_allclose(ours.predict_proba(values).T, [expit(-odds), expit(odds)])


@pytest.mark.parametrize("model", ["probe_fine", "probe_handmade", "area"])
def test_weights_of_people_are_heeded(config, model):
    frame, _ = experiment.select(config(folds=(0, 1), protocol="cross-fold"))
    weights, labels = probe.cell_weights("person", frame), frame["label"].to_numpy(int)
    counts = people.person(frame["subject"]).map(people.person(frame["subject"]).value_counts())
    assert probe.cell_weights("cell", frame) is None
    for label in (0, 1):
        own = labels == label
        assert weights[own].mean() == pytest.approx(1)
        assert np.ptp(weights[own] * np.sqrt(counts[own])) == pytest.approx(0, abs=1e-9)
    settings = config(model=model, **{"image_size": 300} if model == "probe_fine" else {})
    values = np.random.default_rng(0).normal(0, 1, (len(frame), 3)) + labels[:, None]
    alike, ones, drawn = (
        probe.fit(settings, values, labels, w).predict_proba(values)
        for w in (None, np.ones(len(frame)), weights)
    )
    np.testing.assert_allclose(alike, ones)
    assert np.abs(alike - drawn).max() > 1e-3


@pytest.mark.parametrize("model", ["probe_handmade", "area"])
def test_a_run_is_recorded_and_beats_chance_on_new_people(config, model):
    settings = config(model=model, protocol="patient-disjoint", folds=(0, 1), round=1)
    record = records.load(probe.run(settings, progress=False))
    assert record.name == f"probe/{model}-patient-disjoint-fold0-1-round1-seed1337"
    assert record.data["conditions"] == ["clean"] and record.data["weights"] is None
    assert record.data["epochs_run"] == 0 and record.data["history"] == {}
    assert record.stale() == []
    assert record.metrics()["roc_auc"] > 0.6
    split = record.data["split"]
    trained, tested = (set(map(people.person, split[p]["subjects"])) for p in ("train", "test"))
    assert not trained & tested


def test_a_probe_may_learn_from_the_validation_part_too(config, monkeypatch):
    learned, fit = [], probe.fit
    monkeypatch.setattr(probe, "fit", lambda *given: learned.append(given) or fit(*given))
    where = {"model": "area", "protocol": "patient-disjoint", "folds": (0, 1), "draw": "person"}
    one, both = (
        records.load(probe.run(config(**where, learn_from=parts, experiment=name), progress=False))
        for name, parts in {"one": "train", "both": "train+val"}.items()
    )
    split = one.data["split"]
    parts = split["train"]["n"], split["train"]["n"] + split["val"]["n"]
    for (_, values, _, drawn), n in zip(learned, parts, strict=True):
        assert len(values) == len(drawn) == n and np.ptp(drawn) > 0
    assert both.data["split"] == split and one.metrics() != both.metrics()


@pytest.mark.parametrize("model", ["area", "probe_middle"])
def test_a_saved_probe_is_a_model_that_answers_as_its_record(config, model, monkeypatch, tmp_path):
    def untrained(_, *given, **settings):  # the weights of full width are not here
        return models.mobilenet_m(None, *given, **settings)

    monkeypatch.setattr(probe, "mobilenet_m", untrained)
    monkeypatch.setattr(models, "_SHIPPED", tmp_path)
    name = "mobilenet_1_0_224_tf_no_top.h5"
    (tmp_path / name).write_text("stands in")
    where = {"model": model, "protocol": "patient-disjoint", "folds": (0, 1), "draw": "person"}
    place = config().records / "kept" / "judge.safetensors"
    settings = config(**where, learn_from="train+val", model_file=place)
    record = records.load(probe.run(settings, progress=False))
    opened, card = inference.load(place)
    frame, split = experiment.select(settings)
    test, train, val = ((split == part).to_numpy() for part in ("test", "train", "val"))
    pictures = images.load(frame, 64, 300, settings.work / "images", progress=False)
    recorded = record.rows().set_index("file")["p_all"][cnmc.file_names(frame[test])]
    np.testing.assert_allclose(predict(opened, pictures[test]), recorded, atol=1e-5)
    assert card["record"] == record.name and card["crop"] == 300
    assert card["weights"] == (name if model == "probe_middle" else None)
    assert card["people"] == sorted(people.person(frame["subject"][train | val]).unique())
    values, labels = probe.features(settings, frame), frame["label"].to_numpy(int)
    weights = probe.cell_weights("person", frame[train])
    fitted = probe.fit(settings, values[train], labels[train], weights)
    expected = together.voice(fitted.predict_proba(values[val])[:, 1])
    assert {name: card[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    found, refused = inference.predict_images(place, frame["path"][test][:9], progress=False)
    np.testing.assert_allclose(found["p_all"], recorded[:9], atol=1e-5)
    assert refused.empty


@pytest.fixture
def kept(config, tmp_path):
    """The area, the smallest of all probes, as a model."""
    probe.run(config(model="area", model_file=tmp_path / "a" / "area.safetensors"), progress=False)
    return tmp_path / "a" / "area.safetensors"


def test_a_saved_probe_is_no_network(kept):
    for refuse in (saving.load, lambda path: export.export(path, ["litert"])):
        with pytest.raises(ModelError, match="a probe, and no network; give a network"):
            refuse(kept)


@pytest.mark.parametrize(
    ("key", "value"),
    [("probe", "mobilenet_m"), ("measures", 2), ("measures", None), ("weights_sha256", "0")],
)
def test_a_probe_whose_card_is_wrong_is_refused(kept, key, value):
    path = saving.card_path(kept)
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(ModelError, match="cannot be loaded .*; fit or copy it again"):
        probe.load(kept)


def test_a_probe_is_not_read_with_the_weights_of_another_network(kept, tree, monkeypatch, capsys):
    path = saving.card_path(kept)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"weights": "wide.h5"}))
    for wrong in (path, None):
        with pytest.raises(ModelError, match=f"needs wide.h5 as weights, and not {wrong}"):
            inference.load(kept, weights=wrong)
    with pytest.raises(WeightsError, match="no such weight file"):
        inference.predict_images(kept, tree, progress=False, weights="nowhere.h5")
    monkeypatch.setenv("ALLM_WEIGHTS", "elsewhere.h5")
    assert cli.main(["predict", str(kept), str(tree)]) == 2
    assert "elsewhere.h5: no such weight file" in capsys.readouterr().err


def test_a_probe_of_other_measures_than_today_is_refused(kept, monkeypatch, discs):
    opened, _ = probe.load(kept)
    monkeypatch.setattr(opened, "_read", lambda pictures: np.ones((len(pictures), 2)))
    with pytest.raises(ModelError, match="fails"):
        predict(opened, discs)


def test_features_are_computed_once_and_keep_the_order(config, monkeypatch):
    frame, _ = experiment.select(config(folds=(0, 1), protocol="cross-fold"))
    found = probe.features(config(), frame)
    rows = [3, len(frame) - 4]
    pictures = images.load(frame.iloc[rows], 64, 300, config().work / "images", progress=False)
    np.testing.assert_allclose(found[rows], measures.handmade_features(pictures))
    monkeypatch.setattr(measures, "handmade_features", pytest.fail)
    np.testing.assert_array_equal(probe.features(config(), frame), found)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "mobilenet_m"},
        {"model": "probe_fine"},
        {"draw": "people"},
        {"protocol": "official"},
        {"test": "prelim"},
        {"round": 5},
    ],
)
def test_settings_out_of_range_are_refused(config, changes):
    with pytest.raises(AllmError):
        config(**changes)
