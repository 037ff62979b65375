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
# # The data set
#
# After this chapter you can say what C-NMC 2019 holds, divide it as the paper did, and name three
# properties of the data that flatter a classifier.
#
# > **You will learn**
# > - what leukemia is, what a smear is, and why the cells stand on black;
# > - to read a file name, and to count images, smears and patients instead of images alone;
# > - the rule behind Table 1 of the paper, checked in all its 18 cells;
# > - how one patient comes to stand on both sides of a split, and how to see it;
# > - why the size of a cell alone tells much of the answer.
# >
# > **Before you start:** Python and a little pandas. No biology is assumed.
# >
# > **Run time:** about 20 s on two CPU cores (smoke profile); GPU: not needed.

# %% tags=["colab", "remove-cell"]
import sys

if "google.colab" in sys.modules:  # installs the package, and nothing that Colab has
    from IPython import get_ipython

    packages = "imaug==0.4.3 git+https://github.com/allm-book/allm@main"
    get_ipython().run_line_magic("pip", "install -q --no-deps " + packages)

# %% tags=["setup"]
import numpy as np
import pandas as pd

from allm_utils.book import exercises, figures, profile
from allm_utils.data import cnmc, images, splits, synthetic
from allm_utils.runs import records

run = profile.banner()
root = synthetic.data_root(run)
frame = cnmc.index(root).query("split == 'train'")
source = "synthetic cells" if synthetic.is_synthetic(root) else "C-NMC 2019"

# %% [markdown]
# Two kinds of data appear in this chapter, and it helps to keep them apart.
#
# - **Pictures** come from this run: drawn cells in the published book, real ones if you set
#   `ALLM_DATA`. Every figure of cells says which.
# - **Counts** are real for everyone. The package ships a list of the 10,661 published training
#   files: their names and the first twelve digits of their hashes, without a single pixel.

# %%
published = cnmc.shipped_index()
print(f"{len(published):,} files listed, {len(frame):,} pictures here ({source})")

# %% [markdown]
# ## From a patient to a picture
#
# Blood is made in the **bone marrow**, the soft tissue inside the bones. Cells divide there, mature,
# and leave for the blood. One family of them are the **lymphocytes**, white cells of the immune
# system. An immature cell of this family is a **lymphoblast**.
#
# In **acute lymphoblastic leukemia**, ALL for short, one such cell stops maturing and goes on
# dividing. Its descendants fill the marrow and crowd out the healthy cells. *Acute* means fast: weeks to
# months, not years. ALL is the most common cancer of childhood, and adults get it too
# {cite:p}`malard2020`. Most cases, and all of those in our data, arise from the B line of lymphocytes.
#
# To look at the cells, a drop of blood or marrow is spread thinly over a glass slide, so that the
# cells lie side by side. That is a **smear**. White cells are almost transparent, so the smear is
# **stained**: dyes of the Giemsa kind turn the DNA in the nucleus purple. Then a camera on the
# microscope takes a picture of one field of view, with many cells in it.
#
# The makers of C-NMC cut each cell of interest out of such a picture. They found its outline by
# computer and set everything outside it to black, so that one image shows one cell and nothing of its
# neighbours. They also evened out the colours between slides, and an expert labelled the cells
# {cite:p}`gupta2019,gupta2020`. What remains is a binary question:
#
# | class | what it is | label |
# |---|---|---|
# | **HEM** | a healthy immature lymphoid cell, from a person without leukemia | 0 |
# | **ALL** | a leukemic blast, from a patient with ALL | 1, the *positive* class |
#
# The question is hard for a good reason. Healthy marrow holds immature lymphoid cells as well, and
# they look much like the leukemic ones.
#
# :::{warning}
# This book teaches image classification. A diagnosis of leukemia needs the whole marrow, the proteins
# on the cells and the genes in them. No model in this book may be used for it.
# :::

# %% [markdown]
# ## Eight cells
#
# Before any number, look. Each picture below is the cell of another person. The upper row is healthy,
# the lower row leukemic. Cover the labels: could you tell the rows apart, and by what?

