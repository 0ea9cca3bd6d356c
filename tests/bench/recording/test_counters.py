from pathlib import Path

import orjson
import psycopg
import pytest

from bench.recording.counters import log_bytes, read_counters, write_counters
from bench.recording.errors import RecordingFailed


def test_the_log_position_counts_the_wal_of_a_write(dsn: str, prefix: str, tmp_path: Path) -> None:
    begin = read_counters(dsn, prefix, [], {"pay-0": 1.0})
    with psycopg.connect(dsn) as db:
        db.execute(f'CREATE SCHEMA "{prefix}pay"'.encode())
        db.execute(
            f"CREATE TABLE \"{prefix}pay\".wal AS SELECT repeat('x', 500) FROM generate_series(1, 1000)".encode()
        )
    end = read_counters(dsn, prefix, [], {"pay-0": 2.5})
    assert begin.postgres_wal_bytes is not None
    assert end.postgres_wal_bytes is not None
    assert end.postgres_wal_bytes - begin.postgres_wal_bytes > 500_000
    assert (end.postgres_fsyncs or 0) >= (begin.postgres_fsyncs or 0) > 0
    assert (end.postgres_wal_segments_made or 0) >= (begin.postgres_wal_segments_made or 0) > 0
    write_counters(tmp_path, begin, end)
    stored = orjson.loads((tmp_path / "counters.json").read_bytes())
    assert stored["end"]["cpu_s"] == {"pay-0": 2.5}
    assert stored["begin"]["broker_log_bytes"] is None
    assert stored["begin"]["monotonic_ns"] < stored["end"]["monotonic_ns"]


def test_only_the_segments_of_the_run_are_counted(tmp_path: Path) -> None:
    for folder, size in (("r1-Pay-topic-0", 100), ("r1-Pay-topic-1", 20), ("other-0", 7)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "00000000000000000000.log").write_bytes(b"x" * size)
        (tmp_path / folder / "00000000000000000000.index").write_bytes(b"x" * 1000)
    assert log_bytes(tmp_path, "r1-") == 120
    assert log_bytes(tmp_path / "nowhere", "r1-") == 0


def test_a_database_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(RecordingFailed, match="could not read PostgreSQL's counters"):
        read_counters("host=127.0.0.1 port=1 user=nobody", "x-", [], {})
