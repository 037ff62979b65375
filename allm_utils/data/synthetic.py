"""A made data set in the shape of C-NMC 2019, for machines without the real one.

The folders, file names, sizes and statistics are those of the real training set; the cells are
drawn. Nothing measured on them says anything about leukemia. The marker file
``SYNTHETIC.json`` at the root tells such a tree from a real one.

Calibrated on the real folds, where the area alone has an AUC of 0.868. A person's stain and
texture are as unlike their neighbour's as there, or a little more; size, chromatin, paleness, rim
and nucleoli differ between the classes. So a model that has seen other cells of the same people
does better than one that has not. Balanced accuracy of a small CNN (three convolutions, 48 px,
25 epochs) on 600 images, mean of five seeds with a fifth of the images, or of the people, held
out:

======  ============  =============  ====
`seed`  held-out      held-out       gap
        images        people
======  ============  =============  ====
0       0.906         0.716          0.19
1       0.880         0.789          0.09
2       0.883         0.755          0.13
======  ============  =============  ====
"""

import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy import stats
from tqdm.auto import tqdm

from allm_utils.errors import ConfigError, DataError

MARKER = "SYNTHETIC.json"
PRELIM_FOLDER = Path("C-NMC_Leukemia/validation_data/C-NMC_test_prelim_phase_data")
VERSION = 3
"""Raised whenever the same settings draw other pixels, so that an older tree is replaced."""

SIZE = 450
MARGIN = 28
CELLS_PER_SMEAR = 4.5
CLASS_SHARE = (0.32, 0.68)

SUBJECTS = (
    {"1": 19, "17": 74, "20": 76, "48": 268, "52": 402, "H6": 18, "H12": 185, "H24": 404},
    {"16": 53, "32": 212, "34": 352, "51": 757, "H10": 405, "H14": 385, "H22": 373},
    {"21": 80, "37": 197, "47": 278, "78": 218, "H2": 112, "H3": 36, "H13": 137, "H23": 327},
)
"""Per fold, some subjects of the real set and how many images each has there."""

PRELIM = {"53": 201, "57": 262, "66": 164, "H31": 77, "H39": 84, "H49": 162}
"""The same of the preliminary test set: people of whom the folds hold no cell."""

TWINS = {"21": "20", "78": "51", "H2": "H6", "H3": "H10"}
"""The second name of a person and the first: the same stain, and a few of the same files."""

TRAITS = ("paleness", "pinkness", "haze", "contrast", "grain", "spots", "rim", "size")
"""What differs from person to person, and less from smear to smear and from cell to cell."""

CLASS_SHIFT = np.array([1.5, 0.0, 0.0, 0.8, 1.5, 0.0, 0.8, 0.0])
"""ALL minus HEM, per trait: what a model may learn, beside the area and the nucleoli."""


class _Cell(NamedTuple):
    """What is decided of an image before it is drawn; `twin` is the path it is a copy of."""

    index: int
    path: str
    label: int
    traits: np.ndarray
    area: float
    twin: str | None


