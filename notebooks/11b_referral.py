# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # When to stay silent
#
# After this chapter you can let a network refer the cells it is unsure of to a human, promise how many leukemic cells it
# will clear wrongly on average over people, and say for which people the promise was made.
#
# > **You will learn**
# > - what a threshold from other people can mend, and what it cannot;
# > - to turn answers into calls and referrals with a promise by people;
# > - why cells are the wrong unit of such a promise, and how few people allow how little;
# > - what happens to a guarantee when other people come;
# > - whether a cell that looks strange can be noticed in time.
# >
# > **Before you start:** [What helps](11_what_helps.ipynb).
# >
# > **Run time:** about 10 s on two CPU cores (smoke profile).

# %% tags=["setup"]
import numpy as np
import pandas as pd
from myst_nb import glue
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from allm_utils.book import exercises, figures, profile, widgets
from allm_utils.data import cnmc, splits
from allm_utils.judge import metrics, referral
from allm_utils.judge.calibration import log_odds
from allm_utils.runs import curve, records
from allm_utils.runs.records import Runs

run = profile.banner()

# %% [markdown]
# ## In brief
#
# The network may say *I do not know*. If, on average over people, at most one in ten cells of a new leukemic person may be
# cleared wrongly, and at most one in five cells of a healthy person may raise an alarm, it refers {glue:text}`referred` of the
# cells of new people to a human. Among those that it calls, {glue:text}`wrong` are wrong, with a 95 % interval by people of
# {glue:text}`wrong_ends`. If it called every cell, {glue:text}`half` would be wrong at a threshold of 0.5, and {glue:text}`before`
# at the even odds of this chapter. The promise is an average: of two leukemic people more than a third of the cells are cleared.
#
# Of people **from outside** five networks together refer about as many cells, and {glue:text}`far_wrong` of what they call is
# wrong, with an interval of {glue:text}`far_wrong_ends` for so few people ({numref}`fig-referral-brief`).

# %% tags=["setup", "hide-input"]
runs = Runs.load()
network = runs.where(
    experiment="same-recipe", protocol="patient-disjoint", folds=(0, 1)
)


def odds_of(p_all, record):
    """Log-odds above the share of ALL that the network has learned from."""
    part = record.data["split"]["train"]
    return log_odds(p_all, part["n_all"] / part["n"])


tables = []
for record in network:
    mine = record.rows()
    about = {"round": record.data["config"]["round"]}
    tables.append(mine.assign(odds=odds_of(mine["p_all"], record), **about))
new = pd.concat(tables, ignore_index=True)
far = records.outside().query("set == 'fold 2'").reset_index(drop=True)
asked = [odds_of(far[f"people-round{r.data['config']['round']}"], r) for r in network]
far["odds"] = np.mean(asked, axis=0)

# %% mystnb={"figure": {"caption": "How many cells are referred, and how many of the called ones are called wrongly. Every cell is called at even odds. From our records on cells of new people of folds 0 and 1, and of people from outside, for whom the answer is the mean of five networks.", "name": "fig-referral-brief"}, "image": {"alt": "Three lines with two marks each. New people: with nothing referred about an eighth of the calls is wrong, with the unsure cells referred fewer than a tenth. People from outside: about a quarter is referred and about a third of the calls is wrong."}} tags=["hide-input"]
sure = np.full(len(new), referral.REFER, object)
for number in [*range(splits.N_ROUNDS), "outside"]:
    rest = new[new["round"] != number]
    limits = referral.limits(rest["label"], rest["odds"], rest["person"], 0.1, 0.2)
    own = (new["round"] == number).to_numpy()
    sure[own] = referral.calls(new["odds"][own], *limits)
versions = {
    "new people, every cell called": (new, referral.calls(new["odds"], 0, 0)),
    "new people, unsure cells referred": (new, sure),
    "from outside, unsure cells referred": (far, referral.calls(far["odds"], *limits)),
}
lines = []
for words, (rows, called) in versions.items():
    share = referral.outcome(rows["label"], called, rows["person"])
    lines.append((words, "of all cells: referred", 100 * share["referred"]))
    lines.append((words, "of the called cells: wrong", 100 * share["wrong"]))
figures.intervals(lines, "%", digits=0)


