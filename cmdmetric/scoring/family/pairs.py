"""Metrics of pairs: how well images fit the captions that are their own by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cmdmetric.metrics import (
    WEIGHT,
    clip_scores,
    pair_cosines,
    ranks,
    ref_clip_scores,
    win_chances,
    wins,
)
from cmdmetric.protocol import HESSEL as PUBLISHED
from cmdmetric.scoring.family.metric import Features, Given, Metric, Unavailable, features_of
from cmdmetric.scoring.grouping import caption_rows
from cmdmetric.scoring.side import Side
from cmdmetric.uncertainty import Array, Measured

#: The CLIP of CLIPScore's paper among the networks.
HESSEL = "clip-hessel"
#: Images whose captions are judged at once by RefCLIPScore.
_IMAGES = 2048
#: Recall is told at these ranks.
_RANKS = (1, 5, 10)


@dataclass(frozen=True, eq=False)
class Pairs:
    """The images of a side that have captions, and these captions.

    Attributes:
        images: (n, d) features.
        owner: (m,) the row in `images` of each caption's image.
        captions: (m, d) features.
        text: (m,) which text each caption is: captions that read alike, such as those of several
            passes over a set, are one text.
        reading: (m,) a number for each caption, equal for those that read alike, in other sets too.
        rows: (n,) the rows of the images in their side.
        total: The number of images in their side.
    """

    images: Features
    owner: NDArray[np.intp]
    captions: Features
    text: NDArray[np.intp]
    reading: NDArray[np.int64]
    rows: list[int]
    total: int

    @classmethod
    def of(cls, images: Side, l: Side, what: str) -> Pairs:
        """Pair images, which a message calls `what`, with the captions `l` by name.

        Raises:
            Unavailable: Features are not at hand, or no caption names one of the images.
        """
        of_images, of_captions = features_of(images, what), features_of(l, "captions")
        captioned = [(i, rows) for i, rows in enumerate(caption_rows(images, l)) if rows]
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
        reading = np.array(alike, np.int64)
        return cls(of_images[kept], owner, captions, np.array(text), reading, kept, len(of_images))

    @classmethod
    def of_generated(cls, given: Given) -> Pairs:
        """Pair the generated images with their captions; see `of` for what it raises."""
        return cls.of(*given.described(), "generated images")

    @classmethod
    def of_real(cls, given: Given) -> Pairs:
        """Pair the real images with their captions; see `of` for what it raises."""
        return cls.of(given.r, given.real_l or given.l, "real images")

    def sharing(self, captions: NDArray[np.int64]) -> Pairs:
        """Leave out the pairs whose caption reads as none of these, given as in `reading` (k,)."""
        there = np.isin(self.reading, captions)
        kept, owner = np.unique(self.owner[there], return_inverse=True)
        return Pairs(
            self.images[kept],
            owner,
            self.captions[there],
            self.text[there],
            self.reading[there],
            [self.rows[image] for image in kept],
            self.total,
        )

    def retrieval(self) -> tuple[Features, Features, NDArray[np.intp]]:
        """Give images, captions without those that read alike, and the pairs (p, 2) of both."""
        first = np.unique(self.text, return_index=True)[1]
        own = np.unique(np.stack([self.owner, self.text], axis=1), axis=0)
        return self.images, self.captions[first], own

    def mean_of_captions(self, scores: Array) -> Measured:
        """Take the mean of the captions' scores (m,); an image with its captions is one draw."""
        return self.mean_of_pairs(scores, self.owner)

    def mean_of_pairs(self, scores: Array, image: NDArray[np.intp]) -> Measured:
        """Take the mean of the scores (p,) of pairs of an image (p,) and a caption."""
        mean = float(scores.mean())
        of_images = np.bincount(image, scores - mean, minlength=len(self.rows))
        counts = np.bincount(image, minlength=len(self.rows))
        of_images[counts == 0] = np.nan
        return Measured(
            mean,
            {"f": self.of_side(of_images / len(scores))},
            is_mean=True,
            weights=self.of_side(counts / len(scores)),
        )

    def mean_of_texts(self, scores: Array, own: NDArray[np.intp]) -> Measured:
        """Take the mean of the scores (t,) of captions, which the images in `own` (p, 2) share."""
        mean = float(scores.mean())
        image, text = own.T
        shared = (scores - mean) / np.bincount(text)
        return Measured(mean, {"f": self.of_side(np.bincount(image, shared[text]) / len(scores))})

    def mean_of_images(self, scores: Array) -> Measured:
        """Take the mean of the images' scores (n,)."""
        mean = float(scores.mean())
        return Measured(mean, {"f": self.of_side((scores - mean) / len(scores))})

    def of_side(self, of_images: Array) -> Array:
        """Spread values (n,) over the whole side (total,), with NaN for images without captions."""
        found = np.full(self.total, np.nan)
        found[self.rows] = of_images
        return found


