# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The data set
#
# After this chapter you can say whose cells a classifier was tested on, and find out whether two names in a data set
# are one person.
#
# > **You will learn**
# > - to read a file name, and to count people and smears instead of pictures alone;
# > - the rule behind Table 1 of the paper, checked in all its 18 counts;
# > - how one person comes to stand on both sides of a split, under one name or under two;
# > - to find one cell under two names: by its bytes, and by its pixels.
# >
# > **Before you start:** [A first look](00_first_look.ipynb), and a little pandas.
# >
# > **Run time:** about 20 s on two CPU cores (smoke profile); GPU: not needed.

# %% tags=["setup", "hide-input"]
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from allm_utils.book import exercises, figures, profile, scorecard
from allm_utils.data import cnmc, images, people, sample, splits
from allm_utils.runs.records import Runs

run = profile.banner()
frame = run.frame()
published = cnmc.shipped_index()

# %% [markdown]
# ## In brief
#
# {term}`C-NMC 2019` has {glue:text}`n-images` training pictures under {glue:text}`n-names` names. The paper divides *pictures* at
# random. So {glue:text}`leak-person` its test cells come from a person who is also in training, and, with the seed that we
# assume, {glue:text}`leak-smear` of them from a photograph that training has cells of. Even the names mislead: the
# {glue:text}`n-names` are at most {glue:text}`n-people` people. {numref}`fig-dataset-twins` shows cells that stand in two
# parts of the data under two names.

# %% mystnb={"figure": {"caption": "Five cells, each in fold 0 under one name and in fold 1 under another; the numbers are those of person, smear and cell in the file name. Two photographs, or two exports, of one cell. Real cells of C-NMC 2019, those of this page.", "name": "fig-dataset-twins"}, "image": {"alt": "Two rows of five cells. Each cell of the lower row looks like the one above it, moved a little or slightly other in colour."}} tags=["hide-input"]
path_of = {Path(path).name: path for path in frame["path"]}
twins = people.pixel_twins().query("fold_a == '0' and fold_b == '1'")
twins = twins[twins["file_a"].isin(path_of) & twins["file_b"].isin(path_of)]
taken = twins["file_a"].str.split("_").str[1]
shown = twins.groupby(taken, sort=False).head(2).head(5)
files = [*shown["file_a"], *shown["file_b"]]
pictures = [images.centre_crop(images.read(path_of[file]), 300) for file in files]
titles = [file.removeprefix("UID_").rsplit("_", 1)[0] for file in files]
folds = ("fold 0", "fold 1")
figures.cells(pictures, titles, len(shown), rows=folds, source=run.credit)

# %% tags=["remove-cell"]
from myst_nb import glue

person_of = people.person(published["subject"])
drawn = splits.paper_split(published)
leaks = pd.DataFrame(
    [splits.leakage(part, drawn[part.index]) for _, part in published.groupby("fold")]
)
glue("n-images", f"{len(published):,}", display=False)
glue("n-names", published["subject"].nunique(), display=False)
glue("n-people", person_of.nunique(), display=False)
glue("leak-person", "all" if leaks["person"].min() == 1 else "most", display=False)
low, high = 100 * leaks["smear"].min(), 100 * leaks["smear"].max()
glue("leak-smear", f"{low:.0f} to {high:.0f} %", display=False)

# %% [markdown]
# ## From a person to a picture
#
# Blood is made in the {term}`bone marrow`. One family of its cells are the {term}`lymphocytes <lymphocyte>`; an immature one is a
# {term}`lymphoblast`. In **acute lymphoblastic leukemia**, {term}`ALL`, one such cell stops maturing and goes on dividing, and its
# descendants crowd out the rest {cite:p}`malard2020`.
#
# To look at cells, a drop of marrow or blood is spread on a glass slide. That is a {term}`smear`. Dyes turn
# the nucleus purple: the {term}`stain`. A camera takes photographs of it, with many cells in each. The makers of C-NMC
# cut single cells out of these photographs by computer, set all around them to black, evened out the colours
# between slides, and let an expert label them {cite:p}`gupta2019,gupta2020`. The question is the harder because healthy
# marrow holds immature cells too: the class {term}`HEM`.
#
# :::{warning}
# This book teaches image classification. A diagnosis needs the whole marrow, the proteins on the cells and their
# genes. No model in this book may be used for one.
# :::
#
# {numref}`fig-dataset-pipeline` shows the way of the paper {cite:p}`makem2025`, and the chapters that follow it.
#
# :::{figure} ../book/_static/pipeline.svg
# :name: fig-dataset-pipeline
# :alt: Boxes from one fold of C-NMC 2019 down to the answer; train, validation and test part ways after the split.
#
# The pipeline of the paper (its Fig. 1, redrawn), with the chapter that treats each step.
# :::

