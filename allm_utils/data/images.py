"""From files to one array: read, crop, resize, and keep the result in a memory-mapped cache.

A picture is ``uint8 (H, W, 3)`` RGB in [0, 255] from here on; the model's first layer scales it.
"""

import contextlib
import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from allm_utils.errors import ConfigError, DataError, ImageError, reason
from allm_utils.files import sha256, write_atomically, write_whole

CROP = 300
"""Side of the centre crop in pixels. 224 would cut half of the cells; 300 keeps 94 % whole."""

SIZE = 224
"""Side of the model's input in pixels."""

LARGEST = 4096
"""No picture of one cell is larger, in pixels a side: 50 MB in memory."""

_FORMATS = ("BMP", "PNG", "JPEG", "WEBP")


class Member(io.BytesIO):
    """A picture file in memory, as out of an archive; errors call it by its name."""

    def __init__(self, name: str, content: bytes):
        super().__init__(content)
        self._name = name

    def __str__(self) -> str:
        return self._name


def _open(path: Path | Member) -> Image.Image:
    """Open and fully decode one image."""
    try:
        if isinstance(path, Path) and not path.is_file():  # reading a pipe would wait for ever
            found = "not a file" if path.exists() else "no such file"
            raise ImageError(f"{path}: {found}; give a picture of one cell")
        if not (path.stat().st_size if isinstance(path, Path) else path.getbuffer().nbytes):
            raise ImageError(f"{path}: empty; copy it again")
        image = Image.open(path, formats=_FORMATS)
        if max(image.size) > LARGEST:
            raise ImageError(
                f"{path}: {image.width}x{image.height} pixels, more than {LARGEST} a side; give a "
                "picture of one cell"
            )
        rawmode = str(image.tile[0].args) if image.tile else ""
        image.load()
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not a BMP, PNG, JPEG or WebP image; give a picture") from None
    except ImageError:
        raise
    except Exception as error:  # a decoder may raise anything
        raise ImageError(f"{path}: cannot be decoded ({reason(error)}); copy it again") from None
    if image.mode != "RGB" or ";16" in rawmode:
        kind = "16-bit" if ";16" in rawmode or ";16" in image.mode else image.mode
        raise ImageError(f"{path}: {kind} image; the model knows 8-bit RGB only, give the original")
    return image


