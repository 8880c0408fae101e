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
    from cmdmetric.gate.expectations import (
        SAME_CAPTIONS as SAME_CAPTIONS,
        Against as Against,
        differences_of as differences_of,
        expectation as expectation,
        numbers as numbers,
        setting_of as setting_of,
    )
    from cmdmetric.gate.stored import (
        read_json as read_json,
        refuse_malformed as refuse_malformed,
    )
    from cmdmetric.gate.verdict import Verdict as Verdict

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "checks": "DEFAULT_TOLERANCE Tolerance check",
        "expectations": "Against SAME_CAPTIONS differences_of expectation numbers setting_of",
        "stored": "read_json refuse_malformed",
        "verdict": "Verdict",
    },
)
