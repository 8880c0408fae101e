"""What is odd about captions, and about how they belong to images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from cmdmetric.encoders import CONTEXT
from cmdmetric.inputs import Captions, pair, pair_by_text
from cmdmetric.preflight.finding import Finding, finding
from cmdmetric.protocol import Protocol

#: A character that every protocol leaves in a caption.
_WORDS = re.compile(r"[A-Za-z0-9]")
#: For each text whether it is longer than the encoder's context.
Lengths = Callable[[Sequence[str]], Sequence[bool]]


def caption_findings(
    captions: Captions, protocol: Protocol, too_long: Lengths, context: int = CONTEXT
) -> Iterator[Finding]:
    """Of captions alone. too_long takes texts that the protocol has not cleaned yet."""
    texts = captions.texts
    rest = (text for text in texts if not _WORDS.search(text))
    if wordless := [shorten(text) for text in rest if not protocol.clean(text).strip()]:
        message = (
            f"{len(wordless):,} of {len(texts):,} captions: no word in them under the protocol "
            f"{protocol.name}, hence left out"
        )
        yield finding("warning", "wordless", "captions", message, wordless)
    if cut := [shorten(text) for text, long in zip(texts, too_long(texts), strict=True) if long]:
        message = (
            f"{len(cut):,} of {len(texts):,} captions: more than the {context} tokens that the "
            "encoder reads, hence cut; what their end says does not count"
        )
        yield finding("warning", "long", "captions", message, cut)
    counts = Counter(zip(captions.images, texts, strict=True))
    if again := [shorten(text) for (_, text), count in counts.items() if count > 1]:
        of = " for one image" if captions.image_names else ""
        message = f"{len(again):,} of {len(counts):,} captions: there more than once{of}"
        yield finding("note", "repeated", "captions", message, again)


def pairing_findings(names: Sequence[str], captions: Captions) -> Iterator[Finding]:
    """Of captions and generated images by their names."""
    pairing = pair(names, captions.images)
    if not captions.image_names:
        pairing = pair_by_text(names, captions.texts)
    if not captions.image_names and not any(pairing.caption_of):
        yield Finding("note", "pairing", "captions", "the captions name no images: error bars "
                      "take images and captions as drawn apart")  # fmt: skip
        return
    without = [names[i] for i in pairing.unpaired_images]
    if len(without) == len(names):
        first = captions.image_names[0]
        yield finding(
            "warning", "pairing", "generated", "no image has a name that the captions name, such "
            f"as {first!r}: images and captions are taken as drawn apart", without,
        )  # fmt: skip
        return
    if without:
        message = f"{len(without):,} of {len(names):,} images: no caption"
        yield finding("warning", "pairing", "generated", message, without)
    left = {captions.images[i] for i in pairing.unpaired_captions}
    missing = [name for name in captions.image_names if name in left]
    if missing:
        yield finding(
            "note" if captions.is_coco_val2014 else "warning", "pairing", "captions",
            f"{len(missing):,} of {len(captions.image_names):,} captioned images: not generated; "
            "their captions count all the same", missing,
        )  # fmt: skip


def shorten(text: str, width: int = 60) -> str:
    """Put a text on one line, cut to a width."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"
