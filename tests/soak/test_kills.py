"""Killed at any moment, on any disk: a run ends bit-equal to one that was left alone, or in a line.

A share of it runs with every test; ``make soak`` runs it all.
"""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FULL = os.environ.get("ALLM_SOAK") == "1"
RANDOM_KILLS = 60
RATES = ("0.01", "0.03")
TREES = ("one", "other")
ERRORS = {"full": errno.ENOSPC, "read-only": errno.EROFS}
soak = pytest.mark.skipif(not FULL, reason="make soak")


@pytest.fixture(scope="module")
def server():
    """The process that runs jobs, each in a fork."""
    script = Path(__file__).with_name("runner.py")
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": ""}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, script], env=environment, **pipes) as process:
        assert process.stdout.readline() == "ready\n"

        def ask(root, words, **job):
            Path(root).mkdir(exist_ok=True)
            print(json.dumps({"root": str(root), "words": words, **job}), file=process.stdin)
            process.stdin.flush()
            done = json.loads(process.stdout.readline())
            assert "hung" not in done and "Traceback" not in done["err"], done
            if done["code"] == 2:
                assert last_line(done).startswith("allm: "), done
                assert "unexpected" not in last_line(done), done
            return done

        yield ask
        process.stdin.close()


def last_line(done):
    return [line for line in done["err"].splitlines() if line.strip()][-1]


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Two trees of forty pictures of 44 pixels, under names as published."""
    base = tmp_path_factory.mktemp("trees")
    for seed, tree in enumerate(TREES):
        rng = np.random.default_rng(seed)
        for number in range(1, 41):
            kind, subject = (("all", "9"), ("hem", "H9"))[number % 2]
            place = base / tree / "fold_1" / kind / f"UID_{subject}_1_{number}_{kind}.bmp"
            place.parent.mkdir(parents=True, exist_ok=True)
            picture = np.zeros((44, 44, 3), np.uint8)
            picture[8:36, 8:36] = rng.integers(60, 200, (28, 28, 3))
            Image.fromarray(picture).save(place)
    return base


@pytest.fixture(scope="module")
def words(trees):
    def words(rate, tree, *more):
        return (
            f"train --data {trees / tree} --model small --weights none --image-size 32 --crop 40 "
            "--epochs 2 --batch-size 8 --work w --out o --model-file m/m.safetensors "
            f"--condition clean noise:5 --learning-rate {rate}"
        ).split() + list(more)

    return words


def result(root):
    """What a run leaves that must not depend on who killed it, and its rate and data."""
    (record,) = Path(root, "o").glob("*/*.json")
    data = json.loads(record.read_text())
    for key in ("processes", "resumed"):
        del data[key]
    return (
        data["config"]["learning_rate"],
        data["data"]["fingerprint"],
        data,
        record.with_suffix(".csv").read_bytes(),
        Path(root, "m", "m.safetensors").read_bytes(),
        Path(root, "m", "m.json").read_bytes(),
    )


@pytest.fixture(scope="module")
def straight(server, words, tmp_path_factory):
    """What the runs leave that nobody kills, by rate and data; and the write points of one."""
    found = {}
    for rate in RATES if FULL else RATES[:1]:
        for tree in TREES if FULL else TREES[:1]:
            root = tmp_path_factory.mktemp("straight")
            done = server(root, words(rate, tree))
            assert done["code"] == 0, done
            found[result(root)[:2]] = result(root)
    assert len(found) == (4 if FULL else 1)
    n = len(done["points"])
    assert n > 30
    return found, range(1, n + 1) if FULL else (n // 3, 2 * n // 3)


def ends_well(root, straight, server, words):
    """Resume without harm: the record that is there then is that of a run left alone."""
    done = server(root, words)
    assert done["code"] == 0 or "there already" in done["err"], done
    found = result(root)
    assert found == straight[0][found[:2]]
    assert not [p for p in Path(root).rglob("*") if p.name.startswith(".") and p.is_file()]


def test_killed_at_every_write_point(server, words, straight, tmp_path):
    for point in straight[1]:
        root = tmp_path / str(point)
        assert server(root, words(*RATES[:1], TREES[0]), kill_at=point)["code"] == -9
        ends_well(root, straight, server, words(RATES[0], TREES[0], "--resume"))


@pytest.mark.parametrize("error", ["full", pytest.param("read-only", marks=soak)])
def test_a_disk_that_fails_at_any_write_point(server, words, straight, tmp_path, error):
    for point in [0, *straight[1]][: None if FULL else 2]:
        root = tmp_path / str(point)
        done = server(root, words(RATES[0], TREES[0]), fail_at=point, errno=ERRORS[error])
        assert done["code"] in ((2,) if point == 0 else (0, 2)), done
        ends_well(root, straight, server, words(RATES[0], TREES[0], "--resume"))


@pytest.mark.parametrize("largest", [1000, 3000, 8000])
def test_a_disk_that_is_full_in_the_middle_of_a_file(server, words, straight, tmp_path, largest):
    done = server(tmp_path, words(RATES[0], TREES[0]), largest=largest)
    assert done["code"] == 2, done
    ends_well(tmp_path, straight, server, words(RATES[0], TREES[0], "--resume"))


@soak
def test_killed_at_random_with_two_settings_and_two_trees_in_one_folder(
    server, words, straight, tmp_path
):
    rng, outcomes = np.random.default_rng(0), []
    for number in range(RANDOM_KILLS):
        root, who = tmp_path / str(number), lambda: (rng.choice(RATES), rng.choice(TREES))
        for _ in range(rng.integers(1, 4)):
            more = ["--resume"] * int(rng.integers(2))
            server(root, words(*who(), *more), seconds=float(rng.uniform(0, 4)))
        for attempt in (["--resume"], []):
            done = server(root, words(*who(), *attempt))
            if done["code"] == 0 or "there already" in done["err"]:
                found = result(root)
                assert found == straight[0][found[:2]]
                outcomes.append("equal")
                break
            said = last_line(done)
            assert "was made with another" in said or "left by a run" in said, done
        else:
            outcomes.append("refused")
    print(f"{len(outcomes)} chains: {outcomes.count('equal')} equal, the others refused")


@soak
@pytest.mark.parametrize("error", ERRORS)
def test_other_commands_on_a_disk_that_fails(server, straight, tmp_path, trees, error):
    *_, weights, card = next(iter(straight[0].values()))
    (tmp_path / "m.safetensors").write_bytes(weights)
    (tmp_path / "m.json").write_bytes(card)
    commands = {
        "predict": f"predict {tmp_path / 'm.safetensors'} {trees / 'one'} --out a.csv --resume",
        "probe": f"probe --model area --data {trees / 'one'} --image-size 32 --crop 40 "
        "--work w --out o",
        "sample": "data sample s",
    }
    for name, line in commands.items():
        points = len(server(tmp_path / name, line.split())["points"])
        stride = 1 + points // (3 if name == "sample" else 12)  # which writes 365 MB
        for point in [0, *range(1, points + 1, stride)]:
            root = tmp_path / f"{name}{point}"
            done = server(root, line.split(), fail_at=point, errno=ERRORS[error])
            assert done["code"] in ((2,) if point == 0 else (0, 2)), done
            if done["code"]:
                done = server(root, line.split())
                assert done["code"] == 0 or "there already" in done["err"], done
