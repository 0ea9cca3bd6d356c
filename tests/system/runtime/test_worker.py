"""The worker's loop on real servers: a transaction that must be aborted leaves nothing visible, and its records are
done again, once.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import pytest
from confluent_kafka import KafkaError, KafkaException

from system.checkout.contract import OUTCOMES, PAY
from system.checkout.services import SERVICES
from system.kafka import config
from system.kafka.batch import Outgoing
from system.kafka.column_consumer import ColumnConsumer
from system.kafka.consumer import GroupConsumer
from system.kafka.producer import BatchProducer, Unacknowledged
from system.kafka.transactions import AbortNeeded
from system.runtime.guarantees import GUARANTEES
from system.runtime.observer import NullObserver, Span, Times
from system.runtime.worker import Worker
from system.runtime.worker_config import WorkerConfig
from system.store.postgres import Transaction
from tests.system.conftest import PREFIX, committed

Open = Callable[[str], Transaction]
ORDERS = 5
KEYS = [f"{order}_1" for order in range(ORDERS)]
DEADLINE_S = 40.0


class Counting(NullObserver):
    """Counts the events."""

    def __init__(self) -> None:
        self.events = Counter[str]()

    def event(self, event: str, **fields: object) -> None:
        self.events[event] += 1


class Failure(NamedTuple):
    """The call that fails, and how."""

    owner: type
    method: str
    error: Exception


def failing_once(monkeypatch: pytest.MonkeyPatch, failure: Failure) -> None:
    """The first call of a method fails after it has done its work or not at all: it makes no difference to an abort."""
    real, calls = getattr(failure.owner, failure.method), Counter[str]()

    def call(self: object, *arguments: object) -> object:
        calls[failure.method] += 1
        if calls[failure.method] == 1:
            raise failure.error
        return real(self, *arguments)

    monkeypatch.setattr(failure.owner, failure.method, call)


def illegal(kind: type[KafkaException]) -> KafkaException:
    return kind(KafkaError(KafkaError.ILLEGAL_GENERATION))


@pytest.fixture
def asked(open_db: Open, topics: None, connection: config.Properties) -> Transaction:
    """A user with credit and `ORDERS` payments that wait in the topic; the service's tables."""
    db = open_db("pay")
    db.execute("INSERT INTO users VALUES ('u', 100)")
    producer = BatchProducer(config.producer(connection, client_id="t"))
    producer.send(Outgoing(PREFIX + PAY, KEYS, [b'["pay",7,"u"]'] * ORDERS))
    producer.flush()
    producer.close()
    return db


@pytest.fixture
def settings(schemas: str, connection: config.Properties) -> WorkerConfig:
    return WorkerConfig(
        name="pay-0", prefix=PREFIX, dsn=schemas, connection=connection, guarantee=GUARANTEES["transactional"]
    )


def answered(connection: config.Properties, *, also: Callable[[], bool] = lambda: True) -> Callable[[], bool]:
    """Whether every order has its answer, or the deadline is over: when a worker is to stop."""
    began_s = time.monotonic()

    def is_done() -> bool:
        whole = also() and len(committed(connection, PREFIX + OUTCOMES)) >= ORDERS
        return whole or time.monotonic() - began_s > DEADLINE_S

    return is_done


@pytest.mark.parametrize(
    "failure",
    [
        Failure(BatchProducer, "flush", Unacknowledged("1 record failed", [])),
        Failure(GroupConsumer, "group_metadata", illegal(KafkaException)),
        Failure(BatchProducer, "commit_transaction", illegal(AbortNeeded)),
    ],
    ids=lambda failure: failure.method,
)
def test_an_aborted_transaction_is_done_again_and_seen_once(
    failure: Failure, asked: Transaction, settings: WorkerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_once(monkeypatch, failure)
    observer, connection = Counting(), settings.connection
    is_done = answered(connection, also=lambda: observer.events["transaction-committed"] > 0)
    assert Worker(SERVICES["pay"], settings, observer).run(is_done) == 0
    assert observer.events["transaction-aborted"] == 1
    assert observer.events["redelivered"] == 1
    assert sorted(key.decode() for key, _ in committed(connection, PREFIX + OUTCOMES)) == KEYS
    assert asked.execute("SELECT credit FROM users").fetchall() == [(100 - 7 * ORDERS,)]


def test_a_commit_that_is_refused_is_tried_again_before_anything_is_done(
    asked: Transaction, settings: WorkerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_once(monkeypatch, Failure(ColumnConsumer, "commit", illegal(KafkaException)))
    observer, connection = Counting(), settings.connection
    first = replace(settings, guarantee=GUARANTEES["at-most-once"])
    assert Worker(SERVICES["pay"], first, observer).run(answered(connection)) == 0
    assert observer.events["commit-refused"] == 1
    assert observer.events["redelivered"] == 1
    assert sorted(key.decode() for key, _ in committed(connection, PREFIX + OUTCOMES)) == KEYS
    assert asked.execute("SELECT credit FROM users").fetchall() == [(100 - 7 * ORDERS,)]


def test_after_an_absence_nothing_is_done_that_a_new_owner_may_do_too(
    asked: Transaction, settings: WorkerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an inbox: what is polled while it is in doubt whose it is, is put back, and done once when it is not."""
    observer, connection = Counting(), settings.connection
    put_back: list[int] = []
    monkeypatch.setattr("system.runtime.worker.Absence.is_doubtless", lambda _self, _now_s: bool(put_back))
    rewind = GroupConsumer.rewind

    def rewound(self: GroupConsumer, spans: Sequence[Span]) -> None:
        put_back.append(sum(span.records for span in spans))
        rewind(self, spans)

    monkeypatch.setattr(GroupConsumer, "rewind", rewound)
    first = replace(settings, guarantee=GUARANTEES["at-least-once"])
    assert Worker(SERVICES["pay"], first, observer).run(answered(connection)) == 0
    assert sorted(key.decode() for key, _ in committed(connection, PREFIX + OUTCOMES)) == KEYS
    assert asked.execute("SELECT credit FROM users").fetchall() == [(100 - 7 * ORDERS,)]
    assert len(put_back) == 1


class Killed(BaseException):
    """Stands for a SIGKILL: nobody catches it."""


class Journal(NullObserver):
    """Keeps what it was told of batches: how many records, and whether they were stored."""

    def __init__(self) -> None:
        self.told: list[tuple[int, bool]] = []

    def batch(self, spans: Sequence[Span], times: Times, *, generation: int, transaction: str | None) -> None:
        self.told.append((sum(span.records for span in spans), times.stored_ns > 0))


def test_without_an_inbox_a_kill_while_the_offsets_are_committed_hides_nothing_that_was_applied(
    asked: Transaction, settings: WorkerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_self: GroupConsumer, spans: Sequence[Span] = ()) -> None:
        if spans:
            raise Killed

    monkeypatch.setattr(GroupConsumer, "commit", killed)
    journal, began_s = Journal(), time.monotonic()
    worker = Worker(SERVICES["pay"], replace(settings, guarantee=GUARANTEES["at-least-once"]), journal)
    with pytest.raises(Killed):
        worker.run(lambda: time.monotonic() - began_s > DEADLINE_S)
    before, after = journal.told
    assert before == (after[0], False)
    assert after[1]
    assert asked.execute("SELECT credit FROM users").fetchall() == [(100 - 7 * after[0],)]
