"""A comparison as a table: LaTeX for a paper, Markdown for a text, CSV for a spreadsheet."""

from __future__ import annotations

from cmdmetric.compare.standing import MEANING, direction, marks_of, numbers_of
from cmdmetric.compare.stored_scores import Comparison
from cmdmetric.grid import Cell, Grid, Mark, csv_text
from cmdmetric.metrics import QUANTITIES
from cmdmetric.scoring import decimals
from cmdmetric.uncertainty import Value

_ARROWS = {"lower": "↓", "higher": "↑", None: ""}


def to_grid(result: Comparison) -> Grid:
    """The models in their order, a column for each number, rounded to two digits of its error.

    Where the models are ranked by the debiased CMD, that has the first column.
    """
    marks, heads, columns = marks_of(result), [], []
    for name, values in numbers_of(result).items():
        title = QUANTITIES.get(name, name)
        if name == "cmd" and result.ranked_by == "debiased":
            title = f"debiased {title}"
            values = [_debiased(entry.debiased, entry.standard_error) for entry in result.entries]
        heads.append((title, _ARROWS[direction(values)]))
        columns.append(
            [_cell(value, mark) for value, mark in zip(values, marks[name], strict=True)]
        )
    names = [entry.name for entry in result.entries]
    rows = tuple(zip(names, zip(*columns, strict=True), strict=True))
    comments = tuple(f"{entry.name}: {entry.signature}" for entry in result.entries)
    return Grid(tuple(heads), rows, MEANING, comments)


def to_csv(result: Comparison) -> str:
    """A row each model: every number unrounded, its standard error and its mark, and its signature.

    A mark is "best", "tied" (not distinguishable from the best), "unknown", or empty.
    """
    numbers, marks = numbers_of(result), marks_of(result)
    head = ["model"]
    for name in numbers:
        head += [name, f"{name}_standard_error", f"{name}_mark"]
    head += ["debiased", "low", "high", "n", "signature"]
    rows = []
    for place, entry in enumerate(result.entries):
        cells: list[object] = [entry.name]
        for name, values in numbers.items():
            value = values[place]
            cells += [None, None, None] if value is None else [
                value.value, value.standard_error, marks[name][place] or None
            ]  # fmt: skip
        rows.append([*cells, entry.debiased, entry.low, entry.high, entry.n, entry.signature])
    return csv_text(head, rows)


def _debiased(value: float | None, error: float | None) -> Value | None:
    return None if value is None else Value(value, error, "lower")


def _cell(value: Value | None, mark: Mark) -> Cell:
    if value is None:
        return Cell(None)
    places = decimals(value.standard_error)
    # What rounds to zero has no sign.
    text = f"{round(value.value, places) + 0.0:.{places}f}"
    error = value.standard_error
    return Cell(text, f"{error:.{places}f}" if error else None, mark)
