"""The scorecard, as it was made from records of schema 1; on its way to `book/scorecard`."""

import re

import numpy as np
import pandas as pd

from allm_utils.book import paper
from allm_utils.data import cnmc, splits
from allm_utils.network import balance
from allm_utils.runs.records import PARAMETERS


def paper_runs(records, fold):
    """Choose the runs of MobileNet_M with the paper's recipe, protocol and size.

    Parameters
    ----------
    records : list of Record
    fold : int

    Returns
    -------
    list of Record
        That with the paper's split (seed 1337) first, then by seed, whatever their scores.
    """
    runs = _trained(records, fold, "hem", True)
    return [run for run in runs if _side(run) == paper.IMAGE_SIZE]


def paper_run(records, fold):
    """Choose the run that stands for a fold: the first of `paper_runs`, or None."""
    return next(iter(paper_runs(records, fold)), None)


def scorecard(records):
    """Compare the paper's numbers with ours, one row each.

    Every number of Tables 1-11, and of the text: the averages of the abstract, the sizes of the
    data set, training and prediction times, the counts of section 4.4. The settings of section 3
    are inputs, not results, and are left out. A fold is represented by its `paper_run`; where there
    is none, by a run of the same settings on smaller pictures, and the note says how small.

    Parameters
    ----------
    records : list of Record
        Of real data, as `load_all` gives.

    Returns
    -------
    DataFrame
        Columns ``table, item, paper, ours, low, high, digits, verdict, note, record``. `paper` and
        `ours` are numbers, or text for the rows of Table 3 and the shapes of Table 4. `low` and
        `high` are the 95 % bootstrap interval of ours, by image; `digits` counts the paper's
        decimals. Verdicts: ``reproduced`` (ours rounds to the paper's value), ``within interval``
        (the paper's value lies in ours), ``differs`` (`note` says how), ``not comparable`` (`note`
        says why), ``not run yet`` (`note` says what it needs).
    """
    runs, bare = (
        {fold: next(iter(_trained(records, fold, *how)), None) for fold in range(3)}
        for how in (("hem", True), ("none", False))
    )
    rows = [
        *_counted_rows(),
        *_architecture_rows(),
        *_setting_rows(runs),
        *_tested_rows(runs, bare),
        *_text_rows(runs),
    ]
    card = pd.DataFrame(rows)
    card["verdict"] = [row.verdict or _verdict(row) for row in card.itertuples()]
    measured = (card["verdict"] == "differs") & card["low"].notna()
    for row in card[measured].itertuples():
        side = "ours is higher" if row.ours > row.paper else "ours is lower"
        card.loc[row.Index, "note"] = ", ".join(filter(None, (side, row.note)))
    order = card["table"].str.extract(r"(\d+)")[0].astype(float)
    card = card.loc[order.sort_values(kind="stable").index].reset_index(drop=True)
    names = ["table", "item", "paper", "ours", "low", "high", "digits", "verdict", "note", "record"]
    return card[names]


def as_printed(card):
    """The scorecard as text: the paper's digits, one more for what we measured.

    Parameters
    ----------
    card : DataFrame
        As `scorecard` gives.

    Returns
    -------
    DataFrame of str
        Columns ``Table, Item, Paper, Ours, 95 % interval, Verdict, Record``.
    """

    def text(value, digits):
        if isinstance(value, str):
            return value
        return "" if pd.isna(value) else f"{value:,.{digits}f}"

    rows = []
    for row in card.itertuples():
        finer = row.digits if pd.isna(row.low) else row.digits + 1
        interval = "" if pd.isna(row.low) else f"{text(row.low, finer)} to {text(row.high, finer)}"
        numbers = text(row.paper, row.digits), text(row.ours, finer), interval
        verdict = f"{row.verdict}: {row.note}" if row.note else row.verdict
        rows.append((row.table, row.item, *numbers, verdict, row.record))
    names = ["Table", "Item", "Paper", "Ours", "95 % interval", "Verdict", "Record"]
    return pd.DataFrame(rows, columns=names)


