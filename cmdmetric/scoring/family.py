"""Each metric of the family on the three sides of a score: its numbers and their error bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cmdmetric.metrics import (
    DIMENSIONS,
    NEIGHBOURS,
    DistanceInfluence,
    MMDInfluence,
    Moments,
    clip_kid_influence,
    clip_scores,
    cmmd_influence,
    fid_influence,
    fjd_influence,
    kid_influence,
    kid_of_subsets,
    prdc_scores,
    ranks,
    ref_clip_scores,
    vendi_influence,
    vendi_score,
    wins,
)
from cmdmetric.scoring.catalogue import Given, Unavailable
from cmdmetric.scoring.grouping import pairing_of
from cmdmetric.uncertainty import Array, Drawn, Measured, apart, numbers_of_draws, sections, units

if TYPE_CHECKING:
    from cmdmetric.encoders import InceptionFeatures
    from cmdmetric.inputs import Pairing
    from cmdmetric.scoring.side import Side

Features = NDArray[np.float32]
#: Images whose captions are judged at once by RefCLIPScore.
_IMAGES = 2048
#: KID's influences are found in parts of so many images: a fraction of its own time.
_PART = 2000
#: Precision to coverage get their error bars from so many sections, of so many images.
_SECTIONS, _SMALLEST, _LARGEST = 16, 20, 5000

#: Computes the numbers of a metric.
Compute = Callable[[Given], Sequence[Measured]]


def _features(side: Side, what: str) -> Features:
    features = side.features
    if features is None:
        raise Unavailable(
            f"it takes the features of the {what}, of which {side.source} has only moments"
        )
    return np.asanyarray(features)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Images that have captions (n, d), and m captions (m, d) with the row of their image (m,)."""

    images: Features
    owner: NDArray[np.intp]
    captions: Features
    #: (m,) which text each caption is: those that read alike, as of several passes, are one.
    text: NDArray[np.intp]
    #: (n,) rows of the images in their side, and how many that has.
    rows: list[int]
    total: int

    @classmethod
    def of(cls, images: Side, l: Side, what: str) -> _Pairs:
        of_images, of_captions = _features(images, what), _features(l, "captions")
        pairing = pairing_of(images, l)
        captioned = _captioned(pairing, l)
        if not captioned:
            raise Unavailable(
                f"it takes pairs, and no caption of {l.source} names one of the {what} of "
                f"{images.source}"
            )
        owner = np.repeat(np.arange(len(captioned)), [len(rows) for _, rows in captioned])
        kept = [image for image, _ in captioned]
        texts = [row for _, own in captioned for row in own]
        assert l.texts is not None  # they are paired
        alike = [l.texts.readings[l.kept[row]] for row in texts]
        seen: dict[int, int] = {}
        text = [seen.setdefault(first, len(seen)) for first in alike]
        captions = of_captions[texts]
        return cls(of_images[kept], owner, captions, np.array(text), kept, len(of_images))

    def retrieval(self) -> tuple[Features, Features, NDArray[np.intp]]:
        """Images, captions without those that read alike, and the pairs (p, 2) of both."""
        first = np.unique(self.text, return_index=True)[1]
        own = np.unique(np.stack([self.owner, self.text], axis=1), axis=0)
        return self.images, self.captions[first], own

    def mean_of_captions(self, scores: Array) -> Measured:
        """The mean of the captions' scores (m,); an image with its captions is one draw."""
        return self.mean_of_pairs(scores, self.owner)

    def mean_of_pairs(self, scores: Array, image: NDArray[np.intp]) -> Measured:
        """The mean of the scores (p,) of pairs of an image (p,) and a caption."""
        mean = float(scores.mean())
        of_images = np.bincount(image, scores - mean, minlength=len(self.rows))
        of_images[np.bincount(image, minlength=len(self.rows)) == 0] = np.nan
        return Measured(mean, {"f": self.of_side(of_images / len(scores))})

    def mean_of_texts(self, scores: Array, own: NDArray[np.intp]) -> Measured:
        """The mean of the scores (t,) of captions; each is shared by the images it has in `own`."""
        mean = float(scores.mean())
        image, text = own.T
        shared = (scores - mean) / np.bincount(text)
        return Measured(mean, {"f": self.of_side(np.bincount(image, shared[text]) / len(scores))})

    def mean_of_images(self, scores: Array) -> Measured:
        """The mean of the images' scores (n,)."""
        mean = float(scores.mean())
        return Measured(mean, {"f": self.of_side((scores - mean) / len(scores))})

    def of_side(self, of_images: Array) -> Array:
        """(total,) values of the images that have captions, and NaN for the others."""
        found = np.full(self.total, np.nan)
        found[self.rows] = of_images
        return found


