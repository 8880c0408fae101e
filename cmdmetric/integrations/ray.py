"""CMD of a `ray.data.Dataset`: actors encode its blocks, wherever these are.

`pip install 'cmdmetric[ray]'`. Ray reads (Parquet, WebDataset, images, object stores), schedules,
and starts anew what was lost; each actor builds the encoder once. What an actor makes of a block is
one value, so that a block that is encoded twice, because its actor died, counts once.
"""

from __future__ import annotations

import contextlib
import pickle
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cmdmetric.encoders import Encoder, LazyEncoder
from cmdmetric.errors import InputError
from cmdmetric.evaluator import CAPTIONS, IMAGES, Batch, build_encoder, encode_batch
from cmdmetric.features import Contents, FeatureRows, digests_of, summed
from cmdmetric.inputs import IMAGE_ENDINGS, Columns, is_text_key, open_images, texts
from cmdmetric.metrics import Moments
from cmdmetric.scoring import (
    CMDScore,
    EncoderOptions,
    Side,
    Source,
    encoding_of,
    open_image_side,
    open_text_side,
    refuse_unknown,
    score_of,
)

if TYPE_CHECKING:
    from ray.data import Dataset
    from typing_extensions import Unpack

#: The columns in which Ray's reader of WebDataset has captions are called like these endings.
_TEXT_ENDINGS = (".txt", ".text", ".caption", ".json")


def cmd(
    generated: Dataset,
    real: Source,
    captions: Source | None = None,
    *,
    error_bars: bool = True,
    actors: int = 1,
    num_gpus: float | None = None,
    caption_column: str | None = None,
    image_column: str | None = None,
    **options: Unpack[EncoderOptions],
) -> CMDScore:
    """Compute the CMD of the images and captions of a Ray dataset.

    With error bars every feature comes to this process (2 kB for an image or a caption of
    ViT-B/32), which keeps them in a temporary file, not in memory. Without, an actor adds up each
    block, and what comes here is the count, the mean and the scatter of a block (at most 4 MB),
    whatever the number of images; `debiased` values, which need features, are not given then.

    Args:
        generated: The generated images, a row each, with the captions beside them. A cell holds an
            encoded image (bytes, or a mapping of `bytes`, as Hugging Face's Parquet has it), an
            array of uint8, or the path of a file that all actors see. Captions are a text, or a
            list of texts.
        real: The real images: another Ray dataset, or in any form that `cmdmetric.cmd` takes, best
            an .npz of moments.
        captions: The captions of all images, in any form that `cmdmetric.cmd` takes, where they are
            no column of the dataset.
        error_bars: Whether there are error bars and debiased values, for which features are needed.
        actors: How many actors encode, each of which holds the encoder.
        num_gpus: How many GPUs Ray gives each actor, by default none.
        caption_column: The column of the captions, where it has another name than
            `cmdmetric.inputs.Columns` and WebDataset know, or several might be it.
        image_column: The column of the images.
        **options: Which encoder: `model`, `weights`, `protocol` and `device`, as for
            `cmdmetric.cmd`. Files are such that all actors see.

    Raises:
        InputError: Ray is not installed, a column is missing, a cell holds no image or no caption,
            an image cannot be decoded, or anything else is wrong with the inputs.
        TypeError: There is no option of such a name.
    """
    ray_data = _ray_data()
    refuse_unknown(options, EncoderOptions.__annotations__)
    if options.get("encoder") is not None:
        raise InputError("every actor builds its own encoder: give model, weights and protocol")
    if not isinstance(generated, ray_data.Dataset):
        raise InputError(f"the generated images are a ray.data.Dataset, no {type(generated)}")
    if type(actors) is not int or actors < 1:
        raise InputError(f"actors is {actors!r}, it must be a whole number, at least 1")
    columns = Columns(caption_column, image_column)
    pool = {"compute": ray_data.ActorPoolStrategy(size=actors), "num_gpus": num_gpus}
    with encoding_of(
        **options, caption_column=caption_column, image_column=image_column
    ) as encoding:
        # Everything is looked up before anything is encoded: a wrong path is told at once.
        encoder = encoding.encoder
        _ = encoder.checkpoint
        opened_l = None if captions is None else open_text_side(captions, columns)
        named = Columns(caption_column if captions is None else None, image_column)
        of_f = _work_on(generated, named, options, captions=captions is None, features=error_bars)
        if isinstance(real, ray_data.Dataset):
            named = Columns(None, image_column)
            of_r = _work_on(real, named, options, captions=False, features=error_bars)
            r, _ = _sides(real, of_r, pool, encoder)
        else:
            r = encoding.side(open_image_side(real, columns))
        f, along = _sides(generated, of_f, pool, encoder)
        l = along if opened_l is None else encoding.side(opened_l)
    assert l is not None, "a score has captions"
    if not error_bars:  # those of one side alone would be mistaken for the score's
        r, l = replace(r, features=None), replace(l, features=None)
    score = score_of(f, r, l)
    for note in score.warnings:
        warnings.warn(note, UserWarning, stacklevel=2)
    return score


