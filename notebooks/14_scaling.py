# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Scaling
#
# After this chapter you can turn one experiment into a study of hundreds, on whatever machines you have, and one network into
# answers for a million cells; and you can say before you start what either will cost.
#
# > **You will learn**
# > - why a study is many small trainings, and not one large one;
# > - to write a study as a file, to price it, and to run it so that nothing is done twice;
# > - how much faster two workers are than one, and what bounds it;
# > - when several GPUs should share one training, and when they should not;
# > - to classify any number of cells in bounded memory, and what breaks first.
# >
# > **Before you start:** [Training](05_training.ipynb), [Ablation](09_ablation.ipynb) and [Deployment](13_deployment.ipynb).
# >
# > **Run time:** about 90 s on two CPU cores; GPU: not needed.

# %% tags=["setup"]
import json
import os
import shutil
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from myst_nb import glue

# %% tags=["setup"]
from allm_utils.book import exercises, figures, profile
from allm_utils.data import sample
from allm_utils.network import saving
from allm_utils.runs import engines, sweep
from allm_utils.runs.records import RESULTS, Runs
from allm_utils.ship import inference

run = profile.banner()
runs = Runs.load()
studies = sweep.STUDIES
folder = tempfile.TemporaryDirectory()
place = Path(folder.name)

# %% [markdown]
# ## In brief
#
# The {glue:text}`n_trained` trainings on a GPU behind this book took {glue:text}`run_hours` hours, each counted by itself, and {glue:text}`gpu_hours` hours of
# one GPU, because several of them shared the card. The largest took {glue:text}`longest` minutes: none needs a second GPU, all
# together need **many runs side by side** ({numref}`fig-scaling-brief`). One file describes such a study, one command runs it
# on a laptop, on Ray or under Slurm, and a run that dies goes on from its {term}`checkpoint`.

# %% mystnb={"figure": {"caption": "Minutes that each recorded training at 224 pixels took on the GPU, while others ran on the same card. From our records.", "name": "fig-scaling-brief"}, "image": {"alt": "A histogram. Five runs took about one minute, the others between two and seven."}} tags=["hide-input"]
trained = [
    r for r in runs if r.data["epochs_run"] and r.last["hardware"]["accelerator"]
]
minutes = pd.Series({r.name: r.seconds / 60 for r in trained})
figure, axis = figures.new(height=2.6)
axis.hist(minutes, np.arange(0, 9), color="#009E73", edgecolor="white")
axis.set(xlabel="one training, minutes", ylabel="trainings")
figure

# %% tags=["remove-cell"]
every = [r for r in runs if r.data["epochs_run"]]
SHARE = engines.EngineConfig().gpus
times = [[p["started"], p["finished"]] for r in trained for p in r.data["processes"]]
times = pd.DataFrame(times).apply(pd.to_datetime)
by_day = times.groupby(times[0].dt.date).agg({0: "min", 1: "max"})
for key, value in {
    "n_trained": str(len(trained)),
    "run_hours": f"{minutes.sum() / 60:.1f}",
    "gpu_hours": f"{(by_day[1] - by_day[0]).sum().total_seconds() / 3600:.1f}",
    "longest": f"{minutes.max():.0f}",
}.items():
    glue(key, value, display=False)
assert minutes.max() < 8 and (minutes < 4).sum() == len(minutes) / 2

# %% [markdown]
# ## A study
#
# *Is A better than B?* is never answered by one training. It wants several seeds, for two runs of one recipe differ; several
# folds, for one fold is luck; several protocols, for people matter. The numbers multiply: three folds, six networks, five seeds
# and three protocols are 270 trainings. Type 270 commands, and one of them will be wrong.
#
# So write down the study, not the commands. `each` holds lists, and every combination is a run:

# %%
text = """
[[runs]]
experiment = "large"
each.folds = [[0], [1], [2]]
each.seed = [1, 2, 3, 4, 5]
each.protocol = ["paper", "patient-disjoint"]
each.alpha = [0.25, 0.5, 1.0]
"""

# %% [markdown]
# Written to a file, it can be expanded:

# %%
(place / "large.toml").write_text(text)
large = sweep.expand(place / "large.toml")
print(len(large), "runs; the last:", sweep.name(large[-1]))

