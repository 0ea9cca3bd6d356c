"""A member of a consumer group that polls columns and commits explicit offsets."""

from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from system.kafka.batch import Raw, Span, spans_of
from system.kafka.column_consumer import ColumnConsumer
from system.kafka.columns import Int64
from system.kafka.config import Properties
from system.kafka.librdkafka import failure
from system.kafka.rebalancing import Partitions, Rebalanced
from system.kafka.records import Records

COMMITTED_S = 30.0


class CommitRefused(Exception):
    """The broker did not take the offsets: this member no longer owns the partitions. What it did will be
    redelivered.
    """


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


def raws(records: Records) -> list[Raw]:
    """Records → a `Raw` a topic; events without a record (partition end) are left out, other errors raise."""
    if not len(records):
        return []
    keys, values = records.keys.to_list(), records.values.to_list()
    events = np.flatnonzero(records.errors)
    for row in events.tolist():
        if records.errors[row] not in _TRANSIENT:
            raise failure(int(records.errors[row]), (values[row] or b"").decode(errors="replace"))
    if len(records.topics) == 1 and not len(events):
        return [_raw(records, records.topics[0], slice(None), (keys, values))]
    found = []
    for number, topic in enumerate(records.topics):
        rows = np.flatnonzero((records.topic_rows == number) & (records.errors == 0))
        if len(rows):
            picked = rows.tolist()
            found.append(_raw(records, topic, rows, ([keys[row] for row in picked], [values[row] for row in picked])))
    return found


def _raw(
    records: Records,
    topic: str,
    rows: slice | Int64,
    payload: tuple[list[bytes | None], list[bytes | None]],
) -> Raw:
    partitions, offsets = records.partitions[rows], records.offsets[rows]
    return Raw(topic, partitions.tolist(), offsets.tolist(), *payload, spans_of(topic, partitions, offsets))


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
        self._owed: dict[tuple[str, int], int] = {}
        self._generation: int | None = None
        rebalanced = Rebalanced(
            lambda partitions: self._came(partitions, on_assign),
            lambda partitions: self._revoked(partitions, on_revoke),
            lambda partitions: self._leave(partitions, on_lost),
        )
        self._consumer = ColumnConsumer(properties, rebalanced=rebalanced)
        self._consumer.subscribe(topics)

    def _came(self, partitions: Partitions, callback: Callable[[Partitions], None]) -> None:
        self._generation = None
        callback(partitions)

    def _revoked(self, partitions: Partitions, callback: Callable[[Partitions], None]) -> None:
        """The last chance to commit what is owed of them; what is refused here is read again by the next owner."""
        with suppress(CommitRefused):
            self.commit()
        self._leave(partitions, callback)

    def _leave(self, partitions: Partitions, callback: Callable[[Partitions], None]) -> None:
        self._generation = None
        for partition in partitions:
            self._owed.pop((partition.topic, partition.partition), None)
        callback(partitions)

    def poll(self, *, records_max: int, timeout_s: float) -> list[Raw]:
        """Waits for the first record, then takes what is there: a batch is as large as the backlog."""
        return raws(self._consumer.take(records_max=records_max, timeout_s=timeout_s))

    def owe(self, spans: Sequence[Span]) -> None:
        """The offset behind each span is committed with the next commit."""
        for span in spans:
            self._owed[span.topic, span.partition] = span.last_offset + 1

    def commit(self, spans: Sequence[Span] = ()) -> None:
        """Commits the offset behind each span, and what an earlier refusal left owed, synchronously. Raises
        `CommitRefused`.

        A refusal in the middle of a rebalance concerns partitions that may stay here: their offsets remain owed until
        they are committed or the partition is given away. Otherwise the last batch of a load would never be committed.
        """
        self.owe(spans)
        if not self._owed:
            return
        try:
            self._consumer.commit(TopicPartition(*owed, offset) for owed, offset in self._owed.items())
        except KafkaException as error:
            raise CommitRefused(str(error.args[0])) from None
        finally:
            self._generation = None
        self._owed.clear()

    def committed(self, partitions: Partitions) -> dict[tuple[str, int], int]:
        """(topic, partition) → committed offset, 0 where there is none."""
        answer = self._consumer.committed(partitions, timeout_s=COMMITTED_S)
        return {(found.topic, found.partition): max(0, found.offset) for found in answer}

    def group_metadata(self) -> bytes:
        """Who this member is in its group now: what `BatchProducer.send_offsets_to_transaction` wants."""
        self._generation = None
        return self._consumer.group_metadata()

    def rewind(self, spans: Sequence[Span]) -> None:
        """Polls these records again, and owes nothing for them: what was to finish them was given up. Raises
        `KafkaException` for a partition that is no longer this member's.
        """
        for span in spans:
            self._owed.pop((span.topic, span.partition), None)
        firsts = [TopicPartition(span.topic, span.partition, span.first_offset) for span in spans]
        self._consumer.seek(firsts, timeout_s=COMMITTED_S)

    def generation(self) -> int:
        """The group generation (KIP-848: member epoch) of which this member is; -1 outside a group.

        As of the last rebalance or commit: to ask librdkafka wakes another thread and waits for its answer.
        """
        if self._generation is None:
            self._generation = self._consumer.generation()
        return self._generation

    def close(self) -> None:
        """Leaves the group."""
        self._consumer.close()
