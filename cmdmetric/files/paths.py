"""File names: their natural order, and what to say when one does not exist."""

from __future__ import annotations

import difflib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from cmdmetric.errors import InputError, MissingError
from cmdmetric.terminal import shown

T = TypeVar("T")

_DIGITS = re.compile(r"([0-9]+)")
_ZEROS = str.maketrans("123456789", "000000000")

#: Bytes of a file or folder name, as usual file systems have it.
LONGEST_NAME = 255
#: The most links on the way to a file, as Linux has it.
MOST_LINKS = 40


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


def expanded(value: str | os.PathLike[str]) -> Path:
    """Give a path with "~" replaced by the folder that it stands for.

    Raises:
        InputError: It is no path, or there is no such user.
    """
    if value == "":  # of a variable that is not set: Python would take the current folder
        raise InputError("an empty path: is a variable of the shell not set?")
    try:
        return Path(value).expanduser()
    except ValueError as error:
        raise InputError(f"{_told(value)}: no path: {error}") from None
    except RuntimeError:
        raise InputError(f"{_told(value)}: no home folder is known for it") from None
    except TypeError:
        raise InputError(f"{_told(value)}: a path is text, not {type(value).__name__}") from None


def named_path(value: str | os.PathLike[str], advice: str = "") -> Path:
    """Give what a user names as a path that can be asked whether it is a file or a folder.

    Every path that comes from outside passes here: `Path.is_file` and its kin raise OSError where
    the system refuses to look. The advice ends the message of an error.

    Raises:
        InputError: It is no path, there is no such user, or the system refuses to look at it: a
            folder on the way is not yours to enter, or the name is too long.
    """
    path = expanded(value)
    try:
        os.stat(path)
    except OSError as error:
        # What is not there is for the caller to tell; a pattern is no name at all on Windows.
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL):
            raise InputError(f"{_told(value)}: {error.strerror}. {advice}".rstrip()) from None
        # Where a parent is missing the system says that first, and not that the name is too long.
        if any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
            reason = os.strerror(errno.ENAMETOOLONG)
            raise InputError(f"{_told(value)}: {reason}. {advice}".rstrip()) from None
    except ValueError as error:
        raise InputError(f"{_told(value)}: no path: {error}. {advice}".rstrip()) from None
    return path


def check_place(value: str | os.PathLike[str]) -> None:
    """Refuse a place where no file could be written, before the work rather than after it.

    Raises:
        InputError: It is a folder, in no folder that one may write to, or behind a link as
            `refuse_foreign_links` refuses them.
    """
    try:
        path = named_path(value)
    except InputError as error:
        raise InputError(f"cannot write {error}") from None
    refuse_foreign_links(path)
    folder = path.absolute().parent
    if not os.path.isdir(folder):
        raise InputError(f"cannot write {_told(value)}: {_told(folder)} is no folder")
    if path.is_dir():
        raise InputError(f"cannot write {_told(value)}: it is a folder")
    if not os.access(folder, os.W_OK):
        raise InputError(f"cannot write {_told(value)}: {_told(folder)} is not yours to write to")


def refuse_foreign_links(path: Path) -> None:
    """Refuse to write through a link that another user laid where anyone may lay one.

    In /tmp, say, it would lead to any file of the writer's. The rule is that of Linux
    (protected_symlinks in https://docs.kernel.org/admin-guide/sysctl/fs.html), which holds for
    those that follow a link, not for us, who replace what it leads to.

    Raises:
        InputError: Such a link is on the way.
    """
    if os.name != "posix":
        return
    waiting, left = [path.absolute()], MOST_LINKS
    while waiting and left:
        way = waiting.pop()
        for place in (*reversed(way.parents), way):
            if not os.path.islink(place):
                continue
            left, folder = left - 1, os.stat(place.parent)
            ours = os.lstat(place).st_uid in (os.getuid(), folder.st_uid)
            if folder.st_mode & stat.S_IWOTH and not ours:
                raise InputError(
                    f"cannot write {_told(path)}: {_told(place)} is a link that another user laid "
                    f"in a folder where anyone may, to {_told(os.readlink(place))}"
                )
            waiting.append(place.parent / os.readlink(place))


def _told(value: object) -> str:
    return shown(str(value), 300)


def missing(path: str | os.PathLike[str], advice: str = "") -> InputError:
    """The error for a path that does not exist, with the nearest names of where it should be."""
    path = Path(path)
    name = _told(path)
    parent = path.parent
    if not os.path.isdir(parent):
        while not os.path.isdir(parent) and parent != parent.parent:
            parent = parent.parent
        there = _told(parent.absolute())
        return MissingError(
            f"{name}: does not exist, only the folder {there} does. {advice}".rstrip()
        )
    try:
        near = difflib.get_close_matches(path.name, os.listdir(parent), n=3, cutoff=0.5)
    except OSError:
        near = []
    hint = f" Near it: {', '.join(map(shown, near))}." if near else ""
    return MissingError(f"{name}: does not exist.{hint} {advice}".rstrip())