def errata(table):
    """List what does not add up in a table of the paper, and how this book reads it.

    Parameters
    ----------
    table : str
        As in the scorecard: "Table 1" to "Table 11", or "Text" for what belongs to no table.

    Returns
    -------
    list of dict
        Entries of `allm_utils.paper.ERRATA`.
    """
    return [erratum for erratum in paper.ERRATA if table in _tables_named(erratum["where"])]


def _tables_named(where):
    spans = re.findall(r"Tables? (\d+)(?:(?:-| and )(\d+))?", where)
    numbers = [n for first, last in spans for n in range(int(first), int(last or first) + 1)]
    return [f"Table {number}" for number in numbers] or ["Text"]


_PRINTED = {
    "precision": ("precision_macro", "macro precision", 2),
    "recall": ("recall_macro", "macro recall", 2),
    "f1": ("f1_macro", "macro F1", 2),
    "precision_all": ("precision_all", "precision of ALL", 2),
    "precision_hem": ("precision_hem", "precision of HEM", 2),
    "precision_weighted": ("precision_weighted", "weighted precision", 2),
    "accuracy": ("accuracy", "accuracy", 2),
    "auc": ("balanced_accuracy", "balanced accuracy (the paper's AUC)", 3),
}
"""The paper's columns: our metric, its name, and the decimals printed."""

_BLOCKS = (
    *((1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512)),
    *[(1, 512)] * 5,
    *((2, 1024), (1, 1024)),
)
"""MobileNet's depthwise separable blocks: stride, channels out (Howard et al., 2017)."""


def _row(table, item, printed, digits, ours=np.nan, **more):
    """One row of the scorecard; `more` holds low, high, record, and a verdict with its note."""
    empty = {"low": np.nan, "high": np.nan, "record": "", "verdict": "", "note": ""}
    found = {"table": table, "item": item, "paper": printed, "digits": digits, "ours": ours}
    return {**found, **empty, **more}


def _apart(table, item, printed, digits, note, **more):
    """One row that nothing of ours can be set beside fairly."""
    return _row(table, item, printed, digits, verdict="not comparable", note=note, **more)


_AS_IN_THE_PAPER = {
    "alpha": 1.0,
    "l1": 0.015,
    "scaling": "unit",
    "balance": "hem",
    "augment": True,
    "clean_share": 0.0,
    "brightness": [0.4, 0.8],
    "stain": 0.0,
    "average": 0.0,
    "freeze": None,
}
"""A record that lacks one of these settings is older than it, and was as in the paper."""


def _trained(records, fold, balance, augment):
    """The trainings on a fold in the paper's protocol, the one that stands for them first.

    MAC of Table 9 is balanced ("hem") and augmented, MCN neither ("none"). First comes a run at the
    paper's size, else the largest; then that with the paper's split, else the lowest seed.
    """
    wanted = {"model": "mobilenet_m", "protocol": "paper", "folds": [fold]}
    settings = {**_AS_IN_THE_PAPER, "balance": balance, "augment": augment}
    runs = [
        record
        for record in records
        if "source" not in record.data  # a trained model tested again
        and all(record.data[key] == value for key, value in wanted.items())
        and all(
            record.data["config"].get(key, _AS_IN_THE_PAPER[key]) == value
            for key, value in settings.items()
        )
    ]
    return sorted(runs, key=_preference)


def _preference(record):
    size, seed = _side(record), record.data["seed"]
    apart = record.data["experiment"] != "mobilenet_m"
    return size != paper.IMAGE_SIZE, -size, apart, seed != 1337, seed


def _side(record):
    return record.data["config"]["image_size"]


