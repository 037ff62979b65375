"""Training as in Table 5, able to survive a kill.

What a step sees is a function of (seed, epoch, batch) alone, and a checkpoint holds everything
else: so a resumed run ends where an uninterrupted one would have ended.
"""

import contextlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np
from tqdm.keras import TqdmCallback

from allm_utils.data.images import as_batch
from allm_utils.errors import ConfigError, DataError, check_choice, check_range, reason
from allm_utils.files import write_arrays
from allm_utils.network.models import ignore_keras_json, precision
from allm_utils.network.recipe import DRAWS, Augmenter, Recipe, balanced_rows, desaturate, draws

CHECKPOINT = "checkpoint.npz"
Precision = Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"]
Draw = Literal["cell", "person"]
Place = Literal["host", "device"]


def has_gpu() -> bool:
    """Whether Keras' backend sees a GPU."""
    if not (shutil.which("nvidia-smi") or shutil.which("rocm-smi")):
        return False  # no driver, so no need for the seconds that a backend takes to load
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.is_available()
    return bool(keras.distribution.list_devices("gpu"))


@contextlib.contextmanager
def shared(devices: int) -> Iterator[None]:
    """Let so many devices share each batch of what is trained here; else a ConfigError."""
    backend, scope = keras.backend.backend(), contextlib.nullcontext
    if devices > 1:
        if backend == "tensorflow":
            import tensorflow as tf

            there = [tf.config.list_logical_devices(kind) for kind in ("GPU", "CPU")]
            there = [device.name for device in there[0] or there[1]]
            strategy = tf.distribute.MirroredStrategy
        else:
            there = keras.distribution.list_devices() if backend == "jax" else []
            strategy = keras.distribution.DataParallel
        if len(there) < devices:
            raise ConfigError(f"devices {devices}: {backend} sees {len(there)} here; give fewer")
        scope = strategy(devices=there[:devices]).scope
    with scope():
        yield


@dataclass(frozen=True)
class TrainingConfig:
    """Table 5 to the letter, and the few things it leaves open.

    Attributes
    ----------
    epochs : int
        At most.
    batch_size : int
        Pictures a step.
    learning_rate : float
        Adam starts with it.
    min_learning_rate : float
        The learning rate never falls below it.
    lr_factor : float
        The learning rate is multiplied by it ...
    lr_patience : int
        ... after this many epochs without a better validation loss.
    early_stop : int
        Training ends after this many epochs without a better validation loss.
    recipe : Recipe
        How the training pictures are made.
    draw : {"cell", "person"}
        "cell": an epoch shows every picture once. "person": as many pictures are drawn, each with
        a chance of 1 / sqrt(pictures of its person) within its class, so that people with few
        cells are seen more often. Not in the paper.
    augment_on : {"host", "device"}
        Where the pictures of a step are greyed, warped and lit: by the processor, ahead of the
        step, or by the GPU, within it. The recipe is the same, its noise is drawn anew.
    steps_per_call : int
        Steps that the backend takes before it looks up: at a loss that is no number, at Ctrl-C.
        Several devices take one.
    devices : int
        GPUs of one machine that share each batch.
    precision : {"auto", "float32", "mixed_float16", "mixed_bfloat16"}
        "auto" is mixed_float16 on a GPU and float32 on a CPU.
    seed : int
        All randomness of training comes from it.
    """

    epochs: int = 100
    batch_size: int = 16
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-6
    lr_factor: float = 0.1
    lr_patience: int = 5
    early_stop: int = 20
    recipe: Recipe = field(default_factory=Recipe)
    draw: Draw = "cell"
    augment_on: Place = "host"
    steps_per_call: int = 1
    devices: int = 1
    precision: Precision = "auto"
    seed: int = 1337

    def __post_init__(self):
        for name in ("epochs", "batch_size", "lr_patience", "early_stop", "steps_per_call"):
            check_range(name, getattr(self, name), 1, 100_000)
        check_range("min_learning_rate", self.min_learning_rate, 1e-12, 10)
        check_range("learning_rate", self.learning_rate, self.min_learning_rate, 10)
        check_range("lr_factor", self.lr_factor, 0.001, 0.999)
        check_choice("draw", self.draw, get_args(Draw))
        check_choice("augment_on", self.augment_on, get_args(Place))
        check_range("devices", self.devices, 1, self.batch_size)
        if self.batch_size % self.devices:
            raise ConfigError(f"devices {self.devices}: cannot share {self.batch_size} evenly")
        if self.devices > 1 and self.steps_per_call > 1:  # TensorFlow's strategies hang
            raise ConfigError(
                f"steps_per_call {self.steps_per_call}: several devices take 1; give 1"
            )
        check_choice("precision", self.precision, get_args(Precision))
        check_range("seed", self.seed, 0, 2**32 - 1)

    def dtype_policy(self) -> str:
        """Name the Keras dtype policy for the device that is there."""
        if self.precision != "auto":
            return self.precision
        return "mixed_float16" if has_gpu() else "float32"


