"""What can go wrong, as one line that names the file, the fault and the cure."""

import importlib.util
import textwrap
from collections.abc import Iterable


class AllmError(Exception):
    """Base of every error a user can cause. The command line prints it without a traceback."""


class DataError(AllmError):
    """A data tree, a label file or a split is not what the step needs."""


class ImageError(AllmError):
    """An image cannot be read, or is not of the kind the model was trained on."""


class WeightsError(AllmError):
    """Pre-trained weights are neither on disk nor to be downloaded."""


class ModelError(AllmError):
    """A file is not a model of ours, or lacks the card that says how to feed it."""


class ConfigError(AllmError):
    """A setting is outside its range, or contradicts another."""


class RecordError(AllmError):
    """A run record is missing, malformed, stale or already there."""


def need(extra: str, *modules: str) -> None:
    """Refuse, by a ConfigError that says what to install, a step whose modules are not there."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            package = module.replace("_", "-")
            raise ConfigError(f"{package} is not installed: run pip install 'allm-utils[{extra}]'")


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Refuse, by a ConfigError, a setting that is not within its range."""
    if not low <= value <= high:
        raise ConfigError(f"{name} {value}: give a number from {low} to {high}")


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Refuse, by a ConfigError, a setting that is none of the choices."""
    if value not in choices:
        raise ConfigError(f"{name} {value!r}: choose one of {', '.join(choices)}")


def reason(error: Exception) -> str:
    """Say in a few words why a library failed; their messages may be long, or empty."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return textwrap.shorten(str(said), 160, placeholder=" …")
