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
