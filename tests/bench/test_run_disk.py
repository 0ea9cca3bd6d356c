"""What a run's counters say of the disk: no commit waited for a segment to be made, or for what lay in the cache."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

Counters = tuple[Mapping[str, int], Mapping[str, int]]
"""At the begin of the load, and when all was quiet again."""


@pytest.fixture(scope="module")
def counters(tmp_path_factory: pytest.TempPathFactory) -> Counters:
    folder: Path = tmp_path_factory.mktemp("disk")
    command = [sys.executable, "-m", "bench.cli", "run", "checkout", "--operations", "40000", "--rate", "max"]
    ended = subprocess.run(
        [*command, "--seed", "3", "--out", str(folder)], capture_output=True, text=True, timeout=200, check=False
    )
    assert ended.returncode in (0, 4), ended.stdout + ended.stderr
    found = orjson.loads((folder / "latest" / "counters.json").read_bytes())
    return found["begin"], found["end"]


def test_a_run_that_fills_several_segments_makes_none_under_load(counters: Counters) -> None:
    begin, end = counters
    assert end["postgres_wal_bytes"] - begin["postgres_wal_bytes"] > 40e6
    assert end["postgres_wal_segments_made"] == begin["postgres_wal_segments_made"] > 0


def test_what_brokers_tables_and_recorders_append_is_written_back_while_it_runs(counters: Counters) -> None:
    begin, end = counters
    appended = end["broker_log_bytes"] - begin["broker_log_bytes"]
    assert appended > 5e6
    # 3.7 times what the brokers append, and without any one of the three less than three times.
    assert end["written_back_bytes"] - begin["written_back_bytes"] > 3 * appended
