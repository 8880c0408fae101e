"""How the bundled encoder `scenes-toy` was made: CLIP's contrastive loss on procedural scenes.

    python -m cmdmetric.scenes.training out/ --steps 1100

draws every training pair anew (no scene is seen twice), so the loss is an honest one, and ends
with the retrieval on held-out scenes. Interrupted, the same command goes on from its last save.
The loss is that of Radford et al. 2021 (CLIP, section 2.3, figure 3).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import click
import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from cmdmetric.encoders import encode_causal_text
from cmdmetric.scenes.drawing import draw_scene

IMAGE_SIZE = 64
# Small on purpose: the whole file stays near five megabytes, four of which are the token embedding
# that CLIP's own vocabulary of 49,408 entries needs.
MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": 40,
    "vision_cfg": {
        "image_size": IMAGE_SIZE,
        "patch_size": 8,
        "width": 96,
        "layers": 4,
        "head_width": 24,
    },
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 40,
        "heads": 4,
        "layers": 4,
        "mlp_ratio": 8.0,
    },
    "quick_gelu": True,
}
PREPROCESS_CONFIG = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bilinear",
    "resize_mode": "shortest",
}
FIRST_TRAINING_SEED = 1_000_000  # below it: held-out scenes and the bundled example
HELD_OUT = range(1000)


def draw_pairs(seeds: range) -> tuple[np.ndarray, list[str]]:
    """Images (B, 64, 64, 3) uint8 and one caption for each seed."""
    scenes = [draw_scene(seed) for seed in seeds]
    images = np.stack([np.asarray(scene.render(IMAGE_SIZE)) for scene in scenes])
    return images, [scene.captions(1)[0] for scene in scenes]


def batches(start: int, steps: int, batch: int) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Training batches number `start` to `steps`, drawn ahead in another process."""
    with ProcessPoolExecutor(1) as pool:
        ahead = []
        for step in range(start, steps):
            first = FIRST_TRAINING_SEED + step * batch
            ahead.append(pool.submit(draw_pairs, range(first, first + batch)))
            if len(ahead) > 4:
                yield ahead.pop(0).result()
        for future in ahead:
            yield future.result()


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 (B, H, W, 3) to float32 (B, 3, H, W) in [-1, 1], as PREPROCESS_CONFIG says."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def encode_text(model: open_clip.CLIP, tokens: torch.Tensor) -> torch.Tensor:
    """Unit features (B, D) of tokens (B, L)."""
    return F.normalize(encode_causal_text(model, tokens), dim=-1)


def contrastive_loss(image: torch.Tensor, text: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Symmetric cross-entropy over the batch's cosine matrix; inputs (B, D) of unit length."""
    logits = scale * image @ text.T
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


@torch.no_grad()
def held_out_retrieval(model: open_clip.CLIP) -> dict[str, float]:
    """R@1, 5, 10 in per cent, one caption against all held-out images and the other way round."""
    model.eval()
    tokenizer = open_clip.SimpleTokenizer()
    images, captions = draw_pairs(HELD_OUT)
    image = torch.cat([model.encode_image(x, normalize=True) for x in to_tensor(images).split(250)])
    text = torch.cat([encode_text(model, t) for t in tokenizer(captions).split(250)])
    cosine = text @ image.T
    result: dict[str, float] = {}
    for name, scores in (("text_to_image", cosine), ("image_to_text", cosine.T)):
        rank = (scores > scores.diagonal()[:, None]).sum(dim=1)
        result |= {
            f"{name}_r{k}": round(100 * (rank < k).float().mean().item(), 1) for k in (1, 5, 10)
        }
    model.train()
    return result


def export(model: open_clip.CLIP, seen: torch.Tensor, out: Path) -> None:
    """Write an open_clip model folder in float16.

    A token that no training caption holds has learnt nothing: its embedding is stored as zero, so
    an unknown word adds no noise (and the file packs well).
    """
    state = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    state["token_embedding.weight"][~seen] = 0
    save_file(state, out / "open_clip_model.safetensors")
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--steps", default=1100, show_default=True)
@click.option("--batch", default=256, show_default=True, help="Pairs in a batch.")
@click.option("--lr", default=2e-3, show_default=True, help="Peak learning rate of AdamW.")
@click.option("--save-every", default=100, show_default=True, help="Steps between saves.")
def main(out: Path, steps: int, batch: int, lr: float, save_every: int) -> None:
    """Train the bundled encoder into OUT, an open_clip model folder."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_flush_denormal(True)  # vanishing gradients would slow a CPU down severalfold
    model = open_clip.CLIP(**MODEL_CONFIG)
    tokenizer = open_clip.SimpleTokenizer()
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
    )
    seen = torch.zeros(MODEL_CONFIG["text_cfg"]["vocab_size"], dtype=torch.bool)
    start, saved = 0, out / "training.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        start, seen = state["step"], state["seen"]
        click.echo(f"resumed at step {start}", err=True)
    clock, losses = time.time(), []
    for step, (images, captions) in enumerate(batches(start, steps, batch), start):
        warmup = min(1.0, (step + 1) / 300)
        for group in optimizer.param_groups:
            group["lr"] = lr * warmup * 0.5 * (1 + math.cos(math.pi * step / steps))
        tokens = tokenizer(captions)
        seen[tokens.unique()] = True
        image = model.encode_image(to_tensor(images), normalize=True)
        loss = contrastive_loss(image, encode_text(model, tokens), model.logit_scale.exp())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.logit_scale.data.clamp_(max=math.log(100))
        losses.append(loss.item())
        if (step + 1) % save_every == 0 or step + 1 == steps:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"step": step + 1, "seen": seen}, saved.with_suffix(".part"))
            saved.with_suffix(".part").replace(saved)
            line = {"step": step + 1, "loss": round(float(np.mean(losses)), 4)}
            line |= {"seconds": round(time.time() - clock), **held_out_retrieval(model)}
            with open(out / "training.jsonl", "a") as log:
                log.write(json.dumps(line) + "\n")
            click.echo(json.dumps(line))
            losses = []
    export(model, seen, out)


if __name__ == "__main__":
    main()
