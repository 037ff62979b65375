# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # ALNett and its peers
#
# After this chapter you can compare two classifiers on the same cells, say how sure you are that they differ, and tell
# a comparison of networks from a comparison of numbers.
#
# > **You will learn**
# > - what is public of ALNett, the network that the paper measures itself against, and what is not;
# > - what dilation is, and how far a network sees;
# > - what VGG16, ResNet-50, GoogLeNet and AlexNet cost beside MobileNet_M;
# > - how McNemar's test compares two classifiers, and why cells of one person break it;
# > - why a comparison needs controls, and which rows of Tables 10 and 11 are none at all.
# >
# > **Before you start:** [MobileNet_M](04_mobilenet_m.ipynb) and [Evaluation](06_evaluation.ipynb).
# >
# > **Run time:** about 30 s on two CPU cores; GPU: not needed.

# %% tags=["setup"]
import os
from itertools import product

import keras
import numpy as np
import pandas as pd
from keras import layers
from myst_nb import glue

from allm_utils.book import exercises, figures, paper, profile, scorecard
from allm_utils.data import images, sample
from allm_utils.judge import metrics
from allm_utils.judge.predict import predict
from allm_utils.network import models, saving
from allm_utils.runs import probe
from allm_utils.runs.records import RESULTS, Runs, aligned

pd.set_option("display.max_colwidth", None)
run = profile.banner()
runs = Runs.load()

# %% [markdown]
# ## In brief
#
# Trained as the paper says, MobileNet_M is more than ten points of accuracy ahead of our imitation of ALNett, which had pictures
# of half the width, began with random weights, and was best in epoch {glue:text}`best-0` on fold 0, {glue:text}`best-1` on fold 1. At equal pixels, on fold 1, it leads by {glue:text}`fair` points, and p by
# person is {glue:text}`p-fair`. And look at the other rows of {numref}`fig-alnett-brief`. Boosted trees on hand-made measures,
# such as area, roundness and colour, are fitted in seconds and **cannot be told from MobileNet_M on fold 0**: accuracy {glue:text}`trees-0` against {glue:text}`net-0`. And in
# balanced accuracy at 0.5 the imitation is hardly better than the {term}`ruler`, the area of the cell alone. But the ruler was
# fitted to weigh both classes alike, as the trees were. In accuracy the imitation leads by five to six points, in
# {term}`ROC-AUC` by two to four hundredths. A rival that a ruler nearly matches proves little, whoever beats it.

# %% tags=["setup", "hide-input"]
NAMES = {
    "mobilenet_m": "MobileNet_M",
    "probe_handmade": "trees, hand-made measures",
    "probe_mobilenet": "linear probe",
    "alnett_style": "ALNett-style (ours)",
    "area": "area alone",
}
tested = {}
for fold, name in product((0, 1), NAMES):
    own = {"mobilenet_m": "table5", "alnett_style": "alnett_style"}
    wanted = {"experiment": own.get(name, "probe"), "protocol": "paper", "seed": 1337}
    tested[fold, name] = runs.where(model=name, fold=fold, **wanted).one()

# %% mystnb={"figure": {"caption": "Balanced accuracy of five classifiers on the same test cells, of people who are in training too, with 95 % intervals by person. One training each. ALNett-style is our reconstruction, not ALNett, at 112 pixels. The line at 0.5 is what answering without looking gets. From our records.", "name": "fig-alnett-brief"}, "image": {"alt": "Five rows, two folds each. MobileNet_M leads at about 0.94; the trees follow within two points on fold 0 and four on fold 1, the linear probe at about 0.87, ALNett-style and the area alone near 0.8."}} tags=["hide-input"]
dots = []
for (fold, name), one in tested.items():
    ends = one.intervals(by="person")["balanced_accuracy"]
    value = one.metrics()["balanced_accuracy"]
    dots.append((NAMES[name], f"fold {fold}", value, *ends))
figures.intervals(dots, "balanced accuracy", line=0.5, digits=2)

