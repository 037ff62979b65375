"""MobileNet_M, the paper's extension of MobileNet (sections 3.4-3.6); an ALNett-style network."""

import contextlib
import io
import json
import os
import tempfile
import textwrap
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
from keras import layers

from allm_utils.data.cnmc import CLASSES
from allm_utils.errors import ConfigError, ModelError, WeightsError

BACKBONE_END = "conv_pw_13_relu"
"""Last layer of the MobileNet part; what follows is the paper's head."""

_WEIGHTS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
_WEIGHTS_FILES = {
    "mobilenet_m": "mobilenet/mobilenet_{alpha}_224_tf_no_top.h5",
    "vgg16": "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "resnet50": "resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
}
_ALPHAS = {1.0: "1_0", 0.75: "7_5", 0.5: "5_0", 0.25: "2_5"}
_SCALINGS = {"unit": (1 / 255, 0.0), "imagenet": (1 / 127.5, -1.0)}

ALNETT_STYLE_FILTERS = (32, 64, 128, 256, 512)
"""Filters of the five clusters of `alnett_style`; our choice."""

ALNETT_STYLE_DILATIONS = (1, 2, 3)
"""Dilation rates inside each cluster of `alnett_style`; our choice."""


def _reason(error: Exception) -> str:
    """Say in a few words why a library failed; their messages may be long, or empty."""
    return textwrap.shorten(str(error) or type(error).__name__, 160, placeholder=" …")


def resolve_weights(
    weights: str | os.PathLike | None, alpha: float = 1.0, model: str = "mobilenet_m"
) -> Path | None:
    """Find pre-trained weights: a path, else Keras' cache, else the download.

    Parameters
    ----------
    weights : "imagenet", path-like or None
        None means random weights, and must be asked for in so many words.
    alpha : float
        Width multiplier of MobileNet; ImageNet weights exist for 0.25, 0.5, 0.75 and 1.
    model : str
        The network they are for; only those that Keras ships have any.

    Returns
    -------
    Path or None

    Raises
    ------
    WeightsError
        If there are none; never silently random.
    """
    if weights is None:
        return None
    if model not in _WEIGHTS_FILES:
        raise WeightsError(
            f"{model}: no pre-trained weights exist, so {str(weights)!r} is of no use; "
            "give weights=None and train it from random ones"
        )
    if weights != "imagenet":
        path = Path(weights)
        if not path.is_file():
            raise WeightsError(
                f"{path}: no such weight file; give a .h5 file of the network without top, "
                "as Keras publishes it, or 'imagenet'"
            )
        return path
    if alpha not in _ALPHAS:
        raise WeightsError(
            f"alpha {alpha}: no ImageNet weights of that width; choose one of {list(_ALPHAS)} "
            "or weights=None"
        )
    folder, name = _WEIGHTS_FILES[model].format(alpha=_ALPHAS[alpha]).split("/")
    try:
        # looks into Keras' cache first
        origin = f"{_WEIGHTS_URL}{folder}/{name}"
        return Path(keras.utils.get_file(name, origin, cache_subdir="models"))
    except Exception as error:  # urllib, socket and Keras raise many kinds
        raise WeightsError(
            f"{name}: not in Keras' cache and not to be downloaded ({_reason(error)}); "
            "fetch it on another machine and give its path as weights"
        ) from None


def scaled_input(
    image_size: int,
    scaling: str,
    seed: int | None,
    scalings: dict = _SCALINGS,
    smallest: int = 32,
):
    """Begin a network: raw pixels, and the layer that scales them.

    Parameters
    ----------
    image_size : int
    scaling : str
        A key of `scalings`.
    seed : int, optional
        Seeds Keras' global generator before any layer is made.
    scalings : dict of str to (scale, offset)
    smallest : int
        The image size that the network can still halve as often as it does.

    Returns
    -------
    inputs, scaled : keras.KerasTensor, shape (N, image_size, image_size, 3)

    Raises
    ------
    ConfigError
        If the image is too small or the scaling unknown.
    """
    if scaling not in scalings:
        raise ConfigError(f"scaling {scaling!r}: choose one of {', '.join(scalings)}")
    if image_size < smallest:
        raise ConfigError(
            f"image size {image_size}: the network halves it again and again; "
            f"give {smallest} or more"
        )
    if seed is not None:
        keras.utils.set_random_seed(seed)
    scale, offset = scalings[scaling]
    inputs = keras.Input((image_size, image_size, 3), name="pixels")
    return inputs, layers.Rescaling(scale, offset, name="scaling")(inputs)


