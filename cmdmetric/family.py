"""The family of metrics by name: what each takes from the three sides, and its values.

docs/metrics.md has a paragraph on each. CMD, ITDis and the distances they are made of are part of
every score and need not be asked for.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from cmdmetric.clipscore import clip_scores, ref_clip_scores
from cmdmetric.cmmd import cmmd
from cmdmetric.errors import InputError
from cmdmetric.fid import fid
from cmdmetric.fjd import fjd
from cmdmetric.kid import clip_kid, kid_of_subsets
from cmdmetric.moments import Moments
from cmdmetric.prdc import prdc
from cmdmetric.rprecision import r_precision, recall_at_k
from cmdmetric.sources import Side
from cmdmetric.vendi import vendi_score

if TYPE_CHECKING:
    from cmdmetric.inception import InceptionFeatures

Features = NDArray[np.float32]
#: Images whose captions are judged at once by RefCLIPScore.
_IMAGES = 2048


class Unavailable(InputError):
    """A metric was asked for whose inputs are not all there."""


@dataclass(frozen=True)
class Value:
    """One number of a metric, and its standard error where it is a mean over independent images."""

    value: float
    standard_error: float | None = None


@dataclass(frozen=True)
class Given:
    """What metrics are made of: generated images f, real images r, captions l.

    inception_f, inception_r: Inception's features of the images, or its moments of the real ones.
    """

    f: Side
    r: Side
    l: Side  # noqa: E741
    inception_f: InceptionFeatures | None = None
    inception_r: InceptionFeatures | Moments | None = None


@dataclass(frozen=True)
class Metric:
    """A metric by its name in `--metrics`.

    values: the names of its numbers in a result, and which way each is better.
    inception: whether it is made of Inception's features.
    """

    name: str
    values: Mapping[str, Literal["lower", "higher"]]
    compute: Callable[[Given], Sequence[Value]]
    inception: bool = False


#: What every score has.
ALWAYS = ("cmd", "itdis", "dis_fr", "dis_fl", "dis_rl")


def metric_names(metrics: str | Iterable[str]) -> tuple[str, ...]:
    """The names in "fid,clipscore" or in a list, each once; "all" is all of them.

    Raises InputError for a name that there is not, with the nearest one.
    """
    if isinstance(metrics, str):
        metrics = [name.strip() for name in metrics.split(",") if name.strip()]
    wanted = dict.fromkeys(name.lower() for name in metrics)
    if "all" in wanted:
        return tuple(METRICS)
    for name in wanted:
        if name not in METRICS and name not in ALWAYS:
            near = difflib.get_close_matches(name, METRICS, 1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise InputError(
                f"no metric {name!r}{hint} There is {', '.join((*ALWAYS, *METRICS))}, or all"
            )
    return tuple(name for name in METRICS if name in wanted)


def family(
    names: Sequence[str], given: Given, *, lenient: bool = False
) -> tuple[dict[str, Value], list[str]]:
    """The values of the metrics named, by the names in `Metric.values`.

    lenient: leave out what cannot be had, and say so in the notes that are returned as well;
    otherwise raises `Unavailable`, an InputError, which says what is missing.
    """
    values: dict[str, Value] = {}
    notes = []
    for name in names:
        metric = METRICS[name]
        try:
            values |= zip(metric.values, metric.compute(given), strict=True)
        except InputError as error:
            if not lenient:
                raise Unavailable(f"{name}: {error}") from None
            notes.append(f"{name} is left out: {error}")
    return values, notes


def _features(side: Side, what: str) -> Features:
    features = side.features
    if features is None:
        raise Unavailable(
            f"it takes the features of the {what}, of which {side.source} has only moments"
        )
    return features


def _pairs(images: Side, l: Side, what: str) -> tuple[Features, NDArray[np.intp], Features]:  # noqa: E741
    """Features (n, d) of the images that have captions, for each of m captions its image's row, and
    the captions' features (m, d)."""
    from cmdmetric.score import pairing_of

    of_images, of_captions = _features(images, what), _features(l, "captions")
    pairing = pairing_of(images, l)
    row_of = {text: row for row, text in enumerate(l.kept)}
    captioned = [
        (image, [row_of[text] for text in own if text in row_of])
        for image, own in enumerate(pairing.caption_of if pairing else ())
    ]
    captioned = [(image, rows) for image, rows in captioned if rows]
    if not captioned:
        raise Unavailable(
            f"it takes pairs, and no caption of {l.source} names one of the {what} of "
            f"{images.source}"
        )
    owner = np.repeat(np.arange(len(captioned)), [len(rows) for _, rows in captioned])
    rows = [row for _, own in captioned for row in own]
    return of_images[[image for image, _ in captioned]], owner, of_captions[rows]


def _mean(scores: NDArray[np.float64], owner: NDArray[np.intp]) -> list[Value]:
    """The mean over pairs; an image and its captions are one draw."""
    count = np.bincount(owner)
    mean = float(scores.mean())
    if len(count) < 2:
        return [Value(mean)]
    excess = np.bincount(owner, scores - mean) * len(count) / len(scores)
    return [Value(mean, float(excess.std(ddof=1) / np.sqrt(len(count))))]


