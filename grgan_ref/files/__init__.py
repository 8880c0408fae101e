"""Files of models and of training states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from grgan_ref.files.checkpoint import (
        load_strictly as load_strictly,
        model_folder as model_folder,
        read_model as read_model,
        read_released_damsm as read_released_damsm,
        read_released_generator as read_released_generator,
        read_released_itm as read_released_itm,
        save_model as save_model,
    )
    from grgan_ref.files.state import (
        differences as differences,
        fingerprint_of as fingerprint_of,
        manifests as manifests,
        read_json as read_json,
        write_atomically as write_atomically,
        write_json as write_json,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "checkpoint": (
            "load_strictly model_folder read_model read_released_damsm "
            "read_released_generator read_released_itm save_model"
        ),
        "state": "differences fingerprint_of manifests read_json write_atomically write_json",
    },
)
