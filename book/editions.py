"""Write the chapters as notebooks in plain Markdown, for Colab, Kaggle, GitHub and every Jupyter.

`make sync` calls it: ``editions/instructor`` has solutions and notes. ``editions/student`` has of a
solution what it does behind its check, as text: students run it on an answer of their own.
What MyST says by name is said in words: citations, terms, numbers of figures and equations, boxes.
A paragraph that holds numbers of the run becomes a cell that shows it with the numbers filled in.
"""

import hashlib
import re
from collections import Counter
from functools import cache
from itertools import groupby
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pybtex.database import Person, parse_file
from pybtex.richtext import Text

from allm_utils import __version__

ROOT = Path(__file__).resolve().parents[1]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
SITE = CONFIG["sphinx"]["config"]["ogp_site_url"]
REPOSITORY, RELEASE = CONFIG["repository"]["url"], f"v{__version__}"
KINDS = ("student", "instructor")

COLAB_BASE = ("cyclopts", "imaug", "rich-rst")
COLAB_MORE = {
    r"\b(?:conditions|explain)\b": ("Deprecated", "imagecorruptions-imaug", "tf-keras-vis"),
    r"\bexport\b": ("ai-edge-litert", "backports.strenum", "onnx", "onnxruntime", "tf2onnx"),
}
"""What all chapters need, or those that import such a module, and Colab has not."""
INSTALL = """\
try:
    from allm_utils.book.text import glue, here, say
except ImportError:  # on Colab and Kaggle, which keep their own versions of all else
    %pip install -q --no-deps {packages} git+{repository}@{release}
    from allm_utils.book.text import glue, here, say
here()"""
REAL = """\
if False:  # True: real cells of one fold, for a GPU. Run this cell, and all below it
    from allm_utils.book import profile

    profile.use_real_data()"""
USE = "**Once the check says ✓**, run this in a cell of your own:"
"""What stands above the lines behind a solution's check, which students run on their answer."""
HIDDEN = {"cellView": "form", "jupyter": {"source_hidden": True}}
"""Metadata that hide the code of a cell on Colab, and in JupyterLab."""


def packages(source: str, constraints: str) -> str:
    """Return what a chapter needs beside what Colab has, in the versions of constraints.txt."""
    version = dict(re.findall(r"^(\S+)==(\S+)$", constraints, re.MULTILINE))
    imports = "\n".join(re.findall(r"^from allm_utils.*import (?:\([^)]*\)|.*)$", source, re.M))
    chosen = [names for module, names in COLAB_MORE.items() if re.search(module, imports)]
    return " ".join(f"{name}=={version[name]}" for name in sum(chosen, COLAB_BASE))


# What stands behind MyST's names


