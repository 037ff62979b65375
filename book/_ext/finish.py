"""Finish the pages: equations that show without a network, and what screen readers need."""

import re
from importlib.util import find_spec
from pathlib import Path

from sphinx.util.fileutil import copy_asset

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
    (r">(Show|Hide) the content<", r">\1 the solution<"),  # MyST-NB's names for a hidden cell,
    (r">(Show|Hide) the source<", r">\1 the code<"),  # and for a hidden input
    (r"<script>const THEBE_JS_URL.*?</script>", ""),
    (r'<script[^>]* src="[^"]*sphinx-thebe\.js[^"]*"></script>', ""),
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


def leave_out_colab(app, pagename, templatename, context, doctree):
    """Colab opens notebooks; our executed Markdown pages are none."""
    if pagename in app.env.found_docs and app.env.doc2path(pagename).endswith(".md"):
        buttons = context.get("header_buttons", [])
        buttons[:] = [one for one in buttons if one.get("label") != "launch-buttons"]


def setup(app):
    app.config.mathjax_path = MATHJAX
    app.connect("html-page-context", leave_out_colab, priority=900)  # after the theme's own
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
