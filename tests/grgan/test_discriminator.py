"""The discriminators beyond the released sizes, and both behaviours of the spectral norm."""

import pytest
import torch

from grgan_ref.config import Config
from grgan_ref.networks.discriminator import Discriminator, build_discriminators
from grgan_ref.networks.spectral_norm import SpectralNormConv2d


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128, 256])
def test_features_are_8_width_at_4x4(size):
    net = Discriminator(size, 2, 5, unconditional=True, conditional=True)
    features = net.features(torch.randn(2, 3, size, size))
    assert features.shape == (2, 16, 4, 4)
    assert net.unconditional(features).shape == (2,)
    assert net.conditional(features, torch.randn(2, 5)).shape == (2,)


def test_heads_follow_the_kind_of_the_stage():
    def heads(overrides):
        config = Config.load("scenes-tiny", overrides)
        return [
            (d.unconditional_logits is not None, d.joint is not None)
            for d in build_discriminators(config)
        ]

    assert heads({}) == [(True, False), (False, True), (False, True)]
    assert heads({"quirks.unused_conditional_head": True})[0] == (True, True)


def test_the_condition_matters():
    net = Discriminator(16, 2, 5, unconditional=False, conditional=True).eval()
    features = net.features(torch.randn(2, 3, 16, 16))
    first = net.conditional(features, torch.ones(2, 5))
    assert not torch.equal(first, net.conditional(features, -torch.ones(2, 5)))


def converged(conv, images, steps=200):
    for _ in range(steps):
        conv(images)


def test_spectral_norm_converges_to_the_largest_singular_value():
    conv = SpectralNormConv2d(3, 4, 3)
    images = torch.randn(1, 3, 5, 5)
    converged(conv, images)
    largest = torch.linalg.matrix_norm(conv.weight.flatten(1), 2)
    sigma = conv.u @ conv.weight.flatten(1) @ conv.v
    torch.testing.assert_close(sigma, largest, rtol=1e-4, atol=0)
    expected = torch.nn.functional.conv2d(images, conv.weight / largest, conv.bias)
    torch.testing.assert_close(conv(images), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("iterate", [False, True])
def test_eval_mode_iterates_only_with_the_quirk(iterate):
    conv = SpectralNormConv2d(3, 4, 3, iterate_in_eval=iterate).eval()
    images, before = torch.randn(1, 3, 5, 5), conv.u.clone()
    first, second = conv(images), conv(images)
    assert torch.equal(first, second) != iterate
    assert torch.equal(conv.u, before) != iterate


def gradient_of_two_passes(shared):
    torch.manual_seed(0)
    conv = SpectralNormConv2d(3, 4, 3, shared_vectors=shared).double()
    images = torch.randn(2, 1, 3, 5, 5, dtype=torch.float64)
    vectors, loss = [], 0
    for x in images:
        loss = loss + conv(x).square().sum()
        vectors.append((conv.u.clone(), conv.v.clone()))
    loss.backward()
    return conv, images, vectors, conv.weight.grad


@pytest.mark.parametrize("shared", [False, True])
def test_gradient_through_sigma(shared):
    """By hand: d sigma / dW = u v^T with the pass's own u, v, or for all passes with the last."""
    conv, images, vectors, gradient = gradient_of_two_passes(shared)
    weight = conv.weight.detach()
    expected = torch.zeros_like(weight)
    for x, (u, v) in zip(images, vectors, strict=True):
        sigma = u @ weight.flatten(1) @ v
        normalised = (weight / sigma).requires_grad_()
        y = torch.nn.functional.conv2d(x, normalised, conv.bias.detach())
        y.square().sum().backward()
        last_u, last_v = vectors[-1] if shared else (u, v)
        outer = torch.outer(last_u, last_v).view_as(weight)
        through_sigma = (normalised.grad * weight).sum() / sigma**2
        expected += normalised.grad / sigma - through_sigma * outer
    torch.testing.assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


def test_torch_spectral_norm_would_differ():
    """Why there is an own one: from the same vectors torch normalises by another sigma."""
    ours = SpectralNormConv2d(3, 4, 3)
    theirs = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv2d(3, 4, 3))
    norm = theirs.parametrizations.weight[0]
    with torch.no_grad():
        theirs.parametrizations.weight.original.copy_(ours.weight)
        theirs.bias.copy_(ours.bias)
        norm._u.copy_(ours.u)
        norm._v.copy_(ours.v)
    images = torch.randn(1, 3, 5, 5)
    assert (ours(images) - theirs(images)).abs().max() > 1e-3


def test_under_autocast_the_norm_is_exact_and_the_features_are_short():
    torch.manual_seed(0)
    conv = SpectralNormConv2d(3, 4, 3)
    images = torch.randn(2, 3, 5, 5)
    converged(conv, images)
    conv.eval()
    exact, u = conv(images), conv.u.clone()
    with torch.autocast("cpu", torch.bfloat16):
        short = conv(images)
    assert short.dtype == torch.bfloat16 and conv.u.dtype == torch.float32
    # bfloat16 keeps 8 bits: 27 products of relative error 2^-8 each, of features of size 1.
    torch.testing.assert_close(short.float(), exact, rtol=0.02, atol=0.02)
    conv.train()
    with torch.autocast("cpu", torch.bfloat16):
        conv(images)
    # A step of the converged iteration in full precision stays; in bfloat16 it would move by 2^-9.
    torch.testing.assert_close(conv.u, u, rtol=0, atol=1e-5)
    conv(images).sum().backward()
    assert conv.weight.grad is not None and conv.weight.grad.dtype == torch.float32
