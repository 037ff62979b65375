"""The figures of the book: each draws what it was given."""

import numpy as np
import pandas as pd
import pytest

from allm_utils.book import figures
from allm_utils.data import cnmc, splits

RNG = np.random.default_rng(0)


def texts(figure):
    """Every word of a figure."""
    return " ".join(
        text.get_text() for text in figure.findobj(match=lambda o: hasattr(o, "get_text"))
    )


@pytest.fixture(scope="module")
def published():
    return cnmc.shipped_index()


def picture(side=450, cell=100):
    image = np.zeros((side, side, 3), np.uint8)
    low = (side - cell) // 2
    image[low : low + cell, low : low + cell] = RNG.integers(1, 128, (cell, cell, 3))
    return image


def test_a_notebook_can_show_a_figure():
    assert figures.cells([picture()], ["a"])._repr_png_().startswith(b"\x89PNG")


def test_cells_shows_each_picture_its_row_and_its_source():
    figure = figures.cells([picture()] * 4, "abcd", 2, 2, rows=cnmc.CLASSES, source="made")
    assert [len(axis.images) for axis in figure.axes] == [1, 1, 1, 1]
    assert [axis.get_title() for axis in figure.axes] == list("abcd")
    assert {"HEM", "ALL", "made"} <= set(texts(figure).split())
    assert figure.axes[0].images[0].get_array().max() == 2 * 127


def test_pipeline_names_every_step():
    words = texts(figures.pipeline())
    for word in ("224", "70 / 10 / 20", "grey copy", "σ 3 or 9", "MobileNet_M", "val, 10 %"):
        assert word in words


def test_subjects_draws_a_block_for_each(published):
    (axis,) = figures.subjects(published).axes
    assert len(axis.patches) == 73
    assert sum(block.get_width() for block in axis.patches) == 10_661
    assert "3 subjects" in texts(axis.figure) and "H24" in texts(axis.figure)


def test_smears_draws_a_mark_for_each_cell(published):
    figure = figures.smears(published, splits.paper_split(published), "46")
    marks = [len(part.get_offsets()) for part in figure.axes[0].collections]
    assert sum(marks) == 190 and min(marks) > 0
    assert "test, 40 images" in texts(figure)


def test_areas_draws_both_classes():
    figure = figures.areas(RNG.uniform(1e4, 5e4, 30), np.repeat([0, 1], [10, 20]), "made")
    assert {"HEM, 10 cells", "ALL, 20 cells"} <= {
        text.get_text() for text in figure.axes[0].get_legend().get_texts()
    }


def test_whole_cells_rises_from_none_to_all():
    figure = figures.whole_cells([180, 260, 300, 310], [0, 0, 1, 1], "made")
    hem, all_ = (line.get_ydata() for line in figure.axes[0].lines[:2])
    sides = figure.axes[0].lines[0].get_xdata()
    assert hem[sides == 224] == 50 and all_[sides == 300] == 50 and all_[-1] == 100


def test_hsv_shows_three_channels_beside_the_picture():
    figure = figures.hsv(picture(), "made")
    assert len(figure.axes) == 4
    value = figure.axes[3].images[0].get_array()
    assert value.max() == pytest.approx(127 / 255)


def test_preprocessing_gives_only_one_class_a_copy():
    stages = [picture(), picture(300), picture(224)]
    figure = figures.preprocessing({"HEM": [*stages, stages[-1]], "ALL": stages}, 300, 224, "made")
    assert [len(axis.images) for axis in figure.axes] == [1] * 7 + [0]
    assert "no copy" in texts(figure)


def test_thresholds_draws_both_cuts():
    area, labels = RNG.uniform(10, 50, 30), np.repeat([0, 1], 15)
    figure = figures.thresholds(area, labels, {"one": 25.0, "two": 30.0}, "made")
    assert [line.get_xdata()[0] for line in figure.axes[0].lines] == [25, 30]
    assert "cut, one" in texts(figure)


def test_brightening_clips_and_does_not_wrap_round():
    bright = np.full((8, 8, 3), 200, np.uint8)
    figure = figures.cells([bright], ["a"], 1, 2)
    assert (figure.axes[0].images[0].get_array() == 255).all()


