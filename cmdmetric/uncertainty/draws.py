"""What was drawn together, and the variance of sums over samples that follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: A number of samples; None where it is not known.
_N = TypeVar("_N", int, int | None)


class Drawn(NamedTuple):
    """The samples of one side: how many, and their groups (n,), integers or strings, or None.

    What has the same group, on this side or another, is one draw: an image and its captions, the
    captions of one image, the images that two models made of one caption. Without groups every
    sample is a draw of its own.
    """

    n: int
    groups: NDArray[np.generic] | None = None


def groups_of_images(
    caption_of: Sequence[Sequence[int]], prompts: Sequence[int]
) -> NDArray[np.int_]:
    """The groups (n,) of images that were paired by name with captions of the groups `prompts`.

    caption_of gives for each image the places of its captions (`cmdmetric.inputs.Pairing`).
    Images without a caption are each a group of their own, from -1 down.
    """
    groups = [prompts[of[0]] if of else -1 - image for image, of in enumerate(caption_of)]
    return np.array(groups, int)


def units(sides: Sequence[Drawn]) -> tuple[list[NDArray[np.intp]], int]:
    """Which independent draw every sample of every side belongs to, and how many there are."""
    named = [side.groups for side in sides if side.groups is not None]
    labels, codes = np.unique(np.concatenate(named), return_inverse=True) if named else ((), None)
    count, seen, found = len(labels), 0, []
    for side in sides:
        if side.groups is None:
            found.append(np.arange(count, count + side.n))
            count += side.n
        else:
            assert codes is not None
            found.append(codes[seen : seen + side.n])
            seen += side.n
    return found, count


def replicated(sides: Sequence[Drawn]) -> bool:
    """Whether every side has two draws or more.

    A single one, such as many images of one caption, tells nothing of others.
    """
    return all(count > 1 for count in numbers_of_draws(sides))


def apart(sides: Sequence[Drawn]) -> bool:
    """Whether every sample, of whichever side, is a draw of its own."""
    return units(sides)[1] == sum(side.n for side in sides)


def numbers_of_draws(sides: Sequence[Drawn]) -> list[int]:
    """How many draws the samples of each side are."""
    return [number_of_draws(*side) for side in sides]


def number_of_draws(n: _N, groups: NDArray[np.generic] | None) -> _N | int:
    """How many draws n samples of these groups are."""
    return n if groups is None else len(np.unique(groups))


def sums_by_draw(sides: Sequence[Drawn], shares: Sequence[Array]) -> Array:
    """(g, c) how much each draw raises c numbers, from the shares (n, c) of each side's samples."""
    units_of, count = units(sides)
    sums = np.zeros((count, shares[0].shape[1]))
    for unit, share in zip(units_of, shares, strict=True):
        for column, values in enumerate(share.T):
            sums[:, column] += np.bincount(unit, values, minlength=count)
    return sums


def common_noise(
    parts: Iterable[tuple[NDArray[Any], NDArray[Any]]], sides: tuple[Drawn, Drawn]
) -> float:
    """What of the noise of two sets' means is common to both, since they have draws in common.

    Args:
        parts: samples (n, d) of the one side and (m, d) of the other, in parts of their columns.
        sides: What was drawn together of either.

    Returns:
        The correlation of the two means, 0 where no draw is on both sides and 1 where both are one.
    """
    (of_x, of_y), count = units(sides)
    if not np.isin(of_x, of_y).any():
        return 0.0
    products = np.zeros(3)
    step = max(1, (1 << 24) // count)  # columns at once
    for x, y in parts:
        for start in range(0, x.shape[1], step):
            a = _summed(x[:, start : start + step].astype(np.float64), of_x, count)
            b = _summed(y[:, start : start + step].astype(np.float64), of_y, count)
            products += np.vdot(a, b), np.vdot(a, a), np.vdot(b, b)
    both, one, two = products
    return float(np.clip(both / np.sqrt(one * two), 0.0, 1.0)) if one * two > 0 else 0.0


def _summed(rows: Array, of: NDArray[np.intp], count: int) -> Array:
    """(count, c) the sums of centred rows (n, c) by draw, over their number."""
    order = np.argsort(of, kind="stable")
    drawn, starts = np.unique(of[order], return_index=True)
    found = np.zeros((count, rows.shape[1]))
    found[drawn] = np.add.reduceat((rows - rows.mean(axis=0))[order], starts) / len(rows)
    return found


def sections(side: Drawn, parts: int, seed: int) -> NDArray[np.intp]:
    """(n,) in which of `parts` random sections each sample is; one draw is in one, on all sides.

    Groups are whole numbers. A section is a function of the group and the seed alone, so that two
    generators of the same captions are parted alike.
    """
    labels = np.arange(side.n) if side.groups is None else side.groups
    mixed = labels.astype(np.int64).astype(np.uint64) + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return ((mixed ^ (mixed >> np.uint64(31))) % np.uint64(parts)).astype(np.intp)
