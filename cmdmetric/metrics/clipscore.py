"""CLIPScore and RefCLIPScore (Hessel et al., EMNLP 2021): does this image fit this caption?

The paper scores captions of given images; a text-to-image model is scored by the same number, the
caption given and the image new. Captions are to be encoded as the score's protocol says; the
paper's own setting puts "A photo depicts " before each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cmdmetric.metrics.vectors import (
    Array,
    as_owner,
    as_vectors,
    require_pairs,
    require_same_dimension,
    unit,
)

#: The w of the paper, which stretches the cosines of ViT-B/32 to about 0 to 1.
WEIGHT = 2.5


def pair_cosines(images: ArrayLike, captions: ArrayLike) -> Array:
    """cos(image, caption) for each pair: (n,), from -1 to 1.

    images and captions are features (n, d), row i of one belonging to row i of the other.

    >>> pair_cosines([[2.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [-1.0, 0.0]])
    array([ 1., -1.])

    Raises:
        InputError: The rows are not pairs, or a vector is zero and has no direction.
    """
    return np.asarray(np.einsum("nd,nd->n", *_pairs(images, captions)))


def clip_scores(images: ArrayLike, captions: ArrayLike) -> Array:
    """w max(cos(image, caption), 0) with w = 2.5, for each pair: (n,), from 0 to 2.5.

    images and captions are features (n, d), row i of one belonging to row i of the other; their
    lengths do not matter.

    >>> clip_scores([[2.0, 0.0], [1.0, 1.0]], [[1.0, 0.0], [-1.0, 0.0]])
    array([2.5, 0. ])

    Raises:
        InputError: The rows are not pairs, or a vector is zero and has no direction.
    """
    return WEIGHT * np.clip(pair_cosines(images, captions), 0, 1)


def clipscore(images: ArrayLike, captions: ArrayLike) -> float:
    """The mean of `clip_scores`; higher is better."""
    return float(clip_scores(images, captions).mean())


def ref_clip_scores(
    images: ArrayLike,
    captions: ArrayLike,
    references: ArrayLike,
    owner: ArrayLike | None = None,
) -> Array:
    """The harmonic mean of CLIPScore and of max(max over references cos(caption, reference), 0).

    images and captions (n, d) are pairs; references (m, d) are further captions of the images,
    owner (m,) the row that each belongs to (by default row i to row i). Returns (n,), from 0 to
    10/7.

    Raises:
        InputError: The rows are not pairs, a vector is zero and has no direction, or a pair has no
            reference.
    """
    x, y = _pairs(images, captions)
    r = unit(as_vectors(references, "references"), "references")
    require_same_dimension(y, "captions", r, "references")
    rows = as_owner(owner, len(y), len(r), "captions", "references")
    nearest = np.zeros(len(y))
    np.maximum.at(nearest, rows, np.clip(np.einsum("nd,nd->n", y[rows], r), 0, 1))
    scores = WEIGHT * np.clip(np.einsum("nd,nd->n", x, y), 0, 1)
    total = scores + nearest
    return np.divide(2 * scores * nearest, total, out=np.zeros_like(total), where=total > 0)


def ref_clipscore(
    images: ArrayLike,
    captions: ArrayLike,
    references: ArrayLike,
    owner: ArrayLike | None = None,
) -> float:
    """The mean of `ref_clip_scores`; higher is better."""
    return float(ref_clip_scores(images, captions, references, owner).mean())


def _pairs(images: ArrayLike, captions: ArrayLike) -> tuple[Array, Array]:
    x, y = as_vectors(images, "images"), as_vectors(captions, "captions")
    require_same_dimension(x, "images", y, "captions")
    require_pairs(x, "images", y, "captions")
    return unit(x, "images"), unit(y, "captions")
