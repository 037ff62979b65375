"""The paper's numbers hang together where they should, and stand as printed where they do not."""

import pytest

from allm_utils.book import paper
from allm_utils.network import training


def test_table_1_adds_up_to_the_data_set():
    for classes in paper.TABLE_1.values():
        for cells in classes.values():
            assert cells["train"] + cells["val"] + cells["test"] == cells["total"]
    for name in ("ALL", "HEM"):
        total = sum(classes[name]["total"] for classes in paper.TABLE_1.values())
        assert total == paper.DATASET["training"][name]["images"]


def test_table_2_doubles_the_hem_training_images():
    for fold, counts in paper.TABLE_2.items():
        assert counts["before"] == paper.TABLE_1[fold]["HEM"]["train"]
        assert counts["after"] == 2 * counts["before"]


@pytest.mark.parametrize("note", [paper.TABLE_3_NOTE, paper.TABLE_4_NOTE])
def test_parameters_are_trainable_or_not(note):
    assert note["trainable"] + note["non_trainable"] == note["parameters"]


def test_table_3_is_kerass_mobilenet_once_its_misprints_are_read():
    import keras

    network = keras.applications.MobileNet(weights=None)
    expected = []
    for layer in network.layers:
        if not isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            continue
        shape = "×".join(map(str, layer.input.shape[1:]))
        padded = "pad" in layer.input._keras_history.operation.name  # by one row and one column
        if padded:
            shape = (
                "×".join(str(n - 1) for n in layer.input.shape[1:3]) + f"×{layer.input.shape[3]}"
            )
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            kernel = "×".join(map(str, layer.kernel.shape[:3]))
            expected.append((f"Conv dw/s{layer.strides[0]}", f"{kernel} dw", shape))
        elif isinstance(layer, keras.layers.Conv2D) and layer.name != "conv_preds":
            kernel = "×".join(map(str, layer.kernel.shape))
            expected.append((f"Conv/s{layer.strides[0]}", kernel, shape))
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


def test_table_4_adds_up():
    assert sum(row["parameters"] for row in paper.TABLE_4) == paper.TABLE_4_NOTE["parameters"]


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
