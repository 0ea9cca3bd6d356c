"""The stock handler: all items of an order or none, and back only what was taken."""

from collections.abc import Callable
from contextlib import suppress

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from system.checkout.contract import STOCK
from system.checkout.stock import stock
from system.kafka.batch import Batch
from system.store.postgres import Transaction

Open = Callable[[str], Transaction]
Lines = list[list[object]]


def batch(*commands: tuple[str, str, Lines], prior: tuple[str | None, ...] = ()) -> Batch:
    keys = [(order, 1) for order, _, _ in commands]
    values = [[kind, lines] for _, kind, lines in commands]
    return Batch(STOCK, [0] * len(commands), list(range(len(commands))), keys, values, prior=prior)


@pytest.fixture
def db(open_db: Open) -> Transaction:
    connection = open_db("stock")
    connection.execute("INSERT INTO items VALUES ('a', 10, 1), ('b', 1, 1)")
    return connection


def left(db: Transaction) -> dict[str, int]:
    return dict(db.execute("SELECT item_id, stock FROM items").fetchall())


def test_an_order_that_fails_for_one_item_leaves_the_others_to_the_next(db: Transaction) -> None:
    answer = stock(batch(("1", "decrement", [["a", 9], ["b", 2]]), ("2", "decrement", [["a", 10]])), db)
    assert answer.outcomes == ["sfail", "ssuccess"]
    assert answer.balances_after == ["[10,1]", "[0]"]
    assert left(db) == {"a": 0, "b": 1}


def test_the_last_unit_is_sold_once(db: Transaction) -> None:
    answer = stock(batch(("1", "decrement", [["b", 1]]), ("2", "decrement", [["b", 1]])), db)
    assert answer.outcomes == ["ssuccess", "sfail"]


def test_an_unknown_item_fails_the_order(db: Transaction) -> None:
    answer = stock(batch(("1", "decrement", [["a", 1], ["nothing", 1]])), db)
    assert answer.outcomes == ["sfail"]
    assert answer.balances_after == ["[10,null]"]
    assert left(db)["a"] == 10


def test_an_increment_puts_back_only_what_was_taken(db: Transaction) -> None:
    commands = batch(("1", "increment", [["a", 3]]), ("2", "increment", [["a", 3]]), prior=("ssuccess", "sfail"))
    assert stock(commands, db).outcomes == ["incok", "incok"]
    assert left(db)["a"] == 13


def test_an_order_without_items_always_succeeds(db: Transaction) -> None:
    assert stock(batch(("1", "decrement", [])), db).outcomes == ["ssuccess"]


def test_a_decrement_and_its_increment_in_one_batch_leave_nothing(db: Transaction) -> None:
    answer = stock(batch(("1", "decrement", [["a", 4]]), ("1", "increment", [["a", 4]])), db)
    assert answer.outcomes == ["ssuccess", "incok"]
    assert answer.balances_after == ["[6]", "[10]"]
    assert left(db)["a"] == 10


LINES = st.dictionaries(st.sampled_from(["a", "b", "c", "nothing"]), st.integers(1, 5), max_size=3)
COMMANDS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.sampled_from(["decrement", "decrement", "increment"]),
        LINES,
        st.sampled_from(["ssuccess", "sfail", None]),
    ),
    max_size=8,
)


@given(commands=COMMANDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_a_batch_is_as_good_as_one_command_after_the_other(
    db: Transaction, commands: list[tuple[int, str, dict[str, int], str | None]]
) -> None:
    db.execute("UPDATE items SET stock = CASE item_id WHEN 'a' THEN 10 ELSE 1 END")
    rows = [(str(order), kind, [[item, count] for item, count in lines.items()]) for order, kind, lines, _ in commands]
    prior = tuple(earlier if kind == "increment" else None for _, kind, _, earlier in commands)
    with suppress(psycopg.Rollback), db.transaction():
        answer = stock(batch(*rows, prior=prior), db)
        together = left(db)
        raise psycopg.Rollback
    stocks, expected, taken = {"a": 10, "b": 1}, [], set()
    for (order, kind, lines), earlier in zip(rows, prior, strict=True):
        if kind == "decrement":
            has_all = all(stocks.get(str(item), 0) >= int(str(count)) for item, count in lines)
            expected.append("ssuccess" if has_all else "sfail")
            if not has_all:
                continue
            taken.add(order)
        else:
            expected.append("incok")
            if earlier != "ssuccess" and order not in taken:
                continue
        for item, count in lines:
            if item in stocks:
                stocks[str(item)] += int(str(count)) if kind == "increment" else -int(str(count))
    assert list(answer.outcomes) == expected
    assert together == stocks
