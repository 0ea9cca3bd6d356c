from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from bench.waiting import wait_until
from system.kafka import config
from system.kafka.batch import Outgoing, Raw
from system.kafka.column_consumer import ColumnConsumer
from system.kafka.column_producer import ColumnProducer
from system.kafka.columns import BytesColumn
from system.kafka.consumer import GroupConsumer
from system.kafka.producer import BatchProducer, Unacknowledged
from system.kafka.transactions import AbortNeeded, ProducerFatal, RetryCall
from tests.system.kafka.clients import opened

Connection = dict[str, str | int | float | bool]
MakeTopic = Callable[..., str]


def properties(connection: Connection, transactional_id: str) -> dict[str, config.Value]:
    plain = config.producer(connection, client_id="t")
    return config.transactional(plain, transactional_id=transactional_id, timeout_ms=30_000)


@contextmanager
def member(connection: Connection, topic: str, group: str) -> Iterator[GroupConsumer]:
    def nothing(_partitions: object) -> None: ...

    settings = config.member(connection, client_id="t", group=group, session_timeout_ms=6000)
    found = GroupConsumer(settings, [topic], on_assign=nothing, on_revoke=nothing, on_lost=nothing)
    yield found
    found.close()


def polled(consumer: GroupConsumer) -> Raw:
    batch = wait_until(lambda: consumer.poll(records_max=10, timeout_s=0.1), deadline_s=30, why="a batch", poll_s=0)
    return batch[0]


def visible(connection: Connection, topic: str) -> list[bytes | None]:
    """The values that a `read_committed` reader sees, up to the end of partition 0."""
    settings = {**config.reader(connection, client_id="t"), "enable.partition.eof": True, "fetch.wait.max.ms": 10}
    found: list[bytes | None] = []
    with ColumnConsumer(settings) as consumer:
        consumer.assign([TopicPartition(topic, 0, 0)])

        def ended() -> bool:
            batch = consumer.take(records_max=100, timeout_s=0.1)
            found.extend(value for run in batch.without_events() for value in run.values.to_list())
            return bool(batch.errors.any())

        wait_until(ended, deadline_s=30, why=f"the end of {topic}", poll_s=0)
    return found


@pytest.fixture
def filled(connection: Connection, make_topic: MakeTopic) -> str:
    """A topic of one partition with the values 0 to 4."""
    topic = make_topic("filled")
    with opened(connection) as producer:
        producer.send(topic, None, BytesColumn.from_list([b"%d" % row for row in range(5)]), partitions=0)
        assert producer.flush(30) == 0
    return topic


def test_records_and_offsets_are_committed_together_or_not_at_all(
    connection: Connection, filled: str, make_topic: MakeTopic, prefix: str
) -> None:
    replies = make_topic("replies")
    producer = BatchProducer(properties(connection, prefix))
    producer.init_transactions()
    with member(connection, filled, prefix + "group") as consumer:
        for value, commit in ((b"aborted", False), (b"committed", True)):
            batch = polled(consumer)
            assert batch.offsets == [*range(5)]
            producer.begin_transaction()
            producer.send(Outgoing(replies, ["k"], [value]))
            producer.flush()
            producer.send_offsets_to_transaction(batch.spans(), consumer.group_metadata())
            if commit:
                producer.commit_transaction()
            else:
                producer.abort_transaction()
                consumer.rewind(batch.spans())
            assert consumer.committed([TopicPartition(filled, 0)]) == {(filled, 0): 5 if commit else 0}
    producer.close()
    assert visible(connection, replies) == [b"committed"]


def test_a_member_that_is_stale_cannot_commit_its_offsets(
    connection: Connection, filled: str, make_topic: MakeTopic, prefix: str
) -> None:
    replies = make_topic("replies")
    producer = BatchProducer(properties(connection, prefix))
    producer.init_transactions()
    with member(connection, filled, prefix + "group") as gone:
        spans, group = polled(gone).spans(), gone.group_metadata()
    with member(connection, filled, prefix + "group") as consumer:
        polled(consumer)
        producer.begin_transaction()
        producer.send(Outgoing(replies, ["k"], [b"stale"]))
        producer.flush()
        with pytest.raises(AbortNeeded):
            producer.send_offsets_to_transaction(spans, group)
        producer.abort_transaction()
        assert consumer.committed([TopicPartition(filled, 0)]) == {(filled, 0): 0}
    producer.close()
    assert visible(connection, replies) == []


