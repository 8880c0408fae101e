"""The gate: is a score what it was, or what it should be?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.gate.checks import (
        DEFAULT_TOLERANCE as DEFAULT_TOLERANCE,
        Tolerance as Tolerance,
        check as check,
    )
    from cmdmetric.gate.ci import (
        junit as junit,
        log_commands as log_commands,
        summary as summary,
    )
    from cmdmetric.gate.expectations import (
        SAME_CAPTIONS as SAME_CAPTIONS,
        Against as Against,
        differences_of as differences_of,
        expectation as expectation,
        numbers as numbers,
        setting_of as setting_of,
    )
    from cmdmetric.gate.verdict import Verdict as Verdict

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "checks": "DEFAULT_TOLERANCE Tolerance check",
        "ci": "junit log_commands summary",
        "expectations": "Against SAME_CAPTIONS differences_of expectation numbers setting_of",
        "verdict": "Verdict",
    },
)
