"""What a worker does when partitions come and go: it reads back what is half-finished, and tells who owns what.

Called inside poll only, so no batch is ever in flight when partitions move.
"""

from collections.abc import Sequence

from confluent_kafka import TopicPartition

from system.kafka.consumer import GroupConsumer
from system.runtime.low_watermark import LowWatermark
from system.runtime.observer import Observer
from system.runtime.relay import Relay
from system.store.postgres import Transaction

Partitions = Sequence[TopicPartition]


class Assignment:
    """The partitions of one member of `group`, as its watermark and its relay know them."""

    def __init__(self, group: str, observer: Observer, *, watermark: LowWatermark | None, relay: Relay | None) -> None:
        self._group = group
        self._observer = observer
        self._watermark = watermark
        self._relay = relay

    def came(self, partitions: Partitions, consumer: GroupConsumer, db: Transaction) -> None:
        """They are this worker's when what an earlier owner left half-finished is known again."""
        if self._watermark is not None and partitions:
            committed = consumer.committed(partitions)
            for partition, low, pos, records in self._watermark.assigned(committed, db):
                place = {"partition": partition, "from": low, "to": pos}
                self._observer.event("rebuild-finished", **place, records=records)
        if self._relay is not None:
            self._relay.assigned(self._relay.source(one.topic, one.partition) for one in partitions)
        self._moved("partitions-assigned", partitions, consumer)

    def went(self, event: str, partitions: Partitions, consumer: GroupConsumer) -> None:
        """Given up (`partitions-revoked`) or taken away (`partitions-lost`): their new owner reads them back."""
        if self._watermark is not None:
            self._watermark.dropped([partition.partition for partition in partitions])
        if self._relay is not None:
            self._relay.dropped(self._relay.source(one.topic, one.partition) for one in partitions)
        self._moved(event, partitions, consumer)

    def _moved(self, event: str, partitions: Partitions, consumer: GroupConsumer) -> None:
        by_topic: dict[str, list[int]] = {}
        for partition in partitions:
            by_topic.setdefault(partition.topic, []).append(partition.partition)
        generation = consumer.generation() if by_topic else -1
        for topic, numbers in by_topic.items():
            owned = {"topic": topic, "partitions": sorted(numbers), "generation": generation}
            self._observer.event(event, group=self._group, **owned)
