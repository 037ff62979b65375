# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Noise
#
# After this chapter you can test a classifier under noise, say which of its errors the noise causes, and say what
# augmentation in training is worth.
#
# > **You will learn**
# > - what augmentation buys on clean cells, and what under noise;
# > - how a classifier can fail completely while its ROC-AUC stays where it was;
# > - why noise on a black background is an unfair test, and what a fairer one is;
# > - that training with noise helps about as far as its noise went, and not without loss;
# > - what else the paper's recipe taught the network, without meaning to.
# >
# > **Before you start:** [Noise and augmentation](03_augmentation.ipynb) and
# > [Evaluation](06_evaluation.ipynb).
# >
# > **Run time:** about 40 s on two CPU cores; GPU: not needed.

# %% tags=["setup"]
import os
from itertools import product

import numpy as np
import pandas as pd
from myst_nb import glue
from sklearn.linear_model import LogisticRegression

# %% tags=["setup"]
from allm_utils.book import exercises, figures, paper, profile, scorecard
from allm_utils.data import images, sample
from allm_utils.judge import conditions, metrics, predict
from allm_utils.network import saving
from allm_utils.runs.records import RESULTS, Runs, aligned

run = profile.banner()
runs = Runs.load()
trained = runs.where(experiment="table5")

# %% tags=["setup"]
corners = {
    "table5": "full recipe",
    "table5-augment": "augmentation only",
    "table5-balance": "grey copies only",
    "table5-neither": "neither",
}
four = Runs(one for name in corners for one in runs.where(experiment=name))
BOTH = "sensitivity", "specificity"

# %% [markdown]
# ## In brief
#
# The paper's recipe adds grey copies of healthy cells ([chapter 2](02_balancing.ipynb)) and {term}`augmentation <augment>`:
# noise, warps and brightness ([chapter 3](03_augmentation.ipynb)). We trained with both, with either and with neither. On clean
# test cells of fold 1 augmentation buys nothing; under noise of {term}`σ <sigma>` 10 it is everything:
# {term}`balanced accuracy` {glue:text}`ba_hard` with it, {glue:text}`ba_bare` without, where a coin gets 0.5
# ({numref}`fig-noise-brief`). That is the real merit of the recipe, and the paper's tables do not show it: they test
# under noise only what was trained with noise.

# %% tags=["remove-cell"]
hard, bare = ["table5", "table5-augment"], ["table5-balance", "table5-neither"]
NAMES = "accuracy", "balanced_accuracy", "roc_auc"
clean, under_10 = (
    four.where(fold=1).table(*NAMES, condition=c) for c in ("clean", "noise:10")
)


def span(values, digits=2):
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


for key, name in {
    "ba": "balanced accuracy",
    "acc": "accuracy",
    "auc": "ROC-AUC",
}.items():
    for which, group in {"hard": hard, "bare": bare}.items():
        glue(f"{key}_{which}", span(under_10.loc[group, name], 3), display=False)

# %% tags=["remove-cell"]
pairs = clean.loc[hard].reset_index().merge(clean.loc[bare].reset_index(), on="seed")
assert len(clean) == 7 and len(pairs) == 5
assert all(one.metrics()["n"] == 718 for one in four.where(fold=1))
balanced = under_10["balanced accuracy"].groupby(level=0).agg(["min", "max"])
helped = [one for one in four.where(fold=1) if one.data["experiment"] in hard]
marks = [
    one.metrics(condition)["balanced_accuracy"]
    for one, condition in product(helped, ("clean", "noise:5", "noise:10"))
]
assert round(min(marks), 2) == 0.86 and round(max(marks), 2) == 0.95
assert np.allclose(balanced.loc[bare].T, (0.5, 0.6), atol=0.02)
for name in ("accuracy", "balanced accuracy"):
    assert (pairs[f"{name}_x"] - pairs[f"{name}_y"]).max() < 0.005
assert (under_10.loc[hard].min() - under_10.loc[bare].max() > 0.15).all()

