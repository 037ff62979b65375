"""Link each word of the glossary where a page first uses it in a sentence."""

import re

from docutils import nodes
from sphinx.util.nodes import make_refnode

EVERYDAY = {"balance", "control", "interaction", "interval", "label", "record", "round", "sample"}
"""They have a plain meaning too: linked where the text says so, with ``{term}``."""
PAGES = ("notebooks/", "book/index", "book/how_to_read", "book/instructors", "book/model_card")
NO_SENTENCE = (nodes.title, nodes.literal, nodes.reference, nodes.math, nodes.raw)


def glossary(env):
    """Map each term to its page and anchor."""
    found = env.get_domain("std").get_objects()
    return {name: (page, anchor) for name, _, kind, page, anchor, _ in found if kind == "term"}


def pattern(term):
    """Match a term as a word, in its plural too; capitals count where the term has some."""
    free = "" if term != term.lower() else "(?i:"
    word = re.escape(term).replace("'", "['’]")
    return re.compile(rf"(?<![\w-]){free}{word}{')' if free else ''}s?(?![\w-])")


def link_first_uses(app, doctree, docname):
    """Link the first use of each term, unless the page has linked it by then."""
    if not docname.startswith(PAGES) or app.builder.format != "html":
        return
    terms = glossary(app.env)
    waiting = {term: pattern(term) for term in sorted(terms, key=len, reverse=True)}
    for term in EVERYDAY:
        waiting.pop(term, None)
    for node in list(doctree.findall(lambda n: isinstance(n, (nodes.Text, nodes.reference)))):
        if isinstance(node, nodes.reference):
            at = node.get("refid") or node.get("refuri", "").partition("#")[2]
            waiting = {term: how for term, how in waiting.items() if terms[term][1] != at}
        elif in_sentence(node):
            link(node, waiting, terms, app.builder, docname)


def in_sentence(text):
    """Whether a text stands in a paragraph or list of the page, and in nothing of its own."""
    above, inside = text.parent, False
    while above is not None:
        if isinstance(above, NO_SENTENCE) or "cell_output" in above.get("classes", []):
            return False
        inside = inside or isinstance(above, nodes.paragraph)
        above = above.parent
    return inside


def link(text, waiting, terms, builder, docname):
    """Replace a text by pieces in which the first uses of waiting terms are links."""
    matches = [(how.search(text), term) for term, how in waiting.items()]
    found = sorted((match.start(), -match.end(), term) for match, term in matches if match)
    pieces, end = [], 0
    for start, stop, term in found:
        if start < end:
            continue  # inside a longer term
        page, anchor = terms[term]
        word = nodes.inline("", text[start:-stop], classes=["xref", "std", "std-term"])
        pieces += [
            nodes.Text(text[end:start]),
            make_refnode(builder, docname, page, anchor, word, term),
        ]
        end = -stop
        del waiting[term]
    if pieces:
        text.parent.replace(text, [*pieces, nodes.Text(text[end:])])


def setup(app):
    app.connect("doctree-resolved", link_first_uses)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