def _captioned(pairing: Pairing | None, l: Side) -> list[tuple[int, list[int]]]:
    """Each image that has captions with a word in them, with their rows among the features."""
    row_of = {text: row for row, text in enumerate(l.kept)}
    found = [
        (image, [row_of[text] for text in own if text in row_of])
        for image, own in enumerate(pairing.caption_of if pairing else ())
    ]
    return [(image, rows) for image, rows in found if rows]


def _of_f(given: Given) -> _Pairs:
    return _Pairs.of(given.f, given.l, "generated images")


def clipscore(given: Given) -> list[Measured]:
    pairs = _of_f(given)
    return [pairs.mean_of_captions(clip_scores(pairs.images[pairs.owner], pairs.captions))]


def ref_clipscore(given: Given) -> list[Measured]:
    """Every caption is judged beside the other captions of its image."""
    pairs = _of_f(given)
    rows_of = np.split(np.arange(len(pairs.owner)), np.cumsum(np.bincount(pairs.owner))[:-1])
    several = [rows for rows in rows_of if len(rows) > 1]
    if not several:
        raise Unavailable("it takes several captions for an image, each has one")
    scores = []
    for start in range(0, len(several), _IMAGES):
        part = several[start : start + _IMAGES]
        judged = np.concatenate(part)
        others = np.concatenate([np.delete(rows, i) for rows in part for i in range(len(rows))])
        beside = np.repeat(
            np.arange(len(judged)), [len(rows) - 1 for rows in part for _ in range(len(rows))]
        )
        images, captions = pairs.images[pairs.owner[judged]], pairs.captions
        scores.append(ref_clip_scores(images, captions[judged], captions[others], beside))
    judged = np.concatenate(several)
    return [replace(pairs, owner=pairs.owner[judged]).mean_of_captions(np.concatenate(scores))]


def r_precision(given: Given) -> list[Measured]:
    """The captions that an image's own are tried against are taken as given."""
    pairs = _of_f(given)
    images, captions, own = pairs.retrieval()
    won = wins(images, captions, own)
    return [pairs.mean_of_pairs(won.astype(np.float64), own[:, 0])]


def recall_at_k(given: Given) -> list[Measured]:
    """Likewise: for these numbers of captions and images."""
    pairs = _of_f(given)
    images, captions, own = pairs.retrieval()
    of_images, of_captions = ranks(images, captions, own)
    return [
        replace(mean, bias=None, sizes=(len(images), len(captions)))
        for mean in (
            *(pairs.mean_of_images((of_images < k).astype(np.float64)) for k in (1, 5, 10)),
            *(pairs.mean_of_texts((of_captions < k).astype(np.float64), own) for k in (1, 5, 10)),
        )
    ]


def fjd(given: Given) -> list[Measured]:
    f, r = _of_f(given), _Pairs.of(given.r, given.real_l or given.l, "real images")
    drawn = [_drawn(given, name, side.rows) for name, side in (("f", f), ("r", r))]
    of_f, of_r = numbers_of_draws(drawn)
    found = fjd_influence(
        f.images[f.owner], f.captions, r.images[r.owner], r.captions, draws=(of_f, of_r)
    )
    shares = {
        side: pairs.of_side(np.bincount(pairs.owner, influence) / len(influence))
        for side, pairs, influence in (("f", f, found.of_a), ("r", r, found.of_b))
        if influence is not None
    }
    single = all(len(pairs.images) == len(pairs.owner) for pairs in (f, r))
    d = f.images.shape[1] + f.captions.shape[1]
    return [_distance(found, shares, d, single and apart(drawn))]


def _drawn(given: Given, side: str, rows: Sequence[int] | None = None) -> Drawn:
    """What was drawn together of the images "f" or "r", or of these rows of them."""
    n = (given.f if side == "f" else given.r).moments.n or 0
    groups = given.groups.get(side)
    if rows is None:
        return Drawn(n, groups)
    return Drawn(len(rows), None if groups is None else groups[rows])


def _apart(given: Given) -> bool:
    """Whether every image, generated or real, is a draw of its own."""
    return apart([_drawn(given, "f"), _drawn(given, "r")])


def _distance(
    found: DistanceInfluence, shares: dict[str, Array], d: int, independent: bool
) -> Measured:
    """The second-order excess is that of more independent samples than dimensions."""
    enough = all(np.isfinite(share).sum() > d for share in shares.values())
    known = independent and enough
    return Measured(
        found.distance,
        shares,
        excess=found.second_order,
        bias=found.bias if known else None,
    )


def _of_images(given: Given) -> tuple[Features, Features]:
    return _features(given.f, "generated images"), _features(given.r, "real images")


def cmmd(given: Given) -> list[Measured]:
    found = cmmd_influence(*_of_images(given), _draws(given))
    unbiased, biased = found.mmd.unbiased, found.mmd.biased
    return [_discrepancy(found, unbiased), _discrepancy(found, biased, biased - unbiased)]


