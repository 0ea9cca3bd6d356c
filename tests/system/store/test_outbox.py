"""The outbox gives back what was put into it, byte for byte and in order, to the owner of the source alone."""

from collections.abc import Callable
from contextlib import suppress

import psycopg
import pytest

from system.kafka.batch import Outgoing
from system.store.outbox import by_source, delete, put, read
from system.store.postgres import Transaction

Open = Callable[[str], Transaction]


@pytest.fixture
def db(open_db: Open) -> Transaction:
    return open_db("pay")


FIRST = Outgoing("A", ["k_1", "k_2"], [b'["a", 1.0]', '["é\\"\\n\\\\"]'.encode()])
SECOND = Outgoing("B", ["k_1"], [b"{}"])


def test_rows_come_back_as_they_were_put_in_their_order(db: Transaction) -> None:
    stored = put([("in/0", FIRST), ("in/1", FIRST), ("in/0", SECOND)], db)
    assert [row.outgoing for row in stored] == [FIRST, FIRST, SECOND]
    assert read(["in/0"], db, rows_max=10) == [stored[0], stored[2]]
    assert read(["in/1", "in/0"], db, rows_max=2) == stored[:2]
    assert read([], db, rows_max=10) == []


def test_a_deleted_row_is_gone_and_deleting_again_is_no_matter(db: Transaction) -> None:
    first, second = put([("in/0", FIRST), ("in/0", SECOND)], db)
    delete([first.sequence], db)
    delete([first.sequence, 10**12], db)
    assert read(["in/0"], db, rows_max=10) == [second]


def test_rows_are_part_of_the_callers_transaction(db: Transaction) -> None:
    with suppress(psycopg.Rollback), db.transaction():
        put([("in/0", FIRST)], db)
        assert read(["in/0"], db, rows_max=10)
        raise psycopg.Rollback
    assert read(["in/0"], db, rows_max=10) == []


@pytest.mark.parametrize("outgoing", [Outgoing("A", ["k\n"], [b"1"]), Outgoing("A", ["k"], [b"[1,\n2]"])])
def test_a_record_of_more_than_one_line_is_refused(db: Transaction, outgoing: Outgoing) -> None:
    with pytest.raises(ValueError, match="a record for A has a line break"):
        put([("in/0", outgoing)], db)
    assert read(["in/0"], db, rows_max=10) == []


def test_records_are_split_by_the_source_of_their_key_and_keep_their_order() -> None:
    outgoing = Outgoing("A", ["x", "y", "x", "z"], [b"1", b"2", b"3", b"4"])
    blocks = by_source([outgoing, SECOND], {"x": "in/0", "y": "in/1"}, otherwise="in/1")
    assert blocks == [
        ("in/0", Outgoing("A", ["x", "x"], [b"1", b"3"])),
        ("in/1", Outgoing("A", ["y", "z"], [b"2", b"4"])),
        ("in/1", SECOND),
    ]


def test_the_tables_refuse_a_row_without_a_source(db: Transaction) -> None:
    with pytest.raises(psycopg.errors.NotNullViolation):
        db.execute("INSERT INTO outbox (topic, record_keys, record_values) VALUES ('A', '', '')")