# %% tags=["remove-cell"]
score = {key: one.metrics() for key, one in tested.items()}
for fold in (0, 1):
    mine = pd.DataFrame({name: score[fold, name] for name in NAMES})
    for name, short in {"probe_handmade": "trees", "mobilenet_m": "net"}.items():
        glue(f"{short}-{fold}", f"{mine[name]['accuracy']:.3f}", display=False)
    ranked, plain, auc = mine.loc[["balanced_accuracy", "accuracy", "roc_auc"]].values
    assert ranked[0] > ranked[1] > ranked[2] and abs(ranked[3] - ranked[4]) < 0.03
    assert np.allclose(ranked, (0.94, 0.91, 0.87, 0.8, 0.8), atol=0.03)
    assert plain[0] > plain[3] + 0.1 and 0.05 < plain[3] - plain[4] < 0.07
    assert 0.015 < auc[3] - auc[4] < 0.045

# %% [markdown]
# ## What is known of ALNett
#
# **ALNett** {cite:p}`jawahar2022` is a small network made for these very cells. To compare it with anything, we would
# have to build it. Can we?
#
# | known, from its abstract and from the paper | not known |
# |---|---|
# | depthwise convolutions with *different dilation rates* | which rates, how many, side by side or in a row |
# | *cluster layers*: convolution and max-pooling, then a normalisation | how many clusters, filters, kernel sizes |
# | accuracy 91.13 %, F1 0.96 | the split, augmentation, optimiser, batch, epochs |
# | "less computational complexity" than four large networks | parameters, input size |
#
# We found neither code nor an open text. So we *cannot* build ALNett. We can build a network of the layers on the left that
# also needs less computation than those four. We call it **ALNett-style**, and everything on the right is our choice. Its
# results are ours, and never stand in a row of ALNett.
#
# ## Holes in a filter
#
# A 3 × 3 filter looks at nine pixels that touch. Pull the nine apart, and it looks at a wider window *with the same nine
# weights*. The distance is the {term}`dilation` rate {cite:p}`yu2016`. With $K$ weights per side and rate $d$ the window is
#
# $$ W = (K - 1)\, d + 1 $$ (eq-alnett-window)
#
# pixels wide. Do not take our word for it: show a layer a picture with one bright pixel, and see where it answers.

# %%
dot = np.zeros((1, 9, 9, 1), np.float32)
dot[0, 4, 4] = 1
answers = {}
for rate in (1, 2, 3):
    look = layers.DepthwiseConv2D(3, padding="same", dilation_rate=rate)
    answers[f"rate {rate}"] = np.array(look(dot))[0, ..., 0] != 0

# %% mystnb={"figure": {"caption": "Where a 3 \u00d7 3 layer answers (filled) to a single bright pixel in the middle, at three dilation rates. No data.", "name": "fig-alnett-dilation"}, "image": {"alt": "Three grids with nine dark squares each: touching at rate 1, with one empty square between them at rate 2, with two at rate 3."}} tags=["hide-input"]
figure, axes = figures.new(1, 3, 1.9)
for axis, (title, dark) in zip(axes, answers.items(), strict=True):
    axis.pcolormesh(~dark, cmap="gray", edgecolors="#7F7F7F", vmin=-0.3)
    axis.set(aspect="equal", xticks=[], yticks=[], title=title)
figure

# %% [markdown]
# Layers stack, and each widens the view. The {term}`receptive field` is the part of the picture on which one number
# inside the network depends. A layer with window $W_i$ adds $W_i - 1$ steps, and the length of a step is the product of all
# strides $s_j$ before the layer:
#
# $$ R = 1 + \sum_i (W_i - 1) \prod_{j < i} s_j $$ (eq-alnett-reach)
#
# Five clusters, each a filter and then a 2 × 2 pooling of stride 2: how far does {eq}`eq-alnett-reach` reach with the
# windows 3 and 7 of rates 1 and 3?

# %%
for window in (3, 7):
    seen, step = 1, 1
    for _ in range(5):
        seen += (window - 1) * step + (2 - 1) * step  # the filter, the pooling
        step *= 2
    print(f"window {window}: {seen} of 224 pixels")

# %% [markdown]
# In a picture of 224 pixels a cell is some {glue:text}`wide` pixels wide. With dilation the last cluster sees all of it; without
# dilation it does not. At the 112 pixels of our records a cell is half as wide, and both see it whole. The number of weights is
# the same. The price is the holes: a filter with holes can miss a small thing. So several rates stand side by side.
#
# :::{figure} ../book/_static/cluster.svg
# :name: fig-alnett-cluster
# :alt: Boxes: three depthwise convolutions with dilation 1, 2 and 3 side by side, joined, then a 1 by 1 convolution with ReLU, 2 by 2 max-pooling and batch normalisation.
#
# One cluster of our ALNett-style network: our reading of the abstract.
# :::
#
# Here is the whole network in Keras:


