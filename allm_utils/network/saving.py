"""Models on disk: weights and, beside them, the card that says how to build and feed them.

NAME.safetensors holds the weights in half precision, NAME.json the card. A ``.keras`` file with a
card opens too, in Keras' safe mode.
"""

import io
import json
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

import h5py
import keras
import numpy as np
import safetensors.numpy

from allm_utils.data.cnmc import CLASSES
from allm_utils.errors import DataError, ModelError, reason
from allm_utils.files import check_writable, sha256, write_whole
from allm_utils.network.models import BUILDERS, LARGEST, build, precision

MOST_BYTES = 1 << 28
"""No model may take more memory, 256 MB; the largest network here takes a third."""


def card_path(path: str | os.PathLike) -> Path:
    """Name the card of a model: NAME.json, but NAME.tflite.json for exports and the like."""
    path = Path(path)
    ours = path.suffix in (".safetensors", ".keras")
    return path.with_suffix(".json") if ours else Path(f"{path}.json")


def read_card(path: str | os.PathLike) -> dict:
    """Read the card of a model file: ``image_size``, ``crop``, ``classes`` and what else was saved.

    A ModelError where it is missing or broken, or of another class order.
    """
    card_file = card_path(path)
    try:
        card = json.loads(card_file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise ModelError(
            f"{path}: its card {card_file.name} is missing or broken, so crop, size and class "
            "order are unknown; keep the two files together"
        ) from None
    card = card if isinstance(card, dict) else {}
    size, crop = card.get("image_size"), card.get("crop")
    share = type(crop) is float and 0 < crop < 1
    sides = (size,) if share else (size, crop)
    fits = all(type(side) is int and 0 < side <= LARGEST for side in sides)
    people = card.get("people", [])
    fits &= isinstance(people, list) and all(isinstance(person, str) for person in people)
    if not fits or card.get("classes") != list(CLASSES):
        raise ModelError(
            f"{card_file}: needs image_size and crop, up to {LARGEST} pixels, classes "
            f"{list(CLASSES)} and people by name; take the card that was saved with the model"
        )
    return card


def check_place(path: Path, records: Path) -> None:
    """Make sure, before hours of training, that a model can be saved there; else a DataError."""
    check_writable(path.parent)
    if path.is_dir() or card_path(path).is_dir():
        raise DataError(f"{path}: a folder is there; give the model another name")
    if path.parent.resolve() == records.resolve():
        raise DataError(f"{path}: its card would stand among the records; give another folder")


def save(model: keras.Model, path: str | os.PathLike, card: dict) -> Path:
    """Write a network of `models`: weights first, then the card that makes them count.

    `card` needs ``crop``; ``record``, ``people`` and more may be given. Builder, arguments, image
    size, class order and the weights' sha256 are added. A ModelError where the two contradict each
    other, or not all weights are numbers.
    """
    path, built = Path(path), getattr(model, "built_with", None)
    if path.suffix != ".safetensors":
        raise ModelError(f"{path}: models are saved as .safetensors; give such a name")
    if built is None:
        raise ModelError(f"{path}: {model.name} is none of {', '.join(BUILDERS)}; save one of them")
    size = built["arguments"]["image_size"]
    known = {**built, "image_size": size, "classes": list(CLASSES)}
    wrong = [key for key in known if card.get(key, known[key]) != known[key]]
    if wrong or "crop" not in card:
        raise ModelError(
            f"{path}: the card lacks crop or has another {', '.join(wrong or ['crop'])} than the "
            "model; mend it"
        )
    weights = {v.path: keras.ops.convert_to_numpy(v).astype(np.float16) for v in model.weights}
    if not _finite(weights.values()):
        raise ModelError(f"{path}: not all weights are numbers in half precision; train again")
    return write(path, weights, known | card)


def write(path: Path, arrays: dict[str, np.ndarray], card: dict) -> Path:
    """Write arrays, and then the card that makes them count, by their file's sha256."""
    write_whole(path, safetensors.numpy.save(arrays))
    card = card | {"weights_sha256": sha256(path)}
    write_whole(card_path(path), json.dumps(card, indent=2) + "\n")
    return path


def arrays(path: Path, card: dict) -> dict[str, np.ndarray]:
    """Read what `write` wrote; a ValueError for other bytes than those of the card."""
    if sha256(path) != card["weights_sha256"]:
        raise ValueError("its bytes are not those that its card was written for")
    return safetensors.numpy.load_file(path)


def load(path: str | os.PathLike) -> tuple[keras.Model, dict]:
    """Open a saved model with its card, as `read_card`; nothing that it holds is run.

    The model is not compiled, in float32, ready to predict. A ModelError where the file is not a
    model, is broken or too large, or does not fit its card.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such model; check the path")
    opened = {".safetensors": _load_ours, ".keras": _load_keras}.get(path.suffix)
    if opened is None:
        raise ModelError(f"{path}: not a model of ours; give a .safetensors or .keras file")
    card = read_card(path)
    if "probe" in card:
        raise ModelError(f"{path}: a probe, and no network; give a network")
    try:
        check_size(path.stat().st_size)
        with precision("float32"):
            model = opened(path, card)
        size = card["image_size"]
        if (model.input_shape, model.output_shape) != ((None, size, size, 3), (None, 2)):
            raise ValueError(
                f"its card says {size} pixels, but it takes {model.input_shape[1:]} and gives "
                f"{model.output_shape[1:]}"
            )
    except Exception as error:  # Keras, zip, HDF5 and others raise many kinds for a broken file
        raise ModelError(
            f"{path}: cannot be loaded ({reason(error)}); train or copy it again"
        ) from None
    return model, card


def _load_ours(path: Path, card: dict) -> keras.Model:
    missing = {"builder", "arguments", "weights_sha256"} - card.keys()
    if missing:
        raise ValueError(f"its card lacks {', '.join(sorted(missing))}")
    weights = arrays(path, card)
    model = build(card["builder"], {**card["arguments"], "weights": None})
    shapes = {v.path: tuple(v.shape) for v in model.weights}
    if model.built_with["arguments"] != card["arguments"]:
        raise ValueError(f"its card's arguments are not those of {card['builder']}")
    if shapes != {name: values.shape for name, values in weights.items()}:
        raise ValueError(f"its weights are not those of {card['builder']} as its card says")
    if not _finite(weights.values()):
        raise ValueError("not all its weights are numbers")
    for variable in model.weights:
        variable.assign(weights[variable.path].astype(np.float32))
    return model


def _load_keras(path: Path, card: dict) -> keras.Model:
    with zipfile.ZipFile(path) as archive:
        check_size(sum(entry.file_size for entry in archive.infolist()))
        config = json.loads(archive.read("config.json"))
        weights = io.BytesIO(archive.read("model.weights.h5"))
    config.pop("compile_config", None)
    with keras.StatelessScope(initialize_variables=False):  # nothing takes memory in it
        plan = keras.saving.deserialize_keras_object(config, safe_mode=True)
    check_size(4 * plan.count_params())
    nodes = []
    with h5py.File(weights) as file:
        file.visititems_links(lambda _, link: nodes.append(link))
        file.visititems(lambda _, node: nodes.append(node))
        if any(isinstance(n, h5py.ExternalLink) or getattr(n, "external", None) for n in nodes):
            raise ValueError("its weights are in another file")
        check_size(sum(getattr(node, "nbytes", 0) for node in nodes))
    model = keras.models.load_model(path, compile=False, safe_mode=True)
    if not _finite(map(keras.ops.convert_to_numpy, model.weights)):
        raise ValueError("not all its weights are numbers")
    return model


def check_size(found: int) -> None:
    """Refuse, by a ValueError, what asks for more than `MOST_BYTES`."""
    if found > MOST_BYTES:
        raise ValueError(f"it asks for {found >> 20} MB, more than {MOST_BYTES >> 20}")


def _finite(weights: Iterable[np.ndarray]) -> bool:
    return all(np.isfinite(values).all() for values in weights)
