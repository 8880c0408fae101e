"""Captions tokenised word by word have the tokens that open_clip gives the whole."""

from __future__ import annotations

import string

import open_clip
import pytest
from hypothesis import given, strategies as st

from cmdmetric.encoders import tokens
from cmdmetric.encoders.tokens import WordByWord

WHOLE = {
    clean: open_clip.SimpleTokenizer(clean=clean)
    for clean in ("lower", "whitespace", "canonicalize")
}
#: What ftfy, HTML or CLIP's pattern treat in a way of their own.
ODD_TEXTS = st.one_of(
    st.text(),
    st.text(string.printable),
    st.lists(
        st.sampled_from(
            ["a", "dog's", "&amp;", "&", "<end_of_text>", "<start_of_text>", "3.14", "``x\'\'",
             "don't", "\x1b[2J", "\u2019", "caf\u00e9", "\u00c3\u00a9", "_", "\t", "ﬁ", "\r\n"]
        )
    ).map(" ".join),
)  # fmt: skip


@pytest.mark.parametrize("clean", ["lower", "whitespace", "canonicalize"])
@given(texts=st.lists(ODD_TEXTS, max_size=4))
def test_word_by_word_is_the_tokeniser(clean: str, texts: list[str]) -> None:
    whole = WHOLE[clean]
    ours = WordByWord(whole)
    for text in [*texts, *texts]:  # the second time from what is known
        assert ours.encode(text) == whole.encode(text)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "KNOWN_WORDS", 2)
    ours = WordByWord(WHOLE["lower"])
    for text in ("one two", "three four", "one four"):
        assert ours.encode(text) == WHOLE["lower"].encode(text)
    assert len(ours._known) == 2
