"""Streams images and captions through an encoder, but for those whose features are cached."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from cmdmetric.cache import (
    FeatureCache,
    Space,
    recall_moments,
    remember_moments,
    remembered,
    stamp_of,
)
from cmdmetric.encoders import to_pixels
from cmdmetric.errors import InputError
from cmdmetric.features.cache_keys import image_space, text_space
from cmdmetric.features.rows import FeatureRows, Features
from cmdmetric.files import shown
from cmdmetric.inputs import Captions, Failure, ImageItem, ImageSet, prepared
from cmdmetric.metrics import Moments

if TYPE_CHECKING:
    from cmdmetric.encoders import Encoder
    from cmdmetric.features.lazy_encoder import LazyEncoder

OnError = Literal["raise", "skip"]
#: Captions are tokenised and sorted by length this many at a time.
TEXT_CHUNK = 4096
#: Keys that are looked up in the cache at once.
KEYS = 4096
#: A message lists at most this many files by name.
LISTED = 20


class Undecodable(InputError):
    """Images that could not be decoded, where that is an error."""

    def __init__(
        self, source: str, failures: Sequence[tuple[str, str]], seen: int, on_error: OnError
    ) -> None:
        """failures are (name, reason), seen is the number of images that were tried."""
        self.failures, self.seen = tuple(failures), seen
        listed = list_failures(failures)
        if on_error == "skip":
            super().__init__(f"{source}: no image could be decoded:\n{listed}")
            return
        super().__init__(
            f"{source}: {len(failures)} of {seen} images cannot be decoded:\n{listed}\n"
            "Mend or remove them, or score the rest with --on-error skip (on_error='skip')."
        )


class NoWords(InputError):
    """Captions none of which has a word."""

    def __init__(self, source: str) -> None:
        super().__init__(f"{source}: no caption has a word in it")


@dataclass(frozen=True)
class EncodedImages:
    """The moments and features of an image set, and what became of its images."""

    moments: Moments
    #: Names of the encoded images, in order.
    names: tuple[str, ...]
    #: Images that could not be decoded, with the reason.
    skipped: tuple[tuple[str, str], ...]
    #: How many of them had their features in the cache.
    cached: int = 0
    #: What the features are of; None where that is not known.
    identity: bytes | None = None
    #: (n, d), in the order of `names`: read when they are needed.
    features: Features | NDArray[np.float32] = field(kw_only=True)


@dataclass(frozen=True)
class EncodedTexts:
    """The moments and features of a caption set, and what became of its captions."""

    moments: Moments
    #: The captions that were encoded: ascending positions in the set.
    kept: tuple[int, ...]
    #: Captions longer than the encoder's context: cut, with the end-of-text token kept.
    truncated: int
    #: How many of them had their features in the cache.
    cached: int = 0
    #: What the features are of; None where that is not known.
    identity: bytes | None = None
    #: (n, d), of the captions numbered in `kept`: read when they are needed.
    features: Features | NDArray[np.float32] = field(kw_only=True)


def encode_images(
    images: ImageSet,
    encoder: Encoder | LazyEncoder,
    *,
    on_error: OnError = "raise",
    progress: bool = False,
    cache: FeatureCache | None = None,
) -> EncodedImages:
    """The moments of an image set under the encoder's protocol; order and batches do not matter.

    Images whose content the cache knows are not decoded; others are put into it, unless they are
    in no file. Nothing is encoded twice where two processes encode the same set.

    Raises InputError listing every image that cannot be decoded, unless on_error is "skip", and
    where none is left.
    """
    provenance = encoder.provenance("image", images.source)
    space = image_space(encoder.checkpoint, encoder.protocol, provenance.dtype)
    run = _ImageRun(images, encoder, cache, space, on_error)
    run.identify()
    moments = recall_moments(cache, run.identity, provenance)
    if moments is not None:
        return EncodedImages(
            moments, run.names, (), run.seen, run.identity, features=Features(run.complete)
        )
    with tqdm(total=images.count, desc=f"images {_short(images.source)}", unit="image",
              disable=not progress, mininterval=0.5) as bar:  # fmt: skip
        features = run.complete(bar)
    moments = Moments.from_features(features, provenance)
    remember_moments(cache, run.identity, moments)
    return EncodedImages(
        moments, run.names, tuple(run.failures), run.cached, run.identity, features=features
    )


class _Prepared(NamedTuple):
    """What a thread makes of an image: its feature, where the cache has it, or else its pixels."""

    digest: bytes | None
    feature: NDArray[np.float32] | None
    pixels: NDArray[np.uint8] | None


class _ImageRun:
    """An image set on its way through an encoder: which rows are filled, and what failed."""

    def __init__(
        self,
        images: ImageSet,
        encoder: Encoder | LazyEncoder,
        cache: FeatureCache | None,
        space: Space,
        on_error: OnError,
    ) -> None:
        self._images = images
        self._encoder = encoder
        self._cache = cache
        self._space = space
        self._on_error = on_error
        self._size = encoder.checkpoint.image_size
        self._files = None if cache is None else images.files
        #: By position: the content's sha256 where it is known, and whether the feature is there.
        self._digests: list[bytes | None] = [None] * (images.count or 0)
        self._filled = bytearray(images.count or 0)
        self._names: list[str] = []
        self.failures: list[tuple[str, str]] = []
        #: Positions of the failures.
        self.dropped: list[int] = []
        self.cached = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Of the images that have features."""
        names = self._images.names or tuple(self._names)
        dropped = set(self.dropped)
        return tuple(name for i, name in enumerate(names) if i not in dropped) if dropped else names

    @property
    def seen(self) -> int:
        return len(self._filled)

    @property
    def identity(self) -> bytes | None:
        """What the features are of, where that is known: by it a set is one with its copies."""
        dropped = set(self.dropped)
        of_kept = [digest for i, digest in enumerate(self._digests) if i not in dropped]
        known = [digest for digest in of_kept if digest is not None]
        complete = known and len(known) == len(of_kept)
        return self._space.key(b"".join(known)) if complete else None

    def identify(self) -> None:
        """Find the digests of files that are as they were."""
        if self._cache is not None and self._files is not None:
            self._digests = self._cache.digests.known(self._files)

    def complete(self, bar: tqdm | None = None) -> NDArray[np.float32]:
        """All features: from the cache, or encoded. Raises InputError as `encode_images` does."""
        bar = tqdm(disable=True) if bar is None else bar
        with FeatureRows() as self._rows:
            self._fill(bar)
            if not self._filled or not all(self._filled):
                with self._alone() as waited:
                    if waited:
                        self.identify()
                        self._fill(bar)
                    self._encode(bar)
            self._check()
            return self._rows.finish(self.dropped)

    def _check(self) -> None:
        failures = self.failures
        if len(failures) == self.seen or (failures and self._on_error == "raise"):
            raise Undecodable(self._images.source, failures, self.seen, self._on_error)

    def _alone(self) -> contextlib.AbstractContextManager[bool]:
        """While no other process encodes the same set; yields whether one just did."""
        if self._cache is None or self._files is None:
            return contextlib.nullcontext(False)
        names = "\0".join(self._images.names or ())
        set_name = f"{os.path.abspath(self._images.source)}\0{names}"
        key = self._space.key(set_name.encode("utf-8", "surrogateescape"))
        return self._cache.lock(key, self._images.source)

    def _fill(self, bar: tqdm) -> None:
        """Take from the cache what it has of the known keys."""
        if self._cache is None:
            return
        wanted = [i for i, digest in enumerate(self._digests) if digest and not self._filled[i]]
        for start in range(0, len(wanted), KEYS):
            positions = np.array(wanted[start : start + KEYS])
            keys = [self._space.key(self._digests[i] or b"") for i in positions]
            found, features = self._cache.get_many(keys)
            self._take(positions[found], features)
            self.cached += len(found)
            bar.update(len(found))

    def _encode(self, bar: tqdm) -> None:
        """Read what is left, decode what is new, and run it through the network."""
        batch: list[tuple[int, _Prepared]] = []
        lookahead = 4 * self._encoder.batch_size
        for (position, item), result in prepared(self._left(), self._prepare, lookahead):
            bar.update()
            if isinstance(result, Failure):
                self.failures.append((item.name, result.reason))
                self.dropped.append(position)
                continue
            self._digests[position] = result.digest
            if result.feature is not None:
                self._take(np.array([position]), result.feature[None])
                self.cached += 1
            elif not self.failures or self._on_error == "skip":
                # else: only look for further failures
                batch.append((position, result))
                if len(batch) == self._encoder.batch_size:
                    self._run(batch)
                    batch.clear()
        if batch:
            self._run(batch)

    def _left(self) -> Iterator[tuple[int, ImageItem]]:
        for position, item in enumerate(self._images):
            if position == len(self._filled):  # a set that did not know how many it has
                self._filled.append(False)
                self._digests.append(None)
                self._names.append(item.name)
            if not self._filled[position]:
                yield position, item

    def _prepare(self, entry: tuple[int, ImageItem]) -> _Prepared:
        position, item = entry
        if self._cache is None or item.read is None:
            return _Prepared(None, None, self._pixels(item.load()))
        file = self._files[position] if self._files else None
        stamp = stamp_of(file[0]) if file else None
        content = item.read()
        digest = hashlib.sha256(content).digest()
        if file:
            self._cache.digests.note(file, stamp, digest)
        _, features = self._cache.get_many([self._space.key(digest)])
        if len(features):
            return _Prepared(digest, features[0], None)
        return _Prepared(digest, None, self._pixels(item.parse(content)))

    def _pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        return to_pixels(image, self._size, self._encoder.protocol)

    def _run(self, batch: list[tuple[int, _Prepared]]) -> None:
        pixels = np.stack([image.pixels for _, image in batch if image.pixels is not None])
        features = self._encoder.build().encode_pixels(pixels)
        self._take(np.array([position for position, _ in batch]), features)
        if self._cache is not None:
            known = [i for i, (_, image) in enumerate(batch) if image.digest]
            keys = [self._space.key(batch[i][1].digest or b"") for i in known]
            self._cache.put_many(self._space, keys, features[known])

    def _take(self, positions: NDArray[np.intp], features: NDArray[np.float32]) -> None:
        self._rows.write(positions, features)
        for position in positions.tolist():
            self._filled[position] = True


