"""Finish the pages: equations that show without a network, and what screen readers need."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import desc_sig_element
from sphinx.util.fileutil import copy_asset

from allm_utils import __version__
from allm_utils.book.text import signs

sys.path.insert(0, str(Path(__file__).parents[1]))
import editions

MATHJAX = "mathjax/tex-chtml.js"
FONTS = "mathjax/output/chtml/fonts/woff-v2"

# The theme's sidebar is no landmark, an empty cell is no heading, docutils gives
# bibliography entries a role that is deprecated, a hidden cell's button hides its own words, and
# Thebe (not used here) declares its constants twice, which is an error in the console.
REPAIRS = (
    (
        r'<div id="pst-primary-sidebar" class=',
        '<div id="pst-primary-sidebar" role="complementary" aria-label="Book" class=',
    ),
    (r"<th></th>", "<td></td>"),
    (r'<th class="head"><p></p></th>', '<td class="head"></td>'),
    (r' role="doc-biblioentry"', ' role="listitem"'),
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    (r'<summary>(?=<span class="toctree-toggle")', '<summary aria-label="Further pages">'),
    (r">(Show|Hide) the content<", r">\1 the solution<"),  # MyST-NB's names for a hidden cell,
    (r">(Show|Hide) the source<", r">\1 the code<"),  # and for a hidden input
    (r"<script>const THEBE_JS_URL.*?</script>", ""),
    (r'<script[^>]* src="[^"]*sphinx-thebe\.js[^"]*"></script>', ""),
    # A comma stays with its formula, and a short name of a row on its line
    (
        r'(<span class="math notranslate nohighlight">[^<]*</span>)([,.;:?)]+)',
        r'<span class="glued">\1\2</span>',
    ),
    (r"(<tr[^>]*>\s*<th>)([^<]{1,18})(?=</th>)", lambda row: row[1] + row[2].replace(" ", "\xa0")),
)


def finish(app, exception):
    if exception is None and app.builder.format == "html":
        copy_mathjax(Path(app.outdir) / "_static")
        for page in Path(app.outdir).rglob("*.html"):
            repair(page)


def copy_mathjax(static):
    """Copy the one script and its fonts out of the package that carries all of MathJax."""
    source = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static"
    copy_asset(source / MATHJAX, (static / MATHJAX).parent)
    copy_asset(source / FONTS, static / FONTS)


def repair(page):
    before = text = page.read_text(encoding="utf-8")
    for wrong, right in REPAIRS:
        text = re.sub(wrong, right, text)
    if text != before:
        page.write_text(text, encoding="utf-8")


def open_editions(app, pagename, templatename, context, doctree):
    """Let the rocket open the student's edition; our executed Markdown pages have none."""
    context["theme_extra_footer"] = f"{context['theme_extra_footer']}<p>Version {__version__}</p>"
    rocket = [b for b in context.get("header_buttons", []) if b.get("label") == "launch-buttons"]
    if not pagename.startswith("notebooks/"):
        for button in rocket:
            context["header_buttons"].remove(button)
        return
    icons = {"Colab": "images/logo_colab.png", "Binder": "images/logo_binder.svg"}
    rocket[0]["buttons"] = [
        {
            "type": "link",
            "text": place,
            "tooltip": f"Open the student's edition on {place}",
            "icon": f"_static/{icons[place]}" if place in icons else "fa-solid fa-k",
            "url": url,
        }
        for place, url in editions.links("student", Path(pagename).name).items()
    ]


def keep_signs(app, doctree, docname):
    """Numbers have one form on a page, and stay on one line with their sign: 95 %, −1, σ = 10."""
    code = (nodes.FixedTextElement, nodes.literal, nodes.math, nodes.raw, desc_sig_element)
    for text in list(doctree.findall(nodes.Text)):
        kept = re.sub(r"^ (?=%)|(?<=σ) (?=[=\d])|(?<=σ =) (?=\d)", "\xa0", signs(text))
        if kept != text and not isinstance(text.parent, code):
            text.parent.replace(text, nodes.Text(kept))
    for table in doctree.findall(nodes.raw):
        if 'class="dataframe' in table.astext():
            cells = re.sub(r"(?<=>)[^<]+", lambda cell: signs(cell[0]), table.astext())
            table[:] = [nodes.Text(cells)]
    for printed in doctree.findall(nodes.literal_block):
        if "stream" in printed["classes"]:
            printed.rawsource = signs(printed.rawsource)
            printed[:] = [nodes.Text(signs(printed.astext()))]


def number_figures(app, env):
    """Begin with 1 on each page that has no number; Sphinx counts through all such pages."""
    for figures in env.toc_fignumbers.values():
        for place, number in enumerate(figures.get("figure", {}).items(), 1):
            if len(number[1]) == 1:
                figures["figure"][number[0]] = (place,)
    return []  # Sphinx names the pages to write again


def keep_colon(app, what, name, obj, options, lines):
    """Join what Napoleon parts: it takes the words before a colon for the type of a constant."""
    if what in ("data", "property", "attribute") and lines and ":type: " in lines[-1]:
        lines[:] = [lines.pop().replace(":type: ", "") + ": " + lines[0], *lines[1:]]


def setup(app):
    app.config.mathjax_path = MATHJAX
    app.config.version = app.config.release = __version__
    app.connect("html-page-context", open_editions, priority=900)  # after the theme's own
    app.connect("doctree-resolved", keep_signs)
    app.connect("env-get-updated", number_figures, priority=900)  # after Sphinx has counted
    app.connect("autodoc-process-docstring", keep_colon, priority=900)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
