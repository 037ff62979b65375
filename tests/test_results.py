"""The models that we ship, against the records of the runs that made them."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from allm_utils.network import models
from allm_utils.runs import records
from allm_utils.ship.inference import predict_images

MODELS = sorted((records.RESULTS / "models").glob("*.keras"))


def test_there_are_at_most_four_models_of_at_most_seven_megabytes():
    assert len(MODELS) <= 4
    assert all(path.stat().st_size <= 7_000_000 for path in MODELS)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_shipped_model_is_the_one_of_its_record(path):
    model, card = models.load(path)
    record = _record(card)
    for key in ("image_size", "crop"):
        assert card[key] == record.data["config"][key]
    assert models.parameters(model)["total"] == record.data["parameters"]["total"]


@pytest.mark.real
@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_shipped_model_repeats_the_predictions_of_its_record(path, shared, tmp_path):
    record = _record(json.loads(path.with_suffix(".json").read_text()))
    rows = record.rows("clean").groupby("label").sample(12, random_state=0)
    fold = record.data["folds"][-1]
    with tarfile.open(shared / "cnmc" / f"fold_{fold}.tar") as tar:
        members = {member.name.rsplit("/", 1)[-1]: member for member in tar if member.isfile()}
        for name in rows["file"]:
            webp = tar.extractfile(members[name.replace(".bmp", ".webp")]).read()
            Image.open(io.BytesIO(webp)).convert("RGB").save(tmp_path / name)
    found, _ = predict_images(path, [tmp_path / name for name in rows["file"]], progress=False)
    # the weights are stored as float16
    assert np.abs(found["p_all"].to_numpy() - rows["p_all"].to_numpy()).max() < 0.02


def _record(card):
    (record,) = [r for r in records.load_all() if r.name == card["record"]]
    return record
