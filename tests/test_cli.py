"""The command line: what it prints, and one line for whatever is wrong."""

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from allm_utils import cli
from allm_utils.data import cnmc, synthetic
from allm_utils.network import saving
from allm_utils.runs import records

SMALL = ["--image-size", "32", "--alpha", "0.25", "--weights", "none", "--bn-momentum", "0.9"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return synthetic.make(tmp_path_factory.mktemp("data") / "tree", 150)


@pytest.fixture
def own_tree(tree, tmp_path):
    """A copy of the tree for a test that spoils it."""
    return shutil.copytree(tree, tmp_path / "tree")


@pytest.fixture(scope="module")
def trained(tree, tmp_path_factory):
    """Model file and work folder of one small run, made through the command line."""
    work = tmp_path_factory.mktemp("work")
    model = work / "small.safetensors"
    argv = ["train", "--data", tree, "--work", work, *SMALL, "--epochs", "1", "--model-file", model]
    assert cli.main([*map(str, argv), "--note", "small"]) == 0
    return model, work


@pytest.fixture
def cell(tree):
    """One image of the tree."""
    return next((tree / "C-NMC_Leukemia").rglob("fold_1/all/*.bmp"))


@pytest.fixture
def run(capsys):
    """Run a command; returns exit code, stdout and stderr."""

    def run(*argv):
        capsys.readouterr()
        try:
            code = cli.main([str(arg) for arg in argv])
        except SystemExit as stop:  # argparse leaves this way
            code = stop.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(run):
    """Run a command that must fail with one line; returns the line."""

    def refused(*argv):
        code, out, err = run(*argv)
        assert code == 2
        assert out == ""
        *before, last = err.splitlines()
        assert last.startswith("allm: "), err
        assert all(not line or "|" in line for line in before), err  # progress bars
        return last

    return refused


def left_over(folder):
    """Files in a folder that a failed command should not have left."""
    kept = ("digests-", "run.json")
    return [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(kept)]


class TestData:
    def test_make_then_index(self, run, tmp_path):
        code, out, _ = run("data", "make", tmp_path / "made", "--n-images", "60", "--seed", "3")
        assert (code, out.strip()) == (0, str(tmp_path / "made"))
        code, out, _ = run("data", "index", tmp_path / "made")
        assert code == 0
        assert out.split("\n")[0].split("  ")[-1] == "subjects"
        training = next(line for line in out.splitlines() if line.startswith("training"))
        assert training.split()[3] == "60"

    def test_index_counts_images_and_subjects(self, run, tree):
        _, out, _ = run("data", "index", tree)
        found = pd.read_csv(io.StringIO(out), sep=r"\s{2,}", engine="python", index_col=0)
        expected = cnmc.summary(cnmc.index(tree))
        assert (found.to_numpy() == expected.to_numpy(int)).all()

    def test_verify_exits_1_and_names_the_files_of_a_tree_that_is_not_the_published(
        self, run, tree
    ):
        code, out, _ = run("data", "verify", tree)
        assert code == 1
        assert "150 files checked" in out

    def test_verify_exits_0_when_ok(self, run, monkeypatch, tree):
        found = cnmc.Verification(3, (), (), (), (), (), (0,))
        monkeypatch.setattr(cnmc, "verify", lambda _: found)
        code, out, _ = run("data", "verify", tree)
        assert (code, out) == (0, f"{found}\n")

    @pytest.mark.real
    def test_index_prints_the_papers_totals_of_fold_1(self, run):
        data = os.environ.get("ALLM_DATA")
        if not data:
            pytest.skip("ALLM_DATA is not set: no restored C-NMC")
        _, out, _ = run("data", "index", data)
        line = next(line for line in out.splitlines() if line.startswith("fold 1"))
        assert line.split()[2:5] == ["2418", "1163", "3581"]

    def test_download_prints_the_root(self, run, monkeypatch, tmp_path):
        monkeypatch.setattr(cnmc, "download", lambda dest: tmp_path / dest / "versions")
        assert run("data", "download", "here")[:2] == (0, f"{tmp_path / 'here' / 'versions'}\n")

    def test_wrong_folders(self, refused, tmp_path):
        assert str(tmp_path / "none") in refused("data", "index", tmp_path / "none")
        assert str(tmp_path) in refused("data", "index", tmp_path)
        assert str(tmp_path) in refused("data", "verify", tmp_path)

    def test_an_empty_class(self, refused, own_tree):
        (folder,) = own_tree.rglob("fold_1/hem")
        for path in folder.iterdir():
            path.unlink()
        assert str(folder) in refused("data", "index", own_tree)

    def test_a_name_outside_the_grammar(self, refused, own_tree):
        (folder,) = own_tree.rglob("fold_1/hem")
        next(folder.iterdir()).rename(folder / "cell 7.bmp")
        assert "cell 7.bmp" in refused("data", "index", own_tree)

    def test_a_label_file_with_a_missing_row(self, refused, tmp_path, cell):
        folder = tmp_path / "C-NMC_test_prelim_phase_data"
        folder.mkdir()
        for name in ("1.bmp", "2.bmp"):
            shutil.copy(cell, folder / name)
        labels = folder / "C-NMC_test_prelim_phase_data_labels.csv"
        labels.write_text("Patient_ID,new_names,labels\nUID_57_29_1_all.bmp,1.bmp,1\n")
        line = refused("data", "index", tmp_path)
        assert "2.bmp" in line and str(labels) in line

    def test_made_data_do_not_replace_anything(self, refused, tmp_path):
        (tmp_path / "thesis.txt").write_text("mine")
        assert str(tmp_path) in refused("data", "make", tmp_path)
        assert (tmp_path / "thesis.txt").read_text() == "mine"
        refused("data", "make", tmp_path / "new", "--n-images", "3")
        assert not (tmp_path / "new").exists()


class TestTrain:
    def test_leaves_a_record_of_what_ran(self, trained):
        _, work = trained
        (path,) = (work / "records" / "mobilenet_m").glob("*.json")
        record = records.load(path)
        assert record.data["data"]["kind"] == "synthetic"
        assert record.data["config"]["image_size"] == 32
        assert record.data["config"]["alpha"] == 0.25
        assert record.data["config"]["weights"] is None
        assert record.data["epochs_run"] == 1
        assert record.data["note"] == "small"
        assert {"clean", "noise:2", "noise:5", "noise:8", "noise:10"} <= set(
            record.data["conditions"]
        )
        assert records.stale(record) == []

    def test_does_not_train_for_a_record_that_is_there(self, refused, trained, tree):
        _, work = trained
        argv = ["train", "--data", tree, "--work", work, *SMALL, "--epochs", "1"]
        assert "not overwritten" in refused(*argv)

    def test_synthetic_data_do_not_enter_results(self, refused, tree, tmp_path):
        out = tmp_path / "results"
        line = refused("train", "--data", tree, "--work", tmp_path / "w", "--out", out, *SMALL)
        assert "synthetic" in line
        assert not out.exists()

    def test_every_option_is_a_setting_with_the_default_that_help_shows(self):
        from allm_utils.network.training import TrainingConfig
        from allm_utils.runs.experiment import ExperimentConfig

        def as_typed(value):
            if isinstance(value, tuple):
                return " ".join(map(str, value))
            return "none" if value is None else str(value)

        defaults = {
            field.name: field.default
            for kind in (TrainingConfig, ExperimentConfig)
            for field in dataclasses.fields(kind)
        }
        commands = cli._parser()._subparsers._group_actions[0].choices
        shown = {}
        for action in commands["train"]._actions:
            if action.default == "==SUPPRESS==" and action.dest != "help":
                shown[action.dest] = action.help.rpartition("(")[2].rstrip(")")
        assert set(shown) <= set(defaults)
        assert shown.pop("folds") == str(*defaults["folds"])
        for name in ("out", "model_file", "augment", "note"):
            shown.pop(name)
        assert shown == {name: as_typed(defaults[name]) for name in shown}

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            (["--epochs", "0"], "epochs 0"),
            (["--epochs", "many"], "--epochs"),
            (["--fold", "7"], "fold"),
            (["--protocol", "official"], "official"),
            (["--test", "prelim"], "patient-disjoint"),
            (["--test", "prelim", "--protocol", "patient-disjoint"], "no preliminary test set"),
            (["--part", "7"], "part 7"),
            (["--balance", "all"], "balance"),
            (["--clean-share", "2"], "clean_share"),
            (["--scaling", "log"], "scaling"),
            (["--image-size", "0"], "size 0"),
            (["--crop", "500"], "smaller than the crop"),
            (["--weights", "none.h5"], "none.h5"),
            (["--weights", "imagenet", "--alpha", "0.3"], "0.3"),
            (["--bogus"], "--bogus"),
        ],
    )
    def test_bad_settings(self, refused, tree, tmp_path, options, named):
        given = ["--data", tree, "--work", tmp_path / "work", *SMALL, "--epochs", "1", *options]
        assert named in refused("train", *given)
        assert [p for p in left_over(tmp_path) if p.suffix != ".npy"] == []

    def test_no_data(self, refused, monkeypatch, tmp_path):
        monkeypatch.delenv("ALLM_DATA", raising=False)
        assert "ALLM_DATA" in refused("train", "--work", tmp_path)
        assert "none" in refused("train", "--data", tmp_path / "none", "--work", tmp_path)

    def test_data_and_weights_from_the_environment(self, refused, monkeypatch, tree, tmp_path):
        monkeypatch.setenv("ALLM_DATA", str(tree))
        monkeypatch.setenv("ALLM_WORK", str(tmp_path / "work"))
        monkeypatch.setenv("ALLM_WEIGHTS", str(tmp_path / "mine.h5"))
        assert "mine.h5" in refused("train", "--image-size", "32", "--alpha", "0.25")

    def test_a_download_of_weights_that_fails(self, refused, monkeypatch, tree, tmp_path):
        import keras

        def offline(*_, **__):
            raise OSError("no route\nto host")

        monkeypatch.delenv("ALLM_WEIGHTS", raising=False)
        monkeypatch.setattr(keras.utils, "get_file", offline)
        argv = ["train", "--data", tree, "--work", tmp_path, "--image-size", "32"]
        assert "mobilenet_1_0_224_tf_no_top.h5" in refused(*argv)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda path: path.write_bytes(b""),
            lambda path: path.write_bytes(path.read_bytes()[:5000]),
            lambda path: path.write_text("not an image\n"),
            lambda path: Image.open(path).convert("L").save(path),
        ],
        ids=["zero-byte", "truncated", "text", "grey"],
    )
    def test_a_broken_image_is_named_and_no_cache_is_left(self, refused, own_tree, tmp_path, spoil):
        path = sorted(own_tree.rglob("fold_1/all/*.bmp"))[5]
        spoil(path)
        argv = ["train", "--data", own_tree, "--work", tmp_path / "work", *SMALL]
        assert str(path) in refused(*argv)
        assert left_over(tmp_path / "work") == []

    def test_a_work_folder_that_cannot_be_written(self, refused, tree, tmp_path):
        (tmp_path / "file").write_text("")
        line = refused("train", "--data", tree, "--work", tmp_path / "file" / "work", *SMALL)
        assert str(tmp_path / "file") in line

    def test_a_full_disk(self, refused, monkeypatch, tree, tmp_path):
        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
        argv = ["train", "--data", tree, "--work", tmp_path / "work", *SMALL]
        assert "No space left" in refused(*argv)
        assert left_over(tmp_path / "work") == []


