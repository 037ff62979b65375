"""A saved model on image files, in batches, fed as its card says."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from allm_utils.data import images
from allm_utils.errors import ConfigError, ImageError, ModelError
from allm_utils.files import sha256
from allm_utils.judge.predict import predict
from allm_utils.network import models, saving
from allm_utils.ship import inference


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small MobileNet_M that takes 32 pixels from a crop of 40."""
    model = models.mobilenet_m(weights=None, image_size=32, alpha=0.25, seed=1)
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    return saving.save(model, path, {"crop": 40})


@pytest.fixture
def cells(tmp_path):
    """Seven images of 50 x 48 pixels, of four formats, two of them in a folder below."""
    rng = np.random.default_rng(0)
    (tmp_path / "cells" / "more").mkdir(parents=True)
    for i, suffix in enumerate(("bmp", "BMP", "png", "jpg", "webp", "bmp", "jpeg")):
        place = tmp_path / "cells" / ("more" if i > 4 else ".") / f"{i}.{suffix}"
        Image.fromarray(rng.integers(0, 256, (50, 48, 3)).astype(np.uint8)).save(place)
    (tmp_path / "cells" / "notes.txt").write_text("not an image")
    return tmp_path / "cells"


@pytest.mark.parametrize("batch_size", [2, 64])
def test_predicts_what_the_card_says(saved, cells, batch_size):
    found, refused = inference.predict_images(saved, cells, batch_size, progress=False)
    assert found.columns.tolist() == ["file", "p_all", "label", "note"] and refused.empty
    names = ["0.bmp", "1.BMP", "2.png", "3.jpg", "4.webp", "more/5.bmp", "more/6.jpeg"]
    assert found["file"].tolist() == [str(cells / name) for name in names]
    pictures = np.stack([images.prepare(path, 32, 40) for path in found["file"]])
    model, _ = saving.load(saved)
    assert found["p_all"].dtype == np.float32
    np.testing.assert_allclose(found["p_all"], predict(model, pictures), atol=1e-5)
    assert found["label"].tolist() == ["ALL" if p >= 0.5 else "HEM" for p in found["p_all"]]


def test_one_bad_picture_costs_one_row(saved, cells):
    (cells / "0.bmp").write_bytes((cells / "0.bmp").read_bytes()[:3000])
    (cells / "4.webp").write_bytes(b"")
    asked = [cells, cells / "none.png", cells / "notes.txt"]
    found, refused = inference.predict_images(saved, asked, 2, progress=False)
    assert [os.path.basename(path) for path in found["file"]] == [
        "1.BMP", "2.png", "3.jpg", "5.bmp", "6.jpeg",
    ]  # fmt: skip
    assert [os.path.basename(path) for path in refused["file"]] == [
        "0.bmp", "4.webp", "none.png", "notes.txt",
    ]  # fmt: skip
    for (_, file, reason), why in zip(
        refused.itertuples(), ("decoded", "empty", "no such", "not a BMP"), strict=True
    ):
        assert reason.startswith(f"{file}: ") and why in reason and "\n" not in reason
    found, refused = inference.predict_images(saved, cells / "none.png", progress=False)
    assert found.empty and len(refused) == 1


def test_a_picture_that_is_no_cell_on_black_is_noted(saved, tmp_path):
    """A whole smear has at most 2.5 % black pixels, a cell of C-NMC at least 44 %."""
    smear = np.random.default_rng(0).integers(90, 250, (50, 50, 3)).astype(np.uint8)
    cell = smear.copy()
    cell[:25] = 0
    for name, picture in (("smear", smear), ("cell", cell)):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    found, _ = inference.predict_images(saved, tmp_path, progress=False)
    notes = {
        os.path.basename(file): note
        for file, note in zip(found["file"], found["note"], strict=True)
    }
    assert notes["cell.png"] == "" and notes["smear.png"].startswith("0% of it is black")


def test_folders_are_listed_without_what_nobody_put_there(cells):
    for hidden in (".ipynb_checkpoints/0-checkpoint.png", "__MACOSX/a.png", "more/._5.bmp"):
        (cells / hidden).parent.mkdir(exist_ok=True)
        (cells / hidden).write_bytes(b"no picture")
    (cells / "folder.png").mkdir()
    os.mkfifo(cells / "pipe.png")
    (cells / "linked").symlink_to(cells)  # a loop
    (cells / "more" / "7.png").symlink_to(cells / "2.png")
    (cells / "more" / "8.png").symlink_to(cells / "nowhere.png")
    names = [
        path.relative_to(cells).as_posix() for path in inference.listed([cells / "2.png", cells])
    ]
    below = ["0.bmp", "1.BMP", "2.png", "3.jpg", "4.webp"]
    assert names == ["2.png", *below, *(f"more/{n}" for n in ("5.bmp", "6.jpeg", "7.png", "8.png"))]
    with pytest.raises(ImageError, match="no image in this folder"):
        inference.listed(cells / "folder.png")


def test_the_next_batch_is_read_ahead_and_no_more(saved, cells, monkeypatch):
    asked, seen = [], []
    prepare = images.prepare
    monkeypatch.setattr(images, "prepare", lambda *args: asked.append(args) or prepare(*args))

    def watched(model, pictures, **options):
        seen.append((len(pictures), len(asked)))
        return predict(model, pictures, **options)

    monkeypatch.setattr(inference, "predict", watched)
    found, _ = inference.predict_images(saved, [cells / "0.bmp"] * 20, 4, progress=False)
    assert len(found) == 20
    batches = [(n, read) for n, read in seen if n]
    assert [n for n, _ in batches] == [4] * 5
    assert all(read <= 4 * (i + 2) for i, (_, read) in enumerate(batches))


@pytest.mark.parametrize("suffix", ["safetensors", "tflite", "onnx"])
def test_a_model_that_cannot_be_fed_is_refused(saved, tmp_path, suffix):
    path = tmp_path / f"m.{suffix}"
    with pytest.raises(ModelError, match="no such model"):
        inference.load(path)
    path.write_bytes(saved.read_bytes() if suffix == "safetensors" else b"not a network")
    with pytest.raises(ModelError, match="card"):
        inference.load(path)
    card = json.loads(saving.card_path(saved).read_text())
    saving.card_path(path).write_text(json.dumps(card | {"image_size": 64}))
    why = "its card says 64 pixels" if suffix == "safetensors" else "not those of its card"
    with pytest.raises(ModelError, match=why):
        inference.load(path)


def test_a_batch_of_no_pictures_is_refused_before_any_is_read(saved, cells):
    with pytest.raises(ConfigError, match="batch size 0"):
        inference.predict_images(saved, cells, 0, progress=False)


def test_an_exported_network_of_other_pixels_is_refused(saved, tmp_path):
    from onnx import TensorProto, helper, save

    path, shape = tmp_path / "m.onnx", [None, 32, 32, 3]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    versions = {"ir_version": 10, "opset_imports": [helper.make_opsetid("", 17)]}
    save(helper.make_model(graph, **versions), path)
    card = json.loads(saving.card_path(saved).read_text()) | {"file_sha256": sha256(path)}
    saving.card_path(path).write_text(json.dumps(card))
    with pytest.raises(ModelError, match="takes .*float.*raw"):
        inference.load(path)
