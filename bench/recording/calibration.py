"""What confluent-kafka's `produce_batch` alone reaches on the same brokers in the same run: the yardstick of every
throughput.

100-byte records over 4 partitions, acks=all, idempotent, until each is acknowledged; the median of rounds after a
warm-up, with the settings that serve it best, so that a ratio to it flatters nobody. A gate compares ratios, never
absolute times.
"""

import statistics
import time
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from bench.cluster.topics import make_topics, remove_topics
from bench.recording.errors import RecordingFailed
from bench.recording.positions import Asker, Client, admin_client, ends_of, partitions_of
from bench.waiting import DeadlineExceeded, wait_until

RECORD_BYTES: Final = 100
PARTITIONS: Final = 4
RECORDS_A_CALL: Final = 10_000
SETTINGS: Final[Client] = {
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 5,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 1_048_576,
    "log_level": 0,
}
FLUSH_S: Final = 60.0
LED_DEADLINE_S: Final = 300.0
_VALUE: Final = b"x" * RECORD_BYTES


def produce_batch_per_s(
    client: Client,
    *,
    prefix: str,
    records: int = 500_000,
    rounds: int = 3,
    replication: int = 1,
    deadline_s: float = 30.0,
) -> float:
    """Acknowledged records a second, the median round. The topic `<prefix>calibration` is made and deleted.

    Raises `RecordingFailed` when no broker answers within `deadline_s`, or one refuses or does not acknowledge all
    within a minute.
    """
    topic = f"{prefix}calibration"
    admin = admin_client(client)
    try:
        make_topics(admin, [NewTopic(topic, PARTITIONS, replication)], deadline_s=deadline_s)
        try:
            wait_until(partial(_is_led, admin, topic), deadline_s=LED_DEADLINE_S, why="leaders of its topic")
            return _median(client, topic, records, rounds)
        finally:
            remove_topics(admin, [topic], deadline_s=deadline_s)
    except KafkaException as error:
        raise RecordingFailed(f"could not calibrate: {error.args[0].str()}") from error
    except DeadlineExceeded as error:
        raise RecordingFailed(f"could not calibrate: {error}") from error


def _is_led(admin: AdminClient, topic: str) -> bool:
    """A broker takes up topics one after the other: behind the thousand partitions of a run, one more waits long."""
    found = admin.list_topics(topic, timeout=FLUSH_S).topics[topic].partitions.values()
    return len(found) == PARTITIONS and all(one.leader >= 0 and one.error is None for one in found)


def _median(client: Client, topic: str, records: int, rounds: int) -> float:
    producer = Producer({**client, **SETTINGS, "error_cb": lambda _error: None})
    calls = max(1, records // RECORDS_A_CALL)
    warm_up = max(1, calls // 5)
    _round(producer, topic, warm_up)
    rates = [_round(producer, topic, calls) for _ in range(rounds)]
    asker = Asker(client)
    stored = sum(ends_of(asker, partitions_of(asker, [topic])).values())
    sent = (warm_up + rounds * calls) * RECORDS_A_CALL
    if stored != sent:
        raise RecordingFailed(f"could not calibrate: the brokers have {stored} of {sent} records")
    return statistics.median(rates)


def _round(producer: Producer, topic: str, calls: int) -> float:
    """Records a second of one round, whole calls; the lists are made inside, as an application has to make them too."""
    begin = time.perf_counter()
    for _ in range(calls):
        _send(producer, topic, RECORDS_A_CALL)
    left = producer.flush(FLUSH_S)
    if left:
        raise RecordingFailed(f"could not calibrate: {left} records not acknowledged within {FLUSH_S:g} s")
    return calls * RECORDS_A_CALL / (time.perf_counter() - begin)


def _send(producer: Producer, topic: str, records: int) -> None:
    """One list; what the full queue refused is sent again until it has been taken."""
    while records:
        batch: list[dict[str, Any]] = [{"value": _VALUE} for _ in range(records)]
        records -= producer.produce_batch(topic, batch)
        if records:
            refused = next(record["_error"] for record in batch if "_error" in record)
            if refused.code() != KafkaError._QUEUE_FULL:
                raise KafkaException(refused)
            producer.poll(0.01)
