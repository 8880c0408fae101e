"""A number of slices of the generated images: means, and what each slice adds to CMD."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmdmetric.uncertainty.draws import Array, Drawn, numbers_of_draws, sections, sums_by_draw
from cmdmetric.uncertainty.estimate import Groups, Measured
from cmdmetric.uncertainty.influence import (
    Sample,
    SideLike,
    Sides,
    cmd_weights,
    influences,
)
from cmdmetric.uncertainty.interval import Variance, tell_an_error

#: Parts that are left out in turn for the error of what slices add to CMD.
_PARTS = 20


def mean_of_slice(
    measured: Measured, members: NDArray[np.bool_], groups: Groups
) -> tuple[float, Variance | None] | None:
    """A mean over images, of those of a slice alone, and what its error bar is made of.

    Args:
        measured: The mean over all images, with `weights`.
        members: (n,) which images are of the slice.
        groups: What was drawn together, of side "f".

    Returns:
        None where no image of the slice has a part in the mean; no variance of a single draw, or
        where nearly all images have one value.
    """
    assert measured.weights is not None
    shares, own = measured.shares["f"], groups.get("f")
    there = members & ~np.isnan(shares)
    weights = measured.weights[there]
    if not there.any():
        return None
    more = float(shares[there].sum() / weights.sum())
    left = (shares[there] - more * weights) / weights.sum()
    drawn = Drawn(int(there.sum()), None if own is None else own[there])
    (draws,) = numbers_of_draws([drawn])
    variance = None
    sums = sums_by_draw([drawn], [left[:, None]])[:, 0]
    if draws > 1 and tell_an_error(sums):
        variance = Variance.of_draws(sums, draws)
    return measured.value + more, variance


def added_to_cmd(
    f: SideLike, r: SideLike, l: SideLike, members: NDArray[np.bool_]
) -> tuple[Array, list[Variance]] | None:
    """By how much the images of slices raise CMD: the sums of their influences over n.

    The slices that part a set add up to zero: what is above it is worse than the average image. The
    influences themselves depend on the sets that they are found from, which counts as much as
    which images are in a slice. Errors are therefore found by leaving out a part of the draws of
    all sides in turn (the jackknife of groups, Shao and Wu 1989), which also tells how much of a
    share is the excess of a finite sample, to first order in 1 / n.

    Args:
        f: Generated images, whose features are at hand.
        r: Real images.
        l: Captions.
        members: (k, n) which images are of each slice.

    Returns:
        (k,) the sums, and what their error bars are made of; None where a side has fewer than
        four draws.

    Raises:
        InputError: As `influences` raises it.
    """
    samples = Sides.of(f, r, l).samples
    fewest = min(numbers_of_draws([sample.drawn for sample in samples.values()]))
    parts = min(_PARTS, fewest // 2)
    if parts < 2:
        return None
    found = influences(f, r, l)
    weights = cmd_weights(found.distances.dis_fl - found.distances.dis_rl)
    whole: Array = members @ (found.of["f"] @ weights) / members.shape[1]
    part_of = {name: sections(sample.drawn, parts, 0) for name, sample in samples.items()}
    without = []
    for part in range(parts):
        left: dict[str, SideLike] = {"f": f, "r": r, "l": l}
        for name, sample in samples.items():
            kept = part_of[name] != part
            if kept.sum() < 2:
                return None
            groups = None if sample.groups is None else sample.groups[kept]
            left[name] = Sample(np.asarray(sample.features)[kept], groups)
        own = members[:, part_of["f"] != part]
        without.append(own @ (influences(**left).of["f"] @ weights) / own.shape[1])
    mean = np.mean(without, axis=0)
    spread = np.array(without) - mean
    variances = (parts - 1) / parts * np.sum(spread**2, axis=0)
    # The excess of a finite sample is in the shares as in CMD; the jackknife takes its 1 / n off.
    whole = parts * whole - (parts - 1) * mean
    return whole, [Variance(float(v), freedom=parts - 1) for v in variances]
