# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Training
#
# After this chapter you can read every line of the paper's Table 5, train MobileNet_M with it, kill the training
# half-way and finish it with the same numbers, and read the curves of a run critically.
#
# > **You will learn**
# > - what loss, batch, epoch and learning rate mean, in eight lines of Keras;
# > - when training slows down, when it stops, and which weights are kept;
# > - what a training step sees, and why a killed run can end where it would have ended anyway;
# > - how our runs of Table 5 compare with the paper's, seed by seed.
# >
# > **Before you start:** [Cropping and balancing](02_balancing.ipynb),
# > [Augmentation](03_augmentation.ipynb), [MobileNet_M](04_mobilenet_m.ipynb).
# >
# > **Run time:** about 130 s on two CPU cores (smoke profile); GPU: minutes for a run of Table 5.

# %% tags=["setup", "hide-input"]
import shutil

import keras
import numpy as np
import pandas as pd
from myst_nb import glue

from allm_utils.book import exercises, figures, paper, profile, scorecard
from allm_utils.data import cnmc, images, sample, splits
from allm_utils.judge import metrics
from allm_utils.judge.predict import predict
from allm_utils.network import models, training
from allm_utils.runs.records import Runs

run = profile.banner()
runs = Runs.load()

# %% [markdown]
# ## In brief
#
# Trained as Table 5 says, with three seeds a fold, our MobileNet_M reaches an accuracy of {glue:text}`fold-0` on fold 0
# and {glue:text}`fold-1` on fold 1. The paper prints {glue:text}`printed` for both. Rounded, the best of our three reaches
# it on each fold, and the others lie below. One seed says little about the second digit.

# %% tags=["remove-cell"]
table_5 = runs.where(experiment="table5")
reached = {
    fold: sorted(record.metrics()["accuracy"] for record in table_5.where(fold=fold))
    for fold in (0, 1)
}
for fold, values in reached.items():
    glue(f"fold-{fold}", f"{values[0]:.3f} to {values[-1]:.3f}", display=False)
accuracy_printed = {0: paper.TABLE_6[0]["accuracy"], 1: paper.TABLE_7[0]["accuracy"]}
assert set(accuracy_printed.values()) == {0.96}
assert all(round(values[-1], 2) == 0.96 > values[-1] for values in reached.values())
glue("printed", f"{accuracy_printed[0]:.2f}", display=False)
assert all(max(one.data["history"]["val_accuracy"]) > 0.9 for one in table_5)

# %% mystnb={"figure": {"caption": "Loss and accuracy by epoch (Fig. 6 of the paper), seed 1337. The star is the epoch whose weights were kept; at each dotted line the learning rate falls. Our records of folds 0 and 1 of C-NMC 2019, 224 pixels.", "name": "fig-training-curves"}, "image": {"alt": "Two columns, fold 0 and fold 1, of two panels each. Training loss falls steadily; validation loss is restless at first and calm after the learning rate has fallen; accuracies rise above 0.9."}} tags=["hide-input"]
shown = [table_5.where(fold=fold, seed=1337).one() for fold in (0, 1)]
figures.curves(
    {
        f"fold {fold}": (record.data["history"], record.data["best_epoch"])
        for fold, record in enumerate(shown)
    }
)

# %% [markdown]
# ## How wrong?
#
# An untrained network is a guess with millions of numbers in it. Training shows it pictures whose answer is known and
# changes the numbers a little after each look. The {term}`loss` of a picture is minus the logarithm of the probability
# given to its *true* class. It is called **cross-entropy**: doubt costs little, confident error costs much.

# %% mystnb={"figure": {"caption": "Cross-entropy of one picture, from the formula. The line is a guess of 50:50.", "name": "fig-training-loss"}, "image": {"alt": "A curve that falls steeply from the left and reaches zero where the true class gets the whole probability."}} tags=["hide-input"]
given = np.linspace(0.02, 1, 200)
figure, axis = figures.new(height=2.6)
axis.plot(given, -np.log(given))
axis.axvline(0.5, color="#7F7F7F", linewidth=1)
axis.set(xlabel="probability given to the true class", ylabel="loss")
figure

