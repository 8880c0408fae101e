"""The losses against direct, slow formulas."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st

from grgan_ref import losses
from grgan_ref.config import LossConfig
from grgan_ref.losses import IMAGES_AT_ONCE

LOSS = LossConfig()


def looped_word_scores(regions, words, lengths):
    """Rows images, columns captions, one pair at a time."""
    scores = []
    for image in regions.flatten(2):
        for caption, length in zip(words, lengths, strict=True):
            caption = caption[:, :length]
            shares = (caption.t() @ image).softmax(0)
            context = image @ (LOSS.gamma1 * shares).softmax(1).t()
            cosines = F.cosine_similarity(caption, context, dim=0)
            scores.append((LOSS.gamma2 * cosines).exp().sum().log())
    return LOSS.gamma3 * torch.stack(scores).view(len(regions), len(words))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 6), min_size=2, max_size=IMAGES_AT_ONCE + 2))
def test_word_loss_and_its_gradients_equal_those_of_the_loop_over_pairs(seed, lengths):
    random = torch.Generator().manual_seed(seed)
    batch = len(lengths)
    regions = torch.randn(batch, 8, 3, 4, generator=random, dtype=torch.float64)
    words = torch.randn(batch, 8, 6, generator=random, dtype=torch.float64)
    leaves = regions.requires_grad_(), words.requires_grad_()
    scores = looped_word_scores(regions, words, lengths)
    target = torch.arange(batch)
    expected = F.cross_entropy(scores, target), F.cross_entropy(scores.t(), target)
    ours = losses.word_loss(regions, words, torch.tensor(lengths), LOSS)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    classes = torch.tensor([i // 2 for i in range(batch)])
    for of_class in (None, classes):  # the form that is there to be read
        fast, plain = (
            form(regions, words, torch.tensor(lengths), LOSS, of_class)
            for form in (losses.word_loss, losses.plain_word_loss)
        )
        torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-10)
    gradients = (torch.autograd.grad(sum(loss), leaves) for loss in (ours, expected))
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-10)


def test_gradients_of_squared_lengths():
    attention = torch.rand(2, 5, 4, dtype=torch.float64, requires_grad=True)
    regions = torch.randn(2, 6, 4, dtype=torch.float64, requires_grad=True)
    ours = losses.SquaredLengths.apply(attention, regions)
    expected = (attention @ regions.transpose(1, 2)).square().sum(2)
    torch.testing.assert_close(ours, expected)
    assert torch.autograd.gradcheck(losses.SquaredLengths.apply, (attention, regions))


def test_attention_of_padding_is_zero():
    words, regions = torch.randn(2, 8, 5), torch.randn(3, 8, 4)
    padding = torch.arange(5) >= torch.tensor([2, 5])[:, None]
    maps = losses.region_attention(words, regions, padding, LOSS.gamma1)
    torch.testing.assert_close(maps.sum(3), (~padding).float().expand(3, 2, 5))


def test_words_behind_the_length_do_not_matter():
    regions, words = torch.randn(2, 8, 3, 3), torch.randn(2, 8, 5)
    lengths = torch.tensor([2, 4])
    before = losses.word_loss(regions, words, lengths, LOSS)
    words[0, :, 2:] = 1000.0
    assert losses.word_loss(regions, words, lengths, LOSS) == before


def test_samples_of_one_class_are_no_mismatch():
    """Two equal pairs: told apart the loss is at least log 2, as one class it is zero."""
    codes = torch.eye(2)[[0, 0]]
    apart = losses.sentence_loss(codes, codes, LOSS)
    assert [float(x) for x in apart] == pytest.approx([math.log(2)] * 2)
    together = losses.sentence_loss(codes, codes, LOSS, torch.tensor([7, 7]))
    assert [float(x) for x in together] == [0, 0]


def test_zero_vectors_are_no_nan():
    zeros = torch.zeros(2, 4, requires_grad=True)
    sum(losses.sentence_loss(zeros, torch.randn(2, 4), LOSS)).backward()
    assert zeros.grad.isfinite().all()


def test_adversarial_losses_are_cross_entropies():
    logits = torch.randn(7, dtype=torch.float64)
    ones = torch.ones_like(logits)
    real = F.binary_cross_entropy(logits.sigmoid(), ones)
    fake = F.binary_cross_entropy(logits.sigmoid(), 1 - ones)
    torch.testing.assert_close(losses.real_loss(logits), real)
    torch.testing.assert_close(losses.fake_loss(logits), fake)


def test_kl_against_torch():
    mu, logvar = torch.randn(3, 5), torch.randn(3, 5)
    posterior = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    prior = torch.distributions.Normal(torch.zeros(3, 5), torch.ones(3, 5))
    expected = torch.distributions.kl_divergence(posterior, prior).mean()
    torch.testing.assert_close(losses.kl(mu, logvar), expected)
