"""Payloads have the size that was asked for, are lines of text, repeat with the seed and compress as text does."""

import zlib
from pathlib import Path

import pytest

from bench.raw.payloads import Payloads


@pytest.mark.parametrize("size", [1, 100, 1024, 10_240])
def test_every_payload_has_the_size_and_no_line_end(size: int, tmp_path: Path) -> None:
    payloads = Payloads(size, 7)
    assert {len(row) for row in payloads.rows} == {size}
    lines = payloads.write(tmp_path / "lines").read_bytes().split(b"\n")
    assert lines == payloads.rows


def test_equal_seeds_give_equal_payloads_and_others_others() -> None:
    assert Payloads(100, 7).rows == Payloads(100, 7).rows
    assert Payloads(100, 7).rows != Payloads(100, 8).rows
    assert Payloads(100, 7).keys != Payloads(100, 8).keys


def test_a_column_repeats_the_pool() -> None:
    payloads = Payloads(10_240, 7)
    column = payloads.values_column(len(payloads.rows) + 2)
    assert column.to_list() == [*payloads.rows, *payloads.rows[:2]]
    assert len(payloads.keys_column(5)) == 5


def test_payloads_are_distinct_and_compress_to_between_a_fifth_and_two_thirds() -> None:
    rows = Payloads(100, 7).rows
    assert len(set(rows)) > 0.99 * len(rows)
    text = b"".join(rows[:1000])
    assert 0.2 < len(zlib.compress(text)) / len(text) < 0.67
