"""Inputs changed in every way: a good answer, or one line, and soon; for every reader.

A share of the 13,500 is tried with every test; ``make soak`` tries them all.
"""

import contextlib
import gzip
import hashlib
import inspect
import io
import json
import math
import os
import shutil
import signal
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from allm_utils import cli
from allm_utils.book import scorecard
from allm_utils.data import cnmc, images, leaks
from allm_utils.errors import AllmError, ImageError
from allm_utils.files import sha256
from allm_utils.judge import conditions
from allm_utils.judge.predict import predict
from allm_utils.network import models, recipe, saving, training
from allm_utils.runs import experiment, measures, probe, records, sweep
from allm_utils.runs.config import ExperimentConfig, ProbeConfig, configured
from allm_utils.ship import inference

FULL = os.environ.get("ALLM_SOAK") == "1"
SHARE = 1 if FULL else 25
SECONDS = 20
"""Of the processors, that any input may take; by the clock more, because a machine may be busy."""

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars | st.sampled_from([10**30, -1, 0, "é\udcff", "a\nb", "../x", "0" * 64, [], {}]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


EACH = []
"""How many inputs the tests try."""


def mutated(number):
    """Try a test with so many inputs, always the same, drawn from ``data``."""
    EACH.append(number)
    how = settings(
        max_examples=-(-number // SHARE),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: how(seed(0)(given(data=st.data())(test)))


@st.composite
def changed(draw, content: bytes):
    """Bytes cut off, changed, put in or taken out at some places."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        how = draw(st.sampled_from(["cut", "change", "change", "change", "insert", "remove"]))
        near = draw(st.sampled_from([64, 1024, 1 << 40]))  # headers matter most
        at = draw(st.integers(0, max(0, min(near, len(content) - 1))))
        some = draw(st.binary(min_size=1, max_size=8))
        if how == "cut":
            del content[at:]
        elif how == "change":
            content[at : at + len(some)] = some[: len(content) - at]
        elif how == "insert":
            content[at:at] = some
        else:
            del content[at : at + len(some)]
    return bytes(content)


@st.composite
def restructured(draw, document):
    """A JSON document with one or two of its values replaced, removed or moved."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 2))):
        node = document
        while isinstance(node, dict | list) and len(node):
            keys = sorted(node) if isinstance(node, dict) else range(min(len(node), 5))
            key = draw(st.sampled_from(keys))
            child = node[key]
            if isinstance(child, dict | list) and len(child) and draw(st.integers(0, 2)):
                node = child
                continue
            if draw(st.integers(0, 4)):
                node[key] = draw(values)
            else:
                del node[key]
            break
    return draw(st.just(document) | values) if draw(st.integers(0, 9)) == 0 else document


def either(content: bytes):
    """A JSON file of another structure, or with other bytes."""
    return restructured(json.loads(content)).map(told) | changed(content)


@contextlib.contextmanager
def in_a_line():
    """Only an error of ours may come out, of one line, and within the time."""

    def hang(*_):
        raise AssertionError(f"takes over {SECONDS} s")

    signal.signal(signal.SIGPROF, hang)
    signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(15 * SECONDS)
    try:
        yield
    except AllmError as error:
        assert str(error).strip() and "\n" not in str(error).strip()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)


@contextlib.contextmanager
def spoilt(path, content):
    """A file with other bytes, for a while, which its reader takes or refuses in a line."""
    before = path.read_bytes()
    try:
        path.write_bytes(content)
        with in_a_line():
            yield
    finally:
        path.write_bytes(before)


def told(document):
    """As JSON; NaN and the like as Python writes them."""
    return json.dumps(document).encode()


# -- files that others write ------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mutants")


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return tmp_path_factory.mktemp("others")


LABELS = "C-NMC_test_prelim_phase_data_labels.csv"
TEXTS = {
    LABELS: "Patient_ID,new_names,labels\n"
    "UID_57_29_1_all.bmp,1.bmp,1\nUID_H31_2_1_hem.bmp,2.bmp,0\n",
    "split.csv": "file,part,subject\nUID_11_1_1_all.bmp,train,11\nUID_H11_1_1_hem.bmp,test,H11\n",
    "study.toml": '[[runs]]\nexperiment = "e"\nmodel = "area"\nfolds = [0]\neach.seed = [1, 2]\n',
    "cells.txt": "cell.png\ncell.jpg\ncells.txt\n",  # a list that names itself
}


@pytest.fixture(scope="module")
def examples(others):
    """A good file of each kind, as bytes by name; pictures and archives hold one cell."""
    for cell in ("1.bmp", "2.bmp"):
        path = others / "C-NMC_test_prelim_phase_data" / cell
        path.parent.mkdir(exist_ok=True)
        path.touch()
    picture = np.zeros((44, 48, 3), np.uint8)
    picture[9:35, 9:35] = np.random.default_rng(0).integers(60, 200, (26, 26, 3))
    for suffix in ("bmp", "jpg", "webp", "png"):
        Image.fromarray(picture).save(others / f"cell.{suffix}")
    (others / "packing").mkdir()
    shutil.copy(others / "cell.png", others / "packing")
    for kind in ("zip", "tar", "gztar"):
        shutil.make_archive(str(others / "cells"), kind, others / "packing")
    data = Path(cnmc.__file__).parent
    shutil.copy(next((data / "weights").glob("*.h5")), others / "weights.h5")
    cell = min((data / "cells").glob("*all.webp"), key=os.path.getsize)
    published = cnmc.shipped_index()["path"]
    (path,) = published[published.str.contains(f"/{cell.stem}.", regex=False)]
    with zipfile.ZipFile(others / "packed.zip", "w") as file:
        file.writestr(path.replace(".bmp", ".webp"), cell.read_bytes())
    found = {path.name: path.read_bytes() for path in others.iterdir() if path.is_file()}
    return found | {name: text.encode() for name, text in TEXTS.items()}


def a_picture(path):
    picture = images.prepare(path, 32, 40)
    assert picture.shape == (32, 32, 3) and picture.dtype == np.uint8


def a_tree(path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(path.parent / "unpacked"))
        cnmc.summary(cnmc.index(path if path.suffix == ".zip" else path.parent))
    shutil.rmtree(path.parent / "unpacked", ignore_errors=True)


def cells(path):
    for one in inference.listed(path):
        with contextlib.suppress(ImageError):
            assert isinstance(one, ImageError) or images.prepare(one, 32, 40).any()


def weights(path):
    models.build("mobilenet_m", {"image_size": 32, "alpha": 0.25, "weights": path})


READERS = {
    **dict.fromkeys(("cell.bmp", "cell.png", "cell.jpg", "cell.webp"), (1000, a_picture)),
    LABELS: (500, a_tree),
    "split.csv": (500, leaks.report),
    "study.toml": (500, sweep.expand),
    "packed.zip": (200, a_tree),
    **dict.fromkeys(("cells.zip", "cells.tar", "cells.tar.gz", "cells.txt"), (100, cells)),
    "weights.h5": (100, weights),
}
"""How many files are tried of each kind, and what reads it."""


@pytest.mark.parametrize("name", READERS)
def test_what_others_write(others, examples, name):
    number, reader = READERS[name]

    @mutated(number)
    def tried(data):
        (others / name).write_bytes(data.draw(changed(examples[name])))
        with in_a_line():
            reader(others / name)

    tried()
    (others / name).write_bytes(examples[name])


# -- models -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(folder):
    network = models.build("mobilenet_m", {"image_size": 32, "alpha": 0.25, "weights": None})
    saving.save(network, folder / "m.safetensors", {"crop": 40, "people": ["1"]})
    card = json.loads((folder / "m.json").read_text())
    inputs = keras.Input((32, 32, 3), name="pixels")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(inputs))
    x = keras.layers.Dense(2, activation="softmax")(keras.layers.BatchNormalization()(x))
    keras.Model(inputs, x).save(folder / "theirs.keras")
    return {
        "card": card,
        "theirs": {key: card[key] for key in ("image_size", "crop", "classes")},
        "weights": (folder / "m.safetensors").read_bytes(),
        "keras": (folder / "theirs.keras").read_bytes(),
    }


@pytest.fixture(scope="module")
def asked():
    return np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)


