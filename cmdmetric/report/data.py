"""What a report shows, as data; `cmdmetric.report.gather` computes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmdmetric.metrics import Moments
from cmdmetric.preflight import Finding
from cmdmetric.report.projection import View
from cmdmetric.scoring import CMDScore
from cmdmetric.uncertainty import Step

Array = NDArray[np.float64]
SideName = Literal["f", "r", "l"]


class Published(NamedTuple):
    """A number of the literature that this score may be held against."""

    name: str
    table: int
    cmd: float
    itdis: float | None


@dataclass(frozen=True)
class Point:
    """One sample in the view of the clouds."""

    side: SideName
    #: Its place in each view.
    xy: tuple[tuple[float, float], ...]
    #: Points of one group belong together: a generated image, the real one, their caption.
    group: int
    #: The image's name or the caption's text.
    label: str
    image: str | None = None


@dataclass(frozen=True, eq=False)
class Clouds:
    """The three sets seen in planes."""

    views: tuple[View, ...]
    points: tuple[Point, ...]
    moments: Mapping[str, Moments]
    #: Whether the points of a group do belong together, by names.
    paired: bool


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Where the sets vary: eigenvalues (d,) descending, of features of length one."""

    f: Array
    r: Array
    l: Array
    #: (k,) variance of the generated images along the real ones' principal axes, as a share of
    #: the real ones' there; k axes have any.
    ratio: Array

    @staticmethod
    def effective(values: Array) -> float:
        """The number of equal eigenvalues that spread as much: (sum)^2 / sum of squares."""
        return float(values.sum() ** 2 / max(float((values**2).sum()), 1e-300))


@dataclass(frozen=True, eq=False)
class Similarity:
    """Cosines of images and captions; each image's is the mean over its own captions."""

    #: (m,) of generated images with their captions, and which images these are.
    f: Array
    rows: NDArray[np.intp]
    #: (k,) of real images with theirs; None where they are not paired.
    r: Array | None
    #: (m,) of generated images with captions of others.
    chance: Array


@dataclass(frozen=True)
class Example:
    """A generated image in a grid."""

    name: str
    image: str | None
    captions: tuple[str, ...]
    similarity: float | None
    #: By how much CMD would change without it.
    without: float
    #: A real image of the same caption.
    real: str | None = None
    #: Of its slices, where the score is told by slices.
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComparedImages:
    """What several models made of one caption."""

    caption: str
    real: str | None
    #: By model, in the order of their ranking: the picture, its cosine with the caption, and by how
    #: much CMD of the model would change without it.
    images: tuple[Example, ...]
    #: The place of the image that fits the caption best; None where fits are not known.
    best: int | None
    #: Of its slices, where the scores are told by slices.
    labels: tuple[str, ...] = ()

    @property
    def effects_apart(self) -> float:
        """How far apart the models are in what their images do to CMD."""
        effects = [image.without for image in self.images]
        return max(effects) - min(effects)

    @property
    def fits_apart(self) -> float:
        """How far apart the models are in how their images fit the caption; 0 if not known."""
        known = [image.similarity for image in self.images if image.similarity is not None]
        return max(known) - min(known) if known else 0.0


@dataclass(frozen=True)
class CopyPair:
    """A generated image beside the training image that it is nearest to."""

    name: str
    image: str | None
    train: str
    train_image: str | None
    distance: float
    is_authentic: bool


@dataclass(frozen=True)
class ReportData:
    """All of a report; parts that could not be computed are empty, and `missing` says why."""

    score: CMDScore
    published: tuple[Published, ...]
    clouds: Clouds
    spectrum: Spectrum
    growth: tuple[Step, ...]
    similarity: Similarity | None
    #: Those that matter and fit most and least, the most harmful first.
    examples: tuple[Example, ...]
    findings: tuple[Finding, ...]
    #: The command that made it, versions of what took part, sha256 by what they are of.
    command: str
    versions: Mapping[str, str]
    hashes: Mapping[str, str]
    #: Where training images were given.
    copies: tuple[CopyPair, ...] = ()
    #: What real images score in place of the generated ones, by the numbers' names.
    of_real: Mapping[str, float] = field(default_factory=dict)
    #: By part, in a sentence.
    missing: Mapping[str, str] = field(default_factory=dict)
