"""CMD as a metric of torchmetrics, for Lightning and for training on several devices."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from cmdmetric.encoders import Encoder, find_checkpoint
from cmdmetric.errors import InputError
from cmdmetric.evaluator import (
    CAPTIONS,
    IMAGES,
    Batch,
    build_encoder,
    encode_batch,
    encode_side,
    refuse_captions,
)
from cmdmetric.features import DIGEST_SIZE, Contents, digests_of
from cmdmetric.inputs import Captions, ImageSet
from cmdmetric.metrics import Moments, Provenance, refuse_differences
from cmdmetric.protocol import Protocol, get_protocol
from cmdmetric.scoring import (
    CMDScore,
    EncoderOptions,
    Side,
    Source,
    open_image_side,
    open_text_side,
    score_of,
)

#: What the rows of `CrossModelDistance.origin` are of.
_ORIGIN = ("protocol", "weights", "architecture", "dtype", *("real images", "captions") * 2)
#: Sides encoded on two machines are one set up to this, as for `Evaluator.merge`.
_ROUNDING = 1e-4

_Opened: TypeAlias = Side | ImageSet | Captions


class CrossModelDistance(Metric):
    """CMD of generated images, summed up over processes; lower is better.

    >>> metric = CrossModelDistance(real="examples/real", model="scenes-toy")
    >>> from cmdmetric.scenes.drawing import draw_scene
    >>> scenes = [draw_scene(seed) for seed in range(80)]
    >>> images = np.stack([np.asarray(scene.render(64)) for scene in scenes])
    >>> metric.update(torch.tensor(images).permute(0, 3, 1, 2), [s.captions(1)[0] for s in scenes])
    >>> metric.compute().dtype, metric.score.n
    (torch.float64, 80)

    Each process encodes its own images. What is exchanged is a matrix of (d + 1)^2 float64 numbers,
    the sum of `[1, x] [1, x]^T` over features x, so that any number of processes gives the moments
    of one. There are no error bars, which would need the features.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    plot_lower_bound = 0.0

    #: (d + 1, d + 1) float64 sums over the images, and over their captions.
    generated: Tensor
    described: Tensor
    #: (2, 16) int64: the digests of the images and of their captions, added up byte by byte.
    contents: Tensor
    #: (2,) int64: captions that were cut, and captions without a word, which are left out.
    lost: Tensor
    #: (8, d) float64: how the sums were made and what they are scored against, see `_origin_of`.
    #: Zero before the first update, NaN in the rows where metrics differ whose sums were added.
    origin: Tensor
    #: All of what `compute` found last, with the signature; None before, and where it gave NaN.
    score: CMDScore | None

    def __init__(
        self,
        real: Source,
        captions: Source | None = None,
        *,
        model: str | Path | None = None,
        weights: str | Path | None = None,
        protocol: Protocol | str | Path = "grgan",
        device: str | torch.device | None = None,
        encoder: Encoder | None = None,
        **kwargs: Any,
    ) -> None:
        """Look up the inputs, which are encoded at the first `update`, on the metric's device.

        Every process encodes the real images: give stored moments where they are many.

        Args:
            real: The real images, as for `cmdmetric.Evaluator`.
            captions: The captions, as for `cmdmetric.Evaluator`.
            model: The encoder, as for `cmdmetric.cmd`.
            weights: Its weights.
            protocol: The protocol.
            device: Where it computes; by default the metric's own device.
            encoder: An encoder that is already there, in place of the four above.
            **kwargs: Those of every metric of torchmetrics (sync_on_compute, process_group and
                others).

        Raises:
            InputError: Anything is wrong with the inputs, as for `cmdmetric.Evaluator`.
            ValueError: torchmetrics does not know a keyword.
        """
        super().__init__(**kwargs)
        self._real = _FixedSide(real, open_image_side)
        self._captions = None if captions is None else _FixedSide(captions, open_text_side)
        checkpoint = encoder.checkpoint if encoder else find_checkpoint(model, weights)
        self._options: EncoderOptions = {
            "model": model,
            "weights": weights,
            "protocol": get_protocol(protocol),
            "device": device,
        }
        self._encoder = encoder
        self.score = None
        self._of_batch = False  # whether `compute` is asked for the value of `forward`
        size = int(checkpoint.config["embed_dim"]) + 1
        for name in ("generated", "described"):
            zero = torch.zeros(size, size, dtype=torch.float64)
            self.add_state(name, zero, dist_reduce_fx="sum")
        digests = torch.zeros(2, DIGEST_SIZE, dtype=torch.int64)
        self.add_state("contents", digests, dist_reduce_fx="sum")
        self.add_state("lost", torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")
        # A state, so that torchmetrics compares and exchanges it wherever it does so with the sums.
        nothing = torch.zeros(len(_ORIGIN), size - 1, dtype=torch.float64)
        self.add_state("origin", nothing, dist_reduce_fx=_agreed)

    def update(self, images: Source, captions: Sequence[str | Sequence[str]] | None = None) -> None:
        """Add generated images, and their captions where the metric was made without.

        Arguments and errors are those of `cmdmetric.Evaluator.update`.
        """
        batch = images if isinstance(images, Batch) else self._encode(images, captions)
        lost = torch.tensor([batch.truncated, len(batch.texts) - len(batch.kept)])
        self.generated = self.generated + _sums(batch.images).to(self.generated.device)
        self.described = self.described + _sums(batch.captions).to(self.described.device)
        self.lost = self.lost + lost.to(self.lost.device)
        digests = batch.contents, digests_of(batch.texts[i].encode() for i in batch.kept)
        sums = np.stack([own.sum(axis=0, dtype=np.int64) for own in digests])
        self.contents = self.contents + torch.from_numpy(sums).to(self.contents.device)
        if not self.origin.any():
            self.origin = self._own_origin().to(self.origin.device)

    def forward(
        self, images: Source, captions: Sequence[str | Sequence[str]] | None = None
    ) -> Tensor:
        """Add images as `update` does, and return the CMD of these alone.

        That is NaN, and `score` None, for fewer than 2 images or captions, which have none; they
        count in `compute`. Where images or captions are refused what was collected stays.
        """
        # Before torchmetrics sets aside what was collected: an error there would lose it.
        batch = self._encode(images, captions)
        self._of_batch = True
        try:
            value: Tensor = super().forward(batch)
        finally:
            self._of_batch = False
        return value

    def compute(self) -> Tensor:
        """Compute CMD, a float64 scalar; `score` then has the rest of it. It warns as `cmd` does.

        Raises:
            InputError: There are fewer than 2 images or captions over all processes, or a metric
                with another protocol, encoder, real images or captions has part in the sums.
        """
        encoder, real, captions = self._prepared()
        self._refuse(self.origin)
        sums = [self.generated] if captions else [self.generated, self.described]
        if self._of_batch and min(map(_count, sums)) < 2:
            self.score = None
            return torch.tensor(torch.nan, dtype=torch.float64, device=self.generated.device)
        made = encoder.provenance("image", IMAGES)
        of_images, of_captions = map(_contents, self.contents.tolist())
        generated = Side(_moments(self.generated, made), IMAGES, contents=of_images)
        truncated, empty = self.lost.tolist()
        if captions is None:
            moments = _moments(self.described, encoder.provenance("text", CAPTIONS))
            captions = Side(moments, CAPTIONS, truncated=truncated, contents=of_captions)
        score = score_of(generated, real, captions)
        if empty:
            note = f"captions that have no word in them are left out: {empty:,}"
            score = dataclasses.replace(score, empty=empty, warnings=(*score.warnings, note))
        for note in score.warnings:
            warnings.warn(note, UserWarning, stacklevel=2)
        self.score = score
        return torch.tensor(score.cmd, dtype=torch.float64, device=self.generated.device)

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add what another metric has collected, in place.

        Raises:
            InputError: It has another protocol, encoder, real images or captions.
        """
        state = incoming_state
        if isinstance(incoming_state, CrossModelDistance):
            here, there = (
                metric._prepared()[0].provenance("image", IMAGES)
                for metric in (self, incoming_state)
            )
            refuse_differences(here, there)
            self._refuse(incoming_state._own_origin())
            state = incoming_state.metric_state
        if isinstance(state, dict) and "origin" in state:
            self._refuse(state["origin"])
        super().merge_state(incoming_state)

    def plot(self, val: Tensor | Sequence[Tensor] | None = None, ax: Any = None) -> Any:
        """Draw values of `compute`, by default the one of now.

        Args:
            val: The values.
            ax: The axes to draw into.

        Returns:
            A matplotlib figure and its axes.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        return self._plot(val, ax)

    def _encode(self, images: Source, captions: Sequence[str | Sequence[str]] | None) -> Batch:
        refuse_captions(given=captions is not None, expected=self._captions is None)
        encoder, _, _ = self._prepared()
        return encode_batch(encoder, images, captions)

    def _own_origin(self) -> Tensor:
        encoder, real, captions = self._prepared()
        return _origin_of(encoder.provenance("image", IMAGES), real, captions)

    def _refuse(self, origin: Tensor) -> None:
        """Raise InputError where sums of this origin are none of this metric's."""
        own = self._own_origin()
        if origin.shape != own.shape:
            differing = ["architecture"]
        else:
            agreed = _agreed(torch.stack([own, origin.to(own)])).isnan().any(-1)
            differing = [what for what, no in zip(_ORIGIN, agreed.tolist(), strict=True) if no]
        if differing:
            raise InputError(
                f"sums of metrics with different {', '.join(dict.fromkeys(differing))} cannot meet "
                "in one score: merge, exchange and load those of one protocol and encoder, of the "
                "same real images and captions"
            )

    def _prepared(self) -> tuple[Encoder, Side, Side | None]:
        if self._encoder is None:
            device = self._options["device"] or self.device
            self._encoder = build_encoder({**self._options, "device": device})
        real, captions = self._real.encoded(self._encoder), self._captions
        return self._encoder, real, None if captions is None else captions.encoded(self._encoder)

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> Any:
        """Move the sums to a device, but leave them float64 where a model is cast to less."""

        def move(tensor: Tensor) -> Tensor:
            device = fn(torch.zeros((), device=tensor.device)).device
            if device.type == "mps" and tensor.dtype == torch.float64:  # which it does not have
                return tensor
            if tensor.is_meta:  # which holds nothing: the metric starts from nothing
                return torch.zeros_like(tensor, device=device)
            return tensor.to(device)

        return super()._apply(move, exclude_state)


class _FixedSide:
    """The real images or the captions of every evaluation: looked up now, encoded when needed.

    Copies of a metric share it, so that a generator is read once and images are never copied.
    """

    def __init__(self, source: Source, read: Callable[[Source], _Opened]) -> None:
        self._source, self._read = source, read
        self._opened: _Opened | None = read(source)
        self._encoded: Side | None = None
        if not isinstance(self._opened, ImageSet):  # nothing of the source is left to be read
            self._source = None

    def encoded(self, encoder: Encoder) -> Side:
        """The side, without features: error bars of it alone would be mistaken for the score's."""
        if self._encoded is None:
            opened = self._read(self._source) if self._opened is None else self._opened
            self._encoded = dataclasses.replace(encode_side(encoder, opened), features=None)
            self._source = self._opened = None
        return self._encoded

    def __deepcopy__(self, memo: dict[int, Any]) -> _FixedSide:
        return self

    def __getstate__(self) -> dict[str, Any]:
        # An open set of images holds functions and files: the copy looks the source up again.
        opened = None if isinstance(self._opened, ImageSet) else self._opened
        return {**vars(self), "_opened": opened}


def _sums(features: NDArray[np.float32]) -> Tensor:
    """The sum of [1, x][1, x]^T over rows x: their count, sum, and products, in float64."""
    rows = np.insert(features.astype(np.float64), 0, 1.0, axis=1)
    return torch.from_numpy(rows.T @ rows)


def _count(sums: Tensor) -> int:
    """How many rows `_sums` has summed up."""
    return round(float(sums[0, 0]))


def _contents(sums: list[int]) -> Contents:
    """The digest of a set (1, 16) from the sums of its samples' digests, byte by byte."""
    total = sum(each << 8 * place for place, each in enumerate(reversed(sums)))
    return np.frombuffer((total % (1 << 8 * len(sums))).to_bytes(len(sums), "big"), np.uint8)[None]


def _moments(sums: Tensor, provenance: Provenance) -> Moments:
    """The moments of what `_sums` has summed up."""
    values, n = sums.cpu().numpy(), _count(sums)
    if n < 2:
        raise InputError(f"a score needs at least 2 {provenance.source}, there are {n}")
    mean = values[0, 1:] / n
    cov = (values[1:, 1:] - n * np.outer(mean, mean)) / (n - 1)
    return Moments.from_statistics(mean, cov, n, provenance)


def _origin_of(made: Provenance, real: Side, captions: Side | None) -> Tensor:
    """(8, d) float64: how the features are made, and what they are scored against. See `_ORIGIN`.

    These are digests of how features are made and of how many the fixed sides have, and the means
    of these sides, whose rounding no digest would survive.
    """
    protocol = {  # 10 and 10.0 are one number
        field: float(value) if isinstance(value, int) else value
        for field, value in made.protocol.to_dict().items()
        if field != "name"
    }
    counts = real.moments.n, captions and captions.moments.n
    facts = sorted(protocol.items()), made.weights, made.architecture, made.dtype, *counts
    d = real.moments.d
    digests = [list(hashlib.shake_256(repr(fact).encode()).digest(d)) for fact in facts]
    means = real.moments.mean, captions.moments.mean if captions else np.zeros(d)
    return torch.from_numpy(np.array([*digests, *means], np.float64))


def _agreed(origins: Tensor) -> Tensor:
    """What all of (k, 8, d) say; NaN in the rows where two differ. Zeros say nothing yet."""
    known = origins[origins.flatten(1).any(1)]
    if len(known) == 0:
        return origins[0]
    first = known[0]
    near = (known - first).norm(dim=-1) <= _ROUNDING * first.norm(dim=-1)  # NaN is near nothing
    return first.masked_fill(~near.all(0)[:, None], torch.nan)
