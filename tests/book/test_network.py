"""The network in the page: asked from a folder and over http, by mouse and by keyboard."""

import base64
import io
import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from PIL import Image
from playwright.sync_api import expect

from allm_utils.data import images, sample
from allm_utils.judge.predict import predict
from allm_utils.ship import inference, web

pytestmark = [
    pytest.mark.needs("book"),
    pytest.mark.needs("chromium"),
    pytest.mark.xdist_group("network"),  # which is loaded once
]

WORK = Path(os.environ.get("ALLM_WORK", "work"))
CHAPTER = "notebooks/13_deployment.html"
PHONE = {"width": 390, "height": 844}
ASK = """
async ([name, file, crop, size]) => {
  const bytes = Uint8Array.from(atob(file), letter => letter.charCodeAt(0));
  const picture = await aw.network.decode(new Blob([bytes]), "cell");
  const edge = (picture.width - crop) / 2;
  return (await aw.network.ask(name, aw.network.prepared(picture, edge, edge, crop, size))).p;
}
"""


@pytest.fixture(scope="module")
def cells():
    """Every 25th cell of the sample: 24 files."""
    return sample.index(WORK)["path"].tolist()[::25]


@contextmanager
def loaded(browser, root):
    """Chapter 13 with its network; no request leaves."""
    context = browser.new_context(viewport=PHONE)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: m.type == "error" and wrong.append(m.text))
    page.on("request", lambda r: r.url.startswith((root, "data:", "blob:")) or wrong.append(r.url))
    page.on("request", lambda r: r.method == "GET" or wrong.append(r.method))
    page.goto(root + CHAPTER)
    if page.locator("meta[name=allm-network]").count() == 0:
        pytest.skip("this book was built without npm")
    assert "MB)" in asking(page).inner_text()
    press(page)
    yield page
    context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def bench(browser, html):
    """That page, opened from a folder."""
    with loaded(browser, f"{html.as_uri()}/") as page:
        yield page


def asking(page, widget="bench"):
    return page.locator(f"#{widget}").get_by_role("button", name="Ask the network")


def press(page, widget="bench"):
    asking(page, widget).press("Enter")
    page.wait_for_function(
        "id => !document.querySelector(`#${id} .aw-ask button`).disabled", arg=widget
    )


def answer(page):
    """Wait for the answer to what the bench shows now, and read it."""
    page.wait_for_function("document.querySelector('#bench .answer meter')")
    return float(page.locator("#bench meter").get_attribute("value"))


def test_it_answers_as_in_python_from_a_folder_and_over_http(bench, browser, site, cells):
    model, card = inference.load(web.networks(WORK)["images"])
    expected = predict(model, np.stack([images.prepare(path) for path in cells]))
    files = [base64.b64encode(Path(path).read_bytes()).decode() for path in cells]
    with loaded(browser, site) as served:
        for page in (bench, served):
            said = [
                page.evaluate(ASK, ["images", f, card["crop"], card["image_size"]]) for f in files
            ]
            assert len(said) == 24 and np.ptp(expected) > 0.9
            assert np.abs(said - expected).max() < 0.01


def test_bench_shows_one_cell_by_every_runtime(bench):
    rows = bench.locator("#bench tbody tr").all()
    found = {row.locator("th").inner_text(): row.locator("td").first.inner_text() for row in rows}
    here, page = found["this browser, eight bits"], found["LiteRT, the file of the page"]
    assert abs(float(here) - float(page)) < 0.01
    assert abs(float(found["Keras"]) - float(found["ONNX"])) < 0.0011
    assert float(here) == pytest.approx(answer(bench), abs=6e-4)


def test_sliders_change_picture_and_answer_together(bench):
    def seen():
        return bench.evaluate("document.querySelector('#bench .seen').toDataURL()")

    picture, p = seen(), answer(bench)
    for name, key in (("noise, σ", "End"), ("light, times", "Home"), ("blur, radius", "End")):
        bench.get_by_label(name).press(key)
    bench.wait_for_function(f"document.querySelector('#bench meter').value !== {p}")
    assert seen() != picture
    bench.get_by_label("ALL 1", exact=True).check()
    bench.get_by_label("HEM 1", exact=True).check()
    bench.wait_for_function(f"document.querySelector('#bench meter')?.value === {p}")
    assert seen() == picture
    for change in (
        bench.get_by_label("heat map").check,
        partial(bench.get_by_label("square, down").press, "Home"),
    ):
        change()
        assert seen() != picture
    bench.get_by_label("heat map").uncheck()


