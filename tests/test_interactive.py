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


def test_a_name_cannot_end_the_script():
    picture = np.zeros((450, 450, 3), np.uint8)
    evil, good = (
        widgets.crop_slider({name: picture}, [150], [150, 160], [0, 1], "made")
        for name in ("</script><!--", "one")
    )
    assert evil.data.count("</script>") == good.data.count("</script>")
    assert "<!--" not in evil.data
    assert payload(evil)["cells"][0]["name"] == "</script><!--"


def stored(text):
    """A picture as a page holds it."""
    data = base64.b64decode(text.removeprefix("data:image/webp;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_page_holds_what_it_shows_and_loads_nothing():
    """What it does with that, tests/book tries in a browser."""
    picture = np.zeros((450, 450, 3), np.uint8)
    picture[150:300, 150:300] = (60, 20, 70)
    noisy = np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8)
    answers = {"clean": ([0, 1, 0, 1], [0.4, 0.9, 0.1, 0.3]), "σ 10": ([1, 0], [0.5, 0.25])}
    image, kernel, mix = np.arange(50).reshape(5, 5, 2), np.ones((3, 3, 2), int), np.eye(2)
    stepper = widgets.separable_stepper(image, kernel, mix)
    expected = {"image": image.tolist(), "kernel": kernel.tolist(), "mix": mix.tolist()}
    assert payload(stepper) == expected and "http" not in stepper.data
    crop, lab, threshold, guess = pages = (
        widgets.crop_slider({"one": picture}, [150], [150, 250, 310, 260], [0, 0, 1, 1], "made"),
        widgets.noise_lab(noisy[:, ::-1], "made"),
        widgets.threshold_slider(answers, "made"),
        widgets.guess(noisy[None], np.array([0]), np.array([0.25], np.float32), "made"),
    )
    for page in pages:
        assert payload(page)["source"] == "made"
        assert "http" not in page.data.replace("http://www.w3.org/2000/svg", "")
    assert payload(crop)["shares"] == payload(crop)["shares"] | {"224": [50, 0], "450": [100, 100]}
    assert abs(stored(payload(crop)["cells"][0]["picture"])[225, 225, 2] - 140.0) < 8  # 2 × bright
    assert base64.b64decode(payload(lab)["pixels"]) == noisy[:, ::-1].tobytes()
    assert payload(threshold)["sets"] == [
        {"name": "clean", "hem": [0.1, 0.4], "all": [0.3, 0.9]},
        {"name": "σ 10", "hem": [0.25], "all": [0.5]},
    ]
    (cell,) = payload(guess)["cells"]
    assert (cell["label"], cell["p_all"]) == (0, 0.25)
    np.testing.assert_array_equal(stored(cell["picture"]), noisy)  # what is asked about is exact
