"""The command ``allm``: thin commands, their options generated from the configuration classes.

A setting's name, type, default and help stand in its class alone. Every error is one line.
"""
# pyright: reportInvalidTypeForm=false

import contextlib
import dataclasses
import io
import os
import sys
import tempfile
import traceback
import typing
from json import dumps
from pathlib import Path
from typing import Annotated, Any, Literal

import docstring_parser
from cyclopts import App, CycloptsError, Parameter

from allm_utils import __version__
from allm_utils.errors import AllmError, ConfigError, reason

SHOWN = ["n", "accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro"]
SHOWN += ["sensitivity", "specificity", "roc_auc"]


def main(argv: list[str] | None = None) -> int:
    """Run the command line, by default with the arguments of the process.

    Returns 0; 1 when `data verify` finds a difference; 2 after an error, which is one line on
    stderr; 130 when interrupted.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # closed by who started us: else a file takes its place
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names that the encoding cannot show
    words = sys.argv[1:] if argv is None else argv
    how = {"exit_on_error": False, "print_error": False, "result_action": "return_value"}
    try:
        code = _app(words)(words, **how)
        if sys.stdout:
            sys.stdout.flush()
        return code or 0
    except CycloptsError as error:
        return _fail(f"{reason(error).rstrip('.')}; see {' '.join(['allm', *words[:1]])} --help")
    except AllmError as error:
        return _fail(error)
    except BrokenPipeError:  # the reader of our output has left: `allm ... | head`
        _shut_stdout()
        return 141
    except OSError as error:
        _shut_stdout()
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{reason(error)}; check rights and free space")
    except KeyboardInterrupt as error:
        _fail(str(error) or "interrupted")
        return 130
    except Exception as error:
        log = "no file, for none can be written"
        with contextlib.suppress(OSError):
            handle, log = tempfile.mkstemp(prefix="allm-", suffix=".log")
            with open(handle, "w", encoding="utf-8", errors="replace") as file:
                file.write(f"allm {__version__} {' '.join(words)}\n{traceback.format_exc()}")
        what = f"unexpected {type(error).__name__} ({reason(error)})"
        return _fail(f"{what}; the traceback is in {log}; please report it")


def _fail(line):
    if sys.stderr:
        print("allm:", "\\n".join(str(line).splitlines()), file=sys.stderr)  # a name may hold \\n
    return 2


def _shut_stdout():
    """Let what is still to be written go nowhere, or Python complains at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# -- data -------------------------------------------------------------------------------------

Tree = Annotated[Path, Parameter(help="A folder above the folds, or one that `pack` made.")]
Table = Annotated[Path, Parameter(help="CSV file: file or path, part, and subject.")]


def index(dir: Tree, /):
    """Count images and people per fold and class."""
    from allm_utils.data import cnmc

    print(cnmc.summary(cnmc.index(dir)).to_string(na_rep=""))


def verify(dir: Tree, /):
    """Compare a tree with the published files."""
    from allm_utils.data import cnmc

    print(found := cnmc.verify(dir))
    return int(not found.ok)


def download(dest: Annotated[Path, Parameter(help="Folder to put it in.")], /):
    """Fetch C-NMC 2019 from Kaggle (10.4 GB)."""
    from allm_utils.data import cnmc

    print(cnmc.download(dest))


def write_sample(dest: Annotated[Path, Parameter(help="Folder to make.")], /):
    """Write the 600 cells that the package ships, as the published files."""
    from allm_utils.data import sample

    print(sample.write(dest), sample.CITATION, sep="\n")


def pack(dir: Tree, archive: Annotated[Path, Parameter(help="File to write.")], /, *, fold: int):
    """Pack one fold into one file without loss, which every command then takes as data."""
    from allm_utils.data import pack

    print(pack.write(dir, archive, fold))


def twins(dir: Tree, /):
    """Find cells that stand under two names, and what chance gives beside them."""
    from allm_utils.data import cnmc, people

    print(people.find_twins(cnmc.index(dir)))


def leakage(table: Table, /):
    """Say which people, smears and twins stand in two parts of your own split."""
    from allm_utils.data import leaks

    print(leaks.report(table))


# -- commands that need time to load, made when they are asked for ----------------------------


def _option(kind: Any, text: str, **more: Any) -> Any:
    return Annotated[kind, Parameter(help=text, **more)]


