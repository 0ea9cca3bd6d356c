import gc
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.waiting import wait_until
from system.kafka import config
from system.kafka.column_consumer import ColumnConsumer
from system.kafka.column_producer import Carried
from system.kafka.columns import BytesColumn, HeadersColumn
from system.kafka.consumer import CommitRefused, GroupConsumer, raws
from system.kafka.kernel import Kernel
from system.kafka.rebalancing import Partitions, Rebalanced
from system.kafka.records import Records
from tests.system.kafka.clients import opened

Connection = dict[str, str | int | float | bool]
MakeTopic = Callable[..., str]
Row = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]

ROWS = st.lists(
    st.tuples(
        st.none() | st.binary(max_size=20) | st.text(max_size=5).map(str.encode),
        st.none() | st.binary(max_size=50) | st.just(b"x" * 1_000_000),
        st.lists(st.tuples(st.text("aäß", min_size=1, max_size=3), st.none() | st.binary(max_size=5)), max_size=3),
    ),
    max_size=20,
)


def reader(connection: Connection, kernel: Kernel, **settings: config.Value) -> ColumnConsumer:
    eof = {"enable.partition.eof": True, "fetch.wait.max.ms": 10}
    return ColumnConsumer({**config.reader(connection, client_id="t"), **eof, **settings}, kernel=kernel)


def to_ends(consumer: ColumnConsumer, partitions: int = 1) -> list[Records]:
    """Batches until each partition has said that it ended."""
    found: list[Records] = []

    def ended() -> bool:
        found.append(consumer.take(records_max=100, timeout_s=0.1, timestamps=True, headers=True))
        return sum(int(np.count_nonzero(batch.errors)) for batch in found) >= partitions

    wait_until(ended, deadline_s=30, why="the ends of the partitions", poll_s=0)
    return found


def rows_of(batches: list[Records]) -> Iterator[Row]:
    for batch in batches:
        for run in batch.without_events():
            assert run.headers is not None
            yield from zip(run.keys.to_list(), run.values.to_list(), run.headers.to_lists(), strict=True)


def test_any_batch_comes_back_identical(connection: Connection, make_topic: MakeTopic, kernel: Kernel) -> None:
    topic = make_topic("any")
    large: dict[str, config.Value] = {"message.max.bytes": 2_000_000, "linger.ms": 0}
    with opened(connection, kernel, **large) as producer, reader(connection, kernel) as consumer:

        @settings(max_examples=25, deadline=None)
        @given(rows=ROWS)
        def comes_back(rows: list[Row]) -> None:
            stamps = np.arange(len(rows)) + 10**12
            carried = Carried(stamps, HeadersColumn.from_lists([row[2] for row in rows]))
            keys, values = (BytesColumn.from_list([row[column] for row in rows]) for column in (0, 1))  # type: ignore[misc]
            begin = producer.send(topic, keys, values, partitions=0, carried=carried)
            assert producer.flush(30) == 0
            assert all(not report.errors.any() for report in producer.delivered())
            consumer.assign([TopicPartition(topic, 0, begin)])
            batches = to_ends(consumer)
            assert list(rows_of(batches)) == rows
            found = [run.timestamps_ms for batch in batches for run in batch.without_events()]
            assert [stamp for run in found if run is not None for stamp in run] == stamps.tolist()

        comes_back()


@pytest.fixture
def filled(connection: Connection, make_topic: MakeTopic) -> str:
    """A topic of two partitions with ten records each."""
    topic = make_topic("filled", partitions=2)
    values = BytesColumn.from_list([b"%d" % row for row in range(20)])
    with opened(connection) as producer:
        producer.send(topic, None, values, partitions=np.repeat(np.array([0, 1], np.int32), 10))
        assert producer.flush(30) == 0
    return topic


def test_the_end_of_a_partition_keeps_its_place_behind_the_records(
    connection: Connection, filled: str, kernel: Kernel
) -> None:
    with reader(connection, kernel) as consumer:
        consumer.assign([TopicPartition(filled, 1, 4)])
        batches = to_ends(consumer)
        assert consumer.position([TopicPartition(filled, 1)])[0].offset == 10
        assert consumer.watermarks(filled, 1, timeout_s=10) == (0, 10)
        assert consumer.generation() == -1
    events = [(int(o), int(e)) for batch in batches for o, e in zip(batch.offsets, batch.errors, strict=True)]
    assert events == [*((offset, 0) for offset in range(4, 10)), (10, KafkaError._PARTITION_EOF)]
    assert {batch.topics for batch in batches if len(batch)} == {(filled,)}


