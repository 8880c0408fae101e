"""How the bundled encoder `scenes-toy` was made: CLIP's contrastive loss on procedural scenes.

    python -m cmdmetric.scenes.training out/

draws every batch anew (no scene is seen twice), so the loss is an honest one, and ends with what
the encoder knows of held-out scenes. Interrupted, the same command goes on from its last save.

The loss is that of Radford et al. 2021 (CLIP, section 2.3, figure 3); what it is computed on is
described in `lessons`. Two things shorten the long time in which such a network knows nothing but
colours. The first batches show mostly scenes of a single shape, and the share of these falls step
by step. And beside the contrastive loss stands a plain one: two maps of the image tower name what
is where, and the embeddings of images and of captions tell, through one linear layer, which kind
and colour are in which place. What gives these answers is thrown away at the end.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from cmdmetric.encoders import encode_text, reading_order
from cmdmetric.files import ahead
from cmdmetric.scenes.drawing import COLOURS, COUNTS, RADII, SHAPES, Scene, draw_scene
from cmdmetric.scenes.lessons import FACTS, GROUP, PLACED, Lesson, draw_lesson, render_resized
from cmdmetric.scenes.zero_shot import HELD_OUT, zero_shot

IMAGE_SIZE = 96  # the last map is a 32nd of it: three by three, one cell for each place
# The convolutional tower learns shapes at twice the rate of a vision transformer of its size. Its
# text tower has to be as wide as the embedding: text features are a linear map of that width.
MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {
        "image_size": IMAGE_SIZE,
        "layers": [1, 1, 1, 1],
        "width": 16,
        "head_width": 32,
    },
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 64,
        "heads": 4,
        "layers": 3,
    },
    "quick_gelu": True,
}
# Pixels in [0, 1] as they are: then the protocol `grgan`, which leaves them so, shows the encoder
# what it was trained on.
PREPROCESS_CONFIG = {
    "mean": [0.0, 0.0, 0.0],
    "std": [1.0, 1.0, 1.0],
    "interpolation": "bilinear",
    "resize_mode": "shortest",
}
FIRST_TRAINING_SEED = 1_000_000  # below it: held-out scenes and the bundled example
AHEAD = 4  # batches drawn before they are needed
TEXTS = 128  # captions in one pass of the text tower: more at once are slower


class Vocabulary:
    """The few of CLIP's 49,408 tokens that captions of scenes hold, numbered anew in their order.

    The network is trained on these alone: a table of all tokens would be most of its parameters,
    and nearly all of it without a gradient.
    """

    def __init__(self) -> None:
        self._tokenizer = open_clip.SimpleTokenizer()
        captions = [caption for seed in range(4000) for caption in draw_scene(seed).captions(2)]
        # "four red shapes" is too rare to be met for sure.
        self.tokens: Tensor = self._tokenizer([*captions, *COUNTS.values()]).unique()

    def __call__(self, captions: Sequence[str]) -> Tensor:
        """Captions to their tokens' new numbers (n, context)."""
        tokens = self._tokenizer(list(captions))
        numbers = torch.searchsorted(self.tokens, tokens)
        assert torch.equal(self.tokens[numbers], tokens), (
            "a word that is in no vocabulary of scenes"
        )
        return numbers


def new_model(vocabulary: Vocabulary) -> open_clip.CLIP:
    """The network to train, with as many token embeddings as the vocabulary needs."""
    text = MODEL_CONFIG["text_cfg"] | {"vocab_size": len(vocabulary.tokens)}
    model = open_clip.CLIP(**MODEL_CONFIG | {"text_cfg": text})
    # Each head of the last attention shall look at a corner of its own from the start. Beginning
    # nearly equal, as CLIP's positions do, all heads see the mean of the image, which has no place.
    nn.init.normal_(model.visual.attnpool.positional_embedding, std=1.5)
    model.visual.to(memory_format=torch.channels_last)
    return model


def lessons(start: int, steps: int, groups: int) -> Iterator[Lesson]:
    """The lessons number `start` to `steps`, drawn ahead in another process."""
    firsts = (FIRST_TRAINING_SEED + step * groups for step in range(start, steps))
    shares = (max(0.2, 1 - 2.5 * step / steps) for step in range(start, steps))
    drawn = zip((range(first, first + groups) for first in firsts), shares, strict=True)
    for _, lesson in ahead(drawn, _draw, 1, AHEAD, processes=True):
        yield lesson.result()


def _draw(what: tuple[range, float]) -> Lesson:
    """The lesson of some groups, with a share of them alone."""
    return draw_lesson(*what, IMAGE_SIZE)


