"""The compiled kernel (kernel.c) behind Python's types: one foreign call a column set, none a record."""

import ctypes
from ctypes import POINTER, byref, c_int32, c_int64, c_void_p
from pathlib import Path
from typing import Final

import numpy as np
from confluent_kafka import KafkaError
from numpy.typing import NDArray

from system.kafka import librdkafka
from system.kafka.columns import BytesColumn, HeadersColumn, address
from system.kafka.records import REPORT, Measured, Records

INTERFACE: Final = 1
"""`KERNEL_INTERFACE` of kernel.c."""

_CALLED: Final = (
    "message_destroy",
    "message_timestamp",
    "message_headers",
    "header_get_all",
    "message_latency",
    "produceva",
    "error_code",
    "error_destroy",
    "headers_new",
    "header_add",
    "headers_destroy",
)
"""`struct calls` in its order."""


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


class _Bytes(ctypes.Structure):
    _fields_ = (("data", c_void_p), ("offsets", c_void_p), ("nulls", c_void_p))


class _Headers(ctypes.Structure):
    _fields_ = (("offsets", c_void_p), ("names", _Bytes), ("values", _Bytes))


class _Columns(ctypes.Structure):
    _fields_ = (
        ("partitions", c_void_p),
        ("errors", c_void_p),
        ("offsets", c_void_p),
        ("timestamps", c_void_p),
        ("keys", _Bytes),
        ("values", _Bytes),
        ("headers", _Headers),
    )


class _Reports(ctypes.Structure):
    _fields_ = (
        ("rows", c_void_p),
        ("count", c_int64),
        ("capacity", c_int64),
        ("heard", c_int64),
        ("heard_bytes", c_int64),
        ("lost", c_int64),
        ("latency", c_void_p),
    )


class NativeReports:
    """Delivery reports that the compiled callback has written down since they were last taken. One producer's."""

    def __init__(self, library: ctypes.CDLL, calls: ctypes.Array[c_void_p]) -> None:
        self._library = library
        made: int | None = library.kernel_reports_new(calls)
        if made is None:
            raise MemoryError("no memory for delivery reports")
        self.opaque: int = made
        callback = ctypes.cast(library.kernel_report, c_void_p).value
        assert callback is not None
        self.callback: int = callback
        self._state = _Reports.from_address(made)

    @property
    def heard(self) -> int:
        """Reports since the producer was made."""
        return int(self._state.heard)

    @property
    def heard_bytes(self) -> int:
        """Bytes of the values that they were about."""
        return int(self._state.heard_bytes)

    @property
    def waiting(self) -> int:
        """Rows that `take` would give."""
        return int(self._state.count)

    def take(self) -> NDArray[np.void]:
        """The rows of `REPORT` so far, copied; the next call has only newer ones. Raises MemoryError if one is lost."""
        state = self._state
        if state.lost:
            raise MemoryError(f"{state.lost} delivery reports were lost for want of memory")
        rows = np.empty(state.count, REPORT)
        if len(rows):
            ctypes.memmove(address(rows), state.rows, rows.nbytes)
        state.count = 0
        return rows

    def close(self) -> None:
        """Frees the rows; the producer must be gone."""
        self._library.kernel_reports_free(self.opaque)


class NativeKernel:
    """Kernel of a shared object built from kernel.c. Raises OSError or AttributeError for any other file."""

    kind: Final = "native"

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        if library.kernel_interface() != INTERFACE:
            raise OSError(f"{path.name} was built from another version; install the project again")
        addresses = [librdkafka.address(name) for name in _CALLED]
        self._calls = (c_void_p * len(_CALLED))(*addresses)
        self._library = library
        p, n = c_void_p, c_int64
        library.kernel_measure.argtypes = (p, p, n, c_int32, POINTER(_Sizes), p, p)
        library.kernel_copy.argtypes = (p, p, n, POINTER(_Columns))
        library.kernel_destroy.argtypes = (p, p, n)
        library.kernel_produce_each.argtypes = (p, p, p, n, p, p, n, c_int32, c_int32)
        library.kernel_crc32.argtypes = library.kernel_murmur2.argtypes = (p, p, n, p)
        library.kernel_reports_new.argtypes = library.kernel_reports_free.argtypes = (p,)
        library.kernel_reports_new.restype = p
        library.kernel_produce_each.restype = n
        for function in ("measure", "copy", "destroy", "crc32", "murmur2", "reports_free"):
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
            _pointers(records.keys),
            _pointers(records.values),
            _Headers() if records.headers is None else _header_pointers(records.headers),
        )
        self._library.kernel_copy(self._calls, address(messages), count, byref(columns))
        return records

    def destroy(self, messages: NDArray[np.uint64]) -> None:
        """Gives messages back unread."""
        self._library.kernel_destroy(self._calls, address(messages), len(messages))

    def produce_each(
        self,
        client: int,
        rows: NDArray[np.void],
        timestamps_ms: NDArray[np.int64] | None,
        headers: HeadersColumn | None,
        *,
        first_row: int,
    ) -> int:
        """Produces rows of `MESSAGE` one by one and sets their `error`; stops where the queue is full: rows tried.

        `first_row` is the place of `rows[0]` in the columns of timestamps and headers.
        """
        carried = None if headers is None else byref(_header_pointers(headers))
        tried: int = self._library.kernel_produce_each(
            self._calls,
            client,
            address(rows),
            len(rows),
            None if timestamps_ms is None else address(timestamps_ms),
            carried,
            first_row,
            librdkafka.COPY,
            KafkaError._QUEUE_FULL,
        )
        return tried

    def reports(self) -> NativeReports:
        """Where a new producer's delivery reports go."""
        return NativeReports(self._library, self._calls)

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


def _pointers(column: BytesColumn) -> _Bytes:
    return _Bytes(
        address(column.data), address(column.offsets), None if column.nulls is None else address(column.nulls)
    )


def _header_pointers(headers: HeadersColumn) -> _Headers:
    return _Headers(address(headers.offsets), _pointers(headers.names), _pointers(headers.values))
