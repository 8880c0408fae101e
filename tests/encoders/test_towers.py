"""The two towers against open_clip's own forward pass, and the arithmetic around them."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings, strategies as st

from cmdmetric import Encoder, InputError, Moments, frechet_distance
from cmdmetric.encoders import device
from cmdmetric.encoders.towers import encode_causal_text, encode_image, encode_text, reading_order
from tests.conftest import TINY_CLIP
from tests.support.systems import needs_fork

pytestmark = pytest.mark.filterwarnings("ignore:this CPU has no bfloat16")

START, END = 49406, 49407
CONTEXT = 77

VARIANTS = {
    "plain": {},
    "layer scale": {
        "text_cfg": {"ls_init_value": 0.5},
        "vision_cfg": {"ls_init_value": 0.5},
    },
    "custom blocks": {
        "text_cfg": {"block_type": "custom", "qk_norm": True},
        "vision_cfg": {"block_type": "custom", "qk_norm": True},
    },
    "not causal": {"text_cfg": {"no_causal_mask": True}},
    "average pooling": {"vision_cfg": {"pool_type": "avg"}},
    "attention pooling": {"vision_cfg": {"attentional_pool": True, "attn_pooler_heads": 4}},
    "norm after pooling": {"vision_cfg": {"final_ln_after_pool": True}},
    "no projection": {"text_cfg": {"proj_type": "none"}},
    "linear projection": {"text_cfg": {"proj_bias": True}},
    "quick gelu": {"quick_gelu": True},
    "resnet": {"vision_cfg": {"layers": [1, 1, 1, 1], "width": 16, "head_width": 16}},
}


def network(variant: dict) -> open_clip.CLIP:
    config = {
        **TINY_CLIP,
        **variant,
        "vision_cfg": {**TINY_CLIP["vision_cfg"], **variant.get("vision_cfg", {})},
        "text_cfg": {**TINY_CLIP["text_cfg"], **variant.get("text_cfg", {})},
    }
    torch.manual_seed(0)
    return open_clip.CLIP(**config).eval().requires_grad_(False)


def caption_tokens(captions: list[list[int]]) -> torch.Tensor:
    tokens = torch.zeros(len(captions), CONTEXT, dtype=torch.long)
    for row, words in zip(tokens, captions, strict=True):
        row[: len(words) + 2] = torch.tensor([START, *words, END])
    return tokens


def unit(x: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(x, dim=1).numpy()


@pytest.mark.parametrize("variant", VARIANTS)
def test_towers_equal_open_clip(variant: str) -> None:
    model = network(VARIANTS[variant])
    rng = np.random.default_rng(0)
    captions = [rng.integers(1, 6, n).tolist() for n in (*range(12), 75, 40, 3, 3)]
    tokens = caption_tokens(captions)
    pixels = torch.from_numpy(rng.standard_normal((5, 3, 32, 32), np.float32))
    with torch.no_grad():
        np.testing.assert_allclose(
            unit(encode_text(model, tokens)), unit(model.encode_text(tokens)), rtol=0, atol=1e-5
        )
        np.testing.assert_allclose(
            unit(encode_image(model, pixels)), unit(model.encode_image(pixels)), rtol=0, atol=1e-5
        )


PLAIN = network({})
WORDS = st.lists(st.lists(st.integers(1, 3), max_size=6), min_size=1, max_size=12)


@given(WORDS, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_captions_that_begin_alike_share_work_in_any_order(captions, random) -> None:
    """Few words make shared beginnings, repeated captions, and captions within captions."""
    random.shuffle(captions)
    tokens = caption_tokens(captions)
    with torch.no_grad():
        expected = unit(PLAIN.encode_text(tokens))
        for order in (torch.arange(len(tokens)), reading_order(tokens)):
            found = unit(encode_text(PLAIN, tokens[order]))
            np.testing.assert_allclose(found, expected[order.numpy()], rtol=0, atol=1e-5)


def test_shared_beginnings_are_computed_once() -> None:
    rows = []
    block = PLAIN.transformer.resblocks[0]
    handle = block.mlp.register_forward_hook(lambda _m, inputs, _y: rows.append(len(inputs[0])))
    try:
        with torch.no_grad():
            encode_text(PLAIN, caption_tokens([[5, 6, 7], [5, 6, 8], [5, 6, 7], [9]]))
    finally:
        handle.remove()
    # start 5 6 7 end | 8 end | (nothing) | 9 end; the third is the first again, but in between
    # stands the second: neighbours share, so it has a 7 and an end of its own.
    assert rows == [5 + 2 + 2 + 2]


def test_reading_order_is_by_similar_length_then_words() -> None:
    captions = [[9] * 20, [2, 1], [1, 2], [1, 1, 1], [1, 1]]
    assert reading_order(caption_tokens(captions)).tolist() == [3, 4, 2, 1, 0]


def test_a_causal_tower_may_be_trained(tiny_clip: Path) -> None:
    """`train_scenes_encoder` takes gradients through it."""
    tokens = caption_tokens([[5, 6], [7]])
    model = network({}).requires_grad_(True)
    encode_causal_text(model, tokens).sum().backward()
    assert model.transformer.resblocks[0].attn.in_proj_weight.grad.abs().sum() > 0


def test_bf16_is_near_fp32_and_recorded(tiny_clip: Path) -> None:
    full, half = Encoder(tiny_clip), Encoder(tiny_clip, dtype="bf16")
    assert half.provenance("text", "x").dtype == "bf16"
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    texts = ["a cat", "two dogs in the snow", "a red kite"]
    for a, b in (
        (full.encode_pixels(pixels), half.encode_pixels(pixels)),
        (full.encode_texts(texts), half.encode_texts(texts)),
    ):
        assert b.dtype == np.float32
        cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert cosine.min() > 0.999  # 8 bits of mantissa through two layers
        assert np.abs(a - b).max() > 1e-5  # and not fp32 under another name


def test_sets_of_two_arithmetics_do_not_meet(tiny_clip: Path) -> None:
    x = np.random.default_rng(0).standard_normal((60, 32))
    sets = [
        Moments.from_features(x, Encoder(tiny_clip, dtype=dtype).provenance("image", dtype))
        for dtype in ("fp32", "bf16")
    ]
    with pytest.raises(InputError, match="dtype: 'fp32' against 'bf16'"):
        frechet_distance(*sets)


@pytest.mark.parametrize("built_in", [True, False])
def test_emulated_bf16_is_warned_of(
    tiny_clip: Path, monkeypatch: pytest.MonkeyPatch, built_in: bool
) -> None:
    monkeypatch.setattr("cmdmetric.encoders.clip.has_bfloat16", lambda: built_in)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Encoder(tiny_clip, dtype="bf16")
    assert any("no bfloat16" in str(w.message) for w in caught) != built_in


def test_unknown_dtype(tiny_clip: Path) -> None:
    with pytest.raises(InputError, match=r"'fp16'.*fp32, bf16"):
        Encoder(tiny_clip, dtype="fp16")  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_matrix_products_stay_exact_and_settings_come_back(precision: str) -> None:
    before = torch.get_float32_matmul_precision()
    a = torch.randn(200, 300, generator=torch.Generator().manual_seed(0))
    exact = a.double() @ a.t().double()
    try:
        torch.set_float32_matmul_precision(precision)
        with device.exact_float32(torch.device("cpu")):
            assert (a @ a.t() - exact).norm() < 1e-5 * exact.norm()
        with pytest.raises(ZeroDivisionError), device.exact_float32(torch.device("cpu")):
            raise ZeroDivisionError
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.skipif(
    not hasattr(torch.backends.mkldnn, "matmul"), reason="torch has no such settings before 2.9"
)
def test_inexact_products_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    products = torch.backends.mkldnn.matmul
    for exact, taken in ((True, "bf16"), (False, "ieee")):
        monkeypatch.setattr(device, "_onednn_is_exact", lambda exact=exact: exact)
        before = products.fp32_precision
        with device.exact_float32(torch.device("cpu")):
            assert products.fp32_precision == taken
        assert products.fp32_precision == before


_PRECISION = """
import os
import sys
import traceback

