"""How images and captions become moments: an encoder, a cache and processes beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from cmdmetric.cache import FeatureCache, open_cache
from cmdmetric.encoders import Checkpoint, Dtype, LazyEncoder, recall_checkpoint
from cmdmetric.errors import InputError
from cmdmetric.features import (
    Contents,
    ImageRecords,
    OnError,
    PassedImages,
    Workers,
    digests_of,
    encode_captions,
    encode_images,
    pass_images,
    shared_captions,
    shared_images,
    shared_pass,
    split_records,
    workers as distributed,
)
from cmdmetric.inputs import Captions, Columns, ImageSet
from cmdmetric.progress import announce, watched
from cmdmetric.protocol import get_protocol
from cmdmetric.scoring.options import DEFAULTS, EncodingOptions, refuse_unknown
from cmdmetric.scoring.side import Side
from cmdmetric.terminal import tell

if TYPE_CHECKING:
    import torch
    from typing_extensions import Unpack

    from cmdmetric.encoders import Encoder, ImageNetwork


Rows: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Encoding:
    """What it takes to turn images or captions into moments; in `with`, where it has a cache."""

    encoder: Encoder | LazyEncoder
    on_error: OnError = "raise"
    progress: bool = False
    cache: FeatureCache | None = None
    #: The processes that share the encoding.
    workers: Workers | None = None
    #: Where networks beside the encoder compute; None where that is left to them.
    device: str | torch.device | None = None
    #: Where images and captions stand in records and tables.
    columns: Columns = field(default_factory=Columns)
    #: By what was encoded: how many features were in the cache, and how many there are.
    _counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def side(self, opened: Side | ImageSet | Captions) -> Side:
        """The side of what was opened.

        Raises:
            InputError: The set cannot be read or encoded.
        """
        if isinstance(opened, Side):
            return opened
        if isinstance(opened, Captions):
            return self.captions(opened)
        return self.images(opened)[0]

    def images(
        self, opened: ImageSet, beside: Sequence[ImageNetwork] = ()
    ) -> tuple[Side, tuple[Rows, ...]]:
        """The side of an image set, and its features under each of the networks beside the encoder.

        Every image is decoded once for all of them. Where several processes share the encoding,
        only the first gets features.

        Raises:
            InputError: The images cannot be read or encoded (see `encode_images`).
        """
        encode = encode_images
        if self.workers is not None:
            encode = partial(shared_images, workers=self.workers)
        found = encode(
            opened,
            self.encoder,
            beside=[ImageRecords(), *beside],
            on_error=self.on_error,
            progress=self.progress,
            cache=self.cache,
        )
        self._count("images", found.cached, len(found.names))
        records, *seen = found.beside or (None,)
        contents, looks = (None, None) if records is None else split_records(records)
        side = Side(
            found.moments,
            opened.source,
            features=found.features,
            identity=found.identity,
            names=found.names,
            digests=found.digests,
            images=opened,
            skipped=found.skipped,
            contents=contents,
            looks=looks,
            drawn=opened.drawn,
        )
        return side, tuple(seen)

    def captions(self, opened: Captions) -> Side:
        """The side of captions.

        Raises:
            InputError: The captions cannot be encoded (see `encode_captions`).
        """
        encode = encode_captions
        if self.workers is not None:
            encode = partial(shared_captions, workers=self.workers)
        found = encode(opened, self.encoder, progress=self.progress, cache=self.cache)
        self._count("captions", found.cached, len(found.kept))
        return Side(
            found.moments,
            opened.source,
            features=found.features,
            identity=found.identity,
            texts=opened,
            kept=found.kept,
            truncated=found.truncated,
            contents=digests_of(opened.texts[i].encode() for i in found.kept),
        )

    def seen_by(
        self, network: ImageNetwork, images: ImageSet
    ) -> tuple[Rows | None, Contents | None]:
        """The features of images under a network alone, and the images' digests.

        Both are None in a process that gets no features.

        Raises:
            InputError: The images cannot be read or encoded (see `pass_images`).
        """
        see: Callable[..., PassedImages | None] = pass_images
        if self.workers is not None:
            see = partial(shared_pass, workers=self.workers)
        found = see(
            images,
            [network, ImageRecords()],
            on_error=self.on_error,
            progress=self.progress,
            cache=self.cache,
        )
        if found is None:
            return None, None
        rows, records = found.features
        return rows, split_records(records)[0]

    def read_by(self, reader: Encoder | LazyEncoder, captions: Captions) -> Rows | None:
        """The features of captions under another encoder; None in a process that gets none.

        Raises:
            InputError: The captions cannot be encoded (see `encode_captions`).
        """
        encode = encode_captions
        if self.workers is not None:
            encode = partial(shared_captions, workers=self.workers)
        found = encode(captions, reader, progress=self.progress, cache=self.cache)
        return None if found.features is None else np.asarray(found.features)

    def _count(self, what: str, cached: int, total: int) -> None:
        before = self._counts.get(what, (0, 0))
        self._counts[what] = (before[0] + cached, before[1] + total)

    def __enter__(self) -> Encoding:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Store what the cache has not stored yet, and tell what came from it.

        Of several processes only the first goes on from here; the others raise Finished.
        """
        if self.cache is not None:
            self.cache.close()
        if self.workers is not None:
            self.workers.end(error)
        first = self.workers is None or self.workers.rank == 0
        if self.progress and first and any(cached for cached, _ in self._counts.values()):
            found = " and ".join(
                f"{cached:,} of {total:,} {what}" for what, (cached, total) in self._counts.items()
            )
            tell(f"from the cache: {found}")
            if self.device is not None and all(n == m for n, m in self._counts.values()):
                tell(f"{self.device} was not used for CLIP: all of its features were there")


