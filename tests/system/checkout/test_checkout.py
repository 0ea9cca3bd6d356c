"""order/checkout: each call that finds an order unpaid begins the next tr#, and nothing is begun twice."""

from collections.abc import Callable

import orjson
import pytest

from system.checkout.checkout import Request, begin, outgoing
from system.checkout.contract import CHECKS, PAY, STOCK, split_key
from system.store.postgres import Transaction

Open = Callable[[str], Transaction]


@pytest.fixture
def db(open_db: Open) -> Transaction:
    connection = open_db("order")
    connection.execute(
        """INSERT INTO orders VALUES ('new', 'u', false, 'not_paid', '[["a",2]]', 20, 0),
        ('failed', 'u', false, 'not_paid', '[]', 0, 3), ('running', 'u', false, 'pending', '[]', 5, 2),
        ('paid', 'u', true, 'paid', '[]', 5, 1)"""
    )
    return connection


def test_each_state_of_an_order_has_its_answer_in_the_order_asked(db: Transaction) -> None:
    begun, requests = begin(["paid", "new", "nothing", "running", "failed"], db)
    assert begun.states == ["paid", "started", "unknown", "pending", "started"]
    assert begun.trs == [1, 1, 0, 2, 4]
    assert sorted(requests) == [Request("failed", 4, 0, "u", "[]"), Request("new", 1, 20, "u", '[["a",2]]')]


def test_an_order_asked_for_twice_in_one_batch_is_begun_once_and_joined_once(db: Transaction) -> None:
    begun, requests = begin(["new", "new"], db)
    assert begun.states == ["started", "pending"]
    assert begun.trs == [1, 1]
    assert len(requests) == 1


def test_a_second_checkout_joins_the_running_saga(db: Transaction) -> None:
    begin(["new"], db)
    begun, requests = begin(["new"], db)
    assert (begun.states, begun.trs, requests) == (["pending"], [1], [])


def test_requests_satisfy_the_contract() -> None:
    batches = outgoing([Request("7", 1, 20, 'u"1', '[["a",2]]')])
    assert [batch.topic for batch in batches] == [PAY, STOCK]
    for batch in batches:
        assert split_key(batch.keys[0]) == ("7", 1)
        CHECKS[batch.topic](orjson.loads(batch.values[0]))