import torch

from cmdmetric.encoders.device import exact_float32

backends = torch.backends
settings = backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul


def state():
    found = [setting.fp32_precision for setting in settings]
    try:
        return [*found, torch.get_float32_matmul_precision()]
    except RuntimeError:  # of the newer settings it cannot tell
        return found


def check(way):
    exec(way)
    before = state()
    for kind in ("cuda", "cpu"):
        with exact_float32(torch.device(kind)):
            assert kind == "cpu" or state()[:2] == ["ieee", "ieee"], state()
        assert state() == before, (kind, before, state())
    if way == "" or "backends.fp32" in way:
        backends.fp32_precision = "ieee"
        assert state()[0] == state()[2] == "ieee", state()  # they follow it as before


failed = 0
for way in sys.argv[1:]:
    if (child := os.fork()) == 0:
        try:
            check(way)
        except BaseException:
            print(way, traceback.format_exc(), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    failed |= os.waitpid(child, 0)[1]
sys.exit(failed != 0)
"""


@pytest.mark.skipif(
    not hasattr(torch.backends.mkldnn, "matmul"), reason="torch has no such settings before 2.9"
)
@needs_fork
def test_a_trainers_precision_on_cuda_comes_back() -> None:
    """It takes no GPU to set it. It is the whole process', so each way to say it has one."""
    ways = [
        "",
        "torch.set_float32_matmul_precision('high')",
        "torch.set_float32_matmul_precision('medium')",
        "backends.cuda.matmul.allow_tf32 = True",
        "backends.cudnn.allow_tf32 = False",
        "backends.cuda.matmul.fp32_precision = 'tf32'",
        "backends.cudnn.conv.fp32_precision = 'ieee'",
        "backends.fp32_precision = 'tf32'",
    ]
    command = [sys.executable, "-W", "ignore", "-c", _PRECISION, *ways]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
