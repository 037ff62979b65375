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
# # Deployment
#
# After this chapter you can turn a trained network into a file of a few megabytes for a phone, prove that
# it still gives the same answers, and measure how fast it is without fooling yourself.
#
# > **You will learn**
# > - what has to travel with a network besides its weights;
# > - what eight bits are: a scale, a zero point, and a rounding error you can bound;
# > - why one scale per channel works here and one per layer destroys the network;
# > - what calibration cells are for, and what happens to a picture brighter than all of them;
# > - to time a prediction: warm-up, median, interval, threads;
# > - why "4.92 ms per image" says little until one says of what.
# >
# > **Before you start:** [MobileNet_M](04_mobilenet_m.ipynb) and [Evaluation](06_evaluation.ipynb).
# >
# > **Run time:** about 40 s on two CPU cores (smoke profile); GPU: not needed.

# %% tags=["colab", "remove-cell"]
import sys

if "google.colab" in sys.modules:  # installs the package, and nothing that Colab has
    from IPython import get_ipython

    packages = "imaug==0.4.3 git+https://github.com/allm-book/allm@main"
    packages += " ai-edge-litert==2.3.0 backports.strenum==1.2.8 onnx==1.23.2 onnxruntime==1.32.0 tf2onnx==1.17.0"
    get_ipython().run_line_magic("pip", "install -q --no-deps " + packages)

# %% tags=["setup"]
import os
import tempfile
from timeit import timeit

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

# %% tags=["setup"]
from allm_utils.book import exercises, figures, paper, profile
from allm_utils.data import cnmc, images, splits, synthetic
from allm_utils.judge import metrics
from allm_utils.network import models
from allm_utils.runs import experiment, records
from allm_utils.ship import export, inference

run = profile.banner()

# %%
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")  # two threads, for everybody
saved = records.RESULTS / "models" / "mobilenet_m-fold1.keras"
model, card = models.load(saved)
recorded = records.load_all()
deployed = next((r for r in recorded if r.data["experiment"] == "deployment"), None)
print(f"{model.count_params():,} parameters, trained on real cells:", card["record"])
print(
    "its other formats, tested on real cells:",
    deployed.id if deployed else "not run yet",
)

# %% [markdown]
# The network of this chapter is **real**: MobileNet_M, trained on fold 1 of C-NMC. The cells it sees here are
# those of this run, in the published book synthetic ones. So what we *measure* here, sizes and times, is
# what you would measure with real cells. What it *answers* here says nothing about leukemia. For that we go
# to the record of a test on real cells.

# %%
root = synthetic.data_root(run)
source = "synthetic cells" if synthetic.is_synthetic(root) else "C-NMC 2019"
frame = cnmc.index(root).query("split == 'train' and fold == 1").reset_index(drop=True)
split = splits.paper_split(frame)
train, test = frame[split == "train"], frame[split == "test"][:60]
shape = card["image_size"], card["crop"]
pictures = images.load(test, *shape, run.work / "images", progress=False)
labels = test["label"].to_numpy(int)
print(len(pictures), "test pictures here:", source)

# %% [markdown]
# ## What has to travel
#
# A network is a function of pixels. Which pixels? Ours wants the middle 300 × 300 pixels of the picture, resized
# to 224 × 224, three channels in the order red, green, blue, each from 0 to 255. Its second output is the
# probability of ALL. Get one of these wrong and there is no error message: only wrong answers. So beside every
# model file lies a **card**, and our loader refuses a model without it:

# %%
print({key: card[key] for key in ("image_size", "crop", "classes", "record")})

# %% [markdown]
# One frequent mistake cannot be made here, so the card need not mention it. Many networks want their pixels
# divided by 255, and whoever ports one to a phone must remember that. Ours divides *inside*. Its first layer
# takes raw pixels ([chapter 4](04_mobilenet_m.ipynb)), and so do all the files we are going to write.
#
# We write four. **LiteRT** (until 2024 TensorFlow Lite) is made for phones. **ONNX** is an exchange format
# that many programs read; ONNX Runtime runs it on servers, on Windows, and in the browser. Each comes in
# floats and in eight bits. The eight-bit ones need some *training cells*; we will see why.

