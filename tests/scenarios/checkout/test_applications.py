"""Without an inbox the journals say what was applied: repeats and losses are listed, and explain balances exactly."""

import shutil
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from bench.check import Judged, examine
from tests.verifiers.legal_history import Row, legal_history
from tests.verifiers.run_folder import TIMES, add_event, add_row, change, topic_file, write
from verifiers.checker import Verdict


@pytest.fixture(scope="module")
def legal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("legal") / "run"
    return write(legal_history(60, seed=7), folder, guarantee="at-least-once")


@pytest.fixture
def folder(legal: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(legal, tmp_path / "run"))


def crashed(folder: Path) -> None:
    add_event(folder, event="failpoint-reached", failpoint="pay@after-state", monotonic_ns=1_000_500_000)
    add_event(folder, event="process-started", monotonic_ns=1_900_000_000)
    owned = {"topic": "r1a2b3c-Pay-topic", "partitions": [0, 1, 2, 3], "generation": 2}
    add_event(folder, event="partitions-assigned", monotonic_ns=1_900_000_001, **owned)


def again(folder: Path, process: str) -> Row:
    """The first batch of a worker is stored once more, after a restart."""
    path = folder / "journal" / f"{process}.parquet"
    span = change(path, lambda row: True)
    add_row(path, {**span, **{name: 2_000_000_000 + at for at, name in enumerate(TIMES)}})
    return span


def paid_in(folder: Path, span: Row) -> Row:
    """A payment of the batch that succeeded."""
    done = {
        row["key"]
        for row in pq.read_table(topic_file(folder, "Outcomes-topic")).to_pylist()
        if b"psuccess" in row["value"]
    }
    for row in pq.read_table(topic_file(folder, "Pay-topic")).to_pylist():
        inside = row["partition"] == span["partition"] and span["first_offset"] <= row["offset"] <= span["last_offset"]
        if inside and row["key"] in done and row["value"].startswith(b'["pay"'):
            return dict(row)
    raise AssertionError("no payment of this batch succeeded")


def kinds(judged: Judged, checker: str) -> dict[str, int]:
    return next(dict(j.finding.counts) for j in judged.judgements if j.checker.name == checker)


def entities(judged: Judged, kind: str) -> set[str]:
    return {a.entity for j in judged.judgements for a in j.finding.anomalies if a.kind == kind}


def test_a_legal_history_is_valid_without_an_inbox_too(folder: Path) -> None:
    judged = examine(folder)
    assert judged.verdict is Verdict.VALID
    assert kinds(judged, "requests_are_applied_once") == {}


@pytest.mark.parametrize("surplus", [0, 1])
def test_a_payment_applied_twice_explains_its_users_credit_to_the_unit(folder: Path, surplus: int) -> None:
    crashed(folder)
    record = paid_in(folder, again(folder, "pay-0"))
    _, amount, user = orjson.loads(record["value"])
    users = folder / "tables" / "pay.users.parquet"
    credit = change(users, lambda row: row["user_id"] == user)["credit"]
    change(users, lambda row: row["user_id"] == user, credit=credit - amount - surplus)
    judged = examine(folder)
    assert set(kinds(judged, "credit_is_conserved")) == {"balance-difference" if surplus else "explained-difference"}
    assert {user, "total"} == entities(judged, "balance-difference" if surplus else "explained-difference")
    assert record["key"].decode() in entities(judged, "double-effect")
    assert judged.verdict is (Verdict.INVALID if surplus else Verdict.VALID)


def test_in_a_quiet_run_nothing_is_explained_away(folder: Path) -> None:
    again(folder, "pay-0")
    judged = examine(folder)
    assert "double-effect" in kinds(judged, "requests_are_applied_once")
    assert judged.safety is Verdict.INVALID


def test_a_batch_that_was_committed_and_never_stored_is_missing_and_tolerated_at_most_once(folder: Path) -> None:
    path = folder / "run.json"
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {"guarantee": "at-most-once"}))
    crashed(folder)
    change(folder / "journal" / "stock-0.parquet", lambda row: True, stored_ns=0)
    judged = examine(folder)
    assert set(kinds(judged, "requests_are_applied_once")) == {"missing-effect"}
    assert judged.verdict is Verdict.VALID


def test_a_compensation_applied_twice_gives_the_money_back_twice(folder: Path) -> None:
    crashed(folder)
    cans = [
        row for row in pq.read_table(topic_file(folder, "Pay-topic")).to_pylist() if row["value"].startswith(b'["can"')
    ]
    _, amount, user = orjson.loads(cans[0]["value"])
    place = {"partition": cans[0]["partition"], "first_offset": cans[0]["offset"], "last_offset": cans[0]["offset"]}
    path = folder / "journal" / "pay-0.parquet"
    span = {**change(path, lambda row: True), **place, "records": 1}
    add_row(path, {**span, **{name: 2_000_000_000 + at for at, name in enumerate(TIMES)}})
    users = folder / "tables" / "pay.users.parquet"
    credit = change(users, lambda row: row["user_id"] == user)["credit"]
    change(users, lambda row: row["user_id"] == user, credit=credit + amount)
    judged = examine(folder)
    assert kinds(judged, "requests_are_applied_once") == {"double-compensation": 1}
    assert entities(judged, "double-compensation") == {cans[0]["key"].decode()}
    assert kinds(judged, "credit_is_conserved") == {"explained-difference": 2}
    assert judged.verdict is Verdict.VALID


@pytest.mark.parametrize("was_committed", [False, True])
def test_a_commit_that_a_kill_cut_short_may_have_been_and_its_credit_is_explained_either_way(
    folder: Path, was_committed: bool
) -> None:
    crashed(folder)
    span = again(folder, "pay-0")
    change(
        folder / "journal" / "pay-0.parquet",
        lambda row: row["polled_ns"] < 2_000_000_000 and row["first_offset"] == span["first_offset"],
        stored_ns=0,
        produced_ns=0,
        committed_ns=0,
    )
    _, amount, user = orjson.loads(paid_in(folder, span)["value"])
    if was_committed:
        users = folder / "tables" / "pay.users.parquet"
        credit = change(users, lambda row: row["user_id"] == user)["credit"]
        change(users, lambda row: row["user_id"] == user, credit=credit - amount)
    judged = examine(folder)
    assert kinds(judged, "requests_are_applied_once") == {}
    assert set(kinds(judged, "credit_is_conserved")) == ({"explained-difference"} if was_committed else set())
    assert judged.verdict is Verdict.VALID
