"""Every number of the paper beside ours, with a verdict that follows from a rule."""

import functools
import json

import numpy as np
import pandas as pd

from allm_utils.book import paper
from allm_utils.data import cnmc, splits
from allm_utils.judge import metrics
from allm_utils.runs import records
from allm_utils.runs.records import Record, Runs
from allm_utils.runs.store import PARAMETERS

# settings of a run that is trained as Table 5 says
_RECIPE = {
    "model": "mobilenet_m", "protocol": "paper", "image_size": paper.IMAGE_SIZE, "alpha": 1.0,
    "epochs": paper.HYPERPARAMETERS["epochs"], "l1": paper.HYPERPARAMETERS["l1"],
    "scaling": "unit", "balance": "hem", "augment": True, "stain": 0.0, "size": 0.0, "draw": "cell",
}  # fmt: skip
# the paper's columns: our metric, its name in words, and the decimals printed
_METRICS = {
    "precision": ("precision_macro", "macro precision", 2),
    "recall": ("recall_macro", "macro recall", 2),
    "f1": ("f1_macro", "macro F1", 2),
    "precision_all": ("precision_all", "precision of ALL", 2),
    "precision_hem": ("precision_hem", "precision of HEM", 2),
    "precision_weighted": ("precision_weighted", "weighted precision", 2),
    "accuracy": ("accuracy", "accuracy", 2),
    "auc": ("balanced_accuracy", "balanced accuracy (“AUC”)", 3),
}


def paper_runs(runs: Runs, fold: int, **changed) -> list[Record]:
    """Runs on a fold with the paper's recipe: that with what we take for its split (1337) first.

    `changed` settings stand in place of the paper's.
    """
    found = runs.where(**{**_RECIPE, "fold": fold, **changed})
    first_trained = [run for run in found if "source" not in run.data]
    return sorted(first_trained, key=lambda run: (run.data["seed"] != 1337, run.data["seed"]))


def scorecard(runs: Runs) -> pd.DataFrame:
    """Compare the paper's numbers with ours, one line each.

    Every number of Tables 1-11 and of the text, but for the settings of section 3, which are
    inputs. A fold is represented by the first of its `paper_runs`, whatever the others scored.

    Returns
    -------
    DataFrame
        Columns ``table, row, column, paper, ours, low, high, digits, verdict, note, record``.
        `paper` and `ours` are numbers, or text; `low` and `high` the 95 % bootstrap interval of
        ours, by image; `digits` counts the paper's decimals. Verdicts: ``reproduced`` (ours rounds
        to the paper's value), ``within interval`` (the paper's value lies in ours), ``differs``
        (`note` says how), ``not comparable`` (why), ``not run yet`` (what it needs).
    """
    trained = {fold: next(iter(paper_runs(runs, fold)), None) for fold in range(3)}
    bare = {"balance": "none", "augment": False}
    neither = {fold: next(iter(paper_runs(runs, fold, **bare)), None) for fold in range(3)}
    tables = _counted(), _architecture(), _settings(trained), _tested(trained, neither)
    card = pd.DataFrame([_line(*one) for lines in (*tables, _text(trained)) for one in lines])
    card["verdict"] = [line.verdict or _verdict(line) for line in card.itertuples()]
    for line in card[(card["verdict"] == "differs") & card["low"].notna()].itertuples():
        side = "ours is higher" if line.ours > line.paper else "ours is lower"
        card.loc[line.Index, "note"] = ", ".join(filter(None, (side, line.note)))
    order = card["table"].str.extract(r"(\d+)")[0].astype(float).sort_values(kind="stable").index
    return card.loc[order].reset_index(drop=True)


@functools.cache
def shipped() -> pd.DataFrame:
    """The scorecard of the records that come with the package."""
    return scorecard(Runs.load())