# %% [markdown]
# "50:50" costs $\log 2 = 0.69$. A model with a higher mean loss would do better to have no opinion. The loss of a {term}`batch` of $B$ pictures is
# the mean over them plus the L1 penalty of [chapter 4](04_mobilenet_m.ipynb):
#
# $$ L = -\frac{1}{B}\sum_{i=1}^{B} \log p_{i,\,y_i} + \lambda \sum_j |w_j| $$ (eq-training-loss)
#
# Here $p_{i,y_i}$ is the probability given to the true class $y_i$ of picture $i$, $w_j$ are the weights of the last
# layer, and $\lambda = 0.015$. At full width the penalty starts above the loss of a blind guess. The narrow
# network of this page has a quarter of the weights in that layer, and starts with a quarter of the penalty. So *part of the
# early fall of a loss curve is the L1 term melting away*, in the paper's Fig. 6 too. Accuracy does not have this trouble.
#
# ## Downhill
#
# The loss is a landscape over the weights. The **gradient** is the slope under our feet. The {term}`learning rate` $\eta$ is the length of a
# step. {term}`Adam` {cite:p}`kingma2015` keeps two running means for each weight, of the slope, $m$, and of its square, $v$:
#
# $$ \Delta w = -\eta\, \frac{\hat m}{\sqrt{\hat v} + \epsilon} $$ (eq-training-adam)
#
# The hats make up for the start, when both means still remember zero; $\epsilon$ keeps the fraction finite. It is about
# ±1 while the slope keeps its sign. So **each weight moves by at most about $\eta$ a step**, however steep the
# hill, and by less where its slope changes sign. Take a valley that is eight times steeper one way than the other:


# %%
def valley(x, y):
    return x**2 + 8 * y**2


# %% [markdown]
# And here is all of Adam, on its way down:


# %%
def adam(rate, steps=30):
    w, m, v, path = np.array([-1.2, 1.0]), 0, 0, []
    for t in range(1, steps + 1):
        path.append(w)
        slope = np.array([2 * w[0], 16 * w[1]])
        m, v = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope**2
        w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
    return np.array([*path, w])


# %% mystnb={"figure": {"caption": "Thirty steps of Adam from the same start, upper left, with three learning rates. The lowest point is in the middle. An invented valley, no data.", "name": "fig-training-descent"}, "image": {"alt": "Three contour plots of a valley. With the smallest rate the path ends close to the start, with the middle one near the bottom, with the largest it overshoots and circles."}} tags=["hide-input"]
grid = np.meshgrid(np.linspace(-1.3, 1.3, 120), np.linspace(-1.3, 1.3, 120))
figure, axes = figures.new(1, 3, 2.0, sharex=True, sharey=True)
for axis, rate in zip(axes, (0.005, 0.1, 1.0), strict=True):
    path = adam(rate)
    axis.contour(*grid, valley(*grid), 12, colors="#7F7F7F", linewidths=0.8)
    axis.plot(*path.T, ".-", color="#CC79A7")
    axis.set(title=f"rate {rate}", xticks=[], yticks=[], aspect="equal")
    axis.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3))
figure

# %% [markdown]
# In a real network the best rate changes on the way: large steps first, small ones near the bottom. Hence Table 5's
# "0.001 **to** 0.000001".
#
# ## Eight lines of Keras
#
# When every picture has been shown once, an {term}`epoch` is over. Let us cut this page's cells as the paper does, and train
# the network of chapter 4 for two epochs, with plain Keras: no balancing, no augmentation.

# %% tags=["setup"]
frame = run.frame()
split = splits.paper_split(frame)
labels = frame["label"].to_numpy(int)
rows = {part: np.flatnonzero(split == part) for part in splits.PARTS}
pictures = images.load(
    frame, run.image_size, run.crop, run.work / "images", progress=False
)
print(*(f"{part} {len(which)}" for part, which in rows.items()), sep=", ")

# %% tags=["once"]
network = models.mobilenet_m(run.weights, run.image_size, run.alpha, seed=0)
one_hot = keras.utils.to_categorical(labels, 2)
train, val = rows["train"], rows["val"]
network.compile("adam", "categorical_crossentropy", metrics=["accuracy"])

