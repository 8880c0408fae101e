"""Named sets of prompts, made of the user's own captions: recipes, and no files.

A recipe takes images in the order of sha256("seed:number"), where the number is that of the image
in decimal digits without zeros in front, and of each image the caption that is first by
sha256("seed:number:caption"). The result is in MS-COCO's layout, in the order of the numbers, and
names the recipe and the sha256 of what is in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cmdmetric.errors import InputError
from cmdmetric.inputs.captions import Captions, read_captions
from cmdmetric.inputs.subsets.seeded import ordered_by_seed


@dataclass(frozen=True)
class PromptSet:
    """A recipe: of so many images of a data set's split one caption each."""

    name: str
    num: int
    #: The user's file, the names of its images, and how many there are.
    file: str
    image: re.Pattern[str]
    total: int
    #: Which split the file's records have to state; "all" for a file that holds one alone.
    split: str = "all"
    seed: int = 0

    @property
    def about(self) -> str:
        """What it is, in a line."""
        images = "all" if self.num == self.total else f"{self.num:,} of the"
        return f"{images} {self._of_file}, one caption each"

    @property
    def _of_file(self) -> str:
        split = "" if self.split == "all" else f"{self.split} "
        return f"{self.total:,} {split}images of {self.file}"

    def of(self, source: Any) -> dict[str, Any]:
        """Make the set.

        Args:
            source: The split's captions, in any form that `read_captions` takes.

        Returns:
            The content of a JSON file in MS-COCO's layout, which `read_captions` reads.

        Raises:
            InputError: They cannot be read, or are not those of this split.
        """
        captions = read_captions(source, self.split)
        of_image: dict[int, dict[str, None]] = {}
        name_of: dict[int, str] = {}
        for text, name in zip(captions.texts, captions.images, strict=True):
            found = self.image.fullmatch(name or "")
            if found is None:
                raise InputError(
                    f"{captions.source}: {self.name} is made of {self.file}, and a caption is of "
                    f"{name!r}: its images are named as {self.file} names them"
                )
            number = int(found[1])
            of_image.setdefault(number, {})[text] = None
            name_of.setdefault(number, found[0])
        if len(of_image) != self.total:
            raise InputError(
                f"{captions.source}: {self.name} is made of the {self._of_file}, and captions of "
                f"{len(of_image):,} are in it"
            )
        numbers = sorted(of_image)
        order = ordered_by_seed(list(map(str, numbers)), self.seed)
        chosen = sorted(numbers[i] for i in order[: self.num])
        images = [{"id": number, "file_name": name_of[number]} for number in chosen]
        annotations = []
        for number in chosen:
            texts = sorted(of_image[number])
            first = ordered_by_seed([f"{number}:{text}" for text in texts], self.seed)[0]
            annotations.append({"id": number, "image_id": number, "caption": texts[first]})
        content = {"images": images, "annotations": annotations}
        info = {"recipe": self.name, "seed": self.seed, "sha256": read_captions(content).sha256}
        return {"info": {"description": self.about, **info}, **content}


_VAL2014 = re.compile(r"COCO_val2014_(\d{12})\.jpg")
_VAL2017 = re.compile(r"(\d{12})\.jpg")
_FLICKR = re.compile(r"(\d+)\.jpg")
PROMPT_SETS: Mapping[str, PromptSet] = {
    made.name: made
    for made in (
        *(
            PromptSet(f"coco2014-val-{k}k", 1000 * k, "captions_val2014.json", _VAL2014, 40_504)
            for k in (30, 10, 5)
        ),
        PromptSet("coco2017-val-5k", 5000, "captions_val2017.json", _VAL2017, 5000),
        # Karpathy's splits, which retrieval is told on.
        PromptSet("coco2014-test-5k", 5000, "dataset_coco.json", _VAL2014, 5000, "test"),
        PromptSet("flickr30k-test-1k", 1000, "dataset_flickr30k.json", _FLICKR, 1000, "test"),
    )
}


def prompts(name: str, source: Any) -> Captions:
    """Make a named set of prompts of the user's own captions.

    Args:
        name: One of `PROMPT_SETS`.
        source: The captions that it is made of, in any form that `read_captions` takes.

    Raises:
        InputError: There is no such set, or the captions are not those that it is made of.
    """
    return read_captions(prompt_set(name).of(source))


def prompt_set(name: str) -> PromptSet:
    """Look up a recipe.

    Raises:
        InputError: There is none of this name.
    """
    if name not in PROMPT_SETS:
        raise InputError(f"there is no set of prompts {name!r}; there is {', '.join(PROMPT_SETS)}")
    return PROMPT_SETS[name]
