"""The editions: plain Markdown, the chapters' own code, and numbers that the run fills in."""

import ast
import importlib
import json
import re
import sys
import types
from pathlib import Path

import nbformat
import pytest
import yaml
from IPython.core.inputtransformer2 import TransformerManager
from packaging.requirements import Requirement

from allm_utils import __version__
from allm_utils.book import text

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book"))
editions, handouts = importlib.import_module("editions"), importlib.import_module("handouts")
BOTH = [(path, kind) for path in editions.chapters() for kind in editions.KINDS]
OURS = {"install", "real-data"}


@pytest.fixture(scope="module", params=BOTH, ids=lambda both: f"{both[1]}-{both[0].stem}")
def both(request):
    """A chapter's cells, an edition's, and which edition it is."""
    path, kind = request.param
    written = ROOT / "editions" / kind / path.name
    assert written.read_text(encoding="utf-8") == editions.written(path, kind), "run `make sync`"
    return nbformat.read(path, 4).cells, nbformat.read(written, 4).cells, kind


def said(cells):
    """All prose of an edition, that with numbers too."""
    return "\n\n".join(c.source for c in cells if c.cell_type == "markdown" or is_said(c))


def is_said(cell):
    return cell.source.startswith('say(r"""')


def test_prose_is_plain_and_links_are_whole(both):
    elsewhere = r"```\w*\n.*?```|`[^`]*`|\$\$.*?\$\$(?! \()|\$.*?\$"
    prose = re.sub(elsewhere, " ", said(both[1]), flags=re.DOTALL)
    myst = re.search(r"\{[\w:]+\}|:::|```|\$\$ *\(|^\(.*\)=$", prose, re.MULTILINE)
    assert not myst, prose[myst.start() - 80 : myst.end() + 40]
    assert re.findall(r"\]\((?!https://)[^)]*\)", prose) == []
    written = "\n".join(c.source for c in both[1] if c.cell_type == "markdown")
    assert "[[" not in re.sub(elsewhere, "", written, flags=re.DOTALL)


def test_code_is_the_chapters_and_only_the_instructor_has_solutions(both):
    chapter, edition, kind = both
    glue = "from myst_nb import glue\n"
    expected = [
        f"{c.source}\n".replace(glue, "").strip()
        for c in chapter
        if c.cell_type == "code"
        and (kind == "instructor" or "solution" not in c.metadata.get("tags", []))
    ]
    found = [c.source for c in edition if c.cell_type == "code" and not is_said(c)]
    assert found[2:] == expected
    given = "\n".join(c.source for c in edition if c.source.startswith(editions.USE))
    for cell in chapter:
        if "solution" in cell.metadata.get("tags", []) and kind == "student":
            assert cell.source.rpartition("exercises.check(")[2].partition("\n")[2].strip() in given
    for lines in re.findall(r"```python\n(.*?)```", given, re.DOTALL):
        assert ast.parse(lines).body and not re.search("def |return |exercises", lines)
    assert set().union(*(c.metadata.tags for c in edition if "tags" in c.metadata)) >= OURS


def test_every_caption_and_every_word_of_the_chapter_is_there(both):
    chapter, edition, _ = both
    prose = said(edition)
    for cell in chapter:
        caption = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption")
        if caption:
            assert f". {editions.plain(caption)}*" in prose
        if cell.cell_type == "markdown":
            for block in editions.blocks(editions.plain(cell.source)):
                assert block.removeprefix("# ") in prose


def test_myst_becomes_words():
    made = editions.plain(
        "{term}`ALL`, {cite:t}`makem2025`, {cite:p}`makem2025,gupta2019`, {glue:text}`x`, "
        "[there](06_evaluation.ipynb#part)\n\n$$ a $$ (eq-training-loss)\n\n"
        "{eq}`eq-training-loss`\n\n"
        ":::{dropdown} *Why*?\nOne.\n\nTwo.\n:::\n\n:::{warning}\nThree.\n:::"
    )
    assert (
        f"[ALL]({editions.SITE}book/glossary.html#term-ALL), [Makem et al. (2025)](https://doi"
        in made
    )
    assert "; [Gupta and Gupta, 2019a](https://doi.org/10.7937" in made
    assert f"[[x]], [there]({editions.SITE}notebooks/06_evaluation.html#part)" in made
    assert "$$ a \\tag{5.1} $$\n\n(5.1)" in made
    assert "<summary><em>Why</em>?</summary>\n\nOne.\n\nTwo.\n\n</details>" in made
    assert "> **Warning**\n>\n> Three." in made
    assert len(editions.blocks(made)) == 5


# The first cell


def run_install(monkeypatch, there):
    """Run the first cell where the package is there, or not; return what pip was asked for."""
    asked = []
    module = types.SimpleNamespace(glue=None, say=None, here=lambda: asked.append("here"))

    def pip(magic, line):
        asked.append((magic, line))
        monkeypatch.setitem(sys.modules, "allm_utils.book.text", module)

    monkeypatch.setitem(sys.modules, "allm_utils.book.text", module if there else None)
    shell = types.SimpleNamespace(run_line_magic=pip)
    cell = editions.edition(editions.chapters()[0], "student").cells[1].source
    exec(TransformerManager().transform_cell(cell), {"get_ipython": lambda: shell})
    return asked


def test_first_cell_installs_pinned_where_the_package_is_not_and_only_there(monkeypatch):
    assert run_install(monkeypatch, there=True) == ["here"]
    (magic, line), last = run_install(monkeypatch, there=False)
    assert magic == "pip" and last == "here"
    assert line.startswith("install -q --no-deps cyclopts==")
    place = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]
    assert line.endswith(f" git+{place['url']}@v{__version__}")
    opened = editions.links("student", "lesson").values()
    assert all(f"/v{__version__}" in url for url in opened), "an edition and its package are one"
    assert all("==" in name for name in line.split()[3:-1])


