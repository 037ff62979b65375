"""Every plot of the book: one function each, returning a Matplotlib ``Figure``.

The two classes keep their colours throughout, from the colour-blind-safe palette of Okabe and Ito.
Figures are made without pyplot, so nothing is shown twice and nothing piles up in memory.
"""

import io

import matplotlib.figure
import numpy as np
from matplotlib.colors import rgb_to_hsv
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

from allm_utils.judge.metrics import metrics

COLOURS = {"HEM": "#0072B2", "ALL": "#D55E00"}
"""Blue for healthy, vermilion for leukemic."""


class Figure(matplotlib.figure.Figure):
    """A figure that a notebook shows by itself; without pyplot nothing else would."""

    def _repr_png_(self):
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=144)
        return buffer.getvalue()


def cells(images, titles, columns=4, brighten=1.0, rows=(), source=None):
    """Show pictures of cells in a grid.

    Parameters
    ----------
    images : sequence of numpy.ndarray
        ``uint8 (H, W, 3)`` each.
    titles : sequence of str
        One per picture.
    columns : int
    brighten : float
        Factor for display only; C-NMC is dark.
    rows : sequence of str
        Labels of the rows; one that names a class has its colour.
    source : str, optional
        Whose cells they are; written below the pictures.

    Returns
    -------
    matplotlib.figure.Figure
    """
    n_rows = -(-len(images) // columns)
    side = min(2.1, 6.4 / columns)
    height = (side + 0.2) * n_rows + (0.3 if source else 0)
    figure = Figure(figsize=(side * columns, height), layout="constrained")
    axes = figure.subplots(n_rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(np.clip(image * float(brighten), 0, 255).astype(np.uint8))
        axis.set_title(title, fontsize=10)
    for axis, label in zip(axes[:, 0], rows, strict=False):
        style = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 11}
        colour = COLOURS.get(label.split()[0], "black")
        axis.text(-0.04, 0.5, label, transform=axis.transAxes, color=colour, **style)
    if source:
        figure.supxlabel(source, fontsize=9)
    return figure


def pipeline():
    """Draw the paper's pipeline, from a fold to an answer (Fig. 1), with the book's chapters.

    Returns
    -------
    matplotlib.figure.Figure
    """
    both, train, test = "#ECECEC", "#FBE3D3", "#D6E8F4"
    network = "MobileNet_M, ImageNet weights:\nfit to train, stop by val"
    boxes = (
        (5, 14.2, 5.8, both, "one fold of C-NMC 2019:\nsingle cells, 450 × 450", "chapter 1"),
        (5, 12.2, 5.8, both, "centre crop, resize to 224 × 224", "chapter 2"),
        (5, 10.5, 5.8, both, "split 70 / 10 / 20 by image", "chapter 1"),
        (2.6, 8.3, 4.8, train, "balance: a grey copy\nof every HEM image", "chapter 2"),
        (2.6, 6.4, 4.8, train, "Gaussian noise, σ 3 or 9", "chapter 3"),
        (2.6, 4.4, 4.8, train, "rotate, flip, shift, zoom,\nshear, darken", "chapter 3"),
        (8.2, 6.4, 3.2, test, "Gaussian noise,\nσ 0, 2, 5, 8, 10", "chapter 7"),
        (5, 2.0, 6.6, both, network, "chapters 4 and 5"),
        (5, 0.1, 6.6, both, "ALL or HEM: scored on test", "chapter 6"),
    )
    arrows = (
        ((5, 13.3), (5, 12.9)),
        ((5, 11.5), (5, 11.2)),
        ((3.2, 9.8), (2.6, 9.2)),
        ((2.6, 7.4), (2.6, 7.1)),
        ((2.6, 5.7), (2.6, 5.3)),
        ((2.9, 3.5), (3.5, 2.95)),
        ((5.9, 9.8), (5.9, 2.95)),
        ((7.2, 9.8), (8.2, 7.4)),
        ((8.2, 5.4), (7.4, 2.95)),
        ((5, 1.1), (5, 0.75)),
    )
    figure = Figure(figsize=(6.4, 7.4), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=(0, 10), ylim=(-0.6, 15.2))
    axis.axis("off")
    for x, y, width, colour, text, chapter in boxes:
        lines = text.count("\n") + 2
        height = 0.4 + 0.43 * lines
        shape = "round,pad=0,rounding_size=0.15"
        axis.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2), width, height, shape, fc=colour, ec="#333333"
            )
        )
        style = {"ha": "center", "fontsize": 9, "color": "#444444", "style": "italic"}
        axis.text(x, y + 0.2, text, ha="center", va="center", fontsize=10)
        axis.text(x, y - height / 2 + 0.16, chapter, **style)
    for start, end in arrows:
        axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#333333"})
    for x, y, text, align in (
        (2.7, 9.6, "train, 70 %", "right"),
        (6.0, 7.9, "val, 10 %", "left"),
        (7.9, 8.9, "test, 20 %", "left"),
    ):
        axis.text(x, y, text, ha=align, va="center", fontsize=10)
    return figure


