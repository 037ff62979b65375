# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Noise and augmentation
#
# After this chapter you can add Gaussian noise to a picture as the paper does, write its augmentation
# down in a library and as one matrix, and say what each step does to the cells and to the test.
#
# > **You will learn**
# > - what "noise, different per pixel and per channel" means, and what clipping at black does to it;
# > - how rotation, shift, shear, zoom and flip become one matrix and one pass over the picture;
# > - why every training picture of the paper is darker than every test picture of the same cell;
# > - how to replace a slow step by a fast one and *prove* that nothing changed;
# > - how to draw random numbers so that a run can be repeated, and resumed.
# >
# > **Before you start:** [Balancing](02_balancing.ipynb), and what a normal distribution is.
# >
# > **Run time:** about 15 s on two CPU cores (smoke profile); GPU: not needed.

# %% tags=["colab", "remove-cell"]
import sys

if "google.colab" in sys.modules:  # installs the package, and nothing that Colab has
    from IPython import get_ipython

    packages = "imaug==0.4.3 git+https://github.com/allm-book/allm@main"
    get_ipython().run_line_magic("pip", "install -q --no-deps " + packages)

# %% tags=["setup"]
import inspect
import json
import math
import time

import imgaug.augmenters as iaa
import numpy as np
import pandas as pd
from imgaug.augmentables import Keypoint, KeypointsOnImage
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

# %% tags=["setup"]
from allm_utils.book import exercises, figures, paper, profile, widgets
from allm_utils.data import cnmc, images, synthetic
from allm_utils.network import augment, balance, noise, training
from allm_utils.runs import records

run = profile.banner()
root = synthetic.data_root(run)
frame = cnmc.index(root).query("split == 'train'")
source = "synthetic cells" if synthetic.is_synthetic(root) else "C-NMC 2019"

# %% [markdown]
# ## Why change a picture on purpose?
#
# A fold of C-NMC has about 2,500 training pictures, from 14 to 31 people. MobileNet_M has 3.2 million
# weights. It can learn every picture by heart and still know nothing about leukemia.
#
# **Augmentation** is the usual remedy {cite:p}`shorten2019`: show the network a slightly different
# picture every time, changed in ways that do not change the answer. A lymphocyte on a slide has no top
# and no bottom, so turning it is safe. A camera adds noise, so a little more noise should not turn a
# healthy cell into a leukemic one.
#
# The important words are *do not change the answer*. That is a claim about biology, not about
# programming, and each step has to earn it. Some of the paper's steps deserve a second look, and get
# one below: the zoom, because size is a cue, the shift, because it meets the edge of the picture, and the
# brightness, because it works in one direction.
#
# Section 3.3 of the paper lists what is done to the training pictures, in two sentences:

# %%
printed = {"noise σ": paper.TRAIN_SIGMAS, **paper.AUGMENTATION}
pd.Series(printed, name="section 3.3").to_frame()

# %% [markdown]
# (The last row, *rescale*, is not augmentation. It maps 0-255 to 0-1, and in this book it is the first
# layer of the model.) To begin with, 200 pictures, cropped and resized as in the last chapter:

# %%
sample = frame.sample(200, random_state=0).reset_index(drop=True)
cells = images.load(sample, 224, run.crop, run.work / "images", progress=False)
labels = sample["label"].to_numpy(int)
background = ~cells.any(axis=-1)
print(cells.shape, cells.dtype)
print(f"{background.mean():.0%} of the pixels are background")

# %% [markdown]
# ## What noise means here
#
# Take a pixel with the values (90, 45, 110) for red, green and blue. Draw three random numbers from a
# normal distribution with mean 0 and standard deviation $\sigma$, and add one to each value. Do so for
# every pixel. That is the paper's noise: *"the noise value is different per pixel and per channel"*.
# Written down, with $x$ the value of a pixel $i$ in channel $c$:
#
# $$ y_{i,c} = \operatorname{clip}\bigl(\operatorname{round}(x_{i,c} + \varepsilon_{i,c}),\, 0,\, 255\bigr),
# \qquad \varepsilon_{i,c} \sim \mathcal N(0, \sigma^2) \text{ independently} $$ (eq-augmentation-noise)
#
# The rounding and the clipping are there because a picture holds whole numbers from 0 to 255. The unit
# of $\sigma$ is one grey level. To see "per channel", zoom in on a patch of 24 × 24 pixels and compare
# it with noise that is one number per pixel.

