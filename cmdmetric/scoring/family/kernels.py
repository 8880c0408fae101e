"""Maximum mean discrepancies: CMMD and KID."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cmdmetric.metrics import (
    SCALE,
    SIGMA,
    SUBSET_SIZE,
    MMDInfluence,
    clip_kid_influence,
    clip_kid_of,
    cmmd_influence,
    kid_influence,
    kid_of_subsets,
)
from cmdmetric.scoring.family.inception import INCEPTION, vectors
from cmdmetric.scoring.family.metric import Features, Given, Metric
from cmdmetric.uncertainty import Array, Measured, units

#: The CLIP of CMMD's paper among the networks.
CMMD_CLIP = "clip-cmmd"
#: KID's influences are found in parts of so many images: a fraction of its own time.
_PART = 2000


def _together(
    influence: Callable[[Features, Features], Array], f: tuple[Features, Features], r: Features
) -> tuple[Array, Array]:
    """What images of two generators do to a discrepancy of both together, in random parts.

    The mean difference of these values is that of the two discrepancies, with every image beside
    itself among the pairs: E k(f1,f1) - E k(f2,f2) - 2 E k(f1,r) + 2 E k(f2,r) is linear in
    the images' kernels with both sets and with the real one.
    """
    both = np.concatenate(f)
    parts = max(1, min(max(len(both), len(r)) // (2 * _PART), len(r) // 2, len(both) // 2))
    rng = np.random.default_rng(0)
    of_both, of_r = rng.permutation(len(both)) % parts, rng.permutation(len(r)) % parts
    values = np.empty(len(both))
    for part in range(parts):
        values[of_both == part] = influence(both[of_both == part], r[of_r == part])
    return values[: len(f[0])], values[len(f[0]) :]


def cmmd(given: Given) -> list[Measured]:
    """CMMD (Jayasumana et al. 2024), unbiased and as its authors' code estimates it."""
    found = cmmd_influence(given.features("f"), given.features("r"), _draws(given))
    unbiased, biased = found.mmd.unbiased, found.mmd.biased
    return [_discrepancy(found, unbiased), _discrepancy(found, biased, biased - unbiased)]


def _cmmd_together(one: Given, two: Given) -> tuple[Array, Array]:
    f = one.features("f"), two.features("f")
    return _together(lambda x, y: cmmd_influence(x, y).of_x, f, one.features("r"))


CMMD = Metric(
    "cmmd",
    {"cmmd": "lower", "cmmd_biased": "lower"},
    cmmd,
    exchanged=_cmmd_together,
    unbiased=("cmmd",),
    parameters={"kernel": f"gauss-{SIGMA:g}", "scale": f"{SCALE:g}"},
    cites=("jayasumana2024cmmd",),
)


def cmmd_as_published(given: Given) -> list[Measured]:
    """CMMD with the encoder, the pixels and the estimator of its authors' code."""
    _, biased = cmmd(given.through(CMMD_CLIP))
    return [biased]


def _published_together(one: Given, two: Given) -> tuple[Array, Array]:
    return _cmmd_together(one.through(CMMD_CLIP), two.through(CMMD_CLIP))


CMMD_PUBLISHED = Metric(
    "cmmd:published",
    {"cmmd_published": "lower"},
    cmmd_as_published,
    network=CMMD_CLIP,
    exchanged=_published_together,
    named_only=True,
    parameters={**CMMD.parameters, "estimate": "biased"},
    cites=CMMD.cites,
)


def clip_kid(given: Given) -> list[Measured]:
    """The kernel distance of KID, of CLIP's features."""
    found = clip_kid_of(given.cosines, _draws(given))
    return [_discrepancy(found, found.mmd.unbiased)]


def _clip_kid_together(one: Given, two: Given) -> tuple[Array, Array]:
    f = one.features("f"), two.features("f")
    return _together(lambda x, y: clip_kid_influence(x, y).of_x, f, one.features("r"))


CLIP_KID = Metric(
    "clip_kid",
    {"clip_kid": "lower"},
    clip_kid,
    exchanged=_clip_kid_together,
    unbiased=("clip_kid",),
    parameters={"kernel": "cubic"},
    cites=("binkowski2018kid",),
)


def kid_of(network: str, given: Given) -> list[Measured]:
    """The kernel distance (Binkowski et al. 2018) of what a network beside CLIP makes of images.

    It is a mean over random subsets. Of Inception it is KID, the kernel Inception distance.
    """
    f, r = (vectors(network, rows) for rows in given.both_seen_by(network))
    value = kid_of_subsets(f, r)
    most = min(len(f), len(r)) // 2
    found = kid_influence(f, r, parts=max(1, min(most, max(len(f), len(r)) // _PART)))
    shares = {"f": found.of_f / len(f), given.real_of(network): found.of_r / len(r)}
    return [
        Measured(
            value.mean,
            shares,
            # Second-order noise counts twice in each part, once in the whole.
            noise=found.second_order / found.parts**2,
            counted=2 * found.parts,
            chance=value.std**2 / value.subsets,
            bias=0.0 if given.apart_for(network) else None,
            is_square=True,
            is_cautious=True,
        )
    ]


def kid_together(network: str, one: Given, two: Given) -> tuple[Array, Array]:
    """What images of two generators do to the `kid_of` of both sets together: (n,) and (m,)."""
    first, second = (vectors(network, given.seen_by(network)) for given in (one, two))
    r = vectors(network, one.both_seen_by(network)[1])
    return _together(lambda x, y: kid_influence(x, y, parts=1).of_f, (first, second), r)


KID = Metric(
    "kid",
    {"kid": "lower"},
    partial(kid_of, INCEPTION),
    exchanged=partial(kid_together, INCEPTION),
    network=INCEPTION,
    unbiased=("kid",),
    parameters={"kernel": "cubic", "subsets": f"100x{SUBSET_SIZE}", "seed": "2020"},
    cites=("binkowski2018kid",),
)


def _draws(given: Given) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    f, r = units([given.drawn("f"), given.drawn("r")])[0]
    return f, r


def _discrepancy(found: MMDInfluence, value: float, more: float = 0.0) -> Measured:
    """Measure a value that is by `more` higher than the unbiased estimate."""
    shares = {"f": found.of_x / len(found.of_x), "r": found.of_y / len(found.of_y)}
    bias = None if found.bias is None else found.bias + more
    return Measured(
        value, shares, noise=found.second_order, bias=bias, is_square=True, is_cautious=True
    )
