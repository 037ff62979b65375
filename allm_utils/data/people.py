"""Who is whom: people under several names, and the files that show one cell twice.

A *subject* is a name in the files, a *person* is what the pixels say: subjects that share a cell
are one person. Files of two subjects that are equal byte by byte are **byte twins**; files that
differ and show one cell, photographed twice or re-encoded, are **pixel twins**.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import overload

import numpy as np
import pandas as pd
import scipy  # loads its parts when they are asked for

from allm_utils.data import cnmc, images
from allm_utils.errors import DataError

_SUBJECTS = (
    ("1", "15", "16", "17", "18", "20", "21"),
    ("43", "44"),
    ("51", "55", "75", "78"),  # 55 is of the preliminary test set
    ("H2", "H4", "H5", "H6", "H7"),
    ("H3", "H10"),
    ("H14", "H24"),
)

GROUPS = {"+".join(subjects): subjects for subjects in _SUBJECTS}
"""People who stand in C-NMC 2019 under several names: person to subjects. 73 training subjects are
58 people. A lower bound: fold 2 and the test sets could be compared in part only."""

_PERSON = {subject: name for name, subjects in GROUPS.items() for subject in subjects}


@overload
def person(subject: pd.Series) -> pd.Series: ...
@overload
def person(subject: str) -> str: ...
def person(subject):
    """Name of the person behind a subject: one of `GROUPS`, or the subject itself."""
    if isinstance(subject, pd.Series):
        return subject.map({name: person(name) for name in subject.dropna().unique()})
    return _PERSON.get(subject, subject)


def relation(frame: pd.DataFrame, train_people: Iterable[str]) -> pd.Series:
    """Say how each row's person stands to the people that a network was trained on.

    ``"known"``: in training. ``"new"``: not in training, but of a fold that trained, which is one
    where somebody in training has all their images. ``"outside"``: of no such fold. Missing where
    there is no subject.
    """
    published = cnmc.shipped_index()
    who, training = person(published["subject"]), set(train_people)
    only_here = published["fold"].groupby(who).transform("nunique") == 1
    folds = published["fold"][who.isin(training) & only_here].unique()
    asked = person(frame["subject"])
    related = pd.Series("outside", frame.index, name="relation")
    related[asked.isin(who[published["fold"].isin(folds)])] = "new"
    related[asked.isin(training)] = "known"
    return related.where(asked.notna())


def byte_twins() -> pd.DataFrame:
    """Pairs of training files that are equal byte by byte, with the columns of `pixel_twins`.

    Some are of one subject. They are found by the published digests, and have no `ncc`.
    """
    frame = cnmc.shipped_index()
    frame = frame.assign(file=cnmc.file_names(frame), fold=frame["fold"].astype(str))
    pairs = frame.merge(frame, on="digest", suffixes=("_a", "_b"))
    pairs = pairs[pairs["path_a"] < pairs["path_b"]]
    return pairs[["file_a", "fold_a", "file_b", "fold_b"]].reset_index(drop=True)


def pixel_twins() -> pd.DataFrame:
    """Pairs of files of two subjects that differ in bytes and show one cell, as found by hand.

    `file_a`, `fold_a`, `file_b`, `fold_b` (a fold is ``"0"``, ``"1"``, ``"2"``, ``"prelim"`` or
    ``"final"``; a preliminary image goes by its patient's name, as in the label file), and `ncc`,
    the masked normalised cross-correlation of the two pictures, best pair first. It was measured in
    another band than that of `find_twins`.
    """
    with resources.files("allm_utils.data").joinpath("pixel_twins.tsv").open() as table:
        return pd.read_csv(table, sep="\t", dtype={"fold_a": str, "fold_b": str})


@dataclass(frozen=True)
class Twins:
    """What `find_twins` found.

    ``pairs``: `file_a`, `subject_a`, `file_b`, `subject_b`, `ncc` of two subjects of a class whose
    cells correlate by at least `TWIN`, best first. ``control``: the correlation of each compared
    pair of an ALL and a HEM cell, which cannot be one person: its largest tell where chance ends.
    """

    pairs: pd.DataFrame
    control: pd.Series

    def __str__(self) -> str:
        pairs = self.pairs.assign(ncc=self.pairs["ncc"].map("{:.3f}".format))
        lines = [" ".join(row) for row in pairs.itertuples(index=False)]
        lines.append(f"{len(pairs)} pairs of two subjects and one class at {TWIN} or above")
        if len(self.control):
            at = self.control.quantile([0.5, 0.99, 0.999])
            shown = ", ".join(f"{q:.1%} below {value:.3f}" for q, value in at.items())
            lines.append(
                f"control, {len(self.control)} pairs of an ALL and a HEM cell: {shown}, "
                f"largest {self.control.max():.3f}"
            )
        return "\n".join(lines)


TWIN = 0.65
"""Correlation from which `find_twins` lists a pair; in folds 0 and 1 the control ends below."""

_SIDE = 320  # pixels of the window around a cell; halved before anything is compared
_SHIFT = 24  # pixels of half size: the largest shift tried, each way
_FINE, _COARSE, _RIM, _CLIP = 1, 4, 5, 2.5  # band and rim in pixels of half size; outliers
_AREA = 2500  # pixels of half size; smaller cells correlate by chance
_OVERLAP = 0.7  # of the smaller cell
_FREQUENCIES = 24
_NEIGHBOURS = 4  # most alike cells of other subjects that are compared, in each class


def find_twins(frame: pd.DataFrame, progress: bool = True) -> Twins:
    """Find the cells that stand in a tree under two subjects, from the pictures alone.

    Of each cell the green channel is band-passed inside the eroded mask, outliers clipped. The
    moduli of its Fourier transform, which no shift changes, find its nearest neighbours among the
    cells of other subjects by one matrix product: four of its own class and four of the other.
    Each such pair gets the largest masked normalised cross-correlation over shifts of up to 48
    pixels each way (Padfield 2012, doi 10.1109/TIP.2011.2181402). A rotated cell is not found,
    and small round cells look alike: look at what is listed.
    """
    frame = frame[frame["subject"].notna()].reset_index(drop=True)
    if frame["subject"].nunique() < 2:
        raise DataError("fewer than two subjects to compare; give a tree of more")
    textures = np.stack(list(images.in_threads(_texture, frame["path"], "reading", progress)))
    large = textures.any(axis=(1, 2))
    frame, textures = frame[large].reset_index(drop=True), textures[large]
    moduli = np.stack([_moduli(texture) for texture in textures])
    near = _neighbours(moduli - moduli.mean(0), frame)
    correlate = partial(_correlate, textures)
    found = list(images.in_threads(correlate, list(near.items()), "comparing", progress))
    a = np.repeat(list(near), [len(others) for others in near.values()])
    b, ncc = np.concatenate(list(near.values())), np.concatenate(found)
    frame = frame[["subject", "label"]].assign(file=cnmc.file_names(frame))
    sides = [frame.iloc[rows].reset_index(drop=True) for rows in (a, b)]
    pairs = sides[0].join(sides[1], lsuffix="_a", rsuffix="_b").assign(ncc=ncc)
    one_class = pairs.pop("label_a") == pairs.pop("label_b")
    twins = pairs[one_class & (ncc >= TWIN)].sort_values("ncc", ascending=False)
    columns = ["file_a", "subject_a", "file_b", "subject_b", "ncc"]
    return Twins(twins[columns].reset_index(drop=True), pairs.loc[~one_class, "ncc"])


def _texture(path: str) -> np.ndarray:
    """One cell, float16 (160, 160): band-passed green, standardised, 0 outside and if too small."""
    import cv2

    picture = images.read(path)
    mask = picture.any(axis=2)
    half = _SIDE // 2
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, left = (rows[0] + rows[-1]) // 2, (columns[0] + columns[-1]) // 2
    green, mask = (
        cv2.resize(
            np.pad(plane, half)[top : top + _SIDE, left : left + _SIDE].astype(np.float32),
            (half, half),
            interpolation=cv2.INTER_AREA,
        )
        for plane in (picture[..., 1], mask)
    )

    def blurred(sigma):  # by the mask, so that the black around the cell does not leak in
        weight = np.maximum(cv2.GaussianBlur(mask, (0, 0), sigma), 1e-3)
        return cv2.GaussianBlur(green, (0, 0), sigma) / weight

    inside = cv2.erode(
        (mask > 0.99).astype(np.uint8),
        np.ones((3, 3), np.uint8),
        iterations=_RIM,
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    texture = np.zeros((half, half), np.float16)
    if np.count_nonzero(inside) >= _AREA:
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3).astype(int)[inside > 0]
        values = (blurred(_FINE) - blurred(_COARSE))[inside > 0]
        # round cells share the shading from rim to middle: half of it goes, so that it cannot
        # make two of them alike, and yet a faint cell keeps something to be known by
        values -= 0.5 * (np.bincount(depth, values) / np.maximum(np.bincount(depth), 1))[depth]
        middle = np.median(values)
        spread = _CLIP * 1.4826 * np.median(abs(values - middle))
        values = np.clip(values, middle - spread, middle + spread)
        texture[inside > 0] = (values - values.mean()) / values.std()
    return texture


def _moduli(texture: np.ndarray) -> np.ndarray:
    """The moduli of the low frequencies of one texture; float32."""
    n = _FREQUENCIES
    moduli = abs(scipy.fft.rfft2(texture.astype(np.float32)))[:, :n]
    return np.concatenate([moduli[:n], moduli[1 - n :]]).ravel()


def _neighbours(features: np.ndarray, frame: pd.DataFrame) -> dict[int, list[int]]:
    """Of each cell the later ones that are among its neighbours, or whose neighbour it is."""
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    subject, label = pd.factorize(frame["subject"])[0], frame["label"].to_numpy(int)
    pairs: set[tuple[int, int]] = set()
    for rows in np.array_split(np.arange(len(features)), len(features) // 256 + 1):
        alike = features[rows] @ features.T
        alike[subject[rows, None] == subject] = -np.inf
        one_class = label[rows, None] == label
        for other_class in (one_class, ~one_class):
            among = np.where(other_class, -np.inf, alike)
            nearest = np.argpartition(-among, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
            for row, others in zip(rows.tolist(), nearest, strict=True):
                others = others[np.isfinite(among[row - rows[0], others])].tolist()
                pairs |= {(min(row, other), max(row, other)) for other in others}
    near = defaultdict(list)
    for a, b in sorted(pairs):
        near[a].append(b)
    return near


def _correlate(textures: np.ndarray, row_and_others: tuple[int, list[int]]) -> np.ndarray:
    """Largest masked normalised cross-correlation of one texture with each of some others."""
    row, others = row_and_others
    side = scipy.fft.next_fast_len(textures.shape[1] + _SHIFT, real=True)

    def transform(texture):  # of the values, the mask and the squares
        texture = texture.astype(np.float32)
        return scipy.fft.rfft2(np.stack([texture, texture != 0, texture**2]), (side, side))

    a, a_mask, a_squares = transform(textures[row])
    best = []
    for other in others:
        b, b_mask, b_squares = transform(textures[other]).conj()
        sums = scipy.fft.irfft2(
            np.stack([a_mask * b_mask, a * b_mask, a_mask * b, a_squares * b_mask,
                      a_mask * b_squares, a * b]),
            (side, side),
        )  # fmt: skip
        n, sum_a, sum_b, squares_a, squares_b, product = np.roll(sums, (_SHIFT, _SHIFT), (1, 2))[
            :, : 2 * _SHIFT + 1, : 2 * _SHIFT + 1
        ]
        n = np.maximum(n, 1)
        spread = (squares_a - sum_a**2 / n) * (squares_b - sum_b**2 / n)
        ncc = (product - sum_a * sum_b / n) / np.sqrt(np.maximum(spread, 1))
        smaller = min(np.count_nonzero(textures[row]), np.count_nonzero(textures[other]))
        best.append(ncc[n >= _OVERLAP * smaller].max(initial=-1))
    return np.array(best)
