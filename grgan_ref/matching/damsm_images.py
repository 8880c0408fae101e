"""What DAMSM sees of an image: regions and one vector, from Inception-v3 or a small network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import Inception3

from grgan_ref.errors import GrganError
from grgan_ref.files import read_tensors

# torchvision's Inception-v3 up to each feature, by the names of its parts.
TO_REGIONS = (
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1"),
    *("Conv2d_3b_1x1", "Conv2d_4a_3x3", "maxpool2"),
    *("Mixed_5b", "Mixed_5c", "Mixed_5d"),
    *("Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"),
)
TO_VECTOR = ("Mixed_7a", "Mixed_7b", "Mixed_7c")


class InceptionNetwork(nn.Module):
    """Inception-v3 (Szegedy et al. 2016), frozen.

    Images of 299 pixels in [-1, 1] to Mixed_6e (B, 768, 17, 17) and the pooled last layer
    (B, 2048).
    """

    region_dim, vector_dim = 768, 2048

    def __init__(self) -> None:
        super().__init__()
        network = Inception3(aux_logits=False, transform_input=False, init_weights=False)
        for name in (*TO_REGIONS, *TO_VECTOR):
            self.add_module(name, getattr(network, name))
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> InceptionNetwork:
        """Always in eval mode. AttnGAN's pre-training lets the running statistics drift."""
        return super().train(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The regions (B, 768, 17, 17) and the vector (B, 2048) of images (B, 3, 299, 299)."""
        x = images
        for name in TO_REGIONS:
            x = getattr(self, name)(x)
        regions = x
        for name in TO_VECTOR:
            x = getattr(self, name)(x)
        return regions, x.mean(dim=(2, 3))

    def load_imagenet(self, path: str) -> None:
        """Take the weights of torchvision's file, inception_v3_google-*.pth.

        Raises:
            GrganError: The file cannot be read, or is another.
        """
        state = read_tensors(path)
        own = self.state_dict()
        missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
        if missing:
            raise GrganError(
                f"damsm.weights: {path} is no Inception-v3 of torchvision: it has no {missing[0]!r}"
            )
        self.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)


class SmallNetwork(nn.Module):
    """Four convolutions, trained with the rest of DAMSM: for images that no ImageNet knows.

    Images (B, 3, s, s) in [-1, 1] to regions (B, 64, s/4, s/4) and a vector (B, 128).
    """

    region_dim, vector_dim = 64, 128

    def __init__(self) -> None:
        super().__init__()
        channels = [3, 32, 64, 64, 128]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(into, out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(out)
            )
            for into, out, stride in zip(channels[:-1], channels[1:], (2, 1, 2, 2), strict=True)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The regions (B, 64, s/4, s/4) and the vector (B, 128) of images (B, 3, s, s)."""
        x = images
        for block in self.blocks[:3]:
            x = F.leaky_relu(block(x), 0.2)
        return x, F.leaky_relu(self.blocks[3](x), 0.2).mean(dim=(2, 3))
