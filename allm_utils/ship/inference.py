"""A trained model, in any format, on any images of single cells."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from allm_utils.data import images
from allm_utils.data.cnmc import CLASSES
from allm_utils.errors import ImageError, ModelError, need, reason
from allm_utils.files import quiet, sha256, walk
from allm_utils.judge.predict import predict
from allm_utils.network import saving
from allm_utils.runs import second

_SUFFIXES = (".bmp", ".png", ".jpg", ".jpeg", ".webp")

# least share of exactly black pixels of a known picture. The crops of C-NMC have 44 to 90 %, those
# of whole smears at most 2.5 %
_BLACK = 0.2


def load(path: str | os.PathLike, threads: int | None = None) -> tuple[Any, dict]:
    """Open a saved or exported model with its card.

    A LiteRT or ONNX model uses `threads`, by default all cores; Keras decides for itself. Of all
    three, ``predict_on_batch`` takes ``uint8 (N, H, W, 3)`` and gives ``float32 (N, 2)``, and
    `judge.predict` takes the model. A ModelError for what is no model of ours, or lacks its card.
    """
    path = Path(path)
    if path.suffix not in _RUNTIMES:
        return saving.load(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such model; check the path")
    card = saving.read_card(path)
    if card.get("file_sha256") != sha256(path):  # a runtime may crash on bytes that are not whole
        raise ModelError(f"{path}: its bytes are not those of its card; export or copy it again")
    module, runtime = _RUNTIMES[path.suffix]
    need("deploy", module)
    try:
        saving.check_size(path.stat().st_size)
        with quiet():
            model = runtime(path, threads or os.cpu_count())
    except Exception as error:  # the kinds of both libraries are not public
        what = f"cannot be opened ({reason(error)})"
        raise ModelError(f"{path}: {what}; export or copy it again") from None
    size, takes = card["image_size"], (*model.input_shape[1:], model.takes)
    if takes != (size, size, 3, "uint8"):
        raise ModelError(
            f"{path}: takes {takes}, but its card says {size} pixels, and those are raw (uint8); "
            "export it again"
        )
    return model, card


class LiteRT:
    """A ``.tflite`` file, run by LiteRT; one made for a browser picture by picture."""

    def __init__(self, path: str | os.PathLike, threads: int):
        from ai_edge_litert.interpreter import Interpreter

        self.name = Path(path).name
        self._interpreter = Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._batch = 1
        (self._input,) = self._interpreter.get_input_details()
        self._one_by_one = self._input["shape_signature"][0] == 1
        outputs = self._interpreter.get_output_details()
        self._output = next(one for one in outputs if len(one["shape"]) == 2)
        self.input_shape = (None, *self._input["shape"][1:].tolist())
        self.output_shape = (None, *self._output["shape"][1:].tolist())
        self.takes = np.dtype(self._input["dtype"]).name

    def predict_on_batch(self, pictures: np.ndarray) -> np.ndarray:
        """Probabilities of HEM and ALL, ``float32 (N, 2)``, of ``uint8 (N, H, W, 3)``."""
        interpreter, index = self._interpreter, self._input["index"]
        if self._one_by_one and len(pictures) != 1:
            return np.concatenate([self.predict_on_batch(one[None]) for one in pictures])
        if len(pictures) != self._batch:
            interpreter.resize_tensor_input(index, pictures.shape)
            interpreter.allocate_tensors()
            self._batch = len(pictures)
        interpreter.set_tensor(index, np.ascontiguousarray(pictures))
        interpreter.invoke()
        return interpreter.get_tensor(self._output["index"])


class ONNX:
    """An ``.onnx`` file, run by ONNX Runtime on the CPU."""

    def __init__(self, path: str | os.PathLike, threads: int):
        import onnxruntime

        self.name = Path(path).name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        (pixels,), (answer,) = self._session.get_inputs(), self._session.get_outputs()
        self._input = pixels.name
        self.input_shape = (None, *pixels.shape[1:])
        self.output_shape = (None, *answer.shape[1:])
        self.takes = pixels.type.removeprefix("tensor(").removesuffix(")")

    def predict_on_batch(self, pictures: np.ndarray) -> np.ndarray:
        """Probabilities of HEM and ALL, ``float32 (N, 2)``, of ``uint8 (N, H, W, 3)``."""
        return self._session.run(None, {self._input: np.ascontiguousarray(pictures)})[0]


# by suffix: the package that runs the format, and the class that asks it
_RUNTIMES = {".tflite": ("ai_edge_litert", LiteRT), ".onnx": ("onnxruntime", ONNX)}


def predict_images(
    model_path: str | os.PathLike,
    image_paths: str | os.PathLike | Iterable[str | os.PathLike],
    batch_size: int = 64,
    progress: bool = True,
    handmade: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict images, a path or several as `listed` takes them, fed as the model's card says.

    With `handmade` the network's second judge is asked too, see `allm_utils.runs.second`.

    While the model is busy with one batch, threads read, crop and resize the next one. No more
    than these two are in memory, so any number of images fits.

    Returns
    -------
    answers : DataFrame
        Columns ``file`` (the path), ``p_all`` (probability of ALL, float32), ``label`` (``"ALL"``
        from 0.5 upwards, else ``"HEM"``) and ``note`` (what to mind; empty as a rule), in the order
        of the paths.
    refused : DataFrame
        Columns ``file`` and ``reason``: images that cannot be read, or are not of the kind the
        model was trained on.
    """
    paths = listed(image_paths)
    model, card = load(model_path)
    judge = second.load(model_path) if handmade else None
    predict(model, (), batch_size=batch_size)  # what is wrong with these is said before any work
    answers, refused = [], []
    with tqdm(total=len(paths), desc="predict", unit="img", disable=not progress) as bar:
        for batch in _read(paths, card, batch_size):
            refused += [(path, str(one)) for path, one in batch if isinstance(one, ImageError)]
            good = [(path, one) for path, one in batch if not isinstance(one, ImageError)]
            if good:
                pictures = np.stack([picture for _, picture in good])
                p_all = predict(model, pictures, batch_size=batch_size)
                p_all = judge.judge(p_all, pictures) if judge else p_all
                answers += zip((path for path, _ in good), p_all, map(_note, pictures), strict=True)
            bar.update(len(batch))
    table = pd.DataFrame(answers, columns=["file", "p_all", "note"]).astype({"p_all": np.float32})
    table.insert(2, "label", np.where(table["p_all"] >= 0.5, CLASSES[1], CLASSES[0]))
    return table, pd.DataFrame(refused, columns=["file", "reason"])


