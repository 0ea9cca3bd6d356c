"""A producer of whole batches whose delivery reports come back as columns."""

from collections.abc import Sequence
from typing import NamedTuple

from confluent_kafka import TopicPartition

from system.kafka.batch import Outgoing, Span
from system.kafka.column_producer import Carried, ColumnProducer, Delivered
from system.kafka.columns import BytesColumn, HeadersColumn, Int32, Int64
from system.kafka.config import Properties
from system.kafka.librdkafka import error_name

METADATA_S = 10.0
TRANSACTION_S = 30.0
FLUSH_DEADLINE_S = 45.0
"""Above `delivery.timeout.ms`: by then every record has been acknowledged or has failed."""


class Unacknowledged(Exception):
    """Some records of a batch were refused or timed out; whether the broker has them is unknown."""


class Acknowledged(NamedTuple):
    """Delivery reports of one topic: columns of one length; an error is librdkafka's name or None, `errors` None when
    nothing failed.
    """

    topic: str
    partitions: Int32
    offsets: Int64
    errors: Sequence[str | None] | None = None


class BatchProducer:
    """Sends columns and answers with columns. Not shared between threads. Raises KafkaException where no broker
    answers.
    """

    def __init__(self, properties: Properties) -> None:
        self._producer = ColumnProducer(properties)
        self._producer.look_around(timeout_s=METADATA_S)

    def send(self, outgoing: Outgoing) -> None:
        """Hands the records to librdkafka's queue, in order; waits for room instead of dropping. What is refused at
        once is told by `flush`, as whatever fails later.
        """
        keys, values = BytesColumn.from_strings(outgoing.keys), BytesColumn.from_list(outgoing.values)
        self._producer.send(outgoing.topic, keys, values)

    def send_one(
        self,
        topic: str,
        *,
        key: str | bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        partition: int = -1,
    ) -> None:
        """One record with headers, which a batch cannot carry (`rd_kafka_produce_batch`)."""
        keys = BytesColumn.from_list([key.encode() if isinstance(key, str) else key])
        carried = Carried(headers=HeadersColumn.from_lists([headers]))
        self._producer.send(topic, keys, BytesColumn.from_list([value]), partitions=partition, carried=carried)

    def flush(self) -> list[Acknowledged]:
        """Waits until each record sent so far is acknowledged; the reports since the last call, a value a topic.

        Raises `Unacknowledged` when one failed or none was heard of; the reports so far are in its second argument.
        """
        unheard = self._producer.flush(FLUSH_DEADLINE_S)
        reports = [_named(delivered) for delivered in self._producer.delivered()]
        failed = [error for report in reports for error in report.errors or () if error is not None]
        if failed or unheard:
            names = ", ".join(sorted(set(failed)))
            raise Unacknowledged(f"{len(failed)} records failed ({names}), {unheard} unheard of", reports)
        return reports

    def is_idle(self) -> bool:
        """Nothing is queued, on its way or unreported. Serves delivery reports that have arrived."""
        return self._producer.poll() == 0 and not self._producer.has_reports()

    def init_transactions(self) -> None:
        """Fences earlier producers of the same transactional id; once, before the first transaction.

        It and the four below raise `RetryCall`, `AbortNeeded`, `ProducerFatal` or `KafkaException`
        (`system.kafka.transactions`).
        """
        self._producer.init_transactions(timeout_s=TRANSACTION_S)

    def begin_transaction(self) -> None:
        """What is sent from here belongs to it."""
        self._producer.begin_transaction()

    def send_offsets_to_transaction(self, spans: Sequence[Span], group: bytes) -> None:
        """The offset behind each span is committed if and when the transaction is; `group` is
        `GroupConsumer.group_metadata`. Call `flush` before it.
        """
        offsets = [TopicPartition(span.topic, span.partition, span.last_offset + 1) for span in spans]
        self._producer.send_offsets_to_transaction(offsets, group, timeout_s=TRANSACTION_S)

    def commit_transaction(self) -> None:
        """Records and offsets become visible together."""
        self._producer.commit_transaction(timeout_s=TRANSACTION_S)

    def abort_transaction(self) -> None:
        """Records and offsets never become visible. The next `flush` raises `Unacknowledged` for those that failed;
        `forget` tells them without raising.
        """
        self._producer.abort_transaction(timeout_s=TRANSACTION_S)

    def forget(self) -> list[Acknowledged]:
        """The reports since the last call, whatever they say: those of a transaction that was aborted."""
        self._producer.poll()
        return [_named(delivered) for delivered in self._producer.delivered()]

    def close(self) -> None:
        """Gives up what is still queued; a caller that wants it sent has flushed."""
        self._producer.close()


def _named(delivered: Delivered) -> Acknowledged:
    errors = None
    if delivered.errors.any():
        errors = [error_name(code) if code else None for code in delivered.errors.tolist()]
    return Acknowledged(delivered.topic, delivered.partitions, delivered.offsets, errors)
