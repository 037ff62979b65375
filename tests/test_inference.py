"""A saved model on image files, in batches, fed as its card says."""

import json
import os
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from allm_utils import cli
from allm_utils.data import images, sample
from allm_utils.errors import ConfigError, DataError, ImageError, ModelError
from allm_utils.files import sha256
from allm_utils.judge import together
from allm_utils.judge.predict import predict
from allm_utils.network import models, saving, training
from allm_utils.runs import experiment, probe, records
from allm_utils.runs.config import ExperimentConfig, ProbeConfig
from allm_utils.ship import inference


@pytest.fixture(scope="module")
def saved(stand_in, tmp_path_factory):
    """A small network that takes 32 pixels from a crop of 40."""
    model = models.build("small", {"image_size": 32, "seed": 1})
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    return saving.save(model, path, {"crop": 40})


@pytest.fixture
def cells(tmp_path):
    """Seven images of 50 x 48 pixels, of four formats, two of them in a folder below."""
    rng = np.random.default_rng(0)
    (tmp_path / "cells" / "more").mkdir(parents=True)
    for i, suffix in enumerate(("bmp", "BMP", "png", "jpg", "webp", "bmp", "jpeg")):
        place = tmp_path / "cells" / ("more" if i > 4 else ".") / f"{i}.{suffix}"
        Image.fromarray(rng.integers(0, 256, (50, 48, 3)).astype(np.uint8)).save(place)
    (tmp_path / "cells" / "notes.md").write_text("not an image")
    return tmp_path / "cells"


@pytest.mark.parametrize("batch_size", [2, 64])
def test_predicts_what_the_card_says(saved, cells, batch_size):
    found, refused = inference.predict_images(saved, cells, batch_size, progress=False)
    assert found.columns.tolist() == ["file", "p_all", "label", "note"] and refused.empty
    names = ["0.bmp", "1.BMP", "2.png", "3.jpg", "4.webp", "more/5.bmp", "more/6.jpeg"]
    assert found["file"].tolist() == [str(cells / name) for name in names]
    pictures = np.stack([images.prepare(path, 32, 40) for path in found["file"]])
    model, _ = saving.load(saved)
    assert found["p_all"].dtype == np.float32
    np.testing.assert_allclose(found["p_all"], predict(model, pictures), atol=1e-5)
    assert found["label"].tolist() == ["ALL" if p >= 0.5 else "HEM" for p in found["p_all"]]


@pytest.fixture(scope="module")
def panel(stand_in, tree, work, tmp_path_factory):
    """A network; beside it one of another size, and two probes of one split. All know little."""
    place = tmp_path_factory.mktemp("panel")
    where = {"data": tree, "folds": (0, 1), "protocol": "patient-disjoint", "work": work}
    own = {"out": place / "records", "experiment": "mobilenet_m"}
    train = training.TrainingConfig(epochs=4, batch_size=32, learning_rate=0.01)
    for name, size, seed in (("net", 32, 1), ("net-other", 48, 2)):
        how = {"image_size": size, "weights": None, "model": "small", "conditions": ["clean"]}
        how |= {"training": replace(train, seed=seed), "split_seed": 1}
        how |= {"model_file": place / f"{name}.safetensors"}
        experiment.run(ExperimentConfig(**where, **own, **how), progress=False)
    for name, size, number in (("area", 64, 0), ("wide", 96, 0), ("stranger", 64, 1)):
        how = {"image_size": size, "model": "area", "round": number, "experiment": name}
        path = place / f"net-{name}.safetensors"
        how |= {"out": place / "records", "model_file": path}
        probe.run(ProbeConfig(**where, **how), progress=False)
    return place / "net.safetensors"


BESIDE = ("wide", "other", "area")