def _counted_rows():
    """Tables 1 and 2, and the data sets of section 3.1: from the shipped lists."""
    frame = cnmc.shipped_index()
    split = splits.paper_split(frame)
    sizes = frame.groupby(["fold", "label", split]).size()
    for fold, table in paper.TABLE_1.items():
        for name, counts in table.items():
            found = sizes[fold, cnmc.CLASSES.index(name)]
            found = {**found, "total": found.sum()}
            for part, value in counts.items():
                yield _row("Table 1", f"fold {fold}, {name}, {part}", value, 0, float(found[part]))
    for fold, counts in paper.TABLE_2.items():
        train = frame[(split == "train") & (frame["fold"] == fold)]
        hem = train["label"].to_numpy(int) == 0
        source, _ = balance.balanced_rows(train["label"].to_numpy(int), grey="hem")
        found = {"before": hem.sum(), "after": hem[source].sum()}
        for when, value in counts.items():
            item = f"fold {fold}, HEM images in training, {when} balancing"
            yield _row("Table 2", item, value, 0, float(found[when]))
    training = paper.DATASET["training"]
    yield _row("Text", "section 3.1, training images", training["images"], 0, float(len(frame)))
    for label, name in enumerate(cnmc.CLASSES):
        part = frame[frame["label"] == label]
        found = {"images": len(part), "subjects": part["subject"].nunique()}
        for what, value in training[name].items():
            item = f"section 3.1, training, {name} {what}"
            yield _row("Text", item, value, 0, float(found[what]))
    prelim = cnmc.shipped_prelim()
    for label, name in enumerate(cnmc.CLASSES):
        part = prelim[prelim["label"] == label]
        found = {"images": len(part), "subjects": part["subject"].nunique()}
        for what, value in paper.DATASET["preliminary"][name].items():
            item = f"section 3.1, preliminary test, {name} {what}"
            yield _row("Text", item, value, 0, float(found[what]))
    final, note = paper.DATASET["final"], "the package has no list of the final test set"
    yield _apart("Text", "section 3.1, final test images", final["images"], 0, note)
    for name in ("ALL", "HEM"):
        for what, value in final[name].items():
            yield _apart("Text", f"section 3.1, final test, {name} {what}", value, 0, note)


def _mobilenet():
    """MobileNet at 224 px: (rows as Table 3 prints them, parameters, of these not trainable)."""
    side, channels = paper.IMAGE_SIZE // 2, 32
    rows = [("Conv/s2", "3×3×3×32", "224×224×3")]
    weights, moving = 27 * channels + 4 * channels, 2 * channels
    for stride, out in _BLOCKS:
        rows.append((f"Conv dw/s{stride}", f"3×3×{channels} dw", f"{side}×{side}×{channels}"))
        side //= stride
        rows.append(("Conv/s1", f"1×1×{channels}×{out}", f"{side}×{side}×{channels}"))
        weights += (9 + 4) * channels + (channels + 4) * out
        moving += 2 * channels + 2 * out
        channels = out
    printed_once = [*rows[:15], *rows[23:]]  # the paper shows one of the five blocks of 512
    top = (
        ("Avrg pool/s1", f"Pool {side}×{side}", f"{side}×{side}×{channels}"),
        ("FC/s1", f"{channels}×1000", f"1×1×{channels}"),
        ("Softmax/s1", "Classifier", "1×1×1000"),
    )
    return [*printed_once, *top], weights + (channels + 1) * 1000, moving


