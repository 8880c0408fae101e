"""Results as lines of text, for a terminal.

A name or a caption may hold anything; `cmdmetric.terminal.say`, which prints the lines, makes that
harmless. Here they are kept from being endless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.terminal import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmdmetric.compare import Against, Comparison, Versus
    from cmdmetric.scoring import CMDScore, Copying, Harm, Slices, SliceValue
    from cmdmetric.uncertainty import Estimate, Gap, Parts, Value

#: The most characters of a model's or an image's name and of a caption, and of a path.
NAME, PATH = 60, 300
_ABOUT = {
    "cmd": "Dis(f,r) + ITDis, lower is better",
    "itdis": "|Dis(f,l) - Dis(r,l)|, consistency",
    "dis_fr": "generated to real",
    "dis_fl": "generated to captions",
    "dis_rl": "real to captions",
}


def score_table(result: CMDScore, *, short: bool = False) -> list[str]:
    """The numbers of one score, with what they are of, and one form of its signature."""
    from cmdmetric.metrics import QUANTITIES

    def count(n: int | None, noun: str) -> str:
        return "count not recorded" if n is None else f"{n} {noun}"

    paired = "" if result.paired is None else f", {result.paired} of them with a caption"
    bars = result.uncertainty
    lines = []
    for name, title in QUANTITIES.items():
        value: float = getattr(result, name)
        bar: Estimate | None = getattr(bars, name, None)
        # Between two sides that are moments nothing was sampled.
        sampled = bar is not None and (bar.standard_error > 0 or value == 0)
        error = f" ± {bar.standard_error:.4f}" if bar is not None and sampled else ""
        lines.append(f"{title:<10}{value:>10.4f}{error:<12} {_ABOUT[name]}")
    if bars is not None:
        lines += _parts(bars.parts)
        lines += ["", f"± one standard error, of the sampling of {', '.join(bars.sides)}"]
    if bars is not None and bars.cmd.debiased is not None:
        lines += [
            f"CMD without the excess of finite samples: {bars.cmd.debiased:.4f} "
            f"(95 %: {bars.cmd.low:.4f} to {bars.cmd.high:.4f})"
        ]
    elif bars is not None:
        why = bars.withheld or "the generated images are moments alone"
        lines += [f"the excess of finite samples is not known: {why}"]
    lines += _family(result.metrics)
    lines += _slices(result.slices) + _copying(result.memorisation)
    lines += [
        "",
        f"generated f  {shown(result.generated, PATH)} ({count(result.n, 'images')}{paired})",
        f"real r       {shown(result.real, PATH)} ({count(result.n_real, 'images')})",
        f"captions l   {shown(result.captions, PATH)} ({count(result.n_captions, 'captions')})",
        f"signature    {result.short_signature if short else result.signature}",
    ]
    return lines


def _parts(parts: Mapping[str, Parts]) -> list[str]:
    """What the means and the covariances have in the numbers, as scored."""
    from cmdmetric.metrics import QUANTITIES

    lines = [""] if parts else []
    for name, of in parts.items():
        means, covariances = (
            f"{part.raw:.4f} ± {part.standard_error:.4f}" for part in (of.means, of.covariances)
        )
        of_title = f"of {QUANTITIES[name]}"
        lines.append(f"{of_title:<12} {means} is the means', {covariances} the covariances'")
    return lines


def versus_table(result: Versus, *, short: bool = False) -> list[str]:
    """Two generators as text: what was compared, and whether they differ."""
    difference = result.difference
    tested = "not known: a set is moments alone"
    interval = f", no interval: {difference.withheld or 'the excess is not known'}"
    if difference.p_value is not None:
        verdict = "significant" if difference.p_value < 0.05 else "not significant"
        tested = f"{difference.p_value:.3g}, {verdict} at 5 %, if images change places"
    if difference.p_student is not None:
        tested += f" ({difference.p_student:.3g} by the standard error)"
    if difference.low is not None and difference.high is not None:
        interval = f" (95 %: {_fixed(difference.low)} to {_fixed(difference.high)})"
    best, how = difference.raw, ""
    if difference.debiased is not None:
        best, how = difference.debiased, ", without the excess of finite samples"
    return [
        "first",
        *score_table(result.first, short=short),
        "",
        "second",
        *score_table(result.second, short=short),
        "",
        f"CMD first - second  {_fixed(difference.raw)} as scored",
        f"                    {_fixed(best)} ± {difference.standard_error:.4f}{how}{interval}",
        f"p-value             {tested}",
        *_gaps(result.metrics),
    ]


def _fixed(value: float) -> str:
    """With four decimals; what rounds to zero has no sign."""
    return f"{round(value, 4) + 0.0:.4f}"


def _gaps(metrics: Mapping[str, Gap]) -> list[str]:
    """The differences of the family's numbers."""
    if not metrics:
        return []
    rows: list[tuple[str, ...]] = [
        ("", "first - second", "without excess", "95 %", "p-value", "by SE", "adjusted", "at 5 %")
    ]
    for name, gap in metrics.items():
        error = "" if gap.standard_error is None else f" ± {gap.standard_error:.4f}"
        debiased = "-" if gap.debiased is None else _fixed(gap.debiased)
        tested = ["-", "-", "-", "-", "not known"]
        if gap.p_value is not None:
            adjusted = gap.p_value if gap.p_adjusted is None else gap.p_adjusted
            verdict = "significant" if adjusted < 0.05 else "not significant"
            interval = "-"
            if gap.low is not None and gap.high is not None:
                interval = f"{_fixed(gap.low)} to {_fixed(gap.high)}"
            student = "-" if gap.p_student is None else f"{gap.p_student:.3g}"
            tested = [interval, f"{gap.p_value:.3g}", student, f"{adjusted:.3g}", verdict]
        rows.append((name, f"{_fixed(gap.value)}{error}", debiased, *tested))
    return ["", *_aligned(rows)]


