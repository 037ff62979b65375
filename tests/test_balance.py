"""Grey copies of the healthy class, against the libraries; Table 2 from the real file names."""

import cv2
import imgaug.augmenters as iaa
import numpy as np
import pytest

from allm_utils.book import paper
from allm_utils.data import cnmc
from allm_utils.data.splits import paper_split
from allm_utils.errors import ConfigError
from allm_utils.network.balance import GREY, balanced_rows, desaturate


@pytest.fixture(scope="module")
def colours():
    """Every 5th level of each channel: uint8 (52, 52, 52, 3)."""
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)


def test_equals_opencv_hsv_without_saturation_bit_for_bit(colours):
    image = colours.reshape(-1, 52, 3)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = 0
    np.testing.assert_array_equal(desaturate(image), cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def test_equals_imgaug_remove_saturation_bit_for_bit(colours):
    theirs = iaa.RemoveSaturation(1.0)(image=colours.reshape(-1, 52, 3))
    np.testing.assert_array_equal(desaturate(colours).reshape(-1, 52, 3), theirs)


def test_grey_is_the_brightest_channel_in_all_three():
    picture = np.array([[[10, 200, 30], [0, 0, 0], [255, 1, 2]]], np.uint8)
    grey = desaturate(picture)
    assert grey.tolist() == [[[200] * 3, [0] * 3, [255] * 3]]
    assert grey.dtype == np.uint8
    assert picture[0, 0].tolist() == [10, 200, 30]
    np.testing.assert_array_equal(desaturate(grey), grey)


def test_a_batch_is_treated_as_its_pictures():
    batch = np.random.default_rng(0).integers(0, 256, (4, 9, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(desaturate(batch), [desaturate(one) for one in batch])
    assert desaturate(batch[:0]).shape == (0, 9, 7, 3)


@pytest.mark.parametrize(
    ("grey", "copied"), [("none", []), ("hem", [1, 3]), ("both", [0, 1, 2, 3, 4])]
)
def test_rows(grey, copied):
    rows, is_grey = balanced_rows(np.array([1, 0, 1, 0, 1]), grey)
    assert rows.tolist() == [0, 1, 2, 3, 4, *copied]
    assert is_grey.tolist() == [False] * 5 + [True] * len(copied)


def test_the_papers_way_is_the_default():
    labels = np.array([0, 1, 0])
    for ours, hem in zip(balanced_rows(labels), balanced_rows(labels, "hem"), strict=True):
        np.testing.assert_array_equal(ours, hem)


def test_an_unknown_way_is_refused():
    with pytest.raises(ConfigError) as refused:
        balanced_rows(np.array([0, 1]), "all")
    assert "'all'" in str(refused.value) and all(way in str(refused.value) for way in GREY)


def test_table_2_and_the_training_part_after_balancing():
    frame = cnmc.shipped_index()
    split = paper_split(frame)
    for fold, row in paper.TABLE_2.items():
        train = frame[(frame.fold == fold) & (split == "train")]
        labels = train.label.to_numpy(int)
        rows, is_grey = balanced_rows(labels)
        assert (labels == 0).sum() == row["before"]
        assert (labels[rows] == 0).sum() == row["after"] == 2 * is_grey.sum()
        assert (labels[rows] == 1).sum() == paper.TABLE_1[fold]["ALL"]["train"]
        assert not labels[rows[is_grey]].any()
