"""The conditional Fréchet distance (Soloveitchik et al. 2021) of images given their captions.

Images given a caption are taken for a Gaussian whose mean is linear in the caption. What is told
is the mean over the captions of the Fréchet distance of two Gaussians, a generated and a real one:

    |m_y - m_f|^2 + Tr (C_yx - C_fx) C_xx^-1 (C_xy - C_xf)
        + Tr (C_yy|x + C_ff|x - 2 (C_yy|x C_ff|x)^(1/2)),   C_yy|x = C_yy - C_yx C_xx^-1 C_xy,

of captions x, real images y and generated images f (arXiv 2103.11521). The first two terms are the
mean of the squared distance of what linear regression expects of either side, and C_yy|x is the
covariance of its residuals: so it is computed here. Where captions lie in a subspace the regression
is within it, which is what the pseudo-inverse of C_xx does.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cmdmetric.errors import InputError
from cmdmetric.metrics.distance_influence import Aligned, End, aligned_influence
from cmdmetric.metrics.frechet import frechet_distance
from cmdmetric.metrics.joint.fjd import joint_moments
from cmdmetric.metrics.moments import Moments
from cmdmetric.metrics.vectors import Array, as_vectors, blocks, require_same_dimension

#: Captions vary along a direction if their deviation there is above this share of their largest
#: entry. Below it is the rounding of float32, in which encoders compute.
ROUNDING = 1e-6
#: Pairs that a side has at least for each dimension of the captions, and for the mean: of fewer the
#: regression explains half of the variance and more, whatever the images are.
LEAST_PAIRS = 2


class ConditionalInfluence(NamedTuple):
    """A conditional distance and what every pair does to it."""

    distance: float
    #: (n,) and (m,), each with mean zero.
    of_f: Array
    of_r: Array
    #: The regressions of both sides.
    f: Regressed
    r: Regressed
    #: The distance of the residuals, decomposed.
    spread: Aligned
    #: The part of the means: at the mean of the real captions, and what the slopes add.
    of_gap: float
    of_slopes: float

    @property
    def rank(self) -> int:
        """The dimensions of the captions."""
        return self.f.rank

    def pulls(self) -> tuple[Array, Array]:
        """How each pair pulls at the means: (n, k + 1) and (m, k + 1), at k dimensions of captions.

        Noise e (n, d) of the generated images and u (m, d) of the real ones moves the difference of
        what is expected of both by u^T pull_r - e^T pull_f, in coordinates in which the part of the
        means is its squared length.
        """
        values, vectors = np.linalg.eigh(self.r.cov)
        half = vectors[:, -self.rank :] * np.sqrt(values[-self.rank :])
        found = []
        for side in (self.f, self.r):
            n = len(side.captions)
            x = (side.captions - side.mean) @ (side.inverse / (n - 1))
            found.append(np.column_stack([1 / n + x @ (self.r.mean - side.mean), x @ half]))
        return found[0], found[1]

    def second_order(self, draws_f: float, draws_r: float) -> float:
        """The variance of the second-order term under Gaussian noise, of so many residuals.

        Noise of the slopes is as that of the means, along each dimension of the captions.
        """
        per_f, per_r = 1 / draws_f, 1 / draws_r
        of_means = self.spread.second_order_of_means(per_f, per_r)
        return self.spread.second_order(per_f, per_r) + self.rank * of_means


def cfid(
    generated: ArrayLike,
    generated_captions: ArrayLike,
    real: ArrayLike,
    real_captions: ArrayLike,
) -> float:
    """The conditional Fréchet distance of images given captions; 0 upwards, lower is better.

    generated (n, d) and generated_captions (n, e) are features, row i of one belonging to row i of
    the other; the real ones are (m, d) and (m, e). An image with several captions is repeated. The
    formula is of one set of captions for both sides, each as often on the one as on the other;
    where the numbers differ, the mean is over the captions of the real images.

    Raises:
        InputError: The rows are not pairs, the dimensions differ, a side has fewer pairs than
            LEAST_PAIRS allows, or the captions of one side vary in directions in which those of the
            other do not.
    """
    f, r = _sides(generated, generated_captions, real, real_captions)
    return sum(_of_means(f, r)) + frechet_distance(f.moments, r.moments)


def cfid_influence(
    generated: ArrayLike,
    generated_captions: ArrayLike,
    real: ArrayLike,
    real_captions: ArrayLike,
) -> ConditionalInfluence:
    """`cfid` and what every pair does to it.

    A pair with the residual e and the centred caption x moves the slopes of its side's regression
    by C_xx^-1 x e^T and the covariance of the residuals by e e^T - C; the rest is the chain rule.
    Arguments, and what is raised, are those of `cfid`.
    """
    f, r = _sides(generated, generated_captions, real, real_captions)
    pair = Aligned.of(End(f.moments, f.residuals), End(r.moments, r.residuals))
    spread = aligned_influence(pair)
    assert spread.of_a is not None and spread.of_b is not None
    gap, slopes = _gap(f, r)
    of_means = _of_means(f, r)
    back = f.inverse @ (r.cov @ slopes)  # of a real caption's distance by a generated one's slope
    shift = f.inverse @ (r.mean - f.mean)
    on_f, on_r = spread.of_a, spread.of_b
    for rows in blocks(len(on_f)):
        x = f.captions[rows] - f.mean
        moved = (1 + x @ shift)[:, None] * gap + x @ back
        on_f[rows] -= 2 * np.einsum("nd,nd->n", f.residuals[rows], moved)
    for rows in blocks(len(on_r)):
        moved = gap + (r.captions[rows] - r.mean) @ slopes
        on_r[rows] += np.einsum("nd,nd->n", moved + 2 * r.residuals[rows], moved)
    return ConditionalInfluence(
        sum(of_means) + spread.distance,
        on_f - on_f.mean(),
        on_r - on_r.mean(),
        f,
        r,
        pair,
        *of_means,
    )


class Regressed(NamedTuple):
    """One side: its captions (n, e), their mean (e,), covariance and pseudo-inverse (e, e).

    Of the images the mean (d,), the slopes (e, d) by the captions, the residuals (n, d) and their
    moments; rank is the number of directions in which the captions vary.
    """

    captions: Array
    mean: Array
    cov: Array
    inverse: Array
    rank: int
    of_images: Array
    slopes: Array
    residuals: Array
    moments: Moments

    @property
    def leverages(self) -> Array:
        """(n,) the share of its own noise that the regression takes from each pair."""
        n = len(self.captions)
        found = np.empty(n)
        for rows in blocks(n):
            x = self.captions[rows] - self.mean
            found[rows] = 1 / n + np.einsum("nd,nd->n", x @ self.inverse, x) / (n - 1)
        return found

    @classmethod
    def of(cls, images: ArrayLike, captions: ArrayLike, what: str) -> Regressed:
        """Regress images (n, d), which a message calls `what`, on their captions (n, e).

        Raises:
            InputError: They are not pairs, or too few for the dimensions of the captions.
        """
        y, x = as_vectors(images, f"{what} images"), as_vectors(captions, "captions")
        joint = joint_moments(y, x, 1.0)
        d = y.shape[1]
        cov, across = joint.cov[d:, d:], joint.cov[d:, :d]
        values, vectors = np.linalg.eigh(cov)
        kept = values > (ROUNDING * np.abs(x).max()) ** 2
        rank = int(kept.sum())
        if len(y) < LEAST_PAIRS * (rank + 1):
            raise InputError(
                f"{len(y):,} pairs of {what} images and captions are too few for captions that "
                f"vary in {rank:,} dimensions: it takes at least {LEAST_PAIRS * (rank + 1):,}"
            )
        values, vectors = values[kept], vectors[:, kept]
        cov, inverse = (vectors * values) @ vectors.T, (vectors / values) @ vectors.T
        slopes = inverse @ across
        mean_y, mean_x = joint.mean[:d], joint.mean[d:]
        residuals = y - mean_y
        for rows in blocks(len(y)):
            residuals[rows] -= (x[rows] - mean_x) @ slopes
        moments = Moments.from_features(residuals)
        return cls(x, mean_x, cov, inverse, rank, mean_y, slopes, residuals, moments)


def _sides(
    generated: ArrayLike, generated_captions: ArrayLike, real: ArrayLike, real_captions: ArrayLike
) -> tuple[Regressed, Regressed]:
    f = Regressed.of(generated, generated_captions, "generated")
    r = Regressed.of(real, real_captions, "real")
    require_same_dimension(f.residuals, "generated images", r.residuals, "real images")
    require_same_dimension(f.captions, "captions of generated images", r.captions, "of real images")
    for one, two in ((f, r), (r, f)):
        # What of the captions of one side is left outside the span of those of the other.
        span = one.cov @ one.inverse
        left = np.trace(two.cov) - np.vdot(span, two.cov @ span)
        if left > ROUNDING * np.trace(two.cov):
            raise InputError(
                "the captions of one side vary in directions in which those of the other do not: "
                "it takes generated and real images of the same captions"
            )
    return f, r


def _gap(f: Regressed, r: Regressed) -> tuple[Array, Array]:
    """How far expected images lie apart: (d,) at the mean of the real captions, (e, d) by them."""
    gap = r.of_images - f.of_images - (r.mean - f.mean) @ f.slopes
    return gap, r.slopes - f.slopes


def _of_means(f: Regressed, r: Regressed) -> tuple[float, float]:
    """The mean over the real captions of the squared distance of the images expected for them.

    In two parts: that of their mean caption, and what the slopes add.
    """
    gap, slopes = _gap(f, r)
    return float(gap @ gap), max(0.0, float(np.vdot(slopes, r.cov @ slopes)))