def test_brightness_draws_one_histogram_for_each_set():
    means = {name: RNG.uniform(20, 90, 50) for name in ("test", "training", "older")}
    figure = figures.brightness(means, "made")
    (axis,) = figure.axes
    assert "made" in axis.get_xlabel() and set(means) <= set(texts(figure).split())
    outlines = axis.get_legend_handles_labels()[0]
    assert len({patch.get_linestyle() for patch in outlines}) == 3  # not by colour alone


def test_corners_draws_both_ways_alike():
    landed = RNG.uniform(-50, 270, (2, 30, 4, 2))
    figure = figures.corners(*landed, 224)
    assert [axis.get_title() for axis in figure.axes] == ["imgaug", "one matrix"]
    for axis, points in zip(figure.axes, landed, strict=True):
        assert len(axis.collections) == 4
        for i, cloud in enumerate(axis.collections):
            np.testing.assert_allclose(cloud.get_offsets(), points[:, i])
        assert axis.lines[0].get_xydata().max() == 223


def test_separable_names_the_weights_of_both():
    upper, lower = figures.separable().axes
    assert "K² · M · N" in upper.get_title(loc="left")
    assert "K² · M + M · N" in lower.get_title(loc="left")
    assert len(upper.patches) == 4 * (1 + 4 + 1) and len(lower.patches) == 4 * (1 + 1 + 1 + 4 + 1)


def test_mobilenet_m_shows_each_stage_and_the_inside_of_a_block():
    rows, head = [("conv", "7 × 7"), ("blocks", "3 × 3")], [("dense", "2")]
    words = texts(figures.mobilenet_m(rows, head))
    for word in ("conv", "7 × 7", "blocks", "3 × 3", "dense", "depthwise", "pointwise", "ReLU"):
        assert word in words


def test_costs_are_shares_of_the_whole():
    figure = figures.costs(["a", "b", "c"], [0, 1, 3], [2, 1, 1])
    widths = [[bar.get_width() for bar in axis.patches] for axis in figure.axes]
    assert widths == [[0, 25, 75], [50, 25, 25]]
    assert "< 1" in texts(figure)


def test_answers_draws_both_classes_in_every_panel():
    labels, p_all = np.array([0, 0, 1, 1]), np.array([0.02, 0.97, 0.98, 0.99])
    figure = figures.answers({"in colour": (labels, p_all), "in grey": (labels, 1 - p_all)}, "made")
    for axis, place in zip(figure.axes, (-1, 0), strict=True):
        hem, all_ = (step.get_data().values for step in axis.patches)
        assert hem[place] == 50 and all_[place] == 100
    assert "in grey" in texts(figure) and "made" in texts(figure)


def answers(n=200, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.6).astype(int)
    return labels, np.clip(0.5 + 0.2 * (2 * labels - 1) + rng.normal(0, 0.2, n), 0, 1)


def test_confusion_writes_counts_and_their_share_of_the_row():
    counts = {"tp": 469, "fn": 12, "fp": 15, "tn": 211}
    figure = figures.confusion({"one": counts, "two": dict.fromkeys(counts, 0)})
    assert [axis.get_title() for axis in figure.axes] == ["one", "two"]
    for word in ("469", "12", "15", "211", "97.5% of ALL", "93.4% of HEM", "called HEM"):
        assert word in texts(figure)


def test_roc_draws_the_corner_of_the_hard_answers():
    labels, p_all = answers()
    (axis,) = figures.roc({"one": (labels, p_all)}).axes
    curve, corner, _ = axis.lines
    sensitivity = np.mean(p_all[labels == 1] >= 0.5)
    false_alarms = np.mean(p_all[labels == 0] >= 0.5)
    np.testing.assert_allclose(corner.get_xydata()[1], (false_alarms, sensitivity))
    for line in (curve, corner):
        area = np.trapezoid(line.get_ydata(), line.get_xdata())
        assert f"{area:.3f}" in line.get_label()


def test_precision_recall_marks_the_share_of_all():
    labels, p_all = answers()
    figure = figures.precision_recall({"one": (labels, p_all), "two": answers(seed=1)})
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["one", "two"]
    assert f"always ALL: {labels.mean():.2f}" in texts(figure)
    assert axis.lines[0].get_linestyle() != axis.lines[2].get_linestyle()


