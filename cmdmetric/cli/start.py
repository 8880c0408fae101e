"""How the commands start: Ctrl-C is one line at any moment, also while modules are imported.

Nothing is imported here that takes time.
"""

from __future__ import annotations

import importlib
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

#: What a shell reports for Ctrl-C: 128 + SIGINT.
INTERRUPTED = 130


def start(module: str, name: str, program: str) -> None:
    """Import the command `name` of a module and run it under the name of its program."""
    # Where Ctrl-C is ignored, as behind the & of a script, it stays so.
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        getattr(importlib.import_module(module), name)(prog_name=program)
    except KeyboardInterrupt:
        _stop()
    finally:
        if heard:  # an exception would be printed by Python, which ends now
            signal.signal(signal.SIGINT, _stop)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, for a command may have things to tidy up.

    In the midst of an import, of which there are some in mid-run, libraries swallow it or make
    another error of it.
    """
    at = frame
    while at is not None:
        if at.f_code.co_filename.startswith("<frozen importlib"):
            _stop()
        at = at.f_back
    signal.default_int_handler(number, frame)


def _stop(*_: object) -> None:
    """At once: what is half imported, and threads that still work, must not speak."""
    try:
        os.write(2, b"interrupted\n")
    finally:  # stderr may be closed
        os._exit(INTERRUPTED)
