"""Delivery, ordering, offsets and progress on a run folder with one thing wrong."""

import shutil
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.check import Judged, examine
from tests.verifiers.legal_history import Row, legal_history
from tests.verifiers.run_folder import PREFIX, TIMES, add_event, add_row, change, drop_row, topic_file, write
from verifiers.checker import Verdict


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(legal_history(60, seed=4), tmp_path / "run")


def found(judged: Judged) -> dict[str, set[str]]:
    return {j.checker.name: set(j.finding.counts) for j in judged.judgements if j.finding.counts}


def run(folder: Path, **changed: object) -> None:
    path = folder / "run.json"
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | changed))


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


T = "r1a2b3c-pay-0/1"


def transaction(folder: Path, *, lost: int, event: str | None = None, name: str = T) -> list[Row]:
    """Some records of one partition become those of a transaction, and the first few of them are not visible."""
    acks = folder / "acks" / "driver.parquet"
    topic, rows = f"{PREFIX}Outcomes-topic", []
    for offset in range(4):
        where = {"topic": topic, "partition": 1, "offset": offset}
        rows.append(change(acks, lambda row, where=where: where.items() <= row.items(), transaction=name))  # type: ignore[misc]
    for offset in range(lost):
        for path in (topic_file(folder, "Outcomes-topic"), live(folder, "Outcomes-topic")):
            dumped = pq.read_table(path).to_pylist()
            drop_row(path, next(n for n, row in enumerate(dumped) if (row["partition"], row["offset"]) == (1, offset)))
    if event:
        add_event(folder, event=event, transaction=name, monotonic_ns=1_000_500_000)
    return rows


@pytest.mark.parametrize(
    ("lost", "event", "kinds"),
    [
        (0, None, set()),
        (0, "transaction-committed", set()),
        (4, None, set()),
        (4, "transaction-aborted", set()),
        (2, None, {"torn-transaction"}),
        (2, "transaction-committed", {"torn-transaction"}),
        (4, "transaction-committed", {"lost-write"}),
        (0, "transaction-aborted", {"aborted-read"}),
        (3, "transaction-aborted", {"aborted-read"}),
    ],
)
def test_a_transaction_is_visible_as_a_whole_or_not_at_all(
    folder: Path, lost: int, event: str | None, kinds: set[str]
) -> None:
    transaction(folder, lost=lost, event=event)
    judged = examine(folder)
    assert found(judged).get("transactions_are_whole", set()) == kinds
    named = {
        a.entity for j in judged.judgements if j.checker.name == "transactions_are_whole" for a in j.finding.anomalies
    }
    assert named == ({T} if kinds else set())


@pytest.mark.parametrize("again", [False, True])
def test_input_of_an_aborted_transaction_is_consumed_by_another_one(folder: Path, again: bool) -> None:
    journal = folder / "journal" / "pay-0.parquet"
    span = change(journal, lambda row: row["partition"] == 1, transaction=T)
    add_event(folder, event="transaction-aborted", transaction=T, monotonic_ns=1_000_500_000)
    if again:
        late = {name: 2_000_000_000 + at for at, name in enumerate(TIMES)}
        add_row(journal, {**span, **late, "transaction": "r1a2b3c-pay-0/2"})
        add_event(folder, event="transaction-committed", transaction="r1a2b3c-pay-0/2", monotonic_ns=2_000_000_009)
    kinds = found(examine(folder)).get("transactions_are_whole", set())
    assert kinds == (set() if again else {"torn-transaction"})


def test_a_record_that_nobody_reports_is_noticed_in_a_quiet_run_alone(folder: Path) -> None:
    drop_row(folder / "acks" / "driver.parquet", 5)
    assert found(examine(folder)) == {"acknowledged_records_are_there": {"unreported-write"}}
    add_event(folder, event="failpoint-reached", monotonic_ns=1_000_500_000)
    assert examine(folder).verdict is Verdict.VALID


def test_a_batch_that_was_never_journaled_was_skipped(folder: Path) -> None:
    drop_row(folder / "journal" / "order-0.parquet", 2)
    kinds = {"consumption_follows_the_log": {"poll-skip"}, "commits_follow_processing": {"commit-ahead"}}
    assert found(examine(folder)) == kinds


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


def test_a_new_owner_that_begins_past_what_was_left_to_do_is_ahead(folder: Path) -> None:
    """Within an epoch it would be a poll that skips; at its beginning only the journals together tell."""
    path = folder / "journal" / "pay-0.parquet"
    rows = pq.read_table(path).to_pylist()
    first = min((row for row in rows if row["partition"] == 2), key=lambda row: row["first_offset"])
    pq.write_table(pa.Table.from_pylist([row for row in rows if row != first], schema=pq.read_schema(path)), path)
    assert found(examine(folder)) == {"commits_follow_processing": {"commit-ahead"}}
    add_event(folder, event="process-exited", process="pay-0", monotonic_ns=10**9, exit_code=-9)
    assert "commits_follow_processing" not in found(examine(folder))


