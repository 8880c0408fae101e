"""Formulas in blocks of ```math, as GitHub shows them, become MathML: typeset without a script."""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with every formula as a block of its own."""
    return re.sub(
        r"^```math\n(.*?)\n```$",
        lambda found: f'<div class="formula">{convert(found[1], display="block")}</div>',
        markdown,
        flags=re.M | re.S,
    )
