"""What reaches a terminal or a log: text of others that neither can be commanded by.

Names and captions are other people's data. A terminal obeys control characters, a reader is misled
by a changed direction of writing or a forged line, and a service that keeps the log of a job obeys
lines such as "::warning::" (GitHub) or "##vso[...]" (Azure).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TextIO, TypeAlias

from cmdmetric.errors import InputError

#: The most characters of a line; of one that is longer, the middle is left out.
LINE = 2000
#: The most characters of a model's, a set's or an image's name and of a caption in a table.
NAME = 60
#: The most characters of a path.
PATH = 300
#: Controls of the terminal, of the line and of the writing direction, and undecodable bytes.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
#: Commands of GitHub begin a line; its older ones, Azure's and TeamCity's stand anywhere in it.
_COMMAND = re.compile(r"^(\s*):(?=:)|#(?=#\w*\[)")

#: How a terminal shows a line, by what ECMA-48 calls it.
Style: TypeAlias = Literal["bold", "dim", "good", "bad", "warning"]
_CODES = {"bold": "1", "dim": "2", "good": "1;32", "bad": "1;31", "warning": "1;33"}
#: What a wrapped line goes on under.
_INDENT = 11


class Styled(str):
    """A line that a terminal shows in a style; everywhere else it is its text."""

    style: Style

    def __new__(cls, text: str, style: Style) -> Styled:
        """Make it of a text, which is escaped when it is printed."""
        line = super().__new__(cls, text)
        line.style = style
        return line


def width_of(stream: TextIO) -> int | None:
    """The columns of a terminal; None of what is no terminal, where a line may have any length."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def has_colours(stream: TextIO) -> bool:
    """Whether a stream is a terminal with colours, and nobody has said no (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def shown(text: str, longest: int | None = None, keep: str = "") -> str:
    r"""Escape what a terminal would obey or cannot show.

    Args:
        text: A name, a caption, or anything else that others may have chosen.
        longest: The most characters that are returned; the middle of a longer text is left out.
        keep: Characters that are not escaped.

    >>> print(shown("two\nlines.png"))
    two\nlines.png
    >>> print(shown("a_very_long_name.png", 11))
    a_ver…e.png
    """

    def escape(found: re.Match[str]) -> str:
        return found[0] if found[0] in keep else found[0].encode("unicode_escape").decode()

    escaped = _UNSEEN.sub(escape, text)
    if longest is None or len(escaped) <= longest:
        return escaped
    tail = (longest - 1) // 2
    return f"{escaped[: longest - 1 - tail]}…{escaped[len(escaped) - tail :]}"


def counted(n: int, unit: str) -> str:
    """Say how many there are of something that is counted.

    >>> counted(2000, "caption"), counted(1, "image")
    ('2,000 captions', '1 image')
    """
    return f"{n:,} {unit}" if n == 1 else f"{n:,} {unit}s"


def percent(share: float) -> str:
    """Write a share.

    >>> percent(0.125)
    '12 %'
    """
    return f"{100 * share:.0f} %"


def one_line(text: str) -> str:
    r"""One line of output, whatever is in it; tabulators stay.

    >>> print(one_line("::warning title=x::a caption\rwith \x1b[2J in it"))
    \x3a:warning title=x::a caption\rwith \x1b[2J in it
    """
    return _COMMAND.sub(_disarm, shown(text, LINE, keep="\t"))


def say(*lines: str, err: bool = False) -> None:
    """Print lines on stdout, or on stderr: none commands anything, and in a pipe each is one line.

    A terminal gets them no wider than it is.
    """
    stream = sys.stderr if err else sys.stdout
    width, colours = width_of(stream), has_colours(stream)
    for line in lines:
        text = one_line(line)
        if width is not None and len(text) > width:
            text = _wrapped(text, width)
        if colours and isinstance(line, Styled):
            text = f"\x1b[{_CODES[line.style]}m{text}\x1b[0m"
        print(text, file=stream)


def _wrapped(text: str, width: int) -> str:
    """A line in several; a word that is longer than the terminal, as a signature, stays whole."""
    indent = " " * min(_INDENT, width // 4)
    return textwrap.fill(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def tell(message: str) -> None:
    """Print a message on stderr, with its line breaks.

    No line after the first begins as messages do: a name in it cannot forge another message.
    """
    first, *others = message.split("\n")
    for word, style in _ALARMS.items():
        if first.startswith(word):
            first = Styled(first, style)
    say(first, *(other if other.startswith(" ") else f"  {other}" for other in others), err=True)


#: How messages begin that must not be overlooked.
_ALARMS: dict[str, Style] = {
    "error:": "bad", "Error:": "bad", "check failed:": "bad", "warning:": "warning"
}  # fmt: skip


def as_json(content: Mapping[str, Any] | Sequence[Any]) -> str:
    r"""The content as JSON of ASCII characters, in which no service finds a command.

    Raises:
        InputError: A number in it is infinite or none, for which JSON has no word.

    >>> print(as_json({"name": "##vso[task.complete]"}))
    {
      "name": "\u0023#vso[task.complete]"
    }
    """
    try:
        text = json.dumps(content, indent=2, allow_nan=False).replace("\x7f", "\\u007f")
    except ValueError:
        raise InputError(
            "a number of the result is infinite or no number, and JSON has no word for that: the "
            "features or moments that it was made of are out of range"
        ) from None
    return _COMMAND.sub(r"\\u0023", text)  # within strings alone: no line of it begins with a colon


def _disarm(found: re.Match[str]) -> str:
    return r"\x23" if found[0] == "#" else f"{found[1]}\\x3a"