# %% [markdown]
# The name says what the run *is*: experiment and setting, network, protocol, fold, seed. It has no date and no serial number. That
# is the whole trick: **a run whose record stands is never run again**, whoever made it, on whichever machine. Stop a study, add a
# seed, start it again: only what is missing runs. If a record of this name has other settings, the study refuses.
#
# The book's own records come from such files in `studies/`:

# %%
book = {
    path.stem: sweep.expand(path, out=RESULTS)
    for path in sorted(studies.glob("*.toml"))
}
made = {name: sum(map(sweep.finished, configs)) for name, configs in book.items()}
pd.DataFrame({"runs": {n: len(c) for n, c in book.items()}, "records": made})

# %% [markdown]
# ## What will it cost?
#
# Ask before you start. The records hold the time of every run, so the price of one that is like them is a multiplication:
# seconds per picture and epoch, times pictures, times epochs. `allm sweep STUDY.toml --plan` prints it for any study. For
# the 90 runs above:

# %%
plan = sweep.plan(large, runs)
print(sweep.priced(plan, SHARE).partition("would run.")[2].strip())

# %% [markdown]
# A width that no record knows has no price: the plan says so, and does not guess. Do one run of it, and ask again.
#
# > A price is of the **machine that the records name**. On another card it is only a beginning, and on a laptop without one it is
# > far too low.

# %% tags=["remove-cell"]
known = plan["hours"].dropna()
assert (
    len(large) == 90 and 0 < len(known) < len(plan) and plan["gpu"].sum() == len(known)
)

# %% [markdown]
# ## Two workers
#
# How much faster are two workers than one? Not a question for thinking. Here is a study of tiny trainings on the shipped
# cells. Each is a process of its own, as a real run would be: its death costs that run alone.

# %%
tiny = """[[runs]]
experiment = "EXPERIMENT"
alpha = 0.25
image_size = 32
epochs = 2
conditions = ["clean"]
each.seed = [1, 2]
"""


# %% tags=["once"]
def timed(workers):
    """Seconds that the tiny study takes with so many workers."""
    (place / "tiny.toml").write_text(tiny.replace("EXPERIMENT", f"by{workers}"))
    configs = sweep.expand(place / "tiny.toml", work=run.work)
    engine = engines.Here(engines.EngineConfig(workers=workers), run.work)
    start = time.perf_counter()
    assert sweep.sweep(configs, engine, progress=False) == {}
    return time.perf_counter() - start


# %% [markdown]
# Records that this page left earlier go first, or the study would find nothing to do:

# %% tags=["once"]
sample.root(run.work)
for old, workers in product(("records", "runs"), (1, 2)):
    shutil.rmtree(run.work / old / f"by{workers}", ignore_errors=True)
seconds = {workers: timed(workers) for workers in (1, 2)}
gain = seconds[1] / seconds[2]
print("one worker {:.1f} s, two workers {:.1f} s".format(*seconds.values()))

# %% [markdown]
# On this page's run two workers were {glue:text}`gain` times as fast as one. Twice is the most that they can give. This machine has
# {glue:text}`cores` cores; where one training already uses more than one core, two give less. What cannot be shared out, here the cores, bounds the gain. If a share $s$ of the work stays
# serial, $n$ workers gain
#
# ```{math}
# :label: eq-scaling-amdahl
# G(n) = \frac{1}{s + (1 - s) / n},
# ```
#
# never more than $1/s$ {cite:p}`amdahl1967`. On an {glue:text}`card_name` one run takes {glue:text}`alone` steps of 16 pictures a second, by our benchmark. The first
# {glue:text}`n_shared` runs of our records shared the card, {glue:text}`at_once` at a time on average, and took {glue:text}`shared` a second together, with all
# that they compiled and tested in between. Alone, a run lets the card compute in {glue:text}`busy_before` of the time, because the *host* needs some milliseconds
# to prepare each step. Runs side by side fill the pauses of one another.
#
# The benchmark of {glue:text}`bench_day`, on two cores and not on the card's machine, shows the host's part in a step of 16 pictures: making them takes {glue:text}`bench_pictures` ms of one core, the network
# {glue:text}`bench_network` ms of both. On a CPU there is nothing to gain. But the card needs {glue:text}`bench_card` ms for its part, less than the pictures
# take: there threads must make them ahead, and each millisecond of Python around a step counts.
#
# Or the card makes its own pictures. With `allm train --augment-on device --steps-per-call 16` the host only reads the pictures and draws the
# numbers of each warp, which takes {glue:text}`bench_drawn` ms of a core a step, and looks up after every sixteenth step. Tests hold both ways to one recipe and to imgaug.
# On that card one run then takes {glue:text}`there` steps a second, **{glue:text}`faster` times as many** ({glue:text}`faster_range`), and the card computes in
# {glue:text}`busy` of the time instead of {glue:text}`busy_before`. We had hoped for twice. But Keras' `fit` on ready arrays is not faster, with {glue:text}`ready` steps: what is left is
# the step itself.
#
# One trap is left. JAX **compiles** each step when it first sees its shape. The five runs of `full-draw` began at once, beside seven others that were given
# up, and all compiled the same steps on one card: they took {glue:text}`compiling` minutes. Five runs of as many epochs came after them and found them in a cache, the folder that
# `JAX_COMPILATION_CACHE_DIR` names: {glue:text}`compiled` minutes each. Five instead of twelve on the card explain a part of it, not all. `allm sweep` gives its runs such a folder. Still, let one run begin alone.

