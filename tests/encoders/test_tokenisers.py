"""Towers with other tokenisers than CLIP's: SigLIP-like and multilingual ones, small and seeded."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from cmdmetric import CMDScore, Encoder, InputError, cmd
from cmdmetric.encoders.tokens import NOT_THERE, tokeniser_of
from cmdmetric.gate import differences_of, setting_of
from cmdmetric.scoring import fields_of

pytest.importorskip("transformers")

CONTEXT = 12
WORDS = ["a", "red", "blue", "cat", "dog", "ein", "roter", "hund", "un", "chat", "猫", "と", "犬"]
CAPTIONS = ["a red cat", "Ein roter Hund!", "un chat", "猫 と 犬", "a cat " * 5, "a dog " * 40]
#: SigLIP's text tower reads its last token without a mask; M-CLIP-like ones read the first.
TOWERS = {
    "siglip": {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"},
    "multilingual": {"no_causal_mask": True, "pool_type": "first"},
}


def folder_of(root: Path, text: dict[str, Any]) -> Path:
    """A model folder of open_clip with a tokeniser of its own, which needs no network."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokeniser = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokeniser.normalizer = normalizers.Lowercase()
    tokeniser.pre_tokenizer = pre_tokenizers.Whitespace()
    tokeniser.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokeniser, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(root)
    config = {
        "embed_dim": 16,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16,
        },
        "text_cfg": {
            "context_length": CONTEXT, "vocab_size": len(vocabulary), "width": 16, "heads": 2,
            "layers": 2, "hf_tokenizer_name": "own", **text,
        },
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = open_clip.CustomTextCLIP(**{k: v for k, v in config.items() if k != "custom_text"})
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, root / "open_clip_model.safetensors")
    (root / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    return root


@pytest.mark.parametrize("tower", TOWERS)
def test_features_are_open_clips_and_cuts_are_counted(tmp_path: Path, tower: str) -> None:
    folder = folder_of(tmp_path, TOWERS[tower])
    encoder = Encoder(folder, protocol="clip", device="cpu")
    tokens, cut = encoder.tokenise(CAPTIONS)
    # "a cat" five times is ten tokens and the end; eighty are more than twelve.
    assert cut.tolist() == [False] * 5 + [True]
    model = open_clip.create_model(f"local-dir:{folder}")
    theirs = open_clip.get_tokenizer(f"local-dir:{folder}")(CAPTIONS)
    assert torch.equal(tokens, theirs)
    with torch.no_grad():
        expected = model.encode_text(theirs, normalize=True).numpy()
    # The same network in batches of another order: float32 sums.
    np.testing.assert_allclose(encoder.encode_texts(CAPTIONS), expected, atol=2e-6)
    assert np.ptp(expected, axis=0).max() > 0.1, "captions are told apart"


def test_a_caption_as_long_as_the_context_is_not_cut(tmp_path: Path) -> None:
    encoder = Encoder(folder_of(tmp_path, TOWERS["siglip"]), protocol="clip", device="cpu")
    texts = ["cat " * (CONTEXT - 1), "cat " * CONTEXT]
    assert encoder.tokenise(texts)[1].tolist() == [False, True]


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path, TOWERS["siglip"])
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(InputError, match=r"needs transformers, .*cmdmetric\[transformers\]"):
        Encoder(folder, protocol="clip", device="cpu")


def test_a_tokeniser_is_signed_by_what_is_in_it(tmp_path: Path) -> None:
    """Two models of one name and weights may read captions with other words."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), np.uint8)
    texts = ["a red cat", "ein roter hund", "un chat"] * 10

    def signed(folder: Path) -> CMDScore:
        encoder = Encoder(folder, protocol="clip", device="cpu")
        return cmd(pixels, texts, pixels[::-1, ::-1], encoder=encoder, cache=False)

    folder = folder_of(tmp_path, TOWERS["siglip"])
    before = signed(folder)
    file = folder / "tokenizer.json"
    file.write_text(file.read_text().replace('"cat"', '"kitten"'))
    after = signed(folder)
    assert after.dis_fl != before.dis_fl
    ours, theirs = fields_of(before.signature), fields_of(after.signature)
    assert {key for key in ours if ours[key] != theirs[key]} == {"tok"}
    assert re.fullmatch("own@[0-9a-f]{8}", ours["tok"])
    assert differences_of(setting_of(before.to_dict()), setting_of(after.to_dict())) == [
        "tokeniser"
    ]


def test_a_tokeniser_that_is_not_there_is_known_by_name_alone(tmp_path: Path) -> None:
    config = {"text_cfg": {"hf_tokenizer_name": "someone/words"}}
    assert tokeniser_of("some-model", config) == f"someone/words{NOT_THERE}"
    assert tokeniser_of("some-model", {"text_cfg": {}}) == "CLIP"
    canonical = {"text_cfg": {"tokenizer_kwargs": {"clean": "canonicalize"}}}
    assert tokeniser_of("some-model", canonical).startswith("CLIP@")