# %% [markdown]
# ## One threshold
#
# [Outside](10_unseen_people.ipynb), both the order and the level of the answers suffered. Can a better threshold
# mend them, before anything is referred? It must come from people who are **not** judged by it. New people get the one that was best for the other four
# rounds; a person from outside the one that was best for the others from outside.
#
# We compare with **even odds**. In colour the network learned from about two ALL cells for one HEM, so a cell is called ALL above
# that share, {glue:text}`share`, and not above 0.5. That is why the specificity for new people is {glue:text}`spec_even` in the table
# and {glue:text}`spec_half` in [chapter 12](12_trust.ipynb).


# %%
def balanced(rows, cut):
    """Metrics when cells are called ALL from these log-odds on."""
    return metrics.metrics(rows["label"], expit(rows["odds"] - cut))


def best_cut(rows):
    """The log-odds from which on calling ALL is best on these rows."""
    cuts = np.quantile(rows["odds"], np.linspace(0.01, 0.99, 99))
    return max(cuts, key=lambda cut: balanced(rows, cut)["balanced_accuracy"])


# %%
def best_of_others(rows, column):
    """For each row, the cut that is best for the rows of others."""
    best = {one: best_cut(rows[rows[column] != one]) for one in set(rows[column])}
    return rows[column].map(best)


# %% tags=["hide-input"]
cuts = {
    ("new people", "even odds"): (new, 0),
    ("new people", "best for the other rounds"): (new, best_of_others(new, "round")),
    ("from outside", "even odds"): (far, 0),
    ("from outside", "best for new people"): (far, best_cut(new)),
    ("from outside", "best for the others"): (far, best_of_others(far, "person")),
    ("from outside", "best for themselves"): (far, best_cut(far)),
}
thresholds = {}
for case, (rows, cut) in cuts.items():
    rates, how = balanced(rows, cut), (rows["label"], expit(rows["odds"] - cut))
    low, high = metrics.intervals(*how, rows["person"])["balanced_accuracy"]
    value = f"{rates['balanced_accuracy']:.3f}"
    thresholds[case] = {
        "balanced accuracy": f"{value}\xa0({low:.2f}\xa0to\xa0{high:.2f})",
        "sensitivity": f"{rates['sensitivity']:.2f}",
        "specificity": f"{rates['specificity']:.2f}",
    }
thresholds = pd.DataFrame(thresholds).T
figures.table(thresholds, "tested on", "threshold")

# %% [markdown]
# In brackets stand 95 % intervals by people. Among new people nothing is gained: the threshold was good. Outside it favours leukemic,
# as the specificity at even odds says, and one from the rounds knows nothing of it. One from other people outside moves the **level**: specificity
# rises, sensitivity falls. But no threshold mends the **order**, whose ROC-AUC is
# {glue:text}`far_auc`. The last line cheats, with the threshold that is best for these very answers, and even so its
# balanced accuracy ends at {glue:text}`far_best`. What else can be done about cells near the threshold? Not call them.

# %% tags=["remove-cell"]
level = thresholds[["sensitivity", "specificity"]].astype(float)
assert abs(level.mean(axis=1).diff().iloc[1]) < 0.01
far_level = level.loc["from outside"]
at_even, from_rounds, moved_to, best = (far_level.iloc[i] for i in range(4))
assert from_rounds["specificity"] < at_even["specificity"]
assert moved_to["specificity"] > at_even["specificity"] + 0.05
assert moved_to["sensitivity"] < at_even["sensitivity"] - 0.1
assert moved_to.mean() < at_even.mean() + 0.02
parts = [record.data["split"]["train"] for record in network]
of_all = [part["n_all"] / part["n"] for part in parts]
glue("share", f"{min(of_all):.2f} to {max(of_all):.2f}", display=False)
glue("spec_even", f"{level.iloc[0]['specificity']:.2f}", display=False)
glue("spec_half", f"{network.metrics()['specificity']:.2f}", display=False)
glue("far_auc", f"{roc_auc_score(far['label'], far['odds']):.2f}", display=False)
glue("far_best", f"{best.mean():.2f}", display=False)