def _flag(text: str) -> Any:
    return _option(bool, text, negative=())


MODEL = _option(Path, "A saved model with its card.")
BESIDE = "More judges to ask, after the images: NAME is MODEL-NAME.safetensors beside the model."
CHOICE = ("data", "work", "folds", "protocol", "round", "test", "seed", "split_seed")
"""Settings that choose the pictures of a run."""


def _train():
    """Train, test and record one run."""
    from allm_utils.runs import experiment
    from allm_utils.runs.config import ExperimentConfig, configured

    options = _options(ExperimentConfig)

    def train(*, settings: type(options) = options, resume: _flag("Continue a run.") = False):
        _print_record(experiment.run(configured(ExperimentConfig, vars(settings)), resume=resume))

    return train


def _probe():
    """Fit, test and record a classifier that takes seconds."""
    from allm_utils.runs import curve, probe
    from allm_utils.runs.config import ProbeConfig, configured

    options = _options(ProbeConfig)
    points = (
        "Instead, learn from few and many people and cells, over the five rounds; judge these and "
        "the people from outside in this tree."
    )

    def fit(
        *,
        settings: type(options) = options,
        outside: _option(Path | None, points, name="--curve") = None,
    ):
        config = configured(ProbeConfig, vars(settings))
        if outside:
            print(curve.run(config, outside))
        else:
            _print_record(probe.run(config))

    return fit


def _sweep():
    """Do the runs of a study that are not done yet, several at a time."""
    from allm_utils.runs import engines, records, sweep
    from allm_utils.runs.config import ExperimentConfig

    options = _options(ExperimentConfig, ("data", "work", "out", "weights"))
    places = _options(engines.EngineConfig)

    def run(
        study: _option(Path, "A TOML file; studies/ has those of the book."),
        /,
        *,
        settings: type(options) = options,
        place: type(places) = places,
        only: _option(int | None, "This run alone, from 0: for one job of many.") = None,
        plan: _flag("Say what would run, and its price by recorded speed.") = False,
    ):
        configs = sweep.expand(study, **vars(settings))
        configs = configs if only is None else configs[only : only + 1]
        if plan:
            return print(sweep.priced(sweep.plan(configs, records.Runs.load()), place.gpus))
        where = engines.EngineConfig(**vars(place))
        failed = sweep.sweep(configs, engines.start(where, settings.work))
        return max((_fail(f"{one}: {why}") for one, why in failed.items()), default=0)

    return run


def _evaluate():
    """Test a saved model on the test part of a split, or on people whom it knows or does not."""
    from allm_utils.data import images
    from allm_utils.data.people import person
    from allm_utils.judge import conditions
    from allm_utils.judge.metrics import metrics
    from allm_utils.judge.predict import predict
    from allm_utils.runs import experiment
    from allm_utils.runs.config import ExperimentConfig, configured
    from allm_utils.ship import inference

    whom = (
        "Ask about these people only; the card tells who trained the model. known: cells of the "
        "test part; new: all cells of other people of its folds; outside: of people of no such fold"
    )
    options = _options(ExperimentConfig, (*CHOICE, "weights"))

    def evaluate(
        model: MODEL,
        /,
        *,
        settings: type(options) = options,
        condition: _option(tuple[str, ...], conditions.described()) = ("clean",),
        people: _option(Literal["known", "new", "outside"] | None, whom) = None,
    ):
        names, config = conditions.check(condition), configured(ExperimentConfig, vars(settings))
        network, card = inference.load(model, weights=config.weights)
        frame = experiment.asked_about(config, people, card)
        pictures = images.load(frame, card["image_size"], card["crop"], config.work / "images")
        labels = frame["label"].to_numpy(int)
        how = {"seed": config.seed, "progress": True, "people": person(frame["subject"])}
        p_all = {name: predict(network, pictures, name, **how) for name in names}
        _print_metrics({name: metrics(labels, p) for name, p in p_all.items()})
        if people:
            _print_people(frame, p_all)

    return evaluate


