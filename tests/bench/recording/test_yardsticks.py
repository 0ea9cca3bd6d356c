"""The recorder against others' readers of the same log: confluent-kafka's `Consumer` and Kafka's `DumpLogSegments`."""

import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer, TopicPartition

from bench.cluster.cache import cache_folder
from bench.cluster.endpoints import Endpoints
from bench.cluster.jars import kafka_jars
from bench.cluster.java import find_java
from bench.recording.positions import Client
from bench.recording.topics import dump_topics
from bench.waiting import wait_until
from system.kafka import config
from system.kafka.column_producer import Carried, ColumnProducer
from system.kafka.columns import BytesColumn, Header, HeadersColumn

MakeTopic = Callable[..., str]
Row = tuple[int, int, int, bytes | None, bytes | None, list[Header]]
"""partition, offset, timestamp in ms, key, value, headers: what a dump says of a record."""

PARTITIONS = 2
TRANSACTIONS = 25
BATCH = re.compile(r"baseOffset: .* count: (\d+) .* producerId: (\d+) .* isControl: (true|false)")


def write(client: Client, topic: str, records: int, *, seed: int = 1) -> Counter[bool]:
    """Transactions of null, empty and other keys and values, some with headers, every third aborted; how many
    records the broker acknowledged in those that were committed (True) and those that were not.
    """
    chance = np.random.default_rng(seed)
    plain = config.producer(client, client_id="t")
    properties = config.transactional(plain, transactional_id=topic, timeout_ms=60_000)
    acknowledged: Counter[bool] = Counter()
    with ColumnProducer(properties) as producer:
        producer.init_transactions(timeout_s=30)
        for number in range(TRANSACTIONS):
            producer.begin_transaction()
            _send(producer, topic, records // TRANSACTIONS, chance)
            assert producer.flush(60) == 0
            committed = number % 3 != 1
            (producer.commit_transaction if committed else producer.abort_transaction)(timeout_s=60)
            for report in producer.delivered():
                assert not report.errors.any()
                acknowledged[committed] += len(report)
    return acknowledged


def _send(producer: ColumnProducer, topic: str, records: int, chance: np.random.Generator) -> None:
    """Half of the records go one by one, with headers and timestamps, half as a batch."""
    pool = chance.bytes(400)
    kinds, sizes = chance.integers(0, 4, (2, records)), chance.integers(0, 400, records)
    keys: list[bytes | None] = [(None, b"", b"key-%d" % row, pool[:9])[kind] for row, kind in enumerate(kinds[0])]
    values: list[bytes | None] = [
        (None, b"", pool[:size], b"x" * size)[kind]
        for kind, size in zip(kinds[1].tolist(), sizes.tolist(), strict=True)
    ]
    headers: list[list[Header]] = [[[], [("h", None), ("h", pool[:5])], [("ä", b"")]][kind % 3] for kind in kinds[0]]
    partitions = chance.integers(0, PARTITIONS, records, np.int32)
    half = records // 2
    carried = Carried(10**12 + np.arange(half), HeadersColumn.from_lists(headers[:half]))
    for rows, how in ((slice(half), carried), (slice(half, None), Carried())):
        columns = BytesColumn.from_list(keys[rows]), BytesColumn.from_list(values[rows])
        producer.send(topic, *columns, partitions=partitions[rows], carried=how)


def by_confluent(client: Client, topic: str) -> Iterator[Row]:
    """Every record that a `read_committed` reader sees, by confluent-kafka's own consumer, partition by partition."""
    settings = {"group.id": "none", "enable.partition.eof": True, "isolation.level": "read_committed"}
    consumer = Consumer({**client, **settings})
    for partition in range(PARTITIONS):
        consumer.assign([TopicPartition(topic, partition, 0)])
        ended = False
        while not ended:
            batch = wait_until(lambda: consumer.consume(5000, 0.1), deadline_s=30, why=f"the end of {topic}", poll_s=0)
            for message in batch:
                ended = ended or message.error() is not None
                if message.error() is None:
                    place = message.partition() or 0, message.offset() or 0, message.timestamp()[1]
                    headers: Any = message.headers() or []
                    yield (*place, message.key(), message.value(), headers)
    consumer.close()


def dumped(path: Path) -> Iterator[Row]:
    """The rows of a dump as it stands on disk."""
    names = ["partition", "offset", "timestamp_ms", "key", "value"]
    for batch in pq.ParquetFile(path).iter_batches(5000):
        headers = [[(one["key"], one["value"]) for one in row] for row in batch["headers"].to_pylist()]
        yield from zip(*(batch[name].to_pylist() for name in names), headers, strict=True)


def in_the_log(cluster: Endpoints, topic: str) -> Counter[bool]:
    """Records of committed (True) and of aborted transactions in the files of a topic, by Kafka's own tool."""
    data = cluster.folders["broker-1"]
    files = sorted(chain(*((data / f"{topic}-{number}").glob("*.log") for number in range(PARTITIONS))))
    jars = ":".join(map(str, kafka_jars(cache_folder())))
    java = [str(find_java().program), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", jars]
    tool = ["org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--files", ",".join(map(str, files))]
    found: Counter[bool] = Counter()
    with subprocess.Popen([*java, *tool], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        open_records: Counter[str] = Counter()
        producer = ""
        for line in process.stdout:
            if batch := BATCH.match(line):
                producer = batch[2]
                open_records[producer] += int(batch[1]) if batch[3] == "false" else 0
            elif "endTxnMarker: " in line:
                found["endTxnMarker: COMMIT" in line] += open_records.pop(producer, 0)
    assert process.returncode == 0
    assert not +open_records
    return found


@pytest.mark.parametrize(
    "records", [3_000, pytest.param(1_500_000, marks=[pytest.mark.million, pytest.mark.timeout(900)])]
)
def test_the_dump_equals_what_others_read_record_for_record(
    client: Client, cluster: Endpoints, make_topic: MakeTopic, tmp_path: Path, records: int
) -> None:
    topic = make_topic("both", partitions=PARTITIONS)
    acknowledged = write(client, topic, records)
    rows = dump_topics(client, [topic], tmp_path)[topic]
    compared = 0
    for ours, theirs in zip(dumped(tmp_path / f"{topic}.parquet"), by_confluent(client, topic), strict=True):
        assert ours == theirs
        compared += 1
    assert compared == rows == acknowledged[True] > 0.6 * records
    assert acknowledged[False] > 0.3 * records
    assert in_the_log(cluster, topic) == acknowledged
