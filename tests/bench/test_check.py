"""The check stage: verdicts.json, exit codes, conditions and faults that did not bite, runs that were cut short."""

from pathlib import Path

import orjson
import pytest

from bench.check import check, exit_code, exit_codes
from tests.verifiers.legal_history import legal_history
from tests.verifiers.run_folder import add_event, change, drop_row, topic_file, write
from verifiers.folder import BadRecording

ORDERS = 40


def verdicts(safety: str, liveness: str, measurement: str) -> dict[str, str]:
    return {"safety": safety, "liveness": liveness, "measurement": measurement}


@pytest.mark.parametrize(
    ("gates", "codes"),
    [
        (("VALID", "VALID", "VALID"), ()),
        (("INVALID", "VALID", "VALID"), (1,)),
        (("INVALID", "INVALID", "INVALID"), (1, 5, 4)),
        (("UNKNOWN", "INVALID", "VALID"), (5, 2)),
        (("VALID", "UNKNOWN", "INVALID"), (2, 4)),
        (("VALID", "VALID", "INVALID"), (4,)),
    ],
)
def test_every_code_that_holds_is_listed_and_the_first_is_returned(
    gates: tuple[str, str, str], codes: tuple[int, ...]
) -> None:
    assert exit_codes(verdicts(*gates)) == codes
    assert exit_code(verdicts(*gates)) == (codes[0] if codes else 0)


def test_a_legal_run_is_valid_and_its_verdicts_are_written(tmp_path: Path) -> None:
    run = write(legal_history(ORDERS), tmp_path / "run")
    returned = check(run)
    written = orjson.loads((run / "verdicts.json").read_bytes())
    assert written == returned
    assert [written[gate] for gate in ("verdict", "safety", "liveness", "measurement")] == ["VALID"] * 4
    for checker in written["checkers"]:
        assert {"checker", "gate", "verdict", "examined", "anomalies"} <= set(checker)


def test_an_anomaly_is_written_with_its_entity_and_its_chain(tmp_path: Path) -> None:
    run = write(legal_history(ORDERS), tmp_path / "run")
    dropped = drop_row(topic_file(run, "Pay-topic"), 8)
    returned = check(run)
    assert exit_code(returned) == 1
    anomalies = [anomaly for checker in returned["checkers"] for anomaly in checker["anomalies"]]
    mine = [anomaly for anomaly in anomalies if anomaly["entity"] == dropped["key"].decode()]
    assert mine
    assert all(anomaly["evidence"] and not anomaly["tolerated"] and anomaly["count"] == 1 for anomaly in mine)


def test_the_same_files_give_the_same_verdicts_again(tmp_path: Path) -> None:
    run = write(legal_history(ORDERS), tmp_path / "run")
    drop_row(run / "tables" / "pay.inbox.parquet", 5)
    assert check(run) == check(run)


def test_a_fault_that_did_not_strike_is_unknown(tmp_path: Path) -> None:
    run = write(legal_history(ORDERS), tmp_path / "run", fault="crash:pay@after-state#8")
    returned = check(run)
    assert exit_code(returned) == 2
    reasons = [checker["reason"] for checker in returned["checkers"] if checker["verdict"] == "UNKNOWN"]
    assert reasons == ["the fault did not strike: crash:pay@after-state#8"]
    add_event(run, event="failpoint-reached", failpoint="crash:pay@after-state#8", monotonic_ns=1_000_500_000)
    assert exit_code(check(run)) == 2, "a crash of which nobody died is none"
    add_event(run, event="process-exited", exit_code=-9, monotonic_ns=1_000_600_000)
    assert exit_code(check(run)) == 0


@pytest.mark.parametrize("condition", ["redelivery", "restart"])
def test_a_condition_that_did_not_occur_is_unknown(tmp_path: Path, condition: str) -> None:
    run = write(legal_history(ORDERS), tmp_path / "run", condition=condition)
    assert exit_code(check(run)) == 2
    add_event(run, event="redelivered", topic="Pay-topic", partition=1, records=3, monotonic_ns=1)
    add_event(run, event="process-started", monotonic_ns=1)
    assert exit_code(check(run)) == 0


