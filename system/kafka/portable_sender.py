"""The sending half of the kernel without a compiler: the same reports, a Python step each."""

import ctypes
from ctypes import c_int, c_size_t, c_ssize_t, c_void_p
from itertools import pairwise
from typing import Final

import numpy as np
from confluent_kafka import KafkaError
from numpy.typing import NDArray

from system.kafka.abi import BY_KEY, COPY, LIBRARY, DeliveryCallback, Message
from system.kafka.columns import Header, address
from system.kafka.librdkafka import topic_handle
from system.kafka.records import MESSAGE, REPORT, Handed, Sending, message_rows


class PortableSender:
    """One producer's way into librdkafka, and its delivery reports since they were last taken."""

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

    def topic(self, client: int, name: str) -> int:
        """A new handle of a topic; librdkafka partitions by the keys."""
        return topic_handle(client, name)

    def produce(self, client: int, sending: Sending, begin: int, end: int, *, may_wait: bool) -> Handed:
        """Hands rows begin to end to librdkafka; what it refuses is reported. With `may_wait` it stops where the
        queue is full.
        """
        rows = message_rows(sending, begin, end)
        if sending.is_plain():
            rows = _arranged(rows)
            _produce_batches(sending.topic, rows)
        else:
            rows = rows[: _produce_each(client, sending, begin, rows, may_wait=may_wait)]
        self._refuse(rows)
        taken = rows["error"] == 0
        return Handed(len(rows), int(np.count_nonzero(taken)), int(rows["value_size"][taken].sum()))

    @property
    def waiting(self) -> int:
        """Rows that `take` would give."""
        return len(self._rows)

    def take(self) -> NDArray[np.void]:
        """The rows of `REPORT` so far; the next call has only newer ones."""
        rows, self._rows = self._rows, []
        return np.array(rows, REPORT)

    def _refuse(self, rows: NDArray[np.void]) -> None:
        for row in rows[rows["error"] != 0]:
            self._rows.append((row["opaque"], -1, -1, row["topic"], row["partition"], row["error"]))

    def close(self) -> None:
        """Nothing to free."""


def _arranged(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Those of one partition side by side; as they are if librdkafka has to choose for some, which may be the same."""
    partitions = rows["partition"]
    return rows if (partitions == BY_KEY).any() else rows[np.argsort(partitions, kind="stable")]


def _produce_batches(topic: int, rows: NDArray[np.void]) -> None:
    """A call a partition: in one with mixed partitions librdkafka leaks a record whose partition does not exist."""
    edges = [0, *(np.flatnonzero(np.diff(rows["partition"])) + 1).tolist(), len(rows)]
    for begin, end in pairwise(edges):
        part = rows[begin:end]
        LIBRARY.rd_kafka_produce_batch(topic, int(part["partition"][0]), COPY, address(part), len(part))


def _produce_each(client: int, sending: Sending, begin: int, rows: NDArray[np.void], *, may_wait: bool) -> int:
    lists = None if sending.headers is None else sending.headers.to_lists()
    for row in range(len(rows)):
        place = begin + row
        carried = lists[place] if lists is not None else []
        stamp = None if sending.timestamps_ms is None else int(sending.timestamps_ms[place])
        message = Message.from_address(address(rows) + row * MESSAGE.itemsize)
        message.error = _produced(client, message, stamp, carried)
        if may_wait and message.error == KafkaError._QUEUE_FULL:
            return row
    return len(rows)


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
