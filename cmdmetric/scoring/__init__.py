"""From three sides and a list of metrics to one score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.scoring.catalogue import (
        BETTER as BETTER,
        INCEPTION as INCEPTION,
        METRICS as METRICS,
        OF_PAIRS as OF_PAIRS,
        UNBIASED as UNBIASED,
    )
    from cmdmetric.scoring.merging import merge as merge
    from cmdmetric.scoring.references import (
        REFERENCES as REFERENCES,
        find_reference_file as find_reference_file,
    )
    from cmdmetric.scoring.set_files import StoredSet as StoredSet
    from cmdmetric.scoring.side import (
        Encoding as Encoding,
        Side as Side,
        Source as Source,
        find_real as find_real,
        left_out as left_out,
        open_image_side as open_image_side,
        open_text_side as open_text_side,
    )
    from cmdmetric.scoring.storing import stored_set as stored_set
    from cmdmetric.scoring.together import (
        Scored as Scored,
        Wanted as Wanted,
        scored as scored,
        with_family as with_family,
    )
    from cmdmetric.scoring.worst import Harm as Harm, harm as harm, harm_csv as harm_csv

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "catalogue": "BETTER INCEPTION METRICS OF_PAIRS UNBIASED",
        "merging": "merge",
        "references": "REFERENCES find_reference_file",
        "set_files": "StoredSet",
        "side": "Encoding Side Source find_real left_out open_image_side open_text_side",
        "storing": "stored_set",
        "together": "Scored Wanted scored with_family",
        "worst": "Harm harm harm_csv",
    },
)
