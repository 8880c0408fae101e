"""What a set of images is, and how one of them is decoded."""

from __future__ import annotations

import copy
import io
import os
import re
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from cmdmetric.errors import InputError
from cmdmetric.files import natural_sorted
from cmdmetric.inputs.endings import USUAL_ENDINGS, decoded_endings, formats, is_image_name
from cmdmetric.inputs.layouts.batches import Along
from cmdmetric.inputs.places import places_of
from cmdmetric.inputs.shards import Listing, Shard

#: No image file is larger.
MAX_BYTES = 1 << 30
#: GenEval's `grid.png` and T2I-CompBench's `<prompt>-grid-00003.png`.
_GRID = re.compile(r"(?:^|/)(?:[^/]*-)?grid(?:-\d+)?\.\w+$")


@dataclass(frozen=True)
class ImageItem:
    """One image that has not been decoded yet.

    Args:
        name: unique in its set where the source has names: a path relative to the folder, a
            member of the archive; "#7" for the eighth image of an array or an iterable.
        load: decodes it, completely; of an animation the first frame. Safe to call in any
            thread. It may raise whatever Pillow does: `describe_failure` puts that in words.
        read: the bytes that decide on the image, such as those of its file; None where nothing
            is to be remembered of it.
        parse: decodes what `read` returned; `load` does both.
    """

    name: str
    load: Callable[[], Image.Image]
    read: Callable[[], bytes] | None = None
    parse: Callable[[bytes], Image.Image] = lambda content: decode(io.BytesIO(content))


class ImageSet:
    """A set of images in a stable order.

    Attributes:
        source: how the user named it.
        names: the items' names, in order; None where only a pass through the source would tell.
        count: how many there are; None where only a pass through the source would tell.
        files: where each lies, the absolute path of a file and a member of it ("" where the file is
            the image); None for one that is in no file, or where nothing is known of any.
        along: the captions that come with the images, complete once all of them were read; None
            where images alone were given.
        ordered: whether the order is the user's own, as in a list, not that of names.
        drawn: of a part that was drawn by a seed, what a signature says of it; else None.
        undrawn: the names of the images that were left, where it is such a part.

    A set may be made of parts, files whose images are only known when they are read.

    Iterating gives `ImageItem`s. A set made from a generator can be iterated once; a second time
    raises InputError. Sets without a known count raise InputError when they turn out to be
    empty, or to hold what is no image.
    """

    def __init__(
        self,
        source: str,
        items: Callable[[], Iterator[ImageItem]],
        names: Sequence[str] | None = None,
        count: int | None = None,
        files: Callable[[], Sequence[tuple[str, str] | None]] | None = None,
        parts: Sequence[ImageSet] = (),
        along: Along | None = None,
        ordered: bool = False,
    ) -> None:
        self.source = source
        self.names = None if names is None else tuple(names)
        self.count = count if self.names is None else len(self.names)
        self._items = items
        self._files = files
        self._parts = parts
        self.along = along
        self.ordered = ordered
        self.drawn: str | None = None
        self.undrawn: tuple[str, ...] = ()
        self._places: tuple[int, ...] | None = None

    @property
    def title(self) -> str:
        """What progress calls the set."""
        of_captions = self.source.startswith("the images ")  # that captions name
        return self.source if of_captions else f"images {self.source}"

    @property
    def places(self) -> tuple[int, ...] | None:
        """The places of its images in the user's own order; None for a set that has none."""
        if self._places is not None or self.names is None:
            return self._places
        if (named := places_of(self.names)) is not None:
            return named
        return tuple(range(len(self.names))) if self.ordered else None

    @property
    def files(self) -> Sequence[tuple[str, str] | None] | None:
        """Where each image's bytes lie, as (path, member); None where that is not known."""
        files = self._files() if self._files else None
        return files if files is None or len(files) == self.count else None

    def __iter__(self) -> Iterator[ImageItem]:
        return self._items()

    def listing(self) -> Listing:
        """Its names, or those of its parts.

        Raises:
            InputError: The set does not know its names.
        """
        if self.names is not None:
            return Listing.of("images", self.names)
        if self._parts:
            bases = (part.source.rpartition("/")[2] for part in self._parts)
            return Listing.of("archives", bases)
        raise InputError(
            f"{self.source}: it cannot be cut into shards: what is in it is only known at its "
            "end; give a folder, an archive or an array"
        )

    def shard(self, shard: Shard) -> ImageSet:
        """One share of it, which may be empty: of its parts where there are enough of them."""
        share = copy.copy(self)
        if self.names is not None:
            mine = shard.range(len(self.names))
            share.names, share.count = self.names[mine.start : mine.stop], len(mine)
            share._items = lambda: islice(self, mine.start, mine.stop)
            if self._files is not None:
                share._files = lambda: (self.files or ())[mine.start : mine.stop]
            if self._places is not None:
                share._places = self._places[mine.start : mine.stop]
        elif len(self._parts) >= shard.count:
            own = Shard(shard.index, shard.count).range(len(self._parts))
            share._parts = self._parts[own.start : own.stop]
            share._items = lambda: chain.from_iterable(share._parts)
        else:
            share._items = lambda: shard.stride(self)
        return share

    def part(self, rows: Sequence[int], drawn: str) -> ImageSet:
        """The images at these places, which keep their names and their places in the user's order.

        Args:
            rows: Ascending places in a set that knows its names.
            drawn: What a signature says of the part.
        """
        names, files, places = self.names or (), self._files, self.places
        wanted = frozenset(rows)
        part = copy.copy(self)
        part.names, part.count = tuple(names[i] for i in rows), len(rows)
        part._items = lambda: (item for i, item in enumerate(self) if i in wanted)
        if files is not None:
            part._files = lambda: [files()[i] for i in rows]
        part._parts = ()
        part._places = None if places is None else tuple(places[i] for i in rows)
        part.drawn = drawn
        part.undrawn = tuple(name for i, name in enumerate(names) if i not in wanted)
        return part

    @property
    def is_empty(self) -> bool:
        """Whether it has no image; a set that does not know is read up to its first."""
        return not self.count if self.count is not None else next(iter(self), None) is None

    def __repr__(self) -> str:
        return f"ImageSet({self.source!r}, count={self.count})"


