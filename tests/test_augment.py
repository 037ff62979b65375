"""The fast augmentation against section 3.3 as imgaug writes it."""

import dataclasses

import cv2
import numpy as np
import pytest
from imgaug.augmentables import Keypoint, KeypointsOnImage
from scipy import stats

from allm_utils.book import paper
from allm_utils.errors import ConfigError
from allm_utils.network.augment import Augmenter, Recipe, affine, reference
from allm_utils.network.training import TrainingConfig, TrainingData

SIZE = 64
STILL = {"rotation": 0, "shift": 0, "shear": 0, "zoom": (1, 1), "brightness": (1, 1), "flip": 0}
POINTS = [(0, 0), (SIZE - 1, 0), (0, SIZE - 1), (SIZE - 1, SIZE - 1), (31.5, 31.5), (45, 12)]
CENTRE = slice(28, 36)


def both(value, n, recipe=None, seed=1):
    """Augment n pictures of one grey level: by imgaug, and fast."""
    images = np.full((n, SIZE, SIZE, 3), value, np.uint8)
    slow = reference(seed, recipe)(images=images)
    fast = Augmenter(recipe, seed)(images, np.random.default_rng(seed))
    return slow.astype(float), fast.astype(float)


def positions_fast(n, recipe, seed=5):
    """Where POINTS of the input land, (n, points, 2), by the matrices of `affine`."""
    rng = np.random.default_rng(seed)
    points = np.column_stack([POINTS, np.ones(len(POINTS))]).T
    landed = []
    for _ in range(n):
        forward = np.linalg.inv(np.vstack([affine(recipe, SIZE, rng), [0, 0, 1]]))
        landed.append((forward @ points)[:2].T)
    return np.array(landed)


def positions_reference(n, recipe, seed=0):
    points = [Keypoint(x + 0.5, y + 0.5) for x, y in POINTS]  # imgaug counts from pixel edges
    found = reference(seed, recipe)(keypoints=[KeypointsOnImage(points, (SIZE, SIZE, 3))] * n)
    return np.array([[[p.x - 0.5, p.y - 0.5] for p in one.keypoints] for one in found])


@pytest.fixture(scope="module")
def landed():
    return positions_reference(3000, Recipe()), positions_fast(3000, Recipe())


def stretch(landed):
    """Singular values of each warp, (n, 2): how much the picture grew along its two axes."""
    sides = np.stack([landed[:, 1] - landed[:, 0], landed[:, 2] - landed[:, 0]], axis=-1)
    return np.linalg.svd(sides / (SIZE - 1), compute_uv=False)


def test_the_default_recipe_is_the_papers():
    recipe = dataclasses.asdict(Recipe())
    printed = paper.AUGMENTATION
    assert recipe.pop("sigmas") == paper.TRAIN_SIGMAS
    assert recipe.pop("clean_share") == recipe.pop("stain") == 0
    assert recipe.pop("flip") == 0.5 * printed["horizontal_flip"]
    assert recipe.pop("shift") == printed["width_shift"] == printed["height_shift"]
    assert recipe == {name: printed[name] for name in recipe}


@pytest.mark.parametrize("point", range(len(POINTS)))
@pytest.mark.parametrize("axis", [0, 1])
def test_corners_land_where_imgaug_puts_them(landed, point, axis):
    slow, fast = (positions[:, point, axis] for positions in landed)
    assert stats.ks_2samp(slow, fast).pvalue > 0.005
    assert fast.std() == pytest.approx(slow.std(), rel=0.06)


def test_zoom_and_shear_stretch_as_in_imgaug(landed):
    slow, fast = map(stretch, landed)
    for axis in (0, 1):
        assert stats.ks_2samp(slow[:, axis], fast[:, axis]).pvalue > 0.005
    elongation = [(s[:, 0] / s[:, 1]).mean() for s in (slow, fast)]
    assert elongation[0] == pytest.approx(elongation[1], abs=0.004)  # without shear: 0.009 less


