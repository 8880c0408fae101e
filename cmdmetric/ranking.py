"""Several generators that were scored together, ranked, and what sets them apart from the best.

They have captions and real images in common, and images of one caption are paired: what they share
cancels in their differences, which stored scores (`cmdmetric.compare`) do not allow.
"""

from __future__ import annotations

from collections.abc import Sequence

from cmdmetric.compare import Against, Comparison, adjusted_gaps, entry_of, holm
from cmdmetric.comparison import difference_of, gaps_of
from cmdmetric.score import groups_of
from cmdmetric.scored import Scored


def rank(found: Sequence[Scored]) -> Comparison:
    """Two generators or more, the best CMD first, each of the others against it.

    No difference is tested where one of them was given as moments alone or is of one caption.
    """
    order = sorted(found, key=lambda each: each.score.cmd)
    entries = tuple(entry_of(each.score.generated, each.score.to_dict()) for each in order)
    notes = dict.fromkeys(note for each in order for note in each.score.warnings)
    best, *others = order
    tested = [each for each in others if _has_errors(each) and _has_errors(best)]
    gaps = [difference_of(each, best) for each in tested]
    against = tuple(
        Against(
            each.score.generated,
            gap.raw if gap.debiased is None else gap.debiased,
            gap.standard_error,
            gap.low,
            gap.high,
            gap.p_value,
            adjusted,
            family,
        )
        for each, gap, adjusted, family in zip(
            tested,
            gaps,
            holm([gap.p_value for gap in gaps]),
            adjusted_gaps([gaps_of(each, best) for each in tested]),
            strict=True,
        )
    )
    paired = all(own is not None for own in groups_of([each.f for each in order], best.l))
    return Comparison(entries, against, "cmd", tuple(notes), paired)


def _has_errors(found: Scored) -> bool:
    return found.f.has_features and found.score.uncertainty is not None
