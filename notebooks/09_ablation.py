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
# # Ablation
#
# After this chapter you can say which part of a recipe does the work, design the runs that show it, and
# recognise a comparison that cannot show it.
#
# > **You will learn**
# > - why the paper's Table 9, which compares two models, cannot say what made the difference;
# > - to read from printed precisions which class a model leans to;
# > - to plan a 2 × 2 grid, and to compute main effects and their interaction, with intervals;
# > - how a network can learn well and still give one answer to everything at test;
# > - why a control group is needed before the grey copies are blamed, and what it shows;
# > - what the L1 penalty and the scaling of the pixels do to the network, and what they do not.
# >
# > **Before you start:** [Balancing](02_balancing.ipynb), [Training](05_training.ipynb),
# > [Evaluation](06_evaluation.ipynb).
# >
# > **Run time:** about 50 s on two CPU cores (smoke profile); GPU: not needed.

# %% tags=["colab", "remove-cell"]
import sys

if "google.colab" in sys.modules:  # installs the package, and nothing that Colab has
    from IPython import get_ipython

    packages = "imaug==0.4.3 git+https://github.com/allm-book/allm@main"
    get_ipython().run_line_magic("pip", "install -q --no-deps " + packages)

# %% tags=["setup"]
import keras
import numpy as np
import pandas as pd
from keras import layers
from scipy import stats

# %% tags=["setup"]
from allm_utils.book import exercises, figures, paper, profile
from allm_utils.data import cnmc, images, splits, synthetic
from allm_utils.judge import metrics
from allm_utils.network import balance, models, training
from allm_utils.runs import experiment, records

run = profile.banner()

# %% [markdown]
# ## What Table 9 shows
#
# An **ablation** takes one part out of a recipe and looks at what is lost. The paper has one, its Table 9.
# **MAC** is MobileNet_M as in the other tables, with balancing and augmentation. **MCN** is the same
# network trained on the classes as they are, without augmentation.

# %%
rows = {
    (f"fold {fold}", name): printed
    for fold, models_of in paper.TABLE_9.items()
    for name, printed in models_of.items()
}
pd.DataFrame(rows).T

# %% [markdown]
# MCN is far worse. The paper concludes that "class imbalance affects the generalization of MobileNet_M in favor of
# the ALL class", the larger one. Two checks, before we believe it. First, what does a program get that
# answers ALL without looking?

# %%
for fold, models_of in paper.TABLE_9.items():
    n_all, n_hem = (paper.TABLE_1[fold][name]["test"] for name in ("ALL", "HEM"))
    always, printed = n_all / (n_all + n_hem), models_of["MCN"]["accuracy"]
    word = "below" if printed < always else "above"
    print(f"fold {fold}: always ALL {always:.3f}, MCN {printed}: {word}")

# %% [markdown]
# In two folds out of three MCN is worse than not looking, and in the third it is hardly better.
# To favour the larger class more and more leads *to* that class's share, and not below it. So, second: which class does it
# favour? As in [chapter 6](06_evaluation.ipynb), we try all confusion matrices and keep those that round to
# the printed row. The names of the columns differ, the idea is the same.

# %%
NAMES = ["precision_all", "precision_hem", "precision_weighted", "accuracy"]


def matrices(printed, n_all, n_hem):
    tp, fp = (grid.ravel() for grid in np.mgrid[0 : n_all + 1, 0 : n_hem + 1])
    rates = metrics.rates_from_counts(tp, fp, n_all - tp, n_hem - fp)
    rates["auc"] = rates["balanced_accuracy"]  # chapter 6 shows it
    fits = np.abs(rates["auc"] - printed["auc"]) <= 0.0005 + 1e-9
    for name in NAMES:
        fits &= np.abs(rates[name] - printed[name]) <= 0.005 + 1e-9
    tp, fp = tp[fits], fp[fits]
    return pd.DataFrame({"tp": tp, "fn": n_all - tp, "fp": fp, "tn": n_hem - fp})


# %%
table = {}
for fold, models_of in paper.TABLE_9.items():
    n_all, n_hem = (paper.TABLE_1[fold][name]["test"] for name in ("ALL", "HEM"))
    for name, printed in models_of.items():
        fits = matrices(printed, n_all, n_hem)
        first = fits.iloc[0]
        called_hem = (first["fn"] + first["tn"]) / (n_all + n_hem)
        shares = first["tp"] / n_all, first["tn"] / n_hem, called_hem
        table[f"fold {fold}", name] = [len(fits), *shares, n_hem / (n_all + n_hem)]
columns = ["matrices", "ALL found", "HEM found", "called HEM", "is HEM"]
pd.DataFrame(table, columns).T.astype({"matrices": int}).round(3)

# %% [markdown]
# One matrix, or two that differ by a hair, fits each row (if the "AUC" is balanced accuracy). MCN finds **nearly
# every healthy cell** and misses about half of the leukemic ones, or more. It calls most cells HEM,
# where a third is.
#
# So MCN leans to **HEM, the minority**. Imbalance pushes the other way. Whatever went wrong in that training,
# it was not what the paper says.

# %% [markdown]
# ## Two changes at once
#
# There is a second trouble, and it would remain if MCN were healthy. Between MCN and MAC **two** things change.
# Put the two models on a grid of all combinations:

# %%
fold_1 = paper.TABLE_9[1]
grid = pd.DataFrame("?", ["no balance", "balance"], ["no augmentation", "augmentation"])
grid.loc["no balance", "no augmentation"] = str(fold_1["MCN"]["accuracy"])
grid.loc["balance", "augmentation"] = str(fold_1["MAC"]["accuracy"])
grid

# %% [markdown]
# Two corners are filled, and two are empty. The gap of 0.27 may be the work of balancing, of
# augmentation, of both together, or of a chance in one training. The two effects are **confounded**:
# no statistics can part them afterwards.
#
# With all four corners $y_{ba}$ ($b$ and $a$ are 1 with balance and with augmentation, else 0), it is easy:
#
# $$ \text{effect of balance} = \frac{(y_{10} - y_{00}) + (y_{11} - y_{01})}{2} $$ (eq-ablation-main)
#
# and in the same way for augmentation. Each effect is a mean of two differences, one without and one with the
# other factor. If the two differ, the factors **interact**:
#
# $$ \text{interaction} = (y_{11} - y_{01}) - (y_{10} - y_{00}) $$ (eq-ablation-interaction)
#
# Note that *all four* runs serve *each* effect. That is why a grid beats changing one thing at a time
# {cite:p}`box2005`. (In {eq}`eq-ablation-interaction` some books put a factor ½.)

