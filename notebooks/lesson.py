# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # One lesson of 90 minutes
#
# After this lesson you can load a network and judge it, train one yourself, and say for whose cells its score is true.
#
# > **You will learn**
# > - the two ways of being wrong, and the number that weighs both;
# > - what a split by image hides;
# > - to train MobileNet_M on real cells, and to hold it against a ruler;
# > - why three test sets give one recipe three scores.
# >
# > **Before you start:** some Python. No biology, no graphics card, nothing installed.
# >
# > **Run time:** about 60 s on two CPU cores; run all of it while the lesson is introduced.
#
# | minute | part | cut from |
# |---|---|---|
# | 0 | Twelve cells, and you | [A first look](00_first_look.ipynb) |
# | 15 | Whose cells are these? | [The data set](01_dataset.ipynb) |
# | 35 | Train one | [Training](05_training.ipynb) |
# | 60 | What its score means | [Evaluation](06_evaluation.ipynb) |
# | 75 | The next person | [People never seen](10_unseen_people.ipynb) |

# %% tags=["setup", "hide-input"]
import keras
import numpy as np
import pandas as pd
from myst_nb import glue

from allm_utils.book import exercises, figures, profile, scorecard, widgets
from allm_utils.data import cnmc, images, people, sample, splits
from allm_utils.judge import metrics
from allm_utils.judge.predict import predict
from allm_utils.network import models, saving
from allm_utils.runs.records import RESULTS, Runs

run = profile.banner()
runs = Runs.load()
keras.utils.set_random_seed(1)

# %% [markdown]
# ## Twelve cells, and you
#
# *Minute 0.* Each picture shows one {term}`cell` from a stained {term}`smear`; all around it was made black. {term}`ALL` is a leukemic
# cell, {term}`HEM` a healthy one. Six of the twelve are leukemic. **Call them**, and then look what a trained network says.
# It has not seen these cells before.

# %%
network, card = saving.load(RESULTS / "models" / "images.safetensors")
record = runs.where(experiment="same-recipe", protocol="paper").one()
cells = sample.index(run.work)
cells["file"] = cnmc.file_names(cells)
tested = cells[cells["file"].isin(record.rows()["file"])]
pictures = images.load(tested, 224, 300, run.work / "images", progress=False)
tested = tested.assign(p_all=predict(network, pictures))

# %%
rows = tested.reset_index(drop=True).groupby("label").sample(6, random_state=3)
rows = rows.sample(frac=1, random_state=1)
credit = f"{run.credit}\nTheir {sample.people_shown(rows)}"
widgets.guess(pictures[rows.index], rows["label"], rows["p_all"], credit)

# %% [markdown]
# From 0.5 on, the network says ALL. It can err in two ways. {term}`Sensitivity <sensitivity>` is the share of leukemic
# cells that it finds, {term}`specificity` the share of healthy cells that it leaves in peace. Their mean is the
# {term}`balanced accuracy`: 0.5 for a coin.

# %%
right = (tested["p_all"] >= 0.5) == (tested["label"] == 1)
for label, name in enumerate(cnmc.CLASSES):
    print(f"{name} cells called rightly: {right[tested['label'] == label].mean():.2f}")

# %% [markdown]
# **Write it yourself.** `labels` and `answers` are arrays of 0 (HEM) and 1 (ALL).