def subjects(frame):
    """Draw how the images of each fold and class are shared out among the subjects.

    Parameters
    ----------
    frame : pandas.DataFrame
        Training images, as `allm_utils.cnmc.index` gives.

    Returns
    -------
    matplotlib.figure.Figure
    """
    folds = sorted(frame["fold"].unique())
    figure = Figure(figsize=(6.4, 0.8 + 1.3 * len(folds)), layout="constrained")
    axis = figure.subplots()
    ticks = []
    for row, (fold, name) in enumerate((fold, name) for fold in folds for name in ("ALL", "HEM")):
        part = frame[(frame["fold"] == fold) & (frame["label"] == (name == "ALL"))]
        left = 0
        for subject, width in part["subject"].value_counts().items():
            axis.barh(row, width, 0.75, left, color=COLOURS[name], edgecolor="white", linewidth=1.2)
            if width > 0.055 * frame["fold"].value_counts().max():
                axis.text(
                    left + width / 2, row, subject,
                    ha="center", va="center", fontsize=9, color="white", fontweight="bold",
                )  # fmt: skip
            left += width
        axis.text(left, row, f" {part['subject'].nunique()} subjects", va="center", fontsize=9)
        ticks.append(f"fold {fold}, {name}")
    axis.set_yticks(range(len(ticks)), ticks)
    axis.set_xlim(0, 1.22 * frame.groupby(["fold", "label"]).size().max())
    axis.set_xlabel("images")
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def smears(frame, split, subject):
    """Draw every image of a subject as a mark above its smear, by the part it fell into.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `allm_utils.cnmc.index` gives.
    split : pandas.Series of str
        On the index of the frame.
    subject : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    part = frame[frame["subject"] == subject].sort_values(["smear", "cell"])
    column = part["smear"].rank(method="dense").astype(int)
    height = part.groupby("smear").cumcount() + 1
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axis = figure.subplots()
    marks = {"train": ("o", "#999999"), "val": ("^", "#009E73"), "test": ("s", "#CC79A7")}
    for name, (mark, colour) in marks.items():
        chosen = split[part.index] == name
        axis.scatter(
            column[chosen], height[chosen], 42, colour, mark,
            edgecolor="black", linewidth=0.5, label=f"{name}, {chosen.sum()} images",
        )  # fmt: skip
    axis.set_xlabel(f"smear image of subject {subject}")
    axis.set_ylabel("cells")
    axis.set_xticks(range(1, column.max() + 1, max(1, column.max() // 10)))
    axis.set_yticks(range(1, height.max() + 1, max(1, height.max() // 4)))
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def areas(area, labels, source):
    """Draw the distribution of cell areas, one histogram per class.

    Parameters
    ----------
    area : array of float, shape (N,)
        In pixels.
    labels : array of int, shape (N,)
    source : str
        Whose cells they are; written into the picture.

    Returns
    -------
    matplotlib.figure.Figure
    """
    area, labels = np.asarray(area) / 1000, np.asarray(labels, int)
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axis = figure.subplots()
    bins = np.linspace(area.min(), area.max(), 25)
    for label, (name, hatch) in enumerate((("HEM", "///"), ("ALL", None))):
        share = np.full((labels == label).sum(), 100 / (labels == label).sum())
        style = {"color": COLOURS[name], "linewidth": 1.5}
        axis.hist(area[labels == label], bins, weights=share, alpha=0.35, hatch=hatch, **style,
                  label=f"{name}, {(labels == label).sum()} cells")  # fmt: skip
        axis.hist(area[labels == label], bins, weights=share, histtype="step", **style)
    axis.set_xlabel("area of the cell, thousand pixels")
    axis.set_ylabel("% of the class")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(title=source, fontsize=9, title_fontsize=9, frameon=False)
    return figure


def whole_cells(sides, labels, source):
    """Draw the share of cells that a centre crop keeps whole, by its side and the class.

    Parameters
    ----------
    sides : array of int, shape (N,)
        Side of the smallest centre crop that holds the cell, in pixels.
    labels : array of int, shape (N,)
    source : str
        Whose cells they are.

    Returns
    -------
    matplotlib.figure.Figure
    """
    sides, labels = np.asarray(sides), np.asarray(labels, int)
    crops = np.arange(150, 451, 2)
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.subplots()
    for label, (name, dash) in enumerate((("HEM", "--"), ("ALL", "-"))):
        whole = (sides[labels == label][:, None] <= crops).mean(axis=0)
        axis.plot(crops, 100 * whole, dash, color=COLOURS[name], linewidth=2, label=name)
    for crop in (224, 300, 350):
        axis.axvline(crop, color="#777777", linewidth=1, zorder=0)
        axis.text(crop - 3, 2, crop, rotation=90, ha="right", va="bottom", fontsize=10)
    axis.set(xlabel="side of the centre crop, pixels", ylabel="cells kept whole, %", ylim=(0, 103))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(title=source, fontsize=10, title_fontsize=9, loc="lower right")
    return figure


def hsv(picture, source):
    """Show a picture and its hue, saturation and value.

    Parameters
    ----------
    picture : numpy.ndarray
        ``uint8 (H, W, 3)`` RGB.
    source : str
        Whose cell it is.

    Returns
    -------
    matplotlib.figure.Figure
    """
    hue, saturation, value = np.moveaxis(rgb_to_hsv(picture / 255), -1, 0)
    inside = picture.any(axis=2)
    panels = {
        "picture, ×2": (np.clip(picture * 2.0, 0, 255).astype(np.uint8), {}),
        "hue H": (np.ma.masked_array(hue, ~inside), {"cmap": "hsv", "vmin": 0, "vmax": 1}),
        "saturation S": (saturation, {"cmap": "gray", "vmin": 0, "vmax": 1}),
        "value V, ×2": (value, {"cmap": "gray", "vmin": 0, "vmax": 0.5}),
    }
    figure = Figure(figsize=(6.4, 2.05), layout="constrained")
    for axis, (title, (panel, style)) in zip(figure.subplots(1, 4), panels.items(), strict=True):
        axis.set_facecolor("black")
        axis.imshow(panel, **style)
        axis.set_title(title, fontsize=10)
        axis.set(xticks=[], yticks=[])
    figure.supxlabel(source, fontsize=9)
    return figure


def preprocessing(pictures, crop, size, source):
    """Draw what happens to a training picture of each class before augmentation (Fig. 2).

    Parameters
    ----------
    pictures : dict of str to list of numpy.ndarray
        By class: the original, the crop, the resized picture and, for HEM, the grey copy;
        ``uint8 (H, W, 3)`` each. They are drawn to one scale, and twice as bright as they are.
    crop, size : int
        In pixels.
    source : str
        Whose cells they are.

    Returns
    -------
    matplotlib.figure.Figure
    """
    titles = ("original, 450", f"centre crop, {crop}", f"resized, {size}", "grey copy")
    figure = Figure(figsize=(6.4, 3.7), layout="constrained")
    axes = figure.subplots(len(pictures), 4)
    for row, (name, stages) in zip(axes, pictures.items(), strict=True):
        for axis, picture in zip(row, stages, strict=False):
            half = picture.shape[0] / 2
            bright = np.clip(picture * 2.0, 0, 255).astype(np.uint8)
            axis.imshow(bright, extent=(-half, half, -half, half))
        for axis in row:
            axis.set(xlim=(-225, 225), ylim=(-225, 225), aspect="equal")
            axis.axis("off")
        for axis in row[1 : len(stages)]:
            axis.annotate(
                "", (0.13, 0.5), (-0.02, 0.5), xycoords="axes fraction",
                arrowprops={"arrowstyle": "-|>", "color": "#333333"}, annotation_clip=False,
            )  # fmt: skip
        if len(stages) < 4:
            row[3].text(0, 0, "no copy", ha="center", va="center", fontsize=10)
        row[0].text(-240, 0, name, rotation=90, ha="right", va="center", fontsize=11,
                    color=COLOURS[name])  # fmt: skip
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    figure.supxlabel(source, fontsize=9)
    return figure


def thresholds(area, labels, cuts, source):
    """Draw the numbers of cells by area and class, and where classifiers on the area cut.

    Parameters
    ----------
    area : array of float, shape (N,)
        In thousand pixels.
    labels : array of int, shape (N,)
    cuts : dict of str to float
        Names and thresholds of two classifiers: ALL is answered above it.
    source : str
        Whose cells they are.

    Returns
    -------
    matplotlib.figure.Figure
    """
    area, labels = np.asarray(area), np.asarray(labels, int)
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.subplots()
    bins = np.linspace(area.min(), area.max(), 22)
    counts = [np.histogram(area[labels == label], bins)[0] for label in (0, 1)]
    axis.stairs(counts[1], bins, color=COLOURS["ALL"], linewidth=2, label="ALL")
    axis.stairs(counts[0], bins, color=COLOURS["HEM"], linewidth=2, linestyle="--", label="HEM")
    axis.stairs(
        2 * counts[0], bins, color=COLOURS["HEM"], linewidth=1.5, linestyle=":", label="HEM doubled"
    )
    top = 1.2 * max(counts[1].max(), 2 * counts[0].max())
    lower, _ = sorted(cuts.values())
    for name, cut in cuts.items():
        side, gap = ("right", -0.4) if cut == lower else ("left", 0.4)
        axis.axvline(cut, color="black", linewidth=1.2)
        axis.text(cut + gap, 0.97 * top, f"cut, {name}", ha=side, va="top", fontsize=10)
    axis.set(xlabel="area of the cell, thousand pixels", ylabel="training cells", ylim=(0, top))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(title=source, fontsize=9, title_fontsize=9, loc="upper right", frameon=False)
    return figure


def confusion(matrices):
    """Draw confusion matrices, two or three side by side: truth in rows, answers in columns.

    Parameters
    ----------
    matrices : dict of str to dict
        By title: counts ``tp, fn, fp, tn``, as `allm_utils.evaluation.metrics` gives.

    Returns
    -------
    matplotlib.figure.Figure
        A field is the darker, the larger its share of the row; that share stands below the count.
    """
    across = len(matrices) if len(matrices) < 4 else 2
    down = -(-len(matrices) // across)
    figure = Figure(figsize=(max(3.2 * across, 3.6), 3.1 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis in axes[len(matrices) :]:
        axis.remove()
    for axis, (title, counts) in zip(axes, matrices.items(), strict=False):
        rows = ((counts["tp"], counts["fn"]), (counts["fp"], counts["tn"]))
        for row, (name, pair) in enumerate(zip(("ALL", "HEM"), rows, strict=True)):
            for column, count in enumerate(pair):
                share = count / max(sum(pair), 1)
                box = {"color": COLOURS[name], "alpha": 0.08 + 0.5 * share, "linewidth": 0}
                axis.fill_between((column, column + 1), row, row + 1, **box)
                place = {"ha": "center", "va": "center"}
                axis.text(column + 0.5, row + 0.42, f"{count:,}", fontsize=15, **place)
                axis.text(column + 0.5, row + 0.68, f"{share:.1%} of {name}", fontsize=9, **place)
        axis.axhline(1, color="white", linewidth=2)
        axis.axvline(1, color="white", linewidth=2)
        axis.set(xlim=(0, 2), ylim=(2, 0))
        axis.set_xticks((0.5, 1.5), ("called ALL", "called HEM"))
        axis.set_yticks((0.5, 1.5), ("is ALL", "is HEM"), rotation=90, va="center")
        axis.tick_params(length=0, labelsize=10)
        axis.spines[:].set_visible(False)
        axis.set_title(title, fontsize=10)
    return figure


_LINES = (("#000000", "-"), ("#009E73", "--"), ("#CC79A7", ":"))
"""Colour and style of curves that belong to no class."""


def roc(answers):
    """Draw the ROC curve of each classifier, and the one of its hard answers at 0.5.

    Parameters
    ----------
    answers : dict of str to (labels, p_all)
        By title. Labels 0 HEM, 1 ALL; probabilities of ALL.

    Returns
    -------
    matplotlib.figure.Figure
        One panel each. The hard answers give one point, and so two straight lines.
    """
    figure = Figure(figsize=(max(3.2 * len(answers), 3.6), 3.6), layout="constrained")
    axes = figure.subplots(1, len(answers), squeeze=False)[0]
    for axis, (title, (labels, p_all)) in zip(axes, answers.items(), strict=True):
        rates = metrics(labels, p_all)
        false, true, _ = roc_curve(labels, p_all)
        name = f"probabilities: {rates['roc_auc']:.3f}"
        axis.plot(false, true, color="black", linewidth=1.8, label=name)
        corner = 1 - rates["specificity"], rates["sensitivity"]
        axis.plot(
            *((0, corner[0], 1), (0, corner[1], 1)), "s--", color="#CC79A7", markevery=[1],
            label=f"hard answers: {rates['balanced_accuracy']:.3f}",
        )  # fmt: skip
        axis.plot((0, 1), (0, 1), ":", color="#767676", linewidth=1)
        axis.set(xlim=(-0.02, 1), ylim=(0, 1.02), aspect="equal")
        axis.set_xlabel("1 − specificity", fontsize=10)
        axis.set_ylabel("sensitivity", fontsize=10)
        axis.set_title(title, fontsize=10)
        axis.legend(title="area under", fontsize=9, title_fontsize=9, loc="lower right")
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def precision_recall(answers):
    """Draw precision against recall of ALL, with the precision of always answering ALL.

    Parameters
    ----------
    answers : dict of str to (labels, p_all)
        As `roc`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.subplots()
    for i, (title, (labels, p_all)) in enumerate(answers.items()):
        colour, style = _LINES[i]
        precision, recall, _ = precision_recall_curve(labels, p_all)
        axis.plot(recall, precision, style, color=colour, linewidth=1.8, label=title)
        share = np.mean(labels)
        axis.axhline(share, color=colour, linewidth=0.8, linestyle=(0, (1, 3)))
        place = 0.01 + 0.25 * i, share - 0.01  # side by side: the shares may be equal
        axis.text(*place, f"always ALL: {share:.2f}", color=colour, fontsize=9, va="top")
    axis.set(xlim=(0, 1.01), ylim=(0.4, 1.02))
    axis.set_xlabel("recall of ALL (sensitivity)")
    axis.set_ylabel("precision of ALL")
    axis.legend(fontsize=9, loc="lower right", bbox_to_anchor=(1, 0.2))
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def right_by_subject(rows, title):
    """Draw, for each subject of the test part, the share of its cells that was called rightly.

    Parameters
    ----------
    rows : pandas.DataFrame
        Columns ``subject, label, p_all``, one row per test image.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        One bar per subject, as thick as its number of images.
    """
    rows = rows.assign(right=(rows["p_all"] >= 0.5) == (rows["label"] == 1))
    found = rows.groupby(["label", "subject"])["right"].agg(["mean", "size"]).reset_index()
    found = found.sort_values(["label", "size"], ascending=[False, False])
    thick = 0.25 + 0.65 * found["size"] / found["size"].max()
    figure = Figure(figsize=(6.4, 1.3 + 0.24 * len(found)), layout="constrained")
    axis = figure.subplots()
    for place, (row, height) in enumerate(zip(found.itertuples(), thick, strict=True)):
        name, hatch = ("ALL", None) if row.label else ("HEM", "///")
        style = {"color": COLOURS[name], "hatch": hatch, "edgecolor": "white"}
        axis.barh(place, 100 * row.mean, height, **style)
        axis.text(100 * row.mean + 0.5, place, f"n = {row.size}", va="center", fontsize=9)
    axis.set_yticks(range(len(found)), found["subject"], fontsize=9)
    axis.set_ylim(len(found) - 0.4, -0.6)
    axis.set(xlim=(0, 112), xticks=range(0, 101, 20))
    axis.set_xlabel("% of the subject's test cells called rightly")
    axis.set_title(title, fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    hem = Patch(fc=COLOURS["HEM"], hatch="///", ec="white", label="HEM")
    names = [Patch(fc=COLOURS["ALL"], label="ALL"), hem]
    figure.legend(handles=names, loc="outside lower right", ncols=2, fontsize=9, frameon=False)
    return figure


def two_intervals(values, by_image, by_subject, title):
    """Draw metrics with their intervals, once by image and once by subject.

    Parameters
    ----------
    values : dict of str to float
        The metrics to draw, in [0, 1].
    by_image, by_subject : dict of str to (float, float)
        Low and high of at least these metrics.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.4, 1.2 + 0.62 * len(values)), layout="constrained")
    axis = figure.subplots()
    kinds = (("images resampled", by_image, -0.14, "o", "#000000", "-"),
             ("subjects resampled", by_subject, 0.14, "s", "#CC79A7", "--"))  # fmt: skip
    for label, limits, shift, mark, colour, style in kinds:
        for place, (name, value) in enumerate(values.items()):
            low, high = limits[name]
            axis.plot((low, high), (place + shift,) * 2, style, color=colour, linewidth=2)
            named = label if place == 0 else None
            axis.plot(value, place + shift, mark, color=colour, markersize=7, label=named)
            if np.isnan(low):
                axis.text(value + 0.004, place + shift, "unknown: one subject", fontsize=9)
    axis.set_yticks(range(len(values)), [name.replace("_", " ") for name in values], fontsize=10)
    axis.set_ylim(len(values) - 0.5, -0.5)
    axis.set_title(title, fontsize=10)
    axis.grid(axis="x", color="#DDDDDD")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    return figure


def clipping(parts, sigma):
    """Draw pixel values under noise, before and after they are cut to 0-255.

    Parameters
    ----------
    parts : dict of str to (array, array)
        By title: the sums of pixel and noise, and what is stored of them.
    sigma : float
        Of the noise; for the axis.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots(1, len(parts))
    for axis, (title, (before, after)) in zip(axes, parts.items(), strict=True):
        low, high = np.floor(np.min(before)), np.ceil(np.max(before))
        bins = np.arange(low, high + 2) - 0.5
        share = np.full(np.size(before), 100 / np.size(before))
        axis.hist(after, bins, weights=share, color="#56B4E9", label="stored")
        style = {"histtype": "step", "color": "black", "linewidth": 1.2}
        axis.hist(before, bins, weights=share, label="before clipping", **style)
        for values, colour, style in ((before, "black", "--"), (after, "#0072B2", "-")):
            axis.axvline(np.mean(values), color=colour, linestyle=style, linewidth=1.5)
        means = f"mean {np.mean(before):.2f} → {np.mean(after):.2f}"
        axis.set_title(f"{title}\n{means}", fontsize=10)
        axis.set_xlabel(f"pixel value, σ = {sigma}")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("% of the pixels")
    axes[0].legend(fontsize=9, frameon=False, loc="upper right")
    return figure


_MEASURES = {
    "sensitivity": (COLOURS["ALL"], "o", "-"),
    "specificity": (COLOURS["HEM"], "s", "--"),
    "accuracy": ("#000000", "^", ":"),
    "ROC-AUC": ("#CC79A7", "D", "-."),
}
"""Colour, mark and line of a metric wherever it is drawn against sigma."""


def against_sigma(panels, ylim, source=None, xlabel="σ of the test noise"):
    """Draw metrics against the sigma of the test noise, or against the strength of something else.

    Parameters
    ----------
    panels : dict of str to dict of str to dict
        By title, then by metric ("sensitivity", "specificity", "accuracy", "ROC-AUC"): sigma to
        a value, or to (low, value, high).
    ylim : (float, float)
    source : str, optional
        Whose cells they are; written into the picture.
    xlabel : str

    Returns
    -------
    matplotlib.figure.Figure
        One panel per title; an interval is a shaded band.
    """
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(6.4, 0.6 + 2.7 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    named = {}
    for axis, (title, lines) in zip(axes, panels.items(), strict=False):
        for name, points in lines.items():
            colour, mark, style = _MEASURES[name]
            sigmas = list(points)
            values = np.array([np.broadcast_to(point, 3) for point in points.values()])
            drawn = axis.plot(sigmas, values[:, 1], style, marker=mark, color=colour)
            named.setdefault(name, drawn[0])
            axis.fill_between(sigmas, values[:, 0], values[:, 2], color=colour, alpha=0.15, lw=0)
        axis.set_title(title, fontsize=10)
        axis.set(ylim=ylim, xticks=sigmas)
        axis.grid(axis="y", color="#DDDDDD")
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel(xlabel, fontsize=10)
    figure.legend(
        named.values(), named, loc="outside upper center", ncols=4, fontsize=9, frameon=False
    )
    if source:
        figure.supxlabel(source, fontsize=9)
    return figure


def brightness(means, source):
    """Draw how bright the cells of several sets of pictures are, one histogram each.

    Parameters
    ----------
    means : dict of str to array, shape (N,)
        Name of the set, and the mean value of each of its cells, in grey levels.
    source : str
        Whose cells they are; written into the picture.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.subplots()
    bins = np.linspace(min(map(np.min, means.values())), max(map(np.max, means.values())), 40)
    looks = (("#000000", "-"), ("#009E73", "--"), ("#CC79A7", ":"))
    for (name, values), (colour, line) in zip(means.items(), looks, strict=True):
        share = np.full(len(values), 100 / len(values))
        axis.hist(values, bins, weights=share, color=colour, alpha=0.15)
        axis.hist(
            values, bins, weights=share, color=colour, linestyle=line,
            histtype="step", linewidth=1.8, label=name,
        )  # fmt: skip
    axis.set_xlabel(f"mean value of the cell, grey levels ({source})")
    axis.set_ylabel("% of the pictures")
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", fontsize=9, frameon=False)
    return figure


def corners(by_imgaug, by_matrix, size):
    """Draw where the corners of a picture land under two ways to augment it.

    Parameters
    ----------
    by_imgaug, by_matrix : array of float, shape (N, 4, 2)
        Positions (x, y) in pixels.
    size : int
        Side of the picture.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    names = ("upper left", "upper right", "lower right", "lower left")
    looks = (("o", "#56B4E9"), ("x", "#CC79A7"), ("^", "#009E73"), ("+", "#000000"))
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]) * (size - 1)
    for axis, title, landed in zip(
        axes, ("imgaug", "one matrix"), (by_imgaug, by_matrix), strict=True
    ):
        for i, (name, (mark, colour)) in enumerate(zip(names, looks, strict=True)):
            axis.scatter(*landed[:, i].T, 12, colour, mark, alpha=0.5, linewidth=0.8, label=name)
        axis.plot(*square.T, color="#555555", linewidth=1.2)
        axis.set_title(title, fontsize=10)
        axis.set_aspect("equal")
        axis.set_xlabel("x, pixels")
    axes[0].set_ylabel("y, pixels")
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=9, frameon=False)
    return figure


