import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from system.kafka.batch import Raw, Span, spans_of


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
