"""What goes on, comes back and ends in time is legal; what hangs is found; what nobody can know is said."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.verifiers.legal_history import legal_history
from tests.verifiers.run_folder import PREFIX, add_event, change, write
from verifiers.checker import Finding
from verifiers.liveness import (
    every_partition_has_an_owner,
    lag_comes_back,
    progress_goes_on,
    rebalances_are_bounded,
    sagas_of_a_fault_end,
)
from verifiers.outages import Window, longest, merged, without_quorum
from verifiers.recording import Recording, open_recording

SECOND = 1_000_000_000
BEGIN = 900_000_000
LONG = 200 * SECOND
Checked = Callable[[Recording], Finding]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(legal_history(20), tmp_path / "run")


def finding(folder: Path, check: Checked) -> Finding:
    recording = open_recording(folder)
    try:
        return check(recording)
    finally:
        recording.close()


def prolong(folder: Path, by_ns: int = LONG) -> int:
    """The drain ends later; where it ended before."""
    run = orjson.loads((folder / "run.json").read_bytes())
    end_ns = int(run["phases"][-1]["end"])
    run["phases"][-1]["end"] = end_ns + by_ns
    (folder / "run.json").write_bytes(orjson.dumps(run))
    add_event(folder, event="load-looked-at", process="runner", monotonic_ns=end_ns + by_ns)
    return end_ns


def strike(folder: Path, word: str, begin_ns: int, end_ns: int | None, *processes: str) -> None:
    hit = {"processes": list(processes)}
    add_event(folder, event="fault-struck", process="runner", fault=word, hit=hit, monotonic_ns=begin_ns)
    if end_ns is not None:
        add_event(folder, event="fault-healed", process="runner", fault=word, monotonic_ns=end_ns)


def give_up(folder: Path, at_ns: int) -> None:
    moved = {"topic": f"{PREFIX}Pay-topic", "group": f"{PREFIX}pay", "partitions": [1], "generation": 1}
    add_event(folder, event="partitions-revoked", process="pay-0", monotonic_ns=at_ns, **moved)


@pytest.mark.parametrize("check", [progress_goes_on, every_partition_has_an_owner, rebalances_are_bounded])
def test_a_quiet_run_is_alive(folder: Path, check: Checked) -> None:
    found = finding(folder, check)
    assert not found.counts
    assert found.unknown is None
    assert any(found.examined.values())


@pytest.mark.parametrize("check", [lag_comes_back, sagas_of_a_fault_end])
def test_without_a_fault_there_is_nothing_to_recover_from(folder: Path, check: Checked) -> None:
    assert finding(folder, check).not_applicable == "no fault struck"


@pytest.mark.parametrize("check", [every_partition_has_an_owner, rebalances_are_bounded])
def test_without_assignments_nobody_can_know(folder: Path, check: Checked) -> None:
    (folder / "events.jsonl").write_bytes(b"")
    assert finding(folder, check).unknown == "no partition was assigned to anybody"


def never_answered(folder: Path) -> None:
    file = folder / "operations.parquet"
    change(file, lambda row: row["kind"] == "checkout", outcome="info", completed_ns=0, response=None)


def test_an_operation_that_waits_for_minutes_is_a_stall(folder: Path) -> None:
    never_answered(folder)
    assert not finding(folder, progress_goes_on).counts
    prolong(folder)
    assert finding(folder, progress_goes_on).counts == {"stalled": 1}


def test_a_silence_in_which_nobody_waits_is_none(folder: Path) -> None:
    prolong(folder)
    assert not finding(folder, progress_goes_on).counts


@pytest.mark.parametrize(
    ("word", "processes", "stalls"),
    [
        ("kill:majority@1s", (), False),
        ("kill:postgres@1s", (), False),
        ("pause:pay@1s", ("pay-0",), False),
        ("pause:leader@1s", (), True),
        ("kill:pay-0@1s", (), True),
    ],
)
def test_time_in_which_a_fault_had_taken_everybody_does_not_count(
    folder: Path, word: str, processes: tuple[str, ...], stalls: bool
) -> None:
    never_answered(folder)
    strike(folder, word, prolong(folder), None, *processes)
    assert bool(finding(folder, progress_goes_on).counts) == stalls


def test_one_of_two_workers_leaves_somebody(tmp_path: Path) -> None:
    knobs = {"partitions": {"value": 2, "unit": None}, "workers_pay": {"value": 2, "unit": "processes"}}
    run = write(legal_history(5), tmp_path / "run", knobs=knobs)
    strike(run, "kill:pay-0@1s", BEGIN, BEGIN + 1, "pay-0")
    strike(run, "pause:pay@2s", BEGIN + 2, BEGIN + 3, "pay-0", "pay-1")
    recording = open_recording(run)
    assert [window.fault for window in without_quorum(recording)] == ["pause:pay@2s"]
    recording.close()


def test_what_an_earlier_life_of_the_driver_had_sent_waits_for_nobody(folder: Path) -> None:
    never_answered(folder)
    add_event(folder, event="process-started", process="driver", monotonic_ns=prolong(folder))
    assert not finding(folder, progress_goes_on).counts


def test_a_partition_that_nobody_takes_is_abandoned(folder: Path) -> None:
    give_up(folder, prolong(folder))
    assert finding(folder, every_partition_has_an_owner).counts == {"abandoned-partition": 1}


def test_each_change_of_members_begins_the_time_anew(folder: Path) -> None:
    end_ns = prolong(folder, 100 * SECOND)
    give_up(folder, end_ns)
    for after_s in (25, 50, 75):
        add_event(folder, event="process-started", process="pay-0", monotonic_ns=end_ns + after_s * SECOND)
    assert not finding(folder, every_partition_has_an_owner).counts
    assert finding(folder, every_partition_has_an_owner).examined["gaps"] == 1


def test_a_dead_member_gives_up_what_it_had(folder: Path) -> None:
    add_event(folder, event="process-exited", process="pay-0", exit_code=-9, monotonic_ns=prolong(folder))
    counts = finding(folder, every_partition_has_an_owner).counts
    assert counts["abandoned-partition"] > 1


def test_a_saga_of_a_fault_ends_soon_after_it(folder: Path) -> None:
    sent_ns = change(folder / "operations.parquet", lambda row: row["kind"] == "checkout")["sent_ns"]
    strike(folder, "pause:pay@1s", sent_ns - 1, sent_ns + 1)
    assert finding(folder, sagas_of_a_fault_end).examined == {"sagas": 1}
    assert not finding(folder, sagas_of_a_fault_end).counts
    never_answered(folder)
    assert finding(folder, sagas_of_a_fault_end).counts == {"incomplete-saga": 1}


def test_a_fault_of_a_moment_is_met_by_the_sagas_that_had_begun_and_not_ended(folder: Path) -> None:
    row = change(folder / "operations.parquet", lambda row: row["kind"] == "checkout" and row["completed_ns"] > 0)
    assert row["sent_ns"] + 1 < row["completed_ns"]
    strike(folder, "rewind:postgres@1s", row["sent_ns"] + 1, row["sent_ns"] + 1)
    assert finding(folder, sagas_of_a_fault_end).examined["sagas"] >= 1
    assert not finding(folder, sagas_of_a_fault_end).counts
    change(folder / "operations.parquet", lambda other: other["operation"] == row["operation"], completed_ns=0)
    assert finding(folder, sagas_of_a_fault_end).counts == {"incomplete-saga": 1}


@pytest.mark.parametrize(("drain_s", "after_s", "late"), [(10, 20, 0), (10, 30, 1), (60, 50, 0), (60, 70, 1)])
def test_a_saga_has_the_drains_deadline_and_at_least_as_long_as_a_process_has_to_come_up_again(
    drain_s: float, after_s: int, late: int, tmp_path: Path
) -> None:
    knobs = {"partitions": {"value": 2, "unit": None}, "drain_deadline_s": {"value": drain_s, "unit": "s"}}
    run = write(legal_history(5), tmp_path / "run", knobs=knobs)
    prolong(run, 100 * SECOND)
    sent_ns = change(run / "operations.parquet", lambda row: row["kind"] == "checkout")["sent_ns"]
    strike(run, "pause:pay@1s", sent_ns, sent_ns)
    ended_ns = sent_ns + after_s * SECOND
    change(run / "operations.parquet", lambda row: row["sent_ns"] == sent_ns, completed_ns=ended_ns)
    assert finding(run, sagas_of_a_fault_end).counts.get("late-saga", 0) == late


def test_a_fault_that_no_saga_met_says_nothing(folder: Path) -> None:
    strike(folder, "pause:pay@1s", 1, 2)
    assert finding(folder, sagas_of_a_fault_end).unknown == "no saga was under way while a fault lasted"


def test_a_lag_that_stays_is_told_from_one_that_was_gone_in_time(folder: Path) -> None:
    last_ns = 10**10
    strike(folder, "pause:pay@1s", last_ns, last_ns + 1)
    assert not finding(folder, lag_comes_back).counts, "the samples end before anything could be seen"
    change(folder / "offsets.parquet", lambda row: row["phase"] == "quiescent", sampled_ns=last_ns + LONG, end=10**6)
    assert finding(folder, lag_comes_back).counts == {"lag-remains": 1}
    change(folder / "offsets.parquet", lambda row: row["sampled_ns"] < last_ns, sampled_ns=last_ns + SECOND)
    assert not finding(folder, lag_comes_back).counts, "it was level in time"


def test_a_group_may_rebalance_for_its_changes_and_not_for_ever(folder: Path) -> None:
    moved = {"process": "pay-0", "topic": f"{PREFIX}Pay-topic", "group": f"{PREFIX}pay", "partitions": []}
    for generation in range(2, 10):
        add_event(folder, event="partitions-assigned", generation=generation, monotonic_ns=BEGIN + generation, **moved)
    assert finding(folder, rebalances_are_bounded).counts == {"rebalance-storm": 1}
    add_event(folder, event="process-started", process="pay-0", monotonic_ns=BEGIN + 1)
    assert not finding(folder, rebalances_are_bounded).counts


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=6))
def test_the_longest_stretch_is_what_counting_moment_by_moment_finds(spans: list[tuple[int, int]]) -> None:
    cuts = [Window(min(span), max(span)) for span in spans]
    best = run = 0
    for moment in range(100):
        free = not any(cut.begin_ns <= moment < cut.end_ns for cut in cuts)
        run = (0 if any(cut.begin_ns == moment for cut in cuts) else run) + 1 if free else 0
        best = max(best, run)
    assert longest(0, 100, cuts) == best


def test_windows_that_follow_each_other_closely_are_one() -> None:
    windows = [Window(0, 10, "a"), Window(12, 13, "b"), Window(40, 50, "c")]
    assert merged(windows, within_ns=5) == [Window(0, 13, "a+b"), Window(40, 50, "c")]


def test_where_every_saga_went_with_its_driver_nothing_is_known(folder: Path) -> None:
    path = folder / "operations.parquet"
    sent_ns = change(path, lambda row: row["kind"] == "checkout")["sent_ns"]
    strike(folder, "kill:driver@1s", sent_ns, sent_ns)
    rows = [
        {**row, "error": "the driver died", "outcome": "info", "completed_ns": 0} if row["kind"] == "checkout" else row
        for row in pq.read_table(path).to_pylist()
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=pq.read_schema(path)), path)
    assert finding(folder, sagas_of_a_fault_end).unknown == "no saga was under way while a fault lasted"
