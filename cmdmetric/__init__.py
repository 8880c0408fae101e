"""cmdmetric: reproducible scores for text-to-image models, the Cross Model Distance first.

>>> from cmdmetric import cmd
>>> score = cmd("examples/generated", "examples/captions.json", model="scenes-toy")
>>> score.n, score.n_real, score.n_captions
(160, 160, 800)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from cmdmetric.version import __version__

if TYPE_CHECKING:
    from cmdmetric.compare import Versus, versus
    from cmdmetric.encoders import Encoder
    from cmdmetric.errors import InputError
    from cmdmetric.evaluator import Evaluator
    from cmdmetric.metrics import (
        CrossModelDistance,
        Moments,
        cross_model_distance,
        frechet_distance,
    )
    from cmdmetric.preflight import Preflight
    from cmdmetric.protocol import Protocol
    from cmdmetric.score import CMDScore, clip_fd, cmd, itdis

# Looked up on first use: importing the package costs nothing, and only Encoder and Evaluator
# need torch.
_HOMES = {
    "CMDScore": "score",
    "CrossModelDistance": "metrics.cmd",
    "Encoder": "encoders.clip",
    "Evaluator": "evaluator",
    "InputError": "errors",
    "Moments": "metrics.moments",
    "Preflight": "preflight.look",
    "Protocol": "protocol",
    "Versus": "compare.versus",
    "clip_fd": "score",
    "cmd": "score",
    "cross_model_distance": "metrics.cmd",
    "frechet_distance": "metrics.frechet",
    "itdis": "score",
    "versus": "compare.versus",
}

__all__ = [
    "CMDScore",
    "CrossModelDistance",
    "Encoder",
    "Evaluator",
    "InputError",
    "Moments",
    "Preflight",
    "Protocol",
    "Versus",
    "__version__",
    "clip_fd",
    "cmd",
    "cross_model_distance",
    "frechet_distance",
    "itdis",
    "versus",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cmdmetric' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"cmdmetric.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
