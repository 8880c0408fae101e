"""A score as one self-contained page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.report.compare_page import write_compare_report as write_compare_report
    from cmdmetric.report.page import check_report as check_report
    from cmdmetric.report.write import look_at as look_at, write_report as write_report

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "compare_page": "write_compare_report",
        "page": "check_report",
        "write": "look_at write_report",
    },
)