def _read(paths, card, batch_size) -> Iterator[list[tuple[str, np.ndarray | ImageError]]]:
    """Read batches, each while the one before it is being looked at."""

    def read(path):
        try:
            return str(path), images.prepare(path, card["image_size"], card["crop"])
        except ImageError as error:
            return str(path), error

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow frees the lock
        ahead = [pool.submit(read, path) for path in paths[:batch_size]]
        for start in range(batch_size, len(paths) + batch_size, batch_size):
            now, ahead = ahead, [pool.submit(read, p) for p in paths[start : start + batch_size]]
            yield [reading.result() for reading in now]


def _note(picture):
    black = 1 - picture.any(axis=-1).mean()
    if black >= _BLACK:
        return ""
    return (
        f"{black:.0%} of it is black: no single cell cut out on black, so the answer means nothing"
    )


def listed(image_paths: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Path]:
    """List images: a folder stands for all images in it and below, sorted by name.

    What is hidden is passed over, and so is what macOS leaves in archives. Links are followed.
    """
    if isinstance(image_paths, str | os.PathLike):
        image_paths = [image_paths]
    paths = []
    for path in map(Path, image_paths):
        found = [path]
        if path.is_dir():
            found = sorted(where / name for where, names in walk(path, _SUFFIXES) for name in names)
        if not found:
            raise ImageError(f"{path}: no image in this folder; give BMP, PNG, JPEG or WebP files")
        paths += found
    return paths