# %% [markdown]
# ## A promise by people
#
# Sort the answers for leukemic cells by their log-odds. Below some limit lies a tenth of them. A cell below it is
# called HEM, since few leukemic cells come out so low. A second limit, from the healthy cells, tells where to call ALL. What
# lies between is **referred**. This is {term}`conformal prediction`: no assumption about how good the network is, one about
# the people: the new ones must come as the old ones did. Strictly, one network must answer for both. Here five do, so the promise
# is approximate.
#
# The limits must come from people who were not in training. For each round we take the answers of the
# other four: every cell there was asked when its person was new.


# %%
def promised(miss_all, miss_hem=0.2, unit="person"):
    """Call the cells of each round, with limits from the other four."""
    called = np.full(len(new), referral.REFER, object)
    for number in range(splits.N_ROUNDS):
        own = (new["round"] == number).to_numpy()
        rest = new[~own]
        how = rest["label"], rest["odds"], rest[unit], miss_all, miss_hem
        called[own] = referral.calls(new["odds"][own], *referral.limits(*how))
    return called


# %% tags=["hide-input"]
def shown(labels, called, groups):
    found = referral.outcome(labels, called, groups)
    return {name: f"{value:.1%}" for name, value in found.items()}


table = {
    "nothing referred, even odds": shown(
        new["label"], referral.calls(new["odds"], 0, 0), new["person"]
    ),
}
for miss in (0.2, 0.1, 0.05):
    table[f"at most {miss:.0%} cleared wrongly"] = shown(
        new["label"], promised(miss), new["person"]
    )
pd.DataFrame(table).T

# %% [markdown]
# *Missed* is the share of the cells of a leukemic person that were called HEM, *alarms* the share of a healthy person's
# cells that were called ALL, both as the mean over people. A person is counted as referred when half of
# the cells are. Read down the first column: each promise has its price in work for humans. And look at the lax one: whoever
# accepts one in five lets the network clear more than it would by itself, and more is wrong than without any referral.

# %% tags=["remove-cell"]
plain = referral.outcome(new["label"], referral.calls(new["odds"], 0, 0), new["person"])
kept = referral.outcome(new["label"], promised(0.1), new["person"])
assert kept["missed"] <= 0.1 and kept["alarms"] <= 0.2
assert kept["wrong"] < plain["wrong"] and 0.1 < kept["referred"] < 0.5
glue("referred", f"{kept['referred']:.0%}", display=False)
glue("wrong", f"{kept['wrong']:.1%}", display=False)
glue("before", f"{plain['wrong']:.1%}", display=False)
at_half = network.metrics()
glue("half", f"{1 - at_half['accuracy']:.1%}", display=False)
assert kept["wrong"] < 1 - at_half["accuracy"] < plain["wrong"]

# %% [markdown]
# ### People, not cells
#
# Libraries for conformal prediction take the test images as exchangeable, like cards of one deck. Our cells are not. They
# come in people, and the next person brings all of theirs at once. So each person gets **one vote**, shared among
# their cells, and the person who is asked about counts too {cite:p}`lee2023hierarchical`. What if one counts cells
# instead?

# %%
by_cell = promised(0.1, unit="file")

# %% tags=["hide-input"]
rosy = referral.outcome(new["label"], by_cell, new["person"])
pd.DataFrame(
    {
        "by person": shown(new["label"], promised(0.1), new["person"]),
        "by cell": shown(new["label"], by_cell, new["person"]),
    }
).T

# %% [markdown]
# Counting cells, fewer are referred, and {glue:text}`rosy_alarms` of a healthy person's cells raise an alarm, where a fifth
# was promised. So few people prove no breach, but the count was wrong from the start: a hundred cells of one person are
# one witness, not a hundred.
#
# The honest count is strict. With $k$ people, the one who comes next may be the worst of all with a chance of
# $1 / (k + 1)$, so no smaller chance can be promised. The other four rounds hold only {glue:text}`fewest` healthy people at the
# least.

# %% tags=["remove-cell"]
per_round = new[new["label"] == 0].groupby("round")["person"].nunique()
glue("fewest", str(int(per_round.sum() - per_round.max())), display=False)
glue("rosy_alarms", f"{rosy['alarms']:.0%}", display=False)
assert rosy["alarms"] > 0.2 and rosy["referred"] < kept["referred"]

# %%
strict = promised(0.1, miss_hem=0.1)
print(
    f"with at most 10 % alarms promised, {np.mean(strict == 'ALL'):.0%} are called ALL"
)

