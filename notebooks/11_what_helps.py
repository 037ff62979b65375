# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What helps a new person
#
# After this chapter you can judge an idea for new people fairly, by people and in pairs, and you know
# which ideas moved the number here and which did not.
#
# > **You will learn**
# > - to choose on some people and to judge on others;
# > - what a second judge is worth, measured in pairs;
# > - why a few more people beat many more cells;
# > - what three ideas for people from outside cost inside, and how one would choose;
# > - what a threshold from other people can mend, and what it cannot;
# > - a trap that looks like a cure.
# >
# > **Before you start:** [People never seen](10_unseen_people.ipynb).
# >
# > **Run time:** about 20 s on two CPU cores (smoke profile).

# %% tags=["setup"]
import numpy as np
import pandas as pd
from myst_nb import glue
from scipy.special import expit, logit

from allm_utils.book import exercises, figures, profile
from allm_utils.data import cnmc, images, people, splits
from allm_utils.judge import metrics
from allm_utils.runs import curve, probe, records
from allm_utils.runs.records import Runs

run = profile.banner()

# %% [markdown]
# ## In brief
#
# Over the five rounds, in which every person of folds 0 and 1 was new once, the network orders the cells with a
# ROC-AUC of {glue:text}`network`. Boosted trees on hand-made measures, fitted in seconds, have {glue:text}`trees`. Both and
# a linear probe, asked together, have {glue:text}`both`. That is all we got out of the same 35 people. **More people** is what helps.

# %% tags=["setup", "hide-input"]
runs = Runs.load()
rounds = {"protocol": "patient-disjoint", "folds": (0, 1)}
network = runs.where(experiment="same-recipe", **rounds)
ruler = {
    name: runs.where(experiment="probe", model=name, **rounds)
    for name in ("probe_handmade", "probe_mobilenet", "area")
}
others = (ruler[name].pooled() for name in ("probe_handmade", "probe_mobilenet"))
judges = records.aligned(network.pooled("tta"), *others)
labels, who = judges["label"], judges["person"]
round_of = {
    file: r.data["config"]["round"] for r in network for file in r.rows()["file"]
}
judges["round"] = judges["file"].map(round_of)


# %% tags=["setup", "hide-input"]
def odds_of(p_all, neutral):
    """Log-odds above the point at which a judge favours neither class."""
    return logit(np.clip(p_all, 1e-6, 1 - 1e-6)) - logit(neutral)


odds_network = odds_of(judges["p_a"], network.share_of_all())
odds_trees = odds_of(judges["p_b"], 0.5)  # these two weigh both classes alike
odds_linear = odds_of(judges["p_c"], 0.5)


def auc(odds, rows=slice(None)):
    return metrics.metrics(labels[rows], expit(odds[rows]))["roc_auc"]


# %% [markdown]
# ## Choose on some, judge on others
#
# How much should a second judge count, and a third, the linear probe on frozen features? Whoever tries sixteen pairs of
# shares on one test and reports the best has chosen on the test. So the shares for a round are chosen on the **other four
# rounds**, whose people are not in it.


# %%
def asked_together(trees, linear):
    return odds_network + trees * odds_trees + linear * odds_linear


together, chosen = odds_network.copy(), {}
pairs = [(trees, linear) for trees in (0, 0.25, 0.5, 1) for linear in (0, 0.25, 0.5, 1)]
for number in range(splits.N_ROUNDS):
    own = judges["round"] == number
    chosen[number] = max(pairs, key=lambda pair: auc(asked_together(*pair), ~own))
    together[own] = asked_together(*chosen[number])[own]
print("shares of trees and linear probe by round:", chosen)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-helps-brief", "caption": "ROC-AUC over the five rounds by people, with 95 % intervals by people. Records of real runs on folds 0 and 1; the network sees eight views of each cell."}, "image": {"alt": "Five dots with intervals: the area alone lowest, then the linear probe, the trees and the network, and all three together highest."}}
rulers = {
    "area alone": ruler["area"],
    "linear probe": ruler["probe_mobilenet"],
    "trees, hand-made measures": ruler["probe_handmade"],
}
lines = []
for words, one in rulers.items():
    limits = one.intervals(by="person")["roc_auc"]
    lines.append((words, "", one.metrics()["roc_auc"], *limits))
