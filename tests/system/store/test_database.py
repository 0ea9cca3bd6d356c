"""A transaction is all or nothing in as few round trips as its answers need, and says what was refused."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import InFailedSqlTransaction, UndefinedTable
from pytest_benchmark.fixture import BenchmarkFixture

from system.store.database import Database, Raced
from system.store.postgres import int_array, text_array
from tests.system.conftest import PREFIX

Open = Callable[[str], Database]
Trips = Callable[[], int]

ADD = "INSERT INTO users SELECT * FROM unnest(%s::text[], %s::bigint[])"
READ = "SELECT user_id, credit FROM users WHERE user_id = ANY(%s::text[]) ORDER BY user_id"


@pytest.fixture
def connection(schemas: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(schemas, autocommit=True, options=f'-c search_path="{PREFIX}pay"') as connection:
        yield connection


@pytest.fixture
def db(connection: psycopg.Connection[tuple[object, ...]]) -> Database:
    return Database(connection)


@pytest.fixture
def other(open_db: Open) -> Database:
    """Sees what is committed."""
    return open_db("pay")


@pytest.fixture
def trips(connection: psycopg.Connection[tuple[object, ...]], tmp_path: Path) -> Iterator[Trips]:
    """How often libpq has waited for the server, by its own trace of the wire."""
    path = tmp_path / "trace"
    with path.open("wb") as trace:

        def counted() -> int:
            connection.pgconn.untrace()  # Writes what it had in hand.
            connection.pgconn.trace(trace.fileno())
            return path.read_text(errors="replace").count("ReadyForQuery")

        connection.pgconn.trace(trace.fileno())
        yield counted
        connection.pgconn.untrace()


def transact(db: Database, *steps: Callable[[], object]) -> None:
    with db.transaction():
        for step in steps:
            step()


def add(db: Database, *names: str) -> None:
    db.later(ADD, (text_array(names), int_array([7] * len(names))))


def found(db: Database, *names: str) -> list[str]:
    return [row[0] for row in db.rows(READ, (text_array(names),))]


def test_what_nobody_waits_for_goes_out_with_the_commit(db: Database, other: Database, trips: Trips) -> None:
    with db.transaction():
        add(db, "a")
        add(db, "b")
        assert trips() == 0
        assert found(other, "a", "b") == []
    assert trips() == 1
    assert found(other, "a", "b") == ["a", "b"]


def test_an_answer_brings_begin_and_what_was_left_before_it(db: Database, other: Database, trips: Trips) -> None:
    with db.transaction():
        add(db, "a")
        assert db.rows(READ, (text_array(["a"]),)) == [("a", 7)]
        add(db, "b")
        assert found(other, "a") == []
    assert trips() == 2
    assert found(other, "a", "b") == ["a", "b"]


def test_a_transaction_without_a_statement_makes_no_trip(db: Database, trips: Trips) -> None:
    with db.transaction():
        pass
    assert trips() == 0


def test_a_statement_outside_a_transaction_is_its_own(db: Database, other: Database, trips: Trips) -> None:
    add(db, "a")
    assert found(db, "a") == found(other, "a") == ["a"]
    assert trips() == 2


def test_statements_of_psycopgs_own_way_are_part_of_the_transaction_and_in_order(db: Database, other: Database) -> None:
    with suppress(psycopg.Rollback), db.transaction():
        assert db.execute("SELECT count(*) FROM users").fetchone() == (0,)
        add(db, "a")
        assert db.execute("UPDATE users SET credit = %s RETURNING user_id", (3,), prepare=True).fetchall() == [("a",)]
        raise psycopg.Rollback
    with db.transaction():
        add(db, "b")
        assert db.execute("SELECT user_id FROM users").fetchall() == [("b",)]
    assert found(other, "a", "b") == ["b"]


def test_nothing_of_a_transaction_that_raises_stays(db: Database, other: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        transact(db, lambda: add(db, "a"), lambda: found(db, "a"), lambda: add(db, "b"), lambda: 1 // 0)
    assert found(db, "a", "b") == found(other, "a", "b") == []


def test_a_row_that_is_there_refuses_the_whole_batch_at_the_commit(db: Database, other: Database) -> None:
    add(other, "a")
    with pytest.raises(Raced):
        transact(db, lambda: add(db, "b"), lambda: add(db, "a"))
    assert found(db, "a", "b") == ["a"]


def test_a_transaction_in_which_something_was_refused_does_not_pass_for_committed(db: Database) -> None:
    add(db, "a")

    def swallowed() -> None:
        with suppress(Raced):
            db.rows(ADD + " RETURNING user_id", (text_array(["a"]), int_array([7])))

    with pytest.raises(InFailedSqlTransaction):
        transact(db, lambda: add(db, "b"), swallowed)
    assert found(db, "a", "b") == ["a"]


def test_what_a_savepoint_undoes_leaves_the_rest(db: Database, other: Database) -> None:
    add(other, "a")
    with db.transaction():
        add(db, "b")
        with suppress(Raced), db.transaction():
            add(db, "c")
            add(db, "a")
        add(db, "d")
        with suppress(ZeroDivisionError), db.transaction():
            _ = 1 // 0
        with db.transaction():
            add(db, "e")
    assert found(other, "a", "b", "c", "d", "e") == ["a", "b", "d", "e"]


def test_a_savepoint_undoes_what_was_kept_inside_it(db: Database, other: Database) -> None:
    with db.transaction():
        add(db, "a")
        with suppress(ZeroDivisionError), db.transaction():
            add(db, "b")
            with suppress(ZeroDivisionError), db.transaction():
                add(db, "c")
                _ = 1 // 0
            with db.transaction():
                add(db, "d")
            _ = 1 // 0
    assert found(other, "a", "b", "c", "d") == ["a"]


def test_a_refused_statement_is_named_and_the_connection_goes_on(db: Database) -> None:
    for _ in range(2):
        with pytest.raises(UndefinedTable, match="nobody"):
            transact(db, lambda: add(db, "a"), lambda: db.rows("SELECT * FROM nobody WHERE name = %s::text", ("x",)))
    add(db, "a")
    assert found(db, "a") == ["a"]


def test_a_server_that_goes_is_an_operational_error(db: Database, other: Database) -> None:
    pid = db.execute("SELECT pg_backend_pid()").fetchone()
    end = "SELECT pg_terminate_backend(%s, 10000)"
    with pytest.raises(psycopg.OperationalError):
        transact(db, lambda: found(db, "a"), lambda: other.execute(end, pid or ()), lambda: add(db, "a"))
    with pytest.raises(psycopg.OperationalError):
        found(db, "a")
    assert found(other, "a") == []


def test_megabytes_in_both_directions_at_once_are_no_standstill(db: Database) -> None:
    """The server answers the first before it has read the last, and nobody may wait for the other."""
    text = "x" * 8_000_000
    answers: list[list[tuple[object, ...]]] = []

    def asking() -> None:
        with db.transaction():
            for _ in range(3):
                db.later("SELECT %s::text", (text,))
            answers.append(db.rows("SELECT %s::text", (text,)))

    thread = threading.Thread(target=asking, daemon=True)
    thread.start()
    thread.join(60)
    assert answers == [[(text,)]]


@pytest.mark.parametrize("way", ["database", "psycopg"])
def test_a_small_batch(
    benchmark: BenchmarkFixture, way: str, db: Database, connection: psycopg.Connection[tuple[object, ...]]
) -> None:
    """The ratio of the two is what `Database` is there for: two statements, of which one is answered."""
    add(db, "a")
    db.execute("SET synchronous_commit = off")  # The disk takes longer than either way.
    update = (
        "UPDATE users SET credit = credit + v.n FROM unnest(%s::text[], %s::bigint[]) v(id, n) WHERE user_id = v.id"
    )
    columns = (text_array(["a"]), int_array([1]))

    def ours() -> None:
        with db.transaction():
            db.rows(READ, columns[:1])
            db.later(update, columns)

    def psycopgs() -> None:
        with connection.transaction():
            connection.execute(READ, columns[:1], prepare=True).fetchall()
            connection.execute(update, columns, prepare=True)

    benchmark(ours if way == "database" else psycopgs)
    assert db.rows("SELECT credit > 7 FROM users WHERE user_id = %s::text", ("a",)) == [(True,)]
