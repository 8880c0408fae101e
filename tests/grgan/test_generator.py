"""The generator beyond the released arrangement: other stages, masks, noise."""

import pytest
import torch

from grgan_ref.config import Config
from grgan_ref.networks.generator import Generator
from grgan_ref.networks.memory import DynamicMemory

BATCH, SLOTS = 3, 5


def make(stages=None, **overrides):
    if stages:
        overrides["model.stages"] = [
            {"kind": kind, "size": 8 * 2**i} for i, kind in enumerate(stages)
        ]
    return Config.load("scenes-tiny", overrides)


def inputs(config, seed=0):
    random = torch.Generator().manual_seed(seed)
    model = config.model
    mask = torch.arange(SLOTS) >= torch.tensor([5, 3, 1])[:, None]
    return {
        "sentence": torch.randn(BATCH, model.embedding_dim, generator=random),
        "words": torch.randn(BATCH, model.embedding_dim, SLOTS, generator=random),
        "mask": mask,
        "z": torch.randn(BATCH, model.noise_dim, generator=random),
        "eps": torch.randn(BATCH, model.condition_dim, generator=random),
    }


@pytest.mark.parametrize("stages", ["I", "ISW", "IWS", "SWI", "IW", "ISWWW"])
def test_any_order_and_number_of_stages(stages):
    config = make(stages)
    output = Generator(config)(**inputs(config))
    assert [image.shape for image in output.images] == [
        (BATCH, 3, 8 * 2**i, 8 * 2**i) for i in range(len(stages))
    ]
    assert all(image.abs().max() <= 1 for image in output.images)
    readers = [(i, kind) for i, kind in enumerate(stages) if i and kind != "I"]
    assert [a.shape for a in output.attention] == [
        (BATCH, 1 if kind == "S" else SLOTS, 4 * 2**i, 4 * 2**i) for i, kind in readers
    ]


def test_attention_sums_to_one_and_ignores_padding():
    config = make("ISW")
    given = inputs(config)
    output = Generator(config)(**given)
    of_sentence, of_words = output.attention
    torch.testing.assert_close(of_words.sum(1), torch.ones_like(of_words[:, 0]))
    assert (of_words[given["mask"]] == 0).all()
    assert (of_sentence == 1).all()


@pytest.mark.parametrize("refinement", ["dmgan", "attn"])
def test_a_sentence_stage_is_the_stage_of_words_that_are_all_the_sentence(refinement):
    """As the released code computes it; both sum at most SLOTS equal terms of float32."""
    config = make("IS", **{"model.refinement": refinement})
    torch.manual_seed(0)
    net = Generator(config).eval()
    given = inputs(config)
    with torch.no_grad():
        image = net(**given).images[-1]
        net.refine[0].kind = "W"
        repeated = given["sentence"].unsqueeze(2).expand_as(given["words"])
        torch.testing.assert_close(net(**given | {"words": repeated}).images[-1], image)


def test_what_a_sentence_stage_cannot_use_gets_no_gradient_in_bfloat16_either():
    """The keys address slots, and a sentence stage has one. Rounding must not move them."""
    config = make("ISW")
    torch.manual_seed(0)
    net = Generator(config)
    with torch.autocast("cpu", torch.bfloat16):
        image = net(**inputs(config)).images[1]
    (image.float() ** 2).sum().backward()
    key = net.refine[0].memory.key
    assert all((parameter.grad == 0).all() for parameter in key.parameters())
    assert net.refine[0].memory.value.weight.grad.abs().max() > 0


def test_an_image_depends_on_its_own_caption_only():
    """In eval mode, without the quirk; with it another caption's length changes the image."""
    changed = {}
    for mixed in (False, True):
        config = make("ISW", **{"quirks.mixed_memory_mask": mixed})
        torch.manual_seed(0)
        net = Generator(config).eval()
        given = inputs(config)
        with torch.no_grad():
            before = net(**given).images[-1][0]
            given["mask"][1:] = True
            given["mask"][1:, 0] = False
            changed[mixed] = not torch.equal(net(**given).images[-1][0], before)
    assert changed == {False: False, True: True}


def test_padded_words_do_not_matter():
    config = make("IW")
    net, given = Generator(config).eval(), inputs(config)
    with torch.no_grad():
        before = net(**given).images[-1]
        given["words"][given["mask"].unsqueeze(1).expand_as(given["words"])] = 100.0
        assert torch.equal(net(**given).images[-1], before)


def test_condition_noise_is_drawn_where_not_given():
    config = make("ISW")
    net, given = Generator(config).eval(), inputs(config)
    given["eps"] = None
    with torch.no_grad():
        first, second = net(**given).images[-1], net(**given).images[-1]
    assert not torch.equal(first, second)


def test_writing_gives_the_image_no_gradient():
    memory = DynamicMemory(width=4, text_dim=6)
    h = torch.randn(2, 4, 3, 3, requires_grad=True)
    assert memory.write(h, torch.randn(2, 6, 5)).requires_grad
    memory.write(h, torch.randn(2, 6, 5)).sum().backward()
    assert h.grad is None


def test_initialisation_is_orthogonal():
    net = Generator(make("ISW"))
    for weight in (net.conditioning.linear.weight, net.refine[0].memory.write_text.weight):
        matrix = weight.flatten(1)
        small = matrix @ matrix.t() if matrix.shape[0] <= matrix.shape[1] else matrix.t() @ matrix
        torch.testing.assert_close(small, torch.eye(len(small)), atol=1e-5, rtol=0)
    assert (net.conditioning.linear.bias == 0).all()