class TestRetest:
    def test_writes_a_record_of_the_same_model(self, run, trained, tree, tmp_path):
        model, work = trained
        (path,) = (work / "records" / "mobilenet_m").glob("*.json")
        argv = ["retest", model, path, "--data", tree, "--work", work, "--out", tmp_path]
        code, out, _ = run(*argv, "--note", "a test")
        assert code == 0
        record = records.load(out.splitlines()[0])
        assert record.data["experiment"] == "trust" and record.data["note"].endswith("a test")
        assert {"blur:3", "stain:5", "size-normalised"} <= set(record.data["conditions"])

    def test_another_model_and_no_data(self, refused, trained, tree, tmp_path, monkeypatch):
        model, work = trained
        (path,) = records.RESULTS.glob("mobilenet_m/*fold1-seed1337.json")
        argv = ["retest", model, path, "--work", work, "--out", tmp_path]
        assert "not the model of record" in refused(*argv, "--data", tree)
        monkeypatch.delenv("ALLM_DATA", raising=False)
        assert "give --data" in refused(*argv)


class TestEvaluate:
    def test_on_the_same_split_gives_the_metrics_of_the_record(self, run, trained, tree):
        model, work = trained
        argv = ["evaluate", model, "--data", tree, "--work", work, "--sigma", "0", "5"]
        code, out, _ = run(*argv)
        assert code == 0
        found = pd.read_csv(io.StringIO(out), sep=r"\s{2,}", engine="python", index_col=0)
        (path,) = (work / "records" / "mobilenet_m").glob("*.json")
        record = records.load(path)
        assert found.index.tolist() == ["sigma 0", "sigma 5"]
        for row, condition in zip(found.index, ("clean", "noise:5"), strict=True):
            expected = record.metrics(condition)
            assert found.loc[row, "n"] == expected["n"]
            # the file holds half precision: an image near the threshold may change sides
            assert found.loc[row, "accuracy"] == pytest.approx(expected["accuracy"], abs=0.08)

    def test_a_sigma_below_0(self, refused, trained, tree):
        model, work = trained
        argv = ["evaluate", model, "--data", tree, "--work", work, "--sigma", "-1"]
        assert "sigma -1" in refused(*argv)

    def test_a_model_that_is_not_one(self, refused, tree, tmp_path):
        (tmp_path / "model.safetensors").write_text("weights")
        argv = [
            "evaluate",
            tmp_path / "model.safetensors",
            "--data",
            tree,
            "--work",
            tmp_path / "work",
        ]
        assert "model.safetensors" in refused(*argv)
        assert not (tmp_path / "work").exists()


