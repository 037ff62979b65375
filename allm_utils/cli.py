"""The command ``allm``: thin wrappers, one line for every error."""

import argparse
import dataclasses
import functools
import json
import os
import sys
from pathlib import Path

from allm_utils import __version__
from allm_utils.errors import AllmError, ConfigError


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        Arguments; by default those of the process.

    Returns
    -------
    int
        0; 1 when `data verify` finds a difference; 2 after an error, which is one line on stderr;
        130 when interrupted.
    """
    args = _parser().parse_args(argv)
    try:
        code = args.command(args)
        sys.stdout.flush()
        return code
    except AllmError as error:
        print(f"allm: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has left: `allm ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"allm: {where}{error.strerror}; check rights and free space", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("allm: interrupted", file=sys.stderr)
        return 130


def _data_index(args):
    from allm_utils.data import cnmc

    print(cnmc.summary(cnmc.index(args.dir)).to_string(na_rep=""))
    return 0


def _data_verify(args):
    from allm_utils.data import cnmc

    found = cnmc.verify(args.dir)
    print(found)
    return 0 if found.ok else 1


def _data_download(args):
    from allm_utils.data import cnmc

    print(cnmc.download(args.dest))
    return 0


def _data_make(args):
    from allm_utils.data import synthetic

    print(synthetic.make(args.dest, args.n_images, args.seed, True, args.n_prelim))
    return 0


def _import_keras_quietly():
    """Import Keras with stderr shut: TensorFlow greets there before any setting can stop it.

    Whoever sets TF_CPP_MIN_LOG_LEVEL wants to see it, and does.
    """
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import keras  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _train(args):
    _import_keras_quietly()
    from allm_utils.runs import experiment, records

    path = experiment.run(_config(args), resume=args.resume)
    record = records.load(path)
    print(path)
    print(_table({condition: record.metrics(condition) for condition in record.data["conditions"]}))
    return 0


def _probe(args):
    _import_keras_quietly()
    from allm_utils.runs import probe, records

    options = {"out": Path(args.work) / "records", **_chosen(args, probe.ProbeConfig)}
    record = records.load(probe.run(probe.ProbeConfig(**options)))
    print(record.name)
    print(_table({"clean": record.metrics()}))
    return 0


def _evaluate(args):
    _import_keras_quietly()
    from allm_utils.data import images
    from allm_utils.judge import conditions, metrics
    from allm_utils.judge.predict import predict
    from allm_utils.network import saving
    from allm_utils.runs import experiment

    conditions.check(f"noise:{sigma}" for sigma in args.sigma)  # before the work, not after it
    config = _config(args)
    frame, split = experiment.select(config)
    model, card = saving.load(args.saved)
    test = frame[split == "test"]
    cache = Path(config.work) / "images"
    pictures = images.load(test, card["image_size"], card["crop"], cache)
    found = {}
    for sigma in args.sigma:
        how = f"noise:{sigma}", config.training.seed, args.batch_size
        p_all = predict(model, pictures, *how, progress=True)
        found[f"sigma {sigma:g}"] = metrics.metrics(test["label"].to_numpy(int), p_all)
    print(_table(found))
    return 0


def _predict(args):
    _import_keras_quietly()
    from allm_utils.ship import inference

    found, refused = inference.predict_images(args.saved, args.image, args.batch_size)
    if args.json:
        rows = found.astype({"p_all": float}).round({"p_all": 6}).to_dict("records")
        print(json.dumps(rows, indent=1))
    elif args.csv:
        print(found.to_csv(index=False, float_format="%.6f", lineterminator="\n"), end="")
    elif len(found):
        print(found.to_string(index=False, float_format="{:.4f}".format))
    for file, note in found.loc[found["note"] != "", ["file", "note"]].itertuples(index=False):
        print(f"allm: {file}: {note}", file=sys.stderr)
    for reason in refused["reason"]:
        print(f"allm: {reason}", file=sys.stderr)
    return 2 if len(refused) else 0


def _export(args):
    _import_keras_quietly()
    from allm_utils.network import saving
    from allm_utils.runs import experiment
    from allm_utils.ship import export, inference

    cells = None
    if any(name.endswith("int8") for name in args.format):
        if args.calibration:
            paths = inference.listed(args.calibration)
        else:
            frame, split = experiment.select(_config(args))
            paths = frame["path"][split == "train"].tolist()
        cells = export.calibration_cells(paths, saving.read_card(args.saved), progress=True)
    for path in export.export(args.saved, args.format, args.folder, cells).values():
        print(path)
    return 0


def _retest(args):
    _import_keras_quietly()
    from allm_utils.judge import conditions, explain
    from allm_utils.runs import experiment, records
    from allm_utils.ship import export, inference

    data, out = _needs_data(args.data), args.out or Path(args.work) / "records"
    source = records.load(args.record)
    where = args.saved, source, data, out, args.work
    if args.formats:
        tests, more = export.tests(args.saved, source, data, args.work)
        path = experiment.retest(*where, "deployment", tests, more=more, note=args.note)
    else:
        measures = explain.measures(inference.load(args.saved)[0])
        how = {"measures": measures, "note": args.note}
        path = experiment.retest(*where, "trust", conditions.CORRUPTIONS, **how)
    record = records.load(path)
    print(path)
    print(_table({condition: record.metrics(condition) for condition in record.data["conditions"]}))
    return 0


def _scorecard(args):
    import pandas as pd

    from allm_utils.book import scorecard
    from allm_utils.runs import records

    found = scorecard.scorecard(records.Runs.load(args.results or records.RESULTS))
    tables = {name: scorecard.lines(name, found) for name in found["table"].unique()}
    card = pd.concat(tables, names=["table"]).reset_index("table")
    if args.markdown:
        rows = [card.columns, ["---"] * card.shape[1], *card.to_numpy()]
        print("\n".join(f"| {' | '.join(row)} |" for row in rows))
    else:
        print(card.to_string(index=False))
    return 0


def _config(args):
    """The ExperimentConfig of the options given; its own defaults for the others."""
    from allm_utils.network.recipe import Recipe
    from allm_utils.network.training import TrainingConfig
    from allm_utils.runs.experiment import ExperimentConfig

    options = {"out": Path(args.work) / "records", **_chosen(args, ExperimentConfig)}
    training = TrainingConfig(
        **_chosen(args, TrainingConfig), recipe=Recipe(**_chosen(args, Recipe))
    )
    return ExperimentConfig(**options, training=training)


def _chosen(args, kind):
    """The fields of a configuration that the options give."""
    given = vars(args)
    _needs_data(given["data"])
    if given.get("weights") == "none":
        given["weights"] = None
    for name in ("folds", "brightness", "test_sigmas"):
        if name in given:
            given[name] = tuple(given[name])
    return {f.name: given[f.name] for f in dataclasses.fields(kind) if f.name in given}


def _needs_data(data):
    if data is None:
        raise ConfigError("no data: give --data DIR, or set ALLM_DATA to the folder of C-NMC 2019")
    return data


def _table(found):
    """Metrics by name of the test, as text."""
    import pandas as pd

    columns = ["n", "accuracy", "balanced_accuracy", "precision_macro", "recall_macro", "f1_macro"]
    columns += ["sensitivity", "specificity", "roc_auc"]
    return pd.DataFrame(found).T[columns].astype({"n": int}).to_string(float_format="{:.4f}".format)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"allm: {message}; see '{self.prog} --help'\n")


def _parser():
    parser = _Parser(prog="allm", description="MobileNet_M on C-NMC 2019.")
    parser.add_argument("--version", action="version", version=f"allm {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(group, name, function, text):
        made = group.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        made.set_defaults(command=function)
        return made

    text = "find, check, fetch or make images"
    data = commands.add_parser("data", help=text, description=text.capitalize() + ".")
    data = data.add_subparsers(required=True, metavar="COMMAND")
    one = command(data, "index", _data_index, "count images and subjects per fold and class")
    one.add_argument("dir", metavar="DIR", help="a folder above the folds")
    one = command(data, "verify", _data_verify, "compare a tree with the published files")
    one.add_argument("dir", metavar="DIR", help="a folder above the folds")
    one = command(data, "download", _data_download, "fetch C-NMC 2019 from Kaggle (10.4 GB)")
    one.add_argument("dest", metavar="DEST", help="folder to put it in")
    one = command(data, "make", _data_make, "draw a synthetic tree of the same shape")
    one.add_argument("dest", metavar="DEST", help="folder to make")
    one.add_argument("--n-images", type=int, default=120, help="number of images (120)")
    one.add_argument("--n-prelim", type=int, default=0, help="images of a prelim test set (0)")
    one.add_argument("--seed", type=int, default=0, help="draws other cells (0)")

    _add_train(command(commands, "train", _train, "train, test and record one run"))

    text = "fit, test and record a classifier on frozen or hand-made features"
    one = command(commands, "probe", _probe, text)
    _add_split(one)
    add = functools.partial(one.add_argument, default=argparse.SUPPRESS)
    add("--model", help="probe_mobilenet or probe_handmade (probe_mobilenet)")
    add("--out", help="folder of the records (WORK/records)", metavar="DIR")
    add("--weights", help="of the MobileNet: imagenet, or a .h5 file (imagenet)")
    add("--note", help="what a reader of the record must know")
    if os.environ.get("ALLM_WEIGHTS"):
        one.set_defaults(weights=os.environ["ALLM_WEIGHTS"])

    one = command(commands, "evaluate", _evaluate, "test a model on the test part of a split")
    one.add_argument("saved", metavar="MODEL", help="a .safetensors or .keras file with its card")
    _add_split(one)
    one.add_argument(
        "--sigma",
        type=float,
        nargs="+",
        default=[0, 2, 5, 8, 10],
        help="noise, in grey levels (0 2 5 8 10)",
    )
    one.add_argument("--batch-size", type=int, default=64, help="images per step (64)")

    one = command(commands, "predict", _predict, "classify images of single cells")
    one.add_argument(
        "saved", metavar="MODEL", help="a .safetensors, .keras, .tflite or .onnx file with its card"
    )
    one.add_argument("image", metavar="IMAGE", nargs="+", help="image files, or folders of them")
    one.add_argument("--batch-size", type=int, default=64, help="images in memory (64)")
    form = one.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")

    one = command(commands, "export", _export, "write a model for a phone, a browser or a server")
    one.add_argument("saved", metavar="MODEL", help="a .safetensors or .keras file with its card")
    text = "litert, litert-int8, onnx, onnx-int8"
    one.add_argument("--format", nargs="+", required=True, metavar="FORMAT", help=text)
    one.add_argument("--folder", metavar="DIR", help="where to write (beside the model)")
    text = "training cells for int8: images, or folders of them (the training part of --data)"
    one.add_argument("--calibration", nargs="+", metavar="IMAGE", help=text)
    _add_split(one)

    text = "test a saved model under blur, light, compression, stain and size, and record it"
    one = command(commands, "retest", _retest, text)
    one.add_argument("saved", metavar="MODEL", help="a .safetensors or .keras file with its card")
    one.add_argument("record", metavar="RECORD", help="the JSON file of the run that trained it")
    text = "test it instead in every format of `allm export`"
    one.add_argument("--formats", action="store_true", help=text)
    _add_data(one)
    one.add_argument("--out", metavar="DIR", help="folder of the records (WORK/records)")
    one.add_argument("--note", default="", help="what a reader of the record must know")

    one = command(commands, "scorecard", _scorecard, "compare the paper's numbers with ours")
    one.add_argument("--results", metavar="DIR", help="folder of the records (the package's own)")
    one.add_argument("--markdown", action="store_true", help="print a Markdown table")
    return parser


def _add_data(parser):
    data, work = os.environ.get("ALLM_DATA"), os.environ.get("ALLM_WORK") or "work"
    parser.add_argument("--data", metavar="DIR", default=data, help="C-NMC tree ($ALLM_DATA)")
    text = "scratch folder for caches and checkpoints ($ALLM_WORK, else work)"
    parser.add_argument("--work", metavar="DIR", default=work, help=text)


def _add_split(parser):
    """Options that choose data and split; what is not given is left to ExperimentConfig."""

    def add(name, text, **options):
        parser.add_argument(name, help=text, default=argparse.SUPPRESS, **options)

    _add_data(parser)
    add("--fold", "folds to use (1)", dest="folds", metavar="FOLD", type=int, nargs="+")
    add("--protocol", "paper, patient-disjoint or cross-fold (paper)")
    add("--part", "which of the five patient-disjoint splits (0)", type=int)
    add("--test", "split, or prelim: the preliminary test set (split)")
    add("--seed", "of the split and of training (1337)", type=int)


def _add_train(parser):
    def add(name, text, **options):
        parser.add_argument(name, help=text, default=argparse.SUPPRESS, **options)

    _add_split(parser)
    add("--out", "folder of the records (WORK/records)", metavar="DIR")
    add("--experiment", "name of the experiment (mobilenet_m)")
    add("--model-file", "where to save the model, NAME.safetensors (nowhere)", metavar="FILE")
    text = "mobilenet_m, alnett_style, vgg16, resnet50, googlenet or alexnet (mobilenet_m)"
    add("--model", text)
    add("--weights", "imagenet, a .h5 file, or none (imagenet)")
    if os.environ.get("ALLM_WEIGHTS"):
        parser.set_defaults(weights=os.environ["ALLM_WEIGHTS"])
    add("--image-size", "side of the model's input, pixels (224)", type=int)
    add("--crop", "side of the centre crop, pixels (300)", type=int)
    add("--alpha", "width of the network (1.0)", type=float)
    add("--scaling", "unit or imagenet: [0, 1] or [-1, 1] (unit)")
    add("--l1", "penalty on the last layer's kernel (0.015)", type=float)
    add("--dropout", "share of features dropped (0.5)", type=float)
    add("--bn-momentum", "of batch normalisation (0.99)", type=float)
    add("--epochs", "at most (100)", type=int)
    add("--batch-size", "images per step (16)", type=int)
    add("--learning-rate", "of Adam, at the start (0.001)", type=float)
    add("--lr-patience", "epochs without progress before it falls (5)", type=int)
    add("--early-stop", "epochs without progress before the end (20)", type=int)
    add("--balance", "grey copies for hem, both or none (hem)")
    add("--no-augment", "no noise, warp or brightness", dest="augment", action="store_false")
    add("--brightness", "range of the factor (0.4 0.8)", type=float, nargs=2, metavar="FACTOR")
    add("--stain", "jitter of each colour channel, a share (0.0)", type=float)
    add("--size", "jitter of the cell's size, a share (0.0)", type=float)
    add("--draw", "cell, or person: by 1/sqrt of their cells (cell)")
    add("--precision", "auto, float32, mixed_float16 or mixed_bfloat16 (auto)")
    text = "noise of the test, in grey levels; none for no noise (2 5 8 10)"
    add("--test-sigma", text, dest="test_sigmas", metavar="SIGMA", type=float, nargs="*")
    add("--note", "what a reader of the record must know")
    parser.add_argument("--resume", action="store_true", help="continue a killed run")


if __name__ == "__main__":
    sys.exit(main())
