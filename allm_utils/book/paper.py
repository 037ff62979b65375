"""What the paper prints, and what does not add up in it, from ``paper.yaml`` and ``errata.yaml``.

The constants hold the entries of those files, whose comments say where in the paper each stands and
in what unit. A misprint stands as printed.
"""

import re
from importlib import resources
from typing import Any

import yaml


def _load(name):
    text = resources.files("allm_utils.book").joinpath(name).read_text("utf-8")
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


_PAPER: dict[str, Any] = _load("paper.yaml")

TITLE = _PAPER["title"]
DOI = _PAPER["doi"]
CITATION = _PAPER["citation"]
CODE = _PAPER["code"]
HEADLINE = _PAPER["headline"]
DATASET = _PAPER["dataset"]
SPLIT_PERCENT = _PAPER["split_percent"]
IMAGE_SIZE = _PAPER["image_size"]
TRAIN_SIGMAS = tuple(_PAPER["train_sigmas"])
TEST_SIGMAS = tuple(_PAPER["test_sigmas"])
AUGMENTATION = _PAPER["augmentation"]
TABLE_1 = _PAPER["table_1"]
TABLE_2 = _PAPER["table_2"]
TABLE_3 = _PAPER["table_3"]
TABLE_3_NOTE = _PAPER["table_3_note"]
TABLE_4 = _PAPER["table_4"]
TABLE_4_NOTE = _PAPER["table_4_note"]
TABLE_5 = _PAPER["table_5"]
HYPERPARAMETERS = _PAPER["hyperparameters"]
TRAINING = _PAPER["training"]
TABLE_6 = _PAPER["table_6"]
TABLE_7 = _PAPER["table_7"]
TABLE_8 = _PAPER["table_8"]
TIME_PER_IMAGE_MS = _PAPER["time_per_image_ms"]
TABLE_9 = _PAPER["table_9"]
TABLE_10 = _PAPER["table_10"]
FOLD_0_CORRECT = _PAPER["fold_0_correct"]
ALNETT_TEXT = _PAPER["alnett_text"]
TABLE_11 = _PAPER["table_11"]
ENVIRONMENT = _PAPER["environment"]

ERRATA: list[dict[str, str]] = _load("errata.yaml")
"""What does not add up: ``where`` it stands, the ``finding``, and our ``reading`` of it."""


def errata(table: str) -> list[dict[str, str]]:
    """Entries of `ERRATA` on ``"Table 1"`` to ``"Table 11"``, or on no table: ``"Text"``."""
    return [erratum for erratum in ERRATA if table in _tables_named(erratum["where"])]


def _tables_named(where):
    spans = re.findall(r"Tables? (\d+)(?:(?:-| and )(\d+))?", where)
    numbers = [n for first, last in spans for n in range(int(first), int(last or first) + 1)]
    return [f"Table {number}" for number in numbers] or ["Text"]
