"""Images decoded ahead of the network that waits for them and in their order.

Threads do that, or processes: of small images Python's own work is most, for which threads wait
for each other.

What decoders say beside a picture, libtiff on stderr and Pillow in warnings, names no image; here
it is collected and told with the names.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

import PIL
from PIL import Image

from cmdmetric.files import ahead, forked
from cmdmetric.inputs.image_set import ImageItem, describe_failure
from cmdmetric.terminal import shown

T = TypeVar("T")
#: The most messages of one image that are kept, and images that a summary names.
KEPT, NAMED = 100, 3
#: `said`: what was said of the image that this thread decodes; None where it decodes none.
_thread = threading.local()


class Failure(NamedTuple):
    """Why an image could not be decoded, in one line."""

    reason: str


def decoded(
    images: Iterable[ImageItem], prepare: Callable[[Image.Image], T], lookahead: int
) -> Iterator[tuple[str, T | Failure]]:
    """Name and prepared image of each item, in order; a Failure where it cannot be decoded."""
    results = prepared(enumerate(images), lambda _, item: prepare(item.load()), lookahead)
    return ((item.name, result) for _, item, result in results)


#: An image with its position.
Entry: TypeAlias = tuple[int, ImageItem]


def prepared(
    items: Iterable[Entry],
    prepare: Callable[[int, ImageItem], T],
    lookahead: int,
    source: str | None = None,
    *,
    processes: int = 0,
) -> Iterator[tuple[int, ImageItem, T | Failure]]:
    """Give each item and what is made of it, in order; a Failure where that raises anything.

    What decoders say beside is kept from the terminal. Where a source is named, one warning at the
    end tells of which of its images they complained.

    Args:
        items: Images with their positions.
        prepare: Runs in threads, which pays since Pillow releases the interpreter while it works.
        lookahead: The most results that wait for threads.
        source: What the images are called as a set.
        processes: So many forks of this process do it in place of threads, see `forked`.
    """
    complaints: dict[str, list[str]] = {}
    attempt = partial(_attempt, prepare)
    made = forked(items, attempt, processes) if processes else None
    if made is None:
        begun = ahead(items, attempt, os.cpu_count() or 1, lookahead)
        made = ((entry, future.result()) for entry, future in begun)
    for (position, item), (result, said) in made:
        if said:
            complaints[item.name] = said
        yield position, item, result
    if complaints and source is not None:
        warnings.warn(_summary(source, complaints), stacklevel=2)


def _attempt(prepare: Callable[[int, ImageItem], T], entry: Entry) -> tuple[T | Failure, list[str]]:
    """What is made of an image, and what its decoder said."""
    with _listening() as said:
        try:
            return prepare(*entry), said
        except Exception as error:  # a broken file makes Pillow's plugins raise almost anything
            beside = f" ({said[0]})" if said else ""
            return Failure(describe_failure(error) + beside), []


@contextlib.contextmanager
def _listening() -> Iterator[list[str]]:
    """Within it, what decoders say in this thread is collected, and goes nowhere else."""
    _take_from_libtiff()
    said: list[str] = []
    _thread.said = said
    try:
        yield said
    finally:
        _thread.said = None


def overheard(message: str) -> bool:
    """Take a decoder's message where this thread decodes an image; tell whether it does."""
    said = getattr(_thread, "said", None)
    if said is None:
        return False
    if len(said) < KEPT:
        said.append(" ".join(message.split()))
    return True


def _summary(source: str, complaints: dict[str, list[str]]) -> str:
    """Tell in a few lines of which images there were complaints, and what was said first of each.

    Args:
        source: The set of images.
        complaints: What was said, by the names of images that were decoded all the same.
    """
    number = sum(map(len, complaints.values()))
    lines = [
        f"{source}: decoders made {number} complaints about {len(complaints)} images, whose pixels "
        "may be damaged:",
        *(
            f"  {shown(name, 200)}: {shown(said[0], 200)}"
            f"{f' (and {len(said) - 1} more)' if said[1:] else ''}"
            for name, said in list(complaints.items())[:NAMED]
        ),
    ]
    if len(complaints) > NAMED:
        lines.append(f"  and {len(complaints) - NAMED} more")
    return "\n".join(lines)


_Handler = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
#: What C has been given must live as long as the process.
_handlers: list[object] = []


@cache
def _take_from_libtiff() -> None:
    """Let Pillow's libtiff call us in place of writing to stderr.

    Where it is not found, as where it is linked into Pillow, it goes on writing there.
    """
    if sys.platform == "win32":
        return
    package = Path(PIL.__file__).parent
    shipped = [*package.parent.glob("pillow.libs/libtiff*"), *package.glob(".dylibs/libtiff*")]
    library = str(shipped[0]) if shipped else "libtiff.so.6"
    with contextlib.suppress(OSError, AttributeError):
        vsnprintf = ctypes.CDLL(None).vsnprintf
        vsnprintf.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p]
        exchange = ctypes.CDLL(library).TIFFSetErrorHandler
        exchange.argtypes, exchange.restype = [_Handler], ctypes.c_void_p

        def handle(module: bytes | None, form: bytes, arguments: int) -> None:
            text = ctypes.create_string_buffer(500)
            vsnprintf(text, len(text), form, arguments)
            # Pillow calls every file that it decodes by one name.
            about = b"libtiff" if module in (None, b"tempfile.tif") else module
            message = b": ".join([about, text.value]).decode(errors="replace")
            if not overheard(message):
                print(shown(message), file=sys.stderr)

        _handlers.append(_Handler(handle))
        exchange(_handlers[-1])