# %%
cells = export.calibration_cells(train["path"].tolist(), card, n=20)
folder = tempfile.TemporaryDirectory()
files = export.export(saved, export.FORMATS, folder.name, cells)
opened = {name: inference.load(path, threads=2)[0] for name, path in files.items()}

# %%
sizes = {"Keras, as saved (16 bits, zipped)": saved.stat().st_size}
sizes |= {name: path.stat().st_size for name, path in files.items()}
table = pd.DataFrame({"MB": sizes}) / 1e6
table["bits per parameter"] = 8e6 * table["MB"] / model.count_params()
table.round(2)

# %% [markdown]
# The sizes follow from one multiplication. Three and a quarter million numbers of four bytes are 12.9 MB, of
# one byte 3.2 MB. What the small files have above it is structure, scales, and what stays in 32 bits. (The float files are a little smaller than
# the product, since batch normalisation was folded into the weights.) (In the paper's Table 4 the "size" of
# the model is that of four bytes each.)
#
# The file is also simpler than the network. The converters **fold**: at test a batch normalisation multiplies
# each channel by a number and adds another, and so does the convolution before it. Two in a row are one. The
# division by 255 disappears into the first convolution in the same way.

# %% [markdown]
# ## Eight bits
#
# A float has 32 bits. It can tell 0.1 from 0.10000001. Do weights need that? Take one channel of one layer. On
# the left of {numref}`fig-deployment-grid` are its weights and a **grid** of allowed values; every weight
# moves to the nearest line. With four bits there are 15 lines and you see them. With eight there are 255, and
# you would not.


# %%
def folded(name):
    """Weights of a layer with its batch normalisation folded in; channels last."""
    kernel = np.asarray(model.get_layer(name).kernel)
    norm = model.get_layer(f"{name}_bn")
    gain = np.asarray(norm.gamma) / np.sqrt(norm.moving_variance + norm.epsilon)
    return kernel.reshape(-1, len(gain)) * gain


weights = folded("conv_pw_13")[:, 0]

# %% mystnb={"figure": {"name": "fig-deployment-grid", "caption": "Weights of one channel of the real network. Left: the 15 values that four bits allow. Right: what eight bits change, in steps of the grid."}, "image": {"alt": "Left: a bell-shaped histogram with 15 evenly spaced vertical lines. Right: a roughly flat histogram of errors between minus half a step and half a step."}}
figures.quantised(weights)

# %% [markdown]
# The grid is described by two numbers. The **scale** $s$ is the distance between neighbouring lines, the **zero point** $z$ is
# the whole number that stands for 0. A whole number $q$ from −128 to 127 means the real number
#
# ```{math}
# :label: eq-deployment-affine
# r = s\,(q - z), \qquad q = \operatorname{clip}\!\left(\operatorname{round}(r / s) + z,\; -128,\; 127\right)
# ```
#
# {cite:p}`jacob2018`. For weights $z = 0$. For what flows through the network it is not: after a ReLU nothing is
# negative, and with $z = -128$ all 256 values are used. Rounding is off by half a step at most, the right side of
# {numref}`fig-deployment-grid`. Only a value beyond the ends is off by more; it is clipped.
#
# And the gain? Memory, first. Then time: with AVX2 a processor multiplies 32 pairs of bytes with one instruction where it
# multiplies eight pairs of floats, and it waits less for its memory. How much of this arrives, the clock will tell.

# %%
scale = np.abs(weights).max() / 127
q = np.clip(np.rint(weights / scale), -128, 127).astype(np.int8)
error = np.abs(scale * q - weights)
print(f"scale {scale:.5f}; the first weights as bytes: {q[:8].tolist()}")
print(f"largest error {error.max():.5f}, half a step {scale / 2:.5f}")

# %% [markdown]
# ## One scale, or many
#
# The scale depends on the largest weight. One scale **per layer** is simple. But look at the largest weight of
# each channel of a depthwise layer. (A depthwise layer filters each channel by itself,
# [chapter 4](04_mobilenet_m.ipynb).)

# %%
largest = np.abs(folded("conv_dw_13")).max(axis=0)
print(f"largest {largest.max():.0f}, of the median channel {np.median(largest):.2f}")

