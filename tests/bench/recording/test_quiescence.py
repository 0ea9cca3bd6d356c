from collections.abc import Callable

import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from psycopg import sql

from bench.cluster.endpoints import Endpoints
from bench.recording.errors import RecordingFailed
from bench.recording.positions import Asker, Client, positions_of
from bench.recording.quiescence import await_quiescence, is_drained, outboxes_are_empty, undrained
from bench.waiting import DeadlineExceeded

MakeTopic = Callable[..., str]
Send = Callable[..., None]


def commit(client: Client, group: str, topic: str, offset: int) -> None:
    consumer = Consumer({**client, "group.id": group, "enable.auto.commit": False})
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()


def test_a_group_is_drained_when_it_has_committed_the_last_record(
    client: Client, prefix: str, make_topic: MakeTopic, send: Send
) -> None:
    topic, group = make_topic("data", partitions=2), f"{prefix}pay"
    groups = {group: [topic]}
    assert is_drained(client, groups)
    send(topic, [("a", "1"), ("b", "2")])
    assert not is_drained(client, groups)
    commit(client, group, topic, 1)
    assert not is_drained(client, groups)
    (left,) = undrained(client, positions_of(Asker(client), groups))
    assert (left.committed, left.end, left.lag_records) == (1, 2, 1)
    commit(client, group, topic, 2)
    assert is_drained(client, groups)


def test_control_and_aborted_records_above_the_commit_are_no_work_left(
    client: Client, prefix: str, make_topic: MakeTopic
) -> None:
    topic, group = make_topic("tx"), f"{prefix}pay"
    producer = Producer({**client, "transactional.id": topic})
    producer.init_transactions(30)
    for commits in (True, False):
        producer.begin_transaction()
        producer.produce(topic, key="k", value="v", partition=0)
        producer.flush(30)
        (producer.commit_transaction if commits else producer.abort_transaction)(30)
    assert not is_drained(client, {group: [topic]})
    commit(client, group, topic, 1)
    (position,) = positions_of(Asker(client), {group: [topic]})
    assert (position.committed, position.end) == (1, 4)
    assert is_drained(client, {group: [topic]})


def test_quiescence_lasts(client: Client, prefix: str, make_topic: MakeTopic, send: Send) -> None:
    topic, group = make_topic("data"), f"{prefix}pay"
    send(topic, [("a", "1")])
    commit(client, group, topic, 1)
    looks: list[int] = []

    def outbox_is_empty() -> bool:
        looks.append(1)
        return len(looks) != 3

    (position,) = await_quiescence(client, {group: [topic]}, deadline_s=20, quiet_s=0.5, also=outbox_is_empty)
    assert (position.committed, position.end) == (1, 1)
    assert len(looks) > 5


def test_an_outbox_with_a_row_is_work_left(cluster: Endpoints, prefix: str) -> None:
    with psycopg.connect(cluster.dsn, autocommit=True) as db:
        assert outboxes_are_empty(cluster.dsn, prefix)
        for service in ("pay", "stock"):
            schema = sql.Identifier(prefix + service)
            db.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
            db.execute(sql.SQL("CREATE TABLE {}.outbox (sequence bigint)").format(schema))
        assert outboxes_are_empty(cluster.dsn, prefix)
        db.execute(sql.SQL("INSERT INTO {}.outbox VALUES (1)").format(sql.Identifier(prefix + "stock")))
        assert not outboxes_are_empty(cluster.dsn, prefix)


def test_outboxes_that_cannot_be_reached_are_no_empty_ones(prefix: str) -> None:
    with pytest.raises(RecordingFailed):
        outboxes_are_empty("host=127.0.0.1 port=1 connect_timeout=2", prefix)


def test_what_is_left_at_the_deadline_is_named(client: Client, prefix: str, make_topic: MakeTopic, send: Send) -> None:
    topic, group = make_topic("data"), f"{prefix}pay"
    send(topic, [("a", "1"), ("b", "2")])
    commit(client, group, topic, 1)
    with pytest.raises(DeadlineExceeded, match=rf"{group} has read {topic}\[0\] to 1 of 2"):
        await_quiescence(client, {group: [topic]}, deadline_s=1.0, quiet_s=0.2)
