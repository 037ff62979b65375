"""A second record of a trained model, under other conditions; `runs` takes this over."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from allm_utils.data import images
from allm_utils.judge.explain import background_share, coarse_cell, gradcam
from allm_utils.judge.predict import predict
from allm_utils.network import models
from allm_utils.runs import experiment, records

CONDITIONS = (
    "clean",
    *(f"{kind}:{s}" for kind in ("blur", "light", "contrast", "jpeg", "stain") for s in (1, 3, 5)),
    *(f"size:{factor}" for factor in (0.8, 0.9, 1.1, 1.2)),
    "size-normalised",
)


def retest(saved, source, data, out, work, conditions=CONDITIONS, note="", progress=True):
    """Test a saved model again, under other conditions, and record it beside the first test.

    The new record has the split, the settings and the history of the old one, and besides, for
    who wants to look deeper: ``source`` (the old record, the file of the model), ``validation``
    (labels, subjects and answers on the validation part, to choose a temperature or a threshold
    on) and ``pictures`` (for each test image the area of the cell in the network's input, and the
    share of its Grad-CAM that lies on the background, beside that of `coarse_cell`).

    Parameters
    ----------
    saved : path-like
        A ``.keras`` file with its card.
    source : Record
        Of the run that trained it.
    data : path-like
        Root of the tree that the run used.
    out : path-like
        Results folder; the record goes to ``out/trust``.
    work : path-like
        Scratch folder for the image cache.
    conditions : sequence of str
        Of `CONDITIONS`.
    note : str
        What a reader of the record must know, beside where it comes from.
    progress : bool

    Returns
    -------
    Path
        The record's JSON file.

    Raises
    ------
    RecordError
        The model is not that of the record, the data are not those it used, or the new record is
        there already.
    """
    started, old = datetime.now(UTC), source.data
    experiment.describe_again(source, saved, "trust", started)  # refuses another model at once
    records.check_free(Path(out) / "trust", f"{source.id}-trust", old["data"]["kind"])
    model, card = models.load(saved)
    frame, split = experiment.select_again(source, data, work)
    cache = Path(work) / "images"
    pictures = images.load(frame, card["image_size"], card["crop"], cache, progress)
    rows = {part: np.flatnonzero(split == part) for part in ("val", "test")}
    test, seen = frame.iloc[rows["test"]], pictures[rows["test"]]
    p_all = {}
    for condition in tqdm(conditions, desc="test", disable=not progress):
        p_all[condition] = predict(model, seen, condition, old["seed"])
    clean = p_all["clean"] if "clean" in p_all else predict(model, seen)
    heat = gradcam(model, seen, clean >= 0.5)
    record = {
        **experiment.describe_again(source, saved, "trust", started, note),
        "conditions": list(conditions),
        "validation": _answers(frame.iloc[rows["val"]], predict(model, pictures[rows["val"]])),
        "pictures": {
            "file": [Path(path).name for path in test["path"]],
            "area": seen.any(axis=-1).mean(axis=(1, 2)).round(4).tolist(),
            "heat_on_background": background_share(heat, seen).round(4).tolist(),
            "cell_on_background": background_share(coarse_cell(seen), seen).round(4).tolist(),
        },
    }
    return records.write(Path(out) / "trust", record, experiment.answers(test, p_all))


def _answers(frame, p_all):
    return {
        "subject": frame["subject"].tolist(),
        "label": frame["label"].astype(int).tolist(),
        "p_all": [round(float(p), 6) for p in p_all],
    }
