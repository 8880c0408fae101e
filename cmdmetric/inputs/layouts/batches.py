"""Captions that come along with images: in pairs, records, and the batches that loaders make."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cmdmetric.errors import InputError
from cmdmetric.inputs.layouts.columns import Columns, Row
from cmdmetric.inputs.layouts.values import texts


class Along:
    """The captions of images that are read one after the other; complete when all have been."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._found: list[tuple[list[str], Any, str]] = []

    def restart(self) -> None:
        """Forget what another pass through the images found."""
        self._found = []

    def add(self, names: list[str], element: Any, where: str) -> None:
        """Keep what an element says of its images.

        Args:
            names: The names of the images in the element, in order.
            element: What a list or loader held: an image, a pair, a record, or a batch of them.
            where: What the element is called in error messages.
        """
        if isinstance(element, Mapping):
            # Which column counts is asked when captions are: images alone need none.
            captions: Any = {key: own for key, own in element.items() if _are_captions(own)}
        else:
            rest = element[1:] if isinstance(element, (tuple, list)) else ()
            captions = next(filter(_are_captions, rest), None)
        if captions:
            self._found.append((names, captions, where))

    def rows(self) -> Iterator[Row]:
        """The captions of the images so far.

        Raises:
            InputError: The captions cannot be told apart by image, or may stand in two columns.
        """
        for names, captions, where in self._found:
            if isinstance(captions, Mapping):
                chosen = self._columns.of(captions).captions
                if not chosen:
                    continue
                captions = captions[chosen[0]]
            for name, own in zip(names, _by_image(captions, len(names), where), strict=True):
                yield from (Row(name, text, where) for text in own)


def _are_captions(value: Any) -> bool:
    """Whether it is a text, or lists of texts."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(map(_are_captions, value))
    return isinstance(value, str)


def _by_image(captions: Any, count: int, where: str) -> Sequence[list[Any]]:
    """For each image of an element its captions.

    torch's default collation turns n lists of k captions into k tuples of n.
    """
    if count == 1:
        return [list(texts(captions))]
    if isinstance(captions, (list, tuple)):
        if all(isinstance(own, tuple) and len(own) == count for own in captions):
            return [list(own) for own in zip(*captions, strict=True)]
        if len(captions) == count:
            return [list(texts(own)) for own in captions]
    found = len(captions) if isinstance(captions, (list, tuple)) else 1
    raise InputError(f"{where} holds {count} images and {found} captions")
