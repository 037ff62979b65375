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
# # Trust
#
# After this chapter you can say how far a classifier is to be believed: whether its probabilities hold,
# whom its average hides, where it looks, and what makes it fail.
#
# > **You will learn**
# > - to check whether "90 %" comes true in 90 of 100 cells, and to repair it with a single number;
# > - why such a repair holds only for pictures like those it was made on;
# > - to fix an operating point, and to say what it is worth;
# > - what a heat map shows, what it does not, and how much of it lies on nothing;
# > - what cell size, blur, light, compression and stain do to the answers;
# > - to read a model card, and to write one.
# >
# > **Before you start:** [Evaluation](06_evaluation.ipynb) and [Noise at test](07_noise.ipynb).
# >
# > **Run time:** about 25 s on two CPU cores (smoke profile); GPU: not needed.

# %% tags=["colab", "remove-cell"]
import sys

if "google.colab" in sys.modules:  # installs the package, and nothing that Colab has
    from IPython import get_ipython

    packages = "imaug==0.4.3 git+https://github.com/allm-book/allm@main"
    packages += " Deprecated==1.3.1 imagecorruptions-imaug==1.1.5 tf-keras-vis==0.8.7"
    get_ipython().run_line_magic("pip", "install -q --no-deps " + packages)

# %% tags=["setup"]
import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

# %% tags=["setup"]
from allm_utils.book import exercises, figures, profile, widgets
from allm_utils.data import cnmc, images, splits, synthetic
from allm_utils.judge import metrics, trust
from allm_utils.network import models
from allm_utils.runs import records

run = profile.banner()

# %% [markdown]
# ## Who is on trial
#
# MobileNet_M, trained on the real fold 1: the network itself, which comes with this book, and two of its
# {term}`records <record>`. The first is that of the training. For the second, the saved network was tested
# again on the same test images, blurred, brightened, compressed and so on
# (`allm_utils.trust.retest`). Where networks were tested on **patients whom they had never met**, their
# records are read as well.

# %%
recorded = records.load_all()
real = records.paper_run(recorded, fold=1)
again = next((r for r in recorded if r.data["experiment"] == "trust"), None)
unseen = {
    f"{r.data['experiment']}, fold {r.data['folds'][0]} to {r.data['folds'][1]}": r
    for r in recorded
    if r.data["experiment"] in ("unseen", "unseen-average")
}
small = next(
    r
    for r in recorded
    if r.data["experiment"] == "ablation-mac" and r.data["seed"] == 1337
)  # the paper's recipe at the size of the runs on new patients
trials = {"fold 1, known patients": real, "the same, 112 px": small, **unseen}
print("trained:     ", real.id)
print("tested again:", again.id if again else "not run yet")
print("new patients:", ", ".join(unseen) or "not run yet")

# %% [markdown]
# ## What a probability promises
#
# A weather forecaster who says "90 % rain" on a hundred days, and is any good, gets wet on about ninety of
# them. Whether it rained on one of these days says nothing. The promise is about all days with the same
# forecast.
#
# A network's answer is such a forecast. Take the test cells, sort them by the stated probability of ALL
# into ten bins, and count in each bin how many *are* ALL.

# %%
rows = real.rows()
labels, p_all = rows["label"].to_numpy(), rows["p_all"].to_numpy()
bins = pd.cut(rows["p_all"], np.arange(0, 1.05, 0.1))
table = rows.groupby(bins, observed=True).agg(
    images=("label", "size"), stated=("p_all", "mean"), true=("label", "mean")
)
table.rename_axis("probability of ALL").round(3)

# %% [markdown]
# Read the first line and the last. Where the network stated a few per cent, or more than ninety, how often
# was the cell ALL? If a model keeps its promises, the two columns agree: it is **calibrated**. If *true* is
# further out than *stated*, nearer to 0 or to 1, the model knows more than it says. If it is nearer to the
# middle, the model boasts.
#
# Two numbers measure it. The **Brier score** {cite:p}`brier1950` is the mean squared distance between the
# promise $p_i$ and the truth $y_i$, which is 0 or 1:
#
# $$ \text{Brier} = \frac1n \sum_{i=1}^{n} (p_i - y_i)^2 $$ (eq-trust-brier)
#
# It punishes boasting, but ignorance as well. The **expected calibration error** {cite:p}`guo2017` looks at
# the promise alone. With $n_b$ images in bin $b$, the mean of their probabilities $\bar p_b$, and
# the share $\bar y_b$ of them that is ALL,
#
# $$ \text{ECE} = \sum_{b} \frac{n_b}{n} \left| \bar p_b - \bar y_b \right| $$ (eq-trust-ece)
#
# (Guo and colleagues take the probability of whichever class was answered. Here it is that of ALL throughout,
# as in the diagram below.)

