"""From a trained model to the files that a phone, a browser or a server runs: LiteRT and ONNX."""

import hashlib
import json
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
from tqdm.auto import tqdm

from allm_utils.data import images
from allm_utils.errors import ConfigError
from allm_utils.judge.predict import predict
from allm_utils.network import models
from allm_utils.runs import experiment, records
from allm_utils.ship import inference

FORMATS = {
    "litert": ".tflite",
    "litert-int8": "-int8.tflite",
    "onnx": ".onnx",
    "onnx-int8": "-int8.onnx",
}
"""Formats by name, and how their files end."""

CALIBRATION = 100
"""Training cells that show an int8 format how large its numbers become."""

CONDITION = {
    "litert": "litert",
    "litert-int8": "litert-int:8",
    "onnx": "onnx",
    "onnx-int8": "onnx-int:8",
}
"""The condition of a record under which the answers of a format stand; Keras' are "clean"."""

COARSE = "onnx-coarse-int:8"
"""Condition: as "onnx-int:8", but with one scale for all channels of a layer."""


def export(saved, formats, folder=None, calibration=None, per_channel=True):
    """Write a saved model in other formats, each with its card beside it.

    Every format takes what the Keras model takes, ``uint8 (N, H, W, 3)`` RGB in [0, 255], and
    gives ``float32 (N, 2)``, probabilities of HEM and ALL. The scaling of the pixels, and the
    quantisation in the int8 formats, is inside.

    Parameters
    ----------
    saved : path-like
        A ``.keras`` file with its card.
    formats : iterable of str
        Of `FORMATS`.
    folder : path-like, optional
        Where to write ``NAME.tflite``, ``NAME-int8.tflite``, ``NAME.onnx``, ``NAME-int8.onnx``; by
        default beside the model. The card of each is named after it, ``NAME.tflite.json``.
    calibration : array of uint8, shape (n, H, W, 3), optional
        Training cells, as the network sees them; the int8 formats need them.
    per_channel : bool
        Each channel of a layer's weights has a scale of its own. False is for teaching, and for
        onnx-int8 only.

    Returns
    -------
    dict of str to Path
        The files by format.

    Raises
    ------
    ConfigError
        A format is unknown, a package is missing, Keras does not run on TensorFlow, or an int8
        format has no cells to calibrate on.
    ModelError
        As `models.load`.
    """
    formats = tuple(formats)
    _check(formats, calibration)
    model, card = models.load(saved)
    saved = Path(saved)
    folder = saved.parent if folder is None else Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    card["source"] = {"file": saved.name, "sha256": images.sha256(saved)}
    pixels = keras.Input(model.input_shape[1:], dtype="uint8", name="pixels")
    raw = keras.Model(pixels, model(pixels), name=model.name)
    files = {}
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".exporting-") as scratch,
        inference.quiet(),
    ):
        made = _Made(raw, Path(scratch))
        for name in formats:
            used = calibration if name.endswith("int8") else None
            part = made.litert(used) if "litert" in name else made.onnx(used, per_channel)
            target = folder / f"{saved.stem}{FORMATS[name]}"
            written = {**card, "format": name}
            if used is not None:
                written["calibration"] = {"images": len(used), "sha256": _fingerprint(used)}
            note = part.with_name("card.json")
            note.write_text(json.dumps(written, indent=2) + "\n")
            os.replace(note, models.card_path(target))
            os.replace(part, target)
            files[name] = target
    return files


def calibration_cells(paths, card, n=CALIBRATION, progress=False):
    """Read the cells to calibrate an int8 format on, spread evenly over the paths.

    Parameters
    ----------
    paths : sequence of path-like
        Images of training cells.
    card : dict
        The model's.
    n : int
        At most so many.
    progress : bool

    Returns
    -------
    ndarray of uint8, shape (n, image_size, image_size, 3)

    Raises
    ------
    ImageError
        As `images.prepare`.
    """
    chosen = _spread(paths, n)
    cells = (
        images.prepare(path, card["image_size"], card["crop"])
        for path in tqdm(chosen, desc="calibration", unit="img", disable=not progress)
    )
    return np.stack(list(cells))


