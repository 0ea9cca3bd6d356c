"""The kernel without a compiler: the same columns, a Python step a record. Slower by an order of magnitude."""

import ctypes
from collections.abc import Callable, Iterator
from ctypes import byref, c_char_p, c_int, c_size_t, c_ssize_t, c_void_p, string_at
from typing import Final
from zlib import crc32

import numpy as np
from confluent_kafka import KafkaError
from numpy.typing import NDArray

from system.kafka.columns import BytesColumn, HeadersColumn, address
from system.kafka.librdkafka import COPY, LIBRARY, DeliveryCallback, Message
from system.kafka.records import MESSAGE, REPORT, Measured, Records

Header = tuple[str, bytes | None]


class PortableReports:
    """Delivery reports that the callback has written down since they were last taken. One producer's."""

    opaque: Final = 0

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, int, int, int, int]] = []
        self.heard = 0
        self.heard_bytes = 0
        self._function = DeliveryCallback(self._heard)
        callback = ctypes.cast(self._function, c_void_p).value
        assert callback is not None
        self.callback: int = callback

    def _heard(self, _client: int, pointer: int, _opaque: int) -> None:
        message = Message.from_address(pointer)
        latency_us = LIBRARY.rd_kafka_message_latency(pointer)
        self.heard += 1
        self.heard_bytes += message.value_size
        self._rows.append(
            (message.opaque or 0, message.offset, latency_us, message.topic or 0, message.partition, message.error)
        )

    @property
    def waiting(self) -> int:
        """Rows that `take` would give."""
        return len(self._rows)

    def take(self) -> NDArray[np.void]:
        """The rows of `REPORT` so far; the next call has only newer ones."""
        rows, self._rows = self._rows, []
        return np.array(rows, REPORT)

    def close(self) -> None:
        """Nothing to free."""


class PortableKernel:
    """Kernel by ctypes alone."""

    kind: Final = "ctypes"

    def measure(self, messages: NDArray[np.uint64], *, headers: bool) -> Measured:
        """The topics; sizes are not needed here."""
        handles = [Message.from_address(pointer).topic for pointer in messages.tolist()]
        rows = {handle: row for row, handle in enumerate(dict.fromkeys(one for one in handles if one is not None))}
        topic_rows = np.array([-1 if one is None else rows[one] for one in handles], np.int32)
        return Measured(tuple(rows), topic_rows, 0, 0, 0, 0)

    def copy(
        self,
        messages: NDArray[np.uint64],
        measured: Measured,
        topics: tuple[str, ...],
        *,
        timestamps: bool,
        headers: bool,
    ) -> Records:
        """The columns; the messages are given back to librdkafka."""
        pointers = messages.tolist()
        rows = [Message.from_address(pointer) for pointer in pointers]
        kind = c_int()
        stamps = [
            -1 if row.error else LIBRARY.rd_kafka_message_timestamp(pointer, byref(kind))
            for pointer, row in (zip(pointers, rows, strict=True) if timestamps else ())
        ]
        records = Records(
            topics,
            measured.topic_rows,
            np.array([row.partition for row in rows], np.int32),
            np.array([row.offset for row in rows], np.int64),
            np.array([row.error for row in rows], np.int32),
            BytesColumn.from_list([_bytes(row.key, row.key_size) for row in rows]),
            BytesColumn.from_list([_bytes(row.value, row.value_size) for row in rows]),
            np.array(stamps, np.int64) if timestamps else None,
            HeadersColumn.from_lists([list(_headers_of(one)) for one in pointers]) if headers else None,
        )
        self.destroy(messages)
        return records

    def destroy(self, messages: NDArray[np.uint64]) -> None:
        """Gives messages back unread."""
        for pointer in messages.tolist():
            LIBRARY.rd_kafka_message_destroy(pointer)

    def produce_each(
        self,
        client: int,
        rows: NDArray[np.void],
        timestamps_ms: NDArray[np.int64] | None,
        headers: HeadersColumn | None,
        *,
        first_row: int,
    ) -> int:
        """Produces rows of `MESSAGE` one by one and sets their `error`; stops where the queue is full: rows tried."""
        lists = None if headers is None else headers.to_lists()
        for row in range(len(rows)):
            place = first_row + row
            carried = lists[place] if lists is not None else []
            stamp = None if timestamps_ms is None else int(timestamps_ms[place])
            message = Message.from_address(address(rows) + row * MESSAGE.itemsize)
            message.error = _produced(client, message, stamp, carried)
            if message.error == KafkaError._QUEUE_FULL:
                return row
        return len(rows)

    def reports(self) -> PortableReports:
        """Where a new producer's delivery reports go."""
        return PortableReports()

    def crc32(self, column: BytesColumn) -> NDArray[np.uint32]:
        """zlib's crc32 of every row; 0 for an empty row and for null."""
        return _of_rows(crc32, column)

    def murmur2(self, column: BytesColumn) -> NDArray[np.uint32]:
        """The Java client's murmur2 of every row, its bits as unsigned."""
        return _of_rows(_murmur2, column)


