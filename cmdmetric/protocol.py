"""A protocol: everything that is done to pixels and captions before and after the encoder."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from cmdmetric.errors import InputError
from cmdmetric.files import named_path

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Protocol:
    """How a score is made, as one value. It is stored with every set of moments.

    The defaults are those of `grgan`. A side is one of image or text.

    >>> Protocol(name="mine", image_scale=1.0).differences(GRGAN)
    {'image_scale': (1.0, 10.0)}
    """

    name: str
    #: "convert": Pillow's convert("RGB") and nothing else. "viewer": what an image viewer shows.
    rgb: Literal["convert", "viewer"] = "convert"
    #: "squash": both sides to the encoder's size, whatever the aspect.
    #: "crop": the shorter side to the encoder's size, then the centre.
    #: "square": the central square, then to the encoder's size.
    resize: Literal["squash", "crop", "square"] = "squash"
    #: Pillow's filter; both are antialiased when they shrink.
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    #: "none": pixels in [0, 1]. "encoder": the mean and std that the encoder was trained with.
    normalise: Literal["none", "encoder"] = "none"
    #: "words": lower case, runs of letters, digits and _ (\w+), ASCII only, joined by blanks.
    #: "as-written": untouched.
    captions: Literal["words", "as-written"] = "words"
    #: A feature is divided by its length, then multiplied by this.
    image_scale: float = 10.0
    text_scale: float = 1.0
    #: What stands before every caption, after these have been cleaned.
    prefix: str = ""

    def __post_init__(self) -> None:
        choices = {
            "rgb": ("convert", "viewer"),
            "resize": ("squash", "crop", "square"),
            "interpolation": ("bilinear", "bicubic"),
            "normalise": ("none", "encoder"),
            "captions": ("words", "as-written"),
        }
        for field, allowed in choices.items():
            if getattr(self, field) not in allowed:
                raise InputError(
                    f"protocol {self.name!r}: {field} is {getattr(self, field)!r}, "
                    f"it must be one of {', '.join(allowed)}"
                )
        for field in ("image_scale", "text_scale"):
            value = getattr(self, field)
            if (
                not isinstance(value, (int, float))
                or isinstance(value, bool)
                or not 0 < value < 1e6
            ):
                raise InputError(
                    f"protocol {self.name!r}: {field} is {value!r}, it must be a positive number"
                )
        if not isinstance(self.prefix, str):
            raise InputError(
                f"protocol {self.name!r}: prefix is {self.prefix!r}, it must be a text"
            )
        if not isinstance(self.name, str) or not re.fullmatch(r"[\w.+-]+", self.name):
            raise InputError(
                f"a protocol's name is letters, digits and . _ + - only, not {self.name!r}"
            )

    def differences(self, other: Protocol) -> dict[str, tuple[Any, Any]]:
        """The fields in which two protocols differ (the name is none of them), with both values."""
        return {
            field.name: (getattr(self, field.name), getattr(other, field.name))
            for field in dataclasses.fields(self)
            if field.name != "name" and getattr(self, field.name) != getattr(other, field.name)
        }

    def to_dict(self) -> dict[str, Any]:
        """Field by field, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Protocol:
        """The inverse of `to_dict`; fields left out have the values of `grgan`.

        Raises:
            InputError: A field is unknown, a value is wrong, or the name is missing.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise InputError(f"a protocol has no field {key!r}; it has {', '.join(known)}")
        if "name" not in values:
            raise InputError("a protocol needs a name")
        return cls(**values)

    def clean(self, caption: str) -> str:
        """The caption as the tokeniser gets it, with the prefix; may be empty.

        "words" is what the released evaluation did: NLTK's RegexpTokenizer(r"\\w+") on the lower
        case, then whatever is not ASCII dropped from each word. A caption without a word gets no
        prefix.
        """
        cleaned = self._cleaned(caption)
        return self.prefix + cleaned if self.prefix and cleaned.strip() else cleaned

    def _cleaned(self, caption: str) -> str:
        return caption if self.captions == "as-written" else _words(caption)


@lru_cache(1 << 16)  # prompts recur, of each image anew
def _words(caption: str) -> str:
    """The words of a caption as `Protocol.clean` says, one space between them."""
    lower = caption.lower()
    if caption.isascii():
        # Most captions are words and blanks alone, which takes a third of the time.
        plain = lower.rstrip(".")
        if plain.replace(" ", "").isalnum():
            return " ".join(plain.split())
        return " ".join(_WORD.findall(lower))
    words = _WORD.findall(lower)
    words = [word.encode("ascii", "ignore").decode("ascii") for word in words]
    return " ".join(word for word in words if word)


#: What the released evaluation of GR-GAN did, to the letter: published numbers need it.
GRGAN = Protocol(name="grgan")
#: CLIP's own preprocessing, captions as written, both sides at the same scale: for new work.
CLIP = Protocol(
    name="clip",
    rgb="viewer",
    resize="crop",
    interpolation="bicubic",
    normalise="encoder",
    captions="as-written",
    image_scale=1.0,
    text_scale=1.0,
)
#: As CLIPScore's authors ran CLIP (Hessel et al. 2021).
HESSEL = Protocol(
    name="hessel",
    resize="crop",
    interpolation="bicubic",
    normalise="encoder",
    captions="as-written",
    image_scale=1.0,
    prefix="A photo depicts ",
)
#: As CMMD's authors ran CLIP (Jayasumana et al. 2024).
CMMD = Protocol(
    name="cmmd",
    resize="square",
    interpolation="bicubic",
    normalise="encoder",
    captions="as-written",
    image_scale=1.0,
)


def get_protocol(which: Protocol | str | Path) -> Protocol:
    """A protocol by name ("grgan", "clip"), from a JSON file that states one, or itself."""
    if isinstance(which, Protocol):
        return which
    for protocol in (GRGAN, CLIP):
        if which == protocol.name:
            return protocol
    if not isinstance(which, (str, os.PathLike)):
        raise InputError(f"protocol is {which!r}: it is a cmdmetric.Protocol, a name, or a file")
    path = named_path(which)
    if not path.is_file():
        near = difflib.get_close_matches(str(which).lower(), [GRGAN.name, CLIP.name], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(
            f"no protocol {str(which)!r}: it is grgan, clip, or a JSON file with the fields of "
            f"cmdmetric.Protocol{hint}"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: a protocol is a JSON object, this is a {type(values).__name__}")
    try:
        return Protocol.from_dict(values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