# %%
def cluster(x, filters):
    found = [layers.DepthwiseConv2D(3, padding="same", dilation_rate=d)(x)
             for d in (1, 2, 3)]  # fmt: skip
    x = layers.Conv2D(filters, 1, activation="relu")(layers.Concatenate()(found))
    return layers.BatchNormalization()(layers.MaxPooling2D()(x))


# %%
pixels = x = keras.Input((224, 224, 3))
x = layers.Rescaling(1 / 255)(x)
for filters in (32, 64, 128, 256, 512):
    x = cluster(x, filters)
x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
by_hand = keras.Model(pixels, layers.Dense(2, activation="softmax")(x))
style = models.BUILDERS["alnett_style"](weights=None)
assert by_hand.count_params() == style.count_params()

# %% [markdown]
# ## The peers of Fig. 9
#
# The paper's Fig. 9 has four more networks: VGG16 {cite:p}`simonyan2015`, ResNet-50 {cite:p}`he2016`, GoogLeNet
# {cite:p}`szegedy2015` and AlexNet {cite:p}`krizhevsky2012`. Their bars were "reported in Jawahar et al.": the paper did
# not train them, and prints no numbers. The package has all six, each with a head of two probabilities:

# %%
costs = {}
named = "MobileNet_M", "ALNett-style", "VGG16", "ResNet-50", "GoogLeNet", "AlexNet"
for name, build in zip(named, models.BUILDERS.values(), strict=True):
    peer = build(weights=None)
    costs[name] = peer.count_params() / 1e6, models.multiply_adds(peer) / 1e6
counted = ["parameters, million", "multiply-adds, million"]
costs = pd.DataFrame(costs, counted).T.sort_values("parameters, million")
costs.map("{:,.1f}".format)

# %% mystnb={"figure": {"caption": "What the networks of the paper's Fig. 9 cost at 224 pixels, with our head. Counted from the networks; no data.", "name": "fig-alnett-networks"}, "image": {"alt": "Six points on logarithmic axes. ALNett-style is lowest left, MobileNet_M next, then AlexNet and GoogLeNet; ResNet-50 has the most parameters and VGG16 by far the most multiply-adds."}} tags=["hide-input"]
figure, axis = figures.new(height=3.6)
axis.loglog(*costs.T.to_numpy(), "o", color="black")
axis.margins(0.15)
for name, place in costs.iterrows():
    axis.annotate(name, place, (0, 8), textcoords="offset points", ha="center")
for side, label in zip((axis.xaxis, axis.yaxis), counted, strict=True):
    figures.log_ticks(side)
    side.set_label_text(label)
figure

# %% tags=["remove-cell"]
work = costs["multiply-adds, million"]
glue("times", f"{work['VGG16'] / work['MobileNet_M']:.0f}", display=False)
assert costs.idxmax().tolist() == ["ResNet-50", "VGG16"] and work.idxmin() == named[1]

# %% [markdown]
# VGG16 does {glue:text}`times` times the work of MobileNet_M. In their original form VGG16 and AlexNet are larger still;
# we cut their fully connected layers off. GoogLeNet and AlexNet got {term}`batch normalisation`, so that they train from
# random weights. None of the four has a record here: what they *cost* we know, how *good* they are on these cells
# we do not.
#
# ## Two classifiers, the same cells
#
# Is one classifier better than another? Ask both about the **same** cells. Here are our shipped network and the ruler, on
# the cells of this page that the network never trained on. The ruler learned from the others.

# %%
network, card = saving.load(RESULTS / "models" / "images.safetensors")
record = runs.where(experiment="same-recipe", protocol="paper").one()
frame = run.frame()
test = frame["path"].map(os.path.basename).isin(record.rows()["file"]).to_numpy()
pictures = images.load(frame, 224, 300, run.work / "images", progress=False)
areas, labels = probe.area(pictures), frame["label"].to_numpy(int)
ruler = probe.linear().fit(areas[~test], labels[~test])

# %%
here = pd.DataFrame({"label": labels[test]})
here["network"] = predict(network, pictures[test])
here["ruler"] = ruler.predict_proba(areas[test])[:, 1]
right = here[["network", "ruler"]].ge(0.5).eq(here["label"] == 1, axis=0)
said = right.replace({True: "right", False: "wrong"})
figures.table(pd.crosstab(*(f"{name} " + said[name] for name in said)), "cells")

