"""Who leads the controllers' quorum, who coordinates an id, who leads which partition: asked of a broker at once.

In Kafka's own protocol over a plain socket, a request and an answer, so that no background of a client is needed and a
broker that says nothing costs no more than the time-out. DescribeQuorum (key 55, KIP-595; the client library has no
call for it, and what metadata calls the controller is a random broker), FindCoordinator (key 10, KIP-699), Metadata
(key 3). Only for brokers of our own, which listen without TLS.
"""

import io
import socket
import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

DESCRIBE_QUORUM: Final = (55, 0)
FIND_COORDINATOR: Final = (10, 4)
METADATA: Final = (3, 7)
FLEXIBLE: Final = (DESCRIBE_QUORUM, FIND_COORDINATOR)
"""Requests whose headers carry tags (KIP-482)."""
GROUP: Final = 0
TRANSACTION: Final = 1
CLIENT: Final = b"choreobench"
NO_TAGS: Final = b"\x00"
METADATA_TOPIC: Final = b"__cluster_metadata"


class NoAnswer(Exception):
    """The broker did not answer in time, or its answer was an error; the message says which."""


@dataclass(frozen=True)
class Address:
    """Where a broker listens."""

    host: str
    port: int


def quorum_leader(broker: Address, *, timeout_s: float) -> int:
    """The node id of the active controller, as this broker's metadata quorum has it. Raises `NoAnswer`."""
    topics = b"\x02" + _text(METADATA_TOPIC) + b"\x02" + struct.pack(">i", 0) + NO_TAGS + NO_TAGS
    answer = _asked(broker, DESCRIBE_QUORUM, topics + NO_TAGS, timeout_s)
    # error_code, topics [name, partitions [index, error_code, leader_id, …]]
    refused = struct.unpack_from(">h", answer, 0)[0]
    if refused:
        raise NoAnswer(f"DescribeQuorum is refused with error {refused}")
    name_at = 3
    partition_at = name_at + 1 + len(METADATA_TOPIC) + 1
    _index, refused, leader = struct.unpack_from(">ihi", answer, partition_at)
    if refused or leader < 0:
        raise NoAnswer(f"the quorum has no leader (error {refused})")
    return int(leader)


def coordinator(broker: Address, key: str, *, kind: int, timeout_s: float) -> int:
    """The node id of the coordinator of a group (`GROUP`) or of a transactional id (`TRANSACTION`). Raises
    `NoAnswer`.
    """
    body = struct.pack(">b", kind) + b"\x02" + _text(key.encode()) + NO_TAGS
    answer = _asked(broker, FIND_COORDINATOR, body, timeout_s)
    # throttle_time_ms, coordinators [key, node_id, host, port, error_code, …]
    node_at = 4 + 1 + len(_text(key.encode()))
    (node,) = struct.unpack_from(">i", answer, node_at)
    host_length = answer[node_at + 4] - 1
    (refused,) = struct.unpack_from(">h", answer, node_at + 4 + 1 + host_length + 4)
    if refused or node < 0:
        raise NoAnswer(f"the coordinator of {key} is not known (error {refused})")
    return int(node)


class Led(NamedTuple):
    """One partition: its leader (a node id, -1 = none), the leader's epoch, and who is in sync."""

    topic: str
    partition: int
    leader: int
    epoch: int
    in_sync: tuple[int, ...]


def partitions(broker: Address, *, timeout_s: float) -> list[Led]:
    """Every partition of every topic, the coordinators' own among them, as this broker has heard of it. Raises
    `NoAnswer`.
    """
    every_topic, create_none = struct.pack(">i", -1), b"\x00"
    answer = _Reader(_asked(broker, METADATA, every_topic + create_none, timeout_s))
    answer.skip(4)
    for _ in range(answer.int32()):
        answer.skip(4)
        answer.text()
        answer.skip(4)
        answer.text()
    answer.text()
    answer.skip(4)
    return [led for _ in range(answer.int32()) for led in _topic(answer)]


def _topic(answer: "_Reader") -> list[Led]:
    answer.skip(2)
    name = answer.text()
    answer.skip(1)
    found = []
    for _ in range(answer.int32()):
        answer.skip(2)
        number, leader, epoch = answer.int32(), answer.int32(), answer.int32()
        answer.numbers()
        in_sync = answer.numbers()
        answer.numbers()
        found.append(Led(name, number, leader, epoch, in_sync))
    return found


class _Reader:
    """Walks over an answer without tags."""

    def __init__(self, answer: bytes) -> None:
        self._stream = io.BytesIO(answer)

    def skip(self, length: int) -> bytes:
        return _exactly(self._stream.read(length), length)

    def int32(self) -> int:
        return int(struct.unpack(">i", self.skip(4))[0])

    def text(self) -> str:
        (length,) = struct.unpack(">h", self.skip(2))
        return self.skip(max(0, length)).decode()

    def numbers(self) -> tuple[int, ...]:
        return tuple(self.int32() for _ in range(self.int32()))


def _text(value: bytes) -> bytes:
    """A compact string; ours are shorter than the 127 bytes from which its length takes two."""
    if len(value) > 126:
        raise NoAnswer(f"a name of {len(value)} bytes is too long to be asked for")
    return bytes([len(value) + 1]) + value


def _asked(broker: Address, request: tuple[int, int], body: bytes, timeout_s: float) -> bytes:
    """The body of the answer."""
    tags = NO_TAGS if request in FLEXIBLE else b""
    message = struct.pack(">hhih", *request, 1, len(CLIENT)) + CLIENT + tags + body
    try:
        with socket.create_connection((broker.host, broker.port), timeout=timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(struct.pack(">i", len(message)) + message)
            with connection.makefile("rb") as stream:
                (length,) = struct.unpack(">i", _exactly(stream.read(4), 4))
                return _exactly(stream.read(length), length)[4 + len(tags) :]
    except OSError as error:
        raise NoAnswer(f"{broker.host}:{broker.port} does not answer: {error}") from error


def _exactly(read: bytes, length: int) -> bytes:
    if len(read) != length:
        raise NoAnswer("the connection was closed in the middle of the answer")
    return read
