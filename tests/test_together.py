"""Several judges asked together."""

import numpy as np
import pytest
from scipy.special import expit, logit

from allm_utils.errors import ModelError
from allm_utils.judge import together as judges
from allm_utils.judge.metrics import metrics


def test_each_judge_counts_alike_however_loud_it_is():
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 2
    odds = 2 * labels - 1 + rng.normal(0, 2, (3, 600))
    loud = odds * np.array([[1], [0.2], [1.5]])
    answers = [expit(loud[0] + logit(0.7)), *expit(loud[1:])]
    voices = [judges.voice(p, neutral) for p, neutral in zip(answers, (0.7, 0.5, 0.5), strict=True)]
    assert voices[0]["neutral"] == 0.7
    np.testing.assert_allclose([one["spread"] for one in voices], loud.std(axis=1), rtol=1e-3)
    found = judges.together(answers, voices)
    expected = expit((odds / odds.std(axis=1, keepdims=True)).sum(axis=0))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_allclose(judges.together(answers[::-1], voices[::-1]), found)
    alone = [metrics(labels, p)["roc_auc"] for p in answers]
    assert metrics(labels, found)["roc_auc"] > max(alone) + 0.05


@pytest.mark.parametrize(
    "card",
    [
        {},
        {"neutral": 0.5},
        {"neutral": 1.0, "spread": 1.0},
        {"neutral": 0.5, "spread": 0.0},
        {"neutral": 0.5, "spread": float("nan")},
        {"neutral": "0.5", "spread": 1.0},
    ],
)
def test_a_judge_without_a_voice_is_refused(card):
    judges.check("m.safetensors", {"neutral": 0.5, "spread": 2.0})
    with pytest.raises(ModelError, match=r"m.safetensors: .*\(neutral, spread\); train it again"):
        judges.check("m.safetensors", card)
