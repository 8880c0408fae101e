"""How alike images and their own captions are, by the encoder's cosine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmdmetric.files import release
from cmdmetric.metrics import BLOCK, blocks, unit
from cmdmetric.report.data import Array, Similarity
from cmdmetric.scoring import Side, caption_rows


def _owners(images: Side, l: Side) -> list[list[int]] | None:
    """Find the rows of each image's own captions; None where there are none, or no features."""
    if not images.has_features or not l.has_features:
        return None
    found = caption_rows(images, l)
    return found if any(found) else None


def why_unpaired(f: Side, l: Side) -> str:
    """Say why there are no similarities to show."""
    if not f.has_features or not l.has_features:
        return "It takes the features of generated images and captions, not their moments."
    return "No generated image has a caption of its own by name."


def similarity(f: Side, r: Side, l: Side) -> Similarity | None:
    """Compute the cosines of images with their own captions; None without pairs."""
    own = _owners(f, l)
    if own is None:
        return None
    values, rows = _own_cosines(f, l, own)
    if len(rows) < 2:
        return None
    real = _owners(r, l)
    # Each image with the first caption of the paired image before it, unless that is its own too.
    other = np.roll(np.array([own[i][0] for i in rows]), 1)
    apart = np.array([o not in own[i] for i, o in zip(rows, other, strict=True)])
    return Similarity(
        values,
        rows,
        None if real is None else _own_cosines(r, l, real)[0],
        _cosines(f, l, rows[apart], other[apart]),
    )


def _own_cosines(
    images: Side,
    l: Side,
    owners: list[list[int]],
) -> tuple[Array, NDArray[np.intp]]:
    """(m,) the mean cosine of each paired image with its captions, and which images these are."""
    counts = np.array([len(own) for own in owners])
    rows = np.repeat(np.arange(len(owners)), counts)
    found = _cosines(images, l, rows, np.concatenate([own for own in owners if own]))
    paired = np.flatnonzero(counts)
    return np.bincount(rows, found, minlength=len(owners))[paired] / counts[paired], paired


def _cosines(images: Side, l: Side, rows: NDArray[np.intp], texts: NDArray[np.intp]) -> Array:
    """(k,) the cosine of image rows[i] with caption texts[i]."""
    assert images.features is not None and l.features is not None
    of_images, of_texts = np.asanyarray(images.features), np.asanyarray(l.features)
    found = np.empty(len(rows))
    for part in blocks(len(rows), 8 * BLOCK):
        x = unit(np.asarray(of_images[rows[part]], dtype=np.float64), "images")
        y = unit(np.asarray(of_texts[texts[part]], dtype=np.float64), "captions")
        found[part] = np.einsum("nd,nd->n", x, y)
        release(of_texts)
    return found