def test_judges_beside_a_model_are_asked_each_in_its_own_way(panel, tree, work, tmp_path, capsys):
    frame = sample.index(work).iloc[::60]
    answers, voices = [], []
    for name in ("", *(f"-{name}" for name in BESIDE)):
        model, card = inference.load(panel.with_name(f"net{name}.safetensors"))
        pictures = images.load(frame, card["image_size"], 300, work / "images", progress=False)
        answers.append(predict(model, pictures))
        voices.append(card)
    cells = tmp_path / "cells.zip"
    with zipfile.ZipFile(cells, "w") as archive:
        for path in frame["path"]:
            archive.write(path, os.path.basename(path))
    asked = ["predict", str(panel), str(cells), "--json", "--with"]
    assert cli.main([*asked, *BESIDE]) == 0
    found = {os.path.basename(r["file"]): r["p_all"] for r in json.loads(capsys.readouterr().out)}
    expected = together.together(answers, voices)
    assert np.ptp(expected) > 0.5 and len({card["image_size"] for card in voices}) == 4
    named = [found[os.path.basename(path)] for path in frame["path"]]
    np.testing.assert_allclose(named, expected, atol=1e-4)
    assert cli.main([*asked, "nobody"]) == 2
    assert "net-nobody.safetensors: no such model; check the path" in capsys.readouterr().err
    for beside in (["area", "area"], ["area", "more/cells.zip"], ["area", "."]):
        assert cli.main([*asked, *beside]) == 2
        assert "name each judge once, after the images" in capsys.readouterr().err
    assert cli.main(asked) == 2
    assert "--with" in capsys.readouterr().err


def test_the_voice_of_a_network_is_measured_on_its_validation_part(panel, work):
    record = records.load(next(panel.parent.glob("records/mobilenet_m/*-seed1.json")))
    network, card = saving.load(panel)
    frame, split = experiment.select_again(record, None, work)
    pictures = images.load(frame[split == "val"], 32, 300, work / "images", progress=False)
    part = record.data["split"]["train"]
    expected = together.voice(predict(network, pictures), part["n_all"] / part["n"])
    assert {name: card[name] for name in expected} == pytest.approx(expected, rel=1e-3)


def test_a_panel_is_recorded_where_no_judge_has_met_the_people(panel, work, tmp_path, capsys):
    source = next(panel.parent.glob("records/mobilenet_m/*-seed1.json"))
    asked = ["retest", str(panel), str(source), "--out", str(tmp_path), "--work", str(work)]
    assert cli.main([*asked, "--with", *BESIDE]) == 0
    record = records.load(next(tmp_path.glob("together/*.json")))
    assert record.data["conditions"] == ["clean", "together"]
    digests = {name: sha256(panel.with_name(f"net-{name}.safetensors")) for name in BESIDE}
    assert record.data["judges"] == digests and record.stale() == []
    rows = record.rows("together").iloc[:20]
    where = {os.path.basename(path): path for path in sample.index(work)["path"]}
    found, _ = inference.predict_images(panel, rows["file"].map(where), 7, False, BESIDE)
    np.testing.assert_allclose(found["p_all"], rows["p_all"], atol=1e-4)
    capsys.readouterr()
    assert cli.main([*asked, "--with", "stranger"]) == 2
    assert "stranger beside it has another test part" in capsys.readouterr().err
    assert cli.main([*asked, "--with", "area", "--formats"]) == 2
    assert "give one of them" in capsys.readouterr().err
    others = next(panel.parent.glob("records/mobilenet_m/*-seed2-split1.json"))
    assert cli.main([*asked[:2], str(others), "--with", "area"]) == 2
    assert "not the model of record" in capsys.readouterr().err


def test_a_judge_without_a_voice_is_not_asked(saved, panel, cells, capsys):
    assert cli.main(["predict", str(saved), str(cells), "--with", "area"]) == 2
    assert "no such model" in capsys.readouterr().err
    for suffix in (".safetensors", ".json"):
        source = panel.with_name(f"net-area{suffix}")
        shutil.copy(source, saved.with_name(f"small-area{suffix}"))
    assert cli.main(["predict", str(saved), str(cells), "--with", "area"]) == 2
    assert "small.safetensors: its card does not say how it counts" in capsys.readouterr().err


def test_one_bad_picture_costs_one_row(saved, cells):
    (cells / "0.bmp").write_bytes((cells / "0.bmp").read_bytes()[:3000])
    (cells / "4.webp").write_bytes(b"")
    asked = [cells, cells / "none.png", cells / "notes.md"]
    found, refused = inference.predict_images(saved, asked, 2, progress=False)
    assert [os.path.basename(path) for path in found["file"]] == [
        "1.BMP", "2.png", "3.jpg", "5.bmp", "6.jpeg",
    ]  # fmt: skip
    assert [os.path.basename(path) for path in refused["file"]] == [
        "0.bmp", "4.webp", "none.png", "notes.md",
    ]  # fmt: skip
    for (_, file, reason), why in zip(
        refused.itertuples(), ("decoded", "empty", "no such", "not a BMP"), strict=True
    ):
        assert reason.startswith(f"{file}: ") and why in reason and "\n" not in reason
    found, refused = inference.predict_images(saved, cells / "none.png", progress=False)
    assert found.empty and len(refused) == 1