def _architecture_rows():
    """Tables 3 and 4: from the definition of the networks."""
    rows, total, moving = _mobilenet()
    for number, (printed, found) in enumerate(zip(paper.TABLE_3, rows, strict=True), start=1):
        text, ours = ", ".join(printed.values()), ", ".join(found)
        note = "" if text == ours else "a misprint"
        yield _row("Table 3", f"row {number}: type, filter, input", text, 0, ours, note=note)
    note = paper.TABLE_3_NOTE
    for name, value in (("total", total), ("trainable", total - moving), ("non-trainable", moving)):
        printed = note["parameters" if name == "total" else name.replace("-", "_")]
        yield _row("Table 3", f"MobileNet, parameters, {name}", printed, 0, float(value))
    size = total * 4 / 2**20
    yield _row("Table 3", "MobileNet, size of the weights, MiB", note["size_mb"], 0, size)

    classes, channels = len(cnmc.CLASSES), _BLOCKS[-1][1]
    backbone, whole = total - (channels + 1) * 1000, PARAMETERS["mobilenet_m", 1.0]
    layers = {"MobileNet": backbone, "Batch normalization": 4 * channels}
    layers["Dense"] = (channels + 1) * classes
    shapes = {"MobileNet": (7, 7, channels), "Dense": (classes,)}
    for layer in paper.TABLE_4:
        name = layer["layer"]
        shape = ["×".join(map(str, s)) for s in (layer["output_shape"], shapes.get(name, (1024,)))]
        yield _row("Table 4", f"{name}, output shape", shape[0], 0, shape[1])
        count = float(layers.get(name, 0))
        yield _row("Table 4", f"{name}, parameters", layer["parameters"], 0, count)
    found = {**whole, "non-trainable": whole["total"] - whole["trainable"]}
    note = paper.TABLE_4_NOTE
    printed = (note["parameters"], note["trainable"], note["non_trainable"])
    for name, value in zip(("total", "trainable", "non-trainable"), printed, strict=True):
        yield _row("Table 4", f"parameters, {name}", value, 0, float(found[name]))
    half = whole["total"] * 2 / 2**20
    why = "ours is the size of the weights in half precision"
    yield _apart("Table 4", "GPU memory, MB", note["gpu_memory_mb"], 1, why, ours=half)
    yield _row("Table 4", "size of the weights, MiB", note["size_mb"], 4, 2 * half)


def _setting_rows(runs):
    """Table 5: against the settings of the first fold that was run."""
    run = min(filter(None, runs.values()), key=_preference, default=None)
    settings = (
        ("epochs", "epochs", 0),
        ("patience of early stopping", "early_stop", 0),
        ("patience of the learning rate", "lr_patience", 0),
        ("batch size", "batch_size", 0),
        ("learning rate, first", "learning_rate", 3),
        ("learning rate, last", "min_learning_rate", 6),
        ("L1 regularization", "l1", 3),
    )
    for item, key, digits in settings:
        value = run.data["config"].get(key, np.nan) if run else np.nan
        more = {"record": run.name} if run else {"note": "needs any fold"}
        yield _row("Table 5", item, paper.HYPERPARAMETERS[key], digits, value, **more)


def _tested_rows(runs, bare):
    """Tables 6-11 and the counts and averages of the text: from the predictions of the runs."""
    tables = {0: paper.TABLE_6, 1: paper.TABLE_7, 2: paper.TABLE_8}
    clean = {}

    def row(table, item, found, fold, column, value):
        key, name, digits = _PRINTED[column]
        more = found.get(key) or {"note": f"needs fold {fold}"}
        return _row(table, f"fold {fold}, {item}, {name}", value, digits, **more)

    for fold, table in tables.items():
        for sigma, printed in table.items():
            found = _measured(runs[fold], f"noise:{sigma}" if sigma else "clean")
            clean.setdefault(fold, found)
            for column, value in printed.items():
                yield row(f"Table {6 + fold}", f"sigma {sigma}", found, fold, column, value)
    for fold, printed in paper.TABLE_9.items():
        for column, value in printed["MAC"].items():
            yield row("Table 9", "balanced and augmented", clean[fold], fold, column, value)
        found = _measured(bare[fold], "clean")
        for column, value in printed["MCN"].items():
            yield row("Table 9", "neither", found, fold, column, value)

    quoted = "quoted from its authors, on another split"
    for fold, printed in paper.TABLE_10.items():
        if fold == "average":
            more = _average(clean, "accuracy", 100)
            where = "average"
        else:
            more, where = _times(clean[fold], "accuracy", 100, fold), f"fold {fold}"
        digits = 2 if fold == "average" else 0
        yield _row("Table 10", f"{where}, accuracy, %", printed["MobileNet_M"], digits, **more)
        digits = 0 if float(printed["ALNett"]).is_integer() else 2
        yield _apart("Table 10", f"{where}, ALNett, accuracy, %", printed["ALNett"], digits, quoted)
    for printed in paper.TABLE_11:
        item = f"{printed['model']}, F1, %"
        if printed["model"] == "MobileNet_M":
            yield _row(
                "Table 11", item, printed["f1_percent"], 0, **_average(clean, "f1_macro", 100)
            )
        else:
            yield _apart("Table 11", item, printed["f1_percent"], 0, "other data and splits")

    item = "abstract, average accuracy, %"
    value = paper.HEADLINE["accuracy_percent"]
    yield _row("Text", item, value, 2, **_average(clean, "accuracy", 100))
    value = paper.HEADLINE["f1"]
    yield _row("Text", "abstract, average F1", value, 2, **_average(clean, "f1_macro"))
    n_test = sum(classes["test"] for classes in paper.TABLE_1[0].values())
    more = _times(clean[0], "accuracy", n_test, 0)
    item = f"section 4.4, fold 0, right of {n_test}"
    yield _row("Text", item, paper.FOLD_0_CORRECT["MobileNet_M"], 0, **more)
    yield _apart("Text", f"{item}, ALNett", paper.FOLD_0_CORRECT["ALNett"], 0, quoted)
    cited = paper.ALNETT_TEXT
    item = "section 2.2, ALNett, accuracy, %"
    yield _apart("Text", item, cited["accuracy_percent"], 2, quoted)
    yield _apart("Text", "section 2.2, ALNett, F1", cited["f1"], 2, quoted)
    item = "section 4.4, ALNett, fold 0, accuracy, %"
    yield _apart("Text", item, cited["fold_0_accuracy_percent"], 2, quoted)