# %% mystnb={"figure": {"name": "fig-dataset-cells", "caption": "One cell each of four HEM and four ALL subjects, cut to 350 pixels and brightened twofold for display. Cells of this run; synthetic in the published book."}, "image": {"alt": "Two rows of four purple cells on black. The cells of the lower row, ALL, are larger on the whole; colour and texture differ from person to person as much as from row to row."}}
people = frame.groupby("subject").sample(1, random_state=3)
n = min(4, people["label"].value_counts().min())
shown = people.groupby("label").sample(n, random_state=3)
pictures = [images.centre_crop(images.read(path), 350) for path in shown["path"]]
titles = "subject " + shown["subject"]
figures.cells(pictures, titles, n, 2, rows=cnmc.CLASSES, source=source)

# %% [markdown]
# Two things strike the eye: the cells differ in **size**, and they differ in **shade from person to
# person**. Both will matter. (Real cells also carry debris, or edges cut straight where the outline was
# not found; the drawn ones have some of the latter.) The stain of a slide, the lamp and the camera colour every cell of that
# slide in the same way, whatever the cell is.

# %% [markdown]
# ## The way ahead
#
# The paper's method {cite:p}`makem2025` is a pipeline. Its authors draw it as their Fig. 1;
# {numref}`fig-dataset-pipeline` is our own drawing of it, with the chapters that explain the steps.

# %% mystnb={"figure": {"name": "fig-dataset-pipeline", "caption": "The paper's pipeline (its Fig. 1, redrawn). Orange: training images only. Blue: test images only. Each of the three folds goes this way on its own, with a model of its own."}, "image": {"alt": "Flow chart. A fold of C-NMC is cropped, resized and split by image into 70 % training, 10 % validation and 20 % test. Training images are balanced by grey HEM copies, get noise and are warped and darkened; test images get noise of several strengths; MobileNet_M is fitted to training, stopped by validation and scored on test."}}
figures.pipeline()

# %% [markdown]
# This chapter is about the first and the third box. Remember one detail of the first: a model sees
# **one fold**, a third of the data. The folds are never mixed. The paper's 95 % is the mean of three
# single-fold runs, not a cross-validation.

# %% [markdown]
# ## One file name, one cell
#
# The folders give the fold and the class, the file name gives the rest:
#
# ```text
# fold_0/all/UID_11_3_5_all.bmp     subject 11,  smear 3,  cell 5
# fold_0/hem/UID_H11_30_2_hem.bmp   subject H11, smear 30, cell 2
# ```
#
# **The H belongs to the name.** Subject 11 has leukemia, subject H11 is somebody else and healthy. Drop
# the H, and 73 subjects become far fewer:

# %%
subjects = published["subject"]
without_h = subjects.str.lstrip("H")
print(subjects.nunique(), "subjects,", without_h.nunique(), "if the H is dropped")

# %% [markdown]
# **And it is not always a capital.** Somebody named the files of one subject in lower case. A parser
# that insists on `H` loses that person, and says nothing:

# %%
small = published[published["path"].str.contains("UID_h")]
print(len(small), "files, such as", small["path"].iloc[0])
print("read as subject", *small["subject"].unique())

# %% [markdown]
# `cnmc.index` deals with both and gives one row per image. It knows every layout in which the set is
# published, and refuses a file name that it cannot read rather than skip it.

# %%
columns = ["label", "fold", "subject", "smear", "cell"]
published[columns].sample(5, random_state=2)

# %% [markdown]
# ## Folds and people
#
# The organisers dealt the training set into three folds. How many images is that, and of how many
# people?

# %%
cnmc.summary(published)

# %% [markdown]
# Ten thousand images sound like a lot. But it is 73 people, and cells of one person on one slide are
# alike. {numref}`fig-dataset-subjects` shows what a fold is made of.

# %% mystnb={"figure": {"name": "fig-dataset-subjects", "caption": "Images per fold, class and subject; each block is one subject, the largest are named. Counts of the published training set."}, "image": {"alt": "Six stacked bars. Every ALL bar is about twice as long as its HEM bar. Fold 1 HEM consists of only three blocks, H10, H14 and H22; subject 51 alone is almost a third of fold 1 ALL."}}
figures.subjects(published)