# %% mystnb={"figure": {"caption": "Balanced accuracy of seven networks trained on fold 1, on its 718 test cells, of people who are in training too: clean, and under noise everywhere in the picture. Bars: 95 % intervals by person. The line at 0.5 is what answering without looking gets. From our records.", "name": "fig-noise-brief"}, "image": {"alt": "Seven networks. With augmentation the three marks of each lie between 0.86 and 0.95. Without it the clean mark is as far right, but the mark of sigma 10 falls to 0.5 with grey copies only and to about 0.6 with neither."}} tags=["hide-input"]
words = {"clean": "clean", "noise:5": "σ 5", "noise:10": "σ 10"}
dots = []
for one, (condition, word) in product(four.where(fold=1), words.items()):
    line = f"{corners[one.data['experiment']]}, seed {one.data['seed']}"
    value = one.metrics(condition)["balanced_accuracy"]
    ends = one.intervals(condition, by="person")["balanced_accuracy"]
    dots.append((line, word, value, *ends))
figures.intervals(dots, "balanced accuracy", line=0.5)

# %% [markdown]
# ## Five levels of noise
#
# A camera counts light. Where light is scarce, the picture is grainy. The paper imitates this with **Gaussian noise**: to
# every channel of every pixel of a test picture it adds a random number with mean 0 and standard deviation σ, in grey
# levels from 0 to 255. Its tables test σ = 0, 2, 5, 8 and 10. {numref}`fig-noise-levels` is its
# Fig. 7, with a cell that our shipped network never trained on.

# %%
model, card = saving.load(RESULTS / "models" / "images.safetensors")
record = runs.where(experiment="same-recipe", protocol="paper").one()

# %% [markdown]
# The record of its run names the test cells. Those that are here are ours to ask about:

# %%
frame = run.frame()
files = frame["path"].map(os.path.basename)
test = files.isin(record.rows()["file"]).to_numpy()
size = card["image_size"], card["crop"]
pictures = images.load(frame, *size, run.work / "images", progress=False)
labels = frame["label"].to_numpy(int)
unseen, truth = pictures[test], labels[test]

# %% mystnb={"figure": {"caption": "One test cell at the five levels of the paper (its Fig. 7), and below a piece of its edge, enlarged. Brightened for display. A real cell of C-NMC 2019; below it the person.", "name": "fig-noise-levels"}, "image": {"alt": "Two rows of five pictures. From left to right the cell grows grainy, and the black background fills with faint coloured grain."}} tags=["hide-input"]
shown = frame[test & (labels == 1)].head(1)
cell = images.prepare(shown["path"].iloc[0], *size)
levels = [conditions.apply(f"noise:{s}", cell[None], 7)[0] for s in paper.TEST_SIGMAS]
edges = [level[30:80, 85:135] for level in levels]
titles = [f"σ = {sigma}" for sigma in paper.TEST_SIGMAS] + [""] * 5
credit = f"{run.credit}\n{sample.people_shown(shown)}"
figures.cells(levels + edges, titles, columns=5, brighten=3, source=credit)

# %% [markdown]
# You see the grain in the cell. The harm starts in the background, where it looks so faint. The background of C-NMC is
# exactly black. A pixel cannot be darker than 0, so the negative half of the noise is cut off there, as in Equation
# {eq}`eq-augmentation-clipped`, and a grey mist is left. A pixel stays black only if all three channels draw a
# number that rounds to 0 or less. Count the black pixels of all test cells on this page:

# %%
black = {}
for sigma in paper.TEST_SIGMAS:
    noisy = conditions.apply(f"noise:{sigma}", unseen, seed=7)
    black[sigma] = [(~noisy.any(axis=-1)).mean(), noisy.mean()]
black = pd.DataFrame(black, ["share of black pixels", "mean grey level"]).T
black.rename_axis(columns="σ").round(2)

# %% [markdown]
# ## A ruler breaks
#
# Beside every network stands the **ruler**. It measures the share of the picture that is not black, and has learned
# on clean cells where to cut. Watch it under noise everywhere, and under noise **in the cell only**. The second is the fairer
# test: a microscope's grain is in the light, and a program blackens the background *afterwards*.


