"""The command line: what it asks, what it prints, and one line for whatever is wrong."""

import dataclasses
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from cyclopts import CycloptsError

from allm_utils import cli
from allm_utils.data import cnmc, people, sample
from allm_utils.network import models, saving
from allm_utils.runs import experiment, probe, records
from allm_utils.runs.config import ExperimentConfig, ProbeConfig
from allm_utils.ship import export

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("train", "probe", "sweep", "evaluate", "predict", "export", "retest", "scorecard")


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """Without the variables of whoever runs the tests, in a folder of its own."""
    for name in cli.VARIABLES.values():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model(stand_in, tmp_path_factory):
    """A small network that nobody trained; its card says that the people of fold 1 did."""
    network = models.build("small", {"image_size": 32, "seed": 0})
    who = people.person(cnmc.shipped_index().query("fold == 1")["subject"]).unique().tolist()
    card = {"crop": 300, "record": "e/r", "people": who}
    return saving.save(network, tmp_path_factory.mktemp("model") / "m.safetensors", card)


@pytest.fixture
def run(capsys):
    """Run a command; returns exit code, stdout and stderr."""

    def run(*argv):
        capsys.readouterr()
        return cli.main([str(arg) for arg in argv]), *capsys.readouterr()

    return run


@pytest.fixture
def refused(run):
    """Run a command that must fail with one line; returns the line."""

    def refused(*argv):
        code, out, err = run(*argv)
        *before, last = err.splitlines()
        assert (code, out) == (2, "") and last.startswith("allm: ")
        assert all(not line.strip() or "|" in line for line in before), err  # progress bars
        return last

    return refused


def process(*argv, **environment):
    """Run a command in a process of its own."""
    given = {**os.environ, "KERAS_BACKEND": "tensorflow", **environment}
    command = [sys.executable, "-m", "allm_utils.cli", *argv]
    return subprocess.run(command, env=given, capture_output=True, text=True, encoding="utf-8")


# -- options from the configuration -----------------------------------------------------------


def test_every_command_explains_itself_in_plain_text(run):
    for words in ([], ["data"], *([name] for name in COMMANDS)):
        code, out, _ = run(*words, "--help")
        assert code == 0 and out.startswith("Usage: allm") and "─" not in out
        assert max(map(len, out.splitlines())) <= 100


def test_the_help_of_train_is_that_of_the_configuration(run):
    _, out, _ = run("train", "--help")
    shown = " ".join(out.split())
    for field, _, text in cli._settings(ExperimentConfig):
        option = cli.NAMES.get(field.name, f"--{field.name.replace('_', '-')}")
        assert f" {option}" in shown and " ".join(text.split()) in shown
    assert all(part in shown for part in ("0.4 0.8", "ALLM_DATA", "--no-augment"))


def told(text):
    """Commands in the code blocks of a page, with its variables filled in."""
    for block in re.findall(r"```bash\n(.*?)```", re.sub(r"(?m)^ *(# ?)?", "", text), re.DOTALL):
        block = block.replace("\\\n", " ")
        for name, value in reversed(re.findall(r'(?m)^(\w+)="(.*)"$', block)):
            block = block.replace(f"${name}", value)
        for line in re.findall(r"(?m)^(?:\w+=\S+ )*(?:\S*/)?allm (.*)", block):
            yield shlex.split(line, comments=True)


PAGES = [p for place in (".", "book", "results", "notebooks") for p in (ROOT / place).glob("*.*")]
TOLD = [
    (p.name, *c) for p in PAGES if p.suffix in (".md", ".py") for c in told(p.read_text("utf-8"))
]


@pytest.mark.parametrize("command", TOLD, ids=" ".join)
def test_commands_that_the_pages_tell_are_understood(command):
    _, *words = command
    cli._app(words).parse_args(words, exit_on_error=False, print_error=False)


