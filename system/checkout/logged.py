"""Which records stand in a topic: what a client asks that has died between its transaction and the produce, where a
second copy of a request would be one too many.
"""

import time
from collections.abc import Collection, Mapping

from confluent_kafka import IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from system.kafka import config
from system.kafka.column_consumer import ColumnConsumer
from system.kafka.records import Records

REQUEST_S = 10.0
READ_DEADLINE_S = 60.0
"""Longer than any open transaction may hold its readers up."""
RECORDS_MAX = 50_000


class LogUnread(Exception):
    """The topic could not be read to its end within a minute; the message names what is left."""


def logged_keys(topic: str, wanted: Collection[str], *, connection: config.Properties, client_id: str) -> set[str]:
    """Those of the `wanted` keys under which a committed record stands in `topic` (full name).

    Read to where the log ended at the call, and not to the last stable offset: a record that was committed may stand
    above the beginning of somebody else's open transaction. Raises `LogUnread`, `KafkaException`.
    """
    left = dict(_ends(topic, connection))
    found: set[str] = set()
    encoded = {key.encode(): key for key in wanted}
    reader = {**config.reader(connection, client_id=client_id), "enable.partition.eof": True}
    deadline_s = time.monotonic() + READ_DEADLINE_S
    with ColumnConsumer(reader) as consumer:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
        while left:
            records = consumer.take(records_max=RECORDS_MAX, timeout_s=0.1)
            found.update(encoded[key] for key in encoded.keys() & set(records.keys.to_list()))
            for partition in _ended(records, left):
                del left[partition]
            if time.monotonic() > deadline_s:
                raise LogUnread(f"{topic} partitions {sorted(left)} could not be read to their ends")
    return found


def _ends(topic: str, connection: config.Properties) -> list[tuple[int, int]]:
    """(partition, offset behind the last record, committed or not) of those that have any."""
    admin = AdminClient(dict(connection))
    partitions = admin.list_topics(topic, timeout=REQUEST_S).topics[topic].partitions
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    wanted = {TopicPartition(topic, number): latest for number in partitions}
    answers = admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=REQUEST_S)
    ends = [(asked.partition, answer.result(REQUEST_S).offset) for asked, answer in answers.items()]
    return [(partition, end) for partition, end in ends if end > 0]


def _ended(records: Records, ends: Mapping[int, int]) -> list[int]:
    """Partitions whose reading has come to their end: a partition end tells the next offset to read."""
    events = records.errors != 0
    reached = zip(records.partitions[events].tolist(), records.offsets[events].tolist(), strict=True)
    return [partition for partition, offset in dict(reached).items() if offset >= ends.get(partition, offset + 1)]
