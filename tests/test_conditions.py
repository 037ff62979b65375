"""Every way of changing a test picture, asked for by name."""

import sys

import numpy as np
import pytest

from allm_utils.errors import ConfigError
from allm_utils.judge import conditions

EXAMPLES = [
    name.replace("σ", "5").replace("factor", "0.8").replace(":s", ":3")
    for name in conditions.names()
]
SEVERITIES = [name for name in conditions.CONDITIONS if conditions.CONDITIONS[name].value == "s"]


def area(pictures):
    return pictures.any(axis=-1).sum(axis=(1, 2))


@pytest.mark.parametrize("name", EXAMPLES)
def test_batches_give_what_all_at_once_gives(name, discs, tmp_path):
    """Picture i draws from (seed, i) of the whole set, also where it is read from a memory map."""
    np.save(tmp_path / "discs.npy", np.tile(discs, (3, 1, 1, 1))[:5])
    mapped = np.load(tmp_path / "discs.npy", mmap_mode="r")
    (whole,) = conditions.batches(name, mapped, seed=7)
    parts = list(conditions.batches(name, mapped, seed=7, batch_size=2))
    assert [len(views) for views in parts] == [len(whole)] * 3
    for view, *batches in zip(whole, *parts, strict=True):
        assert view.dtype == np.uint8 and view.shape == mapped.shape
        np.testing.assert_array_equal(np.concatenate(batches), view)
    np.testing.assert_array_equal(mapped[:2], discs)  # the pictures themselves are left alone


@pytest.mark.parametrize("name", SEVERITIES)
def test_corruptions_grow_and_leave_the_background(discs, name):
    weak, strong = (conditions.apply(f"{name}:{severity}", discs) for severity in (1, 5))
    inside = discs.any(axis=-1)
    assert not strong[~inside].any()
    change = [np.abs(c[inside].astype(int) - discs[inside]).mean() for c in (weak, strong)]
    assert 0.3 < change[0] < change[1]


def test_the_seed_decides_noise_and_stain(discs):
    """In the way of the records, with which today's answers are compared."""
    drawn = np.random.default_rng([1337, 1]).standard_normal((64, 64, 3), dtype=np.float32)
    expected = np.clip(np.rint(128 + 10 * drawn), 0, 255)
    grey = np.full((2, 64, 64, 3), 128, np.uint8)
    np.testing.assert_array_equal(conditions.apply("noise:10", grey, 1337)[1], expected)
    for name in ("noise:5", "cell-noise:5", "stain:3"):
        one, same, other = (conditions.apply(name, discs, seed) for seed in (1, 1, 2))
        assert (one == same).all() and (one != other).any()


def test_noise_in_the_cell_leaves_the_background_black(discs):
    everywhere, inside = (conditions.apply(f"{name}:5", discs) for name in ("noise", "cell-noise"))
    cell = discs.any(axis=-1)
    np.testing.assert_array_equal(everywhere[cell], inside[cell])
    assert not inside[~cell].any() and everywhere[~cell].any()


def test_size_scales_the_area_about_the_middle_of_the_cell(discs):
    for factor in (0.8, 1.2):
        resized = conditions.apply(f"size:{factor}", discs)
        np.testing.assert_allclose(area(resized) / area(discs), factor**2, rtol=0.08)
        for picture, was in zip(resized, discs, strict=True):
            now, then = (np.argwhere(p.any(axis=-1)).mean(axis=0) for p in (picture, was))
            np.testing.assert_allclose(now, then, atol=1)


def test_size_normalised_leaves_no_difference_of_area(discs):
    assert area(discs)[0] > 3 * area(discs)[1]
    same = area(conditions.apply("size-normalised", discs))
    assert same[0] == pytest.approx(same[1], rel=0.06)
    assert same[0] == pytest.approx(np.median(area(discs)), rel=0.06)


def test_the_eight_views_are_the_symmetries_of_the_square(discs):
    (views,) = conditions.batches("tta", discs)
    first = [view[0] for view in views]
    seen = {one.tobytes() for one in first}
    assert len(seen) == 8 and (first[0] == discs[0]).all()
    for turned in (np.rot90, np.fliplr):
        assert {turned(one).tobytes() for one in first} == seen


def test_values_are_written_in_one_way():
    assert conditions.check(["noise:5.0", "noise:5", "size:0.80", "clean"]) == (
        "noise:5",
        "size:0.8",
        "clean",
    )


def test_all_that_is_wrong_is_said_at_once():
    wrong = ["fog:1", "blur", "blur:6", "blur:1.5", "grey:2", "noise:-1", "noise:nan", "noise:256"]
    with pytest.raises(ConfigError) as refused:
        conditions.check(["clean", *wrong])
    assert all(repr(name) in str(refused.value) for name in wrong)
    assert "\n" not in str(refused.value) and "cell-noise:σ" in str(refused.value)
    assert "σ from 0 to 255" in conditions.described()  # where one reads what there is


def test_a_package_that_is_missing_is_named_before_any_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecorruptions", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="imagecorruptions is not installed.*explain"):
        conditions.check(["clean", "blur:1"])


def test_tables_name_conditions_in_words():
    names = "noise:10", "cell-noise:2.5", "jpeg:3", "size:0.8", "size-normalised", "grey"
    assert [conditions.in_words(name) for name in names] == [
        "noise, σ 10", "noise in the cell, σ 2.5", "JPEG, severity 3", "size × 0.8",
        "all of one size", "grey",
    ]  # fmt: skip
