"""Error bars of CMD and its parts, their values without finite-sample excess, and comparisons."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cmdmetric.errors import InputError
from cmdmetric.uncertainty.draws import covariance, numbers_of_draws
from cmdmetric.uncertainty.estimate import Z95, Gap, differ, gap_of
from cmdmetric.uncertainty.extrapolation import NOISE, extrapolate
from cmdmetric.uncertainty.influence import (
    Array,
    Influences,
    Sample,
    SideLike,
    Sides,
    cmd_weights,
    influences,
)

#: How the finite-sample excess is found; "none" where it is not.
Debiasing = Literal["extrapolation", "second-order", "none"]

#: The sides by their letters.
SIDES = {"f": "generated", "r": "real", "l": "captions"}

#: The quantities as combinations of Dis(f,r), Dis(f,l), Dis(r,l).
_FR, _FL, _RL = np.eye(3)


@dataclass(frozen=True)
class Estimate:
    """One quantity with its error bar."""

    #: As the literature reports it, with the excess of a finite sample.
    raw: float
    #: Without the excess; None where it is not known: of too few samples (n <= d), or of generated
    #: images that are moments alone.
    debiased: float | None
    #: Of the debiased value; never smaller than the raw value's. 0 where nothing was sampled.
    standard_error: float
    #: The 95 % interval of what infinitely many samples would score; None where debiased is.
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Uncertainty:
    """CMD and its parts with error bars."""

    cmd: Estimate
    itdis: Estimate
    dis_fr: Estimate
    dis_fl: Estimate
    dis_rl: Estimate
    #: Dis(f,l) - Dis(r,l) without excess, None where debiased is; ITDis is its absolute value.
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

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {**dataclasses.asdict(self), "sides": list(self.sides)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Uncertainty:
        """The inverse of `to_dict`."""
        estimates = ("cmd", "itdis", "dis_fr", "dis_fl", "dis_rl")
        made = {name: Estimate(**values[name]) for name in estimates}
        return cls(**{**values, **made, "sides": tuple(values["sides"])})


@dataclass(frozen=True)
class Difference:
    """CMD of a first generator minus CMD of a second; negative where the first is better."""

    raw: float
    #: Without the finite-sample excess of both; None where that is not known of either.
    debiased: float | None
    #: Of the debiased difference; never smaller than the raw one's.
    standard_error: float
    #: The 95 % interval, around `debiased` where that is known. None, as what follows, where it is
    #: not and the numbers of images differ: what that does to CMD is not known then.
    low: float | None
    high: float | None
    #: Two-sided, of the hypothesis that both have the same CMD; normal approximation.
    p_value: float | None
    #: Whose sampling the error bar includes, of "generated", "real", "captions".
    sides: tuple[str, ...]
    #: The number of independent draws.
    draws: int

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {**dataclasses.asdict(self), "sides": list(self.sides)}


def uncertainty(
    f: SideLike,
    r: SideLike,
    l: SideLike,
    *,
    debiasing: Debiasing | None = None,
    seed: int = 0,
) -> Uncertainty:
    """Error bars of CMD, ITDis and the three distances, and their values at infinite samples.

    f, r, l: generated images, real images, captions; each a `Sample` (features with groups),
        features (n, d), or no more than Moments. The sampling of the first two is included.
        Samples of one group were drawn together, and their influences are summed before the
        variance is taken.
    debiasing: by default "extrapolation" where every side at hand has n > 2 d samples and 8 draws;
        "second-order", which takes images as Gaussian and each as a draw of its own, where they
        are and every side has n > d; else "none".
    seed: of the partition that the extrapolation uses.

    The standard error is the influence function's (delta method). Near a distance of zero, as of a
    perfect generator, that counts the noise of the moments to second order twice; it is corrected
    for, see `docs/uncertainty.md`. ITDis is the larger of a smooth quantity and its negative: the
    bounds of its interval, and of CMD's, are the larger of the two branches' bounds, which covers
    at zero as it does far from it.

    Raises InputError where no side has features, the dimensions differ, or all samples of a side
    are one draw.

    >>> rng = np.random.default_rng(0)
    >>> f, r, l = (rng.standard_normal((400, 8)) + shift for shift in (0.1, 0, 1))
    >>> found = uncertainty(f, r, l)
    >>> found.sides
    ('generated', 'real', 'captions')
    >>> found.dis_fr.low <= 8 * 0.1**2 <= found.dis_fr.high
    True
    """
    errors = _Errors.of(Sides.of(f, r, l), debiasing, seed)
    d = errors.found.distances
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
        second_order=_second_order_share(_FR, errors.covariance, errors.found.second_order),
    )


def paired_difference(
    f1: SideLike,
    f2: SideLike,
    r: SideLike,
    l: SideLike,
    *,
    debiasing: Debiasing | None = None,
    seed: int = 0,
) -> Difference:
    """CMD of generator f1 minus CMD of generator f2, against the same real images and captions.

    Images of both made of one caption should share its group, as for `uncertainty`: what they
    have in common then cancels. So does what the shared sides do to both scores alike. Without
    groups the two sets of images are taken as independent. Arguments and errors as there.
    """
    one = _Errors.of(Sides.of(f1, r, l), debiasing, seed)
    two = _Errors.of(Sides.of(f2, r, l), debiasing, seed)
    parts: dict[str, tuple[Sample, Array]] = {}
    for key, errors, sign in ((1, one, 1), (2, two, -1)):
        for name, sample in errors.samples.items():
            side = f"f{key}" if name == "f" else name
            influence = sign * errors.found.of[name] @ errors.weights / len(sample.features)
            before = parts[side][1] if side in parts else np.zeros((len(influence), 1))
            # Both scores have made their own view of a shared side; they are the same samples.
            parts[side] = (sample, before + influence[:, None])
    of_draws, draws = covariance(
        [sample.drawn for sample, _ in parts.values()], [share for _, share in parts.values()]
    )
    noise = sum(e.weights**2 @ e.found.second_order for e in (one, two))
    debiasings = {one.debiasing, two.debiasing}
    worst: Debiasing = next(x for x in ("none", "extrapolation", "second-order") if x in debiasings)
    se = _standard_error(np.ones(1), of_draws, np.array([noise]), worst)
    raw = one.found.distances.cmd - two.found.distances.cmd
    first, second = (e.folded(_FR, e.found.distances.cmd).debiased for e in (one, two))
    debiased = None if first is None or second is None else first - second
    if debiased is None and differ(one.sizes, two.sizes):
        gap = Gap(raw, None, se)
    else:
        gap = gap_of(raw, se, debiased, scale=max(one.found.distances))
    return Difference(
        raw=raw,
        debiased=debiased,
        standard_error=se,
        low=gap.low,
        high=gap.high,
        p_value=gap.p_value,
        sides=_names({**one.samples, **two.samples}),
        draws=draws,
    )


@dataclass(frozen=True, eq=False)
class _Errors:
    """What the error bar of any combination of the three distances is made of."""

    samples: Mapping[str, Sample]
    found: Influences
    #: (3,) distances without excess.
    debiased: Array | None
    debiasing: Debiasing
    #: (3, 3) of the distances, to first order.
    covariance: Array
    draws: int
    #: The numbers of generated images and of draws among them; None where only moments are known.
    sizes: tuple[int | None, ...]

    @classmethod
    def of(cls, sides: Sides, debiasing: Debiasing | None, seed: int) -> _Errors:
        samples = sides.samples
        counts = numbers_of_draws([sample.drawn for sample in samples.values()])
        draws_of = dict(zip(samples, counts, strict=True))
        for name, count in draws_of.items():
            if count < 2:
                raise InputError(
                    f"all {len(samples[name].features)} samples of the {SIDES[name]} side are one "
                    "draw, such as images of one caption: no difference from others can be told "
                    "from chance"
                )
        if debiasing is None:
            ratio = min(len(s.features) / s.moments.d for s in samples.values())
            single = all(len(samples[x].features) == draws_of[x] for x in "fr" if x in samples)
            if ratio > 2 and min(counts) >= 8:
                debiasing = "extrapolation"
            else:
                debiasing = "second-order" if ratio > 1 and single else "none"
        found = influences(*sides)
        if debiasing == "extrapolation":
            debiased = np.array(extrapolate(*sides, seed=seed))
        elif debiasing == "second-order":
            debiased = np.array(found.distances) - found.bias
        elif debiasing == "none":
            debiased = None
        else:
            raise InputError(
                f"debiasing is {debiasing!r}, it must be 'extrapolation', 'second-order' or 'none'"
            )
        shares = [found.of[name] / len(sample.features) for name, sample in samples.items()]
        of_draws, draws = covariance([sample.drawn for sample in samples.values()], shares)
        sizes = (sides.moments[0].n, draws_of.get("f"))
        return cls(samples, found, debiased, debiasing, of_draws, draws, sizes)

    def knows(self, weights: Array) -> bool:
        """Whether the excess of a combination of the distances is known."""
        return self.debiased is not None and ("f" in self.samples or not weights[:2].any())

    @property
    def signed_itdis(self) -> float:
        values = np.array(self.found.distances) if self.debiased is None else self.debiased
        return float(values[1] - values[2])

    @property
    def weights(self) -> Array:
        """(3,) the derivative of CMD by the distances."""
        return cmd_weights(self.signed_itdis)

    def error(self, weights: Array) -> float:
        return _standard_error(weights, self.covariance, self.found.second_order, self.debiasing)

    def estimate(self, weights: Array, raw: float) -> Estimate:
        """Of a quantity that is linear in the distances."""
        se = self.error(weights)
        if self.debiased is None or not self.knows(weights):
            return Estimate(raw, None, se, None, None)
        value = float(weights @ self.debiased)
        return Estimate(raw, value, se, max(0.0, value - Z95 * se), max(0.0, value + Z95 * se))

    def folded(self, base: Array, raw: float) -> Estimate:
        """Of base + |Dis(f,l) - Dis(r,l)|, the larger of two linear quantities.

        The absolute value of a noisy number is too large on average; its square by the variance,
        which is taken off.
        """
        itdis = self.weights - _FR  # with the sign that makes it positive
        se = self.error(base + itdis)
        if self.debiased is None or not self.knows(itdis):
            return Estimate(raw, None, se, None, None)
        size = np.sqrt(max(0.0, float(itdis @ self.debiased) ** 2 - self.error(itdis) ** 2))
        branches = [(w @ self.debiased, self.error(w)) for w in (base + itdis, base - itdis)]
        low, high = (max(0.0, *(float(v + z * e) for v, e in branches)) for z in (-Z95, Z95))
        return Estimate(raw, float(base @ self.debiased + size), se, low, high)


def _names(samples: Mapping[str, Sample]) -> tuple[str, ...]:
    return tuple(name for side, name in SIDES.items() if side in samples)


def _second_order_share(weights: Array, covariance: Array, second_order: Array) -> float:
    """Of the first-order variance, at most the half that it is where that is all noise."""
    variance = float(weights @ covariance @ weights)
    return min(0.5, float(weights**2 @ second_order) / variance) if variance > 0 else 0.0


def _standard_error(
    weights: Array, covariance: Array, second_order: Array, debiasing: Debiasing
) -> float:
    """First-order variance, in which second-order noise counts twice, corrected to what it is."""
    # Below n = d the second-order term is not known well: what is measured is left as it is.
    noise = {"extrapolation": NOISE, "second-order": 1.0, "none": 2.0}[debiasing]
    share = _second_order_share(weights, covariance, second_order)
    # Of a set against itself the variance is rounding, on either side of zero.
    variance = max(0.0, float(weights @ covariance @ weights))
    return float(np.sqrt(variance * (1 + (noise - 2) * share)))
