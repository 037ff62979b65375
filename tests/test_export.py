"""A model in other formats: the same pixels in, the same answers out."""

import json

import keras
import numpy as np
import pytest

from allm_utils.data import synthetic
from allm_utils.errors import ConfigError, ModelError, RecordError
from allm_utils.judge.predict import predict
from allm_utils.network import models
from allm_utils.runs import experiment, records
from allm_utils.ship import export, inference

SIZE, CROP = 32, 300


@pytest.fixture(scope="module")
def cells():
    """Pictures as the network sees them: a coloured square on black."""
    rng = np.random.default_rng(0)
    pictures = np.zeros((24, SIZE, SIZE, 3), np.uint8)
    pictures[:, 6:-6, 6:-6] = rng.integers(20, 230, (24, 1, 1, 3))
    return pictures + rng.integers(0, 20, pictures.shape, dtype=np.uint8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory, cells):
    """A small MobileNet_M; its batch normalisation has seen the cells, so that they matter."""
    model = models.mobilenet_m(
        weights=None, image_size=SIZE, alpha=0.25, bn_momentum=0.5, dropout=0, seed=1
    )
    model.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy")
    model.fit(cells, np.eye(2)[np.arange(24) % 2], epochs=30, verbose=0)
    path = tmp_path_factory.mktemp("model") / "small.keras"
    return models.save(model, path, {"image_size": SIZE, "crop": CROP, "record": "e/r"})


@pytest.fixture(scope="module")
def exported(saved, cells, tmp_path_factory):
    """Every format of it."""
    return export.export(saved, export.FORMATS, tmp_path_factory.mktemp("exported"), cells)


def test_files_are_named_after_the_model(exported):
    assert {name: path.name for name, path in exported.items()} == {
        "litert": "small.tflite",
        "litert-int8": "small-int8.tflite",
        "onnx": "small.onnx",
        "onnx-int8": "small-int8.onnx",
    }
    folder = exported["onnx"].parent
    beside = {path.name for path in exported.values()}
    assert {p.name for p in folder.iterdir()} == beside | {f"{name}.json" for name in beside}


@pytest.mark.parametrize("name", export.FORMATS)
def test_raw_pixels_give_the_answers_of_keras(name, saved, exported, cells):
    keras_model, _ = models.load(saved)
    model, card = inference.load(exported[name])
    assert (card["image_size"], card["crop"], card["record"]) == (SIZE, CROP, "e/r")
    found, expected = (predict(m, cells, batch_size=10) for m in (model, keras_model))
    assert found.dtype == np.float32
    assert np.ptp(expected) > 0.05  # the pictures matter
    if name.endswith(
        "int8"
    ):  # random weights amplify the rounding; the record has a trained network
        assert np.corrcoef(found, expected)[0, 1] > 0.5
    else:
        assert np.abs(found - expected).max() < 1e-4


@pytest.mark.parametrize("name", export.FORMATS)
def test_card_travels_with_the_file(name, saved, exported, tmp_path):
    card = json.loads(models.card_path(exported[name]).read_text())
    assert card["format"] == name and card["source"]["file"] == saved.name
    assert (card.get("calibration") or {}).get("images") == (24 if "int8" in name else None)
    bare = tmp_path / exported[name].name
    bare.write_bytes(exported[name].read_bytes())
    with pytest.raises(ModelError, match="card"):
        inference.load(bare)


def test_int8_is_smaller(exported):
    size = {name: path.stat().st_size for name, path in exported.items()}
    for runtime in ("litert", "onnx"):
        assert size[f"{runtime}-int8"] < 0.6 * size[runtime]


def test_one_scale_for_all_channels_is_smaller_and_coarser(saved, exported, cells, tmp_path):
    coarse = export.export(saved, ["onnx-int8"], tmp_path, cells, per_channel=False)["onnx-int8"]
    assert coarse.stat().st_size < exported["onnx-int8"].stat().st_size
    exact = predict(models.load(saved)[0], cells)
    off = [
        np.abs(predict(inference.load(path)[0], cells) - exact).mean()
        for path in (exported["onnx-int8"], coarse)
    ]
    assert off[0] < off[1]


