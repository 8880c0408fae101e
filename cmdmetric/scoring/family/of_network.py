"""The metrics of images alone under any network beside CLIP: DINOv2's, and those of timm."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from cmdmetric.scoring.family.distances import (
    MIND,
    frechet,
    frechet_together,
    mind_of,
    mind_together,
)
from cmdmetric.scoring.family.diversity import PRDC, VENDI
from cmdmetric.scoring.family.kernels import KID, kid_of, kid_together
from cmdmetric.scoring.family.metric import Better, Given, Metric
from cmdmetric.uncertainty import Measured

#: DINOv2's name among the networks.
DINOV2 = "dinov2"
#: What a distance of a network's features cites beside the network.
_FD = "stein2023exposing"


@functools.cache
def metrics_of(network: str) -> tuple[Metric, ...]:
    """Declare the metrics of a network: their names, and those of their numbers, end with its own.

    >>> [metric.name for metric in metrics_of("dinov2")]
    ['fd_dinov2', 'kid_dinov2', 'mind_dinov2', 'prdc_dinov2', 'vendi_dinov2']
    """
    fd, kid, mind = (f"{name}_{network}" for name in ("fd", "kid", "mind"))
    return (
        Metric(
            fd,
            {fd: "lower"},
            functools.partial(frechet, network),
            network=network,
            named_only=True,
            exchanged=functools.partial(frechet_together, network),
            cites=(_FD,),
        ),
        Metric(
            kid,
            {kid: "lower"},
            functools.partial(kid_of, network),
            network=network,
            named_only=True,
            exchanged=functools.partial(kid_together, network),
            unbiased=(kid,),
            parameters=KID.parameters,
            cites=(*KID.cites, _FD),
        ),
        Metric(
            mind,
            {mind: "lower"},
            functools.partial(mind_of, network),
            network=network,
            named_only=True,
            exchanged=functools.partial(mind_together, network),
            parameters=MIND.parameters,
            cites=(*MIND.cites, _FD),
        ),
        _through(network, PRDC),
        _through(network, VENDI),
    )


def base_of(number: str, network: str) -> str:
    """What a number of a network is called without the network.

    >>> base_of("fd_dinov2", "dinov2")
    'fd'
    """
    return number.removesuffix(f"_{network}")


def _through(network: str, metric: Metric) -> Metric:
    """Declare a metric of CLIP's image features as one of another network's."""
    values: Mapping[str, Better | None] = {
        f"{name}_{network}": better for name, better in metric.values.items()
    }

    def compute(given: Given) -> Sequence[Measured]:
        return metric.compute(given.through(network))

    return Metric(
        f"{metric.name}_{network}",
        values,
        compute,
        network=network,
        named_only=True,
        without_real=metric.without_real,
        by_halves=metric.by_halves,
        parameters=metric.parameters,
        cites=metric.cites,
    )