def _pile(axis, x, y, side, colour, label="", step=0.16):
    """Draw four feature maps, or the layers of a filter, as a pile of squares, and name it."""
    for i in reversed(range(4)):
        corner = (x + step * i, y + step * i)
        axis.add_patch(Rectangle(corner, side, side, fc=colour, ec="#333333", lw=0.9))
    axis.text(x + side / 2 + 2 * step, y + side + 4 * step, label, ha="center", fontsize=9)


def separable():
    """Draw a standard convolution above a depthwise separable one, with their weights.

    Returns
    -------
    matplotlib.figure.Figure
    """
    maps, kernels, mixes = "#D6E8F4", "#FBE3D3", "#E6DDF0"
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots(2, 1)
    for axis in axes:
        axis.set(xlim=(0, 12), ylim=(-0.7, 3.0))
        axis.set_aspect("equal")
        axis.axis("off")
    upper, lower = axes
    upper.set_title("standard: K² · M · N weights", fontsize=10, loc="left")
    _pile(upper, 0.3, 0.3, 1.3, maps, "M maps")
    for i in range(4):
        _pile(upper, 4.0 + 1.25 * i, 0.5, 0.5, kernels)
    upper.text(6.2, 2.0, "N filters, K × K × M each", ha="center", fontsize=9)
    _pile(upper, 9.9, 0.3, 1.3, maps, "N maps")
    lower.set_title("depthwise separable: K² · M + M · N weights", fontsize=10, loc="left")
    _pile(lower, 0.3, 0.3, 1.3, maps, "M maps")
    _pile(lower, 3.1, 0.5, 0.5, kernels, "M kernels,\nK × K × 1")
    _pile(lower, 5.0, 0.3, 1.3, maps, "M maps")
    for i in range(4):
        _pile(lower, 7.55 + 0.5 * i, 0.7, 0.16, mixes, step=0.09)
    lower.text(8.5, 1.4, "N filters,\n1 × 1 × M", ha="center", fontsize=9)
    _pile(lower, 9.9, 0.3, 1.3, maps, "N maps")
    arrows = ((upper, 2.4, 3.8), (upper, 9.0, 9.8), (lower, 2.35, 3.0), (lower, 4.3, 4.9),
              (lower, 7.0, 7.5), (lower, 9.5, 9.85))  # fmt: skip
    for axis, start, end in arrows:
        style = {"arrowstyle": "-|>", "color": "#333333"}
        axis.annotate("", (end, 0.9), (start, 0.9), arrowprops=style)
    words = ((upper, 6.2, "looks around and mixes, all in one"),
             (lower, 3.7, "depthwise: looks around"), (lower, 8.5, "pointwise: mixes"))  # fmt: skip
    for axis, x, text in words:
        axis.text(x, -0.45, text, ha="center", fontsize=9, style="italic")
    return figure