def compare_table(result: Comparison) -> list[str]:
    """Models by rank, and what sets the others apart from the best."""
    best = shown(result.entries[0].name, NAME)
    width = max(5, *(len(shown(entry.name, NAME)) for entry in result.entries))
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
        lines.append(f"{shown(entry.name, NAME):<{width}}  {' '.join(cells)}")
    how = {_how(each) for each in result.against_best}
    if how:
        alike = f", {next(iter(how))}" if len(how) == 1 else ""
        lines += ["", f"against {best}{alike}"]
    for each in result.against_best:
        verdict = "not tested, the numbers of images differ"
        if each.p_value is not None and each.p_adjusted is not None:
            of = f"p {each.p_value:.3g}, {each.p_adjusted:.3g} of {len(result.against_best)}"
            verdict = f"{of}: {'significant' if each.p_adjusted < 0.05 else 'not significant'}"
        own = f", {_how(each)}" if len(how) > 1 else ""
        lines.append(
            f"{shown(each.name, NAME):<{width}}  {each.difference:+9.4f} ± "
            f"{each.standard_error:.4f}  {verdict}{own}"
        )
    return [*lines, *_families(result), *_slice_gaps(result)]


def _slice_gaps(result: Comparison) -> list[str]:
    """In which slices models differ from the best."""
    best = result.entries[0]
    rows: list[tuple[str, ...]] = []
    for each in result.against_best:
        for label, gaps in each.slices.items():
            for name, gap in gaps.items():
                error = "" if gap.standard_error is None else f" ± {gap.standard_error:.4f}"
                verdict = "not known"
                if gap.p_adjusted is not None:
                    beyond = "significant" if gap.p_adjusted < 0.05 else "not significant"
                    verdict = f"p {gap.p_adjusted:.3g} of all slices: {beyond}"
                number = "adds to CMD" if name == "adds" else name
                models = (shown(each.name, NAME), shown(label, NAME), number)
                rows.append((*models, f"{gap.value:+.4f}{error}", verdict))
    if not rows:
        return []
    head = ("model", f"by {shown(best.by or '', NAME)}", "", f"less {shown(best.name, NAME)}", "")
    return ["", *_aligned([head, *rows])]


def _how(each: Against) -> str:
    return "paired by caption" if each.paired else "as independent samples"


