"""Files, once for the whole package: write whole or not at all, hash, and silence what is noisy."""

import contextlib
import hashlib
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from allm_utils.errors import DataError


def write_atomically(path: str | os.PathLike, write: Callable[[Path], object]) -> Path:
    """Fill a file beside its place, then move it there in one step.

    Parameters
    ----------
    path : path-like
        Where the file is to be; its folder is made if absent.
    write : callable
        Gets a temporary path in the same folder and fills it.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    DataError
        The folder or the file cannot be written. Nothing half-written is left, and an old file
        stays as it was.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        try:
            write(Path(part))
            os.replace(part, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); free some space, or choose another "
            "folder"
        ) from None
    return path


def walk(root: str | os.PathLike, suffixes: tuple[str, ...]) -> Iterator[tuple[Path, list[str]]]:
    """Go through a folder and all below it; what is hidden is passed over.

    Parameters
    ----------
    root : path-like
    suffixes : tuple of str
        How the names of the files end, in small letters.

    Yields
    ------
    folder : Path
    names : list of str
        Of its files that end so, sorted.

    Raises
    ------
    DataError
        A folder cannot be read.
    """

    def refuse(error):
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); check its rights")

    seen = set()  # links are followed, for data kept on another disk; a loop of them is not
    for path, subfolders, names in os.walk(root, followlinks=True, onerror=refuse):
        if (place := os.path.realpath(path)) in seen:
            subfolders.clear()
            continue
        seen.add(place)
        subfolders[:] = sorted(n for n in subfolders if not n.startswith((".", "__MACOSX")))
        names = (n for n in names if n.lower().endswith(suffixes) and not n.startswith("."))
        yield Path(path), sorted(n for n in names if _is_file(os.path.join(path, n)))


def _is_file(path):
    """A link to nowhere counts: it is better named later on than passed over."""
    return os.path.isfile(path) or (os.path.islink(path) and not os.path.exists(path))


def sha256(path: str | os.PathLike) -> str:
    """Hash one file; 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what a library, in C++ too, has to say; errors are raised all the same."""
    stderr, quiet_below = os.dup(2), logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with (
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stdout(nowhere),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        logging.disable(quiet_below)
        os.dup2(stderr, 2)
        os.close(stderr)