# %%
patch = cells[0, 100:124, 100:124]
shared = iaa.AdditiveGaussianNoise(scale=9, per_channel=False, seed=1)(image=patch)
patches = [patch, shared] + [noise.add_gaussian_noise(patch, s, seed=1) for s in (3, 9)]

# %% mystnb={"figure": {"name": "fig-augmentation-patch", "caption": "A patch of 24 × 24 pixels inside a cell, brightened twofold for display: clean; noise of σ 9 that is one number per pixel; noise that differs per pixel and channel, σ 3 and σ 9. Cells of this run; synthetic in the published book."}, "image": {"alt": "Four enlarged patches. The first is smooth. The second has darker and lighter specks of the same hue. In the third and fourth the specks also differ in hue: some pink, some green, some blue; much stronger at sigma 9."}}
titles = ["clean", "per pixel, σ 9", "per channel, σ 3", "per channel, σ 9"]
figures.cells(patches, titles, 4, 2, source=source)

# %% [markdown]
# With one number per pixel the specks are lighter or darker. With one per channel they also change
# **colour**. Under the microscope that is the noise of the sensor, not of the stain: red, green and
# blue light are counted separately.
#
# Is it what we ordered? The difference to the clean picture should have mean 0 and standard deviation
# 9, and the three channels should know nothing of each other:

# %%
noisy = noise.add_gaussian_noise(cells, 9, seed=0)
bright = (cells > 40).all(axis=-1)  # far enough from 0 not to be clipped
difference = noisy[bright].astype(int) - cells[bright]
print(f"mean {difference.mean():.3f}, standard deviation {difference.std():.2f}")
print(f"correlation of red and green: {np.corrcoef(difference.T)[0, 1]:.4f}")

# %% [markdown]
# `imgaug`, the library that the authors used {cite:p}`imgaug`, calls this
# `AdditiveGaussianNoise(scale=9, per_channel=True)`. A test of this book compares the two value by
# value, at black, in the middle and at white.

# %% [markdown]
# ## On black, noise is not zero-mean
#
# The word *zero-mean* stands in the paper, and {eq}`eq-augmentation-noise` has a clip in it. Where the
# picture is black, $x = 0$, every negative draw becomes 0 again. Only the positive half is left:

# %%
rows = {}
for sigma in (*paper.TRAIN_SIGMAS, *paper.TEST_SIGMAS[1:]):
    black = noise.add_gaussian_noise(cells[:40], sigma, seed=0)[background[:40]]
    rows[sigma] = [black.mean(), sigma / np.sqrt(2 * np.pi), (black > 0).mean()]
columns = ["mean on black", "σ / √(2π)", "share above 0"]
pd.DataFrame(rows, columns).T.rename_axis("σ").sort_index().round(3)

# %% [markdown]
# At $\sigma = 9$ the black background is no longer black: its mean is 3.59, and 47.8 % of its values are
# above 0. The middle column is the theory. The mean of a normal draw of which the negative half is set
# to zero is
#
# $$ \operatorname E\bigl[\max(0, \varepsilon)\bigr] = \int_0^\infty
# \frac{x}{\sigma\sqrt{2\pi}}\, e^{-x^2 / 2\sigma^2}\, \mathrm dx = \frac{\sigma}{\sqrt{2\pi}}
# \approx 0.4\,\sigma $$ (eq-augmentation-clipped)

# %% mystnb={"figure": {"name": "fig-augmentation-clipping", "caption": "The same noise, σ 9, on a black pixel and on one of value 60, before and after clipping. Computed, no cells."}, "image": {"alt": "Two histograms. On black: before, a bell around 0; after, a tall bar at 0 that holds about half of the values, and only the right half of the bell; its mean is 3.6. On value 60: a symmetric bell, the same before and after, mean 60."}}
rng = np.random.default_rng(0)
added = rng.normal(0, 9, 100_000)
parts = {
    name: (value + added, np.clip(np.rint(value + added), 0, 255))
    for name, value in (("on black", 0), ("inside a cell, value 60", 60))
}
figures.clipping(parts, 9)

