"""Scores of several models side by side, from the files that `cmd-score -o` wrote."""

from __future__ import annotations

import html
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from cmdmetric.compare.lines import compare_lines
from cmdmetric.compare.models import Against, Entry
from cmdmetric.compare.order import ranking_of, turned_round, untested
from cmdmetric.compare.signatures import signed
from cmdmetric.errors import InputError
from cmdmetric.gate import SAME_CAPTIONS, differences_of, numbers, setting_of
from cmdmetric.metrics import QUANTITIES
from cmdmetric.scoring import SCHEMA, CMDScore, metric_of, read_json, refuse_malformed, value_of
from cmdmetric.uncertainty import Gap, Value, differ, gap_of, holm

#: What CMD is called among the numbers of a score.
_CMD = "cmd"
#: What a number of the family is, of the numbers in its JSON.
_OF_VALUE = ("value", "standard_error", "low", "high")


@dataclass(frozen=True)
class Comparison:
    """Several models, the best first."""

    entries: tuple[Entry, ...]
    #: Of the others those whose difference from the best has an error bar.
    against_best: tuple[Against, ...]
    #: What they are ranked by: "cmd", or "debiased" where their numbers of images differ or the
    #: debiased values, which the tests compare, stand in another order.
    ranked_by: str
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self, width: int | None = None, *, short: bool = False) -> list[str]:
        """Tell the models by rank, and what sets the others apart from the best.

        Args:
            width: The columns of the terminal; what is less important is left out where they are
                few.
            short: Whether differences are given the short form of their signatures.
        """
        return compare_lines(self.entries, self.against_best, width, short=short)

    def __repr__(self) -> str:
        best, *others = self.entries
        return f"<Comparison {best.name!r} {best.cmd:.4f} before {len(others)} more>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {
            "schema": SCHEMA,
            "ranked_by": self.ranked_by,
            "models": [asdict(entry) for entry in self.entries],
            "against_best": [asdict(each) for each in self.against_best],
            "warnings": list(self.warnings),
        }


#: What sets two models apart: the difference of CMD, those of the family, and whether images are
#: paired in them.
Parted: TypeAlias = tuple[Gap, Mapping[str, Gap], bool]
#: What a comparison takes: a score, its file, or its content as JSON.
Stored: TypeAlias = "CMDScore | str | os.PathLike[str] | Mapping[str, Any]"


def compare(scores: Sequence[Stored] | Mapping[str, Stored]) -> Comparison:
    """Rank scores, the best first, and tell which differ from the best beyond chance.

    They are ranked by CMD; by the debiased CMD, which is what the tests compare, where that gives
    another order, or where their numbers of generated images, or of draws among them, differ by
    more than 1 %. Scores do not tell which images belong to one caption, so
    the samples count as independent: as a rule the errors are too large where the models drew the
    same captions, and `cmd-score A captions.json --versus B` is sharper.

    Args:
        scores: Two or more: scores, files of them, or their JSON as a dict; by their names where it
            is a mapping of names to these. Otherwise a file is called by its stem, and a score by
            its generated images.

    Raises:
        InputError: There are fewer than two, one is no score, or two were made differently:
            under another protocol, with another encoder, or against another reference.
    """
    if isinstance(scores, (str, os.PathLike, CMDScore)) or len(scores) < 2:
        raise InputError("a comparison takes two scores or more")
    contents = _named_contents(scores)
    (_, first_name, first), *rest = contents
    for _, name, content in rest:
        _refuse_differences(first_name, first, name, content)
    entries = [entry_of(short, content) for short, _, content in contents]

    def difference(one: int, two: int) -> Parted:
        return _gap(entries[one], entries[two]), family_gaps(entries[one], entries[two]), False

    return ranked(entries, difference, _differing_networks(entries))


def ranked(
    entries: Sequence[Entry],
    difference: Callable[[int, int], Parted],
    notes: Iterable[str] = (),
) -> Comparison:
    """Rank models, the best first, and tell which differ from the best beyond chance.

    No difference is tested where one of the two models has no error bar.

    Args:
        entries: The models.
        difference: What sets the first apart from the second of two of them, by their places.
        notes: What else a reader must know, before what is not tested.
    """
    (best, *others), ranked_by, told = ranking_of(entries)
    first, rest = entries[best], [entries[i] for i in others]
    told += [*notes, *untested(first, rest)]
    tested = [i for i in others if entries[i].has_errors and first.has_errors]
    against = against_best([(entries[i], *difference(i, best)) for i in tested], first)
    against = with_slices(against, first, {entry.name: entry for entry in rest})
    told += turned_round(first, against)
    return Comparison((first, *rest), against, ranked_by, tuple(told))


