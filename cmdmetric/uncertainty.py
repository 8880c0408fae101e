"""Error bars of CMD and its parts, their values without finite-sample excess, and comparisons."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cmdmetric import bias
from cmdmetric.influence import Array, Influences, Sample, SideLike, Sides, influences, units
from cmdmetric.influence import cmd_weights as _cmd_weights
from cmdmetric.metrics import CrossModelDistance

Method = Literal["extrapolation", "second-order", "none"]

#: Of a normal distribution, for 95 % between.
Z95 = 1.959963984540054
_NAMES = {"f": "generated", "r": "real", "l": "captions"}


@dataclass(frozen=True)
class Estimate:
    """One quantity with its error bar."""

    #: As the literature reports it, with the excess of a finite sample.
    raw: float
    #: Without the excess; None where the samples are too few to know it (n <= d).
    debiased: float | None
    #: Of the debiased value; never smaller than that of the raw one.
    standard_error: float
    #: The 95 % interval of what an infinite sample would score; None where debiased is.
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
    #: Dis(f,l) - Dis(r,l) without excess; ITDis is its absolute value.
    signed_itdis: float | None
    #: Whose sampling the error bars include, of "generated", "real", "captions".
    sides: tuple[str, ...]
    #: The number of independent draws: images with their captions count once.
    draws: int
    #: How the excess was found.
    debiasing: Method
    #: The largest share of second-order noise in a variance; near 1/2 a distance is near zero.
    second_order: float

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {**dataclasses.asdict(self), "sides": list(self.sides)}


def uncertainty(
    f: SideLike,
    r: SideLike,
    l: SideLike,  # noqa: E741
    *,
    debiasing: Method | None = None,
    seed: int = 0,
) -> Uncertainty:
    """Error bars of CMD, ITDis and the three distances, and their values at infinite samples.

    f, r, l: each a `Sample` (features with groups), features (n, d), or no more than Moments; the
        sampling of the first two is included. Sides of one score share groups where an image and a
        caption were drawn together: their influences are added before the variance is taken.
    debiasing: by default "extrapolation" where every side at hand has n > 2 d, "second-order" (for
        Gaussian features) where n > d, else "none".
    seed: of the partition that the extrapolation uses.

    Raises InputError where no side has features or the dimensions differ.
    """
    sides = Sides.of(f, r, l)
    samples = sides.samples
    found = influences(*sides)
    method = _method(list(samples.values())) if debiasing is None else debiasing
    debiased = _debiased(sides, found, method, seed)
    contributions = [found.of[name] / len(s.features) for name, s in samples.items()]
    covariance, draws = _covariance(list(samples.values()), contributions)
    shares: list[float] = []

    def error(weights: Array) -> float:
        variance, share = _variance(weights, covariance, found.second_order, method)
        shares.append(share)
        return float(np.sqrt(variance))

    def estimate(weights: Array, raw: float) -> Estimate:
        se = error(weights)
        if debiased is None:
            return Estimate(raw, None, se, None, None)
        value = float(weights @ debiased)
        return Estimate(raw, value, se, max(0.0, value - Z95 * se), max(0.0, value + Z95 * se))

    def folded(base: Array, raw: float, sign: float) -> Estimate:
        """Of base + |Dis(f,l) - Dis(r,l)|, the larger of two smooth quantities."""
        difference = np.array([0.0, sign, -sign])
        se = error(base + difference)
        if debiased is None:
            return Estimate(raw, None, se, None, None)
        value = base @ debiased + _unfolded(float(difference @ debiased), error(difference))
        branches = [(w @ debiased, error(w)) for w in (base + difference, base - difference)]
        low, high = (max(v + z * e for v, e in branches) for z in (-Z95, Z95))
        return Estimate(raw, float(value), se, max(0.0, float(low)), max(0.0, float(high)))

    d = found.distances
    signed = None if debiased is None else float(debiased[1] - debiased[2])
    sign = _cmd_weights(d)[1] if signed is None else float(np.copysign(1.0, signed))
    basis = np.eye(3)
    return Uncertainty(
        cmd=folded(basis[0], d.cmd, sign),
        itdis=folded(np.zeros(3), d.itdis, sign),
        dis_fr=estimate(basis[0], d.dis_fr),
        dis_fl=estimate(basis[1], d.dis_fl),
        dis_rl=estimate(basis[2], d.dis_rl),
        signed_itdis=signed,
        sides=tuple(_NAMES[name] for name in samples),
        draws=draws,
        debiasing=method,
        second_order=max(shares),
    )


def _method(samples: list[Sample]) -> Method:
    ratio = min(len(s.features) / s.moments.d for s in samples)
    return "extrapolation" if ratio > 2 else "second-order" if ratio > 1 else "none"


def _debiased(sides: Sides, found: Influences, method: Method, seed: int) -> Array | None:
    if method == "none":
        return None
    if method == "second-order":
        return np.array(found.distances) - found.bias
    return np.array(bias.extrapolate(*sides, seed=seed))


def _covariance(samples: list[Sample], contributions: list[Array]) -> tuple[Array, int]:
    """(c, c) covariance of the sums of contributions (n, c), from sums over what came together."""
    units_of, count = units(samples)
    sums = np.zeros((count, contributions[0].shape[1]))
    for unit, contribution in zip(units_of, contributions, strict=True):
        for column in range(sums.shape[1]):
            sums[:, column] += np.bincount(unit, contribution[:, column], minlength=count)
    return sums.T @ sums * (count / max(1, count - 1)), count


def _variance(
    weights: Array, covariance: Array, second_order: Array, method: Method
) -> tuple[float, float]:
    noise = bias.NOISE if method == "extrapolation" else 1.0
    plugin = float(weights @ covariance @ weights)
    second = min(float(weights**2 @ second_order), plugin / 2)
    share = second / plugin if plugin else 0.0
    return plugin + (noise - 2) * second, share


def _unfolded(signed: float, se: float) -> float:
    return float(np.sqrt(max(0.0, signed**2 - se**2)))
