"""Why two scores of one model differ: their settings in plain words, and what each change does.

With the images at hand the way from the first setting to the second is walked, one thing at a time,
and CMD is computed after every step: what a step does is what it does there, since effects of
several changes need not add up in another order. The steps themselves always add up to the gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from cmdmetric.compare.stored_scores import Stored, content_of
from cmdmetric.encoders import BUNDLED, Dtype
from cmdmetric.errors import InputError
from cmdmetric.inputs import Subset
from cmdmetric.metrics import Moments
from cmdmetric.protocol import Protocol, get_protocol
from cmdmetric.scoring import (
    REFERENCES,
    SCHEMA,
    CMDScore,
    Side,
    Source,
    Wanted,
    encoding_of,
    fields_of,
    protocol_label,
    score_of,
    scored,
)
from cmdmetric.terminal import Styled, shown

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from cmdmetric.scoring import EncodingOptions

#: The numbers that are explained.
NUMBERS = ("cmd", "itdis", "dis_fr")
#: What a field of the signature is, in words.
_WORDS = {
    "proto": "the protocol, which says how pixels and captions are prepared",
    "model": "the encoder, or its weights",
    "f": "the generated images: their number, or what is in them",
    "r": "the real images: their number, or what is in them",
    "l": "the captions: their number, or what is in them",
    "prompts": "the named set of prompts",
    "num": "which part of the generated images was drawn",
    "pairs": "which images are known to belong to which captions",
    "se": "whose sampling the error bars include; CMD as scored does not depend on it",
    "debias": "how the finite-sample excess was found; CMD as scored does not depend on it",
    "dtype": "the arithmetic of the network",
    "tok": "the tokeniser of captions",
    "pillow": "the library that decodes and resizes images",
    "v": "the release of cmdmetric",
}
#: What a field of a protocol is, in words.
_OF_PROTOCOL = {
    "rgb": "how transparent pixels and colour profiles become RGB",
    "resize": "how an image becomes a square: squeezed, or its centre cut out",
    "interpolation": "the filter that images are resized with",
    "normalise": "whether pixels are normalised as the encoder was trained",
    "captions": "whether captions are reduced to their words",
    "image_scale": "the length that image features are scaled to",
    "text_scale": "the length that caption features are scaled to",
    "prefix": "what stands before every caption",
}
#: What follows from the rest, or does not move CMD as scored.
_FOLLOWS = ("pairs", "se", "debias")


@dataclass(frozen=True)
class AtHand:
    """What a score can be computed from again.

    Attributes:
        generated: The generated images; None where they are not at hand.
        captions: The captions; None for those that come along with the images.
        real: The real images; None for those that the captions lead to.
        model: The encoder, where it is a folder or a file that the score does not name.
        weights: The file of its weights.
        protocol: The protocol, where it is one of the user's own: its value, or its file.
    """

    generated: Source | None = None
    captions: Source | None = None
    real: Source | None = None
    model: str | Path | None = None
    weights: str | Path | None = None
    protocol: Protocol | str | Path | None = None


@dataclass(frozen=True)
class Differing:
    """A field in which two signatures, or two protocols, differ."""

    field: str
    first: str
    second: str
    #: What the field is, in words.
    meaning: str


@dataclass(frozen=True)
class Step:
    """One change on the way from the first score to the second.

    Attributes:
        change: What was changed.
        cmd: By how much CMD rose.
        itdis: By how much ITDis rose.
        dis_fr: By how much Dis(f,r) rose.
    """

    change: str
    cmd: float
    itdis: float
    dis_fr: float


@dataclass(frozen=True)
class Explanation:
    """Why the second of two scores is higher or lower than the first.

    Attributes:
        first: The numbers of the first score, by their names.
        second: Those of the second.
        gap: Those of the second less those of the first.
        excess: By how much the finite-sample excess of CMD rose; None where either's is not known.
        differences: Where the settings differ.
        steps: What each change does; they add up to the gap. Empty without images at hand.
        unchanged: What differs and could not be changed here, and why.
    """

    first: Mapping[str, float]
    second: Mapping[str, float]
    gap: Mapping[str, float]
    excess: float | None
    differences: tuple[Differing, ...]
    steps: tuple[Step, ...]
    unchanged: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """What a terminal shows: the gap, what differs, what each change does, and what is left."""
        gap = self.gap
        head = f"CMD {self.first['cmd']:.4f} and {self.second['cmd']:.4f}: {_signed(gap['cmd'])}"
        lines = [
            Styled(head, "bold"),
            f"of which {_signed(gap['dis_fr'])} in Dis(f,r) and {_signed(gap['itdis'])} in ITDis",
        ]
        if self.excess is not None:
            lines.append(f"the finite-sample excess differs by {_signed(self.excess)} of it")
        lines += ["", Styled("What differs" if self.differences else "No setting differs", "bold")]
        for each in self.differences:
            lines.append(f"{each.field}: {shown(each.first, 80)} and {shown(each.second, 80)}")
            lines.append(f"  {each.meaning}")
        if self.steps:
            lines += ["", Styled("     CMD    ITDis  Dis(f,r)  what was changed", "bold")]
            steps = [(shown(each.change, 200), asdict(each)) for each in self.steps]
            for change, by in [*steps, ("all of it", gap)]:
                cmd, itdis, dis_fr = (_signed(by[name]) for name in ("cmd", "itdis", "dis_fr"))
                lines.append(f"{cmd:>8} {itdis:>8}  {dis_fr:>8}  {change}")
        if self.unchanged:
            lines += ["", Styled("What could not be changed or is not the same here", "bold")]
            lines += [shown(each, 300) for each in self.unchanged]
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Give all fields, for JSON: docs/explain.md."""
        return {"schema": SCHEMA, **asdict(self)}


