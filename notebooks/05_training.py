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
# # Training
#
# After this chapter you can read every line of the paper's Table 5, train MobileNet_M with it, kill the
# training half-way and finish it with the same numbers, and read the curves of a run critically.
#
# > **You will learn**
# > - what loss, batch, epoch and learning rate mean, and what Adam does with them;
# > - when training slows down, when it stops, and which weights are kept;
# > - what half precision saves, and what it risks;
# > - what a training step sees, and why a killed run can end where it would have ended anyway;
# > - how our real run differs from Table 5, and what in the paper's account of training does not add up.
# >
# > **Before you start:** [Cropping and balancing](02_balancing.ipynb),
# > [Augmentation](03_augmentation.ipynb), [MobileNet_M](04_mobilenet_m.ipynb).
# >
# > **Run time:** about 75 s on two CPU cores (smoke profile); GPU: not measured.

# %% tags=["colab", "remove-cell"]
import sys

if "google.colab" in sys.modules:  # installs the package, and nothing that Colab has
    from IPython import get_ipython

    packages = "imaug==0.4.3 git+https://github.com/allm-book/allm@main"
    get_ipython().run_line_magic("pip", "install -q --no-deps " + packages)

# %% tags=["setup"]
import json
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import asdict, replace

import keras
import numpy as np
import pandas as pd

from allm_utils.book import exercises, figures, paper, profile
from allm_utils.data import cnmc, images, synthetic
from allm_utils.network import training
from allm_utils.runs import experiment, records

run = profile.banner()

# %% [markdown]
# ## Table 5 as code
#
# An untrained network is a guess with millions of numbers in it, its **weights**. Training shows it pictures
# whose answer is known and changes the weights a little after each look. How much, how often and how
# long is decided beforehand, by the **hyper-parameters**. The paper lists them in its Table 5. Here they
# are, beside the defaults of our code.

# %%
ours = asdict(training.TrainingConfig())
ours["l1"] = experiment.ExperimentConfig.l1
rows = {
    name: (value, ours.get(name, "the same"))
    for name, value in paper.HYPERPARAMETERS.items()
}
pd.DataFrame(rows, index=["Table 5", "our default"]).T

# %% [markdown]
# `lr_factor` stands in section 3.6 of the paper, not in the table. Optimiser and loss are fixed in
# `training.fit`. All ten agree. What the paper leaves open
# we had to choose, and every run of ours writes the choice into its record:

# %%
open_choices = {name: value for name, value in ours.items() if name not in rows}
pd.Series(open_choices, name="our choice").to_frame()

# %% [markdown]
# `balance` is the grey copy of chapter 2; `augment` and `clean_share` are the noise and the warps of chapter
# 3. `seed` starts every random draw. The rest of this chapter explains the others, one at a time.
#
# ## The loss: how wrong?
#
# The model answers with two probabilities, HEM and ALL, that add up to one. The **loss** of a picture is
# minus the logarithm of the probability given to its *true* class. {numref}`fig-training-loss` shows why
# that is a good scale: doubt costs little, confident error costs much.

# %% mystnb={"figure": {"name": "fig-training-loss", "caption": "Cross-entropy of one picture. No data."}, "image": {"alt": "A curve that falls steeply from the left: loss 3.0 where the true class gets 5 percent, 0.69 at 50 percent, 0.05 at 95 percent."}}
figures.cross_entropy()

# %% [markdown]
# A model that always says "50 : 50" has the loss $\log 2 = 0.69$. Remember that number: a model with more
# would do better to have no opinion.
#
# The loss of a batch of $B$ pictures is the mean over them, the **categorical cross-entropy** of Table 5,
# plus a price on large weights $w_j$ in the last layer:
#
# $$ L = -\frac{1}{B}\sum_{i=1}^{B} \log p_{i,\,y_i} + \lambda \sum_j |w_j| $$ (eq-training-loss)
#
# Here $p_{i,\,y_i}$ is the probability given to the true class $y_i$ of picture $i$. The second term of
# {eq}`eq-training-loss` is the **L1 regularisation** with $\lambda = 0.015$. It pushes weights that
# do not earn their keep to zero. How large is it before training begins? The last layer has 1024 × 2
# weights, drawn evenly between −0.05 and 0.05:

