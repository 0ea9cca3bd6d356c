"""Quiescence: no group has a visible record at or above its committed offset, and every outbox is empty, for some
seconds together.

Committed below the end proves nothing by itself: the last offsets of a partition may be control records or aborted
ones, which no committed offset passes, so the tail is read. Source: spec/README.md, *Quiescence*, and invariant L7.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import psycopg
from psycopg import sql

from bench.recording.errors import RecordingFailed
from bench.recording.positions import REQUEST_S, Asker, Client, Position, positions_of
from bench.recording.reader import open_consumer, read_partition
from bench.recording.tables import tables_of
from bench.waiting import DeadlineExceeded, wait_until
from system.kafka.column_consumer import ColumnConsumer


def is_drained(client: Client, groups: Mapping[str, Sequence[str]], *, deadline_s: float = 10.0) -> bool:
    """Whether nothing visible is left for any group (full group name → full topics). Raises `RecordingFailed`."""
    positions = positions_of(Asker(client), groups, deadline_s=deadline_s)
    return not undrained(client, positions, stall_s=deadline_s)


def undrained(client: Client, positions: Sequence[Position], *, stall_s: float = 10.0) -> list[Position]:
    """Those positions that have a visible record at or above committed; reads only tails that exist, and only to the
    first record.
    """
    tails = [one for one in positions if max(one.committed, 0) < one.end]
    if not tails:
        return []
    consumer = open_consumer(client)
    try:
        return [one for one in tails if _has_visible(consumer, one, stall_s)]
    finally:
        consumer.close()


def _has_visible(consumer: ColumnConsumer, position: Position, stall_s: float) -> bool:
    begin = max(position.committed, 0)
    batches = read_partition(
        consumer, position.topic, position.partition, begin=begin, end=position.end, stall_s=stall_s
    )
    return any(len(records) for records in batches)


def await_quiescence(
    client: Client,
    groups: Mapping[str, Sequence[str]],
    *,
    deadline_s: float,
    quiet_s: float = 2.0,
    also: Callable[[], bool] = lambda: True,
) -> list[Position]:
    """Wait until every group has been drained, no end has moved and `also()` has held (outboxes empty) for `quiet_s`
    on end.

    The positions at the end of the wait. Raises `DeadlineExceeded`, which names what is left, and `RecordingFailed`
    when a broker does not answer.
    """
    asker = Asker(client)
    quiet_since: list[float] = []
    latest: list[Position] = []

    def quiet() -> bool:
        positions = positions_of(asker, groups, deadline_s=min(REQUEST_S, deadline_s))
        moved = positions != latest
        latest[:] = positions
        # The tail is read only when nothing has moved since the last look: a busy partition is not drained anyway.
        if moved or not also() or undrained(client, positions):
            quiet_since.clear()
            return False
        quiet_since.append(time.monotonic())
        return quiet_since[-1] - quiet_since[0] >= quiet_s

    try:
        wait_until(quiet, deadline_s=deadline_s, why="quiescence", poll_s=0.1)
    except DeadlineExceeded as error:
        raise DeadlineExceeded(f"{error}: {_left(undrained(client, latest))}") from error
    return latest


def outboxes_are_empty(dsn: str, prefix: str) -> bool:
    """Whether no service of a run has anything left that its relay must publish. Raises `RecordingFailed`."""
    try:
        with psycopg.connect(dsn, connect_timeout=10) as db:
            schemas = [one.service for one in tables_of(dsn, prefix) if one.name == "outbox"]
            names = [sql.Identifier(prefix + schema, "outbox") for schema in schemas]
            looks = [sql.SQL("EXISTS (SELECT FROM {})").format(name) for name in names]
            row = db.execute(sql.SQL("SELECT ") + sql.SQL(" OR ").join([*looks, sql.SQL("false")])).fetchone()
            return row == (False,)
    except psycopg.Error as error:
        raise RecordingFailed(f"could not look into the outboxes: {' '.join(str(error).split())}") from error


def _left(positions: Sequence[Position]) -> str:
    if not positions:
        return "nothing is left to read, but it has not been quiet, with every outbox empty, for long enough"
    shown = ", ".join(
        f"{one.group} has read {one.topic}[{one.partition}] to {max(one.committed, 0)} of {one.end}"
        for one in positions[:4]
    )
    return shown + (f" and {len(positions) - 4} more" if len(positions) > 4 else "")
