"""The widgets of the chapters by themselves, dragged by keyboard, without a network."""

import operator
from itertools import pairwise

import numpy as np
import pytest

from allm_utils.book import widgets
from allm_utils.judge import metrics, referral

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture
def show(browser):
    """Open one widget on a page of its own; fails if its script does."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, offline=True)
    errors = []

    def open_widget(widget):
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.set_content(f"<html lang=en><title>widget</title><main>{widget.data}</main>")
        return page

    yield open_widget
    context.close()
    assert errors == []


@pytest.fixture
def lab(show):
    cell = np.zeros((96, 96, 3), np.uint8)
    cell[24:72, 24:72] = (90, 60, 110)
    return show(widgets.noise_lab(cell, "made"))


def reading(lab, name):
    """A number that the noise laboratory shows."""
    return float(lab.locator(f"output[name={name}]").inner_text().strip("±×%° "))


def test_noise_lab_clips_at_black(lab):
    assert "made" in lab.locator(".name").inner_text()
    assert reading(lab, "sigma_out") == 9
    assert reading(lab, "background") == pytest.approx(9 / np.sqrt(2 * np.pi), abs=0.2)
    assert reading(lab, "above") == pytest.approx(48, abs=2)
    assert reading(lab, "noise") == pytest.approx(9, abs=0.4)
    assert reading(lab, "cell") == pytest.approx((90 + 60 + 110) / 3, abs=0.6)
    lab.locator("input[name=sigma]").press("Home")
    assert reading(lab, "sigma_out") == reading(lab, "noise") == reading(lab, "background") == 0


def test_noise_lab_smooths_by_turning_and_dims_both(lab):
    lab.locator("input[name=angle]").press("PageUp")
    assert reading(lab, "angle_out") != 0
    assert reading(lab, "noise") == pytest.approx(6, abs=0.7)
    relative = reading(lab, "relative")
    lab.locator("input[name=factor]").press("Home")
    assert reading(lab, "factor_out") == 0.4
    assert reading(lab, "noise") == pytest.approx(0.4 * 6, abs=0.3)
    assert reading(lab, "relative") == pytest.approx(relative, abs=1)


def test_noise_lab_draws_anew(lab):
    def picture():
        return lab.evaluate("document.querySelector('#noise-lab canvas').toDataURL()")

    before = picture()
    lab.get_by_role("button", name="Draw new noise").press("Enter")
    assert picture() != before


def test_stepper_computes_what_numpy_does(show):
    rng = np.random.default_rng(1)
    plain = operator.methodcaller("replace", "−", "-")
    image, kernel = rng.integers(0, 4, (5, 5, 2)), rng.integers(-1, 2, (3, 3, 2))
    mix = np.array([[1, 0, 2], [0, 1, -1]])
    page = show(widgets.separable_stepper(image, kernel, mix))
    slider, words = page.locator("input[type=range]"), page.locator("p")
    slider.press("ArrowRight")
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(0, 1))
    filtered = np.einsum("klmij,ijm->klm", windows, kernel)
    assert f"= {filtered[0, 0, 0]}. Multiplications so far: 9 of 216" in plain(words.inner_text())
    page.get_by_role("button", name="Next").press("Enter")
    assert f"= {filtered[0, 1, 0]}. Multiplications so far: 18" in plain(words.inner_text())
    slider.press("End")
    assert "216 of 216; a standard convolution needs 486" in words.inner_text()
    assert page.get_by_role("button", name="Next").is_disabled()
    for n in range(3):
        shown = page.get_by_role("img", name=f"output {n + 1}").get_attribute("aria-label")
        values = np.array(plain(shown).split(": ")[1].replace(";", "").split(), int)
        np.testing.assert_array_equal(values, (filtered @ mix)[..., n].ravel())


def test_stepper_shows_input_and_output_side_by_side_whatever_the_theme_says(show):
    ones = np.ones((5, 5, 2), int)
    page = show(widgets.separable_stepper(ones, ones[:3, :3], ones[0, :2]))
    page.set_viewport_size({"width": 1000, "height": 800})
    page.add_style_tag(content=".row > *, .grid > * { width: 100%; flex-shrink: 0 }")
    boxes = [page.get_by_role("img", name=f"{what} 1").bounding_box() for what in
             ("input, channel", "kernel", "filtered")]  # fmt: skip
    for left, right in pairwise(boxes):
        assert left["x"] + left["width"] < right["x"]
        assert abs(left["y"] + left["height"] / 2 - right["y"] - right["height"] / 2) < 30


def test_widgets_fit_a_phone_and_sliders_are_what_their_labels_name(show, lab):
    ones = np.ones((5, 5, 2), int)
    stepper = show(widgets.separable_stepper(ones, ones[:3, :3], ones[0, :2]))
    for page, name in ((lab, "1. noise"), (lab, "3. brightness"), (stepper, "Step")):
        assert page.get_by_role("slider", name=name).count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


DRAWN = """() => {
    const context = document.querySelectorAll("#crop-slider canvas")[1].getContext("2d");
    const at = (x, y) => Math.max(...context.getImageData(x, y, 1, 1).data.slice(0, 3));
    return [at(2, 2), at(112, 112)];
}"""
"""Brightness of the picture that the network gets, at its corner and in its middle."""


def test_crop_slider_answers_to_the_keyboard(show):
    small, large = np.zeros((2, 450, 450, 3), np.uint8)
    small[145:305, 145:305] = large[60:390, 60:390] = (90, 60, 110)
    cells = {"a small HEM cell": small, "a large ALL cell": large}
    page = show(widgets.crop_slider(cells, [160, 330], [160, 330], [0, 1], "made"))
    page.wait_for_function(f"Math.max(...({DRAWN})()) > 0")
    slider, words = page.get_by_label("Side of the centre crop"), page.locator("#crop-slider p")
    corner, middle = page.evaluate(DRAWN)
    assert corner < 20 < middle, "black around the cell"
    assert "whole" in words.inner_text() and "0.75 times" in words.inner_text()
    slider.press("ArrowRight")
    assert page.locator("#crop-slider output").inner_text() == "302"
    slider.press("Home")
    assert "This cell is cut; it needs" in words.inner_text()
    page.get_by_label("a large ALL cell").check()
    slider.press("End")
    assert "This cell is whole." in words.inner_text()
    assert "100\xa0% of the HEM and 100\xa0% of the ALL" in words.inner_text()


def test_threshold_slider_counts_what_evaluation_does(show):
    rng = np.random.default_rng(2)
    labels = (rng.random(300) < 0.6).astype(int)
    p_all = 1 / (1 + np.exp(-(rng.normal(0, 2, 300) + 3 * (2 * labels - 1))))
    noisy = 1 - p_all / 2
    page = show(widgets.threshold_slider({"a": (labels, p_all), "b": (labels, noisy)}, "made"))
    slider = page.get_by_label("Call a cell ALL")
    assert "made" in page.locator("p").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    def check(p_all):
        threshold = 1 / (1 + np.exp(-float(slider.input_value())))
        found = metrics.metrics(labels, p_all.round(6), threshold)
        shown = {
            cell.get_attribute("data-value"): cell.inner_text()
            for cell in page.locator("[data-value]").all()
        }
        for name in ("tp", "fn", "fp", "tn"):
            assert int(shown[name]) == found[name], (name, threshold)
        for name, key in (("accuracy", "accuracy"), ("balanced", "balanced_accuracy")):
            assert shown[name] == f"{100 * found[key]:.1f}\xa0%"
        assert shown["macro"] == f"{found['f1_macro']:.3f}"
        assert f"{found['fn']} leukemic cells are missed" in page.locator("p").inner_text()

    check(p_all)
    for _ in range(7):
        slider.press("ArrowLeft")
    check(p_all)
    slider.press("Home")
    check(p_all)
    page.get_by_label("b", exact=True).check()
    slider.press("End")
    check(noisy)


def test_guess_counts_the_reader_and_the_network(show):
    pictures = np.full((3, 8, 8, 3), 40, np.uint8)
    page = show(widgets.guess(pictures, [0, 1, 1], [0.7, 0.9, 0.4], "made"))
    score, button = page.locator(".score"), page.get_by_role("button", name="Ask the network")
    assert page.locator(".source").inner_text() == "made"
    assert "carries no network" in page.locator(".aw-ask").inner_text()  # so Python's answers show
    button.press("Enter")
    score.get_by_text("The network: 1 of 3 right. You have not guessed yet").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for number, guess in enumerate(("HEM", "ALL", "HEM"), 1):
        page.get_by_role("group", name=f"Cell {number}").get_by_label(guess).check()
    button.press("Enter")
    score.get_by_text("The network: 1 of 3 right. You: 2 of 3.").wait_for()
    last = page.get_by_role("group", name="Cell 3").locator(".answer")
    assert last.inner_text().split("\n") == ["It is ALL.", "You ✗", "Network ✗", "(0.40)"]


def test_referral_slider_shows_what_the_outcome_says(show):
    rng = np.random.default_rng(3)
    labels, groups = np.repeat([0, 1], 60), np.repeat(np.arange(12), 10)
    promises = [0.05, 0.1, 0.2]
    sets = {
        name: [(labels, rng.choice(referral.CALLS, 120), groups) for _ in promises]
        for name in ("new", "outside")
    }
    page = show(widgets.referral_slider(promises, sets, "made"))
    slider = page.locator("input[type=range]")
    for name, key, number in (("new", "Home", 0), ("outside", "End", 2)):
        page.get_by_role("radio", name=name).check()
        slider.press(key)
        found = referral.outcome(*sets[name][number])
        words = page.locator("p").last.inner_text().replace("\u00a0%", "%")
        assert words.startswith(f"{found['referred']:.0%} of the cells")
        assert f"Cleared wrongly: {found['missed']:.0%}" in words
        assert slider.get_attribute("aria-valuetext") == f"{100 * promises[number]:.0f}\u00a0%"
        called = (sets[name][number][1][60:] == "refer").mean()
        shown = page.get_by_role("img").get_attribute("aria-label")
        assert f"referred {called:.0%}".replace("%", "\u00a0%") in shown.split(". ")[1]


def test_game_compares_two_confusion_matrices(show):
    pictures = np.full((3, 8, 8, 3), 40, np.uint8)
    cells = pictures, [0, 1, 1], [0.7, 0.9, 0.4]
    page = show(widgets.game({"some": ("images", *cells), "others": ("images", *cells)}, "made"))
    for whose in ("some", "others"):
        page.get_by_label(whose).check()
        assert "Cell 1 of 3" in page.locator(".count").inner_text()
        for name in ("HEM", "ALL", "HEM"):
            page.get_by_role("button", name=name, exact=True).press("Enter")
        page.get_by_role("button", name="Ask the network").press("Enter")
        page.get_by_text("You: 2 of 3 right. The network: 1.").wait_for()
        said = [page.locator("table").nth(i).locator("tbody td").all_inner_texts() for i in (0, 1)]
        assert said == [["1", "0", "1", "1"], ["0", "1", "1", "1"]]
        assert page.locator(".missed li").count() == 2
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_bench_without_a_network_shows_the_answers_of_python(show):
    picture = np.zeros((450, 450, 3), np.uint8)
    picture[150:300, 150:300] = (60, 20, 70)
    card = {"crop": 300, "image_size": 224}
    page = show(widgets.bench({"one": picture}, {"Keras": [0.25]}, {"half": 0.5}, card, "made"))
    page.get_by_role("row", name="Keras 0.250").wait_for()
    assert page.get_by_role("button", name="Ask the network").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
