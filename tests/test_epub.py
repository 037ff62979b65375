"""The EPUB: every page stands in its list, is XML, and links to what is there."""

import posixpath
import re
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from sphinx.cmd.build import build_main

EXTENSIONS = Path(__file__).resolve().parents[1] / "book" / "_ext"
CONF = f"""
import sys
sys.path.insert(0, {str(EXTENSIONS)!r})
extensions = ["myst_nb", "sphinx_design", "sphinxext.opengraph", "epub"]
root_doc, numfig, math_numfig, html_title = "book/index", True, True, "A book"
myst_enable_extensions = ["colon_fence", "dollarmath"]
ogp_site_url = "https://example.org/"
html_math_renderer = "mathjax"
version = "1"
"""
FIRST = """# A book

Open <a href="../slides/one.html">its slides</a>.

```{toctree}
:hidden:
:numbered:
../notebooks/one
```
"""
SECOND = """# One

```{math}
:label: eq-one
r = s\\,(q - z)
```

By {eq}`eq-one` a weight $w$ is a number.

:::{dropdown} A *question*?
An answer.
:::

```{raw} html
<div class="aw">drag me<script>start()</script></div>
```
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Files of a toy book, whose first page lies in a folder as ours does."""
    source = tmp_path_factory.mktemp("toy")
    for name, text in {
        "conf.py": CONF,
        "book/index.md": FIRST,
        "notebooks/one.md": SECOND,
    }.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text)
    where = [str(source), str(source / "out"), "-d", str(source / "doctrees")]
    assert build_main(["-q", "-b", "epub", *where]) == 0
    with zipfile.ZipFile(source / "out" / "allm-book.epub") as book:
        return {name: book.read(name).decode("latin-1") for name in book.namelist() if "." in name}


def test_every_page_is_xml_and_links_to_what_is_there(pages):
    ids = {}
    for name, text in pages.items():
        if name.endswith((".xhtml", ".opf", ".ncx")):
            root = ElementTree.fromstring(text)
            ids[name] = {one.get("id") for one in root.iter()}
    assert {"nav.xhtml", "book/index.xhtml", "notebooks/one.xhtml"} <= set(ids)
    for name in ids:
        for link in re.findall(r'(?:href|src)="([^":]+)"', pages[name]):
            file, _, part = link.partition("#")
            at = posixpath.normpath(posixpath.join(posixpath.dirname(name), file)) if file else name
            assert at in pages and (not part or part in ids[at]), f"{name}: {link}"
            assert link != "#"


def test_list_of_contents_has_every_page_in_its_order(pages):
    listed = re.findall(r'<a href="([^"]+)"', pages["nav.xhtml"])
    assert listed[:2] == ["book/index.xhtml", "notebooks/one.xhtml"]
    at = dict(re.findall(r'<item .*?id="([^"]+)" href="([^"]+)"', pages["content.opf"]))
    read = re.findall(r'<itemref idref="([^"]+)" />', pages["content.opf"])
    assert [at[one] for one in read][:2] == listed[:2]


def test_formulas_are_mathml_with_their_numbers_and_are_declared(pages):
    page = pages["notebooks/one.xhtml"]
    assert page.count("<math") == 2
    assert re.search(r'<div id="equation-eq-one"><math.*</math><span>\(1\.1\)</span>', page)
    assert 'href="#equation-eq-one">(1.1)</a>' in page
    declared = re.findall(r'<item properties="mathml" .*?href="([^"]+)"', pages["content.opf"])
    assert declared == ["notebooks/one.xhtml"]


def test_what_needs_the_web_is_a_link_to_it(pages):
    page = pages["notebooks/one.xhtml"]
    assert 'href="https://example.org/notebooks/one.html"' in page and "drag me" not in page
    assert "<script" not in page
    assert (
        '<a href="https://example.org/slides/one.html">its slides</a>' in pages["book/index.xhtml"]
    )
    summary = re.search(r"(?s)<summary.*?</summary>", page)[0]
    assert "question" in summary and "<svg" not in summary and "<p" not in summary
