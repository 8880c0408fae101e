"""The generator against the released code's forward pass on the same weights, text and noise.

The golden arrays are float32 results. Two float32 runs differ by what rounding does on the way:
2e-7 where batch norm uses running statistics, a few 1e-5 where it divides by the deviation of as
few samples as the golden batch has. The tolerances leave a factor of ten for other data.
"""

import pytest
import torch

from tests.support import golden

TOLERANCE = {"train": 4e-4, "eval": 2e-6}


@pytest.fixture(scope="module")
def data():
    return golden.Golden("netG.npz")


def forward(data, net):
    hidden = []
    net.initial.register_forward_hook(lambda module, inputs, h: hidden.append(h))
    for stage in net.refine:
        stage.register_forward_hook(lambda module, inputs, output: hidden.append(output[0]))
    inputs = [data.tensor(key) for key in ("sent_emb", "word_embs", "mask")]
    with torch.no_grad():
        output = net(*inputs, data.tensor("z")[0], data.tensor("eps")[0])
    return output, hidden


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_forward(data, mode):
    net = golden.generator().train(mode == "train")
    output, hidden = forward(data, net)
    tolerance = TOLERANCE[mode]

    for i, image in enumerate(output.images):
        assert golden.largest_difference(image, data.tensor(f"{mode}/fake{i}")) < tolerance
    step = int(data.tensor(f"{mode}/att_stride"))
    for i, attention in enumerate(output.attention):
        expected = data.tensor(f"{mode}/att{i}")
        if attention.shape[1] == 1:
            # The released sentence stage reads as many equal slots as there are words, ours one: it
            # has the weight of all of them.
            expected = expected.sum(1, keepdim=True)
        assert golden.largest_difference(attention[:, :, ::step, ::step], expected) < tolerance
    assert golden.largest_difference(output.mu, data.tensor(f"{mode}/mu")) < 2e-6
    assert golden.largest_difference(output.logvar, data.tensor(f"{mode}/logvar")) < 2e-6
    assert golden.largest_difference(hidden[0], data.tensor(f"{mode}/h1")) < tolerance
    for i, h in enumerate(hidden[1:], start=2):
        statistics = torch.stack([h.mean((0, 2, 3)), h.std((0, 2, 3))])
        expected = data.tensor(f"{mode}/h{i}_meanstd_perchannel")
        assert golden.largest_difference(statistics, expected) < tolerance


def test_running_statistics_after_a_training_pass(data):
    net = golden.generator()
    forward(data, net)
    expected = golden.checkpoint.rename_generator(data.state("train/after/"))
    after = net.state_dict()
    for key, value in expected.items():
        scale = value.double().abs().max().item() + 1
        assert golden.largest_difference(after[key], value) < 1e-5 * scale, key


def test_corrected_memory_mask(data):
    net = golden.generator(golden.released_quirks(mixed_memory_mask=False)).eval()
    output, _ = forward(data, net)
    step = int(data.tensor("eval/att_stride"))
    expected = data.tensor("eval_maskfix/att1")
    assert (
        golden.largest_difference(output.attention[1][:, :, ::step, ::step], expected)
        < TOLERANCE["eval"]
    )
    last = data.tensor("eval_maskfix/fake2")
    assert golden.largest_difference(output.images[2], last) < TOLERANCE["eval"]
