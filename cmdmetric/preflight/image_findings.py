"""What is odd about a set of images, and about two of them beside one another."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from cmdmetric.preflight.facts import LOSSY, ImageFacts
from cmdmetric.preflight.finding import Finding, finding
from cmdmetric.protocol import Protocol
from cmdmetric.terminal import shown

#: Median blockiness beyond which images went through JPEG, and up to which they did not; of 21
#: photographs, resized: 0.997 (standard deviation 0.016), at JPEG quality 90 1.05 (0.027).
BLOCKY, SMOOTH = 1.03, 1.015
#: Fewer images do not tell.
ENOUGH = 8


def set_findings(
    subject: str,
    facts: Sequence[ImageFacts],
    failures: Sequence[tuple[str, str]],
    protocol: Protocol,
    image_size: int | None,
) -> Iterator[Finding]:
    """Of one set: the facts of its images, and those that cannot be decoded (name, reason).

    image_size is the side of what the encoder takes, None where that is not known.
    """
    convert = protocol.rgb == "convert"

    def those(test: Callable[[ImageFacts], bool]) -> list[str]:
        return [fact.name for fact in facts if test(fact)]

    if failures:
        named = [f"{name}: {reason}" for name, reason in failures]
        yield finding(
            "error", "unreadable", subject,
            f"{len(failures):,} of {len(facts) + len(failures):,} images: cannot be decoded; mend "
            "or remove them, or score with --on-error skip", named,
        )  # fmt: skip
    yield from _duplicates(subject, facts)
    if blank := those(lambda fact: fact.blank):
        message = f"{len(blank):,} of {len(facts):,} images: one colour and nothing else"
        yield finding("warning", "blank", subject, message, blank)
    yield from _sizes(subject, facts, image_size)
    if transparent := those(lambda fact: fact.transparent):
        done = "that is dropped, and what is under it shows" if convert else "put on white"
        message = f"{len(transparent):,} of {len(facts):,} images: transparent; {done}"
        yield finding("warning", "transparent", subject, message, transparent)
    if deep := those(lambda fact: fact.deep):
        clipped = convert and any(fact.deep and fact.mode[0] in "IF" for fact in facts)
        done = "grey ones are clipped to 8, mostly to white" if clipped else "8 are kept"
        message = f"{len(deep):,} of {len(facts):,} images: more than 8 bits a colour; {done}"
        yield finding("warning", "deep", subject, message, deep)
    if cmyk := those(lambda fact: fact.mode == "CMYK"):
        done = "without their colour profile" if convert else "by their colour profile"
        message = f"{len(cmyk):,} of {len(facts):,} images: CMYK, converted {done}"
        yield finding("warning", "cmyk", subject, message, cmyk)
    if palette := those(lambda fact: fact.mode in ("P", "PA")):
        message = f"{len(palette):,} of {len(facts):,} images: a palette of at most 256 colours"
        yield finding("note", "palette", subject, message, palette)
    grey = those(lambda fact: fact.mode in ("1", "L", "LA"))
    if grey and len(grey) < len(facts):
        message = f"{len(grey):,} of {len(facts):,} images: grey, where the rest are in colours"
        yield finding("note", "grey", subject, message, grey)


def _duplicates(subject: str, facts: Sequence[ImageFacts]) -> Iterator[Finding]:
    groups: dict[str, list[str]] = defaultdict(list)
    for fact in facts:
        groups[fact.digest].append(fact.name)
    again = [name for names in groups.values() for name in names[1:]]
    if not again:
        return
    first = max(groups.values(), key=len)
    advice = ": has the model collapsed?" if subject == "generated" else ""
    message = (
        f"{len(again):,} of {len(facts):,} images: the same as another pixel by pixel; "
        f"{shown(first[0])} is there {len(first):,} times{advice}"
    )
    yield finding("warning", "duplicates", subject, message, again)


def _sizes(subject: str, facts: Sequence[ImageFacts], image_size: int | None) -> Iterator[Finding]:
    sizes = Counter((fact.width, fact.height) for fact in facts)
    if not sizes:
        return
    (usual, count) = sizes.most_common(1)[0]
    others = [fact.name for fact in facts if (fact.width, fact.height) != usual]
    if others and count > len(facts) / 2:
        message = (
            f"{len(others):,} of {len(facts):,} images: not {usual[0]}x{usual[1]} as the others"
        )
        yield finding("warning", "size", subject, message, others)
    elif others:
        low = min(min(size) for size in sizes)
        high = max(max(size) for size in sizes)
        yield Finding("note", "size", subject,
                      f"{len(sizes):,} sizes, with sides from {low} to {high} pixels")  # fmt: skip
    if image_size is None:
        return
    small = [fact.name for fact in facts if min(fact.width, fact.height) < image_size]
    if small:
        message = (
            f"{len(small):,} of {len(facts):,} images: smaller than the {image_size} pixels of the "
            "encoder, hence enlarged"
        )
        yield finding("note", "small", subject, message, small)


def cross_findings(
    generated: Sequence[ImageFacts], real: Sequence[ImageFacts]
) -> Iterator[Finding]:
    """Of generated and real images together: copies, and compression on one side only."""
    known = {fact.digest for fact in real}
    copies = [fact.name for fact in generated if fact.digest in known]
    if copies:
        message = (
            f"{len(copies):,} of {len(generated):,} images: the same as a real one, pixel by pixel"
        )
        yield finding("warning", "copies", "generated", message, copies)
    yield from _compression(generated, real)


def _compression(generated: Sequence[ImageFacts], real: Sequence[ImageFacts]) -> Iterator[Finding]:
    sides = {"generated": generated, "real": real}
    forms = {side: Counter(f.form for f in facts if f.form) for side, facts in sides.items()}
    listed = "; ".join(
        f"{side}: {', '.join(f'{form} {count}' for form, count in counts.most_common())}"
        for side, counts in forms.items()
    )
    lossy = {
        side: sum(counts[form] for form in LOSSY) / total
        for side, counts in forms.items()
        if (total := sum(counts.values()))
    }
    if len(lossy) == 2 and abs(lossy["generated"] - lossy["real"]) > 0.5:
        one = max(lossy, key=lambda side: lossy[side])
        yield Finding(
            "warning", "formats", one,
            f"only the {one} images are in a format that loses something ({listed}): encoders see "
            "compression, so that part of the distance will be JPEG's; store both sides alike",
        )  # fmt: skip
    blocks = {
        side: median(values)
        for side, facts in sides.items()
        if len(values := [f.blockiness for f in facts if f.blockiness is not None]) >= ENOUGH
    }
    if len(blocks) == 2 and max(blocks.values()) > BLOCKY and min(blocks.values()) < SMOOTH:
        one, other = sorted(blocks, key=lambda side: -blocks[side])
        yield Finding(
            "warning", "jpeg", one,
            f"only the {one} images show the blocks of JPEG: steps across the borders of 8x8 "
            f"pixels are {blocks[one]:.2f} of those beside them, {blocks[other]:.2f} on the other "
            "side; the encoder may see that too",
        )  # fmt: skip
