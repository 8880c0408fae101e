"""The family's numbers as a page shows them: by what they are of, under their own names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from cmdmetric.report.data import ReportData
from cmdmetric.report.figures import Mark, scale_of, whiskers
from cmdmetric.uncertainty import Value

#: What the numbers are of, in the order of a page, with the names that papers use.
ASPECTS: dict[str, dict[str, str]] = {
    "Quality": {
        "fid": "FID", "fd": "Fréchet distance", "kid": "KID", "clip_kid": "KID of CLIP",
        "cmmd": "CMMD", "cmmd_biased": "CMMD, biased", "is": "Inception score",
        "mind": "MIND", "clip_mind": "MIND of CLIP",
        "precision": "Precision", "density": "Density", "cmmd_published": "CMMD, as published",
    },
    "Consistency with captions": {
        "clipscore": "CLIPScore", "clipscore_hessel": "CLIPScore, as published",
        "clip_cosine": "Cosine × 100", "ref_clipscore": "RefCLIPScore",
        "r_precision": "R-precision",
        "r_precision_drawn": "R-precision, drawn", "i2t_r1": "Image to text, R@1",
        "i2t_r5": "Image to text, R@5", "i2t_r10": "Image to text, R@10",
        "t2i_r1": "Text to image, R@1", "t2i_r5": "Text to image, R@5",
        "t2i_r10": "Text to image, R@10", "fjd": "FJD",
        "clip_cfid": "CFID of CLIP",
    },
    "Diversity": {"recall": "Recall", "coverage": "Coverage", "vendi": "Vendi score"},
}  # fmt: skip
_NETWORKS = {"dinov2": "DINOv2"}
#: What is in none of these.
OTHERS = "Memorisation and others"
#: Metrics that any image network has, whose name then stands behind theirs.
_OF_NETWORKS = ("fd", "kid", "mind", "precision", "recall", "density", "coverage", "vendi")
_TITLES = {name: title for names in ASPECTS.values() for name, title in names.items()}


@dataclass(frozen=True)
class Number:
    """One number of the family."""

    name: str
    title: str
    arrow: str
    value: Value
    #: The same of real images, where that is known.
    real: float | None


def title_of(name: str) -> str:
    """What papers call a number of the family."""
    base, network = _parts(name)
    title = _TITLES.get(base, base.replace("_", " "))
    return f"{title}, {_NETWORKS.get(network, network)}" if network else title


def arrow_of(value: Value) -> str:
    """Which way a number is better."""
    return {"lower": "↓", "higher": "↑"}.get(value.better or "", "")


def by_aspect(names: Sequence[str]) -> dict[str, list[str]]:
    """Names of numbers by what they are of, without what has none."""
    groups = {
        aspect: [name for name in names if _parts(name)[0] in own]
        for aspect, own in ASPECTS.items()
    } | {OTHERS: [name for name in names if _parts(name)[0] not in _TITLES]}
    return {aspect: own for aspect, own in groups.items() if own}


def _parts(name: str) -> tuple[str, str]:
    """The name of a number without the network beside CLIP that it is of, and the network."""
    base, _, network = name.partition("_")
    if name not in _TITLES and network and base in _OF_NETWORKS:
        return base, network
    return name, ""


def family(data: ReportData) -> Mapping[str, Sequence[Number]]:
    """The numbers of a score by what they are of."""
    return {
        aspect: [
            Number(name, title_of(name), arrow_of(value), value, data.of_real.get(name))
            for name, value in ((name, data.score.metrics[name]) for name in names)
        ]
        for aspect, names in by_aspect(list(data.score.metrics)).items()
    }  # fmt: skip


def drawn(number: Number) -> Markup:
    """The number with its 95 % interval from zero on, and that of real images as a line."""
    mark = mark_of(number.value, "f")
    label = f"{number.title} {told(mark)}"
    if number.real is not None:
        label += f"; real images {number.real:.4g}"
    return whiskers([mark], scale_of([mark], number.real, 0.0), label, number.real)


def mark_of(value: Value, colour: str) -> Mark:
    """A value with its 95 % interval, where it has one."""
    return Mark(value.value, value.low, value.high, colour)


def told(mark: Mark) -> str:
    """A mark in words."""
    if mark.low is None or mark.high is None:
        return f"{mark.value:.4g}"
    return f"{mark.value:.4g}, 95 % interval {mark.low:.4g} to {mark.high:.4g}"
