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
# # Scorecard
#
# After this page you can look up every number of the paper, see ours beside it, and know how far to trust
# the comparison.
#
# > **You will learn**
# > - which numbers of the paper we could reproduce, which differ, and which cannot be compared;
# > - how such a verdict is reached, by a rule and not by taste;
# > - where the paper contradicts itself, beside each table.
# >
# > **Before you start:** [Evaluation](06_evaluation.ipynb) explains the metrics and the intervals.
# >
# > **Run time:** about 10 s on two CPU cores; GPU: not needed.

# %% tags=["colab", "remove-cell"]
import sys

if "google.colab" in sys.modules:  # installs the package, and nothing that Colab has
    from IPython import get_ipython

    packages = "imaug==0.4.3 git+https://github.com/allm-book/allm@main"
    get_ipython().run_line_magic("pip", "install -q --no-deps " + packages)

# %% tags=["setup"]
from pathlib import Path

import pandas as pd
import yaml
from IPython.display import HTML

from allm_utils.book import exercises, figures, paper, profile
from allm_utils.runs import records

run = profile.banner()

# %% [markdown]
# The banner speaks of the cells of *this run*. This page needs none: its numbers come from **records** of
# real runs, from the list of the published files, and from the definition of the networks. A test
# recomputes all of them from the records and fails when the page says anything else.

# %%
recorded = records.load_all()
card = records.scorecard(recorded)
print(len(card), "numbers and rows of the paper;", len(recorded), "real runs recorded")

# %% [markdown]
# ## The rule
#
# Each line is one number of the paper (in Table 3, one row of it). The verdict follows from three things:
# the printed value, ours, and the 95 % bootstrap interval of ours, resampled by image.
#
# | verdict | meaning |
# |---|---|
# | ✓ **reproduced** | ours, rounded to the printed digits, is the printed value |
# | ≈ **within interval** | the printed value lies in our interval |
# | ≠ **differs** | neither; a note says whether ours is higher or lower, or that it is a misprint |
# | – **not comparable** | the paper quotes others, or leaves out what we would have to know; the note says what |
# | … **not run yet** | a real run is missing; the note says which fold |
#
# Five cautions before you count verdicts.
#
# - **Most ticks are arithmetic**: counts of files, sizes of layers, settings. Few are measured on cells.
# - The lines are **not independent**. The five numbers of a row in Tables 6 to 8 follow from one confusion
#   matrix, and all rows of a fold from one network. Parts of Tables 9 to 11 repeat Tables 6 to 8.
# - The interval knows neither the scatter over seeds nor that of the paper's own test. So *differs* is no contradiction, and a
#   single tick may be luck. Look for the **pattern**: on which side do the differing lines of a table lie?
# - *Within interval* is a low bar: the smaller the test, the wider the interval. And it is the interval by
#   image, the narrower question ([Evaluation](06_evaluation.ipynb) has both).
# - Everything here follows the **paper's protocol**: test patients are known from training. No line says
#   anything about a new patient.

# %% [markdown]
# ## At a glance

# %% mystnb={"figure": {"name": "fig-scorecard-verdicts", "caption": "Verdicts on the numbers of each table of the paper, and of its text. Computed from the records of real runs, the published file list and the networks' definitions."}, "image": {"alt": "Stacked bars, one per table. Tables 1 to 4 are reproduced but for misprints in Table 3; the table below gives the counts."}}
order = list(dict.fromkeys(card["table"]))
counts = pd.crosstab(card["table"], card["verdict"]).loc[order]
figures.verdicts(counts)

# %%
counts.rename_axis(index=None, columns=None)

# %% [markdown]
# ## The runs behind it
#
# A fold is represented by its run with the split that we take for the paper's (seed 1337); of several with another seed, by the
# lowest, whatever they scored. Where there is no run at the paper's 224 pixels, one on smaller pictures stands in,
# and its verdict says how small; its card tells how short the training was. Each record holds the settings, the seed, the subjects, the hardware and
# every single prediction.


# %%
def repository():
    """Address of the records on the web; None where the book's settings are not at hand."""
    config = Path("../_config.yml")
    if not config.exists():
        return None
    place = yaml.safe_load(config.read_text(encoding="utf-8"))["repository"]
    return f"{place['url']}/blob/{place['branch']}/results"


address = repository()
links = {}
for record in recorded:
    path = f"{address}/{record.data['experiment']}/{record.id}.json"
    name = record.name
    links[name] = f'<a href="{path}">{name}</a>' if address else name

# %%
rows = [
    {
        "record": links[record.name],
        "protocol": record.data["protocol"],
        "folds": " → ".join(map(str, record.data["folds"])),
        "epochs": record.data["epochs_run"],
        "hardware": record.data["hardware"],
        "accuracy": f"{record.metrics()['accuracy']:.4f}",
    }
    for record in recorded
]
table = pd.DataFrame(rows).to_html(index=False, escape=False, border=0)
HTML(table if rows else "<p>No real run is recorded yet.</p>")