def clipscore(given: Given) -> list[Measured]:
    """CLIPScore (Hessel et al. 2021): every caption is judged beside its image."""
    pairs = Pairs.of_generated(given)
    return [pairs.mean_of_captions(clip_scores(pairs.images[pairs.owner], pairs.captions))]


CLIPSCORE = Metric(
    "clipscore",
    {"clipscore": "higher"},
    clipscore,
    is_mean=True,
    without_real=True,
    unbiased=("clipscore",),
    parameters={"w": f"{WEIGHT:g}", "prefix": "none"},
    cites=("hessel2021clipscore",),
)


def clip_cosine(given: Given) -> list[Measured]:
    """The cosine of an image and its caption times 100, as torchmetrics prints CLIPScore."""
    pairs = Pairs.of_generated(given)
    return [pairs.mean_of_captions(100 * pair_cosines(pairs.images[pairs.owner], pairs.captions))]


CLIP_COSINE = replace(
    CLIPSCORE,
    name="clip_cosine",
    values={"clip_cosine": "higher"},
    compute=clip_cosine,
    unbiased=("clip_cosine",),
    parameters={"scale": "100", "prefix": "none"},
)


def clipscore_as_published(given: Given) -> list[Measured]:
    """CLIPScore under the protocol of its paper (Hessel et al. 2021), whatever CMD is made with."""
    return clipscore(given.through(HESSEL))


CLIPSCORE_HESSEL = replace(
    CLIPSCORE,
    name="clipscore:hessel",
    values={"clipscore_hessel": "higher"},
    compute=clipscore_as_published,
    network=HESSEL,
    named_only=True,
    unbiased=("clipscore_hessel",),
    parameters={"w": f"{WEIGHT:g}", "prefix": PUBLISHED.prefix.strip()},
)


def ref_clipscore(given: Given) -> list[Measured]:
    """RefCLIPScore (Hessel et al. 2021): captions are judged beside the others of their image."""
    side, l = given.described()
    if side.has_features and max(map(len, caption_rows(side, l)), default=0) == 1:
        raise Unavailable("it takes several captions for an image, each has one")
    pairs = Pairs.of_generated(given)
    rows_of = np.split(np.arange(len(pairs.owner)), np.cumsum(np.bincount(pairs.owner))[:-1])
    several = [rows for rows in rows_of if len(rows) > 1]
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


REF_CLIPSCORE = Metric(
    "ref_clipscore",
    {"ref_clipscore": "higher"},
    ref_clipscore,
    is_mean=True,
    without_real=True,
    unbiased=("ref_clipscore",),
    parameters={"w": f"{WEIGHT:g}", "prefix": "none"},
    cites=("hessel2021clipscore",),
)


def r_precision(given: Given) -> list[Measured]:
    """R-precision over all draws of rivals, and of one draw; the captions are taken as given."""
    pairs = Pairs.of_generated(given)
    images, captions, own = pairs.retrieval()
    chances = win_chances(images, captions, own)
    won = wins(images, captions, own)
    return [pairs.mean_of_pairs(x, own[:, 0]) for x in (chances, won.astype(np.float64))]


R_PRECISION = Metric(
    "r_precision",
    {"r_precision": "higher", "r_precision_drawn": "higher"},
    r_precision,
    is_mean=True,
    without_real=True,
    unbiased=("r_precision", "r_precision_drawn"),
    parameters={"against": "99"},
    cites=("xu2018attngan",),
)


def recall_at_k(given: Given) -> list[Measured]:
    """Recall at 1, 5 and 10 both ways, which is for as many captions and images as there are."""
    pairs = Pairs.of_generated(given)
    images, captions, own = pairs.retrieval()
    of_images, of_captions = ranks(images, captions, own)
    return [
        replace(mean, bias=None, sizes=(len(images), len(captions)))
        for mean in (
            *(pairs.mean_of_images((of_images < k).astype(np.float64)) for k in _RANKS),
            *(pairs.mean_of_texts((of_captions < k).astype(np.float64), own) for k in _RANKS),
        )
    ]


RECALL_AT_K = Metric(
    "recall_at_k",
    {f"{way}_r{k}": "higher" for way in ("i2t", "t2i") for k in _RANKS},
    recall_at_k,
    without_real=True,
    cites=("karpathy2015alignments",),
)