# %% tags=["remove-cell"]
wide = 2 * np.sqrt(areas.mean() / np.pi)
glue("wide", f"{wide:.0f}", display=False)
assert 94 < wide < 2 * 94 < 218 and right["network"].sum() > right["ruler"].sum()

# %% mystnb={"figure": {"caption": "Test cells of this page that only the network calls rightly (above), and that only the ruler does (below), with their class. Real cells of C-NMC 2019, those of this page; below them the people.", "name": "fig-alnett-cells"}, "image": {"alt": "Two rows of cells titled with their class. In the upper row a large healthy cell and leukemic ones of middling size; in the lower row cells that only the ruler calls rightly, all of them healthy."}} tags=["hide-input"]
only = [right["network"] & ~right["ruler"], right["ruler"] & ~right["network"]]
found = [np.flatnonzero(one) for one in only]
rows = np.concatenate([f[np.linspace(0, len(f) - 1, 5, dtype=int)] for f in found])
titles = here["label"].map({0: "HEM", 1: "ALL"})[rows]
credit = f"{run.credit}\n{sample.people_shown(frame[test].iloc[rows])}"
figures.cells(pictures[test][rows], titles, 5, rows=("network", "ruler"), source=credit)

# %% [markdown]
# The cells that both call rightly do not say who is better. Nor do those that both get wrong. What counts are the two other
# fields: **only A right**, $b$ cells, and **only B right**, $c$ cells. If A and B were equally good, each of these
# $b + c$ cells would be the toss of a coin. How unlikely is a toss as lopsided as ours? That is
# {term}`McNemar's test` {cite:p}`mcnemar1947`:
#
# $$ p = \min\Bigl(1,\; 2 \sum_{k=0}^{\min(b,c)} \binom{b+c}{k} 2^{-(b+c)} \Bigr) $$ (eq-alnett-mcnemar)
#
# On record, with the whole test part of fold 1: A is MobileNet_M, B our ALNett-style network.

# %%
both = aligned(tested[1, "mobilenet_m"], tested[1, "alnett_style"])
pair = both["label"], both["p_a"], both["p_b"]
mcnemar = metrics.paired_test(*pair)
print("only A right {only_a}, only B {only_b}: p = {pvalue:.0e}".format(**mcnemar))

# %% [markdown]
# From 25 such cells on, the package takes the usual approximation by the chi-squared distribution. A coin would practically
# never do this. Case closed?
#
# ## Cells of one person are not coins
#
# McNemar's test tosses one coin per cell, so it takes the cells to be **independent**. But they are the cells of a handful
# of people. If a network has trouble with the stain of one smear, it has trouble with all cells on it. What
# happens to the test then? Let us make a world where the answer is known: twelve people, forty cells each. In 15 % of the
# cells exactly one of A and B is right. They are equally good **on average**, but in each person one of them happens to be
# ahead. An honest test at the level of 5 % raises a false alarm in at most 5 % of such worlds.


# %%
def world(rng, person):
    lean = rng.random(12)[person]  # of the cells that tell: the share that A gets right
    telling, heads = rng.random(480) < 0.15, rng.random(480) < lean
    return (~telling | heads).astype(float), (~telling | ~heads).astype(float)


# %%
rng, truth = np.random.default_rng(0), np.ones(480)
person = np.repeat(np.arange(12), 40)
p_values = []
for a, b in (world(rng, person) for _ in range(200)):
    by_person = metrics.paired_test_by_person(truth, a, b, person)
    p_values.append((metrics.paired_test(truth, a, b)["pvalue"], by_person["pvalue"]))
alarms = (np.array(p_values) < 0.05).mean(axis=0)
print(f"false alarms: {alarms[0]:.0%} by cell (McNemar), {alarms[1]:.0%} by person")

# %% tags=["remove-cell"]
assert alarms[0] > 0.15 and alarms[1] < 0.1

# %% [markdown]
# McNemar's test sees 480 witnesses where there are twelve. The test by person is a {term}`permutation test`. Count for each
# {term}`person` how many more cells A gets right than B. Were both equally good, they could as well have swapped names
# *in that person*, which flips the sign of the count. So flip the signs in all possible ways, and see how often the
# sum is as far from zero as the one we found. With $S$ people there are $2^S$ ways, so p cannot fall below $2^{1-S}$: three
# people can prove nothing, however many cells they have. On fold 1:

