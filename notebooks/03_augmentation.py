# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Noise and augmentation
#
# After this chapter you can add Gaussian noise to a picture as the paper does, write its augmentation
# down in imgaug and as one matrix, and say what each step does to real {term}`cells <cell>`.
#
# > **You will learn**
# > - what the noise buys at test, and what it does not;
# > - why noise on a black background is not zero-mean, and why that matters;
# > - why every training picture of the paper has another brightness than the same cell at test;
# > - how to replace a slow step by a fast one and test that nothing changed.
# >
# > **Before you start:** [Balancing](02_balancing.ipynb), and what a normal distribution is.
# >
# > **Run time:** about 20 s on two CPU cores (smoke profile); GPU: not needed.

# %% tags=["setup"]
import time

import imgaug.augmenters as iaa
import imgaug.parameters as iap
import numpy as np
import pandas as pd
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from allm_utils.book import exercises, figures, paper, profile, widgets
from allm_utils.data import cnmc, images, people, sample
from allm_utils.judge import conditions
from allm_utils.network import recipe
from allm_utils.runs.records import Runs

run = profile.banner()
runs = Runs.load()

# %% tags=["remove-cell"]
from myst_nb import glue

listed = cnmc.shipped_index()
n_people = people.person(listed["subject"]).groupby(listed["fold"]).nunique()
told = f"{n_people.min()} to {n_people.max()}"
glue("augmentation-people", told, display=False)

# %% [markdown]
# ## In brief
#
# In our reading the paper adds noise to every training picture, turns it, shifts it, zooms it and darkens it. On clean
# test cells of {term}`fold` 1 our seven networks show no gain from it, and rather a small loss: {term}`balanced accuracy`
# is {glue:text}`augmentation-with-clean` with it and {glue:text}`augmentation-without-clean` without it, and in
# {term}`accuracy` all four with it stand below all three without. Under noise of
# {term}`σ <sigma>` 10 at test it makes the difference: {glue:text}`augmentation-with-10` with it,
# {glue:text}`augmentation-without-10` without it, where a coin gets 0.5
# ({numref}`fig-augmentation-brief`). Two of the three without it have grey copies, and break the most.
# That robustness is the paper's real merit. This chapter takes the recipe apart on real cells.

# %% tags=["remove-cell"]
trained = [r for r in runs.where(fold=1) if "table5" in r.settings["experiment"]]
WITH = [r for r in trained if r.settings["augment"]]
WITHOUT = [r for r in trained if not r.settings["augment"]]
assert (len(WITH), len(WITHOUT)) == (4, 3)
for how, chosen in (("with", WITH), ("without", WITHOUT)):
    clean = [r.metrics()["balanced_accuracy"] for r in chosen]
    loud = [r.metrics("noise:10")["balanced_accuracy"] for r in chosen]
    for what, values in (("clean", clean), ("10", loud)):
        ends = dict.fromkeys(f"{end(values):.2f}" for end in (min, max))
        text = " to ".join(ends)
        glue(f"augmentation-{how}-{what}", text, display=False)
    assert how == "without" or (max(clean) < 0.955 and min(loud) > 0.85)
    assert how == "with" or (min(clean) > 0.94 and max(loud) < 0.65)
right = [[r.metrics()["accuracy"] for r in chosen] for chosen in (WITH, WITHOUT)]
assert max(right[0]) < min(right[1])
copies_last = sorted(WITHOUT, key=lambda r: r.metrics("noise:10")["balanced_accuracy"])
assert [r.settings["balance"] for r in copies_last] == ["hem", "hem", "none"]

# %% mystnb={"figure": {"caption": "Balanced accuracy against the noise at test, for four networks trained with noise and warp and three without; lines are means, bands reach from the worst to the best. Warp stands here for all other changes, the darkening too. Our records, test cells of fold 1, 224 pixels.", "name": "fig-augmentation-brief"}, "image": {"alt": "Two panels, noise over the whole picture and in the cell only. With noise and warp both curves stay near 0.9 from sigma 0 to 10. Without, they start as high and fall to between 0.5 and 0.8."}} tags=["hide-input"]
KINDS = {"over the whole picture": "noise", "in the cell only": "cell-noise"}
TRAINED = {"trained with noise and warp": WITH, "trained without": WITHOUT}


