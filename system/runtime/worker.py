"""One worker: one process, one synchronous loop, one consumer, one producer, one database connection.

It walks the steps of its guarantee (`guarantees`) with real clients. Rebalance callbacks run only inside poll, so no
batch is ever in flight when partitions move: what was revoked is already committed, what was lost is forgotten.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg
from confluent_kafka import TopicPartition
from psycopg.errors import DeadlockDetected, SerializationFailure

from system.kafka import config
from system.kafka.batch import Batch, Outgoing, Raw
from system.kafka.consumer import CommitRefused, GroupConsumer
from system.kafka.producer import BatchProducer, Unacknowledged
from system.runtime.decoding import DEAD_LETTER_SUFFIX, DeadLetter, decode
from system.runtime.effects import apply_always, apply_once
from system.runtime.failpoints import Crash, Failpoints
from system.runtime.guarantees import Ended, Guarantee, Position, Step, advance, next_step
from system.runtime.low_watermark import LowWatermark
from system.runtime.observer import Observer, Times
from system.runtime.pending import PendingChange
from system.runtime.service import PendingHandler, Service
from system.store import postgres
from system.store.postgres import Raced

POLL_S = 0.1
RECORDS_MAX = 4000
DOUBTFUL_BATCHES = 20
"""For so many batches after an assignment or a race a repetition is looked for before it is done, and not only then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """Everything that a worker is given. `name` is service and slot (`pay-0`): client id; `prefix` leads every topic
    and group.
    """

    name: str
    prefix: str
    dsn: str
    connection: config.Properties
    guarantee: Guarantee
    session_timeout_ms: int = 6000
    records_max: int = RECORDS_MAX
    crashes: Sequence[Crash] = ()


@dataclass(slots=True)
class _Flight:
    """The batch between two polls."""

    raws: list[Raw] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    outgoing: list[Outgoing] = field(default_factory=list)
    change: PendingChange | None = None
    times: Times = Times()  # noqa: RUF009 - an immutable tuple


