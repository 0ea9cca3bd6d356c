"""Each table of a run, all columns, sorted by primary key → `<folder>/<service>.<table>.parquet`, from one database
snapshot.

The tables are found in the catalogue: every schema whose name begins with the run's prefix is a service. So a new
scenario needs no code.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
import pyarrow as pa
import pyarrow.csv
from psycopg import sql

from bench.recording.errors import RecordingFailed
from bench.recording.parquet import ROWS_A_GROUP, parquet_writer

BLOCK_BYTES: Final = 8 * 1024 * 1024

TYPES: Final = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "text": pa.string(),
}
"""PostgreSQL type → column type; any other type is recorded as PostgreSQL prints it."""

_PARSE: Final = pyarrow.csv.ParseOptions(newlines_in_values=True)


class Table(NamedTuple):
    """A table of a service; its schema is `<prefix><service>`."""

    service: str
    name: str


class Column(NamedTuple):
    """`key` is the column's place in the primary key, from 1; None outside of it."""

    name: str
    kind: str
    key: int | None


def tables_of(dsn: str, prefix: str) -> list[Table]:
    """All tables of a run, by service and name. Raises `RecordingFailed`."""
    with _snapshot(dsn) as db:
        return _tables(db, prefix)


def dump_tables(dsn: str, prefix: str, tables: Sequence[Table] | None, folder: Path) -> dict[Table, int]:
    """Write a file for each table (None = all that the run has); rows by table. A table without rows has a file with
    zero rows.

    Raises `RecordingFailed` when the database cannot be reached, dies, or has no such table; no partial file is left.
    """
    try:
        with _snapshot(dsn) as db:
            found = _tables(db, prefix)
            missing = [f"{table.service}.{table.name}" for table in tables or () if table not in found]
            if missing:
                raise RecordingFailed(f"no table {', '.join(missing)} under prefix {prefix!r}")
            return {table: _dump(db, prefix, table, folder) for table in (found if tables is None else tables)}
    except psycopg.Error as error:
        raise RecordingFailed(f"could not dump tables: {' '.join(str(error).split())}") from error


def _snapshot(dsn: str) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection whose statements all see one moment; sorts get memory enough to stay off the disk."""
    try:
        db = psycopg.connect(dsn, connect_timeout=10, options="-c work_mem=128MB -c jit=off -c timezone=UTC")
    except psycopg.Error as error:
        raise RecordingFailed(f"could not reach PostgreSQL: {' '.join(str(error).split())}") from error
    db.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    db.read_only = True
    return db


def _tables(db: psycopg.Connection[tuple[Any, ...]], prefix: str) -> list[Table]:
    rows = db.execute(
        """SELECT substr(n.nspname, length(%(prefix)s::text) + 1), c.relname
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND starts_with(n.nspname, %(prefix)s)
             AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%%'
           ORDER BY 1, 2""",
        {"prefix": prefix},
    )
    return [Table(*row) for row in rows]


def _columns(db: psycopg.Connection[tuple[Any, ...]], schema: str, name: str) -> list[Column]:
    rows = db.execute(
        """SELECT a.attname, format_type(a.atttypid, NULL), array_position(i.indkey::int2[], a.attnum) + 1
           FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
           LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
           WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum""",
        (schema, name),
    )
    return [Column(*row) for row in rows]


def _dump(db: psycopg.Connection[tuple[Any, ...]], prefix: str, table: Table, folder: Path) -> int:
    columns = _columns(db, prefix + table.service, table.name)
    schema = pa.schema([(column.name, TYPES.get(column.kind, pa.string())) for column in columns])
    query = _query(columns, sql.Identifier(prefix + table.service, table.name))
    options = pyarrow.csv.ConvertOptions(
        column_types=schema,
        null_values=[""],
        true_values=["t"],
        false_values=["f"],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    reading = pyarrow.csv.ReadOptions(column_names=schema.names, block_size=2 * BLOCK_BYTES)
    rows = 0
    with parquet_writer(folder / f"{table.service}.{table.name}.parquet", schema, plain=_keys(columns)) as writer:
        for block in _blocks(db, query):
            part = pyarrow.csv.read_csv(
                io.BytesIO(block), read_options=reading, parse_options=_PARSE, convert_options=options
            )
            writer.write_table(part, row_group_size=ROWS_A_GROUP)
            rows += part.num_rows
    return rows


def _keys(columns: Sequence[Column]) -> tuple[str, ...]:
    return tuple(column.name for column in columns if column.key is not None)


def _query(columns: Sequence[Column], name: sql.Identifier) -> sql.Composed:
    """COPY in the order of the primary key (of all columns without one), text compared as bytes so that every machine
    sorts alike.
    """
    keyed = [column for column in columns if column.key is not None] or columns
    order = [
        sql.SQL('{} COLLATE "C"').format(sql.Identifier(column.name))
        if column.kind in ("text", "character varying")
        else sql.Identifier(column.name)
        for column in sorted(keyed, key=lambda column: column.key or 0)
    ]
    return sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT (FORMAT csv)").format(
        sql.SQL(", ").join(sql.Identifier(column.name) for column in columns), name, sql.SQL(", ").join(order)
    )


def _blocks(db: psycopg.Connection[tuple[Any, ...]], query: sql.Composed) -> Iterator[bytes]:
    """Whole rows of CSV, about `BLOCK_BYTES` at a time: COPY hands out a row a message, so a block never ends inside
    one.
    """
    held: list[bytes | bytearray | memoryview] = []
    size = 0
    with db.cursor() as cursor, cursor.copy(query) as copy:
        for row in copy:
            held.append(row)
            size += len(row)
            if size >= BLOCK_BYTES:
                yield b"".join(held)
                held, size = [], 0
    if held:
        yield b"".join(held)
