"""A cluster that stays up is found again, is one, and goes when it is told to or its keeper dies."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.cluster import keeper
from bench.cluster.cache import cache_folder
from bench.cluster.errors import ServerUnavailable
from bench.cluster.jars import kafka_jars, kafka_version, locked
from bench.cluster.ports import HOST
from bench.cluster.ready import reach_kafka, reach_postgres
from bench.waiting import wait_until


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache folder of the test's own that shares the fetched jars; no keeper of it stays behind."""
    jars = kafka_jars(cache_folder())[0].parent
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (cache_folder() / f"kafka-{kafka_version(locked())}").symlink_to(jars)
    yield cache_folder()
    keeper.down()


def test_up_status_down(own_cache: Path) -> None:
    assert keeper.status() is None
    assert not keeper.down()
    kept = keeper.up()
    assert keeper.status() == kept
    reach_kafka(kept.bootstrap, {})
    reach_postgres(kept.dsn)
    with pytest.raises(keeper.AlreadyUp, match=kept.bootstrap):
        keeper.up()
    assert keeper.down()
    assert keeper.status() is None
    assert not any(map(psutil.pid_exists, kept.pids.values()))


def test_a_killed_keeper_takes_its_servers_along_and_is_not_mistaken_for_one_that_lives(own_cache: Path) -> None:
    kept = keeper.up()
    os.kill(kept.keeper, signal.SIGKILL)
    wait_until(lambda: not any(map(psutil.pid_exists, kept.pids.values())), deadline_s=30, why="the servers to end")
    assert (own_cache / "up" / "state.json").exists()
    assert keeper.status() is None
    assert not keeper.down()


def test_a_taken_port_is_named_and_nothing_stays(own_cache: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerUnavailable, match=f"port {port} for Kafka is taken"):
            keeper.up(kafka_port=port)
    assert keeper.status() is None