# %% tags=["exercise"]
def balanced_accuracy(labels, answers):
    """Return the mean of sensitivity and specificity."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(balanced_accuracy)


# %% tags=["solution", "hide-cell"]
def balanced_accuracy(labels, answers):
    """Return the mean of sensitivity and specificity."""
    return (answers[labels == 1].mean() + 1 - answers[labels == 0].mean()) / 2


exercises.check(balanced_accuracy)

# %% [markdown]
# ## Whose cells are these?
#
# *Minute 15.* A file name tells the person and the smear. The package ships the list of all
# {glue:text}`lesson-n` training pictures of C-NMC 2019, without a pixel of them.

# %%
published = cnmc.shipped_index()
published[["path", "fold", "label", "subject", "smear"]].sample(3, random_state=2)

# %% tags=["remove-cell"]
glue("lesson-n", f"{len(published):,}", display=False)

# %% [markdown]
# The paper deals *pictures* at random into training, validation and test. Of the test pictures, how many have a
# neighbour in training: of the same person, or even of the same smear photograph?

# %%
met = {
    f"fold {fold}": splits.leakage(part, splits.paper_split(part))
    for fold, part in published.groupby("fold")
}
pd.DataFrame(met).T[["person", "smear"]].map("{:.0%}".format)

# %% [markdown]
# Everybody in the test is in training as well. And names mislead, for one person may stand under two of them:

# %%
print(published["subject"].nunique(), "names")
print(people.person(published["subject"]).nunique(), "people at most")

# %% [markdown]
# **Discuss, five minutes.** The test pictures were never trained on. Why is the test still not fair? Whose question does it
# answer?
#
# ## Train one
#
# *Minute 35.* Now a network of your own: MobileNet_M, a quarter of its width, on this page's cells, and first the data.

# %%
frame = run.frame()
labels = frame["label"].to_numpy(int)
split = splits.paper_split(frame)
part = {name: np.flatnonzero(split == name) for name in splits.PARTS}
pixels = images.load(frame, 128, 300, run.work / "images", progress=False)
print(*(f"{name} {len(rows)}" for name, rows in part.items()), sep=", ")

# %% tags=["once"]
own = models.mobilenet_m("imagenet", 128, alpha=0.25, bn_momentum=0.9, seed=0)
own.compile(
    keras.optimizers.Adam(2e-3), "categorical_crossentropy", metrics=["accuracy"]
)

# %% [markdown]
# It sees all training cells eight times:

# %% tags=["once"]
one_hot = keras.utils.to_categorical(labels, 2)
train, val, test = (part[name] for name in ("train", "val", "test"))
history = own.fit(
    pixels[train], one_hot[train], batch_size=16, epochs=8, verbose=0,
    validation_data=(pixels[val], one_hot[val]),
)  # fmt: skip

# %% mystnb={"figure": {"caption": "Accuracy by epoch of the network of this page, on a few hundred cells. Real cells of C-NMC 2019, those of this page.", "name": "fig-lesson-curve"}, "image": {"alt": "Two rising lines over eight epochs; that of training ends above that of validation."}} tags=["hide-input"]
figure, axis = figures.new(height=2.6)
curves = {"training": "accuracy", "validation": "val_accuracy"}
for (name, key), (colour, mark, line) in zip(
    curves.items(), figures.LOOKS, strict=False
):
    by_epoch = pd.Series(history.history[key], range(1, 1 + len(history.epoch)))
    axis.plot(by_epoch, line, color=colour, marker=mark)
    axis.text(len(by_epoch) + 0.1, by_epoch.iloc[-1], name)
axis.set(xlabel="epoch", ylabel="accuracy", xticks=by_epoch.index)
axis.set_xlim(right=1.2 * len(by_epoch))
figure

# %% [markdown]
# Is it any good? Beside every network stands the **ruler**: the share of the picture that the cell fills. It orders the test
# cells too, without learning anything. {term}`ROC-AUC` is the chance that a leukemic cell gets the higher value.

# %%
p_own = predict(own, pixels[test])
area = pixels[test].any(axis=-1).mean(axis=(1, 2))
for name, score in (("network", p_own), ("ruler", area)):
    print(f"{name} {metrics.metrics(labels[test], score)['roc_auc']:.2f}")

# %% [markdown]
# **Change one thing, and say what it did:** the epochs, the batch, or `None` in the place of the weights.
# Guess first.
#
# ## What its score means
#
# *Minute 60.* At the threshold 0.5 every test cell falls into one of four boxes:

# %% mystnb={"figure": {"caption": "The network of this page on its test cells, and the shipped one on those of its record. Truth in rows, answers in columns.", "name": "fig-lesson-confusion"}, "image": {"alt": "Two fields of two by two counts with their shares; the dark fields on the diagonal hold the right answers."}}
mine = metrics.metrics(labels[test], p_own)
figures.confusion({"this page": mine, "the record": record.metrics()})

# %% [markdown]
# How sure is such a number? An {term}`interval` says. Draw other *cells*, and it moves a little. Draw other *people*,
# and it moves more, because cells of one person go together.

# %%
intervals = {
    by: record.intervals(by=by)["balanced_accuracy"] for by in ("image", "person")
}
pd.DataFrame(intervals, ["from", "to"]).T.round(3)

# %% [markdown]
# **Discuss, five minutes.** Which of these numbers would you tell a patient's doctor?
#
# ## The next person
#
# *Minute 75.* The cells of the test were new, the people were not. Ask the same recipe about people who gave no cell to its
# training, and about people of another part of the data set:

# %% mystnb={"figure": {"caption": "Balanced accuracy of one recipe, by whose cells it is asked about; 95 % intervals by people. From run records.", "name": "fig-lesson-people"}, "image": {"alt": "Three dots with intervals, each further left than the one before; the last comes close to one half."}}
headline = scorecard.headline(runs)
lines = [
    (who, f"{row['people']:.0f} people", row["value"], row["low"], row["high"])
    for who, row in headline.iterrows()
]
figures.intervals(lines, "balanced accuracy", line=0.5, digits=2)

# %% tags=["remove-cell"]
for who, row in headline.iterrows():
    glue(
        f"lesson-{who.split()[-2 if 'outside' not in who else -1]}",
        f"{row['value']:.2f}",
        display=False,
    )
assert headline["value"].is_monotonic_decreasing

# %% [markdown]
# {glue:text}`lesson-known` for known people, {glue:text}`lesson-new` for new ones, {glue:text}`lesson-outside` outside. All
# three are true, and the paper reports the first.
#
# **Write the test that a split must pass.** `train` and `test` are Series of subject names. Mind two traps: H11 is not 11, and 20 is 21.


# %% tags=["exercise"]
def leaks(train, test):
    """Whether somebody is on both sides of the split."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(leaks)


# %% tags=["solution", "hide-cell"]
def leaks(train, test):
    """Whether somebody is on both sides of the split."""
    return bool(people.person(test).isin(people.person(train)).any())


exercises.check(leaks)

# %% [markdown]
# ## Take away
#
# - A score is a score on somebody. Ask whose cells were tested before you ask how many.
# - A split by image keeps the person on both sides.
# - Hold a network against a ruler. If it does not win, you cannot tell that it has learnt more than size.
# - Intervals belong to people, not to cells.
#
# **To go on:** any chapter of the book. Nothing here is a medical device.
