"""Delivery, ordering, offsets and progress on a run folder with one thing wrong."""

from pathlib import Path

import pytest

from bench.check import Judged, examine
from tests.verifiers.legal_history import Row, legal_history
from tests.verifiers.run_folder import PREFIX, add_event, add_row, change, drop_row, write
from verifiers.checker import Verdict


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(legal_history(60, seed=4), tmp_path / "run")


def found(judged: Judged) -> dict[str, set[str]]:
    return {j.checker.name: set(j.finding.counts) for j in judged.judgements if j.finding.counts}


def live(folder: Path, topic: str) -> Path:
    return folder / "topics-live" / f"{PREFIX}{topic}.parquet"


def test_two_values_at_one_offset_are_inconsistent(folder: Path) -> None:
    change(live(folder, "Stock-topic"), lambda row: row["offset"] == 3, hash=1)
    assert found(examine(folder)) == {"both_readers_saw_the_same": {"inconsistent-offsets"}}


def test_what_a_reader_saw_and_is_gone_is_a_lost_write(folder: Path) -> None:
    add_row(live(folder, "Pay-topic"), {"partition": 0, "offset": 10**4, "hash": 1, "read_ns": 1})
    assert found(examine(folder)) == {"both_readers_saw_the_same": {"lost-write"}}


def test_what_was_acknowledged_and_is_gone_is_a_lost_write(folder: Path) -> None:
    ack = {"topic": f"{PREFIX}Pay-topic", "partition": 0, "offset": 10**4, "error": None, "transaction": None}
    add_row(folder / "acks" / "driver.parquet", ack)
    assert found(examine(folder)) == {"acknowledged_records_are_there": {"lost-write"}}


def test_what_was_refused_need_not_be_there(folder: Path) -> None:
    ack = {"topic": f"{PREFIX}Pay-topic", "partition": 0, "offset": -1, "error": "timed out", "transaction": None}
    add_row(folder / "acks" / "driver.parquet", ack)
    assert examine(folder).verdict is Verdict.VALID


@pytest.mark.parametrize(("visible", "kinds"), [(False, {}), (True, {"torn-transaction"})])
def test_a_transaction_is_visible_as_a_whole_or_not_at_all(folder: Path, visible: bool, kinds: Row) -> None:
    path = folder / "acks" / "driver.parquet"
    if visible:
        change(path, lambda row: row["topic"].endswith("Pay-topic"), transaction="t1")
    ack = {"topic": f"{PREFIX}Pay-topic", "partition": 0, "offset": 10**4, "error": None, "transaction": "t1"}
    add_row(path, ack)
    assert found(examine(folder)).get("acknowledged_records_are_there", {}) == kinds or not visible


def test_a_record_that_nobody_reports_is_noticed_in_a_quiet_run_alone(folder: Path) -> None:
    drop_row(folder / "acks" / "driver.parquet", 5)
    assert found(examine(folder)) == {"acknowledged_records_are_there": {"unreported-write"}}
    add_event(folder, event="failpoint-reached", monotonic_ns=1_000_500_000)
    assert examine(folder).verdict is Verdict.VALID


def test_a_batch_that_was_never_journaled_was_skipped(folder: Path) -> None:
    drop_row(folder / "journal" / "order-0.parquet", 2)
    assert found(examine(folder)) == {"consumption_follows_the_log": {"poll-skip"}}


def test_the_same_offsets_again_are_a_redelivery_only_after_a_restart(folder: Path) -> None:
    path = folder / "journal" / "pay-0.parquet"
    again = change(path, lambda row: row["partition"] == 1)
    add_row(path, {**again, **dict.fromkeys(("polled_ns", "handled_ns"), 2_000_000_000)})
    assert "nonmonotonic-poll" in found(examine(folder))["consumption_follows_the_log"]
    add_event(folder, event="process-started", monotonic_ns=1_900_000_000)
    owned = {"topic": f"{PREFIX}Pay-topic", "partitions": [0, 1, 2, 3], "generation": 2}
    add_event(folder, event="partitions-assigned", monotonic_ns=1_900_000_001, **owned)
    assert examine(folder).verdict is Verdict.VALID


def test_a_partition_that_was_taken_away_must_not_be_processed(folder: Path) -> None:
    taken = {"topic": f"{PREFIX}Pay-topic", "partitions": [2], "generation": 1}
    add_event(folder, event="partitions-revoked", monotonic_ns=1_000_000_001, **taken)
    assert "unowned-consume" in found(examine(folder))["only_owners_consume"]


def test_an_offset_that_goes_back_is_a_regress(folder: Path) -> None:
    change(folder / "offsets.parquet", lambda row: row["phase"] == "running", sampled_ns=10**12)
    assert "commit-regress" in found(examine(folder))["commits_follow_processing"]


def test_an_offset_past_the_end_is_ahead(folder: Path) -> None:
    change(folder / "offsets.parquet", lambda row: row["phase"] == "running", committed=10**6)
    assert "commit-ahead" in found(examine(folder))["commits_follow_processing"]


def test_what_is_left_at_quiescence_is_a_matter_of_liveness(folder: Path) -> None:
    change(folder / "offsets.parquet", lambda row: row["phase"] == "quiescent", committed=1)
    judged = examine(folder)
    assert "unprocessed" in found(judged)["quiescence_was_reached"]
    assert judged.liveness is Verdict.INVALID


def test_an_operation_without_an_end_is_a_matter_of_liveness(folder: Path) -> None:
    path = folder / "operations.parquet"
    change(path, lambda row: row["kind"] == "checkout", outcome="info", completed_ns=0, response=None)
    judged = examine(folder)
    assert found(judged) == {"every_operation_ended": {"unfinished-operation"}}
    assert (judged.safety, judged.liveness) == (Verdict.VALID, Verdict.INVALID)


def test_a_hanging_transaction_is_a_matter_of_liveness(folder: Path) -> None:
    path = folder / "acks" / "driver.parquet"
    ack = {"topic": f"{PREFIX}Pay-topic", "partition": 0, "offset": 10**4, "error": None, "transaction": "t1"}
    add_row(path, ack)
    assert found(examine(folder)) == {"no_transaction_hangs": {"stuck-lso"}}
