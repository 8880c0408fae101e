"""The signature of a number: in one line, everything that it follows from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from cmdmetric.features import Contents, digest_of_set, digests_of
from cmdmetric.inputs import Pairing
from cmdmetric.metrics import Provenance
from cmdmetric.protocol import CLIP, GRGAN, Protocol
from cmdmetric.scoring.side import Side
from cmdmetric.terminal import shown
from cmdmetric.version import __version__

if TYPE_CHECKING:
    from cmdmetric.scoring.family.metric import Seen
    from cmdmetric.uncertainty import Uncertainty

#: Hexadecimal digits of a digest: two sets of one size have equal ones once in four billion times.
DIGITS = 8
#: The fields of the short form: what has to be said beside a number in a text. A difference has
#: some for each of both scores (`f1`, `f2`), and says how it was tested.
_SHORT = ("proto", "model", "f", "r", "l", "test", "v")


@dataclass(frozen=True)
class Signature:
    """The name of a metric and its fields, in their order; `str()` of it is the long form.

    >>> str(Signature("CMD", {"f": "160@1f0c44a2", "v": "1.0.0"}))
    'CMD|f:160@1f0c44a2|v:1.0.0'
    """

    metric: str
    fields: Mapping[str, str]

    def __str__(self) -> str:
        return self._line(self.fields)

    @classmethod
    def read(cls, line: str) -> Signature:
        """The inverse of `str()`.

        >>> Signature.read("CMD|model:a%3Ab|v:1").fields["model"]
        'a:b'
        """
        values = {key: unquote(value) for key, value in fields_of(line).items()}
        return cls(line.partition("|")[0], values)

    @property
    def short(self) -> str:
        """The form for a text: protocol, network, sets and version."""
        return self._line([key for key in self.fields if key.rstrip("12") in _SHORT])

    def _line(self, keys: Mapping[str, str] | Sequence[str]) -> str:
        return "|".join([self.metric, *(f"{key}:{_escaped(self.fields[key])}" for key in keys)])

    def of_metric(self, number: str, parameters: Mapping[str, str]) -> Signature:
        """The signature of another number that was made of the same sets.

        Args:
            number: Its name.
            parameters: Fields of its own, which may take the place of those that are here.
        """
        fields = {key: value for key, value in self.fields.items() if key != "debias"}
        version = fields.pop("v")
        return Signature(number.upper(), {**fields, **parameters, "v": version})


def signature_of(
    f: Side,
    r: Side,
    l: Side,
    made: Provenance | None,
    pairings: tuple[Pairing | None, Pairing | None] = (None, None),
    bars: Uncertainty | None = None,
) -> Signature:
    """Write the signature of a score of three sides.

    Args:
        f: The generated images.
        r: The real images.
        l: The captions.
        made: How the sides were made; None where none of them tells.
        pairings: Those of the generated and of the real images with the captions.
        bars: The error bars; None where there are none.
    """
    proto = model = dtype = "?"
    if made is not None:
        proto, dtype = protocol_label(made.protocol), made.dtype
        model = f"{made.model}@{made.weights[:DIGITS]}"
    sampled = bars.sides if bars is not None else ()
    letters = {"generated": "f", "real": "r", "captions": "l"}
    decoders = {
        side.moments.provenance.pillow for side in (f, r) if side.moments.provenance is not None
    }
    fields = {
        "proto": proto,
        "model": model,
        "f": label(f),
        "r": label(r),
        "l": label(l),
        **_parts_label(f, l),
        "pairs": _pairs_label((f, r), l, pairings),
        "se": "".join(letters[side] for side in sampled) or "none",
        "debias": bars.debiasing if bars is not None else "none",
        "dtype": dtype,
        "tok": _tokeniser_label(l.moments.provenance),
        "pillow": ",".join(sorted(decoders)) or "?",
        "v": __version__,
    }
    return Signature("CMD", fields)


def label(side: Side) -> str:
    """Name a side in a signature: a reference's name, or the number and the digest of its samples.

    The digest does not depend on names or on the order.
    """
    if side.reference:
        return side.reference
    return _set_label(side.moments.n, side.contents)


def _set_label(n: int | None, contents: Contents | None) -> str:
    count = "?" if n is None else str(n)
    return count if contents is None else f"{count}@{digest_of_set(contents)[:DIGITS]}"


def _parts_label(f: Side, l: Side) -> dict[str, str]:
    """Say which named set of prompts the captions are of, and which part of a set was drawn."""
    recipe = None if l.texts is None else l.texts.recipe
    found = {"prompts": recipe, "num": f.drawn}
    return {key: value for key, value in found.items() if value is not None}


def _tokeniser_label(made: Provenance | None) -> str:
    """Name the tokeniser of captions, with the first digits of the digest of what is in it."""
    if made is None:
        return "?"
    name, at, digest = made.tokeniser.rpartition("@")
    return f"{name}@{digest[:DIGITS]}" if at else made.tokeniser


def _pairs_label(
    sides: tuple[Side, Side], captions: Side, pairings: tuple[Pairing | None, Pairing | None]
) -> str:
    """Name the image sides whose images are drawn with their captions, and digest which are."""
    letters, found = "", []
    for letter, side, pairing in zip("fr", sides, pairings, strict=True):
        if pairing is None or captions.texts is None or not any(pairing.caption_of):
            continue
        letters += letter
        texts, contents = captions.texts.texts, side.contents
        if contents is None or len(contents) != len(pairing.caption_of):
            return letters  # which they are is not known
        of_pairs = digests_of(
            row.tobytes() + "\0".join(sorted(texts[i] for i in own)).encode()
            for row, own in zip(contents, pairing.caption_of, strict=True)
        )
        found.append(digest_of_set(of_pairs))
    if not letters:
        return "none"
    return f"{letters}@{hashlib.sha256(' '.join(found).encode()).hexdigest()[:DIGITS]}"


def fields_of_network(name: str, seen: Seen) -> dict[str, str]:
    """What the signature of a metric of a network beside CLIP has in other words than CMD's.

    Args:
        name: The network's name.
        seen: What it makes of the images.
    """
    fields = {**seen.fields, "model": f"{name}@{seen.weights[:DIGITS]}"}
    if seen.apart:
        fields["r"] = _set_label(seen.n_real, seen.contents)
    return fields


def fields_of_scores(f: Side, name: str) -> dict[str, str]:
    """What the signature of a number has that others have computed of the images.

    Args:
        f: The generated images, with their scores.
        name: The number.
    """
    values = f.scores[name].astype("<f8")
    rows = f.contents if f.contents is not None and len(f.contents) == len(values) else None
    pairs = digests_of(
        (b"" if rows is None else rows[i].tobytes()) + value.tobytes()
        for i, value in enumerate(values)
    )
    made = {key: "none" for key in ("proto", "r", "dtype", "tok")}
    return {**made, "model": f"given@{digest_of_set(pairs)[:DIGITS]}"}


def fields_of(signature: str) -> dict[str, str]:
    """Read the fields of a signature, as they are written.

    >>> fields_of("CMD|proto:grgan|r:160@1f0c44a2")
    {'proto': 'grgan', 'r': '160@1f0c44a2'}
    """
    return dict(_pairs_in(signature))


def _pairs_in(signature: str) -> Iterator[tuple[str, str]]:
    for part in signature.split("|")[1:]:
        key, colon, value = part.partition(":")
        if colon:
            yield key, value


def _escaped(value: str) -> str:
    """Keep a name from being read as further fields: what parts them is written as in a URL."""
    return re.sub(r"[|:%\s]", lambda found: quote(found[0], safe=""), shown(value))


def protocol_label(protocol: Protocol) -> str:
    """Give the name; a user's own protocol also shows a digest of its fields."""
    if protocol in (GRGAN, CLIP):
        return protocol.name
    fields = json.dumps(protocol.to_dict(), sort_keys=True)
    return f"{protocol.name}@{hashlib.sha256(fields.encode()).hexdigest()[:DIGITS]}"
