import sys
import types
from pathlib import Path

import pytest

import allm_utils
from allm_utils.book import profile
from allm_utils.data import sample
from allm_utils.errors import ConfigError
from allm_utils.network import training

VARIABLES = ("ALLM_PROFILE", "ALLM_DATA", "ALLM_WORK", "ALLM_WEIGHTS", "ALLM_CHECKPOINTS")


@pytest.fixture
def gpu(monkeypatch):
    """Pretend that there is a GPU, or that there is none."""

    def pretend(there):
        monkeypatch.setattr(training, "has_gpu", lambda: there)
        monkeypatch.setattr(profile.shutil, "which", lambda _: "smi" if there else None)

    pretend(False)
    return pretend


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_nothing_set_is_smoke(gpu, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    chosen = profile.current()
    assert chosen.work == tmp_path / "work"
    assert (chosen.name, chosen.data, chosen.weights) == ("smoke", None, "imagenet")
    assert (chosen.alpha, chosen.image_size, chosen.crop) == (0.25, 128, 300)
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    assert profile.current() == chosen


@pytest.mark.parametrize("with_gpu", [True, False])
@pytest.mark.parametrize("with_data", [True, False])
def test_full_needs_both_a_gpu_and_the_data(gpu, monkeypatch, tmp_path, with_gpu, with_data):
    gpu(with_gpu)
    if with_data:
        monkeypatch.setenv("ALLM_DATA", str(tmp_path))
    chosen = profile.current()
    assert chosen.name == ("full" if with_gpu and with_data else "smoke")
    assert chosen.data == (tmp_path if with_data else None)
    monkeypatch.setenv("ALLM_WEIGHTS", "mine.h5")
    # the variable decides over the machine; weights of one's own are for the full width only
    for name, weights in (("full", "mine.h5"), ("smoke", "imagenet")):
        monkeypatch.setenv("ALLM_PROFILE", name)
        assert (profile.current().name, profile.current().weights) == (name, weights)


@pytest.mark.parametrize(
    ("name", "value"), [("ALLM_PROFILE", "huge"), ("ALLM_DATA", "no/such/folder")]
)
def test_wrong_settings_are_one_line(gpu, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        profile.current()
    assert f"{name}={value}" in str(caught.value)


def test_banner_and_source_say_whose_cells_they_are(gpu, monkeypatch, tmp_path, capsys):
    gpu(True)
    assert profile.banner() == profile.current() and "sample" in profile.current().source
    shown = capsys.readouterr().out
    assert "Profile smoke" in shown and "A GPU is here" in shown
    assert "600 real cells of C-NMC 2019, a sample; numbers on this page are noisier" in shown
    monkeypatch.setenv("ALLM_DATA", str(tmp_path))
    chosen = profile.banner()
    assert "sample" not in chosen.source + capsys.readouterr().out
    assert chosen.root() == tmp_path


@pytest.mark.parametrize("packed", [True, False])
def test_real_data_on_colab_comes_from_drive_or_from_where_kaggle_put_it(
    gpu, monkeypatch, tmp_path, packed
):
    drive = types.SimpleNamespace(mount=lambda _: None)
    monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(drive=drive))
    monkeypatch.setattr(profile, "DRIVE", tmp_path)
    monkeypatch.setattr(profile.cnmc, "download", lambda _: tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # put back afterwards
    if packed:
        (tmp_path / "fold_1.zip").touch()
    profile.use_real_data()
    run = profile.current()
    assert run.name == "class" and run.checkpoints == tmp_path
    assert run.data == tmp_path / ("fold_1.zip" if packed else "elsewhere")


def test_frame_holds_the_sample_without_the_people_from_outside(gpu, monkeypatch, work):
    monkeypatch.setenv("ALLM_WORK", str(work))
    run = profile.current()
    frame = run.frame()
    assert sorted(frame["fold"].unique()) == [0, 1] and len(frame) == sample.N_CELLS
    assert all(path.startswith(str(run.root())) for path in frame["path"].head())
    assert "CC BY 3.0" in run.credit and run.credit.count("\n") == 1


def test_only_profile_and_cli_read_the_environment():
    """And what hands it to the processes that it starts."""
    package = Path(allm_utils.__file__).parent
    readers = {
        path.name
        for path in package.rglob("*.py")
        if "os.environ" in (text := path.read_text(encoding="utf-8")) or "getenv" in text
    }
    assert readers <= {"profile.py", "cli.py", "engines.py"}, readers
