"""One worker: one process, one synchronous loop, one consumer, one producer, one database connection.

It walks the steps of its guarantee (`guarantees`) with real clients. Rebalance callbacks run only inside poll, so no
batch is ever in flight when partitions move: what was revoked is already committed, what was lost is forgotten.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import psycopg
from confluent_kafka import KafkaException, TopicPartition
from psycopg.errors import DeadlockDetected, SerializationFailure

from system.kafka.batch import Batch
from system.kafka.consumer import CommitRefused, GroupConsumer
from system.runtime.absence import Absence
from system.runtime.effects import apply_always, apply_once
from system.runtime.failpoints import Failpoints
from system.runtime.flight import Flight, taken
from system.runtime.guarantees import Ended, Position, Step, advance, next_step
from system.runtime.low_watermark import LowWatermark
from system.runtime.observer import Observer
from system.runtime.outbound import Outbound
from system.runtime.service import PendingHandler, Service
from system.runtime.worker_config import WorkerConfig
from system.store.postgres import Raced

POLL_S = 0.1
COMMIT_PERIOD_S = 0.1
"""Offsets are committed at most so often where the guarantee lets them wait: a commit costs the broker as much as a
batch of records, and what is read again is harmless there.
"""
DOUBTFUL_BATCHES = 20
"""For so many batches after an assignment or a race a repetition is looked for before it is done, and not only then."""


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
        self._relay = settings.open_relay(settings.prefix) if guarantee.outbox else None
        self._db = self._settings.connect(self._service)
        handler = service.handler
        self._watermark = (
            LowWatermark(service, handler, connection=settings.connection, prefix=settings.prefix)
            if isinstance(handler, PendingHandler)
            else None
        )
        self._rebuilt = False
        self._doubtful = DOUBTFUL_BATCHES
        self._absence = Absence(settings.session_timeout_ms / 1e3, time.monotonic())
        self._committed_s = 0.0
        self._failpoints.passed("after-connect")
        self._consumer = self._join()
        self._act: Mapping[Step, Callable[[], Ended]] = {
            Step.POLL: self._poll,
            Step.STATE: self._state,
            Step.PICK: self._pick,
            Step.BEGIN: self._begin,
            Step.PRODUCE: self._produce,
            Step.OFFSETS: self._offsets,
            Step.COMMIT: self._commit_transaction if guarantee.transactions else self._commit,
            Step.CLEAR: self._clear,
            Step.ABORT: self._abort,
        }

    def _join(self) -> GroupConsumer:
        settings = self._settings
        return settings.open_consumer(
            settings.member(self._service),
            [settings.prefix + topic for topic in self._service.topics],
            on_assign=self._assigned,
            on_revoke=lambda partitions: self._left("partitions-revoked", partitions),
            on_lost=lambda partitions: self._left("partitions-lost", partitions),
        )

    def run(self, stopping: Callable[[], bool]) -> int:
        """Works until `stopping()`; it finishes the batch in hand first."""
        position = Position()
        guarantee = self._settings.guarantee
        try:
            while True:
                step = next_step(guarantee, position, stopping=stopping() and not self._holds_its_tongue())
                if step is Step.EXIT:
                    return 1
                if step is Step.STOP:
                    self._settle()
                    return 0
                if step is Step.COMMIT and self._flight.raws and self._commit_is_due():
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
        if self._rebuilt and self._watermark is not None:
            self._rebuilt = False
            self._watermark.after_rebuild()
        if not raws:
            return self._settle()
        prefix = self._settings.prefix
        self._flight = taken(raws, self._service, prefix=prefix, polled_ns=time.monotonic_ns())
        return Ended.DONE

    def _settle(self) -> Ended:
        """What an idle worker still has to do: say how far it is, hear of its records, commit what a rebalance
        refused.
        """
        self._forget_decided()
        if self._watermark is not None and self._watermark.has_news() and self._may_publish():
            if self._transactions is not None:
                return self._publish_in_a_transaction()
            self._watermark.publish(self._producer)
        if not self._producer.is_idle():
            self._outbound.acknowledge()
        try:
            self._consumer.commit()
        except CommitRefused as error:
            self._observer.event("commit-refused", reason=str(error))
        return Ended.EMPTY

    def _may_publish(self) -> bool:
        """No reply waits in the outbox that an L could overtake, and no new owner of its partition is left unheard of
        whose L it could undo.
        """
        return (self._relay is None or self._relay.is_level) and self._absence.is_doubtless(time.monotonic())

    def _publish_in_a_transaction(self) -> Ended:
        """EMPTY, or FAILED where the producer was fenced; what was aborted is published at the next occasion."""
        assert self._transactions is not None
        assert self._watermark is not None
        ended = self._transactions.begin()
        if ended is Ended.DONE:
            self._watermark.publish(self._producer)
            ended = self._outbound.acknowledged()
        if ended is Ended.DONE:
            ended = self._transactions.commit()
        self._watermark.settled(visible=ended is Ended.DONE)
        if ended is Ended.ABORTABLE:
            ended = self._transactions.abort()
        return Ended.EMPTY if ended is Ended.DONE else Ended.FAILED

    def _holds_its_tongue(self) -> bool:
        """An L has moved that it may not publish yet, after an absence: it stops when it has."""
        return (
            self._watermark is not None
            and self._watermark.has_news()
            and not self._absence.is_doubtless(time.monotonic())
        )

    def _state(self) -> Ended:
        flight = self._flight
        flight.outgoing, flight.change = [], None
        try:
            with self._db.transaction():
                for batch in flight.batches:
                    self._handle(batch)
                if self._relay is not None:
                    self._relay.keep(flight.outgoing, flight.raws, self._db)
                flight.times = flight.times._replace(handled_ns=time.monotonic_ns())
                self._note()
        # SQLSTATE 40P01 and 40001: certainly rolled back.
        except (DeadlockDetected, SerializationFailure, Raced) as error:
            self._observer.event("batch-rolled-back", reason=type(error).__name__)
            self._doubt()
            return Ended.ROLLED_BACK
        except (psycopg.OperationalError, psycopg.InternalError) as error:
            self._observer.event("database-lost", reason=str(error).splitlines()[0])
            self._doubt()
            return self._reconnected()
        flight.times = flight.times._replace(stored_ns=time.monotonic_ns())
        self._note()
        return Ended.DONE

    def _note(self) -> None:
        """Tells of a batch on both sides of its database commit, where no inbox will tell that it was applied: a kill
        leaves nothing in doubt but a commit that it cuts short.
        """
        if not self._settings.guarantee.inbox:
            self._journal()

    def _doubt(self) -> None:
        """What is done again, and the batches behind it, may have been done before."""
        self._doubtful = DOUBTFUL_BATCHES
        if self._watermark is not None:
            self._watermark.doubt(self._flight.positions())

    def _handle(self, batch: Batch) -> None:
        handler = self._service.handler
        if isinstance(handler, PendingHandler):
            assert self._watermark is not None
            replies = handler.handle(batch, self._db, self._watermark.partitions)
            self._flight.change = replies.change
        elif handler.apply is not None:
            replies = handler.apply(batch, self._db, handler)
        elif self._settings.guarantee.inbox:
            replies = apply_once(batch, self._db, handler, cautious=self._doubtful > 0)
        else:
            replies = apply_always(batch, self._db, handler)
        self._flight.outgoing += replies.outgoing

    def _reconnected(self) -> Ended:
        """The fate of the batch is unknown: the connection broke, perhaps during the commit. UNKNOWN, or FAILED
        without a server.
        """
        with suppress(psycopg.Error):  # It is broken already; what counts is the new one.
            self._db.close()
        if self._relay is not None:
            self._relay.doubt()
        try:
            self._db = self._settings.connect(self._service)
        except psycopg.OperationalError:
            return Ended.FAILED
        return Ended.UNKNOWN

    def _pick(self) -> Ended:
        assert self._relay is not None
        flight = self._flight
        try:
            picked = self._relay.pick(self._db, is_idle=not flight.raws)
        except (psycopg.OperationalError, psycopg.InternalError) as error:
            return self._database_lost(error)
        flight.outgoing = picked or []
        return Ended.EMPTY if picked is None else Ended.DONE

    def _clear(self) -> Ended:
        assert self._relay is not None
        try:
            cleared = self._relay.clear(self._db, is_idle=not self._flight.raws)
        except (psycopg.OperationalError, psycopg.InternalError) as error:
            return self._database_lost(error)
        return Ended.DONE if cleared else Ended.SKIPPED

    def _database_lost(self, error: psycopg.Error) -> Ended:
        """The relay's rows are in the table: the next life publishes them."""
        self._observer.event("database-lost", reason=str(error).splitlines()[0])
        return Ended.FAILED

    def _begin(self) -> Ended:
        assert self._transactions is not None
        ended = self._transactions.begin()
        self._flight.transaction = self._transactions.current
        return ended

    def _produce(self) -> Ended:
        flight = self._flight
        self._outbound.send(flight.outgoing, flight.taken_letters())
        if self._transactions is not None and self._watermark is not None and self._may_publish():
            # Of the batches before this one, which are visible; it becomes visible with this one.
            self._watermark.publish_if_due(self._producer)
        ended = self._outbound.acknowledged()
        if ended is not Ended.DONE:
            return ended
        flight.times = flight.times._replace(produced_ns=time.monotonic_ns())
        if self._relay is not None:
            self._relay.acknowledged()
        if self._transactions is None:
            self._finish_batch()
            if self._watermark is not None and self._may_publish():
                self._watermark.publish_if_due(self._producer)
        return Ended.DONE

    def _finish_batch(self) -> None:
        flight = self._flight
        if self._watermark is not None and flight.change is not None:
            self._watermark.finish_batch(flight.change, self._flight.positions())

    def _commit_is_due(self) -> bool:
        waits = Step.COMMIT in self._settings.guarantee.paced
        return not waits or time.monotonic() - self._committed_s >= COMMIT_PERIOD_S

    def _commit(self) -> Ended:
        if self._flight.letters:
            # The offsets come first here, and a record that is skipped must not be skipped without a trace.
            self._outbound.send((), self._flight.taken_letters())
            if self._outbound.acknowledged() is not Ended.DONE:
                return Ended.FAILED
        if not self._commit_is_due():
            self._consumer.owe(self._flight.spans())
            return Ended.SKIPPED
        self._committed_s = time.monotonic()
        try:
            self._consumer.commit(self._flight.spans())
        except CommitRefused as error:
            self._observer.event("commit-refused", reason=str(error))
            # Nothing was done yet where the offsets come first: what is still its own it polls again.
            return Ended.ABORTABLE if self._settings.guarantee.loses else Ended.FAILED
        self._flight.times = self._flight.times._replace(committed_ns=time.monotonic_ns())
        return Ended.DONE

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
            self._doubt()
        spans = self._flight.spans()
        try:
            self._consumer.rewind(spans)
        except KafkaException as error:
            self._observer.event("rewind-refused", reason=error.args[0].str())
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
        self._doubtful = max(0, self._doubtful - 1)
        self._forget_decided()

    def _journal(self) -> None:
        flight, generation = self._flight, self._consumer.generation()
        self._observer.batch(flight.spans(), flight.times, generation=generation, transaction=flight.transaction)

    def _forget_decided(self) -> None:
        # What a new owner has decided would pass for this one's.
        if self._watermark is not None and self._absence.is_doubtless(time.monotonic()):
            # Where the connection broke, the next batch finds out and opens another.
            with suppress(psycopg.OperationalError, psycopg.InternalError):
                self._watermark.forget_decided(self._db)

    def _assigned(self, partitions: Sequence[TopicPartition]) -> None:
        self._doubtful = DOUBTFUL_BATCHES
        if self._watermark is not None and partitions:
            committed = self._consumer.committed(partitions)
            for partition, low, pos, records in self._watermark.assigned(committed, self._db):
                self._observer.event(
                    "rebuild-finished", partition=partition, **{"from": low, "to": pos}, records=records
                )
            self._rebuilt = True
        if self._relay is not None:
            self._relay.assigned(self._relay.source(one.topic, one.partition) for one in partitions)
        self._moved("partitions-assigned", partitions)
        if partitions:
            self._failpoints.passed("after-assign")

    def _left(self, event: str, partitions: Sequence[TopicPartition]) -> None:
        if self._watermark is not None:
            self._watermark.dropped([partition.partition for partition in partitions])
        if self._relay is not None:
            self._relay.dropped(self._relay.source(one.topic, one.partition) for one in partitions)
        self._moved(event, partitions)

    def _moved(self, event: str, partitions: Sequence[TopicPartition]) -> None:
        by_topic: dict[str, list[int]] = {}
        for partition in partitions:
            by_topic.setdefault(partition.topic, []).append(partition.partition)
        group = self._settings.prefix + self._service.name
        for topic, numbers in by_topic.items():
            generation = self._consumer.generation()
            self._observer.event(event, group=group, topic=topic, partitions=sorted(numbers), generation=generation)

    def _close(self) -> None:
        self._consumer.close()
        self._producer.close()
        self._db.close()
