"""Captions to token arrays: cleaning, CLIP's byte pairs, word counts and the padding mask.

As in the released code a caption is lower-cased and reduced to its ASCII words, and `lengths`
counts words, not byte pairs: the word-region loss (Eq. 9) reads the first `lengths` slots.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from cmdmetric.encoders import cut_words
from grgan_ref.errors import GrganError

PAD = 0  # CLIP's padding token; cleaned captions cannot contain "!", which has the same number


@dataclass(frozen=True)
class Tokens:
    """B captions as the text encoder and the losses read them.

    Attributes:
        tokens: (B, context_length) int64, start of text, byte pairs, end of text, padding.
        lengths: (B,) int64, the number of words, at most L. They stay on the CPU, where what needs
            them needs them: packing for an LSTM, and the choice of the words that a loss reads.
        mask: (B, L) bool, True where word slot i holds padding. Slot i is token i + 1: the start
            of text is no word, the end of text is one (the tower is causal: it has seen all).
    """

    tokens: Tensor
    lengths: Tensor
    mask: Tensor

    def to(self, device: torch.device) -> Tokens:
        """Copy tokens and mask to a device."""
        tokens, mask = (x.to(device, non_blocking=True) for x in (self.tokens, self.mask))
        return Tokens(tokens, self.lengths, mask)


def clean(caption: str) -> str:
    """The caption's words, lower case, ASCII only, one blank between them.

    >>> clean("A café-table,  don't TOUCH!")
    'a caf table don t touch'
    """
    words = (w.encode("ascii", "ignore").decode() for w in re.findall(r"\w+", caption.lower()))
    return " ".join(w for w in words if w)


@lru_cache(maxsize=4)
def _tokenizer(context_length: int) -> SimpleTokenizer:
    return SimpleTokenizer(context_length=context_length)


def tokenise(
    captions: Sequence[str],
    max_words: int,
    context_length: int = 77,
    mask_off_by_one: bool = False,
) -> Tokens:
    """Clean and tokenise captions; L = `max_words` is the number of word slots.

    A caption of more than `context_length` tokens is cut (its end of text stays). With
    `mask_off_by_one` the mask is the released code's: it looks at token i in place of token i + 1,
    so that one padding slot behind the end of text stays visible.

    Raises:
        GrganError: A caption has no words, or L slots do not fit the context.
    """
    if max_words + 1 > context_length:
        raise GrganError(
            f"{max_words} word slots do not fit the text encoder's context of {context_length} "
            f"tokens: use at most {context_length - 1}"
        )
    cleaned = [clean(caption) for caption in captions]
    for caption, words in zip(captions, cleaned, strict=True):
        if not words:
            raise GrganError(f"caption {caption!r} has no words: remove it or replace it")
    tokens = _tokenizer(context_length)([cut_words(words, context_length) for words in cleaned])
    lengths = torch.tensor([min(words.count(" ") + 1, max_words) for words in cleaned])
    first = 0 if mask_off_by_one else 1
    return Tokens(tokens, lengths, tokens[:, first : first + max_words] == PAD)