def band(networks, kind):
    reach = {}
    for sigma in paper.TEST_SIGMAS:
        condition = f"{kind}:{sigma}" if sigma else "clean"
        values = [r.metrics(condition)["balanced_accuracy"] for r in networks]
        reach[sigma] = min(values), np.mean(values), max(values)
    return reach


curves = {
    title: {name: band(networks, kind) for name, networks in TRAINED.items()}
    for title, kind in KINDS.items()
}
figures.against(curves, "σ at test, grey levels", "balanced accuracy", (0.45, 1))

# %% tags=["remove-cell"]
for panel in curves.values():
    held, fell = (panel[name] for name in TRAINED)
    assert all(abs(mean - 0.9) < 0.05 for _, mean, _ in held.values())
    assert 0.5 <= fell[10][0] and round(fell[10][2], 1) <= 0.8

# %% [markdown]
# ## Why change a picture on purpose?
#
# A fold has about 2,500 training pictures, of {glue:text}`augmentation-people` people; {term}`MobileNet_M` has 3.2 million
# weights, enough to learn every picture by heart. {term}`Augmentation <augment>` shows it a slightly
# different picture every time, changed in ways that do not change the answer {cite:p}`shorten2019`. A cell
# on a slide has no top and no bottom, so turning it is safe. *Do not change the answer* is a claim about
# biology, not about programming, and each step has to earn it.
#
# To begin with, 200 pictures, {term}`cropped <crop>` and resized as in the last chapter:

# %%
frame = run.frame().query("split == 'train'")
frame = frame.sample(min(200, len(frame)), random_state=0).reset_index(drop=True)
labels = frame["label"].to_numpy(int)
cells = images.load(frame, 224, run.crop, run.work / "images", progress=False)
background = ~cells.any(axis=-1)
print(f"{len(cells)} pictures; {background.mean():.0%} of the pixels are background")

# %% [markdown]
# ## What noise means here
#
# For every pixel and every {term}`channel`, draw a number from a normal distribution with mean 0 and
# standard deviation $\sigma$, and add it; *"the noise value is different per pixel and per channel"*,
# says the paper. With $x$ the value of pixel $i$ in channel $c$:
#
# $$ \begin{split} y_{i,c} &= \operatorname{clip}\bigl(\operatorname{round}(x_{i,c} + \varepsilon_{i,c}),\, 0,\, 255\bigr) \\
# \varepsilon_{i,c} &\sim \mathcal N(0, \sigma^2) \text{ independently} \end{split} $$ (eq-augmentation-noise)
#
# Rounding and clipping are there because a picture holds whole numbers from 0 to 255. The unit of $\sigma$
# is one {term}`grey level`.

# %% mystnb={"figure": {"caption": "A cell clean, with the paper's two training noises, and with noise in the cell only, brightened threefold; below it a patch of 32 \u00d7 32 pixels. Real cell of C-NMC 2019.", "name": "fig-augmentation-noise"}, "image": {"alt": "Four pictures of one cell and four enlarged patches. At sigma 3 the specks are faint, at sigma 9 strong and of all colours. Around the cell the background is full of specks, but for the last picture, where it is black."}}
one = cells[:1]
names = ("clean", *(f"noise:{sigma}" for sigma in paper.TRAIN_SIGMAS), "cell-noise:9")
noisy = [conditions.apply(name, one)[0] for name in names]
titles = ["clean", "σ 3", "σ 9", "σ 9, in the cell only"]
both_rows = [*noisy, *(p[96:128, 96:128] for p in noisy)]
credit = f"{sample.people_shown(frame[:1])}\n{run.credit}"
figures.cells(both_rows, titles, 4, brighten=3, source=credit)

