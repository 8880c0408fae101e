"""Precision, recall, density, coverage; and the Vendi score."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from cmdmetric.metrics import NEIGHBOURS, vendi_influence
from cmdmetric.scoring.family.metric import Given, Metric
from cmdmetric.uncertainty import EXCEPTIONS, Measured


def precision_to_coverage(given: Given, k: int = NEIGHBOURS) -> list[Measured]:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    An image reaches as far as its k-th nearest neighbour. Their error bars are those of halves of
    the sets, or of smaller sections where even these are large.
    """
    (found, *divided), divisions = given.reached(k)
    each = (found.generated > 0).astype(np.float64), None, found.generated / k, None
    numbers = [
        Measured(value, bias=None, of_images=own)
        for value, own in zip(found.scores(k), each, strict=True)
    ]
    if not divided:
        return numbers
    near = found.generated > 0, found.real, None, found.reaching
    few = [x is not None and min(x.sum(), len(x) - x.sum()) < EXCEPTIONS for x in near]
    values = np.array([
        [of.within(of_f == part, of_r == part).scores(k) for part in range(int(of_f.max()) + 1)]
        for of, (of_f, of_r) in zip(divided, divisions, strict=True)
    ])  # fmt: skip
    return [of if few[i] else replace(of, sections=values[..., i]) for i, of in enumerate(numbers)]


PRDC = Metric(
    "prdc",
    {"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"},
    precision_to_coverage,
    parameters={"k": str(NEIGHBOURS)},
    by_halves=True,
    cites=("kynkaanniemi2019precision", "naeem2020prdc"),
)


#: The neighbour of the first paper, and of torch-fidelity.
_FIRST = 3
PRDC_K3 = Metric(
    f"prdc:k{_FIRST}",
    {f"{name}_k{_FIRST}": better for name, better in PRDC.values.items()},
    partial(precision_to_coverage, k=_FIRST),
    named_only=True,
    parameters={"k": str(_FIRST)},
    by_halves=True,
    cites=PRDC.cites,
)


#: Of fewer images the Vendi score's error bar is a tenth too small.
_FEWEST = 100


def vendi(given: Given) -> list[Measured]:
    """The Vendi score (Friedman and Dieng 2023) of the generated images."""
    f = given.features("f")
    found = vendi_influence(f)
    shares = {"f": found.of_images / len(f)} if len(f) >= _FEWEST else {}
    return [Measured(found.score, shares, bias=None)]


VENDI = Metric(
    "vendi",
    {"vendi": "higher"},
    vendi,
    without_real=True,
    parameters={"kernel": "cosine", "order": "1"},
    cites=("friedman2023vendi",),
)