# %%
found = trust.calibration_error(labels, p_all)
print(f"Brier score {brier_score_loss(labels, p_all):.4f}, {real.id}")
print(f"calibration error {found:.4f}")

# %% [markdown]
# ### Is that much?
#
# A calibration error has a catch: it is never zero. Toss a fair coin ten times, and you will not see five
# heads each time, though the promise of 50 % is perfect. So ask what a **perfectly calibrated** model would
# get on as many images. Let each cell be ALL with exactly the probability that the network stated, a
# thousand times over:

# %%
by_chance = trust.calibration_error_by_chance(p_all)
low, high = np.quantile(by_chance, [0.025, 0.975])
print(f"perfect promises, {len(p_all)} images: {low:.3f} to {high:.3f}")
print(f"ours: {found:.3f}; perfect ones do worse in {(by_chance > found).mean():.1%}")

# %% [markdown]
# Our network is outside: its promises are a little off, and not by chance alone. (The band takes cells for independent witnesses, which
# those of one person are not, so it is too narrow.) In which direction, the picture shows.

# %% [markdown]
# ## One number
#
# The network's last step turns a **logit** $z$ into a probability, $p = 1 / (1 + e^{-z})$. Divide every logit
# by the same number, the **temperature** $T$, before that step:
#
# $$ p_T = \frac{1}{1 + e^{-z / T}} $$ (eq-trust-temperature)
#
# Above 1, a temperature pulls all probabilities towards one half: the model becomes modest. Below 1, it
# pushes them outwards. A single number is all that there is to learn, and the best one is where the labels
# are the most likely. Any minimiser finds it.
#
# **Not on the test images**, of course. The second record keeps the answers on the validation part.

# %%
if again:
    val = pd.DataFrame(again.data["validation"])
    temperature = trust.fit_temperature(val["label"], val["p_all"])
    print(f"{len(val)} validation images: temperature {temperature:.2f}")
else:
    temperature = trust.fit_temperature(labels, p_all)
    print(f"no validation answers yet: {temperature:.2f}, fitted on the test images")
tempered = trust.with_temperature(p_all, temperature)


# %%
def judged(labels, p_all):
    return {
        "calibration error": trust.calibration_error(labels, p_all),
        "Brier score": brier_score_loss(labels, p_all),
        "log loss": log_loss(labels, p_all),
        "accuracy": metrics.metrics(labels, p_all)["accuracy"],
        "ROC-AUC": metrics.metrics(labels, p_all)["roc_auc"],
    }


both = {"as it answers": (labels, p_all), f"T = {temperature:.2f}": (labels, tempered)}
pd.DataFrame({name: judged(*pair) for name, pair in both.items()}).round(4)

# %% mystnb={"figure": {"name": "fig-trust-reliability", "caption": "Reliability of MobileNet_M on its test images, as it answers and with the temperature of the validation part. Bars at the points: 95 % Wilson intervals of the frequency, by image. Real fold 1."}, "image": {"alt": "Two reliability diagrams above histograms. The points at either end lie below the diagonal at low and above it at high probabilities, closer to it on the right; those in the middle scatter widely, with long bars. Most answers are below 0.1 or above 0.9."}}
figures.reliability(both, f"real fold 1, record {real.id}")

# %% [markdown]
# Nearly all answers are at the two ends, where the network is good. The middle bins hold a handful of
# cells each, and their long bars say so: do not read a story into their zigzag.
#
# The calibration error is halved and the log loss falls. The Brier score hardly notices, since it is mostly about
# the cells that are wrong. Accuracy and ROC-AUC are the same to the last digit: a temperature moves no cell across 0.5 and changes no
# order. It repairs the promise, not the knowledge.
#
# And look at which side of 1 the temperature is. Modern networks are known for boasting
# {cite:p}`guo2017`; their temperature is above 1. **Ours is below: this network is right more often than it says.** One
# possible reason is the paper's L1 penalty, a price on the weights of the very layer that makes the logits. Another is that
# it was trained on noisy, darkened pictures, on which doubt is in place. How far do its answers go, and those of a run without L1?

# %%
print(f"lowest and highest probability: {p_all.min():.3f}, {p_all.max():.3f}")
bare = [r for r in recorded if r.data["experiment"] == "ablation-no-l1"]
for record in bare:
    one = record.rows()
    t = trust.fit_temperature(one["label"], one["p_all"])
    print(f"without L1, {record.name}: temperature {t:.2f} (on its test images)")

# %% [markdown]
# With the penalty the temperature is below 1, without it above. One run each, but it is what a price on the weights of the logits would do.

# %% [markdown]
# ## A repair does not travel
#
# The temperature was found on clean pictures of known patients. Take it along to other pictures.
#
# First, noise. The training record holds the answers under the noise of
# [chapter 7](07_noise.ipynb) and in [grey](02_balancing.ipynb):

