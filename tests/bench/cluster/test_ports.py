"""Ports are free when they are chosen, nobody else's while they are held, and a taken one is named."""

import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from bench.cluster.errors import ServerUnavailable
from bench.cluster.ports import HOST, Ports, highest, is_free

HOLDER = """
import sys
from bench.cluster.ports import Ports
held = Ports()
print(held.named(int(sys.argv[1]), server="Kafka"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def ports() -> Iterator[Ports]:
    with closing(Ports()) as mine:
        yield mine


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        yield int(server.getsockname()[1])


def test_free_ports_differ_and_are_free(ports: Ports) -> None:
    found = ports.free(7)
    assert len(set(found)) == 7
    assert all(is_free(port) and port < highest() for port in found)


def test_a_taken_port_is_named_with_its_server(ports: Ports, taken: int) -> None:
    with pytest.raises(ServerUnavailable, match=f"port {taken} for Kafka is taken"):
        ports.named(taken, server="Kafka")


def test_a_port_is_nobody_elses_until_it_is_let_go(ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = ports.free(1)
    monkeypatch.setattr(random, "randrange", lambda *_: port)
    with closing(Ports()) as other:
        with pytest.raises(ServerUnavailable, match="no 1 free ports"):
            other.free(1)
        with pytest.raises(ServerUnavailable, match=f"port {port} for PostgreSQL is taken"):
            other.named(port, server="PostgreSQL")
        ports.close()
        assert other.free(1) == [port]


def test_a_killed_process_holds_nothing(ports: Ports) -> None:
    (port,) = ports.free(1)
    ports.close()
    command = [sys.executable, "-c", HOLDER, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(ServerUnavailable, match="is taken"):
            ports.named(port, server="Kafka")
        holder.send_signal(signal.SIGKILL)
    assert ports.named(port, server="Kafka") == port
