"""Whether generated images are copies of training images: nearest neighbours in feature space.

Fréchet and kernel distances, and precision to coverage, are best where a generator hands out its
training images. What is generated is therefore held against these, image by image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmdmetric.metrics.vectors import Array, as_vectors, blocks, require_same_dimension, unit

#: Of the real images that were held out, as many are this close to a training image by chance.
CHANCE = 0.05
#: Rows of distances that are held at once.
_ROWS = 256


class Memorisation(NamedTuple):
    """How near generated images are to training images."""

    #: AuthPct (Alaa et al., "How faithful is your synthetic data?", ICML 2022): the share of
    #: generated images that are authentic, 0 to 1. One is authentic if its nearest training image
    #: has another training image nearer than it.
    authentic: float
    #: The share of generated images that are nearer to a training image than all but CHANCE of the
    #: held-out real ones are; None without held-out images. About CHANCE where nothing is copied.
    copied: float | None
    #: The distance that this is: CHANCE of the held-out images are nearer; and how many there are,
    #: those that are training images themselves left out. None without held-out images.
    chance: float | None
    held_out: int | None
    #: (n,) by generated image the distance to the nearest training image, from 0 to 2.
    distance: Array
    #: (n,) which training image that is.
    nearest: NDArray[np.intp]
    #: (n,) which generated images are authentic.
    is_authentic: NDArray[np.bool_]


def memorisation(
    generated: ArrayLike, train: ArrayLike, held_out: ArrayLike | None = None
) -> Memorisation:
    """How near generated images are to training images, by the distance of unit vectors.

    Args:
        generated: (n, d) features of generated images.
        train: (m, d) features of the training images, two or more.
        held_out: (k, d) features of real images that were not trained on. How near those are to
            training images tells what is near by chance. Those that are training images themselves
            are none and left out; where all are, it is as if none were given.

    Returns:
        The shares, and every generated image's nearest training image. For an authentic image
        there is no claim that it is new, only that it is no nearer to a training image than
        training images are to each other; about half of all new images are authentic.

    Raises:
        InputError: too few images, other dimensions, values that are not finite, or zero vectors.

    >>> train = [[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]
    >>> found = memorisation([[1.0, 0.01], [-1.0, 0.2]], train)
    >>> found.is_authentic.tolist(), found.nearest.tolist()
    ([False, True], [0, 2])
    """
    f = unit(as_vectors(generated, "generated images"), "generated images")
    t = unit(as_vectors(train, "training images", 2), "training images")
    require_same_dimension(f, "generated images", t, "training images")
    distance, nearest = nearest_of(f, t)
    among, _ = nearest_of(t, t, itself=False)
    authentic = distance > among[nearest]
    copied = chance = count = None
    if held_out is not None:
        h = unit(as_vectors(held_out, "held-out images"), "held-out images")
        require_same_dimension(h, "held-out images", t, "training images")
        of_held_out, _ = nearest_of(h, t)
        of_held_out = of_held_out[of_held_out > _SAME]
        if len(of_held_out):
            chance, count = float(np.quantile(of_held_out, CHANCE)), len(of_held_out)
            copied = float((distance < chance).mean())
    return Memorisation(
        float(authentic.mean()), copied, chance, count, distance, nearest, authentic
    )


#: Distances of unit vectors below this are rounding of their products.
_SAME = 1e-7


def nearest_of(x: Array, y: Array, *, itself: bool = True) -> tuple[Array, NDArray[np.intp]]:
    """(n,) the distance of each unit vector of x (n, d) to the nearest of y (m, d), and its row.

    itself: False where x is y and no vector is to be its own neighbour.
    """
    distance, nearest = np.empty(len(x)), np.empty(len(x), dtype=np.intp)
    for block in blocks(len(x), _ROWS):
        cosines = x[block] @ y.T
        if not itself:
            rows = np.arange(len(cosines))
            cosines[rows, block.start + rows] = -np.inf
        nearest[block] = cosines.argmax(axis=1)
        # Of the difference, which has all its digits where the cosine is about one.
        distance[block] = np.linalg.norm(x[block] - y[nearest[block]], axis=1)
    return distance, nearest
