"""A table of numbers for a terminal, a text or a paper, with the best of each column marked.

Names in it are other people's text: each form escapes what it would read as something else, and a
cell of CSV that a spreadsheet would run as a formula is made text, as OWASP advises ("CSV
injection").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from cmdmetric.terminal import shown

#: What a number is within its column: the best, not to be told from the best, or not known to
#: differ from it or not.
Mark: TypeAlias = Literal["", "best", "tied", "unknown"]
#: What a cell begins with that spreadsheets run; the last four are their full-width forms.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
#: A name that stands in CSV as it is.
_PLAIN = re.compile(r"\w[\w.:@ -]*")
#: What LaTeX reads as something else.
_LATEX = {
    "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "{}$&#_%"},
}  # fmt: skip
_SPECIAL = re.compile(f"[{re.escape(''.join(_LATEX))}]")
#: What Markdown, and HTML within it, reads as something else.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>|#~&$!]")
_SIGNS: dict[Mark, str] = {"": "", "best": "*", "tied": "†", "unknown": "?"}
_SUPERSCRIPTS: dict[Mark, str] = {"tied": r"^{\dagger}", "unknown": "^{?}"}


@dataclass(frozen=True)
class Cell:
    """A number as it is printed, or None for one that is not there.

    Attributes:
        value: The number, rounded.
        error: Its standard error, rounded to the same place; None where it is not known.
        mark: What it is within its column.
    """

    value: str | None
    error: str | None = None
    mark: Mark = ""


@dataclass(frozen=True)
class Grid:
    """Rows of numbers under the names of models.

    Attributes:
        heads: The titles of the columns of numbers, with which way is better: "↓", "↑" or "".
        rows: By row its name and its cells, as many as there are heads.
        legend: What marks mean, by mark; only those that occur are told.
        comments: Lines that a paper's source keeps, and its print does not.
    """

    heads: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    legend: tuple[tuple[Mark, str], ...] = ()
    comments: tuple[str, ...] = ()

    def to_text(self) -> list[str]:
        """Aligned lines for a terminal, which say what marks mean at the end."""
        table = [["", *(f"{title} {arrow}".strip() for title, arrow in self.heads)]]
        table += [[name, *map(_plain, cells)] for name, cells in self.rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        legend = [f"{_SIGNS[mark]} {meaning}" for mark, meaning in self._told]
        return [*lines, *([""] if legend else []), *legend]

    def to_markdown(self) -> str:
        """A table of Markdown (GitHub's), the best in bold, with its legend below."""
        heads = [markdown_text(f"{title} {arrow}".strip()) for title, arrow in self.heads]
        lines = [f"| model | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(heads)}"]
        for name, cells in self.rows:
            shown_cells = [
                f"**{_number(cell)}**" if cell.mark == "best" else _plain(cell) for cell in cells
            ]
            lines.append(f"| {markdown_text(name)} | {' | '.join(shown_cells)} |")
        signs = {**_SIGNS, "best": "**bold**"}
        legend = [f"{signs[mark]}: {meaning}" for mark, meaning in self._told]
        return "\n".join([*lines, *(["", "; ".join(legend)] if legend else []), ""])

    def to_latex(self) -> str:
        """A table of LaTeX with the lines of the package booktabs, the best in bold."""
        arrows = {"↓": r" $\downarrow$", "↑": r" $\uparrow$"}
        heads = [f"{latex_text(title)}{arrows.get(arrow, '')}" for title, arrow in self.heads]
        rows = [
            rf"{' & '.join([latex_text(name), *map(_in_latex, cells)])} \\"
            for name, cells in self.rows
        ]
        signs = {mark: f"${sign}$" for mark, sign in _SUPERSCRIPTS.items()}
        signs["best"] = r"\textbf{bold}"
        legend = "; ".join(f"{signs[mark]}: {latex_text(meaning)}" for mark, meaning in self._told)
        width = len(heads) + 1
        foot = [rf"\multicolumn{{{width}}}{{l}}{{\footnotesize {legend}}} \\"] if legend else []
        return "\n".join(
            [
                *(f"% {shown(comment)}" for comment in self.comments),
                rf"\begin{{tabular}}{{l{'r' * len(heads)}}}",
                r"\toprule",
                rf"{' & '.join(['model', *heads])} \\",
                r"\midrule",
                *rows,
                r"\bottomrule",
                *foot,
                r"\end{tabular}",
                "",
            ]
        )

    @property
    def _told(self) -> list[tuple[Mark, str]]:
        there = {cell.mark for _, cells in self.rows for cell in cells}
        return [(mark, meaning) for mark, meaning in self.legend if mark in there]


def fitting(
    names: tuple[str, Sequence[str]],
    columns: Sequence[tuple[str, Sequence[str]]],
    width: int | None,
) -> list[str]:
    """A head and rows as lines, with as many of the columns as there is room for, but one at least.

    Args:
        names: The title of the rows' names, and the names.
        columns: By importance their titles and cells: the last ones give way first.
        width: The most characters of a line; None for any number.
    """
    kept = [names, *columns]
    while True:
        lines = aligned(list(zip(*([title, *cells] for title, cells in kept), strict=True)))
        if width is None or len(kept) == 2 or max(map(len, lines)) <= width:
            return lines
        kept.pop()


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines, whose columns stand below each other.

    >>> aligned([("model", "CMD"), ("a", "8.04")])
    ['model  CMD', 'a      8.04']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def csv_text(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV under a line of names; None is an empty cell, and no text is a formula.

    All text is in quotes: a lone carriage return would else be the end of a row. In the line of
    names it is what is no plain name.

    >>> csv_text(["name", "cmd"], [["a", 8.04], ["-b", None]])
    'name,cmd\\n"a",8.04\\n"\\'-b",\\n'
    """
    names = (name if _PLAIN.fullmatch(name) else _in_csv(name) for name in head)
    lines = [",".join(names), *(",".join(map(_in_csv, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def _in_csv(value: Any) -> str:
    if isinstance(value, str):
        return '"' + csv_cell(value).replace('"', '""') + '"'
    return "" if value is None else str(value)


def csv_cell(text: str) -> str:
    """Text that a spreadsheet takes for text.

    >>> csv_cell("=HYPERLINK(A1)")
    "'=HYPERLINK(A1)"
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def latex_text(text: str) -> str:
    r"""Text that LaTeX prints as it is.

    >>> print(latex_text("50% of a_b"))
    50\% of a\_b
    """
    return _SPECIAL.sub(lambda found: _LATEX[found[0]], shown(text))


def markdown_text(text: str) -> str:
    r"""Text that Markdown shows as it is, in a cell of a table too.

    >>> print(markdown_text("a_b|c"))
    a\_b\|c
    """
    return _MARKUP.sub(lambda found: f"\\{found[0]}", shown(text))


def _number(cell: Cell) -> str:
    if cell.value is None:
        return "-"
    return cell.value if cell.error is None else f"{cell.value} ± {cell.error}"


def _plain(cell: Cell) -> str:
    return f"{_number(cell)} {_SIGNS[cell.mark]}".rstrip()


def _in_latex(cell: Cell) -> str:
    if cell.value is None:
        return "--"
    text = cell.value if cell.error is None else rf"{cell.value} \pm {cell.error}"
    bold = rf"\mathbf{{{text}}}" if cell.mark == "best" else text
    return f"${bold}{_SUPERSCRIPTS.get(cell.mark, '')}$"
