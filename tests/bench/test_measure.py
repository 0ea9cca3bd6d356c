"""The measuring stage on whole run folders: complete, struck by a crash, torn, empty."""

import dataclasses
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.measure import measure
from bench.measure.hops import wall_offset_ms
from bench.measure.recovery import faults
from bench.measure.validity import Conditions, is_closed_loop, validity
from tests.reports.synthetic_run import PREFIX, Shape, write_run

FIT = Conditions(
    closed_loop=False,
    wait_ms={"p99": 1.0},
    response_ms={"p99": 40.0},
    cores={"driver": 0.4},
    delivered_share=1.0,
    saturated=False,
    steal_share=0.0,
)


def test_the_file_holds_what_was_returned_and_has_the_promised_figures(tmp_path: Path) -> None:
    figures = measure(write_run(tmp_path))
    written = orjson.loads((tmp_path / "measurements.json").read_bytes())
    assert written["sagas"] == figures["sagas"]
    promised = ("offered_per_s", "completed_per_s", "unfinished", "outcomes", "recovery")
    latencies = ("response_latency_ms", "service_latency_ms", "wait_ms", "end_to_end_latency_ms")
    assert not [name for name in (*promised, *latencies) if written.get(name) is None]
    for name in latencies:
        assert {"count", "p50", "p90", "p99", "p99_9", "p99_99", "max"} <= set(written[name])
    assert written["response_latency_ms"]["count"] == 5_000
    assert written["response_latency_ms"]["p99"] is None, "5,000 samples carry no p99"
    assert not list(tmp_path.glob("*.tmp"))


def test_rates_are_those_of_the_schedule(tmp_path: Path) -> None:
    figures = measure(write_run(tmp_path, Shape(operations=6_000, rate_per_s=2_000, warm_up=1_000)))
    assert figures["offered_per_s"] == pytest.approx(2_000, rel=0.05)
    assert figures["completed_per_s"] == pytest.approx(2_000, rel=0.05)
    assert figures["sagas"]["succeeded"] + figures["sagas"]["failed"] == 5_000
    assert figures["sagas"]["recorded"]["terminal_success"] == 5_400
    assert figures["ratio_sagas_to_produce_batch"] == pytest.approx(2_000 / 1_050_000, rel=0.05)
    assert figures["validity"] == {"verdict": "VALID", "reasons": [], "notes": []}


def test_hops_find_the_waits_and_steps_that_were_recorded(tmp_path: Path) -> None:
    hops = measure(write_run(tmp_path))["hops"]
    assert list(hops) == ["order", "pay", "stock"]
    assert 0 <= hops["pay"]["topic_wait_ms"]["p50"] <= 20
    assert hops["pay"]["topic_wait_ms"]["count"] == pytest.approx(5_000, rel=0.02)
    assert hops["pay"]["handler_ms"]["p50"] == pytest.approx(3.6, abs=0.6)
    assert hops["pay"]["batch_records"]["max"] >= 4
    assert 0 < hops["pay"]["busy_share"]["pay-0"] < 1


def test_a_hop_is_measured_from_the_step_before_it_in_the_guarantees_own_order(tmp_path: Path) -> None:
    write_run(tmp_path)
    path = tmp_path / "journal" / "pay-0.parquet"
    source = pq.read_table(path)
    polled = source["polled_ns"].to_numpy()
    ahead = source.set_column(source.column_names.index("committed_ns"), "committed_ns", pa.array(polled + 1_000_000))
    pq.write_table(ahead, path)
    hops = measure(tmp_path)["hops"]["pay"]
    assert hops["offset_commit_ms"]["max"] == pytest.approx(1.0, abs=0.001)
    assert hops["handler_ms"]["mean"] == pytest.approx(3.0, abs=0.3)


def test_cost_is_stated_per_saga_of_its_own_window(tmp_path: Path) -> None:
    cost = measure(write_run(tmp_path, Shape(operations=20_000, rate_per_s=2_000)))["cost_per_saga"]
    assert cost["cpu_us"]["driver"] == pytest.approx(0.31e6 / 2_000, rel=0.1)
    assert cost["cpu_us_total"] == pytest.approx(sum(cost["cpu_us"].values()))
    assert (cost["wal_bytes"], cost["broker_bytes"], cost["fsyncs"]) == pytest.approx((900, 410, 0.05))


def test_a_crash_is_one_fault_with_its_recovery(tmp_path: Path) -> None:
    figures = measure(write_run(tmp_path, Shape(operations=12_000, rate_per_s=1_000, crash_s=6.0)))
    (fault,) = figures["recovery"]
    assert fault["fault"] == "order-0: crash:order@after-state#40"
    assert fault["detection_ms"] == pytest.approx(20)
    assert fault["rebuild_records"] == 42
    assert 2_000 < fault["unavailability_ms"] < 3_000
    assert fault["peak_backlog_records"] > 500
    assert "a fault struck" in figures["validity"]["notes"][0]


def test_memory_counts_the_projects_own_processes_alone(tmp_path: Path) -> None:
    assert measure(write_run(tmp_path))["harness_memory_mib_peak"] == pytest.approx(5 * 110)