def test_the_pages_tell_commands_and_one_that_nobody_knows_is_found():
    assert len(TOLD) > 20 and {words[1] for words in TOLD} >= {"data", "train", "predict", "probe"}
    text = '# ```bash\n# W="--round 0"\n# allm probe $W \\\n#   --grid\n# ```\n'
    (words,) = told(text)
    assert words == ["probe", "--round", "0", "--grid"]
    with pytest.raises(CycloptsError, match="--grid"):
        cli._app(words).parse_args(words, exit_on_error=False, print_error=False)


def flat(config):
    """Settings by name, with those of the configurations inside."""
    found = {}
    for name, value in vars(config).items():
        found |= flat(value) if dataclasses.is_dataclass(value) else {name: value}
    return found


@pytest.fixture
def configured(run, monkeypatch):
    """Parse a command; returns the settings that it would run with, and whether to resume."""
    caught = []

    def keep(config, resume=False):
        caught[:] = [config, resume]
        raise records.RecordError("stop")

    monkeypatch.setattr(experiment, "run", keep)
    monkeypatch.setattr(probe, "run", keep)

    def configured(*argv):
        caught.clear()
        _, _, err = run(*argv)
        assert caught, err
        return caught

    return configured


def test_without_options_the_configuration_has_its_own_defaults(configured):
    assert configured("train") == [ExperimentConfig(), False]
    assert configured("probe")[0] == ProbeConfig()


def test_every_option_reaches_the_configuration(configured):
    words = (
        "train --data D --work W --out O --experiment e --model mobilenet_m --fold 0 1 "
        "--also-train 2 --protocol patient-disjoint --round 2 --image-size 64 --crop 200 "
        "--note n --alpha 0.5 --dropout 0.1 --l1 0 --bn-momentum 0.9 --scaling imagenet "
        "--weights none --model-file m.safetensors --condition clean size:0.9 --split-seed 5 "
        "--epochs 3 --batch-size 8 --learning-rate 0.01 --min-learning-rate 0.001 --lr-factor 0.5 "
        "--lr-patience 1 --early-stop 2 --draw person --precision float32 --augment-on device "
        "--devices 2 --seed 4 --balance none "
        "--no-augment --sigmas 1 2 3 --rotation 1 --shift 0.2 --shear 4 --zoom 0.5 0.6 "
        "--brightness 0.5 0.9 --flip 0.1 --stain 0.2 --size 0.3 --resume"
    )
    config, resume = configured(*words.split())
    assert resume
    same = [
        name
        for name, value in flat(config).items()
        if value == flat(ExperimentConfig())[name] and name not in ("model", "test")
    ]
    assert same == ["steps_per_call"]  # of which several devices take one
    assert configured("train", "--steps-per-call", 3)[0].training.steps_per_call == 3
    assert config.folds == (0, 1) and config.weights is None and not config.training.recipe.augment
    assert config.training.recipe.sigmas == (1, 2, 3) and config.conditions[-1] == "size:0.9"


def test_variables_stand_for_options_and_options_win(configured, monkeypatch, tmp_path):
    monkeypatch.setenv("ALLM_DATA", "there")
    monkeypatch.setenv("ALLM_WORK", "scratch")
    config, _ = configured("train", "--work", "mine")
    assert (str(config.data), str(config.work)) == ("there", "mine")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("training", "training"),
        ("train --epoch 3", "--epoch"),
        ("train --epochs three", "three"),
        ("train --brightness 0.4", "brightness"),
        ("train --fold 7 --data TREE", "no fold"),
        ("train --weights gone.h5 --data TREE", "gone.h5"),
        ("train --data gone", "gone"),
        ("train --draw crowd", "crowd"),
        ("probe --model forest", "forest"),
        ("evaluate", "MODEL"),
        ("evaluate gone.safetensors", "gone.safetensors"),
        ("evaluate gone.safetensors --people old", "old"),
        ("predict gone.safetensors", "image"),
        ("predict gone.safetensors x.png --json --csv", "not both"),
        ("predict gone.safetensors x.png --out x.doc", "NAME.csv"),
        ("sweep gone.toml", "gone.toml"),
        ("export gone.safetensors --format doc", "doc"),
        ("retest gone.safetensors gone.json", "gone.json"),
        ("scorecard --results gone", "gone"),
        ("data index gone", "gone"),
        ("data leakage gone.csv", "gone.csv"),
    ],
)
def test_what_is_wrong_is_one_line(refused, tree, words, named):
    assert named in refused(*words.replace("TREE", str(tree)).split())


