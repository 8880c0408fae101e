"""The published numbers against themselves, and the command that prints them."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict

import pytest

from cmdmetric import InputError, published
from cmdmetric.published.paper import Published
from tests.cli.test_cli import run

#: Numbers have two decimals, so each is within half of the second one; a sum of two, within one.
HALF = 0.005


def check(data: Published) -> None:
    """What must hold of the tables whatever has been recorded of them."""
    disputed = [set(contradiction.rows) for contradiction in data.contradictions]
    seen = defaultdict(list)
    for table in data.tables:
        for row in table.rows:
            v = row.values
            assert all(value >= 0 for value in v.values()), row
            if "cmd" in v and "itdis" in v:
                assert v["cmd"] >= v["itdis"], row
                assert row.dis_fr == pytest.approx(v["cmd"] - v["itdis"], abs=2 * HALF + 1e-9), row
            for key, value in v.items():
                seen[row.name.lower(), key].append((table.number, row.name, value))
    for repeated in seen.values():
        if len({value for _, _, value in repeated}) > 1:
            assert {(number, name) for number, name, _ in repeated} in disputed, repeated
    for claim in data.claims:
        if claim.percent is not None and claim.before is not None and claim.after is not None:
            found = 100 * (claim.before - claim.after) / claim.before
            # How far rounded numbers move the ratio, and the rounding of the percentage.
            slack = 100 * 2 * HALF / claim.before + HALF
            assert claim.percent == pytest.approx(found, abs=slack), claim
        if claim.row and claim.metric and claim.after is not None:
            rows = [r for t in data.tables for r in t.rows if r.name == claim.row]
            assert rows and rows[0].values[claim.metric] == claim.after, claim
    for contradiction in data.contradictions:
        for number, name in contradiction.rows:
            table = next(t for t in data.tables if t.number == number)
            assert name in [row.name for row in table.rows], contradiction


def test_the_shipped_numbers_agree_with_themselves() -> None:
    check(published.load())
    assert [table.number for table in published.tables()] == [1, 2, 3, 4, 6]


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
rows = [{ name = "A", itdis = 1.0, cmd = 8.0, dis_fr = 7.0, source = "Table 1" }]
[[tables]]
number = 2
title = "two"
complete = false
columns = { cmd = "CMD" }
rows = [{ name = "A", cmd = 8.0, source = "Table 2", quoted_from = "B" }]
[[claims]]
metric = "cmd"
before = 10.0
after = 8.0
percent = 20.0
row = "A"
"""


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("itdis = 1.0, cmd = 8.0", "itdis = 9.0, cmd = 8.0"),
        ("dis_fr = 7.0", "dis_fr = 7.1"),
        ('"A", cmd = 8.0', '"A", cmd = 8.1'),
        ("percent = 20.0", "percent = 21.0"),
        ("after = 8.0", "after = 8.1"),
    ],
)
def test_a_slip_in_data_entry_is_noticed(good: str, bad: str) -> None:
    check(published.parse(DATA))
    assert DATA.count(good) == 1
    with pytest.raises(AssertionError):
        check(published.parse(DATA.replace(good, bad)))


def test_a_recorded_contradiction_is_allowed() -> None:
    told = '[[contradictions]]\nabout = "x"\nrows = [{table=1, name="A"}, {table=2, name="A"}]\n'
    check(published.parse(DATA.replace('"A", cmd = 8.0', '"A", cmd = 8.1') + told))


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("itdis = 1.0", "itdsi = 1.0", "no column"),
        ("itdis = 1.0", 'itdis = "1.0"', "not a number"),
        (', source = "Table 2"', "", "need a source"),
        ("number = 2", 'number = 2\nnote = "x"', "note"),
        ('[{ name = "A", cmd', '[{ name = "A" }, { name = "A", cmd', "two rows"),
    ],
)
def test_data_of_another_layout(good: str, bad: str, message: str) -> None:
    assert DATA.count(good) == 1
    with pytest.raises(InputError, match=message):
        published.parse(DATA.replace(good, bad))


def test_rows_by_name() -> None:
    assert published.row("gr-gan").values == {"fid": 22.58, "cmd": 8.04}
    assert published.row("DM-GAN+IT", 2).dis_fr == 8.05
    with pytest.raises(InputError, match="'GR-GAN'"):
        published.row("GRGAN")
    with pytest.raises(InputError, match="1, 2, 3, 4, 6"):
        published.table(5)


def test_the_contradiction_of_tables_2_and_4_is_recorded() -> None:
    rows = next(c.rows for c in published.load().contradictions if c.rows)
    a, b = (published.row(name, number).values for number, name in rows)
    assert a["fid"] == b["fid"] and a["cmd"] != b["cmd"] and a["itdis"] != b["itdis"]


def test_command() -> None:
    whole = run("cmdmetric", "published")
    assert whole.returncode == 0 and whole.stderr == ""
    for part in ("| GR-GAN | 22.58 | · | 8.04 | · |", "| 9.01 | 8.05 |", "8.58 %", "I-S-W"):
        assert part in whole.stdout
    one = run("cmdmetric", "published", "--table", 2)
    assert "DM-GAN+IT" in one.stdout and "GR-GAN |" not in one.stdout
    found = json.loads(run("cmdmetric", "published", "--format", "json").stdout)
    assert found["tables"][0]["rows"][0]["values"] == {"fid": 22.58, "itdis": None, "cmd": 8.04}
    assert found["tables"][0]["setting"]["samples"] == 30000
    lines = list(
        csv.DictReader(io.StringIO(run("cmdmetric", "published", "--format", "csv").stdout))
    )
    cells = {(line["row"], line["metric"]): line["value"] for line in lines}
    assert cells["GR-GAN", "fid"] == "22.58" and cells["GR-GAN", "itdis"] == ""
    absent = run("cmdmetric", "published", "--table", 5)
    assert absent.returncode == 2 and "no table 5" in absent.stderr and absent.stdout == ""