# %%
weights = np.random.default_rng(0).uniform(-0.05, 0.05, (1024, 2))
print(f"L1 term at the start: {0.015 * np.abs(weights).sum():.2f}")
print(f"cross-entropy of '50 : 50': {np.log(2):.2f}")

# %% [markdown]
# So at full width the loss starts near 1.5, and more than half of it has nothing to do with any picture.
# Keep this in mind when you read a loss curve, the paper's Fig. 6 included: *part of the early fall is the
# L1 term melting away.* Accuracy does not have this trouble.
#
# ## Gradient, learning rate, Adam
#
# The loss is a landscape over the weights, and training walks downhill. The **gradient** is the slope under
# our feet, one number per weight. The **learning rate** is the length of the step. Adam
# {cite:p}`kingma2015`, the paper's optimiser, keeps two running means for each weight: of the slope,
# $m$, and of its square, $v$. It steps by
#
# $$ \Delta w = -\eta\, \frac{\hat m}{\sqrt{\hat v} + \epsilon} $$ (eq-training-adam)
#
# where $\eta$ is the learning rate and the hats mean "corrected for having started at zero". The fraction is
# about ±1 as long as the slope keeps its sign. So **each weight moves by about $\eta$ per step**, however
# steep the hill. That is what makes one $\eta$ serve three million weights.
#
# Here is all of Adam, in a valley that is eight times steeper in one direction than in the other.


# %%
def valley(x, y):
    return x**2 + 8 * y**2


def adam(rate, steps=30):
    w, m, v, path = np.array([-1.2, 1.0]), 0, 0, []
    for t in range(1, steps + 1):
        path.append(w)
        slope = np.array([2 * w[0], 16 * w[1]])
        m, v = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope**2
        w = w - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
    return np.array([*path, w])


paths = {f"rate {rate}": adam(rate) for rate in (0.005, 0.1, 1.0)}

# %% mystnb={"figure": {"name": "fig-training-descent", "caption": "Thirty steps of Adam from the same start (square) with three learning rates; the star is where they end. A made valley, no data."}, "image": {"alt": "Three contour plots of a valley. With rate 0.005 the path ends close to the start, with 0.1 near the bottom, with 1.0 it overshoots and circles around the bottom."}}
figures.descent(valley, paths)

# %% [markdown]
# Too small, and thirty steps lead nowhere. Too large, and the path overshoots and circles. In a real network
# the best rate also changes on the way: large steps first, small ones near the bottom. Hence Table 5's
# "0.001 **to** 0.000001".
#
# ## Batches and epochs
#
# One step looks at one **batch** of 16 pictures, not at all of them: sixteen are enough to guess the slope.
# When every picture has been shown once, an **epoch** is over. Let us cut the data of this run as the paper
# does, and build the training data exactly as the training loop does.

# %%
root = synthetic.data_root(run)
source = "synthetic cells" if synthetic.is_synthetic(root) else "C-NMC 2019"
settings = training.TrainingConfig(
    epochs=run.epochs, batch_size=run.batch_size, learning_rate=run.learning_rate
)
config = experiment.ExperimentConfig(
    data=root, out=run.work / "chapter-5", work=run.work, image_size=run.image_size,
    crop=run.crop, alpha=run.alpha, weights=run.weights, bn_momentum=run.bn_momentum,
    training=settings,
)  # fmt: skip

# %%
frame, split = experiment.select(config)
labels = frame["label"].to_numpy(int)
pictures = images.load(
    frame, run.image_size, run.crop, run.work / "images", progress=False
)
train = np.flatnonzero(split == "train")
data = training.TrainingData(pictures, labels, settings, train)
print(f"fold 1 of {source}: {len(train)} training pictures")
print(f"{len(data.rows)} with the grey HEM copies, {len(data)} steps per epoch")

# %% [markdown]
# ## What a step sees
#
# Noise, warps and order are random. Yet nothing is left to chance: **a batch is a function of three numbers,
# the seed, the epoch and its place in the epoch.** It does not matter how many threads prepare it, what was
# drawn before, or whether the computer was switched off in between.