def test_the_timeline_counts_every_operation_once_and_states_no_quantile_without_its_samples(tmp_path: Path) -> None:
    timeline = measure(write_run(tmp_path))["timeline"]
    assert sum(timeline["offered"]) == sum(timeline["completed"]) == 6_000
    assert all(len(timeline[name]) == len(timeline["second"]) for name in ("sent", "response_ms_p50", "in_flight"))
    assert any(timeline["response_ms_p50"])
    assert not any(timeline["response_ms_p99"]), "6,000 operations carry no p99 in any window"
    assert set(timeline["lag_records"]) == {"pay", "stock", "order"}


def test_a_closed_loop_is_valid_and_claims_no_latency(tmp_path: Path) -> None:
    figures = measure(write_run(tmp_path, Shape(closed_loop=True)))
    assert figures["validity"]["verdict"] == "VALID"
    assert figures["validity"]["reasons"] == ["closed loop: no claim about latency"]


def test_unfinished_operations_are_counted(tmp_path: Path) -> None:
    figures = measure(write_run(tmp_path, Shape(unfinished=7)))
    assert figures["unfinished"] == figures["response_latency_ms"]["censored"] == 7
    assert "max" in figures["response_latency_ms"]["lower_bounds"]


@pytest.mark.parametrize(
    "gone", ["operations.parquet", "samples.parquet", "events.jsonl", "run.json", "counters.json", "journal"]
)
def test_a_missing_file_costs_its_own_figures_only(tmp_path: Path, gone: str) -> None:
    run = write_run(tmp_path / "run")
    (run / gone).rename(tmp_path / "elsewhere")
    figures = measure(run)
    assert (gone in figures["missing_files"]) == (gone != "counters.json")
    if gone != "operations.parquet":
        assert figures["completed"] == 5_000


def test_torn_files_are_named_and_measured_around(tmp_path: Path) -> None:
    write_run(tmp_path)
    for name in ("samples.parquet", f"topics/{PREFIX}Pay-topic.parquet"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'{"event": "process-ex')
    figures = measure(tmp_path)
    assert figures["missing_files"] == ["samples.parquet"]
    assert figures["sagas"]["recorded"]["compensations_pay"] is None
    assert figures["hops"]["pay"]["topic_wait_ms"]["count"] == 0
    assert figures["hops"]["stock"]["topic_wait_ms"]["count"] > 0


def test_an_empty_folder_measures_nothing_and_does_not_crash(tmp_path: Path) -> None:
    figures = measure(tmp_path)
    assert figures["response_latency_ms"]["count"] == 0
    assert figures["sagas"]["sagas_per_s"] is None
    assert figures["validity"]["verdict"] == "INVALID"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"wait_ms": {"p99": 5.1}}, "schedule slip p99 5.1 ms exceeds 5.0 ms"),
        ({"wait_ms": {"p99": None, "p90": 9.0}}, "schedule slip p90 9.0 ms exceeds 5.0 ms"),
        ({"wait_ms": {}}, "too few operations to judge the schedule slip (200 are needed)"),
        ({"cores": {"driver": 0.9}}, "the generator used 90% of a core (at most 85 %)"),
        (
            {"delivered_share": 0.99},
            "only 99.00% of the offered operations were delivered while the system was not saturated",
        ),
    ],
)
def test_an_unfit_generator_makes_the_measurement_invalid(change: dict[str, object], reason: str) -> None:
    judged = validity(dataclasses.replace(FIT, **change))  # type: ignore[arg-type]
    assert judged["verdict"] == "INVALID"
    assert judged["reasons"] == [reason]


def test_slip_may_reach_a_twentieth_of_a_slow_response() -> None:
    slow = dataclasses.replace(FIT, wait_ms={"p99": 9.0}, response_ms={"p99": 200.0})
    assert validity(slow)["verdict"] == "VALID"


def test_a_saturated_system_is_a_note_and_not_the_generators_fault() -> None:
    judged = validity(dataclasses.replace(FIT, saturated=True, delivered_share=0.9))
    assert judged["verdict"] == "VALID"
    assert judged["notes"][0].startswith("saturated")


def test_the_wall_clock_is_placed_by_the_median_of_all_events() -> None:
    rows = [{"monotonic_ns": at * 1_000_000, "wall_ms": 5_000 + at} for at in (1, 2, 3)]
    assert wall_offset_ms([*rows, {"monotonic_ns": 4_000_000, "wall_ms": 9_000}]) == 5_000
    assert wall_offset_ms([]) is None


@pytest.mark.parametrize(
    ("knobs", "closed"),
    [
        ({"arrival": {"value": "max", "unit": None}, "rate_per_s": {"value": None, "unit": "operations/s"}}, True),
        ({"rate": {"value": "max", "unit": None}}, True),
        ({"arrival": {"value": "poisson", "unit": None}, "rate_per_s": {"value": 500, "unit": "operations/s"}}, False),
        ({}, False),
    ],
)
def test_a_closed_loop_is_told_from_the_knobs(knobs: dict[str, object], closed: bool) -> None:
    assert is_closed_loop({"knobs": knobs}) is closed


@pytest.mark.parametrize(("exit_code", "struck"), [(-9, 1), (1, 1), (0, 0), (-15, 0)])
def test_a_process_that_was_asked_to_end_is_no_fault(exit_code: int, struck: int) -> None:
    died = {"event": "process-exited", "process": "pay-0", "monotonic_ns": 5, "exit_code": exit_code}
    assert len(faults([died])) == struck
