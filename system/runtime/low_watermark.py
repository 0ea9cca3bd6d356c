"""Keeps the half-finished transactions of the partitions that a worker owns, across assignments and crashes.

On assignment it reads the last published L of the partition and the records in [L, committed) without acting; during
work it publishes L with the next batch's records, after the broker has acknowledged what the finished transactions
sent.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, TopicPartition

from system.kafka import config
from system.kafka.batch import Json, Raw
from system.kafka.column_consumer import ColumnConsumer
from system.kafka.consumer import raws
from system.kafka.producer import BatchProducer
from system.runtime.decoding import decode
from system.runtime.pending import PartitionPending, PendingChange, apply_change, rebuild
from system.runtime.service import PendingHandler, Service
from system.store.postgres import Transaction

READ_DEADLINE_S = 60.0
METADATA_S = 10.0
POLL_S = 0.02
RECORDS_MAX = 10_000
PUBLISH_PERIOD_S = 0.25
FORGET_PERIOD_S = 0.5
TAIL_RECORDS = 64
"""How far before its end a partition of the watermark topic is read first: control records may stand behind the last
L.
"""

Positions = Mapping[int, int]
"""Partition → offset."""


class RebuildFailed(Exception):
    """The log could not be read back to the committed offset within a minute."""


class LowWatermark:
    """`partitions` maps an owned partition to its state; what is not owned is not there."""

    def __init__(
        self, service: Service, handler: PendingHandler, *, connection: config.Properties, prefix: str
    ) -> None:
        self._service = service
        self._handler = handler
        self._prefix = prefix
        self._topic = prefix + handler.low_watermark_topic
        reader = config.reader(connection, client_id=f"{prefix}{service.name}-rebuild")
        self._reader = {**reader, "enable.partition.eof": True, "fetch.wait.max.ms": 10}
        self.partitions: dict[int, PartitionPending] = {}
        self._moved: set[int] = set()
        self._unsure: dict[int, int | None] = {}
        self._published_s = 0.0
        self._looked_s = 0.0

    def assigned(self, committed: Mapping[tuple[str, int], int], db: Transaction) -> list[tuple[int, int, int, int]]:
        """Rebuilds each partition of the one topic that this service joins over: (partition, L, committed, records)
        each; L is past committed where a life ended between the publishing of the one and the commit of the other.
        """
        topic = next(iter(committed))[0]
        ends = {partition: pos for (_, partition), pos in committed.items()}
        reader = ColumnConsumer(self._reader)
        reader.look_around(timeout_s=METADATA_S)
        try:
            horizons = _ends(reader, topic, list(ends))
            published = self._last_published(reader, list(ends))
            begins = {partition: min(published.get(partition, 0), pos) for partition, pos in ends.items()}
            records = self._records(reader, topic, begins, ends)
        finally:
            reader.close()
        with db.transaction():
            keys = list({key for rows in records.values() for _, key, half, _ in rows if half is not None})
            decided = self._handler.decided(keys, db) if keys else set()
        for partition, pos in ends.items():
            rows = records.get(partition, [])
            self.partitions[partition] = rebuild(
                rows, decided, pos=pos, published=published.get(partition), horizon=horizons[partition]
            )
        # A crash between a decision and the publishing of L would otherwise leave L pinned.
        self._moved.update(p for p in ends if self.partitions[p].low() != (published.get(p) or 0))
        return [(p, published.get(p, 0), ends[p], len(records.get(p, []))) for p in sorted(ends)]

    def dropped(self, partitions: Sequence[int]) -> None:
        """Forgets partitions that were revoked or lost; their new owner reads them back."""
        for partition in partitions:
            self.partitions.pop(partition, None)

    def doubt(self, positions: Positions) -> None:
        """Up to these positions somebody else has decided something: the batch is done again with open eyes."""
        for partition, pos in positions.items():
            state = self.partitions[partition]
            state.horizon = max(state.horizon, pos)

    def forget_decided(self, db: Transaction) -> None:
        """Drops halves of transactions that were decided before: a sender that repeated itself would pin L for ever.

        A look every `FORGET_PERIOD_S` at what has waited since the last one.
        """
        if time.monotonic() - self._looked_s < FORGET_PERIOD_S:
            return
        self._looked_s = time.monotonic()
        waiting = [(partition, key) for partition, state in self.partitions.items() for key in state.long_waiting()]
        if not waiting:
            return
        with db.transaction():
            decided = self._handler.decided([key for _, key in waiting], db)
        for partition, key in waiting:
            if key in decided:
                del self.partitions[partition].halves[key]
                self._moved.add(partition)

    def finish_batch(self, change: PendingChange, positions: Mapping[int, int]) -> None:
        """Applies a batch whose state is durable and whose records are acknowledged, or visible where they are part of
        a Kafka transaction: from here on its L may be published.
        """
        self._moved.update(apply_change(self.partitions, change, positions))

    def publish_if_due(self, producer: BatchProducer) -> None:
        """At most once a `PUBLISH_PERIOD_S`: a produce request is one partition's and costs the broker more than a
        batch of records, while an L that is a tenth of a second old only makes a rebuild read that much more.
        """
        if time.monotonic() - self._published_s >= PUBLISH_PERIOD_S:
            self.publish(producer)

    def has_news(self) -> bool:
        """There is an L that moved since it was published."""
        return any(
            self.partitions[p].low() != self.partitions[p].published for p in self._moved & self.partitions.keys()
        )

    def settled(self, *, visible: bool) -> None:
        """The Kafka transaction in which L was published has ended: what is not visible is published again."""
        if not visible:
            for partition in self._unsure.keys() & self.partitions.keys():
                self.partitions[partition].published = self._unsure[partition]
                self._moved.add(partition)
        self._unsure.clear()

    def publish(self, producer: BatchProducer) -> None:
        """Publishes every L that moved since; an idle worker calls it, so that the last one is never left unsaid."""
        self._published_s = time.monotonic()
        moved, self._moved = self._moved, set()
        for partition in sorted(moved & self.partitions.keys()):
            state = self.partitions[partition]
            if state.low() == state.published:
                continue
            self._unsure.setdefault(partition, state.published)
            state.published = low = state.low()
            producer.send_one(
                self._topic,
                key=str(partition),
                value=str(low).encode(),
                headers=[("pos", str(state.pos).encode())],
                partition=partition,
            )

    def _last_published(self, reader: ColumnConsumer, partitions: Sequence[int]) -> dict[int, int]:
        """Partition → the newest L, for those that have one."""
        ends = _ends(reader, self._topic, partitions)
        tails = {partition: max(0, end - TAIL_RECORDS) for partition, end in ends.items() if end > 0}
        found = self._newest(reader, tails)
        # Nothing but control records in the tail: read the whole partition.
        missed = {partition: 0 for partition, begin in tails.items() if begin > 0 and partition not in found}
        return {**found, **self._newest(reader, missed)}

    def _newest(self, reader: ColumnConsumer, begins: Positions) -> dict[int, int]:
        newest: dict[int, int] = {}
        for raw in _read(reader, self._topic, begins):
            for partition, value in zip(raw.partitions, raw.values, strict=True):
                if value:
                    newest[partition] = int(value)
        return newest

    def _records(
        self, reader: ColumnConsumer, topic: str, begins: Positions, ends: Positions
    ) -> dict[int, list[tuple[int, Any, str | None, Any]]]:
        """Partition → (offset, key, half, value) of the records in [begin, end)."""
        check: Callable[[Json], None] = self._service.check[topic.removeprefix(self._prefix)]
        rows: dict[int, list[tuple[int, Any, str | None, Any]]] = {}
        for raw in _read(reader, topic, {p: begin for p, begin in begins.items() if begin < ends[p]}):
            batch, _ = decode(raw, decode_key=self._service.decode_key, check=check)
            for partition, offset, key, value in zip(
                batch.partitions, batch.offsets, batch.keys, batch.values, strict=True
            ):
                if offset < ends[partition]:
                    rows.setdefault(partition, []).append((offset, key, self._handler.half(value), value))
        return rows


def _ends(reader: ColumnConsumer, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """Partition → the offset behind its last record."""
    found = {}
    for partition in partitions:
        _, found[partition] = reader.watermarks(topic, partition, timeout_s=READ_DEADLINE_S)
    return found


def _read(reader: ColumnConsumer, topic: str, begins: Positions) -> Iterator[Raw]:
    """The records from `begins` to each partition's end: the last offset may be a control record, so the end is asked
    for.
    """
    if not begins:
        return
    reader.assign([TopicPartition(topic, partition, begin) for partition, begin in begins.items()])
    left = set(begins)
    deadline_s = time.monotonic() + READ_DEADLINE_S
    while left:
        records = reader.take(records_max=RECORDS_MAX, timeout_s=POLL_S)
        yield from raws(records)
        left.difference_update(records.partitions[records.errors == KafkaError._PARTITION_EOF].tolist())
        if time.monotonic() > deadline_s:
            raise RebuildFailed(f"{topic} partitions {sorted(left)} could not be read to their ends")
