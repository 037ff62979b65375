"""The records and networks that we ship, against today's code and against each other."""

import itertools
import os
import re
from pathlib import Path

import numpy as np
import pytest

from allm_utils.data import cnmc, images, people, sample
from allm_utils.files import sha256
from allm_utils.judge import together
from allm_utils.judge.calibration import log_odds
from allm_utils.judge.predict import predict
from allm_utils.network import models, saving
from allm_utils.runs import records, store, sweep
from allm_utils.runs.records import Runs
from allm_utils.ship.inference import predict_images

FILES = sorted((records.RESULTS / "models").glob("*.safetensors"))
BACKENDS = records.RESULTS.parent / "benchmarks" / "results" / "backends"
PROBES = [path for path in FILES if "probe" in saving.read_card(path)]
MODELS = [path for path in FILES if path not in PROBES]


def test_every_shipped_record_stands(runs):
    names = {record.name for record in runs}
    assert len(names) == len(runs) > 20
    for record in runs:
        if "source" in record.data:
            assert record.data["source"]["record"] in names


def test_the_outside_record_names_records_that_stand(runs):
    about = store.read_json(records.RESULTS / "outside" / "outside.json")
    table, names = records.outside(), {record.name for record in runs}
    for name, made in about["classifiers"].items():
        assert made["record"] is None or made["record"] in names
        assert table[name].between(0, 1).sum() in (289, 398)


def test_there_are_at_most_four_models_of_at_most_seven_megabytes():
    assert 1 <= len(MODELS) <= 4
    assert all(path.stat().st_size <= 7_000_000 for path in MODELS)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_shipped_model_is_the_one_of_its_record(path, runs):
    model, card = saving.load(path)
    record = _record(card, runs)
    for key in ("image_size", "crop"):
        assert card[key] == record.data["config"][key]
    trained = record.data["split"]["train"]["subjects"]
    assert card["people"] == sorted({people.person(subject) for subject in trained})
    assert models.parameters(model)["total"] == record.data["parameters"]["total"]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_shipped_model_repeats_the_answers_of_its_record(path, runs):
    if not (data := os.environ.get("ALLM_DATA")):
        pytest.skip("ALLM_DATA names no tree with folds 0 and 1")
    rows = _record(saving.read_card(path), runs).rows().groupby("label").sample(12, random_state=0)
    where = {Path(found).name: found for found in cnmc.index(data)["path"]}
    found, _ = predict_images(path, [where[name] for name in rows["file"]], progress=False)
    # the weights are in half precision, and were trained on another backend
    assert np.abs(found["p_all"].to_numpy() - rows["p_all"].to_numpy()).max() < 0.02


def _record(card, runs):
    return Runs(r for r in runs if r.name == card["record"]).one()


@pytest.mark.parametrize("name", ["images", "people-round0", "new-people-all"])
def test_the_outside_record_is_what_a_shipped_network_answers_on_the_shipped_cells(name, work):
    network, card = saving.load(records.RESULTS / "models" / f"{name}.safetensors")
    frame = sample.index(work).query("outside").reset_index(drop=True)
    pictures = images.load(frame, card["image_size"], card["crop"], work / "images", False)
    recorded = records.outside().set_index("file")[name]
    apart = abs(predict(network, pictures) - recorded[cnmc.file_names(frame)].to_numpy())
    assert len(apart) == 60 and apart.mean() <= 0.01 and apart.max() <= 0.15


@pytest.mark.parametrize("path", PROBES, ids=lambda path: path.stem)
def test_a_shipped_probe_answers_as_its_record_on_the_shipped_cells(path, runs, work):
    card = saving.read_card(path)
    record = _record(card, runs)
    learned = [*record.data["split"]["train"]["subjects"], *record.data["split"]["val"]["subjects"]]
    assert card["people"] == sorted({people.person(subject) for subject in learned})
    assert card["test"] == record.data["split"]["test"]["sha256"]
    assert path.stat().st_size <= 200_000
    if path.stem.endswith("-middle") and "ALLM_WEIGHTS" not in os.environ:
        pytest.skip("ALLM_WEIGHTS names no ImageNet weights of full width")
    frame = sample.index(work).assign(file=lambda cells: cnmc.file_names(cells))
    rows = record.rows().merge(frame[["file", "path"]], on="file").groupby("label").head(12)
    weights = os.environ.get("ALLM_WEIGHTS", "imagenet")
    found, _ = predict_images(path, rows["path"], progress=False, weights=weights)
    assert len(rows) == 24
    assert np.abs(found["p_all"].to_numpy() - rows["p_all"].to_numpy()).max() < 0.001


