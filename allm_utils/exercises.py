"""The checks of the exercises: each answers a reader's attempt with a tick or a hint."""


class Hint(AssertionError):
    """What is still missing, in one line."""