# %%
lines = {}
for condition in ("clean", "noise:5", "noise:10", "cell-noise:10", "grey"):
    part = real.rows(condition)
    pairs = part["p_all"], trust.with_temperature(part["p_all"], temperature)
    lines[condition] = [
        metrics.metrics(part["label"], pairs[0])["accuracy"],
        *(trust.calibration_error(part["label"], p) for p in pairs),
    ]
names = ["accuracy", "error as it answers", "error with the temperature"]
pd.DataFrame(lines, names).T.round(3)

# %% [markdown]
# The repair helps where it was made. Under noise it can do harm, and it does so already where the accuracy is as good as on clean pictures: noise
# had made the network less shy, and we have just taught it to speak up. In grey it calls every cell HEM *and is sure of it*; no
# temperature can help there. Confidence is a property of a model **and** of the
# pictures it is asked about, and it breaks when they change {cite:p}`ovadia2019`. A model does not warn you.
#
# Then, other patients. Their records come without a validation part of the same patients, so we fit the
# temperature for each patient on **all the others**:

# %%
lines, panels = {}, {}
for name, record in trials.items():
    part = record.rows()
    people = cnmc.merged_subject(part["subject"]).to_numpy()
    y, p = part["label"].to_numpy(), part["p_all"].to_numpy()
    calibrated, temperatures = trust.cross_fitted(y, p, people)
    errors = trust.calibration_error(y, p), trust.calibration_error(y, calibrated)
    lines[name] = [len(temperatures), *np.quantile([*temperatures.values()], [0, 1])]
    lines[name] += [*errors, brier_score_loss(y, p), brier_score_loss(y, calibrated)]
    panels[name] = (y, p)
names = ["people", "T from", "T to", "error", "after", "Brier", "Brier after"]
pd.DataFrame(lines, names).T.astype({"people": int}).round(3)

# %% mystnb={"figure": {"name": "fig-trust-unseen", "caption": "Reliability on patients whom the network knows from training, and, where such runs are recorded, on patients whom it has never met. Real cells."}, "image": {"alt": "Reliability diagrams above histograms. Known patients: the points at both ends lie near the diagonal, the middle scatters. New patients of fold 1: all points lie below the diagonal. New patients of fold 0: all lie above it."}}
if unseen:
    print("new patients:", ", ".join(record.name for record in unseen.values()))
else:
    print("new patients: not run yet")
shown = ("fold 1, known patients", "unseen, fold 0 to 1", "unseen, fold 1 to 0")
figures.reliability({name: panels[name] for name in shown}, "real cells, as answered")

# %% [markdown]
# Look at the temperatures first. For the patients it knows, all of them lie **below** 1: the network says less
# than it knows. For new patients there is no rule with the paper's recipe: trained on fold 0, the network boasts about
# the people of fold 1 (**above** 1); in the other direction the temperatures lie about 1.
#
# Then look at the curves. From fold 0 to fold 1 *all* points lie below the diagonal: whatever it says, fewer cells are ALL. From fold 1 to fold 0 nearly
# all lie above. That is no
# excess of confidence to both sides but a lean to one, and a temperature, which keeps 0.5 where it is, cannot
# straighten it. It leaves most of the error. (Platt's method adds a second number, a shift of the logit
# {cite:p}`platt1999`. But a shift that suits *these* patients has to be learnt from them.)
#
# With **averaged weights** ([chapter 10](10_unseen_patients.ipynb)) the temperatures are below 1 again, for
# the same people and in both directions, and the error is nearly as small as with known patients. The last step of a training
# with long steps may lean as it likes, and the mean of many leans less. One seed each, so take it for a hint: in the five parts of that chapter the
# averaged networks lean as well.
#
# The Brier score tells the rest: about new people these networks know less, even where they say so honestly. And mind that the temperature was fitted
# on labelled cells of the other people *of the same fold*. A laboratory with new patients has no such labels.
#
# If you quote a probability to anybody, say on **whose** cells it was checked.

# %% [markdown]
# ## Whom the average hides
#
# [Chapter 6](06_evaluation.ipynb) drew the share of right answers for each person. Here are the same people
# as a table, with what the network promised on the average.

# %%
rows = real.rows().assign(right=lambda r: (r["p_all"] >= 0.5) == (r["label"] == 1))
people = rows.groupby(["label", "subject"]).agg(
    cells=("right", "size"), right=("right", "mean"), stated=("p_all", "mean")
)
people.rename(index={0: "HEM", 1: "ALL"}, level=0).round(2)

# %%
lines = {}
for name, record in trials.items():
    limits = record.intervals(by="subject")
    for label, metric in enumerate(("specificity", "sensitivity")):
        part = record.rows().query("label == @label")
        right = ((part["p_all"] >= 0.5) == label).groupby(part["subject"]).mean()
        low, high = limits[metric]
        ends = [f"{right.min():.2f} ({right.idxmin()})", f"{right.max():.2f}"]
        shown = f"{record.metrics()[metric]:.3f} ({low:.2f} to {high:.2f})"
        lines[name, metric] = [len(right), shown, *ends]
