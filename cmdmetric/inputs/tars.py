"""Sets of tar shards in WebDataset's layout: read forwards, in place, never unpacked to disk.

A sample is what has one name up to the first dot: 000123.jpg, 000123.txt, 000123.json. Its files
stand beside one another. tarfile streams them faster than the webdataset package does.
"""

from __future__ import annotations

import contextlib
import glob
import json
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cmdmetric.errors import InputError
from cmdmetric.files import missing, natural_key, remote
from cmdmetric.inputs.endings import IMAGE_ENDINGS, TAR_ENDINGS

#: The endings of captions; a sample's .json counts where it has none of these.
TEXT_ENDINGS = ("txt", "text", "caption")


#: Bytes of a sample's captions, of a tar's extended header (a name and some numbers), of a member.
LONGEST_TEXT = 1 << 24
LONGEST_HEADER = 1 << 20
LONGEST_MEMBER = 1 << 36
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class CheckedHeader(tarfile.TarInfo):
    """Refuses extended headers that tarfile would read into memory however long they are."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> CheckedHeader:
        """Read a header; numbers in it that are none, such as a sparse file's, are damage."""
        try:
            return super().fromtarfile(archive)
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            raise tarfile.ReadError(f"a header that makes no sense: {error}") from None

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> CheckedHeader:
        """Read a header, and refuse one of an extended kind that is too long."""
        header = super().frombuf(buf, encoding, errors)
        if header.type in _EXTENDED and header.size > LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        if header.size > LONGEST_MEMBER:
            raise tarfile.ReadError(f"a member of {header.size:,} bytes")
        return header


class TextSample(NamedTuple):
    """What a sample says: a text or JSON, and its image, or what that would be called."""

    image: str
    has_image: bool
    value: Any
    #: For error messages.
    where: str


def find_tars(name: str) -> list[str] | None:
    """The tars that a name stands for: braces expanded, then globs; None where it means no tars.

    That is one that ends like a tar and is a URL, has braces or is a glob pattern. Raises
    InputError for one that is not there, and where the package for braces is not installed.
    """
    if not name.lower().endswith(TAR_ENDINGS) or (not remote.is_url(name) and os.path.exists(name)):
        return None
    expanded = _expanded(name)
    if expanded == [name] and not remote.is_url(name) and not glob.has_magic(name):
        return None
    found: list[str] = []
    for pattern in expanded:
        if remote.is_url(pattern):
            found += remote.matches(pattern) if remote.is_glob(pattern) else [pattern]
        elif glob.has_magic(pattern):
            found += sorted(glob.glob(os.path.expanduser(pattern)), key=natural_key)
        else:
            found.append(pattern)
    for tar in found:
        if not remote.is_url(tar) and not os.path.isfile(os.path.expanduser(tar)):
            raise missing(Path(tar))
    if found and remote.is_url(found[0]):
        remote.check(found[0])  # a wrong place is told before the work; many would take long
    if not found:
        raise InputError(f"{name}: matches nothing")
    return found


def _expanded(name: str) -> list[str]:
    if "{" not in name:
        return [name]
    try:
        import braceexpand
    except ImportError:
        raise InputError(
            f"{name}: braces are expanded with a package that is not installed: "
            "pip install 'cmdmetric[webdataset]'"
        ) from None
    try:
        return list(braceexpand.braceexpand(name))
    except ValueError:  # its UnbalancedBracesError
        raise InputError(f"{name}: the braces do not close") from None


def read_texts(tars: Sequence[str]) -> Iterator[TextSample]:
    """What the samples of tars say.

    Raises:
        InputError: A sample has no caption, or cannot be read.
    """
    for tar, label in zip(tars, labels_of(tars), strict=True):
        sample: dict[str, Any] = {}
        key = None
        for archive, member in tar_members(tar):
            folder, _, base = member.name.rpartition("/")
            stem, _, ending = base.partition(".")
            if (folder, stem) != key:
                if key is not None:
                    yield from _texts(tar, label, key, sample)
                key, sample = (folder, stem), {}
            if os.path.splitext(f"x.{ending}")[1].lower() in IMAGE_ENDINGS:
                sample.setdefault("image", member.name)
            elif ending.lower() in (*TEXT_ENDINGS, "json"):
                if member.size > LONGEST_TEXT:
                    raise InputError(f"{tar}: {member.name} has {member.size:,} bytes: no caption")
                with damage_told(tar):
                    sample[ending.lower()] = content_of(archive, member)
        if key is not None:
            yield from _texts(tar, label, key, sample)


def _texts(
    tar: str, label: str, key: tuple[str, str], sample: dict[str, Any]
) -> Iterator[TextSample]:
    name = "/".join(filter(None, key))
    where = f"{tar}: the sample {name!r}"
    image = label + sample.get("image", name), "image" in sample
    try:
        for ending in TEXT_ENDINGS:
            if ending in sample:
                # Several captions of one image stand in lines.
                text = sample[ending].decode("utf-8-sig")
                for line in list(filter(str.strip, text.splitlines())) or [text]:
                    yield TextSample(*image, line, where)
                return
        if "json" in sample:
            yield TextSample(*image, json.loads(sample["json"]), where)
            return
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} cannot be read: {error}") from None
    raise InputError(
        f"{where} has no caption: neither .{', .'.join(TEXT_ENDINGS)} nor .json stands beside it"
    )


def tar_members(tar: str) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The regular files of a tar, one after the other.

    Raises:
        InputError: The tar is damaged.
    """
    with contextlib.ExitStack() as stack, damage_told(tar):
        if remote.is_url(tar):
            file = stack.enter_context(remote.open_stream(tar))
        else:
            file = stack.enter_context(open(os.path.expanduser(tar), "rb"))
        # Where the file can be sought in, no member's promised terabytes are looked for behind
        # its end block by block.
        mode: Literal["r|*", "r:*"] = "r|*" if remote.is_url(tar) else "r:*"
        archive = stack.enter_context(tarfile.open(fileobj=file, mode=mode, tarinfo=CheckedHeader))
        for member in archive:
            if member.isreg():
                yield archive, member


@contextlib.contextmanager
def damage_told(tar: str) -> Iterator[None]:
    """Whatever goes wrong while a tar is read is an InputError that names it."""
    try:
        yield
    except FileNotFoundError:
        raise missing(Path(tar)) from None
    except (OSError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{tar}: truncated, damaged or no tar: {error}") from None


def labels_of(tars: Sequence[str]) -> list[str]:
    """What goes before the names of members: they are unique in one tar, not in several."""
    if len(tars) == 1:
        return [""]
    bases = [tar.replace("\\", "/").rpartition("/")[2] for tar in tars]
    return [f"{label}/" for label in (bases if len(set(bases)) == len(bases) else tars)]


def content_at(tar: str, offset: int) -> bytes:
    """The bytes of the regular file whose header stands at an offset; the tar is read up to it."""
    for archive, member in tar_members(tar):
        if member.offset == offset:
            return content_of(archive, member)
    raise InputError(f"{tar}: has changed while it was read")


def content_of(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The bytes of a regular file in a tar."""
    file = archive.extractfile(member)
    assert file is not None, "only regular files are asked for"
    return file.read()
