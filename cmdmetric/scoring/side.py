"""One of the three sets of a score, in whatever form it came, as one type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmdmetric.features import Contents, Features, Looks
from cmdmetric.inputs import Captions, ImageSet
from cmdmetric.metrics import Elsewhere, Moments

#: What a user may name as images or captions: see `cmdmetric.inputs.images.open_images`,
#: `cmdmetric.inputs.captions.read_captions`, and `cmdmetric.scoring.stored_sets.read_stored` for
#: moments and features.
Source: TypeAlias = Any


@dataclass(frozen=True)
class Side:
    """One of the three sets: its moments and what a report says about it."""

    moments: Moments
    #: What it is, for people: a path, a registered name.
    source: str
    #: The name of a registered reference, which then stands in the signature.
    reference: str | None = None
    #: (n, d), what the moments were made of; None where only moments were given.
    features: Features | NDArray[Any] | Elsewhere | None = None
    #: Image files, in order; None where only moments or features were given.
    names: tuple[str, ...] | None = None
    #: The sha256 of each of these (n,), None where it is not known; none at all where none is.
    digests: tuple[bytes | None, ...] = ()
    #: The places of the images in a list, where they pair with captions by these.
    places: tuple[int, ...] | None = None
    #: The images themselves, to be looked at again; None where only moments or features were given.
    images: ImageSet | None = None
    #: The captions that the features are of, and the positions of these among them.
    texts: Captions | None = None
    kept: tuple[int, ...] = ()
    #: Images that could not be decoded (name, reason), with on_error="skip".
    skipped: tuple[tuple[str, str], ...] = ()
    #: Captions that were cut at the encoder's context length.
    truncated: int = 0
    #: Captions without any word that were left out when it was stored.
    empty_before: int = 0
    #: What the features are of, where they came by way of the feature cache.
    identity: bytes | None = None
    #: Digests of what the side is made of: (n, 16) uint8, a row a sample, or (1, 16) of them all.
    contents: Contents | None = None
    #: How images look (`cmdmetric.features.Looks`); None where they were not seen.
    looks: Looks | None = None
    #: Of a part of a set that was drawn by a seed, what a signature says of it.
    drawn: str | None = None
    #: Numbers of its images (n,) float64 that others have computed, by their names.
    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def has_features(self) -> bool:
        """Whether `features` is not None."""
        return self.features is not None

    @property
    def empty(self) -> int:
        """Captions without any word, left out."""
        return self.empty_before + (len(self.texts) - len(self.kept) if self.texts else 0)
