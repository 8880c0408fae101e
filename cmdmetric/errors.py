"""The error that a user's mistake raises, and the kinds of it that are told apart."""


class InputError(ValueError):
    """Wrong or unusable input: the message names it, says what is wrong and what to do.

    The command line prints the message and exits with status 2; it never shows a traceback for it.
    """


class MissingError(InputError):
    """A path that does not exist."""


class NotAtHandError(InputError):
    """Weights or a reference that are nowhere on this machine and cannot be downloaded."""
