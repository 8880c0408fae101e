"""The matcher on tiny random CLIPs of both kinds of image tower."""

import open_clip
import pytest
import torch

from grgan_ref.config import Config, QuirksConfig
from grgan_ref.data.text import tokenise
from grgan_ref.errors import GrganError
from grgan_ref.matching.itm import ITM, build_itm

DIM = 6
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 2}
VISION = {
    "resnet": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8},
    "vit": {"image_size": 32, "patch_size": 8, "width": 16, "head_width": 8, "layers": 3},
}
CAPTIONS = ["a red circle", "a large blue square above a small green star", "dots"]


@pytest.fixture(params=["resnet", "vit"])
def itm(request):
    torch.manual_seed(0)
    return ITM(open_clip.CLIP(12, VISION[request.param], TEXT), DIM, region_layer=3)


@pytest.fixture
def tokens():
    return tokenise(CAPTIONS, 5, context_length=16).tokens


def test_shapes(itm, tokens):
    regions, code = itm.encode_image(torch.rand(3, 3, 20, 20) * 2 - 1)
    assert regions.shape == (3, DIM, 4, 4)
    assert code.shape == (3, DIM)
    sentence, words = itm.encode_text(tokens, slots=5)
    assert sentence.shape == (3, DIM)
    assert words.shape == (3, DIM, 5)


def test_text_agrees_with_open_clip(itm, tokens):
    """The cut at the last end of text changes nothing; the sentence is CLIP's embedding."""
    sentence, _ = itm.encode_text(tokens, slots=2)
    with torch.no_grad():
        expected = itm.heads.sentence(itm.clip.encode_text(tokens))
    torch.testing.assert_close(sentence, expected, rtol=0, atol=1e-6)


def test_words_start_behind_the_start_of_text(itm, tokens):
    _, words = itm.encode_text(tokens, slots=4)
    _, shifted = itm.encode_text(tokens, slots=5, first=0)
    torch.testing.assert_close(shifted[:, :, 1:], words)


def test_a_word_does_not_know_what_follows(itm):
    first, second = tokenise(["red star here", "red star there"], 5, context_length=16).tokens
    _, words = itm.encode_text(torch.stack([first, second]), slots=3)
    torch.testing.assert_close(words[0, :, :2], words[1, :, :2])
    assert not torch.allclose(words[0, :, 2], words[1, :, 2])


def test_only_the_heads_are_trained(itm, tokens):
    itm.train()
    assert itm.heads.training
    assert not any(module.training for module in itm.clip.modules())
    images = torch.zeros(2, 3, 16, 16, requires_grad=True)
    regions, code = itm.encode_image(images)
    sentence, words = itm.encode_text(tokens, 5)
    sum(x.square().sum() for x in (regions, code, sentence, words)).backward()
    assert all(p.grad is not None for p in itm.heads.parameters())
    assert all(p.grad is None for p in itm.clip.parameters())
    assert images.grad.abs().max() > 0  # this is what teaches the generator


def test_normalisation_of_images():
    """By default the CLIP sees its own mean and deviation; with the quirk [-1, 1]."""
    clip = open_clip.CLIP(12, VISION["vit"], TEXT)
    corrected, released = (
        ITM(clip, DIM, 3),
        ITM(clip, DIM, 3, QuirksConfig(unnormalised_clip_input=True)),
    )
    released.heads = corrected.heads
    mean, std = (
        torch.tensor(open_clip.OPENAI_DATASET_MEAN),
        torch.tensor(open_clip.OPENAI_DATASET_STD),
    )
    images = torch.rand(2, 3, 32, 32)
    normalised = (images - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    for ours, theirs in zip(
        corrected.encode_image(images * 2 - 1), released.encode_image(normalised), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_wrong_layer_and_slots(itm, tokens):
    itm.region_layer = 5
    with pytest.raises(GrganError, match=r"region_layer is 5; .* 1 to [34]"):
        itm.encode_image(torch.zeros(1, 3, 16, 16))
    with pytest.raises(GrganError, match="17 token slots wanted, but the captions have 16"):
        itm.encode_text(tokens, slots=16)


def test_fingerprint_follows_the_weights(itm):
    before = itm.fingerprint()
    assert before == itm.fingerprint()
    with torch.no_grad():
        itm.heads.image.bias[0] += 1
    assert itm.fingerprint() != before


def test_unknown_model_without_weights():
    config = Config.load("coco", {"itm.clip": "RN1O1"})
    with pytest.raises(GrganError, match=r"itm\.clip: open_clip has no model 'RN1O1'"):
        build_itm(config, pretrained=False)