class OnDevice(keras.layers.Layer):
    """What `Augmenter` and `desaturate` do, in Keras' operations, while a network trains.

    Takes ``uint8 (B, S, S, 3)`` and what `recipe.draws` drew for them, ``float32 (B, DRAWS)``.
    """

    def __init__(self, seed: int = 0):
        super().__init__(dtype="float32")  # in half precision, pixels would miss their place
        self.seed = keras.random.SeedGenerator(seed)

    def call(self, pictures, drawn, training=False):
        """Return the pictures as drawn; as they are, unless in training."""
        if not training:
            return pictures
        ops, each = keras.ops, drawn[:, None, None]
        seen = ops.cast(pictures, "float32")
        seen = ops.where(each[..., :1] > 0, ops.max(seen, axis=-1, keepdims=True), seen)
        noise = keras.random.normal(ops.shape(seen), seed=self.seed) * each[..., 1:2]
        seen = ops.clip(ops.round(seen + noise), 0, 255)
        warps = ops.pad(drawn[:, 2:8], ((0, 0), (0, 2)))
        seen = ops.image.affine_transform(seen, warps, data_format="channels_last")
        return ops.cast(ops.clip(ops.round(seen * each[..., 8:]), 0, 255), "uint8")


class TrainingData(keras.utils.PyDataset):
    """Batches of the balanced, augmented training set, made while the model trains.

    Takes ``uint8 (N, S, S, 3)``, which may be a memory map, labels ``int (N,)``, the rows that are
    in training (all by default), and the person of each picture, needed to draw people.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        config: TrainingConfig,
        rows: np.ndarray | None = None,
        people=None,
    ):
        workers = min(8, max(2, os.cpu_count() or 2))  # threads: OpenCV lets the others work
        # What Keras' workers have ready when JAX or PyTorch end an epoch, or look at a first batch,
        # comes first in the next, whichever it was: there, threads of our own work ahead.
        theirs = keras.backend.backend() == "tensorflow"
        super().__init__(workers=workers if theirs else 1, max_queue_size=2 * workers)
        self._pool = None if theirs else ThreadPoolExecutor(workers)
        self._ahead: dict[tuple[int, int], Future] = {}
        chosen = np.arange(len(images)) if rows is None else np.asarray(rows)
        as_batch(images[:1])
        self.images, self.labels = images, np.asarray(labels, int)
        self.config = config
        self.epoch = 0
        order, self.grey = balanced_rows(self.labels[chosen], config.recipe.balance)
        self.rows = chosen[order]
        counts = np.bincount(self.labels[self.rows], minlength=2)
        if counts.min() == 0:
            raise DataError(
                f"training part has {counts[0]} HEM and {counts[1]} ALL pictures; both are needed"
            )
        self._chances = None
        if config.draw == "person":
            if people is None:
                raise DataError("draw 'person' needs the person of each picture; give people")
            self._chances = chances(self.labels[self.rows], np.asarray(people)[self.rows])
        here = config.recipe.augment and config.augment_on == "host"
        self._augment = Augmenter(config.recipe, config.seed) if here else None
        self._order = (-1, np.empty(0, int))
        self._n = len(self.rows) - len(self.rows) % config.devices  # no device goes without

    def __len__(self) -> int:
        return -(-self._n // self.config.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """Return which of `rows` one epoch shows, in order."""
        known, order = self._order
        if known != epoch:
            rng, n = np.random.default_rng([self.config.seed, 1, epoch]), len(self.rows)
            draw = self._chances is not None
            order = rng.choice(n, n, p=self._chances) if draw else rng.permutation(n)
            self._order = (epoch, order)
        return order

    def batch(self, epoch: int, index: int) -> tuple[Any, np.ndarray]:
        """Make one batch, ``uint8 (B, S, S, 3)`` and one-hot ``float32 (B, 2)``.

        A function of (seed, epoch, index) and nothing else. With `augment_on` "device" it has the
        pictures as they are, and what `OnDevice` is to do to them.
        """
        size = self.config.batch_size
        chosen = self.order(epoch)[index * size : min((index + 1) * size, self._n)]
        rows, grey = self.rows[chosen], self.grey[chosen]
        targets = np.eye(2, dtype=np.float32)[self.labels[rows]]
        rng = np.random.default_rng([self.config.seed, 2, epoch, index])
        if self.config.augment_on == "device":
            side = self.images.shape[1]
            return (self.images[rows], draws(self.config.recipe, side, grey, rng)), targets
        found = zip(rows, grey, strict=True)
        pictures = [
            desaturate(self.images[r]) if is_grey else self.images[r] for r, is_grey in found
        ]
        if self._augment:
            pictures = self._augment(pictures, rng)
        return np.asarray(pictures), targets

    def __getitem__(self, index: int):
        if self._pool is None:
            return self.batch(self.epoch, index)
        end = min(index + self.max_queue_size, len(self))
        places = [(self.epoch, i) for i in range(index, end)]
        ask, ready = self._pool.submit, self._ahead
        self._ahead = {at: ready.get(at) or ask(self.batch, *at) for at in places}
        return self._ahead[places[0]].result()


def chances(labels: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Chance of each picture: 1 / sqrt(pictures of its person); a class keeps its share.

    Takes ``int (N,)`` labels and the person of each, and returns ``float (N,)`` whose sum is 1.
    """
    _, person, pictures = np.unique(people, return_inverse=True, return_counts=True)
    found = 1 / np.sqrt(pictures[person])
    for label in (0, 1):
        of_class = labels == label
        found[of_class] *= of_class.mean() / found[of_class].sum()
    return found


