"""How a command starts and ends: its streams, which may break, and what click has to say."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import click

from cmdmetric.cli.start import INTERRUPTED
from cmdmetric.terminal import say, tell

#: Wrong usage, bad input, or an output that cannot be written.
WRONG = 2
#: What libraries say where the system gives them no more memory or threads.
_NO_MEMORY = re.compile(
    r"allocate|out of memory|std::bad_alloc|map segment|start new thread|not enough memory"
    r"|error return without exception set"  # of an import that was cut off
    r"|could not (?:create|execute) a (?:primitive|memory)",  # oneDNN's words
    re.I,
)


class _Guarded:
    """A stream whose failure is kept in place of raised: lost chatter must not lose the score."""

    def __init__(self, stream: TextIO) -> None:
        if isinstance(stream, io.TextIOWrapper):
            # Names of files may hold what the terminal's encoding does not.
            stream.reconfigure(errors="backslashreplace")
        self.stream = stream
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError as error:
            self.failure = error
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self.failure = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def silence(self) -> None:
        """Let what Python still holds of a broken stream go nowhere when the process ends."""
        with contextlib.suppress(OSError, ValueError):  # a stream of a test has no descriptor
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)


def _occupy() -> None:
    """Let a file that is opened later never become stdout or stderr, where these were closed."""
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) <= 2:
        pass
    os.close(descriptor)


def _unwritable(descriptor: int) -> TextIO:
    """A stream that fails where it is written to, for one that Python has found closed."""
    return open(descriptor, "w", encoding="utf-8", closefd=False)


@contextlib.contextmanager
def guarded_streams() -> Iterator[None]:
    """Within it no write to stdout or stderr fails; one that did is an exit with status 2."""
    _occupy()
    streams = sys.stdout, sys.stderr
    out, err = (_Guarded(stream or _unwritable(fd)) for fd, stream in enumerate(streams, 1))
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        out.flush()
        if out.failure is not None:
            tell(f"error: stdout cannot be written: {out.failure.strerror}")
        err.flush()
        sys.stdout, sys.stderr = streams
        broken = [stream for stream in (out, err) if stream.failure is not None]
        for stream in broken:
            stream.silence()
        if broken:
            sys.exit(WRONG)


class Command(click.Command):
    """A command that says what is wrong in lines that command no terminal."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run as click does. Exit with status 2 where stdout or stderr cannot be written."""
        run: Any = super().main
        if not kwargs.pop("standalone_mode", True):
            return run(*args, **kwargs, standalone_mode=False)
        with guarded_streams():
            try:
                status = run(*args, **kwargs, standalone_mode=False)
            except click.ClickException as error:
                _show(error)
                status = error.exit_code
            except click.Abort:
                tell("interrupted")
                status = INTERRUPTED
            except (OSError, MemoryError, RuntimeError, ImportError, SystemError) as error:
                reason = _of_the_machine(error)
                if reason is None:
                    raise
                tell(f"error: {reason}")
                status = WRONG
            sys.exit(status)


class Group(Command, click.Group):
    """A command of commands."""


def _of_the_machine(error: Exception) -> str | None:
    """What the system has refused, in a line; None where the error is none of the system's."""
    for each in _causes(error):
        text = " ".join(str(each).split())
        if isinstance(each, MemoryError) or _NO_MEMORY.search(text):
            return f"the memory is used up ({text[:300] or type(each).__name__}): allow more of it"
    if not isinstance(error, OSError):
        return None
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    return f"{where}{error.strerror or ' '.join(str(error).split())}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised from: libraries dress errors of the system as their own."""
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__


def _show(error: click.ClickException) -> None:
    """As click shows an error, in lines that command no terminal."""
    message = error.format_message()
    if isinstance(error, click.exceptions.NoArgsIsHelpError):  # it is the help itself
        say(*message.splitlines(), err=True)
        return
    context: click.Context | None = getattr(error, "ctx", None)
    if context is not None:
        say(*context.get_usage().splitlines(), err=True)
        say(f"Try '{context.command_path} --help' for help.", "", err=True)
    tell(f"Error: {message}")