# %%
swapped = metrics.paired_test_by_person(*pair, both["person"])
print(f"{swapped['people']} people, p = {swapped['pvalue']:.3f}")

# %% mystnb={"figure": {"caption": "Test cells of fold 1 that only one of two networks calls rightly, by person; names joined by + are one person, H marks the healthy. ALNett-style is our reconstruction. From our records, seed 1337.", "name": "fig-alnett-people"}, "image": {"alt": "Bars to the left for MobileNet_M and to the right for ALNett-style, one row per person. Three healthy people have long bars to the left and two patients shorter ones; most people have bars of a few cells."}} tags=["hide-input"]
hits = pd.DataFrame({"a": pair[1].ge(0.5) == pair[0], "b": pair[2].ge(0.5) == pair[0]})
lone = pd.DataFrame({"a": hits["a"] & ~hits["b"], "b": hits["b"] & ~hits["a"]})
lone = lone.groupby(both["person"]).sum().sort_values("a")
figure, axis = figures.new(height=1 + 0.24 * len(lone))
axis.barh(lone.index, -lone["a"], color="#7F7F7F", label="only MobileNet_M right")
axis.barh(lone.index, lone["b"], color="#CC79A7", label="only ALNett-style right")
axis.xaxis.set_major_formatter(lambda x, _: f"{abs(x):.0f}")
axis.set_xlabel("test cells")
axis.legend(loc="lower left")
figure

# %% tags=["remove-cell"]
lead = lone["a"] - lone["b"]
ahead = lead[lead > 0]
glue("lead-of-three", f"{ahead.nlargest(3).sum()} of {ahead.sum()}", display=False)
assert lead.nsmallest(12).sum() < lead.sum() / 2 and mcnemar["pvalue"] < 1e-10
assert 0.05 < swapped["pvalue"] < 0.06 and len(ahead) == 7
assert set(both["person"][both["label"] == 0]) == set(lead.nlargest(3).index)
glue("p-whole", f"{swapped['pvalue']:.3f}", display=False)

# %% [markdown]
# By person p is {glue:text}`p-whole`. MobileNet_M leads in seven of fourteen people, and {glue:text}`lead-of-three` cells of its
# lead in these come from three of them, all the healthy people that fold 1 has. Many cells are not many witnesses.
#
# ## The comparison, with controls
#
# The lead over one rival means little until we know what goes *without training a network*. A **{term}`control`** is a
# classifier that lacks what is to be judged. We have three: the area alone; a {term}`linear probe` on the features of a
# MobileNet that never saw a blood cell; and boosted trees on hand-made measures of size, shape, colour and texture.


# %% tags=["hide-input"]
def compare(a, b):
    both = aligned(a, b)
    pair = both["label"], both["p_a"], both["p_b"]
    by_cell = metrics.paired_test(*pair)
    by_person = metrics.paired_test_by_person(*pair, both["person"])
    gap = metrics.paired_intervals(*pair, both["person"])["accuracy"]
    points = "{:.1f} ({:.1f} to {:.1f})".format(*(100 * x for x in gap))
    alone = by_cell["only_a"], by_cell["only_b"]
    return [*map("{:,}".format, alone), points, by_cell["pvalue"], by_person["pvalue"]]


# %% tags=["hide-input"]
table = {}
for (fold, name), other in tested.items():
    if name != "mobilenet_m":
        table[fold, NAMES[name]] = compare(tested[fold, "mobilenet_m"], other)
heads = ["only A right", "only B right", "A ahead, points of accuracy", "p by cell"]
table = pd.DataFrame(table, [*heads, "p by person"]).T.rename_axis(["fold", "other"])
p_columns = ["p by cell", "p by person"]


def printed_p(p):
    return f"{p:.3f}" if p >= 0.001 else "<\N{NO-BREAK SPACE}0.001"


figures.table(table.assign(**table[p_columns].map(printed_p)))

