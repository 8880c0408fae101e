"""Writes the notebook of the example, cell by cell: `python examples/make_notebook.py`."""

from __future__ import annotations

import json
from pathlib import Path

CELLS = [
    "# cmdmetric in ten minutes\n\nScores the images of a text-to-image model: one number, its error bar, and a "
    "signature from which anyone gets the same number. On Colab the next cell installs it and fetches the "
    "example; in a clone of the repository it does nothing.",
    """
    import sys
    from pathlib import Path

    if "google.colab" in sys.modules:
        repository = input("The address that you clone cmdmetric from: ")
        !git clone -q {repository} && pip install -q "./cmdmetric[report]"
        %cd cmdmetric
    elif not Path("examples").exists():
        %cd ..
    """,
    "## A score\n\nThe bundled toy encoder needs no download. Leave out `model` for your own images.",
    """
    from cmdmetric import CMDScore, Evaluator, cmd

    score = cmd("examples/generated", "examples/captions.json", model="scenes-toy", metrics="clipscore,prdc")
    score
    """,
    """
    print(score)
    """,
    """
    figure, axes = score.plot()
    """,
    "## Your own list of PIL images\n\nAs a pipeline gives them: an image for each prompt.",
    """
    from cmdmetric.scenes.drawing import draw_scene

    scenes = [draw_scene(seed) for seed in range(80)]
    images, prompts = [scene.render(64) for scene in scenes], [scene.captions(1)[0] for scene in scenes]
    evaluator = Evaluator(real="examples/real", model="scenes-toy")  # once, for any number of models
    ours = evaluator.score(images, prompts)
    blurred = evaluator.score([image.resize((12, 12)).resize((64, 64)) for image in images], prompts)
    print(ours.cmd, blurred.cmd)
    """,
    "## Which one is better?",
    """
    from cmdmetric.compare import compare

    compare({"ours": ours, "blurred": blurred})
    """,
    "## For a paper, and for later",
    """
    print(ours.to_latex())
    ours.save("ours.json")
    assert CMDScore.load("ours.json") == ours
    """,
    "## A report, and a gate\n\nThe page is one file; open it in a browser.",
    """
    !cmd-score examples/generated examples/captions.json --model scenes-toy -q --report report.html
    !cmd-score examples/generated examples/captions.json --model scenes-toy -q --check 'cmd<=8.5'
    """,
]


def cell(number: int, text: str) -> dict[str, object]:
    lines = text.strip("\n").split("\n")
    code = text.startswith("\n")
    if code:
        lines = [line[4:] for line in lines]
        while lines and not lines[-1].strip():
            lines.pop()
    source = [f"{line}\n" for line in lines[:-1]] + lines[-1:]
    made = {"id": f"cell-{number}", "metadata": {}, "source": source}
    if code:
        return {"cell_type": "code", **made, "execution_count": None, "outputs": []}
    return {"cell_type": "markdown", **made}


def notebook() -> dict[str, object]:
    """The notebook as JSON, without outputs."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": [cell(number, text) for number, text in enumerate(CELLS)],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


if __name__ == "__main__":
    place = Path(__file__).with_name("ten_minutes.ipynb")
    place.write_text(json.dumps(notebook(), indent=1) + "\n", encoding="utf-8")