def encode_captions(
    captions: Captions,
    encoder: Encoder | LazyEncoder,
    *,
    progress: bool = False,
    cache: FeatureCache | None = None,
) -> EncodedTexts:
    """The moments of a caption set under the encoder's protocol.

    Captions that the cache knows are not encoded; others are put into it. Raises InputError where
    no caption has a word left.
    """
    cleaned = [encoder.protocol.clean(text) for text in captions.texts]
    kept = tuple(i for i, text in enumerate(cleaned) if text.strip())
    if not kept:
        raise NoWords(captions.source)
    provenance = encoder.provenance("text", captions.source)
    space = text_space(encoder.checkpoint, encoder.protocol, provenance.dtype)
    texts, known_by = ([of[i] for i in kept] for of in (captions.texts, cleaned))
    run = _CaptionRun(texts, known_by, encoder, cache, space)
    moments = recall_moments(cache, run.identity, provenance)
    if moments is not None:
        counted = remembered(cache, "captions cut", [run.identity], run.count_cut)
        truncated = counted["truncated"]
        return EncodedTexts(
            moments, kept, truncated, len(kept), run.identity, features=Features(run.complete)
        )
    with tqdm(total=len(kept), desc=f"captions {_short(captions.source)}", unit="caption",
              disable=not progress, mininterval=0.5) as bar:  # fmt: skip
        features = run.complete(bar)
    moments = Moments.from_features(features, provenance)
    remember_moments(cache, run.identity, moments)
    truncated = int(run.cut.sum())
    return EncodedTexts(moments, kept, truncated, run.cached, run.identity, features=features)


