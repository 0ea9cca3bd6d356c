import gc
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cluster.endpoints import Endpoints, Wanted
from bench.cluster.servers import cluster as started
from bench.waiting import wait_until
from system.kafka import config
from system.kafka.abi import LIBRARY
from system.kafka.batch import Outgoing
from system.kafka.column_producer import PLAIN, Carried, ColumnProducer, Delivered
from system.kafka.columns import BytesColumn, HeadersColumn
from system.kafka.kernel import KERNEL, Kernel
from system.kafka.portable_kernel import PortableKernel
from system.kafka.producer import BatchProducer, Unacknowledged
from tests.system.kafka.clients import opened

Connection = dict[str, str | int | float | bool]
MakeTopic = Callable[..., str]


def column(rows: Sequence[bytes | None]) -> BytesColumn:
    return BytesColumn.from_list(rows)


def read_back(
    connection: Connection, topic: str, *, partitions: int = 1, isolation: str = "read_committed"
) -> list[Message]:
    """Every record, by confluent-kafka's own consumer, to each partition's end."""
    settings = {"group.id": "none", "enable.partition.eof": True, "isolation.level": isolation}
    consumer = Consumer({**connection, **settings})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    found: list[Message] = []

    def ended() -> bool:
        batch = consumer.consume(1000, 0.1)
        found.extend(batch)
        return sum(message.error() is not None for message in found) >= partitions

    wait_until(ended, deadline_s=30, why=f"the end of {topic}", poll_s=0)
    consumer.close()
    return [message for message in found if message.error() is None]


def one(delivered: list[Delivered]) -> Delivered:
    assert len(delivered) == 1
    return delivered[0]


def test_every_record_has_one_report_with_its_place_in_the_log(
    connection: Connection, make_topic: MakeTopic, kernel: Kernel
) -> None:
    topic = make_topic("data", partitions=3)
    keys = [str(row).encode() if row % 3 else None for row in range(500)]
    values = [b"v%d" % row if row % 7 else (b"" if row % 2 else None) for row in range(500)]
    with opened(connection, kernel) as producer:
        assert producer.send(topic, column(keys), column(values)) == 0
        assert producer.send(topic, None, column([b"last"]), partitions=1) == 500
        assert producer.flush(30) == 0
        report = one(producer.delivered())
        assert producer.delivered() == []
    assert sorted(report.sequences.tolist()) == [*range(501)]
    assert not report.errors.any()
    assert (report.latencies_us > 0).all()
    places = {(p, o): n for n, p, o in zip(report.sequences, report.partitions, report.offsets, strict=True)}
    found = {
        places[message.partition(), message.offset()]: (message.key(), message.value())
        for message in read_back(connection, topic, partitions=3)
    }
    assert found == {**dict(enumerate(zip(keys, values, strict=True))), 500: (None, b"last")}


def test_a_key_is_partitioned_as_by_the_java_client(
    connection: Connection, make_topic: MakeTopic, kernel: Kernel
) -> None:
    topic = make_topic("keyed", partitions=5)
    keys = column([b"key-%d" % row for row in range(300)])
    with opened(connection, kernel) as producer:
        producer.send(topic, keys, keys)
        producer.flush(30)
        report = one(producer.delivered())
    expected = (kernel.murmur2(keys) & 0x7FFFFFFF) % 5
    assert report.partitions.tolist() == expected[report.sequences].tolist()


