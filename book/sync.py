"""Write what is made from something else; run it as ``make sync``.

- ``notebooks/NN_name.ipynb`` from ``NN_name.py``: the same cells, no outputs, kernel ``python3``.
- The Colab cell of each chapter from ``_config.yml``.
- The table of the headline results, in README.md and on the landing page, from ``results/``.
- The tables of the speed, in README.md, from the last run in ``benchmarks/results/``.
- The tables of the model card, from ``results/``.
"""

import re
from pathlib import Path

import jupytext
import nbformat
import pandas as pd
import yaml

from allm_utils.book import paper
from allm_utils.data import splits
from allm_utils.data.cnmc import CLASSES, merged_subject
from allm_utils.judge import metrics, trust
from allm_utils.runs import probe, records
from benchmarks import report

ROOT = Path(__file__).resolve().parents[1]
CELL = re.compile(r"^(?=# %%)", re.MULTILINE)
COLAB_CELL = """\
# %% tags=["colab", "remove-cell"]
import sys

if "google.colab" in sys.modules:  # installs the package, and nothing that Colab has
    from IPython import get_ipython

    packages = "imaug=={imaug} git+{url}@{branch}"
{more}    get_ipython().run_line_magic("pip", "install -q --no-deps " + packages)

"""
COLAB_MORE = {
    "trust": ("Deprecated", "imagecorruptions-imaug", "tf-keras-vis"),
    "export": ("ai-edge-litert", "backports.strenum", "onnx", "onnxruntime", "tf2onnx"),
}
"""What a chapter that imports one of these modules needs, and Colab has not."""


def colab_cell(root=ROOT, text=""):
    """Return the install cell of a chapter.

    The repository is that of ``_config.yml``, the versions are those of ``constraints.txt``.
    """
    repository = yaml.safe_load((root / "_config.yml").read_text())["repository"]
    constraints = (root / "constraints.txt").read_text()
    version = dict(re.findall(r"^(\S+)==(\S+)$", constraints, re.MULTILINE))
    more = ""
    for module, names in COLAB_MORE.items():
        if re.search(rf"^    {module},$", text, re.MULTILINE):
            pinned = " ".join(f"{name}=={version[name]}" for name in names)
            more += f'    packages += " {pinned}"\n'
    return COLAB_CELL.format(
        imaug=version["imaug"], url=repository["url"], branch=repository["branch"], more=more
    )


def with_colab_cell(text, cell):
    """Return the chapter's text with ``cell`` as its second cell, after the title."""
    header, *cells = CELL.split(text)
    cells = [c for c in cells if '"colab"' not in c.splitlines()[0]]
    return "".join([header, cells[0], cell, *cells[1:]])


def notebook(text):
    """Return the chapter's text as a notebook: no outputs, cell ids that do not change."""
    pair = jupytext.reads(text, fmt="py:percent")
    pair.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        **{key: pair.metadata[key] for key in ("accelerator",) if key in pair.metadata},
    }
    for number, cell in enumerate(pair.cells):
        cell.id = f"cell-{number:02d}"
    return nbformat.writes(pair, version=4) + "\n"


HEADLINE = re.compile(r"(<!-- headline.*?-->\n).*?(<!-- end)", re.DOTALL)
ROWS = {
    "sigma 0, accuracy": "accuracy",
    "sigma 0, balanced accuracy (the paper's AUC)": "balanced accuracy",
    "sigma 10, accuracy": "accuracy, noise σ = 10",
    "sigma 10, balanced accuracy (the paper's AUC)": "balanced accuracy, noise σ = 10",
}


NEVER_MET = {"unseen": "", "unseen-average": ", averaged weights"}
PARTS = {"patient-disjoint-paper": "", "patient-disjoint": ", averaged weights"}
"""Experiments across the folds, and over the parts, and how each differs from the paper."""