# %% tags=["remove-cell", "once"]
if run.alpha == 0.25:
    dense = network.get_layer("prediction").get_weights()[0]
    penalty = 0.015 * np.abs(dense).sum()
    assert 4 * dense.size == 2048 and 4 * penalty > np.log(2) > penalty

# %% [markdown]
# The network is ready, and `fit` does the work:

# %% tags=["once"]
history = network.fit(
    pictures[train], one_hot[train], batch_size=16, epochs=2, verbose=0,
    validation_data=(pictures[val], one_hot[val]),
)  # fmt: skip
epochs = pd.DataFrame(history.history, index=["epoch 1", "epoch 2"]).round(2)
epochs.rename(columns=lambda name: name.replace("val_", "validation "))

# %% [markdown]
# That is training. The validation accuracy lags behind, because it uses the running means of batch normalisation, and these
# still remember the start ({numref}`fig-mobilenet-memory`). Build the network with `bn_momentum=0.9` and fit it again: the
# training is the same, and the validation much better.
#
# All else in this chapter answers three questions: what does a step see, when does it end, and what if the
# machine is switched off?
#
# ## What a step sees
#
# The package's `TrainingData` adds the grey copies and the warps, in the background while the network computes. Noise, warps
# and order are random. Yet nothing is left to chance: **a batch is a function of three numbers, the seed, the epoch and
# its place in the epoch.**

# %%
settings = training.TrainingConfig(
    epochs=run.epochs, batch_size=run.batch_size, learning_rate=run.learning_rate
)
data = training.TrainingData(pictures, labels, settings, train)
first, again, later = data.batch(0, 0), data.batch(0, 0), data.batch(1, 0)
print("batch 1 of epoch 1, again: equal", np.array_equal(first[0], again[0]))
print("batch 1 of epoch 2:        equal", np.array_equal(first[0], later[0]))

# %% mystnb={"figure": {"caption": "The first four pictures of a batch of epoch 1, and of epoch 2. Real cells of C-NMC 2019, those of this page; shown twice as bright.", "name": "fig-training-batch"}, "image": {"alt": "Two rows of four rotated, noisy, dark cells with their class; the rows show other cells."}} tags=["hide-input"]
names = [
    f"{cnmc.CLASSES[labels[data.rows[i]]]}{', grey' if data.grey[i] else ''}"
    for epoch in (0, 1)
    for i in data.order(epoch)[:4]
]
both = np.concatenate([first[0][:4], later[0][:4]])
who = frame.iloc[data.rows[[*data.order(0)[:4], *data.order(1)[:4]]]]
credit = f"{run.credit}\n{sample.people_shown(who)}"
figures.cells(both, names, 4, rows=("epoch 1", "epoch 2"), source=credit)

# %% [markdown]
# **Validation pictures get none of this**; clean is our reading of the paper. One consequence: every *training* picture is
# darkened and no other is. So a network is trained in the dusk and judged by day. That may be one reason why the validation
# loss in {numref}`fig-training-curves` is so restless at first.
#
# ## When to slow down, when to stop
#
# After each epoch the loss on the validation part is measured, and three rules look at it:
#
# - **Plateau.** No smaller loss for 5 epochs: multiply the learning rate by 0.1, but not below $10^{-6}$.
# - **Early stopping.** No smaller loss for 20 epochs: stop.
# - **Best weights.** At the end, put back those of the best epoch. The paper does not say so, but an early stop makes
#   little sense without it.
#
# The validation part thus has a say in what the model becomes. It may not be used to report how good it is.
#
# ## Train it
#
# `training.fit` does all that in one call. Here is the smoke profile: a quarter of the width, small pictures, few epochs,
# ImageNet weights. Beside it stands the **ruler**: how well does the area of the cell alone order the same test cells?

# %% tags=["once"]
more = {"bn_momentum": run.bn_momentum, "seed": settings.seed}
toy = models.mobilenet_m(run.weights, run.image_size, run.alpha, **more)
held_out, kept = (pictures[val], labels[val]), run.checkpoints
curve = training.fit(toy, data, held_out, settings, kept, resume=True, progress=False)
print(f"{len(curve)} epochs, the best was number {curve.best_epoch + 1}")

