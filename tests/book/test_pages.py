"""Every page of the built book, as a reader sees it: light, dark and on a phone."""

from pathlib import Path
from urllib.parse import urldefrag, urljoin

import pytest
import yaml
from axe_playwright_python.base import AXE_FILE_PATH

pytestmark = [pytest.mark.needs("book"), pytest.mark.needs("chromium")]

ROOT = Path(__file__).resolve().parents[2]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"]] + [entry["file"] for part in TOC["parts"] for entry in part["chapters"]]
PAGES = [page.removesuffix(".ipynb") for page in PAGES]
CHAPTERS = [page for page in PAGES if page.startswith("notebooks/")]
LIGHT = {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}}
DARK = {**LIGHT, "color_scheme": "dark"}
PHONE = {"color_scheme": "light", "viewport": {"width": 390, "height": 844}}


@pytest.fixture
def visit(browser, site):
    """Open a page; every request that leaves this machine and every console error is collected."""
    contexts = []

    def open_page(name, settings=LIGHT):
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.errors = []
        page.on("console", lambda m: m.type == "error" and page.errors.append(m.text))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda r: r.url.startswith(site) or page.errors.append(r.url))
        page.goto(f"{site}{name}.html", wait_until="networkidle")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", PAGES)
def test_page_loads_without_errors_and_without_a_network(visit, name):
    page = visit(name)
    assert page.errors == []
    assert page.locator("h1").count() == 1
    assert page.locator("mjx-merror").count() == 0


@pytest.mark.parametrize("settings", [LIGHT, DARK, PHONE], ids=["light", "dark", "phone"])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_accessible(visit, name, settings):
    page = visit(name, settings)
    page.evaluate(AXE_FILE_PATH.read_text())
    violations = page.evaluate("() => axe.run().then(results => results.violations)")
    found = [
        f"{violation['id']}: {node['html'][:200]} ({node['failureSummary']})"
        for violation in violations
        for node in violation["nodes"]
    ]
    assert found == []


@pytest.mark.parametrize("name", PAGES)
def test_page_fits_a_phone(visit, name):
    page = visit(name, PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("name", PAGES)
def test_every_image_says_what_it_shows(visit, name):
    images = visit(name).locator("article img")
    for image in images.all():
        assert len(image.get_attribute("alt") or "") >= 10, image.get_attribute("src")
        assert image.evaluate("image => image.complete && image.naturalWidth > 0")


@pytest.mark.parametrize("name", PAGES)
def test_links_inside_the_book_lead_somewhere(visit, site, html, name):
    page = visit(name)
    links = page.eval_on_selector_all("a[href]", "links => links.map(link => link.href)")
    assert links
    for link in {link for link in links if link.startswith(site)}:
        address, fragment = urldefrag(urljoin(page.url, link))
        target = html / address.removeprefix(site)
        assert target.is_file(), link
        if fragment and target.suffix == ".html":
            assert f'id="{fragment}"' in target.read_text(encoding="utf-8"), link


def test_the_front_door_leads_to_the_landing_page(browser, site):
    context = browser.new_context()
    page = context.new_page()
    page.goto(site, wait_until="networkidle")
    assert page.url == f"{site}{TOC['root']}.html"
    context.close()


@pytest.mark.parametrize("name", CHAPTERS)
def test_chapter_opens_in_colab(visit, name):
    repository = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]
    owner_and_name = repository["url"].removeprefix("https://github.com/")
    expected = (
        "https://colab.research.google.com/github/"
        f"{owner_and_name}/blob/{repository['branch']}/{name}.ipynb"
    )
    button = visit(name).locator("a[href*='colab.research.google.com']")
    assert expected in {link.get_attribute("href") for link in button.all()}
    assert (ROOT / f"{name}.ipynb").is_file()


@pytest.mark.parametrize("name", CHAPTERS)
def test_solutions_wait_behind_a_click(visit, name):
    page = visit(name)
    solutions = page.locator(".tag_solution")
    assert solutions.count() == page.locator(".tag_exercise").count() > 0
    for solution in solutions.all():
        code = solution.locator(".cell_input pre").first
        assert not code.is_visible()
        solution.locator("summary").first.click()
        assert code.is_visible()


@pytest.mark.parametrize("name", CHAPTERS)
def test_figures_are_numbered_and_the_install_cell_is_hidden(visit, name):
    page = visit(name)
    figures = page.locator("article .cell_output figure")
    assert figures.count() == page.locator("article .cell_output img").count()
    for figure in figures.all():
        assert figure.locator(".caption-number").inner_text().startswith("Fig. ")
        assert len(figure.locator(".caption-text").inner_text()) > 10
    assert "google.colab" not in page.locator("article").inner_text()


def test_search_finds_a_word(browser, site):
    context = browser.new_context(**LIGHT)
    page = context.new_page()
    page.goto(f"{site}search.html?q=leukemia", wait_until="networkidle")
    page.locator("#search-results li").first.wait_for(timeout=15000)
    context.close()
