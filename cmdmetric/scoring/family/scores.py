"""Numbers of single images that others have computed, as metrics: their mean over the images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import get_args

import numpy as np

from cmdmetric.errors import InputError
from cmdmetric.inputs import ImageScores, normal_name
from cmdmetric.metrics import QUANTITIES
from cmdmetric.scoring.family.catalogue import METRIC_OF
from cmdmetric.scoring.family.metric import Better, Given, Metric
from cmdmetric.uncertainty import Measured


def directions(
    columns: str | Iterable[str] | Mapping[str, str | None],
) -> dict[str, Better | None]:
    """Read which columns of scores are wanted, and which way each is better.

    Args:
        columns: "hps=higher,lpips=lower,rating", a list of such words, or a mapping.

    Returns:
        By the columns' names "lower" or "higher"; None where that is not said.

    Raises:
        InputError: Another word stands behind a name.

    >>> directions("HPS v2=higher,rating")
    {'HPS v2': 'higher', 'rating': None}
    """
    if isinstance(columns, str):
        columns = [word for word in columns.split(",") if word.strip()]
    if not isinstance(columns, Mapping):
        parts = [word.partition("=") for word in columns]
        columns = {name: way if equals else None for name, equals, way in parts}
    found: dict[str, Better | None] = {}
    for name, way in columns.items():
        said = None if way is None else str(way).strip().lower()
        if said == "lower":
            found[name.strip()] = "lower"
        elif said == "higher":
            found[name.strip()] = "higher"
        elif said is None:
            found[name.strip()] = None
        else:
            raise InputError(
                f"the column {name.strip()!r} is said to be better {way!r}: it is "
                f"{' or '.join(get_args(Better))}, as in {name.strip()}=higher"
            )
    return found


def refuse_taken_names(scores: ImageScores, metrics: Iterable[Metric]) -> None:
    """Refuse columns that are called like a number of ours.

    Args:
        scores: The columns.
        metrics: Those that are computed beside them.

    Raises:
        InputError: One is.
    """
    ours = {*METRIC_OF, *QUANTITIES, *(name for metric in metrics for name in metric.values)}
    taken = [name for name in scores.values if name in ours]
    if taken:
        raise InputError(
            f"{scores.source}: the column {taken[0]!r} has the name of a number that is computed "
            "here: rename it, or name the columns to take (--score-columns)"
        )


def metrics_of_scores(
    names: Iterable[str], better: Mapping[str, Better | None]
) -> tuple[Metric, ...]:
    """Declare the numbers of scores as metrics, whose names are theirs.

    Args:
        names: The numbers, as in `Side.scores`.
        better: Which way columns are better, by their names as the user wrote them.
    """
    ways = {normal_name(column): way for column, way in better.items()}
    return tuple(
        Metric(name, {name: ways.get(name)}, partial(_mean, name), is_mean=True, unbiased=(name,))
        for name in names
    )


def _mean(name: str, given: Given) -> list[Measured]:
    """Take the mean over the generated images; images of one caption are one draw."""
    scores = given.f.scores[name]
    mean, n = float(scores.mean()), len(scores)
    shares = {"f": (scores - mean) / n}
    return [Measured(mean, shares, is_mean=True, weights=np.full(n, 1 / n))]