# %% mystnb={"figure": {"name": "fig-deployment-channels", "caption": "Largest weight of each channel in the last depthwise layer of the real network, batch normalisation folded in. With one scale for the layer, whatever lies under half a step is rounded to 0."}, "image": {"alt": "Dots rising from left to right over three powers of ten on a logarithmic axis, with a horizontal line at one step. Most dots lie below half of it and are coloured as lost."}}
figures.channel_ranges(largest, "conv_dw_13")

# %% [markdown]
# One channel is some hundreds of times larger than most. It takes the whole range for itself. With one step for
# all, two thirds of the channels become **all zeros**: they are gone. Where do such channels come from? Folding
# divides by the spread that batch normalisation has remembered. Where a channel was almost always the same, its
# spread is tiny, and the division makes its weights huge.
#
# The cure costs 4 bytes per channel: a scale **per channel** {cite:p}`krishnamoorthi2018`. What is left of the
# network without it? The record knows:

# %%
names = ["accuracy", "sensitivity", "specificity"]
three = ("clean", "onnx-int:8", export.COARSE) if deployed else ()
scores = {name: [deployed.metrics(name)[key] for key in names] for name in three}
pd.DataFrame(scores, names).T.round(3) if deployed else "not run yet"

# %% [markdown]
# Same weights, same calibration, same eight bits. `clean` is Keras, `onnx-int:8` has a scale per channel,
# `onnx-coarse-int:8` one per layer: and that one calls **every cell healthy**, a sensitivity of 0. The file is
# smaller, opens without complaint, and gives probabilities that add up to 1. Only a test finds
# out. {cite:t}`nagel2019` describe this effect for MobileNets, and show how to repair a
# network that must do with one scale per layer.

# %% [markdown]
# ## Calibration cells
#
# The weights lie in the file, so their largest is known. But what *flows* between the layers depends on the
# picture. To choose those scales the converter sends **calibration cells** through the network and notes the
# smallest and largest value at every place. They come from the training part. From the test part it would be
# a leak, a small one.
#
# Here twenty cells of this run were used, for speed. The record used more:

# %%
used = models.read_card(files["litert-int8"])["calibration"]["images"]
print(f"here: {used} {source}")
if deployed:
    noted = deployed.data["formats"]["litert-int:8"]["calibration"]["images"]
    print(f"in the record: {noted} real cells of its training part")

# %% [markdown]
# So the two int8 files differ, though the weights are the same. And what about a picture that is *brighter* than
# every calibration cell? Its values run against the end of the range and are clipped. Make the test pictures
# brighter, step by step, and compare with the float network, which takes any pixel:

# %%
brighter = {}
for factor in (1, 1.5, 2, 3):
    bright = np.clip(pictures * float(factor), 0, 255).astype(np.uint8)
    exact = metrics.predict(model, bright)
    other = metrics.predict(opened["litert-int8"], bright)
    brighter[factor] = {
        "brightest pixel": bright.max(),
        "mean difference of p": np.abs(exact - other).mean(),
        "same class": ((exact >= 0.5) == (other >= 0.5)).mean(),
    }
print("brightest pixel of the calibration cells:", cells.max())
pd.DataFrame(brighter).T.rename_axis("brightness ×").round(3)

# %% [markdown]
# From a doubled brightness on, the two drift apart. Calibrate on what the network will meet. C-NMC is
# dark, its brightest pixels are mostly below 200, and an eight-bit file calibrated on it knows nothing of brighter
# pictures.

# %% [markdown]
# ## The same answers?
#
# Two questions. Does each file **agree** with the network it was made from? That needs no labels. And is it still
# as **good**? That does. First live, on this run's pictures:

# %%
exact = metrics.predict(model, pictures)
live = {name: metrics.predict(network, pictures) for name, network in opened.items()}
compared = {
    name: {
        "same class": f"{((p >= 0.5) == (exact >= 0.5)).sum()} of {len(p)}",
        "largest difference of p": f"{np.abs(p - exact).max():.6f}",
    }
    for name, p in live.items()
}
pd.DataFrame(compared).T

# %% [markdown]
# The float files repeat Keras to the sixth digit. They are the same arithmetic in another order. The int8 files
# do not, and must not be expected to. Now the real test cells, from the record:


# %%
def against_keras(record, condition):
    """Accuracy of a format, and its agreement with Keras."""
    rows = [record.rows(name).sort_values("file") for name in ("clean", condition)]
    exact, other = (part["p_all"].to_numpy() for part in rows)
    found = record.metrics(condition)
    lost = record.metrics()["accuracy"] - found["accuracy"]
    return {
        "MB": record.data["formats"][condition]["bytes"] / 1e6,
        "right": found["tp"] + found["tn"],
        "accuracy, %": 100 * found["accuracy"],
        "points lost": 100 * lost,
        "same class, %": 100 * ((other >= 0.5) == (exact >= 0.5)).mean(),
        "mean |Δp|": np.abs(other - exact).mean(),
    }


# %%
conditions = deployed.data["conditions"] if deployed else []
tested = pd.DataFrame({name: against_keras(deployed, name) for name in conditions}).T
if deployed:
    print(deployed.id, "-", deployed.metrics()["n"], "real test cells, fold 1")
tested.round(3) if deployed else "not run yet"

# %% [markdown]
# We had set ourselves a limit: at most half a point of accuracy lost. It is kept, nothing is lost. But half a
# point of 718 cells is 3.6 cells, so we are talking of single cells, and the eight-bit files are not *better* for
# having one or two more right. Accuracy hides what [chapter 6](06_evaluation.ipynb) taught us to ask for: which class?

# %%
if deployed:
    keras_all = deployed.rows().sort_values("file")["p_all"].to_numpy() >= 0.5
    for name in ("litert-int:8", "onnx-int:8"):
        now = deployed.rows(name).sort_values("file")["p_all"].to_numpy() >= 0.5
        values = deployed.metrics(name)
        print(f"{name}: {(now & ~keras_all).sum()} cells from HEM to ALL,", end=" ")
        print(f"{(keras_all & ~now).sum()} back;", end=" ")
        shares = (f"{k} {values[k]:.3f}" for k in ("sensitivity", "specificity"))
        print(", ".join(shares))

# %% [markdown]
# All changes go one way. Eight bits did not add a coin toss but a small **lean** towards ALL: a few leukemic cells more are found, and a few healthy ones
# lost. In {numref}`fig-deployment-agreement` these cells lie in a grey corner.

# %%
if deployed:
    truth = deployed.rows().sort_values("file")["label"].to_numpy()
    points = {c: deployed.rows(c).sort_values("file")["p_all"] for c in conditions}
    panels = {c: (points["clean"], points[c]) for c in ("litert-int:8", "onnx-int:8")}
    shown, whose = truth, f"real test cells: {deployed.id}"
else:
    panels = {c: (exact, live[c]) for c in ("litert-int8", "onnx-int8")}
    shown, whose = labels, source

# %% mystnb={"figure": {"name": "fig-deployment-agreement", "caption": "Probability of ALL by the eight-bit files against that by Keras, one point per test cell. In the grey corners the class changed. Real test cells, from the record named above the panels."}, "image": {"alt": "Two scatter plots along the diagonal. Points spread around it by up to a few tenths in the middle, and hardly at the ends. A few points lie in the upper left grey corner, left of one half."}}
figures.agreement(panels, shown, whose)

# %% [markdown]
# The cells that change sides are those a little below ½, on which the float network was not sure either.

# %% [markdown]
# ## How long does one picture take?
#
# Five rules make a timing worth something.
#
# 1. **Warm up.** The first call compiles, allocates, loads.
# 2. **Repeat**, and give the **median**: other programs make some calls slow, none makes one fast.
# 3. Give an **interval**.
# 4. **Take turns.** If you time A for a minute and then B, you also time what the machine did meanwhile.
# 5. Say **what** was timed: machine, threads, batch size, and whether reading the file counts.
#
# We time one picture in memory, two threads, on the processor of this run. The ways of Keras first. `predict` is
# made for whole data sets: it sets up an iterator and callbacks at each call. `model(x)` runs layer by layer from
# Python. Compiled by `tf.function` the same layers run as one graph.

# %%
import tensorflow as tf

one = pictures[:1].copy()
compiled = tf.function(model)
ways = {
    "model.predict(x)": lambda: model.predict(one, verbose=0),
    "model(x)": lambda: model(one),
    "tf.function(model)(x)": lambda: compiled(one),
}
for name, network in opened.items():
    ways[name] = lambda network=network: network.predict_on_batch(one)