@dataclass(frozen=True)
class _Setting:
    """Everything that is changed one at a time."""

    generated: Source
    captions: Source | None
    real: Source | None
    protocol: Protocol
    model: str | Path
    weights: str | Path | None
    dtype: Dtype
    #: So many of the generated images, at random with a seed; None for all.
    n: int | None = None
    #: The part of them that was drawn with its captions; None for all.
    subset: Subset | None = None


_T = TypeVar("_T")
#: What is changed, in words, and the setting after it.
_Change: TypeAlias = tuple[str, _Setting]


def explain(
    first: Stored,
    second: Stored,
    at_hand: AtHand | None = None,
    of_second: AtHand | None = None,
    **options: Unpack[EncodingOptions],
) -> Explanation:
    """Tell why two scores of one model differ.

    Args:
        first: A score, its file, or its JSON.
        second: Another one.
        at_hand: What the first score can be computed from again; without it, the settings are
            compared and nothing is computed.
        of_second: The same of the second; what it lacks is taken from `at_hand`.
        **options: How images are passed on: `device`, `batch_size`, `caption_column`,
            `image_column`, `on_error`, `progress` and `cache`.

    Raises:
        InputError: One is no score, or what is at hand cannot be read, is not what a score names,
            or does not suffice to compute the first score.
    """
    _refuse_unused(at_hand or AtHand(), of_second or AtHand())
    a, b = content_of(first, "the first score"), content_of(second, "the second score")
    one, two = ({name: float(each[name]) for name in NUMBERS} for each in (a, b))
    gap = {name: two[name] - one[name] for name in NUMBERS}
    steps: tuple[Step, ...] = ()
    unchanged: list[str] = []
    known = [_protocol_of(each, at.protocol if at else None)
             for each, at in ((a, at_hand), (b, of_second or at_hand))]  # fmt: skip
    if at_hand is not None and at_hand.generated is not None:
        steps = tuple(_walk(a, b, at_hand, of_second or AtHand(), options, unchanged))
    return Explanation(
        one, two, gap, _excess_gap(a, b), tuple(_differences(a, b, known)), steps, tuple(unchanged)
    )


def _refuse_unused(at_hand: AtHand, of_second: AtHand) -> None:
    """Raise InputError where something is at hand that only images would be computed with.

    A protocol tells what differs without them.
    """
    if at_hand.generated is not None:
        return
    given = [
        f"--{field.name}{ending}"
        for each, ending in ((at_hand, ""), (of_second, "-b"))
        for field in fields(each)
        if field.name != "protocol" and getattr(each, field.name) is not None
    ]
    if given:
        raise InputError(
            f"{', '.join(given)} without the generated images of the first score (--generated): "
            "nothing is computed again without these"
        )