# %% [markdown]
# The specks differ in **colour**: red, green and blue light are counted separately, as in a camera.
# `imgaug`, the library that the authors used {cite:p}`imgaug`, calls this
# `AdditiveGaussianNoise(scale=9, per_channel=True)`.
#
# ## On black, noise is not zero-mean
#
# Now look *around* the cell. The paper's noise has "a mean of zero", and {eq}`eq-augmentation-noise` has a
# clip in it. Where the picture is black, every negative draw becomes 0 again. Only the positive half is left:

# %%
rows = {}
for sigma in sorted({*paper.TRAIN_SIGMAS, *paper.TEST_SIGMAS} - {0}):
    black = conditions.apply(f"noise:{sigma}", cells[:40])[background[:40]]
    rows[sigma] = [black.mean(), sigma / np.sqrt(2 * np.pi), (black > 0).mean()]
columns = ["mean on black", "σ / √(2π)", "share above 0"]
pd.DataFrame(rows, columns).T.rename_axis(columns="σ").round(3)

# %% [markdown]
# The middle column is the theory, without the rounding. If the negative half of a normal draw is set to zero, its
# mean is
#
# $$ \begin{split} \operatorname E\bigl[\max(0, \varepsilon)\bigr] &= \int_0^\infty
# \frac{x}{\sigma\sqrt{2\pi}}\, e^{-x^2 / 2\sigma^2}\, \mathrm dx \\
# &= \frac{\sigma}{\sqrt{2\pi}} \approx 0.4\,\sigma \end{split} $$ (eq-augmentation-clipped)
#
# Why care about the background? It is the larger part of every picture, and a network sees it too. It can
# tell a noisy picture from a clean one without a look at the cell. No camera puts noise on a background that a
# program blackens *afterwards*. So our {term}`records <record>` also have noise in
# the cell only, the right panel of {numref}`fig-augmentation-brief`. Take the network without noise, warp and
# grey copies: at σ 10 its balanced accuracy falls by {glue:text}`augmentation-fall-noise`, and by
# {glue:text}`augmentation-fall-cell-noise` if the background stays black. More than half of the damage to it comes
# from where there is no cell. The two networks with grey copies alone break either way.

# %% tags=["remove-cell"]
neither = runs.where(experiment="table5-neither").one()
fall = {
    kind: neither.metrics()["balanced_accuracy"]
    - neither.metrics(f"{kind}:10")["balanced_accuracy"]
    for kind in KINDS.values()
}
assert fall["cell-noise"] < fall["noise"] / 2
alone = runs.where(experiment="table5-balance")
assert all(r.metrics("cell-noise:10")["balanced_accuracy"] < 0.62 for r in alone)
for kind, value in fall.items():
    glue(f"augmentation-fall-{kind}", f"{value:.2f}", display=False)
copies = runs.where(experiment="table5-balance", seed=2).one().metrics()
glue("augmentation-copies-clean", f"{copies['balanced_accuracy']:.2f}", display=False)

# %% [markdown]
# ## Try it
#
# Three sliders, in the order in which the training applies them; the page itself does the work. Set σ to 9
# and read the background. Then turn the cell and watch **the noise shrink**: a turned pixel falls between
# four old ones and becomes a mean of them, and a mean of independent noise is smaller. Then darken it:
# noise and signal fall alike.

# %% tags=["hide-input"]
widgets.noise_lab(images.prepare(frame["path"][0], 96, run.crop), run.source)

# %% [markdown]
# ## Six changes, one at a time
#
# The rest of section 3.3 of the paper moves and dims the picture. In imgaug each change is one object. Here is one end
# of each range. Three moves keep the form of the cell:

# %%
moves = {
    "as it is": iaa.Identity(),
    "rotation −45°": iaa.Affine(rotate=-45),
    "flip": iaa.Fliplr(1.0),
    "shift 10 %, 10 %": iaa.Affine(translate_percent={"x": 0.1, "y": 0.1}),
}

# %% [markdown]
# Three change its form, its size or its light; the zoom is shown twice:

