"""order/checkout: begins sagas, a batch at a time. One local transaction, then `pay` and `decrement` of every order in
it.

Under every guarantee the local transaction comes first, so `orders` is an outbox by itself: what is pending without a
decision is produced again after a death. Under `transactional` a batch's records are one Kafka transaction, and only
what is not in the log is produced again; under `at-most-once` nothing is, as no inbox would absorb the repeats.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from system.checkout.contract import PAY, STOCK
from system.checkout.logged import logged_keys
from system.kafka import config
from system.kafka.batch import Outgoing, wire
from system.kafka.producer import BatchProducer, Unacknowledged
from system.runtime.guarantees import GUARANTEES, Ended, Guarantee
from system.runtime.observer import NullObserver, Observer
from system.runtime.transactions import ATTEMPTS, TIMEOUT_MS, Transactions, tell
from system.store import postgres
from system.store.postgres import Transaction, text_array

# Sorted input: two clients that begin the same orders lock them in the same order.
_BEGIN = """
    UPDATE orders o SET tr = o.tr + 1, status = 'pending'
    FROM unnest(%s::text[]) AS v(order_id)
    WHERE o.order_id = v.order_id AND o.status = 'not_paid'
    RETURNING o.order_id, o.tr, o.amount, o.user_id, o.items"""

_STATUS = "SELECT order_id, status, tr FROM orders WHERE order_id = ANY(%s::text[])"

_UNDECIDED = """
    SELECT o.order_id, o.tr, o.amount, o.user_id, o.items FROM orders o
    WHERE o.status = 'pending' AND NOT EXISTS
        (SELECT 1 FROM decisions d WHERE d.order_id = o.order_id AND d.tr = o.tr)
    ORDER BY o.order_id"""


class Request(NamedTuple):
    """A transaction that was begun: `items` is the order's own JSON text."""

    order_id: str
    tr: int
    amount: int
    user_id: str
    items: str


@dataclass(frozen=True, slots=True)
class Begun:
    """What became of each checkout, in the order asked; columns of one length.

    `started`: tr# is its own. `pending`: it joined the running saga of that tr#. `paid`: the order was paid before, by
    tr#. `unknown`: no such order, tr# 0.
    """

    states: list[str]
    trs: list[int]


def begin(order_ids: Sequence[str], db: Transaction) -> tuple[Begun, list[Request]]:
    """The local transaction: tr# + 1, pending, items and amount as they stand from here on. What must be produced for
    it.

    An order asked for twice in one batch is begun once and joined once.
    """
    asked = sorted(set(order_ids))
    begun = {row[0]: Request(*row) for row in db.rows(_BEGIN, (text_array(asked),))}
    states, trs = _states([order_id for order_id in asked if order_id not in begun], db)
    missed = [order_id for order_id, state in states.items() if state == "not_paid"]
    if missed:
        # It was pending when we tried to begin it and failed before we looked: it can be begun now.
        again, more = begin(missed, db)
        states.update(zip(missed, again.states, strict=True))
        trs.update(zip(missed, again.trs, strict=True))
        begun.update((request.order_id, request) for request in more if request.order_id not in begun)
    return _in_order(order_ids, begun, states, trs), list(begun.values())


def _states(order_ids: Sequence[str], db: Transaction) -> tuple[dict[str, str], dict[str, int]]:
    if not order_ids:
        return {}, {}
    rows = db.rows(_STATUS, (text_array(order_ids),))
    return {row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows}


def _in_order(
    order_ids: Sequence[str], begun: Mapping[str, Request], states: Mapping[str, str], trs: Mapping[str, int]
) -> Begun:
    answer = Begun([], [])
    first: set[str] = set()
    for order_id in order_ids:
        request = begun.get(order_id)
        if request is not None:
            answer.states.append("pending" if order_id in first else "started")
            answer.trs.append(request.tr)
            first.add(order_id)
        else:
            answer.states.append(states.get(order_id, "unknown"))
            answer.trs.append(trs.get(order_id, 0))
    return answer


def outgoing(requests: Sequence[Request]) -> list[Outgoing]:
    """`pay` and `decrement` of each transaction; an order without items is a saga of amount 0."""
    keys = [f"{request.order_id}_{request.tr}" for request in requests]
    return [
        Outgoing(PAY, keys, [wire(["pay", request.amount, request.user_id]) for request in requests]),
        Outgoing(STOCK, keys, [f'["decrement",{request.items}]'.encode() for request in requests]),
    ]


def failpoints(guarantee: Guarantee) -> tuple[str, ...]:
    """Between any two steps of `begin`, and behind the recovery with which a client comes up again, if it has one."""
    inside = ("after-begin", "after-produce", "after-commit") if guarantee.transactions else ("after-produce",)
    return ("after-state", *inside, *(() if guarantee.loses else ("after-recover",)))


def _nowhere(point: str) -> None:
    """No failpoint is armed."""