def answers(path, asked):
    """A model that opens answers with probabilities, or says that it cannot."""
    network, _ = inference.load(path)
    p_all = predict(network, asked)
    assert ((p_all >= 0) & (p_all <= 1)).all()


@pytest.fixture(scope="module")
def place(folder):
    def place(name, content, card):
        (folder / name).write_bytes(content)
        path = saving.card_path(folder / name)
        path.write_bytes(card if isinstance(card, bytes) else told(card))
        return folder / name

    return place


@mutated(500)
def test_cards(place, model, asked, data):
    with in_a_line():
        card = data.draw(either(told(model["card"])))
        answers(place("c.safetensors", model["weights"], card), asked)


@mutated(400)
def test_weights_with_the_hash_that_their_card_says(place, model, asked, data):
    content = data.draw(changed(model["weights"]))
    path = place("w.safetensors", content, b"{}")
    with in_a_line():
        answers(place(path.name, content, model["card"] | {"weights_sha256": sha256(path)}), asked)


@mutated(300)
def test_keras_files(place, model, asked, data):
    with in_a_line():
        answers(place("k.keras", data.draw(changed(model["keras"])), model["theirs"]), asked)


@mutated(300)
def test_keras_files_of_another_structure(folder, model, asked, data):
    path = folder / "s.keras"
    saving.card_path(path).write_bytes(told(model["theirs"]))
    with zipfile.ZipFile(folder / "theirs.keras") as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                content = told(data.draw(restructured(json.loads(content))))
            target.writestr(name, content)
    with in_a_line():
        answers(path, asked)


