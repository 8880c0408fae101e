"""Two generators on the same captions: is one better, beyond what sampling explains?"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdmetric.errors import InputError
from cmdmetric.protocol import Protocol
from cmdmetric.score import CMDScore, as_samples, encoding_of
from cmdmetric.scored import Scored, scored
from cmdmetric.sources import Source
from cmdmetric.uncertainty import Difference, paired_difference

if TYPE_CHECKING:
    import torch

    from cmdmetric.encoder import Encoder
    from cmdmetric.features import OnError
    from cmdmetric.weights import Dtype


@dataclass(frozen=True)
class Versus:
    """The scores of two generators and their difference."""

    first: CMDScore
    second: CMDScore
    #: CMD of the first minus CMD of the second: negative where the first is better.
    difference: Difference

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {
            "first": self.first.to_dict(),
            "second": self.second.to_dict(),
            "difference": self.difference.to_dict(),
        }


def versus(
    first: Source,
    second: Source,
    captions: Source,
    real: Source | None = None,
    *,
    model: str | Path | None = None,
    weights: str | Path | None = None,
    protocol: Protocol | str | Path = "grgan",
    device: str | torch.device | None = None,
    batch_size: int = 32,
    dtype: Dtype = "fp32",
    on_error: OnError = "raise",
    progress: bool = False,
    cache: bool | str | Path = True,
    encoder: Encoder | None = None,
) -> Versus:
    """Score two sets of generated images against the same captions and real images.

    Images of both that belong to one caption by their names are paired, which takes what they have
    in common out of the error bar. Arguments as for `cmdmetric.cmd`.

    Raises InputError as `cmd` does, and where either set is given as moments alone.
    """
    encoding = encoding_of(
        model, weights, protocol, device, batch_size, dtype, on_error, progress, cache, encoder
    )
    one, two = scored([first, second], captions, real, encoding)
    for side in (one.f, two.f):
        if not side.has_features:
            raise InputError(
                f"{side.source} is moments alone: a difference needs the features of both sets; "
                "give the images, or their features (.npz with `features`)"
            )
    for note in dict.fromkeys(one.score.warnings + two.score.warnings):
        warnings.warn(note, UserWarning, stacklevel=2)
    return Versus(one.score, two.score, difference_of(one, two))


def difference_of(one: Scored, two: Scored) -> Difference:
    """CMD of one minus CMD of two, which were scored together and have their features."""
    (of_one, of_two, of_r), of_l = as_samples([one.f, two.f, one.r], one.l)
    return paired_difference(of_one, of_two, of_r, of_l)