def _differences(
    a: Mapping[str, Any], b: Mapping[str, Any], protocols: Sequence[Protocol | None]
) -> Iterator[Differing]:
    ours, theirs = fields_of(a["signature"]), fields_of(b["signature"])
    for field in dict.fromkeys([*ours, *theirs]):
        one, two = ours.get(field, "not recorded"), theirs.get(field, "not recorded")
        if one == two:
            continue
        known = [protocol for protocol in protocols if protocol is not None]
        if field == "proto" and len(known) == 2:
            for name, (mine, other) in known[0].differences(known[1]).items():
                yield Differing(f"proto.{name}", str(mine), str(other), _OF_PROTOCOL[name])
            continue
        yield Differing(field, one, two, _WORDS.get(field, "a field of another release"))


def _excess_gap(a: Mapping[str, Any], b: Mapping[str, Any]) -> float | None:
    """By how much what finite samples add to CMD differs."""
    found = []
    for each in (a, b):
        estimate = (each.get("uncertainty") or {}).get("cmd")
        if not isinstance(estimate, Mapping) or estimate.get("debiased") is None:
            return None
        found.append(float(each["cmd"]) - float(estimate["debiased"]))
    return found[1] - found[0]


def _protocol_of(
    content: Mapping[str, Any], given: Protocol | str | Path | None
) -> Protocol | None:
    """The protocol of a score; None where it is a user's own that is not given."""
    label = fields_of(content["signature"]).get("proto", "?")
    if given is not None:
        protocol = get_protocol(given)
        if protocol_label(protocol) == label:
            return protocol
    return get_protocol(label) if label in ("grgan", "clip") else None


def _setting(content: Mapping[str, Any], at: AtHand, which: str) -> _Setting:
    """The setting of a score, as far as what is at hand tells.

    Raises:
        InputError: Its protocol or its encoder is not at hand.
    """
    fields = fields_of(content["signature"])
    protocol = _protocol_of(content, at.protocol)
    if protocol is None:
        raise InputError(
            f"the {which} score was made under the protocol {fields.get('proto', '?')}: name its "
            "file (--protocol, --protocol-b)"
        )
    model = at.model or content.get("model")
    if not model or (at.model is None and model not in BUNDLED and "/" not in str(model)):
        raise InputError(
            f"the {which} score was made with the encoder {model or '?'}, which is none that can "
            "be found by that name: name its folder (--model, --model-b)"
        )
    dtype: Dtype = "bf16" if fields.get("dtype") == "bf16" else "fp32"
    return _Setting(
        at.generated, at.captions, at.real, protocol, model, at.weights, dtype,
        subset=Subset.read(fields["num"]) if "num" in fields else None,
    )  # fmt: skip


def _walk(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    at_hand: AtHand,
    of_second: AtHand,
    options: EncodingOptions,
    unchanged: list[str],
) -> Iterator[Step]:
    """Every step from the first score to the second, with what none of them can be about."""
    start = _setting(a, at_hand, "first")
    both = {field.name: getattr(of_second, field.name) or getattr(at_hand, field.name)
            for field in fields(AtHand)}  # fmt: skip
    if a.get("weights") != b.get("weights"):  # another encoder is not the first one's folder
        both |= {"model": of_second.model, "weights": of_second.weights}
    goal = _setting(b, AtHand(**both), "second")
    at = _computed(start, options)
    yield _step("the first score, computed here", a, at)
    unchanged += _not_as_given("first", a, at)
    for what, setting in _changes(a, b, start, goal, of_second, unchanged):
        after = _computed(setting, options)
        yield _step(what, at.to_dict(), after)
        at = after
    yield _step("what is left to the second score", at.to_dict(), b)
    unchanged += _not_as_given("second", b, at)