# %% [markdown]
# Hardly a cell is called ALL any more. The promise is kept by silence.
#
# ### Whole people
#
# A hospital refers people. Average the log-odds of all cells of a person, and let each person be one row:

# %%
people_of = new.groupby(["person", "label", "round"], as_index=False)["odds"].mean()
calls_of = np.full(len(people_of), referral.REFER, object)
for number in range(splits.N_ROUNDS):
    own = (people_of["round"] == number).to_numpy()
    rest = people_of[~own]
    limits = referral.limits(rest["label"], rest["odds"], rest["person"], 0.1, 0.2)
    calls_of[own] = referral.calls(people_of["odds"][own], *limits)
truth = people_of["label"].map(dict(enumerate(cnmc.CLASSES))).rename("person is")
figures.table(pd.crosstab(truth, pd.Series(calls_of, name="called")), "is / called")

# %% [markdown]
# Averages of many cells are surer than one cell, and nobody is referred. But this is a table of 35 people, and one
# more or less changes it.
#
# ## Move the promise
#
# Drag the chance that you would accept. Then change to the people from outside, for whom the limits come from all five
# rounds:

# %% tags=["hide-input"]
promises = [p / 100 for p in (4, 5, 6, 8, 10, 12, 15, 20, 25, 30)]
outside = []
for miss in promises:
    limits = referral.limits(new["label"], new["odds"], new["person"], miss, 0.2)
    outside.append((far["label"], referral.calls(far["odds"], *limits), far["person"]))
sets = {
    "new people": [(new["label"], promised(p), new["person"]) for p in promises],
    "people from outside": outside,
}
widgets.referral_slider(promises, sets, "our records")

# %% [markdown]
# ## The promise outside
#
# The same limits, {glue:text}`n_far` cells of {glue:text}`n_far_people` people from outside. New people were judged by one network
# each; for these, the mean log-odds of all five answer:

# %% tags=["hide-input"]
far_calls = outside[promises.index(0.1)][1]
broken = referral.outcome(far["label"], far_calls, far["person"])
promise = {"missed": "10.0%", "alarms": "20.0%"}
pd.DataFrame(
    {
        "promised": promise,
        "new people": shown(new["label"], promised(0.1), new["person"]),
        "from outside": shown(far["label"], far_calls, far["person"]),
    }
).T.fillna("")[["missed", "alarms", "referred", "wrong"]]

# %% tags=["remove-cell"]
assert broken["missed"] == 0 and broken["wrong"] > 3 * kept["wrong"]
glue("far_wrong", f"{broken['wrong']:.0%}", display=False)
glue("n_far", str(len(far)), display=False)
glue("n_far_people", str(far["person"].nunique()), display=False)
glue("far_alarms", f"{broken['alarms']:.0%}", display=False)
at_tenth = referral.limits(new["label"], new["odds"], new["person"], 0.1, 0.2)
by_one = pd.DataFrame(
    referral.outcome(far["label"], referral.calls(one, *at_tenth), far["person"])
    for one in asked
)
for name in ("referred", "alarms"):
    span = 100 * by_one[name].agg(["min", "max"])
    glue(f"one_{name}", "{:.0f} to {:.0f} %".format(*span), display=False)


# %% tags=["remove-cell"]
def wrong_drawn(rows, called, n=2000):
    """Share of wrong calls, with people drawn again within each class."""
    sums = rows[["label", "person"]].assign(spoken=called != referral.REFER)
    sums["wrong"] = sums["spoken"] & (called != np.array(cnmc.CLASSES)[rows["label"]])
    rng, drawn = np.random.default_rng(0), 0
    for _, part in sums.groupby("label"):
        people = part.groupby("person")[["wrong", "spoken"]].sum().to_numpy()
        drawn = drawn + people[rng.integers(len(people), size=(n, len(people)))].sum(1)
    return drawn[:, 0] / drawn[:, 1]


# %% tags=["remove-cell"]
less, asked_of = {}, {"": (new, promised(0.1)), "far_": (far, far_calls)}
for name, (rows, called) in asked_of.items():
    silent = wrong_drawn(rows, called)
    less[name] = silent - wrong_drawn(rows, referral.calls(rows["odds"], 0, 0))
    ends = "{:.0f} to {:.0f} %".format(*100 * np.quantile(silent, [0.025, 0.975]))
    glue(f"{name}wrong_ends", ends, display=False)