class Seen(NamedTuple):
    """What the image tower sees of n images, all in float32."""

    #: The second layer's map (n, c, GRID, GRID).
    fine: Tensor
    #: The last layer's map (n, c', 3, 3): each of its cells is one place.
    coarse: Tensor
    #: Unit features (n, d).
    features: Tensor


def encode_images(model: open_clip.CLIP, images: NDArray[np.uint8], bfloat16: bool) -> Seen:
    """Run the image tower; images are preprocessed as PREPROCESS_CONFIG says.

    Args:
        model: The network of `new_model`.
        images: Shape (n, IMAGE_SIZE, IMAGE_SIZE, 3).
        bfloat16: Whether to compute in bfloat16.
    """
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    visual = model.visual
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        fine = visual.layer2(visual.layer1(visual.stem(pixels)))
        coarse = visual.layer4(visual.layer3(fine))
        features = visual.attnpool(coarse)
    return Seen(fine.float(), coarse.float(), F.normalize(features.float(), dim=-1))


def encode_captions(model: open_clip.CLIP, tokens: Tensor) -> Tensor:
    """Tokens (n, context) to unit features (n, d)."""
    order = reading_order(tokens)
    features = torch.cat([encode_text(model, part) for part in tokens[order].split(TEXTS)])
    return F.normalize(features[order.argsort()], dim=-1)


def contrastive_loss(image: Tensor, text: Tensor, captions: Sequence[str], scale: Tensor) -> Tensor:
    """CLIP's symmetric cross-entropy, with wrong captions among the texts.

    Args:
        image: Unit features (n, d) of the images.
        text: Unit features (m, d), m >= n, of the images' captions and then of wrong ones.
        captions: The m texts. One that is equal to an image's own is never counted as wrong.
        scale: The factor of cosines, a scalar.
    """
    n = len(image)
    numbers = {caption: number for number, caption in enumerate(captions)}
    same = torch.tensor([numbers[caption] for caption in captions])
    equal = same[:n, None] == same
    equal.fill_diagonal_(False)
    logits = (scale * image @ text.T).masked_fill(equal, -torch.inf)
    target = torch.arange(n)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits[:, :n].T, target)) / 2


