"""How work that takes time is told: bars where a person looks, a line where nobody does."""

from __future__ import annotations

import contextlib
import sys
from typing import Protocol

from tqdm.std import tqdm as Bar

from cmdmetric.terminal import counted, one_line, shown, tell

__all__ = ["Bar", "Tally", "announce", "progress_bar", "tally_of", "watched"]

#: The most characters of what a bar is of.
_WHAT = 40


class Tally(Protocol):
    """What is told of work as it is done: a bar, or what another process shows in its own."""

    def update(self, n: int = 1) -> object:
        """Count n more units as done."""


def watched() -> bool:
    """Whether a person looks: stderr is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def tally_of(
    what: str, total: int | None, unit: str, *, wanted: bool | Tally
) -> contextlib.AbstractContextManager[Tally]:
    """The tally that is handed in; or else a bar of its own, as `progress_bar` draws it."""
    if not isinstance(wanted, bool):
        return contextlib.nullcontext(wanted)
    return progress_bar(what, total, unit, wanted=wanted)


def progress_bar(what: str, total: int | None, unit: str, *, wanted: bool) -> Bar:
    """A progress bar on stderr, or in a notebook its own; in a pipe or a log one line, no bar.

    Args:
        what: What is worked on; the middle of a long one is left out.
        total: How many units there are; None where that is not known.
        unit: What is counted, such as "image".
        wanted: Whether progress is told at all.
    """
    drawn = wanted and watched()
    if wanted and not drawn:
        tell(shown(what) if total is None else f"{shown(what)}: {counted(total, unit)}")
    return (_bar_of_place() if drawn else Bar)(
        total=total, desc=shown(what, _WHAT), unit=unit, disable=not drawn, mininterval=0.5
    )  # fmt: skip


def _bar_of_place() -> type[Bar]:
    """In a notebook its own; it brings asyncio, which a quiet command has no use for."""
    from tqdm.auto import tqdm

    return tqdm


def announce(message: str) -> None:
    """A line on stderr at once, above bars that are drawn."""
    Bar.write(one_line(message), file=sys.stderr)