def mobilenet_m(rows, head):
    """Draw MobileNet_M from the picture to the answer, and one of its blocks in detail (Fig. 5).

    Parameters
    ----------
    rows : sequence of (str, str)
        Stages of MobileNet: what they do, and the shape of what they give.
    head : sequence of (str, str)
        The layers of the paper's head, likewise.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.4, 7.2), layout="constrained")
    axis = figure.subplots()
    boxes = [(*row, "#D6E8F4") for row in rows] + [(*row, "#FBE3D3") for row in head]
    axis.set(xlim=(0, 12), ylim=(-len(boxes) - 0.2, 1))
    axis.axis("off")

    def box(x, y, width, text, colour):
        shape = "round,pad=0,rounding_size=0.15"
        corner = (x - width / 2, y - 0.36)
        axis.add_patch(FancyBboxPatch(corner, width, 0.72, shape, fc=colour, ec="#333333"))
        axis.text(x, y, text, ha="center", va="center", fontsize=9)

    def arrow(x, y):
        style = {"arrowstyle": "-|>", "color": "#333333", "shrinkA": 0, "shrinkB": 0}
        axis.annotate("", (x, y - 0.64), (x, y - 0.36), arrowprops=style)

    for i, (name, shape, colour) in enumerate(boxes):
        box(2.5, -i, 4.8, name, colour)
        axis.text(5.1, -i, shape, va="center", fontsize=9)
        if i < len(boxes) - 1:
            arrow(2.5, -i)
    inside = ("3 × 3 depthwise convolution", "batch normalisation", "ReLU, cut at 6",
              "1 × 1 pointwise convolution", "batch normalisation", "ReLU, cut at 6")  # fmt: skip
    axis.text(9.6, -1.2, "inside a block", ha="center", fontsize=10)
    axis.add_patch(
        Rectangle((7.2, -7.6), 4.75, 6.1, fill=False, ec="#333333", lw=1, linestyle="--")
    )
    for i, name in enumerate(inside):
        box(9.6, -2.0 - i, 4.4, name, "#ECECEC")
        if i < len(inside) - 1:
            arrow(9.6, -2.0 - i)
    return figure


def costs(blocks, parameters, multiply_adds):
    """Draw where the weights of a network are, and where its work is.

    Parameters
    ----------
    blocks : sequence of str
    parameters, multiply_adds : sequence of float
        One per block.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels of bars, in per cent of the whole.
    """
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, title, values, colour in (
        (axes[0], "parameters", parameters, "#009E73"),
        (axes[1], "multiply-adds", multiply_adds, "#CC79A7"),
    ):
        share = 100 * np.asarray(values) / np.sum(values)
        axis.barh(blocks, share, color=colour)
        for i, value in enumerate(share):
            text = f" {value:.0f}" if value >= 0.5 else " < 1"
            axis.text(value, i, text, va="center", fontsize=9)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("% of the network")
        axis.set_xlim(0, 1.15 * share.max())
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    return figure


PARTS = {
    "training": {"color": "#666666", "linestyle": "--", "marker": "o"},
    "validation": {"color": "#007A5A", "linestyle": "-", "marker": "^"},
}


def cross_entropy():
    """Draw the loss of one picture against the probability given to its true class.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axis = figure.subplots()
    p = np.linspace(0.005, 1, 400)
    axis.plot(p, -np.log(p), color="#333333", linewidth=2)
    for share, text in ((0.05, "sure and wrong"), (0.5, "no idea"), (0.95, "sure and right")):
        loss = -np.log(share)
        axis.plot(share, loss, "o", color="#CC79A7", markeredgecolor="black", markersize=8)
        align = "right" if share > 0.9 else "left"
        axis.annotate(
            f"{text}: {loss:.2f}", (share, loss), (0, 14), textcoords="offset points",
            ha=align, fontsize=10,
        )  # fmt: skip
    axis.set_xlabel("probability that the model gives the true class")
    axis.set_ylabel("loss of the picture")
    axis.set(xlim=(0, 1.02), ylim=(0, 5))
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def descent(valley, paths):
    """Draw the steps of an optimiser down a valley, one panel per learning rate.

    Parameters
    ----------
    valley : callable
        Loss at (x, y), arrays or numbers.
    paths : dict of str to array of float, shape (T, 2)
        Title of the panel, and the points in order.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axes = figure.subplots(1, len(paths), sharex=True, sharey=True)
    x, y = np.meshgrid(np.linspace(-1.3, 1.3, 120), np.linspace(-1.3, 1.3, 120))
    for axis, (title, path) in zip(axes, paths.items(), strict=True):
        axis.contour(x, y, valley(x, y), 12, colors="#AAAAAA", linewidths=0.8)
        axis.plot(*np.transpose(path), ".-", color="#332288", linewidth=1.2, clip_on=True)
        axis.plot(*path[0], "s", color="white", markeredgecolor="black")
        axis.plot(*path[-1], "*", color="#CC79A7", markeredgecolor="black", markersize=13)
        axis.set_title(f"{title}\nloss {valley(*path[-1]):.3f}", fontsize=10)
        axis.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), xticks=[], yticks=[])
        axis.set_aspect("equal")
    return figure


def patience(losses, rates, best):
    """Draw what the two kinds of patience do to a list of validation losses.

    Parameters
    ----------
    losses, rates : sequence of float
        Validation loss and learning rate of every epoch.
    best : int
        The epoch whose weights are kept, counted from 1.

    Returns
    -------
    matplotlib.figure.Figure
    """
    epochs = np.arange(1, len(losses) + 1)
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    top.plot(epochs, losses, **PARTS["validation"])
    top.plot(best, losses[best - 1], "*", color="#CC79A7", markeredgecolor="black", markersize=17)
    top.annotate(
        "best: these weights\ncome back", (best, losses[best - 1]), (0, 42),
        textcoords="offset points", ha="center", fontsize=10,
        arrowprops={"arrowstyle": "-", "color": "#333333"},
    )  # fmt: skip
    top.axvline(len(losses), color="#333333", linestyle=":")
    top.text(len(losses) - 0.15, max(losses), "stop", ha="right", va="top", fontsize=10)
    top.set_ylabel("validation loss")
    bottom.step(epochs, rates, where="mid", color="#332288", linewidth=2)
    bottom.plot(epochs, rates, ".", color="#332288")
    bottom.set_yscale("log")
    bottom.set_ylabel("learning rate")
    bottom.set_xlabel("epoch")
    bottom.set_xticks(epochs)
    for axis in (top, bottom):
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def curves(runs):
    """Draw Fig. 6: loss and accuracy by epoch, one column per run.

    Parameters
    ----------
    runs : dict of str to (history, best_epoch) or None
        Title of the column; Keras' history as a dict of lists, and the epoch (counted from 0)
        whose weights were kept. None leaves the column empty and says so.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.4, 5), layout="constrained")
    alike = "row" if all(runs.values()) else False  # an empty column has no scale to share
    axes = figure.subplots(2, len(runs), squeeze=False, sharex="col", sharey=alike)
    for column, (title, run) in enumerate(runs.items()):
        axes[0, column].set_title(title, fontsize=10)
        axes[1, column].set_xlabel("epoch")
        for axis, key in zip(axes[:, column], ("loss", "accuracy"), strict=True):
            axis.spines[["top", "right"]].set_visible(False)
            if column == 0:
                axis.set_ylabel(key)
            if run is None:
                axis.set(xticks=[], yticks=[])
                axis.text(
                    0.5, 0.5, "no record yet", transform=axis.transAxes, ha="center", fontsize=11
                )
                continue
            history, best = run
            epochs = np.arange(1, len(history["loss"]) + 1)
            for part, prefix in (("training", ""), ("validation", "val_")):
                axis.plot(epochs, history[prefix + key], label=part, markersize=4, **PARTS[part])
            axis.plot(
                best + 1, history[f"val_{key}"][best], "*",
                color="#CC79A7", markeredgecolor="black", markersize=14, label="weights kept",
            )  # fmt: skip
            rates = np.array(history["learning_rate"])
            for epoch in np.flatnonzero(rates[1:] < 0.99 * rates[:-1]) + 1:
                axis.axvline(epoch + 0.5, color="#332288", linewidth=1, linestyle=":")
            axis.locator_params("x", integer=True)
    handles = {}
    for axis in axes.flat:
        handles |= {text: handle for handle, text in zip(*axis.get_legend_handles_labels())}  # noqa: B905
    figure.legend(
        handles.values(), handles, loc="outside upper center", ncols=3, fontsize=9, frameon=False
    )
    return figure


