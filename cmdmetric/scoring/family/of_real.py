"""What real images score in place of the generated ones, where that is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from cmdmetric.cache import FeatureCache, remembered
from cmdmetric.metrics import Moments
from cmdmetric.scoring.family.catalogue import measure, metric_of
from cmdmetric.scoring.family.computed import digest_of_seen, sources_of
from cmdmetric.scoring.family.metric import Given, Metric, Seen, Unavailable
from cmdmetric.scoring.side import Side


def values_of_real(
    numbers: Collection[str],
    r: Side,
    l: Side,
    seen: Mapping[str, Seen],
    cache: FeatureCache | None = None,
) -> dict[str, float]:
    """Give the numbers of the family for real images in place of the generated ones.

    A metric that takes no real images is computed of them; a distance is zero.

    Args:
        numbers: The names of the numbers.
        r: The real images.
        l: Their captions.
        seen: What networks beside CLIP make of the images, by the networks' names.
        cache: Where numbers are looked up and kept; None computes them.

    Returns:
        The numbers by name, without those that are not known.
    """
    of_real = {
        name: replace(each, f=each.r)
        for name, each in seen.items()
        if each.r is not None and not isinstance(each.r, Moments)
    }
    given = Given(r, r, l, None, of_real)
    found: dict[str, float] = {}
    networks = (None, *seen)
    known = (metric_of(name, network) for name in numbers for network in networks)
    wanted = {metric.name: metric for metric in known if metric is not None}
    made_of = [] if cache is None else sources_of(given)
    for name, metric in wanted.items():
        if metric.exchanged is not None:
            found |= dict.fromkeys(metric.values, 0.0)
        elif metric.without_real:

            def compute(metric: Metric = metric) -> dict[str, float]:
                return {key: float(of.value) for key, of in measure(metric, given).items()}

            sources = [name.encode(), *made_of]
            if cache is not None and metric.network in of_real:
                sources.append(digest_of_seen(of_real[metric.network]))
            try:
                found |= remembered(cache, "family of real images", sources, compute)
            except Unavailable:
                continue
    return {name: found[name] for name in numbers if name in found}