@mutated(200)
def test_exported_models(place, model, asked, data):
    suffix = data.draw(st.sampled_from([".tflite", ".onnx"]))
    card = model["card"] | {"file_sha256": "0" * 64}
    with in_a_line():
        answers(place(f"m{suffix}", data.draw(st.binary(max_size=500)), card), asked)


@pytest.fixture(scope="module", params=["probe_handmade", "area"])
def saved_probe(request, folder):
    """Card and arrays of a probe that has learned from noise: trees, and what is linear."""
    rng, name = np.random.default_rng(0), request.param
    config = ProbeConfig(model=name, image_size=32)
    values = probe._reader(name, 32, None)(rng.integers(0, 256, (60, 32, 32, 3)).astype(np.uint8))
    classifier = probe.fit(config, values, np.arange(60) % 2)
    card = {"image_size": 32, "crop": 40, "weights": None}
    path = probe.save(name, classifier, folder / "p.safetensors", card)
    return json.loads(saving.card_path(path).read_text()), path.read_bytes()


@mutated(200)
def test_cards_of_probes(place, saved_probe, asked, data):
    card, content = saved_probe
    with in_a_line():
        answers(place("q.safetensors", content, data.draw(either(told(card)))), asked)


@mutated(200)
def test_probes_with_the_hash_that_their_card_says(place, saved_probe, asked, data):
    card, content = saved_probe[0], data.draw(changed(saved_probe[1]))
    path = place("q.safetensors", content, b"{}")
    with in_a_line():
        answers(place(path.name, content, card | {"weights_sha256": sha256(path)}), asked)


@mutated(100)
def test_odd_cells_that_are_measured(data):
    places = st.lists(st.integers(0, 64 * 64 - 1), min_size=1, max_size=400)
    picture = np.zeros((1, 64, 64, 3), np.uint8)
    for colour in data.draw(
        st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=3)
    ):
        picture[0].reshape(-1, 3)[data.draw(places)] = np.maximum(colour, (1, 0, 0))
    for measure in (measures.handmade_features, measures.fine_features):
        with in_a_line():
            assert np.isfinite(measure(picture).to_numpy()).all()


