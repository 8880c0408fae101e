"""The golden data: arrays that the authors' released code computed, and the models they fit.

Read from $CMDMETRIC_GOLDEN, by default ../shared/golden beside the repository. Every size (widths,
slots, stages) is inferred from the arrays, so that files of the same layout with other contents
serve as well. The authors' key names go through the loader of their released files.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from grgan_ref.config import Config, ModelConfig, QuirksConfig, StageConfig
from grgan_ref.files import checkpoint
from grgan_ref.networks.discriminator import build_discriminators
from grgan_ref.networks.generator import Generator

FOLDER = Path(
    os.environ.get("CMDMETRIC_GOLDEN", Path(__file__).resolve().parents[3] / "shared" / "golden")
)
KINDS = "ISW"  # the released order of the stages


class Golden:
    """One .npz file; `tensor` reads an array, `state` all arrays under a prefix."""

    def __init__(self, name: str) -> None:
        path = FOLDER / name
        if not path.exists():
            pytest.skip(f"golden data absent: {path} (set CMDMETRIC_GOLDEN)")
        with np.load(path, allow_pickle=False) as file:
            self.arrays = {key: file[key] for key in file.files}

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def tensor(self, key: str, dtype: torch.dtype | None = None) -> torch.Tensor:
        tensor = torch.from_numpy(np.array(self.arrays[key]))
        return tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor

    def state(self, prefix: str) -> dict[str, torch.Tensor]:
        keys = [key for key in self.arrays if key.startswith(prefix)]
        return {key[len(prefix) :]: self.tensor(key) for key in keys}

    def names(self, key: str) -> list[str]:
        return [str(name) for name in self.arrays[key]]


def released_quirks(**changes: bool) -> QuirksConfig:
    return QuirksConfig(**{name: True for name in QuirksConfig.__annotations__} | changes)


def config(quirks: QuirksConfig | None = None) -> Config:
    """The configuration of netG.npz and netD.npz, by default with the released code's quirks."""
    net_g, net_d = Golden("netG.npz"), Golden("netD.npz")
    state = net_g.state("netG/")
    blocks = {key.split(".")[2] for key in state if key.startswith("h_net2.residual.")}
    sizes = [net_g.tensor(f"train/fake{i}").shape[-1] for i in range(len(KINDS))]
    model = ModelConfig(
        stages=tuple(StageConfig(kind, size) for kind, size in zip(KINDS, sizes, strict=True)),
        generator_width=state["img_net1.img.0.weight"].shape[1],
        discriminator_width=net_d.tensor("netD0/img_code_s16.0.module.bias").shape[0],
        noise_dim=net_g.tensor("z").shape[-1],
        condition_dim=state["ca_net.fc.weight"].shape[0] // 4,
        residual_blocks=len(blocks),
        embedding_dim=state["ca_net.fc.weight"].shape[1],
    )
    return Config(model=model, quirks=quirks or released_quirks())


def generator(quirks: QuirksConfig | None = None) -> Generator:
    """The generator with the weights of netG.npz, in training mode."""
    net = Generator(config(quirks))
    state = checkpoint.rename_generator(Golden("netG.npz").state("netG/"))
    checkpoint.load_strictly(net, state, "netG.npz")
    return net.train()


def discriminators(quirks: QuirksConfig | None = None) -> torch.nn.ModuleList:
    """The discriminators with the weights of netD.npz, in training mode."""
    nets, golden = build_discriminators(config(quirks)), Golden("netD.npz")
    for i, net in enumerate(nets):
        state = checkpoint.rename_discriminator(golden.state(f"netD{i}/"))
        checkpoint.load_strictly(net, state, f"netD{i}")
    return nets.train()


def real_images(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """The images of netD.npz, one batch per stage, in [-1, 1]; scaled in float32, then cast."""
    golden = Golden("netD.npz")
    u8 = [golden.tensor(f"real{i}_u8") for i in range(len(KINDS))]
    return [(x.float() / 127.5 - 1).to(dtype) for x in u8]


def largest_difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """max |a - b| in float64; the shapes must be equal."""
    assert a.shape == b.shape
    return (a.detach().double() - b.double()).abs().max().item()


def our_names(keys: list[str], rename: Callable[[dict], dict]) -> dict[str, str]:
    """The authors' key names -> ours. `rename` needs all keys of a model at once."""
    renamed = rename({key: torch.tensor(i) for i, key in enumerate(keys)})
    return {keys[int(index)]: name for name, index in renamed.items()}
