"""What a consumer does when partitions come and go: librdkafka's rebalance callback, which runs inside `take` and
`close` only.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from system.kafka.abi import LIBRARY
from system.kafka.librdkafka import checked, checked_error, look_around, partitions_in, topic_handle

Partitions = Sequence[TopicPartition]
COOPERATIVE: Final = b"COOPERATIVE"
HURRY_S: Final = 0.2


class Rebalanced(NamedTuple):
    """What to call when partitions come and go; lost ones may have another owner already."""

    on_assign: Callable[[Partitions], None]
    on_revoke: Callable[[Partitions], None]
    on_lost: Callable[[Partitions], None]


class Rebalancing:
    """One consumer's, which it does not hold: librdkafka tells it the client with each call.

    `left` are the (topic, partition) pairs that have gone; who looks at them clears them.
    """

    def __init__(self, rebalanced: Rebalanced) -> None:
        self._rebalanced = rebalanced
        self._hurried_by: str | None = None
        self._raised: BaseException | None = None
        self.left: set[tuple[str, int]] = set()

    def hurry(self, topic: str | None) -> None:
        """Whoever has to join once more, joins at once: it asks for this topic (None: it takes its time).

        librdkafka sends at most one JoinGroup a second, and a hand-over under the cooperative protocol takes two of
        every member; a metadata answer takes that limit away. KIP-848 knows no JoinGroup.
        """
        self._hurried_by = topic

    def moved(self, client: int, code: int, pointer: int, _opaque: int) -> None:
        """The callback: ours first, then the assignment itself, which librdkafka leaves to us."""
        try:
            self._tell(client, code, [partition for partition, _ in partitions_in(pointer)])
        except BaseException as error:  # noqa: BLE001 - it cannot pass through C: `reraise` does it
            self._raised = error
            LIBRARY.rd_kafka_yield(client)
        try:
            self._synchronise(client, code, pointer)
        except KafkaException as error:
            self._raised = self._raised or error

    def reraise(self) -> None:
        """Raises, once, what was raised inside the callback."""
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised

    def _tell(self, client: int, code: int, partitions: Partitions) -> None:
        if code == KafkaError._ASSIGN_PARTITIONS:
            self._rebalanced.on_assign(partitions)
            return
        self.left.update((one.topic, one.partition) for one in partitions)
        lost = LIBRARY.rd_kafka_assignment_lost(client)
        (self._rebalanced.on_lost if lost else self._rebalanced.on_revoke)(partitions)

    def _synchronise(self, client: int, code: int, pointer: int) -> None:
        assigned = code == KafkaError._ASSIGN_PARTITIONS
        if LIBRARY.rd_kafka_rebalance_protocol(client) == COOPERATIVE:
            change = LIBRARY.rd_kafka_incremental_assign if assigned else LIBRARY.rd_kafka_incremental_unassign
            checked_error(change(client, pointer))
        else:
            checked(LIBRARY.rd_kafka_assign(client, pointer if assigned else None))
        if self._hurried_by is not None:
            handle = topic_handle(client, self._hurried_by)
            with suppress(KafkaException):  # Without an answer it joins a second later.
                look_around(client, handle, timeout_s=HURRY_S)
            LIBRARY.rd_kafka_topic_destroy(handle)
