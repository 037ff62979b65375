"""What holds for the repository as a whole: pairs, layout, names, and the lists of packages."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
import yaml

from allm_utils.book import paper

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TEXTS = sorted((ROOT / "notebooks").glob("*.py"))
PAIRS = [text.with_suffix(".ipynb") for text in TEXTS]
CHAPTERS = [pair for pair in PAIRS if pair.stem[0].isdigit()]


def load_sync():
    spec = importlib.util.spec_from_file_location("sync", ROOT / "book" / "sync.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sync = load_sync()


def tracked():
    """Return the text files that git tracks (or would)."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    texts = {".py", ".md", ".yml", ".toml", ".txt", ".ipynb", ".json", ".csv", ".cff", ".bib", ""}
    files = [ROOT / name for name in listed.splitlines()]
    return [file for file in files if file.is_file() and file.suffix in texts]


def names(requirements):
    """Return the bare package names of requirement strings."""
    return {re.match(r"[A-Za-z0-9_.-]+", r).group().lower().replace("_", "-") for r in requirements}


# Pairs


def test_each_notebook_is_what_its_text_makes():
    for path, content in sync.regenerate().items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name}: run `make sync`"


def test_every_notebook_has_a_text():
    assert sorted((ROOT / "notebooks").glob("*.ipynb")) == PAIRS


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_notebook_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_notebook_keeps_the_shape_of_a_chapter(path):
    cells = nbformat.read(path, as_version=4).cells
    title, colab = cells[:2]
    assert title.source.startswith("# ") and "\n> **You will learn**" in title.source
    assert "**Before you start:**" in title.source and "**Run time:**" in title.source
    assert set(colab.metadata.tags) == {"colab", "remove-cell"}
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert "profile.banner()" in "".join(cell.source for cell in code[1:3])
    for cell in code[1:]:
        lines = cell.source.splitlines()
        limit = 30 if "setup" in cell.metadata.get("tags", []) else 20  # imports take lines
        assert len(lines) <= limit and max(map(len, lines)) <= 88, cell.source
        assert not cell.source.lstrip().startswith(("%", "!"))
        metadata = cell.metadata.get("mystnb", {})
        if "figure" in metadata:
            assert metadata["figure"]["name"].startswith("fig-") and metadata["figure"]["caption"]
            assert len(metadata["image"]["alt"]) >= 10


def test_the_book_lists_every_notebook():
    toc = (ROOT / "_toc.yml").read_text()
    for path in PAIRS:
        assert f"notebooks/{path.name}" in toc


# The Colab cell

TEXT = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Title