# %% [markdown]
# ## One file name, one cell
#
# The folders give the {term}`fold` and the class, the name gives the rest:
#
# ```text
# fold_0/all/UID_11_3_5_all.bmp     subject 11,  smear 3,  cell 5
# fold_0/hem/UID_H11_30_2_hem.bmp   subject H11, smear 30, cell 2
# ```
#
# A {term}`subject` is a name for a person. **The H belongs to it**: subject 11 has leukemia, H11 is somebody else and
# healthy. And the H is not always a capital:

# %%
subjects, bare = published["subject"], published["subject"].str.lstrip("H")
print(subjects.nunique(), "subjects,", bare.nunique(), "if the H is dropped")
print(published["path"].str.contains("UID_h").sum(), "files write H3 as h3")

# %% [markdown]
# `cnmc.index` knows both, and every layout in which the set is published. It gives one row per picture, and refuses a
# name that it cannot read. The package ships such a list of all training pictures, without pixels. Label 0 is
# HEM, label 1 is ALL:

# %%
published[["fold", "label", "subject", "smear", "cell"]].sample(4, random_state=2)

# %% [markdown]
# ## Count people, not pictures
#
# The organisers dealt the training set into three folds.
# {numref}`fig-dataset-subjects` shows what they are made of.

# %% mystnb={"figure": {"caption": "Pictures by fold, class and subject; each block is one subject. Counts of the published training set.", "name": "fig-dataset-subjects"}, "image": {"alt": "Six bars of blocks. Each ALL bar is about twice as long as the HEM bar of its fold. HEM of fold 1 consists of three blocks only; in fold 1 ALL one block is almost a third."}} tags=["hide-input"]
counts = published.groupby(["fold", "label", "subject"]).size()
figure, axis = figures.new(height=2.8)
for row, (fold, label) in enumerate(sorted({key[:2] for key in counts.index})):
    sizes = counts[fold, label].sort_values(ascending=False)
    name = cnmc.CLASSES[label]
    style = {"color": figures.COLOURS[name], "hatch": ("//", "")[label]}
    axis.barh(row, sizes, left=sizes.cumsum() - sizes, edgecolor="white", **style)
    words = f" fold {fold} {name}, {len(sizes)} subjects"
    axis.text(sizes.sum(), row, words, va="center")
axis.set(yticks=[], xlabel="pictures", xlim=(0, 3500))
axis.invert_yaxis()
figure

# %% [markdown]
# - **Two ALL pictures for one HEM picture**, in every fold. [Balancing](02_balancing.ipynb) is about that.
# - **Very unequal people.** A mean over pictures is a mean over a few of them.
# - **Fold 1 has {glue:text}`hem-fold-1` healthy people.** All that a network learns of "healthy" there, it learns from these.
#
# One thing no bar shows. Does anybody have cells of both classes?

# %%
print("classes per subject:", published.groupby("subject")["label"].nunique().max())

# %% [markdown]
# Nobody. So the class is a property of the *person*: whoever recognises a slide knows the label. A network may learn what
# leukemia looks like, or what the slide of subject 51 looks like. If that slide is in training *and* in the test,
# the test cannot tell which.

# %% tags=["remove-cell"]
healthy = published[published["label"] == 0].groupby("fold")["subject"].nunique()
glue("hem-fold-1", int(healthy[1]), display=False)

# %% [markdown]
# ## The paper's split
#
# The paper divides each fold "70, 10, 20 %" and does not say how. Its Table 1 gives it away. With $n$ pictures of a class
# in a fold, all 18 counts of the table equal
#
# $$ \begin{split} n_\text{train} &= \lfloor 0.7\,n \rfloor, \qquad n_\text{val} = \lfloor 0.1\,n \rfloor, \\
# n_\text{test} &= n - n_\text{train} - n_\text{val} \end{split} $$ (eq-dataset-split)
#
# where $\lfloor x \rfloor$ cuts the decimals off. It is the rule of a small tool named *split-folders*: sort the files of a
# class, shuffle them with a {term}`seed`, cut. Its default seed is 1337, and it is ours.