@dataclass
class History:
    """Keras' logs, one value an epoch, and the epoch, from 0, whose weights were kept."""

    epochs: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0

    def __len__(self) -> int:
        return len(self.epochs.get("loss", []))


class _Checkpoint(keras.callbacks.Callback):
    """Save everything after each epoch; put it back before the first one.

    Stands last in the list of callbacks: the others reset their counters when training begins.
    """

    def __init__(self, path: Path | None, made_with: dict, plateau, stopper, history, state):
        super().__init__()
        self.path, self.made_with = path, made_with
        self.plateau, self.stopper = plateau, stopper
        self.history, self.state = history, state

    def _variables(self):
        # model.variables, unlike model.weights, holds the state of the dropout's seed generator
        return [*self.model.variables, *self.model.optimizer.variables]

    def on_train_begin(self, logs=None):
        if self.state is None:
            return
        variables, saved = self._variables(), self.state["variables"]
        wanted = [tuple(v.shape) for v in [*variables, *self.model.weights]]
        if wanted != [value.shape for value in [*saved, *self.state["best"]]]:
            raise ConfigError(f"{self.path}: was made by another model; build that one to resume")
        for variable, value in zip(variables, saved, strict=True):
            variable.assign(value)
        self.plateau.best, self.plateau.wait = self.state["plateau"]
        self.stopper.best, self.stopper.wait, self.stopper.best_epoch = self.state["stopper"]
        self.stopper.best_weights = self.state["best"]
        self.state = None

    def on_train_batch_end(self, batch, logs=None):
        self._check(logs, f"step {batch + 1} of ")

    def on_epoch_end(self, epoch, logs=None):
        self._check(logs)
        for name, value in (logs or {}).items():
            self.history.epochs.setdefault(name, []).append(float(value))
        self.history.best_epoch = self.stopper.best_epoch
        if self.path is None:
            return
        counters = {
            "plateau": [float(self.plateau.best), self.plateau.wait],
            "stopper": [float(self.stopper.best), self.stopper.wait, self.stopper.best_epoch],
            "history": self.history.epochs,
            "stopped": bool(self.model.stop_training),
            "made_with": self.made_with,
        }
        arrays = {"counters": np.array(json.dumps(counters))}
        for i, variable in enumerate(self._variables()):
            arrays[f"v{i}"] = keras.ops.convert_to_numpy(variable)
        arrays |= {f"b{i}": value for i, value in enumerate(self.stopper.best_weights)}
        write_arrays(self.path, np.savez, **arrays)

    def _check(self, logs: dict, step: str = "") -> None:
        """Stop before weights that are no numbers go into the checkpoint."""
        for name, value in logs.items():
            if not math.isfinite(value):
                done = len(self.history)
                kept = f"; {self.path} keeps epoch {done}" if self.path and done else ""
                raise ConfigError(
                    f"learning_rate {self.made_with['learning_rate']}: {name} is {value} after "
                    f"{step}epoch {done + 1}{kept}; start again with a smaller one"
                )


