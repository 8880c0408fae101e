"""Error bars of CMD and its parts, their debiased values, and comparisons."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

from cmdmetric.errors import InputError
from cmdmetric.metrics import QUANTITIES
from cmdmetric.uncertainty.alike import NEARER, SIDES, is_collapsed, why_dependent
from cmdmetric.uncertainty.draws import numbers_of_draws, sums_by_draw
from cmdmetric.uncertainty.estimate import ROUNDING, Gap, Test, differ, gap_of
from cmdmetric.uncertainty.excess import WORTH_A_DIMENSION, least_draws
from cmdmetric.uncertainty.influence import (
    Array,
    Influences,
    Sample,
    SideLike,
    Sides,
    cmd_weights,
    influences,
    influences_of,
)
from cmdmetric.uncertainty.interval import Variance
from cmdmetric.uncertainty.permutation import permutation_p

#: How the finite-sample excess is found: from the spectra of the covariances, or not at all.
Debiasing = Literal["spectral", "none"]

#: So many standard errors below zero is a debiased distance that no independent sets have.
_TOO_NEAR = 3

_Bar = TypeVar("_Bar", "Estimate", "Part")

#: The quantities as combinations of Dis(f,r), Dis(f,l), Dis(r,l).
_FR, _FL, _RL = np.eye(3)


@dataclass(frozen=True)
class Estimate:
    """One quantity with its error bar."""

    #: As the literature reports it, with the excess of a finite sample.
    raw: float
    #: What infinitely many samples would score; None where it is not known: of too few draws
    #: (`Uncertainty.withheld`), or of generated images that are moments alone.
    debiased: float | None
    #: Of the debiased value, of the raw one where there is none. 0 where nothing was sampled.
    standard_error: float
    #: The 95 % interval of what infinitely many samples would score; None where debiased is.
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Part:
    """What the means, or the covariances, have in a number; it may be below zero in ITDis."""

    raw: float
    #: None where the number's is.
    debiased: float | None
    standard_error: float


def _read(kind: type[_Bar], values: Mapping[str, Any]) -> _Bar:
    made = kind(**values)
    if made.raw is None or made.standard_error is None:
        raise TypeError("a number or its standard error is null")
    if isinstance(made, Estimate) and (made.low is None) != (made.high is None):
        raise TypeError("one end of an interval is null, the other is not")
    return made


@dataclass(frozen=True)
class Parts:
    """A number by what it is made of: both parts add up to it, raw or debiased."""

    #: |mean_a - mean_b|^2, or the difference of two of these.
    means: Part
    #: Tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)), or the difference of two of these.
    covariances: Part

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Parts:
        """The inverse of `dataclasses.asdict`."""
        return cls(*(_read(Part, values[name]) for name in ("means", "covariances")))


@dataclass(frozen=True)
class Uncertainty:
    """CMD and its parts with error bars."""

    cmd: Estimate
    itdis: Estimate
    dis_fr: Estimate
    dis_fl: Estimate
    dis_rl: Estimate
    #: The debiased Dis(f,l) - Dis(r,l), None where debiased is; ITDis is its absolute value.
    signed_itdis: float | None
    #: Whose sampling the error bars include, of "generated", "real", "captions".
    sides: tuple[str, ...]
    #: The number of independent draws: an image with its captions counts once.
    draws: int
    #: How the excess was found.
    debiasing: Debiasing
    #: The share of second-order noise in the first-order variance of Dis(f,r), 0 to 1/2. It is
    #: 1/2 where f and r cannot be told apart, and 0 where first order is all there is.
    second_order: float
    #: Why there are no debiased values and no intervals; None where there are.
    withheld: str | None = None
    #: What Dis(f,r) and ITDis ("dis_fr", "itdis") are made of; empty in results of old versions.
    parts: Mapping[str, Parts] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {**dataclasses.asdict(self), "sides": list(self.sides)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Uncertainty:
        """The inverse of `to_dict`.

        Raises:
            KeyError, TypeError: Something that has to be there is not.
        """
        made = {name: _read(Estimate, values[name]) for name in QUANTITIES}
        parts = {name: Parts.from_dict(of) for name, of in (values.get("parts") or {}).items()}
        found = cls(**{**values, **made, "sides": tuple(values["sides"]), "parts": parts})
        if found.draws is None or found.second_order is None:
            raise TypeError("the number of draws or the share of second-order noise is null")
        return found


@dataclass(frozen=True)
class Difference:
    """CMD of a first generator minus CMD of a second; negative where the first is better."""

    raw: float
    #: Of the debiased scores; None where either has none.
    debiased: float | None
    #: Of the debiased difference; never smaller than the raw one's.
    standard_error: float
    #: The 95 % interval, around `debiased` where that is known. None, as what follows, where it is
    #: not and the numbers of images differ: what that does to CMD is not known then.
    low: float | None
    high: float | None
    #: Two-sided, of the hypothesis that images of both may change places (`permutation_p`): exact
    #: for any number of images. None where either is moments alone.
    p_value: float | None
    #: Two-sided, of the hypothesis that both have the same CMD: the level at which the interval
    #: just reaches zero, so that it is below 0.05 exactly where the 95 % interval leaves zero out.
    p_student: float | None
    #: Whose sampling the error bar includes, of "generated", "real", "captions".
    sides: tuple[str, ...]
    #: The number of independent draws.
    draws: int
    #: Why there is no debiased difference; None where there is.
    withheld: str | None = None
    #: What `p_value` is of; None where there is none.
    test: Test | None = None
    #: What the difference follows from, and how it was tested, in the long and the short form.
    signature: str | None = None
    short_signature: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {**dataclasses.asdict(self), "sides": list(self.sides)}


def uncertainty(
    f: SideLike,
    r: SideLike,
    l: SideLike,
    *,
    debiasing: Debiasing | None = None,
) -> Uncertainty:
    """Error bars of CMD, ITDis and the three distances, and their debiased values.

    Args:
        f: generated images, a `Sample` (features with groups), features (n, d), or no more than
            Moments. The sampling of the first two is included. Samples of one group were drawn
            together, and their influences are summed before the variance is taken.
        r: real images, in the same forms.
        l: captions, in the same forms.
        debiasing: by default "spectral" where every side at hand has more than
            `least_draws` draws, else "none". With "none" there is no interval.

    Returns:
        The error bars. The standard error is the influence function's (delta method). Near a
        distance of zero, as of a perfect generator, that counts the noise of the moments to second
        order twice; it is corrected for, see `docs/uncertainty.md`. ITDis is the larger of a smooth
        quantity and its negative: the bounds of its interval, and of CMD's, are the larger of the
        two branches' bounds, which covers at zero as it does far from it.

    Raises:
        InputError: no side has features, the dimensions differ, all samples of a side are one
            draw, all images of one are the same, or "spectral" is asked for with no more draws than
            dimensions.

    >>> rng = np.random.default_rng(0)
    >>> f, r, l = (rng.standard_normal((400, 8)) + shift for shift in (0.1, 0, 1))
    >>> found = uncertainty(f, r, l)
    >>> found.sides
    ('generated', 'real', 'captions')
    >>> found.dis_fr.low <= 8 * 0.1**2 <= found.dis_fr.high
    True
    """
    sides = Sides.of(f, r, l)
    for name, sample in sides.samples.items():
        if name != "l" and is_collapsed(sample.moments):
            raise InputError(
                f"all {len(sample.features)} samples of the {SIDES[name]} side are the same: how "
                "others would vary is not known"
            )
    errors = _Errors.of(sides, debiasing)
    d = errors.raw.distances
    nothing, signed = np.zeros(3), errors.signed_itdis
    return Uncertainty(
        cmd=errors.folded(_FR, d.cmd),
        itdis=errors.folded(nothing, d.itdis),
        dis_fr=errors.estimate(_FR, d.dis_fr),
        dis_fl=errors.estimate(_FL, d.dis_fl),
        dis_rl=errors.estimate(_RL, d.dis_rl),
        signed_itdis=signed if errors.knows(_FL) else None,
        sides=_names(errors.samples),
        draws=errors.draws,
        debiasing=errors.debiasing,
        second_order=errors.second_order_share(),
        withheld=errors.withheld,
        parts={
            "dis_fr": errors.parts(_FR, _FR),
            "itdis": errors.parts(cmd_weights(d.dis_fl - d.dis_rl) - _FR, errors.weights - _FR),
        },
    )


def paired_difference(
    f1: SideLike,
    f2: SideLike,
    r: SideLike,
    l: SideLike,
    *,
    debiasing: Debiasing | None = None,
) -> Difference:
    """CMD of generator f1 minus CMD of generator f2, against the same real images and captions.

    Images of both made of one caption should share its group, as for `uncertainty`: what they
    have in common then cancels. So does what the shared sides do to both scores alike. Without
    groups the two sets of images are taken as independent.

    Args:
        f1: generated images of the first, in the forms that `uncertainty` takes.
        f2: generated images of the second.
        r: real images.
        l: captions.
        debiasing: as for `uncertainty`.

    Returns:
        The difference. Second-order noise counts twice in its standard error, since what of it the
        two scores share cancels and what they do not share is not known: the test is conservative
        where both generators are nearly perfect.

    Raises:
        InputError: as `uncertainty` does.
    """
    one = _Errors.of(Sides.of(f1, r, l), debiasing)
    two = _Errors.of(Sides.of(f2, r, l), debiasing)
    parts: dict[str, tuple[Sample, Array]] = {}
    for key, errors, columns in ((1, one, slice(0, 3)), (2, two, slice(3, 6))):
        for name, sample in errors.samples.items():
            side = f"f{key}" if name == "f" else name
            # Both scores have made their own view of a shared side; they are the same samples.
            _, shares = parts.setdefault(side, (sample, np.zeros((len(sample.features), 6))))
            shares[:, columns] = errors.used.of[name] / len(sample.features)
    drawn = [sample.drawn for sample, _ in parts.values()]
    sums = sums_by_draw(drawn, [shares for _, shares in parts.values()])
    fewest = min(numbers_of_draws(drawn))

    def variance_of(first: Array, second: Array) -> Variance:
        """Of a combination of the first generator's distances less one of the second's."""
        # Column by column: what both scores have alike cancels to the last bit.
        return Variance.of_draws(sums[:, :3] @ first - sums[:, 3:] @ second, fewest)

    variance = variance_of(one.weights, two.weights)
    raw = one.raw.distances.cmd - two.raw.distances.cmd
    se, debiased = variance.standard_error, None
    if one.knows(_FR) and two.knows(_FR):
        # Linear in the distances: an absolute value of noise would be too large in either.
        debiased = float(one.weights @ one.used.distances - two.weights @ two.used.distances)
    scale = max(one.raw.distances)
    if debiased is not None:
        gap = Gap(raw, debiased, se, *_tested(one, two, variance_of, ROUNDING * scale))
    elif one.withheld or two.withheld or differ(one.sizes, two.sizes):
        gap = Gap(raw, None, se)
    else:
        gap = gap_of(raw, se, None, variance.freedom, scale)
    exchanged = _exchanged(parts, r, l) if {"f1", "f2"} <= parts.keys() else None
    return Difference(
        raw=raw,
        debiased=debiased,
        standard_error=se,
        low=gap.low,
        high=gap.high,
        p_value=exchanged,
        p_student=gap.p_value,
        sides=_names({**one.samples, **two.samples}),
        draws=len(sums),
        withheld=(one.withheld or two.withheld) if debiased is None else None,
        test=None if exchanged is None else "permutation",
    )


def _tested(
    one: _Errors, two: _Errors, variance_of: Callable[[Array, Array], Variance], rounding: float
) -> tuple[float, float, float]:
    """The interval of a difference of two CMDs, each the larger of two linear quantities.

    It is the largest over those of the first of the smallest over those of the second, of bounds as
    of the difference: as in `_Errors.folded`, that covers where an ITDis is near zero. What is no
    more than rounding is taken for zero.

    Returns:
        Its ends, and the level at which the nearer one of these is zero: the p-value of the
        hypothesis that the difference is, which is below 0.05 where the interval leaves zero out.
    """
    chances = 1 + one.folds, 1 + two.folds
    bounds = np.empty((2, 2, 2))  # by the branch of the first and of the second: low, high
    levels = np.empty((2, 2, 2))  # of these: beyond which it is above zero, below zero
    for i, first in enumerate(one.branches):
        for j, second in enumerate(two.branches):
            value = float(first @ one.used.distances - second @ two.used.distances)
            value = value if abs(value) > rounding else 0.0
            variance = variance_of(first, second)
            for end, of in enumerate(chances):
                bounds[i, j, end] = variance.interval(value, of=of)[end]
                levels[i, j, end] = variance.levels(value, of=of)[end]
    low, high = bounds.min(axis=1).max(axis=0)
    # A bound rises with the level of its end where that is the lower one, and falls otherwise.
    above, below = levels[..., 0].max(axis=1).min(), levels[..., 1].min(axis=1).max()
    return float(low), float(high), float(min(1.0, above, below))


def _exchanged(parts: Mapping[str, tuple[Sample, Array]], r: SideLike, l: SideLike) -> float:
    """The p-value of exchanging the images of both, by their influence on CMD of them together.

    The difference of the means of these influences is that of the two scores up to third order, as
    the derivative half way between them, and it treats both alike.
    """
    one, two = parts["f1"][0], parts["f2"][0]
    both = Sample(np.concatenate([one.features, two.features]))
    of_both = influences(both, r, l).cmd("f")
    first = len(one.features)
    return permutation_p(of_both[:first], of_both[first:], (one.drawn, two.drawn))


def _why_few(name: str, draws: int, d: int) -> str | None:
    """Tell that the side with the fewest draws has too few for an interval; None if it has not."""
    least = least_draws(d)
    if draws > least:
        return None
    return (
        f"the {SIDES[name]} side has {draws:,} independent draws for {d:,} dimensions: an "
        f"interval takes more than {int(least):,}"
    )


def _why_heavy(found: Influences, d: int) -> str | None:
    """Tell that the tails of a side are too heavy for an interval; None if those of none are."""
    name, worth = min(found.worth.items(), key=lambda item: item[1])
    if worth <= WORTH_A_DIMENSION * d:
        return (
            f"the samples of the {SIDES[name]} side have heavy tails or go together: they "
            f"are worth {worth:,.0f} independent ones, in {d:,} dimensions"
        )
    if found.heavy:
        return (
            f"the samples of the {SIDES[found.heavy[0]]} side have heavy tails: a few that "
            "are much longer than the rest make most of its covariance"
        )
    return None


@dataclass(frozen=True, eq=False)
class _Errors:
    """What the error bar of any combination of the three distances is made of."""

    samples: Mapping[str, Sample]
    raw: Influences
    #: The influences on the debiased distances; on the raw ones where these are not known.
    used: Influences
    debiasing: Debiasing
    withheld: str | None
    #: (g, 3) how much each draw raises the distances of `used`.
    sums: Array
    #: (g, 3) the part of the means in that.
    sums_of_means: Array
    #: The draws of the side that has fewest.
    fewest: int
    #: The numbers of generated images and of draws among them; None where only moments are known.
    sizes: tuple[int | None, ...]

    @classmethod
    def of(cls, sides: Sides, debiasing: Debiasing | None) -> _Errors:
        samples = sides.samples
        drawn = [sample.drawn for sample in samples.values()]
        draws_of = dict(zip(samples, numbers_of_draws(drawn), strict=True))
        for name, count in draws_of.items():
            if count < 2:
                raise InputError(
                    f"all {len(samples[name].features)} samples of the {SIDES[name]} side are one "
                    "draw, such as images of one caption: no difference from others can be told "
                    "from chance"
                )
        d = sides.moments[0].d
        name, fewest = min(draws_of.items(), key=lambda item: item[1])
        withheld = None
        if debiasing == "none":
            withheld = "the excess of finite samples is not to be taken off"
        elif debiasing == "spectral":
            if fewest < d + 6:
                raise InputError(
                    f"{fewest} draws of the {SIDES[name]} side tell no excess in {d} dimensions"
                )
        elif debiasing is None:
            withheld = _why_few(name, fewest, d) or why_dependent(samples)
        else:
            raise InputError(f"debiasing is {debiasing!r}, it must be 'spectral' or 'none'")
        raw, clean = influences_of(sides, debiased=withheld is None)
        if debiasing is None and clean is not None:
            withheld = _why_heavy(clean, d)
        sizes = (sides.moments[0].n, draws_of.get("f"))

        def made(used: Influences, how: Debiasing) -> _Errors:
            sums, of_means = (
                sums_by_draw(drawn, [of[key] / len(x.features) for key, x in samples.items()])
                for of in (used.of, used.of_means.of)
            )
            return cls(samples, raw, used, how, withheld, sums, of_means, fewest, sizes)

        if clean is not None and withheld is None:
            found = made(clean, "spectral")
            withheld = found.too_near() if debiasing is None else None
            if withheld is None:
                return found
        if clean is not None:
            raw, _ = influences_of(sides)
        return made(raw, "none")

    def too_near(self) -> str | None:
        """Tell which distance is so far below zero that its sides are no independent draws."""
        for weights, (a, b) in ((_FR, "fr"), (_FL, "fl"), (_RL, "rl")):
            variance, found = self.variance(weights), float(weights @ self.used.distances)
            # Of a distance that happens to be small the measured variance is so, too.
            error = math.sqrt(max(variance.standard_error**2, variance.noise))
            if found < -_TOO_NEAR * error and self.knows(weights):
                raw = float(weights @ self.raw.distances)
                return (
                    f"Dis({a},{b}) is {raw:.4g}, and of independent sets of one distribution about "
                    f"{raw - found:.4g}: the {SIDES[a]} and the {SIDES[b]} sides are {NEARER}"
                )
        return None

    @property
    def draws(self) -> int:
        return len(self.sums)

    def knows(self, weights: Array) -> bool:
        """Whether a combination of the distances has a debiased value."""
        return self.withheld is None and ("f" in self.samples or not weights[:2].any())

    @property
    def signed_itdis(self) -> float:
        return self.used.distances.dis_fl - self.used.distances.dis_rl

    @property
    def weights(self) -> Array:
        """(3,) the derivative of CMD by the distances."""
        return cmd_weights(self.signed_itdis)

    @property
    def branches(self) -> tuple[Array, Array]:
        """The two linear quantities of which CMD is the larger, that one first."""
        return self.weights, 2 * _FR - self.weights

    @property
    def folds(self) -> bool:
        """Whether either branch may be the larger: two bounds then have a chance to be wrong."""
        itdis = self.weights - _FR
        return float(itdis @ self.used.distances) < 2 * self.variance(itdis).standard_error

    def variance(self, weights: Array) -> Variance:
        """Of a combination of the distances."""
        # With too few draws the second-order noise is not known well: it is left as it is.
        noise = 0.0 if self.withheld else float(weights**2 @ self.used.second_order)
        tails = float(self.used.tails[weights != 0].max())
        return Variance.of_draws(self.sums @ weights, self.fewest, noise=noise, tails=tails)

    def second_order_share(self) -> float:
        """Of the first-order variance of Dis(f,r), at most the half where all is noise."""
        measured = self.variance(_FR).measured
        return min(0.5, float(self.raw.second_order[0]) / measured) if measured > 0 else 0.0

    def estimate(self, weights: Array, raw: float) -> Estimate:
        """Of one of the distances."""
        variance = self.variance(weights)
        if not self.knows(weights):
            return Estimate(raw, None, variance.standard_error, None, None)
        value = float(weights @ self.used.distances)
        return Estimate(raw, value, variance.standard_error, *variance.interval(value, square=True))

    def parts(self, raw: Array, weights: Array) -> Parts:
        """What means and covariances have in a combination of the distances.

        Of the raw and the debiased distances the signs may differ, where ITDis is small.
        """
        means, used = self.raw.of_means.distances, self.used.of_means.distances
        noise, both = self.used.of_means.second_order, self.used.second_order
        made = []
        for of_raw, of_used, second_order, sums in (
            (means, used, noise, self.sums_of_means),
            (
                np.array(self.raw.distances) - means,
                np.array(self.used.distances) - used,
                both - noise,
                self.sums - self.sums_of_means,
            ),
        ):
            twice = 0.0 if self.withheld else float(weights**2 @ second_order)
            error = Variance.of_draws(sums @ weights, self.fewest, noise=twice).standard_error
            known = float(weights @ of_used) if self.knows(weights) else None
            made.append(Part(float(raw @ of_raw), known, error))
        return Parts(*made)

    def folded(self, base: Array, raw: float) -> Estimate:
        """Of base + |Dis(f,l) - Dis(r,l)|, the larger of two linear quantities."""
        itdis = self.weights - _FR  # with the sign that makes it positive
        variance = self.variance(base + itdis)
        if not self.knows(itdis):
            return Estimate(raw, None, variance.standard_error, None, None)
        branches = [
            (self.variance(w), float(w @ self.used.distances)) for w in (base + itdis, base - itdis)
        ]
        low = max(0.0, *(of.interval(value, of=1 + self.folds)[0] for of, value in branches))
        high = max(of.interval(max(0.0, value))[1] for of, value in branches)
        value = float((base + itdis) @ self.used.distances)
        return Estimate(raw, value, variance.standard_error, low, high)


def _names(samples: Mapping[str, Sample]) -> tuple[str, ...]:
    return tuple(name for side, name in SIDES.items() if side in samples)