# %%
split = splits.paper_split(published, seed=1337)
classes = published["label"].map(dict(enumerate(cnmc.CLASSES)))
folds_named = published["fold"].map("fold {}".format)
counted = pd.crosstab([folds_named, classes], split).map("{:,}".format)
figures.table(counted[["train", "val", "test"]], "fold", "class")

# %% [markdown]
# The rule divides *pictures*. It never asks whose they are. {numref}`fig-dataset-smear` shows where the cells of one
# patient went.

# %% mystnb={"figure": {"caption": "The smear photographs of subject 46 (fold 1, ALL): one column each, one mark for each cell cut out of it, and the part that the cell fell into. Published file names, the paper's rule.", "name": "fig-dataset-smear"}, "image": {"alt": "Columns of stacked marks, one per smear. Most columns mix training marks with test or validation marks; a few hold training marks alone, and two hold test marks alone."}} tags=["hide-input"]
one = published[published["subject"] == "46"].sort_values(["smear", "cell"])
column, height = one["smear"].rank(method="dense"), one.groupby("smear").cumcount() + 1
figure, axis = figures.new(height=2.6)
parts = dict(zip(("train", "val", "test"), figures.LOOKS, strict=False))
for part, (colour, mark, _) in parts.items():
    here = split[one.index] == part
    words = f"{part}, {here.sum()} cells"
    axis.scatter(column[here], height[here], 40, colour, marker=mark, label=words)
limits = (0, 1.35 * height.max())
axis.set(xlabel="smear photograph of subject 46", ylabel="cells", ylim=limits)
axis.locator_params("y", integer=True)
axis.legend(loc="upper left", ncols=3)
figure

# %% tags=["remove-cell"]
held = split[one.index].groupby(one["smear"]).agg(lambda of: " ".join(sorted(set(of))))
alone = held.value_counts()
assert alone["test"] == 2 and alone["train"] == 6 and "val" not in alone
assert alone["test"] + alone["train"] < len(held) / 2

# %% [markdown]
# Test cells stand in the same columns as training cells: the same person, the same slide, the same lamp, often the
# neighbouring cell. This is {term}`leakage` {cite:p}`kapoor2023`: something reaches the test that will not be there in use.
# How much is there? For each fold, the share of the test pictures of which training has met

# %%
leak = {
    f"fold {fold}": splits.leakage(part, split[part.index])
    for fold, part in published.groupby("fold")
}
degrees = ["its person", "its smear photograph", "the same file"]
pd.DataFrame(leak).T.set_axis(degrees, axis=1).map("{:.1%}".format)

# %% [markdown]
# Of the test pictures of each fold, **all** are of a person who is also in training. About nine in ten come from a smear
# photograph that training has cells of. In folds 1 and 2 a few are even the very same file, under another file
# name. How can that be?

# %% tags=["remove-cell"]
assert leaks["person"].min() == 1 and leaks["smear"].between(0.89, 0.95).all()
assert leaks["twin"].iloc[0] == 0 and leaks["twin"].iloc[1:].between(0.001, 0.01).all()

# %% [markdown]
# ## One file, two names
#
# The organisers write that no two folds share a patient. By name, that is true. But a file can be compared with every
# other by its digest, a short number that is computed from all its bytes: equal bytes, equal digest.

# %%
doubles = published[published.duplicated("digest", keep=False)]
pairs = doubles.groupby("digest").agg(
    subjects=("subject", " = ".join),
    folds=("fold", lambda folds: " and ".join(map(str, sorted(set(folds))))),
)
table = pairs.value_counts().rename("pairs of files").reset_index(level="folds")
table.rename_axis(index=None, columns="names")

# %% [markdown]
# The first row says it: {glue:text}`same-20-21` of the {glue:text}`n-20` pictures of subject 20 are, byte for byte,
# pictures of subject 21. That is one person under two names, in two folds. H10 = H10 joins no two people, but it is the
# leak of fold 1 above: one name, with some files twice.