for words, odds in {
    "MobileNet_M": odds_network,
    "all three together": together,
}.items():
    low_high = metrics.intervals(labels, expit(odds), who)["roc_auc"]
    lines.append((words, "", auc(odds), *low_high))
figures.intervals(lines, "ROC-AUC", digits=3)

# %% tags=["remove-cell"]
values = [line[2] for line in lines]
assert values == sorted(values)
for name, value in zip(("trees", "network", "both"), values[2:], strict=True):
    glue(name, f"{value:.3f}", display=False)

# %% [markdown]
# Then compare **in pairs**. The same people judge both ideas, so draw people and see how the *difference* varies. Its
# interval is much shorter than the two intervals beside each other suggest.

# %% tags=["hide-input"]
NAMES = {
    "roc_auc": "ROC-AUC",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "f1_weighted": "weighted F1",
}
pair = expit(together), expit(odds_network)
gain = metrics.paired_intervals(labels, *pair, groups=who)
before, after = (metrics.metrics(labels, p_all) for p_all in pair[::-1])
table = {
    words: {"network": before[name], "together": after[name], "gain": gain[name][0],
            "95 % from": gain[name][1], "to": gain[name][2]}
    for name, words in NAMES.items()
}  # fmt: skip
pd.DataFrame(table).T.round(3)

# %% [markdown]
# Where the interval of a gain holds zero, 35 people cannot tell the gain from nothing. Read it row by row before you
# believe in more judges. Why might they help at all? They err on different people. A network sees texture that
# nobody measured. Trees see size, colour and roughness as numbers.

# %%
right = {"network": (odds_network >= 0) == labels, "trees": (odds_trees >= 0) == labels}
apart = (right["trees"] & ~right["network"]).groupby(who).sum()
print("cells that only the trees call rightly:", apart.nlargest(4).to_dict())

# %% [markdown]
# Two judges can be used as one. The network `people-round0` of this repository has its trees beside it, with a share that was chosen
# on the validation people of its own round; a record holds what they say of the test people:
#
# ```bash
# allm predict results/models/people-round0.safetensors FOLDER --with handmade
# ```

# %%
pair = runs.where(experiment="two-judges").one()
asked = {name: pair.metrics(name) for name in pair.data["conditions"]}
pd.DataFrame(asked).T[["n", *NAMES]].rename(columns=NAMES).round(3)

# %% [markdown]
# ## People or cells?
#
# Would more cells help a new person, or more people? A linear probe answers in a second: learn from so many people, with so
# many cells of each class at most, and judge on people that it has not met. The record holds many such points.

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-helps-curve", "caption": "ROC-AUC of a linear probe by the number of people that it learned from, one line for each number of cells of a class, with 95 % intervals by people; left over the five rounds, right on people from outside. Mean of six draws a round; records on real cells of folds 0, 1 and 2."}, "image": {"alt": "Two panels. On the left three lines rise with the number of people, and the lines for more cells lie a little higher. On the right they rise less, from a lower level, with wide intervals."}}
learned, _ = curve.read("probe_mobilenet")
few = learned.dropna(subset="cells").astype({"cells": int}).sort_values("healthy")
figure, axes = figures.new(1, 2, sharey=True)
for axis, name in zip(axes, ("rounds", "outside"), strict=True):
    for shift, (cells, line) in enumerate(few[few["set"] == name].groupby("cells")):
        x = (line["healthy"] + line["leukemic"]) + 0.5 * shift
        reach = np.abs(line[["low", "high"]].T - line["roc_auc"]).to_numpy()
        axis.errorbar(x, line["roc_auc"], reach, marker="o", label=f"{cells} cells")
    axis.set(title=name, xlabel="people in training", ylabel="ROC-AUC", xlim=(0, 32))
axes[0].legend(loc="lower right")
figure

# %% tags=["remove-cell"]
at = few.set_index(["set", "healthy", "cells"])["roc_auc"]
for place in ("rounds", "outside"):
    for name, point in {"many_cells": (1, 900), "many_people": (8, 60)}.items():
        glue(f"{name}_{place}", f"{at[place, *point]:.3f}", display=False)
    assert at[place, 8, 60] > at[place, 1, 900]

