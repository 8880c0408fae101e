"""A metric's number with what each sample does to it: its standard error, and differences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmdmetric.uncertainty.draws import Array, Drawn, numbers_of_draws, replicated, sums_by_draw
from cmdmetric.uncertainty.interval import Z95, Variance, tell_an_error
from cmdmetric.uncertainty.permutation import permutation_p

#: A difference below this share of what it is between is rounding: images in another order.
ROUNDING = 1e-7

#: Numbers of samples that differ by more than this share make biased numbers incomparable.
SAMPLES = 0.01

#: What is found from sections varies more than these tell, by so much, and they tell it as well as
#: so many degrees of freedom do, or fewer (benchmarks/results/family_errors.md).
_SECTIONED, _PARTITIONED = 1.1, 16

#: By side "f", "r": what was drawn together (n,), or None, as in `cmdmetric.uncertainty.Drawn`.
Groups = Mapping[str, NDArray[np.generic] | None]

#: How the p-value of a difference is found: from images that change places, or from its error bar.
Test: TypeAlias = Literal["permutation", "student"]

#: Numbers of samples; None for one that is not known.
Sizes = tuple[int | None, ...]


@dataclass(frozen=True)
class Value:
    """One number of a metric, and the standard error that the sampling of both sides gives it."""

    value: float
    #: None where none is known.
    standard_error: float | None = None
    #: "lower" or "higher", whichever is better; None where nobody has said so.
    better: str | None = None
    #: Whether it is right on average whatever the number of samples.
    unbiased: bool = False
    #: The network beside CLIP that it is made of the features of; None for any other number.
    network: str | None = None
    #: The 95 % interval of what other samples, as many, score on average; None where the standard
    #: error is.
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """One number of a metric, and what its error bar is made of.

    Args:
        shares: by side, how much each sample raises the number: its influence over their number.
        noise: the variance of the second-order noise in it, which counts too often in the shares.
        counted: how often.
        chance: the variance that the number has from random numbers of its own.
        sections: (t, b) the number in each of b random sections of both sides, in t partitions.
            Where it has no influence function this takes the place of the shares: a section's
            variance over b is that of the whole, as far as variances fall as 1 / n.
        bias: how much too high it is for its numbers of samples, on average; None if not known.
        sizes: the numbers of samples that it depends on, such as images and draws among them.

        is_mean: whether it is the mean of a score of single images, which may change places.
        weights: (n,) of such a mean, how much of it each generated image has; they add up to one.
        of_images: (n,) the score of each generated image, of a mean whose error bar is found from
            something else than these. It depends on no other generated image.
        is_square: whether it is a distance of squares, whose variance grows with it.
        is_cautious: as in `Variance.interval`.

    A share is NaN where a sample has no part in the number, as an image without a caption.
    """

    value: float
    shares: Mapping[str, Array] = field(default_factory=dict)
    noise: float = 0.0
    counted: float = 2.0
    chance: float = 0.0
    sections: Array | None = None
    bias: float | None = 0.0
    sizes: Sizes = ()
    is_mean: bool = False
    weights: Array | None = None
    of_images: Array | None = None
    is_square: bool = False
    is_cautious: bool = False

    @property
    def of_each(self) -> Array | None:
        """(n,) the scores of single generated images that the number is the mean of.

        NaN for an image without a part in it; None where it is no such mean.
        """
        if self.of_images is not None or self.weights is None:
            return self.of_images
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.value + self.shares["f"] / self.weights

    @property
    def has_error(self) -> bool:
        """Whether anything is known of its error."""
        return bool(self.shares) or self.sections is not None

    def variance(self, groups: Groups) -> Variance | None:
        """What its error bar is made of; None where nothing is known of it."""
        if self.sections is not None:
            of_partitions = self.sections.var(axis=1, ddof=1) / self.sections.shape[1]
            if not of_partitions.any():
                return None
            # As many degrees of freedom as differences that it is found from, as far as these know
            # nothing of one another: partitions of one set know the same samples.
            freedom = min(_PARTITIONED, self.sections.size - len(self.sections))
            measured = _SECTIONED**2 * float(of_partitions.mean())
            return Variance(measured, counted=1.0, freedom=freedom)
        if not self.shares:
            return None
        sides, shares = [], []
        for side, share in self.shares.items():
            there, own = ~np.isnan(share), groups.get(side)
            sides.append(Drawn(int(there.sum()), None if own is None else own[there]))
            shares.append(share[there, None])
        if not replicated(sides):
            return None
        sums = sums_by_draw(sides, shares)[:, 0]
        if not tell_an_error(sums):
            return None
        return Variance.of_draws(
            sums,
            min(numbers_of_draws(sides)),
            noise=self.noise,
            counted=self.counted,
            chance=self.chance,
        )

    def standard_error(self, groups: Groups) -> float | None:
        """The square root of the variance; None where nothing is known of it."""
        variance = self.variance(groups)
        return None if variance is None else variance.standard_error

    def to_value(self, groups: Groups) -> Value:
        """The number, its standard error and its interval."""
        variance = self.variance(groups)
        if variance is None:
            return Value(self.value)
        low, high = variance.interval(self.value, square=self.is_square, cautious=self.is_cautious)
        return Value(self.value, variance.standard_error, low=low, high=high)


@dataclass(frozen=True)
class Gap:
    """A metric of a first generator less that of a second, scored against the same real side."""

    #: As scored.
    value: float
    #: Without what their numbers of samples do to both; None where that is not known.
    debiased: float | None
    #: None, as what follows, where the standard error of either is not known; what follows also
    #: where numbers of samples differ and what that does is not known.
    standard_error: float | None
    #: The 95 % interval, around `debiased` where that is known.
    low: float | None = None
    high: float | None = None
    #: Two-sided. Where images may change places, of that (`permutation_p`), which needs no standard
    #: error. Of others: that both have the same, as `p_student`.
    p_value: float | None = None
    #: Two-sided, of the hypothesis that both have the same, by Student's distribution.
    p_student: float | None = None
    #: Adjusted for there being several models (Holm 1979), where there are.
    p_adjusted: float | None = None
    #: What `p_value` is of: "permutation" or "student"; None where there is none.
    test: Test | None = None
    #: What the difference follows from, and how it was tested, in the long and the short form.
    signature: str | None = None
    short_signature: str | None = None


def gap(one: Measured, two: Measured, groups: Groups) -> Gap:
    """The difference of two numbers of one metric.

    groups are those of "f1", "f2", the images of either, and of the other sides by their names.
    What both have in common there, and images of one draw, cancels.
    """
    value = one.value - two.value
    debiased = None
    if one.bias is not None and two.bias is not None:
        debiased = value - (one.bias - two.bias)
    found = _by_error(one, two, value, debiased, groups)
    if debiased is None and differ(one.sizes, two.sizes):
        return Gap(value, None, found.standard_error)
    if not one.is_mean and one.of_images is None:
        return found
    return _exchanged(one, two, groups, found)


def _by_error(
    one: Measured, two: Measured, value: float, debiased: float | None, groups: Groups
) -> Gap:
    """A difference with what its error bar tells of it."""
    if not (one.has_error and two.has_error):
        return Gap(value, debiased, None)
    sections = None
    if one.sections is not None and two.sections is not None:
        if one.sections.shape != two.sections.shape:
            return Gap(value, debiased, None)
        sections = one.sections - two.sections
    shares = {"f1": one.shares.get("f"), "f2": _negative(two.shares.get("f"))}
    for side in (one.shares.keys() | two.shares.keys()) - {"f"}:
        shares[side] = one.shares[side] - two.shares[side]
    both = Measured(
        value,
        {side: share for side, share in shares.items() if share is not None},
        # Second-order noise stays counted twice: what both have of it from the other sides and
        # from images of one caption cancels, and how much that is is not known.
        chance=one.chance + two.chance,
        sections=sections,
    )
    variance = both.variance(groups)
    if variance is None:
        return Gap(value, debiased, None)
    se = variance.standard_error
    if sections is not None:
        # Near 1 their errors are too small: such a difference was told in up to 14 % of cases where
        # there was none.
        return Gap(value, debiased, se)
    return gap_of(value, se, debiased, variance.freedom, max(abs(one.value), abs(two.value)))


def _exchanged(one: Measured, two: Measured, groups: Groups, found: Gap) -> Gap:
    """The difference of two means, with the p-value of exchanging their images."""
    scores, drawn = [], []
    for side, of in (("f1", one), ("f2", two)):
        values = of.of_images
        if values is None:
            shares = of.shares["f"]
            values = of.value + np.count_nonzero(~np.isnan(shares)) * shares
        there, own = ~np.isnan(values), groups.get(side)
        scores.append(values[there])
        drawn.append(Drawn(len(scores[-1]), None if own is None else own[there]))
    if not replicated(drawn):
        return found
    p = permutation_p(scores[0], scores[1], (drawn[0], drawn[1]))
    return replace(found, p_value=p, test="permutation")


def gap_of(
    value: float,
    se: float | None,
    debiased: float | None = None,
    freedom: float = math.inf,
    scale: float = 0.0,
    of: int = 1,
) -> Gap:
    """A difference with its interval and p-value, where its standard error is known.

    scale: the size of what it is between; a share of ROUNDING of it is no difference.
    of: the number of differences that the intervals hold for all together (Bonferroni).
    """
    if se is None:
        return Gap(value, debiased, None)
    best, upper = value if debiased is None else debiased, 1 - 0.025 / of
    if abs(best) <= ROUNDING * scale:
        best = 0.0
    if math.isinf(freedom):
        p, reach = two_sided(best, se), Z95 if of == 1 else NormalDist().inv_cdf(upper)
    else:
        from scipy.special import stdtr, stdtrit

        t = abs(best) / se if se else (math.inf if best else 0.0)
        p, reach = float(2 * stdtr(freedom, -t)), float(stdtrit(freedom, upper))
    return Gap(value, debiased, se, best - reach * se, best + reach * se, p, p, test="student")


def two_sided(value: float, se: float) -> float:
    """The p-value of a value with a normal standard error, of the hypothesis that it is zero."""
    return math.erfc(abs(value) / se / math.sqrt(2)) if se else float(value == 0)


def differ(one: Sizes, two: Sizes) -> bool:
    """Whether numbers of samples differ by so much that biased numbers do not compare."""
    return any(
        n is not None and m is not None and abs(n - m) > SAMPLES * max(n, m)
        for n, m in zip(one, two, strict=True)
    )


def _negative(share: Array | None) -> Array | None:
    return None if share is None else -share
