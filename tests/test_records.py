"""Records: written whole, read with every check, compared with today's code."""

import copy
import gzip
import hashlib
import json
import math
import re
import threading

import numpy as np
import pandas as pd
import pytest

from allm_utils.book import paper
from allm_utils.data import cnmc, splits
from allm_utils.errors import RecordError
from allm_utils.judge import metrics
from allm_utils.runs import records


def part_of(frame):
    return {
        "n": len(frame),
        "n_all": int((frame["label"] == 1).sum()),
        "n_hem": int((frame["label"] == 0).sum()),
        "subjects": sorted(frame["subject"].unique()),
        "sha256": splits.membership(frame),
    }


def make_run(
    protocol="paper", folds=(1,), seed=1337, conditions=("clean", "noise:5"), part=0, test="split"
):
    """A record of the published folds, with predictions that are right 19 times in 20."""
    frame = cnmc.shipped_index()
    frame = frame[frame["fold"].isin(folds)].reset_index(drop=True)
    fingerprint = records.FINGERPRINTS[(*sorted(folds), *(["prelim"] if test == "prelim" else []))]
    config = {"alpha": 1.0, "seed": seed, "epochs": 2, "part": part, "test": test}
    if test == "prelim":
        frame = pd.concat([frame, cnmc.shipped_prelim()], ignore_index=True)
        split = splits.prelim_split(frame)
    elif protocol == "paper":
        split = splits.paper_split(frame, seed)
    elif protocol == "cross-fold":
        split = splits.cross_fold_split(frame, *folds)
    else:
        split = splits.patient_disjoint_split(frame)[part]
    test = frame[split == "test"]
    labels = test["label"].to_numpy(int)
    rng = np.random.default_rng(0)
    parts = []
    for condition in conditions:
        right = rng.random(len(labels)) < 0.95
        p_all = np.where(labels == right, 0.5 + 0.5 * rng.random(len(labels)), 0.4)
        parts.append(
            pd.DataFrame(
                {
                    "file": test["path"].str.rsplit("/", n=1).str[-1].to_numpy(),
                    "subject": test["subject"].to_numpy(),
                    "label": labels,
                    "condition": condition,
                    "p_all": p_all.astype(np.float32),
                }
            )
        )
    record = {
        "schema": records.SCHEMA_VERSION,
        "id": f"mobilenet_m-{protocol}-seed{seed}",
        "experiment": "mobilenet_m",
        "model": "mobilenet_m",
        "folds": list(folds),
        "protocol": protocol,
        "config": config,
        "seed": seed,
        "data": {
            "kind": "cnmc-2019",
            "fingerprint": fingerprint,
            "n_images": len(frame),
        },
        "split": {name: part_of(frame[split == name]) for name in records.PARTS},
        "package": {"version": "0.1.0", "commit": None},
        "backend": {"name": "tensorflow", "version": "2.21", "keras": "3.15", "python": "3.11"},
        "hardware": "2 cores",
        "weights": {"name": "imagenet", "sha256": "0" * 64},
        "parameters": {"total": 3_235_010, "trainable": 3_211_074},
        "started": "2026-11-23T05:00:00+00:00",
        "finished": "2026-11-23T06:00:00+00:00",
        "seconds": 3600.0,
        "epochs_run": 2,
        "history": {"loss": [0.5, 0.4], "val_loss": [0.5, math.nan]},
        "conditions": list(conditions),
        "note": "",
    }
    return record, pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="session")
def run_once():
    return make_run()


@pytest.fixture
def run(run_once):
    return copy.deepcopy(run_once[0]), run_once[1].copy()


@pytest.fixture(scope="session")
def written_once(run_once, tmp_path_factory):
    return records.write(tmp_path_factory.mktemp("out") / "mobilenet_m", *run_once)


@pytest.fixture
def written(written_once, tmp_path):
    """A record of its own for a test that spoils it."""
    folder = tmp_path / "mobilenet_m"
    folder.mkdir()
    for path in (written_once, written_once.with_suffix(".csv")):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder / written_once.name


