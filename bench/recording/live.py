"""The second `read_committed` reader: reads along while the load runs and keeps what was visible when →
`topics-live/<topic>.parquet`.

It competes with the system for the machine, so during the run it only appends fixed-width rows to raw files (a
SIGKILL loses at most one batch); Parquet is made at the end. As a process: `python -m bench.recording.live` with one
JSON object on standard input, `{"client": {…}, "topics": […], "run_folder": "…"}`; SIGTERM tells it that the load has
ended, and it stops when it has reached the ends.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import TopicPartition

from bench.recording.errors import RecordingFailed
from bench.recording.frames import LIVE, write_all
from bench.recording.parquet import ROWS_A_GROUP, parquet_writer
from bench.recording.positions import Asker, Client, ends_of, partitions_of
from bench.recording.reader import BATCH, ended, open_consumer
from system.kafka.column_consumer import ColumnConsumer
from system.kafka.columns import numbers_to_arrow
from system.kafka.kernel import KERNEL
from system.kafka.records import Records

SCHEMA: Final = pa.schema(
    [("partition", pa.int32()), ("offset", pa.int64()), ("hash", pa.uint64()), ("read_ns", pa.int64())]
)
"""`hash` = crc32(key) << 32 | crc32(value) by zlib, a null counting 0; `read_ns` CLOCK_MONOTONIC, one a fetched
batch.
"""

Consumer = tuple[ColumnConsumer, Sequence[TopicPartition]]
"""One of its consumers, and the partitions that it reads."""

POLL_S: Final = 0.5
LEAN: Final[Client] = {
    "fetch.wait.max.ms": 500,
    "fetch.min.bytes": 1,
    "queued.min.messages": 1,
    "fetch.queue.backoff.ms": 500,
    "queued.max.messages.kbytes": 16 * 1024,
}
"""Few, large fetches, and none that waits at the broker: after each the client pauses for half a second, and what came
meanwhile is answered at once. A fetch that waits is looked through for every record that arrives.
"""
TOGETHER: Final = 100
"""A topic of more partitions has a consumer of its own: for every record that arrives the broker looks through all
partitions of the fetches that wait for it.
"""


def read_along(
    client: Client, topics: Sequence[str], run_folder: Path, stop: Callable[[], bool], *, stall_s: float = 30.0
) -> dict[str, int]:
    """Read all partitions from offset 0 until `stop()` and the last stable offsets are reached; rows by topic.

    Raises `RecordingFailed` for a missing topic or when the ends are not reached within `stall_s` of the last
    progress after `stop()`.
    """
    asker = Asker(client)
    partitions = partitions_of(asker, topics, deadline_s=stall_s)
    consumers: list[Consumer] = []
    raw = _raw_files(run_folder, topics)
    try:
        for together in _groups(partitions):
            consumers.append((open_consumer(client, LEAN), together))
            consumers[-1][0].assign([TopicPartition(one.topic, one.partition, 0) for one in together])
        reached = _follow(consumers, raw, stop)
        _catch_up(consumers, raw, reached, ends_of(asker, partitions, deadline_s=stall_s), stall_s)
    finally:
        for consumer, _ in consumers:
            consumer.close()
        for descriptor in raw.values():
            os.close(descriptor)
    return convert_live(run_folder, topics)


def _groups(partitions: Sequence[TopicPartition]) -> list[list[TopicPartition]]:
    """Those of one consumer each: all small topics together, each large one alone."""
    by_topic: dict[str, list[TopicPartition]] = {}
    for one in partitions:
        by_topic.setdefault(one.topic, []).append(one)
    small = [one for each in by_topic.values() if len(each) <= TOGETHER for one in each]
    return [*([small] if small else []), *(each for each in by_topic.values() if len(each) > TOGETHER)]


def _follow(
    consumers: Sequence[Consumer], raw: Mapping[str, int], stop: Callable[[], bool]
) -> dict[tuple[str, int], int]:
    """Read until told to stop; the positions reached."""
    reached: dict[tuple[str, int], int] = {}
    while not stop():
        for consumer, _ in consumers:
            _append(consumer.take(records_max=BATCH, timeout_s=POLL_S / len(consumers)), raw, reached)
    for consumer, partitions in consumers:
        _note(consumer, partitions, reached)
    return reached


def _note(consumer: ColumnConsumer, partitions: Sequence[TopicPartition], reached: dict[tuple[str, int], int]) -> None:
    """How far it has read of these; past what it was given where control records stand behind it."""
    for one in consumer.position(partitions):
        key = (one.topic, one.partition)
        reached[key] = max(reached.get(key, 0), one.offset)


def _catch_up(
    consumers: Sequence[Consumer],
    raw: Mapping[str, int],
    reached: dict[tuple[str, int], int],
    ends: Mapping[tuple[str, int], int],
    stall_s: float,
) -> None:
    moved = time.monotonic()
    while missing := [key for key, end in ends.items() if reached.get(key, 0) < end]:
        before, arrived = dict(reached), 0
        for consumer, partitions in consumers:
            batch = consumer.take(records_max=BATCH, timeout_s=0.05)
            arrived += len(batch)
            _append(batch, raw, reached)
            _note(consumer, partitions, reached)
        if arrived or reached != before:
            moved = time.monotonic()
        elif time.monotonic() - moved > stall_s:
            topic, number = missing[0]
            at, end = reached.get(missing[0], 0), ends[missing[0]]
            raise RecordingFailed(f"reading along {topic}[{number}] stalled at offset {at} of {end} for {stall_s:g} s")


def _append(batch: Records, raw: Mapping[str, int], reached: dict[tuple[str, int], int]) -> None:
    """Columns to rows, a write a topic: 0.6 µs of CPU a record in all, the client's own threads included."""
    read_ns = time.monotonic_ns()
    reached.update(ended(batch))
    block = np.empty(len(batch), LIVE)
    block["partition"] = batch.partitions
    block["offset"] = batch.offsets
    block["hash"] = KERNEL.crc32(batch.keys).astype(np.uint64) << np.uint64(32) | KERNEL.crc32(batch.values)
    block["read_ns"] = read_ns
    for number, topic in enumerate(batch.topics):
        rows = block[(batch.topic_rows == number) & (batch.errors == 0)]
        if len(rows):
            write_all(raw[topic], rows.tobytes())