def image_names(source: str, names: Iterable[str], verb: str = "holds") -> list[str]:
    """Those that are images, in natural order.

    Raises:
        InputError: No name is one of an image. The message says what is there instead, and what was
            looked for.
    """
    names = list(names)
    images = natural_sorted(filter(is_image_name, names))
    if images:
        return _without_grids(source, images)
    counts = Counter(os.path.splitext(name)[1].lower() or "no ending" for name in names)
    there = ", ".join(f"{ending} {count}" for ending, count in counts.most_common(5))
    known = decoded_endings()
    usual = [ending for ending in USUAL_ENDINGS if ending in known]
    hint = ""
    if verb == "holds" and {".tar", ".parquet", ".zip"} & counts.keys():
        hint = (
            ". Tars are named by a pattern, such as 'folder/*.tar', other files of many images by "
        )
        hint += "their own name"
    raise InputError(
        f"{source}: no images; it {verb} {len(names)} files{': ' if there else ''}{there}. Images "
        f"end in {', '.join(usual)} or one of {len(known) - len(usual)} more that Pillow "
        f"decodes, in any case{hint}"
    )


def _without_grids(source: str, names: list[str]) -> list[str]:
    """Names without the overviews that GenEval and T2I-CompBench write beside `samples/`.

    They show the samples once more, many in one picture, and are no samples. Leaving them out is
    warned of.
    """
    grids = {name for name in names if _GRID.search(name)}
    if grids:
        in_samples = ("/" + _folder_of(name) for name in names)
        places = {f[1 : -len("samples/")] for f in in_samples if f.endswith("/samples/")}
        grids = {name for name in grids if _folder_of(name) in places}
    if not grids:
        return names
    warnings.warn(
        f"{source}: {len(grids)} overviews beside samples/ are left out, such as {min(grids)}",
        stacklevel=2,
    )
    return [name for name in names if name not in grids]


def _folder_of(name: str) -> str:
    """What stands before the last part of a name, with its slash."""
    return name[: name.rfind("/") + 1]


def decode(file: BinaryIO | Path | str) -> Image.Image:
    """The image of a file, decoded; the first frame of an animation."""
    with Image.open(file, formats=formats()) as image:
        image.load()
        return with_pixels(image)


def with_pixels(image: Image.Image) -> Image.Image:
    """The image itself.

    Raises:
        ValueError: The image has no pixel, so that nothing can be said of it.
    """
    if 0 in image.size:
        raise ValueError(f"an image of {image.width}x{image.height} pixels")
    return image


def file_item(name: str, path: str) -> ImageItem:
    """The image of a file."""
    return ImageItem(name, partial(decode, path), partial(_read, path))


def members_of(path: Path, names: Sequence[str]) -> list[tuple[str, str]]:
    """Where the images of an archive lie: `ImageSet.files`."""
    place = os.path.abspath(path)
    return [(place, name) for name in names]


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        check_size(os.fstat(file.fileno()).st_size)
        return file.read()


def check_size(size: int) -> None:
    """Raise ValueError for more bytes than an image file has, before they fill the memory."""
    if size > MAX_BYTES:
        raise ValueError(f"has {size:,} bytes, more than any image file")


def describe_failure(error: BaseException) -> str:
    """Why an image could not be opened or decoded, in one line and without its name.

    >>> describe_failure(OSError("image file is truncated (3 bytes not processed)"))
    'truncated or damaged: image file is truncated (3 bytes not processed)'
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, InputError):
        return text
    if isinstance(error, Image.DecompressionBombError):
        return f"a decompression bomb? {text}. PIL.Image.MAX_IMAGE_PIXELS is the limit's half"
    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow decodes, or an empty file"
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, FileNotFoundError):
        return "does not exist (any more)"
    if isinstance(error, MemoryError):
        return "too large for the memory that is left"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if "encrypted" in text:
        return "encrypted; give an archive without a password"
    if isinstance(error, NotImplementedError):
        return f"compressed in a way that is not supported: {text}"
    damaged = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, LookupError)
    if isinstance(error, (*damaged, zipfile.BadZipFile, tarfile.TarError)):
        return f"truncated or damaged: {text}"
    return f"{type(error).__name__}: {text}"
