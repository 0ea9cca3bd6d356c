"""Puts the population of a run into its tables: columns become COPY text without a Python object a row.

Loaded with FREEZE into tables truncated in the same transaction, so that no later reader has to set a hint bit and no
vacuum has to follow; the planner gets its statistics at the end.
"""

from collections.abc import Callable, Iterator
from typing import Final, LiteralString

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from psycopg import sql

from bench.scenarios.checkout.client import workload_of
from bench.scenarios.checkout.knobs import parse_knobs
from bench.scenarios.checkout.population import Population
from bench.spec import RunSpec

_ROWS_A_CHUNK: Final = 65_536
_TABLES: Final[dict[tuple[str, str], LiteralString]] = {
    ("pay", "users"): "user_id, credit",
    ("stock", "items"): "item_id, stock, price",
    ("order", "orders"): "order_id, user_id, items, amount",
}
"""(Service, table) → the columns that are seeded; the others have their defaults."""


_EARLIER: Final[dict[str, LiteralString]] = {"pay": "'psuccess', 0", "stock": "'ssuccess', '[]'"}
"""Service → outcome and balance of the inbox rows that stand there before the first saga."""


def seed_tables(spec: RunSpec) -> None:
    """Fills the tables of a run with its population, and the inboxes with earlier sagas. Raises as `fill` does."""
    population = workload_of(spec).population
    fill(population, dsn=spec.dsn, prefix=spec.prefix)
    rows = parse_knobs(spec.settings).inbox_rows
    if rows:
        fill_inboxes(rows, orders=population.orders, dsn=spec.dsn, prefix=spec.prefix)


def fill_inboxes(rows: int, *, orders: int, dsn: str, prefix: str) -> None:
    """Puts `rows` of earlier sagas into the two inboxes: of the same orders, so that new rows fall between them, with
    tr# 0 and below, which no saga of the run has. Raises `psycopg.Error` as `fill` does.
    """
    each = -(-rows // len(_EARLIER))
    with psycopg.connect(dsn, autocommit=True) as connection:
        for service, stored in _EARLIER.items():
            table = sql.Identifier(prefix + service, "inbox")
            # In the order of the key, which is how an index is filled fastest.
            connection.execute(
                sql.SQL(
                    """INSERT INTO {} SELECT id::text, -lap, false, {} FROM generate_series(0, %s) id,
                       generate_series(0, %s) lap ORDER BY id::text COLLATE "C", -lap LIMIT %s"""
                ).format(table, sql.SQL(stored)),
                (orders - 1, each // orders, each),
            )
            connection.execute(sql.SQL("VACUUM (FREEZE, ANALYZE) {}").format(table))


def fill(population: Population, *, dsn: str, prefix: str) -> None:
    """Fills `users`, `items` and `orders` of the run's schemas, which exist, and replaces what was in them.

    Raises `psycopg.Error` where the schemas do not exist or the database is not there.
    """
    rows = {
        ("pay", "users"): _chunks(len(population.credit), lambda part: _users(population, part)),
        ("stock", "items"): _chunks(len(population.stock), lambda part: _items(population, part)),
        ("order", "orders"): _chunks(population.orders, lambda part: _orders(population, part)),
    }
    with psycopg.connect(dsn, autocommit=True) as connection:
        for (service, name), columns in _TABLES.items():
            table = sql.Identifier(prefix + service, name)
            _load(connection, table, columns, rows[service, name])
            connection.execute(sql.SQL("ANALYZE {}").format(table))


def _load(connection: psycopg.Connection, table: sql.Identifier, columns: LiteralString, rows: Iterator[bytes]) -> None:
    copy = sql.SQL("COPY {} ({}) FROM STDIN WITH (FREEZE)").format(table, sql.SQL(columns))
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(sql.SQL("TRUNCATE {}").format(table))
        with cursor.copy(copy) as sink:
            for chunk in rows:
                sink.write(chunk)


def items_json(population: Population, part: slice) -> pa.Array:
    """The lines of each order of `part` as JSON text: `[["12",1],["77",2]]`."""
    first, last = int(population.offsets[part.start]), int(population.offsets[part.stop])
    item = pc.cast(pa.array(population.line_item[first:last]), pa.string())
    quantity = pc.cast(pa.array(population.line_quantity[first:last]), pa.string())
    line = pc.binary_join_element_wise('["', item, '",', quantity, "]", "")
    offsets = pa.array((population.offsets[part.start : part.stop + 1] - first).astype(np.int32))
    joined = pc.binary_join(pa.ListArray.from_arrays(offsets, line), ",")
    return pc.binary_join_element_wise("[", joined, "]", "")


def _users(population: Population, part: slice) -> bytes:
    return _text(_ids(part), _numbers(population.credit[part]))


def _items(population: Population, part: slice) -> bytes:
    return _text(_ids(part), _numbers(population.stock[part]), _numbers(population.price[part]))


def _orders(population: Population, part: slice) -> bytes:
    user, amount = _numbers(population.order_user[part]), _numbers(population.amount[part])
    return _text(_ids(part), user, items_json(population, part), amount)


def _chunks(rows: int, text: Callable[[slice], bytes]) -> Iterator[bytes]:
    for first in range(0, rows, _ROWS_A_CHUNK):
        yield text(slice(first, min(rows, first + _ROWS_A_CHUNK)))


def _ids(part: slice) -> pa.Array:
    return _numbers(np.arange(part.start, part.stop))


def _numbers(column: NDArray[np.int64]) -> pa.Array:
    return pc.cast(pa.array(column), pa.string())


def _text(*columns: pa.Array) -> bytes:
    """Rows of COPY's text format; none of our values has a tab, a newline or a backslash, so nothing needs escaping."""
    rows = pc.binary_join_element_wise(*columns, "\t")
    lines = pc.binary_join_element_wise(rows, "\n", "")
    _, offsets, data = lines.buffers()
    size = int(np.frombuffer(offsets, np.int32)[len(lines)])
    return memoryview(data)[:size].tobytes()
