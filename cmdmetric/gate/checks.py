"""The gate: does a score repeat what is expected of it, and would the comparison mean anything?"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cmdmetric.errors import InputError
from cmdmetric.gate.expectations import (
    DECODER,
    UNRECORDED,
    Against,
    Bound,
    Expectation,
    differences_of,
    expectation,
    number_at,
    numbers,
    setting_of,
)
from cmdmetric.gate.verdict import Check, Verdict
from cmdmetric.scoring import CMDScore

#: The same images, or the same seed, on another machine stay far within this; what a change of
#: code or data does rarely does.
DEFAULT_TOLERANCE = "1%"
#: Numbers of generated images may differ by this share: the excess of a finite set goes with 1/n,
#: so it differs by no more. It lets 29,952 images (468 whole batches) meet 30,000.
SAMPLES = 0.01


@dataclass(frozen=True)
class Tolerance:
    """How far a number may be from the expected one."""

    value: float
    #: "%" of the expected number, "se" standard errors of the difference, "" as it stands.
    unit: Literal["%", "se", ""]

    @classmethod
    def parse(cls, text: str | float) -> Tolerance:
        """Read "2%", "2se" or "0.05".

        Raises:
            InputError: It is anything else, or below zero.
        """
        found = re.fullmatch(r"\s*([\d.eE+-]+?)\s*(%|se|)\s*", str(text))
        try:
            value = float(found[1]) if found else math.nan
        except ValueError:
            value = math.nan
        if found is None or not 0 <= value < math.inf:
            raise InputError(
                f"the tolerance is {text!r}: it is a percentage (2%), a number of standard errors "
                "(2se), or a difference (0.05)"
            )
        return cls(value, found[2])  # type: ignore[arg-type]  # the pattern has no other

    def __str__(self) -> str:
        return f"{self.value:g}{' ' if self.unit == 'se' else ''}{self.unit}"


def check(
    score: CMDScore | Mapping[str, Any],
    *against: Against | Bound | Expectation,
    tolerance: str | float | Tolerance = DEFAULT_TOLERANCE,
) -> Verdict:
    """Compare a score, or the content of its JSON, with what is expected of it.

    A comparison is not made where protocol, encoder, reference or captions are other ones, or the
    number of generated images differs by more than 1 %, nor a bound on a number that is not there;
    the verdict says why.

    Args:
        score: The score that is checked.
        *against: Any number of "published:GR-GAN" (a row of `cmdmetric.published`), the path or the
            content of a stored score, a score, or bounds on any number of the result ("cmd<=8.5",
            "uncertainty.cmd.debiased<9").
        tolerance: That of comparisons; bounds have none. It is "2%" of the expected number, "2se"
            standard errors of the difference, or an absolute difference. The rounding of the
            expected number (half of the last published digit, 1e-5 of the largest distance of a
            stored one) always passes.

    Raises:
        InputError: Something cannot be understood, or a row or a file is not there.

    >>> score = {"cmd": 8.0, "n": 30000}
    >>> check(score, "cmd<=8.5", "n>=30000").outcome
    'within'
    """
    result = score.to_dict() if isinstance(score, CMDScore) else score
    allowed = tolerance if isinstance(tolerance, Tolerance) else Tolerance.parse(tolerance)
    checks: list[Check] = []
    meaningless: list[str] = []
    notes: list[str] = []
    for each in against:
        wanted = each if isinstance(each, (Bound, Expectation)) else expectation(each)
        try:
            if isinstance(wanted, Bound):
                checks.append(_bound(result, wanted))
                continue
            if reasons := [*_differences(result, wanted), *_no_errors(result, wanted, allowed)]:
                meaningless += [f"{wanted.name}: {reason}" for reason in reasons]
                continue
        except InputError as error:  # a number that the result does not have
            meaningless.append(f"{wanted.name}: {error}")
            continue
        notes += _notes(result, wanted)
        checks += _compared(result, wanted, allowed)
    return Verdict(tuple(checks), tuple(meaningless), tuple(notes))


def _bound(result: Mapping[str, Any], bound: Bound) -> Check:
    got, limit = number_at(result, bound.key), bound.limit
    holds = {
        "<=": got <= limit,
        ">=": got >= limit,
        "==": got == limit,
        "<": got < limit,
        ">": got > limit,
    }[bound.relation]
    return Check(bound.name, bound.key, bound.relation, limit, got, None, holds)


def _compared(
    result: Mapping[str, Any], wanted: Expectation, allowed: Tolerance
) -> Iterator[Check]:
    known = numbers(result)
    for metric, expected in wanted.values.items():
        got = known.get(metric)
        if got is None:
            continue
        size = {"%": abs(expected) / 100, "se": _error(known, wanted, metric), "": 1.0}
        tolerance = max(allowed.value * (size[allowed.unit] or 0.0), wanted.slack)
        # 8.04 + 0.005 and 8.045 are two numbers in binary.
        within = abs(got - expected) <= tolerance + 1e-12 * abs(expected)
        yield Check(wanted.name, metric, "=", expected, got, tolerance, within)


def _error(known: Mapping[str, float | None], wanted: Expectation, metric: str) -> float | None:
    """The standard error of the difference of two independent samples.

    A score without an error bar is taken to have that of the other, since it has as many samples.
    """
    own = known.get(f"uncertainty.{metric}.standard_error")
    return None if own is None else math.hypot(own, wanted.errors.get(metric, own))


def _differences(result: Mapping[str, Any], wanted: Expectation) -> Iterator[str]:
    """Why the expected numbers and this score's do not mean the same."""
    if "signature" not in result:
        yield "it is one generator's score, this is no such result"
        return
    ours = setting_of(result)
    for what in differences_of(ours, wanted.setting):
        theirs = wanted.setting[what]
        if not (what == "model" and _same_weights(ours, wanted)):
            yield f"it was made with {what} {_told(theirs)}, this score with {_told(ours[what])}"
    dis_rl = number_at(result, "dis_rl")
    if abs(dis_rl - wanted.dis_rl) > wanted.dis_rl_slack:
        yield (
            f"its reference has Dis(r,l) = {wanted.dis_rl:.4f}, this score's {dis_rl:.4f}, and "
            f"more than {wanted.dis_rl_slack:.2g} of difference means other real images, other "
            "captions, or the same encoded otherwise"
        )
    n = result.get("n")
    if wanted.samples != n and (
        wanted.samples is None or n is None or abs(n - wanted.samples) > SAMPLES * wanted.samples
    ):
        yield (
            f"it is of {_count(wanted.samples)} generated images, this score of {_count(n)}: "
            f"distances depend on the number, which may differ by {SAMPLES:.0%} at most"
        )


