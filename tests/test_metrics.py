"""Metrics against scikit-learn, intervals against theory, Tables 6-8 against integer counts."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from allm_utils.book import paper
from allm_utils.errors import ConfigError, DataError
from allm_utils.judge import metrics


@pytest.fixture(scope="module")
def scored():
    rng = np.random.default_rng(0)
    labels = (rng.random(300) < 0.67).astype(int)
    p_all = np.clip(0.35 + 0.3 * labels + 0.25 * rng.normal(size=300), 0, 1).round(2)
    return labels, p_all


def rates(*arrays):
    return {k: v for k, v in metrics.metrics(*arrays).items() if k not in metrics.COUNTS}


@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_metrics_equal_scikit_learn(scored, threshold):
    labels, p_all = scored
    called = (p_all >= threshold).astype(int)
    ours = metrics.metrics(labels, p_all, threshold)
    (tn, fp), (fn, tp) = sk.confusion_matrix(labels, called)
    assert [ours[k] for k in metrics.COUNTS] == [300, tp, fp, fn, tn]
    expected = {
        "accuracy": sk.accuracy_score(labels, called),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, called),
        "roc_auc": sk.roc_auc_score(labels, p_all),
        "sensitivity": sk.recall_score(labels, called),
        "specificity": sk.recall_score(labels, called, pos_label=0),
    }
    for name in ("precision", "recall", "f1"):
        score = getattr(sk, f"{name}_score")
        for average in ("macro", "weighted"):
            expected[f"{name}_{average}"] = score(labels, called, average=average)
        if name != "recall":
            expected[f"{name}_all"] = score(labels, called)
            expected[f"{name}_hem"] = score(labels, called, pos_label=0)
    assert rates(labels, p_all, threshold) == pytest.approx(expected)
    assert {type(value) for value in ours.values()} == {int, float}  # as JSON takes them


def test_a_probability_at_the_threshold_is_called_all():
    assert metrics.metrics([1, 0], [0.5, 0.49])["accuracy"] == 1


def test_one_class_gives_nan_where_both_are_needed():
    found = metrics.metrics([1, 1, 1, 1], [0.9, 0.8, 0.7, 0.1])
    assert found["sensitivity"] == found["accuracy"] == found["recall_weighted"] == 0.75
    assert found["precision_all"] == 1
    for name in ("roc_auc", "specificity", "f1_hem", "recall_macro", "balanced_accuracy"):
        assert np.isnan(found[name]), name
    limits = metrics.intervals(np.ones(50, int), np.linspace(0, 1, 50), n=200)
    assert limits["sensitivity"][0] < 0.5 < limits["sensitivity"][1]
    assert np.isnan(limits["roc_auc"]).all()


def test_a_class_never_predicted_has_precision_zero_as_in_scikit_learn():
    labels, p_all = [0, 0, 1, 1, 1], [0.9] * 5
    found = metrics.metrics(labels, p_all)
    assert found["precision_hem"] == 0
    assert found["precision_macro"] == pytest.approx(0.3)
    assert found["f1_macro"] == pytest.approx(
        sk.f1_score(labels, [1] * 5, average="macro", zero_division=0)
    )


@pytest.mark.parametrize(
    ("labels", "p_all"),
    [([], []), ([0, 1], [0.5]), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1, 1.2]), ([0, 1], [0, np.nan])],
)
def test_bad_arrays_are_refused_in_one_line(labels, p_all):
    good = [0.1, 0.9]
    for ask in (
        lambda: metrics.metrics(labels, p_all),
        lambda: metrics.intervals(labels, p_all),
        lambda: metrics.paired_test(labels, p_all, good),
        lambda: metrics.paired_intervals(labels, good, p_all),
    ):
        with pytest.raises(DataError):
            ask()


def test_groups_of_another_length_are_refused():
    labels, p_all, groups = [0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], ["a", "b"]
    for ask in (
        lambda: metrics.intervals(labels, p_all, groups),
        lambda: metrics.paired_intervals(labels, p_all, p_all, groups),
        lambda: metrics.paired_test_by_person(labels, p_all, p_all, groups),
    ):
        with pytest.raises(DataError, match="2 groups for 4"):
            ask()


def test_intervals_are_the_quantiles_of_what_resampled_arrays_give(scored):
    """Also of ROC-AUC with ties, and of the difference of two classifiers on the same draws."""
    labels, p_all = scored
    p_b = np.random.default_rng(5).permutation(p_all)
    groups = np.arange(300) % 17 + 100 * labels
    rng = np.random.default_rng(3)
    draws = [rng.integers(0, 17, (6, 17)) for _ in range(2)]
    one, two = [], []
    for draw in np.concatenate(draws, axis=1):
        people = draw + np.repeat((0, 100), 17)
        rows = np.concatenate([np.flatnonzero(groups == person) for person in people])
        a, b = (rates(labels[rows], p[rows]) for p in (p_all, p_b))
        one.append(a)
        two.append({name: a[name] - b[name] for name in a})
    found = metrics.intervals(labels, p_all, groups, n=6, seed=3)
    paired = metrics.paired_intervals(labels, p_all, p_b, groups, n=6, seed=3)
    a, b = rates(labels, p_all), rates(labels, p_b)
    assert set(found) == set(paired) == set(a)
    for name in found:
        assert paired[name][0] == pytest.approx(a[name] - b[name])
        for limits, values in ((found[name], one), (paired[name][1:], two)):
            expected = np.quantile([value[name] for value in values], (0.025, 0.975))
            assert limits == pytest.approx(tuple(expected))


def test_one_person_in_a_class_says_nothing_of_others(scored):
    labels, p_all = scored
    groups = np.where(labels == 0, "H1", np.arange(300) % 5)
    found = metrics.intervals(labels, p_all, groups)
    assert all(np.isnan(limits).all() for limits in found.values())
    difference, *limits = metrics.paired_intervals(labels, p_all, p_all, groups)["accuracy"]
    assert difference == 0 and np.isnan(limits).all()


def test_table_6_clean_row_has_one_matrix_with_680_right():
    found = metrics.confusion_from_printed(0.96, 0.95, 0.96, 0.96, 0.954, n_all=481, n_hem=226)
    right = found[found.tp + found.tn == 680]
    assert right.to_numpy().tolist() == [[469, 12, 15, 211]]


@pytest.mark.parametrize(("average", "n_rows"), [("macro", 15), ("weighted", 0), ("all", 0)])
def test_tables_6_to_8_are_macro_averages(average, n_rows):
    """How many of the 15 rows some confusion matrix fits (the paper's errata)."""
    fitted = 0
    for fold, table in enumerate((paper.TABLE_6, paper.TABLE_7, paper.TABLE_8)):
        sizes = {f"n_{name.lower()}": paper.TABLE_1[fold][name]["test"] for name in ("ALL", "HEM")}
        for row in table.values():
            fitted += not metrics.confusion_from_printed(**row, **sizes, average=average).empty
    assert fitted == n_rows
    with pytest.raises(ConfigError, match="micro"):
        metrics.confusion_from_printed(1, 1, 1, 1, 1, 5, 5, average="micro")


def answers(both, only_a, only_b, neither):
    """Labels, and the probabilities of two classifiers that are right so many times."""
    counts = (both, only_a, only_b, neither)
    right_a, right_b = (np.repeat(k, counts) for k in ((1, 1, 0, 0), (1, 0, 1, 0)))
    labels = np.arange(sum(counts)) % 2
    return labels, np.where(right_a, labels, 1 - labels), np.where(right_b, labels, 1 - labels)


class TestPaired:
    def test_counts_and_the_binomial_where_few_disagree(self):
        found = metrics.paired_test(*answers(50, 9, 2, 5))
        assert list(found.values())[:4] == [50, 9, 2, 5] and found["exact"] is True
        assert found["pvalue"] == pytest.approx(stats.binomtest(2, 11).pvalue)

    def test_chi_squared_with_correction_where_many_do(self):
        """Example of the textbooks: (|b - c| - 1)^2 / (b + c)."""
        found = metrics.paired_test(*answers(50, 25, 11, 5))
        assert found["exact"] is False
        assert found["pvalue"] == pytest.approx(stats.chi2.sf((25 - 11 - 1) ** 2 / 36, 1))
        few, many = answers(50, 12, 12, 0), answers(50, 13, 12, 0)
        assert metrics.paired_test(*few)["exact"] and not metrics.paired_test(*many)["exact"]

    def test_no_disagreement_is_no_evidence(self):
        same = answers(10, 0, 0, 3)
        assert metrics.paired_test(*same)["pvalue"] == 1
        found = metrics.paired_test_by_person(*same, np.arange(13) % 4)
        assert found == {"difference": 0.0, "people": 4, "pvalue": 1.0}

    def test_all_swaps_of_few_people_by_hand(self):
        """Gains 3, 2 and -1: two of the eight sums of signs reach the 4 found, 6 and 4."""
        found = metrics.paired_test_by_person(*answers(0, 5, 1, 0), list("xxxyyz"))
        assert found["people"] == 3 and found["difference"] == pytest.approx(4 / 6)
        assert found["pvalue"] == pytest.approx(2 * 2 / 8)

    def test_one_person_proves_nothing_however_many_its_cells(self):
        case = answers(100, 60, 10, 0)
        assert metrics.paired_test(*case)["pvalue"] < 1e-6
        assert metrics.paired_test_by_person(*case, np.zeros(170))["pvalue"] == 1

    def test_singletons_agree_with_mcnemar(self):
        """Where every image is a person of its own, swapping is tossing the coin of each."""
        case = answers(30, 12, 4, 4)
        by_image = metrics.paired_test(*case)["pvalue"]
        found = metrics.paired_test_by_person(*case, np.arange(50))
        assert found["pvalue"] == pytest.approx(by_image, abs=0.01)
        assert found == metrics.paired_test_by_person(*case, np.arange(50))

    def test_level_when_people_share_their_luck(self):
        """No difference on average, but each person leans: McNemar cries wolf, ours does not."""
        rng = np.random.default_rng(0)
        groups = np.repeat(np.arange(12), 40)
        alarms = np.zeros(2)
        for _ in range(60):
            lean = np.repeat(rng.uniform(0.05, 0.95, 12), 40)
            a_ahead = (rng.random(480) < lean).astype(float)
            case = np.ones(480, int), a_ahead, 1 - a_ahead
            alarms[0] += metrics.paired_test(*case)["pvalue"] < 0.05
            alarms[1] += metrics.paired_test_by_person(*case, groups, n=5000)["pvalue"] < 0.05
        assert alarms[0] > 25 and alarms[1] < 8
