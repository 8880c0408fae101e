"""Inception as torch-fidelity has it: its network, its weights, its resize, nothing of our own.

One forward gives the pooled features, of which FID and KID are made, and the logits, of which the
Inception score is made. Torch is imported when a network is built, not before.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from cmdmetric.cache import Space
from cmdmetric.encoders.rgb import to_rgb
from cmdmetric.encoders.weights import Digest
from cmdmetric.errors import InputError
from cmdmetric.files import cache_folder, download, named_path, sha256_of
from cmdmetric.terminal import tell

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
#: Columns of the pooled features.
POOL = 2048


class InceptionFeatures(NamedTuple):
    """What one forward gives, both float32."""

    #: (n, 2048), the features "2048".
    pool: NDArray[np.float32]
    #: (n, 1008), the features "logits_unbiased".
    logits: NDArray[np.float32]

    @classmethod
    def of_rows(cls, rows: NDArray[np.float32]) -> InceptionFeatures:
        """Of rows (n, 3056), in which the pooled features come first."""
        return cls(rows[:, :POOL], rows[:, POOL:])


class Inception:
    """torch-fidelity's "inception-v3-compat", an `ImageNetwork`."""

    #: It is computed in float32 whatever CLIP is computed in.
    fields: ClassVar[Mapping[str, str]] = {"proto": "none", "dtype": "fp32", "tok": "none"}

    def __init__(
        self,
        weights: str | Path | None = None,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 32,
        digest: Digest = sha256_of,
    ) -> None:
        """Build the network and load its weights, as `find_inception_weights` finds them.

        device is torch's, by default a GPU where there is one; batch_size changes the speed only;
        digest gives the sha256 of a file.

        Raises:
            InputError: The weights cannot be had or read, or the device is unknown.
        """
        if batch_size < 1:
            raise InputError(f"the batch size is {batch_size}, it must be at least 1")
        self.batch_size = batch_size
        self.file = find_inception_weights(weights)  # before torch, which takes seconds to import
        from cmdmetric.encoders.device import choose_device

        self.device = choose_device(device)
        #: sha256 (hex) of the weights file; only with `SHA256` are scores the published ones.
        self.sha256 = digest(self.file)
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

    @property
    def space(self) -> Space:
        """The space of pooled features and logits; the weights' sha256 decides on them."""
        return Space(
            f"images, Inception {self.sha256[:8]}",
            what="inception",
            weights=self.sha256,
            torch_fidelity=version("torch-fidelity"),
            pillow=PIL.__version__,
        )

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """The pixels (height, width, 3) that torch-fidelity reads, at the image's own size."""
        return np.asarray(to_rgb(image, "convert"))

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The rows (n, 3056) of `InceptionFeatures.of_rows`.

        Raises:
            InputError: The weights give features that are not finite.
        """
        return np.concatenate(self.encode_pixels(pixels), axis=1)

    def provenance(self, source: str) -> None:
        """No protocol of ours is behind its features: moments of them are stored without one."""
        return None


def _torch_hub() -> Path:
    """Torch's own cache, as `torch.hub.get_dir` tells it, where torch is not imported yet."""
    if "torch" in sys.modules:
        import torch

        return Path(torch.hub.get_dir())
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))).expanduser() / "hub"


def find_inception_weights(weights: str | Path | None = None) -> Path:
    """The weights file: the one that is named, else torch's cache, else ours, else a download.

    What caches hold counts only with the published sha256.

    Raises:
        InputError: The weights cannot be had. The message names the ways to provide them.
    """
    if weights is not None:
        file = named_path(weights)
        if not file.is_file():
            raise InputError(f"{weights}: no such weights file")
        return file
    hub = _torch_hub() / "checkpoints"
    ours = cache_folder() / "weights" / _NAMES[0]
    for candidate in (*(hub / name for name in _NAMES), ours):
        if os.path.isfile(candidate):
            if sha256_of(candidate) == SHA256:
                return candidate
            tell(f"warning: {candidate} has a wrong sha256: ignored")
    try:
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
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # never torch's advice to execute them
            reason = "it is none, or holds some"
        raise InputError(
            f"{file}: not a plain state dict of Inception; pickled code and objects are never "
            f"executed: {reason}"
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
