"""A cache that others, crashes and disks have changed: right values or none, and one warning."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cmdmetric.cache import FeatureCache, Space
from cmdmetric.cache.database import FILE
from cmdmetric.cli.main import main
from tests.support.commands import BIN
from tests.support.systems import needs_interrupts, without_privileges

SPACE = Space("of a test", encoder="0d9f")
KEYS = [SPACE.key(bytes([i]) * 32) for i in range(12)]
VALUES = np.arange(36, dtype=np.float32).reshape(12, 3)
#: What others may have done to the tables.
DAMAGE = {
    "null content": "UPDATE blocks SET content = NULL",
    "text content": "UPDATE blocks SET content = 'text'",
    "number as keys": "UPDATE blocks SET keys = 7",
    "no use": "UPDATE blocks SET used = NULL",
    "text use": "UPDATE blocks SET used = 'now'",
    "text crc": "UPDATE blocks SET crc = 'x'",
    "null row": "UPDATE rows SET row = NULL",
    "text block": "UPDATE rows SET block = 'x'",
    "real row": "UPDATE rows SET row = 0.5",
    "other column": "ALTER TABLE blocks RENAME COLUMN content TO contents",
    "fewer columns": "ALTER TABLE blocks DROP COLUMN crc",
    "more columns": "ALTER TABLE spaces ADD COLUMN more",
    "other table": "DROP TABLE rows; CREATE TABLE rows (a, b)",
    "a view": "DROP TABLE digests; CREATE VIEW digests AS SELECT 1 AS path",
}


def filled(folder: Path) -> None:
    with FeatureCache(folder) as cache:
        cache.put_many(SPACE, KEYS, VALUES)


@pytest.mark.parametrize("sql", DAMAGE.values(), ids=DAMAGE)
def test_other_types_and_columns_start_anew_with_one_warning(sql: str, tmp_path: Path) -> None:
    filled(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.executescript(sql)
    connection.close()
    with pytest.warns(UserWarning, match="set aside as .*starts anew") as told:
        with FeatureCache(tmp_path) as cache:
            positions, _ = cache.get_many(KEYS)
            assert len(positions) == 0
            cache.put_many(SPACE, KEYS, VALUES)
        with FeatureCache(tmp_path) as cache:
            positions, features = cache.get_many(KEYS)
    assert len(told) == 1
    assert positions.tolist() == list(range(12))
    np.testing.assert_array_equal(features, VALUES)
    for command in ("info", "verify", "clear"):
        assert (
            CliRunner().invoke(main, ["cache", command, "--cache-dir", str(tmp_path)]).exit_code
            == 0
        )


@needs_interrupts
def test_a_cache_that_is_not_ours_is_not_cleared(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / FILE).chmod(0o444)
    tmp_path.chmod(0o555)
    command = [str(BIN / "cmdmetric"), "cache", "clear", "--cache-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          preexec_fn=without_privileges)  # fmt: skip
    tmp_path.chmod(0o755)
    assert done.returncode == 2 and "nothing was freed" in done.stderr
    with FeatureCache(tmp_path) as cache:
        assert len(cache.get_many(KEYS)[0]) == len(KEYS)


class Cache(RuleBasedStateMachine):
    """Two processes' views of one folder, which crashes, disks and people interfere with."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.caches = [FeatureCache(self.folder) for _ in range(2)]

    @rule(who=st.integers(0, 1), some=st.sets(st.integers(0, 11), min_size=1))
    def put(self, who: int, some: set[int]) -> None:
        chosen = sorted(some)
        self.caches[who].put_many(SPACE, [KEYS[i] for i in chosen], VALUES[chosen])
        self.caches[who].flush()

    @rule(who=st.integers(0, 1))
    def kill(self, who: int) -> None:
        """What was not stored is lost; the connection goes without a word."""
        connection = self.caches[who].database._connection
        if connection is not None:
            connection.close()
        self.caches[who] = FeatureCache(self.folder)

    @rule(where=st.floats(0, 1), what=st.binary(min_size=1, max_size=300))
    def overwrite(self, where: float, what: bytes) -> None:
        path = self.folder / FILE
        if path.exists():
            with open(path, "r+b") as file:
                file.seek(int(where * max(0, path.stat().st_size - len(what))))
                file.write(what)

    @rule(where=st.floats(0, 1))
    def cut(self, where: float) -> None:
        path = self.folder / FILE
        if path.exists():
            os.truncate(path, int(where * path.stat().st_size))

    @rule(sql=st.sampled_from(sorted(DAMAGE.values())))
    def change(self, sql: str) -> None:
        connection = sqlite3.connect(self.folder / FILE, timeout=1)
        try:
            connection.executescript(sql)
        except sqlite3.Error:
            pass  # it was damaged already
        finally:
            connection.close()

    @rule()
    def remove(self) -> None:
        (self.folder / FILE).unlink(missing_ok=True)

    @rule(who=st.integers(0, 1), what=st.sampled_from(["clear", "verify", "uses", "size"]))
    def keep_up(self, who: int, what: str) -> None:
        getattr(self.caches[who].database, what)()

    @invariant()
    def what_is_found_is_right(self) -> None:
        for cache in self.caches:
            positions, features = cache.get_many(KEYS)
            if len(positions):
                np.testing.assert_array_equal(features, VALUES[positions])

    def teardown(self) -> None:
        for cache in self.caches:
            cache.close()
        # Whatever happened, a new process has a cache that works.
        with FeatureCache(self.folder) as cache:
            cache.put_many(SPACE, KEYS, VALUES)
            cache.flush()
        with FeatureCache(self.folder) as cache:
            assert len(cache.get_many(KEYS)[0]) == len(KEYS)
        shutil.rmtree(self.folder)


@pytest.mark.slow
def test_any_history_leaves_right_values(monkeypatch: pytest.MonkeyPatch) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    steps = settings(
        max_examples=int(os.environ.get("CMDMETRIC_FUZZ_EXAMPLES", "30")),
        stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_state_machine_as_test(Cache, settings=steps)
