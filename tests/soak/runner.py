"""Run commands in forks of one process that has imported everything, and kill or starve them.

Jobs come as lines of JSON on stdin, and each gets a line on stdout. An audit hook sees every open
for writing, rename, removal and new folder below the folder of the job: its *write points*.
"""

import json
import os
import pathlib
import resource
import signal
import sys
import time

MODEL = "small"
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")


def small(weights=None, image_size=32, seed=None):
    """A network that trains in a second, with all that must survive: dropout, batch statistics."""
    import keras

    keras.utils.set_random_seed(seed or 0)
    layers = keras.layers
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    x = layers.Rescaling(1 / 255)(pixels)
    x = layers.Conv2D(4, 5, strides=4, name="convolution")(x)
    x = layers.BatchNormalization(momentum=0.9, name="normalization")(x)
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    answer = layers.Dense(2, activation="softmax", dtype="float32", name="prediction")(x)
    model = keras.Model(pixels, answer, name=MODEL)
    model.built_with = {"builder": MODEL, "arguments": {"image_size": image_size}}
    return model


def watch(job):
    """Count the write points of this process; at one of them end it, or say that the disk fails."""
    root = os.path.realpath(job["root"])
    listed = os.devnull if "largest" in job else job["root"] + "/points"
    points = open(listed, "w")  # noqa: SIM115

    def hook(event, args):
        if event == "open":
            path, flags = args[0], args[2]
            if not flags & WRITES or not isinstance(path, str | bytes):
                return
        elif event in CHANGES:
            path = args[0]
        else:
            return
        place = os.path.abspath(os.fsdecode(path))
        idle = {"os.mkdir": os.path.exists(place), "os.remove": not os.path.lexists(place)}
        if idle.get(event) or not place.startswith(root + "/"):
            return
        points.write(f"{event} {place.removeprefix(root)}\n")
        points.flush()
        hook.seen += 1
        if hook.seen == job.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if job.get("fail_at") in (hook.seen, 0):  # 0: every one
            raise OSError(job["errno"], os.strerror(job["errno"]), place)

    hook.seen = 0
    sys.addaudithook(hook)


def child(job):
    from allm_utils import cli

    os.chdir(job["root"])
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), number)
    watch(job)
    if "largest" in job:  # a disk that is full in the middle of a file
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["largest"],) * 2)
    code = cli.main(job["words"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(job):
    pid = os.fork()
    if not pid:
        try:
            child(job)
        finally:
            os._exit(99)
    if "seconds" in job:
        time.sleep(job["seconds"])
        os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    while not (done := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() - began > 600:
            os.kill(pid, signal.SIGKILL)
            return {"hung": True}
        time.sleep(0.01)
    root = pathlib.Path(job["root"])
    said = {name: (root / name).read_text(errors="replace") for name in ("out", "err")}
    points = (root / "points").read_text().splitlines() if "largest" not in job else []
    return {"code": os.waitstatus_to_exitcode(done[1]), "points": points, **said}


def main():
    import allm_utils.cli
    import allm_utils.runs.probe
    import allm_utils.ship.export  # noqa: F401
    from allm_utils.network import models
    from allm_utils.runs import records

    models.BUILDERS[MODEL] = small
    records.PARAMETERS[MODEL, 1.0] = {"total": 334, "trainable": 326}
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
