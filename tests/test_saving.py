"""Models that survive the disk, and files that are none: refused in one line, in little memory."""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
import safetensors.numpy

from allm_utils.data.cnmc import CLASSES
from allm_utils.errors import DataError, ModelError
from allm_utils.files import sha256
from allm_utils.network import models, saving

CARD = {"crop": 300, "record": "e/r", "people": ["1", "H6"]}
SETTINGS = {"image_size": 64, "alpha": 0.25, "weights": None, "scaling": "imagenet", "seed": 0}


@pytest.fixture(scope="module")
def small():
    """A network whose batch normalisation and head are not as they began."""
    model = models.build("mobilenet_m", SETTINGS)
    rng = np.random.default_rng(0)
    model.set_weights([w + 0.1 * rng.random(w.shape, np.float32) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3)).astype(np.uint8)


@pytest.fixture
def saved(small, tmp_path):
    return saving.save(small, tmp_path / "model.safetensors", CARD)


@pytest.fixture
def theirs(small, tmp_path):
    """A ``.keras`` file with a card that names no builder, as earlier versions wrote them."""
    path = tmp_path / "theirs.keras"
    small.save(path)
    card = {"image_size": 64, "crop": 300, "classes": list(CLASSES)}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def refused(function, *arguments, kind=ModelError):
    with pytest.raises(kind) as error:
        function(*arguments)
    return str(error.value)


def change_card(path, **changes):
    card = saving.card_path(path)
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))


# -- to the disk and back --------------------------------------------------------------------


@pytest.mark.parametrize("name", models.BUILDERS)
def test_every_network_comes_back(name, pixels, tmp_path):
    model = models.build(name, SETTINGS | {"dropout": 0.0, "l1": 0.01})
    loaded, card = saving.load(saving.save(model, tmp_path / "m.safetensors", CARD))
    assert card["builder"] == name and card["arguments"]["scaling"] == "imagenet"
    np.testing.assert_allclose(loaded(pixels), model(pixels), atol=5e-3)
    for one, other in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


def test_the_card_says_what_was_given_and_how_the_network_was_built(small, tmp_path):
    path = saving.save(small, tmp_path / "deep" / "model.safetensors", CARD | {"note": "é"})
    loaded, card = saving.load(path)
    assert card == CARD | {
        "note": "é",
        "builder": "mobilenet_m",
        "arguments": {
            "image_size": 64,
            "alpha": 0.25,
            "dropout": 0.5,
            "l1": 0.015,
            "scaling": "imagenet",
            "bn_momentum": 0.99,
        },
        "image_size": 64,
        "classes": ["HEM", "ALL"],
        "weights_sha256": sha256(path),
    }
    assert {str(v.dtype) for v in loaded.weights} == {"float32"} and not loaded.compiled
    assert sorted(p.name for p in path.parent.iterdir()) == ["model.json", "model.safetensors"]
    again = saving.save(loaded, tmp_path / "again.safetensors", CARD | {"note": "é"})
    assert again.read_bytes() == path.read_bytes()
    assert again.with_suffix(".json").read_text() == path.with_suffix(".json").read_text()


def test_weights_are_half_precision_under_their_layers_names(saved, small):
    weights = safetensors.numpy.load_file(saved)
    assert weights.keys() == {v.path for v in small.weights} and "conv1/kernel" in weights
    assert {values.dtype for values in weights.values()} == {np.dtype(np.float16)}
    assert saved.stat().st_size < 2.1 * small.count_params() + 20_000


def test_a_keras_file_with_a_card_opens(theirs, small, pixels):
    loaded, card = saving.load(theirs)
    assert card["crop"] == 300 and not loaded.compiled
    np.testing.assert_allclose(loaded(pixels), small(pixels), atol=1e-6)


def test_the_users_precision_does_not_change_what_is_loaded(saved, theirs):
    with models.precision("mixed_bfloat16"):
        for path in (saved, theirs):
            loaded, _ = saving.load(path)
            assert loaded.get_layer("conv_pw_1").compute_dtype == "float32"


@pytest.mark.parametrize(
    ("card", "name", "words"),
    [
        ({}, "m.safetensors", "crop"),
        (CARD | {"image_size": 32}, "m.safetensors", "image_size"),
        (CARD | {"classes": ["ALL", "HEM"]}, "m.safetensors", "classes"),
        (CARD, "m.keras", ".safetensors"),
    ],
)
def test_what_contradicts_the_model_is_not_saved(small, tmp_path, card, name, words):
    assert words in refused(saving.save, small, tmp_path / name, card)
    assert not list(tmp_path.iterdir())


def test_only_our_networks_and_only_numbers_are_saved(tmp_path):
    model = models.build("mobilenet_m", SETTINGS)
    model.layers[-1].bias.assign([1e6, 0.0])  # too large for half precision
    assert "half precision" in refused(saving.save, model, tmp_path / "m.safetensors", CARD)
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    assert "none of mobilenet_m" in refused(saving.save, other, tmp_path / "m.safetensors", CARD)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("full_at", [".safetensors", ".json"])
def test_a_full_disk_never_leaves_a_model_that_opens_wrongly(
    saved, small, tmp_path, monkeypatch, full_at
):
    before = saving.load(saved)[0].get_weights()
    other = models.build("mobilenet_m", SETTINGS | {"seed": 1})
    write = saving.write_whole

    def full(path, content):
        if path.suffix == full_at:
            raise DataError(f"{path}: cannot be written")
        return write(path, content)

    monkeypatch.setattr(saving, "write_whole", full)
    refused(saving.save, other, saved, CARD, kind=DataError)
    if full_at == ".safetensors":
        assert all(map(np.array_equal, saving.load(saved)[0].get_weights(), before))
    else:  # new weights under the old card
        assert "its card was written for" in refused(saving.load, saved)


