"""The Kafka transactions of one producer, each with a name, as steps that end in one way or another (KIP-98, KIP-447).

The transactional id is the slot's and outlives the process: whoever comes up with it fences the one before, whose open
transaction the coordinator aborts. A name is `<transactional id>/<n>`; numbers rise over all lives of a slot.
"""

import faulthandler
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from confluent_kafka import KafkaException

from system.kafka.batch import Span
from system.kafka.producer import Acknowledged, BatchProducer
from system.kafka.transactions import AbortNeeded, RetryCall
from system.runtime.guarantees import Ended
from system.runtime.observer import Observer

TIMEOUT_MS = 20_000
"""An open transaction that nobody ends holds readers up this long."""
STUCK_S = 45.0
"""Sending offsets may wait for a coordinator past its time-out (librdkafka 2.16, its issue 5456); by now the broker has
aborted the transaction.
"""
ATTEMPTS = 5
"""Calls that may be retried are made so often; each waits for the broker by itself."""


class Transactions:
    """One at a time, in the order begin, (offsets), commit or abort. Raises `KafkaException` where it cannot be
    initialised.
    """

    def __init__(self, producer: BatchProducer, transactional_id: str, observer: Observer) -> None:
        self._producer = producer
        self._id = transactional_id
        self._observer = observer
        # Milliseconds leave room for a thousand transactions each: no later life begins at a number of an earlier one.
        self._number = time.time_ns() // 1_000_000 * 1000
        self.current: str | None = None
        """The name of the open transaction."""
        for attempt in range(ATTEMPTS):
            try:
                producer.init_transactions()
                break
            except RetryCall:
                if attempt == ATTEMPTS - 1:
                    raise

    def begin(self) -> Ended:
        """DONE, or FAILED where this producer was fenced."""
        self._number += 1
        self.current = f"{self._id}/{self._number}"
        return self._tried("begin", self._producer.begin_transaction)

    def send_offsets(self, spans: Sequence[Span], group: Callable[[], bytes]) -> Ended:
        """The offsets behind these spans join the transaction, of the member that `group()` names now.

        ABORTABLE where the group has moved on without this member: what it did becomes visible to nobody.
        """
        try:
            member = group()
        except KafkaException as error:
            return self._told("offsets", error, Ended.ABORTABLE)
        with ended_if_stuck():
            return self._tried("offsets", lambda: self._producer.send_offsets_to_transaction(spans, member))

    def commit(self) -> Ended:
        """DONE once records and offsets are visible together."""
        return self._ending("commit", self._producer.commit_transaction, "transaction-committed")

    def abort(self) -> Ended:
        """DONE once nothing of it will ever be visible; what was not heard of is told to the observer as it stands."""
        ended = self._ending("abort", self._producer.abort_transaction, "transaction-aborted")
        return Ended.FAILED if ended is Ended.ABORTABLE else ended

    def _ending(self, what: str, call: Callable[[], None], event: str) -> Ended:
        ended = self._tried(what, call)
        if ended is Ended.DONE:
            # An aborted transaction's last reports come with the abort.
            tell(self._observer, self._producer.forget(), self.current)
            self._observer.event(event, transaction=self.current)
            self.current = None
        return ended

    def _tried(self, what: str, call: Callable[[], None]) -> Ended:
        told: KafkaException | None = None
        for _ in range(ATTEMPTS):
            try:
                call()
                return Ended.DONE
            except RetryCall as error:
                told = error
            except AbortNeeded as error:
                return self._told(what, error, Ended.ABORTABLE)
            except KafkaException as error:
                return self._told(what, error, Ended.FAILED)
        assert told is not None
        return self._told(what, told, Ended.FAILED)

    def _told(self, what: str, error: KafkaException, ended: Ended) -> Ended:
        reason = f"{error.args[0].name()}: {error.args[0].str()}"
        self._observer.event("transaction-refused", step=what, transaction=self.current, ended=ended, reason=reason)
        return ended


@contextmanager
def ended_if_stuck(deadline_s: float = STUCK_S) -> Iterator[None]:
    """Ends the process with exit code 1, its stack on standard error, where the block has not ended by then.

    A call that ignores its own time-out leaves no other way out; the next life fences this one. 35 µs.
    """
    faulthandler.dump_traceback_later(deadline_s, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def tell(observer: Observer, reports: Sequence[Acknowledged], transaction: str | None) -> None:
    """Hands delivery reports on, with the transaction in which they were sent."""
    for report in reports:
        observer.acknowledged(report.topic, report.partitions, report.offsets, report.errors, transaction)
