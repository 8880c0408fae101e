"""How many images tell a difference, and which difference a number of images tells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from cmdmetric.errors import InputError
from cmdmetric.metrics import Aligned, End, Moments

#: The two-sided level of the test that is planned for.
LEVEL = 0.05
#: The chance to tell a difference that is there.
POWER = 0.9


@dataclass(frozen=True)
class Spread:
    """The variance of one generator's score by its number of draws: first / n + second / n^2.

    Args:
        first: the variance of the influences of single draws.
        second: the second-order noise, times the square of the number of draws.
    """

    first: float
    second: float = 0.0

    @classmethod
    def of_error(cls, standard_error: float, draws: int, second_order: float = 0.0) -> Spread:
        """From the standard error of a score of so many draws.

        second_order: the part of its variance, 0 to 1, that is second-order noise.

        Raises:
            InputError: the error is not above zero, or there are fewer than two draws.
        """
        if not (math.isfinite(standard_error) and standard_error > 0 and draws >= 2):
            raise InputError(
                f"a plan takes a score's error bar: this has {standard_error} of {draws} draws"
            )
        variance = standard_error**2
        return cls(variance * (1 - second_order) * draws, variance * second_order * draws**2)

    def standard_error(self, draws: int) -> float:
        """Of a score of so many draws."""
        return math.sqrt(self.first / draws + self.second / draws**2)


def gaussian_spread(f: Moments, r: Moments, l: Moments) -> Spread:
    """The spread of CMD where only generated images are sampled, Gaussian and independent.

    Args:
        f: the moments of the generated images, as they truly are.
        r: those of the real images.
        l: those of the captions; Dis(f,l) is taken as no less than Dis(r,l).

    Raises:
        InputError: the dimensions differ.
    """
    image = End(f)
    to_real, to_captions = Aligned.of(image, End(r)), Aligned.of(image, End(l))
    gap, form = to_real.gap + to_captions.gap, np.zeros((f.d, f.d))
    for pair in (to_real, to_captions):
        half = np.sqrt(pair.s)[:, None] * (pair.left.T @ image.gaussian.inverse)
        form += np.eye(f.d) - half.T @ half
    moved = form @ f.cov
    first = 4 * float(gap @ f.cov @ gap) + 2 * float(np.sum(moved * moved.T))
    return Spread(first, to_real.second_order(1.0, 0.0))


def draws_needed(spread: Spread, detect: float, power: float = POWER) -> int:
    """How many draws of each of two generators tell that their scores differ by `detect`.

    The two are taken as independent and of the same spread; images of the same captions, and a
    shared real side, make the difference sharper. The test is two-sided at 5 %.

    Raises:
        InputError: the difference is not above zero, or the power not between 5 % and 100 %.

    >>> draws_needed(Spread(1.0), 0.1, 0.8)
    1570
    """
    _check(detect, "the difference to detect")
    # (a / n + b / n^2) 2 reach^2 = detect^2, solved for n.
    ratio = 2 * (_reach(power) / detect) ** 2
    a, b = ratio * spread.first, ratio * spread.second
    return max(2, math.ceil((a + math.sqrt(a * a + 4 * b)) / 2))


def detectable(spread: Spread, draws: int, power: float = POWER) -> float:
    """The smallest difference that so many draws of each of two generators tell.

    Raises:
        InputError: there are fewer than two draws, or the power is not between 5 % and 100 %.
    """
    if draws < 2:
        raise InputError(f"a plan takes 2 images or more, not {draws}")
    return math.sqrt(2) * _reach(power) * spread.standard_error(draws)


def _reach(power: float) -> float:
    if not LEVEL < power < 1:
        raise InputError(f"the power is a chance above {LEVEL} and below 1, not {power}")
    normal = NormalDist()
    return normal.inv_cdf(1 - LEVEL / 2) + normal.inv_cdf(power)


def _check(value: float, what: str) -> None:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{what} must be above zero, not {value}")
