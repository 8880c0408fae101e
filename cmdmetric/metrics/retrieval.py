"""R-precision (Xu et al., AttnGAN, CVPR 2018) and recall at k: is the right caption the nearest?

A rival that is exactly as similar as the right one counts as nearer, so that an encoder or a
generator that maps everything to one point retrieves nothing. What is given twice is therefore its
own rival: where several images were made of one caption, give it once and say whose it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmdmetric.errors import InputError
from cmdmetric.metrics.vectors import (
    Array,
    as_owner,
    as_vectors,
    blocks,
    require_same_dimension,
    unit,
)

#: Pairs whose drawn captions are gathered at once: 128 x 100 vectors of 512 are 52 MB.
_GATHERED = 128
#: Pairs whose similarity is made in double precision at once, one by one.
_PAIRS = 1 << 13
#: Where more than this share of similarities are too close to call, all are made anew at once.
_MANY = 1 / 16


class Recall(NamedTuple):
    """Fractions from 0 to 1, one for each k; higher is better."""

    #: Of the images, those with one of their captions among the k nearest captions.
    image_to_text: dict[int, float]
    #: Of the captions, those with their image among the k nearest images.
    text_to_image: dict[int, float]


def r_precision(
    images: ArrayLike,
    captions: ArrayLike,
    owner: ArrayLike | None = None,
    *,
    mismatched: int = 99,
    seed: int = 0,
) -> float:
    """How often a caption beats `mismatched` others, drawn at random, on its image: 0 to 1.

    images (n, d) and captions (m, d) meet by their cosine. owner (m,) is the image of each caption
    (by default caption i has image i); where captions have several images it is the pairs (p, 2),
    the row of an image and the row of a caption. Every pair is tried once, against captions that
    are not the image's, drawn with `seed` without repetition. 1 against 99 is the published
    setting; chance is 1 / (mismatched + 1); higher is better.

    Raises:
        InputError: Images and captions are not paired, or are too few to draw from.
    """
    return float(wins(images, captions, owner, mismatched=mismatched, seed=seed).mean())


def wins(
    images: ArrayLike,
    captions: ArrayLike,
    owner: ArrayLike | None = None,
    *,
    mismatched: int = 99,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """Whether each pair's caption beats the others on its image: (m,), or (p,) as `owner` has them.

    `r_precision`, the mean, has the arguments.
    """
    x, y, image, caption = _paired(images, captions, owner)
    of_image = _grouped(image, caption, len(x))
    _require_rivals(mismatched, len(y), max(map(len, of_image)))
    rng = np.random.default_rng(seed)
    won = np.empty(len(image), dtype=bool)
    for block in blocks(len(image), _GATHERED):
        drawn = [_draw(rng, len(y), of_image[row], mismatched) for row in image[block]]
        queries = x[image[block]]
        right = np.einsum("bd,bd->b", queries, y[caption[block]])
        wrong = np.einsum("bd,bkd->bk", queries, y[np.array(drawn)])
        won[block] = ~_rivals(wrong, right[:, None]).any(axis=1)
    return won


def win_chances(
    images: ArrayLike,
    captions: ArrayLike,
    owner: ArrayLike | None = None,
    *,
    mismatched: int = 99,
) -> Array:
    """The chance of each pair's caption to beat others drawn at random: (m,), or (p,).

    Of M captions that are not the image's, R are at least as similar to the image. None of them is
    among `mismatched` drawn without repetition with the chance C(M - R, mismatched) / C(M,
    mismatched), a hypergeometric one. The mean of `wins` over all seeds is therefore the mean of
    these, which has no seed and varies less.

    Args:
        images: (n, d) features.
        captions: (m, d) features.
        owner: which image each caption belongs to, as for `r_precision`.
        mismatched: how many captions of other images are drawn.

    Raises:
        InputError: images and captions are not paired, or too few to draw from.
    """
    x, y, image, caption = _paired(images, captions, owner)
    own = np.bincount(image, minlength=len(x))
    _require_rivals(mismatched, len(y), int(own.max()))
    nearer = np.zeros(len(image), dtype=np.int64)
    of_image = _grouped(image, caption, len(x))
    for block in blocks(len(image)):
        queries = x[image[block]]
        right = np.einsum("bd,bd->b", queries, y[caption[block]])
        for j in blocks(len(y)):
            tile = _Tile.of(queries, y[j])
            nearer[block] += tile.rivals(right[:, None]).sum(axis=1)
        for row, pair in enumerate(range(block.start, block.stop)):  # its own are no rivals
            mine = y[of_image[image[pair]]] @ queries[row]
            nearer[pair] -= int(_rivals(mine, right[row]).sum())
    others = len(y) - own[image]
    left = others - nearer
    # log C(a, k) = log a! - log k! - log (a - k)!, of which k! cancels.
    from scipy.special import gammaln  # not at the top: a score from the cache does without scipy

    enough = left >= mismatched
    log_chance = np.where(
        enough,
        gammaln(left + 1)
        - gammaln(np.maximum(left - mismatched, 0) + 1)
        - gammaln(others + 1)
        + gammaln(others - mismatched + 1),
        -np.inf,
    )
    return np.exp(np.minimum(log_chance, 0.0))


def _require_rivals(mismatched: int, captions: int, own: int) -> None:
    if not 1 <= mismatched <= captions - own:
        raise InputError(
            f"R-precision draws {mismatched} captions of other images, of {captions:,} captions "
            f"that leaves {captions - own}: give more pairs, or ask for fewer (mismatched)"
        )


def recall_at_k(
    images: ArrayLike,
    captions: ArrayLike,
    owner: ArrayLike | None = None,
    *,
    ks: Sequence[int] = (1, 5, 10),
) -> Recall:
    """R@k among all images and all captions, both ways; arguments as for `r_precision`."""
    if not ks or min(ks) < 1:
        raise InputError(f"R@k needs ranks from 1 upwards, not {list(ks)}")
    of_images, of_captions = ranks(images, captions, owner)
    return Recall(
        {k: float((of_images < k).mean()) for k in ks},
        {k: float((of_captions < k).mean()) for k in ks},
    )


def ranks(
    images: ArrayLike, captions: ArrayLike, owner: ArrayLike | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count what is nearer than the nearest of one's own; arguments as for `r_precision`.

    Returns:
        How many captions are nearer to each image than the nearest of its own (n,), and how many
        images are nearer to each caption than the nearest of its own (m,).

    The similarities are made in blocks: memory holds the vectors and one block.
    """
    x, y, image, caption = _paired(images, captions, owner)
    if len(image) == len(x) * len(y):
        raise InputError("R@k needs rivals: every caption here is one of every image")
    of_image, of_caption = np.full(len(x), -np.inf), np.full(len(y), -np.inf)
    for block in blocks(len(image)):
        own = np.einsum("bd,bd->b", x[image[block]], y[caption[block]])
        np.maximum.at(of_image, image[block], own)
        np.maximum.at(of_caption, caption[block], own)
    nearer_texts = np.zeros(len(x), dtype=np.int64)
    nearer_images = np.zeros(len(y), dtype=np.int64)
    for i in blocks(len(x)):
        here = (image >= i.start) & (image < i.stop)
        rows, columns = image[here] - i.start, caption[here]
        for j in blocks(len(y)):
            tile = _Tile.of(x[i], y[j])
            own = (columns >= j.start) & (columns < j.stop)
            tile.similarity[rows[own], columns[own] - j.start] = -np.inf  # they are no rivals
            nearer_texts[i] += tile.rivals(of_image[i, None]).sum(axis=1)
            nearer_images[j] += tile.rivals(of_caption[None, j]).sum(axis=0)
    return nearer_texts, nearer_images