def table(name: str, card: pd.DataFrame | None = None) -> pd.DataFrame:
    """``"Table 1"`` to ``"Table 11"``, or ``"Text"``, with ours in its cells: ``paper / ours``.

    `card` is as `scorecard` gives it; that of `shipped` records without.
    """
    part = (shipped() if card is None else card).query("table == @name")
    text = [f"{paper}\xa0/\xa0{ours or '–'}" for paper, ours in map(_printed, part.itertuples())]
    order = {"index": part["row"].unique(), "columns": part["column"].unique()}
    cells = part.assign(text=text).pivot(index="row", columns="column", values="text")
    return cells.reindex(**order).fillna("").rename_axis(index=None, columns="paper / ours")


def lines(name: str, card: pd.DataFrame | None = None) -> pd.DataFrame:
    """A table of the paper line by line, as text, with intervals and verdicts; as `table`."""
    shown = []
    for line in (shipped() if card is None else card).query("table == @name").itertuples():
        digits = _finer(line)
        interval = "" if pd.isna(line.low) else f"{line.low:,.{digits}f} to {line.high:,.{digits}f}"
        verdict = f"{line.verdict}: {line.note}" if line.note else line.verdict
        what = line.row if line.column in ("layer", "setting") else f"{line.row}, {line.column}"
        shown.append((what, *_printed(line), interval, verdict, line.record))
    heads = ["what", "paper", "ours", "95 % interval", "verdict", "record"]
    return pd.DataFrame(shown, columns=heads)


def headline(runs: Runs, results=records.RESULTS) -> pd.DataFrame:
    """Balanced accuracy of one recipe on three kinds of people, with intervals by people.

    By who is tested: ``images, people, value, low, high, paper``; the paper's is the mean over its
    three folds, and known for known people only.
    """
    same = runs.where(experiment="same-recipe")
    far = records.outside(results).rename(columns={"images": "p_all"})
    tested = {
        "known people": same.where(protocol="paper").pooled(),
        "new people": same.where(protocol="patient-disjoint").pooled(),
        "people from outside": far,
    }
    shown = {}
    for who, rows in tested.items():
        limits = metrics.intervals(rows["label"], rows["p_all"], rows["person"])
        value = metrics.metrics(rows["label"], rows["p_all"])["balanced_accuracy"]
        low, high = limits["balanced_accuracy"]
        shown[who] = len(rows), rows["person"].nunique(), value, low, high
    found = pd.DataFrame.from_dict(
        shown, orient="index", columns=["images", "people", "value", "low", "high"]
    )
    printed = [table[0]["auc"] for table in (paper.TABLE_6, paper.TABLE_7, paper.TABLE_8)]
    return found.assign(paper=[np.mean(printed), np.nan, np.nan])


def spread(runs: Runs) -> str:
    """One line on the runs that are trained as Table 5 says: their balanced accuracies by fold."""
    folds = []
    for fold in range(3):
        values = [run.metrics()["balanced_accuracy"] for run in paper_runs(runs, fold)]
        if values:
            ends = f"{min(values):.3f} to {max(values):.3f}"
            folds.append(f"{ends} on fold {fold} ({len(values)} seeds)")
    return "Trained as Table 5 says, balanced accuracy is " + (" and ".join(folds) or "not run yet")


def schedule(runs: Runs) -> str:
    """Two sentences on the trainings behind `headline`: what is shorter than in Table 5."""
    same, keys = runs.where(experiment="same-recipe"), ("epochs", "lr_patience", "early_stop")
    (ours,) = {tuple(run.data["config"][key] for key in keys) for run in same}
    (most, *patience), theirs = ours, [paper.HYPERPARAMETERS[key] for key in keys]
    return (
        f"These networks follow the paper's recipe on a shorter schedule: at most {most} epochs, "
        "with patience {} and {}, instead of {}, {} and {}. Each was trained once, so the "
        "intervals know other people, not other trainings."
    ).format(*patience, *theirs)


def _line(table, row, column, printed, digits, ours):
    """A line of the scorecard; `ours` is a number or text, or a dict of columns by name."""
    place = {"table": table, "row": row, "column": column, "paper": printed, "digits": digits}
    empty = {"ours": np.nan, "low": np.nan, "high": np.nan, "verdict": "", "note": "", "record": ""}
    return {**place, **empty, **(ours if isinstance(ours, dict) else {"ours": ours})}


