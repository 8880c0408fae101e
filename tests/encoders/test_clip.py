"""The encoder against open_clip itself and against the golden features; weights and errors."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import PIL
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from cmdmetric import Encoder, InputError, Protocol
from cmdmetric.encoders import device
from cmdmetric.encoders.names import BUNDLED, DEFAULT_MODEL
from cmdmetric.encoders.preprocess import to_pixels
from cmdmetric.encoders.weights import find_checkpoint, tell_of_hub_parts
from cmdmetric.files import no_downloads
from cmdmetric.inputs.images import open_images
from tests.conftest import TINY_CLIP, shared

CAPTIONS = ["a cat", "Two dogs, one in the snow, look at a very red kite. ", "x " * 200, "!", "é"]


def reference_text_features(folder: Path, texts: list[str]) -> np.ndarray:
    model = open_clip.create_model(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(texts)
    with torch.no_grad():
        return model.encode_text(tokens, normalize=True).numpy()


def test_texts_equal_open_clip_at_full_length(tiny_clip: Path) -> None:
    encoder = Encoder(tiny_clip, protocol="clip")
    # Cutting the batch after the last end of text changes only the order of float32 sums.
    np.testing.assert_allclose(
        encoder.encode_texts(CAPTIONS), reference_text_features(tiny_clip, CAPTIONS), atol=2e-6
    )


def test_long_captions_keep_their_end_of_text(tiny_clip: Path) -> None:
    tokens, truncated = Encoder(tiny_clip, protocol="clip").tokenise(CAPTIONS)
    assert truncated.tolist() == [False, False, True, False, False]
    end = open_clip.SimpleTokenizer().eot_token_id
    assert tokens.shape == (len(CAPTIONS), 77)
    assert (tokens == end).sum(dim=1).tolist() == [1] * len(CAPTIONS)
    assert tokens[2, -1] == end
    assert torch.equal(tokens, open_clip.SimpleTokenizer()(CAPTIONS))


def test_images_equal_open_clip_under_clip_protocol(tiny_clip: Path) -> None:
    rng = np.random.default_rng(0)
    images = [
        Image.fromarray(rng.integers(0, 256, (h, w, 3), np.uint8)).resize((w, h))
        for h, w in [(32, 32), (50, 41), (33, 97), (200, 31), (20, 20)]
    ]
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tiny_clip}")
    model.eval()
    with torch.no_grad():
        expected = model.encode_image(torch.stack([preprocess(i) for i in images]), normalize=True)
    encoder = Encoder(tiny_clip, protocol="clip")
    pixels = np.stack([to_pixels(i, encoder.image_size, encoder.protocol) for i in images])
    np.testing.assert_allclose(encoder.encode_pixels(pixels), expected.numpy(), atol=2e-6)


def test_scales_of_the_protocol(tiny_clip: Path) -> None:
    protocol = Protocol(name="mine", image_scale=3.0, text_scale=0.5)
    encoder = Encoder(tiny_clip, protocol=protocol)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(np.linalg.norm(encoder.encode_pixels(pixels), axis=1), 3, rtol=1e-6)
    np.testing.assert_allclose(
        np.linalg.norm(encoder.encode_texts(["a", "b c"]), axis=1), 0.5, rtol=1e-6
    )


@pytest.mark.parametrize(("protocol", "key"), [("grgan", "grgan"), ("clip", "openai")])
def test_golden_features(protocol: str, key: str) -> None:
    folder = shared("golden/protocol")
    expected = dict(np.load(folder / "expected.npz", allow_pickle=False))
    encoder = Encoder(folder, protocol=protocol)
    photos = open_images([shared("data/photos") / str(name) for name in expected["files"]])
    pixels = np.stack(
        [to_pixels(item.load(), encoder.image_size, encoder.protocol) for item in photos]
    )
    captions = json.loads((folder / "captions.json").read_text())
    # Features of length 10 (1 for clip) in float32 through other kernels: 1e-4 of a unit is ample.
    # Pillow before 13, all that there is for Python 3.10, resizes one photo to other pixels by one.
    image_tolerance = 1e-4 if PIL.__version__ >= "13" else 0.1
    found = encoder.encode_pixels(pixels)
    assert np.abs(found - expected[f"image_features_{key}"]).max() < image_tolerance
    assert np.abs(encoder.encode_texts(captions) - expected[f"text_features_{key}"]).max() < 1e-4


def test_fingerprint_is_the_files_sha256(tiny_clip: Path) -> None:
    content = (tiny_clip / "open_clip_model.safetensors").read_bytes()
    encoder = Encoder(tiny_clip)
    assert encoder.fingerprint == hashlib.sha256(content).hexdigest()
    made = encoder.provenance("image", "x")
    assert (made.weights, made.dtype) == (encoder.fingerprint, "fp32")


@pytest.mark.parametrize("ending", [".safetensors", ".pt", ".bin"])
def test_weights_from_a_file(tiny_clip: Path, tmp_path: Path, ending: str) -> None:
    state = load_file(tiny_clip / "open_clip_model.safetensors")
    other = {key: value * 0.5 for key, value in state.items()}
    path = tmp_path / f"weights{ending}"
    if ending == ".safetensors":
        save_file(other, path)
    else:
        torch.save({"state_dict": {f"module.{k}": v for k, v in other.items()}}, path)
    folder = tmp_path / "same"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY_CLIP}))
    save_file(other, folder / "open_clip_model.safetensors")
    np.testing.assert_array_equal(
        Encoder(tiny_clip, path).encode_texts(["a cat"]), Encoder(folder).encode_texts(["a cat"])
    )


def test_torchscript_is_opened_only_if_published(tiny_clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    with pytest.raises(InputError, match=r"only the published ones are opened.*40d36571"):
        Encoder("ViT-B-32/openai", path)
    with pytest.raises(InputError, match="safetensors"):
        Encoder(tiny_clip, path)


def test_pickled_objects_are_never_executed(tiny_clip: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(tmp_path / "executed"),))

    torch.save({"weight": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="never executed"):
        Encoder(tiny_clip, tmp_path / "evil.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04junk", b"\x80\x02}."])
def test_junk_weights(tiny_clip: Path, tmp_path: Path, content: bytes) -> None:
    for name in ("w.pt", "w.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            Encoder(tiny_clip, tmp_path / name)


def test_weights_of_another_architecture(tiny_clip: Path, tmp_path: Path) -> None:
    state = load_file(tiny_clip / "open_clip_model.safetensors")
    save_file({**state, "text_projection": torch.zeros(3, 3)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"w\.safetensors.*text_projection"):
        Encoder(tiny_clip, tmp_path / "w.safetensors")


def test_weights_that_are_not_finite(tiny_clip: Path, tmp_path: Path) -> None:
    state = load_file(tiny_clip / "open_clip_model.safetensors")
    save_file({k: v * float("nan") for k, v in state.items()}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"w\.safetensors.*not finite"):
        Encoder(tiny_clip, tmp_path / "w.safetensors").encode_texts(["a"])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("ViT-B-23", "did you mean ViT-B-32"),
        ("ViT-B-32/laion", "knows no weights 'laion'.*openai"),
        ("coca_base", "--weights FILE"),
    ],
)
def test_unknown_models(model: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_checkpoint(model)


@pytest.mark.parametrize("name", ["scenes-toy", "ViT-B-32", "ViT-B-32/openai"])
def test_a_name_that_a_folder_has_as_well(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(BUNDLED["scenes-toy"], tmp_path / name)
    with pytest.raises(InputError, match=rf"a folder is called so, and .* \./{name} is the folder"):
        find_checkpoint(name)
    assert find_checkpoint(f"./{name}").sha256 == find_checkpoint(Path(name)).sha256
    (tmp_path / name).rename(tmp_path / "mine")
    assert find_checkpoint("mine").file.parent.samefile(tmp_path / "mine")


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no open_clip_config"):
        Encoder(tmp_path)
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(InputError, match="not a configuration"):
        Encoder(tmp_path)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY_CLIP}))
    with pytest.raises(InputError, match="holds no weights"):
        Encoder(tmp_path)


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("vision_cfg", {"timm_model_name": "hf-hub:someone/model"}),
        ("vision_cfg", {"timm_model_name": "hf_hub:someone/model"}),
        ("vision_cfg", {"timm_model_name": "someone/model"}),
        ("vision_cfg", {"timm_model_name": ["hf-hub:someone/model"]}),
        ("text_cfg", {"hf_model_name": "someone/model"}),
        ("text_cfg", {"nested": [{"hf_model_name": "roberta-base"}]}),
        ("multimodal_cfg", {"hf_model_name": "roberta-base"}),
    ],
)
def test_a_folder_names_no_repository(
    tiny_clip: Path, tmp_path: Path, section: str, values: dict[str, object]
) -> None:
    """Nothing is asked of the network, and the folder is refused before its weights are read."""
    config = {**TINY_CLIP, section: {**TINY_CLIP.get(section, {}), **values}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    with pytest.raises(InputError, match="fetched from elsewhere"):
        find_checkpoint(tmp_path)


def test_hub_parts_of_a_named_model_are_announced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"")
    tell_of_hub_parts(find_checkpoint("ViT-B-32", weights))
    assert capsys.readouterr().err == ""
    named = find_checkpoint("roberta-ViT-B-32", weights)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE forbids"):
        tell_of_hub_parts(named)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    tell_of_hub_parts(named)
    assert "https://huggingface.co/roberta-base" in capsys.readouterr().err
    with no_downloads("a look downloads nothing"), pytest.raises(InputError, match="a look down"):
        tell_of_hub_parts(named)


@pytest.mark.parametrize("size", [[64, 64, 64], [], "64", [64.0, 64.0], 0, None, True, [64, 32]])
def test_sizes_that_are_none(tiny_clip: Path, tmp_path: Path, size: object) -> None:
    shutil.copytree(tiny_clip, tmp_path / "model")
    config = {**TINY_CLIP, "vision_cfg": {**TINY_CLIP["vision_cfg"], "image_size": size}}
    path = tmp_path / "model" / "open_clip_config.json"
    path.write_text(json.dumps({"model_cfg": config}))
    with pytest.raises(InputError, match=r"image_size|not square"):
        _ = find_checkpoint(tmp_path / "model").image_size
    with pytest.raises(InputError):
        Encoder(tmp_path / "model")


def test_offline_the_error_names_three_ways() -> None:
    with pytest.raises(InputError) as caught:
        Encoder()
    message = str(caught.value)
    assert DEFAULT_MODEL in message and "HF_HUB_OFFLINE" in message
    for part in ("--weights FILE", "ViT-B-32.pt", "connection", ".cache/clip", "timm/"):
        assert part in message


def test_openai_weights_run_with_quickgelu(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"")
    for model in (None, "ViT-B-32/openai", "ViT-B-32-quickgelu"):
        assert find_checkpoint(model, path).config["quick_gelu"]
    assert not find_checkpoint("ViT-B-32", path).config.get("quick_gelu")


def test_unknown_device(tiny_clip: Path) -> None:
    with pytest.raises(InputError, match="no device 'toaster'"):
        Encoder(tiny_clip, device="toaster")
    for name in ("meta", "hpu", "xla", "cuda:99", "", 3.5, ()):
        with pytest.raises(InputError, match="no device"):
            device.choose_device(name)  # type: ignore[arg-type]


def test_global_torch_settings_are_restored(tiny_clip: Path) -> None:
    torch.backends.cudnn.allow_tf32 = True
    Encoder(tiny_clip).encode_texts(["a"])
    assert torch.backends.cudnn.allow_tf32
    assert not torch.is_inference_mode_enabled()


def test_autocast_around_it_changes_nothing(tiny_clip: Path) -> None:
    encoder = Encoder(tiny_clip)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    expected = encoder.encode_pixels(pixels), encoder.encode_texts(["a cat"])
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(encoder.encode_pixels(pixels), expected[0])
        np.testing.assert_array_equal(encoder.encode_texts(["a cat"]), expected[1])


@pytest.mark.parametrize("variant", ["plain", "attention pooling", "other tokeniser"])
def test_the_default_device_changes_nothing(
    tiny_clip: Path, tmp_path: Path, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where it is built nor where it encodes; "meta" holds no numbers at all."""
    folder = tiny_clip
    if variant == "attention pooling":  # not our own way through the image tower
        vision = {**TINY_CLIP["vision_cfg"], "attentional_pool": True}  # type: ignore[dict-item]
        folder = tmp_path / "pooling"
        folder.mkdir()
        config = {**TINY_CLIP, "vision_cfg": vision}
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
        save_file(open_clip.CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    monkeypatch.setattr(device, "_onednn_is_exact", device._onednn_is_exact.__wrapped__)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)

    def build() -> Encoder:
        encoder = Encoder(folder, device="cpu")
        if variant == "other tokeniser":
            encoder._tokenizer = lambda texts, context_length: torch.tensor(
                [[49406, *text.encode(), 49407, *[0] * (context_length - len(text) - 2)]
                 for text in texts]
            )  # fmt: skip
        return encoder

    def features(encoder: Encoder) -> list[np.ndarray]:
        return [encoder.encode_pixels(pixels), encoder.encode_texts(["a cat", "two dogs"])]

    before = build()
    expected = features(before)
    with torch.device("meta"):
        found = [*features(before), *features(build())]
    for ours, theirs in zip(found, 2 * expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_importing_the_package_does_not_import_torch() -> None:
    code = (
        "import sys, cmdmetric; cmdmetric.cmd; cmdmetric.Moments; import cmdmetric.cli.main;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
