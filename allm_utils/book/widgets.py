"""What a reader can drag in the plain page, without a kernel: HTML and a few lines of script.

What a function gives is shown by a notebook, in the book and on Colab, and loads nothing. `guess`,
`game` and `bench` load the network of `allm_utils.ship.web` when their reader asks, where the book
carries it; elsewhere they show the answers that they were given.
"""

import base64
import io
import json
from collections.abc import Sequence
from importlib import resources

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


def guess(pictures, labels, p_all, source: str, network: str = "images") -> HTML:
    """Let the reader call each cell HEM or ALL, and then see the truth and what a network says.

    Pictures, ``uint8 (N, S, S, 3)`` as it sees them, are shown twice as bright; from 0.5 it says
    ALL. `p_all` stands where `network`, of `allm_utils.ship.web.NETWORKS`, cannot be asked.
    """
    cells = _cells(pictures, labels, p_all)
    return _page("guess", {"cells": cells, "network": network, "source": source}, "network.js")


def game(rounds: dict[str, tuple], source: str) -> HTML:
    """Let the reader call cells one by one, and compare confusion matrices with a network.

    `rounds` are (network, pictures, labels, p_all), as `guess` takes them, by whose cells they are.
    """
    named = [
        {"name": name, "network": network, "cells": _cells(*cells)}
        for name, (network, *cells) in rounds.items()
    ]
    return _page("game", {"rounds": named, "source": source}, "network.js")


def bench(
    pictures: dict[str, np.ndarray],
    answers: dict[str, Sequence],
    points: dict[str, float],
    card: dict,
    source: str,
) -> HTML:
    """Let the reader ask the network about a cell, moved, blurred, lit, or of their own.

    `pictures` are originals, ``uint8 (H, W, 3)``, by name, `answers` their probabilities of ALL by
    runtime, `points` the probabilities from which a cell is called ALL; the network's `card` says
    its crop and the size of its pictures.
    """
    cells = [
        {
            "name": name,
            "picture": _webp(picture, lossless=True),
            "answers": {who: float(p[i]) for who, p in answers.items()},
        }
        for i, (name, picture) in enumerate(pictures.items())
    ]
    networks = [
        {"name": "images", "title": "eight bits"},
        {"name": "images-float", "title": "floats of 16 bits"},
    ]
    payload = {"cells": cells, "networks": networks, "points": points, "source": source}
    return _page(
        "bench", payload | {"crop": card["crop"], "size": card["image_size"]}, "network.js"
    )


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

    `promises` are chances that a leukemic cell is cleared wrongly, at most; `called` has, by whose
    cells they are, what `referral.outcome` takes for each promise.
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


def _page(name: str, payload: dict, *scripts: str) -> HTML:
    """The page ``widgets/NAME.html`` in our look, with the payload as JSON in its script."""
    folder = resources.files("allm_utils.book") / "widgets"
    style, page, *more = (
        (folder / file).read_text("utf-8")
        for file in ("style.css", f"{name}.html", "shared.js", *scripts)
    )
    shared = "".join(f"<script>\n{script}</script>\n" for script in more)
    filled = page.replace("$payload", json.dumps(payload).replace("<", "\\u003c"))
    return HTML(f'<div class="aw"><style>{style}</style>\n{shared}{filled}</div>')


def _cells(pictures, labels, p_all):
    return [
        {"picture": _webp(picture, lossless=True), "label": int(label), "p_all": round(float(p), 6)}
        for picture, label, p in zip(pictures, labels, p_all, strict=True)
    ]


def _address(picture):
    """The picture, twice as bright, as an address that holds it whole."""
    bright = np.clip(picture * 2.0, 0, 255).astype(np.uint8)
    return "data:image/webp;base64," + _webp(bright, quality=85)


def _webp(picture, **how):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", **how)
    return base64.b64encode(buffer.getvalue()).decode()
