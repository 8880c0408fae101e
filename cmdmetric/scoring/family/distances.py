"""Fréchet distances beside CMD's: of pairs as one vector, and of Inception's features."""

from __future__ import annotations

import numpy as np

from cmdmetric.metrics import DIMENSIONS, DistanceInfluence, Moments, fid_influence, fjd_influence
from cmdmetric.scoring.family.inception import INCEPTION, pooled
from cmdmetric.scoring.family.metric import Given, Metric
from cmdmetric.scoring.family.pairs import Pairs
from cmdmetric.uncertainty import Array, Measured, apart, numbers_of_draws


def fjd(given: Given) -> list[Measured]:
    """The Fréchet joint distance (DeVries et al. 2019) of images with their captions."""
    f, r = Pairs.of_generated(given), Pairs.of_real(given)
    drawn = [given.drawn("f", f.rows), given.drawn("r", r.rows)]
    of_f, of_r = numbers_of_draws(drawn)
    found = fjd_influence(
        f.images[f.owner], f.captions, r.images[r.owner], r.captions, draws=(of_f, of_r)
    )
    shares = {
        side: pairs.of_side(np.bincount(pairs.owner, influence) / len(influence))
        for side, pairs, influence in (("f", f, found.of_a), ("r", r, found.of_b))
        if influence is not None
    }
    single = all(len(pairs.images) == len(pairs.owner) for pairs in (f, r))
    d = f.images.shape[1] + f.captions.shape[1]
    return [_distance(found, shares, d, single and apart(drawn))]


FJD = Metric("fjd", {"fjd": "lower"}, fjd)


def fid(given: Given) -> list[Measured]:
    """The Fréchet Inception distance (Heusel et al. 2017)."""
    f, r = given.seen_by(INCEPTION), given.seen[INCEPTION].r
    if not isinstance(r, Moments):
        r = pooled(given.both_seen_by(INCEPTION)[1])
    found = fid_influence(pooled(f), r)
    of = {"f": found.of_a, given.real_of(INCEPTION): found.of_b}
    shares = {side: x / len(x) for side, x in of.items() if x is not None}
    return [_distance(found, shares, DIMENSIONS, given.apart_for(INCEPTION))]


FID = Metric("fid", {"fid": "lower"}, fid, network=INCEPTION)


def _distance(
    found: DistanceInfluence, shares: dict[str, Array], d: int, independent: bool
) -> Measured:
    """A distance with what each sample does to it.

    Its excess to second order is known where the samples are independent and more than the `d`
    dimensions of the vectors that the distance is of.
    """
    enough = all(np.isfinite(share).sum() > d for share in shares.values())
    known = independent and enough
    return Measured(
        found.distance,
        shares,
        noise=found.second_order,
        bias=found.bias if known else None,
    )
