"""The servers' settings say what the runs rely on."""

import re
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from bench.cluster import kafka, postgres
from bench.cluster.endpoints import Endpoints
from bench.cluster.errors import ServerUnavailable
from bench.cluster.ports import Ports
from bench.cluster.postgres import Database


def nodes(count: int) -> tuple[kafka.Node, ...]:
    return tuple(kafka.Node(each, 20_000 + each, 21_000 + each, Path(f"/data/{each}")) for each in range(1, count + 1))


def test_three_nodes_keep_three_copies_with_two_in_sync() -> None:
    found = kafka.settings(nodes(3)[1], nodes(3))
    assert found["node.id"] == "2"
    assert found["default.replication.factor"] == found["transaction.state.log.replication.factor"] == "3"
    assert found["min.insync.replicas"] == found["transaction.state.log.min.isr"] == "2"
    assert found["controller.quorum.voters"] == "1@127.0.0.1:21001,2@127.0.0.1:21002,3@127.0.0.1:21003"


def test_one_node_keeps_one_copy() -> None:
    found = kafka.settings(nodes(1)[0], nodes(1))
    assert found["default.replication.factor"] == found["min.insync.replicas"] == "1"
    assert found["auto.create.topics.enable"] == "false"


def test_a_cluster_id_is_what_kafka_takes() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", kafka.cluster_id())
    assert kafka.cluster_id() != kafka.cluster_id()


def test_chosen_nodes_share_no_port(tmp_path: Path) -> None:
    with closing(Ports()) as ports:
        chosen = kafka.choose_nodes(3, None, ports, tmp_path)
    assert len({port for node in chosen for port in (node.port, node.controller_port)}) == 6
    assert [node.name for node in chosen] == ["broker-1", "broker-2", "broker-3"]


def test_postgres_stays_durable(tmp_path: Path) -> None:
    found = postgres.settings(Database(20_000, tmp_path, tmp_path, None), idle_in_transaction_ms=1500)
    assert found["fsync"] == found["synchronous_commit"] == found["full_page_writes"] == "on"
    assert found["idle_in_transaction_session_timeout"] == "1500"


def test_postgres_uses_every_segment_of_its_log_again(tmp_path: Path) -> None:
    found = postgres.settings(Database(20_000, tmp_path, tmp_path, None), idle_in_transaction_ms=0)
    assert found["min_wal_size"] == found["max_wal_size"]


def test_postgres_vacuums_by_itself_and_gently(cluster: Endpoints) -> None:
    with psycopg.connect(cluster.dsn) as db:
        row = db.execute(
            "SELECT current_setting('autovacuum'), current_setting('autovacuum_vacuum_cost_delay')"
        ).fetchone()
    assert row == ("on", "20ms")


def test_a_path_too_long_for_a_socket_falls_back_to_the_loopback() -> None:
    database = Database(20_000, Path("/" + "x" * 100), Path("/bin"), None)
    assert database.socket_folder is None
    assert database.dsn.startswith("host=127.0.0.1 port=20000 ")


def test_a_program_behind_a_closed_folder_is_not_reachable_by_all(tmp_path: Path) -> None:
    program = tmp_path / "closed" / "postgres"
    program.parent.mkdir(mode=0o700)
    program.touch(0o755)
    assert not postgres.reachable_by_all(program)
    assert postgres.reachable_by_all(Path("/bin/sh"))


def test_no_postgres_at_all_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres, "find_spec", lambda name: None)
    monkeypatch.setattr(postgres, "INSTALLED", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerUnavailable, match=r"no PostgreSQL.*--dsn"):
        postgres.find_programs()