def load_weights(backbone: keras.Model, path: Path | None, what: str) -> None:
    """Load the weights of a backbone, unless `path` is None.

    Raises
    ------
    WeightsError
        If the file does not hold weights of `what`.
    """
    if path is None:
        return
    try:
        backbone.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(
            f"{path}: not weights of {what} without top ({_reason(error)}); give the right file"
        ) from None


def classifier(
    name: str, inputs, features, dropout: float, l1: float, bn_momentum: float
) -> keras.Model:
    """End a network: average pooling of ``(N, H, W, F)`` features, dropout, two probabilities."""
    x = layers.GlobalAveragePooling2D(name="average_pooling")(features)
    x = layers.Dropout(dropout, name="dropout")(x)
    return _finished(name, inputs, _prediction(x, l1), bn_momentum)


def _prediction(x, l1: float, initializer="glorot_uniform"):
    return layers.Dense(
        len(CLASSES),
        activation="softmax",
        kernel_initializer=initializer,
        kernel_regularizer=keras.regularizers.L1(l1) if l1 else None,
        dtype="float32",  # also under mixed precision
        name="prediction",
    )(x)


def _finished(name: str, inputs, outputs, bn_momentum: float) -> keras.Model:
    model = keras.Model(inputs, outputs, name=name)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = bn_momentum
    return model


def mobilenet_m(
    weights: str | os.PathLike | None = "imagenet",
    image_size: int = 224,
    alpha: float = 1.0,
    dropout: float = 0.5,
    l1: float = 0.015,
    scaling: str = "unit",
    bn_momentum: float = 0.99,
    seed: int | None = None,
) -> keras.Model:
    """Build MobileNet_M of Table 4.

    Flat: every layer of MobileNet can be reached by its name. The first layer scales raw pixels,
    so nobody can forget the 1/255.

    Parameters
    ----------
    weights : "imagenet", path-like or None
        See `resolve_weights`.
    image_size : int
        Side of the input in pixels.
    alpha : float
        Width multiplier (Howard et al., 2017); the paper uses 1.
    dropout : float
        Not given in the paper; 0.5 is our choice.
    l1 : float
        L1 penalty on the last layer's kernel (section 3.6).
    scaling : {"unit", "imagenet"}
        [0, 1] as in the paper, or [-1, 1], the range on which the ImageNet weights were trained.
    bn_momentum : float
        Momentum of all batch normalisation layers. 0.99 as in Keras; short runs from random
        weights need 0.9.
    seed : int, optional
        Seeds Keras' global generator before any layer is made.

    Returns
    -------
    keras.Model
        Input ``uint8`` or float ``(N, image_size, image_size, 3)`` in [0, 255]; output
        ``float32 (N, 2)``, probabilities of HEM and ALL. At alpha 1: 3,235,010 parameters, of
        which 3,211,074 trainable.

    Raises
    ------
    WeightsError
        If the weights are not to be had.
    ConfigError
        If the image is too small or the scaling unknown.
    """
    path = resolve_weights(weights, alpha)
    inputs, scaled = scaled_input(image_size, scaling, seed)
    mobilenet = keras.applications.MobileNet(
        input_tensor=scaled, alpha=alpha, include_top=False, weights=None
    )
    load_weights(mobilenet, path, f"MobileNet x{alpha}")
    x = layers.GlobalAveragePooling2D(name="average_pooling")(mobilenet.output)
    x = layers.Flatten(name="flatten")(x)  # changes nothing after the pooling; it is in Table 4
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.BatchNormalization(name="batch_normalization")(x)
    outputs = _prediction(x, l1, keras.initializers.RandomUniform())
    return _finished("mobilenet_m", inputs, outputs, bn_momentum)