class Worker:
    """A member of a service's group. `run` returns the process's exit code: 0 after a stop, 1 when it must be
    restarted.
    """

    def __init__(self, service: Service, settings: WorkerConfig, observer: Observer) -> None:
        self._service = service
        self._settings = settings
        self._observer = observer
        self._failpoints = Failpoints(settings.crashes, observer, last_words=self._report)
        self._producer = BatchProducer(
            {**config.producer(settings.connection, client_id=settings.prefix + settings.name), **service.producer}
        )
        self._db = self._connect()
        handler = service.handler
        self._watermark = (
            LowWatermark(service, handler, connection=settings.connection, prefix=settings.prefix)
            if isinstance(handler, PendingHandler)
            else None
        )
        self._rebuilt = False
        self._doubtful = DOUBTFUL_BATCHES
        self._committed_s = 0.0
        self._flight = _Flight()
        self._consumer = self._join()
        self._act: Mapping[Step, Callable[[], Ended]] = {
            Step.POLL: self._poll,
            Step.STATE: self._state,
            Step.PRODUCE: self._produce,
            Step.COMMIT: self._commit,
        }

    def _connect(self) -> postgres.Transaction:
        settings = self._settings
        # Below the session timeout: a stopped worker must not hold its rows after its partitions were given away.
        idle_ms = max(500, settings.session_timeout_ms * 2 // 3)
        schema = settings.prefix + self._service.name
        return postgres.connect(settings.dsn, schema=schema, name=settings.name, idle_timeout_ms=idle_ms)

    def _join(self) -> GroupConsumer:
        settings = self._settings
        properties = config.member(
            settings.connection,
            client_id=settings.prefix + settings.name,
            group=settings.prefix + self._service.name,
            session_timeout_ms=settings.session_timeout_ms,
        )
        return GroupConsumer(
            properties,
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
                position = Position(position.index, position.redone, stopping())
                step = next_step(guarantee, position)
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
                if position.index == 0 and ended is not Ended.EMPTY:
                    self._report()
        finally:
            self._close()

    def _poll(self) -> Ended:
        raws = self._consumer.poll(records_max=self._settings.records_max, timeout_s=POLL_S)
        if self._rebuilt and self._watermark is not None:
            self._rebuilt = False
            self._watermark.after_rebuild()
        if not raws:
            self._settle()
            return Ended.EMPTY
        flight = self._flight = _Flight(raws, times=Times(polled_ns=time.monotonic_ns()))
        for raw in raws:
            topic = raw.topic.removeprefix(self._settings.prefix)
            check = self._service.check[topic]
            batch, letters = decode(raw, decode_key=self._service.decode_key, check=check)
            flight.letters += letters
            if len(batch):
                flight.batches.append(batch)
        return Ended.DONE

    def _settle(self) -> None:
        """What an idle worker still has to do: say how far it is, hear of its records, commit what a rebalance
        refused.
        """
        self._forget_decided()
        if self._watermark is not None:
            self._watermark.publish(self._producer)
        if not self._producer.is_idle():
            self._acknowledge()
        try:
            self._consumer.commit()
        except CommitRefused as error:
            self._observer.event("commit-refused", reason=str(error))

    def _state(self) -> Ended:
        flight = self._flight
        flight.outgoing, flight.change = [], None
        try:
            with self._db.transaction():
                for batch in flight.batches:
                    self._handle(batch)
                flight.times = flight.times._replace(handled_ns=time.monotonic_ns())
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
        return Ended.DONE

    def _doubt(self) -> None:
        """What is done again, and the batches behind it, may have been done before."""
        self._doubtful = DOUBTFUL_BATCHES
        if self._watermark is not None:
            self._watermark.doubt(self._positions())

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
        try:
            self._db = self._connect()
        except psycopg.OperationalError:
            return Ended.FAILED
        return Ended.UNKNOWN

    def _produce(self) -> Ended:
        prefix = self._settings.prefix
        for outgoing in self._flight.outgoing:
            self._producer.send(Outgoing(prefix + outgoing.topic, outgoing.keys, outgoing.values))
        for letter in self._flight.letters:
            self._producer.send_one(
                letter.topic + DEAD_LETTER_SUFFIX, key=letter.key, value=letter.value, headers=letter.headers()
            )
        try:
            self._acknowledge()
        except Unacknowledged as error:
            self._observer.event("produce-failed", reason=str(error.args[0]))
            return Ended.FAILED
        self._flight.times = self._flight.times._replace(produced_ns=time.monotonic_ns())
        if self._watermark is not None and self._flight.change is not None:
            self._watermark.finish_batch(self._producer, self._flight.change, self._positions())
        return Ended.DONE

    def _positions(self) -> dict[int, int]:
        """Partition → the offset behind the batch, of a service that reads one topic."""
        return {span.partition: span.last_offset + 1 for raw in self._flight.raws for span in raw.spans()}

    def _acknowledge(self) -> None:
        for report in self._producer.flush():
            self._observer.acknowledged(report.topic, report.partitions, report.offsets, report.errors, None)

    def _commit_is_due(self) -> bool:
        return time.monotonic() - self._committed_s >= self._settings.guarantee.commit_period_s

    def _commit(self) -> Ended:
        spans = [span for raw in self._flight.raws for span in raw.spans()]
        if not self._commit_is_due():
            self._consumer.owe(spans)
            return Ended.POSTPONED
        self._committed_s = time.monotonic()
        try:
            self._consumer.commit(spans)
        except CommitRefused as error:
            self._observer.event("commit-refused", reason=str(error))
            return Ended.FAILED
        self._flight.times = self._flight.times._replace(committed_ns=time.monotonic_ns())
        return Ended.DONE

    def _report(self) -> None:
        flight = self._flight
        if not flight.raws:
            return
        spans = [span for raw in flight.raws for span in raw.spans()]
        self._observer.batch(spans, flight.times, generation=self._consumer.generation(), transaction=None)
        self._flight = _Flight()
        self._doubtful = max(0, self._doubtful - 1)
        self._forget_decided()

    def _forget_decided(self) -> None:
        if self._watermark is not None:
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
        self._moved("partitions-assigned", partitions)

    def _left(self, event: str, partitions: Sequence[TopicPartition]) -> None:
        if self._watermark is not None:
            self._watermark.dropped([partition.partition for partition in partitions])
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