pd.DataFrame(lines, ["people", "all cells (95 %, by person)", "worst", "best"]).T

# %% [markdown]
# The mean is made of people who are easy and people who are not, and a new patient is one person, not a mean.
# The interval in brackets draws *people* ({term}`bootstrap`), so it says what the mean may be for other
# people. Where there are three, it can go no further than from *worst* to *best*, and a single new person may lie outside. Take the healthy
# person H10. To the networks that know this person, every fifth or fourth of the cells is an alarm. To one that does
# not, every second; with averaged weights, every third.

# %% [markdown]
# ## The operating point
#
# A laboratory that adopts a classifier does not ask for its accuracy. It says: *of a hundred healthy cells,
# five alarms are what we can check.* That fixes the specificity at 0.95, the specificity fixes the
# threshold, and the threshold fixes the sensitivity. This is the {term}`operating point`.
#
# Choose the threshold on validation images, then judge it on test images:

# %%
lines = {}
for target in (0.80, 0.90, 0.95, 0.99) if again else ():
    threshold = trust.threshold_at(val["label"], val["p_all"], target)
    got = metrics.metrics(labels, p_all, threshold)
    lines[target] = [threshold, got["specificity"], got["sensitivity"]]
names = ["threshold, from validation", "specificity, test", "sensitivity, test"]
print(f"real fold 1, {again.id}" if again else "not run yet")
pd.DataFrame(lines, names).T.rename_axis("specificity wanted").round(3)

# %% [markdown]
# Compare what you wanted with the second column: you do not get what you ordered. The validation part has 116 HEM
# cells. A specificity of 0.99 hangs on the two of them that look most leukemic.
#
# How sure is the sensitivity at a fixed specificity? The bootstrap has to choose the threshold anew in each
# draw, otherwise it pretends that the threshold were known. (Here the threshold comes from the images that
# are judged; a look, and a rosy one.)

# %%
lines = {}
for name, record in trials.items():
    part = record.rows()
    arrays = part["label"], part["p_all"]
    groups = cnmc.merged_subject(part["subject"])
    value, *by_image = trust.sensitivity_at(*arrays, 0.9, n=300)
    _, *by_person = trust.sensitivity_at(*arrays, 0.9, groups, n=300)
    spans = [f"{low:.3f} to {high:.3f}" for low, high in (by_image, by_person)]
    lines[name] = [f"{value:.3f}", *spans]
names = ["sensitivity at specificity 0.9", "95 %, by image", "95 %, by person"]
pd.DataFrame(lines, names).T

# %% [markdown]
# Compare the second row with those of the same size below it. At the same specificity, fewer leukemic cells of new patients are found; far fewer
# from fold 1 to fold 0, where the network learned from two healthy people. Note that
# averaged weights change nothing from fold 0 to 1: they had put the *threshold* right there, not the order of the cells. And
# the interval by person is wide because few healthy people set the threshold.

# %% [markdown]
# Move the threshold yourself. Choose other pictures with the list, and watch one and the same threshold
# become another operating point.

# %%
shown = {"clean": (labels, p_all)}
for name, condition in {"blur 3": "blur:3", "brighter 1": "brightness:1"}.items():
    if again:
        part = again.rows(condition)
        shown[name] = (part["label"], part["p_all"])
for name, record in unseen.items():
    shown[f"new patients: {name}"] = (record.rows()["label"], record.rows()["p_all"])
widgets.threshold_slider(shown, "MobileNet_M, real cells, fold 1 unless named")

# %% [markdown]
# ## Where does it look?
#
# Now to the pictures. The network that comes with the book answers about the test cells of fold 1 of this
# very run. **In the published book these are synthetic cells.** A network that was trained on real cells and
# looks at drawn ones proves nothing about either; it shows how the method works. With C-NMC present, the same
# lines show real cells.

# %%
saved = records.RESULTS / "models" / "mobilenet_m-fold1.keras"
model, card = models.load(saved)
root = synthetic.data_root(run)
source = "synthetic cells" if synthetic.is_synthetic(root) else "C-NMC 2019, fold 1"
frame = cnmc.index(root).query("split == 'train' and fold == 1").reset_index(drop=True)
test = frame[splits.paper_split(frame) == "test"]
test = test.sample(min(len(test), 48), random_state=0)

# %%
size, crop = card["image_size"], card["crop"]
pictures = images.load(test, size, crop, run.work / "images", progress=False)
truth = test["label"].to_numpy(int)
answered = metrics.predict(model, pictures)
found = metrics.metrics(truth, answered)
print(f"{source}: {found['tp'] + found['tn']} of {found['n']} right")