def never_met(runs):
    """Yield (what was trained and tested, its runs) for each test on patients never met."""
    for run in runs:
        if run.data["experiment"] in NEVER_MET:
            (first, second), size = run.data["folds"], run.data["config"]["image_size"]
            how = NEVER_MET[run.data["experiment"]]
            yield f"trained on fold {first}, tested on fold {second}, {size} px{how}", [run]
    for experiment, how in PARTS.items():
        parts = five_parts(runs, experiment=experiment)
        if parts:
            size = parts[0].data["config"]["image_size"]
            yield f"folds 0 and 1 in five parts, {size} px{how}", parts


def five_parts(runs, **wanted):
    """Return the runs on the patient-disjoint parts that test everybody once, or none."""
    wanted = {"protocol": "patient-disjoint", "folds": [0, 1], **wanted}
    parts = [run for run in runs if all(run.data[key] == wanted[key] for key in wanted)]
    return parts if len(parts) == splits.N_PARTS else []


def three_together(runs):
    """Return the rows of the five parts with the answer of the network and both probes together.

    None if a run is missing. Chapter 10 tells how the three are put together.
    """
    networks = five_parts(runs, experiment="patient-disjoint")
    probes = [five_parts(runs, model=model) for model in probe.MODELS]
    if not all((networks, *probes)):
        return None
    tests = {"network": (networks, "tta")} | {
        model: (parts, "clean") for model, parts in zip(probe.MODELS, probes, strict=True)
    }
    rows = records.joined(tests)
    shares = records.share_of_all(networks), *[0.5] * len(probes)
    return rows.assign(p_all=metrics.combined([rows[name] for name in tests], shares))


def pooled(runs):
    """Return the test rows of ``runs`` together, their metrics, and the intervals by patient."""
    rows = pd.concat([run.rows() for run in runs])
    return rows, *judged(rows)


def judged(rows):
    """Return the metrics of test rows, and the intervals by patient."""
    arrays = rows["label"].to_numpy(int), rows["p_all"].to_numpy()
    people = merged_subject(rows["subject"]).to_numpy()
    return metrics.metrics(*arrays), metrics.intervals(*arrays, groups=people)


def headline(runs):
    """Return the paper's numbers beside those of ``runs`` as a Markdown table."""
    card = records.as_printed(records.scorecard(runs))
    card = card[card["Record"] != ""]
    shown = []
    lines = [
        "| MobileNet_M on real cells | Paper | Ours | 95 % interval |",
        "|---|---|---|---|",
    ]
    for _, row in card[card["Table"].isin(["Table 6", "Table 7", "Table 8"])].iterrows():
        fold, item = row["Item"].split(", ", 1)
        if item in ROWS:
            what = f"Split by image, {fold}: {ROWS[item]}"
            values = row["Paper"], row["Ours"], row["95 % interval"]
            lines.append(f"| {' | '.join((what, *values))} |")
            shown.append(f"`{row['Record']}`")
    new = [(what, *pooled(tested)[1:]) for what, tested in never_met(runs)]
    shown += [f"`{tested[0].data['experiment']}/`" for _, tested in never_met(runs)]
    if (together := three_together(runs)) is not None:
        what = "the same five parts, averaged network and both probes, equal priors"
        new.append((what, *judged(together)))
        shown.append("`probe/`")
    for what, values, limits in new:
        for name in ("accuracy", "balanced_accuracy"):
            low, high = limits[name]
            where = f"New patients, {what}: {name.replace('_', ' ')}"
            interval = f"{low:.3f} to {high:.3f}, by patient"
            lines.append(f"| {where} | not reported | {values[name]:.3f} | {interval} |")
    if not shown:
        lines = ["No run on the real cells is recorded yet."]
    else:
        lines += ["", f"Computed from {', '.join(dict.fromkeys(shown))} in `results/`."]
    short = [
        f"fold {fold} for {run.data['epochs_run']} (on {run.data['hardware']})"
        for fold in range(3)
        if (run := records.paper_run(runs, fold))
    ]
    if short:
        lines[-1] += f" The paper trains for up to {paper.HYPERPARAMETERS['epochs']} epochs; "
        lines[-1] += f"we trained {', '.join(short)}. Where ours is lower, that may be why."
    again = [
        f"fold {fold} {run.metrics()['accuracy']:.3f} (seed {run.data['seed']})"
        for fold in range(3)
        for run in records.paper_runs(runs, fold)[1:]
    ]
    if again:
        lines[-1] += f" The accuracy of the same recipe with another seed: {', '.join(again)}."
    return "\n".join(["", *lines, "", ""])


