"""Where runs run: processes of this machine, a Ray cluster, or Slurm.

An engine is handed a run and gives back what has ``done()`` and ``result()``: what `attempt`
returned, or the exception that ended the process.
"""

import math
import os
import pickle
import queue
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import keras

from allm_utils.errors import AllmError, ConfigError, need, reason
from allm_utils.files import quiet
from allm_utils.runs import experiment, probe
from allm_utils.runs.config import ProbeConfig, RunConfig

MEMORY = 4e9
"""Bytes that a run of Table 5 may take: its libraries, and batches of 64 pictures in the test."""


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Where runs run, and what each takes.

    Attributes
    ----------
    engine : {"here", "ray", "slurm"}
        This machine, a Ray cluster, or a Slurm cluster on one of whose login nodes this is called.
    address : str or None
        Of the Ray cluster; without one, Ray starts one on this machine.
    workers : int or None
        Runs at a time; by default as many as there is room for.
    cpus : float
        Cores that a run takes.
    gpus : float
        Share of a GPU that a run takes, where there are any.
    """

    engine: Literal["here", "ray", "slurm"] = "here"
    address: str | None = None
    workers: int | None = None
    cpus: float = 2.0
    gpus: float = 0.125


def attempt(config: RunConfig) -> str:
    """Do one run, from its checkpoint if there is one; return why it cannot be done, if so."""
    try:
        with quiet():
            if isinstance(config, ProbeConfig):
                probe.run(config, progress=False)
            else:
                experiment.run(config, resume=True, progress=False)
    except AllmError as error:
        return str(error)
    return ""


def start(config: EngineConfig, work: Path):
    """Make the engine that is asked for; its notes go below the folder `work`."""
    return {"here": Here, "ray": Ray, "slurm": Slurm}[config.engine](config, work.absolute())


def _environment(work: Path) -> dict[str, str]:
    """For the process of a run: it may share a GPU, and what one has compiled serves all."""
    return {
        "KERAS_BACKEND": keras.backend.backend(),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "JAX_COMPILATION_CACHE_DIR": str(work / "xla"),
    }


class Here:
    """This machine: each run in a process of its own, whose death costs that run alone."""

    def __init__(self, config: EngineConfig, work: Path):
        cards, cores = _cards(), os.cpu_count() or 1
        room = len(cards) / config.gpus if cards else cores / config.cpus
        if hasattr(os, "sysconf"):  # not on Windows
            memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            room = min(room, memory / MEMORY)
        self.workers = config.workers or max(1, int(room))
        threads = str(max(1, cores // self.workers))
        shared = {"OMP_NUM_THREADS": threads, "TF_NUM_INTRAOP_THREADS": threads}
        self._given = _environment(work) | shared | dict(os.environ)
        self._slots = queue.SimpleQueue()
        for number in range(self.workers):
            self._slots.put({"CUDA_VISIBLE_DEVICES": cards[number % len(cards)]} if cards else {})
        self._pool, self._children = ThreadPoolExecutor(self.workers), {}

    def submit(self, config: RunConfig):
        """Start a run as soon as there is room."""
        return self._pool.submit(self._alone, config)

    def _alone(self, config):
        slot, pipe = self._slots.get(), subprocess.PIPE
        command = [sys.executable, "-m", "allm_utils.runs.engines"]
        try:
            with subprocess.Popen(
                command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                env=self._given | slot,
                start_new_session=True,  # Ctrl-C is for us alone
            ) as child:
                self._children[config] = child
                said, wrong = child.communicate(pickle.dumps(config))
        finally:
            self._slots.put(slot)
        if child.returncode:
            lines = wrong.decode(errors="replace").split("\n")
            ended = f"ended with code {child.returncode}"
            raise RuntimeError(next((line for line in reversed(lines) if line.strip()), ended))
        return said.decode()

    def stop(self) -> None:
        """End all runs; their checkpoints stay."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for child in list(self._children.values()):
            child.kill()


def _cards() -> list[str]:
    """GPUs that this process may use."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    if told is not None or not shutil.which("nvidia-smi"):
        return [card for card in (told or "").split(",") if card.strip() not in ("", "-1")]
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return [str(number) for number in range(listed.stdout.count("GPU "))]


class Ray:
    """A Ray cluster, all of whose nodes see the folders of the data, the work and the records."""

    def __init__(self, config: EngineConfig, work: Path):
        need("cluster", "ray")
        import ray

        how = {"runtime_env": {"env_vars": _environment(work)}, "log_to_driver": False}
        try:
            ray.init(config.address, logging_level="ERROR", **how)
        except (ConnectionError, ValueError, RuntimeError) as error:
            where, why = config.address or "this machine", f"no Ray cluster ({reason(error)})"
            raise ConfigError(f"{where}: {why}; start one with `ray start --head`") from None
        gpus = config.gpus if ray.cluster_resources().get("GPU") else 0
        once = {"max_calls": 1, "max_retries": 0}  # a process for each run; who calls us retries
        self._run = ray.remote(num_cpus=config.cpus, num_gpus=gpus, **once)(attempt)
        self.workers, self._end = config.workers or sys.maxsize, ray.shutdown

    def submit(self, config: RunConfig):
        """Hand a run to the cluster, which starts it where there is room."""
        return self._run.remote(config).future()

    def stop(self) -> None:
        """End all runs; their checkpoints stay."""
        self._end()


class Slurm:
    """A Slurm cluster, by submitit; each run is a job.

    Partition, account and time limit are what sbatch finds in SBATCH_PARTITION, SBATCH_ACCOUNT and
    SBATCH_TIMELIMIT.
    """

    def __init__(self, config: EngineConfig, work: Path, cluster: str = "slurm"):
        need("cluster", "submitit")
        import submitit

        if cluster == "slurm" and not shutil.which("sbatch"):
            raise ConfigError("sbatch is not here; call this on a login node of a Slurm cluster")
        self._executor = submitit.AutoExecutor(work / "slurm", cluster=cluster)
        self._executor.update_parameters(
            name="allm",
            timeout_min=24 * 60,
            cpus_per_task=math.ceil(config.cpus),
            gpus_per_node=math.ceil(config.gpus) or None,
            slurm_setup=[f"export {key}={value}" for key, value in _environment(work).items()],
        )
        self.workers, self._jobs = config.workers or sys.maxsize, []

    def submit(self, config: RunConfig):
        """Hand a run to Slurm as a job."""
        self._jobs.append(self._executor.submit(attempt, config))
        return self._jobs[-1]

    def stop(self) -> None:
        """Cancel all jobs; their checkpoints stay."""
        for job in self._jobs:
            if not job.done():
                job.cancel()


if __name__ == "__main__":  # the process of one run, started by `Here`
    print(attempt(pickle.load(sys.stdin.buffer)), end="")
