"""Captions from any form that users have them in."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from cmdmetric.errors import InputError
from cmdmetric.files import remote
from cmdmetric.inputs.caption_files import IMAGE_KEYS, TEXT_KEYS, parse_file
from cmdmetric.inputs.pairing import Pairing, pair
from cmdmetric.inputs.shards import Listing, Shard
from cmdmetric.inputs.tars import TAR_ENDINGS, TextSample, find_tars, read_texts

__all__ = ["Captions", "Pairing", "pair", "read_captions"]

_COCO_VAL2014 = re.compile(r"(?:.*/)?COCO_val2014_\d{12}(?:\.jpg)?")
_WORD = re.compile(r"\w+")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Captions:
    """Captions, and the images that they belong to.

    Args:
        texts: the captions as written; none is empty.
        images: for each text its image's file name, stem or id; None where that is unknown.
        source: how the user named them.
        folder: where the file is that they were read from; None if they were not.
        split: the split that was taken, where the source has splits.
        archive: what they were read from, where that holds their images too: tars.
    """

    texts: tuple[str, ...]
    images: tuple[str | None, ...]
    source: str = "captions"
    folder: Path | None = None
    split: str | None = None
    archive: str | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def is_empty(self) -> bool:
        """Whether there is none: a shard may have none."""
        return not self.texts

    @property
    def image_names(self) -> tuple[str, ...]:
        """The images that captions belong to: each once, in the order of first mention."""
        return tuple(dict.fromkeys(name for name in self.images if name is not None))

    @cached_property
    def readings(self) -> tuple[int, ...]:
        """A number for each caption, equal for those that read alike: have the same words in any
        case.

        Punctuation is no difference: some protocols drop it, and then features are the same too.
        """
        return tuple(_number(_words(text) or text) for text in self.texts)

    @cached_property
    def prompts(self) -> tuple[int, ...]:
        """A number for each caption, equal for those drawn together: the captions of an image, and
        of images whose captions read alike, in this file or another."""
        of_image: dict[str | int, list[int]] = {}
        for place, name in enumerate(self.images):
            of_image.setdefault(place if name is None else name, []).append(place)
        found = [0] * len(self)
        for places in of_image.values():
            if len(places) == 1:
                found[places[0]] = self.readings[places[0]]
                continue
            # Captions without a word are not encoded, and not there in what is stored.
            worded = [place for place in places if _WORD.search(self.texts[place])] or places
            readings = [self.readings[place] for place in worded]
            prompt = readings[0] if len(readings) == 1 else _number(repr(readings))
            for place in places:
                found[place] = prompt
        return tuple(found)

    def prompts_of(self, real: Captions) -> tuple[int, ...]:
        """`prompts`, those of real images where all captions of an image are of one of these.

        As where images are painted from one of a real image's five captions.
        """
        owners: dict[int, set[int]] = {}
        for reading, prompt in zip(real.readings, real.prompts, strict=True):
            owners.setdefault(reading, set()).add(prompt)
        known: dict[int, set[int]] = {}
        for reading, prompt in zip(self.readings, self.prompts, strict=True):
            of = owners.get(reading, set())
            known[prompt] = known[prompt] & of if prompt in known else of
        return tuple(
            next(iter(known[prompt])) if len(known[prompt]) == 1 else prompt
            for prompt in self.prompts
        )

    @property
    def is_coco_val2014(self) -> bool:
        """Whether every caption is one of an image of COCO val2014, by the image's name."""
        return None not in self.images and all(map(_COCO_VAL2014.fullmatch, self.image_names))

    def listing(self) -> Listing:
        """The captions and their images, in order."""
        pairs = zip(self.images, self.texts, strict=True)
        return Listing.of("captions", (f"{image or ''}\n{text}" for image, text in pairs))

    def shard(self, shard: Shard) -> Captions:
        """One share of them, which may be empty."""
        mine = shard.range(len(self))
        own = slice(mine.start, mine.stop)
        return replace(self, texts=self.texts[own], images=self.images[own])