# -- files that are none ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "card",
    [
        None,
        b"",
        b"{",
        b"[1, 2]",
        b"\xff\xfe",
        b"[" * 100_000,
        {"crop": 300, "classes": list(CLASSES)},
        {"image_size": 64, "crop": 300, "classes": ["ALL", "HEM"]},
        {"image_size": "64", "crop": 300, "classes": list(CLASSES)},
        {"image_size": 64, "crop": True, "classes": list(CLASSES)},
        {"image_size": 10**9, "crop": 300, "classes": list(CLASSES)},
        {"image_size": 64, "crop": None, "classes": list(CLASSES)},
    ],
)
def test_a_card_that_does_not_serve_is_named(saved, card):
    file = saving.card_path(saved)
    file.unlink()
    if card is not None:
        file.write_bytes(card if isinstance(card, bytes) else json.dumps(card).encode())
    assert "model.json" in refused(saving.load, saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"builder": "lenet"},
        {"builder": ["mobilenet_m"]},
        {"builder": "vgg16"},
        {"arguments": None},
        {"arguments": {}},
        {"arguments": {"image_size": 64, "alpha": 1e9}},
        {"arguments": {"image_size": 64, "alpha": "0.25"}},
        {"arguments": {"image_size": 64, "alpha": 0.25, "scaling": "imagenet"}},
        {"image_size": 32},
        {"weights_sha256": "0" * 64},
        {"weights_sha256": None},
    ],
)
def test_a_card_that_asks_for_another_network_is_refused(saved, changes):
    change_card(saved, **changes)
    message = refused(saving.load, saved)
    assert str(saved) in message and "cannot be loaded" in message


def test_a_card_of_another_width_and_weights_of_another_name_are_refused(saved):
    arguments = json.loads(saving.card_path(saved).read_text())["arguments"]
    change_card(saved, arguments=arguments | {"alpha": 0.5})
    assert "not those of mobilenet_m" in refused(saving.load, saved)
    weights = safetensors.numpy.load_file(saved)
    weights["conv_1/kernel"] = weights.pop("conv1/kernel")
    safetensors.numpy.save_file(weights, saved)
    change_card(saved, arguments=arguments, weights_sha256=sha256(saved))
    assert "not those of mobilenet_m" in refused(saving.load, saved)


def test_weights_that_are_no_numbers_are_refused(saved):
    weights = safetensors.numpy.load_file(saved)
    weights["conv1/kernel"][0] = np.nan
    safetensors.numpy.save_file(weights, saved)
    change_card(saved, weights_sha256=sha256(saved))
    assert "numbers" in refused(saving.load, saved)


def test_what_is_no_file_of_ours_is_refused(saved, tmp_path):
    assert "no such model" in refused(saving.load, tmp_path / "none.safetensors")
    assert "no such model" in refused(saving.load, tmp_path)
    moved = saved.rename(saved.with_suffix(".h5"))
    assert "give a .safetensors or .keras file" in refused(saving.load, moved)


# -- .keras files of others ------------------------------------------------------------------


def rewritten(path, **entries):
    """Replace entries of a ``.keras`` archive by functions of their bytes."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            change = entries.get(name.split(".")[0], lambda same: same)
            archive.writestr(name, change(content))


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (lambda x: keras.layers.Dense(3)(x), "its card says 64 pixels"),
        (lambda x: keras.layers.Dense(2)(keras.layers.Lambda(lambda x: 2 * x)(x)), "Lambda"),
    ],
)
def test_a_model_of_another_shape_or_that_runs_code_is_refused(theirs, last, said):
    """Safe mode: a Lambda layer would execute what its author wrote."""
    inputs = keras.Input((64, 64, 3))
    features = keras.layers.GlobalAveragePooling2D()(inputs)
    keras.Model(inputs, last(features)).save(theirs)
    message = refused(saving.load, theirs)
    assert str(theirs) in message and said in message


def widened(config):
    """Ask for a head of 10^9 columns."""
    return config.replace(b'"units": 2', b'"units": 1000000000')


def hollow(_):
    """Weights that claim 40 GB and hold none."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("layers/x/vars/0", (10**5, 10**5), "f4", chunks=(100, 100))
    return buffer.getvalue()


def elsewhere(kind):
    """Weights that stand in another file of the machine."""

    def change(content):
        with h5py.File(buffer := io.BytesIO(content), "r+") as file:
            names = []
            file.visit(lambda name: names.append(name) if name.endswith("vars/0") else None)
            shape = file[names[0]].shape
            del file[names[0]]
            if kind == "link":
                file[names[0]] = h5py.ExternalLink("/etc/hostname", "x")
            else:
                file.create_dataset(names[0], shape, "f4", external=[("/etc/hostname", 0, 10**6)])
        return buffer.getvalue()

    return change


@pytest.mark.parametrize("kind", ["link", "dataset"])
def test_a_model_that_reads_other_files_is_refused(theirs, kind):
    """Keras before 3.13.2 reads them."""
    rewritten(theirs, model=elsewhere(kind))
    assert "in another file" in refused(saving.load, theirs)


@pytest.mark.parametrize(
    "entries",
    [
        {"config": widened},
        {"model": hollow},
        {"metadata": lambda _: bytes(saving.MOST_BYTES)},
    ],
)
def test_a_model_that_asks_for_too_much_memory_is_refused_before_it_gets_it(theirs, entries):
    resource = pytest.importorskip("resource")
    rewritten(theirs, **entries)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "more than 256" in refused(saving.load, theirs)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # kB