# -- data -------------------------------------------------------------------------------------


def test_the_sample_is_written_and_counted(run, tmp_path):
    code, out, _ = run("data", "sample", tmp_path / "cells")
    assert code == 0 and "CC BY 3.0" in out
    code, out, _ = run("data", "index", tmp_path / "cells")
    found = pd.read_csv(io.StringIO(out), sep=r"\s{2,}", engine="python", index_col=0)
    expected = cnmc.summary(cnmc.index(tmp_path / "cells"))
    assert code == 0 and (found.to_numpy() == expected.to_numpy(int)).all()


def test_verify_exits_1_for_a_tree_that_is_not_whole(run, tree):
    code, out, _ = run("data", "verify", tree)
    assert code == 1 and "600 files checked" in out


def test_leakage_of_a_reader_s_own_split_is_told(run, tree, tmp_path):
    frame = cnmc.index(tree).assign(part=["train", "test"] * 300)
    frame[["path", "subject", "part"]].to_csv(tmp_path / "mine.csv", index=False)
    code, out, _ = run("data", "leakage", tmp_path / "mine.csv")
    assert code == 0 and all(f"{kind}: " in out for kind in ("person", "smear", "pixel twin"))


# -- models -----------------------------------------------------------------------------------


def test_evaluate_asks_under_every_condition(run, refused, tree, model):
    words = f"evaluate {model} --data {tree} --condition clean noise:5 tta size:0.9".split()
    code, out, _ = run(*words)
    table = pd.read_csv(io.StringIO(out), sep=r"\s+", index_col=0)
    assert code == 0 and table.index.tolist() == ["clean", "noise:5", "tta", "size:0.9"]
    config = ExperimentConfig(data=tree)
    _, split = experiment.select(config)
    assert table.loc["clean", "n"] == (split == "test").sum()
    said = refused(*words[:4], "--condition", "own-statistics")
    assert "no batch normalisation" in said  # so it was told whose the cells are


@pytest.mark.parametrize(
    ("who", "seen", "unseen"), [("known", "51", "H9"), ("outside", "H9", "51"), ("new", "", "51")]
)
def test_evaluate_asks_about_people_by_the_card(run, refused, tree, model, who, seen, unseen):
    words = ["evaluate", model, "--data", tree, "--people", who]
    if who == "new":  # everybody of fold 1 is in the card
        assert "no cell of new people" in refused(*words)
        return
    code, out, _ = run(*words)
    people = {line.split()[-3] for line in out.split("person")[1].splitlines()[1:] if line.strip()}
    assert code == 0 and any(seen in person for person in people)
    assert not any(unseen in person.split("+") for person in people)


def test_predict_answers_the_good_and_names_the_bad(run, tree, model, tmp_path):
    cell = next((tree / "fold_1" / "all").iterdir())
    (tmp_path / "bad.png").write_bytes(b"no picture")
    code, out, err = run("predict", model, cell, tmp_path / "bad.png", "--json")
    (row,) = json.loads(out)
    assert code == 2 and row["file"] == str(cell) and 0 <= row["p_all"] <= 1
    assert any(line.startswith("allm: ") and "bad.png" in line for line in err.splitlines())
    code, out, _ = run("predict", model, cell, "--csv")
    assert code == 0 and out.splitlines()[0].startswith("file,p_all,label")


@pytest.mark.parametrize("calibration", [True, False])
def test_export_calibrates_on_what_is_given_or_on_the_split(
    run, tree, model, monkeypatch, tmp_path, calibration
):
    seen = []

    def fake(saved, formats, folder, pictures):
        seen.append(pictures)
        return {"litert-int8": tmp_path / "x"}

    monkeypatch.setattr(export, "export", fake)
    cells = tree / "fold_0" / "hem"
    more = ["--calibration", cells] if calibration else ["--data", tree]
    code, out, _ = run("export", model, "--format", "litert-int8", *more)
    assert (code, out) == (0, f"{tmp_path / 'x'}\n")
    there = len(list(cells.iterdir())) if calibration else len(cnmc.index(tree))
    assert len(seen[0]) == min(export.CALIBRATION, there)


