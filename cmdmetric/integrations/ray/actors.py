"""What the actors do: a block of images and captions becomes features, or their sums."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmdmetric.encoders import Encoder
from cmdmetric.errors import InputError
from cmdmetric.evaluator import Batch, build_encoder, encode_batch
from cmdmetric.features import Contents, digests_of, summed
from cmdmetric.inputs import open_images, texts
from cmdmetric.metrics import Moments
from cmdmetric.scoring import EncoderOptions

if TYPE_CHECKING:
    import pyarrow as pa

#: The columns of features in what an actor makes of a block; the rest is in the column PART.
SIDES = ("images", "captions")
PART = "part"


@dataclass(frozen=True)
class Work:
    """What is to be made of every block of a dataset."""

    options: EncoderOptions
    #: The column of the images, and those of captions: none where these are not asked for.
    image: str
    captions: tuple[str, ...]
    #: Whether features are kept, or their sums alone.
    features: bool


@dataclass(frozen=True)
class Counted:
    """What a block adds to a score without error bars, beside its moments."""

    #: The digests of the images and of the captions, added up (1, 16).
    contents: tuple[Contents, Contents]
    #: Captions that were cut, and captions without a word, which are left out.
    truncated: int
    empty: int

    @classmethod
    def of(cls, batch: Batch) -> Counted:
        """Count what is in a block."""
        of_texts = digests_of(batch.texts[i].encode() for i in batch.kept)
        return cls(
            (summed(batch.contents), summed(of_texts)),
            batch.truncated,
            len(batch.texts) - len(batch.kept),
        )


#: What is told of a block: of features all but these themselves. None of a block without a row.
Part: TypeAlias = Batch | Counted | InputError | None


class BlockEncoder:
    """The actor: it builds the encoder at its first block, and holds it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._encoder: Encoder | None = None

    def __call__(self, block: Mapping[str, NDArray[Any]]) -> pa.Table:
        """Encode a block.

        Args:
            block: The cells by the names of their columns.

        Returns:
            One row. Its column `part` is a pickled Part; an error is one, since Ray would tell what
            is raised as an error of its own, with the stack of the actor. The columns `images` and
            `captions` are features, float32 row after row, or pickled Moments.
        """
        batch: Batch | None = None
        part: Part
        try:
            part = batch = self._encoded(block)
        except InputError as error:
            part = InputError(str(error))  # of a kind that can be pickled
        cells = [b"", b""]
        if batch is not None:
            rows = (batch.images, batch.captions)
            if self._work.features:
                cells = [np.ascontiguousarray(x, np.float32).tobytes() for x in rows]
                part = replace(batch, images=batch.images[:, :0], captions=batch.captions[:, :0])
            else:
                cells = [pickle.dumps(Moments.from_features(x)) for x in rows]
                part = Counted.of(batch)
        import pyarrow as pa  # which Ray Data brings

        made = {
            name: pa.array([cell], pa.large_binary())
            for name, cell in zip(SIDES, cells, strict=True)
        }
        return pa.table({PART: pa.array([pickle.dumps(part)], pa.large_binary()), **made})

    def _encoded(self, block: Mapping[str, NDArray[Any]]) -> Batch | None:
        import pandas as pd  # which Ray Data brings

        cells = list(block[self._work.image])
        if not cells:
            return None
        captions = _captions_of([block[name] for name in self._work.captions])
        images = open_images(pd.DataFrame({"image": pd.Series(cells, dtype=object)}))
        images.source = f"column {self._work.image!r} of the Ray dataset"
        if self._encoder is None:
            self._encoder = build_encoder(self._work.options)
        return encode_batch(self._encoder, images, captions or None)


def _captions_of(columns: Sequence[NDArray[Any]]) -> list[list[str]]:
    """The captions of each row, from one column or several.

    Raises:
        InputError: A row has none.
    """
    rows = [[text for cell in row for text in texts(cell)] for row in zip(*columns, strict=True)]
    for i, row in enumerate(rows):
        # A column of which a part is missing holds NaN there.
        found = row if len(columns) == 1 else [text for text in row if isinstance(text, str)]
        if not found or not all(isinstance(text, str) for text in found):
            what = "no caption" if not row else f"{row[0]!r}"
            raise InputError(
                f"row {i} of a block of the Ray dataset has {what} where a caption belongs: leave "
                "such rows out (dataset.filter), or name another column (caption_column=...)"
            )
        rows[i] = found
    return rows
