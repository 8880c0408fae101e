"""The paper's ablations (Tables 2, 4 and 6), run row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from grgan_ref.ablation.rows import TABLES as TABLES
    from grgan_ref.ablation.run import (
        ablate as ablate,
        inception_at_hand as inception_at_hand,
        plan as plan,
    )
    from grgan_ref.ablation.table import to_markdown as to_markdown

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "rows": "TABLES",
        "run": "ablate inception_at_hand plan",
        "table": "to_markdown",
    },
)
