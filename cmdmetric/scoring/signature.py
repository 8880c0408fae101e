"""The signature: in one line what a score was made with and of."""

from __future__ import annotations

import hashlib
import json

from cmdmetric.metrics import Provenance
from cmdmetric.protocol import CLIP, GRGAN, Protocol
from cmdmetric.scoring.side import Side
from cmdmetric.version import __version__


def signature_of(f: Side, r: Side, l: Side, made: Provenance | None) -> str:
    if made is None:
        proto, model, dtype = "?", "?", "?"
    else:
        proto, dtype = _protocol_label(made.protocol), made.dtype
        model = f"{made.model}@{made.weights[:8]}"
    return (
        f"CMD|proto:{proto}|model:{model}|f:{f.label}|r:{r.label}|l:{l.label}"
        f"|dtype:{dtype}|v:{__version__}"
    )


def _protocol_label(protocol: Protocol) -> str:
    """The name; a user's own protocol also shows a digest of its fields."""
    if protocol in (GRGAN, CLIP):
        return protocol.name
    fields = json.dumps(protocol.to_dict(), sort_keys=True)
    return f"{protocol.name}@{hashlib.sha256(fields.encode()).hexdigest()[:8]}"