def _ray_data() -> Any:
    try:
        import ray.data
    except ImportError:
        raise InputError("Ray Data is not installed: pip install 'cmdmetric[ray]'") from None
    return ray.data


# --- in the actors ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Work:
    """What is to be made of every block of a dataset."""

    options: EncoderOptions
    #: The column of the images, and those of captions: none where these are not asked for.
    image: str
    captions: tuple[str, ...]
    #: Whether features are wanted, or their sums alone.
    features: bool


@dataclass(frozen=True)
class _Sums:
    """What a block adds to a score without error bars."""

    images: Moments
    #: None where captions are not asked for, or none has a word.
    captions: Moments | None
    #: The digests of the images and of the captions, added up (1, 16).
    contents: tuple[Contents, Contents]
    #: Captions that were cut, and captions without a word, which are left out.
    truncated: int
    empty: int

    @classmethod
    def of(cls, batch: Batch) -> _Sums:
        """Add up the features of a block."""
        of_texts = digests_of(batch.texts[i].encode() for i in batch.kept)
        return cls(
            Moments.from_features(batch.images),
            Moments.from_features(batch.captions) if len(batch.captions) else None,
            (summed(batch.contents), summed(of_texts)),
            batch.truncated,
            len(batch.texts) - len(batch.kept),
        )


class BlockEncoder:
    """The actor: it builds the encoder at its first block, and holds it."""

    def __init__(self, work: _Work) -> None:
        self._work = work
        self._encoder: Encoder | None = None

    def __call__(self, block: Mapping[str, NDArray[Any]]) -> dict[str, list[bytes]]:
        """Encode a block.

        Args:
            block: The cells by the names of their columns.

        Returns:
            One row, whose column `part` is a pickled Batch, _Sums or, where there is something
            wrong with the block, InputError: Ray would tell that as an error of its own, with the
            stack of the actor.
        """
        try:
            part: Batch | _Sums | InputError | None = self._encoded(block)
        except InputError as error:
            part = InputError(str(error))  # of a kind that can be pickled
        return {"part": [pickle.dumps(part)]}

    def _encoded(self, block: Mapping[str, NDArray[Any]]) -> Batch | _Sums | None:
        import pandas as pd  # which Ray Data brings

        cells = list(block[self._work.image])
        if not cells:
            return None
        captions = _captions_of([block[name] for name in self._work.captions])
        images = open_images(pd.DataFrame({"image": pd.Series(cells, dtype=object)}))
        images.source = f"column {self._work.image!r} of the Ray dataset"
        if self._encoder is None:
            self._encoder = build_encoder(self._work.options)
        batch = encode_batch(self._encoder, images, captions or None)
        return batch if self._work.features else _Sums.of(batch)


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


# --- in the process that asks ----------------------------------------------------------------


def _work_on(
    dataset: Dataset,
    columns: Columns,
    options: EncoderOptions,
    *,
    captions: bool,
    features: bool,
) -> _Work:
    """Choose the columns of a dataset.

    Raises:
        InputError: The dataset is empty, or lacks a column.
    """
    names = dataset.columns()
    if not names:
        raise InputError("the Ray dataset is empty")
    chosen = columns.among(names if captions else [x for x in names if not is_text_key(x)])
    image = (columns.image and chosen.image) or _called_like_files(names, IMAGE_ENDINGS)
    image = image or chosen.image
    if image is None:
        raise InputError(
            f"the Ray dataset has no column of images among {', '.join(names)}; name it by "
            "image_column=..."
        )
    of_captions = chosen.captions
    if captions and not of_captions:
        file = _called_like_files(names, _TEXT_ENDINGS)
        if file is None:
            raise InputError(
                f"the Ray dataset has no column of captions among {', '.join(names)}; name it by "
                "caption_column=..., or give captions=..."
            )
        of_captions = (file,)
    return _Work(options, image, of_captions, features)