# %% [markdown]
# Three things to see:
#
# - **Two ALL images for one HEM image**, in every fold. [The next chapter](02_balancing.ipynb) is about
#   that.
# - **Very unequal people.** One subject gives hundreds of images, another gives a handful. A mean over
#   images is a mean over a few people.
# - **Fold 1 has three healthy people.** Whatever a model learns of "healthy" there, it learns from
#   three.
#
# There is a fourth point, which no bar shows. Does any person have cells of both classes?

# %%
per_subject = published.groupby("subject")["label"].nunique()
print("classes per subject:", per_subject.max(), "at most")

# %% [markdown]
# No. A patient with ALL has healthy lymphoid cells as well, yet no image of such a patient is labelled
# HEM. So in this set the class is a property of the **person**: whoever recognises the slide knows the label. A network may solve
# the task by learning about leukemia, or by learning what the slide of subject 51 looks like. If that
# slide is in training *and* in test, the test cannot tell which.

# %% [markdown]
# ## The paper's split
#
# Section 3.2 of the paper divides each fold "70, 10, 20 %" into training, validation and test. It does
# not say how, but Table 1 gives it away. With $n$ images of a class in a fold, all 18 cells of the
# table equal
#
# $$ n_\text{train} = \lfloor 0.7\,n \rfloor, \qquad n_\text{val} = \lfloor 0.1\,n \rfloor,
# \qquad n_\text{test} = n - n_\text{train} - n_\text{val} $$ (eq-dataset-split)
#
# where $\lfloor x \rfloor$ cuts the decimals off. Rounding would give other numbers for every ALL row.
# It is the rule of a small tool named *split-folders*: sort the files, shuffle them with a seed, cut.
# That the authors used it is likely, not proven. Its default seed is 1337, and it is ours.

# %%
split = splits.paper_split(published, seed=1337)
counted = pd.crosstab([published["fold"], published["label"]], split)
counted = counted[["train", "val", "test"]]
counted

# %% [markdown]
# The numbers are those of the paper; the table *Paper and us* below sets them side by side. The **rule**
# is the important part, though, and it divides *images*. It never asks whose they are.

# %% [markdown]
# ## Who is on both sides?
#
# Take one patient and look at where the cells went. {numref}`fig-dataset-smear` shows the smear
# pictures of subject 46, and one mark for each cell that was cut out of them.

# %% mystnb={"figure": {"name": "fig-dataset-smear", "caption": "The 37 smear pictures of subject 46 (fold 1, ALL) and the parts that their cells fell into. Published file names, the paper's rule, seed 1337."}, "image": {"alt": "Columns of stacked marks, one column per smear. Nearly every column mixes grey training dots with test squares and validation triangles."}}
figures.smears(published, split, "46")

# %% [markdown]
# Nearly every pink square stands in a column with grey dots: the same person, the same slide, the same
# lamp, often the neighbouring cell. The test asks about cells whose neighbours the model has studied.
# This is called **leakage** {cite:p}`kapoor2023`: something reaches the test that will not be there in
# use. How much of it is there? `splits.leakage` counts the test images that have met training before.

# %%
leaks = {
    f"fold {fold}": splits.leakage(part, split[part.index])
    for fold, part in published.groupby("fold")
}
pd.DataFrame(leaks).T.rename(columns="same {}".format).map("{:.1%}".format)

# %% [markdown]
# Read a row like this: of the test images of fold 1, **all** come from a patient who is also in
# training, about nine in ten from a **smear picture** that is also in training, and two are even the very
# **same file** under another name. ("Twin" stands for such a file.)
#
# The cure is to divide people instead of images:

# %%
fold_1 = published[published["fold"] == 1]
by_person = splits.patient_disjoint_split(fold_1, n_splits=3)[0]
print(splits.leakage(fold_1, by_person))
tested = fold_1["subject"][by_person == "test"].unique()
print("subjects of the test part:", *tested)

