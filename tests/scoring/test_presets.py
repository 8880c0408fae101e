"""CLIPScore and CMMD as their papers compute them, on a small random CLIP in place of theirs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torchvision import transforms

from cmdmetric import CMDScore, Evaluator, InputError, Protocol, cmd
from cmdmetric.encoders.catalogue import _CMMD, _HESSEL, IMAGE_NETWORKS, _clip
from cmdmetric.encoders.clip import Encoder
from cmdmetric.encoders.preprocess import to_pixels
from cmdmetric.protocol import CMMD, HESSEL
from cmdmetric.scenes import draw_scene
from cmdmetric.scoring import Wanted, citations
from cmdmetric.scoring.family.catalogue import metrics_named

N, SIDE = 24, 32
#: Features are float32, and so are the pixels that they are made of.
ROUNDING = 1e-5
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def scene(seed: int) -> Image.Image:
    """No square: wide or tall."""
    return draw_scene(seed).render(64).resize((96, 50) if seed % 2 else (45, 80))


def caption(seed: int) -> str:
    return draw_scene(seed).captions(1)[0]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("presets")
    for side, first in (("f", 0), ("r", 500)):
        (root / side).mkdir()
        for i in range(N):
            scene(first + i).save(root / side / f"{i:02}.png")
    return root / "f", root / "r"


@pytest.fixture
def small(tiny_clip: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small CLIP in the place of OpenAI's, also as open_clip loads it."""
    for name, published in (("clip-hessel", _HESSEL), ("clip-cmmd", _CMMD)):
        build = partial(_clip, (str(tiny_clip), *published[1:]))
        monkeypatch.setitem(IMAGE_NETWORKS, name, build)
    return open_clip.create_model(f"local-dir:{tiny_clip}").eval()


def scored(folders: tuple[Path, Path], encoder: Encoder, metrics: str, **more: Any) -> CMDScore:
    texts = [{"file_name": f"{i:02}.png", "caption": caption(i)} for i in range(N)]
    return cmd(folders[0], texts, folders[1], metrics=metrics, encoder=encoder, **more)


def unit(x: torch.Tensor) -> np.ndarray:
    rows = x.detach().double().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def images(folder: Path) -> list[Image.Image]:
    return [Image.open(path) for path in sorted(folder.iterdir())]


def test_clipscore_as_its_authors_code_computes_it(
    folders: tuple[Path, Path], encoder: Encoder, small: Any, tmp_path: Path
) -> None:
    prepare = transforms.Compose([
        transforms.Resize(SIDE, interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(SIDE),
        transforms.ToTensor(),
        transforms.Normalize((0.48145466, 0.4578275, 0.40821073),
                             (0.26862954, 0.26130258, 0.27577711)),
    ])  # fmt: skip
    with torch.inference_mode():
        x = unit(small.encode_image(torch.stack([prepare(each) for each in images(folders[0])])))
        words = open_clip.tokenize([f"A photo depicts {caption(i)}" for i in range(N)])
        y = unit(small.encode_text(words))
        without = unit(small.encode_text(open_clip.tokenize([caption(i) for i in range(N)])))
    expected = 2.5 * np.clip((x * y).sum(axis=1), 0, None).mean()
    options: dict[str, Any] = {"cache": tmp_path / "cache"}
    found, again = (scored(folders, encoder, "clipscore:hessel", **options) for _ in range(2))
    value = found.metrics["clipscore_hessel"]
    assert value.value == pytest.approx(expected, abs=ROUNDING) and value.standard_error
    assert again.metrics == found.metrics
    # The prefix moves it by more than rounding does.
    plain = 2.5 * np.clip((x * without).sum(axis=1), 0, None).mean()
    assert abs(plain - expected) > 10 * ROUNDING
    signature = found.signatures["clipscore_hessel"]
    assert "|proto:hessel|model:clip-hessel@" in signature and "|w:2.5|" in signature
    assert "|prefix:A%20photo%20depicts|" in signature and "|tok:none|" not in signature
    assert "hessel2021clipscore" in citations(found.to_dict())


def test_cmmd_as_its_authors_code_computes_it(
    folders: tuple[Path, Path], encoder: Encoder, small: Any
) -> None:
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

    def features(folder: Path) -> np.ndarray:
        pixels = []
        for image in images(folder):
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.crop((left, top, left + side, top + side))
            pixels.append(np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) / 255)
        x = torch.tensor((np.stack(pixels) - mean) / std).float().permute(0, 3, 1, 2)
        with torch.inference_mode():
            return unit(small.encode_image(x))

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        squares = ((x[:, None] - y[None]) ** 2).sum(axis=2)
        return float(np.exp(-squares / (2 * 10**2)).mean())  # each vector beside itself too

    f, r = map(features, folders)
    expected = 1000 * (kernel(f, f) + kernel(r, r) - 2 * kernel(f, r))
    found = scored(folders, encoder, "cmmd:published")
    value = found.metrics["cmmd_published"]
    assert value.value == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert value.value > 0 and not value.unbiased
    signature = found.signatures["cmmd_published"]
    assert "|proto:cmmd|model:clip-cmmd@" in signature and "|tok:none|" in signature
    assert "|estimate:biased|" in signature


