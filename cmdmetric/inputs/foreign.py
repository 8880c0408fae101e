"""Statistics of other tools that are not what CMD needs: what they are, and how to convert them."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

from cmdmetric.errors import InputError
from cmdmetric.files import named_path, read_header, remote

_TRUST = (
    "Opening a pickle runs whatever code is in it, so none is opened here. Where you trust its "
    "source, convert it: python -c \"import pickle, numpy as np; s = {load}; np.savez('stats.npz', "
    "mu=s['mu'], sigma=s['sigma'])\". These are statistics of Inception or DINOv2, not of CLIP; "
    "--inception-real takes Inception's"
)


def refuse_pickled(source: Any) -> None:
    """Refuse statistics that are stored as a pickle.

    Raises:
        InputError: The file is a `.pkl`, as EDM2 writes it (`{"fid": {"mu", "sigma"}, ...}`), or a
            `.npy` of Python objects, as some tools keep pytorch-fid's `{"mu", "sigma"}`.
    """
    path = _file(source)
    if path is None:
        return
    if path.suffix.lower() in (".pkl", ".pickle"):
        load = f"pickle.load(open('{path.name}', 'rb'))['fid']"
        raise InputError(
            f"{source}: a pickle, as EDM2 stores statistics. {_TRUST.format(load=load)}"
        )
    if path.suffix.lower() == ".npy" and _holds_objects(path):
        load = f"np.load('{path.name}', allow_pickle=True).item()"
        raise InputError(
            f"{source}: an array of Python objects, a pickle, such as {{'mu', 'sigma'}}. "
            + _TRUST.format(load=load)
        )


def refuse_adm_reference(source: Any) -> None:
    """Refuse a reference batch of ADM (openai/guided-diffusion) where CLIP's side belongs.

    Raises:
        InputError: The file has `mu_s`, the mean of ADM's spatial features. Its `mu` and `sigma`
            are Inception's, of all images, and its `arr_0` holds only the first 10,000 of these.
    """
    path = _file(source)
    if path is None or path.suffix.lower() != ".npz":
        return
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except Exception:  # broken archives raise anything; whoever reads it says what is wrong
        return
    if "mu_s.npy" in names:
        raise InputError(
            f"{source}: a reference batch of ADM. Its mu and sigma are of Inception, not of CLIP: "
            "--inception-real takes them. Its arr_0 holds 10,000 of the images they are of; to "
            f"score against these: python -c \"import numpy as np; np.save('images.npy', "
            f"np.load('{path.name}')['arr_0'])\", then name images.npy"
        )


def _file(source: Any) -> Path | None:
    """The local file that a source names; None where it names none."""
    if not isinstance(source, (str, os.PathLike)):
        return None
    path = named_path(remote.local(os.fspath(source)))
    return path if os.path.isfile(path) else None


def _holds_objects(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return read_header(file)[2].hasobject
    except Exception:  # broken headers raise anything; whoever reads the file says what is wrong
        return False
