"""How images and captions are encoded, as the keywords that `cmd` and the functions beside it take.

A signature names them as `**options: Unpack[EncodingOptions]`, which type checkers and editors read
as so many keywords of their own.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import torch

    from cmdmetric.encoders import Dtype, Encoder
    from cmdmetric.features import OnError
    from cmdmetric.protocol import Protocol


class EncoderOptions(TypedDict, total=False):
    """Which encoder looks at images and captions, under which protocol."""

    #: An open_clip name, NAME/TAG, the folder of a model, or a bundled encoder such as
    #: "scenes-toy"; by default ViT-B-32/openai.
    model: str | Path | None
    #: The file of its weights; by default it is looked for in caches and then downloaded, which is
    #: announced.
    weights: str | Path | None
    #: A `cmdmetric.Protocol`, "grgan" (the default: to compare with published numbers), "clip" (for
    #: anything else), or a JSON file.
    protocol: Protocol | str | Path
    #: Such as "cpu", "cuda:1" or "mps"; by default a GPU where there is one.
    device: str | torch.device | None
    #: An encoder that is already there, which takes the place of the four above.
    encoder: Encoder | None


class EncodingOptions(EncoderOptions, total=False):
    """Which encoder looks at images and captions, where they stand, and how they are passed on."""

    #: Images and captions that the network takes at once, by default 32; it changes the speed only.
    batch_size: int
    #: The network's arithmetic, "fp32" (the default) or "bf16".
    dtype: Dtype
    #: The column of the captions in records and tables, where it has another name than
    #: `cmdmetric.inputs.layouts.columns.TEXT_KEYS` lists, or several might be it; of a mapping
    #: "keys" or "values".
    caption_column: str | None
    #: The column of the images, or of their names.
    image_column: str | None
    #: "raise" (the default) refuses sets with images that cannot be decoded, "skip" leaves these
    #: images out.
    on_error: OnError
    #: Whether progress is told on stderr: bars in a terminal or a notebook, lines elsewhere. By
    #: default it is where a person looks.
    progress: bool | None
    #: Whether features of files and captions are looked up in the feature cache and kept there (the
    #: default), or the folder of another cache (docs/caching.md).
    cache: bool | str | Path


#: What holds where an option is not given.
DEFAULTS: EncodingOptions = {
    "model": None,
    "weights": None,
    "protocol": "grgan",
    "device": None,
    "encoder": None,
    "batch_size": 32,
    "dtype": "fp32",
    "caption_column": None,
    "image_column": None,
    "on_error": "raise",
    "progress": None,
    "cache": True,
}


def refuse_unknown(options: Collection[str], known: Collection[str]) -> None:
    """Refuse keywords that are no options, as Python itself would if each stood in the signature.

    Raises:
        TypeError: An option is none of those that are known; the message has the nearest one.
    """
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}"
            raise TypeError(f"unexpected keyword argument {name!r}; {hint}")