# %%
def area(pictures):
    return pictures.any(axis=-1).mean(axis=(1, 2))[:, None]


# %% [markdown]
# Fit it once, and ask it five times:

# %%
ruler = LogisticRegression(C=1e6).fit(area(pictures[~test]), labels[~test])
broken = {}
for name in ("clean", "noise:2", "noise:10", "cell-noise:10", "cell-noise:20"):
    noisy = conditions.apply(name, unseen, seed=7)
    broken[name] = metrics.metrics(truth, ruler.predict_proba(area(noisy))[:, 1])
broken = pd.DataFrame(broken, [*BOTH, "accuracy", "roc_auc"]).T
broken.rename(index=conditions.in_words, columns={"roc_auc": "ROC-AUC"}).round(3)

# %% tags=["remove-cell"]
change = (broken - broken.loc["clean"]).abs()
assert [*broken.loc["noise:2", [*BOTH]]] == [1, 0]
assert change.loc["noise:10", "roc_auc"] < 0.02
assert change.loc["cell-noise:10", "accuracy"] < 0.02

# %% [markdown]
# - At the faintest noise **specificity** is zero: all that is not black counts as cell, and huge cells are ALL.
# - **Accuracy** falls to the share of ALL among the cells. It looks like a bad day, not like a total failure.
# - The **ROC-AUC** hardly moves. The *order* of the cells is fine; the {term}`threshold` is not.
# - In the cell only, almost nothing happens: one healthy cell more is spared. It was the background that broke the ruler.
#
# Whichever single number you pick, it hides what happened. Look at sensitivity *and* specificity *and* the order.

# %% [markdown]
# ## A network under growing noise
#
# The shipped network was trained on folds 0 and 1. Half of its training pictures had noise of σ 3, half of σ 9. **Before you
# go on, write down: at σ = 20 and 40, does it hold, does it call everything ALL like the ruler, or everything HEM?** We ask it
# about the same test cells.

# %% tags=["once"]
steps = {0: "clean", 10: "noise:10", 20: "noise:20", 40: "noise:40"}
inside = {s: name.replace("noise", "cell-noise") for s, name in steps.items()}
asked, scores = {}, {}
for name in {*steps.values(), *inside.values()}:
    asked[name] = predict.predict(model, unseen, name, seed=7)
    scores[name] = metrics.metrics(truth, asked[name])

# %% mystnb={"figure": {"caption": "Three metrics of the shipped network on the test cells of this page, under noise everywhere and in the cell only. Real cells of C-NMC 2019, those of this page; the fewer, the more single points scatter.", "name": "fig-noise-live"}, "image": {"alt": "Two panels against sigma. Up to 10 the lines hardly move. At 20 specificity is about a half and sensitivity still near one. At 40 everywhere sensitivity collapses and specificity rises; in the cell only specificity collapses and sensitivity stays. ROC-AUC falls in both."}} tags=["hide-input"]
growing = {}
for title, names in {"everywhere": steps, "in the cell only": inside}.items():
    lines = pd.DataFrame({sigma: scores[name] for sigma, name in names.items()})
    lines = lines.loc[[*BOTH, "roc_auc"]].rename({"roc_auc": "ROC-AUC"})
    growing[title] = lines.T.to_dict()
figures.against(growing, "σ, grey levels", "metric", source=run.source)

# %% tags=["remove-cell"]
glue("ruled", f"{broken.loc['cell-noise:20', [*BOTH]].mean():.2f}", display=False)
glue("at_20", f"{scores['cell-noise:20']['balanced_accuracy']:.2f}", display=False)

