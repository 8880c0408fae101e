"""One pass over all pairs of images for the metrics that look at them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmdmetric.metrics.kernels.mmd import PowerSums, Products
from cmdmetric.metrics.neighbours.nearest import Sections
from cmdmetric.metrics.neighbours.points import Points, Watch
from cmdmetric.metrics.neighbours.prdc import AboutCentre, Reached, about_centre, reached_of
from cmdmetric.metrics.vectors import TILE, Array, as_vectors, blocks, unit


def all_pairs(
    generated: ArrayLike,
    real: ArrayLike,
    divisions: Sequence[tuple[Sections, Sections]] = (),
    *,
    k: int,
) -> tuple[Products, list[Reached]]:
    """Give `cosines` and `reached` from the same products, in single precision.

    Args:
        generated: (n, d) features.
        real: (m, d) features.
        divisions: As for `reached`.
        k: As for `reached`.

    Raises:
        InputError: There are too few images, the dimensions differ, values are not finite, or a
            vector has no direction.
    """
    sums, centre, found = _pass(about_centre(generated, real, k), divisions, k)
    # Here the vectors of the pass are gone: memory holds one copy in double precision at a time.
    f, r = as_vectors(generated, "generated images"), as_vectors(real, "real images")
    f, r = unit(f, "generated images"), unit(r, "real images")
    return Products.of_sums(f, r, centre, sums), found


def _pass(
    sets: AboutCentre, divisions: Sequence[tuple[Sections, Sections]], k: int
) -> tuple[tuple[PowerSums, PowerSums, PowerSums], float, list[Reached]]:
    """The sums of powers of cosines, what these are counted from, and who reaches whom."""
    f, r = _Directions.of(sets.f, sets), _Directions.of(sets.r, sets)
    middle = (f.mean + r.mean) / 2
    centre = float(middle @ middle)
    n, m = len(sets.f), len(sets.r)
    sums = PowerSums(n, single=True), PowerSums(m, single=True), PowerSums(n, m, single=True)
    watches = (
        f.watch(f, sums[0], centre),
        r.watch(r, sums[1], centre),
        f.watch(r, sums[2], centre),
    )
    return sums, centre, reached_of(sets, divisions, k=k, watches=watches)


@dataclass(frozen=True, eq=False)
class _Directions:
    """What makes cosines of products of vectors about a centre, in single precision but for `mean`.

    With x = p / s + c of a centred vector p, x.y = p.q / s^2 + c.x + c.y - c.c.

    Attributes:
        along: (n,) c.x less half of c.c.
        shrink: (n,) 1 / |x|.
        factor: 1 / s^2.
        mean: (d,) the mean of x / |x|.
    """

    along: NDArray[np.float32]
    shrink: NDArray[np.float32]
    factor: np.float32
    mean: Array

    @classmethod
    def of(cls, points: Points, sets: AboutCentre) -> _Directions:
        centre = sets.centre
        along, lengths = np.empty(len(points)), np.empty(len(points))
        total = np.zeros_like(centre)
        for some in blocks(len(points)):
            x = points.exact[some] / sets.scale + centre
            along[some] = x @ centre
            lengths[some] = np.sqrt(np.einsum("nd,nd->n", x, x))
            # A vector without direction is refused when all of this is done.
            lengths[some] = np.where(lengths[some] > 0, lengths[some], 1)
            total += (x / lengths[some, None]).sum(axis=0)
        shrink = 1 / lengths
        along -= float(centre @ centre) / 2
        return cls(
            along.astype(np.float32),
            shrink.astype(np.float32),
            np.float32(sets.scale**-2),
            total / len(points),
        )

    def watch(self, others: _Directions, sums: PowerSums, centre: float) -> Watch:
        """Make what adds the cosines to sums, as products of vectors with others come."""

        def watch(rows: slice, products: NDArray[np.float32]) -> None:
            for columns in blocks(products.shape[1], TILE):
                tile = products[:, columns] * self.factor
                tile += self.along[rows, None]
                tile += others.along[columns]
                tile *= self.shrink[rows, None]
                tile *= others.shrink[columns]
                tile -= np.float32(centre)
                sums.add(tile, rows, columns)

        return watch
