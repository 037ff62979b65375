"""Published cells in little space: WebP without loss, given back byte for byte; a fold in one file.

Thirty students who open one archive each are kinder to a shared drive than thirty who open 10,661
files. Wherever a command or a chapter takes a folder of C-NMC, it takes such an archive as well.
"""

import contextlib
import hashlib
import io
import os
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from PIL import Image

from allm_utils.data import cnmc, images
from allm_utils.errors import DataError, reason
from allm_utils.files import once, write_atomically

LARGEST = 1 << 21
"""No packed cell is larger, in bytes; those of C-NMC are a tenth of it."""

_DOTS_PER_METRE = bytes.fromhex("c30e0000c30e0000")  # bytes 38 to 45 of a published BMP file


def encode(path: str | os.PathLike, effort: int = 6) -> bytes:
    """Return a picture as WebP without loss; `effort` from 0 (fast) to 6 (small)."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.save(buffer, "WEBP", lossless=True, method=effort, quality=100, exact=True)
    return buffer.getvalue()


def restore(dest: Path, cells: pd.DataFrame, read: Callable[[str], bytes]) -> Path:
    """Write published BMP files into a new or empty folder: all of them, or none.

    `cells` are rows of `cnmc.shipped_index`; `read` gives the WebP file of a `path` of them. The
    bytes are known to be right; a DataError where they are not, or the folder cannot be written.
    """
    if dest.exists() and not (dest.is_dir() and not any(dest.iterdir())):
        raise DataError(f"{dest}: exists already; give a new folder, or remove this one")

    def fill(part: Path) -> None:
        def one(path: str, digest: str) -> None:
            bmp = _decode(read(path))
            if hashlib.sha256(bmp).hexdigest()[: len(digest)] != digest:
                raise DataError(f"{path}: not the cell that was published; fetch its source again")
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            (part / path).write_bytes(bmp)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(one, cells["path"], cells["digest"]))

    return write_atomically(dest, fill, folder=True)


def write(root: str | os.PathLike, archive: str | os.PathLike, fold: int) -> Path:
    """Pack one training fold of a tree into one file, about a twentieth of its size."""
    frame = cnmc.index(root)
    frame = frame[frame["fold"] == fold]
    published = cnmc.shipped_index().query("fold == @fold")
    place = dict(zip(cnmc.file_names(published).str.lower(), published["path"], strict=True))
    names = cnmc.file_names(frame).str.lower()
    odd = names[~names.isin(list(place))]
    if frame.empty or len(odd):
        what = f"'{odd.iloc[0]}' was never published" if len(odd) else f"no fold {fold} here"
        raise DataError(f"{root}: {what}; check it with 'allm data verify'")

    def build(part: Path) -> None:
        packed = images.in_threads(lambda p: encode(p, 4), list(frame["path"]), "packing", True)
        with zipfile.ZipFile(part, "w") as file, contextlib.closing(packed):
            for name, content in zip(names, packed, strict=True):
                file.writestr(Path(place[name]).with_suffix(".webp").as_posix(), content)

    return write_atomically(archive, build)


def opened(archive: Path) -> Path:
    """Folder with the published files of an archive; unpacked the first time, by its content.

    It lies in the system's folder for temporary files; TMPDIR moves it. A DataError for an archive
    that `write` has not made, or that is damaged.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            packed = {one.filename: one.CRC for one in file.infolist() if one.file_size < LARGEST}
            cells = cnmc.shipped_index()
            source = cells["path"].str.replace(".bmp", ".webp")
            cells = cells[source.isin(list(packed))]
            if not packed or len(cells) != len(file.infolist()):
                raise DataError(f"{archive}: not made by 'allm data pack'; give a folder or a pack")
            key = hashlib.sha256(repr(sorted(packed.items())).encode()).hexdigest()[:16]
            folder = Path(tempfile.gettempdir(), f"allm-{key}")
            read = lambda path: file.read(path.replace(".bmp", ".webp"))  # noqa: E731
            return once(folder, lambda: restore(folder, cells, read))
    except DataError:
        raise
    except Exception as error:  # zip and zlib raise many kinds
        raise DataError(
            f"{archive}: not a folder, and cannot be unpacked ({reason(error)}); give the folder, "
            "or copy the archive again"
        ) from None


def _decode(webp):
    """The bytes of the published BMP file."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(webp)) as image:
        image.convert("RGB").save(buffer, "BMP")
    bmp = bytearray(buffer.getvalue())
    bmp[38:46] = _DOTS_PER_METRE
    return bytes(bmp)
