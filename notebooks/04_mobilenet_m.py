# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # MobileNet_M
#
# After this chapter you can compute the two steps of a MobileNet block by hand, count what a network costs, and build
# the paper's network in a dozen lines of Keras.
#
# > **You will learn**
# > - to tell looking around from mixing, the two jobs of a convolution;
# > - why doing one after the other costs a ninth;
# > - to build MobileNet_M and to check it against Tables 3 and 4, number by number;
# > - what batch normalisation, dropout, softmax and the L1 penalty do in it.
# >
# > **Before you start:** [Cropping and balancing](02_balancing.ipynb), and matrix products.
# >
# > **Run time:** about 20 s on two CPU cores (smoke profile); GPU: not needed.

# %% tags=["setup", "hide-input"]
import keras
import numpy as np
import pandas as pd
from keras import layers
from myst_nb import glue

from allm_utils.book import exercises, figures, profile, scorecard, widgets
from allm_utils.data import images, sample
from allm_utils.network import models
from allm_utils.runs.records import Runs

run = profile.banner()
frame = run.frame()

# %% [markdown]
# ## In brief
#
# MobileNet_M has {glue:text}`parameters` weights. For one picture it multiplies and adds {glue:text}`madds` million times.
# Nearly all of this work, {glue:text}`pointwise`, mixes the {term}`channels <channel>` of single pixels; looking around
# among neighbouring pixels costs next to nothing. The paper's own part is a head of five layers, of which two have weights.
#
# :::{figure} ../book/_static/mobilenet_m.svg
# :name: fig-mobilenet-network
# :alt: A column of boxes from the picture through a convolution and 13 blocks to pooling, flatten, dropout, batch normalisation and a dense layer of two outputs; beside it one block: depthwise, normalisation, ReLU, pointwise, normalisation, ReLU.
#
# MobileNet_M from the raw picture to two probabilities, after the paper's Fig. 5 and Table 4. At the right of each box
# stands the size of what leaves it: height, width and number of channels.
# :::
#
# Two words of the figure. A layer with **stride** 2 looks at every second place only, so height and width halve. **ReLU**
# sets negative numbers to zero; here it also cuts off what lies above 6. The other words are what this chapter is about.

# %% [markdown]
# ## Look around, and mix
#
# A network for pictures needs two abilities. It has to **look around**: an edge or a texture is a relation between
# neighbouring pixels. And it has to **mix**: "more red than green" is a relation between the channels of one
# pixel. Here are both, on one real cell.


# %%
def look(image, kernel):
    """Filter every channel of image (H, W, C) with the same kernel (3, 3)."""
    views = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(0, 1))
    return (views * kernel).sum(axis=(-1, -2))


# %% [markdown]
# Three kernels look for a mean and for steps; two mixes make a grey picture, and the difference of red and green:

# %%
one = frame[frame["label"] == 1].iloc[[0]]
cell = images.prepare(one["path"].iloc[0], 96, run.crop).astype(np.float32)
step = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
kernels = np.full((3, 3), 1 / 9), step, step.T
looks = [abs(look(cell, kernel)) for kernel in kernels]
mixes = [cell @ [[w] * 3 for w in ws] for ws in ([0.3, 0.6, 0.1], [1, -1, 0])]

# %% mystnb={"figure": {"caption": "One cell, three ways to look around in its channels, and two ways to mix them. Real cell of C-NMC 2019; brightened.", "name": "fig-mobilenet-look-mix"}, "image": {"alt": "Six pictures of one cell: the cell; the same but blurred; left-right edges lit; up-down edges lit; a grey version; and how much more red than green there is."}} tags=["hide-input"]
titles = [
    "the cell",
    "look: mean",
    "look: edges ↔",
    "look: edges ↕",
    "mix: grey",
    "mix: red − green",
]
shown = [np.clip(each, 0, 255) for each in (cell, *looks, *mixes)]
credit = f"{sample.people_shown(one)}\n{run.credit}"
figures.cells(shown, titles, 3, 2, source=credit)

