"""The compiled kernel (kernel.h) behind Python's types: one foreign call a column set, none a record."""

import ctypes
from ctypes import POINTER, byref, c_int32, c_int64, c_void_p
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from system.kafka import abi
from system.kafka.columns import BytesColumn, HeadersColumn, address
from system.kafka.native_layouts import Bytes, Headers, header_pointers, pointers
from system.kafka.native_sender import NativeSender
from system.kafka.records import Measured, Records

INTERFACE: Final = 2
"""`KERNEL_INTERFACE` of kernel.h."""

_CALLED: Final = (
    "message_destroy",
    "message_timestamp",
    "message_headers",
    "header_get_all",
    "message_latency",
    "produce_batch",
    "produceva",
    "error_code",
    "error_destroy",
    "headers_new",
    "header_add",
    "headers_destroy",
)
"""`struct calls` in its order."""


_WITHOUT_ANSWER: Final = (
    "measure",
    "copy",
    "destroy",
    "crc32",
    "murmur2",
    "reports_free",
    "produce_batch",
    "produce_each",
)


class _Sizes(ctypes.Structure):
    _fields_ = tuple(
        (name, c_int64)
        for name in (
            "key_bytes",
            "value_bytes",
            "null_keys",
            "null_values",
            "headers",
            "header_name_bytes",
            "header_value_bytes",
            "topics",
        )
    )


class _Columns(ctypes.Structure):
    _fields_ = (
        ("partitions", c_void_p),
        ("errors", c_void_p),
        ("offsets", c_void_p),
        ("timestamps", c_void_p),
        ("keys", Bytes),
        ("values", Bytes),
        ("headers", Headers),
    )


class NativeKernel:
    """Kernel of the shared object built from kernel.h. Raises OSError or AttributeError for any other file."""

    kind: Final = "native"

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        if library.kernel_interface() != INTERFACE:
            raise OSError(f"{path.name} was built from another version; install the project again")
        addresses = [abi.address(name) for name in _CALLED]
        self._calls = (c_void_p * len(_CALLED))(*addresses)
        self._library = library
        p, n = c_void_p, c_int64
        library.kernel_measure.argtypes = (p, p, n, c_int32, POINTER(_Sizes), p, p)
        library.kernel_copy.argtypes = (p, p, n, POINTER(_Columns))
        library.kernel_destroy.argtypes = (p, p, n)
        library.kernel_produce_batch.argtypes = (p, p, n, n, p, p)
        library.kernel_produce_each.argtypes = (p, c_int32, p, p, n, n, p, p)
        library.kernel_crc32.argtypes = library.kernel_murmur2.argtypes = (p, p, n, p)
        library.kernel_reports_new.argtypes = library.kernel_reports_free.argtypes = (p,)
        library.kernel_reports_new.restype = p
        for function in _WITHOUT_ANSWER:
            getattr(library, f"kernel_{function}").restype = None

    def measure(self, messages: NDArray[np.uint64], *, headers: bool) -> Measured:
        """What the columns of these messages (`rd_kafka_message_t *`) will need."""
        count = len(messages)
        topic_rows = np.empty(count, np.int32)
        topics = np.empty(count, np.uint64)
        sizes = _Sizes()
        self._library.kernel_measure(
            self._calls, address(messages), count, headers, byref(sizes), address(topic_rows), address(topics)
        )
        return Measured(
            tuple(topics[: sizes.topics].tolist()),
            topic_rows,
            sizes.key_bytes,
            sizes.value_bytes,
            sizes.null_keys,
            sizes.null_values,
            sizes.headers,
            sizes.header_name_bytes,
            sizes.header_value_bytes,
        )

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
        count = len(messages)
        records = Records(
            topics,
            measured.topic_rows,
            np.empty(count, np.int32),
            np.empty(count, np.int64),
            np.empty(count, np.int32),
            _empty(count, measured.key_bytes, nulls=measured.null_keys > 0),
            _empty(count, measured.value_bytes, nulls=measured.null_values > 0),
            np.empty(count, np.int64) if timestamps else None,
            _empty_headers(count, measured) if headers else None,
        )
        columns = _Columns(
            address(records.partitions),
            address(records.errors),
            address(records.offsets),
            None if records.timestamps_ms is None else address(records.timestamps_ms),
            pointers(records.keys),
            pointers(records.values),
            Headers() if records.headers is None else header_pointers(records.headers),
        )
        self._library.kernel_copy(self._calls, address(messages), count, byref(columns))
        return records

    def destroy(self, messages: NDArray[np.uint64]) -> None:
        """Gives messages back unread."""
        self._library.kernel_destroy(self._calls, address(messages), len(messages))

    def sender(self) -> NativeSender:
        """What a new producer sends through."""
        return NativeSender(self._library, self._calls)

    def crc32(self, column: BytesColumn) -> NDArray[np.uint32]:
        """zlib's crc32 of every row; 0 for an empty row and for null."""
        return self._of_rows(self._library.kernel_crc32, column)

    def murmur2(self, column: BytesColumn) -> NDArray[np.uint32]:
        """The Java client's murmur2 of every row, its bits as unsigned."""
        return self._of_rows(self._library.kernel_murmur2, column)

    @staticmethod
    def _of_rows(function: "ctypes._NamedFuncPointer", column: BytesColumn) -> NDArray[np.uint32]:
        offsets = np.ascontiguousarray(column.offsets)
        found = np.empty(len(column), np.uint32)
        function(address(column.data), address(offsets), len(column), address(found))
        return found


def _empty(count: int, size: int, *, nulls: bool) -> BytesColumn:
    mask = np.empty(count, np.bool_) if nulls else None
    return BytesColumn(np.empty(size, np.uint8), np.empty(count + 1, np.int64), mask)


def _empty_headers(count: int, measured: Measured) -> HeadersColumn:
    names = _empty(measured.headers, measured.header_name_bytes, nulls=False)
    values = _empty(measured.headers, measured.header_value_bytes, nulls=True)
    return HeadersColumn(np.empty(count + 1, np.int64), names, values)
