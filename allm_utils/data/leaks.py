"""What stands in two parts of a split: files, people, smears, and twins of either kind."""

import os

import pandas as pd

from allm_utils.data import cnmc
from allm_utils.data.people import byte_twins, person, pixel_twins
from allm_utils.errors import DataError, reason

_NAME = r"(?i)UID_(?P<subject>H?\d+)_(?P<smear>\d+)_\d+_(?:all|hem)\."
_SHOWN = 10


def in_two_parts(key: pd.Series, split: pd.Series) -> pd.DataFrame:
    """Keys that stand in more than one part: `parts` (``"test+train"``) and number of `images`."""
    used = split[split != "unused"]
    key = key[used.index]
    used = used[used.groupby(key).transform("nunique") > 1]
    groups = used.groupby(key[used.index])
    parts = groups.agg(lambda part: "+".join(sorted(part.unique())))
    return pd.DataFrame({"parts": parts, "images": groups.size()})


def leaks(frame: pd.DataFrame) -> pd.DataFrame:
    """Name what stands in two parts of any split of C-NMC, a reader's own for one.

    Parameters
    ----------
    frame : pandas.DataFrame
        `file` or `path` (its last part counts), `part`, and `subject`, unless the files are named
        as published. Rows without a part, or with ``"unused"``, are passed over.

    Returns
    -------
    pandas.DataFrame
        `kind` (``"file"``, ``"person"``, ``"smear"``, ``"byte twin"``, ``"pixel twin"``), `what`,
        `parts` and `images` as in `in_two_parts`; empty if nothing leaks.
    """
    place = "file" if "file" in frame else "path"
    for column in (place, "part"):
        if column not in frame:
            raise DataError(
                f"no column '{column}'; give file or path, part, and subject, with commas between"
            )
    frame = frame[frame["part"].notna()].reset_index(drop=True)
    file, part = cnmc.file_names(frame, place), frame["part"].astype("string")
    name = file.str.extract(_NAME).astype("string")  # null where no name fits
    subject = (frame["subject"] if "subject" in frame else name["subject"]).astype("string")
    if subject.isna().any():
        raise DataError(f"{file[subject.isna()].iloc[0]}: who is it? Give a column 'subject'")
    subject = subject.str.upper()
    keys = {"file": file, "person": person(subject), "smear": subject + ", smear " + name["smear"]}
    found = [in_two_parts(key, part).assign(kind=kind) for kind, key in keys.items()]
    for kind, pairs in (("byte twin", byte_twins()), ("pixel twin", pixel_twins())):
        what = pairs["file_a"] + " = " + pairs["file_b"]
        pair = pd.concat([what.set_axis(pairs[side]) for side in ("file_a", "file_b")])
        cells = pd.DataFrame({"file": file, "part": part}).join(pair.rename("pair"), on="file")
        cells = cells.reset_index(drop=True)  # a cell may be in several pairs
        found.append(in_two_parts(cells["pair"], cells["part"]).assign(kind=kind))
    return pd.concat(found).rename_axis("what").reset_index()[["kind", "what", "parts", "images"]]


def report(path: str | os.PathLike) -> str:
    """Read a CSV file of the columns that `leaks` takes, and say in lines what it found."""
    try:
        found = leaks(pd.read_csv(path, dtype="string"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({reason(error)}); give a CSV file") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    lines = []
    for kind, rows in found.groupby("kind", sort=False):
        lines.append(f"{kind}: {len(rows)} in more than one part ({rows['images'].sum()} images)")
        lines += [f"  {row.what} ({row.parts})" for row in rows[:_SHOWN].itertuples()]
        lines += ["  ..."] * (len(rows) > _SHOWN)
    return "\n".join(lines or [f"{path}: nothing stands in two parts"])
