"""The scores of the paper from three sets of moments: f generated, r real, l captions."""

from __future__ import annotations

from typing import NamedTuple

from cmdmetric.metrics.frechet import frechet_distance
from cmdmetric.metrics.moments import Moments

#: What every score is made of, CMD first, by the names of its numbers, and how people write them.
QUANTITIES = {
    "cmd": "CMD",
    "itdis": "ITDis",
    "dis_fr": "Dis(f,r)",
    "dis_fl": "Dis(f,l)",
    "dis_rl": "Dis(r,l)",
}


class CrossModelDistance(NamedTuple):
    """The three Fréchet distances that the scores are made of, and the scores."""

    dis_fr: float
    dis_fl: float
    dis_rl: float

    @property
    def itdis(self) -> float:
        """ITDis = |Dis(f, l) - Dis(r, l)| (Eq. 10): image-text consistency."""
        return abs(self.dis_fl - self.dis_rl)

    @property
    def cmd(self) -> float:
        """CMD = Dis(f, r) + ITDis (Eq. 11): quality and consistency.

        Eq. 12 writes it out by cases. Where Dis(f, l) > Dis(r, l) it equals this; the other case
        does once its first covariance term is read as Tr(cov_r ...), which is misprinted there.
        """
        return self.dis_fr + self.itdis


def cross_model_distance(f: Moments, r: Moments, l: Moments) -> CrossModelDistance:
    """The distances of generated images f, real images r and captions l; lower is better.

    Raises:
        InputError: The dimensions differ, a set has fewer than 2 samples, or sets were made
            differently.
    """
    return CrossModelDistance(
        dis_fr=frechet_distance(f, r),
        dis_fl=frechet_distance(f, l),
        dis_rl=frechet_distance(r, l),
    )
