"""The figures of the book: each draws what it was given, and follows light and dark."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from allm_utils.book import figures

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1], [20, 30])
P_ALL = np.clip(RNG.normal(0.3 + 0.4 * LABELS, 0.2), 0, 1)
HISTORY = {
    "loss": [1.0, 0.7, 0.5],
    "accuracy": [0.6, 0.7, 0.8],
    "val_loss": [1.1, 0.6, 0.9],
    "val_accuracy": [0.5, 0.8, 0.7],
    "learning_rate": [1e-3, 1e-3, 1e-4],
}
COUNTS = {"tp": 469, "fn": 12, "fp": 15, "tn": 211}


def picture(side=60):
    image = np.zeros((side, side, 3), np.uint8)
    image[20:40, 20:40] = RNG.integers(1, 128, (20, 20, 3))
    return image


def test_table_has_one_row_of_heads():
    rows = pd.DataFrame({("clean", "a"): [0.12345]}, pd.MultiIndex.from_tuples([("full", 1)]))
    shown = figures.table(rows, "trained with", "seed")
    assert list(shown.columns) == ["seed", "clean, a"] and shown.columns.name == "trained with"
    assert shown.index.name is None and shown.loc["full", "clean, a"] == 0.123


def test_logarithmic_axes_have_plain_numbers():
    for far, ticks in ((140, {"5", "20", "100"}), (1e6, {"100", "1,000,000"})):
        figure = figures.intervals([("a", "", 3), ("b", "", far)], "ms", scale="log")
        figure.canvas.draw()
        assert ticks <= {text.get_text() for text in figure.axes[0].get_xticklabels()}


def words(figure):
    """Every word of a figure."""
    return " ".join(text.get_text() for text in figure.findobj(Text))


PICTURES = np.array([picture() for _ in range(4)])
HEADLINE = pd.DataFrame(
    {"value": [0.9, 0.8], "low": [0.8, 0.7], "high": [0.95, 0.9], "paper": [0.95, np.nan]},
    index=["known", "new"],
)
FIGURES = {
    "cells": (figures.cells(PICTURES, "abcd", 2, rows=("HEM", "ALL"), source="whose"), "HEM whose"),
    "heat_maps": (figures.heat_maps(PICTURES, RNG.random((4, 60, 60)), "abcd"), "share"),
    "histogram": (figures.histogram({"one": (P_ALL, LABELS)}, "size"), "size 20 cells"),
    "intervals": (figures.intervals([("new", "ours", 0.9)], "accuracy", digits=2), "new 0.90"),
    "headline": (figures.headline(HEADLINE), "known 0.950 new"),
    "against": (figures.against({"fold 0": {"accuracy": {0: 0.9, 5: (0.7, 0.8, 0.9)}}}, "σ"), "σ"),
    "roc": (figures.roc({"clean": (LABELS, P_ALL)}), "clean sensitivity"),
    "reliability": (figures.reliability({"clean": (LABELS, P_ALL)}), "stated"),
    "confusion": (figures.confusion({"fold 0": COUNTS, "fold 1": COUNTS}), "469 97.5 %"),
    "by_person": (
        figures.by_person(pd.DataFrame({"person": "7", "label": LABELS, "p_all": P_ALL})),
        "7 30 cells",
    ),
    "curves": (figures.curves({"seed 2": (HISTORY, 1)}), "seed 2 loss accuracy epoch"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_whole_and_says_what_it_was_given(name):
    figure, expected = FIGURES[name]
    svg = figure.svg()
    root = ET.fromstring(svg)
    assert root.get("class") == "allm" and "prefers-color-scheme: dark" in svg
    assert not re.search(r"#000000|#ffffff(?! })", svg), "ink and paper follow the page"
    assert set(expected.split()) <= set(words(figure).split())
    assert min(text.get_fontsize() for text in figure.findobj(Text)) >= 9, "small on a phone"


def test_every_figure_is_looked_at():
    drawing = {
        name for name, one in vars(figures).items()
        if getattr(one, "__module__", "") == figures.__name__ and not name.startswith("_")
    }  # fmt: skip
    assert drawing - {"Figure", "log_ticks", "new", "table"} == set(FIGURES)


def test_a_rate_that_is_only_rounded_has_not_fallen():
    rates = [1e-3, 1e-4, 1e-5, 1.0000001111620804e-06, 9.999999974752427e-07]
    history = {key: [0.5] * len(rates) for key in HISTORY} | {"learning_rate": rates}
    for axis in figures.curves({"seed 2": (history, 1)}).axes:
        falls = [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == ":"]
        assert falls == [1.5, 2.5, 3.5]


def test_brightening_clips_and_does_not_wrap_round():
    figure = figures.cells([np.full((8, 8, 3), 200, np.uint8)], brighten=2)
    assert (figure.axes[0].images[0].get_array() == 255).all()


def test_histogram_gives_each_class_a_whole():
    figure = figures.histogram({"": (P_ALL, LABELS)}, "size", bins=[0, 0.5, 1])
    filled = figure.axes[0].patches
    heights = [bar.get_height() for bar in filled if hasattr(bar, "get_height")]
    assert sum(heights[:2]) == pytest.approx(100) and sum(heights) == pytest.approx(200)


def test_intervals_stand_where_they_should():
    rows = [("known", "ours", 0.9, 0.8, 0.95), ("known", "paper", 0.95), ("new", "ours", 0.7)]
    (axis,) = figures.intervals(rows, "accuracy").axes
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["known", "new"]
    drawn = [np.ptp(path[:, 0]) for bars in axis.collections for path in bars.get_segments()]
    assert drawn == pytest.approx([0.15, 0, 0])
    dots = sorted(x for line in axis.lines for x in line.get_xdata())
    assert dots == [0.7, 0.9, 0.95]


def test_marks_of_one_line_do_not_hide_one_another():
    rows = [("new", "ours", x) for x in (0.7, 0.701, 0.702)]
    (axis,) = figures.intervals(rows, "accuracy").axes
    (line,) = (line for line in axis.lines if len(line.get_xdata()) == 3)
    places = axis.transData.transform(line.get_xydata())
    apart = np.abs(np.diff(np.sort(places[:, 1])))
    assert (apart * 72 / axis.figure.dpi > line.get_markersize() / 2).all()


def test_by_person_counts_right_cells_by_person():
    rows = pd.DataFrame({"person": ["1", "1", "H2"], "label": [1, 1, 0], "p_all": [0.9, 0.2, 0.1]})
    (axis,) = figures.by_person(rows).axes
    assert [bar.get_width() for bar in axis.patches] == [50, 100]


DRAWINGS = sorted((Path(__file__).parents[1] / "book" / "_static").glob("*.svg"))


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.stem)
def test_drawings_follow_light_and_dark_and_have_a_name(path):
    text = path.read_text(encoding="utf-8")
    root = ET.fromstring(text)
    assert len(root.get("aria-label")) > 10
    if path.stem != "logo":
        assert "prefers-color-scheme: dark" in text and "background: var(--paper)" in text
    if path.stem not in ("logo", "headline"):  # large enough for a phone
        assert root.get("width") == "640" and set(re.findall(r"([\d.]+)px", text)) == {"16.5"}
