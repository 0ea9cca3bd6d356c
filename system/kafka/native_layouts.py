"""How kernel.h sees a column: pointers to the memory of numpy's arrays, which must outlive the call."""

import ctypes
from ctypes import c_void_p

from system.kafka.columns import BytesColumn, HeadersColumn, address


class Bytes(ctypes.Structure):
    """`struct bytes`."""

    _fields_ = (("data", c_void_p), ("offsets", c_void_p), ("nulls", c_void_p))


class Headers(ctypes.Structure):
    """`struct headers`."""

    _fields_ = (("offsets", c_void_p), ("names", Bytes), ("values", Bytes))


def pointers(column: BytesColumn) -> Bytes:
    """The column as the kernel reads or fills it."""
    return Bytes(address(column.data), address(column.offsets), None if column.nulls is None else address(column.nulls))


def header_pointers(headers: HeadersColumn) -> Headers:
    """The headers as the kernel reads or fills them."""
    return Headers(address(headers.offsets), pointers(headers.names), pointers(headers.values))