# -- records ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(folder):
    """A results folder of one record, the smallest that ships."""
    packed = min(records.RESULTS.glob("probe/area-paper-*.csv.gz"), key=os.path.getsize)
    table = folder / "results" / "probe" / packed.stem
    table.parent.mkdir(parents=True)
    table.write_bytes(gzip.decompress(packed.read_bytes()))
    shutil.copy(packed.with_suffix("").with_suffix(".json"), table.parent)
    return table


def looked_at(results):
    runs = records.Runs.load(results.parents[1])
    assert all(math.isfinite(value) for value in runs.one().metrics().values())
    scorecard.lines("Table 6", scorecard.scorecard(runs))


@mutated(1500)
def test_records(results, data):
    path = results.with_suffix(".json")
    with spoilt(path, data.draw(either(path.read_bytes()))):
        looked_at(results)


@mutated(800)
def test_tables_of_answers_with_the_hash_that_their_record_says(results, data):
    path, content = results.with_suffix(".json"), data.draw(changed(results.read_bytes()))
    about = json.loads(path.read_bytes()) | {"answers": hashlib.sha256(content).hexdigest()}
    with spoilt(results, content), spoilt(path, told(about)):
        looked_at(results)


@mutated(200)
def test_the_record_of_people_from_outside(folder, data):
    (folder / "outside").mkdir(exist_ok=True)
    for suffix, how in ((".json", changed), (".csv.gz", st.just)):
        content = (records.RESULTS / "outside" / f"outside{suffix}").read_bytes()
        (folder / "outside" / f"outside{suffix}").write_bytes(data.draw(how(content)))
    with in_a_line():
        records.outside(folder)


# -- runs -------------------------------------------------------------------------------------


@mutated(300)
def test_notes_of_a_run(folder, data):
    made_with = {"learning_rate": 0.1, "weights": None, "data": {"n_images": 3}}
    note = {"made_with": made_with, "processes": [{"epochs": 1, "seconds": 2.0}]}
    (folder / "run.json").write_bytes(data.draw(either(told(note))))
    with in_a_line():
        experiment._Note(folder, made_with, resume=True)


@pytest.fixture(scope="module")
def checkpoint(folder):
    """A folder with the checkpoint of a run of two epochs, and how to go on with it."""
    rng = np.random.default_rng(0)
    part = rng.integers(0, 256, (8, 8, 8, 3)).astype(np.uint8), np.arange(8) % 2
    place = folder / "run"
    place.mkdir()

    def go(resume=True):
        network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
        network.add(keras.layers.Dense(2, activation="softmax"))
        config = training.TrainingConfig(epochs=2)
        train = training.TrainingData(*part, config)
        return training.fit(network, train, part, config, place, resume, progress=False)

    go(resume=False)
    return place / training.CHECKPOINT, go


@mutated(100)
def test_checkpoints(checkpoint, data):
    path, go = checkpoint
    content = data.draw(changed(path.read_bytes()))
    if data.draw(st.booleans()):
        with np.load(path) as found:
            arrays = dict(found)
        counters = json.loads(str(arrays["counters"]))
        counters["stopped"] = True  # what is read is to be tried, not training
        arrays["counters"] = np.array(json.dumps(data.draw(restructured(counters))))
        if data.draw(st.booleans()):
            name = data.draw(st.sampled_from(sorted(set(arrays) - {"counters"})))
            arrays[name] = data.draw(st.sampled_from([np.zeros(3), np.array("x"), arrays["v0"]]))
        np.savez(buffer := io.BytesIO(), **arrays)
        content = buffer.getvalue()
    with spoilt(path, content):
        go()


OPTIONS = {f.name: kind for f, kind, _ in cli._settings(ExperimentConfig)}
NUMBERS = [name for name, kind in OPTIONS.items() if kind in (int, float, int | None)]


