"""What rdkafka.h declares, of the librdkafka that confluent-kafka has loaded into this process: no second copy.

Only what the columnar clients use. Every call releases the interpreter lock while it runs. The layouts and signatures
are fixed within version 1 and 2 (its ABI); pointers are plain integers here.
"""

import ctypes
from collections.abc import Mapping
from ctypes import POINTER, c_char_p, c_int, c_int32, c_int64, c_size_t, c_ssize_t, c_void_p
from pathlib import Path
from typing import Final

from confluent_kafka import cimpl

PRODUCER: Final = 0
CONSUMER: Final = 1
BY_KEY: Final = -1
"""RD_KAFKA_PARTITION_UA: the partitioner chooses."""
COPY: Final = 0x2
"""RD_KAFKA_MSG_F_COPY: librdkafka copies key and value, so the columns may go when the call returns."""
PURGE_ALL: Final = 0x3
LEAVE_NO_GROUP: Final = 0x8
"""RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE: no callback from a client that is being collected as garbage."""

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


class Partition(ctypes.Structure):
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


class Partitions(ctypes.Structure):
    """`rd_kafka_topic_partition_list_t`."""

    _fields_ = (("count", c_int), ("capacity", c_int), ("rows", POINTER(Partition)))


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
    "test_fatal_error": (c_int, c_void_p, c_int, c_char_p),
    "last_error": (c_int,),
    "metadata": (c_int, c_void_p, c_int, c_void_p, POINTER(c_void_p), c_int),
    "metadata_destroy": (None, c_void_p),
    "default_topic_conf_dup": (c_void_p, c_void_p),
    "topic_conf_set_opaque": (None, c_void_p, c_void_p),
    "topic_conf_set_partitioner_cb": (None, c_void_p, c_void_p),
    "msg_partitioner_murmur2_random": (c_int32, c_void_p, c_void_p, c_size_t, c_int32, c_void_p, c_void_p),
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
    "topic_partition_list_new": (POINTER(Partitions), c_int),
    "topic_partition_list_add": (POINTER(Partition), POINTER(Partitions), c_char_p, c_int32),
    "topic_partition_list_destroy": (None, POINTER(Partitions)),
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


def address(name: str) -> int:
    """Where `rd_kafka_<name>` stands in memory, for the kernel."""
    found = ctypes.cast(getattr(LIBRARY, f"rd_kafka_{name}"), c_void_p).value
    assert found is not None
    return found
