"""Networks of timm: DINOv2 as FD-DINOv2 has it, and any other, against formulas of our own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cmdmetric import InputError, cmd
from cmdmetric.encoders import build_image_network, network_name
from cmdmetric.encoders.clip import Encoder
from cmdmetric.encoders.timm import TimmNetwork, dinov2, dinov2_card, timm_network
from cmdmetric.files import sha256_of
from cmdmetric.metrics import Moments, frechet_distance
from cmdmetric.metrics.mind import mind
from cmdmetric.scenes import draw_scene
from cmdmetric.scoring import Wanted, citations
from tests.support.commands import run

#: Of stand-ins for DINOv2: columns, blocks, heads.
SMALL = 384, 12, 6
LARGE = 1024, 24, 16
#: The blocks of the large one that do something; that all of them follow each other as they should
#: is seen in the small one.
LARGE_DRAWN = (0, 23)
#: float32 through up to 24 blocks, in another order of the same operations.
ROUNDING = 2e-5


def stand_in(width: int, blocks: int, drawn: Sequence[int]) -> dict[str, torch.Tensor]:
    """Seeded weights with the names and shapes that Meta has published for DINOv2.

    Those of other blocks than the drawn ones are zeros.
    """
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int, std: float = 0.02) -> torch.Tensor:
        return torch.randn(*shape, generator=draw) * std

    state = {
        "cls_token": normal(1, 1, width),
        "pos_embed": normal(1, 1 + 37 * 37, width, std=0.5),
        "mask_token": normal(1, width),
        "patch_embed.proj.weight": normal(width, 3, 14, 14),
        "patch_embed.proj.bias": normal(width),
        "norm.weight": 1 + normal(width),
        "norm.bias": normal(width),
    }

    def of_block() -> dict[str, torch.Tensor]:
        own = {}
        for name, shape in (
            ("attn.qkv", (3 * width, width)), ("attn.proj", (width, width)),
            ("mlp.fc1", (4 * width, width)), ("mlp.fc2", (width, 4 * width)),
        ):  # fmt: skip
            own[f"{name}.weight"] = normal(*shape)
            own[f"{name}.bias"] = normal(shape[0])
        for name in ("norm1", "norm2"):
            own[f"{name}.weight"] = 1 + normal(width)
            own[f"{name}.bias"] = normal(width)
        for name in ("ls1.gamma", "ls2.gamma"):
            own[name] = 0.5 + normal(width)
        return own

    own = {}
    for block in range(blocks):
        own = of_block() if block in drawn else {k: torch.zeros_like(x) for k, x in own.items()}
        state |= {f"blocks.{block}.{name}": value for name, value in own.items()}
    return state


def cubic(x: np.ndarray) -> np.ndarray:
    """The cubic convolution kernel with a = -0.75, which torch interpolates with (Keys 1981)."""
    x, a = np.abs(x), -0.75
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def resampling(old: int, new: int, scale: float) -> np.ndarray:
    """(new, old): what each of `new` samples takes of each of `old`, not antialiased."""
    weights = np.zeros((new, old))
    for i in range(new):
        centre = (i + 0.5) / scale - 0.5
        first = int(np.floor(centre)) - 1
        for j in range(first, first + 4):
            weights[i, min(max(j, 0), old - 1)] += cubic(np.array(centre - j))
    return weights


def features_of(
    state: dict[str, torch.Tensor], image: Image.Image, heads: int, blocks: Sequence[int]
) -> np.ndarray:
    """DINOv2's class token, written out in float64 from the paper and Meta's settings.

    Other blocks than the named ones add nothing: their weights are zeros.
    """
    unlike = tuple(f"blocks.{b}." for b in range(99) if b not in blocks)
    w = {key: x.double().numpy() for key, x in state.items() if not key.startswith(unlike)}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def gelu(x: np.ndarray) -> np.ndarray:
        from scipy.special import erf

        return x * (1 + erf(x / np.sqrt(2))) / 2

    pixels = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)) / 255
    pixels = (pixels - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    patches = pixels.reshape(16, 14, 16, 14, 3).transpose(0, 2, 4, 1, 3).reshape(256, -1)
    width = w["cls_token"].shape[-1]
    x = patches @ w["patch_embed.proj.weight"].reshape(width, -1).T + w["patch_embed.proj.bias"]
    grid = w["pos_embed"][0, 1:].reshape(37, 37, width)
    take = resampling(37, 16, 16.1 / 37)
    positions = np.einsum("ai,bj,ijd->abd", take, take, grid, optimize=True).reshape(256, width)
    x = np.concatenate([w["cls_token"][0] + w["pos_embed"][0, :1], x + positions])
    for b in blocks:
        q, k, v = linear(norm(x, f"blocks.{b}.norm1"), f"blocks.{b}.attn.qkv").reshape(
            257, 3, heads, -1
        ).transpose(1, 2, 0, 3)  # fmt: skip
        attention = q @ k.transpose(0, 2, 1) / np.sqrt(width // heads)
        attention = np.exp(attention - attention.max(-1, keepdims=True))
        attention /= attention.sum(-1, keepdims=True)
        seen = (attention @ v).transpose(1, 0, 2).reshape(257, width)
        x = x + w[f"blocks.{b}.ls1.gamma"] * linear(seen, f"blocks.{b}.attn.proj")
        hidden = gelu(linear(norm(x, f"blocks.{b}.norm2"), f"blocks.{b}.mlp.fc1"))
        x = x + w[f"blocks.{b}.ls2.gamma"] * linear(hidden, f"blocks.{b}.mlp.fc2")
    return norm(x, "norm")[0]


def pictures() -> list[Image.Image]:
    """One of a scene, tall; one of noise, wide, with an alpha channel that is dropped."""
    noise = np.random.default_rng(0).integers(0, 256, (90, 300, 4), dtype=np.uint8)
    return [draw_scene(3).render(96).resize((200, 520)), Image.fromarray(noise, "RGBA")]


def equal_to_the_formula(
    network: TimmNetwork, state: Any, heads: int, blocks: Sequence[int]
) -> None:
    images = pictures()
    found = network.encode(np.stack([network.prepare(image) for image in images]))
    expected = np.stack([features_of(state, image, heads, blocks) for image in images])
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING * np.abs(expected).max())
    # The two images are told apart by far more than that.
    assert np.abs(expected[0] - expected[1]).max() > 1e3 * ROUNDING * np.abs(expected).max()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A stand-in for DINOv2, a ViT-S/14, saved as Meta saves: a state dict in a .pth."""
    file, state = tmp_path_factory.mktemp("dinov2") / "small.pth", stand_in(*SMALL[:2], range(12))
    torch.save(state, file)
    return file, state


