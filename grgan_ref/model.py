"""A trained model as a whole: captions in, images of every stage out.

A model folder holds

    generator.safetensors, generator.json    the averaged generator, the configuration
    itm.safetensors, itm.json                the ITM's heads (the CLIP below them is named in [itm])

or, where that is the matcher, damsm.safetensors, damsm.json and vocabulary.json,

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

from grgan_ref.config import Config
from grgan_ref.data import to_uint8
from grgan_ref.files import (
    load_strictly,
    model_folder,
    read_model,
    read_released_generator,
    read_released_itm,
    save_model,
)
from grgan_ref.matching import Matcher, build_itm, load_matcher, save_matcher
from grgan_ref.networks import Generator
from grgan_ref.noise import noise


class TextToImage:
    """A generator and the matcher whose text features it was trained on."""

    def __init__(self, config: Config, generator: Generator, matcher: Matcher) -> None:
        self.config, self.generator, self.matcher = config, generator, matcher

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
        slots = self.config.data.words_sample
        tokens, sentence, words = self.matcher.encode_captions(captions, slots)
        drawn = torch.stack([noise(k, model.noise_dim + model.condition_dim) for k in keys])
        z, eps = drawn.to(device).split([model.noise_dim, model.condition_dim], dim=1)
        self.generator.eval()
        return self.generator(sentence, words, tokens.mask, z, eps).images

    def fingerprint(self) -> str:
        """sha256 of the generator's and the matcher's weights, in hexadecimal."""
        digest = hashlib.sha256(self.matcher.fingerprint().encode())
        for key, value in sorted(self.generator.state_dict().items()):
            digest.update(key.encode() + value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: Path, half: bool = False) -> None:
        """Write the model folder; `half` stores float16, for shipping."""
        generator = self.generator.state_dict()
        save_model(folder / "generator.safetensors", generator, self.config, half)
        save_matcher(self.matcher, self.config, folder, half)


def load_model(path: Path, device: torch.device) -> TextToImage:
    """Read a model folder, or the run folder that contains it as `model/`."""
    folder = model_folder(path, "generator.safetensors")
    weights, config = read_model(folder / "generator.safetensors")
    generator = Generator(config)
    load_strictly(generator, weights, str(folder / "generator.safetensors"))
    matcher = load_matcher(folder, config)
    return TextToImage(config, generator.to(device).eval(), matcher.to(device).eval())


def load_released(
    generator_path: Path, itm_path: Path, config: Config, device: torch.device
) -> TextToImage:
    """The authors' `checkpoint_0300.pth` and `ITM_model149.pth`, with the preset coco-released."""
    generator = Generator(config)
    load_strictly(generator, read_released_generator(generator_path), str(generator_path))
    itm = build_itm(config, pretrained=False)
    load_strictly(itm, read_released_itm(itm_path), str(itm_path))
    return TextToImage(config, generator.to(device).eval(), itm.to(device).eval())