# %%
first = {name: 1000 * timeit(way, number=1) for name, way in ways.items()}
turns = pd.DataFrame(
    [
        {name: 1000 * timeit(way, number=1) for name, way in ways.items()}
        for _ in range(25)
    ]
)[2:]  # the warm-up goes on a little

# %%
rows = turns.median().to_frame("median")
limits = [
    bootstrap((turns[name],), np.median, method="percentile", rng=0).confidence_interval
    for name in ways
]
rows[["low", "high"]] = np.array(limits)
rows.assign(**{"first of this loop": first}).rename_axis("ms").round(2)

# %% mystnb={"figure": {"name": "fig-deployment-latency", "caption": "One picture of 224 × 224 pixels on two threads of the processor that ran this page: median of many calls and its 95 % interval. The scale is logarithmic."}, "image": {"alt": "Seven dots with intervals on a logarithmic axis of milliseconds, from model(x) and model.predict, the slowest, to the eight-bit LiteRT file, the fastest."}}
figures.latencies(rows)

# %%
slower = {name: turns[name] / turns["litert-int8"] for name in ways}
for name in ("model.predict(x)", "litert"):
    print(f"LiteRT int8 is {slower[name].median():.1f} times as fast as {name}")

# %% [markdown]
# The large factor is a product of three: compiling the calls, leaving TensorFlow for a small engine, and eight bits. The last one
# is the smallest. (And ONNX Runtime gains little or nothing from eight bits on one picture here.) On one machine, whoever wants to look fast, or slow, has
# a choice of more than an order of magnitude. Whoever counts the first call of a compiled function has another.
#
# With many pictures at once the overhead is shared:

# %%
many = pictures[:32].copy()
batch = {
    "model.predict, one picture": rows.loc["model.predict(x)", "median"],
    "model.predict, 32 pictures": 1000
    * np.median(
        [timeit(lambda: model.predict(many, verbose=0), number=1) for _ in range(3)]
    )
    / len(many),
}
pd.DataFrame({"ms a picture": batch}).round(1)

# %% [markdown]
# ## 4.92 ms and 44.68 ms
#
# The paper times its network, too (section 4.3):

# %%
for machine, milliseconds in paper.TIME_PER_IMAGE_MS.items():
    print(f"{milliseconds} ms per image, {machine}")

# %% [markdown]
# Which processor, which GPU, which batch, with or without the first call? It does not say. "A personal
# computer" nine times as fast as Google Colab suggests that the first had a GPU or a large batch, and the second
# had neither, or was timed with its first call. Both numbers lie within the span of our table, for one and the
# same network. So neither can be called right or wrong, reproduced or not, and the
# [scorecard](scorecard.ipynb) says *not comparable*. For the same reason our own table is worth nothing without
# this line:

# %%
where = experiment.provenance()
backend = where["backend"]
print(f"{where['hardware']}, two threads; {backend['name']} {backend['version']}")

# %% [markdown]
# ## The phone
#
# The paper hopes for a mobile application. What would it take?
#
# - **The file**, and its card. LiteRT is made for Android and iOS (we have not tried it there); input `uint8`, 224 × 224 × 3.
# - **The pixels**: not those of the camera. A cell of C-NMC was photographed through a microscope by one
#   laboratory, stain-normalised, cut out by a program, and set on black. A phone held to an eyepiece delivers
#   none of these. Each would have to be built and validated.
# - **The scale**: 300 pixels of C-NMC have a size in micrometres. Another lens, another size, and cell size is one of the
#   things the network goes by.
# - **The cells**: from patients it has never seen. What happens then is measured in
#   [chapter 10](10_unseen_patients.ipynb).
# - **The permission**: a program that suggests a diagnosis is a medical device, with the duties that follow.
#   This book is education. Nothing in it is a diagnosis, and no file of it should be used as one.
#
# What eight bits *do* show: the size of the network is not the obstacle. Its speed on a phone was not measured here.
#
# On a computer the same files serve the command line. A folder is read ahead by threads while the network
# works, so memory stays the same for five hundred pictures and for ten thousand (see the README):
#
# ```bash
# allm export model.keras --format litert-int8 onnx-int8 --calibration cells/
# allm predict model-int8.tflite folder/ --csv
# ```