def _clipscore(given: Given) -> list[Value]:
    images, owner, captions = _pairs(given.f, given.l, "generated images")
    return _mean(clip_scores(images[owner], captions), owner)


def _ref_clipscore(given: Given) -> list[Value]:
    """Every caption is judged beside the other captions of its image."""
    images, owner, captions = _pairs(given.f, given.l, "generated images")
    rows_of = np.split(np.arange(len(owner)), np.cumsum(np.bincount(owner))[:-1])
    several = [rows for rows in rows_of if len(rows) > 1]
    if not several:
        raise Unavailable("it takes several captions for an image, each has one")
    scores, draws = [], []
    for start in range(0, len(several), _IMAGES):
        part = several[start : start + _IMAGES]
        judged = np.concatenate(part)
        others = [np.delete(rows, i) for rows in part for i in range(len(rows))]
        beside = np.repeat(np.arange(len(judged)), [len(rows) for rows in others])
        scores.append(
            ref_clip_scores(
                images[owner[judged]], captions[judged], captions[np.concatenate(others)], beside
            )
        )
        draws.append(np.repeat(np.arange(start, start + len(part)), [len(rows) for rows in part]))
    return _mean(np.concatenate(scores), np.concatenate(draws))


def _r_precision(given: Given) -> list[Value]:
    images, owner, captions = _pairs(given.f, given.l, "generated images")
    return [Value(r_precision(images, captions, owner))]


def _recall(given: Given) -> list[Value]:
    images, owner, captions = _pairs(given.f, given.l, "generated images")
    found = recall_at_k(images, captions, owner)
    ways = (found.image_to_text, found.text_to_image)
    return [Value(way[k]) for way in ways for k in (1, 5, 10)]


def _fjd(given: Given) -> list[Value]:
    images, owner, captions = _pairs(given.f, given.l, "generated images")
    real, of_real, real_captions = _pairs(given.r, given.l, "real images")
    return [Value(fjd(images[owner], captions, real[of_real], real_captions))]


def _of_images(given: Given) -> tuple[Features, Features]:
    return _features(given.f, "generated images"), _features(given.r, "real images")


def _cmmd(given: Given) -> list[Value]:
    found = cmmd(*_of_images(given))
    return [Value(found.unbiased), Value(found.biased)]


def _prdc(given: Given) -> list[Value]:
    found = prdc(*_of_images(given))
    return [Value(v) for v in (found.precision, found.recall, found.density, found.coverage)]


def _inception(given: Given) -> tuple[InceptionFeatures, InceptionFeatures]:
    """Inception's features of both sides."""
    f, r = given.inception_f, given.inception_r
    if f is None:
        raise Unavailable(f"it takes images, and {given.f.source} holds what CLIP made of them")
    if r is None or isinstance(r, Moments):
        raise Unavailable(
            f"it takes real images, and {given.r.source} holds none: name some by --inception-real"
        )
    return f, r


def _fid(given: Given) -> list[Value]:
    if given.inception_f is not None and isinstance(given.inception_r, Moments):
        return [Value(fid(given.inception_f.pool, given.inception_r))]
    f, r = _inception(given)
    return [Value(fid(f.pool, r.pool))]


def _kid(given: Given) -> list[Value]:
    f, r = _inception(given)
    return [Value(kid_of_subsets(f.pool, r.pool).mean)]


def _inception_score(given: Given) -> list[Value]:
    from cmdmetric.inception_score import inception_score

    if given.inception_f is None:
        raise Unavailable(f"it takes images, and {given.f.source} holds what CLIP made of them")
    found = inception_score(given.inception_f.logits)
    return [Value(found.mean), Value(found.std)]


#: The metrics by name, in the order in which they are shown.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("clipscore", {"clipscore": "higher"}, _clipscore),
        Metric("ref_clipscore", {"ref_clipscore": "higher"}, _ref_clipscore),
        Metric("r_precision", {"r_precision": "higher"}, _r_precision),
        Metric(
            "recall_at_k",
            {f"{way}_r{k}": "higher" for way in ("i2t", "t2i") for k in (1, 5, 10)},
            _recall,
        ),
        Metric("fjd", {"fjd": "lower"}, _fjd),
        Metric("cmmd", {"cmmd": "lower", "cmmd_biased": "lower"}, _cmmd),
        Metric("clip_kid", {"clip_kid": "lower"}, lambda g: [Value(clip_kid(*_of_images(g)))]),
        Metric(
            "prdc",
            dict.fromkeys(("precision", "recall", "density", "coverage"), "higher"),
            _prdc,
        ),
        Metric(
            "vendi",
            {"vendi": "higher"},
            lambda g: [Value(vendi_score(_features(g.f, "generated images")))],
        ),
        Metric("fid", {"fid": "lower"}, _fid, inception=True),
        Metric("kid", {"kid": "lower"}, _kid, inception=True),
        Metric("is", {"is": "higher", "is_std": "lower"}, _inception_score, inception=True),
    )
}
