"""One thing that a preflight check found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

#: error: the score will fail, or be wrong. warning: it will not be what a reader takes it for.
#: note: worth knowing.
Severity: TypeAlias = Literal["error", "warning", "note"]
#: At most this many names are kept of what a finding is about.
NAMED = 10


@dataclass(frozen=True)
class Finding:
    """What was found, where, and about how many of the images or captions."""

    severity: Severity
    #: What was looked at, in one word: "unreadable", "duplicates", "captions", ...
    check: str
    #: "generated", "real", "captions" or "setup".
    subject: str
    #: One line or a few, with what to do where something is to be done.
    message: str
    #: How many it concerns; 0 where it is about none in particular.
    count: int = 0
    #: The first of them by name.
    names: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "names": list(self.names)}


def finding(
    severity: Severity, check: str, subject: str, message: str, names: Sequence[str] = ()
) -> Finding:
    """A finding about what has these names, of which it keeps the first."""
    return Finding(severity, check, subject, message, len(names), tuple(names[:NAMED]))