# %% [markdown]
# In each case a few numbers, the **weights**, decide what comes out. Here we chose them; a network learns them. In the
# edge pictures the rim outshines everything else. It is the border to the black background, and a program
# made it. Whatever a network learns here, a clean-cut rim is the first thing it can see.
#
# ## One after the other
#
# The usual convolution does both jobs at once. From $M$ channels, called {term}`feature maps <feature map>`, it makes $N$ new ones, and every
# new map looks at a window of $K \times K$ pixels in **all** old maps:
#
# $$ G_{k,l,n} = \sum_{i,j,m} W_{i,j,m,n}\; F_{k+i-1,\; l+j-1,\; m} $$ (eq-mobilenet-standard)
#
# $F$ are the old maps, $G$ the new ones, $(k, l)$ a place in them; $i$ and $j$ run over the window. The weights $W$ are
# called the **kernel**; there are $K^2 M N$ of them. MobileNet {cite:p}`howard2017` does the jobs in two layers. The {term}`depthwise convolution` looks around in each map on its own.
# The {term}`pointwise convolution` mixes: a matrix product at each pixel.
#
# :::{figure} ../book/_static/separable.svg
# :name: fig-mobilenet-separable
# :alt: Above, M maps, N large filters each as deep as M maps, N maps. Below, M maps, M flat kernels, M maps, N filters of one pixel, N maps.
#
# Above, a standard convolution; below, the two steps that replace it.
# :::
#
# The first step is Equation 1 of the paper, which writes $K$ for our $W$ and has lost the indices on its left side:
#
# $$ \hat G_{k,l,m} = \sum_{i,j} \hat W_{i,j,m}\; F_{k+i-1,\; l+j-1,\; m} $$ (eq-mobilenet-depthwise)
#
# Compare with {eq}`eq-mobilenet-standard`: the sum over $m$ is gone, and so is $n$. The second step mixes,
# $G_{k,l,n} = \sum_m P_{m,n}\, \hat G_{k,l,m}$. Step through both at the rim of the cell above: red and green of 5 × 5
# pixels, in steps of 16. The kernels are the edges of the figure, and the mixes are red, green, and their difference.

# %%
rim = np.argmax(cell[48].any(axis=-1))  # first of the middle row that is not black
small = cell[46:51, rim - 2 : rim + 3, :2].astype(int) // 16
few, mix_few = np.stack([step, step.T], -1), np.array([[1, 0, 1], [0, 1, -1]])
widgets.separable_stepper(small, few, mix_few)

# %% [markdown]
# ## By hand, and equal to Keras
#
# In NumPy the first step is the equation, letter by letter.


# %%
def depthwise_maps(maps, kernel):
    """Filter each of the maps (H, W, M) with its own kernel (K, K, M)."""
    views = np.lib.stride_tricks.sliding_window_view(
        maps, kernel.shape[:2], axis=(0, 1)
    )
    return np.einsum("klmij,ijm->klm", views, kernel)


# %% [markdown]
# The second is one matrix product. Keras has a layer for each; we take their weights:

# %%
look_layer = layers.DepthwiseConv2D(3, use_bias=False)
mix_layer = layers.Conv2D(8, 1, use_bias=False)
by_keras = np.array(mix_layer(look_layer(cell[None])))[0]
looked = depthwise_maps(cell, look_layer.get_weights()[0][..., 0])
by_hand = looked @ mix_layer.get_weights()[0][0, 0]
print(by_hand.shape, "equal:", np.allclose(by_hand, by_keras, atol=1e-2))

# %% [markdown]
# ## What it costs
#
# For maps of $D \times D$ pixels, count the multiplications; each comes with an addition, so people say
# **multiply-adds**. The standard layer needs $D^2 K^2 M N$, the two steps $D^2 K^2 M + D^2 M N$. Their ratio is
#
# $$ \frac{1}{N} + \frac{1}{K^2} $$ (eq-mobilenet-cost)
#
# With $K = 3$ and many maps that is a little more than one ninth. Neither $D$ nor $M$ is in it. Now count the
# whole network at its full size. It knows its own shapes, so nobody has to copy them.