class TestExport:
    def test_int8_is_calibrated_and_predicts(self, run, trained, tree, tmp_path):
        model, work = trained
        (folder,) = tree.rglob("fold_2/hem")
        argv = ["export", model, "--format", "litert-int8", "--folder", tmp_path]
        for source in (["--calibration", folder], ["--data", tree, "--work", work]):
            code, out, _ = run(*argv, *source)
            assert code == 0
            (written,) = out.splitlines()
            card = saving.read_card(written)
            assert card["calibration"]["images"] > 0
        code, table, _ = run("predict", written, folder)
        assert code == 0 and len(table.splitlines()) == 1 + len(list(folder.iterdir()))

    def test_what_cannot_be_exported(self, refused, trained, tmp_path, monkeypatch):
        argv = ["export", trained[0], "--folder", tmp_path, "--format"]
        assert "litert, litert-int8" in refused(*argv, "tflite")
        monkeypatch.delenv("ALLM_DATA", raising=False)
        assert "give --data" in refused(*argv, "onnx-int8")


class TestPredict:
    def test_table_json_and_csv_say_the_same(self, run, trained, tree):
        model, _ = trained
        (folder,) = tree.rglob("fold_2/hem")
        code, table, _ = run("predict", model, folder)
        assert code == 0
        rows = [line.split() for line in table.splitlines()]
        assert rows[0] == ["file", "p_all", "label"]
        from_json = json.loads(run("predict", model, folder, "--json")[1])
        from_csv = pd.read_csv(io.StringIO(run("predict", model, folder, "--csv")[1]))
        assert from_csv.to_dict("records") == [pytest.approx(row) for row in from_json]
        assert [row[0] for row in rows[1:]] == from_csv["file"].tolist()
        assert [row["file"] for row in from_json] == sorted(map(str, folder.iterdir()))
        for row, exact in zip(rows[1:], from_json, strict=True):
            assert float(row[1]) == pytest.approx(exact["p_all"], abs=6e-5)
            assert row[2] == exact["label"] == ("ALL" if exact["p_all"] >= 0.5 else "HEM")

    def test_images_that_are_not_what_the_model_knows(self, refused, trained, cell, tmp_path):
        model, _ = trained
        good = Image.open(cell)
        pixels = np.asarray(good)
        sixteen = Image.fromarray(pixels[..., 0].astype(np.uint16) * 256)
        bad = {
            "grey.bmp": good.convert("L"),
            "cmyk.jpg": good.convert("CMYK"),
            "rgba.png": good.convert("RGBA"),
            "sixteen.png": sixteen,
            "one.bmp": good.resize((1, 1)),
            "small.bmp": good.resize((299, 450)),
        }
        for name, image in bad.items():
            image.save(tmp_path / name)
        (tmp_path / "zero.bmp").write_bytes(b"")
        (tmp_path / "text.bmp").write_text("hello\n")
        (tmp_path / "cut.bmp").write_bytes(cell.read_bytes()[:100_000])
        for name in (*bad, "zero.bmp", "text.bmp", "cut.bmp", "none.bmp"):
            assert name in refused("predict", model, cell, tmp_path / name)

    def test_a_model_that_is_not_one_or_lacks_its_card(self, refused, trained, cell, tmp_path):
        (tmp_path / "text.safetensors").write_text("hello")
        (tmp_path / "text.json").write_text("{}")
        shutil.copy(trained[0], tmp_path / "bare.safetensors")
        for name in ("text.safetensors", "bare.safetensors", "none.safetensors", "."):
            assert str(tmp_path / name) in refused("predict", tmp_path / name, cell)

    def test_json_and_csv_exclude_each_other(self, refused, cell):
        assert "--csv" in refused("predict", "m.safetensors", cell, "--json", "--csv")