@pytest.mark.parametrize("partitioner", ["murmur2_random", "murmur2", "fnv1a_random"])
def test_each_send_is_partitioned_as_librdkafka_itself_would(
    connection: Connection, make_topic: MakeTopic, kernel: Kernel, partitioner: str
) -> None:
    topic = make_topic("same", partitions=7)
    keys = [None if row % 11 == 5 else b"%d" % (row * row % 97) * (row % 6) for row in range(800)]
    own = Producer({**connection, "partitioner": partitioner})
    placed: dict[bytes, int] = {}
    for key in {key for key in keys if key}:
        own.produce(
            topic, key=key, on_delivery=lambda _, told: placed.update({told.key() or b"": told.partition() or 0})
        )
    assert own.flush(30) == 0
    properties = {**config.producer(connection, client_id="t"), "partitioner": partitioner}
    with ColumnProducer(properties, kernel=kernel) as producer:
        for begin in (0, 300):  # The first send finds a topic whose partitions are not known yet.
            producer.send(topic, column(keys[begin : begin + 500]), column([b"v"] * len(keys[begin : begin + 500])))
            assert producer.flush(30) == 0
        report = one(producer.delivered())
    sent = keys[:500] + keys[300:]
    pairs = zip(report.sequences.tolist(), report.partitions.tolist(), strict=True)
    found = {(key, partition) for row, partition in pairs if (key := sent[row])}
    assert found == set(placed.items())


def test_a_partition_has_its_records_in_the_order_of_sending(
    connection: Connection, make_topic: MakeTopic, kernel: Kernel
) -> None:
    topic = make_topic("ordered", partitions=3)
    with opened(connection, kernel, **{"linger.ms": 0}) as producer:

        @given(rows=st.lists(st.tuples(st.integers(-1, 2), st.sampled_from([None, b"", b"a", b"b"])), min_size=1))
        @settings(max_examples=40, deadline=None)
        def ordered(rows: list[tuple[int, bytes | None]]) -> None:
            wanted = np.array([partition for partition, _ in rows] * 3, np.int32)
            keys = column([key for _, key in rows] * 3)
            first = producer.send(topic, keys, keys, partitions=wanted)
            assert producer.flush(30) == 0
            report = one(producer.delivered())
            sent = np.argsort(report.sequences)
            partitions, offsets = report.partitions[sent], report.offsets[sent]
            assert (report.sequences[sent] == np.arange(first, first + len(wanted))).all()
            assert ((wanted == -1) | (wanted == partitions)).all()
            assert all((np.diff(offsets[partitions == number]) > 0).all() for number in range(3))

        ordered()


def test_headers_and_timestamps_are_carried(connection: Connection, make_topic: MakeTopic, kernel: Kernel) -> None:
    topic = make_topic("carried")
    lists: list[list[tuple[str, bytes | None]]] = [
        [("pos", b"1"), ("pos", b""), ("none", None), ("näme", b"\x00")],
        [],
        [("a", b"b")],
    ]
    carried = Carried(np.array([10**12, 10**12 + 1, 10**12 + 2]), HeadersColumn.from_lists(lists))
    with opened(connection, kernel) as producer:
        producer.send(topic, column([b"k", b"", None]), column([b"v", None, b""]), carried=carried)
        assert producer.flush(30) == 0
    found = read_back(connection, topic)
    assert [(message.key(), message.value()) for message in found] == [(b"k", b"v"), (b"", None), (None, b"")]
    assert [message.timestamp()[1] for message in found] == carried.timestamps_ms.tolist()  # type: ignore[union-attr]
    assert [message.headers() or [] for message in found] == lists


@pytest.mark.parametrize("with_headers", [False, True])
def test_a_full_queue_makes_the_sender_wait_and_keeps_the_order(
    connection: Connection, make_topic: MakeTopic, kernel: Kernel, with_headers: bool
) -> None:
    topic = make_topic("full")
    # Large and small by turns: librdkafka by itself would refuse the large ones and let the small ones overtake.
    values = [b"%06d" % row + b"x" * (20_000 * (row % 2)) for row in range(600)]
    properties = {"queue.buffering.max.messages": 37, "queue.buffering.max.kbytes": 64, "linger.ms": 0}
    carried = Carried(headers=HeadersColumn.from_lists([[("h", b"1")]] * len(values))) if with_headers else Carried()
    producer = opened(connection, kernel, **properties)
    with producer:
        producer.send(topic, None, column(values), partitions=0, carried=carried)
        assert producer.flush(30) == 0
        report = one(producer.delivered())
    assert report.offsets.tolist() == report.sequences.tolist() == [*range(600)]
    assert not report.errors.any()
    assert [message.value() for message in read_back(connection, topic)] == values


