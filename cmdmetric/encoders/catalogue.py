"""The networks that may look at the images of a score beside CLIP, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cmdmetric.encoders.image_network import ImageNetwork
from cmdmetric.encoders.inception import Inception

if TYPE_CHECKING:
    import torch


class BuildNetwork(Protocol):
    """What makes an `ImageNetwork`: its class, or a function."""

    def __call__(
        self,
        weights: str | Path | None,
        /,
        *,
        device: str | torch.device | None,
        batch_size: int,
    ) -> ImageNetwork:
        """Build the network and load its weights.

        Args:
            weights: Their file; None where the network is to find them.
            device: Where it computes; by default on a GPU where there is one.
            batch_size: How many images it takes at once.

        Raises:
            InputError: The weights cannot be had or read, or there is no such device.
        """


#: The networks by the names that metrics give them (`cmdmetric.scoring.family`). Those that the
#: wanted metrics name are built, and see every image in the pass in which CLIP sees it.
IMAGE_NETWORKS: dict[str, BuildNetwork] = {
    "inception": Inception,
}