def convert_live(run_folder: Path, topics: Sequence[str]) -> dict[str, int]:
    """The raw rows → `topics-live/`, in the order of reading; rows by topic. Also for a reader that was killed: what
    it had read.

    The raw file goes when its Parquet file stands. A topic never read has a file with zero rows.
    """
    counts = {}
    for topic in topics:
        path = _raw_path(run_folder, topic)
        target = run_folder / "topics-live" / f"{topic}.parquet"
        if target.exists() and not path.exists():
            counts[topic] = pq.ParquetFile(target).metadata.num_rows
            continue
        size = path.stat().st_size if path.exists() else 0
        count = size // LIVE.itemsize
        rows = np.memmap(path, LIVE, "r", shape=(count,)) if count else np.empty(0, LIVE)
        with parquet_writer(target, SCHEMA, plain=_PLAIN) as writer:
            for begin in range(0, count, ROWS_A_GROUP):
                part = np.ascontiguousarray(rows[begin : begin + ROWS_A_GROUP])
                columns = [numbers_to_arrow(part[name]) for name in SCHEMA.names]
                writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
        path.unlink(missing_ok=True)
        counts[topic] = count
    return counts


_PLAIN: Final = ("offset", "hash")


def _raw_path(run_folder: Path, topic: str) -> Path:
    return run_folder / "raw" / "live" / f"{topic}.bin"


def _raw_files(run_folder: Path, topics: Sequence[str]) -> dict[str, int]:
    (run_folder / "raw" / "live").mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    return {topic: os.open(_raw_path(run_folder, topic), flags, 0o644) for topic in topics}


def main() -> int:
    """The process entry; exit code 0 when all topics were read to their ends, 1 with one line on stderr when not."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stopped.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)
    order: Any = orjson.loads(sys.stdin.buffer.read())
    try:
        rows = read_along(order["client"], order["topics"], Path(order["run_folder"]), stopped.is_set)
    except (RecordingFailed, OSError) as error:
        print(f"live reader: {error}", file=sys.stderr)
        return 1
    print(orjson.dumps({"rows": rows}).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