# %% tags=["remove-cell"]
glue("same-20-21", int((pairs["subjects"] == "20 = 21").sum()), display=False)
glue("n-20", int((published["subject"] == "20").sum()), display=False)
assert set(pairs.query("folds == '1'")["subjects"]) == {"H10 = H10"}

# %% [markdown]
# ## One cell, two files
#
# Bytes catch a copy only. The cells of {numref}`fig-dataset-twins` were photographed twice, or saved twice: no two
# bytes need agree. So compare what a cell *looks* like: its grain. `people.find_twins` takes the green channel of each
# cell, keeps its fine structure, and slides one cell over another until the two agree best. How well they do is the
# {term}`correlation <normalised cross-correlation>`, 1 for the same grain.
#
# How much is enough? A **control** tells. A cell of an ALL patient and a cell of a healthy person cannot be one cell.
# Whatever correlation such pairs reach is chance.

# %% tags=["once"]
found = people.find_twins(frame, progress=False)
print(f"{len(found.control):,} control pairs, largest {found.control.max():.2f}")
print(len(found.pairs), "pairs of one class, two names, from the cut at", people.TWIN)

# %% mystnb={"figure": {"caption": "Correlation of two cells. Full line: an ALL and a HEM cell, which cannot be one cell. Dashed line: two cells of one class under two names, drawn only from the cut on, the grey line. Real cells of C-NMC 2019, those of this page.", "name": "fig-dataset-ncc"}, "image": {"alt": "A histogram of the control that ends well below the cut, and to the right of it, apart, the pairs found."}} tags=["hide-input"]
figure, axis = figures.new(height=2.6)
bins = np.linspace(0, 1, 51)
for values, name, (colour, _, line) in (
    (found.control, "ALL with HEM", figures.LOOKS[0]),
    (found.pairs["ncc"], "one class, two names", figures.LOOKS[1]),
):
    label = f"{name}, {len(values):,} pairs"
    axis.hist(values, bins, histtype="step", color=colour, linestyle=line, label=label)
axis.axvline(people.TWIN, color="#7F7F7F", linewidth=1)
axis.set(xlabel="correlation of the grain", ylabel="pairs", yscale="log")
axis.set_ylim(0.5, 999)
figures.log_ticks(axis.yaxis)
figure.legend(loc="outside upper left", ncols=2)
figure

# %% [markdown]
# Not one of the {glue:text}`n-control` control pairs reaches the cut, and beyond it stand {glue:text}`n-found` pairs of two
# names: all that were put into the sample. A larger search, through every picture at hand and by a slightly other grain, ended
# with {glue:text}`n-pixel` pairs. There the largest of the control pairs reached 0.77, so only pairs above 0.80 prove
# anything: {glue:text}`n-sure`. They were looked at by eye, and four look-alikes, small round cells without grain, were put aside.
# The {glue:text}`n-weak` weaker pairs are of H14 and H24, who have {glue:text}`n-theirs` above 0.80. A second proof came for free: the numbers of the smears
# run in parallel. Look at the titles in {numref}`fig-dataset-twins`.
#
# ## Who is whom
#
# Names that share a cell we count as one person. Four joins hang on one cell each, where a file under a wrong name would
# look the same. Joining is safe for a split, but a wrong join hides a person. {numref}`fig-dataset-who` draws
# them, and `people.person` gives the person behind a name:
#
# :::{figure} ../book/_static/who_is_whom.svg
# :name: fig-dataset-who
# :alt: Names of one person joined by lines across the three folds and the preliminary test, with the number of pairs of files that show it.
#
# The people who stand in C-NMC 2019 under several names, HEM in blue and ALL in vermilion. The names between two grey lines
# are one person; the numbers count pairs of files that show one cell.
# :::

# %%
person = people.person(published["subject"])
two_folds = published["fold"] < 2
in_both = set(person[published["fold"] == 0]) & set(person[published["fold"] == 1])
print(published["subject"].nunique(), "names,", person.nunique(), "people at most")
print(person[two_folds].nunique(), "people in folds 0 and 1")
print("of whom in both folds:", ", ".join(sorted(in_both)))

# %% tags=["remove-cell"]
every_pair = pd.concat([people.byte_twins(), people.pixel_twins()])
linked = pd.concat([every_pair[f"file_{side}"].str.upper() for side in "ab"], axis=1)
names = linked.apply(lambda of: of.str.split("_").str[1])
its_files = linked[names["file_a"] != names["file_b"]].stack().unique()
n_linked = pd.Series(its_files).str.split("_").str[1].value_counts()
assert set(n_linked.index[n_linked == 1]) == {"16", "18", "H6", "H3", "H10"}