# %% [markdown]
# Why care about the background? Because there is so much of it: about 84 % of an original picture, and
# still the larger part after the crop. Look at a noisy picture and you see the noise **around** the
# cell at once. A network sees it too. It can tell σ 3 from σ 9, or a noisy picture from a clean one,
# without looking at the cell. A real camera does not do that to a picture whose background was set
# to black by a program afterwards.
#
# So the noise tests of the paper ask a narrower question than their name suggests. We follow them all
# the same, with this caveat; the chapter on robustness comes back to it.

# %% [markdown]
# ## Try it
#
# Three sliders, in the order in which the training applies them. Nothing runs on a server: the page
# does it. Set σ to 9 and read the background; then turn the cell and watch **the noise shrink**; then
# darken it and watch what stays the same.

# %%
widgets.noise_lab(images.prepare(sample["path"][0], 96, run.crop), source)

# %% [markdown]
# What there is to find:
#
# - With σ 9 and nothing else, the background has a mean of about 3.6.
# - Any **rotation** cuts the noise in the cell by about a third. A turned pixel falls between four old
#   ones and becomes a weighted mean of them; a mean of independent noise is smaller. The background
#   mean hardly moves, since a mean of means is the same mean.
# - **Darkening** scales cell and noise alike. The last line, noise over signal, stays.

# %% [markdown]
# ## Six changes, one at a time
#
# The rest of section 3.3 moves and dims the picture. In imgaug each change is one object. Here are the
# extreme ends of every range, on the first cell of the sample:

# %%
steps = {
    "as it is": iaa.Identity(),
    "rotation −45°": iaa.Affine(rotate=-45),
    "rotation +45°": iaa.Affine(rotate=45),
    "flip": iaa.Fliplr(1.0),
    "shift 10 %, 10 %": iaa.Affine(translate_percent={"x": 0.1, "y": 0.1}),
    "shear 3°": iaa.Affine(shear={"x": 3}),
    "zoom 0.8, both": iaa.Affine(scale=1 / 0.8),
    "zoom 0.8, x only": iaa.Affine(scale={"x": 1 / 0.8, "y": 1}),
    "brightness 0.8": iaa.Multiply(0.8),
    "brightness 0.4": iaa.Multiply(0.4),
}
changed = [step(image=cells[0]) for step in steps.values()]

# %% mystnb={"figure": {"name": "fig-augmentation-steps", "caption": "Every change of section 3.3 at the end of its range, one at a time, brightened twofold for display. Cells of this run; synthetic in the published book."}, "image": {"alt": "Ten pictures of one cell: unchanged, turned left, turned right, mirrored, shifted to the lower right, slightly sheared, enlarged, stretched in width, a little darker, much darker."}}
figures.cells(changed, list(steps), 5, 2, source=source)

# %% [markdown]
# How we read the list, since two sentences leave room:
#
# | the paper | read as | by |
# |---|---|---|
# | rotation of 45 degrees | an angle from −45° to 45°, all equally likely | the meaning in Keras |
# | width and height shift 0.1 | up to 10 % either way, drawn for each axis | the same |
# | shear range 3 | −3° to 3° | the same (degrees, not radians) |
# | zoom range 0.8 to 1 | drawn for **each axis**; below 1 the cell **grows**, up to 1.25 times | the same |
# | brightness 0.4 to 0.8 | a factor on every value | Keras since 2.10 |
# | horizontal flip | with probability one half | the same |
# | what a turn uncovers | black, like the background | our choice: Keras would smear the edge |
#
# "The meaning in Keras" is that of its `ImageDataGenerator`, whose argument names the paper uses. All of
# them are drawn anew for every picture and every epoch.

# %% [markdown]
# ## Three second looks
#
# ### Zoom and size
#
# Cells of ALL are larger, and the first chapter showed how much that alone gives away. The paper's
# zoom only enlarges. What does it do to the area?

# %%
zoom = rng.uniform(*paper.AUGMENTATION["zoom"], (len(cells), 2))
area = (~background).sum(axis=(1, 2))
zoomed = area / zoom.prod(axis=1)
growth = zoomed / area
print(f"area grows {growth.mean():.2f} times on average, {growth.max():.2f} at most")
for name, a in (("as they are", area), ("zoomed", zoomed)):
    print(f"AUC of the area alone, {name}: {roc_auc_score(labels, a):.3f} ({source})")