def make(dest, n_images=120, seed=0, progress=False, n_prelim=0):
    """Draw a synthetic C-NMC tree below `dest`.

    Each image is a function of (`seed`, its index) and of `n_images`, whatever the number of
    threads. The tree is built beside `dest` and renamed, so that it is there whole or not at all.
    With the same settings already there, nothing is done; other synthetic settings are replaced.

    Parameters
    ----------
    dest : str or Path
        Folder to make. It will hold ``C-NMC_Leukemia/training_data/fold_{0,1,2}/{all,hem}``.
    n_images : int
        Number of images, 23 (one for each subject) or more.
    seed : int
        Draws another population: other stains, other cells.
    progress : bool
        Show a progress bar.
    n_prelim : int
        Images of a preliminary test set beside the folds, with its label file; 0 for none, else
        one for each of its 6 subjects or more. The folds are the same with and without.

    Returns
    -------
    Path
        `dest`.

    Raises
    ------
    ConfigError
        `n_images`, `n_prelim` or `seed` is out of range.
    DataError
        `dest` holds something that this function did not make, or cannot be written.
    """
    dest = Path(dest)
    smallest = sum(map(len, SUBJECTS))
    if n_images < smallest:
        raise ConfigError(f"n_images={n_images}: too few; give {smallest} or more, one a subject")
    if n_prelim and n_prelim < len(PRELIM):
        raise ConfigError(f"n_prelim={n_prelim}: too few; give 0, or {len(PRELIM)} or more")
    if seed < 0:
        raise ConfigError(f"seed={seed}: negative; give 0 or more")
    settings = {"version": VERSION, "n_images": int(n_images), "seed": int(seed)}
    if n_prelim:
        settings["n_prelim"] = int(n_prelim)
    if _settings(dest) == settings:
        return dest
    _refuse_foreign(dest)
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{dest.name}-", dir=dest.parent))
    except OSError as error:
        raise DataError(f"{dest}: cannot be made ({error.strerror}); choose another") from None
    try:
        tree = building / "tree"
        _draw(tree, n_images, n_prelim, seed, progress)
        (tree / MARKER).write_text(json.dumps(settings) + "\n")
        _swap(tree, dest, building / "old", settings)
    except OSError as error:
        raise DataError(
            f"{dest}: cannot be written ({error.strerror}); free some space or choose another"
        ) from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return dest


def data_root(profile):
    """Return the tree a chapter reads: the profile's C-NMC, or a synthetic one made for it.

    Parameters
    ----------
    profile : Profile
        Its `data`, `work` and `synthetic_images` are used.

    Returns
    -------
    Path
        Root of a C-NMC-shaped tree.
    """
    if profile.data is not None:
        return Path(profile.data)
    return make(Path(profile.work) / "synthetic", profile.synthetic_images, progress=True)


def is_synthetic(root):
    """Tell whether `root` is a tree made here, or a folder inside one.

    Parameters
    ----------
    root : str or Path

    Returns
    -------
    bool
    """
    root = Path(root).resolve()
    return any((folder / MARKER).is_file() for folder in (root, *root.parents))


def _settings(dest):
    try:
        return json.loads((dest / MARKER).read_text())
    except (OSError, ValueError):
        return None


def _refuse_foreign(dest):
    if dest.is_dir():
        if not (dest / MARKER).is_file() and any(dest.iterdir()):
            raise DataError(f"{dest}: holds files that are not synthetic; choose an empty folder")
    elif dest.exists():
        raise DataError(f"{dest}: is a file; choose a folder")


def _swap(tree, dest, old, settings):
    try:
        tree.rename(dest)
    except OSError:
        if _settings(dest) != settings:  # else another process was faster
            dest.rename(old)
            tree.rename(dest)


def _draw(tree, n_images, n_prelim, seed, progress):
    cells = _plan(n_images, seed)
    if n_prelim:
        test_set, labels = _plan_prelim(n_prelim, seed, len(cells))
        cells += test_set
    for cell in cells:
        (tree / cell.path).parent.mkdir(parents=True, exist_ok=True)

    def write(cell):
        image = _render(cell, np.random.default_rng([seed, 2, cell.index]))
        (tree / cell.path).write_bytes(cv2.imencode(".bmp", image[..., ::-1])[1].tobytes())

    drawn = [cell for cell in cells if cell.twin is None]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in tqdm(
            pool.map(write, drawn), "Drawing cells", len(drawn), unit="image", disable=not progress
        ):
            pass
    for cell in cells:
        if cell.twin is not None:
            shutil.copyfile(tree / cell.twin, tree / cell.path)
    if n_prelim:
        (tree / PRELIM_FOLDER).parent.joinpath(f"{PRELIM_FOLDER.name}_labels.csv").write_text(
            "\n".join(["Patient_ID,new_names,labels", *labels, ""])
        )


# -- the plan: who, where, how large ---------------------------------------------------------