def refused(function, *arguments):
    with pytest.raises(RecordError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def edit(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_what_is_written_is_read(run, written):
    record, predictions = run
    found = records.load(written)
    assert found.id == record["id"]
    for key in set(record) - {"history"}:
        assert found.data[key] == record[key], key
    assert found.data["history"]["val_loss"] == [0.5, None]
    assert list(found.predictions.columns) == list(records.COLUMNS)
    assert found.predictions["p_all"].to_numpy() == pytest.approx(predictions["p_all"], abs=6e-7)
    assert found.predictions.drop(columns="p_all").equals(predictions.drop(columns="p_all"))
    assert sorted(path.name for path in written.parent.iterdir()) == [
        f"{record['id']}.csv",
        f"{record['id']}.json",
    ]


def test_metrics_are_recomputed_from_the_csv(written):
    record = records.load(written)
    for condition in ("clean", "noise:5"):
        rows = record.predictions[record.predictions["condition"] == condition]
        expected = metrics.metrics(rows["label"], rows["p_all"])
        assert record.metrics(condition) == expected
        stored = record.data["metrics"][condition]
        assert stored["tp"] == expected["tp"]
        low, high = record.intervals(condition)["accuracy"]
        assert stored["accuracy"]["value"] == pytest.approx(expected["accuracy"], abs=1e-7)
        assert stored["accuracy"]["low"] == pytest.approx(low, abs=1e-6)
        assert stored["accuracy"]["high"] == pytest.approx(high, abs=1e-6)


def test_intervals_by_subject_count_merged_subjects_once(written):
    record = records.load(written)
    rows = record.rows("clean")
    expected = metrics.intervals(
        rows["label"], rows["p_all"], rows["subject"].replace({"51": "51+75+78", "H10": "H3+H10"})
    )
    found = record.intervals("clean", by="subject")
    assert found == expected
    assert found["specificity"] != record.intervals("clean")["specificity"]


def test_a_condition_that_was_not_tested_is_refused(written):
    assert "noise:5" in refused(records.load(written).metrics, "blur:3")


def test_a_record_is_never_overwritten(run, written):
    before = written.read_bytes()
    run[1]["p_all"] = 0.5
    assert "not overwritten" in refused(records.write, written.parent, *run)
    assert written.read_bytes() == before


def test_of_two_writers_one_wins_whole(run, tmp_path):
    outcomes = []

    def attempt(p_all):
        predictions = run[1].assign(p_all=p_all)
        try:
            outcomes.append(records.write(tmp_path / "e", run[0], predictions))
        except RecordError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=attempt, args=(p,)) for p in (0.1, 0.9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(isinstance(outcome, RecordError) for outcome in outcomes) == [False, True]
    assert records.load(tmp_path / "e" / f"{run[0]['id']}.json").id == run[0]["id"]


@pytest.mark.parametrize("failing", ["csv", "json"])
def test_a_full_disk_leaves_nothing(run, tmp_path, monkeypatch, failing):
    replace = records.os.replace

    def full(source, target):
        if str(target).endswith(failing):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(records.os, "replace", full)
    assert "No space left" in refused(records.write, tmp_path / "e", *run)
    assert list((tmp_path / "e").iterdir()) == []


def test_synthetic_records_do_not_enter_results(run, tmp_path):
    record, predictions = run
    record["data"]["kind"] = "synthetic"
    assert "--out" in refused(records.write, tmp_path / "results" / "e", record, predictions)
    assert not (tmp_path / "results").exists()
    records.load(records.write(tmp_path / "mine" / "e", record, predictions))
    assert "synthetic" in refused(records.load_all, tmp_path / "mine")


def test_load_all_reads_every_record_but_no_model_card(written):
    (written.parents[1] / "models").mkdir()
    (written.parents[1] / "models" / "m.json").write_text("{}")
    assert [record.id for record in records.load_all(written.parents[1])] == [written.stem]
    refused(records.load_all, written.parents[1] / "absent")


def test_the_shipped_records_are_sound_and_not_stale():
    for record in records.load_all():
        assert records.stale(record) == [], record.id


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d.update(schema=0), "schema 0"),
        (lambda d: d.pop("schema"), "not a run record"),
        (lambda d: d.pop("hardware"), "'hardware'"),
        (lambda d: d["split"]["val"].pop("sha256"), "'split.val.sha256'"),
        (lambda d: d.update(seconds="long"), "'seconds'"),
        (lambda d: d.update(protocol="official"), "protocol 'official'"),
        (lambda d: d["data"].update(kind="mine"), "data kind"),
        (lambda d: d.update(folds=["1"]), "folds"),
        (lambda d: d.update(conditions=["clean", "Noise 5"]), "conditions"),
        (lambda d: d.update(epochs_run=3), "epochs_run"),
        (lambda d: d["split"]["train"].update(n=1), "split counts"),
        (lambda d: d["config"].update(seed=3), "seed against config"),
        (lambda d: d.pop("metrics"), "metrics"),
        (lambda d: d.update(id="other"), "'other'"),
        (lambda d: d.update(id="../other"), "cannot name a file"),
        (lambda d: d["metrics"]["clean"]["accuracy"].update(value=0.99), "accuracy under clean"),
        (lambda d: d["metrics"]["clean"].update(tp=485), "tp under clean"),
        (lambda d: d["metrics"]["noise:5"].pop("roc_auc"), "roc_auc under noise:5"),
        (lambda d: d["split"]["test"].update(subjects=["1"]), "subjects"),
        (lambda d: d["split"]["test"].update(n=717, n_all=484), "1436 rows"),
        (lambda d: d["split"]["test"].update(n_all=484, n_hem=234), "484 ALL"),
    ],
)
def test_a_spoilt_record_is_refused(written, change, named):
    edit(written, change)
    assert named in refused(records.load, written)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.assign(p_all=t["p_all"] + 1), "p_all"),
        (lambda t: t.assign(p_all="high"), "p_all"),
        (lambda t: t.assign(p_all=1 - t["p_all"]), "the CSV gives"),
        (lambda t: t.iloc[1:], "rows"),
        (lambda t: pd.concat([t.iloc[[1]], t.iloc[1:]]), "twice"),
        (lambda t: t.assign(condition="clean"), "conditions"),
        (lambda t: t.assign(label=t["label"].where(t.index > 0, 1 - t["label"])), "two labels"),
        (lambda t: t.rename(columns={"p_all": "p"}), "columns"),
    ],
)
def test_spoilt_predictions_are_refused(written, change, named):
    table = written.with_suffix(".csv")
    change(pd.read_csv(table, dtype={"subject": str})).to_csv(table, index=False)
    assert named in refused(records.load, written)


