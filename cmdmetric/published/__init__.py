"""The paper's tables as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.published.formats import (
        to_csv as to_csv,
        to_dict as to_dict,
        to_latex as to_latex,
        to_markdown as to_markdown,
        to_text as to_text,
    )
    from cmdmetric.published.paper import (
        DECIMALS as DECIMALS,
        Claim as Claim,
        Contradiction as Contradiction,
        Published as Published,
        Row as Row,
        Table as Table,
        load as load,
        parse as parse,
        row as row,
        table as table,
        tables as tables,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "formats": "to_csv to_dict to_latex to_markdown to_text",
        "paper": "Claim Contradiction DECIMALS Published Row Table load parse row table tables",
    },
)