# %% tags=["remove-cell"]
tie = aligned(tested[0, "mobilenet_m"], tested[0, "probe_handmade"])
gap = metrics.paired_intervals(tie["label"], tie["p_a"], tie["p_b"], tie["person"])
assert all(gap[key][1] < 0 < gap[key][2] for key in ("accuracy", "roc_auc"))
p_of = table[p_columns].astype(float)
assert (p_of.loc[(0, NAMES["probe_handmade"])] > 0.3).all()
near = p_of.loc[(1, NAMES["probe_handmade"])]
assert near["p by cell"] < 0.01 and 0.03 < near["p by person"] < 0.05
glue("p-near", f"{near['p by person']:.3f}", display=False)
for fold in (0, 1):
    seeds = scorecard.paper_runs(runs, fold)
    least, _, most = sorted(one.metrics()["accuracy"] for one in seeds)
    glue(f"span-{fold}", f"{least:.3f} to {most:.3f}", display=False)
    assert (least < score[fold, "probe_handmade"]["accuracy"] < most) == (fold == 0)
assert p_of.loc[(0, NAMES["alnett_style"])].max() < 0.001

# %% [markdown]
# A is MobileNet_M; in brackets stand 95 % {term}`intervals <interval>` by person. Read it from the bottom of each fold:
#
# - The **area alone** is beaten clearly, by both tests. So is the linear probe.
# - **The trees cannot be told from MobileNet_M on fold 0.** Neither test sees a difference. Three {term}`seeds <seed>` of MobileNet_M have
#   {glue:text}`span-0` there, and the trees' {glue:text}`trees-0` lies between them. The other seeds
#   deal other test cells, so this is a scale and no pairing.
# - On **fold 1** the network is ahead of the trees. By person p is {glue:text}`p-near`, one of eight tests. Its three
#   seeds have {glue:text}`span-1`, the trees {glue:text}`trees-1`.
# - In **ALNett-style on fold 1** interval and test disagree: one excludes zero, the other does not exclude chance. With
#   fourteen people an interval drawn from them is too short. Believe the more careful of the two.
#
# And before you believe the row of ALNett-style at all, four cautions. Its pictures have **half the width**. It starts from
# **random weights**. It was trained once, for twelve epochs, and the weights kept are those of epoch {glue:text}`best-0` on
# fold 0 and of epoch {glue:text}`best-1` on fold 1. And the tests know only other *cells* and *people*, not other *trainings*
# {cite:p}`dietterich1998`. So on fold 0 they say that *this recipe* beats *that one*; on fold 1 the test by person
# does not. Neither says anything about ALNett.

# %% tags=["remove-cell"]
for fold in (0, 1):
    glue(f"best-{fold}", int(tested[fold, "alnett_style"].data["best_epoch"]) + 1)
small = runs.where(experiment="ablation-mac", seed=1337).one()
fair = aligned(small, tested[1, "alnett_style"])
pair_112 = fair["label"], fair["p_a"], fair["p_b"]
by_112 = metrics.paired_test_by_person(*pair_112, fair["person"])
glue("fair", f"{100 * by_112['difference']:.1f}", display=False)
glue("p-fair", f"{by_112['pvalue']:.2f}", display=False)
assert metrics.paired_test(*pair_112)["pvalue"] < 0.001 and by_112["pvalue"] > 0.1

# %% [markdown]
# A fairer rival is MobileNet_M at the same 112 pixels, with eight short epochs. On fold 1 it leads ALNett-style by
# {glue:text}`fair` points of accuracy. By cell p is below 0.001, by person it is {glue:text}`p-fair`.
#
# All this is about **known people**. What of new ones? Five {term}`rounds <round>` by people, folds 0 and 1, every person tested once:

# %% tags=["hide-input"]
new = runs.where(protocol="patient-disjoint")
network_new, table_new = new.where(experiment="same-recipe"), {}
for name in ("probe_handmade", "probe_mobilenet", "area"):
    other = new.where(experiment="probe", model=name)
    table_new[NAMES[name]] = compare(network_new, other)
table_new = pd.DataFrame(table_new, table.columns).T
table_new.assign(**table_new[p_columns].map(printed_p))

# %% tags=["remove-cell"]
last = table_new.loc[NAMES["probe_handmade"]]
assert last["p by person"] > 0.05 > last["p by cell"]
assert network_new.metrics()["n"] > 7000
assert table_new.loc[NAMES["area"], "p by person"] < 0.01

# %% [markdown]
# For new people the network is ahead of the ruler, and **its lead over the trees is not certain**, in spite of seven
# thousand cells. [People never seen](10_unseen_people.ipynb) goes on from here.
#
# ## Paper and us
#
# **Table 10** sets ALNett beside MobileNet_M, accuracy in per cent:

# %% tags=["hide-input"]
scorecard.table("Table 10")

