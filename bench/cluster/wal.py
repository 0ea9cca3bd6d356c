"""Write-ahead log for a run, laid out before it: as a server has it that has run for a while.

A new server has one segment. Each further one it makes in the middle of somebody's commit: 16 MiB of zeros and an
fsync, for which every other commit waits (30 to 60 ms, nearly once a second at 10,000 sagas a second). A server that
has been through a checkpoint renames segments that it needs no more and writes over them. Source: PostgreSQL's
documentation, *WAL Configuration* (`min_wal_size`, `wal_recycle`).
"""

from typing import Final, LiteralString

import psycopg

from bench.cluster.errors import ServerUnavailable

SEGMENTS_MAX: Final = 256
"""4 GiB, which is what `max_wal_size` lets a server write between two checkpoints; then it recycles by itself."""

_ROOM: Final[LiteralString] = """
    SELECT pg_size_bytes(current_setting('wal_segment_size')), pg_size_bytes(current_setting('min_wal_size'))"""

_NEXT: Final[LiteralString] = "SELECT pg_switch_wal() FROM pg_logical_emit_message(false, 'choreobench', 'next')"
"""A switch where nothing was written since the last one would do nothing."""


def segments_for(expected_bytes: int, *, segment_bytes: int, kept_bytes: int) -> int:
    """How many segments to lay out: what is expected and one more, as far as a checkpoint keeps them."""
    return min(expected_bytes // segment_bytes + 2, kept_bytes // segment_bytes, SEGMENTS_MAX)


def lay_out(dsn: str, *, expected_bytes: int) -> int:
    """Writes through as many segments as `expected_bytes` will fill, and recycles them; how many. 20 to 40 ms each.

    Before tables are filled: the first change of a page behind a checkpoint logs the whole page. Raises
    `ServerUnavailable`, also for a user who is no superuser.
    """
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
            row = connection.execute(_ROOM).fetchone()
            assert row is not None
            count = segments_for(expected_bytes, segment_bytes=row[0], kept_bytes=row[1])
            for _ in range(count):
                connection.execute(_NEXT)
            connection.execute("CHECKPOINT")
    except psycopg.Error as error:
        raise ServerUnavailable(f"PostgreSQL's log could not be laid out: {str(error).splitlines()[0]}") from None
    return count
