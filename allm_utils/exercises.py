"""The checks of the exercises: each answers a reader's attempt with a tick or a hint."""


class Hint(AssertionError):
    """What is still missing, in one line."""


def check(check, *answers):
    """Print whether the reader's answers pass ``check``: a tick, or what is still missing.

    Parameters
    ----------
    check : callable
        One of this module's ``check_...``; it returns True or raises `Hint`.
    *answers
        What the exercise asked for.
    """
    try:
        check(*answers)
    except Hint as hint:
        print(f"✗ Not yet: {hint}")
    else:
        print("✓ Correct")