def test_the_panel_adds_what_its_judges_said_each_by_the_voice_on_its_card(runs):
    record = runs.where(experiment="together").one()
    folder, stem = records.RESULTS / "models", record.data["source"]["model"].split(".")[0]
    beside = {name: folder / f"{stem}-{name}.safetensors" for name in record.data["judges"]}
    assert [*beside.values()] == [
        folder / f"{stem}-{n}.safetensors" for n in ("handmade", "fine", "middle")
    ]
    assert sorted(beside.values()) == PROBES
    assert record.data["judges"] == {name: sha256(path) for name, path in beside.items()}
    cards = [saving.read_card(path) for path in (folder / f"{stem}.safetensors", *beside.values())]
    judges = records.aligned(record, *(_record(card, runs) for card in cards[1:]))
    found = together.together([judges[f"p_{letter}"] for letter in "abcd"], cards)
    recorded = record.rows("together").set_index("file")["p_all"][judges["file"]]
    np.testing.assert_allclose(found, recorded, atol=2e-3)


def test_the_fifth_judge_of_the_second_panel_is_the_network_of_its_record(runs):
    """What it adds to the four is its recorded log-odds, but for their middle and spread."""
    four, five = (runs.where(experiment=f"together{end}").one() for end in ("", "-again"))
    assert [*five.data["judges"]] == [*four.data["judges"], "drawn"]
    assert five.data["judges"].items() > four.data["judges"].items()
    drawn = runs.where(experiment="full-draw-again").one()
    answers = [four.rows("together"), five.rows("together"), drawn.rows()]
    with_four, with_five, alone = (log_odds(rows["p_all"].to_numpy()) for rows in answers)
    shares = np.stack([with_four, alone, np.ones_like(alone)], axis=1)
    clear = (np.abs([with_four, alone, with_five]) < 6).all(axis=0)  # six digits hold these
    found, *_ = np.linalg.lstsq(shares[clear], with_five[clear], rcond=None)
    np.testing.assert_allclose(
        shares[clear] @ found, with_five[clear], atol=0.05
    )  # its file: 16 bits
    assert found[0] == pytest.approx(1, abs=0.01)


def test_the_voice_on_the_card_of_a_network_is_that_of_its_validation_part(runs):
    tested = {r.data["source"]["model"]: r for r in runs if "validation" in r.data}
    assert tested.keys() >= {"images.safetensors", "people-round0.safetensors"}
    for path in MODELS:
        card = saving.read_card(path)
        together.check(path, card)
        record = _record(card, runs)
        assert card["test"] == record.data["split"]["test"]["sha256"]
        part = record.data["split"]["train"]
        assert card["neutral"] == pytest.approx(part["n_all"] / part["n"])
        if again := tested.get(path.name):
            voice = together.voice(again.data["validation"]["p_all"], card["neutral"])
            assert card["spread"] == pytest.approx(voice["spread"], abs=1e-3)


def test_nine_runs_of_clean_commits_are_those_of_the_study():
    study = sweep.expand(BACKENDS.parents[1] / "backends.toml")
    for backend, config in itertools.product(("tensorflow", "jax", "torch"), study):
        record = records.load(BACKENDS / backend / "sample" / f"{config.run_id()}.json")
        assert sweep.differing(config, record) == set() and record.stale() == []
        assert record.data["data"]["kind"] == "cnmc-2019-sample"
        for process in record.data["processes"]:
            assert process["backend"]["name"] == backend
            assert re.fullmatch(r"[0-9a-f]{40}", process["package"]["commit"])
