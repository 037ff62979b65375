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
from allm_utils.errors import ConfigError, RecordError
from allm_utils.files import check_writable, write_atomically
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
    """Make the points of one probe over the five rounds, and write their record.

    Parameters
    ----------
    config : ProbeConfig
        Of folds 0 and 1 by people; the round is not used.
    outside : Path
        A tree with cells of people from outside. They are judged, and in two points they are in
        training too, where only the rounds are judged.
    progress : bool

    Returns
    -------
    Path
        The JSON file, ``curve/MODEL.json`` below the folder of records.
    """
    clock, place = experiment.Clock(), (config.out or config.work / "records") / "curve"
    path = place / f"{config.model}.json"
    if config.protocol != "patient-disjoint" or path.exists():
        raise ConfigError(f"{path}: give --protocol patient-disjoint, and a place where it is not")
    check_writable(place)
    frame, _ = experiment.select(config)
    far = cnmc.index(outside)
    frame = pd.concat([frame.assign(far=False), far.assign(far=True)], ignore_index=True)
    frame = frame.assign(person=person(frame["subject"]), label=frame["label"].astype(int))
    values, labels = probe.features(config, frame, progress), frame["label"].to_numpy()
    near, far = frame[~frame["far"]], frame["far"].to_numpy()
    rounds = splits.patient_disjoint_split(near.drop(columns=["far", "person"]))
    odds: dict[str, list] = {}
    strange = np.zeros(len(frame))
    for number, split in enumerate(tqdm(rounds, "rounds", disable=not progress)):
        part = split.reindex(frame.index, fill_value="far").to_numpy()
        test, mine = part == "test", part == "train"
        for key, rows, weights in _points(frame, part, number):
            fitted = probe.fit(config, values[rows], labels[rows], weights)
            answers = odds.setdefault(key, np.zeros((len(rounds), len(frame))))[number]
            asked = (test | far) & ~np.isin(np.arange(len(frame)), rows)
            answers[asked] = fitted.predict_proba(values[asked])[:, 1]
        measured = strangeness(values[mine], labels[mine], values[test | far])
        strange[test | far] += measured / np.where(far[test | far], len(rounds), 1)
    record = {
        "schema": store.SCHEMA_VERSION,
        "kind": "curve",
        "config": config.values(),
        "processes": [clock.process(epochs=0)],
        "data": {n: images.fingerprint(frame[far == k], config.work / "images") for n, k in _SETS},
        "people": {name: _people(frame[far == k]) for name, k in _SETS},
        "points": _pooled(odds, frame, far),
        "strangeness": {name: strange[far == k].round(2).tolist() for name, k in _SETS},
    }
    text = json.dumps(record) + "\n"
    place.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda out: out.write_text(text, encoding="utf-8"))
    return path


_SETS = (("rounds", False), ("outside", True))


def _points(frame, part, number) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """Name, training rows and weights of every point of a round."""
    own, far = np.isin(part, ("train", "val")), frame["far"].to_numpy()
    for design, people in enumerate(PEOPLE):
        for cells in CELLS:
            for draw in range(DRAWS):
                rng = np.random.default_rng([number, draw, design])
                rows = []
                for label, n in enumerate(people):
                    theirs = frame[own & (frame["label"] == label)].groupby("person").indices
                    table = np.flatnonzero(own & (frame["label"] == label))
                    for who in rng.permutation(sorted(theirs))[:n]:
                        rows += rng.permutation(table[theirs[who]])[: cells // n].tolist()
                yield json.dumps([*people, cells, draw]), np.array(rows), None
    for known in (own, own | far):
        rows = np.flatnonzero(known)
        cells = frame.iloc[rows].groupby("person")["path"].transform("size").to_numpy()
        for name, weights in (("cell", np.ones(len(rows))), ("person", cells**-0.5)):
            for label in (0, 1):
                of_class = frame["label"].to_numpy()[rows] == label
                weights[of_class] /= weights[of_class].mean()
            yield json.dumps([name, bool(known[far].any())]), rows, weights


def _people(frame):
    """Cells of each person, by class."""
    classes = enumerate(cnmc.CLASSES)
    return {c: frame[frame["label"] == k].groupby("person").size().to_dict() for k, c in classes}


def _pooled(odds, frame, far):
    """Wins of every point on each set, the mean over its draws."""
    found: dict[tuple, list] = {}
    for key, answers in odds.items():
        *design, last = json.loads(key)
        learned = dict(zip(("healthy", "leukemic", "cells"), design, strict=False))
        if len(design) == 1:
            learned = {"weights": design[0], "with outside": last}
        for name, k in _SETS:
            # each cell of the rounds was asked about once, those from outside in every round
            several = answers[:, far] if k else answers[:, ~far].sum(axis=0, keepdims=True)
            if not several.all():
                continue  # those from outside were in training
            wins = [_wins(frame[far == k], one) for one in several]
            found.setdefault((name, json.dumps(learned)), []).append(np.mean(wins, axis=0))
    return [
        {"set": name, **json.loads(learned), "wins": np.mean(wins, axis=0).round(5).tolist()}
        for (name, learned), wins in found.items()
    ]


def _wins(frame, p_all):
    """How often a cell of each leukemic person lies above one of each healthy person."""
    rows = frame.assign(p=p_all)
    healthy = [np.sort(own["p"]) for _, own in rows[rows["label"] == 0].groupby("person")]
    wins = []
    for _, own in rows[rows["label"] == 1].groupby("person"):
        sides = [[np.searchsorted(h, own["p"], s) for s in ("left", "right")] for h in healthy]
        wins.append([np.mean(s) / len(h) for s, h in zip(sides, healthy, strict=True)])
    return np.array(wins)


def read(model: str, results: Path = records.RESULTS) -> tuple[pd.DataFrame, dict]:
    """Read the curve of a probe.

    Returns
    -------
    points : pandas.DataFrame
        Columns ``set`` ("rounds", "outside"), ``healthy, leukemic, cells`` (people, and cells of a
        class), or ``weights, with outside`` for probes that learned from all people of a round;
        ``roc_auc, low, high``, the interval by people.
    strangeness : dict of str to ndarray
        `referral.strangeness` of every cell to the training part of its round, by set, in the order
        of `cnmc.index`; of those from outside the mean over the rounds.
    """
    about = store.read_json(Path(results) / "curve" / f"{model}.json")
    if not isinstance(about, dict) or about.get("kind") != "curve":
        raise RecordError(f"{results}: no curve of {model} there; restore it from git")
    points = pd.DataFrame(about["points"])
    judged = zip(points.pop("wins"), points["set"], strict=True)
    limits = [_roc_auc(wins, about["people"][name]) for wins, name in judged]
    points[["roc_auc", "low", "high"]] = limits
    return points, {name: np.array(values) for name, values in about["strangeness"].items()}


def _roc_auc(wins, people, n=1000):
    """ROC-AUC from the wins, and its 95 % bootstrap interval by people of each class."""
    rng, cells = np.random.default_rng(0), [list(people[c].values()) for c in cnmc.CLASSES]
    drawn = [
        np.vstack([own, rng.multinomial(len(own), np.full(len(own), 1 / len(own)), n) * own])
        for own in map(np.array, cells)
    ]
    healthy, leukemic = (own / own.sum(axis=1, keepdims=True) for own in drawn)
    whole, *drawn = np.einsum("ni,ij,nj->n", leukemic, wins, healthy)
    return whole, *np.quantile(drawn, [0.025, 0.975])