def retest(saved, source, data, out, work, note="", progress=True):
    """Test a saved model in every format, and record it beside its first test.

    The new record has the split, the settings and the history of the old one, as
    `experiment.describe_again` says. Its conditions are "clean", those of `CONDITION` and `COARSE`.
    ``formats`` holds for each the size of the file, and the cells it was calibrated on:
    `CALIBRATION` of the training part.

    Parameters
    ----------
    saved : path-like
        A ``.keras`` file with its card.
    source : Record
        Of the run that trained it.
    data : path-like
        Root of the tree that the run used.
    out : path-like
        Results folder; the record goes to ``out/deployment``.
    work : path-like
        Scratch folder for the image cache and the exported files.
    note : str
        What a reader of the record must know, beside where it comes from.
    progress : bool

    Returns
    -------
    Path
        The record's JSON file.

    Raises
    ------
    RecordError
        The model is not that of the record, the data are not those it used, or the new record is
        there already.
    """
    started, work = datetime.now(UTC), Path(work)
    card = models.read_card(saved)
    experiment.check_model(source, saved)
    record_id = f"{source.id}-deployment"
    records.check_free(Path(out) / "deployment", record_id, source.data["data"]["kind"])
    frame, split = experiment.select_again(source, data, work)
    pictures = images.load(frame, card["image_size"], card["crop"], work / "images", progress)
    train, test = (np.flatnonzero(split == part) for part in ("train", "test"))
    cells = pictures[_spread(train, CALIBRATION)]
    made = export(saved, FORMATS, work / "exported", cells)
    coarse = export(saved, ["onnx-int8"], work / "exported" / "coarse", cells, per_channel=False)
    files = {"clean": Path(saved)} | {CONDITION[name]: path for name, path in made.items()}
    files[COARSE] = coarse["onnx-int8"]
    p_all, formats = {}, {}
    for name, path in files.items():
        model, card = inference.load(path)
        p_all[name] = predict(model, pictures[test], progress=progress)
        formats[name] = {"bytes": path.stat().st_size, "calibration": card.get("calibration")}
    record = {
        **experiment.describe_again(source, saved, "deployment", started, note),
        "conditions": list(files),
        "formats": formats,
    }
    table = experiment.answers(frame.iloc[test], p_all)
    return records.write(Path(out) / "deployment", record, table)


class _Made:
    """What the formats are made of, each step done once."""

    def __init__(self, model, folder):
        self.model, self.folder = model, folder
        self._steps = {}

    def _once(self, name, make):
        if name not in self._steps:
            make(self.folder / name)
            self._steps[name] = self.folder / name
        return self._steps[name]

    def litert(self, calibration):
        import tensorflow as tf

        graph = self._once(
            "graph", lambda to: self.model.export(to, format="tf_saved_model", verbose=False)
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(str(graph))
        if calibration is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([cell[None]] for cell in calibration)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        path = self.folder / "converted.tflite"
        path.write_bytes(converter.convert())
        return path

    def onnx(self, calibration, per_channel):
        graph = self._once("graph.onnx", self._write_onnx)
        path = self.folder / "converted.onnx"
        if calibration is None:
            shutil.copy(graph, path)
        else:
            folded = self._once("folded.onnx", lambda to: _fold_onnx(graph, to))
            _quantise_onnx(folded, path, calibration, per_channel)
        return path

    def _write_onnx(self, path):
        self.model(np.zeros((1, *self.model.input_shape[1:]), np.uint8))  # Keras asks for one call
        self.model.export(path, format="onnx", verbose=False)


def _fold_onnx(graph, path):
    """Fold batch normalisation into the convolutions, as ONNX Runtime does when it opens a file."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(graph, path, skip_symbolic_shape=True)


def _quantise_onnx(graph, path, calibration, per_channel):
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Cells(CalibrationDataReader):
        def __init__(self):
            self.rest = iter(calibration)

        def get_next(self):
            cell = next(self.rest, None)
            return None if cell is None else {"pixels": cell[None]}

    quantize_static(
        graph,
        path,
        Cells(),
        per_channel=per_channel,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
    )


def _check(formats, calibration):
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(f"format {name!r}: choose one of {', '.join(FORMATS)}")
        if name.endswith("int8") and (calibration is None or not len(calibration)):
            raise ConfigError(
                f"format {name}: needs training cells, to see how large the numbers inside the "
                "network become; give some to calibrate on"
            )
    if any("onnx" in name for name in formats):
        inference.need("onnx", "tf2onnx", "onnxruntime")
    if keras.backend.backend() != "tensorflow":
        raise ConfigError(
            f"export under KERAS_BACKEND={keras.backend.backend()}: it needs tensorflow; "
            "unset the variable (a model trained with another backend can be exported)"
        )


def _spread(items, n):
    """Choose `n` of the items, evenly, in order."""
    rows = np.linspace(0, len(items) - 1, min(n, len(items))).astype(int)
    return np.asarray(items)[rows]


def _fingerprint(pictures):
    return hashlib.sha256(np.ascontiguousarray(pictures)).hexdigest()