def _called_like_files(names: Sequence[str], endings: Collection[str]) -> str | None:
    """The first column that has an ending for its name, as WebDataset's have."""
    return next((name for name in names if f".{name.lower()}" in endings), None)


def _parts(dataset: Dataset, work: _Work, pool: Mapping[str, Any]) -> Iterator[Batch | _Sums]:
    """What the actors make of the blocks, in the order of these.

    Raises:
        InputError: There is something wrong with a block, or there is no row.
    """
    encoded = dataset.map_batches(
        BlockEncoder, fn_constructor_args=(work,), batch_size=None, batch_format="numpy", **pool
    )
    empty = True
    with _in_order(encoded):
        for row in encoded.iter_rows():
            part = pickle.loads(row["part"])
            if isinstance(part, InputError):
                raise part
            if part is not None:
                empty = False
                yield part
    if empty:
        raise InputError("the Ray dataset is empty")


@contextlib.contextmanager
def _in_order(dataset: Dataset) -> Iterator[None]:
    """Keep the order of blocks, so that a run that is repeated adds up alike, to the last bit."""
    options = dataset.context.execution_options
    before, options.preserve_order = options.preserve_order, True
    try:
        yield
    finally:
        options.preserve_order = before


def _sides(
    dataset: Dataset, work: _Work, pool: Mapping[str, Any], encoder: Encoder | LazyEncoder
) -> tuple[Side, Side | None]:
    """The images of a dataset and, where they are asked for, their captions.

    Raises:
        InputError: There are fewer than 2 images, or fewer than 2 captions with a word, or there is
            something wrong with a block.
    """
    parts = _parts(dataset, work, pool)
    f, l = _joined(parts, encoder) if work.features else _added_up(parts, encoder)
    for what, side in (("images", f), ("captions", l)):
        n = 0 if side is None else side.moments.n or 0
        if n < 2 and (what == "images" or work.captions):
            raise InputError(f"a score needs at least 2 {what} (with a word), there are {n}")
    return f, l


def _joined(parts: Iterator[Any], encoder: Encoder | LazyEncoder) -> tuple[Side, Side | None]:
    """The sides of parts that are Batches; their features are mapped from a temporary file."""
    seen = []
    with FeatureRows() as images, FeatureRows() as captions:
        n = m = 0
        for part in parts:
            images.write(np.arange(n, n + len(part.images)), part.images)
            captions.write(np.arange(m, m + len(part.captions)), part.captions)
            n, m = n + len(part.images), m + len(part.captions)
            seen.append(replace(part, images=part.images[:, :0], captions=part.captions[:, :0]))
        batch = replace(Batch.join(seen), images=images.finish([]))
        if m == 0:
            return batch.image_side(encoder), None
        batch = replace(batch, captions=captions.finish([]))
        return batch.image_side(encoder), batch.caption_side(encoder)


def _added_up(parts: Iterator[Any], encoder: Encoder | LazyEncoder) -> tuple[Side, Side | None]:
    """The sides of parts that are _Sums."""
    first = next(parts)
    d = first.images.d
    images = Moments(d, encoder.provenance("image", IMAGES))
    captions = Moments(d, encoder.provenance("text", CAPTIONS))
    contents: list[tuple[Contents, Contents]] = []
    truncated = empty = 0
    for part in chain([first], parts):
        images.merge(part.images)
        if part.captions is not None:
            captions.merge(part.captions)
        contents.append(part.contents)
        truncated, empty = truncated + part.truncated, empty + part.empty
    of_images, of_captions = (summed(np.concatenate(own)) for own in zip(*contents, strict=True))
    f = Side(images, IMAGES, contents=of_images)
    if not captions.n:
        return f, None
    l = Side(captions, CAPTIONS, truncated=truncated, empty_before=empty, contents=of_captions)
    return f, l
