"""Named references: published statistics that a score can be computed against."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cmdmetric.errors import InputError, NotAtHandError
from cmdmetric.files import cache_folder, download, named_path, sha256_of
from cmdmetric.protocol import GRGAN

if TYPE_CHECKING:
    from cmdmetric.metrics import Moments

Side = Literal["image", "text"]


@dataclass(frozen=True)
class ReferenceFile:
    """One statistics file: its name here, its name at the authors', and what it must hash to."""

    name: str
    published_name: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Reference:
    """Moments of one data set: of its images and of its captions."""

    name: str
    about: str
    protocol: str
    model: str
    files: dict[Side, ReferenceFile]


_RELEASED = (
    "https://raw.githubusercontent.com/BoO-18/GR-GAN/"
    "c4c90d76988b446acaf1f5e09ab5c0da838481e6/eval/CMD/"
)

#: The statistics that the authors of CMD released. They carry no count: their traces imply about
#: 40,448 images (all of val2014) and 202,496 captions.
COCO2014_VAL = Reference(
    name="coco2014-val",
    about="MS-COCO 2014 validation, ViT-B/32 of OpenAI, as released with GR-GAN",
    protocol=GRGAN.name,
    model="ViT-B-32/openai",
    files={
        "image": ReferenceFile(
            name="coco2014-val.real.npz",
            published_name="image_feature.npz",
            url=_RELEASED + "image_feature.npz",
            sha256="9f98bfbfa1b0959630db7a955f58672163a3523c3bb6a8382471194d17bf6b2c",
        ),
        "text": ReferenceFile(
            name="coco2014-val.text.npz",
            published_name="sent_feature.npz",
            url=_RELEASED + "sent_feature.npz",
            sha256="97d44431a692d17ae8a583119d64d615c1f948cdb1b8248b52f39a06a09575b7",
        ),
    },
)
REFERENCES = {COCO2014_VAL.name: COCO2014_VAL}


def find_reference_file(reference: Reference, side: Side) -> Path:
    """Find a statistics file: in $CMDMETRIC_REFERENCES, in the cache, or by an announced download.

    Raises:
        InputError: It is nowhere and cannot be fetched (`NotAtHandError`), or a file has another
            content than the released one.
    """
    file = reference.files[side]
    named = [
        named_path(p) for p in os.environ.get("CMDMETRIC_REFERENCES", "").split(os.pathsep) if p
    ]
    cached = cache_folder() / "references"
    for folder in (*named, cached):
        for name in (file.name, file.published_name):
            path = folder / name
            if named_path(path).is_file():
                if (found := sha256_of(path)) != file.sha256:
                    raise InputError(
                        f"{path}: not the released {reference.name} statistics: its sha256 is "
                        f"{found}, expected {file.sha256}. Remove it, or replace it with {file.url}"
                    )
                return path
    try:
        return download(file.url, cached / file.name, file.sha256, f"{reference.name} ({side})")
    except InputError as error:
        looked = ", ".join(str(folder / file.name) for folder in (*named, cached))
        raise NotAtHandError(
            f"the reference {reference.name} is not at hand (looked for {looked}) and {error}. "
            f"Put the file into a folder and name that folder in CMDMETRIC_REFERENCES."
        ) from None


def load_reference(name: str, side: Side) -> Moments:
    """Load the moments of a named reference, such as ("coco2014-val", "image").

    Raises:
        InputError: As for `find_reference_file`.
    """
    from cmdmetric.metrics import Moments

    return Moments.load(find_reference_file(REFERENCES[name], side))
