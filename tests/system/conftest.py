"""The tables of `checkout` in a database of the test's own, connections that see one service's schema each, and its
topics.
"""

import string
from collections.abc import Callable, Iterator
from importlib.resources import files

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.cluster.endpoints import Endpoints
from system.checkout.contract import DATA_TOPICS
from system.kafka import config
from system.kafka.column_consumer import ColumnConsumer
from system.store.postgres import Transaction, connect

PREFIX = "t-"
PARTITIONS = 2


@pytest.fixture
def connection(cluster: Endpoints) -> config.Properties:
    return {**cluster.client, "bootstrap.servers": cluster.bootstrap}


@pytest.fixture
def topics(connection: config.Properties) -> Iterator[None]:
    """The data topics, empty, of two partitions each; they go at the end, and the offsets of their groups with them."""
    admin = AdminClient(dict(connection))
    names = [PREFIX + topic for topic in DATA_TOPICS]
    for made in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names]).values():
        made.result(30)
    yield
    for gone in admin.delete_topics(names, operation_timeout=30).values():
        gone.result(30)


def committed(connection: config.Properties, topic: str) -> list[tuple[bytes, bytes]]:
    """(key, value) of what a `read_committed` reader finds in the whole of a topic of two partitions."""
    found: list[tuple[bytes, bytes]] = []
    with ColumnConsumer({**config.reader(connection, client_id="t"), "enable.partition.eof": True}) as consumer:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        ended = 0
        while ended < PARTITIONS:
            records = consumer.take(records_max=1000, timeout_s=0.1)
            ended += int((records.errors != 0).sum())
            for run in records.without_events():
                pairs = zip(run.keys.to_list(), run.values.to_list(), strict=True)
                found += [(key or b"", value or b"") for key, value in pairs]
    return found


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
