"""The matchers of images and text (section 3.2): ITM and DAMSM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from grgan_ref.matching.damsm import DAMSM as DAMSM
    from grgan_ref.matching.itm import ITM as ITM, build_itm as build_itm
    from grgan_ref.matching.matcher import (
        Matcher as Matcher,
        is_released as is_released,
        load_matcher as load_matcher,
        load_released_damsm as load_released_damsm,
        load_released_itm as load_released_itm,
        matcher_config as matcher_config,
        new_matcher as new_matcher,
        save_matcher as save_matcher,
    )
    from grgan_ref.matching.vocabulary import read_vocabulary as read_vocabulary

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "damsm": "DAMSM",
        "itm": "ITM build_itm",
        "matcher": (
            "Matcher is_released load_matcher load_released_damsm load_released_itm matcher_config "
            "new_matcher save_matcher"
        ),
        "vocabulary": "read_vocabulary",
    },
)
