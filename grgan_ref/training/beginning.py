"""What a training begins with where it goes on from another one, of other settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from grgan_ref.errors import GrganError
from grgan_ref.files import fingerprint_of, load_latest, load_strictly
from grgan_ref.model import load_model
from grgan_ref.networks import Discriminators, Generator


@dataclass(frozen=True, eq=False)
class Beginning:
    """Weights to begin with; optimisers begin anew.

    Attributes:
        generator: The averaged weights, as a model has them.
        discriminators: None where they are to be new.
    """

    generator: dict[str, Tensor]
    discriminators: dict[str, Tensor] | None = None

    @classmethod
    def of(cls, path: Path) -> Beginning:
        """Read a run's folder, whose discriminators come along, or a model's, which has none.

        Raises:
            GrganError: There is no model, or its run has no intact checkpoint.
        """
        generator = load_model(path, torch.device("cpu")).generator.state_dict()
        if not (path / "model").is_dir():
            return cls(generator)
        found = load_latest(path / "checkpoints")
        if found is None:
            raise GrganError(
                f"{path} has no checkpoint, and so no discriminators: {path / 'model'} is its "
                "generator, with new ones"
            )
        if "discriminators" not in found[1]:
            raise GrganError(f"{path}: the checkpoint of step {found[0]} has no discriminators")
        return cls(generator, found[1]["discriminators"])

    def put_into(self, generator: Generator, discriminators: Discriminators) -> str:
        """Set the weights of both, and return the fingerprint of what was set.

        Raises:
            GrganError: They are of another architecture.
        """
        load_strictly(generator, self.generator, "the generator to begin with")
        if self.discriminators is None:
            return fingerprint_of(self.generator)
        load_strictly(discriminators, self.discriminators, "the discriminators to begin with")
        named = {f"discriminators.{key}": value for key, value in self.discriminators.items()}
        return fingerprint_of({**self.generator, **named})