def test_nothing_there_is_an_empty_batch(connection: Connection, make_topic: MakeTopic, kernel: Kernel) -> None:
    with reader(connection, kernel, **{"enable.partition.eof": False}) as consumer:
        consumer.assign([TopicPartition(make_topic("empty"), 0, 0)])
        batch = consumer.take(records_max=10, timeout_s=0.1)
    assert (len(batch), batch.topics, raws(batch), list(batch.without_events())) == (0, (), [], [])


def test_a_batch_outlives_its_client(connection: Connection, filled: str, kernel: Kernel) -> None:
    consumer = reader(connection, kernel)
    consumer.assign([TopicPartition(filled, 0, 0)])
    batches = to_ends(consumer)
    consumer.close()
    consumer.close()
    del consumer
    gc.collect()
    assert [value for _, value, _ in rows_of(batches)] == [b"%d" % row for row in range(10)]


def test_raws_are_a_value_a_topic_without_the_events(
    connection: Connection, make_topic: MakeTopic, filled: str, kernel: Kernel
) -> None:
    other = make_topic("other")
    with opened(connection) as producer:
        producer.send(other, None, BytesColumn.from_list([b"o"]))
        producer.flush(30)
    with reader(connection, kernel) as consumer:
        consumer.assign([TopicPartition(filled, 0, 0), TopicPartition(filled, 1, 0), TopicPartition(other, 0, 0)])
        found = [raw for batch in to_ends(consumer, 3) for raw in raws(batch)]
    spans = sorted(span for raw in found for span in raw.spans())
    assert sum(span.records for span in spans) == 21
    assert {(span.topic, span.partition) for span in spans} == {(filled, 0), (filled, 1), (other, 0)}
    rows = {
        (raw.topic, p, o): v for raw in found for p, o, v in zip(raw.partitions, raw.offsets, raw.values, strict=True)
    }
    assert rows == {(other, 0, 0): b"o", **{(filled, row // 10, row % 10): b"%d" % row for row in range(20)}}


def test_an_error_that_does_not_pass_is_raised(connection: Connection, filled: str, kernel: Kernel) -> None:
    with reader(connection, kernel, **{"auto.offset.reset": "error"}) as consumer:
        consumer.assign([TopicPartition(filled, 0, 1000)])
        with pytest.raises(KafkaException) as raised:
            wait_until(
                lambda: raws(consumer.take(records_max=10, timeout_s=0.1)), deadline_s=20, why="the error", poll_s=0
            )
    assert raised.value.args[0].code() == KafkaError._AUTO_OFFSET_RESET


class Heard:
    """What the callbacks of a group member were told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[int]]] = []

    def callbacks(self) -> Rebalanced:
        return Rebalanced(*(self._hearing(name) for name in ("assigned", "revoked", "lost")))

    def _hearing(self, name: str) -> Callable[[Partitions], None]:
        return lambda partitions: self.told.append((name, sorted(one.partition for one in partitions)))


EAGER = config.Membership(assignor="range")
MEMBERSHIPS = [
    config.COOPERATIVE,
    EAGER,
    config.Membership(assignor="roundrobin", static=True),
    config.Membership("consumer", "uniform"),
    config.Membership("consumer", "range", static=True),
]


def member(
    connection: Connection, group: str, how: config.Membership, *, client_id: str = "t"
) -> dict[str, config.Value]:
    return config.member(connection, client_id=client_id, group=group, session_timeout_ms=6000, how=how)


@pytest.mark.parametrize("how", MEMBERSHIPS, ids=str)
def test_members_share_the_partitions_and_each_is_told(
    connection: Connection, filled: str, kernel: Kernel, how: config.Membership, prefix: str
) -> None:
    first, second = Heard(), Heard()
    properties = [member(connection, prefix + "group", how, client_id=name) for name in ("t-0", "t-1")]
    one = ColumnConsumer(properties[0], rebalanced=first.callbacks(), kernel=kernel)
    one.subscribe([filled])
    wait_until(lambda: one.take(records_max=5, timeout_s=0.1).offsets.size, deadline_s=30, why="a record", poll_s=0)
    assert first.told == [("assigned", [0, 1])]
    one.commit([TopicPartition(filled, 0, 7), TopicPartition(filled, 1, 8)])
    committed = one.committed([TopicPartition(filled, 0), TopicPartition(filled, 1)], timeout_s=10)
    assert [found.offset for found in committed] == [7, 8]
    generation = one.generation()
    two = ColumnConsumer(properties[1], rebalanced=second.callbacks(), kernel=kernel)
    two.subscribe([filled])

    def both_take() -> bool:
        one.take(records_max=5, timeout_s=0.05)
        two.take(records_max=5, timeout_s=0.05)
        return any(name == "assigned" and numbers for name, numbers in second.told)

    wait_until(both_take, deadline_s=30, why="the second member to have a share", poll_s=0)
    assert one.generation() > generation
    given_up = [numbers for name, numbers in first.told if name == "revoked"]
    assert given_up[0] in ([[0, 1]] if how.is_eager else [[0], [1]])
    two.close()
    assert second.told[-1][0] == "revoked"
    one.close()
    assert first.told[-1][0] == "revoked"


def test_a_partition_that_comes_back_brings_its_first_record(
    connection: Connection, filled: str, make_topic: MakeTopic, kernel: Kernel, prefix: str
) -> None:
    heard = Heard()
    properties = member(connection, prefix + "group", EAGER)
    consumer = ColumnConsumer(properties, rebalanced=heard.callbacks(), kernel=kernel)

    def offsets_after(moves: int, topic: str) -> list[int]:
        """Subscribes; the offsets of the first batch after so many moves of the assignment, and those before it."""
        consumer.subscribe([topic])
        batches: list[Records] = []

        def arrived() -> bool:
            # Without waiting inside: a batch must be there already when `take` has its first look.
            batches.append(consumer.take(records_max=1000, timeout_s=0.0))
            return len(heard.told) >= moves and (topic != filled or bool(batches[-1].offsets.size))

        wait_until(arrived, deadline_s=30, why=f"{topic} to be read", poll_s=0.1)
        return [int(at) for batch in batches for at in batch.offsets]

    assert offsets_after(1, filled)[0] == 0
    offsets_after(3, make_topic("empty"))
    assert [name for name, _ in heard.told] == ["assigned", "revoked", "assigned"]
    assert offsets_after(5, filled)[0] == 0
    consumer.close()


def test_what_a_callback_raises_is_raised_by_take(
    connection: Connection, filled: str, kernel: Kernel, prefix: str
) -> None:
    def refuse(_partitions: Partitions) -> None:
        raise RuntimeError("cannot rebuild")

    heard = Heard()
    rebalanced = heard.callbacks()._replace(on_assign=refuse)
    consumer = ColumnConsumer(member(connection, prefix + "group", EAGER), rebalanced=rebalanced, kernel=kernel)
    consumer.subscribe([filled])
    with pytest.raises(RuntimeError, match="cannot rebuild"):
        wait_until(lambda: len(consumer.take(records_max=5, timeout_s=0.1)), deadline_s=30, why="a record", poll_s=0)
    consumer.close()
    assert heard.told == [("revoked", [0, 1])]


def test_a_group_consumer_polls_commits_and_resumes_behind_what_it_committed(
    connection: Connection, filled: str, prefix: str
) -> None:
    properties = config.member(connection, client_id="t", group=prefix + "group", session_timeout_ms=6000)

    def joined() -> GroupConsumer:
        nothing: Callable[[Partitions], None] = lambda _partitions: None  # noqa: E731
        return GroupConsumer(properties, [filled], on_assign=nothing, on_revoke=nothing, on_lost=nothing)

    first = joined()
    seen: set[tuple[int, int]] = set()
    batch = wait_until(lambda: first.poll(records_max=6, timeout_s=0.1), deadline_s=30, why="a batch", poll_s=0)
    seen.update((p, o) for raw in batch for p, o in zip(raw.partitions, raw.offsets, strict=True))
    assert len(seen) <= 6
    first.commit([span for raw in batch for span in raw.spans()])
    assert sum(first.committed([TopicPartition(filled, 0), TopicPartition(filled, 1)]).values()) == len(seen)
    assert first.generation() > 0
    first.close()
    second = joined()
    rest: set[tuple[int, int]] = set()

    def all_there() -> bool:
        for raw in second.poll(records_max=100, timeout_s=0.1):
            rest.update(zip(raw.partitions, raw.offsets, strict=True))
        return len(rest) >= 20 - len(seen)

    wait_until(all_there, deadline_s=30, why="the rest", poll_s=0)
    second.close()
    assert seen | rest == {(partition, offset) for partition in (0, 1) for offset in range(10)}
    assert not seen & rest


def test_offsets_of_partitions_that_are_not_ours_are_refused(connection: Connection, filled: str, prefix: str) -> None:
    nothing: Callable[[Partitions], None] = lambda _partitions: None  # noqa: E731
    properties = config.member(connection, client_id="t", group=prefix + "group", session_timeout_ms=6000)
    outsider = GroupConsumer(properties, [filled], on_assign=nothing, on_revoke=nothing, on_lost=nothing)
    batch = wait_until(lambda: outsider.poll(records_max=6, timeout_s=0.1), deadline_s=30, why="a batch", poll_s=0)
    span = batch[0].spans()[0]._replace(topic=f"{prefix}nowhere")
    with pytest.raises(CommitRefused):
        outsider.commit([span])
    outsider.close()