def _words(text: str) -> str:
    """The words in lower case, one space between them."""
    plain = text.lower().rstrip(". ")
    if plain.replace(" ", "").isalnum():  # most captions, in half the time
        return " ".join(plain.split())
    return " ".join(_WORD.findall(text.lower()))


def _number(text: str) -> int:
    """A number of 63 bits that is the same on every machine."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class _Row(NamedTuple):
    """One caption before it is checked; `where` names it in error messages."""

    image: str | None
    text: Any
    where: str


def read_captions(source: Any, split: str | None = None) -> Captions:
    """Captions from a file or from Python values.

    Files are UTF-8 (with or without a byte order mark) or UTF-16/32 with one, at a path or a URL
    (s3://, gs://, hf://, https:// and what else fsspec knows):

    - `.json`: COCO annotations; `{file: caption or [captions]}`; a list of strings; a list of
      records with `file_name`, `filename`, `image`, `image_id` or `id` (optional) and `caption`,
      `text`, `sentence`, `raw`, `captions` or `sentences`; Karpathy's `{"images": [...]}`.
    - `.jsonl`, `.ndjson`: a string or record a line.
    - `.csv`, `.tsv`: a header with those names; or one column without a header.
    - Tars in WebDataset's layout (`shards-{000..009}.tar`): the `.txt` of each sample, a caption a
      line, else its `.json`.
    - `.txt`: one a line. Blank lines are skipped, here and in `.jsonl` and `.csv`.

    Values: whatever such JSON holds, or any iterable of strings or records.

    Where records state a `split`, one is taken: `split`, else the only one, else "test"; the
    result says which. `split="all"` takes every record.

    Raises InputError: no such file, undecodable or broken (with its place), no captions,
    captions that are no text, a split that is not there. Empty captions are an error too, not
    skipped: they cannot be encoded meaningfully, and dropping them would change the set that is
    scored without the user's knowledge.

    >>> read_captions({"cat.jpg": ["a cat", "a black cat"], "dog.jpg": "a dog"}).images
    ('cat.jpg', 'cat.jpg', 'dog.jpg')
    """
    if isinstance(source, Captions):
        return source
    folder = None
    if isinstance(source, (str, os.PathLike)):
        name = remote.local(os.fspath(source))
        if (tars := _tars(name)) is not None:
            return _of_tars(name, tars, split)
        folder = None if remote.is_url(name) else Path(name).expanduser().parent
        data = parse_file(name)
    elif isinstance(source, bytes) or not isinstance(source, Iterable):
        raise InputError(
            f"captions cannot be read from {type(source).__name__}: give a file, a list of "
            "strings, or a dictionary {file: caption}"
        )
    else:
        name = "captions"
        data = source if isinstance(source, Mapping) else list(source)
    try:
        rows, split = _rows(data, split)
        texts, images = _checked(rows)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except RecursionError:
        raise InputError(f"{name}: nested too deeply to be captions") from None
    return Captions(texts, images, name, folder, split)


def _tars(name: str) -> list[str] | None:
    """The tars that a name stands for, one alone included."""
    found = find_tars(name)
    alone = name.lower().endswith(TAR_ENDINGS) and os.path.isfile(os.path.expanduser(name))
    return [name] if found is None and alone else found


def _of_tars(name: str, tars: list[str], split: str | None) -> Captions:
    samples = list(read_texts(tars))
    rows = (_Row(s.image, text, s.where) for s in samples for text in _texts_of(s))
    _refuse_split(split)
    try:
        texts, images = _checked(rows)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    archive = name if all(sample.has_image for sample in samples) else None
    return Captions(texts, images, name, archive=archive)


def _texts_of(sample: TextSample) -> Iterator[Any]:
    value = sample.value
    key = _first(TEXT_KEYS, value) if isinstance(value, Mapping) else None
    return _texts(value if key is None else value[key])


def _rows(data: Any, split: str | None) -> tuple[Iterator[_Row], str | None]:
    """The captions of parsed values, and the split that they are of."""
    if isinstance(data, Mapping):
        annotations, images = data.get("annotations"), data.get("images")
        if _are_records(annotations):
            data = _with_file_names(annotations, images if _are_records(images) else [])
        elif _are_records(images):
            data = images
        else:
            _refuse_split(split)
            return _mapping_rows(data), None
    if not isinstance(data, list):
        raise InputError(f"captions are a list or an object, not {type(data).__name__}")
    splits = Counter(str(r["split"]) for r in data if isinstance(r, Mapping) and "split" in r)
    if not splits:
        _refuse_split(split)
        return _list_rows(data), None
    if split is None:
        split = next(iter(splits)) if len(splits) == 1 else "test"
    if split != "all" and split not in splits:
        there = ", ".join(f"{name} ({count})" for name, count in splits.items())
        raise InputError(f"no record is of the split {split!r}; there are {there}; or use 'all'")
    return _list_rows(data, None if split == "all" else split), split


def _are_records(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and all(isinstance(record, Mapping) for record in value)


def _refuse_split(split: str | None) -> None:
    if split not in (None, "all"):
        raise InputError(f"the split {split!r} was asked for, but no record states its split")


def _with_file_names(annotations: list[Any], images: list[Any]) -> list[dict[str, Any]]:
    """COCO's annotations, each with the file name of its image where that is listed."""
    files = {str(image.get("id")): image.get("file_name") for image in images}
    return [
        {"file_name": files.get(str(record.get("image_id"))), **record} for record in annotations
    ]


def _mapping_rows(data: Mapping[Any, Any]) -> Iterator[_Row]:
    for image, value in data.items():
        for text in _texts(value):
            yield _Row(_image_name(image, f"key {image!r}"), text, f"the caption of {image!r}")


def _list_rows(data: list[Any], split: str | None = None) -> Iterator[_Row]:
    for number, record in enumerate(data, start=1):
        if not isinstance(record, Mapping):
            yield _Row(None, record, f"caption {number}")
            continue
        if split is not None and str(record.get("split")) != split:
            continue
        where = f"record {number}"
        key = _first(TEXT_KEYS, record)
        if key is None:
            raise InputError(
                f"{where} has no caption under any of {', '.join(TEXT_KEYS)}; its keys are "
                f"{', '.join(map(str, record)) or 'none'}"
            )
        image_key = _first(IMAGE_KEYS, record)
        image = None if image_key is None else _image_name(record[image_key], where)
        for text in _texts(record[key]):
            yield _Row(image, text, where)


def _first(keys: Iterable[str], record: Mapping[str, Any]) -> str | None:
    return next((key for key in keys if record.get(key) is not None), None)


def _texts(value: Any) -> Iterator[Any]:
    """The captions in one record's field: a string, a record, or a list of either."""
    if isinstance(value, Mapping):
        key = _first(TEXT_KEYS, value)
        yield value if key is None else value[key]
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    else:
        yield value


def _image_name(value: Any, where: str) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, os.PathLike)):
        raise InputError(
            f"{where}: the image's name is {value!r}; it must be a string or a whole number"
        )
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value) or None


def _checked(rows: Iterable[_Row]) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    texts: list[str] = []
    images: list[str | None] = []
    empty: list[str] = []
    for image, text, where in rows:
        if not isinstance(text, str):
            shown = repr(text)
            shown = shown if len(shown) <= 60 else shown[:57] + "..."
            raise InputError(f"{where} is no text but {shown} ({type(text).__name__})")
        if not text.isascii() and _SURROGATE.search(text):
            raise InputError(f"{where} holds half of a surrogate pair, which is no character")
        if not text.strip():
            empty.append(where)
        texts.append(text)
        images.append(image)
    if empty:
        first = "; ".join(empty[:3]) + ("; ..." if len(empty) > 3 else "")
        raise InputError(
            f"{len(empty)} of {len(texts)} captions are empty ({first}); remove them, or give "
            "them their text"
        )
    if not texts:
        raise InputError("no captions in it")
    return tuple(texts), tuple(images)