def test_missing_and_broken_files_are_refused(written):
    assert "no such record" in refused(records.load, written.parent / "none.json")
    refused(records.load, written.parent)
    written.with_suffix(".csv").write_bytes(b"")
    refused(records.load, written)
    written.with_suffix(".csv").unlink()
    assert "missing" in refused(records.load, written)
    written.write_text("[1")
    assert "not JSON" in refused(records.load, written)
    written.write_text("[1]")
    assert "not a run record" in refused(records.load, written)


class TestStale:
    @pytest.mark.parametrize(
        ("protocol", "folds"),
        [("paper", (0,)), ("paper", (2,)), ("patient-disjoint", (0, 1)), ("cross-fold", (1, 0))],
    )
    def test_a_fresh_record_is_not(self, protocol, folds):
        assert records.stale(records.Record(*make_run(protocol, folds))) == []

    @pytest.mark.parametrize("where", [{"part": 3}, {"test": "prelim"}])
    def test_nor_one_of_another_part_or_of_the_preliminary_set(self, where):
        record = records.Record(*make_run("patient-disjoint", (0, 1, 2), **where))
        assert records.stale(record) == []
        for name in where:
            del record.data["config"][name]
        assert any("test part" in reason for reason in records.stale(record))

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            (lambda d: d["data"].update(fingerprint="0" * 64), "fingerprint"),
            (lambda d: d["split"]["val"].update(sha256="0" * 64), "val part"),
            (lambda d: d["parameters"].update(total=3_228_864), "3235010"),
            (lambda d: d.update(model="other"), "has None"),
            (lambda d: d.update(folds=[7]), "can no longer be made|other images"),
        ],
    )
    def test_a_changed_one_is(self, run, change, named):
        change(run[0])
        reasons = records.stale(records.Record(*run))
        assert len(reasons) >= 1
        assert any(part in reason for reason in reasons for part in named.split("|"))

    def test_another_seed_is_another_split(self, run):
        run[0]["seed"] = 1
        assert len(records.stale(records.Record(*run))) == 4  # three parts, and the predictions

    def test_a_label_that_is_not_the_published_one(self, run):
        record, predictions = run
        first = predictions["file"] == predictions["file"].iloc[0]
        predictions.loc[first, "label"] = 1 - predictions.loc[first, "label"]
        assert records.stale(records.Record(record, predictions)) == [
            "the predictions are of other test images, subjects or labels"
        ]


