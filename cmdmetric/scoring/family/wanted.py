"""Which metrics a user wants, and what is said of the networks behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cmdmetric.scoring.family.catalogue import metric_names
from cmdmetric.scoring.side import Source


@dataclass(frozen=True)
class Wanted:
    """Which metrics are wanted beside CMD, and where the networks behind them come from.

    Attributes:
        metrics: Their names.
        lenient: Whether a metric that lacks what it needs is left out with a warning.
        weights: By a network's name (`cmdmetric.encoders.IMAGE_NETWORKS`) the file of its weights,
            where it is not to find them itself.
        real: By a network's name the real side of its metrics, where that is another than CMD's:
            images, or a file of the moments of its features.
        by: The field of the captions, or the file of labels, that the score is told by slices of.
        train: The training images, where copies of these are looked for.
    """

    metrics: tuple[str, ...] = ()
    lenient: bool = False
    weights: Mapping[str, str | Path] = field(default_factory=dict)
    real: Mapping[str, Source] = field(default_factory=dict)
    by: str | Path | None = None
    train: Source | None = None

    @classmethod
    def of(
        cls,
        metrics: str | Iterable[str],
        inception_weights: str | Path | None = None,
        inception_real: Source | None = None,
        *,
        by: str | Path | None = None,
        train: Source | None = None,
    ) -> Wanted:
        """Take the words of a user.

        Args:
            metrics: Names as in "fid,clipscore", a list of them, or "all", of which what cannot be
                had is left out with a warning.
            inception_weights: A file; by default as `find_inception_weights` of
                `cmdmetric.encoders.inception` finds it.
            inception_real: The real side of FID and KID: images, or an .npz of Inception's moments
                in pytorch-fid's format.
            by: A field of the captions' records, "caption-length", or a file of columns id, label.
            train: The training images, in any form that images take.

        Raises:
            InputError: There is no metric of such a name.
        """
        names, lenient = metric_names(metrics)
        weights = {} if inception_weights is None else {"inception": inception_weights}
        real = {} if inception_real is None else {"inception": inception_real}
        return cls(names, lenient, weights, real, by, train)