ERRATA = re.compile(r"(<!-- errata.*?-->\n).*?(<!-- end)", re.DOTALL)


def errata():
    """Return the paper's errata as a numbered Markdown list."""
    entries = [
        f"{number}. **{one['where']}.** {one['finding']}\n\n   *Our reading:* {one['reading']}"
        for number, one in enumerate(paper.ERRATA, start=1)
    ]
    return "\n" + "\n\n".join(entries) + "\n\n"


CARD = re.compile(r"(<!-- card (\w+).*?-->\n).*?(<!-- end)", re.DOTALL)
SHIPPED = "mobilenet_m/mobilenet_m-paper-fold1-seed1337"
"""The record of the network that the model card is about."""
CONDITIONS = (
    *("clean", "noise:5", "noise:10", "cell-noise:5", "cell-noise:10", "grey"),
    *(f"{kind}:{severity}" for kind in (*trust.CORRUPTIONS, "stain") for severity in (1, 3, 5)),
    *("zoom:0.8", "zoom:1.2", "size-normalised"),
)
CARD_METRICS = ("sensitivity", "specificity", "balanced accuracy", "ROC-AUC")


def markdown(head, rows):
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(["", *(f"| {' | '.join(map(str, line))} |" for line in lines), "", ""])


def card(runs):
    """Return the tables of the model card by name, from ``runs``."""
    trained = next(r for r in runs if r.name == SHIPPED)
    again = next((r for r in runs if r.data["experiment"] == "trust"), None)
    rows = trained.rows()
    rows = rows.assign(right=(rows["p_all"] >= 0.5) == (rows["label"] == 1))
    tables = {
        "details": markdown(["what", "value"], card_details(trained.data)),
        "metrics": markdown(
            ["tested on", "images", "people", *CARD_METRICS],
            [card_line(what, run) for what, run in card_runs(runs)],
        ),
        "people": markdown(
            ["patient", "class", "cells", "called rightly"],
            [
                (subject, CLASSES[label], len(part), f"{part['right'].mean():.2f}")
                for (label, subject), part in rows.groupby(["label", "subject"])
            ],
        ),
    }
    tables |= {"size": "\nNot run yet.\n\n", "calibration": "\nNot run yet.\n\n"}
    if again:
        tables["size"] = card_size(again)
        tables["calibration"] = card_calibration(trained, again)
    lines = []
    for condition in CONDITIONS:
        run = next((r for r in (trained, again) if r and condition in r.data["conditions"]), None)
        if run:
            got = run.metrics(condition)
            values = (got[name] for name in ("sensitivity", "specificity", "balanced_accuracy"))
            lines.append((f"`{condition}`", *(f"{value:.3f}" for value in values)))
    head = ["condition", "sensitivity", "specificity", "balanced accuracy"]
    tables["conditions"] = markdown(head, lines)
    return tables


def card_details(data):
    """Yield what a record says of the network."""
    config = data["config"]
    yield "file", "`results/models/mobilenet_m-fold1.keras`, weights in half precision"
    yield "record", f"`{data['id']}`, {data['finished'][:10]}"
    yield "parameters", f"{data['parameters']['total']:,}"
    yield "input", f"centre crop of {config['crop']} pixels, resized to {config['image_size']}"
    part = data["split"]["train"]
    yield "trained on", f"fold 1: {part['n_all']:,} ALL and {part['n_hem']:,} HEM images"
    yield "training", f"{data['epochs_run']} epochs, epoch {data['best_epoch'] + 1} kept"
    yield "machine", f"{data['hardware']}, {data['backend']['name']} {data['backend']['version']}"
    yield "note", data["note"]


def card_runs(runs):
    """Yield (what it was tested on, its runs): known patients, then new ones."""
    known = next(run for run in runs if run.name == SHIPPED)
    yield "fold 1, patients of its training (**this network**)", [known]
    for what, tested in never_met(runs):
        yield f"new patients: other networks, {what}", tested


