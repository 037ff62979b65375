"""Time and memory of a step, on few and on many pictures: each run in a process of its own."""

import importlib
import json
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

from allm_utils.data import cnmc, images

from .measure import tree


def index(root):
    """Index a tree."""
    return cnmc.index(root)


def cache(root):
    """Build the cache of a tree, beside it."""
    paths = index(root)["path"]
    return images.load(paths, images.SIZE, images.CROP, f"{root}-cache", progress=False)


def epoch(root):
    """Make every batch of an epoch from the cache."""
    from allm_utils.network.training import (  # not above: the others need less
        TrainingConfig,
        TrainingData,
    )

    labels = index(root)["label"].to_numpy(int)
    data = TrainingData(cache(root), labels, TrainingConfig())
    for number in range(len(data)):
        data.batch(0, number)


def answers(root):
    """Predict a tree by LiteRT in eight bits, into a CSV; the network lies beside the tree."""
    from allm_utils.ship import inference

    network, out = Path(root).parent / "network-int8.tflite", Path(f"{root}.csv")
    for line in inference.write(network, root, out, progress=False):
        raise ValueError(line)


STEPS = {
    "Index": index,
    "Build the cache": cache,
    "Make the training pictures of an epoch": epoch,
    "Predict a folder by LiteRT int8": answers,
}
CELLS = {"steps": ["Predict a folder by LiteRT int8"], "numbers": (1_000, 10_000, 100_000)}
"""What chapter 14 shows; a quarter of an hour."""


def grow(scale, folder, numbers=None, steps=STEPS):
    """Run steps on these numbers of pictures: ``scale.pictures`` and ``scale.many``, if not given.

    Returns
    -------
    dict of str to list of dict
        ``pictures``, ``seconds`` and ``peak_mb``: the memory at its highest, with the interpreter
        and the libraries, without mapped files. These are the system's cache of the disk, which it
        takes back when it needs room.
    """
    from . import inference

    roots = {n: tree(folder, n) for n in numbers or (scale.pictures, scale.many)}
    inference.model_files(scale, folder)
    return {
        step: [{"pictures": n, **_in_a_child(step, root)} for n, root in roots.items()]
        for step in steps
    }


def _in_a_child(step, root):
    command = [sys.executable, "-m", "benchmarks.growth", step, root]
    here = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, cwd=here, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def _watched(function, *args):
    """Call a function; its time, that of all its cores, and the highest memory, every 10 ms."""
    stop, peak = threading.Event(), [_memory()]

    def watch():
        while not stop.wait(0.01):
            peak.append(max(peak.pop(), _memory()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        start, began = time.perf_counter(), time.process_time()
        function(*args)
        seconds, cores = time.perf_counter() - start, time.process_time() - began
    finally:
        stop.set()
        watcher.join()
    return {"seconds": seconds, "core_seconds": cores, "peak_mb": max(*peak, _memory())}


def _memory():
    """Return the memory of this process in MB, without mapped files where the system tells."""
    try:
        with open("/proc/self/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        return int(fields["RssAnon"].split()[0]) / 1024
    except (OSError, KeyError):
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used / (2**20 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    if STEPS[sys.argv[1]] is epoch:
        importlib.import_module(
            "allm_utils.network.training"
        )  # loading TensorFlow is no part of it
    print(json.dumps(_watched(STEPS[sys.argv[1]], sys.argv[2])))
