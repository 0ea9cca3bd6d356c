"""The sending half of the compiled kernel: columns to librdkafka, delivery reports back, one foreign call a chunk."""

import ctypes
from ctypes import byref, c_int32, c_int64, c_void_p
from typing import Final

import numpy as np
from confluent_kafka import KafkaError
from numpy.typing import NDArray

from system.kafka.abi import LIBRARY
from system.kafka.abi import address as function_address
from system.kafka.columns import address
from system.kafka.librdkafka import property_of, topic_handle
from system.kafka.native_layouts import Bytes, Headers, header_pointers, pointers
from system.kafka.records import REPORT, Handed, Sending

_JAVA_PARTITIONER: Final = "murmur2_random"


class _Route(ctypes.Structure):
    """How many partitions a topic has, as its partitioner was last told; it must outlive the client."""

    _fields_ = (("partitions", c_int32), ("partitioner", c_void_p))


class _Outgoing(ctypes.Structure):
    _fields_ = (
        ("topic", c_void_p),
        ("route", c_void_p),
        ("keys", Bytes),
        ("values", Bytes),
        ("partitions", c_void_p),
        ("timestamps", c_void_p),
        ("headers", Headers),
        ("first_sequence", c_int64),
        ("partition", c_int32),
    )


class _Handed(ctypes.Structure):
    _fields_ = (("tried", c_int64), ("taken", c_int64), ("taken_bytes", c_int64))


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


class NativeSender:
    """One producer's way into librdkafka, and its delivery reports since they were last taken."""

    def __init__(self, library: ctypes.CDLL, calls: ctypes.Array[c_void_p]) -> None:
        self._library, self._calls = library, calls
        self._routes: dict[int, _Route] = {}
        made: int | None = library.kernel_reports_new(calls)
        if made is None:
            raise MemoryError("no memory for delivery reports")
        self.opaque: int = made
        callback = ctypes.cast(library.kernel_report, c_void_p).value
        assert callback is not None
        self.callback: int = callback
        self._state = _Reports.from_address(made)

    def topic(self, client: int, name: str) -> int:
        """A new handle of a topic. Where keys are partitioned as by the Java client, `produce` does it itself."""
        if property_of(client, "partitioner") != _JAVA_PARTITIONER:
            return topic_handle(client, name)
        route = _Route(0, function_address("msg_partitioner_murmur2_random"))
        conf = LIBRARY.rd_kafka_default_topic_conf_dup(client)
        LIBRARY.rd_kafka_topic_conf_set_opaque(conf, ctypes.addressof(route))
        LIBRARY.rd_kafka_topic_conf_set_partitioner_cb(conf, ctypes.cast(self._library.kernel_partitioner, c_void_p))
        handle = topic_handle(client, name, conf)
        self._routes[handle] = route
        return handle

    def produce(self, client: int, sending: Sending, begin: int, end: int, *, may_wait: bool) -> Handed:
        """Hands rows begin to end to librdkafka; what it refuses is reported. With `may_wait` it stops where the
        queue is full.
        """
        outgoing, handed = _outgoing(sending, self._routes.get(sending.topic)), _Handed()
        call = (self._calls, byref(outgoing), begin, end, self.opaque, byref(handed))
        if sending.is_plain():
            self._library.kernel_produce_batch(*call)
        else:
            stop_at = KafkaError._QUEUE_FULL if may_wait else 0
            self._library.kernel_produce_each(client, stop_at, *call)
        return Handed(handed.tried, handed.taken, handed.taken_bytes)

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
        """Frees what it keeps; the client must be gone."""
        self._library.kernel_reports_free(self.opaque)


def _outgoing(sending: Sending, route: _Route | None) -> _Outgoing:
    partitions = sending.partitions
    return _Outgoing(
        sending.topic,
        None if route is None else ctypes.addressof(route),
        Bytes() if sending.keys is None else pointers(sending.keys),
        pointers(sending.values),
        None if isinstance(partitions, int) else address(partitions),
        None if sending.timestamps_ms is None else address(sending.timestamps_ms),
        Headers() if sending.headers is None else header_pointers(sending.headers),
        sending.first_sequence,
        partitions if isinstance(partitions, int) else 0,
    )