def test_cosine_times_100(folders: tuple[Path, Path], encoder: Encoder) -> None:
    found = scored(folders, encoder, "clip_cosine,clipscore")
    with torch.inference_mode():
        pixels = np.stack([to_pixels(x, encoder.image_size, encoder.protocol)
                           for x in images(folders[0])])  # fmt: skip
        x = unit(torch.from_numpy(encoder.encode_pixels(pixels)))
    y = unit(torch.from_numpy(encoder.encode_texts([caption(i) for i in range(N)])))
    expected = 100 * (x * y).sum(axis=1).mean()
    assert found.metrics["clip_cosine"].value == pytest.approx(expected, rel=1e-5)
    assert "|scale:100|" in found.signatures["clip_cosine"]


def test_precision_to_coverage_with_the_third_neighbour(
    folders: tuple[Path, Path], encoder: Encoder
) -> None:
    found = scored(folders, encoder, "prdc:k3,prdc").metrics
    f, r = (
        encoder.encode_pixels(
            np.stack([to_pixels(x, encoder.image_size, encoder.protocol) for x in images(folder)])
        ).astype(np.float64)
        for folder in folders
    )

    def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.linalg.norm(x[:, None] - y[None], axis=2)

    # Itself is the nearest of its own set, so that the third neighbour is the fourth in order.
    reach_r, reach_f = (np.sort(distances(x, x))[:, 3] for x in (r, f))
    across = distances(f, r)
    within = across <= reach_r
    expected = {
        "precision_k3": within.any(axis=1).mean(),
        "recall_k3": (across <= reach_f[:, None]).any(axis=0).mean(),
        "density_k3": within.sum(axis=1).mean() / 3,
        "coverage_k3": within.any(axis=0).mean(),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected)
    assert found["density_k3"].value != found["density"].value


def test_an_evaluator_reads_captions_with_it_too(
    folders: tuple[Path, Path], encoder: Encoder, small: Any
) -> None:
    expected = scored(folders, encoder, "clipscore:hessel").metrics["clipscore_hessel"].value
    evaluator = Evaluator(real=folders[1], metrics="clipscore:hessel", encoder=encoder)
    for half in (range(N // 2), range(N // 2, N)):
        evaluator.update([scene(i) for i in half], [caption(i) for i in half])
    found = evaluator.compute().metrics["clipscore_hessel"].value
    assert found == pytest.approx(expected, abs=ROUNDING)


def test_what_has_no_text_has_no_published_clipscore(encoder: Encoder, small: Any) -> None:
    f = np.random.default_rng(0).standard_normal((60, encoder.checkpoint.config["embed_dim"]))
    rows = f.astype(np.float32)
    with pytest.raises(InputError, match="it takes captions as text"):
        cmd(rows, rows, rows + 1, metrics="clipscore:hessel", encoder=encoder)


def test_both_presets_take_their_files(
    folders: tuple[Path, Path], encoder: Encoder, small: Any, tiny_clip: Path, tmp_path: Path
) -> None:
    both, found = "clipscore:hessel,cmmd:published", tiny_clip / "open_clip_model.safetensors"
    file = tmp_path / "by=hand.safetensors"
    file.write_bytes(found.read_bytes())
    for given in (
        {"clip-hessel": file, "cmmd:published": file},
        [f"clipscore:hessel={file}", f"clip-cmmd={file}"],
    ):
        assert set(Wanted.of(both, image_weights=given).weights.items()) == {
            ("clip-hessel", file if isinstance(given, dict) else str(file)),
            ("clip-cmmd", file if isinstance(given, dict) else str(file)),
        }
    (alone,) = Wanted.of("clipscore:hessel", image_weights=str(file)).weights.items()
    assert alone == ("clip-hessel", str(file))  # a file may have the sign in its name
    score = scored(folders, encoder, both, image_weights=given)
    assert set(score.metrics) >= {"clipscore_hessel", "cmmd_published"}
    for wrong, message in (
        (file, r"2 such models are wanted: name .* clip-hessel=FILE; .* clip-cmmd \(cmmd:pub"),
        ([f"clip-cmmd={file}", f"cmmd:published={file}"], "clip-cmmd was given two files"),
        ({"dinov2": file}, "none called 'dinov2' is wanted; there is clip-hessel"),
    ):
        with pytest.raises(InputError, match=message):
            Wanted.of(both, image_weights=wrong)


def test_names_of_other_tools_and_what_all_is_without() -> None:
    found, _ = metrics_named("isc,prc,clip_cosine")
    assert [metric.name for metric in found] == ["clip_cosine", "prdc", "is"]
    everything, lenient = metrics_named("all")
    names = {metric.name for metric in everything}
    assert lenient and {"fid", "clip_cosine"} <= names
    assert not {"cmmd:published", "clipscore:hessel", "fd_dinov2", "prdc:k3"} & names
    assert "fd_dinov2" in {metric.name for metric in metrics_named("all,fd_dinov2")[0]}


def test_protocols_with_a_prefix_or_a_square() -> None:
    assert HESSEL.clean("a cat") == "A photo depicts a cat" and HESSEL.clean(" ") == " "
    words = Protocol(name="mine", prefix="a picture of ")
    assert words.clean("A cat!") == "a picture of a cat" and words.clean("!") == ""
    assert Protocol.from_dict(words.to_dict()) == words
    with pytest.raises(InputError, match="prefix is 3"):
        Protocol(name="mine", prefix=3)  # type: ignore[arg-type]
    image = Image.new("RGB", (90, 30))
    image.paste("red", (30, 0, 60, 30))
    assert (to_pixels(image, 16, CMMD) == np.array([255, 0, 0])).all()
