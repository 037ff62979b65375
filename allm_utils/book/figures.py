"""Figures that more than one page needs, in one look, on light and on dark pages.

Importing this module sets Matplotlib's style to ``book.mplstyle``. Figures are made without pyplot,
so nothing is shown twice and nothing piles up in memory: `new` makes an empty one, and a notebook
shows the one that a cell ends with. In what a notebook shows, black follows the ink of the page and
white its paper; every other colour stays as it is.
"""

import io
import textwrap
from importlib import resources
from typing import Any

import matplotlib.figure
import matplotlib.style
import numpy as np
import pandas as pd
from IPython import get_ipython
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import LogLocator
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import RocCurveDisplay

from allm_utils.book.text import signs

matplotlib.style.use(str(resources.files("allm_utils.book") / "book.mplstyle"))

COLOURS = {"HEM": "#0072B2", "ALL": "#D55E00"}
"""Blue for healthy, vermilion for leukemic, everywhere: the colour-blind tell them apart too."""

LOOKS = (("black", "o", "-"), ("#009E73", "^", "--"), ("#CC79A7", "s", ":"), ("#7F7F7F", "D", "-."))
"""Colour, mark and line of what belongs to no class, in this order."""

PAPER = {"facecolor": "white", "linewidth": 0, "pad": 0.5}
"""Behind words that a line would cross."""

_WIDTH = 4.8  # of every figure, in inches: on a phone its words are at least 9 pixels high
_CSS = """<style>
svg.allm { --ink: #222832; --paper: #ffffff }
@media (prefers-color-scheme: dark) {
  svg.allm { --ink: #ced6dd; --paper: #121212 }
  svg.allm g[style="fill: #0072b2"] { fill: #56b4e9 !important } /* words: too dark otherwise */
}
svg.allm { color: var(--ink); fill: var(--ink); background: var(--paper) }
</style>"""


class Figure(matplotlib.figure.Figure):
    """A figure that a notebook shows by itself, as a picture that follows light and dark."""

    def svg(self) -> str:
        """Return the picture as SVG text; black and white are the ink and paper of its page."""
        for text in self.findobj(Text):
            text.set_text(signs(text.get_text()))
        file = io.StringIO()
        self.savefig(file, format="svg", dpi=144, metadata={"Date": None})  # dpi of pictures in it
        text = file.getvalue().replace("#000000", "currentColor").replace("#ffffff", "var(--paper)")
        start = text.index("<svg")
        end = text.index(">", start)
        return f'{text[start:end]} class="allm">\n{_CSS}{text[end + 1 :]}'

    def _repr_svg_(self):
        return self.svg()


if (shell := get_ipython()) is not None:  # else pyplot's backend would add a second picture
    shell.display_formatter.formatters["image/png"].for_type(Figure, lambda figure: None)


def new(rows: int = 1, columns: int = 1, height: float = 3.2, **subplots) -> tuple["Figure", Any]:
    """Make an empty figure in the book's look, to end a cell with, and its axes.

    The height is in inches; ``subplots`` are those of `matplotlib.figure.Figure.subplots`.
    """
    figure = Figure(figsize=(_WIDTH, height))
    return figure, figure.subplots(rows, columns, **subplots)


def table(rows: pd.DataFrame, *names: str, digits: int = 3) -> pd.DataFrame:
    """Lay out a table with one row of heads, in which the names of its rows stand, too.

    `names` are of the levels of the rows, in words; without them those that the table has. Levels
    of columns become one, separated by commas. Numbers keep at most `digits` decimals.
    """
    if rows.columns.nlevels > 1:
        rows = rows.set_axis([", ".join(map(str, one)) for one in rows.columns], axis=1)
    first, *others = names or rows.index.names
    rows = rows.rename_axis(index=[first, *others])
    rows = rows.reset_index(others) if others else rows
    return rows.rename_axis(index=None, columns=first).round(digits)