@pytest.mark.parametrize("condition", ["contention", "compensation"])
def test_a_condition_that_occurred_counts_how_often(tmp_path: Path, condition: str) -> None:
    returned = check(write(legal_history(ORDERS), tmp_path / "run", condition=condition))
    assert exit_code(returned) == 0
    occurred = next(one for one in returned["checkers"] if one["checker"] == "the_condition_occurred")
    assert occurred["examined"][condition] > 0


def test_a_run_cut_short_is_unknown_and_never_a_crash(tmp_path: Path) -> None:
    run = write(legal_history(ORDERS), tmp_path / "run", incomplete="broker-1 died")
    for path in [*(run / "topics").iterdir(), *(run / "tables").iterdir(), run / "offsets.parquet"]:
        path.unlink()
    assert exit_code(check(run)) == 2


def test_a_run_cut_short_is_invalid_where_that_is_certain(tmp_path: Path) -> None:
    run = write(legal_history(ORDERS), tmp_path / "run", incomplete="postgres died")
    live = run / "topics-live" / topic_file(run, "Pay-topic").name
    change(live, lambda row: row["offset"] == 1, hash=1)
    assert exit_code(check(run)) == 1


def test_quiescence_that_was_missed_is_liveness_and_not_safety(tmp_path: Path) -> None:
    run = write(legal_history(ORDERS), tmp_path / "run")
    add_event(run, event="quiescence-missed", reason="lag", monotonic_ns=10**12)
    change(run / "offsets.parquet", lambda row: row["phase"] == "quiescent", committed=0)
    assert exit_code(check(run)) == 5


@pytest.mark.parametrize(
    ("validity", "code"),
    [({"verdict": "VALID", "reasons": []}, 0), ({"verdict": "INVALID", "reasons": ["slip"]}, 4), (None, 0)],
)
def test_the_measurement_gate_is_what_the_measure_stage_said(tmp_path: Path, validity: object, code: int) -> None:
    run = write(legal_history(ORDERS), tmp_path / "run")
    (run / "measurements.json").write_bytes(orjson.dumps({"validity": validity}))
    assert exit_code(check(run)) == code


def test_an_unknown_scenario_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    run = write(legal_history(3), tmp_path / "run", scenario="chess")
    with pytest.raises(BadRecording, match="'chess' is unknown; known are checkout"):
        check(run)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"schema_version": 1, "scen', "not JSON"),
        (b'{"schema_version": 99, "scenario": "checkout"}', "newer than 1"),
        (b'{"schema_version": 1}', "names no scenario"),
        (b"[]", "no schema_version"),
    ],
)
def test_a_run_json_that_cannot_be_read_says_what_is_wrong_with_it(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(BadRecording, match=said):
        check(tmp_path)


def test_a_rebuild_without_half_finished_transactions_is_no_rebuild_condition(tmp_path: Path) -> None:
    run = write(legal_history(ORDERS), tmp_path / "run", condition="rebuild")
    add_event(run, event="rebuild-finished", partition=0, to=0, records=0, monotonic_ns=1, **{"from": 0})
    assert exit_code(check(run)) == 2
    # The first outcome of partition 0 is half of its transaction for as long as nothing else was read.
    add_event(run, event="rebuild-finished", partition=0, to=1, records=1, monotonic_ns=2, **{"from": 0})
    assert exit_code(check(run)) == 0


def test_an_unknown_condition_is_unknown_with_the_known_ones(tmp_path: Path) -> None:
    returned = check(write(legal_history(ORDERS), tmp_path / "run", condition="weather"))
    reasons = [checker["reason"] for checker in returned["checkers"] if checker["verdict"] == "UNKNOWN"]
    assert reasons == [
        "condition 'weather' is unknown; known are none, redelivery, rebalance, restart, schedule, contention, "
        "compensation, rebuild, rebuild-of-finished"
    ]
