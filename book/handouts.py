"""What is made from the executed chapters, for a class: slides, and a handout that grades itself.

`make book` puts one deck for each chapter into the built book, ``slides/NAME.html``, which opens
without a network. `make handout` writes sources for nbgrader, from the chapters alone.
"""

import ast
import json
import re
import sys
from itertools import pairwise
from pathlib import Path

import nbformat
import sphinx_revealjs
from nbconvert import SlidesExporter
from nbconvert.preprocessors import TagRemovePreprocessor
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import editions

TEMPLATE = """\
{%- extends 'reveal/index.html.j2' -%}
{%- block html_head_js -%}<script src="../_static/reveal/dist/reveal.js"></script>{%- endblock -%}
{%- block html_head_js_mathjax -%}
<script>MathJax = {tex: {inlineMath: [["$", "$"]]}}</script>
<script src="../_static/mathjax/tex-chtml.js"></script>
{%- endblock -%}
{%- block html_head_css -%}
<style>
.reveal { font-size: 26px; --jp-content-font-size1: 24px; --jp-code-font-size: 19px }
.reveal .slides section { text-align: left }
.reveal .jp-InputPrompt, .reveal .jp-OutputPrompt { display: none }
.reveal :is(h1, h2, h3) { text-transform: none; letter-spacing: 0 }
.reveal .jp-OutputArea :is(img, svg) { max-height: 520px; width: 100%; object-fit: contain }
</style>
{%- endblock -%}
{%- block footer_js -%}
<script>
function fit() {
  const slide = Reveal.getCurrentSlide();
  slide.style.zoom = 1;
  slide.style.zoom = Math.min(1, 680 / slide.scrollHeight);
  Reveal.layout();
}
Reveal.initialize({hash: true, slideNumber: "c/t", width: 1280, height: 720, margin: 0}).then(fit);
Reveal.on("slidechanged", fit);
</script>
{%- endblock -%}
"""


# Slides


