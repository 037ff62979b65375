"""Draw the picture of the landing page: cells that the package made, never real ones.

Run it as ``python book/picture.py`` after a change of `allm_utils.synthetic`.
"""

import io
import tempfile
from pathlib import Path

from PIL import Image

from allm_utils.book import figures
from allm_utils.data import cnmc, images, synthetic

PLACE = Path(__file__).parent / "_static" / "cells.jpg"


def picture(columns=8):
    """Return a figure of as many cells of each class, taken blindly: HEM above, ALL below."""
    with tempfile.TemporaryDirectory() as folder:
        frame = cnmc.index(synthetic.make(Path(folder) / "tree"))
        rows = frame.groupby("label").sample(columns, random_state=0)
        cells = [images.prepare(path, 224, 350) for path in rows["path"]]
    source = "synthetic cells, drawn by the package of this book"
    figure = figures.cells(cells, [""] * len(cells), columns, 2.0, cnmc.CLASSES, source)
    figure.set_figheight(2 * figure.get_figwidth() / columns + 0.35)
    return figure


if __name__ == "__main__":
    png = io.BytesIO(picture()._repr_png_())
    Image.open(png).convert("RGB").save(PLACE, quality=85, optimize=True)
