"""The networks of GR-GAN (section 3.1): generator, discriminators, and what they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from grgan_ref.networks.discriminator import (
        Discriminator as Discriminator,
        Discriminators as Discriminators,
        build_discriminators as build_discriminators,
    )
    from grgan_ref.networks.generator import (
        Generator as Generator,
        GeneratorOutput as GeneratorOutput,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "discriminator": "Discriminator Discriminators build_discriminators",
        "generator": "Generator GeneratorOutput",
    },
)