# %% [markdown]
# Up to 900 cells of a class from **three** people give {glue:text}`many_cells_rounds` over the rounds and
# {glue:text}`many_cells_outside` outside. Only 60 cells of a class from **28** people give {glue:text}`many_people_rounds`
# and {glue:text}`many_people_outside`. Both help, but people are what we lack. The intervals are wide, since
# the people who judge are few as well.
#
# You can see the same on this page's sample. Features come from the small MobileNet as ImageNet left it:

# %% tags=["setup"]
frame = run.frame()
split = splits.patient_disjoint_split(frame)[0]
pictures = images.load(frame, 128, images.CROP, run.work / "images", progress=False)
features = probe.deep_features(pictures, "imagenet", alpha=0.25)
frame = frame.assign(person=people.person(frame["subject"]), train=split != "test")
truth = frame["label"].to_numpy(int)


# %%
def curve_point(n_people, n_cells, seed):
    """ROC-AUC on new people, after n_people of each class with n_cells each."""
    rng, rows = np.random.default_rng(seed), []
    for _, own in frame[frame["train"]].groupby("label"):
        names = rng.permutation(own["person"].unique())[:n_people]
        for _, cells in own[own["person"].isin(names)].groupby("person"):
            rows += rng.permutation(cells.index)[:n_cells].tolist()
    test = ~frame["train"].to_numpy()
    fitted = probe.linear().fit(features[rows], truth[rows])
    return metrics.metrics(truth[test], fitted.predict_proba(features[test])[:, 1])[
        "roc_auc"
    ]


# %%
designs = {
    "2 people, 12 cells each": (2, 12),
    "4 people, 6 cells each": (4, 6),
    "8 people, 3 cells each": (8, 3),
}
points = {
    name: [curve_point(*design, seed) for seed in range(20)]
    for name, design in designs.items()
}

# %% mystnb={"figure": {"name": "fig-helps-people", "caption": "The same number of training cells, from few people or from many: ROC-AUC on people never met, mean and the middle 80 % of twenty draws. Real cells of C-NMC 2019, the sample of this page."}, "image": {"alt": "Three dots with bars. Two people with twelve cells each lie lowest and vary most; eight people with three cells each lie highest."}}
figures.intervals(
    [(name, "", np.mean(v), *np.quantile(v, [0.1, 0.9])) for name, v in points.items()],
    "ROC-AUC on new people",
    source=run.source,
)

# %% tags=["remove-cell"]
means = [np.mean(values) for values in points.values()]
if not run.data:
    assert means[-1] > means[0]

# %% [markdown]
# Twenty-four cells a class in every line, and the mean rises with the number of **people**. The bars of the draws overlap nearly whole:
# on a sample this is a hint, and the record above is the evidence. In folds 0 and 1, healthy people are few, and some own most of the cells:

# %%
counts = runs.where(experiment="same-recipe", protocol="paper").one().rows()
healthy = counts[counts["label"] == 0]["person"].value_counts(normalize=True)
print(f"the three largest own {healthy.head(3).sum():.0%} of the healthy test cells")

# %% [markdown]
# ## The level and the threshold
#
# [Outside](10_unseen_people.ipynb), the order of the cells survived better than their level. Can a better threshold
# mend it? It must come from people who are **not** judged by it. For each round we take the one that was best
# for the other four.


# %%
def best_threshold(rows):
    """The threshold with the best balanced accuracy."""
    cuts = np.quantile(rows["p_all"], np.linspace(0.01, 0.99, 99))
    scores = [
        metrics.metrics(rows["label"], rows["p_all"], c)["balanced_accuracy"]
        for c in cuts
    ]
    return cuts[int(np.argmax(scores))]


# %%
tested = {record.data["config"]["round"]: record.rows() for record in network}
moved = []
for number, rows in tested.items():
    cut = best_threshold(pd.concat([r for k, r in tested.items() if k != number]))
    moved.append(
        rows.assign(p_all=expit(logit(rows["p_all"].clip(1e-6, 1 - 1e-6)) - logit(cut)))
    )