def clip_kid(given: Given) -> list[Measured]:
    found = clip_kid_influence(*_of_images(given), _draws(given))
    return [_discrepancy(found, found.mmd.unbiased)]


def _draws(given: Given) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    f, r = units([_drawn(given, "f"), _drawn(given, "r")])[0]
    return f, r


def _discrepancy(found: MMDInfluence, value: float, more: float = 0.0) -> Measured:
    """more: how much higher the value is than the unbiased estimate."""
    shares = {"f": found.of_x / len(found.of_x), "r": found.of_y / len(found.of_y)}
    bias = None if found.bias is None else found.bias + more
    return Measured(value, shares, excess=found.second_order, bias=bias)


def precision_to_coverage(given: Given) -> list[Measured]:
    """With the error bars of halves, or of smaller sections where even these are large."""
    f, r = _of_images(given)
    whole = prdc_scores(f, r)
    most = min(len(f), len(r)) // _SMALLEST
    if most < 2:
        return [Measured(value, bias=None) for value in whole]
    # By the real images, so that generators of about as many images are parted alike.
    parts = max(2, min(most, len(r) // _LARGEST))
    values = np.empty((-(-_SECTIONS // parts), parts, len(whole)))
    for partition, part in np.ndindex(values.shape[:2]):
        of_f, of_r = (
            sections(Drawn(len(side), given.groups.get(name)), parts, partition) == part
            for name, side in (("f", f), ("r", r))
        )
        if min(of_f.sum(), of_r.sum()) <= NEIGHBOURS:  # a few draws that hold most images
            return [Measured(value, bias=None) for value in whole]
        values[partition, part] = prdc_scores(f[of_f], r[of_r])
    return [Measured(value, sections=values[..., i], bias=None) for i, value in enumerate(whole)]


def vendi(given: Given) -> list[Measured]:
    f = _features(given.f, "generated images")
    # Two images move it alike whatever they are: that tells no error.
    shares = {"f": vendi_influence(f) / len(f)} if len(f) > 2 else {}
    return [Measured(vendi_score(f), shares, bias=None)]


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


def _real(given: Given) -> str:
    """Whose groups those of Inception's real images are."""
    return "inception_r" if given.inception_apart else "r"


def fid(given: Given) -> list[Measured]:
    if given.inception_f is not None and isinstance(given.inception_r, Moments):
        found = fid_influence(given.inception_f.pool, given.inception_r)
    else:
        f, r = _inception(given)
        found = fid_influence(f.pool, r.pool)
    of = {"f": found.of_a, _real(given): found.of_b}
    shares = {side: x / len(x) for side, x in of.items() if x is not None}
    return [_distance(found, shares, DIMENSIONS, _inception_apart(given))]


def _inception_apart(given: Given) -> bool:
    """`_apart` of the images that Inception sees."""
    return apart([_drawn(given, "f")]) if given.inception_apart else _apart(given)


def kid(given: Given) -> list[Measured]:
    f, r = (side.pool for side in _inception(given))
    value = kid_of_subsets(f, r)
    most = min(len(f), len(r)) // 2
    found = kid_influence(f, r, parts=max(1, min(most, max(len(f), len(r)) // _PART)))
    shares = {"f": found.of_f / len(f), _real(given): found.of_r / len(r)}
    return [
        Measured(
            value.mean,
            shares,
            # Second-order noise counts twice in each part, once in the whole.
            excess=found.second_order * (2 / found.parts - 1 / found.parts**2),
            least=1 / (2 * found.parts),
            chance=value.std**2 / value.subsets,
            bias=0.0 if _inception_apart(given) else None,
        )
    ]


def inception_score(given: Given) -> list[Measured]:
    from cmdmetric.metrics import SPLITS, inception_score, inception_score_influence

    if given.inception_f is None:
        raise Unavailable(f"it takes images, and {given.f.source} holds what CLIP made of them")
    logits = given.inception_f.logits
    found = inception_score(logits)
    if len(logits) < 2 * SPLITS:  # one image in a split says nothing of their spread
        return [Measured(found.mean, bias=None), Measured(found.std, bias=None)]
    shares = inception_score_influence(logits) / len(logits)
    return [Measured(found.mean, {"f": shares}, bias=None), Measured(found.std, bias=None)]


#: What computes the numbers of each metric, by its name.
MEASURES: dict[str, Compute] = {
    "clipscore": clipscore,
    "ref_clipscore": ref_clipscore,
    "r_precision": r_precision,
    "recall_at_k": recall_at_k,
    "fjd": fjd,
    "cmmd": cmmd,
    "clip_kid": clip_kid,
    "prdc": precision_to_coverage,
    "vendi": vendi,
    "fid": fid,
    "kid": kid,
    "is": inception_score,
}
