"""The options --check and --tolerance, and what the exit status tells of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from cmdmetric.cli import completion
from cmdmetric.cli.options import check_writable, write
from cmdmetric.terminal import tell

if TYPE_CHECKING:
    from cmdmetric.gate import Verdict


def check_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --check, --tolerance and --junit to a command."""
    for option in reversed(
        (
            click.option("--check", multiple=True, metavar="WHAT",
                         shell_complete=completion.paths, help="Exit 1 unless it "
                         "agrees with published:NAME, a score's JSON, or 'cmd<=8.5'. "
                         "Repeatable."),
            click.option("--tolerance", default="1%", show_default=True, metavar="T",
                         help="Of --check: 2%, 0.05, or 2se (errors)."),
            click.option("--junit", metavar="FILE", shell_complete=completion.paths,
                         help="Write the checks as JUnit's XML."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


class Gate:
    """The checks of one run."""

    def __init__(
        self, checks: Sequence[str], tolerance: str, output: str | None, junit: str | None = None
    ) -> None:
        """Understand the checks, before the work.

        Raises:
            InputError: One cannot be understood.
        """
        from cmdmetric.errors import InputError
        from cmdmetric.gate import Tolerance, expectation

        if junit and not checks:
            raise click.UsageError("--junit writes the results of --check, and there is none")
        check_writable(junit)
        self.junit = junit
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

    def leave(self, verdict: Verdict | None, content: Mapping[str, Any]) -> None:
        """Tell the service that runs the tests, and exit with the verdict's status unless it is 0.

        Why a check failed stands on stderr, and in GitHub Actions as an annotation and in the
        summary of the job.
        """
        from cmdmetric.gate import junit, log_commands, summary

        if verdict is None:
            return
        if self.junit is not None:
            write(self.junit, junit(verdict))
        if os.environ.get("GITHUB_ACTIONS") == "true":
            if place := os.environ.get("GITHUB_STEP_SUMMARY"):
                with open(place, "a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(summary(verdict, content))
            for line in log_commands(verdict):
                print(line, file=sys.stderr)
        if verdict.exit_status == 0:
            return
        for reason in verdict.meaningless or [verdict.summary]:
            tell(f"check failed: {reason}")
        sys.exit(verdict.exit_status)