# %% tags=["remove-cell"]
if run.data is None and "-paper-" in record.name and card["record"] == record.name:
    of_page = pd.DataFrame(scores).T  # what the text says of this sample
    counts = (broken[[*BOTH]] * [truth.sum(), (1 - truth).sum()]).round()
    for s in (10, 20):
        assert [*counts.loc[f"cell-noise:{s}"] - counts.loc["clean"]] == [0, 1]
    at_40, at_40_cell = of_page.loc["noise:40"], of_page.loc["cell-noise:40"]
    assert of_page.loc["noise:10", "roc_auc"] > 0.9 > of_page.loc["noise:20", "roc_auc"]
    moves = of_page.loc[["noise:10", "cell-noise:10"]] - of_page.loc["clean"]
    assert (moves[[*BOTH, "roc_auc"]].abs() < 0.05).all(axis=None)
    at_20 = of_page.loc[["noise:20", "cell-noise:20"]]
    assert at_20["specificity"].between(0.4, 0.6).all()
    assert at_20["sensitivity"].min() > 0.9
    assert at_40["sensitivity"] < 0.6 < at_40["specificity"]
    assert at_40_cell["sensitivity"] > 0.9 and at_40_cell["specificity"] < 0.3
    assert of_page.loc["cell-noise:10", "balanced_accuracy"] > 0.85
    assert broken.loc["cell-noise:10", [*BOTH]].mean() < 0.8 and len(truth) < 110
    by_ruler = ruler.predict_proba(area(conditions.apply("cell-noise:20", unseen, 7)))
    versus = metrics.paired_intervals(truth, by_ruler[:, 1], asked["cell-noise:20"])
    assert versus["balanced_accuracy"][1] < 0 < versus["balanced_accuracy"][2]
    assert versus["specificity"][1] > 0 > versus["sensitivity"][2]

# %% tags=["remove-cell"]
at_8 = trained.table("specificity", condition="noise:8")["specificity"]
fewer = 100 * (trained.table("specificity")["specificity"] - at_8)
assert max(fewer["0"]) < 1 and max(fewer["1"]) > 10 and len(fewer) == 6
assert all(one.settings["sigmas"] == [3, 9] for one in trained)
glue("fewer", span(fewer["1"], 0), display=False)

# %% [markdown]
# All three, in a way. Up to 10, about where its training ends, it holds. At 20 it calls half of the healthy cells
# leukemic. At 40 it does **opposite** things: with noise everywhere, most leukemic cells become HEM; in the cell only, most
# healthy ones become ALL. ROC-AUC falls more slowly, so a good part of the harm is the threshold again.
#
# On these cells the network holds about as far as its training went. The records are less kind. On fold 1 all three
# trainings with the full recipe spare {glue:text}`fewer` points fewer healthy cells at σ = 8 than on clean pictures, and 8
# lies between the two levels that they saw. On fold 0 none loses more than one point.
#
# In the cell only, the ruler stays where it was, and the network comes down to it. At σ = 10 the network is still ahead. At
# σ = 20 its balanced accuracy is {glue:text}`at_20`, that of the ruler {glue:text}`ruled`. About a hundred cells cannot say
# which of the two is higher: the ruler spares more healthy cells, the network finds more leukemic ones. The ruler measures
# one thing, and the noise hardly touches it.

# %% [markdown]
# ## What augmentation buys
#
# Back to the records, to the whole test part of fold 1. Four recipes, everything else as in Table 5. All columns but the
# first are under σ = 10:

# %%
table = four.where(fold=1).table("accuracy", *BOTH, "roc_auc", condition="noise:10")
table.insert(0, "accuracy, clean", clean["accuracy"])
figures.table(table.rename(corners), "trained with", "seed")

# %% [markdown]
# On clean cells no network with augmentation is better than one without by half a percentage point, in accuracy or balanced
# accuracy. Under σ = 10 the accuracy is {glue:text}`acc_hard` with augmentation and {glue:text}`acc_bare` without. And it is not
# only the threshold: without augmentation the ROC-AUC falls to {glue:text}`auc_bare`, while with it the ROC-AUC stays at
# {glue:text}`auc_hard`. The two with only grey copies call nearly every cell HEM; the one with neither leans to ALL.
#
# How far does the evidence reach? **"Augmentation only" and "neither" have one seed each**, so the direction of a failure
# says little. Noise, warps and brightness come together in augmentation: most likely it is the noise that helps, but no
# run shows it alone. And fold 1 has only three healthy people, so the intervals by person are rough. Seed 2 has all four
# recipes on the same test cells, so there we can compare in pairs:

