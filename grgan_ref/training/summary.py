"""What a training says at its end: sentences, and the last losses as a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from grgan_ref.config import Config

OF_STAGES = {
    "discriminator": "discriminator",
    "gradient_discriminator": "  its gradient",
    "adversarial": "generator, adversarial",
    "sentence": "  sentence loss",
    "word": "  word loss",
}
WHOLE = {
    "generator": "generator, weighted total",
    "kl": "  KL term",
    "gradient_generator": "  its gradient",
}
OF_MATCHER = {
    "sentence_image": "image to sentence",
    "sentence_text": "sentence to image",
    "word_image": "image to words",
    "word_text": "words to image",
    "total": "total",
    "gradient": "its gradient",
}


def of_generator(config: Config, losses: Mapping[str, float], out: Path, seconds: float) -> str:
    """Tell what a GAN training ended with.

    Args:
        config: Its stages give the columns.
        losses: Of the last step, as `gan_step` names them.
        out: The run's folder.
        seconds: How long this part of the run took.
    """
    sizes = [stage.size for stage in config.model.stages]
    head = "".join(f"{f'{size} px':>10}" for size in sizes)
    lines = [
        f"Trained in {_duration(seconds)}; the model is in {out / 'model'}.",
        "",
        f"{'losses of the last step':26}{head}",
    ]
    for key, name in OF_STAGES.items():
        cells = [losses.get(f"{key}_{k}") for k in range(1, len(sizes) + 1)]
        if any(cell is not None for cell in cells):
            row = "".join(f"{'-' if cell is None else f'{cell:.4g}':>10}" for cell in cells)
            lines.append(f"{name:26}{row}")
    lines += [f"{name:26}{losses[key]:>10.4g}" for key, name in WHOLE.items() if key in losses]
    lines += ["", f"Next: grgan sample {out} captions.json images/"]
    return "\n".join(lines)


def of_matcher(config: Config, losses: Mapping[str, float], out: Path, seconds: float) -> str:
    """Tell what the training of a matcher ended with; the arguments are those of `of_generator`."""
    lines = [
        f"Trained in {_duration(seconds)}; the {config.model.matcher.upper()} is in "
        f"{out / 'model'}.",
        "",
        "losses of the last step",
        *(f"{name:26}{losses[key]:>10.4g}" for key, name in OF_MATCHER.items() if key in losses),
        "",
        f"Next: grgan retrieval --matcher {out}, grgan train --matcher {out} ...",
    ]
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
