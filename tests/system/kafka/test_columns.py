import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from system.kafka.columns import BytesColumn, HeadersColumn, numbers_to_arrow

ROWS = st.lists(st.none() | st.binary(max_size=20), max_size=30)
HEADERS = st.lists(st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=3), max_size=10)


@given(ROWS)
def test_rows_come_back_as_they_were(rows: list[bytes | None]) -> None:
    column = BytesColumn.from_list(rows)
    assert len(column) == len(rows)
    assert column.to_list() == rows
    assert column.sizes().tolist() == [len(row or b"") for row in rows]


@given(st.lists(st.text(max_size=10)))
def test_text_is_utf_8(rows: list[str]) -> None:
    assert BytesColumn.from_strings(rows).to_list() == [row.encode() for row in rows]


@settings(deadline=None)  # pyarrow imports pandas the first time
@given(ROWS, st.sampled_from([pa.binary(), pa.large_binary()]), st.integers(0, 30), st.integers(0, 30))
def test_a_slice_through_arrow_and_back_is_the_slice(
    rows: list[bytes | None], kind: pa.DataType, begin: int, size: int
) -> None:
    begin = min(begin, len(rows))
    end = min(begin + size, len(rows))
    part = BytesColumn.from_list(rows).slice(begin, end)
    assert part.to_list() == rows[begin:end]
    array = part.to_arrow(kind)
    array.validate(full=True)
    assert array.equals(pa.array(rows[begin:end], kind))
    assert BytesColumn.from_arrow(pa.array(rows, kind)[begin:end]).to_list() == rows[begin:end]


def test_numbers_of_fixed_width_are_their_bytes() -> None:
    column = BytesColumn.fixed_width(np.array([1, 258], "<u2"))
    assert column.to_list() == [b"\x01\x00", b"\x02\x01"]


def test_only_bytes_and_text_are_taken_from_arrow() -> None:
    with pytest.raises(ValueError, match="int64"):
        BytesColumn.from_arrow(pa.array([1]))


@settings(deadline=None)  # pyarrow imports pandas the first time
@given(HEADERS, st.integers(0, 10), st.integers(0, 10))
def test_headers_come_back_as_they_were(rows: list[list[tuple[str, bytes | None]]], begin: int, size: int) -> None:
    begin = min(begin, len(rows))
    end = min(begin + size, len(rows))
    column = HeadersColumn.from_lists(rows)
    assert column.to_lists() == rows
    part = column.slice(begin, end)
    assert part.to_lists() == rows[begin:end]
    array = part.to_arrow()
    array.validate(full=True)
    as_pairs = [[(header["key"], header["value"]) for header in row] for row in array.to_pylist()]
    assert as_pairs == rows[begin:end]


@settings(deadline=None)  # pyarrow imports pandas the first time
@given(st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_numbers_go_to_arrow_as_they_are(numbers: list[int]) -> None:
    assert numbers_to_arrow(np.array(numbers, np.int32)).equals(pa.array(numbers, pa.int32()))


def test_a_column_larger_than_32_bit_offsets_is_refused() -> None:
    column = BytesColumn(np.zeros(0, np.uint8), np.array([0, 2**31]))
    with pytest.raises(ValueError, match="2147483648 bytes"):
        column.to_arrow(pa.binary())


def test_the_client_does_not_import_pandas() -> None:
    code = (
        "import sys; from system.kafka.columns import BytesColumn; import system.kafka.kernel;"
        "BytesColumn.from_list([b'a', None]).to_list();"
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
