import pytest

from grgan_ref.data.text import clean, tokenise
from grgan_ref.errors import GrganError


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A dog, two CATS.", "a dog two cats"),
        ("it's  re-used\n", "it s re used"),
        ("café in 2014", "caf in 2014"),
        ("你好 dog", "dog"),
    ],
)
def test_clean_keeps_ascii_words(caption, words):
    assert clean(caption) == words


def test_slots_are_the_tokens_behind_the_start_of_text():
    tokens = tokenise(["a dog", "a red bird on a branch"], max_words=5)
    assert tokens.tokens.shape == (2, 77)
    assert tokens.lengths.tolist() == [2, 5]
    # "a", "dog" and the end of text are no padding; the second caption fills all five slots.
    assert tokens.mask.tolist() == [[False, False, False, True, True], [False] * 5]


def test_the_quirk_leaves_one_padding_slot_visible():
    right = tokenise(["a dog"], 6).mask
    quirk = tokenise(["a dog"], 6, mask_off_by_one=True).mask
    assert quirk.tolist() == [[False, *right[0, :-1].tolist()]]


def test_lengths_count_words_not_byte_pairs():
    caption = "antidisestablishmentarianism"
    tokens = tokenise([caption], 12)
    assert tokens.lengths.tolist() == [1]
    assert int((~tokens.mask).sum()) > 2


def test_a_long_caption_is_cut_and_keeps_its_end():
    tokens = tokenise(["bird " * 200], 12).tokens
    assert tokens[0, -1] == tokens.max()


def test_errors_name_the_caption_or_the_slots():
    with pytest.raises(GrganError, match=r"'\?\?' has no words"):
        tokenise(["a dog", "??"], 5)
    with pytest.raises(GrganError, match=r"20 word slots .* at most 9"):
        tokenise(["a dog"], 20, context_length=10)