def test_zoom_never_shrinks_the_cell_and_half_the_pictures_are_flipped(landed):
    for positions in landed:
        assert stretch(positions).min() > 0.96  # shear alone makes 0.97
        assert stretch(positions).max() < 1.25 * 1.03
        a, b = positions[:, 1] - positions[:, 0], positions[:, 2] - positions[:, 0]
        flipped = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0).mean()
        assert flipped == pytest.approx(0.5, abs=0.03)


def test_the_warp_of_pixels_follows_the_matrix():
    recipe = dataclasses.replace(Recipe(), clean_share=1, brightness=(1, 1))
    yy, xx = np.mgrid[:SIZE, :SIZE]
    spot = 255 * np.exp(-((xx - 40) ** 2 + (yy - 22) ** 2) / 18)
    image = np.repeat(spot[..., None], 3, axis=-1).astype(np.uint8)
    augment = Augmenter(recipe)
    for seed in range(20):
        out = augment(image[None], np.random.default_rng(seed))[0, ..., 0].astype(float)
        rng = np.random.default_rng(seed)
        rng.random()  # the draw for clean_share comes first
        forward = np.linalg.inv(np.vstack([affine(recipe, SIZE, rng), [0, 0, 1]]))
        x, y, _ = forward @ [40, 22, 1]
        assert (out * xx).sum() / out.sum() == pytest.approx(x, abs=0.3)
        assert (out * yy).sum() / out.sum() == pytest.approx(y, abs=0.3)


@pytest.mark.parametrize("value", [0, 100])
def test_mean_and_spread_of_brightness_as_in_imgaug(value):
    slow, fast = both(value, 1000)
    means = [z[:, CENTRE, CENTRE].mean(axis=(1, 2, 3)) for z in (slow, fast)]
    # imgaug cuts the fraction of a grey level off, the fast way rounds: half a level of 40
    if value:
        assert stats.ks_2samp(*means).pvalue > 0.005
        for mean in means:
            assert mean.mean() == pytest.approx(0.6 * value, abs=1.2)
    else:
        assert means[1].mean() == pytest.approx(means[0].mean(), abs=0.1)
    assert means[1].std() == pytest.approx(means[0].std(), rel=0.06, abs=0.05)
    variances = [z[:, CENTRE, CENTRE].var(axis=(1, 2)).mean() for z in (slow, fast)]
    assert variances[1] == pytest.approx(variances[0], rel=0.1)


def test_the_warp_is_that_of_keras():
    """Given the same angles, shifts, zooms and flip, ``ImageDataGenerator`` makes this picture."""
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    recipe = Recipe(sigmas=(), brightness=(1, 1))
    rng = np.random.default_rng(2)
    image = cv2.GaussianBlur(rng.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8), (0, 0), 3)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    generator = ImageDataGenerator(fill_mode="constant")
    for seed in range(20):
        ours = Augmenter(recipe)(image[None], np.random.default_rng(seed))[0]
        rng = np.random.default_rng(seed)
        names = ("theta", "shear")
        drawn = {k: rng.uniform(-end, end) for k, end in zip(names, (45, 3), strict=True)}
        drawn["tx"], drawn["ty"] = rng.uniform(-0.1, 0.1, 2) * SIZE
        drawn["zx"], drawn["zy"] = rng.uniform(0.8, 1, 2)
        drawn["flip_horizontal"] = rng.random() < 0.5
        theirs = generator.apply_transform(image.astype(np.float32), drawn)
        difference = np.abs(ours - theirs)
        edge = np.minimum(ours, theirs) == 0  # what the warp uncovers, and the edge of it
        assert difference[~edge].mean() < 0.6 and (difference > 6).mean() < 0.03