def _bytes(pointer: int | None, size: int) -> bytes | None:
    return None if pointer is None else string_at(pointer, size)


def _headers_of(message: int) -> Iterator[Header]:
    found, name, value, size = c_void_p(), c_char_p(), c_void_p(), c_size_t()
    if Message.from_address(message).error or LIBRARY.rd_kafka_message_headers(message, byref(found)):
        return
    index = 0
    while not LIBRARY.rd_kafka_header_get_all(found, index, byref(name), byref(value), byref(size)):
        yield (name.value or b"").decode(), _bytes(value.value, size.value)
        index += 1


class _Argument(ctypes.Structure):
    """`rd_kafka_vu_t` as far as it is used: a kind, a pointer or number, a size."""

    _fields_ = (("kind", c_int), ("first", ctypes.c_int64), ("size", c_size_t), ("padding", ctypes.c_char * 48))


_TOPIC, _PARTITION, _VALUE, _KEY, _OPAQUE, _FLAGS, _TIMESTAMP, _HEADERS = 2, 3, 4, 5, 6, 7, 8, 10


def _produced(client: int, message: Message, stamp_ms: int | None, headers: list[Header]) -> int:
    """librdkafka's error code for one record, 0 = taken."""
    arguments = [
        _Argument(_TOPIC, message.topic),
        _Argument(_PARTITION, message.partition),
        _Argument(_VALUE, message.value or 0, message.value_size),
        _Argument(_KEY, message.key or 0, message.key_size),
        _Argument(_OPAQUE, message.opaque or 0),
        _Argument(_FLAGS, COPY),
    ]
    if stamp_ms is not None:
        arguments.append(_Argument(_TIMESTAMP, stamp_ms))
    made = LIBRARY.rd_kafka_headers_new(len(headers)) if headers else None
    for name, value in headers:
        LIBRARY.rd_kafka_header_add(made, name.encode(), c_ssize_t(-1), value, len(value or b""))
    if made is not None:
        arguments.append(_Argument(_HEADERS, made))
    error = LIBRARY.rd_kafka_produceva(client, (_Argument * len(arguments))(*arguments), len(arguments))
    if error is None:
        return 0
    code: int = LIBRARY.rd_kafka_error_code(error)
    LIBRARY.rd_kafka_error_destroy(error)
    if made is not None:
        LIBRARY.rd_kafka_headers_destroy(made)
    return code


def _of_rows(function: Callable[[bytes], int], column: BytesColumn) -> NDArray[np.uint32]:
    return np.array([function(row or b"") for row in column.to_list()], np.uint32)


def _murmur2(row: bytes) -> int:
    """org.apache.kafka.common.utils.Utils.murmur2, on numbers without a sign."""
    mask, m, whole = 0xFFFFFFFF, 0x5BD1E995, len(row) & ~3
    found = 0x9747B28C ^ len(row)
    for at in range(0, whole, 4):
        word = int.from_bytes(row[at : at + 4], "little") * m & mask
        found = (found * m & mask) ^ ((word ^ word >> 24) * m & mask)
    if whole < len(row):
        found = (found ^ int.from_bytes(row[whole:], "little")) * m & mask
    found = (found ^ found >> 13) * m & mask
    return found ^ found >> 15
