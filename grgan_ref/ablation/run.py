"""A table of the paper, trained, sampled and scored row by row: `grgan ablate 2 --out runs/grid`.

    OUT/matchers/itm, damsm         the matchers that the rows need, trained once for all, unless
                                    trained ones are given
    OUT/runs/ROW-seed0/             one run of `grgan train` each, and its score.json
    OUT/grids/ROW-seed0.png         samples of it: every stage, the real images at the bottom
    OUT/table2.json, table2.md      the results, written anew after every run

Rows of equal configuration share a run, in another table too. Killed at any moment, the same
command goes on where it was: finished runs are not touched, a run goes on from its checkpoint.
Under torchrun every run is trained by all processes, and the first of them scores and writes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cmdmetric import InputError, Moments, frechet_distance
from cmdmetric.encoders import Encoder, Inception
from cmdmetric.files import no_downloads
from cmdmetric.inputs import Captions
from cmdmetric.scoring import CMDScore, Encoding, Side, open_image_side, score_of
from grgan_ref.ablation.rows import TABLES, Row, choose
from grgan_ref.ablation.table import to_markdown
from grgan_ref.config import Config
from grgan_ref.data import CaptionedImages, middle_square
from grgan_ref.files import new_file, read_json, write_json
from grgan_ref.matching import load_matcher, matcher_config
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
        """Return the configuration of a row's run."""
        own = {"train.seed": str(seed)}
        if self.steps is not None:
            own["train.steps"] = str(self.steps)
        return row.config(self.base, self.settings | own)


def plan(
    table: str,
    base: str,
    rows: list[str],
    seeds: Sequence[int],
    settings: dict[str, str],
    steps: int | None,
    samples: int,
) -> Plan:
    """Make a checked plan.

    Raises:
        GrganError: A table, row, preset or setting is unknown.
    """
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
    matchers: Sequence[Path] = (),
    inception: Inception | None = None,
) -> dict[str, Any]:
    """Do what is not done yet.

    A run whose loss becomes infinite is noted in its row, and the next one begins.

    Args:
        plan: What is to be done.
        data: The training set.
        held_out: Captions and real images of grids and scores.
        out: The folder of all runs and results.
        device: Where the networks are.
        workers: Processes that read data.
        score_with: Model and weights file of the encoder that scores.
        matchers: Trained ones, as `matching.load_matcher` takes them; the others are trained.
        inception: For FID beside CMD.

    Returns:
        The table as it is written to OUT/tableN.json; without rows where another process writes.

    Raises:
        GrganError: `out` holds runs of another configuration, or a matcher does not fit.
        InputError: `out` cannot be written.
    """
    folders = {matcher_config(path).model.matcher: path for path in matchers}
    configs = {config.model.matcher: config for config in (plan.config(r, 0) for r in plan.rows)}
    for kind, config in configs.items():
        if kind not in folders:
            folders[kind] = out / "matchers" / kind
            train_matcher(config, data, held_out, folders[kind], device=device, workers=workers)
    judge = None
    if distributed.is_main():
        judge = Judge(plan, data, held_out, device, score_with, inception)
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
            matcher = load_matcher(folders[config.model.matcher], config)
            try:
                train(config, matcher, data, held_out, folder, device=device, workers=workers)
            except FloatingPointError as error:
                entry["runs"].append({"seed": seed, "failed": str(error)})
            else:
                if judge is not None:
                    model = load_model(folder, device)
                    grid = out / "grids" / f"{row.key}-seed{seed}.png"
                    write_samples(model, held_out, grid, plan.seeds[0])
                    stages = judge.scores(model, folder / "score.json", seed)
                    entry["runs"].append({"seed": seed, "stages": stages})
            if judge is not None:
                _write(result, out / f"table{plan.table}")
            distributed.barrier()
    return result


def _write(result: Mapping[str, Any], path: Path) -> None:
    write_json(path.with_suffix(".json"), result)
    with new_file(path.with_suffix(".md")) as file:
        file.write(to_markdown(result).encode())


def inception_at_hand(weights: Path | None, device: str | None) -> Inception | None:
    """Build the network of FID where its weights are there; nothing is downloaded for it.

    Raises:
        InputError: The file that is named cannot be read.
    """
    if weights is not None:
        return Inception(weights, device=device)
    try:
        with no_downloads("an ablation fetches no weights"):
            return Inception(device=device)
    except InputError:
        return None


