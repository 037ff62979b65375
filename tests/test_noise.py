"""Gaussian noise: its distribution, its independence, and imgaug's beside it."""

import cv2
import imgaug.augmenters as iaa
import numpy as np
import pytest
from scipy import stats

from allm_utils.errors import ConfigError
from allm_utils.judge.conditions import add_gaussian_noise
from allm_utils.network.noise import NoiseBank


def rounded_normal(sigma, values):
    """Probability of each whole number when a normal sample is rounded."""
    edges = stats.norm(scale=sigma).cdf
    return edges(values + 0.5) - edges(values - 0.5)


def assert_rounded_normal(noise, sigma):
    """Chi-squared test of whole-numbered noise against the rounded normal distribution."""
    reach = int(3.5 * sigma)
    values = np.arange(-reach, reach + 1)
    observed = np.array([(noise == v).sum() for v in values])
    expected = rounded_normal(sigma, values) * noise.size
    observed = np.append(observed, noise.size - observed.sum())  # both tails together
    expected = np.append(expected, noise.size - expected.sum())
    assert stats.chisquare(observed, expected).pvalue > 1e-3


def bank_noise(sigma, n, seed=0, size=64):
    """Noise of n pictures, int (n, size, size, 3), drawn as in training."""
    bank, rng = NoiseBank((sigma,), seed), np.random.default_rng(seed)
    grey = np.full((size, size, 3), 128, np.uint8)
    return np.array([bank.add(grey, sigma, rng) for _ in range(n)]).astype(int) - 128


def test_noise_size():
    grey = np.full((4, 64, 64, 3), 128, np.uint8)
    noisy = add_gaussian_noise(grey, 9, seed=1)
    assert noisy.dtype == np.uint8 and noisy.shape == grey.shape
    assert (noisy.astype(int) - 128).std() == pytest.approx(9, rel=0.01)
    assert (grey == 128).all()


@pytest.mark.parametrize("sigma", [2, 5, 8, 10])
def test_test_noise_is_rounded_normal(sigma):
    grey = np.full((10, 64, 64, 3), 128, np.uint8)
    assert_rounded_normal(add_gaussian_noise(grey, sigma, seed=2).astype(int) - 128, sigma)


@pytest.mark.parametrize("sigma", [3, 9])
def test_training_noise_is_rounded_normal(sigma):
    assert_rounded_normal(bank_noise(sigma, 10), sigma)


@pytest.mark.parametrize("sigma", [3, 9])
@pytest.mark.parametrize("level", [0, 4, 128, 253])
def test_equal_in_distribution_to_imgaug(sigma, level):
    """Also where it is clipped, at black and at white."""
    image = np.full((3, 96, 96, 3), level, np.uint8)
    theirs = iaa.AdditiveGaussianNoise(scale=sigma, per_channel=True, seed=3)(images=image)
    bank, rng = NoiseBank((sigma,)), np.random.default_rng(3)
    ways = {
        "test": add_gaussian_noise(image, sigma, seed=3),
        "training": np.array([bank.add(one, sigma, rng) for one in image]),
    }
    expected = np.bincount(theirs.ravel(), minlength=256)
    for way, ours in ways.items():
        found = np.bincount(ours.ravel(), minlength=256)
        common = expected + found > 20
        table = np.array([expected[common], found[common]])
        assert stats.chi2_contingency(table).pvalue > 1e-3, way


def test_clipping_on_black_is_no_longer_zero_mean():
    """A clipped normal has mean sigma / sqrt(2 pi); 47.8 % of pixels are above 0 at sigma 9."""
    noisy = add_gaussian_noise(np.zeros((8, 128, 128, 3), np.uint8), 9, seed=0)
    assert noisy.mean() == pytest.approx(9 / np.sqrt(2 * np.pi), abs=0.02)
    assert (noisy > 0).mean() == pytest.approx(0.478, abs=0.002)


def test_clipped_not_wrapped_at_white():
    noisy = add_gaussian_noise(np.full((2, 64, 64, 3), 255, np.uint8), 9, seed=0)
    assert noisy.min() > 200


@pytest.mark.parametrize("way", ["test", "training"])
def test_different_per_pixel_and_channel(way):
    if way == "test":
        grey = np.full((40, 64, 64, 3), 128, np.uint8)
        noise = add_gaussian_noise(grey, 9, seed=5).astype(int) - 128
    else:
        noise = bank_noise(9, 40, seed=5)
    pixels = noise.reshape(-1, 3)
    bound = 4 / np.sqrt(len(pixels))
    assert np.abs(np.corrcoef(pixels.T)[np.triu_indices(3, 1)]).max() < bound
    for shift in ((0, 1), (1, 0), (1, 1), (0, 2)):
        moved = np.roll(noise, shift, axis=(1, 2))
        assert abs(np.corrcoef(noise.ravel(), moved.ravel())[0, 1]) < bound


@pytest.mark.parametrize("way", ["test", "training"])
def test_white_spectrum(way):
    """Power of white noise is exponential and the same at every frequency."""
    if way == "test":
        grey = np.full((60, 64, 64, 3), 128, np.uint8)
        noise = add_gaussian_noise(grey, 9, seed=6).astype(float) - 128
    else:
        noise = bank_noise(9, 60, seed=6).astype(float)
    power = np.abs(np.fft.rfft2(noise, axes=(1, 2))[:, 1:32, 1:32]) ** 2 / 64**2
    per_frequency = power.mean(axis=(0, 3)) / (9**2 + 1 / 12)
    assert per_frequency.mean() == pytest.approx(1, abs=0.02)
    # each is the mean of 180 exponential values
    assert stats.kstest(per_frequency.ravel(), stats.gamma(180, scale=1 / 180).cdf).pvalue > 1e-3