# %%
whole = models.mobilenet_m(weights=None, seed=0)
counted = models.parameters(whole)
convolutions = [
    layer
    for layer in whole.layers
    if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D)
]


# %%
def work(layer):
    """Multiply-adds of one convolution: pixels of its output times its weights."""
    return int(np.prod(layer.output.shape[1:3]) * np.prod(layer.kernel.shape))


# %% tags=["remove-cell"]
total = sum(map(work, convolutions))
mixing = sum(work(layer) for layer in convolutions if "conv_pw" in layer.name)
assert total == models.multiply_adds(whole) and mixing > 0.9 * total
glue("parameters", f"{counted['total']:,}", display=False)
glue("madds", f"{total / 1e6:.0f}", display=False)
glue("pointwise", f"{100 * mixing / total:.0f} %", display=False)

# %% [markdown]
# Block by block:

# %%
parts = {"first layer": convolutions[:1]}
parts |= {f"block {i + 1}": convolutions[1 + 2 * i : 3 + 2 * i] for i in range(13)}
weights = {
    name: sum(layer.count_params() for layer in each) for name, each in parts.items()
}
madds = {name: sum(map(work, each)) for name, each in parts.items()}

# %% mystnb={"figure": {"caption": "Share of each part of MobileNet in its weights and in its multiply-adds, at width 1 and 224 pixels. Counted from the network.", "name": "fig-mobilenet-costs"}, "image": {"alt": "Two bar charts over the first layer and the blocks 1 to 13. The weights pile up in the last blocks; the multiply-adds are spread evenly, with about half as much in the first block and the blocks of stride 2, and least in the first layer."}} tags=["hide-input"]
figure, axes = figures.new(1, 2, 3.8, sharey=True)
for axis, (title, values) in zip(
    axes, {"weights": weights, "multiply-adds": madds}.items(), strict=True
):
    share = 100 * pd.Series(values) / sum(values.values())
    axis.bar_label(
        axis.barh(share.index, share, color="#009E73"), fmt="%.0f", padding=2
    )
    axis.set(title=title, xlabel="% of the network")
axes[0].invert_yaxis()
figure

# %% tags=["remove-cell"]
halves = [madds[f"block {i}"] for i in (1, 2, 4, 6, 12)]
others = [madds[f"block {i}"] for i in (3, 5, *range(7, 12), 13)]
assert 0.4 < min(halves) / max(others) and max(halves) / min(others) < 0.6
assert min(madds.values()) == madds["first layer"]

# %% [markdown]
# The weights sit at the end, where maps are many and small. The work is spread more evenly: whenever the maps halve in
# size, their number doubles. The blocks that do both have about half of the work of most others.
#
# ## A dozen lines
#
# Now the network itself. Keras has MobileNet; the authors cut off its top and put their own head on it. The weights of
# MobileNet are loaded from a file, those of the last layer start as small random numbers, uniform as the paper says.

# %%
size, width = run.image_size, run.alpha
pixels = keras.Input((size, size, 3), name="pixels")
scaled = layers.Rescaling(1 / 255)(pixels)
backbone = keras.applications.MobileNet(
    input_tensor=scaled, alpha=width, include_top=False, weights=None
)
backbone.load_weights(models.resolve_weights(run.weights, width))

# %% [markdown]
# On top comes the head of Table 4:

# %%
x = layers.GlobalAveragePooling2D()(backbone.output)
x = layers.Flatten()(x)
x = layers.Dropout(0.5)(x)
x = layers.BatchNormalization()(x)
l1, start = keras.regularizers.L1(0.015), "random_uniform"
last = layers.Dense(2, "softmax", kernel_initializer=start, kernel_regularizer=l1)
mobilenet_m = keras.Model(pixels, last(x))

# %% [markdown]
# That is all of MobileNet_M. The package builds the same with one call. Are the two equal? Same layers, same counts,
# and with the same weights the same answers:

# %%
ours = models.mobilenet_m(run.weights, size, width, seed=0)
both = mobilenet_m, ours
kinds = [[type(layer).__name__ for layer in model.layers] for model in both]
ours.set_weights(mobilenet_m.get_weights())
picture = images.prepare(one["path"].iloc[0], size, run.crop)[None]
answers = [np.array(model(picture)) for model in both]
assert kinds[0] == kinds[1] and np.allclose(*answers, atol=1e-6)
print("equal layers:", len(kinds[0]), " equal answers:", answers[0].round(3)[0])

# %% [markdown]
# The weights come from ImageNet {cite:p}`russakovsky2015`, photographs of a thousand kinds of things. Cells are not among
# them, but edges, spots and textures are everywhere. This is {term}`transfer learning`. **Fine-tuning** then goes on training, in the paper
# with all layers open. If the file with the weights cannot be found, the package stops with an error. It never starts from
# random numbers without saying so.
#
# One choice of the paper deserves a look. It scales pixels to [0, 1]. The ImageNet weights were made on [−1, 1]: to
# them our black background is a middle grey. Fine-tuning can adapt to that.
# [Chapter 9](09_ablation.ipynb) measures it.
#
# ## Table 3 and its misprints
#
# The paper's Table 3 lists the layers of MobileNet with its own top: the type of each with its stride, the size of its
# kernel, and the size of what goes in. "Conv dw" is a depthwise convolution, "s2" a stride of 2. Here are the lines where the
# count differs from the print.

# %%
lines = scorecard.lines("Table 3")
wrong = lines[lines["verdict"].str.startswith("differs")]
print(len(wrong), "of", len(lines), "lines differ")
misprints = wrong.set_index("what")[["paper", "ours"]].rename_axis(None)
misprints.set_axis(["printed", "counted"], axis=1)

# %% tags=["remove-cell"]
kernels_512 = [each for each in convolutions if each.kernel.shape[-2:] == (512, 512)]
assert len(kernels_512) == 5 and (lines["paper"].str.count("×512×512,") == 1).sum() == 1

# %% [markdown]
# The block of 512 maps stands in the table once, and MobileNet has it five times. None of this changes the network, which
# Keras builds right. But whoever rebuilds it from the table gets another one, four blocks short. The stride 2 of row 18 is
# inherited: the article that introduced MobileNet has it as well. With it the maps of 7 × 7 would shrink to 4 × 4, and the
# next line says 7 × 7.
#
# ## The head
#
# **Global average pooling** replaces each map by its mean. **Flatten** makes a vector of what already is one; it
# does nothing, and it is in the table, so it is in the model. The other three deserve more.
#
# {term}`Batch normalisation` {cite:p}`ioffe2015` takes from each map $c$ the mean $\mu_c$ and the variance
# $\sigma_c^2$ over the batch and all pixels, and rescales. In the paper's Equation 2 the $\gamma_c$ is missing:
#
# $$ O_{b,c,i,j} = \gamma_c\, \frac{I_{b,c,i,j} - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}} + \beta_c $$ (eq-mobilenet-norm)
#
# At test a single picture has no batch. So running means are kept: at each step they keep 0.99 of what they were, the
# **momentum**, and take the rest from the batch. They are the parameters that no gradient reaches:

# %%
norms = [
    layer for layer in whole.layers if isinstance(layer, layers.BatchNormalization)
]
untrained = 2 * sum(layer.output.shape[-1] for layer in norms)
print(f"{len(norms)} layers, {untrained:,} parameters that are not trained")
assert untrained == counted["non_trainable"]