@pytest.fixture(scope="module")
def pictures_of_a_cell():
    """2,000 pictures made of one cell by each way, float (2000, 64, 64, 3)."""
    yy, xx = np.mgrid[:SIZE, :SIZE]
    cell = 120 * ((xx - 28) ** 2 / 400 + (yy - 35) ** 2 / 250 < 1)
    cell = cell * (1 + 0.3 * np.sin(xx / 3))
    cell = (cell[..., None] * [1, 0.6, 1.2]).astype(np.uint8)
    cells = np.repeat(cell[None], 2000, axis=0)
    slow = reference(11)(images=cells).astype(np.float32)
    return slow, Augmenter(seed=11)(cells, np.random.default_rng(11)).astype(np.float32)


def test_mean_and_variance_of_every_pixel_as_in_imgaug(pictures_of_a_cell):
    slow, fast = pictures_of_a_cell
    error = np.sqrt((slow.var(axis=0) + fast.var(axis=0)) / 2000)
    apart = fast.mean(axis=0) - slow.mean(axis=0)
    assert np.sqrt(((apart / error) ** 2).mean()) < 1.4  # by chance: about 1
    spread = fast.std(axis=0) / slow.std(axis=0)
    lit = slow.mean(axis=0) > 10  # elsewhere the cell comes by in few pictures
    assert lit.mean() > 0.3 and np.median(spread[lit]) == pytest.approx(1, abs=0.03)
    assert np.abs(spread[lit] - 1).max() < 0.25


def test_two_pictures_of_a_batch_know_nothing_of_each_other(pictures_of_a_cell):
    _, fast = pictures_of_a_cell
    red = fast[..., 0]
    features = {
        "brightness": red.mean(axis=(1, 2)),
        "side": red[:, :, :32].mean(axis=(1, 2)) - red[:, :, 32:].mean(axis=(1, 2)),
        "height": red[:, :32].mean(axis=(1, 2)) - red[:, 32:].mean(axis=(1, 2)),
        "noise": fast[:, :4, :4].std(axis=(1, 2, 3)),
    }
    for name, values in features.items():
        for lag in (1, 2, 7):
            r = np.corrcoef(values[:-lag], values[lag:])[0, 1]
            assert abs(r) < 4 / np.sqrt(len(values)), (name, lag)


def test_every_training_picture_is_darkened():
    for pictures in both(200, 200, dataclasses.replace(Recipe(), clean_share=1)):
        centres = pictures[:, 32, 32, 0]
        assert centres.min() >= 0.4 * 200 - 1
        assert centres.max() <= 0.8 * 200 + 1
        assert np.ptp(centres) > 60


def test_noise_after_the_warp_has_the_same_power_at_every_frequency():
    """Bilinear warping takes the high frequencies away; both ways must take the same."""
    recipe = dataclasses.replace(Recipe(), sigmas=(9,), brightness=(1, 1))
    spectra = []
    for pictures in both(120, 400, recipe):
        patch = pictures[:, 16:48, 16:48]
        patch = patch - patch.mean(axis=(1, 2), keepdims=True)
        power = (np.abs(np.fft.fft2(patch, axes=(1, 2))) ** 2).mean(axis=(0, 3)) / 32**2
        f = np.fft.fftfreq(32)
        radius = np.hypot(f[:, None], f[None])
        bands = [(radius > low) & (radius <= low + 0.1) for low in (0, 0.1, 0.2, 0.3, 0.4)]
        spectra.append([power[band].mean() for band in bands])
    assert spectra[1] == pytest.approx(spectra[0], rel=0.05)
    assert spectra[0][0] > 2.5 * spectra[0][-1]


@pytest.mark.parametrize("clean_share", [0, 1 / 3, 1])
def test_shares_of_clean_pictures_and_of_the_two_sigmas(clean_share):
    recipe = Recipe(**STILL, clean_share=clean_share)
    for pictures in both(120, 800, recipe):
        spread = (pictures - 120).std(axis=(1, 2, 3))
        assert (spread == 0).mean() == pytest.approx(clean_share, abs=0.04)
        noisy = spread[spread > 0]
        if clean_share < 1:
            assert ((abs(noisy - 3) < 0.1) | (abs(noisy - 9) < 0.3)).all()
            assert (noisy > 6).mean() == pytest.approx(0.5, abs=0.05)


