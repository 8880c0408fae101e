"""Captions from any form that users have them in."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

from cmdmetric.errors import InputError
from cmdmetric.files import named_path, remote
from cmdmetric.inputs.endings import TAR_ENDINGS
from cmdmetric.inputs.layouts.batches import Along
from cmdmetric.inputs.layouts.columns import Columns, Row
from cmdmetric.inputs.layouts.folders import folder_rows
from cmdmetric.inputs.layouts.tables import Table, as_table, is_table_file, open_table
from cmdmetric.inputs.layouts.text_files import NO_FILE, parse_file
from cmdmetric.inputs.layouts.values import record_rows, refuse_set, refuse_split, rows_of, texts
from cmdmetric.inputs.places import named, places_of
from cmdmetric.inputs.shards import Listing, Shard
from cmdmetric.inputs.tars import TextSample, find_tars, read_texts

_COCO_VAL2014 = re.compile(r"(?:.*/)?COCO_val2014_\d{12}(?:\.jpg)?")
_WORD = re.compile(r"\w+")
#: Captions whose words are kept, for those that recur.
_REMEMBERED = 1 << 16
_SURROGATE = re.compile("[\ud800-\udfff]")
#: Of the digest of a named set of prompts, as many as signatures have of others.
_DIGITS = 8


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
        fields: what else their records say, by name (category, source, tag), a value for each
            caption; None where a record does not say it.
        recipe: the named set of prompts that they are, or are a part of, with the first digits of
            the set's digest; None for others.
    """

    texts: tuple[str, ...]
    images: tuple[str | None, ...]
    source: str = "captions"
    folder: Path | None = None
    split: str | None = None
    archive: str | None = None
    fields: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, hash=False)
    recipe: str | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def is_empty(self) -> bool:
        """Whether there is none: a shard may have none."""
        return not self.texts

    @cached_property
    def image_names(self) -> tuple[str, ...]:
        """The images that captions belong to: each once, in the order of first mention."""
        return tuple(dict.fromkeys(name for name in self.images if name is not None))

    @cached_property
    def places(self) -> tuple[int, ...] | None:
        """For each caption the place of its image in a list; None where images have names."""
        return places_of(self.images) if self.image_names else tuple(range(len(self)))

    @cached_property
    def readings(self) -> tuple[int, ...]:
        """A number for each caption, equal for those that have the same words in any case.

        Punctuation is no difference: some protocols drop it, and then features are the same too.
        """
        return tuple(map(_reading, self.texts))

    @cached_property
    def prompts(self) -> tuple[int, ...]:
        """A number for each caption, equal for those that are drawn together.

        These are the captions of an image, and of images whose captions read alike, in this file or
        another.
        """
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

    @property
    def sha256(self) -> str:
        """The digest of images and texts, in their order, in hexadecimal digits."""
        return self.listing().digest

    def of(self, rows: Sequence[int]) -> Captions:
        """Those of these places alone, with their images and fields."""
        return replace(
            self,
            texts=tuple(self.texts[i] for i in rows),
            images=tuple(self.images[i] for i in rows),
            fields={name: tuple(own[i] for i in rows) for name, own in self.fields.items()},
        )

    @classmethod
    def joined(cls, parts: Sequence[Captions], source: str) -> Captions:
        """Several sets of captions as one; a field that a set does not have is None there."""
        names = dict.fromkeys(name for part in parts for name in part.fields)
        return cls(
            tuple(text for part in parts for text in part.texts),
            tuple(image for part in parts for image in part.images),
            source,
            fields={
                name: tuple(v for part in parts for v in part.fields.get(name, (None,) * len(part)))
                for name in names
            },
        )

    def listing(self) -> Listing:
        """The captions and their images, in order."""
        pairs = zip(self.images, self.texts, strict=True)
        return Listing.of("captions", (f"{image or ''}\n{text}" for image, text in pairs))

    def shard(self, shard: Shard) -> Captions:
        """One share of them, which may be empty."""
        return self.of(shard.range(len(self)))


def _words(text: str) -> str:
    """The words in lower case, one space between them."""
    plain = text.lower().rstrip(". ")
    if plain.replace(" ", "").isalnum():  # most captions, in half the time
        return " ".join(plain.split())
    return " ".join(_WORD.findall(text.lower()))


@lru_cache(_REMEMBERED)
def _reading(text: str) -> int:
    """As `Captions.readings` of a caption. Prompts recur, of each image anew."""
    return _number(_words(text) or text)


