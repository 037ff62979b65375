"""The network in the page: what is packed comes out again, and a book without npm says so."""

import base64
import gzip
import importlib.util
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from allm_utils.data import people, sample
from allm_utils.errors import ConfigError
from allm_utils.network import saving
from allm_utils.runs import records
from allm_utils.ship import web

CORE = """import { createWasmLib } from "@litertjs/wasm-utils";
start(await Environment.create());
export {
  load
};
//# sourceMappingURL=index.js.map"""


@pytest.fixture
def made(monkeypatch, tmp_path):
    """A folder for the work, a network of a few bytes, and an npm that brings next to nothing."""
    model = tmp_path / "images-web.tflite"
    model.write_bytes(bytes(range(256)) * 9000)
    calls = []

    def npm(*words, folder):
        calls.append(words)
        modules = Path(folder, "node_modules", "@litertjs")
        for name, text in {
            "core/dist/index.js": CORE,
            "wasm-utils/dist/index.js": "export {\n  createWasmLib\n};",
            "core/wasm/litert_wasm_compat_internal.js": "var ModuleFactory = 1;",
            "core/wasm/litert_wasm_compat_internal.wasm": "wasm",
        }.items():
            (modules / name).parent.mkdir(parents=True, exist_ok=True)
            (modules / name).write_text(text)
        assert json.loads(Path(folder, "package-lock.json").read_text())["packages"]

    monkeypatch.setattr(web, "networks", lambda work: {"images": model})
    monkeypatch.setattr(web, "npm", npm)
    monkeypatch.setattr(web, "PART", 1000)
    return SimpleNamespace(work=tmp_path / "work", model=model, calls=calls)


def test_parts_hold_the_network_and_are_made_once(made):
    folder = web.pack(made.work)
    parts, size = json.loads((folder / "parts.json").read_text())["images"]
    texts = [(folder / f"images-{n}.js").read_text() for n in range(parts)]
    keys, held = zip(*(re.search(r'\["(.*?)"\] = "(.*)";', t).groups() for t in texts), strict=True)
    assert keys == tuple(f"images-{n}" for n in range(parts)) and parts > 1
    assert size == sum(len(gzip.compress(text.encode())) for text in texts) < len("".join(held))
    assert gzip.decompress(base64.b64decode("".join(held))) == made.model.read_bytes()
    assert web.pack(made.work) == folder and len(made.calls) == 1
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_modules_become_one_plain_script(made):
    script = (web.pack(made.work) / "litert.js").read_text()
    assert "Apache-2.0" in script and "self.LiteRT = {\n  load" in script
    assert not re.search(r"^(?:import|export)|sourceMappingURL", script, re.MULTILINE)


def test_another_runtime_is_refused_and_nothing_is_left(made, monkeypatch):
    monkeypatch.setitem(globals(), "CORE", CORE.replace("export {", "export default {"))
    with pytest.raises(ConfigError, match="use the version of the lock file"):
        web.pack(made.work)
    assert list((made.work / "page").iterdir()) == []


def test_npm_that_fails_says_so_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"^npm: ci fails \([^\n]+\); connect and try again$"):
        web.npm("ci", "--offline", folder=tmp_path)


@pytest.mark.parametrize("name", ["images", "people-round0"])
def test_calibration_cells_are_those_that_the_network_learned_from(name, work):
    card = saving.read_card(records.RESULTS / "models" / f"{name}.safetensors")
    frame = sample.index(work)
    learned = frame[frame["path"].isin(web.learned(card, work))]
    assert len(learned) > 200 and not learned["outside"].any()
    assert set(people.person(learned["subject"])) <= {people.person(one) for one in card["people"]}
    tested = records.load(records.RESULTS / f"{card['record']}.json").rows()["file"]
    assert not learned["path"].map(lambda path: Path(path).name).isin(tested).any()


def test_a_book_without_npm_says_so_and_is_built(root, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("network", root / "book/_ext/network.py")
    extension = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extension)

    def fail(work):
        raise ConfigError("npm: not here")

    monkeypatch.setattr(web, "pack", fail)
    config, context = SimpleNamespace(network=""), {}
    extension.make(None, config)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "The pages of this book carry no network: npm: not here"
    app = SimpleNamespace(config=config, builder=SimpleNamespace(name="html"))
    extension.tell(app, "page", "page.html", context, None)
    assert context == {}
