"""The words that DAMSM's text encoder knows, and captions as their numbers.

As in AttnGAN a caption is its lower-case ASCII words (`text.clean`), number 0 is padding, and a
caption of more words than there are slots is represented by some of them, in order. AttnGAN draws
these anew every time; here the caption decides, so that equal captions are equal.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from grgan_ref.data import Tokens, clean
from grgan_ref.errors import GrganError
from grgan_ref.files import new_file, read_plain_pickle

END = "<end>"  # number 0 in the published vocabularies, never part of a caption


class Vocabulary:
    """`words[i]` has number i + 1."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self._numbers = {word: i for i, word in enumerate(self.words, start=1)}

    def __len__(self) -> int:
        """How many numbers there are, that of padding included."""
        return len(self.words) + 1

    def tokenise(self, captions: Sequence[str], slots: int) -> Tokens:
        """Turn B captions into numbers (B, slots), lengths and the padding mask.

        Words that are not in the vocabulary are left out.

        Raises:
            GrganError: No word of a caption is known.
        """
        rows = [self._row(caption, slots) for caption in captions]
        lengths = torch.tensor([len(row) for row in rows])
        tokens = torch.tensor([row + [0] * (slots - len(row)) for row in rows])
        return Tokens(tokens, lengths, tokens == 0)

    def _row(self, caption: str, slots: int) -> list[int]:
        words = clean(caption).split()
        row = [self._numbers[word] for word in words if word in self._numbers]
        if not row:
            raise GrganError(
                f"caption {caption!r} has no word of the vocabulary of {len(self.words)} words"
            )
        if len(row) > slots:
            kept = sorted(random.Random(caption).sample(range(len(row)), slots))
            row = [row[i] for i in kept]
        return row

    def save(self, path: Path) -> None:
        """Write the words as JSON, which `read_vocabulary` reads."""
        text = json.dumps(self.words, ensure_ascii=False) + "\n"
        with new_file(path) as file:
            file.write(text.encode())


def build_vocabulary(captions: Iterable[Sequence[str]]) -> Vocabulary:
    """Every word of the captions of all images, in alphabetical order."""
    return Vocabulary(sorted({w for own in captions for c in own for w in clean(c).split()}))


def read_vocabulary(path: Path) -> Vocabulary:
    """Read our list of words (.json), a word a line (.txt), or AttnGAN's captions.pickle.

    Raises:
        GrganError: The file is none of them.
    """
    if path.suffix == ".pickle":
        return Vocabulary(_published_words(read_plain_pickle(path), path))
    try:
        text = path.read_text(encoding="utf-8")
        words = json.loads(text) if path.suffix == ".json" else text.split()
    except (OSError, ValueError, RecursionError) as error:
        raise GrganError(f"{path}: not a readable vocabulary: {error}") from None
    if not isinstance(words, list) or not words or not all(isinstance(w, str) for w in words):
        raise GrganError(f"{path}: not a vocabulary: a list of words is expected")
    return Vocabulary(words[1:] if words[0] == END else words)


def _published_words(content: Any, path: Path) -> list[str]:
    """captions.pickle is [training captions, test captions, number to word, word to number]."""
    try:
        words = content[2]
        ordered = [words[i] for i in range(len(words))]
        known = ordered[0] == END and all(isinstance(word, str) for word in ordered)
    except (LookupError, TypeError):
        known = False
    if not known:
        raise GrganError(
            f"{path}: not AttnGAN's captions.pickle: its third part must number the words from "
            "'<end>' = 0"
        )
    return ordered[1:]
