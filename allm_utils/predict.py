"""A trained model on any images of single cells."""

from pathlib import Path

import numpy as np
import pandas as pd

from . import evaluation, images, models
from .cnmc import CLASSES
from .errors import ImageError

SUFFIXES = (".bmp", ".png", ".jpg", ".jpeg", ".webp")


def predict_images(model_path, image_paths, batch_size=64, progress=True):
    """Predict images, fed as the model's card says.

    The images are read, cropped and resized batch by batch, so any number of them fits.

    Parameters
    ----------
    model_path : path-like
        A ``.keras`` file with its card beside it.
    image_paths : path-like or iterable of path-like
        Images, and folders, which stand for all images in them and below, sorted by name.
    batch_size : int
        Images in memory at a time.
    progress : bool
        Show a progress bar.

    Returns
    -------
    DataFrame
        Columns ``file`` (the path), ``p_all`` (probability of ALL, float32) and ``label``
        (``"ALL"`` from 0.5 upwards, else ``"HEM"``), in the order of the paths.

    Raises
    ------
    ModelError
        The file is not a model, or has no card.
    ImageError
        A path does not exist, a folder holds no image, or an image is not of the kind the model
        was trained on.
    """
    paths = _listed(image_paths)
    model, card = models.load(model_path)
    pictures = _Pictures(paths, card["image_size"], card["crop"])
    p_all = evaluation.predict(model, pictures, batch_size, progress)
    labels = np.where(p_all >= 0.5, CLASSES[1], CLASSES[0])
    return pd.DataFrame({"file": [str(path) for path in paths], "p_all": p_all, "label": labels})


class _Pictures:
    """Images on disk as an array that is read when it is sliced."""

    def __init__(self, paths, size, crop):
        self.paths, self.size, self.crop = paths, size, crop

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, rows):
        return np.stack([images.prepare(path, self.size, self.crop) for path in self.paths[rows]])


def _listed(image_paths):
    if isinstance(image_paths, str | Path):
        image_paths = [image_paths]
    paths = []
    for path in map(Path, image_paths):
        found = [path]
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        elif not path.exists():
            raise ImageError(f"{path}: no such file; check the path")
        if not found:
            raise ImageError(f"{path}: no image in this folder; give BMP, PNG, JPEG or WebP files")
        paths += found
    return paths