def test_dinov2_is_what_its_hub_computes(small: tuple[Path, dict[str, torch.Tensor]]) -> None:
    file, state = small
    network = TimmNetwork(dinov2_card(file, "vit_small_patch14_dinov2"), device="cpu")
    equal_to_the_formula(network, state, SMALL[2], range(12))
    assert network.sha256 == sha256_of(file) and network.provenance("x") is None
    assert network.fields == {"proto": "dgm-eval", "dtype": "fp32", "tok": "none"}


@pytest.mark.slow
def test_dinov2_of_the_true_size(tmp_path: Path) -> None:
    state = stand_in(*LARGE[:2], LARGE_DRAWN)
    save_file(state, tmp_path / "model.safetensors")
    network = dinov2(tmp_path / "model.safetensors", device="cpu")
    equal_to_the_formula(network, state, LARGE[2], LARGE_DRAWN)


def test_dinov2_takes_the_middle_of_no_image(small: tuple[Path, dict[str, torch.Tensor]]) -> None:
    network = TimmNetwork(dinov2_card(small[0], "vit_small_patch14_dinov2"), device="cpu")
    image = Image.new("RGB", (400, 100))
    image.paste("red", (0, 0, 10, 100))
    pixels = network.prepare(image)
    assert pixels.shape == (224, 224, 3) and pixels[100, 0, 0] > 200  # the left edge is there


def test_weights_that_are_not_dinov2s(
    small: tuple[Path, dict[str, torch.Tensor]], tmp_path: Path
) -> None:
    file, state = small
    with pytest.raises(InputError, match="no such weights file"):
        dinov2(tmp_path / "none.pth", device="cpu")
    pixels = np.zeros((1, 224, 224, 3), np.uint8)
    with pytest.raises(InputError, match="do not load into vit_large_patch14_dinov2"):
        dinov2(file, device="cpu").encode(pixels)
    other = {key: value for key, value in state.items() if key != "norm.bias"}
    torch.save(other, tmp_path / "lacking.pth")
    card = dinov2_card(tmp_path / "lacking.pth", "vit_small_patch14_dinov2")
    with pytest.raises(InputError, match=r"they lack (fc_)?norm.bias"):
        TimmNetwork(card, device="cpu").encode(pixels)
    torch.save({**state, "pos_embed": torch.zeros(1, 257, 384)}, tmp_path / "other.pth")
    card = dinov2_card(tmp_path / "other.pth", "vit_small_patch14_dinov2")
    with pytest.raises(InputError, match=r"its pos_embed is \(1, 257, 384\)"):
        TimmNetwork(card, device="cpu").encode(pixels)
    infinite = {**state, "norm.bias": torch.full((384,), torch.inf)}
    torch.save(infinite, tmp_path / "infinite.pth")
    card = dinov2_card(tmp_path / "infinite.pth", "vit_small_patch14_dinov2")
    with pytest.raises(InputError, match="not finite"):
        TimmNetwork(card, device="cpu").encode(pixels)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("evil"),)


