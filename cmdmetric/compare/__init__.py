"""Several generators side by side: two with a test, many in a ranking, stored scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.compare.encoders import (
        AcrossEncoders as AcrossEncoders,
        across_encoders as across_encoders,
    )
    from cmdmetric.compare.explanation import (
        AtHand as AtHand,
        Explanation as Explanation,
        explain as explain,
    )
    from cmdmetric.compare.formats import to_csv as to_csv, to_grid as to_grid
    from cmdmetric.compare.models import Against as Against, Entry as Entry
    from cmdmetric.compare.planning import Plan as Plan, plan as plan
    from cmdmetric.compare.ranking import rank as rank
    from cmdmetric.compare.stored_scores import Comparison as Comparison, compare as compare
    from cmdmetric.compare.two_generators import Versus as Versus, versus as versus
    from cmdmetric.compare.words import (
        SIGNIFICANT as SIGNIFICANT,
        chance as chance,
        fixed as fixed,
        p_of as p_of,
        verdict as verdict,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "encoders": "AcrossEncoders across_encoders",
        "explanation": "AtHand Explanation explain",
        "formats": "to_csv to_grid",
        "models": "Against Entry",
        "planning": "Plan plan",
        "ranking": "rank",
        "stored_scores": "Comparison compare",
        "two_generators": "Versus versus",
        "words": "SIGNIFICANT chance fixed p_of verdict",
    },
)
