"""The blocks that do the paper's sums in fewer multiplications, against their plain forms."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st

from grgan_ref.config import Config
from grgan_ref.networks.generator import Generator
from grgan_ref.networks.layers import (
    DoublingResidualBlock,
    ResidualBlock,
    plain_upsampled_conv3x3,
    upsampled_conv3x3,
)

PRECISION = {"rtol": 1e-12, "atol": 1e-12}


def with_gradients(function, *leaves):
    """The result, and the gradients of a weighted sum of it."""
    result = function(*leaves)
    weights = torch.randn(result.shape, generator=torch.Generator().manual_seed(1)).to(result)
    return result.detach(), *torch.autograd.grad((weights * result).sum(), leaves)


def drawn(random, *shape):
    return torch.randn(*shape, generator=random, dtype=torch.float64, requires_grad=True)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    height=st.integers(1, 20),  # both forms, the border at every side
    width=st.integers(1, 20),
)
def test_upsampling_and_convolution_in_one(seed, batch, channels, height, width):
    random = torch.Generator().manual_seed(seed)
    x = drawn(random, batch, channels[0], height, width)
    weight = drawn(random, channels[1], channels[0], 3, 3)
    plain = with_gradients(
        lambda x, w: F.conv2d(F.interpolate(x, scale_factor=2), w, padding=1), x, weight
    )
    torch.testing.assert_close(with_gradients(upsampled_conv3x3, x, weight), plain, **PRECISION)
    torch.testing.assert_close(plain_upsampled_conv3x3(x, weight), plain[0], **PRECISION)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 3), st.integers(1, 4), st.integers(2, 6))
def test_residual_block_of_doubled_channels(seed, batch, channels, size):
    torch.manual_seed(seed)
    block = ResidualBlock(2 * channels).double()
    doubling = DoublingResidualBlock(2 * channels).double()
    doubling.load_state_dict(block.state_dict())  # the same keys and shapes
    h = drawn(torch.Generator().manual_seed(seed), batch, channels, size, size)
    names = [name for name, _ in block.named_parameters()]

    def run(module, doubled):
        def function(h, *parameters):
            x = torch.cat([h, h], 1) if doubled else h
            return torch.func.functional_call(
                module, dict(zip(names, parameters, strict=True)), (x,)
            )

        return with_gradients(function, h, *module.parameters())

    # Batch norm divides by deviations as small as those of few samples are.
    torch.testing.assert_close(run(doubling, False), run(block, True), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(doubling(h), doubling.plain(h), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("blocks", [0, 1, 2])
@pytest.mark.parametrize("refinement", ["dmgan", "attn"])
def test_any_number_of_residual_blocks(refinement, blocks):
    config = Config.load(
        "scenes-tiny", {"model.refinement": refinement, "model.residual_blocks": blocks}
    )
    model = config.model
    inputs = torch.randn(2, model.embedding_dim), torch.randn(2, model.embedding_dim, 3)
    output = Generator(config)(*inputs, torch.zeros(2, 3).bool(), torch.randn(2, model.noise_dim))
    assert output.images[-1].shape[2] == model.stages[-1].size
