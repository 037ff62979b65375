"""From a trained model to the files that a phone, a browser or a server runs: LiteRT and ONNX."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm.auto import tqdm

from allm_utils.data import images
from allm_utils.errors import ConfigError, ModelError, check_choice, need, reason
from allm_utils.files import check_writable, quiet, sha256, write_atomically
from allm_utils.judge.predict import predict
from allm_utils.network import saving
from allm_utils.network.models import BACKBONE_END
from allm_utils.runs import experiment
from allm_utils.runs.records import Record
from allm_utils.ship import inference

FORMATS = {
    "litert": ".tflite",
    "litert-int8": "-int8.tflite",
    "onnx": ".onnx",
    "onnx-int8": "-int8.onnx",
    "litert-web": "-web.tflite",
    "litert-web-float": "-web-float.tflite",
}
"""Formats by name, and how their files end. Those for a browser take one picture at a time, say
beside the answer where it comes from (`with_evidence`), and have weights of 8 bits
(`bias_corrected`) or of 16."""

INT8 = ("litert-int8", "onnx-int8", "litert-web")
"""Formats that are calibrated on training cells."""

CALIBRATION = 100
"""Training cells that show an int8 format how large its numbers become."""

CONDITION = {name: name.replace("int8", "int:8") for name in FORMATS if "web" not in name}
"""The condition of a record under which the answers of a format stand; Keras' are "clean"."""

COARSE = "onnx-coarse-int:8"
"""Condition: as "onnx-int:8", but with one scale for all channels of a layer."""


def export(
    saved: str | Path,
    formats: Iterable[str],
    folder: str | Path | None = None,
    calibration: np.ndarray | None = None,
    per_channel: bool = True,
) -> dict[str, Path]:
    """Write a saved model in other formats, each with its card, ``NAME.tflite.json``, beside it.

    Every format takes what the Keras model takes, ``uint8 (N, H, W, 3)`` RGB in [0, 255], and
    gives ``float32 (N, 2)``, probabilities of HEM and ALL; those for a browser have an N of 1. The
    scaling of the pixels, and the quantisation in the int8 formats, is inside. Returns the files by
    the names of `FORMATS`.

    Parameters
    ----------
    folder
        By default beside the model.
    calibration
        Training cells, as the network sees them, ``uint8 (n, H, W, 3)``; int8 needs them.
    per_channel
        Each channel of a layer's weights has a scale of its own. False is for teaching, and for
        onnx-int8 only.
    """
    formats, saved = tuple(formats), Path(saved)
    _check(formats, calibration)
    check_writable(folder or saved.parent)
    model, card = saving.load(saved)
    card["source"] = {"file": saved.name, "sha256": sha256(saved)}
    pixels = keras.Input(model.input_shape[1:], dtype="uint8", name="pixels")
    raw = keras.Model(pixels, model(pixels), name=model.name)
    files = {}
    with tempfile.TemporaryDirectory(prefix="allm-") as scratch, quiet():
        for name in formats:
            convert = partial(_onnx, per_channel=per_channel) if "onnx" in name else _litert
            cells = calibration if name in INT8 else None
            if "web" in name:
                same = model if cells is None else bias_corrected(model, cells)
                convert = partial(_web, with_evidence(same))
            about = {**card, "format": name}
            if cells is not None:
                digest = hashlib.sha256(np.ascontiguousarray(cells)).hexdigest()
                about["calibration"] = {"images": len(cells), "sha256": digest}
            try:
                made = convert(raw, Path(scratch), cells)
            except Exception as error:  # of three libraries, and of what is below them
                raise ModelError(
                    f"{saved}: cannot be written as {name} ({reason(error)}); "
                    "export a network that `allm train` has saved"
                ) from error
            files[name] = Path(folder or saved.parent) / f"{saved.stem}{FORMATS[name]}"
            text = json.dumps({**about, "file_sha256": sha256(made)}, indent=2) + "\n"
            write_atomically(saving.card_path(files[name]), lambda part, t=text: part.write_text(t))
            write_atomically(files[name], partial(shutil.copyfile, made))
    return files


def calibration_cells(
    paths: Sequence, card: dict, n: int = CALIBRATION, progress: bool = False
) -> np.ndarray:
    """Read the cells to calibrate an int8 format on, as the model of the card sees them.

    At most `n`, spread evenly over the paths: ``uint8 (n, image_size, image_size, 3)``.
    """
    chosen = np.asarray(paths)[np.linspace(0, len(paths) - 1, min(n, len(paths))).astype(int)]
    cells = (
        images.prepare(path, card["image_size"], card["crop"])
        for path in tqdm(chosen, desc="calibration", unit="img", disable=not progress)
    )
    return np.stack(list(cells))


def tests(
    saved: str | Path, source: Record, data: str | Path | None, work: str | Path
) -> tuple[dict[str, Callable[[np.ndarray], np.ndarray]], dict[str, Any]]:
    """Export a saved model in every format, for `runs.experiment.retest` and with its parameters.

    `CALIBRATION` cells of the training part show the int8 formats how large their numbers become.
    Returns what answers under "clean" (Keras), the conditions of `CONDITION`, and `COARSE`; and
    ``formats``: by condition, the size of the file and the cells it was calibrated on.
    """
    experiment.check_model(source, saved)
    frame, split = experiment.select_again(source, data, work)
    paths = frame["path"][split == "train"].tolist()
    cells = calibration_cells(paths, saving.read_card(saved))
    folder = Path(work) / "exported"
    coarse = export(saved, ["onnx-int8"], folder / "coarse", cells, per_channel=False)
    files = {"clean": Path(saved), COARSE: coarse["onnx-int8"]}
    for name, path in export(saved, CONDITION, folder, cells).items():
        files[CONDITION[name]] = path
    asked, formats = {}, {}
    for name, path in files.items():
        model, card = inference.load(path)
        asked[name] = partial(predict, model)
        formats[name] = {"bytes": path.stat().st_size, "calibration": card.get("calibration")}
    return asked, {"formats": formats}