# %%
steps = moves | {
    "shear 3°": iaa.Affine(shear={"x": 3}),
    "zoom 0.8, both": iaa.Affine(scale=1 / 0.8),
    "zoom 0.8, x only": iaa.Affine(scale={"x": 1 / 0.8, "y": 1}),
    "brightness 0.4": iaa.Multiply(0.4),
}

# %% mystnb={"figure": {"caption": "Every change of the paper's section 3.3 at an end of its range, one at a time, brightened twofold. Real cell of C-NMC 2019.", "name": "fig-augmentation-steps"}, "image": {"alt": "Eight pictures of one cell: unchanged, turned left, mirrored, shifted to the lower right, slightly sheared, enlarged, stretched in width, much darker."}}
changed = [step(image=cells[0]) for step in steps.values()]
source = f"{sample.people_shown(frame[:1])}; {run.source}"
figures.cells(changed, list(steps), 4, source=source)

# %% [markdown]
# The paper's words leave room. We read them as Keras' `ImageDataGenerator` does, whose argument names they use:
#
# | the paper | read as |
# |---|---|
# | rotation 45, shear 3 | an angle within ±45° and ±3° |
# | width and height shift 0.1 | up to 10 % either way, drawn for each axis |
# | zoom 0.8 to 1 | drawn for **each axis**; below 1 the cell **grows**, up to 1.25 times |
# | brightness 0.4 to 0.8 | a factor on every value |
# | what a turn uncovers | black, like the background: our choice, Keras would drag out the edge |
#
# All are drawn anew for every picture and every {term}`epoch`.
#
# ## Three side effects
#
# **Zoom and size.** Cells of {term}`ALL` are larger than those of {term}`HEM`, and the {term}`ruler` of this book,
# the area alone, lives on that. The paper's zoom only enlarges. What does it do to the ruler?

# %%
rng = np.random.default_rng(0)
zoom = rng.uniform(*paper.AUGMENTATION["zoom"], (200, len(cells), 2))
area = (~background).sum(axis=(1, 2))
zoomed = area / zoom.prod(axis=2)  # 200 epochs
ruler = [roc_auc_score(labels, measured) for measured in (area, *zoomed)]
print(f"area grows {np.mean(zoomed / area):.2f} times on average")
print(f"ROC-AUC of the area alone: {ruler[0]:.3f}, zoomed {np.mean(ruler[1:]):.3f}")

# %% [markdown]
# A training cell is a quarter larger, on average, than the same cell at test. The ruler loses a little
# {term}`ROC-AUC`: in training size tells slightly less than at test.
#
# **Zoom, shift and the edge.** The crop was chosen so that most cells stay whole. Now they grow and move
# inside the same frame. How many does its edge cut?


# %%
def cut(pictures):
    p = pictures.any(axis=-1)
    return np.any([p[:, 0], p[:, -1], p[:, :, 0], p[:, :, -1]], axis=(0, 2)).mean()


warp_only = recipe.Recipe(sigmas=(), brightness=(1, 1))
moved = recipe.Augmenter(warp_only)(cells, rng)
print(f"cut by the edge: {cut(cells):.0%} at test, {cut(moved):.0%} in training")

# %% [markdown]
# **Brightness in one direction.** The range 0.4 to 0.8 does not contain 1. Every training picture is
# darkened, and no test picture is:

# %%
factor = rng.uniform(*paper.AUGMENTATION["brightness"], len(cells))
peak = cells.max(axis=(1, 2, 3))
at_test = np.array([cell[cell.any(axis=-1)].mean() for cell in cells])
means = {
    "at test": at_test,
    "in training, Keras 2.10 and later": at_test * factor,
    "in training, before Keras 2.10": at_test * factor * 255 / peak,
}

