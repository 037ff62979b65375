"""What every test may ask for, and when its absence is a skip and when a failure."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "work" / "executed" / "_build" / "html"

THERE = {
    "book": lambda: (HTML / "index.html").exists(),
    "chromium": lambda: shutil.which("chromium") or shutil.which("chromium-browser"),
    "jax": lambda: importlib.util.find_spec("jax"),
    "torch": lambda: importlib.util.find_spec("torch"),
}


def pytest_runtest_setup(item):
    required = os.environ.get("ALLM_REQUIRE", "").split(",")
    for marker in item.iter_markers("needs"):
        (name,) = marker.args
        if not THERE[name]():
            (pytest.fail if name in required else pytest.skip)(f"{name} is not here")


@pytest.fixture(scope="session")
def root():
    """Folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def html():
    """Folder of the book that ``make test`` builds from the executed notebooks."""
    return HTML