def test_first_cell_installs_what_the_chapters_modules_need_and_colab_has_not():
    constraints = (ROOT / "constraints.txt").read_text()
    one = "from allm_utils.judge import (\n    explain,\n    predict,\n)\n"
    assert "tf-keras-vis==" in editions.packages(one, constraints)
    assert "onnx" not in editions.packages(one, constraints)
    colab = (ROOT / "constraints-colab.txt").read_text().splitlines()
    brings = {Requirement(line).name.lower() for line in colab if line and line[0] != "#"}
    installed = {n.lower() for more in editions.COLAB_MORE.values() for n in more}
    pyproject = importlib.import_module("tomllib").loads((ROOT / "pyproject.toml").read_text())
    extras = pyproject["project"]["optional-dependencies"]
    for line in [*pyproject["project"]["dependencies"], *extras["explain"], *extras["deploy"]]:
        name = Requirement(line).name.lower()
        assert name in installed | brings | set(editions.COLAB_BASE), name


# Numbers in the text


@pytest.fixture
def shown(monkeypatch):
    """What was displayed, place by place, as it stands at last."""
    places = []

    class Place:
        def __init__(self, first):
            self.number = len(places)
            places.append(first.data)

        def update(self, new):
            places[self.number] = new.data

    monkeypatch.setattr(text, "display", lambda first, display_id: Place(first))
    monkeypatch.setattr(text, "_numbers", {})
    monkeypatch.setattr(text, "_texts", {})
    return places


def test_signs_are_those_of_print():
    assert text.signs("-1.5 to (-2), 95% and 5 %") == "−1.5 to (−2), 95\xa0% and 5\xa0%"
    assert text.signs("C-3, 5-10, 2026-11-26, 0.8-1") == "C-3, 5-10, 2026-11-26, 0.8-1"


def test_text_takes_numbers_that_come_before_and_after_and_again(shown):
    text.glue("a", 1, display=False)
    text.say(r"[[a]] and [[b c]], $\frac{1}{2}$")
    assert shown == [r"1 and …, $\frac{1}{2}$"]
    text.glue("b c", "0.9")
    assert shown == [r"1 and 0.9, $\frac{1}{2}$"]
    text.glue("a", 2)
    assert shown == [r"2 and 0.9, $\frac{1}{2}$"]


def test_text_waits_for_its_numbers_on_colab(shown, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", object())
    text.say("[[a]] and [[b]]")
    text.glue("a", 1)
    assert shown == []
    text.glue("b", 2)
    text.glue("c", 3)
    assert shown == ["1 and 2"]


def test_here_says_what_it_runs_on(capsys):
    text.here()
    assert re.match(r"Python 3\.\d+.*, allm-utils .*, keras 3.*\nGPU: ", capsys.readouterr().out)


# What is made for a class


@pytest.mark.parametrize("path", editions.chapters(), ids=lambda path: path.stem)
def test_handout_asks_for_every_function_and_judges_it(path):
    made = nbformat.read(path, 4).cells
    asked = re.findall(r"^exercises\.check\((?!exercises)(\w+)\)", joined(made, "check"), re.M)
    cells = [cell for cell in handouts.graded(path).cells if "nbgrader" in cell.metadata]
    assert len(cells) == 2 * len(asked)
    assert len({cell.metadata.nbgrader.grade_id for cell in cells}) == len(cells)
    for name, answer, check in zip(asked, cells[::2], cells[1::2], strict=True):
        region = r"    ### BEGIN SOLUTION\n.*    ### END SOLUTION"
        stub = re.sub(region, "    raise NotImplementedError()", answer.source, flags=re.DOTALL)
        assert (
            "NotImplementedError" in stub and "END" not in stub and len(ast.parse(stub).body) == 1
        )
        assert answer.metadata.nbgrader.solution and check.metadata.nbgrader.points == 2
        hidden = check.source.split("### BEGIN HIDDEN TESTS\n")[1]
        assert hidden == f"exercises.judge({name})\n### END HIDDEN TESTS"


def joined(cells, tag):
    return "\n".join(cell.source for cell in cells if tag in cell.metadata.get("tags", []))


def test_slides_show_numbers_figures_and_the_question():
    cells = nbformat.read(ROOT / "notebooks" / "lesson.ipynb", 4).cells
    glued = [
        nbformat.v4.new_output(
            "display_data",
            {"application/papermill.record/text/plain": f"'{number}'"},
            metadata={"scrapbook": {"name": f"lesson-{name}"}},
        )
        for name, number in {
            "n": "10,661",
            "known": "0.94",
            "new": "0.87",
            "outside": "0.6",
        }.items()
    ]
    cells[1].outputs = glued
    made = handouts.deck(nbformat.v4.new_notebook(cells=cells), "lesson").cells
    text = "\n".join(cell.source for cell in made)
    assert "10,661" in text and "[[" not in text and "*Fig. 1. Accuracy by epoch" in text
    assert "return ..." not in text and "**Discuss" not in text
    assert made[-2].source.startswith("## To discuss")
    assert made[-1].metadata.slideshow["slide_type"] == "notes"


def test_slides_read_numbers_that_the_build_has_moved_beside_the_notebook(tmp_path):
    glued = {"metadata": {"scrapbook": {"name": "known"}}, "data": {"text/plain": "'0.94'"}}
    beside = tmp_path / "NAME.glue.json"
    beside.write_text(json.dumps({"known": glued}), encoding="utf-8")
    assert handouts.numbers(nbformat.v4.new_notebook(), beside) == {"known": "0.94"}
