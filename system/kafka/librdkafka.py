"""The librdkafka that confluent-kafka has loaded into this process, called through ctypes: no second copy.

Only what the columnar clients use is declared. Every call releases the interpreter lock while it runs. Source of the
signatures and layouts: rdkafka.h, whose ABI is fixed within version 1 and 2; pointers are plain integers here.
"""

import ctypes
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_int64, c_size_t, c_ssize_t, c_void_p
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition, cimpl

from system.kafka.config import Properties

PRODUCER: Final = 0
CONSUMER: Final = 1
COPY: Final = 0x2
"""RD_KAFKA_MSG_F_COPY: librdkafka copies key and value, so the columns may go when the call returns."""
PARTITION_GIVEN: Final = 0x8
"""RD_KAFKA_MSG_F_PARTITION: each record of a batch names its own partition, -1 = by the key."""
PURGE_ALL: Final = 0x3
LEAVE_NO_GROUP: Final = 0x8
"""RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE: no callback from a client that is being collected as garbage."""
_ERROR_TEXT_SIZE: Final = 512
_CONF_OK: Final = 0

DeliveryCallback = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_void_p)
"""(client, message, opaque), called inside `rd_kafka_poll` and `rd_kafka_flush`."""
RebalanceCallback = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_void_p, c_void_p)
"""(client, error code, partitions, opaque), called inside the consume calls and `rd_kafka_consumer_close`."""


class Message(ctypes.Structure):
    """`rd_kafka_message_t`."""

    _fields_ = (
        ("error", c_int32),
        ("topic", c_void_p),
        ("partition", c_int32),
        ("value", c_void_p),
        ("value_size", c_size_t),
        ("key", c_void_p),
        ("key_size", c_size_t),
        ("offset", c_int64),
        ("opaque", c_void_p),
    )


class _Partition(ctypes.Structure):
    """`rd_kafka_topic_partition_t`."""

    _fields_ = (
        ("topic", c_char_p),
        ("partition", c_int32),
        ("offset", c_int64),
        ("metadata", c_void_p),
        ("metadata_size", c_size_t),
        ("opaque", c_void_p),
        ("error", c_int),
        ("_private", c_void_p),
    )


class _Partitions(ctypes.Structure):
    """`rd_kafka_topic_partition_list_t`."""

    _fields_ = (("count", c_int), ("capacity", c_int), ("rows", POINTER(_Partition)))