def _print_people(frame, p_all):
    """Share of the cells of each person that were called rightly, by condition."""
    import pandas as pd

    from allm_utils.data import cnmc, people

    labels = frame["label"].to_numpy(int)
    right = {name: (p >= 0.5) == (labels == 1) for name, p in p_all.items()}
    table = pd.DataFrame({"class": [cnmc.CLASSES[label] for label in labels], "cells": 1, **right})
    table["person"] = frame["subject"].map(people.person).to_numpy()
    how = {"cells": "sum", **dict.fromkeys(right, "mean")}
    print(table.groupby(["class", "person"]).agg(how).to_string(float_format="{:.4f}".format))


def _predict():
    """Classify images of single cells."""
    from allm_utils.runs.config import ExperimentConfig
    from allm_utils.ship import inference

    options = _options(ExperimentConfig, ("weights",))

    def predict(
        model: MODEL,
        /,
        *image: _option(Path, "Images, folders or archives of them, .txt files of paths."),
        beside: _option(tuple[str, ...], BESIDE, name="--with") = (),
        settings: type(options) = options,
        batch_size: _option(int, "Images in memory.") = 64,
        out: _option(Path | None, "Write to NAME.csv or NAME.parquet, however many.") = None,
        resume: _flag("Go on with what is there.") = False,
        json: _flag("Print JSON.") = False,
        csv: _flag("Print CSV.") = False,
    ):
        if not image or json + csv + bool(out) > 1:
            raise ConfigError("give images, and --json or --csv or --out but not both")
        how = {"batch_size": batch_size, "beside": beside, "weights": settings.weights}
        if out:
            return max(map(_fail, inference.write(model, image, out, resume, **how)), default=0)
        found, refused = inference.predict_images(model, image, **how)
        if json:
            rows = found.astype({"p_all": float}).round({"p_all": 6}).to_dict("records")
            print(dumps(rows, indent=1))
        elif csv:
            print(found.to_csv(index=False, float_format="%.6f", lineterminator="\n"), end="")
        elif len(found):
            print(found.to_string(index=False, float_format="{:.4f}".format))
        for path, note in found.loc[found["note"] != "", ["file", "note"]].itertuples(index=False):
            _fail(f"{path}: {note}")
        for line in refused["reason"]:
            _fail(line)
        return 2 if len(refused) else 0

    return predict


def _export():
    """Write a model for a phone, a browser or a server."""
    from allm_utils.network.saving import read_card
    from allm_utils.runs import experiment
    from allm_utils.runs.config import ExperimentConfig, configured
    from allm_utils.ship import export as to
    from allm_utils.ship import inference

    cells = "Training cells for int8, or folders of them; by default those of the split"
    options = _options(ExperimentConfig, CHOICE)

    def export(
        model: MODEL,
        /,
        *,
        format: _option(tuple[str, ...], ", ".join(to.FORMATS)),
        folder: _option(Path | None, "Where to write; by default beside the model.") = None,
        calibration: _option(tuple[Path, ...], cells) = (),
        settings: type(options) = options,
    ):
        pictures = None
        if set(to.INT8) & set(format):
            paths = list(inference.listed(calibration)) if calibration else None
            if paths is None:
                frame, split = experiment.select(configured(ExperimentConfig, vars(settings)))
                paths = frame["path"][split == "train"].tolist()
            pictures = to.calibration_cells(paths, read_card(model), progress=True)
        for path in to.export(model, format, folder, pictures).values():
            print(path)

    return export


def _retest():
    """Test a saved model again, under other conditions or in other formats, and record it."""
    from allm_utils.judge import conditions, explain
    from allm_utils.runs import experiment, records
    from allm_utils.runs.config import ExperimentConfig
    from allm_utils.ship import export, inference

    options = _options(ExperimentConfig, ("data", "work", "out", "note", "weights"))

    def retest(
        model: MODEL,
        record: _option(Path, "The JSON file of the run that trained it."),
        /,
        *,
        settings: type(options) = options,
        condition: _option(tuple[str, ...], conditions.described()) = conditions.CORRUPTIONS,
        formats: _flag("Test it in every format of `allm export` instead.") = False,
        beside: _option(tuple[str, ...], BESIDE, name="--with") = (),
    ):
        source, out = records.load(record), settings.out or settings.work / "records"
        where = model, source, settings.data, out, settings.work
        if formats and beside:
            raise ConfigError("--formats and --with: give one of them")
        if formats:
            tests, more = export.tests(model, source, settings.data, settings.work)
            how = {"experiment": "deployment", "tests": tests, "more": more}
        elif beside:
            asked = source, settings.data, settings.work, settings.weights
            tests, more = inference.tests(model, beside, *asked)
            how = {"experiment": "together", "tests": tests, "more": more}
        else:
            measures = explain.measures(inference.load(model)[0])
            how = {"experiment": "trust", "tests": condition, "measures": measures}
        _print_record(experiment.retest(*where, **how, note=settings.note))

    return retest


