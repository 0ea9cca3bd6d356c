"""Each topic from offset 0 to its last stable offset → `topics/<topic>.parquet`, rows sorted by partition and offset.

Partitions are read one after the other, so the order costs no sort, and memory is bounded by a row group and the
fetch queue.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from bench.recording.parquet import ROWS_A_GROUP, TEXT, parquet_writer
from bench.recording.positions import Asker, Client, ends_of, log_ends, partitions_of
from bench.recording.reader import open_consumer, read_partition
from system.kafka.columns import numbers_to_arrow
from system.kafka.records import Records

SCHEMA: Final = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp_ms", pa.int64()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))),
    ]
)

ENDS_SCHEMA: Final = pa.schema(
    [("topic", TEXT), ("partition", pa.int32()), ("stable", pa.int64()), ("high", pa.int64())]
)


def dump_ends(client: Client, topics: Sequence[str], path: Path, *, stall_s: float = 30.0) -> None:
    """Write where each partition of the full topic names ends: the last stable offset, and the high watermark, which is
    above it only while a transaction is open. Raises `RecordingFailed`."""
    rows = [end._asdict() for end in log_ends(client, topics, deadline_s=stall_s)]
    with parquet_writer(path, ENDS_SCHEMA) as writer:
        writer.write_table(pa.Table.from_pylist(rows, ENDS_SCHEMA))


def dump_topics(client: Client, topics: Sequence[str], folder: Path, *, stall_s: float = 30.0) -> dict[str, int]:
    """Write a file for each of the full topic names into `folder`; the rows written by topic. A topic without content
    has zero rows.

    Raises `RecordingFailed` if a topic is missing, a broker refuses, or nothing moves for `stall_s`; no partial file
    is left.
    """
    asker = Asker(client)
    partitions = partitions_of(asker, topics, deadline_s=stall_s)
    ends = ends_of(asker, partitions, deadline_s=stall_s)
    rows = dict.fromkeys(topics, 0)
    consumer = open_consumer(client)
    try:
        for topic in topics:
            numbers = [(one.partition, ends[topic, one.partition]) for one in partitions if one.topic == topic]
            with parquet_writer(folder / f"{topic}.parquet", SCHEMA, plain=_PLAIN) as writer:
                for number, end in numbers:
                    batches = read_partition(consumer, topic, number, end=end, stall_s=stall_s)
                    for table in _groups(batches):
                        writer.write_table(table, row_group_size=ROWS_A_GROUP)
                        rows[topic] += table.num_rows
    finally:
        consumer.close()
    return rows


_PLAIN: Final = ("offset", "timestamp_ms", "key", "value", "headers")


def _groups(batches: Iterable[Records]) -> Iterator[pa.Table]:
    """Tables of about a row group each from batches of records."""
    held: list[pa.Table] = []
    rows = 0
    for records in batches:
        held.append(_table(records))
        rows += held[-1].num_rows
        if rows >= ROWS_A_GROUP:
            yield pa.concat_tables(held)
            held, rows = [], 0
    if rows:
        yield pa.concat_tables(held)


def _table(records: Records) -> pa.Table:
    """The columns as they are: nothing is copied but offsets, to 32 bits."""
    assert records.timestamps_ms is not None
    assert records.headers is not None
    columns = [
        numbers_to_arrow(records.partitions),
        numbers_to_arrow(records.offsets),
        numbers_to_arrow(records.timestamps_ms),
        records.keys.to_arrow(pa.binary()),
        records.values.to_arrow(pa.binary()),
        records.headers.to_arrow(),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)
