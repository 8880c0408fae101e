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

    Args:
        score: The score, or the content of its JSON.
        *against: What it is checked against, as for `cmdmetric.gate.check`.
        tolerance: How far numbers may differ, as for `cmdmetric.gate.check`.

    Raises:
        AssertionError: A number is outside, or a comparison would be meaningless; the message has
            the table of the numbers.
        InputError: A check cannot be understood.

    >>> assert_score({"cmd": 8.0, "dis_rl": 91.8}, "cmd<=8.5", "dis_rl<=100")
    """
    __tracebackhide__ = True  # pytest then shows the line of the test
    if not against:
        raise TypeError("assert_score needs something to check the score against")
    verdict = check(score, *against, tolerance=tolerance)
    if verdict.outcome != "within":
        raise AssertionError(f"the score is not what is expected of it\n{verdict}")