# %% [markdown]
# Two traps come with it. In a **short run** the running means still remember where they began, and a network that has learned
# may look as if it had not. The smoke profile therefore uses a momentum of 0.9:
#
# :::{figure} ../book/_static/memory.svg
# :name: fig-mobilenet-memory
# :alt: Two falling curves over training steps; with momentum 0.9 the beginning is forgotten within some dozens of steps, with 0.99 only after hundreds.
#
# How much of their beginning the running means still hold after a number of training steps. Computed, no data.
# :::
#
# And the means describe the *training* pictures, which [augmentation](03_augmentation.ipynb) darkened. A brighter test
# picture is normalised with the means of dark ones.
#
# {term}`Dropout` {cite:p}`srivastava2014` sets a random part of the numbers to zero, in training only. **The paper does not give the
# rate; 0.5 is our choice.** It also stands *before* a batch normalisation, and the two disturb each other
# {cite:p}`li2019`. Dropout keeps the mean but not the variance, which the normalisation then learns wrongly:

# %%
rng = np.random.default_rng(0)
features = np.maximum(rng.normal(size=(20_000, 1)), 0).astype(np.float32)
dropped = np.array(layers.Dropout(0.5, seed=1)(features, training=True))
print(f"variance {dropped.var():.2f} in training, {features.var():.2f} at test")

# %% [markdown]
# We keep the order of Table 4, and mention it. The **dense** layer gives two scores, and {term}`softmax` makes them
# positive with sum 1; in the paper's Equation 3 a vector stands on the left and one element of it on the right:
#
# $$ \operatorname{softmax}(z)_i = \frac{e^{z_i}}{\sum_j e^{z_j}} $$ (eq-mobilenet-softmax)
#
# ## The L1 penalty
#
# Training minimises the cross-entropy plus $0.015 \sum_i |w_i|$ over the weights of the last layer. How large is that at
# the start?

# %%
dense = whole.get_layer("prediction").get_weights()[0]
share_penalised = dense.size / counted["total"]
print(f"penalty at the start: {0.015 * np.abs(dense).sum():.2f}")
print(f"cross-entropy of a blind guess: {np.log(2):.2f}")
print(f"it acts on {dense.size:,} weights, {share_penalised:.2%} of the model")

# %% [markdown]
# At the start the penalty is larger than the loss of a blind guess. Its pull is the same on every weight, so those that do
# not earn their keep go to zero. Does it prevent overfitting, as the paper suggests? All other weights may
# overfit as they like. The claim can be tested by training without it: [chapter 9](09_ablation.ipynb).
#
# ## Paper and us
#
# Table 4 of the paper, *paper / ours*:

# %%
scorecard.table("Table 4")

# %% tags=["remove-cell"]
assert (
    scorecard.lines("Table 4")["verdict"]
    .str.startswith(("reproduced", "not comparable"))
    .all()
)

# %% [markdown]
# Equal to the last digit. But "GPU memory: 6.2 MB" is no memory requirement. It is the size of the same weights at two
# bytes each. Training keeps every layer's output until the gradients are computed, and that takes far more:

# %%
n_outputs = sum(int(np.prod(layer.output.shape[1:])) for layer in whole.layers)
print(f"weights in half precision: {2 * counted['total'] / 2**20:.1f} MiB")
print(f"outputs of all layers, 16 pictures: {16 * 4 * n_outputs / 2**30:.1f} GiB")

# %% [markdown]
# ## Exercises
#
# ### 1. Predict, then run
#
# The width $\alpha$ multiplies the number of maps everywhere. At $\alpha = 0.5$, about what share of the multiply-adds of width
# 1 is left? Think of what does the work.

# %% tags=["exercise"]
guess = ...  # a share, such as 0.9

# %% tags=["check"]
half = models.multiply_adds(models.mobilenet_m(weights=None, alpha=0.5))
exercises.check(exercises.check_guess, guess, half / total, 0.05)

# %% tags=["solution", "hide-cell"]
guess = 0.25  # mixing goes with the square of the width, and is nearly everything
half = models.multiply_adds(models.mobilenet_m(weights=None, alpha=0.5))
exercises.check(exercises.check_guess, guess, half / total, 0.05)

# %% [markdown]
# ### 2. A depthwise convolution with a stride
#
# Write `depthwise(image, kernel, stride)`. The picture is (H, W, C), the kernel (3, 3, C). Filter each channel with its own
# kernel, and move the window by `stride` pixels. Use only windows inside the picture. Loops are fine.