@mutated(600)
def test_numbers_of_every_option(data):
    name = data.draw(st.sampled_from(NUMBERS))
    number = data.draw(st.floats() if OPTIONS[name] is float else st.integers())
    with in_a_line():
        given_ = type(cli._options(ExperimentConfig))(**{name: number})
        config = configured(ExperimentConfig, vars(given_))
        if name in inspect.signature(models.mobilenet_m).parameters and name != "image_size":
            models.build(config.model, config.values() | {"weights": None, "image_size": 32})


# -- caches and tables ------------------------------------------------------------------------


@mutated(300)
def test_remembered_hashes(others, examples, data):
    path, cache = others / "cell.png", others / "cache"
    expected = images.digests([path], cache)
    (memory,) = cache.glob("digests-*.json")
    with spoilt(memory, data.draw(either(memory.read_bytes()))):
        images.digests([path], cache)
    assert images.digests([path], cache) == expected


@mutated(300)
def test_cached_pictures(others, examples, data):
    path, cache = others / "cell.png", others / "cache"
    expected = np.array(images.load([path], 32, 40, cache, progress=False))
    (kept,) = cache.glob("images-*.npy")
    before = kept.read_bytes()
    with spoilt(kept, data.draw(changed(before[:128])) + before[128:]):
        assert images.load([path], 32, 40, cache, progress=False).shape == expected.shape


ANSWERS = "file,p_all,label,note\na.png,0.500000,ALL,\nb.png,0.250000,HEM,\n"


@mutated(200)
def test_answers_to_go_on_with(folder, data):
    path, content = folder / "answers.csv", data.draw(changed(ANSWERS.encode()))
    path.write_bytes(content)
    with in_a_line():
        inference._Csv(path)
        assert content.startswith(path.read_bytes())
        return
    assert path.read_bytes() == content, "what is refused is left alone"


def test_answers_with_a_line_end_of_old_in_a_row(folder):
    path = folder / "old.csv"
    path.write_bytes(ANSWERS.encode() + b"a\rb.bmp,0.5,ALL,\n")
    with pytest.raises(AllmError, match="not answers"):
        inference._Csv(path)


NAMES = st.sampled_from(
    ["fold_0", "fold0", "fold_300", "all", "hem", "HEM", "C-NMC_test_final_phase_data", "a b"]
) | st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1,
            max_size=9)  # fmt: skip
FILES = st.sampled_from(
    ["UID_1_1_1_all.bmp", "UID_H1_1_1_hem.bmp", "UID_11_10_1_all.bmp", "1.bmp", "._a.bmp",
     "\udcff.bmp", "labels_prelim_labels.csv", "é .bmp", "UID_999999999_1_1_all.BMP"]
)  # fmt: skip


@mutated(500)
def test_trees(folder, data):
    root = folder / "tree"
    shutil.rmtree(root, ignore_errors=True)
    for _ in range(data.draw(st.integers(1, 5))):
        parts = data.draw(st.lists(NAMES, min_size=1, max_size=3))
        with contextlib.suppress(OSError, ValueError):  # names that this disk does not take
            place = root.joinpath(*(p for p in parts if p not in (".", "..")))
            place.mkdir(parents=True, exist_ok=True)
            (place / data.draw(FILES)).touch()
    with in_a_line():
        frame = cnmc.index(root)
        cnmc.summary(frame)
        images.fingerprint(frame, folder / "cache")
    with in_a_line():
        cnmc.verify(root, progress=False)


@mutated(300)
def test_pictures_given_as_arrays(data):
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4) | st.just([2, 9, 9, 3]))
    pictures = np.zeros(shape, data.draw(st.sampled_from(["u1", "f4", "f8", "i8", "bool", "<U1"])))
    augment = partial(recipe.Augmenter(), rng=np.random.default_rng(0))
    for function in (probe.area, recipe.desaturate, partial(conditions.apply, "noise:3"), augment):
        with in_a_line():
            function(pictures)


TRIED = sum(EACH) + sum(number for number, _ in READERS.values())


def test_readme_promises_what_is_tried(root):
    assert f"Of {TRIED:,} broken" in (root / "README.md").read_text(encoding="utf-8")