# %% [markdown]
# No leak is left. But look at the price: with three healthy people in fold 1, each part holds exactly
# one of them. The answer then hangs on *which* one, and no number of images helps.
#
# Does it matter? Measured on the real fold 1, a simple classifier on colour and texture went from 92 %
# of the images right when images were divided to about 73 % when people were. Keep that in mind
# whenever you read a number in this book: the paper's protocol, which we reproduce first, answers
# *"how well are further cells of known patients recognised?"* It says nothing about a new patient.

# %% [markdown]
# ## One picture, two names
#
# The organisers write that no two folds share a patient. By name, that is true. But a file can be
# compared with every other by its **hash**, a fingerprint of its bytes: equal bytes, equal hash.

# %%
twins = published[published.duplicated("digest", keep=False)]
pairs = twins.groupby("digest").agg(
    subjects=("subject", " = ".join),
    folds=("fold", lambda folds: " and ".join(map(str, sorted(set(folds))))),
)
pairs.value_counts().rename("pairs").reset_index()

# %% [markdown]
# There are 104 such pairs in the training set, and almost all of them join two *different* subjects.
# The first row is the clearest: 71 of the 76 images of subject 20 in fold 0 are, byte for byte, images
# of subject 21 in fold 2. That is one patient under two names, in two folds. Of the other rows we
# cannot know: one patient with two names, or a file in the wrong folder. We have seen this reported
# nowhere else.

# %% mystnb={"figure": {"name": "fig-dataset-twins", "caption": "One picture under two names. Cells of this run; synthetic in the published book, where a few such twins were drawn on purpose."}, "image": {"alt": "Two identical pictures of the same cell, titled with two different file names."}}
here = frame.assign(name=frame["path"].str.split(r"[\\/]").str[-1])
digests = pd.Series(images.digests(here, run.work / "images"), here.index)
double = here.loc[digests[digests.duplicated(keep=False)].sort_values().index[:2]]
pictures = [images.centre_crop(images.read(path), 350) for path in double["path"]]
figures.cells(pictures, double["name"], 2, 2, source=source)

# %% [markdown]
# The safe way is to let subjects that share a file count as one. `cnmc.merged_subject` does so, and
# every split by patient in this book uses it.

# %%
for group in cnmc.GROUPS:
    print(group)
merged = cnmc.merged_subject(published["subject"])
print(subjects.nunique(), "names,", merged.nunique(), "people at most")

# %% [markdown]
# ## Size gives much away
#
# Now the pictures themselves. The background is exactly black, so a cell is what is not black. Let us
# measure three things per picture: the area of the cell in pixels, its brightest value, and its mean.


# %%
def measure(path):
    picture = images.read(path)
    cell = picture.any(axis=2)
    return cell.sum(), picture.max(), picture[cell].mean()


sample = frame.sample(min(600, len(frame)), random_state=0)
names = ["area", "brightest", "mean"]
cells = pd.DataFrame([measure(path) for path in sample["path"]], sample.index, names)
cells["class"] = sample["label"].map(dict(enumerate(cnmc.CLASSES)))
cells.groupby("class").median().round(0)

# %% [markdown]
# **The pictures are dark.** The scale ends at 255; the brightest value in a cell is only about half of
# that, and the mean about a quarter. Most of a picture is black:

# %%
print(f"{1 - cells['area'].mean() / 450**2:.0%} of the pixels are background")

# %% [markdown]
# **ALL cells are larger.** {numref}`fig-dataset-areas` shows how much the two classes overlap.

# %% mystnb={"figure": {"name": "fig-dataset-areas", "caption": "Area of the cell by class. Cells of this run; synthetic in the published book, where the sizes were drawn to be distributed as in the real fold 1."}, "image": {"alt": "Two overlapping histograms. HEM cells, hatched, peak near 24 thousand pixels; ALL cells peak near 37 thousand pixels."}}
figures.areas(cells["area"], sample["label"], source)

# %% [markdown]
# How good a classifier is the area alone? Draw one ALL cell and one HEM cell at random. The **AUC**,
# the area under the ROC curve, is the chance that the ALL cell is the larger one:
#
# $$ \text{AUC} = P(a_\text{ALL} > a_\text{HEM}) + \tfrac12\, P(a_\text{ALL} = a_\text{HEM}) $$ (eq-dataset-auc)
#
# A coin gives 0.5, a perfect classifier 1. Compare every ALL cell with every HEM cell, and check the
# result against scikit-learn:

# %%
from sklearn.metrics import roc_auc_score

area = {name: part.to_numpy() for name, part in cells.groupby("class")["area"]}
larger = area["ALL"][:, None] > area["HEM"]
equal = area["ALL"][:, None] == area["HEM"]
print(f"all pairs:    {larger.mean() + equal.mean() / 2:.3f}")
auc = roc_auc_score(sample["label"].astype(int), cells["area"])
print(f"scikit-learn: {auc:.3f} ({source})")

# %% [markdown]
# And real cells? A recorded run kept the areas of the real test cells of fold 1:

# %%
retest = next(r for r in records.load_all() if r.data["experiment"] == "trust")
real = pd.DataFrame(retest.data["pictures"]).merge(retest.rows(), on="file")
is_all = real["label"] == 1
right = [((real["area"] >= cut) == is_all).mean() for cut in real["area"]]
auc = roc_auc_score(is_all, real["area"])
print(f"{len(real)} real cells: AUC {auc:.3f}, best threshold {max(right):.0%} right")

# %% [markdown]
# So much for no network, no colour, no texture. (The threshold was chosen on the cells that it is judged on.) The drawn cells copy this on purpose, so their
# AUC proves nothing about leukemia; it is there so that the lesson can be tried without the data.
#
# Is size a fair cue? Partly. Leukemic blasts often *are* larger than their healthy relatives, but not
# in every patient, and some have small blasts. What follows for us is practical:
#
# - A network's accuracy should be compared with what **area alone** reaches, not with a coin.
# - **Cropping decides whether the network sees size at all.** That is the start of
#   [the next chapter](02_balancing.ipynb).

# %% [markdown]
# ## Paper and us
#
# First the text of section 3.1 against the shipped list of files. Each cell reads *counted / printed*.


# %%
from allm_utils.book import paper


def both(counted, printed):
    return f"{counted:,} / {printed:,}"


rows = {}
for label, name in enumerate(cnmc.CLASSES):
    part = published[published["label"] == label]
    found = {"images": len(part), "subjects": part["subject"].nunique()}
    printed = paper.DATASET["training"][name]
    rows[name] = {what: both(found[what], printed[what]) for what in found}
pd.DataFrame(rows).T

# %% [markdown]
# Now Table 1, all 18 cells of it and the totals, again *counted / printed*.

# %%
table, equal = {}, 0
for fold, classes in paper.TABLE_1.items():
    for name, printed in classes.items():
        ours = counted.loc[fold, cnmc.CLASSES.index(name)]
        ours = {**ours, "total": ours.sum()}
        equal += sum(ours[part] == printed[part] for part in counted)
        row = [both(ours[part], printed[part]) for part in printed]
        table[f"fold {fold}, {name}"] = row
print(equal, "of 18 cells are equal")
pd.DataFrame(table, ["train", "val", "test", "total"]).T

# %% [markdown]
# And the split of this very run, by the same rule. With drawn cells the numbers are other ones, since
# the set is smaller; with C-NMC they are those above.

# %%
parts = splits.paper_split(frame)
pd.crosstab([frame["fold"], frame["label"]], parts)[["train", "val", "test"]]

# %% [markdown]
# So the counts of the paper are right, to the last image. What we read differently is their meaning:
#
# | the paper says | we find |
# |---|---|
# | "blood smears with resolution of 450 × 450" | single cells; the images of the final test set are 600 × 600 |
# | 47 + 26 patients | 73 names; after merging shared files at most 44 + 22 people |
# | folds "independently divided" | three models, each on a third of the data; the folds are not used to keep patients apart |
# | "held-out test set" | every test image has its patient in training |
#
# None of this is hidden or unusual; many papers on this set divide images. It limits what the headline
# means, and [the errata](../book/errata.md) list it with everything else we found.

