"""Numbers as they are printed, and in the text of a notebook, where no book puts them."""

import re
import sys
from importlib.metadata import version

from IPython.display import DisplayHandle, Markdown, display

from allm_utils import __version__

_numbers: dict[str, object] = {}
_texts: dict[str, DisplayHandle | None] = {}


def signs(text: str) -> str:
    """Write its numbers as one prints them: a true minus sign, and a space before per cent."""
    text = re.sub(r"(?<![\w.,)\]−–-])-(?=\d)", "−", text)
    return re.sub(r"(?<=\d) ?%", "\xa0%", text)


def glue(name: str, value: object, display: bool = True) -> None:
    """Name a number of the run, as `myst_nb.glue` does, and fill it into the texts that hold it.

    `display` does nothing here: the number is shown in the texts alone.
    """
    _numbers[name] = value
    for text, place in list(_texts.items()):
        if place and name in _names(text):
            place.update(_filled(text))
        elif not place and _names(text) <= set(_numbers):
            say(text)


def say(text: str) -> None:
    """Show Markdown in which ``[[name]]`` stands for a number that is glued before or later.

    Dots stand for a number that is not there yet. Google Colab keeps the outputs of cells apart:
    there a text waits, and is shown by the cell that glues its last number.
    """
    if "google.colab" in sys.modules and not _names(text) <= set(_numbers):
        _texts[text] = None
    else:
        _texts[text] = display(_filled(text), display_id=True)


def here() -> None:
    """Print the versions that a notebook runs on, and the graphics card, if there is one."""
    from allm_utils.runs.experiment import accelerator  # loads Keras

    print(f"Python {sys.version.split()[0]}, allm-utils {__version__}", end="")
    print(*(f", {name} {version(name)}" for name in ("keras", "tensorflow", "numpy")), sep="")
    print(f"GPU: {accelerator() or 'none, and the small size needs none'}")


def _names(text):
    return set(re.findall(r"\[\[(.+?)\]\]", text))


def _filled(text):
    return Markdown(re.sub(r"\[\[(.+?)\]\]", lambda m: signs(str(_numbers.get(m[1], "…"))), text))
