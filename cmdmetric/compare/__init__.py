"""Several generators side by side: two with a test, many in a ranking, stored scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.compare.explanation import (
        AtHand as AtHand,
        Explanation as Explanation,
        explain as explain,
    )
    from cmdmetric.compare.formats import to_csv as to_csv, to_grid as to_grid
    from cmdmetric.compare.lines import (
        compare_lines as compare_lines,
        versus_lines as versus_lines,
    )
    from cmdmetric.compare.planning import Plan as Plan, plan as plan
    from cmdmetric.compare.ranking import rank as rank
    from cmdmetric.compare.stored_scores import (
        Against as Against,
        Comparison as Comparison,
        Entry as Entry,
        compare as compare,
    )
    from cmdmetric.compare.two_generators import Versus as Versus, versus as versus
    from cmdmetric.compare.words import (
        chance as chance,
        fixed as fixed,
        p_of as p_of,
        verdict as verdict,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "explanation": "AtHand Explanation explain",
        "formats": "to_csv to_grid",
        "lines": "compare_lines versus_lines",
        "planning": "Plan plan",
        "ranking": "rank",
        "stored_scores": "Against Comparison Entry compare",
        "two_generators": "Versus versus",
        "words": "chance fixed p_of verdict",
    },
)