def test_right_by_subject_draws_one_bar_each():
    labels, p_all = answers()
    subject = np.where(labels == 1, "1", "H1") + (np.arange(200) % 3).astype(str).astype(object)
    rows = pd.DataFrame({"subject": subject, "label": labels, "p_all": p_all})
    (axis,) = figures.right_by_subject(rows, "made").axes
    assert len(axis.patches) == 6 and axis.get_title() == "made"
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert [name[0] == "H" for name in names] == [False] * 3 + [True] * 3
    one = rows[rows["subject"] == names[0]]
    share = 100 * np.mean((one["p_all"] >= 0.5) == (one["label"] == 1))
    assert axis.patches[0].get_width() == pytest.approx(share)
    assert f"n = {len(one)}" in texts(axis)


def test_two_intervals_says_where_nothing_is_known():
    limits = {"accuracy": (0.8, 0.95), "specificity": (0.7, 0.9)}
    unknown = dict.fromkeys(limits, (np.nan, np.nan))
    values = {"accuracy": 0.9, "specificity": 0.8}
    figure = figures.two_intervals(values, limits, unknown, "made")
    (axis,) = figure.axes
    np.testing.assert_allclose(axis.lines[0].get_xdata(), (0.8, 0.95))
    assert texts(figure).count("unknown: one subject") == 2
    assert "unknown" not in texts(figures.two_intervals(values, limits, limits, "made"))


def test_clipping_writes_both_means():
    before = RNG.normal(0, 9, 1000)
    parts = {"black": (before, before.clip(0)), "cell": (before + 60, before + 60)}
    black, cell = figures.clipping(parts, 9).axes
    assert f"{before.mean():.2f} → {before.clip(0).mean():.2f}" in black.get_title()
    assert "cell" in cell.get_title() and "σ = 9" in cell.get_xlabel()


def test_against_sigma_draws_values_and_bands():
    lines = {
        "sensitivity": {0: (0.9, 0.95, 0.97), 10: (0.92, 0.96, 0.99)},
        "accuracy": {0: 0.9, 10: 0.8},
    }
    figure = figures.against_sigma({"one": lines, "two": lines}, (0.7, 1), "made")
    assert [axis.get_title() for axis in figure.axes] == ["one", "two"]
    sensitivity, accuracy = figure.axes[0].lines
    np.testing.assert_allclose(sensitivity.get_ydata(), (0.95, 0.96))
    np.testing.assert_allclose(accuracy.get_ydata(), (0.9, 0.8))
    assert sensitivity.get_marker() != accuracy.get_marker()
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (0.9, 0.99)
    assert {"sensitivity", "accuracy", "made"} <= set(texts(figure).split())


def test_verdicts_stacks_them_and_writes_the_sum():
    counts = pd.DataFrame(
        {"reproduced": [3, 0], "not run yet": [1, 5]}, index=["Table 1", "Table 2"]
    )
    figure = figures.verdicts(counts)
    (axis,) = figure.axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["Table 1", "Table 2"]
    ends = [bar.get_x() + bar.get_width() for bar in axis.patches[-2:]]
    assert ends == [4, 5]
    assert {"differs", "comparable", "4", "5"} <= set(texts(figure).split())


def test_cross_entropy_marks_doubt_and_certainty():
    words = texts(figures.cross_entropy())
    assert "sure and wrong: 3.00" in words and "no idea: 0.69" in words


def test_descent_draws_a_panel_for_each_path():
    path = np.array([[-1.0, 1.0], [0.0, 0.5], [0.0, 0.0]])
    figure = figures.descent(lambda x, y: x**2 + y**2, {"slow": path, "fast": path[::-1]})
    assert [axis.get_title().split("\n") for axis in figure.axes] == [
        ["slow", "loss 0.000"],
        ["fast", "loss 2.000"],
    ]


