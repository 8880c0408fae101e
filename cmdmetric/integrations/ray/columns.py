"""Which columns of a Ray dataset hold the images and the captions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from cmdmetric.errors import InputError
from cmdmetric.inputs import IMAGE_ENDINGS, Columns, is_text_key
from cmdmetric.integrations.ray.actors import Work
from cmdmetric.scoring import EncoderOptions

if TYPE_CHECKING:
    from ray.data import Dataset

#: The columns in which Ray's reader of WebDataset has captions are called like these endings.
_TEXT_ENDINGS = (".txt", ".text", ".caption", ".json")


def work_on(
    dataset: Dataset,
    columns: Columns,
    options: EncoderOptions,
    *,
    captions: bool,
    features: bool,
) -> Work:
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
    return Work(options, image, of_captions, features)


def _called_like_files(names: Sequence[str], endings: Collection[str]) -> str | None:
    """The first column that has an ending for its name, as WebDataset's have."""
    return next((name for name in names if f".{name.lower()}" in endings), None)
