"""What the machine itself can carry, beside which a client's figure is read: memory and the loopback interface.

Nothing that copies a payload once is faster than memory, and nothing that talks to a broker of the same machine is
faster than its TCP. `python -m bench.raw.machine PORT` is the peer, a process of its own: it sends back single bytes
of a round trip, or swallows a stream.
"""

import socket
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from bench.cluster.ports import HOST
from bench.cluster.process import start

COPY_BYTES: Final = 256 * 2**20
STREAM_BYTES: Final = 512 * 2**20
BUFFER_BYTES: Final = 2**20
TRIPS: Final = 2_000
ANSWER_S: Final = 30.0
ECHO, STREAM = b"e", b"s"


@dataclass(frozen=True, slots=True)
class Bound:
    """One measurement of each. `memory_copy_bytes_per_s` counts a copied byte once."""

    memory_copy_bytes_per_s: float
    loopback_bytes_per_s: float
    loopback_round_trip_us: float


def memory_copy_bytes_per_s(size_bytes: int = COPY_BYTES) -> float:
    """numpy's copy of an array that no cache holds, into memory that is there already."""
    source, target = np.ones(size_bytes, np.uint8), np.ones(size_bytes, np.uint8)
    begin_s = time.perf_counter()
    np.copyto(target, source)
    return size_bytes / (time.perf_counter() - begin_s)


def bound(folder: Path, *, stream_bytes: int = STREAM_BYTES, trips: int = TRIPS) -> Bound:
    """Measures all three; the peer's log goes to `folder`. Raises `OSError` where the peer does not answer."""
    with closing(socket.create_server((HOST, 0))) as server:
        server.settimeout(ANSWER_S)
        argv = [sys.executable, "-m", "bench.raw.machine", str(server.getsockname()[1])]
        peer = start(argv, name="loopback-peer", log=folder / "loopback-peer.txt")
        try:
            with closing(server.accept()[0]) as connection:
                connection.settimeout(ANSWER_S)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                trip_us = _round_trip_us(connection, trips)
                stream_per_s = _stream_bytes_per_s(connection, stream_bytes)
        finally:
            peer.stop(1.0)
    return Bound(memory_copy_bytes_per_s(min(COPY_BYTES, stream_bytes)), stream_per_s, trip_us)


def _round_trip_us(connection: socket.socket, trips: int) -> float:
    spent_ns = np.empty(trips)
    for trip in range(trips):
        begin_ns = time.perf_counter_ns()
        connection.sendall(ECHO)
        connection.recv(1)
        spent_ns[trip] = time.perf_counter_ns() - begin_ns
    return float(np.median(spent_ns)) / 1000


def _stream_bytes_per_s(connection: socket.socket, size_bytes: int) -> float:
    buffer = bytes(BUFFER_BYTES)
    begin_s = time.perf_counter()
    connection.sendall(STREAM)
    for _ in range(size_bytes // BUFFER_BYTES):
        connection.sendall(buffer)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
    return size_bytes / (time.perf_counter() - begin_s)


def peer(port: int) -> None:
    """Answers until the stream ends, then says so with one byte."""
    with closing(socket.create_connection((HOST, port), ANSWER_S)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while connection.recv(1) == ECHO:
            connection.sendall(ECHO)
        buffer = bytearray(BUFFER_BYTES)
        while connection.recv_into(buffer):
            pass
        connection.sendall(STREAM)


if __name__ == "__main__":
    peer(int(sys.argv[1]))