def test_retest_knows_both_kinds_of_test(run, model, monkeypatch, tmp_path):
    seen = []
    path = sorted(records.RESULTS.glob("table5/*.json"))[0]
    monkeypatch.setattr(experiment, "retest", lambda *a, **k: seen.append((a, k)) or path)
    monkeypatch.setattr(export, "tests", lambda *_: ({"x": None}, {"formats": {}}))
    where = [model, path, "--data", "D", "--work", "W", "--note", "n"]
    assert run("retest", *where)[0] == 0
    assert run("retest", *where, "--formats")[0] == 0
    (first, corrupted), (_, formats) = seen
    assert [str(place) for place in first[2:]] == ["D", "W/records", "W"]
    assert corrupted["experiment"] == "trust" and "blur:3" in corrupted["tests"]
    assert formats["tests"] == {"x": None} and formats["more"] == {"formats": {}}


def test_a_run_from_the_command_line_leaves_model_and_record(run, tree, tmp_path, stand_in):
    words = "--model small --image-size 32 --weights none --epochs 1 --condition clean --work w"
    code, out, _ = run("train", "--data", tree, *words.split(), "--model-file", "m.safetensors")
    assert code == 0
    record = records.load(out.splitlines()[0])
    assert f"{record.metrics()['accuracy']:.4f}" in out
    assert saving.read_card(tmp_path / "m.safetensors")["record"] == record.name


# -- light, and one line always ---------------------------------------------------------------


def test_records_and_scorecard_need_neither_keras_nor_imgaug():
    code = (
        "import sys; from allm_utils import cli; import allm_utils.runs.records\n"
        "heavy = {'keras', 'tensorflow', 'imgaug', 'statsmodels', 'matplotlib', 'kagglehub'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "code = cli.main(['scorecard'])\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Table 1 " in done.stdout


def test_an_error_nobody_foresaw_is_one_line_and_a_log(refused, monkeypatch):
    def fail(_):
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(cnmc, "index", fail)
    line = refused("data", "index", "x")
    log = line.split("the traceback is in ")[1].split(";")[0]
    with open(log) as file:
        text = file.read()
    os.unlink(log)
    assert "of all things" in line and "Traceback" in text and "data index x" in text


def test_an_output_that_cannot_show_a_name_shows_its_code(monkeypatch, tree, model, tmp_path):
    cell = next((tree / "fold_1" / "all").iterdir())
    (tmp_path / "Ж.bmp").write_bytes(cell.read_bytes())
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", narrow)
    assert cli.main(["predict", str(model), str(tmp_path / "Ж.bmp"), "--csv"]) == 0
    narrow.flush()
    assert b"\\u0416.bmp" in narrow.buffer.getvalue()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_one_line():
    for words in (["data", "index", sample.__file__], ["--help"]):
        with open("/dev/full", "w") as full:
            command = [sys.executable, "-m", "allm_utils.cli", *words]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "No space left" in done.stderr


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_streams_change_no_exit_code(closed, tree, tmp_path):
    for cells in (tree / "fold_1").iterdir():  # one of each class: the bar shows, and few are read
        (tmp_path / "fold_1" / cells.name).mkdir(parents=True)
        shutil.copy(next(cells.iterdir()), tmp_path / "fold_1" / cells.name)
    command = [sys.executable, "-m", "allm_utils.cli", "data", "verify", "fold_1"]
    done = subprocess.run(command, preexec_fn=lambda: [os.close(stream) for stream in closed])
    assert done.returncode == 1


def test_an_absent_backend_is_one_line():
    done = process("predict", "m.safetensors", "x.png", KERAS_BACKEND="theano")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "Keras does not start" in done.stderr


def test_interrupted_is_130(run, monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cnmc, "index", stop)
    assert run("data", "index", "x")[0] == 130