def _number(text: str) -> int:
    """A number of 63 bits that is the same on every machine."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def read_captions(
    source: Any,
    split: str | None = None,
    *,
    caption_column: str | None = None,
    image_column: str | None = None,
) -> Captions:
    """Captions from a file, a folder or Python values; docs/inputs.md shows each layout.

    Files are UTF-8 (with or without a byte order mark) or UTF-16/32 with one, at a path or a URL
    (s3://, gs://, hf://, https:// and what else fsspec knows):

    - `.json`: COCO annotations; `{file: caption or [captions]}`; `{caption: file}`; a list of
      strings, of lists of strings, or of records; `{id: record}`; Karpathy's `{"images": [...]}`.
    - `.jsonl`, `.ndjson`: a string or record a line.
    - `.csv`, `.tsv`: a header that names the captions, or one column without a header.
    - `.parquet`, `.arrow`: a table of records.
    - Tars in WebDataset's layout (`shards-{000..009}.tar`): the `.txt` of each sample, a caption a
      line, else its `.json`.
    - `.txt`: one a line. Blank lines are skipped, here and in `.jsonl` and `.csv`.
    - A folder of images in a layout that says what they show: see
      `cmdmetric.inputs.layouts.folders.folder_rows`; or one of Hugging Face's `save_to_disk`.

    Values: whatever such JSON holds, any iterable of strings, records or lists of captions, a
    DataFrame, an Arrow table or a Hugging Face Dataset.

    The captions of a record stand under `caption`, `text`, `prompt` or another of
    `cmdmetric.inputs.layouts.columns.TEXT_KEYS`, in any case; its image under one of `IMAGE_KEYS`.

    Args:
        source: The file, folder or value.
        split: Where records state a `split`, one is taken: this, else the only one, else "test";
            the result says which. "all" takes every record.
        caption_column: The column of the captions, where it is another or several might be it; of
            a mapping "keys" or "values".
        image_column: The column of the images' names.

    Raises:
        InputError: There is no such file, it is undecodable or broken (with its place), it has no
            captions, captions that are no text, or a split that is not there, or it can be read in
            two ways. Empty captions are an error too, not skipped: they cannot be encoded
            meaningfully, and dropping them would change the set that is scored without the user's
            knowledge.

    >>> read_captions({"cat.jpg": ["a cat", "a black cat"], "dog.jpg": "a dog"}).images
    ('cat.jpg', 'cat.jpg', 'dog.jpg')
    """
    if isinstance(source, Captions):
        return source
    columns = Columns(caption_column, image_column)
    if isinstance(source, (str, os.PathLike)):
        return _of_path(named(source), columns, split)
    if (table := as_table(source, split)) is not None:
        return _of_table(table, columns)
    if hasattr(source, "__getitem__") and not isinstance(source, (bytes, Iterable)):
        source = [source[i] for i in range(len(source))]  # a map-style Dataset
    refuse_set(source, "captions")
    if isinstance(source, bytes) or not isinstance(source, Iterable):
        raise InputError(
            f"captions cannot be read from {type(source).__name__}: give a file, a list of "
            "strings, or a dictionary {file: caption}"
        )
    data = source if isinstance(source, Mapping) else list(source)
    with _telling("captions"):
        return _of_value(data, "captions", None, columns, split)


def _of_path(name: str, columns: Columns, split: str | None) -> Captions:
    """The captions of a file, a folder or tars."""
    if (tars := _tars(name)) is not None:
        return _of_tars(name, tars, columns, split)
    if remote.is_url(name):
        with _telling(name):
            return _of_value(parse_file(name, columns), name, None, columns, split)
    path = named_path(name, NO_FILE)
    if is_table_file(path):
        captions = _of_table(open_table(path, split), columns)
        holds_images = captions.places is not None and bool(captions.image_names)
        return replace(captions, archive=name if holds_images else None, folder=path.parent)
    parse = partial(parse_file, columns=columns)
    if os.path.isdir(path) and (layout := folder_rows(path, columns, parse)) is not None:
        refuse_split(split)
        with _telling(name):
            # Images that a generator made are no real side.
            return _captions(layout.rows, name, None if layout.generated else path)
    with _telling(name):
        return _of_value(parse(name), name, path.parent, columns, split)


def _of_value(
    value: Any, name: str, folder: Path | None, columns: Columns, split: str | None
) -> Captions:
    """The captions of a value or of what a file holds, with the recipe that it says it follows.

    Raises:
        InputError: It holds no captions, or others than those of the recipe that it names.
    """
    rows, split = rows_of(value, columns, split)
    captions = _captions(rows, name, folder, split)
    info = value.get("info") if isinstance(value, Mapping) else None
    if not isinstance(info, Mapping) or not isinstance(info.get("recipe"), str):
        return captions
    recipe, digest = info["recipe"], captions.sha256
    if digest != info.get("sha256"):
        raise InputError(
            f"it says that it is {recipe!r}, and its captions are others: make it anew "
            '(cmdmetric prompts), or take "recipe" out of its "info"'
        )
    return replace(captions, recipe=f"{recipe}@{digest[:_DIGITS]}")


@contextlib.contextmanager
def _telling(name: str) -> Iterator[None]:
    """Whatever is wrong with captions is an InputError that names what they were read from."""
    try:
        yield
    except InputError as error:
        if str(error).startswith(name):  # it names the file already
            raise
        raise InputError(f"{name}: {error}") from None
    except RecursionError:
        raise InputError(f"{name}: nested too deeply to be captions") from None


def _of_table(table: Table, columns: Columns) -> Captions:
    """The captions of a table.

    Raises:
        InputError: No column holds captions.
    """
    with _telling(table.source):
        return _captions(rows_of(table.records(columns), columns, None)[0], table.source)


def _tars(name: str) -> list[str] | None:
    """The tars that a name stands for, one alone included."""
    found = find_tars(name)
    alone = name.lower().endswith(TAR_ENDINGS) and os.path.isfile(os.path.expanduser(name))
    return [name] if found is None and alone else found


def _of_tars(name: str, tars: list[str], columns: Columns, split: str | None) -> Captions:
    samples = list(read_texts(tars))
    refuse_split(split)
    with _telling(name):
        captions = _captions(_tar_rows(samples, columns), name)
    archive = name if all(sample.has_image for sample in samples) else None
    return replace(captions, archive=archive)


def _tar_rows(samples: Iterable[TextSample], columns: Columns) -> Iterator[Row]:
    """The captions of WebDataset's samples, whose images the tar names."""
    for sample in samples:
        if isinstance(sample.value, Mapping):
            rows = record_rows(sample.value, columns, sample.where)
            yield from (row._replace(image=sample.image) for row in rows)
        else:
            yield from (Row(sample.image, text, sample.where) for text in texts(sample.value))


class WithCaptions(Protocol):
    """Images that captions may come along with: an `ImageSet`, without what it takes to decode."""

    source: str
    along: Along | None


def captions_along(images: WithCaptions) -> Captions:
    """The captions that came along with images that have been read.

    Args:
        images: An `ImageSet`.

    Raises:
        InputError: None came along, or they are no text or empty.
    """
    with _telling(f"{images.source}: captions that come with its images"):
        return _captions(images.along.rows() if images.along else (), images.source)


def _captions(
    rows: Iterable[Row], name: str, folder: Path | None = None, split: str | None = None
) -> Captions:
    """Rows as captions.

    Raises:
        InputError: A caption is no text or empty, or there is none.
    """
    texts: list[str] = []
    images: list[str | None] = []
    fields: dict[str, list[Any]] = {}
    empty: list[str] = []
    kept: dict[str, str] = {}  # of equal texts and names one, however often a file repeats them
    for image, text, where, own in rows:
        if not isinstance(text, str):
            shown = repr(text)
            shown = shown if len(shown) <= 60 else shown[:57] + "..."
            raise InputError(f"{where} is no text but {shown} ({type(text).__name__})")
        if not text.isascii() and _SURROGATE.search(text):
            raise InputError(f"{where} holds half of a surrogate pair, which is no character")
        if not text.strip():
            empty.append(where)
        for key, value in own.items():
            column = fields.setdefault(key, [])
            column += [None] * (len(texts) - len(column)) + [value]
        texts.append(kept.setdefault(text, text))
        images.append(image if image is None else kept.setdefault(image, image))
    if empty:
        first = "; ".join(empty[:3]) + ("; ..." if len(empty) > 3 else "")
        raise InputError(
            f"{len(empty)} of {len(texts)} captions are empty ({first}); remove them, or give "
            "them their text"
        )
    if not texts:
        raise InputError("no captions in it")
    padded = {k: tuple(own + [None] * (len(texts) - len(own))) for k, own in fields.items()}
    return Captions(tuple(texts), tuple(images), name, folder, split, fields=padded)
