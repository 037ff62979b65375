"""Who is whom: people under several names, and the files that show one cell twice.

A *subject* is a name in the files, a *person* is what the pixels say: subjects that share a cell
are one person. Files of two subjects that are equal byte by byte are **byte twins**; files that
differ and show one cell, photographed twice or re-encoded, are **pixel twins**.
"""

from importlib import resources

import pandas as pd

_SUBJECTS = (
    ("1", "15", "16", "17", "18", "20", "21"),
    ("43", "44"),
    ("51", "55", "75", "78"),  # 55 is of the preliminary test set
    ("H2", "H4", "H5", "H6", "H7"),
    ("H3", "H10"),
    ("H14", "H24"),
)

GROUPS = {"+".join(subjects): subjects for subjects in _SUBJECTS}
"""People who stand in C-NMC 2019 under several names: person to subjects. 73 training subjects are
58 people. A lower bound: fold 2 and the test sets could be compared in part only."""

_PERSON = {subject: name for name, subjects in GROUPS.items() for subject in subjects}


def person(subject: str | pd.Series) -> str | pd.Series:
    """Name of the person behind a subject: one of `GROUPS`, or the subject itself.

    Parameters
    ----------
    subject : str or pandas.Series of str

    Returns
    -------
    str or pandas.Series of str
        Of the same kind; what is missing stays missing.
    """
    if isinstance(subject, pd.Series):
        return subject.replace(_PERSON)
    return _PERSON.get(subject, subject)


def pixel_twins() -> pd.DataFrame:
    """Pairs of files of two subjects that show one cell, without the byte twins.

    Returns
    -------
    pandas.DataFrame
        `file_a`, `fold_a`, `file_b`, `fold_b` (a fold is ``"0"``, ``"1"``, ``"2"``, ``"prelim"``
        or ``"final"``; a preliminary image goes by its patient's name, as in the label file), and
        `ncc`, the masked normalised cross-correlation of the two pictures, best pair first.
    """
    with resources.files("allm_utils.data").joinpath("pixel_twins.tsv").open() as table:
        return pd.read_csv(table, sep="\t", dtype={"fold_a": str, "fold_b": str})
