"""A consumer of columns: what is in the queue comes in one foreign call, in columns that own their memory.

Partitions are assigned by hand or by a group; offsets are committed by the caller alone. Events (partition end, errors)
keep their place among the records. Rebalance callbacks run inside `take` and `close` only. One thread's.
"""

import ctypes
import weakref
from collections.abc import Iterable
from typing import Final, Self

import numpy as np
from confluent_kafka import TopicPartition
from numpy.typing import NDArray

from system.kafka.abi import CONSUMER, LEAVE_NO_GROUP, LIBRARY, Message, RebalanceCallback
from system.kafka.columns import address
from system.kafka.config import Properties
from system.kafka.kernel import KERNEL, Kernel
from system.kafka.librdkafka import (
    checked,
    checked_error,
    configured,
    created,
    failure,
    look_around,
    partition_list,
    partitions_in,
    serialised_group,
    topic_handle,
)
from system.kafka.rebalancing import Partitions, Rebalanced, Rebalancing
from system.kafka.records import Records

NOBODY: Final = Rebalanced(*3 * (lambda _: None,))
"""Is told of the moves of a consumer outside a group, which has none."""


class ColumnConsumer:
    """Any librdkafka consumer configuration works; Python callbacks do not."""

    def __init__(
        self, properties: Properties, *, rebalanced: Rebalanced | None = None, kernel: Kernel = KERNEL
    ) -> None:
        """Raises `KafkaException` for properties that librdkafka refuses. `rebalanced` is for members of a group."""
        conf = configured(properties)
        self._kernel = kernel
        self._is_classic = properties.get("group.protocol") != "consumer"
        self._rebalancing = Rebalancing(rebalanced or NOBODY)
        self._held: dict[int, str] = {}
        self._pointers = np.empty(0, np.uint64)
        # librdkafka calls it as long as the client lives, so it lives as long as the client.
        self._callback = RebalanceCallback(self._rebalancing.moved)
        if rebalanced is not None:
            LIBRARY.rd_kafka_conf_set_rebalance_cb(conf, self._callback)
        self._client = created(CONSUMER, conf)
        LIBRARY.rd_kafka_poll_set_consumer(self._client)
        self._queue: int = LIBRARY.rd_kafka_queue_get_consumer(self._client)
        self._release = weakref.finalize(self, _release, self._client, self._queue, self._held)
        self._release.atexit = False

    def look_around(self, *, timeout_s: float) -> None:
        """Fills the client's cache of topics and leaders. Raises `KafkaException` where no broker answers."""
        look_around(self._client, timeout_s=timeout_s)

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Reads these partitions, each from its offset; none ends the reading."""
        with partition_list(partitions) as given:
            checked(LIBRARY.rd_kafka_assign(self._client, given))

    def seek(self, offsets: Iterable[TopicPartition], *, timeout_s: float) -> None:
        """Reads on from these offsets of partitions that it has; what was fetched of them before is dropped.

        Raises `KafkaException`, also for a partition that it does not have.
        """
        with partition_list(offsets) as given:
            checked_error(LIBRARY.rd_kafka_seek_partitions(self._client, given, round(timeout_s * 1000)))
            _without_errors(partitions_in(given))

    def subscribe(self, topics: Iterable[str]) -> None:
        """Joins the group of the configuration."""
        names = list(topics)
        self._rebalancing.hurry(names[0] if self._is_classic else None)
        with partition_list(TopicPartition(topic) for topic in names) as given:
            checked(LIBRARY.rd_kafka_subscribe(self._client, given))

    def take(self, *, records_max: int, timeout_s: float, timestamps: bool = False, headers: bool = False) -> Records:
        """What is there, waiting for the first record at most so long. A batch is as large as the backlog.

        One call with a count would wait the whole time-out for the count to be full. Raises what a rebalance callback
        raised.
        """
        if len(self._pointers) < records_max:
            self._pointers = np.empty(records_max, np.uint64)
        count = self._consumed(0, records_max, 0.0)
        # Only what leaves between this look and the last concerns the record that this one has taken: a partition that
        # left before may have come back since, and its first record is as good as any.
        self._rebalancing.left.clear()
        if count == 0:
            count = self._consumed(0, 1, timeout_s)
            self._rebalancing.left.clear()
            if count and records_max > 1:
                count += self._consumed(1, records_max, 0.0)
        messages = self._pointers[:count]
        if self._rebalancing.left and count:
            messages = self._without_first_if_left(messages)
        measured = self._kernel.measure(messages, headers=headers)
        topics = tuple(self._name(handle) for handle in measured.topics)
        return self._kernel.copy(messages, measured, topics, timestamps=timestamps, headers=headers)

    def _consumed(self, begin: int, end: int, timeout_s: float) -> int:
        room = self._pointers[begin:end]
        count: int = LIBRARY.rd_kafka_consume_batch_queue(
            self._queue, round(timeout_s * 1000), address(room), len(room)
        )
        try:
            self._rebalancing.reraise()
            if count < 0:
                raise failure(LIBRARY.rd_kafka_last_error())
        except BaseException:
            self._kernel.destroy(self._pointers[: begin + max(0, count)])
            raise
        return count

    def _without_first_if_left(self, messages: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The last look at the queue may have given a partition away after the one before had taken a record of it.

        Within one call librdkafka itself drops what a rebalance made stale.
        """
        first = Message.from_address(int(messages[0]))
        gone = first.topic is not None and (self._name(first.topic), first.partition) in self._rebalancing.left
        self._rebalancing.left.clear()
        if not gone:
            return messages
        self._kernel.destroy(messages[:1])
        return messages[1:]

    def _name(self, handle: int) -> str:
        """A topic's name by its handle. The handle is held, so that it never comes to mean another topic."""
        name = self._held.get(handle)
        if name is None:
            found: bytes = LIBRARY.rd_kafka_topic_name(handle)
            name = found.decode()
            held = topic_handle(self._client, name)
            assert held == handle, "librdkafka has one handle a topic and client"
            self._held[handle] = name
        return name

    def commit(self, offsets: Iterable[TopicPartition]) -> None:
        """Commits these offsets of the group and waits. Raises `KafkaException` if one is refused."""
        with partition_list(offsets) as given:
            checked(LIBRARY.rd_kafka_commit(self._client, given, 0))
            for _, error in partitions_in(given):
                checked(error)

    def committed(self, partitions: Partitions, *, timeout_s: float) -> list[TopicPartition]:
        """With the group's committed offsets, negative where there is none. Raises `KafkaException`."""
        with partition_list(partitions) as given:
            checked(LIBRARY.rd_kafka_committed(self._client, given, round(timeout_s * 1000)))
            return _without_errors(partitions_in(given))

    def position(self, partitions: Partitions) -> list[TopicPartition]:
        """With the offset behind the last record taken, negative where none was."""
        with partition_list(partitions) as given:
            checked(LIBRARY.rd_kafka_position(self._client, given))
            return _without_errors(partitions_in(given))

    def watermarks(self, topic: str, partition: int, *, timeout_s: float) -> tuple[int, int]:
        """The first offset and the one behind the last, asked of the broker. Raises `KafkaException`."""
        low, high = ctypes.c_int64(), ctypes.c_int64()
        checked(
            LIBRARY.rd_kafka_query_watermark_offsets(
                self._client, topic.encode(), partition, low, high, round(timeout_s * 1000)
            )
        )
        return low.value, high.value

    def group_metadata(self) -> bytes:
        """Who this member is in its group now, for `Transactions.send_offsets` (KIP-447). Raises `KafkaException`
        outside a group.

        Taken anew for each transaction: a rebalance makes it stale, and stale offsets are refused.
        """
        return serialised_group(LIBRARY.rd_kafka_consumer_group_metadata(self._client))

    def generation(self) -> int:
        """The group generation (KIP-848: member epoch) of which this member is; -1 outside a group."""
        metadata = LIBRARY.rd_kafka_consumer_group_metadata(self._client)
        if metadata is None:
            return -1
        generation: int = LIBRARY.rd_kafka_consumer_group_metadata_generation_id(metadata)
        LIBRARY.rd_kafka_consumer_group_metadata_destroy(metadata)
        return generation

    def close(self) -> None:
        """Leaves the group. Raises what a rebalance callback raised."""
        if not self._release.alive:
            return
        self._rebalancing.hurry(None)
        LIBRARY.rd_kafka_consumer_close(self._client)
        self._release()
        self._rebalancing.reraise()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _without_errors(rows: list[tuple[TopicPartition, int]]) -> list[TopicPartition]:
    for _, error in rows:
        checked(error)
    return [partition for partition, _ in rows]


def _release(client: int, queue: int, held: dict[int, str]) -> None:
    for handle in held:
        LIBRARY.rd_kafka_topic_destroy(handle)
    LIBRARY.rd_kafka_queue_destroy(queue)
    LIBRARY.rd_kafka_destroy_flags(client, LEAVE_NO_GROUP)
