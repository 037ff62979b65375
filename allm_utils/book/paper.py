"""What the paper prints, and what does not add up in it, from ``paper.yaml`` and ``errata.yaml``.

The constants, as `TABLE_1`, are the entries of ``paper.yaml``, whose comments say where each stands
in the paper and in what unit. A misprint stands as printed.
"""

import re
from importlib import resources
from typing import Any

import yaml


def _load(name):
    text = resources.files("allm_utils.book").joinpath(name).read_text("utf-8")
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


_PAPER: dict[str, Any] = _load("paper.yaml")

ERRATA: list[dict[str, str]] = _load("errata.yaml")
"""What does not add up: ``where`` it stands, the ``finding``, and our ``reading`` of it."""


def __getattr__(name: str) -> Any:
    """The entry of ``paper.yaml`` whose name in capitals this is."""
    if name.isupper() and name.lower() in _PAPER:
        return _PAPER[name.lower()]
    raise AttributeError(name)


def errata(table: str) -> list[dict[str, str]]:
    """Entries of `ERRATA` on ``"Table 1"`` to ``"Table 11"``, or on no table: ``"Text"``."""
    return [erratum for erratum in ERRATA if table in _tables_named(erratum["where"])]


def _tables_named(where):
    spans = re.findall(r"Tables? (\d+)(?:(?:-| and )(\d+))?", where)
    numbers = [n for first, last in spans for n in range(int(first), int(last or first) + 1)]
    return [f"Table {number}" for number in numbers] or ["Text"]
