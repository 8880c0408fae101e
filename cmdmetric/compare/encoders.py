"""The same images under several encoders: do the models stand in one order under all of them?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cmdmetric.compare.stored_scores import Stored, content_of
from cmdmetric.errors import InputError
from cmdmetric.grid import aligned
from cmdmetric.scoring import SCHEMA, Signature
from cmdmetric.terminal import NAME, shown
from cmdmetric.uncertainty import Z95, differ


@dataclass(frozen=True)
class Distance:
    """Dis(f,r) of a model under an encoder, with its standard error where that is known."""

    value: float
    standard_error: float | None


@dataclass(frozen=True)
class Agreement:
    """Two encoders and the order of the models that both have seen.

    Attributes:
        first: The one encoder.
        second: The other.
        tau: Kendall's tau: 1 where all pairs of models are in one order, -1 where none is.
        pairs: The number of pairs of models.
        reversed: Pairs of which the one is better under the first encoder and worse under the
            second, beyond chance (95 %) under both.
    """

    first: str
    second: str
    tau: float
    pairs: int
    reversed: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class AcrossEncoders:
    """Models under several encoders.

    Attributes:
        distances: By model and encoder.
        agreements: Of every two encoders that have seen two models or more.
    """

    distances: Mapping[str, Mapping[str, Distance]]
    agreements: tuple[Agreement, ...]

    @property
    def encoders(self) -> tuple[str, ...]:
        """The encoders, in the order of their first mention."""
        return tuple(dict.fromkeys(name for own in self.distances.values() for name in own))

    def to_dict(self) -> dict[str, Any]:
        """Give all fields, for JSON: docs/metrics.md."""
        return {"schema": SCHEMA, **asdict(self)}

    def lines(self) -> list[str]:
        """Give the distances as a table, then what each two encoders agree on."""
        rows = [("", *(shown(encoder, 80) for encoder in self.encoders))]
        for model, own in self.distances.items():
            cells = (_told(own.get(encoder)) for encoder in self.encoders)
            rows.append((shown(model, NAME), *cells))
        lines = ["Dis(f,r) of the same images, lower is better", *aligned(rows)]
        for each in self.agreements:
            first, second = shown(each.first, 80), shown(each.second, 80)
            pairs = "1 pair" if each.pairs == 1 else f"{each.pairs} pairs"
            lines.append(f"{first} and {second}: Kendall's tau {each.tau:.2f} of {pairs}")
            lines += [
                f"  {shown(a, NAME)} is better than {shown(b, NAME)} under {first} and worse under "
                f"{second}, beyond chance: was it trained or chosen by {first}?"
                for a, b in each.reversed
            ]
        return lines


def across_encoders(scores: Sequence[Stored]) -> AcrossEncoders:
    """Set Dis(f,r) of the same images under several encoders beside each other.

    Scores of one set of images are found by the digest in their signatures. Fréchet distances under
    networks beside CLIP (`fid`, `fd_dinov2`) count as encoders too.

    Args:
        scores: Scores, files of them, or their JSON.

    Raises:
        InputError: One is no score or does not tell which images it is of, two are of one model
            under one encoder, numbers of images differ, or there are not two models that two
            encoders have seen.
    """
    found: dict[str, dict[str, Distance]] = {}
    names: dict[str, str] = {}
    real: dict[str, str] = {}
    for i, score in enumerate(scores):
        content = content_of(score, f"score {i + 1}")
        fields = Signature.read(content["signature"]).fields
        images, name = fields.get("f", ""), str(content.get("generated") or f"score {i + 1}")
        if "@" not in images:
            raise InputError(
                f"{name}: its signature does not tell which images it is of, by which scores under "
                "several encoders would be joined"
            )
        names.setdefault(images, name)
        own = found.setdefault(images, {})
        for encoder, distance in _distances(content, fields):
            if real.setdefault(encoder, fields.get("r", "?")) != fields.get("r", "?"):
                raise InputError(f"the scores under {encoder} have different real images")
            if own.setdefault(encoder, distance) != distance:
                raise InputError(f"{names[images]} has two scores under {encoder}")
    _refuse_other_images(names, found)
    models = _named(names)
    distances = {models[images]: own for images, own in found.items()}
    encoders = tuple(dict.fromkeys(name for own in distances.values() for name in own))
    if len(distances) < 2 or len(encoders) < 2:
        raise InputError(
            f"{len(distances)} sets of images under {len(encoders)} encoders: it takes two of each"
        )
    agreements = tuple(_agreements(distances, encoders))
    if not agreements:
        raise InputError("no two of these encoders have seen the same images of two models")
    return AcrossEncoders(distances, agreements)


def _refuse_other_images(
    names: Mapping[str, str], found: Mapping[str, Mapping[str, Distance]]
) -> None:
    """Raise InputError where distances do not compare, or no model has been seen twice.

    Args:
        names: Of each set of images, by its label in signatures, what it is called.
        found: Its distances, by encoder.
    """
    for one, two in itertools.combinations(found, 2):
        counts = [int(count) for each in (one, two) if (count := each.partition("@")[0]).isdigit()]
        # A model's folder may be called as another's is; a model that each encoder has seen once
        # was to be one set.
        if names[one] == names[two] and not {*found[one]} & {*found[two]}:
            first, second = (next(iter(found[each])) for each in (one, two))
            raise InputError(
                f"{names[one]} is not the same images under {first} as under {second} ({one} and "
                f"{two} in their signatures): score one set under both"
            )
        if len(counts) == 2 and differ((counts[0],), (counts[1],)):
            raise InputError(
                f"{names[one]} is of {counts[0]:,} images, {names[two]} of {counts[1]:,}: Dis(f,r) "
                "depends on the number, so score as many of each model"
            )


def _distances(
    content: Mapping[str, Any], fields: Mapping[str, str]
) -> Iterator[tuple[str, Distance]]:
    bars = (content.get("uncertainty") or {}).get("dis_fr") or {}
    label = f"{fields.get('model', '?').partition('@')[0]} ({fields.get('proto', '?')})"
    yield label, Distance(float(content["dis_fr"]), _error(bars.get("standard_error")))
    for name, value in (content.get("metrics") or {}).items():
        if name == "fid" or name.startswith("fd_"):
            yield name, Distance(float(value["value"]), _error(value.get("standard_error")))


def _error(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _named(names: Mapping[str, str]) -> dict[str, str]:
    """Names of sets of images, with their digests where two sets have one."""
    several = {name for name in names.values() if [*names.values()].count(name) > 1}
    return {
        images: f"{name} {images}" if name in several else name for images, name in names.items()
    }


def _agreements(
    distances: Mapping[str, Mapping[str, Distance]], encoders: Sequence[str]
) -> Iterator[Agreement]:
    for first, second in itertools.combinations(encoders, 2):
        both = [model for model, own in distances.items() if first in own and second in own]
        pairs = list(itertools.combinations(both, 2))
        if not pairs:
            continue
        total, against = 0, []
        for a, b in pairs:
            gaps = [_gap(distances[a][name], distances[b][name]) for name in (first, second)]
            signs = [(gap > 0) - (gap < 0) for gap, _ in gaps]
            total += signs[0] * signs[1]
            if signs[0] * signs[1] < 0 and all(told for _, told in gaps):
                against.append((a, b) if signs[0] < 0 else (b, a))
        yield Agreement(first, second, total / len(pairs), len(pairs), tuple(against))


def _gap(a: Distance, b: Distance) -> tuple[float, bool]:
    """By how much the first is larger, and whether that is beyond chance."""
    gap = a.value - b.value
    if a.standard_error is None or b.standard_error is None:
        return gap, False
    return gap, abs(gap) > Z95 * math.hypot(a.standard_error, b.standard_error)


def _told(distance: Distance | None) -> str:
    if distance is None:
        return "-"
    error = distance.standard_error
    return f"{distance.value:.4g}" + ("" if error is None else f" ± {error:.2g}")