def log_ticks(axis) -> None:
    """Write plain numbers along a logarithmic ``axes.xaxis`` or ``yaxis``, no powers of ten."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axis.set_major_formatter("{x:,.10g}")
    axis.set_minor_formatter("")


def cells(images, titles=(), columns=4, brighten=2.0, rows=(), source=None) -> Figure:
    """Show pictures of cells in a grid, ``uint8 (H, W, 3)`` each, or ``(H, W)`` for one in grey.

    `brighten` is for display only; C-NMC is dark. A row label that begins with a class has its
    colour. `source` says whose cells they are: `Profile.credit` in the first figure of a page,
    `Profile.source` in the others.
    """
    n_rows = -(-len(images) // columns)
    side = min(2.1, _WIDTH / columns)
    titles = [_broken(title, side) for title in titles]
    lines = max((1 + title.count("\n") for title in titles), default=0)
    height = (side + 0.2 * lines) * n_rows + 0.2 * (1 + _broken(source).count("\n"))
    figure, axes = new(n_rows, columns, height, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image in zip(axes.flat, images, strict=False):
        axis.imshow(np.clip(image * float(brighten), 0, 255).astype(np.uint8), vmin=0, vmax=255)
    for axis, title in zip(axes.flat, titles, strict=False):
        axis.set_title(title)
    for axis, label in zip(axes[:, 0], rows, strict=False):
        colour = COLOURS.get(label.split()[0], "black")
        place = {"transform": axis.transAxes, "rotation": 90, "ha": "right", "va": "center"}
        axis.text(-0.04, 0.5, label, color=colour, fontweight="bold", **place)
    _name_source(figure, source)
    return figure


def heat_maps(pictures, heat, titles, columns=4, source=None) -> Figure:
    """Lay heat maps, ``(N, H, W)`` from 0 to 1, over grey pictures with outlines of the cells."""
    n_rows = -(-len(pictures) // columns)
    figure, axes = new(n_rows, columns, (_WIDTH / columns + 0.4) * n_rows + 1, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, found, title in zip(axes.flat, pictures, heat, titles, strict=False):
        axis.imshow(picture.max(axis=-1), vmin=0, vmax=130)
        shown = axis.imshow(found, cmap="inferno", vmin=0, vmax=1, alpha=0.6)
        axis.contour(picture.any(axis=-1), (0.5,), colors="#fefefe", linewidths=0.8)
        axis.set_title(_broken(title, _WIDTH / columns), fontsize=9)
    words = "support, share of the highest"
    figure.colorbar(shown, ax=axes, location="bottom", shrink=0.6, aspect=30, label=words)
    _name_source(figure, source)
    return figure


def histogram(panels, xlabel, source=None, bins=25, marks=None) -> Figure:
    """Draw how a measure is distributed in each class, in per cent of the class.

    Panels are by title, which may be empty: values and labels ``(N,)``; bins are of all alike.
    `marks` are values to mark, by their names.
    """
    edges = np.histogram_bin_edges(np.concatenate([values for values, _ in panels.values()]), bins)
    height = 0.8 + (2.4 if len(panels) == 1 else 1.7 * len(panels))
    figure, axes = new(len(panels), 1, height, squeeze=False, sharex=True)
    for axis, (title, (values, labels)) in zip(axes.flat, panels.items(), strict=True):
        for label, (name, colour) in enumerate(COLOURS.items()):
            part = np.asarray(values)[np.asarray(labels) == label]
            share = np.full(len(part), 100 / max(len(part), 1))
            style = {"color": colour, "hatch": None if label else "///", "alpha": 0.4}
            axis.hist(part, edges, weights=share, label=f"{name}, {len(part):,} cells", **style)
            style = {"color": colour, "linestyle": "-", "linewidth": 1.5}
            axis.hist(part, edges, weights=share, histtype="step", **style)
        for name, value in (marks or {}).items():
            axis.axvline(value, color="black", linewidth=1)
            axis.annotate(name, (value, 1), (3, -2), xycoords=axis.get_xaxis_transform(),
                          textcoords="offset points", va="top", fontsize=9)  # fmt: skip
        axis.set_title(title, loc="left")
        axis.set_ylabel("% of the class")
        axis.legend()
    axes[-1, 0].set_xlabel(xlabel)
    _name_source(figure, source)
    return figure


def intervals(rows, xlabel, source=None, line=None, scale="linear", digits=None) -> Figure:
    """Draw numbers as dots, each with its interval if it has one.

    Parameters
    ----------
    rows : sequence of (str, str, float) or (str, str, float, float, float)
        The line that it stands on, the series that it belongs to, the number, and the low and high
        end of its interval. Lines and series keep their order; a series that is a class has its
        colour, and one series alone needs no name.
    line : float, optional
        A value to mark: no effect, or an answer without looking.
    digits : int, optional
        Write each number, with so many decimals, beside its dot.
    """
    rows = [(*row, np.nan, np.nan)[:5] for row in rows]
    names, series = (list(dict.fromkeys(row[i] for row in rows)) for i in (0, 1))
    step, marks = 0.7 / len(series), []
    crowd = any(np.unique([row[:2] for row in rows], axis=0, return_counts=True)[1] > 1)
    one_line = max(0.42, 0.3 * len(series)) if crowd else max(0.34, 0.19 * len(series))
    told = [_broken(name, 2.35) for name in names]
    height = 0.9 + len(names) * one_line + 0.25 * (len(series) > 1)
    figure, axis = new(1, 1, height)
    if line is not None:
        axis.axvline(line, color="black", linewidth=1)
    for number, one in enumerate(series):
        colour, mark, _ = LOOKS[number % len(LOOKS)]
        mine = [row for row in rows if row[1] == one]
        value, low, high = (np.array([row[i] for row in mine], float) for i in (2, 3, 4))
        here = step * (number - (len(series) - 1) / 2)
        y = pd.Series([names.index(row[0]) + here for row in mine])
        if crowd:  # marks of one line stand on three tracks, so that none hides its neighbour
            y += 0.36 * min(step, 0.35) * (pd.Series(value).groupby(y).rank("first") % 3 - 1)
        colour, size = COLOURS.get(one, colour), 6 if crowd else 8
        reach = np.nan_to_num([value - low, high - value])
        style = {"color": colour, "elinewidth": 2, "markersize": size, "markeredgecolor": "white"}
        marks.append(axis.errorbar(value, y, xerr=reach, fmt=mark, **style)[0])
        for x, end, place in zip(value, np.fmax(value, high), y, strict=True):
            if digits is not None:
                axis.annotate(f"{x:,.{digits}f}", (end, place), (5, 0), va="center", fontsize=9,
                              textcoords="offset points", bbox=PAPER)  # fmt: skip
    axis.set_xscale(scale)
    axis.set_yticks(range(len(names)), told)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.margins(x=0.08)
    axis.set_xlabel(xlabel)
    if scale == "log":
        log_ticks(axis.xaxis)
    else:
        axis.locator_params("x", steps=(1, 2, 5, 10))
    axis.grid(axis="x")
    if len(series) > 1:
        figure.legend(marks, series, loc="outside upper left", ncols=_columns(series))
    _name_source(figure, source)
    return figure


def against(panels, xlabel, ylabel="share called rightly", ylim=(0, 1.02), source=None) -> Figure:
    """Draw metrics against the strength of something: noise, blur, rejection.

    Panels are by title, then by metric: strength to a value, or to (low, value, high), which
    becomes a shaded band. "sensitivity" has the colour of ALL, "specificity" that of HEM.
    """
    own = {"sensitivity": (COLOURS["ALL"], "o", "-"), "specificity": (COLOURS["HEM"], "s", "--")}
    columns = min(len(panels), 3)
    n_rows = -(-len(panels) // columns)
    figure, axes = new(n_rows, columns, 0.6 + 2.5 * n_rows, squeeze=False, sharey=True)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    others = dict.fromkeys(name for lines in panels.values() for name in lines if name not in own)
    looks = own | dict(zip(others, LOOKS, strict=False))
    named = {}
    for axis, (title, lines) in zip(axes.flat, panels.items(), strict=False):
        for name, points in lines.items():
            colour, mark, style = looks[name]
            strengths = list(points)
            low, value, high = np.array([np.broadcast_to(p, 3) for p in points.values()]).T
            (drawn,) = axis.plot(strengths, value, linestyle=style, marker=mark, color=colour)
            axis.fill_between(strengths, low, high, color=colour, alpha=0.2, linewidth=0)
            named.setdefault(name, drawn)
        axis.set(title=title, xlabel=xlabel, ylim=ylim, xticks=strengths)
        axis.grid(axis="y")
    figure.supylabel(ylabel, fontsize="medium")
    figure.legend(named.values(), named, loc="outside upper left", ncols=_columns(named))
    _name_source(figure, source)
    return figure


def roc(answers, source=None) -> Figure:
    """Draw at most four ROC curves, by name (labels, p_all), with the area below each."""
    figure = _displays(RocCurveDisplay, answers, source, height=4.2)
    figure.axes[0].set(xlabel="1 − specificity", ylabel="sensitivity", aspect="equal")
    return figure


def reliability(answers, source=None, bins=10) -> Figure:
    """Draw how often a stated probability came true, in `bins` of equal width; as `roc`."""
    figure = _displays(CalibrationDisplay, answers, source, height=3.8, n_bins=bins)
    figure.axes[0].set(xlabel="stated probability of ALL", ylabel="share that is ALL")
    figure.axes[0].lines[0].set_label("every promise kept")  # scikit-learn's word has a capital
    figure.axes[0].legend(loc="best")
    return figure


def _displays(kind, answers, source, height, **settings):
    """One of scikit-learn's displays for each entry, on one pair of axes."""
    figure, axis = new(1, 1, height)
    for name, (labels, p_all) in answers.items():
        kind.from_predictions(np.asarray(labels), np.asarray(p_all), ax=axis, name=name, **settings)
    axis.legend(loc="best")
    _name_source(figure, source)
    return figure


