"""Time two ways in turns, and watch one grow."""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allm_utils.data import cnmc, sample


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes
    ----------
    pictures : int
        Pictures of a comparison, and the smaller number of the growth.
    many : int
        The larger number of the growth.
    files : int
        Files of the index; that of the training set.
    size : int
        Side of a picture, in pixels.
    batches, steps : int
        Of 16 pictures, in one turn of the input pipeline and of the training.
    turns : int
        Times that both ways are timed.
    """

    pictures: int = 500
    many: int = 10_000
    files: int = 10_661
    size: int = 224
    batches: int = 4
    steps: int = 5
    turns: int = 5


TINY = Scale(
    pictures=48, many=96, files=96, size=64, batches=1, steps=2, turns=2
)  # fmt: skip


def compare(
    what,
    alternative_name,
    ours,
    alternative,
    *,
    turns,
    count=1,
    unit="ms a picture",
    goal=None,
    clock=time.perf_counter,
):
    """Time two functions in turns.

    Parameters
    ----------
    what, alternative_name : str
    ours, alternative : callable
        Without arguments. Each is called once before, to warm up.
    turns : int
    count : int
        Pictures that a call works on; the times are divided by it.
    unit : str
        Begins with ``ms`` or ``s``.
    goal : float, optional
    clock : callable
        Seconds; `time.process_time` where a core's work is meant, not the time on the wall.

    Returns
    -------
    dict
        A row, as the package describes it.
    """
    ways = (ours, alternative)
    for way in ways:
        way()
    seconds = np.empty((turns, 2))
    for turn in range(turns):
        for column in (0, 1) if turn % 2 else (1, 0):
            start = clock()
            ways[column]()
            seconds[turn, column] = clock() - start
    return row(what, alternative_name, *seconds.T / count, unit=unit, goal=goal)


def row(what, alternative_name, ours, alternative, *, unit, goal=None):
    """Make a row of two arrays of times, in seconds, taken in turns."""
    factor = 1000 if unit.startswith("ms") else 1
    ratios = np.asarray(alternative) / np.asarray(ours)
    return {
        "what": what,
        "unit": unit,
        "ours": float(np.median(ours)) * factor,
        "alternative": float(np.median(alternative)) * factor,
        "alternative_name": alternative_name,
        "ratio": float(np.median(ratios)),
        "low": float(ratios.min()),
        "high": float(ratios.max()),
        "goal": goal,
    }


def busy(way, seconds=4):
    """Share of the time in which the GPU computed while a function ran, over and over.

    By ``nvidia-smi``, which counts the time in which anything at all ran on the card.
    """
    ask = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    with subprocess.Popen([*ask, "-lms", "100"], stdout=subprocess.PIPE, text=True) as watcher:
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                way()
        finally:
            watcher.terminate()  # it would watch for ever, and we would wait for it
        shares = [float(line) / 100 for line in watcher.stdout]
    return float(np.mean(shares[len(shares) // 4 :]))  # the first looks back at what ran before


def tree(folder, n):
    """Make a tree of ``n`` files with the names of C-NMC, and return its root.

    The files are links to the cells of the sample: their content repeats, but each is found, opened
    and read like any other. More files than C-NMC has stand in several such trees below the root.
    """
    frame = sample.index(folder)
    cells = frame["path"][~frame["outside"]].to_numpy()
    names = cnmc.shipped_index()["path"]
    root = Path(folder) / f"tree-{n}"
    below = names.tolist()
    if n > len(names):
        below = [f"{number}/{name}" for number in range(-(-n // len(names))) for name in names]
    for i, row in enumerate(np.linspace(0, len(below) - 1, n).astype(int)):
        target = root / below[row]
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(cells[i % len(cells)], target)
    return root