# %% [markdown]
# A training cell is on average a quarter larger than the same cell at test, and up to 1.56 times. The
# mean area of the real ALL cells is 1.44 times that of the HEM cells (measured on the real fold 1), so a
# zoomed HEM cell can be as large as an ALL cell. The AUC falls a little. Whether that is bad depends on
# the aim: it makes the network lean less on size, and it makes training cells differ from test cells.
#
# ### Zoom, shift and the edge
#
# The last chapter chose the crop so that most cells stay whole. Now they grow and move inside the
# same frame. How many are cut by its edge?


# %%
def cut(pictures):
    edge = [pictures[:, :1], pictures[:, -1:], pictures[:, :, :1], pictures[:, :, -1:]]
    return np.any([part.any(axis=(1, 2, 3)) for part in edge], axis=0).mean()


plain = augment.Recipe(clean_share=1, brightness=(1, 1))
moved = augment.Augmenter(plain)(cells, rng)
print(f"cells cut by the edge ({source}):")
print(f"{cut(cells):.0%} at test, {cut(moved):.0%} in training")

# %% [markdown]
# For a cut cell, size and outline are no longer to be seen. That is the price of the narrow crop; a wider
# one leaves room to move, at fewer pixels per cell.
#
# ### Brightness in one direction
#
# The range 0.4 to 0.8 does not contain 1. **Every training picture is darkened, and no test picture
# is.** The network never trains on a cell as bright as those it is tested on:

# %%
factor = rng.uniform(*paper.AUGMENTATION["brightness"], len(cells))
peak = cells.max(axis=(1, 2, 3))
at_test = np.array([cell[cell.any(axis=-1)].mean() for cell in cells])
means = {
    "test: as they are": at_test,
    "training, Keras 2.10 and later": at_test * factor,
    "training, before Keras 2.10": at_test * factor * 255 / peak,
}
print({name: round(float(value.mean()), 1) for name, value in means.items()})

# %% mystnb={"figure": {"name": "fig-augmentation-brightness", "caption": "Mean value of the cell, picture by picture: at test, and in training under two versions of Keras. Cells of this run; synthetic in the published book."}, "image": {"alt": "Three histograms on one axis. The test pictures form a narrow peak near 60. Training pictures of today's Keras lie left of it, mostly between 20 and 55; those of the older version lie right of it and are spread from 45 to 120."}}
figures.brightness(means, source)

# %% [markdown]
# The third histogram is a trap for anyone who wants to repeat the paper. Before version 2.10, Keras
# stretched each picture to the full range 0-255 *before* it applied the factor. C-NMC is dark, so the
# stretch more than doubles it, and the training pictures come out **brighter** than the test pictures
# instead of darker. Measured on 600 real pictures: 59.7 at test, 35.8 and 76.6 in training.
#
# Which one did the authors run? They name both TensorFlow 2.4.1, which stretches, and Keras 2.10,
# which does not. We take the plain factor. Either way training and test differ in brightness, in
# opposite directions, and the network has to cope with a brightness that it has not seen. Batch
# normalisation, in [the next chapter](04_mobilenet_m.ipynb), does not help: at test it uses the means of
# training.

# %% [markdown]
# ## The recipe in imgaug
#
# Now all of it together. This is `augment.reference`, the paper's section as the package writes it,
# without its description:

# %%
_, _, body = inspect.getsource(augment.reference).split('"""')
print(body.strip())

# %% [markdown]
# Read it from top to bottom: noise, of σ 3 or σ 9 with equal chances; one warp; a flip; the factor. Two
# decisions in it are ours, because the paper is silent.
#
# - **Noise comes first**, on the still picture, after the grey copies of the last chapter were made.
#   The paper "injects" it into the training set, and lists the rest as done "during the training phase".
# - **Each picture is noisy, and drawn anew every epoch**: no picture stays clean. `clean_share` leaves a
#   part of them without noise; it is 0 here, as we read the paper. Remember that the test at σ 0 is
#   clean, so it too asks for something that training never showed.
#
# What does the order do to the noise? As the sliders showed, warping smooths it. On a flat field of
# value 60, about that of a real cell:

# %%
flat = np.full((200, 64, 64, 3), 60, np.uint8)
recipe = augment.Recipe(sigmas=(9,))
seen = augment.Augmenter(recipe)(flat, np.random.default_rng(0))[:, 24:40, 24:40]
relative = np.mean(seen.std(axis=(1, 2, 3)) / seen.mean(axis=(1, 2, 3)))
print(f"training, σ 9: the noise is {relative:.0%} of the signal")
print(f"test, σ 10: {10 / 60:.0%}")