def _same_weights(ours: Mapping[str, Any], wanted: Expectation) -> bool:
    """One network under two names is one network."""
    return ours["weights"] is not None and ours["weights"] == wanted.setting.get("weights")


def _no_errors(result: Mapping[str, Any], wanted: Expectation, allowed: Tolerance) -> Iterator[str]:
    if allowed.unit != "se":
        return
    known = numbers(result)
    # Moments alone: what other samples of the model would score is in no error bar.
    sampled = "generated" in (result.get("uncertainty") or {}).get("sides", ())
    bare = [
        metric
        for metric in wanted.values
        if known.get(metric) is not None and (not sampled or _error(known, wanted, metric) is None)
    ]
    if bare:
        yield (
            f"a tolerance of {allowed} needs error bars of the generated images, and this score "
            f"has none of {', '.join(bare)}: give images or features in place of moments, or a "
            "percentage"
        )


def _notes(result: Mapping[str, Any], wanted: Expectation) -> Iterator[str]:
    known = numbers(result)
    for metric, expected in wanted.values.items():
        if known.get(metric) is None:
            yield f"{wanted.name} has {metric} {expected:g}, which this run has not computed"
    ours = setting_of(result)
    unknown = [
        what
        for what, theirs in wanted.setting.items()
        if (theirs in (None, "?") and what not in (*UNRECORDED, DECODER))
        # A reference is known by its name, which tells its contents.
        or (what in UNRECORDED and (theirs is None) != (ours[what] is None))
    ]
    if wanted.samples is None:
        unknown.append("number of images")
    if unknown:
        yield (
            f"{wanted.name}: {', '.join(unknown)} not recorded on both sides: that they are the "
            "same is taken on trust"
        )


def _told(value: Any) -> str:
    if value in (None, "?"):
        return "one that is not recorded"
    text = str(value)
    return f"{text[:8]}..." if re.fullmatch("[0-9a-f]{64}", text) else text


def _count(n: int | None) -> str:
    return "an unrecorded number of" if n is None else f"{n:,}"
