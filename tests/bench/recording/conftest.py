"""A prefix of its own for every test, topics and schemas under it that go when it ends."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence

import psycopg
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]
from psycopg import sql

from bench.cluster.endpoints import Endpoints
from bench.recording.positions import Asker, Client, admin_client, partitions_of, topics_of
from bench.waiting import wait_until

MakeTopic = Callable[..., str]


@pytest.fixture
def client(cluster: Endpoints) -> Client:
    return {"bootstrap.servers": cluster.bootstrap, **cluster.client}


@pytest.fixture
def prefix(client: Client) -> Iterator[str]:
    prefix = f"t{uuid.uuid4().hex[:8]}-"
    yield prefix
    mine = topics_of(client, prefix)
    if mine:
        admin = admin_client(client)
        for gone in admin.delete_topics(mine).values():
            gone.result()


@pytest.fixture
def make_topic(client: Client, prefix: str) -> MakeTopic:
    admin = admin_client(client)

    def make(name: str, partitions: int = 1, **config: str) -> str:
        topic = prefix + name
        settings = {setting.replace("_", "."): value for setting, value in config.items()}
        admin.create_topics([NewTopic(topic, partitions, 1, config=settings)])[topic].result()
        wait_until(lambda: topic in admin.list_topics(timeout=5).topics, deadline_s=10, why=f"topic {topic}")
        assert len(partitions_of(Asker(client), [topic])) == partitions
        return topic

    return make


@pytest.fixture
def send(client: Client) -> Callable[..., None]:
    """`send(topic, [(key, value), …], partition=…, headers=…)`: acknowledged when it returns."""
    producer = Producer({**client, "linger.ms": 0, "enable.idempotence": True})

    def send(
        topic: str,
        records: Sequence[tuple[str | bytes | None, str | bytes | None]],
        *,
        partition: int = 0,
        headers: Sequence[tuple[str, bytes | None]] | None = None,
    ) -> None:
        for key, value in records:
            producer.produce(topic, key=key, value=value, partition=partition, headers=list(headers or ()))
        assert producer.flush(30) == 0

    return send


@pytest.fixture
def dsn(cluster: Endpoints, prefix: str) -> Iterator[str]:
    yield cluster.dsn
    with psycopg.connect(cluster.dsn, autocommit=True) as db:
        schemas = db.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", (prefix,)).fetchall()
        for (schema,) in schemas:
            db.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


@pytest.fixture
def server_pids(cluster: Endpoints) -> Mapping[str, int]:
    return cluster.pids
