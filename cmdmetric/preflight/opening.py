"""The inputs of a score, opened as far as they can be, and what is known of the encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from cmdmetric.errors import InputError, MissingError, NotAtHandError
from cmdmetric.inputs import Captions, Columns, ImageSet
from cmdmetric.preflight.finding import Finding
from cmdmetric.protocol import Protocol
from cmdmetric.scoring import Side, Source, find_real, open_image_side, open_text_side

if TYPE_CHECKING:
    from cmdmetric.encoders import Encoder, LazyEncoder

T = TypeVar("T")


class Inputs(NamedTuple):
    """The three inputs by the names that findings have for them; None where one cannot be read."""

    generated: Side | ImageSet | None
    real: Side | ImageSet | None
    captions: Side | Captions | None

    @classmethod
    def open(
        cls, generated: Source, captions: Source, real: Source | None, columns: Columns
    ) -> tuple[Inputs, list[Finding]]:
        """Open what a user names.

        Returns:
            The inputs, and findings on those that cannot be read.

        Raises:
            MissingError: A path does not exist.
        """
        findings: list[Finding] = []
        f = _opened("generated", lambda: open_image_side(generated, columns), findings)
        l = _opened("captions", lambda: open_text_side(captions, columns), findings)
        r = None
        if real is not None:
            r = _opened("real", lambda: open_image_side(real, columns), findings)
        elif f is not None and l is not None:
            r = _opened("real", lambda: find_real(l, f), findings)
        return cls(f, r, l), findings


def _opened(subject: str, opening: Callable[[], T], findings: list[Finding]) -> T | None:
    """Give what `opening` gives; None, and a finding, where it cannot."""
    try:
        return opening()
    except MissingError:
        raise
    except NotAtHandError as error:
        findings.append(Finding("warning", "reference", subject, str(error)))
    except InputError as error:
        findings.append(Finding("error", "unreadable", subject, str(error)))
    return None


@dataclass(frozen=True)
class Network:
    """What is known of the encoder that is to look at the inputs.

    Attributes:
        protocol: How pixels and captions are prepared for it.
        model: Its name as in a signature, such as "ViT-B-32/openai".
        dimensions: Those of its features; None where its weights are not at hand.
        image_size: The side in pixels of the images that it takes; None as before.
        encoder: The encoder itself; None where it cannot be built.
    """

    protocol: Protocol
    model: str
    dimensions: int | None
    image_size: int | None
    encoder: Encoder | LazyEncoder | None

    @classmethod
    def of(cls, encoder: Encoder | LazyEncoder) -> Network:
        """Tell what is known of an encoder that is at hand."""
        made = encoder.checkpoint
        dimensions = made.config.get("embed_dim")
        return cls(encoder.protocol, made.label, dimensions, made.image_size, encoder)
