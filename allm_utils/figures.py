"""Every plot of the book: one function each, returning a Matplotlib ``Figure``.

The two classes keep their colours throughout, from the colour-blind-safe palette of Okabe and Ito.
Figures are made without pyplot, so nothing is shown twice and nothing piles up in memory.
"""

import io
from collections.abc import Sequence

import matplotlib.figure
import numpy as np

COLOURS = {"HEM": "#0072B2", "ALL": "#D55E00"}
"""Blue for healthy, vermilion for leukemic."""


class Figure(matplotlib.figure.Figure):
    """A figure that a notebook shows by itself; without pyplot nothing else would."""

    def _repr_png_(self):
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=144)
        return buffer.getvalue()


def cells(images: np.ndarray, titles: Sequence[str], columns: int = 4, brighten: float = 1.0):
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

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(2.1 * columns, 2.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(np.clip(image * brighten, 0, 255).astype(np.uint8))
        axis.set_title(title, fontsize=10)
    return figure
