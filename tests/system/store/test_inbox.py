"""The inbox knows a message by its key, answers with the stored outcome, and notices when another was faster."""

from collections.abc import Callable

import pytest

from system.store.database import Raced
from system.store.inbox import Claim, look_up, store
from system.store.postgres import Transaction

FIRST, UNDONE = Claim("1", 1, False), Claim("1", 1, True)


@pytest.fixture
def db(open_db: Callable[[str], Transaction]) -> Transaction:
    return open_db("pay")


def test_what_was_stored_is_found_by_its_whole_key(db: Transaction) -> None:
    store([FIRST], ["psuccess"], [3], db=db, balance_type="bigint")
    assert look_up([UNDONE, FIRST, Claim("1", 2, False)], db) == {FIRST: "psuccess"}


def test_a_message_that_another_member_applied_meanwhile_is_a_race(db: Transaction) -> None:
    store([FIRST], ["psuccess"], [3], db=db, balance_type="bigint")
    with pytest.raises(Raced), db.transaction():
        store([UNDONE, FIRST], ["canok", "pfail"], [3, None], db=db, balance_type="bigint")


def test_an_empty_batch_asks_and_stores_nothing(db: Transaction) -> None:
    assert look_up([], db) == {}
    store([], [], [], db=db, balance_type="bigint")
    assert db.execute("SELECT count(*) FROM inbox").fetchone() == (0,)


def test_balances_of_several_items_are_stored_as_text(open_db: Callable[[str], Transaction]) -> None:
    stock = open_db("stock")
    store([FIRST, UNDONE], ["ssuccess", "incok"], ["[1,2]", None], db=stock, balance_type="text")
    rows = stock.execute("SELECT balance_after FROM inbox ORDER BY was_rollback").fetchall()
    assert rows == [("[1,2]",), (None,)]