# %% [markdown]
# **Grad-CAM** {cite:p}`selvaraju2017` asks which places support an answer. The last convolution leaves 1024
# maps $A^k$ of 7 × 7 fields. Take the slope of the score $z_c$ of class $c$ with respect to each map, and
# average it over the fields: that is how much the map matters. Add up the maps, each with this weight, and
# keep what speaks *for* the class:
#
# $$ \alpha_k^c = \frac{1}{49} \sum_{i,j} \frac{\partial z_c}{\partial A^k_{ij}},
# \qquad L^c = \max\left(0, \sum_k \alpha_k^c A^k\right) $$ (eq-trust-gradcam)
#
# The library `tf-keras-vis` does it. We ask for the support of the class that was *answered*.

# %%
called = (answered >= 0.5).astype(int)
right, wrong = np.flatnonzero(called == truth), np.flatnonzero(called != truth)
chosen = np.concatenate([right[:4], wrong[:4]])
heat = trust.gradcam(model, pictures[chosen], called[chosen])
titles = [
    f"{cnmc.CLASSES[truth[i]]}, called {cnmc.CLASSES[called[i]]}: {answered[i]:.2f}"
    for i in chosen
]

# %% mystnb={"figure": {"name": "fig-trust-gradcam", "caption": "Grad-CAM for the class answered, on cells of this run: first row right answers, then wrong ones; the number is the probability of ALL. White: outline of the cell. The network was trained on real cells; the cells are synthetic in the published book, so this shows the method and nothing else."}, "image": {"alt": "Grey pictures of cells under a heat map from dark violet to yellow. The hot regions are broad patches that cover part of the cell and spill over its outline."}}
figures.heat_maps(pictures[chosen], heat, titles, source=source)

# %% [markdown]
# Before you read a story into such a picture, count. The fields are 7 × 7, enlarged 32 times: a heat map
# *cannot* be sharp, and will spill over the outline of any cell. How much of it lies on the background,
# where there is nothing to see? And how much would, if it were perfect? Two yardsticks:
#
# - **even heat**, the same everywhere: its share on the background is that of the background;
# - **the cell itself**, drawn in 7 × 7 fields and enlarged in the same way.

# %%
share = trust.background_share(heat, pictures[chosen])
ideal = trust.background_share(trust.coarse_cell(pictures[chosen]), pictures[chosen])
even = (~pictures[chosen].any(axis=-1)).mean(axis=(1, 2))
columns = {"Grad-CAM": share, "cell in 7 x 7": ideal, "even": even}
pd.DataFrame(columns, index=titles).round(2)

# %% [markdown]
# On all 718 real test cells, from the second record:

# %%
shares = {}
if again:
    seen = pd.DataFrame(again.data["pictures"]).merge(again.rows(), on="file")
    seen["called"] = (seen["p_all"] >= 0.5).astype(int)
    for (label, answer), part in seen.groupby(["label", "called"]):
        name = f"{cnmc.CLASSES[label]} called {cnmc.CLASSES[answer]}, {len(part)}"
        shares[name] = {
            "Grad-CAM": part["heat_on_background"].to_numpy(),
            "cell in 7 × 7": part["cell_on_background"].to_numpy(),
            "even heat": 1 - part["area"].to_numpy(),
        }

# %% mystnb={"figure": {"name": "fig-trust-background", "caption": "Share of the Grad-CAM of the answered class that lies on the black background, by truth and answer, beside the two yardsticks. Boxes: quartiles and median; whiskers: 5 to 95 %. Real test images of fold 1."}, "image": {"alt": "Four groups of three boxes each: for HEM and ALL cells, called rightly and wrongly, the share of the heat map on the background, the share for the cell itself in seven by seven fields, and for even heat."}}
if again:
    shown = figures.on_background(shares, f"real fold 1, record {again.id}")
else:
    shown = "not run yet"
shown

# %%
medians = {
    name: {kind: np.nanmedian(values) for kind, values in group.items()}
    for name, group in shares.items()
}
pd.DataFrame(medians).T.round(2)

# %% [markdown]
# The first column is close to the second in every group, and far below the third. So this network looks at the
# cell, as well as 7 × 7 fields can show it, in its wrong answers no less than in its right ones. Without the
# middle column one would have written "a sixth of its attention is on the background", and it would have meant
# nothing.
#
# Remember, too, what the map cannot tell. It shows a region, not a reason: a hot nucleus may be hot for its
# size, its texture or its colour. Some methods give the same pretty map when the weights are shuffled
# {cite:p}`adebayo2018`. A heat map is a hint for the next experiment, so here is one.

# %% [markdown]
# ## Take the size away
#
# In C-NMC, ALL cells are larger on the average ([chapter 1](01_dataset.ipynb)). How far does the area alone tell the test cells of
# the real fold 1 apart?