def test_patience_marks_the_best_epoch_and_the_stop():
    figure = figures.patience([0.5, 0.3, 0.4], [1e-3, 1e-3, 1e-4], best=2)
    top, bottom = figure.axes
    assert top.lines[1].get_xdata()[0] == 2 and top.lines[2].get_xdata()[0] == 3
    assert bottom.get_yscale() == "log" and "stop" in texts(figure)


def test_curves_marks_the_weights_kept_and_the_fall_of_the_rate():
    history = {
        "loss": [1.0, 0.8, 0.7],
        "val_loss": [0.9, 0.7, 0.8],
        "accuracy": [0.6, 0.7, 0.8],
        "val_accuracy": [0.6, 0.8, 0.7],
        "learning_rate": [1e-3, 1e-3, 1e-4],
    }
    figure = figures.curves({"mine": (history, 1), "real": None})
    assert len(figure.axes) == 4
    loss = figure.axes[0]
    assert loss.get_title() == "mine" and figure.axes[1].get_title() == "real"
    training, validation, star, fall = loss.lines
    assert list(training.get_ydata()) == history["loss"]
    assert list(validation.get_ydata()) == history["val_loss"]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (2, 0.7)
    assert fall.get_xdata()[0] == 2.5
    assert texts(figure).count("no record yet") == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "training",
        "validation",
        "weights kept",
    ]


def test_memory_halves_as_the_momentum_says():
    axis = figures.memory({"an epoch": 50}).axes[0]
    fast, slow, mark = axis.lines
    steps, share = fast.get_xdata(), fast.get_ydata()
    assert share[steps == 10] == pytest.approx(100 * 0.9**10)
    assert slow.get_ydata()[-1] < 0.1
    assert mark.get_xdata()[0] == 50
    assert "an epoch: 50 steps" in texts(axis.figure)


def test_reliability_draws_stated_against_true():
    labels, p_all = answers()
    figure = figures.reliability({"one": (labels, p_all), "two": answers(seed=1)}, "made", bins=5)
    assert [axis.get_title() for axis in figure.axes] == ["one", "two", "", ""]
    points = figure.axes[0].lines[-1]
    for x, y in points.get_xydata():
        inside = np.floor(np.minimum(p_all, 0.999) * 5) == np.floor(min(x, 0.999) * 5)
        assert (x, y) == pytest.approx((p_all[inside].mean(), labels[inside].mean()))
    assert sum(bar.get_height() for bar in figure.axes[2].patches) == pytest.approx(100)
    assert "made" in texts(figure)
    interval = figure.axes[0].lines[0].get_ydata()
    assert interval[0] <= points.get_ydata()[0] <= interval[1]


def test_heat_maps_outlines_the_cells():
    pictures = np.zeros((3, 32, 32, 3), np.uint8)
    pictures[:, 8:20, 8:20] = 60
    heat = RNG.random((3, 32, 32))
    figure = figures.heat_maps(pictures, heat, ["one", "two", "three"], 2, "made")
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in shown[:3]] == ["one", "two", "three"]
    np.testing.assert_allclose(shown[1].images[1].get_array(), heat[1])
    assert all(axis.collections for axis in shown[:3])
    assert figure.get_supxlabel() == "made"


def test_on_background_draws_a_box_for_each_group_and_kind():
    shares = {
        "HEM": {"heat": np.array([0.1, 0.2, 0.6, np.nan]), "cell": np.array([0.3, 0.3])},
        "ALL": {"heat": np.array([0.5]), "cell": np.array([0.4])},
    }
    (axis,) = figures.on_background(shares, "made").axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["HEM", "ALL"]
    assert len(axis.patches) == 4
    medians = sorted({round(float(line.get_xdata()[0]), 6) for line in axis.lines})
    assert {20.0, 30.0, 40.0, 50.0} <= set(medians)
    assert "made" in axis.get_xlabel()


def test_against_sigma_can_show_another_strength():
    lines = {"accuracy": {1: 0.9, 5: 0.5}}
    figure = figures.against_sigma({"one": lines}, (0, 1), None, "severity")
    assert figure.axes[0].get_xlabel() == "severity"