class _Tile(NamedTuple):
    """The similarities of some images and some captions.

    They are made in single precision, which is wrong by d roundings at most (Higham, Accuracy and
    Stability of Numerical Algorithms, section 3.1). Those that are nearer than that to what they
    are held against are made anew in double precision, so that what is told is exact.
    """

    x: Array
    y: Array
    #: (b, c); minus infinity for a pair that is no rival of any.
    similarity: NDArray[np.float32]

    @classmethod
    def of(cls, x: Array, y: Array) -> _Tile:
        """Of images (b, d) and captions (c, d), of length one."""
        return cls(x, y, x.astype(np.float32) @ y.astype(np.float32).T)

    def rivals(self, right: Array) -> NDArray[np.bool_]:
        """Tell which pairs (b, c) are at least as similar as the right one, (b, 1) or (1, c)."""
        margin = (self.x.shape[1] + 16) * np.finfo(np.float32).eps / 2
        rivals: NDArray[np.bool_] = self.similarity >= (right + margin).astype(np.float32)
        close = self.similarity >= (right - margin).astype(np.float32)
        close ^= rivals
        i, j = np.divmod(np.flatnonzero(close), close.shape[1])
        if len(i) > _MANY * close.size:
            exact = _rivals(self.x @ self.y.T, right)
            rivals[i, j] = exact[i, j]
            return rivals
        limits = np.broadcast_to(right, close.shape)
        for some in blocks(len(i), _PAIRS):
            one, two = i[some], j[some]
            exact = np.einsum("pd,pd->p", self.x[one], self.y[two])
            rivals[one, two] = _rivals(exact, limits[one, two])
        return rivals


def _rivals(similarity: Array, right: Array | float) -> NDArray[np.bool_]:
    # Equal vectors give products that differ in the last bits, by the block they are made in.
    rivals: NDArray[np.bool_] = similarity >= right - 1e-12
    return rivals


def _paired(
    images: ArrayLike, captions: ArrayLike, owner: ArrayLike | None
) -> tuple[Array, Array, NDArray[np.intp], NDArray[np.intp]]:
    """Vectors of length one, and the row of the image and of the caption of each pair."""
    x, y = as_vectors(images, "images"), as_vectors(captions, "captions")
    require_same_dimension(x, "images", y, "captions")
    if owner is None or np.ndim(owner) != 2:
        image = as_owner(owner, len(x), len(y), "images", "captions")
        caption = np.arange(len(y))
    else:
        pairs = np.asarray(owner)
        if pairs.shape[1] != 2:
            raise InputError(f"pairs are of an image and a caption (p, 2), not {pairs.shape}")
        image = as_owner(pairs[:, 0], len(x), len(pairs), "images", "pairs")
        caption = as_owner(pairs[:, 1], len(y), len(pairs), "captions", "pairs")
        if len(np.unique(image * len(y) + caption)) < len(pairs):
            raise InputError("an image and a caption are paired twice")
    return unit(x, "images"), unit(y, "captions"), image, caption


def _grouped(image: NDArray[np.intp], caption: NDArray[np.intp], n: int) -> list[NDArray[np.intp]]:
    """The captions of each image, ascending."""
    order = np.lexsort((caption, image))
    return np.split(caption[order], np.cumsum(np.bincount(image, minlength=n))[:-1])


def _draw(
    rng: np.random.Generator, m: int, own: NDArray[np.intp], number: int
) -> NDArray[np.int64]:
    """`number` different ones of m captions, none of them among `own` (ascending)."""
    drawn = rng.choice(m - len(own), number, replace=False, shuffle=False)
    for caption in own:  # step over them
        drawn += drawn >= caption
    return drawn