_SIGNATURES: Final[Mapping[str, tuple[object, ...]]] = {
    # name: (result, *arguments)
    "conf_new": (c_void_p,),
    "conf_destroy": (None, c_void_p),
    "conf_set": (c_int, c_void_p, c_char_p, c_char_p, c_char_p, c_size_t),
    "conf_set_opaque": (None, c_void_p, c_void_p),
    "conf_set_dr_msg_cb": (None, c_void_p, c_void_p),
    "conf_set_rebalance_cb": (None, c_void_p, c_void_p),
    "new": (c_void_p, c_int, c_void_p, c_char_p, c_size_t),
    "conf": (c_void_p, c_void_p),
    "conf_get": (c_int, c_void_p, c_char_p, c_char_p, POINTER(c_size_t)),
    "destroy": (None, c_void_p),
    "destroy_flags": (None, c_void_p, c_int),
    "err2name": (c_char_p, c_int),
    "err2str": (c_char_p, c_int),
    "error_code": (c_int, c_void_p),
    "error_string": (c_char_p, c_void_p),
    "error_is_fatal": (c_int, c_void_p),
    "error_is_retriable": (c_int, c_void_p),
    "error_txn_requires_abort": (c_int, c_void_p),
    "error_destroy": (None, c_void_p),
    "last_error": (c_int,),
    "metadata": (c_int, c_void_p, c_int, c_void_p, POINTER(c_void_p), c_int),
    "metadata_destroy": (None, c_void_p),
    "topic_new": (c_void_p, c_void_p, c_char_p, c_void_p),
    "topic_name": (c_char_p, c_void_p),
    "topic_destroy": (None, c_void_p),
    "produce_batch": (c_int, c_void_p, c_int32, c_int, c_void_p, c_int),
    "poll": (c_int, c_void_p, c_int),
    "flush": (c_int, c_void_p, c_int),
    "purge": (c_int, c_void_p, c_int),
    "outq_len": (c_int, c_void_p),
    "poll_set_consumer": (c_int, c_void_p),
    "queue_get_consumer": (c_void_p, c_void_p),
    "queue_destroy": (None, c_void_p),
    "consume_batch_queue": (c_ssize_t, c_void_p, c_int, c_void_p, c_size_t),
    "subscribe": (c_int, c_void_p, c_void_p),
    "assign": (c_int, c_void_p, c_void_p),
    "incremental_assign": (c_void_p, c_void_p, c_void_p),
    "incremental_unassign": (c_void_p, c_void_p, c_void_p),
    "rebalance_protocol": (c_char_p, c_void_p),
    "assignment_lost": (c_int, c_void_p),
    "commit": (c_int, c_void_p, c_void_p, c_int),
    "committed": (c_int, c_void_p, c_void_p, c_int),
    "seek_partitions": (c_void_p, c_void_p, c_void_p, c_int),
    "position": (c_int, c_void_p, c_void_p),
    "query_watermark_offsets": (c_int, c_void_p, c_char_p, c_int32, POINTER(c_int64), POINTER(c_int64), c_int),
    "consumer_group_metadata": (c_void_p, c_void_p),
    "consumer_group_metadata_generation_id": (c_int32, c_void_p),
    "consumer_group_metadata_write": (c_void_p, c_void_p, POINTER(c_void_p), POINTER(c_size_t)),
    "consumer_group_metadata_read": (c_void_p, POINTER(c_void_p), c_char_p, c_size_t),
    "consumer_group_metadata_destroy": (None, c_void_p),
    "mem_free": (None, c_void_p, c_void_p),
    "consumer_close": (c_int, c_void_p),
    "yield": (None, c_void_p),
    "topic_partition_list_new": (POINTER(_Partitions), c_int),
    "topic_partition_list_add": (POINTER(_Partition), POINTER(_Partitions), c_char_p, c_int32),
    "topic_partition_list_destroy": (None, POINTER(_Partitions)),
    "message_destroy": (None, c_void_p),
    "message_timestamp": (c_int64, c_void_p, POINTER(c_int)),
    "message_headers": (c_int, c_void_p, POINTER(c_void_p)),
    "message_latency": (c_int64, c_void_p),
    "header_get_all": (c_int, c_void_p, c_size_t, POINTER(c_char_p), POINTER(c_void_p), POINTER(c_size_t)),
    "headers_new": (c_void_p, c_size_t),
    "header_add": (c_int, c_void_p, c_char_p, c_ssize_t, c_void_p, c_ssize_t),
    "headers_destroy": (None, c_void_p),
    "init_transactions": (c_void_p, c_void_p, c_int),
    "begin_transaction": (c_void_p, c_void_p),
    "send_offsets_to_transaction": (c_void_p, c_void_p, c_void_p, c_void_p, c_int),
    "commit_transaction": (c_void_p, c_void_p, c_int),
    "abort_transaction": (c_void_p, c_void_p, c_int),
    "produceva": (c_void_p, c_void_p, c_void_p, c_size_t),
}