# %% mystnb={"figure": {"caption": "Mean value of the cell, picture by picture: at test, and in training under two versions of Keras. Real cells of C-NMC 2019, those of this page.", "name": "fig-augmentation-brightness"}, "image": {"alt": "Three outlines. At test a narrow peak near 60. Today's training pictures lie left of it, those of the older Keras right of it and far spread."}} tags=["hide-input"]
brightness, axis = figures.new()
for (name, values), (code, _, line) in zip(means.items(), figures.LOOKS, strict=False):
    label = f"{name}: mean {values.mean():.0f}"
    style = {"color": code, "linestyle": line, "label": label}
    axis.hist(values, 20, density=True, histtype="step", **style)
axis.set(xlabel="mean value of the cell, grey levels", ylabel="density")
brightness.legend(loc="outside upper left", title=run.source)
brightness

# %% tags=["remove-cell"]
dark, bright = list(means.values())[1:]
assert dark.mean() < at_test.mean() < bright.mean() and abs(at_test.mean() - 60) < 5
assert 1.2 < np.mean(zoomed / area) < 1.28 and cut(moved) > 2 * cut(cells)
assert np.mean(ruler[1:]) < ruler[0] - 0.003

# %% [markdown]
# The third outline is a trap for whoever repeats the paper. Before version 2.10, Keras stretched each
# picture to the full range *before* it applied the factor. C-NMC is dark, so the stretch more than doubles
# it, and training comes out **brighter** than the test. The paper names TensorFlow 2.4.1, which stretches,
# and Keras 2.10, which does not; as each TensorFlow of that time brought its own Keras, the stretch is the
# likelier reading. We take the plain factor, as today's Keras does. Either way the network trains on another
# light than it is tested in, and {term}`batch normalisation` in [the next chapter](04_mobilenet_m.ipynb) uses the
# means of training.
#
# ## The recipe in imgaug
#
# Now all of it together. First what is drawn for every picture, and the noise:

# %%
zooms = iap.Uniform(0.8, 1.0)
shift = iap.Divide(iap.Uniform(-0.1, 0.1), zooms, elementwise=True)
noise = iaa.OneOf(
    [iaa.AdditiveGaussianNoise(scale=s, per_channel=True) for s in (3, 9)]
)

# %% [markdown]
# The **warp** turns, shifts, shears and zooms in one go:

# %%
warp = iaa.Affine(
    rotate=(-45, 45),
    translate_percent={"x": shift, "y": shift},
    shear={"x": (-3, 3)},
    scale={axis: iap.Divide(1.0, zooms, elementwise=True) for axis in "xy"},
    mode="constant",
)

# %% [markdown]
# Flip and brightness follow. The package holds the same sequence, for comparison:

# %%
by_hand = iaa.Sequential([noise, warp, iaa.Fliplr(0.5), iaa.Multiply((0.4, 0.8))])
by_hand.seed_(0)
slow = recipe.reference(seed=0)
same = by_hand(images=cells[:8]) == slow(images=cells[:8])
print("as in the package:", same.all())

# %% [markdown]
# Two decisions are ours. **Noise comes first**, on the still picture: in the paper it "was injected" in the
# training set, and the rest makes new images "during the training phase". **Every picture is noisy**, σ 3 or 9 with
# equal chances, drawn anew each epoch. Remember that the test at σ 0 is clean: it too asks for something
# that training never shows.
#
# Does the order matter? The warp smooths the noise that is there before it. On a flat field of value 60,
# about that of a real cell:

# %%
flat = np.full((200, 64, 64, 3), 60, np.uint8)
loudest = recipe.Augmenter(recipe.Recipe(sigmas=(9,)))
seen = loudest(flat, np.random.default_rng(0))[:, 24:40, 24:40]
relative = np.mean(seen.std(axis=(1, 2, 3)) / seen.mean(axis=(1, 2, 3)))
print(f"noise over signal: {relative:.0%} in training, {10 / 60:.0%} at test")

# %% tags=["remove-cell"]
assert 10 / 60 > 1.5 * relative and 1.3 < 9 / 60 / relative < 1.7
for one_of in WITH:
    quiet, louder = one_of.metrics(), one_of.metrics("noise:10")
    gone = {key: quiet[key] - louder[key] for key in ("sensitivity", "specificity")}
    assert gone["sensitivity"] < 0.011 and gone["specificity"] > 0.03

