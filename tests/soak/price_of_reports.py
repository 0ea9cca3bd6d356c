"""What keys and delivery reports cost: `python -m tests.soak.price_of_reports [--rounds 9]`, on a machine at rest.

Two ways to send a million values of 100 bytes to four partitions, by turns, on one broker: librdkafka alone
(`rd_kafka_produce_batch`, partitions given, nobody is told of the deliveries) and `ColumnProducer` with keys of 10
bytes and every report taken as columns. Prints both rates and the median of the rounds' ratios; exit code 1 below
`FLOOR`.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from bench.cluster.servers import cluster
from bench.waiting import wait_until
from system.kafka import config
from system.kafka.abi import COPY, LIBRARY, PRODUCER
from system.kafka.column_producer import ColumnProducer
from system.kafka.columns import BytesColumn, address
from system.kafka.librdkafka import configured, created, look_around, topic_handle
from system.kafka.records import Sending, message_rows

RECORDS: Final = 1_000_000
PARTITIONS: Final = 4
CHUNK: Final = 20_000
FLOOR: Final = 0.8
EACH_ITS_PARTITION: Final = 0x8
"""RD_KAFKA_MSG_F_PARTITION."""
WAIT_MS: Final = 60_000

VALUES: Final = BytesColumn.fixed_width(np.frombuffer(np.random.default_rng(1).bytes(100 * RECORDS), "V100"))
KEYS: Final = BytesColumn.fixed_width(np.array([b"%010d" % row for row in range(RECORDS)], "V10"))
GIVEN: Final = (np.arange(RECORDS) % PARTITIONS).astype(np.int32)


def librdkafka_alone(properties: config.Properties, topic: str) -> float:
    """Seconds until the queue is empty again."""
    client = created(PRODUCER, configured(properties))
    look_around(client, timeout_s=10)
    handle = topic_handle(client, topic)
    began = time.perf_counter()
    for begin in range(0, RECORDS, CHUNK):
        sending = Sending(handle, None, VALUES, GIVEN, None, None, 0)
        rows = message_rows(sending, begin, begin + CHUNK)
        taken = LIBRARY.rd_kafka_produce_batch(handle, -1, COPY | EACH_ITS_PARTITION, address(rows), CHUNK)
        assert taken == CHUNK
    LIBRARY.rd_kafka_flush(client, WAIT_MS)
    assert LIBRARY.rd_kafka_outq_len(client) == 0
    spent = time.perf_counter() - began
    LIBRARY.rd_kafka_topic_destroy(handle)
    LIBRARY.rd_kafka_destroy(client)
    return spent


def with_keys_and_reports(properties: config.Properties, topic: str) -> float:
    """Seconds until the last report is in a column."""
    with ColumnProducer(properties) as producer:
        producer.look_around(timeout_s=10)
        began, reports = time.perf_counter(), 0
        for begin in range(0, RECORDS, 5 * CHUNK):
            end = begin + 5 * CHUNK
            producer.send(topic, KEYS.slice(begin, end), VALUES.slice(begin, end))
            reports += sum(len(one) for one in producer.delivered())
        assert producer.flush(WAIT_MS / 1000) == 0
        reports += sum(len(one) for one in producer.delivered())
        assert reports == RECORDS
        return time.perf_counter() - began


def main() -> int:
    """Prints the rates; the exit code."""
    parser = argparse.ArgumentParser(description="the price of keys and delivery reports")
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    ways = (librdkafka_alone, with_keys_and_reports)
    rates: list[list[float]] = [[], []]
    with tempfile.TemporaryDirectory() as logs, cluster(logs=Path(logs)) as servers:
        admin = AdminClient({"bootstrap.servers": servers.bootstrap, "log_level": 0})
        connection: config.Properties = {"bootstrap.servers": servers.bootstrap, "log_level": 0}
        properties = {**config.producer(connection, client_id="price"), "linger.ms": 5}
        for turn in range(2 * asked.rounds + 2):  # The first of each warms the broker up.
            way, topic = turn % 2, f"price-{turn}"
            admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()
            wait_until(lambda topic=topic: topic in admin.list_topics(timeout=5).topics, deadline_s=10, why=topic)  # type: ignore[misc]
            spent = ways[way](properties, topic)
            admin.delete_topics([topic])[topic].result()
            if turn > 1:
                rates[way].append(RECORDS / spent)
    ratio = median(mine / alone for alone, mine in zip(*rates, strict=True))
    for one, found in zip(ways, rates, strict=True):
        print(f"{one.__name__:22} {median(found):12,.0f} records/s of {sorted(round(rate) for rate in found)}")
    print(f"ratio {ratio:.2f}, floor {FLOOR}")
    return 0 if ratio >= FLOOR else 1


if __name__ == "__main__":
    sys.exit(main())
