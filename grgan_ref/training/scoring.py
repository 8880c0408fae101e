"""Scores by cmdmetric during training: CMD of samples for held-out captions."""

from __future__ import annotations

import warnings

import numpy as np

from cmdmetric.encoders import Encoder
from cmdmetric.score import cmd, moments_of
from grgan_ref.data import CaptionedImages, middle_square
from grgan_ref.errors import GrganError
from grgan_ref.model import TextToImage


class Scorer:
    """The held-out images and their captions, encoded once; `score` samples and compares.

    encoder: a model that cmdmetric knows. The scores of a run compare with one another; with 1,000
    samples they are too high by a constant, and so are not those of the published protocol.
    """

    def __init__(
        self,
        model: TextToImage,
        data: CaptionedImages,
        samples: int,
        seed: int,
        encoder: str | None = None,
        weights: str | None = None,
    ) -> None:
        n = min(samples, len(data))
        if n < 2:
            raise GrganError(f"a score needs at least 2 held-out images, not {n}")
        self.model, self.seed = model, seed
        device = next(model.generator.parameters()).device
        self.encoder = Encoder(encoder, weights, device=device)
        self.captions = [data.captions[i][0] for i in range(n)]
        side = model.config.model.stages[-1].size
        real = np.stack([middle_square(data, i, side) for i in range(n)])
        every = [caption for i in range(n) for caption in data.captions[i]]
        self.real = moments_of(real, "image", encoder=self.encoder)
        self.texts = moments_of(every, "text", encoder=self.encoder)

    def score(self) -> dict[str, float]:
        """CMD, ITDis and Dis(f, r) of one sample for each held-out image."""
        keys = [f"{self.seed} {i} {caption}" for i, caption in enumerate(self.captions)]
        images = self.model.generate(self.captions, keys)[-1]
        with warnings.catch_warnings():  # few samples: said in the class's docstring, once
            warnings.simplefilter("ignore", UserWarning)
            score = cmd(images, self.texts, self.real, encoder=self.encoder)
        return {"cmd": score.cmd, "itdis": score.itdis, "dis_fr": score.dis_fr}
