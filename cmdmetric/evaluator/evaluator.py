"""What is built once and scores many times: an encoder, the real side, and the captions."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cmdmetric.errors import InputError
from cmdmetric.evaluator.batch import (
    Batch,
    encode_batch,
    read_in_order,
    refuse_captions,
)
from cmdmetric.evaluator.encoding import IMAGES, apart_from_training, build_encoder, encode_side
from cmdmetric.inputs import (
    Captions,
    Columns,
    ImageSet,
    Subset,
    captions_along,
)
from cmdmetric.metrics import Moments, refuse_differences
from cmdmetric.scoring import (
    CMDScore,
    EncoderOptions,
    Encoding,
    ImageWeights,
    Networks,
    Scored,
    Side,
    Source,
    Wanted,
    drawn_of,
    open_image_side,
    open_text_side,
    refuse_unknown,
    score_of,
    with_family,
    with_generated,
    with_places,
)
from cmdmetric.terminal import counted

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Evaluator:
    """An encoder, the real side and the captions, built once to score any number of generators.

    `score` takes a whole set: a folder, an archive, a list of PIL images, a Dataset, a DataLoader.
    `update` takes what a training loop has, batch by batch, and `compute` scores all of it. Both
    give what `cmd` gives of the same images.

    Images are resized as files are, by Pillow, so that the numbers equal `cmd`'s on the same images
    saved without loss. The moments are taken in float64 from features that are kept (4 d bytes an
    image). Neither random numbers, nor precision, nor any other setting of torch is changed for
    the training around it, and autocast around it does not reach the encoder.

    >>> from cmdmetric.scenes.drawing import draw_scene
    >>> scenes = [draw_scene(seed) for seed in range(160)]
    >>> images = np.stack([np.asarray(scene.render(64)) for scene in scenes])
    >>> texts = [scene.captions(1)[0] for scene in scenes]
    >>> evaluator = Evaluator(real=images[:80], model="scenes-toy")
    >>> evaluator.update(images[80:120], texts[80:120])
    >>> evaluator.update(images[120:], texts[120:])
    >>> evaluator.compute().n
    80
    """

    def __init__(
        self,
        real: Source,
        captions: Source | None = None,
        *,
        metrics: str | Iterable[str] = (),
        inception_weights: str | Path | None = None,
        inception_real: Source | None = None,
        image_model: str | Path | Sequence[str | Path] = (),
        image_weights: ImageWeights = None,
        real_captions: Source | None = None,
        caption_column: str | None = None,
        image_column: str | None = None,
        **options: Unpack[EncoderOptions],
    ) -> None:
        """Encode the real images, and the captions where these are the same for every evaluation.

        Args:
            real: The real images, in any form that `cmd` takes.
            captions: The captions, in any form that `cmd` takes. Without any, every `update` brings
                those of its images.
            metrics: Further metrics in every score, as for `cmd`. For fid, kid and is Inception
                looks at every image too, and 12 kB an image are kept.
            inception_weights: The file of Inception's weights, as for `cmd`.
            inception_real: The real side of Inception's metrics, as for `cmd`.
            image_model: Image networks that look at the images as well, as for `cmd`.
            image_weights: Their weights, as for `cmd`.
            real_captions: Those of the real images: a list in their order (for each a caption or a
                list of several), or captions that name them. fjd and clip_cfid take them; and where
                images are painted from captions of the real images, they make the error bars those
                of pairs.
            caption_column: The column of the captions in records and tables, as for `cmd`.
            image_column: The column of the images, or of their names.
            **options: Which encoder: `model`, `weights`, `protocol` and `device`, or an `encoder`
                that is already there, as `cmdmetric.scoring.options.EncoderOptions` says.

        Raises:
            InputError: Anything is wrong with the inputs, or stored moments were made otherwise
                than this encoder would.
            TypeError: There is no option of such a name.
        """
        refuse_unknown(options, EncoderOptions.__annotations__)
        wanted = Wanted.of(
            metrics,
            inception_weights,
            inception_real,
            image_model=image_model,
            image_weights=image_weights,
        )
        # Every input is looked up before the network is built: a wrong path is told at once.
        columns = self._columns = Columns(caption_column, image_column)
        opened_r = open_image_side(real, columns)
        opened_l = None if captions is None else open_text_side(captions, columns)
        in_order = isinstance(real_captions, (list, tuple, np.ndarray))
        opened_rl = None
        if real_captions is not None and not in_order:
            opened_rl = open_text_side(real_captions, columns)
        self.encoder = options.get("encoder") or build_encoder(options)
        device = self.encoder.device
        with apart_from_training(device.type):
            encoding = Encoding(self.encoder, device=device, columns=columns)
            networks = Networks.of(wanted, encoding)
            real_side, self._seen_r = networks.encoded_real(opened_r, encoding)
            self.real = encode_side(self.encoder, real_side)
        # Images cannot be pickled with the evaluator, and have been seen.
        self._networks = dataclasses.replace(networks, real={})
        #: The captions of every evaluation; None where every update brings its own.
        self.captions: Side | None = None
        if opened_l is not None:
            self.captions = encode_side(self.encoder, opened_l)
        #: The captions of the real images.
        self.real_captions: Side | None = None
        if in_order:
            self.real = _with_names(self.real)
            opened_rl = read_in_order(real_captions, self.real.names or (), "real images")
        if opened_rl is not None:
            self.real_captions = encode_side(self.encoder, opened_rl)
        self._batches: list[Batch] = []
        self._part: tuple[Captions, Side] | None = None

    def __repr__(self) -> str:
        encoder, real, captions = self.encoder, self.real.moments.n, "captions with every batch"
        if self.captions is not None:
            captions = _counted(self.captions.moments.n, "caption")
        collected = sum(len(batch.images) for batch in self._batches)
        return (
            f"<Evaluator {encoder.checkpoint.label}, protocol {encoder.protocol.name}: "
            f"{_counted(real, 'real image')}, {captions}, "
            f"{counted(collected, 'generated image')} since the last reset>"
        )

    def score(
        self,
        generated: Source,
        captions: Source | None = None,
        *,
        num: int | None = None,
        seed: int | None = None,
    ) -> CMDScore:
        """Score a whole set of generated images; what `update` has collected stays as it is.

        Args:
            generated: The images, in any form that `cmd` takes.
            captions: Theirs, in any form that `cmd` takes, where the evaluator was made without. By
                default those that come along with the images, from pairs, records or a table.
            num: How many of the images are scored, with their captions, as for `cmd`.
            seed: Which of the many parts of that size, by default 0.

        Raises:
            InputError: Anything is wrong with the inputs, captions are missing or given twice, or a
                metric lacks what it needs.
        """
        opened = open_image_side(generated, self._columns)
        along = isinstance(opened, ImageSet) and opened.along is not None
        opened_l = None if captions is None else open_text_side(captions, self._columns)
        if opened_l is None and self.captions is None and not along:
            with contextlib.suppress(InputError):  # a table or a folder that holds both
                opened_l = open_text_side(generated, self._columns)
        given = opened_l is not None or (along and self.captions is None)
        refuse_captions(given=given, expected=self.captions is None)
        subset = Subset.wanted(num, seed)
        if subset is not None:
            of_all = self.captions or opened_l or opened
            (opened,), opened_l = drawn_of([opened], of_all, subset)
        device = self.encoder.device
        with apart_from_training(device.type):
            encoding = Encoding(self.encoder, device=device)
            f, seen = self._networks.encoded(opened, encoding)
        if opened_l is not None:
            l = self._captions_of(opened_l)
        elif self.captions is not None:
            l = self.captions
        else:
            assert isinstance(opened, ImageSet)  # its images have been read: captions are known
            l = encode_side(self.encoder, captions_along(opened))
        if l.texts is not None:
            f = with_places(f, l.texts)
        return self._score_of(dataclasses.replace(f, images=None), l, seen)

    def _captions_of(self, opened: Side | Captions) -> Side:
        """Captions as a side; a part that is drawn at every step of a training is encoded once."""
        if isinstance(opened, Side):
            return encode_side(self.encoder, opened)
        if self._part is None or self._part[0] != opened:
            self._part = opened, encode_side(self.encoder, opened)
        return self._part[1]

    def update(self, images: Source, captions: Sequence[str | Sequence[str]] | None = None) -> None:
        """Add generated images, and their captions where the evaluator was made without.

        Args:
            images: uint8 with values 0 to 255, (N, C, H, W) or (N, H, W, C), a tensor on any device
                or an array; or PIL images, or whatever else `cmdmetric.inputs.open_images` takes.
            captions: One for each image, or a list of several for each.

        Raises:
            InputError: Images are of another kind, or captions are missing, too many, too few, or
                empty; nothing is added then.
        """
        refuse_captions(given=captions is not None, expected=self.captions is None)
        networks = self._networks.networks
        self._batches.append(encode_batch(self.encoder, images, captions, networks))

    def compute(self) -> CMDScore:
        """Score all images since the last `reset`; the result and the warnings are those of `cmd`.

        Raises:
            InputError: There are fewer than 2 images or captions, or a metric lacks what it needs.
        """
        if not self._batches:
            raise InputError("there is no image to score: call update first")
        batch = Batch.join(self._batches)
        for what, n in (("images", len(batch.images)), ("captions", self._n_captions(batch))):
            if n < 2:
                raise InputError(f"a score needs at least 2 {what} (with a word), there are {n}")
        f = batch.image_side(self.encoder)
        l = self.captions or batch.caption_side(self.encoder)
        return self._score_of(f, l, batch.seen)

    def _score_of(self, f: Side, l: Side, seen_f: Mapping[str, NDArray[np.float32]]) -> CMDScore:
        """The score of a generated side, with its metrics; warns of what a reader must know."""
        score = score_of(f, self.real, l, real_captions=self.real_captions)
        with apart_from_training(self.encoder.device.type):
            encoding = Encoding(self.encoder, device=self.encoder.device)
            of_captions = self._networks.with_captions(self._seen_r, l, encoding)
        seen = with_generated(of_captions, seen_f)
        found = Scored(score, f, self.real, l, seen=seen, real_captions=self.real_captions)
        score = with_family(found, self._networks).score
        for note in score.warnings:
            warnings.warn(note, UserWarning, stacklevel=3)
        return score

    def reset(self) -> None:
        """Forget the generated images and their captions; the real side stays."""
        self._batches = []

    def merge(self, other: Evaluator) -> Evaluator:
        """Add what another evaluator has collected, in place, and return itself.

        Raises:
            InputError: The two have different encoders, real images, captions or metrics.
        """
        if other is self:
            raise InputError(
                "an evaluator cannot be merged with itself: its images would count twice"
            )
        if self._made_with() != other._made_with():
            raise InputError("evaluators with different metrics cannot be merged")
        here, there = (e.encoder.provenance("image", IMAGES) for e in (self, other))
        refuse_differences(here, there)
        for what, ours, theirs in (
            ("real images", self.real, other.real),
            ("captions", self.captions, other.captions),
            ("captions of the real images", self.real_captions, other.real_captions),
        ):
            if not _are_same(ours, theirs):
                raise InputError(f"evaluators with different {what} cannot be merged")
        for network, seen in self._seen_r.items():
            if not _are_near(_mean_of(seen.r), _mean_of(other._seen_r[network].r)):
                raise InputError(
                    f"evaluators with different real images of {network} cannot be merged"
                )
        self._batches = [*self._batches, *other._batches]
        return self

    def _n_captions(self, batch: Batch) -> int:
        return len(batch.captions) if self.captions is None else self.captions.moments.n or 2

    def _made_with(self) -> tuple[tuple[str, ...], dict[str, str]]:
        """The metrics, and the weights of the networks beside CLIP."""
        networks = self._networks.networks
        names = tuple(metric.name for metric in self._networks.metrics)
        return names, {name: each.sha256 for name, each in networks.items()}


def _counted(n: int | None, unit: str) -> str:
    return f"{unit}s" if n is None else counted(n, unit)


def _with_names(real: Side) -> Side:
    """Real images with names and places that captions in their order can pair with."""
    places = tuple(range(real.moments.n or 0))
    if real.names is not None:
        return dataclasses.replace(real, places=places)
    if not real.has_features:
        raise InputError(
            f"{real.source} is moments alone, which captions cannot be paired with: store it with "
            "its features (cmdmetric moments), or give the images"
        )
    return dataclasses.replace(real, names=tuple(f"#{i}" for i in places), places=places)


def _are_same(a: Side | None, b: Side | None) -> bool:
    """Whether two sides are one set, to the rounding of the machines that encoded them."""
    if a is None or b is None:
        return a is b
    texts = [side.texts and (side.texts.texts, side.texts.images) for side in (a, b)]
    return texts[0] == texts[1] and _are_near(_mean_of(a.moments), _mean_of(b.moments))


def _mean_of(
    side: Moments | NDArray[np.float32] | None,
) -> tuple[int | None, NDArray[np.float64]]:
    """The number of samples, and their mean (d,), which nothing has where there is no side."""
    if side is None:
        return None, np.empty(0)
    if isinstance(side, Moments):
        return side.n, side.mean
    return len(side), side.mean(axis=0, dtype=np.float64)


def _are_near(
    x: tuple[int | None, NDArray[np.float64]], y: tuple[int | None, NDArray[np.float64]]
) -> bool:
    """Whether two sides are one, to the rounding of the machines that encoded them."""
    if x[0] != y[0] or x[1].shape != y[1].shape:
        return False
    return float(np.linalg.norm(x[1] - y[1])) <= 1e-4 * float(np.linalg.norm(x[1]))