# %% [markdown]
# What do both say of the test cells?

# %%
test = rows["test"]
answers = predict(toy, pictures[test])
area = pictures[test].any(axis=-1).mean(axis=(1, 2))

# %% tags=["hide-input"]
rates = metrics.metrics(labels[test], answers)
share = labels[test].mean()
by_area = metrics.metrics(labels[test], area)["roc_auc"]
compared = pd.DataFrame(
    {
        "accuracy": [rates["accuracy"], np.nan, max(share, 1 - share)],
        "sensitivity": [rates["sensitivity"], np.nan, share > 0.5],
        "specificity": [rates["specificity"], np.nan, share <= 0.5],
        "balanced accuracy": [rates["balanced_accuracy"], np.nan, 0.5],
        "ROC-AUC": [rates["roc_auc"], by_area, 0.5],
    },
    index=["this network", "area alone", "the larger class"],
)
compared.astype(float).map("{:.3f}".format).replace("nan", "–")

# %% tags=["remove-cell"]
glue("n-train", f"{len(train):,}", display=False)
if not run.data:
    assert rates["roc_auc"] > by_area > 0.5

# %% [markdown]
# The toy orders about a hundred test cells better than the ruler does. One seed is luck, so a test of the package trains it
# with three, and holds that the mean ROC-AUC lies above the ruler's. It has learnt from {glue:text}`n-train`, where
# a fold has about 2,500 pictures, and has a fifteenth of the weights. It shows that the pipeline learns; its numbers are no result.
# Look at two things all the same:
#
# - Are sensitivity and specificity far apart? Then the model leans to one class.
# - Would another threshold, chosen on the validation part, be right more often? Then the model knows more than its
#   threshold of 0.5 lets it say. A ROC-AUC above the accuracy alone does not show that.
#   [Chapter 6](06_evaluation.ipynb) says more.
#
# ## Kill it, and resume it
#
# Machines get switched off. So after each epoch everything is saved to a {term}`checkpoint`: weights, Adam's two means, the dropout's
# random numbers, the counters of both kinds of patience, the best weights, the curves. What a step sees need not be saved,
# because it depends on seed, epoch and batch alone. Does it work? One run goes through. In another the lights go
# out in the third epoch, and a **fresh** network goes on from its checkpoint.


# %%
small = images.load(frame, 32, run.crop, run.work / "images", progress=False)


class PowerCut(training.TrainingData):
    """Training pictures until the lights go out, in the third epoch."""

    def batch(self, epoch, index):
        if epoch == 2:
            raise RuntimeError("the lights went out")
        return super().batch(epoch, index)


# %% [markdown]
# The networks are small, and all start from the same random numbers:


# %%
def train_small(kind, folder=None, resume=False):
    """A small network, trained for four epochs; returns its weights."""
    short = training.TrainingConfig(epochs=4)
    model = models.mobilenet_m(None, 32, 0.25, bn_momentum=0.9, seed=7)
    parts, held_out = kind(small, labels, short, train), (small[val], labels[val])
    training.fit(model, parts, held_out, short, folder, resume, progress=False)
    return model.get_weights()


# %% tags=["once"]
folder = run.work / "chapter-5"
shutil.rmtree(folder, ignore_errors=True)
straight = train_small(training.TrainingData)
try:
    train_small(PowerCut, folder)
except Exception:  # TensorFlow wraps ours in its own
    print("the lights went out; two epochs are saved")

# %% [markdown]
# A fresh network goes on from there. Does it end as the one that was never stopped?

# %% tags=["once"]
resumed = train_small(training.TrainingData, folder, resume=True)
same = all(np.array_equal(a, b) for a, b in zip(straight, resumed, strict=True))
print(len(straight), "arrays of weights, equal to the last bit:", same)

# %% tags=["remove-cell"]
assert same

