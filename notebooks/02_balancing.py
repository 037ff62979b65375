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
# # Cropping and balancing
#
# After this chapter you can prepare a C-NMC picture as the paper does, balance the classes with grey
# copies, and say what that buys and what it may cost.
#
# > **You will learn**
# > - how large a centre crop has to be, and what each choice throws away;
# > - what hue, saturation and value are, and why removing saturation is a plain maximum;
# > - why accuracy flatters on unequal classes, and what balanced accuracy says instead;
# > - what balancing does to a classifier, shown on one that you can read in full;
# > - what a shortcut is, how grey copies make one possible, and what it would take to prove it.
# >
# > **Before you start:** [The data set](01_dataset.ipynb).
# >
# > **Run time:** about 20 s on two CPU cores (smoke profile); GPU: not needed.

# %% tags=["colab", "remove-cell"]
import sys

if "google.colab" in sys.modules:  # installs the package, and nothing that Colab has
    from IPython import get_ipython

    packages = "imaug==0.4.3 git+https://github.com/allm-book/allm@main"
    get_ipython().run_line_magic("pip", "install -q --no-deps " + packages)

# %% tags=["setup"]
import cv2
import numpy as np
import pandas as pd

from allm_utils.book import exercises, figures, profile
from allm_utils.data import cnmc, images, synthetic
from allm_utils.network import balance

run = profile.banner()
root = synthetic.data_root(run)
frame = cnmc.index(root).query("split == 'train'")
source = "synthetic cells" if synthetic.is_synthetic(root) else "C-NMC 2019"

# %% [markdown]
# ## A picture in numbers
#
# Most of this chapter needs three numbers per cell, so we measure them once, on up to 600 pictures:
#
# - **area**: how many pixels are not black, in thousands;
# - **side**: the side of the smallest centre crop that holds the whole cell, in pixels;
# - **saturation**: how colourful the cell is, from 0 (grey) to 1. Its formula comes below.


# %%
def measure(path):
    picture = images.read(path)
    cell = picture.any(axis=2)
    y, x = np.nonzero(cell)
    low, high = min(y.min(), x.min()), max(y.max(), x.max()) + 1
    middle = len(picture) / 2
    side = 2 * max(middle - low, high - middle)
    largest, smallest = picture.max(axis=2)[cell], picture.min(axis=2)[cell]
    return cell.sum() / 1000, side, np.mean(1 - smallest / largest)


sample = frame.sample(min(600, len(frame)), random_state=0)
names = ["area", "side", "saturation"]
cells = pd.DataFrame([measure(path) for path in sample["path"]], sample.index, names)
cells["label"], cells["path"] = sample["label"].astype(int), sample["path"]
cells.groupby("label")[names].median().rename(dict(enumerate(cnmc.CLASSES))).round(2)

# %% [markdown]
# ## Where to cut
#
# MobileNet takes pictures of 224 × 224 pixels; C-NMC has 450 × 450, mostly black. The paper crops
# "from the center of the original image to preserve the entire white blood cell" and resizes the result
# to 224. It does not say how large the crop is.
#
# Why not simply crop to 224, and save the resizing? {numref}`fig-balancing-crop` answers that.

# %% mystnb={"figure": {"name": "fig-balancing-crop", "caption": "Share of the cells that a centre crop keeps whole. Cells of this run; synthetic in the published book."}, "image": {"alt": "Two rising curves. At 224 pixels most HEM cells but only a minority of the ALL cells are whole; at 300 and 350 pixels nearly all of both are."}}
figures.whole_cells(cells["side"], cells["label"], source)

