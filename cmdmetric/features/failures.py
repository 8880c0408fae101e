"""What cannot be encoded, and how that is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cmdmetric.errors import InputError
from cmdmetric.terminal import shown

#: Whether images that cannot be decoded are an error or are left out.
OnError = Literal["raise", "skip"]
#: A message lists at most this many files by name.
LISTED = 20


class Undecodable(InputError):
    """Images that could not be decoded, where that is an error."""

    def __init__(
        self, source: str, failures: Sequence[tuple[str, str]], seen: int, on_error: OnError
    ) -> None:
        """failures are (name, reason), seen is the number of images that were tried."""
        self.failures, self.seen = tuple(failures), seen
        listed = list_failures(failures)
        if on_error == "skip":
            super().__init__(f"{source}: no image could be decoded:\n{listed}")
            return
        super().__init__(
            f"{source}: {len(failures):,} of {seen:,} images cannot be decoded:\n{listed}\n"
            "Mend or remove them, or score the rest with --on-error skip (on_error='skip')."
        )


class NoWords(InputError):
    """Captions none of which has a word."""

    def __init__(self, source: str) -> None:
        super().__init__(f"{source}: no caption has a word in it")


def refuse_failures(
    source: str, failures: Sequence[tuple[str, str]], seen: int, on_error: OnError
) -> None:
    """Raise Undecodable where no image of `seen` is left, and where one failed and may not."""
    if len(failures) == seen or (failures and on_error == "raise"):
        raise Undecodable(source, failures, seen, on_error)


def list_failures(failures: Sequence[tuple[str, str]]) -> str:
    """One line for each failure (name, reason), at most LISTED of them."""
    lines = [f"  {shown(name, 200)}: {shown(reason)}" for name, reason in failures[:LISTED]]
    if len(failures) > LISTED:
        lines.append(f"  and {len(failures) - LISTED} more")
    return "\n".join(lines)
