"""cmdmetric: reproducible scores for text-to-image models, the Cross Model Distance first.

>>> from cmdmetric import cmd
>>> score = cmd("examples/generated", "examples/captions.json", model="scenes-toy")
>>> score.n, score.n_real, score.n_captions
(400, 400, 2000)
"""

from __future__ import annotations

from cmdmetric.lazy import lazy_exports
from cmdmetric.version import __version__

# As of typing, which takes longer to import than the rest, while a command is deaf to Ctrl-C.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from cmdmetric.compare import Versus as Versus, versus as versus
    from cmdmetric.encoders import Encoder as Encoder
    from cmdmetric.errors import InputError as InputError
    from cmdmetric.evaluator import Evaluator as Evaluator
    from cmdmetric.metrics import (
        CrossModelDistance as CrossModelDistance,
        Moments as Moments,
        cross_model_distance as cross_model_distance,
        frechet_distance as frechet_distance,
    )
    from cmdmetric.preflight import Preflight as Preflight
    from cmdmetric.protocol import Protocol as Protocol
    from cmdmetric.score import clip_fd as clip_fd, cmd as cmd, itdis as itdis
    from cmdmetric.scoring import CMDScore as CMDScore

# Importing the package costs nothing, and only Encoder and Evaluator need torch.
__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "compare.two_generators": "Versus versus",
        "encoders.clip": "Encoder",
        "errors": "InputError",
        "evaluator": "Evaluator",
        "metrics.cmd": "CrossModelDistance cross_model_distance",
        "metrics.frechet": "frechet_distance",
        "metrics.moments": "Moments",
        "preflight.result": "Preflight",
        "protocol": "Protocol",
        "score": "clip_fd cmd itdis",
        "scoring.result": "CMDScore",
    },
)
__all__ += ["__version__"]
