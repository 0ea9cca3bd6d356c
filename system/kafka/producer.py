"""A producer of whole batches whose delivery reports come back as columns."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from system.kafka.batch import Outgoing
from system.kafka.config import Properties

METADATA_S = 10.0
FLUSH_DEADLINE_S = 45.0
"""Above `delivery.timeout.ms`: by then every record has been acknowledged or has failed."""


class Unacknowledged(Exception):
    """Some records of a batch were refused or timed out; whether the broker has them is unknown."""


class Acknowledged(NamedTuple):
    """Delivery reports of one topic: columns of one length; an error is librdkafka's name or None."""

    topic: str
    partitions: list[int]
    offsets: list[int]
    errors: list[str | None]


class BatchProducer:
    """Sends columns and answers with columns. Not shared between threads. Raises KafkaException where no broker
    answers.
    """

    def __init__(self, properties: Properties) -> None:
        self._producer = Producer(dict(properties))
        # The first record to a topic that is not in the client's cache waits up to a second for its leaders.
        self._producer.list_topics(timeout=METADATA_S)
        self._reports: dict[str, Acknowledged] = {}

    def _report(self, error: KafkaError | None, message: Message) -> None:
        topic = message.topic() or ""
        report = self._reports.get(topic)
        if report is None:
            report = self._reports[topic] = Acknowledged(topic, [], [], [])
        report.partitions.append(message.partition() or 0)
        offset = message.offset()
        report.offsets.append(-1 if offset is None else offset)
        report.errors.append(None if error is None else error.name())

    def send(self, outgoing: Outgoing) -> None:
        """Hands the records to librdkafka's queue, in order; waits for room instead of dropping."""
        records: list[dict[str, Any]] = [
            {"key": key, "value": value} for key, value in zip(outgoing.keys, outgoing.values, strict=True)
        ]
        while records:
            try:
                self._producer.produce_batch(outgoing.topic, records, on_delivery=self._report)
            except BufferError:
                self._producer.poll(0.01)
            failed = [record for record in records if "_error" in record]
            if not failed:
                return
            error = failed[0]["_error"]
            if not isinstance(error, KafkaError) or error.code() != KafkaError._QUEUE_FULL:
                raise KafkaException(error)
            # What did not fit is a suffix: what fitted went in order, so the rest keeps the order too.
            records = [{"key": record["key"], "value": record["value"]} for record in failed]
            self._producer.poll(0.01)

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
        while True:
            try:
                self._producer.produce(
                    topic,
                    value=value,
                    key=key,
                    partition=partition,
                    headers=list(headers),
                    on_delivery=self._report,
                )
            except BufferError:
                self._producer.poll(0.01)
            else:
                return

    def flush(self) -> list[Acknowledged]:
        """Waits until each record sent so far is acknowledged; the reports since the last call, a value a topic.

        Raises `Unacknowledged` when one failed or none was heard of; the reports so far are in its second argument.
        """
        unheard = self._producer.flush(FLUSH_DEADLINE_S)
        reports = list(self._reports.values())
        self._reports = {}
        failed = [error for report in reports for error in report.errors if error is not None]
        if failed or unheard:
            names = ", ".join(sorted(set(failed)))
            raise Unacknowledged(f"{len(failed)} records failed ({names}), {unheard} unheard of", reports)
        return reports

    def is_idle(self) -> bool:
        """Nothing is queued, on its way or unreported. Serves delivery reports that have arrived."""
        self._producer.poll(0)
        return len(self._producer) == 0 and not self._reports

    def close(self) -> None:
        """Gives up what is still queued; a caller that wants it sent has flushed."""
        self._producer.purge()
        self._producer.flush(1.0)
