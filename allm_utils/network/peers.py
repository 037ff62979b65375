"""The transfer-learning networks of Fig. 9, each built with one call.

All take raw pixels and end in average pooling, dropout and a softmax over (HEM, ALL), as
`models.alnett_style` does. VGG16 and ResNet-50 come from Keras, with ImageNet weights. Keras has
neither GoogLeNet nor AlexNet, and no weights of them; they are written here from their papers.
"""

import os

import keras
from keras import layers

from allm_utils.network.models import classifier, load_weights, resolve_weights, scaled_input

# Mean red, green and blue of ImageNet; VGG16 and ResNet-50 were trained on differences from it.
_CAFFE = {"unit": (1 / 255, 0.0), "imagenet": (1.0, [-123.68, -116.779, -103.939])}

INCEPTIONS = {
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
"""Filters of GoogLeNet's nine modules (Szegedy et al., 2015, Table 1): 1×1, 3×3 reduce, 3×3,
5×5 reduce, 5×5, pool projection."""


def vgg16(
    weights: str | os.PathLike | None = None,
    image_size: int = 224,
    dropout: float = 0.5,
    l1: float = 0.0,
    scaling: str = "unit",
    bn_momentum: float = 0.99,
    seed: int | None = None,
) -> keras.Model:
    """Build VGG16 (Simonyan and Zisserman, 2015) from Keras.

    Its three fully connected layers, 124 of 138 million parameters, give way to average pooling.

    Parameters
    ----------
    weights : "imagenet", path-like or None
        See `models.resolve_weights`.
    image_size, dropout, l1, bn_momentum, seed
        As in `models.mobilenet_m`; without batch normalisation `bn_momentum` does nothing.
    scaling : {"unit", "imagenet"}
        [0, 1], or the differences from ImageNet's mean colour on which the weights were trained.

    Returns
    -------
    keras.Model
        Takes and gives what `models.mobilenet_m` does.

    Raises
    ------
    WeightsError
        If the weights are not to be had.
    ConfigError
        If the image is too small or the scaling unknown.
    """
    settings = (weights, image_size, dropout, l1, scaling, bn_momentum, seed)
    return _from_keras("vgg16", keras.applications.VGG16, "block1_conv1", *settings)


def resnet50(
    weights: str | os.PathLike | None = None,
    image_size: int = 224,
    dropout: float = 0.5,
    l1: float = 0.0,
    scaling: str = "unit",
    bn_momentum: float = 0.99,
    seed: int | None = None,
) -> keras.Model:
    """Build ResNet-50 (He et al., 2016) from Keras.

    Parameters, result and errors are those of `vgg16`.
    """
    settings = (weights, image_size, dropout, l1, scaling, bn_momentum, seed)
    return _from_keras("resnet50", keras.applications.ResNet50, "conv1_conv", *settings)


def googlenet(
    weights: None = None,
    image_size: int = 224,
    dropout: float = 0.5,
    l1: float = 0.0,
    scaling: str = "unit",
    bn_momentum: float = 0.99,
    seed: int | None = None,
) -> keras.Model:
    """Build GoogLeNet (Szegedy et al., 2015, Table 1).

    Two deviations, so that it trains from random weights: batch normalisation after every
    convolution (Ioffe and Szegedy, 2015) in place of local response normalisation after two, and
    therefore no auxiliary classifiers.

    Parameters, result and errors are those of `models.alnett_style`.
    """
    resolve_weights(weights, model="googlenet")
    inputs, x = scaled_input(image_size, scaling, seed)
    x = _normalized_convolution(x, 64, 7, "1_convolution", strides=2)
    x = _pooling(x, "1_pooling")
    x = _normalized_convolution(x, 64, 1, "2_reduce")
    x = _normalized_convolution(x, 192, 3, "2_convolution")
    x = _pooling(x, "2_pooling")
    for name, filters in INCEPTIONS.items():
        if name in ("4a", "5a"):
            x = _pooling(x, f"{int(name[0]) - 1}_pooling")
        x = _inception(x, filters, name)
    return classifier("googlenet", inputs, x, dropout, l1, bn_momentum)


def alexnet(
    weights: None = None,
    image_size: int = 224,
    dropout: float = 0.5,
    l1: float = 0.0,
    scaling: str = "unit",
    bn_momentum: float = 0.99,
    seed: int | None = None,
) -> keras.Model:
    """Build the five convolutions of AlexNet (Krizhevsky et al., 2012, section 3.5).

    Three deviations: one stream of filters, where the authors split layers 2, 4 and 5 over two
    GPUs; batch normalisation for local response normalisation; average pooling for the three fully
    connected layers, 59 of 61 million parameters.

    Parameters, result and errors are those of `models.alnett_style`, but 63 pixels are needed.
    """
    resolve_weights(weights, model="alexnet")
    inputs, x = scaled_input(image_size, scaling, seed, smallest=63)
    x = layers.ZeroPadding2D(2, name="padding")(x)  # 224 pixels then give the 55 of the paper
    x = _relu_convolution(x, 96, 11, "convolution_1", strides=4, padding="valid")
    x = layers.BatchNormalization(name="normalization_1")(x)
    x = layers.MaxPooling2D(3, 2, name="pooling_1")(x)
    x = _relu_convolution(x, 256, 5, "convolution_2")
    x = layers.BatchNormalization(name="normalization_2")(x)
    x = layers.MaxPooling2D(3, 2, name="pooling_2")(x)
    x = _relu_convolution(x, 384, 3, "convolution_3")
    x = _relu_convolution(x, 384, 3, "convolution_4")
    x = _relu_convolution(x, 256, 3, "convolution_5")
    x = layers.MaxPooling2D(3, 2, name="pooling_5")(x)
    return classifier("alexnet", inputs, x, dropout, l1, bn_momentum)


def _from_keras(
    name, application, first, weights, image_size, dropout, l1, scaling, bn_momentum, seed
):
    path = resolve_weights(weights, model=name)
    inputs, scaled = scaled_input(image_size, scaling, seed, _CAFFE)
    backbone = application(input_tensor=scaled, include_top=False, weights=None)
    load_weights(backbone, path, name)
    if path is not None:  # they expect blue, green, red
        kernel = backbone.get_layer(first).kernel
        kernel.assign(keras.ops.flip(kernel, axis=2))
    return classifier(name, inputs, backbone.output, dropout, l1, bn_momentum)


def _relu_convolution(x, filters, size, name, strides=1, padding="same"):
    settings = {"padding": padding, "activation": "relu", "name": name}
    return layers.Conv2D(filters, size, strides, **settings)(x)


def _normalized_convolution(x, filters, size, name, strides=1):
    x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(name=f"{name}_normalization")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _pooling(x, name, strides=2):
    return layers.MaxPooling2D(3, strides, padding="same", name=name)(x)


def _inception(x, filters, name):
    """Look with four windows at once, and put side by side what each of them finds."""
    one, reduce_3, three, reduce_5, five, projection = filters
    branches = [_normalized_convolution(x, one, 1, f"{name}_1x1")]
    for reduced, window, size in ((reduce_3, three, 3), (reduce_5, five, 5)):
        branch = f"{name}_{size}x{size}"
        narrow = _normalized_convolution(x, reduced, 1, f"{branch}_reduce")
        branches.append(_normalized_convolution(narrow, window, size, branch))
    pooled = _pooling(x, f"{name}_pool", strides=1)
    branches.append(_normalized_convolution(pooled, projection, 1, f"{name}_projection"))
    return layers.Concatenate(name=f"{name}_concatenation")(branches)
