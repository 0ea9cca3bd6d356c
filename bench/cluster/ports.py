"""Free ports for servers, outside the range that the kernel lends to outgoing connections.

A port that the kernel handed out for a bind to port 0 may be lent to a client of somebody else before the server binds
it; one below that range can only be taken by another server.
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


def free_ports(count: int) -> list[int]:
    """`count` different free ports. Raises `ServerUnavailable` where none are left."""
    below = highest()
    found: set[int] = set()
    for _ in range(ATTEMPTS):
        if len(found) == count:
            return sorted(found)
        port = random.randrange(LOWEST, below)
        if is_free(port):
            found.add(port)
    raise ServerUnavailable(f"no {count} free ports between {LOWEST} and {below} on {HOST}")


def highest() -> int:
    """One past the last port to choose from."""
    try:
        first = int(EPHEMERAL_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        # Without /proc the usual border serves: a wrong guess costs a retry, no more.
        first = 32_768
    return first if first > LOWEST + ATTEMPTS else 61_000


def require_free(port: int, *, server: str) -> int:
    """`port` again; raises `ServerUnavailable` where `server` cannot have it."""
    try:
        free = is_free(port)
    except OSError as error:
        raise ServerUnavailable(f"port {port} cannot be used for {server}: {error.strerror}") from error
    if not free:
        raise ServerUnavailable(f"port {port} for {server} is taken on {HOST}; name another one")
    return port