# %%
inference.predict_images(files["litert-int8"], test["path"][:4], progress=False).assign(
    file=lambda found: found["file"].str.rsplit("/", n=1).str[-1]
).round(3)

# %% [markdown]
# ## Paper and us
#
# | | paper | ours, real cells | here |
# |---|---|---|---|
# | size of the file | 12.34 MB, in fact MiB: four bytes per parameter (Table 4) | the table of the record above | the first table |
# | time per image | 4.92 and 44.68 ms, of what is not said | in the README, with the machine: `make bench` | the timing table, with intervals |
# | accuracy after conversion | not done | the table of the record above | synthetic cells: no accuracy |
# | phone | future work | the file exists; the way of the pixels to it does not | |

# %%
goals = [
    ("int8 against model.predict, ×", slower["model.predict(x)"].median(), ">= 20"),
    ("int8 against float LiteRT, ×", slower["litert"].median(), ">= 2.5"),
    ("size of int8, MB", files["litert-int8"].stat().st_size / 1e6, "<= 3.6"),
]
if deployed:
    lost = tested.loc["litert-int:8", "points lost"]
    goals.append(("accuracy lost on real cells, points", lost, "<= 0.5"))
    fell = (
        deployed.metrics()["specificity"]
        - deployed.metrics("litert-int:8")["specificity"]
    )
    goals.append(("specificity lost on real cells, points", 100 * fell, ""))
pd.DataFrame(goals, columns=["LiteRT int8", "measured", "goal"]).round(2)

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: to eight bits and back
#
# Write `round_trip(values, scale, zero)` after {eq}`eq-deployment-affine`: quantise an array of floats to whole
# numbers from −128 to 127, and return the floats that they stand for.


# %% tags=["exercise"]
def round_trip(values, scale, zero):
    """What is left of the values after eight bits."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_round_trip, round_trip)


# %% tags=["solution", "hide-cell"]
def round_trip(values, scale, zero):
    """What is left of the values after eight bits."""
    q = np.clip(np.rint(values / scale) + zero, -128, 127)
    return scale * (q - zero)


exercises.check(exercises.check_round_trip, round_trip)

# %% [markdown]
# ### Exercise 2: the typical time
#
# Write `typical(times, warm_up)`: the median of a list of times without its first `warm_up` entries.


# %% tags=["exercise"]
def typical(times, warm_up):
    """Median time after the warm-up."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_typical, typical)


# %% tags=["solution", "hide-cell"]
def typical(times, warm_up):
    """Median time after the warm-up."""
    return np.median(times[warm_up:])


exercises.check(exercises.check_typical, typical)

# %% [markdown]
# ### Exercise 3: how large will it be?
#
# Write `megabytes(parameters, bits)`: the size of a file that holds so many numbers of so many bits, in MB of a
# million bytes. What would four bits give for MobileNet_M?


# %% tags=["exercise"]
def megabytes(parameters, bits):
    """Size of a network's numbers, in MB."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_megabytes, megabytes)


# %% tags=["solution", "hide-cell"]
def megabytes(parameters, bits):
    """Size of a network's numbers, in MB."""
    return parameters * bits / 8 / 1e6


exercises.check(exercises.check_megabytes, megabytes)

# %% [markdown]
# ## Take-aways
#
# - A network without its card is a riddle. Put into the file what can be forgotten, and refuse the file without
#   the rest.
# - Eight bits are a scale and a zero point. Rounding costs half a step at most; what costs more is a scale that
#   has to serve channels of different sizes.
# - Agreement with the float network needs no labels: test it on every export. Accuracy on real cells comes after.
# - Calibrate on the pictures that the network will meet.
# - A time without machine, threads, batch and warm-up says nothing. Neither the paper's nor ours.
#
# ## Further reading
#
# {cite:t}`jacob2018` describe the arithmetic that LiteRT uses. {cite:t}`krishnamoorthi2018` compares the ways to
# quantise, per layer and per channel, with and without training; {cite:t}`nagel2019` explain what goes wrong in
# depthwise layers. {cite:t}`howard2017` is the network that was made for phones from the start.
#
# Next: the [scorecard](scorecard.ipynb), every number of the paper beside ours.
