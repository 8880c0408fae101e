"""Whether a score follows from its pack: every number computed again, and held against it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cmdmetric.metrics import QUANTITIES
from cmdmetric.scoring.family.catalogue import metric_of
from cmdmetric.scoring.family.metric import Metric
from cmdmetric.scoring.family.scores import metrics_of_scores
from cmdmetric.scoring.networks import Networks
from cmdmetric.scoring.result import CMDScore
from cmdmetric.scoring.signature import fields_of
from cmdmetric.scoring.statistics import score_of
from cmdmetric.scoring.stored.pack import Pack
from cmdmetric.scoring.stored.score_file import SCHEMA, read_json
from cmdmetric.scoring.together import Scored, with_family

#: The same float64 sums on another machine, and products that are told in single precision where
#: these decide: what differs by less than this share is rounding.
ROUNDING = 1e-5
#: Of CMD and its parts, as a share of the largest distance: these are made in float64 throughout.
DISTANCE_ROUNDING = 1e-8


@dataclass(frozen=True)
class Row:
    """A number of the score beside what the pack gives.

    Attributes:
        name: The number.
        told: As the score has it.
        found: As it is computed from the pack; None where it cannot be.
        agrees: Whether the two are the same but for rounding.
    """

    name: str
    told: float
    found: float | None
    agrees: bool


@dataclass(frozen=True)
class Verification:
    """What came out.

    Attributes:
        rows: The numbers.
        signature: Fields of the signatures that the pack contradicts: the number, the field, what
            the score says and what the pack gives.
        notes: What could not be looked at.
    """

    rows: tuple[Row, ...]
    signature: tuple[tuple[str, str, str, str], ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether all numbers and all fields agree."""
        return all(row.agrees for row in self.rows) and not self.signature

    def to_dict(self) -> dict[str, Any]:
        """Give all fields, for JSON: docs/verify.md."""
        return {"schema": SCHEMA, "holds": self.holds, **asdict(self)}


def verify(
    score: str | os.PathLike[str] | Mapping[str, Any] | CMDScore, pack: str | os.PathLike[str]
) -> Verification:
    """Compute a score again from its pack, without images and networks.

    Args:
        score: The score, its JSON, or the file of that.
        pack: The file that `cmd-score --pack` has written with it.

    Raises:
        InputError: One cannot be read, or the pack's sets do not make a score.
    """
    if isinstance(score, CMDScore):
        told = score
    elif isinstance(score, Mapping):
        told = CMDScore.from_dict(score)
    else:
        told = CMDScore.from_dict(read_json(Path(score)), os.fspath(score))
    packed = Pack.read(pack)
    found, notes = _again(told, packed)
    rows = [*_distances(told, found), *_family(told, found)]
    differing = [
        (name, field, one, two)
        for name, line in {"cmd": told.signature, **told.signatures}.items()
        for field, one, two in _contradicted(
            line, found.signature if name == "cmd" else found.signatures.get(name)
        )
    ]
    return Verification(tuple(rows), tuple(differing), tuple(notes))


def _again(told: CMDScore, packed: Pack) -> tuple[CMDScore, list[str]]:
    score = score_of(packed.f, packed.r, packed.l)
    metrics: dict[str, Metric] = {}
    notes = []
    for number, value in told.metrics.items():
        metric = metric_of(number, value.network)
        if metric is not None:
            metrics[metric.name] = metric
        elif number not in packed.better:
            notes.append(f"{number}: this release has no metric of that name")
    wanted = Networks(tuple(metrics.values()), True, {}, {}, ())
    own = metrics_of_scores(packed.better, packed.better)
    scored = Scored(score, packed.f, packed.r, packed.l, seen=packed.seen)
    found = with_family(scored, wanted, more=own).score
    notes += [
        f"the {what} are not computed again: what they are made of is not in a pack"
        for what, there in (("slices", told.slices), ("copies", told.memorisation))
        if there is not None
    ]
    if packed.r.reference:
        notes.append(
            f"the moments of {packed.r.reference} are those in the pack; that they are the "
            "reference's is not looked at"
        )
    version = fields_of(told.signature).get("v")
    if version != fields_of(found.signature)["v"]:
        notes.append(f"the score was made by version {version}, whose numbers may differ")
    return found, notes


def _distances(told: CMDScore, found: CMDScore) -> Iterator[Row]:
    largest = max(found.dis_fl, found.dis_rl, found.dis_fr)
    for name in QUANTITIES:
        one, two = float(getattr(told, name)), float(getattr(found, name))
        yield Row(name, one, two, abs(one - two) <= DISTANCE_ROUNDING * largest)
    for name in QUANTITIES:
        mine, theirs = (getattr(each.uncertainty, name, None) for each in (told, found))
        for field in ("standard_error", "debiased"):
            stated = getattr(mine, field, None)
            if stated is not None:
                again = getattr(theirs, field, None)
                yield _row(f"{name} {field.replace('_', ' ')}", stated, again, largest)


def _family(told: CMDScore, found: CMDScore) -> Iterator[Row]:
    for name, value in told.metrics.items():
        again = found.metrics.get(name)
        size = max(abs(value.value), value.standard_error or 0.0)
        yield _row(name, value.value, None if again is None else again.value, size)
        if value.standard_error is not None:
            error = None if again is None else again.standard_error
            yield _row(f"{name} standard error", value.standard_error, error, size)


def _row(name: str, told: float, found: float | None, size: float) -> Row:
    agrees = found is not None and math.isclose(
        told, found, rel_tol=ROUNDING, abs_tol=ROUNDING * size
    )
    return Row(name, float(told), None if found is None else float(found), agrees)


def _contradicted(told: str, found: str | None) -> Iterator[tuple[str, str, str]]:
    """The fields in which two signatures differ, but for the version that computed them."""
    if found is None:
        return
    ours, theirs = fields_of(told), fields_of(found)
    for field in ours.keys() | theirs.keys():
        one, two = ours.get(field, "none"), theirs.get(field, "none")
        if one != two and field != "v":
            yield field, one, two