def _plan(n_images, seed):
    """List the cells of a tree, `n_images` of them, in a fixed order."""
    rng = np.random.default_rng([seed, 0])
    fold_of = {s: fold for fold, subjects in enumerate(SUBJECTS) for s in subjects}
    names = list(fold_of)
    counts = _apportion([_share(s, SUBJECTS[fold_of[s]]) for s in names], n_images)
    person = {}
    for label in (0, 1):
        people = [s for s in names if s not in TWINS and _label(s) == label]
        person |= zip(people, _spread(rng, len(people), len(TRAITS)), strict=True)

    cells, by_subject = [], {}
    for subject, count in zip(names, counts, strict=True):
        label = _label(subject)
        kind, written = ("all", subject) if label else ("hem", subject)
        # The real set writes one subject in lower case: a parser has to cope.
        written = "h3" if subject == "H3" else written
        own = by_subject.setdefault(subject, [])
        whose = person[TWINS.get(subject, subject)]
        for smear, nth, traits in _own_cells(rng, whose, label, count):
            path = (
                f"C-NMC_Leukemia/training_data/fold_{fold_of[subject]}/{kind}/"
                f"UID_{written}_{smear}_{nth}_{kind}.bmp"
            )
            own.append(len(cells))
            cells.append(_Cell(len(cells), path, label, traits, 0.0, None))

    cells = _sized(rng, cells)
    for second, first in TWINS.items():
        shared = min(max(1, n_images // 150), len(by_subject[second]), len(by_subject[first]))
        for copy, source in zip(by_subject[second][:shared], by_subject[first], strict=False):
            cells[copy] = cells[copy]._replace(twin=cells[source].path)
    return cells


def _plan_prelim(n_images, seed, first):
    """List the cells of the preliminary test set, numbered from `first`, and its label lines."""
    rng = np.random.default_rng([seed, 3])
    counts = _apportion([_share(s, PRELIM) for s in PRELIM], n_images)
    person = {}
    for label in (0, 1):
        people = [s for s in PRELIM if _label(s) == label]
        person |= zip(people, _spread(rng, len(people), len(TRAITS)), strict=True)
    drawn = []
    for subject, count in zip(PRELIM, counts, strict=True):
        label = _label(subject)
        kind = "all" if label else "hem"
        for smear, nth, traits in _own_cells(rng, person[subject], label, count):
            drawn.append((f"UID_{subject}_{smear}_{nth}_{kind}.bmp", label, traits))
    cells, lines = [], []
    for number, row in enumerate(rng.permutation(len(drawn)), start=1):
        patient, label, traits = drawn[row]
        path = f"{PRELIM_FOLDER.as_posix()}/{number}.bmp"
        cells.append(_Cell(first + number - 1, path, label, traits, 0.0, None))
        lines.append(f"{patient},{number}.bmp,{label}")
    return _sized(rng, cells), lines


def _own_cells(rng, person, label, count):
    """Yield smear, number in the smear (both from 1) and traits of the cells of a person."""
    smears = np.sort(rng.integers(0, max(1, round(count / CELLS_PER_SMEAR)), count))
    smears = np.unique(smears, return_inverse=True)[1]
    shift = rng.standard_normal((smears.max() + 1, len(TRAITS)))
    for i, smear in enumerate(smears):
        traits = (
            person
            + 0.35 * shift[smear]
            + 0.45 * rng.standard_normal(len(TRAITS))
            + (label - 0.5) * CLASS_SHIFT
        )
        yield smear + 1, 1 + int((smears[:i] == smear).sum()), traits.astype(np.float32)


def _sized(rng, cells):
    """Give each cell its area, by its trait and by chance, class by class."""
    cells = list(cells)
    for label in (0, 1):
        rows = [i for i, cell in enumerate(cells) if cell.label == label]
        size = [0.5 * cells[i].traits[-1] + 0.85 * rng.standard_normal() for i in rows]
        for i, area in zip(rows, _areas(np.array(size), label), strict=True):
            cells[i] = cells[i]._replace(area=float(area))
    return cells


def _label(subject):
    return 0 if subject.startswith("H") else 1


def _share(subject, fold):
    """Share of a subject in the images of its fold, where a class has its own share."""
    same = [n for other, n in fold.items() if _label(other) == _label(subject)]
    return CLASS_SHARE[_label(subject)] * fold[subject] / sum(same)


def _apportion(weights, total):
    """Share `total` by `weights`, at least one each, by largest remainders."""
    share = np.asarray(weights) / np.sum(weights) * (total - len(weights))
    whole = share.astype(int)
    rest = total - len(weights) - whole.sum()
    whole[np.argsort(whole - share, kind="stable")[:rest]] += 1
    return whole + 1


def _spread(rng, n, k):
    """Draw `n` people of a class with `k` standard normal traits, evenly over the quantiles.

    So neither class has more of a trait, and each model that tells people apart by theirs, to
    know the class, is misled by the next person, whatever the seed.
    """
    ranks = np.array([rng.permutation(n) for _ in range(k)]).T
    return stats.norm.ppf((ranks + 0.5) / n)


def _areas(size, label):
    """Give sizes of one class the areas (px) of the real set, quantile by quantile."""
    quantile = (np.argsort(np.argsort(size)) + 0.5) / len(size)
    if label:
        return np.clip(stats.norm.ppf(quantile, 37_000, 6_600), 15_000, 56_000)
    return np.clip(stats.lognorm.ppf(quantile, 0.3, scale=24_480), 13_500, 56_000)


# -- the picture ------------------------------------------------------------------------------

# Beer-Lambert: light times exp(-optical density), per R, G, B. The density is that of the stain,
# more or less of it, plus a shift to pink or blue: the two large principal components inside
# real cells. A bluish haze varies between people.
LIGHT = 150.0
SMEAR = np.array([0.30, 0.62, 0.42], np.float32)
STAIN = np.array([0.80, 1.78, 0.68], np.float32)
PINK = np.array([-0.82, 0.30, 0.48], np.float32)
HAZE = np.array([0.4, 0.0, 1.0], np.float32)


def _render(cell, rng):
    """Draw one cell: uint8 (450, 450, 3) RGB, exact black around it."""
    paleness, pinkness, haze, contrast, grain, spots, rim, _ = cell.traits
    outline = _outline(rng, cell.area)
    low = np.maximum(outline.min(0).astype(int) - MARGIN, 0)
    width, height = np.minimum(outline.max(0).astype(int) + MARGIN, SIZE) - low
    outline = outline - low
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 1, shift=4)
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)

    scale = np.exp(0.25 * grain)
    texture = _texture(rng, mask.shape, scale)
    texture = 0.07 * np.exp(0.25 * contrast) * 2 * np.tanh(texture / 2)
    texture += _spots(rng, mask, rng.poisson(7 * np.exp(0.5 * spots)))
    ring = np.exp(-depth / (5.5 * np.exp(0.3 * rim)))
    nucleoli = _nucleoli(rng, depth, cell.label)
    slope = _slope(rng, mask.shape)

    stain = 1 - 0.10 * paleness + slope - texture - 0.52 * ring - 0.14 * nucleoli
    blue = 0.09 * np.exp(-((depth - 12) ** 2) / 60) + 0.03 * nucleoli
    pink = 0.04 * pinkness + 0.35 * texture - blue
    optical = stain[..., None] * STAIN + pink[..., None] * PINK + 0.04 * haze * HAZE
    debris = _debris(rng, mask, outline)
    optical += cv2.GaussianBlur(debris, (0, 0), 2)[..., None] * (SMEAR - optical)
    image = LIGHT * np.exp(-np.maximum(optical, 0.05))
    noise = rng.standard_normal((*mask.shape, 3), dtype=np.float32)
    image += 0.8 * noise + 1.2 * cv2.GaussianBlur(noise, (0, 0), 0.9)

    full = np.zeros((SIZE, SIZE, 3), np.uint8)
    x, y = low
    full[y : y + height, x : x + width] = np.clip(image, 1, 190) * (mask + debris)[..., None]
    return full


