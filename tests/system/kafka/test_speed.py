"""The client's inner paths under pytest-benchmark. `make test` runs each once, as a test; as measurements:

`pytest tests/system/kafka/test_speed.py --benchmark-enable --benchmark-group-by=func` puts the compiled kernel and the
portable one into one group, with their ratio in brackets.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import numpy as np
import pytest
from confluent_kafka import TopicPartition
from pytest_benchmark.fixture import BenchmarkFixture

from system.checkout.contract import check_pay, split_key
from system.kafka.batch import Raw
from system.kafka.column_consumer import ColumnConsumer
from system.kafka.column_producer import Carried, ColumnProducer
from system.kafka.columns import BytesColumn
from system.kafka.config import producer, reader
from system.kafka.kernel import Kernel
from system.kafka.records import Sending, message_rows
from system.runtime.decoding import decode
from tests.system.kafka.conftest import MakeTopic

RECORDS = 10_000
ROUNDS = 20
KEYS = BytesColumn.from_strings([f"{number}_1" for number in range(RECORDS)])
VALUES = BytesColumn.from_strings([f'["pay",{number},"user-{number}"]' for number in range(RECORDS)])


@pytest.fixture
def unconnected(kernel: Kernel) -> Iterator[ColumnProducer]:
    """A producer whose records stay in its queue: no broker's time is in what is measured."""
    properties = {**producer({"bootstrap.servers": "127.0.0.1:1"}, client_id="speed"), "log_level": 0}
    with closing(ColumnProducer(properties, kernel=kernel)) as made:
        yield made


def _bounded(benchmark: BenchmarkFixture, measured: Callable[[], object]) -> object:
    """So many rounds and no more: there are so many records, or there is so much room."""
    return benchmark.pedantic(measured, rounds=ROUNDS)


def test_murmur2_in_bulk(benchmark: BenchmarkFixture, kernel: Kernel) -> None:
    assert len(benchmark(kernel.murmur2, KEYS)) == RECORDS


def test_crc32_in_bulk(benchmark: BenchmarkFixture, kernel: Kernel) -> None:
    assert len(benchmark(kernel.crc32, VALUES)) == RECORDS


def test_rows_that_point_into_columns(benchmark: BenchmarkFixture) -> None:
    sending = Sending(1, KEYS, VALUES, partitions=-1, timestamps_ms=None, headers=None, first_sequence=0)
    rows = benchmark(message_rows, sending, 0, RECORDS)
    assert rows["value_size"].sum() == VALUES.offsets[-1]


def test_a_batch_into_the_producers_queue(benchmark: BenchmarkFixture, unconnected: ColumnProducer) -> None:
    _bounded(benchmark, partial(unconnected.send, "speed", KEYS, VALUES))
    assert unconnected.in_flight() >= RECORDS


def test_records_with_timestamps_into_the_producers_queue(
    benchmark: BenchmarkFixture, unconnected: ColumnProducer
) -> None:
    carried = Carried(timestamps_ms=np.arange(RECORDS, dtype=np.int64))
    _bounded(benchmark, partial(unconnected.send, "speed", KEYS, VALUES, carried=carried))
    assert unconnected.in_flight() >= RECORDS


def test_fetched_records_into_columns(
    benchmark: BenchmarkFixture, kernel: Kernel, connection: dict[str, str], make_topic: MakeTopic
) -> None:
    topic = make_topic("speed")
    with closing(ColumnProducer(producer(connection, client_id=topic))) as sender:
        for _ in range(ROUNDS + 1):
            sender.send(topic, KEYS, VALUES)
        assert sender.flush(30) == 0
    with closing(ColumnConsumer(reader(connection, client_id=topic), kernel=kernel)) as consumer:
        consumer.assign([TopicPartition(topic, 0, 0)])

        def take() -> int:
            taken = 0
            while taken < RECORDS:
                taken += len(consumer.take(records_max=RECORDS - taken, timeout_s=5))
            return taken

        # The first one waits for the connection.
        assert take() == RECORDS
        assert _bounded(benchmark, take) == RECORDS


def test_a_column_to_arrow(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(VALUES.to_arrow)) == RECORDS


def test_a_column_to_bytes_objects(benchmark: BenchmarkFixture) -> None:
    assert len(benchmark(VALUES.to_list)) == RECORDS


def test_strings_to_a_column(benchmark: BenchmarkFixture) -> None:
    keys = [f"{number}_1" for number in range(RECORDS)]
    assert len(benchmark(BytesColumn.from_strings, keys)) == RECORDS


def test_decoding_a_batch(benchmark: BenchmarkFixture) -> None:
    raw = Raw("Pay-topic", [0] * RECORDS, range(RECORDS), KEYS.to_list(), VALUES.to_list())
    batch, refused = benchmark(decode, raw, decode_key=split_key, check=check_pay)
    assert len(batch) == RECORDS
    assert refused == []