def test_a_partition_that_was_never_assigned_cannot_be_sought(connection: Connection, filled: str) -> None:
    with ColumnConsumer(config.reader(connection, client_id="t")) as consumer, pytest.raises(KafkaException):
        consumer.seek([TopicPartition(filled, 0, 0)], timeout_s=5)


def test_a_fenced_producer_is_dead_and_each_of_its_records_has_a_report(
    connection: Connection, make_topic: MakeTopic, prefix: str
) -> None:
    topic = make_topic("fenced")
    values = BytesColumn.from_list([b"old"] * 100)
    with (
        ColumnProducer(properties(connection, prefix)) as old,
        ColumnProducer(properties(connection, prefix)) as new,
    ):
        old.init_transactions(timeout_s=30)
        old.begin_transaction()
        old.send(topic, None, values, partitions=0)
        assert old.flush(30) == 0
        new.init_transactions(timeout_s=30)
        old.send(topic, None, values, partitions=0)
        assert old.flush(30) == 0
        with pytest.raises(ProducerFatal) as raised:
            old.commit_transaction(timeout_s=30)
        assert raised.value.args[0].fatal()
        old.send(topic, None, values, partitions=0)
        assert old.flush(30) == 0
        reports = old.delivered()
        sequences = np.concatenate([report.sequences for report in reports])
        errors = np.concatenate([report.errors for report in reports])[np.argsort(sequences)]
        assert sorted(sequences.tolist()) == [*range(300)]
        assert not errors[:100].any()
        assert errors[100:].all()
        assert set(errors[200:].tolist()) == {KafkaError._FATAL}
        with pytest.raises(ProducerFatal):
            old.begin_transaction()
        new.begin_transaction()
        new.send(topic, None, BytesColumn.from_list([b"new"]), partitions=0)
        new.commit_transaction(timeout_s=30)
    assert visible(connection, topic) == [b"new"]


def test_a_record_that_fails_breaks_its_transaction_and_not_the_next(
    connection: Connection, prefix: str, make_topic: MakeTopic
) -> None:
    narrow, topic = prefix + "narrow", make_topic("wide")
    admin = AdminClient({**connection})
    admin.create_topics([NewTopic(narrow, 1, 1, config={"max.message.bytes": "1000"})])[narrow].result()
    producer = BatchProducer(properties(connection, prefix))
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(Outgoing(topic, ["k"], [b"with it"]))
    producer.send(Outgoing(narrow, ["k"], [b"x" * 2000]))
    with pytest.raises(Unacknowledged, match="MSG_SIZE_TOO_LARGE"):
        producer.flush()
    with pytest.raises(AbortNeeded):
        producer.commit_transaction()
    producer.abort_transaction()
    producer.begin_transaction()
    producer.send(Outgoing(topic, ["k"], [b"next"]))
    producer.commit_transaction()
    (report,) = producer.flush()
    assert report.errors is None
    producer.close()
    assert visible(connection, topic) == [b"next"]


def test_every_record_of_an_aborted_transaction_has_its_report_and_none_is_visible(
    connection: Connection, make_topic: MakeTopic, prefix: str
) -> None:
    topic = make_topic("aborted")
    producer = BatchProducer({**properties(connection, prefix), "linger.ms": 20_000})
    producer.init_transactions()
    for _ in range(20):
        producer.begin_transaction()
        producer.send(Outgoing(topic, ["k"] * 50, [b"v"] * 50))
        producer.abort_transaction()
        assert sum(len(report.offsets) for report in producer.forget()) == 50
    assert producer.is_idle()
    producer.close()
    assert visible(connection, topic) == []


def test_a_call_whose_time_is_up_can_be_made_again(prefix: str) -> None:
    nowhere: Connection = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    with ColumnProducer(properties(nowhere, prefix)) as producer, pytest.raises(RetryCall) as raised:
        producer.init_transactions(timeout_s=0.1)
    assert raised.value.args[0].code() == KafkaError._TIMED_OUT


def test_a_call_out_of_order_is_the_callers_mistake(connection: Connection, prefix: str) -> None:
    with ColumnProducer(properties(connection, prefix)) as producer:
        producer.init_transactions(timeout_s=30)
        with pytest.raises(KafkaException) as raised:
            producer.commit_transaction(timeout_s=5)
    assert type(raised.value) is KafkaException
    assert raised.value.args[0].code() == KafkaError._STATE
