"""The models that we ship, against the records of the runs that made them."""

import os
from pathlib import Path

import numpy as np
import pytest

from allm_utils.data import cnmc
from allm_utils.network import models, saving
from allm_utils.runs import records
from allm_utils.ship.inference import predict_images

MODELS = sorted((records.RESULTS / "models").glob("*.safetensors"))


def record_of(path):
    return records.load(records.RESULTS / f"{saving.read_card(path)['record']}.json")


def test_two_models_of_at_most_seven_megabytes():
    assert [path.stem for path in MODELS] == ["images", "people-round0"]
    assert all(path.stat().st_size <= 7_000_000 for path in MODELS)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_shipped_model_is_the_one_of_its_record(path):
    model, card = saving.load(path)
    run = record_of(path).data
    for key, value in {**card["arguments"], "crop": card["crop"]}.items():
        assert run["config"][key] == value, key
    assert card["builder"] == run["model"]
    assert card["people"] == run["split"]["train"]["subjects"]
    assert models.parameters(model)["total"] == run["parameters"]["total"]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_shipped_model_repeats_the_answers_of_its_record(path):
    if not os.environ.get("ALLM_DATA"):
        pytest.skip("ALLM_DATA is not set: no restored C-NMC")
    rows = record_of(path).rows("clean").groupby("label").sample(12, random_state=0)
    paths = {Path(p).name: p for p in cnmc.index(os.environ["ALLM_DATA"])["path"]}
    found, _ = predict_images(path, [paths[name] for name in rows["file"]], progress=False)
    # the weights are stored as float16
    assert np.abs(found["p_all"].to_numpy() - rows["p_all"].to_numpy()).max() < 0.02