@pytest.mark.parametrize("with_headers", [False, True])
def test_a_record_that_is_too_large_fails_alone(
    connection: Connection, make_topic: MakeTopic, kernel: Kernel, with_headers: bool
) -> None:
    topic = make_topic("large")
    values = [b"a", b"x" * 3_000_000, b"b", b"y" * 40_000_000, b"c"]
    carried = Carried(headers=HeadersColumn.from_lists([[("h", b"1")]] * len(values))) if with_headers else Carried()
    properties = {"queue.buffering.max.kbytes": 16 * 1024, "message.max.bytes": 2_000_000}
    with opened(connection, kernel, **properties) as producer:
        producer.send(topic, None, column(values), partitions=0, carried=carried)
        assert producer.flush(30) == 0
        report = one(producer.delivered())
    codes = dict(zip(report.sequences.tolist(), report.errors.tolist(), strict=True))
    assert codes == {0: 0, 1: KafkaError.MSG_SIZE_TOO_LARGE, 2: 0, 3: KafkaError.MSG_SIZE_TOO_LARGE, 4: 0}
    assert report.offsets[np.argsort(report.sequences)].tolist() == [0, -1, 1, -1, 2]
    assert [message.value() for message in read_back(connection, topic)] == [b"a", b"b", b"c"]


def test_a_partition_that_there_is_not_fails_alone(
    connection: Connection, make_topic: MakeTopic, kernel: Kernel
) -> None:
    topic = make_topic("two", partitions=2)
    with opened(connection, kernel) as producer:
        producer.send(topic, None, column([b"a", b"b", b"c"]), partitions=np.array([0, 7, 1], np.int32))
        assert producer.flush(30) == 0
        report = one(producer.delivered())
        # Nothing is left behind in librdkafka's own count, for which a flush and a close would wait.
        assert LIBRARY.rd_kafka_outq_len(producer._client) == 0
    codes = dict(zip(report.sequences.tolist(), report.errors.tolist(), strict=True))
    assert codes == {0: 0, 1: KafkaError._UNKNOWN_PARTITION, 2: 0}


@pytest.mark.parametrize(
    "columns",
    [
        {"keys": column([b"a", b"b"])},
        {"partitions": np.zeros(2, np.int32)},
        {"carried": Carried(timestamps_ms=np.zeros(2, np.int64))},
        {"carried": Carried(headers=HeadersColumn.from_lists([]))},
    ],
)
def test_columns_of_different_lengths_are_refused(columns: dict[str, Any], kernel: Kernel) -> None:
    properties = config.producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, client_id="t")
    with (
        ColumnProducer(properties, kernel=kernel) as producer,
        pytest.raises(ValueError, match="different lengths for 1 values"),
    ):
        producer.send("any", values=column([b"v"]), **{"keys": None, **columns})


def test_a_name_that_no_topic_can_have_is_refused(kernel: Kernel) -> None:
    properties = config.producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, client_id="t")
    with ColumnProducer(properties, kernel=kernel) as producer, pytest.raises(KafkaException, match="no topic can"):
        producer.send("x" * 600, None, column([b"v"]))


def test_an_empty_batch_is_nothing(connection: Connection, make_topic: MakeTopic, kernel: Kernel) -> None:
    with opened(connection, kernel) as producer:
        producer.send(make_topic("empty"), column([]), column([]))
        assert producer.flush(1) == 0
        assert producer.delivered() == []


