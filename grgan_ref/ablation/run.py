"""A table of the paper, trained, sampled and scored row by row: `grgan ablate 2 --out runs/grid`.

    OUT/matchers/itm, damsm         the matchers that the rows need, trained once for all
    OUT/runs/ROW-seed0/             one run of `grgan train` each, and its score.json
    OUT/grids/ROW-seed0.png         samples of it: every stage, the real images at the bottom
    OUT/table2.json, table2.md      the results, written anew after every run

Rows of equal configuration share a run, in another table too. Killed at any moment, the same
command goes on where it was: finished runs are not touched, a run goes on from its checkpoint.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cmdmetric.encoders import Encoder
from cmdmetric.inputs import Captions
from cmdmetric.scoring import CMDScore, Encoding, Side, open_image_side, score_of
from grgan_ref.ablation.rows import TABLES, Row, choose
from grgan_ref.ablation.table import to_markdown
from grgan_ref.config import Config
from grgan_ref.data import CaptionedImages, middle_square
from grgan_ref.errors import GrganError
from grgan_ref.files import read_json, write_atomically, write_json
from grgan_ref.matching import load_matcher
from grgan_ref.model import TextToImage, load_model
from grgan_ref.training import distributed, train, train_matcher, write_samples

PARTS = ("cmd", "itdis", "dis_fr")


@dataclass(frozen=True)
class Plan:
    """What is to be done: rows and seeds of a table upon a base."""

    table: str
    base: str
    rows: Sequence[Row]
    seeds: Sequence[int]
    settings: dict[str, str]
    steps: int | None = None
    samples: int = 1000

    def config(self, row: Row, seed: int) -> Config:
        config = row.config(self.base, self.settings)
        changes = {"seed": seed} | ({} if self.steps is None else {"steps": self.steps})
        return dataclasses.replace(config, train=dataclasses.replace(config.train, **changes))


def plan(
    table: str,
    base: str,
    rows: list[str],
    seeds: Sequence[int],
    settings: dict[str, str],
    steps: int | None,
    samples: int,
) -> Plan:
    """A checked plan. Raises GrganError for unknown tables, rows, presets and settings."""
    found = Plan(table, base, choose(table, rows), tuple(seeds), settings, steps, samples)
    for row in found.rows:
        for seed in found.seeds:
            found.config(row, seed)
    return found


def ablate(
    plan: Plan,
    data: CaptionedImages,
    held_out: CaptionedImages,
    out: Path,
    *,
    device: torch.device,
    workers: int = 0,
    score_with: tuple[str | None, str | None] = (None, None),
) -> dict[str, Any]:
    """Do what is not done yet; return the table as it is written to OUT/tableN.json.

    held_out: captions and real images of grids and scores. score_with: model and weights file of
    the encoder that scores. A run whose loss becomes infinite is noted in its row, and the next
    one begins. Raises GrganError where OUT holds runs of another configuration.
    """
    if distributed.world_size() > 1:
        raise GrganError("grgan ablate runs in one process: start it without torchrun")
    configs = [plan.config(row, 0) for row in plan.rows]
    for kind, config in {config.model.matcher: config for config in configs}.items():
        folder = out / "matchers" / kind
        train_matcher(config, data, held_out, folder, device=device, workers=workers)
    judge = Judge(plan, data, held_out, device, score_with)
    result = _result(plan, judge)
    for row in plan.rows:
        entry: dict[str, Any] = {
            "name": row.name,
            "key": row.key,
            "published": row.published,
            "runs": [],
        }
        result["rows"].append(entry)
        for seed in plan.seeds:
            config = plan.config(row, seed)
            folder = out / "runs" / f"{row.key}-seed{seed}"
            matcher = load_matcher(out / "matchers" / config.model.matcher, config)
            try:
                train(config, matcher, data, held_out, folder, device=device, workers=workers)
            except FloatingPointError as error:
                entry["runs"].append({"seed": seed, "failed": str(error)})
            else:
                model = load_model(folder, device)
                grid = out / "grids" / f"{row.key}-seed{seed}.png"
                write_samples(model, held_out, grid, plan.seeds[0])
                stages = judge.scores(model, folder / "score.json", seed)
                entry["runs"].append({"seed": seed, "stages": stages})
            write_json(out / f"table{plan.table}.json", result)
            text = to_markdown(result)
            write_atomically(
                out / f"table{plan.table}.md", lambda file, text=text: file.write(text.encode())
            )
    return result


class Judge:
    """Scores models by cmdmetric against held-out images and all their captions, encoded once."""

    def __init__(
        self,
        plan: Plan,
        data: CaptionedImages,
        held_out: CaptionedImages,
        device: torch.device,
        score_with: tuple[str | None, str | None],
    ) -> None:
        self.samples = min(plan.samples, len(held_out))
        self.all_stages = TABLES[plan.table].all_stages
        self.size = plan.config(plan.rows[0], 0).model.stages[-1].size
        self.encoding = Encoding(Encoder(*score_with, device=device))
        self.names = tuple(f"{name}.png" for name in held_out.names[: self.samples])
        own = [held_out.captions[i] for i in range(self.samples)]
        self.captions = [captions[0] for captions in own]
        pairs = [(t, n) for n, texts in zip(self.names, own, strict=True) for t in texts]
        texts, names = zip(*pairs, strict=True)
        self.text = self.encoding.side(Captions(texts, names, "held-out captions"))
        self.real = self._images(_pictures(held_out, self.samples, self.size), self.names)
        self.training = _pictures(data, min(self.samples, len(data)), self.size)

    def floor(self) -> dict[str, Any]:
        """The score of real images of the training set: as good as a generator can be."""
        return _numbers(score_of(self._images(self.training, None), self.real, self.text))

    def scores(self, model: TextToImage, file: Path, seed: int) -> list[dict[str, Any]]:
        """One score for each stage that counts; kept in `file` and read from it again."""
        identity = {
            "model": model.fingerprint(),
            "samples": self.samples,
            "all_stages": self.all_stages,
            "encoder": self.encoding.encoder.fingerprint,
        }
        if file.exists():
            known = read_json(file)
            if known["identity"] == identity:
                return known["stages"]
        keys = [f"{seed} {i} {caption}" for i, caption in enumerate(self.captions)]
        stages = model.generate(self.captions, keys)
        counted = list(enumerate(stages, 1)) if self.all_stages else [(len(stages), stages[-1])]
        found = [
            {"stage": k, "size": images.shape[1]}
            | _numbers(score_of(self._images(images, self.names), self.real, self.text))
            for k, images in counted
        ]
        write_json(file, {"identity": identity, "stages": found})
        return found

    def _images(self, pictures: np.ndarray, names: tuple[str, ...] | None) -> Side:
        """Names tell which images, real ones and captions were drawn together (error bars)."""
        return dataclasses.replace(self.encoding.side(open_image_side(pictures)), names=names)


def _pictures(data: CaptionedImages, number: int, size: int) -> np.ndarray:
    return np.stack([middle_square(data, i, size) for i in range(number)])


def _numbers(score: CMDScore) -> dict[str, Any]:
    """Values, standard errors, and how they were made."""
    bars = score.uncertainty
    return {
        **{part: getattr(score, part) for part in PARTS},
        "standard_error": {part: getattr(bars, part).standard_error for part in PARTS},
        "debiased": {part: getattr(bars, part).debiased for part in PARTS},
        "dis_rl": score.dis_rl,
        "signature": score.signature,
    }


def _result(plan: Plan, judge: Judge) -> dict[str, Any]:
    table = TABLES[plan.table]
    return {
        "table": plan.table,
        "title": table.title,
        "preset": plan.base,
        "settings": plan.settings,
        "steps": plan.steps,
        "seeds": list(plan.seeds),
        "samples": judge.samples,
        "training_images": judge.floor(),
        "rows": [],
    }