def test_weights_run_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"cls_token": Evil()}, "evil.pth")
    Path("junk.safetensors").write_bytes(b"junk")
    for name in ("evil.pth", "junk.safetensors"):
        with pytest.raises(InputError, match=f"{name}: these weights do not load") as told:
            dinov2(name, device="cpu").encode(np.zeros((1, 224, 224, 3), np.uint8))
        assert "weights_only" not in str(told.value)  # timm's advice is to execute it
    assert not Path("evil").exists()


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small residual network with seeded weights, as timm writes one for the Hub."""
    import timm
    from timm.models import save_for_hf

    folder = tmp_path_factory.mktemp("models") / "my-resnet"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model("resnet10t", pretrained=False, num_classes=7)
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    save_for_hf(network, folder, safe_serialization=True)
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= {
        "input_size": [3, 64, 64], "crop_pct": 0.8, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_folder_of_timm(resnet: Path) -> None:
    import timm
    from safetensors.torch import load_file

    network = timm_network(resnet, device="cpu")
    pixels = np.stack([network.prepare(image) for image in pictures()])
    assert pixels.shape == (2, 64, 64, 3) and pixels.dtype == np.uint8
    # The shorter side becomes 64 / 0.8 = 80 pixels, of which the middle counts.
    tall = pictures()[0].convert("RGB").resize((80, 208), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(pixels[0], np.asarray(tall.crop((8, 72, 72, 136))))
    model = timm.create_model("resnet10t", pretrained=False, num_classes=7)
    model.load_state_dict(load_file(resnet / "model.safetensors"))
    x = (torch.from_numpy(pixels) / 255 - torch.tensor([0.4, 0.5, 0.6])) / torch.tensor(
        [0.2, 0.25, 0.3]
    )
    with torch.inference_mode():
        expected = model.eval().forward_features(x.permute(0, 3, 1, 2)).mean(dim=(2, 3)).numpy()
    found = network.encode(pixels)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_line_does_not_fill_the_memory(resnet: Path) -> None:
    network = timm_network(resnet, device="cpu")
    assert network.prepare(Image.new("RGB", (1_000_000, 1), "red")).shape == (64, 64, 3)


def test_folders_that_are_refused(resnet: Path, tmp_path: Path) -> None:
    def folder(name: str, **changes: Any) -> Path:
        (tmp_path / name).mkdir()
        config = json.loads((resnet / "config.json").read_text())
        (tmp_path / name / "config.json").write_text(json.dumps({**config, **changes}))
        return tmp_path / name

    (tmp_path / "empty").mkdir()
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "config.json").write_text("[")
    hostile = {"checkpoint_path": "/etc/passwd"}
    for path, message in (
        (tmp_path / "empty", "it has no config.json"),
        (tmp_path / "junk", "not a configuration of timm"),
        (folder("bare"), "it holds no weights"),
        (folder("other", architecture="no_such"), "no architecture 'no_such'"),
        (folder("hostile", model_args=hostile), "'checkpoint_path', which is no part"),
        (folder("grey", pretrained_cfg={"mean": [0.5], "std": [0.5]}), "it holds no weights"),
    ):
        with pytest.raises(InputError, match=message):
            timm_network(path, device="cpu")


def test_names(tmp_path: Path) -> None:
    for name, message in (
        ("resnet99", "no image model 'resnet99'"),
        ("resnet10t.c3_in1k", None),
        ("resnet10t.none", "timm has no weights 'none' of resnet10t; it has resnet10t.c3_in1k"),
    ):
        with pytest.raises(InputError, match=message or "are not at hand"):
            build_image_network(name, name, None, device="cpu", batch_size=2)
    with pytest.raises(InputError, match=r"DINOv2 are not at hand(.|\n)*HF_HUB_OFFLINE"):
        dinov2(device="cpu")
    with pytest.raises(InputError, match="cannot be called 'inception'"):
        network_name("inception")
    (tmp_path / "dinov2").mkdir()
    with pytest.raises(InputError, match="cannot be called 'dinov2'"):
        network_name(tmp_path / "dinov2")
    assert network_name("dinov2") == "dinov2" and network_name("a/b.c") == "a_b.c"


def test_a_folder_and_a_name_of_timms_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("resnet10t", "resnet10t.c3_in1k", "resnet10t.mine", "mine"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    both = r"resnet10t: a folder .* \./resnet10t is the folder, resnet10t\.c3_in1k is timm's"
    with pytest.raises(InputError, match=both):
        network_name("resnet10t")
    with pytest.raises(InputError, match=r"\./resnet10t\.c3_in1k is the folder$"):
        network_name("resnet10t.c3_in1k")
    for folder in ("./resnet10t", "resnet10t/", Path("resnet10t"), tmp_path / "resnet10t"):
        assert network_name(folder) == "resnet10t"
    assert [network_name(name) for name in ("resnet10t.mine", "mine", "resnet18")] == [
        "resnet10t.mine", "mine", "resnet18",
    ]  # fmt: skip


def test_two_models_of_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "net").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="a/net and b/net would both be called 'net'"):
        Wanted.of("", image_model=["a/net", "b/net"])
    once = Wanted.of("", image_model=["a/net", "./a/net", tmp_path / "a" / "net"])
    assert list(once.models) == ["net"] and len(once.metrics) == 5


@pytest.mark.parametrize("given", [3, None, [3], ["resnet50", None]])
def test_what_is_no_image_model_is_told(given: Any) -> None:
    with pytest.raises(InputError, match=r"image_model is .*: it takes a name"):
        Wanted.of("", image_model=given)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("scenes")
    for side, first, n in (("f", 0, 30), ("r", 500, 40)):
        (root / side).mkdir()
        for i in range(n):
            draw_scene(first + i).render(64).save(root / side / f"{i:02}.png")
    return root / "f", root / "r"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_metrics_of_a_folder(
    resnet: Path, folders: tuple[Path, Path], encoder: Encoder, tmp_path: Path
) -> None:
    texts = [draw_scene(i).captions(1)[0] for i in range(30)]
    score = cmd(
        folders[0], texts, folders[1], image_model=resnet, encoder=encoder, cache=tmp_path / "c"
    )
    names = ["fd", "kid", "mind", "precision", "recall", "density", "coverage", "vendi"]
    assert list(score.metrics) == [f"{name}_my-resnet" for name in names]
    network = timm_network(resnet, device="cpu")
    f, r = (
        network.encode(np.stack([network.prepare(Image.open(p)) for p in sorted(x.iterdir())]))
        for x in folders
    )
    expected = frechet_distance(Moments.from_features(f), Moments.from_features(r))
    assert score.metrics["fd_my-resnet"].value == pytest.approx(expected, rel=1e-4)
    cosines = (f / np.linalg.norm(f, axis=1, keepdims=True)).astype(np.float64)
    values = np.linalg.eigvalsh(cosines @ cosines.T / len(f))
    entropy = -sum(x * np.log(x) for x in values if x > 1e-12)
    assert score.metrics["vendi_my-resnet"].value == pytest.approx(np.exp(entropy), rel=1e-4)
    assert score.metrics["mind_my-resnet"].value == pytest.approx(mind(f, r), rel=1e-4)
    assert score.metrics["fd_my-resnet"].standard_error is not None
    signature = score.signatures["kid_my-resnet"]
    assert signature.startswith("KID_MY-RESNET|proto:timm@")
    assert f"|model:my-resnet@{network.sha256[:8]}|" in signature
    assert "stein2023exposing" in (told := citations(score.to_dict())) and "timm" in told
    assert "binkowski2018kid" in told and "dinov2" not in told


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_weights_of_which_model(encoder: Encoder, resnet: Path, folders: tuple[Path, Path]) -> None:
    some: dict[str, Any] = {"encoder": encoder, "image_weights": resnet / "model.safetensors"}
    with pytest.raises(InputError, match="none is wanted"):
        cmd(folders[0], ["a"] * 30, folders[1], **some)
    with pytest.raises(InputError, match="2 such models are wanted"):
        cmd(folders[0], ["a"] * 30, folders[1], image_model=["dinov2", resnet], **some)


@pytest.mark.parametrize("given", ["inception_weights", "inception_real"])
def test_what_is_for_no_metric_is_refused(
    encoder: Encoder, folders: tuple[Path, Path], given: str
) -> None:
    with pytest.raises(InputError, match=f"--{given.replace('_', '-')}.*no metric"):
        cmd(
            folders[0], ["a"] * 30, folders[1], encoder=encoder, metrics="clipscore",
            **{given: folders[1]},
        )  # fmt: skip


def test_the_command(resnet: Path, folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text(
        "\n".join(draw_scene(i).captions(1)[0] for i in range(30))
    )
    words = [
        "cmd-score", str(folders[0]), str(tmp_path / "captions.txt"), "--real", str(folders[1]),
        "--model", "scenes-toy", "--image-model", str(resnet), "--format", "json",
    ]  # fmt: skip
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert "fd_my-resnet" in json.loads(done.stdout)["metrics"]
