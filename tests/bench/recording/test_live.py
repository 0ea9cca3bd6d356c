import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import orjson
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer

from bench.recording.errors import RecordingFailed
from bench.recording.frames import LIVE
from bench.recording.live import SCHEMA, TOGETHER, convert_live, read_along
from bench.recording.positions import Client
from bench.waiting import wait_until

MakeTopic = Callable[..., str]
Send = Callable[..., None]


def test_what_was_read_along_is_hashed_in_both_halves(
    client: Client, make_topic: MakeTopic, send: Send, tmp_path: Path
) -> None:
    topic, empty = make_topic("data", partitions=2), make_topic("empty")
    send(topic, [(b"k", b"v"), (None, b"v"), (b"k", None)], partition=1)
    assert read_along(client, [topic, empty], tmp_path, lambda: True) == {topic: 3, empty: 0}
    table = pq.read_table(tmp_path / "topics-live" / f"{topic}.parquet")
    assert table.schema.equals(SCHEMA)
    assert table["partition"].to_pylist() == [1, 1, 1]
    assert table["offset"].to_pylist() == [0, 1, 2]
    assert table["hash"].to_pylist() == [crc32(b"k") << 32 | crc32(b"v"), crc32(b"v"), crc32(b"k") << 32]
    assert all(read_ns > 0 for read_ns in table["read_ns"].to_pylist())
    assert pq.read_table(tmp_path / "topics-live" / f"{empty}.parquet").num_rows == 0


def test_it_stops_only_when_told_and_then_with_all_that_is_there(
    client: Client, make_topic: MakeTopic, send: Send, tmp_path: Path
) -> None:
    topic = make_topic("data", partitions=2)
    stop = threading.Event()
    reader = threading.Thread(target=read_along, args=(client, [topic], tmp_path, stop.is_set))
    reader.start()
    raw = tmp_path / "raw" / "live" / f"{topic}.bin"
    send(topic, [(str(n), "a") for n in range(100)])
    wait_until(lambda: raw.exists() and raw.stat().st_size == 100 * LIVE.itemsize, deadline_s=20, why="the first rows")
    assert reader.is_alive()
    send(topic, [(str(n), "b") for n in range(50)], partition=1)
    stop.set()
    reader.join(30)
    table = pq.read_table(tmp_path / "topics-live" / f"{topic}.parquet")
    assert table.num_rows == 150
    assert not raw.exists()


def test_large_topics_are_read_by_consumers_of_their_own(
    client: Client, make_topic: MakeTopic, send: Send, tmp_path: Path
) -> None:
    large, other = (make_topic(name, partitions=TOGETHER + 1) for name in ("large", "other"))
    small = make_topic("small", partitions=2)
    for topic in (large, other, small):
        send(topic, [(str(n), "a") for n in range(40)])
    send(large, [(None, "last")], partition=TOGETHER)
    assert read_along(client, [large, other, small], tmp_path, lambda: True) == {large: 41, other: 40, small: 40}
    table = pq.read_table(tmp_path / "topics-live" / f"{large}.parquet")
    assert TOGETHER in table["partition"].to_pylist()


def test_aborted_records_and_their_markers_at_the_end_do_not_hold_it_up(
    client: Client, make_topic: MakeTopic, tmp_path: Path
) -> None:
    topic = make_topic("tx")
    producer = Producer({**client, "transactional.id": topic})
    producer.init_transactions(30)
    stop = threading.Event()
    reader = threading.Thread(target=read_along, args=(client, [topic], tmp_path, stop.is_set))
    reader.start()
    for commit in (True, False, True, False, False):
        producer.begin_transaction()
        producer.produce(topic, key="k", value=str(commit), partition=0)
        producer.flush(30)
        (producer.commit_transaction if commit else producer.abort_transaction)(30)
    stop.set()
    reader.join(30)
    assert pq.read_table(tmp_path / "topics-live" / f"{topic}.parquet")["offset"].to_pylist() == [0, 4]


def test_the_process_stops_on_sigterm_and_says_what_it_read(
    client: Client, make_topic: MakeTopic, send: Send, tmp_path: Path
) -> None:
    topic = make_topic("data")
    send(topic, [("a", "1")])
    order = orjson.dumps({"client": dict(client), "topics": [topic], "run_folder": str(tmp_path)})
    with subprocess.Popen(
        [sys.executable, "-m", "bench.recording.live"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(order)
        child.stdin.close()
        raw = tmp_path / "raw" / "live" / f"{topic}.bin"
        wait_until(lambda: raw.exists() and raw.stat().st_size > 0, deadline_s=30, why="the first row")
        os.kill(child.pid, signal.SIGTERM)
        assert orjson.loads(child.stdout.read()) == {"rows": {topic: 1}}
    assert child.returncode == 0


def test_what_a_killed_reader_had_read_is_converted_once_and_without_its_torn_row(tmp_path: Path) -> None:
    raw = tmp_path / "raw" / "live"
    raw.mkdir(parents=True)
    (raw / "x-Pay-topic.bin").write_bytes(b"\x01" * (3 * LIVE.itemsize + 5))
    assert convert_live(tmp_path, ["x-Pay-topic", "x-never-read"]) == {"x-Pay-topic": 3, "x-never-read": 0}
    assert convert_live(tmp_path, ["x-Pay-topic", "x-never-read"]) == {"x-Pay-topic": 3, "x-never-read": 0}
    assert pq.read_table(tmp_path / "topics-live" / "x-Pay-topic.parquet").num_rows == 3


def test_a_missing_topic_is_named(client: Client, prefix: str, tmp_path: Path) -> None:
    with pytest.raises(RecordingFailed, match="no topic"):
        read_along(client, [f"{prefix}nowhere"], tmp_path, lambda: True)