# %% [markdown]
# *Equal* means equal, not nearly. The package's tests kill the process with `SIGKILL`, which looks like a power cut, and
# compare in the same way. On a GPU sums are not always taken in the same order, and two runs differ in their last digits.
# A record of a resumed run lists every process that worked on it.
#
# ## Half precision
#
# GPUs are much faster with 16 bits than with 32. Keras can mix: most of the network computes in `float16`, the weights stay
# in `float32`, and so does the softmax. Gradients may be smaller than the smallest `float16`; so the loss is multiplied by a large factor first, and
# the gradients divided by it afterwards. `precision="auto"` does this on a GPU only.
#
# ## The whole thing, on a GPU
#
# ```bash
# allm data download DEST
# allm train --data DEST --work WORK --fold 1
# allm train --data DEST --work WORK --fold 1 --resume
# allm scorecard --results WORK/records
# ```
#
# The second line is Table 5 to the letter; the third goes on where it was cut off. On Colab choose a GPU runtime, write
# `!` before each line, and let `WORK` be a folder of your Google Drive, so that the checkpoint outlives the session.
#
# ## Paper and us
#
# The settings of Table 5, *paper / ours*:

# %%
scorecard.table("Table 5")

# %% [markdown]
# All lines agree. What the paper leaves open we had to choose, and every record writes the choice down: the dropout rate, what
# is noisy and what is not, which weights are kept. Now the three seeds of each fold, and when they stopped. Accuracy is that
# of the test part:

# %% tags=["hide-input"]
lines = {}
for record in table_5:
    details = record.data
    lines[f"fold {details['folds'][0]}, seed {details['seed']}"] = {
        "accuracy": f"{record.metrics()['accuracy']:.3f}",
        "best epoch": details["best_epoch"] + 1,
        "stopped after epoch": details["epochs_run"],
    }
for fold, when in paper.TRAINING.items():
    if fold in reached:
        lines[f"fold {fold}, the paper"] = {
            "accuracy": f"{accuracy_printed[fold]:.2f}",
            "best epoch": f"{when['converged_epoch']}, “converged”",
            "stopped after epoch": when["stopped_epoch"],
        }
pd.DataFrame(lines).T.sort_index(key=lambda names: names.str[:6], kind="stable")

# %% [markdown]
# - The paper says that its curves meet in epochs 16, 23 and 27, and that training stopped after 30, 60 and about 40. With a
#   patience of 20 the best epochs were then 10, 40 and 20. **None matches**, unless a converged curve is something else than
#   a best epoch.
# - Ours stop in the same range. Two runs that differ in the seed, and so in the split too, differ by up to
#   {glue:text}`seed-spread` in accuracy. Keep that number in mind for every comparison in this book.
# - These are tests on *known people* ([chapter 10](10_unseen_people.ipynb)). They are no promise for a new person, and nothing
#   here is a diagnosis.
#
# For **new people** two trainings can lie much further apart. We trained a recipe of [chapter 11](11_what_helps.ipynb) twice on the
# same people, which fixes the validation part too: {glue:text}`epochs-first` epochs on a GPU, and {glue:text}`epochs-again` on a CPU, from other random numbers. The
# validation loss was lowest in epoch {glue:text}`best-first` of the first and in epoch {glue:text}`best-again` of the second. On one round of
# new people their ROC-AUC is {glue:text}`twice-first` and {glue:text}`twice-again`. Four judges asked together have {glue:text}`twice-four` there; with the
# second network as a fifth they have {glue:text}`twice-five`. What one training shows about new people, another may not.

# %% tags=["remove-cell"]
glue("seed-spread", f"{max(v[-1] - v[0] for v in reached.values()):.3f}", display=False)
assert all(0.01 < 0.96 - values[0] < 0.025 for values in reached.values())

# %% tags=["remove-cell"]
round_0 = runs.where(protocol="patient-disjoint", round=0)
twice = {"first": "full-draw", "again": "full-draw-again"}
twice = {key: round_0.where(experiment=name).one() for key, name in twice.items()}
order = {key: one.metrics()["roc_auc"] for key, one in twice.items()}
for key, name in {"four": "together", "five": "together-again"}.items():
    several = round_0.where(experiment=name).one()
    order[key] = several.metrics("together")["roc_auc"]
