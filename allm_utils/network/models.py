"""MobileNet_M (sections 3.4-3.6), an ALNett-style network, and the peers of Fig. 9.

Every network is flat, takes raw pixels, ``uint8`` or float ``(N, S, S, 3)`` in [0, 255], and gives
``float32 (N, 2)``: the probabilities of HEM and ALL.
"""

import contextlib
import functools
import inspect
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ParamSpec

import keras
from keras import layers

from allm_utils.data.cnmc import CLASSES
from allm_utils.errors import WeightsError, check_choice, check_range, reason

BACKBONE_END = "conv_pw_13_relu"
"""Last layer of the MobileNet part; what follows is the paper's head."""

LARGEST = 1024
"""No network takes larger pictures, in pixels."""

ALNETT_STYLE_FILTERS = (32, 64, 128, 256, 512)
"""Filters of the five clusters of `alnett_style`; our choice."""

# filters of GoogLeNet's nine modules (Szegedy et al., 2015, Table 1): 1×1, 3×3 reduce, 3×3, 5×5
# reduce, 5×5, pool projection
_INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_SHIPPED = Path(__file__).parents[1] / "data" / "weights"
_WEIGHTS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
_WEIGHTS_FILES = {
    "mobilenet_m": "mobilenet/mobilenet_{alpha}_224_tf_no_top.h5",
    "vgg16": "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "resnet50": "resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
}
_ALPHAS = {1.0: "1_0", 0.75: "7_5", 0.5: "5_0", 0.25: "2_5"}
_SCALINGS = {"unit": (1 / 255, 0.0), "imagenet": (1 / 127.5, -1.0)}
# Mean red, green and blue of ImageNet; VGG16 and ResNet-50 were trained on differences from it.
_MEANS = {"unit": (1 / 255, 0.0), "imagenet": (1.0, [-123.68, -116.779, -103.939])}
_RANGES = {"alpha": (0.01, 2), "dropout": (0, 0.99), "l1": (0, 100), "bn_momentum": (0, 1)}

P = ParamSpec("P")


def resolve_weights(
    weights: str | os.PathLike | None, alpha: float = 1.0, model: str = "mobilenet_m"
) -> Path | None:
    """Find pre-trained weights: a path, else the package (alpha 0.25), Keras' cache, the download.

    None, for random weights, must be asked for in so many words; where there are none otherwise, a
    WeightsError says so.
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
    if (_SHIPPED / name).is_file():
        return _SHIPPED / name
    try:
        # looks into Keras' cache first
        origin = f"{_WEIGHTS_URL}{folder}/{name}"
        with contextlib.redirect_stdout(sys.stderr):  # its bar is no answer
            return Path(keras.utils.get_file(name, origin, cache_subdir="models"))
    except Exception as error:  # urllib, socket and Keras raise many kinds
        raise WeightsError(
            f"{name}: not in Keras' cache and not to be downloaded ({reason(error)}); "
            "fetch it on another machine and give its path as weights"
        ) from None


@contextlib.contextmanager
def precision(policy: str):
    """Build models under a dtype policy, e.g. ``"mixed_float16"``, and put the old one back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def ignore_keras_json() -> None:
    """Undo what a user's keras.json and KERAS_MAX_EPOCHS say: they would change network and run."""
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_epsilon(1e-7)
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)


def _network(builder: Callable[P, keras.Model]) -> Callable[P, keras.Model]:
    """Check the settings of a builder, shield it from keras.json, and note how it was called."""

    @functools.wraps(builder)
    def build(*args: P.args, **kwargs: P.kwargs) -> keras.Model:
        given = inspect.signature(builder).bind(*args, **kwargs)
        given.apply_defaults()
        settings = {k: v for k, v in given.arguments.items() if k not in ("weights", "seed")}
        for name, (low, high) in _RANGES.items():
            if name in settings:
                check_range(name, settings[name], low, high)
        ignore_keras_json()
        if given.arguments["seed"] is not None:
            keras.utils.set_random_seed(given.arguments["seed"])
        model = builder(*args, **kwargs)
        for layer in model.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.momentum = settings["bn_momentum"]
        model.built_with = {"builder": model.name, "arguments": settings}  # for the card
        return model

    return build


def _scaled(image_size: int, scaling: str, scalings: dict = _SCALINGS, smallest: int = 32):
    """Begin a network: raw pixels, and the layer that scales them."""
    check_choice("scaling", scaling, scalings)
    check_range("image_size", image_size, smallest, LARGEST)  # it is halved again and again
    scale, offset = scalings[scaling]
    inputs = keras.Input((image_size, image_size, 3), dtype="float32", name="pixels")
    return inputs, layers.Rescaling(scale, offset, name="scaling")(inputs)