def test_a_batch_that_is_polled_again_and_longer_covers_what_both_covered(folder: Path) -> None:
    """Two owners began at one offset, the second with more of the backlog."""
    path = folder / "journal" / "pay-0.parquet"
    rows = pq.read_table(path).to_pylist()
    for partition in range(4):
        mine = sorted((row for row in rows if row["partition"] == partition), key=lambda row: row["first_offset"])
        if mine:
            rows.append({**mine[0], "last_offset": mine[0]["first_offset"], "records": 1})
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    assert "commits_follow_processing" not in found(examine(folder))


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


@pytest.mark.parametrize("known", [True, False])
def test_a_hanging_transaction_is_a_matter_of_liveness(folder: Path, known: bool) -> None:
    """Both ends of every log are known, or, as in older recordings, only the stable ends of those that groups read."""
    end = change(folder / "ends.parquet", lambda row: row["topic"].endswith("Pay-topic"), high=10**4 + 1)["stable"]
    ack = {"topic": f"{PREFIX}Pay-topic", "partition": 0, "offset": end, "error": None, "transaction": T}
    add_row(folder / "acks" / "driver.parquet", ack)
    if not known:
        (folder / "ends.parquet").unlink()
    judged = examine(folder)
    assert found(judged) == {"no_transaction_hangs": {"stuck-lso"}, "acknowledged_records_were_seen": {"unseen"}}
    assert (judged.safety, judged.liveness) == (Verdict.VALID, Verdict.INVALID)


def test_batches_of_one_partition_are_stored_in_the_order_of_the_log(folder: Path) -> None:
    change(folder / "journal" / "order-0.parquet", lambda row: row["first_offset"] == 0, stored_ns=1_900_000_000)
    kinds = found(examine(folder))
    assert kinds["consumption_follows_the_log"] == {"key-reorder"}


@pytest.mark.parametrize("guarantee", ["at-most-once", "at-least-once", "idempotent", "outbox"])
@pytest.mark.parametrize("step", ["stored_ns", "produced_ns"])
def test_a_batch_is_committed_when_its_effects_stand(folder: Path, guarantee: str, step: str) -> None:
    run(folder, guarantee=guarantee)
    path = folder / "journal" / "order-0.parquet"
    change(path, lambda row: row["last_offset"] > 7, **{step: 1_000_100_000})
    ahead = "commit-ahead" in found(examine(folder)).get("commits_follow_processing", set())
    assert ahead is (guarantee != "at-most-once" and (guarantee, step) != ("outbox", "produced_ns"))


def handed_over(folder: Path, guarantee: str, *, both: bool) -> Row:
    """A partition goes to another worker while a batch of it is in hand, which the first worker finishes all the
    same."""
    run(folder, guarantee=guarantee)
    journal = folder / "journal" / "pay-0.parquet"
    late = dict(zip(TIMES, (2_000_000_000, 2_000_000_020, 2_000_000_030, 2_000_000_040, 0), strict=True))
    span = change(journal, lambda row: row["partition"] == 2 and row["last_offset"] >= 7, **late)
    owned = {"topic": f"{PREFIX}Pay-topic", "partitions": [2], "generation": 2}
    add_event(folder, event="partitions-assigned", process="pay-1", monotonic_ns=2_000_000_010, **owned)
    add_event(folder, event="partitions-lost", monotonic_ns=2_000_000_050, **owned)
    second = folder / "journal" / "pay-1.parquet"
    shutil.copy(journal, second)
    rows = [{**span, "polled_ns": 2_000_000_012, "stored_ns": 2_000_000_015, "handled_ns": 2_000_000_014}]
    pq.write_table(pa.Table.from_pylist(rows if both else [], schema=pq.read_schema(second)), second)
    return span


@pytest.mark.parametrize(
    ("guarantee", "both", "zombie"),
    [
        ("at-least-once", True, True),
        ("at-least-once", False, False),
        ("idempotent", True, False),
        ("transactional", True, False),
    ],
)
def test_an_effect_after_the_handover_is_a_zombies_where_the_new_owner_applied_it_too(
    folder: Path, guarantee: str, both: bool, zombie: bool
) -> None:
    span = handed_over(folder, guarantee, both=both)
    judged = examine(folder)
    assert found(judged).get("no_zombie_takes_effect", set()) == ({"zombie-effect"} if zombie else set())
    names = [a.entity for j in judged.judgements for a in j.finding.anomalies if a.kind == "zombie-effect"]
    assert names == ([f"pay-0 Pay-topic[2]@{span['first_offset']}"] if zombie else [])


@pytest.mark.parametrize(("name", "kind"), [(None, "unowned-consume"), (T, "zombie-effect")])
def test_a_commit_after_the_handover_is_told_with_and_without_a_transaction(
    folder: Path, name: str | None, kind: str
) -> None:
    handed_over(folder, "transactional", both=False)
    path = folder / "journal" / "pay-0.parquet"
    change(path, lambda row: row["polled_ns"] == 2_000_000_000, committed_ns=2_000_000_045, transaction=name)
    assert found(examine(folder))["no_zombie_takes_effect"] == {kind}
