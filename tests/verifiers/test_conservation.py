"""Conservation on literal balances: legal, illegal, indefinite, torn."""

from dataclasses import replace

import duckdb
import pyarrow as pa
import pytest

from verifiers.conservation import Account, conserved, history_is_a_chain
from verifiers.folder import EVENT_SCHEMA
from verifiers.recording import Recording

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


@pytest.mark.parametrize(
    ("balance", "steps", "looks", "torn"),
    [
        (("a", 10, 12, -3, [5]), [("a", 10, 7)], [], False),
        (("a", 10, 12, -3, [5]), [("a", 15, 12)], [], False),
        (("a", 10, 12, -3, [5]), [("a", 14, 11)], [], True),
        (("a", 10, 7, -3, [5]), [("a", 10, 7)], [], False),
        (("a", 10, 7, -3, [5]), [("a", 15, 12)], [], True),
        (("a", 10, 7, -3, [5]), [("a", 10, 7)], [("a", 12)], False),
        (("a", 10, 7, -3, [5]), [("a", 10, 7)], [("a", 13)], True),
    ],
)
def test_indefinite_operations_fill_the_gaps_of_a_chain_exactly_or_it_is_torn(
    tmp_path: object, balance: Balance, steps: list[tuple[str, int, int]], looks: list[tuple[str, int]], torn: bool
) -> None:
    found = history_is_a_chain(recording(tmp_path, [balance], steps, looks), ACCOUNT)
    assert ("phantom-effect" in found.counts) is torn
    assert found.unknown is None


def test_too_many_indefinite_operations_are_unknown_with_the_reason_and_never_tolerated(tmp_path: object) -> None:
    changes = [2**power for power in range(1, 40)]
    balances: list[Balance] = [("a", 0, 1, 0, changes), ("b", 0, 3, 0, [1])]
    finding = conserved(recording(tmp_path, balances, [], []), ACCOUNT)
    assert finding.counts == {"balance-difference": 1}
    assert finding.unknown == "1 users have too many indefinite operations to decide"


@pytest.mark.parametrize(
    ("final", "moved", "options", "kinds"),
    [
        (3, -4, [], {"explained-difference": 2}),
        (3, 0, [-4, -9], {"explained-difference": 2}),
        (3, -2, [-2, 7], {"explained-difference": 2}),
        (3, -2, [-3], {"balance-difference": 2}),
        (7, -4, [], {}),
    ],
)
def test_a_difference_is_explained_by_the_anomalous_sagas_exactly_or_not_at_all(
    tmp_path: object, final: int, moved: int, options: list[int], kinds: dict[str, int]
) -> None:
    opened = recording(tmp_path, [("a", 10, final, -3, [])], [], [])
    opened.db.execute("CREATE TABLE adrift (entity VARCHAR, moved BIGINT, options BIGINT[])")
    opened.db.execute("INSERT INTO adrift VALUES ('a', ?, ?)", [moved, options])
    assert dict(conserved(opened, replace(ACCOUNT, adrift="adrift")).counts) == kinds
