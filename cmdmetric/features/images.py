"""Images streamed through an encoder, and through other networks beside it in the same pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cmdmetric.cache import FeatureCache
from cmdmetric.encoders import ImageNetwork, ImageTower
from cmdmetric.features.failures import OnError
from cmdmetric.features.image_pass import ImagePass
from cmdmetric.features.rows import Features
from cmdmetric.features.stored_moments import recall_moments, remember_moments
from cmdmetric.inputs import ImageSet
from cmdmetric.metrics import Moments
from cmdmetric.progress import Tally

if TYPE_CHECKING:
    from cmdmetric.encoders import Encoder, LazyEncoder


@dataclass(frozen=True)
class EncodedImages:
    """The moments and features of an image set, and what became of its images."""

    moments: Moments
    #: (n, d), in the order of `names`: read when they are needed. None where another process has
    #: them.
    features: Features | NDArray[np.float32] | None
    #: Names of the encoded images, in order.
    names: tuple[str, ...]
    #: Images that could not be decoded, with the reason.
    skipped: tuple[tuple[str, str], ...]
    #: How many of them had their features in the cache.
    cached: int = 0
    #: What the features are of; None where that is not known.
    identity: bytes | None = None
    #: The sha256 of each image's file (n,), None where it is not known; none at all where another
    #: process has them.
    digests: tuple[bytes | None, ...] = ()
    #: The features (n, d) of the same images under the networks beside the encoder; none where
    #: another process has them.
    beside: tuple[NDArray[np.float32], ...] = ()


def encode_images(
    images: ImageSet,
    encoder: Encoder | LazyEncoder,
    *,
    beside: Sequence[ImageNetwork] = (),
    on_error: OnError = "raise",
    progress: bool | Tally = False,
    cache: FeatureCache | None = None,
) -> EncodedImages:
    """The moments of an image set under the encoder's protocol; order and batches do not matter.

    Images whose content the cache knows are not decoded; others are put into it, unless they are
    in no file. Nothing is encoded twice where two processes encode the same set.

    Args:
        images: A set in any form.
        encoder: A CLIP with its protocol.
        beside: Networks that look at the same images, each of which is decoded once for all.
        on_error: Whether an image that cannot be decoded is an error or is left out.
        progress: Whether a progress bar is shown, or where the images are counted instead.
        cache: Where features of files are looked up and kept.

    Raises:
        Undecodable: Images cannot be decoded; all of them are listed. With "skip" only where none
            is left.
    """
    tower = ImageTower(encoder)
    run = ImagePass(images, cache)
    provenance, identity = tower.provenance(images.source), run.identity(tower.space)
    moments = recall_moments(cache, identity, provenance)
    if moments is not None:
        # All of these could be decoded before: one that cannot now has changed in between.
        others = run.through(beside, "raise", progress).features if beside else ()
        features = Features(lambda: run.through([tower]).features[0])
        names = run.names
        return EncodedImages(
            moments, features, names, (), len(names), identity, run.digests, others
        )
    passed = run.through([tower, *beside], on_error, progress)
    own, *rest = passed.features
    moments = Moments.from_features(own, provenance)
    identity = run.identity(tower.space)
    remember_moments(cache, identity, moments)
    return EncodedImages(
        moments,
        own,
        passed.names,
        passed.skipped,
        passed.cached[0],
        identity,
        run.digests,
        tuple(rest),
    )