# %% [markdown]
# A crop of 224 cuts into more than half of the ALL cells and into few HEM cells. That would not only
# lose pixels. It would make *a cell that touches the border* a sign of leukemia. Measured on the whole
# real fold 1:
#
# | side of the crop | 224 | 256 | 300 | 350 | 400 |
# |---|---|---|---|---|---|
# | ALL cells whole | 30 % | 71 % | 93 % | 97 % | 99 % |
# | HEM cells whole | 83 % | 92 % | 97 % | 99 % | 100 % |
#
# A larger crop keeps more cells whole, but shrinks all of them more. **We take 300**: the organisers say
# a cell takes roughly that much, 94 % of the cells stay whole, and the picture is shrunk to three
# quarters only. It is our reading, not the paper's word, and it is a parameter everywhere.
#
# Try it. The slider works in the page, with the mouse or the arrow keys. (Drawn cells sit in the middle a
# little better than real ones, so their shares at 300 are higher than those of the table.)

# %%
from allm_utils.book import widgets

hem, all_ = (cells[cells["label"] == label].sort_values("side") for label in (0, 1))
chosen = {
    "a typical HEM cell": hem.iloc[len(hem) // 2],
    "a typical ALL cell": all_.iloc[len(all_) // 2],
    "a large ALL cell": all_.iloc[int(0.97 * len(all_))],
}
pictures = {name: images.read(row["path"]) for name, row in chosen.items()}
needed = [row["side"] for row in chosen.values()]
widgets.crop_slider(pictures, needed, cells["side"], cells["label"], source)

# %% [markdown]
# ## Crop, and then?
#
# Four ways to get from 450 to 224 pixels, on a small cell and a large one:


# %% mystnb={"figure": {"name": "fig-balancing-framing", "caption": "Four ways to 224 pixels. Only the tight box makes both cells equally large. Brightened twofold. Cells of this run; synthetic in the published book."}, "image": {"alt": "Two rows, a small HEM cell and a large ALL cell, in four framings. Whole picture: both small. Crop 224: the ALL cell is cut. Crop 300: both whole, sizes differ. Tight box: both fill the frame."}}
def resize(picture, size=224):
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)


small, large = hem.iloc[len(hem) // 4], all_.iloc[int(0.9 * len(all_))]
framed = []
for row in (small, large):
    picture = images.read(row["path"])
    crops = [picture, *(images.centre_crop(picture, side) for side in (224, 300))]
    crops.append(images.centre_crop(picture, int(row["side"])))
    framed += [resize(crop) for crop in crops]
titles = ["whole, 450", "crop 224", "crop 300", "tight box"]
figures.cells(framed, titles * 2, 4, 2, rows=cnmc.CLASSES, source=source)

# %% [markdown]
# - **The whole picture** keeps everything and spends five sixths of the input on black.
# - **Crop 224** keeps the finest detail and cuts the large cell.
# - **Crop 300** keeps both whole, and the difference in size.
# - **The tight box** shows each cell as large as possible, and so *deletes its size*. Area alone told the
#   classes apart in [the last chapter](01_dataset.ipynb): that cue would be gone. If you think that
#   size is an unfair cue, this is the way to take it from the network.
#
# Crops are in **pixels** for the same reason. The final test set of C-NMC has pictures of 600 × 600 at
# the same scale; resize those whole, and every cell shrinks by a quarter. `images.prepare` does crop
# and resize in one step, as all chapters use it:

# %%
picture = images.prepare(large["path"], size=224, crop=300)
print(picture.shape, picture.dtype, "values", picture.min(), "to", picture.max())

# %% [markdown]
# ## Hue, saturation, value
#
# The paper balances the classes by giving each HEM picture a second version without colour. The way
# there leads through **HSV**, another set of three numbers for a colour {cite:p}`smith1978`:
#
# - **hue** $H$: which colour, as an angle on the colour wheel;
# - **saturation** $S$: how far from grey;
# - **value** $V$: how bright.
#
# Two of them are quick to write down. For a pixel with red $R$, green $G$ and blue $B$,
#
# $$ V = \max(R, G, B), \qquad S = \frac{V - \min(R, G, B)}{V} \quad (S = 0 \text{ if } V = 0) $$ (eq-balancing-hsv)

# %% mystnb={"figure": {"name": "fig-balancing-hsv", "caption": "A cell and its hue, saturation and value; white is high. Cells of this run; synthetic in the published book."}, "image": {"alt": "Four panels: the purple cell; its hue, nearly one colour throughout; its saturation in grey; its value in grey, which shows the texture."}}
figures.hsv(
    images.centre_crop(images.read(chosen["a typical HEM cell"]["path"])), source
)

# %% [markdown]
# The hue hardly varies: the stain makes everything purple. And look how flat the value is. We come back
# to that.
#
# Now set $S = 0$ and go back to RGB. Then $V - \min(R, G, B) = 0$: all three channels are equal, and
# the largest of them is still $V$. So the result is
#
# $$ R' = G' = B' = \max(R, G, B) $$ (eq-balancing-grey)
#
# and no conversion is needed at all. Is that true of the tools as well? Three ways to one picture:

# %%
import imgaug.augmenters as iaa

hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
hsv[..., 1] = 0
by_opencv = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
by_imgaug = iaa.RemoveSaturation(1.0)(image=picture)
by_maximum = balance.desaturate(picture)
print("maximum = OpenCV:", np.array_equal(by_maximum, by_opencv))
print("maximum = imgaug:", np.array_equal(by_maximum, by_imgaug))

# %% [markdown]
# Equal, bit for bit.
#
# It is *not* the grey that a photo program makes. That one weighs the channels by how bright they look
# to the eye; the maximum takes one channel and drops the other two. Which one does it take here, and
# what was in the others? Take a patch from the middle of the cell, and call the **contrast** of a channel
# its standard deviation divided by its mean:

# %%
patch = images.centre_crop(images.read(large["path"]), 120)
greys = {name: patch[..., i] for i, name in enumerate(("red", "green", "blue"))}
greys["maximum V"] = balance.desaturate(patch)[..., 0]
greys["usual grey"] = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)
share = (greys["blue"] == greys["maximum V"]).mean()
print(f"blue is the largest channel in {share:.0%} of the pixels ({source})")
shades = {name: (x.mean(), x.std() / x.mean()) for name, x in greys.items()}
pd.DataFrame(shades, ["mean", "contrast"]).T.round(2)

# %% [markdown]
# In a purple cell the largest channel is mostly blue; in a sample of 150 real cells, in 96 % of the
# pixels. But the stain works in the **green**: that is the light it absorbs, and there the
# chromatin shows most. The grey copy keeps the channel with the *least* texture. So it loses more than
# colour, which the paper does not mention.

# %% [markdown]
# {numref}`fig-balancing-steps` puts the steps together, as the paper's Fig. 2 does.

# %% mystnb={"figure": {"name": "fig-balancing-steps", "caption": "What happens to a training picture before augmentation (the paper's Fig. 2, redrawn, to one scale). Only HEM pictures get a copy. Brightened twofold. Cells of this run; synthetic in the published book."}, "image": {"alt": "Two rows. A HEM cell: original of 450 pixels, centre crop of 300, resized to 224, and a grey copy. An ALL cell: the same three steps, and the words no copy."}}
stages = {}
for name, row in (("HEM", small), ("ALL", large)):
    original = images.read(row["path"])
    resized = images.prepare(row["path"], 224, 300)
    stages[name] = [original, images.centre_crop(original, 300), resized]
stages["HEM"].append(balance.desaturate(stages["HEM"][-1]))
figures.preprocessing(stages, 300, 224, source)

# %% [markdown]
# ## What imbalance does
#
# In every fold there are about two ALL pictures for one HEM picture. Suppose a "classifier" answers ALL
# whatever it sees. How good is it on the paper's test parts?

# %%
from allm_utils.book import paper
from allm_utils.judge import metrics

rows = {}
for fold, table in paper.TABLE_1.items():
    n_all, n_hem = table["ALL"]["test"], table["HEM"]["test"]
    labels = np.repeat([1, 0], [n_all, n_hem])
    rows[f"fold {fold}"] = metrics.metrics(labels, np.ones(len(labels)))
chosen_metrics = ["accuracy", "sensitivity", "specificity", "balanced_accuracy"]
pd.DataFrame(rows).T[chosen_metrics].astype(float).round(3)

# %% [markdown]
# Two thirds right, without a look at a single cell. **Accuracy** counts cells, so the larger class
# decides. The remedy is to look at the classes one by one:
#
# - **sensitivity**, the recall of ALL: which share of the leukemic cells is found;
# - **specificity**, the recall of HEM: which share of the healthy cells is left in peace;
# - **balanced accuracy**, their mean {cite:p}`brodersen2010`:
#
# $$ \text{balanced accuracy} = \tfrac12 \left( \frac{TP}{TP + FN} + \frac{TN}{TN + FP} \right) $$ (eq-balancing-ba)
#
# $TP$ and $FN$ count the ALL cells called ALL and HEM, $TN$ and $FP$ the HEM cells called HEM and ALL.
# The lazy classifier gets 0.5, as it deserves. The paper prints this quantity under the name "AUC".

# %% [markdown]
# ### A classifier one can read
#
# What does a *trained* classifier do with unequal classes? Take the simplest, which knows the area
# only, and finds one threshold by logistic regression. The drawn cells come in nearly equal numbers, so
# first we take out HEM cells until the ratio is that of fold 1. For the test we take what the split does
# not train on:

# %%
from allm_utils.data import splits

fold_1 = paper.TABLE_1[1]
ratio = fold_1["ALL"]["train"] / fold_1["HEM"]["train"]
n_hem = min(len(hem), round(len(all_) / ratio))
uneven = pd.concat([all_, hem.sample(n_hem, random_state=0)])
part = splits.paper_split(frame)[uneven.index]
train, test = uneven[part == "train"], uneven[part != "train"]
for name, cells_of in {"train": train, "test": test}.items():
    n = cells_of["label"].value_counts()
    print(f"{name}: {n[1]} ALL, {n[0]} HEM")

# %% [markdown]
# Then we fit it twice: to the cells as they are, and with every HEM cell counted twice. A grey copy has
# the same area as its original, so for this classifier the paper's balancing is just that.


# %%
from sklearn.linear_model import LogisticRegression


def fit_area(grey):
    rows, _ = balance.balanced_rows(train["label"], grey)
    doubled = train.iloc[rows]
    return LogisticRegression().fit(doubled[["area"]], doubled["label"])


models = {"as they are": fit_area("none"), "HEM doubled": fit_area("hem")}
cuts = {name: -m.intercept_[0] / m.coef_[0, 0] for name, m in models.items()}
p_all = {name: m.predict_proba(test[["area"]])[:, 1] for name, m in models.items()}
scores = {name: metrics.metrics(test["label"], p) for name, p in p_all.items()}
pd.DataFrame(scores).T[chosen_metrics].astype(float).round(3)

# %% mystnb={"figure": {"name": "fig-balancing-thresholds", "caption": "Training cells by area, and the threshold with and without doubled HEM cells; above it the answer is ALL. Cells of this run; synthetic in the published book."}, "image": {"alt": "Three stepped curves: ALL, HEM, and HEM doubled. Two vertical lines mark the thresholds; the one for doubled HEM cells lies at a larger area."}}
figures.thresholds(train["area"], train["label"], cuts, source)

# %% [markdown]
# Look at {numref}`fig-balancing-thresholds`: where the curves overlap, an undecided cell is more often
# ALL, simply because there are more of them. So the classifier puts its threshold low and calls the cell
# ALL. Double the HEM cells, and the threshold moves up: more healthy cells are recognised and some
# leukemic ones are lost. Accuracy may even fall.
#
# **Balancing is a trade, not a gain.** It moves errors from one class to the other. Which error is worse
# is no statistical question: a missed leukemia and a false alarm are not the same mistake.

# %% [markdown]
# ## Doubling HEM
#
# Table 2 of the paper gives the numbers of HEM training images before and after. `balance.balanced_rows`
# lists the balanced training set without making it: which picture, and in grey or not. On the published
# files, *counted / printed*:

# %%
published = cnmc.shipped_index()
in_training = splits.paper_split(published) == "train"
table = {}
for fold, printed in paper.TABLE_2.items():
    mine = in_training & (published["fold"] == fold)
    labels = published["label"][mine].to_numpy(int)
    rows, is_grey = balance.balanced_rows(labels, grey="hem")
    n_hem, n_all = (labels[rows] == 0).sum(), (labels[rows] == 1).sum()
    table[f"fold {fold}"] = {
        "HEM before": f"{(labels == 0).sum()} / {printed['before']}",
        "HEM after": f"{n_hem} / {printed['after']}",
        "ALL": n_all,
        "ALL : HEM before": f"{n_all / (labels == 0).sum():.2f}",
        "ALL : HEM after": f"{n_all / n_hem:.2f}",
    }
pd.DataFrame(table).T

# %% [markdown]
# Two remarks. The classes become **nearly** equal, not equal: 1.06, 1.04 and 1.12 ALL pictures remain
# for one of HEM. And the ratio before is a little more than the 2 that the paper speaks of.
#
# The paper says that this doubles the class "without any duplication of information". Each grey copy,
# though, is computed from its original by {eq}`eq-balancing-grey`. There is no new cell in it, no new
# smear and no new person. What it can do is tell the network *"this is HEM whatever its colour"*. That
# is augmentation, and it is worth having. But look who gets it.

# %% [markdown]
# ## The grey shortcut
#
# Here is the training set of fold 1 after balancing, by class and colour:

# %%
labels = published["label"][in_training & (published["fold"] == 1)].to_numpy(int)
rows, is_grey = balance.balanced_rows(labels, grey="hem")
kind = np.array(cnmc.CLASSES)[labels[rows]]
colour = np.where(is_grey, "grey", "in colour")
pd.crosstab(kind, colour, rownames=["class"], colnames=["picture"])

# %% [markdown]
# There is **no grey ALL picture**. In this training set, *grey* means *HEM*, always. A rule that is
# right in training for a reason that has nothing to do with the question is called a **shortcut**
# {cite:p}`geirhos2020`. A network that notices can settle a quarter of its training pictures by looking
# at the colour alone.
#
# Will it? Let us first ask a model that we can read: a decision tree of two questions, which may ask
# for area and for saturation.

# %%
from sklearn.tree import DecisionTreeClassifier, export_text

FEATURES = ["area", "saturation"]


def fit_tree(grey, colour=False):
    """Fit to the balanced set; colour=True copies in colour instead of grey."""
    rows, is_grey = balance.balanced_rows(train["label"], grey)
    copies = train.iloc[rows].reset_index(drop=True)
    if not colour:
        copies.loc[is_grey, "saturation"] = 0.0
    tree = DecisionTreeClassifier(max_depth=2, min_samples_leaf=10, random_state=0)
    return tree.fit(copies[FEATURES], copies["label"])


print(export_text(fit_tree("hem"), feature_names=FEATURES))

# %% [markdown]
# Read it from the top; class 0 is HEM, class 1 is ALL. Small cells are called HEM. For the large ones
# the tree asks for the saturation: *little of it? Then HEM.* It has found the shortcut.
#
# To see what that does, ask four trees about test cells in colour and about the same cells in grey. One
# tree is the paper's. Of the others, one had no copies, one had its HEM copies **in colour**, and one
# had grey copies of **both** classes.

# %%
trees = {
    "no copies": fit_tree("none"),
    "HEM copies in colour": fit_tree("hem", colour=True),
    "HEM copies in grey (paper)": fit_tree("hem"),
    "grey copies of both": fit_tree("both"),
}
asked = {"colour": test[FEATURES], "grey": test[FEATURES].assign(saturation=0.0)}
table = {}
for name, tree in trees.items():
    table[name] = {}
    for colour, features in asked.items():
        p_all = tree.predict_proba(features)[:, 1]
        found = metrics.metrics(test["label"], p_all)
        table[name][f"ALL found, {colour}"] = found["sensitivity"]
        table[name][f"HEM found, {colour}"] = found["specificity"]
pd.DataFrame(table).T.astype(float).round(2)

# %% [markdown]
# The paper's way is the only one where *every* grey leukemic cell is called healthy. Grey copies of both
# classes cure it. On test cells in colour, though, the paper's tree does as well as the one with copies
# in colour.
#
# That last point matters: **no test cell of C-NMC is ever grey**. A network may hold this shortcut and
# still do well in the test. What it then loses is the point of the copies: if grey pictures are settled
# by being grey, they teach nothing about healthy cells.

# %% [markdown]
# ### Does the real network do it?
#
# A tree with two features shows that the shortcut is *there to be learnt*. It does not show that
# MobileNet learns it. So every run of ours is also tested on its own test cells in grey (condition
# `grey` of the record). Here is our run on the real fold 1, trained in the paper's way:

# %%
from allm_utils.runs import records

real = records.paper_run(records.load_all(), fold=1)
shown = {}
for name, condition in {"in colour": "clean", "in grey": "grey"}.items():
    found = real.metrics(condition)
    shown[name] = {"ALL found": found["sensitivity"], "HEM found": found["specificity"]}
print("record", real.id)
pd.DataFrame(shown).T.astype(float).round(3)

# %% mystnb={"figure": {"name": "fig-balancing-grey", "caption": "The probability of ALL that the network gives to the same test cells in colour and in grey; above 0.5 the answer is ALL. Real data, record mobilenet_m-paper-fold1-seed1337."}, "image": {"alt": "Two panels. In colour, HEM cells pile up near 0 and ALL cells near 1. In grey, the cells of both classes pile up near 0."}}
panels = {}
for name, condition in {"in colour": "clean", "in grey": "grey"}.items():
    rows = real.rows(condition)
    panels[name] = rows["label"], rows["p_all"]
figures.answers(panels, "C-NMC 2019, fold 1")

# %% [markdown]
# In colour the network finds more than nine in ten of both classes. In grey it calls **every** cell
# healthy, and not one leukemic cell is found. In {numref}`fig-balancing-grey` the two classes lie on top of each
# other: what is *in* the grey picture hardly matters to the answer. This is what the construction
# predicts.
#
# **Is it proof? No.** A single run that calls grey cells healthy does not prove that the *grey copies*
# taught it so. A network that never saw a grey cell has to answer something, too, and what it answers
# is arbitrary. In an earlier probe of ours, a tiny network on the real fold 1 and one seed, the paper's
# balancing had every grey ALL cell called HEM. But copies *in colour*, where no grey was ever seen, did
# nearly the same, and without any copies every one was called ALL. The control did not behave like a
# control.
#
# What would prove it:
#
# 1. the same network trained in all four ways of the table above,
# 2. each with at least five seeds, because the answer to a strange picture varies from seed to seed,
# 3. the grey test cells of **both** classes, with intervals,
# 4. and a clear gap between the paper's way and the copies in colour.
#
# Part of it is done: [chapter 9](09_ablation.ipynb) trains the corners of a grid with and without the
# copies, and reads the same condition. It has one seed for each corner, and no copies in colour. Until all
# four are there we say no more than: *a shortcut is built into the training set, and this network behaves
# as if it had taken it.* The cure costs one word, `grey="both"`. It
# doubles both classes, so the ratio stays at two to one; weights in the loss can see to that (exercise
# 3).

# %% [markdown]
# ## Paper and us
#
# | | the paper | this book |
# |---|---|---|
# | crop | "from the center", size not given | 300 pixels; a parameter |
# | resize | 224 × 224 × 3 | the same, bilinear with antialiasing |
# | order of the steps | not given | crop, resize, grey, noise, then the rest |
# | HEM images after balancing (Table 2) | 1,582, 1,628, 1,534 | the same, counted above |
# | validation and test | not said whether balanced | never balanced, never grey |
#
# The paper supports balancing by its Table 9, where a model trained without it does far worse. Set its
# accuracy beside the answer *always ALL*:

# %%
rows = {}
for fold, models in paper.TABLE_9.items():
    test_part = {name: counts["test"] for name, counts in paper.TABLE_1[fold].items()}
    rows[f"fold {fold}"] = {
        "always ALL": round(test_part["ALL"] / sum(test_part.values()), 2),
        "paper, neither": models["MCN"]["accuracy"],
        "paper, both": models["MAC"]["accuracy"],
    }
pd.DataFrame(rows).T

# %% [markdown]
# *Neither* means no balancing and no augmentation, *both* means with the two. In two of the three folds
# the model without them is **worse than no model**. A ratio of two to one does not do that: the area
# classifier above managed well with it. Worse, the printed precisions imply that this model leaned to
# HEM, the *rarer* class, where imbalance pushes the other way. Something else went wrong in that
# training, and since two things were changed at once, the table cannot say which of them helped. See
# [the errata](../book/errata.md).

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: take the colour out
#
# Write `desaturate(image)` without a colour conversion. `image` is a `uint8` array `(H, W, 3)`; return
# one of the same shape and type in which the saturation is zero and the value is kept.


# %% tags=["exercise"]
def desaturate(image):
    """Return image (H, W, 3) with saturation removed."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_desaturate, desaturate)


# %% tags=["solution", "hide-cell"]
def desaturate(image):
    """Return image (H, W, 3) with saturation removed."""
    return np.repeat(image.max(axis=2, keepdims=True), 3, axis=2)


exercises.check(exercises.check_desaturate, desaturate)

# %% [markdown]
# ### Exercise 2: balanced accuracy
#
# Write `balanced_accuracy(labels, answers)` for two arrays of 0 (HEM) and 1 (ALL), as in
# {eq}`eq-balancing-ba`. Return one number.


# %% tags=["exercise"]
def balanced_accuracy(labels, answers):
    """Return the mean of the recalls of both classes."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_balanced_accuracy, balanced_accuracy)


# %% tags=["solution", "hide-cell"]
def balanced_accuracy(labels, answers):
    """Return the mean of the recalls of both classes."""
    recall_all = np.mean(answers[labels == 1] == 1)
    recall_hem = np.mean(answers[labels == 0] == 0)
    return (recall_all + recall_hem) / 2


exercises.check(exercises.check_balanced_accuracy, balanced_accuracy)

# %% [markdown]
# ### Exercise 3: balance without copies
#
# Copies are one way to give a class more say. Another is to let each of its errors count more in the
# loss. Write `class_weights(labels)`: return two numbers, the weight of a HEM and of an ALL image, such
# that both classes weigh the same *in total*, exactly, and all images together weigh as much as there
# are images.


# %% tags=["exercise"]
def class_weights(labels):
    """Return (weight of HEM, weight of ALL) for an array of labels 0 and 1."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_class_weights, class_weights)


# %% tags=["solution", "hide-cell"]
def class_weights(labels):
    """Return (weight of HEM, weight of ALL) for an array of labels 0 and 1."""
    n_hem, n_all = np.bincount(labels)
    return len(labels) / (2 * n_hem), len(labels) / (2 * n_all)


exercises.check(exercises.check_class_weights, class_weights)

# %% [markdown]
# ## Take-aways
#
# - Crop in pixels, and wider than 224: a crop of 300 keeps 94 % of the real cells whole and their sizes
#   comparable.
# - Removing saturation in HSV is $\max(R, G, B)$ in all three channels, bit for bit.
# - On unequal classes accuracy flatters: *always ALL* gets two thirds right, and a balanced accuracy of
#   0.5.
# - Balancing moves errors from one class to the other. The paper's leaves 1.04 to 1.12 ALL images for
#   one of HEM.
# - Copies that only one class gets make a shortcut possible. Our network calls every grey cell healthy;
#   to show that the copies are the cause takes controls and several seeds.

# %% [markdown]
# ## Further reading
#
# - {cite:t}`johnson2019` and {cite:t}`buda2018`, class imbalance in deep learning, surveyed and
#   measured.
# - {cite:t}`geirhos2020`, shortcuts: why a network that is right may be right for the wrong reason.
# - {cite:t}`brodersen2010`, balanced accuracy; {cite:t}`smith1978`, where HSV comes from.
# - Next: [augmentation](03_augmentation.ipynb), the rest of the paper's recipe.
