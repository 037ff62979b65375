"""The prose as an EPUB: no theme, no scripts, formulas in MathML, and HTML that is XML, too."""

import posixpath
import re
from pathlib import Path

from bs4 import BeautifulSoup
from docutils import nodes
from finish import REPAIRS as PAGES
from latex2mathml.converter import convert
from sphinx.util.math import get_node_equation_number

# A reader's summary is a phrase, MyST-NB's has paragraphs and sphinx-design's a drawing; napoleon
# puts a list into a paragraph; an address needs its brackets encoded
REPAIRS = (
    (
        r"(?s)(?<=<summary)(.*?)(?=</summary>)",
        lambda s: re.sub(r'(?s)<p class="expanded.*?</p>|<svg.*?</svg>|</?p\b[^>]*>', "", s[0]),
    ),
    (r"(?s)<p>(<ul (?:(?!<ul).)*?</ul>)\s*</p>", r"\1"),
    (r'href="[^"]*&lt;[^"]*"', lambda s: s[0].replace("&lt;", "%3C").replace("&gt;", "%3E")),
)


def begin(app):
    """Leave the web's theme, which would put its buttons on the pages, and ours with them."""
    if app.builder.name != "epub":
        return
    for listener in list(app.events.listeners["html-page-context"]):
        if re.match(r"(sphinx_book|pydata_sphinx)_theme|finish", listener.handler.__module__):
            app.disconnect(listener.id)
    app.connect("html-page-context", mend, priority=950)
    app.connect("doctree-resolved", leave_web)
    app.config.html_math_renderer = "mathml"
    builder = app.builder
    get_toc, build_content = builder.get_toc, builder.build_content

    def get_plain_toc():
        """To Sphinx book/../notebooks is another folder, and its list of pages finds nothing."""
        get_toc()
        for page in builder.refnodes:
            page["refuri"] = posixpath.normpath(page["refuri"])

    def build_content_with_formulas():
        """The list of files says of each page whether it holds MathML."""
        build_content()
        path = Path(builder.outdir, "content.opf")
        pages = re.sub(r'<item (?=.*?href="([^"]+\.xhtml)")', told, path.read_text("utf-8"))
        path.write_text(pages, encoding="utf-8")

    def told(item):
        page = Path(builder.outdir, item[1])  # the list of contents is written after this one
        holds = page.exists() and "<math" in page.read_text(encoding="utf-8")
        return '<item properties="mathml" ' if holds else item[0]

    builder.get_toc, builder.build_content = get_plain_toc, build_content_with_formulas


def mend(app, pagename, templatename, context, doctree):
    """Make a page XML, without scripts, and the style sheet that MyST-NB copies too late."""
    styles = [one for one in context["css_files"] if "mystnb" not in str(one.filename)]
    context.update(script_files=[], css_files=styles)
    for wrong, right in PAGES + REPAIRS:
        context["body"] = re.sub(wrong, right, context.get("body", ""))


def leave_web(app, doctree, docname):
    """Where something can be dragged on the web, and for the slides, say where to find it."""
    site = app.config.ogp_site_url
    for node in list(doctree.findall(nodes.raw)):
        text = re.sub(r'"(?:\.\./)*slides/', f'"{site}slides/', node.astext())
        soup = BeautifulSoup(text, "html.parser")
        if soup.select(".aw"):
            url = f"{site}{docname}.html"
            words = "Here is something to drag, in the book on the web: "
            node.replace_self(nodes.paragraph("", words, nodes.reference("", url, refuri=url)))
            continue
        if soup.select("style, script, table"):
            for one in soup.select("style, script"):
                one.decompose()
            text = str(soup)
        node.replace_self(nodes.raw("", text, format=node["format"]))


def inline(writer, node):
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def block(writer, node):
    place = f' id="{node["ids"][0]}"' if node["ids"] else ""
    number = f"<span>({get_node_equation_number(writer, node)})</span>" if node["number"] else ""
    writer.body.append(f"<div{place}>{convert(node.astext(), display='block')}{number}</div>")
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.config.epub_basename, app.config.epub_title = "allm-book", app.config.html_title
    app.config.epub_tocscope = "includehidden"
    app.connect("builder-inited", begin, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