# %%
first, again, later = data.batch(0, 0), data.batch(0, 0), data.batch(1, 0)
print("epoch 1, batch 1, asked for twice: same", np.array_equal(first[0], again[0]))
print("epoch 2, batch 1:                  same", np.array_equal(first[0], later[0]))

# %% mystnb={"figure": {"name": "fig-training-batch", "caption": "The first four pictures of a batch: of epoch 1, of epoch 1 asked for again, and of epoch 2. Shown twice as bright. Cells of this run; synthetic in the published book."}, "image": {"alt": "Three rows of four rotated, noisy, dark cells with their class. The first two rows are identical, the third shows other cells."}}
shown = [batch[0][:4] for batch in (first, again, later)]
names = [
    f"{cnmc.CLASSES[labels[data.rows[i]]]}{', grey' if data.grey[i] else ''}"
    for epoch in (0, 0, 1)
    for i in data.order(epoch)[:4]
]
times = ["epoch 1", "again", "epoch 2"]
figures.cells(np.concatenate(shown), names, 4, 2.0, rows=times, source=source)

# %% [markdown]
# **Validation pictures get none of this.** They are cropped and resized, and that is all. The paper does not
# say whether its validation set was balanced or noisy; clean is our reading. One consequence
# follows at once: brightness 0.4 to 0.8 darkens every *training* picture and no other. So a network is trained
# in the dusk and judged by day. Its validation loss will be restless for that reason alone.
#
# ## When to slow down, when to stop
#
# After each epoch the loss on the validation part is measured. Three rules look at it:
#
# - **Plateau.** No smaller validation loss for 5 epochs: multiply the learning rate by 0.1, but not below
#   $10^{-6}$. Then count anew.
# - **Early stopping.** No smaller validation loss for 20 epochs: stop.
# - **Best weights.** At the end, put back the weights of the best epoch. The paper does not say so, but
#   an early stop makes little sense without it.
#
# {numref}`fig-training-patience` shows all three on a made list of losses, with shorter patience: 2 and 5.

# %% mystnb={"figure": {"name": "fig-training-patience", "caption": "Plateau with patience 2, early stopping with patience 5. The losses are made up."}, "image": {"alt": "Above, a validation loss that falls until epoch 7, marked best, and stays flat until epoch 12, marked stop. Below, the learning rate: 0.001 to epoch 5, then 0.0001 to epoch 9, 0.00001 to 11, 0.000001 in 12."}}
losses = [0.70, 0.55, 0.46, 0.48, 0.47, 0.40, 0.38, 0.39, 0.40, 0.385, 0.39, 0.392]
rates = [1e-3] * 5 + [1e-4] * 4 + [1e-5] * 2 + [1e-6]
figures.patience(losses, rates, best=7)

# %% [markdown]
# The validation part thus has a say in what the model becomes. It may not be used to report how good the model
# is: that is what the test part is for.
#
# ## Half precision and the device
#
# Numbers of 32 bits are the custom. GPUs are much faster with 16. Keras can mix: most of the network computes
# in `float16`, the weights are kept in `float32`. Our `precision="auto"` does so on a GPU, and
# stays with `float32` on a CPU, which gains nothing.

# %%
kinds = [np.finfo(kind) for kind in (np.float32, np.float16)]
pd.DataFrame(
    {
        "bits": [kind.bits for kind in kinds],
        "next after 1": [f"1 + {kind.eps:.0e}" for kind in kinds],
        "smallest": [f"{kind.smallest_subnormal:.0e}" for kind in kinds],
        "largest": [f"{kind.max:.0e}" for kind in kinds],
        "MobileNet_M": [f"{3_235_010 * kind.bits / 2**23:.2f} MiB" for kind in kinds],
    },
    index=["float32", "float16"],
).T

# %% [markdown]
# Three things to see:
#
# - Gradients are often smaller than `float16`'s smallest number, and would become zero. So the loss is
#   multiplied by a large factor first, and the gradients divided by it afterwards (*loss scaling*).
# - The softmax at the end stays in `float32`, because logarithms of rounded probabilities are poor.
# - 6.17 MiB is the "GPU Memory Requirement: 6.2 MB" of the paper's Table 4. It is the size of the
#   weights in half precision, not what training needs: that is gigabytes, for the activations of a batch.