def _load(backbone: keras.Model, path: Path | None, what: str) -> None:
    if path is None:
        return
    try:
        backbone.load_weights(path)
    except Exception as error:  # zip, HDF5 and Keras raise many kinds
        raise WeightsError(
            f"{path}: not weights of {what} without top ({reason(error)}); give the right file"
        ) from None


def _prediction(x, l1: float, initializer="glorot_uniform"):
    return layers.Dense(
        len(CLASSES),
        activation="softmax",
        kernel_initializer=initializer,
        kernel_regularizer=keras.regularizers.L1(l1) if l1 else None,
        dtype="float32",  # also under mixed precision
        name="prediction",
    )(x)


@_network
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
    """Build MobileNet_M of Table 4: at alpha 1 3,235,010 parameters, 3,211,074 of them trainable.

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
        Of all batch normalisation. 0.99 as in Keras; short runs from random weights need 0.9.
    seed : int, optional
        Seeds Keras' global generator before any layer is made.
    """
    path = resolve_weights(weights, alpha)
    inputs, scaled = _scaled(image_size, scaling)
    mobilenet = keras.applications.MobileNet(
        input_tensor=scaled, alpha=alpha, include_top=False, weights=None
    )
    _load(mobilenet, path, f"MobileNet x{alpha}")
    x = layers.GlobalAveragePooling2D(name="average_pooling")(mobilenet.output)
    x = layers.Flatten(name="flatten")(x)  # changes nothing after the pooling; it is in Table 4
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.BatchNormalization(name="batch_normalization")(x)
    outputs = _prediction(x, l1, keras.initializers.RandomUniform())
    return keras.Model(inputs, outputs, name="mobilenet_m")


def _peer(scalings: dict = _SCALINGS, smallest: int = 32):
    """Frame a body, which finds features in scaled pixels: pooling, dropout, two probabilities."""

    def frame(body: Callable):
        def build(
            weights: str | os.PathLike | None = None,
            image_size: int = 224,
            dropout: float = 0.5,
            l1: float = 0.0,
            scaling: str = "unit",
            bn_momentum: float = 0.99,
            seed: int | None = None,
        ) -> keras.Model:
            path = resolve_weights(weights, model=body.__name__)
            inputs, scaled = _scaled(image_size, scaling, scalings, smallest)
            x = body(scaled, path)
            x = layers.GlobalAveragePooling2D(name="average_pooling")(x)
            x = layers.Dropout(dropout, name="dropout")(x)
            return keras.Model(inputs, _prediction(x, l1), name=body.__name__)

        build.__name__ = build.__qualname__ = body.__name__
        build.__doc__ = body.__doc__
        return _network(build)

    return frame


@_peer()
def alnett_style(x, path):
    """Build our reading of what is public of ALNett; it is not ALNett.

    The abstract of Jawahar et al. (2022) says: depthwise convolution with different dilation
    rates, and cluster layers of convolution and max-pooling followed by a normalisation. All else
    is our choice: five clusters of `ALNETT_STYLE_FILTERS` filters; in each, three depthwise 3×3
    convolutions side by side, dilated by 1, 2 and 3, a 1×1 convolution over all they
    find, ReLU, max-pooling by two, batch normalisation. Average pooling and softmax end it.

    Parameters and errors are those of `mobilenet_m`, without `alpha`. No pre-trained weights
    exist, so `weights` is None; `l1` is 0 by default.
    """
    for number, filters in enumerate(ALNETT_STYLE_FILTERS, start=1):
        name = f"cluster_{number}"
        found = []
        for rate in (1, 2, 3):
            look = layers.DepthwiseConv2D(
                3, padding="same", dilation_rate=rate, name=f"{name}_dilation_{rate}"
            )
            found.append(look(x))
        x = layers.Concatenate(name=f"{name}_concatenation")(found)
        x = layers.Conv2D(filters, 1, activation="relu", name=f"{name}_convolution")(x)
        x = layers.MaxPooling2D(name=f"{name}_pooling")(x)
        x = layers.BatchNormalization(name=f"{name}_normalization")(x)
    return x


@_peer(_MEANS)
def vgg16(x, path):
    """Build VGG16 (Simonyan and Zisserman, 2015) from Keras.

    Its three fully connected layers, 124 of 138 million parameters, give way to average pooling.

    Parameters and errors are those of `alnett_style`, but ImageNet weights exist, and the scaling
    "imagenet" gives the differences from ImageNet's mean colour on which they were trained.
    """
    return _from_keras(keras.applications.VGG16, "block1_conv1", x, path)


@_peer(_MEANS)
def resnet50(x, path):
    """Build ResNet-50 (He et al., 2016) from Keras; as `vgg16`."""
    return _from_keras(keras.applications.ResNet50, "conv1_conv", x, path)