moved = pd.concat(moved)

# %% tags=["hide-input"]
far = records.outside()
five = far[[f"people-round{number}" for number in tested]].clip(1e-6, 1 - 1e-6)
far_odds = logit(five).mean(axis=1)
far["p_all"] = expit(far_odds)
cut_rounds = logit(best_threshold(pd.concat(tested.values())))
cut_others = {
    name: logit(best_threshold(far[far["person"] != name]))
    for name in far["person"].unique()
}

# %% tags=["hide-input"]
versions = {
    ("new people", "0.5"): pd.concat(tested.values()),
    ("new people", "from the other rounds"): moved,
    ("from outside", "0.5"): far,
    ("from outside", "from the rounds"): far.assign(p_all=expit(far_odds - cut_rounds)),
    ("from outside", "from others outside"): far.assign(
        p_all=expit(far_odds - far["person"].map(cut_others))
    ),
}
thresholds = {}
for case, answered in versions.items():
    rates = metrics.metrics(answered["label"], answered["p_all"])
    limits = metrics.intervals(answered["label"], answered["p_all"], answered["person"])
    low, high = limits["balanced_accuracy"]
    thresholds[case] = {
        "balanced accuracy": f"{rates['balanced_accuracy']:.3f} ({low:.2f}–{high:.2f})",
        "sensitivity": f"{rates['sensitivity']:.2f}",
        "specificity": f"{rates['specificity']:.2f}",
    }
thresholds = pd.DataFrame(thresholds).T.rename_axis(["tested on", "threshold"])

# %% tags=["hide-input"]
thresholds

# %% [markdown]
# A threshold moves the **level**: with one from other people outside, specificity rises and sensitivity falls. It cannot
# mend the **order**. The balanced accuracy does not rise, because the network does not know which of the
# cells from outside are leukemic. A threshold is a cure for a wrong level alone. A network can also
# refer what it is unsure of to a human: see [When to stay silent](11b_referral.ipynb).

# %% tags=["remove-cell"]
level = thresholds[["sensitivity", "specificity"]].astype(float)
assert level.loc[("from outside", "from the rounds"), "specificity"] < 0.5
moved_to, at_half = (
    level.loc[("from outside", cut)] for cut in ("from others outside", "0.5")
)
assert moved_to["specificity"] > at_half["specificity"] + 0.1
assert moved_to["sensitivity"] < at_half["sensitivity"] - 0.1
assert moved_to.mean() < at_half.mean() + 0.02

# %% [markdown]
# ## Inside and outside
#
# Three ideas aim at other people. Draw **people**, not cells: who has few cells is seen more often. **Jitter**: show each
# cell in other sizes, lights and stains as well. **One size**: enlarge every cell until it fills the same share of the picture, so
# that size tells nothing. Each can be on or off, which makes eight recipes. Every one was judged over the
# rounds and outside. What learned here is a linear probe on frozen features at 112 pixels, not a fine-tuned network: that
# takes minutes instead of days.

# %% tags=["hide-input"]
grid = curve.read("probe_mobilenet-grid")[0].rename(columns={"seen": "cells"})
grid = grid.replace({"cells": {"plain": "as they are"}})
recipe = ["cells", "jitter", "draw"]
shown = ["roc_auc", "low", "high", "sensitivity", "specificity"]
eight = grid.assign(**grid[shown].map("{:.2f}".format))
eight["recipe"] = eight["cells"] + ", " + eight["draw"]
eight.loc[eight["jitter"], "recipe"] += ", jitter"
eight["ROC-AUC"] = eight["roc_auc"] + " (" + eight["low"] + " to " + eight["high"] + ")"
eight["at 0.5"] = eight["sensitivity"] + " / " + eight["specificity"]
eight.pivot(index="recipe", columns="set", values=["ROC-AUC", "at 0.5"])

