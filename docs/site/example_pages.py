"""The report of the bundled example, and its comparison with what the bundled GR-GAN paints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path) -> dict[str, Path]:
    """Score the example in the folder, and return its pages by name: report and compare.

    Everything runs within the folder, so that no path of the machine stands in a page.
    """
    shutil.copytree(ROOT / "examples", folder / "examples", dirs_exist_ok=True)

    def run(*words: str) -> None:
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, "PYTHONPATH": paths}
        subprocess.run(
            [sys.executable, "-m", *words], cwd=folder, check=True, env=env, stdout=sys.stderr
        )

    rest = ("examples/captions.json", "--model", "scenes-toy", "-q", "--metrics", "clipscore,prdc")
    score = ("cmdmetric", "score", "examples/generated")
    run(*score, *rest, "--report", "report.html")
    if not (folder / "painted").exists():
        run("grgan_ref", "sample", "scenes-small", "examples/captions.json", "painted")
    run(*score, "painted", *rest, "--report", "compare.html")
    return {"report": folder / "report.html", "compare": folder / "compare.html"}