def _families(result: Comparison) -> list[str]:
    """The family's numbers, a line each, a column for every model."""
    names = list(dict.fromkeys(name for entry in result.entries for name in entry.metrics))
    if not names:
        return []
    from cmdmetric.scoring import better

    against = {each.name: each.metrics for each in result.against_best}
    rows = [("", *(shown(entry.name, NAME) for entry in result.entries), "better")]
    for name in names:
        cells = []
        for entry in result.entries:
            value, gap = entry.metrics.get(name), against.get(entry.name, {}).get(name)
            mark = ""
            if gap is not None and gap.p_adjusted is None:
                mark = " ?"
            elif gap is not None and gap.p_adjusted is not None and gap.p_adjusted < 0.05:
                mark = " *"
            cells.append(f"{'-' if value is None else _with_error(value)}{mark}")
        rows.append((name, *cells, better(name) or ""))
    lines = ["", *_aligned(rows)]
    gaps = [gap for each in against.values() for gap in each.values()]
    if gaps:
        unknown = any(gap.p_adjusted is None for gap in gaps)
        more = "; ? whether it does is not known" if unknown else ""
        lines += ["", f"* differs from {shown(result.entries[0].name, NAME)} at 5 %{more}"]
    return lines


def _with_error(value: Value) -> str:
    error = "" if value.standard_error is None else f" ± {value.standard_error:.4f}"
    return f"{value.value:.4f}{error}"


def _family(metrics: Mapping[str, Value]) -> list[str]:
    if not metrics:
        return []
    from cmdmetric.scoring import better

    lines = [""]
    for name, value in metrics.items():
        error = "" if value.standard_error is None else f" ± {value.standard_error:.4f}"
        lines.append(f"{name:<14}{value.value:>10.4f}{error:<12} {better(name)} is better")
    return lines


def _slices(found: Slices | None) -> list[str]:
    """A line each slice; what it adds to CMD, and the pair metrics in it."""
    if found is None:
        return []
    numbers = list(dict.fromkeys(name for each in found.slices for name in each.metrics))
    alone = any(each.cmd is not None for each in found.slices)
    head = (f"by {shown(found.by, NAME)}", "images", "adds to CMD", *numbers)
    rows = [(*head, "CMD alone") if alone else head]
    for each in found.slices:
        values = [each.adds, *(each.metrics.get(name) for name in numbers)]
        values += [each.cmd] if alone else []
        rows.append((shown(each.label, NAME), f"{each.n}", *map(_with_interval, values)))
    note = "intervals are of 95 % for all slices of a number together"
    rest = f"; {found.unlabelled} images have no label" if found.unlabelled else ""
    return ["", *_aligned(rows), note + rest]


def _with_interval(value: SliceValue | None) -> str:
    if value is None:
        return "-"
    if value.low is None or value.high is None:
        return _fixed(value.value)
    return f"{_fixed(value.value)} ({_fixed(value.low)} to {_fixed(value.high)})"


def _copying(found: Copying | None) -> list[str]:
    """How near generated images are to training images."""
    if found is None:
        return []

    def share(value: float, error: float | None) -> str:
        return f"{100 * value:.1f} %" + ("" if error is None else f" ± {100 * error:.1f}")

    of = f"{found.n_train} training images of {shown(found.train, PATH)}"
    authentic = share(found.authentic, found.authentic_standard_error)
    lines = ["", f"against {of}", f"authentic      {authentic} (AuthPct; about half of new images)"]
    if found.copied is not None:
        lines.append(
            f"close          {share(found.copied, found.copied_standard_error)} are nearer to one "
            f"than all but 5 % of {found.n_held_out} held-out real images"
        )
    rows = [("nearest", "training image", "distance", "authentic")]
    for each in found.nearest[:5]:
        names = shown(each.name, NAME), shown(each.train, NAME)
        rows.append((*names, f"{each.distance:.4f}", "yes" if each.is_authentic else "no"))
    return [*lines, *_aligned(rows)]


def harm_table(rows: Sequence[Harm]) -> list[str]:
    """The samples that raise CMD most."""
    cells = [("raises CMD by", "", "name", "caption")]
    cells += [
        (f"{row.share:.5f}", row.side, shown(row.name, NAME), shown(row.caption, NAME))
        for row in rows
    ]
    return _aligned(cells)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
