"""Real servers for the tests: one Kafka broker and one PostgreSQL, started once, put away at the end.

Whatever a test makes on them carries its own `prefix`; a test that must not see others' rows asks for a `database`.
"""

import signal
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from bench.cluster.endpoints import Endpoints, Wanted
from bench.cluster.servers import cluster as start_cluster

# A shell that starts the tests in the background has them ignore Ctrl-C, and whatever they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How far the simulations go (`pytest tests/system/runtime/test_histories.py --histories 100000`), and how many
    wrong systems are tried.
    """
    parser.addoption("--histories", type=int, default=3000, help="Simulated histories a guarantee.")
    parser.addoption("--every-broken-system", action="store_true", help="All of them instead of a fixed half.")
    parser.addoption("--first-seed", type=int, default=0, help="The seed of the first of them.")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """One broker and PostgreSQL for the whole session."""
    with start_cluster(logs=tmp_path_factory.mktemp("servers")) as endpoints:
        yield endpoints


@pytest.fixture(scope="session")
def three_brokers(tmp_path_factory: pytest.TempPathFactory, cluster: Endpoints) -> Iterator[Endpoints]:
    """Three brokers, each partition on all of them; the database is the session's."""
    wanted = Wanted(brokers=3, dsn=cluster.dsn)
    with start_cluster(wanted, logs=tmp_path_factory.mktemp("three-brokers")) as endpoints:
        yield endpoints


@pytest.fixture
def prefix() -> str:
    """What the names of a test's topics, groups and schemas begin with."""
    return f"t{uuid4().hex[:8]}-"


@pytest.fixture
def database(cluster: Endpoints) -> Iterator[str]:
    """The DSN of a database of the test's own, dropped after it."""
    name = f"t{uuid4().hex[:8]}"
    with psycopg.connect(cluster.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield cluster.dsn.replace("dbname=postgres", f"dbname={name}")
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
