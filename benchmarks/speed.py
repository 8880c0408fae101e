"""How fast, beside the peers: the same weights, files and threads, in one run.

    python benchmarks/speed.py PHOTOS CAPTIONS.json [--out FILE] [--only text]

PHOTOS is a folder of photographs, of which 640x480 JPEGs are made; CAPTIONS are COCO's. The
repetitions of ours and of a peer take turns; a ratio is of their medians, and behind it stand the
smallest and the largest of the ratios of single turns. Networks are ViT-B/32 with random weights.
clean-fid, where it is installed, gets OpenAI's network as torch-fidelity has it (its own needs a
download) through its `model` argument, and the resizing of its clip_features as `custom_fn_resize`.
prdc, the package of the authors of density and coverage, is timed where it is installed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import click
import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from scipy import linalg
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_clip import FeatureExtractorCLIP, build_model
from torch_fidelity.metric_prc import prc_features_to_metric
from torch_fidelity.utils import extract_featuresdict_from_input_id

from cmdmetric import Encoder, Moments, cross_model_distance, frechet_distance
from cmdmetric.encoders.preprocess import to_pixels
from cmdmetric.features.images import encode_images
from cmdmetric.inputs.captions import read_captions
from cmdmetric.inputs.images import open_images
from cmdmetric.metrics.kernels.cmmd import cmmd
from cmdmetric.metrics.neighbours.prdc import prdc_scores
from cmdmetric.metrics.retrieval import ranks
from cmdmetric.protocol import CLIP
from cmdmetric.scoring.family.catalogue import measure
from cmdmetric.scoring.family.diversity import PRDC, VENDI
from cmdmetric.scoring.family.kernels import CLIP_KID, CMMD
from cmdmetric.scoring.family.metric import Given
from cmdmetric.scoring.side import Side
from cmdmetric.uncertainty.error_bars import uncertainty
from grgan_ref import losses
from grgan_ref.config import Config, LossConfig
from grgan_ref.matching import Matcher
from grgan_ref.matching.itm import build_itm
from grgan_ref.networks.discriminator import Discriminator, build_discriminators
from grgan_ref.networks.generator import Generator
from grgan_ref.networks.layers import DoublingResidualBlock, ResidualBlock, UpBlock
from grgan_ref.networks.spectral_norm import SpectralNormConv2d
from grgan_ref.training.gan_step import Batch, Models, gan_step

MODEL = "ViT-B-32"
Row = list[str]
Timed = Callable[[], object]


def processor_seconds() -> float:
    """Of this process and of those that it has started and that have ended."""
    return sum(os.times()[:4])


CLOCKS = {"wall": time.perf_counter, "processor": processor_seconds}
clock = CLOCKS["wall"]


def race(ours: Timed, theirs: Timed, turns: int, digits: int = 1) -> tuple[float, float, str]:
    """Median seconds of both, which take turns, and the ratio with its range."""
    ours(), theirs()
    times: list[tuple[float, float]] = []
    for _ in range(turns):
        pair = []
        for run in (ours, theirs):
            start = clock()
            run()
            pair.append(clock() - start)
        times.append((pair[0], pair[1]))
    a, b = (statistics.median(column) for column in zip(*times, strict=True))
    ratios = [theirs / ours for ours, theirs in times]
    ratio, least, most = (f"{x:.{digits}f}" for x in (b / a, min(ratios), max(ratios)))
    return a, b, f"{ratio} ({least} to {most})"


def row(what: str, ours: str, peer: str, ratio: str, target: str) -> Row:
    click.echo(f"{what}: {ours} against {peer}: {ratio}, target {target}", err=True)
    return [what, ours, peer, ratio, target]


def random_weights(folder: Path) -> tuple[Path, open_clip.CLIP]:
    """Of ViT-B/32 with QuickGELU, as OpenAI's: a file, and open_clip's network with them."""
    torch.manual_seed(0)
    logging.disable(logging.WARNING)
    model = open_clip.create_model(f"{MODEL}-quickgelu", pretrained=None).eval()
    logging.disable(logging.NOTSET)
    file = folder / "random.safetensors"
    save_file(model.state_dict(), file)
    return file, model.requires_grad_(False)


def texts(weights: Path, peer: open_clip.CLIP, captions: list[str], turns: int) -> list[Row]:
    encoder = Encoder(f"{MODEL}-quickgelu", weights, "grgan", device="cpu")
    few = captions[:64]  # the peer's time does not depend on the captions: all are 77 tokens
    tokens, _ = encoder.tokenise(few)

    def theirs() -> Tensor:
        with torch.inference_mode():
            return peer.encode_text(tokens, normalize=True)

    error = float(np.abs(encoder.encode_texts(few) - theirs().numpy()).max())
    a, b, _ = race(lambda: encoder.encode_texts(captions), theirs, turns)
    speeds = len(captions) / a, len(few) / b
    return [row("captions, fp32", f"{speeds[0]:.0f}/s", f"open_clip, 77 tokens: {speeds[1]:.0f}/s",
                f"{speeds[0] / speeds[1]:.1f}; features equal to {error:.0e}", "8")]  # fmt: skip


def bf16(weights: Path, captions: list[str], turns: int) -> list[Row]:
    full, half = (
        Encoder(f"{MODEL}-quickgelu", weights, device="cpu", dtype=dtype)
        for dtype in ("fp32", "bf16")
    )
    captions = captions[:128]
    a, b, ratio = race(
        lambda: half.encode_texts(captions), lambda: full.encode_texts(captions), turns
    )
    return [row("captions, bf16", f"{len(captions) / a:.0f}/s",
                f"ours in fp32: {len(captions) / b:.0f}/s", ratio, "-")]  # fmt: skip


def limits(weights: Path, turns: int) -> list[Row]:
    """The network's arithmetic against that of one large product in the same type."""
    rows = []
    pixels = np.random.default_rng(0).integers(0, 256, (64, 224, 224, 3), dtype=np.uint8)
    of_network = len(pixels) * operations(tokens=50, width=768, layers=12, patch=32)
    for dtype, kind, target in (("fp32", torch.float32, "0.92"), ("bf16", torch.bfloat16, "-")):
        encoder = Encoder(f"{MODEL}-quickgelu", weights, device="cpu", dtype=dtype)
        x, kernel = torch.randn(1600, 768).to(kind), torch.randn(3072, 768).to(kind)
        of_product = 2 * len(x) * kernel.numel() * 100

        def network(encoder: Encoder = encoder) -> object:
            return [encoder.encode_pixels(part) for part in np.array_split(pixels, 2)]

        def product(x: Tensor = x, kernel: Tensor = kernel) -> None:
            with torch.inference_mode():
                for _ in range(100):
                    F.linear(x, kernel)

        a, b, _ = race(network, product, turns)
        speeds = of_network / a / 1e9, of_product / b / 1e9
        rows.append(row(f"images in memory, {dtype}: {len(pixels) / a:.1f}/s",
                        f"{speeds[0]:.0f} GFLOP/s", f"a large product: {speeds[1]:.0f} GFLOP/s",
                        f"{speeds[0] / speeds[1]:.2f}", target))  # fmt: skip
    return rows


