"""An encoder by its fingerprint: torch is imported when something must be encoded, not before."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdmetric.cache import FeatureCache, Space, stamp_of
from cmdmetric.encoders.names import BUNDLED
from cmdmetric.encoders.weights import Checkpoint, Dtype, find_checkpoint, name_of
from cmdmetric.files import named_path, sha256_of
from cmdmetric.protocol import Protocol
from cmdmetric.version import __version__

if TYPE_CHECKING:
    from cmdmetric.encoders.clip import Encoder
    from cmdmetric.metrics import Provenance


class LazyEncoder:
    """What is known of an encoder without its network, and the network on demand."""

    def __init__(
        self,
        checkpoint: Callable[[], Checkpoint],
        protocol: Protocol,
        batch_size: int,
        build: Callable[[Checkpoint], Encoder],
        dtype: Dtype = "fp32",
    ) -> None:
        """An encoder that is built when it is needed.

        checkpoint and build are called at most once, when they are needed. What is built must have
        this protocol and dtype, under which its features are kept.
        """
        self.protocol = protocol
        self.dtype = dtype
        self.batch_size = batch_size
        self._checkpoint = checkpoint
        self._build = build

    @functools.cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint of the network, which decides on its features."""
        return self._checkpoint()

    def provenance(self, side: str, source: str) -> Provenance:
        """As `Encoder.provenance`."""
        return self.checkpoint.provenance(self.protocol, side, source, self.dtype)

    def build(self) -> Encoder:
        """The encoder itself.

        Raises:
            InputError: The encoder cannot be made (see `Encoder`).
        """
        return self._encoder

    @functools.cached_property
    def _encoder(self) -> Encoder:
        encoder = self._build(self.checkpoint)
        promised = self.provenance("image", "")
        assert encoder.provenance("image", "") == promised, "its features would be mistaken"
        return encoder


def recall_checkpoint(
    model: str | Path | None, weights: str | Path | None, cache: FeatureCache | None
) -> Checkpoint:
    """What `find_checkpoint` returns, remembered.

    A name of open_clip's list is resolved without importing that, and a file that has not changed
    is not hashed again.

    Raises:
        InputError: The name is unknown, or the weights cannot be had.
    """
    digest = cache.digests.sha256 if cache else sha256_of
    name = name_of(model)
    if cache is None or name in BUNDLED or named_path(name).is_dir():
        return find_checkpoint(model, weights, digest)
    try:
        library = version("open_clip_torch")
    except PackageNotFoundError:  # installed from a checkout under another name
        return find_checkpoint(model, weights, digest)
    place = None if weights is None else str(named_path(weights).absolute())
    space = Space("models by name", what="model", open_clip=library, cmdmetric=__version__)
    key = space.key(json.dumps([name, place]).encode())
    stored = cache.recall(key)
    if stored is not None:
        values, stamp, revision = json.loads(stored)
        file = Path(values.pop("file"))
        # Without a stamp nothing tells that the file is as it was.
        if stamp is not None and stamp_of(file) == stamp and _hub_revision(file) == revision:
            values["mean"], values["std"] = tuple(values["mean"]), tuple(values["std"])
            return Checkpoint(file=file, **values)
    found = find_checkpoint(model, weights, digest)
    values = {**dataclasses.asdict(found), "file": str(found.file.absolute())}
    record: list[Any] = [values, stamp_of(found.file), _hub_revision(found.file)]
    cache.remember(space, key, json.dumps(record).encode())
    return found


def _hub_revision(file: Path) -> str | None:
    """What the Hub's cache takes for the newest revision of the repository that a file is in."""
    try:
        return (file.parents[2] / "refs" / "main").read_text()
    except (OSError, IndexError):
        return None
