"""Array literals reach the database exactly as they were given, whatever is in them."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cluster.endpoints import Endpoints
from system.store.postgres import bool_array, int_array, nullable_text_array, text_array

Db = psycopg.Connection[tuple[Any, ...]]
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8)


@pytest.fixture(scope="module")
def db(cluster: Endpoints) -> Iterator[Db]:
    with psycopg.connect(cluster.dsn, autocommit=True) as connection:
        yield connection


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.one_of(TEXT, st.sampled_from(["NULL", "", '"', "\\", "{}", "a,b", " "]))))
def test_any_text_comes_back_identical(db: Db, values: list[str]) -> None:
    row = db.execute("SELECT %s::text[]", (text_array(values),)).fetchone()
    assert row is not None
    assert row[0] == values


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.none() | TEXT))
def test_none_becomes_null(db: Db, values: list[str | None]) -> None:
    row = db.execute("SELECT %s::text[]", (nullable_text_array(values),)).fetchone()
    assert row is not None
    assert row[0] == values


def test_numbers_and_truth_values_come_back_identical(db: Db) -> None:
    numbers = [1, None, -(2**63), 2**63 - 1]
    row = db.execute("SELECT %s::bigint[]", (int_array(numbers),)).fetchone()
    assert row == (numbers,)
    row = db.execute("SELECT %s::boolean[]", (bool_array([True, False]),)).fetchone()
    assert row == ([True, False],)
