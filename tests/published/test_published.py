"""The published numbers against themselves, and the command that prints them."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict

import pytest

from cmdmetric import InputError, published
from cmdmetric.gate.expectations import expectation
from cmdmetric.published.paper import Published
from cmdmetric.report.gather import published_of
from tests.conftest import shared
from tests.support.commands import run

#: Numbers have two decimals, so each is within half of the second one; a sum of two, within one.
HALF = 0.005


def check(data: Published) -> None:
    """What must hold of the tables."""
    disputed = [set(contradiction.rows) for contradiction in data.contradictions]
    seen = defaultdict(list)
    for table in data.tables:
        for row in table.rows:
            v = row.values
            assert all(value >= 0 for value in v.values()), row
            if table.complete:
                assert row.quoted_from or set(v) == set(table.columns), row
            for size in ("", "_64", "_128"):
                if f"cmd{size}" in v and f"itdis{size}" in v:
                    assert v[f"cmd{size}"] >= v[f"itdis{size}"], row
            if "cmd" in v and "itdis" in v:
                assert row.dis_fr == pytest.approx(v["cmd"] - v["itdis"], abs=2 * HALF + 1e-9), row
            for way in ("image_to_text", "text_to_image"):
                ranks = [v[f"{way}_r{k}"] for k in (1, 5, 10) if f"{way}_r{k}" in v]
                assert ranks == sorted(ranks) and all(rank <= 100 for rank in ranks), row
            if row.same_as is not None:
                named = [r for t in data.tables for r in t.rows if r.name == row.same_as]
                assert named and named[0].table <= row.table, row
            for key, value in v.items():
                seen[(row.same_as or row.name).lower(), key].append((table.number, row.name, value))
    for repeated in seen.values():
        if len({value for _, _, value in repeated}) > 1:
            assert {(number, name) for number, name, _ in repeated} in disputed, repeated
    for claim in data.claims:
        for name, value in ((claim.before_row, claim.before), (claim.row, claim.after)):
            if name is not None and claim.metric is not None:
                rows = [r for t in data.tables for r in t.rows if r.name == name]
                assert rows and rows[0].values[claim.metric] == value, claim
        if claim.percent is not None:
            assert claim.before is not None and claim.after is not None, claim
            found = 100 * (claim.before - claim.after) / claim.before
            # How far rounded numbers move the ratio, and the rounding of the percentage.
            slack = 100 * 2 * HALF / claim.before + HALF
            assert claim.percent == pytest.approx(found, abs=slack), claim
        for column in claim.best:  # lower is better in all that are claimed
            values = {r.name: r.values[column] for r in data.tables[0].rows if column in r.values}
            assert min(values, key=lambda name: values[name]) == claim.row, claim
    for contradiction in data.contradictions:
        for number, name in contradiction.rows:
            table = next(t for t in data.tables if t.number == number)
            assert name in [row.name for row in table.rows], contradiction


def test_the_shipped_numbers_agree_with_themselves() -> None:
    check(published.load())
    assert [table.number for table in published.tables()] == [1, 2, 3, 4, 6]
    assert all(table.complete for table in published.tables())
    assert [len(table.rows) for table in published.tables()] == [7, 10, 4, 6, 3]
    # Obj-GAN and DALL-E have neither ITDis nor CMD; every other cell is there.
    cells = [len(row.values) for table in published.tables() for row in table.rows]
    assert sum(cells) == 7 * 4 - 2 * 2 + 10 * 3 + 4 * 6 + 6 * 3 + 3 * 9


def test_the_shipped_numbers_are_the_papers() -> None:
    paper = json.loads(shared("reference/published_tables.json").read_text())

    def values(number: int) -> list[dict[str, float]]:
        return [dict(row.values) for row in published.table(number).rows]

    for number, keys in ((1, "is fid itdis cmd"), (2, "fid itdis cmd"), (4, "fid itdis cmd")):
        theirs = paper[f"table{number}"]["rows"]
        assert values(number) == [
            {key: row[key] for key in keys.split() if row[key] is not None} for row in theirs
        ]
    theirs = paper["table1"]["rows"]
    assert [(r.name, r.quoted_from is not None) for r in published.table(1).rows] == [
        (row["model"], row["quoted"]) for row in theirs
    ]
    assert values(3) == [
        {f"{way}_r{k}": row[way][i] for way in ("image_to_text", "text_to_image")
         for i, k in enumerate((1, 5, 10))}
        for row in paper["table3"]["rows"]
    ]  # fmt: skip
    assert values(6) == [
        {f"{key}{size}": row[key][i] for key in ("fid", "itdis", "cmd")
         for i, size in enumerate(("_64", "_128", ""))}
        for row in paper["table6"]["rows"]
    ]  # fmt: skip


DATA = """
[paper]
title = "t"
authors = "a"
venue = "v"
url = "u"
code = "c"
[settings.s]
protocol = "grgan"
model = "m"
reference = "r"
samples = 30000
dis_rl = 91.0
[[tables]]
number = 1
title = "one"
setting = "s"
complete = true
columns = { itdis = "ITDis", cmd = "CMD", dis_fr = "Dis(f,r)" }
rows = [
  { name = "A", itdis = 1.0, cmd = 8.0, dis_fr = 7.0, source = "Table 1" },
  { name = "C", itdis = 2.0, cmd = 10.0, dis_fr = 8.0, source = "Table 1" },
]
[[tables]]
number = 2
title = "two"
complete = false
columns = { cmd = "CMD" }
rows = [{ name = "B", cmd = 8.0, source = "Table 2", same_as = "A" }]
[[claims]]
text = "CMD of A is 20 % better than that of C."
metric = "cmd"
before = 10.0
before_row = "C"
after = 8.0
percent = 20.0
row = "A"
best = ["cmd"]
"""


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("itdis = 1.0, cmd = 8.0", "itdis = 9.0, cmd = 8.0"),
        ("dis_fr = 7.0", "dis_fr = 7.1"),
        ('"B", cmd = 8.0', '"B", cmd = 8.1'),
        ('same_as = "A"', 'same_as = "D"'),
        ("itdis = 2.0, ", ""),
        ("percent = 20.0", "percent = 21.0"),
        ("after = 8.0", "after = 8.1"),
        ("before = 10.0", "before = 10.1"),
        ('row = "A"\nbest', 'row = "C"\nbest'),
    ],
)
def test_a_slip_in_data_entry_is_noticed(good: str, bad: str) -> None:
    check(published.parse(DATA))
    assert DATA.count(good) == 1
    with pytest.raises(AssertionError):
        check(published.parse(DATA.replace(good, bad)))


def test_a_recorded_contradiction_is_allowed() -> None:
    told = '[[contradictions]]\nabout = "x"\nrows = [{table=1, name="A"}, {table=2, name="B"}]\n'
    check(published.parse(DATA.replace('"B", cmd = 8.0', '"B", cmd = 8.1') + told))


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("itdis = 1.0", "itdsi = 1.0", "no column"),
        ("itdis = 1.0", 'itdis = "1.0"', "not a number"),
        (', source = "Table 2"', "", "need a source"),
        ("number = 2", 'number = 2\nnote = "x"', "note"),
        ('[{ name = "B", cmd', '[{ name = "B" }, { name = "B", cmd', "two rows"),
    ],
)
def test_data_of_another_layout(good: str, bad: str, message: str) -> None:
    assert DATA.count(good) == 1
    with pytest.raises(InputError, match=message):
        published.parse(DATA.replace(good, bad))


@pytest.mark.parametrize("name", ["Attn-GAN", "AttnGAN", "attngan", "Attn GAN", "ATTN_GAN"])
def test_a_row_by_whatever_one_would_type(name: str) -> None:
    assert published.row(name).values["cmd"] == 15.97


def test_rows_by_name() -> None:
    assert published.row("gr-gan").values == {"is": 25.6, "fid": 22.58, "itdis": 0.8, "cmd": 8.04}
    assert published.row("DM-GAN+IT", 2).dis_fr == 8.05
    assert published.row("GRGAN", 6).name == "I-S-W"
    assert published.row("dmgan", 2).name == "DM-GAN+DA"
    assert published.row("dall-e").values == {"is": 17.9, "fid": 27.5}
    assert published.row("I-S-W").values["cmd_64"] == 36.71
    with pytest.raises(InputError, match="'GR-GAN'"):
        published.row("GRAN")
    with pytest.raises(InputError, match="1, 2, 3, 4, 6"):
        published.table(5)


def test_every_row_with_a_cmd_can_be_checked_against() -> None:
    rows = [row for table in published.tables() for row in table.rows if "cmd" in row.values]
    assert len(rows) == 5 + 10 + 6 + 3
    for row in rows:
        for name in (f"published:{row.table}/{row.name}", f"published:{row.name}"):
            wanted = expectation(name)
            assert wanted.values["cmd"] == row.values["cmd"]
            assert wanted.values["dis_fr"] == row.dis_fr
            assert wanted.samples == 30000


def test_a_report_compares_with_every_system_once() -> None:
    found = published_of("grgan", "ViT-B-32/openai", "coco2014-val", "|r:coco2014-val|")
    assert len(found) == len({each.name for each in found}) == 19
    assert [each.cmd for each in found] == sorted(each.cmd for each in found)
    assert (found[0].name, found[0].cmd) == ("GR-GAN", 8.04)


def test_the_contradiction_of_tables_2_and_4_is_recorded() -> None:
    rows = next(c.rows for c in published.load().contradictions if c.rows)
    a, b = (published.row(name, number).values for number, name in rows)
    assert a["fid"] == b["fid"] and a["cmd"] != b["cmd"] and a["itdis"] != b["itdis"]


def test_command() -> None:
    whole = run("cmdmetric", "published")
    assert whole.returncode == 0 and whole.stderr == ""
    for part in (
        "| GR-GAN | 25.60 | 22.58 | 0.80 | 8.04 | 7.24 |",
        "| DALL-E (quoted) | 17.90 | 27.50 | - | - | - |",
        "| ITM | 53.10 | 83.80 | 92.70 | 52.64 | 83.22 | 92.60 |",
        "| 9.01 | 8.05 |",
        "8.58 %",
        "17.65 %",
        "I-S-W",
    ):
        assert part in whole.stdout.replace("**", "")
    one = run("cmdmetric", "published", "--table", 2)
    assert "DM-GAN+IT" in one.stdout and "GR-GAN |" not in one.stdout
    found = json.loads(run("cmdmetric", "published", "--format", "json").stdout)
    assert found["tables"][0]["rows"][1]["values"] == {
        "is": 24.07, "fid": 36.52, "itdis": None, "cmd": None,
    }  # fmt: skip
    assert found["tables"][0]["setting"]["samples"] == 30000
    lines = list(
        csv.DictReader(io.StringIO(run("cmdmetric", "published", "--format", "csv").stdout))
    )
    cells = {(line["row"], line["metric"]): line["value"] for line in lines}
    assert cells["GR-GAN", "fid"] == "22.58" and cells["Obj-GAN", "itdis"] == ""
    absent = run("cmdmetric", "published", "--table", 5)
    assert absent.returncode == 2 and "no table 5" in absent.stderr and absent.stdout == ""
