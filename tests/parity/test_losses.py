"""The matching losses and the KL term against the released code.

In float64 only the order of summation differs: 1e-12 relative. Golden gradients were computed in
float64 and partly stored in float32.
"""

import pytest
import torch

from grgan_ref import losses
from grgan_ref.config import LossConfig
from tests.support import golden


@pytest.fixture(scope="module")
def data():
    return golden.Golden("losses.npz")


@pytest.fixture(scope="module")
def loss(data):
    return LossConfig(*(float(g) for g in data.tensor("gammas123")))


def inputs(data, dtype):
    names = ("cnn_code", "rnn_code", "regions", "words")
    return [data.tensor(name, dtype).requires_grad_() for name in names]


def class_ids(data, case):
    if case == "none":
        return None
    images = len(data.tensor("cap_lens"))
    return data.tensor("dup_ids") if case == "dup" else torch.arange(images)


CASES = ["none", "unique", "dup"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("name", "dtype", "tolerance"), [("f64", torch.float64, 1e-12), ("f32", torch.float32, 1e-5)]
)
def test_losses(data, loss, case, name, dtype, tolerance):
    code, sentence, regions, words = inputs(data, dtype)
    classes = class_ids(data, case)
    ours = losses.sentence_loss(code, sentence, loss, classes)
    theirs = data.tensor(f"{case}/{name}/sent")
    torch.testing.assert_close(torch.stack(ours).double(), theirs, rtol=tolerance, atol=tolerance)
    ours = losses.word_loss(regions, words, data.tensor("cap_lens"), loss, classes)
    theirs = data.tensor(f"{case}/{name}/words")
    torch.testing.assert_close(torch.stack(ours).double(), theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("case", CASES)
def test_gradients(data, loss, case):
    leaves = inputs(data, torch.float64)
    code, sentence, regions, words = leaves
    classes = class_ids(data, case)
    sum(losses.sentence_loss(code, sentence, loss, classes)).backward()
    sum(losses.word_loss(regions, words, data.tensor("cap_lens"), loss, classes)).backward()
    for leaf, name in zip(leaves, ("d_cnn", "d_rnn", "d_regions", "d_words"), strict=True):
        expected = data.tensor(f"{case}/grad/{name}")
        precision = 1e-6 if expected.dtype == torch.float32 else 1e-12
        scale = expected.double().abs().max().item()
        assert golden.largest_difference(leaf.grad, expected) < precision * scale, name
    norms = torch.stack([leaf.grad.norm() for leaf in leaves])
    torch.testing.assert_close(norms, data.tensor(f"{case}/grad/norms_f64"), rtol=1e-12, atol=0)


def test_attention_maps_of_matching_pairs(data, loss):
    """The golden map i: of caption i's words over image i's regions."""
    regions, words = data.tensor("regions"), data.tensor("words")
    lengths = data.tensor("cap_lens")
    padding = torch.arange(words.shape[2]) >= lengths[:, None]
    maps = losses.region_attention(words, regions.flatten(2), padding, loss.gamma1)
    for i, length in enumerate(lengths):
        ours = maps[i, i, :length].unflatten(1, regions.shape[2:])[None]
        assert golden.largest_difference(ours, data.tensor(f"none/attmap{i}")) < 1e-6


def test_attention_and_context(data):
    words, regions = data.tensor("fa_query"), data.tensor("fa_context")
    gamma1 = float(data.tensor("fa_gamma1"))
    padding = torch.zeros(words.shape[0], words.shape[2], dtype=torch.bool)
    maps = losses.region_attention(words, regions.flatten(2), padding, gamma1)
    for i in range(len(words)):
        attention = maps[i, i]
        expected = data.tensor("fa_attn")[i].flatten(1)
        assert golden.largest_difference(attention, expected) < 1e-6
        context = regions[i].flatten(1) @ attention.t()
        assert golden.largest_difference(context, data.tensor("fa_weighted")[i]) < 1e-5


def test_kl(data):
    ours = losses.kl(data.tensor("kl_mu"), data.tensor("kl_logvar"))
    assert float(ours) == pytest.approx(float(data.tensor("kl")), rel=1e-6)
