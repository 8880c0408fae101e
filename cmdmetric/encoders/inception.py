"""Inception as torch-fidelity has it: its network, its weights, its resize, nothing of our own.

One forward gives the pooled features, of which FID and KID are made, and the logits, of which the
Inception score is made. Torch is imported when a network is built, not before.
"""

from __future__ import annotations

import io
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from cmdmetric.encoders.rgb import to_rgb
from cmdmetric.errors import InputError
from cmdmetric.features import Undecodable
from cmdmetric.files import cache_folder, download, sha256_of
from cmdmetric.inputs import Failure, ImageSet, decoded

if TYPE_CHECKING:
    import torch

#: torch-fidelity's published weights, converted from TensorFlow's of 2015-12-05.
URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
#: The names that torch-fidelity and pytorch-fid give the same file in torch's cache.
_NAMES = (URL.rsplit("/", 1)[-1], "pt_inception-2015-12-05-6726825d.pth")
#: Images of unequal sizes that wait for others of theirs, in batches.
_WAITING = 8


class InceptionFeatures(NamedTuple):
    """What one forward gives, both float32."""

    #: (n, 2048), the features "2048".
    pool: NDArray[np.float32]
    #: (n, 1008), the features "logits_unbiased".
    logits: NDArray[np.float32]


@dataclass(frozen=True)
class InceptionImages:
    """The features of an image set, and what became of its images."""

    features: InceptionFeatures
    #: Names of the images that have features, in order.
    names: tuple[str, ...]
    #: Images that could not be decoded, with the reason.
    skipped: tuple[tuple[str, str], ...]


class Inception:
    """torch-fidelity's "inception-v3-compat"."""

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 32,
    ) -> None:
        """Build the network and load its weights, as `find_inception_weights` finds them.

        device is torch's, by default a GPU where there is one; batch_size changes the speed only.
        Raises InputError for weights that cannot be had or read, and for an unknown device.
        """
        from cmdmetric.encoders.device import choose_device

        if batch_size < 1:
            raise InputError(f"the batch size is {batch_size}, it must be at least 1")
        self.device = choose_device(device)
        self.batch_size = batch_size
        self.file = find_inception_weights(weights)
        #: sha256 (hex) of the weights file; only with `SHA256` are scores the published ones.
        self.sha256 = sha256_of(self.file)
        self._model = _build(self.file).to(self.device)

    def encode_pixels(self, pixels: NDArray[np.uint8]) -> InceptionFeatures:
        """Features of RGB pixels (n, height, width, 3) of any one size.

        In float32 throughout: on GPUs torch-fidelity lets convolutions compute in TF32, with 10
        bits of mantissa, so that its features there differ slightly.
        """
        import torch

        from cmdmetric.encoders.device import exact_float32

        with exact_float32(self.device):
            x = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device).permute(0, 3, 1, 2)
            pool, logits = self._model(x)
            features = InceptionFeatures(pool.cpu().numpy(), logits.cpu().numpy())
        if not all(np.isfinite(feature).all() for feature in features):
            raise InputError(f"{self.file}: these weights give features that are not finite")
        return features

    def encode(
        self,
        images: ImageSet,
        *,
        on_error: Literal["raise", "skip"] = "raise",
        progress: bool = False,
    ) -> InceptionImages:
        """The features of an image set, in its order; sizes may differ, batches do not matter.

        Raises Undecodable, an InputError, listing every image that cannot be decoded, unless
        on_error is "skip", and where none is left.
        """
        stream = InceptionStream(self)
        names: list[str] = []
        failures: list[tuple[str, str]] = []
        items = decoded(images, rgb_pixels, lookahead=4 * self.batch_size)
        bar = tqdm(items, total=images.count, desc="Inception", unit="image",
                   disable=not progress, mininterval=0.5)  # fmt: skip
        for name, pixels in bar:
            if isinstance(pixels, Failure):
                failures.append((name, pixels.reason))
            else:
                names.append(name)
                if not failures or on_error == "skip":  # else: only look for further failures
                    stream.add(pixels)
        if failures and (on_error == "raise" or not names):
            raise Undecodable(images.source, failures, len(names) + len(failures), on_error)
        return InceptionImages(stream.features(), tuple(names), tuple(failures))