# %% [markdown]
# So σ 9 in training and σ 10 at test are not nearly the same. Inside the cell the tested noise is
# stronger than the trained one by more than half.

# %% [markdown]
# ## One matrix instead of five passes
#
# Now the fast way. Rotation, shear, zoom and flip are linear maps of the plane, so together they are
# one 2 × 2 matrix; a shift adds a vector. Picture libraries ask the question backwards: *for each pixel
# of the result, where in the original does its value come from?*
#
# $$ \mathbf x_\text{in} = \mathbf c + R_\theta \bigl( S_\phi Z F\, (\mathbf x_\text{out} - \mathbf c)
# + \mathbf s \bigr) $$ (eq-augmentation-warp)
#
# Here $\mathbf c$ is the centre of the picture, $R_\theta$ a rotation, $S_\phi$ a shear, $Z$ the zoom of
# each axis on the diagonal, $F$ the flip (1 or −1 for $x$) and $\mathbf s$ the shift. It is the order of
# Keras. `augment.affine` draws the six numbers of one such map:

# %%
matrix = augment.affine(augment.Recipe(), 224, np.random.default_rng(1))
pd.DataFrame(matrix, ["x in", "y in"], ["x out", "y out", "1"]).round(3)

# %% [markdown]
# Because $Z$ multiplies a question about the *result*, a number below 1 makes the cell larger: a step of
# one pixel in the result is a step of 0.8 in the original.
#
# With one matrix, there is one interpolation per picture. Three more tricks make `augment.Augmenter` fast:
#
# - **A bank of noise.** Drawing 150,000 normal numbers per picture costs more than everything else. Four
#   million are drawn once, and each picture gets a window of them at a random place with a random sign.
# - **No floats.** OpenCV adds, warps and darkens in whole numbers of eight bits.
# - **No new memory.** Each picture of a batch is made in the same two buffers. To ask the system for new
#   memory and fill it can cost as much as half a warp.
#
# How much faster, on this machine, now? (Never trust a time that does not name its machine. This one is
# only for you.)

# %%
batch, fast, slow = cells[:16], augment.Augmenter(), augment.reference(0)
for name, work in (
    ("imgaug", lambda: slow(images=batch)),
    ("Augmenter", lambda: fast(batch, rng)),
):
    work()  # the first call warms up
    start = time.perf_counter()
    work()
    took = (time.perf_counter() - start) / len(batch)
    print(f"{name}: {1000 * took:.1f} ms per picture, here and now")

# %% [markdown]
# And against what the paper used, imgaug for the noise and then Keras' `ImageDataGenerator`? `make bench`
# has both make the same pictures in turns, one thread each, and keeps the times with the machine. This is
# the last run that is kept:

# %%
kept = sorted((records.RESULTS.parent / "benchmarks" / "results").glob("*.json"))[-1]
bench = json.loads(kept.read_text())
row = next(r for r in bench["rows"] if r["what"].startswith("Training pictures"))
on = f"on {bench['hardware']}, {bench['date']}, {row['unit']} for a picture"
print(f"{on}: the paper's way {row['alternative']:.2f}, ours {row['ours']:.2f}")
print(
    f"{row['ratio']:.0f} times as fast; {row['low']:.0f} to {row['high']:.0f} in turns"
)

# %% [markdown]
# A graphics card trains MobileNet at a thousand pictures a second or more: fed the slow way, it would wait most of
# the time. The fast way keeps up, with one or two threads beside the training.

# %% [markdown]
# ## Fast, but is it the same?
#
# Random outputs cannot be compared picture by picture. Their **distributions** can. First the geometry:
# where do the four corners of the picture go? In imgaug, points can be augmented like pictures. In the
# fast way, the inverse of the matrix tells.


# %%
corners = np.array([(0, 0), (223, 0), (223, 223), (0, 223)])
points = [Keypoint(x + 0.5, y + 0.5) for x, y in corners]
points = KeypointsOnImage(points, (224, 224, 3))
moved = augment.reference(0)(keypoints=[points] * 500)
by_imgaug = np.array([each.to_xy_array() - 0.5 for each in moved])


def land(rng):
    backwards = np.vstack([augment.affine(augment.Recipe(), 224, rng), [0, 0, 1]])
    return (np.linalg.inv(backwards) @ np.c_[corners, np.ones(4)].T)[:2].T