def test_written_beside_the_model_unless_told_otherwise(saved, tmp_path):
    for path in (saved, models.card_path(saved)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    made = export.export(tmp_path / saved.name, ["onnx"])
    assert made["onnx"] == tmp_path / "small.onnx"
    models.load(tmp_path / saved.name)  # its card is still its own


def test_what_cannot_be_exported_is_said(saved, cells, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="litert, litert-int8"):
        export.export(saved, ["tflite"], tmp_path)
    with pytest.raises(ConfigError, match="calibrate"):
        export.export(saved, ["litert-int8"], tmp_path)
    with pytest.raises(ConfigError, match="calibrate"):
        export.export(saved, ["onnx-int8"], tmp_path, cells[:0])
    with pytest.raises(ModelError):
        export.export(tmp_path / "none.keras", ["onnx"], tmp_path)
    monkeypatch.setattr(export.keras.backend, "backend", lambda: "jax")
    with pytest.raises(ConfigError, match="jax"):
        export.export(saved, ["onnx"], tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_missing_package_is_named_with_its_extra(saved, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(inference.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"onnx is not installed.*allm\[deploy\]"):
        export.export(saved, ["onnx"], tmp_path)
    with pytest.raises(ConfigError, match=r"ai-edge-litert is not installed.*allm\[deploy\]"):
        inference.load(exported["litert"])
    with pytest.raises(ConfigError, match="onnxruntime is not installed"):
        inference.load(exported["onnx"])


def test_calibration_cells_are_spread_over_the_paths(tmp_path):
    root = synthetic.make(tmp_path / "cells", 23)
    paths = sorted(root.rglob("*.bmp"))
    card = {"image_size": SIZE, "crop": CROP}
    chosen = export.calibration_cells(paths, card, n=3)
    assert chosen.dtype == np.uint8 and chosen.shape == (3, SIZE, SIZE, 3)
    assert (chosen[0] == export.images.prepare(paths[0], SIZE, CROP)).all()
    assert (chosen[2] == export.images.prepare(paths[-1], SIZE, CROP)).all()
    assert len(export.calibration_cells(paths, card)) == 23


def test_retest_makes_a_second_record(tmp_path):
    root = synthetic.make(tmp_path / "cells", 120)
    config = experiment.ExperimentConfig(
        data=root, out=tmp_path / "out", work=tmp_path / "work", image_size=SIZE, alpha=0.25,
        weights=None, model_file=tmp_path / "m.keras",
        bn_momentum=0.5, training=experiment.TrainingConfig(epochs=1),
    )  # fmt: skip
    first = records.load(experiment.run(config, progress=False))
    where = dict(data=root, out=tmp_path / "out", work=tmp_path / "work", progress=False)
    again = records.load(export.retest(tmp_path / "m.keras", first, **where, note="A test."))
    assert again.id == f"{first.id}-deployment" and again.data["experiment"] == "deployment"
    assert again.data["split"] == first.data["split"]
    conditions = ["clean", *export.CONDITION.values(), export.COARSE]
    assert again.data["conditions"] == conditions
    assert set(again.data["formats"]) == set(conditions)
    assert again.data["formats"]["onnx-int:8"]["calibration"]["images"] > 0
    exact = again.rows("clean")["p_all"].to_numpy()
    for name in ("litert", "onnx"):
        assert again.rows(name)["p_all"].to_numpy() == pytest.approx(exact, abs=1e-4)
    # the saved weights are float16
    assert exact == pytest.approx(first.rows("clean")["p_all"].to_numpy(), abs=0.02)
    assert first.id in again.data["note"] and again.data["note"].endswith("A test.")
    with pytest.raises(RecordError, match="there already"):
        export.retest(tmp_path / "m.keras", first, **where)
    with pytest.raises(RecordError, match="not the model"):
        export.retest(tmp_path / "m.keras", again, **where)


def test_eight_bits_lose_at_most_half_a_point_on_the_real_cells():
    (record,) = [r for r in records.load_all() if r.data["experiment"] == "deployment"]
    exact = record.metrics()["accuracy"]
    for condition in export.CONDITION.values():
        assert record.metrics(condition)["accuracy"] >= exact - 0.005
    assert record.data["formats"]["litert-int:8"]["bytes"] <= 3_600_000
    assert record.metrics(export.COARSE)["sensitivity"] == 0  # as chapter 12 says
