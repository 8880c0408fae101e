"""The Inception score (Salimans et al., NeurIPS 2016)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmdmetric.errors import InputError
from cmdmetric.metrics.vectors import Array, as_vectors

#: As published.
SPLITS = 10


class InceptionScore(NamedTuple):
    """As published: the mean over the splits, and their standard deviation."""

    mean: float
    std: float


def inception_score(logits: ArrayLike, *, splits: int = SPLITS, seed: int = 2020) -> InceptionScore:
    """exp of the mean KL(p(y|x) || p(y)); from 1 to the number of classes, higher is better.

    logits (n, classes) are Inception's, without the bias of its last layer, as in the original.
    They are shuffled, cut into `splits` and scored in each; the default seed shuffles as
    torch-fidelity does.

    Raises:
        InputError: There are fewer images than splits.
    """
    scores = [float(np.exp(each.mean())) for _, each in _splits(logits, splits, seed)]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def inception_score_influence(
    logits: ArrayLike, *, splits: int = SPLITS, seed: int = 2020
) -> Array:
    """What each image does to the mean over the splits: (n,), with mean zero. Arguments as there.

    A change of p(y) moves the score of a split to second order only, so that an image's influence
    there is the score times the image's own divergence, less the mean.
    """
    influence = np.empty(len(np.asarray(logits)))
    for rows, divergences in _splits(logits, splits, seed):
        mean = divergences.mean()
        influence[rows] = np.exp(mean) * (divergences - mean)
    return influence


def _splits(logits: ArrayLike, splits: int, seed: int) -> Iterator[tuple[NDArray[np.intp], Array]]:
    """The rows of each split, with their KL(p(y|x) || p(y))."""
    if splits < 1:
        raise InputError(f"the Inception score over {splits} splits: it takes at least 1")
    x = as_vectors(logits, "logits", at_least=splits)
    n = len(x)
    order = np.random.RandomState(seed).permutation(n)
    from scipy.special import log_softmax, logsumexp

    log_p = log_softmax(x, axis=1)
    for i in range(splits):
        rows = order[i * n // splits : (i + 1) * n // splits]
        part = log_p[rows]
        log_q = logsumexp(part, axis=0) - np.log(len(part))
        yield rows, (np.exp(part) * (part - log_q)).sum(axis=1)
