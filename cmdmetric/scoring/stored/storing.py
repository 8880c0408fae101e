"""One set of images or captions, or a shard of it, as what a file of moments holds."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np

from cmdmetric.errors import InputError
from cmdmetric.inputs import Shard, ShardRecord
from cmdmetric.scoring.encoding import encoding_of
from cmdmetric.scoring.notes import left_out
from cmdmetric.scoring.opening import open_image_side, open_text_side, side_of
from cmdmetric.scoring.side import Side, Source
from cmdmetric.scoring.stored_sets import StoredSet

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from cmdmetric.scoring.options import EncodingOptions


def stored_set(
    source: Source,
    side: Literal["image", "text"] | None = None,
    *,
    shard: Shard | str | None = None,
    features: bool = True,
    **options: Unpack[EncodingOptions],
) -> StoredSet:
    """Encode a set of images or captions into what `cmdmetric moments` writes.

    Args:
        source: The set, in any form that `cmd` takes.
        side: What it holds; by default "text" for a file that ends like captions do (.json, .csv,
            ...), else "image".
        shard: Only this share of the set, such as "3/64", counted from 0.
        features: Whether they are kept with the names and captions that they are of: without them
            a score has no error bars of this set, no debiased value, and no metric that takes
            features; the file is smaller.
        **options: How it is encoded.

    Raises:
        InputError: Anything is wrong with the input, there is no such shard, or the number of
            images is only known at the end of the set, so that it cannot be cut into shards.
        TypeError: There is no option of such a name.
    """
    text = (side or side_of(source)) == "text"
    with encoding_of(**options) as encoding:
        opened = (open_text_side if text else open_image_side)(source, encoding.columns)
        record = None
        if shard is not None:
            if isinstance(opened, Side):
                raise InputError(f"{opened.source}: moments and features have no shards")
            shard = Shard.parse(shard) if isinstance(shard, str) else shard
            record = ShardRecord(shard, opened.listing())
            opened = opened.shard(shard)
            if opened.is_empty:
                return StoredSet(None, record)
        made = encoding.side(opened)
    for note in left_out(made):
        warnings.warn(note, UserWarning, stacklevel=2)
    captions = None if made.texts is None else made.texts.of(made.kept)
    return StoredSet(
        made.moments,
        record,
        np.asanyarray(made.features) if features and made.has_features else None,
        made.names,
        captions,
        made.skipped,
        made.truncated,
        made.empty,
        made.contents,
        made.looks,
    )
