"""Inception's features of images that CLIP looks at too: each image is decoded once for both."""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmdmetric.cache import FeatureCache
from cmdmetric.encoders import Inception, InceptionFeatures, InceptionStream, rgb_pixels
from cmdmetric.errors import InputError
from cmdmetric.features.cache_keys import inception_space
from cmdmetric.inputs import Failure, ImageItem, ImageSet, prepared

#: Pooled features come first in a row of the cache, logits after them.
POOL = 2048


class _Seen(NamedTuple):
    """An image for Inception: its content's sha256 where it may be kept, and its row where the
    cache has that, or else its pixels."""

    digest: bytes | None
    row: NDArray[np.float32] | None
    pixels: NDArray[np.uint8] | None


class InceptionPass:
    """One image set under Inception, while another network passes over it.

    The images that the other network's pass decodes are taken along; those that it does not decode,
    since their features are cached, are looked for in the cache and decoded in `features`. The
    threads that decode only prepare pixels: the network runs in the thread that iterates.
    """

    def __init__(
        self, images: ImageSet, network: Inception, cache: FeatureCache | None = None
    ) -> None:
        self._images = images
        self._network = network
        self._cache = cache
        self._space = inception_space(network.sha256)
        self._stream = InceptionStream(network)
        #: Those in the stream, by number: place in the set, and digest.
        self._added: list[tuple[int, bytes | None]] = []
        # By place: several images in memory may have one name. None while in the stream.
        self._rows: dict[int, NDArray[np.float32] | None] = {}
        self._waiting: deque[tuple[int, _Seen]] = deque()
        #: The names as far as the set was passed over, and the places of what cannot be decoded.
        self._names: list[str] = []
        self._failed: set[int] = set()

    def along(self) -> ImageSet:
        """The image set, for the other network's pass."""

        def items() -> Iterator[ImageItem]:
            self._names.clear()
            for place, item in enumerate(self._images):
                self._encode()
                self._names.append(item.name)
                yield replace(
                    item,
                    load=partial(self._load, place, item),
                    parse=partial(self._parse, place, item),
                )

        images = self._images
        return ImageSet(
            images.source, items, images.names, images.count, files=lambda: images.files or ()
        )

    def features(self, names: Sequence[str]) -> InceptionFeatures:
        """The features of the images of these names, in their order.

        Raises InputError for an image that cannot be decoded although the other network's features
        of it were cached: the file has changed in between.
        """
        self._encode()
        places = self._places(names)
        if any(place not in self._rows for place in places):
            self._recall(places)
            wanted = {place for place in places if place not in self._rows}
            left = (numbered for numbered in enumerate(self._images) if numbered[0] in wanted)
            for (place, item), seen in prepared(left, self._look, 4 * self._network.batch_size):
                if isinstance(seen, Failure):
                    raise InputError(f"{self._images.source}: {item.name}: {seen.reason}")
                self._waiting.append((place, seen))
                self._encode()
        self._stream.flush()
        self._store()
        if self._cache is not None:
            self._cache.flush()
        rows = np.stack([self._row(place) for place in places])
        return InceptionFeatures(rows[:, :POOL], rows[:, POOL:])

    def _places(self, names: Sequence[str]) -> list[int]:
        """Where in the set the images of these names are, which are in its order."""
        by_name: dict[str, deque[int]] = defaultdict(deque)
        for place, name in enumerate(self._images.names or self._names):
            if place not in self._failed:
                by_name[name].append(place)
        return [by_name[name].popleft() for name in names]

    def _row(self, place: int) -> NDArray[np.float32]:
        row = self._rows[place]
        assert row is not None, "flushed"
        return row

    def _load(self, place: int, item: ImageItem) -> Image.Image:
        with self._noting_failure(place):
            image = item.load()
            pixels = rgb_pixels(image)
        self._waiting.append((place, _Seen(None, None, pixels)))
        return image

    def _parse(self, place: int, item: ImageItem, content: bytes) -> Image.Image:
        with self._noting_failure(place):
            image = item.parse(content)
            digest, row = self._known(content)
            pixels = rgb_pixels(image) if row is None else None
        self._waiting.append((place, _Seen(digest, row, pixels)))
        return image

    @contextlib.contextmanager
    def _noting_failure(self, place: int) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._failed.add(place)
            raise

    def _look(self, numbered: tuple[int, ImageItem]) -> _Seen:
        item = numbered[1]
        if item.read is None:
            return _Seen(None, None, rgb_pixels(item.load()))
        content = item.read()
        digest, row = self._known(content)
        return _Seen(digest, row, rgb_pixels(item.parse(content)) if row is None else None)

    def _known(self, content: bytes) -> tuple[bytes | None, NDArray[np.float32] | None]:
        """The digest of an image, and its row where the cache has it."""
        if self._cache is None:
            return None, None
        digest = hashlib.sha256(content).digest()
        _, rows = self._cache.get_many([self._space.key(digest)])
        return digest, rows[0] if len(rows) else None

    def _recall(self, places: Sequence[int]) -> None:
        """Take from the cache what it has of files that are as they were, without reading them."""
        files = self._images.files
        if self._cache is None or files is None or self._images.names is None:
            return
        digests = self._cache.digests.known(files)
        known = [
            (place, self._space.key(digest))
            for place in places
            if place not in self._rows and (digest := digests[place]) is not None
        ]
        found, rows = self._cache.get_many([key for _, key in known])
        self._rows.update((known[i][0], row) for i, row in zip(found.tolist(), rows, strict=True))

    def _encode(self) -> None:
        while self._waiting:
            place, seen = self._waiting.popleft()
            if place in self._rows:
                continue
            self._rows[place] = seen.row
            if seen.pixels is not None:
                self._added.append((place, seen.digest))
                self._stream.add(seen.pixels)
        self._store()

    def _store(self) -> None:
        """Keep what the network has made of the images."""
        for numbers, features in self._stream.take():
            rows = np.concatenate(features, axis=1)
            added = [self._added[number] for number in numbers]
            self._rows.update((place, row) for (place, _), row in zip(added, rows, strict=True))
            kept = [(i, digest) for i, (_, digest) in enumerate(added) if digest is not None]
            if kept and self._cache is not None:
                keys = [self._space.key(digest) for _, digest in kept]
                self._cache.put_many(self._space, keys, rows[[i for i, _ in kept]])