def _changes(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    at: _Setting,
    goal: _Setting,
    of_second: AtHand,
    unchanged: list[str],
) -> Iterator[_Change]:
    """One change after another: pixels and captions, the encoder, the references, the images."""
    for name, (mine, other) in at.protocol.differences(goal.protocol).items():
        between = replace(at.protocol, name="between", **{name: other})
        last = not between.differences(goal.protocol)
        at = replace(at, protocol=goal.protocol if last else between)
        yield f"{_OF_PROTOCOL[name]} ({name}: {mine} to {other})", at
    if a.get("weights") != b.get("weights"):
        at = replace(at, model=goal.model, weights=goal.weights)
        yield f"the encoder ({a.get('model')} to {b.get('model')})", at
    if at.dtype != goal.dtype:
        was, at = at.dtype, replace(at, dtype=goal.dtype)
        yield f"the arithmetic of the network ({was} to {goal.dtype})", at
    ours, theirs = fields_of(a["signature"]), fields_of(b["signature"])
    redrawn = at.subset != goal.subset
    if redrawn:
        at = replace(at, subset=goal.subset)
        yield f"{_WORDS['num']} ({ours.get('num', 'all')} to {theirs.get('num', 'all')})", at
    for key, side, noun in (("r", "real", "the real images"), ("l", "captions", "the captions")):
        if ours.get(key) == theirs.get(key):
            continue
        source = getattr(of_second, side)
        if source is None and theirs.get(key) in REFERENCES:
            source = theirs[key]
        if source is None and key == "l" and redrawn:
            continue  # they are those of the part
        if source is None:
            unchanged.append(f"{noun} of the second score are not at hand (--{side}-b)")
            continue
        at = replace(at, **{side: source})
        yield f"{noun} ({ours.get(key, '?')} to {theirs.get(key, '?')})", at
    if ours.get("f") != theirs.get("f") and not (redrawn and of_second.generated is None):
        yield from _changes_of_images(a, b, at, of_second, unchanged)


def _changes_of_images(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    at: _Setting,
    of_second: AtHand,
    unchanged: list[str],
) -> Iterator[_Change]:
    """Their number and what is in them, apart: of the larger set a random part stands in."""
    one, two = (int(each.get("n") or 0) for each in (a, b))  # 0 where it is not recorded
    fewer, more = 0 < two < one, 0 < one < two
    number = f"the number of generated images ({one} to {two})"
    if fewer:
        at = replace(at, n=two)
        yield number, at
    if of_second.generated is None:
        also = ", and they are more" if more else ""
        unchanged.append(
            f"the generated images of the second score are not at hand{also} (--generated-b)"
        )
        return
    at = replace(at, generated=of_second.generated, n=one if more else None)
    yield "which generated images there are", at
    if more:
        yield number, replace(at, n=None)


def _computed(setting: _Setting, options: EncodingOptions) -> CMDScore:
    """The score of a setting; what was encoded for another one comes from the cache."""
    chosen: EncodingOptions = {
        **options,
        "protocol": setting.protocol,
        "model": setting.model,
        "weights": setting.weights,
        "dtype": setting.dtype,
    }
    encoding = encoding_of(**chosen)
    wanted = Wanted(subset=setting.subset)
    (found,) = scored([setting.generated], setting.captions, setting.real, encoding, wanted)
    if setting.n is None or setting.n >= (found.f.moments.n or 0):
        return found.score
    return score_of(_part(found.f, setting.n), found.r, found.l, encoding.cache)


def _part(side: Side, n: int) -> Side:
    """n images of a side, at random with a seed, in their order.

    Raises:
        InputError: Only moments of the side are at hand.
    """
    if side.features is None:
        raise InputError(f"{side.source} is moments alone: a part of its images takes the images")
    total = len(side.features)
    rows = np.sort(np.random.default_rng(0).permutation(total)[:n])
    features = np.asanyarray(side.features)[rows]
    return replace(
        side,
        moments=Moments.from_features(features, side.moments.provenance),
        features=features,
        names=_of_rows(side.names, rows),
        places=_of_rows(side.places, rows),
        contents=None if side.contents is None else side.contents[rows],
        looks=None if side.looks is None else side.looks[rows],
        identity=None,
        images=None,
    )


def _of_rows(values: tuple[_T, ...] | None, rows: NDArray[np.intp]) -> tuple[_T, ...] | None:
    return None if values is None else tuple(values[row] for row in rows)


def _not_as_given(which: str, content: Mapping[str, Any], computed: CMDScore) -> Iterator[str]:
    """Where what was computed here is not what a score says that it is of."""
    ours, theirs = fields_of(content["signature"]), fields_of(computed.signature)
    for key, words in _WORDS.items():
        one, two = (each.get(key, "not recorded") for each in (ours, theirs))
        if one != two and key not in _FOLLOWS:
            yield f"{words} ({key}): {one} in the {which} score, {two} here"


def _step(what: str, before: Mapping[str, Any] | CMDScore, after: Any) -> Step:
    values = [each.to_dict() if isinstance(each, CMDScore) else each for each in (before, after)]
    return Step(what, *(float(values[1][name]) - float(values[0][name]) for name in NUMBERS))


def _signed(value: float) -> str:
    """With a sign; what rounds to zero has a plus."""
    return f"{round(value, 4) + 0.0:+.4f}"
