"""WebDataset's tar shards of numbered samples."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from tests.support.pictures import noisy_colours


def picture(seed: int) -> bytes:
    """A PNG file."""
    file = io.BytesIO()
    Image.fromarray(noisy_colours(1, seed)[0]).save(file, "png")
    return file.getvalue()


def write_tar(path: Path, members: Mapping[str, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_shards(folder: Path, tars: int = 3, each: int = 8, form: str = "txt") -> str:
    """Numbered samples in numbered tars; the pattern that names them all."""
    for tar in range(tars):
        members: dict[str, bytes] = {}
        for k in range(tar * each, (tar + 1) * each):
            members[f"{k:04}.png"] = picture(k)
            if form == "txt":
                members[f"{k:04}.txt"] = f"picture {k}\n".encode()
            members[f"{k:04}.json"] = json.dumps({"caption": f"json of {k}", "w": 32}).encode()
        write_tar(folder / f"s-{tar:03}.tar", members)
    return f"{folder}/s-{{000..{tars - 1:03}}}.tar"
