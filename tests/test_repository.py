"""What holds for the repository as a whole: pairs, the shape of a chapter, rooms, lists."""

import ast
import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml
from packaging.requirements import Requirement

from allm_utils import __version__
from allm_utils.book import paper, scorecard
from benchmarks import pages, report

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
TEXTS = sorted((ROOT / "notebooks").glob("*.py"))
PAIRS = [text.with_suffix(".ipynb") for text in TEXTS]
CHAPTERS = [pair for pair in PAIRS if pair.stem[0].isdigit()]
MODULES = sorted((ROOT / "allm_utils").rglob("*.py"))


sys.path.insert(0, str(ROOT / "book"))  # the scripts that write what is made
editions, sync = importlib.import_module("editions"), importlib.import_module("sync")


def tracked():
    """Return the files that git tracks (or would)."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


def test_a_shallow_clone_stays_below_eighty_megabytes():
    """Each file stands there twice: as it is, and packed."""
    assert 2 * sum(file.stat().st_size for file in tracked()) < 80_000_000


def texts():
    """Return those of them that hold text."""
    kinds = {".py", ".md", ".yml", ".yaml", ".toml", ".txt", ".ipynb", ".json", ".csv", ".cff",
             ".bib", ".html", ".svg", ""}  # fmt: skip
    return [file for file in tracked() if file.suffix in kinds]


def cells_of(path):
    return nbformat.read(path, as_version=4).cells


def named(path):
    return path.stem


# Pairs


@pytest.mark.parametrize("path", TEXTS, ids=named)
def test_notebook_and_text_hold_the_same_cells(path):
    def content(cells):
        return [(cell.cell_type, cell.source, cell.metadata.get("tags", []),
                 cell.metadata.get("mystnb")) for cell in cells]  # fmt: skip

    pair = cells_of(path.with_suffix(".ipynb"))
    assert content(pair) == content(jupytext.read(path).cells), "run `make sync`"


@pytest.mark.parametrize("path", PAIRS, ids=named)
def test_notebook_is_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


def test_every_notebook_has_a_text_and_a_place_in_the_book():
    assert sorted((ROOT / "notebooks").glob("*.ipynb")) == PAIRS
    toc = (ROOT / "_toc.yml").read_text()
    for path in PAIRS:
        assert f"notebooks/{path.name}" in toc


# The shape of a chapter


@pytest.mark.parametrize("path", CHAPTERS, ids=named)
def test_chapter_has_its_parts_in_order(path):
    cells = cells_of(path)
    title = cells[0]
    assert title.source.startswith("# ") and "\n> **You will learn**" in title.source
    assert "**Before you start:**" in title.source and "**Run time:**" in title.source
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert "profile.banner()" in "".join(code[:2])
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    parts = [
        re.search(rf"^## {part}", prose, re.M) for part in ("In brief", "Take away", "Further")
    ]
    assert all(parts), "a chapter has: In brief, Take away, Further reading"
    unfenced = re.sub(r"^```.*?^```", "", prose, flags=re.M | re.S)
    assert re.findall(r"^# .*", unfenced, re.M) == [title.source.splitlines()[0]]
    places = [part.start() for part in parts]
    first = re.search(r"^## ", prose, re.M).start()
    assert places == sorted(places) and places[0] == first, "In brief comes first"


@pytest.mark.parametrize("path", CHAPTERS, ids=named)
def test_chapter_is_short(path):
    cells = cells_of(path)
    words = sum(len(cell.source.split()) for cell in cells if cell.cell_type == "markdown")
    code = [cell for cell in cells if cell.cell_type == "code"]
    lines = [line for cell in code for line in cell.source.splitlines() if line.strip()]
    assert words <= 2500 and len(lines) <= 260, (words, len(lines))
    for cell in code:
        limit = 30 if "setup" in cell.metadata.get("tags", []) else 20  # imports take lines
        source = cell.source.splitlines()
        assert len(source) <= limit and max(map(len, source)) <= 88, cell.source


HIDDEN = {"hide-input", "hide-cell", "remove-cell", "remove-input"}
LONG = {  # each is one thought, which two cells would tear apart
    "def measures(pictures):",
    "def small_curve(*n_people, cells=24, draws=4):",
    'def promised(miss_all, miss_hem=0.2, unit="person"):',
    'people_of = new.groupby(["person", "label", "round"], as_index=False)["odds"].mean()',
    "def alarms_among_called(table, called):",
}


def test_cells_that_a_reader_sees_have_at_most_eight_lines():
    """Blank lines and imports aside; of the few that are longer none has more than fourteen."""
    long = {}
    for cell in [cell for path in PAIRS for cell in cells_of(path) if cell.cell_type == "code"]:
        if not HIDDEN & set(cell.metadata.get("tags", [])):
            imports = [
                n for n in ast.parse(cell.source).body if type(n) in (ast.Import, ast.ImportFrom)
            ]
            lines = sum(map(bool, map(str.strip, cell.source.splitlines())))
            lines -= sum(n.end_lineno - n.lineno + 1 for n in imports)
            long |= {cell.source.splitlines()[0]: lines} if lines > 8 else {}
    assert set(long) == LONG and max(long.values()) <= 14, long


def names_of(targets):
    """The names that assignments bind."""
    found = [node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return {node.id for node in found if isinstance(node.ctx, ast.Store)}


OF_ITS_CELL = {"figure", "axis", "source", "low", "high"}


@pytest.mark.parametrize("path", PAIRS, ids=named)
def test_no_name_is_bound_twice_to_different_things(path):
    """But for stubs with their solutions, and for what each cell has its own of."""
    bound = []
    for cell in cells_of(path):
        if cell.cell_type == "code" and not {"exercise", "solution"} & set(
            cell.metadata.get("tags", [])
        ):
            body = ast.parse(cell.source).body
            plain = [
                target for one in body if isinstance(one, ast.Assign) for target in one.targets
            ]
            loops = [one.target for one in body if isinstance(one, ast.For)]
            bound.append([names_of(plain), names_of(loops)])
    for number, (plain, _) in enumerate(bound):
        others = set().union(*(a | b for a, b in bound[:number] + bound[number + 1 :]))
        assert plain & others <= OF_ITS_CELL


EXERCISES = ("# 1\\. Predict", "[Cc]hange,? and explain", r"\b(records?|published)\b")
"""Two kinds by their headings (the third, a function, has its check), and the use of records."""


@pytest.mark.parametrize("path", CHAPTERS, ids=named)
def test_exercises_are_of_three_kinds_and_one_uses_the_records(path):
    cells = cells_of(path)
    first = next(i for i, cell in enumerate(cells) if re.search("^## Exercises", cell.source, re.M))
    said = "\n".join(cell.source for cell in cells[first:]).split("## Quiz")[0]
    assert re.search(r"^def \w+\(", said, re.M) and "exercises.check(" in said
    assert [kind for kind in EXERCISES if not re.search(kind, said)] == []


@pytest.mark.parametrize("path", CHAPTERS, ids=named)
def test_quiz_has_one_look_and_explains_its_answers(path):
    prose = "\n".join(cell.source for cell in cells_of(path) if cell.cell_type == "markdown")
    quiz = re.search(r"^## Quiz\n(.*?)^## ", prose, re.M | re.S)[1]
    asked = re.findall(r":::\{dropdown\} (.+)\n((?s:.+?))\n:::", quiz)
    assert len(asked) >= 3 and ":class: dropdown" not in prose
    for question, answer in asked:
        assert re.search(r"[.?]$", question) and len(answer.split()) >= 8, question


@pytest.mark.parametrize("path", PAIRS, ids=named)
def test_figures_have_a_name_a_caption_and_words_for_those_who_cannot_see_them(path):
    for cell in cells_of(path):
        metadata = cell.metadata.get("mystnb", {})
        if "figure" in metadata:
            assert metadata["figure"]["name"].startswith("fig-") and metadata["figure"]["caption"]
            assert len(metadata["image"]["alt"]) >= 10


@pytest.mark.parametrize("path", CHAPTERS, ids=named)
def test_first_picture_of_cells_has_its_credit(path):
    code = [cell.source for cell in cells_of(path) if cell.cell_type == "code"]
    shown = [
        s
        for s in code
        if re.search(r"figures\.(cells|heat_maps)\(|widgets\.(guess|crop|noise|bench|game)", s)
    ]
    assert not shown or "run.credit" in shown[0] or "CITATION" in shown[0]


def test_cards_say_how_long_the_pages_took():
    measured = json.loads(pages.KEPT.read_text(encoding="utf-8"))["seconds"]
    assert set(measured) == {path.stem for path in TEXTS}
    for path in TEXTS:
        text = path.read_text(encoding="utf-8")
        assert f"**Run time:** {pages.told(path.stem)} " in text, path.stem
        assert 0 <= int(pages.told(path.stem).split()[1]) - measured[path.stem] < 10


@pytest.mark.parametrize("path", CHAPTERS, ids=named)
def test_every_picture_of_cells_names_their_people(path):
    """In the line below it, or as the titles of the cells."""
    named_so_far = set()
    for cell in (cell for cell in cells_of(path) if cell.cell_type == "code"):
        named_so_far |= set(re.findall(r"(\w+) = f.*people_shown", cell.source))
        for source in re.findall(
            r"figures\.(?:cells|heat_maps)\(.*?source=([\w.]+|f\")", cell.source, re.S
        ):
            by_title = re.search(r"\[\"(subject|file)_a\"\]", cell.source)
            assert source in named_so_far or "people_shown" in cell.source or by_title, cell.source


def test_nothing_is_called_made_up():
    """Every page and every record is about real cells."""
    word = "synth" + "etic"
    places = ("allm_utils", "book", "notebooks", "results", "README.md", "CONTRIBUTING.md")
    for path in texts():
        if path.relative_to(ROOT).parts[0] in places:
            assert word not in path.read_text(encoding="utf-8").lower(), path


def test_repository_address_stands_in_one_place():
    """Beside _config.yml, only what is made from it, or cannot be, names the address."""
    for path in texts():
        if (
            path.name not in ("_config.yml", "CITATION.cff", "croissant.json")
            and "editions" not in path.parts
        ):
            assert CONFIG["repository"]["url"] not in path.read_text(encoding="utf-8"), path


# README and pages


def test_readme_shows_the_recorded_headline(runs):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert sync.headline(runs) in readme, "run `make sync`"
    for value in scorecard.headline(runs)["value"]:
        assert f"**{value:.3f}**" in readme
    drawn = (ROOT / "book/_static/headline.svg").read_text(encoding="utf-8")
    # its words and numbers: where Matplotlib puts them depends on its version
    now, then = (re.findall("<!-- (.*?) -->", chart) for chart in (sync.chart(runs), drawn))
    assert now == then and "0.5" in now, "run `make sync`"
    assert paper.CODE.removeprefix("https://").rstrip("/") in readme


def test_no_page_prints_a_record_as_markdown_or_html():
    """What a record says of its machine may hold anything: it is printed, or escaped."""
    for path in [*(ROOT / "book").glob("*.md"), *(ROOT / "notebooks").glob("*.py")]:
        made = re.findall(r"(?:Markdown|HTML)\(f[^\n]*", path.read_text(encoding="utf-8"))
        assert not [line for line in made if "{last[" in line or "hardware" in line], path
    row = dict.fromkeys(("ours", "alternative", "ratio", "low", "high"), 1.0)
    row |= {"what": "<b>a|b</b>", "alternative_name": "<i>", "unit": "s", "goal": None}
    shown = report.tables({"rows": [row], "growth": {}}).splitlines()[-1]
    assert "<" not in shown and shown.count("|") == 8


def test_readme_promises_as_many_kills_as_the_soak_tries():
    (chains,) = re.findall(r"RANDOM_KILLS = (\d+)", (ROOT / "tests/soak/test_kills.py").read_text())
    assert f"in {chains} chains at random" in (ROOT / "README.md").read_text(encoding="utf-8")


# Rooms: cli -> book and ship -> runs -> judge -> network -> data, and the root for all

ROOMS = ["cli", "book", "ship", "runs", "judge", "network", "data"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_imports_only_from_rooms_to_its_right(path):
    room = path.relative_to(ROOT / "allm_utils").parts[0].removesuffix(".py")
    rank = ROOMS.index(room) if room in ROOMS else len(ROOMS)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("allm_utils"):
            found |= {".".join([node.module, one.name]) for one in node.names}
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names if one.name.startswith("allm_utils")}
    for name in found:
        other = name.split(".")[1]
        if other in ROOMS and other != room:
            assert ROOMS.index(other) > rank and {room, other} != {"book", "ship"}, name


def test_no_file_of_the_package_is_long():
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {path.name: n for path, n in lines.items() if n > 500} == {}


def test_every_module_is_described():
    described = (ROOT / "book" / "api.md").read_text()
    for path in MODULES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if path.stem not in ("__init__", "cli"):
            assert f"automodule:: {name}\n" in described, name


def test_package_imports_keras_and_not_tensorflow():
    for path in MODULES:
        if path.name not in ("export.py", "training.py"):
            assert not re.search(r"^\s*(?:import|from) tensorflow", path.read_text(), re.M), path


# Lists


def test_no_machine_paths_and_no_index_hosts():
    home = re.compile(r"/(?:work/(?:main|shared)|root|home/\w+|Users/\w+)/|/tmp/\w")
    index = re.compile(r"(?:pypi|pythonhosted|npmjs|debian)\.org|index-url|find-links", re.I)
    for path in texts():
        if path != Path(__file__):
            text = path.read_text(encoding="utf-8")
            assert not home.search(text), f"{path}: {home.search(text)}"
            assert not index.search(text), f"{path}: {index.search(text)}"


def test_workflows_pin_actions_and_ask_for_little():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}
        allowed = {"pages": "write", "id-token": "write", "contents": "write"}
        for name, job in workflow["jobs"].items():
            asked = job.get("permissions", {})
            assert asked.items() <= allowed.items() and (name == "publish" or not asked), name
        for used in re.findall(r"uses: (\S+)", path.read_text()):
            assert re.fullmatch(r"(?:actions|pypa)/[\w-]+@[0-9a-f]{40}", used), used


def test_version_is_one():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert citation["version"] == newest == __version__
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    assert zenodo["title"] == citation["title"]
    assert [c["name"] for c in zenodo["creators"]] == [a["name"] for a in citation["authors"]]


def test_conda_environment_agrees_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert pip == ["-c constraints.txt", "-e .[book,test]"]
    (python,) = [entry for entry in conda if entry.startswith("python ")]
    assert python == "python " + PYPROJECT["project"]["requires-python"]


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-oldest.txt"])
def test_constraints_pin_every_requirement_inside_its_range(file):
    lines = (ROOT / file).read_text().split()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", line) for line in lines)
    pinned = {name.lower().replace("_", "-"): v for name, v in (x.split("==") for x in lines)}
    assert "imaug" in pinned and "imgaug" not in pinned, "the fork installs the same module"
    extras = PYPROJECT["project"]["optional-dependencies"].values()
    for line in [*PYPROJECT["project"]["dependencies"], *(r for extra in extras for r in extra)]:
        requirement = Requirement(line)
        if requirement.name != PYPROJECT["project"]["name"]:  # not an extra that holds others
            name = requirement.name.lower().replace("_", "-")
            assert requirement.specifier.contains(pinned[name]), line
            (lowest,) = (one.version for one in requirement.specifier if one.operator == ">=")
            assert "oldest" not in file or (pinned[name] + ".").startswith(lowest + "."), line


def colab_brings():
    lines = (ROOT / "constraints-colab.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and line[0] != "#"]


def test_colab_versions_suit_the_package():
    colab = {requirement.name.lower(): requirement for requirement in colab_brings()}
    for line in PYPROJECT["project"]["dependencies"]:
        requirement = Requirement(line)
        if requirement.name not in editions.COLAB_BASE:  # which the install cell adds
            version = next(iter(colab[requirement.name.lower()].specifier)).version
            assert requirement.specifier.contains(version.replace(".*", ".0")), line
