"""Examples in docstrings (`>>>`) are shown as code: Markdown alone takes them for quotations."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Doctests(griffe.Extension):
    """Fences every example that stands in a docstring's text."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = re.sub(
                r"^( *)>>> .*(?:\n\1\S.*)*",  # to the next blank line
                lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```",
                obj.docstring.value,
                flags=re.M,
            )
