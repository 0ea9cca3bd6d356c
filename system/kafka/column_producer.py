"""A producer of columns: a batch is one foreign call, and its delivery reports come back as columns.

Nothing is lost on the way: what the queue has no room for waits, and every record that was sent ends in one report,
delivered or failed. Order: records of one partition are appended in the order of sending (with idempotence also across
retries), so a batch is cut where the queue is full and never thinned out. One thread's.
"""

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

import numpy as np
from confluent_kafka import TopicPartition
from numpy.typing import NDArray

from system.kafka.abi import LIBRARY, PRODUCER, PURGE_ALL
from system.kafka.columns import BytesColumn, HeadersColumn, Int32, Int64
from system.kafka.config import Properties
from system.kafka.kernel import KERNEL, Kernel, Sender
from system.kafka.librdkafka import configured, created, group_metadata, look_around, partition_list, property_of
from system.kafka.records import Sending
from system.kafka.transactions import checked_step

CHUNK: Final = 20_000
"""Records a foreign call, so that delivery reports are taken in between."""
ROOM_S: Final = 0.01
FLUSH_SLICE_S: Final = 0.2
"""A flush returns to Python this often, so that a signal is heard."""
CLOSE_S: Final = 1.0
METADATA_S: Final = 10.0
ABORT_FLUSH_S: Final = 5.0


class Carried(NamedTuple):
    """What `rd_kafka_produce_batch` cannot carry and costs a call a record."""

    timestamps_ms: Int64 | None = None
    headers: HeadersColumn | None = None


PLAIN: Final = Carried()


@dataclass(frozen=True, slots=True)
class Delivered:
    """Delivery reports of one topic, columns of one length, in the order in which they came.

    `sequences` are the numbers that `send` gave; `errors` librdkafka's codes, 0 = acknowledged; a failed record has
    offset -1 and, if it was refused at once, partition as sent and latency -1.
    """

    topic: str
    sequences: Int64
    partitions: Int32
    offsets: Int64
    errors: Int32
    latencies_us: Int64

    def __len__(self) -> int:
        return len(self.sequences)


