"""A saved model on image files, in batches, fed as its card says."""

import logging
import os

import numpy as np
import pytest
from PIL import Image

from allm_utils.data import images
from allm_utils.errors import ImageError, ModelError
from allm_utils.judge.predict import predict
from allm_utils.network import models
from allm_utils.ship import inference


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small MobileNet_M that takes 32 pixels from a crop of 40."""
    model = models.mobilenet_m(weights=None, image_size=32, alpha=0.25, seed=1)
    path = tmp_path_factory.mktemp("model") / "small.keras"
    return models.save(model, path, {"image_size": 32, "crop": 40})


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
    found = inference.predict_images(saved, cells, batch_size, progress=False)
    assert found.columns.tolist() == ["file", "p_all", "label"]
    names = ["0.bmp", "1.BMP", "2.png", "3.jpg", "4.webp", "more/5.bmp", "more/6.jpeg"]
    assert found["file"].tolist() == [str(cells / name) for name in names]
    pictures = np.stack([images.prepare(path, 32, 40) for path in found["file"]])
    model, _ = models.load(saved)
    assert found["p_all"].to_numpy() == pytest.approx(predict(model, pictures), abs=1e-5)


def test_all_from_a_half_upwards(saved, cells, monkeypatch):
    p_all = np.array([0.0, 0.4999, 0.5, 1.0], np.float32)
    monkeypatch.setattr(inference, "predict", lambda *_, **__: p_all)
    found = inference.predict_images(saved, [cells / "0.bmp"] * 4)
    assert found["label"].tolist() == ["HEM", "HEM", "ALL", "ALL"]


def test_reads_no_more_than_a_batch_at_a_time(saved, cells, monkeypatch):
    most = 0

    def stack(pictures):
        nonlocal most
        most = max(most, len(pictures))
        return np.asarray(pictures)

    monkeypatch.setattr(inference.np, "stack", stack)
    inference.predict_images(saved, cells, batch_size=3, progress=False)
    assert most == 3


def test_the_order_of_the_paths_is_kept(saved, cells):
    paths = [cells / "2.png", cells / "more", cells / "0.bmp"]
    found = inference.predict_images(saved, paths, progress=False)
    names = ["2.png", "more/5.bmp", "more/6.jpeg", "0.bmp"]
    assert found["file"].tolist() == [str(cells / name) for name in names]


def test_a_model_without_its_card_is_refused(saved, cells, tmp_path):
    bare = tmp_path / "bare.keras"
    bare.write_bytes(saved.read_bytes())
    with pytest.raises(ModelError, match="card"):
        inference.predict_images(bare, cells, progress=False)


@pytest.mark.parametrize("name", ["none.bmp", "empty", "notes.txt"])
def test_what_is_not_an_image_is_named(saved, cells, name):
    (cells / "empty").mkdir()
    with pytest.raises(ImageError, match=name):
        inference.predict_images(saved, [cells / "0.bmp", cells / name], progress=False)


def test_quiet_holds_back_what_is_said_and_not_what_goes_wrong(capfd):
    with pytest.raises(ValueError, match="wrong"), inference.quiet():
        print("said")
        os.write(2, b"said by a library")
        logging.getLogger("library").warning("said")
        raise ValueError("wrong")
    logging.getLogger("library").warning("heard")
    os.write(2, b"heard too")
    out, err = capfd.readouterr()
    assert out == "" and "said" not in err and "heard too" in err


@pytest.mark.parametrize("suffix", ["tflite", "onnx"])
def test_a_broken_file_is_refused(saved, tmp_path, suffix):
    path = tmp_path / f"m.{suffix}"
    with pytest.raises(ModelError, match="no such model"):
        inference.load(path)
    path.write_bytes(b"not a network")
    models.card_path(path).write_text(models.card_path(saved).read_text())
    with pytest.raises(ModelError, match="cannot be opened"):
        inference.load(path)


def test_the_next_batch_is_read_ahead_and_no_more(saved, cells, monkeypatch):
    asked = []
    monkeypatch.setattr(inference.images, "prepare", lambda path, size, crop: asked.append(path))
    monkeypatch.setattr(inference.np, "stack", list)
    paths = [cells / "0.bmp"] * 20
    with inference._Pictures(paths, 32, 40) as pictures:
        pictures[0:4]
        pictures.pool.submit(len, ()).result()  # the pool has come so far
        assert len(asked) <= 8
        pictures[4:8]
    assert 8 <= len(asked) <= 12
