"""Tokenisers: what they are known by, what a caption may cost them, and whether its end is read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

#: Tokens that a CLIP reads of a caption.
CONTEXT = 77
#: Bytes of the longest token in CLIP's vocabulary (emoji; of letters it is half as long).
_LONGEST_TOKEN = 32
#: Files that a tokeniser of transformers may be made of.
_FILES = ("tokenizer*", "vocab*", "merges*", "special_tokens*", "added_tokens*", "*.model")
#: Words whose tokens are kept: COCO's captions have 30,000.
KNOWN_WORDS = 100_000
#: Stands in the place of a digest where the tokeniser is not on this machine yet.
NOT_THERE = "@?"


def tokeniser_of(architecture: str, config: Mapping[str, Any]) -> str:
    """Name the tokeniser that open_clip takes for a network, with what is in it.

    Args:
        architecture: As `Checkpoint.architecture`.
        config: The network's configuration.

    Returns:
        "CLIP" for open_clip's own; of others the name and a sha256 (hex) of their files and
        options, or `NOT_THERE` behind the name where they have not been downloaded.
    """
    text = config.get("text_cfg", {})
    name, options = text.get("hf_tokenizer_name"), text.get("tokenizer_kwargs") or {}
    if not name:
        return f"CLIP@{_digest((), options)}" if options else "CLIP"
    _, of_folder, folder = architecture.partition("local-dir:")
    place = Path(folder) if of_folder else _hub_folder(name)
    if place is None:
        return f"{name}{NOT_THERE}"
    files = sorted({file for pattern in _FILES for file in place.glob(pattern)})
    return f"{name}@{_digest(tuple(files), options)}"


def _hub_folder(repository: str) -> Path | None:
    """Where the Hub's cache has a tokeniser."""
    from huggingface_hub import try_to_load_from_cache

    for file in ("tokenizer_config.json", "tokenizer.json", "config.json"):
        if isinstance(found := try_to_load_from_cache(repository, file), str):
            return Path(found).parent
    return None


def _digest(files: tuple[Path, ...], options: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for file in files:
        status = file.stat()
        digest.update(f"{file.name} {_sha256(file, status.st_size, status.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


@lru_cache(maxsize=64)
def _sha256(file: Path, size: int, changed: int) -> str:
    """The sha256 of a file of this size and time of change; it is asked for by every set."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


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


class WordByWord:
    """open_clip's own tokeniser, which keeps what it has made of each word.

    Much of its time goes into ftfy's repair of every text. Printable ASCII without "&" needs
    none, and no token has a blank in it: the tokens of such a caption are those of its words.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Nothing is known yet.

        Args:
            tokenizer: An `open_clip.SimpleTokenizer`.
        """
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a caption, without those of start and end."""
        if not text.isascii() or not text.isprintable() or "&" in text:
            return list(self._tokenizer.encode(text))
        tokens: list[int] = []
        for word in text.split(" "):
            own = self._known.get(word)
            if own is None:
                own = self._tokenizer.encode(word)
                if len(self._known) < KNOWN_WORDS:
                    self._known[word] = own
            tokens += own
        return tokens


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