def file_of(picture, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind)
    return buffer.getvalue()


COLOUR = np.random.default_rng(0).integers(1, 255, (450, 450, 3)).astype(np.uint8)
REFUSED = {
    "photograph.png": (file_of(COLOUR), "0 % of the square is black"),
    "small.png": (file_of(COLOUR[:200]), "smaller than the square of 300"),
    "grey.png": (file_of(COLOUR[..., 0]), "not 8-bit RGB"),
    "grey.jpg": (file_of(np.repeat(COLOUR[..., :1], 3, -1), "JPEG"), "a grey picture"),
    "half.png": (file_of(COLOUR)[:5000], "broken"),
    "words.txt": (b"no picture at all, but words and more words", "not a BMP, PNG, JPEG or WebP"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_cannot_know_gets_one_line(bench, name):
    content, words = REFUSED[name]
    given = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    bench.locator("#bench input[type=file]").set_input_files(given)
    line = bench.locator("#bench .answer [role=alert]")
    expect(line).to_contain_text(name)
    assert words in line.inner_text()
    assert "\n" not in line.inner_text() and bench.locator("#bench meter").count() == 0


def test_pictures_in_turn_do_not_grow_memory(bench, cells):
    """Neither the memory of the runtime nor, after a collection, that of the page."""
    session = bench.context.new_cdp_session(bench)
    session.send("Performance.enable")

    def used():
        session.send("HeapProfiler.collectGarbage")
        runtime = bench.evaluate("LiteRT.getGlobalLiteRt().liteRtWasm.HEAPU8.length")
        metrics = session.send("Performance.getMetrics")["metrics"]
        (heap,) = [one["value"] for one in metrics if one["name"] == "JSHeapUsedSize"]
        return runtime, heap / 1e6

    def three():
        for path in cells[:3]:
            bench.locator("#bench input[type=file]").set_input_files(path)
            answer(bench)
            bench.wait_for_function(
                "name => document.querySelector('#bench caption')?.textContent.includes(name)",
                arg=Path(path).name,
            )

    three()
    runtime, page = used()
    three()
    three()
    assert used()[0] == runtime and used()[1] < page + 1


@pytest.mark.parametrize("look", ["light", "dark"])
def test_an_answer_is_accessible_and_fits_a_phone(bench, look):
    bench.emulate_media(color_scheme=look)
    bench.wait_for_function(f"document.documentElement.dataset.theme === '{look}'")
    bench.get_by_label("HEM 1", exact=True).check()
    answer(bench)
    bench.wait_for_timeout(300)  # colours change gradually
    bench.evaluate(AXE_FILE_PATH.read_text())
    found = bench.evaluate("axe.run('#bench', {preload: false}).then(found => found.violations)")
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    assert bench.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_game_by_keyboard_ends_with_both_matrices(bench):
    bench.get_by_label("people from outside").check()
    for number in range(1, 21):
        assert f"Cell {number} of 20" in bench.locator("#game .count").inner_text()
        name = "ALL" if number % 2 else "HEM"
        bench.locator("#game").get_by_role("button", name=name, exact=True).press("Enter")
    press(bench, "game")
    you, network = (
        [int(n) for n in bench.locator("#game table").nth(i).locator("tbody td").all_inner_texts()]
        for i in (0, 1)
    )
    assert you[0] + you[1] == you[2] + you[3] == network[0] + network[1] == 10
    assert you[1] + you[3] == 10  # the reader said ALL every second time
    words = bench.locator("#game .score").inner_text()
    assert f"You: {you[0] + you[3]} of 20" in words
    assert f"The network: {network[0] + network[3]}." in words
    assert network[3] == 10 and network[1] > 2, "it takes strangers for leukemic"


@pytest.mark.parametrize("name", ["book/index.html", "notebooks/00_first_look.html"])
def test_guess_then_ask_on_the_first_pages(browser, site, name):
    with browser.new_context(viewport=PHONE).new_page() as page:
        page.goto(site + name)
        if page.locator("meta[name=allm-network]").count() == 0:
            pytest.skip("this book was built without npm")
        assert "Education, not diagnosis" in page.locator("#guess .aw-ask").inner_text()
        page.get_by_role("group", name="Cell 1", exact=True).get_by_label("ALL").check()
        press(page, "guess")
        cells = page.locator("#guess fieldset").count()
        score = page.locator("#guess .score").inner_text()
        assert f" of {cells} right. You: " in score and "of 1." in score