def test_an_aborted_transaction_leaves_nothing_visible(
    connection: Connection, make_topic: MakeTopic, kernel: Kernel, prefix: str
) -> None:
    topic = make_topic("tx")
    properties = {**config.producer(connection, client_id="t"), "transactional.id": prefix}
    with ColumnProducer(properties, kernel=kernel) as producer:
        producer.init_transactions(timeout_s=30)
        for name, commit in ((b"a", True), (b"b", False), (b"c", True)):
            producer.begin_transaction()
            producer.send(topic, None, column([name]), partitions=0)
            (producer.commit_transaction if commit else producer.abort_transaction)(timeout_s=30)
        with pytest.raises(KafkaException) as raised:
            producer.commit_transaction(timeout_s=5)
    assert raised.value.args[0].code() == KafkaError._STATE
    assert [message.value() for message in read_back(connection, topic)] == [b"a", b"c"]


def test_closing_with_records_in_flight_neither_waits_nor_crashes(kernel: Kernel) -> None:
    properties = config.producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, client_id="t")
    producer = ColumnProducer(properties, kernel=kernel)
    producer.send("nowhere", None, column([b"v"] * 1000))
    assert producer.in_flight() == 1000
    producer.close()
    producer.close()
    dropped = ColumnProducer(properties, kernel=kernel)
    dropped.send("nowhere", None, column([b"v"] * 1000))
    del dropped
    assert gc.collect() >= 0


def test_records_that_time_out_are_reported_as_failed(kernel: Kernel) -> None:
    properties = config.producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, client_id="t")
    with ColumnProducer({**properties, "delivery.timeout.ms": 200, "linger.ms": 0}, kernel=kernel) as producer:
        producer.send("nowhere", None, column([b"v"] * 10))
        assert producer.flush(30) == 0
        report = one(producer.delivered())
    assert report.errors.tolist() == [KafkaError._MSG_TIMED_OUT] * 10


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"no.such": 1}, "no.such"),
        ({"enable.idempotence": "maybe"}, "enable.idempotence"),
        ({"error_cb": print}, "error_cb"),
    ],
)
def test_a_property_that_librdkafka_does_not_take_is_named(
    properties: dict[str, config.Value], message: str, kernel: Kernel
) -> None:
    with pytest.raises((KafkaException, ValueError), match=message):
        ColumnProducer(properties, kernel=kernel)


SIZES = st.sampled_from([0, 10, 1_500, 3_000, 70_000])
"""Of values: the last two are over the limit of a record, the last over that of the queue too."""
ADVERSE = st.lists(st.tuples(SIZES, st.sampled_from([-1, 0, 1, 9])), min_size=1, max_size=40)


def test_every_record_of_a_mixed_batch_has_one_report_that_is_right(
    connection: Connection, make_topic: MakeTopic, kernel: Kernel
) -> None:
    topic = make_topic("mixed", partitions=2)
    limits = {"queue.buffering.max.messages": 30, "queue.buffering.max.kbytes": 16, "message.max.bytes": 2_000}
    with opened(connection, kernel, **limits, **{"batch.size": 2_000, "linger.ms": 0}) as producer:

        @given(rows=ADVERSE, with_headers=st.booleans())
        @settings(max_examples=30, deadline=None)
        def reported(rows: list[tuple[int, int]], with_headers: bool) -> None:
            carried = Carried(headers=HeadersColumn.from_lists([[("h", b"1")]] * len(rows))) if with_headers else PLAIN
            partitions = np.array([partition for _, partition in rows], np.int32)
            values = column([b"x" * size for size, _ in rows])
            first = producer.send(topic, None, values, partitions=partitions, carried=carried)
            assert producer.flush(30) == 0
            report = one(producer.delivered())
            codes = dict(zip((report.sequences - first).tolist(), report.errors.tolist(), strict=True))
            assert len(report) == len(codes) == len(rows)
            large, nowhere = KafkaError.MSG_SIZE_TOO_LARGE, KafkaError._UNKNOWN_PARTITION
            for row, (size, partition) in enumerate(rows):
                legal = {large} if size > 2_000 else {0}
                # librdkafka looks at the partition first or at the size first, as it comes.
                assert codes[row] in ({nowhere, *legal} - {0} if partition == 9 else legal)

        reported()


