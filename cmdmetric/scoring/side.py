"""The three sides of a score, each in whatever form the user has it, as one type."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmdmetric.cache import FeatureCache
from cmdmetric.errors import InputError
from cmdmetric.features import (
    OnDemand,
    OnError,
    Workers,
    encode_captions,
    encode_images,
    list_failures,
    unread,
)
from cmdmetric.files import load, reading, remote
from cmdmetric.inputs import Captions, ImageSet, open_images, read_captions
from cmdmetric.metrics import Moments
from cmdmetric.scoring.references import COCO2014_VAL, REFERENCES, load_reference
from cmdmetric.scoring.set_files import StoredSet

if TYPE_CHECKING:
    from cmdmetric.encoders import Encoder
    from cmdmetric.features import LazyEncoder

#: What a user may name as images or captions: see `cmdmetric.inputs.images.open_images`,
#: `cmdmetric.inputs.captions.read_captions`, and `read_stored` for moments and features.
Source: TypeAlias = Any


@dataclass(frozen=True)
class Side:
    """One of the three sets: its moments and what a report says about it."""

    moments: Moments
    #: What it is, for people: a path, a registered name.
    source: str
    #: The name of a registered reference, which then stands in the signature.
    reference: str | None = None
    #: (n, d), what the moments were made of, as an array or as a function that gives it when it is
    #: asked for; None where only moments were given.
    features: OnDemand = OnDemand()  # noqa: RUF009  # a descriptor
    #: Image files, in order; None where only moments or features were given.
    names: tuple[str, ...] | None = None
    #: The images themselves, to be looked at again; None likewise.
    images: ImageSet | None = None
    #: The captions that the features are of, and the positions of these among them.
    texts: Captions | None = None
    kept: tuple[int, ...] = ()
    #: Images that could not be decoded (name, reason), with on_error="skip".
    skipped: tuple[tuple[str, str], ...] = ()
    #: Captions that were cut at the encoder's context length.
    truncated: int = 0
    #: Captions without any word that were left out when it was stored.
    empty_before: int = 0
    #: What the features are of, where they came by way of the feature cache.
    identity: bytes | None = None

    @property
    def has_features(self) -> bool:
        """Whether `features` is not None, without reading them."""
        return unread(self) is not None

    @property
    def empty(self) -> int:
        """Captions without any word, left out."""
        return self.empty_before + (len(self.texts) - len(self.kept) if self.texts else 0)

    @property
    def label(self) -> str:
        """Its place in the signature: the reference's name or the number of samples."""
        return self.reference or ("?" if self.moments.n is None else str(self.moments.n))


def open_image_side(source: Source) -> Side | ImageSet:
    """A set of images as the user has it, looked up but not yet encoded."""
    return read_stored(source, "image") or open_images(source)


def open_text_side(source: Source) -> Side | Captions:
    """A set of captions as the user has it, read but not yet encoded."""
    return read_stored(source, "text") or read_captions(source)


