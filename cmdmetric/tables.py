"""Results as text, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmdmetric.compare import Comparison
    from cmdmetric.comparison import Versus
    from cmdmetric.measured import Gap, Value
    from cmdmetric.score import CMDScore
    from cmdmetric.worst import Harm


def score_table(result: CMDScore) -> str:
    def count(n: int | None, noun: str) -> str:
        return "count not recorded" if n is None else f"{n} {noun}"

    paired = "" if result.paired is None else f", {result.paired} of them with a caption"
    bars = result.uncertainty
    rows = [
        ("CMD", result.cmd, bars.cmd if bars else None, "Dis(f,r) + ITDis, lower is better"),
        ("ITDis", result.itdis, bars.itdis if bars else None, "|Dis(f,l) - Dis(r,l)|, consistency"),
        ("Dis(f,r)", result.dis_fr, bars.dis_fr if bars else None, "generated to real"),
        ("Dis(f,l)", result.dis_fl, bars.dis_fl if bars else None, "generated to captions"),
        ("Dis(r,l)", result.dis_rl, bars.dis_rl if bars else None, "real to captions"),
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
    lines += _family(result.metrics)
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
            *_gaps(result.metrics),
        ]
    )


def _gaps(metrics: Mapping[str, Gap]) -> list[str]:
    """The differences of the family's numbers."""
    if not metrics:
        return []
    rows: list[tuple[str, ...]] = [
        ("", "first - second", "without excess", "95 %", "p-value", "at 5 %")
    ]
    for name, gap in metrics.items():
        error = "" if gap.standard_error is None else f" ± {gap.standard_error:.4f}"
        debiased = "-" if gap.debiased is None else f"{gap.debiased:.4f}"
        tested = ["-", "-", "not known"]
        if gap.p_value is not None:
            verdict = "significant" if gap.p_value < 0.05 else "not significant"
            tested = [f"{gap.low:.4f} to {gap.high:.4f}", f"{gap.p_value:.3g}", verdict]
        rows.append((name, f"{gap.value:.4f}{error}", debiased, *tested))
    return ["", *_aligned(rows)]


def compare_table(result: Comparison) -> str:
    """Models by rank, and what sets the others apart from the best."""
    width = max(5, *(len(entry.name) for entry in result.entries))
    head = f"{'model':<{width}}  {'CMD':>9} {'± SE':>8} {'unbiased':>9}  {'95 % interval':<18}"
    lines = [f"{head} {'ITDis':>8} {'Dis(f,r)':>9} {'images':>8}"]
    for entry in result.entries:
        known = entry.low is not None and entry.high is not None
        cells = [
            f"{entry.cmd:>9.4f}",
            f"{entry.standard_error:>8.4f}" if entry.standard_error is not None else f"{'-':>8}",
            f"{entry.debiased:>9.4f}" if entry.debiased is not None else f"{'-':>9}",
            f" {f'{entry.low:.3f} to {entry.high:.3f}' if known else '-':<18}",
            f"{entry.itdis:>8.4f}",
            f"{entry.dis_fr:>9.4f}",
            f"{entry.n if entry.n is not None else '?':>8}",
        ]
        lines.append(f"{entry.name:<{width}}  {' '.join(cells)}")
    if result.against_best:
        how = "paired by caption" if result.paired else "as independent samples"
        lines += ["", f"against {result.entries[0].name}, {how}"]
    for each in result.against_best:
        verdict = "significant" if each.p_adjusted < 0.05 else "not significant"
        lines.append(
            f"{each.name:<{width}}  {each.difference:+9.4f} ± {each.standard_error:.4f}  "
            f"p {each.p_value:.3g}, {each.p_adjusted:.3g} of {len(result.against_best)}: {verdict}"
        )
    return "\n".join([*lines, *_families(result)])


def _families(result: Comparison) -> list[str]:
    """The family's numbers, a line each, a column for every model."""
    names = list(dict.fromkeys(name for entry in result.entries for name in entry.metrics))
    if not names:
        return []
    from cmdmetric.family import BETTER

    against = {each.name: each.metrics for each in result.against_best}
    rows = [("", *(entry.name for entry in result.entries), "better")]
    for name in names:
        cells = []
        for entry in result.entries:
            value, gap = entry.metrics.get(name), against.get(entry.name, {}).get(name)
            differs = gap is not None and gap.p_adjusted is not None and gap.p_adjusted < 0.05
            cells.append(f"{'-' if value is None else _with_error(value)}{' *' * differs}")
        rows.append((name, *cells, BETTER.get(name, "")))
    lines = ["", *_aligned(rows)]
    if any(gap.p_adjusted is not None for gaps in against.values() for gap in gaps.values()):
        lines += ["", f"* differs from {result.entries[0].name} at 5 %"]
    return lines


def _with_error(value: Value) -> str:
    error = "" if value.standard_error is None else f" ± {value.standard_error:.4f}"
    return f"{value.value:.4f}{error}"


def _family(metrics: Mapping[str, Value]) -> list[str]:
    if not metrics:
        return []
    from cmdmetric.family import BETTER

    lines = [""]
    for name, value in metrics.items():
        error = "" if value.standard_error is None else f" ± {value.standard_error:.4f}"
        lines.append(f"{name:<14}{value.value:>10.4f}{error:<12} {BETTER[name]} is better")
    return lines


def harm_table(rows: Sequence[Harm]) -> str:
    """The samples that raise CMD most."""
    shown = [("raises CMD by", "", "name", "caption")]
    shown += [(f"{row.share:.5f}", row.side, row.name, _cut(row.caption)) for row in rows]
    return "\n".join(_aligned(shown))


def _cut(text: str, width: int = 60) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
