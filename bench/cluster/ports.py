"""Free ports for servers, outside the range that the kernel lends to outgoing connections.

A port that the kernel handed out for a bind to port 0 may be lent to a client of somebody else before the server binds
it; one below that range can only be taken by another server. Several clusters may start side by side, seconds pass
between the choice and the bind, and a broker that a fault has ended leaves its port free: one that meets somebody
else's PostgreSQL where it expects a controller takes the answer for a length and ends for want of memory.
"""

import errno
import random
import socket
from pathlib import Path
from typing import Final

from bench.cluster.errors import ServerUnavailable

HOST: Final = "127.0.0.1"
LOWEST: Final = 10_240
EPHEMERAL_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
ATTEMPTS: Final = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback address now. Raises `OSError` where it never may."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


class Ports:
    """The ports of one cluster, which no other one chooses until `close`, whether a server has them or not.

    Each is held by an abstract socket (unix(7)), which belongs to the network namespace that the port is of, ends with
    its process and leaves no file.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def free(self, count: int) -> list[int]:
        """`count` different free ports, ascending. Raises `ServerUnavailable` where none are left."""
        below = highest()
        found: list[int] = []
        for _ in range(ATTEMPTS):
            if len(found) == count:
                return sorted(found)
            port = random.randrange(LOWEST, below)
            if self._hold(port) and is_free(port):
                found.append(port)
        raise ServerUnavailable(f"no {count} free ports between {LOWEST} and {below} on {HOST}")

    def named(self, port: int, *, server: str) -> int:
        """`port` again; raises `ServerUnavailable` where `server` cannot have it."""
        try:
            free = self._hold(port) and is_free(port)
        except OSError as error:
            raise ServerUnavailable(f"port {port} cannot be used for {server}: {error.strerror}") from error
        if not free:
            raise ServerUnavailable(f"port {port} for {server} is taken on {HOST}; name another one")
        return port

    def _hold(self, port: int) -> bool:
        """Whether nobody else holds it."""
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(f"\0choreobench-port-{port}")
        except OSError as error:
            holder.close()
            if error.errno == errno.EADDRINUSE:
                return False
            raise
        self._held.append(holder)
        return True

    def close(self) -> None:
        """Others may choose them again."""
        for holder in self._held:
            holder.close()
        self._held.clear()


def highest() -> int:
    """One past the last port to choose from."""
    try:
        first = int(EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        # Without /proc the usual border serves: a wrong guess costs a retry, no more.
        first = 32_768
    return first if first > LOWEST + ATTEMPTS else 61_000