def numbers(values):
    """Every number in values or texts, as a sorted list; a shape gives its sides."""
    texts = [value.replace(",", " ") if isinstance(value, str) else str(value) for value in values]
    return sorted(float(n) for text in texts for n in re.findall(r"\d+(?:\.\d+)?", text))


def leaves(data):
    """The values of nested dicts and sequences."""
    if isinstance(data, dict):
        return [leaf for value in data.values() for leaf in leaves(value)]
    if isinstance(data, list | tuple):
        return [leaf for value in data for leaf in leaves(value)]
    return [data]


class TestScorecard:
    def test_without_records_what_needs_no_run_is_reproduced(self):
        card = records.scorecard([])
        assert not card.duplicated(["table", "item"]).any()
        counted = card["table"].isin(["Table 1", "Table 2", "Table 4"])
        counted &= card["item"] != "GPU memory, MB"
        assert set(card[counted]["verdict"]) == {"reproduced"}
        found = card.groupby(["table", "verdict"]).size().to_dict()
        assert found == {
            ("Table 1", "reproduced"): 24,
            ("Table 2", "reproduced"): 6,
            ("Table 3", "reproduced"): 18,
            ("Table 3", "differs"): 8,
            ("Table 4", "reproduced"): 16,
            ("Table 4", "not comparable"): 1,
            ("Table 5", "not run yet"): 7,
            ("Table 6", "not run yet"): 25,
            ("Table 7", "not run yet"): 25,
            ("Table 8", "not run yet"): 25,
            ("Table 9", "not run yet"): 30,
            ("Table 10", "not run yet"): 4,
            ("Table 10", "not comparable"): 4,
            ("Table 11", "not run yet"): 1,
            ("Table 11", "not comparable"): 2,
            ("Text", "reproduced"): 9,
            ("Text", "not run yet"): 3,
            ("Text", "not comparable"): 18,
        }
        assert list(dict.fromkeys(card["table"])) == [
            *(f"Table {number}" for number in range(1, 12)),
            "Text",
        ]

    @pytest.mark.parametrize(
        ("table", "printed"),
        [
            ("Table 1", leaves(paper.TABLE_1)),
            ("Table 2", leaves(paper.TABLE_2)),
            ("Table 3", leaves([paper.TABLE_3, paper.TABLE_3_NOTE])),
            (
                "Table 4",
                [
                    *("×".join(map(str, row["output_shape"])) for row in paper.TABLE_4),
                    *(row["parameters"] for row in paper.TABLE_4),
                    *leaves(paper.TABLE_4_NOTE),
                ],
            ),
            ("Table 6", leaves(paper.TABLE_6)),
            ("Table 7", leaves(paper.TABLE_7)),
            ("Table 8", leaves(paper.TABLE_8)),
            ("Table 9", leaves(paper.TABLE_9)),
            ("Table 10", leaves(paper.TABLE_10)),
            ("Table 11", [row["f1_percent"] for row in paper.TABLE_11]),
            (
                "Text",
                leaves([paper.HEADLINE, paper.DATASET, paper.TRAINING, paper.TIME_PER_IMAGE_MS])
                + leaves([paper.FOLD_0_CORRECT, paper.ALNETT_TEXT]),
            ),
        ],
    )
    def test_every_number_of_a_table_is_there_once(self, table, printed):
        card = records.scorecard([])
        assert numbers(card[card["table"] == table]["paper"]) == numbers(printed)

    def test_every_number_of_table_5_is_there_once(self):
        card = records.scorecard([])
        found = records.as_printed(card[card["table"] == "Table 5"])["Paper"]
        assert numbers(found) == numbers(paper.TABLE_5.values())

    def test_what_was_not_run_says_which_fold_it_needs(self, run):
        card = records.scorecard([records.Record(*with_accuracy(run, 0.95))])
        waiting = card[(card["verdict"] == "not run yet") & (card["table"] != "Table 5")]
        notes = waiting.groupby("table")["note"].unique()
        assert {table: set(found) for table, found in notes.items()} == {
            "Table 6": {"needs fold 0"},
            "Table 7": {"needs fold 1"},  # sigma 2, 8 and 10 were not tested
            "Table 8": {"needs fold 2"},
            "Table 9": {"needs fold 0", "needs fold 1", "needs fold 2"},
            "Table 10": {"needs fold 0", "needs fold 2", "needs folds 0, 2"},
            "Table 11": {"needs folds 0, 2"},
            "Text": {"needs fold 0", "needs folds 0, 2"},
        }

    def test_settings_and_epochs_come_from_the_run(self, run):
        record = records.Record(*with_accuracy(run, 0.95))
        record.data["config"] |= {"epochs": 2, "min_learning_rate": 1e-6}
        card = records.scorecard([record]).set_index(["table", "item"])
        assert card.loc[("Table 5", "epochs")]["verdict"] == "differs"
        assert card.loc[("Table 5", "learning rate, last")]["verdict"] == "reproduced"
        row = card.loc[("Text", "section 4.2, fold 1, epochs run")]
        assert (row["ours"], row["record"], row["verdict"]) == (2, record.name, "not comparable")

    def test_averages_wait_for_all_folds(self):
        runs = []
        for fold, accuracy in enumerate((0.9, 0.95, 1)):
            runs.append(records.Record(*with_accuracy(make_run(folds=(fold,)), accuracy)))
        card = records.scorecard(runs[:2]).set_index(["table", "item"])
        assert card.loc[("Table 10", "average, accuracy, %")]["note"] == "needs fold 2"
        card = records.scorecard(runs).set_index(["table", "item"])
        mean = np.mean([run.metrics()["accuracy"] for run in runs])
        for item in (
            ("Table 10", "average, accuracy, %"),
            ("Text", "abstract, average accuracy, %"),
        ):
            assert card.loc[item]["ours"] == pytest.approx(100 * mean)
        f1 = np.mean([run.metrics()["f1_macro"] for run in runs])
        assert card.loc[("Table 11", "MobileNet_M, F1, %")]["ours"] == pytest.approx(100 * f1)
        metrics = runs[0].metrics()
        right = card.loc[("Text", "section 4.4, fold 0, right of 707")]
        assert right["ours"] == pytest.approx(metrics["tp"] + metrics["tn"])

    def test_the_bare_run_of_table_9_is_found_by_its_settings(self, run):
        bare = records.Record(*with_accuracy(run, 0.7))
        bare.data["experiment"] = "ablation"
        bare.data["config"] |= {"balance": "none", "augment": False, "l1": 0.015, "scaling": "unit"}
        other = records.Record(*with_accuracy(run, 0.8))
        other.data["experiment"] = "ablation"
        other.data["config"] |= bare.data["config"] | {"augment": True}
        card = records.scorecard([other, bare]).set_index(["table", "item"])
        row = card.loc[("Table 9", "fold 1, neither, accuracy")]
        assert row["ours"] == bare.metrics()["accuracy"]
        row = card.loc[("Table 9", "fold 1, balanced and augmented, accuracy")]
        assert row["verdict"] == "not run yet"

    def test_smaller_pictures_stand_in_and_say_so(self, run):
        small = records.Record(*with_accuracy(run, 0.9))
        small.data["config"] |= {"image_size": 112}
        small.data["experiment"] = "small"
        again = records.Record(*with_accuracy(run, 0.9))
        again.data["source"] = {"record": "another"}
        item = "fold 1, sigma 0, accuracy"
        card = records.scorecard([again, small]).set_index("item")
        row = card.loc[item]
        assert (row["record"], row["note"]) == (small.name, "ours is lower, at 112 px")
        assert records.paper_run([again, small], 1) is None
        full = records.Record(*with_accuracy(run, 0.9))
        row = records.scorecard([small, full]).set_index("item").loc[item]
        assert (row["record"], row["note"]) == (full.name, "ours is lower")

    def test_the_paper_s_split_stands_first_whatever_its_score(self, run):
        def seeded(seed, accuracy, **settings):
            record = records.Record(*with_accuracy(copy.deepcopy(run), accuracy))
            record.data["seed"] = seed
            record.data["config"] |= settings
            return record

        ours, better, third = seeded(1337, 0.9), seeded(2, 1), seeded(3, 0.95)
        averaged, small = seeded(1, 1, average=0.99), seeded(1, 1, image_size=112)
        runs = [third, small, better, averaged, ours]
        assert records.paper_runs(runs, 1) == [ours, better, third]
        assert records.paper_run(runs, 1) is ours
        assert records.paper_run(runs[:-1], 1) is better
        assert records.paper_runs(runs, 0) == []

    def test_verdicts_follow_the_predictions(self, run):
        """19 of 20 right in fold 1: the paper's 0.96 lies in the interval."""
        record = records.Record(*with_accuracy(run, 0.95))
        card = records.scorecard([record]).set_index(["table", "item"])
        row = card.loc[("Table 7", "fold 1, sigma 0, accuracy")]
        assert row["ours"] == record.metrics()["accuracy"] == pytest.approx(0.95, abs=1e-3)
        assert (row["low"], row["high"]) == record.intervals()["accuracy"]
        assert row["verdict"] == "within interval"
        assert row["record"] == record.name
        auc = card.loc[("Table 7", "fold 1, sigma 5, balanced accuracy (the paper's AUC)")]
        assert auc["ours"] == record.metrics("noise:5")["balanced_accuracy"]
        tenth = card.loc[("Table 10", "fold 1, accuracy, %")]
        assert tenth["ours"] == pytest.approx(100 * row["ours"])
        assert tenth["verdict"] == "within interval"
        for item in (
            ("Table 7", "fold 1, sigma 2, accuracy"),
            ("Table 10", "average, accuracy, %"),
        ):
            assert card.loc[item]["verdict"] == "not run yet"

    @pytest.mark.parametrize(
        ("accuracy", "verdict", "note"),
        [
            (0.955, "reproduced", ""),
            (0.9, "differs", "ours is lower"),
            (1, "differs", "ours is higher"),
        ],
    )
    def test_verdict_of_accuracy(self, run, accuracy, verdict, note):
        card = records.scorecard([records.Record(*with_accuracy(run, accuracy))])
        row = card[card["item"].eq("fold 1, sigma 0, accuracy")].iloc[0]
        assert (row["verdict"], row["note"]) == (verdict, note)

    def test_the_run_of_a_fold_is_not_chosen_by_its_score(self, run):
        others = []
        for seed, experiment, protocol, image_size in (
            (2, "mobilenet_m", "paper", 224),
            (1337, "mobilenet_m", "paper", 224),
            (1, "mobilenet_m", "paper", 224),
            (1337, "ablation", "paper", 224),
            (1337, "mobilenet_m", "cross-fold", 224),
            (1337, "mobilenet_m", "paper", 64),
        ):
            record = copy.deepcopy(run[0])
            record |= {"seed": seed, "experiment": experiment, "protocol": protocol}
            record["config"]["image_size"] = image_size
            record["id"] = f"{experiment}-{protocol}-{seed}-{image_size}"
            others.append(records.Record(record, run[1]))
        card = records.scorecard(others)
        assert set(card["record"]) == {"", "mobilenet_m/mobilenet_m-paper-1337-224"}
        card = records.scorecard([other for other in others if other.data["seed"] != 1337])
        assert set(card["record"]) == {"", "mobilenet_m/mobilenet_m-paper-1-224"}

    def test_as_printed_keeps_the_papers_digits(self, run):
        text = records.as_printed(records.scorecard([records.Record(*with_accuracy(run, 0.95))]))
        text = text.set_index(["Table", "Item"])
        row = text.loc[("Table 6", "fold 0, sigma 5, balanced accuracy (the paper's AUC)")]
        assert row.tolist() == ["0.950", "", "", "not run yet: needs fold 0", ""]
        row = text.loc[("Table 7", "fold 1, sigma 0, accuracy")]
        assert row["Paper"] == "0.96"
        assert row["Ours"] == "0.950"
        assert row["95 % interval"].split(" to ")[0] < "0.950" < row["95 % interval"].split()[-1]
        assert text.loc[("Table 4", "parameters, total")]["Ours"] == "3,235,010"
        row = text.loc[("Table 3", "row 21: type, filter, input")]
        assert row["Paper"] == "FC/s1, 11024×1000, 1×1×1024"
        assert row["Ours"] == "FC/s1, 1024×1000, 1×1×1024"
        assert row["Verdict"] == "differs: a misprint"


