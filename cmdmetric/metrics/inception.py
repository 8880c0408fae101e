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
    scores = [float(np.exp((own.sum() - _joint(p.sum(axis=0))) / len(own)))
              for _, p, own in _splits(logits, splits, seed)]  # fmt: skip
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def inception_score_influence(
    logits: ArrayLike, *, splits: int = SPLITS, seed: int = 2020
) -> Array:
    """What each image does to the mean over the splits: (n,), with mean zero. Arguments as there.

    It is what the score of its split loses without the image, times the other images there (the
    jackknife). The derivative alone, the score times the image's own divergence, knows nothing of
    the noise of p(y), which a split of few images for many classes does not know: the error bar of
    it is up to 40 % too small. This one is right there, and too large by up to a third
    in splits of 20 images.

    Raises:
        InputError: There are fewer than two images a split.
    """
    influence = np.empty(len(np.asarray(logits)))
    for rows, p, own in _splits(logits, splits, seed):
        left = len(rows) - 1
        if not left:
            raise InputError("the error of the Inception score takes two images a split or more")
        without = _joint(np.maximum(p.sum(axis=0) - p, 0.0))
        scores = np.exp((own.sum() - own - without) / left)
        influence[rows] = left * (scores.mean() - scores)
    return influence


def _joint(sums: Array) -> Array:
    """n times the mean log p(y) under p(y), of sums (..., classes) of p(y|x) over n images."""
    from scipy.special import xlogy

    n = sums.sum(axis=-1)
    found: Array = xlogy(sums, sums).sum(axis=-1) - xlogy(n, n)
    return found


def _splits(
    logits: ArrayLike, splits: int, seed: int
) -> Iterator[tuple[NDArray[np.intp], Array, Array]]:
    """The rows of each split, their p(y|x), and the mean of log p(y|x) under it of each row."""
    if splits < 1:
        raise InputError(f"the Inception score over {splits} splits: it takes at least 1")
    x = as_vectors(logits, "logits", at_least=splits)
    n = len(x)
    order = np.random.RandomState(seed).permutation(n)
    from scipy.special import log_softmax

    log_p = log_softmax(x, axis=1)
    for i in range(splits):
        rows = order[i * n // splits : (i + 1) * n // splits]
        p = np.exp(log_p[rows])
        yield rows, p, (p * log_p[rows]).sum(axis=1)
