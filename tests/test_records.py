"""Records: written whole, read with every check, compared with today's code, found and joined."""

import copy
import gzip
import json
import math
import threading

import pandas as pd
import pytest

from allm_utils.data import cnmc, people, splits
from allm_utils.errors import AllmError, RecordError
from allm_utils.judge import metrics
from allm_utils.runs import records, store
from allm_utils.runs.records import Record, Runs, aligned


@pytest.fixture(scope="session")
def made(runs):
    """A record that ships, under two of its conditions, as `store.write` takes it."""
    record = runs.where(experiment="table5", fold=1, seed=1337).one()
    data = copy.deepcopy(record.data) | {"experiment": "e", "conditions": ["clean", "noise:5"]}
    del data["schema"], data["answers"]
    data["history"]["val_loss"] = [math.nan, *data["history"]["val_loss"][1:]]
    return data, record.answers[record.answers["condition"].isin(data["conditions"])]


@pytest.fixture
def run(made):
    return copy.deepcopy(made[0]), made[1].copy()


@pytest.fixture
def written(run, tmp_path):
    return store.write(tmp_path / "e", *run)


def refused(function, *arguments, **named):
    with pytest.raises(RecordError) as error:
        function(*arguments, **named)
    return str(error.value)


def edit(path, change):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


# -- write and read ---------------------------------------------------------------------------


def test_what_is_written_is_read(run, written):
    record, answers = run
    found = records.load(written)
    assert found.name == f"e/{record['id']}"
    assert {key: found.data[key] for key in record if key != "history"} == {
        key: value for key, value in record.items() if key != "history"
    }
    losses = record["history"]["val_loss"]
    assert found.data["history"]["val_loss"] == [None, *losses[1:]]
    pd.testing.assert_frame_equal(found.answers, answers.reset_index(drop=True))
    (process,) = record["processes"]
    assert found.seconds == process["seconds"] and found.last == process
    names = {path.name for path in written.parent.iterdir()}
    assert names == {f"{record['id']}.csv", f"{record['id']}.json"}
    table = written.with_suffix(".csv")
    written.with_suffix(".csv.gz").write_bytes(gzip.compress(table.read_bytes()))
    table.unlink()
    pd.testing.assert_frame_equal(records.load(written).answers, found.answers)
    written.with_suffix(".csv.gz").write_bytes(b"no gzip")
    refused(records.load, written)


def test_metrics_and_intervals_come_from_the_answers(written):
    record = records.load(written)
    rows = record.answers[record.answers["condition"] == "noise:5"]
    assert record.metrics("noise:5") == metrics.metrics(rows["label"], rows["p_all"])
    called = (rows["p_all"] >= 0.5) == (rows["label"] == 1)
    assert record.right("noise:5").sum() == called.sum()
    groups = people.person(rows["subject"])
    expected = metrics.intervals(rows["label"], rows["p_all"], groups.to_numpy())
    found = record.intervals("noise:5", by="person")
    assert found["specificity"] == pytest.approx(expected["specificity"])
    assert found["specificity"] != record.intervals("noise:5")["specificity"]
    assert "noise:5" in refused(record.metrics, "blur:3")


def test_a_record_is_never_overwritten(run, written):
    before = written.read_bytes()
    assert "not overwritten" in refused(store.write, written.parent, run[0], run[1])
    assert written.read_bytes() == before


