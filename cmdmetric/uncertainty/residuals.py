"""How much too high CFID is of finitely many pairs: the excess of regressions and their residuals.

Three things make it. The regressions of both sides are noisy, and the part of the means is the
squared length of their difference: that excess is the mean square of the noise, which residuals
tell exactly for noise that is the same for all captions, and nearly for any (they are divided by
1 - h, with their leverages h: MacKinnon and White, "Some heteroskedasticity-consistent covariance
matrix estimators", 1985). A regression in k dimensions takes its share from the residuals, whose
covariance has n - 1 - k degrees of freedom in place of n - 1. And of Gaussian residuals it is
Wishart's with as many, so that `cmdmetric.uncertainty.excess` knows what their distance has.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmdmetric.metrics import Aligned, ConditionalInfluence, End, Moments, Regressed
from cmdmetric.uncertainty.draws import Array
from cmdmetric.uncertainty.excess import (
    WORTH_A_DIMENSION,
    Sampled,
    debiased_distance,
    least_draws,
)

Units = NDArray[np.intp]


def conditional_excess(found: ConditionalInfluence, of_f: Units, of_r: Units) -> float | None:
    """Tell by how much a conditional distance is too high, on average.

    Args:
        found: The distance.
        of_f: (n,) the draws of the generated pairs, counted over both sides. Each pair is a draw of
            its own on its side; a draw may have one on either, as images of one caption.
        of_r: (m,) the draws of the real pairs.

    Returns:
        The excess; None where residuals have fewer degrees of freedom than intervals of CMD take
        draws, or tails that are too heavy for these.
    """
    f, r = _sampled(found.f, of_f), _sampled(found.r, of_r)
    if not (_tells(f) and _tells(r)):
        return None
    spread = debiased_distance(Aligned.of(f.end, r.end), f, r)
    debiased = spread.distance - spread.of_means  # residuals have no means
    noise = _noise_of_means(found, f, r)
    # The mean caption of the real images is noisy as well: what slopes tell apart is in it again.
    again = (found.of_slopes - noise[1]) / len(r)
    return found.spread.distance - debiased + sum(noise) + again


def _sampled(side: Regressed, units: Units) -> Sampled:
    """Residuals as they would be had each pair had no part in its own regression."""
    free = len(side.residuals) - 1 - side.rank
    kept = np.maximum(1 - side.leverages, 1e-9)
    d = side.residuals.shape[1]
    cov = side.moments.cov * ((len(side.residuals) - 1) / free)
    rows = side.residuals / np.sqrt(kept)[:, None]
    end = End(Moments.from_statistics(np.zeros(d), cov), rows)
    return Sampled(end, rows, units, fitted=side.rank)


def _tells(side: Sampled) -> bool:
    """Whether so many residuals tell their excess, as in the intervals of CMD."""
    d = side.features.shape[1]
    if side.free <= least_draws(d):
        return False
    return side.worth > WORTH_A_DIMENSION * d and not side.is_heavy


def _noise_of_means(found: ConditionalInfluence, f: Sampled, r: Sampled) -> tuple[float, float]:
    """The mean square of the noise in the part of the means: at the mean caption, of the slopes."""
    pull_f, pull_r = found.pulls()
    of_f, of_r = np.asarray(f.features), np.asarray(r.features)
    noise = (of_f**2).sum(axis=1) @ pull_f**2 + (of_r**2).sum(axis=1) @ pull_r**2
    # What no line fits of captions that both sides have is on both, and cancels.
    _, at_f, at_r = np.intersect1d(f.units, r.units, return_indices=True)
    alike: Array = np.einsum("nd,nd->n", of_f[at_f], of_r[at_r])
    noise = noise - 2 * alike @ (pull_f[at_f] * pull_r[at_r])
    return float(noise[0]), float(noise[1:].sum())
