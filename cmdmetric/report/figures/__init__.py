"""The figures of a page as SVG, in the colours of that page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.report.figures.marks import (
        Mark as Mark,
        scale_of as scale_of,
        whiskers as whiskers,
    )
    from cmdmetric.report.figures.plots import (
        Bar as Bar,
        clouds as clouds,
        clouds_label as clouds_label,
        gauge as gauge,
        gauge_bars as gauge_bars,
        growth as growth,
        plane as plane,
        published_bars as published_bars,
        ratios as ratios,
        similarity as similarity,
        spectra as spectra,
    )
    from cmdmetric.report.figures.svg import INK as INK, MODELS as MODELS

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "plots": (
            "Bar clouds clouds_label gauge gauge_bars growth plane published_bars ratios "
            "similarity spectra"
        ),
        "svg": "INK MODELS",
        "marks": "Mark scale_of whiskers",
    },
)
