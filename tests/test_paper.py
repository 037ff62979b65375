"""The paper's numbers hang together where they should, and stand as printed where they do not."""

import pytest

from allm_utils.book import paper
from allm_utils.network import training


def test_table_3_is_kerass_mobilenet_once_its_misprints_are_read():
    import keras

    network = keras.applications.MobileNet(weights=None)
    expected = []
    for layer in network.layers[:-5]:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            side, _, channels = layer.input.shape[1:]
            side -= "pad" in layer.input._keras_history.operation.name  # by one row and one column
            kernel = "×".join(map(str, layer.kernel.shape[: 3 if depthwise else 4]))
            stride = f"s{layer.strides[0]}"
            row = (f"Conv dw/{stride}", f"{kernel} dw") if depthwise else (f"Conv/{stride}", kernel)
            expected.append((*row, f"{side}×{side}×{channels}"))
    blocks_of_512 = expected[13:23]
    assert blocks_of_512 == 5 * expected[13:15], "five times the block that the paper shows once"
    read = [
        tuple(row.get(f"{key}_read", row[key]) for key in ("type", "filter", "input"))
        for row in paper.TABLE_3
    ]
    assert read[:-3] == expected[:15] + expected[23:]
    pooled = network.get_layer("conv_preds").input.shape[-1]
    assert read[-2] == ("FC/s1", f"{pooled}×1000", f"1×1×{pooled}")
    assert network.count_params() == paper.TABLE_3_NOTE["parameters"]


@pytest.mark.parametrize("table", [paper.TABLE_6, paper.TABLE_7, paper.TABLE_8])
def test_recall_is_the_column_auc_rounded(table):
    assert list(table) == paper.TEST_SIGMAS
    for row in table.values():
        assert abs(row["recall"] - row["auc"]) <= 0.005 + 1e-9


def test_table_9_repeats_the_clean_rows():
    for fold, table in enumerate((paper.TABLE_6, paper.TABLE_7, paper.TABLE_8)):
        after = paper.TABLE_9[fold]["MAC"]
        assert (after["accuracy"], after["auc"]) == (table[0]["accuracy"], table[0]["auc"])
        assert round(100 * table[0]["accuracy"]) == paper.TABLE_10[fold]["MobileNet_M"]


def test_table_10_averages():
    for model in ("MobileNet_M", "ALNett"):
        mean = sum(paper.TABLE_10[fold][model] for fold in range(3)) / 3
        assert round(mean, 2) == paper.TABLE_10["average"][model]
    assert paper.TABLE_10["average"]["MobileNet_M"] == paper.HEADLINE["accuracy_percent"]


def test_training_settings_are_table_5():
    config = training.TrainingConfig()
    for name in ("epochs", "early_stop", "lr_patience", "lr_factor", "batch_size",
                 "learning_rate", "min_learning_rate"):  # fmt: skip
        assert getattr(config, name) == paper.HYPERPARAMETERS[name]
    assert str(paper.HYPERPARAMETERS["epochs"]) == paper.TABLE_5["Epochs"]


def test_errata_are_found_by_every_table_they_name():
    (both,) = [one for one in paper.ERRATA if one["where"] == "Tables 6-8"]
    assert all(both in paper.errata(f"Table {number}") for number in (6, 7, 8))
    assert both not in paper.errata("Table 9") + paper.errata("Text")
    assert {id(one) for n in range(1, 12) for one in paper.errata(f"Table {n}")} | {
        id(one) for one in paper.errata("Text")
    } == set(map(id, paper.ERRATA))


def test_the_erratum_on_the_baseline_is_what_chapter_9_computes():
    found = []
    for fold, table in paper.TABLE_9.items():
        n_all, n_hem = (paper.TABLE_1[fold][name]["test"] for name in ("ALL", "HEM"))
        accuracy, balanced = table["MCN"]["accuracy"], table["MCN"]["auc"]
        hem = (2 * balanced * n_all - accuracy * (n_all + n_hem)) / (n_all - n_hem)
        found.append(f"{2 * balanced - hem:.2f}")
    (said,) = [one for one in paper.ERRATA if one["where"] == "Section 4.3 on Table 9"]
    assert "recall of ALL of {}, {} and {}:".format(*found) in said["finding"]
