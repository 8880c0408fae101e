"""The conditional Fréchet distance of CLIP's features: of images given their captions."""

from __future__ import annotations

import numpy as np

from cmdmetric.metrics import LEAST_PAIRS, ConditionalInfluence, cfid_influence
from cmdmetric.scoring.family.metric import Features, Given, Metric, Unavailable
from cmdmetric.scoring.family.pairs import Pairs
from cmdmetric.uncertainty import (
    Array,
    Drawn,
    Measured,
    common_noise,
    conditional_excess,
    numbers_of_draws,
    units,
)

#: Several pairs of one draw, such as images with equal captions, may be this share of all where the
#: excess is told: it is off by as much of itself at most.
_SEVERAL = 0.01


def clip_cfid(given: Given) -> list[Measured]:
    """CFID (Soloveitchik et al. 2021) of CLIP's features of images, given those of captions.

    Where draws are too few for the dimensions of the captions it has no error bar: many images of
    a few captions tell nothing of other captions. What finitely many pairs add is known where each
    is a draw of its own on its side, and where there are enough of them.
    """
    f, r = Pairs.of_generated(given), Pairs.of_real(given)
    f, r = f.sharing(r.reading), r.sharing(f.reading)
    drawn = [given.drawn("f", f.rows), given.drawn("r", r.rows)]
    of_f, of_r = numbers_of_draws(drawn)
    found = _cfid(f.images[f.owner], f.captions, r)
    needed = LEAST_PAIRS * (found.rank + 1)
    for pairs, what in ((f, "generated"), (r, "real")):
        if len(pairs.rows) < needed:
            raise Unavailable(
                f"{len(pairs.rows):,} {what} images are too few for captions that vary in "
                f"{found.rank:,} dimensions: it takes at least {needed:,}"
            )
    if min(of_f, of_r) < needed:
        return [Measured(found.distance, bias=None, is_square=True)]
    of_pairs = _of_pairs(drawn[0], f), _of_pairs(drawn[1], r)
    residuals = found.f.residuals, found.r.residuals
    common = common_noise([residuals], of_pairs)
    noise = found.second_order(*map(_independent, residuals, of_pairs))
    return [
        Measured(
            found.distance,
            {"f": _of_images(f, found.of_f), "r": _of_images(r, found.of_r)},
            # What is common to both residuals, such as what no line fits, makes no such noise.
            noise=noise * (1 - common**2) ** 2,
            bias=_excess(found, of_pairs),
            is_square=True,
        )
    ]


def _excess(found: ConditionalInfluence, of_pairs: tuple[Drawn, Drawn]) -> float | None:
    """What finitely many pairs add, where each is a draw of its own on its side."""
    draws = numbers_of_draws(of_pairs)
    if any(count < (1 - _SEVERAL) * drawn.n for count, drawn in zip(draws, of_pairs, strict=True)):
        return None
    return conditional_excess(found, *units(of_pairs)[0])


def _together(one: Given, two: Given) -> tuple[Array, Array]:
    r = Pairs.of_real(one)
    first, second = (Pairs.of_generated(given).sharing(r.reading) for given in (one, two))
    r = r.sharing(np.concatenate([first.reading, second.reading]))
    images = np.concatenate([pairs.images[pairs.owner] for pairs in (first, second)])
    found = _cfid(images, np.concatenate([first.captions, second.captions]), r)
    of_both = np.split(found.of_f, [len(first.owner)])
    values = [
        _of_images(pairs, of) * len(pairs.rows)
        for pairs, of in zip((first, second), of_both, strict=True)
    ]
    return values[0], values[1]


def _cfid(images: Features, captions: Features, r: Pairs) -> ConditionalInfluence:
    if not len(images) or not len(r.owner):
        raise Unavailable("it takes generated and real images of the same captions: none is shared")
    return cfid_influence(images, captions, r.images[r.owner], r.captions)


def _of_images(pairs: Pairs, influence: Array) -> Array:
    """(total,) how much each image raises the number, from the influence (m,) of its pairs."""
    return pairs.of_side(np.bincount(pairs.owner, influence) / len(influence))


def _of_pairs(images: Drawn, pairs: Pairs) -> Drawn:
    """What was drawn together of pairs, each of the draw of its image (m,)."""
    owner = pairs.owner
    return Drawn(len(owner), None if images.groups is None else images.groups[owner])


def _independent(residuals: Array, drawn: Drawn) -> float:
    """How many independent residuals would have a mean as noisy as that of these (m, d).

    Residuals of one draw are alike where images have several captions, and hardly where captions
    have several images.
    """
    if drawn.groups is None:
        return len(residuals)
    order = np.argsort(drawn.groups, kind="stable")
    starts = np.unique(drawn.groups[order], return_index=True)[1]
    sums = np.add.reduceat(residuals[order], starts)
    alike = float(np.sum(sums**2) / max(float(np.sum(residuals**2)), 1e-300))
    return float(np.clip(len(residuals) / max(alike, 1e-300), len(starts), len(residuals)))


CLIP_CFID = Metric(
    "clip_cfid",
    {"clip_cfid": "lower"},
    clip_cfid,
    named_only=True,
    exchanged=_together,
    cites=("soloveitchik2021cfid",),
)
