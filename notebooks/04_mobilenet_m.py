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
# # MobileNet_M
#
# After this chapter you can build the paper's network layer by layer, say what each layer does and
# costs, and compute its central operation by hand with the same result as Keras.
#
# > **You will learn**
# > - what a convolution looks at, and why MobileNet splits it into two cheaper ones;
# > - to write a depthwise separable convolution in NumPy that equals the one in the network;
# > - to count parameters and multiply-adds, and to check Tables 3 and 4 of the paper by them;
# > - what batch normalisation, dropout, softmax and the L1 penalty do, in training and at test;
# > - where pre-trained weights come from, and which range of pixels they expect.
# >
# > **Before you start:** [Noise and augmentation](03_augmentation.ipynb); matrix products; what it
# > means to train a network (gradient descent on a loss). No deep-learning library is assumed.
# >
# > **Run time:** about 15 s on two CPU cores (smoke profile); GPU: not needed.

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

# %% tags=["setup"]
from allm_utils import errors
from allm_utils.book import exercises, figures, paper, profile, widgets
from allm_utils.data import cnmc, images, synthetic
from allm_utils.network import models

run = profile.banner()
root = synthetic.data_root(run)
frame = cnmc.index(root).query("split == 'train'")
source = "synthetic cells" if synthetic.is_synthetic(root) else "C-NMC 2019"

# %% [markdown]
# ## Look around, then mix
#
# A network for pictures needs two abilities. It has to **look around**: an edge, a spot, a texture is a
# relation between neighbouring pixels. And it has to **mix**: "more red than green" is a relation between
# the channels of one pixel. Both are shown on one cell in {numref}`fig-mobilenet-look-mix`.


