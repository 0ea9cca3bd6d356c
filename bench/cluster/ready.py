"""Whether servers serve, told by using them: an open port proves nothing.

Kafka is ready when a record was produced and consumed, and when each partition of both coordinators' topics has done
work: only then does no client meet "coordinator load in progress". PostgreSQL is ready when a transaction committed.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Final
from uuid import uuid4

import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bench.cluster.endpoints import obituary
from bench.cluster.errors import ServerUnavailable
from bench.cluster.kafka import COORDINATOR_PARTITIONS
from bench.cluster.process import Process
from bench.cluster.topics import LOST, make_topics, remove_topics
from bench.waiting import DeadlineExceeded, wait_until
from system.kafka.config import BadClientConfig

START_S: Final = 60.0
REACH_S: Final = 10.0
STEP_S: Final = 1.0

QUIET: Final = logging.Logger("librdkafka", logging.CRITICAL)
"""librdkafka's own log lines about a broker that does not listen yet would only alarm."""

Properties = Mapping[str, str | int | float | bool]

QUICK: Final[Properties] = {
    "reconnect.backoff.ms": 20,
    "reconnect.backoff.max.ms": 200,
    "topic.metadata.refresh.fast.interval.ms": 20,
}

REFUSALS: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
        KafkaError._SSL,
    }
)
"""Errors that no waiting heals."""


def await_kafka(bootstrap: str, processes: Sequence[Process], *, deadline_s: float = START_S) -> None:
    """Return when every broker has answered and records flow. Raises `ServerUnavailable`."""
    properties: Properties = {"bootstrap.servers": bootstrap, **QUICK}
    admin = AdminClient({**properties}, logger=QUIET)
    nodes = max(1, len(processes))

    def all_registered() -> bool:
        require_alive(processes)
        return broker_count(admin) >= nodes

    def all_serve() -> bool:
        require_alive(processes)
        try:
            with _probe_topic(admin, copies=nodes) as topic:
                _send_and_read(properties, topic)
                _warm_coordinators(admin, properties, topic)
        except KafkaException as error:
            if error.args[0].code() in LOST:
                return False
            raise
        return True

    try:
        wait_until(all_registered, deadline_s=deadline_s, why=f"{nodes} Kafka broker(s) to register")
        wait_until(all_serve, deadline_s=deadline_s, why="records, groups and transactions to come through")
    except (DeadlineExceeded, KafkaException) as error:
        require_alive(processes)
        raise ServerUnavailable(f"Kafka at {bootstrap} does not serve: {one_line(error)}") from error


def require_alive(processes: Sequence[Process]) -> None:
    """Raise `ServerUnavailable` with the end of the log of a server that died."""
    for process in processes:
        if process.poll() is not None:
            raise ServerUnavailable(obituary(process))


def broker_count(admin: AdminClient) -> int:
    """The brokers in the cluster's metadata; 0 while none answers."""
    try:
        return len(admin.list_topics(timeout=STEP_S).brokers)
    except KafkaException:
        return 0


@contextmanager
def _probe_topic(admin: AdminClient, *, copies: int) -> Iterator[str]:
    topic = f"choreobench-probe-{uuid4().hex[:8]}"
    make_topics(admin, [NewTopic(topic, num_partitions=1, replication_factor=copies)], deadline_s=START_S)
    try:
        yield topic
    finally:
        remove_topics(admin, [topic], deadline_s=START_S)


def _send_and_read(properties: Properties, topic: str) -> None:
    """One record there and back, by a producer without an id (librdkafka takes a second to ask again for one that a
    young broker refused) and a reader without a group.
    """
    sent = uuid4().bytes
    producer = Producer({**properties, "acks": "all"}, logger=QUIET)
    producer.produce(topic, sent)
    if producer.flush(START_S):
        raise DeadlineExceeded("a record was not acknowledged")
    reader = Consumer({**properties, "group.id": topic, "enable.auto.commit": False}, logger=QUIET)
    try:
        reader.assign([TopicPartition(topic, 0, 0)])

        def arrived() -> bool:
            message: Message | None = reader.poll(STEP_S)
            return message is not None and message.error() is None and message.value() == sent

        wait_until(arrived, deadline_s=START_S, why="a produced record to be read", poll_s=0)
    finally:
        reader.close()