# %% tags=["remove-cell"]
by = grid.set_index(["set", *recipe])["roc_auc"].sort_index()
for place in ("rounds", "outside"):
    sized, plain = by[place, "one size"], by[place, "as they are", False]
    assert max(sized.max(), by[place, "as they are", True].max()) < plain.min()
    glue(
        f"grid_sized_{place}", f"{sized.min():.3f} to {sized.max():.3f}", display=False
    )
    for draw, value in plain.items():
        glue(f"grid_{draw}_{place}", f"{value:.3f}", display=False)

# %% [markdown]
# Behind each ROC-AUC stands its 95 % interval by people. Sensitivity / specificity at 0.5 are the **level** of the answers. What takes size away must cost inside, for size is a
# true cue in folds 0 and 1. It does: at one size the rounds fall to {glue:text}`grid_sized_rounds`. One hopes to be paid outside.
# **Not so here**: {glue:text}`grid_sized_outside`. Frozen features cannot learn what to look at instead; whether a
# fine-tuned network can is open. The level moves, though: at one size fewer healthy cells from outside are called leukemic,
# and fewer leukemic ones as well.
#
# Only drawing people is free: {glue:text}`grid_cell_rounds` and {glue:text}`grid_person_rounds` over the rounds,
# {glue:text}`grid_cell_outside` and {glue:text}`grid_person_outside` outside, a gain far inside its interval. A hospital
# that screens would choose it: it costs nothing, and leaves sensitivity high. But it would have to set its own threshold on its own
# people first, and at these numbers it would let nobody go home on the word of any of the eight.
#
# ### Four networks
#
# A fine-tuned network may fare otherwise. Of the forty runs that eight recipes take over five rounds, these four
# are recorded: the first round, small networks of a quarter of the width, three epochs at 112 pixels.

# %% tags=["hide-input"]
fold_2, four = far[far["set"] == "fold 2"], {}
for name in ("", "-draw", "-jitter", "-draw-jitter"):
    own = runs.where(experiment=f"new-people{name}").one().rows()
    outside = fold_2.assign(p_all=fold_2[f"new-people{name}"])
    for place, rows in {"round 0": own, "outside": outside}.items():
        how = rows["label"], rows["p_all"]
        low, high = metrics.intervals(*how, rows["person"])["roc_auc"]
        found = metrics.metrics(*how) | {"low": low, "high": high}
        four[f"new-people{name}", place] = found
pd.DataFrame(four).loc[shown].T.rename(columns={"roc_auc": "ROC-AUC"}).round(3)

# %% tags=["remove-cell"]
both = fold_2["new-people-draw"], fold_2["new-people"]
found = metrics.paired_intervals(fold_2["label"], *both, groups=fold_2["person"])
for name, value in zip(("gain", "low", "high"), found["roc_auc"], strict=True):
    glue(f"drawn_{name}", f"{value:.3f}", display=False)

# %% [markdown]
# Here the trade shows: every idea costs some order inside, and drawing people gains {glue:text}`drawn_gain` outside, with
# a paired interval from {glue:text}`drawn_low` to {glue:text}`drawn_high` by people. It is one round and one seed, and the test people
# of that round hold one healthy person, so no interval can be given there. In every row specificity outside stays near the floor, and
# no order mends that. `studies/new-people.toml` says how to make the other thirty-six, for
# `allm sweep studies/new-people.toml --data TREE`.
#
# ### Fourteen people more
#
# Now let the people from outside into training, all fourteen of them, and judge on the rounds:

# %% tags=["hide-input"]
whole = learned[(learned["set"] == "rounds") & learned["cells"].isna()]
added = whole.rename(columns={"roc_auc": "ROC-AUC"}).set_index(["draw", "with outside"])
added[["ROC-AUC", "low", "high", "sensitivity", "specificity"]].round(3)

# %% [markdown]
# No gain on the rounds, whoever is drawn. These are 289 cells beside some five thousand, and of a kind that the rounds do not ask
# about. What they are worth for **other** people from outside only such people can tell. Of those we
# have 109 cells, and they are kept for a last test.
#
# ### What the complete fold 2 would change
#
# People, counted by their class in the published index:

# %%
published = cnmc.shipped_index().assign(
    person=lambda cells: people.person(cells["subject"])
)
old = set(published["person"][published["fold"] < 2])
stranger = (published["fold"] == 2) & ~published["person"].isin(old)
met = pd.cut(stranger, [-1, 0, 1], labels=["folds 0 and 1", "only in fold 2"])
published.groupby([met, "label"], observed=True)["person"].nunique().unstack()

