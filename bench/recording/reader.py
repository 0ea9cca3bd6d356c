"""The `read_committed` reader of the recorder: one partition from offset 0 to a last stable offset, in columns, without
a group.

It reads what the brokers have, by the columnar client of `system.kafka`; that this equals what confluent-kafka's own
`Consumer` gives, record for record, is a test. The end is reached when the position is, never when offsets look
complete: control records stand between and behind the records, so a gap proves nothing, and the client's
end-of-partition event moves past them.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import numpy as np
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from bench.cluster.shield import shield
from bench.recording.errors import RecordingFailed
from bench.recording.positions import Client
from system.kafka.column_consumer import ColumnConsumer
from system.kafka.librdkafka import failure
from system.kafka.records import Records

BATCH: Final = 10_000
POLL_S: Final = 0.05
METADATA_S: Final = 10.0

SETTINGS: Final[Client] = {
    "group.id": "none",
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",
    "check.crcs": True,
    "fetch.wait.max.ms": 10,
    "fetch.message.max.bytes": 4 * 1024 * 1024,
    "fetch.queue.backoff.ms": 5,
    "queued.min.messages": 200_000,
    "queued.max.messages.kbytes": 32 * 1024,
    "log_level": 0,
}
"""Bounded: about 32 MiB of records fetched ahead. `group.id` is demanded by the client; nothing joins or commits."""


_PASSING: Final = (
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
)
"""The client recovers from these by itself; a stall is told by its deadline."""


def open_consumer(client: Client, settings: Client | None = None) -> ColumnConsumer:
    """A consumer with the reader's settings and those given."""
    consumer = ColumnConsumer({**client, **SETTINGS, **(settings or {})})
    # A topic that is not in the client's cache waits up to a second for its leaders; one look fills the cache for all.
    with suppress(KafkaException):  # A cluster that does not answer is told by the reader's own deadline.
        consumer.look_around(timeout_s=METADATA_S)
    return consumer


def read_partition(
    consumer: ColumnConsumer, topic: str, partition: int, *, begin: int = 0, end: int, stall_s: float = 30.0
) -> Iterator[Records]:
    """The visible records in [begin, end), in order, with timestamps and headers; `end` is a last stable offset of the
    partition.

    Raises `RecordingFailed` when the position has not moved for `stall_s` (a broker died) or the client reports an
    error.
    """
    if begin >= end:
        return
    consumer.assign([TopicPartition(topic, partition, begin)])
    position, moved = begin, time.monotonic()
    while position < end:
        # A signal's exception between the client's records and their copy would lose them, and a client of which a
        # record is still held never closes.
        with shield():
            batch = consumer.take(
                records_max=min(BATCH, end - position), timeout_s=POLL_S, timestamps=True, headers=True
            )
        ends = ended(batch)
        for records in batch.without_events():
            position, moved = int(records.offsets[-1]) + 1, time.monotonic()
            # What became stable after `end` was asked for is left out.
            kept = int(np.searchsorted(records.offsets, end))
            if kept:
                yield records.slice(0, kept)
        if ends.get((topic, partition), 0) > position:
            position, moved = ends[topic, partition], time.monotonic()
        if time.monotonic() - moved > stall_s:
            raise RecordingFailed(f"{topic}[{partition}] stalled at offset {position} of {end} for {stall_s:g} s")
    consumer.assign([])


def ended(batch: Records) -> dict[tuple[str, int], int]:
    """The position of each (topic, partition) whose end-of-partition event is in the batch.

    Raises `RecordingFailed` for an error that waiting does not cure.
    """
    ends = {}
    for row in np.flatnonzero(batch.errors).tolist():
        code, number = int(batch.errors[row]), int(batch.topic_rows[row])
        topic, partition = batch.topics[number] if number >= 0 else None, int(batch.partitions[row])
        if code == KafkaError._PARTITION_EOF and topic is not None:
            ends[topic, partition] = int(batch.offsets[row])
        elif code not in _PASSING:
            raise RecordingFailed(f"could not read {topic}[{partition}]: {failure(code).args[0].str()}")
    return ends