def test_of_two_writers_one_wins_whole(run, tmp_path):
    outcomes = []

    def attempt(p_all):
        try:
            outcomes.append(store.write(tmp_path / "e", run[0], run[1].assign(p_all=p_all)))
        except RecordError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=attempt, args=(p,)) for p in (0.1, 0.9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(isinstance(outcome, RecordError) for outcome in outcomes) == [False, True]
    records.load(tmp_path / "e" / f"{run[0]['id']}.json")


@pytest.mark.parametrize("failing", ["csv", "json"])
def test_a_full_disk_leaves_nothing(run, tmp_path, monkeypatch, failing):
    write = store.write_whole

    def full(path, content):
        if path.suffix == f".{failing}":
            raise AllmError("No space left on device")
        write(path, content)

    monkeypatch.setattr(store, "write_whole", full)
    with pytest.raises(AllmError, match="No space left"):
        store.write(tmp_path / "e", *run)
    assert list((tmp_path / "e").iterdir()) == []


def test_the_half_of_a_killed_writer_is_named_and_replaced_by_resume(written):
    written.unlink()
    free = written.parent, written.stem, "cnmc-2019"
    assert "--resume" in refused(store.check_free, *free)
    store.check_free(*free, resume=True)
    assert not written.with_suffix(".csv").exists()


@pytest.mark.parametrize("kind", ["cnmc-2019-sample", "other"])
def test_other_data_do_not_enter_the_results(run, tmp_path, kind):
    run[0]["data"]["kind"] = kind
    assert kind in refused(store.write, tmp_path / "results" / "e", *run)
    assert not (tmp_path / "results").exists()
    records.load(store.write(tmp_path / "mine" / "e", *run))
    assert kind in refused(Runs.load, tmp_path / "mine")


# -- malformed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d.update(schema=1), "schema 1"),
        (lambda d: d.pop("schema"), "not a run record"),
        (lambda d: d.update(metrics={}), "metrics"),
        (lambda d: d["split"]["val"].pop("sha256"), "split.val"),
        (lambda d: d["processes"][0].update(seconds="long"), "seconds"),
        (lambda d: d.update(protocol="official"), "protocol"),
        (lambda d: d.update(conditions=["clean", "Noise 5"]), "conditions"),
        (lambda d: d.update(epochs_run=3), "epochs_run"),
        (lambda d: d.update(resumed=True), "resumed"),
        (lambda d: d["split"]["train"].update(n=1), "split counts"),
        (lambda d: d["config"].update(seed=3), "seed against config"),
        (lambda d: d.update(id="other"), "e/other"),
        (lambda d: d.update(id="../other"), "id"),
        (lambda d: d["split"]["test"].update(subjects=["1"]), "subjects"),
        (lambda d: d["split"]["test"].update(n=717, n_all=484), "1436 rows"),
        (lambda d: d["split"]["test"].update(n_all=484, n_hem=234), "484 ALL"),
        (lambda d: d.update(answers="0" * 64), "changed after the run"),
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
        (lambda t: t.assign(p_all=1 - t["p_all"]), "changed after the run"),
        (lambda t: t.iloc[1:], "rows"),
        (lambda t: pd.concat([t.iloc[[1]], t.iloc[1:]]), "twice"),
        (lambda t: t.assign(condition="clean"), "conditions"),
        (lambda t: t.assign(label=t["label"].where(t.index > 0, 1 - t["label"])), "two labels"),
        (lambda t: t.rename(columns={"p_all": "p"}), "columns"),
        (lambda t: t.iloc[::-1], "another order"),
    ],
)
def test_spoilt_answers_are_refused(written, change, named):
    table = written.with_suffix(".csv")
    change(pd.read_csv(table, dtype={"subject": str})).to_csv(table, index=False)
    assert named in refused(records.load, written)


def test_missing_and_broken_files_are_refused(written):
    assert "no such record" in refused(records.load, written.parent / "none.json")
    refused(records.load, written.parent)
    table = written.with_suffix(".csv")
    for content in (b"", b"\xff\xfe\x00", b"file\n1,2\n"):
        table.write_bytes(content)
        refused(records.load, written)
    table.unlink()
    assert "missing" in refused(records.load, written)
    for text in ("[1", "NaN", "[" * 100_000, ""):
        written.write_text(text)
        assert "not JSON" in refused(records.load, written)
    written.write_text("[1]")
    assert "not a run record" in refused(records.load, written)


# -- stale ------------------------------------------------------------------------------------


def test_a_record_on_the_preliminary_set_stands(run):
    """As those that ship do, of every other protocol."""
    frame = pd.concat([cnmc.shipped_index(), cnmc.shipped_prelim()], ignore_index=True)
    where = "patient-disjoint", (0, 1, 2)
    split = splits.protocol_split(frame, *where, test="prelim")
    data = {**run[0], **dict(zip(("protocol", "folds"), where, strict=True))}
    data["config"] |= {"test": "prelim"}
    data["data"]["fingerprint"] = cnmc.FINGERPRINTS["0+1+2+prelim"]
    data["split"] = {name: splits.part_of(frame[split == name]) for name in splits.PARTS}
    tested = frame[split == "test"]
    answers = tested.assign(file=cnmc.file_names(tested), condition="clean", p_all=0.5)
    assert Record(data, answers).stale() == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d["data"].update(fingerprint="0" * 64), "fingerprint"),
        (lambda d: d["split"]["val"].update(sha256="0" * 64), "val part"),
        (lambda d: d["parameters"].update(total=3_228_864), "3235010"),
        (lambda d: d.update(model="other"), "has None"),
        (lambda d: d.update(folds=[7]), "fingerprint"),
        (lambda d: d["config"].update(split_seed=1), "other test images"),
        (lambda d: d["config"].update(round=9), "no longer be made"),
    ],
)
def test_a_record_that_disagrees_with_the_code_is_stale(run, change, named):
    change(run[0])
    assert any(named in reason for reason in Record(*run).stale())


