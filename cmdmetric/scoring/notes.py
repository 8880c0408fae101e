"""What a reader of a score must know of its sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cmdmetric.encoders import BUNDLED
from cmdmetric.features import Contents, digest_of_set, list_failures
from cmdmetric.inputs import LOSSY_ENDINGS, Pairing
from cmdmetric.metrics import Provenance
from cmdmetric.scoring.grouping import pairing_of
from cmdmetric.scoring.references import REFERENCES
from cmdmetric.scoring.side import Side
from cmdmetric.terminal import counted
from cmdmetric.uncertainty import TOO_GOOD, Uncertainty, is_collapsed

#: Images of so many times as many pixels, or of JPEG qualities so far apart, are told of.
_LARGER, _QUALITY = 1.5, 5
#: Scenes are drawn at 32 to 96 pixels, and may be somewhat larger. A tenth of their neighbouring
#: samples differ, of a photograph's half (in thousandths: 21 photographs of 64 to 512 pixels have
#: 310 to 720).
_SCENES, _TEXTURE = 128, 250


def notes_on(f: Side, r: Side, l: Side, made: Provenance | None) -> Iterator[str]:
    """Find what a reader of the score should be warned of."""
    yield from mixed_endings(f.names, r.names)
    yield from _same_images(f, r)
    yield from _other_looks(f, r)
    if made is not None and made.model in BUNDLED:
        yield from _photographs(made.model, f, r)
    for what, side in (("generated images", f), ("real images", r), ("captions", l)):
        moments = side.moments
        if moments.n is not None and moments.n <= moments.d:
            yield (
                f"{moments.n} {what} are too few for {moments.d} dimensions: their covariance is "
                "singular and the distances are biased upwards; compare only scores of the same "
                "number of samples"
            )
        if is_collapsed(moments):
            why = "is it one prompt?" if side is l else "has a model collapsed?"
            yield f"the {what} ({side.source}) all have the same features: {why}"
        if side.reference:
            reference = REFERENCES[side.reference]
            recorded = (reference.protocol, reference.model)
            if made and (made.protocol.name, made.model) != recorded:
                yield (
                    f"{side.reference} was made with protocol {recorded[0]} and {recorded[1]}, "
                    f"the rest with {made.protocol.name} and {made.model}: this is not a "
                    "published number's setting"
                )
        elif moments.provenance is None:
            yield (
                f"{side.source} does not record how it was made: that its protocol and encoder "
                "are the same as the rest's is taken on trust"
            )
    yield from left_out(f, r, l)


def notes_on_pairing(f: Side, l: Side, pairing: Pairing | None) -> Iterator[str]:
    """Tell of generated images that have no caption of theirs where captions name images.

    And of captions that stand beside other images, which have no names, in the cells of a file.
    """
    texts = l.texts
    if pairing is None:
        return
    of_others = texts is not None and texts.archive not in (None, f.source)
    if of_others and texts is not None and texts.places is not None and any(pairing.caption_of):
        yield (
            f"the images in {l.source} have no names: its captions are taken to be those of "
            f"{f.source}, in the same order"
        )
    if not pairing.unpaired_images:
        return
    without, n = len(pairing.unpaired_images), len(pairing.caption_of)
    if without == n:
        first = l.texts.image_names[0] if l.texts is not None else ""
        yield (
            f"no generated image has a name that the captions name, such as {first!r}: error bars "
            "take images and captions as drawn apart, and are too large or too small where they "
            "are not"
        )
    elif f.names is not None:
        yield (
            f"{without:,} of {n:,} generated images have no caption of their name, such as "
            f"{f.names[pairing.unpaired_images[0]]}"
        )


def notes_on_floor(bars: Uncertainty) -> Iterator[str]:
    """Tell of images that are nearer to the real ones than other real images would be.

    Their debiased values are withheld for that, with the reason that is told.
    """
    if bars.withheld is not None and any(words in bars.withheld for words in TOO_GOOD):
        yield (
            f"{bars.withheld}. Are some of them copies (--train), are both of the same scenes "
            "under other names, or was the generator trained or chosen by this encoder or these "
            "real images? Score with held-out ones (--image-model)"
        )


def what_is_lost(f: Side, r: Side, l: Side, pairing: Pairing | None) -> str | None:
    """What is lost that the debiased CMD follows from; None for nothing.

    What a finite sample adds follows from its features and from what was drawn together. Where
    either is lost, the same images would get another value. Nor is there anything to take off
    where a set is compared with itself.
    """
    if are_same(f, r):
        return "the generated and the real images are the same ones"
    for side in (f, r, l):
        if not side.has_features and side.reference is None:
            return (
                f"{side.source} holds moments alone, which do not tell what a finite sample adds "
                "(cmdmetric moments keeps features unless --no-features is given)"
            )
    if _names_no_image(l, pairing):
        if l.texts is not None and l.texts.places is not None:
            return (
                f"the captions are listed image by image, and {f.source} is no list in such an "
                "order: which images and captions were drawn together is lost"
            )
        return (
            "the captions name images, and no generated image is one of them by its name: which "
            "images and captions were drawn together is lost"
        )
    return None


def pairing_is_lost(images: Side, captions: Side) -> bool:
    """Whether the captions name images, and none of these is one of them."""
    return _names_no_image(captions, pairing_of(images, captions))


def _names_no_image(l: Side, pairing: Pairing | None) -> bool:
    named = l.texts is not None and bool(l.texts.image_names)
    return named and not (pairing and any(pairing.caption_of))


def _contents(f: Side, r: Side) -> tuple[Contents, Contents] | None:
    """The digests of both sides' images; None where those of one are not known."""
    if f.contents is None or r.contents is None or f.reference or r.reference:
        return None
    return f.contents, r.contents