# %%
device = "GPU" if profile.has_gpu() else "CPU"
print(f"{keras.backend.backend()} on a {device}, policy {settings.dtype_policy()}")

# %% [markdown]
# ## Train it
#
# `experiment.run` does everything in one call: split, prepare, build, fit, put the best weights back, test, and
# write a **record**, the file from which every number below is read. In the smoke profile the
# network is a quarter as wide, the pictures have 64 pixels, and the weights start at random
# (`weights=None`, in so many words). It trains anew each time. At full size the run is kept, and resumed.

# %%
path = config.out / config.experiment / f"{config.run_id()}.json"
if run.name == "smoke":
    shutil.rmtree(config.out, ignore_errors=True)
if not path.exists():
    experiment.run(config, resume=run.name == "full", progress=run.name == "full")
mine = records.load(path)

# %%
found = mine.metrics()
majority = max(found["tp"] + found["fn"], found["tn"] + found["fp"]) / found["n"]
print(f"{found['n']} test pictures, {source}")
print(f"accuracy {found['accuracy']:.3f}; always the larger class: {majority:.3f}")
print(f"recall: ALL {found['sensitivity']:.3f}, HEM {found['specificity']:.3f}")
print(f"ROC-AUC {found['roc_auc']:.3f}")

# %% [markdown]
# Better than always naming the larger class, and that is all this toy is asked for. On made cells the
# number means nothing beyond "the pipeline learns". Two things are still worth a look:
#
# - Are the two recalls far apart? Then the model leans to one class. A model trained on darkened pictures
#   finds test pictures bright, and ALL cells are the brighter ones, in C-NMC as in the made set.
# - Is the ROC-AUC, which looks only at the *order* of the answers, much better than the accuracy? Then the
#   model knows more than its threshold of 0.5 lets it say. [Chapter 6](06_evaluation.ipynb) is about that.
#
# ## The curves: Fig. 6
#
# The paper's Fig. 6 shows loss and accuracy by epoch. Ours shows the run you have just watched, and beside it
# the real one: MobileNet_M at full size on the real fold 1, read from its record.

# %%
real = records.paper_run(records.load_all(), fold=1)
if real is None:
    print("There is no record of the real fold 1 yet: its places below stay empty.")
else:
    print(f"Real fold 1, record {real.id}: {real.data['hardware']}")
    print(textwrap.fill(real.data["note"], 80))


# %% mystnb={"figure": {"name": "fig-training-curves", "caption": "Loss and accuracy by epoch (Fig. 6 of the paper). Dashed with dots: training; solid with triangles: validation; star: the epoch whose weights were kept; dotted: the learning rate fell. Left: this run, synthetic cells in the published book. Right: the real fold 1, from its record, if there is one."}, "image": {"alt": "Two columns of two panels with training and validation curves over the epochs; the left column is this run, the right one the real run or the words no record yet."}}
def history(record):
    return record.data["history"], record.data["best_epoch"]


title = f"this run: {source}, {run.image_size} px"
figures.curves({title: history(mine), "real fold 1, 224 px": real and history(real)})

# %% [markdown]
# How to read such a picture:
#
# 1. **Training accuracy below validation accuracy** is no mistake. Training pictures are noisy, warped and
#    dark, half of the features are dropped, and the average is taken while the network still learns.
# 2. **A jagged validation curve** at the first rate, and a calm one after the dotted line: the
#    steps were too long, as in the right panel of {numref}`fig-training-descent`.
# 3. **Training loss falls on, validation loss rises:** overfitting. The early stop is for that.
# 4. **The star is the luckiest epoch** out of many. Its validation loss is a little too good, by
#    selection. That is why the test part exists.
#
# ## Kill it, and resume it
#
# A full training takes hours, and machines get switched off. So after each epoch everything is saved to a
# **checkpoint**: weights, Adam's two means, the state of the dropout's random numbers, the counters of both
# kinds of patience, the best weights so far, and the curves. What a step sees need not be saved, because it
# depends on seed, epoch and batch alone.
#
# Does it work? We start the same run again, as a reader would do it in a terminal, and kill it without
# warning (`SIGKILL`, what a power cut looks like to a program) once two epochs are saved.


