"""Released files end to end: import and sample give the images that the systems' equations give.

The expected images are the golden data's where these have them (GR-GAN, AttnGAN). DM-GAN, which has
the same parts and reads the words in both refinement stages, is computed here from the equations,
with plain loops over samples and stages and the authors' key names; the same function is held to
the golden images of the other two. float32 rounding in eval mode is 2e-7; a byte then differs where
a value lies within that of a step of 1 / 127.5, by one.
"""

import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from grgan_ref.config import Config
from grgan_ref.data import Tokens
from grgan_ref.files import load_strictly, read_model
from grgan_ref.model import TextToImage
from grgan_ref.networks import Generator
from grgan_ref.sample import Job, sample
from tests.conftest import shared
from tests.support import golden
from tests.support.grgan_runs import grgan, itm_run, succeed

TOLERANCE = 2e-6


def plain_forward(state, sentence, words, mask, z, eps, texts):
    """The last image of a generator in eval mode, by the authors' names.

    texts: of each refinement stage, "sentence" or "words".
    """

    def norm(x, key):
        w = {n: state[f"{key}.{n}"] for n in ("weight", "bias", "running_mean", "running_var")}
        shape = [1, -1] + [1] * (x.dim() - 2)
        scaled = (x - w["running_mean"].view(shape)) / (w["running_var"].view(shape) + 1e-5).sqrt()
        return scaled * w["weight"].view(shape) + w["bias"].view(shape)

    def glu(x):
        a, b = x.chunk(2, dim=1)
        return a * torch.sigmoid(b)

    def up(x, key):
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return glu(norm(F.conv2d(x, state[f"{key}.1.weight"], padding=1), f"{key}.2"))

    def linear(x, key):  # of slots or of pixels: (C, n)
        bias = state.get(f"{key}.bias")
        y = state[f"{key}.weight"].flatten(1) @ x
        return y if bias is None else y + bias[:, None]

    code = glu(sentence @ state["ca_net.fc.weight"].t() + state["ca_net.fc.bias"])
    mu, logvar = code.chunk(2, dim=1)
    c = mu + eps * torch.exp(logvar / 2)
    h = torch.cat([c, z], 1) @ state["h_net1.fc.0.weight"].t()
    h = glu(norm(h, "h_net1.fc.1"))
    ups = {re.match(r"h_net1\.upsample(\d)", k)[1] for k in state if k.startswith("h_net1.up")}
    h = h.view(len(h), -1, 4, 4)
    for i in range(1, len(ups) + 1):
        h = up(h, f"h_net1.upsample{i}")
    for number, source in enumerate(texts, start=2):
        key = f"h_net{number}"
        text = sentence[:, :, None].expand_as(words) if source == "sentence" else words
        samples, pixels = len(h), h.shape[2] * h.shape[3]
        joined = []
        for b in range(samples):
            own = h[b].flatten(1)  # (C, Q)
            # Row b * Q + q of all pixels has the mask of sample (b * Q + q) mod B: the mixed masks.
            hidden = torch.stack([mask[(b * pixels + q) % samples] for q in range(pixels)])
            if f"{key}.att.conv_context.weight" in state:
                keys = values = linear(text[b], f"{key}.att.conv_context")
            else:
                mean = own.mean(dim=1, keepdim=True)
                gate = linear(text[b], f"{key}.A") + linear(mean, f"{key}.B")
                gate = torch.sigmoid(gate)
                memory = linear(text[b], f"{key}.M_w.0").relu() * gate
                memory = memory + linear(mean, f"{key}.M_r.0").relu() * (1 - gate)
                keys = linear(memory, f"{key}.key.0").relu()
                values = linear(memory, f"{key}.value.0").relu()
            scores = own.t() @ keys  # (Q, L)
            attention = scores.masked_fill(hidden, -math.inf).softmax(dim=1)
            read = values @ attention.t()
            if f"{key}.A.weight" in state:
                gate = torch.sigmoid(linear(torch.cat([own, read]), f"{key}.response_gate.0"))
                refined = own * (1 - gate) + gate * read
                joined.append(torch.cat([refined, refined]))
            else:
                joined.append(torch.cat([own, read]))
        h = torch.stack(joined).unflatten(2, h.shape[2:])
        blocks = {k.split(".")[2] for k in state if k.startswith(f"{key}.residual.")}
        for i in range(len(blocks)):
            at = f"{key}.residual.{i}.block"
            x = glu(norm(F.conv2d(h, state[f"{at}.0.weight"], padding=1), f"{at}.1"))
            h = h + norm(F.conv2d(x, state[f"{at}.3.weight"], padding=1), f"{at}.4")
        h = up(h, f"{key}.upsample")
    last = len(texts) + 1
    return F.conv2d(h, state[f"img_net{last}.img.0.weight"], padding=1).tanh()


class GoldenText:
    """A matcher that has the golden text features, whatever the captions."""

    def __init__(self, data):
        self.data = data

    def encode_captions(self, captions, slots, pretraining=False):
        mask = self.data.tensor("mask")
        tokens = Tokens(torch.zeros(mask.shape), (~mask).sum(1), mask)
        return tokens, self.data.tensor("sent_emb"), self.data.tensor("word_embs")

    def fingerprint(self):
        return "golden"


def without_counters(state):
    return {key: value for key, value in state.items() if "num_batches" not in key}


