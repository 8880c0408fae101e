"""All metrics of the family by name. docs/metrics.md has a paragraph on each.

CMD, ITDis and the distances they are made of are part of every score and need not be asked for.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from cmdmetric.errors import InputError
from cmdmetric.metrics import QUANTITIES
from cmdmetric.scoring.family.conditional import CLIP_CFID
from cmdmetric.scoring.family.distances import CLIP_MIND, FID, FJD, MIND
from cmdmetric.scoring.family.diversity import PRDC, PRDC_K3, VENDI
from cmdmetric.scoring.family.inception import INCEPTION_SCORE
from cmdmetric.scoring.family.kernels import CLIP_KID, CMMD, CMMD_PUBLISHED, KID
from cmdmetric.scoring.family.metric import Given, Metric, Unavailable
from cmdmetric.scoring.family.of_network import DINOV2, metrics_of
from cmdmetric.scoring.family.pairs import (
    CLIP_COSINE,
    CLIPSCORE,
    CLIPSCORE_HESSEL,
    R_PRECISION,
    RECALL_AT_K,
    REF_CLIPSCORE,
)
from cmdmetric.uncertainty import Measured, Value, number_of_draws

#: The metrics by name, in the order in which they are shown.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        CLIPSCORE,
        CLIP_COSINE,
        REF_CLIPSCORE,
        R_PRECISION,
        RECALL_AT_K,
        FJD,
        CMMD,
        CLIP_KID,
        PRDC,
        VENDI,
        FID,
        KID,
        INCEPTION_SCORE,
        *metrics_of(DINOV2),
        CLIPSCORE_HESSEL,
        CMMD_PUBLISHED,
        PRDC_K3,
        MIND,
        CLIP_MIND,
        CLIP_CFID,
    )
}

#: What other tools call some of them.
ALIASES = {"isc": "is", "prc": "prdc"}
#: What is asked for by names that are no metrics here, and what comes nearest.
_NEAREST = {"cfred": "clip_cfid", "cfid": "clip_cfid", "inception_score": "is", "mmd": "cmmd"}

#: The metric that each number of the family is of.
METRIC_OF: dict[str, Metric] = {
    value: metric for metric in METRICS.values() for value in metric.values
}


def metric_of(number: str, network: str | None) -> Metric | None:
    """Find the metric that a number of the family is of.

    Args:
        number: Its name.
        network: The network beside CLIP that it is made with, where that is known.

    Returns:
        The metric; None for a number that others have computed, or a metric of another release.
    """
    known = METRIC_OF.get(number)
    if known is not None or network is None or not number.endswith(f"_{network}"):
        return known
    return next((each for each in metrics_of(network) if number in each.values), None)


def value_of(number: str, stored: Mapping[str, Any], *, single: bool) -> Value:
    """Read a number of a stored score.

    Which way it is better and what it is made of was not stored by older releases: that is taken
    from the catalogue.

    Args:
        number: Its name.
        stored: Its value, its standard error, and what else JSON has of it.
        single: Whether each generated image of the score is a draw of its own.

    Raises:
        KeyError, TypeError, ValueError: It has no value, or not of the type that it has.
    """
    better, network = stored.get("better"), stored.get("network")
    error, low, high = (_number(stored.get(key)) for key in ("standard_error", "low", "high"))
    unbiased = bool(stored.get("unbiased"))
    metric = metric_of(number, None if network is None else str(network))
    if "better" not in stored and metric is not None:
        better, network = metric.values[number], metric.network
        unbiased = number in metric.unbiased and (single or metric.is_mean)
    return Value(
        float(stored["value"]),
        error,
        better if better in ("lower", "higher") else None,
        unbiased,
        None if network is None else str(network),
        low,
        high,
    )


def _number(stored: Any) -> float | None:
    return None if stored is None else float(stored)


def metrics_named(metrics: str | Iterable[str]) -> tuple[tuple[Metric, ...], bool]:
    """Find the metrics that are named in "fid,clipscore" or in a list.

    Returns:
        Each of them once, in the order of `METRICS`, and whether "all" was asked for, of which
        those are a part that need not be named.

    Raises:
        InputError: There is no metric of such a name; the message has the nearest one. Or what was
            given are no names.
    """
    if isinstance(metrics, str):
        metrics = [name.strip() for name in metrics.split(",") if name.strip()]
    names = list(metrics) if isinstance(metrics, Iterable) else [metrics]
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"metrics is {metrics!r}: it is 'fid,clipscore', a list of such names, "
                         "or 'all'")  # fmt: skip
    lower = (name.lower() for name in names)
    wanted = dict.fromkeys(ALIASES.get(name, name) for name in lower)
    if "all" in wanted:
        found = [each for name, each in METRICS.items() if not each.named_only or name in wanted]
        return tuple(found), True
    for name in wanted:
        if name not in METRICS and name not in QUANTITIES:
            known = [_NEAREST[name]] if name in _NEAREST else []
            near = known or difflib.get_close_matches(name, METRICS, 1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise InputError(
                f"no metric {name!r}{hint} There is {', '.join((*QUANTITIES, *METRICS))}, or all"
            )
    return tuple(metric for name, metric in METRICS.items() if name in wanted), False


def share_a_pass(metrics: Iterable[Metric]) -> bool:
    """Whether some are made of the cosines of all pairs of images, and one of their distances."""
    names = {metric.name for metric in metrics}
    return {PRDC.name, CLIP_KID.name} <= names


def measure(metric: Metric, given: Given) -> dict[str, Measured]:
    """Compute a metric.

    Returns:
        Its numbers by the names in `Metric.values`.

    Raises:
        Unavailable: Something that the metric takes is missing; the message says what.
    """
    n = given.f.moments.n
    try:
        numbers = metric.compute(given)
        sizes = (n, number_of_draws(n, given.groups.get("f")))
        sized = [number if number.sizes else replace(number, sizes=sizes) for number in numbers]
        return dict(zip(metric.values, sized, strict=True))
    except InputError as error:
        raise Unavailable(f"{metric.name}: {error}") from None