def test_every_erratum_stands_beside_its_tables():
    tables = [f"Table {number}" for number in range(1, 12)] + ["Text"]
    found = {table: [erratum["where"] for erratum in records.errata(table)] for table in tables}
    assert {where for wheres in found.values() for where in wheres} == {
        erratum["where"] for erratum in paper.ERRATA
    }
    assert "Tables 7 and 8, sigma 0" in found["Table 8"]
    assert "Tables 7 and 8, sigma 0" not in found["Table 6"]
    assert {"Tables 6-8", "Tables 6-8 and Fig. 4"} <= set(found["Table 7"])
    assert "Abstract and Table 10" in found["Table 10"]
    assert "Abstract and Table 10" not in found["Text"]
    assert "Sections 4.1 and 4.3" in found["Text"]


def with_accuracy(run, accuracy):
    """The run with this share of its images right, the same in each class and condition."""
    record, predictions = copy.deepcopy(run[0]), run[1].copy()
    record["config"]["image_size"] = 224
    place = predictions.groupby(["condition", "label"]).cumcount()
    size = predictions.groupby(["condition", "label"])["file"].transform("size")
    right = place < (accuracy * size).round()
    predictions["p_all"] = np.where(right == predictions["label"], 0.9, 0.1)
    return record, predictions