def _warm_coordinators(admin: AdminClient, properties: Properties, topic: str) -> None:
    """Make every partition of `__transaction_state` and `__consumer_offsets` do something.

    The partition of an id is Java's `hashCode` of it modulo their number, so ids that differ in the last digit alone
    meet all of them. All at once: librdkafka asks again every half second for a coordinator that is not there yet.
    """
    names = [f"{topic}-{digit}" for digit in range(COORDINATOR_PARTITIONS)]
    with ThreadPoolExecutor(COORDINATOR_PARTITIONS) as pool:
        for done in [pool.submit(_warm_coordinator, name, properties, topic) for name in names]:
            done.result()
    for deleted in admin.delete_consumer_groups(names).values():
        deleted.result(timeout=START_S)


def _warm_coordinator(name: str, properties: Properties, topic: str) -> None:
    """A transactional id and a group of this name."""
    producer = Producer({**properties, "transactional.id": name}, logger=QUIET)
    producer.init_transactions(START_S)
    member = Consumer({**properties, "group.id": name, "enable.auto.commit": False}, logger=QUIET)
    try:
        wait_until(partial(_commits, member, topic), deadline_s=START_S, why="an offset to be committed")
    finally:
        member.close()


def _commits(member: Consumer, topic: str) -> bool:
    try:
        member.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    except KafkaException as error:
        # A coordinator that is still being elected or loaded says so; anything else is an answer.
        if error.args[0].retriable() or error.args[0].code() in (
            KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
            KafkaError.COORDINATOR_NOT_AVAILABLE,
            KafkaError.NOT_COORDINATOR,
            KafkaError._WAIT_COORD,
        ):
            return False
        raise
    return True


def reach_kafka(bootstrap: str, client_config: Mapping[str, str], *, deadline_s: float = REACH_S) -> None:
    """Return when a cluster that is not ours has answered.

    Raises `ServerUnavailable` where it does not answer or refuses the login, `BadClientConfig` where librdkafka does
    not know a property.
    """
    complaints: list[KafkaError] = []
    properties = {"bootstrap.servers": bootstrap, **QUICK, **client_config, "error_cb": complaints.append}
    try:
        client = Producer(properties, logger=QUIET)
    except KafkaException as error:
        raise BadClientConfig(f"client config: {one_line(error)}") from error

    def answers() -> bool:
        client.poll(0)
        if refused := [error for error in complaints if error.code() in REFUSALS]:
            raise ServerUnavailable(f"Kafka at {bootstrap} refuses the connection: {one_line(refused[0].str())}")
        try:
            return bool(client.list_topics(timeout=STEP_S).brokers)
        except KafkaException:
            # It says "transport failure" whatever the cause; the callback is told the cause.
            return False

    try:
        wait_until(answers, deadline_s=deadline_s, why=f"Kafka at {bootstrap}")
    except DeadlineExceeded as error:
        telling = [one_line(each.str()) for each in complaints if each.code() != KafkaError._ALL_BROKERS_DOWN]
        reason = telling[0] if telling else "no answer"
        raise ServerUnavailable(f"Kafka at {bootstrap} does not answer within {deadline_s:g} s: {reason}") from error


def await_postgres(dsn: str, processes: Sequence[Process], *, deadline_s: float = START_S) -> None:
    """Return when a transaction has committed. Raises `ServerUnavailable`."""

    def commits() -> bool:
        require_alive(processes)
        try:
            commit_something(dsn)
        except psycopg.OperationalError:
            return False
        return True

    try:
        wait_until(commits, deadline_s=deadline_s, why="PostgreSQL to commit")
    except DeadlineExceeded as error:
        raise ServerUnavailable(f"PostgreSQL does not serve: {error}") from error


def reach_postgres(dsn: str) -> None:
    """Return when a server that is not ours has committed a schema of ours. Raises `ServerUnavailable`."""
    try:
        commit_something(dsn)
    except psycopg.Error as error:
        raise ServerUnavailable(f"PostgreSQL cannot be used with this DSN: {one_line(error)}") from error


def commit_something(dsn: str) -> None:
    """Commit a schema and its removal: what a run needs to be allowed. Raises `psycopg.Error`."""
    schema = f"choreobench_probe_{uuid4().hex[:8]}"
    # Identifiers cannot be parameters; this one is made here of letters and digits.
    with psycopg.connect(dsn, connect_timeout=int(REACH_S)) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
        connection.commit()
        connection.execute(f"DROP SCHEMA {schema}".encode())


def one_line(error: object) -> str:
    """The text of an error without line breaks."""
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        error = error.args[0].str()
    return " ".join(str(error).split())
