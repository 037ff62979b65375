"""Reading, cropping and the cache, on pictures made here, and on the real cells that ship."""

import errno
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from allm_utils.data import images
from allm_utils.errors import AllmError, ConfigError, DataError, ImageError

SIDE = 120  # of the pictures made here; the real ones have 450


def draw(seed=0, side=SIDE):
    """A bright blob on black, with the colours of a stain: uint8 (side, side, 3)."""
    rng = np.random.default_rng(seed)
    rows, cols = np.ogrid[:side, :side]
    inside = (rows - side / 2) ** 2 + (cols - side / 2) ** 2 < (side / 3) ** 2
    picture = rng.integers(30, 110, (side, side, 3), dtype=np.uint8)
    picture[..., 2] += 20
    return picture * inside[..., None]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "cells"
    folder.mkdir()
    for i in range(6):
        Image.fromarray(draw(i)).save(folder / f"{i}.bmp")
    return folder


@pytest.fixture
def paths(folder):
    return sorted(folder.iterdir())


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def load(paths, cache, **settings):
    return images.load(
        paths, **({"size": 24, "crop": 80, "cache": cache, "progress": False} | settings)
    )


def arrays(cache):
    return sorted(cache.glob("images-*.npy"))


def told(caught, path):
    """The file, what is wrong, and then the cure."""
    assert str(path) in str(caught.value) and re.search("[;,]", str(caught.value))


# -- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["bmp", "png", "webp", "BMP", "jpg"])
def test_read_gives_the_pixels(tmp_path, suffix):
    path = tmp_path / f"cell.{suffix}"
    Image.fromarray(draw()).save(path, **({"lossless": True} if suffix == "webp" else {}))
    pixels = images.read(path)
    assert pixels.dtype == np.uint8 and pixels.shape == (SIDE, SIDE, 3)
    assert suffix == "jpg" or np.array_equal(pixels, draw())


def pillow(mode):
    return Image.fromarray(draw()).convert(mode)


def grey_as_rgb():
    return Image.fromarray(draw().max(axis=2)).convert("RGB")


def truncated(path):
    Image.fromarray(draw()).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def sixteen_bit_rgb(path):
    cv2.imwrite(str(path), draw().astype(np.uint16) * 256)