# %% [markdown]
# ## A grid in half a minute
#
# Let us run the grid now. A MobileNet_M takes too long, so a **small network** has to do: three
# convolutions and 32 pixels a side. It gets 600 pictures at most, so that real data take no longer than made
# ones. The training data are built by the same code as for the big one.

# %%
root = synthetic.data_root(run)
source = "synthetic cells" if synthetic.is_synthetic(root) else "C-NMC 2019"
frame = cnmc.index(root).query("split == 'train'").reset_index(drop=True)
frame = frame.sample(min(600, len(frame)), random_state=0).reset_index(drop=True)
split, labels = splits.paper_split(frame), frame["label"].to_numpy(int)
pictures = images.load(frame, 32, 300, run.work / "images", progress=False)
train, test = (np.flatnonzero(split == part) for part in ("train", "test"))
print(f"{len(train)} to train, {len(test)} to test: {source}")


# %%
def network(seed, momentum=0.9):
    keras.utils.set_random_seed(seed)
    stack = [keras.Input((32, 32, 3)), layers.Rescaling(1 / 255)]
    for width in (16, 32, 64):
        stack.append(layers.Conv2D(width, 3, 2, "same", use_bias=False))
        stack += [layers.BatchNormalization(momentum=momentum), layers.ReLU()]
    stack += [layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax")]
    return keras.Sequential(stack)


# %% [markdown]
# A trap waits here. Balancing adds a third more pictures, so its epochs have a third more *steps*. "Ten
# epochs with and without balance" would again change two things: the pictures, and how long is trained. We
# fix the **number of steps** instead. Also the same are, for each seed, the first weights.

# %%
STEPS, SEEDS = 80, 3
model = network(0)
rate = keras.optimizers.schedules.CosineDecay(0.01, STEPS)  # falls to zero: a calm end
model.compile(
    keras.optimizers.Adam(rate), "categorical_crossentropy", jit_compile=False
)
model.optimizer.build(model.trainable_variables)
fresh = [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables]


def train_small(copies, augment, seed):
    config = training.TrainingConfig(
        batch_size=64, balance=copies, augment=augment, seed=seed
    )
    data = training.TrainingData(pictures, labels, config, train)
    model.set_weights(network(seed).get_weights())
    for variable, value in zip(model.optimizer.variables, fresh, strict=True):
        variable.assign(value)  # compiled once, started anew
    for step in range(STEPS):
        model.train_on_batch(*data.batch(*divmod(step, len(data))))


# %% [markdown]
# Four corners, and a third level for later: `both`, grey copies of both classes. One training says little,
# so each corner is trained with three **seeds**: other first weights, other batches, other noise. After each
# training we ask about the test cells in colour, and about the same cells in grey.

# %%
grey = balance.desaturate(pictures[test])
corners, found = [(c, a) for a in (False, True) for c in balance.GREY], []
for copies, augment in corners:
    for seed in range(SEEDS):
        train_small(copies, augment, seed)
        for kind, shown in (("in colour", pictures[test]), ("in grey", grey)):
            rates = metrics.metrics(labels[test], metrics.predict(model, shown))
            row = {"copies": copies, "augment": augment, "seed": seed, "kind": kind}
            found.append(row | rates)
live = pd.DataFrame(found)

# %%
colour = live[live["kind"] == "in colour"]
shown = ["accuracy", "balanced_accuracy", "sensitivity", "specificity", "roc_auc"]
colour.groupby(["augment", "copies"])[shown].mean().round(3)


# %% mystnb={"figure": {"name": "fig-ablation-live", "caption": "The grid, trained while this page was built: mean of three seeds, bars from the lowest to the highest. Small network, cells of this run; synthetic in the published book. Dotted: an answer without looking."}, "image": {"alt": "Two lines, with and without augmentation, over no grey copies, copies of HEM, and copies of both. The bars from the lowest to the highest seed overlap widely."}}
AUGMENTED = {False: "no augmentation", True: "augmentation"}
COPIES = {"none": "none", "hem": "HEM (paper)", "both": "both classes"}


def over_seeds(values):
    return values.min(), values.mean(), values.max()


by_seed = colour.set_index(["copies", "augment", "seed"])["balanced_accuracy"]
by_seed = by_seed.sort_index()
lines = {
    AUGMENTED[a]: {COPIES[c]: over_seeds(by_seed[c, a]) for c in balance.GREY}
    for a in AUGMENTED
}
figures.interaction({f"this run: {source}": lines}, "balanced accuracy", baseline=0.5)

# %% [markdown]
# Look first at the **bars**, then at the lines. Where the bars are as long as the distances between the
# points, the picture shows chance. The effects, seed by seed:


# %%
def effects(corner):
    """Main effects and interaction of corner[copies, augment], arrays or numbers."""
    without = corner["hem", False] - corner["none", False]
    with_it = corner["hem", True] - corner["none", True]
    noise_and_warps = [corner[c, True] - corner[c, False] for c in ("none", "hem")]
    return {
        "balance": (without + with_it) / 2,
        "augmentation": sum(noise_and_warps) / 2,
        "interaction": with_it - without,
    }


table = pd.DataFrame(effects({key: by_seed[key].to_numpy() for key in corners}))
table.loc["mean"] = table.mean()
table.loc["± (95 %, t)"] = stats.t.ppf(0.975, SEEDS - 1) * table[:SEEDS].sem()
table.round(3).rename_axis("seed")

# %% [markdown]
# The last line is half the width of a 95 % interval for the mean over seeds. With three seeds it is wide: the
# factor of Student's t is 4.3. Where it is larger than the mean above it (without its sign), **this run does not even know the sign
# of the effect.** It would take many more seeds, or effects as large as the paper's 0.27.
#
# And be strict about what the toy can tell in any case. It knows 600 pictures, which in the published book were drawn by
# a program; its network is not MobileNet; and it is trained for seconds. It says nothing about leukemia. What it shows is
# how such a grid is run and read, and how far seeds scatter.

# %% [markdown]
# ## The grid on real cells
#
# Now the real fold 1. Our records hold every setting, so we let the *configuration* place each run on the
# grid, not its name: runs of MobileNet_M in the paper's protocol that are alike in all settings but
# `balance` and `augment`.

# %%
FACTORS = ("balance", "augment")
recorded = records.load_all()


def on_fold_1(record):
    if "source" in record.data:
        return False  # a trained model that was tested again
    keys = ("model", "folds", "protocol")
    return [record.data[key] for key in keys] == ["mobilenet_m", [1], "paper"]


families = {}
for record in filter(on_fold_1, recorded):
    config, seed = record.data["config"], record.data["seed"]
    changes = experiment.changed(config, {})  # against what the package does by itself
    rest = seed, *(f"{k}: {changes[k]}" for k in changes if k not in FACTORS)
    place = tuple(config[key] for key in FACTORS)
    families.setdefault(rest, {}).setdefault(place, record)
largest = max(families.values(), key=len, default={})
real = largest if len(largest) > 1 else {}

# %%
rows = {}
for place in corners:
    name = f"copies: {COPIES[place[0]]}; {AUGMENTED[place[1]]}"
    rows[name] = {"record": "not run yet"}
    if place in real:
        values = real[place].metrics()
        rows[name] = {"record": real[place].data["experiment"]} | {
            key: round(values[key], 3) for key in shown
        }
pd.DataFrame(rows).T.fillna("")


# %% mystnb={"figure": {"name": "fig-ablation-real", "caption": "The grid on the real fold 1: balanced accuracy of MobileNet_M, one training each, as far as they are recorded. Bars: 95 % bootstrap intervals by image. Dotted: an answer without looking."}, "image": {"alt": "Two lines, with and without augmentation, over no grey copies, copies of HEM and copies of both classes; or the words not run yet."}}
def with_interval(record):
    low, high = record.intervals()["balanced_accuracy"]
    return low, record.metrics()["balanced_accuracy"], high


points = {place: with_interval(record) for place, record in real.items()}
lines = {
    AUGMENTED[a]: {COPIES[c]: points.get((c, a), np.nan) for c in balance.GREY}
    for a in AUGMENTED
    if points
}
figures.interaction({"real fold 1": lines}, "balanced accuracy", baseline=0.5)

# %% [markdown]
# See how small the differences are. Our four corners lie within a few points of one another; a gap of 27 points, as between
# the paper's MCN and MAC on this fold, is not among them. And our MCN is not worse than our MAC. Mind the size of these runs, though:
# 112 pixels and 8 epochs. Augmentation is a remedy against overfitting, which needs time; in eight epochs it
# mostly makes the pictures harder, and darker than those of the test. (Copies of both classes come out lowest. That run kept the weights of
# its third epoch, so it was hardly trained.) A full training may turn the order round. (The full run at 224 pixels is no neighbour of these: it had more epochs, too.)
#
# Is any of it more than chance? All runs answer about the **same** test images, so we need not compare two scattering numbers. Take one image. In
# each of the four runs it was called rightly (1) or wrongly (0), and {eq}`eq-ablation-main` can be computed
# *for this image alone*. The effect on accuracy is the mean over the images, and its interval comes from
# drawing images, or subjects, with replacement. (Few subjects make the second kind too short, however wide it looks.)


# %%
def effect(per_image, people):
    by_image = stats.bootstrap((per_image,), np.mean, method="percentile", rng=0)
    groups = pd.Series(per_image).groupby(np.asarray(people)).agg(["sum", "size"])
    by_subject = stats.bootstrap(
        tuple(groups.to_numpy(float).T),
        lambda total, n, axis: total.sum(axis) / n.sum(axis),
        paired=True,
        method="percentile",
        rng=0,
    )
    limits = [*by_image.confidence_interval, *by_subject.confidence_interval]
    return [per_image.mean(), *limits]


# %%
square, table = [(c, a) for c in ("none", "hem") for a in (False, True)], {}
if all(place in real for place in square):
    answers = {place: real[place].rows().sort_values("file") for place in square}
    truth = answers["none", False]["label"].to_numpy()
    people = cnmc.merged_subject(answers["none", False]["subject"]).to_numpy()
    right = {
        p: ((a["p_all"] >= 0.5) == truth).to_numpy(float) for p, a in answers.items()
    }
    parts = {"all": truth >= 0, "ALL": truth == 1, "HEM": truth == 0}
    for name, per_image in effects(right).items():
        for kind, part in parts.items():
            table[name, kind] = effect(per_image[part], people[part])
names = ["effect", "low", "high", "low, by subject", "high, by subject"]
pd.DataFrame(table, names).T.round(3) if table else "needs all four corners"

# %% [markdown]
# *all* is the effect on accuracy, *ALL* that on sensitivity, *HEM* that on specificity. HEM hangs on three
# people. What we read:
#
# - **Balance** finds more of the healthy cells, and may lose a few of the leukemic ones. Both have the direction that
#   [chapter 2](02_balancing.ipynb) predicts: balancing *moves errors*. Accuracy gains a little, and by subject not
#   even its sign is certain.
# - **Augmentation** costs some points, in this short training.
# - **Interaction**: none to be seen. But its interval is nearly as wide as the effect of balance, so a large one could hide in it.
#
# And all of this is far smaller than the gap in Table 9.
#
# Two cautions. These runs have the same number of *epochs*, as is the custom, so those with copies took a third more
# steps: the trap from above. And one thing is missing from both intervals: another **seed**. Each corner was trained once.
# In the toy, seeds scatter as much as these effects. And in the last epochs of the real runs, the
# validation accuracy still jumps by several points from one epoch to the next.
#
# And the paper's own comparison, MCN against MAC? The same images once more, with McNemar's test and its
# cousin that swaps whole subjects ([chapter 6](06_evaluation.ipynb) tells why cells of one person are no
# independent witnesses):

# %%
first, last = real.get(("none", False)), real.get(("hem", True))
if first and last:
    a, b = (record.rows().sort_values("file") for record in (last, first))
    pair = a["label"].to_numpy(int), a["p_all"].to_numpy(), b["p_all"].to_numpy()
    people = cnmc.merged_subject(a["subject"])
    test_of = metrics.paired_test(*pair)
    print("only MAC right:", test_of["only_a"], " only MCN right:", test_of["only_b"])
    print(f"McNemar, by image: p = {test_of['pvalue']:.3g}")
    swapped = metrics.paired_test_by_subject(*pair, people)
    print(f"MAC - MCN: {swapped['difference']:+.3f}")
    print(f"by subject: p = {swapped['pvalue']:.3g}")
else:
    print("not run yet: needs MCN and MAC at the same size")

# %% [markdown]
# What does another seed do? It deals the split anew, starts the head elsewhere and shuffles the batches differently. Here is the
# MAC recipe, at this size, with each seed that was run. (The test images are others, so the rows cannot be paired.)

# %%
table = {}
for record in filter(on_fold_1, recorded):
    if last and not experiment.changed(record.data["config"], last.data["config"]):
        values, limits = record.metrics(), record.intervals()
        table[f"seed {record.data['seed']}"] = {
            key: "{:.3f} ({:.3f} to {:.3f})".format(values[key], *limits[key])
            for key in ("accuracy", "sensitivity", "specificity", "roc_auc")
        }
pd.DataFrame(table).T

# %% [markdown]
# **This is the most important table of the chapter.** Two trainings of one recipe, and they differ by *more than any effect of the grid*: the second
# calls nearly half of the healthy cells leukemic. The ROC-AUC of the two is nearly the same, so it is again the lean of a network that was stopped at
# some place of a jumping curve. The intervals and p-values above know nothing of this scatter. So for trainings as short as ours, read every
# effect of a few points as *unknown*, ours and anybody's, until it has been seen with several seeds. (At 224 pixels, with longer schedules, two seeds are
# one or two points of accuracy apart on clean pictures, and four or five under noise: see [chapter 7](07_noise.ipynb).)

# %% [markdown]
# ## A collapse that is not imbalance
#
# If imbalance does not explain MCN, what could? Here is a suspect, caught in the act: the **running
# statistics** of batch normalisation ([chapter 5](05_training.ipynb)). In training, each channel is shifted and
# scaled by the mean and spread of the *batch*. At test, by a running mean of them, which at every step keeps most of its old value (99 % at a momentum of 0.99) and takes the rest of the new one. It starts at mean 0 and spread 1, whatever the data.
#
# Same network, same unbalanced data, no augmentation. The momentum is Keras' default of 0.99, the training is shorter (60 steps), and its steps stay
# long to the end. We want to see the mechanism, not to compare.

# %%
slow = network(0, momentum=0.99)
slow.compile(keras.optimizers.Adam(3e-3), "categorical_crossentropy", jit_compile=False)
config = training.TrainingConfig(batch_size=64, balance="none", augment=False, seed=0)
data = training.TrainingData(pictures, labels, config, train)
for step in range(60):
    slow.train_on_batch(*data.batch(*divmod(step, len(data))))
print(f"share of the start left in the statistics: {0.99**60:.0%}")

# %% [markdown]
# We ask it three times: at test as it is; about its own training pictures *in training mode*, as Keras does
# while it trains; and at test again, after we have **refreshed the statistics**: ten times all training
# pictures in training mode, without a single step. No weight changes.

# %%
at_test = metrics.predict(slow, pictures[test])
in_training = np.asarray(slow(pictures[train], training=True))[:, 1]
for layer in slow.layers:
    if isinstance(layer, layers.BatchNormalization):
        layer.momentum = 0.5  # ten passes are then enough
for _ in range(10):
    slow(pictures[train], training=True)
refreshed = np.asarray(slow(pictures[test], training=False))[:, 1]

# %% mystnb={"figure": {"name": "fig-ablation-collapse", "caption": "One network with momentum 0.99 after 60 steps, asked in three ways. Small network, cells of this run; synthetic in the published book."}, "image": {"alt": "Three panels of the probability of ALL. At test both classes pile up in the same narrow place. In training mode, and at test with refreshed statistics, HEM lies left and ALL right."}}
panels = {
    "test pictures, statistics as they were": (labels[test], at_test),
    "training pictures, training mode": (labels[train], in_training),
    "test pictures, statistics refreshed": (labels[test], refreshed),
}
figures.answers(panels, f"small network, {source}")

# %%
rows = {title: metrics.metrics(*answered) for title, answered in panels.items()}
pd.DataFrame(rows).T[["accuracy", "sensitivity", "specificity"]].astype(float).round(2)

# %% [markdown]
# The network **has learned**: it knows its training pictures, and, once the statistics are right, the test
# pictures. Asked the usual way it gives one answer to everything. The training accuracy does not show it; a validation accuracy does. (Here the one answer is ALL. The
# paper's MCN leans to HEM and still separates the classes somewhat. So this is a mechanism, and not their numbers.)
#
# ### Our own MCN as a witness
#
# Is this what happened to the paper's MCN? Its authors start from ImageNet weights, which bring statistics along,
# so it need not happen. But we have an MCN of our own on the real fold 1: same network, classes as they are,
# no augmentation. At the end of its training it is a sound model:

# %%
always = paper.TABLE_1[1]["ALL"]["test"] / 718  # 485 ALL and 233 HEM
print(f"always ALL {always:.3f}; the paper's MCN {paper.TABLE_9[1]['MCN']['accuracy']}")
if first:
    values, (low, high) = first.metrics(), first.intervals()["accuracy"]
    print(f"our MCN {values['accuracy']:.3f} ({low:.3f} to {high:.3f});", end=" ")
    print(f"ALL found {values['sensitivity']:.3f}, HEM {values['specificity']:.3f}")
    print(first.data["note"])

# %% [markdown]
# It stands where MAC stands, and it leans to **ALL**, as imbalance would have it. So the imbalance of 2 : 1 does *not*
# ruin this network. Now look at how it got there ({numref}`fig-ablation-witness`).


# %% mystnb={"figure": {"name": "fig-ablation-witness", "caption": "Loss and accuracy by epoch of our MCN (no balance, no augmentation) and our MAC (both) at reduced size on the real fold 1, from their records. Validation pictures are clean in both."}, "image": {"alt": "Two columns of two panels. Left, MCN: training accuracy starts at 0.85 and rises, validation accuracy starts near 0.5, below the larger class, for two epochs and then jumps above 0.9. Right, MAC: validation accuracy starts at 0.91 and dips to 0.82 in the third epoch."}}
def history(record):
    return record and (record.data["history"], record.data["best_epoch"])


figures.curves({"our MCN": history(first), "our MAC": history(last)})

# %%
if first:
    epochs = pd.DataFrame(first.data["history"])[["accuracy", "val_accuracy"]].head(4)
    print(epochs.rename_axis("MCN, epoch").rename(lambda i: i + 1).round(3))

# %% [markdown]
# In its first two epochs our MCN has the same symptom as the paper's: **good in training, and below *always ALL* on clean
# pictures.** The paper's three values are 0.57, 0.69 and 0.47. In the third epoch it recovers. (Which class it favoured in the valley was not logged.)
#
# Is it a matter of MCN, that is, of imbalance? Here is the validation accuracy of all runs of the grid, epoch by epoch:

# %%
valleys = {
    f"copies: {COPIES[c]}; {AUGMENTED[a]}": real[c, a].data["history"]["val_accuracy"]
    for c, a in corners
    if (c, a) in real
}
pd.DataFrame(valleys).rename(lambda i: i + 1).rename_axis("epoch").T.round(2)

# %% [markdown]
# **No.** The deepest valley of all belongs to a *balanced* run, in its fifth epoch. Such valleys come and go as long as the learning rate is
# high. Perhaps the weights run ahead and the running statistics limp behind. One run of each cannot tell who is prone to them.
#
# This does not prove what happened to the authors; they kept the weights of the best validation loss, which should avoid a valley. It does show that
# such numbers need no imbalance, and that the imbalance alone does not make them.

# %% [markdown]
# ## The grey shortcut, with controls
#
# The paper gives grey copies to HEM only, so in training *grey means HEM*. [Chapter 2](02_balancing.ipynb)
# showed that our real network calls every grey cell healthy, and asked for a **control**: what does a network
# say about grey cells that has *never seen one*? It has to say something. Only if the answer changes with
# the grey copies, and goes away when both classes get them, are the copies to blame.
#
# The live grid has all three, with three seeds each:


# %%
def called_all(part):
    return {
        kind: {
            "ALL": over_seeds(rows["sensitivity"]),
            "HEM": over_seeds(1 - rows["specificity"]),
        }
        for kind, rows in part.groupby("kind")
    }


rows = {
    f"copies: {COPIES[copies]}\n{AUGMENTED[augment]}": called_all(
        live.query("augment == @augment and copies == @copies")
    )
    for copies, augment in corners
}

# %% mystnb={"figure": {"name": "fig-ablation-grey-live", "caption": "Share of test cells called ALL, in colour and in grey, by training set: mean of three seeds, bars from the lowest to the highest. Small network, cells of this run; synthetic in the published book."}, "image": {"alt": "Two panels. In colour, for every training set ALL cells lie right and HEM cells left. In grey, the marks of both classes lie together for the training sets without grey copies and for those with copies of HEM, and apart again for copies of both classes."}}
figures.grey_response(rows, f"small network, {source}")

# %% [markdown]
# In colour all training sets look alike: *the test that everybody runs does not see the shortcut.* In grey
# they part.
#
# - **Copies of HEM** (the paper): grey cells of both classes are called HEM.
# - **No copies**: grey cells are judged, too, and badly. Look where the marks lie: it need not be the middle. On
#   the made cells this network calls them ALL, probably because taking the maximum of the channels makes a cell brighter,
#   and bright means ALL. Nobody taught it; it is an accident of the data.
# - **Copies of both**: the classes come apart again. Grey has stopped being an answer.
#
# So *here* the control does behave like a control: with and without the copies the network errs in
# opposite directions. That is the attribution that one run with grey copies could not give.
#
# And on real cells? The records, as far as there are any:


# %%
def share_called_all(record, condition):
    values, limits = record.metrics(condition), record.intervals(condition)
    low, high = limits["specificity"]
    found = limits["sensitivity"][0], values["sensitivity"], limits["sensitivity"][1]
    return {"ALL": found, "HEM": (1 - high, 1 - values["specificity"], 1 - low)}


rows = {}
full_size = records.paper_run(recorded, fold=1)
again = [r for r in recorded if r.data["experiment"] == "ablation-mac" and on_fold_1(r)]
again = [r for r in again if r.data["seed"] != real["hem", True].data["seed"]]
for record in filter(None, [*map(real.get, corners), *again, full_size]):
    config = record.data["config"]
    name = f"copies: {COPIES[config['balance']]}, {config['image_size']} px"
    name += f", seed {config['seed']}" if record in again else ""
    rows[f"{name}\n{AUGMENTED[config['augment']]}"] = {
        kind: share_called_all(record, condition)
        for kind, condition in (("in colour", "clean"), ("in grey", "grey"))
    }

# %% mystnb={"figure": {"name": "fig-ablation-grey-real", "caption": "The same on the real fold 1: MobileNet_M, one training each. Bars: 95 % bootstrap intervals by image."}, "image": {"alt": "Two panels, one line per record. In colour ALL cells lie right and HEM cells left. In grey, after training with grey copies of HEM, both classes lie at zero per cent called ALL; with copies of both, ALL lies right and HEM left again."}}
figures.grey_response(rows, "C-NMC 2019, fold 1")

# %% [markdown]
# Compare the lines in grey. **Without** copies nearly all grey ALL cells are found. With copies of **HEM**, not a single one, with augmentation and
# without it. So "grey means HEM" is not what the network says by itself.
#
# But copies of HEM change *two* things, as we scolded above: there are grey pictures, and there are more HEM pictures. (Our earlier probe, with a
# tiny network, once had HEM cells copied *in colour*, and called most grey cells HEM, too. So this is no idle worry.) The line with copies of
# **both** classes parts the two. Grey pictures are there, and the ratio of the classes is as it was. And grey cells are told apart again.
#
# So what the paper's recipe teaches is not to see without colour, but that grey is an answer. It takes copies of *both* classes to teach the other
# thing. What the greater number of HEM pictures adds by itself, these runs cannot say.
#
# Does the network merely put its threshold elsewhere in grey? The ROC-AUC knows no threshold. The last lines are from
# [chapter 10](10_unseen_patients.ipynb): trained on fold 0, tested on other people.

# %%
shown = {
    f"fold 1, {COPIES[c]}, {AUGMENTED[a]}": real[c, a]
    for c, a in corners
    if (c, a) in real
}
shown |= {f"fold 1, HEM (paper), seed {r.data['seed']}": r for r in again}
shown["fold 1, HEM (paper), 224 px"] = full_size
for kind, name in {"unseen": "HEM (paper)", "unseen-grey-both": "both classes"}.items():
    for record in recorded:
        if record.data["experiment"] == kind and record.data["folds"] == [0, 1]:
            shown[f"fold 0 to 1, {name}"] = record
table = {}
for name, record in shown.items():
    in_grey, limits = record.metrics("grey"), record.intervals("grey")
    table[name] = [in_grey["sensitivity"], in_grey["specificity"], in_grey["roc_auc"]]
    table[name] += list(limits["roc_auc"])
names = ["ALL found in grey", "HEM found in grey", "ROC-AUC in grey", "low", "high"]
pd.DataFrame(table, names).T.round(3)

# %% [markdown]
# With grey copies of HEM the ROC-AUC jumps about from training to training, and once falls *below* a half. All grey cells get nearly the same small probability, and
# their order is an accident of the run. With copies of both classes it is high, in both tests. (Among known patients and new ones; one training each.)

# %% [markdown]
# ## L1: what a price on weights buys
#
# The paper credits L1 regularisation with preventing overfitting. It acts on the last layer only: 2,048
# weights of 3.2 million. A penalty of $\lambda = 0.015$ is added to the loss for each unit of $|w|$
# ({eq}`eq-training-loss`). What did it do? We need no data to ask: our trained network of fold 1 comes with
# this book.

# %%
trained, card = models.load(records.RESULTS / "models" / "mobilenet_m-fold1.keras")
kernel, bias = trained.get_layer("prediction").get_weights()
start = np.random.default_rng(0).uniform(-0.05, 0.05, kernel.shape)
for name, weights in (("at the start", start), ("trained", kernel)):
    small = [(np.abs(weights) < size).mean() for size in (1e-2, 1e-3, 1e-5)]
    print(f"{name:12}: L1 term {0.015 * np.abs(weights).sum():.3f};", end=" ")
    print("below 0.01, 0.001, 0.00001:", *(f"{share:.1%}" for share in small))

# %% mystnb={"figure": {"name": "fig-ablation-l1", "caption": "The 2,048 weights of the last layer by size: as they start (drawn evenly between -0.05 and 0.05), and after training with L1. Real data, record mobilenet_m-paper-fold1-seed1337."}, "image": {"alt": "Two falling curves on a logarithmic axis. The trained weights lie about a factor of ten below those of the start; both curves drop steeply only at their right end."}}
figures.magnitudes({"at the start": start, "trained": kernel}, 0.01)

# %% [markdown]
# L1 is known for making weights *exactly* zero. Here it made them **small**, ten times smaller, but hardly any zero.
# Adam steps back and forth over the kink at zero by about the learning rate; to land on it takes another
# kind of step. How much of the loss is the penalty, at the end?

# %%
rows = records.load(records.RESULTS / f"{card['record']}.json").rows()
true_class = np.where(rows["label"] == 1, rows["p_all"], 1 - rows["p_all"])
cross_entropy = -np.log(np.clip(true_class, 1e-7, 1)).mean()
penalty = 0.015 * np.abs(kernel).sum()
print(f"cross-entropy on test {cross_entropy:.3f}, L1 term {penalty:.3f}:", end=" ")
print(f"{penalty / (cross_entropy + penalty):.0%} of the sum")

# %% [markdown]
# A third of the loss is a price on 0.06 % of the weights. What is it that gets cheaper? Three looks.
#
# **The two columns mirror each other.** A softmax sees only the difference of its two inputs, so half of the
# weights say what the other half says:

# %%
print(f"correlation of the columns: {np.corrcoef(kernel.T)[0, 1]:.3f}")
score = kernel[:, 1] - kernel[:, 0]
largest = np.sort(np.abs(score))[::-1]
print(f"the 100 largest of 1024 carry {largest[:100].sum() / largest.sum():.0%}")

# %% [markdown]
# **The smallest weights hardly matter.** Set every weight below a size to zero and ask the network about some cells of
# this run. What changes?

# %%
some = frame.iloc[test].groupby("label").head(6)["path"]
asked = np.stack([images.prepare(path, 224, card["crop"]) for path in some])
before, rows = metrics.predict(trained, asked), {}
for size in (0.001, 0.005, 0.01):
    kept = np.where(np.abs(kernel) < size, 0, kernel)
    trained.get_layer("prediction").set_weights([kept, bias])
    after = metrics.predict(trained, asked)
    flipped = ((after >= 0.5) != (before >= 0.5)).sum()
    rows[size] = [f"{(kept == 0).mean():.0%}", np.abs(after - before).max(), flipped]
trained.get_layer("prediction").set_weights([kernel, bias])
names = ["weights set to zero", "largest change of p", "answers changed"]
pd.DataFrame(rows, names).T.rename_axis(f"below ({len(asked)} {source})")

# %% [markdown]
# Without the weights below 0.001, two in five, next to nothing changes. Without more of them the probabilities move, and the answers to these few cells do
# not. Whether the penalty made the others superfluous, or whether they would have been so anyway, only a
# network without it could tell: no statement without a control.
#
# **The price can be dodged.** Before the last layer stands a batch normalisation. It multiplies each
# feature by a factor $\gamma$ and adds a shift, both trained, and both free of charge. Double them and halve the
# $w$: the answer is the same, at half the price. All $\gamma$ start at 1:

# %%
gamma = trained.get_layer("batch_normalization").get_weights()[0]
print(f"mean {gamma.mean():.2f}, from {gamma.min():.2f} to {gamma.max():.2f}")
print(f"{(gamma > 1).mean():.1%} have grown")
together = np.corrcoef(gamma, np.abs(score))[0, 1]
print(f"correlation with the size of the score: {together:.2f}")

# %% [markdown]
# Nearly all have grown, and those most whose weight is used most. That is what one would see if the network took the way out of a penalty on weights that
# follow a normalisation; with weight decay the effect is well known {cite:p}`vanlaarhoven2017`. Here it has
# gone only a little of the way.
#
# Does L1 prevent **overfitting**, then? That is a question about test cells with and without it. It acts on the
# last 2,048 weights, while 3.2 million below them are free to learn the training pictures by heart. We ran the MAC recipe once more without
# the penalty. Overfitting would show as a training accuracy that runs away from the validation accuracy. (Not the losses: they contain the penalty.)

# %%
bare = [r for r in recorded if r.data["experiment"] == "ablation-no-l1"]
columns = {}
for name, record in {"with L1": last, "without L1": bare[0]}.items():
    for part, key in (("training", "accuracy"), ("validation", "val_accuracy")):
        columns[name, part] = record.data["history"][key]
    found = record.metrics()
    print(f"{name}: test accuracy {found['accuracy']:.3f},", end=" ")
    print(f"ROC-AUC {found['roc_auc']:.3f}, epoch {record.data['best_epoch'] + 1} kept")
pd.DataFrame(columns).rename(lambda i: i + 1).rename_axis("epoch").round(3)

# %% [markdown]
# In neither run does training run away from validation (dark, noisy training pictures are the harder ones). In eight epochs there is nothing here that a penalty could
# prevent. On the test images the run with L1 is a little ahead; the table of {ref}`single changes <sec-ablation-changes>` below tells how sure that is. What the penalty does
# change is how *sure* the network says it is: [chapter 11](11_trust.ipynb) measures it.

# %% [markdown]
# ## [0, 1] or [−1, 1]
#
# The ImageNet weights were trained on pixels scaled to [−1, 1]. The paper scales to [0, 1]. Black,
# which is most of a picture, is then not −1 but 0, and for the pre-trained network 0 is a medium grey. How
# bad is that? Take our trained network, which has learned with [0, 1], and feed it [−1, 1] without another
# word. (The same mistake in the other direction.)

# %%
pixels = asked[:1] / 255
convolve, normalise = trained.get_layer("conv1"), trained.get_layer("conv1_bn")
gamma_1, beta_1, mean_1, variance_1 = normalise.get_weights()


def first_layer(x):
    return np.clip(keras.ops.convert_to_numpy(normalise(convolve(x)))[0], 0, 6)


maps = {"[0, 1]\nas trained": first_layer(pixels)}
maps["[−1, 1]\nthe same"] = first_layer(2 * pixels - 1)

# %% [markdown]
# There is a cure, and it is exact. The first convolution has no bias, so it is linear. With $S$ for the sum
# of a filter's weights,
#
# $$ \mathrm{conv}(2x - 1) = 2\,\mathrm{conv}(x) - S $$ (eq-ablation-scaling)
#
# for every pixel whose neighbours all lie in the picture. Then comes a batch normalisation, which subtracts a
# mean and divides by a spread. Give it the mean $2m - S$ and four times the variance, and it takes
# {eq}`eq-ablation-scaling` back. **The two scalings are the same network**, with other statistics in one layer.

# %%
total = convolve.get_weights()[0].sum(axis=(0, 1, 2))
four = 4 * variance_1 + 3 * normalise.epsilon  # epsilon stands under the root, too
normalise.set_weights([gamma_1, beta_1, 2 * mean_1 - total, four])
maps["[−1, 1]\nadapted"] = first_layer(2 * pixels - 1)
normalise.set_weights([gamma_1, beta_1, mean_1, variance_1])
busiest = np.argsort(maps["[0, 1]\nas trained"].std(axis=(0, 1)))[::-1][:5]
chosen = {name: part[..., busiest] for name, part in maps.items()}

# %% mystnb={"figure": {"name": "fig-ablation-scaling", "caption": "Five channels after the first layer of our MobileNet_M: fed as in its training, fed with pixels in [-1, 1], and the same with adapted statistics. One scale per channel. Cell of this run; synthetic in the published book."}, "image": {"alt": "Three rows of five pictures. The first and the last row show the same outlines of a cell. In the middle row the channels are all black, all white or have another background."}}
titles = [f"channel {channel}" for channel in busiest]
figures.feature_maps(chosen, titles, f"{source}, first layer of the real network")

# %% [markdown]
# In the middle row the black background has become a signal, or a channel has died. In the last row it is as if
# nothing had happened, but for the rim: at the border the convolution sees zeros, which are black in [0, 1] and
# medium grey in [−1, 1]. Here is a small *advantage* of the paper's choice: its rim is invisible.
#
# What do the answers say?

# %%
scaling = trained.get_layer("scaling")


def answers_scaled(statistics):
    scaling.scale, scaling.offset = 1 / 127.5, -1.0
    normalise.set_weights(statistics)
    answer = np.asarray(trained(asked, training=False))[:, 1]
    scaling.scale, scaling.offset = 1 / 255, 0.0
    normalise.set_weights([gamma_1, beta_1, mean_1, variance_1])
    return answer


kinds = {"as trained": before}
kinds["[−1, 1], the same"] = answers_scaled([gamma_1, beta_1, mean_1, variance_1])
adapted = [gamma_1, beta_1, 2 * mean_1 - total, four]
kinds["[−1, 1], adapted"] = answers_scaled(adapted)
pd.DataFrame({name: p[:8].round(3) for name, p in kinds.items()}).T

# %% [markdown]
# With the wrong scale the network gives **one answer to everything**; adapted, it answers as before, to within about 0.01 (the rim).
#
# So is [0, 1] a mistake of the paper? For a network that is used as it is it would be one, as bad as the middle row.
# But the paper trains all layers. (And even with the first layers frozen, the later ones can cope, as a record of [chapter 10](10_unseen_patients.ipynb) shows.) In training mode a batch normalisation uses the statistics of the batch, so
# {eq}`eq-ablation-scaling` is taken back from the *first step on*. At test it is taken back once the running means have followed, within a
# few hundred steps. What remains are the rim and a small constant. We therefore expect little from this change, and the one run that we have
# agrees: see the table of {ref}`single changes <sec-ablation-changes>`. And note a second accident that can make a model answer
# HEM to everything: *one scale in training, another at test*. Our models cannot have it, since the scaling is
# their first layer.

# %% [markdown]
# ## The crop
#
# [Chapter 2](02_balancing.ipynb) shows what a centre crop cuts off. What does it cost? The area is the
# best single clue to the class, so we ask how well the area *that is left in the picture* orders the cells.

# %%
rows = {}
for crop in (224, 300, 350):
    cut = images.load(frame, 64, crop, run.work / "images", progress=False)
    inside = cut.any(axis=-1)
    rim = inside[:, [0, -1]].any(axis=(1, 2)) | inside[:, :, [0, -1]].any(axis=(1, 2))
    area = inside.mean(axis=(1, 2))
    auc = metrics.metrics(labels, area)["roc_auc"]
    touching = [rim[labels == label].mean() for label in (1, 0)]
    rows[crop] = [*touching, auc, 224 / crop]
names = ["ALL at the rim", "HEM at the rim", "AUC of the area", "scale after resizing"]
pd.DataFrame(rows, names).T.rename_axis(f"crop ({source})").round(3)

# %% [markdown]
# A crop of 224 cuts mostly ALL cells, since they are the larger ones. The area still orders the cells, but large ones
# come out equal, and *touching the rim* has become a clue of its own. From 300 on little is lost; a larger crop only
# makes the cells smaller in the picture. By area alone nothing is lost on these made cells; the outline is. A crop around each cell's own outline would
# remove the area as a clue.

# %% [markdown]
# (sec-ablation-changes)=
# ## One change at a time
#
# Every run on the real fold 1 that differs from the reference (copies of HEM, augmentation, L1, [0, 1]) in **one**
# setting: what changed, by its configuration, and what it did, on the same test images.

# %%
reference = real.get(("hem", True))


def compared(record):
    mine, other = (r.rows().sort_values("file") for r in (record, reference))
    pair = (
        mine["label"].to_numpy(int),
        mine["p_all"].to_numpy(),
        other["p_all"].to_numpy(),
    )
    people = cnmc.merged_subject(mine["subject"])
    by_subject = metrics.paired_test_by_subject(*pair, people)
    return {
        "accuracy": record.metrics()["accuracy"],
        "difference": by_subject["difference"],
        "p, by image": metrics.paired_test(*pair)["pvalue"],
        "p, by subject": by_subject["pvalue"],
    }


# %%
table = {}
for record in filter(on_fold_1, recorded) if reference else ():
    changes = experiment.changed(record.data["config"], reference.data["config"])
    if record.data["seed"] == reference.data["seed"] and len(changes) == 1:
        ((key, (_, after)),) = changes.items()
        table[record.data["experiment"], f"{key}: {after}"] = compared(record)
pd.DataFrame(table).T.astype(float).round(3) if table else "not run yet"

# %% [markdown]
# Read the column *by subject* before you believe a small *p by image*: the cells of a person are no
# independent witnesses. And mind the number of lines. Among ten comparisons of equal models, one with
# $p < 0.1$ is to be expected.
#
# To run a corner yourself with the real data, as short as ours:

# %%
command = "allm train --data DEST --fold 1 --image-size 112 --epochs 8 --lr-patience 2"
for place, name in zip(square, ("mcn", "augment", "balance", "mac"), strict=True):
    options = f"--balance {place[0]}" + ("" if place[1] else " --no-augment")
    print(f"{command} --experiment ablation-{name} {options}")

# %% [markdown]
# ## Paper and us
#
# Table 9, *paper / ours*. Ours are computed from records of real runs; MAC and MCN may be of different sizes and lengths of training, as the
# table below it tells; at equal size and length, see the test above. A dash says that the run is not there yet.

# %%
card_9 = records.as_printed(records.scorecard(recorded)).query("Table == 'Table 9'")
parts = card_9["Item"].str.extract(r"fold (\d), (neither|balanced and augmented), (.+)")
cells = card_9["Paper"] + " / " + card_9["Ours"].where(card_9["Ours"] != "", "–")
pd.DataFrame(
    {
        "fold": parts[0],
        "model": parts[1].map({"neither": "MCN", "balanced and augmented": "MAC"}),
        "metric": parts[2].str.replace(" (the paper's AUC)", ""),
        "cell": cells,
    }
).pivot(index=["fold", "model"], columns="metric", values="cell")

# %%
ran = card_9[card_9["95 % interval"] != ""]
ran[["Item", "Paper", "Ours", "95 % interval", "Verdict", "Record"]].reset_index(
    drop=True
)

# %% [markdown]
# And the corners of this run's toy, which is another network on other cells:

# %%
corner = colour.groupby(["copies", "augment"])[["accuracy", "balanced_accuracy"]].mean()
corner.loc[[("none", False), ("hem", True)]].round(2)

# %% [markdown]
# | the paper says | we find |
# |---|---|
# | MCN decides in favour of ALL | its own precisions mean the opposite: it favours HEM |
# | the imbalance made MCN fail | two of three folds lie below *always ALL*; our own MCN on fold 1 is a sound model |
# | MAC against MCN shows the gain of balancing and augmentation | two changes at once, one seed: it cannot show which; in our grid, at reduced size, neither is worth more than a few points of accuracy, and two seeds of one recipe differ by more |
# | grey copies "without any duplication of information" | given to one class, they teach that grey is an answer; given to both, they do not |
# | L1 prevents overfitting | it acts on 0.06 % of the weights, can be dodged by the layer before, and without it (one short run) nothing overfits either |
# | pixels in [0, 1] | not what the weights expect, but taken back exactly by the first batch normalisation when all layers are trained |

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: from precision to recall
#
# Table 9 prints two precisions and no recall. With the sizes of the classes they are enough. Write
# `recalls(precision_all, precision_hem, n_all, n_hem)`: the recalls of ALL and of HEM. (Let $A$ be the number of
# cells called ALL. How many of the $n_{\text{ALL}}$ are among them, how many among the rest? Solve for $A$.)


# %% tags=["exercise"]
def recalls(precision_all, precision_hem, n_all, n_hem):
    """Recall of ALL and recall of HEM."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_recalls, recalls)


# %% tags=["solution", "hide-cell"]
def recalls(precision_all, precision_hem, n_all, n_hem):
    """Recall of ALL and recall of HEM."""
    n = n_all + n_hem
    # n_all = precision_all * called + (1 - precision_hem) * (n - called)
    called = (n_all - (1 - precision_hem) * n) / (precision_all + precision_hem - 1)
    return precision_all * called / n_all, precision_hem * (n - called) / n_hem


exercises.check(exercises.check_recalls, recalls)

# %% [markdown]
# ### Exercise 2: the effects of a grid
#
# Write `effects_of(neither, balanced, augmented, both)`. The arguments are the accuracies of the four corners. Return
# three numbers: the main effect of balance, that of augmentation ({eq}`eq-ablation-main`), and the
# interaction ({eq}`eq-ablation-interaction`).


# %% tags=["exercise"]
def effects_of(neither, balanced, augmented, both):
    """Main effect of balance, main effect of augmentation, interaction."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_effects, effects_of)


# %% tags=["solution", "hide-cell"]
def effects_of(neither, balanced, augmented, both):
    """Main effect of balance, main effect of augmentation, interaction."""
    without, with_it = balanced - neither, both - augmented
    augmentation = (augmented - neither + both - balanced) / 2
    return (without + with_it) / 2, augmentation, with_it - without


exercises.check(exercises.check_effects, effects_of)

# %% [markdown]
# ### Exercise 3: what a running mean remembers
#
# Batch normalisation keeps a running mean: at every step, `momentum` times the old value plus
# `1 - momentum` times the mean of the batch. Write `running_mean(means, momentum)`: its value after all
# batches, if it starts at 0. What is it after 60 batches with a mean of 2 and a momentum of 0.99?


# %% tags=["exercise"]
def running_mean(means, momentum):
    """Running mean after the last batch."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_running_mean, running_mean)


# %% tags=["solution", "hide-cell"]
def running_mean(means, momentum):
    """Running mean after the last batch."""
    value = 0.0
    for mean in means:
        value = momentum * value + (1 - momentum) * mean
    return value


exercises.check(exercises.check_running_mean, running_mean)

# %% [markdown]
# ## Take-aways
#
# - Change one thing, or fill the whole grid. Two changes at once show a sum of which nobody knows the parts.
# - Below the share of the larger class, suspect the training first.
# - A network can learn and still give one answer to everything at test: look at the statistics of its batch normalisation and
#   at the scaling of its pixels.
# - A strange answer needs a control. Grey cells get *some* answer from a network that has never seen one; here it is the
#   opposite one. And a control should change one thing: copies of both classes keep the ratio.
# - A fair ablation keeps the number of steps, the first weights and the test images, and repeats with seeds. Two seeds of our recipe differ by
#   more than the effects that we looked for. (And our real grid kept the epochs, not the steps.)
# - A penalty on weights that follow a normalisation is a weak brake.
#
# ## Further reading
#
# {cite:t}`box2005` is the classic on factorial experiments, and a pleasure. {cite:t}`lipton2019` list how machine
# learning papers fail to say where a gain comes from. {cite:t}`bouthillier2021` measure what seeds do.
# {cite:t}`vanlaarhoven2017` works out what a penalty does before which a normalisation stands;
# {cite:t}`ioffe2015` introduced the normalisation. {cite:t}`geirhos2020` is on shortcuts.