def alnett_style(
    weights: None = None,
    image_size: int = 224,
    dropout: float = 0.5,
    l1: float = 0.0,
    scaling: str = "unit",
    bn_momentum: float = 0.99,
    seed: int | None = None,
) -> keras.Model:
    """Build our reading of what is public of ALNett; it is not ALNett.

    The abstract of Jawahar et al. (2022) says: depthwise convolution with different dilation
    rates, and cluster layers of convolution and max-pooling followed by a normalisation. All else
    is our choice: five clusters of `ALNETT_STYLE_FILTERS` filters; in each, three depthwise 3×3
    convolutions side by side, dilated by `ALNETT_STYLE_DILATIONS`, a 1×1 convolution over all they
    find, ReLU, max-pooling by two, batch normalisation. Average pooling and softmax end it.

    Parameters
    ----------
    weights : None
        No pre-trained weights exist; always random.
    image_size, dropout, l1, scaling, bn_momentum, seed
        As in `mobilenet_m`.

    Returns
    -------
    keras.Model
        Takes and gives what `mobilenet_m` does.

    Raises
    ------
    WeightsError
        If weights are asked for.
    ConfigError
        If the image is too small or the scaling unknown.
    """
    resolve_weights(weights, model="alnett_style")
    inputs, x = scaled_input(image_size, scaling, seed)
    for number, filters in enumerate(ALNETT_STYLE_FILTERS, start=1):
        name = f"cluster_{number}"
        found = []
        for rate in ALNETT_STYLE_DILATIONS:
            look = layers.DepthwiseConv2D(
                3, padding="same", dilation_rate=rate, name=f"{name}_dilation_{rate}"
            )
            found.append(look(x))
        x = layers.Concatenate(name=f"{name}_concatenation")(found)
        x = layers.Conv2D(filters, 1, activation="relu", name=f"{name}_convolution")(x)
        x = layers.MaxPooling2D(name=f"{name}_pooling")(x)
        x = layers.BatchNormalization(name=f"{name}_normalization")(x)
    return classifier("alnett_style", inputs, x, dropout, l1, bn_momentum)


def freeze(model: keras.Model, last: str) -> None:
    """Keep all layers up to the one named ``last`` as they are; for building, before compiling.

    Frozen batch normalisation also stops following the batches.

    Raises
    ------
    ConfigError
        If no layer has that name.
    """
    names = [layer.name for layer in model.layers]
    if last not in names:
        raise ConfigError(f"freeze {last!r}: no such layer in {model.name}; see model.summary()")
    for layer in model.layers[: names.index(last) + 1]:
        layer.trainable = False


def table_4(model: keras.Model) -> list[tuple[str, tuple, int]]:
    """Summarise a MobileNet_M as Table 4 does.

    Returns
    -------
    list of (layer, output shape, parameters)
        MobileNet as one row, then each layer of the head.
    """
    names = [layer.name for layer in model.layers]
    head = names.index(BACKBONE_END) + 1
    backbone = sum(layer.count_params() for layer in model.layers[:head])
    rows = [("MobileNet", model.layers[head - 1].output.shape, backbone)]
    for layer in model.layers[head:]:
        rows.append((type(layer).__name__, layer.output.shape, layer.count_params()))
    return rows


def parameters(model: keras.Model) -> dict[str, int]:
    """Count parameters: ``total``, ``trainable``, ``non_trainable``."""
    total = model.count_params()
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    return {"total": total, "trainable": trainable, "non_trainable": total - trainable}