def _apart(why, **columns):
    """What stands beside a number that nothing of ours can be compared with fairly."""
    return {"verdict": "not comparable", "note": why, **columns}


def _counted():
    """Tables 1 and 2, and the data sets of section 3.1: from the shipped lists."""
    frame, prelim = cnmc.shipped_index(), cnmc.shipped_prelim()
    sizes = frame.groupby(["fold", "label", splits.paper_split(frame)]).size().astype(float)
    for fold, printed in paper.TABLE_1.items():
        for name, counts in printed.items():
            found = sizes[fold, cnmc.CLASSES.index(name)]
            for part, value in counts.items():
                ours = found.sum() if part == "total" else found[part]
                yield "Table 1", f"fold {fold}, {name}", part, value, 0, ours
        row, hem = f"fold {fold}, HEM images in training", sizes[fold, 0, "train"]
        yield "Table 2", row, "before balancing", paper.TABLE_2[fold]["before"], 0, hem
        yield "Table 2", row, "after balancing", paper.TABLE_2[fold]["after"], 0, 2 * hem
    value = paper.DATASET["training"]["images"]
    yield "Text", "section 3.1, training set", "images", value, 0, float(len(frame))
    for kind, found in (("training", frame), ("preliminary", prelim)):
        for label, name in enumerate(cnmc.CLASSES):
            part = found[found["label"] == label]
            ours = {"images": len(part), "subjects": part["subject"].nunique()}
            for what, value in paper.DATASET[kind][name].items():
                row = f"section 3.1, {kind} set, {name}"
                yield "Text", row, what, value, 0, float(ours[what])
    final, unknown = paper.DATASET["final"], _apart("the package has no list of this set")
    yield "Text", "section 3.1, final test set", "images", final["images"], 0, unknown
    for name in cnmc.CLASSES:
        row = f"section 3.1, final test set, {name}"
        yield "Text", row, "subjects", final[name]["subjects"], 0, unknown


def _architecture():
    """Tables 3 and 4: as printed, as read, and the parameters of the networks."""
    keys = "type", "filter", "input"
    for number, row in enumerate(paper.TABLE_3, start=1):
        text = ", ".join(row[key] for key in keys)
        ours = ", ".join(row.get(f"{key}_read", row[key]) for key in keys)
        note = "" if text == ours else "a misprint"
        yield "Table 3", f"row {number}", "layer", text, 0, {"ours": ours, "note": note}
    whole = PARAMETERS["mobilenet_m", 1.0]
    layers = {"Batch normalization": 4 * 1024, "Dense": (1024 + 1) * 2}
    layers["MobileNet"] = whole["total"] - sum(layers.values())
    for layer in paper.TABLE_4:
        name, shape = layer["layer"], "×".join(map(str, layer["output_shape"]))
        ours = {"MobileNet": "7×7×1024", "Dense": "2"}.get(name, "1024")
        yield "Table 4", name, "output shape", shape, 0, ours
        yield "Table 4", name, "parameters", layer["parameters"], 0, float(layers.get(name, 0))
    still = whole["total"] - whole["trainable"]
    plain = layers["MobileNet"] + (1024 + 1) * 1000
    half = 2 / 2**20  # MiB of a parameter in half precision
    for where, total, fixed, note, digits in (
        ("Table 3", plain, still - 2 * 1024, paper.TABLE_3_NOTE, 0),  # less those of our head
        ("Table 4", whole["total"], still, paper.TABLE_4_NOTE, 4),
    ):
        counts = {"parameters": total, "trainable": total - fixed, "non_trainable": fixed}
        for key, ours in counts.items():
            row = {"parameters": "all"}.get(key, key.replace("_", "-"))
            yield where, row, "parameters", note[key], 0, float(ours)
        yield where, "all weights, MiB", "size", note["size_mb"], digits, 2 * half * total
    why = "ours is the size of the weights in half precision"
    value, ours = paper.TABLE_4_NOTE["gpu_memory_mb"], half * whole["total"]
    yield "Table 4", "GPU memory, MB", "size", value, 1, _apart(why, ours=ours)