def chapters() -> list[Path]:
    """Return the notebooks of the book, in its order."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


@cache
def labels() -> dict[str, str]:
    """Return the number of each labelled figure and equation, such as ``3.2`` in chapter 3."""
    numbers = {}
    for path in chapters():
        chapter = (
            f"{int(path.stem[:2])}." if path.stem[0].isdigit() and path.stem[:2] > "00" else ""
        )
        names = []
        for cell in nbformat.read(path, 4).cells:
            names.append(cell.metadata.get("mystnb", {}).get("figure", {}).get("name", ""))
            names += re.findall(r"\$\$ \((eq-[\w-]+)\)|^:(?:label|name): (\S+)", cell.source, re.M)
        flat = ["".join(name) for name in names if "".join(name)]
        for kind in ("fig", "eq"):
            own = [name for name in flat if name.startswith(kind)]
            numbers |= {name: f"{chapter}{i}" for i, name in enumerate(own, 1)}
    return numbers


@cache
def terms() -> dict[str, str]:
    """Return the anchor that Sphinx makes for each term of the glossary, by its name in small."""
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8").split("```{glossary}")[1]
    found = re.findall(r"^(\S.*)\n(?=  \S)", text, re.MULTILINE)
    return {term.lower(): re.sub(r"[^a-zA-Z0-9._]+", "-", term).strip("-") for term in found}


@cache
def works() -> dict[str, tuple[str, str, str]]:
    """Return authors, year and address of each work of the bibliography."""

    def last(person: Person) -> str:
        return str(Text.from_latex(" ".join(person.prelast_names + person.last_names)))

    found = {}
    for key, entry in parse_file(str(ROOT / "book" / "references.bib")).entries.items():
        people = entry.persons.get("author") or entry.persons.get("editor", [])
        names = [last(person) for person in people]
        who = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
        doi = entry.fields.get("doi")
        where = f"https://doi.org/{doi}" if doi else f"{SITE}book/bibliography.html"
        found[key] = who, entry.fields["year"], entry.fields.get("url", where)
    return found


# From MyST to Markdown


def plain(text: str) -> str:
    """Return MyST as Markdown; a number of the run is left as ``[[its name]]``."""

    def box(match):
        kind, title, body = match.groups()
        title = role.sub(named, title.strip()) or kind.capitalize()
        if kind != "dropdown":
            return "\n".join(f"> {line}".rstrip() for line in f"**{title}**\n\n{body}".splitlines())
        summary = re.sub(r"\*(.+?)\*", r"<em>\1</em>", title)
        return f"<details>\n<summary>{summary}</summary>\n\n{body.strip()}\n\n</details>"

    def figure(match):
        name, label, alt, caption = match.groups()
        number = labels()[label]
        return f"![{alt}]({SITE}_static/{name})\n\n*Fig. {number}. {caption.strip()}*"

    def named(match):
        kind, words = match.groups()
        text, _, target = words.removesuffix(">").partition(" <")
        if kind == "glue:text":
            return f"[[{words}]]"
        if kind == "term":
            anchor = terms()[" ".join((target or text).lower().split())]
            return f"[{text}]({SITE}book/glossary.html#term-{anchor})"
        if kind in ("numref", "eq"):
            return f"Fig. {labels()[words]}" if kind == "numref" else f"({labels()[words]})"
        cited = [works()[key.strip()] for key in words.split(",")]
        if kind == "cite:t":
            return ", ".join(f"[{who} ({year})]({where})" for who, year, where in cited)
        return f"({'; '.join(f'[{who}, {year}]({where})' for who, year, where in cited)})"

    def equation(match):
        body, label = match.groups()
        return f"$${body.rstrip()} \\tag{{{labels()[label]}}} $$"

    role = re.compile(r"\{([\w:]+)\}`([^`]+)`")
    text = re.sub(r"```\{math\}\n:label: (\S+)\n(.*?)```", r"$$ \2 $$ (\1)", text, flags=re.DOTALL)
    text = re.sub(r"\$\$(.*?)\$\$ \((eq-[\w-]+)\)", equation, text, flags=re.DOTALL)
    text = re.sub(
        r"^:::\{figure\} \.\./book/_static/(\S+)\n:name: (\S+)\n:alt: (.*)\n\n((?s:.*?))\n:::$",
        figure, text, flags=re.MULTILINE,
    )  # fmt: skip
    text = re.sub(
        r"^:::\{(\w+)\}(.*)\n(?::\w+:.*\n)*((?s:.*?))\n:::$", box, text, flags=re.MULTILINE
    )
    text = role.sub(named, text)
    text = re.sub(r"\]\((\w+)\.ipynb(#[\w-]+)?\)", rf"]({SITE}notebooks/\1.html\2)", text)
    return re.sub(r"\]\(\.\./book/(\w+)\.md(#[\w-]+)?\)", rf"]({SITE}book/\1.html\2)", text)


def blocks(text: str) -> list[str]:
    """Split Markdown at its empty lines, but not inside a box, a list of code or an equation."""
    whole = r"<details>.*?</details>|```.*?```|\$\$.*?\$\$"
    kept = re.split(rf"({whole})", text, flags=re.DOTALL)
    for i in range(1, len(kept), 2):
        kept[i] = kept[i].replace("\n\n", "\n\0")
    return [block.replace("\0", "\n") for block in re.split(r"\n{2,}", "".join(kept).strip())]


def prose(text: str) -> list[NotebookNode]:
    """Return the cells of a text: Markdown, or a hidden `say` where it holds numbers of the run."""
    cells = []
    for numbers, group in groupby(blocks(plain(text)), lambda block: "[[" in block):
        joined = "\n\n".join(group)
        if numbers:
            cells.append(new_code_cell(f'say(r"""\n{joined}\n""")', metadata=dict(HIDDEN)))
        else:
            cells.append(new_markdown_cell(joined))
    return cells


def code(cell: NotebookNode) -> list[NotebookNode]:
    """Return a cell of code without what only the book needs, and its caption."""
    tags = set(cell.metadata.get("tags", []))
    source = re.sub(r"^from myst_nb import glue\n?", "", cell.source, flags=re.MULTILINE).strip()
    hidden = HIDDEN if tags & {"hide-input", "remove-cell", "remove-input"} else {}
    tags = sorted(tags - BOOK_TAGS)
    cells = [new_code_cell(source, metadata={**hidden, **({"tags": tags} if tags else {})})]
    figure = cell.metadata.get("mystnb", {}).get("figure")
    if figure:
        caption = plain(figure["caption"])
        cells += [new_markdown_cell(f"*Fig. {labels()[figure['name']]}. {caption}*")]
    return cells


BOOK_TAGS = {"hide-input", "hide-cell", "remove-cell", "remove-input", "once"}


# The editions


def links(kind: str, name: str) -> dict[str, str]:
    """Return where a notebook of an edition opens, by the name of the place."""
    path = f"editions/{kind}/{name}.ipynb"
    owned = REPOSITORY.removeprefix("https://github.com/")
    return {
        "Colab": f"https://colab.research.google.com/github/{owned}/blob/{RELEASE}/{path}",
        "Kaggle": f"https://kaggle.com/kernels/welcome?src={REPOSITORY}/blob/{RELEASE}/{path}",
        "Binder": f"https://mybinder.org/v2/gh/{owned}/{RELEASE}?urlpath=lab/tree/{path}",
    }


@cache
def notes() -> dict:
    """Return what an instructor is told of the lessons."""
    return yaml.safe_load((ROOT / "book" / "teaching.yaml").read_text(encoding="utf-8"))


def tested() -> str:
    """Return what the chapters were last run on beside our own versions: those of Colab."""
    text = (ROOT / "constraints-colab.txt").read_text(encoding="utf-8")
    names = re.findall(r"^(tensorflow|keras|numpy)==([\d.]+?)\.?\*?$", text, re.MULTILINE)
    image = text.partition("(")[2].partition(";")[0]
    return f"{image}, {', '.join(f'{name} {version}' for name, version in names)}"


def head(path: Path, kind: str) -> str:
    """Return what stands below the title: which edition this is, and the instructor's notes."""
    page = f"{SITE}notebooks/{path.stem}.html"
    places = " · ".join(f"[{name}]({url})" for name, url in links(kind, path.stem).items())
    text = f"*{kind.capitalize()}'s edition of [this page of the book]({page}). Opens in {places}."
    text += f" Last tested on the versions of Colab's {tested()}.*"
    lesson = notes()["lessons"].get(path.stem)
    if kind == "student" or not lesson:
        return text
    marks = "\n".join(f"- {line}" for line in notes()["marking"])
    return f"""{text}

**For the instructor.** {lesson["minutes"]} minutes. The one idea: {lesson["idea"]}.

**To discuss.** {lesson["question"]} *{lesson["answer"]}*

**Easily missed.** {lesson["missed"]}.

**Marks.**

{marks}"""