def test_stale_records_are_refused_by_name(run, tmp_path):
    first = run[1]["file"] == run[1]["file"].iloc[0]
    run[1].loc[first, "subject"] = "H14" if run[1]["subject"].iloc[0] == "H10" else "H10"
    path = store.write(tmp_path / "e", *run)
    assert str(path) in (said := refused(Runs.load, tmp_path)) and "stale" in said


# -- found and joined -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rounds(runs):
    return runs.where(experiment="same-recipe", protocol="patient-disjoint")


@pytest.fixture(scope="module")
def seeds(runs):
    return runs.where(experiment="table5", fold=1)


def test_runs_are_found_by_their_settings(runs, rounds, seeds):
    assert len(rounds) == 5 and rounds.where(round=2).one().settings["round"] == 2
    assert {r.data["seed"] for r in seeds} == {r.data["seed"] for r in seeds.where(alpha=1.0)}
    assert len(runs.where(experiment="same-recipe", folds=(0, 1), protocol="paper")) == 1
    assert len(runs.where(seed=0)) == 0
    assert "sede" in refused(runs.where, sede=1)
    assert f"{len(seeds)} records" in refused(seeds.one)
    assert "0 records" in refused(runs.where(fold=7).one)


def test_rounds_pool_to_every_cell_once(rounds, seeds):
    table = rounds.pooled("grey")
    assert list(table) == ["file", "subject", "person", "label", "p_all"]
    assert len(table) == 7108 and table["file"].is_monotonic_increasing
    assert table["person"].nunique() == 35
    assert rounds.metrics("grey") == metrics.metrics(table["label"], table["p_all"])
    train = [record.data["split"]["train"] for record in rounds]
    assert rounds.share_of_all() == sum(t["n_all"] for t in train) / sum(t["n"] for t in train)
    assert "tested twice" in refused(seeds.pooled)
    refused(Runs([]).pooled)


def test_answers_of_one_test_stand_side_by_side(rounds, seeds):
    shuffled = rounds.pooled().sample(frac=1, random_state=0)
    table = aligned(rounds, shuffled.assign(p_all=1 - shuffled["p_all"]))
    assert list(table) == ["file", "subject", "person", "label", "p_a", "p_b"]
    assert (table["p_a"] + table["p_b"]).to_numpy() == pytest.approx(1)
    assert list(aligned(*[rounds] * 3))[-1] == "p_c"
    assert "different images" in refused(aligned, *seeds)


def test_a_table_has_a_row_for_each_run_and_says_what_differs(runs, seeds):
    table = seeds.table("accuracy", "roc_auc", condition="noise:5")
    assert table.index.names == ["seed"] and list(table) == ["accuracy", "ROC-AUC"]
    found = seeds.where(seed=2).one().metrics("noise:5")
    assert table.loc[2].tolist() == [found["accuracy"], found["roc_auc"]]
    every = Runs([*seeds, *runs.where(experiment="same-recipe")]).table("balanced_accuracy")
    assert every.index.names == ["experiment", "fold", "round", "seed"]
    assert set(every.index.get_level_values("fold")) == {"0+1", "1"}


def test_changed_names_what_one_run_did_otherwise(seeds):
    first, second, *_ = seeds
    assert records.changed(second, first) == {}
    other = copy.deepcopy(second)
    other.data["config"].update(alpha=0.5, sigmas=[1])
    assert records.changed(other, first) == {"alpha": (1.0, 0.5), "sigmas": ([3, 9], [1])}


def test_the_outside_table_is_checked_against_its_record(tmp_path):
    (tmp_path / "outside").mkdir()
    for name in ("outside.json", "outside.csv.gz"):
        source = records.RESULTS / "outside" / name
        (tmp_path / "outside" / name).write_bytes(source.read_bytes())
    found = records.outside(tmp_path)
    assert found.groupby("set")["person"].nunique().to_dict() == {"fold 2": 14, "prelim": 21}
    asked = records.by_rounds(found, "full-draw")
    assert asked["round"].value_counts().to_dict() == dict.fromkeys(range(5), len(found))
    assert asked.loc[3, "p_all"].tolist() == [found.loc[3, f"full-draw-round{n}"] for n in range(5)]
    table = tmp_path / "outside" / "outside.csv.gz"
    text = gzip.decompress(table.read_bytes()).replace(b"0.9", b"0.8", 1)
    table.write_bytes(gzip.compress(text))
    refused(records.outside, tmp_path)
