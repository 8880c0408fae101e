"""What a reader of a report should know in five seconds: a sentence, and two or three reasons."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cmdmetric.compare import SIGNIFICANT, Comparison, chance, verdict
from cmdmetric.report.data import ReportData
from cmdmetric.report.headlines import NOTABLE, spectrum_title
from cmdmetric.scoring import CMDScore
from cmdmetric.terminal import percent


def sentence(score: CMDScore) -> str:
    """The verdict on a score, in a sentence or two."""
    bars, n = score.uncertainty, score.n
    of = "" if n is None else f" at n = {n:,}"
    if bars is None:
        return f"CMD is {score.cmd:.2f}{of}; without single features there is no error bar."
    if bars.cmd.debiased is None or bars.cmd.low is None or bars.cmd.high is None:
        return (
            f"CMD is {score.cmd:.2f} ± {bars.cmd.standard_error:.2f}{of}; how much of it is only "
            "the size of the sample is not known."
        )
    interval = f"{bars.cmd.low:.2f} to {bars.cmd.high:.2f}"
    if bars.dis_fr.low is not None and bars.dis_fr.low <= 0 and bars.cmd.low <= 0:
        return f"The generated images cannot be told from the real ones{of}."
    return (
        f"The generated images differ from the real ones: infinitely many of them would score "
        f"{bars.cmd.debiased:.2f} (95 %: {interval})."
    )


def reasons(data: ReportData) -> list[str]:
    """The two or three things that matter most."""
    return list(_reasons(data))[:3]


def _reasons(data: ReportData) -> Iterator[str]:
    score, bars = data.score, data.score.uncertainty
    debiased = bars is not None and bars.cmd.debiased is not None
    cmd, quality, fit = score.cmd, score.dis_fr, score.itdis
    if bars is not None and bars.cmd.debiased is not None and bars.dis_fr.debiased is not None:
        cmd, quality = bars.cmd.debiased, max(bars.dis_fr.debiased, 0.0)
        fit = bars.itdis.debiased or 0.0
    if quality + fit > 0:
        share = quality / (quality + fit)
        more, less = ("quality, Dis(f,r)", "fit to the captions, ITDis")
        if share < 0.5:
            more, less, share = less, more, 1 - share
        yield f"{percent(share)} of it is {more}; the rest is {less}."
    if debiased and score.cmd > 0 and (score.cmd - cmd) / score.cmd > NOTABLE:
        of = "samples" if score.n is None else f"images, {score.n:,}"
        yield (
            f"Of the CMD as scored, {score.cmd:.2f}, {percent(1 - cmd / score.cmd)} is due to "
            f"the number of {of}: compare only scores of as many, or the debiased values."
        )
    if data.similarity is not None and data.similarity.r is not None:
        own, real = float(np.median(data.similarity.f)), float(np.median(data.similarity.r))
        if abs(own - real) > NOTABLE * abs(real):
            yield (
                f"They fit their captions {'worse' if own < real else 'better'} than real images "
                f"do: a median cosine of {own:.3f} against {real:.3f}."
            )
    yield f"{spectrum_title(data.spectrum)}."


def of_comparison(data: Comparison) -> str:
    """The verdict on several models: which is best, and from which it cannot be told apart."""
    best, others = data.entries[0].name, data.against_best
    if len(data.entries) == 2 and others:
        (only,) = others
        told = verdict(best, only.name, -only.difference, only.p_adjusted)
        if only.p_value is None:
            return f"{told}."
        return f"{told}: {chance(only.p_value)}."
    known = [each for each in others if each.p_adjusted is not None]
    apart = [each for each in known if (each.p_adjusted or 0.0) < SIGNIFICANT]
    beaten = ", ".join(each.name for each in apart if each.difference > 0)
    before = ", ".join(each.name for each in apart if each.difference < 0)
    alike = ", ".join(each.name for each in known if each not in apart)
    lowest = f"{best} has the lowest {'debiased ' if data.ranked_by == 'debiased' else ''}CMD"
    if not known:
        return f"{lowest}; whether it is better than the others is not known."
    if not alike and not before and len(known) == len(data.entries) - 1:
        return f"{best} is best, beyond chance."
    told = f"{lowest}, but cannot be told from {alike}" if alike else lowest
    told += f"; it is better than {beaten}" if beaten else ""
    told += f"; it is worse than {before}, debiased" if before else ""
    return f"{told}."
