"""Results as lines of text, for a terminal.

A name or a caption may hold anything; `cmdmetric.terminal.say`, which prints the lines, makes that
harmless. Here they are kept from being endless.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cmdmetric.grid import aligned
from cmdmetric.scoring import family_lines, score_lines
from cmdmetric.terminal import NAME, PATH, Styled, shown

if TYPE_CHECKING:
    from cmdmetric.compare import Versus
    from cmdmetric.gate import Verdict
    from cmdmetric.scoring import CMDScore, Copying, Harm, Slices, SliceValue


def score_table(result: CMDScore, *, short: bool = False) -> list[str]:
    """The five lines of a score, with the signature's long or short form, and its other metrics."""
    first, *others, last = score_lines(result.table, short=short)
    lines = [Styled(first, "bold"), *others, Styled(last, "dim")]
    if result.metrics:
        lines += ["", *family_lines(result.table)]
    return [*lines, *_slices(result.slices), *_copying(result.memorisation)]


def versus_table(result: Versus, *, short: bool = False) -> list[str]:
    """Two generators as text: whether they differ, by how much, and their scores."""
    one, two = (shown(score.generated, NAME) for score in (result.first, result.second))
    return [
        *result.lines(short=short),
        "",
        Styled(f"first: {one}", "bold"),
        *score_table(result.first, short=short),
        "",
        Styled(f"second: {two}", "bold"),
        *score_table(result.second, short=short),
    ]


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
    return ["", *aligned(rows), note + rest]


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
    return [*lines, *aligned(rows)]


def harm_table(rows: Sequence[Harm], width: int | None = None) -> list[str]:
    """The samples that raise CMD most; names and captions are cut to the terminal's columns."""
    longest = NAME if width is None else max(8, (width - 28) // 2)
    cells = [("raises CMD by", "", "name", "caption")]
    cells += [
        (f"{row.share:.5f}", row.side, shown(row.name, longest), shown(row.caption, longest))
        for row in rows
    ]
    return aligned(cells)


def check_lines(verdict: Verdict) -> list[str]:
    """The verdict of a gate, with what failed in a colour of its own; why is told on stderr."""
    good = verdict.exit_status == 0
    *lines, last = verdict.lines(reasons=False)
    styled = [Styled(line, "bad") if line.endswith("OUTSIDE") else line for line in lines]
    return [*styled, Styled(last, "good" if good else "bad")]