assert order["again"] < order["first"] - 0.05 and order["five"] < order["four"] - 0.005
assert len({one.data["split"]["val"]["sha256"] for one in twice.values()}) == 1
for key, value in order.items():
    glue(f"twice-{key}", f"{value:.3f}", display=False)
for key, one in twice.items():
    glue(f"epochs-{key}", str(one.data["epochs_run"]), display=False)
    glue(f"best-{key}", str(one.data["best_epoch"] + 1), display=False)

# %% [markdown]
# ## Exercises
#
# ### 1. Predict, then run
#
# The losses below fall, rise and fall again. With a patience of 3, after which epoch does training stop? Write it down
# first.

# %% tags=["exercise"]
guess = ...  # a number of epochs

# %% tags=["check"]
losses = [0.70, 0.55, 0.46, 0.48, 0.47, 0.50, 0.38, 0.39]
best = int(np.argmin(losses[:6]))
exercises.check(exercises.check_guess, guess, best + 1 + 3)

# %% tags=["solution", "hide-cell"]
exercises.check(exercises.check_guess, 6, 6)  # the 0.38 of epoch 7 is never seen

# %% [markdown]
# ### 2. When does it end?
#
# Write `early_stop(losses, patience)`. It returns two numbers, counted from 1: the best epoch, and the epoch after which
# training ends. Then use it on the records, with a patience of 20: does it give the epochs of the table above?


# %% tags=["exercise"]
def early_stop(losses, patience):
    """Return the best epoch and the last one."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(early_stop)


# %% tags=["solution", "hide-cell"]
def early_stop(losses, patience):
    """Return the best epoch and the last one."""
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        if epoch - best == patience:
            return best + 1, epoch + 1
    return best + 1, len(losses)


exercises.check(early_stop)
for one in table_5:
    folds, seed = one.data["folds"], one.data["seed"]
    print(
        f"fold {folds[0]}, seed {seed}:",
        *early_stop(one.data["history"]["val_loss"], 20),
    )

# %% [markdown]
# ### 3. Count the steps
#
# Write `steps(n_all, n_hem, size)`: how many steps has an epoch with this many training pictures of each class, batches of
# `size`, and the paper's balancing, which shows every HEM picture twice?


# %% tags=["exercise"]
def steps(n_all, n_hem, size):
    """Return the steps of one epoch."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(steps)


# %% tags=["solution", "hide-cell"]
def steps(n_all, n_hem, size):
    """Return the steps of one epoch."""
    return -(-(n_all + 2 * n_hem) // size)


exercises.check(steps)

# %% [markdown]
# ### 4. Change and explain
#
# In the eight lines, set the learning rate to 0.1: compile with `keras.optimizers.Adam(0.1)`. What do loss and accuracy do,
# and which panel of {numref}`fig-training-descent` does that look like?
#
# :::{dropdown} What happens
# The loss stays several times that of a blind guess, and the validation accuracy is a coin's. Every step is so long that it
# jumps across the valley: the third panel.
# :::
#
# ## Quiz
#
# :::{dropdown} Training accuracy lies below validation accuracy. A mistake?
# No. Training pictures are noisy, warped and dark, half of the features are dropped, and the average is taken while the
# network still learns.
# :::
#
# :::{dropdown} Why is the validation loss of the best epoch a little too good?
# It is the luckiest of many. That is why there is a test part.
# :::
#
# :::{dropdown} Two recipes differ by one point of accuracy, one seed each. Which is better?
# You cannot say: two seeds of one recipe differ by that much.
# :::
#
# ## Take away
#
# - The loss asks how much probability the truth was given; the learning rate says how far a step goes.
# - A step sees what seed, epoch and batch decide. So a killed run ends where it would have ended.
# - Patience, early stopping and best weights all look at the validation part. The test part is looked at only once,
#   at the end.
# - One training is one draw, for new people even more than for known ones.
# - Rounded, the best of three seeds reaches the paper's accuracy; the worst lies more than one point below it.
#
# ## Further reading
#
# {cite:t}`kingma2015` on Adam. [Chapter 7](07_noise.ipynb) says what all the noise in training was good for.