# %% [markdown]
# So "train on fold 0, test on fold 1" is not a test on new people. Nor are the test sets clean. Patient 55 of the
# challenge's preliminary test is subject 51 of the training set, and the final test holds cells of subject 51 as well.
# There may be more such pairs: fold 2 and the test sets could be compared in part only. We have seen it reported nowhere
# else.
#
# This book counts **people** from here on: every split by people, and every interval by people, uses the merged names.

# %% [markdown]
# ## Divide people
#
# The cure for leakage is to deal out people instead of pictures. We take folds 0 and 1 together, deal their
# {glue:text}`n-people-01` people into five groups with about equally many pictures, and test on one group after the other; another
# group validates, and the other three train. Each such turn is a **round**.

# %%
both = published[two_folds]
rounds = splits.patient_disjoint_split(both)

# %% [markdown]
# Who is tested in each round, and how many of the pictures tested are of a person in training:

# %% tags=["hide-input"]
rows = {}
for number, deal in enumerate(rounds):
    tested = both[deal == "test"].assign(person=person)
    hem, all_ = tested.groupby("label")["person"].nunique()
    leaked = splits.leakage(both, deal)["person"]
    rows[f"round {number}"] = f"{len(tested):,}", hem, all_, f"{leaked:.0%}"
columns = ["pictures tested", "HEM people", "ALL people", "person in training"]
pd.DataFrame(rows, columns).T

# %% [markdown]
# No leak that we know of is left. But look at the price: with so few healthy people a round tests on {glue:text}`fewest-hem` to
# {glue:text}`most-hem` of them, and its result hangs on *which*. No number of pictures helps. That is why every result by people in this book carries an
# interval over people. What the change does you have seen in [A first look](00_first_look.ipynb): the same recipe
# falls from {glue:text}`known` to {glue:text}`new`, in part perhaps because a round trains on fewer pictures and people.
#
# The check is there for any split of this data set, your own for one: `allm data leakage my_split.csv` takes a table of files and
# parts, and names every person, smear and twin that stands in two of them.

# %% tags=["remove-cell"]
headline = scorecard.headline(Runs.load())
glue("known", f"{headline.loc['known people', 'value']:.2f}", display=False)
glue("new", f"{headline.loc['new people', 'value']:.2f}", display=False)
glue("n-people-01", int(person[two_folds].nunique()), display=False)
glue("n-control", f"{len(found.control):,}", display=False)
glue("n-found", len(found.pairs), display=False)

# %% tags=["remove-cell"]
found_before = people.pixel_twins()
weak = found_before.loc[found_before["ncc"] < 0.8, ["file_a", "file_b"]].to_numpy()
assert all(file.startswith(("UID_H24_", "UID_H14_")) for file in weak.ravel())
glue("n-pixel", len(found_before), display=False)
glue("n-weak", len(weak), display=False)
glue("n-sure", int((found_before["ncc"] > 0.8).sum()), display=False)
sure = found_before.query("ncc > 0.8 and file_a.str.contains('_H24_')")
assert sure["file_b"].str.contains("_H14_").all()
glue("n-theirs", len(sure), display=False)
assert 0.45 < found.control.max() < people.TWIN
assert run.data or len(found.pairs) == sample.N_TWINS
sides = (people.person(found.pairs[f"subject_{side}"]) for side in "ab")
assert pd.Series.equals(*(side.rename(None) for side in sides))
healthy_people = [row[1] for row in rows.values()]
assert all(row[3] == "0%" for row in rows.values())
glue("fewest-hem", int(min(healthy_people)), display=False)
glue("most-hem", int(max(healthy_people)), display=False)

# %% [markdown]
# ## The ruler
#
# One property of the pictures needs no network. The background is exactly black, so a cell is what is not black, and its
# area can be counted. {numref}`fig-dataset-area` shows it by class.

