"""The options --check and --tolerance, and what the exit status tells of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from cmdmetric.cli import completion
from cmdmetric.terminal import tell

if TYPE_CHECKING:
    from cmdmetric.gate import Verdict


def check_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --check and --tolerance to a command."""
    for option in reversed(
        (
            click.option("--check", multiple=True, metavar="WHAT",
                         shell_complete=completion.paths, help="Exit 1 unless it "
                         "agrees with published:NAME, a score's JSON, or 'cmd<=8.5'. "
                         "Repeatable."),
            click.option("--tolerance", default="1%", show_default=True, metavar="T",
                         help="Of --check: 2%, 0.05, or 2se."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


class Gate:
    """The checks of one run."""

    def __init__(self, checks: Sequence[str], tolerance: str, output: str | None) -> None:
        """Understand the checks, before the work.

        Raises:
            InputError: One cannot be understood.
        """
        from cmdmetric.errors import InputError
        from cmdmetric.gate import Tolerance, expectation

        self.tolerance = Tolerance.parse(tolerance)
        self.against = [expectation(text) for text in checks]
        for text in checks:
            there = os.path.exists(text) and output
            if there and os.path.realpath(text) == os.path.realpath(there):
                raise InputError(f"-o {output} would replace what the score is checked against")

    def verdict(self, content: Mapping[str, Any]) -> Verdict | None:
        """None where nothing is to be checked."""
        from cmdmetric.gate import check

        if not self.against:
            return None
        return check(content, *self.against, tolerance=self.tolerance)

    def leave(self, verdict: Verdict | None) -> None:
        """Exit with the verdict's status, and say why on stderr, unless all is within."""
        if verdict is None or verdict.exit_status == 0:
            return
        for reason in verdict.meaningless or [verdict.summary]:
            tell(f"check failed: {reason}")
        sys.exit(verdict.exit_status)
