"""What counts as which latency: the definitions, on histories of a few literal rows."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.measure.history import Durations, History, latencies, measure_window, read_history
from bench.measure.recovery import outside_faults
from bench.measure.stage import outcomes

MS = 1_000_000
BASE = 10**12


def row(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - a row has fields of several types
    """A checkout intended at 0, sent at 1, acknowledged at 3 and completed at 20 ms, unless it says otherwise."""
    whole: dict[str, Any] = {"kind": "checkout", "entity": "1", "outcome": "ok", "phase": "measure", "error": None}
    whole |= {"intended_ms": 0, "sent_ms": 1, "acknowledged_ms": 3, "completed_ms": 20, "response": '{"tr": 1}'}
    return {**whole, **fields}


def history(tmp_path: Path, *rows: dict[str, Any], drained_ms: int = 100) -> History:
    columns: dict[str, list[Any]] = {}
    for one in rows:
        for name, value in one.items():
            at = None if value is None else BASE + value * MS if name.endswith("_ms") else value
            columns.setdefault(name.replace("_ms", "_ns"), []).append(0 if name.endswith("_ms") and at is None else at)
    pq.write_table(pa.table(columns), tmp_path / "operations.parquet")
    phases = [{"name": "drain", "begin": BASE, "end": BASE + drained_ms * MS}]
    return read_history(tmp_path, run={"phases": phases})


def measured(found: History) -> dict[str, Durations]:
    return latencies(found, among=found.measured)


def test_an_operation_that_meets_a_fault_is_not_of_the_steady_state(tmp_path: Path) -> None:
    rows = [row(entity=str(at), intended_ms=at, completed_ms=at + 20) for at in (0, 90, 150, 310, 390)]
    told = [("fault-struck", 100), ("fault-healed", 200), ("fault-recovered", 300)]
    events = [{"event": event, "fault": "pause:pay@1s", "monotonic_ns": BASE + at * MS} for event, at in told]
    found = history(tmp_path, *rows, drained_ms=500)
    assert outside_faults(events, found).tolist() == [True, False, False, True, True]
    assert outside_faults(events[:1], found).tolist() == [True, False, False, False, False]
    assert outside_faults([], found).all()


def test_the_four_latencies_run_between_their_own_moments(tmp_path: Path) -> None:
    found = measured(history(tmp_path, row(intended_ms=2, sent_ms=5, acknowledged_ms=9, completed_ms=30)))
    assert {name: one.finished_ms.tolist() for name, one in found.items()} == {
        "response_latency_ms": [28.0],
        "service_latency_ms": [4.0],
        "wait_ms": [3.0],
        "end_to_end_latency_ms": [21.0],
    }


def test_an_outcome_that_was_read_before_its_begin_had_returned_is_reported_as_it_is(tmp_path: Path) -> None:
    found = measured(history(tmp_path, row(acknowledged_ms=9, completed_ms=8)))
    assert found["end_to_end_latency_ms"].finished_ms.tolist() == [-1.0]


def test_only_the_measure_phase_and_no_poison_counts(tmp_path: Path) -> None:
    found = history(tmp_path, row(phase="warm-up"), row(entity="2", kind="poison"), row(entity="3"))
    assert measured(found)["response_latency_ms"].finished_ms.size == 1


def test_an_unfinished_operation_is_at_least_as_slow_as_the_drain_was_long(tmp_path: Path) -> None:
    one = row(acknowledged_ms=4, completed_ms=None, outcome="info", error="unfinished", response=None)
    found = measured(history(tmp_path, one, drained_ms=100))
    assert found["response_latency_ms"].censored_ms.tolist() == [100.0]
    assert found["end_to_end_latency_ms"].censored_ms.tolist() == [96.0]
    assert found["response_latency_ms"].finished_ms.size == 0


def test_an_operation_that_was_never_sent_waits_until_the_end(tmp_path: Path) -> None:
    one = row(sent_ms=None, acknowledged_ms=None, completed_ms=None, outcome="fail", error="not sent", response=None)
    found = measured(history(tmp_path, one, drained_ms=50))
    assert found["wait_ms"].censored_ms.tolist() == [50.0]
    assert found["service_latency_ms"].censored_ms.size == 0
    assert found["end_to_end_latency_ms"].censored_ms.size == 0


def test_operating_errors_stay_out_of_the_response_and_business_failures_stay_in(tmp_path: Path) -> None:
    broken = row(entity="2", outcome="fail", error="OperationalError", response=None)
    found = history(tmp_path, row(outcome="fail"), broken)
    assert found.errors.tolist() == [False, True]
    assert measured(found)["response_latency_ms"].finished_ms.size == 1


def test_a_checkout_that_joined_or_found_the_order_paid_is_no_saga_of_its_own(tmp_path: Path) -> None:
    joined = row(sent_ms=2, intended_ms=2)
    paid = row(sent_ms=40, intended_ms=40, acknowledged_ms=41, completed_ms=41)
    again = row(sent_ms=60, intended_ms=60, acknowledged_ms=61, completed_ms=80, response='{"tr":2}')
    refused = row(entity="9", outcome="fail", response='{"error":"unknown order"}')
    found = history(tmp_path, joined, row(), paid, again, refused)
    assert found.leads.tolist() == [False, True, False, True, False]
    assert sorted(measured(found)["end_to_end_latency_ms"].finished_ms.tolist()) == [17.0, 19.0]


def test_the_window_runs_from_the_first_intended_to_the_last_completed(tmp_path: Path) -> None:
    window = measure_window(history(tmp_path, row(intended_ms=5), row(entity="2", intended_ms=15, completed_ms=65)))
    assert window is not None
    assert window.duration_s == pytest.approx(0.06)
    assert window.offered_end_ns - window.begin_ns == 10 * MS


def test_outcomes_are_counted_by_kind(tmp_path: Path) -> None:
    rows = (row(), row(entity="2", outcome="fail"), row(entity="3", kind="funds", response='{"credit": 7}'))
    assert outcomes(history(tmp_path, *rows)) == {
        "checkout": {"ok": 1, "fail": 1, "info": 0},
        "funds": {"ok": 1, "fail": 0, "info": 0},
    }


def test_a_run_without_a_history_has_no_window(tmp_path: Path) -> None:
    assert measure_window(read_history(tmp_path, run={})) is None
