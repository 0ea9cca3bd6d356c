"""Real servers: they serve, stand side by side, and leave nothing behind, however their starter ends."""

import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.cluster.endpoints import Endpoints, Wanted
from bench.cluster.errors import ServerUnavailable
from bench.cluster.folder import default_parent
from bench.cluster.kafka import QUICK_COMPILER
from bench.cluster.ports import HOST, Ports, is_free
from bench.cluster.servers import cluster as start_cluster
from bench.cluster.servers import external
from bench.waiting import wait_until
from system.kafka.config import BadClientConfig

STARTER = """
import pathlib, signal, sys
from bench.cluster.servers import cluster
from bench.waiting import wait_until
signal.signal(signal.SIGTERM, signal.default_int_handler)
with cluster(logs=pathlib.Path(sys.argv[1]), folder=pathlib.Path(sys.argv[2])) as endpoints:
    print(endpoints.bootstrap.rpartition(":")[2], *endpoints.pids.values(), flush=True)
    wait_until(lambda: False, deadline_s=600, why="the end")
"""


@pytest.fixture
def data() -> Iterator[Path]:
    """A place for servers' data that PostgreSQL's user may enter, root's temporary folders being closed to others."""
    with tempfile.TemporaryDirectory(dir=default_parent(), prefix="test-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


def round_trip(bootstrap: str, topic: str, copies: int) -> bytes | None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, copies)])[topic].result(30)
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    producer.produce(topic, b"there and back")
    assert producer.flush(30) == 0
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": topic})
    reader.assign([TopicPartition(topic, 0, 0)])
    message = reader.poll(30)
    reader.close()
    return message.value() if message else None


def test_the_session_cluster_serves(cluster: Endpoints, prefix: str) -> None:
    assert cluster.owned
    assert cluster.dead() == []
    assert set(cluster.pids) == {"broker-1", "postgres"} == set(cluster.folders)
    assert round_trip(cluster.bootstrap, f"{prefix}trip", 1) == b"there and back"
    with psycopg.connect(cluster.dsn) as connection:
        row = connection.execute("SELECT current_setting('fsync'), current_setting('synchronous_commit')").fetchone()
    assert row == ("on", "on")


def test_topics_are_not_created_by_accident(cluster: Endpoints, prefix: str) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    assert f"{prefix}none" not in admin.list_topics(topic=f"{prefix}none", timeout=10).topics or (
        admin.list_topics(topic=f"{prefix}none", timeout=10).topics[f"{prefix}none"].error is not None
    )


def test_no_probe_is_left_behind(cluster: Endpoints) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    assert not [topic for topic in admin.list_topics(timeout=10).topics if "probe" in topic]
    groups = admin.list_consumer_groups(request_timeout=10).result().valid
    assert not [group.group_id for group in groups if "probe" in group.group_id]


def test_three_brokers_hold_three_copies(three_brokers: Endpoints, prefix: str) -> None:
    assert not three_brokers.owned
    assert set(three_brokers.pids) == {"broker-1", "broker-2", "broker-3"}
    assert round_trip(three_brokers.bootstrap, f"{prefix}trip", 3) == b"there and back"


def test_without_a_database_none_is_started(cluster: Endpoints, tmp_path: Path, data: Path) -> None:
    wanted = Wanted(bootstrap=cluster.bootstrap, database=False)
    with start_cluster(wanted, logs=tmp_path / "logs", folder=data) as reached:
        assert (reached.pids, reached.dsn) == ({}, "")


def test_brokers_run_with_the_optimising_compiler_where_it_is_wanted(
    cluster: Endpoints, tmp_path: Path, data: Path
) -> None:
    with start_cluster(Wanted(dsn=cluster.dsn, optimised=True), logs=tmp_path / "logs", folder=data) as optimised:
        assert QUICK_COMPILER not in psutil.Process(optimised.pids["broker-1"]).cmdline()
    assert QUICK_COMPILER in psutil.Process(cluster.pids["broker-1"]).cmdline()


def test_a_second_cluster_stands_beside_the_first_and_ends_alone(
    cluster: Endpoints, tmp_path: Path, data: Path
) -> None:
    with start_cluster(Wanted(dsn=cluster.dsn), logs=tmp_path / "logs", folder=data) as second:
        assert second.bootstrap != cluster.bootstrap
        assert second.dsn == cluster.dsn
        (pid,) = second.pids.values()
    assert not psutil.pid_exists(pid)
    assert not list(data.iterdir())
    assert cluster.dead() == []


