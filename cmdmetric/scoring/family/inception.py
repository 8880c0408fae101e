"""The Inception score."""

from __future__ import annotations

from cmdmetric.metrics import SPLITS, inception_score as score_of_logits, inception_score_influence
from cmdmetric.scoring.family.metric import Given, Metric
from cmdmetric.uncertainty import Measured


def inception_score(given: Given) -> list[Measured]:
    """The Inception score (Salimans et al. 2016): its mean and its deviation over splits."""
    logits = given.seen_by_inception().logits
    found = score_of_logits(logits)
    if len(logits) < 2 * SPLITS:  # one image in a split says nothing of their spread
        return [Measured(found.mean, bias=None), Measured(found.std, bias=None)]
    shares = inception_score_influence(logits) / len(logits)
    return [Measured(found.mean, {"f": shares}, bias=None), Measured(found.std, bias=None)]


INCEPTION_SCORE = Metric("is", {"is": "higher", "is_std": "lower"}, inception_score, inception=True)