def test_interaction_draws_the_bars_that_it_was_given():
    lines = {
        "with": {"none": (0.8, 0.85, 0.95), "HEM": (0.7, 0.8, 0.85)},
        "without": {"none": 0.6, "HEM": 0.7},
    }
    figure = figures.interaction({"mine": lines, "real": {}}, "accuracy", baseline=0.5)
    mine, real = figure.axes
    first, _, bars = mine.containers[0]
    assert list(first.get_ydata()) == [0.85, 0.8]
    low, high = bars[0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((0.8, 0.95))
    assert list(mine.containers[1][0].get_ydata()) == [0.6, 0.7]
    assert [label.get_text() for label in mine.get_xticklabels()] == ["none", "HEM"]
    assert mine.lines[-1].get_ydata()[0] == 0.5
    assert "not run yet" in texts(figure) and not real.containers
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["with", "without"]


def test_grey_response_sets_colour_beside_grey():
    row = {
        "in colour": {"ALL": (0.9, 0.95, 1), "HEM": (0, 0.05, 0.1)},
        "in grey": {"ALL": (0, 0.1, 0.2), "HEM": (0, 0, 0)},
    }
    figure = figures.grey_response({"paper": row, "again": row}, "made")
    colour, grey = figure.axes
    assert [list(c[0].get_xdata()) for c in colour.containers[:2]] == [[95], [5]]
    assert [list(c[0].get_xdata()) for c in grey.containers[:2]] == [[10], [0]]
    assert [label.get_text() for label in colour.get_yticklabels()] == ["paper", "again"]
    assert {"in", "grey", "made", "ALL", "HEM"} <= set(texts(figure).split())


def test_magnitudes_sorts_the_sizes():
    axis = figures.magnitudes({"now": np.array([[0.1, -0.3], [0.2, 0.0]])}, 0.01).axes[0]
    assert list(axis.lines[0].get_ydata()) == [0.3, 0.2, 0.1, 0.0]
    assert axis.lines[1].get_ydata()[0] == 0.01 and axis.get_yscale() == "log"
    assert "now" in texts(axis.figure)


def test_feature_maps_have_one_scale_per_channel():
    maps = np.arange(8.0).reshape(2, 2, 2)
    figure = figures.feature_maps({"a": maps, "b": 3 * maps}, ["one", "two"], "made")
    tops = [axis.images[0].get_clim()[1] for axis in figure.axes]
    assert tops == [18, 21, 18, 21]
    assert [axis.get_title() for axis in figure.axes] == ["one", "two", "", ""]
    assert {"a", "b", "made"} <= set(texts(figure).split())


def test_dilations_looks_at_nine_pixels_whatever_the_rate():
    figure = figures.dilations((1, 2, 3))
    for axis, rate in zip(figure.axes, (1, 2, 3), strict=True):
        taken = [p for p in axis.patches if p.get_facecolor()[:3] != (1, 1, 1) and p.get_fill()]
        assert len(taken) == 9
        assert axis.patches[-1].get_width() == 2 * rate + 1  # the frame
        assert f"window {2 * rate + 1} × {2 * rate + 1}" in axis.get_title()


def test_cluster_says_what_is_in_the_abstract():
    words = texts(figures.cluster((1, 2, 3)))
    for word in ("dilation 3", "1 × 1 convolution", "max-pooling", "in the abstract"):
        assert word in words


def test_disagreements_by_subject():
    rows = pd.DataFrame(
        {
            "subject": ["1", "1", "1", "H2", "H2"],
            "label": [1, 1, 1, 0, 0],
            "right_a": [True, True, True, False, True],
            "right_b": [False, False, True, True, True],
        }
    )
    figure = figures.disagreements(rows, ("one", "other"), "made")
    (axis,) = figure.axes
    assert [bar.get_width() for bar in axis.patches] == [-2, 0, 0, 1]
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        "1 (ALL, n = 3)",
        "H2 (HEM, n = 2)",
    ]
    assert "only one right" in texts(figure) and "only other right" in texts(figure)


def test_networks_places_each():
    axis = figures.networks({"small": (1e6, 2e9), "large": (2e7, 1e10)}).axes[0]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in axis.lines] == [(1, 2), (20, 10)]
    assert {"small", "large"} <= set(texts(axis.figure).split())


