"""The recipe against section 3, against imgaug and OpenCV, and against its own past."""

import dataclasses
import hashlib
from types import SimpleNamespace

import cv2
import imgaug.augmenters as iaa
import keras
import numpy as np
import pytest
from imgaug.augmentables import Keypoint, KeypointsOnImage
from scipy import stats

from allm_utils.errors import ImageError
from allm_utils.judge import conditions
from allm_utils.network.recipe import (
    Augmenter,
    NoiseBank,
    Recipe,
    affine,
    balanced_rows,
    desaturate,
    draws,
    reference,
)
from allm_utils.network.training import OnDevice, TrainingConfig, TrainingData
from allm_utils.runs import measures, probe

SIZE = 64
STILL = {"rotation": 0, "shift": 0, "shear": 0, "zoom": (1, 1), "brightness": (1, 1), "flip": 0}
POINTS = [(0, 0), (SIZE - 1, 0), (0, SIZE - 1), (SIZE - 1, SIZE - 1), (31.5, 31.5), (45, 12)]


def some_pictures(n, size=SIZE, seed=3):
    return np.random.default_rng(seed).integers(0, 255, (n, size, size, 3)).astype(np.uint8)


def on_device(images, recipe=None, seed=1, grey=None):
    """Augment pictures by Keras' operations, as within a step of training."""
    grey = np.zeros(len(images), bool) if grey is None else grey
    drawn = draws(recipe or Recipe(), images.shape[1], grey, np.random.default_rng(seed))
    return keras.ops.convert_to_numpy(OnDevice(seed)(images, drawn, training=True))


def ways(value, n, recipe=None, seed=1):
    """Augment n pictures of one grey level: by imgaug, on the host, and on the device."""
    images = np.full((n, SIZE, SIZE, 3), value, np.uint8)
    slow = reference(seed, recipe)(images=images)
    fast = Augmenter(recipe, seed)(images, np.random.default_rng(seed))
    return [found.astype(float) for found in (slow, fast, on_device(images, recipe, seed))]


# -- what it is ------------------------------------------------------------------------------


def test_the_default_recipe_is_that_of_section_3():
    paper = {"balance": "hem", "augment": True, "sigmas": (3, 9), "rotation": 45, "shift": 0.1}
    paper |= {"shear": 3, "zoom": (0.8, 1.0), "brightness": (0.4, 0.8), "flip": 0.5}
    assert dataclasses.asdict(Recipe()) == paper | {"stain": 0, "size": 0}  # these two are ours


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("changes", "pixels", "following"),
    [
        ({}, "c54f21d98abf9549", 442028177),
        ({"stain": 0.15}, "8f676dcfe48bb9ce", 96020340),
        ({"sigmas": ()}, "ae2846d0b3547da2", 950341236),
    ],
)
def test_a_seed_draws_the_pictures_of_the_records(changes, pixels, following):
    """Digests from the code that made the first records."""
    rng = np.random.default_rng([4, 2, 0, 0])
    out = Augmenter(Recipe(**changes), seed=4)(some_pictures(6), rng)
    assert rng.integers(1 << 30) == following
    if cv2.__version__.startswith("4."):  # OpenCV 5 interpolates in another way
        assert digest(out) == pixels


def test_a_seed_draws_the_noise_and_the_warp_of_the_records():
    noisy = NoiseBank((3, 9), 5).add(some_pictures(6)[0], 9, np.random.default_rng(7))
    assert digest(noisy) == "d30a33dd4beb5eb5"
    expected = [
        [0.8622176135401445, -0.05811761468038442, 5.530735801315124],
        [0.016012673824575458, 0.8827542227772552, 31.087511705548625],
    ]
    warp = affine(Recipe(), 224, np.random.default_rng(1))
    np.testing.assert_allclose(warp, expected, rtol=1e-12)


# -- balance ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def colours():
    """Every 5th level of each channel: uint8 (52, 52, 52, 3)."""
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)


