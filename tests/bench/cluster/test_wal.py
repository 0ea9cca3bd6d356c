"""The write-ahead log is laid out before a run: no commit under load waits for a new segment."""

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cluster.endpoints import Endpoints
from bench.cluster.errors import ServerUnavailable
from bench.cluster.wal import SEGMENTS_MAX, lay_out, segments_for

MIB = 2**20
AHEAD = "SELECT count(*) FROM pg_ls_waldir() WHERE name > pg_walfile_name(pg_current_wal_insert_lsn())"
HERE = "SELECT pg_walfile_name(pg_current_wal_insert_lsn())"
"""Where the next byte goes; what is *written* lags behind, as nobody waits for such a message."""
WRITE = "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1048576))"


def one(db: psycopg.Connection[tuple[object, ...]], query: str) -> object:
    row = db.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def test_what_is_expected_is_written_over_segments_that_were_there(cluster: Endpoints) -> None:
    assert lay_out(cluster.dsn, expected_bytes=40 * MIB) == 4
    with psycopg.connect(cluster.dsn, autocommit=True) as db:
        there = {row[0] for row in db.execute("SELECT name FROM pg_ls_waldir()")}
        used = set()
        for _ in range(40):
            db.execute(WRITE)
            used.add(one(db, HERE))
        assert len(used) >= 3
        assert used <= there


def test_segments_laid_out_stand_ahead_of_the_log(cluster: Endpoints) -> None:
    lay_out(cluster.dsn, expected_bytes=100 * MIB)
    with psycopg.connect(cluster.dsn, autocommit=True) as db:
        assert int(str(one(db, AHEAD))) >= 7


def test_a_user_who_may_not_switch_is_refused_in_one_line(cluster: Endpoints, prefix: str) -> None:
    role = prefix + "nobody"
    with psycopg.connect(cluster.dsn, autocommit=True) as db:
        db.execute(f'CREATE ROLE "{role}" LOGIN'.encode())
        try:
            with pytest.raises(ServerUnavailable, match="could not be laid out: permission denied"):
                lay_out(cluster.dsn.replace("user=postgres", f"user={role}"), expected_bytes=1)
        finally:
            db.execute(f'DROP ROLE "{role}"'.encode())


@given(st.integers(0, 2**50), st.integers(1, 2**30), st.integers(0, 2**40))
def test_no_more_segments_are_laid_out_than_a_checkpoint_keeps(expected: int, segment: int, kept: int) -> None:
    count = segments_for(expected, segment_bytes=segment, kept_bytes=kept)
    assert 0 <= count <= min(SEGMENTS_MAX, kept // segment)
    assert count * segment > expected or count in (SEGMENTS_MAX, kept // segment)
