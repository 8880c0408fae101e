"""The metrics of images alone under any network beside CLIP: DINOv2's, and those of timm."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from cmdmetric.scoring.family.distances import (
    FID,
    MIND,
    frechet,
    frechet_together,
    mind_of,
    mind_together,
)
from cmdmetric.scoring.family.diversity import PRDC, VENDI
from cmdmetric.scoring.family.kernels import KID, kid_of, kid_together
from cmdmetric.scoring.family.metric import Better, Given, Metric
from cmdmetric.uncertainty import Array, Measured

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
    return (
        # What FID's paper is cited for is Inception.
        _distance(network, replace(FID, name="fd", cites=()), frechet, frechet_together),
        _distance(network, KID, kid_of, kid_together),
        _distance(network, MIND, mind_of, mind_together),
        _through(network, PRDC),
        _through(network, VENDI),
    )


def base_of(number: str, network: str) -> str:
    """What a number of a network is called without the network.

    >>> base_of("fd_dinov2", "dinov2")
    'fd'
    """
    return number.removesuffix(f"_{network}")


def _distance(
    network: str,
    metric: Metric,
    compute: Callable[[str, Given], Sequence[Measured]],
    together: Callable[[str, Given, Given], tuple[Array, Array]],
) -> Metric:
    """Declare a distance of Inception's features as one of another network's."""
    name = f"{metric.name}_{network}"
    return replace(
        metric,
        name=name,
        values={name: "lower"},
        compute=functools.partial(compute, network),
        network=network,
        named_only=True,
        exchanged=functools.partial(together, network),
        unbiased=(name,) if metric.unbiased else (),
        cites=(*metric.cites, _FD),
    )


def _through(network: str, metric: Metric) -> Metric:
    """Declare a metric of CLIP's image features as one of another network's."""
    values: Mapping[str, Better | None] = {
        f"{name}_{network}": better for name, better in metric.values.items()
    }

    def compute(given: Given) -> Sequence[Measured]:
        return metric.compute(given.through(network))

    return replace(
        metric,
        name=f"{metric.name}_{network}",
        values=values,
        compute=compute,
        network=network,
        named_only=True,
    )
