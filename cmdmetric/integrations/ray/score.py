"""The score of a Ray dataset: its sides, and where they come from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cmdmetric.encoders import Encoder, LazyEncoder
from cmdmetric.errors import InputError
from cmdmetric.evaluator import CAPTIONS, IMAGES, Batch
from cmdmetric.features import summed
from cmdmetric.inputs import Columns
from cmdmetric.integrations.ray.actors import Work
from cmdmetric.integrations.ray.blocks import Encoded, encode
from cmdmetric.integrations.ray.columns import work_on
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

    Features stay where they are: in Ray's object store, which moves to disk what is too much for
    memory. What is asked of them, for error bars, are functions of their rows that Ray's tasks
    compute beside them. To this process come the moments of each side, which tasks have added up,
    a few numbers for each image and caption, and what is known of these beside features (16 bytes
    of what an image is, its size, the captions as text). Without error bars features are kept
    nowhere, and what comes of a block is 32 bytes; `debiased` values are not given then. A side of
    no more samples than dimensions is the exception: its moments are its features.

    What is lost with a machine or an actor Ray makes again, from the dataset where need be. In both
    cases the same is computed, so that the score does not change.

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
        of_f = work_on(generated, named, options, captions=captions is None, features=error_bars)
        if isinstance(real, ray_data.Dataset):
            named = Columns(None, image_column)
            of_r = work_on(real, named, options, captions=False, features=error_bars)
            r, _ = _sides(real, of_r, pool, encoder)
            r = replace(r, names=None)  # by which generated images pair with their captions
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


def _sides(
    dataset: Dataset, work: Work, pool: Mapping[str, Any], encoder: Encoder | LazyEncoder
) -> tuple[Side, Side | None]:
    """The images of a dataset and, where they are asked for, their captions.

    Raises:
        InputError: There are fewer than 2 images, or fewer than 2 captions with a word, or there is
            something wrong with a block.
    """
    made = encode(dataset, work, pool)
    of_images, of_captions = made.moments
    for what, moments in (("images", of_images), ("captions", of_captions)):
        n = 0 if moments is None else moments.n or 0
        if n < 2 and (what == "images" or work.captions):
            raise InputError(f"a score needs at least 2 {what} (with a word), there are {n}")
    assert of_images is not None
    images = Moments(of_images.d, encoder.provenance("image", IMAGES)).merge(of_images)
    captions = None
    if work.captions and of_captions is not None:
        captions = Moments(of_captions.d, encoder.provenance("text", CAPTIONS)).merge(of_captions)
    return (_with_rows if work.features else _of_sums)(made, images, captions)


def _with_rows(
    made: Encoded, images: Moments, captions: Moments | None
) -> tuple[Side, Side | None]:
    """The sides of parts that are Batches, with their features."""
    batch = Batch.join(made.parts)
    f = batch.images_as(images, made.rows(0))
    return f, None if captions is None else batch.captions_as(captions, made.rows(1))


def _of_sums(made: Encoded, images: Moments, captions: Moments | None) -> tuple[Side, Side | None]:
    """The sides of parts that are Counted."""
    both = zip(*(part.contents for part in made.parts), strict=True)
    of_images, of_captions = (summed(np.concatenate(own)) for own in both)
    f = Side(images, IMAGES, contents=of_images)
    if captions is None:
        return f, None
    truncated, empty = (
        sum(getattr(part, name) for part in made.parts) for name in ("truncated", "empty")
    )
    l = Side(captions, CAPTIONS, truncated=truncated, empty_before=empty, contents=of_captions)
    return f, l