# %%
def look(image, kernel):
    """Filter every channel of image (H, W, C) with the same kernel (3, 3)."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(0, 1))
    return (windows * kernel).sum(axis=(-1, -2))


path = frame.groupby("label").sample(1, random_state=2)["path"].iloc[1]
cell = images.prepare(path, 64, run.crop).astype(np.float32)
step = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
looks = [
    look(cell, np.full((3, 3), 1 / 9)),
    abs(look(cell, step)),
    abs(look(cell, step.T)),
]
mixes = [cell @ [[w] * 3 for w in ws] for ws in ([0.3, 0.6, 0.1], [1, -1, 0])]

# %% mystnb={"figure": {"name": "fig-mobilenet-look-mix", "caption": "One cell of 64 × 64 pixels, then three ways to look around (the mean of 3 × 3 pixels; left-right differences; up-down differences; each within its own channel), and two ways to mix the channels (a weighted mean; red minus green). Brightened for display. Cells of this run; synthetic in the published book."}, "image": {"alt": "Six pictures of one cell: the cell; the same but blurred; vertical edges lit; horizontal edges lit; a grey version; and a grey version that shows how much more red than green there is."}}
titles = [
    "the cell",
    "look: mean",
    "look: ↔",
    "look: ↕",
    "mix: grey",
    "mix: red − green",
]
figures.cells([cell, *looks, *mixes], titles, 3, 2, source=source)

# %% [markdown]
# In each case a few numbers, the **weights**, decide what comes out. Here we chose them. A network
# learns them. (In the two edge pictures the rim outshines everything else. It is the border to the black
# background, and that border was made by a program. Whatever a network learns here, a clean-cut rim is
# the first thing it can see.)
#
# ## The standard convolution does both at once
#
# The usual convolution layer takes $M$ channels, called **feature maps**, and gives $N$ new ones. Every
# new map looks at a window of $K \times K$ pixels in **all** old maps:
#
# $$ G_{k,l,n} = \sum_{i,j,m} K_{i,j,m,n}\; F_{k+i-1,\; l+j-1,\; m} $$ (eq-mobilenet-standard)
#
# $F$ are the old maps, $G$ the new ones, $(k, l)$ a place in them, $i$ and $j$ run from 1 to $K$ over the
# window. There are $K^2 M N$ weights. (Mathematicians turn the kernel round before they slide it.
# Networks do not; since the weights are learned, it makes no difference.)
#
# In NumPy it is two lines: collect the windows, then sum over them as the equation says.


# %%
def windows(maps, size):
    """All windows of maps (H, W, M), as an array (H', W', M, size, size)."""
    return np.lib.stride_tricks.sliding_window_view(maps, (size, size), axis=(0, 1))


def standard(maps, kernel):
    """Convolve maps (H, W, M) with a kernel (K, K, M, N)."""
    return np.einsum("klmij,ijmn->kln", windows(maps, len(kernel)), kernel)


layer = layers.Conv2D(8, 3, use_bias=False)
by_keras = np.array(layer(cell[None]))[0]
by_hand = standard(cell, layer.get_weights()[0])
print(by_hand.shape, "equal:", np.allclose(by_hand, by_keras, atol=1e-3))

# %% [markdown]
# ## Depthwise separable: one after the other
#
# MobileNet {cite:p}`howard2017` does the two jobs in two layers:
#
# 1. The **depthwise** convolution looks around, in each map on its own, with one kernel per map.
# 2. The **pointwise** convolution mixes. It is a convolution of window 1 × 1: a matrix product at each
#    pixel.

# %% mystnb={"figure": {"name": "fig-mobilenet-separable", "caption": "Above, a standard convolution; below, the depthwise separable one that replaces it. Drawn with four maps; the blocks of MobileNet have 32 to 1024."}, "image": {"alt": "Two diagrams. Above: M maps, an arrow, N large filters each as deep as M maps, an arrow, N maps. Below: M maps, M flat kernels, M maps, N tiny 1 by 1 filters, N maps."}}
figures.separable()

# %% [markdown]
# The first step is Equation 1 of the paper. There the left side has lost its indices; complete, it
# reads
#
# $$ \hat G_{k,l,m} = \sum_{i,j} \hat K_{i,j,m}\; F_{k+i-1,\; l+j-1,\; m} $$ (eq-mobilenet-depthwise)
#
# Compare it with {eq}`eq-mobilenet-standard`: the sum over $m$ is gone, and so is $n$. Map $m$ of the
# result comes from map $m$ of the input and nothing else. The second step is the mixing,
#
# $$ G_{k,l,n} = \sum_{m} P_{m,n}\; \hat G_{k,l,m} $$ (eq-mobilenet-pointwise)
#
# Step through both on a picture of 5 × 5 pixels with two channels. First all windows of channel 1, then
# all of channel 2, then the mixing:

# %%
rng = np.random.default_rng(0)
small = rng.integers(0, 4, (5, 5, 2))
kernel, mix = rng.integers(-1, 2, (3, 3, 2)), np.array([[1, 0, 1], [0, 1, -1]])
widgets.separable_stepper(small, kernel, mix)

# %% [markdown]
# ## By hand, and equal to Keras
#
# Now in NumPy. The depthwise step is {eq}`eq-mobilenet-depthwise` letter by letter, the pointwise step
# is one matrix product:


# %%
def depthwise(maps, kernel):
    """Filter each of the maps (H, W, M) with its own kernel (K, K, M)."""
    return np.einsum("klmij,ijm->klm", windows(maps, len(kernel)), kernel)


def pointwise(maps, mix):
    """Mix the maps (H, W, M) by a matrix (M, N)."""
    return maps @ mix


print(pointwise(depthwise(small, kernel), mix)[..., 2])  # output 3 of the stepper

# %% [markdown]
# Keras has one layer for each step. Give both the same picture, copy the weights that Keras drew at
# random, and compare:

# %%
look_layer = layers.DepthwiseConv2D(3, use_bias=False)
mix_layer = layers.Conv2D(8, 1, use_bias=False)
by_keras = np.array(mix_layer(look_layer(cell[None])))[0]

kernel = look_layer.get_weights()[0][..., 0]  # (3, 3, 3): one 3 x 3 kernel per channel
mix = mix_layer.get_weights()[0][0, 0]  # (3, 8)
by_hand = pointwise(depthwise(cell, kernel), mix)
print(by_hand.shape, "equal:", np.allclose(by_hand, by_keras, atol=1e-3))

# %% [markdown]
# Is the two-step way as powerful as the one-step way? No. Put {eq}`eq-mobilenet-depthwise` into
# {eq}`eq-mobilenet-pointwise`, and the result is a standard convolution whose kernel is a product,
# $K_{i,j,m,n} = \hat K_{i,j,m} P_{m,n}$. So it can only do what such products can do:

# %%
product = np.einsum("ijm,mn->ijmn", kernel, mix)
print("equal:", np.allclose(standard(cell, product), by_hand, atol=1e-3))
print(kernel.size + mix.size, "weights instead of", product.size)

# %% [markdown]
# ## What it costs
#
# For maps of $D \times D$ pixels, count the multiplications (each comes with an addition; people say
# **multiply-adds**). The standard layer needs $D^2 K^2 M N$, the separable one
# $D^2 K^2 M + D^2 M N$. Their ratio is
#
# $$ \frac{D^2 K^2 M + D^2 M N}{D^2 K^2 M N} = \frac{1}{N} + \frac{1}{K^2} $$ (eq-mobilenet-cost)
#
# With $K = 3$ and many maps that is a little more than one ninth. Neither $D$ nor $M$ is in it. For a
# block in the middle of MobileNet:

# %%
d, k, m, n = 14, 3, 512, 512
full, cheap = d**2 * k**2 * m * n, d**2 * k**2 * m + d**2 * m * n
print(f"{full / 1e6:.1f} million multiply-adds, or {cheap / 1e6:.1f} million")
print(f"ratio {cheap / full:.4f} = {1 / n + 1 / k**2:.4f}")

# %% [markdown]
# ## The whole network
#
# MobileNet is one standard convolution and then 13 blocks of the two steps. Some blocks move their
# window by two pixels instead of one (**stride 2**), which halves the maps; there the number of maps
# doubles. After each convolution follow a batch normalisation and a **ReLU**, which sets negative values
# to zero (here also values above 6 to 6).
#
# We build the paper's network in full size: 224 pixels, width 1, with random weights for now.

# %%
model = models.mobilenet_m(weights=None, image_size=224, seed=0)
wanted = (layers.Conv2D, layers.DepthwiseConv2D)
convolutions = [layer for layer in model.layers if isinstance(layer, wanted)]
print(len(model.layers), "layers,", len(convolutions), "of them convolutions")

# %% mystnb={"figure": {"name": "fig-mobilenet-network", "caption": "MobileNet_M from the raw picture to two probabilities (our drawing of the paper's Fig. 5 and Table 4), with the shape of what each stage gives. Blue: MobileNet. Orange: the paper's head."}, "image": {"alt": "A column of boxes. Raw pixels 224 by 224 by 3, scaling, a convolution of stride 2, block 1, blocks 2 and 3, 4 and 5, 6 to 11, 12 and 13 with shapes shrinking to 7 by 7 by 1024; then global average pooling, flatten, dropout, batch normalisation, dense with softmax: 2. Beside it the inside of a block: depthwise convolution, batch normalisation, ReLU, pointwise convolution, batch normalisation, ReLU."}}
stages = {
    "pixels": "raw pixels, 0 to 255",
    "scaling": "scaling to [0, 1]",
    "conv1": "convolution 3 × 3, stride 2",
    "conv_pw_1": "block 1",
    "conv_pw_3": "blocks 2, 3",
    "conv_pw_5": "blocks 4, 5",
    "conv_pw_11": "blocks 6 to 11",
    "conv_pw_13": "blocks 12, 13",
    "average_pooling": "global average pooling",
    "flatten": "flatten (changes nothing)",
    "dropout": "dropout",
    "batch_normalization": "batch normalisation",
    "prediction": "dense, softmax: HEM, ALL",
}
shapes = [" × ".join(map(str, model.get_layer(x).output.shape[1:])) for x in stages]
rows = list(zip(stages.values(), shapes, strict=True))
figures.mobilenet_m(rows[:8], rows[8:])

# %% [markdown]
# "By hand" also works inside the real thing. Take the first block's depthwise layer, feed it what
# arrives there for our cell, and compute its output ourselves. (It pads the maps with a frame of zeros,
# so that they keep their size.)

# %%
first = model.get_layer("conv_dw_1")
inside = keras.Model(model.input, [first.input, first.output])
picture = images.prepare(path, 224, run.crop)[None]
arrives, leaves = (np.array(maps)[0] for maps in inside(picture))
framed = np.pad(arrives, ((1, 1), (1, 1), (0, 0)))
by_hand = depthwise(framed, first.get_weights()[0][..., 0])
print(arrives.shape, "equal:", np.allclose(by_hand, leaves, atol=1e-4))

# %% [markdown]
# ## Table 3, counted
#
# The network knows its own shapes, so nobody has to copy them. For each block: the size of what comes
# in, the stride, the two kernels, the weights and the work.

# %%
blocks = {"conv1": [convolutions[0]]}
for i in range(13):
    blocks[f"block {i + 1}"] = convolutions[1 + 2 * i : 3 + 2 * i]


def work(layer):
    """Multiply-adds of one convolution: pixels of its output times its weights."""
    return int(np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape))


weights = {name: sum(x.count_params() for x in each) for name, each in blocks.items()}
madds = {name: sum(map(work, each)) for name, each in blocks.items()}
print("by block:", sum(madds.values()), " by the package:", models.multiply_adds(model))


# %%
def row(name, each):
    first = each[0]
    stride, side = first.strides[0], first.output.shape[1]
    kernels = " + ".join("×".join(map(str, x.kernel.shape[:4])) for x in each)
    size = f"{side * stride}²×{first.input.shape[-1]}"
    return size, stride, kernels, weights[name], round(madds[name] / 1e6, 1)


columns = ["input", "stride", "kernels", "weights", "million madds"]
table = pd.DataFrame({k: row(k, v) for k, v in blocks.items()}, columns).T
table = table.drop(index=[f"block {i}" for i in range(8, 12)])
table.rename({"block 7": "blocks 7-11, each"})

# %% [markdown]
# (A depthwise kernel is listed as 3×3×M×1, a pointwise one as 1×1×M×N.) Where is the bulk?

# %% mystnb={"figure": {"name": "fig-mobilenet-costs", "caption": "Share of each part of MobileNet in the weights and in the multiply-adds of its convolutions, at width 1 and 224 pixels. Counted from the network."}, "image": {"alt": "Two bar charts over conv1 and the blocks 1 to 13. Weights grow from under 1 % in the first blocks to 33 % in block 13. Multiply-adds are spread evenly, about 9 % in most blocks, 5 % in those of stride 2."}}
figures.costs(list(blocks), list(weights.values()), list(madds.values()))

# %% [markdown]
# The weights sit at the end, where maps are many and small. The work is spread evenly, because every
# time the maps halve in size, their number doubles. And nearly all of it is mixing:

# %%
mixing = [layer for layer in convolutions if "conv_pw" in layer.name]
share = sum(map(work, mixing)) / sum(madds.values())
unsplit = sum(work(layer) * 9 for layer in mixing) + madds["conv1"]
print(f"pointwise layers do {share:.0%} of the multiply-adds")
print(f"with standard convolutions: {unsplit / 1e6:,.0f} million instead of "
      f"{sum(madds.values()) / 1e6:,.0f}")  # fmt: skip

# %% [markdown]
# ### The misprints of Table 3
#
# Table 3 of the paper lists the layers of the original MobileNet, with its own top of 1,000 classes.
# Write our layers the way it does, and compare line by line. The five equal blocks stand there once, so
# we skip four.


# %%
def line(layer):
    k, stride = layer.kernel.shape, layer.strides[0]
    side = layer.output.shape[1] * stride
    deep = isinstance(layer, layers.DepthwiseConv2D)
    return {
        "type": f"Conv {'dw/' if deep else '/'}s{stride}".replace(" /", "/"),
        "filter": f"3×3×{k[2]} dw" if deep else "×".join(map(str, k)),
        "input": f"{side}×{side}×{k[2]}",
    }


top = [("Avrg pool/s1", "Pool 7×7", "7×7×1024"), ("FC/s1", "1024×1000", "1×1×1024")]
top.append(("Softmax/s1", "Classifier", "1×1×1000"))
ours = [line(layer) for layer in (*convolutions[:15], *convolutions[23:])]
ours += [dict(zip(("type", "filter", "input"), each, strict=True)) for each in top]
print(len(ours), "lines,", len(paper.TABLE_3), "printed")

# %%
wrong = [
    {"line": i + 1, "column": name, "printed": printed[name], "is": true[name]}
    for i, (printed, true) in enumerate(zip(paper.TABLE_3, ours, strict=True))
    for name in printed
    if printed[name] != true[name]
]
pd.DataFrame(wrong).set_index("line")

# %% [markdown]
# Nine entries in 22 lines. None of them changes the network, which Keras builds right; but whoever
# rebuilds it from the table gets another one. The stride 2 of line 18 is inherited: the article that
# introduced MobileNet has it as well. With stride 2 the 7 × 7 maps would shrink to 4 × 4, and the next
# line says 7 × 7.

# %% [markdown]
# ## The head: Table 4
#
# The authors cut off the top and put their own on it. Layer by layer, printed and counted:

# %%
rows = {}
for printed, (kind, shape, count) in zip(
    paper.TABLE_4, models.table_4(model), strict=True
):
    rows[kind] = [printed["output_shape"], shape[1:], printed["parameters"], count]
columns = ["shape, paper", "shape, ours", "parameters, paper", "ours"]
pd.DataFrame(rows, columns).T

# %% [markdown]
# What the layers do:
#
# - **Global average pooling** replaces each 7 × 7 map by its mean. 1,024 maps become 1,024 numbers.
# - **Flatten** makes a vector of whatever comes. After the pooling it *is* a vector, so this layer does
#   nothing. It is in the table, so it is in the model.
# - **Dropout**, **batch normalisation** and the **dense** layer with its softmax each get a section below.
#
# The sums under the table:

# %%
counted, note = models.parameters(model), paper.TABLE_4_NOTE
megabytes = 4 * counted["total"] / 2**20
for name, ours, printed in (
    ("parameters", counted["total"], note["parameters"]),
    ("trainable", counted["trainable"], note["trainable"]),
    ("not trainable", counted["non_trainable"], note["non_trainable"]),
    ("size, MiB", round(megabytes, 4), note["size_mb"]),
):
    print(f"{name}: {ours:,} counted, {printed:,} printed")

# %% [markdown]
# Equal, to the last digit. One more number stands there: *"GPU Memory Requirement: 6.2 MB"*. That is no
# memory requirement. It is the size of the same weights at two bytes each instead of four. Training
# keeps every layer's output until the gradients are computed, and that alone is another order:

# %%
print(f"weights in half precision: {megabytes / 2:.1f} MiB")
values = sum(np.prod(layer.output.shape[1:]) for layer in model.layers)
print(f"outputs of all layers, 16 pictures: {16 * 4 * values / 2**30:.1f} GiB")

# %% [markdown]
# ## Batch normalisation
#
# The values in a deep network drift: each layer's output depends on all weights before it. **Batch
# normalisation** {cite:p}`ioffe2015` pins them down. For each map $c$ it takes the mean $\mu_c$ and the
# variance $\sigma_c^2$ over the batch $b$ and all pixels $i, j$, and rescales:
#
# $$ O_{b,c,i,j} = \gamma_c\, \frac{I_{b,c,i,j} - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} + \beta_c,
# \qquad \mu_c = \frac{1}{|B|} \sum_{b,i,j} I_{b,c,i,j} $$ (eq-mobilenet-norm)
#
# $|B|$ is the number of values summed, and $\epsilon$ keeps the root from zero. $\gamma_c$ and $\beta_c$
# are learned: the layer may undo what it did. (In the paper's Equation 2 the $\gamma_c$ is missing, and
# $\mu$ has slipped into the index of $I$. The text below it names both rightly.) By hand, and by Keras:

# %%
norm = layers.BatchNormalization()
batch = rng.normal(3, 2, (16, 7, 7, 4)).astype(np.float32)
by_keras = np.array(norm(batch, training=True))
mean, variance = batch.mean(axis=(0, 1, 2)), batch.var(axis=(0, 1, 2))
gamma, beta, _, _ = norm.get_weights()
by_hand = gamma * (batch - mean) / np.sqrt(variance + norm.epsilon) + beta
print("equal:", np.allclose(by_hand, by_keras, atol=1e-4))

# %% [markdown]
# That is the training mode. At **test** a single picture has no batch, so other means are needed: running
# averages, collected during training. After each batch the layer moves them a little,
#
# $$ \bar\mu \leftarrow \rho\, \bar\mu + (1 - \rho)\, \mu, $$ (eq-mobilenet-running)
#
# with a **momentum** $\rho$ of 0.99 in Keras. These averages are numbers in the model, but no gradient
# reaches them. They are the "non-trainable" parameters: two per map, next to two that are trained.

# %%
norms = [x for x in model.layers if isinstance(x, layers.BatchNormalization)]
maps = sum(norm.output.shape[-1] for norm in norms)
print(len(norms), "layers,", maps, "maps,", 2 * maps, "parameters that are not trained")

# %% [markdown]
# Two traps come with it.
#
# **Short runs.** The averages begin at 0 and 1 and forget this beginning slowly. What share of it is left
# after some steps?

# %%
runs = {"smoke, 1 epoch": 18, "smoke, 8 epochs": 144, "paper, 1 epoch": 208}
left = {f"momentum {rho}": [rho**n for n in runs.values()] for rho in (0.99, 0.9)}
pd.DataFrame(left, runs).map("{:.1%}".format)

# %% [markdown]
# (18 steps of 16 pictures are an epoch of the smoke profile on the drawn fold 1, 208 one of the paper on the
# real fold 1.) From random weights, a short run at momentum 0.99 is tested with means that are still
# partly made up. Such a network answers "ALL" to everything, and looks as if it had learned nothing. With
# 0.9 it works; that is why the smoke profile uses it. The full profile starts from pre-trained averages
# and keeps 0.99.
#
# **Another world at test.** The averages describe the *training* pictures, which the last chapter
# darkened. A brighter test picture is normalised with the means of dark ones. Nothing adapts.

# %% [markdown]
# ## Dropout
#
# **Dropout** {cite:p}`srivastava2014` sets a random part of the numbers to zero, in training only, and
# enlarges the others so that the mean stays. The next layer cannot rely on any single one of them.

# %%
ones = np.ones((1, 12), np.float32)
drop = layers.Dropout(0.5, seed=1)
print("training:", np.array(drop(ones, training=True))[0])
print("test:    ", np.array(drop(ones, training=False))[0])

# %% [markdown]
# The paper does not give the rate. **0.5 is our choice**, and every record of this book says so.
#
# The paper puts dropout *before* a batch normalisation, and the two do not get on well
# {cite:p}`li2019`. Dropout keeps the mean but not the variance. The normalisation learns the variance
# *with* dropout and meets the one *without* at test:

# %%
features = np.maximum(rng.normal(size=(20_000, 1)), 0).astype(np.float32)
dropped = np.array(drop(features, training=True))
print(f"mean {dropped.mean():.2f} in training, {features.mean():.2f} at test")
print(f"variance {dropped.var():.2f} in training, {features.var():.2f} at test")

# %% [markdown]
# We keep the order of Table 4, and mention it.

# %% [markdown]
# ## From scores to probabilities
#
# The dense layer gives two scores, $z_\text{HEM}$ and $z_\text{ALL}$, any real numbers. **Softmax** turns
# them into probabilities, positive and with sum 1 (the paper's Equation 3 has a vector on the left and
# one element of it on the right; this is the element):
#
# $$ \operatorname{softmax}(z)_i = \frac{e^{z_i}}{\sum_j e^{z_j}} $$ (eq-mobilenet-softmax)

# %%
z = np.array([0.3, 1.7])
probabilities = np.exp(z) / np.exp(z).sum()
print("HEM, ALL:", probabilities.round(4), " sum:", probabilities.sum())
print("ALL by the difference alone:", round(1 / (1 + np.exp(-(z[1] - z[0]))), 4))

# %% [markdown]
# With two classes only the **difference** of the scores counts: two outputs with softmax are one output
# with a logistic function, written with twice the weights. And "probability" is a promise that the
# network need not keep: nothing here ensures that of the cells called ALL with 0.9, nine in ten are.
#
# ## The last layer: where it starts, and what L1 does
#
# The paper draws the weights of the dense layer from a uniform distribution and adds an **L1 penalty**
# with factor 0.015 on them. That is, the network minimises
#
# $$ \text{loss} = \text{cross-entropy} + 0.015 \sum_{i} |w_i| $$ (eq-mobilenet-penalty)
#
# over the $1024 \cdot 2 = 2048$ weights of that layer. How large is the second term at the start?

# %%
dense = model.get_layer("prediction")
w = dense.get_weights()[0]
print(f"{w.size} weights from {w.min():.3f} to {w.max():.3f}")
print(f"penalty: {0.015 * np.abs(w).sum():.3f}, Keras: {float(model.losses[0]):.3f}")
print(f"cross-entropy of a blind guess: {np.log(2):.3f}")
print(f"share of the model's weights: {w.size / counted['total']:.2%}")

# %% [markdown]
# At the start the penalty is larger than the loss of a blind guess. Its gradient is the same for every
# weight, ±0.015, however small the weight, so those that do not earn their keep go to zero. That makes
# a **sparse** last layer.
#
# Does it prevent overfitting, as the paper suggests? It acts on 0.06 % of the weights. The other 99.94 %
# may overfit as they like. The claim can be tested, by training with and without; it is not one that
# can be seen from the formula. Keep in mind for the curves of the next chapter that this term is *in* the
# loss: a falling loss may be a falling penalty.

# %% [markdown]
# ## Raw pixels in
#
# In this book a picture has whole numbers from 0 to 255 until the model's own first layer scales it. So
# a saved model takes raw pixels, and nobody can forget a division. The layer has no parameters. Two
# scalings are built in:

# %%
pixel = np.array(
    [0, 60, 117, 255], np.float32
)  # black, cell mean, typical maximum, white
rows = {
    "unit (the paper)": layers.Rescaling(1 / 255)(pixel),
    "imagenet": layers.Rescaling(1 / 127.5, -1)(pixel),
}
pd.DataFrame(rows, ["black, 0", "cell, 60", "bright, 117", "white, 255"]).T.round(2)

# %% [markdown]
# The paper feeds [0, 1]. The ImageNet weights of MobileNet were trained on [−1, 1]. To them, the black
# background at 0 is a middle grey, and no picture ever has a value below. While all layers are
# fine-tuned, as in the paper, the network can adapt; a frozen one could not. We follow the paper and let
# the other range be a setting, `scaling="imagenet"`, for an experiment that compares the two.

# %% [markdown]
# ## Weights from elsewhere
#
# A network with random weights needs far more pictures than a fold has. **Transfer learning** starts from
# weights that were learned on another task: ImageNet {cite:p}`russakovsky2015`, 1.28 million photographs
# of 1,000 kinds of things. Cells are not among them, but edges, spots and textures are everywhere.
# **Fine-tuning** then goes on training, here with *all* layers open: 3,211,074 weights.
#
# `models.resolve_weights` looks for these weights in a fixed order:
#
# 1. a **path**, if you give one (`ALLM_WEIGHTS` or `weights=`);
# 2. the **cache of Keras**, if they were fetched before;
# 3. the **download**, 13 MB at width 1.
#
# If all fail, there is an error that says how to go on. There is no silent fall-back to random weights: a
# network that starts from nothing would look like a bad method.

# %%
try:
    models.mobilenet_m(weights="my_weights.h5")
except errors.WeightsError as error:
    print(error)

# %% [markdown]
# This run uses:

# %%
print(f"profile {run.name}: weights={run.weights!r}")

# %% [markdown]
# The **smoke** profile of the published book asks for `weights=None` in so many words, so that the book
# can be built without a download. Its network is small and learns from nothing; do not expect of it what
# the full profile does.

# %% [markdown]
# ## Thinner and smaller
#
# MobileNet comes with two dials. The **width** $\alpha$ multiplies the number of maps everywhere, so the
# mixing costs go with $\alpha^2$. The **picture size** changes the work, with its square, but not the
# weights.

# %%
rows = {}
for alpha in (0.25, 0.5):
    thin = models.mobilenet_m(weights=None, image_size=224, alpha=alpha)
    rows[alpha] = [thin.count_params(), models.multiply_adds(thin)]
rows[1.0] = [counted["total"], models.multiply_adds(model)]
dials = pd.DataFrame(rows, ["parameters", "madds at 224 px"]).T
dials["madds at 64 px"] = dials["madds at 224 px"] * 64**2 // 224**2
dials.rename_axis("width").map("{:,}".format)

# %% [markdown]
# The smoke profile, width 0.25 at 64 pixels, does 1/170 of the work. That is what makes it possible to
# build this book on two processor cores.

# %% [markdown]
# ## Paper and us
#
# | where | the paper | here |
# |---|---|---|
# | Table 3, totals | 4,253,864 parameters with the top of 1,000 classes | the same: see below |
# | Table 3, layers | nine entries misprinted, five equal blocks shown once | counted from the network |
# | Table 4 | 3,235,010 = 3,211,074 + 23,936 | equal |
# | "GPU memory 6.2 MB" | under Table 4 | the weights at 2 bytes each; training needs gigabytes |
# | Equation 1 | indices missing on the left | {eq}`eq-mobilenet-depthwise` |
# | Equation 2 | $\gamma$ missing | {eq}`eq-mobilenet-norm` |
# | Equation 3 | vector and element mixed | {eq}`eq-mobilenet-softmax` |
# | dropout rate | not given | 0.5, our choice |
# | L1 against overfitting | "enhances generalization" | acts on 0.06 % of the weights; to be tested |

# %%
with_top = models.table_4(model)[0][2] + 1024 * 1000 + 1000
print(with_top, "==", paper.TABLE_3_NOTE["parameters"])
print(sum(madds.values()) + 1024 * 1000, "multiply-adds with the top")

# %% [markdown]
# The last number is the 569 million of the article that introduced MobileNet {cite:p}`howard2017`.

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: a depthwise convolution with a stride
#
# Write `depthwise_stride(image, kernel, stride)`. The picture is (H, W, C), the kernel (3, 3, C). Filter
# each channel with its own kernel and move the window by `stride` pixels. Use only windows that lie
# inside the picture (no padding), starting in the upper left corner. Loops are fine.


# %% tags=["exercise"]
def depthwise_stride(image, kernel, stride):
    """Filter each channel of image (H, W, C) with its own kernel (3, 3, C)."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_depthwise, depthwise_stride)


