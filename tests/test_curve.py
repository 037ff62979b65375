"""The learning curve over people: its record, made on the sample, and what is read from it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from allm_utils.data import cnmc
from allm_utils.errors import AllmError
from allm_utils.judge import metrics
from allm_utils.runs import curve
from allm_utils.runs.config import ProbeConfig


@pytest.fixture(scope="module")
def config(tree, work, tmp_path_factory):
    how = {"model": "area", "folds": (0, 1), "protocol": "patient-disjoint", "image_size": 48}
    return ProbeConfig(data=tree, work=work, out=tmp_path_factory.mktemp("curve"), **how)


@pytest.mark.parametrize("own", [{"draw": "person"}, {"learn_from": "train+val"}])
def test_what_each_point_has_of_its_own_cannot_be_set(config, tmp_path, own):
    with pytest.raises(AllmError, match=f"{next(iter(own))} '.*': choose one of"):
        curve.run(replace(config, out=tmp_path, **own), config.data, progress=False)


def test_a_curve_is_recorded_and_read(config, monkeypatch):
    monkeypatch.setattr(curve, "DRAWS", 2)
    monkeypatch.setattr(curve, "CELLS", (24, 60))
    monkeypatch.setattr(curve, "PEOPLE", curve.PEOPLE[1:3])
    (outside,) = config.data.rglob("fold_2")
    path = curve.run(config, outside, progress=False)
    points, strange = curve.read("area", config.out)
    few = points.dropna(subset="cells")
    assert len(few) == 2 * 2 * len(curve.PEOPLE)
    assert {len(strange["rounds"]), len(strange["outside"])} == {540, len(cnmc.index(outside))}
    assert points["sensitivity"].between(0, 1).all() and points["specificity"].between(0, 1).all()
    whole = points[points["cells"].isna()]
    assert whole.value_counts(["set", "with outside"]).to_dict() == {
        ("rounds", False): 2,
        ("rounds", True): 2,
        ("outside", False): 2,  # those from outside are not judged once they are in training
    }
    assert points["roc_auc"].between(points["low"], points["high"]).all()
    assert few[few["set"] == "rounds"]["roc_auc"].between(0.6, 0.95).all()  # area tells something
    assert few["high"].sub(few["low"]).gt(0.02).all()
    with pytest.raises(AllmError, match="patient-disjoint"):
        curve.run(config, outside, progress=False)
    path.write_text("[]")
    with pytest.raises(AllmError, match="no curve"):
        curve.read("area", config.out)


def test_wins_give_the_roc_auc():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"label": [0] * 50 + [1] * 70})
    frame["person"] = np.where(frame["label"] == 1, "a", "h") + rng.integers(3, size=120).astype(
        str
    )
    p_all = (rng.normal(frame["label"], 1.0)).round(1)  # with ties
    people = curve._people(frame)
    called = pd.Series(p_all >= 0.5).groupby(curve._order(frame)).mean()
    found = curve._rates(curve._wins(frame, p_all), called, people)
    assert found[0] == pytest.approx(roc_auc_score(frame["label"], p_all))
    assert found[1] < found[0] < found[2]
    expected = metrics.metrics(frame["label"], np.clip(p_all / 2 + 0.25, 0, 1))
    assert found[3:] == pytest.approx((expected["sensitivity"], expected["specificity"]))
