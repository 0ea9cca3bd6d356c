from collections.abc import Callable

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_benchmark.fixture import BenchmarkFixture

from system.kafka.batch import Json, Raw, Span, spans_of, wire


def counted(topic: str, partitions: list[int], offsets: list[int]) -> list[Span]:
    found: dict[int, list[int]] = {}
    for partition, offset in zip(partitions, offsets, strict=True):
        bounds = found.setdefault(partition, [offset, offset, 0])
        bounds[1] = offset
        bounds[2] += 1
    return [Span(topic, partition, *bounds) for partition, bounds in found.items()]


@given(st.lists(st.integers(0, 5)))
def test_spans_have_first_last_and_count_a_partition_in_the_order_of_occurrence(partitions: list[int]) -> None:
    offsets = [100 * partition + row for row, partition in enumerate(partitions)]
    expected = counted("t", partitions, offsets)
    assert spans_of("t", np.array(partitions, np.int32), np.array(offsets, np.int64)) == expected
    raw = Raw("t", partitions, offsets, [None] * len(offsets), [None] * len(offsets))
    assert raw.spans() == raw.spans() == expected


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()


@given(st.recursive(scalars, st.lists))
def test_a_value_on_the_wire_is_its_json(value: Json) -> None:
    assert wire(value) == orjson.dumps(value)


@pytest.mark.parametrize("encode", [wire, orjson.dumps], ids=["wire", "orjson"])
def test_values_onto_the_wire(benchmark: BenchmarkFixture, encode: Callable[[Json], bytes]) -> None:
    """The ratio of the two is what `wire` is there for: a worker keeps the values of a batch until they are sent."""
    values = [["psuccess", number] for number in range(1_000)]
    kept = benchmark(lambda: [encode(value) for value in values])
    assert [orjson.loads(one) for one in kept] == values
