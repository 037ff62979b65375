"""The book without a server and without a network: opened from the disk, as from a release."""

from pathlib import Path

import pytest

pytestmark = [pytest.mark.needs("book"), pytest.mark.needs("chromium")]

ROOT = Path(__file__).resolve().parents[2]
DECKS = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


@pytest.fixture(scope="module")
def tab(browser):
    """One tab for all files; what went wrong in it is in ``tab.errors``."""
    with browser.new_context(viewport={"width": 1280, "height": 720}, offline=True) as context:
        tab = context.new_page()
        tab.errors = []
        tab.on("pageerror", lambda error: tab.errors.append(str(error)))
        tab.on("requestfailed", lambda request: tab.errors.append(request.url))
        here = ("file:", "data:")
        tab.on("request", lambda r: r.url.startswith(here) or tab.errors.append(r.url))
        yield tab


@pytest.fixture
def show(tab, html):
    """Open a file of the book; fails if a script does, or if it asks for more than the disk has."""

    def open_file(name):
        tab.errors.clear()
        tab.goto((html / name).as_uri())
        return tab

    yield open_file
    assert tab.errors == []


def test_formulas_and_pictures_show(show):
    page = show("notebooks/04_mobilenet_m.html")
    page.locator("mjx-container").first.wait_for()
    assert page.locator(".math").count() == page.locator("mjx-container").count() > 5
    for image in page.locator("article img").all():
        assert image.evaluate("image => image.complete && image.naturalWidth > 0")


def test_what_can_be_dragged_can_be_dragged(show):
    page = show("notebooks/02_balancing.html")
    before = page.locator("#crop-slider output").inner_text()
    page.get_by_label("Side of the centre crop").press("ArrowRight")
    assert page.locator("#crop-slider output").inner_text() != before


def test_search_finds(browser, html):
    """The names of pages; their first words cannot be fetched from a disk."""
    with browser.new_page() as page:
        page.goto((html / "search.html").as_uri() + "?q=leukemia")
        page.locator("#search-results li a").first.wait_for()


@pytest.mark.parametrize("name", DECKS)
def test_slides_can_be_shown_and_fit(show, name):
    page = show(f"slides/{name}.html")
    page.wait_for_function("Reveal.isReady()")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Reveal.getIndices().h") == 1
    assert page.evaluate("Reveal.getTotalSlides()") >= 5
    tall = page.evaluate("""() => Reveal.getSlides().map(slide => {
        Reveal.slide(...Object.values(Reveal.getIndices(slide)));
        return [slide.innerText.slice(0, 60), slide.getBoundingClientRect().height];
    }).filter(([_, height]) => height > 720)""")
    assert tall == []
    for image in page.locator(".slides img").all():
        assert image.evaluate("image => image.naturalWidth > 0")
