"""Conservation on literal balances: legal, illegal, indefinite, torn."""

from itertools import chain, combinations

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verifiers.conservation import Account, conserved, history_is_a_chain, is_feasible
from verifiers.recording import EVENT_SCHEMA, Recording

ACCOUNT = Account("user", "credit", balances="balances", steps="steps", looks="looks")
Balance = tuple[str, int | None, int | None, int, list[int]]


def recording(
    tmp_path: object, balances: list[Balance], steps: list[tuple[str, int, int]], looks: list[tuple[str, int]]
) -> Recording:
    db = duckdb.connect(":memory:")
    types = "entity VARCHAR, initial BIGINT, final BIGINT, change BIGINT, indefinite BIGINT[]"
    db.execute(f"CREATE TABLE balances ({types}); CREATE TABLE steps (entity VARCHAR, before BIGINT, after BIGINT)")
    db.execute("CREATE TABLE looks (entity VARCHAR, seen BIGINT)")
    for table, rows in (("balances", balances), ("steps", steps), ("looks", looks)):
        for row in rows:
            db.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", list(row))
    db.register("events", pa.Table.from_pylist([], schema=EVENT_SCHEMA))
    return Recording(tmp_path, {}, db, frozenset())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("balances", "kinds"),
    [
        ([("a", 10, 7, -3, []), ("b", 0, 5, 5, [])], {}),
        ([("a", 10, 7, -3, [5])], {}),
        ([("a", 10, 12, -3, [5])], {}),
        ([("a", 10, 6, -3, [])], {"balance-difference": 2}),
        ([("a", 10, 7, -2, []), ("b", 0, 5, 4, [])], {"balance-difference": 2}),
        ([("a", 10, 8, -3, []), ("b", 0, 4, 5, [])], {"balance-difference": 2}),
        ([("a", 10, 11, -3, [5])], {"balance-difference": 1}),
        ([("a", 10, -1, -11, [])], {"negative-balance": 1}),
        ([("a", 10, None, 0, [])], {"lost-row": 1, "balance-difference": 1}),
        ([("a", None, 10, 0, [])], {"phantom-row": 1, "balance-difference": 1}),
    ],
)
def test_each_balance_is_what_its_operations_add_up_to(
    tmp_path: object, balances: list[Balance], kinds: dict[str, int]
) -> None:
    assert dict(conserved(recording(tmp_path, balances, [], []), ACCOUNT).counts) == kinds


def test_a_preserved_sum_does_not_hide_two_wrong_users(tmp_path: object) -> None:
    finding = conserved(recording(tmp_path, [("a", 10, 8, -3, []), ("b", 0, 4, 5, [])], [], []), ACCOUNT)
    assert {anomaly.entity for anomaly in finding.anomalies} == {"a", "b"}


def test_no_balance_at_all_is_nothing_examined(tmp_path: object) -> None:
    finding = conserved(recording(tmp_path, [], [], []), ACCOUNT)
    assert not any(finding.examined.values())
    assert not finding.counts


@pytest.mark.parametrize(
    ("steps", "looks", "count"),
    [
        ([("a", 10, 7), ("a", 7, 9)], [("a", 7)], 0),
        ([("a", 7, 9), ("a", 10, 7)], [], 0),
        ([("a", 10, 7), ("a", 8, 9)], [], 1),
        ([("a", 10, 7)], [], 1),
        ([("a", 10, 7), ("a", 7, 9)], [("a", 8)], 1),
    ],
)
def test_changes_form_a_chain(
    tmp_path: object, steps: list[tuple[str, int, int]], looks: list[tuple[str, int]], count: int
) -> None:
    found = history_is_a_chain(recording(tmp_path, [("a", 10, 9, -1, [])], steps, looks), ACCOUNT)
    assert found.counts.get("phantom-effect", 0) == count


@settings(deadline=None)
@given(st.integers(-20, 20), st.lists(st.integers(-9, 9), max_size=6))
def test_a_difference_is_feasible_exactly_if_some_subset_explains_it(difference: int, changes: list[int]) -> None:
    subsets = chain.from_iterable(combinations(changes, size) for size in range(len(changes) + 1))
    assert is_feasible(difference, changes) == any(sum(subset) == difference for subset in subsets)


def test_too_many_sums_are_not_decided() -> None:
    assert is_feasible(1, [2**power for power in range(1, 40)]) is None