def confusion(matrices) -> Figure:
    """Draw at most three confusion matrices side by side: truth in rows, answers in columns.

    Counts ``tp, fn, fp, tn`` are by title. A field is the darker, the larger its share of the row.
    """
    figure, axes = new(1, len(matrices), 2.5, squeeze=False)
    for axis, (title, n) in zip(axes.flat, matrices.items(), strict=True):
        for row, (name, pair) in enumerate({"ALL": (n["tp"], n["fn"]), "HEM": (n["fp"], n["tn"])}
                                           .items()):  # fmt: skip
            for column, count in enumerate(pair):
                share = count / max(sum(pair), 1)
                box = {"color": COLOURS[name], "alpha": 0.08 + 0.5 * share, "linewidth": 0}
                axis.fill_between((column, column + 0.98), row, row + 0.98, **box)
                text = f"{count:,}\n{share:.1%}"
                axis.text(column + 0.5, row + 0.5, text, ha="center", va="center")
        axis.set(xlim=(0, 2), ylim=(2, 0), title=_broken(title, 4.4 / len(matrices)))
        axis.set_xticks((0.5, 1.5), ("ALL", "HEM"))
        axis.set_yticks((0.5, 1.5), ("ALL", "HEM"), rotation=90, va="center")
        axis.set_xlabel("called")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    axes[0, 0].set_ylabel("is")
    return figure


