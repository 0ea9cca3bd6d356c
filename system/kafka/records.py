"""What passes between the columnar clients and librdkafka: fetched records, rows to produce, delivery reports."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from system.kafka.columns import BytesColumn, HeadersColumn, Int32, Int64, address

MESSAGE: Final = np.dtype(
    [
        ("error", "i4"),
        ("topic", "u8"),
        ("partition", "i4"),
        ("value", "u8"),
        ("value_size", "u8"),
        ("key", "u8"),
        ("key_size", "u8"),
        ("offset", "i8"),
        ("opaque", "u8"),
    ],
    align=True,
)
"""`rd_kafka_message_t`, 72 bytes; pointers as integers."""

REPORT: Final = np.dtype(
    [
        ("sequence", "i8"),
        ("offset", "i8"),
        ("latency_us", "i8"),
        ("topic", "u8"),
        ("partition", "i4"),
        ("error", "i4"),
    ]
)
"""A delivery report. `sequence` is the number of the record within its producer, from 0 in the order of sending;
`topic` the producer's handle; `latency_us` from the produce call to the acknowledgement, -1 unknown.
"""

_SOMEWHERE: Final = np.zeros(1, np.uint8)
"""An empty row must point somewhere: a pointer of 0 would be a null."""


@dataclass(frozen=True, slots=True)
class Records:
    """What one call took from the queue, in its order; columns of one length that own their memory.

    `errors` is librdkafka's code, 0 for a record. An event (partition end, broker gone) keeps its place among the
    records: its partition and offset are set where it has one, its value is librdkafka's text. `topic_rows` index
    `topics`, -1 for an event without topic. `timestamps_ms` and `headers` are there if they were asked for.
    """

    topics: tuple[str, ...]
    topic_rows: Int32
    partitions: Int32
    offsets: Int64
    errors: Int32
    keys: BytesColumn
    values: BytesColumn
    timestamps_ms: Int64 | None = None
    headers: HeadersColumn | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    def slice(self, begin: int, end: int) -> "Records":
        """Rows begin to end, sharing the memory."""
        rows = slice(begin, end)
        return Records(
            self.topics,
            self.topic_rows[rows],
            self.partitions[rows],
            self.offsets[rows],
            self.errors[rows],
            self.keys.slice(begin, end),
            self.values.slice(begin, end),
            None if self.timestamps_ms is None else self.timestamps_ms[rows],
            None if self.headers is None else self.headers.slice(begin, end),
        )

    def without_events(self) -> Iterator["Records"]:
        """The runs of records between the events, in order; none is empty."""
        begin = 0
        for end in [*np.flatnonzero(self.errors).tolist(), len(self)]:
            if begin < end:
                yield self if end - begin == len(self) else self.slice(begin, end)
            begin = end + 1


@dataclass(frozen=True, slots=True)
class Measured:
    """What the columns of some messages need: sizes in bytes; `topics` are handles, alive while the messages are."""

    topics: tuple[int, ...]
    topic_rows: Int32
    key_bytes: int
    value_bytes: int
    null_keys: int
    null_values: int
    headers: int = 0
    header_name_bytes: int = 0
    header_value_bytes: int = 0


class Handed(NamedTuple):
    """What became of records that were handed to librdkafka: those `tried` are taken, or refused and reported."""

    tried: int
    taken: int
    taken_bytes: int


@dataclass(frozen=True, slots=True)
class Sending:
    """Columns of records for one topic (its handle); row 0 has the number `first_sequence` within its producer.

    `partitions`: one for all or a column, -1 = by the key. `timestamps_ms` and `headers` may be absent.
    """

    topic: int
    keys: BytesColumn | None
    values: BytesColumn
    partitions: Int32 | int
    timestamps_ms: Int64 | None
    headers: HeadersColumn | None
    first_sequence: int

    def is_plain(self) -> bool:
        """`rd_kafka_produce_batch` can carry it."""
        return self.timestamps_ms is None and self.headers is None


def message_rows(sending: Sending, begin: int, end: int) -> NDArray[np.void]:
    """Rows of `MESSAGE` that point into the columns, which must outlive them. 15 ns a row."""
    rows = np.zeros(end - begin, MESSAGE)
    partitions = sending.partitions
    rows["topic"] = sending.topic
    rows["partition"] = partitions if isinstance(partitions, int) else partitions[begin:end]
    rows["opaque"] = np.arange(sending.first_sequence + begin, sending.first_sequence + end, dtype=np.uint64)
    _point(rows, "value", sending.values.slice(begin, end))
    if sending.keys is not None:
        _point(rows, "key", sending.keys.slice(begin, end))
    return rows


def _point(rows: NDArray[np.void], name: str, column: BytesColumn) -> None:
    sizes = column.sizes()
    begin = address(column.data) if column.data.size else address(_SOMEWHERE)
    pointers = column.offsets[:-1] + begin
    if column.nulls is not None:
        pointers = np.where(column.nulls, 0, pointers)
        sizes = np.where(column.nulls, 0, sizes)
    rows[name] = pointers
    rows[f"{name}_size"] = sizes
