"""Keeps the half-finished transactions of the partitions that a worker owns, across assignments and crashes.

On assignment it reads the last published L of the partition and the records in [L, committed) without acting; during work
it publishes L with the next batch's records, after the broker has acknowledged what the finished transactions sent.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from system.kafka import config
from system.kafka.consumer import columns
from system.kafka.producer import BatchProducer
from system.runtime.decoding import decode
from system.runtime.pending import PartitionPending, PendingChange, apply_change, rebuild
from system.runtime.service import PendingHandler, Service
from system.store.postgres import Transaction

READ_DEADLINE_POLLS = 600
POLL_S = 0.1


class RebuildFailed(Exception):
    """The log could not be read back to the committed offset within a minute."""


class LowWatermark:
    """`partitions` maps an owned partition to its state; what is not owned is not there."""

    def __init__(self, service: Service, handler: PendingHandler, *, connection: config.Properties, prefix: str) -> None:
        self._service = service
        self._handler = handler
        self._prefix = prefix
        self._topic = prefix + handler.low_watermark_topic
        self._reader = config.reader(connection, client_id=f"{prefix}{service.name}-rebuild")
        self.partitions: dict[int, PartitionPending] = {}

    def assigned(self, committed: Mapping[tuple[str, int], int], db: Transaction) -> list[tuple[int, int, int, int]]:
        """Rebuilds each partition of the one topic that this service joins over: (partition, from, to, records) each."""
        rebuilt = []
        reader = Consumer({**self._reader, "enable.partition.eof": True})
        try:
            for (topic, partition), pos in sorted(committed.items()):
                published = self._last_published(reader, partition)
                low = min(published or 0, pos)
                records = list(self._records(reader, topic, partition, low, pos))
                keys = list({key for _, key, half, _ in records if half is not None})
                with db.transaction():
                    decided = self._handler.decided(keys, db) if keys else set()
                state = rebuild(records, decided, pos=pos, published=published)
                self.partitions[partition] = state
                rebuilt.append((partition, low, pos, len(records)))
        finally:
            reader.close()
        return rebuilt

    def dropped(self, partitions: Sequence[int]) -> None:
        """Forgets partitions that were revoked or lost; their new owner reads them back."""
        for partition in partitions:
            self.partitions.pop(partition, None)

    def publish_all_moved(self, producer: BatchProducer) -> None:
        """After a rebuild: a crash between a decision and the publishing of L would otherwise leave L pinned."""
        self._publish(producer, [p for p, state in self.partitions.items() if state.low() != (state.published or 0)])

    def finish_batch(self, producer: BatchProducer, change: PendingChange, positions: Mapping[int, int]) -> None:
        """Applies a batch whose state is durable and whose records are acknowledged, and publishes the L that moved."""
        self._publish(producer, apply_change(self.partitions, change, positions))

    def _publish(self, producer: BatchProducer, partitions: Sequence[int]) -> None:
        for partition in partitions:
            state = self.partitions[partition]
            state.published = low = state.low()
            producer.send_one(
                self._topic,
                key=str(partition),
                value=str(low).encode(),
                headers=[("pos", str(state.pos).encode())],
                partition=partition,
            )

    def _last_published(self, reader: Consumer, partition: int) -> int | None:
        last: int | None = None
        for raw in _read(reader, self._topic, partition, 0, None):
            for value in raw.values:
                last = int(value) if value else last
        return last

    def _records(
        self, reader: Consumer, topic: str, partition: int, low: int, end: int
    ) -> Iterator[tuple[int, Any, str | None, Any]]:
        check: Callable[[Any], None] = self._service.check[topic.removeprefix(self._prefix)]
        for raw in _read(reader, topic, partition, low, end):
            batch, _ = decode(raw, decode_key=self._service.decode_key, check=check)
            for offset, key, value in zip(batch.offsets, batch.keys, batch.values, strict=True):
                if offset < end:
                    yield offset, key, self._handler.half(value), value


def _read(reader: Consumer, topic: str, partition: int, begin: int, end: int | None) -> Iterator[Any]:
    """The records in [begin, end), or to the partition's end: the last offset may be a control record, so ask for EOF."""
    if end is not None and begin >= end:
        return
    reader.assign([TopicPartition(topic, partition, begin)])
    for _ in range(READ_DEADLINE_POLLS):
        messages = reader.consume(10_000, POLL_S)
        yield from columns(messages)
        if any(_is_end(message.error()) for message in messages):
            return
        position = reader.position([TopicPartition(topic, partition)])[0].offset
        if end is not None and position >= end:
            return
    raise RebuildFailed(f"{topic} partition {partition} could not be read from offset {begin} on")


def _is_end(error: KafkaError | None) -> bool:
    if error is not None and error.code() != KafkaError._PARTITION_EOF and error.fatal():
        raise KafkaException(error)
    return error is not None and error.code() == KafkaError._PARTITION_EOF