def operations(tokens: int, width: int, layers: int, patch: int) -> int:
    """Of a vision transformer for one image, whose last layer is computed for one token alone."""
    embedding = (tokens - 1) * width * 3 * patch**2
    layer = tokens * 12 * width**2 + 2 * tokens**2 * width
    last = tokens * 2 * width**2 + 10 * width**2
    return 2 * (embedding + (layers - 1) * layer + last)


class TorchFidelity(FeatureExtractorCLIP):
    """torch-fidelity's extractor on given weights, which it would else take from an archive."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        FeatureExtractorBase.__init__(self, "clip-vit-b-32", ["clip"])
        self.feature_extractor_internal_dtype = torch.float32
        self.model = build_model(state, torch.float32).eval()
        self.resolution = self.model.visual.input_resolution
        self.requires_grad_(False)


def make_jpegs(photos: Path, folder: Path, number: int) -> Path:
    """640x480 JPEGs of quality 90: different crops of the photographs."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = sorted(p for p in photos.iterdir() if p.suffix.lower() in (".jpg", ".png"))
    for i in range(number):
        image = Image.open(paths[i % len(paths)]).convert("RGB").resize((800, 600))
        left, top = (int(rng.integers(0, n)) for n in (160, 120))
        image.crop((left, top, left + 640, top + 480)).save(folder / f"{i:05d}.jpg", quality=90)
    return folder