def _outline(rng, area):
    """Draw a closed outline of `area` px, centred near the middle: float (360, 2) as x, y."""
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    order = np.arange(2, 24)
    size = 0.1 * rng.standard_normal(len(order)) / (order - 0.8) ** 1.35
    phase = rng.uniform(0, 2 * np.pi, len(order))
    radius = np.exp(size @ np.cos(order[:, None] * angle + phase[:, None]))
    for chance, low, high, width in ((0.25, -0.35, -0.05, 0.2), (0.25, 0.05, 0.2, 0.09)):
        if rng.random() < chance:  # a notch, a bleb
            away = np.angle(np.exp(1j * (angle - rng.uniform(0, 2 * np.pi))))
            radius *= 1 + rng.uniform(low, high) * np.exp(-0.5 * (away / width) ** 2)
    outline = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    if rng.random() < 0.12:  # cut where the segmentation ended
        axis, side = rng.integers(2), rng.choice([-1, 1])
        edge = rng.uniform(0.72, 0.95) * (side * outline[:, axis]).max()
        outline[:, axis] = side * np.minimum(side * outline[:, axis], edge)
    x, y = outline.T
    outline *= np.sqrt(area / (0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))))
    middle = (outline.max(0) + outline.min(0)) / 2
    room = np.minimum(38, SIZE / 2 - MARGIN - np.ptp(outline, axis=0) / 2)
    shift = np.clip(4 * rng.standard_t(3, 2), -room, room)
    return outline - middle + (SIZE - 1) / 2 + shift