def _settings(trained):
    """Table 5: against the settings of the first fold that was run."""
    run = next(filter(None, trained.values()), None)
    for row, key, digits in (
        ("epochs", "epochs", 0), ("patience of early stopping", "early_stop", 0),
        ("patience of the learning rate", "lr_patience", 0), ("batch size", "batch_size", 0),
        ("learning rate, first", "learning_rate", 3),
        ("learning rate, last", "min_learning_rate", 6), ("L1 regularization", "l1", 3),
    ):  # fmt: skip
        ours = (
            {"ours": run.data["config"][key], "record": run.name} if run else _needs("`allm train`")
        )
        yield "Table 5", row, "setting", paper.HYPERPARAMETERS[key], digits, ours


def _tested(trained, neither):
    """Tables 6-11, and what the text says of the same tests: from the answers of the runs."""
    clean, quoted = {}, _apart("quoted from its authors, on another split")
    for fold, printed in enumerate((paper.TABLE_6, paper.TABLE_7, paper.TABLE_8)):
        for sigma, values in printed.items():
            found = _measured(trained[fold], f"noise:{sigma}" if sigma else "clean", fold)
            clean.setdefault(fold, found)
            yield from _grid(f"Table {6 + fold}", f"fold {fold}, σ {sigma}", values, found)
        values = paper.TABLE_9[fold]
        row = f"fold {fold}, MAC"
        yield from _grid("Table 9", row, values["MAC"], clean[fold])
        found = _measured(neither[fold], "clean", fold, " --balance none --no-augment")
        yield from _grid("Table 9", f"fold {fold}, MCN", values["MCN"], found)
        value, ours = paper.TABLE_10[fold], _times(clean[fold]("accuracy"), 100)
        yield "Table 10", f"fold {fold}", "MobileNet_M, %", value["MobileNet_M"], 0, ours
        yield "Table 10", f"fold {fold}", "ALNett, %", value["ALNett"], 2, quoted
    accuracy, f1 = (_times(_mean(clean, key), 100) for key in ("accuracy", "f1_macro"))
    value = paper.TABLE_10["average"]
    yield "Table 10", "average", "MobileNet_M, %", value["MobileNet_M"], 2, accuracy
    yield "Table 10", "average", "ALNett, %", value["ALNett"], 2, quoted
    for row in paper.TABLE_11:
        ours = f1 if row["model"] == "MobileNet_M" else _apart("other data and splits")
        yield "Table 11", row["model"], "F1, %", row["f1_percent"], 0, ours
    value = paper.HEADLINE
    yield "Text", "abstract, average", "accuracy, %", value["accuracy_percent"], 2, accuracy
    yield "Text", "abstract, average", "F1", value["f1"], 2, _times(f1, 0.01)
    n_test = sum(classes["test"] for classes in paper.TABLE_1[0].values())
    row, column, value = "section 4.4, fold 0", f"right of {n_test}", paper.FOLD_0_CORRECT
    yield "Text", row, column, value["MobileNet_M"], 0, _times(clean[0]("accuracy"), n_test)
    yield "Text", f"{row}, ALNett", column, value["ALNett"], 0, quoted
    value = paper.ALNETT_TEXT
    yield "Text", f"{row}, ALNett", "accuracy, %", value["fold_0_accuracy_percent"], 2, quoted
    row = "section 2.2, ALNett"
    yield "Text", row, "accuracy, %", value["accuracy_percent"], 2, quoted
    yield "Text", row, "F1", value["f1"], 2, quoted