# %% tags=["solution", "hide-cell"]
def depthwise_stride(image, kernel, stride):
    """Filter each channel of image (H, W, C) with its own kernel (3, 3, C)."""
    height, width, _ = image.shape
    rows = range(0, height - 2, stride)
    columns = range(0, width - 2, stride)
    return np.array(
        [
            [(image[y : y + 3, x : x + 3] * kernel).sum(axis=(0, 1)) for x in columns]
            for y in rows
        ]
    )


exercises.check(exercises.check_depthwise, depthwise_stride)

# %% [markdown]
# ### Exercise 2: count a block
#
# Write `block_parameters(m, n)`: how many **trained** parameters has one block of MobileNet that takes
# `m` maps and gives `n`? Remember what is in it ({numref}`fig-mobilenet-network`), and that its
# convolutions have no bias.


# %% tags=["exercise"]
def block_parameters(m, n):
    """Return the number of trained parameters of a block from m to n maps."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_block_parameters, block_parameters)


# %% tags=["solution", "hide-cell"]
def block_parameters(m, n):
    """Return the number of trained parameters of a block from m to n maps."""
    depthwise, pointwise = 9 * m, m * n
    normalisations = 2 * m + 2 * n  # gamma and beta, after each of the two
    return depthwise + pointwise + normalisations


exercises.check(exercises.check_block_parameters, block_parameters)

# %% [markdown]
# ### Exercise 3: a softmax that does not break
#
# Write `softmax(z)` for a vector of scores, as in {eq}`eq-mobilenet-softmax`. It must also work for scores
# such as 1000 and 1001, where `np.exp` gives infinity. Hint: what happens to the result if you subtract
# the same number from all scores?


# %% tags=["exercise"]
def softmax(z):
    """Return the probabilities that belong to the scores z."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_softmax, softmax)