# %%
if again:
    sizes = pd.DataFrame(again.data["pictures"]).merge(again.rows(), on="file")
    auc = roc_auc_score(sizes["label"].astype(int), sizes["area"])
    print(f"{len(sizes)} real test cells: the ROC-AUC of the area is {auc:.3f}")

# %% [markdown]
# Does the network use it? No heat map answers that, but an experiment
# does: give every cell the **same area** and test again. And turn the wheel the other way: leave the cells as
# they are, but shrink or enlarge all of them.

# %%
pair = [np.flatnonzero(truth == label)[0] for label in (0, 1)]
alike = trust.size_normalised(pictures)[pair]
stages = [
    pictures[pair],
    trust.zoom(pictures[pair], 0.8),
    trust.zoom(pictures[pair], 1.2),
]
grid = [stage[row] for row in (0, 1) for stage in (*stages, alike)]

# %% mystnb={"figure": {"name": "fig-trust-size", "caption": "A HEM and an ALL cell as they are, shrunk, enlarged, and with the median area of all cells. Cells of this run; synthetic in the published book."}, "image": {"alt": "Two rows of four pictures. The cells are smaller in the second column, larger in the third, and in the last column both rows show cells of the same size."}}
titles = ["as it is", "× 0.8", "× 1.2", "same area"] + [""] * 4
figures.cells(grid, titles, columns=4, brighten=2, rows=("HEM", "ALL"), source=source)

# %%
names = ["sensitivity", "specificity", "balanced_accuracy", "roc_auc"]
lines = {}
for condition in ("clean", "size-normalised", *(f"zoom:{f}" for f in trust.ZOOMS)):
    if again:
        got = again.metrics(condition)
        lines[condition] = [got[name] for name in names]
print(f"real fold 1, record {again.id}" if again else "not run yet")
pd.DataFrame(lines, names).T.round(3)

# %% [markdown]
# Read the *zoom* lines from small to large. Shrink all cells, and leukemic ones are missed; enlarge them, and
# healthy ones raise an alarm. So the network does use size. Yet with all cells of **one** area it loses less
# than three points of balanced accuracy, and the ROC-AUC hardly moves: it knows much besides. (A picture that is
# warped is also a little softer, which the next section measures by itself.)
#
# Whom does the cue serve? Cut the cells into three equal groups by their area, whatever their class:

# %%
thirds = "not run yet"
if again:
    same = again.rows("size-normalised").set_index("file")["p_all"]
    seen["same"] = seen["file"].map(same)
    seen["third"] = pd.qcut(seen["area"], 3, ["small", "middle", "large"])
    for name, answer in {
        "right, as it is": "p_all",
        "right, same area": "same",
    }.items():
        seen[name] = (seen[answer] >= 0.5) == (seen["label"] == 1)
    names = {"file": "size", "right, as it is": "mean", "right, same area": "mean"}
    thirds = seen.groupby(["label", "third"], observed=True).agg(names).round(3)
    thirds = thirds.rename({0: "HEM", 1: "ALL"}, level=0).rename(
        columns={"file": "cells"}
    )
thirds

# %% [markdown]
# The *large healthy* cells contradict the cue. There are few of them, and two in three are called leukemic. An
# average over all cells does not show them; a person with many such cells would be called ill. With the same area for all, a
# cell or two are gained among them, and more are lost among the small healthy ones, which the cue had helped.

# %% [markdown]
# ## Blur, light, compression, stain
#
# Noise is one way to spoil a picture, and the only one that the paper tests. {cite:t}`hendrycks2019` made a
# benchmark of fifteen, each in five severities, and a library. We take four of them that a microscope, its
# camera or a careless export can produce, **inside the cell only** as before, and a fifth that every
# laboratory produces: another **stain**. The picture is unmixed into dyes, each dye is made a little
# stronger or weaker, and all are mixed again {cite:p}`tellez2018`. (The dyes of that recipe are haematoxylin and eosin. Blood smears are stained
# otherwise, so take it for a way to shift colours.)

# %%
one = pictures[pair[1]][None]
kinds = (*trust.CORRUPTIONS, "stain")
spoilt = [
    trust.corrupt(one, kind, severity)[0] for severity in (1, 3, 5) for kind in kinds
]

# %% mystnb={"figure": {"name": "fig-trust-corruptions", "caption": "One ALL cell under five corruptions of severity 1, 3 and 5. Brightened twofold for display. Cell of this run; synthetic in the published book."}, "image": {"alt": "Three rows of five pictures. From top to bottom the cell becomes blurred, brighter, flat and dark, blocky, and of another tint."}}
rows = ("severity 1", "severity 3", "severity 5")
titles = [*kinds, *[""] * 10]
figures.cells(spoilt, titles, columns=5, brighten=2, rows=rows, source=source)

