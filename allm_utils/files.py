"""Files, once for the whole package: write whole or not at all, lock, hash, silence a library."""

import contextlib
import glob
import hashlib
import logging
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from allm_utils.errors import ConfigError, DataError, reason

try:
    import fcntl
except ImportError:  # Windows, which does not remove a file that is open
    fcntl = None


def write_atomically(
    path: str | os.PathLike, write: Callable[[Path], object], folder: bool = False
) -> Path:
    """Fill a file or folder beside its place by ``write(part)``, then move it there in one step.

    The folder is made if absent. A DataError where the disk refuses: then nothing half-written is
    left, and an old file stays as it was. Parts that a killed process left go with the next call.
    """
    path = Path(path)
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
            with contextlib.suppress(OSError), _claimed(left) as free:
                if free:  # of a process that was killed
                    _remove(left)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        # with a user's rights, which tempfile does not give
        part.mkdir() if folder else part.touch(exist_ok=False)
        try:
            with _claimed(part):
                write(part)
                os.replace(part, path)
        finally:
            _remove(part)
    return path


def once(path: Path, make: Callable[[], object]) -> Path:
    """Make a file or a folder unless it is there; another process may be faster."""
    try:
        if not path.exists():
            make()
    except DataError:
        if not path.exists():
            raise
    return path


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Name, in a DataError, what cannot be written, where the system refuses."""
    try:
        yield
    except OSError as error:
        cure = "free some space, or choose another folder"
        raise DataError(f"{path}: cannot be written ({reason(error)}); {cure}") from None


def write_arrays(path: str | os.PathLike, save: Callable, *arrays: Any, **named: Any) -> Path:
    """Write by `numpy.save` or the like, as `write_atomically`."""

    def write(part: Path) -> None:
        with open(part, "wb") as file:  # given a path, NumPy would add a suffix
            save(file, *arrays, **named)

    return write_atomically(path, write)


def write_whole(path: str | os.PathLike, content: str | bytes) -> Path:
    """Write bytes, or a text in UTF-8 with its line ends as they are, as `write_atomically`."""
    content = content.encode() if isinstance(content, str) else content
    return write_atomically(path, lambda part: part.write_bytes(content))


@contextlib.contextmanager
def _claimed(part: Path) -> Iterator[bool]:
    """Lock a part, as long as its writer lives; say whether nobody else has."""
    if not fcntl:
        yield True
        return
    handle, free = os.open(part, os.O_RDONLY), True
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # or a disk that knows no locks: what is left there stays
            free = False
        yield free
    finally:
        os.close(handle)


def _remove(part: Path) -> None:
    shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)


def check_writable(folder: str | os.PathLike) -> None:
    """Refuse, by a DataError, a folder that neither takes files nor can be made; make nothing."""
    place = Path(folder).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise DataError(f"{folder}: cannot be written; choose another folder")


@contextlib.contextmanager
def exclusive(folder: str | os.PathLike) -> Iterator[None]:
    """Keep a folder for this process, as long as it lives; a ConfigError if another has it."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(
            f"{folder}: another process is at this run; wait for it, or choose another --work"
        ) from None
    try:
        yield
    finally:
        lock.release()


def walk(root: str | os.PathLike, suffixes: tuple[str, ...]) -> Iterator[tuple[Path, list[str]]]:
    """Go through a folder and all below it, and pass over what is hidden.

    Yields each folder with the sorted names of its files that end in one of the suffixes, given in
    small letters. Raises DataError for a folder that cannot be read.
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