def edition(path: Path, kind: str) -> NotebookNode:
    """Return the student's or the instructor's edition of a notebook of the book."""
    source = nbformat.read(path, as_version=4)
    whole = "\n".join(cell.source for cell in source.cells)
    versions = packages(whole, (ROOT / "constraints.txt").read_text(encoding="utf-8"))
    install = INSTALL.format(packages=versions, repository=REPOSITORY, release=RELEASE)
    title, rest = source.cells[0].source.split("\n", 1)
    cells = [
        new_markdown_cell(f"{title}\n\n{head(path, kind)}"),
        new_code_cell(install, metadata={"tags": ["install"]}),
        new_code_cell(REAL, metadata={"tags": ["real-data"]}),
        *prose(rest),
    ]
    for cell in source.cells[1:]:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "markdown":
            cells += prose(cell.source)
        elif "solution" not in tags:
            cells += code(cell)
        elif kind == "instructor":
            cells += [new_markdown_cell("**Solution**"), *code(cell)]
        else:
            for use in filter(None, re.split(r"(?m)^exercises\.check\(.*\n*", cell.source)[1:]):
                cells.append(new_markdown_cell(f"{USE}\n\n```python\n{use}\n```"))
    seen = Counter()
    for cell in cells:  # from its content, so that a change of one cell is a change of one cell
        name = hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        seen[name] += 1
        cell.id = f"{name}-{seen[name]}"
    made = new_notebook(cells=cells, metadata=source.metadata)
    nbformat.validate(made)
    return made


def written(path: Path, kind: str) -> str:
    """Return an edition as the text of its file."""
    return nbformat.writes(edition(path, kind)) + "\n"


def write() -> None:
    """Write both editions of every notebook, and remove those of notebooks that are gone."""
    for kind in KINDS:
        folder = ROOT / "editions" / kind
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.ipynb"):
            old.unlink()
        for path in chapters():
            (folder / path.name).write_text(written(path, kind), encoding="utf-8")