def test_parameter_counts_are_those_of_the_models():
    from allm_utils.network import models
    from allm_utils.runs import experiment

    for (name, alpha), counts in records.PARAMETERS.items():
        if name.startswith("probe_"):  # no network of ours: see test_probe
            continue
        width = {"alpha": alpha} if name == "mobilenet_m" else {}
        found = models.parameters(experiment.MODELS[name](weights=None, **width))
        assert counts == {key: found[key] for key in counts}


def test_mobilenet_of_table_3_is_that_of_keras():
    import keras

    model = keras.applications.MobileNet(weights=None)
    rows, total, moving = records._mobilenet()
    assert total == model.count_params()
    assert moving == sum(int(np.prod(v.shape)) for v in model.non_trainable_weights)
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            kind, (height, width, channels, _) = "Conv dw", layer.kernel.shape
            kernel = f"{height}×{width}×{channels} dw"
        elif isinstance(layer, keras.layers.Conv2D) and layer.name != "conv_preds":
            kind, kernel = "Conv", "×".join(map(str, layer.kernel.shape))
        else:
            continue
        side = 224 if layer.name == "conv1" else _input_side(layer)
        size = f"{side}×{side}×{layer.kernel.shape[2]}"
        found.append((f"{kind}/s{layer.strides[0]}", kernel, size))
    assert rows[:19] == [*found[:15], *found[23:]]