class Judge:
    """Scores models by cmdmetric against held-out images and all their captions, encoded once."""

    def __init__(
        self,
        plan: Plan,
        data: CaptionedImages,
        held_out: CaptionedImages,
        device: torch.device,
        score_with: tuple[str | None, str | None],
        inception: Inception | None,
    ) -> None:
        self.samples = min(plan.samples, len(held_out))
        self.all_stages = TABLES[plan.table].all_stages
        self.size = plan.config(plan.rows[0], 0).model.stages[-1].size
        self.encoder = Encoder(*score_with, device=device)
        self.encoding, self.inception = Encoding(self.encoder), inception
        self.names = tuple(f"{name}.png" for name in held_out.names[: self.samples])
        own = [held_out.captions[i] for i in range(self.samples)]
        self.captions = [captions[0] for captions in own]
        pairs = [(t, n) for n, texts in zip(self.names, own, strict=True) for t in texts]
        texts, names = zip(*pairs, strict=True)
        self.text = self.encoding.side(Captions(texts, names, "held-out captions"))
        real = _pictures(held_out, self.samples, self.size)
        self.real = self._images(real, self.names)
        self.seen = None if inception is None else self._moments(real, inception)
        self.training = _pictures(data, min(self.samples, len(data)), self.size)

    def floor(self) -> dict[str, Any]:
        """Return the score of real images of the training set: as good as a generator can be."""
        return self._numbers(self.training, None)

    def scores(self, model: TextToImage, file: Path, seed: int) -> list[dict[str, Any]]:
        """Return a score for each stage that counts; kept in `file` and read from it again."""
        identity = {
            "model": model.fingerprint(),
            "samples": self.samples,
            "all_stages": self.all_stages,
            "encoder": self.encoder.fingerprint,
            "inception": None if self.inception is None else self.inception.sha256,
        }
        if file.exists():
            known = read_json(file)
            if known["identity"] == identity:
                return known["stages"]
        keys = [f"{seed} {i} {caption}" for i, caption in enumerate(self.captions)]
        stages = model.generate(self.captions, keys)
        counted = list(enumerate(stages, 1)) if self.all_stages else [(len(stages), stages[-1])]
        found = [
            {"stage": k, "size": images.shape[1]} | self._numbers(images, self.names)
            for k, images in counted
        ]
        write_json(file, {"identity": identity, "stages": found})
        return found

    def _numbers(
        self, pictures: NDArray[np.uint8], names: tuple[str, ...] | None
    ) -> dict[str, Any]:
        """Values, standard errors, and how they were made."""
        found = _told(score_of(self._images(pictures, names), self.real, self.text))
        if self.inception is not None and self.seen is not None:
            seen = self._moments(pictures, self.inception)
            found["fid"] = float(frechet_distance(seen, self.seen))
        return found

    def _images(self, pictures: NDArray[np.uint8], names: tuple[str, ...] | None) -> Side:
        """Names tell which images, real ones and captions were drawn together (error bars)."""
        return dataclasses.replace(self.encoding.side(open_image_side(pictures)), names=names)

    def _moments(self, pictures: NDArray[np.uint8], inception: Inception) -> Moments:
        batches = range(0, len(pictures), inception.batch_size)
        parts = [pictures[i : i + inception.batch_size] for i in batches]
        return Moments.from_features(
            np.concatenate([inception.encode_pixels(part).pool for part in parts])
        )


def _pictures(data: CaptionedImages, number: int, size: int) -> NDArray[np.uint8]:
    return np.stack([middle_square(data, i, size) for i in range(number)])


def _told(score: CMDScore) -> dict[str, Any]:
    bars = score.uncertainty
    return {
        **{part: getattr(score, part) for part in PARTS},
        "standard_error": {part: getattr(bars, part).standard_error for part in PARTS},
        "debiased": {part: getattr(bars, part).debiased for part in PARTS},
        "dis_rl": score.dis_rl,
        "signature": score.signature,
    }


def _result(plan: Plan, judge: Judge | None) -> dict[str, Any]:
    table = TABLES[plan.table]
    return {
        "table": plan.table,
        "title": table.title,
        "preset": plan.base,
        "settings": plan.settings,
        "steps": plan.steps,
        "seeds": list(plan.seeds),
        "samples": plan.samples if judge is None else judge.samples,
        "training_images": {} if judge is None else judge.floor(),
        "rows": [],
    }