def _text_rows(runs):
    """Section 4.2 on training and section 4.3 on time: nothing fair can be set beside them."""
    for fold, printed in paper.TRAINING.items():
        run = runs[fold]
        ours = {"ours": float(run.data["epochs_run"]), "record": run.name} if run else {}
        for key, item, digits, note, more in (
            ("converged_epoch", "epoch of convergence", 0, "read off a curve", {}),
            ("stopped_epoch", "epochs run", 0, "depends on seed and schedule", ours),
            ("accuracy_percent", "training accuracy, %", 2, "average over what is not said", {}),
        ):
            item = f"section 4.2, fold {fold}, {item}"
            yield _apart("Text", item, printed[key], digits, note, **more)
    for machine, value in paper.TIME_PER_IMAGE_MS.items():
        note = "no hardware, batch or warm-up is given"
        yield _apart("Text", f"section 4.3, ms per image, {machine}", value, 2, note)


def _measured(run, condition):
    """By metric: ours, low, high, record; empty if it was not run."""
    if run is None or condition not in run.data["conditions"]:
        return {}
    values, limits = run.metrics(condition), run.intervals(condition)
    where = {"record": run.name}
    if _side(run) != paper.IMAGE_SIZE:
        where["note"] = f"at {_side(run)} px"
    return {
        name: {"ours": values[name], "low": low, "high": high, **where}
        for name, (low, high) in limits.items()
    }


def _times(found, key, factor, fold):
    """A metric in another unit, or what it needs."""
    if key not in found:
        return {"note": f"needs fold {fold}"}
    return {
        name: value if isinstance(value, str) else factor * value
        for name, value in found[key].items()
    }


def _average(clean, key, factor=1):
    """A metric's mean over the three folds, or what it needs."""
    lacking = [str(fold) for fold, found in clean.items() if key not in found]
    if lacking:
        return {"note": f"needs fold{'s' * (len(lacking) > 1)} {', '.join(lacking)}"}
    return {"ours": factor * float(np.mean([found[key]["ours"] for found in clean.values()]))}


def _verdict(row):
    if isinstance(row.ours, str):
        return "reproduced" if row.ours == row.paper else "differs"
    if pd.isna(row.ours):
        return "not run yet"
    if abs(row.ours - row.paper) <= 0.5 * 10.0**-row.digits + 1e-9:
        return "reproduced"
    return "within interval" if row.low <= row.paper <= row.high else "differs"