# %% [markdown]
# As many healthy people again. That would change the training more than any recipe here, and the test too: outside we ask
# {glue:text}`far_people` people today. With all three folds in `TREE` this would show it:
#
# ```bash
# allm train --data TREE --fold 0 1 2 --protocol patient-disjoint --round 0 --experiment three-folds
# allm evaluate results/models/people-round0.safetensors --data TREE --people outside
# ```

# %% tags=["remove-cell"]
glue("far_people", str(far[far["set"] == "fold 2"]["person"].nunique()), display=False)

# %% [markdown]
# ## Exercises
#
# ### Predict, then run: the trap
#
# Every slide has its own stain. So somebody suggests: subtract from each cell's features the mean of its person, in
# training and in test. Will the ROC-AUC on new people rise, stay, or fall? Write down your guess first.

# %% tags=["exercise"]
guess = ...  # "rise", "stay" or "fall"

# %% tags=["check"]
centred = features - pd.DataFrame(features).groupby(
    frame["person"].to_numpy()
).transform("mean")
train = frame["train"].to_numpy()
scores = {}
for name, values in {"plain": features, "centred": centred.to_numpy()}.items():
    fitted = probe.linear().fit(values[train], truth[train])
    scores[name] = metrics.metrics(
        truth[~train], fitted.predict_proba(values[~train])[:, 1]
    )["roc_auc"]
change = scores["centred"] - scores["plain"]
found = "rise" if change > 0.02 else "fall" if change < -0.02 else "stay"
exercises.check(exercises.check_guess, guess, found)

# %% tags=["solution", "hide-cell"]
exercises.check(exercises.check_guess, "fall", "fall")

# %% [markdown]
# :::{dropdown} Why?
# Every person has one class only. So the mean of a person *is* the class, as far as features can tell it, and we
# subtracted the answer. On this page the centred features leave a ROC-AUC near a half.
# :::
#
# ### Weigh people, not cells
#
# Write `person_weights(names)`. `names` holds the person of each training cell, an array. Return a weight for each
# cell, so that every person weighs the same in total, and the weights of all cells have the mean 1.


# %% tags=["exercise"]
def person_weights(names):
    """Weights of cells under which every person weighs the same."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(person_weights)


# %% tags=["solution", "hide-cell"]
def person_weights(names):
    """Weights of cells under which every person weighs the same."""
    _, index, counts = np.unique(names, return_inverse=True, return_counts=True)
    weights = 1 / counts[index]
    return weights / weights.mean()


exercises.check(person_weights)

# %% [markdown]
# Use it on the records: with these weights, what is the accuracy of the network over the rounds, when every *person* counts the
# same? `np.average(right["network"], weights=person_weights(who.to_numpy()))`.
#
# ### Change and explain
#
# Choose the shares on *all* five rounds, and report the result there. How much higher is it than the
# honest one, and why would you not print it?
#
# ## Quiz
#
# :::{dropdown} Ten ideas, one test, the best gains 0.02 with an interval from 0.00 to 0.04. What do you report?
# That ten were tried. The best of ten useless ideas gains something too.
# :::
#
# :::{dropdown} A threshold is chosen on the test people. Why is the gain not real?
# It knows their answers. A new person brings another level.
# :::
#
# :::{dropdown} You may label 600 cells. Of whom?
# Of as many people as you can reach, a few cells each.
# :::
#
# ## Take away
#
# - Choose on some people, judge on others, compare in pairs.
# - Judges that err on different people may be better together. Whether 35 people suffice to tell is another question.
# - People, not cells, are what training lacks.
# - Judge a recipe inside and outside. What takes a true cue away costs inside, and need not pay outside.
# - A threshold moves the level. It does not mend the order.
# - What removes the person may remove the class.
#
# ## Further reading
#
# {cite:t}`kapoor2023` on how such mistakes repeat; {cite:t}`tellez2018` on stain jitter between laboratories;
# {cite:t}`geirhos2020` on shortcuts.
