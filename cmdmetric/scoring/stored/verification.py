"""Whether a score follows from its pack: all of it made again, and held against it."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cmdmetric.errors import InputError
from cmdmetric.metrics import QUANTITIES
from cmdmetric.scoring.cited import citations
from cmdmetric.scoring.detail.worst import harm
from cmdmetric.scoring.family.catalogue import metric_of
from cmdmetric.scoring.family.scores import metrics_of_scores
from cmdmetric.scoring.networks import Networks
from cmdmetric.scoring.result import CMDScore
from cmdmetric.scoring.signature import Signature, fields_of
from cmdmetric.scoring.statistics import score_of
from cmdmetric.scoring.stored.fields import LACKING, Row, fields_of_both, name_of, row_of
from cmdmetric.scoring.stored.pack import Pack
from cmdmetric.scoring.stored.score_file import SCHEMA, read_json
from cmdmetric.scoring.together import Scored, with_family, with_slices

#: The same float64 sums on another machine, and products that are told in single precision where
#: these decide: what differs by less than this share is rounding.
ROUNDING = 1e-5
#: Of CMD and its parts, as a share of the largest distance: these are made in float64 throughout.
DISTANCE_ROUNDING = 1e-8
#: What no pack knows, by where it stands in a score's JSON.
_UNKNOWN = {
    "run": "the date, the command, the versions and the platform of the run are not in a pack",
    "check": "what the score was checked against is not in a pack",
}
#: What the packs of earlier releases do not tell either.
_NOT_IN_OLDER = {
    "slices": "the slices are not computed again: an older pack has no labels of images",
    "warnings": "the warnings are not held against the pack: an older one has not all of them",
}
#: What a row of --worst is known by, and what training images tell of it.
_SAMPLE, _OF_COPIES = ("side", "name", "caption"), ("nearest", "distance", "is_authentic")
_COPIES = "the copies are not looked for again: training images are not in a pack"
_NO_DIGESTS = (
    "an older pack has no digests of its arrays: one that moves no field, such as how images look, "
    "may be another"
)


@dataclass(frozen=True)
class Verification:
    """What came out.

    Attributes:
        rows: The numbers of the score.
        fields: Its other fields.
        signature: Fields of the signatures that the pack contradicts: the number, the field, what
            the score says and what the pack gives.
        pack: What in the pack itself is not as it was written.
        notes: What could not be looked at.
    """

    rows: tuple[Row, ...]
    fields: tuple[Row, ...]
    signature: tuple[tuple[str, str, str, str], ...]
    pack: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether all fields agree, and the pack is as it was written."""
        agree = all(row.agrees for row in (*self.rows, *self.fields))
        return agree and not self.signature and not self.pack

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
    name = "the score"
    if isinstance(score, CMDScore):
        content: Any = score.to_dict()
    elif isinstance(score, Mapping):
        content = score
    else:
        content, name = read_json(Path(score)), os.fspath(score)
    read = CMDScore.from_dict(content, name)
    packed = Pack.read(pack)
    made, notes = _again(read, packed)
    version = fields_of(read.signature).get("v", "none")
    is_same = version == fields_of(made.signature)["v"]
    if not is_same:
        notes.append(f"the score was made by version {version}, whose numbers may differ")
    if packed.altered is None:
        notes.append(_NO_DIGESTS)
    for name in dict.fromkeys(side.reference for side in (packed.r, packed.l) if side.reference):
        notes.append(
            f"the moments of {name} are those in the pack; that they are the reference's is not "
            "looked at"
        )
    signatures = {"cmd": made.signature, **made.signatures}
    differing = [
        (number, field, one, two)
        for number, line in {"cmd": read.signature, **read.signatures}.items()
        if number in signatures
        for field, one, two in _contradicted(line, signatures[number], version)
    ]
    told, found = _plain(content), _plain(made.to_dict())
    reasons = _not_looked_at(packed, is_same=is_same)
    unknown = [key for key in reasons if told.get(key)]
    notes += [reasons[key] for key in unknown]
    _add_what_commands_write(told, found, packed, copies="memorisation" in unknown)
    for key in unknown:
        del told[key]
        found.pop(key, None)
    _follow_signatures(told, found, {number for number, *_ in differing})
    if packed.asked is not None and packed.asked.copies and "memorisation" not in unknown:
        found["memorisation"] = "copies of training images were looked for"
    both, lacking = [*_warnings(told, found)], []
    for at, one, two in fields_of_both(told, found):
        if one is LACKING and not is_same and not (at[0] == "metrics" and len(at) == 2):
            lacking.append(name_of(at))
        else:
            both.append(row_of(at, one, two, partial(_tolerance, found)))
    if lacking:
        notes.append(f"an older release's score does not tell {', '.join(lacking)}")
    return Verification(
        tuple(row for row in both if row.is_number),
        tuple(row for row in both if not row.is_number),
        tuple(differing),
        packed.altered or (),
        tuple(notes),
    )


def _plain(content: Any) -> Any:
    """What JSON makes of it."""
    return json.loads(json.dumps(content, default=str))