def memory(marks):
    """Draw how long the running statistics of batch normalisation remember their start.

    Parameters
    ----------
    marks : dict of str to int
        Numbers of steps to mark, with their names.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axis = figure.subplots()
    steps = np.unique(np.logspace(0, 3.5, 200).astype(int))
    for momentum, style, colour in ((0.9, "-", "#332288"), (0.99, "--", "#AA4499")):
        share = 100 * momentum**steps
        axis.plot(steps, share, style, color=colour, linewidth=2, label=f"momentum {momentum}")
    axis.legend(loc="center right", fontsize=10, frameon=False)
    for row, (name, n) in enumerate(marks.items()):
        axis.axvline(n, color="#666666", linewidth=1, linestyle=":")
        axis.text(n * 1.04, 92 - 9 * row, f"{name}: {n} steps", fontsize=9)
    axis.set_xscale("log")
    axis.set(xlim=(1, 3200), ylim=(0, 102))
    axis.set_xlabel("training steps")
    axis.set_ylabel("% of the start\nstill in the statistics")
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def verdicts(counts):
    """Draw how many numbers of each table got which verdict.

    Parameters
    ----------
    counts : pandas.DataFrame
        One row per table, one column per verdict.

    Returns
    -------
    matplotlib.figure.Figure
    """
    looks = {
        "reproduced": ("#009E73", None),
        "within interval": ("#56B4E9", "///"),
        "differs": ("#D55E00", "xxx"),
        "not comparable": ("#BBBBBB", "..."),
        "not run yet": ("#FFFFFF", None),
    }
    figure = Figure(figsize=(6.4, 1.2 + 0.32 * len(counts)), layout="constrained")
    axis = figure.subplots()
    left = np.zeros(len(counts))
    for verdict, (colour, hatch) in looks.items():
        width = counts.get(verdict, 0 * left)
        style = {"color": colour, "hatch": hatch, "edgecolor": "black", "linewidth": 0.8}
        axis.barh(counts.index, width, 0.7, left, label=verdict, **style)
        left = left + width
    for place, total in enumerate(left):
        axis.text(total + 0.5, place, f"{total:.0f}", va="center", fontsize=9)
    axis.invert_yaxis()
    axis.set_xlabel("numbers printed in the paper")
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def answers(panels, source):
    """Draw how sure a network is, class by class, for each kind of test picture.

    Parameters
    ----------
    panels : dict of str to (labels, p_all)
        By the name of the pictures: labels 0 HEM, 1 ALL, and probabilities of ALL.
    source : str
        Whose cells they are, and who answered.

    Returns
    -------
    matplotlib.figure.Figure
    """
    bins = np.linspace(0, 1, 21)
    figure = Figure(figsize=(6.4, 0.6 + 1.6 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (title, (labels, p_all)) in zip(axes, panels.items(), strict=True):
        labels, p_all = np.asarray(labels, int), np.asarray(p_all, float)
        for label, (name, dash) in enumerate((("HEM", "--"), ("ALL", "-"))):
            share = 100 * np.histogram(p_all[labels == label], bins)[0] / (labels == label).sum()
            axis.stairs(share, bins, color=COLOURS[name], linestyle=dash, linewidth=2, label=name)
        axis.axvline(0.5, color="#777777", linewidth=1, zorder=0)
        axis.set(ylim=(0, 105), ylabel="% of the class")
        axis.set_title(title, fontsize=10, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(fontsize=9, frameon=False, loc=(0.3, 0.55))
    axes[-1].set_xlabel(f"probability of ALL ({source})")
    return figure


def reliability(answers, source, bins=10):
    """Draw how often a stated probability came true, and below it how often it was stated.

    Parameters
    ----------
    answers : dict of str to (labels, p_all)
        By title. Labels 0 HEM, 1 ALL; probabilities of ALL.
    source : str
        Whose cells they are, and who answered.
    bins : int
        Of equal width.

    Returns
    -------
    matplotlib.figure.Figure
        One column each; the bars at the points are 95 % Wilson intervals of the frequency.
    """
    edges = np.linspace(0, 1, bins + 1)
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots(
        2, len(answers), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1)
    )
    for (upper, lower), (title, (labels, p_all)) in zip(axes.T, answers.items(), strict=True):
        labels, p_all = np.asarray(labels), np.asarray(p_all, float)
        true, stated = calibration_curve(labels, p_all, n_bins=bins)
        count = np.histogram(p_all, edges)[0]
        for x, share, n in zip(stated, true, count[count > 0], strict=True):
            limits = binomtest(round(share * n), int(n)).proportion_ci(method="wilson")
            upper.plot((x, x), limits, color="#767676", linewidth=1.5, zorder=1)
        upper.plot((0, 1), (0, 1), ":", color="#767676", linewidth=1)
        upper.plot(stated, true, "o-", color="black", markersize=5)
        upper.set_title(title, fontsize=10)
        upper.set(xlim=(0, 1), ylim=(0, 1))
        lower.bar(edges[:-1], 100 * count / len(p_all), 1 / bins, align="edge", color="#56B4E9",
                  edgecolor="white")  # fmt: skip
        for axis in (upper, lower):
            axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("share that is ALL", fontsize=10)
    axes[1, 0].set_ylabel("% of images", fontsize=10)
    figure.supxlabel(f"stated probability of ALL ({source})", fontsize=9)
    return figure


def heat_maps(pictures, heat, titles, columns=4, source=None):
    """Lay heat maps over pictures, with the outline of each cell.

    Parameters
    ----------
    pictures : array of uint8, shape (N, H, W, 3)
    heat : array of float, shape (N, H, W)
        From 0 to 1.
    titles : sequence of str
    columns : int
    source : str, optional
        Whose cells they are; written below the pictures.

    Returns
    -------
    matplotlib.figure.Figure
        The pictures in grey, the heat in colour.
    """
    n_rows = -(-len(pictures) // columns)
    side = min(2.1, 6.4 / columns)
    figure = Figure(figsize=(side * columns + 0.5, (side + 0.4) * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, found, title in zip(axes.flat, pictures, heat, titles, strict=False):
        axis.imshow(picture.max(axis=-1), cmap="gray", vmin=0, vmax=130)
        shown = axis.imshow(found, cmap="inferno", vmin=0, vmax=1, alpha=0.6)
        axis.contour(picture.any(axis=-1), (0.5,), colors="white", linewidths=0.8)
        axis.set_title(title, fontsize=9)
    figure.colorbar(shown, ax=axes, shrink=0.6, label="support, share of the highest")
    if source:
        figure.supxlabel(source, fontsize=9)
    return figure


def on_background(shares, source):
    """Draw the share of heat maps that lies on the background, beside what is to be expected.

    Parameters
    ----------
    shares : dict of str to dict of str to array of float
        By group of cells, then by kind of map: the share in each picture, from 0 to 1.
    source : str
        Whose cells they are.

    Returns
    -------
    matplotlib.figure.Figure
        Boxes from the first to the third quartile, with the median; whiskers from 5 to 95 %.
    """
    kinds = list(dict.fromkeys(kind for group in shares.values() for kind in group))
    figure = Figure(figsize=(6.4, 1.2 + 0.75 * len(shares)), layout="constrained")
    axis = figure.subplots()
    looks = (("#000000", None), ("#56B4E9", "///"), ("#CC79A7", "..."))
    for kind, (colour, hatch), shift in zip(kinds, looks, (-0.25, 0, 0.25), strict=False):
        values = [100 * np.asarray(group[kind]) for group in shares.values()]
        boxes = axis.boxplot(
            [v[np.isfinite(v)] for v in values], positions=np.arange(len(shares)) + shift,
            widths=0.2, whis=(5, 95), showfliers=False, orientation="horizontal", patch_artist=True,
            medianprops={"color": "black", "linewidth": 2}, manage_ticks=False,
        )  # fmt: skip
        for box in boxes["boxes"]:
            box.set(facecolor="white", edgecolor=colour, hatch=hatch, linewidth=1.5, label=kind)
    axis.set_yticks(range(len(shares)), shares, fontsize=10)
    axis.invert_yaxis()
    axis.set(xlim=(0, 100), xlabel=f"% of the map on the black background\n({source})")
    axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axis.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    figure.legend(
        named.values(), named, loc="outside upper center", ncols=3, fontsize=9, frameon=False
    )
    return figure


def interaction(panels, ylabel, baseline=None):
    """Draw a metric over two factors, balance and augmentation: an interaction plot.

    Parameters
    ----------
    panels : dict of str to dict of str to dict
        By title, then by line (with or without augmentation): balance to a value, or to
        (low, value, high); nan where there is none. An empty panel says that nothing was run.
    ylabel : str
    baseline : float, optional
        What an answer without looking at the picture gets.

    Returns
    -------
    matplotlib.figure.Figure
        Parallel lines: the factors add up. Others: the effect of one depends on the other.
    """
    figure = Figure(figsize=(max(3.2 * len(panels), 4.6), 3.5), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    named = {}
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        for i, (name, points) in enumerate(lines.items()):
            colour, style = _LINES[i]
            values = np.array([np.broadcast_to(point, 3) for point in points.values()])
            reach = np.abs(values[:, [0, 2]] - values[:, [1]]).T
            x = np.arange(len(points)) + 0.05 * (2 * i - 1)  # apart, so that no bar hides another
            drawn = axis.errorbar(
                x, values[:, 1], reach, color=colour, linestyle=style, marker="os^"[i], capsize=4
            )
            named.setdefault(name, drawn)
            axis.set_xticks(range(len(points)), points)
            axis.set_xlim(-0.3, len(points) - 0.7)
        if not lines:
            axis.text(0.5, 0.5, "not run yet", transform=axis.transAxes, ha="center", fontsize=11)
            axis.set_xticks([])
        if baseline is not None:
            axis.axhline(baseline, color="#767676", linewidth=1, linestyle=(0, (1, 2)))
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("grey copies of", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(ylabel)
    figure.legend(
        named.values(), named, loc="outside upper center", ncols=2, fontsize=9, frameon=False
    )
    return figure


def grey_response(rows, source):
    """Draw the share of cells called ALL, in colour and in grey, by class and training set.

    Parameters
    ----------
    rows : dict of str to dict of str to dict
        By training set, then "in colour" or "in grey", then class: (low, share, high).
    source : str
        Whose cells they are.

    Returns
    -------
    matplotlib.figure.Figure
        A network that ignores colour has its marks in the same places on both sides.
    """
    figure = Figure(figsize=(6.4, 1.5 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, kind in zip(axes, ("in colour", "in grey"), strict=True):
        for place, row in enumerate(rows.values()):
            for name, mark, shift in (("ALL", "o", -0.13), ("HEM", "s", 0.13)):
                low, share, high = 100 * np.asarray(row[kind][name], float)
                axis.errorbar(
                    share, place + shift, xerr=[[share - low], [high - share]], color=COLOURS[name],
                    marker=mark, capsize=3, clip_on=False, label=name if place == 0 else None,
                )  # fmt: skip
        axis.set_title(kind, fontsize=10)
        axis.set(xlim=(0, 100), xticks=range(0, 101, 25), xlabel="% called ALL")
        axis.grid(axis="x", color="#DDDDDD")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(rows)), rows, fontsize=9)
    axes[0].set_ylim(len(rows) - 0.5, -0.5)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=9, frameon=False)
    figure.supxlabel(source, fontsize=9)
    return figure


def magnitudes(kernels, mark):
    """Draw the sizes of the weights of a layer in falling order, one curve per kernel.

    Parameters
    ----------
    kernels : dict of str to array of float
        Name of the curve, and the weights.
    mark : float
        A size to mark.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.subplots()
    for (name, kernel), (colour, style) in zip(kernels.items(), _LINES, strict=False):
        sizes = np.sort(np.abs(np.ravel(kernel)))[::-1]
        axis.plot(np.arange(1, len(sizes) + 1), sizes, style, color=colour, lw=2, label=name)
    axis.axhline(mark, color="#767676", linewidth=1, linestyle=(0, (1, 2)))
    place = axis.get_yaxis_transform()
    axis.text(0.99, mark, f"{mark:g}", va="bottom", ha="right", fontsize=9, transform=place)
    axis.set(yscale="log", ylim=(1e-5, None), xlabel="weights, in falling order", ylabel="size")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=9, frameon=False, loc="lower left")
    return figure