def _texture(rng, shape, scale):
    """Draw chromatin: smooth noise of four sizes, mean 0 and variance about 1."""
    field = np.zeros(shape, np.float32)
    for pitch, share in ((44, 0.62), (22, 0.6), (11, 0.42), (5.5, 0.22)):
        rows, cols = (int(np.ceil(n / (pitch * scale))) + 3 for n in shape)
        grid = rng.standard_normal((rows, cols), dtype=np.float32)
        size = int(cols * pitch * scale), int(rows * pitch * scale)
        left, top = (int(pitch * scale * u) for u in rng.uniform(0, 1, 2))
        noise = cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC)
        field += 1.35 * share * noise[top : top + shape[0], left : left + shape[1]]
    return field


def _spots(rng, mask, count):
    """Draw `count` pale round spots inside `mask`: float32, 0 to about 0.3."""
    field = np.zeros(mask.shape, np.float32)
    inside = np.argwhere(mask)
    for width, n in ((3, count // 2), (6, count - count // 2)):
        rows, cols = inside[rng.integers(0, len(inside), n)].T
        dots = np.zeros(mask.shape, np.float32)
        dots[rows, cols] = rng.uniform(0.1, 0.25, n) * 2 * np.pi * width**2
        field += cv2.GaussianBlur(dots, (0, 0), width)
    return field


def _nucleoli(rng, depth, label):
    """Draw pale round nucleoli with a darker border, more of them in ALL."""
    field = np.zeros(depth.shape, np.float32)
    inside = np.argwhere(depth > 24)
    for y, x in inside[rng.integers(0, len(inside), rng.poisson(2.0 if label else 0.5))]:
        size = rng.uniform(8, 13)
        rows, cols = np.ogrid[: depth.shape[0], : depth.shape[1]]
        away = np.hypot(rows - y, (cols - x) * rng.uniform(0.8, 1.25)).astype(np.float32) / size
        field += np.exp(-(away**2)) - 0.45 * np.exp(-((away - 1.6) ** 2) * 4)
    return field


def _debris(rng, mask, outline):
    """Draw, on one cell in ten, a bit of smear that was segmented with it: float32, 0 or 1."""
    field = np.zeros(mask.shape, np.float32)
    if rng.random() < 0.1:
        start = rng.choice(outline)
        for radius in rng.integers(4, 13, rng.integers(2, 5)).tolist():
            centre = start + rng.uniform(-0.8, 0.8, 2) * radius
            cv2.circle(field, centre.astype(int).tolist(), radius, 1.0, -1)
    return field * (1 - mask)


def _slope(rng, shape):
    """Draw uneven thickness across the cell: a plane, float32."""
    rise = 0.06 * rng.standard_normal(2)
    rows, cols = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    return (rise[0] * rows[:, None] + rise[1] * cols).astype(np.float32)
