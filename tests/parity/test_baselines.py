"""AttnGAN's generator and discriminator, and the joint loss of AttnGAN and DM-GAN.

In eval mode batch norm uses running statistics: float32 rounding stays below 2e-7, the tolerance is
2e-6. The loss is computed in float64.
"""

import dataclasses

import pytest
import torch

from grgan_ref.config import Config, ModelConfig, StageConfig
from grgan_ref.files import checkpoint
from grgan_ref.networks.discriminator import Discriminator
from grgan_ref.networks.generator import Generator
from grgan_ref.training.gan_step import discriminator_loss
from tests.support import golden

TOLERANCE = 2e-6


@pytest.fixture(scope="module")
def data():
    return golden.Golden("extra.npz")


def config(state):
    """The sizes of the golden AttnGAN generator; its noise is netG.npz's."""
    base = golden.config()
    blocks = {key.split(".")[2] for key in state if key.startswith("h_net2.residual.")}
    sizes = [stage.size for stage in base.model.stages]
    model = ModelConfig(
        stages=tuple(StageConfig("J", size) for size in sizes),
        generator_width=state["img_net1.img.0.weight"].shape[1],
        noise_dim=base.model.noise_dim,
        condition_dim=state["ca_net.fc.weight"].shape[0] // 4,
        residual_blocks=len(blocks),
        embedding_dim=state["ca_net.fc.weight"].shape[1],
        refinement="attn",
    )
    return dataclasses.replace(base, model=model)


def attngan(data):
    state = data.state("attngan_G/sd/")
    net = Generator(config(state))
    checkpoint.load_strictly(net, checkpoint.rename_generator(state), "attngan_G")
    return net.eval()


def test_attngan_generator(data):
    net, inputs = attngan(data), golden.Golden("netG.npz")
    text = [inputs.tensor(key) for key in ("sent_emb", "word_embs", "mask")]
    with torch.no_grad():
        output = net(*text, inputs.tensor("z")[0], inputs.tensor("eps")[0])
    for i, image in enumerate(output.images):
        expected = data.tensor(f"attngan_G/eval/fake{i}")
        assert golden.largest_difference(image, expected) < TOLERANCE, i
    for i, attention in enumerate(output.attention):
        expected = data.tensor(f"attngan_G/eval/att{i}")
        step = attention.shape[2] // expected.shape[2]
        assert golden.largest_difference(attention[:, :, ::step, ::step], expected) < TOLERANCE, i


def test_attngan_discriminator(data):
    state = data.state("attngan_D128/sd/")
    width = state["img_code_s16.0.weight"].shape[0]
    embedding = state["COND_DNET.jointConv.0.weight"].shape[1] - 8 * width
    net = Discriminator(128, width, embedding, True, True, batch_norm=True)
    checkpoint.load_strictly(net, checkpoint.rename_discriminator(state), "attngan_D128")
    net.eval()
    image, sentence = golden.real_images()[1], golden.Golden("netD.npz").tensor("sent_emb")
    with torch.no_grad():
        features = net.features(image)
        alone = net.unconditional(features).sigmoid()
        fitting = net.conditional(features, sentence).sigmoid()
    for ours, name in ((features, "feat"), (alone, "uncond"), (fitting, "cond")):
        expected = data.tensor(f"attngan_D128/eval/{name}")
        assert golden.largest_difference(ours, expected) < TOLERANCE, name


def test_joint_discriminator_loss(data):
    """A discriminator with both heads, from the state of netD0, its vectors shared as there."""
    state = golden.Golden("netD.npz").state("netD0/")
    renamed = checkpoint.rename_discriminator(state)
    base = golden.config()
    net = Discriminator(64, base.model.discriminator_width, base.model.embedding_dim, True, True)
    checkpoint.load_strictly(net, renamed, "netD0")
    net = net.double().train()
    real = golden.real_images(torch.float64)[0]
    fake = golden.Golden("netG.npz").tensor("train/fake0", torch.float64)
    sentence = golden.Golden("netD.npz").tensor("sent_emb", torch.float64)
    loss = discriminator_loss(net, real, fake, sentence)
    expected = data.tensor("baseline/errD64_joint_uncond_cond")
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_presets_use_what_is_tested_here():
    config = Config.load("attn-da")
    assert config.model.refinement == "attn"
    assert config.model.discriminator == "batch"
    assert [stage.kind for stage in config.model.stages] == ["J", "J", "J"]