def feature_maps(rows, titles, source):
    """Show feature maps in a grid: one row per way to make them, one column per channel.

    Parameters
    ----------
    rows : dict of str to array of float, shape (H, W, C)
        Label of the row, and its maps.
    titles : sequence of str
        One per channel.
    source : str
        Whose cell it is, and who looked at it.

    Returns
    -------
    matplotlib.figure.Figure
        A channel has the same scale in all rows: from 0, black, to its largest value, white.
    """
    n = len(titles)
    figure = Figure(figsize=(6.4, 0.5 + 6.4 / n * len(rows) * 0.9), layout="constrained")
    axes = figure.subplots(len(rows), n, squeeze=False)
    top = np.max([maps.max(axis=(0, 1)) for maps in rows.values()], axis=0)
    for line, (name, maps) in zip(axes, rows.items(), strict=True):
        for channel, axis in enumerate(line):
            axis.imshow(maps[..., channel], cmap="gray", vmin=0, vmax=max(top[channel], 1e-9))
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, fontsize=10)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    figure.supxlabel(source, fontsize=9)
    return figure


def dilations(rates):
    """Draw on which pixels a 3×3 filter looks, for each dilation rate.

    Parameters
    ----------
    rates : sequence of int

    Returns
    -------
    matplotlib.figure.Figure
        One panel per rate: nine filled squares; the frame is the window they span.
    """
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    side = 2 * max(rates) + 3
    for axis, rate in zip(figure.subplots(1, len(rates)), rates, strict=True):
        for x in range(side):
            for y in range(side):
                dx, dy = x - side // 2, y - side // 2
                taken = dx in (-rate, 0, rate) and dy in (-rate, 0, rate)
                fill = "#D55E00" if dx == dy == 0 else "#333333" if taken else "white"
                axis.add_patch(Rectangle((dx - 0.5, dy - 0.5), 1, 1, fc=fill, ec="#BBBBBB"))
        frame = {"fill": False, "ec": "#0072B2", "lw": 2.5, "linestyle": "--"}
        axis.add_patch(Rectangle((-rate - 0.5, -rate - 0.5), 2 * rate + 1, 2 * rate + 1, **frame))
        axis.set(xlim=(-side / 2, side / 2), ylim=(-side / 2, side / 2), aspect="equal")
        axis.axis("off")
        window = 2 * rate + 1
        axis.set_title(f"dilation {rate}:\nwindow {window} × {window}", fontsize=10)
    return figure