def by_person(rows, title="") -> Figure:
    """Draw, for each person, the share of the cells that was called rightly.

    Rows as `Runs.pooled` gives them. One bar per person, as thick as the number of cells; those
    with most cells first.
    """
    rows = rows.assign(right=100.0 * ((rows["p_all"] >= 0.5) == (rows["label"] == 1)))
    found = rows.groupby(["label", "person"])["right"].agg(["mean", "size"]).reset_index()
    found = found.sort_values(["label", "size"], ascending=False)
    figure, axis = new(1, 1, 1.2 + 0.22 * len(found))
    colours = np.where(found["label"] == 1, COLOURS["ALL"], COLOURS["HEM"])
    thick = 0.25 + 0.65 * found["size"] / found["size"].max()
    hatch = ["" if label else "///" for label in found["label"]]
    bars = axis.barh(range(len(found)), found["mean"], thick, color=colours, hatch=hatch)
    told = [f"{n:,} cell{'s' * (n > 1)}" for n in found["size"]]
    axis.bar_label(bars, told, padding=3, fontsize=9)
    axis.set_yticks(range(len(found)), found["person"])
    axis.set(xlim=(0, 120), xticks=range(0, 101, 20), ylim=(len(found) - 0.4, -0.6), title=title)
    axis.set_xlabel("% of the person's test cells called rightly")
    names = {"ALL": "", "HEM": "///"}
    handles = [Patch(fc=COLOURS[name], hatch=hatch, label=name) for name, hatch in names.items()]
    figure.legend(handles=handles, loc="outside lower right", ncols=2)
    return figure


def curves(runs) -> Figure:
    """Draw loss and accuracy by epoch, one column per run (Fig. 6 of the paper).

    By title the history as a record holds it, and the epoch (counted from 0) whose weights were
    kept. Dotted lines: the learning rate falls.
    """
    figure, axes = new(2, len(runs), 5.0, squeeze=False, sharex="col", sharey="row")
    for column, (title, (history, best)) in enumerate(runs.items()):
        history = pd.DataFrame(history).set_axis(range(1, len(history["loss"]) + 1))
        falls = history.index[history["learning_rate"].pct_change() < -0.01] - 0.5
        for axis, key in zip(axes[:, column], ("loss", "accuracy"), strict=True):
            axis.plot(history[key], "--", color="#7F7F7F", label="training")
            axis.plot(history[f"val_{key}"], "-", color="black", label="validation")
            axis.plot(best + 1, history[f"val_{key}"][best + 1], "*", color="#CC79A7",
                      markersize=14, label="weights kept")  # fmt: skip
            for fall in falls:
                axis.axvline(fall, color="#009E73", linewidth=1, linestyle=":")
            axis.locator_params("x", integer=True)
        axes[0, column].set_title(title)
        axes[1, column].set_xlabel("epoch")
    axes[0, 0].set_ylabel("loss")
    axes[1, 0].set_ylabel("accuracy")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3)
    return figure


def _broken(text, inches=_WIDTH):
    """Break words into lines of so many inches."""
    lines = signs(str(text or "")).splitlines()
    return "\n".join(
        textwrap.fill(line, int(13 * inches), break_on_hyphens=False) for line in lines
    )


def _columns(names):
    """How many names a line of a legend takes."""
    return max(1, min(len(names), 62 // (7 + max(map(len, names)))))


def _name_source(figure, source):
    if source:
        figure.supxlabel(_broken(source), fontsize=9)


def headline(found: pd.DataFrame) -> Figure:
    """Draw the three numbers of `scorecard.headline`, the paper's below the first."""
    rows = [(row.Index, "this book", row.value, row.low, row.high) for row in found.itertuples()]
    rows.insert(1, (rows[0][0], "the paper", found["paper"].iloc[0]))
    return intervals(rows, "balanced accuracy, interval by people", line=0.5, digits=3)
