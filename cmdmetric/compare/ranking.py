"""Several generators that were scored together, ranked, and what sets them apart from the best.

They have captions and real images in common, and images of one caption are paired: what they share
cancels in their differences, which stored scores (`cmdmetric.compare.stored_scores`) do not allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cmdmetric.compare.stored_scores import Comparison, Parted, entry_of, ranked
from cmdmetric.compare.two_generators import difference_of, gaps_of, share_captions, twins
from cmdmetric.scoring import Scored
from cmdmetric.uncertainty import Difference, Gap


def rank(found: Sequence[Scored]) -> Comparison:
    """Two generators or more, the best first, each of the others against it.

    They are ranked as stored scores are. No difference is tested where one of the two was given as
    moments alone or is of one caption.
    """
    entries = [entry_of(each.score.generated, each.score.to_dict()) for each in found]

    def difference(one: int, two: int) -> Parted:
        pair = found[one], found[two]
        return _gap(difference_of(*pair)), gaps_of(*pair), share_captions(*pair)

    result = ranked(entries, difference, twins(found))
    told = [note for each in found for note in each.score.warnings]
    return replace(result, warnings=tuple(dict.fromkeys([*told, *result.warnings])))


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
