"""People or cells: how well a probe orders the cells of new people, by what it has learned from.

A point of the curve is a probe fitted in a second. Its record keeps how often a cell of each
leukemic person lies above one of each healthy person: ROC-AUC and its interval by people follow.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from allm_utils.data import cnmc, images, splits
from allm_utils.data.people import person
from allm_utils.errors import ConfigError, RecordError, check_choice
from allm_utils.files import check_writable, write_whole
from allm_utils.judge.referral import strangeness
from allm_utils.runs import experiment, probe, records, store
from allm_utils.runs.config import ProbeConfig

PEOPLE = ((1, 2), (2, 5), (4, 10), (8, 20))
"""Healthy and leukemic people of a point: as folds 0 and 1 have them."""

CELLS = (60, 240, 900)
"""Cells of a class, at most; every person gives the same share, as far as theirs go."""

DRAWS = 6
"""Times that the people of a point are drawn in each round."""


def run(config: ProbeConfig, outside: Path, progress: bool = True) -> Path:
    """Make the points of one probe over the five rounds, and write ``curve/MODEL.json``.

    The configuration is of folds 0 and 1 by people, and its round is not used. `outside` is a tree
    with cells of people from outside. They are judged, and in two points they are in training too,
    where only the rounds are judged.
    """
    clock, place = experiment.Clock(), (config.out or config.work / "records") / "curve"
    path = place / f"{config.model}.json"
    if config.protocol != "patient-disjoint" or path.exists():
        raise ConfigError(f"{path}: give --protocol patient-disjoint, and a place where it is not")
    own_of_each = {"learn_from": "train", "draw": "cell", "model_file": None}  # of the points
    for name, own in own_of_each.items():
        check_choice(name, getattr(config, name), (own,))
    check_writable(place)
    frame, _ = experiment.select(config)
    frame = pd.concat([frame.assign(far=False), cnmc.index(outside).assign(far=True)])
    frame = frame.reset_index(drop=True).astype({"label": int})
    frame["person"] = person(frame["subject"])
    far, labels = frame["far"].to_numpy(), frame["label"].to_numpy()
    rounds = splits.patient_disjoint_split(frame[~far].drop(columns=["far", "person"]))
    values = probe.features(config, frame, progress)
    answers: dict[str, np.ndarray] = {}
    strange = np.zeros(len(frame))
    for number, split in enumerate(tqdm(rounds, "rounds", disable=not progress)):
        part = split.reindex(frame.index, fill_value="far").to_numpy()
        asked = (part == "test") | far
        for learned, rows, weights in _points(frame, part, number):
            fitted = probe.fit(config, values[rows], labels[rows], weights)
            found = answers.setdefault(
                json.dumps(learned), np.full((len(rounds), len(far)), np.nan)
            )
            new = asked & ~np.isin(np.arange(len(far)), rows)
            found[number, new] = fitted.predict_proba(values[new])[:, 1]
        mine = part == "train"
        measured = strangeness(values[mine], labels[mine], values[asked])
        strange[asked] += measured / np.where(far[asked], len(rounds), 1)
    record = {
        "schema": store.SCHEMA_VERSION,
        "kind": "curve",
        "config": config.values(),
        "processes": [clock.process(epochs=0)],
        "data": {n: images.fingerprint(frame[far == k], config.work / "images") for n, k in _SETS},
        "people": {name: _people(frame[far == k]) for name, k in _SETS},
        "points": _pooled(answers, frame),
        "strangeness": {name: strange[far == k].round(2).tolist() for name, k in _SETS},
    }
    return write_whole(path, json.dumps(record) + "\n")


_SETS = (("rounds", False), ("outside", True))


def _points(frame, part, number) -> Iterator[tuple[dict, np.ndarray, np.ndarray | None]]:
    """Name, training rows and weights of every point of a round."""
    own, far = np.isin(part, ("train", "val")), frame["far"].to_numpy()
    for design, people in enumerate(PEOPLE):
        for cells in CELLS:
            for draw in range(DRAWS):
                rng = np.random.default_rng([number, draw, design])
                rows = []
                for label, n in enumerate(people):
                    table = np.flatnonzero(own & (frame["label"] == label))
                    theirs = frame.iloc[table].groupby("person").indices
                    for who in rng.permutation(sorted(theirs))[:n]:
                        rows += rng.permutation(table[theirs[who]])[: cells // n].tolist()
                learned = {"healthy": people[0], "leukemic": people[1], "cells": cells}
                yield learned | {"number": draw}, np.array(rows), None
    for known in (own, own | far):
        rows = np.flatnonzero(known)
        for draw in ("cell", "person"):
            learned = {"draw": draw, "with outside": bool(known[far].any())}
            yield learned, rows, probe.cell_weights(draw, frame.iloc[rows])


def _people(frame):
    """Cells of each person, by class."""
    classes = enumerate(cnmc.CLASSES)
    return {c: frame[frame["label"] == k].groupby("person").size().to_dict() for k, c in classes}


def _pooled(answers, frame):
    """What becomes of every point on each set: the mean over its draws, and over the rounds."""
    found: dict[tuple, list] = {}
    for key, several in answers.items():
        learned = {name: value for name, value in json.loads(key).items() if name != "number"}
        for name, k in _SETS:
            rows, p_all = frame[frame["far"] == k], several[:, frame["far"] == k]
            if not k:  # each cell of the rounds was asked about once
                p_all = np.nanmax(p_all, axis=0, keepdims=True)
            if np.isnan(p_all).any():
                continue  # those from outside were in training
            one = np.mean([_wins(rows, p) for p in p_all], axis=0)
            called = [pd.Series(p >= 0.5).groupby(_order(rows)).mean() for p in p_all]
            found.setdefault((name, json.dumps(learned)), []).append((one, np.mean(called, axis=0)))
    return [
        {"set": name, **json.loads(learned), "wins": wins.tolist(), "called": called.tolist()}
        for (name, learned), draws in found.items()
        for wins, called in [[np.mean(one, axis=0).round(5) for one in zip(*draws, strict=True)]]
    ]


def _order(rows):
    """Healthy people before leukemic ones, each class by name, as `_people` lists them."""
    return (rows["label"].astype(str) + rows["person"]).to_numpy()


def _wins(frame, p_all):
    """How often a cell of each leukemic person lies above one of each healthy person."""
    rows = frame.assign(p=p_all)
    healthy = [np.sort(own["p"]) for _, own in rows[rows["label"] == 0].groupby("person")]
    wins = []
    for _, own in rows[rows["label"] == 1].groupby("person"):
        sides = [[np.searchsorted(h, own["p"], s) for s in ("left", "right")] for h in healthy]
        wins.append([np.mean(s) / len(h) for s, h in zip(sides, healthy, strict=True)])
    return np.array(wins)


def read(name: str, results: Path = records.RESULTS) -> tuple[pd.DataFrame, dict]:
    """Read the curve of a probe: a table of its points, and how strange each cell is, by set.

    Columns of the table: ``set`` ("rounds", "outside"); ``healthy, leukemic, cells`` (people, and
    cells of a class), or ``draw`` and ``with outside``; ``roc_auc, low, high``, the interval by
    people; ``sensitivity, specificity`` at 0.5. `referral.strangeness` of every cell is to the
    training part of its round, in the order of `cnmc.index`; of those from outside the mean.
    """
    about = store.read_json(Path(results) / "curve" / f"{name}.json")
    if not isinstance(about, dict) or about.get("kind") != "curve":
        raise RecordError(f"{results}: no curve {name} there; restore it from git")
    points = pd.DataFrame(about["points"])
    judged = zip(points.pop("wins"), points.pop("called"), points["set"], strict=True)
    limits = [_rates(wins, called, about["people"][name]) for wins, called, name in judged]
    points[["roc_auc", "low", "high", "sensitivity", "specificity"]] = limits
    return points, {name: np.array(values) for name, values in about["strangeness"].items()}


def _rates(wins, called, people, n=1000):
    """ROC-AUC with its 95 % bootstrap interval by people of each class, and the level at 0.5."""
    rng, cells = np.random.default_rng(0), [list(people[c].values()) for c in cnmc.CLASSES]
    drawn = [
        np.vstack([own, rng.multinomial(len(own), np.full(len(own), 1 / len(own)), n) * own])
        for own in map(np.array, cells)
    ]
    healthy, leukemic = (own / own.sum(axis=1, keepdims=True) for own in drawn)
    whole, *drawn = np.einsum("ni,ij,nj->n", leukemic, wins, healthy)
    alarms, found = np.split(called, [len(cells[0])])
    return whole, *np.quantile(drawn, [0.025, 0.975]), leukemic[0] @ found, 1 - healthy[0] @ alarms