def test_grey_equals_opencv_and_imgaug_bit_for_bit(colours):
    image = colours.reshape(-1, 52, 3)
    before = image.copy()
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 1] = 0
    grey = desaturate(image)
    np.testing.assert_array_equal(grey, cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
    np.testing.assert_array_equal(grey, iaa.RemoveSaturation(1.0)(image=image))
    np.testing.assert_array_equal(image, before)


def test_a_batch_is_greyed_as_its_pictures():
    batch = some_pictures(4, 9)[:, :, :7]
    np.testing.assert_array_equal(desaturate(batch), [desaturate(one) for one in batch])
    assert desaturate(batch[:0]).shape == (0, 9, 7, 3)


@pytest.mark.parametrize(
    ("balance", "copied"), [("none", []), ("hem", [1, 3]), ("both", [0, 1, 2, 3, 4])]
)
def test_copies_stand_after_the_originals(balance, copied):
    rows, is_grey = balanced_rows(np.array([1, 0, 1, 0, 1]), balance)
    assert rows.tolist() == [0, 1, 2, 3, 4, *copied]
    assert is_grey.tolist() == [False] * 5 + [True] * len(copied)


# -- warp and brightness ---------------------------------------------------------------------


def landed(recipe, n=3000):
    """Where POINTS land, (n, points, 2): by imgaug, and by the matrices of `affine`."""
    points = [Keypoint(x + 0.5, y + 0.5) for x, y in POINTS]  # imgaug counts from pixel edges
    found = reference(0, recipe)(keypoints=[KeypointsOnImage(points, (SIZE, SIZE, 3))] * n)
    slow = np.array([[[p.x - 0.5, p.y - 0.5] for p in one.keypoints] for one in found])
    rng, corners = np.random.default_rng(5), np.column_stack([POINTS, np.ones(len(POINTS))]).T
    warps = [np.vstack([affine(recipe, SIZE, rng), [0, 0, 1]]) for _ in range(n)]
    return slow, np.array([(np.linalg.inv(warp) @ corners)[:2].T for warp in warps])


def stretch(positions):
    """Singular values of each warp, (n, 2): how much the picture grew along its two axes."""
    sides = [positions[:, corner] - positions[:, 0] for corner in (1, 2)]
    return np.linalg.svd(np.stack(sides, axis=-1) / (SIZE - 1), compute_uv=False)


@pytest.mark.parametrize("changes", [{}, {"size": 0.3}])
def test_corners_land_where_imgaug_puts_them(changes):
    slow, fast = landed(Recipe(**changes))
    for point in range(len(POINTS)):
        for axis in (0, 1):
            ours, theirs = fast[:, point, axis], slow[:, point, axis]
            assert stats.ks_2samp(theirs, ours).pvalue > 0.005, (point, axis)
            assert ours.std() == pytest.approx(theirs.std(), rel=0.06)
    for ours, theirs in zip(stretch(fast).T, stretch(slow).T, strict=True):
        assert stats.ks_2samp(theirs, ours).pvalue > 0.005
    elongation = [(s[:, 0] / s[:, 1]).mean() for s in (stretch(slow), stretch(fast))]
    assert elongation[0] == pytest.approx(elongation[1], abs=0.004)  # without shear: 0.009 less


def test_size_scales_both_axes_by_one_factor():
    recipe = Recipe(**STILL, size=0.2)
    for positions in landed(recipe, 1000):
        wide, high = stretch(positions).T
        np.testing.assert_allclose(wide, high, rtol=1e-6)
        assert stats.kstest(wide, stats.uniform(0.8, 0.4).cdf).pvalue > 0.005
        centre = positions[:, POINTS.index((31.5, 31.5))]
        np.testing.assert_allclose(centre, 31.5, atol=1e-3)


@pytest.mark.parametrize("place", ["host", "device"])
def test_mean_and_variance_of_every_pixel_as_in_imgaug(place):
    yy, xx = np.mgrid[:SIZE, :SIZE]
    cell = 120 * ((xx - 28) ** 2 / 400 + (yy - 35) ** 2 / 250 < 1)
    cell = cell * (1 + 0.3 * np.sin(xx / 3))
    cell = (cell[..., None] * [1, 0.6, 1.2]).astype(np.uint8)
    cells = np.repeat(cell[None], 2000, axis=0)
    slow = reference(11)(images=cells).astype(np.float32)
    if place == "host":
        fast = Augmenter(seed=11)(cells, np.random.default_rng(11)).astype(np.float32)
    else:
        fast = on_device(cells, seed=11).astype(np.float32)
    error = np.sqrt((slow.var(axis=0) + fast.var(axis=0)) / 2000)
    apart = fast.mean(axis=0) - slow.mean(axis=0)
    assert np.sqrt(((apart / error) ** 2).mean()) < 1.4  # by chance: about 1
    spread = fast.std(axis=0) / slow.std(axis=0)
    lit = slow.mean(axis=0) > 10  # elsewhere the cell comes by in few pictures
    assert lit.mean() > 0.3 and np.median(spread[lit]) == pytest.approx(1, abs=0.03)
    assert np.abs(spread[lit] - 1).max() < 0.25


@pytest.mark.parametrize("changes", [{}, {"stain": 0.2, "size": 0.3, "balance": "both"}])
def test_the_device_does_to_a_picture_what_the_host_does(changes):
    """But for noise, which each draws for itself, and the last bits of an interpolation."""
    recipe, grey = Recipe(sigmas=(), **changes), np.arange(12) % 3 == 0
    images = cv2.GaussianBlur(np.concatenate(some_pictures(12)), (0, 0), 2).reshape(12, 64, 64, 3)
    copies = [
        desaturate(one) if is_grey else one for one, is_grey in zip(images, grey, strict=True)
    ]
    expected = Augmenter(recipe)(copies, np.random.default_rng(1)).astype(int)
    apart = np.abs(on_device(images, recipe, 1, grey) - expected)
    assert apart.mean() < 0.2 and (apart <= 2).mean() > 0.999


def test_the_device_leaves_pictures_alone_where_nothing_trains_or_is_augmented():
    images, settings = some_pictures(6), Recipe(augment=False)
    np.testing.assert_array_equal(on_device(images, settings), images)
    grey = np.arange(6) < 3
    greyed = np.where(grey[:, None, None, None], desaturate(images), images)
    np.testing.assert_array_equal(on_device(images, settings, grey=grey), greyed)
    drawn = draws(Recipe(), SIZE, grey, np.random.default_rng(0))
    np.testing.assert_array_equal(OnDevice()(images, drawn, training=False), images)


def test_stain_scales_each_channel_by_a_factor_of_its_own():
    for pictures in ways(100, 200, Recipe(**STILL, sigmas=(), stain=0.2)):
        middle = pictures[:, 16, 16] / 100
        assert middle.min() >= 0.79 and middle.max() <= 1.21
        assert middle.mean(0) == pytest.approx([1, 1, 1], abs=0.03)
        assert (middle.std(0) > 0.08).all()
        assert abs(np.corrcoef(middle.T)[0, 1]) < 0.25


def test_a_batch_is_a_function_of_its_generator_and_leaves_its_pictures_alone():
    images = some_pictures(6)
    before, augment = images.copy(), Augmenter(seed=4)
    first = augment(images, np.random.default_rng([4, 2, 0, 0]))
    augment(images, np.random.default_rng(99))  # what stands between must not matter
    again = Augmenter(seed=4)(images, np.random.default_rng([4, 2, 0, 0]))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(images, before)
    for other in ([4, 2, 1, 0], [4, 2, 0, 1], [5, 2, 0, 0]):  # epoch, batch, seed
        assert (augment(images, np.random.default_rng(other)) != first).any()


# -- noise -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["floats", "one"])
def test_floats_and_a_single_picture_are_refused(wrong):
    batch = np.full((3, 8, 8, 3), 60, np.uint8)
    given = batch / 255 if wrong == "floats" else batch[0]
    functions = {
        "augment": lambda x: Augmenter()(x, np.random.default_rng(0)),
        "noise": lambda x: conditions.apply("noise:3", x),
        "area": probe.area,
        "handmade": measures.handmade_features,
        "grey": desaturate,
    }
    if wrong == "one":
        del functions["grey"]  # takes them
    for function in functions.values():
        function(batch)
        with pytest.raises(ImageError, match="give uint8"):
            function(given)


def test_half_the_pictures_get_each_sigma():
    for pictures in ways(120, 800, Recipe(**STILL)):
        spread = (pictures - 120).std(axis=(1, 2, 3))
        assert ((abs(spread - 3) < 0.1) | (abs(spread - 9) < 0.3)).all()
        assert (spread > 6).mean() == pytest.approx(0.5, abs=0.05)


def test_noise_comes_before_the_warp():
    """What a shift uncovers is exactly black: noise added later would light it up."""
    for pictures in ways(100, 50, Recipe(**{**STILL, "shift": 0.4}, sigmas=(9,))):
        uncovered = (pictures == 0).all(axis=(1, 3)).sum(axis=1)  # columns wholly black
        assert (uncovered > 0).mean() > 0.9
        assert (pictures > 0).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("place", ["host", "device"])
def test_noise_comes_after_grey(place):
    """A grey copy gets coloured noise: desaturating later would make its channels equal again."""
    images, labels = some_pictures(32), np.arange(32) % 2
    data = TrainingData(images, labels, TrainingConfig(batch_size=48, augment_on=place))
    pictures, targets = data.batch(0, 0)
    if place == "device":
        pictures = keras.ops.convert_to_numpy(OnDevice()(*pictures, training=True))
    grey = data.grey[data.order(0)]
    assert grey.sum() == 16 and targets[grey, 0].all()
    difference = np.abs(pictures[..., 0].astype(int) - pictures[..., 1]).mean(axis=(1, 2))
    assert (difference[grey] > 0.5).all()  # noise of sigma 3 or 9
    assert difference[grey].max() < difference[~grey].min()  # stain and noise


def noise_of(way, sigma, n, seed, size=64, level=128):
    """Noise of n grey pictures, int (n, size, size, 3), drawn as in training or as in a test."""
    grey = np.full((n, size, size, 3), level, np.uint8)
    if way == "device":
        return on_device(grey, Recipe(**STILL, sigmas=(sigma,)), seed).astype(int) - level
    if way == "test":
        return conditions.apply(f"noise:{sigma}", grey, seed).astype(int) - level
    bank, rng = NoiseBank((sigma,), seed), np.random.default_rng(seed)
    return np.array([bank.add(one, sigma, rng) for one in grey]).astype(int) - level


@pytest.mark.parametrize("way", ["test", "training", "device"])
@pytest.mark.parametrize("sigma", [3, 9])
def test_noise_is_rounded_normal(way, sigma):
    noise, reach = noise_of(way, sigma, 10, seed=2), int(3.5 * sigma)
    values = np.arange(-reach, reach + 1)
    observed = np.array([(noise == v).sum() for v in values])
    edges = stats.norm(scale=sigma).cdf
    expected = (edges(values + 0.5) - edges(values - 0.5)) * noise.size
    observed = np.append(observed, noise.size - observed.sum())  # both tails together
    expected = np.append(expected, noise.size - expected.sum())
    assert stats.chisquare(observed, expected).pvalue > 1e-3


@pytest.mark.parametrize("way", ["test", "training", "device"])
@pytest.mark.parametrize("level", [0, 4, 253])
def test_noise_is_clipped_as_by_imgaug(way, level):
    image = np.full((3, 96, 96, 3), level, np.uint8)
    theirs = iaa.AdditiveGaussianNoise(scale=9, per_channel=True, seed=3)(images=image)
    expected = np.bincount(theirs.ravel(), minlength=256)
    ours = noise_of(way, 9, 3, seed=3, size=96, level=level) + level
    found = np.bincount(ours.ravel(), minlength=256)
    common = expected + found > 20
    assert stats.chi2_contingency([expected[common], found[common]]).pvalue > 1e-3


@pytest.mark.parametrize("way", ["test", "training", "device"])
def test_noise_differs_per_pixel_channel_and_picture(way):
    noise = noise_of(way, 9, 40, seed=5)
    pixels = noise.reshape(-1, 3)
    bound = 4 / np.sqrt(len(pixels))
    assert np.abs(np.corrcoef(pixels.T)[np.triu_indices(3, 1)]).max() < bound
    for shift in ((0, 1), (1, 0), (1, 1), (0, 2)):
        moved = np.roll(noise, shift, axis=(1, 2))
        assert abs(np.corrcoef(noise.ravel(), moved.ravel())[0, 1]) < bound
    between = np.corrcoef(noise.reshape(40, -1))[np.triu_indices(40, 1)]
    assert np.abs(between).max() < 5 / np.sqrt(noise[0].size)


def test_a_window_of_the_bank_comes_with_either_sign():
    """So training noise keeps no offset, whatever the mean of a window."""
    bank, grey = NoiseBank((9,)), np.full((32, 32, 3), 128, np.uint8)
    dice = [SimpleNamespace(integers=lambda *_: 0, random=lambda p=p: p) for p in (0.25, 0.75)]
    plus, minus = (bank.add(grey, 9, rng).astype(int) - 128 for rng in dice)
    np.testing.assert_array_equal(plus, -minus)
    assert plus.any()