def _text(trained):
    """Section 4.2 on training and section 4.3 on time: nothing fair can be set beside them."""
    for fold, printed in paper.TRAINING.items():
        row, run = f"section 4.2, fold {fold}", trained[fold]
        ours = [{}] * 3
        if run:
            accuracy = 100 * float(np.mean(run.data["history"]["accuracy"]))
            found = run.data["best_epoch"] + 1.0, float(run.data["epochs_run"]), accuracy
            ours = [{"ours": value, "record": run.name} for value in found]
        why = "the paper's is read off a curve, ours has the smallest validation loss"
        value = printed["converged_epoch"]
        yield "Text", row, "epoch of convergence", value, 0, _apart(why, **ours[0])
        why = "depends on seed and schedule"
        yield "Text", row, "epochs run", printed["stopped_epoch"], 0, _apart(why, **ours[1])
        why = "the paper averages over what it does not say, ours over epochs"
        value = printed["accuracy_percent"]
        yield "Text", row, "training accuracy, %", value, 2, _apart(why, **ours[2])
    timed = _timed()
    for machine, value in paper.TIME_PER_IMAGE_MS.items():
        row, (ours, how) = f"section 4.3, {machine}", timed[machine]
        why = f"the paper names no hardware and no batch; {how}"
        yield "Text", row, "ms per image", value, 2, _apart(why, ours=ours)


def _timed():
    """Milliseconds for a picture by Keras, and how they were measured: the last benchmark's."""
    path = max((records.RESULTS.parent / "benchmarks" / "results").glob("*.json"))
    last = json.loads(path.read_text(encoding="utf-8"))
    rows = {(row["what"], row["alternative_name"]): row for row in last["rows"]}
    folder = rows["Predict a folder by LiteRT int8, as `allm predict` does", "the same by Keras"]
    where = "{cores} cores of {cpu}, {date}".format(**last["hardware"], date=last["date"])
    return {
        "personal computer": (folder["alternative"], f"ours: a folder by Keras on {where}"),
        "Google Colab": (np.nan, "ours: not timed there; `python -m benchmarks inference` would"),
    }


def _grid(table, row, printed, found):
    for column, value in printed.items():
        key, name, digits = _METRICS[column]
        yield table, row, name, value, digits, found(key)


def _measured(run, condition, fold, flags=""):
    """A function from a metric to ours, low, high and record, or to what it needs."""
    if run is None or condition not in run.data["conditions"]:
        return lambda key: _needs(f"`allm train --fold {fold}{flags}`")
    values, limits = run.metrics(condition), run.intervals(condition)
    return lambda key: {
        "ours": values[key], "low": limits[key][0], "high": limits[key][1], "record": run.name
    }  # fmt: skip


def _times(found, factor):
    return {key: v * factor if isinstance(v, float) else v for key, v in found.items()}


def _mean(clean, key):
    """Of a metric over the three folds."""
    found = {fold: one(key) for fold, one in clean.items()}
    if lacking := [one for one in found.values() if "ours" not in one]:
        return lacking[-1]
    return {"ours": float(np.mean([one["ours"] for one in found.values()]))}


def _needs(what):
    return {"note": f"needs {what}"}


def _verdict(line):
    if isinstance(line.ours, str):
        return "reproduced" if line.ours == line.paper else "differs"
    if pd.isna(line.ours):
        return "not run yet"
    if abs(line.ours - line.paper) <= 0.5 * 10.0**-line.digits + 1e-9:
        return "reproduced"
    return "within interval" if line.low <= line.paper <= line.high else "differs"


def _finer(line):
    """Decimals of ours: one more than the paper's, but at most three, and none of a count."""
    is_count = not isinstance(line.paper, str) and line.paper > 100
    return 0 if is_count else min(line.digits + 1, 3)


def _printed(line):
    """The paper's number as printed, and ours."""
    if isinstance(line.paper, str):
        return line.paper, line.ours
    finer = line.digits if pd.isna(line.low) else _finer(line)
    ours = "" if pd.isna(line.ours) else f"{line.ours:,.{finer}f}"
    return f"{line.paper:,.{line.digits}f}", ours