def _again(told: CMDScore, packed: Pack) -> tuple[CMDScore, list[str]]:
    """Make the score again, with the numbers that it has and those that its run was asked for."""
    asked, notes = packed.asked, []
    wanted = [] if asked is None else [metric_of(*each) for each in asked.metrics]
    own = {metric.name for metric in wanted if metric is not None}
    for number, value in told.metrics.items():
        metric = metric_of(number, value.network)
        wanted.append(metric)
        if metric is None and number not in packed.better:
            notes.append(f"{number}: this release has no metric of that name")
    metrics = {metric.name: metric for metric in wanted if metric is not None}
    left_out = () if asked is None else asked.notes
    networks = Networks(tuple(metrics.values()), True, {}, {}, left_out)
    score = score_of(packed.f, packed.r, packed.l)
    found = Scored(score, packed.f, packed.r, packed.l, seen=packed.seen)
    labels = None if asked is None else asked.labels
    more = metrics_of_scores(packed.better, packed.better)
    found = with_family(found, networks, more=more, keep=labels is not None)
    if labels is not None:
        found = with_slices(found, labels)
    # That a number cannot be computed which the run was not asked for is told beside the number.
    others = tuple(f"{name} is left out: " for name in metrics.keys() - own)
    warnings = tuple(note for note in found.score.warnings if not note.startswith(others))
    return replace(found.score, warnings=warnings), notes


def _not_looked_at(packed: Pack, *, is_same: bool) -> dict[str, str]:
    """Give what the pack cannot tell of a score, and why, by where it stands in the JSON.

    Args:
        packed: The pack.
        is_same: Whether the score was made by this release.
    """
    found = dict(_UNKNOWN)
    if packed.asked is None:
        found |= _NOT_IN_OLDER
    if packed.asked is None or packed.asked.copies:
        found["memorisation"] = _COPIES
    if not is_same:
        found["citations"] = "what to cite is not looked at: another release may say it otherwise"
    return found


def _add_what_commands_write(told: Any, found: Any, packed: Pack, *, copies: bool) -> None:
    """Add to what is found the list of --worst and the BibTeX of --cite, where these are told.

    Args:
        told: The score; what is told of copies in its list of --worst is taken out.
        found: What the pack gives.
        packed: The pack.
        copies: Whether the score tells of copies, which are not looked for.
    """
    if told.get("citations"):
        found["citations"] = citations(
            {**found, "memorisation": told["memorisation"] if copies else None}
        )
    worst = told.get("worst")
    if not isinstance(worst, list) or not all(isinstance(row, dict) for row in worst):
        return
    try:
        rows = [asdict(row) for row in harm(packed.f, packed.r, packed.l)]
    except InputError:  # the generated images are moments alone
        return
    known = {tuple(row[key] for key in _SAMPLE): row for row in rows}
    found["worst"] = []
    for own, one in zip(rows, worst, strict=False):
        # Of samples that do as much to CMD any may stand first.
        same = known.get(tuple(str(one.get(key)) for key in _SAMPLE), own)
        alike = math.isclose(same["share"], own["share"], rel_tol=ROUNDING)
        found["worst"].append(same if alike else own)
        for each in (one, found["worst"][-1]) if copies else ():
            for key in _OF_COPIES:
                each.pop(key, None)


def _follow_signatures(told: Any, found: Any, differing: Collection[str]) -> None:
    """Let each signature that is not contradicted be as it is told, and the short one be its form.

    Signatures are held against each other field by field, and have the score's own version.
    """
    pairs = {"cmd": (told, found)}
    for number, value in (told.get("metrics") or {}).items():
        if number in found["metrics"]:
            pairs[number] = value, found["metrics"][number]
    for number, (one, two) in pairs.items():
        signature = one.get("signature")
        if signature:
            two["short_signature"] = Signature.read(signature).short
            if number not in differing:
                two["signature"] = signature


def _warnings(told: Any, found: Any) -> Iterator[Row]:
    """Take the warnings out of both, and hold them against each other whatever their order."""
    one, two = (Counter(map(str, each.pop("warnings", None) or ())) for each in (told, found))
    yield from (Row("warnings", note, note, True) for note in (one & two).elements())
    yield from (Row("warnings", note, None, False) for note in (one - two).elements())
    yield from (Row("warnings", None, note, False) for note in (two - one).elements())


def _tolerance(found: Any, at: tuple[str, ...]) -> float:
    """How far a number may be from that which is found there, and is still the same."""
    within = found
    for key in at[:-1]:
        within = within[int(key) if isinstance(within, list) else key]
    size = max(float(found[name]) for name in ("dis_fl", "dis_rl", "dis_fr"))
    if at[0] in QUANTITIES or (at[0] == "uncertainty" and at[1] in QUANTITIES and at[2] == "raw"):
        return DISTANCE_ROUNDING * size
    if at[0] in ("metrics", "slices"):
        size = max(abs(within["value"]), within["standard_error"] or 0.0)
    elif at[0] == "worst":
        size = max(abs(row["share"]) for row in found["worst"])
    elif at[-1] == "second_order":
        size = 1.0
    return ROUNDING * max(size, abs(within[at[-1]]))


def _contradicted(told: str, found: str, version: str) -> Iterator[tuple[str, str, str]]:
    """The fields in which two signatures differ, but for the version that computed them.

    Args:
        told: A signature of the score.
        found: As the pack gives it.
        version: That of the score's own signature, which all have.
    """
    ours, theirs = fields_of(told), {**fields_of(found), "v": version}
    differing = False
    for field in {**theirs, **ours}:
        one, two = ours.get(field, "none"), theirs.get(field, "none")
        if one != two:
            differing = True
            yield field, one, two
    metric, _, _ = found.partition("|")
    whole = "|".join([metric, *(f"{key}:{value}" for key, value in theirs.items())])
    if not differing and told != whole:  # a field stands there twice, or is none
        yield "form", told, whole