@pytest.mark.parametrize("way", ["test", "training"])
def test_a_filter_cannot_tell_the_bank_from_a_draw_per_pixel(way):
    """What a convolution sees: its answer at a place, normal with the variance of its weights."""
    if way == "test":
        grey = np.full((400, 32, 32, 3), 128, np.uint8)
        noise = add_gaussian_noise(grey, 9, seed=9).astype(float) - 128
    else:
        noise = bank_noise(9, 400, seed=9, size=32).astype(float)
    rng = np.random.default_rng(10)
    for side in (3, 7, 32):
        weights = rng.normal(size=(25, side, side, 3))
        weights /= np.sqrt((weights**2).sum(axis=(1, 2, 3), keepdims=True))
        answers = np.tensordot(noise[:, :side, :side], weights, axes=([1, 2, 3], [1, 2, 3]))
        standard = answers / np.sqrt(9**2 + 1 / 12)
        assert stats.kstest(standard.ravel(), "norm").pvalue > 1e-3, side


def test_what_the_overlap_of_windows_costs():
    """Pictures of a batch that share noise, at other pixels, share some of its mean power.

    A mean over 16 pictures so varies more than with a draw per pixel: 1 + 15 n / (bank - n) times
    as much in its variance, 1.6 for pictures of 224 pixels. It is a variance of next to nothing:
    the power of a picture's noise is within 2 % of the same, always.
    """
    bank, rng = NoiseBank((9,), 3), np.random.default_rng(3)
    grey = np.full((224, 224, 3), 128, np.uint8)
    power = np.empty((100, 16))
    for mean in power.reshape(-1, 1):
        noise = cv2.subtract(bank.add(grey, 9, rng), 128, dtype=cv2.CV_32F)
        mean[:] = (noise**2).mean() / (9**2 + 1 / 12)
    assert np.abs(power - 1).max() < 0.02
    fresh = 2 / grey.size / 16
    assert 0.7 < power.mean(axis=1).var() / fresh < 2.6


def test_pictures_get_independent_noise():
    for noise in (
        bank_noise(9, 30, seed=7),
        add_gaussian_noise(np.full((30, 64, 64, 3), 128, np.uint8), 9, seed=7).astype(int) - 128,
    ):
        between = np.corrcoef(noise.reshape(30, -1))[np.triu_indices(30, 1)]
        assert np.abs(between).max() < 5 / np.sqrt(noise[0].size)
        assert between.std() == pytest.approx(1 / np.sqrt(noise[0].size), rel=0.2)


class Dice:
    """A generator that always draws the first window of the bank, and the given sign."""

    def __init__(self, sign):
        self.integers = lambda *_: 0
        self.random = lambda: 0.25 if sign > 0 else 0.75


def test_a_window_of_the_bank_comes_with_either_sign():
    bank, grey = NoiseBank((9,)), np.full((32, 32, 3), 128, np.uint8)
    plus, minus = (bank.add(grey, 9, Dice(sign)).astype(int) - 128 for sign in (1, -1))
    np.testing.assert_array_equal(plus, -minus)
    assert plus.any()


def test_training_noise_keeps_no_offset():
    means = bank_noise(9, 400, seed=8).mean(axis=(1, 2, 3))
    assert abs(means.mean()) < 4 * 9 / np.sqrt(64 * 64 * 3 * 400) + 0.005
    assert means.std() == pytest.approx(9 / np.sqrt(64 * 64 * 3), rel=0.25)


def test_same_seed_same_noise():
    images = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3)).astype(np.uint8)
    first = add_gaussian_noise(images, 5, seed=1)
    np.testing.assert_array_equal(first, add_gaussian_noise(images, 5, seed=1))
    assert (first != add_gaussian_noise(images, 5, seed=2)).any()
    # picture i gets the noise of (seed, i), however many there are
    np.testing.assert_array_equal(first[:2], add_gaussian_noise(images[:2], 5, seed=1))


def test_the_bank_repeats_with_its_seed():
    np.testing.assert_array_equal(bank_noise(3, 2, seed=1), bank_noise(3, 2, seed=1))
    assert (bank_noise(3, 2, seed=1) != bank_noise(3, 2, seed=2)).any()


def test_sigma_0_changes_nothing():
    images = np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3)).astype(np.uint8)
    noisy = add_gaussian_noise(images, 0)
    np.testing.assert_array_equal(noisy, images)
    assert noisy is not images and not np.shares_memory(noisy, images)


@pytest.mark.parametrize("sigma", [-1, -0.001, 256, float("nan"), float("inf")])
def test_a_sigma_outside_0_to_255_is_refused(sigma):
    with pytest.raises(ConfigError) as refused:
        add_gaussian_noise(np.zeros((1, 8, 8, 3), np.uint8), sigma)
    assert str(sigma) in str(refused.value) and "0 to 255" in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError):
        NoiseBank((3, sigma))
