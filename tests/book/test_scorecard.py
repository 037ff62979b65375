"""What the pages print of paper and records is what the records hold today."""

from pathlib import Path

import pytest
import yaml

from allm_utils.runs import records

pytestmark = [pytest.mark.needs("book"), pytest.mark.needs("chromium")]

ROOT = Path(__file__).resolve().parents[2]
READ_TABLES = """tables => tables.map(
    table => [...table.rows].map(row => [...row.cells].map(cell => cell.innerText.trim()))
)"""


def words(table):
    return [cell for row in table for cell in row]


@pytest.fixture(scope="module")
def recorded():
    return records.load_all()


@pytest.fixture(scope="module")
def card(recorded):
    return records.as_printed(records.scorecard(recorded))


@pytest.fixture
def visit(browser, site):
    context = browser.new_context()

    def open_page(name):
        page = context.new_page()
        page.goto(f"{site}notebooks/{name}.html", wait_until="networkidle")
        return page

    yield open_page
    context.close()


def test_every_line_of_the_scorecard_is_recomputed(visit, card):
    shown = visit("scorecard").eval_on_selector_all(".scorecard table", READ_TABLES)
    expected = [part for _, part in card.groupby("Table", sort=False)]
    assert len(shown) == len(expected) == 12
    for (head, *lines), part in zip(shown, expected, strict=True):
        filled = part.loc[:, (part != "").any()].drop(columns="Table")
        assert head == list(filled.columns)
        verdict = head.index("Verdict")
        for line in lines:
            sign, line[verdict] = line[verdict].split(" ", 1)
            assert sign in "✓≈≠–…"
        assert lines == filled.to_numpy().tolist()


def test_verdicts_are_counted_rightly(visit, recorded):
    found = records.scorecard(recorded).groupby(["table", "verdict"]).size()
    shown = visit("scorecard").eval_on_selector_all("table.dataframe", READ_TABLES)
    (_, *verdicts), *rows = next(t for t in shown if "reproduced" in t[0])
    assert len(rows) == 12
    for table, *counts in rows:
        for verdict, count in zip(verdicts, counts, strict=True):
            assert int(count) == found.get((table, verdict), 0), (table, verdict)


def test_records_are_linked_in_the_repository(visit, recorded):
    place = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]
    base = f"{place['url']}/blob/{place['branch']}/"
    page = visit("scorecard")
    links = page.eval_on_selector_all(
        "article table a[href$='.json']", "links => links.map(a => [a.innerText, a.href])"
    )
    assert {name for name, _ in links} == {record.name for record in recorded}
    for name, address in links:
        path = ROOT / address.removeprefix(base)
        assert path.is_file() and f"{path.parent.name}/{path.stem}" == name, address


def test_every_erratum_is_on_the_scorecard(visit):
    text = visit("scorecard").locator("article").inner_text()
    for table in dict.fromkeys(records.scorecard([])["table"]):
        for erratum in records.errata(table):
            assert erratum["finding"] in text and erratum["reading"] in text


def test_chapter_6_prints_the_clean_rows(visit, card):
    shown = visit("06_evaluation").eval_on_selector_all("table.dataframe", READ_TABLES)
    table = next(t for t in shown if "Paper" in words(t) and len(t[-1]) == 7)
    cells = {row[0]: row[1:] for row in table}
    for metric in ("macro precision", "macro recall", "macro F1", "accuracy", "balanced accuracy"):
        expected = []
        for fold in range(3):
            clean = card["Item"].str.startswith(f"fold {fold}, sigma 0, {metric}")
            (row,) = card[clean].to_dict("records")
            expected += [row["Paper"], row["Ours"] or "not run yet"]
        assert cells[metric] == expected


def test_chapter_7_prints_tables_6_to_8(visit, card):
    shown = visit("07_noise").eval_on_selector_all("table.dataframe", READ_TABLES)
    tables = [t for t in shown if any(" / " in cell for cell in words(t))]
    assert len(tables) == 3
    for fold, table in enumerate(tables):
        metrics, rows = table[0][1:], [row for row in table if " / " in row[-1]]
        assert [row[0] for row in rows] == ["0", "2", "5", "8", "10"]
        for sigma, *cells in rows:
            for metric, cell in zip(metrics, cells, strict=True):
                item = f"fold {fold}, sigma {sigma}, {metric}"
                line = card["Item"].isin([item, f"{item} (the paper's AUC)"])
                (row,) = card[line].to_dict("records")
                assert cell == f"{row['Paper']} / {row['Ours'] or '–'}", item