# %% tags=["hide-input"]
seed_2 = {one.data["experiment"]: one for one in four.where(fold=1, seed=2)}
added = {"grey copies": ("table5", "table5-balance")}
added["nothing"] = "table5-augment", "table5-neither"
gains = {}
for (to, (a, b)), condition in product(added.items(), words):
    both = aligned(seed_2[a], seed_2[b], condition=condition)
    columns = (both[name] for name in ("label", "p_a", "p_b", "person"))
    gain = metrics.paired_intervals(*columns)["balanced_accuracy"]
    gains[f"added to {to}, {words[condition]}"] = gain
heads = ["gain in balanced accuracy", "95 % interval, from", "to"]
pd.DataFrame(gains, heads).T.rename_axis(columns="augmentation").round(3)

# %% tags=["remove-cell"]
_, low, high = gains["added to grey copies, clean"]
assert low < 0 < high and gains["added to nothing, clean"][0] < 0.005
assert min(gains[f"added to {to}, σ 10"][1] for to in added) > 0
assert gains["added to nothing, clean"][2] < 0 < gains["added to nothing, σ 5"][2]
assert gains["added to nothing, σ 5"][1] < 0

# %% [markdown]
# On clean cells augmentation gains nothing on top of grey copies, and in the one pair without them it costs some points. At
# σ = 10 it gains in both pairs, and both intervals by person stay clear of zero. At σ = 5 only one of them does.

# %% [markdown]
# ## The background, or the cell?
#
# Is it the mist around the cell that does the harm? The records were also tested with noise in the cell only:

# %% tags=["hide-input"]
everywhere, inside_only = (
    four.table("accuracy", "specificity", condition=c)
    for c in ("noise:10", "cell-noise:10")
)
where = pd.concat({"everywhere": everywhere, "in the cell": inside_only}, axis=1)
named = where.rename(corners).set_axis(
    where.columns.map("{0[1]}, {0[0]}".format), axis=1
)
figures.table(named, "trained with", "fold", "seed")

# %% tags=["remove-cell"]
spared = where["in the cell"]["specificity"] > where["everywhere"]["specificity"]
assert len(trained) == 6 and spared["table5"].sum() == 5
cell_only = where["in the cell"]["accuracy"]
assert cell_only["table5-balance"].max() < 0.5 < cell_only["table5"].min() - 0.4
lost = clean.loc["table5-neither", "accuracy"].iloc[0] - cell_only["table5-neither"]
glue("lost", f"{100 * lost.iloc[0]:.0f}", display=False)

# %% [markdown]
# In five of the six trainings with the full recipe, more healthy cells are spared when the background stays black. But
# without augmentation noise in the cell alone does great harm: with grey copies only, fewer than half of the cells are called
# rightly, and with neither the accuracy is {glue:text}`lost` points below that on clean cells. So the background is a part of
# the harm, not the whole.

# %% [markdown]
# ## The paper's tables, decoded
#
# The paper prints accuracy and macro averages. Read backwards ([chapter 6](06_evaluation.ipynb)), its rows give
# sensitivity and specificity, and {numref}`fig-noise-paper` sets ours beside them.


# %% tags=["remove-cell"]
def reach(values):
    return min(values), np.mean(values), max(values)


panels = {}
for fold, printed in {0: paper.TABLE_6, 1: paper.TABLE_7, 2: paper.TABLE_8}.items():
    n_all, n_hem = (paper.TABLE_1[fold][name]["test"] for name in ("ALL", "HEM"))
    lines = {name: {} for name in BOTH}
    for sigma, row in printed.items():
        fits = metrics.confusion_from_printed(**row, n_all=n_all, n_hem=n_hem)
        lines["sensitivity"][sigma] = reach(fits["tp"] / n_all)
        lines["specificity"][sigma] = reach(fits["tn"] / n_hem)
    panels[f"paper, fold {fold}"] = lines