class Naming(nn.Module):
    """Names what is where in an image, and tells which attributes go together.

    The first is read off the image tower: what is centred in each cell off its second layer, which
    kinds and colours are in each place off its last. The second is read off the embeddings of
    images and of captions alike.
    """

    def __init__(self, width: int, last: int, embedding: int) -> None:
        super().__init__()
        self.answers = [1, len(SHAPES), len(COLOURS), len(RADII)]
        self.read = nn.Conv2d(width, sum(self.answers), 1)
        self.place = nn.Conv2d(last, PLACED // 9, 1)
        self.tell = nn.Linear(embedding, FACTS)

    def loss(self, seen: Seen, text: Tensor, lesson: Lesson, telling: float) -> Tensor:
        """Cross-entropies of what is named and what is there.

        Whether something is there is asked of every cell, and what it is where something is. Of the
        captions only those are asked that tell places.

        Args:
            seen: What the image tower sees of the B images.
            text: The unit features (B, d) of their captions.
            lesson: What is there.
            telling: The weight of what is told, which is summed over the facts.
        """
        maps, facts = torch.from_numpy(lesson.maps), torch.from_numpy(lesson.facts).float()
        there = maps[:, 0] >= 0
        is_there, *what = self.read(seen.fine).movedim(1, -1).split(self.answers, dim=-1)
        loss = 10 * F.binary_cross_entropy_with_logits(is_there[..., 0], there.float())
        for answer, right in zip(what, maps.unbind(1), strict=True):
            loss = loss + F.cross_entropy(answer[there], right[there])
        here = self.place(seen.coarse).permute(0, 2, 3, 1).flatten(1)
        loss = loss + PLACED * F.binary_cross_entropy_with_logits(here, facts[:, :PLACED])
        placed = torch.from_numpy(lesson.placed)
        for features, right in ((seen.features, facts), (text[placed], facts[placed])):
            told = self.tell(features * features.shape[1] ** 0.5)
            loss = loss + telling * FACTS * F.binary_cross_entropy_with_logits(told, right)
        return loss


class HeldOut:
    """Scenes that are never trained on, and what the encoder is asked about them."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._scenes = [draw_scene(seed) for seed in HELD_OUT]
        self._alone = [draw_scene(seed, 1) for seed in HELD_OUT]

    @torch.no_grad()
    def ask(self, model: open_clip.CLIP, questions: int) -> dict[str, Any]:
        """Retrieval of all scenes, and zero-shot answers for the first `questions` of them.

        R@1, 5 and 10 are in per cent: one caption against all held-out images, and the other way
        round.
        """
        model.eval()

        def images(scenes: Sequence[Scene]) -> Tensor:
            pixels = np.stack([render_resized(scene, 64, IMAGE_SIZE) for scene in scenes])
            return encode_images(model, pixels, bfloat16=False).features

        def texts(captions: Sequence[str]) -> Tensor:
            return encode_captions(model, self._vocabulary(captions))

        image = images(self._scenes)
        cosine = texts([scene.captions(1)[0] for scene in self._scenes]) @ image.T
        result: dict[str, Any] = {}
        for name, scores in (("text_to_image", cosine), ("image_to_text", cosine.T)):
            rank = (scores > scores.diagonal()[:, None]).sum(dim=1)
            result |= {
                f"{name}_r{k}": round(100 * (rank < k).float().mean().item(), 1) for k in (1, 5, 10)
            }
        for name, scenes in (("one_shape", self._alone), ("any", self._scenes)):
            asked = scenes[:questions]
            result[name] = zero_shot(asked, images(asked).numpy(), lambda c: texts(c).numpy())
        model.train()
        return result


def export(model: open_clip.CLIP, vocabulary: Vocabulary, out: Path) -> None:
    """Write an open_clip model folder in float16.

    A token that no caption of scenes holds has learnt nothing: its embedding is zero, so an
    unknown word adds no noise (and the file packs well).
    """
    state = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in model.state_dict().items()
    }
    learnt = state["token_embedding.weight"]
    table = learnt.new_zeros(MODEL_CONFIG["text_cfg"]["vocab_size"], learnt.shape[1])
    table[vocabulary.tokens] = learnt
    save_file(state | {"token_embedding.weight": table}, out / "open_clip_model.safetensors")
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    (out / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


def new_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW, which lets matrices decay and nothing else."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
    )


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--steps", default=4500, show_default=True)
@click.option("--batch", default=128, show_default=True, help="Images in a batch.")
@click.option("--lr", default=2e-3, show_default=True, help="Peak learning rate of AdamW.")
@click.option("--save-every", default=100, show_default=True, help="Steps between saves.")
@click.option(
    "--bfloat16/--float32",
    default=False,
    show_default=True,
    help="Run the image tower in bfloat16: faster where the processor has it.",
)
def main(out: Path, steps: int, batch: int, lr: float, save_every: int, bfloat16: bool) -> None:
    """Train the bundled encoder into OUT, an open_clip model folder."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_flush_denormal(True)  # vanishing gradients would slow a CPU down severalfold
    vocabulary = Vocabulary()
    model = new_model(vocabulary)
    naming = Naming(
        model.visual.layer2[-1].conv3.out_channels,
        model.visual.layer4[-1].conv3.out_channels,
        MODEL_CONFIG["embed_dim"],
    )
    learners = nn.ModuleList([model, naming])
    optimizer = new_optimizer(learners)
    held_out = HeldOut(vocabulary)
    start, seconds, saved = 0, 0.0, out / "training.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        learners.load_state_dict(state["learners"])
        optimizer.load_state_dict(state["optimizer"])
        start, seconds = state["step"], state["seconds"]
        click.echo(f"resumed at step {start}", err=True)
    clock, losses = time.monotonic() - seconds, []
    for step, lesson in enumerate(lessons(start, steps, batch // GROUP), start):
        warmup = min(1.0, (step + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = lr * warmup * 0.5 * (1 + math.cos(math.pi * step / steps))
        captions = lesson.captions + lesson.wrong
        seen = encode_images(model, lesson.images, bfloat16)
        text = encode_captions(model, vocabulary(captions))
        loss = contrastive_loss(seen.features, text, captions, model.logit_scale.exp())
        # Strong at first: words for places are not learnt without it. Later it gives way, since an
        # embedding cannot hold all facts of four shapes apart and serve the captions best.
        telling = (1 - step / steps) ** 3
        named = naming.loss(seen, text[:batch], lesson, telling)
        optimizer.zero_grad()
        (loss + named).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.logit_scale.data.clamp_(max=math.log(100))
        losses.append((loss.item(), named.item()))
        if (step + 1) % save_every == 0 or step + 1 == steps:
            state = {"learners": learners.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {"step": step + 1, "seconds": time.monotonic() - clock}
            torch.save(state, saved.with_suffix(".part"))
            saved.with_suffix(".part").replace(saved)
            contrastive, naming_loss = np.mean(losses, axis=0).round(4).tolist()
            line = {"step": step + 1, "loss": contrastive, "naming": naming_loss}
            line["seconds"] = round(state["seconds"])
            line |= held_out.ask(model, 1000 if step + 1 == steps else 100)
            with open(out / "training.jsonl", "a") as log:
                log.write(json.dumps(line) + "\n")
            click.echo(json.dumps(line))
            losses = []
    export(model, vocabulary, out)


if __name__ == "__main__":
    main()
