"""The tables of `checkout` in a database of the test's own, and connections that see one service's schema each."""

import string
from collections.abc import Callable, Iterator
from importlib.resources import files

import psycopg
import pytest

from system.store.postgres import Transaction, connect

PREFIX = "t-"


@pytest.fixture
def schemas(database: str) -> str:
    """The DSN of a database with the empty tables of every service."""
    statements = files("system.checkout").joinpath("tables.sql").read_text()
    with psycopg.connect(database) as db:
        db.execute(string.Template(statements).substitute(prefix=PREFIX).encode())
    return database


@pytest.fixture
def open_db(schemas: str) -> Iterator[Callable[[str], Transaction]]:
    """`open_db("pay")`: a worker's connection to that service's schema."""
    opened: list[Transaction] = []

    def opening(service: str) -> Transaction:
        opened.append(connect(schemas, schema=PREFIX + service, name="test"))
        return opened[-1]

    yield opening
    for connection in opened:
        connection.close()