# %%
x = 1
"""


def test_colab_cell_is_added_once_and_follows_the_configuration(tmp_path):
    (tmp_path / "constraints.txt").write_text("imageio==1\nimaug==9.8.7\n")
    config = {"repository": {"url": "https://github.com/some/where", "branch": "v3"}}
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(config))
    cell = sync.colab_cell(tmp_path)
    assert "imaug==9.8.7" in cell and "git+https://github.com/some/where@v3" in cell
    once = sync.with_colab_cell(TEXT, cell)
    assert sync.with_colab_cell(once, cell) == once
    assert sync.with_colab_cell(once, cell.replace("v3", "v4")).count("google.colab") == 1
    pair = nbformat.reads(sync.notebook(once), as_version=4)
    assert [c.cell_type for c in pair.cells] == ["markdown", "code", "code"]
    assert "google.colab" in pair.cells[1].source


def test_colab_cell_installs_what_the_chapters_modules_need():
    cell = sync.colab_cell(text="from allm_utils import (\n    profile,\n    trust,\n)\n")
    assert "tf-keras-vis==" in cell and "onnx" not in cell
    needed = names(PYPROJECT["project"]["optional-dependencies"]["explain"])
    needed |= names(PYPROJECT["project"]["optional-dependencies"]["deploy"])
    listed = {name.lower() for more in sync.COLAB_MORE.values() for name in more}
    assert needed <= listed


def test_colab_cell_does_nothing_elsewhere():
    pair = nbformat.reads(sync.notebook(sync.with_colab_cell(TEXT, sync.colab_cell())), 4)
    exec(pair.cells[1].source, {})


def test_colab_cell_installs_on_colab(monkeypatch):
    calls = []

    class Shell:
        def run_line_magic(self, *words):
            calls.append(words)

    import IPython

    monkeypatch.setitem(sys.modules, "google.colab", object())
    monkeypatch.setattr(IPython, "get_ipython", Shell)
    pair = nbformat.reads(sync.notebook(sync.with_colab_cell(TEXT, sync.colab_cell())), 4)
    exec(pair.cells[1].source, {})
    ((magic, line),) = calls
    assert magic == "pip" and line.startswith("install -q --no-deps imaug==")
    repository = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]
    assert line.endswith(f" git+{repository['url']}@{repository['branch']}")


def test_repository_address_stands_in_one_place():
    """Beside _config.yml, only what is made from it, or cannot be, names the address."""
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    made = {"_config.yml", "CITATION.cff"} | {p.name for p in TEXTS + PAIRS}
    for path in tracked():
        if path.name not in made:
            assert address not in path.read_text(encoding="utf-8"), path


def never_met_run(experiment, subjects, **data):
    n = len(subjects)
    rows = pd.DataFrame({"subject": subjects, "label": [1, 1, 0, 0] * (n // 4), "p_all": 0.9})
    data = {
        "experiment": experiment,
        "folds": [0, 1],
        "protocol": "patient-disjoint",
        "config": {"image_size": 112},
        **data,
    }
    return SimpleNamespace(data=data, rows=lambda: rows)


def test_tests_on_unseen_patients_are_told_by_what_was_trained():
    plain = never_met_run("unseen", ["1", "2", "H1", "H2"])
    ours = never_met_run("unseen-average", ["1", "2", "H1", "H2"], folds=[1, 0])
    parts = [never_met_run("patient-disjoint", ["1", "2", "H1", "H2"]) for _ in range(5)]
    (one, _), (two, _) = sync.never_met([plain, ours, *parts[:4]])  # four parts are no result
    assert one == "trained on fold 0, tested on fold 1, 112 px"
    assert two == "trained on fold 1, tested on fold 0, 112 px, averaged weights"
    what, runs = list(sync.never_met([plain, ours, *parts]))[-1]
    assert what == "folds 0 and 1 in five parts, 112 px, averaged weights" and runs == parts
    same = [never_met_run("patient-disjoint-paper", ["1", "2", "H1", "H2"]) for _ in range(5)]
    assert next(iter(sync.never_met([*parts, *same]))) == (what.split(", averaged")[0], same)


def test_runs_are_pooled_by_image_and_judged_by_patient():
    runs = [never_met_run("unseen", names) for names in (["1", "2", "H1", "H2"], ["3", "3"] * 2)]
    rows, values, limits = sync.pooled(runs)
    assert len(rows) == values["n"] == 8
    assert values["accuracy"] == 0.5 and limits["sensitivity"] == (1, 1)


def test_the_network_and_the_probes_are_asked_together():
    runs = sync.records.load_all(ROOT / "results")
    rows = sync.three_together(runs)
    values, limits = sync.judged(rows)
    assert values["n"] == 7108 and rows["subject"].nunique() == 42
    low, high = limits["balanced_accuracy"]
    assert f"{values['balanced_accuracy']:.3f} | {low:.3f} to {high:.3f}" in sync.headline(runs)
    assert sync.three_together([r for r in runs if r.data["model"] != "probe_handmade"]) is None


def test_headline_shows_recorded_runs_only():
    assert "No run on the real cells is recorded yet." in sync.headline([])
    text = sync.headline(runs := sync.records.load_all(ROOT / "results"))
    for fold in range(3):
        for number, run in enumerate(sync.records.paper_runs(runs, fold)):
            again = f"fold {fold} {run.metrics()['accuracy']:.3f} (seed {run.data['seed']})"
            assert (again if number else run.id) in text


def test_performance_shows_the_last_run(tmp_path):
    assert "No run of `make bench`" in sync.performance(sync.report.latest(tmp_path))
    last = sync.report.latest()
    shown = sync.performance(last)
    assert last["date"] in shown and last["hardware"] in shown
    for row in last["rows"]:
        assert f"| {row['what']} |" in shown
    assert shown in (ROOT / "README.md").read_text(encoding="utf-8")


def test_model_card_says_what_the_records_say():
    page = (ROOT / "book" / "model_card.md").read_text(encoding="utf-8")
    runs = sync.records.load_all(ROOT / "results")
    (run,) = [r for r in runs if r.name == sync.SHIPPED]
    line = next(text for text in page.splitlines() if "**this network**" in text)
    for name in ("sensitivity", "specificity", "balanced_accuracy", "roc_auc"):
        assert f"{run.metrics()[name]:.3f}" in line
    worst = min(
        (((part["p_all"] >= 0.5) == part["label"]).mean(), subject)
        for subject, part in run.rows().groupby("subject")
    )
    assert re.search(rf"\| {worst[1]} \| \w+ \| \d+ \| {worst[0]:.2f} \|", page)
    for other in runs:
        if other.data["experiment"] == "unseen":
            assert f"{other.metrics()['balanced_accuracy']:.3f}" in page
    assert "diagnosis" in page and f"{run.data['parameters']['total']:,}" in page


def test_model_card_says_what_was_not_run():
    runs = sync.records.load_all(ROOT / "results")
    tables = sync.card([r for r in runs if r.data["experiment"] == "mobilenet_m"])
    assert "Not run yet" in tables["size"] and "Not run yet" in tables["calibration"]
    assert "blur" not in tables["conditions"] and "`noise:10`" in tables["conditions"]


# Layout and lists


def test_every_module_is_described():
    described = (ROOT / "book" / "api.md").read_text()
    for path in (ROOT / "allm_utils").glob("[!_]*.py"):
        assert path.stem == "cli" or f"automodule:: allm_utils.{path.stem}\n" in described, path


LAYOUT = """
README.md LICENSE LICENSE-text CITATION.cff CONTRIBUTING.md Makefile pyproject.toml constraints.txt
environment.yml _config.yml _toc.yml .ci/run book notebooks allm_utils results benchmarks tests
.github/workflows/ci.yml .github/workflows/pages.yml .github/workflows/colab.yml
"""


@pytest.mark.parametrize("name", LAYOUT.split())
def test_layout(name):
    assert (ROOT / name).exists()


def test_no_machine_paths_and_no_index_hosts():
    home = re.compile(r"/(?:work/(?:main|shared)|root|home/\w+|Users/\w+)/|/tmp/\w")
    index = re.compile(r"(?:pypi|pythonhosted|npmjs|debian)\.org|index-url|find-links", re.I)
    for path in tracked():
        if path != Path(__file__):
            text = path.read_text(encoding="utf-8")
            assert not home.search(text), f"{path}: {home.search(text)}"
            assert not index.search(text), f"{path}: {index.search(text)}"


def test_conda_environment_agrees_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert pip == ["-c constraints.txt", "-e .[book,test]"]
    (python,) = [entry for entry in conda if entry.startswith("python ")]
    assert python == "python " + PYPROJECT["project"]["requires-python"]


def test_constraints_pin_every_requirement_inside_its_range():
    from packaging.requirements import Requirement

    lines = (ROOT / "constraints.txt").read_text().split()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", line) for line in lines)
    pinned = {name.lower().replace("_", "-"): v for name, v in (x.split("==") for x in lines)}
    extras = PYPROJECT["project"]["optional-dependencies"].values()
    for line in [*PYPROJECT["project"]["dependencies"], *(r for extra in extras for r in extra)]:
        requirement = Requirement(line)
        if requirement.name == PYPROJECT["project"]["name"]:  # an extra that holds others
            continue
        assert requirement.specifier.contains(pinned[requirement.name.lower()]), line


def test_colab_versions_suit_the_package():
    from packaging.requirements import Requirement

    lines = (ROOT / "constraints-colab.txt").read_text().splitlines()
    colab = {r.name.lower(): r for r in map(Requirement, (x for x in lines if x and x[0] != "#"))}
    for line in PYPROJECT["project"]["dependencies"]:
        requirement = Requirement(line)
        if requirement.name not in ("imaug",):  # what the install cell adds
            version = next(iter(colab[requirement.name.lower()].specifier)).version
            assert requirement.specifier.contains(version.replace(".*", ".0")), line


def test_imgaug_is_not_asked_for_beside_its_fork():
    wanted = names(PYPROJECT["project"]["dependencies"])
    assert "imaug" in wanted and "imgaug" not in wanted
    assert "\nimgaug==" not in (ROOT / "constraints.txt").read_text()


def test_package_imports_keras_and_not_tensorflow():
    for path in (ROOT / "allm_utils").glob("*.py"):
        if path.name not in ("export.py", "training.py"):
            assert not re.search(r"^\s*(?:import|from) tensorflow", path.read_text(), re.M), path


def test_errata_page_holds_every_entry():
    page = (ROOT / "book" / "errata.md").read_text(encoding="utf-8")
    assert len(paper.ERRATA) > 30
    for entry in paper.ERRATA:
        assert entry["finding"] in page and entry["reading"] in page
