"""One worker: one process, one synchronous loop, one consumer, one producer, one database connection.

It walks the steps of its guarantee (`guarantees`) with real clients. Rebalance callbacks run only inside poll, so no
batch is ever in flight when partitions move: what was revoked is already committed, what was lost is forgotten.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from confluent_kafka import KafkaException

from system.kafka.batch import Span
from system.kafka.consumer import GroupConsumer
from system.runtime.absence import Absence
from system.runtime.assignment import Assignment, Partitions
from system.runtime.committing import Committing
from system.runtime.failpoints import Failpoints
from system.runtime.flight import Flight, taken
from system.runtime.guarantees import Ended, Position, Step, advance, next_step
from system.runtime.low_watermark import LowWatermark
from system.runtime.observer import Observer
from system.runtime.outbound import Outbound
from system.runtime.publishing import Publishing
from system.runtime.service import PendingHandler, Service
from system.runtime.storing import Storing
from system.runtime.worker_config import WorkerConfig

POLL_S = 0.1


class Worker:
    """A member of a service's group. `run` returns the process's exit code: 0 after a stop, 1 when it must be
    restarted.
    """

    def __init__(self, service: Service, settings: WorkerConfig, observer: Observer) -> None:
        self._service = service
        self._settings = settings
        self._observer = observer
        self._flight = Flight()
        self._failpoints = Failpoints(settings.crashes, observer, self._report, strike=settings.strike)
        self._failpoints.passed("after-start")
        guarantee = settings.guarantee
        self._outbound = Outbound(service, settings, observer)
        self._producer, self._transactions = self._outbound.producer, self._outbound.transactions
        self._relay = relay = settings.open_relay(settings.prefix) if guarantee.outbox else None
        self._watermark = watermark = _watermark(service, settings)
        self._storing = Storing(service, settings, observer, watermark=watermark, relay=relay, note=self._journal)
        self._absence = Absence(settings.session_timeout_ms / 1e3, time.monotonic())
        self._publishing = Publishing(watermark, self._outbound, relay=relay, absence=self._absence)
        self._assignment = Assignment(settings.prefix + service.name, observer, watermark=watermark, relay=relay)
        self._failpoints.passed("after-connect")
        self._consumer = self._join()
        self._committing = Committing(self._consumer, self._outbound, settings, observer)
        self._act: Mapping[Step, Callable[[], Ended]] = {
            Step.POLL: self._poll,
            Step.STATE: lambda: self._storing.store(self._flight),
            Step.PICK: lambda: self._storing.pick(self._flight),
            Step.BEGIN: self._begin,
            Step.PRODUCE: self._produce,
            Step.OFFSETS: self._offsets,
            Step.COMMIT: self._commit_transaction if guarantee.transactions else self._commit,
            Step.CLEAR: lambda: self._storing.clear(self._flight),
            Step.ABORT: self._abort,
        }

    def _join(self) -> GroupConsumer:
        settings = self._settings
        return settings.open_consumer(
            settings.member(self._service),
            [settings.prefix + topic for topic in self._service.topics],
            on_assign=self._came,
            on_revoke=partial(self._went, "partitions-revoked"),
            on_lost=partial(self._went, "partitions-lost"),
        )

    def _came(self, partitions: Partitions) -> None:
        self._storing.expect_repetitions()
        self._assignment.came(partitions, self._consumer, self._storing.db)
        if partitions:
            self._failpoints.passed("after-assign")

    def _went(self, event: str, partitions: Partitions) -> None:
        self._assignment.went(event, partitions, self._consumer)

    def run(self, stopping: Callable[[], bool]) -> int:
        """Works until `stopping()`; it finishes the batch in hand first."""
        position = Position()
        guarantee = self._settings.guarantee
        try:
            while True:
                step = next_step(guarantee, position, stopping=stopping() and not self._publishing.is_held_back)
                if step is Step.EXIT:
                    return 1
                if step is Step.STOP:
                    self._settle()
                    return 0
                if step is Step.COMMIT and self._flight.raws and self._committing.is_due():
                    self._failpoints.passed("before-commit")
                ended = self._act[step]()
                if ended is Ended.DONE:
                    self._failpoints.passed(f"after-{step}")
                position = advance(guarantee, position, ended)
                if position.index == 0:
                    self._report()
        finally:
            self._close()

    def _poll(self) -> Ended:
        raws = self._consumer.poll(records_max=self._settings.records_max, timeout_s=POLL_S)
        is_doubtless = self._absence.is_doubtless(time.monotonic())
        if not raws:
            return self._settle()
        if not is_doubtless and self._would_repeat():
            spans = [span for raw in raws for span in raw.spans()]
            return Ended.EMPTY if self._put_back(spans) else Ended.FAILED
        prefix = self._settings.prefix
        self._flight = taken(raws, self._service, prefix=prefix, polled_ns=time.monotonic_ns())
        return Ended.DONE

    def _would_repeat(self) -> bool:
        """Nothing would notice that a new owner of the partitions does the same: no inbox, no refused commit."""
        return not self._settings.guarantee.inbox and not self._settings.guarantee.loses

    def _put_back(self, spans: Sequence[Span]) -> bool:
        """Whether these records will be polled again; not where their partition is somebody else's."""
        try:
            self._consumer.rewind(spans)
        except KafkaException as error:
            self._observer.event("rewind-refused", reason=error.args[0].str())
            return False
        return True

    def _settle(self) -> Ended:
        """What an idle worker still has to do: say how far it is, hear of its records, commit what a rebalance
        refused.
        """
        self._publishing.forget_decided(self._storing.db)
        if self._publishing.when_idle() is Ended.FAILED:
            return Ended.FAILED
        if not self._producer.is_idle():
            self._outbound.acknowledge()
        self._committing.settle()
        return Ended.EMPTY

    def _begin(self) -> Ended:
        assert self._transactions is not None
        ended = self._transactions.begin()
        self._flight.transaction = self._transactions.current
        return ended

    def _produce(self) -> Ended:
        flight = self._flight
        self._outbound.send(flight.outgoing, flight.taken_letters())
        if self._transactions is not None:
            # L of the batches before this one, which are visible; it becomes visible with this one.
            self._publishing.if_due()
        ended = self._outbound.acknowledged()
        if ended is not Ended.DONE:
            return ended
        flight.times = flight.times._replace(produced_ns=time.monotonic_ns())
        if self._relay is not None:
            self._relay.acknowledged()
        if self._transactions is None:
            self._finish_batch()
            self._publishing.if_due()
        return Ended.DONE

    def _finish_batch(self) -> None:
        flight = self._flight
        if self._watermark is not None and flight.change is not None:
            self._watermark.finish_batch(flight.change, self._flight.positions())

    def _commit(self) -> Ended:
        return self._committing.commit(self._flight)

    def _offsets(self) -> Ended:
        assert self._transactions is not None
        return self._transactions.send_offsets(self._flight.spans(), self._consumer.group_metadata)

    def _commit_transaction(self) -> Ended:
        assert self._transactions is not None
        ended = self._transactions.commit()
        if ended is Ended.DONE:
            self._flight.times = self._flight.times._replace(committed_ns=time.monotonic_ns())
            self._finish_batch()
            if self._watermark is not None:
                self._watermark.settled(visible=True)
        return ended

    def _abort(self) -> Ended:
        """The same records are polled again; those whose partition goes away in the next poll never come."""
        if self._transactions is not None:
            ended = self._transactions.abort()
            if ended is not Ended.DONE:
                return ended
            if self._watermark is not None:
                self._watermark.settled(visible=False)
            self._storing.doubt(self._flight)
        spans = self._flight.spans()
        if not self._put_back(spans):
            return Ended.FAILED
        for topic in {span.topic for span in spans}:
            partitions = sorted(span.partition for span in spans if span.topic == topic)
            self._observer.event("redelivered", topic=topic, partitions=partitions)
        return Ended.DONE

    def _report(self) -> None:
        flight = self._flight
        if not flight.raws:
            return
        self._journal()
        self._flight = Flight()
        self._storing.batch_ended()
        self._publishing.forget_decided(self._storing.db)

    def _journal(self) -> None:
        flight, generation = self._flight, self._consumer.generation()
        self._observer.batch(flight.spans(), flight.times, generation=generation, transaction=flight.transaction)

    def _close(self) -> None:
        self._consumer.close()
        self._producer.close()
        self._storing.db.close()


def _watermark(service: Service, settings: WorkerConfig) -> LowWatermark | None:
    """What a service that joins keeps of the halves that it has seen."""
    if not isinstance(service.handler, PendingHandler):
        return None
    return LowWatermark(service, service.handler, connection=settings.connection, prefix=settings.prefix)
