"""What Inception gives metrics to be made of, and the Inception score."""

from __future__ import annotations

from cmdmetric.encoders import InceptionFeatures
from cmdmetric.metrics import SPLITS, inception_score as score_of_logits, inception_score_influence
from cmdmetric.scoring.family.metric import Features, Given, Metric
from cmdmetric.uncertainty import Measured

#: Inception's name among the networks.
INCEPTION = "inception"
#: Images of a split that tell a standard error: so many were simulated.
_FEWEST = 20


def vectors(network: str, rows: Features) -> Features:
    """Give the features (n, d) that distances are made of, of all that a network has made.

    Of Inception that are the pooled ones (n, 2048), without the logits.
    """
    return InceptionFeatures.of_rows(rows).pool if network == INCEPTION else rows


def inception_score(given: Given) -> list[Measured]:
    """The Inception score (Salimans et al. 2016): its mean and its deviation over splits."""
    logits = InceptionFeatures.of_rows(given.seen_by(INCEPTION)).logits
    found = score_of_logits(logits)
    if len(logits) < _FEWEST * SPLITS:
        return [Measured(found.mean, bias=None), Measured(found.std, bias=None)]
    shares = inception_score_influence(logits) / len(logits)
    return [Measured(found.mean, {"f": shares}, bias=None), Measured(found.std, bias=None)]


INCEPTION_SCORE = Metric(
    "is",
    {"is": "higher", "is_std": "lower"},
    inception_score,
    network=INCEPTION,
    without_real=True,
    parameters={"splits": str(SPLITS)},
    cites=("salimans2016improved",),
)
