"""The rows of the paper's ablations: which preset each is, and what it changes in it.

A row says nothing about sizes and data: these come from the base that it is put upon (`--preset`).
The paper's own lists of rows are not at hand here, only what is known of them: Table 2 crosses the
two backbones with the matching module (none, DAMSM, ITM) and gradual refinement (GRG), in ten rows.
GRG consists of matching losses per stage, so that it needs a module: five combinations of each
backbone, ten in all. That reading is ours, and so are the settings of Table 4 but for (1, 1).
"""

from __future__ import annotations

from dataclasses import dataclass

from grgan_ref.config import Config
from grgan_ref.errors import GrganError


@dataclass(frozen=True)
class Row:
    """One system.

    name: as the tables print it. preset: of `presets/`. order: other kinds of the stages.
    weights: factors of the preset's lambda1 and lambda2. published: (table, row) in
    `cmdmetric.published.tables`, where the paper has this very system.
    """

    name: str
    preset: str
    order: str | None = None
    weights: tuple[float, float] = (1, 1)
    published: tuple[int, str] | None = None

    @property
    def key(self) -> str:
        """Short and unique: rows of equal configuration share it, and their runs."""
        order = [] if self.order is None else [self.order]
        factors = [] if self.weights == (1, 1) else ["lambda-{:g}-{:g}".format(*self.weights)]
        return "_".join([self.preset, *order, *factors])

    def config(self, base: str, settings: dict[str, str]) -> Config:
        """The row upon a base, with the user's settings."""
        own = {} if self.order is None else {"order": self.order}
        config = Config.load(self.preset, own | settings, base)
        if self.weights == (1, 1):
            return config
        first, second = self.weights
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
            Row("AttnGAN, no matching", "attn-none"),
            Row("AttnGAN+DA", "attn-da"),
            Row("AttnGAN+IT", "attn-it"),
            Row("AttnGAN+DA+GRG", "attn-da-grg"),
            Row("AttnGAN+IT+GRG", "attn-it-grg"),
            Row("DM-GAN, no matching", "dmgan-none"),
            Row("DM-GAN+DA", "dmgan-da"),
            Row("DM-GAN+IT", "dmgan-it", published=(2, "DM-GAN+IT")),
            Row("DM-GAN+DA+GRG", "dmgan-da-grg"),
            Row("DM-GAN+IT+GRG (GR-GAN)", "dmgan-it-grg", published=(1, "GR-GAN")),
            Row("StackGAN++-like (not in the paper)", "plain"),
        ),
    ),
    "4": Table(
        "Table 4: weights of the matching losses, as factors of the base's lambda1, lambda2",
        (
            Row("GRG, 0, 0", "dmgan-it-grg", weights=(0, 0)),
            Row("GRG, 1, 0", "dmgan-it-grg", weights=(1, 0)),
            Row("GRG, 0, 1", "dmgan-it-grg", weights=(0, 1)),
            Row("GRG, 1, 1", "dmgan-it-grg", published=(1, "GR-GAN")),
            Row("GRG, 4, 4", "dmgan-it-grg", weights=(4, 4)),
            Row("ITM without GRG, 1, 1", "dmgan-it", published=(4, "ITM without GRG, lambda 4, 1")),
        ),
    ),
    "6": Table(
        "Table 6: order of the stages",
        (
            Row("I-S-W", "dmgan-it-grg", published=(6, "I-S-W")),
            Row("I-W-S", "dmgan-it-grg", order="I-W-S", published=(6, "I-W-S")),
            Row("S-W-I", "dmgan-it-grg", order="S-W-I", published=(6, "S-W-I")),
        ),
        all_stages=True,
    ),
}


def choose(table: str, names: list[str]) -> tuple[Row, ...]:
    """The rows of a table by name or key; all where none is named.

    Raises GrganError for an unknown table or row, with those that there are.
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