# %% tags=["solution", "hide-cell"]
def softmax(z):
    """Return the probabilities that belong to the scores z."""
    powers = np.exp(z - np.max(z))
    return powers / powers.sum()


exercises.check(exercises.check_softmax, softmax)

# %% [markdown]
# ## Take-aways
#
# - A convolution looks around and mixes. MobileNet does the two one after the other, at
#   $1/N + 1/K^2$ of the cost, about a ninth.
# - Nearly all the work, and most of the weights, is in the 1 × 1 convolutions.
# - Counting is a check. Table 4 is right to the last digit; Table 3 has nine misprints; the "GPU memory" is
#   something else.
# - Batch normalisation and dropout behave differently in training and at test. Both are places where a
#   network can be good in one and bad in the other.
# - The L1 penalty acts on 0.06 % of the weights, and starts out larger than the loss itself.
# - Weights come from a path, the cache or a download, and never silently from a random generator.

# %% [markdown]
# ## Further reading
#
# - {cite:t}`howard2017`, the article that introduced MobileNet. Section 3 is short and worth the hour.
# - {cite:t}`ioffe2015`, batch normalisation, and {cite:t}`srivastava2014`, dropout; {cite:t}`li2019`, why
#   the two together need care.
# - {cite:t}`bjorck2018`, which the paper cites for its Equation 2: why normalisation helps.
# - {cite:t}`yosinski2014`, how far the layers of a network carry over to another task.
