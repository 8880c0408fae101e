"""Files of any place and kind: whole writes, numpy archives, paths, URLs, announced downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.files.atomic import whole_file as whole_file
    from cmdmetric.files.downloads import (
        cache_folder as cache_folder,
        download as download,
        forbidden as forbidden,
        no_downloads as no_downloads,
        sha256_of as sha256_of,
    )
    from cmdmetric.files.forks import (
        forked as forked,
        forks_for as forks_for,
        losses_told as losses_told,
    )
    from cmdmetric.files.lookahead import ahead as ahead, read_ahead as read_ahead
    from cmdmetric.files.mapped import (
        ROWS as ROWS,
        blocks_of as blocks_of,
        release as release,
    )
    from cmdmetric.files.npz import (
        Arrays as Arrays,
        load as load,
        member_header as member_header,
        opened as opened,
        read_header as read_header,
        reading as reading,
        write_npz as write_npz,
    )
    from cmdmetric.files.paths import (
        check_place as check_place,
        expanded as expanded,
        missing as missing,
        named_path as named_path,
        natural_key as natural_key,
        natural_sorted as natural_sorted,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "atomic": "whole_file",
        "downloads": "cache_folder download forbidden no_downloads sha256_of",
        "forks": "forked forks_for losses_told",
        "lookahead": "ahead read_ahead",
        "mapped": "ROWS blocks_of release",
        "npz": "Arrays load member_header opened read_header reading write_npz",
        "paths": "check_place expanded missing named_path natural_key natural_sorted",
    },
)
