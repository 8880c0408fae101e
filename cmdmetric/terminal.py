"""What reaches a terminal or a log: text of others that neither can be commanded by.

Names and captions are other people's data. A terminal obeys control characters, a reader is misled
by a changed direction of writing or a forged line, and a service that keeps the log of a job obeys
lines such as "::warning::" (GitHub) or "##vso[...]" (Azure).
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from cmdmetric.errors import InputError

#: The most characters of a line; of one that is longer, the middle is left out.
LINE = 2000
#: Controls of the terminal, of the line and of the writing direction, and undecodable bytes.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
#: Commands of GitHub begin a line; its older ones, Azure's and TeamCity's stand anywhere in it.
_COMMAND = re.compile(r"^(\s*):(?=:)|#(?=#\w*\[)")


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


def one_line(text: str) -> str:
    r"""One line of output, whatever is in it; tabulators stay.

    >>> print(one_line("::warning title=x::a caption\rwith \x1b[2J in it"))
    \x3a:warning title=x::a caption\rwith \x1b[2J in it
    """
    return _COMMAND.sub(_disarm, shown(text, LINE, keep="\t"))


def say(*lines: str, err: bool = False) -> None:
    """Print lines on stdout, or on stderr: each stays one line, and commands nothing."""
    print("\n".join(map(one_line, lines)), file=sys.stderr if err else sys.stdout)


def tell(message: str) -> None:
    """Print a message on stderr, with its line breaks.

    No line after the first begins as messages do: a name in it cannot forge another message.
    """
    first, *others = message.split("\n")
    say(first, *(other if other.startswith(" ") else f"  {other}" for other in others), err=True)


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
