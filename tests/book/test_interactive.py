"""What a reader can drag, dragged: in the built book, without a kernel."""

import pytest

pytestmark = [pytest.mark.needs("book"), pytest.mark.needs("chromium")]


@pytest.fixture
def page(browser, site):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{site}notebooks/02_balancing.html", wait_until="networkidle")
    yield page
    context.close()


def drawn(page):
    """Brightness of the picture that the network gets, at its corner and in its middle."""
    return page.evaluate(
        """() => {
            const context = document.querySelectorAll("#crop-slider canvas")[1].getContext("2d");
            const at = (x, y) => Math.max(...context.getImageData(x, y, 1, 1).data.slice(0, 3));
            return [at(2, 2), at(112, 112)];
        }"""
    )


def test_crop_slider_answers_to_the_keyboard(page):
    slider, words = page.get_by_label("Side of the centre crop"), page.locator("#crop-slider p")
    corner, middle = drawn(page)
    assert corner < 20 < middle, "black around the cell"
    assert "whole" in words.inner_text() and "0.75 times" in words.inner_text()
    slider.focus()
    slider.press("ArrowRight")
    assert page.locator("#crop-slider output").inner_text() == "302"
    slider.press("Home")
    assert "This cell is cut; it needs" in words.inner_text()
    page.get_by_label("a large ALL cell").check()
    slider.press("End")
    assert "This cell is whole." in words.inner_text()
    assert "100\xa0% of the HEM and 100\xa0% of the ALL" in words.inner_text()
