"""The one error that a user's mistake raises."""

from __future__ import annotations

from cmdmetric.errors import InputError


class GrganError(InputError):
    """Unusable input to grgan_ref: the message names it, says what is wrong and what to do.

    The command line prints the message and exits with status 2; it never shows a traceback for it.
    """
