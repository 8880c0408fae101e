"""Whether samples are what error bars take them for: draws that know nothing of one another.

Groups tell what was drawn together. What goes together without being told leaves traces in the
features: samples that are the same, or two sides that are alike row by row.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmdmetric.metrics import (
    Elsewhere,
    Moments,
    blockwise,
    centred,
    quadratic,
    row_by_row,
    slices,
)
from cmdmetric.uncertainty.draws import Array, units
from cmdmetric.uncertainty.influence import Sample

#: The sides by their letters.
SIDES: Final = {"f": "generated", "r": "real", "l": "captions"}

#: What is said of two sides that no independent draws are.
NEARER, COPIED = (
    "nearer to each other than sets of one distribution are",
    "have the very features of a real one",
)
#: What of these is said of generated images that are too good.
TOO_GOOD: Final = (f"the generated and the real sides are {NEARER}", COPIED)

#: A set whose spread is less than this share of its squared length is one vector, but for rounding.
_ONE_VECTOR = 1e-9
#: Of the samples of a side, the share that may be the same as others: where one in a hundred counts
#: twice, a debiased value is wrong by a fifth of its standard error at two draws a dimension.
_REPEATED = 0.01
#: Samples are the same whose difference is less than this share of their spread.
_SAME = 1e-5
#: Rows of two sides that go together are told by a sum so many standard deviations above chance.
_ABOVE_CHANCE = 6.0
#: Neighbours that a sample is held beside.
_OTHERS = 64


def is_collapsed(moments: Moments) -> bool:
    """Tell whether all samples of a set are the same, but for rounding."""
    spread, size = float(np.trace(moments.cov)), float(moments.mean @ moments.mean)
    return spread <= _ONE_VECTOR * size


def why_dependent(samples: Mapping[str, Sample]) -> str | None:
    """Tell why the samples of sides, by their letters, are no independent draws.

    Returns:
        The reason in words; None where nothing speaks against it.
    """
    units_of = dict(zip(samples, units([x.drawn for x in samples.values()])[0], strict=True))
    sets = {name: _Projected.of(x.features, units_of[name]) for name, x in samples.items()}
    for name, own in sets.items():
        same = _repeated(own, own)
        if same > _REPEATED * len(own.features):
            return (
                f"{same:,} of {len(own.features):,} samples of the {SIDES[name]} side are the "
                "same as others of it, which are therefore no independent draws"
            )
    if "f" in sets and "r" in sets:
        # A copy of the real image of its own caption is one too.
        same, n = _repeated(sets["f"], sets["r"], apart=False), len(sets["f"].features)
        if same > _REPEATED * n:
            return (
                f"{same:,} of {n:,} generated images {COPIED}, so that the two sides are no "
                "independent draws"
            )
    for one, two in itertools.combinations(samples, 2):
        if np.isin(units_of[one], units_of[two]).any():
            continue  # what goes together is told
        if _above_chance(samples[one], samples[two]) > _ABOVE_CHANCE:
            return (
                f"the {SIDES[one]} and the {SIDES[two]} sides are alike row by row, and it is not "
                "told what of them was drawn together (names tell, or groups)"
            )
    return None


class _Projected(NamedTuple):
    """Samples (n, d), the draws (n,) they are of, and their lengths (n, 2) along two directions."""

    features: NDArray[Any] | Elsewhere
    units: NDArray[np.intp]
    along: Array

    @classmethod
    def of(cls, features: NDArray[Any] | Elsewhere, units: NDArray[np.intp]) -> _Projected:
        ways: Array = np.random.default_rng(0).standard_normal((features.shape[1], 2))
        along = row_by_row(lambda rows: rows.astype(np.float64) @ ways, features)
        return cls(features, units, along)


def _repeated(x: _Projected, y: _Projected, *, apart: bool = True) -> int:
    """How many of the samples x are the same as one of y, of another draw or of any.

    Samples that are the same are beside each other in the order of any one number of theirs: here
    of their length along a random direction. A second direction leaves hardly any but these, and
    they are held beside each other whole. In one dimension samples are the same by chance.
    """
    if x.features.shape[1] < 2:
        return 0
    near = _SAME * np.minimum(x.along.std(axis=0), y.along.std(axis=0))
    order = np.argsort(y.along[:, 0], kind="stable")
    ordered = y.along[order, 0]
    start = np.searchsorted(ordered, x.along[:, 0] - near[0], "left")
    stop = np.searchsorted(ordered, x.along[:, 0] + near[0], "right")

    def are_same(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (np.abs(y.astype(np.float64) - x) <= near[0]).all(axis=1)
        return found

    same = np.zeros(len(x.units), bool)
    left = np.flatnonzero(start < stop)
    for _ in range(_OTHERS):
        there = order[start[left]]
        beside = np.abs(y.along[there, 1] - x.along[left, 1]) <= near[1]
        if apart:
            beside &= y.units[there] != x.units[left]
        one, two = left[beside], there[beside]
        blocks = [(one[rows], two[rows]) for (rows,) in slices(len(one))]
        found = blockwise(are_same, blocks, x.features, y.features)
        for (places, _), of in zip(blocks, found, strict=True):
            same[places] = of
        start[left] += 1
        left = left[(start[left] < stop[left]) & ~same[left]]
    return int(same.sum())


def _above_chance(one: Sample, two: Sample) -> float:
    """By how many standard deviations two sides are more alike row by row than in any other order.

    The sum of the products of centred rows has over all orders the mean zero and the variance
    (n - 1) Tr(cov_a cov_b). Of several rows of the one for each of the other, as of captions, the
    mean is taken; numbers of rows that do not fit have no order in common.
    """
    if len(one.features) > len(two.features):
        one, two = two, one
    n, many = len(one.features), len(two.features) // len(one.features)
    if n * many != len(two.features):
        return 0.0
    mean_a, mean_b, cov = one.moments.mean, two.moments.mean, one.moments.cov

    def alike(a: NDArray[Any], b: NDArray[Any]) -> tuple[float, float]:
        if many > 1:
            b = b.reshape(len(a), many, -1).mean(axis=1, dtype=np.float64)
        # In the precision of the features: what it loses is far less than one of the deviations.
        kind = np.promote_types(np.promote_types(a.dtype, b.dtype), np.float32).type
        a, b = centred(a, mean_a, kind), centred(b, mean_b, kind)
        total = float(np.einsum("nd,nd->n", a, b).sum(dtype=np.float64))
        # The spread of the means of rows that go together is no smaller for being means.
        return total, float(quadratic(b, cov).sum()) if many > 1 else 0.0

    blocks = [(rows, slice(rows.start * many, rows.stop * many)) for (rows,) in slices(n)]
    parts = list(blockwise(alike, blocks, one.features, two.features))
    total, spread = (sum(of) for of in zip(*parts, strict=True))
    chance = spread / (n - 1) if many > 1 else float(np.vdot(cov, two.moments.cov))
    return total / np.sqrt((n - 1) * chance) if chance > 0 else 0.0
