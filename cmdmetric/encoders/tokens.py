"""What a caption may cost before it is tokenised."""

from __future__ import annotations

import re

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
