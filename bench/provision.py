"""Makes the topics and schemas of a run, waits until its groups own their partitions, and removes them from foreign
servers.
"""

import string
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import psycopg
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from psycopg import sql

from bench.cluster.errors import ServerUnavailable
from bench.cluster.shield import shield
from bench.cluster.topics import make_topics, remove_topics
from bench.recording.convert import read_events
from bench.recording.positions import admin_client
from bench.spec import RunSpec
from bench.waiting import DeadlineExceeded, wait_until
from system.kafka.config import Properties
from system.runtime.decoding import DEAD_LETTER_SUFFIX

REQUEST_S = 30.0
OWNED_DEADLINE_S = 60.0


def new_topics(spec: RunSpec) -> list[NewTopic]:
    """Every topic of the scenario; each data topic has a dead-letter topic beside it."""
    topics = []
    for name, settings in spec.described().topics.items():
        partitions = 1 if name.endswith(DEAD_LETTER_SUFFIX) else spec.partitions
        config = {"min.insync.replicas": "2" if spec.brokers > 1 else "1", **settings}
        topics.append(NewTopic(spec.prefix + name, partitions, spec.brokers, config=config))
    return topics


def create_topics(spec: RunSpec) -> None:
    """Raises `ServerUnavailable` when the cluster refuses one."""
    admin = admin_client(spec.connection)
    # An interruption waits for the answer: a topic that is still being made cannot be removed.
    with shield():
        try:
            make_topics(admin, new_topics(spec), deadline_s=REQUEST_S)
        except KafkaException as error:
            raise ServerUnavailable(f"the topics could not be made: {error.args[0].str()}") from None
        except DeadlineExceeded as error:
            raise ServerUnavailable(f"the topics could not be made: {error}") from None


def create_schemas(spec: RunSpec) -> None:
    """The scenario's tables, in schemas with the run's prefix. Raises `ServerUnavailable`."""
    statements = string.Template(spec.described().tables_sql).substitute(prefix=spec.prefix)
    try:
        with psycopg.connect(spec.dsn, connect_timeout=10) as db:
            db.execute(statements.encode())
    except psycopg.Error as error:
        raise ServerUnavailable(f"the tables could not be made: {str(error).splitlines()[0]}") from None


def await_owned(spec: RunSpec, tend: Callable[[], None]) -> None:
    """Waits until the workers have said that every partition is theirs, rebuilt and all, and every worker has its
    share.

    What the broker says of its groups is not enough: a member may still be reading back what it needs. `tend` is
    called meanwhile.
    """
    topics = [topic for names in spec.groups().values() for topic in names]
    wanted = {(topic, number) for topic in topics for number in range(spec.partitions)}
    surplus = sum(max(0, count - spec.partitions) for count in spec.workers.values())

    def owned() -> bool:
        tend()
        held = owners(read_events(spec.path)[0])
        return set().union(*held.values()) >= wanted and len(held) >= len(spec.worker_names()) - surplus

    wait_until(owned, deadline_s=OWNED_DEADLINE_S, why="every partition to be owned", poll_s=0.1)


def _are_gone(admin: AdminClient, groups: Sequence[str]) -> bool:
    """Tries to delete them; whether none is left that still has members."""
    answers = admin.delete_consumer_groups(list(groups), request_timeout=REQUEST_S).values()
    refused = [error for error in (future.exception(REQUEST_S) for future in answers) if error is not None]
    return not any(error.args[0].code() == KafkaError.NON_EMPTY_GROUP for error in refused)


def owners(events: Sequence[Mapping[str, Any]]) -> dict[str, set[tuple[str, int]]]:
    """Process → the (topic, partition) pairs that it has said it owns; those that own none are left out."""
    held: dict[str, set[tuple[str, int]]] = {}
    for event in events:
        mine = held.setdefault(event["process"], set())
        parts = {(str(event.get("topic")), int(number)) for number in event.get("partitions", ())}
        if event["event"] == "partitions-assigned":
            mine |= parts
        elif event["event"] in ("partitions-revoked", "partitions-lost"):
            mine -= parts
    return {process: mine for process, mine in held.items() if mine}


def remove(connection: Properties, dsn: str, prefix: str, groups: Sequence[str]) -> None:
    """Deletes what the run made on servers that it did not start: topics, groups and schemas that begin with its
    prefix.
    """
    admin = admin_client(connection)
    topics = [topic for topic in admin.list_topics(timeout=REQUEST_S).topics if topic.startswith(prefix)]
    remove_topics(admin, topics, deadline_s=REQUEST_S)
    # A static member leaves with its session only, and until then its group cannot be deleted.
    wait_until(partial(_are_gone, admin, groups), deadline_s=REQUEST_S, why="the run's groups to be gone", poll_s=0.5)
    with psycopg.connect(dsn, connect_timeout=10) as db:
        rows = db.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", (prefix,)).fetchall()
        for (schema,) in rows:
            db.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