def test_quantised_draws_one_line_per_level():
    weights = np.random.default_rng(0).normal(0, 0.1, 300)
    left, right = figures.quantised(weights, bits=3).axes
    (lines,) = (c for c in left.collections if hasattr(c, "get_segments"))
    levels = sorted(segment[0][0] for segment in lines.get_segments())
    assert levels == pytest.approx(np.arange(-3, 4) * np.abs(weights).max() / 3)
    assert sum(bar.get_height() for bar in right.patches) == 300  # no error beyond half a step


def test_channel_ranges_counts_the_channels_that_vanish():
    axis = figures.channel_ranges(np.array([127.0, 0.4, 3.0, 0.49, 0.6]), "a layer").axes[0]
    assert axis.get_title() == "a layer: 2 of 5 channels lost"
    assert axis.lines[0].get_ydata()[0] == 1


def test_latencies_draws_the_ways_in_order():
    values = {"median": [40.0, 2], "low": [38, 1.9], "high": [50, 2.4]}
    rows = pd.DataFrame(values, ["slow", "fast"])
    axis = figures.latencies(rows).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["slow", "fast"]
    assert axis.yaxis_inverted()
    assert "40 ms" in texts(axis.figure) and " 2 ms" in texts(axis.figure)


def test_agreement_parts_the_classes():
    labels, p_all = answers()
    figure = figures.agreement({"int8": (p_all, p_all**2), "float": (p_all, p_all)}, labels, "made")
    for axis, name in zip(figure.axes, ("int8", "float"), strict=True):
        assert axis.get_ylabel() == name
        hem, all_ = axis.collections
        assert len(hem.get_offsets()) == (labels == 0).sum()
        assert len(all_.get_offsets()) == (labels == 1).sum()
    assert "made" in texts(figure)


def test_met_before_draws_a_bar_per_degree():
    shares = {"by image": {"subject": 1, "smear": 0.9, "twin": 0.002}, "by patient": {"subject": 0}}
    first, second = figures.met_before(shares).axes
    assert [round(bar.get_width(), 1) for bar in first.patches] == [100, 90, 0.2]
    assert first.get_yticklabels()[0].get_text() == "same patient"
    assert second.get_title(loc="left") == "by patient" and len(second.patches) == 1
    assert "0 %" in texts(second.figure)


def test_same_files_joins_the_subjects():
    folds = {"20": 0, "21": 2, "H2": 2, "H4": 2, "H10": 1}
    figure = figures.same_files([("20", "21", 71), ("H2", "H4", 3), ("H10", "H10", 5)], folds)
    shown = texts(figure)
    for text in ("20", "H10", "71", "5, twice", "fold 1"):
        assert text in shown
    colours = [line.get_color() for line in figure.axes[0].lines]
    assert colours.count(figures.COLOURS["HEM"]) == 3


def test_two_splits_draws_every_part_and_the_means():
    scores = {"linear": {"by image": [0.8, 0.9], "by patient": [0.6, 0.7, 0.8]}}
    figure = figures.two_splits(scores, "made cells")
    shown = texts(figure)
    assert "mean 0.850" in shown and "mean 0.700" in shown and "made cells" in shown
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [2, 2, 3, 2]


def test_protocols_draws_both_intervals_of_each_run():
    run = ({"accuracy": 0.9}, {"accuracy": (0.88, 0.92)}, {"accuracy": (0.8, 0.95)})
    figure = figures.protocols({"one": run, "other": run}, ["accuracy"])
    ends = [tuple(line.get_xdata()) for line in figure.axes[0].lines]
    assert ends[:2] == [(0.8, 0.95), (0.88, 0.92)] and ends[2][0] == 0.9
    assert "one" in texts(figure) and "other" in texts(figure)


def test_effects_draws_each_change_or_says_that_there_is_none():
    rows = [("grey", "0 → 1", 0.02, -0.01, 0.05), ("grey", "1 → 0", 0.01, 0.0, 0.02)]
    axis = figures.effects(rows, "accuracy").axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["grey"]
    assert tuple(axis.lines[1].get_xdata()) == (-0.01, 0.05)
    assert "1 → 0" in texts(axis.figure)
    assert "not run yet" in texts(figures.effects([], "accuracy"))