@dataclass(slots=True, kw_only=True)
class Client:
    """Begins checkouts against a database and a cluster. One thread's; `begin` returns when the broker has both
    requests.

    With transactions `name` is a slot: it leads to the transactional id, so one client of a name may live at a time,
    and only one that begins checkouts at all: `recover` must not take for missing what another is about to commit.
    """

    dsn: str
    prefix: str
    connection: config.Properties
    name: str = "checkout"
    observer: Observer = field(default_factory=NullObserver)
    failpoint: Callable[[str], None] = _nowhere
    guarantee: Guarantee = GUARANTEES["idempotent"]
    _orders: Transaction = field(init=False)
    payments: Transaction = field(init=False)
    stocks: Transaction = field(init=False)
    _producer: BatchProducer = field(init=False)
    _transactions: Transactions | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._orders = postgres.connect(self.dsn, schema=f"{self.prefix}order", name=self.name)
        self.payments = postgres.connect(self.dsn, schema=f"{self.prefix}pay", name=self.name)
        self.stocks = postgres.connect(self.dsn, schema=f"{self.prefix}stock", name=self.name)
        properties = config.producer(self.connection, client_id=self.prefix + self.name)
        if self.guarantee.transactions:
            slot = self.prefix + self.name
            properties = config.transactional(properties, transactional_id=slot, timeout_ms=TIMEOUT_MS)
            self._producer = BatchProducer(properties)
            self._transactions = Transactions(self._producer, slot, self.observer)
        else:
            self._producer = BatchProducer(properties)

    def begin(self, order_ids: Sequence[str]) -> Begun:
        """Begins these checkouts. Raises psycopg.Error, `Unacknowledged`: then it is unknown which of them were
        begun.
        """
        begun, requests = begin(order_ids, self._orders)
        self.failpoint("after-state")
        self._produce(outgoing(requests))
        return begun

    def recover(self) -> int:
        """Produces the requests of pending orders without a decision: a process that died between the transaction and
        the produce left a tr# without messages. Returns how many.

        With an inbox all of them, as it absorbs what was there; with transactions those that are not in the log.
        """
        if self.guarantee.loses:
            return 0
        # The one look at the whole table; the session's planner settings forbid the scan that it needs.
        with self._orders.transaction():
            self._orders.execute("SET LOCAL enable_seqscan = on")
            self._orders.execute("SET LOCAL enable_hashjoin = on")
            requests = [Request(*row) for row in self._orders.execute(_UNDECIDED)]
        if requests:
            self.observer.event("requests-recovered", orders=len(requests), began_ns=time.monotonic_ns())
            batches = outgoing(requests)
            self._produce([self._missing(batch) for batch in batches] if self._transactions else batches)
        self.failpoint("after-recover")
        return len(requests)

    def _missing(self, batch: Outgoing) -> Outgoing:
        """Those records whose key is not in the log. An undecided order has no compensation: its key says enough."""
        topic, reader = self.prefix + batch.topic, f"{self.prefix}{self.name}-recovery"
        there = logged_keys(topic, batch.keys, connection=self.connection, client_id=reader)
        rows = [row for row, key in enumerate(batch.keys) if key not in there]
        return Outgoing(batch.topic, [batch.keys[row] for row in rows], [batch.values[row] for row in rows])

    def _produce(self, batches: Sequence[Outgoing]) -> None:
        """Raises `Unacknowledged`."""
        if not any(batch.keys for batch in batches):
            return
        if self._transactions is None:
            self._send(batches)
            self.failpoint("after-produce")
            return
        for _ in range(ATTEMPTS):
            ended = self._produce_together(batches, self._transactions)
            if ended is Ended.DONE:
                return
            if ended is not Ended.ABORTABLE or self._transactions.abort() is not Ended.DONE:
                break
        raise Unacknowledged("the transaction of the requests was refused", [])

    def _produce_together(self, batches: Sequence[Outgoing], transactions: Transactions) -> Ended:
        """All of them in one Kafka transaction."""
        ended = transactions.begin()
        if ended is not Ended.DONE:
            return ended
        self.failpoint("after-begin")
        try:
            self._send(batches)
        except Unacknowledged as error:
            self.observer.event("produce-failed", reason=str(error.args[0]))
            return Ended.ABORTABLE
        self.failpoint("after-produce")
        ended = transactions.commit()
        if ended is Ended.DONE:
            self.failpoint("after-commit")
        return ended

    def _send(self, batches: Sequence[Outgoing]) -> None:
        for batch in batches:
            self._producer.send(Outgoing(self.prefix + batch.topic, batch.keys, batch.values))
        transaction = self._transactions.current if self._transactions is not None else None
        tell(self.observer, self._producer.flush(), transaction)

    def send_raw(self, topic: str, *, key: bytes | None, value: bytes | None) -> tuple[int, int]:
        """One record as it is, well-formed or not; (partition, offset) when the broker has it."""
        self._producer.send_one(self.prefix + topic, key=key, value=value, headers=[])
        reports = self._producer.flush()
        for report in reports:
            self.observer.acknowledged(report.topic, report.partitions, report.offsets, None, None)
        return int(reports[0].partitions[0]), int(reports[0].offsets[0])

    def close(self) -> None:
        """Closes the connections; what was begun is in the log."""
        self._producer.close()
        for connection in (self._orders, self.payments, self.stocks):
            connection.close()
