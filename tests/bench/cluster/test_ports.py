"""Ports are free when they are chosen, and a taken one is named."""

import socket
from collections.abc import Iterator

import pytest

from bench.cluster.errors import ServerUnavailable
from bench.cluster.ports import HOST, free_ports, highest, is_free, require_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        yield int(server.getsockname()[1])


def test_free_ports_differ_and_are_free() -> None:
    ports = free_ports(7)
    assert len(set(ports)) == 7
    assert all(is_free(port) and port < highest() for port in ports)


def test_a_taken_port_is_named_with_its_server(taken: int) -> None:
    with pytest.raises(ServerUnavailable, match=f"port {taken} for Kafka is taken"):
        require_free(taken, server="Kafka")


def test_a_free_port_is_given_back() -> None:
    (port,) = free_ports(1)
    assert require_free(port, server="Kafka") == port