class TestScorecard:
    def test_prints_every_number(self, run):
        code, out, _ = run("scorecard")
        card = records.as_printed(records.scorecard(records.load_all()))
        assert code == 0
        assert len(out.splitlines()) == len(card) + 1
        assert "3,235,010" in out

    def test_markdown_is_one_table(self, run, tmp_path):
        _, out, _ = run("scorecard", "--results", tmp_path, "--markdown")
        widths = {line.count("|") for line in out.splitlines()}
        assert widths == {8}
        assert out.splitlines()[1] == "| --- | --- | --- | --- | --- | --- | --- |"
        assert "not run yet" in out

    def test_bad_records(self, refused, tmp_path):
        assert "none" in refused("scorecard", "--results", tmp_path / "none")
        (tmp_path / "e").mkdir()
        (tmp_path / "e" / "r.json").write_text("{}")
        assert "r.json" in refused("scorecard", "--results", tmp_path)

    def test_of_synthetic_records(self, refused, trained):
        assert "synthetic" in refused("scorecard", "--results", trained[1] / "records")


class TestMain:
    def test_no_command(self, refused):
        assert "COMMAND" in refused()
        assert "COMMAND" in refused("data")

    def test_an_interrupt_ends_with_130(self, run, monkeypatch):
        def interrupted(_):
            raise KeyboardInterrupt

        monkeypatch.setattr(cnmc, "index", interrupted)
        code, out, err = run("data", "index", ".")
        assert (code, out, err) == (130, "", "allm: interrupted\n")

    def test_an_error_of_the_system_is_one_line(self, refused, monkeypatch):
        def failing(_):
            raise PermissionError(13, "Permission denied", "secret")

        monkeypatch.setattr(cnmc, "index", failing)
        assert refused("data", "index", ".").startswith("allm: secret: Permission denied")

    def test_a_reader_that_leaves_is_no_error(self, tree):
        script = f"{sys.executable} -m allm_utils.cli scorecard | head -n 1; test $PIPESTATUS != 1"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
        assert done.returncode == 0
        assert done.stderr == ""
        assert done.stdout.split()[:2] == ["Table", "Item"]

    def test_light_commands_do_not_import_keras(self, tree):
        code = (
            "import sys; from allm_utils.cli import main; "
            f"main(['data', 'index', {str(tree)!r}]); main(['scorecard']); "
            "sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")

    def test_stderr_holds_the_error_and_nothing_of_the_backend(self, tmp_path, cell):
        (tmp_path / "model.safetensors").write_text("hello")
        argv = [sys.executable, "-m", "allm_utils.cli"]
        argv += ["predict", str(tmp_path / "model.safetensors"), str(cell)]
        environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
        done = subprocess.run(argv, capture_output=True, text=True, env=environment)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("allm: ") and done.stderr.count("\n") == 1