# %% [markdown]
# In the column of MobileNet_M the two are comparable: same data, same rule of splitting, same recipe. The column of ALNett
# can be compared with neither. For fold 0 the paper gives three numbers for it: 92.20 % in the table, 92.70 % in the text, and
# "650 images" of 707. Do they agree?

# %%
n = sum(classes["test"] for classes in paper.TABLE_1[0].values())
correct = paper.FOLD_0_CORRECT["ALNett"]
print(f"{correct} of {n} is {100 * correct / n:.2f} %")
in_text = paper.ALNETT_TEXT["fold_0_accuracy_percent"]
for printed in (paper.TABLE_10[0]["ALNett"], in_text):
    k = int(printed * n / 100)
    print(f"{printed:.2f} % lies between {k / n:.2%} and {(k + 1) / n:.2%}")

# %% [markdown]
# No whole number of 707 cells gives either percentage. The mean of the column is the 91.13 % of ALNett's own abstract. So
# the column was most likely **quoted**, from a test on other cells. Where the text has 91.31 %, that is a misprint.
#
# **Fig. 8** shows confusion matrices of fold 0. The paper's own can be worked out from Table 6, as in
# [Evaluation](06_evaluation.ipynb):

# %% mystnb={"figure": {"caption": "Confusion matrices of the 707 test cells of fold 0: the paper's MobileNet_M (its Fig. 8), worked out from Table 6; ours, trained as Table 5 says; and our ALNett-style network at 112 pixels, which is not ALNett. Ours from our records, seed 1337.", "name": "fig-alnett-confusion"}, "image": {"alt": "Three confusion matrices. The paper's and our MobileNet_M are alike, with more than nine tenths of both classes called rightly; ALNett-style finds fewer of both."}} tags=["hide-input"]
sizes = {f"n_{k.lower()}": paper.TABLE_1[0][k]["test"] for k in ("ALL", "HEM")}
fits = metrics.confusion_from_printed(**paper.TABLE_6[0], **sizes)
fits = fits[fits["tp"] + fits["tn"] == paper.FOLD_0_CORRECT["MobileNet_M"]]
matrices = {"paper: MobileNet_M": fits.iloc[0]}
for name in ("mobilenet_m", "alnett_style"):
    matrices[f"ours: {NAMES[name].removesuffix(' (ours)')}"] = score[0, name]
figures.confusion(matrices)

# %% tags=["remove-cell"]
ours, theirs = score[0, "mobilenet_m"], fits.iloc[0]
assert abs(ours["tp"] - theirs["tp"]) < 10 and abs(ours["tn"] - theirs["tn"]) < 10
rates = metrics.rates_from_counts(**fits.iloc[0][["tp", "fp", "fn", "tn"]])
for kind in ("macro", "weighted", "all"):
    glue(f"f1-{kind}", f"{float(rates[f'f1_{kind}']):.3f}", display=False)
assert len(fits) == 1 and rates["f1_all"] - rates["f1_macro"] > 0.01

# %% [markdown]
# **Table 11** sets F1 beside F1:

# %% tags=["hide-input"]
reasons = [
    "its own split, not given here; which F1 is not said",
    "a detector that also finds the cells; on a subset of the images",
    "split by image within each fold; macro F1, mean of three folds",
]
rows_11 = pd.DataFrame(paper.TABLE_11).drop(columns=["dataset", "authors"])
rows_11.columns = ["model", "F1, %"]
figures.table(rows_11.assign(**{"what one has to know": reasons}).set_index("model"))

# %% [markdown]
# Nothing here is comparable. "Which F1" is no pedantry: the one matrix of the paper in {numref}`fig-alnett-confusion` has a
# macro F1 of {glue:text}`f1-macro`, a weighted F1 of {glue:text}`f1-weighted` and an F1 of ALL of {glue:text}`f1-all`. That
# spread is larger than the one point between the first two rows. And the paper quotes an F1 of 0.96 for ALNett beside
# its own 0.95. None of this says that MobileNet_M is worse. It says that the tables cannot tell.
#
# ## Exercises
#
# ### 1. Predict, then run
#
# Five people, a thousand cells each. In every one of the five, A is ahead of B. What is the p-value of the permutation
# test by person? Write it down first.

# %% tags=["exercise"]
guess = ...

