"""What a reader can drag in the plain page, without a kernel: HTML and a few lines of script.

What a function gives is shown by a notebook, in the book and on Colab, and loads nothing.
"""

import base64
import io
import json
from collections.abc import Sequence
from importlib import resources
from string import Template

import numpy as np
from IPython.display import HTML
from PIL import Image

from allm_utils.data.cnmc import CLASSES
from allm_utils.judge import referral


def crop_slider(
    pictures: dict[str, np.ndarray], sides: Sequence[int], all_sides, labels, source: str
) -> HTML:
    """Let the reader drag the side of the centre crop, and see what is left of a cell.

    `pictures`, ``uint8 (450, 450, 3)`` by name, are shown twice as bright as they are. `sides` are
    those of the smallest centre crops that hold their cells, in pixels; `all_sides` and `labels`,
    of every cell of the run, give the share of whole cells that is written below the picture.
    """
    all_sides, labels = np.asarray(all_sides), np.asarray(labels, int)
    shares = {
        side: [round(100 * float((all_sides[labels == k] <= side).mean())) for k in (0, 1)]
        for side in range(150, 451, 2)
    }
    cells = [
        {"name": name, "side": int(side), "picture": _address(picture)}
        for (name, picture), side in zip(pictures.items(), sides, strict=True)
    ]
    return _page("crop_slider", {"cells": cells, "shares": shares, "source": source})


def guess(pictures, labels, p_all, source: str) -> HTML:
    """Let the reader call each cell HEM or ALL, and then see the truth and what a network says.

    Pictures, ``uint8 (N, S, S, 3)``, are shown twice as bright; from 0.5 the network says ALL.
    """
    cells = [
        {"picture": _address(picture), "label": int(label), "p_all": round(float(p), 6)}
        for picture, label, p in zip(pictures, labels, p_all, strict=True)
    ]
    return _page("guess", {"cells": cells, "source": source})


def noise_lab(image: np.ndarray, source: str) -> HTML:
    """Let the reader add noise to a cell, turn it and darken it, and watch the numbers.

    ``uint8 (S, S, 3)``, S about 96; its raw pixels travel in the page, unchanged.
    """
    pixels = base64.b64encode(np.ascontiguousarray(image).tobytes()).decode()
    return _page("noise_lab", {"pixels": pixels, "size": len(image), "source": source})


def threshold_slider(answers: dict[str, tuple], source: str) -> HTML:
    """Let the reader move the threshold, and see confusion matrix, metrics and ROC point follow.

    `answers` are (labels, p_all) by the name of the test images.
    """
    sets = []
    for name, (labels, p_all) in answers.items():
        labels, p_all = np.asarray(labels, int), np.asarray(p_all, float).round(6)
        parts = {"hem": p_all[labels == 0], "all": p_all[labels == 1]}
        sets.append({"name": name, **{key: sorted(p.tolist()) for key, p in parts.items()}})
    return _page("threshold_slider", {"sets": sets, "source": source})


def referral_slider(
    promises: Sequence[float], called: dict[str, Sequence[tuple]], source: str
) -> HTML:
    """Let the reader promise a sensitivity, and see who is referred and what remains wrong.

    Parameters
    ----------
    promises : sequence of float
        Chances that a leukemic cell is cleared wrongly, at most.
    called : dict of str to sequence of (labels, calls, groups)
        By whose cells they are: for each promise what `referral.outcome` takes.
    source : str
        Whose cells they are, and who answered.
    """
    sets = []
    for name, several in called.items():
        outcomes = []
        for labels, calls, groups in several:
            labels, calls = np.asarray(labels, int), np.asarray(calls)
            shares = {
                truth: {call: float((calls[labels == k] == call).mean()) for call in referral.CALLS}
                for k, truth in enumerate(CLASSES)
            }
            outcomes.append({**referral.outcome(labels, calls, groups), **shares})
        sets.append({"name": name, "outcomes": outcomes})
    payload = {"sets": sets, "promises": list(promises), "source": source}
    return _page("referral_slider", payload)


def separable_stepper(image, kernel, mix) -> HTML:
    """Let the reader step through a depthwise separable convolution, one product sum at a time.

    `image` (S, S, M), S about 5; `kernel` (K, K, M), a filter per channel; `mix` (M, N), the
    pointwise weights.
    """
    arrays = {"image": image, "kernel": kernel, "mix": mix}
    return _page("separable_stepper", {name: np.asarray(a).tolist() for name, a in arrays.items()})


def _page(name: str, payload: dict) -> HTML:
    """The page ``widgets/NAME.html`` in our look, with the payload as JSON in its script."""
    folder = resources.files("allm_utils.book") / "widgets"
    page = Template((folder / f"{name}.html").read_text("utf-8"))
    filled = page.substitute(payload=json.dumps(payload).replace("<", "\\u003c"))
    style = (folder / "style.css").read_text("utf-8")
    return HTML(f'<div class="aw"><style>{style}</style>\n{filled}</div>')


def _address(picture):
    """The picture, twice as bright, as an address that holds it whole."""
    bright = np.clip(picture * 2.0, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(bright).save(buffer, "WEBP", quality=85)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