def numbers(notebook: NotebookNode, beside: Path | None = None) -> dict[str, str]:
    """Return what an executed notebook glued, by name; MyST-NB moves it into a file beside."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    if beside and beside.exists():
        outputs += json.loads(beside.read_text(encoding="utf-8")).values()
    found = {}
    for output in outputs:
        told = output.get("metadata", {}).get("scrapbook")
        if told:
            data = output["data"]
            text = data.get("application/papermill.record/text/plain") or data.get("text/plain", "")
            found[told["name"]] = text.strip("'\"")
    return found


def filled(text: str, glued: dict[str, str]) -> str:
    """Return MyST as Markdown with the numbers of the run, and with the book one folder up."""
    text = editions.plain(text).replace(f"]({editions.SITE}", "](../")
    return re.sub(r"\[\[(.+?)\]\]", lambda m: glued[m[1]], text)


def first_words(section: str) -> str:
    """Return the heading of a section, and the first thing that is said below it."""
    heading, *rest = editions.blocks(section)
    whole = heading.startswith(("## In brief", "## Take away"))
    return "\n\n".join([heading, *rest] if whole else [heading, *rest[:1]])


def deck(executed: NotebookNode, name: str, beside: Path | None = None) -> NotebookNode:
    """Return the slides of an executed chapter: first words of a section, figures, a question."""
    glued, slides = numbers(executed, beside), []

    def slide(cell, kind):
        cell.metadata = NotebookNode(slideshow={"slide_type": kind})
        slides.append(cell)

    lesson = editions.notes()["lessons"].get(name)
    for cell in executed.cells:
        tags, figure = (
            set(cell.metadata.get("tags", [])),
            cell.metadata.get("mystnb", {}).get("figure"),
        )
        if cell.cell_type == "markdown":
            for section in re.split(r"^(?=##? )", filled(cell.source, glued), flags=re.MULTILINE):
                if re.match(r"##? (?!Exercises|Quiz|Further)", section):
                    slide(new_markdown_cell(first_words(section)), "slide")
        elif figure:
            slide(new_code_cell("", outputs=cell.outputs), "subslide")
            slides[-1].metadata.tags = ["figure"]
            number = editions.labels()[figure["name"]]
            slide(new_markdown_cell(f"*Fig. {number}. {filled(figure['caption'], glued)}*"), "-")
        elif not tags and cell.outputs:
            slide(new_code_cell(cell.source, outputs=cell.outputs), "subslide")
    if lesson:
        slide(new_markdown_cell(f"## To discuss\n\n{lesson['question']}"), "slide")
        slide(new_markdown_cell(f"*{lesson['answer']}*"), "notes")
    return new_notebook(cells=slides, metadata={"title": name})


def write_slides(executed: Path, html: Path) -> None:
    """Write the decks into the built book, and reveal.js beside them."""
    source = Path(sphinx_revealjs.__file__).parent / "_static" / "revealjs" / "dist"
    static = html / "_static" / "reveal" / "dist"
    (static / "theme").mkdir(parents=True, exist_ok=True)
    for file in ("reveal.css", "reveal.js", "theme/white.css"):
        text = (source / file).read_text(encoding="utf-8")
        (static / file).write_text(re.sub(r"@import[^;]*;", "", text), encoding="utf-8")  # fonts
    exporter = SlidesExporter(
        raw_template=TEMPLATE, reveal_theme="white", reveal_url_prefix="../_static/reveal"
    )
    without_code = TagRemovePreprocessor(remove_input_tags={"figure"})
    exporter.register_preprocessor(without_code, enabled=True)
    folder = html / "slides"
    folder.mkdir(exist_ok=True)
    for path in editions.chapters():
        read = nbformat.read(executed / path.name, 4)
        made = deck(read, path.stem, executed / f"{path.stem}.glue.json")
        body, _ = exporter.from_notebook_node(made)
        (folder / f"{path.stem}.html").write_text(body, encoding="utf-8")


# The handout that grades itself


def solutions(path: Path) -> dict[str, str]:
    """Return the functions that solve a chapter's exercises, as nbgrader wants them, by name."""
    found = {}
    for cell in nbformat.read(path, 4).cells:
        if "solution" not in cell.metadata.get("tags", []):
            continue
        lines = cell.source.splitlines()
        for node in ast.parse(cell.source).body:
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
                start = node.body[0].end_lineno
                head, body = lines[node.lineno - 1 : start], lines[start : node.end_lineno]
                marked = ["    ### BEGIN SOLUTION", *body, "    ### END SOLUTION"]
                found[node.name] = "\n".join([*head, *marked])
    return found


def graded(path: Path) -> NotebookNode:
    """Return a chapter as a source for nbgrader; a function that passes gets two points."""
    notebook, answers = editions.edition(path, "student"), solutions(path)
    for cell, check in pairwise(notebook.cells):
        name = re.search(r"^def (\w+)", cell.source, re.MULTILINE)
        if "exercise" in cell.metadata.get("tags", []) and name and name[1] in answers:
            cell.source = answers[name[1]]
            judged = f"exercises.judge({name[1]})"
            check.source += f"\n### BEGIN HIDDEN TESTS\n{judged}\n### END HIDDEN TESTS"
            for one, what in ((cell, {"solution": True}), (check, {"grade": True, "points": 2})):
                role = {"grade": False, "solution": False, "task": False, "schema_version": 3}
                role |= {"locked": "grade" in what, "grade_id": f"{name[1]}-{next(iter(what))}"}
                one.metadata["nbgrader"] = role | what
    return notebook


def write_handout(folder: Path) -> None:
    """Write a course for nbgrader: one assignment for each chapter that has a function to write."""
    for path in editions.chapters():
        if solutions(path):
            place = folder / "source" / path.stem / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(graded(path), place)
    (folder / "nbgrader_config.py").write_text(
        'c = get_config()\nc.CourseDirectory.course_id = "allm"\n'
    )


if __name__ == "__main__":
    what, *places = sys.argv[1:]
    {"slides": write_slides, "handout": write_handout}[what](*map(Path, places))
