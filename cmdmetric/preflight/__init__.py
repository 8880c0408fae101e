"""A look at inputs and setup before a network runs over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.preflight.facts import (
        ImageFacts as ImageFacts,
        Looked as Looked,
        look_over as look_over,
    )
    from cmdmetric.preflight.finding import Finding as Finding
    from cmdmetric.preflight.look import (
        by_severity as by_severity,
        inspect as inspect,
        preflight as preflight,
    )
    from cmdmetric.preflight.opening import Inputs as Inputs, Network as Network
    from cmdmetric.preflight.result import Preflight as Preflight

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "facts": "ImageFacts Looked look_over",
        "finding": "Finding",
        "look": "by_severity inspect preflight",
        "opening": "Inputs Network",
        "result": "Preflight",
    },
)
