import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer, TopicPartition

from bench.recording.errors import RecordingFailed
from bench.recording.positions import Asker, Client, ends_of, partitions_of
from bench.recording.reader import open_consumer, read_partition
from bench.recording.topics import SCHEMA, dump_topics

MakeTopic = Callable[..., str]
Send = Callable[..., None]


def test_the_dump_has_every_record_sorted_by_partition_and_offset(
    client: Client, make_topic: MakeTopic, send: Send, tmp_path: Path
) -> None:
    topic = make_topic("data", partitions=3)
    for partition in (2, 0, 1):
        send(topic, [(f"{partition}-{n}", f"[{n}]") for n in range(1000)], partition=partition)
    assert dump_topics(client, [topic], tmp_path) == {topic: 3000}
    table = pq.read_table(tmp_path / f"{topic}.parquet")
    assert table.schema.equals(SCHEMA)
    assert table["partition"].to_pylist() == [0] * 1000 + [1] * 1000 + [2] * 1000
    assert table["offset"].to_pylist() == [*range(1000)] * 3
    assert table["key"][1001].as_py() == b"1-1"
    assert table["value"][2999].as_py() == b"[999]"
    now_ms = time.time_ns() // 1_000_000
    assert all(0 <= now_ms - stamp < 60_000 for stamp in table["timestamp_ms"].to_pylist())


def test_nulls_tombstones_empty_values_and_headers_are_kept_as_on_the_wire(
    client: Client, make_topic: MakeTopic, send: Send, tmp_path: Path
) -> None:
    topic = make_topic("odd")
    send(topic, [(None, b"v"), (b"k", None), (b"", b""), (b"\xff\x00", b"\xfe")])
    send(topic, [(b"h", b"1")], headers=[("pos", b"17"), ("pos", b"18"), ("none", None), ("empty", b"")])
    dump_topics(client, [topic], tmp_path)
    rows = pq.read_table(tmp_path / f"{topic}.parquet").to_pylist()
    pairs = [(row["key"], row["value"]) for row in rows]
    assert pairs == [(None, b"v"), (b"k", None), (b"", b""), (b"\xff\x00", b"\xfe"), (b"h", b"1")]
    assert [row["headers"] for row in rows[:4]] == [[], [], [], []]
    assert rows[4]["headers"] == [
        {"key": "pos", "value": b"17"},
        {"key": "pos", "value": b"18"},
        {"key": "none", "value": None},
        {"key": "empty", "value": b""},
    ]


def test_a_topic_without_content_has_a_file_with_zero_rows(
    client: Client, make_topic: MakeTopic, tmp_path: Path
) -> None:
    topic = make_topic("empty", partitions=4)
    assert dump_topics(client, [topic], tmp_path) == {topic: 0}
    table = pq.read_table(tmp_path / f"{topic}.parquet")
    assert (table.num_rows, table.schema.equals(SCHEMA)) == (0, True)


def test_records_of_aborted_and_open_transactions_are_not_in_the_dump(
    client: Client, make_topic: MakeTopic, tmp_path: Path
) -> None:
    topic = make_topic("tx")
    producer = Producer({**client, "transactional.id": topic, "transaction.timeout.ms": 30_000})
    producer.init_transactions(30)
    for name, commit in (("a", True), ("b", False), ("c", True), ("d", False)):
        producer.begin_transaction()
        for number in range(10):
            producer.produce(topic, key=f"{name}{number}", value=b"v", partition=0)
        producer.flush(30)
        (producer.commit_transaction if commit else producer.abort_transaction)(30)
    producer.begin_transaction()
    producer.produce(topic, key="open", value=b"v", partition=0)
    producer.flush(30)
    assert dump_topics(client, [topic], tmp_path) == {topic: 20}
    table = pq.read_table(tmp_path / f"{topic}.parquet")
    assert {key.as_py()[:1] for key in table["key"]} == {b"a", b"c"}
    assert table["offset"].to_pylist() == [*range(10), *range(22, 32)]
    producer.abort_transaction(30)


def test_what_is_written_after_the_end_was_asked_for_is_left_out(
    client: Client, make_topic: MakeTopic, send: Send
) -> None:
    topic = make_topic("later")
    send(topic, [("a", "1"), ("b", "2")])
    asker = Asker(client)
    end = ends_of(asker, partitions_of(asker, [topic]))[topic, 0]
    send(topic, [("c", "3")])
    consumer = open_consumer(client)
    assert [columns.keys.to_list() for columns in read_partition(consumer, topic, 0, end=end)] == [[b"a", b"b"]]
    assert [columns.offsets.tolist() for columns in read_partition(consumer, topic, 0, begin=1, end=3)] == [[1, 2]]
    assert list(read_partition(consumer, topic, 0, begin=3, end=3)) == []
    consumer.close()


def test_several_row_groups_are_one_sorted_file(
    client: Client, make_topic: MakeTopic, send: Send, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.recording.topics.ROWS_A_GROUP", 100)
    topic = make_topic("large", partitions=2)
    for partition in (0, 1):
        send(topic, [(str(n), "x") for n in range(250)], partition=partition)
    dump_topics(client, [topic], tmp_path)
    file = pq.ParquetFile(tmp_path / f"{topic}.parquet")
    assert file.metadata.num_row_groups >= 5
    assert file.read()["offset"].to_pylist() == [*range(250)] * 2
    assert pa.compute.unique(file.read()["partition"]).to_pylist() == [0, 1]


def test_a_missing_topic_is_named(client: Client, prefix: str, tmp_path: Path) -> None:
    with pytest.raises(RecordingFailed, match=f"{prefix}nowhere"):
        dump_topics(client, [f"{prefix}nowhere"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_broker_is_an_error_and_not_a_wait(tmp_path: Path) -> None:
    asker = Asker({"bootstrap.servers": "127.0.0.1:1"})
    with pytest.raises(RecordingFailed, match="could not list topics"):
        partitions_of(asker, ["any"], deadline_s=0.5)


def test_an_end_that_is_never_reached_is_a_stall_with_its_position(
    client: Client, make_topic: MakeTopic, send: Send
) -> None:
    topic = make_topic("short")
    send(topic, [("a", "1")])
    consumer = open_consumer(client)
    with pytest.raises(RecordingFailed, match=r"stalled at offset 1 of 5 for 0\.3 s"):
        list(read_partition(consumer, topic, 0, end=5, stall_s=0.3))
    consumer.close()


def test_an_end_that_no_broker_told_is_never_taken_for_an_end() -> None:
    class Silent(Asker):
        """Answers as librdkafka does when the broker dies while it is asked: an offset of -1001 and no error."""

        def ends(
            self, partitions: Sequence[TopicPartition], *, isolation: str, timeout_s: float
        ) -> list[TopicPartition]:
            return [TopicPartition(one.topic, one.partition, -1001) for one in partitions]

    with pytest.raises(RecordingFailed, match="did not say where its log ends"):
        ends_of(Silent({}), [TopicPartition("t", 0)], deadline_s=0.1)