def images(
    weights: Path, peer: open_clip.CLIP, photos: Path, folder: Path, number: int, turns: int
) -> list[Row]:
    jpegs = make_jpegs(photos, folder / "jpegs", number)
    encoder = Encoder(f"{MODEL}-quickgelu", weights, "clip", device="cpu")
    pixels = np.stack([to_pixels(i.load(), 224, encoder.protocol) for i in open_images(jpegs)])

    def ours() -> object:
        return encode_images(open_images(jpegs), encoder).features

    def in_memory() -> object:
        return [encoder.encode_pixels(pixels[i : i + 32]) for i in range(0, number, 32)]

    state = {k: v for k, v in peer.state_dict().items() if k != "attn_mask"}
    theirs = TorchFidelity(state)

    def torch_fidelity() -> object:
        return extract_featuresdict_from_input_id(
            1, theirs, input1=str(jpegs), cuda=False, batch_size=64, verbose=False, cache=False
        )

    a, b, ratio = race(ours, torch_fidelity, turns)
    rows = [row("images, fp32, from JPEG files", f"{number / a:.1f}/s",
                f"torch-fidelity: {number / b:.1f}/s", ratio, "1.8")]  # fmt: skip
    a, b, ratio = race(ours, in_memory, turns)
    rows.append(row("images, of the bare network", f"{number / a:.1f}/s",
                    f"ours, from memory: {number / b:.1f}/s", ratio, "0.95"))  # fmt: skip
    try:
        from cleanfid.fid import get_folder_features
    except ImportError:
        return rows
    mean, std = torch.tensor(encoder.checkpoint.mean), torch.tensor(encoder.checkpoint.std)

    def network(x: Tensor) -> Tensor:
        with torch.no_grad():
            return theirs.model.visual((x / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1))

    def clean_fid() -> object:
        return get_folder_features(
            str(jpegs), network, num_workers=os.cpu_count(), batch_size=32,
            device=torch.device("cpu"), custom_fn_resize=resize_of_clean_fid, verbose=False,
        )  # fmt: skip

    a, b, ratio = race(ours, clean_fid, turns)
    rows.append(row("images, fp32, from JPEG files", f"{number / a:.1f}/s",
                    f"clean-fid: {number / b:.1f}/s", ratio, "1.8"))  # fmt: skip
    return rows


def resize_of_clean_fid(image: np.ndarray) -> np.ndarray:
    """What its clip_features do: the shorter side to 224 by bicubic, then the centre."""
    return to_pixels(Image.fromarray(image), 224, CLIP)


def sqrtm_distance(a: Moments, b: Moments) -> float:
    """As in pytorch-fid and the released evaluation."""
    root = linalg.sqrtm(a.cov @ b.cov)
    gap = a.mean - b.mean
    return float(gap @ gap + np.trace(a.cov) + np.trace(b.cov) - 2 * np.trace(root).real)


def sampled(d: int, seed: int) -> Moments:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2 * d, d)) * np.geomspace(1, 0.01, d)
    return Moments.from_features(x + 0.1 * seed)


def fresh(moments: Moments) -> Moments:
    """Without what it has computed."""
    return Moments.from_sums(*moments.sums)


def distances(turns: int) -> list[Row]:
    rows = []
    f, r, l = (sampled(512, seed) for seed in range(3))
    a, b, ratio = race(
        lambda: cross_model_distance(fresh(f), fresh(r), fresh(l)),
        lambda: [sqrtm_distance(x, y) for x, y in ((f, r), (f, l), (r, l))],
        turns,
    )
    rows.append(row("CMD from moments, d = 512", f"{a:.3f} s", f"three scipy.sqrtm: {b:.2f} s",
                    ratio, "4, 0.12 s"))  # fmt: skip
    f, r = (sampled(2048, seed) for seed in range(2))
    a, b, ratio = race(
        lambda: frechet_distance(fresh(f), fresh(r)), lambda: sqrtm_distance(f, r), min(turns, 2)
    )
    rows.append(row("Fréchet distance, d = 2048", f"{a:.2f} s", f"scipy.sqrtm: {b:.1f} s",
                    ratio, "5"))  # fmt: skip
    rng = np.random.default_rng(0)
    sides = [rng.standard_normal((30_000, 512), np.float32) + shift for shift in (0, 0.02, 0.2)]
    start = clock()
    uncertainty(*sides)
    seconds = clock() - start
    rows.append(row("error bars, 3 x 30,000 x 512", f"{seconds:.1f} s", "none has them", "", "-"))
    return rows


