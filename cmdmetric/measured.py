"""A metric's number with what each sample does to it: its standard error, and differences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cmdmetric.draws import Array, Drawn, covariance

#: 95 % of a normal distribution are within this many standard deviations.
Z95 = 1.959963984540054

#: By side "f", "r": what was drawn together (n,), or None, as in `cmdmetric.draws.Drawn`.
Groups = Mapping[str, NDArray[np.generic] | None]


@dataclass(frozen=True)
class Value:
    """One number of a metric, and the standard error that the sampling of both sides gives it."""

    value: float
    #: None where none is known.
    standard_error: float | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """One number of a metric, and what its error bar is made of.

    Args:
        shares: by side, how much each sample raises the number: its influence over their number.
        excess: variance that the shares count although the number does not have it: second-order
            noise counts twice in them.
        least: the part of it that is left at least: half, where all of it is such noise.
        chance: the variance that the number has from random numbers of its own.
        sections: (t, b) the number in each of b random sections of both sides, in t partitions.
            Where it has no influence function this takes the place of the shares: a section's
            variance over b is that of the whole, as far as variances fall as 1 / n.
    """

    value: float
    shares: Mapping[str, Array] = field(default_factory=dict)
    excess: float = 0.0
    least: float = 0.5
    chance: float = 0.0
    sections: Array | None = None

    def standard_error(self, groups: Groups) -> float | None:
        """The square root of the variance; None where nothing is known of it."""
        if self.sections is not None:
            variances = self.sections.var(axis=1, ddof=1) / self.sections.shape[1]
            return float(np.sqrt(variances.mean()))
        if not self.shares or min(map(len, self.shares.values())) < 2:
            return None
        sides = [Drawn(len(share), groups.get(side)) for side, share in self.shares.items()]
        shares = [share[:, None] for share in self.shares.values()]
        variance = covariance(sides, shares)[0].item()
        return math.sqrt(max(variance - self.excess, self.least * variance) + self.chance)

    def to_value(self, groups: Groups) -> Value:
        """The number and its standard error."""
        return Value(self.value, self.standard_error(groups))


@dataclass(frozen=True)
class Gap:
    """A metric of a first generator less that of a second, scored against the same real side."""

    value: float
    #: None, as what follows, where the standard error of either is not known.
    standard_error: float | None
    #: The 95 % interval.
    low: float | None
    high: float | None
    #: Two-sided, of the hypothesis that both have the same; normal approximation.
    p_value: float | None
    #: Adjusted for there being several models (Holm 1979), where there are.
    p_adjusted: float | None = None


def gap(one: Measured, two: Measured, groups: Groups) -> Gap:
    """The difference of two numbers of one metric.

    groups are those of "f1", "f2", the images of either, and of the other sides by their names.
    What both have in common there, and images of one draw, cancels.
    """
    shares = {"f1": one.shares.get("f"), "f2": _negative(two.shares.get("f"))}
    for side in (one.shares.keys() | two.shares.keys()) - {"f"}:
        shares[side] = one.shares[side] - two.shares[side]
    both = Measured(
        one.value - two.value,
        {side: share for side, share in shares.items() if share is not None},
        one.excess + two.excess,
        min(one.least, two.least),
        one.chance + two.chance,
        None if one.sections is None or two.sections is None else one.sections - two.sections,
    )
    return gap_of(both.value, both.standard_error(groups))


def gap_of(value: float, se: float | None) -> Gap:
    """A difference with its interval and p-value, where its standard error is known."""
    if se is None:
        return Gap(value, None, None, None, None)
    p = math.erfc(abs(value) / se / math.sqrt(2)) if se else float(value == 0)
    return Gap(value, se, value - Z95 * se, value + Z95 * se, p)


def _negative(share: Array | None) -> Array | None:
    return None if share is None else -share