class ColumnProducer:
    """Any librdkafka producer configuration works, idempotence and transactions included; Python callbacks do not."""

    def __init__(self, properties: Properties, *, kernel: Kernel = KERNEL) -> None:
        """Raises `KafkaException` for properties that librdkafka refuses."""
        conf = configured(properties)
        self._sender = kernel.sender()
        LIBRARY.rd_kafka_conf_set_opaque(conf, self._sender.opaque)
        LIBRARY.rd_kafka_conf_set_dr_msg_cb(conf, self._sender.callback)
        self._client = created(PRODUCER, conf)
        self._topics: dict[str, int] = {}
        self._release = weakref.finalize(self, _release, self._client, self._topics, self._sender)
        # Threads of other clients may be gone at exit: the process ends with this client open.
        self._release.atexit = False
        self._records_max = int(property_of(self._client, "queue.buffering.max.messages")) or 2**62
        self._bytes_max = int(property_of(self._client, "queue.buffering.max.kbytes")) * 1024
        self._transactional = bool(properties.get("transactional.id"))
        self._sequence = 0
        self._taken = 0
        self._taken_bytes = 0

    def look_around(self, *, timeout_s: float) -> None:
        """Fills the client's cache of topics and leaders. Raises `KafkaException` where no broker answers."""
        look_around(self._client, timeout_s=timeout_s)

    def send(
        self,
        topic: str,
        keys: BytesColumn | None,
        values: BytesColumn,
        *,
        partitions: Int32 | int = -1,
        carried: Carried = PLAIN,
    ) -> int:
        """Hands the records over in order, waiting for room; the sequence number of the first.

        `partitions`: one for all or a column, -1 = by the key with the configured partitioner. A record that is refused
        (too large, no such partition, fatal error) ends in a report like any other. Raises `ValueError` for columns of
        different lengths and `KafkaException` for a name that no topic can have.
        """
        stamps, headers = carried
        if isinstance(partitions, np.ndarray):
            partitions = np.ascontiguousarray(partitions, np.int32)
        if stamps is not None:
            stamps = np.ascontiguousarray(stamps, np.int64)
        # The kernel reads as many rows of each as there are values.
        columns = (keys, stamps, headers, None if isinstance(partitions, int) else partitions)
        if any(column is not None and len(column) != len(values) for column in columns):
            raise ValueError(f"columns of different lengths for {len(values)} values")
        first = self._sequence
        sending = Sending(self._topic(topic), keys, values, partitions, stamps, headers, first)
        self._sequence += len(values)
        begin = 0
        while begin < len(values):
            end = begin + min(self._room(values.offsets, begin), CHUNK)
            begin += self._handed(sending, begin, end)
            LIBRARY.rd_kafka_poll(self._client, 0)
        return first

    def _topic(self, name: str) -> int:
        handle = self._topics.get(name)
        if handle is None:
            handle = self._topics[name] = self._sender.topic(self._client, name)
            if self._transactional:
                # Records of a batch to a topic whose leaders are not known would never join the transaction
                # (librdkafka 2.16), and it would wait for them until its time is up.
                look_around(self._client, handle, timeout_s=METADATA_S)
        return handle

    def _room(self, offsets: Int64, begin: int) -> int:
        """How many rows from `begin` fit into the queue, waiting until one does.

        Counted here, as librdkafka would refuse a large record and take the smaller one behind it: out of order. A
        record that no empty queue can hold is let through, to be refused.
        """
        while True:
            in_flight = self.in_flight()
            room = self._bytes_max - (self._taken_bytes - self._sender.heard_bytes)
            fitting = int(np.searchsorted(offsets, offsets[begin] + room, "right")) - 1 - begin
            fitting = min(fitting, self._records_max - in_flight, len(offsets) - 1 - begin)
            if fitting > 0:
                return fitting
            if in_flight == 0:
                return 1
            LIBRARY.rd_kafka_poll(self._client, round(ROOM_S * 1000))

    def _handed(self, sending: Sending, begin: int, end: int) -> int:
        """How many of the rows are done with: taken by librdkafka, or refused for good.

        One that finds no room is tried again, unless an empty queue had none: then it is refused for good.
        """
        handed = self._sender.produce(self._client, sending, begin, end, may_wait=self.in_flight() > 0)
        self._taken += handed.taken
        self._taken_bytes += handed.taken_bytes
        return handed.tried

    def in_flight(self) -> int:
        """Records in the queue or on their way, whose fate is not known yet."""
        return self._taken - self._sender.heard

    def poll(self, timeout_s: float = 0.0) -> int:
        """Serves delivery reports, waiting for the first at most so long; records still in flight."""
        LIBRARY.rd_kafka_poll(self._client, round(timeout_s * 1000))
        return self.in_flight()

    def flush(self, timeout_s: float) -> int:
        """Sends without lingering and waits for every report; records still in flight when the time is up."""
        left_s = timeout_s
        while self.in_flight() and left_s > 0:
            LIBRARY.rd_kafka_flush(self._client, round(min(FLUSH_SLICE_S, left_s) * 1000))
            left_s -= FLUSH_SLICE_S
        return self.in_flight()

    def delivered(self) -> list[Delivered]:
        """The reports since the last call, a value a topic."""
        rows = self._sender.take()
        return list(self._by_topic(rows)) if len(rows) else []

    def _by_topic(self, rows: NDArray[np.void]) -> Iterator[Delivered]:
        for topic, handle in self._topics.items():
            mine = rows["topic"] == handle
            if not mine.any():
                continue
            part = rows if mine.all() else rows[mine]
            columns = [part[name] for name in ("sequence", "partition", "offset", "error", "latency_us")]
            yield Delivered(topic, *columns)

    def has_reports(self) -> bool:
        """`delivered` has something to tell."""
        return self._sender.waiting > 0

    def init_transactions(self, *, timeout_s: float) -> None:
        """Fences earlier producers of the same transactional id and waits for the end of what they left open (KIP-98).

        It and the four below raise `RetryCall`, `AbortNeeded`, `ProducerFatal` or `KafkaException`.
        """
        checked_step(LIBRARY.rd_kafka_init_transactions(self._client, round(timeout_s * 1000)))

    def begin_transaction(self) -> None:
        """What is sent from here belongs to it."""
        checked_step(LIBRARY.rd_kafka_begin_transaction(self._client))

    def send_offsets_to_transaction(self, offsets: Iterable[TopicPartition], group: bytes, *, timeout_s: float) -> None:
        """These offsets of a group are committed if and when the transaction is; `group` is
        `ColumnConsumer.group_metadata`, and a member that is stale by then is refused (KIP-447).

        With records still in flight it waits a hundred milliseconds for their partitions: flush first.
        """
        with partition_list(offsets) as given, group_metadata(group) as member:
            send = LIBRARY.rd_kafka_send_offsets_to_transaction
            checked_step(send(self._client, given, member, round(timeout_s * 1000)))

    def commit_transaction(self, *, timeout_s: float) -> None:
        """Flushes and commits. A record that failed makes it `AbortNeeded`."""
        checked_step(LIBRARY.rd_kafka_commit_transaction(self._client, round(timeout_s * 1000)))

    def abort_transaction(self, *, timeout_s: float) -> None:
        """Gives up what was sent since it began. Every record has its report, delivered or failed, when it returns.

        What is on its way is waited for: librdkafka 2.16 may otherwise end a transaction of which the broker has not
        yet heard, and is told INVALID_TXN_STATE, which is fatal (seen once in 4,000 aborts).
        """
        self.flush(min(ABORT_FLUSH_S, timeout_s))
        checked_step(LIBRARY.rd_kafka_abort_transaction(self._client, round(timeout_s * 1000)))

    def close(self) -> None:
        """Gives up what is still queued or on its way; a caller that wants it sent has flushed."""
        if self._release.alive:
            LIBRARY.rd_kafka_purge(self._client, PURGE_ALL)
            LIBRARY.rd_kafka_flush(self._client, round(CLOSE_S * 1000))
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _release(client: int, topics: dict[str, int], sender: Sender) -> None:
    for handle in topics.values():
        LIBRARY.rd_kafka_topic_destroy(handle)
    LIBRARY.rd_kafka_destroy(client)
    sender.close()