def directions(n: int, shift: float, seed: int) -> np.ndarray:
    """(n, 512) of length one and close together, as CLIP's: their cosines are about 0.6."""
    rng, place = np.random.default_rng(seed), np.random.default_rng(0)
    mean, spectrum = place.standard_normal(512), np.geomspace(1, 0.05, 512)
    mean *= 0.75 / np.linalg.norm(mean)
    x = mean + rng.standard_normal((n, 512)) * spectrum * (0.6 / np.linalg.norm(spectrum))
    x[:, 3] += shift
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def published_cmmd(x: np.ndarray, y: np.ndarray) -> float:
    """As CMMD's authors' code computes it: three whole matrices in float32."""

    def mean(a: Tensor, b: Tensor) -> Tensor:
        squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
        return torch.exp(squares / -200).mean()

    a, b = torch.from_numpy(x), torch.from_numpy(y)
    return 1000 * float(mean(a, a) + mean(b, b) - 2 * mean(a, b))


def family(number: int, turns: int) -> list[Row]:
    f, r = directions(number, 0.05, 1), directions(number, 0.0, 2)
    size, a = f"{number:,} x 512", torch.from_numpy
    peers: dict[str, tuple[Timed, str, Timed]] = {
        "CMMD": (lambda: cmmd(f, r), "its authors' sums, torch", lambda: published_cmmd(f, r)),
        "precision, recall": (
            lambda: prdc_scores(f, r, k=3),
            "torch-fidelity",
            lambda: prc_features_to_metric(a(f), a(r), prc_neighborhood=3, verbose=False),
        ),
    }
    try:
        from prdc import compute_prdc
    except ImportError:
        pass
    else:

        def quietly() -> object:
            with contextlib.redirect_stdout(io.StringIO()):
                return compute_prdc(r, f, nearest_k=5)

        peers["precision to coverage"] = lambda: prdc_scores(f, r), "prdc", quietly
    rows = []
    for what, (ours, name, theirs) in peers.items():
        seconds, peer, ratio = race(ours, theirs, turns)
        rows.append(row(f"{what}, {size}", f"{seconds:.1f} s", f"{name}: {peer:.1f} s",
                        ratio, "5"))  # fmt: skip
    sides = [Side(Moments.from_features(x), "arrays", features=x) for x in (f, r)]
    start = clock()
    given = Given(sides[0], sides[1], sides[1], in_one_pass=True)
    for metric in (CMMD, CLIP_KID, PRDC, VENDI):
        measure(metric, given)
    ranks(f, r)
    rows.append(row(f"CMMD, KID, PRDC, Vendi with error bars, R@k, {size}",
                    f"{clock() - start:.1f} s", "none has them", "", "7 s"))  # fmt: skip
    return rows


def loop_over_captions(
    regions: Tensor, words: Tensor, lengths: Tensor, loss: LossConfig, classes: object = None
) -> tuple[Tensor, Tensor]:
    """The word loss as AttnGAN's, DM-GAN's and GR-GAN's code runs it: every caption in turn against
    all images, its words repeated for each. classes: all differ.
    """
    n, flat = len(regions), regions.flatten(2)
    scores = []
    for i, count in enumerate(lengths.tolist()):
        word = words[i, :, :count].repeat(n, 1, 1)
        products = flat.transpose(1, 2) @ word  # (n, regions, count)
        attention = (loss.gamma1 * products.softmax(2).transpose(1, 2)).softmax(2)
        context = flat @ attention.transpose(1, 2)
        cosine = F.cosine_similarity(word, context, dim=1)
        scores.append((loss.gamma2 * cosine).exp().sum(1).log())
    logits, target = loss.gamma3 * torch.stack(scores, 1), torch.arange(n)
    return F.cross_entropy(logits, target), F.cross_entropy(logits.t(), target)