# %% tags=["exercise"]
def depthwise(image, kernel, stride):
    """Filter each channel of image (H, W, C) with its own kernel (3, 3, C)."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(depthwise)


# %% tags=["solution", "hide-cell"]
def depthwise(image, kernel, stride):
    """Filter each channel of image (H, W, C) with its own kernel (3, 3, C)."""
    rows = range(0, image.shape[0] - 2, stride)
    columns = range(0, image.shape[1] - 2, stride)
    cut = [[image[y : y + 3, x : x + 3] for x in columns] for y in rows]
    return (np.array(cut) * kernel).sum(axis=(2, 3))


exercises.check(depthwise)

# %% [markdown]
# ### 3. Count a block
#
# Write `block_parameters(m, n)`: how many **trained** parameters has a block of MobileNet that takes `m` maps and gives
# `n`? It holds a depthwise and a pointwise convolution without biases, and a batch normalisation after each. Then add up
# the thirteen blocks and what stands around them: is it the number in the record of a real training?


# %% tags=["exercise"]
def block_parameters(m, n):
    """Return the number of trained parameters of a block from m to n maps."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(block_parameters)


# %% tags=["solution", "hide-cell"]
def block_parameters(m, n):
    """Return the number of trained parameters of a block from m to n maps."""
    return 9 * m + m * n + 2 * m + 2 * n  # gamma and beta after each of the two


exercises.check(block_parameters)
maps = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
around = 27 * 32 + 2 * 32 + 2 * 1024 + (1024 + 1) * 2  # first convolution, and head
trained = sum(map(block_parameters, maps, maps[1:])) + around
recorded = Runs.load().where(experiment="table5", fold=0, seed=1337).one()
print(f"{trained:,} by hand, {recorded.data['parameters']['trainable']:,} on record")

# %% [markdown]
# ### 4. Change and explain
#
# In the dozen lines, leave out `Rescaling`: write `scaled = pixels`. In the cell that compares the two networks, put a `#`
# before `assert`, and print all of `answers`. Both have the same weights. Then put `Rescaling` back, and leave out
# `Flatten`. Which of the two matters, and why?
#
# :::{dropdown} What happens
# `Rescaling` matters: without it the first layer gets numbers from 0 to 255, and it was trained on [−1, 1].
# `Flatten` does not: what it gets is a vector already.
# :::
#
# ## Quiz
#
# :::{dropdown} Two 3 × 3 kernels, one depthwise separable, one standard, from 512 to 512 maps. Which can do more?
# The standard one, if nothing stands between the two steps. Then they are together a standard convolution whose kernel is
# a product of two smaller ones, and can only do what such products can. MobileNet puts a normalisation and a ReLU between
# them, and then the two cannot be compared so simply.
# :::
#
# :::{dropdown} The loss falls from 1.5 to 0.7 in the first epochs. Has the network learned to tell cells apart?
# Not by that alone: part of the fall is the L1 term melting away. Look at the accuracy.
# :::
#
# :::{dropdown} Why has MobileNet_M parameters that are not trained, although all layers are open?
# They are the running means and variances of batch normalisation. They are collected, not learned.
# :::
#
# ## Take away
#
# - A convolution looks around and mixes. MobileNet does one after the other, at $1/N + 1/K^2$ of the cost.
# - Nearly all the work is in the 1 × 1 convolutions.
# - Counting is a check: Table 4 is right to the last digit, Table 3 has misprints, and the "GPU memory" is something
#   else.
# - Batch normalisation and dropout behave differently in training and at test.
#
# ## Further reading
#
# {cite:t}`howard2017`, which introduced MobileNet: section 3 is short and worth the hour. {cite:t}`ioffe2015` and
# {cite:t}`srivastava2014` on the two layers, {cite:t}`li2019` on why they disturb each other, {cite:t}`yosinski2014` on how
# far layers carry over to other pictures.
