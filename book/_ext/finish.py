"""Serve MathJax from the book itself, so that its equations show without a network."""

from importlib.util import find_spec
from pathlib import Path

from sphinx.util.fileutil import copy_asset

MATHJAX = "mathjax/tex-chtml.js"
FONTS = "mathjax/output/chtml/fonts/woff-v2"


def copy_mathjax(app, exception):
    """Copy the one script and its fonts out of the package that carries all of MathJax."""
    if exception is None and app.builder.format == "html":
        source = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static"
        static = Path(app.outdir) / "_static"
        copy_asset(source / MATHJAX, (static / MATHJAX).parent)
        copy_asset(source / FONTS, static / FONTS)


def setup(app):
    app.config.mathjax_path = MATHJAX
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
