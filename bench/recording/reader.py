"""The independent `read_committed` reader: one partition from offset 0 to a last stable offset, in columns, without a
group.

It shares no code with the system under test: confluent-kafka's `Consumer` and nothing else. A reader by columns may
take the place of `read_partition` if it keeps its shape. The end is reached when the position is, never when offsets
look complete: control records stand between and behind the records, so a gap proves nothing, and the client's
end-of-partition event moves past them.
"""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from bench.recording.errors import RecordingFailed
from bench.recording.positions import Client

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


class Columns(NamedTuple):
    """Some consecutive records of one partition, a list a column; `headers` has None for a record without."""

    offsets: list[int]
    timestamps_ms: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[list[tuple[str, bytes | None]] | None]


def open_consumer(client: Client, settings: Client | None = None) -> Consumer:
    """A consumer with the reader's settings and those given; errors that pass are silent, as a stall is told by its
    deadline.
    """
    consumer = Consumer({**client, **SETTINGS, **(settings or {}), "error_cb": lambda _error: None})
    # A topic that is not in the client's cache waits up to a second for its leaders; one look fills the cache for all.
    with suppress(KafkaException):  # A cluster that does not answer is told by the reader's own deadline.
        consumer.list_topics(timeout=METADATA_S)
    return consumer


def read_partition(
    consumer: Consumer, topic: str, partition: int, *, begin: int = 0, end: int, stall_s: float = 30.0
) -> Iterator[Columns]:
    """The visible records in [begin, end), in order; `end` is a last stable offset of the partition.

    Raises `RecordingFailed` when the position has not moved for `stall_s` (a broker died) or the client reports an
    error.
    """
    if begin >= end:
        return
    consumer.assign([TopicPartition(topic, partition, begin)])
    position, moved = begin, time.monotonic()
    while position < end:
        batch = consumer.consume(min(BATCH, end - position), POLL_S)
        records, ends = ended(batch)
        if records and (offset := records[-1].offset()) is not None:
            position, moved = offset + 1, time.monotonic()
            yield _below(end, columns_of(records))
        if ends.get((topic, partition), 0) > position:
            position, moved = ends[topic, partition], time.monotonic()
        if time.monotonic() - moved > stall_s:
            raise RecordingFailed(f"{topic}[{partition}] stalled at offset {position} of {end} for {stall_s:g} s")
    consumer.unassign()


def ended(batch: list[Message]) -> tuple[list[Message], dict[tuple[str, int], int]]:
    """The records of a batch, and the position of each (topic, partition) whose end-of-partition event came.

    Raises `RecordingFailed` for an error that waiting does not cure.
    """
    if not any(message.error() for message in batch):
        return batch, {}
    ends = {}
    for message in batch:
        error = message.error()
        if error is None:
            continue
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if error.code() != KafkaError._PARTITION_EOF:
            if error.fatal() or not _passes(error):
                raise RecordingFailed(f"could not read {topic}[{partition}]: {error.str()}")
        elif topic is not None and partition is not None and offset is not None:
            ends[topic, partition] = offset
    return [message for message in batch if message.error() is None], ends


def columns_of(records: list[Message]) -> Columns:
    """A column a comprehension: 0.6 µs of CPU a record in this thread, the consume included, over a million records."""
    return Columns(
        [record.offset() for record in records],  # type: ignore[misc]
        [record.timestamp()[1] for record in records],
        [record.key() for record in records],
        [record.value() for record in records],
        [record.headers() for record in records],  # type: ignore[misc]
    )


def _below(end: int, columns: Columns) -> Columns:
    """Without what became stable after `end` was asked for."""
    if columns.offsets[-1] < end:
        return columns
    kept = sum(offset < end for offset in columns.offsets)
    return Columns._make(column[:kept] for column in columns)


def _passes(error: KafkaError) -> bool:
    return bool(error.retriable()) or error.code() in (
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
    )


@contextmanager
def without_cycles() -> Iterator[None]:
    """No cyclic garbage collection inside: batches of 10,000 tracked objects make it walk the heap for nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
