"""What a reader can drag: the page holds its data and loads nothing."""

import base64
import io
import json
import re

import numpy as np
from PIL import Image

from allm_utils.book import widgets


def payload(page):
    """The data in the script of a page."""
    return json.loads(re.search(r"^ *const \{.*\} = (\{.*\});$", page.data, re.MULTILINE)[1])


def test_crop_slider_holds_its_pictures_and_shares():
    picture = np.zeros((450, 450, 3), np.uint8)
    picture[150:300, 150:300] = (60, 20, 70)
    page = widgets.crop_slider({"one": picture}, [150], [150, 250, 310, 260], [0, 0, 1, 1], "made")
    data = payload(page)
    assert data["shares"]["224"] == [50, 0] and data["shares"]["450"] == [100, 100]
    assert data["source"] == "made" and "http" not in page.data
    (cell,) = data["cells"]
    assert (cell["name"], cell["side"]) == ("one", 150)
    stored = base64.b64decode(cell["picture"].removeprefix("data:image/webp;base64,"))
    shown = np.asarray(Image.open(io.BytesIO(stored)))
    assert shown.shape == picture.shape
    assert abs(int(shown[225, 225, 2]) - 140) < 8, "twice as bright"


def test_a_name_cannot_end_the_script():
    picture = np.zeros((450, 450, 3), np.uint8)
    evil, good = (
        widgets.crop_slider({name: picture}, [150], [150, 160], [0, 1], "made")
        for name in ("</script><!--", "one")
    )
    assert evil.data.count("</script>") == good.data.count("</script>")
    assert "<!--" not in evil.data
    assert payload(evil)["cells"][0]["name"] == "</script><!--"


def test_noise_lab_holds_the_raw_pixels():
    picture = np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8)
    page = widgets.noise_lab(picture[:, ::-1], "made")
    data = payload(page)
    assert base64.b64decode(data["pixels"]) == picture[:, ::-1].tobytes()
    assert (data["size"], data["source"]) == (96, "made") and "http" not in page.data


def test_separable_stepper_holds_the_arrays():
    image, kernel, mix = np.arange(50).reshape(5, 5, 2), np.ones((3, 3, 2), int), np.eye(2)
    page = widgets.separable_stepper(image, kernel, mix)
    data = payload(page)
    assert data == {"image": image.tolist(), "kernel": kernel.tolist(), "mix": mix.tolist()}
    assert "http" not in page.data


def test_threshold_slider_holds_sorted_probabilities():
    answers = {"clean": ([0, 1, 0, 1], [0.4, 0.9, 0.1, 0.3]), "σ 10": ([1, 0], [0.5, 0.25])}
    page = widgets.threshold_slider(answers, "made")
    data = payload(page)
    assert data["sets"] == [
        {"name": "clean", "hem": [0.1, 0.4], "all": [0.3, 0.9]},
        {"name": "σ 10", "hem": [0.25], "all": [0.5]},
    ]
    assert data["source"] == "made" and "http://www.w3.org/2000/svg" in page.data
    assert page.data.count("http") == 1  # the name of SVG, which nothing fetches


def test_guess_holds_each_cell_with_its_pixels_and_answers():
    pictures = np.random.default_rng(0).integers(0, 255, (2, 8, 8, 3)).astype(np.uint8)
    page = widgets.guess(pictures, np.array([0, 1]), np.array([0.25, 0.5], np.float32), "made")
    data = payload(page)
    assert [(cell["label"], cell["p_all"]) for cell in data["cells"]] == [(0, 0.25), (1, 0.5)]
    assert data["source"] == "made" and "http" not in page.data
    for cell, picture in zip(data["cells"], pictures, strict=True):
        stored = Image.open(io.BytesIO(base64.b64decode(cell["picture"])))
        np.testing.assert_array_equal(np.asarray(stored), picture)  # what is asked about is exact
