from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from bench.recording.errors import RecordingFailed
from bench.recording.tables import Table, dump_tables, tables_of


@pytest.fixture
def db(dsn: str, prefix: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for service in ("order", "pay"):
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(prefix + service)))
        yield connection


def test_tables_are_found_by_the_prefix_of_their_schema(
    db: psycopg.Connection[tuple[object, ...]], dsn: str, prefix: str, tmp_path: Path
) -> None:
    db.execute(f'CREATE TABLE "{prefix}order".orders (order_id text PRIMARY KEY)'.encode())
    db.execute(f'CREATE TABLE "{prefix}pay".users (user_id text PRIMARY KEY)'.encode())
    db.execute(f'CREATE VIEW "{prefix}pay".rich AS SELECT * FROM "{prefix}pay".users'.encode())
    assert tables_of(dsn, prefix) == [Table("order", "orders"), Table("pay", "users")]
    assert tables_of(dsn, f"{prefix}nothing-") == []
    assert dump_tables(dsn, prefix, None, tmp_path) == {Table("order", "orders"): 0, Table("pay", "users"): 0}
    assert {path.name for path in tmp_path.iterdir()} == {"order.orders.parquet", "pay.users.parquet"}


def test_rows_are_sorted_by_primary_key_as_bytes_with_natural_types(
    db: psycopg.Connection[tuple[object, ...]], dsn: str, prefix: str, tmp_path: Path
) -> None:
    db.execute(
        f"""CREATE TABLE "{prefix}pay".inbox (was_rollback boolean, outcome text, tr integer, order_id text,
            balance_after bigint, PRIMARY KEY (order_id, tr, was_rollback))""".encode()
    )
    db.execute(
        f"""INSERT INTO "{prefix}pay".inbox VALUES (true, 'canok', 1, 'b', 5), (false, 'pfail', 1, 'b', NULL),
            (false, 'psuccess', 10, 'B', 0), (false, 'psuccess', 2, 'B', 9007199254740993),
            (false, 'x', 1, 'ä', -1)""".encode()
    )
    dump_tables(dsn, prefix, [Table("pay", "inbox")], tmp_path)
    table = pq.read_table(tmp_path / "pay.inbox.parquet")
    assert table.schema.equals(
        pa.schema(
            [
                ("was_rollback", pa.bool_()),
                ("outcome", pa.string()),
                ("tr", pa.int32()),
                ("order_id", pa.string()),
                ("balance_after", pa.int64()),
            ]
        )
    )
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (False, "psuccess", 2, "B", 9007199254740993),
        (False, "psuccess", 10, "B", 0),
        (False, "pfail", 1, "b", None),
        (True, "canok", 1, "b", 5),
        (False, "x", 1, "ä", -1),
    ]


def test_text_is_kept_whatever_it_holds(
    db: psycopg.Connection[tuple[object, ...]], dsn: str, prefix: str, tmp_path: Path
) -> None:
    texts = ["", None, "NULL", "\\N", 'a "quoted", text', "two\nlines\r\n", "t", "12", "ü☃"]
    db.execute(f'CREATE TABLE "{prefix}order".odd (number integer PRIMARY KEY, text text, price numeric)'.encode())
    for number, text in enumerate(texts):
        db.execute(f'INSERT INTO "{prefix}order".odd VALUES (%s, %s, 1.50)'.encode(), (number, text))
    dump_tables(dsn, prefix, None, tmp_path)
    table = pq.read_table(tmp_path / "order.odd.parquet")
    assert table["text"].to_pylist() == texts
    assert table["price"].to_pylist() == ["1.50"] * len(texts)


def test_an_empty_table_has_zero_rows_and_its_schema(
    db: psycopg.Connection[tuple[object, ...]], dsn: str, prefix: str, tmp_path: Path
) -> None:
    db.execute(f'CREATE TABLE "{prefix}pay".users (user_id text PRIMARY KEY, credit bigint)'.encode())
    dump_tables(dsn, prefix, None, tmp_path)
    table = pq.read_table(tmp_path / "pay.users.parquet")
    assert table.num_rows == 0
    assert table.schema.equals(pa.schema([("user_id", pa.string()), ("credit", pa.int64())]))


def test_many_blocks_are_one_sorted_file(
    db: psycopg.Connection[tuple[object, ...]],
    dsn: str,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.recording.tables.BLOCK_BYTES", 1000)
    db.execute(f'CREATE TABLE "{prefix}pay".users (user_id text PRIMARY KEY, credit bigint)'.encode())
    db.execute(f'INSERT INTO "{prefix}pay".users SELECT n::text, n FROM generate_series(0, 4999) n'.encode())
    assert dump_tables(dsn, prefix, None, tmp_path) == {Table("pay", "users"): 5000}
    table = pq.read_table(tmp_path / "pay.users.parquet")
    assert table["user_id"].to_pylist() == sorted(str(number) for number in range(5000))
    assert [str(number) for number in table["credit"].to_pylist()] == table["user_id"].to_pylist()


def test_a_table_without_a_primary_key_is_sorted_by_all_columns(
    db: psycopg.Connection[tuple[object, ...]], dsn: str, prefix: str, tmp_path: Path
) -> None:
    db.execute(f'CREATE TABLE "{prefix}pay".log (b text, a integer)'.encode())
    db.execute(f"""INSERT INTO "{prefix}pay".log VALUES ('y', 1), ('x', 2), ('x', 1)""".encode())
    dump_tables(dsn, prefix, None, tmp_path)
    rows = pq.read_table(tmp_path / "pay.log.parquet").to_pylist()
    assert [(row["b"], row["a"]) for row in rows] == [("x", 1), ("x", 2), ("y", 1)]


def test_a_missing_table_is_named_and_leaves_no_file(
    db: psycopg.Connection[tuple[object, ...]], dsn: str, prefix: str, tmp_path: Path
) -> None:
    assert db.info.dbname
    with pytest.raises(RecordingFailed, match=r"no table pay\.nowhere"):
        dump_tables(dsn, prefix, [Table("pay", "nowhere")], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(RecordingFailed, match="could not reach PostgreSQL") as caught:
        dump_tables("host=127.0.0.1 port=1 user=nobody", "x-", None, tmp_path)
    assert "\n" not in str(caught.value)
