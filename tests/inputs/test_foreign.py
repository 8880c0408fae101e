"""Statistics of other tools: the error says what they are, and its recipe makes what is read."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cmdmetric import InputError, Moments
from cmdmetric.inputs import open_images
from cmdmetric.scoring import open_image_side
from cmdmetric.scoring.stored_sets import read_stored

MU, SIGMA = np.arange(4.0), np.eye(4)


def convert(message: str, folder: Path) -> None:
    """Run the recipe of an error message."""
    match = re.search(r'python -c "(.*?)"', message)
    assert match is not None, message
    subprocess.run([sys.executable, "-c", match[1]], cwd=folder, check=True)


def test_pickles_are_named_and_convert(tmp_path: Path) -> None:
    statistics = {"mu": MU, "sigma": SIGMA}
    (tmp_path / "edm2.pkl").write_bytes(pickle.dumps({"fid": statistics}))
    np.save(tmp_path / "fid.npy", np.array(statistics, object), allow_pickle=True)
    for name, what in (("edm2.pkl", "a pickle, as EDM2"), ("fid.npy", "an array of Python obj")):
        for side in ("image", "text"):
            with pytest.raises(InputError, match=f"{name}: {what}.*--inception-real") as caught:
                read_stored(tmp_path / name, side)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        convert(str(caught.value), tmp_path)
        assert (Moments.load(tmp_path / "stats.npz").mean == MU).all()
        (tmp_path / "stats.npz").unlink()


def test_a_reference_batch_of_adm_is_named_and_converts(tmp_path: Path) -> None:
    images = np.zeros((3, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "adm.npz", arr_0=images, mu=MU, sigma=SIGMA, mu_s=MU, sigma_s=SIGMA)
    with pytest.raises(InputError, match=r"adm\.npz: a reference batch of ADM.*10,000") as caught:
        open_image_side(tmp_path / "adm.npz")
    convert(str(caught.value), tmp_path)
    assert open_images(tmp_path / "images.npy").count == 3
    inception = read_stored(tmp_path / "adm.npz", "image")
    assert inception is not None and (inception.moments.mean == MU).all(), "what it is good for"