# %% [markdown]
# So σ 10 at test is stronger than σ 9 in training by more than half. The networks with noise and warp
# in {numref}`fig-augmentation-brief` meet more noise than they were trained for. They lose points, nearly all of them on
# healthy cells, but they do not break.
#
# ## One matrix instead of five passes
#
# Now the fast way. Rotation, shear, zoom and flip are linear maps of the plane, so together they are one
# 2 × 2 matrix; a shift adds a vector. Picture libraries ask backwards: *for each pixel of the result, where
# in the original does its value come from?*
#
# $$ \mathbf x_\text{in} = \mathbf c + R_\theta \bigl( S_\phi Z F\, (\mathbf x_\text{out} - \mathbf c)
# + \mathbf s \bigr) $$ (eq-augmentation-warp)
#
# Here $\mathbf c$ is the centre, $R_\theta$ a rotation, $S_\phi$ a shear, $Z$ the zoom of each axis, $F$ the
# flip (1 or −1 for $x$) and $\mathbf s$ the shift. Because $Z$ multiplies a question about the *result*, a
# number below 1 makes the cell larger. `recipe.affine` draws the six numbers of one map, and
# `recipe.Augmenter` needs one interpolation per picture. Its noise is cut at random places from a bank of
# four million numbers that are drawn once.

# %%
fast = recipe.Augmenter()
ways = {
    "imgaug": lambda: slow(images=cells),
    "ours": lambda: fast(cells, np.random.default_rng(1)),
}

# %% [markdown]
# Let both work through the same cells:

# %%
made = {}
for way, make in ways.items():
    start = time.perf_counter()
    made[way] = make()
    took = (time.perf_counter() - start) / len(cells)
    print(f"{way}: {1000 * took:.1f} ms per picture, on this machine, now")

# %% [markdown]
# ## Fast, but is it the same?
#
# Random pictures cannot be compared one by one; their **distributions** can. Measure each augmented cell,
# and ask a **Kolmogorov-Smirnov test**: if both ways drew from one distribution, how often would two
# sets differ at least as much as these? The answer is the **p-value**. With five tests, one below 0.05 is nothing
# special; one below 0.005 would be a reason to worry.


# %%
def measures(pictures):
    cell = pictures.max(axis=-1) > 15  # above what noise leaves on black
    size = cell.sum(axis=(1, 2))
    jumps = np.abs(np.diff(pictures.astype(np.int16), axis=1))
    return {
        "area, 1000 pixels": size / 1000,
        "brightness": pictures.mean(axis=(1, 2, 3)),
        "centre, x": (cell.sum(axis=1) * np.arange(224)).sum(axis=1) / size,
        "centre, y": (cell.sum(axis=2) * np.arange(224)).sum(axis=1) / size,
        "roughness": jumps.mean(axis=(1, 2, 3)),
    }


# %% [markdown]
# Five measures of each picture, and five tests:

# %%
a, b = (measures(pictures) for pictures in made.values())
agreement = {
    name: [a[name].mean(), b[name].mean(), ks_2samp(a[name], b[name]).pvalue]
    for name in a
}
pd.DataFrame(agreement, ["mean, imgaug", "mean, ours", "p-value"]).T.round(2)

# %% tags=["remove-cell"]
assert min(p for *_, p in agreement.values()) > 0.005

# %% [markdown]
# No difference shows. That is weak evidence: the cells are few, and both ways got the same ones. So their sets differ
# less than two independent sets would, and the p-values come out high. The tests of the package ask again with more
# draws, and check that neighbouring pixels of our noise do not go together.
# **Was it worth it?** The comparison once found two mistakes in the *reference*, the one that
# everyone would trust. With `shear=(-3, 3)` imgaug draws one angle for both axes, and that is a rotation:
# nothing was sheared. And a {term}`seed` given to the sequence did not reach its steps. Both read perfectly
# well.
#
# One thing more. Each {term}`batch` gets a generator of its own, seeded with (seed, epoch, batch): what a batch
# holds then depends on nothing else, and a run that was killed can go on as if nothing had happened.
#
# ## From file to batch: Figures 3 and 4
#
# The paper shows one cell of each class on its way into the network. Here are two of ours, in its order:


# %% tags=["hide-input"]
def journey(path, grey):
    picture = images.prepare(path, 224, run.crop)
    way = [images.read(path), picture]
    if grey:
        way.append(recipe.desaturate(picture))
    way += [conditions.apply(f"noise:{sigma}", way[-1][None])[0] for sigma in (3, 9)]
    last = np.repeat(way[2 if grey else 1][None], 10 - len(way), axis=0)
    return [*way, *fast(last, np.random.default_rng(5))]


NAMES = ["original", "cropped, resized", "grey", "σ = 3", "σ = 9", *["augmented"] * 5]
two = frame.groupby("label").sample(1, random_state=4)

# %% mystnb={"figure": {"caption": "An ALL cell on its way into training (the paper's Fig. 3). Brightened twofold. Real cell of C-NMC 2019.", "name": "fig-augmentation-all"}, "image": {"alt": "Ten pictures of one purple cell: the original with much black around it, the crop, two noisy versions, and six noisy versions that are turned, shifted, enlarged and darkened."}}
titles_all = [*NAMES[:2], *NAMES[3:], "augmented"]
source = f"{sample.people_shown(two[1:])}; {run.source}"
figures.cells(journey(two["path"].iloc[1], False), titles_all, 5, source=source)

# %% mystnb={"figure": {"caption": "A HEM cell on its way (the paper's Fig. 4), with its grey copy. Brightened twofold. Real cell of C-NMC 2019.", "name": "fig-augmentation-hem"}, "image": {"alt": "Ten pictures of one cell: the purple original, the crop, the crop in grey, two noisy grey versions, and five noisy grey versions that are turned, shifted, enlarged and darkened. The noise on the grey cell is coloured."}}
source_hem = f"{sample.people_shown(two[:1])}; {run.source}"
figures.cells(journey(two["path"].iloc[0], True), NAMES, 5, source=source_hem)

# %% [markdown]
# In {numref}`fig-augmentation-hem` the cell is grey and the noise upon it coloured, as in the patches of
# {numref}`fig-augmentation-noise`: it came later and differs per channel. So no training picture is truly grey: the network meets *grey with coloured
# specks*. It takes the {term}`shortcut` of [the last chapter](02_balancing.ipynb) all the same.
#
# ## Paper and us
#
# The recipe of section 3.3; the second column is what our training runs use unless they say otherwise:

# %% tags=["hide-input"]
ours, theirs = recipe.Recipe(), paper.AUGMENTATION
either, span = "{} or {}".format, "{} to {}".format
pairs = {
    "noise, σ": (either(*paper.TRAIN_SIGMAS), either(*ours.sigmas)),
    "rotation, degrees": (theirs["rotation"], ours.rotation),
    "shear, degrees": (theirs["shear"], ours.shear),
    "shift, of the side": (theirs["width_shift"], ours.shift),
    "zoom": (span(*theirs["zoom"]), span(*ours.zoom)),
    "brightness": (span(*theirs["brightness"]), span(*ours.brightness)),
    "flip": ("horizontal", f"horizontal, {ours.flip:.0%} of the time"),
}
assert theirs["horizontal_flip"]
pd.DataFrame(pairs, ["paper", "ours"]).T

# %% [markdown]
# Where we read, or see, something else than the paper says:
#
# | the paper says | we find |
# |---|---|
# | noise with "a mean of zero" | not on black, and most of a picture is black |
# | σ 3 and 9 "in equal proportions" | copies added, or pictures replaced? We draw one of the two |
# | brightness 0.4 to 0.8 | darkens training only; before Keras 2.10 it brightens |
# | a crop "to preserve the entire white blood cell" | shift and zoom cut many again, in training |
#
# ## Exercises
#
# ### 1. Predict, then look it up
#
# A network trained with grey copies, but without noise and warp, has a balanced accuracy of
# {glue:text}`augmentation-copies-clean` on clean test cells of fold 1. What is left of it under σ 10 over the
# whole picture? Write a number down; the check computes the answer from the records.