def test_a_picture_that_is_no_cell_on_black_is_noted(saved, tmp_path):
    """A whole smear has at most 2.5 % black pixels, a cell of C-NMC at least 44 %."""
    smear = np.random.default_rng(0).integers(90, 250, (50, 50, 3)).astype(np.uint8)
    cell = smear.copy()
    cell[:25] = 0
    for name, picture in (("smear", smear), ("cell", cell)):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    found, _ = inference.predict_images(saved, tmp_path, progress=False)
    notes = {
        os.path.basename(file): note
        for file, note in zip(found["file"], found["note"], strict=True)
    }
    assert notes["cell.png"] == "" and notes["smear.png"].startswith("0% of it is black")


def test_folders_are_listed_without_what_nobody_put_there(cells):
    for hidden in (".ipynb_checkpoints/0-checkpoint.png", "__MACOSX/a.png", "more/._5.bmp"):
        (cells / hidden).parent.mkdir(exist_ok=True)
        (cells / hidden).write_bytes(b"no picture")
    (cells / "folder.png").mkdir()
    os.mkfifo(cells / "pipe.png")
    (cells / "linked").symlink_to(cells)  # a loop
    (cells / "more" / "7.png").symlink_to(cells / "2.png")
    (cells / "more" / "8.png").symlink_to(cells / "nowhere.png")
    found = inference.listed([cells / "2.png", cells])
    names = [path.relative_to(cells).as_posix() for path in found]
    below = ["0.bmp", "1.BMP", "2.png", "3.jpg", "4.webp"]
    assert names == ["2.png", *below, *(f"more/{n}" for n in ("5.bmp", "6.jpeg", "7.png", "8.png"))]
    with pytest.raises(ImageError, match="no image in this folder"):
        inference.listed(cells / "folder.png")


def test_the_next_batch_is_read_ahead_and_no_more(saved, cells, monkeypatch):
    asked, seen = [], []
    prepare = images.prepare
    monkeypatch.setattr(images, "prepare", lambda *args: asked.append(args) or prepare(*args))

    def watched(model, pictures, **options):
        seen.append((len(pictures), len(asked)))
        return predict(model, pictures, **options)

    monkeypatch.setattr(inference, "predict", watched)
    found, _ = inference.predict_images(saved, [cells / "0.bmp"] * 20, 4, progress=False)
    assert len(found) == 20
    batches = [(n, read) for n, read in seen if n]
    assert [n for n, _ in batches] == [4] * 5
    assert all(read <= 4 * (i + 2) for i, (_, read) in enumerate(batches))


@pytest.fixture
def packed(cells, tmp_path):
    """The images in a zip and two tar archives, with what macOS leaves there, and in a list."""
    (cells / "__MACOSX").mkdir()
    (cells / "__MACOSX" / "0.png").write_bytes(b"no picture")
    for kind in ("zip", "tar", "gztar"):
        shutil.make_archive(str(tmp_path / "cells"), kind, cells)
    shutil.rmtree(cells / "__MACOSX")
    names = sorted(path.relative_to(tmp_path) for path in inference.listed(cells))
    (tmp_path / "cells.txt").write_text("\n\n".join(map(str, names)) + "\n")
    return tmp_path


def test_archives_and_lists_are_answered_as_their_folder(saved, cells, packed):
    def by_name(asked):
        found, refused = inference.predict_images(saved, asked, 3, progress=False)
        assert refused.empty
        return found.assign(file=found["file"].map(os.path.basename)).sort_values(
            "file", ignore_index=True
        )

    expected = by_name(cells)
    for name in ("cells.zip", "cells.tar", "cells.tar.gz", "cells.txt"):
        pd.testing.assert_frame_equal(by_name(packed / name), expected, atol=1e-5)


def test_a_broken_archive_costs_one_line_and_no_answer(saved, cells, packed, monkeypatch):
    whole = (packed / "cells.tar.gz").read_bytes()
    (packed / "cells.tar.gz").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setattr(inference, "LARGEST", (cells / "2.png").stat().st_size - 1)
    asked = [packed / "cells.tar.gz", packed / "cells.zip", cells / "0.bmp"]
    found, refused = inference.predict_images(saved, asked, 3, progress=False)
    assert "broken archive" in refused["reason"][0] and found["file"].iloc[-1].endswith("0.bmp")
    large = refused[refused["reason"].str.contains("larger than")]
    assert "2.png" in "".join(large["file"]) and len(found) + len(refused) >= 8