FORMATS = {
    "GR-GAN": ("sentence", "words"),
    "AttnGAN": ("words", "words"),
    "DM-GAN": ("words", "words"),
}


def write(system, path):
    """The released format of a system with the golden weights; return them."""
    net_g = golden.Golden("netG.npz").state("netG/")
    if system == "GR-GAN":
        torch.save({"epoch": 300, "netG": net_g, "netD": [], "optimG": {}}, path)
        return net_g
    if system == "AttnGAN":  # of PyTorch 0.3: no counters, the old format, here behind a wrapper
        state = golden.Golden("extra.npz").state("attngan_G/sd/")
        old = {f"module.{key}": value for key, value in without_counters(state).items()}
        torch.save(old, path, _use_new_zipfile_serialization=False)
        return state
    torch.save(without_counters(net_g), path, _use_new_zipfile_serialization=False)
    return net_g


@pytest.mark.parametrize("system", FORMATS)
def test_import_and_sample_give_the_published_images(system, tmp_path, monkeypatch):
    state = write(system, tmp_path / "released.pth")
    data = golden.Golden("netG.npz")
    text = [data.tensor(key) for key in ("sent_emb", "word_embs", "mask")]
    z, eps = data.tensor("z")[0], data.tensor("eps")[0]
    expected = plain_forward(state, *text, z, eps, FORMATS[system])
    if system != "DM-GAN":
        source = data if system == "GR-GAN" else golden.Golden("extra.npz")
        key = "eval/fake2" if system == "GR-GAN" else "attngan_G/eval/fake2"
        assert golden.largest_difference(expected, source.tensor(key)) < TOLERANCE

    # Text of 16 dimensions is no CLIP's: the golden GR-GAN has to be named, the others are found.
    named = ["--preset=coco-released"] if system == "GR-GAN" else []
    succeed("import-gan", tmp_path / "released.pth", "--out", tmp_path / "model", *named)
    weights, config = read_model(tmp_path / "model" / "generator.safetensors")
    assert config.quirks.mixed_memory_mask
    assert config.model.refinement == ("attn" if system == "AttnGAN" else "dmgan")
    assert config.model.matcher == ("itm" if system == "GR-GAN" else "damsm")
    generator = Generator(config)
    load_strictly(generator, weights, "imported")
    model = TextToImage(config, generator, GoldenText(data))
    drawn = dict(zip("abc", torch.cat([z, eps], 1), strict=True))
    monkeypatch.setattr("grgan_ref.model.noise", lambda key, *shape: drawn[key])
    jobs = [Job(key, "a caption", key) for key in drawn]
    assert sample(model, jobs, tmp_path / "images", {}, batch=3) == 3
    wanted = ((expected + 1) * 127.5).permute(0, 2, 3, 1).numpy()
    for key, image in zip("abc", wanted, strict=True):
        made = np.asarray(Image.open(tmp_path / "images" / f"{key}.png"))
        # Cut, not rounded; a value within rounding of a whole number may fall on either side.
        assert (made <= image + 1e-3).all() and (made >= image - 1 - 1e-3).all()


@pytest.mark.parametrize("system", FORMATS)
def test_info_of_a_released_file(system, tmp_path):
    write(system, tmp_path / "released.pth")
    told = succeed("info", tmp_path / "released.pth").stdout
    refinement = "attn" if system == "AttnGAN" else "dmgan"
    assert "a released generator" in told and f"refinement {refinement}" in told
    assert "stage 3: 256x256" in told
    assert '"quirks.mixed_memory_mask": true' in told


def test_a_released_generator_asks_for_its_matcher(tmp_path):
    write("DM-GAN", tmp_path / "coco_DMGAN.pth")
    (tmp_path / "captions.json").write_text('{"a": "a dog"}')
    result = grgan(
        "sample", tmp_path / "coco_DMGAN.pth", tmp_path / "captions.json", tmp_path / "out"
    )
    assert result.exit_code == 2 and "text_encoder100.pth" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    succeed("import-gan", tmp_path / "coco_DMGAN.pth", "--out", tmp_path / "model")
    result = grgan("sample", tmp_path / "model", tmp_path / "captions.json", tmp_path / "out")
    assert result.exit_code == 2 and "imported without its matcher" in result.stderr
    result = grgan(
        "sample", tmp_path / "model", tmp_path / "captions.json", tmp_path / "out",
        "--matcher", itm_run(),
    )  # fmt: skip
    assert result.exit_code == 2 and "holds the matcher itm; damsm is wanted here" in result.stderr


def test_the_real_sizes_are_read_off_the_file():
    """Every size of the three published COCO models follows from keys and shapes alone."""
    from grgan_ref.files.checkpoint import rename_generator
    from grgan_ref.released import released_config

    lines = shared("golden/state_keys_real_config.txt").read_text().splitlines()
    shapes = {}
    for line in lines:
        if line.startswith("netG/"):
            key, _, rest = line.removeprefix("netG/").partition(" ")
            sizes = rest[1 : rest.index(")")].split(",")
            shapes[key] = torch.empty([int(n) for n in sizes if n.strip()], device="meta")
    config = released_config(rename_generator(shapes))
    assert config == Config.load("coco-released")
    for preset in ("attn-released", "dmgan-released"):
        wanted = Config.load(preset)
        with torch.device("meta"):
            state = Generator(wanted).state_dict()
        assert released_config(state) == wanted