# %% [markdown]
# ## Table by table
#
# Ours carries one digit more than the paper where it was measured. Below each table stands what does not
# add up in it, and how this book reads it.


# %%
SIGNS = {"reproduced": "✓", "within interval": "≈", "differs": "≠"}
SIGNS |= {"not comparable": "–", "not run yet": "…"}


def show(name):
    part = card[card["table"] == name]
    text = records.as_printed(part).drop(columns="Table")
    text["Verdict"] = part["verdict"].map(SIGNS).to_numpy() + " " + text["Verdict"]
    text["Record"] = text["Record"].replace(links)
    filled = text.loc[:, (text != "").any()]
    table = filled.to_html(index=False, escape=False, border=0)
    found = [
        f"<li><strong>{e['where']}:</strong> {e['finding']} <em>{e['reading']}</em></li>"
        for e in records.errata(name)
    ]
    return HTML(f'<div class="scorecard">{table}<ul>{"".join(found)}</ul></div>')


# %% [markdown]
# ### Table 1: images by fold, class and part
#
# Counted in the list of the published files, with the paper's rule.

# %% tags=["remove-input"]
show("Table 1")

# %% [markdown]
# ### Table 2: HEM images before and after balancing

# %% tags=["remove-input"]
show("Table 2")

# %% [markdown]
# ### Table 3: MobileNet
#
# Each line is one row of the table. Ours follows from the network's definition, and a test compares it with
# Keras.

# %% tags=["remove-input"]
show("Table 3")

# %% [markdown]
# ### Table 4: MobileNet_M

# %% tags=["remove-input"]
show("Table 4")

# %% [markdown]
# ### Table 5: settings of the training
#
# Settings are chosen, not measured: *differs* here means that our run was trained with another one, mostly
# to fit a CPU.

# %% tags=["remove-input"]
show("Table 5")

# %% [markdown]
# ### Table 6: fold 0 under noise

# %% tags=["remove-input"]
show("Table 6")

# %% [markdown]
# ### Table 7: fold 1 under noise

# %% tags=["remove-input"]
show("Table 7")

# %% [markdown]
# ### Table 8: fold 2 under noise

# %% tags=["remove-input"]
show("Table 8")

# %% [markdown]
# ### Table 9: with and without balancing and augmentation

# %% tags=["remove-input"]
show("Table 9")

# %% [markdown]
# ### Table 10: accuracy beside ALNett
#
# The numbers of ALNett are its authors' own, on their split. They are cited here, not reproduced.

# %% tags=["remove-input"]
show("Table 10")

# %% [markdown]
# ### Table 11: F1 beside other models

# %% tags=["remove-input"]
show("Table 11")

# %% [markdown]
# ### In the text
#
# Sizes of the data set, averages, training and prediction times. The settings of section 3 (crop, noise,
# warps) are inputs, not results, and have no line.

# %% tags=["remove-input"]
show("Text")

# %% [markdown]
# ## Paper and us
#
# Of the paper's headline, an average accuracy of 95.33 % over three folds, this much is run, with every seed. (Another seed deals
# the images of a fold anew, so its test images are others.)

# %%
for fold in range(3):
    printed = paper.TABLE_10[fold]["MobileNet_M"]
    ours = [
        f"{100 * one.metrics()['accuracy']:.2f} % (seed {one.data['seed']})"
        for one in records.paper_runs(recorded, fold)
    ]
    print(f"fold {fold}: paper {printed} %, ours {', '.join(ours) or 'not run yet'}")

# %% [markdown]
# ## Exercise
#
# ### Exercise 1: the verdict
#
# Write the rule yourself: `verdict(printed, ours, low, high, digits)` returns `"reproduced"`,
# `"within interval"` or `"differs"`. `digits` is the number of decimals that the paper prints. Ours
# reproduces the printed value if it lies within half a unit of the last printed digit.


# %% tags=["exercise"]
def verdict(printed, ours, low, high, digits):
    """Reproduced, within interval, or differs."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(exercises.check_verdict, verdict)


# %% tags=["solution", "hide-cell"]
def verdict(printed, ours, low, high, digits):
    """Reproduced, within interval, or differs."""
    if abs(ours - printed) <= 0.5 * 10**-digits + 1e-9:
        return "reproduced"
    return "within interval" if low <= printed <= high else "differs"


exercises.check(exercises.check_verdict, verdict)

# %% [markdown]
# ## Take-aways
#
# - A reproduction is a list of numbers with verdicts, not one number with an adjective.
# - The rule stands before the result, and a program applies it.
# - What is not run or not comparable is listed as well: gaps are part of the result.
#
# ## Further reading
#
# The paper itself is {cite:t}`makem2025`. All its inconsistencies on one page:
# [Errata](../book/errata.md). {cite:t}`kapoor2023` show how common leakage is in published results.