def _scorecard():
    """Compare the paper's numbers with ours."""
    import pandas as pd

    from allm_utils.book import scorecard
    from allm_utils.runs import records

    def show(*, results: _option(Path, "Folder of the records.") = records.RESULTS):
        found = scorecard.scorecard(records.Runs.load(results))
        tables = {name: scorecard.lines(name, found) for name in found["table"].unique()}
        card = pd.concat(tables, names=["table"]).reset_index("table")
        print(card.to_string(index=False))

    return show


def _app(words):
    """The command line, with that command alone whole that is asked for."""
    plain = Parameter(negative_iterable=(), consume_multiple=1)
    how = {"help_format": "plaintext", "help_formatter": "plain", "default_parameter": plain}
    app = App(name="allm", help="MobileNet_M on C-NMC 2019.", version=__version__, **how)
    app.suppress_keyboard_interrupt = False
    data = App(name="data", help="Find, check, fetch and compare images.")
    for function in (index, verify, download, write_sample, pack, twins, leakage):
        data.command(function, name=function.__name__.removeprefix("write_"))
    app.command(data)
    for make in (_train, _probe, _sweep, _evaluate, _predict, _export, _retest, _scorecard):
        name = make.__name__.removeprefix("_")
        asked = words[:1] == [name]
        if asked and make is not _scorecard:
            _import_keras()
        app.command(make() if asked else lambda: None, name=name, help=make.__doc__)
    return app


def _import_keras():
    """Import Keras with its mouth shut: TensorFlow greets before any setting can stop it.

    Whoever sets TF_CPP_MIN_LOG_LEVEL wants to hear it, and does.
    """
    from allm_utils.files import quiet

    loud = "TF_CPP_MIN_LOG_LEVEL" in os.environ
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with contextlib.nullcontext() if loud else quiet():
            import keras  # noqa: F401
    except Exception as error:
        raise ConfigError(
            f"Keras does not start ({reason(error)}); check KERAS_BACKEND and ~/.keras/keras.json"
        ) from None


# -- from configuration classes to options, and back ------------------------------------------

NAMES = {"folds": "--fold", "conditions": "--condition"}
VARIABLES = {"data": "ALLM_DATA", "work": "ALLM_WORK", "weights": "ALLM_WEIGHTS"}


def _options(kind: type, names: tuple[str, ...] | None = None) -> Any:
    """Options of a configuration's settings, also of those inside it, at their defaults."""
    made, shown = [], lambda value: " ".join(map(str, value if type(value) is tuple else [value]))
    for field, type_, text in _settings(kind):
        if names is None or field.name in names:
            where = {"name": NAMES.get(field.name), "env_var": VARIABLES.get(field.name)}
            option = _option(type_, text, show_default=shown, **where)
            made.append((field.name, option, dataclasses.field(default=field.default)))
    how = {"frozen": True, "kw_only": True, "namespace": {"__module__": __name__}}
    return Parameter(name="*")(dataclasses.make_dataclass("Settings", made, **how))()


def _settings(kind):
    """Field, type and help of every setting of a configuration class."""
    types, texts = typing.get_type_hints(kind), {}
    for owner in reversed(kind.__mro__):
        found = docstring_parser.parse(owner.__doc__ or "").params
        texts |= {setting.arg_name: " ".join(str(setting.description).split()) for setting in found}
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(types[field.name]):
            yield from _settings(types[field.name])
        else:
            yield field, types[field.name], texts[field.name]


def _print_record(path):
    from allm_utils.runs import records

    record = records.load(path)
    print(path)
    _print_metrics({name: record.metrics(name) for name in record.data["conditions"]})


def _print_metrics(found):
    """Metrics by name of the test."""
    import pandas as pd

    table = pd.DataFrame(found).T[SHOWN].astype({"n": int})
    print(table.to_string(float_format="{:.4f}".format))


if __name__ == "__main__":
    sys.exit(main())
