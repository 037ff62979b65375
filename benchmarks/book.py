"""Build the book twice: the second build has nothing new to execute or to write."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

from .measure import row

ROOT = Path(__file__).resolve().parents[1]


def rows(scale, folder, root=ROOT):
    """Compare a second build of the book with the first; once, as it takes minutes."""
    copy = Path(folder) / "book"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "notebooks", "book", "_config.yml", "_toc.yml"],
        cwd=root, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / name, copy / name)
    command = [Path(sys.executable).with_name("jupyter-book"), "build", copy, "--quiet"]
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append([time.perf_counter() - start])
    first, second = seconds
    yield row("Build the book, once more", "the first build", second, first, unit="s")
