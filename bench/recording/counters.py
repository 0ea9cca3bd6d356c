"""What a stretch of a run cost: cumulative counters read at its begin and at its end → `counters.json`.

WAL is counted by the log position, which every backend moves at once (`pg_stat_wal` lags a second behind); fsyncs
come from `pg_stat_io`, up to a second late, or from `pg_stat_wal` before PostgreSQL 18. Both count the whole server.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import psycopg

from bench.recording.errors import RecordingFailed


@dataclass(frozen=True)
class Counters:
    """Cumulative; None = not readable here (a foreign broker's disk, a statistic that the server does not keep)."""

    monotonic_ns: int
    postgres_wal_bytes: int | None
    postgres_fsyncs: int | None
    postgres_wal_segments_made: int | None
    broker_log_bytes: int | None
    written_back_bytes: int | None
    cpu_s: Mapping[str, float]


def read_counters(
    dsn: str,
    prefix: str,
    broker_folders: Sequence[Path],
    cpu_s: Mapping[str, float],
    *,
    written_back_bytes: int | None = None,
) -> Counters:
    """All counters now; `cpu_s` as the sampler knows it. Raises `RecordingFailed` when PostgreSQL does not answer."""
    try:
        with psycopg.connect(dsn, connect_timeout=10, autocommit=True) as db:
            wal = _number(db, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
            fsyncs, made = _fsyncs(db), _segments_made(db)
    except psycopg.Error as error:
        raise RecordingFailed(f"could not read PostgreSQL's counters: {' '.join(str(error).split())}") from error
    log = sum(map(log_bytes, broker_folders, [prefix] * len(broker_folders))) if broker_folders else None
    return Counters(time.monotonic_ns(), wal, fsyncs, made, log, written_back_bytes, dict(cpu_s))


def write_counters(run_folder: Path, begin: Counters, end: Counters) -> None:
    """`counters.json`: {"begin": {…}, "end": {…}}."""
    content = {"begin": asdict(begin), "end": asdict(end)}
    (run_folder / "counters.json").write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))


def log_bytes(folder: Path, prefix: str) -> int:
    """Bytes of the segments of a run's topics in one broker's log folder, replicas included as they are on this
    broker's disk.
    """
    total = 0
    for segment in folder.rglob("*.log"):
        topic = segment.parent.name
        # A deleted topic's segments stay for a minute, under its name with an ending.
        if topic.startswith(prefix) and not topic.endswith("-delete"):
            with suppress(FileNotFoundError):  # A segment may be deleted between the listing and the look.
                total += segment.stat().st_size
    return total


def _fsyncs(db: psycopg.Connection[tuple[object, ...]]) -> int | None:
    relations = _number(db, "SELECT sum(fsyncs)::bigint FROM pg_stat_io") if db.info.server_version >= 160000 else None
    if db.info.server_version >= 180000:
        return relations
    wal = _number(db, "SELECT wal_sync FROM pg_stat_wal") if db.info.server_version >= 140000 else None
    return None if wal is None else wal + (relations or 0)


def _segments_made(db: psycopg.Connection[tuple[object, ...]]) -> int | None:
    """WAL segments filled with zeros, each in the middle of a commit; PostgreSQL counts them since 18."""
    if db.info.server_version < 180000:
        return None
    made = "SELECT coalesce(sum(writes), 0)::bigint FROM pg_stat_io WHERE object = 'wal' AND context = 'init'"
    return _number(db, made)


def _number(db: psycopg.Connection[tuple[object, ...]], query: str) -> int | None:
    row = db.execute(query.encode()).fetchone()
    return int(str(row[0])) if row and row[0] is not None else None