# %% tags=["check"]
tenths = np.tile([1.0] * 9 + [0.0], 500)
five = np.ones(5000), tenths, 1 - tenths, np.repeat(range(5), 1000)
p_five = metrics.paired_test_by_person(*five)["pvalue"]
exercises.check(exercises.check_guess, guess, p_five, 0.01)

# %% tags=["solution", "hide-cell"]
guess = 2.0 ** (1 - 5)
exercises.check(exercises.check_guess, guess, p_five, 0.01)

# %% [markdown]
# ### 2. Flip the signs
#
# Write `sign_flips(gains)`. `gains` is an array: for each person, how many more cells A got right than B. Return the share of
# all sign flips whose sum is at least as far from zero as that of `gains`. `product((1, -1), repeat=n)` lists all flips
# of `n` signs. Then apply it to the real fold 1.


# %% tags=["exercise"]
def sign_flips(gains):
    """Return the exact p-value, person by person."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(sign_flips)


# %% tags=["solution", "hide-cell"]
def sign_flips(gains):
    """Return the exact p-value, person by person."""
    flips = np.array(list(product((1, -1), repeat=len(gains))))
    return np.mean(np.abs(flips @ np.array(gains)) >= abs(sum(gains)))


exercises.check(sign_flips)
print(f"fold 1, on record: {sign_flips(lead.to_numpy()):.4f}")

# %% [markdown]
# ### 3. Change, and explain
#
# Leave the two people with the largest lead out of {numref}`fig-alnett-people`. By how many cells is MobileNet_M still
# ahead, and what does p by person do? And if you keep only the people in whom MobileNet_M leads?

# %% tags=["exercise"]
still_ahead = ...

# %% tags=["check"]
gains = lead.sort_values()
exercises.check(exercises.check_guess, still_ahead, int(gains.iloc[:-2].sum()))

# %% tags=["solution", "hide-cell"]
still_ahead = int(gains.iloc[:-2].sum())
exercises.check(exercises.check_guess, still_ahead, int(gains.iloc[:-2].sum()))
print(f"without the first two: p = {sign_flips(gains.to_numpy()[:-2]):.3f}")
one_way = gains[gains > 0].to_numpy()
print(f"{len(one_way)} people who all pull one way: p = {sign_flips(one_way):.3f}")

# %% [markdown]
# :::{dropdown} What happened
# Without two people the lead shrinks to less than half, and p grows. With only those left who pull one way, p is as small as it can be
# for so few, $2^{1-S}$, and that is not very small. Leaving people out *after* seeing their cells is no test, of course: it shows who carries the result.
# :::

# %% [markdown]
# ## Quiz
#
# :::{dropdown} The intervals of two classifiers overlap. Are they equally good?
# That does not follow. Both met the same easy and the same hard cells, so their errors go together. Pair them, and look at
# the interval of the *difference*.
# :::
#
# :::{dropdown} McNemar's p is below 0.001, p by person is 0.2. Which do you believe?
# The second, if the question is about people. The first takes every cell for an independent witness.
# :::
#
# :::{dropdown} The trees cannot be told from the network on fold 0. Is the network useless?
# No. It is ahead on fold 1, and it needs nobody to think up measures. But an accuracy of {glue:text}`trees-0` on fold 0 takes
# no deep network, nor {glue:text}`trees-1` on fold 1, so such a number is no proof of what one can do.
# :::
#
# :::{dropdown} May we write "MobileNet_M is better than ALNett"?
# No. Nobody has shown both on the same cells: the paper quotes ALNett, and we have only an imitation of it.
# :::
#
# ## Take away
#
# - A network that is known from its abstract can only be imitated. Say so wherever the imitation appears.
# - Dilation widens the window of a filter without a single new weight.
# - Compare on the same cells. Only those on which two classifiers disagree count.
# - Cells of one person are no independent witnesses. Test by person too, and expect a larger p.
# - Put controls beside every comparison: a ruler, a probe, trees. On fold 0 the trees cannot be told from MobileNet_M.
# - A quoted number from another test is no comparison; nor is an F1 of unknown kind.
#
# ## Further reading
#
# - {cite:t}`dietterich1998`: how to compare two learned classifiers, and which tests are too sure.
# - {cite:t}`yu2016` on dilation; {cite:t}`jawahar2022` is ALNett itself.
# - {cite:t}`bouthillier2021`: where the scatter of a benchmark comes from.
#
# Next: [Ablation](09_ablation.ipynb).
