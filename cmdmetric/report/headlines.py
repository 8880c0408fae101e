"""What the figures of a page say: a title that is the conclusion, and a sentence of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cmdmetric.compare import SIGNIFICANT, Entry
from cmdmetric.report.data import Clouds, Published, Similarity, Spectrum
from cmdmetric.scoring import CMDScore
from cmdmetric.terminal import percent, shown
from cmdmetric.uncertainty import Gap, Step

#: What is less than this share of something is no difference to speak of.
NOTABLE = 0.1
#: The most characters of a model's name, and the most slices that are named.
_NAME, _NAMED = 60, 4


def published_title(score: CMDScore, published: Sequence[Published]) -> str:
    """Where a score stands among published ones."""
    better = sum(each.cmd < score.cmd for each in published)
    if not better:
        return f"It scores below all {len(published)} published models"
    return f"{better} of {len(published)} published models score lower"


def clouds_title(score: CMDScore, data: Clouds) -> str:
    """Whether generated images lie elsewhere than real ones, or spread otherwise."""
    means = float(np.sum((data.moments["f"].mean - data.moments["r"].mean) ** 2))
    share = means / max(score.dis_fr, 1e-300)
    if share > 0.5:
        return f"Generated images lie elsewhere than real ones: {percent(share)} of Dis(f,r)"
    return f"Generated images spread otherwise than real ones: {percent(1 - share)} of Dis(f,r)"


def spectrum_title(data: Spectrum) -> str:
    """Whether generated images vary as much as real ones."""
    share = float(data.f.sum() / max(float(data.r.sum()), 1e-300))
    if abs(share - 1) < NOTABLE:
        return "They vary as much as the real images do"
    word = "less" if share < 1 else "more"
    return f"They vary {word} than the real images: {percent(share)} of their variance"


def spectrum_text(data: Spectrum) -> str:
    """What the spectrum says, in a sentence."""
    f, r = data.effective(data.f), data.effective(data.r)
    spread = float(data.f.sum() / max(float(data.r.sum()), 1e-300))
    return (
        f"Generated images have {spread:.2f} times the total variance of the real ones, spread "
        f"over as much as {f:.1f} equal axes against {r:.1f}."
    )


def ratio_title(data: Spectrum) -> str:
    """Whether something in which real images differ is missing."""
    missing = int((data.ratio < 0.5).sum())
    if not missing:
        return "Nothing in which real images differ is missing"
    return f"Along {missing} of {len(data.ratio)} axes the generated images hardly differ"


def ratio_text(data: Spectrum) -> str:
    """Say how much of the real images' variance the generated ones have."""
    k = len(data.ratio)
    missing = int((data.ratio < 0.5).sum())
    over = int((data.ratio > 2).sum())
    return (
        f"Of the real images' {k} principal axes, the generated ones have less than half the "
        f"variance along {missing or 'none'}, and more than twice along {over or 'none'}."
    )


def growth_title(steps: Sequence[Step], score: CMDScore) -> str:
    """How much of a score is due to the number of samples."""
    bars = score.uncertainty
    n = growth_n(steps[-1])
    if bars is None or bars.cmd.debiased is None or score.cmd <= 0:
        return f"CMD falls with the number of samples, and still does at {n:,}"
    share = 1 - bars.cmd.debiased / score.cmd
    if share < NOTABLE:
        return f"{n:,} samples are enough: more would hardly lower CMD"
    return f"{percent(min(share, 1.0))} of CMD is due to the number of samples, {n:,}"


def growth_n(step: Step) -> int:
    """Find the number of samples of a step."""
    return next(n for n in step.n.values() if n is not None)


def growth_text(steps: Sequence[Step]) -> str:
    """Say how CMD changes with the number of samples."""
    first, last = steps[0], steps[-1]
    return (
        f"CMD is {first.mean('cmd'):.2f} at {growth_n(first):,} and {last.mean('cmd'):.2f} at "
        f"{growth_n(last):,} samples of the same images."
    )


def similarity_title(data: Similarity) -> str:
    """Whether generated images fit their captions as well as real ones do."""
    own = float(np.median(data.f))
    if data.r is None:
        return f"The median cosine of image and caption is {own:.3f}"
    real = float(np.median(data.r))
    if abs(own - real) <= NOTABLE * abs(real):
        return "They fit their captions about as well as real images do"
    return f"They fit their captions {'worse' if own < real else 'better'} than real images do"


def similarity_text(data: Similarity) -> str:
    """Say how well generated and real images fit their own captions."""
    median = float(np.median(data.f))
    text = f"The median cosine of generated images with their own captions is {median:.3f}"
    if data.r is not None:
        text += f", of real images {float(np.median(data.r)):.3f}"
    if len(data.chance) > 1:
        text += f", of generated images with captions of others {float(np.median(data.chance)):.3f}"
    return text + "."


def ranking_title(entries: Sequence[Entry], by: str) -> str:
    """Which model scores lowest, and by how much."""
    best, second = entries[:2]
    what = "debiased " if by == "debiased" else ""
    values = [each.debiased if by == "debiased" else each.cmd for each in (best, second)]
    told = ["not known" if value is None else f"{value:.2f}" for value in values]
    return f"{shown(best.name, _NAME)} has the lowest {what}CMD, {told[0]} against {told[1]}"


def parts_title(entries: Sequence[Entry]) -> str:
    """Which part of CMD sets the second model apart from the best."""
    best, second = entries[:2]
    quality, fit = second.dis_fr - best.dis_fr, second.itdis - best.itdis
    name = shown(second.name, _NAME)
    if quality > 0 and fit > 0:
        part = "quality" if quality > fit else "fit to captions"
        return f"{name} loses in both parts, most in {part}"
    if quality <= 0 and fit <= 0:
        if quality == fit == 0:
            return f"{name} is level with the best in both parts"
        return f"As scored, {name} is the lower in both parts"
    lost, won = ("quality", "fit to captions") if quality > 0 else ("fit to captions", "quality")
    return f"{name} loses in {lost}, and gains in {won}"


def slices_title(name: str, slices: Mapping[str, Mapping[str, Gap]]) -> str:
    """In which slices a model is worse than the best, and in which better, by what they add."""
    found: dict[str, list[str]] = {"worse": [], "better": []}
    tested = False
    for label, gaps in slices.items():
        gap = gaps.get("adds")
        if gap is None or gap.p_adjusted is None:
            continue
        tested = True
        if gap.p_adjusted < SIGNIFICANT:
            found["worse" if gap.value > 0 else "better"].append(shown(label, _NAME))
    told = [
        f"{word} in {', '.join(labels[:_NAMED])}{' and others' if len(labels) > _NAMED else ''}"
        for word, labels in found.items()
        if labels
    ]
    model = shown(name, _NAME)
    if not tested:
        return f"Where {model} is worse is not known: the slices are too small"
    return (
        f"{model} is {', '.join(told)}" if told else f"{model} is worse in no slice beyond chance"
    )