def _input_side(layer):
    """Side of a layer's input, without the row that Keras pads before a stride."""
    side = layer.input.shape[1]
    return side - 1 if layer.strides[0] == 2 else side


@pytest.mark.real
def test_fingerprints_are_those_of_the_manifest(shared):
    fold_of = {}
    with gzip.open(shared / "cnmc" / "manifest.tsv.gz", "rt") as lines:
        for line in lines:
            digest, _, path = line.rstrip("\n").split("\t")
            if "/training_data/fold_" in path:
                fold_of.setdefault(int(path.split("/fold_")[1][0]), []).append(digest)
            elif "_prelim_phase" in path:
                fold_of.setdefault("prelim", []).append(digest)
    for folds, expected in records.FINGERPRINTS.items():
        digests = sorted(digest for fold in folds for digest in fold_of[fold])
        assert hashlib.sha256("\n".join(digests).encode()).hexdigest() == expected


class TestJoined:
    def test_the_parts_of_each_classifier_meet_by_image(self):
        parts = [records.Record(*make_run("patient-disjoint", (0, 1), part=k)) for k in range(5)]
        table = records.joined({"network": (parts, "noise:5"), "probe": (parts[::-1], "clean")})
        assert list(table) == ["file", "subject", "label", "network", "probe"]
        assert len(table) == sum(part.data["split"]["test"]["n"] for part in parts) == 7108
        row = parts[2].rows("clean").iloc[5]
        assert table.set_index("file").loc[row["file"], "probe"] == row["p_all"]
        expected = cnmc.shipped_index().query("fold < 2")["label"].mean()
        assert records.share_of_all(parts) == pytest.approx(expected, abs=0.02)

    def test_other_images_are_refused(self):
        one, two = (records.Record(*make_run("paper", (fold,))) for fold in (0, 1))
        with pytest.raises(records.RecordError, match="network, probe: tested on different images"):
            records.joined({"network": ([one], "clean"), "probe": ([two], "clean")})
        with pytest.raises(records.RecordError, match="network: an image is tested twice"):
            records.joined({"network": ([one, one], "clean")})
