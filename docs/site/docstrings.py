"""Docstrings as the API page shows them: examples as code, arguments as a list.

In the source a line "name: what it is" tells of an argument, and an example begins with >>>;
Markdown would run the former together and quote the latter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

_ARGUMENT = re.compile(r"(\w+(?:, \w+)*): (.*)")


class Docstrings(griffe.Extension):
    """Rewrites each docstring once, when its object has been read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """What griffe calls for modules, classes, functions and attributes."""
        if obj.docstring is not None:
            obj.docstring.value = "\n\n".join(map(_block, obj.docstring.value.split("\n\n")))


def _block(text: str) -> str:
    if text.startswith(">>> "):
        return f"```pycon\n{text}\n```"
    first = _ARGUMENT.match(text)
    if first is None or first[1][0].isupper():
        return text
    return "\n".join(_list(text.splitlines()))


def _list(lines: list[str]) -> Iterator[str]:
    for line in lines:
        found = _ARGUMENT.match(line)
        yield f"- `{found[1]}`: {found[2]}" if found else line
