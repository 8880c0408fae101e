"""The Inception score (Salimans et al., NeurIPS 2016)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_softmax, logsumexp

from cmdmetric.errors import InputError
from cmdmetric.vectors import as_vectors


class InceptionScore(NamedTuple):
    """As published: the mean over the splits, and their standard deviation."""

    mean: float
    std: float


def inception_score(logits: ArrayLike, *, splits: int = 10, seed: int = 2020) -> InceptionScore:
    """exp of the mean KL(p(y|x) || p(y)); from 1 to the number of classes, higher is better.

    logits (n, classes) are Inception's, without the bias of its last layer, as in the original.
    They are shuffled, cut into `splits` and scored in each; the default seed shuffles as
    torch-fidelity does. Raises InputError for fewer images than splits.
    """
    if splits < 1:
        raise InputError(f"the Inception score over {splits} splits: it takes at least 1")
    x = as_vectors(logits, "logits", at_least=splits)
    n = len(x)
    log_p = log_softmax(x[np.random.RandomState(seed).permutation(n)], axis=1)
    scores = []
    for i in range(splits):
        part = log_p[i * n // splits : (i + 1) * n // splits]
        log_q = logsumexp(part, axis=0) - np.log(len(part))
        divergence = (np.exp(part) * (part - log_q)).sum(axis=1).mean()
        scores.append(float(np.exp(divergence)))
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))
