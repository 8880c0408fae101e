"""What a metric is: its name, its numbers, how they are computed, and from what."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmdmetric.errors import InputError
from cmdmetric.features import Contents, digest_of_set
from cmdmetric.metrics import (
    NEIGHBOURS,
    SINGLE,
    Moments,
    Products,
    Reached,
    Sections,
    all_pairs,
    cosines,
    reached,
)
from cmdmetric.scoring.side import Side
from cmdmetric.uncertainty import Array, Drawn, Measured, apart, sections

if TYPE_CHECKING:
    from cmdmetric.uncertainty import Groups

#: Which way a number is better.
Better: TypeAlias = Literal["lower", "higher"]
#: (n, d) features of one side.
Features: TypeAlias = NDArray[np.float32]
#: The image sides by their letters: generated and real.
Images: TypeAlias = Literal["f", "r"]
#: The sections of both sets, in each of several divisions.
Divisions: TypeAlias = list[tuple[Sections, Sections]]
_IMAGES = {"f": "generated images", "r": "real images"}
_SIDES: tuple[Images, Images] = ("f", "r")
#: Precision to coverage get their error bars from sections of so many images.
_SMALLEST, _LARGEST = 20, 5000
#: So many sections, which tell an error to 15 %; of large sets, where they cost seconds, to 27 %.
_SECTIONS, _OF_LARGE = 64, 16


class Unavailable(InputError):
    """A metric was asked for whose inputs are not all there."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What a network beside CLIP makes of the images of a score.

    Attributes:
        f: (n, d) its features of the generated images; None where that side is no images.
        r: (m, d) its features of the real images, or their moments; None without any.
        apart: Whether its real images are others than CLIP's.
        weights: The sha256 (hex) of its weights.
        fields: What the signatures of its metrics have in other words than CMD's.
        real: The name of its real side.
        contents: Digests of its real side, as in `Side.contents`; None without any.
        l: (k, d) its features of the captions, in the order of CLIP's; None where it reads none.
    """

    f: Features | None
    r: Features | Moments | None
    apart: bool = False
    weights: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    real: str = ""
    contents: Contents | None = None
    l: Features | None = None

    @property
    def n_real(self) -> int | None:
        """The number of its real images; None where there are none, or it is not known."""
        return self.r.n if isinstance(self.r, Moments) else None if self.r is None else len(self.r)

    def record(self) -> dict[str, str | int | None]:
        """Tell what its metrics are made with: weights, and the real side by name and contents."""
        contents = None if self.contents is None else digest_of_set(self.contents)
        return {
            "weights": self.weights,
            "real": self.real,
            "n_real": self.n_real,
            "contents": contents,
        }


@dataclass(frozen=True)
class Given:
    """What metrics are made of: generated images f, real images r, captions l.

    Attributes:
        f: The generated images.
        r: The real images.
        l: The captions.
        real_l: Captions of the real images, where those of `l` are of the generated ones only.
        seen: What networks beside CLIP make of the images, by the networks' names.
        groups: What was drawn together, of "f" and "r".
        network: The network whose features `features` gives; None for CLIP.
        in_one_pass: Whether both sums of cosines and who reaches whom are wanted of CLIP's
            features, so that one pass over all pairs gives both.
    """

    f: Side
    r: Side
    l: Side
    real_l: Side | None = None
    seen: Mapping[str, Seen] = field(default_factory=dict)
    groups: Groups = field(default_factory=dict)
    network: str | None = None
    in_one_pass: bool = False

    def through(self, network: str) -> Given:
        """The same sets as a network beside CLIP sees them, whose real images are CLIP's too."""
        return replace(self, network=network, in_one_pass=False)

    def features(self, side: Images) -> Features:
        """Give the features (n, d) of an image side.

        Raises:
            Unavailable: Only the moments of the side are at hand.
        """
        if self.network is not None:
            return self.seen_by(self.network) if side == "f" else self._real_seen_by(self.network)
        return features_of(self.f if side == "f" else self.r, _IMAGES[side])

    @cached_property
    def cosines(self) -> Products:
        """Sums of the cosines of generated and real images, of which several metrics are made.

        Raises:
            Unavailable: Only the moments of a side are at hand.
        """
        both = self._all_pairs
        return both[0] if both else cosines(self.features("f"), self.features("r"))

    def reached(self, k: int) -> tuple[list[Reached], Divisions]:
        """Who reaches whom as far as the k-th neighbours: of all images, and in each division.

        The divisions are halves of both sets at random, or smaller sections where even these are
        large.

        Raises:
            Unavailable: Only the moments of a side are at hand.
            InputError: There are too few images.
        """
        both = self._all_pairs if k == NEIGHBOURS else None
        if both:
            return both[1:]
        divisions = self._divisions(k)
        return reached(self.features("f"), self.features("r"), divisions, k=k), divisions

    def _divisions(self, k: int) -> Divisions:
        """Draw them, each draw into one section.

        There are none where a section would hold too few images for a k-th neighbour.
        """
        n, m = (len(self.features(side)) for side in _SIDES)
        most = min(n, m) // _SMALLEST
        # By the real images, so that generators of about as many images are parted alike.
        parts = max(2, min(most, m // _LARGEST))
        sides = [Drawn(n, self.groups.get("f")), Drawn(m, self.groups.get("r"))]
        found: Divisions = []
        wanted = _SECTIONS if max(n, m) <= _LARGEST else _OF_LARGE
        for seed in range(-(-wanted // parts) if most >= 2 else 0):
            of_f, of_r = (sections(side, parts, seed) for side in sides)
            found.append((of_f, of_r))
            smallest = min(np.bincount(of, minlength=parts).min() for of in (of_f, of_r))
            if smallest <= k:  # a few draws that hold most images
                return []
        return found

    @cached_property
    def _all_pairs(self) -> tuple[Products, list[Reached], Divisions] | None:
        """All from one pass; None where they are not both wanted, or cannot both be had."""
        if not self.in_one_pass:
            return None
        with contextlib.suppress(InputError):  # each says for itself what it lacks
            f, r = self.features("f"), self.features("r")
            if min(len(f), len(r)) >= SINGLE:
                divisions = self._divisions(NEIGHBOURS)
                return *all_pairs(f, r, divisions, k=NEIGHBOURS), divisions
        return None

    def described(self) -> tuple[Side, Side]:
        """Give the generated images and their captions, as the network sees both.

        Raises:
            Unavailable: One is features already, or the captions are others than it has read.
        """
        if self.network is None:
            return self.f, self.l
        read = self.seen[self.network].l if self.network in self.seen else None
        if read is None or len(read) != len(self.l.kept):
            raise Unavailable(f"it takes captions as text, and {self.l.source} holds none")
        images = self.seen_by(self.network)
        return replace(self.f, features=images), replace(self.l, features=read)

    def drawn(self, side: Images, rows: Sequence[int] | None = None) -> Drawn:
        """Tell what was drawn together of the images of a side, or of these rows of them."""
        n = (self.f if side == "f" else self.r).moments.n or 0
        groups = self.groups.get(side)
        if rows is None:
            return Drawn(n, groups)
        return Drawn(len(rows), None if groups is None else groups[rows])

    @property
    def apart(self) -> bool:
        """Whether every image, generated or real, is a draw of its own."""
        return apart([self.drawn("f"), self.drawn("r")])

    def seen_by(self, network: str) -> Features:
        """Give the features (n, d) of the generated images under a network beside CLIP.

        Raises:
            Unavailable: There are none, because the generated side is no images.
        """
        seen = self.seen.get(network)
        if seen is None or seen.f is None:
            raise Unavailable(f"it takes images, and {self.f.source} holds what CLIP made of them")
        return seen.f

    def both_seen_by(self, network: str) -> tuple[Features, Features]:
        """Give the features of the generated and of the real images under a network beside CLIP.

        Raises:
            Unavailable: One of the two sides is no images.
        """
        return self.seen_by(network), self._real_seen_by(network)

    def _real_seen_by(self, network: str) -> Features:
        r = self.seen[network].r if network in self.seen else None
        if r is None or isinstance(r, Moments):
            alone = " or for Inception's alone (--inception-real)" if network == "inception" else ""
            raise Unavailable(
                f"it takes real images, and {self.r.source} holds none: name some, for all metrics "
                f"(--real){alone}"
            )
        return r

    def real_of(self, network: str) -> str:
        """Name the side whose groups are those of the real images that a network sees."""
        return f"{network}_r" if self.seen[network].apart else "r"

    def apart_for(self, network: str) -> bool:
        """Whether every image that a network beside CLIP sees is a draw of its own."""
        return apart([self.drawn("f")]) if self.seen[network].apart else self.apart


def features_of(side: Side, what: str) -> Features:
    """Give the features (n, d) of a side, which a message calls `what`.

    Raises:
        Unavailable: Only the moments of the side are at hand.
    """
    features = side.features
    if features is None:
        raise Unavailable(
            f"it takes the features of the {what}, of which {side.source} has only moments"
        )
    return np.asanyarray(features)


@dataclass(frozen=True)
class Metric:
    """A metric of the family, declared beside the function that computes it.

    Attributes:
        name: What it is called in `--metrics`.
        values: The names of its numbers in a result, and which way each is better; None where
            nobody has said so.
        compute: Gives the numbers in the order of `values`.
        network: The network of `cmdmetric.encoders.IMAGE_NETWORKS` that it is made of the features
            of; None where it is made of CLIP's.
        exchanged: Gives values of the images of two generators (n,) and (m,), which are symmetric
            in both sets and differ on average as its numbers do: influences on the metric of both
            sets together. NaN for an image without a part in it. None where there is no such.
        without_real: Whether it is made of generated images, and their captions, alone: then real
            images have a value of it too.
        parameters: What it is computed with beside the features, as fields of its signature.
        is_mean: Whether its numbers are means over images, or over pairs of one with a caption.
        unbiased: Those of its numbers that are right on average whatever the number of samples,
            where each sample is one draw; means over images are so in any case.
        named_only: Whether "all" is without it: what it needs takes too long to come unasked, or
            is more samples than most sets have.
        by_halves: Whether its error bars are those of halves of the sets, of which no test of a
            difference is made: near 1 they would tell differences that are none.
        cites: The keys in `cmdmetric/citations/references.bib` of the papers that it is from.
    """

    name: str
    values: Mapping[str, Better | None]
    compute: Callable[[Given], Sequence[Measured]]
    network: str | None = None
    is_mean: bool = False
    without_real: bool = False
    named_only: bool = False
    unbiased: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    exchanged: Callable[[Given, Given], tuple[Array, Array]] | None = None
    by_halves: bool = False
    cites: tuple[str, ...] = ()