class _CaptionRun:
    """Captions on their way through an encoder."""

    def __init__(
        self,
        texts: Sequence[str],
        cleaned: Sequence[str],
        encoder: Encoder | LazyEncoder,
        cache: FeatureCache | None,
        space: Space,
    ) -> None:
        self._texts = texts
        self._encoder = encoder
        self._cache = cache
        self._space = space
        self._contents = [text.encode("utf-8", "surrogatepass") for text in cleaned]
        #: (n,) which are longer than the encoder's context.
        self.cut = np.zeros(len(texts), bool)
        self.cached = 0

    @property
    def identity(self) -> bytes | None:
        """What the features are of, where there is a cache."""
        return None if self._cache is None else self._space.key(b"\0".join(self._contents))

    def count_cut(self) -> dict[str, int]:
        """How many are longer than the encoder's context."""
        self.complete()
        return {"truncated": int(self.cut.sum())}

    def complete(self, bar: tqdm | None = None) -> NDArray[np.float32]:
        """All features: from the cache, or encoded."""
        bar = tqdm(disable=True) if bar is None else bar
        with FeatureRows() as rows:
            left = self._fill(rows, bar)
            for start in range(0, len(left), TEXT_CHUNK):
                chunk = left[start : start + TEXT_CHUNK]
                network = self._encoder.build()
                tokens, self.cut[chunk] = network.tokenise([self._texts[i] for i in chunk])
                for batch, features in network.encode_tokens(tokens):
                    positions = chunk[batch]
                    rows.write(positions, features)
                    if self._cache is not None:
                        keys = [self._space.key(self._contents[i]) for i in positions]
                        self._cache.put_many(self._space, keys, features, self.cut[positions])
                    bar.update(len(batch))
            return rows.finish([])

    def _fill(self, rows: FeatureRows, bar: tqdm) -> NDArray[np.intp]:
        """Take from the cache what it has; returns the positions of the rest."""
        if self._cache is None:
            return np.arange(len(self._texts))
        left = []
        for start in range(0, len(self._contents), KEYS):
            keys = [self._space.key(content) for content in self._contents[start : start + KEYS]]
            found, features, notes = self._cache.get_noted(keys)
            rows.write(start + found, features)
            self.cut[start + found] = notes
            left.append(start + np.delete(np.arange(len(keys)), found))
            self.cached += len(found)
            bar.update(len(found))
        return np.concatenate(left)


def list_failures(failures: Sequence[tuple[str, str]]) -> str:
    """One line a file, at most LISTED of them."""
    lines = [f"  {shown(name)}: {reason}" for name, reason in failures[:LISTED]]
    if len(failures) > LISTED:
        lines.append(f"  and {len(failures) - LISTED} more")
    return "\n".join(lines)


def _short(source: str, width: int = 32) -> str:
    source = shown(source)
    return source if len(source) <= width else "…" + source[1 - width :]