BAD = {
    "truncated.bmp": (truncated, "cannot be decoded"),
    "empty.bmp": (lambda path: path.touch(), "empty"),
    "pipe.bmp": (os.mkfifo, "not a file"),
    "text.bmp": (lambda path: path.write_text("not a picture"), "not a BMP"),
    "other.gif": (lambda path: pillow("RGB").save(path), "not a BMP"),
    "grey.bmp": (lambda path: pillow("L").save(path), "L image"),
    "grey-rgb.png": (lambda path: grey_as_rgb().save(path), "grey image"),
    "cmyk.jpg": (lambda path: pillow("CMYK").save(path), "CMYK image"),
    "rgba.png": (lambda path: pillow("RGBA").save(path), "RGBA image"),
    "grey16.png": (
        lambda path: Image.fromarray(draw()[..., 0].astype(np.uint16) * 256).save(path),
        "16-bit",
    ),
    "rgb16.png": (sixteen_bit_rgb, "16-bit"),
    "large.png": (lambda path: Image.new("RGB", (5000, 1)).save(path), "more than 4096 a side"),
    "small.png": (lambda path: Image.fromarray(draw(side=79)).save(path), "79x79"),
    "folder.bmp": (lambda path: path.mkdir(), "not a file"),
    "absent.bmp": (lambda path: None, "no such file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_pictures_are_refused_in_one_line(tmp_path, name):
    make, reason = BAD[name]
    path = tmp_path / name
    make(path)
    with pytest.raises(ImageError, match=reason) as caught:
        images.prepare(path, 24, 80)
    told(caught, path)
    if "79" not in reason:
        with pytest.raises(ImageError, match=reason):
            images.read(path)


def test_one_bad_picture_stops_the_load_and_leaves_nothing(folder, paths, cache):
    truncated(folder / "3.bmp")
    with pytest.raises(ImageError, match=r"3\.bmp"):
        load(paths, cache)
    assert not [p for p in cache.iterdir() if not p.name.startswith("digests-")]


# -- crop and resize --------------------------------------------------------------------------


def test_crop_is_central_and_a_view():
    image = np.zeros((9, 7, 3), np.uint8)
    image[4, 3] = 1
    cut = images.centre_crop(image, 3)
    assert cut.shape == (3, 3, 3) and cut[1, 1].tolist() == [1, 1, 1]
    assert np.shares_memory(cut, image)
    with pytest.raises(ImageError, match="7x9 is smaller than the crop of 8"):
        images.centre_crop(image, 8)


def test_prepare_crops_and_resizes(paths):
    cut = Image.fromarray(images.centre_crop(images.read(paths[0]), 60))
    expected = np.asarray(cut.resize((24, 24), Image.Resampling.BILINEAR), int)
    found = images.prepare(paths[0], 24, 60)
    # the outermost row of pixels is averaged with what lies just outside the crop
    assert np.array_equal(found[1:-1, 1:-1], expected[1:-1, 1:-1])
    assert np.abs(found - expected).max() < 40
    cut = images.centre_crop(images.read(paths[0]), 80)
    assert np.array_equal(images.prepare(paths[0], 80, 80), cut)


def test_a_cell_keeps_its_size_in_a_larger_frame(tmp_path):
    small, large = draw(), np.zeros((SIDE + 40, SIDE + 40, 3), np.uint8)
    large[20:-20, 20:-20] = small
    for name, picture in (("small.png", small), ("large.png", large)):
        Image.fromarray(picture).save(tmp_path / name)
    assert np.array_equal(
        images.prepare(tmp_path / "small.png", 24, 80),
        images.prepare(tmp_path / "large.png", 24, 80),
    )


def test_a_crop_below_1_brings_every_cell_to_one_size(tmp_path):
    for radius in (20, 60):
        cell = np.zeros((200, 200, 3), np.uint8)
        cv2.circle(cell, (100, 100), radius, (90, 20, 120), -1)
        Image.fromarray(cell).save(tmp_path / f"{radius}.png")
    small, large = (images.prepare(tmp_path / f"{radius}.png", 64, 0.35) for radius in (20, 60))
    assert small.any(axis=-1).mean() == pytest.approx(0.35, abs=0.04)
    assert large.any(axis=-1).mean() == pytest.approx(small.any(axis=-1).mean(), abs=0.03)


@pytest.mark.parametrize("settings", [{"size": 0}, {"crop": 0}, {"crop": 1}, {"size": -1}])
def test_sizes_out_of_range_and_no_pictures_are_refused(paths, cache, settings):
    with pytest.raises(ConfigError):
        load(paths, cache, **settings)
    with pytest.raises(DataError, match="no images"):
        load([], cache)


# -- the cache --------------------------------------------------------------------------------


def test_load_gives_prepared_pictures_in_order(paths, cache):
    loaded = load(paths[::-1], cache)
    assert isinstance(loaded, np.memmap) and not loaded.flags.writeable
    assert loaded.dtype == np.uint8
    for row, path in zip(loaded, paths[::-1], strict=True):
        assert np.array_equal(row, images.prepare(path, 24, 80))
    frame = pd.DataFrame({"path": [str(path) for path in paths[::-1]], "label": 0})
    assert np.array_equal(load(frame, cache), loaded) and len(arrays(cache)) == 1


@pytest.fixture
def built(monkeypatch):
    """List of the paths that were decoded since."""
    decoded, prepare = [], images.prepare

    def watched(path, *settings):
        decoded.append(Path(path).name)
        return prepare(path, *settings)

    monkeypatch.setattr(images, "prepare", watched)
    return decoded


def test_nothing_is_decoded_twice_when_touched_or_moved(folder, paths, cache, built):
    load(paths, cache)
    assert len(built) == len(paths)
    load([str(p) for p in paths], cache)
    os.utime(paths[2], (1, 1))
    load(paths, cache)
    moved = folder.rename(folder.with_name("moved"))
    load(sorted(moved.iterdir()), cache)
    assert len(built) == len(paths) and len(arrays(cache)) == 1


@pytest.mark.parametrize("change", ["content", "order", "fewer", "size", "crop"])
def test_a_change_is_noticed(paths, cache, built, change):
    before = load(paths, cache)
    settings = {}
    if change == "content":
        Image.fromarray(draw(99)).save(paths[2])  # as long as the file before
    if change == "order":
        paths[0], paths[1] = paths[1], paths[0]
    if change == "fewer":
        paths.pop()
    if change in ("size", "crop"):
        settings = {change: 40}
    after = load(paths, cache, **settings)
    assert len(built) == len(paths) + len(before)
    size, crop = settings.get("size", 24), settings.get("crop", 80)
    for row, path in zip(after, paths, strict=True):
        assert np.array_equal(row, images.prepare(path, size, crop))


@pytest.mark.parametrize("damage", ["cut", "empty", "other"])
def test_a_damaged_cache_is_named(paths, cache, damage):
    load(paths, cache)
    (array,) = arrays(cache)
    array.write_bytes(array.read_bytes()[: 50 if damage == "cut" else 0])
    if damage == "other":
        np.save(array, np.zeros((len(paths), 3), np.uint8))
    with pytest.raises(AllmError, match="delete it") as caught:
        load(paths, cache)
    told(caught, array)


def test_a_full_disk_leaves_nothing(paths, cache, monkeypatch):
    """The operating system refuses a step. (Root may write anywhere, so chmod will not do.)"""

    def refuse(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    images.digests(paths, cache)  # the disk fills up afterwards
    before = sorted(cache.iterdir())
    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", refuse)
    with pytest.raises(DataError, match="No space left") as caught:
        load(paths, cache)
    told(caught, cache)
    assert sorted(cache.iterdir()) == before


BUILD = """
import sys, time
from pathlib import Path
from allm_utils.data import images

folder, cache, signals, name = map(Path, sys.argv[1:])
prepare = images.prepare

def watched(path, *settings):
    (signals / name).touch()  # building has begun, and waits until the other has begun too
    while len(list(signals.glob("builder-*"))) < 2:
        time.sleep(0.01)
    return prepare(path, *settings)

images.prepare = watched
loaded = images.load(sorted(folder.iterdir()), 24, 80, cache, progress=False)
print(int(loaded.astype(int).sum()))
"""


def test_two_processes_at_once(folder, paths, cache, tmp_path):
    command, both = [sys.executable, "-c", BUILD, folder, cache, tmp_path], subprocess.PIPE
    workers = [
        subprocess.Popen([*command, f"builder-{name}"], stdout=both, stderr=both, text=True)
        for name in ("one", "two")
    ]
    found = [worker.communicate(timeout=120) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], found
    expected = int(load(paths, tmp_path / "mine").astype(int).sum())
    assert [int(out) for out, _ in found] == [expected, expected]
    assert len(arrays(cache)) == 1
    assert not list(cache.glob("*.part"))
    assert not list(cache.glob(".*"))


# -- fingerprints -----------------------------------------------------------------------------


def test_digests_are_sha256_in_order_and_remembered(paths, cache, monkeypatch):
    expected, hashed = [hashlib.sha256(p.read_bytes()).hexdigest() for p in paths], []
    assert images.digests(paths[::-1], cache) == expected[::-1]
    assert images.digests(paths, cache) == expected
    sha256 = images.sha256
    monkeypatch.setattr(images, "sha256", lambda path: hashed.append(path) or sha256(path))
    assert images.digests(paths, cache) == expected and hashed == []
    Image.fromarray(draw(50)).save(paths[1])
    assert images.digests(paths, cache) != expected
    assert hashed == [paths[1]]


def test_fingerprint_is_of_the_set_not_of_its_order_or_place(folder, paths, cache):
    before = images.fingerprint(paths, cache)
    assert images.fingerprint(paths[::-1], cache) == before
    assert images.fingerprint(paths[1:], cache) != before
    moved = folder.rename(folder.with_name("moved"))
    assert images.fingerprint(moved.iterdir(), cache) == before


@pytest.mark.parametrize("put", [lambda path: None, os.mkfifo, os.mkdir])
def test_what_is_no_file_is_named_and_never_waited_for(paths, cache, put):
    paths[3].unlink()
    put(paths[3])
    with pytest.raises(ImageError, match=r"3\.bmp"):
        images.digests(paths, cache)