# %% tags=["remove-cell"]
for fold in (0, 1):
    lines = {name: {} for name in BOTH}
    for sigma, name in product(paper.TEST_SIGMAS, BOTH):
        found = trained.where(fold=fold).table(
            name, condition=f"noise:{sigma}" if sigma else "clean"
        )
        lines[name][sigma] = reach(found[name])
    panels[f"ours, fold {fold}"] = lines

# %% mystnb={"figure": {"caption": "Sensitivity and specificity against \u03c3, on the test part of each fold. Above, the paper's three networks, decoded from its Tables 6 to 8; all confusion matrices that fit a printed row lie within the marks. Below, ours: mean of three trainings, in a band from the lowest to the highest.", "name": "fig-noise-paper"}, "image": {"alt": "Five panels. In the paper's three, sensitivity ends higher than it began and specificity lower. In ours the mean does the same on fold 1; on fold 0 the bands of the three trainings are wide and overlap."}} tags=["hide-input"]
figures.against(panels, "σ, grey levels", ylim=(0.7, 1.0))

# %% [markdown]
# In the paper, in all three folds, at σ = 10 **more leukemic cells are found than on clean pictures, and more healthy ones
# raise an alarm**. In accuracy the two nearly cancel. In ours specificity falls in five of six trainings, and sensitivity
# rises in five. It is a tendency of this recipe, not a law.
#
# And look at the width of our bands. At σ = 10 three trainings on fold 0, alike but for the {term}`seed` and so the split, reach accuracies of
# {glue:text}`acc_0`. The paper calls its network robust because accuracy moves by a point or two between levels. One point
# is **seven images**. On fold 1, the only one where we trained without augmentation, the gap is larger than such
# scatter: {glue:text}`acc_hard` with it, {glue:text}`acc_bare` without.

# %% tags=["remove-cell"]
noisy_10 = trained.table(*BOTH, "accuracy", "balanced_accuracy", condition="noise:10")
moved = noisy_10[[*BOTH]] - trained.table(*BOTH)
assert (moved["specificity"] < 0).sum() == (moved["sensitivity"] > 0).sum() == 5
scatter = np.ptp(noisy_10.loc["0", "accuracy"])
gap = under_10.loc[hard, "accuracy"].min() - under_10.loc[bare, "accuracy"].max()
assert gap > 2 * scatter > 0.1
assert {one.data["experiment"] for one in four.where(fold=0)} == {"table5"}
glue("acc_0", span(noisy_10.loc["0", "accuracy"], 3), display=False)

# %% [markdown]
# ## What else the recipe taught: grey
#
# Noise is what the authors tested. Their recipe also makes {term}`grey copies <balance>` of healthy training cells, and of no
# others ([chapter 2](02_balancing.ipynb)). So take the colour out of the *test* cells:

# %%
grey = four.table(*BOTH, "roc_auc", condition="grey")
figures.table(grey.rename(corners), "trained with", "fold", "seed")

# %% tags=["remove-cell"]
copied, full = grey.loc[["table5", "table5-balance"]], grey.loc["table5", "ROC-AUC"]
assert len(copied) == 8 and (copied[[*BOTH]] == [0, 1]).all(axis=None)
assert len(full) == 6 and max(full) < 0.5
uncopied = grey.loc[["table5-augment", "table5-neither"], "ROC-AUC"]
small = runs.where(experiment="ablation-mac").table("roc_auc", condition="grey")[
    "ROC-AUC"
]
assert min(uncopied) > 0.8 and min(small) > 0.5 and len(uncopied) == 2
in_colour = clean.loc[["table5-augment", "table5-neither"], "ROC-AUC"]
assert set(in_colour.round(2)) == {0.99}
glue("in_colour", f"{in_colour.min():.2f}", display=False)
for name, values in {"inverted": full, "coloured": uncopied, "small": small}.items():
    glue(name, span(values), display=False)