def test_noise_comes_before_the_warp():
    """What a shift uncovers is exactly black: noise added later would light it up."""
    recipe = Recipe(**{**STILL, "shift": 0.4}, sigmas=(9,))
    for pictures in both(100, 50, recipe):
        uncovered = (pictures == 0).all(axis=(1, 3)).sum(axis=1)  # columns wholly black
        assert (uncovered > 0).mean() > 0.9
        assert (pictures > 0).any(axis=(1, 2, 3)).all()


def test_noise_comes_after_grey():
    """A grey copy gets coloured noise: desaturating later would make its channels equal again."""
    rng = np.random.default_rng(0)
    images = rng.integers(40, 200, (32, SIZE, SIZE, 3)).astype(np.uint8)
    labels = np.arange(32) % 2
    data = TrainingData(images, labels, TrainingConfig(batch_size=48))
    pictures, targets = data.batch(0, 0)
    grey = data.grey[data.order(0)]
    assert grey.sum() == 16 and targets[grey, 0].all()
    difference = np.abs(pictures[..., 0].astype(int) - pictures[..., 1]).mean(axis=(1, 2))
    assert (difference[grey] > 0.5).all()  # noise of sigma 3 or 9
    assert difference[grey].max() < difference[~grey].min()  # stain and noise


def test_a_batch_is_a_function_of_its_generator():
    images = np.random.default_rng(3).integers(0, 255, (6, SIZE, SIZE, 3)).astype(np.uint8)
    before = images.copy()
    augment = Augmenter(seed=4)
    first = augment(images, np.random.default_rng([4, 2, 0, 0]))
    augment(images, np.random.default_rng(99))  # what stands between must not matter
    again = Augmenter(seed=4)(images, np.random.default_rng([4, 2, 0, 0]))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(images, before)
    assert first.dtype == np.uint8 and first.shape == images.shape
    for other in ([4, 2, 1, 0], [4, 2, 0, 1], [5, 2, 0, 0]):  # epoch, batch, seed
        assert (augment(images, np.random.default_rng(other)) != first).any()


def test_the_reference_repeats_with_its_seed():
    images = np.random.default_rng(3).integers(0, 255, (4, SIZE, SIZE, 3)).astype(np.uint8)
    first, again, other = (reference(seed)(images=images) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_pictures_of_one_batch_are_augmented_apart():
    images = np.full((8, SIZE, SIZE, 3), 90, np.uint8)
    images[:, 20:40, 10:50] = 160
    out = Augmenter()(images, np.random.default_rng(0))
    assert len({picture.tobytes() for picture in out}) == 8


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_0_to_1_is_refused(share):
    with pytest.raises(ConfigError, match=r"clean_share .*from 0 to 1"):
        Recipe(clean_share=share)


def test_a_negative_sigma_is_refused():
    with pytest.raises(ConfigError, match=r"sigma -3: .*0 to 255"):
        Augmenter(Recipe(sigmas=(-3, 9)))


def test_stain_scales_each_channel_by_a_factor_of_its_own():
    white = np.full((200, 32, 32, 3), 100, np.uint8)
    recipe = Recipe(sigmas=(), brightness=(1, 1), stain=0.2)
    middle = Augmenter(recipe)(white, np.random.default_rng(0))[:, 16, 16] / 100
    assert middle.min() >= 0.79 and middle.max() <= 1.21
    assert middle.mean(0) == pytest.approx([1, 1, 1], abs=0.03)
    assert (middle.std(0) > 0.08).all()
    assert abs(np.corrcoef(middle.T)[0, 1]) < 0.25


@pytest.mark.parametrize("changes", [{"stain": 1.0}, {"brightness": (0.8, 0.4)}])
def test_colours_out_of_range_are_refused(changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        Recipe(**changes)
