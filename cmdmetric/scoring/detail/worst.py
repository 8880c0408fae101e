"""Which images and captions raise CMD most, by their influence on it (docs/uncertainty.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cmdmetric.errors import InputError
from cmdmetric.scoring.detail.copies import Copies
from cmdmetric.scoring.grouping import as_sample, caption_texts
from cmdmetric.scoring.side import Side
from cmdmetric.uncertainty import influences


@dataclass(frozen=True)
class Harm:
    """What one sample does to CMD: without it, CMD would be lower by about `share`.

    That is to first order. Where generated and real images cannot be told apart CMD is all noise of
    the second, and the order says little (`Uncertainty.second_order` is near 1/2).
    """

    side: str
    name: str
    share: float
    #: Captions of the image, or the caption itself.
    caption: str
    #: The training image that a generated one is nearest to, how far it is, and whether the
    #: generated one is authentic; where training images were given.
    nearest: str | None = None
    distance: float | None = None
    is_authentic: bool | None = None


def harm(f: Side, r: Side, l: Side, copies: Copies | None = None) -> list[Harm]:
    """List all generated images, and the captions where their features are at hand, worst first.

    A share is the sample's influence over the number of samples of its side. Those of a side add up
    to zero: a negative one is of a sample that CMD would be higher without.

    Args:
        f: The generated images.
        r: The real images.
        l: The captions.
        copies: What is known of copies of training images.

    Raises:
        InputError: The features of the generated images are not at hand.
    """
    of_images, of_captions = _influences(f, r, l)
    names = f.names or tuple(f"#{i}" for i in range(len(of_images)))
    rows = [
        Harm(
            "image",
            name,
            float(share) / len(names),
            " | ".join(captions),
            *(_nearest(copies, row) if copies is not None else ()),
        )
        for row, (name, share, captions) in enumerate(
            zip(names, of_images, caption_texts(f, l), strict=True)
        )
    ]
    if of_captions is not None and l.texts:
        rows += [
            Harm(
                "caption",
                l.texts.images[i] or f"#{i}",
                float(share) / len(of_captions),
                l.texts.texts[i],
            )
            for i, share in zip(l.kept, of_captions, strict=True)
        ]
    return sorted(rows, key=lambda row: -row.share)


def shares_of_images(f: Side, r: Side, l: Side) -> NDArray[np.float64]:
    """Compute (n,) by how much CMD would be lower without each generated image (`Harm.share`).

    Args:
        f: The generated images.
        r: The real images.
        l: The captions.

    Raises:
        InputError: The features of the generated images are not at hand.
    """
    of_images, _ = _influences(f, r, replace(l, features=None))
    return of_images / len(of_images)


def _influences(
    f: Side, r: Side, l: Side
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """The influences on CMD of images (n,), and of captions (m,) whose features are at hand."""
    if not f.has_features:
        raise InputError(
            f"{f.source} is moments alone: which image did what is not in them. Give the images"
        )
    found = influences(as_sample(f, None), r.moments, as_sample(l, None))
    return found.cmd("f"), found.cmd("l") if l.has_features else None


def _nearest(copies: Copies, row: int) -> tuple[str, float, bool]:
    found = copies.of_image(row)
    return found.train, found.distance, found.is_authentic