def _read(path: Path, made_with: dict) -> dict:
    try:
        with np.load(path) as arrays:
            state = json.loads(str(arrays["counters"]))
            for kind, name in (("v", "variables"), ("b", "best")):
                count = sum(entry[0] == kind for entry in arrays.files)
                state[name] = [arrays[f"{kind}{i}"] for i in range(count)]
        for name, kinds in (("plateau", (float, int)), ("stopper", (float, int, int))):
            state[name] = [kind(v) for kind, v in zip(kinds, state[name], strict=True)]
        history = {str(name): [*map(float, v)] for name, v in state["history"].items()}
        if {len(values) for values in history.values()} - {len(history["loss"])}:
            raise ValueError("its history is not of one length")
        state |= {"history": history, "stopped": bool(state["stopped"])}
        before = dict(state["made_with"])
    except Exception as error:  # zip, NumPy and JSON raise many kinds
        raise DataError(
            f"{path}: not a readable checkpoint ({reason(error)}); delete it and start again"
        ) from None
    check_same(path, before, made_with)
    return state


def check_same(path: Path, before: dict, made_with: dict) -> None:
    """Refuse, by a ConfigError, to go on with what was made with other settings or data."""
    changed = {key for key in before | made_with if before.get(key) != made_with.get(key)}
    if changed:
        raise ConfigError(
            f"{path}: was made with another {', '.join(sorted(changed))}; resume with what it was "
            "made with, or start again without resuming"
        )


def compiled(model: keras.Model, config: TrainingConfig) -> keras.Model:
    """Compile a model as Table 5 says; with `augment_on` "device", one around it, that augments."""
    if config.augment_on == "device":
        drawn, pictures = keras.Input((DRAWS,)), keras.Input(model.input_shape[1:], dtype="uint8")
        with precision(model.dtype_policy.name):  # in half precision Keras scales the loss
            model = keras.Model((pictures, drawn), model(OnDevice(config.seed)(pictures, drawn)))
    model.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=config.steps_per_call,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def fit(
    model: keras.Model,
    train: TrainingData,
    validation: tuple[np.ndarray, np.ndarray],
    config: TrainingConfig,
    checkpoints: str | os.PathLike | None = None,
    resume: bool = False,
    progress: bool = True,
    fingerprint: dict | None = None,
) -> History:
    """Train a model as Table 5 says, and leave it with its best weights.

    Parameters
    ----------
    model : keras.Model
        Two softmax outputs; compiled here, as `compiled` does it.
    validation : (images, labels)
        ``uint8 (V, S, S, 3)`` and ``int (V,)``; clean, neither balanced nor augmented.
    checkpoints : path-like, optional
        Folder for a checkpoint after every epoch; with `resume` the one that is there goes on.
    fingerprint : dict, optional
        What else decides the run, as JSON values by name: the model's settings, the data's
        fingerprint. It goes into the checkpoint with `config`; a ConfigError if the one that is
        there was made with other. Also where the loss is no number; the last good one stays then.
    """
    ignore_keras_json()
    images, labels = validation[0], np.asarray(validation[1], int)
    shown: Any = images[: len(images) - len(images) % config.devices]
    targets = np.eye(2, dtype=np.float32)[labels[: len(shown)]]
    if config.augment_on == "device":
        shown = shown, np.zeros((len(shown), DRAWS), np.float32)
    model = compiled(model, config)
    settings = asdict(config)
    settings |= settings.pop("recipe") | (fingerprint or {})
    made_with = json.loads(json.dumps(settings))
    path, state, history, first = None, None, History(), 0
    if checkpoints is not None:
        path = Path(checkpoints) / CHECKPOINT
        if not resume:
            path.unlink(missing_ok=True)  # or a later resume would continue the run before this one
        elif path.exists():
            state = _read(path, made_with)
            history = History(state["history"], state["stopper"][2])
            first = config.epochs if state["stopped"] else len(history)
    plateau = keras.callbacks.ReduceLROnPlateau(
        factor=config.lr_factor, patience=config.lr_patience, min_lr=config.min_learning_rate
    )
    stopper = keras.callbacks.EarlyStopping(patience=config.early_stop, restore_best_weights=True)
    # PyDataset.on_epoch_begin would come too late: by then the workers have asked for batches
    epoch = keras.callbacks.LambdaCallback(on_epoch_begin=lambda n, _: setattr(train, "epoch", n))
    bars = [TqdmCallback(epochs=config.epochs)] if progress else []
    keeper = _Checkpoint(path, made_with, plateau, stopper, history, state)
    try:
        model.fit(
            train,
            validation_data=(shown, targets),
            validation_batch_size=64 - 64 % config.devices,
            epochs=config.epochs,
            initial_epoch=first,
            shuffle=False,
            callbacks=[epoch, plateau, stopper, *bars, keeper],
            verbose=0,
        )
    finally:
        for bar in bars:
            bar.on_train_end()  # else an error's line would stand behind the bar
    return history