def _check_colour(path: Path | Member, pixels: np.ndarray) -> None:
    if (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all():
        raise ImageError(f"{path}: grey image; the model needs stain colours, give the original")


def read(path: str | os.PathLike) -> np.ndarray:
    """Read one picture with three 8-bit channels: ``uint8 (H, W, 3)``, RGB.

    BMP, PNG, JPEG and WebP. An ImageError for one that is broken, or grey, CMYK, RGBA, palette or
    16-bit: refused, not converted, for it is not what the model was trained on.
    """
    path = Path(path)
    pixels = np.asarray(_open(path))
    _check_colour(path, pixels)
    return pixels


def centre_crop(image: np.ndarray, crop: int = CROP) -> np.ndarray:
    """Cut the central square, `crop` pixels wide, out of ``image (H, W, 3)``; a view, no copy."""
    height, width = image.shape[:2]
    if min(height, width) < crop:
        raise ImageError(f"image of {width}x{height} is smaller than the crop of {crop} pixels")
    top, left = (height - crop) // 2, (width - crop) // 2
    return image[top : top + crop, left : left + crop]


def prepare(path: str | os.PathLike | Member, size: int = SIZE, crop: float = CROP) -> np.ndarray:
    """Read, centre-crop and resize one picture (paper, section 3.2): ``uint8 (size, size, 3)``.

    A crop in pixels keeps the size of a cell: 450-pixel training images and 600-pixel images of the
    final test set come out at the same scale. A crop below 1 is a share: the crop about the centre
    that the cell, all that is not black, fills to this share, so that every cell has one size. It
    ends at the edge of the picture. Bilinear with antialiasing; errors as `read`.
    """
    path = path if isinstance(path, Member) else Path(path)
    image = _open(path)
    width, height = image.size
    if crop < 1:
        area = np.asarray(image).any(axis=-1).sum()
        crop = max(1, min(width, height, round(math.sqrt(area / crop))))
    if min(width, height) < crop:
        raise ImageError(
            f"{path}: {width}x{height} pixels, smaller than the crop of {crop}; "
            "give the original 450-pixel image"
        )
    left, top = (width - crop) // 2, (height - crop) // 2
    box = (left, top, left + crop, top + crop)
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
    _check_colour(path, pixels)
    return pixels


def _paths(source: pd.DataFrame | Iterable) -> list[Path]:
    return [Path(p) for p in (source["path"] if isinstance(source, pd.DataFrame) else source)]


def in_threads(function: Callable, items: Sequence, label: str, progress: bool) -> Generator:
    """Yield ``function(item)`` in order, computed by one thread per core, under a progress bar."""
    from tqdm.auto import tqdm

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = pool.map(function, items)
        try:
            yield from tqdm(results, label, len(items), unit="img", disable=not progress)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def digests(
    source: pd.DataFrame | Iterable, cache: str | os.PathLike, progress: bool = False
) -> list[str]:
    """Content hashes (sha256 in hex) of files, in order; `source` and `cache` as in `load`.

    They are remembered in the cache folder until a file's size or modification time changes.
    """
    paths = _paths(source)
    listing = b"\n".join(os.fsencode(os.path.abspath(path)) for path in paths)
    memory = Path(cache) / f"digests-{hashlib.sha256(listing).hexdigest()[:16]}.json"
    known = {}
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
        said = json.loads(memory.read_text()).items()
        known = {path: (int(n), int(t), str(digest)) for path, (n, t, digest) in said}

    def digest(path: Path) -> tuple[str, tuple[int, int, str]]:
        try:
            stat = path.stat()
            before = known.get(str(path))
            if before and before[:2] == (stat.st_size, stat.st_mtime_ns):
                return str(path), before
            if not path.is_file():
                raise ImageError(f"{path}: not a file; check the path")
            return str(path), (stat.st_size, stat.st_mtime_ns, sha256(path))
        except OSError as error:
            raise ImageError(f"{path}: {reason(error)}; check the path and its rights") from None

    if known:  # as a rule nothing has changed, and looking is faster than starting threads
        found = dict(map(digest, paths))
    else:
        found = dict(in_threads(digest, paths, "hashing", progress))
    if found != known:
        write_whole(memory, json.dumps(found))
    return [found[str(path)][2] for path in paths]


def fingerprint(source: pd.DataFrame | Iterable, cache: str | os.PathLike) -> str:
    """Name a data set by its content: sha256 over the sorted sha256 of its images."""
    return hashlib.sha256("\n".join(sorted(digests(source, cache))).encode()).hexdigest()


def load(
    source: pd.DataFrame | Iterable,
    size: int,
    crop: float,
    cache: str | os.PathLike,
    progress: bool = True,
) -> np.ndarray:
    """Prepare many pictures once, and open them in milliseconds ever after.

    Takes a DataFrame with a ``path`` column, or paths. Returns a memory map ``uint8 (N, size, size,
    3)``, read-only, in their order. The cache is keyed by the content of the files, their order,
    ``size`` and ``crop``, and is written whole or not at all: two processes may build it at once.
    """
    if not 0 < size or not 0 < crop or crop == 1:
        raise ConfigError(
            f"size {size}, crop {crop}: give positive numbers of pixels, or a crop below 1"
        )
    paths = _paths(source)
    if not paths:
        raise DataError("no images to load; check the folder and the selection")
    key = hashlib.sha256(
        json.dumps(["bilinear-1", size, crop, digests(paths, cache, progress)]).encode()
    ).hexdigest()
    target = Path(cache) / f"images-{size}px-crop{crop}-{key[:16]}.npy"
    if not target.exists():

        def build(part: Path) -> None:
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), size, size, 3)}
            with open(part, "wb") as file:
                np.lib.format.write_array_header_1_0(file, header)
                ready = in_threads(lambda p: prepare(p, size, crop), paths, "reading", progress)
                with contextlib.closing(ready):  # its bar ends before an error is told
                    file.writelines(ready)

        write_atomically(target, build)
    return open_array(target, (len(paths), size, size, 3), np.uint8)


def as_batch(pictures: Any) -> np.ndarray:
    """Pass pictures on as they are, if they are ``uint8 (N, H, W, 3)``; else an ImageError."""
    pictures = np.asarray(pictures)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3:
        raise ImageError(
            f"pictures of {pictures.dtype} {pictures.shape}: give uint8 (N, H, W, 3), RGB from 0 "
            "to 255; of one picture, picture[None]"
        )
    return pictures


def open_array(path: Path, shape: tuple[int, ...], dtype: type) -> np.memmap:
    """Open a cached array without reading it; a DataError if it is broken, or of another shape."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
        if not np.issubdtype(array.dtype, dtype) or array.shape[: len(shape)] != shape:
            raise ValueError(f"{array.dtype} of {array.shape}")
    except Exception as error:  # its header is Python, so may raise anything
        raise DataError(
            f"{path}: not a readable cache ({reason(error)}); delete it, run again"
        ) from None
    return array