# %%
def epochs_saved(file):
    if not file.exists():
        return 0
    return len(json.loads(str(np.load(file)["counters"]))["history"]["loss"])


folder = run.work / "runs" / config.experiment / config.run_id()
checkpoint = folder / training.CHECKPOINT
options = {
    "data": root, "work": run.work, "out": config.out / "killed", "weights": "none",
    "image-size": run.image_size, "crop": run.crop, "alpha": run.alpha,
    "bn-momentum": run.bn_momentum, "epochs": run.epochs,
    "batch-size": run.batch_size, "learning-rate": run.learning_rate,
}  # fmt: skip
arguments = [f"--{name}={value}" for name, value in options.items()]
print("allm train", *arguments[3:])

# %%
if run.name == "smoke":  # at full size this would take another night
    shutil.rmtree(folder)
    command = [sys.executable, "-m", "allm_utils.cli", "train", *arguments]
    victim = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while victim.poll() is None and epochs_saved(checkpoint) < 2:
        time.sleep(0.05)
    victim.kill()
    assert victim.wait() == -signal.SIGKILL, "it ended before it could be killed"
    print(f"killed, with {epochs_saved(checkpoint)} of {run.epochs} epochs saved")

# %% [markdown]
# Now resume it, in this process, with the same configuration, and compare with the run that was never
# disturbed: every loss, every accuracy, and every probability for every test picture under every condition.

# %%
if run.name == "smoke":
    twin = replace(config, out=config.out / "killed")
    resumed = records.load(experiment.run(twin, resume=True, progress=False))
    same_curves = resumed.data["history"] == mine.data["history"]
    same_answers = resumed.predictions.equals(mine.predictions)
    print("all curves equal:", same_curves)
    print(len(mine.predictions), "answers equal:", same_answers)

# %% [markdown]
# *Equal* here means equal, not nearly. On a CPU with TensorFlow this is tested with every change of the
# package. On a GPU sums are not always taken in the same order, and two runs, killed or not, differ in the
# last digits. After many steps that is visible.
#
# ## What the real run did differently
#
# A record holds every setting of its run. So the question "did you really use Table 5?" is answered by
# the file, not by our memory:

# %%
if real is None:
    print("no record yet")
else:
    default = json.loads(json.dumps(asdict(training.TrainingConfig())))
    used = default | real.data["config"]  # older than some settings: those were 0
    differs = [name for name in default if used[name] != default[name]]
    rows = {name: (default[name], used[name]) for name in differs}
    print(pd.DataFrame(rows, index=["Table 5", "real run"]).T.to_string())
    epochs = real.data["epochs_run"]
    print(f"{epochs} epochs run, the best was epoch {real.data['best_epoch'] + 1}")
    print(f"{real.data['seconds'] / epochs / 60:.1f} minutes per epoch, all told")

# %% [markdown]
# Fewer epochs need a shorter patience, or the learning rate has no time to fall. It is a concession to a
# CPU, not an improvement. Table 5 is what runs by default.
#
# ## The whole thing, on a GPU
#
# On [Colab](https://colab.research.google.com), or on any machine with a GPU:
#
# 1. Choose a GPU runtime (*Runtime*, *Change runtime type*) and install the package, as the first cell of
#    every chapter does. In a Colab cell, write `!` before each command below.
# 2. Fetch C-NMC 2019 (10.4 GB, from Kaggle; no account is needed for public data) and check it:
#    `allm data download DEST`, then `allm data verify DEST`.
# 3. `allm train --data DEST --work WORK --fold 1`. On Colab let `WORK` be a folder of your Google Drive, so that
#    the checkpoint outlives the session.
# 4. Cut off? The same line with `--resume` at its end.
# 5. `allm scorecard --results WORK/records` puts your numbers beside the paper's.
#
# | | two CPU cores | one GPU |
# |---|---|---|
# | prepare fold 1, once | not measured | not measured |
# | one epoch of fold 1 at 224 px, 208 steps | printed above, from the record | not measured |
# | Table 5 in full | up to a hundred such epochs | not measured |
#
# Or run this very chapter there: with a GPU and `ALLM_DATA=DEST` set, the cells above train at full size.

