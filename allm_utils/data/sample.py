"""Real cells that ship with the package: 540 of folds 0 and 1, and 60 of people from outside.

The files are the published pictures, re-encoded without loss; `write` gives the BMP files back byte
for byte. `choose` is the rule that picked them. To pick and encode them again, from trees that hold
the folds and the outside cells::

    python -c "from allm_utils.data import sample; sample.encode('CELLS', 'TREE', 'OUTSIDE_TREE')"
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import resources
from pathlib import Path

import pandas as pd

from allm_utils.data import cnmc, pack, people
from allm_utils.errors import DataError
from allm_utils.files import once

N_CELLS = 540
"""Cells of folds 0 and 1, half of them ALL; all 35 people."""

N_OUTSIDE = 60
"""Cells of fold 2, half of them ALL; the 14 people at hand who are nobody of folds 0 and 1."""

N_TWINS = 20
"""Pairs of pixel twins in the sample, one side in fold 0, the other in fold 1."""

CITATION = (
    "Cells: C-NMC 2019, A. Gupta and R. Gupta, The Cancer Imaging Archive, "
    "doi 10.7937/tcia.2019.dc64i46r, CC BY 3.0; re-encoded without loss."
)
"""Attribution, for under the first picture of a page."""

_CELLS = resources.files("allm_utils.data").joinpath("cells")


def at_hand() -> list[str]:
    """Name the 289 cells of fold 2 that the book has, of people who are not in folds 0 and 1."""
    return resources.files("allm_utils.data").joinpath("outside.txt").read_text().split()


def choose(seed: int = 0) -> pd.DataFrame:
    """Choose the cells of the sample by their names, as they were chosen.

    Both sides of the best `N_TWINS` pixel twins between folds 0 and 1 come first, no cell in two
    pairs. Then, in each class, every person gives one cell in turn until the number is full; a
    person's cells come in an order drawn by the seed. In the same way the outside cells.

    Returns rows of `cnmc.shipped_index` with `file`, and `outside`: whether the person is nobody of
    folds 0 and 1.
    """
    frame = cnmc.shipped_index()
    frame = frame.assign(file=cnmc.file_names(frame))
    frame["outside"] = frame["file"].isin(at_hand())
    frame = frame[frame["fold"].isin([0, 1]) | frame["outside"]]
    order = frame.assign(
        twin=frame["file"].isin(_twins()),
        person=people.person(frame["subject"]),
        drawn=[hashlib.sha256(f"{seed} {name}".encode()).hexdigest() for name in frame["file"]],
    ).sort_values(["twin", "drawn"], ascending=[False, True])
    order["turn"] = order.groupby("person").cumcount()
    order = order.sort_values(["twin", "turn", "drawn"], ascending=[False, True, True])
    chosen = [
        part.head((N_OUTSIDE if outside else N_CELLS) // 2)
        for (outside, _), part in order.groupby(["outside", "label"])
    ]
    return frame.loc[pd.concat(chosen).index.sort_values()].reset_index(drop=True)


def write(dest: str | os.PathLike) -> Path:
    """Write the sample as the published BMP files, byte for byte: 365 MB, in seconds.

    `dest`, a new or empty folder, gets ``fold_{0,1,2}/{all,hem}/UID_*.bmp``, the cells from outside
    in ``fold_2``, whole or not at all; it is a root to give to `cnmc.index`.
    """
    shipped = lambda path: _CELLS.joinpath(f"{Path(path).stem}.webp").read_bytes()  # noqa: E731
    return pack.restore(Path(dest), _shipped(), shipped)


def root(work: str | os.PathLike) -> Path:
    """Tree of the sample, ``work/sample``: written the first time, and checked by its names."""
    tree = once(path := Path(work, "sample"), lambda: write(path))
    names = {path.relative_to(tree).as_posix() for path in tree.glob("fold_*/*/*.bmp")}
    if names != set(_shipped()["path"]):
        raise DataError(f"{tree}: not the sample that ships; remove this folder and run again")
    return tree


def index(work: str | os.PathLike) -> pd.DataFrame:
    """Index of the sample as files, written under ``work`` the first time.

    The columns of `cnmc.index`, and `outside` (bool): a cell of a person who is nobody of folds 0
    and 1. No split takes such a row unless fold 2 is asked for by name.
    """
    frame = cnmc.index(root(work))
    return frame.assign(outside=(frame["fold"] == 2).astype(bool))


def people_shown(frame: pd.DataFrame) -> str:
    """Name the people of some cells for a caption: ``"people: HEM H6, H14+H24; ALL 5"``."""
    who = people.person(frame["subject"])
    named = [(name, who[frame["label"] == label]) for label, name in enumerate(cnmc.CLASSES)]
    told = "; ".join(f"{name} {', '.join(p.unique())}" for name, p in named if len(p))
    return f"people: {told}"


def encode(cells: str | os.PathLike, *roots: str | os.PathLike) -> None:
    """Write the chosen cells as WebP without loss, the files that ship, from C-NMC trees."""
    tree = pd.concat([cnmc.index(root) for root in roots])
    path_of = {Path(path).name: path for path in tree["path"]}
    names = choose()["file"]
    if absent := set(names) - set(path_of):
        raise DataError(f"{roots[0]}: lacks {len(absent)} cells of the sample; give all the trees")
    Path(cells).mkdir(parents=True, exist_ok=True)

    def one(name: str) -> None:
        Path(cells, name).with_suffix(".webp").write_bytes(pack.encode(path_of[name]))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, names))


def _twins():
    """Files of the best pairs of pixel twins between folds 0 and 1."""
    pairs = people.pixel_twins()
    pairs = pairs[(pairs["fold_a"] == "0") & (pairs["fold_b"] == "1")]
    chosen: set[str] = set()
    for a, b in zip(pairs["file_a"], pairs["file_b"], strict=True):
        if len(chosen) < 2 * N_TWINS and not {a, b} & chosen:
            chosen |= {a, b}
    return chosen


@cache
def _shipped():
    """Rows of the shipped index whose cells are in the package."""
    names = {Path(file.name).stem for file in _CELLS.iterdir()}
    frame = cnmc.shipped_index()
    return frame[[Path(path).stem in names for path in frame["path"]]]
