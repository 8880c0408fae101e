"""Training of matchers and GANs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from grgan_ref.training.beginning import Beginning as Beginning
    from grgan_ref.training.gan import train as train, write_samples as write_samples
    from grgan_ref.training.matcher import train_matcher as train_matcher
    from grgan_ref.training.summary import of_generator as of_generator, of_matcher as of_matcher

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "beginning": "Beginning",
        "gan": "train write_samples",
        "matcher": "train_matcher",
        "summary": "of_generator of_matcher",
    },
)