# %% tags=["remove-cell"]
bench = max((RESULTS.parent / "benchmarks/results").glob("*.json"))
bench = json.loads(bench.read_text(encoding="utf-8"))
speed = {row["what"]: row for row in bench["rows"]}
pictures = 16 * speed["Training pictures, from the cache to a batch"]["ours"]
steps = speed["A training epoch, its pictures made meanwhile"]
computed = 16 * steps["alternative"]
glue("bench_day", bench["date"], display=False)
glue("bench_pictures", f"{pictures:.1f}", display=False)
drawn = 16 * speed["Pictures as they are, for a GPU that makes the rest"]["ours"]
glue("bench_drawn", f"{drawn:.1f}", display=False)
glue("bench_network", f"{computed:.0f}", display=False)
glue("gain", f"{gain:.2f}", display=False)
glue("cores", str(os.cpu_count()), display=False)

# %% tags=["remove-cell"]
gpu_bench = max((RESULTS.parent / "benchmarks/results/card").glob("*.json"))
gpu_bench = json.loads(gpu_bench.read_text(encoding="utf-8"))
ready, host = gpu_bench["rows"]
assert 1 < host["low"] < 2 and ready["low"] < 1 < ready["high"]
ALONE = 1000 / 16 / host["alternative"]
by_share = 1000 / ALONE * host["alternative_busy"]
assert by_share < pictures < 0.02 * computed
there = sorted(1000 / 16 / row["ours"] for row in (ready, host))
for key, value in {
    "card_name": gpu_bench["hardware"]["accelerator"],
    "alone": f"{ALONE:.0f}",
    "bench_card": f"{by_share:.1f}",
    "there": "{:.0f} to {:.0f}".format(*there),
    "faster": f"{host['ratio']:.1f}",
    "faster_range": f"{host['low']:.1f} to {host['high']:.1f}",
    "busy": "{:.0%} to {:.0%}".format(*sorted((host["busy"], ready["busy"]))),
    "busy_before": f"{host['alternative_busy']:.0%}",
    "ready": f"{1000 / 16 / ready['alternative']:.0f}",
}.items():
    glue(key, value, display=False)


