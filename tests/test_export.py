"""A model in other formats: the same pixels in, the same answers out."""

import json

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from allm_utils.data import images, sample
from allm_utils.errors import ConfigError, ModelError
from allm_utils.judge.predict import predict
from allm_utils.network import models, saving
from allm_utils.runs import records
from allm_utils.ship import export, inference

SIZE, CROP = 112, 300


@pytest.fixture(scope="module")
def cells(work):
    """Real cells as the network sees them: random pixels and weights would amplify rounding."""
    paths = sample.index(work)["path"].iloc[::25]
    return np.asarray(images.load(paths, SIZE, CROP, work / "images", progress=False))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The smallest network that ships."""
    model, _ = saving.load(records.RESULTS / "models" / "new-people-all.safetensors")
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    return saving.save(model, path, {"crop": CROP, "record": "e/r"})


@pytest.fixture(scope="module")
def exported(saved, cells, tmp_path_factory):
    """Every format of it."""
    return export.export(saved, export.FORMATS, tmp_path_factory.mktemp("exported"), cells)


@pytest.fixture(scope="module")
def exact(saved, cells):
    """What Keras answers."""
    return predict(saving.load(saved)[0], cells)


@pytest.fixture(scope="module")
def coarse(saved, cells, tmp_path_factory):
    """With one scale for all channels."""
    folder = tmp_path_factory.mktemp("coarse")
    return export.export(saved, ["onnx-int8"], folder, cells, per_channel=False)["onnx-int8"]


def test_files_are_named_after_the_model(exported):
    beside = {f"small{suffix}" for suffix in export.FORMATS.values()}
    assert {path.name for path in exported.values()} == beside and len(beside) == 6
    found = {path.name for path in exported["onnx"].parent.iterdir()}
    assert found == beside | {f"{name}.json" for name in beside}


@pytest.mark.parametrize("name", export.FORMATS)
def test_raw_pixels_give_the_answers_of_keras(name, exported, cells, exact):
    model, card = inference.load(exported[name])
    assert (card["image_size"], card["crop"], card["record"]) == (SIZE, CROP, "e/r")
    found = predict(model, cells, batch_size=10)
    assert found.dtype == np.float32
    assert np.ptp(exact) > 0.05  # the pictures matter
    if name in export.INT8:
        assert np.corrcoef(found, exact)[0, 1] > 0.9
    else:
        assert np.abs(found - exact).max() < (5e-2 if "web" in name else 1e-4)  # 16 bits


def test_evidence_of_the_fields_adds_up_to_the_answer(saved, cells):
    answers, evidence = export.with_evidence(saving.load(saved)[0]).predict(cells, verbose=0)
    np.testing.assert_allclose(
        evidence.mean(axis=(1, 2, 3)), np.log(answers[:, 1] / answers[:, 0]), atol=1e-4
    )
    assert np.ptp(evidence, axis=0).max() > 0.05  # the pictures matter


def test_eight_bits_shift_no_channel_of_a_page(saved, cells):
    model, _ = saving.load(saved)
    before = model.get_weights()
    copy = export.bias_corrected(model, cells)
    assert all(map(np.array_equal, model.get_weights(), before))

    def means(network, name):
        seen = keras.Model(network.inputs, network.get_layer(f"{name}_bn").output)
        return seen.predict(cells, verbose=0).mean((0, 1, 2))

    name = "conv_dw_1"
    (kernel,) = copy.get_layer(name).get_weights()
    step = np.abs(kernel).max((0, 1), keepdims=True) / 127
    exact, corrected = means(model, name), means(copy, name)
    copy.get_layer(name).set_weights([np.rint(kernel / step) * step])
    np.testing.assert_allclose(means(copy, name), exact, atol=1e-3)
    assert np.abs(corrected - exact).max() > 1e-2  # what the eight bits will add


def test_only_mobilenet_m_goes_into_a_page(cells, tmp_path):
    model = models.alnett_style(image_size=SIZE)
    other = saving.save(model, tmp_path / "other.safetensors", {"crop": CROP})
    with pytest.raises(ModelError, match="for mobilenet_m"):
        export.export(other, ["litert-web-float"], tmp_path)


@pytest.mark.parametrize("name", export.FORMATS)
def test_card_travels_with_the_file(name, saved, exported, tmp_path):
    card = json.loads(saving.card_path(exported[name]).read_text())
    assert card["format"] == name and card["source"]["file"] == saved.name
    assert (card.get("calibration") or {}).get("images") == (24 if name in export.INT8 else None)
    bare = tmp_path / exported[name].name
    bare.write_bytes(exported[name].read_bytes())
    with pytest.raises(ModelError, match="card"):
        inference.load(bare)
    saving.card_path(bare).write_text(json.dumps(card))
    inference.load(bare)
    bare.write_bytes(bare.read_bytes()[:-1])
    with pytest.raises(ModelError, match="not those of its card"):
        inference.load(bare)


def test_int8_is_smaller_and_with_one_scale_for_all_channels_coarser(
    exported, coarse, cells, exact
):
    size = {name: path.stat().st_size for name, path in exported.items()}
    for runtime in ("litert", "onnx"):
        assert size[f"{runtime}-int8"] < 0.6 * size[runtime]
    assert coarse.stat().st_size < size["onnx-int8"]
    fine, rough = (
        predict(inference.load(path)[0], cells) for path in (exported["onnx-int8"], coarse)
    )
    assert np.abs(fine - exact).mean() < np.abs(rough - exact).mean()


def test_written_beside_the_model_unless_told_otherwise(saved, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "_onnx", lambda *_, **__: exported["onnx"])
    for path in (saved, saving.card_path(saved)):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    made = export.export(tmp_path / saved.name, ["onnx"])
    assert made["onnx"] == tmp_path / "small.onnx"
    saving.load(tmp_path / saved.name)  # its card is still its own


def test_what_cannot_be_exported_is_said(saved, exported, cells, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="litert, litert-int8"):
        export.export(saved, ["tflite"], tmp_path)
    with pytest.raises(ConfigError, match="calibrate"):
        export.export(saved, ["litert-int8"], tmp_path)
    with pytest.raises(ConfigError, match="calibrate"):
        export.export(saved, ["onnx-int8"], tmp_path, cells[:0])
    with pytest.raises(ModelError, match="no such model"):
        export.export(tmp_path / "none.safetensors", ["onnx"], tmp_path)
    with pytest.raises(ModelError, match="not a model of ours; give"):
        export.export(exported["onnx"], ["litert"], tmp_path)
    monkeypatch.setattr(export.keras.backend, "backend", lambda: "jax")
    with pytest.raises(ConfigError, match="jax"):
        export.export(saved, ["onnx"], tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_missing_package_is_named_with_its_extra(saved, exported, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"onnx is not installed.*allm-utils\[deploy\]"):
        export.export(saved, ["onnx"], tmp_path)
    with pytest.raises(ConfigError, match="ai-edge-litert is not installed"):
        inference.load(exported["litert"])
    with pytest.raises(ConfigError, match="onnxruntime is not installed"):
        inference.load(exported["onnx"])


@pytest.fixture
def paths(tmp_path):
    """Images of 310 pixels, each of one colour."""
    colours = np.random.default_rng(0).integers(20, 230, (23, 3))
    for i, colour in enumerate(colours):
        Image.new("RGB", (310, 310), tuple(colour.tolist())).save(tmp_path / f"{i:02}.png")
    return sorted(tmp_path.glob("*.png"))


def test_calibration_cells_are_spread_over_the_paths(paths):
    card = {"image_size": SIZE, "crop": CROP}
    chosen = export.calibration_cells(paths, card, n=3)
    assert chosen.dtype == np.uint8 and chosen.shape == (3, SIZE, SIZE, 3)
    for cell, path in zip(chosen, (paths[0], paths[11], paths[-1]), strict=True):
        np.testing.assert_array_equal(cell, export.images.prepare(path, SIZE, CROP))
    assert len(export.calibration_cells(paths, card)) == 23


def test_a_second_record_may_test_every_format(
    saved, exported, coarse, cells, exact, paths, tmp_path, monkeypatch
):
    """Calibrated on the training part alone; each test stands for its own file."""
    asked = []

    def made(given, formats, folder, calibration, per_channel=True):
        asked.append((given, len(calibration), per_channel))
        return {name: exported[name] if per_channel else coarse for name in formats}

    monkeypatch.setattr(export, "export", made)
    frame = pd.DataFrame({"path": paths})
    split = pd.Series(["train"] * 9 + ["val"] * 2 + ["test"] * 12)
    monkeypatch.setattr(export.experiment, "check_model", lambda *_: None)
    monkeypatch.setattr(export.experiment, "select_again", lambda *_: (frame, split))
    tests, more = export.tests(saved, None, None, tmp_path)
    names = {"clean", *export.CONDITION.values(), export.COARSE}
    assert set(tests) == set(more["formats"]) == names
    answers = {name: ask(cells) for name, ask in tests.items()}
    np.testing.assert_array_equal(answers["clean"], exact)
    for name in ("litert", "onnx"):
        np.testing.assert_allclose(answers[name], exact, atol=1e-4)
    assert len({answer.tobytes() for answer in answers.values()}) == len(names)
    used = {name: about["calibration"] for name, about in more["formats"].items()}
    assert all((used[name] is not None) == ("int" in name) for name in names)
    assert asked == [(saved, 9, False), (saved, 9, True)]