by_matrix = np.array([land(rng) for _ in range(500)])

# %% mystnb={"figure": {"name": "fig-augmentation-corners", "caption": "Where the four corners of a 224-pixel picture land in 500 draws of each way. The square is the picture before."}, "image": {"alt": "Two scatter plots side by side, imgaug left, one matrix right. In both, the points form the same broad ring around a square: the upper corners its upper half, the lower corners its lower half. Left and right corners are mixed because of the flip."}}
figures.corners(by_imgaug, by_matrix, 224)

# %% [markdown]
# The rings look alike. Looking is not proving, so next the numbers: each feature of the result, by both
# ways, and the p-value of a **Kolmogorov-Smirnov test**. It asks: if both samples came from the same
# distribution, how often would they differ at least as much as here? With five tests, one value below
# 0.05 is nothing special; one below 0.005 would be a reason to worry.

# %%
grey = np.full((300, 64, 64, 3), 100, np.uint8)
middle = (slice(None), slice(24, 40), slice(24, 40))
pictures = augment.reference(0)(images=grey)[middle], fast(grey, rng)[middle]
features = {
    "corner, x": (by_imgaug[:, 0, 0], by_matrix[:, 0, 0]),
    "corner, y": (by_imgaug[:, 0, 1], by_matrix[:, 0, 1]),
    "middle, x": (by_imgaug.mean(axis=1)[:, 0], by_matrix.mean(axis=1)[:, 0]),
    "brightness": [p.mean(axis=(1, 2, 3)) for p in pictures],
    "noise": [p.std(axis=(1, 2, 3)) for p in pictures],
}
columns = ["mean", "mean, fast", "sd", "sd, fast", "p-value"]
table = {
    name: [a.mean(), b.mean(), a.std(), b.std(), ks_2samp(a, b).pvalue]
    for name, (a, b) in features.items()
}
pd.DataFrame(table, columns).T.round(2)

# %% [markdown]
# The tests of this book do the same with more draws, and add the spectrum of the noise, its
# independence between pictures, and its shape at σ 3 and 9. Two small differences are left, and known:
# imgaug cuts fractions of a grey level off where OpenCV rounds, and two pictures may hold the same noise
# values, at other pixels.
#
# **Was it worth it?** The comparison found two mistakes in our *reference*, the one that everyone would
# trust. With `shear=(-3, 3)`, imgaug draws one angle for both axes, and a shear of both axes by the same
# angle is a rotation: nothing was sheared. And a seed given to the sequence did not reach the steps in
# it, so no run could be repeated. Both read perfectly well.

# %%
for name, shear in (("a tuple", (3, 3)), ("the x axis", {"x": 3})):
    step = iaa.Affine(shear=shear)
    square = step(keypoints=points).to_xy_array()
    sides = np.linalg.norm(np.diff(square, axis=0), axis=1)
    cosine = (square[1] - square[0]) @ (square[3] - square[0]) / sides[0] / sides[2]
    print(f"shear of 3° by {name}: the corner has {np.degrees(np.arccos(cosine)):.1f}°")

# %% [markdown]
# ## Random, and repeatable
#
# A run of many hours will be interrupted one day. To continue it as if nothing had happened, epoch 7
# must see the same pictures whether or not epochs 0 to 6 ran just before it. So no generator may carry
# its state from batch to batch. Instead each batch gets its own, seeded with three numbers:
#
# ```python
# rng = np.random.default_rng([seed, 2, epoch, batch])  # the 2 keeps it apart from the shuffle's
# ```
#
# `training.TrainingData` does so. Ask for a batch twice, with others in between, and for its neighbours:

# %%
config = training.TrainingConfig(batch_size=16, seed=1337)
data = training.TrainingData(cells, labels, config)
first, _ = data.batch(epoch=3, index=1)
data.batch(epoch=0, index=0)
again, _ = data.batch(epoch=3, index=1)
later, _ = data.batch(epoch=4, index=1)
print("same batch, same pictures:", np.array_equal(first, again))
print("next epoch, other pictures:", not np.array_equal(first, later))

# %% [markdown]
# Only training pictures are drawn anew. Validation and test pictures are neither balanced nor augmented
# in this book, so that two models are always measured on the same pictures.

