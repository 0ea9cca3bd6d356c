"""The kernel without a compiler: the same columns, a Python step a record. Slower by an order of magnitude."""

from collections.abc import Callable, Iterator
from ctypes import byref, c_char_p, c_int, c_size_t, c_void_p, string_at
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from system.kafka.abi import LIBRARY, Message
from system.kafka.columns import BytesColumn, Header, HeadersColumn
from system.kafka.portable_sender import PortableSender
from system.kafka.records import Measured, Records


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

    def sender(self) -> PortableSender:
        """What a new producer sends through."""
        return PortableSender()

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