class InceptionStream:
    """Collects images one by one and encodes those of one size together."""

    def __init__(self, network: Inception) -> None:
        self._network = network
        self._count = 0
        self._waiting: dict[tuple[int, ...], list[tuple[int, NDArray[np.uint8]]]]
        self._waiting = defaultdict(list)
        self._done: list[tuple[Sequence[int], InceptionFeatures]] = []

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """One image (height, width, 3), from `rgb_pixels`."""
        group = self._waiting[pixels.shape]
        group.append((self._count, pixels))
        self._count += 1
        if len(group) == self._network.batch_size:
            self._encode(pixels.shape)
        elif sum(map(len, self._waiting.values())) > _WAITING * self._network.batch_size:
            self._encode(max(self._waiting, key=lambda shape: len(self._waiting[shape])))

    def features(self) -> InceptionFeatures:
        """The features of all images, in the order in which they were added.

        Raises InputError where there is none.
        """
        self.flush()
        if not self._done:
            raise InputError("Inception was given no image")
        order = np.argsort(np.concatenate([numbers for numbers, _ in self._done]))
        parts = zip(*(features for _, features in self._done), strict=True)
        return InceptionFeatures(*(np.concatenate(part)[order] for part in parts))

    def flush(self) -> None:
        """Encode the images that wait for others of their size."""
        for shape in list(self._waiting):
            self._encode(shape)

    def take(self) -> list[tuple[Sequence[int], InceptionFeatures]]:
        """What was encoded since the last call, which is forgotten here: numbers of images, in the
        order in which they were added, and their features."""
        done, self._done = self._done, []
        return done

    def _encode(self, shape: tuple[int, ...]) -> None:
        numbers, pixels = zip(*self._waiting.pop(shape), strict=True)
        self._done.append((numbers, self._network.encode_pixels(np.stack(pixels))))


def rgb_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels (height, width, 3) that torch-fidelity reads: convert("RGB"), at their size."""
    return np.asarray(to_rgb(image, "convert"))


def find_inception_weights(weights: str | Path | None = None) -> Path:
    """The weights file: the one that is named, else torch's cache, else ours, else a download.

    What caches hold counts only with the published sha256. Raises InputError where the weights
    cannot be had, naming the ways to provide them.
    """
    if weights is not None:
        file = Path(weights).expanduser()
        if not file.is_file():
            raise InputError(f"{weights}: no such weights file")
        return file
    import torch

    hub = Path(torch.hub.get_dir()) / "checkpoints"
    ours = cache_folder() / "weights" / _NAMES[0]
    for candidate in (*(hub / name for name in _NAMES), ours):
        if candidate.is_file():
            if sha256_of(candidate) == SHA256:
                return candidate
            print(f"warning: {candidate} has a wrong sha256: ignored", file=sys.stderr)
    try:
        if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
            raise InputError("HF_HUB_OFFLINE forbids a download")
        return download(URL, ours, SHA256, "Inception weights")
    except InputError as error:
        raise InputError(
            f"the weights of Inception are not at hand (looked for {hub / _NAMES[0]} and {ours}) "
            f"and {error}. Three ways to provide them: name the file; put it at {ours}; or run "
            "once with a connection, so that they are downloaded."
        ) from None


def _build(file: Path) -> Any:
    """torch-fidelity's network with the weights of a file, which runs no code of its own."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # junk and pickled code raise anything from EOFError upwards
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{file}: not a plain state dict of Inception; pickled code and objects are never "
            f"executed: {reason[:300]}"
        ) from None
    # torch-fidelity unpickles whatever it is given: it gets what has just been read, saved anew.
    checked = io.BytesIO()
    torch.save(state, checked)
    checked.seek(0)
    try:
        with torch.device("cpu"):  # whatever a training loop's default is
            return FeatureExtractorInceptionV3(
                "inception-v3-compat",
                ["2048", "logits_unbiased"],
                feature_extractor_weights_path=checked,
            )
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{file}: these weights do not fit torch-fidelity's Inception: {reason[:300]}"
        ) from None
