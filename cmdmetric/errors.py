"""The one error that a user's mistake raises."""


class InputError(ValueError):
    """Wrong or unusable input: the message names it, says what is wrong and what to do.

    The command line prints the message and exits with status 2; it never shows a traceback for it.
    """
