"""Ask a network: the probability of ALL for every picture, under any condition."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from tqdm.auto import tqdm

from allm_utils.errors import ConfigError, ImageError, ModelError, check_range, reason
from allm_utils.judge import conditions

MOST_PICTURES = 1024
"""No batch is larger: at 224 pixels these are 150 MB, and a network takes many times that."""

_TOLERANCE = 0.01  # how far two answers may be from 1 in sum: eight bits round each to 1/255


def predict(
    model: Any,
    pictures: Sequence | np.ndarray,
    condition: str = "clean",
    seed: int = 0,
    batch_size: int = 64,
    progress: bool = False,
    people: ArrayLike | None = None,
) -> np.ndarray:
    """Probability of ALL for each picture; no more than a batch is in memory.

    Parameters
    ----------
    model : keras.Model, or what `ship.inference.load` opens
        Takes raw pixels in [0, 255] and gives a softmax over (HEM, ALL).
    pictures : array of uint8, shape (N, size, size, 3)
        RGB; may be a memory map.
    condition : str
        What is done to the pictures first, as `conditions.batches` does it with the seed. Under
        "own-statistics" the batch normalisations take mean and variance of the person's own
        pictures, `MOST_PICTURES` of them at most, instead of those kept in training.
    people : array of shape (N,), optional
        Whose each picture is; "own-statistics" must know.

    Returns
    -------
    p_all : ndarray of float32, shape (N,)
        The mean over the condition's views. An ImageError for pictures that the model does not
        take, a ModelError where it gives no pair of probabilities.
    """
    check_range("batch size", batch_size, 1, MOST_PICTURES)
    if tuple(model.output_shape) != (None, 2):
        raise ModelError(
            f"model {model.name!r} gives {model.output_shape}, not one probability for each of "
            "HEM and ALL; use a model that ends in a softmax over two classes"
        )
    if condition == "own-statistics":
        return _by_own_statistics(model, pictures, people, batch_size)
    p_all = [np.empty(0, np.float32)]
    batches = conditions.batches(condition, pictures, seed, batch_size)
    total = -(-len(pictures) // batch_size)
    for views in tqdm(batches, "predict", total, unit="batch", disable=not progress):
        wanted, given = model.input_shape[1:], views[0].shape[1:]
        if any(a not in (None, b) for a, b in zip(wanted, given, strict=True)):
            raise ImageError(
                f"pictures of {given} for model {model.name!r}, which takes {tuple(wanted)}; "
                "prepare them with the image_size of its card"
            )
        p_all.append(np.mean([_ask(model, view) for view in views], axis=0))
    return np.concatenate(p_all)


def _by_own_statistics(model, pictures, people, batch_size):
    """As Schneider et al. (2020), one person at a time. The network is left as it was."""
    from keras.layers import BatchNormalization, Dropout  # an exported network needs no Keras

    if people is None:
        raise ConfigError("own-statistics: whose the pictures are is not said; name their people")
    layers = getattr(model, "layers", ())
    held = [(layer, "momentum") for layer in layers if isinstance(layer, BatchNormalization)]
    if not held:
        raise ModelError(
            f"model {model.name!r} has no batch normalisation; ask a network that Keras opens"
        )
    held += [(layer, "rate") for layer in layers if isinstance(layer, Dropout)]
    p_all, people = np.empty(len(pictures), np.float32), np.asarray(people)
    kept, before = model.get_weights(), [getattr(*one) for one in held]
    for layer, name in held:
        setattr(layer, name, 0.0)  # statistics become those of one batch, and chance drops nothing
    try:
        for person in np.unique(people):
            rows = np.flatnonzero(people == person)
            model(pictures[rows[:MOST_PICTURES]], training=True)
            p_all[rows] = predict(model, pictures[rows], batch_size=batch_size)
    finally:
        model.set_weights(kept)
        for (layer, name), value in zip(held, before, strict=True):
            setattr(layer, name, value)
    return p_all


def _ask(model, pictures):
    try:
        answers = np.asarray(model.predict_on_batch(pictures), np.float32)
    except Exception as error:  # of any of four runtimes
        raise ModelError(
            f"model {model.name!r} fails ({reason(error)}); export or copy it again"
        ) from error
    good = ((answers >= 0) & (answers <= 1)).all(axis=1)  # False for what is no number
    good &= np.abs(answers.sum(axis=1) - 1) <= _TOLERANCE
    if not good.all():
        raise ModelError(
            f"model {model.name!r} answers {answers[~good][0].tolist()}, which are no "
            "probabilities of HEM and ALL; its weights are broken: train or copy it again"
        )
    return answers[:, 1]
