"""A member of a consumer group that polls columns and commits explicit offsets."""

import struct
from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from system.kafka.batch import Raw, Span
from system.kafka.config import Properties

_GENERATION = struct.Struct("<i")
_METADATA_MAGIC = b"CGMDv2:"

Partitions = Sequence[TopicPartition]


class CommitRefused(Exception):
    """The broker did not take the offsets: this member no longer owns the partitions. What it did will be
    redelivered.
    """


def columns(messages: Sequence[Message]) -> list[Raw]:
    """Messages → a `Raw` a topic; events without a record (partition end) are left out, other errors raise."""
    topics: dict[str, list[Message]] = {}
    for message in messages:
        error = message.error()
        if error is None:
            topics.setdefault(message.topic() or "", []).append(message)
        elif error.code() not in _TRANSIENT:
            raise KafkaException(error)
    return [
        Raw(
            topic,
            [message.partition() for message in rows],  # type: ignore[misc]
            [message.offset() for message in rows],  # type: ignore[misc]
            [message.key() for message in rows],
            [message.value() for message in rows],
        )
        for topic, rows in topics.items()
    ]


_TRANSIENT = frozenset(
    {
        KafkaError._PARTITION_EOF,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
"""librdkafka reports these and recovers by itself."""


class GroupConsumer:
    """Polls batches; `on_assign`, `on_revoke` and `on_lost` are called inside `poll` only, so no batch is in flight
    then.
    """

    def __init__(
        self,
        properties: Properties,
        topics: Sequence[str],
        *,
        on_assign: Callable[[Partitions], None],
        on_revoke: Callable[[Partitions], None],
        on_lost: Callable[[Partitions], None],
    ) -> None:
        self._consumer = Consumer(dict(properties))
        self._gone: set[tuple[str, int]] = set()
        self._owed: dict[tuple[str, int], int] = {}
        self._consumer.subscribe(
            list(topics),
            on_assign=lambda _, partitions: on_assign(partitions),
            on_revoke=lambda _, partitions: self._leave(partitions, on_revoke),
            on_lost=lambda _, partitions: self._leave(partitions, on_lost),
        )

    def _leave(self, partitions: Partitions, callback: Callable[[Partitions], None]) -> None:
        for partition in partitions:
            self._gone.add((partition.topic, partition.partition))
            self._owed.pop((partition.topic, partition.partition), None)
        callback(partitions)

    def poll(self, *, records_max: int, timeout_s: float) -> list[Raw]:
        """Waits for the first record, then takes what is there: a batch is as large as the backlog, never waited for.

        One call with a count would wait the whole time-out for the count to be full.
        """
        self._gone.clear()
        messages = self._consumer.consume(1, timeout_s)
        if not messages:
            return []
        rest = self._consumer.consume(records_max - 1, 0)
        if self._gone:
            # The second call may have given a partition away after the first had taken a record of it: drop that one.
            messages = [message for message in messages if (message.topic(), message.partition()) not in self._gone]
        return columns(messages + rest)

    def commit(self, spans: Sequence[Span] = ()) -> None:
        """Commits the offset behind each span, and what an earlier refusal left owed, synchronously. Raises
        `CommitRefused`.

        A refusal in the middle of a rebalance concerns partitions that may stay here: their offsets remain owed until
        they are committed or the partition is given away. Otherwise the last batch of a load would never be committed.
        """
        for span in spans:
            self._owed[span.topic, span.partition] = span.last_offset + 1
        if not self._owed:
            return
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in self._owed.items()]
        try:
            answer = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise CommitRefused(str(error.args[0])) from None
        for partition in answer or ():
            if partition.error is not None:
                raise CommitRefused(str(partition.error))
        self._owed.clear()

    def committed(self, partitions: Partitions) -> dict[tuple[str, int], int]:
        """(topic, partition) → committed offset, 0 where there is none."""
        answer = self._consumer.committed(list(partitions), timeout=30)
        return {(found.topic, found.partition): max(0, found.offset) for found in answer}

    def generation(self) -> int:
        """The group generation (KIP-848: member epoch) of which this member is; -1 outside a group."""
        metadata = bytes(self._consumer.consumer_group_metadata())
        if not metadata.startswith(_METADATA_MAGIC):
            return -1
        return int(_GENERATION.unpack_from(metadata, len(_METADATA_MAGIC))[0])

    def close(self) -> None:
        """Leaves the group."""
        self._consumer.close()