def card_line(what, runs):
    """Return the line of a test: who was tested, and metrics with intervals by patient."""
    rows, values, limits = pooled(runs)
    people = rows.groupby("label")["subject"].nunique()
    cells = []
    for name in CARD_METRICS:
        key = name.lower().replace(" ", "_").replace("-", "_")
        low, high = limits[key]
        cells.append(f"{values[key]:.3f} ({low:.2f} to {high:.2f})")
    return what, f"{values['n']:,}", f"{people[1]} ALL, {people[0]} HEM", *cells


def card_size(again):
    """Return the share of cells called rightly, by class and third of the area."""
    seen = pd.DataFrame(again.data["pictures"]).merge(again.rows(), on="file")
    seen["same"] = seen["file"].map(again.rows("size-normalised").set_index("file")["p_all"])
    seen["third"] = pd.qcut(seen["area"], 3, ["small", "middle", "large"])
    lines = []
    for (label, third), part in seen.groupby(["label", "third"], observed=True):
        right = (((part[name] >= 0.5) == label).mean() for name in ("p_all", "same"))
        lines.append((CLASSES[label], third, len(part), *(f"{share:.2f}" for share in right)))
    return markdown(["class", "size", "cells", "called rightly", "all of one area"], lines)


def card_calibration(trained, again):
    """Return what probabilities and thresholds from the validation part are worth on the test."""
    val, rows = again.data["validation"], trained.rows()
    temperature = trust.fit_temperature(val["label"], val["p_all"])
    pairs = rows["p_all"], trust.with_temperature(rows["p_all"], temperature)
    errors = [f"{trust.calibration_error(rows['label'], p):.3f}" for p in pairs]
    lines = [
        ("temperature", f"{temperature:.2f}"),
        ("calibration error, as it answers", errors[0]),
        ("calibration error, with the temperature", errors[1]),
    ]
    for target in (0.90, 0.95):
        threshold = trust.threshold_at(val["label"], val["p_all"], target)
        got = metrics.metrics(rows["label"], rows["p_all"], threshold)
        what = f"threshold for a specificity of {target:.2f}"
        found = f"specificity {got['specificity']:.3f}, sensitivity {got['sensitivity']:.3f}"
        lines.append((what, f"{threshold:.3f}; on the test part {found}"))
    return markdown(["chosen on the validation part, judged on the test part", "value"], lines)


PERFORMANCE = re.compile(r"(<!-- performance.*?-->\n).*?(<!-- end)", re.DOTALL)


def performance(run):
    """Return one run of the benchmarks as Markdown tables; None is no run."""
    if run is None:
        return "\nNo run of `make bench` is kept yet.\n\n"
    machine = f"{run['hardware']}; {run['backend']['name']} {run['backend']['version']}"
    return f"\n{report.tables(run)}\n\nMeasured on {run['date']}: {machine}.\n\n"


def regenerate(root=ROOT):
    """Return what every file that is made, or partly made, should hold, by path."""
    files = {}
    for path in sorted((root / "notebooks").glob("*.py")):
        text = path.read_text(encoding="utf-8")
        text = with_colab_cell(text, colab_cell(root, text))
        files[path] = text
        files[path.with_suffix(".ipynb")] = notebook(text)
    runs = records.load_all(root / "results")
    table = headline(runs)
    for path in (root / "README.md", root / "book" / "index.md"):
        files[path] = HEADLINE.sub(rf"\g<1>{table}\2", path.read_text(encoding="utf-8"))
    path = root / "README.md"
    measured = performance(report.latest(root / "benchmarks" / "results"))
    files[path] = PERFORMANCE.sub(rf"\g<1>{measured}\2", files[path])
    path = root / "book" / "model_card.md"
    tables = card(runs)
    text = path.read_text(encoding="utf-8")
    files[path] = CARD.sub(lambda found: found[1] + tables[found[2]] + found[3], text)
    path = root / "book" / "errata.md"
    files[path] = ERRATA.sub(rf"\g<1>{errata()}\2", path.read_text(encoding="utf-8"))
    return files


if __name__ == "__main__":
    for path, content in regenerate().items():
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