def words_and_regions(turns: int) -> list[Row]:
    torch.manual_seed(0)
    config = LossConfig()
    regions = torch.randn(48, 512, 14, 14, requires_grad=True)
    words = torch.randn(48, 512, 20, requires_grad=True)

    def step(loss: Callable[..., tuple[Tensor, Tensor]], lengths: Tensor) -> None:
        regions.grad = words.grad = None
        sum(loss(regions, words, lengths, config)).backward()

    rows = []
    for what, lengths in {
        "20 words": torch.full((48,), 20),
        "7 to 15 words in 20 slots": torch.randint(7, 16, (48,)),
    }.items():
        a, b, ratio = race(
            partial(step, losses.word_loss, lengths),
            partial(step, loop_over_captions, lengths),
            turns,
        )
        rows.append(row(f"word loss, 48 x {what} x 14x14 x 512", f"{a:.2f} s",
                        f"loop over captions: {b:.2f} s", ratio, "5"))  # fmt: skip
    return rows


# The released code's forms of our modules: the same parameters and results, its sums.


class PlainUpBlock(UpBlock):
    def forward(self, x: Tensor) -> Tensor:
        return F.glu(self.norm(self.conv(F.interpolate(x, scale_factor=2))), dim=1)


class PlainDoubling(DoublingResidualBlock):
    def forward(self, h: Tensor) -> Tensor:
        return ResidualBlock.forward(self, torch.cat([h, h], 1))


class PlainSpectralNorm(SpectralNormConv2d):
    def forward(self, x: Tensor) -> Tensor:
        matrix = self.weight.flatten(1)
        self._power_iteration(matrix.detach())
        return self._conv_forward(x, self.weight / self.u.dot(matrix.mv(self.v)), self.bias)


class PlainDiscriminator(Discriminator):
    def requires_grad_(self, requires_grad: bool = True) -> PlainDiscriminator:
        """The released code leaves them on in the generator's step and computes gradients of the
        discriminators there that nothing uses."""
        return self


PLAIN = {
    UpBlock: PlainUpBlock,
    DoublingResidualBlock: PlainDoubling,
    SpectralNormConv2d: PlainSpectralNorm,
    Discriminator: PlainDiscriminator,
}


def plain_glu(x: Tensor, dim: int = 1) -> Tensor:
    first, second = x.chunk(2, dim)
    return first * second.sigmoid()


class CheapMatcher:
    """In the ITM's place two linear maps of average-pooled pixels, so that the rest is timed."""

    def __init__(self, dim: int) -> None:
        self.region, self.code = torch.randn(dim, 3), torch.randn(dim, 48)

    def encode_image(self, images: Tensor) -> tuple[Tensor, Tensor]:
        images = F.interpolate(images, (224, 224), mode="bilinear", align_corners=False)
        regions = torch.einsum("ec,bchw->behw", self.region, F.adaptive_avg_pool2d(images, 14))
        return regions, F.adaptive_avg_pool2d(images, 4).flatten(1) @ self.code.t()


class Training:
    """The models and optimisers of one training from random weights; a call is a step.

    plain: the same step in the forms of the released code.
    """

    def __init__(self, config: Config, matcher: Matcher, batch: int, plain: bool) -> None:
        torch.manual_seed(0)
        self.config, self.matcher = config, matcher
        self.word_loss = loop_over_captions if plain else losses.word_loss
        self.glu = plain_glu if plain else F.glu
        generator, discriminators = Generator(config), build_discriminators(config)
        optimisers = [
            torch.optim.Adamax(net.parameters(), config.train.generator_rate, config.train.betas)
            for net in (generator, *discriminators)
        ]
        self.models = Models(generator, discriminators, optimisers[0], optimisers[1:])
        if plain:
            for net in [*generator.modules(), *discriminators.modules()]:
                net.__class__ = PLAIN.get(type(net), type(net))
        model, slots = config.model, config.data.words
        lengths = torch.randint(7, slots + 1, (batch,))
        self.batch = Batch(
            [torch.rand(batch, 3, stage.size, stage.size) * 2 - 1 for stage in model.stages],
            torch.randn(batch, model.embedding_dim),
            torch.randn(batch, model.embedding_dim, slots),
            torch.arange(slots) >= lengths[:, None],
            lengths,
            torch.randn(batch, model.noise_dim),
            torch.randn(batch, model.condition_dim),
        )

    def __call__(self) -> dict[str, Tensor]:
        with (
            mock.patch.object(losses, "word_loss", self.word_loss),
            mock.patch.object(F, "glu", self.glu),
        ):
            return gan_step(self.models, self.matcher, self.batch, self.config)


