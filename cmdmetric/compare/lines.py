"""Comparisons as lines of text: what a terminal prints, and what `print` gives in Python."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cmdmetric.compare.words import chance, fixed, p_of, verdict
from cmdmetric.grid import aligned, fitting
from cmdmetric.terminal import NAME, Styled, shown

if TYPE_CHECKING:
    from cmdmetric.compare.models import Against, Entry
    from cmdmetric.uncertainty import Difference, Gap, Value


def versus_lines(
    names: tuple[str, str],
    difference: Difference,
    metrics: Mapping[str, Gap],
    *,
    short: bool = False,
) -> list[str]:
    """Whether two generators differ, and by how much, in CMD and in the other metrics.

    Args:
        names: What the generators are called.
        difference: That of CMD, of the first less the second.
        metrics: Those of other numbers, by name.
        short: Whether the difference is given the short form of its signature.
    """
    one, two = (shown(name, NAME) for name in names)
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
        *_gaps(metrics),
    ]


def _signature(difference: Difference | Against, *, short: bool) -> str:
    """The line of a difference's signature, as a score has one."""
    line = difference.short_signature if short else difference.signature
    return f"{'signature':<10} {line}"


def _gaps(metrics: Mapping[str, Gap]) -> list[str]:
    """The differences of the family's numbers."""
    if not metrics:
        return []
    rows: list[tuple[str, ...]] = [
        ("", "first - second", "debiased", "95 %", "p", "by SE", "adjusted", "at 5 %")
    ]
    for name, gap in metrics.items():
        error = _error(gap.standard_error)
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
    return ["", *aligned(rows)]


def compare_lines(
    entries: Sequence[Entry],
    against_best: Sequence[Against],
    width: int | None = None,
    *,
    short: bool = False,
) -> list[str]:
    """Models by rank, and what sets the others apart from the best.

    Args:
        entries: The models, the best first.
        against_best: The differences of others from the best, where they are known.
        width: The columns of the terminal: what is less important is left out where they are few.
        short: Whether differences are given the short form of their signatures.
    """
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
    head, *rows = fitting(names, columns, width)
    lines = [Styled(head, "bold"), *rows]
    how = {_how(each) for each in against_best}
    if how:
        all_so = f", {next(iter(how))}" if len(how) == 1 else ""
        lines += ["", f"against {shown(entries[0].name, NAME)}{all_so}"]
    of = {entry.name: entry for entry in entries}
    for each in against_best:
        own = f", {_how(each)}" if len(how) > 1 else ""
        raw = of[each.name].cmd - entries[0].cmd
        alike = math.isclose(each.difference, raw, abs_tol=1e-4)
        debiased = "" if alike else f" debiased, {raw:+.4f} as scored"
        lines.append(
            f"{shown(each.name, NAME)}  {each.difference:+.4f}{_error(each.standard_error)}"
            f"{debiased}: {_told(each, len(against_best))}{own}"
        )
        lines.append(Styled(_signature(each, short=short), "dim"))
    lines += _families(entries, against_best, width)
    return lines + _slice_gaps(entries[0], against_best)


def _slice_gaps(best: Entry, against_best: Sequence[Against]) -> list[str]:
    """In which slices models differ from the best."""
    rows: list[tuple[str, ...]] = []
    for each in against_best:
        for label, gaps in each.slices.items():
            for name, gap in gaps.items():
                error = _error(gap.standard_error)
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
    return ["", *aligned([head, *rows])]


def _told(each: Against, models: int) -> str:
    """Whether a model differs from the best, in words."""
    if each.p_value is None or each.p_adjusted is None:
        return "not tested, the numbers of images differ"
    differs = "differs" if each.p_adjusted < 0.05 else "may be equal"
    several = f", {each.p_adjusted:.2g} for {models} comparisons" if models > 1 else ""
    return f"{differs}; {chance(each.p_value)} ({p_of(each.p_value)}{several})"


def _error(error: float | None) -> str:
    return "" if error is None else f" ± {error:.4f}"


def _how(each: Against) -> str:
    return "paired by caption" if each.paired else "as independent samples"


def _families(
    entries: Sequence[Entry], against_best: Sequence[Against], width: int | None
) -> list[str]:
    """The family's numbers, a line each, a column for every model."""
    names = list(dict.fromkeys(name for entry in entries for name in entry.metrics))
    if not names:
        return []
    better = {name: value.better for e in entries for name, value in e.metrics.items()}
    against = {each.name: each.metrics for each in against_best}
    columns: list[tuple[str, list[str]]] = [("better", [better[name] or "" for name in names])]
    for entry in entries:
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
    head, *rows = fitting(("", names), columns, width)
    lines = ["", Styled(head, "bold"), *rows]
    gaps = [gap for each in against.values() for gap in each.values()]
    if gaps:
        unknown = any(gap.p_adjusted is None for gap in gaps)
        more = "; ? whether it does is not known" if unknown else ""
        lines += ["", f"* differs from {shown(entries[0].name, NAME)} at 5 %{more}"]
    return lines


def _with_error(value: Value) -> str:
    return f"{value.value:.4f}{_error(value.standard_error)}"
