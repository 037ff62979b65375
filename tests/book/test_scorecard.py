"""What the executed pages print of paper and records is what the records hold today."""

from pathlib import Path

import pytest
import yaml

from allm_utils.book import paper, scorecard

pytestmark = [pytest.mark.needs("book"), pytest.mark.needs("chromium")]

ROOT = Path(__file__).resolve().parents[2]
READ_TABLES = """tables => tables.map(
    table => [...table.rows].map(row => [...row.cells].map(cell => cell.innerText.trim()))
)"""


def plain(text):
    """The text without what the pages make of plain quotes, dots and spaces."""
    typeset = {"“": '"', "”": '"', "‘": "'", "’": "'", "…": "...", "\xa0": " "}
    return text.translate(str.maketrans(typeset))


@pytest.fixture
def visit(browser, site):
    context = browser.new_context()

    def open_page(name):
        page = context.new_page()
        page.goto(f"{site}{name}.html", wait_until="networkidle")
        return page

    yield open_page
    context.close()


def test_every_line_of_the_scorecard_is_recomputed(visit, card):
    page = visit("notebooks/scorecard")
    shown = page.eval_on_selector_all(".scorecard table", READ_TABLES)
    names = list(card["table"].unique())
    assert len(shown) == len(names) == 12
    for (head, *lines), name in zip(shown, names, strict=True):
        expected = scorecard.lines(name, card).drop(columns="record")
        filled = expected.loc[:, (expected != "").any()]
        assert list(map(plain, head)) == list(filled.columns)
        code = filled.replace("`", "", regex=True)  # stands in the page's own type
        assert [list(map(plain, line)) for line in lines] == code.map(plain).to_numpy().tolist()


def test_records_are_linked_in_the_repository(visit, card):
    place = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]
    base = f"{place['url']}/blob/{place['branch']}/"
    links = visit("notebooks/scorecard").eval_on_selector_all(
        ".scorecard a[href$='.json']", "links => links.map(a => [a.innerText, a.href])"
    )
    assert {name for name, _ in links} == set(card["record"]) - {""}
    for name, address in links:
        path = ROOT / address.removeprefix(base)
        assert path.is_file() and f"{path.parent.name}/{path.stem}" == name, address


def test_every_erratum_is_on_the_scorecard_and_on_its_own_page(visit):
    for page in ("notebooks/scorecard", "book/errata"):
        text = plain(visit(page).locator("article").inner_text())
        for erratum in paper.ERRATA:
            assert plain(erratum["finding"]) in text and plain(erratum["reading"]) in text, page


def test_landing_page_and_model_card_say_what_the_records_say(visit, runs):
    found = scorecard.headline(runs)
    assert scorecard.spread(runs) in visit("book/index").locator("article").inner_text()
    card = visit("book/model_card").locator("article")
    text = card.inner_text()
    for value in found["value"]:
        assert f"{value:.3f} (" in text
    assert "diagnosis" in text
