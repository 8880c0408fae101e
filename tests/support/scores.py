"""When two scores of the same images count as one number, and what a metric gives by its name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cmdmetric import CMDScore
from cmdmetric.scoring import fields_of
from cmdmetric.scoring.family.catalogue import METRICS, measure as measure_metric
from cmdmetric.scoring.family.metric import Given
from cmdmetric.uncertainty import Measured


def same_numbers(a: CMDScore, b: CMDScore, rel: float) -> bool:
    """Whether all distances agree to `rel`, as float32 features of other batches do to 1e-6.

    ITDis, and CMD with it, is the difference of two distances to the captions: it is off by as much
    as they are, however small it is itself.
    """
    distances = all(
        getattr(a, name) == pytest.approx(getattr(b, name), rel=rel, abs=rel)
        for name in ("dis_fr", "dis_fl", "dis_rl")
    )
    return distances and all(
        getattr(a, name) == pytest.approx(getattr(b, name), rel=rel, abs=rel * b.dis_rl)
        for name in ("cmd", "itdis")
    )


def printed(text: str) -> Any:
    """A score as a command printed it, without the second in which it was made.

    Two runs that begin in one second and end in the next differ in that alone.
    """
    found = json.loads(text)
    del found["run"]["date"]
    return found


def setting_in(signature: str) -> dict[str, str]:
    """What a score is made with and of how many, without the digests of what it is of.

    A metric that keeps sums alone does not know what it has seen.
    """
    fields = fields_of(signature)
    keys = ("proto", "model", "f", "r", "l", "dtype", "tok", "v")
    return {key: fields[key].partition("@")[0] if key in "frl" else fields[key] for key in keys}


def same_setting(a: CMDScore, b: CMDScore) -> bool:
    """Whether two scores are made alike, of sets of the same numbers."""
    return setting_in(a.signature) == setting_in(b.signature)


def measure(name: str, given: Given) -> dict[str, Measured]:
    """The numbers of a metric by its name."""
    return measure_metric(METRICS[name], given)
