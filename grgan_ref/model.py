"""A trained model as a whole: captions in, images of every stage out.

A model folder holds

    generator.safetensors, generator.json    the averaged generator, the configuration
    itm.safetensors, itm.json                the ITM's heads (the CLIP below them is named in [itm])

and is what training writes to RUN/model and `grgan sample` reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grgan_ref.checkpoint import (
    load_strictly,
    read_model,
    read_released_generator,
    read_released_itm,
    save_model,
)
from grgan_ref.config import Config
from grgan_ref.data import to_uint8
from grgan_ref.errors import GrganError
from grgan_ref.generator import Generator
from grgan_ref.itm import ITM, build_itm
from grgan_ref.noise import noise
from grgan_ref.text import Tokens, tokenise

#: Models that come with the package: a folder's name stands for the folder.
BUNDLED = Path(__file__).parent / "bundled"


class TextToImage:
    """A generator and the ITM whose text features it was trained on."""

    def __init__(self, config: Config, generator: Generator, itm: ITM) -> None:
        self.config, self.generator, self.itm = config, generator, itm

    @torch.no_grad()
    def generate(
        self, captions: Sequence[str], keys: Sequence[str], batch: int = 16
    ) -> list[NDArray[np.uint8]]:
        """B captions to one (B, s, s, 3) array per stage.

        keys: a text for each image from which its noise follows (z and that of F^ca). The image
        depends on its caption and key alone, up to float32 rounding of other batch sizes; under the
        quirk `mixed_memory_mask` also on the captions in the same batch.
        """
        stages: list[list[Tensor]] = [[] for _ in self.config.model.stages]
        for start in range(0, len(captions), batch):
            rows = slice(start, start + batch)
            for stage, images in zip(stages, self._batch(captions[rows], keys[rows]), strict=True):
                stage.append(to_uint8(images).permute(0, 2, 3, 1).cpu())
        return [torch.cat(stage).numpy() for stage in stages]

    def _batch(self, captions: Sequence[str], keys: Sequence[str]) -> list[Tensor]:
        model = self.config.model
        device = next(self.generator.parameters()).device
        tokens, sentence, words = encode_captions(
            self.itm, captions, self.config.data.words_sample, self.config, device
        )
        drawn = torch.stack([noise(k, model.noise_dim + model.condition_dim) for k in keys])
        z, eps = drawn.to(device).split([model.noise_dim, model.condition_dim], dim=1)
        self.generator.eval()
        return self.generator(sentence, words, tokens.mask, z, eps).images

    def fingerprint(self) -> str:
        """sha256 of the generator's and the ITM's weights, in hexadecimal."""
        digest = hashlib.sha256(self.itm.fingerprint().encode())
        for key, value in sorted(self.generator.state_dict().items()):
            digest.update(key.encode() + value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: Path, half: bool = False) -> None:
        """Write the model folder; `half` stores float16, for shipping."""
        generator, heads = self.generator.state_dict(), self.itm.heads.state_dict()
        save_model(folder / "generator.safetensors", generator, self.config, half)
        save_model(folder / "itm.safetensors", heads, self.config, half)


@torch.no_grad()
def encode_captions(
    itm: ITM, captions: Sequence[str], slots: int, config: Config, device: torch.device
) -> tuple[Tokens, Tensor, Tensor]:
    """B captions to tokens, sentence (B, E) and words (B, E, slots)."""
    tokens = tokenise(captions, slots, itm.context_length, config.quirks.mask_off_by_one).to(device)
    sentence, words = itm.encode_text(tokens.tokens, slots)
    return tokens, sentence, words


def load_model(path: Path, device: torch.device) -> TextToImage:
    """Read a model folder, or the run folder that contains it as `model/`."""
    folder = model_folder(path, "generator.safetensors")
    weights, config = read_model(folder / "generator.safetensors")
    generator = Generator(config)
    load_strictly(generator, weights, str(folder / "generator.safetensors"))
    itm = load_trained_itm(folder, config)
    return TextToImage(config, generator.to(device).eval(), itm.to(device).eval())


def load_released(
    generator_path: Path, itm_path: Path, config: Config, device: torch.device
) -> TextToImage:
    """The authors' `checkpoint_0300.pth` and `ITM_model149.pth`, with the preset coco-released."""
    generator = Generator(config)
    load_strictly(generator, read_released_generator(generator_path), str(generator_path))
    itm = build_itm(config, pretrained=False)
    load_strictly(itm, read_released_itm(itm_path), str(itm_path))
    return TextToImage(config, generator.to(device).eval(), itm.to(device).eval())


def load_trained_itm(path: Path, config: Config) -> ITM:
    """The ITM in a model folder or run folder; it must be the one that `config` describes."""
    file = model_folder(path, "itm.safetensors") / "itm.safetensors"
    weights, made_with = read_model(file)
    for name, wanted, given in (
        ("itm.clip", config.itm.clip, made_with.itm.clip),
        ("itm.region_layer", config.itm.region_layer, made_with.itm.region_layer),
        ("model.embedding_dim", config.model.embedding_dim, made_with.model.embedding_dim),
    ):
        if wanted != given:
            raise GrganError(
                f"{file} was trained with {name} = {given!r}, this configuration has {wanted!r}"
            )
    itm = build_itm(config)
    load_strictly(itm.heads, weights, str(file))
    return itm


def itm_config(path: Path) -> Config:
    """The configuration that the ITM in a model folder or run folder was trained with."""
    return read_model(model_folder(path, "itm.safetensors") / "itm.safetensors")[1]


def model_folder(path: Path, file: str) -> Path:
    """The folder with `file`: `path` itself, `path`/model, or the bundled model of that name.

    Raises GrganError where it is none of them.
    """
    for folder in (path, path / "model", BUNDLED / path):
        if (folder / file).is_file():
            return folder
    bundled = ", ".join(sorted(folder.name for folder in BUNDLED.iterdir()))
    raise GrganError(
        f"{path} holds no {file}, nor does {path / 'model'}: give a folder that training wrote, or "
        f"a bundled model ({bundled})"
    )
