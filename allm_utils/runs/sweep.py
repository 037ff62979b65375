"""A study: many runs from one file, each done once, by any of the `engines`."""

import contextlib
import itertools
import json
import math
import os
import re
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.live import Live
from rich.table import Table

from allm_utils.data import cnmc, sample
from allm_utils.errors import AllmError, ConfigError, RecordError, reason
from allm_utils.runs import records
from allm_utils.runs.config import PROBES, ExperimentConfig, ProbeConfig, RunConfig, configured

STUDIES = records.RESULTS.with_name("studies")
"""The studies that make the records of the book."""

RETRIES = 3
"""How often a run that died is begun again from its checkpoint."""

_IN_ID = ("model", "folds", "protocol", "round", "test", "seed", "split_seed", "experiment")


def expand(study: str | os.PathLike, **base: Any) -> list[RunConfig]:
    """Read a study, and multiply its settings out to configurations, in the order of the file.

    A study is a TOML file with tables ``[[runs]]``. A key of such a table is a setting of a run;
    the keys of ``each`` hold lists of values, and every combination of these is one run. A setting
    in ``each`` that the run's name does not tell is added to its experiment's name. `base` holds
    settings of all runs, data, work, out, weights; those of the file win. A ConfigError where the
    file is not a study, a setting is wrong, or two runs have one name.
    """
    path = Path(study)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))["runs"]
        found = [config for table in tables for config in _expanded(table, base)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"not a study ({reason(error)})"
        raise ConfigError(f"{path}: {why}; give a TOML file with tables [[runs]]") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    names = [name(config) for config in found]
    if twice := {one for one in names if names.count(one) > 1}:
        raise ConfigError(f"{path}: {min(twice)} twice; give one an experiment of its own")
    return found


def _expanded(table: dict, base: dict) -> Iterator[RunConfig]:
    axes = table.pop("each", {})
    for values in itertools.product(*axes.values()):
        chosen = base | table | dict(zip(axes, values, strict=True))
        kind = ProbeConfig if chosen.get("model") in PROBES else ExperimentConfig
        for key in ("data", "work", "out", "weights", "model_file"):
            if chosen.get(key) not in (None, "none", "imagenet"):  # a node works in another folder
                chosen[key] = Path(chosen[key]).absolute()
        told = [f"{key}{chosen[key]}".lower() for key in axes if key not in _IN_ID]
        told = "-".join([chosen.get("experiment", kind.experiment), *told])
        yield configured(kind, chosen | {"experiment": re.sub(r"[^\w.]+", "-", told).strip("-")})


def name(config: RunConfig) -> str:
    """Experiment and name of a run: where its record stands below the folder of the records."""
    return f"{config.experiment}/{config.run_id()}"


def finished(config: RunConfig) -> bool:
    """Whether the record of a run is there; a RecordError if it has other settings, or is none."""
    path = config.records / f"{config.run_id()}.json"
    if not path.exists():
        return False
    if other := differing(config, records.load(path)):
        other = ", ".join(sorted(other))
        raise RecordError(f"{path}: a run with another {other}; name the experiment otherwise")
    return True


def differing(config: RunConfig, record: records.Record) -> set[str]:
    """Name the settings in which a record is of another run."""
    before, wanted = record.data["config"], json.loads(json.dumps(config.values()))
    other = {key for key in wanted if key in before and before[key] != wanted[key]}
    both = before.get("weights") and wanted.get("weights")
    return other - {"weights"} if both else other  # imagenet, or the file that it was found in


# -- what it would cost -----------------------------------------------------------------------


def plan(configs: Sequence[RunConfig], known: records.Runs) -> pd.DataFrame:
    """Say what would run, and how long, by the speed of runs that are recorded.

    The time of a run grows with its epochs and with the pictures of its folds. Speed is the median
    over the records of the same network, width and image size, on a GPU if there are any, and of as
    many epochs if there are any: an early stop is taken to come as it came there. A record made
    while several runs shared one card has the time that it took beside the others.

    By name: ``there`` (bool), ``hours`` (nan where no record tells), ``on``, the hardware, ``gpu``.
    """
    sizes = cnmc.shipped_index()["fold"].value_counts()
    rows = {}
    for config in configs:
        pictures = int(sizes.reindex(config.folds).sum())
        seconds, record = _price(config, known)
        hardware = record.last["hardware"] if record else {"accelerator": None, "cpu": ""}
        rows[name(config)] = {
            "there": finished(config),
            "hours": seconds * pictures / 3600,
            "on": hardware["accelerator"] or hardware["cpu"],
            "gpu": hardware["accelerator"] is not None,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")


def _price(config, known) -> tuple[float, records.Record | None]:
    """Seconds for each picture of a run's folds, and a record that says so."""
    like = [
        record
        for record in known
        if record.data["model"] == config.model
        and record.data["config"]["image_size"] == config.image_size
        and record.data["config"].get("alpha") == config.values().get("alpha")
        and "source" not in record.data
    ]
    like = [r for r in like if r.last["hardware"]["accelerator"]] or like
    asked = config.training.epochs if isinstance(config, ExperimentConfig) else 1
    like = [r for r in like if r.data["config"].get("epochs") == asked] or like
    if not like:
        return math.nan, None
    speed, share = [], []
    for record in like:
        epochs = record.data["epochs_run"] or 1  # a probe has none
        speed.append(record.seconds / epochs / record.data["data"]["n_images"])
        share.append(epochs / record.data["config"].get("epochs", 1))
    epochs = asked * pd.Series(share).median()
    return pd.Series(speed).median() * epochs, like[0]


def priced(table: pd.DataFrame, gpus: float) -> str:
    """Put a plan into words, a run taking this share of a GPU."""
    todo = table[~table["there"]]
    lines = [table.drop(columns="gpu").to_string(float_format="{:.2f}".format, na_rep="?")]
    lines += [f"{len(todo)} of {len(table)} would run."]
    for (where, gpu), hours in todo.dropna().groupby(["on", "gpu"])["hours"]:
        share = f" of {gpus:g} of a card each: {hours.sum() * gpus:.2f} GPU hours" if gpu else ""
        lines += [f"{len(hours)} runs, {hours.sum():.2f} hours{share}, as recorded on {where}"]
    if unknown := int(todo["hours"].isna().sum()):
        lines += [f"{unknown} runs of networks or sizes that no record tells the speed of"]
    return "\n".join(lines)


# -- all runs ---------------------------------------------------------------------------------


def sweep(configs: Sequence[RunConfig], engine: Any, progress: bool = True) -> dict[str, str]:
    """Do all runs of a study whose records are not there yet.

    A run that dies is begun again from its checkpoint, `RETRIES` times; one that refuses, for a
    setting or for its data, is not. The engine is stopped at the end, also by Ctrl-C. Returns why a
    run has no record, by its name.
    """
    waiting = [config for config in configs if not finished(config)]
    running, tries, took, failed = {}, Counter(), [], {}
    for root in {config.work for config in waiting if config.data is None}:
        sample.root(root)  # once, before they all would

    def table():
        shown = Table("run", "try", "epochs", "time", "at most left", box=None, pad_edge=False)
        for config, _, began in running.values():
            epochs, left = _progress(config)
            row = str(tries[name(config)]), epochs, _clock(time.monotonic() - began), _clock(left)
            shown.add_row(name(config), *row)
        mean = sum(took) / len(took) if took else math.nan
        left = mean * math.ceil(len(waiting) / len(running) + 1) if running else math.nan
        counts = f"{len(took)} done, {len(waiting)} waiting, {len(failed)} failed"
        shown.add_row(counts, "", "", "", _clock(left))
        return shown

    screen = Live(get_renderable=table, refresh_per_second=1, console=Console(stderr=True))
    try:
        with screen if progress else contextlib.nullcontext():
            while waiting or running:
                while waiting and len(running) < engine.workers:
                    config = waiting.pop(0)
                    tries[name(config)] += 1
                    running[name(config)] = config, engine.submit(config), time.monotonic()
                time.sleep(0.2)
                for one, (config, job, began) in list(running.items()):
                    if job.done():
                        del running[one]
                        fault, died = _outcome(config, job)
                        if died and tries[one] <= RETRIES:
                            waiting.append(config)
                        elif fault:
                            failed[one] = fault
                        else:
                            took.append(time.monotonic() - began)
    except KeyboardInterrupt:
        left = len(configs) - sum(map(finished, configs))
        raise KeyboardInterrupt(f"{left} runs are left; the same command does them") from None
    finally:
        engine.stop()
    return failed


def _outcome(config: RunConfig, job: Any) -> tuple[str, bool]:
    """What is wrong with a run that ended, if anything, and whether it died of it."""
    try:
        fault = job.result()
        if finished(config):  # also by a process that was given up too early
            return "", False
        return fault or f"no record in {config.records}: all nodes must share this folder", False
    except AllmError as error:
        return str(error), False
    except Exception as error:  # of any engine: the process is gone, or its node
        return reason(error), True


def _progress(config: RunConfig) -> tuple[str, float]:
    """Epochs done and seconds left at most of a run, by the note in its folder."""
    note = config.work / "runs" / config.experiment / config.run_id() / "run.json"
    try:
        past = json.loads(note.read_text(encoding="utf-8"))["processes"]
        done, seconds = (sum(one[key] for one in past) for key in ("epochs", "seconds"))
        of = config.training.epochs  # type: ignore[reportAttributeAccessIssue]
        return f"{done}/{of}", (of - done) * seconds / done if done else math.nan
    except (OSError, ValueError, KeyError, TypeError):  # a probe has none, a run not at once
        return "", math.nan


def _clock(seconds: float) -> str:
    return "" if math.isnan(seconds) else str(timedelta(seconds=round(seconds)))