def _named_contents(
    scores: Sequence[Stored] | Mapping[str, Stored],
) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Of every score a name that no other has, what an error calls it, and its JSON."""
    if isinstance(scores, Mapping):
        return [
            (str(name), str(name), content_of(score, str(name))) for name, score in scores.items()
        ]
    found: list[tuple[str, str, Mapping[str, Any]]] = []
    for place, score in enumerate(scores, 1):
        whole = os.fspath(score) if isinstance(score, (str, os.PathLike)) else f"score {place}"
        content = content_of(score, whole)
        if isinstance(score, (str, os.PathLike)):
            found.append((Path(whole).stem, whole, content))
        else:
            short = str(content.get("generated") or whole)
            found.append((short, f"{short} ({place})", content))
    shorts = [short for short, *_ in found]
    return [
        (short if shorts.count(short) == 1 else whole, whole, content)
        for short, whole, content in found
    ]


def content_of(score: Stored, name: str) -> Mapping[str, Any]:
    """The JSON of a score.

    Args:
        score: A score, its file, or its JSON.
        name: What an error calls it, where it has no file.

    Raises:
        InputError: It is no score.
    """
    if isinstance(score, CMDScore):
        return score.to_dict()
    if isinstance(score, (str, os.PathLike)):
        return read_score(Path(score))
    refuse_malformed(score, name)
    return score


def _differing_networks(entries: Sequence[Entry]) -> Iterator[str]:
    """Warn of networks beside CLIP that differ between scores in weights or real side."""
    for network in dict.fromkeys(name for entry in entries for name in entry.networks):
        sides = [entry.networks[network] for entry in entries if network in entry.networks]
        if any(_differ_there(side, sides[0]) for side in sides):
            made = dict.fromkeys(
                name
                for entry in entries
                for name, value in entry.metrics.items()
                if value.network == network
            )
            yield (
                f"the scores are of several real sides or weights of {network}, and so these "
                f"numbers do not compare: {', '.join(made)}"
            )


def _differ_there(one: Any, two: Any) -> bool:
    """Whether a network has other weights or another real side in two scores.

    Real sides are known by what is in them, or by their names where a score does not record that.
    """
    if not isinstance(one, Mapping) or not isinstance(two, Mapping):
        return bool(one != two)
    by = "contents" if one.get("contents") and two.get("contents") else "real"
    return any(one.get(key) != two.get(key) for key in ("weights", "n_real", by))


def with_slices(
    against: Sequence[Against], best: Entry, others: Mapping[str, Entry]
) -> tuple[Against, ...]:
    """Tell in which slices models differ from the best, p-values adjusted for the slices (Holm)."""
    found = []
    for each in against:
        other = others[each.name]
        rows: list[dict[str, Gap]] = []
        labels: list[str] = []
        if other.by == best.by is not None:
            labels = [label for label in best.slices if label in other.slices]
        for label in labels:
            ours, theirs = other.slices[label], best.slices[label]
            rows.append(
                {
                    name: _of_slice(ours[name], theirs[name], len(labels))
                    for name in ours
                    if name in theirs
                }
            )
        slices = dict(zip(labels, adjusted_gaps(rows), strict=True))
        found.append(replace(each, slices=slices))
    return tuple(found)


def _of_slice(one: Value, two: Value, of: int) -> Gap:
    errors = [value.standard_error for value in (one, two) if value.standard_error is not None]
    return gap_of(one.value - two.value, math.hypot(*errors) if len(errors) == 2 else None, of=of)


def against_best(
    tested: Sequence[tuple[Entry, Gap, Mapping[str, Gap], bool]], best: Entry
) -> tuple[Against, ...]:
    """Sign the differences of models from the best, and adjust p-values for the models' number.

    Args:
        tested: Each a model, the difference of CMD, those of the family, and whether images are
            paired in them.
        best: The best model.
    """
    adjusted = adjusted_gaps([{_CMD: gap, **family} for _, gap, family, _ in tested])
    tests = Counter(
        name for gaps in adjusted for name, of in gaps.items() if of.p_value is not None
    )
    ours = _signatures(best)
    rows = []
    for (model, _, _, paired), gaps in zip(tested, adjusted, strict=True):
        theirs = _signatures(model)
        made = {
            name: signed(of, theirs[name], ours[name], paired=paired, tests=tests[name])
            if name in theirs and name in ours
            else of
            for name, of in gaps.items()
        }
        gap = made.pop(_CMD)
        rows.append(
            Against(
                name=model.name,
                difference=gap.value if gap.debiased is None else gap.debiased,
                standard_error=gap.standard_error,
                low=gap.low,
                high=gap.high,
                p_value=gap.p_value,
                p_adjusted=gap.p_adjusted,
                metrics=made,
                paired=paired,
                test=gap.test,
                signature=gap.signature,
                short_signature=gap.short_signature,
            )
        )
    return tuple(rows)


def _signatures(entry: Entry) -> dict[str, str]:
    return {_CMD: entry.signature, **entry.signatures}


def _gap(one: Entry, two: Entry) -> Gap:
    """The difference of CMD, as of independent samples."""
    value, debiased = one.cmd - two.cmd, None
    se = math.hypot(one.standard_error or 0.0, two.standard_error or 0.0)
    if one.debiased is not None and two.debiased is not None and one.sides == two.sides:
        debiased = one.debiased - two.debiased
    if debiased is None:  # neither score has an interval: there are too few draws for one
        return Gap(value, None, se)
    return gap_of(value, se, debiased, _freedom(one, two), scale=max(one.dis_fl, two.dis_fl))


def _freedom(one: Entry, two: Entry) -> float:
    """The degrees of freedom of a difference: of the draws of the model that has fewest."""
    counts = [entry.draws or entry.n for entry in (one, two)]
    return min((max(1, n - 1) for n in counts if n), default=math.inf)


def family_gaps(one: Entry, two: Entry) -> dict[str, Gap]:
    """Compare the numbers that both scores have, as those of independent samples.

    Numbers that depend on the numbers of samples are not tested where these differ, nor are those
    of a network beside CLIP where its weights or real sides differ, nor numbers whose error bars
    are those of halves of the sets (precision to coverage).
    """
    found = {}
    freedom = _freedom(one, two)
    alike = not differ((*one.sizes, one.paired), (*two.sizes, two.paired))
    for name in [name for name in one.metrics if name in two.metrics]:
        ours, theirs = one.metrics[name], two.metrics[name]
        errors = ours.standard_error, theirs.standard_error
        known = [error for error in errors if error is not None]
        se = math.hypot(*known) if len(known) == 2 else None
        unbiased = ours.unbiased and theirs.unbiased
        network = ours.network
        sides = one.networks.get(network or ""), two.networks.get(network or "")
        if not (alike or unbiased) or (network and _differ_there(*sides)):
            se = None
        metric = metric_of(name, network)
        if metric is not None and metric.by_halves:
            found[name] = Gap(ours.value - theirs.value, None, se)
            continue
        found[name] = gap_of(
            ours.value - theirs.value,
            se,
            freedom=freedom,
            scale=max(abs(ours.value), abs(theirs.value)),
        )
    return found


def adjusted_gaps(models: Sequence[Mapping[str, Gap]]) -> list[dict[str, Gap]]:
    """The differences of several models from one, with p-values adjusted number by number."""
    found = [dict(gaps) for gaps in models]
    for name in dict.fromkeys(name for gaps in models for name in gaps):
        tested = [gaps for gaps in found if name in gaps and gaps[name].p_value is not None]
        values = [gaps[name].p_value or 0.0 for gaps in tested]
        for gaps, p in zip(tested, holm(values), strict=True):
            gaps[name] = replace(gaps[name], p_adjusted=p)
    return found


def read_score(path: Path) -> Mapping[str, Any]:
    """Read the JSON of one score.

    Raises:
        InputError: The file cannot be read, or is no score.
    """
    content = read_json(path)
    refuse_malformed(content, str(path))
    return content


def _refuse_differences(
    first_name: str, first: Mapping[str, Any], name: str, content: Mapping[str, Any]
) -> None:
    ours, theirs = setting_of(first), setting_of(content)
    if ours["weights"] == theirs["weights"] is not None:
        ours["model"] = theirs["model"]  # one network under two names
    fields = [
        f"{what}: {ours[what]!r} against {theirs[what]!r}" for what in differences_of(ours, theirs)
    ]
    if not fields and abs(first["dis_rl"] - content["dis_rl"]) > SAME_CAPTIONS * first["dis_rl"]:
        fields = [f"Dis(r,l): {first['dis_rl']:.4f} against {content['dis_rl']:.4f}"]
    if fields:
        raise InputError(
            f"{first_name} and {name} were made differently and cannot be compared: "
            f"{'; '.join(fields)}. Score both under the same protocol, encoder and reference."
        )


def entry_of(name: str, content: Mapping[str, Any]) -> Entry:
    """Make a model's row of a score's JSON."""
    known = numbers(content)
    values = {key: float(known[key] or 0.0) for key in QUANTITIES}
    keys = ("standard_error", "debiased", "low", "high")
    bars = {key: known.get(f"uncertainty.cmd.{key}") for key in keys}
    if any(value is not None and not math.isfinite(value) for value in bars.values()):
        bars = dict.fromkeys(keys)
    n, draws, paired = (_whole(known.get(key)) for key in ("n", "draws", "paired"))
    bounds = content.get("uncertainty") or {}
    text = {key: content.get(key) for key in ("protocol", "model", "real", "generated")}
    return Entry(
        name=name,
        **values,
        n=n,
        draws=draws,
        paired=paired,
        signature=content["signature"],
        protocol=text["protocol"] and str(text["protocol"]),
        model=text["model"] and str(text["model"]),
        real=str(text["real"]),
        generated=str(text["generated"]),
        standard_error=bars["standard_error"],
        debiased=bars["debiased"],
        low=bars["low"],
        high=bars["high"],
        sides=tuple(map(str, bounds.get("sides") or ())),
        parts={name: _part(name, values, known) for name in ("itdis", "dis_fr")},
        metrics=_metrics(content, known),
        signatures=_of_metrics(content),
        networks=content.get("networks") or {},
        by=_by(content),
        slices=_slices(name, content),
    )


def _of_metrics(content: Mapping[str, Any]) -> dict[str, str]:
    """Read the signatures of a score's metrics; scores of old versions have none."""
    found = {
        name: value.get("signature")
        for name, value in (content.get("metrics") or {}).items()
        if isinstance(value, Mapping)
    }
    return {name: line for name, line in found.items() if isinstance(line, str)}