# %% [markdown]
# ## Where the paper does not add up
#
# **Epochs.** Section 4.2 says that training and validation loss meet in epochs 16, 23 and 27, and that
# early stopping came after 30, 60 and about 40 epochs. With a patience of 20, a stop after 30 means
# that the best epoch was 10:

# %%
epochs = pd.DataFrame(paper.TRAINING).T[["converged_epoch", "stopped_epoch"]]
patience = paper.HYPERPARAMETERS["early_stop"]
epochs["so the best was"] = epochs["stopped_epoch"] - patience
epochs.astype(int).rename_axis("fold")

# %% [markdown]
# In folds 0 and 2 the best epoch then lies *before* the one where the curves are said to converge, in fold 1
# long after. It does not refute anything. It says that one of the statements is loose.
#
# **Versions.** The paper names tensorflow_gpu 2.4.1, Keras 2.10 and Python 3.9. That TensorFlow was never
# published for Python 3.9, and that Keras belongs to TensorFlow 2.10. It matters: before Keras 2.10 the
# brightness step first *stretched* each picture to the full range 0 to 255. Measured on 600
# real images, a cell's mean is 60 at test; in training it is 36 with the newer rule and 77 with the older. So
# training is darker than the test, or brighter, depending on a version we do not know. We use today's rule.
#
# **Batch statistics.** Batch normalisation ([chapter 4](04_mobilenet_m.ipynb)) uses the mean and spread of
# the batch in training, and a **running mean** of them at test. That running mean is built from dark, noisy pictures,
# and used on bright, clean ones. Nobody can see this from the training curve; the validation curve shows it.
#
# **Momentum.** There is a second trap in it. After $n$ steps the running mean still contains the share
# $\mu^n$ of its arbitrary start, $\mu$ being the momentum. Keras' default is 0.99.

# %% mystnb={"figure": {"name": "fig-training-momentum", "caption": "How much of their arbitrary start the running statistics of batch normalisation still hold. Computed; the lines mark steps of this run and of the paper's fold 1."}, "image": {"alt": "Two falling curves over training steps on a logarithmic axis. Momentum 0.9 forgets within 50 steps, momentum 0.99 needs about 500. Vertical lines mark the steps of this run and of one epoch of the paper's fold 1."}}
figures.memory(
    {"one epoch of this run": len(data), "one epoch of the real fold 1": 208}
)

# %% [markdown]
# With 0.99 and a few short epochs, a network trained from random weights is judged with statistics that
# are mostly the start's zeros and ones. It then tends to give one answer to everything. We saw it on the
# real fold 1, with a small network and 12 epochs: nearly every picture was called ALL (4 % of the HEM cells found,
# one seed, so an illustration and not a proof). That is why the smoke profile has momentum 0.9. ImageNet
# weights bring good statistics along, so the full profile keeps 0.99.
#
# The paper's Table 9 has a model "without balancing and augmentation" that does worse than always saying ALL,
# and blames the imbalance. A training that collapsed in this way would look the same. Only a repetition with several
# seeds could tell the two apart.
#
# ## Paper and us
#
# Accuracy on clean test pictures, by fold: Tables 6 to 8 of the paper, and our real runs. The interval
# is a 95 % bootstrap over pictures.

# %%
printed = {0: paper.TABLE_6, 1: paper.TABLE_7, 2: paper.TABLE_8}
rows = []
for fold, table in printed.items():
    record, row = (
        records.paper_run(records.load_all(), fold),
        {"paper": table[0]["accuracy"]},
    )
    if record is not None:
        low, high = record.intervals()["accuracy"]
        row["ours, real"] = f"{record.metrics()['accuracy']:.3f}"
        row |= {"95 %": f"{low:.3f} to {high:.3f}", "record": record.id}
    rows.append(pd.Series(row, name=f"fold {fold}"))
columns = ["paper", "ours, real", "95 %", "record"]
table = pd.DataFrame(rows).reindex(columns=columns)
table.fillna({"ours, real": "not run yet"}).fillna("")

# %% [markdown]
# And this run, on its own, because it is of another kind:

# %%
print(
    f"{source}, {run.image_size} px, width x{run.alpha}, {run.epochs} epochs: ", end=""
)
print(f"accuracy {found['accuracy']:.3f} (larger class {majority:.3f})")

# %% [markdown]
# Three caveats before you compare:
#
# - The paper's 0.96 of fold 1 is 95.5 % rounded up, by the counts that fit its Table 7
#   ([errata](../book/errata.md)).
# - One picture is 0.14 points. One seed says little about the second digit.
# - Both numbers come from a split *by image*: every patient of the test part is also in the training part.
#   They say how well the model knows **these** patients. They are no promise for a new one, and
#   nothing here is a diagnosis.
#
# ## Exercises

# %% [markdown]
# ### Exercise 1: the plateau rule
# Write `learning_rates(losses, rate, factor, patience, floor)`. `losses` are the validation losses, one
# per epoch. Return a list with the learning rate that each epoch was *trained* with: the first is `rate`. After
# `patience` epochs in a row without a new smallest loss, the next epoch's rate is `factor` times the rate, but at
# least `floor`, and counting begins anew.


# %% tags=["exercise"]
def learning_rates(losses, rate, factor, patience, floor):
    """Return the learning rate of every epoch."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_learning_rates, learning_rates)


# %% tags=["solution", "hide-cell"]
def learning_rates(losses, rate, factor, patience, floor):
    rates, best, waited = [], float("inf"), 0
    for loss in losses:
        rates.append(rate)
        if loss < best:
            best, waited = loss, 0
        else:
            waited += 1
        if waited >= patience:
            rate, waited = max(rate * factor, floor), 0
    return rates


exercises.check(exercises.check_learning_rates, learning_rates)

# %% [markdown]
# Try it on the losses behind {numref}`fig-training-patience`: it must give the list `rates` from there.
#
# ### Exercise 2: the epoch that is kept
# Write `early_stop(losses, patience)`. Return two numbers, counted from 1: the best epoch, and the last
# epoch that is run. Training ends after `patience` epochs in a row without a new smallest loss, or when
# `losses` ends.


# %% tags=["exercise"]
def early_stop(losses, patience):
    """Return the best epoch and the last one, counted from 1."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_early_stop, early_stop)


# %% tags=["solution", "hide-cell"]
def early_stop(losses, patience):
    best = 1
    for epoch, loss in enumerate(losses, start=1):
        if loss < losses[best - 1]:
            best = epoch
        elif epoch - best >= patience:
            return best, epoch
    return best, len(losses)


exercises.check(exercises.check_early_stop, early_stop)

# %% [markdown]
# ### Exercise 3: steps per epoch
# Write `steps(n_all, n_hem, batch_size)`: the number of steps in one epoch of the *balanced* training
# part, given its ALL and HEM images before balancing. The last batch may be smaller.


# %% tags=["exercise"]
def steps(n_all, n_hem, batch_size):
    """Return the number of training steps in one epoch."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_steps, steps)


# %% tags=["solution", "hide-cell"]
def steps(n_all, n_hem, batch_size):
    pictures = n_all + 2 * n_hem
    return -(-pictures // batch_size)


exercises.check(exercises.check_steps, steps)

# %% [markdown]
# ## Take-aways
#
# - The loss of Fig. 6 is cross-entropy plus the L1 term. Read the accuracy beside it.
# - Adam moves each weight by about the learning rate per step. The plateau rule makes the steps shorter when
#   they stop helping; early stopping ends the run; the best epoch's weights come back.
# - What a step sees is a function of seed, epoch and batch. With a complete checkpoint a killed run
#   ends bit for bit where it would have ended.
# - Training pictures are darker and noisier than validation and test pictures. Batch statistics carry that
#   difference into the test.
# - A record, not a memory, says how a run differs from Table 5.
#
# ## Further reading
#
# - Adam: {cite:t}`kingma2015`; learning rates and early stopping with their reasons: {cite:t}`goodfellow2016`,
#   chapters 7 and 8.
# - When to stop, and how good stopping rules differ: {cite:t}`prechelt1998`.
# - Half precision and loss scaling: {cite:t}`micikevicius2018`.
# - Batch normalisation: {cite:t}`ioffe2015`. Transfer from ImageNet: {cite:t}`yosinski2014`.
