"""From three sides and a list of metrics to one score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.scoring.cited import (
        citations as citations,
        citations_of_files as citations_of_files,
    )
    from cmdmetric.scoring.detail.copies import Copies as Copies, Copying as Copying
    from cmdmetric.scoring.detail.per_image import (
        PerImage as PerImage,
        check_per_image as check_per_image,
        per_image_of as per_image_of,
    )
    from cmdmetric.scoring.detail.slices import (
        Slice as Slice,
        Slices as Slices,
        SliceValue as SliceValue,
        labels_of as labels_of,
    )
    from cmdmetric.scoring.detail.worst import (
        Harm as Harm,
        harm as harm,
        shares_of_images as shares_of_images,
    )
    from cmdmetric.scoring.encoding import Encoding as Encoding, encoding_of as encoding_of
    from cmdmetric.scoring.family.catalogue import (
        METRIC_OF as METRIC_OF,
        METRICS as METRICS,
        metric_of as metric_of,
        value_of as value_of,
    )
    from cmdmetric.scoring.family.of_real import values_of_real as values_of_real
    from cmdmetric.scoring.family.wanted import ImageWeights as ImageWeights, Wanted as Wanted
    from cmdmetric.scoring.grouping import (
        as_samples as as_samples,
        caption_rows as caption_rows,
        caption_texts as caption_texts,
        groups_of as groups_of,
        pairing_of as pairing_of,
        with_places as with_places,
    )
    from cmdmetric.scoring.networks import Networks as Networks, with_generated as with_generated
    from cmdmetric.scoring.notes import (
        are_same as are_same,
        left_out as left_out,
        pairing_is_lost as pairing_is_lost,
    )
    from cmdmetric.scoring.opening import (
        find_real as find_real,
        open_image_side as open_image_side,
        open_text_side as open_text_side,
        side_of as side_of,
    )
    from cmdmetric.scoring.options import (
        DEFAULTS as DEFAULTS,
        EncoderOptions as EncoderOptions,
        EncodingOptions as EncodingOptions,
        refuse_unknown as refuse_unknown,
    )
    from cmdmetric.scoring.references import (
        REFERENCES as REFERENCES,
        find_reference_file as find_reference_file,
        load_reference as load_reference,
    )
    from cmdmetric.scoring.rendering.table import decimals as decimals
    from cmdmetric.scoring.rendering.text import (
        family_lines as family_lines,
        score_lines as score_lines,
    )
    from cmdmetric.scoring.result import CMDScore as CMDScore, run_record as run_record
    from cmdmetric.scoring.side import Side as Side, Source as Source
    from cmdmetric.scoring.signature import (
        Signature as Signature,
        fields_of as fields_of,
        protocol_label as protocol_label,
    )
    from cmdmetric.scoring.statistics import (
        common_provenance as common_provenance,
        identity_of as identity_of,
        score_of as score_of,
    )
    from cmdmetric.scoring.stored.fields import Row as Row
    from cmdmetric.scoring.stored.merging import merge as merge
    from cmdmetric.scoring.stored.pack import Pack as Pack, check_pack as check_pack
    from cmdmetric.scoring.stored.score_file import (
        SCHEMA as SCHEMA,
        read_json as read_json,
        refuse_malformed as refuse_malformed,
    )
    from cmdmetric.scoring.stored.storing import stored_set as stored_set
    from cmdmetric.scoring.stored.verification import (
        Verification as Verification,
        verify as verify,
    )
    from cmdmetric.scoring.stored_sets import StoredSet as StoredSet
    from cmdmetric.scoring.subsets import drawn_of as drawn_of
    from cmdmetric.scoring.together import (
        Scored as Scored,
        scored as scored,
        with_family as with_family,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "cited": "citations citations_of_files",
        "encoding": "Encoding encoding_of",
        "family.catalogue": "METRICS METRIC_OF metric_of value_of",
        "family.of_real": "values_of_real",
        "family.wanted": "ImageWeights Wanted",
        "grouping": "as_samples caption_rows caption_texts groups_of pairing_of with_places",
        "networks": "Networks with_generated",
        "stored.fields": "Row",
        "stored.merging": "merge",
        "notes": "are_same left_out pairing_is_lost",
        "opening": "find_real open_image_side open_text_side side_of",
        "options": "DEFAULTS EncoderOptions EncodingOptions refuse_unknown",
        "references": "REFERENCES find_reference_file load_reference",
        "rendering.table": "decimals",
        "rendering.text": "family_lines score_lines",
        "result": "CMDScore run_record",
        "side": "Side Source",
        "signature": "Signature fields_of protocol_label",
        "statistics": "common_provenance identity_of score_of",
        "stored_sets": "StoredSet",
        "stored.score_file": "SCHEMA read_json refuse_malformed",
        "stored.storing": "stored_set",
        "stored.pack": "Pack check_pack",
        "stored.verification": "Verification verify",
        "subsets": "drawn_of",
        "together": "Scored scored with_family",
        "detail.copies": "Copies Copying",
        "detail.slices": "Slice SliceValue Slices labels_of",
        "detail.per_image": "PerImage check_per_image per_image_of",
        "detail.worst": "Harm harm shares_of_images",
    },
)
