"""How much each sample moves CMD and the three distances that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmdmetric.errors import InputError
from cmdmetric.metrics import (
    Aligned,
    CrossModelDistance,
    DistanceInfluence,
    Elsewhere,
    End,
    Moments,
    aligned_influence,
    frechet_distance,
    influence_of_gap,
)
from cmdmetric.uncertainty.draws import Drawn, numbers_of_draws, units
from cmdmetric.uncertainty.excess import DebiasedDistance, Sampled, debiased_distance

Array = NDArray[np.float64]


class Sample:
    """One side whose features are at hand.

    Args:
        features: (n, d), any real dtype; or such as are elsewhere, with their moments.
        groups: (n,) integers or strings, or None, as in `cmdmetric.uncertainty.draws.Drawn`.
        moments: those of the features, where they are already there.

    Raises:
        InputError: The features are no (n, d) array of at least 2 finite samples, or the groups are
            of another length.
    """

    def __init__(
        self,
        features: ArrayLike | Elsewhere,
        groups: ArrayLike | None = None,
        moments: Moments | None = None,
    ) -> None:
        if not isinstance(features, Elsewhere):
            features = np.asanyarray(features)  # a memory map stays one
        if moments is None:
            moments = Moments.from_features(features)
        if features.shape != (moments.n, moments.d):
            raise InputError(f"features of shape {features.shape} do not belong to {moments}")
        if len(features) < 2:
            raise InputError("an error bar needs at least 2 samples, there is 1")
        if groups is not None:
            groups = np.asarray(groups)
            if groups.shape != (len(features),):
                raise InputError(
                    f"{len(features)} samples need as many groups, not shape {groups.shape}"
                )
        self.features: Final[NDArray[Any] | Elsewhere] = features
        self.groups: Final[NDArray[Any] | None] = groups
        self.moments: Final = moments

    @property
    def drawn(self) -> Drawn:
        """How many samples there are, and what was drawn together."""
        return Drawn(len(self.features), self.groups)


#: A side as a user has it: features (n, d), with groups if known, or no more than moments.
SideLike: TypeAlias = Sample | Moments | ArrayLike


class Sides(NamedTuple):
    """The three sides, those with features as Sample: f generated, r real, l captions."""

    f: Sample | Moments
    r: Sample | Moments
    l: Sample | Moments

    @classmethod
    def of(cls, f: SideLike, r: SideLike, l: SideLike) -> Sides:
        """From what a user has.

        Raises:
            InputError: No side has its features.
        """
        sides = cls(
            *(s if isinstance(s, (Sample, Moments)) else Sample(np.asarray(s)) for s in (f, r, l))
        )
        if not sides.samples:
            raise InputError(
                "an error bar needs the features of at least one side, there are only moments"
            )
        if len({moments.d for moments in sides.moments}) > 1:
            raise InputError(f"the sides have different dimensions: {sides.moments}")
        return sides

    @property
    def moments(self) -> tuple[Moments, Moments, Moments]:
        """The moments of the three sides."""
        f, r, l = (s.moments if isinstance(s, Sample) else s for s in self)
        return f, r, l

    @property
    def samples(self) -> dict[str, Sample]:
        """The sides whose features are at hand, by their names "f", "r", "l"."""
        return {
            name: side
            for name, side in zip(self._fields, self, strict=True)
            if isinstance(side, Sample)
        }


@dataclass(frozen=True, eq=False)
class OfMeans:
    """The part |mean_a - mean_b|^2 of each distance; the rest is the covariances'.

    distances (3,) are the parts, `of` and `second_order` as in `Influences`.
    """

    distances: Array
    of: dict[str, Array]
    second_order: Array


@dataclass(frozen=True, eq=False)
class Influences:
    """The influence of each sample on the three distances, for the sides with features.

    of: by side "f", "r", "l" an array (n, 3), columns Dis(f,r), Dis(f,l), Dis(r,l). Each column
    has mean zero; leaving sample k out lowers the distance by about of[side][k] / n.
    """

    distances: CrossModelDistance
    of: dict[str, Array]
    #: (3,) by distance, the variance of the second-order term under Gaussian noise.
    second_order: Array
    #: (3,) by distance, the finite-sample excess to second order, of all sides with features.
    bias: Array
    #: (3,) by distance, how much heavier than a Gaussian's the tails are, 0 to 1.
    tails: Array
    of_means: OfMeans
    #: By side, as many independent Gaussian samples have as much excess; where that was looked for.
    worth: dict[str, float] = field(default_factory=dict)
    #: The sides whose tails are too heavy for an error bar; where that was looked for.
    heavy: tuple[str, ...] = ()

    def cmd(self, side: str = "f") -> Array:
        """(n,) influence on CMD of each sample of a side; the largest are the worst samples.

        Raises:
            InputError: A side has no features.
        """
        if side not in self.of:
            raise InputError(f"the features of side {side} are not at hand")
        return self.of[side] @ cmd_weights(self.distances.dis_fl - self.distances.dis_rl)


def cmd_weights(signed_itdis: float) -> Array:
    """(3,) the derivative of CMD = Dis(f,r) + |Dis(f,l) - Dis(r,l)| by the three distances."""
    sign = 1.0 if signed_itdis >= 0 else -1.0
    return np.array([1.0, sign, -sign])


def influences(f: SideLike, r: SideLike, l: SideLike) -> Influences:
    """The influence of every sample at hand on Dis(f,r), Dis(f,l) and Dis(r,l).

    f, r, l are Sample, features (n, d) or Moments; only the first two have influences. Raises
    InputError where no side has features or the dimensions differ.
    """
    return influences_of(Sides.of(f, r, l))[0]


def influences_of(sides: Sides, *, debiased: bool = False) -> tuple[Influences, Influences | None]:
    """The influences on the three distances or, if wanted, on the debiased ones.

    Of the second the excess `bias` is zero, and `second_order` knows of heavy tails and of what
    was drawn together. The first have no influences of samples then, `Influences.of`, which would
    take half of the time.
    """
    samples = sides.samples
    drawn = [sample.drawn for sample in samples.values()]
    counts = dict(zip(samples, numbers_of_draws(drawn), strict=True))
    ends = {
        name: End(moments, samples[name].features, counts[name])
        if name in samples
        else End(moments)
        for name, moments in zip(sides._fields, sides.moments, strict=True)
    }
    sampled = {
        name: Sampled(ends[name], sample.features, unit)
        for (name, sample), unit in zip(samples.items(), units(drawn)[0], strict=True)
    }
    raw, clean = [], []
    of_gap = {name: np.zeros((len(sample.features), 3)) for name, sample in samples.items()}
    for column, (a, b) in enumerate((("f", "r"), ("f", "l"), ("r", "l"))):
        gap = ends[a].moments.mean - ends[b].moments.mean
        for name, sign in ((a, 1), (b, -1)):
            if name in samples:
                of_gap[name][:, column] = influence_of_gap(ends[name], sign * gap)
    for a, b in (("f", "r"), ("f", "l"), ("r", "l")):
        if a not in samples and b not in samples:
            distance = frechet_distance(ends[a].moments, ends[b].moments)
            gap = ends[a].moments.mean - ends[b].moments.mean
            mean = float(gap @ gap)
            raw.append(DistanceInfluence(distance, None, None, 0.0, 0.0, mean))
            clean.append(DebiasedDistance(distance, None, None, 0.0, of_means=mean))
            continue
        pair = Aligned.of(ends[a], ends[b])
        raw.append(aligned_influence(pair, of_samples=not debiased))
        if debiased:
            clean.append(debiased_distance(pair, sampled.get(a), sampled.get(b)))
    found = _collected(samples, raw, np.array([pair.bias for pair in raw]), of_gap)
    if not debiased:
        return found, None
    found = replace(found, of={})
    worth = {name: side.worth for name, side in sampled.items()}
    heavy = tuple(name for name, side in sampled.items() if side.is_heavy)
    made = _collected(samples, clean, np.zeros(3), of_gap)
    return found, replace(made, worth=worth, heavy=heavy)


def _collected(
    samples: dict[str, Sample],
    pairs: Sequence[DistanceInfluence | DebiasedDistance],
    bias: Array,
    of_gap: dict[str, Array],
) -> Influences:
    of = {name: np.zeros((len(sample.features), 3)) for name, sample in samples.items()}
    ends = (("f", "r"), ("f", "l"), ("r", "l"))
    for column, ((a, b), pair) in enumerate(zip(ends, pairs, strict=True)):
        for name, influence in ((a, pair.of_a), (b, pair.of_b)):
            if influence is not None:
                of[name][:, column] = influence
    return Influences(
        CrossModelDistance(*(pair.distance for pair in pairs)),
        of,
        np.array([pair.second_order for pair in pairs]),
        bias,
        np.array([getattr(pair, "tails", 0.0) for pair in pairs]),
        OfMeans(
            np.array([pair.of_means for pair in pairs]),
            of_gap,
            np.array([pair.second_order_of_means for pair in pairs]),
        ),
    )
