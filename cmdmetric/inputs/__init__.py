"""What the user has, read: images and captions in any form, and which belong to which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.inputs.captions import (
        Captions as Captions,
        captions_along as captions_along,
        read_captions as read_captions,
    )
    from cmdmetric.inputs.decoding import (
        Failure as Failure,
        decoded as decoded,
        overheard as overheard,
        prepared as prepared,
    )
    from cmdmetric.inputs.endings import (
        CAPTION_ENDINGS as CAPTION_ENDINGS,
        IMAGE_ENDINGS as IMAGE_ENDINGS,
        LOSSY_ENDINGS as LOSSY_ENDINGS,
        is_image_name as is_image_name,
    )
    from cmdmetric.inputs.foreign import (
        refuse_adm_reference as refuse_adm_reference,
        refuse_pickled as refuse_pickled,
    )
    from cmdmetric.inputs.image_set import ImageItem as ImageItem, ImageSet as ImageSet
    from cmdmetric.inputs.images import open_images as open_images
    from cmdmetric.inputs.layouts.columns import Columns as Columns, is_text_key as is_text_key
    from cmdmetric.inputs.layouts.image_scores import (
        ImageScores as ImageScores,
        normal_name as normal_name,
        read_image_scores as read_image_scores,
    )
    from cmdmetric.inputs.layouts.values import texts as texts
    from cmdmetric.inputs.pairing import (
        Pairing as Pairing,
        pair as pair,
        pair_by_place as pair_by_place,
        pair_by_text as pair_by_text,
    )
    from cmdmetric.inputs.places import (
        find_file as find_file,
        places_of as places_of,
        position as position,
    )
    from cmdmetric.inputs.shards import Shard as Shard, ShardRecord as ShardRecord
    from cmdmetric.inputs.subsets.prompt_sets import (
        PROMPT_SETS as PROMPT_SETS,
        prompt_set as prompt_set,
        prompts as prompts,
    )
    from cmdmetric.inputs.subsets.seeded import Subset as Subset

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "captions": "Captions captions_along read_captions",
        "decoding": "Failure decoded overheard prepared",
        "endings": "CAPTION_ENDINGS IMAGE_ENDINGS LOSSY_ENDINGS is_image_name",
        "foreign": "refuse_adm_reference refuse_pickled",
        "image_set": "ImageItem ImageSet",
        "images": "open_images",
        "layouts.columns": "Columns is_text_key",
        "layouts.image_scores": "ImageScores normal_name read_image_scores",
        "layouts.values": "texts",
        "pairing": "Pairing pair pair_by_place pair_by_text",
        "places": "find_file places_of position",
        "subsets.prompt_sets": "PROMPT_SETS prompt_set prompts",
        "shards": "Shard ShardRecord",
        "subsets.seeded": "Subset",
    },
)
