"""What every test may ask for, and when its absence is a skip and when a failure."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes share two cores
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import cv2
import numpy as np

from allm_utils.book import scorecard
from allm_utils.data import sample
from allm_utils.errors import AllmError
from allm_utils.runs import store
from allm_utils.runs.records import Runs

ROOT = Path(__file__).resolve().parents[1]
EXECUTED = ROOT / "work" / "executed"
HTML = EXECUTED / "_build" / "html"

THERE = {
    "book": lambda: (HTML / "index.html").exists(),
    "executed": lambda: EXECUTED.exists(),
    "chromium": lambda: shutil.which("chromium") or shutil.which("chromium-browser"),
    **{
        name: lambda name=name: importlib.util.find_spec(name)
        for name in ("jax", "torch", "ray", "submitit", "pyarrow")
    },
}


DEAR = ("training", "kills", "export", "benchmarks", "sweep", "models", "experiment", "cli")


def pytest_collection_modifyitems(items):
    """Put the dearest files first: then the two processes of a run end together."""
    items.sort(key=lambda item: item.path.stem.removeprefix("test_") not in DEAR)


def pytest_runtest_setup(item):
    required = os.environ.get("ALLM_REQUIRE", "").split(",")
    for marker in item.iter_markers("needs"):
        (name,) = marker.args
        if not THERE[name]():
            (pytest.fail if name in required else pytest.skip)(f"{name} is not here")


@pytest.fixture(autouse=True, scope="session")
def one_line():
    """Every error of ours, in any test, is one line."""

    def init(self, *said):
        assert "\n" not in str(said[0])
        Exception.__init__(self, *said)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AllmError, "__init__", init)
        yield


@pytest.fixture(autouse=True, scope="module")
def forgotten():
    """What Keras remembers of one file's networks would fill the memory."""
    yield
    if keras := sys.modules.get("keras"):
        keras.backend.clear_session()


@pytest.fixture(scope="session")
def work(request, tmp_path_factory):
    """Where all tests, in whatever process, keep the sample and what they compute from it."""
    place = tmp_path_factory.getbasetemp()
    return (place.parent if hasattr(request.config, "workerinput") else place) / "work"


@pytest.fixture(scope="session")
def tree(work):
    """The sample as files; no test may change it."""
    return sample.root(work)


def small(weights=None, image_size=32, seed=None):
    """Stand in for a network where only the bookkeeping is tested."""
    import keras

    keras.utils.set_random_seed(seed or 0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((image_size, image_size, 3), name="pixels"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 5, strides=4, activation="relu", name="convolution"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(2, activation="softmax", name="prediction"),
        ],
        name="small",
    )
    model.built_with = {"builder": "small", "arguments": {"image_size": image_size}}
    return model


@pytest.fixture(scope="module")
def stand_in():
    """A network by the name of "small", which trains in a second."""
    from allm_utils.network import models

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.BUILDERS, "small", small)
        patch.setitem(store.PARAMETERS, ("small", 1.0), models.parameters(small()))
        yield


@pytest.fixture(scope="session")
def runs():
    """The records that ship."""
    return Runs.load()


@pytest.fixture(scope="session")
def card(runs):
    """The scorecard of the records that ship."""
    return scorecard.scorecard(runs)


@pytest.fixture(scope="session")
def discs():
    """Two discs, a large and a small one, off the middle."""
    pictures = np.zeros((2, 64, 64, 3), np.uint8)
    cv2.circle(pictures[0], (28, 34), 20, (90, 40, 120), -1)
    cv2.circle(pictures[1], (36, 30), 10, (60, 30, 100), -1)
    rng = np.random.default_rng(0)
    inside = pictures.any(axis=-1, keepdims=True)
    return (pictures + inside * rng.integers(-15, 15, pictures.shape)).astype(np.uint8)


@pytest.fixture(scope="session")
def root():
    """Folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def html():
    """Folder of the book that ``make test`` builds from the executed notebooks."""
    return HTML
