"""Training as in Table 5, able to survive a kill.

What a step sees is a function of (seed, epoch, batch) alone, and a checkpoint holds everything
else: so a resumed run ends where an uninterrupted one would have ended.
"""

import contextlib
import json
import os
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
from tqdm.auto import tqdm

from allm_utils.book.profile import has_gpu
from allm_utils.errors import ConfigError, DataError
from allm_utils.network.augment import Augmenter, Recipe
from allm_utils.network.balance import GREY, balanced_rows, desaturate

CHECKPOINT = "checkpoint.npz"
PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True)
class TrainingConfig:
    """Table 5 to the letter, and the few things it leaves open.

    Attributes
    ----------
    epochs, batch_size : int
    learning_rate, min_learning_rate : float
        Adam starts at the first and never falls below the second.
    lr_factor : float
        The learning rate is multiplied by it ...
    lr_patience : int
        ... after this many epochs without a better validation loss.
    early_stop : int
        Training ends after this many epochs without a better validation loss.
    balance : {"hem", "both", "none"}
        Which class gets a grey copy of each training picture; "hem" is the paper's way.
    augment : bool
        Noise, warp and brightness of section 3.3.
    clean_share : float
        Share of training pictures without noise. Not in the paper; 0.
    brightness : tuple of float
        Range of the factor that each training picture is multiplied by.
    stain : float
        As in `augment.Recipe`. Not in the paper; 0.
    average : float
        Momentum of a moving average of the weights over the steps, with which the network is
        validated and tested (Polyak and Juditsky, 1992). Not in the paper; 0 is none.
    precision : str
        One of `PRECISIONS`; "auto" is mixed_float16 on a GPU and float32 on a CPU.
    seed : int
    """

    epochs: int = 100
    batch_size: int = 16
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-6
    lr_factor: float = 0.1
    lr_patience: int = 5
    early_stop: int = 20
    balance: str = "hem"
    augment: bool = True
    clean_share: float = 0.0
    brightness: tuple[float, float] = (0.4, 0.8)
    stain: float = 0.0
    average: float = 0.0
    precision: str = "auto"
    seed: int = 1337

    def __post_init__(self):
        for name in ("epochs", "batch_size", "lr_patience", "early_stop"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} {getattr(self, name)}: give a whole number from 1")
        if self.min_learning_rate <= 0:
            raise ConfigError(f"min_learning_rate {self.min_learning_rate}: give a number above 0")
        if self.learning_rate < self.min_learning_rate:
            raise ConfigError(
                f"learning_rate {self.learning_rate}: give a number from the minimum "
                f"{self.min_learning_rate} upwards"
            )
        if not 0 < self.lr_factor < 1:
            raise ConfigError(f"lr_factor {self.lr_factor}: give a number between 0 and 1")
        if not 0 <= self.clean_share <= 1:
            raise ConfigError(f"clean_share {self.clean_share}: give a share from 0 to 1")
        if not 0 <= self.average < 1:
            raise ConfigError(f"average {self.average}: give a momentum from 0 to below 1")
        if self.balance not in GREY:
            raise ConfigError(f"balance {self.balance!r}: choose one of {', '.join(GREY)}")
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"precision {self.precision!r}: choose one of {', '.join(PRECISIONS)}"
            )
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed}: give a whole number from 0")

    def dtype_policy(self) -> str:
        """Name the Keras dtype policy for the device that is there."""
        if self.precision != "auto":
            return self.precision
        return "mixed_float16" if has_gpu() else "float32"