# %% [markdown]
# ## From file to batch: Figures 3 and 4
#
# The paper shows one cell of each class on its way into the network. Here are ours, in its order.


# %%
def journey(path, grey):
    """The pictures of Fig. 3 (ALL) or, with the grey step, of Fig. 4 (HEM)."""
    original = images.read(path)
    steps = {"original": original, "resized": images.prepare(path, 224, run.crop)}
    if grey:
        steps["grey"] = balance.desaturate(steps["resized"])
    last = [*steps.values()][-1]
    for sigma in paper.TRAIN_SIGMAS:
        steps[f"σ = {sigma}"] = noise.add_gaussian_noise(last, sigma, seed=sigma)
    batch = np.repeat(last[None], 5 if grey else 4, axis=0)
    augmented = augment.Augmenter(seed=1)(batch, np.random.default_rng(5))
    return steps, augmented


one_of_each = frame.groupby("label").sample(1, random_state=4)["path"]

# %% mystnb={"figure": {"name": "fig-augmentation-all", "caption": "An ALL cell on its way into training (the paper's Fig. 3): (a) original, (b) cropped and resized, (c) and (d) noise, (e) to (h) augmented. Brightened twofold for display. Cells of this run; synthetic in the published book."}, "image": {"alt": "Eight pictures of one purple cell: the original with much black around it, the crop, two noisy versions, and four noisy versions that are turned, shifted, enlarged and darkened."}}
steps, augmented = journey(one_of_each.iloc[1], grey=False)
titles = zip("abcdefgh", [*steps, *["augmented"] * 4], strict=True)
titles = [f"({letter}) {title}" for letter, title in titles]
figures.cells([*steps.values(), *augmented], titles, 4, 2, source=source)

# %% mystnb={"figure": {"name": "fig-augmentation-hem", "caption": "A HEM cell on its way (the paper's Fig. 4): (a) original, (b) cropped and resized, (c) saturation removed, (e) and (f) noise, (g) to (k) augmented. The paper's labels leave out (d); so do these. Brightened twofold for display. Cells of this run; synthetic in the published book."}, "image": {"alt": "Ten pictures of one cell: the purple original, the crop, the crop in grey, two noisy grey versions, and five noisy grey versions that are turned, shifted, enlarged and darkened. Noise on the grey cell is coloured."}}
steps, augmented = journey(one_of_each.iloc[0], grey=True)
titles = zip("abcefghijk", [*steps, *["augmented"] * 5], strict=True)
titles = [f"({letter}) {title}" for letter, title in titles]
figures.cells([*steps.values(), *augmented], titles, 5, 2, source=source)

# %% [markdown]
# Look closely at (e) and (f) of {numref}`fig-augmentation-hem`. The cell was made grey, and the noise
# upon it is coloured, because it came later and differs per channel. So in training there is no truly
# grey picture: the network meets *grey with coloured specks*. The grey shortcut of
# [the last chapter](02_balancing.ipynb) is as open as before, though; averaged over a few pixels, the
# specks are gone.

# %% [markdown]
# ## Paper and us
#
# What the paper prints, and what every training run of this book uses. The rows agree because the code
# says so, not because a person copied them:

# %%
recipe, printed = augment.Recipe(), paper.AUGMENTATION
pd.DataFrame(
    {
        "noise σ": [paper.TRAIN_SIGMAS, recipe.sigmas],
        "rotation, °": [printed["rotation"], recipe.rotation],
        "shift": [printed["width_shift"], recipe.shift],
        "shear, °": [printed["shear"], recipe.shear],
        "zoom": [printed["zoom"], recipe.zoom],
        "brightness": [printed["brightness"], recipe.brightness],
        "flip": [printed["horizontal_flip"], recipe.flip],
        "share without noise": ["not given", recipe.clean_share],
    },
    ["paper", "ours"],
).T

