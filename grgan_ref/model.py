"""A trained model as a whole: captions in, images of every stage out.

A model folder holds

    generator.safetensors, generator.json    the averaged generator, the configuration
    itm.safetensors, itm.json                the ITM's heads (the CLIP below them is named in [itm])

or, where that is the matcher, damsm.safetensors, damsm.json and vocabulary.json,

and is what training writes to RUN/model and `grgan sample` reads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grgan_ref.config import Config
from grgan_ref.data import to_uint8
from grgan_ref.errors import GrganError
from grgan_ref.files import RELEASED, load_strictly, model_folder, read_model, save_model
from grgan_ref.matching import Matcher, load_matcher, save_matcher
from grgan_ref.networks import Generator
from grgan_ref.noise import noise
from grgan_ref.released import MATCHER_FILES, read_released_model


class TextToImage:
    """A generator and the matcher whose text features it was trained on."""

    def __init__(self, config: Config, generator: Generator, matcher: Matcher) -> None:
        self.config, self.generator, self.matcher = config, generator, matcher

    @torch.no_grad()
    def generate(
        self, captions: Sequence[str], keys: Sequence[str], batch: int = 16
    ) -> list[NDArray[np.uint8]]:
        """Make an image of every stage for each caption.

        An image depends on its caption and key alone, up to float32 rounding of other batch sizes;
        under the quirk `mixed_memory_mask` also on the captions in the same batch.

        Args:
            captions: B captions.
            keys: B texts from which the noise of each image follows (z and that of F^ca).
            batch: Images at once.

        Returns:
            One array (B, s, s, 3) per stage.
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
        """Return the sha256 of the generator's and the matcher's weights, in hexadecimal."""
        digest = hashlib.sha256(self.matcher.fingerprint().encode())
        for key, value in sorted(self.generator.state_dict().items()):
            digest.update(key.encode() + value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: Path, half: bool = False) -> None:
        """Write the model folder; `half` stores float16, for shipping.

        Raises:
            InputError: The disk is full or the folder cannot be written.
        """
        self.save_generator(folder, half)
        save_matcher(self.matcher, self.config, folder, half)

    def save_generator(self, folder: Path, half: bool = False) -> None:
        """Write the generator's part of the model folder."""
        state = self.generator.state_dict()
        save_model(folder / "generator.safetensors", state, self.config, half)


def load_model(
    path: Path,
    device: torch.device,
    *,
    matcher: Path | None = None,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> TextToImage:
    """Load a model that training here wrote, or one that the authors released.

    Args:
        path: A model folder, the run folder that contains it as `model/`, a bundled model's name;
            or a released generator, GR-GAN's `checkpoint_0300.pth`, AttnGAN's `coco_AttnGAN2.pth`
            or DM-GAN's `coco_DMGAN.pth`.
        device: Where the networks are to be.
        matcher: Of a released generator or an imported one: what `matching.load_matcher` takes. A
            model that training here wrote has its own.
        preset: Of a released generator; by default the one that `released_config` finds.
        settings: Dotted keys of a released generator's configuration, with their values.

    Raises:
        GrganError: There is no model, or its parts do not belong together.
    """
    if path.suffix in RELEASED:
        config, weights = read_released_model(path, preset, settings)
        if matcher is None:
            wanted = MATCHER_FILES[config.model.matcher]
            raise GrganError(f"{path}: a released generator needs --matcher {wanted}")
        own, origin = matcher, str(path)
    else:
        if settings or preset:
            raise GrganError(f"--preset and --set are for released files; {path} has its own")
        folder = model_folder(path, "generator.safetensors")
        origin = str(folder / "generator.safetensors")
        weights, config = read_model(origin)
        if matcher is None and not (folder / f"{config.model.matcher}.safetensors").is_file():
            wanted = MATCHER_FILES[config.model.matcher]
            raise GrganError(f"{path}: imported without its matcher; give --matcher {wanted}")
        own = folder if matcher is None else matcher
    generator = Generator(config)
    load_strictly(generator, weights, origin)
    text = load_matcher(own, config)
    return TextToImage(config, generator.to(device).eval(), text.to(device).eval())
