"""Every plot of the book: one function each, returning a Matplotlib ``Figure``.

The two classes keep their colours throughout, from the colour-blind-safe palette of Okabe and Ito.
Figures are made without pyplot, so nothing is shown twice and nothing piles up in memory.
"""

import io

import matplotlib.figure
import numpy as np
from matplotlib.colors import rgb_to_hsv
from matplotlib.patches import FancyBboxPatch

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
        axis.imshow(np.clip(image * brighten, 0, 255).astype(np.uint8))
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
        (8.2, 6.4, 3.2, test, "Gaussian noise,\nσ 0, 2, 5, 8, 10", ""),
        (5, 2.0, 6.6, both, network, "chapters 4 and 5"),
        (5, 0.3, 6.6, both, "ALL or HEM: scored on test", ""),
    )
    arrows = (
        ((5, 13.3), (5, 12.9)),
        ((5, 11.5), (5, 11.2)),
        ((3.2, 9.8), (2.6, 9.2)),
        ((2.6, 7.4), (2.6, 7.1)),
        ((2.6, 5.7), (2.6, 5.3)),
        ((2.9, 3.5), (3.5, 2.95)),
        ((5.9, 9.8), (5.9, 2.95)),
        ((7.2, 9.8), (8.2, 7.1)),
        ((8.2, 5.7), (7.4, 2.95)),
        ((5, 1.1), (5, 0.8)),
    )
    figure = Figure(figsize=(6.4, 7.4), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=(0, 10), ylim=(-0.2, 15.2))
    axis.axis("off")
    for x, y, width, colour, text, chapter in boxes:
        lines = text.count("\n") + 1 + bool(chapter)
        height = 0.4 + 0.43 * lines
        shape = "round,pad=0,rounding_size=0.15"
        axis.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2), width, height, shape, fc=colour, ec="#333333"
            )
        )
        place = y + 0.2 * bool(chapter)
        axis.text(x, place, text, ha="center", va="center", fontsize=10)
        if chapter:
            style = {"ha": "center", "fontsize": 9, "color": "#444444", "style": "italic"}
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
    figure = Figure(figsize=(6.4, 2.2), layout="constrained")
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
    figure = Figure(figsize=(6.4, 3.9), layout="constrained")
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
                "", (0.03, 0.5), (-0.13, 0.5), xycoords="axes fraction",
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
        Name and threshold: ALL is answered above it.
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
    top = 1.35 * max(counts[1].max(), 2 * counts[0].max())
    for height, (name, cut) in zip((0.98, 0.86), cuts.items(), strict=False):
        axis.axvline(cut, color="black", linewidth=1.2)
        axis.text(cut + 0.4, height * top, name, va="top", fontsize=10)
    axis.set(xlabel="area of the cell, thousand pixels", ylabel="training cells", ylim=(0, top))
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(title=source, fontsize=9, title_fontsize=9, loc="center right", frameon=False)
    return figure