# %% [markdown]
# The severities were set by the benchmark's authors on photographs, which are bright. C-NMC is dark, with
# cells of about 60: there *brightness 1* already adds 25 grey levels, and *contrast*, which pulls all values
# towards the mean of the whole picture, black included, darkens the cell. So do not compare one kind with
# another by its number. Look at the picture and ask: could that happen in a laboratory?


# %%
def against(kind, strengths, clean):
    lines = {"sensitivity": {}, "specificity": {}, "accuracy": {}}
    for strength in strengths:
        condition = "clean" if strength == clean else f"{kind}:{strength}"
        values, limits = again.metrics(condition), again.intervals(condition, n=300)
        for name in lines:
            low, high = limits[name]
            lines[name][strength] = low, values[name], high
    return lines


# %% mystnb={"figure": {"name": "fig-trust-curves", "caption": "Sensitivity, specificity and accuracy of MobileNet_M against the severity of five corruptions (0: clean), and against the magnification. Bands: 95 % bootstrap intervals by image. Real test images of fold 1."}, "image": {"alt": "Six panels. Under blur, brightness, contrast and jpeg sensitivity rises to 1 while specificity falls below 0.3, with jpeg at once. Under stain both fall slowly. With zoom sensitivity rises and specificity falls from factor 0.8 to 1.2."}}
shown = "not run yet"
if again:
    panels = {kind: against(kind, (0, 1, 3, 5), clean=0) for kind in kinds}
    panels["zoom"] = against("zoom", (0.8, 0.9, 1, 1.1, 1.2), clean=1)
    whose, what = f"real fold 1, record {again.id}", "severity (zoom: factor)"
    shown = figures.against_sigma(panels, (-0.03, 1.03), whose, what)
shown

# %%
lines = {}
for kind in kinds if again else ():
    scores = [again.metrics(f"{kind}:{s}") for s in trust.SEVERITIES]
    lines[kind] = [score["balanced_accuracy"] for score in scores]
    lines[kind] += [score["roc_auc"] for score in scores]
names = [f"severity {s}" for s in trust.SEVERITIES]
names += [f"ROC-AUC, {s}" for s in trust.SEVERITIES]
clean = real.metrics()
print(f"clean: {clean['balanced_accuracy']:.3f}, ROC-AUC {clean['roc_auc']:.3f}")
pd.DataFrame(lines, names).T.sort_values("severity 3").round(3)

# %% [markdown]
# It is the pattern of [chapter 7](07_noise.ipynb) again, only worse. Under blur, light, flat contrast and
# compression the **specificity** falls, down to nearly nothing, while the sensitivity rises to 1: a spoilt healthy
# cell looks leukemic to this network. Compression is the shock. The quality of *jpeg 1* is low (25 of 100), but such files
# exist, and it turns most of the healthy cells into alarms. The ROC-AUC falls much less: what goes first is the threshold, then the order. Blur
# and mild contrast leave the order nearly as it was; strong contrast destroys it. The stain is different: there both lines fall.
#
# Why towards ALL? In training, half of the HEM pictures were grey copies, and no ALL picture was. *Coloured and
# unlike the usual* may have become the mark of ALL. That is a guess; [chapter 2](02_balancing.ipynb) shows what
# the grey copies did, and networks trained without them can be tested in the same way.
#
# The same on the cells of this very run, at severity 3:

# %%
lines = {}
for kind in ("clean", *kinds):
    condition = kind if kind == "clean" else f"{kind}:3"
    p = metrics.predict(model, trust.under(pictures, condition, seed=7))
    got = metrics.metrics(truth, p)
    lines[condition] = [got["sensitivity"], got["specificity"], got["roc_auc"]]
print(source)
pd.DataFrame(lines, ["sensitivity", "specificity", "ROC-AUC"]).T.round(2)

# %% [markdown]
# ## The model card
#
# A drug comes with a leaflet. A network should come with a **model card** {cite:p}`mitchell2019`: one page
# that says what it is for and what it is not for, what it was made from, how good it is *and for whom*, and
# how it fails. The [model card](../book/model_card.md) of this book's network is made from the records, each time they
# change; no number in it is typed. Every section above has a line there.
#
# What it says first is what matters most: **education, not diagnosis.** The cells of one data set, one
# stain, one kind of microscope; test patients who were in training; three healthy people. Nothing here
# says how the network does on *your* patient.

# %% [markdown]
# ## Paper and us
#
# The paper has no word about calibration, heat maps, or corruptions other than noise, so there is no table to set ours
# beside. What it concludes, and what we can add:

# %%
tried = [(r, c) for r in (real, again) if r for c in r.data["conditions"]]
score, where = min((r.metrics(c)["balanced_accuracy"], c) for r, c in tried)
least = people.xs(0, level="label")["right"]
summary = {
    "balanced accuracy, clean": f"{real.metrics()['balanced_accuracy']:.3f}",
    f"lowest of {len(tried)} tests": f"{score:.3f} ({where})",
    "calibration error, clean": f"{trust.calibration_error(labels, p_all):.3f}",
    "healthy person worst served": f"{least.min():.0%} right ({least.idxmin()})",
}
pd.Series(summary, name=f"real fold 1, {real.id}").to_frame()

