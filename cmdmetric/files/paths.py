"""File names: their natural order, and what to say when one does not exist."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from cmdmetric.errors import InputError, MissingError
from cmdmetric.terminal import shown

T = TypeVar("T")

_DIGITS = re.compile(r"([0-9]+)")
_ZEROS = str.maketrans("123456789", "000000000")


def natural_key(name: str) -> tuple[Any, ...]:
    """Sort key in which img2 comes before img10; a total order, so that sorting is stable.

    >>> sorted(["img10.png", "img2.png", "img1.png"], key=natural_key)
    ['img1.png', 'img2.png', 'img10.png']
    """
    parts: list[Any] = _DIGITS.split(name)
    # Digits are compared by their count, then as text: no limit on how many there may be.
    numbers = [digits.lstrip("0") for digits in parts[1::2]]
    parts[1::2] = [(len(digits), digits) for digits in numbers]
    return (tuple(parts), name)


def natural_sorted(items: Iterable[T], name: Callable[[T], str] = str) -> list[T]:
    """Items by the natural order of their names.

    >>> natural_sorted(["img10.png", "img2.png", "img1.png"])
    ['img1.png', 'img2.png', 'img10.png']
    """
    items = list(items)
    if len({name(item).translate(_ZEROS) for item in items}) <= 1:
        return sorted(items, key=name)  # numbers of one width: the same order, at a tenth the time
    return sorted(items, key=lambda item: natural_key(name(item)))


def missing(path: str | os.PathLike[str], advice: str = "") -> InputError:
    """The error for a path that does not exist, with the nearest names of where it should be."""
    path = Path(path)
    name = shown(str(path), 300)
    parent = path.parent
    if not os.path.isdir(parent):
        while not os.path.isdir(parent) and parent != parent.parent:
            parent = parent.parent
        there = shown(str(parent), 300)
        return MissingError(f"{name}: does not exist, of that path only {there}. {advice}".rstrip())
    try:
        near = difflib.get_close_matches(path.name, os.listdir(parent), n=3, cutoff=0.5)
    except OSError:
        near = []
    hint = f" Near it: {', '.join(map(shown, near))}." if near else ""
    return MissingError(f"{name}: does not exist.{hint} {advice}".rstrip())