def cluster(rates):
    """Draw one cluster of our ALNett-style network.

    Parameters
    ----------
    rates : sequence of int
        Dilation rates of its depthwise convolutions.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=(0, 12), ylim=(-5.7, 1.6))
    axis.axis("off")
    style = {"arrowstyle": "-|>", "color": "#333333", "shrinkA": 0, "shrinkB": 0}

    def box(x, y, width, text, colour):
        shape = "round,pad=0,rounding_size=0.15"
        corner = (x - width / 2, y - 0.4)
        axis.add_patch(FancyBboxPatch(corner, width, 0.8, shape, fc=colour, ec="#333333"))
        axis.text(x, y, text, ha="center", va="center", fontsize=9)

    axis.text(6, 1.4, "maps of the cluster before", ha="center", va="center", fontsize=9)
    places = np.linspace(2, 10, len(rates))
    for x, rate in zip(places, rates, strict=True):
        axis.annotate("", (x, 0.45), (6, 1.2), arrowprops=style)
        box(x, 0, 3.6, f"3 × 3 depthwise,\ndilation {rate}", "#FBE3D3")
        axis.annotate("", (6, -0.95), (x, -0.4), arrowprops=style)
    below = (("side by side", "#ECECEC"), ("1 × 1 convolution, ReLU", "#D6E8F4"),
             ("2 × 2 max-pooling", "#ECECEC"), ("batch normalisation", "#ECECEC"))  # fmt: skip
    for i, (name, colour) in enumerate(below):
        y = -1.35 - 1.2 * i
        box(6, y, 4.8, name, colour)
        if i:
            axis.annotate("", (6, y + 0.4), (6, y + 0.8), arrowprops=style)
    known = "in the abstract: depthwise convolution\nwith different dilation rates"
    axis.text(8.7, -1.9, known, fontsize=9, style="italic", va="center")
    known = "in the abstract: convolution,\nmax-pooling, normalisation"
    axis.text(8.7, -3.75, known, fontsize=9, style="italic", va="center")
    return figure


def disagreements(rows, names, title):
    """Draw, for each subject, the images that only one of two classifiers called rightly.

    Parameters
    ----------
    rows : pandas.DataFrame
        Columns ``subject, label, right_a, right_b``, one row per test image.
    names : (str, str)
        Of classifiers A and B.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
        A to the left, B to the right of the middle.
    """
    rows = rows.assign(a=rows["right_a"] & ~rows["right_b"], b=rows["right_b"] & ~rows["right_a"])
    found = rows.groupby(["label", "subject"])[["a", "b"]].sum().assign(
        n=rows.groupby(["label", "subject"]).size()
    ).reset_index().sort_values(["label", "n"], ascending=[False, False])  # fmt: skip
    figure = Figure(figsize=(6.4, 1.6 + 0.26 * len(found)), layout="constrained")
    axis = figure.subplots()
    top = max(found[["a", "b"]].to_numpy().max(), 4)
    for place, row in enumerate(found.itertuples()):
        axis.barh(place, -row.a, color="#333333")
        axis.barh(place, row.b, color="#CC79A7", hatch="///", edgecolor="white")
        for count, side, align in ((row.a, -1, "right"), (row.b, 1, "left")):
            if count:
                x = side * (count + 0.02 * top)
                axis.text(x, place, f"{count}", va="center", ha=align, fontsize=9)
    labels = [f"{r.subject} ({('HEM', 'ALL')[r.label]}, n = {r.n})" for r in found.itertuples()]
    axis.set_yticks(range(len(found)), labels, fontsize=9)
    axis.invert_yaxis()
    axis.axvline(0, color="black", linewidth=1)
    axis.set_xlim(-1.2 * top, 1.2 * top)
    axis.xaxis.set_major_formatter(lambda x, _: f"{abs(x):.0f}")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("test images")
    axis.set_title(title, fontsize=10)
    axis.spines[["top", "right", "left"]].set_visible(False)
    one = Patch(fc="#333333", label=f"only {names[0]} right")
    other = Patch(fc="#CC79A7", hatch="///", ec="white", label=f"only {names[1]} right")
    place = {"loc": "outside lower center", "ncols": 2, "fontsize": 9, "frameon": False}
    figure.legend(handles=[one, other], **place)
    return figure


def networks(rows):
    """Draw networks by their parameters and their multiply-adds, both on a logarithmic scale.

    Parameters
    ----------
    rows : dict of str to (parameters, multiply-adds)

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axis = figure.subplots()
    for name, (parameters, multiply_adds) in rows.items():
        x, y = parameters / 1e6, multiply_adds / 1e9
        axis.plot(x, y, "o", color="#0072B2", markersize=9)
        axis.annotate(name, (x, y), (0, 8), textcoords="offset points", ha="center", fontsize=9)
    axis.set(xscale="log", yscale="log", xlim=(0.25, 60), ylim=(0.2, 30))
    axis.set_xlabel("million parameters, with our head of two classes")
    axis.set_ylabel("thousand million multiply-adds\nper picture of 224 px")
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_formatter(lambda x, _: f"{x:g}")
    axis.grid(color="#DDDDDD")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def quantised(weights, bits=4, shown=8):
    """Draw the weights of one channel on a coarse grid, and what eight bits would lose.

    Parameters
    ----------
    weights : array of float
    bits : int
        Of the grid that is drawn; eight would be too fine to see.
    shown : int
        Bits of the error on the right.

    Returns
    -------
    matplotlib.figure.Figure
    """
    weights = np.ravel(weights)
    step, fine = (np.abs(weights).max() / (2 ** (b - 1) - 1) for b in (bits, shown))
    figure = Figure(figsize=(7.2, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    levels = step * np.arange(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1))
    left.vlines(levels, 0, 1, color="#D55E00", linewidth=1, transform=left.get_xaxis_transform())
    left.hist(weights, bins=60, color="#0072B2")
    left.set_title(f"{len(weights)} weights, and the {len(levels)} values of {bits} bits")
    left.set_xlabel("weight")
    error = fine * np.rint(weights / fine) - weights
    right.hist(error / fine, bins=np.linspace(-0.5, 0.5, 21), color="#0072B2", edgecolor="white")
    right.set_title(f"what is lost with {shown} bits")
    right.set_xlabel(f"error, in steps of {fine:.2g}")
    for axis in (left, right):
        axis.title.set_fontsize(10)
        axis.set_ylabel("number of weights")
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def channel_ranges(largest, name):
    """Draw the largest weight of each channel, and the one step that would serve them all.

    Parameters
    ----------
    largest : array of float, shape (channels,)
        Largest absolute weight of each channel; positive.
    name : str
        Of the layer.

    Returns
    -------
    matplotlib.figure.Figure
    """
    largest = np.sort(largest)
    step = largest[-1] / 127
    lost = largest < step / 2
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    places = np.arange(1, len(largest) + 1)
    axis.scatter(places[~lost], largest[~lost], s=7, color="#0072B2", label="some weights stay")
    axis.scatter(places[lost], largest[lost], s=7, color="#D55E00", label="all weights become 0")
    axis.axhline(step, color="black", linewidth=1)
    axis.annotate("one step for all", (1, step), (2, 4), textcoords="offset points", fontsize=9)
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axis.set_xlabel("channels, in order of their largest weight")
    axis.set_ylabel("largest weight")
    axis.set_title(f"{name}: {lost.sum()} of {len(largest)} channels lost", fontsize=10)
    axis.legend(frameon=False, fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def latencies(rows):
    """Draw the median time of each way with its interval, on a logarithmic scale.

    Parameters
    ----------
    rows : DataFrame
        By way: columns ``median``, ``low``, ``high``, in ms.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.4, 0.9 + 0.34 * len(rows)), layout="constrained")
    axis = figure.subplots()
    for place, row in enumerate(rows.itertuples()):
        axis.plot([row.low, row.high], [place, place], color="#0072B2", linewidth=3, alpha=0.5)
        axis.plot(row.median, place, "o", color="#0072B2")
        time = f"{row.median:,.0f}" if row.median >= 100 else f"{row.median:.3g}"
        axis.annotate(
            f"{time} ms", (row.high, place), (6, 0), textcoords="offset points",
            va="center", fontsize=9,
        )  # fmt: skip
    axis.set_yticks(range(len(rows)), rows.index)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_xlim(0.7 * rows["low"].min(), 2.2 * rows["high"].max())
    axis.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axis.xaxis.set_minor_formatter(lambda x, _: "")
    axis.set_xlabel("one picture, ms")
    axis.grid(axis="x", color="#DDDDDD")
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    return figure


def agreement(panels, labels, source):
    """Draw the answers of other formats against those of Keras.

    Parameters
    ----------
    panels : dict of str to (array of float, array of float)
        Title: probability of ALL by Keras, and by the other format.
    labels : array of int
        0 HEM, 1 ALL.
    source : str
        Whose cells they are.

    Returns
    -------
    matplotlib.figure.Figure
        What lies in the shaded corners changed its class.
    """
    labels = np.asarray(labels)
    figure = Figure(figsize=(2.9 * len(panels) + 0.8, 3.3), layout="constrained")
    for axis, (title, (exact, other)) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for x, y in ((0, 0.5), (0.5, 0)):
            axis.add_patch(Rectangle((x, y), 0.5, 0.5, color="#EEEEEE", zorder=0))
        for label, name in enumerate(COLOURS):
            chosen = labels == label
            axis.scatter(
                np.asarray(exact)[chosen], np.asarray(other)[chosen], s=12, alpha=0.6, linewidth=0,
                color=COLOURS[name], marker="os"[label], label=name,
            )  # fmt: skip
        axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        axis.set_xlabel("Keras: probability of ALL")
        axis.set_ylabel(title)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*axis.get_legend_handles_labels(), frameon=False, loc="outside right center")
    figure.suptitle(source, fontsize=9, color="#555555")
    return figure


def met_before(shares):
    """Draw how much of a test part a training part has met before.

    Parameters
    ----------
    shares : dict of str to dict of str to float
        By the name of the split: shares in [0, 1], as `allm_utils.splits.leakage` gives them.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per split, one bar per degree of acquaintance.
    """
    words = {"subject": "same patient", "smear": "same smear", "twin": "same file"}
    figure = Figure(figsize=(6.4, 0.55 + 0.95 * len(shares)), layout="constrained")
    axes = figure.subplots(len(shares), 1, sharex=True, squeeze=False)[:, 0]
    for axis, (title, found) in zip(axes, shares.items(), strict=True):
        names = [name for name in words if name in found]
        for place, name in enumerate(names):
            percent = 100 * found[name]
            axis.barh(place, percent, 0.7, color="#CC79A7", edgecolor="black", linewidth=0.8)
            axis.text(percent + 1, place, f"{percent:.3g} %", va="center", fontsize=9)
        axis.set_yticks(range(len(names)), [words[name] for name in names], fontsize=9)
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_xlim(0, 115)
        axis.set_xticks(range(0, 101, 20))
        axis.invert_yaxis()
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("% of the test cells that training has met")
    return figure


def same_files(pairs, folds):
    """Draw which subjects share byte-identical files, and the folds that they stand in.

    Parameters
    ----------
    pairs : sequence of (str, str, int)
        Two subjects, and how many files they share; a subject with itself has files twice.
    folds : dict of str to int
        The fold of each subject.

    Returns
    -------
    matplotlib.figure.Figure
        One column per fold, one dot per subject, one line per pair of subjects.
    """
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axis = figure.subplots()
    columns = sorted(set(folds.values()))
    places = {}
    for fold in columns:
        names = sorted((s for s in folds if folds[s] == fold), key=lambda s: (s[0] == "H", s))
        for row, name in enumerate(names):
            places[name] = (columns.index(fold), -(row + 0.5) * 8 / len(names))
    for first, second, count in pairs:
        (x, y), (u, v) = places[first], places[second]
        bend = 0.9 if x == u else 0.0  # to the left, past the dots between the two
        style = {"arrowstyle": "-", "color": "#CC79A7", "linewidth": 1.5 + 5 * count / 71}
        if first != second:
            curve = f"arc3,rad={bend}"
            axis.annotate("", (u, v), (x, y), arrowprops=style | {"connectionstyle": curve})
        middle = ((x + u) / 2 - 0.12 * bend * abs(v - y), (y + v) / 2)
        if first == second:
            middle = (x - 0.24, y - 0.45)
        text = f"{count}, twice" if first == second else str(count)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axis.text(*middle, text, ha="center", va="center", fontsize=10, bbox=box)
    for name, (x, y) in places.items():
        colour = COLOURS["HEM" if name.startswith("H") else "ALL"]
        axis.plot(x, y, "o", color=colour, markersize=30, markeredgecolor="black", zorder=3)
        style = {"color": "white", "fontweight": "bold", "fontsize": 9, "zorder": 4}
        axis.text(x, y, name, ha="center", va="center", **style)
    axis.set_xticks(range(len(columns)), [f"fold {fold}" for fold in columns], fontsize=10)
    axis.set(xlim=(-0.45, len(columns) - 0.5), ylim=(-8.2, 0.2), yticks=[])
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    names = [Patch(fc=COLOURS[name], label=name) for name in ("ALL", "HEM")]
    figure.legend(handles=names, loc="outside lower right", ncols=2, fontsize=9, frameon=False)
    return figure


def two_splits(scores, source, metric="balanced accuracy"):
    """Draw the scores of classifiers on several test parts, split by image and by person.

    Parameters
    ----------
    scores : dict of str to dict of str to sequence of float
        By classifier, then by kind of split: one score in [0, 1] per test part.
    source : str
        Whose cells they are.
    metric : str

    Returns
    -------
    matplotlib.figure.Figure
        A dot per test part, and a bar at the mean.
    """
    figure = Figure(figsize=(6.4, 1.4 + 0.9 * len(scores)), layout="constrained")
    axis = figure.subplots()
    ticks = []
    for row, (name, kinds) in enumerate(scores.items()):
        for shift, (mark, colour), (kind, values) in zip(
            (-0.18, 0.18), (("o", "#000000"), ("s", "#CC79A7")), kinds.items(), strict=True
        ):
            y = np.full(len(values), row + shift)
            label = kind if row == 0 else None
            axis.plot(values, y, mark, color=colour, alpha=0.75, markersize=7, label=label)
            mean = np.mean(values)
            axis.plot((mean, mean), (row + shift - 0.14, row + shift + 0.14), color=colour, lw=3)
            axis.text(1.005, row + shift, f"mean {mean:.3f}", va="center", fontsize=9,
                      transform=axis.get_yaxis_transform())  # fmt: skip
        ticks.append(name)
    axis.set_yticks(range(len(ticks)), ticks, fontsize=10)
    axis.set_ylim(len(ticks) - 0.5, -0.5)
    axis.set_xlabel(f"{metric} ({source})")
    axis.grid(axis="x", color="#DDDDDD")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=2, fontsize=9, frameon=False)
    return figure


def protocols(runs, metrics):
    """Draw the same metrics of several runs, each with two intervals.

    Parameters
    ----------
    runs : dict of str to (values, by_image, by_subject)
        By the name of the run: the metrics, and their intervals by image and by subject.
    metrics : sequence of str
        Names of the metrics to draw.

    Returns
    -------
    matplotlib.figure.Figure
        A thick line by image, a thin one by subject.
    """
    looks = (
        ("o", "#000000"),
        ("D", "#56B4E9"),
        ("s", "#CC79A7"),
        ("^", "#009E73"),
        ("v", "#E69F00"),
    )
    figure = Figure(
        figsize=(6.4, 1.2 + 0.24 * len(metrics) * (len(runs) + 1)), layout="constrained"
    )
    axis = figure.subplots()
    step = 0.8 / max(len(runs), 1)
    for row, metric in enumerate(metrics):
        for i, (name, (values, by_image, by_subject)) in enumerate(runs.items()):
            mark, colour = looks[i % len(looks)]
            y = row - 0.4 + step * (i + 0.5)
            axis.plot(by_subject[metric], (y, y), color=colour, linewidth=1.2)
            axis.plot(by_image[metric], (y, y), color=colour, linewidth=4, alpha=0.6)
            axis.plot(values[metric], y, mark, color=colour, markeredgecolor="black", markersize=7,
                      label=name if row == 0 else None)  # fmt: skip
    axis.set_yticks(range(len(metrics)), [name.replace("_", " ") for name in metrics], fontsize=10)
    axis.set_ylim(len(metrics) - 0.5, -0.5)
    axis.set_xlabel("thick: interval by image; thin: by subject")
    axis.grid(axis="x", color="#DDDDDD")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper left", ncols=1, fontsize=9, frameon=False)
    return figure


def effects(found, metric):
    """Draw what single changes did to a metric, with intervals, and a line at no effect.

    Parameters
    ----------
    found : sequence of (str, str, float, float, float)
        The change, the test that it was measured on, the difference, and its interval.
    metric : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    changes = list(dict.fromkeys(row[0] for row in found))
    tests = list(dict.fromkeys(row[1] for row in found))
    looks = (("s", "#CC79A7"), ("^", "#009E73"))
    figure = Figure(figsize=(6.4, 1.2 + 0.5 * max(len(changes), 1)), layout="constrained")
    axis = figure.subplots()
    axis.axvline(0, color="#333333", linewidth=1)
    for change, test, difference, low, high in found:
        mark, colour = looks[tests.index(test) % len(looks)]
        y = changes.index(change) + 0.24 * (tests.index(test) - (len(tests) - 1) / 2)
        axis.plot((low, high), (y, y), color=colour, linewidth=2)
        axis.plot(difference, y, mark, color=colour, markeredgecolor="black", markersize=7)
    axis.set_yticks(range(len(changes)), changes, fontsize=9)
    axis.set_ylim(max(len(changes), 1) - 0.5, -0.5)
    if not changes:
        axis.text(0.5, 0.5, "not run yet", transform=axis.transAxes, ha="center", fontsize=11)
    axis.set_xlabel(f"change of {metric}, 95 % interval by subject")
    axis.grid(axis="x", color="#DDDDDD")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    handles = [
        Line2D([], [], marker=mark, color=colour, markeredgecolor="black", label=test)
        for test, (mark, colour) in zip(tests, looks, strict=False)
    ]
    if handles:
        figure.legend(handles=handles, loc="outside upper left", fontsize=9, frameon=False)
    return figure