def are_same(f: Side, r: Side) -> bool:
    """Whether both sides are one set of images, pixel by pixel, in any order."""
    known = _contents(f, r)
    if known is None or f.moments.n != r.moments.n:
        return False
    return digest_of_set(known[0]) == digest_of_set(known[1])


def _same_images(f: Side, r: Side) -> Iterator[str]:
    """Tell of generated images that are real ones, pixel by pixel."""
    if are_same(f, r):
        yield (
            f"the generated and the real images are the same ones ({f.source}, {r.source}): "
            "distances between them mean nothing"
        )
        return
    known = _contents(f, r)
    if known is None or (len(known[0]), len(known[1])) != (f.moments.n, r.moments.n):
        return
    generated, real = known[0], {row.tobytes() for row in known[1]}
    same = [i for i, row in enumerate(generated) if row.tobytes() in real]
    if same:
        first = f", such as {f.names[same[0]]}" if f.names is not None else ""
        yield (
            f"{len(same):,} of {len(generated):,} generated images are among the real ones, pixel "
            f"by pixel{first}: are photographs mixed in?"
        )


def _other_looks(f: Side, r: Side) -> Iterator[str]:
    """Tell of another size, or another JPEG quality, of the images of one side."""
    if f.looks is None or r.looks is None or not len(f.looks) or not len(r.looks):
        return
    middle = [np.median(looks, axis=0).tolist() for looks in (f.looks, r.looks)]
    (w, h, quality, _), (real_w, real_h, real_quality, _) = middle
    if max(w * h, real_w * real_h) > _LARGER * min(w * h, real_w * real_h):
        yield (
            f"generated images are of {w:.0f}x{h:.0f} pixels in the median, real ones of "
            f"{real_w:.0f}x{real_h:.0f}: encoders see how an image was resized, so that part of "
            "the distance will be that; resize the larger side first, antialiased"
        )
    if min(quality, real_quality) and abs(quality - real_quality) > _QUALITY:
        yield (
            f"generated images are JPEG of quality {quality:.0f} in the median, real ones of "
            f"{real_quality:.0f}: encoders see compression, so that part of the distance will be "
            "JPEG's; store both sides alike"
        )


def _photographs(model: str, *sides: Side) -> Iterator[str]:
    """Tell of images that the bundled encoder was not made for."""
    for side in sides:
        if side.looks is None or not len(side.looks):
            continue
        size = float(np.median(side.looks[:, :2].min(axis=1)))
        texture = float(np.median(side.looks[:, 3]))
        if size > _SCENES or texture > _TEXTURE:
            what = "are larger" if size > _SCENES else "have the texture of photographs or of noise"
            yield (
                f"{model} has seen nothing but drawn scenes of 32 to 96 pixels, and the images of "
                f"{side.source} {what}: of these its numbers mean nothing"
            )
            return


def left_out(*sides: Side) -> Iterator[str]:
    """What is missing in the moments of sides, in words."""
    skipped = [failure for side in sides for failure in side.skipped]
    if skipped:
        yield (
            f"{counted(len(skipped), 'image')} could not be decoded. Left out are:\n"
            + list_failures(skipped)
        )
    if truncated := sum(side.truncated for side in sides):
        yield (
            "captions that are longer than the encoder's context were cut (each keeps its "
            f"end-of-text token): {truncated:,}"
        )
    if empty := sum(side.empty for side in sides):
        yield f"captions that have no word in them are left out: {empty:,}"


def mixed_endings(generated: Sequence[str] | None, real: Sequence[str] | None) -> Iterator[str]:
    """What the names of files alone tell of compression on one side only; None stands for none."""
    shares = [
        sum(name.lower().endswith(LOSSY_ENDINGS) for name in names) / len(names)
        for names in (generated, real)
        if names and not names[0].startswith("#")
    ]
    if len(shares) == 2 and abs(shares[0] - shares[1]) > 0.5:
        one, other = ("generated", "real") if shares[0] > shares[1] else ("real", "generated")
        yield (
            f"most {one} images are JPEG or alike, most {other} ones are not: encoders see "
            "compression, so that part of the distance will be JPEG's; store both sides alike"
        )
