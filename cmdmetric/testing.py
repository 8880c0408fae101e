"""For test suites: a score that must be what it was, or what it should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cmdmetric.gate import DEFAULT_TOLERANCE, Against, check
from cmdmetric.scoring import CMDScore


def assert_score(
    score: CMDScore | Mapping[str, Any],
    *against: Against,
    tolerance: str | float = DEFAULT_TOLERANCE,
) -> None:
    """Fail the test unless the score is within all that it is checked against.

    Arguments as for `cmdmetric.gate.checks`. Raises AssertionError with the table of the numbers
    where one is outside, or where a comparison would be meaningless; InputError for a check that
    cannot be understood.

    >>> assert_score({"cmd": 8.0, "dis_rl": 91.8}, "cmd<=8.5", "dis_rl<=100")
    """
    __tracebackhide__ = True  # pytest then shows the line of the test
    if not against:
        raise TypeError("assert_score needs something to check the score against")
    verdict = check(score, *against, tolerance=tolerance)
    if verdict.outcome != "within":
        raise AssertionError(f"the score is not what is expected of it\n{verdict}")