# %%
print(f"this run, {source}, {len(truth)} cells, the same network")
error = trust.calibration_error(truth, answered)
print(f"calibration error {error:.3f}; {len(wrong)} wrong answers,")
sure = np.maximum(answered, 1 - answered)[wrong]
print(
    f"stated on the average with {sure.mean():.2f} certainty" if len(wrong) else "none"
)

# %% [markdown]
# | the paper says | we find |
# |---|---|
# | "robust" | tested on Gaussian noise alone; strong blur, light, contrast and compression bring the specificity near zero |
# | "second-opinion tool" | probabilities a little off for known patients, and with its recipe more so for new ones |
# | one accuracy per fold | it differs much from person to person: look at the worst served |
# | L1 penalty "prevents overfitting" | it may also be why the network understates how sure it is |

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: the calibration error
#
# Write `calibration_error(labels, p_all, bins)` after {eq}`eq-trust-ece`: bins of equal width from 0 to 1, and a
# probability of exactly 1 belongs to the last of them. `np.bincount` with weights is your friend.


# %% tags=["exercise"]
def calibration_error(labels, p_all, bins):
    """Expected calibration error of the probability of ALL."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_calibration_error, calibration_error)


# %% tags=["solution", "hide-cell"]
def calibration_error(labels, p_all, bins):
    """Expected calibration error of the probability of ALL."""
    bin_of = np.minimum((p_all * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, p_all - labels, bins)  # n_b times the distance
    return np.abs(gaps).sum() / len(labels)


exercises.check(exercises.check_calibration_error, calibration_error)

# %% [markdown]
# ### Exercise 2: a temperature
#
# Write `with_temperature(p_all, temperature)` after {eq}`eq-trust-temperature`. You get probabilities, so find
# their logits first: $z = \ln \frac{p}{1 - p}$. (SciPy has `logit` and `expit`.)


# %% tags=["exercise"]
def with_temperature(p_all, temperature):
    """Probabilities whose logits are divided by the temperature."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_with_temperature, with_temperature)


# %% tags=["solution", "hide-cell"]
def with_temperature(p_all, temperature):
    """Probabilities whose logits are divided by the temperature."""
    return expit(logit(p_all) / temperature)


exercises.check(exercises.check_with_temperature, with_temperature)

# %% [markdown]
# ### Exercise 3: what a promise of few alarms costs
#
# Write `sensitivity_at(labels, p_all, specificity)`. Find the lowest threshold such that at least this share
# of the HEM images lies **below** it, and return the share of the ALL images at or above it.


# %% tags=["exercise"]
def sensitivity_at(labels, p_all, specificity):
    """Share of ALL found when this share of HEM must not raise an alarm."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_sensitivity_at, sensitivity_at)


# %% tags=["solution", "hide-cell"]
def sensitivity_at(labels, p_all, specificity):
    """Share of ALL found when this share of HEM must not raise an alarm."""
    hem = np.sort(p_all[labels == 0])
    quiet = int(np.ceil(specificity * len(hem) - 1e-9))  # so many must stay below
    return (p_all[labels == 1] > hem[quiet - 1]).mean()


exercises.check(exercises.check_sensitivity_at, sensitivity_at)

# %% [markdown]
# ## Take-aways
#
# - A probability is a promise about many cells. Draw the reliability diagram, and ask what chance alone would
#   give.
# - One temperature, fitted on validation images, repairs about half of it here, and changes no answer.
# - The repair holds for pictures like those it was made on. Our network understates what it knows of patients
#   it has met; about new ones, its like may err to either side.
# - Report people, not only cells: the worst served, and intervals that draw people.
# - Fix the operating point on validation images. You will not get exactly what you ordered.
# - A heat map is coarse. Count how much lies on the background, and against what yardstick.
# - What a model uses is found by taking it away: size, colour, sharpness, one at a time. Strong compression can cost
#   more than all noise of the paper.
# - A model goes out with its card, or not at all. **Education, not diagnosis.**
#
# ## Further reading
#
# {cite:t}`guo2017` found that modern networks boast, and how to cure it with one number; {cite:t}`ovadia2019` that
# the cure fails when the data move. {cite:t}`selvaraju2017` is Grad-CAM, {cite:t}`adebayo2018` the cold shower
# after it. {cite:t}`hendrycks2019` is the benchmark of corruptions, {cite:t}`tellez2018` the stain.
# {cite:t}`geirhos2020` collect what networks learn instead of what they should. {cite:t}`mitchell2019` is the model
# card.
