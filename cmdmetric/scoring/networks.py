"""Networks beside CLIP: what they make of the images of a score, where a metric needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cmdmetric.errors import InputError
from cmdmetric.files import sha256_of
from cmdmetric.inputs import Captions, ImageSet, open_images
from cmdmetric.metrics import Moments
from cmdmetric.scoring.encoding import Encoding, Rows
from cmdmetric.scoring.family.metric import Metric, Seen
from cmdmetric.scoring.family.wanted import Wanted
from cmdmetric.scoring.side import Side
from cmdmetric.scoring.stored_sets import digest_of_moments, read_stored

if TYPE_CHECKING:
    from cmdmetric.encoders import ImageNetwork


@dataclass(frozen=True)
class Networks:
    """The networks beside CLIP that the wanted metrics name, none of which has looked yet.

    Attributes:
        metrics: The metrics, without those whose network cannot be had.
        lenient: Whether a metric that lacks what it needs is left out with a warning.
        networks: By name.
        real: By a network's name its real side, where that is another than CLIP's: the images or
            their moments, and what they are called.
        notes: Which metrics are left out, and why.
    """

    metrics: tuple[Metric, ...]
    lenient: bool
    networks: Mapping[str, ImageNetwork]
    real: Mapping[str, tuple[ImageSet | Moments, str]]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, wanted: Wanted, encoding: Encoding) -> Networks:
        """Load the networks before anything is encoded, so that missing weights are told at once.

        Raises:
            InputError: A network cannot be had, unless "all" metrics are wanted and no weights
                named; or a real side cannot be opened.
        """
        metrics = wanted.metrics
        named = dict.fromkeys(metric.network for metric in metrics)
        if not any(named):
            return cls(metrics, wanted.lenient, {}, {}, ())
        from cmdmetric.encoders import build_image_network

        device = encoding.device
        if encoding.workers is not None:
            device = encoding.workers.device(device)
        networks: dict[str, ImageNetwork] = {}
        sides: dict[str, tuple[ImageSet | Moments, str]] = {}
        notes: list[str] = []
        for network in filter(None, named):
            weights, real = wanted.weights.get(network), wanted.real.get(network)
            if real is not None:
                opened = read_stored(real, "image") or open_images(real)
                if isinstance(opened, Side):
                    sides[network] = opened.moments, str(real)
                else:
                    sides[network] = opened, opened.source
            try:
                networks[network] = build_image_network(
                    network,
                    wanted.models.get(network),
                    weights,
                    device=device,
                    batch_size=encoding.encoder.batch_size,
                    digest=encoding.cache.digests.sha256 if encoding.cache else sha256_of,
                )
            except InputError as error:
                if not wanted.lenient or weights is not None:
                    raise
                lost = [metric.name for metric in metrics if metric.network == network]
                metrics = tuple(metric for metric in metrics if metric.network != network)
                are = "is" if len(lost) == 1 else "are"
                notes.append(f"{', '.join(lost)} {are} left out: {error}")
        return cls(metrics, wanted.lenient, networks, sides, tuple(notes))

    def encoded(self, opened: Side | ImageSet, encoding: Encoding) -> tuple[Side, dict[str, Rows]]:
        """Encode a side for CLIP and for the networks; every image is decoded once for all.

        Returns:
            The side, and by the networks' names their features (n, d): of none where it is moments
            or features already, and in all but the first of several processes.

        Raises:
            InputError: As `Encoding.side` raises it.
        """
        return _encoded(opened, encoding, self.networks)

    def encoded_real(
        self, opened: Side | ImageSet, encoding: Encoding
    ) -> tuple[Side, dict[str, Seen]]:
        """Encode the real side in the same way; a network's may be another one.

        Returns:
            The side, and by the networks' names what they make of theirs.

        Raises:
            InputError: As `Encoding.side` raises it.
        """
        same = {name: network for name, network in self.networks.items() if name not in self.real}
        side, rows = _encoded(opened, encoding, same)
        seen = {}
        for name, network in self.networks.items():
            made = network.sha256, network.fields
            if name in same:
                seen[name] = Seen(None, rows.get(name), False, *made, side.source, side.contents)
                continue
            own, source = self.real[name]
            of_own: Rows | Moments | None = None
            if isinstance(own, ImageSet):
                of_own, contents = encoding.seen_by(network, own)
            else:
                of_own, contents = own, digest_of_moments(own)
            seen[name] = Seen(None, of_own, True, *made, source, contents)
        return side, seen

    def with_captions(
        self, seen: Mapping[str, Seen], l: Side, encoding: Encoding
    ) -> dict[str, Seen]:
        """Add what networks make of the captions, where any of their metrics takes them.

        Args:
            seen: What the networks make of images, by their names.
            l: The captions, as CLIP has read them.
            encoding: How they are encoded.

        Raises:
            InputError: The captions cannot be encoded.
        """
        found = dict(seen)
        for name, each in seen.items():
            reader = getattr(self.networks[name], "reader", None)
            if reader is None or l.texts is None:
                continue
            texts = tuple(l.texts.texts[i] for i in l.kept)
            captions = Captions(texts, (None,) * len(texts), l.source)
            found[name] = replace(each, l=encoding.read_by(reader, captions))
        return found


def _encoded(
    opened: Side | ImageSet, encoding: Encoding, networks: Mapping[str, ImageNetwork]
) -> tuple[Side, dict[str, Rows]]:
    if isinstance(opened, Side):
        return opened, {}
    side, rows = encoding.images(opened, list(networks.values()))
    return side, dict(zip(networks, rows, strict=False))  # a process that has none gets none


def with_generated(real: Mapping[str, Seen], generated: Mapping[str, Rows]) -> dict[str, Seen]:
    """Add what networks make of the generated images to what they make of the real ones."""
    return {name: replace(seen, f=generated.get(name)) for name, seen in real.items()}
