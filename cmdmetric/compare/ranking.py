"""Several generators that were scored together, ranked, and what sets them apart from the best.

They have captions and real images in common, and images of one caption are paired: what they share
cancels in their differences, which stored scores (`cmdmetric.compare.stored_scores`) do not allow.
"""

from __future__ import annotations

from collections.abc import Sequence

from cmdmetric.compare.order import ranking_of, turned_round, untested
from cmdmetric.compare.stored_scores import Comparison, against_best, entry_of, with_slices
from cmdmetric.compare.two_generators import difference_of, gaps_of, share_captions, twins
from cmdmetric.scoring import Scored
from cmdmetric.uncertainty import Difference, Gap


def rank(found: Sequence[Scored]) -> Comparison:
    """Two generators or more, the best first, each of the others against it.

    They are ranked as stored scores are. No difference is tested where one of the two was given as
    moments alone or is of one caption.
    """
    entries = [entry_of(each.score.generated, each.score.to_dict()) for each in found]
    order, ranked_by, notes = ranking_of(entries)
    best, *others = order
    tested = [i for i in others if entries[i].has_errors and entries[best].has_errors]
    notes += twins(found)
    notes += untested(entries[best], [entries[i] for i in others])
    against = against_best(
        [
            (
                entries[i],
                _gap(difference_of(found[i], found[best])),
                gaps_of(found[i], found[best]),
                share_captions(found[i], found[best]),
            )
            for i in tested
        ],
        entries[best],
    )
    against = with_slices(against, entries[best], {entries[i].name: entries[i] for i in others})
    notes += turned_round(entries[best], against)
    told = dict.fromkeys([note for each in found for note in each.score.warnings] + notes)
    return Comparison(tuple(entries[i] for i in order), against, ranked_by, tuple(told))


def _gap(found: Difference) -> Gap:
    return Gap(
        found.raw,
        found.debiased,
        found.standard_error,
        found.low,
        found.high,
        found.p_value,
        found.p_student,
        test=found.test,
    )