# %% [markdown]
# All eight networks that saw grey copies call **every** grey cell healthy, leukemic or not: grey became a sign of health.
# In the six of the full recipe even the *order* is turned round. ROC-AUC lies below a half, at {glue:text}`inverted`: a grey leukemic cell
# gets a lower probability than a grey healthy one, most of the time. In the two networks without grey copies, one training
# each, it falls too, from {glue:text}`in_colour` on the pictures in colour, but stays on the right side:
# {glue:text}`coloured`.
#
# [Chapter 2](02_balancing.ipynb) shows how the order turns: the larger a grey cell, the healthier it looks to these networks. It is
# no law of the recipe: two short trainings of it at 112 px, eight epochs each, give {glue:text}`small`. No table of the paper could show this, because no test picture is grey.

# %% [markdown]
# ## Paper and us
#
# Tables 6 and 7 in full, *paper / ours*. Ours are from the training with seed 1337, the default of the tool that
# the paper's counts point to; Table 8 is of fold 2, which the code serves and we have not run.

# %%
scorecard.table("Table 6")

# %%
scorecard.table("Table 7")

# %% tags=["remove-cell"]
ours_0, ours_1 = (noisy_10.loc[fold, "balanced accuracy"] for fold in ("0", "1"))
assert max(ours_1) < paper.TABLE_7[10]["auc"]
assert min(ours_0) < paper.TABLE_6[10]["auc"] < max(ours_0)
glue("ours_1", span(ours_1, 3), display=False)
glue("theirs_1", f"{paper.TABLE_7[10]['auc']:.3f}", display=False)

# %% [markdown]
# On fold 0 the paper's balanced accuracy at σ = 10 lies among ours. On fold 1 all three of ours fall below it:
# {glue:text}`ours_1`, the paper {glue:text}`theirs_1`.
#
# | the paper says | we find |
# |---|---|
# | noise levels 2, 5, 6 and 10 in the text | 2, 5, 8 and 10 in the tables |
# | "zero-mean" noise | on black it brightens, and most of the black is gone at σ = 2 |
# | the same accuracy at σ = 2 and 8 | at 8 more leukemic cells are found, and fewer healthy ones spared |
# | "efficient and robust" | robust beside networks without augmentation, which it tested on clean cells only |
# | "more robust than MMA-MTL or YOLO4" | no test of them under noise is shown |

# %% [markdown]
# ## Exercises
#
# ### 1. Predict, then run
#
# The ruler of this page learned on clean cells and failed under noise. Turn it round: it learns on cells with σ 3 and 9, and
# is tested on **clean** ones. What is its sensitivity, to within 0.1?

# %% tags=["setup", "hide-input"]
some = images.load(run.frame(), 64, 300, run.work / "images", progress=False)
is_all = run.frame()["label"].to_numpy(int)
strewn = [
    conditions.apply(f"noise:{s}", some[i::2], seed=s) for i, s in enumerate((3, 9))
]
seen = np.concatenate(strewn).any(axis=-1).mean(axis=(1, 2))[:, None]
hardened = LogisticRegression(C=1e6).fit(
    seen, np.concatenate([is_all[::2], is_all[1::2]])
)
on_clean = hardened.predict(some.any(axis=-1).mean(axis=(1, 2))[:, None])
found_share = float(on_clean[is_all == 1].mean())

# %% tags=["exercise"]
guess = ...  # a number between 0 and 1

# %% tags=["check"]
exercises.check(exercises.check_guess, guess, found_share, 0.1)

# %% tags=["solution", "hide-cell"]
guess = 0.0  # it never saw a black background, so every clean cell looks tiny to it
exercises.check(exercises.check_guess, guess, found_share, 0.1)

# %% [markdown]
# ### 2. What accuracy hides
#
# Two printed numbers are enough to find the specificity. Accuracy is the mean of both recalls, weighted by the sizes of the
# classes; balanced accuracy is their plain mean. Solve the two equations. Then
# apply it to the paper's Table 7, and to our record beside it.


