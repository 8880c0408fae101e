"""Captions streamed through an encoder, but for those whose features are cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cmdmetric.cache import FeatureCache, Space, remembered
from cmdmetric.encoders import NOT_THERE, text_space
from cmdmetric.features.failures import NoWords
from cmdmetric.features.rows import FeatureRows, Features
from cmdmetric.features.stored_moments import recall_moments, remember_moments
from cmdmetric.inputs import Captions
from cmdmetric.metrics import Moments
from cmdmetric.progress import Tally, progress_bar, tally_of

if TYPE_CHECKING:
    from cmdmetric.encoders import Encoder, LazyEncoder

#: Captions are tokenised and sorted by length this many at a time.
TEXT_CHUNK = 4096
#: Keys that are looked up in the cache at once.
KEYS = 4096


@dataclass(frozen=True)
class EncodedTexts:
    """The moments and features of a caption set, and what became of its captions."""

    moments: Moments
    #: (n, d), of the captions numbered in `kept`: read when they are needed. None where another
    #: process has them.
    features: Features | NDArray[np.float32] | None
    #: The captions that were encoded: ascending positions in the set.
    kept: tuple[int, ...]
    #: Captions longer than the encoder's context: cut, with the end-of-text token kept.
    truncated: int
    #: How many of them had their features in the cache.
    cached: int = 0
    #: What the features are of; None where that is not known.
    identity: bytes | None = None


def encode_captions(
    captions: Captions,
    encoder: Encoder | LazyEncoder,
    *,
    progress: bool | Tally = False,
    cache: FeatureCache | None = None,
) -> EncodedTexts:
    """The moments of a caption set under the encoder's protocol.

    Captions that the cache knows are not encoded; others are put into it.

    Raises:
        NoWords: No caption has a word left.
    """
    kept, contents = [], []
    for i, text in enumerate(captions.texts):
        cleaned = encoder.protocol.clean(text)
        if cleaned.strip():
            kept.append(i)
            contents.append(cleaned.encode("utf-8", "surrogatepass"))
    if not kept:
        raise NoWords(captions.source)
    if encoder.checkpoint.tokeniser.endswith(NOT_THERE):
        encoder.build()  # it is downloaded with the network, and what is in it is known then
    provenance = encoder.provenance("text", captions.source)
    space = text_space(encoder.checkpoint, encoder.protocol, provenance.dtype)
    texts = [captions.texts[i] for i in kept]
    run = _CaptionRun(texts, contents, encoder, cache, space)
    moments = recall_moments(cache, run.identity, provenance)
    if moments is not None:
        counted = remembered(cache, "captions cut", [run.identity], run.count_cut)
        truncated = counted["truncated"]
        return EncodedTexts(
            moments, Features(run.complete), tuple(kept), truncated, len(kept), run.identity
        )
    with tally_of(f"captions {captions.source}", len(kept), "caption", wanted=progress) as bar:
        features = run.complete(bar)
    moments = Moments.from_features(features, provenance)
    remember_moments(cache, run.identity, moments)
    truncated = int(run.cut.sum())
    return EncodedTexts(moments, features, tuple(kept), truncated, run.cached, run.identity)


class _CaptionRun:
    """Captions on their way through an encoder."""

    def __init__(
        self,
        texts: Sequence[str],
        contents: Sequence[bytes],
        encoder: Encoder | LazyEncoder,
        cache: FeatureCache | None,
        space: Space,
    ) -> None:
        self._texts = texts
        self._encoder = encoder
        self._cache = cache
        self._space = space
        #: The captions as the protocol cleans them, by which the cache knows their features.
        self._contents = contents
        #: (n,) which are longer than the encoder's context.
        self.cut = np.zeros(len(texts), bool)
        self.cached = 0

    @cached_property
    def identity(self) -> bytes | None:
        """What the features are of, where there is a cache."""
        return None if self._cache is None else self._space.key(b"\0".join(self._contents))

    def count_cut(self) -> dict[str, int]:
        """How many are longer than the encoder's context."""
        self.complete()
        return {"truncated": int(self.cut.sum())}

    def complete(self, bar: Tally | None = None) -> NDArray[np.float32]:
        """All features: from the cache, or encoded."""
        bar = progress_bar("", None, "caption", wanted=False) if bar is None else bar
        with FeatureRows() as rows:
            left = self._fill(rows, bar)
            for start in range(0, len(left), TEXT_CHUNK):
                chunk = left[start : start + TEXT_CHUNK]
                network = self._encoder.build()
                tokens, self.cut[chunk] = network.tokenise([self._texts[i] for i in chunk])
                for batch, features in network.encode_tokens(tokens):
                    positions = chunk[batch]
                    rows.write(positions, features)
                    if self._cache is not None:
                        keys = [self._space.key(self._contents[i]) for i in positions]
                        self._cache.put_many(self._space, keys, features, self.cut[positions])
                    bar.update(len(batch))
            return rows.finish([])

    def _fill(self, rows: FeatureRows, bar: Tally) -> NDArray[np.intp]:
        """Take from the cache what it has; returns the positions of the rest."""
        if self._cache is None:
            return np.arange(len(self._texts))
        left = []
        for start in range(0, len(self._contents), KEYS):
            keys = [self._space.key(content) for content in self._contents[start : start + KEYS]]
            found, features, notes = self._cache.get_noted(keys)
            rows.write(start + found, features)
            self.cut[start + found] = notes
            left.append(start + np.delete(np.arange(len(keys)), found))
            self.cached += len(found)
            bar.update(len(found))
        return np.concatenate(left)
