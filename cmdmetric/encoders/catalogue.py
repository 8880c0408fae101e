"""The networks that may look at the images of a score beside CLIP, by name."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol as Interface

from cmdmetric.encoders.image_network import ImageNetwork
from cmdmetric.encoders.image_tower import ImageTower
from cmdmetric.encoders.inception import Inception
from cmdmetric.encoders.lazy_encoder import LazyEncoder
from cmdmetric.encoders.timm import dinov2, listed_name, timm_network
from cmdmetric.encoders.weights import IMAGE_WEIGHTS, Checkpoint, Digest, find_checkpoint
from cmdmetric.errors import InputError
from cmdmetric.files import named_path, sha256_of
from cmdmetric.protocol import CMMD, HESSEL, Protocol

if TYPE_CHECKING:
    import torch

    from cmdmetric.encoders.clip import Encoder


class BuildNetwork(Interface):
    """What makes an `ImageNetwork`: its class, or a function."""

    def __call__(
        self,
        weights: str | Path | None,
        /,
        *,
        device: str | torch.device | None,
        batch_size: int,
        digest: Digest,
    ) -> ImageNetwork:
        """Build the network and load its weights.

        Args:
            weights: Their file; None where the network is to find them.
            device: Where it computes; by default on a GPU where there is one.
            batch_size: How many images it takes at once.
            digest: Gives the sha256 of a file.

        Raises:
            InputError: The weights cannot be had or read, or there is no such device.
        """


#: CLIPs of published metrics, under the protocols of their papers, and whether captions count.
_HESSEL = "ViT-B-32/openai", HESSEL, True
_CMMD = "ViT-L-14-336/openai", CMMD, False


def _clip(
    published: tuple[str, Protocol, bool],
    weights: str | Path | None,
    /,
    *,
    device: str | torch.device | None,
    batch_size: int,
    digest: Digest,
) -> ImageTower:
    """The CLIP of a published metric; see `BuildNetwork`."""
    model, protocol, reads = published
    checkpoint = find_checkpoint(model, weights, digest, IMAGE_WEIGHTS)
    encoder = LazyEncoder(
        partial(find_checkpoint, checkpoint),
        protocol,
        batch_size,
        partial(_build_clip, protocol, device, batch_size),
    )
    return ImageTower(encoder, reads=reads)


def _build_clip(
    protocol: Protocol, device: str | torch.device | None, batch_size: int, checkpoint: Checkpoint
) -> Encoder:
    from cmdmetric.encoders.clip import Encoder  # imports torch

    return Encoder(checkpoint, None, protocol, device=device, batch_size=batch_size)


#: Those of the networks that are looked at by the metrics of any network.
_OF_IMAGES_ALONE = ("dinov2",)
#: The networks by the names that metrics give them (`cmdmetric.scoring.family`). Those that the
#: wanted metrics name are built, and see every image in the pass in which CLIP sees it.
IMAGE_NETWORKS: dict[str, BuildNetwork] = {
    "inception": Inception,
    "dinov2": dinov2,
    "clip-hessel": partial(_clip, _HESSEL),
    "clip-cmmd": partial(_clip, _CMMD),
}


def build_image_network(
    name: str,
    model: str | Path | None,
    weights: str | Path | None,
    *,
    device: str | torch.device | None,
    batch_size: int,
    digest: Digest = sha256_of,
) -> ImageNetwork:
    """Build one of these networks, or any of timm.

    Args:
        name: Its name here.
        model: A name of timm's list or a folder, where it is none of `IMAGE_NETWORKS`.
        weights: The file of its weights; None where it is to find them.
        device: Where it computes; by default on a GPU where there is one.
        batch_size: How many images it takes at once.
        digest: Gives the sha256 of a file.

    Raises:
        InputError: There is no such network, or its weights cannot be had or read.
    """
    build: BuildNetwork = IMAGE_NETWORKS.get(name) or partial(timm_network, model or name)
    return build(weights, device=device, batch_size=batch_size, digest=digest)


def network_name(model: str | Path) -> str:
    """What a network of timm is called in results: its name, or that of its folder.

    Raises:
        InputError: It has the name of another network, which is not timm's; or it is a word that is
            both a folder and a name of timm's.

    >>> network_name("vit_base_patch16_224.mae")
    'vit_base_patch16_224.mae'
    """
    folder = named_path(model)
    is_folder = folder.is_dir()
    name = re.sub(r"[^\w.-]", "_", folder.resolve().name if is_folder else str(model))
    if not name or (name in IMAGE_NETWORKS and (is_folder or name not in _OF_IMAGES_ALONE)):
        raise InputError(
            f"{model}: an image model cannot be called {name!r}, which has metrics of its own"
        )
    if is_folder and isinstance(model, str) and (listed := listed_name(model)):
        raise InputError(
            f"{model}: a folder is called so, and a network of timm: ./{model} is the folder"
            + (f", {listed} is timm's" if listed != model else "")
        )
    return name
