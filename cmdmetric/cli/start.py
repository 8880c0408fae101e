"""How the commands start: Ctrl-C is one line at any moment, also while modules are imported.

Nothing is imported here that takes time.
"""

from __future__ import annotations

import importlib
import os
import signal

#: What a shell reports for Ctrl-C: 128 + SIGINT.
INTERRUPTED = 130


def start(module: str, name: str, program: str) -> None:
    """Import the command `name` of a module and run it under the name of its program.

    A KeyboardInterrupt is raised only while the command itself runs, which has things to tidy up.
    In the midst of an import libraries make other errors of it, and after the command's end Python
    prints it.
    """
    # Where Ctrl-C is ignored, as behind the & of a script, it stays so.
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard:
        signal.signal(signal.SIGINT, _stop)
    command = getattr(importlib.import_module(module), name)
    try:
        if heard:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        command(prog_name=program)
    except KeyboardInterrupt:
        _stop()
    finally:
        if heard:
            signal.signal(signal.SIGINT, _stop)


def _stop(*_: object) -> None:
    """At once: what is half imported, and threads that still work, must not speak."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)