def test_a_fatal_error_ends_in_a_report_for_every_record(
    connection: Connection, make_topic: MakeTopic, kernel: Kernel
) -> None:
    topic = make_topic("fatal")
    with opened(connection, kernel) as producer:
        producer.send(topic, None, column([b"v"] * 100), partitions=0)
        assert producer.flush(30) == 0
        producer.send(topic, None, column([b"v"] * 5_000), partitions=0)
        out_of_order = KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert LIBRARY.rd_kafka_test_fatal_error(producer._client, out_of_order, b"the order is lost") == 0
        producer.send(topic, None, column([b"v"] * 100), partitions=0)
        assert producer.flush(30) == 0
        reports = producer.delivered()
    codes = np.concatenate([report.errors for report in reports])
    sequences = np.concatenate([report.sequences for report in reports])
    assert sorted(sequences.tolist()) == [*range(5_200)]
    assert not codes[sequences < 100].any()
    assert set(codes[sequences >= 5_100].tolist()) == {KafkaError._FATAL}
    # What a request had been made of may have reached the log, and then it says so.
    assert len(read_back(connection, topic)) >= np.count_nonzero(codes == 0) >= 100


def test_accepted_is_delivered_plus_failed_when_the_broker_is_killed(cluster: Endpoints, tmp_path: Path) -> None:
    both: list[Kernel] = [KERNEL, PortableKernel()]
    with started(Wanted(dsn=cluster.dsn), logs=tmp_path) as endpoints, ExitStack() as open_producers:
        connection: Connection = {"bootstrap.servers": endpoints.bootstrap, **endpoints.client, "log_level": 0}
        admin = AdminClient({**connection})
        admin.create_topics([NewTopic("t-any", 1, 1)])["t-any"].result()
        hasty = {"delivery.timeout.ms": 1500, "batch.size": 5000}
        properties = {**config.producer(connection, client_id="t"), **hasty}
        producers = [open_producers.enter_context(ColumnProducer(properties, kernel=kernel)) for kernel in both]
        codes: list[Counter[int]] = [Counter(), Counter()]

        def send_and_hear() -> bool:
            for producer, heard in zip(producers, codes, strict=True):
                producer.send("t-any", None, column([b"x" * 1000] * 1000))
                heard.update(code for report in producer.delivered() for code in report.errors.tolist())
            return all(heard[0] > 1000 for heard in codes)

        wait_until(send_and_hear, deadline_s=30, why="records to be acknowledged", poll_s=0)
        os.kill(endpoints.pids["broker-1"], signal.SIGKILL)
        send_and_hear()
        for producer, heard in zip(producers, codes, strict=True):
            assert producer.flush(30) == 0
            heard.update(code for report in producer.delivered() for code in report.errors.tolist())
            sent = producer.send("t-any", None, column([]))
            assert sum(heard.values()) == sent > heard[0] > 1000


def test_a_batch_producer_tells_of_what_failed_with_its_name(connection: Connection, make_topic: MakeTopic) -> None:
    topic = make_topic("batch")
    producer = BatchProducer({**config.producer(connection, client_id="t"), "message.max.bytes": 2_000})
    producer.send(Outgoing(topic, ["ä", "b"], [b"1", b"2"]))
    producer.send_one(topic, key="ä", value=None, headers=[("h", b"1")])
    (report,) = producer.flush()
    assert (report.topic, sorted(report.offsets.tolist()), report.errors) == (topic, [0, 1, 2], None)
    assert producer.is_idle()
    producer.send(Outgoing(topic, ["a", "b"], [b"1", b"2" * 5_000]))
    with pytest.raises(Unacknowledged, match=r"1 records failed \(MSG_SIZE_TOO_LARGE\), 0 unheard of"):
        producer.flush()
    producer.close()
    assert [message.key() for message in read_back(connection, topic)] == ["ä".encode(), b"b", "ä".encode(), b"a"]