def training_steps(turns: int) -> list[Row]:
    """At the paper's size, all of a step but encoding the captions, which both have beforehand."""
    config = Config.load("coco-released")
    cheap = CheapMatcher(config.model.embedding_dim)
    itm = build_itm(config, pretrained=False).eval().requires_grad_(False)
    rows = []
    for name, matcher, batch in (
        ("a cheap stand-in for the ITM", cheap, 4),
        ("the ITM, random weights", itm, 2),
    ):
        ours, theirs = (Training(config, matcher, batch, plain) for plain in (False, True))
        plain = theirs()
        for key, value in ours().items():  # losses and norms of gradients
            torch.testing.assert_close(value, plain[key], rtol=1e-3, atol=1e-5, msg=key)
        a, b, ratio = race(ours, theirs, turns, digits=2)
        rows.append(row(f"training step, batch {batch}, {name}", f"{a:.1f} s",
                        f"as the released code: {b:.1f} s", ratio, "1.3"))  # fmt: skip
    return rows


@click.command()
@click.argument("photos", type=click.Path(exists=True, path_type=Path))
@click.argument("captions", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), default="benchmarks/results/speed.md")
@click.option("--turns", default=5, show_default=True)
@click.option("--images", "number", default=128, show_default=True)
@click.option("--samples", default=10_000, show_default=True, help="of the family's metrics")
@click.option("--threads", default=os.cpu_count(), show_default=True)
@click.option("--clock", "kind", type=click.Choice(list(CLOCKS)), default="wall",
              show_default=True, help="processor: where others use the machine.")  # fmt: skip
@click.option("--only", help="text, bf16, images, limits, distances, family, words or step.")
def main(
    photos: Path,
    captions: Path,
    out: Path,
    turns: int,
    number: int,
    samples: int,
    threads: int,
    kind: str,
    only: str | None,
) -> None:
    global clock
    clock = CLOCKS[kind]
    torch.set_num_threads(threads)
    sentences = list(read_captions(captions).texts[: 4 * number])
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights, peer = random_weights(folder)
        for topic, run in {
            "distances": lambda: distances(turns),
            "family": lambda: family(samples, min(turns, 3)),
            "words": lambda: words_and_regions(turns),
            "step": lambda: training_steps(min(turns, 3)),
            "text": lambda: texts(weights, peer, sentences, turns),
            "images": lambda: images(weights, peer, photos, folder, number, turns),
            "limits": lambda: limits(weights, turns),
            "bf16": lambda: bf16(weights, sentences, min(turns, 2)),
        }.items():
            if only in (None, topic):
                rows += run()
    load = os.getloadavg()[1]
    lines = [
        "# Speed beside the peers",
        "",
        f"{machine()}; torch {torch.__version__}, {threads} threads; {kind} seconds; load "
        f"of all that ran meanwhile: {load:.1f}. Ratio: of the medians of {turns} turns.",
        "",
        "| work | ours | peer | ratio | target |",
        "| --- | --- | --- | --- | --- |",
        *("| " + " | ".join(cells) + " |" for cells in rows),
    ]
    click.echo("\n".join(lines))
    if only is None:
        out.write_text("\n".join(lines) + "\n")


def machine() -> str:
    """The processor and what it can do."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    names = [x.split(": ")[1] for x in text.splitlines() if x.startswith("model name")]
    return (
        f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}, "
        f"{torch.backends.cpu.get_cpu_capability()}"
    )


if __name__ == "__main__":
    main()
