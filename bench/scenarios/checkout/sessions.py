"""The sessions in which the driver begins operations of `checkout`: order/checkout, and the payment and stock APIs.

An operating error becomes an outcome by one table (`fate`): `fail` only where the database says that it rolled back.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import psycopg
from confluent_kafka import KafkaException
from numpy.typing import NDArray

from bench.scenarios.checkout.poison import TOPICS, poison
from bench.scenarios.checkout.workload import FUNDS, PAYMENT, POISON, STOCK, Operations
from loadgen.target import (
    FAIL,
    INFO,
    OK,
    Begun,
    Failed,
    FateUnknown,
    Finished,
    Waiting,
    no_waiting,
)
from system.checkout import payments, stocks
from system.checkout.checkout import Client
from system.checkout.logged import LogUnread
from system.kafka.producer import Unacknowledged

_FINISHED = {"paid": OK, "unknown": FAIL}
_ROLLED_BACK = frozenset({"22", "23", "25", "40", "42", "53", "55"})
"""SQLSTATE classes after which a transaction has certainly been rolled back; 40003 says that this is not known."""

OPERATING_ERRORS = (psycopg.Error, KafkaException, Unacknowledged, LogUnread, OSError)

Numbers = NDArray[np.int64]


@dataclass
class CheckoutSession:
    """Begins sagas. A batch that fails may have begun some of them; the next session produces their requests."""

    client: Client
    operations: Operations
    unproduced: threading.Event

    def begin(self, operations: Numbers) -> Begun:
        """One batch of checkouts; a paid or an unknown order is finished at once, any other waits for its saga."""
        entity = self.operations.entity[operations]
        try:
            begun = self.client.begin([str(number) for number in entity.tolist()])
        except OPERATING_ERRORS as error:
            self.unproduced.set()
            raise FateUnknown(error_name(error)) from error
        tr = np.array(begun.trs, np.int32)
        outcome = np.array([_FINISHED.get(state, 0) for state in begun.states], np.uint8)
        waits, ends = outcome == 0, outcome != 0
        nothing = np.full(int(ends.sum()), -1, np.int64)
        return Begun(
            Waiting(operations[waits], entity[waits], tr[waits]),
            Finished(operations[ends], outcome[ends], tr[ends], nothing),
            time.monotonic_ns(),
        )

    def close(self) -> None:
        """Closes the client."""
        self.client.close()


@dataclass
class DirectSession:
    """Top-ups, direct payments, changes of stock and poison; a kind that fails leaves the others as they are."""

    client: Client
    operations: Operations
    _finished: list[Finished] = field(default_factory=list)
    _failed: list[Failed] = field(default_factory=list)

    def begin(self, operations: Numbers) -> Begun:
        """One batch: a transaction a service, then the poisoned records."""
        self._finished, self._failed = [], []
        kind = self.operations.kind[operations]
        self._apply(operations[(kind == FUNDS) | (kind == PAYMENT)], self._change_credit)
        self._apply(operations[kind == STOCK], self._change_stock)
        for number in operations[kind == POISON].tolist():
            self._apply(np.array([number], np.int64), self._poison)
        columns = [np.concatenate(column) for column in zip(*self._finished, strict=True)]
        finished = Finished(*columns) if columns else _ended(operations[:0], [])
        return Begun(no_waiting(), finished, time.monotonic_ns(), tuple(self._failed))

    def _apply(self, operations: Numbers, work: Callable[[Numbers], Finished]) -> None:
        if not len(operations):
            return
        try:
            self._finished.append(work(operations))
        except OPERATING_ERRORS as error:
            self._failed.append(Failed(operations, fate(error), error_name(error)))

    def _change_credit(self, operations: Numbers) -> Finished:
        amounts = np.abs(self.operations.amount[operations])
        signed = np.where(self.operations.kind[operations] == FUNDS, amounts, -amounts)
        with self.client.payments.transaction():
            return _ended(operations, payments.change(self._names(operations), signed.tolist(), self.client.payments))

    def _change_stock(self, operations: Numbers) -> Finished:
        amounts = self.operations.amount[operations].tolist()
        with self.client.stocks.transaction():
            return _ended(operations, stocks.change(self._names(operations), amounts, self.client.stocks))

    def _names(self, operations: Numbers) -> list[str]:
        return [str(number) for number in self.operations.entity[operations].tolist()]

    def _poison(self, operations: Numbers) -> Finished:
        """Its position is kept as tr (the partition) and balance (the offset)."""
        number = int(operations[0])
        topic = TOPICS[int(self.operations.entity[number])]
        record = poison(topic, malformation=int(self.operations.amount[number]), operation=number)
        partition, offset = self.client.send_raw(topic, key=record.key, value=record.value)
        return Finished(
            operations, np.array([OK], np.uint8), np.array([partition], np.int32), np.array([offset], np.int64)
        )

    def close(self) -> None:
        """Closes the client."""
        self.client.close()


def _ended(operations: Numbers, answers: list[tuple[bool, int | None]]) -> Finished:
    outcome = np.array([OK if applied else FAIL for applied, _ in answers], np.uint8)
    balance = np.array([-1 if after is None else after for _, after in answers], np.int64)
    return Finished(operations, outcome, np.zeros(len(operations), np.int32), balance)


def fate(error: Exception) -> int:
    """FAIL where the error says that nothing was applied, else INFO: the one table from error to outcome."""
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    return FAIL if state is not None and state[:2] in _ROLLED_BACK and state != "40003" else INFO


def error_name(error: Exception) -> str:
    """A short name under which errors are counted: the class, and Kafka's own name where there is one."""
    if isinstance(error, KafkaException):
        return f"KafkaException {error.args[0].name()}"
    return type(error).__name__
