"""Index a tree of the training set's size; read it once, and again."""

import itertools
import shutil
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from PIL.Image import Resampling

from allm_utils.data import cnmc, images

from .measure import compare, tree


def naive_index(root):
    """Index a tree as most notebooks do."""
    rows = []
    for path in sorted(Path(root).rglob("*.bmp")):
        _, subject, smear, cell, _ = path.stem.split("_")
        label = int(path.parent.name == "all")
        rows.append((str(path), label, path.parts[-3], subject, int(smear), int(cell)))
    return pd.DataFrame(rows, columns=["path", "label", "fold", "subject", "smear", "cell"])


def keras_index(root):
    """Let Keras list the classes of each fold; it opens no picture before it is asked to."""
    for fold in sorted(Path(root).iterdir()):
        keras.utils.image_dataset_from_directory(fold, verbose=False)


def naive_read(paths, size):
    """Read, crop and resize by Keras' own functions, one picture after the other."""
    edge = (450 - images.CROP) // 2
    box = (edge, edge, edge + images.CROP, edge + images.CROP)
    pictures = []
    for path in paths:
        cell = keras.utils.load_img(path).crop(box).resize((size, size), Resampling.BILINEAR)
        pictures.append(keras.utils.img_to_array(cell, dtype="uint8"))
    return np.stack(pictures)


def rows(scale, folder):
    """Compare the index, the building of the cache, and the cache."""
    root = tree(folder, scale.files)
    what = f"Index {scale.files:,} files by subject, smear and cell"
    for name, way in (("pandas and pathlib", naive_index), ("Keras, classes only", keras_index)):
        yield compare(
            what, name, lambda: cnmc.index(root), lambda way=way: way(root),
            turns=scale.turns, unit="s",
        )  # fmt: skip
    paths = cnmc.index(root)["path"].iloc[:: scale.files // scale.pictures][: scale.pictures]
    cache = Path(folder) / "cache"
    attempt = itertools.count()

    def build():
        shutil.rmtree(cache, ignore_errors=True)
        images.load(paths, scale.size, images.CROP, cache, progress=False)

    def naive_build():
        np.save(Path(folder) / f"naive-{next(attempt) % 2}.npy", naive_read(paths, scale.size))

    yield compare(
        "Hash, read, crop, resize, and keep the pictures in a cache",
        "`keras.utils.load_img` and `np.save`",
        build, naive_build, turns=scale.turns, count=scale.pictures,
    )  # fmt: skip
    yield compare(
        "Open the cache, having looked for changed files", "`keras.utils.load_img`, again",
        lambda: images.load(paths, scale.size, images.CROP, cache, progress=False),
        lambda: naive_read(paths, scale.size),
        turns=scale.turns, count=scale.pictures,
    )  # fmt: skip
