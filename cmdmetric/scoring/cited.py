"""What a reader who quotes a score should cite: the keys of `cmdmetric.citations`.

What a metric cites stands with its declaration (`Metric.cites`); here is what every score cites,
and what encoders, networks and references do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cmdmetric.citations import bibtex, entries
from cmdmetric.encoders import BUNDLED
from cmdmetric.scoring.family.catalogue import metric_of
from cmdmetric.scoring.references import COCO2014_VAL
from cmdmetric.scoring.signature import fields_of
from cmdmetric.scoring.stored.score_file import read_json, refuse_malformed

#: CMD, and the program that computed it.
_ALWAYS = ("cmdmetric", "yang2022grgan")
_CLIP, _OPEN_CLIP = "radford2021clip", "ilharco2021openclip"
#: Papers of the data or the loss that a CLIP was trained with, by words in its name.
_TRAINED = {
    "laion": "schuhmann2022laion5b",
    "datacomp": "gadre2023datacomp",
    "commonpool": "gadre2023datacomp",
    "siglip": "zhai2023siglip",
    "webli": "zhai2023siglip",
}
#: Of networks beside CLIP, by their names in a score.
_TIMM = "wightman2019timm"
_NETWORKS = {
    "inception": ("szegedy2016inception", "obukhov2020torchfidelity"),
    "clip-hessel": (_CLIP, _OPEN_CLIP),
    "clip-cmmd": (_CLIP, _OPEN_CLIP),
    "dinov2": ("oquab2024dinov2", _TIMM),
}


def citations(*results: Any) -> str:
    """The BibTeX of everything that results were made with.

    Args:
        *results: The JSON of scores, of rankings or of comparisons of two (docs/json.md).

    Raises:
        InputError: One is no result of cmdmetric.

    >>> from cmdmetric import cmd
    >>> score = cmd("examples/generated", "examples/captions.json", model="scenes-toy")
    >>> citations(score.to_dict()).startswith("@software{cmdmetric,")
    True
    """
    return _cited(score for result in results for score in _scores(result, "the result"))


def citations_of_files(paths: Sequence[str | os.PathLike[str]]) -> str:
    """The BibTeX of everything that the results in files were made with; of all there is for none.

    Raises:
        InputError: A file cannot be read, or holds no result of cmdmetric.
    """
    if not paths:
        return bibtex(entries())
    named = {str(path): read_json(Path(path)) for path in paths}
    return _cited(score for name, result in named.items() for score in _scores(result, name))


def _cited(scores: Iterable[Mapping[str, Any]]) -> str:
    return bibtex(key for score in scores for key in _keys(score))


def _scores(result: Any, name: str) -> Iterator[Mapping[str, Any]]:
    """The scores of a result, or what a comparison of stored scores records of each.

    Args:
        result: The JSON.
        name: What a message calls it.
    """
    if isinstance(result, Mapping):
        several = result.get("scores") or result.get("models")
        if several is None and {"first", "second"} <= result.keys():
            several = [result["first"], result["second"]]
        if isinstance(several, list):
            for each in several:
                yield from _scores(each, name)
            return
    refuse_malformed(result, name)
    yield result


def _keys(score: Mapping[str, Any]) -> set[str]:
    found = {*_ALWAYS}
    model = str(score.get("model") or "").lower()
    if model and model not in BUNDLED:
        found |= {_OPEN_CLIP, _CLIP}
        found |= {key for word, key in _TRAINED.items() if word in model}
    fields = fields_of(score["signature"])
    if COCO2014_VAL.name in (fields.get("r"), fields.get("l")):
        found.add("lin2014coco")
    for number, value in (score.get("metrics") or {}).items():
        network = value.get("network") if isinstance(value, Mapping) else None
        if (metric := metric_of(number, network)) is not None:
            found |= {*metric.cites}
    for network in score.get("networks") or ():
        found |= {*_NETWORKS.get(network, (_TIMM,))}
    if score.get("memorisation"):
        found.add("alaa2022faithful")
    return found
