"""The entries of references.bib, by their keys."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files

from cmdmetric.version import __version__

#: Where an entry begins, with its key.
_ENTRY = re.compile(r"^@\w+\{([^,\s]+),$", re.M)


@functools.cache
def entries() -> Mapping[str, str]:
    """Every entry as BibTeX, by its key, in the order of the file."""
    text = files("cmdmetric.citations").joinpath("references.bib").read_text(encoding="ascii")
    starts = list(_ENTRY.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return {
        start[1]: text[start.start() : end].strip().replace("@VERSION@", __version__)
        for start, end in zip(starts, ends, strict=True)
    }


def bibtex(keys: Iterable[str]) -> str:
    """The entries of these keys as one text, in the order of the file.

    Raises:
        KeyError: There is no entry of such a key.
    """
    wanted, known = set(keys), entries()
    if absent := wanted - known.keys():
        raise KeyError(f"references.bib has no entry {min(absent)!r}")
    return "\n\n".join(entry for key, entry in known.items() if key in wanted) + "\n"
