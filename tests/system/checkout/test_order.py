"""The order handler: one decision a transaction, the answer only when nothing is left to undo."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from system.checkout.contract import OUTCOME_CHECKOUT, OUTCOMES, PAY, STOCK
from system.checkout.order import order
from system.kafka.batch import Batch
from system.runtime.pending import Half, PartitionPending, apply_change
from system.runtime.service import Replies
from system.store.database import Raced
from system.store.postgres import Transaction

Open = Callable[[str], Transaction]
LINES = [["a", 1]]


def batch(*outcomes: tuple[str, list[Any]], first: int = 0) -> Batch:
    offsets = list(range(first, first + len(outcomes)))
    return Batch(OUTCOMES, [0] * len(outcomes), offsets, [(key, 1) for key, _ in outcomes], [v for _, v in outcomes])


def sent(replies: Replies) -> list[tuple[str, str, Any]]:
    return [
        (outgoing.topic, key, orjson.loads(value))
        for outgoing in replies.outgoing
        for key, value in zip(outgoing.keys, outgoing.values, strict=True)
    ]


@pytest.fixture
def db(open_db: Open) -> Transaction:
    connection = open_db("order")
    connection.execute(
        "INSERT INTO orders SELECT o, 'u', false, 'pending', '[]', 7, 1 FROM unnest(ARRAY['1','2','3','4']) AS o"
    )
    return connection


@pytest.fixture
def pending() -> dict[int, PartitionPending]:
    return {0: PartitionPending()}


def status(db: Transaction) -> dict[str, tuple[str, bool]]:
    return {row[0]: (row[1], row[2]) for row in db.execute("SELECT order_id, status, paid FROM orders").fetchall()}


def test_both_outcomes_decide_in_either_order(db: Transaction, pending: dict[int, PartitionPending]) -> None:
    outcomes = batch(
        ("1", ["psuccess", 7]),
        ("1", ["ssuccess", LINES]),
        ("2", ["sfail", LINES]),
        ("2", ["pfail", 7]),
        ("3", ["psuccess", 7]),
        ("3", ["sfail", LINES]),
        ("4", ["ssuccess", LINES]),
        ("4", ["pfail", 7]),
    )
    replies = order(outcomes, db, pending)
    assert sorted(sent(replies)) == [
        (OUTCOME_CHECKOUT, "1_1", "success"),
        (OUTCOME_CHECKOUT, "2_1", "fail"),
        (PAY, "3_1", ["can", 7, "u"]),
        (STOCK, "4_1", ["increment", LINES]),
    ]
    expected = {"1": ("paid", True), "2": ("not_paid", False), "3": ("pending", False), "4": ("pending", False)}
    assert status(db) == expected


def test_a_half_waits_for_the_other_across_batches(db: Transaction, pending: dict[int, PartitionPending]) -> None:
    first = order(batch(("1", ["psuccess", 7])), db, pending)
    assert not first.outgoing
    assert first.change is not None
    apply_change(pending, first.change, {0: 1})
    assert pending[0].halves == {("1", 1): Half(0, "pay", ["psuccess", 7])}
    second = order(batch(("1", ["ssuccess", LINES]), first=1), db, pending)
    assert sent(second) == [(OUTCOME_CHECKOUT, "1_1", "success")]


def test_fail_goes_out_with_the_acknowledgement_of_the_compensation(
    db: Transaction, pending: dict[int, PartitionPending]
) -> None:
    order(batch(("3", ["psuccess", 7]), ("3", ["sfail", LINES])), db, pending)
    released = order(batch(("3", ["canok", 7]), first=2), db, pending)
    assert sent(released) == [(OUTCOME_CHECKOUT, "3_1", "fail")]
    assert status(db)["3"] == ("not_paid", False)


def test_a_repeated_outcome_of_the_same_kind_changes_nothing(
    db: Transaction, pending: dict[int, PartitionPending]
) -> None:
    replies = order(batch(("1", ["psuccess", 7]), ("1", ["psuccess", 7])), db, pending)
    assert not replies.outgoing
    assert replies.change is not None
    assert len(replies.change.opened) == 1


def test_the_second_outcome_of_a_decided_transaction_sends_the_stored_messages_again_and_stays_out_of_pending(
    db: Transaction, pending: dict[int, PartitionPending]
) -> None:
    first = order(batch(("3", ["psuccess", 7])), db, pending)
    assert first.change is not None
    apply_change(pending, first.change, {0: 1})
    order(batch(("3", ["sfail", LINES]), first=1), db, pending)
    pending[0].horizon = 3
    again = order(batch(("3", ["sfail", LINES]), first=1), db, pending)
    assert sent(again) == [(PAY, "3_1", ["can", 7, "u"])]
    assert again.change is not None
    assert not again.change.opened
    assert again.change.skipped == [(0, ("3", 1), Half(1, "stock", ["sfail", LINES]))]


def test_a_decided_transaction_that_is_done_again_in_two_batches_speaks_once(
    db: Transaction, pending: dict[int, PartitionPending]
) -> None:
    order(batch(("3", ["psuccess", 7]), ("3", ["sfail", LINES])), db, pending)
    pending[0].horizon = 3
    first = order(batch(("3", ["psuccess", 7])), db, pending)
    assert not first.outgoing
    assert first.change is not None
    apply_change(pending, first.change, {0: 1})
    again = order(batch(("3", ["sfail", LINES]), first=1), db, pending)
    assert sent(again) == [(PAY, "3_1", ["can", 7, "u"])]
    assert again.change is not None
    apply_change(pending, again.change, {0: 2})
    assert not order(batch(("3", ["sfail", LINES]), first=2), db, pending).outgoing


def test_past_the_horizon_a_decision_that_is_there_refuses_a_second_one(
    db: Transaction, pending: dict[int, PartitionPending]
) -> None:
    twice = batch(("3", ["psuccess", 7]), ("3", ["sfail", LINES]))
    order(twice, db, pending)
    with pytest.raises(Raced), db.transaction():
        order(twice, db, pending)
    pending[0].horizon = 2
    assert sent(order(twice, db, pending)) == [(PAY, "3_1", ["can", 7, "u"])], "once, though both outcomes are here"


def test_an_acknowledgement_of_an_earlier_attempt_leaves_the_running_one_alone(
    db: Transaction, pending: dict[int, PartitionPending]
) -> None:
    order(batch(("3", ["psuccess", 7]), ("3", ["sfail", LINES])), db, pending)
    db.execute("UPDATE orders SET tr = 2 WHERE order_id = '3'")
    order(batch(("3", ["canok", 7]), first=2), db, pending)
    assert status(db)["3"] == ("pending", False)
