"""The names of the metrics, for whoever need not load them: a shell's completion."""

from __future__ import annotations

#: As in `METRICS` of the catalogue, which takes a second to load; a test compares the two.
METRIC_NAMES = (
    "clipscore",
    "clip_cosine",
    "ref_clipscore",
    "r_precision",
    "recall_at_k",
    "fjd",
    "cmmd",
    "clip_kid",
    "prdc",
    "vendi",
    "fid",
    "kid",
    "is",
    "fd_dinov2",
    "kid_dinov2",
    "mind_dinov2",
    "prdc_dinov2",
    "vendi_dinov2",
    "clipscore:hessel",
    "cmmd:published",
    "prdc:k3",
    "mind",
    "clip_mind",
)