class TrainingData(keras.utils.PyDataset):
    """Batches of the balanced, augmented training set, made while the model trains.

    Parameters
    ----------
    images : numpy.ndarray
        ``uint8 (N, S, S, 3)``; a memory map is fine, only batches are read.
    labels : numpy.ndarray of int
        ``(N,)``; 0 = HEM, 1 = ALL.
    config : TrainingConfig
    rows : numpy.ndarray of int, optional
        The training pictures among the N; all by default.

    Raises
    ------
    DataError
        If a class has no training picture.
    """

    def __init__(self, images, labels, config: TrainingConfig, rows=None):
        workers = min(8, max(2, os.cpu_count() or 2))  # threads: OpenCV lets the others work
        super().__init__(workers=workers, use_multiprocessing=False, max_queue_size=2 * workers)
        chosen = np.arange(len(images)) if rows is None else np.asarray(rows)
        self.images, self.labels = images, np.asarray(labels, int)
        self.config = config
        self.epoch = 0
        order, self.grey = balanced_rows(self.labels[chosen], config.balance)
        self.rows = chosen[order]
        counts = np.bincount(self.labels[self.rows], minlength=2)
        if counts.min() == 0:
            raise DataError(
                f"training part has {counts[0]} HEM and {counts[1]} ALL pictures; both are needed"
            )
        recipe = Recipe(
            clean_share=config.clean_share, brightness=config.brightness, stain=config.stain
        )
        self._augment = Augmenter(recipe, config.seed) if config.augment else None
        self._order = (None, None)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.config.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """Return the order of the pictures in one epoch."""
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.config.seed, 1, epoch])
            self._order = (epoch, rng.permutation(len(self.rows)))
        return self._order[1]

    def batch(self, epoch: int, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Make one batch: a function of (seed, epoch, index) and nothing else.

        Returns
        -------
        pictures : numpy.ndarray
            ``uint8 (B, S, S, 3)``.
        targets : numpy.ndarray
            ``float32 (B, 2)``, one-hot.
        """
        size = self.config.batch_size
        chosen = self.order(epoch)[index * size : (index + 1) * size]
        rows = self.rows[chosen]
        pictures = [
            desaturate(self.images[row]) if grey else self.images[row]
            for row, grey in zip(rows, self.grey[chosen], strict=True)
        ]
        if self._augment:
            rng = np.random.default_rng([self.config.seed, 2, epoch, index])
            pictures = self._augment(pictures, rng)
        return np.asarray(pictures), np.eye(2, dtype=np.float32)[self.labels[rows]]

    def __getitem__(self, index: int):
        return self.batch(self.epoch, index)


class _Epoch(keras.callbacks.Callback):
    """Tell the data which epoch it is."""

    def __init__(self, data: TrainingData):
        super().__init__()
        self.data = data

    def on_epoch_begin(self, epoch, logs=None):
        self.data.epoch = epoch


class _Progress(keras.callbacks.Callback):
    """One bar over all steps, with the time left and the latest metrics."""

    def __init__(self, config: TrainingConfig, steps: int, first_epoch: int):
        super().__init__()
        self.config, self.steps, self.first = config, steps, first_epoch

    def on_train_begin(self, logs=None):
        total = self.config.epochs * self.steps
        self.bar = tqdm(total=total, initial=self.first * self.steps, desc="training", unit="step")
        self.bar.set_description(f"epoch {self.first + 1}/{self.config.epochs}")

    def on_epoch_begin(self, epoch, logs=None):
        self.bar.set_description(f"epoch {epoch + 1}/{self.config.epochs}", refresh=False)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update()

    def on_epoch_end(self, epoch, logs=None):
        shown = ("accuracy", "val_accuracy", "val_loss")
        self.bar.set_postfix({k: f"{logs[k]:.3f}" for k in shown if k in logs})

    def on_train_end(self, logs=None):
        self.bar.close()


@dataclass
class History:
    """What happened in training.

    Attributes
    ----------
    epochs : dict of str to list of float
        Keras' logs, one value an epoch: loss, accuracy, val_loss, val_accuracy, learning_rate.
    best_epoch : int
        The epoch, counted from 0, whose weights were kept.
    """

    epochs: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0

    def __len__(self) -> int:
        return len(self.epochs.get("loss", []))


class _Checkpoint(keras.callbacks.Callback):
    """Save everything after each epoch; put it back before the first one.

    Stands last in the list of callbacks: the others reset their counters when training begins.
    """

    def __init__(self, path: Path | None, seed: int, swapper, plateau, stopper, history, state):
        super().__init__()
        self.path, self.seed = path, seed
        self.swapper, self.plateau, self.stopper = swapper, plateau, stopper
        self.history, self.state = history, state

    def _variables(self):
        # model.variables, unlike model.weights, holds the state of the dropout's seed generator
        return [*self.model.variables, *self.model.optimizer.variables]

    def on_train_begin(self, logs=None):
        if self.state is None:
            return
        variables, saved = self._variables(), self.state["variables"]
        if [tuple(v.shape) for v in variables] != [value.shape for value in saved]:
            raise ConfigError(f"{self.path}: was made by another model; build that one to resume")
        for variable, value in zip(variables, saved, strict=True):
            variable.assign(value)
        counters = self.state["counters"]
        self.plateau.best, self.plateau.wait = counters["plateau"]
        self.stopper.best, self.stopper.wait, self.stopper.best_epoch = counters["stopper"]
        self.stopper.best_weights = self.state["best"]
        if self.swapper:  # it was saved, and is now, with the averaged weights in the model
            self.swapper._ema_weights_in_model = True
        self.state = None

    def on_epoch_end(self, epoch, logs=None):
        for name, value in logs.items():
            self.history.epochs.setdefault(name, []).append(float(value))
        self.history.best_epoch = self.stopper.best_epoch
        if self.path is None:
            return
        best = self.stopper.best_weights
        counters = {
            "plateau": [float(self.plateau.best), self.plateau.wait],
            "stopper": [float(self.stopper.best), self.stopper.wait, self.stopper.best_epoch],
            "history": self.history.epochs,
            "stopped": bool(self.model.stop_training),
            "seed": self.seed,
        }
        arrays = {"counters": np.array(json.dumps(counters))}
        for i, variable in enumerate(self._variables()):
            arrays[f"v{i}"] = keras.ops.convert_to_numpy(variable)
        arrays |= {f"b{i}": value for i, value in enumerate(best)}
        _save_arrays(self.path, arrays)


def _save_arrays(path: Path, arrays: dict) -> None:
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=".checkpoint-", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)
            os.replace(part, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
    except OSError as error:
        raise DataError(
            f"{path}: cannot write the checkpoint ({error.strerror}); free some space and resume"
        ) from None


def _load_checkpoint(path: Path, seed: int) -> dict:
    try:
        with np.load(path) as arrays:
            counters = json.loads(str(arrays["counters"]))
            count = {kind: sum(n[0] == kind for n in arrays.files) for kind in "vb"}
            variables = [arrays[f"v{i}"] for i in range(count["v"])]
            best = [arrays[f"b{i}"] for i in range(count["b"])]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: not a readable checkpoint ({error}); delete it and start again"
        ) from None
    if counters["seed"] != seed:
        raise ConfigError(
            f"{path}: was made with seed {counters['seed']}, not {seed}; use that seed to resume"
        )
    return {"counters": counters, "variables": variables, "best": best}


def fit(
    model: keras.Model,
    train: TrainingData,
    validation: tuple[np.ndarray, np.ndarray],
    config: TrainingConfig,
    checkpoints: str | os.PathLike | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Train a model as Table 5 says, and leave it with its best weights.

    Parameters
    ----------
    model : keras.Model
        Two softmax outputs; compiled here.
    train : TrainingData
    validation : (images, labels)
        ``uint8 (V, S, S, 3)`` and ``int (V,)``; clean, neither balanced nor augmented.
    config : TrainingConfig
    checkpoints : path-like, optional
        Folder for a checkpoint after every epoch.
    resume : bool
        Continue from the checkpoint there, if there is one.
    progress : bool
        Show a bar with the time left.

    Returns
    -------
    History

    Raises
    ------
    ConfigError
        If the checkpoint was made with another seed or by another model.
    DataError
        If the checkpoint cannot be read or written.
    """
    model.compile(
        optimizer=keras.optimizers.Adam(
            config.learning_rate,
            use_ema=config.average > 0,
            ema_momentum=config.average or 0.99,  # unused without
        ),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.optimizer.build(model.trainable_variables)
    path, state, history, first = None, None, History(), 0
    if checkpoints is not None:
        path = Path(checkpoints) / CHECKPOINT
        path.parent.mkdir(parents=True, exist_ok=True)
        if resume and path.exists():
            state = _load_checkpoint(path, config.seed)
            history.epochs = state["counters"]["history"]
            history.best_epoch = state["counters"]["stopper"][2]
            first = config.epochs if state["counters"]["stopped"] else len(history)
        elif not resume:
            path.unlink(missing_ok=True)  # or a later resume would continue the run before this one
    plateau = keras.callbacks.ReduceLROnPlateau(
        factor=config.lr_factor, patience=config.lr_patience, min_lr=config.min_learning_rate
    )
    stopper = keras.callbacks.EarlyStopping(patience=config.early_stop, restore_best_weights=True)
    swapper = keras.callbacks.SwapEMAWeights(swap_on_epoch=True) if config.average else None
    callbacks = [_Epoch(train), *filter(None, [swapper]), plateau, stopper]
    if progress:
        callbacks.append(_Progress(config, len(train), first))
    callbacks.append(_Checkpoint(path, config.seed, swapper, plateau, stopper, history, state))
    train.epoch = first
    images, labels = validation
    model.fit(
        train,
        validation_data=(images, np.eye(2, dtype=np.float32)[np.asarray(labels, int)]),
        validation_batch_size=64,
        epochs=config.epochs,
        initial_epoch=first,
        shuffle=False,
        callbacks=callbacks,
        verbose=0,
    )
    return history
