"""Results as text, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmdmetric.comparison import Versus
    from cmdmetric.score import CMDScore


def score_table(result: CMDScore) -> str:
    def count(n: int | None, noun: str) -> str:
        return "count not recorded" if n is None else f"{n} {noun}"

    paired = "" if result.paired is None else f", {result.paired} of them with a caption"
    bars = result.uncertainty
    rows = [
        ("CMD", result.cmd, bars and bars.cmd, "Dis(f,r) + ITDis, lower is better"),
        ("ITDis", result.itdis, bars and bars.itdis, "|Dis(f,l) - Dis(r,l)|, consistency"),
        ("Dis(f,r)", result.dis_fr, bars and bars.dis_fr, "generated to real"),
        ("Dis(f,l)", result.dis_fl, bars and bars.dis_fl, "generated to captions"),
        ("Dis(r,l)", result.dis_rl, bars and bars.dis_rl, "real to captions"),
    ]
    lines = []
    for name, value, bar, about in rows:
        error = "" if bar is None else f" ± {bar.standard_error:.4f}"
        lines.append(f"{name:<10}{value:>10.4f}{error:<12} {about}")
    if bars is not None:
        lines += ["", f"± one standard error, of the sampling of {', '.join(bars.sides)}"]
    if bars is not None and bars.cmd.debiased is not None:
        lines += [
            f"CMD without the excess of {result.n} samples: {bars.cmd.debiased:.4f} "
            f"(95 %: {bars.cmd.low:.4f} to {bars.cmd.high:.4f})"
        ]
    lines += [
        "",
        f"generated f  {result.generated} ({count(result.n, 'images')}{paired})",
        f"real r       {result.real} ({count(result.n_real, 'images')})",
        f"captions l   {result.captions} ({count(result.n_captions, 'captions')})",
        f"signature    {result.signature}",
    ]
    return "\n".join(lines)


def versus_table(result: Versus) -> str:
    difference = result.difference
    verdict = "significant" if difference.p_value < 0.05 else "not significant"
    debiased = "" if difference.debiased is None else ", without the excess of finite samples"
    best = difference.raw if difference.debiased is None else difference.debiased
    return "\n".join(
        [
            "first",
            score_table(result.first),
            "",
            "second",
            score_table(result.second),
            "",
            f"CMD first - second  {difference.raw:.4f} as scored",
            f"                    {best:.4f} ± {difference.standard_error:.4f}{debiased} "
            f"(95 %: {difference.low:.4f} to {difference.high:.4f})",
            f"p-value             {difference.p_value:.3g}, {verdict} at 5 %",
        ]
    )