assert np.quantile(less[""], 0.975) < 0 < np.quantile(less["far_"], 0.975)
cleared = (new["label"] == 1) & (promised(0.1) == "HEM")
assert (cleared.groupby(new["person"]).mean() > 1 / 3).sum() == 2


# %%
def alarms_among_called(table, called):
    """Share called ALL of the healthy cells that are called at all."""
    healthy = (table["label"] == 0).to_numpy() & (called != referral.REFER)
    return (called[healthy] == "ALL").mean()


print(f"called ALL: new people {alarms_among_called(new, promised(0.1)):.0%}, "
      f"outside {alarms_among_called(far, far_calls):.0%}")  # fmt: skip
healthy = far[far["label"] == 0].assign(alarm=far_calls[far["label"] == 0] == "ALL")
alarms = healthy.groupby("person")["alarm"].agg(["size", "mean"]).sort_values("size")
figures.table(alarms.set_axis(["healthy cells", "share called ALL"], axis=1), digits=2)

# %% [markdown]
# No leukemic cell is cleared: outside, the answers are shifted towards leukemic. And of the healthy cells that they dare to call,
# the five call most leukemic. They are **sure** and wrong. By person that makes {glue:text}`far_alarms` alarms, where a fifth was
# promised. One network alone makes {glue:text}`one_alarms`, and refers {glue:text}`one_referred` of the cells. With eight healthy
# people, who differ as much as the table shows, this alone would be no proof, and most of the alarms come from two of them. It is
# a warning.
#
# This contradicts no mathematics. People from outside probably do not come as the others did, and the mean of five networks
# answers for them. They are from the same data set, photographed by the same group. A second hospital is further away.
#
# > A guarantee holds for the people whom it was calibrated on, and for those like them. Whoever says "95 % guaranteed"
# > must say *for whom*.
#
# ## Can it notice?
#
# Perhaps strange cells can be told before they are judged. Take features that no label has touched, those of
# MobileNet as ImageNet left it, and measure how far a cell lies from the nearer class of the training people, in units of
# their own spread: the **Mahalanobis distance** {cite:p}`lee2018simple`.

# %%
_, strange = curve.read("probe_mobilenet")
published = cnmc.shipped_index()
published["file"] = cnmc.file_names(published)
order = published["file"][published["fold"].isin([0, 1])]
new["strange"] = new["file"].map(dict(zip(order, strange["rounds"], strict=True)))
order = published["file"][published["file"].isin(far["file"])]
far["strange"] = far["file"].map(dict(zip(order, strange["outside"], strict=True)))

# %% mystnb={"figure": {"caption": "How far cells lie from the training people of their round: new people of the same folds, and people from outside. Records on real cells of folds 0, 1 and 2.", "name": "fig-referral-strange"}, "image": {"alt": "Two histograms by class that overlap widely; the cells from outside reach a little further to the right."}}
rare_from = np.quantile(new["strange"], 0.9)
panels = {
    "new people": (new["strange"].clip(upper=120), new["label"]),
    "from outside": (far["strange"].clip(upper=120), far["label"]),
}
figures.histogram(
    panels, "Mahalanobis distance, at most 120", marks={"one in ten": rare_from}
)

# %%
both = np.concatenate([new["strange"], far["strange"]])
auc = roc_auc_score(np.arange(len(both)) >= len(new), both)
alarm = (far_calls == "ALL") & (far["label"] == 0)
caught = (far["strange"] > rare_from)[alarm].mean()
print(f"new or outside? ROC-AUC {auc:.3f}")
print(f"one in ten new cells is too strange; of the false alarms outside, {caught:.0%}")

# %% tags=["remove-cell"]
glue("caught", f"{caught:.0%}", display=False)
glue("strange_auc", f"{auc:.2f}", display=False)

# %% [markdown]
# If we also refer the strangest tenth, {glue:text}`caught` of the false alarms outside are caught. The distance tells new from
# outside with a ROC-AUC of {glue:text}`strange_auc`. To these features they are hardly odd: the
# healthy ones are larger ([chapter 10](10_unseen_people.ipynb)), and leukemic ones of that size were in training. What
# the network makes of them this distance does not show. Compare whole people instead: is every cell of a
# person a little strange?