def _loaded() -> str:
    """The file of the librdkafka that `cimpl` brought with it. The wheel names it by a hash of its content."""
    mapped = {line.split(maxsplit=5)[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    found = sorted(path for path in mapped if Path(path).name.startswith("librdkafka"))
    if len(found) != 1:
        raise ImportError(f"{cimpl.__name__} should have loaded one librdkafka, found {found or 'none'}")
    return found[0]


def _declared() -> ctypes.CDLL:
    library = ctypes.CDLL(_loaded())
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    return library


LIBRARY: Final = _declared()


def error_name(code: int) -> str:
    """As `KafkaError.name()`: `_MSG_TIMED_OUT`; those with an underscore in front never left this machine."""
    name: bytes = LIBRARY.rd_kafka_err2name(code)
    return name.decode()


def failure(code: int, reason: str | None = None) -> KafkaException:
    """The exception that confluent-kafka would raise for this error."""
    if reason is None:
        text: bytes = LIBRARY.rd_kafka_err2str(code)
        reason = text.decode()
    return KafkaException(KafkaError(code, reason))


def checked(code: int) -> None:
    """Raises `KafkaException` unless `code` is 0."""
    if code:
        raise failure(code)


def checked_error(error: int | None) -> None:
    """The same for a `rd_kafka_error_t *`, which is freed; fatal, retriable and abort-the-transaction are kept."""
    if error:
        raise KafkaException(told_by(error))


def told_by(error: int) -> KafkaError:
    """The value of a `rd_kafka_error_t *`, which is freed."""
    told = KafkaError(
        LIBRARY.rd_kafka_error_code(error),
        LIBRARY.rd_kafka_error_string(error).decode(),
        bool(LIBRARY.rd_kafka_error_is_fatal(error)),
        bool(LIBRARY.rd_kafka_error_is_retriable(error)),
        bool(LIBRARY.rd_kafka_error_txn_requires_abort(error)),
    )
    LIBRARY.rd_kafka_error_destroy(error)
    return told


@contextmanager
def partition_list(partitions: Iterable[TopicPartition]) -> Iterator["ctypes._Pointer[_Partitions]"]:
    """A `rd_kafka_topic_partition_list_t *` with topic, partition and offset, for the duration of a call."""
    rows = list(partitions)
    made = LIBRARY.rd_kafka_topic_partition_list_new(len(rows))
    try:
        for row in rows:
            added = LIBRARY.rd_kafka_topic_partition_list_add(made, row.topic.encode(), row.partition)
            added.contents.offset = row.offset
        yield made
    finally:
        LIBRARY.rd_kafka_topic_partition_list_destroy(made)


def partitions_in(pointer: "ctypes._Pointer[_Partitions] | int") -> list[tuple[TopicPartition, int]]:
    """(partition with its offset, error code) each of a list that librdkafka has filled."""
    if isinstance(pointer, int):
        pointer = ctypes.cast(pointer, POINTER(_Partitions))
    found = pointer.contents
    return [
        (TopicPartition(row.topic.decode(), row.partition, row.offset), row.error)
        for row in (found.rows[index] for index in range(found.count))
    ]


def serialised_group(metadata: int | None) -> bytes:
    """The bytes of a `rd_kafka_consumer_group_metadata_t *`, which is freed: a value that outlives its consumer."""
    if metadata is None:
        raise failure(KafkaError._UNKNOWN_GROUP, "not a member of a group")
    buffer, size = c_void_p(), c_size_t()
    try:
        checked_error(LIBRARY.rd_kafka_consumer_group_metadata_write(metadata, byref(buffer), byref(size)))
    finally:
        LIBRARY.rd_kafka_consumer_group_metadata_destroy(metadata)
    try:
        return ctypes.string_at(buffer, size.value)
    finally:
        LIBRARY.rd_kafka_mem_free(None, buffer)


@contextmanager
def group_metadata(serialised: bytes) -> Iterator[c_void_p]:
    """The `rd_kafka_consumer_group_metadata_t *` again, for the duration of a call. Raises `KafkaException`."""
    metadata = c_void_p()
    checked_error(LIBRARY.rd_kafka_consumer_group_metadata_read(byref(metadata), serialised, len(serialised)))
    try:
        yield metadata
    finally:
        LIBRARY.rd_kafka_consumer_group_metadata_destroy(metadata)


def configured(properties: Properties) -> int:
    """A new `rd_kafka_conf_t *`. Raises `KafkaException` with librdkafka's own words for what it does not take, and
    `ValueError` for what is not a native property (a Python callback).
    """
    conf: int = LIBRARY.rd_kafka_conf_new()
    text = ctypes.create_string_buffer(_ERROR_TEXT_SIZE)
    try:
        for name, value in properties.items():
            if not isinstance(value, str | int | float | bool):
                raise ValueError(f"client property {name!r}: {value!r} is not text, a number or a truth value")
            native = str(value).lower() if isinstance(value, bool) else str(value)
            if LIBRARY.rd_kafka_conf_set(conf, name.encode(), native.encode(), text, len(text)) != _CONF_OK:
                raise failure(KafkaError._INVALID_ARG, text.value.decode())
    except BaseException:
        LIBRARY.rd_kafka_conf_destroy(conf)
        raise
    return conf


def created(kind: int, conf: int) -> int:
    """A new client (`rd_kafka_t *`) that owns `conf`. Raises `KafkaException`."""
    text = ctypes.create_string_buffer(_ERROR_TEXT_SIZE)
    client: int | None = LIBRARY.rd_kafka_new(kind, conf, text, len(text))
    if client is None:
        LIBRARY.rd_kafka_conf_destroy(conf)
        raise failure(KafkaError._INVALID_ARG, text.value.decode())
    return client


def property_of(client: int, name: str) -> str:
    """The value of a property in use, defaults included."""
    text = ctypes.create_string_buffer(_ERROR_TEXT_SIZE)
    size = c_size_t(len(text))
    if LIBRARY.rd_kafka_conf_get(LIBRARY.rd_kafka_conf(client), name.encode(), text, byref(size)) != _CONF_OK:
        raise failure(KafkaError._INVALID_ARG, f"no client property {name!r}")
    return text.value.decode()


def look_around(client: int, topic: int | None = None, *, timeout_s: float) -> None:
    """Asks for all topics, or one by its handle, which fills the client's cache: the first record to a topic that is
    not in it waits up to a second for its leaders. Raises `KafkaException` where no broker answers.
    """
    answer = c_void_p()
    checked(LIBRARY.rd_kafka_metadata(client, topic is None, topic, byref(answer), round(timeout_s * 1000)))
    LIBRARY.rd_kafka_metadata_destroy(answer)


def address(name: str) -> int:
    """Where `rd_kafka_<name>` stands in memory, for the kernel."""
    found = ctypes.cast(getattr(LIBRARY, f"rd_kafka_{name}"), c_void_p).value
    assert found is not None
    return found