def _slices(name: str, content: Mapping[str, Any]) -> dict[str, dict[str, Value]]:
    """The numbers of each slice of a score, by its label.

    Raises:
        InputError: They are not as cmdmetric writes them.
    """
    found = {}
    try:
        for each in (content.get("slices") or {}).get("slices", ()):
            values = {"adds": each["adds"], **each["metrics"]}
            found[str(each["label"])] = {
                number: Value(float(value["value"]), _error(value["standard_error"]))
                for number, value in values.items()
                if value is not None
            }
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{name}: its slices are not as cmdmetric writes them") from None
    return found


def _by(content: Mapping[str, Any]) -> str | None:
    slices = content.get("slices")
    return str(slices.get("by")) if isinstance(slices, Mapping) else None


def _error(value: Any) -> float | None:
    return None if value is None else float(value)


def _whole(number: float | None) -> int | None:
    return None if number is None or not math.isfinite(number) else int(number)


def _part(name: str, values: Mapping[str, float], known: Mapping[str, float | None]) -> Value:
    error = known.get(f"uncertainty.{name}.standard_error")
    error = error if error is None or math.isfinite(error) else None
    return Value(values[name], error, better="lower")


def _metrics(content: Mapping[str, Any], known: Mapping[str, float | None]) -> dict[str, Value]:
    """The family's numbers of a score, as far as they are numbers."""
    found = {}
    single = content.get("draws") in (None, content.get("n"))
    for name, stored in (content.get("metrics") or {}).items():
        numbers = {key: known.get(f"metrics.{name}.{key}") for key in _OF_VALUE}
        own = {k: x if x is not None and math.isfinite(x) else None for k, x in numbers.items()}
        if own["value"] is not None:
            found[name] = value_of(name, {**stored, **own}, single=single)
    return found
