"""Fréchet distances beside CMD's: of pairs as one vector, and of other networks' features."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from cmdmetric.metrics import (
    PROJECTIONS,
    SEED,
    DistanceInfluence,
    End,
    Moments,
    caption_scale,
    fid_influence,
    fjd_influence,
    frechet_influence,
    mind_influence,
)
from cmdmetric.scoring.family.inception import INCEPTION, vectors
from cmdmetric.scoring.family.metric import Given, Metric
from cmdmetric.scoring.family.pairs import Pairs
from cmdmetric.uncertainty import Array, Drawn, Measured, apart, common_noise, numbers_of_draws


def fjd(given: Given) -> list[Measured]:
    """The Fréchet joint distance (DeVries et al. 2019) of images with their captions."""
    # The real images first: they are more often without captions, which is told sooner so.
    r, f = Pairs.of_real(given), Pairs.of_generated(given)
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
    alpha = caption_scale(r.images[r.owner], r.captions)
    parts = (
        (f.images[f.owner], r.images[r.owner]),
        (alpha * f.captions, alpha * r.captions),
    )
    common = common_noise(parts, (_of_pairs(drawn[0], f.owner), _of_pairs(drawn[1], r.owner)))
    return [_distance(found, shares, d, single and apart(drawn), common)]


def _fjd_together(one: Given, two: Given) -> tuple[Array, Array]:
    first, second, r = Pairs.of_generated(one), Pairs.of_generated(two), Pairs.of_real(one)
    found = fjd_influence(
        np.concatenate([pairs.images[pairs.owner] for pairs in (first, second)]),
        np.concatenate([first.captions, second.captions]),
        r.images[r.owner],
        r.captions,
    )
    assert found.of_a is not None
    of_both = np.split(found.of_a, [len(first.owner)])
    values = [
        pairs.of_side(np.bincount(pairs.owner, of) * len(pairs.rows) / len(pairs.owner))
        for pairs, of in zip((first, second), of_both, strict=True)
    ]
    return values[0], values[1]


FJD = Metric("fjd", {"fjd": "lower"}, fjd, exchanged=_fjd_together, cites=("devries2019fjd",))


def frechet(network: str, given: Given) -> list[Measured]:
    """The Fréchet distance of what a network beside CLIP makes of generated and real images.

    Of Inception that is FID (Heusel et al. 2017), of DINOv2 FD-DINOv2 (Stein et al. 2023).
    """
    f, r = vectors(network, given.seen_by(network)), _real(network, given)
    found = _frechet(network, f, r)
    of = {"f": found.of_a, given.real_of(network): found.of_b}
    shares = {side: x / len(x) for side, x in of.items() if x is not None}
    common = 0.0
    if not given.seen[network].apart and not isinstance(r, Moments):
        common = common_noise([(f, r)], (given.drawn("f"), given.drawn("r")))
    return [_distance(found, shares, f.shape[1], given.apart_for(network), common)]


def frechet_together(network: str, one: Given, two: Given) -> tuple[Array, Array]:
    """What images of two generators do to the `frechet` of both sets together: (n,) and (m,)."""
    first, second = (vectors(network, given.seen_by(network)) for given in (one, two))
    # The moments of the real images do: only what generated images do is looked for.
    r = _real(network, one)
    of_real = r if isinstance(r, Moments) else Moments.from_features(r)
    found = _frechet(network, np.concatenate([first, second]), of_real)
    assert found.of_a is not None
    return found.of_a[: len(first)], found.of_a[len(first) :]


def _real(network: str, given: Given) -> Moments | NDArray[np.float32]:
    r = given.seen[network].r if network in given.seen else None
    return r if isinstance(r, Moments) else vectors(network, given.both_seen_by(network)[1])


def _frechet(
    network: str, f: NDArray[np.float32], r: Moments | NDArray[np.float32]
) -> DistanceInfluence:
    if network == INCEPTION:  # moments in a file may be another network's
        return fid_influence(f, r)
    of_r = End(r) if isinstance(r, Moments) else End(Moments.from_features(r), r)
    return frechet_influence(End(Moments.from_features(f), f), of_r)


FID = Metric(
    "fid",
    {"fid": "lower"},
    functools.partial(frechet, INCEPTION),
    network=INCEPTION,
    exchanged=functools.partial(frechet_together, INCEPTION),
    cites=("heusel2017fid",),
)


def mind_of(network: str, given: Given) -> list[Measured]:
    """The Monge distance (Berthet et al. 2026) of what a network beside CLIP makes of images.

    Of Inception that is MIND. Where both sets hardly differ its error bar counts the noise of both
    twice: it is too large there, by two fifths.
    """
    f, r = (vectors(network, rows) for rows in given.both_seen_by(network))
    return [_mind(f, r, given.real_of(network))]


def mind_together(network: str, one: Given, two: Given) -> tuple[Array, Array]:
    """What images of two generators do to the `mind_of` of both sets together: (n,) and (m,)."""
    first, second = (vectors(network, given.seen_by(network)) for given in (one, two))
    return _mind_together(first, second, vectors(network, one.both_seen_by(network)[1]))


def clip_mind(given: Given) -> list[Measured]:
    """The Monge distance of CLIP's features."""
    return [_mind(given.features("f"), given.features("r"), "r")]


def _clip_mind_together(one: Given, two: Given) -> tuple[Array, Array]:
    return _mind_together(one.features("f"), two.features("f"), one.features("r"))


def _mind_together(
    first: NDArray[np.float32], second: NDArray[np.float32], r: NDArray[np.float32]
) -> tuple[Array, Array]:
    found = mind_influence(np.concatenate([first, second]), r).of_x
    return found[: len(first)], found[len(first) :]


def _mind(f: NDArray[np.float32], r: NDArray[np.float32], real: str) -> Measured:
    found = mind_influence(f, r)
    shares = {"f": found.of_x / len(f), real: found.of_y / len(r)}
    return Measured(found.distance, shares, chance=found.chance, bias=None)


MIND = Metric(
    "mind",
    {"mind": "lower"},
    functools.partial(mind_of, INCEPTION),
    network=INCEPTION,
    named_only=True,
    exchanged=functools.partial(mind_together, INCEPTION),
    parameters={"projections": str(PROJECTIONS), "seed": str(SEED)},
    cites=("berthet2026mind",),
)
CLIP_MIND = Metric(
    "clip_mind",
    {"clip_mind": "lower"},
    clip_mind,
    named_only=True,
    exchanged=_clip_mind_together,
    parameters=MIND.parameters,
    cites=MIND.cites,
)


def _of_pairs(images: Drawn, owner: NDArray[np.intp]) -> Drawn:
    """What was drawn together of pairs, each of the draw of its image (m,)."""
    return Drawn(len(owner), None if images.groups is None else images.groups[owner])


def _distance(
    found: DistanceInfluence,
    shares: dict[str, Array],
    d: int,
    independent: bool,
    common: float = 0.0,
) -> Measured:
    """A distance with what each sample does to it.

    Its excess to second order is known where the samples are independent and more than the `d`
    dimensions of the vectors that the distance is of. `common` is the correlation of the noise of
    both sides' means, where they have draws in common; that of their covariances is its square, and
    what is common to both makes no second-order noise.
    """
    enough = all(np.isfinite(share).sum() > d for share in shares.values())
    known = independent and enough
    return Measured(
        found.distance,
        shares,
        noise=found.second_order * (1 - common**2) ** 2,
        bias=found.bias if known else None,
        is_square=True,
    )
