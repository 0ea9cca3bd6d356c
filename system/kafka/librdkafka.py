"""What the columnar clients ask of librdkafka besides moving records: errors, properties, handles and lists."""

import ctypes
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_size_t, c_void_p
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from system.kafka.abi import LIBRARY, Partitions
from system.kafka.config import Properties

_ERROR_TEXT_SIZE: Final = 512
_CONF_OK: Final = 0


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
def partition_list(partitions: Iterable[TopicPartition]) -> Iterator["ctypes._Pointer[Partitions]"]:
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


def partitions_in(pointer: "ctypes._Pointer[Partitions] | int") -> list[tuple[TopicPartition, int]]:
    """(partition with its offset, error code) each of a list that librdkafka has filled."""
    if isinstance(pointer, int):
        pointer = ctypes.cast(pointer, POINTER(Partitions))
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


def topic_handle(client: int, name: str, conf: int | None = None) -> int:
    """A new `rd_kafka_topic_t *`, which owns `conf`. Raises `KafkaException`."""
    handle: int | None = LIBRARY.rd_kafka_topic_new(client, name.encode(), conf)
    if handle is None:
        raise failure(LIBRARY.rd_kafka_last_error(), f"no topic can have the name {name!r}")
    return handle


def look_around(client: int, topic: int | None = None, *, timeout_s: float) -> None:
    """Asks for all topics, or one by its handle, which fills the client's cache: the first record to a topic that is
    not in it waits up to a second for its leaders. Raises `KafkaException` where no broker answers.
    """
    answer = c_void_p()
    checked(LIBRARY.rd_kafka_metadata(client, topic is None, topic, byref(answer), round(timeout_s * 1000)))
    LIBRARY.rd_kafka_metadata_destroy(answer)