def multiply_adds(model: keras.Model) -> int:
    """Count the multiply-adds of all convolutions for one picture (Howard et al., Table 1)."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.DepthwiseConv2D | layers.Conv2D):
            _, height, width, _ = layer.output.shape
            total += height * width * int(np.prod(layer.kernel.shape))
    return total


def card_path(path: str | os.PathLike) -> Path:
    """Name the card of a model: NAME.json for NAME.keras, else NAME.tflite.json and the like."""
    path = Path(path)
    return path.with_suffix(".json") if path.suffix == ".keras" else Path(f"{path}.json")


def read_card(path: str | os.PathLike) -> dict:
    """Read the card of a model file of any format.

    Returns
    -------
    dict
        ``image_size``, ``crop``, ``classes`` and whatever was saved with them.

    Raises
    ------
    ModelError
        If it is missing, or of another class order.
    """
    try:
        card = dict(json.loads(card_path(path).read_text()))
    except (OSError, TypeError, ValueError):
        raise ModelError(
            f"{path}: its card {card_path(path).name} is missing or broken, so crop, size and "
            "class order are unknown; keep the two files together"
        ) from None
    if card.get("classes") != list(CLASSES) or not {"image_size", "crop"} <= set(card):
        raise ModelError(
            f"{card_path(path)}: needs image_size, crop and classes {list(CLASSES)}; "
            "take the card that was saved with the model"
        )
    return card


def save(model: keras.Model, path: str | os.PathLike, card: dict, half: bool = False) -> Path:
    """Write a model and, beside it, the card that says how to feed it.

    Parameters
    ----------
    model : keras.Model
    path : path-like
        ``NAME.keras``; the card becomes ``NAME.json``.
    card : dict
        Needs ``image_size`` and ``crop``; the class order is added.
    half : bool
        Store the weights as float16: half the size. They are float32 again when loaded.

    Raises
    ------
    ModelError
        If the card lacks an entry.
    """
    path = Path(path)
    missing = {"image_size", "crop"} - set(card)
    if missing:
        raise ModelError(f"{path}: the card lacks {', '.join(sorted(missing))}; a model needs it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".saving-") as folder:
        part = Path(folder) / path.name
        model.save(part)
        if half:
            _halve(part)
        card_path(part).write_text(json.dumps({**card, "classes": list(CLASSES)}, indent=2) + "\n")
        os.replace(card_path(part), card_path(path))
        os.replace(part, path)
    return path


def _halve(path: Path) -> None:
    """Rewrite the weights inside a ``.keras`` archive as float16, compressed."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    with (
        h5py.File(io.BytesIO(entries["model.weights.h5"])) as source,
        h5py.File(buffer, "w") as target,
    ):
        for key, value in source.attrs.items():
            target.attrs[key] = value

        def copy(name, node):
            if isinstance(node, h5py.Group):
                made = target.require_group(name)
            elif name.startswith("optimizer/"):
                return
            else:
                data = node[()]
                kind = np.float16 if data.dtype.kind == "f" else data.dtype
                made = target.create_dataset(name, data=data.astype(kind))
            for key, value in node.attrs.items():
                made.attrs[key] = value

        source.visititems(copy)
    entries["model.weights.h5"] = buffer.getvalue()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def load(path: str | os.PathLike) -> tuple[keras.Model, dict]:
    """Open a saved model in safe mode, with its card.

    Returns
    -------
    model : keras.Model
        Not compiled; ready to predict.
    card : dict
        ``image_size``, ``crop``, ``classes`` and whatever was saved with them.

    Raises
    ------
    ModelError
        If the file is not a model, or its card is missing or of another class order.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such model; check the path")
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ModelError(f"{path}: not a Keras model; give a .keras file made by `allm train`")
    card = read_card(path)
    try:
        with tempfile.TemporaryDirectory(prefix="allm-") as folder:
            model = keras.models.load_model(_readable(path, folder), compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds for a broken archive
        raise ModelError(
            f"{path}: cannot be loaded ({_reason(error)}); train or copy it again"
        ) from None
    return model, card


_NEWER = {
    "input_axes": None,
    "output_axes": None,
    "quantization_config": None,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
}
"""Settings that Keras 3.10 does not know and later ones save, with values that change nothing."""


def _readable(path: Path, folder: str) -> Path:
    """Copy a model without settings that only a Keras as new as its maker's would understand."""

    def cleaned(node):
        if isinstance(node, list):
            return [cleaned(one) for one in node]
        if not isinstance(node, dict):
            return node
        return {
            key: cleaned(value)
            for key, value in node.items()
            if key not in _NEWER or value != _NEWER[key]
        }

    copy = Path(folder) / path.name
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                content = json.dumps(cleaned(json.loads(content))).encode()
            target.writestr(name, content)
    return copy


@contextlib.contextmanager
def precision(policy: str):
    """Build models under a dtype policy, e.g. ``"mixed_float16"``, and put the old one back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
