"""What a caption may cost before it is tokenised, and whether its end is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

#: Tokens that a CLIP reads of a caption.
CONTEXT = 77
#: Bytes of the longest token in CLIP's vocabulary (emoji; of letters it is half as long).
_LONGEST_TOKEN = 32


def cut_words(text: str, context_length: int) -> str:
    """The text with every run without blanks cut to the bytes that can fill the context.

    CLIP's byte pair encoding takes time in the square of a word's length: hours for one of a
    megabyte. Tokens beyond the context are never encoded, so what is cut off is not missed.

    >>> len(cut_words("a " + "b" * 10_000, 77))
    2466
    """
    longest = context_length * _LONGEST_TOKEN
    if len(text) <= longest // 4:  # a character has up to four bytes
        return text

    def cut(run: re.Match[str]) -> str:
        return run[0].encode()[:longest].decode(errors="ignore")

    return re.sub(rf"\S{{{longest // 4},}}", cut, text)


def are_cut(tokenizer: Any, texts: Sequence[str], context_length: int) -> list[bool]:
    """Tell which captions open_clip's wrapper of a Hugging Face tokeniser cuts.

    Args:
        tokenizer: An `open_clip.tokenizer.HFTokenizer`, or another callable, of which nothing is
            known and no caption is told to be cut.
        texts: The captions as the wrapper gets them.
        context_length: How many tokens the network reads, those of start and end included.
    """
    inner = getattr(tokenizer, "tokenizer", None)
    if inner is None:
        return [False] * len(texts)
    cleaned = [tokenizer.clean_fn(text) for text in texts]
    # This mode puts its own three tokens around those of the text.
    clips = tokenizer.tokenizer_mode == "clips"
    ids = inner(
        cleaned, add_special_tokens=not clips, padding=False, truncation=False, verbose=False
    )["input_ids"]
    return [len(own) > context_length - 3 * clips for own in ids]
