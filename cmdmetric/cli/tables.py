"""Results as lines of text, for a terminal.

A name or a caption may hold anything; `cmdmetric.terminal.say`, which prints the lines, makes that
harmless. Here they are kept from being endless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cmdmetric.scoring import family_lines, score_lines
from cmdmetric.terminal import Styled, shown

if TYPE_CHECKING:
    from cmdmetric.compare import Against, Comparison, Versus
    from cmdmetric.gate import Verdict
    from cmdmetric.scoring import CMDScore, Copying, Harm, Slices, SliceValue
    from cmdmetric.uncertainty import Difference, Gap, Value

#: The most characters of a model's or an image's name and of a caption, and of a path.
NAME, PATH = 60, 300


def score_table(result: CMDScore, *, short: bool = False) -> list[str]:
    """The five lines of a score, with the signature's long or short form, and its other metrics."""
    first, *others, last = score_lines(result.table, short=short)
    lines = [Styled(first, "bold"), *others, Styled(last, "dim")]
    if result.metrics:
        lines += ["", *family_lines(result.table)]
    return [*lines, *_slices(result.slices), *_copying(result.memorisation)]


def versus_table(result: Versus, *, short: bool = False) -> list[str]:
    """Two generators as text: whether they differ, by how much, and their scores."""
    from cmdmetric.compare import chance, fixed, p_of, verdict

    difference = result.difference
    one, two = (shown(score.generated, NAME) for score in (result.first, result.second))
    best, how = difference.raw, "as scored"
    if difference.debiased is not None:
        best, how = difference.debiased, f"debiased; {fixed(difference.raw)} as scored"
    interval = f", no interval: {difference.withheld or 'the excess is not known'}"
    if difference.low is not None and difference.high is not None:
        interval = f" (95 %: {fixed(difference.low)} to {fixed(difference.high)})"
    tested = "this is not tested: a set is moments alone"
    if difference.p_value is not None:
        tested = f"{chance(difference.p_value)} ({p_of(difference.p_value)}"
        if difference.p_student is not None:
            tested += f"; {p_of(difference.p_student)} by the standard error"
        tested += ")"
    return [
        Styled(verdict(one, two, best, difference.p_value), "bold"),
        f"CMD of the first less that of the second: {fixed(best)} ± "
        f"{difference.standard_error:.4f}{interval}, {how}",
        tested,
        Styled(_signature(difference, short=short), "dim"),
        *_gaps(result.metrics),
        "",
        Styled(f"first: {one}", "bold"),
        *score_table(result.first, short=short),
        "",
        Styled(f"second: {two}", "bold"),
        *score_table(result.second, short=short),
    ]


def _signature(difference: Difference | Against, *, short: bool) -> str:
    """The line of a difference's signature, as a score has one."""
    line = difference.short_signature if short else difference.signature
    return f"{'signature':<10} {line}"


def _gaps(metrics: Mapping[str, Gap]) -> list[str]:
    """The differences of the family's numbers."""
    from cmdmetric.compare import fixed

    if not metrics:
        return []
    rows: list[tuple[str, ...]] = [
        ("", "first - second", "debiased", "95 %", "p", "by SE", "adjusted", "at 5 %")
    ]
    for name, gap in metrics.items():
        error = "" if gap.standard_error is None else f" ± {gap.standard_error:.4f}"
        debiased = "-" if gap.debiased is None else fixed(gap.debiased)
        tested = ["-", "-", "-", "-", "not known"]
        if gap.p_value is not None:
            adjusted = gap.p_value if gap.p_adjusted is None else gap.p_adjusted
            verdict = "differs" if adjusted < 0.05 else "may be equal"
            interval = "-"
            if gap.low is not None and gap.high is not None:
                interval = f"{fixed(gap.low)} to {fixed(gap.high)}"
            student = "-" if gap.p_student is None else f"{gap.p_student:.3g}"
            tested = [interval, f"{gap.p_value:.3g}", student, f"{adjusted:.3g}", verdict]
        rows.append((name, f"{fixed(gap.value)}{error}", debiased, *tested))
    return ["", *_aligned(rows)]