# %% [markdown]
# ## Get the real cells
#
# C-NMC 2019 is published by The Cancer Imaging Archive and re-published on Kaggle. We cannot pass the
# images on, but fetching them takes one command, no account, and 10.4 GB of disk:
#
# ```bash
# allm data download cnmc     # from Kaggle: training and both test sets
# allm data index cnmc        # images and subjects per fold and class
# allm data verify cnmc       # every file against the published hashes
# export ALLM_DATA=$PWD/cnmc  # the chapters now use the real cells
# ```
#
# `verify` names each file that is missing, altered or unknown. Run it once: an upload that somebody
# re-compressed looks the same to the eye and not to a network.
#
# **Licence and citation.** The data stay under the terms of The Cancer Imaging Archive; its collection
# page names CC BY 3.0. Read it before you pass anything on. Cite the data set {cite:p}`gupta2019` and
# the archive {cite:p}`clark2013`; the organisers also ask for their papers on stain normalisation
# {cite:p}`gupta2020` and on the cells {cite:p}`duggal2017`, listed in full on the collection page.

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: read a file name
#
# Write `parse(name)`. It takes a file name such as `UID_H11_30_2_hem.bmp` and returns a tuple of
# subject (text, with its H), smear (int), cell (int) and label (0 for HEM, 1 for ALL). Mind subject
# `h3`.


# %% tags=["exercise"]
def parse(name):
    """Return (subject, smear, cell, label) of a C-NMC file name."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_parse, parse)


# %% tags=["solution", "hide-cell"]
def parse(name):
    """Return (subject, smear, cell, label) of a C-NMC file name."""
    _, subject, smear, cell, kind = name.removesuffix(".bmp").split("_")
    return subject.upper(), int(smear), int(cell), int(kind == "all")


exercises.check(exercises.check_parse, parse)

# %% [markdown]
# ### Exercise 2: the rule of Table 1
#
# Write `sizes(n)`: how many of `n` images of a class go to training, validation and test, as in
# {eq}`eq-dataset-split`? Return a tuple of three whole numbers. Which cells of Table 1 change if you
# round instead?


# %% tags=["exercise"]
def sizes(n):
    """Return (train, val, test) for n images."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_sizes, sizes)


# %% tags=["solution", "hide-cell"]
def sizes(n):
    """Return (train, val, test) for n images."""
    train, val = int(0.7 * n), int(0.1 * n)
    return train, val, n - train - val


exercises.check(exercises.check_sizes, sizes)

# %% [markdown]
# ### Exercise 3: measure a leak
#
# Write `smear_leak(train, test)`. Both are tables with the columns `subject` and `smear`. Return the
# share of the rows of `test` whose smear picture also has a row in `train`. Smear pictures are numbered
# anew for each subject.


# %% tags=["exercise"]
def smear_leak(train, test):
    """Return the share of test rows whose smear is also in train."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_smear_leak, smear_leak)


# %% tags=["solution", "hide-cell"]
def smear_leak(train, test):
    """Return the share of test rows whose smear is also in train."""
    known = set(zip(train["subject"], train["smear"], strict=True))
    asked = zip(test["subject"], test["smear"], strict=True)
    return np.mean([smear in known for smear in asked])


exercises.check(exercises.check_smear_leak, smear_leak)

# %% [markdown]
# ## Take-aways
#
# - C-NMC 2019 asks one question of one cell: leukemic blast (ALL) or healthy precursor (HEM)? The cells
#   are cut out, on black, and dark.
# - Count people, not only images: 10,661 training images come from 73 names and at most 66 people, and
#   nobody has cells of both classes.
# - Table 1 is `int(0.7 n)`, `int(0.1 n)` and the rest, per class and fold. The rule divides images, so
#   every test image has its patient in training and nine in ten have their smear there.
# - Hashes find what names hide: 104 pairs of identical files, most of them under two subjects.
# - Area alone separates the classes far better than a coin. It is the baseline to beat.

# %% [markdown]
# ## Further reading
#
# - {cite:t}`gupta2019`, the data set; {cite:t}`gupta2019isbi`, the proceedings of its challenge, where
#   several teams note the size of the ALL cells.
# - {cite:t}`malard2020`, a review of the disease.
# - {cite:t}`gehlot2020`, a model by the makers of the data, tested on subjects kept apart.
# - {cite:t}`kapoor2023`, leakage in seventeen fields of science.
