"""The second judge: trees as plain arrays, beside their network."""

import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from scipy.special import expit, logit

from allm_utils import cli
from allm_utils.data import images, sample, splits
from allm_utils.errors import ConfigError, ModelError, RecordError
from allm_utils.judge.predict import predict
from allm_utils.network import models, saving
from allm_utils.runs import measures, probe, second
from allm_utils.runs.config import ProbeConfig


@pytest.fixture(scope="module")
def pair(stand_in, tree, work, tmp_path_factory):
    """A network that knows nothing, the split that it claims to be of, and its second judge."""
    place = tmp_path_factory.mktemp("pair")
    how = {"model": "probe_handmade", "folds": (0, 1), "protocol": "patient-disjoint"}
    config = ProbeConfig(data=tree, work=work, image_size=64, **how)
    frame = sample.index(work)
    frame = frame[~frame["outside"]].reset_index(drop=True)
    train = splits.patient_disjoint_split(frame)[0] == "train"
    network = models.build("small", {"image_size": 64})
    card = {"crop": 300, "record": "e/r", "people": sorted(set(frame["subject"][train]))}
    path = saving.save(network, place / "net.safetensors", card)
    return config, path, second.make(config, path, progress=False), frame


def test_the_arrays_answer_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(600, 9)).round(1)
    labels = (values[:, 0] * values[:, 1] + rng.normal(0, 0.3, 600) > 0).astype(int)
    classifier = probe.boosted().fit(values, labels)
    judge = second.Second(second._arrays(classifier), {"measures": 9, "share": 1, "neutral": 0.5})
    expected = classifier.predict_proba(values)[:, 1]
    np.testing.assert_allclose(expit(judge.odds(values)), expected, atol=1e-6)


def test_both_judges_are_asked(pair, capsys):
    _, path, _, frame = pair
    judge, cells = second.load(path), frame["path"][::60].tolist()
    assert judge.share in second.SHARES and judge.share > 0  # the network knows nothing
    pictures = np.stack([images.prepare(cell, 64) for cell in cells])
    alone = predict(saving.load(path)[0], pictures)
    odds = judge.odds(measures.handmade_features(pictures).to_numpy())
    expected = expit(logit(alone) - logit(judge.neutral) + judge.share * odds)
    assert cli.main(["predict", str(path), *cells, "--with", "handmade", "--json"]) == 0
    found = [row["p_all"] for row in json.loads(capsys.readouterr().out)]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    called = np.array(found) >= 0.5
    assert (called == (frame["label"][::60] == 1)).mean() > 0.6


@pytest.mark.parametrize("array, value", [("left", 1), ("feature", 200), ("value", np.nan)])
def test_a_spoilt_judge_is_refused(pair, tmp_path, array, value):
    _, network, judge, _ = pair
    for path in (network, judge):
        for file in (path, saving.card_path(path)):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    copy = tmp_path / judge.name
    arrays = safetensors.numpy.load_file(copy)
    arrays[array][:, 3] = value
    copy.write_bytes(safetensors.numpy.save(arrays))
    with pytest.raises(ModelError, match="not those that its card"):
        second.load(tmp_path / network.name)
    card = json.loads(saving.card_path(copy).read_text())
    card["weights_sha256"] = saving.sha256(copy)
    saving.card_path(copy).write_text(json.dumps(card))
    with pytest.raises(ModelError, match="cannot be loaded"):
        second.load(tmp_path / network.name)
    copy.unlink()
    with pytest.raises(ModelError, match="no second judge"):
        second.load(tmp_path / network.name)


@pytest.mark.parametrize("changes", [{"model": "area"}, {"model": "probe_fine", "image_size": 300}])
def test_only_the_trees_become_a_second_judge(pair, changes):
    config, path, *_ = pair
    with pytest.raises(ConfigError, match="choose one of probe_handmade"):
        second.make(replace(config, **changes), path, progress=False)


def test_people_may_weigh_alike(pair, tmp_path):
    config, network, judge, _ = pair
    for file in (network, saving.card_path(network)):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    drawn = replace(config, draw="person")
    made = second.make(drawn, tmp_path / network.name, progress=False)
    assert made.read_bytes() != judge.read_bytes()


def test_a_judge_of_other_people_is_refused(pair):
    config, path, _, _ = pair
    other = ProbeConfig(**{**vars(config), "round": 1})
    with pytest.raises(RecordError, match="other people"):
        second.make(other, path, progress=False)
