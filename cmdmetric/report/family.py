"""The family's numbers as a page shows them: by what they are of, under their own names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cmdmetric.report.data import Similarity
from cmdmetric.scoring import CMDScore, better
from cmdmetric.uncertainty import Value

#: What the numbers are of, in the order of a page, with the names that papers use.
ASPECTS: dict[str, dict[str, str]] = {
    "Quality": {
        "fid": "FID", "kid": "KID", "clip_kid": "KID of CLIP", "cmmd": "CMMD",
        "cmmd_biased": "CMMD, as published", "is": "Inception score", "precision": "Precision",
        "density": "Density",
    },
    "Consistency with captions": {
        "clipscore": "CLIPScore", "ref_clipscore": "RefCLIPScore", "r_precision": "R-precision",
        "r_precision_drawn": "R-precision, drawn", "i2t_r1": "Image to text, R@1",
        "i2t_r5": "Image to text, R@5", "i2t_r10": "Image to text, R@10",
        "t2i_r1": "Text to image, R@1", "t2i_r5": "Text to image, R@5",
        "t2i_r10": "Text to image, R@10", "fjd": "FJD",
    },
    "Diversity": {"recall": "Recall", "coverage": "Coverage", "vendi": "Vendi score"},
}  # fmt: skip
#: What is in none of these.
OTHERS = "Memorisation and others"
#: CLIPScore's scale (Hessel et al. 2021).
_CLIPSCORE = 2.5
_TITLES = {name: title for names in ASPECTS.values() for name, title in names.items()}


@dataclass(frozen=True)
class Number:
    """One number of the family."""

    title: str
    arrow: str
    value: Value
    #: The same of real images, where that is known.
    real: float | None


def title_of(name: str) -> str:
    """What papers call a number of the family."""
    return _TITLES.get(name, name.replace("_", " "))


def arrow_of(name: str) -> str:
    """Which way a number is better."""
    return {"lower": "↓", "higher": "↑"}.get(better(name) or "", "")


def by_aspect(names: Sequence[str]) -> dict[str, list[str]]:
    """Names of numbers by what they are of, without what has none."""
    groups = {
        aspect: [name for name in names if name in own] for aspect, own in ASPECTS.items()
    } | {OTHERS: [name for name in names if name not in _TITLES]}
    return {aspect: own for aspect, own in groups.items() if own}


def family(score: CMDScore, similarity: Similarity | None) -> Mapping[str, Sequence[Number]]:
    """The numbers of a score by what they are of."""
    of_real = {}
    clipscore = score.metrics.get("clipscore")
    if clipscore is not None and similarity is not None and similarity.r is not None:
        own, real = (
            _CLIPSCORE * float(np.mean(np.maximum(cosines, 0)))
            for cosines in (similarity.f, similarity.r)
        )
        # Where images have several captions the two mean differently.
        if abs(own - clipscore.value) <= 1e-4 * abs(clipscore.value):
            of_real["clipscore"] = real
    return {
        aspect: [
            Number(title_of(name), arrow_of(name), score.metrics[name], of_real.get(name))
            for name in names
        ]
        for aspect, names in by_aspect(list(score.metrics)).items()
    }