# %% tags=["exercise"]
guess = ...  # a number from 0 to 1

# %% tags=["check"]
asked = runs.where(experiment="table5-balance", seed=2).one().metrics("noise:10")
exercises.check(exercises.check_guess, guess, asked["balanced_accuracy"], 0.03)

# %% tags=["solution", "hide-cell"]
guess = 0.5  # it calls nearly everything HEM: noise has made every picture strange
asked = runs.where(experiment="table5-balance", seed=2).one().metrics("noise:10")
exercises.check(exercises.check_guess, guess, asked["balanced_accuracy"], 0.03)
print("sensitivity {sensitivity:.3f}, specificity {specificity:.3f}".format(**asked))

# %% [markdown]
# ### 2. Add noise by hand
#
# Write `add_noise(image, sigma, rng)` as in {eq}`eq-augmentation-noise`. The picture is
# `uint8 (H, W, 3)`, `rng` a `numpy.random.Generator`. Draw all the noise in one call, so that the check
# can draw the same. Return a `uint8` picture of the same shape. Beware: `uint8` numbers wrap round, 250 + 10 is 4.


# %% tags=["exercise"]
def add_noise(image, sigma, rng):
    """Add Gaussian noise, different per pixel and channel; round and clip."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(add_noise)


# %% tags=["solution", "hide-cell"]
def add_noise(image, sigma, rng):
    """Add Gaussian noise, different per pixel and channel; round and clip."""
    noisy = image + rng.normal(0, sigma, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


exercises.check(add_noise)

# %% [markdown]
# ### 3. Change and explain
#
# Let `noise` draw only σ 9, swap it with `warp` in the sequence of `by_hand`, and measure the noise of
# `by_hand(images=flat)`. By how much does the ratio rise, and why does the brightness not change it?
#
# :::{dropdown} What happens
# It rises by about half: no warp comes after the noise and smooths it. Brightness multiplies noise and signal alike, so it
# drops out of the ratio.
# :::
#
# ## Quiz
#
# :::{dropdown} Noise of σ 10 on a pixel of value 60: is it zero-mean? And on one of value 5?
# On 60 yes, nothing is clipped. On 5 no: about a third of the draws would fall below 0 and are cut off there.
# :::
#
# :::{dropdown} Which of the paper's changes could change the *answer* about a cell?
# The zoom: size is a cue, and a zoomed HEM cell can be as large as an ALL cell. A turn or a flip cannot.
# :::
#
# :::{dropdown} On clean test cells augmentation buys nothing here. Is it useless?
# No. The clean test cells come from the people of the training, photographed in the same way. Whoever expects
# more noise needs it: at σ 10 the network without it is worth little. About another camera our runs say nothing.
# :::

# %% [markdown]
# ## Take away
#
# - Augmentation buys nothing on clean cells of known people, and nearly everything under noise.
# - The noise is independent per pixel and {term}`channel`; clipped on black, its mean is $0.4\,\sigma$.
# - Brightness 0.4 to 0.8 darkens training and leaves the test alone; an older Keras brightens training.
# - One warp smooths the noise before it, enlarges every cell, and pushes many over the edge.
# - A fast version is allowed when its distribution is tested against the slow one, on real cells.
#
# ## Further reading
#
# - {cite:t}`shorten2019`, a survey of augmentation for images; {cite:t}`imgaug`, the library.
# - {cite:t}`hendrycks2019`, networks under noise, blur and other {term}`corruptions <corruption>`.
# - [Chapter 7](07_noise.ipynb) returns to the noise with trained networks; next comes
#   [MobileNet_M](04_mobilenet_m.ipynb).
