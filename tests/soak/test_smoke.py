"""The smoke profile learns something, over three seeds; chapter 5 asserts it of one."""

import os

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from allm_utils.book import profile
from allm_utils.data import images, sample, splits
from allm_utils.judge.predict import predict
from allm_utils.network import models
from allm_utils.network.training import TrainingConfig, TrainingData, fit


@pytest.mark.skipif(os.environ.get("ALLM_SOAK") != "1", reason="make soak")
def test_smoke_training_beats_the_area_of_the_cell_over_three_seeds(work):
    smoke = profile.SMOKE
    frame = sample.index(work).query("not outside").reset_index(drop=True)
    labels = frame["label"].to_numpy(int)
    pictures = images.load(frame, smoke.image_size, smoke.crop, work / "images", False)
    area = pictures.any(axis=-1).mean(axis=(1, 2))
    found = []
    for seed in (1337, 2, 3):
        split = splits.paper_split(frame, seed)
        rows = {part: np.flatnonzero(split == part) for part in splits.PARTS}
        how = {"epochs": smoke.epochs, "learning_rate": smoke.learning_rate, "seed": seed}
        config = TrainingConfig(**how, batch_size=smoke.batch_size)
        size = smoke.weights, smoke.image_size, smoke.alpha
        network = models.mobilenet_m(*size, bn_momentum=smoke.bn_momentum, seed=seed)
        held_out = pictures[rows["val"]], labels[rows["val"]]
        data = TrainingData(pictures, labels, config, rows["train"])
        fit(network, data, held_out, config, progress=False)
        test = rows["test"]
        p_all = predict(network, pictures[test])
        found.append([roc_auc_score(labels[test], scores) for scores in (p_all, area[test])])
    by_network, by_area = np.mean(found, axis=0)
    assert by_network > by_area > 0.5, found
