"""Connections to PostgreSQL, and arrays that cost a fifth of what a list costs to send.

A list parameter is adapted element by element (2.7 µs of client CPU a row of four columns, against 0.26 µs for literals
that `str.join` built), so statements take one text literal a column and cast it: `unnest(%s::text[], %s::int[])`.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import LiteralString

import psycopg

from system.store.database import Database, Row

PATIENCE_S = 60.0
"""So long a server that is gone is waited for: after a crash it replays its log, about ten seconds a gigabyte."""

Transaction = Database
"""What handlers see of it: `rows`, `later` and `execute` inside the caller's transaction."""

_SESSION: tuple[LiteralString, ...] = (
    # Statements are prepared once, while the tables are still empty. Their plans must stay index look-ups driven by the
    # sorted input: a sequential scan or a hash of a table that has meanwhile grown to millions of rows is fatal, and
    # rows are locked in the order of the input, so that two workers do not deadlock.
    "SET enable_seqscan = off",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
    "SET enable_bitmapscan = off",
    "SET jit = off",
    "SET plan_cache_mode = force_generic_plan",
)


def connect(dsn: str, *, schema: str, name: str, idle_timeout_ms: int = 0) -> Transaction:
    """A connection that sees only `schema`. `idle_timeout_ms` ends a transaction whose process was stopped (0 =
    never).
    """
    connection: psycopg.Connection[Row] = psycopg.connect(
        dsn, application_name=name, connect_timeout=10, autocommit=True
    )
    for setting in _SESSION:
        connection.execute(setting)
    connection.execute("SELECT set_config('search_path', %s, false)", (f'"{schema}"',))
    connection.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, false)", (str(idle_timeout_ms),))
    return Database(connection)


def patiently(open_it: Callable[[], Transaction], *, given_up: Callable[[], bool]) -> Transaction:
    """A connection to a server that may be on its way back from a crash. Raises psycopg.OperationalError when it has
    not answered within `PATIENCE_S`, or when `given_up()`.
    """
    deadline_s, pause_s = time.monotonic() + PATIENCE_S, 0.05
    never = threading.Event()
    while True:
        try:
            return open_it()
        except psycopg.OperationalError:
            if given_up() or time.monotonic() + pause_s > deadline_s:
                raise
            never.wait(pause_s)
            pause_s = min(2 * pause_s, 1.0)


def text_array(values: Sequence[str]) -> str:
    """A literal of `text[]`; quotes and backslashes are escaped, and the four letters NULL stay a text."""
    if not values:
        return "{}"
    joined = '{"' + '","'.join(values) + '"}'
    if "\\" in joined or joined.count('"') != 2 * len(values):
        escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
        joined = '{"' + '","'.join(escaped) + '"}'
    return joined


def nullable_text_array(values: Sequence[str | None]) -> str:
    """A literal of `text[]` in which None is NULL."""
    if None not in values:
        return text_array([value for value in values if value is not None])
    return "{" + ",".join(["NULL" if value is None else text_array([value])[1:-1] for value in values]) + "}"


def int_array(values: Iterable[int | None]) -> str:
    """A literal of `int[]` or `bigint[]`; None is NULL."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def bool_array(values: Iterable[bool]) -> str:
    """A literal of `boolean[]`."""
    return "{" + ",".join(["t" if value else "f" for value in values]) + "}"