# %% [markdown]
# Where we read, or see, something else than the paper says:
#
# | the paper says | we find |
# |---|---|
# | "mean of zero" | true before clipping; on black the mean is $0.4\,\sigma$, and most of a picture is black |
# | σ 3 and 9 "in equal proportions" | copies added, or pictures replaced? We draw one of the two, anew every epoch |
# | brightness range 0.4 to 0.8 | darkens training only; before Keras 2.10 it brightened instead |
# | a crop "to preserve the entire white blood cell" | shift and zoom cut many of them again, in training |
# | σ 2, 5, **6** and 10 at test (text) | σ 2, 5, **8** and 10 in its tables; we use the tables |
# | a model "insensitive to Gaussian noise" | σ 9 in training, after the warp, is weaker than σ 8 at test |
#
# The last line is a measurement of ours, a few sections up. What the noise does to the *results* needs
# trained models, and has to wait for them.

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: add noise by hand
#
# Write `add_noise(image, sigma, rng)` as in {eq}`eq-augmentation-noise`. The picture is
# `uint8 (H, W, 3)`, `rng` a `numpy.random.Generator`. Return a `uint8` picture of the same shape. Beware:
# `uint8` numbers wrap round, 250 + 10 is 4.


# %% tags=["exercise"]
def add_noise(image, sigma, rng):
    """Add Gaussian noise, different per pixel and channel; round and clip."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_add_noise, add_noise)


# %% tags=["solution", "hide-cell"]
def add_noise(image, sigma, rng):
    """Add Gaussian noise, different per pixel and channel; round and clip."""
    noisy = image + rng.normal(0, sigma, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


exercises.check(exercises.check_add_noise, add_noise)

# %% [markdown]
# ### Exercise 2: turn about the centre, in one matrix
#
# Write `rotation(degrees, centre)`. Return the matrix, `(2, 3)`, for which
# `matrix @ [x, y, 1]` is the point (x, y) turned about `centre` = (cx, cy). A turn by 90° about the origin
# takes (1, 0) to (0, 1). Hint: move the centre to the origin, turn, move back; then multiply out.


# %% tags=["exercise"]
def rotation(degrees, centre):
    """Return the (2, 3) matrix of a turn about a centre."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_rotation, rotation)


# %% tags=["solution", "hide-cell"]
def rotation(degrees, centre):
    """Return the (2, 3) matrix of a turn about a centre."""
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn, centre - turn @ centre])


exercises.check(exercises.check_rotation, rotation)

# %% [markdown]
# ### Exercise 3: predict a mean
#
# Write `clipped_mean(level, sigma)`: the mean of noise of standard deviation `sigma` on a pixel of value
# `level`, when what falls below 0 is set to 0. On black it must give {eq}`eq-augmentation-clipped`. For
# other levels you need the normal distribution function $\Phi$ (`math.erf` gives it):
# $\operatorname E[\max(0, X)] = \mu\,\Phi(\mu/\sigma) + \frac{\sigma}{\sqrt{2\pi}}\, e^{-\mu^2/2\sigma^2}$.
# From which level on is the noise zero-mean for all practical purposes?


# %% tags=["exercise"]
def clipped_mean(level, sigma):
    """Return the mean of max(0, level + noise)."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_clipped_mean, clipped_mean)


# %% tags=["solution", "hide-cell"]
def clipped_mean(level, sigma):
    """Return the mean of max(0, level + noise)."""
    share_kept = (1 + math.erf(level / sigma / math.sqrt(2))) / 2
    tail = sigma / math.sqrt(2 * math.pi) * math.exp(-(level**2) / (2 * sigma**2))
    return level * share_kept + tail


exercises.check(exercises.check_clipped_mean, clipped_mean)

# %% [markdown]
# From about twice σ on: at level 20 and σ 9 the mean is 20.04.

# %% [markdown]
# ## Take-aways
#
# - Augmentation shows the network changes that do not change the answer. Which ones those are is a
#   question about cells, not about code.
# - The noise is independent per pixel and channel. On the black background clipping makes its mean
#   $0.4\,\sigma$, so it is not zero-mean on most of the picture.
# - Rotation, shift, shear, zoom and flip are one matrix. One warp also smooths the noise that was there
#   before, and pushes many cells over the edge.
# - The paper's brightness range darkens training and leaves the test alone; an older Keras does the
#   opposite. A result that depends on such a detail should name its version.
# - A fast version is allowed when its distribution is tested against the slow one. Ours found two
#   mistakes, and both were in the slow one.
# - What a batch holds depends on (seed, epoch, batch) and nothing else.

# %% [markdown]
# ## Further reading
#
# - {cite:t}`shorten2019`, a survey of augmentation for images.
# - {cite:t}`imgaug`, the library; its documentation shows every step on pictures.
# - {cite:t}`hendrycks2019`, what happens to networks under noise, blur and other corruptions that they
#   were not trained on.
