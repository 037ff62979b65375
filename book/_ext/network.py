"""The network in the page: its scripts go into the book, and pages say that they are there."""

import shutil
import sys
from html import escape
from pathlib import Path

from allm_utils.book import profile
from allm_utils.errors import AllmError
from allm_utils.ship import web


def make(app, config):
    """Make the scripts before the pages; a book without them says so."""
    try:
        config.network = str(web.pack(profile.current().work))
    except AllmError as error:
        print(f"The pages of this book carry no network: {error}", file=sys.stderr)


def tell(app, pagename, templatename, context, doctree):
    if app.builder.name == "html" and app.config.network:
        about = Path(app.config.network, "parts.json").read_text(encoding="utf-8")
        tag = f'\n<meta name="allm-network" content="{escape(about)}">'
        context["metatags"] = context.get("metatags", "") + tag


def copy(app, exception):
    if exception is None and app.builder.name == "html":
        target = Path(app.outdir, "_static", "network")
        shutil.rmtree(target, ignore_errors=True)
        if app.config.network:
            shutil.copytree(app.config.network, target)


def setup(app):
    app.add_config_value("network", "", "html")  # a change makes all pages anew
    app.connect("config-inited", make)
    app.connect("html-page-context", tell)
    app.connect("build-finished", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
