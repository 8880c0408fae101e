"""Moments of a set from those of its shards, or of several sets together."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from cmdmetric.errors import InputError
from cmdmetric.features import Contents, Looks, summed
from cmdmetric.files import natural_key, remote
from cmdmetric.inputs import Captions
from cmdmetric.metrics import Moments, refuse_differences
from cmdmetric.scoring.stored_sets import StoredSet

#: A message lists at most this many shards.
LISTED = 20

_Named = tuple[str, StoredSet]


def merge(paths: Sequence[str | os.PathLike[str]], *, allow_gaps: bool = False) -> StoredSet:
    """Put together the set that several files hold, equal to one pass over all of it to 1e-10.

    Features are kept where all files have them.

    Args:
        paths: The files; they may be URLs and patterns. Shards come in any order, and whole sets
            may be among them.
        allow_gaps: Whether shards that are missing are left out; the source of the result then
            says so.

    Raises:
        InputError: Shards are missing, occur twice, were cut differently, or are of a set that has
            changed in between; sets were made differently; or moments have no count.
    """
    parts = _ordered([(name, StoredSet.load(name)) for path in paths for name in _expanded(path)])
    source = "; ".join(_sources(parts, allow_gaps))
    filled = [(name, part) for name, part in parts if part.moments is not None]
    if not filled:
        raise InputError(f"{paths[0]}: no file holds any sample" if paths else "no file to merge")
    _check_same(filled)
    first = filled[0][1].moments
    assert first is not None
    provenance = first.provenance and dataclasses.replace(first.provenance, source=source)
    moments = Moments(first.d, provenance)
    for _, part in filled:
        assert part.moments is not None
        moments.merge(part.moments)
    sets = [part for _, part in filled]
    features = [part.features for part in sets if part.features is not None]
    whole = len(features) == len(sets)
    return StoredSet(
        moments,
        features=np.concatenate(features) if whole else None,
        names=_names(sets) if whole else None,
        captions=_captions(sets, source) if whole else None,
        skipped=tuple(failure for _, part in parts for failure in part.skipped),
        truncated=sum(part.truncated for _, part in parts),
        empty=sum(part.empty for _, part in parts),
        contents=_contents(sets),
        looks=_looks(sets),
    )


def _expanded(path: str | os.PathLike[str]) -> list[str]:
    """The files that a glob pattern matches: not every shell expands them, and none at URLs."""
    name = remote.local(os.fspath(path))
    if remote.is_url(name):
        found = remote.matches(name) if remote.is_glob(name) else [name]
    else:
        pattern = glob.has_magic(name) and not os.path.exists(name)
        found = sorted(glob.glob(name), key=natural_key) if pattern else [name]
    if not found:
        raise InputError(f"{name}: matches no file")
    return found


def _ordered(parts: list[_Named]) -> list[_Named]:
    """Shards of one set beside one another and in their order; else as given."""
    first: dict[object, int] = {}
    for position, (_, part) in enumerate(parts):
        first.setdefault(_set(part) or position, position)
    return [
        parts[i]
        for i in sorted(
            range(len(parts)), key=lambda i: (first[_set(parts[i][1]) or i], _index(parts[i][1]), i)
        )
    ]


def _set(part: StoredSet) -> object:
    return part.record and (part.record.listing, part.record.shard.count)


def _index(part: StoredSet) -> int:
    return part.record.shard.index if part.record else 0


def _source(name: str, part: StoredSet) -> str:
    made = part.moments and part.moments.provenance
    return made.source if made else name


def _sources(parts: list[_Named], allow_gaps: bool) -> Iterator[str]:
    """Tell what is merged, in words.

    Raises:
        InputError: A set is not there exactly once.
    """
    _check_same_cut(parts)
    for _, group in groupby(enumerate(parts), key=lambda item: _set(item[1][1]) or item[0]):
        own = [part for _, part in group]
        name, part = own[0]
        source = next((_source(*p) for p in own if p[1].moments is not None), name)
        if part.record is None:
            yield source
            continue
        count = part.record.shard.count
        found: dict[int, str] = {}
        for name, part in own:
            if (index := _index(part)) in found:
                raise InputError(
                    f"{found[index]} and {name} overlap: both are shard {index}/{count} of "
                    f"{source}; leave one of them out"
                )
            found[index] = name
        absent = [index for index in range(count) if index not in found]
        if absent and not allow_gaps:
            listed = ", ".join(f"{i}/{count}" for i in absent[:LISTED])
            more = f" and {len(absent) - LISTED} more" if len(absent) > LISTED else ""
            raise InputError(
                f"{len(absent)} of {count} shards of {source} are missing: {listed}{more}. Make "
                f"them (cmdmetric moments ... --shard {absent[0]}/{count}), or merge what is there "
                "with --allow-gaps (allow_gaps=True)"
            )
        yield source if not absent else f"{source} ({len(found)} of {count} shards)"


def _check_same_cut(parts: list[_Named]) -> None:
    """Shards of one source are of one listing and one count."""
    seen: dict[str, _Named] = {}
    for name, part in parts:
        if part.record is None or part.moments is None:
            continue
        other_name, other = seen.setdefault(_source(name, part), (name, part))
        ours, theirs = part.record, other.record
        assert theirs is not None
        if ours.listing == theirs.listing and ours.shard.count != theirs.shard.count:
            raise InputError(
                f"{other_name} is shard {theirs.shard} and {name} is shard {ours.shard} of the "
                "same set: shards of different cuts overlap; make all with one count"
            )
        if ours.listing != theirs.listing:
            raise InputError(
                f"{_source(name, part)} has changed between shards: it held {theirs.listing} for "
                f"{other_name} and {ours.listing} for {name} (number, digest of the names); make "
                "the shards of one state"
            )


def _check_same(parts: list[_Named]) -> None:
    """All were made in one way."""
    (first_name, first), *others = parts
    assert first.moments is not None
    for name, part in parts:
        assert part.moments is not None
        if part.n is None:
            raise InputError(
                f"{name} carries no count of its samples (`n`), without which moments cannot be "
                "merged; make it anew with cmdmetric moments"
            )
    for name, part in others:
        assert part.moments is not None
        if part.moments.d != first.moments.d:
            raise InputError(
                f"{first_name} has {first.moments.d} dimensions and {name} has {part.moments.d}: "
                "they are of different encoders"
            )
        ours, theirs = first.moments.provenance, part.moments.provenance
        if (ours is None) != (theirs is None):
            unknown = name if theirs is None else first_name
            raise InputError(
                f"{unknown} does not record how it was made, the others do: they cannot be merged"
            )
        if ours and theirs:
            refuse_differences(ours, theirs, (first_name, name))
            if ours.side != theirs.side:
                raise InputError(
                    f"{first_name} is of {ours.side} and {name} of {theirs.side} features"
                )


def _names(sets: list[StoredSet]) -> tuple[str, ...] | None:
    if any(part.names is None for part in sets):
        return None
    return tuple(name for part in sets for name in part.names or ())


def _contents(sets: list[StoredSet]) -> Contents | None:
    """Digests add up; of samples apart only where all files have them so."""
    found = [part.contents for part in sets if part.contents is not None]
    if len(found) < len(sets):
        return None
    apart = all(part.features is not None for part in sets)
    return np.concatenate(found if apart else [summed(x) for x in found])


def _looks(sets: list[StoredSet]) -> Looks | None:
    found = [part.looks for part in sets if part.looks is not None]
    return np.concatenate(found) if len(found) == len(sets) else None


def _captions(sets: list[StoredSet], source: str) -> Captions | None:
    captions = [part.captions for part in sets if part.captions is not None]
    if len(captions) < len(sets):
        return None
    return Captions.joined(captions, source)
