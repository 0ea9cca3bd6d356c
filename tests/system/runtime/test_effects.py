"""A batch behind an inbox: what is new is done once, whether a repetition was looked for before or met in the act."""

from collections.abc import Callable

import orjson
import pytest

from system.checkout.contract import PAY
from system.checkout.services import PAY_SERVICE
from system.kafka.batch import Batch
from system.runtime.effects import apply_once
from system.runtime.service import InboxHandler, Replies
from system.store.database import Raced
from system.store.postgres import Transaction

assert isinstance(PAY_SERVICE.handler, InboxHandler)
HANDLER: InboxHandler = PAY_SERVICE.handler


def payments(*order_ids: str, kind: str = "pay") -> Batch:
    count = len(order_ids)
    keys = [(order_id, 1) for order_id in order_ids]
    return Batch(PAY, [0] * count, list(range(count)), keys, [[kind, 5, "u"]] * count)


def outcomes(replies: Replies) -> list[str]:
    return [orjson.loads(value)[0] for value in replies.outgoing[0].values]


def credit(db: Transaction) -> int:
    row = db.execute("SELECT credit FROM users").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def db(open_db: Callable[[str], Transaction]) -> Transaction:
    connection = open_db("pay")
    connection.execute("INSERT INTO users VALUES ('u', 100)")
    return connection


@pytest.mark.parametrize("cautious", [True, False])
def test_a_new_batch_is_done_whether_or_not_it_was_looked_for(db: Transaction, cautious: bool) -> None:
    assert outcomes(apply_once(payments("1", "2"), db, HANDLER, cautious=cautious)) == ["psuccess", "psuccess"]
    assert credit(db) == 90


@pytest.mark.parametrize("cautious", [True, False])
def test_the_same_message_twice_in_one_batch_is_done_once_and_answered_twice(db: Transaction, cautious: bool) -> None:
    assert outcomes(apply_once(payments("1", "1"), db, HANDLER, cautious=cautious)) == ["psuccess", "psuccess"]
    assert credit(db) == 95


def test_a_repetition_is_answered_and_not_done_again(db: Transaction) -> None:
    apply_once(payments("1"), db, HANDLER)
    assert outcomes(apply_once(payments("1", "2"), db, HANDLER)) == ["psuccess", "psuccess"]
    assert credit(db) == 90


def test_a_repetition_that_was_not_looked_for_undoes_the_whole_batch(db: Transaction) -> None:
    with db.transaction():
        apply_once(payments("1"), db, HANDLER)
    with pytest.raises(Raced), db.transaction():
        apply_once(payments("1", "2"), db, HANDLER, cautious=False)
    assert credit(db) == 95


def test_a_compensation_finds_the_step_that_it_undoes_without_looking_for_repetitions(db: Transaction) -> None:
    apply_once(payments("1"), db, HANDLER)
    assert outcomes(apply_once(payments("1", kind="can"), db, HANDLER, cautious=False)) == ["canok"]
    assert credit(db) == 100
