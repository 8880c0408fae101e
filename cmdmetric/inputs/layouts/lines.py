"""The lines of a text, without a copy of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


def lines_of(text: str) -> Iterator[str]:
    r"""Give each line with its end, as a file does that is opened with `newline=""`.

    `io.StringIO` would hold four bytes for every character; `str.splitlines` also cuts within
    captions, at what is no end of a line in a file.

    >>> list(lines_of("one\r\ntwo\u2028still two\n\nfour"))
    ['one\r\n', 'two\u2028still two\n', '\n', 'four']
    """
    return (found[0] for found in _LINE.finditer(text))
