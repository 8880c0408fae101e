"""Images in zip and tar archives, read in place: nothing is ever extracted to disk."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from threading import Lock
from typing import IO, Literal

from cmdmetric.inputs.image_set import (
    ImageItem,
    ImageSet,
    check_size,
    decode,
    image_names,
    members_of,
)
from cmdmetric.inputs.tars import CheckedHeader, content_at, content_of

#: Members of a tar that is read forwards keep up to this many bytes until they are decoded; for
#: larger ones, of which few fit into memory, the tar is read once more.
_MAX_HELD = 1 << 24


def open_zip(source: str, place: Path | IO[bytes]) -> ImageSet:
    """The images of a zip archive in natural order; of equal names the last counts."""
    archive = zipfile.ZipFile(place)
    members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
    lock = Lock()

    def read(name: str) -> bytes:
        with lock:
            return archive.read(members[name])

    sizes = {name: info.file_size for name, info in members.items()}
    return _archive(source, place if isinstance(place, Path) else None, sizes, read)


def open_tar(source: str, path: Path) -> ImageSet:
    """The images of a tar archive, in natural order if it is not compressed.

    Links, devices and folders are ignored; of equal names the last counts. A compressed tar is
    read through once for its names; its items then come in its own order, each with its bytes.
    """
    try:
        with _tar(path, "r:") as archive:
            members = {member.name: member for member in archive if member.isreg()}
    except tarfile.ReadError:
        return _open_stream(source, path)

    def read(name: str) -> bytes:
        with _tar(path, "r:") as reopened:
            return content_of(reopened, members[name])

    return _archive(source, path, {name: member.size for name, member in members.items()}, read)


def _archive(
    source: str, path: Path | None, sizes: Mapping[str, int], read: Callable[[str], bytes]
) -> ImageSet:
    names = image_names(source, sizes)

    def checked(name: str) -> bytes:
        check_size(sizes[name])
        return read(name)

    def items() -> Iterator[ImageItem]:
        for name in names:
            yield bytes_item(name, partial(checked, name))

    return _image_set(source, path, items, names)


def bytes_item(name: str, read: Callable[[], bytes]) -> ImageItem:
    """Make an item of an image from what reads its bytes."""
    return ImageItem(name, lambda: decode(io.BytesIO(read())), read)


def _image_set(
    source: str, path: Path | None, items: Callable[[], Iterator[ImageItem]], names: list[str]
) -> ImageSet:
    if path is None:
        return ImageSet(source, items, names)
    return ImageSet(source, items, names, files=partial(members_of, path, names))


def _open_stream(source: str, path: Path) -> ImageSet:
    with _tar(path, "r:*") as archive:
        last = {member.name: member.offset for member in archive if member.isreg()}
    wanted = set(image_names(source, last))
    names = sorted(wanted, key=last.__getitem__)

    def items() -> Iterator[ImageItem]:
        with _tar(path, "r:*") as archive:
            for member in archive:
                if member.name in wanted and member.offset == last[member.name]:
                    yield member_item(archive, member, member.name, str(path))

    return _image_set(source, path, items, names)


def member_item(
    archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, tar: str
) -> ImageItem:
    """The image that is the current member of a tar, a path or URL, that is read forwards."""
    if member.size <= _MAX_HELD:
        return bytes_item(name, partial(bytes, content_of(archive, member)))

    def read_again() -> bytes:
        check_size(member.size)
        return content_at(tar, member.offset)

    return bytes_item(name, read_again)


def _tar(path: Path, mode: Literal["r:", "r:*"]) -> tarfile.TarFile:
    return tarfile.open(path, mode, tarinfo=CheckedHeader)