def encoding_of(**options: Unpack[EncodingOptions]) -> Encoding:
    """Make an `Encoding` of the options that a user gives; they are checked here.

    Nothing is downloaded, read or built before something has to be encoded.

    Raises:
        InputError: An option has a value that it cannot have.
        TypeError: There is no option of such a name.
    """
    refuse_unknown(options, DEFAULTS)
    chosen: EncodingOptions = {**DEFAULTS, **options}
    on_error, dtype, device = chosen["on_error"], chosen["dtype"], chosen["device"]
    if on_error not in get_args(OnError):
        raise InputError(f"on_error is {on_error!r}, it must be 'raise' or 'skip'")
    if dtype not in get_args(Dtype):
        raise InputError(f"dtype is {dtype!r}, it must be one of {', '.join(get_args(Dtype))}")
    if type(chosen["batch_size"]) is not int or chosen["batch_size"] < 1:
        raise InputError(
            f"batch_size is {chosen['batch_size']!r}, it must be a whole number, at least 1"
        )
    if device is not None and str(device) != "cpu":
        from cmdmetric.encoders import choose_device  # imports torch

        choose_device(device)  # one that is not there is told also where everything is cached
    if chosen["encoder"] is not None and not hasattr(chosen["encoder"], "provenance"):
        raise InputError(f"encoder is {chosen['encoder']!r}, it must be a cmdmetric.Encoder")
    protocol, batch_size = get_protocol(chosen["protocol"]), chosen["batch_size"]
    cache, progress = open_cache(chosen["cache"]), chosen["progress"]
    progress = watched() if progress is None else progress
    workers = distributed.workers()
    if workers is not None:
        device = workers.device(device)
    first = workers is None or workers.rank == 0

    def build(checkpoint: Checkpoint) -> Encoder:
        if progress and first:
            announce(f"loading {'' if 'torch' in sys.modules else 'torch and '}{checkpoint.label}")
        from cmdmetric.encoders import Encoder  # imports torch: not before it is needed

        return Encoder(
            checkpoint, None, protocol, device=device, batch_size=batch_size, dtype=dtype
        )

    encoder = chosen["encoder"] or LazyEncoder(
        lambda: recall_checkpoint(chosen["model"], chosen["weights"], cache),
        protocol,
        batch_size,
        build,
        dtype,
    )
    columns = Columns(chosen["caption_column"], chosen["image_column"])
    return Encoding(encoder, on_error, progress, cache, workers, device, columns)
