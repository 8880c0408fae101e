"""Precision, recall, density, coverage; and the Vendi score."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from cmdmetric.metrics import NEIGHBOURS, reached, vendi_influence
from cmdmetric.scoring.family.metric import Given, Metric
from cmdmetric.uncertainty import Drawn, Measured, sections

#: Precision to coverage get their error bars from so many sections, of so many images.
_SECTIONS, _SMALLEST, _LARGEST = 16, 20, 5000


def precision_to_coverage(given: Given, k: int = NEIGHBOURS) -> list[Measured]:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    An image reaches as far as its k-th nearest neighbour. Their error bars are those of halves of
    the sets, or of smaller sections where even these are large.
    """
    f, r = given.features("f"), given.features("r")
    most = min(len(f), len(r)) // _SMALLEST
    # By the real images, so that generators of about as many images are parted alike.
    parts = max(2, min(most, len(r) // _LARGEST))
    sides = [Drawn(len(side), given.groups.get(name)) for name, side in (("f", f), ("r", r))]
    divisions = []
    for seed in range(-(-_SECTIONS // parts) if most >= 2 else 0):
        of_f, of_r = (sections(side, parts, seed) for side in sides)
        divisions.append((of_f, of_r))
        smallest = min(np.bincount(of, minlength=parts).min() for of in (of_f, of_r))
        if smallest <= k:  # a few draws that hold most images
            divisions = []
            break
    found, *divided = reached(f, r, divisions, k=k)
    each = (found.generated > 0).astype(np.float64), None, found.generated / k, None
    numbers = [
        Measured(value, bias=None, of_images=own)
        for value, own in zip(found.scores(k), each, strict=True)
    ]
    if not divided:
        return numbers
    values = np.array([
        [of.within(of_f == part, of_r == part).scores(k) for part in range(parts)]
        for of, (of_f, of_r) in zip(divided, divisions, strict=True)
    ])  # fmt: skip
    return [replace(of, sections=values[..., i]) for i, of in enumerate(numbers)]


PRDC = Metric(
    "prdc",
    {"precision": "higher", "recall": "higher", "density": "higher", "coverage": "higher"},
    precision_to_coverage,
    parameters={"k": str(NEIGHBOURS)},
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
    cites=PRDC.cites,
)


def vendi(given: Given) -> list[Measured]:
    """The Vendi score (Friedman and Dieng 2023) of the generated images."""
    f = given.features("f")
    # Two images move it alike whatever they are: that tells no error.
    found = vendi_influence(f)
    shares = {"f": found.of_images / len(f)} if len(f) > 2 else {}
    return [Measured(found.score, shares, bias=None)]


VENDI = Metric(
    "vendi",
    {"vendi": "higher"},
    vendi,
    without_real=True,
    parameters={"kernel": "cosine", "order": "1"},
    cites=("friedman2023vendi",),
)
