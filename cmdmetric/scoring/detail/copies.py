"""Whether generated images are copies of training images, for a score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cmdmetric.errors import InputError
from cmdmetric.metrics import Memorisation, memorisation
from cmdmetric.scoring.side import Side
from cmdmetric.scoring.signature import Signature, label
from cmdmetric.uncertainty import Drawn, Groups, Variance, sums_by_draw, tell_an_error

#: So many of the images that are nearest to training images are named in the result.
NAMED = 20


@dataclass(frozen=True)
class Nearest:
    """A generated image and the training image that it is nearest to."""

    name: str
    train: str
    #: Of unit vectors, 0 to 2.
    distance: float
    #: Whether training images are nearer to that one than the generated image is (AuthPct).
    is_authentic: bool


@dataclass(frozen=True)
class Copying:
    """How near the generated images are to the training images."""

    train: str
    n_train: int
    #: AuthPct (Alaa et al. 2022) as a share, 0 to 1: about half for images that copy nothing.
    authentic: float
    authentic_standard_error: float | None
    #: The share of generated images that are nearer to a training image than all but 5 % of the
    #: held-out real images are: about 0.05 where nothing is copied. None without held-out images.
    copied: float | None
    copied_standard_error: float | None
    #: Real images that were held out: those that are no training images. None without any.
    n_held_out: int | None
    signature: str
    #: The generated images that are nearest to a training image, these first.
    nearest: tuple[Nearest, ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Copying:
        """The inverse of `dataclasses.asdict`, also of what JSON has made of that."""
        nearest = tuple(Nearest(**each) for each in values["nearest"])
        return cls(**{**values, "nearest": nearest})


@dataclass(frozen=True, eq=False)
class Copies:
    """The same, with what it was found from: every image, and the training images."""

    told: Copying
    found: Memorisation
    train: Side
    names: tuple[str, ...]

    def of_image(self, row: int) -> Nearest:
        """What is told of one generated image."""
        return _nearest(self.found, self.train, self.names[row], row)


def copies_of(f: Side, r: Side, train: Side, groups: Groups, signature: str) -> Copies:
    """Hold the generated images against the training images.

    Args:
        f: The generated images.
        r: The real images: held out, as far as they are no training images.
        train: The training images.
        groups: What was drawn together, of side "f".
        signature: That of the score.

    Raises:
        InputError: The features of the generated or of the training images are not at hand, there
            are fewer than two training images, or features are zero vectors.
    """
    for side, what in ((f, "generated"), (train, "training")):
        if side.features is None:
            raise InputError(
                f"{side.source} is moments alone: whether images are copies takes the {what} images"
            )
    own, features = np.asarray(f.features), np.asarray(train.features)
    held_out = None if r.features is None else np.asarray(r.features)
    found = memorisation(own, features, held_out)
    names = f.names or tuple(f"#{i}" for i in range(len(own)))
    order = np.argsort(found.distance, kind="stable")[:NAMED]
    closer = None if found.chance is None else found.distance < found.chance
    drawn = Drawn(len(own), groups.get("f"))
    made = Signature.read(signature).of_metric("memorisation", {"train": label(train)})
    told = Copying(
        train.source,
        len(features),
        found.authentic,
        _error(found.is_authentic, drawn),
        found.copied,
        None if closer is None else _error(closer, drawn),
        found.held_out,
        str(made),
        tuple(_nearest(found, train, names[i], i) for i in map(int, order)),
    )
    return Copies(told, found, train, names)


def _nearest(found: Memorisation, train: Side, name: str, row: int) -> Nearest:
    place = int(found.nearest[row])
    return Nearest(
        name,
        train.names[place] if train.names is not None else f"#{place}",
        float(found.distance[row]),
        bool(found.is_authentic[row]),
    )


def _error(which: Any, drawn: Drawn) -> float | None:
    """The standard error of a share; None where all but a few draws have one value."""
    shares = (which - which.mean()) / len(which)
    sums = sums_by_draw([drawn], [shares[:, None]])[:, 0]
    return Variance.of_draws(sums, len(sums)).standard_error if tell_an_error(sums) else None
