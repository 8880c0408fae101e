"""In which order models stand, and what a reader must know of that order."""

from __future__ import annotations

from collections.abc import Sequence

from cmdmetric.compare.models import Against, Entry
from cmdmetric.uncertainty import differ


def ranking_of(entries: Sequence[Entry]) -> tuple[list[int], str, list[str]]:
    """Give the order of the models, the best first, what it is by, and what one must know of it."""
    notes = []
    places, counts = range(len(entries)), [entry.n for entry in entries if entry.n is not None]
    if len(counts) < len(entries):
        notes.append("not every score says of how many images it is; they are taken for equal")
    order = debiased = sorted(places, key=lambda i: entries[i].cmd)
    values = [entry.debiased for entry in entries if entry.debiased is not None]
    known = len(values) == len(entries)
    if known:
        debiased = sorted(places, key=values.__getitem__)
    if unlike := any(differ(one.sizes, two.sizes) for one in entries for two in entries):
        advice = "fewer images score higher for that alone, so the ranking may mean nothing"
        if known:
            advice = "they are ranked by the debiased CMD"
        of = f"{min(counts):,} to {max(counts):,} generated images"
        if min(counts) == max(counts):
            of = f"{counts[0]:,} generated images of different numbers of captions"
        notes.append(f"the scores are of {of}: {advice}")
    elif debiased != order:
        notes.append(
            "they are ranked by the debiased CMD, which is what the tests compare: by CMD as "
            f"scored the order is {', '.join(entries[i].name for i in order)}"
        )
    return debiased, "debiased" if (known and unlike) or debiased != order else "cmd", notes


def untested(best: Entry, others: Sequence[Entry]) -> list[str]:
    """Tell a reader which models cannot be tested against the best."""
    names = [entry.name for entry in others if not (entry.has_errors and best.has_errors)]
    if not names:
        return []
    why = best.name if not best.has_errors else ", ".join(names)
    return [
        f"not tested against {best.name}: {', '.join(names)}. {why}: no error bar includes the "
        "generated images (moments alone, or images of one caption)"
    ]


def turned_round(best: Entry, against: Sequence[Against]) -> list[str]:
    """Tell where the order is not that of what is tested, as where some have no debiased value."""
    names = [each.name for each in against if each.difference < 0]
    if not names:
        return []
    return [
        f"{best.name} stands first; by the differences that the tests compare, debiased, "
        f"{' and '.join(names)} would be before it"
    ]