# %% tags=["hide-input"]
per_person = pd.concat(
    {name: t.groupby("person")["strange"].median() for name, t in
     {"new people": new, "from outside": far}.items()}
)  # fmt: skip
heads = {"people": "size", "lowest": "min", "median": "median", "highest": "max"}
per_person.groupby(level=0, sort=False).agg(**heads).round(1)

# %% tags=["remove-cell"]
assert referral.REFER not in calls_of
assert alarms.prod(axis=1).nlargest(2).sum() > alarms.prod(axis=1).sum() / 2
ranges = per_person.groupby(level=0).agg(["min", "max"])
assert ranges["min"].max() < per_person["from outside"].median() < ranges["max"].min()

# %% [markdown]
# Perhaps a little, but so few people cannot tell, and the two groups overlap: no limit parts them.

# %% [markdown]
# ## Exercises
#
# ### 1. Predict, then run
#
# You allow half as much: at most one in twenty leukemic cells cleared wrongly, instead of one in ten. Will the share of
# cells of **new** people that are referred rise, stay or fall? And the alarms **outside**? Write down the second; the check asks our records.

# %% tags=["exercise"]
guess = ...  # "rise", "stay" or "fall"

# %% tags=["check"]
tenth, twentieth = (
    referral.outcome(*outside[promises.index(p)])["alarms"] for p in (0.1, 0.05)
)
change = twentieth - tenth
found = "rise" if change > 0.01 else "fall" if change < -0.01 else "stay"
exercises.check(exercises.check_guess, guess, found)

# %% tags=["solution", "hide-cell"]
exercises.check(exercises.check_guess, "stay", "stay")

# %% [markdown]
# :::{dropdown} Why?
# The two limits are independent. The stricter promise moves the lower one only: fewer cells are called HEM. The alarms come
# from the upper one, which the healthy people of folds 0 and 1 have set.
# :::
#
# ### 2. How many people?
#
# Write `people_needed(miss)`: the smallest number of people who can promise a chance of at most `miss`.


# %% tags=["exercise"]
def people_needed(miss):
    """Smallest k with 1 / (k + 1) at most miss."""
    return ...  # your code here


# %% tags=["check"]
exercises.check(people_needed)


# %% tags=["solution", "hide-cell"]
def people_needed(miss):
    """Smallest k with 1 / (k + 1) at most miss."""
    return int(np.ceil(1 / miss - 1e-9)) - 1


exercises.check(people_needed)

# %% [markdown]
# Use it: for how many healthy people must a laboratory wait before it can promise at most one alarm in a hundred cells?
#
# ### 3. Change and explain
#
# Call `promised(0.1, miss_hem=0.3)`. Which cells are no longer referred, and who pays for it?
#
# ## Quiz
#
# :::{dropdown} Nine healthy people are in calibration. Can you promise at most one alarm in twenty cells?
# No. The next person may be the worst of ten, so nothing below one in ten can be promised.
# :::
#
# :::{dropdown} A threshold is chosen on the test people. Why is the gain not real?
# It knows their answers. A new person brings another level.
# :::
#
# :::{dropdown} The promise held on new people of the same folds. Does it hold in the next hospital?
# Nobody knows. It holds for people who come as those in calibration did; another laboratory, stain or microscope
# breaks that.
# :::
#
# :::{dropdown} A network refers every cell. Is its promise kept?
# Yes, and it is useless. Report what is referred beside what is promised.
# :::
#
# ## Take away
#
# - A threshold moves the level. It does not mend the order.
# - A network that may be silent was wrong less often on new people, if the promise was strict enough. Outside no gain is sure. Silence
#   costs human work: report both.
# - Promise by people: cells of one person are one witness.
# - $k$ people promise nothing below $1 / (k + 1)$.
# - A guarantee speaks of people like those in calibration. Outside we saw a warning, and a network that was sure.
# - What is strange to look at and what is judged wrongly are two things.
#
# ## Further reading
#
# {cite:t}`lee2023hierarchical` on promises by groups; {cite:t}`lee2018simple` on distances of features.