@_peer()
def googlenet(x, path):
    """Build GoogLeNet (Szegedy et al., 2015, Table 1).

    Two deviations, so that it trains from random weights: batch normalisation after every
    convolution (Ioffe and Szegedy, 2015) in place of local response normalisation after two, and
    therefore no auxiliary classifiers.

    Parameters and errors are those of `alnett_style`.
    """
    x = _normalised(x, 64, 7, "1_convolution", strides=2)
    x = _pooling(x, "1_pooling")
    x = _normalised(x, 64, 1, "2_reduce")
    x = _normalised(x, 192, 3, "2_convolution")
    x = _pooling(x, "2_pooling")
    for name, (one, reduce_3, three, reduce_5, five, projection) in _INCEPTIONS.items():
        if name in ("4a", "5a"):
            x = _pooling(x, f"{int(name[0]) - 1}_pooling")
        branches = [_normalised(x, one, 1, f"{name}_1x1")]
        for reduced, window, size in ((reduce_3, three, 3), (reduce_5, five, 5)):
            branch = f"{name}_{size}x{size}"
            narrow = _normalised(x, reduced, 1, f"{branch}_reduce")
            branches.append(_normalised(narrow, window, size, branch))
        pooled = _pooling(x, f"{name}_pool", strides=1)
        branches.append(_normalised(pooled, projection, 1, f"{name}_projection"))
        x = layers.Concatenate(name=f"{name}_concatenation")(branches)
    return x


@_peer(smallest=63)
def alexnet(x, path):
    """Build the five convolutions of AlexNet (Krizhevsky et al., 2012, section 3.5).

    Three deviations: one stream of filters, where the authors split layers 2, 4 and 5 over two
    GPUs; batch normalisation for local response normalisation; average pooling for the three fully
    connected layers, 59 of 61 million parameters.

    Parameters and errors are those of `alnett_style`, but 63 pixels are needed.
    """
    x = layers.ZeroPadding2D(2, name="padding")(x)  # 224 pixels then give the 55 of the paper
    x = layers.Conv2D(96, 11, strides=4, activation="relu", name="convolution_1")(x)
    x = layers.BatchNormalization(name="normalization_1")(x)
    x = layers.MaxPooling2D(3, 2, name="pooling_1")(x)
    x = _rectified(x, 256, 5, "convolution_2")
    x = layers.BatchNormalization(name="normalization_2")(x)
    x = layers.MaxPooling2D(3, 2, name="pooling_2")(x)
    for number, filters in ((3, 384), (4, 384), (5, 256)):
        x = _rectified(x, filters, 3, f"convolution_{number}")
    return layers.MaxPooling2D(3, 2, name="pooling_5")(x)


def _from_keras(application: Callable, first: str, x, path: Path | None):
    backbone = application(input_tensor=x, include_top=False, weights=None)
    _load(backbone, path, backbone.name)
    if path is not None:  # they expect blue, green, red
        kernel = backbone.get_layer(first).kernel
        kernel.assign(keras.ops.flip(kernel, axis=2))
    return backbone.output


def _rectified(x, filters, size, name):
    return layers.Conv2D(filters, size, padding="same", activation="relu", name=name)(x)


def _normalised(x, filters, size, name, strides=1):
    x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(name=f"{name}_normalization")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _pooling(x, name, strides=2):
    return layers.MaxPooling2D(3, strides, padding="same", name=name)(x)


BUILDERS: dict[str, Callable[..., keras.Model]] = {
    builder.__name__: builder
    for builder in (mobilenet_m, alnett_style, vgg16, resnet50, googlenet, alexnet)
}
"""Every network by its name."""


def build(name: str, settings: Mapping[str, Any]) -> keras.Model:
    """Build a network by its name, a key of `BUILDERS`, from settings by name.

    Those of other things, as in a run's configuration, are passed over.
    """
    check_choice("model", name, BUILDERS)
    known = inspect.signature(BUILDERS[name]).parameters
    return BUILDERS[name](**{key: settings[key] for key in known if key in settings})


def parameters(model: keras.Model) -> dict[str, int]:
    """Count parameters: ``total``, ``trainable``, ``non_trainable``."""
    total = model.count_params()
    trainable = sum(math.prod(v.shape) for v in model.trainable_weights)
    return {"total": total, "trainable": trainable, "non_trainable": total - trainable}


def multiply_adds(model: keras.Model) -> int:
    """Count the multiply-adds of all convolutions for one picture (Howard et al., Table 1)."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, layers.DepthwiseConv2D | layers.Conv2D):
            _, height, width, _ = layer.output.shape
            total += height * width * math.prod(layer.kernel.shape)
    return total
