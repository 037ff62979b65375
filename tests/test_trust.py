import dataclasses

import numpy as np
import pytest

from allm_utils.data import synthetic
from allm_utils.errors import RecordError
from allm_utils.judge import trust
from allm_utils.network.training import TrainingConfig
from allm_utils.runs import experiment, records


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tree, a model trained on it for one epoch, and its record."""
    folder = tmp_path_factory.mktemp("trust")
    tree = synthetic.make(folder / "tree", 90)
    config = experiment.ExperimentConfig(
        data=tree,
        out=folder / "out",
        work=folder / "work",
        image_size=32,
        alpha=0.25,
        weights=None,
        bn_momentum=0.5,
        model_file=folder / "model.keras",
        training=TrainingConfig(epochs=6, learning_rate=3e-3, seed=5),
    )
    return tree, folder, records.load(experiment.run(config, progress=False))


def test_retest_writes_a_record_of_the_same_model(trained, tmp_path):
    tree, folder, source = trained
    conditions = ("clean", "blur:3", "size:0.8", "size-normalised")
    path = trust.retest(
        folder / "model.keras", source, tree, tmp_path, folder / "work", conditions, "A test."
    )
    found = records.load(path)
    assert path == tmp_path / "trust" / f"{source.id}-trust.json"
    for key in ("split", "config", "history", "parameters", "data", "folds", "protocol", "seed"):
        assert found.data[key] == source.data[key]
    assert tuple(found.data["conditions"]) == conditions
    assert found.data["source"]["record"] == source.id
    assert source.id in found.data["note"] and found.data["note"].endswith("A test.")
    clean = source.rows().merge(found.rows(), on=["file", "subject", "label"])
    assert len(clean) == source.data["split"]["test"]["n"]
    assert np.abs(clean["p_all_x"] - clean["p_all_y"]).max() < 0.02  # stored as float16
    blurred = found.rows("blur:3")["p_all"].to_numpy()
    assert (blurred != found.rows()["p_all"].to_numpy()).any()

    validation, pictures = found.data["validation"], found.data["pictures"]
    part = source.data["split"]["val"]
    assert sum(validation["label"]) == part["n_all"] and len(validation["p_all"]) == part["n"]
    assert sorted(set(validation["subject"])) == part["subjects"]
    assert pictures["file"] == found.rows()["file"].tolist()
    assert all(0 < area < 1 for area in pictures["area"])
    assert records.stale(found) == records.stale(source)

    with pytest.raises(RecordError, match="there already"):
        trust.retest(folder / "model.keras", source, tree, tmp_path, folder / "work", conditions)


def test_retest_refuses_another_model_or_other_data(trained, tmp_path):
    tree, folder, source = trained
    other = dataclasses.replace(source, data={**source.data, "id": "other"})
    with pytest.raises(RecordError, match="not the model of record mobilenet_m/other"):
        trust.retest(folder / "model.keras", other, tree, tmp_path, folder / "work")
    elsewhere = synthetic.make(tmp_path / "tree", 90, seed=1)
    with pytest.raises(RecordError, match="not the images of record"):
        trust.retest(folder / "model.keras", source, elsewhere, tmp_path, folder / "work")
