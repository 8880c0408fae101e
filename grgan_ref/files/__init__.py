"""Files of models, of training states, and those that the authors released."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from grgan_ref.files.checkpoint import (
        RELEASED as RELEASED,
        load_strictly as load_strictly,
        read_released as read_released,
        read_released_damsm as read_released_damsm,
        read_released_generator as read_released_generator,
        read_released_itm as read_released_itm,
        read_tensors as read_tensors,
    )
    from grgan_ref.files.model_files import (
        model_folder as model_folder,
        read_model as read_model,
        save_model as save_model,
    )
    from grgan_ref.files.pickles import read_plain_pickle as read_plain_pickle
    from grgan_ref.files.state import (
        Stateful as Stateful,
        differences as differences,
        fingerprint_of as fingerprint_of,
        load_latest as load_latest,
        manifests as manifests,
        new_file as new_file,
        read_json as read_json,
        resume as resume,
        save as save,
        step_of as step_of,
        write_json as write_json,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "checkpoint": (
            "RELEASED load_strictly read_released read_released_damsm read_released_generator "
            "read_released_itm read_tensors"
        ),
        "model_files": "model_folder read_model save_model",
        "pickles": "read_plain_pickle",
        "state": (
            "Stateful differences fingerprint_of load_latest manifests new_file read_json resume "
            "save step_of write_json"
        ),
    },
)
