"""The network in the page, beside onnxruntime-web: in Chromium, with SIMD, the same network.

Both get the shipped network `images`, bias-corrected and in eight bits, calibrated on the same
cells, from a server on this machine; and both run in one thread, for more need headers that neither
a folder nor a plain host of pages sends. The first answer counts everything from an open page on;
every turn is a new browser context, whose cache is empty.
"""

import functools
import gzip
import http.server
import shutil
import threading
from pathlib import Path

import numpy as np

from allm_utils.errors import ConfigError
from allm_utils.network import saving
from allm_utils.runs.records import RESULTS
from allm_utils.ship import export, web

from .measure import row

OTHER = "onnxruntime-web"
VERSION = "1.30.0"
FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
ASK_OTHER = """
self.first = async pixels => {
  self.ort = await import("./ort.wasm.bundle.min.mjs");
  ort.env.wasm.numThreads = 1;
  self.session = await ort.InferenceSession.create("images-int8.onnx");
  return again(pixels);
};
self.again = async pixels => {
  const given = new ort.Tensor("uint8", Uint8Array.from(pixels), [1, 224, 224, 3]);
  return Object.values(await session.run({pixels: given}))[0].data[1];
};
"""
ASK_OURS = """
self.first = pixels => aw.network.load("images", () => {}).then(() => again(pixels));
self.again = async pixels => (await aw.network.ask("images", Uint8Array.from(pixels))).p;
"""
TIMED = """
async ([name, pixels, count]) => {
  const start = performance.now();
  let p;
  for (let i = 0; i < count; i++) p = await self[name](pixels);
  return [(performance.now() - start) / 1000 / count, p];
}
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that does not report every request."""

    def log_message(self, *_):
        pass


def site(folder):
    """Write both pages and what they load; return a cell, and the sizes in MB, gzipped."""
    packed = web.pack(folder)
    model, card = saving.load(RESULTS / "models" / "images.safetensors")
    cells = export.calibration_cells(web.learned(card, folder), card)
    model.set_weights(export.bias_corrected(model, cells).get_weights())
    same = saving.save(model, folder / "images.safetensors", card)
    export.export(same, ["onnx-int8"], folder, cells)
    web.npm("install", "--ignore-scripts", "--no-audit", f"{OTHER}@{VERSION}", folder=folder)
    other = [folder / "node_modules" / OTHER / "dist" / name for name in FILES]
    for path in other:
        shutil.copy(path, folder)
    network = folder / "_static" / "network"
    shutil.copytree(packed, network)
    widgets = Path(web.__file__).parents[1] / "book" / "widgets"
    ours = "".join((widgets / name).read_text("utf-8") for name in ("shared.js", "network.js"))
    about = (packed / "parts.json").read_text("utf-8").replace('"', "&quot;")
    head = f"<html data-content_root=''><meta name=allm-network content=\"{about}\"><body><script>"
    (folder / "ours.html").write_text(f"{head}{ours}{ASK_OURS}</script>", "utf-8")
    (folder / "other.html").write_text(f"<body><script>{ASK_OTHER}</script>", "utf-8")
    loaded = [f"{name}-[0-9].js" for name in ("wasm", "images")] + ["litert.js"]
    both = (
        [path for name in loaded for path in network.glob(name)],
        [*other, folder / "images-int8.onnx"],
    )
    sizes = [sum(len(gzip.compress(path.read_bytes())) for path in paths) for paths in both]
    return cells[0], np.array(sizes) / 1e6


def rows(scale, folder):
    """Compare the first answer, over http and from the folder, those that follow, what travels."""
    from playwright.sync_api import sync_playwright

    if not (chromium := shutil.which("chromium") or shutil.which("chromium-browser")):
        raise ConfigError("Chromium is not here; install it for this topic")
    folder = Path(folder).absolute()
    cell, sizes = site(folder)
    pixels = cell.ravel().tolist()
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}"
    places = (f"{root}/ours.html", f"{root}/other.html", f"{folder.as_uri()}/ours.html")
    first, again, said = (np.empty((scale.turns, 3)) for _ in range(3))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for turn in range(scale.turns):
            pages = [browser.new_context().new_page() for _ in places]
            for page, place in zip(pages, places, strict=True):
                page.goto(place)
            order = (0, 1, 2) if turn % 2 else (2, 1, 0)
            for side in order:
                first[turn, side], said[turn, side] = pages[side].evaluate(
                    TIMED, ["first", pixels, 1]
                )
            for side in order:
                again[turn, side], _ = pages[side].evaluate(TIMED, ["again", pixels, 10])
            for page in pages:
                page.context.close()
        browser.close()
    server.shutdown()
    assert np.ptp(said) < 0.1, said  # the same cell, two ways to round
    yield row("First answer", OTHER, *first[:, :2].T, unit="s", goal=1.5)
    disk = "ours, from a server on this machine"
    yield row("First answer, from a folder", disk, first[:, 2], first[:, 0], unit="s")
    yield row("The next picture", OTHER, *again[:, :2].T, unit="ms a picture", goal=1.5)
    yield row("What travels", OTHER, *sizes[:, None], unit="MB, compressed")
