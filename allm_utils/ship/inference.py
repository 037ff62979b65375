"""A trained model, in any format, on any images of single cells."""

import contextlib
import importlib.util
import logging
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from allm_utils.data import images
from allm_utils.data.cnmc import CLASSES
from allm_utils.errors import ConfigError, ImageError, ModelError
from allm_utils.judge.predict import predict
from allm_utils.network import models

SUFFIXES = (".bmp", ".png", ".jpg", ".jpeg", ".webp")


def load(path, threads=None):
    """Open a saved or exported model with its card.

    Parameters
    ----------
    path : path-like
        A ``.keras``, ``.tflite`` or ``.onnx`` file with its card beside it.
    threads : int, optional
        That a LiteRT or ONNX model may use; by default all cores. Keras decides for itself.

    Returns
    -------
    model : keras.Model, LiteRT or ONNX
        Of all three, ``predict_on_batch`` takes ``uint8 (N, H, W, 3)`` and gives
        ``float32 (N, 2)``, and `predict.predict` takes the model.
    card : dict
        As `models.read_card` gives it.

    Raises
    ------
    ModelError
        The file is not a model of ours, or has no card.
    ConfigError
        The package that runs the format is not installed.
    """
    path = Path(path)
    runtime = {".tflite": LiteRT, ".onnx": ONNX}.get(path.suffix)
    if runtime is None:
        return models.load(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such model; check the path")
    card = models.read_card(path)
    return runtime(path, threads or os.cpu_count()), card


class LiteRT:
    """A ``.tflite`` file, run by LiteRT.

    Parameters
    ----------
    path : path-like
    threads : int
    """

    def __init__(self, path, threads):
        need("ai_edge_litert")
        from ai_edge_litert.interpreter import Interpreter

        self.name = Path(path).name
        try:
            with quiet():
                self._interpreter = Interpreter(str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise _broken(path, error) from None
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()
        self._batch = None
        self.input_shape = (None, *self._input["shape"][1:].tolist())
        self.output_shape = (None, *self._output["shape"][1:].tolist())
        _check_input(path, self._input["dtype"])

    def predict_on_batch(self, pictures):
        """Probabilities of HEM and ALL, ``float32 (N, 2)``, of ``uint8 (N, H, W, 3)``."""
        interpreter, index = self._interpreter, self._input["index"]
        if len(pictures) != self._batch:
            interpreter.resize_tensor_input(index, pictures.shape)
            interpreter.allocate_tensors()
            self._batch = len(pictures)
        interpreter.set_tensor(index, np.ascontiguousarray(pictures))
        interpreter.invoke()
        return interpreter.get_tensor(self._output["index"])


class ONNX:
    """An ``.onnx`` file, run by ONNX Runtime on the CPU.

    Parameters
    ----------
    path : path-like
    threads : int
    """

    def __init__(self, path, threads):
        need("onnxruntime")
        import onnxruntime

        self.name = Path(path).name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its kinds are not public
            raise _broken(path, error) from None
        (pixels,), (answer,) = self._session.get_inputs(), self._session.get_outputs()
        self._input = pixels.name
        self.input_shape = (None, *pixels.shape[1:])
        self.output_shape = (None, *answer.shape[1:])
        _check_input(path, np.uint8 if pixels.type == "tensor(uint8)" else pixels.type)

    def predict_on_batch(self, pictures):
        """Probabilities of HEM and ALL, ``float32 (N, 2)``, of ``uint8 (N, H, W, 3)``."""
        return self._session.run(None, {self._input: pictures})[0]


def need(*modules):
    """Make sure that optional packages are installed.

    Raises
    ------
    ConfigError
        One is not; it says what to install.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            package = module.replace("_", "-")
            raise ConfigError(f"{package} is not installed: run pip install 'allm[deploy]'")


@contextlib.contextmanager
def quiet():
    """Hold back what a library, in C++ too, has to say; errors are raised all the same."""
    stderr, quiet_below = os.dup(2), logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stdout(nowhere),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        logging.disable(quiet_below)
        os.dup2(stderr, 2)
        os.close(stderr)


def predict_images(model_path, image_paths, batch_size=64, progress=True):
    """Predict images, fed as the model's card says.

    While the model is busy with one batch, threads read, crop and resize the next one. No more
    than these two are in memory, so any number of images fits.

    Parameters
    ----------
    model_path : path-like
        A model that `load` opens.
    image_paths : path-like or iterable of path-like
        Images, and folders, which stand for all images in them and below, sorted by name.
    batch_size : int
        Images in a batch.
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
    ConfigError
        The package that runs the format is not installed.
    """
    paths = listed(image_paths)
    model, card = load(model_path)
    with _Pictures(paths, card["image_size"], card["crop"]) as pictures:
        p_all = predict(model, pictures, batch_size=batch_size, progress=progress)
    labels = np.where(p_all >= 0.5, CLASSES[1], CLASSES[0])
    return pd.DataFrame({"file": [str(path) for path in paths], "p_all": p_all, "label": labels})


class _Pictures:
    """Images on disk as an array: a slice is read when asked for, and then the next one ahead."""

    def __init__(self, paths, size, crop):
        self.paths, self.size, self.crop = paths, size, crop
        self.pool = ThreadPoolExecutor(os.cpu_count())  # Pillow frees the lock
        self.ahead = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pool.shutdown(cancel_futures=True)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, rows):
        now = self.ahead.pop(rows.start, None) or self._read(rows.start, rows.stop)
        self.ahead[rows.stop] = self._read(rows.stop, 2 * rows.stop - rows.start)
        return np.stack([reading.result() for reading in now])

    def _read(self, start, stop):
        return [
            self.pool.submit(images.prepare, path, self.size, self.crop)
            for path in self.paths[start:stop]
        ]


def listed(image_paths):
    """List images: a folder stands for all images in it and below, sorted by name.

    Parameters
    ----------
    image_paths : path-like or iterable of path-like

    Returns
    -------
    list of Path

    Raises
    ------
    ImageError
        A path does not exist, or a folder holds no image.
    """
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


def _check_input(path, dtype):
    if dtype is not np.uint8:
        kind = getattr(dtype, "__name__", dtype)
        raise ModelError(f"{path}: takes {kind}, not raw pixels (uint8); give one of `allm export`")


def _broken(path, error):
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ModelError(f"{path}: cannot be opened ({reason}); export or copy it again")