KINDS = ["csv", pytest.param("parquet", marks=pytest.mark.needs("pyarrow"))]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_on_disk_are_gone_on_with_after_a_kill(saved, cells, monkeypatch, tmp_path, kind):
    monkeypatch.setattr(inference, "PART", 2)
    (cells / "3.jpg").write_bytes(b"")
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet}[kind]
    whole, half = (tmp_path / f"{name}.{kind}" for name in ("whole", "half"))
    (refusal,) = inference.write(saved, cells, whole, batch_size=1, progress=False)
    assert "3.jpg: empty" in refusal
    table = read(whole).fillna({"label": "", "note": ""})
    assert len(table) == 7 and table.loc[table["label"] == "", "note"].tolist() == [refusal]
    expected, _ = inference.predict_images(saved, cells, progress=False)
    answered = table[table["label"] != ""]
    assert answered["file"].tolist() == expected["file"].tolist()
    np.testing.assert_allclose(answered["p_all"], expected["p_all"], atol=1e-5)

    asked = images.prepare

    def killed(path, *size):
        if "4.webp" in str(path):
            raise KeyboardInterrupt
        return asked(path, *size)

    with monkeypatch.context() as patch:
        patch.setattr(images, "prepare", killed)
        with pytest.raises(KeyboardInterrupt):
            list(inference.write(saved, cells, half, batch_size=1, progress=False))
    done = len(read(half))
    assert 0 < done < 7
    if kind == "csv":
        with open(half, "ab") as file:
            file.write(b'"half a li')
    with pytest.raises(DataError, match="--resume"):
        list(inference.write(saved, cells, half, batch_size=1, progress=False))
    with pytest.raises(DataError, match="begin anew"):
        list(inference.write(saved, [cells / "1.BMP"] * 9, half, resume=True, progress=False))
    again = []
    monkeypatch.setattr(images, "prepare", lambda *args: again.append(args) or asked(*args))
    list(inference.write(saved, cells, half, batch_size=1, resume=True, progress=False))
    pd.testing.assert_frame_equal(read(half), read(whole))
    assert len(again) == 7 - done


@pytest.mark.needs("ray")
@pytest.mark.needs("pyarrow")
def test_ray_data_asks_a_model_on_every_worker(cells, tmp_path, monkeypatch):
    import ray

    monkeypatch.setenv("RAY_worker_niceness", "0")
    model = models.alnett_style(image_size=32, seed=1)
    saved = saving.save(model, tmp_path / "alnett.safetensors", {"crop": 40})
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        files = ray.data.from_items([{"file": str(path)} for path in inference.listed(cells)])
        how = {"batch_format": "pandas", "batch_size": 3, "concurrency": 1}
        table = files.map_batches(inference.Asker, fn_constructor_args=[saved], **how).to_pandas()
    finally:
        ray.shutdown()
    expected, _ = inference.predict_images(saved, cells, progress=False)
    table = table.sort_values("file", ignore_index=True)
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, atol=1e-5)


@pytest.mark.parametrize("suffix", ["safetensors", "tflite", "onnx"])
def test_a_model_that_cannot_be_fed_is_refused(saved, tmp_path, suffix):
    path = tmp_path / f"m.{suffix}"
    with pytest.raises(ModelError, match="no such model"):
        inference.load(path)
    path.write_bytes(saved.read_bytes() if suffix == "safetensors" else b"not a network")
    with pytest.raises(ModelError, match="card"):
        inference.load(path)
    card = json.loads(saving.card_path(saved).read_text())
    saving.card_path(path).write_text(json.dumps(card | {"image_size": 64}))
    why = "its card says 64 pixels" if suffix == "safetensors" else "not those of its card"
    with pytest.raises(ModelError, match=why):
        inference.load(path)


def test_a_batch_of_no_pictures_is_refused_before_any_is_read(saved, cells):
    with pytest.raises(ConfigError, match="batch size 0"):
        inference.predict_images(saved, cells, 0, progress=False)


def test_an_exported_network_of_other_pixels_is_refused(saved, tmp_path):
    from onnx import TensorProto, helper, save

    path, shape = tmp_path / "m.onnx", [None, 32, 32, 3]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    versions = {"ir_version": 10, "opset_imports": [helper.make_opsetid("", 17)]}
    save(helper.make_model(graph, **versions), path)
    card = json.loads(saving.card_path(saved).read_text()) | {"file_sha256": sha256(path)}
    saving.card_path(path).write_text(json.dumps(card))
    with pytest.raises(ModelError, match="takes .*float.*raw"):
        inference.load(path)
