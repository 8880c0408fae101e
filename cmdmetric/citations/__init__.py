"""What scores are made with, as BibTeX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.citations.references import bibtex as bibtex, entries as entries

__getattr__, __dir__, __all__ = lazy_exports(__name__, {"references": "bibtex entries"})