def compare_table(
    result: Comparison, width: int | None = None, *, short: bool = False
) -> list[str]:
    """Models by rank, and what sets the others apart from the best.

    Args:
        result: The comparison.
        width: The columns of the terminal: what is less important is left out where they are few.
        short: Whether differences are given the short form of their signatures.
    """
    entries = result.entries
    #: A name, then columns by importance: the last ones give way first.
    columns = [
        ("CMD", [f"{e.cmd:.4f}{_error(e.standard_error)}" for e in entries]),
        ("debiased", ["-" if e.debiased is None else f"{e.debiased:.4f}" for e in entries]),
        ("images", [f"{e.n:,}" if e.n is not None else "?" for e in entries]),
        ("95 % interval", [
            "-" if e.low is None or e.high is None else f"{e.low:.3f} to {e.high:.3f}"
            for e in entries
        ]),
        ("ITDis", [f"{e.itdis:.4f}" for e in entries]),
        ("Dis(f,r)", [f"{e.dis_fr:.4f}" for e in entries]),
    ]  # fmt: skip
    names = ("model", [shown(e.name, NAME if width is None else width // 3) for e in entries])
    head, *rows = _table(names, columns, width)
    lines = [Styled(head, "bold"), *rows]
    how = {_how(each) for each in result.against_best}
    if how:
        alike = f", {next(iter(how))}" if len(how) == 1 else ""
        lines += ["", f"against {shown(entries[0].name, NAME)}{alike}"]
    for each in result.against_best:
        own = f", {_how(each)}" if len(how) > 1 else ""
        lines.append(
            f"{shown(each.name, NAME)}  {each.difference:+.4f}{_error(each.standard_error)}: "
            f"{_told(each, len(result.against_best))}{own}"
        )
        lines.append(Styled(_signature(each, short=short), "dim"))
    return [*lines, *_families(result, width), *_slice_gaps(result)]


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
                    beyond = "differs" if gap.p_adjusted < 0.05 else "may be equal"
                    verdict = f"p {gap.p_adjusted:.3g} of all slices: {beyond}"
                number = "adds to CMD" if name == "adds" else name
                models = (shown(each.name, NAME), shown(label, NAME), number)
                rows.append((*models, f"{gap.value:+.4f}{error}", verdict))
    if not rows:
        return []
    head = ("model", f"by {shown(best.by or '', NAME)}", "", f"less {shown(best.name, NAME)}", "")
    return ["", *_aligned([head, *rows])]


def _told(each: Against, models: int) -> str:
    """Whether a model differs from the best, in words."""
    from cmdmetric.compare import chance, p_of

    if each.p_value is None or each.p_adjusted is None:
        return "not tested, the numbers of images differ"
    differs = "differs" if each.p_adjusted < 0.05 else "may be equal"
    several = f", {each.p_adjusted:.2g} for {models} comparisons" if models > 1 else ""
    return f"{differs}; {chance(each.p_value)} ({p_of(each.p_value)}{several})"


def _error(error: float | None) -> str:
    return "" if error is None else f" ± {error:.4f}"


def _how(each: Against) -> str:
    return "paired by caption" if each.paired else "as independent samples"


def _families(result: Comparison, width: int | None) -> list[str]:
    """The family's numbers, a line each, a column for every model."""
    names = list(dict.fromkeys(name for entry in result.entries for name in entry.metrics))
    if not names:
        return []
    better = {name: value.better for e in result.entries for name, value in e.metrics.items()}
    against = {each.name: each.metrics for each in result.against_best}
    columns: list[tuple[str, list[str]]] = [("better", [better[name] or "" for name in names])]
    for entry in result.entries:
        cells = []
        for name in names:
            value, gap = entry.metrics.get(name), against.get(entry.name, {}).get(name)
            mark = ""
            if gap is not None and gap.p_adjusted is None:
                mark = " ?"
            elif gap is not None and gap.p_adjusted is not None and gap.p_adjusted < 0.05:
                mark = " *"
            cells.append(f"{'-' if value is None else _with_error(value)}{mark}")
        columns.append((shown(entry.name, NAME if width is None else width // 4), cells))
    head, *rows = _table(("", names), columns, width)
    lines = ["", Styled(head, "bold"), *rows]
    gaps = [gap for each in against.values() for gap in each.values()]
    if gaps:
        unknown = any(gap.p_adjusted is None for gap in gaps)
        more = "; ? whether it does is not known" if unknown else ""
        lines += ["", f"* differs from {shown(result.entries[0].name, NAME)} at 5 %{more}"]
    return lines


def _with_error(value: Value) -> str:
    return f"{value.value:.4f}{_error(value.standard_error)}"


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
    from cmdmetric.compare import fixed

    if value is None:
        return "-"
    if value.low is None or value.high is None:
        return fixed(value.value)
    return f"{fixed(value.value)} ({fixed(value.low)} to {fixed(value.high)})"


def _copying(found: Copying | None) -> list[str]:
    """How near generated images are to training images."""
    if found is None:
        return []

    def share(value: float, error: float | None) -> str:
        return f"{100 * value:.1f} %" + ("" if error is None else f" ± {100 * error:.1f}")

    of = f"{found.n_train:,} training images of {shown(found.train, PATH)}"
    authentic = share(found.authentic, found.authentic_standard_error)
    lines = ["", f"against {of}", f"authentic      {authentic} (AuthPct; about half of new images)"]
    if found.copied is not None:
        lines.append(
            f"close          {share(found.copied, found.copied_standard_error)} are nearer to one "
            f"than all but 5 % of {found.n_held_out:,} held-out real images"
        )
    rows = [("nearest", "training image", "distance", "authentic")]
    for each in found.nearest[:5]:
        names = shown(each.name, NAME), shown(each.train, NAME)
        rows.append((*names, f"{each.distance:.4f}", "yes" if each.is_authentic else "no"))
    return [*lines, *_aligned(rows)]


def harm_table(rows: Sequence[Harm], width: int | None = None) -> list[str]:
    """The samples that raise CMD most; names and captions are cut to the terminal's columns."""
    longest = NAME if width is None else max(8, (width - 28) // 2)
    cells = [("raises CMD by", "", "name", "caption")]
    cells += [
        (f"{row.share:.5f}", row.side, shown(row.name, longest), shown(row.caption, longest))
        for row in rows
    ]
    return _aligned(cells)


def check_lines(verdict: Verdict) -> list[str]:
    """The verdict of a gate, with what failed in a colour of its own; why is told on stderr."""
    good = verdict.exit_status == 0
    *lines, last = verdict.lines(reasons=False)
    styled = [Styled(line, "bad") if line.endswith("OUTSIDE") else line for line in lines]
    return [*styled, Styled(last, "good" if good else "bad")]


def _table(
    names: tuple[str, Sequence[str]],
    columns: Sequence[tuple[str, Sequence[str]]],
    width: int | None,
) -> list[str]:
    """A head and rows with as many of the columns as there is room for, but one at least."""
    kept = [names, *columns]
    while True:
        lines = _aligned(list(zip(*([title, *cells] for title, cells in kept), strict=True)))
        if width is None or len(kept) == 2 or max(map(len, lines)) <= width:
            return lines
        kept.pop()


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