def test_a_server_that_dies_is_named(cluster: Endpoints, tmp_path: Path, data: Path) -> None:
    with start_cluster(Wanted(bootstrap=cluster.bootstrap), logs=tmp_path / "logs", folder=data) as own:
        assert own.bootstrap == cluster.bootstrap
        (postgres,) = own.processes
        postgres.signal(signal.SIGQUIT)
        wait_until(own.dead, deadline_s=30, why="the server's death to be seen")
        assert own.dead()[0].startswith("postgres ended with exit code ")


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_starter_that_is_ended_leaves_no_process_no_port_no_folder(
    ending: signal.Signals, tmp_path: Path, data: Path
) -> None:
    argv = [sys.executable, "-c", STARTER, str(tmp_path), str(data)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as starter:
        assert starter.stdout is not None
        port, *pids = map(int, starter.stdout.readline().split())
        assert len(pids) == 2
        assert not is_free(port)
        children = psutil.Process(pids[0]).children() + psutil.Process(pids[1]).children()
        starter.send_signal(ending)
    gone = [*pids, *(child.pid for child in children)]
    wait_until(lambda: not any(map(psutil.pid_exists, gone)), deadline_s=30, why="the servers to follow their starter")
    wait_until(lambda: is_free(port), deadline_s=30, why="the broker's port to be free")
    if ending is not signal.SIGKILL:
        assert not list(data.iterdir())


def test_a_starter_killed_while_starting_leaves_no_process(tmp_path: Path, data: Path) -> None:
    argv = [sys.executable, "-c", STARTER, str(tmp_path), str(data)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as starter:
        parent = psutil.Process(starter.pid)
        wait_until(lambda: children_of(parent), deadline_s=60, why="a first child", poll_s=0.001)
        children = children_of(parent)
        starter.kill()
    wait_until(lambda: not any(map(alive, children)), deadline_s=30, why="the tools to follow their starter")
    assert not [child for child in children if alive(child)]


def children_of(process: psutil.Process) -> list[psutil.Process]:
    return process.children(recursive=True)


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind((HOST, 0))
        server.listen()
        yield int(server.getsockname()[1])


@pytest.mark.parametrize("server", ["kafka", "postgres"])
def test_a_taken_port_is_named_before_anything_starts(server: str, taken: int, tmp_path: Path, data: Path) -> None:
    wanted = Wanted(kafka_port=taken) if server == "kafka" else Wanted(postgres_port=taken)
    with (
        pytest.raises(ServerUnavailable, match=f"port {taken} for .* is taken"),
        start_cluster(wanted, logs=tmp_path / "logs", folder=data),
    ):
        pass
    assert not (tmp_path / "logs").exists()


def test_a_cluster_that_is_not_there_is_told_in_one_line(cluster: Endpoints) -> None:
    with closing(Ports()) as ports:
        (port,) = ports.free(1)
        with pytest.raises(ServerUnavailable, match=f"Kafka at {HOST}:{port} does not answer within 10 s") as refused:
            external(f"{HOST}:{port}", None, cluster.dsn)
    assert "\n" not in str(refused.value)


def test_a_refused_login_is_told_in_one_line(cluster: Endpoints, tmp_path: Path) -> None:
    config = tmp_path / "client.properties"
    config.write_text("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=u\nsasl.password=p\n")
    with pytest.raises(ServerUnavailable, match=f"Kafka at {cluster.bootstrap}") as refused:
        external(cluster.bootstrap, config, cluster.dsn)
    assert "\n" not in str(refused.value)


def test_an_unknown_client_property_is_named(cluster: Endpoints, tmp_path: Path) -> None:
    config = tmp_path / "client.properties"
    config.write_text("no.such.property=1\n")
    with pytest.raises(BadClientConfig, match=r"no\.such\.property"):
        external(cluster.bootstrap, config, cluster.dsn)


@pytest.mark.parametrize("change", ["user=postgres->user=nobody_here", "dbname=postgres->dbname=none", "host=->hots="])
def test_a_wrong_dsn_is_told_in_one_line(cluster: Endpoints, change: str) -> None:
    before, _, after = change.partition("->")
    with pytest.raises(ServerUnavailable, match="PostgreSQL cannot be used with this DSN: ") as refused:
        external(cluster.bootstrap, None, cluster.dsn.replace(before, after))
    assert "\n" not in str(refused.value)


def test_named_servers_are_used_and_not_owned(cluster: Endpoints, tmp_path: Path) -> None:
    wanted = Wanted(bootstrap=cluster.bootstrap, dsn=cluster.dsn)
    with start_cluster(wanted, logs=tmp_path) as endpoints:
        assert endpoints == external(cluster.bootstrap, None, cluster.dsn)
        assert not endpoints.owned
        assert endpoints.pids == {}
    assert cluster.dead() == []