# %% tags=["remove-cell"]
def steps_of(record):
    train, config = record.data["split"]["train"], record.data["config"]
    copies = train["n_hem"] if config["balance"] == "hem" else 0
    a_epoch = -(-(train["n"] + copies) // config["batch_size"])
    return record.data["epochs_run"] * a_epoch


shared = [r for r in trained if r.data["experiment"].startswith(("same", "table5"))]
assert {r.data["config"]["batch_size"] for r in shared} == {16}
begun, ended = by_day.iloc[0]  # theirs: the other runs are of another day
assert sum(times[0] <= ended) == len(shared)
span = (ended - begun).total_seconds()
TOGETHER = sum(map(steps_of, shared)) / span
AT_ONCE = sum(r.seconds for r in shared) / span
assert 1 < TOGETHER / ALONE < 1 / host["alternative_busy"]
glue("n_shared", str(len(shared)), display=False)
glue("at_once", f"{AT_ONCE:.1f}", display=False)
glue("shared", f"{TOGETHER:.0f}", display=False)

# %% tags=["remove-cell"]
for key, name in {"compiling": "full-draw", "compiled": "full"}.items():
    reach = minutes.filter(regex=f"^{name}/").agg(["min", "max"])
    glue(key, "{:.1f} to {:.1f}".format(*reach), display=False)
quick = minutes < 1.5
assert quick.sum() == 5 and minutes[~quick].between(2, 7).all()

# %% [markdown]
# Now ask for the same study once more:

# %%
(place / "tiny.toml").write_text(tiny.replace("EXPERIMENT", "by2"))
again = sweep.expand(place / "tiny.toml", work=run.work)
print(sum(map(sweep.finished, again)), "of", len(again), "are done already")

# %% [markdown]
# ## Things break
#
# In a study of days something always breaks: a node, a network drive, a cloud that wants its cheap machine back. If each run dies
# on its way with the chance $q$, and none because another did, all of 270 come through with the chance $(1-q)^{270}$:

# %%
for q in (0.001, 0.01, 0.02):
    print(f"q = {q}: all 270 come through with probability {(1 - q) ** 270:.2g}")

# %% [markdown]
# So a study must take deaths for granted. Ours does so in three ways:
#
# - After each epoch a run saves everything, {term}`checkpoint` ([chapter 5](05_training.ipynb)). Tried again, it goes on from there and ends as if
#   nothing had happened, to the last bit on a CPU.
# - A run that dies is tried three times more. One that *refuses*, because a setting is wrong, is not: it would refuse again.
# - A record is written last and whole. What stands is finished; there is no third state.
#
# Tests of the package kill a process in the middle of a run, and look for the record. They do so with one of two nodes of a Ray cluster, and
# with a job of submitit, which speaks to Slurm. We saw both die, be replaced and end in their records: on one machine, without Slurm itself.

# %% [markdown]
# ## Where it runs
#
# One file, three **engines**. They differ in who decides where a run starts; everything else is the same code.
#
# | you have | command | who decides |
# |---|---|---|
# | a laptop, or one machine with GPUs | `allm sweep study.toml` | this command: as many at a time as memory and cards bear, or memory and cores |
# | machines that you reach by SSH, or a cloud | `allm sweep study.toml --engine ray --address HOST:6379` | Ray {cite:p}`moritz2018` |
# | an account on a cluster | `allm sweep study.toml --engine slurm --gpus 1` | Slurm {cite:p}`yoo2003`, with its queue |
# | Kubernetes | `kubectl apply -f studies/kubernetes.yaml` | one pod for each run, by its number |
#
# All nodes must see one shared folder with data, work and records. For a cloud of **spot** GPUs, which cost less and may be taken away
# at any minute, start Ray on them and let the study run on a small machine that stays:
#
# ```bash
# pip install 'allm-utils[cluster]'
# ray start --head                                  # on the machine that stays
# ray start --address HEAD:6379                     # on each GPU machine, also later ones
# allm sweep study.toml --engine ray --address HEAD:6379 \
#     --data /shared/C-NMC --work /shared/work --out /shared/results
# allm scorecard --results /shared/results          # what came of it
# ```
#
# `--gpus 0.125` is the default: eight runs share a card. Ray and one machine can do that, Slurm gives each job whole cards.
# Ctrl-C stops all runs; the same command goes on with them.

# %% [markdown]
# ## One training on several GPUs?
#
# **Data parallelism** divides each batch: every GPU holds the whole network, computes the gradient of its pictures, and all average their
# gradients before each step. The mathematics is that of one GPU with the same batch. When does it pay? Each step must bring every
# gradient once around, and must have enough to do to make this worth it.

# %%
network, card = saving.load(RESULTS / "models" / "images.safetensors")
gradient = f"{4 * network.count_params() / 1e6:.1f}"  # MB
batch = 16
table = {n: {"pictures each": batch // n, "MB to average": gradient} for n in (1, 2, 8)}
figures.table(pd.DataFrame(table, dtype=object).T, "GPUs")

# %% [markdown]
# MobileNet_M is small and Table 5 wants batches of {glue:text}`batch`. On eight GPUs each would see two pictures, in a step that the host needs
# longer to prepare than the card to compute. A larger batch would fill them, but that is another experiment, with another
# learning rate {cite:p}`goyal2017`. `allm train --devices 2` does it, by `keras.distribution.DataParallel` under JAX and `MirroredStrategy` under
# TensorFlow, and a test holds the loss curve of two (virtual) devices to that of one. **For 3.2 million weights it is hardly ever worth it: more runs, not wider ones.** It is the
# right tool when the network or its pictures do not fit one card, or when one run takes days.

# %% tags=["remove-cell"]
glue("batch", str(batch), display=False)

# %% [markdown]
# ## A million cells
#
# A study makes networks; a hospital has cells. Suppose that it has a million. `allm predict` reads ahead in threads,
# asks the network a batch at a time, and writes answers as it goes: folders, zip and tar archives, lists of paths; CSV or Parquet.
# It needs a network, a folder, and a place for the answers:

# %%
out, cells = place / "answers.csv", run.root() / "fold_1"
model = RESULTS / "models" / "images.safetensors"

# %% [markdown]
# From Python the same is one call:

# %%
out.unlink(missing_ok=True)
start = time.perf_counter()
refused = list(inference.write(model, cells, out, progress=False))
took = time.perf_counter() - start
answers = pd.read_csv(out)
each = took / len(answers)
print(f"{len(answers)} answers, {len(refused)} refused, {1 / each:.0f} a second")

# %% [markdown]
# Three things make it fit for many. **Memory is bounded**: two batches of pictures, and the answers not yet written. It is
# **resumable**: killed and called again with `--resume`, it goes on after the last answer on disk. And **one bad picture costs one
# line**: what cannot be read has its row, with the reason, and the rest goes on. Does memory really stay? We measured it
# ({numref}`fig-scaling-cells`).

# %% mystnb={"figure": {"caption": "Answers of LiteRT in eight bits for cells of the sample, repeated, read from files on disk and written as CSV. Left: cells in a second of one core. Right: the highest memory of the process. Measured by the benchmarks of the book.", "name": "fig-scaling-cells"}, "image": {"alt": "Two panels over the number of cells on a logarithmic axis. The cells in a second of one core rise by about half; the memory is flat at about half a gigabyte."}} tags=["hide-input"]
kept = sorted((RESULTS.parent / "benchmarks/results/cells").glob("*.json"))[-1]
measured = json.loads(kept.read_text(encoding="utf-8"))
(rows,) = measured["growth"].values()
rows = pd.DataFrame(rows)
rows["speed"] = rows["pictures"] / rows["core_seconds"]
labels = {"speed": "cells a second and core", "peak_mb": "memory, MB"}
figure, axes = figures.new(1, 2, 2.8)
for axis, (column, label) in zip(axes, labels.items(), strict=True):
    axis.semilogx(rows["pictures"], rows[column], "o-", color="#009E73")
    axis.set(xlabel="cells", ylabel=label, ylim=(0, 1.1 * rows[column].max()))
    figures.log_ticks(axis.xaxis)
figure

# %% [markdown]
# The speed rises because the start of the program weighs less, the more cells there are. What does a million cost? One division. Time on the wall depends on what else a machine does, so we count the seconds of its
# **cores**. On {glue:text}`cpu` a million take {glue:text}`core_hours` core hours: {glue:text}`million` hours of a machine with {glue:text}`cores_there` cores. At {glue:text}`cents`
# US cents for a core hour, a price that we assume and you should replace, that is {glue:text}`dollars` dollars. It is a straight
# line from the {glue:text}`largest` cells that were measured; look at what is *not* in it:
#
# | what breaks first | because | what then |
# |---|---|---|
# | the disk | a cell of C-NMC is a BMP of 0.6 MB: {glue:text}`terabytes` TB for a million | PNG holds the same pixels in a tenth or less, lossless WebP in about a twentieth |
# | one machine | its cores are all busy | hand out folders: a process for each, or Ray Data below |
# | the question | a million cells of new people get the answers of [chapter 10](10_unseen_people.ipynb) | no machine helps |
#
# ```python
# import ray
# files = ray.data.from_items([{"file": str(path)} for path in inference.listed("cells/")])
# ask = {"fn_constructor_args": ["network-int8.tflite"], "concurrency": 8}
# answers = files.map_batches(inference.Asker, batch_format="pandas", batch_size=64, **ask)
# answers.write_parquet("answers.parquet")
# ```

# %% tags=["remove-cell"]
last, CENTS = rows.iloc[-1], 5
hours = 1e6 / last["speed"] / 3600
for key, value in {
    "cpu": measured["hardware"]["cpu"],
    "cores_there": str(measured["cores"]),
    "million": f"{hours / measured['cores']:.1f}",
    "core_hours": f"{hours:.1f}",
    "cents": str(CENTS),
    "dollars": f"{hours * CENTS / 100:.2f}",
    "largest": f"{last['pictures']:,.0f}",
    "terabytes": f"{450 * 450 * 3 * 1e6 / 1e12:.1f}",
}.items():
    glue(key, value, display=False)
assert rows["peak_mb"].iloc[-1] < 1.3 * rows["peak_mb"].iloc[0]

# %% [markdown]
# ## Paper and us
#
# The paper trains one network per fold and says nothing of scale, so nothing here is compared with it.

# %% [markdown]
# ## Exercises
#
# ### 1. Predict, then run
#
# Of the study of 90 runs above take the 30 of full width, `alpha = 1.0`, at 224 pixels. How many **GPU hours** do they take by our records, with eight
# runs to a card? Guess from *In brief*, before you look at the plan. Within a tenth of an hour is good.

# %% tags=["setup", "hide-input"]
widest = plan[plan.index.str.contains("alpha1.0")]
wanted = widest["hours"].sum() * SHARE

# %% tags=["exercise"]
guess = ...  # GPU hours

# %% tags=["check"]
exercises.check(exercises.check_guess, guess, wanted, 0.1)

# %% tags=["solution", "hide-cell"]
guess = 30 * 4 / 60 / 8  # 30 runs of about four minutes, eight at a time
exercises.check(exercises.check_guess, guess, wanted, 0.1)
print(f"{guess:.2f} guessed, {wanted:.2f} by the plan")

# %% [markdown]
# ### 2. How much do more workers gain?
#
# Write `serial_share(gain, n)`: the $s$ of {eq}`eq-scaling-amdahl` that a measured gain of $n$ workers tells. Then ask what the
# runs that shared one H200 tell, and what sixteen at a time would gain.


# %% tags=["exercise"]
def serial_share(gain, n):
    """Serial share of the work, if n workers are gain times as fast as one."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(serial_share)


# %% tags=["solution", "hide-cell"]
def serial_share(gain, n):
    """Serial share of the work, if n workers are gain times as fast as one."""
    return (1 / gain - 1 / n) / (1 - 1 / n)


exercises.check(serial_share)
s = serial_share(TOGETHER / ALONE, AT_ONCE)
print(f"serial share {s:.2f} at most: it counts compiling and tests, too")
print(f"sixteen would gain {1 / (s + (1 - s) / 16):.1f}, any number {1 / s:.1f}")
print("a second card is worth more than more workers")

# %% [markdown]
# ### 3. Change and explain
#
# Give the tiny study `each.l1 = [0.0, 0.015]`, expand it and read the names. Why does the setting appear in the experiment's name and the
# seed in the run's? Then change `epochs` of a study that has run, and start it again: what does it say, and what would have gone
# wrong without it?

# %% [markdown]
# ## Quiz
#
# :::{dropdown} A study of 270 runs was stopped after 180. What does the second start cost?
# The 90 that have no record, and of those that had begun only the epochs after their checkpoints.
# :::
#
# :::{dropdown} Two workers gave a gain of 1.3 on two cores. Is the program bad?
# Not for that. One training used more than one core already. Gain is measured against one worker, not against one core.
# :::
#
# :::{dropdown} Eight GPUs are free. One training on all of them, or eight trainings?
# For a small network eight trainings: no gradient travels, each card is as full as before, and seeds are wanted anyway.
# :::
#
# :::{dropdown} Why does a refused run not get three tries?
# It refuses for what it was asked, not for where it ran. Trying again costs time and hides the message.
# :::
#
# :::{dropdown} Ten times the cells took the same memory. Does that prove that a million will?
# It makes it likely. Reading the code does better: what is kept in memory does not depend on the number of cells.
# :::

# %% [markdown]
# ## Take away
#
# - A study is many small runs. Describe it in a file; let a program multiply it out.
# - Name a run by what it is, and what stands need not run again.
# - Price a study by recorded speed before you start it. What no record knows, do not guess.
# - Workers gain less than their number. Measure, on the machine that you mean.
# - Deaths are normal: checkpoints, a few retries, records written last.
# - For a small network: more runs, not wider ones.
# - Stream what is many: bounded memory, answers on disk, one line for each that fails.
#
# ## Further reading
#
# {cite:t}`amdahl1967` is three pages long. {cite:t}`moritz2018` describe Ray, {cite:t}`yoo2003` Slurm. {cite:t}`goyal2017` show what a
# wide run needs, and {cite:t}`bouthillier2021` why a study needs many.
#
# Next: the [scorecard](scorecard.ipynb), every number of the paper beside ours.
