"""The outcome of checking a score, as a value and as a table."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from cmdmetric.metrics import QUANTITIES

Outcome = Literal["within", "outside", "meaningless"]
_STATUS = {"within": 0, "outside": 1, "meaningless": 2}


@dataclass(frozen=True)
class Check:
    """One number beside what is expected of it."""

    #: What it is checked against, as the user wrote it.
    against: str
    #: Its key in the JSON result.
    metric: str
    #: "=" within the tolerance, or the relation of a bound.
    relation: str
    expected: float
    got: float
    #: The largest difference that passes; None for a bound.
    tolerance: float | None
    within: bool

    @property
    def difference(self) -> float:
        """got - expected."""
        return self.got - self.expected


@dataclass(frozen=True)
class Verdict:
    """All checks of one score."""

    checks: tuple[Check, ...]
    #: Why comparisons were not made: what would make them meaningless.
    meaningless: tuple[str, ...]
    #: What a reader must know: numbers that were not compared, settings taken on trust.
    notes: tuple[str, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst: a meaningless comparison, else a number outside."""
        if self.meaningless:
            return "meaningless"
        return "within" if all(check.within for check in self.checks) else "outside"

    @property
    def exit_status(self) -> int:
        """0 within, 1 outside, 2 meaningless."""
        return _STATUS[self.outcome]

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        checks = [{**dataclasses.asdict(c), "difference": c.difference} for c in self.checks]
        return {
            "outcome": self.outcome,
            "checks": checks,
            "meaningless": list(self.meaningless),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        """The table of `lines`."""
        return "\n".join(self.lines())

    def lines(self, *, reasons: bool = True) -> list[str]:
        """The table.

        Args:
            reasons: Whether it tells why a check failed, beside the numbers: the command line
                tells that on stderr.
        """
        width = max([len(_label(check.metric)) for check in self.checks], default=0) + 2
        lines = []
        for against in dict.fromkeys(check.against for check in self.checks):
            own = [check for check in self.checks if check.against == against]
            if own[0].tolerance is None:
                continue
            lines += [
                f"check against {against}",
                f"{'':<{width}}{'expected':>10}{'got':>10}{'difference':>12}{'tolerance':>11}",
            ]
            lines += [_line(check, width) for check in own]
            lines.append("")
        for check in self.checks:
            if check.tolerance is None:
                lines.append(f"check {check.against:<{width + 14}} got {check.got:.6g}  "
                             f"{_word(check)}")  # fmt: skip
        lines += [f"note: {note}" for note in self.notes]
        if reasons:
            lines += [f"meaningless: {reason}" for reason in self.meaningless]
        short = self.outcome == "outside" and not reasons
        return [*lines, f"verdict: {self.outcome if short else self.summary}"]

    @property
    def summary(self) -> str:
        """One line."""
        outside = [_label(check.metric) for check in self.checks if not check.within]
        if self.meaningless:
            return "meaningless, nothing can be concluded"
        if outside:
            return f"outside, {len(outside)} of {len(self.checks)}: {', '.join(outside)}"
        return f"within, all {len(self.checks)}"


def _label(metric: str) -> str:
    return QUANTITIES.get(metric, metric)


def _word(check: Check) -> str:
    return "within" if check.within else "OUTSIDE"


def _line(check: Check, width: int) -> str:
    return (
        f"{_label(check.metric):<{width}}{check.expected:>10.4f}{check.got:>10.4f}"
        f"{check.difference:>+12.4f}{check.tolerance:>11.4f}  {_word(check)}"
    )
