"""What a score is: its numbers, and in one line, the signature, what they were made with and of."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cmdmetric.metrics import Provenance
from cmdmetric.protocol import CLIP, GRGAN, Protocol
from cmdmetric.scoring.side import Side
from cmdmetric.terminal import shown
from cmdmetric.version import __version__

if TYPE_CHECKING:
    from cmdmetric.uncertainty import Uncertainty, Value


@dataclass(frozen=True)
class CMDScore:
    """CMD, what it is made of, and how it was made; `float()` of it is CMD. Lower is better."""

    cmd: float
    itdis: float
    dis_fr: float
    dis_fl: float
    dis_rl: float
    #: Numbers of generated images and of draws among them (images of one caption are one), of real
    #: images and of captions; None where moments carry no count.
    n: int | None
    draws: int | None
    n_real: int | None
    n_captions: int | None
    #: Two scores compare only if their signatures differ in nothing but f.
    signature: str
    #: The protocol's name, the encoder's, and the sha256 of its weights; None if not recorded.
    protocol: str | None
    model: str | None
    weights: str | None
    #: What the three sides are: paths or registered names.
    generated: str
    real: str
    captions: str
    #: Generated images with a caption of their own; None where captions name no images.
    paired: int | None
    #: Images that could not be decoded, captions that were cut or had no word.
    skipped: int
    truncated: int
    empty: int
    #: Error bars and values without the excess of finite samples; None where only moments are
    #: at hand on every side.
    uncertainty: Uncertainty | None
    #: What a reader of the numbers must know.
    warnings: tuple[str, ...]
    #: Of the family (docs/metrics.md), those that were asked for.
    metrics: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    #: Where some of them are made of the features of networks beside CLIP, by the network's name:
    #: the sha256 of its weights, and the real side by name and number of images.
    networks: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    def __float__(self) -> float:
        return self.cmd

    def to_dict(self) -> dict[str, Any]:
        """Give all fields, for JSON."""
        bars = self.uncertainty and self.uncertainty.to_dict()
        metrics = {name: dataclasses.asdict(value) for name, value in self.metrics.items()}
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        own = {"uncertainty": bars, "warnings": list(self.warnings), "metrics": metrics}
        return {**fields, **own}


def signature_of(f: Side, r: Side, l: Side, made: Provenance | None) -> str:
    """Write the signature of a score of three sides, which were made as `made` tells."""
    if made is None:
        proto, model, dtype = "?", "?", "?"
    else:
        proto, dtype = _protocol_label(made.protocol), made.dtype
        model = f"{made.model}@{made.weights[:8]}"
    fields = {
        "proto": proto,
        "model": model,
        "f": f.label,
        "r": r.label,
        "l": l.label,
        "dtype": dtype,
        "v": __version__,
    }
    return "|".join(["CMD", *(f"{key}:{_escaped(value)}" for key, value in fields.items())])


def _escaped(value: str) -> str:
    """Keep a name from being read as further fields: what parts them is written as in a URL."""
    return re.sub(r"[|:%\s]", lambda found: quote(found[0], safe=""), shown(value))


def _protocol_label(protocol: Protocol) -> str:
    """Give the name; a user's own protocol also shows a digest of its fields."""
    if protocol in (GRGAN, CLIP):
        return protocol.name
    fields = json.dumps(protocol.to_dict(), sort_keys=True)
    return f"{protocol.name}@{hashlib.sha256(fields.encode()).hexdigest()[:8]}"
