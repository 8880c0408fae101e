"""A part of the bundled example, for what would be as true of all of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples"


def part_of_example(
    folder: Path, count: int, generated: str = "generated", real: str = "real"
) -> None:
    """Lay the first images into folders of these names, with captions.json beside them."""
    found = json.loads((EXAMPLE / "captions.json").read_text(encoding="utf-8"))
    images = found["images"][:count]
    ids = {image["id"] for image in images}
    for side, name in (("generated", generated), ("real", real)):
        (folder / name).mkdir(parents=True)
        for image in images:
            shutil.copy(EXAMPLE / side / Path(image["file_name"]).name, folder / name)
    images = [{**image, "file_name": f"{real}/{Path(image['file_name']).name}"} for image in images]
    own = [text for text in found["annotations"] if text["image_id"] in ids]
    (folder / "captions.json").write_text(json.dumps({"images": images, "annotations": own}))
