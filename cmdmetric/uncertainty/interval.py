"""The 95 % interval of an estimate: Student's t, its skewness, and variance that grows with it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: 95 % of a normal distribution are within this many standard deviations.
Z95 = 1.959963984540054
#: The skewness of a sum beyond which its correction is an extrapolation.
_SKEWED = 0.6


#: Where most draws have one value, so many others tell the error of their mean: of a share that so
#: few images count in, two standard errors cover 93 % of cases at least, and of fewer down to none.
EXCEPTIONS = 10


def tell_an_error(sums: NDArray[np.float64]) -> bool:
    """Tell whether the shares (g,) of draws in a number tell how much it varies.

    They do not where all are the same, or most of them are and too few are others: a share of
    images near 0 or 1.
    """
    size = float(np.abs(sums).max(initial=0.0))
    if not size > 0:
        return False
    alike = int(np.unique(np.round(sums / size, 9), return_counts=True)[1].max())
    return 2 * alike <= len(sums) or len(sums) - alike >= EXCEPTIONS


@dataclass(frozen=True)
class Variance:
    """What the error bar of a number is made of.

    Args:
        measured: the sum of the squared shares of the draws, in which second-order noise counts
            several times: the derivative at the drawn sample is itself noise.
        noise: the variance of the second-order noise, from a formula.
        counted: how often that noise is in `measured`: twice, unless the shares are of parts.
        chance: the variance that the number has from random numbers of its own.
        skewness: of the number, as a sum of the shares of its draws.
        tails: 0 for Gaussian samples, 1 for heavy tails, of which the formula knows too little.
        freedom: the degrees of freedom: one less than the draws of the side that has fewest, or
            fewer where the shares have heavy tails.
    """

    measured: float
    noise: float = 0.0
    counted: float = 2.0
    chance: float = 0.0
    skewness: float = 0.0
    tails: float = 0.0
    freedom: float = math.inf

    @classmethod
    def of_draws(cls, sums: NDArray[np.float64], fewest: int, **more: float) -> Variance:
        """From the shares (g,) of independent draws, where the side with fewest has so many."""
        measured = float(sums @ sums) * len(sums) / max(1, len(sums) - 1)
        freedom: float = fewest - 1
        skewness = 0.0
        if measured > 0:
            # In units of their size, whose powers are numbers where those of the shares are not.
            shares = sums / math.sqrt(measured)
            squares = shares * shares
            skewness = float(squares @ shares)
            # A few large shares tell a variance as badly as few draws do (Satterthwaite 1946).
            spread = float(squares @ squares) / float(shares @ shares) ** 2 - 1 / len(sums)
            freedom = min(freedom, max(1.0, 2 / spread)) if spread > 0 else freedom
        return cls(measured, skewness=skewness, freedom=freedom, **more)

    @property
    def standard_error(self) -> float:
        """What is counted too often is taken off, as far as that can be told."""
        left = self.measured - (self.counted - 1) * self.noise
        return math.sqrt(max(left, self.measured / self.counted) + self.chance)

    def interval(
        self, value: float, *, square: bool = False, cautious: bool = False, of: int = 1
    ) -> tuple[float, float]:
        """The 95 % interval round a value.

        cautious: whether the upper bound of a distance takes second-order noise off its variance
            once alone: of a set that happens to lie near so much of it is not told.
        of: how many such intervals are to hold together in 95 % of cases (Bonferroni).
        square: whether it is a distance of squares, so that what is no second-order noise in its
            variance is proportional to its true value, and no part of the interval is below zero.
            Each bound then takes the variance that the number would have if it were the truth.
            What an estimate below zero speaks for is zero: the upper bound is that of zero.

        Bounds of a skewed number lie further out on its long side (Hall, "On the removal of
        skewness by transformation", 1992).
        """
        from scipy.special import stdtrit

        freedom = min(self.freedom, 1e9)  # a normal distribution
        reach = float(stdtrit(freedom, 1 - 0.025 / of))
        above, below = (_unskewed(t, self.skewness) for t in (reach, -reach))
        low = self._bound(value, above, square, cautious)
        if not square:
            return low, self._bound(value, below, square, cautious)
        return max(0.0, low), max(0.0, self._bound(max(0.0, value), below, square, cautious))

    def levels(self, value: float, *, of: int = 1) -> tuple[float, float]:
        """The levels beyond which `interval`, of no distance, lies above zero and below it.

        They are the inverse of its bounds, so that the lower one of the 95 % interval is above zero
        exactly where the first is below 0.05, and the upper one below zero where the second is, but
        for the rounding of Student's distribution. Of a value without an error they are 0, and of
        zero without an error, which no interval leaves out, 1.
        """
        from scipy.special import stdtr

        se = self.standard_error
        if not se:
            return float(value <= 0), float(value >= 0)
        freedom, t = min(self.freedom, 1e9), _skewed(value / se, self.skewness)
        return 2 * of * float(stdtr(freedom, -t)), 2 * of * float(stdtr(freedom, t))

    def _bound(self, value: float, t: float, square: bool, cautious: bool) -> float:
        """The true value that would be t standard errors below the one found."""
        size = max(value, math.sqrt(self.noise))
        if not square or size <= 0:  # a set beside itself: there is nothing to be proportional to
            return value - t * self.standard_error
        measured, rate, taken = self.measured, 0.0, self.counted - (cautious and t < 0)
        if t < 0:  # where a distance happens to be low, its variance does: three standard errors
            measured *= 1 + min(0.3, 3 * math.sqrt(2 / self.freedom))
        if self.noise < measured / taken:
            rate = (measured - taken * self.noise) / size
        noise = min(self.noise, measured)
        inner = rate * value + noise + self.chance + t * t * rate * rate / 4
        found = value + t * t * rate / 2 - t * math.sqrt(max(0.0, inner))
        wide = value - t * self.standard_error * self.tails
        return min(found, wide) if t > 0 else max(found, wide)


def _unskewed(t: float, skewness: float) -> float:
    """The t of a skewed number where a symmetric one has t."""
    g = max(-_SKEWED, min(_SKEWED, skewness))
    if abs(g) < 1e-9:
        return t
    return 3 * (float(np.cbrt(1 + g * (t - g / 6))) - 1) / g


def _skewed(t: float, skewness: float) -> float:
    """The inverse of `_unskewed`, which is Hall's transformation."""
    g = max(-_SKEWED, min(_SKEWED, skewness))
    if abs(g) < 1e-9:
        return t
    a = g * t / 3
    return t * (1 + a * (1 + a / 3)) + g / 6
