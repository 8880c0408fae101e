"""The rows of the paper's ablations: which preset each is, and what it changes in it.

A row says nothing about sizes and data: these come from the base that it is put upon (`--preset`).
Table 2 crosses the two backbones with the matching module (none, DAMSM, ITM) and gradual refinement
(GRG), which needs a module: five combinations of each backbone. Table 4 is ITM without GRG at six
settings of lambda1 and lambda2, Table 6 the order of the stages.
"""

from __future__ import annotations

from dataclasses import dataclass

from grgan_ref.config import Config
from grgan_ref.errors import GrganError

#: lambda1 and lambda2 of the paper's own setting, which the presets have where they name none.
PAPERS_WEIGHTS = (4.0, 1.0)


@dataclass(frozen=True)
class Row:
    """One system.

    Attributes:
        name: As `cmdmetric.published` has it.
        preset: Of `presets/`.
        order: Other kinds of the stages.
        weights: lambda1 and lambda2 as the table states them. A base whose own differ from the
            paper's 4 and 1, as that of the scenes, gets the same multiples of its own.
        published: The table that has the row; None where the paper has no such system.
    """

    name: str
    preset: str
    order: str | None = None
    weights: tuple[float, float] | None = None
    published: int | None = None

    @property
    def key(self) -> str:
        """Short and unique: rows of equal configuration share it, and their runs."""
        order = [] if self.order is None else [self.order]
        weights = self.weights
        own = [] if weights in (None, PAPERS_WEIGHTS) else ["lambda-{:g}-{:g}".format(*weights)]
        return "_".join([self.preset, *order, *own])

    def config(self, base: str, settings: dict[str, str]) -> Config:
        """Return the row upon a base, with the user's settings."""
        own = {} if self.order is None else {"order": self.order}
        config = Config.load(self.preset, own | settings, base)
        if self.weights in (None, PAPERS_WEIGHTS):
            return config
        first, second = (w / p for w, p in zip(self.weights, PAPERS_WEIGHTS, strict=True))
        weighted = {
            "loss.lambda1": first * config.loss.lambda1,
            "loss.lambda2": second * config.loss.lambda2,
        }
        return Config.load(self.preset, own | settings | weighted, base)


@dataclass(frozen=True)
class Table:
    """A table of rows; all_stages: every stage's images are scored, not the last one's only."""

    title: str
    rows: tuple[Row, ...]
    all_stages: bool = False


TABLES = {
    "2": Table(
        "Table 2: backbone, matching module and gradual refinement",
        (
            Row("Attn-GAN, no matching", "attn-none", published=2),
            Row("Attn-GAN+DA", "attn-da", published=2),
            Row("Attn-GAN+DA+GRG", "attn-da-grg", published=2),
            Row("Attn-GAN+IT", "attn-it", published=2),
            Row("Attn-GAN+IT+GRG", "attn-it-grg", published=2),
            Row("DM-GAN, no matching", "dmgan-none", published=2),
            Row("DM-GAN+DA", "dmgan-da", published=2),
            Row("DM-GAN+DA+GRG", "dmgan-da-grg", published=2),
            Row("DM-GAN+IT", "dmgan-it", published=2),
            Row("DM-GAN+IT+GRG", "dmgan-it-grg", published=2),
            Row("StackGAN++-like (not in the paper)", "plain"),
        ),
    ),
    "4": Table(
        "Table 4: weights of the matching losses, ITM without GRG",
        tuple(
            Row(f"ITM without GRG, lambda {a}, {b}", "dmgan-it", weights=(a, b), published=4)
            for a, b in ((1, 1), (2, 1), (3, 1), (4, 1), (4, 2), (5, 2))
        ),
    ),
    "6": Table(
        "Table 6: order of the stages",
        (
            Row("I-S-W", "dmgan-it-grg", published=6),
            Row("I-W-S", "dmgan-it-grg", order="I-W-S", published=6),
            Row("S-W-I", "dmgan-it-grg", order="S-W-I", published=6),
        ),
        all_stages=True,
    ),
}


def choose(table: str, names: list[str]) -> tuple[Row, ...]:
    """Return the rows of a table by name or key; all where none is named.

    Raises:
        GrganError: There is no such table or row; the message has those that there are.
    """
    if table not in TABLES:
        raise GrganError(f"no table {table!r}: there is {', '.join(TABLES)}")
    rows = TABLES[table].rows
    for name in names:
        if not any(name in (row.name, row.key) for row in rows):
            raise GrganError(
                f"table {table} has no row {name!r}; there is {', '.join(row.key for row in rows)}"
            )
    return tuple(row for row in rows if not names or {row.name, row.key} & set(names))