# %% tags=["exercise"]
def specificity_from(accuracy, balanced, n_all, n_hem):
    """Recall of HEM, from accuracy and balanced accuracy."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(specificity_from)


# %% tags=["solution", "hide-cell"]
def specificity_from(accuracy, balanced, n_all, n_hem):
    """Recall of HEM, from accuracy and balanced accuracy."""
    right = accuracy * (n_all + n_hem)  # = sensitivity * n_all + specificity * n_hem
    return (2 * balanced * n_all - right) / (n_all - n_hem)


exercises.check(specificity_from)
n_test = [paper.TABLE_1[1][name]["test"] for name in ("ALL", "HEM")]
table5 = trained.where(fold=1, seed=1337).one()
for (
    sigma,
    row,
) in paper.TABLE_7.items():  # the paper's is rough: two decimals are printed
    theirs = specificity_from(row["accuracy"], row["auc"], *n_test)
    found = table5.metrics(f"noise:{sigma}" if sigma else "clean")
    ours = specificity_from(found["accuracy"], found["balanced_accuracy"], *n_test)
    print(f"σ {sigma:2}: paper about {theirs:.2f}, ours {ours:.3f}")

# %% [markdown]
# ### 3. Noise inside the cell
#
# Write `noise_in_cell(image, noise)`. `image` is `uint8` of shape (H, W, 3), `noise` is an array of floats of the same
# shape. Add the noise wherever the pixel is not black (any channel above 0), leave black pixels black, round, and return
# `uint8`. Mind what happens to 250 + 10 in eight bits.


# %% tags=["exercise"]
def noise_in_cell(image, noise):
    """Add noise to the pixels of the cell and leave the background black."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(noise_in_cell)


# %% tags=["solution", "hide-cell"]
def noise_in_cell(image, noise):
    """Add noise to the pixels of the cell and leave the background black."""
    cell = image.any(axis=-1, keepdims=True)
    return np.clip(np.rint(image + noise * cell), 0, 255).astype(np.uint8)


exercises.check(noise_in_cell)

# %% [markdown]
# ### 4. Change and explain
#
# Below *Five levels of noise*, load `people-round0.safetensors` instead of `images.safetensors`, and take its record: write
# `protocol="patient-disjoint", round=0` for `protocol="paper"`. Its test people are new to it. Does noise cost it more? Is it
# worse before any noise? Count its healthy people before you answer.

# %% [markdown]
# ## Quiz
#
# :::{dropdown} A network has ROC-AUC 0.85 and specificity 0 under noise. What is broken, and what could repair it?
# The threshold: every cell lies above it, but their order is good. A threshold chosen under this noise would repair it, if one knew the noise of the next picture.
# :::
#
# :::{dropdown} Why is noise in the cell only the fairer test?
# A program blackens the background after the picture was taken. Noise there could not be seen in practice, and on black it is not even zero-mean.
# :::
#
# :::{dropdown} A paper shows that its network loses one point under noise and calls it robust. What is missing?
# A network trained without the remedy, tested in the same way; the scatter between seeds; and sensitivity and specificity, because their changes cancel in accuracy.
# :::
#
# :::{dropdown} "Neither" leans to ALL under noise, "grey copies only" to HEM. Do grey copies decide the direction?
# One seed of "neither" cannot tell. Two of two with grey copies went to HEM, which makes it worth a test.
# :::

# %% [markdown]
# ## Take away
#
# - On clean cells of known people, on fold 1, augmentation buys nothing here. Under strong noise it is the difference between a network and little more
#   than a coin.
# - Training with noise helps about as far as its noise went. Even there specificity may fall by more than ten points.
# - Noise on a black background is not zero-mean. Test with noise in the cell as well.
# - Specificity can go to zero while ROC-AUC stays: the order is fine, the threshold is not.
# - Grey copies of one class taught the network that grey is healthy.
# - One point is seven images, and seeds differ by more.
#
# ## Further reading
#
# {cite:t}`dodge2016` were among the first to test networks under noise and blur. {cite:t}`hendrycks2019` made a benchmark
# of fifteen kinds of corruption. {cite:t}`bouthillier2021` take apart where the scatter of a benchmark comes from.
#
# Next: [ALNett and its peers](08_alnett.ipynb).