# %% mystnb={"figure": {"caption": "Area of the cell by class. Real cells of C-NMC 2019, those of this page.", "name": "fig-dataset-area"}, "image": {"alt": "Two overlapping histograms. HEM cells, hatched, are smaller on the whole than ALL cells."}}
area = np.array([images.read(path).any(axis=-1).sum() for path in frame["path"]])
measured = {"": (area / 1000, frame["label"])}
figures.histogram(measured, "area of the cell, thousand pixels", source=run.source)

# %% [markdown]
# How good a classifier is the area alone? Draw one ALL cell and one HEM cell: how likely is the ALL cell the larger? This
# chance is called {term}`ROC-AUC`; [chapter 6](06_evaluation.ipynb) draws the curve that gave it the name. A coin gets 0.5.

# %%
auc = roc_auc_score(frame["label"].astype(int), area)
print(f"ROC-AUC of the area: {auc:.3f}, {len(frame)} cells of this page")

# %% [markdown]
# That takes no colour, no texture and no training. Leukemic cells often *are* large, so this is partly medicine. But a
# network has to be compared with this **ruler**, not with a coin, and the ruler stands beside every network of this book.
#
# ## Paper and us
#
# Table 1 of the paper, counted again; each entry reads *paper / ours*.

# %% tags=["hide-input"]
scorecard.table("Table 1")

# %% tags=["remove-cell"]
parted = scorecard.lines("Table 1").query("not what.str.endswith('total')")
assert len(parted) == 18 and parted["verdict"].eq("reproduced").all()
glue("n-sample", sample.N_CELLS + sample.N_OUTSIDE, display=False)

# %% [markdown]
# The counts are right. What they mean is another matter; [the errata](../book/errata.md) have the
# rest.
#
# | the paper says | we find |
# |---|---|
# | "blood smears with resolution of 450 × 450" | single cells; those of the final test set are 600 × 600 |
# | 47 + 26 patients | {glue:text}`n-names` names of at most {glue:text}`n-people` people |
# | folds "independently preprocessed and divided" | three models, each on a third of the data; within it, nobody is kept out of training |
# | "held-out test set" | every test picture has its person in training |
#
# ## Get all the cells
#
# The package ships a sample of {glue:text}`n-sample` cells. The whole set is published by The Cancer Imaging Archive and
# on Kaggle: one command, no account, 10.4 GB.
#
# ```bash
# allm data download cnmc     # training and both test sets
# allm data verify cnmc       # every training file against the published hashes
# export ALLM_DATA=$PWD/cnmc  # the chapters now use all cells
# ```
#
# The licence is CC BY 3.0. Cite the data set {cite:p}`gupta2019` and the archive {cite:p}`clark2013`; the organisers
# also ask for their papers on the stain {cite:p}`gupta2020` and on the cells {cite:p}`duggal2017`.

# %% [markdown]
# ## Exercises
#
# ### 1. Predict, then run
#
# A careful author knows about leakage, but not about twins. She divides folds 0 and 1 by *name*: five rounds, no name on
# both sides. In how many per cent of her test pictures is the *person* still in training? Write down a number.

# %% tags=["setup"]
mine = published[published["fold"] < 2]


def still_in_training(names):
    """Per cent of the test pictures whose person is in training, in five rounds."""
    who = people.person(mine["subject"]).to_numpy()
    five = GroupKFold(5).split(mine, groups=names)
    return [100 * np.isin(who[test], who[train]).mean() for train, test in five]


# %% tags=["exercise"]
guess = ...  # per cent, mean over the five rounds

# %% tags=["check"]
shares = still_in_training(mine["subject"])
exercises.check(exercises.check_guess, guess, np.mean(shares), 5)

# %% tags=["solution", "hide-cell"]
shares = still_in_training(mine["subject"])
print("per cent, by round:", *(f"{share:.0f}" for share in shares))
by_person = still_in_training(people.person(mine["subject"]))
print("divided by person:  ", *(f"{share:.0f}" for share in by_person))
exercises.check(exercises.check_guess, 18, np.mean(shares), 5)

# %% [markdown]
# ### 2. Change, and explain
#
# Was it bad luck that every test person was in training? Change the seed of the paper's shuffle, and watch
# fold 1. Then say what it was: `"luck"` or `"rule"`.

# %% tags=["setup"]
fold_1 = published[published["fold"] == 1]

# %% tags=["exercise"]
seed = 2
because = ...  # "luck" or "rule"

