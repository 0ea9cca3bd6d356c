"""What a client left begun and unproduced is produced by its next life: all of it where an inbox absorbs repeats, what
is missing where nothing may repeat, nothing where nothing is taken up again.
"""

from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest

from system.checkout.checkout import Client, failpoints
from system.checkout.contract import PAY
from system.checkout.logged import logged_keys
from system.kafka import config
from system.kafka.batch import Outgoing
from system.kafka.producer import BatchProducer
from system.runtime.guarantees import GUARANTEES
from tests.system.conftest import PREFIX, committed


class Dead(Exception):
    """Instead of SIGKILL."""


@pytest.fixture
def opened(connection: config.Properties, schemas: str, topics: None) -> Callable[..., Client]:
    with psycopg.connect(schemas) as db:
        db.execute(
            f"""INSERT INTO "{PREFIX}order".orders (order_id, user_id) SELECT o::text, 'u'
            FROM generate_series(1, 4) AS o""".encode()
        )

    def opening(guarantee: str, *, dies: str = "") -> Client:
        def passed(point: str) -> None:
            if point == dies:
                raise Dead

        name = f"checkout-{guarantee}"
        return Client(
            dsn=schemas,
            prefix=PREFIX,
            connection=connection,
            name=name,
            failpoint=passed,
            guarantee=GUARANTEES[guarantee],
        )

    return opening


def requested(connection: config.Properties) -> list[int]:
    """How often each of the orders 1 to 4 stands in the pay topic: committed records of the whole log."""
    counts = [0] * 4
    for key, _ in committed(connection, PREFIX + PAY):
        counts[int(key.partition(b"_")[0]) - 1] += 1
    return counts


@pytest.mark.parametrize(
    ("guarantee", "dies", "expected"),
    [
        ("idempotent", "after-state", [2, 2, 1, 1]),
        ("idempotent", "after-produce", [2, 2, 2, 2]),
        ("at-most-once", "after-state", [1, 1, 0, 0]),
        ("transactional", "after-state", [1, 1, 1, 1]),
        ("transactional", "after-produce", [1, 1, 1, 1]),
        ("transactional", "after-commit", [1, 1, 1, 1]),
    ],
)
def test_the_next_life_produces_what_its_guarantee_wants(
    guarantee: str, dies: str, expected: list[int], opened: Callable[..., Client], connection: config.Properties
) -> None:
    first = opened(guarantee)
    first.begin(["1", "2"])
    first.close()
    second = opened(guarantee, dies=dies)
    with pytest.raises(Dead):
        second.begin(["3", "4"])
    third = opened(guarantee)
    third.recover()
    third.close()
    second.close()
    assert requested(connection) == expected


def test_a_record_above_somebody_elses_open_transaction_is_found(topics: None, connection: config.Properties) -> None:
    producers = []
    # Enough keys to stand in both partitions.
    for keys in ([f"a_{n}" for n in range(20)], ["b_1"]):
        plain = config.producer(connection, client_id="t")
        one = BatchProducer(config.transactional(plain, transactional_id=uuid4().hex, timeout_ms=1_000))
        one.init_transactions()
        one.begin_transaction()
        one.send(Outgoing(PREFIX + PAY, keys, [b"1"] * len(keys)))
        one.flush()
        producers.append(one)
    producers[1].commit_transaction()
    # The first one's transaction stays open, in front of the committed record, until its coordinator gives it up.
    found = logged_keys(PREFIX + PAY, {"a_1", "b_1"}, connection=connection, client_id="t")
    assert found == {"b_1"}
    for one in producers:
        one.close()


def test_failpoints_of_begin_stand_between_its_steps() -> None:
    assert failpoints(GUARANTEES["outbox"]) == ("after-state", "after-produce", "after-recover")
    assert failpoints(GUARANTEES["transactional"]) == (
        *("after-state", "after-begin", "after-produce", "after-commit", "after-recover"),
    )
