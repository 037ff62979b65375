"""A trained model, in any format, on any images of single cells."""

import csv
import itertools
import os
import re
import tarfile
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from allm_utils.data import images
from allm_utils.data.cnmc import CLASSES
from allm_utils.errors import (
    ConfigError,
    DataError,
    ImageError,
    ModelError,
    RecordError,
    need,
    reason,
)
from allm_utils.files import check_writable, quiet, sha256, walk, write_atomically
from allm_utils.judge.predict import predict
from allm_utils.judge.together import check, together
from allm_utils.network import saving
from allm_utils.runs import experiment, probe
from allm_utils.runs.records import Record

_SUFFIXES = (".bmp", ".png", ".jpg", ".jpeg", ".webp")

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

LARGEST = 64 * 2**20
"""Bytes of a file in an archive that are read into memory; a cell of C-NMC has 0.6 MB."""

PART = 4096
"""Answers that are kept in memory before they are written."""

Paths = str | os.PathLike | Iterable[str | os.PathLike]
Weights = str | os.PathLike | None

# least share of exactly black pixels of a known picture. The crops of C-NMC have 44 to 90 %, those
# of whole smears at most 2.5 %
_BLACK = 0.2


def load(
    path: str | os.PathLike,
    threads: int | None = None,
    weights: Weights = "imagenet",
) -> tuple[Any, dict]:
    """Open a saved or exported model with its card.

    A LiteRT or ONNX model uses `threads`, by default all cores; Keras decides for itself. A probe
    may need `weights`, see `runs.probe.load`. Of all, ``predict_on_batch`` takes
    ``uint8 (N, H, W, 3)`` and gives ``float32 (N, 2)``, and `judge.predict` takes the model. A
    ModelError for what is no model of ours, or lacks its card.
    """
    path = Path(path)
    if path.suffix not in _RUNTIMES:
        ours = path.suffix == ".safetensors" and path.is_file()
        is_probe = ours and "probe" in saving.read_card(path)
        return probe.load(path, weights) if is_probe else saving.load(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such model; check the path")
    card = saving.read_card(path)
    if card.get("file_sha256") != sha256(path):  # a runtime may crash on bytes that are not whole
        raise ModelError(f"{path}: its bytes are not those of its card; export or copy it again")
    module, runtime = _RUNTIMES[path.suffix]
    need("deploy", module)
    try:
        saving.check_size(path.stat().st_size)
        with quiet():
            model = runtime(path, threads or os.cpu_count())
    except Exception as error:  # the kinds of both libraries are not public
        what = f"cannot be opened ({reason(error)})"
        raise ModelError(f"{path}: {what}; export or copy it again") from None
    size, takes = card["image_size"], (*model.input_shape[1:], model.takes)
    if takes != (size, size, 3, "uint8"):
        raise ModelError(
            f"{path}: takes {takes}, but its card says {size} pixels, and those are raw (uint8); "
            "export it again"
        )
    return model, card


class LiteRT:
    """A ``.tflite`` file, run by LiteRT; one made for a browser picture by picture."""

    def __init__(self, path: str | os.PathLike, threads: int):
        from ai_edge_litert.interpreter import Interpreter

        self.name = Path(path).name
        self._interpreter = Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._batch = 1
        (self._input,) = self._interpreter.get_input_details()
        self._one_by_one = self._input["shape_signature"][0] == 1
        outputs = self._interpreter.get_output_details()
        self._output = next(one for one in outputs if len(one["shape"]) == 2)
        self.input_shape = (None, *self._input["shape"][1:].tolist())
        self.output_shape = (None, *self._output["shape"][1:].tolist())
        self.takes = np.dtype(self._input["dtype"]).name

    def predict_on_batch(self, pictures: np.ndarray) -> np.ndarray:
        """Probabilities of HEM and ALL, ``float32 (N, 2)``, of ``uint8 (N, H, W, 3)``."""
        interpreter, index = self._interpreter, self._input["index"]
        if self._one_by_one and len(pictures) != 1:
            return np.concatenate([self.predict_on_batch(one[None]) for one in pictures])
        if len(pictures) != self._batch:
            interpreter.resize_tensor_input(index, pictures.shape)
            interpreter.allocate_tensors()
            self._batch = len(pictures)
        interpreter.set_tensor(index, np.ascontiguousarray(pictures))
        interpreter.invoke()
        return interpreter.get_tensor(self._output["index"])


class ONNX:
    """An ``.onnx`` file, run by ONNX Runtime on the CPU."""

    def __init__(self, path: str | os.PathLike, threads: int):
        import onnxruntime

        self.name = Path(path).name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        (pixels,), (answer,) = self._session.get_inputs(), self._session.get_outputs()
        self._input = pixels.name
        self.input_shape = (None, *pixels.shape[1:])
        self.output_shape = (None, *answer.shape[1:])
        self.takes = pixels.type.removeprefix("tensor(").removesuffix(")")

    def predict_on_batch(self, pictures: np.ndarray) -> np.ndarray:
        """Probabilities of HEM and ALL, ``float32 (N, 2)``, of ``uint8 (N, H, W, 3)``."""
        return self._session.run(None, {self._input: np.ascontiguousarray(pictures)})[0]


# by suffix: the package that runs the format, and the class that asks it
_RUNTIMES = {".tflite": ("ai_edge_litert", LiteRT), ".onnx": ("onnxruntime", ONNX)}


def predict_images(
    model_path: str | os.PathLike,
    image_paths: Paths,
    batch_size: int = 64,
    progress: bool = True,
    beside: Sequence[str] = (),
    weights: Weights = "imagenet",
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Predict images as `stream`, and keep all answers in memory.

    Returns them in the order of the paths, and ``file`` and ``reason`` of the images that cannot be
    read, or are not of the kind the model was trained on.
    """
    tables = list(stream(model_path, image_paths, batch_size, progress, beside, weights))
    table = pd.concat(tables, ignore_index=True)
    bad = table["label"] == ""
    refused = table.loc[bad, ["file", "note"]].rename(columns={"note": "reason"})
    return table[~bad].reset_index(drop=True), refused.reset_index(drop=True)


def stream(
    model_path: str | os.PathLike,
    image_paths: Paths,
    batch_size: int = 64,
    progress: bool = True,
    beside: Sequence[str] = (),
    weights: Weights = "imagenet",
    after: tuple[int, str] = (0, ""),
) -> Iterator[pd.DataFrame]:
    """Predict any number of images, fed as the model's card says, batch by batch.

    While the model is busy with one batch, threads read, crop and resize the next one. No more
    than these two are in memory. The judges `beside` the model are asked too, by name, see `panel`;
    `weights` as in `load`. It begins after `after[0]` images, of which the last is `after[1]`.

    Yields
    ------
    DataFrame
        Columns ``file`` (its name), ``p_all`` (probability of ALL, float32), ``label`` (``"ALL"``
        from 0.5 upwards, else ``"HEM"``) and ``note`` (what to mind; empty as a rule). For an image
        that is refused ``p_all`` is nan, ``label`` empty and ``note`` says why.
    """
    found = listed(image_paths)
    ask = Asker(model_path, beside, weights)
    ask.check(batch_size)  # what is wrong is said before any work
    skipped = deque(itertools.islice(found, after[0]), maxlen=1)
    if after[0] and [str(one) for one in skipped] != [after[1]]:
        raise DataError(f"{after[1]}: is not image {after[0]:,} of these; begin anew with them")
    with tqdm(desc="predict", unit="img", initial=after[0], disable=not progress) as bar:
        for batch in ask.ahead(found, batch_size):
            yield ask.answers(batch)
            bar.update(len(batch))


def panel(
    model_path: str | os.PathLike,
    beside: Sequence[str],
    weights: Weights = "imagenet",
) -> list[tuple[Any, dict]]:
    """Open a model and the judges beside it, each with its card; `judge.together` adds them.

    The judge NAME of MODEL.safetensors is ``MODEL-NAME.safetensors``, a probe or a network that
    reads pictures in its own way. A ModelError for one that is not there, or has no voice; a
    ConfigError for names that are none, or stand there twice.
    """
    if len({*beside}) < len(beside) or not all(re.fullmatch(r"[\w-]+", name) for name in beside):
        raise ConfigError(f"--with {' '.join(beside)}: name each judge once, after the images")
    paths = [Path(model_path), *(_beside(model_path, name) for name in beside)]
    judges = [load(one, weights=weights) for one in paths]
    if beside:
        for one, (_, card) in zip(paths, judges, strict=True):
            check(one, card)
    return judges


def _beside(model_path, name):
    path = Path(model_path)
    return path.with_name(f"{path.stem}-{name}.safetensors")


def tests(
    saved: str | os.PathLike,
    beside: Sequence[str],
    source: Record,
    data: str | os.PathLike | None,
    work: str | os.PathLike,
    weights: Weights = "imagenet",
) -> tuple[dict[str, Callable[[np.ndarray], np.ndarray]], dict[str, Any]]:
    """Ask a saved network alone, and with the judges beside it, for `runs.experiment.retest`.

    Returns what answers under "clean" and "together"; and ``judges``: the sha256 of each beside.
    A RecordError for a judge of another split, who may have learned from people of this test.
    """
    experiment.check_model(source, saved)
    judges = panel(saved, beside, weights)
    for name, (_, card) in zip(beside, judges[1:], strict=True):
        if card.get("test") != source.data["split"]["test"]["sha256"]:
            raise RecordError(f"{saved}: {name} beside it has another test part; fit it for this")
    frame, split = experiment.select_again(source, data, work)
    frame, cache = frame[split == "test"], Path(work) / "images"

    def asked(_) -> np.ndarray:
        seen = (images.load(frame, c["image_size"], c["crop"], cache) for _, c in judges)
        p_all = [predict(model, own) for (model, _), own in zip(judges, seen, strict=True)]
        return together(p_all, (card for _, card in judges))

    files = {name: sha256(_beside(saved, name)) for name in beside}
    return {"clean": partial(predict, judges[0][0]), "together": asked}, {"judges": files}


class Asker:
    """A model with its card, asked about images by name: what `stream` and Ray Data need."""

    def __init__(
        self,
        model_path: str | os.PathLike,
        beside: Sequence[str] = (),
        weights: Weights = "imagenet",
    ):
        self._judges = panel(model_path, beside, weights)
        self._seen = [(card["image_size"], card["crop"]) for _, card in self._judges]

    def __call__(self, batch: pd.DataFrame) -> pd.DataFrame:
        """Answer for the images of a column ``file``, as `stream`."""
        return self.answers([self._read(path) for path in batch["file"]])

    def check(self, batch_size: int) -> None:
        """Refuse a batch size or a model that cannot be asked."""
        for model, _ in self._judges:
            predict(model, (), batch_size=batch_size)

    def _read(self, path):
        if isinstance(path, ImageError):
            return str(path).partition(": ")[0], path
        try:
            return str(path), {how: images.prepare(path, *how) for how in {*self._seen}}
        except ImageError as error:
            return str(path), error

    def ahead(self, paths: Iterator, batch_size: int) -> Iterator[list]:
        """Read batches, each while the one before it is being looked at."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow frees the lock

            def begin():
                return [pool.submit(self._read, p) for p in itertools.islice(paths, batch_size)]

            ahead = begin()
            while True:
                now, ahead = ahead, begin()
                yield [reading.result() for reading in now]
                if not ahead:
                    return

    def answers(self, batch: list) -> pd.DataFrame:
        """Answer for images that are read, or refused."""
        rows = [(name, np.nan, str(one) * isinstance(one, ImageError)) for name, one in batch]
        table = pd.DataFrame(rows, columns=["file", "p_all", "note"])
        good = np.array([not isinstance(one, ImageError) for _, one in batch], bool)
        if good.any():
            read = [one for _, one in batch if not isinstance(one, ImageError)]
            pictures = {how: np.stack([one[how] for one in read]) for how in self._seen}
            asked = zip(self._judges, self._seen, strict=True)
            p_all = [predict(m, pictures[how], batch_size=len(read)) for (m, _), how in asked]
            voices = [card for _, card in self._judges]
            table.loc[good, "p_all"] = together(p_all, voices) if len(voices) > 1 else p_all[0]
            table.loc[good, "note"] = list(map(_note, pictures[self._seen[0]]))
        label = np.where(table["p_all"] >= 0.5, CLASSES[1], CLASSES[0])
        table.insert(2, "label", np.where(good, label, ""))
        return table.astype({"p_all": np.float32})


def _note(picture):
    black = 1 - picture.any(axis=-1).mean()
    if black >= _BLACK:
        return ""
    return (
        f"{black:.0%} of it is black: no single cell cut out on black, so the answer means nothing"
    )


# -- answers on disk --------------------------------------------------------------------------


def write(
    model_path: str | os.PathLike,
    image_paths: Paths,
    out: str | os.PathLike,
    resume: bool = False,
    batch_size: int = 64,
    progress: bool = True,
    beside: Sequence[str] = (),
    weights: Weights = "imagenet",
) -> Iterator[str]:
    """Predict any number of images as `stream`, into a file; yields why one is refused.

    `out` is ``NAME.csv``, or ``NAME.parquet``, a folder of Parquet files that is read as one table.
    With `resume` what is there goes on; a killed process loses `PART` answers at most.
    """
    out = Path(out)
    if out.suffix not in _WRITERS:
        raise ConfigError(f"{out}: name it NAME.csv or NAME.parquet")
    if out.exists() and not resume:
        raise DataError(f"{out}: there already; add --resume, or choose another name")
    check_writable(out.parent)
    writer = _WRITERS[out.suffix](out)
    kept, n = [], 0
    for table in stream(
        model_path, image_paths, batch_size, progress, beside, weights, writer.after
    ):
        yield from table.loc[table["label"] == "", "note"]
        kept, n = [*kept, table], n + len(table)
        if n >= PART:
            writer.add(pd.concat(kept))
            kept, n = [], 0
    if kept:
        writer.add(pd.concat(kept))


_HEADER = b"file,p_all,label,note\n"


class _Csv:
    """One file, to which parts are added; half a line that a kill left is cut off."""

    def __init__(self, path: Path):
        self._path, lines, last, end = path, 0, b"", 0
        if path.exists():
            with open(path, "rb+") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        lines, last, end = lines + 1, line, end + len(line)
                file.seek(0)
                try:
                    row = next(csv.reader([last.decode(errors="surrogateescape")]), [])
                except csv.Error:
                    row = []
                if not _HEADER.startswith(file.readline()) or (lines and len(row) != 4):
                    raise DataError(f"{path}: not answers of 'allm predict'; choose another name")
                file.truncate(end)
        self.after = (lines - 1, row[0]) if lines > 1 else (0, "")
        self._header = not lines

    def add(self, table: pd.DataFrame) -> None:
        text = table.to_csv(
            index=False, header=self._header, float_format="%.6f", lineterminator="\n"
        )
        with open(self._path, "ab") as file:
            file.write(text.encode(errors="surrogateescape"))
        self._header = False


class _Parquet:
    """A folder of files, each written whole, named by the row that it begins with."""

    def __init__(self, path: Path):
        need("cluster", "pyarrow")
        self._path, names = path, pd.Series(dtype=str)
        rows = 0
        for part in sorted(path.glob("part-*.parquet")):
            names = pd.read_parquet(part, columns=["file"])["file"]
            rows += len(names)
        self.after = (rows, names.iloc[-1]) if rows else (0, "")
        self._rows = rows

    def add(self, table: pd.DataFrame) -> None:
        part = self._path / f"part-{self._rows:09}.parquet"
        write_atomically(part, lambda place: table.to_parquet(place, index=False))
        self._rows += len(table)


_WRITERS = {".csv": _Csv, ".parquet": _Parquet}


# -- which images -----------------------------------------------------------------------------


def listed(image_paths: Paths) -> Iterator[Path | images.Member | ImageError]:
    """List images one by one, out of folders, archives and lists too.

    A folder stands for all images in it and below, by name; what is hidden is passed over, and so
    is what macOS leaves in archives; links are followed. A zip or tar archive stands for the images
    in it, and a ``.txt`` file for the paths in its lines, relative to its folder. A file of an
    archive that cannot be had is an ImageError; a folder without images raises one at once.
    """
    if isinstance(image_paths, str | os.PathLike):
        image_paths = [image_paths]
    paths = [Path(path) for path in image_paths]
    for path in paths:
        if path.is_dir() and not any(names for _, names in walk(path, _SUFFIXES)):
            raise ImageError(f"{path}: no image in this folder; give BMP, PNG, JPEG or WebP files")
    return itertools.chain.from_iterable(map(_images, paths))


def _images(path: Path) -> Iterator[Path | images.Member | ImageError]:
    if path.is_dir():
        for where, names in walk(path, _SUFFIXES):
            yield from (where / name for name in names)
    elif path.suffix.lower() == ".txt" and path.is_file():
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for one in (path.parent / line for line in map(str.strip, file) if line):
                yield from [one] if one.suffix.lower() == ".txt" else _images(one)
    elif path.name.lower().endswith(ARCHIVES) and path.is_file():
        try:
            yield from (_zipped if zipfile.is_zipfile(path) else _tarred)(path)
        except Exception as error:  # zip, tar and what unpacks them raise many kinds
            yield ImageError(f"{path}: a broken archive ({reason(error)}); copy it again")
    else:
        yield path


def _zipped(path):
    with zipfile.ZipFile(path) as archive:
        for entry in filter(lambda entry: _wanted(entry.filename), archive.infolist()):
            try:
                yield _member(path, entry.filename, archive.open(entry))
            except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error) as error:
                yield ImageError(f"{path}/{entry.filename}: cannot be unpacked ({reason(error)})")


def _tarred(path):
    with tarfile.open(path, "r|*") as archive:
        for entry in archive:
            archive.members.clear()  # type: ignore  # it would remember all
            if entry.isfile() and _wanted(entry.name):
                yield _member(path, entry.name, archive.extractfile(entry))


def _wanted(name):
    hidden = any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)
    return name.lower().endswith(_SUFFIXES) and not hidden


def _member(path, name, file):
    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        return ImageError(
            f"{path}/{name}: larger than {LARGEST // 2**20} MiB; no picture of a cell"
        )
    return images.Member(f"{path}/{name}", content)