# %% tags=["check"]
met = splits.leakage(fold_1, splits.paper_split(fold_1, seed))["person"]
print(f"test pictures whose person is in training: {met:.1%}")
exercises.check(exercises.check_guess, because, "rule")

# %% tags=["solution", "hide-cell"]
for seed in range(5):
    met_again = splits.leakage(fold_1, splits.paper_split(fold_1, seed))["person"]
    print(f"seed {seed}: {met_again:.1%}")
exercises.check(exercises.check_guess, "rule", "rule")

# %% [markdown]
# :::{dropdown} Why
# A person with $n$ pictures escapes the training only if all of them fall among the 30 % that are not in it: a chance
# of about $0.3^n$. With nine pictures or more each, that practically never happens, whatever the seed.
# :::
#
# ### 3. Read a file name
#
# Write `parse(name)`. It takes a name such as `UID_H11_30_2_hem.bmp` and returns subject (text, with its H), smear (int),
# cell (int) and label (0 for HEM, 1 for ALL). Mind subject `h3`.


# %% tags=["exercise"]
def parse(name):
    """Return (subject, smear, cell, label) of a C-NMC file name."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(parse)


# %% tags=["solution", "hide-cell"]
def parse(name):
    """Return (subject, smear, cell, label) of a C-NMC file name."""
    _, subject, smear, cell, kind = name.removesuffix(".bmp").split("_")
    return subject.upper(), int(smear), int(cell), int(kind == "all")


exercises.check(parse)

# %% [markdown]
# ### 4. Measure a leak
#
# Write `smear_leak(train, test)`. Both are tables with the columns `subject` and `smear`. Return the share of the rows of
# `test` whose smear photograph also has a row in `train`. Smears are numbered anew for each subject. Then ask it
# about the published folds: does it agree with the table above?


# %% tags=["exercise"]
def smear_leak(train, test):
    """Return the share of test rows whose smear is also in train."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(smear_leak)


# %% tags=["solution", "hide-cell"]
def smear_leak(train, test):
    """Return the share of test rows whose smear is also in train."""
    known = set(zip(train["subject"], train["smear"], strict=True))
    asked = zip(test["subject"], test["smear"], strict=True)
    return np.mean([smear in known for smear in asked])


exercises.check(smear_leak)
paper_split = splits.paper_split(published)
for fold in range(3):
    train, test = (
        published[(published["fold"] == fold) & (paper_split == name)]
        for name in ("train", "test")
    )
    print(f"fold {fold}: {smear_leak(train, test):.1%}")

# %% [markdown]
# ## Quiz
#
# :::{dropdown} A set has 10,000 pictures of 70 people. How large is the sample?
# For the question "does it work for the next person?", about 70, and fewer where a few of them own most pictures. A second
# picture of the same slide adds little.
# :::
#
# :::{dropdown} Nobody has cells of both classes. Why does that matter for a split by picture?
# Because recognising the person is enough. If the person is in training, a network may remember the slide instead of
# learning the disease, and the test rewards it.
# :::
#
# :::{dropdown} Two cells of two names correlate at 0.45. One person?
# You cannot say. Pairs of an ALL and a HEM cell, which are certainly two people, reach as much. Without the control the
# number means nothing.
# :::
#
# :::{dropdown} The search finds no twin between two names. Two people?
# Not proven. It finds *the same cell* twice, not the same person: somebody may have given two smears with no cell in
# common. The number of people is an upper bound.
# :::
#
# ## Take away
#
# - C-NMC 2019 asks one question of one cell: leukemic (ALL) or healthy (HEM)?
# - Count people: {glue:text}`n-images` pictures, {glue:text}`n-names` names, at most {glue:text}`n-people` people, and nobody
#   with cells of both classes.
# - Table 1 is `int(0.7 n)`, `int(0.1 n)` and the rest. The rule divides pictures, so every test person is in training.
# - Bytes find copies, pixels find a cell that was photographed twice, and a control says how alike is alike enough.
# - The ruler, area alone, is what a network has to beat.
#
# ## Further reading
#
# - {cite:t}`gupta2019`, the data set; {cite:t}`gupta2019isbi`, the proceedings of its challenge, where several teams note
#   the size of the ALL cells.
# - {cite:t}`gehlot2020`, a model by the makers of the data, tested on subjects kept apart.
# - {cite:t}`kapoor2023`, leakage in seventeen fields of science.
