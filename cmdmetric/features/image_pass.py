"""One pass of an image set through several networks: every image is decoded once for all of them.

Threads or processes read and decode images and prepare each network's pixels; the networks run in
the thread that waits for them. What the cache knows of a file is not decoded, and no content that
it knows is encoded.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmdmetric.cache import FeatureCache, Space, settled_stamp, stamp_of
from cmdmetric.encoders import ImageNetwork
from cmdmetric.features.failures import OnError, refuse_failures
from cmdmetric.features.rows import FeatureRows
from cmdmetric.files import ahead, forks_for, losses_told
from cmdmetric.inputs import Failure, ImageItem, ImageSet, prepared
from cmdmetric.progress import Tally, tally_of

#: Keys that are looked up in the cache at once.
KEYS = 4096
#: Files of unknown content that are read before all others: one of them tells a copied folder.
PROBED = 64
#: Bytes of an image's pixels that one process hands to another sooner than it prepares them.
HANDED_OVER = 1 << 19
#: Images of which the first that can be decoded tells how large they are.
TRIED = 8
#: Images of unequal sizes that wait for others of theirs, in batches.
WAITING = 8


@dataclass(frozen=True)
class PassedImages:
    """What networks have made of an image set, and what became of its images."""

    #: For each network its features (n, d), in the order of `names`.
    features: tuple[NDArray[np.float32], ...]
    #: For each network how many of its features were in the cache.
    cached: tuple[int, ...]
    #: Names of the images that have features, in order.
    names: tuple[str, ...]
    #: Images that could not be decoded, with the reason.
    skipped: tuple[tuple[str, str], ...]


def pass_images(
    images: ImageSet,
    networks: Sequence[ImageNetwork],
    *,
    on_error: OnError = "raise",
    progress: bool | Tally = False,
    cache: FeatureCache | None = None,
) -> PassedImages:
    """The features of an image set under each of several networks.

    Args:
        images: A set in any form; its order and the networks' batches do not matter.
        networks: At least one.
        on_error: Whether an image that cannot be decoded is an error or is left out for all.
        progress: Whether a progress bar is shown, or where the images are counted instead.
        cache: Where features of files are looked up and kept.

    Raises:
        Undecodable: Images cannot be decoded; all of them are listed. With "skip" only where none
            is left.
    """
    return ImagePass(images, cache).through(networks, on_error, progress)


class ImagePass:
    """An image set with what is known of its files, to be passed through networks."""

    def __init__(self, images: ImageSet, cache: FeatureCache | None = None) -> None:
        """Looks up which files are as they were; nothing is read."""
        self._images = images
        self._cache = cache
        self._files = images.files
        #: By position: the content's sha256 where it is known.
        self._digests: list[bytes | None] = [None] * (images.count or 0)
        self._names: list[str] = list(images.names or ())
        #: Which devices are read-only, as far as was seen.
        self._devices: dict[int, bool] = {}
        #: By position: the name of an image that could not be decoded, and why.
        self._failures: dict[int, tuple[str, str]] = {}
        self._identify()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the images that have features."""
        return tuple(name for i, name in enumerate(self._names) if i not in self._failures)

    @property
    def digests(self) -> tuple[bytes | None, ...]:
        """Of the same images the sha256 of the file, where it is known and holds nothing else."""
        files = self._files or [None] * len(self._digests)
        return tuple(
            None if file is None or file[1] else digest
            for i, (file, digest) in enumerate(zip(files, self._digests, strict=True))
            if i not in self._failures
        )

    def identity(self, space: Space) -> bytes | None:
        """What the features in a space are of: by it a set is one with its copies.

        None where that is not known of every image.
        """
        of_kept = [digest for i, digest in enumerate(self._digests) if i not in self._failures]
        known = [digest for digest in of_kept if digest is not None]
        return space.key(b"".join(known)) if known and len(known) == len(of_kept) else None

    def through(
        self,
        networks: Sequence[ImageNetwork],
        on_error: OnError = "raise",
        progress: bool | Tally = False,
    ) -> PassedImages:
        """The features under each of several networks.

        Raises:
            Undecodable: No image can be decoded, or one cannot and may not be left out.
        """
        self._failures = {}
        source = self._images.source
        with contextlib.ExitStack() as stack:
            bar = stack.enter_context(
                tally_of(self._images.title, self._images.count, "image", wanted=progress)
            )
            ways = [
                stack.enter_context(_Way(network, self._cache, len(self._digests)))
                for network in networks
            ]
            self._recall(ways, bar)
            if not self._digests or self._done(ways) < len(self._digests):
                with self._alone(networks[0].space) as waited:
                    if waited:
                        self._identify()
                        self._recall(ways, bar)
                    self._recognise(ways, bar)
                    self._encode(ways, on_error, bar)
            failures = tuple(self._failures.values())
            refuse_failures(source, failures, len(self._digests), on_error)
            dropped = list(self._failures)
            return PassedImages(
                tuple(way.rows.finish(dropped) for way in ways),
                tuple(way.cached for way in ways),
                self.names,
                failures,
            )

    def _identify(self) -> None:
        """Find the digests of files that are as they were."""
        if self._cache is not None and self._files is not None:
            self._digests = self._cache.digests.known(self._files)

    def _recall(
        self, ways: Sequence[_Way], bar: Tally, positions: Iterable[int] | None = None
    ) -> None:
        """Take from the cache what it has of the known contents, at some positions or at all."""
        before = self._done(ways)
        for way in ways:
            way.recall(self._digests, positions)
        bar.update(self._done(ways) - before)

    def _recognise(self, ways: Sequence[_Way], bar: Tally) -> None:
        """Read the files of a folder that was renamed or copied, and look up what they hold.

        Where images are read to be decoded, what they hold is looked up after that. A few files
        from all over the set tell whether the cache has any of them.
        """
        if self._cache is None or self._files is None:
            return
        paths = {
            position: file[0]
            for position, file in enumerate(self._files)
            if file and not file[1] and self._digests[position] is None
        }
        unknown = list(paths)
        if not unknown:
            return
        probed = unknown[:: -(-len(unknown) // PROBED)]
        self._learn(probed, self._cache.digests.read([paths[i] for i in probed]))
        self._recall(ways, bar, probed)
        if not any(all(way.filled[i] for way in ways) for i in probed):
            return
        threads = os.cpu_count() or 1
        left = [position for position in unknown if self._digests[position] is None]
        parts = (left[start : start + PROBED] for start in range(0, len(left), PROBED))
        digests = self._cache.digests
        read = ahead(parts, lambda part: digests.read([paths[i] for i in part]), threads, threads)
        waiting: list[int] = []
        for part, found in read:
            self._learn(part, found.result())
            waiting += part
            if len(waiting) >= KEYS:
                self._recall(ways, bar, waiting)
                waiting = []
        self._recall(ways, bar, waiting)

    def _learn(self, positions: Sequence[int], digests: Sequence[bytes | None]) -> None:
        for position, digest in zip(positions, digests, strict=True):
            self._digests[position] = digest

    @staticmethod
    def _done(ways: Sequence[_Way]) -> int:
        """How many images have their features under all networks."""
        return sum(map(all, zip(*(way.filled for way in ways), strict=True)))

    def _alone(self, space: Space) -> contextlib.AbstractContextManager[bool]:
        """While no other process encodes the same set; yields whether one just did."""
        if self._cache is None or self._files is None:
            return contextlib.nullcontext(False)
        names = "\0".join(self._images.names or ())
        set_name = f"{os.path.abspath(self._images.source)}\0{names}"
        key = space.key(set_name.encode("utf-8", "surrogateescape"))
        return self._cache.lock(key, self._images.source)

    def _encode(self, ways: Sequence[_Way], on_error: OnError, bar: Tally) -> None:
        """Read what is left, decode what is new, and run it through the networks that lack it."""
        batch = max(way.network.batch_size for way in ways)
        found = prepared(
            self._left(ways),
            partial(self._prepare, ways),
            4 * batch,
            self._images.source,
            processes=self._forks(ways),
        )
        with losses_told():
            while some := list(islice(found, batch)):
                bar.update(len(some))
                self._take(ways, some, on_error)
        for way in ways:
            way.finish()

    def _take(
        self,
        ways: Sequence[_Way],
        some: Sequence[tuple[int, ImageItem, _Seen | Failure]],
        on_error: OnError,
    ) -> None:
        """Give networks the pixels of images whose content the cache does not know under them."""
        seen = []
        for position, item, made in some:
            if isinstance(made, Failure):
                self._failures[position] = (item.name, made.reason)
                continue
            seen.append((position, made))
            self._digests[position] = made.digest
            file = self._files[position] if self._files else None
            if self._cache is not None and file is not None and made.digest is not None:
                self._cache.digests.note(file, made.stamp, made.digest)
        if self._failures and on_error == "raise":
            return  # only look for further failures
        for number, way in enumerate(ways):
            way.recall(self._digests, [position for position, _ in seen])
            for position, made in seen:
                pixels = made.pixels[number]
                if pixels is not None and not way.filled[position]:
                    way.add(position, made.digest, pixels)

    def _forks(self, ways: Sequence[_Way]) -> int:
        """How many forks should prepare what is left; 0 where threads should.

        Archives are read by one process, and what takes longer to be handed over than a thread
        waits for Python should not be handed over: the first image that can be decoded tells.
        """
        if self._files is None or not all(file and not file[1] for file in self._files):
            return 0
        forks = forks_for(len(self._digests) - self._done(ways))
        if not forks:
            return 0
        for entry in islice(self._left(ways), TRIED):
            with contextlib.suppress(Exception):  # which will be told with the others
                pixels = self._prepare(ways, *entry).pixels
                return forks if sum(x.nbytes for x in pixels if x is not None) <= HANDED_OVER else 0
        return 0

    def _left(self, ways: Sequence[_Way]) -> Iterator[tuple[int, ImageItem]]:
        """The images that a network lacks, with their positions."""
        for position, item in enumerate(self._images):
            if position == len(self._digests):  # a set that did not know how many it has
                self._digests.append(None)
                self._names.append(item.name)
                for way in ways:
                    way.filled.append(False)
            if not all(way.filled[position] for way in ways):
                yield position, item

    def _prepare(self, ways: Sequence[_Way], position: int, item: ImageItem) -> _Seen:
        """What a thread or a process makes of an image.

        Raises:
            Exception: Reading or decoding the image failed, with any error.
        """
        stamp = digest = None
        if self._cache is None or item.read is None:
            image = item.load()
        else:
            file = self._files[position] if self._files else None
            before = stamp_of(file[0], self._devices) if file else None
            content = item.read()
            digest = hashlib.sha256(content).digest()
            stamp = settled_stamp(file[0], before, self._devices) if file else None
            image = item.parse(content)
        pixels = [None if way.filled[position] else way.network.prepare(image) for way in ways]
        return _Seen(stamp, digest, pixels)


class _Seen(NamedTuple):
    """What is made of an image."""

    #: Of its file, where the digest is to be known by it again.
    stamp: str | None
    #: The content's sha256, where it may be kept.
    digest: bytes | None
    #: For each network its pixels, None where its feature is there.
    pixels: Sequence[NDArray[np.uint8] | None]


class _Way:
    """The way of a set through one network: which features are there, and which pixels wait."""

    def __init__(self, network: ImageNetwork, cache: FeatureCache | None, size: int) -> None:
        self.network = network
        self.rows = FeatureRows()
        #: By position: whether its feature is there.
        self.filled = bytearray(size)
        self.cached = 0
        self._space = network.space
        self._cache = cache
        self._waiting: dict[tuple[int, ...], list[tuple[int, bytes | None, NDArray[np.uint8]]]]
        self._waiting = defaultdict(list)

    def __enter__(self) -> _Way:
        return self

    def __exit__(self, *_: object) -> None:
        self.rows.close()

    def recall(
        self, digests: Sequence[bytes | None], positions: Iterable[int] | None = None
    ) -> None:
        """Take from the cache what it has of known contents, at some positions or at all."""
        if self._cache is None:
            return
        of = range(len(digests)) if positions is None else positions
        wanted = [i for i in of if digests[i] and not self.filled[i]]
        for start in range(0, len(wanted), KEYS):
            positions = np.array(wanted[start : start + KEYS])
            keys = [self._space.key(digests[i] or b"") for i in positions]
            found, features = self._cache.get_many(keys)
            self.take(positions[found], features)
            self.cached += len(found)

    def take(self, positions: NDArray[np.intp], features: NDArray[np.float32]) -> None:
        """Features (k, d) of the images at positions (k,)."""
        self.rows.write(positions, features)
        for position in positions.tolist():
            self.filled[position] = True

    def add(self, position: int, digest: bytes | None, pixels: NDArray[np.uint8]) -> None:
        """An image to encode. Those of one size are encoded together, and few of others wait."""
        group = self._waiting[pixels.shape]
        group.append((position, digest, pixels))
        if len(group) == self.network.batch_size:
            self._encode(pixels.shape)
        elif sum(map(len, self._waiting.values())) > WAITING * self.network.batch_size:
            self._encode(max(self._waiting, key=lambda shape: len(self._waiting[shape])))

    def finish(self) -> None:
        """Encode the images that wait for others of their size."""
        for shape in list(self._waiting):
            self._encode(shape)

    def _encode(self, shape: tuple[int, ...]) -> None:
        positions, digests, pixels = zip(*self._waiting.pop(shape), strict=True)
        features = self.network.encode(np.stack(pixels))
        self.take(np.array(positions), features)
        if self._cache is not None:
            known = [i for i, digest in enumerate(digests) if digest]
            keys = [self._space.key(digests[i]) for i in known]
            self._cache.put_many(self._space, keys, features[known])