def bias_corrected(model: keras.Model, cells: np.ndarray) -> keras.Model:
    """Copy a network, and take from it what eight bits are going to add.

    The nine weights of a channel of a depthwise layer are rounded each by itself, and where
    neighbouring pixels are alike their errors add up: every value of the channel moves by much the
    same. The mean of this over the cells goes into the batch normalisation that follows (bias
    correction, Nagel et al., 2019).
    """
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    layers = [one for one in copy.layers if isinstance(one, keras.layers.DepthwiseConv2D)]
    inputs = keras.Model(copy.input, [layer.input for layer in layers])
    means = [0.0] * len(layers)
    for cell in cells:
        for i, values in enumerate(inputs.predict_on_batch(cell[None])):
            means[i] += values / len(cells)
    for layer, mean in zip(layers, means, strict=True):
        kernel = layer.get_weights()[0]
        step = np.maximum(np.abs(kernel).max((0, 1), keepdims=True) / 127, np.finfo("float32").tiny)
        layer.set_weights([np.rint(kernel / step) * step - kernel])
        error = np.asarray(layer(mean)).mean((0, 1, 2))
        layer.set_weights([kernel])
        norm = copy.get_layer(f"{layer.name}_bn")
        gamma, beta, average, variance = norm.get_weights()
        norm.set_weights([gamma, beta, average + error, variance])
    return copy


def with_evidence(model: keras.Model) -> keras.Model:
    """Give MobileNet_M a second output: what each field of its last layer says for ALL.

    After the last layer nothing but the mean over its fields, batch normalisation and a product
    follow, so that they may change places: the log-odds of ALL are the mean of this map (class
    activation mapping, Zhou et al., 2016), ``float32 (N, H / 32, W / 32, 1)``.
    """
    if model.name != "mobilenet_m":
        raise ModelError(f"model {model.name!r}: the page's format is for mobilenet_m; choose that")
    kernel, bias = model.get_layer("prediction").get_weights()
    gamma, beta, mean, variance = model.get_layer("batch_normalization").get_weights()
    towards = kernel[:, 1] - kernel[:, 0]
    gain = gamma / np.sqrt(variance + model.get_layer("batch_normalization").epsilon)
    layer = keras.layers.Conv2D(1, 1, name="evidence", dtype="float32")
    pixels = keras.Input(model.input_shape[1:], dtype="uint8", name="pixels")
    both = keras.Model(model.inputs, [model.output, layer(model.get_layer(BACKBONE_END).output)])
    constant = bias[1] - bias[0] + towards @ (beta - gain * mean)
    layer.set_weights([(gain * towards)[None, None, :, None], constant[None]])
    return keras.Model(pixels, both(pixels), name=model.name)


def _web(model, _, scratch, cells):
    """One picture at a time: LiteRT.js refuses a batch of any size."""
    graph = scratch / f"one-{cells is None}"
    one = keras.InputSpec(shape=(1, *model.input_shape[1:]), dtype="uint8", name="pixels")
    model.export(graph, format="tf_saved_model", verbose=False, input_signature=[one])
    return _converted(graph, scratch, cells, half=cells is None)


def _litert(model, scratch, cells):
    graph = scratch / "graph"
    if not graph.exists():
        model.export(graph, format="tf_saved_model", verbose=False)
    return _converted(graph, scratch, cells)


def _converted(graph, scratch, cells, half=False):
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(graph))
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    if cells is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([cell[None]] for cell in cells)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    path = scratch / "converted.tflite"
    path.write_bytes(converter.convert())
    return path


def _onnx(model, scratch, cells, per_channel):
    graph, folded, path = (scratch / f"{name}.onnx" for name in ("graph", "folded", "converted"))
    if not graph.exists():
        model(np.zeros((1, *model.input_shape[1:]), np.uint8))  # Keras asks for one call
        model.export(graph, format="onnx", verbose=False)
    if cells is None:
        return graph
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Cells(CalibrationDataReader):
        def __init__(self):
            self.rest = iter(cells)

        def get_next(self):
            cell = next(self.rest, None)
            return None if cell is None else {"pixels": cell[None]}

    if not folded.exists():  # batch normalisation into the convolutions, as ONNX Runtime does
        quant_pre_process(graph, folded, skip_symbolic_shape=True)
    eight = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
    quantize_static(folded, path, Cells(), per_channel=per_channel, **eight)
    return path


def _check(formats, calibration):
    for name in formats:
        check_choice("format", name, FORMATS)
        if name in INT8 and (calibration is None or not len(calibration)):
            raise ConfigError(f"format {name}: give it some training cells to calibrate on")
        if "onnx" in name:
            need("deploy", "onnx", "tf2onnx", "onnxruntime")
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ConfigError(f"export under KERAS_BACKEND={backend}: set it to tensorflow for this")
