"""The columnar murmur2 against a plain reading of Kafka's, and against values that Kafka's own tests state."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.verifiers.legal_history import murmur2 as plain
from verifiers.murmur2 import key_partitions, murmur2


def column(keys: list[bytes]) -> list[int]:
    lengths = np.array([len(key) for key in keys], np.int64)
    begins = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    return [int(value) for value in murmur2(np.frombuffer(b"".join(keys), np.uint8), begins, lengths)]


def test_hashes_are_those_of_kafkas_own_test() -> None:
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}
    assert column(list(known)) == [value & 0xFFFFFFFF for value in known.values()]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=13), min_size=1, max_size=20))
def test_columns_hash_like_single_keys(keys: list[bytes]) -> None:
    assert column(keys) == [plain(key) for key in keys]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=9), min_size=2, max_size=10), st.integers(1, 12))
def test_a_slice_of_an_arrow_column_gives_the_partitions_of_its_own_keys(keys: list[bytes], partitions: int) -> None:
    expected = [(plain(key) & 0x7FFFFFFF) % partitions for key in keys[1:]]
    assert key_partitions(pa.array(keys, pa.binary()).slice(1), partitions).tolist() == expected