@dataclass(frozen=True)
class Encoding:
    """What it takes to turn images or captions into moments; in `with`, where it has a cache."""

    encoder: Encoder | LazyEncoder
    on_error: OnError = "raise"
    progress: bool = False
    cache: FeatureCache | None = None
    #: The processes that share the encoding.
    workers: Workers | None = None
    #: By what was encoded: how many features were in the cache, and how many there are.
    _counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def side(self, opened: Side | ImageSet | Captions) -> Side:
        """The side of what was opened. Raises InputError as the functions it calls do."""
        if isinstance(opened, Side):
            return opened
        if self.workers is None:
            return self._encode(opened)
        from cmdmetric.features import shared_side

        kind = "text" if isinstance(opened, Captions) else "image"
        provenance = self.encoder.provenance(kind, opened.source)
        batch_size = self.encoder.batch_size
        return shared_side(
            opened, self._encode, self.workers, provenance, batch_size, self.on_error
        )

    def _encode(self, opened: ImageSet | Captions) -> Side:
        if isinstance(opened, Captions):
            texts = encode_captions(opened, self.encoder, progress=self.progress, cache=self.cache)
            self._count("captions", texts.cached, len(texts.kept))
            return Side(
                texts.moments,
                opened.source,
                features=unread(texts),
                identity=texts.identity,
                texts=opened,
                kept=texts.kept,
                truncated=texts.truncated,
            )
        images = encode_images(
            opened,
            self.encoder,
            on_error=self.on_error,
            progress=self.progress,
            cache=self.cache,
        )
        self._count("images", images.cached, len(images.names))
        return Side(
            images.moments,
            opened.source,
            features=unread(images),
            identity=images.identity,
            names=images.names,
            images=opened,
            skipped=images.skipped,
        )

    def _count(self, what: str, cached: int, total: int) -> None:
        before = self._counts.get(what, (0, 0))
        self._counts[what] = (before[0] + cached, before[1] + total)

    def __enter__(self) -> Encoding:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Store what the cache has not stored yet, and tell what came from it.

        Of several processes only the first goes on from here; the others raise Finished.
        """
        if self.cache is not None:
            self.cache.close()
        if self.workers is not None:
            self.workers.end(error)
        if self.progress and any(cached for cached, _ in self._counts.values()):
            found = " and ".join(
                f"{cached} of {total} {what}" for what, (cached, total) in self._counts.items()
            )
            print(f"from the cache: {found}", file=sys.stderr)


def read_stored(source: Source, side: Literal["image", "text"]) -> Side | None:
    """The side of what needs no encoder, or None for images and captions.

    That is: Moments, an .npz of moments (`mu`, `sigma`), features as a float array (n, d), as
    .npy, or as .npz under the key `features`, or the name of a reference. Features are taken as
    they are: scaled as the protocol says. Raises InputError for a damaged file.
    """
    if isinstance(source, Moments):
        return Side(source, "moments in memory")
    if isinstance(source, np.ndarray):
        if source.ndim == 2 and source.dtype.kind == "f":
            return Side(Moments.from_features(source), "features in memory", features=source)
        return None
    if not isinstance(source, (str, os.PathLike)):
        return None
    name = remote.local(os.fspath(source))
    if name in REFERENCES and not Path(name).exists():
        return Side(load_reference(name, side), name, reference=name)
    if Path(name).suffix.lower() not in (".npz", ".npy"):
        return None
    if not remote.is_url(name) and not Path(name).is_file():
        return None
    stored = _read_numpy(name)
    made = stored and stored.moments.provenance
    if made and made.side != side:
        raise InputError(
            f"{name} holds moments of {made.side} features where {side} features belong: "
            "are two arguments swapped?"
        )
    return stored


def _read_numpy(path: str) -> Side | None:
    """Moments or features of a numpy file; None where it holds something else (images)."""
    with reading(path, "numpy file"):
        loaded = load(path)
        if isinstance(loaded, np.ndarray):
            if loaded.ndim != 2 or loaded.dtype.kind != "f":
                return None
            return Side(Moments.from_features(loaded), path, features=loaded)
        with loaded:
            if not {"mu", "sigma", "shard"} & set(loaded) and not _has_features(loaded):
                return None
            stored = StoredSet.of_arrays(loaded, path)
    if stored.record is not None and stored.record.shard.count > 1:
        shard = stored.record.shard
        raise InputError(
            f"{path} is shard {shard} of a set and no set of its own: put all {shard.count} "
            "together first (cmdmetric merge)"
        )
    if stored.moments is None:
        raise InputError(f"{path} holds no sample")
    return Side(
        stored.moments,
        path,
        features=stored.features,
        names=stored.names,
        texts=stored.captions,
        kept=tuple(range(len(stored.captions))) if stored.captions else (),
        skipped=stored.skipped,
        truncated=stored.truncated,
        empty_before=stored.empty,
    )


def _has_features(arrays: Mapping[str, NDArray[Any]]) -> bool:
    features = arrays.get("features")
    return features is not None and features.ndim == 2 and features.dtype.kind == "f"


def left_out(*sides: Side) -> Iterator[str]:
    """What is missing in the moments of sides, in words."""
    skipped = [failure for side in sides for failure in side.skipped]
    if skipped:
        yield f"{len(skipped)} images could not be decoded and are left out:\n" + list_failures(
            skipped
        )
    if truncated := sum(side.truncated for side in sides):
        yield (
            f"{truncated} captions are longer than the encoder's context and were cut "
            "(each keeps its end-of-text token)"
        )
    if empty := sum(side.empty for side in sides):
        yield f"{empty} captions have no word in them and are left out"


def find_real(captions: Side | Captions, generated: Side | ImageSet) -> Side | ImageSet:
    """The real side where none is named: what the captions lead to.

    That is the images that the captions name, where they lie beside the captions' file or in the
    same tars; else
    the `coco2014-val` reference where the captions are MS-COCO's val2014, or its own. Raises
    InputError where there is neither.
    """
    advice = (
        "Name the real side: --real PATH (a folder, an archive, a moments .npz) or --real "
        f"{COCO2014_VAL.name} (in Python: real=...)"
    )
    if isinstance(captions, Side):
        if captions.reference:
            return open_image_side(captions.reference)
        raise InputError(f"{captions.source} leads to no real images. {advice}")
    if captions.archive and captions.archive != generated.source:
        return open_images(captions.archive)
    beside = _images_beside(captions)
    if beside and not _are_generated(beside, generated):
        images = open_images(beside)
        images.source = f"the images that {captions.source} names"
        return images
    if captions.is_coco_val2014:
        return open_image_side(COCO2014_VAL.name)
    if beside:
        raise InputError(
            f"the images that {captions.source} names are the generated ones themselves. {advice}"
        )
    named = len(captions.image_names)
    reason = f"names {named} images, but none lies beside it" if named else "names no images"
    raise InputError(f"no real side: {captions.source} {reason}. {advice}")


def _images_beside(captions: Captions) -> list[Path]:
    if captions.folder is None:
        return []
    paths = (captions.folder / name for name in captions.image_names)
    return [path for path in paths if path.is_file()]


def _are_generated(paths: list[Path], generated: Side | ImageSet) -> bool:
    """Whether all of them lie in the generated folder: captions may be kept beside the images."""
    folder = Path(generated.source).resolve()
    return all(folder in path.resolve().parents for path in paths)
