"""The pay handler: credit is taken once, never below zero, and given back only where it was taken."""

from collections.abc import Callable

import pytest

from system.checkout.contract import PAY
from system.checkout.pay import pay
from system.kafka.batch import Batch
from system.store.postgres import Transaction

Open = Callable[[str], Transaction]


def batch(*commands: tuple[str, str, int, str], prior: tuple[str | None, ...] = ()) -> Batch:
    """(order, kind, amount, user) each."""
    keys = [(order, 1) for order, _, _, _ in commands]
    values = [[kind, amount, user] for _, kind, amount, user in commands]
    return Batch(PAY, [0] * len(commands), list(range(len(commands))), keys, values, prior=prior)


@pytest.fixture
def db(open_db: Open) -> Transaction:
    connection = open_db("pay")
    connection.execute("INSERT INTO users VALUES ('rich', 1000), ('poor', 5)")
    return connection


def credit(db: Transaction) -> dict[str, int]:
    return dict(db.execute("SELECT user_id, credit FROM users").fetchall())


def test_credit_that_covers_the_batch_is_taken_and_every_balance_follows_in_order(db: Transaction) -> None:
    answer = pay(batch(("1", "pay", 100, "rich"), ("2", "pay", 5, "poor"), ("3", "pay", 300, "rich")), db)
    assert answer.outcomes == ["psuccess"] * 3
    assert answer.balances_after == [900, 0, 600]
    assert credit(db) == {"rich": 600, "poor": 0}


def test_what_one_payment_took_is_gone_for_the_next_in_the_same_batch(db: Transaction) -> None:
    answer = pay(batch(("1", "pay", 900, "rich"), ("2", "pay", 200, "rich"), ("3", "pay", 100, "rich")), db)
    assert answer.outcomes == ["psuccess", "pfail", "psuccess"]
    assert answer.balances_after == [100, 100, 0]
    assert credit(db)["rich"] == 0


def test_an_unknown_user_cannot_pay(db: Transaction) -> None:
    answer = pay(batch(("1", "pay", 1, "nobody"), ("2", "can", 1, "nobody")), db)
    assert answer.outcomes == ["pfail", "canok"]
    assert answer.balances_after == [None, None]


def test_a_cancellation_gives_back_only_what_a_successful_payment_took(db: Transaction) -> None:
    commands = batch(("1", "can", 50, "rich"), ("2", "can", 50, "rich"), prior=("psuccess", None))
    assert pay(commands, db).balances_after == [1050, 1050]
    assert credit(db)["rich"] == 1050


def test_a_payment_and_its_cancellation_in_one_batch_leave_nothing(db: Transaction) -> None:
    answer = pay(batch(("1", "pay", 5, "poor"), ("1", "can", 5, "poor")), db)
    assert answer.outcomes == ["psuccess", "canok"]
    assert answer.balances_after == [0, 5]
    assert credit(db)["poor"] == 5


def test_an_amount_of_zero_is_paid_from_nothing(db: Transaction) -> None:
    assert pay(batch(("1", "pay", 0, "poor")), db).balances_after == [5]
